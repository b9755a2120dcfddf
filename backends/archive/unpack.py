"""Reads of compressed members at any offset, within bounded memory.

A member is decoded in blocks. Blocks are cached; a decoder that has given its last one waits there
for the next, so that reading on costs what it takes to decode the new bytes once. On the way
through a long member, copies of its decoder are kept, at most `_CHECKPOINTS` for it: a jump back
starts from the last before its goal. A member is decoded by one thread at a time, in the order of
the calls, so that the parallel reads of one client do not each start from the beginning.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from backends.archive.decode import DecodeError, Decoder, ReadAt, decoder
from backends.archive.member import Packed
from backends.base import Buffer, FsError, Status
from backends.threads import Pool

log = logging.getLogger("nfsloop.archive")

BLOCK_BYTES: Final = 256 << 10
#: What is jumped over just before the bytes that were asked for is likely to be asked for next:
#: calls overtake each other.
_KEPT_BLOCKS: Final = 32
#: Idle decoders and checkpoints of all members together.
DECODERS_BYTES: Final = 64 << 20
#: Of one member, and how far apart at least.
_CHECKPOINTS: Final = 64
_CHECKPOINT_BYTES: Final = 4 << 20
#: Members known to be damaged, so that they are not decoded again and again.
_DAMAGED_MEMBERS: Final = 4096


@dataclass(slots=True)
class _Job:
    """What a thread is to decode, and then what it has decoded."""

    ino: int
    packed: Packed
    blocks: range
    start: Decoder | None
    known: set[int]
    found: dict[int, bytes] = field(default_factory=dict)
    checkpoints: list[Decoder] = field(default_factory=list)
    end: Decoder | None = None
    #: From memory, if not from the archive.
    read: ReadAt | None = None


class Unpacker:
    """Decodes members of one archive, open as `fd`. Used from the event loop alone.

    `cache_bytes` bounds the blocks that are kept.
    """

    def __init__(self, fd: int, pool: Pool, cache_bytes: int) -> None:
        self._fd = fd
        self._pool = pool
        self._cache_bytes = cache_bytes
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._used_bytes = 0
        #: Idle decoders and checkpoints, by member and position; those longest unused go first.
        self._decoders: OrderedDict[tuple[int, int], Decoder] = OrderedDict()
        self._decoders_bytes = 0
        #: The positions in `_decoders` of each member.
        self._positions: dict[int, set[int]] = {}
        self._busy: dict[int, asyncio.Future[None]] = {}
        self._damaged: OrderedDict[int, str] = OrderedDict()
        self._closing = threading.Event()
        #: Bytes decoded so far: tests count them.
        self.decoded_bytes = 0
        #: Reads for which all blocks were there, and those for which not.
        self.hits = self.misses = 0

    async def read(
        self, ino: int, packed: Packed, offset: int, count: int, patience: float
    ) -> Buffer:
        """`count` bytes, which must be there. Raises IO, and JUKEBOX after `patience` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        blocks = range(offset // BLOCK_BYTES, (offset + count - 1) // BLOCK_BYTES + 1)
        while True:
            if ino in self._damaged:
                raise FsError(Status.IO, self._damaged[ino])
            parts = self._cached(ino, blocks)
            if parts is not None:
                return _cut(parts, offset - blocks.start * BLOCK_BYTES, count)
            busy, job = self._busy.get(ino), None
            if busy is None:
                job = self._job(ino, packed, blocks)
                busy = self._busy[ino] = loop.create_task(self._run(job))
                busy.add_done_callback(_retrieve)
            done, _ = await asyncio.wait((busy,), timeout=max(0, deadline - loop.time()))
            if not done:
                raise FsError(Status.JUKEBOX, "decoding takes its time")
            if job is not None:
                busy.result()
                # From the job, since they may have been pushed out of the cache already.
                parts = [job.found[number] for number in blocks]
                return _cut(parts, offset - blocks.start * BLOCK_BYTES, count)

    def small(self, ino: int, packed: Packed, data: Buffer) -> bytes:
        """All of a member of one block, decoded here and now from `data`. Raises IO."""
        if ino in self._damaged:
            raise FsError(Status.IO, self._damaged[ino])
        parts = self._cached(ino, range(1))
        if parts is not None:
            return parts[0]
        view, start = memoryview(data), packed.position
        job = _Job(ino, packed, range(1), None, set())
        job.read = lambda count, at: bytes(view[at - start : at - start + count])
        try:
            self._decode(job)
        except DecodeError as exc:
            self._is_damaged(ino, str(exc))
            raise FsError(Status.IO, str(exc)) from None
        self._keep(job)
        return job.found[0]

    async def close(self) -> None:
        """Wait for the threads, which end soon."""
        self._closing.set()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    # On the event loop

    def _cached(self, ino: int, blocks: range) -> list[bytes] | None:
        parts = []
        for number in blocks:
            part = self._blocks.get((ino, number))
            if part is None:
                self.misses += 1
                return None
            parts.append(part)
        self.hits += 1
        for number in blocks:
            self._blocks.move_to_end((ino, number))
        return parts

    def _job(self, ino: int, packed: Packed, blocks: range) -> _Job:
        """What it takes to have `blocks`: those at the front that are cached are not decoded."""
        found = {}
        for number in blocks:
            part = self._blocks.get((ino, number))
            if part is None:
                blocks = range(number, blocks.stop)
                break
            found[number] = part
        positions = self._positions.get(ino, set())
        goal = blocks.start * BLOCK_BYTES
        best = max((at for at in positions if at <= goal), default=None)
        start = None
        if best is not None:
            start = self._decoders[ino, best]
            # One that stands where it is needed was left there by whoever reads on now. One that
            # stands before is someone else's, or a checkpoint.
            other = None if best == goal else start.copy()
            if other is None:
                self._forget(ino, best)
            else:
                self._decoders.move_to_end((ino, best))
                start = other
        return _Job(ino, packed, blocks, start, set(positions), found)

    async def _run(self, job: _Job) -> None:
        try:
            await self._pool.run(self._decode, job)
        except DecodeError as exc:
            self._is_damaged(job.ino, str(exc))
            raise FsError(Status.IO, str(exc)) from None
        finally:
            del self._busy[job.ino]
            self._keep(job)

    def _keep(self, job: _Job) -> None:
        ino = job.ino
        for number, data in job.found.items():
            key = ino, number
            if key not in self._blocks:
                self._used_bytes += len(data)
            self._blocks[key] = data
        while self._used_bytes > self._cache_bytes and self._blocks:
            self._used_bytes -= len(self._blocks.popitem(last=False)[1])
        for one in (*job.checkpoints, job.end):
            if one is None or (ino, one.position) in self._decoders:
                continue
            self._decoders[ino, one.position] = one
            self._decoders_bytes += one.weight
            self._positions.setdefault(ino, set()).add(one.position)
        while self._decoders_bytes > DECODERS_BYTES and len(self._decoders) > 1:
            self._forget(*next(iter(self._decoders)))

    def _forget(self, ino: int, position: int) -> None:
        self._decoders_bytes -= self._decoders.pop((ino, position)).weight
        positions = self._positions[ino]
        positions.discard(position)
        if not positions:
            del self._positions[ino]

    def _is_damaged(self, ino: int, why: str) -> None:
        if len(self._damaged) >= _DAMAGED_MEMBERS:
            self._damaged.popitem(last=False)
        self._damaged[ino] = why
        log.error("member with inode number %d cannot be read: %s", ino, why)

    # In a thread

    def _read(self, count: int, at: int) -> bytes:
        return os.pread(self._fd, count, at)

    def _decode(self, job: _Job) -> None:
        """Fill `job`. Raises DecodeError, OSError."""
        one = job.start or decoder(job.read or self._read, job.packed)
        size = job.packed.size
        apart = max(_CHECKPOINT_BYTES, size // _CHECKPOINTS // BLOCK_BYTES * BLOCK_BYTES)
        number = one.position // BLOCK_BYTES
        while number < job.blocks.stop:
            if self._closing.is_set():
                raise FsError(Status.JUKEBOX, "the server stops")
            data = one.take(min(BLOCK_BYTES, size - number * BLOCK_BYTES))
            self.decoded_bytes += len(data)
            if number >= job.blocks.start - _KEPT_BLOCKS:
                job.found.setdefault(number, data)
            number += 1
            at = one.position
            if at % apart == 0 and at < size and at not in job.known:
                copy = one.copy()
                if copy is not None:
                    job.checkpoints.append(copy)
        if one.position < size:
            job.end = one


def _retrieve(future: asyncio.Future[None]) -> None:
    """Whoever waited has been told to ask again: asyncio need not complain of the exception."""
    if not future.cancelled():
        future.exception()


def _cut(parts: list[bytes], start: int, count: int) -> Buffer:
    """`count` bytes from `start` in blocks that follow each other."""
    if len(parts) == 1:
        data = parts[0]
        return data if len(data) == count else memoryview(data)[start : start + count]
    views = [memoryview(part) for part in parts]
    views[0] = views[0][start:]
    rest = start + count - sum(len(part) for part in parts[:-1])
    views[-1] = views[-1][:rest]
    return b"".join(views)
