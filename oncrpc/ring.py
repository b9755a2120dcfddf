"""A ring of records in a buffer that outlives the process: a mapped file, or memory for tests.

The buffer is cut into segments; a record lies within one. Segments are filled in turn, and the one
that is filled next is the oldest. Each record carries its length, a sequence number and a checksum,
so that reading after a crash takes exactly the records that were written to their end: those of a
segment from its start on, as long as their numbers follow one another.

A store into a shared mapping costs no system call and survives SIGKILL: the page is the kernel's.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias
from zlib import crc32

from oncrpc.limits import RING_SEGMENT_BYTES

#: What a ring lies in. Its length is a multiple of the segment's.
Storage: TypeAlias = bytearray | mmap.mmap

#: Checksum over all that follows, length of the whole, number, seconds since 1970, kind, and the
#: key's length.
_HEAD = struct.Struct("<IIQdHH")
_SUMMED = struct.Struct("<IQdHH").pack
_SUM = struct.Struct("<I").pack

HEAD_BYTES = _HEAD.size


class Record(NamedTuple):
    """A record as it was read: what `Ring.append` was given, and where its payload lies."""

    number: int
    when: float
    kind: int
    key: bytes
    offset: int
    length: int


class Ring:
    """Records in `buffer`, appended and read; it makes no copy of what it holds.

    Raises ValueError for a buffer that is not made of two segments or more.
    """

    def __init__(self, buffer: Storage, segment: int = RING_SEGMENT_BYTES) -> None:
        if len(buffer) < 2 * segment or len(buffer) % segment:
            raise ValueError(
                f"a ring of {len(buffer)} bytes is not made of {segment}-byte segments"
            )
        self.buffer = buffer
        self.segment = segment
        self.segments = len(buffer) // segment
        #: What was there when the ring was opened, the oldest first.
        self.found = sorted(self._read(), key=lambda record: record.number)
        last = self.found[-1] if self.found else None
        self._number = last.number + 1 if last else 1
        self._end = last.offset + last.length if last else 0
        #: The segment that is being filled, and where it ends.
        self.current = max(self._end - 1, 0) // segment
        self._stop = (self.current + 1) * segment

    def fits(self, size: int) -> bool:
        """Whether a record of `size` bytes of key and payload has room in the current segment."""
        return self._end + HEAD_BYTES + size <= self._stop

    def turn(self) -> int:
        """Go on to the next segment, whose records are lost by that; its index."""
        self.current = (self.current + 1) % self.segments
        self._end = self.current * self.segment
        self._stop = self._end + self.segment
        # They end now, all of them, also if nothing is written here: a record must not outlive one
        # behind it that says how it went on.
        self.buffer[self._end : self._end + HEAD_BYTES] = bytes(HEAD_BYTES)
        return self.current

    def append(self, kind: int, key: bytes, payload: bytes, when: float) -> int:
        """Write a record; where its payload lies in the buffer, or -1 if it does not fit."""
        size = len(payload)
        length = HEAD_BYTES + len(key) + size
        start = self._end
        end = start + length
        if end > self._stop:
            return -1
        body = _SUMMED(length, self._number, when, kind, len(key)) + key + payload
        self._end = end
        self._number += 1
        self.buffer[start:end] = _SUM(crc32(body)) + body
        return end - size

    def close(self) -> None:
        """Give a mapped file back. What it holds stays in it; the ring is of no use any more."""
        if isinstance(self.buffer, mmap.mmap):
            self.buffer.close()

    def about(self, offset: int, key_size: int) -> tuple[int, float]:
        """Length and time of the record whose payload lies at `offset`."""
        head = offset - key_size - HEAD_BYTES
        _, length, _, when, _, _ = _HEAD.unpack_from(self.buffer, head)
        return length - key_size - HEAD_BYTES, when

    def payload(self, offset: int, length: int) -> bytes:
        """The bytes of a payload."""
        return bytes(self.buffer[offset : offset + length])

    def _read(self) -> Iterator[Record]:
        for start in range(0, len(self.buffer), self.segment):
            yield from self._read_segment(start, start + self.segment)

    def _read_segment(self, pos: int, stop: int) -> Iterator[Record]:
        expected = 0
        while pos + HEAD_BYTES <= stop:
            check, length, number, when, kind, key_size = _HEAD.unpack_from(self.buffer, pos)
            if not HEAD_BYTES + key_size <= length <= stop - pos:
                return
            if crc32(self.buffer[pos + 4 : pos + length]) != check:
                return
            if expected and number != expected:
                return  # what an earlier turn of the ring has left
            key_end = pos + HEAD_BYTES + key_size
            key = bytes(self.buffer[pos + HEAD_BYTES : key_end])
            pos += length
            yield Record(number, when, kind, key, key_end, pos - key_end)
            expected = number + 1


def in_memory(size: int) -> bytearray:
    """Storage that ends with the process. `size` is in bytes."""
    return bytearray(size)


def in_file(path: Path, size: int) -> mmap.mmap:
    """A mapping of the file at `path`, made and extended to `size` bytes where it is not.

    A file of another size is begun anew. Its space is taken now: a mapped page that no disk has
    room for would kill the process (SIGBUS), and so does who truncates the file later. Raises
    OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
        os.posix_fallocate(descriptor, 0, size)  # also the holes of a file that was copied
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
