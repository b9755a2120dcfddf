"""Reads the vectors: hex words with comments, in the format that the head of nfs3.txt tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent

_HEADER = re.compile(r"\[(call|reply|record|fragment) (\S[^\]]*)\]")
_DIGITS = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True)
class Vector:
    """One message, or one piece of a stream of records."""

    kind: str
    title: str
    data: bytes
    where: str

    @property
    def program(self) -> str:
        """The program's constant, such as NFS_V3."""
        return self.title.partition(".")[0]

    @property
    def proc(self) -> str:
        """The procedure's name, such as GETATTR."""
        return self.title.partition(".")[2].partition(" ")[0]

    @property
    def xid(self) -> int:
        """The message's first word."""
        return int.from_bytes(self.data[:4])

    def __str__(self) -> str:
        return f"{self.kind} {self.title}"


class VectorError(ValueError):
    """A vector file that breaks its format; says where."""


@cache
def load(name: str) -> dict[str, Vector]:
    """The vectors of a file here, by ``"call NFS_V3.GETATTR file"``. Raises VectorError."""
    return parse((HERE / name).read_text("utf-8"), name)


def parse(text: str, name: str) -> dict[str, Vector]:
    """The vectors of `text`. Raises VectorError, also for a fragment that none takes in."""
    pieces: dict[str, bytearray] = {}
    found: dict[str, tuple[str, str, bytearray, str]] = {}
    used: set[str] = set()
    current: bytearray | None = None
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        words = line.partition("#")[0].strip()
        if header := _HEADER.fullmatch(words):
            kind, title = header.groups()
            key = f"{kind} {title}"
            if key in found or (kind == "fragment" and title in pieces):
                raise VectorError(f"{where}: a second {key}")
            current = bytearray()
            if kind == "fragment":
                pieces[title] = current
            else:
                found[key] = kind, title, current, where
            continue
        for word in words.split():
            if current is None:
                raise VectorError(f"{where}: {word!r} before any header")
            if word.startswith("@") and word[1:] in pieces:
                current += pieces[word[1:]]
                used.add(word[1:])
            elif _DIGITS.fullmatch(word):
                current += bytes.fromhex(word)
            else:
                raise VectorError(f"{where}: {word!r} is neither hex nor a fragment")
    if idle := pieces.keys() - used:
        raise VectorError(f"{name}: no vector takes in {sorted(idle)}")
    for kind, title, data, where in found.values():
        if kind != "record" and (len(data) % 4 or len(data) < 20):
            raise VectorError(f"{where}: {kind} {title}: {len(data)} bytes are no message")
    return {
        key: Vector(kind, title, bytes(data), at) for key, (kind, title, data, at) in found.items()
    }
