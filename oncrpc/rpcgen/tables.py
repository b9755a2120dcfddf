"""The module-level tables of a generated module: precompiled structs, shared by all its codecs."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator

#: What `struct` calls the numbers of XDR.
FORMATS = {
    "int": "i",
    "unsigned": "I",
    "hyper": "q",
    "unsigned hyper": "Q",
    "float": "f",
    "double": "d",
    "bool": "I",
}


def fuse(formats: Iterable[str]) -> str:
    """One struct format of many: ``["I", "I", "16s"]`` gives ``2I16s``."""
    out = []
    for code, group in itertools.groupby(formats):
        count = len(list(group))
        out.append(f"{count}{code}" if count > 1 and len(code) == 1 else code * count)
    return "".join(out)


def size(format_: str) -> int:
    """The bytes of a fused format."""
    return struct.calcsize(f">{format_}")


class Tables:
    """Hands out names for tables and writes their definitions."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, Iterator[int]] = {}

    def _name(self, letter: str, source: str) -> str:
        if source not in self._names:
            number = next(self._counts.setdefault(letter, itertools.count(1)))
            self._names[source] = f"_{letter}{number}"
        return self._names[source]

    def unpack(self, format_: str) -> str:
        """``unpack_from`` of a fixed run."""
        return self._name("u", f'Struct(">{format_}").unpack_from')

    def iter_unpack(self, format_: str) -> str:
        """``iter_unpack`` of a fixed run."""
        return self._name("i", f'Struct(">{format_}").iter_unpack')

    def pack(self, format_: str) -> str:
        """``pack`` of a fixed run."""
        return self._name("p", f'Struct(">{format_}").pack')

    def unpack_table(self, label: str, bound: int | None, tail: str) -> str:
        """An `oncrpc.xdr.UnpackTable`."""
        return self._name("r", f'_UnpackTable("{label}", {bound}, "{tail}")')

    def pack_table(self, label: str, bound: int | None, head: str, tail: str) -> str:
        """An `oncrpc.xdr.PackTable`."""
        return self._name("q", f'_PackTable("{label}", {bound}, "{head}", "{tail}")')

    def lines(self) -> list[str]:
        """The definitions, in the order of first use."""
        return [f"{name} = {source}" for source, name in self._names.items()]
