"""Hosts and the network between them: what is sent arrives, late, twice, or not at all."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn, TypeVar
from zlib import crc32

from oncrpc.testing.faults import NO_FAULTS, Faults, draw, pieces, turned
from oncrpc.testing.loop import LIFE, Crash, Life, VirtualLoop
from oncrpc.testing.sockets import (
    DATAGRAMS_BYTES,
    Address,
    Flow,
    Link,
    SimSocket,
    failure,
)
from oncrpc.testing.transports import DatagramWire, StreamWire

T = TypeVar("T")

#: Ports that are given to sockets that ask for none.
EPHEMERAL_PORTS = range(40000, 60000)
#: Ports that a NAT gives.
NAT_PORTS = range(1024, 40000)
#: Events that the trace keeps.
TRACE_EVENTS = 4000

_STREAM, _DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
_KINDS = {_STREAM: "tcp", _DGRAM: "udp"}


class Host:
    """A machine with one address. What it runs is started by `run` or `task`, and dies in `crash`.

    `before_send`, if it is set, is called with the socket before each send: to crash just there.
    """

    def __init__(self, network: Network, address: str) -> None:
        self.network = network
        self.address = address
        self.before_send: Callable[[SimSocket], object] | None = None
        self.life = Life(self)
        self._sockets: dict[int, SimSocket] = {}
        self._ports: dict[tuple[int, int], int] = {}
        self._next_port = 0

    # Programs

    def run(self, func: Callable[..., T], *args: Any) -> T:
        """Call `func` as this host's: what it schedules is the host's too."""
        return self.life.context.copy().run(func, *args)

    def task(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of this host's."""
        return self.network.loop.create_task(coro, context=self.life.context.copy())

    def crash(self, silent: bool = False) -> None:
        """All that runs here ends now: callbacks are dropped, tasks never go on (their
        finally-clauses do not run either), and sockets are closed as a dying process's are.

        With `silent`, its peers are told nothing, as when the power fails; they get a reset when
        they next send. What is started here afterwards belongs to the next life.
        """
        network = self.network
        network.note("crash", self.address, "silent" if silent else "")
        old, self.life = self.life, Life(self)
        old.over = True
        self.before_send = None
        for sock in list(self._sockets.values()):
            if silent:
                sock.vanish()
            elif network.rng.random() < 0.5:
                sock.abort()
            else:
                sock.close()
        network.loop.bury(old)

    def shut(self) -> None:
        """Close all sockets without a word."""
        for sock in list(self._sockets.values()):
            sock.vanish()
        self.network.loop.bury(self.life)

    def die(self) -> NoReturn:
        """`crash`, in the middle of what runs here now: raises `Crash` through all of it."""
        self.crash()
        raise Crash(f"{self.address} at {self.network.loop.time():.6f} s")

    # Sockets

    def listen(self, transport: str, port: int = 0) -> Any:
        """A bound `SimSocket`, to be used where a `socket.socket` is wanted, as by
        `RpcServer.listen_on`; `transport` is "tcp" or "udp". Raises OSError (EADDRINUSE)."""
        kind = _STREAM if transport == "tcp" else _DGRAM
        sock = self.bind(kind, port)
        self.network.bound[kind, sock.local] = sock
        return sock

    def bind(self, kind: int, port: int = 0) -> SimSocket:
        """A socket that holds `port`, or a free one. Raises OSError (EADDRINUSE)."""
        if not port:
            port = self._free(kind)
        elif (kind, port) in self._ports:
            raise failure(errno.EADDRINUSE)
        sock = self.made(kind, (self.address, port))
        self._ports[kind, port] = sock.fileno()
        return sock

    def made(self, kind: int, local: Address) -> SimSocket:
        """A socket of this host's, without a port of its own."""
        sock = SimSocket(self, kind, local)
        self._sockets[sock.fileno()] = sock
        return sock

    def closed(self, sock: SimSocket) -> None:
        """A socket is closed: its port is free."""
        fd = sock.fileno()
        self._sockets.pop(fd, None)
        port = sock.type, sock.local[1]
        if self._ports.get(port) == fd:
            del self._ports[port]
        bound = self.network.bound
        for address in {sock.local, sock.seen_as}:
            if bound.get((sock.type, address)) is sock:
                del bound[sock.type, address]

    def _free(self, kind: int) -> int:
        while True:
            port = EPHEMERAL_PORTS[self._next_port % len(EPHEMERAL_PORTS)]
            self._next_port += 1
            if (kind, port) not in self._ports:
                return port


class Network:
    """Hosts, and `faults` between them, which may be replaced at any time.

    All chance comes from `rng`, and all time from `loop`: the same program with the same seed does
    the same. `trace` keeps the last events; `describe` makes text of them.
    """

    def __init__(self, loop: VirtualLoop, seed: int, faults: Faults = NO_FAULTS) -> None:
        self.loop = loop
        self.seed = seed
        self.faults = faults
        self.rng = random.Random(seed)
        self.trace: deque[tuple[Any, ...]] = deque(maxlen=TRACE_EVENTS)
        #: Listeners and UDP sockets by the address that others see.
        self.bound: dict[tuple[int, Address], SimSocket] = {}
        self._hosts: dict[str, Host] = {}
        self._dark: dict[tuple[str, str], float] = {}
        self._cut_next: tuple[int, bool] | None = None
        #: In which the network itself acts: no crash of a host prevents that.
        self._nobody = Context()
        loop.network = self

    def host(self, address: str) -> Host:
        """The host of that address, made at its first mention."""
        host = self._hosts.get(address)
        if host is None:
            host = self._hosts[address] = Host(self, address)
        return host

    def shut(self) -> None:
        """The end: close all sockets without a word. What still runs has no effect any more."""
        for host in self._hosts.values():
            host.life.over = True
            host.shut()
        self.bound.clear()

    def cut_next(self, after: int, one_way: bool = False) -> None:
        """The next connection that is made is cut when `after` bytes have arrived over it, both
        ways together. With `one_way`, only who was to get the rest learns of it."""
        self._cut_next = after, one_way

    def black_hole(self, source: str, target: str, seconds: float) -> None:
        """Let nothing through from one address to another for so long: datagrams are lost,
        streams wait."""
        self._dark[source, target] = self.loop.time() + seconds
        self.note("hole", source, target, seconds)

    # The trace

    def note(self, what: str, *details: Any) -> None:
        """Add an event to the trace."""
        self.trace.append((self.loop.time(), what, *details))

    def describe(self) -> list[str]:
        """The trace: a line per event, with its time in virtual seconds."""
        return [
            f"{when:12.6f} {what:<10} " + " ".join(map(_text, details))
            for when, what, *details in self.trace
        ]

    # Datagrams

    def datagram(self, sock: SimSocket, data: bytes, target: Address) -> None:
        """Send a datagram; `SimSocket` calls it."""
        faults, rng = self.faults, self.rng
        if faults.roam and sock.remote is not None and rng.random() < faults.roam:
            self._move(sock)
        source = sock.seen_as
        if self._in_hole(source[0], target[0]) or (faults.lose and rng.random() < faults.lose):
            self.note("lost", source, target, len(data), crc32(data))
            return
        if faults.corrupt and rng.random() < faults.corrupt:
            data = turned(rng, data)
        seconds = draw(rng, faults.delay_seconds)
        if faults.reorder and rng.random() < faults.reorder:
            seconds += draw(rng, faults.reorder_seconds)
        self._later(seconds, self._arrive, source, target, data)
        if faults.duplicate and rng.random() < faults.duplicate:
            seconds += draw(rng, faults.reorder_seconds)
            self._later(seconds, self._arrive, source, target, data)

    def _move(self, sock: SimSocket) -> None:
        """Others see a UDP socket at another port from now on."""
        self.bound.pop((_DGRAM, sock.seen_as), None)
        while True:
            address = sock.local[0], self.rng.choice(NAT_PORTS)
            if (_DGRAM, address) not in self.bound:
                break
        self.note("moves", sock.seen_as, address)
        sock.seen_as = address
        self.bound[_DGRAM, address] = sock

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        sock = self.bound.get((_DGRAM, target))
        if sock is None:
            self.note("nobody", source, target, len(data), crc32(data))
            self._later(
                draw(self.rng, self.faults.delay_seconds), self._unreachable, source, target
            )
            return
        if sock.remote is not None and sock.remote != source:
            return
        if sock.queued + len(data) > DATAGRAMS_BYTES:
            self.note("overflow", source, target, len(data), crc32(data))
            return
        self.note("datagram", source, target, len(data), crc32(data))
        sock.queue.append((data, source))
        sock.queued += len(data)
        self.loop.touch(sock.fileno())

    def _unreachable(self, source: Address, target: Address) -> None:
        """ICMP: a connected UDP socket hears that its port is closed."""
        sock = self.bound.get((_DGRAM, source))
        if sock is not None and sock.remote == target:
            sock.error = failure(errno.ECONNREFUSED)
            self.loop.touch(sock.fileno())

    # Streams

    def part(self, count: int) -> int:
        """How many of `count` bytes one system call takes or gives."""
        partial = self.faults.partial
        if partial and count > 1 and self.rng.random() < partial:
            return self.rng.randint(1, count)
        return count

    def transmit(self, flow: Flow, data: bytes) -> None:
        """Send bytes of a stream; `SimSocket` calls it."""
        faults, rng = self.faults, self.rng
        if faults.split and len(data) > 1 and rng.random() < faults.split:
            for piece in pieces(rng, data):
                self._segment(flow, piece)
        else:
            self._segment(flow, data)

    def finish(self, flow: Flow) -> None:
        """The sender has closed: the end arrives behind all that it sent."""
        self._segment(flow, None)

    def _segment(self, flow: Flow, piece: bytes | None) -> None:
        now = self.loop.time()
        # In the order of `flow.segments`, whatever the times: none overtakes another.
        arrives = now + draw(self.rng, self.faults.delay_seconds)
        ends = flow.sender.seen_as[0], flow.to.local[0]
        if self._in_hole(*ends):
            arrives = max(arrives, self._dark[ends])
        flow.segments.append(piece)
        self.loop.call_at(arrives, self._segment_arrives, flow, context=self._nobody)

    def _segment_arrives(self, flow: Flow) -> None:
        if not flow.segments:
            return  # aborted
        piece = flow.segments.popleft()
        sender, to = flow.sender, flow.to
        if to.closed or to.reset:
            if not (sender.closed or sender.reset):
                self.reset(sender)
            return
        if piece is None:
            self.note("end", sender.seen_as, to.seen_as)
            to.eof = True
            self.loop.touch(to.fileno())
            return
        faults, rng, link = self.faults, self.rng, flow.sender.link
        assert link is not None
        size = len(piece)
        if link.cut_at is not None and link.carried + size >= link.cut_at:
            piece = piece[: link.cut_at - link.carried]
            self._deliver(flow, piece, link)
            self._cut(flow, link.one_way)
            return
        if faults.cut and rng.random() < faults.cut:
            self._cut(flow, bool(faults.one_way) and rng.random() < faults.one_way)
            return
        if faults.corrupt_stream and rng.random() < faults.corrupt_stream:
            piece = turned(rng, piece)
        self._deliver(flow, piece, link)

    def _deliver(self, flow: Flow, piece: bytes, link: Link) -> None:
        if piece:
            link.carried += len(piece)
            self.note("segment", flow.sender.seen_as, flow.to.seen_as, len(piece), crc32(piece))
            flow.to.inbox += piece
            self.loop.touch(flow.to.fileno())

    def _cut(self, flow: Flow, one_way: bool) -> None:
        self.note("cut", flow.sender.seen_as, flow.to.seen_as, "one way" if one_way else "")
        flow.segments.clear()
        self.reset(flow.to)
        if not one_way:
            self.reset(flow.sender)

    def reset_other(self, flow: Flow) -> None:
        """The sender has closed its end for good: the other learns of it in a while."""
        self._later(draw(self.rng, self.faults.delay_seconds), self.reset, flow.to)

    def reset(self, sock: SimSocket) -> None:
        """A RST arrives."""
        if not (sock.closed or sock.reset):
            self.note("reset", sock.seen_as)
            sock.reset = True
            self.loop.touch(sock.fileno())

    # Connecting

    async def connect(self, host: Host, target: Address, port: int = 0) -> SimSocket:
        """A connection from `host` to `target`, from `port` if one is named.

        Raises ConnectionRefusedError, OSError (EADDRINUSE).
        """
        sock = host.bind(_STREAM, port)
        sock.remote = target
        connected: asyncio.Future[None] = self.loop.create_future()
        self._later(self._way(host.address, target[0]), self._syn, sock, target, connected)
        try:
            await connected
        except BaseException:
            sock.abort()
            raise
        return sock

    def _syn(self, sock: SimSocket, target: Address, connected: asyncio.Future[None]) -> None:
        listener = self.bound.get((_STREAM, target))
        seconds = self._way(target[0], sock.local[0])
        if sock.closed:
            return
        if listener is None or not listener.listening:
            self.note("refused", sock.local, target)
            error = failure(errno.ECONNREFUSED)
            self._later(seconds, _settle, connected, error)
            return
        if self.faults.rebind and self.rng.random() < self.faults.rebind:
            sock.seen_as = sock.local[0], self.rng.choice(NAT_PORTS)
        other = listener.host.made(_STREAM, target)
        other.remote, sock.remote = sock.seen_as, target
        sock.flow, other.flow = Flow(sock, other), Flow(other, sock)
        sock.link = other.link = Link()
        if self._cut_next is not None:
            (sock.link.cut_at, sock.link.one_way), self._cut_next = self._cut_next, None
        listener.backlog.append(other)
        self.note("connected", sock.seen_as, target)
        self.loop.touch(listener.fileno())
        self._later(seconds, _settle, connected, None)

    def _way(self, source: str, target: str) -> float:
        """How long a packet takes that TCP sends until it arrives."""
        seconds = draw(self.rng, self.faults.delay_seconds)
        if self._in_hole(source, target):
            seconds = max(seconds, self._dark[source, target] - self.loop.time())
        return seconds

    def _in_hole(self, source: str, target: str) -> bool:
        faults = self.faults
        if faults.hole and self.rng.random() < faults.hole:
            self.black_hole(source, target, draw(self.rng, faults.hole_seconds))
        dark = self._dark
        return bool(dark) and dark.get((source, target), 0.0) > self.loop.time()

    def _later(self, seconds: float, func: Callable[..., object], *args: Any) -> None:
        """The network acts: in nobody's name, so that no crash prevents it."""
        self.loop.call_later(seconds, func, *args, context=self._nobody)

    # For the loop

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: SimSocket | None = None,
        local_addr: Any = None,
        **options: Any,
    ) -> tuple[StreamWire, Any]:
        """`loop.create_connection`; options that have no meaning here are taken and ignored."""
        if sock is None:
            assert host is not None and port is not None
            local = self._here(local_addr)
            sock = await self.connect(local, (host, port), local_addr[1] if local_addr else 0)
        protocol = protocol_factory()
        wire = StreamWire(self.loop, sock, protocol)
        return wire, protocol

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        **options: Any,
    ) -> tuple[DatagramWire, Any]:
        """`loop.create_datagram_endpoint`; options that have no meaning here are ignored."""
        host = self._here(local_addr)
        sock = host.bind(_DGRAM, local_addr[1] if local_addr else 0)
        sock.remote = (remote_addr[0], remote_addr[1]) if remote_addr else None
        self.bound[_DGRAM, sock.local] = sock
        if self.faults.rebind and self.rng.random() < self.faults.rebind:
            self._move(sock)
        protocol = protocol_factory()
        wire = DatagramWire(self.loop, sock, protocol)
        return wire, protocol

    def _here(self, local_addr: Any) -> Host:
        """The host whose code runs; a test's own is at 127.0.0.1."""
        life = LIFE.get()
        if life is not None:
            host: Host = life.host
            return host
        named = local_addr[0] if local_addr else ""
        return self.host(named if named in self._hosts else "127.0.0.1")


def _settle(future: asyncio.Future[None], error: OSError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _text(detail: Any) -> str:
    if isinstance(detail, tuple) and len(detail) == 2:
        return f"{detail[0]}:{detail[1]}"
    return str(detail)


def simulate(
    main: Callable[[Network], Awaitable[T]], seed: int = 0, faults: Faults = NO_FAULTS
) -> T:
    """Run ``main(network)`` in a world of its own, to its end; what is left of it is dropped.

    Raises what `main` raises, `Deadlock`, and what nobody has caught in a callback or a task.
    """
    loop = VirtualLoop(seed)
    network = Network(loop, seed, faults)
    try:
        result = loop.run_until_complete(_main(main, network))
    finally:
        network.shut()
        loop.close()
    for failure_ in loop.failures:
        error = failure_.get("exception")
        raise error if error is not None else RuntimeError(failure_.get("message"))
    return result


async def _main(main: Callable[[Network], Awaitable[T]], network: Network) -> T:
    return await main(network)
