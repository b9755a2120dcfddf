"""Runs of phases to ratios, tables and JSON. Pure.

A ratio is made of two runs that stood beside each other in one pair, theirs divided by ours, so
that more than one is for us and a drift of the machine cancels out. Of the pairs' ratios the table
has the median, and the smallest and largest in brackets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.report import Spread

OURS, THEIRS = "nfsloop", "ganesha"
KIND, FORMAT = "kernel", 1


@dataclass(frozen=True)
class Run:
    """One phase of one workload, once, over one server. Times in seconds.

    `calls` has of each procedure the fields of `mountstats.Op`.
    """

    phase: str
    server: str
    seconds: float
    server_cpu: float
    client_cpu: float
    calls: Mapping[str, Mapping[str, int]]

    @property
    def count(self) -> int:
        return sum(op["calls"] for op in self.calls.values())

    def __str__(self) -> str:
        return (
            f"{self.phase:32} {self.server:8} {self.seconds:7.2f} s, CPU of server "
            f"{self.server_cpu:6.3f} s, of client {self.client_cpu:6.2f} s, {self.count:6} calls"
        )


@dataclass(frozen=True)
class Calls:
    """One procedure within a phase, medians over the runs."""

    calls: int
    rtt_us: float  # as the client waits for one


@dataclass(frozen=True)
class Side:
    """One server's runs of a phase: medians, times in seconds."""

    seconds: float
    server_cpu: float
    client_cpu: float
    calls: Mapping[str, Calls]

    @property
    def total(self) -> int:
        return sum(op.calls for op in self.calls.values())


@dataclass(frozen=True)
class Line:
    """A phase over all its pairs; without nfs-ganesha there is neither `theirs` nor a ratio."""

    phase: str
    ours: Side
    theirs: Side | None
    wall: Spread | None
    cpu: Spread | None


def ratios(ours: Sequence[Run], theirs: Sequence[Run], of: Callable[[Run], float]) -> Spread | None:
    """Theirs divided by ours, pair by pair; None if there is no pair in which ours took time."""
    pairs = zip(ours, theirs, strict=False)
    return Spread.of([of(b) / of(a) for a, b in pairs if of(a) > 0])


def lines(runs: Sequence[Run]) -> list[Line]:
    """One for each phase that this server has done, in the order of the first pair."""
    found = []
    for phase in dict.fromkeys(run.phase for run in runs):
        ours = [run for run in runs if (run.phase, run.server) == (phase, OURS)]
        theirs = [run for run in runs if (run.phase, run.server) == (phase, THEIRS)]
        if ours:
            wall = ratios(ours, theirs, lambda run: run.seconds)
            cpu = ratios(ours, theirs, lambda run: run.server_cpu)
            other = side(theirs) if theirs else None
            found.append(Line(phase, side(ours), other, wall, cpu))
    return found


def side(runs: Sequence[Run]) -> Side:
    """The medians of one server's runs of one phase."""
    calls: dict[str, Calls] = {}
    for name in sorted({name for run in runs for name in run.calls}):
        ops = [run.calls[name] for run in runs if name in run.calls]
        made = [op["calls"] for op in ops] + [0] * (len(runs) - len(ops))
        if count := int(median(made)):
            calls[name] = Calls(count, median(1000 * op["rtt_ms"] / op["calls"] for op in ops))
    return Side(
        median(run.seconds for run in runs),
        median(run.server_cpu for run in runs),
        median(run.client_cpu for run in runs),
        calls,
    )


def unlike(line: Line) -> str:
    """The procedures that the client calls a different number of times, ours first."""
    if line.theirs is None:
        return ""
    told = []
    for name in sorted(line.ours.calls.keys() | line.theirs.calls.keys()):
        a, b = (
            one.calls[name].calls if name in one.calls else 0 for one in (line.ours, line.theirs)
        )
        if abs(a - b) > max(2, 0.02 * max(a, b)):
            told.append(f"{name} {a}/{b}")
    return ", ".join(told)


HEADS = (
    "phase", "times as fast", "s nfsloop", "s ganesha", "server CPU, times less",
    "CPU s nfsloop", "CPU s ganesha", "calls nfsloop", "calls ganesha", "unlike",
)  # fmt: skip
CALL_HEADS = (
    "phase", "procedure", "calls nfsloop", "calls ganesha", "us nfsloop", "us ganesha",
)  # fmt: skip
#: Procedures of fewer calls than this in a phase are left out of the second table.
FEW_CALLS = 10
Rows = list[tuple[str, ...]]


def rows(found: Sequence[Line]) -> Rows:
    """The first table: a phase a line."""
    table: Rows = [HEADS]
    for line in found:
        ours, theirs = line.ours, line.theirs
        table.append((
            line.phase,
            str(line.wall or ""),
            f"{ours.seconds:.2f}",
            f"{theirs.seconds:.2f}" if theirs else "",
            str(line.cpu or ""),
            f"{ours.server_cpu:.3f}",
            f"{theirs.server_cpu:.3f}" if theirs else "",
            str(ours.total),
            str(theirs.total) if theirs else "",
            unlike(line),
        ))  # fmt: skip
    return table


def call_rows(found: Sequence[Line]) -> Rows:
    """The second table: what the client waited for each procedure's reply."""
    table: Rows = [CALL_HEADS]
    for line in found:
        both = [line.ours.calls, line.theirs.calls if line.theirs else {}]
        for name in sorted(both[0].keys() | both[1].keys()):
            ops = [one.get(name) for one in both]
            if max(op.calls for op in ops if op) >= FEW_CALLS:
                counts = [str(op.calls) if op else "" for op in ops]
                times = [f"{op.rtt_us:.0f}" if op else "" for op in ops]
                table.append((line.phase, name, *counts, *times))
    return table


def aligned(table: Rows) -> str:
    """For a terminal."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def piped(table: Rows) -> str:
    """For Markdown."""
    rule = "|---" * len(table[0]) + "|"
    made = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([made[0], rule, *made[1:]])


def markdown(about: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """Both tables, and what they were measured on."""
    found = lines(runs)
    head = [f"- {name}: {value}" for name, value in about.items()]
    return "\n".join([*head, "", piped(rows(found)), "", piped(call_rows(found)), ""])


def json_text(about: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """All that was measured, and the ratios."""
    told = {
        line.phase: {
            "times_as_fast": asdict(line.wall) if line.wall else None,
            "server_cpu_times_less": asdict(line.cpu) if line.cpu else None,
        }
        for line in lines(runs)
    }
    whole = {
        "kind": KIND, "format": FORMAT, "about": dict(about), "ratios": told,
        "runs": [asdict(run) for run in runs],
    }  # fmt: skip
    return json.dumps(whole, indent=1) + "\n"
