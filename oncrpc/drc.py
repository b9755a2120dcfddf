"""The duplicate request cache: a call that is sent twice is executed once, also after a crash.

A call is known by where it comes from (the address, not the port, which may change when a client
connects again), its xid, program, version and procedure, and a checksum of its arguments. The same
call again is not executed: while the first is in progress, its answer will go to where the last
one came from; afterwards it gets the same bytes.

Replies lie in a `Ring`, which bounds them and keeps them through a crash: a reply is there before
it leaves. For a procedure that a second execution would answer otherwise, the intent is there
before the operation: the call, and what its service wants to know to find out after a crash
whether it took place (`Service.intent`). `DuplicateRequestCache.recover` settles those.

A record goes the way of all when its segment of the ring comes to be filled again. What a client
that asks little has there is then carried on, up to its fair share, so that a client that asks
much shortens the memory of its own calls and not of others'.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

from oncrpc.call import Once, Peer, Transport
from oncrpc.limits import (
    CHECKSUM_BYTES,
    DRC_CLIENT_MEMO_ENTRIES,
    DRC_ENTRIES,
    DRC_RETENTION_SECONDS,
)
from oncrpc.ring import HEAD_BYTES, Ring
from oncrpc.xdr import Buffer

log = logging.getLogger("oncrpc.drc")

#: The kinds of records. FORGET says that a call with an intent was not executed after all.
INTENT, REPLY, FORGET = 1, 2, 3

_CLIENT_BYTES = 16
_INTENT = struct.Struct("<HI")

#: Settles the intent of a call: host, the call's message, what its service noted. Gives the reply,
#: or None if the operation did not take place.
Settle: TypeAlias = Callable[[str, bytes, bytes], Awaitable[bytes | None]]


@dataclass(slots=True)
class Statistics:
    """What the cache has seen since it was made; each field counts calls."""

    #: Executed, since nothing was known of them.
    new: int = 0
    #: Answered with a kept reply.
    hits: int = 0
    #: Joined a call that was in progress.
    in_progress: int = 0
    #: Replies of before the start that were found in the ring.
    restored: int = 0
    #: Kept replies that answered nobody, since their file system had not survived.
    outlived: int = 0
    #: In progress at a crash: found to have taken place, or not.
    settled: int = 0
    unexecuted: int = 0
    #: Not kept, at their service's wish (NFS3ERR_JUKEBOX).
    forgotten: int = 0
    #: Overwritten; and of those, before the retention was over.
    evicted: int = 0
    evicted_early: int = 0
    #: Carried on as the ring was filled again.
    carried: int = 0
    #: Replies that no segment holds: not kept.
    too_large: int = 0
    #: Executed without a record of their intent, since there are too many in progress.
    unjournalled: int = 0

    def __str__(self) -> str:
        """What is not zero, as ``12 new, 3 hits``."""
        counts = ((name.replace("_", " "), getattr(self, name)) for name in self.__slots__)
        return ", ".join(f"{count} {name}" for name, count in counts if count) or "none"


class _Nobody:
    """The transport of a call whose connection has gone with the server before."""

    peer = Peer("", 0, "none")

    def send(self, parts: list[Buffer]) -> None:
        """Nobody to send to."""


class DuplicateRequestCache:
    """The replies in `ring`, and the calls in progress.

    At most `entries` replies are kept, each for `retention` seconds unless the ring is too small.
    `clock` gives seconds since 1970; the default does not jump when the system's is set.
    """

    def __init__(
        self,
        ring: Ring,
        entries: int = DRC_ENTRIES,
        retention: float = DRC_RETENTION_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.statistics = Statistics()
        #: Keys of replies given before this start: to be asked about before they are used.
        self.restored: set[bytes] = set()
        self._ring = ring
        self._limit = entries
        self._retention = retention
        self._clock = clock or _steady()
        #: A call in progress; or where its reply lies in the ring, no more, since there are many.
        self._entries: dict[bytes, Once | int] = {}
        #: Replies of before the start that were given in the future: the clock has been set back.
        self._future: dict[bytes, float] = {}
        #: The keys of each segment's records.
        self._segments: list[list[bytes]] = [[] for _ in range(ring.segments)]
        #: Client -> its replies that are kept; and those of all.
        self._shares: dict[bytes, int] = {}
        self._replies = 0
        self._clients: dict[str, bytes] = {}
        #: Bytes of the records of intents of calls in progress, and as many as there may be: they
        #: are carried on for as long as it takes.
        self._intents = 0
        self._most_intents = len(ring.buffer) // 4
        self._largest = (ring.segment - HEAD_BYTES) // 4
        self._left = self._restore()

    def close(self) -> None:
        """When no call comes any more: let go of the ring; what is in it stays."""
        self._ring.close()

    def __len__(self) -> int:
        """Replies kept and calls in progress."""
        return len(self._entries)

    # The way of a call

    def key(self, peer: Peer, record: Buffer, pos: int, bulk: bool) -> bytes:
        """What the call in `record` is known by, whose arguments start at `pos`; of `bulk` ones
        only the first bytes are looked at, and their length."""
        client = self._clients.get(peer.host) or self._client(peer.host)
        args = record[pos : pos + CHECKSUM_BYTES] if bulk else record[pos:]
        check = crc32(args, len(record)).to_bytes(4, "big")
        return b"".join((client, record[:4], record[12:24], check))

    def _client(self, host: str) -> bytes:
        if len(self._clients) >= DRC_CLIENT_MEMO_ENTRIES:
            self._clients.clear()
        client = blake2b(host.encode(), digest_size=_CLIENT_BYTES).digest()
        self._clients[host] = client
        return client

    def begin(self, key: bytes, transport: Transport) -> Once | bytes | None:
        """A call came in: a `Once` to execute it with, the reply if it was executed already, or
        None if it is in progress; then its answer goes to `transport`, the newest."""
        found = self._entries.get(key)
        if found is None:
            self.statistics.new += 1
            once = self._entries[key] = Once(self, key, transport)
            return once
        if isinstance(found, Once):
            found.transport = transport
            self.statistics.in_progress += 1
            return None
        length, when = self._about(key, found)
        if self._clock() - when <= self._retention:
            self.statistics.hits += 1
            return self._ring.payload(found, length)
        self.discard(key)
        return self.begin(key, transport)

    def _about(self, key: bytes, offset: int) -> tuple[int, float]:
        """How long a reply is, and when it was given (seconds since 1970)."""
        length, when = self._ring.about(offset, len(key))
        return length, self._future.get(key, when)

    def discard(self, key: bytes) -> None:
        """Forget a reply."""
        found = self._entries.pop(key, None)
        self.restored.discard(key)
        self._future.pop(key, None)
        if found is not None and not isinstance(found, Once):
            self._share(key, -1)

    def outlive(self, key: bytes) -> None:
        """What the reply of before the restart told of has not survived it: forget the reply."""
        self.discard(key)
        self.statistics.outlived += 1

    def intend(self, once: Once, host: str, message: bytes, facts: bytes) -> None:
        """The call of `once` is about to be executed: keep what settles it after a crash."""
        intent = _INTENT.pack(len(host), len(message)) + host.encode() + message + facts
        size = _size(once.key, intent)
        if len(intent) > self._largest or self._intents + size > self._most_intents:
            self.statistics.unjournalled += 1
            return
        self._intents += size
        once.intent = intent
        once.at = self._write(INTENT, once.key, intent, 0.0)  # nobody asks when

    def finish(self, once: Once, reply: bytes) -> None:
        """The call was answered: keep `reply`, which leaves when this returns."""
        if len(reply) > self._largest:
            self.statistics.too_large += 1
            self._drop(once)
            return
        key = once.key
        self._entries[key] = self._write(REPLY, key, reply, self._clock())
        if once.intent:
            self._intents -= _size(key, once.intent)
        client = key[:_CLIENT_BYTES]
        self._shares[client] = self._shares.get(client, 0) + 1
        self._replies += 1
        if self._replies > self._limit:
            self._shrink()

    def forget(self, once: Once) -> None:
        """The call was not executed, or is not to be remembered: the next is a new one."""
        self.statistics.forgotten += 1
        self._drop(once)

    def _drop(self, once: Once) -> None:
        if once.intent:
            self._write(FORGET, once.key, b"", self._clock())
            self._intents -= _size(once.key, once.intent)
        del self._entries[once.key]

    # The ring

    def _write(self, kind: int, key: bytes, payload: bytes, when: float) -> int:
        """Append a record, making room if need be; where its payload lies."""
        at = self._ring.append(kind, key, payload, when)
        while at < 0:
            self._turn()
            at = self._ring.append(kind, key, payload, when)
        self._segments[self._ring.current].append(key)
        return at

    def _shrink(self) -> None:
        """Have the oldest segments overwritten until there are no more replies than may be."""
        for _ in range(self._ring.segments - 2):
            if self._replies <= self._limit:
                return
            self._turn()

    def _turn(self) -> None:
        """Go on to the next segment, and make the one behind it ready to be the next."""
        self._evacuate((self._ring.turn() + 1) % self._ring.segments)

    def _evacuate(self, index: int) -> None:
        """Carry what must not be lost from a segment into the current one.

        That is a turn before the segment is written to: at each moment a crash finds everything
        there, if twice. The intents of one segment always fit into a fresh one, and behind those
        of them that a crash has let through.
        """
        ring = self._ring
        start, stop = index * ring.segment, (index + 1) * ring.segment
        keys, self._segments[index] = dict.fromkeys(self._segments[index]), []
        now = self._clock()
        kept: list[tuple[bytes, int]] = []
        for key in keys:
            found = self._entries.get(key)
            if isinstance(found, Once):
                here = start <= found.at < stop
                if found.intent and here and ring.fits(len(key) + len(found.intent)):
                    found.at = self._write(INTENT, key, found.intent, now)
            elif found is not None and start <= found < stop:
                kept.append((key, found))
        room = ring.segment // 2
        fair = self._replies // (2 * max(1, len(self._shares)))
        for key, offset in kept:
            length, when = self._about(key, offset)
            size = len(key) + length
            young = now - when <= self._retention
            if (
                young
                and room > size
                and self._shares[key[:_CLIENT_BYTES]] <= fair
                and ring.fits(size)
            ):
                room -= size + HEAD_BYTES
                self._entries[key] = self._write(REPLY, key, ring.payload(offset, length), when)
                self._future.pop(key, None)
                self.statistics.carried += 1
            else:
                self.discard(key)
                self.statistics.evicted += 1
                self.statistics.evicted_early += young

    def _share(self, key: bytes, change: int) -> None:
        client = key[:_CLIENT_BYTES]
        count = self._shares.get(client, 0) + change
        self._replies += change
        if count:
            self._shares[client] = count
        else:
            del self._shares[client]

    # After a restart

    def _restore(self) -> list[Once]:
        """Take the replies that the ring held; the calls that were in progress."""
        left: dict[bytes, Once] = {}
        now = self._clock()
        for _, when, kind, key, offset, length in self._ring.found:
            # The payload may be empty, at the very end of its segment.
            self._segments[(offset - 1) // self._ring.segment].append(key)
            self.discard(key)
            left.pop(key, None)
            if kind == INTENT:
                once = left[key] = self._entries[key] = Once(self, key, _Nobody())
                once.intent, once.at = self._ring.payload(offset, length), offset
            elif kind == REPLY and now - when <= self._retention:
                self._entries[key] = offset
                if when > now:
                    self._future[key] = now
                self._share(key, 1)
                self.restored.add(key)
        self._ring.found = []
        self.statistics.restored = len(self.restored)
        self._intents = sum(_size(key, once.intent) for key, once in left.items())
        # The last turn may have been cut off.
        self._evacuate((self._ring.current + 1) % self._ring.segments)
        return list(left.values())

    async def recover(self, settle: Settle, at_once: int = 1) -> None:
        """Settle the calls that were in progress when the server died, before any is served; so
        many at once, where `settle` waits.

        Those that took place are kept with the reply that `settle` gives; of the others nothing
        is kept, so that they are executed when they come again.
        """
        left, self._left = iter(self._left), []

        async def work() -> None:
            for once in left:
                await self._recover(once, settle)

        if at_once == 1:
            await work()
        else:
            await asyncio.gather(*(work() for _ in range(at_once)))

    async def _recover(self, once: Once, settle: Settle) -> None:
        host = "a client"
        try:
            host_size, size = _INTENT.unpack_from(once.intent)
            at = _INTENT.size + host_size
            host = once.intent[_INTENT.size : at].decode()
            reply = await settle(host, once.intent[at : at + size], once.intent[at + size :])
        except Exception:
            log.exception("a call of %s that a crash cut off cannot be settled", host)
            reply = None
        if reply is None:
            self.statistics.unexecuted += 1
            self._drop(once)
        else:
            self.statistics.settled += 1
            self.finish(once, reply)


def _size(key: bytes, payload: bytes) -> int:
    """The bytes of a record."""
    return HEAD_BYTES + len(key) + len(payload)


def _steady() -> Callable[[], float]:
    """The time since 1970 as it is now, and from then on as fast as time passes, whoever sets the
    clock: a step forward must not age the replies, nor one back keep them for ever."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset
