"""Lines and tables for people, laid out for a width; rich colours them where there is a terminal.

Layout is pure: text with the names of styles. Here and in `nfsloop.watching.screen` it is drawn
with rich, which nothing else in the package imports.
"""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from nfsloop.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2


class Span(NamedTuple):
    """A piece of a line, in a style of rich's ("" is none)."""

    text: str
    style: str = ""


Line: TypeAlias = list[Span]


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table; `least` is how far its texts may be cut, `drop` tells who goes first where it is
    narrow, the highest first (0: never). `room` is kept free, so that it stands still."""

    title: str
    right: bool = False
    least: int = 0
    drop: int = 0
    room: int = 0


@dataclass(slots=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: Sequence[Column]
    rows: list[Sequence[Span]] = field(default_factory=list)


# Texts


def cells(text: str) -> int:
    """How many places `text` takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text` in at most `width` places; one that is longer ends with an ellipsis."""
    if cells(text) <= width:
        return text
    kept, left = "", width - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += character
    return f"{kept}…"


def cut_line(line: Line, width: int) -> Line:
    """The same of a line."""
    done: Line = []
    for text, style in line:
        done.append(Span(cut(text, width), style))
        width -= cells(text)
        if width <= 0:
            break
    return done


def number(value: float) -> str:
    """Of something a second, with three digits or so."""
    if not value:
        return "0"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def megabytes(value: float) -> str:
    """Bytes a second, as 10**6 of them."""
    return number(value / 1e6)


def size(value: float) -> str:
    """So many bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{number(value)} {unit}"


def latency(seconds: float) -> str:
    """How long a call takes; nothing where there was none."""
    if not seconds:
        return "-"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{number(seconds * 1e3)} ms" if seconds < 0.9995 else f"{number(seconds)} s"


def age(seconds: float) -> str:
    """How long something lasts, by its two largest units."""
    left = max(0, int(seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (name, length), (low, part) in pairwise(units):
        if left >= length:
            more = left % length // part
            return f"{left // length} {name}" + (f" {more} {low}" if more else "")
    return f"{left} s"


# Layout


def layout(table: Table, width: int | None = None) -> list[Line]:
    """The table with a line of titles, in at most `width` places if its columns allow it."""
    shown = list(range(len(table.columns)))
    wide = [
        max([cells(column.title), column.room, *(cells(row[index].text) for row in table.rows)])
        for index, column in enumerate(table.columns)
    ]
    if width is not None:
        _fit(table.columns, shown, wide, width)
    titles = [Span(column.title, "bold") for column in table.columns]
    return [_line(table.columns, shown, wide, row) for row in (titles, *table.rows)]


def _fit(columns: Sequence[Column], shown: list[int], wide: list[int], width: int) -> None:
    """Cut down what is `wide`, first the longest that may be cut; then drop what is `shown`."""
    while True:
        over = sum(wide[i] for i in shown) + GAP * (len(shown) - 1) - width
        if over <= 0:
            return
        long = [i for i in shown if columns[i].least and wide[i] > columns[i].least]
        if long:
            most = max(long, key=lambda i: wide[i])
            rest = [wide[i] for i in long if i != most and wide[i] < wide[most]]
            wide[most] = max(columns[most].least, wide[most] - over, *(r - 1 for r in rest))
            continue
        droppable = [i for i in shown if columns[i].drop]
        if not droppable:
            return
        shown.remove(max(droppable, key=lambda i: columns[i].drop))


def _line(
    columns: Sequence[Column], shown: Sequence[int], wide: Sequence[int], row: Sequence[Span]
) -> Line:
    line: Line = []
    pad = ""
    for index in shown:
        text, style = row[index]
        text = cut(text, wide[index])
        rest = " " * (wide[index] - cells(text))
        if columns[index].right:
            pad, rest = pad + rest, ""
        if line:  # blanks end a piece: those that begin one are lost in some drawings
            line[-1] = Span(line[-1].text + pad, line[-1].style)
            pad = ""
        line.append(Span(pad + text, style))
        pad = rest + " " * GAP
    return line


# Out


def plain(lines: Iterable[Line]) -> str:
    """As text alone, a line each."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lines)


def rich_text(lines: Iterable[Line]) -> Text:
    """For rich, which takes none of it for markup."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for span in line:
            text.append(span.text, span.style)
    return text


def on_terminal() -> bool:
    """Whether standard output is a terminal that can do more than a printer."""
    there = sys.stdout is not None and sys.stdout.isatty()
    return there and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def show(lines: Callable[[int | None], list[Line]]) -> int:
    """Print `lines(width)`, for a terminal's width and in colours, or as plain text of any width.
    The exit status."""
    if not on_terminal():
        return write(plain(lines(None)))
    from shutil import get_terminal_size

    made = lines(max(20, get_terminal_size().columns))
    try:
        from rich.console import Console
    except ImportError:  # from a checkout: no colours
        return write(plain(made))
    # Rendered here, so that all is written in one place, which knows what fails there.
    console = Console(file=io.StringIO(), force_terminal=True, width=10_000, highlight=False)
    with console.capture() as captured:
        console.print(rich_text(made), crop=False, soft_wrap=True)
    return write(captured.get())


def encodable(text: str) -> str:
    """What standard output's encoding has no letter for is written as in Python."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def write(text: str) -> int:
    """Print `text`; the exit status: 1 where nobody reads it any more, which is no error.

    Raises ConfigError where it cannot be written.
    """
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    try:
        sys.stdout.write(encodable(text))
        sys.stdout.flush()
    except OSError as exc:
        # Else the interpreter would try to write the rest, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(exc, BrokenPipeError):
            raise ConfigError(f"standard output: {exc.strerror}") from None
        return 1
    return 0
