"""Text to tokens: RFC 4506 section 6.2 (lexical notes) and what `rpcgen` adds to it.

Lines that begin with ``%`` are text for C and are skipped. Lines that begin with ``#`` belong to
the C preprocessor, which is no part of the language: they are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from oncrpc.rpcgen.model import KEYWORDS, Pos, RpcgenError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+)
      | (?P<newline>\n)
      | (?P<comment>/\*.*?\*/)
      | (?P<name>[A-Za-z][A-Za-z0-9_]*)
      | (?P<number>-?[0-9][A-Za-z0-9_]*)
      | (?P<punct>[{}()\[\]<>*=;:,])
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|0[0-7]*|-?[1-9][0-9]*|-0")

#: More than any number of XDR needs; Python refuses to read thousands of digits.
NUMBER_CHARACTERS = 64

#: What is no token, and what to say of it, by how it begins.
_STRAY = {
    "/*": "this comment never ends: expected '*/'",
    "//": "'//' is no comment in XDR (RFC 4506 section 6.2): use /* */",
    "_": "an identifier begins with a letter (RFC 4506 section 6.2)",
    "-": "expected digits after '-'",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `kind` is name, number, punct, keyword or end; `text` is as it stands."""

    kind: str
    text: str
    pos: Pos

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else f"'{self.text}'"


def number(text: str) -> int:
    """A constant's value: decimal, hexadecimal or octal (RFC 4506 section 6.2)."""
    if text.startswith("0") and text[1:2] not in ("x", "X"):
        return int(text, 8)
    return int(text, 0)


def tokens(text: str, filename: str) -> Iterator[Token]:
    """Split `text`; the last token has kind ``end``. Raises RpcgenError for what is no token."""
    offset, line, start = 0, 1, 0
    while offset < len(text):
        if offset == start and text[offset] in "%#":
            if text[offset] == "#":
                raise RpcgenError(filename, Pos(line, 1), _hash_line(text, offset))
            end = text.find("\n", offset)
            offset = len(text) if end < 0 else end
            continue
        pos = Pos(line, offset - start + 1)
        match = _TOKEN.match(text, offset)
        if match is None:
            raise RpcgenError(filename, pos, _stray(text, offset))
        kind, word = match.lastgroup or "", match.group()
        offset = match.end()
        if kind in ("newline", "comment"):
            line += word.count("\n")
            start = match.start() + word.rfind("\n") + 1 if "\n" in word else start
        elif kind == "number" and len(word) > NUMBER_CHARACTERS:
            raise RpcgenError(filename, pos, f"'{word[:20]}...' is no number of XDR: too long")
        elif kind == "number" and not _NUMBER.fullmatch(word):
            raise RpcgenError(filename, pos, f"'{word}' is no decimal, octal or hex constant")
        elif kind != "space":
            yield Token("keyword" if word in KEYWORDS else kind, word, pos)
    yield Token("end", "", Pos(line, offset - start + 1))


def _stray(text: str, offset: int) -> str:
    for begin, message in _STRAY.items():
        if text.startswith(begin, offset):
            return message
    return f"unexpected character {text[offset]!r}"


def _hash_line(text: str, offset: int) -> str:
    words = text[offset:].split("\n", 1)[0].split()
    return (
        f"'{' '.join(words[:2])}': preprocessor lines are no part of XDR; "
        "remove it, or run the file through cpp -P first"
    )
