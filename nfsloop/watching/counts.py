"""What a process counts of itself all the time, and several of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfsloop.app import App


@dataclass(slots=True)
class Counts:
    """Of one process since it began, or the sum of several."""

    #: Open TCP connections, and calls that wait for their backend.
    connections: int = 0
    waiting: int = 0
    #: What the duplicate request cache has seen: `oncrpc.drc.Statistics`.
    duplicates: Counter[str] = field(default_factory=Counter)
    #: Connections closed by the server, by why; datagrams dropped.
    cut: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    #: Calls that an export's policy refused, by its path; and by why, those for their handle.
    refused: Counter[str] = field(default_factory=Counter)
    handles: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, app: App) -> Counts:
        """What a process counts."""
        statistics = app.cache.statistics if app.cache is not None else None
        names = [] if statistics is None else [spec.name for spec in fields(statistics)]
        return cls(
            app.server.connections,
            app.server.dispatcher.waiting,
            Counter({name: getattr(statistics, name) for name in names}),
            Counter({str(why): count for why, count in app.server.guards.cuts.items()}),
            app.server.dropped,
            Counter({export.path: export.refused for export in app.exports}),
            Counter(app.handles.bad),
        )

    @classmethod
    def sum(cls, parts: Iterable[Counts]) -> Counts:
        """All of them together."""
        whole = cls()
        for part in parts:
            for spec in fields(cls):
                setattr(whole, spec.name, getattr(whole, spec.name) + getattr(part, spec.name))
        return whole

    def lines(self) -> list[str]:
        """What is not zero, for an administrator."""
        found = [f"{self.connections} connections"]
        if self.waiting:
            found[0] += f", {self.waiting} calls wait"
        found += _line("duplicate requests", self.duplicates)
        found += _line("connections closed by the server", self.cut)
        if self.dropped:
            found.append(f"datagrams dropped: {self.dropped}")
        found += _line("calls refused by exports", self.refused)
        found += _line("calls refused for their handle", self.handles)
        return found


def _line(what: str, counts: Mapping[str, int]) -> list[str]:
    text = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    return [f"{what}: {text}"] if text else []
