"""Listings after changes, trees that are very deep, roots that are moved."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from posix_kit import ALICE, ROOT, World, needs_root, place

from backends.base import CreateMode, Key, SetAttr, Status
from backends.posix import descriptors, dirs

EACCES, EPERM, EISDIR = 13, 1, 21
_GUARDED = (CreateMode.GUARDED, SetAttr(mode=0o644), b"")


@pytest.fixture(params=["ext4", "tmpfs", "overlay"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An export per kind of file system."""
    with place(request.param) as here:
        world = World(here)
        yield world
        world.close()


@pytest.fixture(params=["ext4", "tmpfs", "overlay"])
def hashed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One that lists by hashes of the names, as all did before some had stable offsets."""
    monkeypatch.setattr(dirs.DirOps, "_has_stable_offsets", lambda self, node: False)
    with place(request.param) as here:
        world = World(here)
        yield world
        world.close()


def listed(world: World, key: Key) -> list[bytes]:
    """All names, in order; each only once. Without those of the overlay's lower layer."""
    names = [name for name in world.names(key) if name not in (b"dir", b"low")]
    assert len(names) == len(set(names))
    return sorted(names)


def settle(world: World, *keys: Key) -> None:
    """List directories so late after their last change that the listings are kept."""
    time.sleep(0.05)
    for key in keys:
        world.names(key)


# Listings that are remembered


def test_a_renamed_file_is_listed(hashed: World) -> None:
    world = hashed
    for name in ("a", "b", "other"):
        world.make(name)
    settle(world, world.root)
    world.run(world.fs.rename(ROOT, world.root, b"a", world.root, b"c"))
    assert listed(world, world.root) == [b"b", b"c", b"other"]
    settle(world, world.root)
    world.run(world.fs.rename(ROOT, world.root, b"b", world.root, b"c"))
    assert listed(world, world.root) == [b"c", b"other"]
    os.link(world.export / "c", world.export / "d")
    settle(world, world.root)
    world.run(world.fs.rename(ROOT, world.root, b"c", world.root, b"d"))  # one file: no change
    assert listed(world, world.root) == [b"c", b"d", b"other"]


def test_a_file_unknown_before_its_rename_is_listed(hashed: World) -> None:
    world = hashed
    (world.export / "sub").mkdir()
    for name in ("a", "sub/b"):
        (world.export / name).touch()
    sub = world.key("sub")
    settle(world, world.root, sub)
    world.run(world.fs.rename(ROOT, world.root, b"a", sub, b"a"))
    assert (listed(world, world.root), listed(world, sub)) == ([b"sub"], [b"a", b"b"])
    (world.export / "new").touch()
    settle(world, world.root, sub)
    world.run(world.fs.rename(ROOT, world.root, b"new", sub, b"b"))
    assert (listed(world, world.root), listed(world, sub)) == ([b"sub"], [b"a", b"b"])
    ino = world.key("sub/b").ino
    listing = world.run(world.fs.readdir(ROOT, sub, 0, 4096, False))
    assert {entry.name: entry.ino for entry in listing.entries}[b"b"] == ino


def test_what_others_do_in_the_tick_of_a_change(
    hashed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on kernels whose times are coarse: the directory shows no trace of it."""
    world = hashed
    (world.export / "first").touch()
    settle(world, world.root)
    root = world.fs._root
    world.make("mine")
    frozen = os.fstat(root.fd)
    real = os.fstat

    def coarse(fd: int) -> os.stat_result:
        return frozen if fd == root.fd else real(fd)

    monkeypatch.setattr(os, "fstat", coarse)
    now = frozen.st_ctime_ns + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    (world.export / "local").touch()
    assert listed(world, world.root) == [b"first", b"local", b"mine"]
    (world.export / "later").touch()
    assert listed(world, world.root) == [b"first", b"later", b"local", b"mine"]


def test_a_long_listing_is_read_once_while_names_go(
    hashed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's own changes do not make each page cost as much as the whole directory."""
    world = hashed
    names = [b"n%03d" % number for number in range(300)]
    for name in names:
        (world.export / name.decode()).touch()
    reads: list[object] = []
    everything = dirs.DirOps._all

    def counted(desc: descriptors.Descriptor) -> Iterator[tuple[bytes, int]]:
        reads.append(desc)
        return everything(desc)

    monkeypatch.setattr(dirs.DirOps, "_all", staticmethod(counted))
    time.sleep(0.05)
    seen: list[bytes] = []
    cookie = 0
    while True:
        listing = world.run(world.fs.readdir(ROOT, world.root, cookie, 256, False))
        for entry in listing.entries:
            seen.append(entry.name)
            cookie = entry.cookie
        world.run(world.fs.remove(ROOT, world.root, seen[-1]))
        world.run(world.fs.rename(ROOT, world.root, seen[-2], world.root, b"x" + seen[-2]))
        if listing.eof:
            break
    assert set(names) <= set(seen) and len(seen) == len(set(seen))
    # Once per tick at most, however many pages; here all pages take less than a few of them.
    assert len(reads) <= 4


# Listings by offsets


def test_a_listing_starts_anew_after_one_that_began_at_the_end(world: World) -> None:
    """ext4 keeps "at the end" from a descriptor's first getdents, and lseek(0) does not clear
    it."""
    names = sorted(b"f%d" % number for number in range(40))
    for name in names:
        (world.export / name.decode()).touch()
    root = world.root
    listing = world.run(world.fs.readdir(ROOT, root, 0, 1 << 16, False))
    last = list(listing.entries)[-1].cookie
    for _ in range(3):
        world.fs._descriptors.close(world.fs._root)
        listing = world.run(world.fs.readdir(ROOT, root, last, 1 << 16, False))
        assert listing.eof and not list(listing.entries)
        assert listed(world, root) == names
        assert listed(world, root) == names


def test_many_listings_with_few_descriptors(world: World) -> None:
    world.options["descriptors"] = 2
    world.restart()
    subs = [world.mkdir(f"d{number}") for number in range(4)]
    names = sorted(b"%d" % number for number in range(100))
    for number in range(4):
        for name in names:
            (world.export / f"d{number}" / name.decode()).touch()
    cookies = dict.fromkeys(subs, 0)
    seen: dict[Key, list[bytes]] = {sub: [] for sub in subs}
    for turn in range(400):
        sub = subs[turn % 4]
        listing = world.run(world.fs.readdir(ROOT, sub, cookies[sub], 100 * (turn % 7), False))
        for entry in listing.entries:
            seen[sub].append(entry.name)
            cookies[sub] = entry.cookie
        if listing.eof:
            assert sorted(seen[sub]) == names
            seen[sub], cookies[sub] = [], 0


# Deep trees


def test_trees_deeper_than_a_path_is_long(world: World) -> None:
    name = b"d" * 200
    key = world.root
    keys = [key]
    try:
        for _ in range(30):
            key = world.run(world.fs.mkdir(ROOT, key, name, SetAttr(mode=0o755))).attr.key
            keys.append(key)
        made = world.run(world.fs.symlink(ROOT, key, b"link", b"target", SetAttr()))
        assert world.run(world.fs.readlink(ROOT, made.attr.key)).target == b"target"
        file = world.run(world.fs.create(ROOT, key, b"file", *_GUARDED)).attr.key
        assert world.write(file, b"deep") == 4
        assert listed(world, key) == [b"file", b"link"]
        assert world.run(world.fs.parent(ROOT, key)).key == keys[-2]
        world.fs._nodes.sweep(100)
        world.fs._nodes.sweep(100)
        for above, below in pairwise(keys):
            assert world.run(world.fs.lookup(ROOT, above, name)).attr.key == below
        world.restart()
        assert world.run(world.fs.lookup(ROOT, keys[-1], b"file")).attr.key == file
        world.restart()
        assert world.read(file) == b"deep"
        world.run(world.fs.remove(ROOT, key, b"file"))
        world.run(world.fs.remove(ROOT, key, b"link"))
        world.run(world.fs.rmdir(ROOT, keys[-2], name))
        world.stale(key)
    finally:
        subprocess.run(["rm", "-rf", world.export / name.decode()], check=False)


@needs_root
def test_deep_directories_that_were_moved_out(world: World) -> None:
    name = b"d" * 200
    key = world.root
    for _ in range(30):
        key = world.run(world.fs.mkdir(ROOT, key, name, SetAttr(mode=0o700))).attr.key
    outside = world.here / "outside"
    os.rename(world.export / name.decode(), outside)
    try:
        world.fails(world.fs.readdir(ALICE, key, 0, 4096, False), Status.STALE)
        world.fails(world.fs.readdir(ROOT, key, 0, 4096, False), Status.STALE)
    finally:
        subprocess.run(["rm", "-rf", outside], check=False)


# A root that moves


def test_a_directory_in_the_place_of_the_root(world: World) -> None:
    sub = world.mkdir("sub")
    deep = world.mkdir("sub/deep")
    stays = world.mkdir("stays")
    world.make("sub/secret")
    old = world.here / "old"
    try:
        os.rename(world.export, old)
    except OSError:
        pytest.skip("an overlay does not move its lower layer's directories")
    os.rename(old / "sub", world.export)
    for _ in range(2):
        for key in (sub, deep):
            world.fails(world.fs.readdir(ROOT, key, 0, 4096, False), Status.STALE)
            world.fails(world.fs.mkdir(ROOT, key, b"new", SetAttr()), Status.STALE)
            world.fails(world.fs.parent(ROOT, key), Status.STALE)
        assert listed(world, stays) == []
        world.fs._nodes.sweep(100)
        world.fs._nodes.sweep(100)
    assert sorted(os.listdir(world.export)) == ["deep", "secret"]
    world.make("stays/new")
    assert (old / "stays/new").exists()


def test_a_directory_beside_the_root_with_its_name_as_a_prefix(world: World) -> None:
    sub = world.mkdir("sub")
    deep = world.mkdir("sub/deep")
    os.rename(world.export / "sub", world.here / "export2")
    for key in (sub, deep):
        world.fails(world.fs.readdir(ROOT, key, 0, 4096, False), Status.STALE)
    os.rename(world.here / "export2", world.export / "sub")
    assert listed(world, sub) == [b"deep"]


# What the kernel says first


@needs_root
def test_removing_a_directory_needs_permission_first(world: World) -> None:
    private = world.mkdir("private", 0o755)
    world.mkdir("private/sub", 0o777)
    world.fails(world.fs.remove(ALICE, private, b"sub"), EACCES)
    sticky = world.mkdir("sticky", 0o1777)
    world.mkdir("sticky/sub", 0o777)
    world.fails(world.fs.remove(ALICE, sticky, b"sub"), EPERM)
    for key in (private, sticky):
        world.fails(world.fs.remove(ROOT, key, b"sub"), EISDIR)
        assert listed(world, key) == [b"sub"]
