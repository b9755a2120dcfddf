"""Inputs in the tree: ``corpus/TARGET.txt``, one input a line.

A line is hex, or for text a bytes literal of Python's. ``#`` begins a comment.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from fuzz_kinds import HERE, Target

CORPUS = HERE / "corpus"

#: What `write` keeps of a target: the smallest inputs, up to so many bytes of file.
FILE_BYTES = 8_000


def load(target: Target) -> list[bytes]:
    """The seeds of a target and its inputs in the tree, each once, in a fixed order."""
    found = dict.fromkeys(bytes(seed)[: target.max_bytes] for seed in target.seeds())
    found.update(dict.fromkeys(read(CORPUS / f"{target.name}.txt")))
    return list(found)


def read(file: Path) -> list[bytes]:
    """The inputs of a file; none if it is not there. Raises ValueError for a line that is none."""
    if not file.exists():
        return []
    lines = (line.strip() for line in file.read_text("ascii").splitlines())
    return [_input(line) for line in lines if line and not line.startswith("#")]


def _input(line: str) -> bytes:
    if line.startswith("b"):
        value = ast.literal_eval(line) if line[1:2] in {"'", '"'} else bytes.fromhex(line)
        if isinstance(value, bytes):
            return value
        raise ValueError(f"no bytes: {line}")
    return bytes.fromhex(line)


def write(target: Target, inputs: Iterable[bytes]) -> int:
    """Write a target's file; how many inputs it has."""
    rows: list[str] = []
    size = 0
    known = set(map(bytes, target.seeds()))
    for data in sorted(set(inputs) - known, key=lambda data: (len(data), data)):
        row = repr(data) if target.text else data.hex()
        size += len(row) + 1
        if size > FILE_BYTES:
            break
        rows.append(row)
    CORPUS.mkdir(exist_ok=True)
    head = f"# {target.name}: inputs that long runs found, by size; beside the seeds in the code\n"
    (CORPUS / f"{target.name}.txt").write_text(head + "".join(f"{row}\n" for row in rows))
    return len(rows)


def spill(target: Target, folder: Path) -> None:
    """Write each input to a file of its own, as libFuzzer wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in load(target):
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
