"""The composition root: programs, exports and storage put together, started and stopped."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfsloop.access import Policy
from nfsloop.config import NO_PORTMAPPER, STOP_SECONDS, DrcSettings, Settings
from nfsloop.construct import ConstructError, Named, arguments, is_target, load
from nfsloop.errors import ConfigError
from nfsloop.export import Export
from nfsloop.handle import FileHandles, load_key
from nfsloop.layers import LAYERS, Layer, Stack
from nfsloop.limits import STOP_REST_SECONDS
from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3
from nfsloop.mount3.mounts import Mounts
from nfsloop.mount3.server import Mount1Service, Mount3Service, Mountd
from nfsloop.mountline import Way, line
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.nlm4.nlm4_xdr import NLM4_VERS
from nfsloop.nlm4.server import NoLocks
from nfsloop.progress import working
from nfsloop.served import Served
from nfsloop.watching.processes import Processes
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import RING_SEGMENT_BYTES
from oncrpc.net import host_port
from oncrpc.program import Program, Service
from oncrpc.ring import Ring, in_file
from oncrpc.server import RpcServer

if TYPE_CHECKING:
    from nfsloop.rpcbind import Rpcbind
    from nfsloop.watching.http import Site
    from nfsloop.watching.meter import Watcher
    from nfsloop.watching.sinks import Lines

log = logging.getLogger("nfsloop")

#: What a reload does not change.
RESTART_SETTINGS = (
    "host", "port", "rpcbind", "udp", "state", "log_level", "loop", "limits", "drc", "layers",
    "workers", "log_format", "metrics", "trace", "stop_seconds",
)  # fmt: skip

#: Those that sockets decide which are handed over.
SOCKET_SETTINGS = ("host", "port", "udp")


class App:
    """A whole server. `state` is the state directory, held by the caller; the NFS calls go through
    `layers`, the first outermost. It serves on `sockets`, or binds its own if there are none.

    ``await start()``, and after that ``await stop()`` even where `start` raised.
    """

    def __init__(
        self,
        settings: Settings,
        state: Path,
        layers: Sequence[Layer] = (),
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.settings = settings
        self.state = state
        self.sockets = sockets
        self.layers = Stack(layers)
        self.server = RpcServer(settings.limits)
        self.port = settings.port
        self.rpcbind: Rpcbind | None = None
        self.served = Served(settings, state)
        self.exports = self.served.exports
        self.server.identify = self.served.identify
        self.mounts: Mounts | None = None
        self.cache: DuplicateRequestCache | None = None
        self._watcher: Watcher | None = None
        self._logged = contextlib.ExitStack()
        self.processes = Processes(self)
        #: What it does as a whole: it is "starting", "serving", "stopping".
        self.phase = "starting"
        self.served.before_start = self._before_start
        self._site = self._make_site()
        try:
            self.handles = FileHandles(load_key(state))
            self._open()
        except (OSError, ValueError) as exc:
            raise ConfigError(str(exc)) from None

    async def start(self) -> None:
        """Start the backends, listen, and register. Raises ConfigError."""
        try:
            if self._site is not None:  # first: nothing is begun where it cannot be
                await self._site.start()
            await self.served.start()
            await self.layers.start()
            with working("settling what a crash has cut off", log.info):
                await self._recover()
            self._meter()
            await self._listen()
            if self.settings.rpcbind != "none":
                await self._register()
            self.phase = "serving"
        except (OSError, ValueError) as exc:  # ValueError: a host name or address that is none
            raise ConfigError(getattr(exc, "strerror", None) or str(exc)) from None

    # What `nfsloop.workers` does otherwise

    def _make_site(self) -> Site | None:
        """What tells metrics, if they are asked for. Raises ConfigError where it cannot be."""
        if self.settings.metrics is None:
            return None
        try:
            from nfsloop.watching.http import Site  # 0.2 s of start-up, and 20 MB
        except ModuleNotFoundError as exc:
            if str(exc.name).partition(".")[0] not in {"aiohttp", "prometheus_client"}:
                raise
            raise ConfigError(
                "--metrics needs prometheus-client and aiohttp: pip install 'nfsloop[metrics]'"
            ) from None
        return Site(self, *self.settings.metrics)

    def _before_start(self, export: Export) -> None:
        """See `Served.before_start`."""
        if self.settings.metrics is not None:
            self.watcher.time(export)

    def _open(self) -> None:
        """Open what is kept in the state directory. Raises OSError, ValueError, ConfigError."""
        self.mounts = Mounts(self.state / "rmtab")

    def _side(self) -> list[tuple[Program, Service]]:
        """The programs beside NFS."""
        mountd = Mountd(self.exports, self.handles, self.mounts or Mounts())
        return [
            (MOUNT_V3, Mount3Service(mountd)),
            (MOUNT_V1, Mount1Service(mountd)),
            (NLM4_VERS, NoLocks()),
        ]

    def _nfs(self) -> Nfs3Service:
        return Nfs3Service(self.exports, self.handles)

    async def _recover(self) -> None:
        """Have the replies of before, when the calls that a crash cut off are settled."""
        drc = self.settings.drc
        if drc.enabled and any(self.state.glob("drc.ring.*")):
            from nfsloop.workers import rings

            await rings.prepare(self.state, 1, drc, partial(self._settle, alone=False))
        self.cache = open_cache(drc, self.state / "drc.ring")
        if self.cache is not None:
            await self.cache.recover(self._settle)

    async def _listen(self) -> None:
        """Serve. Raises OSError, ValueError, ConfigError."""
        self._add_programs()
        if self.sockets:
            self.port = self.server.listen_on(self.sockets)
            return
        host = self.settings.host
        self.port = self.server.listen("tcp", host, self.settings.port)
        if self.settings.udp:
            self.server.listen("udp", host, self.port)

    def _add_programs(self) -> None:
        self.server.add(NFS3_PROGRAM, self._nfs(), self.layers.wraps, cache=self.cache)
        for program, service in self._side():
            self.server.add(program, service)

    async def _register(self) -> None:
        """Have clients find the ports. Raises ConfigError, OSError, ValueError."""
        from nfsloop.rpcbind import Rpcbind  # 10 ms of start-up, and 1 MB

        self.rpcbind = Rpcbind(
            self.settings.rpcbind,
            self.server.dispatcher,
            self.settings.host,
            self.port,
            self.settings.udp,
        )
        await self.rpcbind.start()
        if self.rpcbind.dispatcher is not None:
            self.watcher.also(self.rpcbind.dispatcher)

    async def _settle(
        self, host: str, message: bytes, facts: bytes, alone: bool = True
    ) -> bytes | None:
        """See `Dispatcher.settle`; the policies know the client's names by then. `alone`: see
        `Recovery.alone`."""
        for export in self.exports:
            await export.policy.settle(host)
        service = Nfs3Service(self.exports, self.handles)
        service.alone = alone
        dispatcher = Dispatcher()
        dispatcher.add(NFS3_PROGRAM, service)
        return await dispatcher.settle(host, message, facts)

    async def stop(self, timeout: float = STOP_SECONDS, rest: float = STOP_REST_SECONDS) -> None:
        """Deregister, let the calls in flight finish (at most `timeout` seconds), flush and close
        the backends, where calls that hang are waited for `rest` seconds."""
        self.phase = "stopping"
        if self.rpcbind is not None:
            await self.rpcbind.stop()
        await self.server.stop(timeout)
        self._logged.close()
        if self._watcher is not None:
            self._watcher.stop()
        await self.layers.stop()
        try:
            await self.served.stop(rest)
        finally:
            if self._site is not None:
                await self._site.stop()
            if self.mounts is not None:
                self.mounts.close()
            if self.cache is not None:
                if str(self.cache.statistics) != "none":
                    log.info("duplicate requests: %s", self.cache.statistics)
                self.cache.close()

    async def reload(self, settings: Settings) -> list[str]:
        """Have the exports of `settings` from now on; what was changed, a line each.

        Raises ConfigError, and then everything is as before. Other settings wait for a restart.
        """
        from backends.posix import creds  # not there yet if no directory is served

        creds.of_this_thread().rest()  # a call of this turn may have made it act as its caller
        dispatcher = self.server.dispatcher
        lines = await self.served.replace(settings, lambda: dispatcher.drain(settings.stop_seconds))
        decided = SOCKET_SETTINGS if self.sockets else ()
        for name in RESTART_SETTINGS:
            if name not in decided and getattr(settings, name) != getattr(self.settings, name):
                lines.append(f"{name}: takes effect at the next start")
        return lines

    # Looking at it while it runs

    def _meter(self) -> None:
        """Where metrics are to be told, they count from the first call on; and calls are traced."""
        if self.settings.metrics is not None:
            # Now: when it is asked for, there may be no descriptor left to load it.
            from nfsloop.watching import collect  # noqa: F401

            self.watcher.meter(forever=True)
        if self.settings.trace:
            from nfsloop.watching.trace import log_calls

            self._logged.enter_context(log_calls(self, self.settings.trace))

    @property
    def watcher(self) -> Watcher:
        """Who looks at this process's calls."""
        if self._watcher is None:
            from nfsloop.watching.meter import Watcher  # nobody may ever look

            self._watcher = Watcher(self.server.dispatcher, self.exports)
        return self._watcher

    @contextlib.asynccontextmanager
    async def traced(self, request: Mapping[str, Any], lines: Lines) -> AsyncIterator[None]:
        """Have `lines` told of calls, those that `request` wants (`Filter.parse`)."""
        from nfsloop.watching.trace import tracing
        from nfsloop.watching.wanted import Filter

        with tracing(self, Filter.parse(request, self.exports), lines):
            yield

    def mount_lines(self) -> list[str]:
        """The command that mounts each export."""
        host = self.settings.host
        if host in {None, "0.0.0.0", "::"}:
            name = socket.gethostname()
        elif host in {"127.0.0.1", "localhost"}:
            name = "localhost"
        else:
            name = f"[{host}]" if ":" in str(host) else str(host)
        words = self._way().words
        return [line(words, f"{name}:{export.path}") for export in self.exports]

    def _hosts(self) -> list[str]:
        """Where it listens: addresses, or "*" for all."""
        found = [str(sock.getsockname()[0]) for sock in self.sockets]
        return list(dict.fromkeys(found)) or [self.settings.host or "*"]

    def reached(self) -> tuple[str, int]:
        """Where a process of this machine reaches it."""
        host = self._hosts()[0]
        return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), self.port

    def _way(self) -> Way:
        host = self.settings.host or ""
        # Handed over, "::" may be for IPv6 alone; bound by us it is for both.
        ipv6 = (":" in host and host != "::") or (
            bool(self.sockets) and all(map(_v6, self.sockets))
        )
        found = self.rpcbind is not None and self.rpcbind.found
        return Way(self.port, found=found, ipv6=ipv6)

    def describe(self) -> list[str]:
        """What is served, line by line, for the person who started it."""
        transports = "TCP and UDP" if self.settings.udp else "TCP"
        where = ", ".join(host_port(host, self.port) for host in self._hosts())
        lines = [f"NFS version 3 on {where} over {transports}"]
        lines.append(NO_PORTMAPPER if self.rpcbind is None else self.rpcbind.describe())
        if self._site is not None:
            lines.append(f"metrics on {self._site.url}/metrics")
        for export, command in zip(self.exports, self.mount_lines(), strict=True):
            lines.append(f"export {export.path}: {export.backend.describe()}")
            lines.append(f"    for {whom(export.policy)}")
            lines.append(f"    {command}")
        return lines


def _v6(sock: socket.socket) -> bool:
    """Whether nobody comes there by IPv4."""
    six = sock.family == socket.AF_INET6
    return six and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def whom(policy: Policy) -> str:
    """For whom an export is, in a line."""
    named = [f"{client.host.text}({client.options})" for client in policy.clients]
    return " ".join(named) or "nobody"


def open_cache(settings: DrcSettings, path: Path) -> DuplicateRequestCache | None:
    """The duplicate request cache with what it held before; None if there is to be none.

    Raises ConfigError where its ring cannot be.
    """
    if not settings.enabled:
        return None
    size = settings.bytes // RING_SEGMENT_BYTES * RING_SEGMENT_BYTES
    try:
        ring = Ring(in_file(path, size))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror} ({size} bytes: drc.bytes)") from None
    return DuplicateRequestCache(ring, settings.entries, settings.retention_seconds)


#: What was a layer once.
TRACES = ("trace", "nfsloop.layers:Trace")


def make_layer(text: str) -> Layer:
    """A layer by its name, or of ``package.module:Class?option=value``. Raises ConfigError."""
    name = text.partition("?")[0]
    try:
        if name in TRACES:
            raise ConstructError("tracing is no layer: use --trace LEVEL, or 'nfsloop trace'")
        if name not in LAYERS and not is_target(name):
            there = ", ".join(LAYERS)
            raise ConstructError(f"it is none of {there}, nor MODULE:CLASS")
        maker = LAYERS[name] if name in LAYERS else load(name)
        layer = maker(**arguments(maker, Named(name, "", Named.parse(text, name).options)))
        if not isinstance(layer, Layer):
            raise ConstructError(f"it makes a {type(layer).__name__}, which is no Layer")
    except (ValueError, OSError) as exc:
        raise ConfigError(f"layer {text}: {exc}") from exc
    return layer


#: Objects more than before at which the youngest are looked at, and how often the older ones are.
COLLECT_OBJECTS, COLLECT_OLDER = 20_000, 20


def settle_collector() -> None:
    """For a process that does nothing but serve, when it begins to.

    Calls leave no cycles (tests/budget), so what they leave is kept, and to look at it often finds
    nothing. What is there by now is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, COLLECT_OLDER, COLLECT_OLDER)


#: Descriptors that the kernel has room for from the start (8 bytes each).
READY_DESCRIPTORS = 32768


def raise_descriptor_limit() -> None:
    """Have as many descriptors as the process may: each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    # The kernel makes the table of descriptors larger as they are needed, and where there are
    # threads it waits for all processors each time: some 5 to 15 ms, in the midst of a CREATE.
    last = min(soft if soft != resource.RLIM_INFINITY else READY_DESCRIPTORS, READY_DESCRIPTORS)
    with contextlib.suppress(OSError):
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, last - 1))


@contextlib.asynccontextmanager
async def running(
    settings: Settings, state: Path, sockets: Sequence[socket.socket] = ()
) -> AsyncIterator[App]:
    """An `App` that is started, and stopped at the end of the ``async with``."""
    raise_descriptor_limit()
    app = App(settings, state, [make_layer(text) for text in settings.layers], sockets)
    try:
        await app.start()
        yield app
    finally:
        await app.stop(settings.stop_seconds)
