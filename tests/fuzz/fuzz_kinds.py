"""What a fuzz target is, and the ways in which one fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: The project, and the helpers of other test directories that targets are made of.
for _path in (HERE.parent / "rpcgen", HERE.parent / "golden", ROOT):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))


class Broken(AssertionError):
    """An invariant of a target does not hold for its input."""


class Hang(BaseException):
    """An input takes longer than any may. No `Exception`, so that nothing under test catches it."""


def expect(condition: object, message: str) -> None:
    """Raises Broken. Unlike ``assert`` it stays under ``python -O``."""
    if not condition:
        raise Broken(message)


def no_seeds() -> Iterable[bytes]:
    """The seeds of a target that has none but its corpus."""
    return ()


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that takes bytes of strangers.

    `run` returns or raises: whatever it raises is a finding. `seeds` are inputs to begin from,
    made from the golden vectors; those that long runs found are in ``corpus/``.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]] = no_seeds
    #: Inputs longer than this are cut.
    max_bytes: int = 4096
    #: Words that mutations put in.
    words: tuple[bytes, ...] = ()
    #: Mutated as text: lines and words, not 32-bit units.
    text: bool = False
    #: What one run may allocate, beyond `HEAP_PER_BYTE` for each byte of its input.
    heap_bytes: int = 1 << 20
    #: How many times dearer than others a run is: the tests make so many fewer.
    cost: int = 1


#: Objects made of a byte: decoded twice, compared and printed. A claimed length of 2**20 elements
#: in an input of 8 bytes is far above it.
HEAP_PER_BYTE = 4000
