"""asyncio's transports on simulated sockets: what `loop.create_connection` gives a client."""

from __future__ import annotations

import asyncio
from typing import Any

from oncrpc.testing.sockets import SimSocket

#: Bytes that wait in a transport above which its protocol is told to pause, and below which to go
#: on: asyncio's defaults.
HIGH_WATER_BYTES = 64 << 10
LOW_WATER_BYTES = 16 << 10
DATAGRAM_BYTES = 65536
RECEIVE_BYTES = 256 << 10


class _Wire(asyncio.Transport):
    """What both have: closing, and telling the protocol once that it is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: SimSocket, protocol: Any) -> None:
        super().__init__({"socket": sock, "sockname": sock.local, "peername": sock.remote})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._closing = False
        self._reading = True
        protocol.connection_made(self)
        loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        raise NotImplementedError

    def get_protocol(self) -> Any:
        """The protocol."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Another protocol from now on."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether input goes to the protocol."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Leave input in the socket."""
        if self.is_reading():
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def resume_reading(self) -> None:
        """Take input again."""
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def abort(self) -> None:
        """Close now; what is not sent is lost."""
        self._end(None)

    def _end(self, exc: Exception | None) -> None:
        """No more input or output; the protocol hears of it soon, once."""
        if self._sock.closed and self._closing:
            return
        self._closing = True
        fd = self._sock.fileno()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._sock.close()
        self._loop.call_soon(self._protocol.connection_lost, exc)


class StreamWire(_Wire):
    """A TCP connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: SimSocket, protocol: Any) -> None:
        self._out = bytearray()
        self._paused = False
        self._high, self._low = HIGH_WATER_BYTES, LOW_WATER_BYTES
        self._ending = False
        super().__init__(loop, sock, protocol)

    def _readable(self) -> None:
        protocol = self._protocol
        try:
            if isinstance(protocol, asyncio.BufferedProtocol):
                count = self._sock.recv_into(protocol.get_buffer(-1))
                if count:
                    protocol.buffer_updated(count)
                    return
            elif data := self._sock.recv(RECEIVE_BYTES):
                protocol.data_received(data)
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(exc)
            return
        if protocol.eof_received():
            self._loop.remove_reader(self._sock.fileno())
        else:
            self.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport.write`."""
        if self._closing or self._ending or not data:
            return
        if not self._out:
            count = self._send(data)
            if count == len(data):
                return
            data = bytes(data)[count:]
            if self._closing:
                return
            self._loop.add_writer(self._sock.fileno(), self._writable)
        self._out += data
        if len(self._out) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            self._end(exc)
            return 0

    def _writable(self) -> None:
        count = self._send(self._out)
        if self._sock.closed:
            return
        del self._out[:count]
        if self._paused and len(self._out) <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if not self._out:
            self._loop.remove_writer(self._sock.fileno())
            if self._closing:
                self._end(None)

    def write_eof(self) -> None:
        """See `asyncio.WriteTransport.write_eof`; the end follows when the transport is closed."""
        self._ending = True

    def can_write_eof(self) -> bool:
        """False: a simulated connection is closed both ways at once."""
        return False

    def get_write_buffer_size(self) -> int:
        """Bytes not yet given to the socket."""
        return len(self._out)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio."""
        self._high = HIGH_WATER_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def close(self) -> None:
        """Close when all is written."""
        if not self._closing:
            if self._out:
                self._closing = True
                self._loop.remove_reader(self._sock.fileno())
            else:
                self._end(None)


class DatagramWire(_Wire, asyncio.DatagramTransport):
    """A UDP socket."""

    def _readable(self) -> None:
        try:
            data, source = self._sock.recvfrom(DATAGRAM_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._protocol.error_received(exc)
            return
        self._protocol.datagram_received(data, source)

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """See `asyncio.DatagramTransport.sendto`."""
        if self._closing or not data:
            return
        try:
            if addr is None:
                self._sock.send(data)
            else:
                self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._protocol.error_received(exc)

    def close(self) -> None:
        """Close."""
        if not self._closing:
            self._end(None)
