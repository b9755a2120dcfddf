"""The server: programs served over TCP and UDP on ports of one's choice."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence

from oncrpc.dispatch import Dispatcher, Wrap
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import CONNECTIONS
from oncrpc.net import bind, host_port, peer_of
from oncrpc.program import Program, Service
from oncrpc.record import Scratch
from oncrpc.tcp import Connection
from oncrpc.udp import Datagrams

log = logging.getLogger("oncrpc")

#: accept(2) failing for want of descriptors or memory is tried again after this many seconds.
ACCEPT_PAUSE_SECONDS = 0.5


class RpcServer:
    """Any number of programs, on any number of TCP and UDP addresses.

    ``server.add(program, service)``, ``server.listen("tcp", host, port)``, and at the end
    ``await server.stop()``, which lets the calls in flight finish. Runs in the current event loop.
    """

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self._scratch = Scratch()
        self._listeners: list[socket.socket] = []
        self._datagrams: list[Datagrams] = []
        self._connections: set[Connection] = set()

    def add(
        self,
        program: Program,
        service: Service,
        wraps: Sequence[Wrap] = (),
        cache: DuplicateRequestCache | None = None,
    ) -> None:
        """Serve `program`; see `Dispatcher.add`."""
        self.dispatcher.add(program, service, wraps, cache)

    def listen(self, transport: str, host: str | None, port: int = 0) -> int:
        """Serve over "tcp" or "udp" at `host` (None: every address); the port that it became.

        Raises OSError, with the address in its text, if that cannot be bound.
        """
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        try:
            sockets = bind(host, port, kind)
        except OSError as exc:
            where = f"{transport} {host_port(host or '*', port)}"
            raise OSError(exc.errno, f"cannot listen on {where}: {exc.strerror or exc}") from None
        return self.listen_on(sockets)

    def listen_on(self, sockets: Sequence[socket.socket]) -> int:
        """Serve on sockets that are bound already; the port of the first."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            if sock.type == socket.SOCK_DGRAM:
                self._datagrams.append(Datagrams(sock, self.dispatcher))
            else:
                sock.listen(min(CONNECTIONS, 1024))
                self._listeners.append(sock)
                loop.add_reader(sock.fileno(), self._accept, sock)
        return int(sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Open TCP connections."""
        return len(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as exc:
                self._pause(listener, exc)
                return
            peer = peer_of(address, "tcp")
            if len(self._connections) >= CONNECTIONS:
                log.warning("from %s: refused, %d connections are open", peer.host, CONNECTIONS)
                sock.close()
                continue
            connection = Connection(
                sock, peer, self.dispatcher, self._scratch, self._connections.discard
            )
            self._connections.add(connection)

    def _pause(self, listener: socket.socket, exc: OSError) -> None:
        if exc.errno == errno.EBADF:
            return
        log.error("accept: %s; trying again", exc.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    async def stop(self, timeout: float = 5.0) -> None:
        """Take no more calls, finish those in flight (at most `timeout` seconds), close."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for datagrams in self._datagrams:
            datagrams.pause()
        for connection in list(self._connections):
            connection.finish()
        deadline = loop.time() + timeout
        while (self.dispatcher.waiting or self._connections) and loop.time() < deadline:
            await asyncio.sleep(0.01)
        left = self.dispatcher.waiting
        if left:
            log.warning("stopped with %d calls unanswered after %g s", left, timeout)
        await self.dispatcher.cancel()
        for connection in list(self._connections):
            connection.close()
        for datagrams in self._datagrams:
            datagrams.close()
        self._datagrams.clear()
