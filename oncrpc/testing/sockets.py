"""Simulated sockets: the methods of `socket.socket` that the runtime uses, on a `Network`."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from oncrpc.xdr import Buffer

if TYPE_CHECKING:
    from oncrpc.testing.network import Host

#: A numeric host and a port.
Address: TypeAlias = tuple[str, int]

#: Bytes that a stream holds between a send(2) and the recv(2) that takes them.
STREAM_BYTES = 256 << 10
#: Bytes of datagrams that wait in a socket; more are lost.
DATAGRAMS_BYTES = 4 << 20


def failure(number: int) -> OSError:
    """The OSError (of its subclass) for an errno."""
    return OSError(number, os.strerror(number))


class Flow:
    """One direction of a connection: segments on their way, in order."""

    __slots__ = ("outstanding", "segments", "sender", "to")

    def __init__(self, sender: SimSocket, to: SimSocket) -> None:
        self.sender = sender
        self.to = to
        #: (bytes, or None for the FIN)
        self.segments: deque[bytes | None] = deque()
        #: Bytes sent and not yet received by the program at the other end.
        self.outstanding = 0


class Link:
    """What both ends of a connection share."""

    __slots__ = ("carried", "cut_at", "one_way")

    def __init__(self) -> None:
        #: Bytes that have arrived, both ways together.
        self.carried = 0
        #: The connection is cut when that many have; None: never.
        self.cut_at: int | None = None
        self.one_way: bool = False


class SimSocket:
    """A TCP or UDP socket of a simulated host. Made by `Host.listen` and the network.

    Non-blocking, level-triggered, IPv4 to those who ask. Errors are those of the system calls.
    """

    __slots__ = (
        "_fd", "backlog", "closed", "eof", "error", "flow", "host", "inbox", "linger", "link",
        "listening", "local", "queue", "queued", "remote", "reset", "seen_as", "type",
    )  # fmt: skip

    family = socket.AF_INET
    proto = 0

    def __init__(self, host: Host, kind: int, local: Address) -> None:
        self.host = host
        self.type = kind
        self.local = local
        self.remote: Address | None = None
        #: The address that the other end sees: `local` but behind a NAT.
        self.seen_as = local
        self.closed = False
        # A listener's
        self.listening = False
        self.backlog: deque[SimSocket] = deque()
        # A connection's
        self.inbox = bytearray()
        self.eof = False
        self.reset = False
        self.linger = True
        self.flow: Flow | None = None
        self.link: Link | None = None
        # A UDP socket's
        self.queue: deque[tuple[bytes, Address]] = deque()
        self.queued = 0
        self.error: OSError | None = None
        self._fd = host.network.loop.register(self)

    def __repr__(self) -> str:
        kind = "tcp" if self.type == socket.SOCK_STREAM else "udp"
        state = " closed" if self.closed else ""
        return f"<{kind} {self.local} to {self.remote}{state}>"

    # What the loop asks

    def can_read(self) -> bool:
        """See `oncrpc.testing.loop.Pollable`."""
        return bool(
            self.inbox or self.eof or self.reset or self.backlog or self.queue or self.error
        )

    def can_write(self) -> bool:
        """See `oncrpc.testing.loop.Pollable`."""
        flow = self.flow
        # Like Linux: with some room, not with any, or small segments would beget smaller ones.
        return self.reset or flow is None or flow.outstanding <= STREAM_BYTES * 2 // 3

    # What every socket has

    def fileno(self) -> int:
        """A number that the virtual loop knows; -1 if it is closed."""
        return self._fd

    def setblocking(self, flag: bool) -> None:
        """Nothing: no simulated socket blocks."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """SO_LINGER with a time of 0 makes `close` reset the connection; the rest is ignored."""
        self._check()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.linger = not (isinstance(value, bytes) and struct.unpack("ii", value) == (1, 0))

    def getsockname(self) -> Address:
        """The local address."""
        return self.local

    def getpeername(self) -> Address:
        """The other end's. Raises OSError where there is none."""
        if self.remote is None:
            raise failure(errno.ENOTCONN)
        return self.remote

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int:
        """0: no error is pending, and nothing is set."""
        return 0

    def close(self) -> None:
        """Close: what was sent still arrives, then the end; or a reset, if input was not read."""
        if self.closed:
            return
        self._gone()
        if self.flow is not None and not self.reset:
            if self.inbox or not self.linger:
                if not self.linger:
                    self.flow.segments.clear()
                self.host.network.reset_other(self.flow)
            else:
                self.host.network.finish(self.flow)
        for waiting in self.backlog:
            waiting.abort()

    def abort(self) -> None:
        """Close, and reset the connection: nothing that is on its way arrives."""
        if self.closed:
            return
        self._gone()
        if self.flow is not None and not self.reset:
            self.flow.segments.clear()
            self.host.network.reset_other(self.flow)
        for waiting in self.backlog:
            waiting.abort()

    def vanish(self) -> None:
        """Close without a word, as a host does whose power fails."""
        if not self.closed:
            self._gone()
            if self.flow is not None:
                self.flow.segments.clear()
            for waiting in self.backlog:
                waiting.vanish()

    def _gone(self) -> None:
        self.closed = True
        self.host.closed(self)
        self.host.network.loop.unregister(self._fd)
        self._fd = -1

    def _check(self) -> None:
        if self.closed:
            raise failure(errno.EBADF)

    # Listeners

    def listen(self, backlog: int = 0) -> None:
        """Take connections from now on."""
        self._check()
        self.listening = True

    def accept(self) -> tuple[SimSocket, Address]:
        """A connection and its peer's address. Raises BlockingIOError."""
        self._check()
        if not self.backlog:
            raise failure(errno.EAGAIN)
        sock = self.backlog.popleft()
        assert sock.remote is not None
        return sock, sock.remote

    # Streams

    def recv_into(self, buffer: Any, nbytes: int = 0) -> int:
        """Take what has come, or less of it; 0 at the end. Raises BlockingIOError, OSError."""
        self._check()
        inbox = self.inbox
        if inbox:
            room = len(buffer) if not nbytes else min(nbytes, len(buffer))
            count = self.host.network.part(min(len(inbox), room))
            buffer[:count] = inbox[:count]
            self._took(count)
            return count
        if self.reset:
            raise failure(errno.ECONNRESET)
        if self.eof:
            return 0
        raise failure(errno.EAGAIN)

    def recv(self, bufsize: int) -> bytes:
        """See `recv_into`; over UDP one datagram."""
        if self.type == socket.SOCK_DGRAM:
            return self.recvfrom(bufsize)[0]
        buffer = bytearray(min(bufsize, max(1, len(self.inbox))))
        count = self.recv_into(buffer)
        return bytes(buffer[:count])

    def _took(self, count: int) -> None:
        inbox = self.inbox
        if count == len(inbox):
            self.inbox = bytearray()
        else:
            del inbox[:count]
        if self.flow is not None:
            flow = self.flow.to.flow  # the one that leads here
            assert flow is not None
            flow.outstanding -= count
            self.host.network.loop.touch(flow.sender._fd)

    def send(self, data: Buffer) -> int:
        """Send as much as there is room for. Raises BlockingIOError, OSError."""
        self._before()
        if self.type == socket.SOCK_DGRAM:
            return self._send_to(bytes(data), self.remote)
        if self.reset:
            raise failure(errno.ECONNRESET)
        flow = self.flow
        if flow is None:
            raise failure(errno.ENOTCONN)
        room = STREAM_BYTES - flow.outstanding
        if room <= 0:
            raise failure(errno.EAGAIN)
        network = self.host.network
        count = network.part(min(room, len(data)))
        flow.outstanding += count
        network.transmit(flow, bytes(data) if count == len(data) else bytes(data[:count]))
        return count

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[Any] = (),
        flags: int = 0,
        address: Any = None,
    ) -> int:
        """`send` or `sendto` of all `buffers`."""
        data = b"".join(buffers)
        if self.type == socket.SOCK_DGRAM:
            self._before()
            return self._send_to(data, address or self.remote)
        return self.send(data)

    def _before(self) -> None:
        self._check()
        hook = self.host.before_send
        if hook is not None:
            hook(self)

    # Datagrams

    def sendto(self, data: Buffer, address: Any) -> int:
        """Send one datagram."""
        self._before()
        return self._send_to(bytes(data), address)

    def _send_to(self, data: bytes, address: Any) -> int:
        if address is None:
            raise failure(errno.EDESTADDRREQ)
        if len(data) > 65507:
            raise failure(errno.EMSGSIZE)
        self.host.network.datagram(self, data, (address[0], address[1]))
        return len(data)

    def recvfrom(self, bufsize: int) -> tuple[bytes, Address]:
        """One datagram and where it came from. Raises BlockingIOError, ConnectionRefusedError."""
        self._check()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if not self.queue:
            raise failure(errno.EAGAIN)
        data, source = self.queue.popleft()
        self.queued -= len(data)
        return data[:bufsize], source

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Any], int, Address]:
        """`recvfrom`, without any control message."""
        data, source = self.recvfrom(bufsize)
        return data, [], 0, source
