"""Where a file is synced: on the loop if that is quick and the loop has time, else by a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from posix_kit import ROOT, World, place

from backends.base import Key, Stable
from backends.posix import descriptors
from backends.posix.pace import LONE_SYNCS, QUICK_NS, SYNCS_HERE, WINDOW_NS, Pace


def lone(pace: Pace | None = None) -> Pace:
    """One that has seen no two syncs side by side."""
    pace = pace or Pace()
    for _ in range(LONE_SYNCS):
        pace.alone(True)
    return pace


def test_it_is_looked_again_whether_syncs_come_side_by_side() -> None:
    pace = lone()
    pace.took(1000)
    assert [pace.allows(1, 0) for _ in range(SYNCS_HERE + 1)] == [True] * SYNCS_HERE + [False]
    for alone in (True, True, True, False, True, True, True):
        pace.alone(alone)
        assert not pace.allows(1, 0)
    pace.alone(True)
    assert pace.allows(1, 0)


def test_the_first_sync_and_slow_ones_are_for_threads() -> None:
    pace = lone()
    assert not pace.allows(WINDOW_NS, 0)
    pace.took(QUICK_NS)
    assert pace.allows(WINDOW_NS + 1, 0)
    pace.took(3 * QUICK_NS)
    assert not pace.allows(WINDOW_NS + 2, 0)
    for _ in range(10):
        pace.took(QUICK_NS // 2)
    assert pace.allows(WINDOW_NS + 3, 0)
    pace.quick = 0
    assert not pace.allows(WINDOW_NS + 4, 0)


def test_a_busy_loop_leaves_them_to_threads() -> None:
    pace = lone()
    pace.took(1000)
    assert pace.allows(10 * WINDOW_NS, 0)
    assert pace.allows(10 * WINDOW_NS + 1, 1)  # looked at too shortly before
    assert not pace.allows(12 * WINDOW_NS, 2 * WINDOW_NS)
    assert not pace.allows(12 * WINDOW_NS + 1, 2 * WINDOW_NS)
    assert pace.allows(13 * WINDOW_NS, 2 * WINDOW_NS + 1)


class Syncs:
    """Notes whether fdatasync and fsync are called by the loop's thread; may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on_loop: list[bool] = []
        self.fails = False
        monkeypatch.setattr(descriptors, "fsync", self.sync)
        monkeypatch.setattr(descriptors, "fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        self.on_loop.append(threading.current_thread() is threading.main_thread())
        if self.fails:
            raise OSError(5, "no")
        os.fsync(fd)


@pytest.fixture
def world() -> Iterator[World]:
    """A server on a file system in memory, that has seen one quick sync."""
    with place("tmpfs") as here:
        world = World(here)
        pace = world.fs._syncs.pace
        pace.quick = QUICK_NS
        pace.took(1000)
        lone(pace)
        pace._since = 1 << 62  # it never looks how busy this process is
        yield world
        world.close()


async def stable(world: World, *keys: Key) -> list[object]:
    writes = (world.fs.write(ROOT, key, 0, b"data", Stable.FILE_SYNC) for key in keys)
    return list(await asyncio.gather(*writes, return_exceptions=True))


def test_one_at_a_time_is_synced_on_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [world.make(name) for name in "abcd"]
    syncs = Syncs(monkeypatch)
    for key in files:
        world.run(stable(world, key))
    assert syncs.on_loop == [True] * 4
    syncs.on_loop.clear()
    world.run(stable(world, *files))
    assert sorted(syncs.on_loop) == [False, False, False, True]


def test_what_fails_on_the_loop_has_another_verifier(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.make("file")
    syncs = Syncs(monkeypatch)
    before = world.fs.verifier
    syncs.fails = True
    [result] = world.run(stable(world, key))
    assert isinstance(result, OSError) and syncs.on_loop == [True]
    assert world.fs.verifier != before


def test_a_call_that_is_synced_on_the_loop_does_not_wait(world: World) -> None:
    key = world.make("file")

    async def step() -> bool:
        call = world.fs.write(ROOT, key, 0, b"data", Stable.FILE_SYNC)
        try:
            call.send(None)
        except StopIteration:
            return True
        return False

    assert world.run(step())
