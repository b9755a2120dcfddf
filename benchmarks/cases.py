"""What is measured: calls, bytes, calls outstanding, connections. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

SMALL = ("null", "getattr", "lookup", "access", "writesync", "create", "readdirplus", "mix")
DATA = ("read", "write")
CALLS = (*SMALL[:4], *DATA, *SMALL[4:])
SIZES = (4 * KIB, 64 * KIB, MIB)

#: What a case is called in tables; READDIRPLUS is counted by entry, see `Case.unit`.
TITLES = {
    "writesync": "WRITE FILE_SYNC",
    "create": "CREATE+REMOVE",
    "mix": "mix",
}


def size_text(count: int) -> str:
    """4096 -> "4 KiB"."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"


def parse_size(text: str) -> int:
    """ "64k" -> 65536; ValueError if it is no size."""
    found = re.fullmatch(r"(\d+)\s*([km]?)(i?b)?", text.strip().lower())
    if found is None or not int(found[1]):
        raise ValueError(f"not a size: {text!r} (4096, 64k, 1m)")
    return int(found[1]) * {"": 1, "k": KIB, "m": MIB}[found[2]]


@dataclass(frozen=True, order=True)
class Case:
    """One thing to measure. `outstanding` calls on each of `connections`; `size` in bytes.

    `size` is 0 where a call has no data of its own.
    """

    call: str
    size: int
    outstanding: int
    connections: int

    @property
    def title(self) -> str:
        """Call and size, as in a table's first column."""
        name = TITLES.get(self.call, self.call.upper())
        return f"{name} {size_text(self.size)}" if self.size else name

    @property
    def label(self) -> str:
        """The whole case in one line."""
        connections = f" x {self.connections} connections" if self.connections > 1 else ""
        return f"{self.title}, {self.outstanding}{connections}"

    @property
    def unit(self) -> str:
        """What cost and speed are counted by: servers put different numbers of names in a reply."""
        return "entry" if self.call == "readdirplus" else "call"

    @property
    def moves_data(self) -> bool:
        """Whether MB/s says something."""
        return self.call in (*DATA, "writesync")


def _one(call: str, outstanding: int, connections: int = 1, size: int = 0) -> Case:
    if call in DATA:
        size = size or 4 * KIB
    return Case(call, 4 * KIB if call == "writesync" else size, outstanding, connections)


QUICK = (
    _one("getattr", 1),
    _one("null", 16),
    _one("getattr", 16),
    _one("lookup", 16),
    _one("access", 16),
    _one("read", 8),
    _one("write", 8),
    _one("read", 8, size=64 * KIB),
    _one("write", 8, size=64 * KIB),
    _one("read", 8, size=MIB),
    _one("write", 8, size=MIB),
    _one("create", 16),
    _one("readdirplus", 16),
)

DEFAULT = (
    *(_one(call, 1) for call in ("null", "getattr", "lookup", "access", "read", "write")),
    *(_one(call, 16) for call in SMALL[:4]),
    _one("getattr", 64),
    _one("getattr", 1, connections=64),
    *(_one(call, 8, size=size) for size in SIZES for call in DATA),
    _one("writesync", 8),
    *(_one(call, 16) for call in ("create", "readdirplus", "mix")),
)

#: Outstanding calls for each number of connections, small calls and data calls.
FULL_SMALL = {1: (1, 16, 64), 64: (1, 16)}
FULL_DATA = {1: (1, 8), 64: (1,)}


def product(
    calls: Iterable[str],
    sizes: Iterable[int],
    outstanding: Sequence[int] | None,
    connections: Sequence[int] | None,
) -> list[Case]:
    """Every combination, in the order of the table; None: those of --full."""
    found: list[Case] = []
    for call in calls:
        table = FULL_DATA if call in DATA else FULL_SMALL
        for count in connections or table:
            for width in outstanding or table.get(count, (1,)):
                if call in DATA:
                    found += [_one(call, width, count, size) for size in sizes]
                else:
                    found.append(_one(call, width, count))
    return list(dict.fromkeys(found))


def choose(
    level: str,
    calls: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    outstanding: Sequence[int] | None = None,
    connections: Sequence[int] | None = None,
) -> list[Case]:
    """The cases of `level` ("quick", "default", "full"); with choices, those of it that fit.

    A choice that the level has no case for is a product instead.
    """
    if level == "full":
        return product(calls or CALLS, sizes or SIZES, outstanding, connections)
    cases = QUICK if level == "quick" else DEFAULT
    if outstanding is not None or connections is not None:
        wanted = list(calls or dict.fromkeys(case.call for case in cases))
        return product(wanted, sizes or SIZES, outstanding or (16,), connections or (1,))
    fitting = [
        case
        for case in cases
        if (calls is None or case.call in calls)
        and (sizes is None or case.call not in DATA or case.size in sizes)
    ]
    missing = [call for call in calls or () if not any(case.call == call for case in fitting)]
    return fitting + product(missing, sizes or SIZES, (16,), (1,))
