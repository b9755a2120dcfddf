"""How clients find the ports: the system's rpcbind, a portmapper of our own, or neither."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable

from nfsloop.config import NO_PORTMAPPER, ConfigError
from oncrpc.errors import RpcError
from portmap.client import NoPortmapper, register, system_runs, unregister
from portmap.local import registrations
from portmap.portmap_xdr import PMAP_PORT
from portmap.server import Portmapper

log = logging.getLogger("nfsloop.rpcbind")


class Rpcbind:
    """Registers (program, version) pairs that listen at `host` (None: everywhere) and `port`.

    `mode` is one of `nfsloop.config.RPCBIND_MODES`. After `start`, `found` says whether clients
    can find the programs by themselves.
    """

    def __init__(
        self,
        mode: str,
        programs: Iterable[tuple[int, int]],
        host: str | None,
        port: int,
        udp: bool,
    ) -> None:
        self._mode = mode
        self._host = host
        self._registered = registrations(programs, "tcp", host, port)
        if udp:
            self._registered += registrations(programs, "udp", host, port)
        self._system = False
        self._own: Portmapper | None = None

    @property
    def found(self) -> bool:
        """Whether a portmapper tells clients of the programs."""
        return self._system or self._own is not None

    async def start(self) -> None:
        """Register as the mode says. Raises ConfigError, but never in mode "auto"."""
        starts = {"auto": self._start_any, "system": self._start_system, "builtin": self._start_own}
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
        self._own = own

    async def stop(self) -> None:
        """Take the registrations back; what fails is logged."""
        if self._own is not None:
            await self._own.stop()
            self._own = None
        if self._system:
            self._system = False
            try:
                await unregister(self._registered)
            except RpcError as exc:
                log.warning("registrations are left behind: %s", exc)

    def describe(self) -> str:
        """One line for the person who started the server."""
        if self._system:
            return "registered with the system's rpcbind"
        if self._own is not None:
            return f"portmapper on port {PMAP_PORT}"
        return NO_PORTMAPPER
