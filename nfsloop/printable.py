"""Texts of others, as they may go to a terminal or a line of a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text`, with what is not printable (control characters, escape sequences, marks that turn the
    direction of writing) as in Python's literals, and bytes that are no UTF-8 as \\xNN."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]
