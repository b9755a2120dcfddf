"""File systems that are mounted within an exported directory: what is beneath keeps its handles."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from posix_kit import ROOT, World, needs_root, place

from backends.base import Key, Stable, Status


class Bound:
    """A world with a directory of outside, of the same file system, mounted at `at`."""

    def __init__(self, here: Path, at: str, *options: str) -> None:
        self.outside = here / "outside"
        (self.outside / "sub").mkdir(parents=True)
        for name in ("f", "sub/g", "sub/h"):
            (self.outside / name).write_bytes(name.encode())
        self.at = here / "export" / at
        self.at.mkdir(parents=True)
        self.mount("--bind", str(self.outside))
        for option in options:
            self.mount("-o", f"remount,bind,{option}")
        self.world = World(here)

    def mount(self, *arguments: str) -> None:
        """mount(8) there."""
        if subprocess.run(["mount", *arguments, str(self.at)], check=False).returncode:
            pytest.skip("cannot mount")

    def close(self) -> None:
        """Stop, unmount."""
        try:
            self.world.close()
        finally:
            subprocess.run(["umount", "-l", self.at], check=False)


@pytest.fixture(params=[(k, at) for k in ("ext4", "tmpfs") for at in ("b", "deep/er/b")],
                ids="-".join)  # fmt: skip
def bound(request: pytest.FixtureRequest) -> Iterator[Bound]:
    """A bind mount at the top, and one further down."""
    kind, at = request.param
    with place(kind) as here:
        bound = Bound(here, at)
        yield bound
        bound.close()


def keys_of(bound: Bound) -> dict[str, Key]:
    """Handles of all that is there."""
    at = str(bound.at.relative_to(bound.world.export))
    return {name: bound.world.key(f"{at}/{name}") for name in ("", "f", "sub", "sub/g", "sub/h")}


def check(world: World, keys: dict[str, Key]) -> None:
    """All these handles work."""
    for name, key in keys.items():
        assert world.run(world.fs.getattr(ROOT, key)).key == key
        if name and name != "sub":
            assert world.read(key) == name.encode()


@needs_root
def test_handles_beneath_a_bind_mount_survive(bound: Bound) -> None:
    world = bound.world
    assert world.fs._by_kernel
    keys = keys_of(bound)
    check(world, keys)
    for _ in range(2):
        world.restart()
        check(world, dict(reversed(keys.items())))
    world.restart(index=True)
    check(world, keys)
    world.restart(index=False)
    check(world, keys)
    outside = world.run(world.fs.root(ROOT))
    assert outside.key == world.root


@needs_root
def test_only_what_is_mounted_beneath_is_indexed(bound: Bound) -> None:
    world = bound.world
    plain = world.make("plain")
    world.mkdir("dir")
    inner = world.make("dir/inner")
    foreign = keys_of(bound)["sub/g"]
    index = world.fs._index
    assert not index.links(plain.ino) and not index.links(inner.ino)
    assert index.links(foreign.ino)


@needs_root
def test_a_listing_hands_out_lasting_handles(bound: Bound) -> None:
    world = bound.world
    above = bound.at.parent.relative_to(world.export)
    found: dict[str, Key] = {}
    for path in (str(above), f"{above}/b", f"{above}/b/sub"):
        where = world.key(path) if path == str(above) else found[path]
        listing = world.run(world.fs.readdir(ROOT, where, 0, 4096, True))
        for entry in listing.entries:
            assert entry.attr is not None
            found[f"{path}/{entry.name.decode()}"] = entry.attr.key
    world.restart()
    assert len(found) == 5
    for path, key in found.items():
        st = (world.export / path).stat()
        assert world.run(world.fs.getattr(ROOT, key)).ino == st.st_ino, path


@needs_root
def test_changes_beneath_a_bind_mount(bound: Bound) -> None:
    world, fs = bound.world, bound.world.fs
    keys = keys_of(bound)
    at = str(bound.at.relative_to(world.export))
    new = world.make(f"{at}/new", b"new")
    made = world.mkdir(f"{at}/made")
    world.run(fs.rename(ROOT, keys["sub"], b"g", made, b"moved"))
    world.run(fs.link(ROOT, keys["f"], made, b"linked"))
    world.run(fs.remove(ROOT, keys[""], b"f"))
    world.run(fs.remove(ROOT, keys["sub"], b"h"))
    gone = keys.pop("sub/h")
    world.restart()
    world.stale(gone)
    check(world, keys)
    assert world.read(new) == b"new"
    assert not world.fs._index.links(gone.ino)
    assert (bound.outside / "made/moved").read_bytes() == b"sub/g"


@needs_root
def test_few_nodes_beneath_a_bind_mount() -> None:
    with place("ext4") as here:
        bound = Bound(here, "deep/er/b")
        world = bound.world
        world.options["nodes"] = 4
        world.restart()
        try:
            keys = keys_of(bound)
            for number in range(40):
                world.make(f"f{number}")
            check(world, keys)
            check(world, keys)
        finally:
            bound.close()


@needs_root
def test_directories_above_a_mount_may_be_renamed() -> None:
    with place("ext4") as here:
        bound = Bound(here, "deep/er/b")
        world = bound.world
        try:
            keys = keys_of(bound)
            (world.export / "deep").rename(world.export / "low")
            bound.at = world.export / "low/er/b"
            world.restart()
            check(world, keys)
            (world.export / "low/er").rename(world.export / "up")
            bound.at = world.export / "up/b"
            world.fs._sweep()
            world.fs._index.close()  # as if it was killed after a while
            world.restart()
            check(world, keys)
            # Behind the back of a server that does not run.
            world.runner.run(world.fs.stop())
            (world.export / "up").rename(world.export / "over")
            bound.at = world.export / "over/b"
            world.fs = world._start()
            check(world, keys)
        finally:
            bound.close()


@needs_root
def test_a_read_only_bind_mount_stays_one() -> None:
    with place("ext4") as here:
        bound = Bound(here, "b", "ro")
        world = bound.world
        try:
            keys = keys_of(bound)
            os.link(bound.outside / "f", bound.outside / "f2")
            for _ in range(2):
                call = world.fs.write(ROOT, keys["f"], 0, b"F", Stable.UNSTABLE)
                world.fails(call, 30, Status.ROFS)
                assert world.read(keys["f"]) == b"f"
                world.restart()
        finally:
            bound.close()


@needs_root
def test_what_leaves_a_bind_mount_is_stale(bound: Bound) -> None:
    world = bound.world
    keys = keys_of(bound)
    shutil.copy(bound.outside / "f", world.here / "kept")
    (bound.outside / "sub").rename(world.here / "left")
    world.restart()
    world.stale(keys["sub"], keys["sub/g"])
    assert world.read(keys["f"]) == b"f"


@needs_root
def test_a_mounted_file() -> None:
    with place("ext4") as here:
        (here / "outside").write_bytes(b"outside")
        at = here / "export/dir/file"
        at.parent.mkdir()
        at.write_bytes(b"")
        if subprocess.run(["mount", "--bind", here / "outside", at], check=False).returncode:
            pytest.skip("cannot mount")
        try:
            world = World(here)
            key = world.key("dir/file")
            world.restart()
            assert world.read(key) == b"outside"
            world.close()
        finally:
            subprocess.run(["umount", "-l", at], check=False)


@needs_root
def test_another_file_system_further_down() -> None:
    with place("ext4") as here:
        at = here / "export/one/two"
        at.mkdir(parents=True)
        if subprocess.run(["mount", "-t", "tmpfs", "none", at], check=False).returncode:
            pytest.skip("cannot mount")
        try:
            world = World(here)
            world.mkdir("one/two/dir")
            keys = {p: world.key(p) for p in ("one/two", "one/two/dir")}
            keys["one/two/dir/f"] = world.make("one/two/dir/f")
            world.restart()
            for key in keys.values():
                assert world.run(world.fs.getattr(ROOT, key)).key == key
            world.close()
        finally:
            subprocess.run(["umount", "-l", at], check=False)
