"""Target: the ring that the duplicate request cache lies in, as a crash or a stranger has left it.

An input is a byte that chooses how the calls in progress are settled, and items of a head (what is
done, a number, a length) and bytes: a record as the cache writes it, a jump, or bytes as they are.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from zlib import crc32

from fuzz_kinds import Target, expect

# isort: split
from oncrpc.call import Once, Peer
from oncrpc.drc import FORGET, INTENT, REPLY, DuplicateRequestCache
from oncrpc.ring import HEAD_BYTES, Ring
from oncrpc.testing import Capture

SEGMENT = 1024
RING_BYTES = 4 * SEGMENT
ENTRIES = 8
KEYS = 64
NOW = 1000.0
PEER = Peer("192.0.2.7", 700)
ITEM = struct.Struct(">BBH")


def filled(data: bytes) -> bytearray:
    """The ring that an input tells of."""
    ring, at, pos, number = bytearray(RING_BYTES), 0, 1, 1
    while pos + ITEM.size <= len(data):
        op, which, size = ITEM.unpack_from(data, pos)
        pos += ITEM.size
        if op & 3 == 3:  # the records from here on lie elsewhere, or are of another turn
            at = which % (RING_BYTES // 32) * 32
            number = size
            continue
        body = data[pos : pos + size % SEGMENT]
        pos += len(body)
        if op & 3 < 2:
            kind = (INTENT, REPLY, FORGET, which)[op >> 2 & 3]
            body = written(number, kind, which, body)
            number += 1
        ring[at : at + len(body)] = body
        at = (at + len(body)) % RING_BYTES
        del ring[RING_BYTES:]
    return ring


def written(number: int, kind: int, which: int, payload: bytes) -> bytes:
    """A record with the right checksum, by the description in `oncrpc.ring`."""
    when = NOW - which
    name = bytes((which % KEYS,)) * (40 if which < 250 else which - 250)
    body = struct.pack(
        "<IQdHH", HEAD_BYTES + len(name) + len(payload), number, when, kind, len(name)
    )
    body += name + payload
    return struct.pack("<I", crc32(body)) + body


def ring(data: bytes) -> None:
    """Whatever there is, the cache starts with it, settles what is open, and works."""
    buffer = filled(data)
    logging.disable(logging.CRITICAL)
    try:
        _ring(buffer, data)
    finally:
        logging.disable(logging.NOTSET)


def _ring(buffer: bytearray, data: bytes) -> None:
    cache = _cache(buffer)
    how = data[0] if data else 0

    async def settle(host: str, message: bytes, facts: bytes) -> bytes | None:
        """No, yes, or a failure, by the input."""
        if how & 2:
            raise ValueError("not settled")
        return message[:8] if how & 1 else None

    waits = cache.recover(settle)
    try:
        waits.send(None)
    except StopIteration:
        pass
    else:
        expect(False, "recover waits")
    _works(cache)
    # What it keeps now is there again after a restart.
    again = _cache(buffer)
    kept = again.begin(_key(0), Capture(PEER))
    expect(kept == b"reply 0", f"{kept!r} after a restart")


def _cache(buffer: bytearray) -> DuplicateRequestCache:
    made = DuplicateRequestCache(Ring(buffer, SEGMENT), ENTRIES, 100.0, lambda: NOW)
    expect(len(made) <= RING_BYTES // HEAD_BYTES, f"{len(made)} entries")
    return made


def _key(number: int) -> bytes:
    return struct.pack(">16s4s12s4s", b"client of the end", number.to_bytes(4), b"", b"")


def _works(cache: DuplicateRequestCache) -> None:
    for number in reversed(range(12)):
        capture = Capture(PEER)
        once = cache.begin(_key(number), capture)
        expect(isinstance(once, Once), f"{once!r} for a new call")
        assert isinstance(once, Once)
        cache.intend(once, PEER.host, b"message" * 8, b"facts")
        once.send([b"reply %d" % number])
        expect(capture.sent == [b"reply %d" % number], f"{capture.sent}")
    expect(cache.begin(_key(0), Capture(PEER)) == b"reply 0", "the last reply is not kept")


def _item(op: int, which: int, body: bytes) -> bytes:
    return ITEM.pack(op, which, len(body)) + body


def seeds() -> Iterable[bytes]:
    """Rings with calls in progress, answered, forgotten; torn; of two turns."""
    host = b"192.0.2.7"
    intent = struct.pack("<HI", len(host), 8) + host + b"message!" + b"facts"
    talk = _item(0, 1, intent) + _item(4, 1, b"reply 1") + _item(0, 2, intent) + _item(8, 2, b"")
    open_calls = b"".join(_item(0, n, intent) for n in range(3, 9))
    yield b"\0" + talk + open_calls
    yield b"\1" + open_calls + talk
    yield b"\2" + open_calls
    yield b"\1" + talk + _item(2, 0, b"torn" * 9) + open_calls
    turns = ITEM.pack(3, 32, 50) + talk + ITEM.pack(3, 64, 9) + talk + ITEM.pack(3, 0, 0xFFFF)
    yield b"\1" + turns + talk
    yield (
        b"\1" + _item(0, 1, b"") + _item(0, 1, b"\xff\xff\xff\xff\xff\xff") + _item(0, 255, intent)
    )
    # A record without a payload that ends where the ring ends.
    fill = SEGMENT - 2 * HEAD_BYTES - 2 * 40
    yield b"\1" + ITEM.pack(3, 3 * SEGMENT // 32, 1) + _item(4, 1, bytes(fill)) + _item(8, 1, b"")
    yield b"\0" + b"".join(_item(4, n, b"r" * 200) for n in range(20))
    yield b"\1" + b"".join(_item(0, n, intent * 20) for n in range(9))


TARGETS = (Target("ring", ring, seeds, 5000, (b"\0\1", b"\4\1", b"\3\0\0\1")),)
