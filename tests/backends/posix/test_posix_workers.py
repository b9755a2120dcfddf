"""Threads that sync and close: what they are given, how much at most, and the end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest
from posix_kit import ROOT, World, place

from backends.base import Stable
from backends.posix import descriptors, workers


@pytest.fixture
def world() -> Iterator[World]:
    """A server on a file system in memory."""
    with place("tmpfs") as here:
        world = World(here)
        yield world
        world.close()


class Closing:
    """Notes who closes removed files; they wait until `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.go.set()
        self.closed: list[tuple[bool, int]] = []
        real = workers._close_all

        def close_all(fds: list[int]) -> None:
            on_loop = threading.current_thread() is threading.main_thread()
            if not on_loop:
                assert self.go.wait(10)
            self.closed.append((on_loop, len(fds)))
            real(fds)

        monkeypatch.setattr(workers, "_close_all", close_all)


def removed(world: World, *sizes: int) -> list[str]:
    """What of files of these sizes is still open after they were removed, by one turn's calls."""
    for number, size in enumerate(sizes):
        world.make(f"removed{number}", b"x" * size)

    async def remove() -> None:
        for number in range(len(sizes)):
            await world.fs.remove(ROOT, world.fs._root.attr.key, b"removed%d" % number)

    world.run(remove())
    return still_open()


def still_open() -> list[str]:
    """Removed files that the process holds."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if "/removed" in path:
            found.append(path)
    return found


def wait_until_closed(world: World) -> None:
    """A few turns of the loop."""
    for _ in range(500):
        if not still_open():
            return
        world.run(asyncio.sleep(0.01))
    raise AssertionError(still_open())


def test_removed_files_are_closed_by_a_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a turn at once; those without data cost nothing, and are closed at once."""
    closing = Closing(monkeypatch)
    closing.go.clear()
    assert len(removed(world, 1, 0, 70000, 0)) == 2
    closing.go.set()
    wait_until_closed(world)
    assert closing.closed == [(False, 2)]


def test_so_many_wait_to_be_closed_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    closing = Closing(monkeypatch)
    monkeypatch.setattr(workers, "CLOSING_FILES", 3)
    closing.go.clear()
    assert len(removed(world, *[9] * 8)) == 3
    assert len(removed(world, *[9] * 4)) == 3
    closing.go.set()
    wait_until_closed(world)
    world.run(asyncio.sleep(0.01))
    closing.go.clear()
    assert len(removed(world, *[9] * 4)) == 3
    closing.go.set()


def test_a_stop_closes_what_was_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it returns, whether a thread has got it already or not."""
    closing = Closing(monkeypatch)
    closing.go.clear()
    assert len(removed(world, 9, 9)) == 2
    world.make("removed", b"data")

    async def stop() -> list[str]:
        await world.fs.remove(ROOT, world.fs._root.attr.key, b"removed")
        threading.Timer(0.1, closing.go.set).start()
        await world.fs.stop()
        return still_open()

    assert world.run(stop()) == []
    assert sum(count for _, count in closing.closed) == 3
    world.restart()


def test_syncs_of_many_files_run_side_by_side(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In as many threads as there are, and all are told of their own errors."""
    at_once = most = 0
    lock = threading.Lock()

    def fsync(fd: int) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        if os.readlink(f"/proc/self/fd/{fd}").endswith("bad"):
            raise OSError(5, "no")

    monkeypatch.setattr(descriptors, "fsync", fsync)
    files = [world.make(name) for name in (*"abcdefghijklmno", "bad")]

    async def write_all() -> list[object]:
        writes = (world.fs.write(ROOT, key, 0, b"x", Stable.FILE_SYNC) for key in files)
        return list(await asyncio.gather(*writes, return_exceptions=True))

    before = world.fs.verifier
    results = world.run(write_all())
    assert 1 < most <= 8
    assert [isinstance(result, OSError) for result in results] == [False] * 15 + [True]
    assert world.fs.verifier != before
