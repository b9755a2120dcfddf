"""Nodes and descriptors that are let go: when, and what must have happened before."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from posix_kit import ALICE, ROOT, World, needs_root, place

from backends.base import Access, Attr, Buffer, Context, CreateMode, SetAttr, Stable
from backends.posix import core, creds, descriptors, kernel, nodes, pins

EIO = 5


@pytest.fixture(params=["ext4", "tmpfs", "overlay"])
def here(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A place per kind of file system."""
    with place(request.param) as here:
        yield here


@pytest.fixture
def world(here: Path) -> Iterator[World]:
    """A server that keeps few files open."""
    world = World(here, nodes=16, descriptors=16)
    yield world
    world.close()


def others(world: World, count: int = 100) -> None:
    """Have the server see other files, for which it lets go of those it knows."""
    for number in range(count):
        path = world.export / f"other{number}"
        if not path.exists():
            path.touch()
        world.run(world.fs.lookup(ROOT, world.root, b"other%d" % number))


def wait(world: World, seconds: float = 0.1) -> None:
    """Let threads and the loop do what they have begun."""
    world.run(asyncio.sleep(seconds))


class Disk:
    """fsync that waits until it may, and fails if it shall."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.broken = False
        self.calls = 0
        monkeypatch.setattr(descriptors, "fsync", self.sync)
        monkeypatch.setattr(descriptors, "fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        """In place of fsync(2)."""
        self.calls += 1
        os.fstat(fd)
        assert self.go.wait(10)
        if self.broken:
            raise OSError(EIO, "the disk is gone")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk that is slow until told otherwise."""
    disk = Disk(monkeypatch)
    yield disk
    disk.go.set()


# Unsynced data


@pytest.mark.parametrize("broken", [False, True])
def test_unsynced_data_pin_the_file(here: Path, disk: Disk, broken: bool) -> None:
    """The kernel forgets a lost write with the inode, so a later COMMIT would say all is well."""
    world = World(here, nodes=16, descriptors=16)
    file = world.make("file", b"data")
    node, verifier = world.fs._nodes.find(file), world.fs.verifier
    disk.broken = broken
    others(world)
    wait(world)
    assert world.fs._table[file.ino] is node and node.desc is not None and node.desc.fd >= 0
    assert len(world.fs._table) <= 20  # others have gone in its place
    assert world.fs.verifier == verifier and disk.calls == 1
    disk.go.set()
    wait(world)
    assert (world.fs.verifier != verifier) == broken
    others(world)
    assert file.ino not in world.fs._table
    assert node.desc is None and disk.calls == 1
    assert world.read(file) == b"data"
    world.close()


def test_what_is_written_during_an_fsync_needs_another(world: World, disk: Disk) -> None:
    file = world.make("file", b"data")
    node = world.fs._nodes.find(file)
    others(world)
    world.write(file, b"more")
    disk.go.set()
    wait(world)
    others(world)
    wait(world)
    others(world)
    assert disk.calls == 2 and node.desc is None


def test_commit_shares_the_fsync_of_an_eviction(world: World, disk: Disk) -> None:
    file = world.make("file", b"data")
    others(world)
    disk.broken = True
    verifier = world.fs.verifier
    threading.Timer(0.1, disk.go.set).start()
    world.fails(world.fs.commit(ROOT, file, 0, 0), EIO)
    assert world.fs.verifier != verifier


def test_idle_files_are_synced_before_they_are_closed(world: World, disk: Disk) -> None:
    file = world.make("file", b"data")
    node = world.fs._nodes.find(file)
    for _ in range(4):
        world.fs._descriptors.sweep()
    assert node.desc is not None and not node.desc.dead
    disk.go.set()
    wait(world)
    world.fs._descriptors.sweep()
    assert node.desc is None and disk.calls == 1
    again = world.make("again", b"data")
    world.run(world.fs.commit(ROOT, again, 0, 0))
    world.fs._descriptors.sweep()
    world.fs._descriptors.sweep()
    assert world.fs._nodes.find(again).desc is None and disk.calls == 2


def test_writers_wait_for_a_slow_disk(world: World, disk: Disk) -> None:
    """Files with unsynced data stay open, but not ever more of them."""
    keys = [world.make(f"file{number}") for number in range(64)]

    async def write(number: int) -> None:
        await world.fs.write(ROOT, keys[number], 0, b"data", Stable.UNSTABLE)

    async def all_of_them() -> int:
        done = 0
        tasks = set()
        for number in range(64):
            task = asyncio.ensure_future(write(number))
            tasks.add(task)
            await asyncio.sleep(0.001)
            done += task.done()
        disk.go.set()
        await asyncio.gather(*tasks)
        return done

    assert 14 <= world.run(all_of_them()) <= 24
    wait(world)
    world.fs._descriptors.sweep()
    assert len(world.fs._descriptors.table) <= 16
    assert all(world.read(key) == b"data" for key in keys)


def test_stopping_closes_what_is_unsynced(here: Path, disk: Disk) -> None:
    before = len(os.listdir("/proc/self/fd"))
    world = World(here, nodes=16, descriptors=16)
    for number in range(16):
        world.make(f"file{number}", b"data")
    others(world, 30)
    threading.Timer(0.1, disk.go.set).start()
    world.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_removed_file_is_not_synced(world: World, disk: Disk) -> None:
    file, root = world.make("file", b"data"), world.root
    node = world.fs._nodes.find(file)
    desc = node.desc
    assert desc is not None
    world.run(world.fs.remove(ROOT, root, b"file"))
    assert desc.fd == node.fd == -1 and not disk.calls


def test_without_sync_nothing_is_synced(here: Path, disk: Disk) -> None:
    world = World(here, nodes=16, descriptors=16, sync=False)
    file = world.make("file", b"data")
    others(world)
    assert file.ino not in world.fs._table and not disk.calls
    world.close()


# Bookkeeping after a copy-up


@needs_root
def test_a_copy_up_beneath_what_the_caller_may_not_pass() -> None:
    """It has been carried out, whatever the books say: no error may come of them."""
    with place("overlay") as here:
        base, lower = here.parent, here.parent / "lower/export"
        for name in "abcdef":
            shutil.copytree(lower / "dir", lower / name)
            for path in (lower / name, lower / name / "deep", lower / name / "deep/leaf"):
                os.chown(path, 1000, 1000)
        world = World(here)
        base.chmod(0o700)
        fs, run = world.fs, world.run
        dirs = {name: world.key(f"{name}/deep", ALICE) for name in "abcdef"}
        leaf = {name: world.key(f"{name}/deep/leaf", ALICE) for name in "abcdef"}
        tops = {name: world.key(name, ALICE) for name in "abcdef"}
        run(fs.create(ALICE, dirs["a"], b"new", CreateMode.GUARDED, SetAttr(mode=0o644), b""))
        run(fs.mkdir(ALICE, dirs["b"], b"new", SetAttr(mode=0o755)))
        run(fs.remove(ALICE, dirs["c"], b"leaf"))
        run(fs.rename(ALICE, dirs["d"], b"leaf", dirs["d"], b"renamed"))
        run(fs.setattr(ALICE, leaf["e"], SetAttr(mode=0o600)))
        run(fs.link(ALICE, leaf["f"], tops["f"], b"link"))
        del leaf["c"]
        for _ in range(2):
            for key in (*dirs.values(), *leaf.values(), *tops.values()):
                assert run(world.fs.getattr(ALICE, key)).key == key
            world.restart()
        world.close()


@needs_root
def test_errors_of_the_bookkeeping_are_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with place("overlay") as here:
        world = World(here)
        dir = world.key("dir/deep")

        def broken(*_: object) -> None:
            raise OSError(EIO, "no")

        monkeypatch.setattr(world.fs._index, "alias", broken)
        made = world.run(world.fs.mkdir(ROOT, dir, b"new", SetAttr(mode=0o755)))
        assert world.run(world.fs.getattr(ROOT, made.attr.key)).mode == 0o755
        assert "copied up" in caplog.text
        world.close()


# Other code's threads


def _status() -> dict[str, list[str]]:
    with open("/proc/thread-self/status", encoding="ascii") as status:
        lines = (line.split(":", 1) for line in status)
        return {name: rest.split() for name, rest in lines if name in ("Uid", "Gid", "Groups")}


@needs_root
@pytest.mark.parametrize("used", [False, True])
def test_threads_of_others_are_the_process(here: Path, used: bool) -> None:
    """Those too that the loop starts for them while it acts as a caller."""
    own = _status()
    world = World(here)
    world.export.chmod(0o777)
    runner = asyncio.Runner()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if used:
            await loop.run_in_executor(None, time.sleep, 0)
        world.fs = type(world.fs)(world.export, state=None)
        await world.fs.start()
        root = (await world.fs.root(ROOT)).key
        barrier = threading.Barrier(3)
        await world.fs.create(ALICE, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")

        def look() -> dict[str, list[str]]:
            barrier.wait(5)
            return _status()

        jobs = [loop.run_in_executor(None, look) for _ in range(3)]
        assert _status() != own
        assert await asyncio.gather(*jobs) == [own] * 3
        await world.fs.stop()

    first = world.fs
    runner.run(main())
    runner.close()
    world.fs = first
    world.close()


@needs_root
def test_the_process_keeps_its_groups() -> None:
    """Those that it had before anybody asked who it is."""
    code = (
        "import os; from backends.posix import creds; before = os.getgroups(); "
        "creds.of_this_thread().rest(); assert os.getgroups() == before, os.getgroups()"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=Path(__file__).parents[3],
        preexec_fn=lambda: os.setgroups([5, 77]),
    )


@needs_root
def test_an_executor_of_ones_own_stays(here: Path) -> None:
    world = World(here)

    async def main() -> object:
        loop = asyncio.get_running_loop()
        mine = ThreadPoolExecutor(1, "mine")
        loop.set_default_executor(mine)
        creds.of_this_thread().attach(loop)
        return loop._default_executor is mine  # type: ignore[attr-defined]

    with asyncio.Runner() as runner:
        assert runner.run(main())
    creds.of_this_thread().attach(world.runner.get_loop())
    world.close()


# Room


def test_removed_files_leave_their_space(world: World) -> None:
    keys = [world.make(f"file{number}") for number in range(40)]
    held = [world.fs._nodes.find(key) for key in keys]
    others(world)
    for number in range(40):
        world.run(world.fs.remove(ROOT, world.root, b"file%d" % number))
    assert world.fs._nodes._evicted
    world.fs._nodes.sweep(1)
    assert not world.fs._nodes._evicted
    assert all(node.fd == -1 for node in held)


def test_one_shortage_does_not_last(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(here, nodes=250)
    now = time.monotonic()
    for module in (nodes, pins):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    others(world, 300)
    table = world.fs._nodes
    assert len(table.table) == 250
    for _ in range(5):
        before = len(os.listdir("/proc/self/fd"))
        table.relieve()
        assert len(os.listdir("/proc/self/fd")) < before
    assert table._limited.limit == 125
    table.sweep(1)
    assert table._limited.limit == 125  # it is the same second
    limits = []
    for _ in range(100):
        now += 1
        table.sweep(1)
        limits.append(table._limited.limit)
    assert limits[0] < 140 and limits[-1] == 250 and limits == sorted(limits)
    others(world, 300)
    assert len(table.table) == 250
    for _ in range(20):
        now += 1
        table.relieve()
    assert table._limited.limit == 16
    world.close()


def test_relief_spares_the_files_in_use(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(here, nodes=100)
    others(world, 200)
    dir = world.fs._nodes.find(world.mkdir("mine"))
    (world.export / "mine/file").touch()
    others(world, 90)
    world.fs._table.move_to_end(dir.ino, last=False)
    real = os.open
    failed: list[bytes] = []

    def short(path: bytes, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == b"file" and not failed:
            failed.append(path)
            raise OSError(24, "Too many open files")
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", short)
    for node in world.fs._table.values():
        node.hot = True
    assert world.run(world.fs.lookup(ROOT, dir.attr.key, b"file"))
    assert failed and dir.fd >= 0 and len(world.fs._table) <= 51
    monkeypatch.undo()
    world.close()


# Permissions that are remembered


@needs_root
def test_rights_are_known_only_when_a_change_would_show(world: World) -> None:
    """Before Linux 6.13, two changes within a tick of the clock have one ctime."""
    file = world.make("file", b"data", 0o640)
    path = world.export / "file"
    other = Context(1000, 1000, (4242,))
    node = world.fs._nodes.find(file)
    os.chown(path, 0, 4242)
    assert world.run(world.fs.access(other, file, 0x3F)).access == Access.READ
    assert world.read(file, other) == b"data"
    assert other not in node.perms
    time.sleep(0.05)
    assert world.read(file, other) == b"data"
    assert node.perms[other] == os.R_OK
    creds.of_this_thread().rest()
    os.chown(path, 0, 0)
    assert not world.run(world.fs.access(other, file, 0x3F)).access


def test_whole_seconds_are_long_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    second = time.time_ns() // 10**9 * 10**9
    monkeypatch.setattr(core, "time", SimpleNamespace(time_ns=lambda: second + 1000))
    for ctime, known in ((second, False), (second - 3 * 10**9, True), (second + 10**12, False),
                         (second - 1, False), (second - 10**8 - 1, True)):  # fmt: skip
        assert core.Core._settled(ctime) == known, ctime - second


@needs_root
def test_a_change_during_a_write_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write changes the ctime too, and is not to be taken for the only one that did."""
    file = world.make("file", b"data", 0o660)
    path = world.export / "file"
    os.chown(path, 0, 4242)
    member = Context(1000, 1000, (4242,))
    time.sleep(0.05)
    assert world.run(world.fs.access(member, file, 0x3F)).access & Access.MODIFY
    assert world.fs._nodes.find(file).perms
    real = os.pwrite

    def slow(fd: int, data: Buffer, offset: int) -> int:
        os.chown(path, 0, 0)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    world.write(file, b"x")
    assert not world.run(world.fs.access(member, file, 0x3F)).access


@needs_root
def test_an_acl_change_within_a_tick_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is on a kernel where the ctime stays the same."""
    file = world.make("file", b"data", 0o666)
    allowed = True
    monkeypatch.setattr(kernel, "may", lambda fd, mode: allowed)
    assert world.run(world.fs.access(ALICE, file, 0x3F)).access
    allowed = False
    attr: Attr = world.run(world.fs.getattr(ALICE, file))
    assert attr.mode == 0o666
    assert not world.run(world.fs.access(ALICE, file, 0x3F)).access
