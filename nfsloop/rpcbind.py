"""How clients find the ports: the system's rpcbind, a portmapper of our own, or neither.

Our own also answers on the port of NFS, so that one open port is enough to ask it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterable

from nfsloop.config import NO_PORTMAPPER
from nfsloop.errors import ConfigError
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import RpcError
from portmap.client import NoPortmapper, register, system_runs, unregister
from portmap.local import registrations
from portmap.portmap_xdr import PMAP_PORT
from portmap.registry import Registration
from portmap.server import PROGRAMS, Portmapper, add_services

log = logging.getLogger("nfsloop.rpcbind")

#: To take registrations back may take so long. A portmapper of this machine answers at once.
STOP_SECONDS = 0.5


class Rpcbind:
    """Registers the programs of `dispatcher`, which serves `port` of `host` (None: everywhere).

    `mode` is one of `nfsloop.config.RPCBIND_MODES`. After `start`, `found` says whether clients
    can find the programs by themselves.
    """

    def __init__(
        self,
        mode: str,
        dispatcher: Dispatcher,
        host: str | None,
        port: int,
        udp: bool,
    ) -> None:
        self._mode = mode
        self._host = host
        self._dispatcher = dispatcher
        self._transports = ("tcp", "udp") if udp else ("tcp",)
        self._port = port
        self._registered = self._registrations(dispatcher.programs)
        self._system = False
        self._own: Portmapper | None = None

    def _registrations(self, programs: Iterable[tuple[int, int]]) -> list[Registration]:
        programs = list(programs)
        return [
            new
            for transport in self._transports
            for new in registrations(programs, transport, self._host, self._port)
        ]

    @property
    def found(self) -> bool:
        """Whether a portmapper tells clients of the programs."""
        return self._system or (self._own is not None and self._mode != "port")

    @property
    def dispatcher(self) -> Dispatcher | None:
        """Of our own portmapper, where it has a port of its own."""
        return self._own.server.dispatcher if self._own is not None and self.found else None

    async def start(self) -> None:
        """Register as the mode says. Raises ConfigError, but never in mode "auto"."""
        starts = {
            "auto": self._start_any,
            "system": self._start_system,
            "builtin": self._start_own,
            "port": self._start_on_port,
        }
        if self._mode in starts:
            await starts[self._mode]()

    async def _start_any(self) -> None:
        if await system_runs():
            start, otherwise = self._start_system, "the system's rpcbind refuses"
        else:
            start, otherwise = self._start_own, "no portmapper of our own"
        try:
            await start()
        except ConfigError as exc:
            log.warning("%s: %s; clients must be told the ports", otherwise, exc)

    async def _start_system(self) -> None:
        try:
            await register(self._registered)
        except NoPortmapper:
            raise ConfigError(
                "no rpcbind answers on this host: start it, or use --rpcbind builtin or none"
            ) from None
        except RpcError as exc:
            raise ConfigError(f"rpcbind: {exc}") from None
        self._system = True

    async def _start_own(self) -> None:
        own = Portmapper()
        try:
            own.listen(self._host)
        except OSError as exc:
            hint = {
                errno.EACCES: "; it takes root, or CAP_NET_BIND_SERVICE",
                errno.EADDRINUSE: "; another portmapper runs",
            }.get(exc.errno or 0, "")
            raise ConfigError(f"portmapper: {exc.strerror}{hint}") from None
        own.add(self._registered)
        add_services(self._dispatcher, own.registry)
        self._own = own

    async def _start_on_port(self) -> None:
        own = Portmapper()
        own.add([*self._registered, *self._registrations(PROGRAMS)])
        add_services(self._dispatcher, own.registry)
        self._own = own

    async def stop(self) -> None:
        """Take the registrations back; what fails is logged."""
        if self._own is not None:
            await self._own.stop()
            self._own = None
        if self._system:
            self._system = False
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await unregister(self._registered)
            except (RpcError, TimeoutError) as exc:
                log.warning("registrations are left behind: %s", exc or "rpcbind does not answer")

    def describe(self) -> str:
        """One line for the person who started the server."""
        if self._system:
            return "registered with the system's rpcbind"
        if self._mode == "port":
            return "portmapper on the same port alone: clients must be told the ports"
        if self._own is not None:
            return f"portmapper on port {PMAP_PORT}"
        return NO_PORTMAPPER
