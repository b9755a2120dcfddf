"""Asking portmappers, and registering with the one of this host (RFC 1833).

    port = await getport("server", 100003, 3)             # 0: not registered

    mine = registrations([(100003, 3), (100005, 3)], "tcp", None, 2049)
    if await system_runs():
        await register(mine)
        ...
        await unregister(mine)

Debian's rpcbind 1.2.6 takes SET and UNSET over its unix socket, where it knows whose they are, and
over IPv4 and IPv6 loopback, where a reserved source port makes the caller the superuser and any
other one "unknown"; from elsewhere it answers AUTH_ERROR, TOOWEAK. So the unix socket is tried
first, then loopback, from a reserved port if this process may have one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from oncrpc.client import ONCE, RpcClient, connect, connect_by
from oncrpc.errors import (
    AuthError,
    ProgMismatch,
    ProgUnavail,
    Refusal,
    RpcError,
    RpcTimeout,
)
from oncrpc.message import NOBODY, Credential
from oncrpc.net import host_port
from oncrpc.program import Proc, Program
from oncrpc.xdr import decode_void, encode_void
from portmap import portmap_xdr as xdr
from portmap.local import registrations
from portmap.registry import UNKNOWN, Registration
from portmap.uaddr import NETIDS, AddressError, from_uaddr, to_uaddr, wildcard

__all__ = [
    "NoPortmapper",
    "PortmapError",
    "Portmapper",
    "Registration",
    "RegistrationRefused",
    "connect_reserved",
    "dump",
    "getaddr",
    "getport",
    "register",
    "registrations",
    "system",
    "system_runs",
    "unregister",
    "with_scope",
]

log = logging.getLogger("portmap")

T = TypeVar("T")

#: A unix socket (a leading NUL: an abstract one), or a host and a port.
Where: TypeAlias = str | tuple[str, int]

#: Where this host's rpcbind is asked, in this order.
SYSTEM: tuple[Where, ...] = (
    "/run/rpcbind.sock",
    "\0/run/rpcbind.sock",
    "/var/run/rpcbind.sock",
    ("127.0.0.1", xdr.PMAP_PORT),
    ("::1", xdr.PMAP_PORT),
)

#: Seconds that one call may take.
CALL_SECONDS = 5.0

#: Seconds that a program found registered has to show that it lives.
PROBE_SECONDS = 1.0

#: A datagram or its answer may be lost: calls over UDP are sent so often, within their time.
UDP_TRIES = 3

#: Source ports that show a privileged caller (RFC 1833's implementations; below 1024), tried at
#: random as any may be in use; those below 600 belong to well-known services.
RESERVED_PORTS = range(600, 1024)
_RESERVED_TRIES = 8


class PortmapError(RpcError):
    """A portmapper cannot be asked, or refuses."""


class NoPortmapper(PortmapError):
    """No portmapper answers there."""


class RegistrationRefused(PortmapError):
    """The portmapper does not register this: not for this caller, or another server has it."""


class Portmapper:
    """A portmapper that is connected to, asked in rpcbind's version 4, 3 or portmap's version 2.

    In version 2 there are IPv4's transports only: `set` is False for others.
    """

    def __init__(self, client: RpcClient, version: int, name: str, timeout: float) -> None:
        self.version = version
        self.name = name
        #: Closes the connection.
        self.close = client.close
        self._timeout = timeout
        self._v2 = xdr.PMAP_VERS_Client(client)
        self._rpcb: xdr.RPCBVERS_Client | xdr.RPCBVERS4_Client = (
            xdr.RPCBVERS_Client(client) if version == 3 else xdr.RPCBVERS4_Client(client)
        )

    async def set(self, new: Registration) -> bool:
        """Register; False if it is taken. Raises RegistrationRefused, RpcError."""
        with _refusing(self.name, new):
            if self.version == 2:
                mapping = _mapping(new)
                return mapping is not None and await self._v2.SET(mapping, timeout=self._timeout)
            return await self._rpcb.SET(_rpcb(new), timeout=self._timeout)

    async def unset(self, old: Registration) -> bool:
        """Take back; False if it is another owner's. Raises RegistrationRefused, RpcError.

        In version 2 both of IPv4's transports are taken back at once.
        """
        with _refusing(self.name, old):
            if self.version == 2:
                mapping = _mapping(old)
                return mapping is not None and await self._v2.UNSET(mapping, timeout=self._timeout)
            return await self._rpcb.UNSET(_rpcb(old), timeout=self._timeout)

    async def dump(self) -> list[Registration]:
        """All that is registered. Raises RpcError."""
        if self.version == 2:
            nodes = await self._v2.DUMP(timeout=self._timeout)
            return [entry for node in nodes if (entry := _registration(node.map)) is not None]
        maps = [node.rpcb_map for node in await self._rpcb.DUMP(timeout=self._timeout)]
        return [
            Registration(
                it.r_prog, it.r_vers, _text(it.r_netid), _text(it.r_addr), _text(it.r_owner)
            )
            for it in maps
        ]

    async def replace(self, new: Registration, done: Sequence[Registration] = ()) -> None:
        """Register, in the place of a dead server's registration if there is one.

        `done` is what this caller registered just before. Raises RegistrationRefused if another
        server has it and answers, or its registration is not ours to take back; RpcError.
        """
        if await self.set(new):
            return
        old = next((entry for entry in await self.dump() if entry.key == new.key), None)
        if old is None:
            raise RegistrationRefused(f"the portmapper at {self.name} refuses {new}")
        # Its port being ours now, whoever registered it is gone.
        if _port(old) != _port(new) and await _lives(old):
            raise RegistrationRefused(f"another server is registered, and answers: {old}")
        log.info("replacing a stale registration: %s", old)
        if not await self.unset(old):
            raise RegistrationRefused(f"{old} is stale, but belongs to {old.owner or 'another'}")
        again = [one for one in done if self.version == 2 and one.key[:2] == new.key[:2]]
        for one in (*again, new):
            if not await self.set(one):
                raise RegistrationRefused(f"the portmapper at {self.name} refuses {one}")

    async def remove(self, registrations: Iterable[Registration]) -> int:
        """Take back those that are still registered at their ports; how many were. Raises RpcError.

        What another server has registered in their place since is left alone.
        """
        there = {entry.key: _port(entry) for entry in await self.dump()}
        gone: set[tuple[int, int, str]] = set()
        for old in registrations:
            if there.get(old.key) == _port(old) and await self.unset(old):
                gone.add(old.key)
        return len(gone)


@asynccontextmanager
async def system(
    where: Sequence[Where] = SYSTEM, timeout: float = CALL_SECONDS
) -> AsyncIterator[Portmapper]:
    """This host's portmapper, the first that answers at `where`; for an ``async with``.

    `timeout` is in seconds, for the connection and for each call. Raises NoPortmapper.
    """
    portmapper = await _first(where, timeout)
    try:
        yield portmapper
    finally:
        portmapper.close()


async def system_runs(where: Sequence[Where] = SYSTEM, timeout: float = PROBE_SECONDS) -> bool:
    """Whether a portmapper answers on this host."""
    try:
        async with system(where, timeout):
            return True
    except NoPortmapper:
        return False


async def register(
    registrations: Iterable[Registration],
    where: Sequence[Where] = SYSTEM,
    timeout: float = CALL_SECONDS,
) -> None:
    """Register with this host's portmapper, all or none; stale registrations are replaced.

    Raises NoPortmapper, RegistrationRefused, and RpcError if the portmapper goes away meanwhile.
    """
    done: list[Registration] = []
    async with system(where, timeout) as portmapper:
        try:
            for new in registrations:
                await portmapper.replace(new, done)
                done.append(new)
        except RpcError:
            for old in done:
                try:
                    await portmapper.unset(old)
                except RpcError as exc:
                    log.warning("not taken back: %s: %s", old, exc)
            raise


async def unregister(
    registrations: Iterable[Registration],
    where: Sequence[Where] = SYSTEM,
    timeout: float = CALL_SECONDS,
) -> int:
    """Take registrations back from this host's portmapper; how many there were.

    Raises NoPortmapper, RegistrationRefused, RpcError.
    """
    async with system(where, timeout) as portmapper:
        return await portmapper.remove(registrations)


async def getport(
    host: str,
    program: int,
    version: int,
    transport: str = "tcp",
    *,
    port: int = xdr.PMAP_PORT,
    timeout: float = CALL_SECONDS,
) -> int:
    """The port at `host` of a program over "tcp" or "udp"; 0 if it is not registered.

    `port` is the portmapper's, `timeout` in seconds for all of it. Raises NoPortmapper, RpcError.
    """
    found = await getaddr(host, program, version, transport, port=port, timeout=timeout)
    return found[1] if found else 0


async def getaddr(
    host: str,
    program: int,
    version: int,
    transport: str = "tcp",
    *,
    port: int = xdr.PMAP_PORT,
    timeout: float = CALL_SECONDS,
) -> tuple[str, int] | None:
    """As `getport`, but a numeric address and a port; None if it is not registered.

    Asks over `transport` itself, as rpcbind answers for the one that it is asked over: with version
    2's GETPORT over IPv4, where everybody knows it, and version 4's or 3's GETADDR over IPv6.
    """

    async def ask(client: RpcClient, address: str) -> tuple[str, int] | None:
        if ":" not in address:
            number = NETIDS[transport].number
            mapping = xdr.mapping(program, version, number, 0)
            v2 = xdr.PMAP_VERS_Client(client)
            found = await v2.GETPORT(mapping, timeout=timeout)
            if found > 65535:
                raise PortmapError(
                    f"it answers that {program} is on port {found}, which no port is"
                )
            return (address, found) if found else None
        hint = to_uaddr(address.partition("%")[0], port).encode()
        args = xdr.rpcb(program, version, transport.encode() + b"6", hint, b"")
        v4 = xdr.RPCBVERS4_Client(client)
        v3 = xdr.RPCBVERS_Client(client)
        try:
            uaddr = await v4.GETADDR(args, timeout=timeout)
        except ProgMismatch:
            uaddr = await v3.GETADDR(args, timeout=timeout)
        return from_uaddr(transport + "6", _text(uaddr)) if uaddr else None

    return await _at(host, port, transport, timeout, ask)


async def dump(
    host: str = "127.0.0.1", *, port: int = xdr.PMAP_PORT, timeout: float = CALL_SECONDS
) -> list[Registration]:
    """All that is registered at `host`. Raises NoPortmapper, RpcError."""

    async def ask(client: RpcClient, address: str) -> list[Registration]:
        version = await _version(client, timeout)
        portmapper = Portmapper(client, version, host_port(address, port), timeout)
        return await portmapper.dump()

    return await _at(host, port, "tcp", timeout, ask)


# Connecting


def with_scope(address: Any) -> str:
    """The numeric host of a socket address; a link-local one with its link."""
    host, scope = str(address[0]), address[3] if len(address) == 4 else 0
    return f"{host}%{socket.if_indextoname(scope)}" if scope and "%" not in host else host


async def _at(
    host: str,
    port: int,
    transport: str,
    timeout: float,
    ask: Callable[[RpcClient, str], Awaitable[T]],
) -> T:
    """What the first of `host`'s addresses that answers says to `ask`."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    retry = replace(ONCE, intervals=(timeout / UDP_TRIES,) * UDP_TRIES)
    why: Exception
    try:
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            for *_, address in await loop.getaddrinfo(host, port, type=kind):
                try:
                    numeric = with_scope(address)
                    client = await connect(transport, numeric, port, retry=retry)
                    try:
                        return await ask(client, numeric)
                    finally:
                        client.close()
                except (OSError, ProgUnavail) as exc:  # ConnectionLost and RpcTimeout are OSErrors
                    why = exc
            raise NoPortmapper(f"no portmapper answers at {host_port(host, port)}: {why}")
    except TimeoutError:
        text = f"no portmapper answers at {host_port(host, port)} in {timeout:g} s"
        raise NoPortmapper(text) from None
    except OSError as exc:
        text = f"no portmapper answers at {host_port(host, port)}: {exc}"
        raise NoPortmapper(text) from None


async def _first(where: Sequence[Where], timeout: float) -> Portmapper:
    """The first portmapper that answers. Raises NoPortmapper."""
    reasons = []
    for place in where:
        name = place.replace("\0", "@") if isinstance(place, str) else host_port(*place)
        try:
            async with asyncio.timeout(timeout):
                client = await _open(place)
                try:
                    return Portmapper(client, await _version(client, timeout), name, timeout)
                except BaseException:
                    client.close()
                    raise
        except (OSError, RpcError) as exc:
            reasons.append(f"{name}: {str(exc) or type(exc).__name__}")
    raise NoPortmapper(f"no portmapper runs on this host ({'; '.join(reasons)})")


async def _version(client: RpcClient, timeout: float) -> int:
    """The highest version of 4, 3, 2 that is served. Raises RpcError."""
    try:
        await xdr.RPCBVERS4_Client(client).NULL(timeout=timeout)
    except ProgMismatch as exc:
        if exc.high < 2:
            raise
        return min(exc.high, 3)
    return 4


async def _open(place: Where) -> RpcClient:
    """Connect, from a reserved port if this process may have one. Raises OSError."""
    if isinstance(place, str):
        return await connect_by(_dial_unix, place)
    return (await connect_reserved(*place))[0]


async def connect_reserved(
    host: str, port: int, credential: Credential = NOBODY
) -> tuple[RpcClient, bool]:
    """A TCP connection to a numeric address, and whether it comes from a reserved port, which this
    process may not have. Raises OSError."""
    wildcard = "::" if ":" in host else "0.0.0.0"
    for reserved in random.sample(RESERVED_PORTS, _RESERVED_TRIES):
        try:
            source = (wildcard, reserved)
            return await connect("tcp", host, port, credential, source, retry=ONCE), True
        except OSError as exc:
            if exc.errno in {errno.EACCES, errno.EPERM}:
                break
            if exc.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                raise
    return await connect("tcp", host, port, credential, retry=ONCE), False


async def _dial_unix(
    factory: Callable[[], asyncio.BufferedProtocol], path: str, source: object
) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # By hand, as uvloop does not connect to abstract sockets.
        await loop.sock_connect(sock, path)
        return await loop.create_unix_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise


# Registrations as they travel


@contextmanager
def _refusing(name: str, what: Registration) -> Iterator[None]:
    """Turn the portmapper's refusal into RegistrationRefused."""
    try:
        yield
    except AuthError as exc:
        text = f"the portmapper at {name} takes no registrations from this process ({exc})"
        raise RegistrationRefused(text) from exc
    except Refusal as exc:
        text = f"the portmapper at {name} refuses {what}: {str(exc) or type(exc).__name__}"
        raise RegistrationRefused(text) from exc


def _rpcb(it: Registration) -> xdr.rpcb:
    return xdr.rpcb(it.program, it.version, it.netid.encode(), it.uaddr.encode(), it.owner.encode())


def _mapping(it: Registration) -> xdr.mapping | None:
    netid = NETIDS.get(it.netid)
    if netid is None or netid.family != "inet":
        return None
    return xdr.mapping(it.program, it.version, netid.number, it.address[1])


def _registration(it: xdr.mapping) -> Registration | None:
    netid = {xdr.PMAP_IPPROTO_TCP: "tcp", xdr.PMAP_IPPROTO_UDP: "udp"}.get(it.prot)
    if netid is None or not 0 < it.port < 65536:
        return None
    return Registration(it.prog, it.vers, netid, to_uaddr("0.0.0.0", it.port), UNKNOWN)


def _port(it: Registration) -> int | None:
    """The port, or None for what a portmapper tells that is no address of a transport of ours."""
    try:
        return it.address[1]
    except AddressError:
        return None


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")


async def _lives(it: Registration) -> bool:
    """Whether a registered program answers on this host, as far as a NULL call can tell."""
    try:
        host, port = it.address
    except AddressError:
        return False
    if wildcard(host):
        host = "::1" if ":" in host else "127.0.0.1"
    null = Proc(0, "NULL", decode_void, encode_void, decode_void, encode_void)
    program = Program("program", it.program, it.version, {0: null})
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            client = await connect(NETIDS[it.netid].proto, host, port, retry=ONCE)
        try:
            await client.call(program, null, None, PROBE_SECONDS)
        finally:
            client.close()
    except (ProgUnavail, ProgMismatch):
        return False
    except (Refusal, RpcTimeout):
        return True  # something is there and may be it
    except (OSError, RpcError):
        return False
    return True
