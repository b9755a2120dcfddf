"""For tests of the client: a loop whose time passes when nothing happens, and obedient servers."""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Any

from oncrpc.message import success
from oncrpc.record import mark


class _Selector(selectors.DefaultSelector):
    """Real sockets, but where it would wait for a timer the clock is put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        # The kernel has a moment for what is under way on the loopback interface; before a leap of
        # the clock a longer one, as a busy machine may need it.
        patience = 0.003 if timeout is None or timeout < 0.2 else 0.02
        events = super().select(min(timeout, patience) if timeout is not None else None)
        if not events and timeout is not None and timeout > 0:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while something happens."""

    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], tries: int = 5000) -> None:
    """Wait for it, a bounded number of times."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")


def xid_of(message: bytes) -> int:
    return int.from_bytes(message[:4], "big")


def opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def answer(message: bytes, data: bytes) -> bytes:
    """The reply to an ECHO call with `data` for its result."""
    return success(xid_of(message), 1, 0, 0, 0, 0) + opaque(data)


def argument(message: bytes) -> bytes:
    """The opaque argument of a call from nobody."""
    size = int.from_bytes(message[40:44], "big")
    return message[44 : 44 + size]


class Connection:
    """One connection that a client made to a `TcpServer`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port = writer.get_extra_info("peername")[1]

    async def message(self) -> bytes:
        """The next record that the client sent."""
        (word,) = struct.unpack(">I", await self.reader.readexactly(4))
        return await self.reader.readexactly(word & 0x7FFFFFFF)

    async def messages(self, count: int) -> list[bytes]:
        return [await self.message() for _ in range(count)]

    def send(self, reply: bytes) -> None:
        self.writer.write(mark(len(reply)) + reply)

    def cut(self, how: str = "fin") -> None:
        if how == "rst":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()


class TcpServer:
    """A listener whose connections the test plays itself."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self.made: list[Connection] = []
        self.port = 0

    async def __aenter__(self) -> TcpServer:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.deaf()
        for connection in self.made:
            connection.writer.close()

    def deaf(self) -> None:
        """Listen no more."""
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.made.append(connection)
        self.accepted.put_nowait(connection)

    async def connection(self) -> Connection:
        return await self.accepted.get()


class UdpServer(asyncio.DatagramProtocol):
    """A socket that keeps what it got, with the loop's time."""

    def __init__(self) -> None:
        self.got: list[tuple[float, bytes, Any]] = []
        #: What is done with each datagram, if anything.
        self.serve: Callable[[bytes], bytes | None] = lambda message: None

    @classmethod
    async def open(cls, port: int = 0) -> UdpServer:
        loop = asyncio.get_running_loop()
        _, server = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", port))
        return server

    def connection_made(self, transport: Any) -> None:
        self.wire = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((now(), data, addr))
        reply = self.serve(data)
        if reply is not None:
            self.wire.sendto(reply, addr)

    def send(self, reply: bytes) -> None:
        """To where the last datagram came from."""
        self.wire.sendto(reply, self.got[-1][2])
