"""Function calls per call: Python's own, and those of C functions, counted within wake-ups.

    python3 tests/budget/budget_calls.py --write

writes what is counted now into function_calls.json, as the budget of this version of Python.

    python3 tests/budget/budget_calls.py --names posix CREATE

prints which functions a call of that kind runs through, and how often.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from budget_rig import KINDS, STORAGES, Rig, Work, rig

from benchmarks.scale_calls import READDIRPLUS, listing

TABLE = Path(__file__).with_name("function_calls.json")

#: Calls of one kind that are counted in one wake-up; twice as many are in another.
CALLS = 8

#: Of so many tries the least counts: what a storage remembers lasts until the next tick of a clock,
#: and machines pause.
TRIES = 3

#: Names in the directories that are listed to count what one more name takes.
NAMES = 10, 110

#: Above its budget a kind may be by this, since a table that is filled or cut costs one call much
#: and others nothing; a budget that is wider than what is needed by this share is to be lowered.
SLACK = 0.5
LOWER = 0.85

#: The part of a connection in which all of a call happens, unless it waits.
WAKE_UP = "_readable"


class Counter:
    """Counts function calls between the beginning and the end of each wake-up."""

    def __init__(self) -> None:
        self.wake_ups = self.python = self.c = 0
        #: How often each function was called; for people.
        self.names: dict[str, int] | None = None
        self._within: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """See `sys.setprofile`."""
        if self._within is None:
            if event == "call" and frame.f_code.co_name == WAKE_UP:
                self._within = frame
                self.wake_ups += 1
        elif event == "call":
            self.python += 1
            if self.names is not None:
                self._note(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}")
        elif event == "c_call":
            self.c += 1
            if self.names is not None:
                self._note(f"C {arg.__qualname__}")
        elif event == "return" and frame is self._within:
            self._within = None

    def _note(self, name: str) -> None:
        assert self.names is not None
        self.names[name] = self.names.get(name, 0) + 1


def counted(served: Rig, records: list[bytes]) -> tuple[int, int]:
    """The function calls, Python's and C's, of the one wake-up in which `records` are served.

    AssertionError if there were several, or a call had to wait.
    """
    counter = Counter()
    sys.setprofile(counter)
    try:
        replies = served.ask(records)
    finally:
        sys.setprofile(None)
    assert counter.wake_ups == 1, f"{counter.wake_ups} wake-ups"
    assert all(reply[20:24] == bytes(4) and reply[24:28] in (b"", bytes(4)) for reply in replies)
    return counter.python, counter.c


def per_call(served: Rig, make: Callable[[int], list[bytes]]) -> list[float]:
    """Function calls that one more call takes, [Python, C]: the wake-up's own are left out."""
    counted(served, make(2))  # whatever is remembered is remembered by now
    few = min(counted(served, make(CALLS)) for _ in range(TRIES))
    many = min(counted(served, make(2 * CALLS)) for _ in range(TRIES))
    return [(b - a) / CALLS for a, b in zip(few, many, strict=True)]


def measure(served: Rig) -> Iterator[tuple[str, list[float]]]:
    """(kind, [Python, C]) for each kind of call; READDIRPLUS is for each name."""
    work = Work(served)
    for kind in KINDS:
        yield kind, per_call(served, partial(work.batch, kind))
    counts = []
    for names in NAMES:
        record = served.talk.record
        args = listing(served.make_dir(b"dir%d" % names, names))
        counted(served, [record(READDIRPLUS, args)])
        counts.append(min(counted(served, [record(READDIRPLUS, args)]) for _ in range(TRIES)))
    span = NAMES[1] - NAMES[0]
    yield "READDIRPLUS name", [(b - a) / span for a, b in zip(*counts, strict=True)]


def version() -> str:
    """The table's key: how calls are made differs from one minor version to the next."""
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def table() -> dict[str, dict[str, dict[str, list[float]]]]:
    """Version -> storage -> kind -> [Python, C]."""
    found: dict[str, dict[str, dict[str, list[float]]]] = json.loads(TABLE.read_text())
    return found


def compare(found: Mapping[str, list[float]], budget: Mapping[str, list[float]]) -> list[str]:
    """A line for each kind that takes more than its budget, or so much less that it is too wide."""
    lines = [f"{kind}: no budget" for kind in found.keys() - budget.keys()]
    for kind in sorted(found.keys() & budget.keys()):
        for what, now, limit in zip(("Python", "C"), found[kind], budget[kind], strict=True):
            if now > limit + SLACK:
                lines.append(f"{kind}: {now:g} {what} function calls, the budget is {limit:g}")
            elif now < limit * LOWER:
                lines.append(
                    f"{kind}: {now:g} {what} function calls, lower its budget of {limit:g}"
                )
    return lines


def dumps(values: dict[str, Any]) -> str:
    """As it lies in the repository: a line for each kind."""
    text = json.dumps(values, indent=1, sort_keys=True)
    return re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text) + "\n"


def print_names(storage: str, kind: str) -> None:
    """The functions of 16 calls in one wake-up, the most frequent first."""
    counter = Counter()
    counter.names = {}
    with tempfile.TemporaryDirectory() as place, rig(STORAGES[storage](Path(place))) as served:
        work = Work(served)
        served.ask(work.batch(kind, 16))
        records = work.batch(kind, 16)
        sys.setprofile(counter)
        served.ask(records)
        sys.setprofile(None)
    for name, count in sorted(counter.names.items(), key=lambda item: -item[1]):
        print(f"{count / 16:8.2f}  {name}")


def main() -> None:
    """Measure; with --write, keep it as the budget."""
    if "--names" in sys.argv:
        print_names(*sys.argv[-2:])
        return
    found: dict[str, Any] = {}
    for storage, make in STORAGES.items():
        with tempfile.TemporaryDirectory() as place, rig(make(Path(place))) as served:
            found[storage] = dict(measure(served))
    print(dumps(found), end="")
    if "--write" in sys.argv:
        known = table() if TABLE.exists() else {}
        TABLE.write_text(dumps({**known, version(): found}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
