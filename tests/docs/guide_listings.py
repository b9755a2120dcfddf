"""The listings of a guide: files that it has its reader write, and lines to type.

A fence "```python hello.py" is a file; "```console" has commands behind ``$ ``, each with the
output that follows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = DOCS / "writing-a-backend.md"
#: All whose listings are run.
GUIDES = (GUIDE, DOCS / "embedding.md", DOCS / "layers.md")

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type, and what it prints; the number of its block."""

    line: str
    output: str
    block: int


def files(text: str) -> dict[str, str]:
    """The files, by name. Raises ValueError for a listing that is neither a file nor commands."""
    found: dict[str, str] = {}
    for kind, name, body in _FENCE.findall(text):
        if name:
            found[name] = body
        elif kind != "console":
            raise ValueError(f"a listing that nobody runs: {body[:60]!r}")
    return found


def commands(text: str) -> list[Command]:
    """All commands, in their order."""
    found: list[Command] = []
    blocks = [body for kind, _, body in _FENCE.findall(text) if kind == "console"]
    for number, body in enumerate(blocks):
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append(Command(line, output, number))
    return found


def write(text: str, directory: Path) -> None:
    """Do the reader's typing of files."""
    for name, body in files(text).items():
        (directory / name).write_text(body)
