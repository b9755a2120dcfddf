"""What calls were made in a while: a row for each procedure, client or export. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from nfsloop.watching.snapshot import Calls, Client, Series, Snapshot

#: What rows may be, by the key that chooses them.
VIEWS = {"p": "procedure", "c": "client", "e": "export"}

#: How programs are called here; others by their own name.
_PROGRAMS = {"NFS_PROGRAM": "NFS", "MOUNT_PROGRAM": "MOUNT", "NLM_PROG": "NLM"}

#: Calls that are for no export, such as NULL.
NO_EXPORT = "(none)"

#: Less than this tells nothing of rates.
LEAST_SECONDS = 0.05


@dataclass(slots=True)
class Row:
    """Calls of one kind, each number a second; times in seconds."""

    name: str
    calls: float = 0.0
    errors: float = 0.0
    #: The commonest status among the errors; not told of clients.
    commonest_error: str = ""
    mean_seconds: float = 0.0
    #: What half of the calls and 99 % of them did not exceed; not told of clients.
    p50_seconds: float | None = None
    p99_seconds: float | None = None
    received_bytes: float = 0.0
    sent_bytes: float = 0.0
    #: A client's open TCP connections.
    connections: int | None = None

    def json(self) -> dict[str, Any]:
        """With what is known of it."""
        rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {key: value for key, value in rounded.items() if value not in (None, "")}


#: How rows are sorted: the key of each, the smallest first; of equals, by name.
SORTS: dict[str, Callable[[Row], Any]] = {
    "calls": lambda row: -row.calls,
    "errors": lambda row: -row.errors,
    "p99": lambda row: -(row.mean_seconds if row.p99_seconds is None else row.p99_seconds),
    "in": lambda row: -row.received_bytes,
    "out": lambda row: -row.sent_bytes,
    "name": lambda row: "",
}


@dataclass(slots=True)
class Rates:
    """All rows of a while of so many seconds, and their sum."""

    seconds: float = 0.0
    rows: dict[str, list[Row]] = field(default_factory=lambda: {by: [] for by in VIEWS.values()})
    whole: Row = field(default_factory=lambda: Row("all"))

    def sorted(self, by: str, sort: str) -> list[Row]:
        """The rows of a view; those without a call come last."""
        key = SORTS[sort]
        return sorted(self.rows[by], key=lambda row: (not row.calls, key(row), row.name))


def rates(counted: Snapshot) -> Rates:
    """From what was counted in a while (a difference of snapshots)."""
    seconds = counted.seconds
    if seconds < LEAST_SECONDS:
        return Rates()
    whole = Calls()
    by: dict[str, dict[str, Calls]] = {"procedure": {}, "export": {}}
    for series, calls in counted.calls.items():
        whole.add(calls)
        by["procedure"].setdefault(procedure(series), Calls()).add(calls)
        by["export"].setdefault(series.export or NO_EXPORT, Calls()).add(calls)
    rows = {
        view: [_row(name, calls, seconds) for name, calls in found.items()]
        for view, found in by.items()
    }
    rows["client"] = [
        _client(host, client, seconds)
        for host, client in counted.clients.items()
        if client.calls or client.connections
    ]
    return Rates(seconds, rows, _row("all", whole, seconds))


def procedure(series: Series) -> str:
    """How a procedure is called here."""
    if not series.version:
        return series.procedure
    program = _PROGRAMS.get(series.program, series.program)
    return f"{program}{series.version} {series.procedure}"


def _row(name: str, calls: Calls, seconds: float) -> Row:
    count = calls.count
    errors = Counter({status: many for status, many in calls.errors.items() if many > 0})
    return Row(
        name,
        count / seconds,
        errors.total() / seconds,
        min(errors, key=lambda status: (-errors[status], status), default=""),
        calls.seconds / count if count else 0.0,
        calls.quantile(0.5),
        calls.quantile(0.99),
        calls.received / seconds,
        calls.sent / seconds,
    )


def _client(host: str, client: Client, seconds: float) -> Row:
    return Row(
        host,
        client.calls / seconds,
        client.errors / seconds,
        mean_seconds=client.seconds / client.calls if client.calls else 0.0,
        received_bytes=client.received / seconds,
        sent_bytes=client.sent / seconds,
        connections=client.connections,
    )
