"""Stateless file handles: export, inode number and generation under a keyed MAC.

A handle is 32 bytes (NFSv3 allows 64, RFC 1813 section 2.4; MOUNT version 1 takes no more):

    version (1)  generation above 64 bits (3)  export (4)  inode number (8)  generation (8)  MAC (8)

A MAC of 64 bits can only be guessed by asking the server, 2**63 times on average. No table stands
between a handle and its file; the two memos only save the MAC's time.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import struct
from collections import Counter
from pathlib import Path

from backends.base import FsError, Key, Status
from nfsloop.limits import HANDLE_MEMO_ENTRIES
from oncrpc.quota import Warnings

log = logging.getLogger("nfsloop.handle")

VERSION = 1
#: 64 are a backend's own; those above say which of several (`backends.wraps.demux`), or are zero.
GENERATION_BITS = 88
MAC_BYTES = 8
KEY_BYTES = 32

_BODY = struct.Struct(">IIQQ")
_MAX64 = 2**64 - 1
HANDLE_BYTES = _BODY.size + MAC_BYTES

#: Inode number and generation: what all exports call a file that is in several of them.
FILE = slice(8, 24)

# Why a handle is none of ours. A MAC that is not right is a forgery, or another server's.
LENGTH = "length"
MAC = "MAC"
FORMAT = "format"


class FileHandles:
    """Makes and opens handles. `key` (32 secret bytes) must survive a restart for them to."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a handle key has {KEY_BYTES} bytes, not {len(key)}")
        #: Copied for each MAC: the key is hashed once.
        self._keyed = hashlib.blake2b(key=key, digest_size=MAC_BYTES)
        #: (export, ino, generation) of the handles that were made lately: a look here saves `pack`.
        self.made: dict[tuple[int, int, int], bytes] = {}
        #: The handles that were opened lately, and what they name: a look here saves `unpack`.
        self.known: dict[bytes, tuple[int, Key]] = {}
        #: Calls refused for their handle, by why: `LENGTH`, `MAC` or `FORMAT`.
        self.bad: Counter[str] = Counter()
        self._warnings = Warnings(log)

    def pack(self, export: int, ino: int, generation: int) -> bytes:
        """The handle of a file. `export` has 32 bits, `ino` 64, `generation` `GENERATION_BITS`.

        Raises ValueError or struct.error for one that does not fit.
        """
        name = export, ino, generation
        handle = self.made.get(name)
        if handle is None:
            if generation >> GENERATION_BITS:
                raise ValueError(f"generation {generation:#x} has over {GENERATION_BITS} bits")
            head = VERSION << 24 | generation >> 64
            body = _BODY.pack(head, export, ino, generation & _MAX64)
            handle = body + self._mac(body)
            if len(self.made) >= HANDLE_MEMO_ENTRIES:
                self.made.clear()
            self.made[name] = handle
        return handle

    def unpack(self, handle: bytes) -> tuple[int, Key]:
        """The export and the file that a handle names. Raises BADHANDLE for one not made here."""
        hit = self.known.get(handle)
        if hit is None:
            if len(handle) != HANDLE_BYTES:
                raise FsError(Status.BADHANDLE, LENGTH)
            body = handle[: _BODY.size]
            if not hmac.compare_digest(handle[_BODY.size :], self._mac(body)):
                raise FsError(Status.BADHANDLE, MAC)
            head, export, ino, generation = _BODY.unpack(body)
            if head >> 24 != VERSION:
                raise FsError(Status.BADHANDLE, FORMAT)
            if len(self.known) >= HANDLE_MEMO_ENTRIES:
                self.known.clear()
            hit = self.known[handle] = export, Key(ino, (head & 0xFFFFFF) << 64 | generation)
        return hit

    def refused(self, peer: str, exc: Exception) -> None:
        """Count a call of `peer` that ended with what `unpack` raised."""
        why = str(exc.args[1]) if isinstance(exc, FsError) else FORMAT
        self.bad[why] += 1
        self._warnings.warn(peer, "a file handle that is none of ours (%s)", why)

    def _mac(self, body: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(body)
        return mac.digest()


def load_key(state: Path) -> bytes:
    """The key kept in the state directory, made at the first start. Raises OSError, ValueError."""
    path = state / "handle.key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = os.urandom(KEY_BYTES)
        part = path.with_suffix(".new")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        part.rename(path)
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} is no handle key: {len(key)} bytes instead of {KEY_BYTES}")
    return key
