"""That a call's cost does not grow with the number of files, names and connections: in lines of
Python executed, so that a loop shows, not in time. `python3 -m benchmarks scale` measures the same
with a million of each.

The rig that counts is that of tests/budget.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from backends.base import Backend
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from benchmarks.scale_calls import (
    CREATE,
    GETATTR,
    LOOKUP,
    READDIRPLUS,
    Caller,
    Talk,
    entries,
    handle_of,
    listing,
    opaque,
)

sys.path.append(str(Path(__file__).parents[1] / "budget"))

from budget_calls import WAKE_UP
from budget_rig import Rig, rig

FEW, MANY = 10, 2_500

#: Calls in one wake-up; of so many tries the least counts, as in `budget_calls`.
CALLS, TRIES = 8, 3

#: What the wake-up with many may take beyond that with few: something that is made larger or let go
#: once in a while, not for each.
SLACK = 20


class Lines:
    """Counts the lines that are executed within wake-ups."""

    def __init__(self) -> None:
        self.wake_ups = self.lines = 0
        self._within: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """See `sys.settrace`."""
        if self._within is None:
            if frame.f_code.co_name != WAKE_UP:
                return None
            self._within = frame
            self.wake_ups += 1
        return self._local

    def _local(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.lines += 1
        elif event == "return" and frame is self._within:
            self._within = None
        return self._local


def lines(served: Rig, records: Sequence[bytes]) -> tuple[int, list[bytes]]:
    """The lines that one wake-up takes for `records`, and their replies, all of them NFS3_OK."""
    counter = Lines()
    sys.settrace(counter)
    try:
        replies = served.ask(records)
    finally:
        sys.settrace(None)
    assert counter.wake_ups == 1
    assert all(reply[20:28] == bytes(8) for reply in replies)
    return counter.lines, replies


def in_memory(place: Path) -> Backend:
    return MemoryBackend()


def on_disk(place: Path) -> Backend:
    for name, files in (("few", FEW), ("many", MANY)):
        (place / name).mkdir()
        for n in range(files):
            os.close(os.open(place / name / f"{n:07}", os.O_CREAT | os.O_WRONLY, 0o644))
    return PosixBackend(place, state=None)


STORAGES: dict[str, Callable[[Path], Backend]] = {"memory": in_memory, "posix": on_disk}


def directories(caller: Caller, storage: str) -> list[bytes]:
    """A directory with few names and one with many."""
    if storage == "memory":
        return [caller.make_dir(b"few", FEW), caller.make_dir(b"many", MANY)]
    return [handle_of(caller.call(LOOKUP, caller.named(n)), 4) for n in (b"few", b"many")]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_name_is_found_and_made_at_the_same_cost_among_few_and_many(
    storage: str, tmp_path: Path
) -> None:
    with rig(STORAGES[storage](tmp_path)) as served:
        record = served.talk.record

        def lookups(here: bytes) -> list[bytes]:
            return [record(LOOKUP, served.named(b"%07d" % n, here)) for n in range(CALLS)]

        def creates(here: bytes, turn: int) -> list[bytes]:
            names = [b"new%d.%d" % (turn, n) for n in range(CALLS)]
            return [record(CREATE, served.creating(name, here)) for name in names]

        costs = []
        for here in directories(served, storage):
            served.ask(lookups(here))
            costs.append(
                (
                    min(lines(served, lookups(here))[0] for _ in range(TRIES)),
                    min(lines(served, creates(here, turn))[0] for turn in range(TRIES)),
                )
            )
    assert all(many <= few + SLACK for few, many in zip(*costs, strict=True)), costs


@pytest.mark.parametrize("storage", STORAGES)
def test_a_listing_is_linear(storage: str, tmp_path: Path) -> None:
    """Each page of a long listing costs what the others do: a cookie is no search."""
    with rig(STORAGES[storage](tmp_path)) as served:
        _, many = directories(served, storage)
        costs: list[float] = []
        cookie, more = 0, True
        while more:
            args = listing(many, cookie)
            cost, [reply] = lines(served, [served.talk.record(READDIRPLUS, args)])
            found, cookie, more = entries(reply[24:], cookie)
            costs.append(cost / len(found))
    assert len(costs) > 4
    assert max(costs[1:-1]) <= sorted(costs)[len(costs) // 2] * 1.1, costs


def test_a_call_costs_the_same_beside_many_connections() -> None:
    with rig(MemoryBackend()) as served:
        record = served.talk.record
        args = opaque(served.root)
        served.ask([record(GETATTR, args)])
        few, _ = lines(served, [record(GETATTR, args) for _ in range(CALLS)])
        talks = [Talk(served.server.port) for _ in range(200)]
        for _ in range(3):  # all are accepted
            served.ask([record(GETATTR, args)])
        assert served.server.app.server.guards.connections == 201
        many, _ = lines(served, [record(GETATTR, args) for _ in range(CALLS)])
        for talk in talks:
            talk.sock.close()
    assert many == few
