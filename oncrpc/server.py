"""The server: programs served over TCP and UDP on ports of one's choice."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher, Wrap
from oncrpc.drc import DuplicateRequestCache
from oncrpc.guards import Cut, Guards, Rate
from oncrpc.limits import ACCEPTS_PER_WAKE_UP, ServerLimits
from oncrpc.net import bind, host_port, peer_of
from oncrpc.program import Program, Service
from oncrpc.quota import Warnings
from oncrpc.record import Scratch
from oncrpc.session import Sessions
from oncrpc.tcp import Connection
from oncrpc.udp import Datagrams

log = logging.getLogger("oncrpc")

#: Connections that wait to be accepted (the system allows 4096 at most by default).
LISTEN_BACKLOG = 1024

#: accept(2) failing for want of descriptors or memory is tried again after this many seconds.
ACCEPT_PAUSE_SECONDS = 0.5


#: When too many connect, they wait in the listening socket this long at least.
ACCEPT_REST_SECONDS = 0.02


class RpcServer:
    """Any number of programs, on any number of TCP and UDP addresses.

    ``server.add(program, service)``, ``server.listen("tcp", host, port)``, and at the end
    ``await server.stop()``, which lets the calls in flight finish. Runs in the current event loop.
    `limits` are what clients may have of it; `guards` counts what they have.
    """

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self.limits = limits or ServerLimits()
        self.guards = Guards(self.limits)
        self.dispatcher = Dispatcher()
        #: Asked at each connection: its `Peer` as it is to be known, such as with its user.
        self.identify: Callable[[socket.socket, Peer], Peer] | None = None
        self._warnings = Warnings(log)
        self._accepts: Rate | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._scratch = Scratch()
        self._listeners: list[socket.socket] = []
        self._datagrams: list[Datagrams] = []
        #: In the order in which they came.
        self._connections: dict[Connection, None] = {}

    def add(
        self,
        program: Program,
        service: Service,
        wraps: Sequence[Wrap] = (),
        cache: DuplicateRequestCache | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """Serve `program`; see `Dispatcher.add`."""
        self.dispatcher.add(program, service, wraps, cache, sessions)

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
                self._datagrams.append(Datagrams(sock, self.dispatcher, self.guards))
            else:
                sock.listen(LISTEN_BACKLOG)
                self._listeners.append(sock)
                loop.add_reader(sock.fileno(), self._accept, sock)
        return int(sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Open TCP connections."""
        return len(self._connections)

    @property
    def dropped(self) -> int:
        """Datagrams dropped since their clients had too much waiting."""
        return sum(datagrams.dropped for datagrams in self._datagrams)

    @property
    def open(self) -> list[Connection]:
        """The open TCP connections, in the order in which they came."""
        return list(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        now = asyncio.get_running_loop().time()
        if self._accepts is None:
            limits = self.limits
            self._accepts = Rate(limits.accepts_per_second, limits.accepts_at_once, now)
        for accepted in range(ACCEPTS_PER_WAKE_UP):
            pause = self._accepts.wait(now)
            if pause:
                self._pause(listener, max(pause, ACCEPT_REST_SECONDS))
                return
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                self._accepts.give_back()
                return
            except OSError as exc:
                # Without descriptors it fails even if nobody waits: only the first one tells.
                if not accepted:
                    self._failed(listener, exc)
                return
            self._connected(sock, peer_of(address, "tcp"))

    def _connected(self, sock: socket.socket, peer: Peer) -> None:
        guards = self.guards
        if not guards.admit(peer.host):
            guards.cuts[Cut.REFUSED] += 1
            self._warnings.warn(peer.host, "connection refused: %s", Cut.REFUSED)
            sock.close()
            return
        if self.identify is not None:
            peer = self.identify(sock, peer)
        try:
            connection = Connection(
                sock,
                peer,
                self.dispatcher,
                self._scratch,
                guards,
                self._warnings,
                self._disconnected,
            )
        except OSError as exc:
            log.debug("from %s: %s", peer.host, exc.strerror)
            sock.close()
            return
        self._connections[connection] = None
        if self._sweeping is None:
            self._sweep_later()

    def _disconnected(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self.limits.sweep_seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle or slow for too long. Runs while there are connections."""
        self._sweeping = None
        for connection in list(self._connections):
            connection.sweep()
        if self._connections:
            self._sweep_later()

    def _failed(self, listener: socket.socket, exc: OSError) -> None:
        """accept(2) failed. For want of descriptors, an idle connection gives up its own."""
        if exc.errno == errno.EBADF:
            return
        if exc.errno in {errno.EMFILE, errno.ENFILE}:
            idle = self.guards.idlest()
            if idle is not None:
                idle.cut(Cut.CROWDED)
                return
        log.error("accept: %s; trying again", exc.strerror)
        self._pause(listener, ACCEPT_PAUSE_SECONDS)

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        loop.call_later(seconds, self._resume, listener)

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
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
