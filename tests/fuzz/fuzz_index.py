"""Target: the journal of the posix backend's index, as a crash or a stranger has left it.

An input is items of a head (what is done, a number, a length) and bytes: a record as the index
writes it, or bytes as they are.
"""

from __future__ import annotations

import logging
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from fuzz_kinds import Target, expect

# isort: split
from backends.posix.index import Index, Link

EXPORT = b"/srv"
ITEM = struct.Struct(">BBH")
RECORD = struct.Struct("<BQQQH")
NUMBERS = (0, 1, 2, 3, 2**63 - 1, 2**63, 2**64 - 1)


def journal(data: bytes) -> bytes:
    """The journal that an input tells of."""
    out, pos = b"", 0
    while pos + ITEM.size <= len(data):
        op, which, size = ITEM.unpack_from(data, pos)
        pos += ITEM.size
        body = data[pos : pos + size]
        pos += len(body)
        if op & 7:
            numbers = [NUMBERS[(which >> shift) % len(NUMBERS)] for shift in (0, 3, 5)]
            record = RECORD.pack(op & 7, *numbers, len(body)) + body
            out += struct.pack("<I", zlib.crc32(record)) + record
        else:
            out += body
    return out


def index(data: bytes) -> None:
    """Any journal is read as far as it is whole; what was read is there after a restart."""
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    state = Path(tempfile.mkdtemp(prefix="nfsloop-fuzz-", dir=shm))
    logging.disable(logging.CRITICAL)
    try:
        name = f"posix-{sha256(EXPORT).hexdigest()[:16]}.1.journal"
        (state / name).write_bytes(journal(data))
        first = _opened(state)
        first.add(77, 7, 1, b"new")
        first.remove(1, 1, b"a")
        first.alias(5, 6, 7)
        known = _known(first)
        first._shut()  # as if it had died
        second = _opened(state)
        expect(_known(second) == known, f"{known} became {_known(second)}")
        expect(Link(1, b"new", 7) in second.links(77), "the new link is lost")
        expect(second.issued(5, 6) == 7, "the new alias is lost")
        second.close()
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(state)


def _opened(state: Path) -> Index:
    made = Index(state, EXPORT)
    made.open()
    return made


def _known(made: Index) -> list[list[Link]]:
    return [sorted(made.links(number)) for number in (*NUMBERS, 77)]


def _item(op: int, which: int, body: bytes) -> bytes:
    return ITEM.pack(op, which, len(body)) + body


def seeds() -> Iterable[bytes]:
    """Additions, removals, aliases; torn, and with a tail of zeros."""
    talk = _item(1, 0x29, b"name") + _item(1, 0x92, b"") + _item(2, 0x29, b"name")
    talk += _item(3, 0xFF, b"") + _item(1, 0xFF, b"\xff" * 255) + _item(5, 3, b"what")
    yield talk
    yield talk[:-3]
    yield talk + _item(0, 0, b"torn") + talk
    yield talk + _item(0, 0, bytes(100))


TARGETS = (Target("index", index, seeds, 2000, (b"\1\0\0\0", b"\2\0\0\1a"), cost=8),)
