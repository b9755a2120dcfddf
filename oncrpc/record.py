"""Record marking over a byte stream (RFC 5531 section 11), without I/O: bytes in, records out."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from oncrpc.errors import RecordError
from oncrpc.limits import (
    FRAGMENTS_PER_RECORD,
    RECEIVE_BYTES,
    RECORD_BYTES,
    SMALL_RECORD_BYTES,
)
from oncrpc.xdr import Buffer

LAST_FRAGMENT = 0x80000000
_LENGTH = LAST_FRAGMENT - 1

_MARK = struct.Struct(">I")
_unpack_mark = _MARK.unpack_from
#: ``pack_mark(LAST_FRAGMENT | length)``: the mark of a record that is one fragment.
pack_mark = _MARK.pack


def mark(length: int) -> bytes:
    """The mark before a record of `length` bytes sent as one fragment."""
    return pack_mark(LAST_FRAGMENT | length)


class Scratch:
    """The buffer that all connections of a server receive into while they have no rest."""

    __slots__ = ("view",)

    def __init__(self, size: int = RECEIVE_BYTES) -> None:
        self.view = memoryview(bytearray(size))


class RecordReader:
    """Finds the records in what one connection received.

    The use is a loop of: receive into `space()`, say how much came to `received`, take the records
    from `records()`, all or some, and call `settle()`. Records of up to `SMALL_RECORD_BYTES` are
    `bytes`; larger ones are views of the receive buffer, valid until `settle()`.
    """

    __slots__ = (
        "_buf", "_count", "_end", "_fragments", "_limit", "_own", "_per_turn", "_scratch", "_start",
        "held", "more",
    )  # fmt: skip

    def __init__(
        self, scratch: Scratch, limit: int = RECORD_BYTES, fragments_per_turn: int = 1 << 62
    ) -> None:
        self._scratch = scratch
        self._limit = limit
        self._per_turn = fragments_per_turn
        self._buf = scratch.view
        self._own = False
        self._start = 0
        self._end = 0
        #: The fragments so far of a record of several, and their number.
        self._fragments: bytearray | None = None
        self._count = 0
        #: Bytes that this connection keeps in buffers of its own, as of `settle`.
        self.held = 0
        #: Whether `records` ended for having gathered `fragments_per_turn`: there may be more.
        self.more = False

    def space(self) -> memoryview:
        """Where to receive to; never empty."""
        return self._buf[self._end :] if self._end else self._buf

    def received(self, count: int) -> None:
        """`count` bytes came into `space()`."""
        self._end += count

    @property
    def pending(self) -> int:
        """Bytes received that no record was made of yet."""
        return self._end - self._start

    @property
    def incomplete(self) -> int:
        """The bytes received of a record that is not complete yet, 0 if none has begun."""
        rest = self._end - self._start
        return rest if self._fragments is None else rest + len(self._fragments) + 4 * self._count

    def clear(self) -> None:
        """Forget all that was received; `records` ends."""
        self._buf, self._own = self._scratch.view, False
        self._start = self._end = self._count = self.held = 0
        self._fragments = None
        self.more = False

    def records(self) -> Iterator[Buffer]:
        """The complete records. Raises RecordError for one that is longer than the limit, or of
        more than `FRAGMENTS_PER_RECORD` fragments."""
        gathered_before = 0
        self.more = False
        buf, base = self._copied()
        while (rest := self._end - (start := self._start) - 4) >= 0:
            at = start - base
            (word,) = _unpack_mark(buf, at)
            length = word & _LENGTH
            gathered = self._fragments
            if length > self._limit or (gathered and length + len(gathered) > self._limit):
                raise RecordError(f"a record over {self._limit} bytes")
            if length > rest:
                return
            self._start = start + 4 + length
            record = buf[at + 4 : at + 4 + length]
            if gathered is None and word & LAST_FRAGMENT:
                yield record if length > SMALL_RECORD_BYTES else bytes(record)
                continue
            gathered = self._fragments = gathered if gathered is not None else bytearray()
            gathered += record
            self._count += 1
            if self._count > FRAGMENTS_PER_RECORD:
                raise RecordError(f"a record of over {FRAGMENTS_PER_RECORD} fragments")
            if word & LAST_FRAGMENT:
                gathered_before += self._count
                self._fragments, self._count = None, 0
                yield bytes(gathered)
                # A fragment costs time whatever its size: others have their turn.
                if gathered_before >= self._per_turn:
                    self.more = True
                    return

    def _copied(self) -> tuple[Buffer, int]:
        """What was received, and the place in the buffer of its first byte: little is copied out
        in one go, since slices of `bytes` cost less than copies of views."""
        if self._end - self._start > SMALL_RECORD_BYTES:
            return self._buf, 0
        return bytes(self._buf[self._start : self._end]), self._start

    def settle(self) -> None:
        """Keep the incomplete rest where the next bytes can be added to it."""
        rest = self._end - self._start
        if not rest:
            self._buf, self._own = self._scratch.view, False
            self._start = self._end = self.held = 0
        elif not self._own or self._start or self._end == len(self._buf):
            self._move(rest)
        if self._fragments is not None:
            self.held = len(self._fragments) + (len(self._buf) if self._own else 0)

    def _move(self, rest: int) -> None:
        """Bring the rest to the front of a buffer of this connection that its record fits in.

        The buffer grows with what really came, at least twofold, so that a claim of a long record
        costs little before its bytes are there.
        """
        old = self._buf[self._start : self._end]
        need = 4
        if rest >= 4:
            (word,) = _unpack_mark(old, 0)
            need = min(4 + (word & ~LAST_FRAGMENT), 4 + self._limit)
        size = max(rest + 4096, min(2 * (need + 4096), 8 * rest + 65536))
        if not self._own or len(self._buf) < size:
            self._buf, self._own = memoryview(bytearray(size)), True
        self._buf[:rest] = old
        self._start, self._end = 0, rest
        self.held = len(self._buf)
