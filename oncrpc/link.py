"""What a client's calls travel over: a stream that is made again, datagrams that are sent again.

Times come from the event loop, and sockets from its `create_connection` and
`create_datagram_endpoint`, so that both run on a simulated loop.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from oncrpc.errors import ConnectionLost, ConnectionRefused, RecordError, RpcTimeout, XdrError
from oncrpc.limits import RECORD_BYTES, UDP_RECEIVE_BYTES
from oncrpc.net import host_port
from oncrpc.pending import Calls, Pending
from oncrpc.record import RecordReader, Scratch, mark
from oncrpc.retry import Retry

log = logging.getLogger("oncrpc")

Address: TypeAlias = tuple[str, int]

#: The errors of a source port that cannot be had.
PORT_TAKEN = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})

#: The errors by which the network says that a datagram cannot get there.
UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})

#: The most that a datagram carries over IPv4, and over IPv6.
_UDP_PAYLOAD_BYTES = 65507
_UDP6_PAYLOAD_BYTES = 65527

#: Closing sends a reset, and leaves nothing behind that would hold the port.
_AT_ONCE = struct.pack("ii", 1, 0)


class Link(Protocol):
    """What `oncrpc.client.RpcClient` needs of a transport."""

    #: Whether what is sent once arrives once at most.
    reliable: bool
    #: The addresses of the server and of this end.
    remote: Any
    local: Any

    def attach(self, calls: Calls) -> None:
        """Serve these calls from now on."""

    def frame(self, head: bytes, body: bytes) -> bytes:
        """A message as it is sent. Raises XdrError if it is too long."""

    def send(self, call: Pending) -> None:
        """Send a call, and again as long as it has not ended."""

    def close(self) -> None:
        """Send nothing more. The calls are the caller's to end."""

    def ended(self) -> str | None:
        """Why no call can be made any more, or None."""


# Streams


class _Stream(asyncio.BufferedProtocol):
    """One connection of a `StreamLink`."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.wire: Any  # a transport of the loop's own, which need not be asyncio's
        #: Done when the transport has let go of its socket, but for the end of this callback.
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = RecordReader(link.scratch, RECORD_BYTES)

    def connection_made(self, transport: Any) -> None:
        self.wire = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.received(nbytes)
        try:
            for record in self._reader.records():
                self.link.received(self, record)
        except RecordError as exc:
            self.link.unreadable(self, exc)
            return
        self._reader.settle()

    def eof_received(self) -> bool:
        # Not left to the transport, which would first wait until all is sent.
        self.link.lost(self, "the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self.link.lost(self, _reason(exc) if exc else "the connection was closed")


#: ``dial(protocol_factory, remote, source) -> (transport, protocol)``: how a connection is made.
#: `source` is the address to come from, or None. Raises OSError.
Dial: TypeAlias = Callable[
    [Callable[[], asyncio.BufferedProtocol], Any, Address | None], Awaitable[tuple[Any, Any]]
]


async def dial_tcp(
    factory: Callable[[], asyncio.BufferedProtocol], remote: Any, source: Address | None
) -> tuple[Any, Any]:
    """A TCP connection to ``(host, port)``.

    A port is had again without SO_REUSEADDR: it was bound (`wildcard`), so that the kernel gave it
    to no other connection, and the connection before was reset (`_reset`), so that nothing is left
    in TIME_WAIT. Where nobody listens, TCP may connect a port to itself, if it is the one that was
    asked for: that is refused. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    wire, protocol = await loop.create_connection(factory, *remote, local_addr=source)
    if wire.get_extra_info("sockname") == wire.get_extra_info("peername"):
        wire.abort()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody is there but the caller itself")
    return wire, protocol


class StreamLink:
    """Calls over a stream, by record marking (RFC 5531 section 11).

    When the connection ends with calls outstanding, or a reply is overdue, it connects again, from
    the same port, and sends the outstanding calls again, the same bytes in the order of their first
    transmission. Without calls it waits for the next one. A call fails that `retry.give_up` seconds
    of this have not brought to its reply: with `ConnectionLost` if it was sent, `ConnectionRefused`
    otherwise. That bounds also a call that makes the server close each connection.
    """

    reliable = True

    def __init__(self, remote: Any, retry: Retry, dial: Dial = dial_tcp) -> None:
        self.remote = remote
        self.local: Any = None
        self.scratch = Scratch()
        self._retry = retry
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._calls: Calls
        self._stream: _Stream | None = None
        #: The one before, whose socket may still hold the port.
        self._previous: _Stream | None = None
        self._redialing: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        #: Why the last connection ended or could not be made.
        self._why = ""
        #: Tries to connect that brought no reply; when the last try was made, and when the last
        #: connection ended.
        self._attempt = 0
        self._tried_at = self._lost_at = self._loop.time()
        #: The address to come from that the user chose.
        self._source: Address | None = None
        self._closed = False

    def attach(self, calls: Calls) -> None:
        self._calls = calls

    async def open(self, source: Address | None = None) -> None:
        """Connect for the first time, to the first of a name's addresses. Raises OSError."""
        self._source = source
        why: OSError | None = None
        for remote in await _addresses(self.remote):
            self.remote = remote
            self.local = source or (wildcard(remote) if self._retry.reconnect else None)
            self._tried_at = self._loop.time()
            try:
                _, stream = await self._dial(lambda: _Stream(self), remote, self.local)
            except OSError as exc:
                why = exc
            else:
                self._use(stream)
                return
        raise why or OSError(errno.EADDRNOTAVAIL, "the name has no address")

    def _use(self, stream: _Stream) -> None:
        if stream.gone.done():
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
        self._stream = stream
        self.local = numeric(stream.wire.get_extra_info("sockname"), self.local)

    def frame(self, head: bytes, body: bytes) -> bytes:
        return b"".join((mark(len(head) + len(body)), head, body))

    def send(self, call: Pending) -> None:
        now = self._loop.time()
        if self._stream is None:
            call.since = max(call.started, self._lost_at)
            self._redial()
            return
        if call.times:
            self._calls.statistics.retransmissions += 1
        else:
            call.since = None
        call.times += 1
        call.sent_at = now
        self._stream.wire.write(call.message)
        if self._watch is None and self._retry.overdue is not None and self._retry.reconnect:
            self._watch = self._loop.call_at(now + self._retry.overdue, self._check)

    def received(self, stream: _Stream, record: Any) -> None:
        """A record came in."""
        if stream is self._stream and self._calls.received(record, reliable=True):
            self._attempt = 0

    def unreadable(self, stream: _Stream, exc: RecordError) -> None:
        """The stream cannot go on, and would come to the same place again: the calls have failed.

        The reply that broke it is one of theirs, but which is not known.
        """
        if stream is self._stream:
            self._calls.fail_all(
                lambda call: self._calls.unanswered(ConnectionLost, call, f"the reply: {exc}")
            )
        self.lost(stream, str(exc))

    def lost(self, stream: _Stream, why: str) -> None:
        """A connection ended, or is to: make another if calls wait."""
        if stream is not self._stream:
            if not stream.gone.done():
                stream.wire.abort()
            return
        self._stream, self._previous, self._why = None, stream, why
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if not self._retry.reconnect:
            stream.wire.abort()
            self._calls.fail_all(lambda call: self._calls.unanswered(ConnectionLost, call, why))
            return
        if not stream.gone.done():
            _reset(stream.wire)
        now = self._lost_at = self._loop.time()
        if self._retry.over(self._tried_at, now):  # it lived: what was before it does not count
            self._forgive()
        self._give_up(now)
        for call in self._calls.outstanding.values():
            call.since = now if call.since is None else call.since
        self._redial()

    def _check(self) -> None:
        """Whether a reply is overdue. The first outstanding call is the one sent first."""
        self._watch = None
        if self._stream is None or not self._calls.outstanding:
            return
        assert self._retry.overdue is not None
        first = next(iter(self._calls.outstanding.values()))
        due = first.sent_at + self._retry.overdue
        if self._loop.time() < due:
            self._watch = self._loop.call_at(due, self._check)
            return
        self._forgive()  # the server is there, only silent: that is not for us to give up
        self.lost(self._stream, f"no reply in {self._retry.overdue:g} s")

    def _forgive(self) -> None:
        self._attempt = 0
        for call in self._calls.outstanding.values():
            call.since = None

    # Connecting again

    def _redial(self) -> None:
        if self._redialing is None and self._calls.outstanding and not self._closed:
            self._redialing = self._loop.create_task(self._connect_again())

    async def _connect_again(self) -> None:
        try:
            if self._previous is not None:
                await self._previous.gone
            while self._calls.outstanding and self._stream is None:
                await self._attempt_once()
        finally:
            self._redialing = None
        for call in list(self._calls.outstanding.values()):
            if not call.ended:  # by what another one met
                self.send(call)

    async def _attempt_once(self) -> None:
        """Wait, and try to connect, unless all calls have ended meanwhile."""
        pause = self._next_try() - self._loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
            if not self._calls.outstanding:
                return
        self._attempt += 1
        self._tried_at = self._loop.time()
        try:
            async with asyncio.timeout(self._retry.connect):
                self._use(await self._from_same_port())
        except TimeoutError:
            self._why = f"no connection in {self._retry.connect:g} s"
        except OSError as exc:
            self._why = _reason(exc)
        else:
            self._calls.statistics.reconnections += 1
            return
        log.debug("%s: %s; trying again", self._calls.address, self._why)
        self._give_up(max(self._loop.time(), self._next_try()))

    def _next_try(self) -> float:
        return self._tried_at + self._retry.wait(self._attempt)

    def _give_up(self, by: float) -> None:
        """End the calls whose time to find a connection is over at the time `by`."""
        why = f"{self._why} (given up after {self._retry.give_up or 0:g} s)"
        while late := [
            call
            for call in self._calls.outstanding.values()
            if call.since is not None and self._retry.over(call.since, by)
        ]:
            for call in late:  # each leaves its place to another, which may be as late
                kind = ConnectionLost if call.times else ConnectionRefused
                self._calls.fail(call, self._calls.unanswered(kind, call, why))

    async def _from_same_port(self) -> _Stream:
        """So that the server's duplicate request cache and its port checks know the client."""
        stream: _Stream
        try:
            _, stream = await self._dial(lambda: _Stream(self), self.remote, self.local)
        except OSError as exc:
            if self.local is None or exc.errno not in PORT_TAKEN:
                raise
            other = (self._source[0], 0) if self._source else wildcard(self.remote)
            _, stream = await self._dial(lambda: _Stream(self), self.remote, other)
            self._calls.statistics.moved_ports += 1
        return stream

    def ended(self) -> str | None:
        if self._closed:
            return "the client is closed"
        return self._why if self._stream is None and not self._retry.reconnect else None

    def close(self) -> None:
        stream, self._stream, self._closed = self._stream, None, True
        if self._redialing is not None:
            self._redialing.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if stream is not None:
            # What is not sent yet is of calls that have ended; a server that does not read would
            # keep it, and the socket, for ever.
            stream.wire.abort()


def _reset(wire: Any) -> None:
    """Close at once, by a reset: the port is free again, and the server knows too."""
    sock = wire.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        except OSError as exc:
            log.debug("SO_LINGER: %s", exc)
    wire.abort()


def _reason(exc: Exception) -> str:
    """Why, without the addresses that event loops put into their errors."""
    number = exc.errno if isinstance(exc, OSError) else None
    return os.strerror(number) if number else str(exc) or type(exc).__name__


async def _addresses(remote: Any) -> list[Any]:
    """``(host, port)`` with each numeric address of `host`; what is none (a unix socket) itself."""
    if not isinstance(remote, tuple):
        return [remote]
    host, port = remote
    try:
        ipaddress.ip_address(host.partition("%")[0])
        return [remote]
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [numeric(address, remote) for *_, address in found]


def wildcard(remote: Any) -> Address | None:
    """Where to bind to have a port of one's own.

    A port that `connect` chooses may be shared with connections to other servers, which keep it
    from being bound later.
    """
    if not isinstance(remote, tuple):
        return None
    return ("::" if ":" in remote[0] else "0.0.0.0"), 0


def numeric(address: Any, default: Any) -> Any:
    """A socket's address as ``(host, port)``, with the scope of a link-local one."""
    if not isinstance(address, tuple):
        return default
    host, port, *rest = address
    if len(rest) == 2 and rest[1] and "%" not in host:
        host = f"{host}%{rest[1]}"
    return host, port


# Datagrams


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self, link: DatagramLink) -> None:
        self.link = link

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.link.received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self.link.failed(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.lost(exc)


class DatagramLink:
    """Calls over UDP, sent again as `Retry.intervals` says, from one socket (a connected one).

    A refusal by the network (ICMP) is final for a server that never answered, and where
    `retry.reconnect` is off. One that did answer may be restarting: the transmissions go on, and a
    refusal `retry.give_up` seconds after the first is final. It ends all calls of the client with
    `ConnectionRefused`, as it does not say which one it means; the next call tries anew.
    """

    reliable = False

    def __init__(self, remote: Address, retry: Retry) -> None:
        self.remote: Any = remote
        self.local: Any = None
        self._retry = retry
        self._loop = asyncio.get_running_loop()
        self._calls: Calls
        self._wire: asyncio.DatagramTransport
        self._limit = _UDP_PAYLOAD_BYTES
        self._peer = remote
        self._answered = False
        #: When the network began to refuse, and how.
        self._since: float | None = None
        self._why = ""
        self._over: str | None = None

    def attach(self, calls: Calls) -> None:
        self._calls = calls

    async def open(self, source: Address | None = None) -> None:
        """Make the socket. Raises OSError."""
        self._wire, _ = await self._loop.create_datagram_endpoint(
            lambda: _Datagram(self), remote_addr=self.remote, local_addr=source
        )
        sock = self._wire.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BYTES)
        self.remote = numeric(self._wire.get_extra_info("peername"), self.remote)
        self.local = numeric(self._wire.get_extra_info("sockname"), source)
        self._peer = (self.remote[0].partition("%")[0], self.remote[1])
        if ":" in self.remote[0]:
            self._limit = _UDP6_PAYLOAD_BYTES

    def frame(self, head: bytes, body: bytes) -> bytes:
        size = len(head) + len(body)
        if size > self._limit:
            raise XdrError(f"a call of {size} bytes; a datagram carries {self._limit}")
        return head + body

    def send(self, call: Pending) -> None:
        if call.times:
            self._calls.statistics.retransmissions += 1
        interval = self._retry.intervals[call.times]
        call.times += 1
        call.sent_at = self._loop.time()
        call.timer = self._loop.call_later(interval, self._again, call)
        self._wire.sendto(call.message)  # last, as it may tell of a refusal at once

    def _again(self, call: Pending) -> None:
        if call.times < len(self._retry.intervals):
            self.send(call)
            return
        text = f"no reply in {sum(self._retry.intervals):g} s, sent {call.times} times"
        kind = RpcTimeout if self._since is None else ConnectionRefused
        why = f"{text} ({self._why})" if self._why else text
        self._calls.fail(call, self._calls.unanswered(kind, call, why))

    def received(self, data: bytes, addr: Any) -> None:
        """A datagram came in. The kernel lets no other source through; a loop of tests might."""
        if (addr[0].partition("%")[0], addr[1]) != self._peer:
            self._calls.statistics.strays += 1
        elif self._calls.received(data, reliable=False):
            self._answered, self._since, self._why = True, None, ""

    def failed(self, exc: Exception) -> None:
        """The network refused a datagram, or the system did not send one."""
        self._why = _reason(exc)
        if not isinstance(exc, OSError) or exc.errno not in UNREACHABLE:
            log.debug("%s: %s", self._calls.address, exc)
            return
        self._calls.statistics.refusals += 1
        now = self._loop.time()
        self._since = now if self._since is None else self._since
        wait = self._answered and self._retry.reconnect
        if not wait or self._retry.over(self._since, now):
            self._answered, self._since = False, None
            self._calls.fail_all(
                lambda call: self._calls.unanswered(ConnectionRefused, call, self._why)
            )

    def lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if self._over is None:
            self._over = why = str(exc or "the socket was closed")
            self._calls.fail_all(lambda call: self._calls.unanswered(ConnectionLost, call, why))

    def ended(self) -> str | None:
        return self._over

    def close(self) -> None:
        self._over = "the client is closed"
        self._wire.close()


def name(transport: str, remote: Any) -> str:
    """A server's address as texts give it."""
    place = host_port(*remote) if isinstance(remote, tuple) else str(remote).replace("\0", "@")
    return f"{transport} {place}"
