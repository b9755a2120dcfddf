"""Sparse files in tar archives: GNU's own form, and the three in pax records."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from backends.archive.member import Extent
from backends.archive.tree import BadArchiveError

_BLOCK_BYTES: Final = 512
#: Digits of a number in a map.
_DIGITS: Final = 19
#: Runs of data in one file.
RUNS_MAX: Final = 1 << 20

#: Gives so many bytes of the archive from a position.
ReadAt = Callable[[int, int], bytes]


@dataclass(slots=True)
class Sparse:
    """A file's size, and its runs of data: where each is in the file, how long, and how much of
    the data stands before it, since they are stored one behind the other."""

    size: int
    offsets: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    places: array[int] = field(default_factory=lambda: array("q"))
    stored: int = 0

    def add(self, offset: int, length: int) -> None:
        """Another run."""
        if len(self.offsets) >= RUNS_MAX or not (
            0 <= offset < 1 << 62 and 0 <= length < 1 << 62 and self.stored < 1 << 62
        ):
            raise BadArchiveError("a sparse file's map is damaged")
        if length:
            self.offsets.append(offset)
            self.lengths.append(length)
            self.places.append(self.stored)
            self.stored += length

    def check(self, stored: int) -> None:
        """That the runs are in order, within the file, and all there. Raises BadArchiveError."""
        end = 0
        for offset, length in zip(self.offsets, self.lengths, strict=True):
            if offset < end:
                raise BadArchiveError("a sparse file's map is damaged")
            end = offset + length
        if end > self.size or self.stored > stored:
            raise BadArchiveError("a sparse file's map is damaged")

    def within(self, offset: int, count: int) -> range:
        """The runs that have bytes in a range of the file."""
        first = bisect_right(self.offsets, offset) - 1
        if first < 0 or self.offsets[first] + self.lengths[first] <= offset:
            first += 1
        return range(first, bisect_left(self.offsets, offset + count, lo=first))


def number(field: bytes) -> int:
    """A number of a header: octal digits, or binary where the first bit is set (GNU, star).

    What is no number is 0, and so is one below 0.
    """
    if field[0] & 0x80:
        return 0 if field[0] & 0x40 else int.from_bytes(field, "big") - (0x80 << 8 * len(field) - 8)
    try:
        return max(0, int(field.partition(b"\0")[0] or b"0", 8))
    except ValueError:
        return 0


def expand(sparse: Sparse, position: int, offset: int, count: int) -> list[Extent]:
    """Where the bytes of a range of the file are in the archive, as far as it has them.

    They follow each other, so one read gets them all. `position` is where the data begins.
    """
    extents = []
    for which in sparse.within(offset, count):
        at, place = sparse.offsets[which], sparse.places[which]
        start, end = max(at, offset), min(at + sparse.lengths[which], offset + count)
        extents.append(Extent(start, position + place + start - at, end - start))
    return extents


def gnu_map(block: bytes, at: int, read: ReadAt) -> tuple[Sparse, int]:
    """The map in a header of type S and the blocks behind it; and where the data begins."""
    sparse = Sparse(number(block[483:495]))
    entries, more = block[386:482], block[482]
    while True:
        for start in range(0, len(entries), 24):
            if entries[start]:
                sparse.add(
                    number(entries[start : start + 12]), number(entries[start + 12 : start + 24])
                )
        if not more:
            return sparse, at
        block = read(at, _BLOCK_BYTES)
        entries, more = block[:504], block[504]
        at += _BLOCK_BYTES


def _numbers(texts: list[bytes]) -> list[int]:
    if any(not text.isdigit() or len(text) > _DIGITS for text in texts):
        raise BadArchiveError("a sparse file's map is damaged")
    return [int(text) for text in texts]


def _size(pax: dict[bytes, bytes]) -> int:
    text = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size") or b""
    return _numbers([text])[0]


def _from_numbers(size: int, numbers: list[int]) -> Sparse:
    sparse = Sparse(size)
    if len(numbers) % 2:
        raise BadArchiveError("a sparse file's map is damaged")
    for at in range(0, len(numbers), 2):
        sparse.add(numbers[at], numbers[at + 1])
    return sparse


def pax_map(pax: dict[bytes, bytes]) -> Sparse:
    """Forms 0.0 and 0.1: all in pax records."""
    text = pax.get(b"GNU.sparse.map", b"")
    if text.count(b",") > 2 * RUNS_MAX:
        raise BadArchiveError("a sparse file's map is damaged")
    return _from_numbers(_size(pax), _numbers(text.split(b",") if text else []))


def pax_map_in_data(
    pax: dict[bytes, bytes], at: int, stored: int, read: ReadAt
) -> tuple[Sparse, int]:
    """Form 1.0: decimal lines before the data; and how many bytes they take."""
    data, lines, wanted = b"", list[bytes](), 1
    used = 0
    while len(lines) < wanted:
        if used >= stored:
            raise BadArchiveError("a sparse file's map is damaged")
        data += read(at + used, _BLOCK_BYTES)
        used += _BLOCK_BYTES
        *whole, data = data.split(b"\n")
        lines += whole
        if len(data) > _DIGITS and len(lines) < wanted:
            raise BadArchiveError("a sparse file's map is damaged")
        if lines:
            wanted = 1 + 2 * min(_numbers(lines[:1])[0], RUNS_MAX + 1)
    return _from_numbers(_size(pax), _numbers(lines[1:wanted])), used
