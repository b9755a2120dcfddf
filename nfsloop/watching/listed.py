"""The tables of `nfsloop clients` and `nfsloop exports`, from what the server says. No I/O."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nfsloop.errors import ConfigError
from nfsloop.exports5 import normal
from nfsloop.printable import printable
from nfsloop.watching.tables import Column, Span, Table, age, size

#: A client and an export, by whether it is on the list of mounts and whether calls came.
USES = {(True, True): "in use", (True, False): "mounted", (False, True): "unlisted"}

_STYLES = {"in use": "green", "mounted": "dim", "unlisted": "yellow"}

_CLIENTS = (
    Column("CLIENT"),
    Column("NAME", least=10, drop=3),
    Column("EXPORT", least=12),
    Column("USE"),
    Column("CONNECTIONS", right=True, drop=4),
    Column("IDLE", right=True, drop=2),
    Column("IN", right=True, drop=5),
    Column("OUT", right=True, drop=5),
)

_EXPORTS = (
    Column("EXPORT", least=12),
    Column("CLIENTS", least=8),
    Column("REFUSED", right=True, drop=3),
    Column("STATE", least=8),
    Column("STORAGE", least=14, drop=2),
    Column("FOR", least=14, drop=1),
)


def of_export(
    rows: Sequence[Mapping[str, Any]], path: str, exports: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows of clients that use the export at `path`, with no other export in them. Raises
    ConfigError if it is none of `exports`."""
    wanted = normal(path)
    if wanted not in exports:
        there = ", ".join(map(printable, exports)) or "nothing"
        raise ConfigError(f"{printable(path)} is not exported; these are: {there}")
    return [
        {
            **row,
            "exports": [use for use in row["exports"] if use["path"] == wanted],
            "mounts": [mount for mount in row["mounts"] if mount["export"] == wanted],
        }
        for row in rows
        if any(use["path"] == wanted for use in row["exports"])
    ]


def clients_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each export of each client; what is the client's stands in its first."""
    table = Table(_CLIENTS)
    for row in rows:
        uses = _uses(row)
        for place, (what, use) in enumerate(uses):
            own = _own(row) if not place else [""] * 6
            texts = (own[0], own[1], what, use, *own[2:])
            style = _STYLES.get(use, "")
            table.rows.append([Span(t, style if i == 3 else "") for i, t in enumerate(texts)])
    return table


def _own(row: Mapping[str, Any]) -> list[str]:
    connected = bool(row["connections"])
    idle = row["idle_seconds"]
    return [
        printable(row["address"]),
        printable(row["name"] or "-"),
        str(row["connections"]),
        "-" if idle is None else age(idle),
        size(row["received_bytes"]) if connected else "-",
        size(row["sent_bytes"]) if connected else "-",
    ]


def _uses(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a client uses, and how."""
    found: list[tuple[str, str]] = []
    for use in row["exports"]:
        below = [m["path"] for m in row["mounts"] if m["export"] == use["path"] != m["path"]]
        path = printable(use["path"])
        if below and not any(m["path"] == use["path"] for m in row["mounts"]):
            path += f" ({', '.join(_beneath(use['path'], each) for each in below)})"
        found.append((path, USES.get((use["mounted"], use["calls"]), "")))
    gone = [(printable(m["path"]), "no export") for m in row["mounts"] if m["export"] is None]
    return found + gone or [("-", "connected")]


def _beneath(export: str, path: str) -> str:
    """A directory that is mounted, from its export on."""
    return printable(os.path.relpath(path, export) if path.startswith(export) else path)


def exports_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each export."""
    table = Table(_EXPORTS)
    for row in rows:
        whom = " ".join(f"{each['clients']}({each['options']})" for each in row["for"])
        state = "well" if row["well"] else f"NOT WELL: {row['wrong']}"
        table.rows.append(
            [
                Span(printable(row["path"])),
                Span(_how_many(row["clients"])),
                Span(str(row["refused"])),
                Span(printable(state), "green" if row["well"] else "bold red"),
                Span(printable(row["storage"])),
                Span(printable(whom) or "nobody"),
            ]
        )
    return table


def _how_many(clients: Sequence[Mapping[str, Any]]) -> str:
    """Of each kind of use, how many clients."""
    uses = [USES.get((client["mounted"], client["calls"]), "") for client in clients]
    counts = [(uses.count(use), use) for use in USES.values()]
    return ", ".join(f"{count} {use}" for count, use in counts if count) or "none"
