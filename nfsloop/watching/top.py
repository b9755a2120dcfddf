"""`nfsloop top`: what a running server does, second by second.

`Source` asks it, `Model` keeps what was said, `frame` lays a moment out as lines, without a word to
the terminal; `nfsloop.watching.screen` puts them there, `frames` prints them one after the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count as counting
from pathlib import Path
from typing import Any

from nfsloop.control import ask
from nfsloop.errors import ConfigError
from nfsloop.printable import printable
from nfsloop.watching.rates import SORTS, VIEWS, Rates, Row, rates
from nfsloop.watching.snapshot import Process, Snapshot
from nfsloop.watching.tables import (
    Column,
    Line,
    Span,
    Table,
    age,
    cut_line,
    latency,
    layout,
    megabytes,
    number,
    plain,
    size,
    write,
)

#: A server that does not answer for so long is said not to.
ANSWER_SECONDS = 10.0

#: What is exported is asked for so often; and what has happened is told for so long.
EXPORTS_SECONDS = 10.0
NOTE_SECONDS = 10.0

#: So many processes are told of one by one.
PROCESSES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server said; `error` is why it said nothing."""

    snapshot: Snapshot | None = None
    exports: tuple[str, ...] = ()
    error: str = ""


class Source:
    """Asks the server with the state directory `state`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._exports: tuple[str, ...] = ()
        self._until = 0.0

    def sample(self) -> Sample:
        """What it says now; that it does not answer is an answer, too."""
        try:
            value = self._ask("snapshot")
            if time.monotonic() >= self._until:
                self._exports = tuple(row["path"] for row in self._ask("exports"))
                self._until = time.monotonic() + EXPORTS_SECONDS
            return Sample(Snapshot.from_json(value), self._exports)
        except ConfigError as exc:
            self._until = 0.0
            return Sample(error=str(exc))
        except (KeyError, TypeError, ValueError):
            return Sample(error="the server is of another version of nfsloop: it says other things")

    def _ask(self, command: str) -> Any:
        return json.loads(ask(self._state, command, ANSWER_SECONDS)[0])


@dataclass(slots=True)
class View:
    """What whoever looks wants to see."""

    by: str = "procedure"
    sort: str = "calls"
    paused: bool = False

    def key(self, key: str) -> bool:
        """Do what a key stands for; whether to end."""
        if key in VIEWS:
            self.by = VIEWS[key]
        elif key == "s":
            sorts = list(SORTS)
            self.sort = sorts[(sorts.index(self.sort) + 1) % len(sorts)]
        elif key == " ":
            self.paused = not self.paused
        return key in {"q", "Q"}


@dataclass(slots=True)
class Model:
    """What is known of the server, from one sample after the other."""

    snapshot: Snapshot | None = None
    rates: Rates = field(default_factory=Rates)
    #: Shares of a processor, by process; not of one that has just begun.
    cpu: dict[str, float] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    error: str = ""
    #: What has happened, and until when (`time.monotonic`) it is worth a line.
    note: str = ""
    noted: float = 0.0

    def feed(self, sample: Sample) -> None:
        """Take one more."""
        self.error = sample.error
        if sample.snapshot is None:
            self.rates, self.cpu = Rates(), {}
            return
        last, self.snapshot, self.exports = self.snapshot, sample.snapshot, sample.exports
        if last is None:
            return
        self.rates = rates(self.snapshot - last)
        elapsed = self.snapshot.monotonic - last.monotonic
        self.cpu = {
            name: max(0.0, process.cpu_seconds - last.processes[name].cpu_seconds) / elapsed
            for name, process in self.snapshot.processes.items()
            if name in last.processes and last.processes[name].pid == process.pid and elapsed > 0
        }
        for name, process in self.snapshot.processes.items():
            if name in last.processes and last.processes[name].pid != process.pid:
                self._happened(f"{name} began anew at {time.strftime('%H:%M:%S')}")
                break  # where the home did, all did

    def _happened(self, text: str) -> None:
        self.note, self.noted = text, time.monotonic() + NOTE_SECONDS


# A moment, as lines


def frame(model: Model, view: View, width: int | None, height: int | None = None) -> list[Line]:
    """What is shown; with a `height`, that many lines, the last of which tells of the keys."""
    lines = header(model)
    wrong = _wrong(model, view)
    if wrong:
        lines.append([Span(wrong, "bold red" if model.error else "yellow")])
    lines.append([])
    rows = model.rates.sorted(view.by, view.sort)
    if height is None:
        rows = [row for row in rows if row.calls]
    body = layout(table(rows, view), width)
    if height is not None:
        room = max(1, height - len(lines) - 1)
        if len(body) > room:
            more = len(body) - room + 1
            body = [*body[: room - 1], [Span(f"{more} more", "dim")]]
        body += [[]] * (room - len(body))
        body.append(_keys(view, width))
    lines += body
    return lines if width is None else [cut_line(line, width) for line in lines]


def _wrong(model: Model, view: View) -> str:
    if view.paused:
        return "paused: space goes on"
    if model.error:
        return f"trying again: {printable(model.error)}"
    if time.monotonic() < model.noted:
        return printable(model.note)
    return "" if model.rates.seconds else "counting"


def header(model: Model) -> list[Line]:
    """What holds of the server as a whole."""
    snapshot, whole = model.snapshot, model.rates.whole
    if snapshot is None or model.error:  # what it said last holds no more
        return [[Span("nfsloop", "bold")]]
    first = next(iter(snapshot.processes.values()), None)
    up = f"up {age(snapshot.time - first.started)}, " if first is not None and first.started else ""
    exports = ", ".join(map(printable, model.exports))
    counts = snapshot.counts
    duplicates = counts.duplicates["hits"] + counts.duplicates["in_progress"]
    return [
        [Span("nfsloop ", "bold"), Span(f"{up}{_many(len(model.exports), 'export')}: {exports}")],
        [Span(", ".join(_processes(model, snapshot.processes)))],
        [
            Span(f"{_many(counts.connections, 'connection')}, "),
            Span(f"{_many(counts.waiting, 'call')} waiting, "),
            Span(f"{_many(duplicates, 'duplicate')}, {counts.refused.total()} refused"),
        ],
        [
            Span(f"{number(whole.calls)} calls/s, ", "bold"),
            Span(f"{number(whole.errors)} errors/s, ", "red" if whole.errors else ""),
            Span(f"in {megabytes(whole.received_bytes)} MB/s"),
            Span(f", out {megabytes(whole.sent_bytes)} MB/s"),
        ],
    ]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _processes(model: Model, processes: dict[str, Process]) -> Iterator[str]:
    memory = sum(process.resident_bytes for process in processes.values())
    if len(processes) > PROCESSES:
        cpu = sum(model.cpu.values())
        yield f"{len(processes)} processes: CPU {100 * cpu:.0f} %"
        yield f"memory {size(memory)}"
        return
    for name, process in processes.items():
        share = model.cpu.get(name)
        cpu_text = "" if share is None else f" CPU {100 * share:.0f} %"
        yield f"{printable(name)} {process.pid}:{cpu_text} {size(process.resident_bytes)}"


#: Of a table of rates; the name's title is the view's.
_RATES = (
    Column("CALLS/S", right=True, room=7),
    Column("ERR/S", right=True, drop=2, room=5),
    Column("MOSTLY", least=6, drop=5, room=8),
)
_TIMES = (
    Column("P50", right=True, drop=4, room=7),
    Column("P99", right=True, drop=1, room=7),
)
_MEANS = (
    Column("MEAN", right=True, drop=1, room=7),
    Column("CONNECTIONS", right=True, drop=4),
)
_BYTES = (
    Column("IN MB/S", right=True, drop=3),
    Column("OUT MB/S", right=True, drop=3),
)


def table(rows: list[Row], view: View) -> Table:
    """The rows of a view."""
    name = Column(view.by.upper(), least=16, room=18)
    columns = [name, *_RATES, *_TIMES, *_BYTES]
    if view.by == "client":
        columns = [name, *_RATES[:2], *_MEANS, *_BYTES]
    return Table(columns, [_cells(row, view.by == "client") for row in rows])


def _cells(row: Row, client: bool) -> list[Span]:
    style = "" if row.calls else "dim"
    bad = "red" if row.errors else style
    middle = (
        (latency(row.mean_seconds), str(row.connections))
        if client
        else (
            printable(row.commonest_error),
            latency(row.p50_seconds or 0),
            latency(row.p99_seconds or 0),
        )
    )
    texts = (*middle, megabytes(row.received_bytes), megabytes(row.sent_bytes))
    return [
        Span(printable(row.name), style),
        Span(number(row.calls), style),
        Span(number(row.errors), bad),
        *(Span(text, bad if text and text == row.commonest_error else style) for text in texts),
    ]


def _keys(view: View, width: int | None) -> Line:
    short = width is not None and width < 76
    names = {"q": "quit", **{key: "" if short else by for key, by in VIEWS.items()}}
    line: Line = []
    for key, name in (*names.items(), ("s", f"sort: {view.sort}"), ("space", "pause")):
        chosen = VIEWS.get(key) == view.by
        line += [Span(f"{key} ", "bold"), Span(name, "reverse" if chosen else "")]
        line.append(Span("  " if name else ""))
    if short:
        line.append(Span(view.by))
    return line


# One frame after the other, for whoever has no terminal


def as_json(model: Model, view: View) -> dict[str, Any]:
    """The moment as an object; docs/watching.md has the keys."""
    snapshot = model.snapshot
    if model.error or snapshot is None:
        return {"time": round(time.time(), 3), "error": model.error}
    counts = snapshot.counts
    return {
        "time": round(snapshot.time, 3),
        "seconds": round(model.rates.seconds, 3),
        "exports": list(model.exports),
        "processes": {
            name: {
                "pid": process.pid,
                "started": round(process.started, 3),
                "cpu": round(model.cpu[name], 4) if name in model.cpu else None,
                "resident_bytes": process.resident_bytes,
                "descriptors": process.descriptors,
            }
            for name, process in snapshot.processes.items()
        },
        "connections": counts.connections,
        "waiting": counts.waiting,
        "duplicates": counts.duplicates["hits"] + counts.duplicates["in_progress"],
        "refused": counts.refused.total(),
        "all": model.rates.whole.json(),
        "by": view.by,
        "rows": [row.json() for row in model.rates.sorted(view.by, view.sort) if row.calls],
    }


def dumps(value: object) -> str:
    """JSON in printable ASCII."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def frames(
    sample: Callable[[], Sample],
    view: View,
    interval: float,
    count: int | None,
    json_lines: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print a frame each `interval`, `count` times or for ever; the exit status.

    Raises ConfigError where the server does not answer at the start; later, that is a frame.
    """
    model = Model()
    model.feed(sample())
    if model.error:
        raise ConfigError(model.error)
    for done in counting(1):
        sleep(interval)
        model.feed(sample())
        if json_lines:
            text = dumps(as_json(model, view)) + "\n"
        else:
            text = plain(frame(model, view, None)) + ("\n" if done != count else "")
        if write(text) or done == count:
            break
    return 0
