"""How many functions one call runs through, held to a table: times are noisy, these are not."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import budget_calls
import pytest
from budget_rig import KINDS, STORAGES, Work, rig

from benchmarks.scale_calls import READDIRPLUS, listing

#: Calls of each kind after which nothing may have been left behind.
ROUNDS, BATCH = 30, 16

#: What takes more than its budget is counted again: where processes share a processor, clocks tick,
#: and memories end, in the midst of each try. What really takes more does so each time.
ATTEMPTS = 5

#: Memory blocks that so many calls may leave: tables that were made larger once.
BLOCKS = 120


@pytest.mark.parametrize("storage", STORAGES)
def test_function_calls_of_a_call_are_within_their_budget(storage: str, tmp_path: Path) -> None:
    budgets = budget_calls.table().get(budget_calls.version())
    if budgets is None:
        pytest.skip(f"no table for {budget_calls.version()}: tests/budget/budget_calls.py --write")
    wrong: list[str] = []
    for attempt in range(ATTEMPTS):
        place = tmp_path / str(attempt)
        place.mkdir()
        with rig(STORAGES[storage](place)) as served:
            found = dict(budget_calls.measure(served))
        doubtful = {line.partition(":")[0] for line in wrong} if attempt else found.keys()
        again = {kind: counts for kind, counts in found.items() if kind in doubtful}
        wrong = budget_calls.compare(again, budgets[storage])
        if not wrong:
            return
    pytest.fail("\n".join(wrong))


def test_a_rise_and_a_fall_are_told() -> None:
    budget = {"GETATTR": [20.0, 10.0], "READ": [20.0, 10.0]}
    assert budget_calls.compare({"GETATTR": [20.3, 10.0]}, budget) == []
    assert budget_calls.compare({"GETATTR": [17.0, 9.0]}, budget) == []
    more = budget_calls.compare({"GETATTR": [21.0, 10.0], "READ": [20.0, 8.0]}, budget)
    assert [line.partition(" function")[0] for line in more] == ["GETATTR: 21 Python", "READ: 8 C"]
    assert budget_calls.compare({"NULL": [1.0, 1.0]}, budget) == ["NULL: no budget"]


def test_what_is_counted_counts() -> None:
    """One function more in the way of a call is one more in the count."""

    def measured(extra: bool) -> tuple[int, int]:
        counter = budget_calls.Counter()

        def one_more() -> int:
            return len(())

        def _readable() -> None:
            if extra:
                one_more()

        sys.setprofile(counter)
        _readable()
        sys.setprofile(None)
        assert counter.wake_ups == 1
        return counter.python, counter.c

    assert measured(False) == (0, 0)
    assert measured(True) == (1, 1)


@pytest.mark.parametrize("storage", STORAGES)
def test_calls_leave_nothing_behind(storage: str, tmp_path: Path) -> None:
    """No cycles, so that the collector never finds work; and no memory that grows by the call.

    Replies of CREATE, REMOVE and WRITE are kept, each in a few blocks: up to a limit that
    docs/limits.md names; what they leave is counted in tests/scale.
    """
    with rig(STORAGES[storage](tmp_path)) as served:
        work = Work(served)
        args = listing(served.make_dir(b"dir", 50))
        record = served.talk.record

        def many(kind: str, rounds: int) -> None:
            for _ in range(rounds):
                calls = (
                    [record(READDIRPLUS, args)]
                    if kind == "READDIRPLUS"
                    else work.batch(kind, BATCH)
                )
                served.ask(calls)

        for kind in (*KINDS, "READDIRPLUS"):
            many(kind, 4)
            gc.collect()
            gc.disable()
            try:
                before = sys.getallocatedblocks()
                many(kind, ROUNDS)
                grown = sys.getallocatedblocks() - before
                cycles = _cycles()
            finally:
                gc.enable()
            assert not cycles, f"{kind} leaves {len(cycles)} objects in cycles: {cycles[:5]}"
            if kind not in ("CREATE", "REMOVE", "WRITE"):
                assert grown <= BLOCKS, f"{ROUNDS * BATCH} {kind} leave {grown} blocks of memory"


def _cycles() -> list[str]:
    """The types of all objects that only the collector can free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [type(each).__qualname__ for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
