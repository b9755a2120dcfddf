"""What each client has of the server, and what happens when it is too much. No I/O, no clock.

`Guards` counts for a whole server, `Client` for one address, `Watch` for one connection, `Rate`
for whatever comes too often. A client over a limit is not read from until it is below; one that
does not finish what it began is cut off. All this is counted where a connection leaves the fast
path: when a call waits, a record is incomplete, or the socket takes no more.
"""

from __future__ import annotations

import logging
from collections import Counter
from enum import StrEnum
from itertools import islice
from typing import Protocol

from oncrpc.limits import EVICTION_LOOKS, EXPECTED_REPLY_BYTES, ServerLimits


class Cut(StrEnum):
    """Why a connection was closed by the server."""

    IDLE = "no call for a long time"
    CROWDED = "its place was needed"
    REFUSED = "too many connections"
    RECORD = "no sound record"
    SLOW = "a record that does not end"
    UNREAD = "does not take its replies"
    RECORD_MEMORY = "incomplete records take too much memory"
    BACKLOG_MEMORY = "replies that are not taken take too much memory"

    @property
    def level(self) -> int:
        """How loud it is told: what clients do who mean no harm is no warning."""
        return logging.DEBUG if self in {Cut.IDLE, Cut.CROWDED} else logging.WARNING


class Guarded(Protocol):
    """A connection, as its guards see it."""

    @property
    def busy(self) -> bool:
        """Whether it has calls in flight or replies to take."""

    def cut(self, why: Cut) -> None:
        """Close now."""

    def go_on_soon(self) -> bool:
        """Serve what was received, in the next round of the loop, and then call
        `Client.turn_over`; False if there is no going on."""


class Share:
    """Bytes that are kept for one client: how many, and for which connections since when."""

    __slots__ = ("of", "total")

    def __init__(self) -> None:
        self.total = 0
        #: Connection -> bytes; the first has had some for longest.
        self.of: dict[Guarded, int] = {}


class Pool:
    """Bytes of one kind that are kept for all clients, at most `most`."""

    __slots__ = ("most", "shares", "total", "why")

    def __init__(self, most: int, why: Cut) -> None:
        self.most = most
        self.why = why
        self.total = 0
        self.shares: dict[Client, Share] = {}

    def of(self, client: Client) -> int:
        """What is kept for `client`."""
        share = self.shares.get(client)
        return share.total if share is not None else 0

    def put(self, client: Client, owner: Guarded, size: int) -> None:
        """`size` bytes are kept for `owner` now, one of `client`'s connections.

        Beyond the limit the client with most of it loses connections, longest owing first.
        """
        share = self.shares.get(client)
        if share is None:
            if not size:
                return
            share = self.shares[client] = Share()
        more = size - (share.of.pop(owner, 0) if not size else share.of.get(owner, 0))
        share.total += more
        self.total += more
        if size:
            share.of[owner] = size
        elif not share.of:
            del self.shares[client]
        while size and self.total > self.most:
            heaviest = max(self.shares.items(), key=lambda item: item[1].total)
            victim = next(iter(heaviest[1].of))
            victim.cut(self.why)
            # Closing has given its bytes back; if not, that must not go on for ever.
            self.put(heaviest[0], victim, 0)


class Client:
    """What the connections and datagrams of one address have together."""

    __slots__ = (
        "_argument_bytes", "_guards", "_queue", "_reply_bytes", "_turn", "calls", "connections",
        "datagrams", "full", "host",
    )  # fmt: skip

    def __init__(self, guards: Guards, host: str) -> None:
        self._guards = guards
        self.host = host
        #: Its connections, roughly in the order of their last call.
        self.connections: dict[Guarded, None] = {}
        #: Calls that wait, and how many of them came over UDP.
        self.calls = 0
        self.datagrams = 0
        #: Whether it has as much as it may: then none of its connections is read from.
        self.full = False
        self._argument_bytes = 0
        # What the answer of a call that waits is expected to take, learnt from the last ones.
        self._reply_bytes = EXPECTED_REPLY_BYTES
        self._queue: dict[Guarded, None] = {}
        self._turn = False

    # Calls that wait

    def began(self, argument_bytes: int) -> None:
        """A call waits, and keeps so many bytes of arguments."""
        self.calls += 1
        self._argument_bytes += argument_bytes
        self._guards.waits(1, argument_bytes)
        self.review()

    def landed(self, argument_bytes: int) -> None:
        """A call that `began` has been answered."""
        self.calls -= 1
        self._argument_bytes -= argument_bytes
        self._guards.waits(-1, -argument_bytes)
        self.review()

    def replied(self, size: int) -> None:
        """The reply to a call that waited has `size` bytes."""
        self._reply_bytes += (size - self._reply_bytes) >> 3

    def review(self) -> None:
        """Look again whether the client has what it may; if it has less, it goes on."""
        guards, limits, calls = self._guards, self._guards.limits, self.calls
        kept = guards.backlog.of(self) + self._argument_bytes
        self.full = (
            calls >= limits.calls_per_client
            or (calls > 0 and guards.calls >= limits.calls)
            or kept + calls * self._reply_bytes > min(limits.client_backlog_bytes, guards.free)
        )
        if self._queue:
            self._wake()
        elif not calls and not self.connections:
            guards.forget(self)

    # Turns: of a client's connections that have more to serve, one goes on in each round.

    def queue(self, owner: Guarded) -> None:
        """`owner` is to go on when it is its turn and the client is not full."""
        self._queue[owner] = None
        self._wake()

    def unqueue(self, owner: Guarded) -> None:
        """`owner` is not to go on any more."""
        self._queue.pop(owner, None)

    def turn_over(self) -> None:
        """Who was told to go on has done so."""
        self._turn = False
        self._wake()

    def _wake(self) -> None:
        while self._queue and not self._turn and not self.full:
            owner = next(iter(self._queue))
            del self._queue[owner]
            self._turn = owner.go_on_soon()

    # Connections

    def touch(self, owner: Guarded) -> None:
        """`owner` had calls lately: those before it in the order are closed first."""
        if self.connections.pop(owner, self) is None:
            self.connections[owner] = None

    def idlest(self) -> Guarded | None:
        """The connection to close if one must be: the first in the order that is not busy."""
        for owner in list(islice(self.connections, EVICTION_LOOKS)):
            if not owner.busy:
                return owner
            self.touch(owner)
        return None


class Guards:
    """The account of one server."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self.clients: dict[str, Client] = {}
        #: Open connections; calls that wait; the bytes of their arguments.
        self.connections = 0
        self.calls = 0
        self.argument_bytes = 0
        self.backlog = Pool(limits.server_backlog_bytes, Cut.BACKLOG_MEMORY)
        self.records = Pool(limits.server_record_bytes, Cut.RECORD_MEMORY)
        #: What a client may have of replies to take, and one connection of it. The more is in use
        #: the less it is, so that it is not used up; one reply at a time is always allowed.
        self.free = limits.server_backlog_bytes // 2
        self.room = min(limits.backlog_bytes, self.free)
        #: Connections closed, by the reason.
        self.cuts: Counter[Cut] = Counter()
        # How many connections -> the clients that have so many.
        self._by_count: dict[int, dict[Client, None]] = {}
        self._top = 0

    def client(self, host: str) -> Client:
        """The account of the client at address `host`."""
        client = self.clients.get(host)
        if client is None:
            client = self.clients[host] = Client(self, host)
        return client

    def forget(self, client: Client) -> None:
        """`client` has nothing any more."""
        if self.clients.get(client.host) is client:
            del self.clients[client.host]

    # Bytes

    def owes(self, client: Client, owner: Guarded, size: int) -> None:
        """`owner` has `size` bytes of replies to take."""
        self.backlog.put(client, owner, size)
        self._measure()
        client.review()

    def waits(self, calls: int, argument_bytes: int) -> None:
        """So many calls more (or fewer) wait, and keep so many bytes of arguments."""
        self.calls += calls
        if argument_bytes:
            self.argument_bytes += argument_bytes
            self._measure()

    def _measure(self) -> None:
        kept = self.backlog.total + self.argument_bytes
        self.free = max(0, self.limits.server_backlog_bytes // 2 - kept)
        self.room = min(self.limits.backlog_bytes, self.free)

    # Connections

    def opened(self, client: Client, owner: Guarded) -> None:
        """`owner` is a connection of `client`."""
        client.connections[owner] = None
        self.connections += 1
        self._recount(client, len(client.connections) - 1)

    def closed(self, client: Client, owner: Guarded) -> None:
        """`owner` is closed: nothing is kept for it."""
        client.unqueue(owner)
        if client.connections.pop(owner, self) is None:
            self.connections -= 1
            self._recount(client, len(client.connections) + 1)
        self.records.put(client, owner, 0)
        self.owes(client, owner, 0)

    def admit(self, host: str) -> bool:
        """Whether a connection from `host` may be opened; may close another to make place.

        The place is that of the client itself if it has all that one may have, else of the client
        with most connections. Nobody loses a busy one to somebody who has as many.
        """
        known = self.clients.get(host)
        count = len(known.connections) if known is not None else 0
        if known is not None and count >= self.limits.connections_per_client:
            victim = known.idlest()
        elif self.connections >= self.limits.connections:
            victim = self.idlest()
            if victim is None and count + 1 < self._top:
                victim = next(iter(self._crowd()[0].connections))
        else:
            return True
        if victim is not None:
            victim.cut(Cut.CROWDED)
        return victim is not None

    def idlest(self) -> Guarded | None:
        """Of the clients with most connections, one that is not busy, longest without a call."""
        for client in self._crowd():
            victim = client.idlest()
            if victim is not None:
                return victim
            self._rotate(client)
        return None

    def touch(self, client: Client, owner: Guarded) -> None:
        """See `Client.touch`."""
        client.touch(owner)
        if len(client.connections) == self._top:
            self._rotate(client)

    def _crowd(self) -> list[Client]:
        return list(islice(self._by_count.get(self._top, ()), EVICTION_LOOKS))

    def _rotate(self, client: Client) -> None:
        bucket = self._by_count[len(client.connections)]
        del bucket[client]
        bucket[client] = None

    def _recount(self, client: Client, before: int) -> None:
        count = len(client.connections)
        if before:
            bucket = self._by_count[before]
            del bucket[client]
            if not bucket:
                del self._by_count[before]
        if count:
            self._by_count.setdefault(count, {})[client] = None
        if count > self._top or self._top not in self._by_count:
            self._top = count


class Watch:
    """How long a connection has been idle, at one record, or not taking replies.

    Time is counted in sweeps, of `sweep_seconds` each: while the server is held up, none passes.
    """

    __slots__ = ("_idle", "_limits", "_record", "_unread")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._idle = self._record = self._unread = 0

    def sweep(
        self, served: bool, busy: bool, incomplete_bytes: int, backlog_bytes: int, taken_bytes: int
    ) -> Cut | None:
        """Why the connection is to be closed now, from what was seen since the last sweep.

        `served`: a record came to its end; `busy`: as in `Guarded`; `incomplete_bytes`: of the
        record that has begun, 0 if none has or it is not read; `backlog_bytes`: replies to take,
        and `taken_bytes` of them that were.
        """
        limits = self._limits
        seconds, slowest = limits.sweep_seconds, limits.slowest_bytes_per_second
        self._idle = 0 if served or busy else self._idle + 1
        self._record = 0 if served or not incomplete_bytes else self._record + 1
        taking = not backlog_bytes or taken_bytes >= slowest * seconds
        self._unread = 0 if taking else self._unread + 1
        if self._record * seconds > limits.record_seconds + incomplete_bytes / slowest:
            return Cut.SLOW
        if self._unread * seconds > limits.backlog_seconds:
            return Cut.UNREAD
        if self._idle * seconds > limits.idle_seconds:
            return Cut.IDLE
        return None


class Rate:
    """So many a second, and so many at once before that counts (a token bucket)."""

    __slots__ = ("_at", "_most", "_per_second", "_tokens")

    def __init__(self, per_second: float, at_once: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._tokens = float(at_once)
        self._at = now

    def wait(self, now: float) -> float:
        """0.0 and one is taken; or the seconds until there is one to take."""
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0

    def give_back(self) -> None:
        """The last one taken was not used."""
        self._tokens = min(self._most, self._tokens + 1)
