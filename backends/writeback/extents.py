"""Ranges of bytes as a sorted list: pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Extents:
    """A set of byte offsets, kept as disjoint ranges [start, end) in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def add(self, start: int, end: int) -> None:
        """Put [start, end) in; ranges that touch become one."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def cut(self, size: int) -> None:
        """Take out everything from `size` on."""
        keep = bisect_left(self._starts, size)
        del self._starts[keep:], self._ends[keep:]
        if self._ends and self._ends[-1] > size:
            self._ends[-1] = size

    def split(self, start: int, end: int) -> list[tuple[int, int, bool]]:
        """[start, end) in pieces (start, end, whether it is in the set), in order."""
        pieces = []
        at = bisect_right(self._ends, start)
        while start < end:
            begin = self._starts[at] if at < len(self._starts) else end
            if begin > start:
                stop = min(begin, end)
                pieces.append((start, stop, False))
            else:
                stop = min(self._ends[at], end)
                pieces.append((start, stop, True))
                at += 1
            start = stop
        return pieces
