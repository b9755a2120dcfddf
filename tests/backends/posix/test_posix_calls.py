"""What calls cost: the system calls of each, and what they rely on instead of asking again."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from posix_kit import ALICE, BOB, ROOT, World, needs_root, place

from backends.base import Context, CreateMode, DirEntry, FsError, SetAttr, Stable, Status
from backends.posix import kernel

_REPO = Path(__file__).parents[3]
_CALL = re.compile(r"^\d+ +(\w+)\((.*)")
#: The event loop's own.
_LOOP = ("epoll_wait", "epoll_pwait", "getpid", "madvise", "brk", "mmap", "munmap", "futex")


@pytest.fixture(params=["ext4", "tmpfs"])
def here(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A place per kind of file system."""
    with place(request.param) as here:
        yield here


@pytest.fixture
def world(here: Path) -> Iterator[World]:
    """A server."""
    world = World(here)
    yield world
    world.close()


def traced(path: Path, uid: int) -> dict[str, list[str]]:
    """The system calls of each call of posix_traced.py, the second time that it was made."""
    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    out = path.parent / "trace"
    script = Path(__file__).with_name("posix_traced.py")
    done = subprocess.run(
        ["strace", "-f", "-o", str(out), sys.executable, str(script), str(path), str(uid)],
        env={**os.environ, "PYTHONPATH": str(_REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr[:200]}")
    assert not done.returncode, done.stderr
    found: dict[str, list[str]] = {}
    calls: list[str] = []
    for line in out.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None or match[1] in _LOOP:
            continue
        mark = re.search(r'"/mark-(\w+)"', match[2])
        if mark:
            calls = [] if mark[1] == "end" else found.setdefault(mark[1], [])
            calls.clear()
        else:
            calls.append(match[1].replace("newfstatat", "fstat" if '""' in match[2] else "stat"))
    return found


_OWN_CREATE = ["stat", "fstat", "openat", "fstat", "ioctl", "fstat"]
_OWN_REMOVE = ["stat", "fstat", "unlinkat", "close", "fstat"]
_BECOME = ["setgroups", "setfsgid", "setfsuid"]


@needs_root
def test_system_calls_of_root() -> None:
    """Whose groups are only his gid, as those of a client's root: that is the process itself."""
    with place("ext4") as here:
        found = traced(here / "export", 0)
    assert found["getattr"] == ["fstat"]
    assert found["lookup"] == ["stat"]
    assert found["access"] == ["fstat"]
    assert found["read"] == ["preadv2", "fstat"]
    assert found["write"] == ["fstat", "pwrite64", "fstat"]
    assert found["create"] == _OWN_CREATE
    assert found["remove"] == _OWN_REMOVE
    assert found["exclusive"] == ["fstat", "openat", "utimensat", "fstat", "ioctl", "fstat"]
    assert found["setattr"] == ["fstat", "fchmod", "utimensat", "fstat"]
    assert found["listplus"].count("stat") == 1  # the one directory
    assert found["listplus"].count("fstat") == 30 + found["list"].count("fstat")


@needs_root
def test_system_calls_of_a_user() -> None:
    """Identities change where the kernel must check something, or shall make a file his."""
    with place("ext4") as here:
        (here / "export").chmod(0o777)
        found = traced(here / "export", 1000)
    assert found["getattr"] == ["fstat"]
    assert found["lookup"] == ["fstat", "stat"]
    assert found["lookup2"] == ["fstat", "stat", "stat"]
    assert found["access"] == ["fstat"]
    assert found["read"] == ["preadv2", "fstat"]
    assert found["write"] == ["fstat", "setfsuid", "pwrite64", "fstat", "setfsuid"]
    # The directory was just changed, so that what is known of its rights is not sure.
    assert found["create"] == ["fstat", *_BECOME, *_OWN_CREATE, *_BECOME]
    assert found["remove"] == ["fstat", *_BECOME, *_OWN_REMOVE, *_BECOME]
    assert not {"setfsuid", "setgroups"} & {*found["listplus"]}


@pytest.mark.parametrize(("mode", "questions"), [(0o755, 1), (0o644, 2), (0o444, 3)])
def test_rights_are_asked_for_as_the_mode_gives_them(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: int, questions: int
) -> None:
    """And each other one alone, since an ACL may give it."""
    file = world.make("file", b"data")
    (world.export / "file").chmod(mode)
    asked: list[int] = []
    real = kernel.may

    def may(fd: int, rights: int) -> bool:
        asked.append(rights)
        return real(fd, rights)

    monkeypatch.setattr(kernel, "may", may)
    owner = ROOT if os.geteuid() else Context(1000, 1000)
    if not os.geteuid():
        os.chown(world.export / "file", 1000, 1000)
    found = world.run(world.fs.access(owner, file, 0x3F)).access
    assert found == sum(
        bits for flag, bits in ((0o400, 0x01), (0o200, 0x0C), (0o100, 0x20)) if mode & flag
    )
    assert len(asked) == questions


def lookup(world: World, dir_key: object, ctx: Context = ROOT) -> str:
    """How a LOOKUP ends."""
    try:
        world.run(world.fs.lookup(ctx, dir_key, b"f"))  # type: ignore[arg-type]
    except FsError as error:
        return error.status.name
    except OSError as error:
        return type(error).__name__
    return "OK"


def test_a_directory_that_leaves_is_refused_a_moment_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = world.mkdir("sub")
    world.make("sub/f")
    asked: list[bytes] = []
    real = os.readlink

    def readlink(path: bytes) -> bytes:
        asked.append(path)
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    world.fs.beneath_seconds = 0.3
    world.run(asyncio.sleep(0.01))
    for _ in range(20):
        assert lookup(world, sub) == "OK"
    assert len(asked) == 2  # its path and the root's, once
    os.rename(world.export / "sub", world.here / "gone")
    assert lookup(world, sub) == "OK"
    for _ in range(100):
        time.sleep(0.02)
        if lookup(world, sub) != "OK":
            break
    assert lookup(world, sub) == "STALE"


def test_a_directory_that_others_remove_is_stale_at_once(world: World) -> None:
    sub = world.mkdir("sub")
    world.fs.beneath_seconds = 60
    assert lookup(world, sub) == "FileNotFoundError"
    (world.export / "sub").rmdir()
    assert lookup(world, sub) == "STALE"
    made = world.fs.create(ROOT, sub, b"f", CreateMode.GUARDED, SetAttr(), b"")
    world.fails(made, Status.STALE)


@needs_root
def test_a_right_to_search_that_is_taken_away(world: World) -> None:
    """By others and by a client; and one that was never given."""
    sub = world.mkdir("sub")
    world.make("sub/f")
    path = world.export / "sub"
    world.export.chmod(0o755)
    time.sleep(0.05)
    assert [lookup(world, sub, ALICE) for _ in range(3)] == ["OK"] * 3
    assert world.fs._nodes.find(sub).perms[ALICE]
    path.chmod(0o700)
    assert lookup(world, sub, ALICE) == "PermissionError"
    world.run(world.fs.setattr(ROOT, sub, SetAttr(mode=0o711)))
    assert lookup(world, sub, ALICE) == "OK"
    time.sleep(0.05)
    assert lookup(world, sub, BOB) == "OK"
    world.run(world.fs.setattr(ROOT, sub, SetAttr(mode=0o700)))
    assert [lookup(world, sub, ctx) for ctx in (BOB, ALICE)] == ["PermissionError"] * 2
    assert lookup(world, sub) == "OK"


@needs_root
def test_groups_are_the_callers_however_they_are_given(world: World) -> None:
    """In any order, twice, and with the gid among them or not."""
    path = world.export / "sub"
    path.mkdir()
    (path / "f").touch()
    os.chown(path, 0, 4242)
    path.chmod(0o750)
    sub = world.key("sub")
    members = [(4242,), (9, 4242, 9), (4242, 1000, 4242), (1000, 4242)]
    others = [(), (1000,), (9, 9, 8)]
    for _ in range(2):
        assert {lookup(world, sub, Context(1000, 1000, groups)) for groups in members} == {"OK"}
        found = {lookup(world, sub, Context(1000, 1000, groups)) for groups in others}
        assert found == {"PermissionError"}
        assert lookup(world, sub, Context(1000, 4242, (7,))) == "OK"


# New files, whose one descriptor is for data too


def test_a_new_file_is_pinned_when_its_descriptor_goes(world: World) -> None:
    file = world.make("file", b"data")
    node = world.fs._nodes.find(file)
    assert node.desc is not None
    data = node.desc.fd
    assert data == node.fd
    for _ in range(200):
        world.fs._descriptors.sweep()
        if node.desc is None:
            break
        world.run(asyncio.sleep(0.01))
    assert node.desc is None
    assert os.readlink(f"/proc/self/fd/{node.fd}").endswith("/file")
    assert world.fs._nodes.find(file) is node
    assert world.read(file) == b"data"
    assert world.fs._nodes.find(file).desc is not None


def test_new_files_leave_no_descriptor_behind(world: World) -> None:
    for size in (0, 3):  # as many directories and tables as there will be
        world.make(f"first{size}", b"x" * size)
        world.run(world.fs.remove(ROOT, world.root, b"first%d" % size))
    world.run(asyncio.sleep(0.05))
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        file = world.make("file", b"x" * (number % 3))
        if number % 2:
            world.read(file)
        world.run(world.fs.remove(ROOT, world.root, b"file"))
        world.stale(file)
    for _ in range(200):  # those with data are closed by a thread
        if len(os.listdir("/proc/self/fd")) <= before:
            break
        world.run(asyncio.sleep(0.01))
    assert len(os.listdir("/proc/self/fd")) <= before


@needs_root
@pytest.mark.parametrize("said", [None, 77])
def test_generations_that_only_the_handle_tells(
    world: World, monkeypatch: pytest.MonkeyPatch, said: int | None
) -> None:
    """Where FS_IOC_GETVERSION says nothing, or something else."""
    if not world.fs._nodes._versions:
        world.make("first")
    monkeypatch.setattr(kernel, "version_of", lambda fd: said)
    world.fs._nodes._versions = None
    keys = [world.make(f"file{number}", b"x") for number in range(3)]
    assert world.fs._nodes._versions is False
    monkeypatch.undo()
    world.restart()
    assert [world.read(key) for key in keys] == [b"x"] * 3


def test_generations_of_new_files_are_those_of_their_handles(world: World) -> None:
    keys = [world.make(f"file{number}", b"x") for number in range(5)]
    world.restart()
    assert [world.key(f"file{number}") for number in range(5)] == keys
    assert [world.read(key) for key in keys] == [b"x"] * 5


def test_another_file_in_the_place_of_what_was_seen(world: World) -> None:
    """Between `peek` and REMOVE: the one that is there goes, and both handles are right."""
    first = world.make("name", b"first")
    second = world.make("other", b"second")
    assert world.run(world.fs.peek(ROOT, world.root, b"name")) == first.ino
    os.rename(world.export / "name", world.export / "kept")
    os.rename(world.export / "other", world.export / "name")
    world.run(world.fs.remove(ROOT, world.root, b"name"))
    assert os.listdir(world.export) == ["kept"]
    assert world.read(first) == b"first"
    world.stale(second)


def test_what_was_seen_of_another_name(world: World) -> None:
    """Says nothing of the one that is removed; nor does the same name in another directory."""
    sub = world.mkdir("sub")
    first, second, third = (world.make(name) for name in ("first", "second", "sub/second"))
    world.run(world.fs.peek(ROOT, world.root, b"first"))
    world.run(world.fs.remove(ROOT, world.root, b"second"))
    table = world.fs._nodes.table
    assert first.ino in table and second.ino not in table
    world.make("second")
    world.run(world.fs.peek(ROOT, world.root, b"second"))
    world.run(world.fs.remove(ROOT, sub, b"second"))
    assert third.ino not in table


def test_a_link_made_behind_what_was_seen(world: World) -> None:
    file = world.make("name", b"data")
    world.run(world.fs.peek(ROOT, world.root, b"name"))
    os.link(world.export / "name", world.export / "link")
    world.run(world.fs.remove(ROOT, world.root, b"name"))
    assert world.run(world.fs.getattr(ROOT, world.key("link"))).nlink == 1
    assert world.read(file) == b"data"


# Listings


def plus(world: World) -> dict[bytes, DirEntry]:
    """READDIRPLUS of the root."""
    listing = world.run(world.fs.readdir(ROOT, world.root, 0, 8192, True))
    return {entry.name: entry for entry in listing.entries}


def test_a_listing_of_known_files_shows_their_changes(world: World) -> None:
    file = world.make("file", b"data")
    world.make("link")
    attr = plus(world)[b"file"].attr
    assert attr is not None and attr.size == 4 and attr.key == file
    (world.export / "file").write_bytes(b"longer data")
    os.unlink(world.export / "link")
    os.link(world.export / "file", world.export / "link")
    found = plus(world)
    assert found[b"file"].attr == found[b"link"].attr
    attr = found[b"file"].attr
    assert attr is not None and (attr.size, attr.nlink) == (11, 2)


@needs_root
def test_what_is_mounted_on_a_known_file_is_listed(world: World) -> None:
    covered = world.make("file", b"data")
    (world.here / "outside").write_bytes(b"outside")
    entry = plus(world)[b"file"]
    assert entry.attr is not None and entry.attr.key == covered
    at = world.export / "file"
    if subprocess.run(["mount", "--bind", world.here / "outside", at], check=False).returncode:
        pytest.skip("cannot mount")
    try:
        entry = plus(world)[b"file"]
        assert entry.attr is not None and entry.attr.size == 7
        assert entry.attr.key == world.key("file") != covered
    finally:
        subprocess.check_call(["umount", "-l", at])
    entry = plus(world)[b"file"]
    assert entry.attr is not None and entry.attr.key == covered


def test_mount_points_are_found_by_their_names(tmp_path: Path) -> None:
    """As /proc/self/mountinfo writes them, escaped."""
    mounts = kernel.Mounts()
    try:
        assert mounts.beneath(b"/")
        assert not mounts.beneath(os.fsencode(tmp_path) + b"/")
        mounts._read = lambda: b"1 2 0:3 / /odd\\040name/x rw - t n rw\n"  # type: ignore[method-assign]
        mounts._points = None
        assert mounts.beneath(b"/odd name/")
        assert not mounts.beneath(b"/odd name/x/")
    finally:
        mounts.close()


@needs_root
def test_a_write_as_its_caller_keeps_no_set_id_bits(world: World) -> None:
    """`become_user` changes the uid alone, and that is what they depend on."""
    file = world.make("file", b"data")
    path = world.export / "file"
    path.chmod(0o6777)
    assert world.write(file, b"x") == 1
    assert path.stat().st_mode & 0o7000 == 0o6000
    time.sleep(0.05)
    world.run(world.fs.access(ALICE, file, 0x3F))  # what she may is remembered from here on
    world.run(world.fs.write(ALICE, file, 0, b"x", Stable.UNSTABLE))
    assert path.stat().st_mode & 0o7000 == 0
