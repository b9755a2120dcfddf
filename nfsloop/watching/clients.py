"""Who uses the server, and which of its exports.

Told by the list of mounts, by the connections that are open, and by whose calls came over them. It
asks nobody, counts nothing, and costs a call nothing.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nfsloop.access import Policy
from nfsloop.export import Caller, Exports
from nfsloop.hosts import address_of
from oncrpc.call import Origin

if TYPE_CHECKING:
    from nfsloop.app import App

#: So many mounts and rows are looked at before calls have their turn.
ROWS_AT_ONCE = 64

#: Of struct tcp_info (linux/tcp.h): milliseconds since data came last; bytes that the client has
#: acknowledged, and bytes that came.
_INFO = struct.Struct("=52xI64xQQ")


@dataclass(slots=True)
class Use:
    """What one client has of a process just now."""

    #: Open TCP connections.
    connections: int = 0
    #: The paths of exports that its calls were for, over these connections.
    exports: set[str] = field(default_factory=set)
    #: Since anything came over any of them, in seconds; None where there is none.
    idle: float | None = None
    #: Bytes over these connections, since they were made.
    received: int = 0
    sent: int = 0

    def add(self, other: Use) -> None:
        """Have what it has of another process too."""
        self.connections += other.connections
        self.exports |= other.exports
        idle = [each for each in (self.idle, other.idle) if each is not None]
        self.idle = min(idle, default=None)
        self.received += other.received
        self.sent += other.sent


def uses(app: App) -> dict[str, Use]:
    """What each client has of this process, by its address."""
    found: dict[str, Use] = {}
    for connection in app.server.open:
        use = Use(1, _called(connection.origins))
        info = connection.info
        if len(info) >= _INFO.size:
            since, use.sent, use.received = _INFO.unpack_from(info)
            use.idle = since / 1000
        found.setdefault(connection.peer.host, Use()).add(use)
    return found


def _called(origins: Iterable[Origin]) -> set[str]:
    """The exports for which calls were made; what a service has noted of their callers tells."""
    notes = [note for origin in origins for note in origin.notes.values()]
    return {note.export for note in notes if isinstance(note, Caller)}


def together(parts: Iterable[Mapping[str, Use]]) -> dict[str, Use]:
    """What each client has of several processes."""
    found: dict[str, Use] = {}
    for part in parts:
        for host, use in part.items():
            found.setdefault(host, Use()).add(use)
    return found


def holder(exports: Exports, host: str, path: str) -> str | None:
    """The export that a mount of `path` by the client at `host` is of: the deepest that holds it
    and that it may use; None if there is none any more."""
    found = [export for export, _ in exports.holding(path)] if path.startswith("/") else []
    for export in found:
        if _admits(export.policy, host):
            return export.path
    return found[0].path if found else None


def _admits(policy: Policy, host: str) -> bool:
    address = address_of(host)
    # Here, what is not known yet (None) counts as yes.
    return any(entry.host.matches(address, policy.names) is not False for entry in policy.clients)


class _Turns:
    """Lets calls have their turn whenever so much has been done."""

    def __init__(self) -> None:
        self._done = 0

    async def done(self, steps: int = 1) -> None:
        """So much more."""
        self._done += steps
        if self._done >= ROWS_AT_ONCE:
            self._done = 0
            await asyncio.sleep(0)


async def clients(app: App) -> list[dict[str, Any]]:
    """A row for each client, by address; docs/watching.md has the keys."""
    found = await app.processes.uses()
    turns = _Turns()
    mounts: dict[str, list[str]] = {}
    for host, path in app.mounts or ():
        mounts.setdefault(host, []).append(path)
    rows: list[dict[str, Any]] = []
    for host in sorted({*mounts, *found}, key=_order):
        holders: dict[str, str | None] = {}
        for path in sorted(mounts.get(host, ())):
            holders[path] = holder(app.exports, host, path)
            await turns.done()
        rows.append(_row(app, host, holders, found.get(host, Use())))
        await turns.done()
    return rows


def _order(host: str) -> tuple[int, int, str]:
    """By number, not by digits; IPv4 first."""
    address = address_of(host)
    return (0, 0, host) if address is None else (address.version, int(address), host)


def _row(app: App, host: str, holders: Mapping[str, str | None], use: Use) -> dict[str, Any]:
    there = {export.path for export in app.exports}  # of others, a connection may tell still
    mounted = {path for path in holders.values() if path is not None}
    return {
        "address": host,
        "name": _name(app, host),
        "mounts": [{"path": path, "export": export} for path, export in holders.items()],
        "exports": [
            {"path": path, "mounted": path in mounted, "calls": path in use.exports}
            for path in sorted(mounted | use.exports & there)
        ],
        "connections": use.connections,
        "idle_seconds": use.idle,
        "received_bytes": use.received,
        "sent_bytes": use.sent,
    }


def _name(app: App, host: str) -> str | None:
    address = address_of(host)
    return None if address is None else app.served.names.known(address)


async def exports(app: App, health: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """A row for each export; docs/watching.md has the keys. `health` says what is wrong with
    their storage, by path."""
    refused = (await app.processes.counts()).refused
    turns = _Turns()
    users: dict[str, list[dict[str, Any]]] = {}
    for row in await clients(app):
        for use in row["exports"]:
            said = {"address": row["address"], "name": row["name"], **use}
            users.setdefault(said.pop("path"), []).append(said)
            await turns.done()
    rows: list[dict[str, Any]] = []
    for export in list(app.exports):
        rows.append(
            {
                "path": export.path,
                "storage": export.backend.describe(),
                "for": [
                    {"clients": entry.host.text, "options": str(entry.options)}
                    for entry in export.policy.clients
                ],
                "clients": users.get(export.path, []),
                "refused": refused[export.path],
                "well": health.get(export.path) is None,
                "wrong": health.get(export.path),
            }
        )
        await turns.done()
    return rows
