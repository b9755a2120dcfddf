"""The portmapper: portmap version 2 and rpcbind versions 3 and 4 on one table (RFC 1833).

As a library::

    portmapper = Portmapper()
    portmapper.listen()                                   # every address, port 111
    portmapper.add(registrations([(100003, 3)], "tcp", None, 2049))
    ...
    await portmapper.stop()

Who may do what:

* SET and UNSET come from the loopback interface only; others get AUTH_ERROR, TOOWEAK. Over loopback
  a reserved source port makes the caller the superuser, any other one "unknown"; registrations are
  taken back by the superuser or by the owner that made them. What the server registers itself
  (`Portmapper.add`) is the superuser's.
* Indirect calls (CALLIT, BCAST, INDIRECT) are refused with PROC_UNAVAIL: a forwarded call would
  come from this host and so pass for a local one. PROC_UNAVAIL says that the procedure is not
  served here, which no credential changes (TOOWEAK would invite another try); the silence that RFC
  1833 asks for on failure would hang a caller over TCP, and is for calls that were tried.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from oncrpc.call import Call
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import AuthError, AuthStat, ProcUnavail
from oncrpc.net import bind, host_port
from oncrpc.program import Handler, Proc, Program
from oncrpc.server import RpcServer
from portmap import portmap_xdr as xdr
from portmap.local import address_towards, of_sockets
from portmap.registry import SUPERUSER, UNKNOWN, Registration, Registry, Statistics, statistics
from portmap.uaddr import (
    NETIDS,
    AddressError,
    from_taddr,
    from_uaddr,
    merge,
    netid_of,
    to_taddr,
    to_uaddr,
    unicast,
)

log = logging.getLogger("portmap")

#: The portmapper's own programs.
PROGRAMS = tuple((xdr.PMAP_PROG, version) for version in (2, 3, 4))

_RESERVED_PORT = 1024


def _netid(call: Call) -> str:
    """The transport that a call came over."""
    return netid_of(call.peer.transport, call.peer.host)


def _owner(call: Call) -> str:
    """Whose a registration is. Raises AuthError if the caller may make none."""
    if not call.peer.local:
        raise AuthError(AuthStat.TOOWEAK)
    return SUPERUSER if 0 < call.peer.port < _RESERVED_PORT else UNKNOWN


def _text(name: bytes) -> str:
    """A netid or a universal address; what is not ASCII is neither, and fails as such later."""
    return name.decode("ascii", "backslashreplace")


class Table:
    """What the three versions share: the registry, the clock and GETSTAT's figures."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self.registry = registry
        self.clock = clock
        self.statistics = statistics()

    def set(self, stats: Statistics, new: Registration) -> bool:
        """Register; whether that was done."""
        try:
            done = self.registry.set(new)
        except AddressError as exc:
            log.warning("not registered: program %d: %s", new.program, exc)
            return False
        if done:
            stats.was_set()
            log.info("registered: %s", new)
        else:
            log.warning("not registered: %s is taken, or the table is full", new)
        return done

    def unset(
        self, stats: Statistics, program: int, version: int, netids: tuple[str, ...], owner: str
    ) -> bool:
        """Take back; whether that was done."""
        done = self.registry.unset(program, version, netids, owner)
        if done:
            stats.was_unset()
            log.info("taken back: program %d version %d, %s", program, version, ", ".join(netids))
        return done


class Portmap2(xdr.PMAP_VERS_Service):
    """The port mapper, version 2 (RFC 1833 section 3)."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._stats = table.statistics[xdr.RPCBVERS_2_STAT]

    async def SET(self, call: Call, args: xdr.mapping) -> bool:
        """Register at every IPv4 address; RFC 1833 section 3.2, PMAPPROC_SET."""
        owner = _owner(call)
        netid = _ipv4_netid(args.prot)
        if netid is None or not 0 < args.port < 65536:
            return False
        new = Registration(args.prog, args.vers, netid, to_uaddr("0.0.0.0", args.port), owner)
        return self._table.set(self._stats, new)

    async def UNSET(self, call: Call, args: xdr.mapping) -> bool:
        """Take back from all transports that version 2 knows: protocol and port are ignored."""
        owner = _owner(call)
        return self._table.unset(self._stats, args.prog, args.vers, ("tcp", "udp"), owner)

    async def GETPORT(self, call: Call, args: xdr.mapping) -> int:
        """The port in the caller's address family, 0 if there is none."""
        netid = _ipv4_netid(args.prot)
        if netid is not None and ":" in call.peer.host:
            netid += "6"
        found = self._table.registry.find(args.prog, args.vers, netid) if netid else None
        self._stats.looked_up(args.prog, args.vers, netid or "", found is not None)
        return found.address[1] if found else 0

    async def DUMP(self, call: Call, args: None) -> xdr.pmaplist:
        """Every registration that version 2 can tell: those on tcp and udp."""
        return [
            xdr.pmaplist_node(
                xdr.mapping(
                    entry.program, entry.version, NETIDS[entry.netid].number, entry.address[1]
                )
            )
            for entry in self._table.registry.dump()
            if NETIDS[entry.netid].family == "inet"
        ]

    async def CALLIT(self, call: Call, args: xdr.call_args) -> xdr.call_result:
        """Refused."""
        self._stats.was_refused(args.prog, args.vers, args.proc, False, _netid(call))
        raise ProcUnavail("CALLIT")


def _ipv4_netid(number: int) -> str | None:
    names = {xdr.PMAP_IPPROTO_TCP: "tcp", xdr.PMAP_IPPROTO_UDP: "udp"}
    return names.get(number)


class _Rpcbind:
    """What versions 3 and 4 of rpcbind have in common (RFC 1833 section 2.2.1)."""

    INDEX: ClassVar[int]

    def __init__(self, table: Table) -> None:
        self._table = table
        self._stats = table.statistics[self.INDEX]

    async def SET(self, call: Call, args: xdr.rpcb) -> bool:
        """Register; the owner is who calls, whatever `r_owner` says."""
        owner = _owner(call)
        netid, uaddr = _text(args.r_netid), _text(args.r_addr)
        new = Registration(args.r_prog, args.r_vers, netid, uaddr, owner)
        return self._table.set(self._stats, new)

    async def UNSET(self, call: Call, args: xdr.rpcb) -> bool:
        """Take back from one transport, or from all if `r_netid` is empty."""
        owner = _owner(call)
        netids = (_text(args.r_netid),) if args.r_netid else tuple(NETIDS)
        return self._table.unset(self._stats, args.r_prog, args.r_vers, netids, owner)

    async def GETADDR(self, call: Call, args: xdr.rpcb) -> bytes:
        """The address on the transport that the call came over, "" if there is none."""
        found = self._table.registry.find(args.r_prog, args.r_vers, _netid(call))
        return self._answer(call, args, found)

    def _answer(self, call: Call, args: xdr.rpcb, found: Registration | None) -> bytes:
        self._stats.looked_up(args.r_prog, args.r_vers, _netid(call), found is not None)
        if found is None:
            return b""
        return merge(found.netid, found.uaddr, _reached(call, args.r_addr)).encode()

    async def DUMP(self, call: Call, args: None) -> xdr.rpcblist_ptr:
        """Every registration, with the addresses as they were registered."""
        return [
            xdr.rp__list(
                xdr.rpcb(
                    entry.program,
                    entry.version,
                    entry.netid.encode(),
                    entry.uaddr.encode(),
                    entry.owner.encode(),
                )
            )
            for entry in self._table.registry.dump()
        ]

    def _refuse(self, call: Call, args: xdr.rpcb_rmtcallargs, indirect: bool) -> ProcUnavail:
        self._stats.was_refused(args.prog, args.vers, args.proc, indirect, _netid(call))
        return ProcUnavail("indirect calls are not served")

    async def GETTIME(self, call: Call, args: None) -> int:
        """Seconds since 1970."""
        return int(self._table.clock()) & 0xFFFFFFFF

    async def UADDR2TADDR(self, call: Call, args: bytes) -> xdr.netbuf:
        """A universal address of the call's transport as a socket address; empty if it is none."""
        try:
            raw = to_taddr(*from_uaddr(_netid(call), _text(args)))
        except AddressError:
            raw = b""
        return xdr.netbuf(len(raw), raw)

    async def TADDR2UADDR(self, call: Call, args: xdr.netbuf) -> bytes:
        """A socket address as a universal address of the call's transport; "" if it is none."""
        try:
            host, port = from_taddr(bytes(args.buf))
            if netid_of(call.peer.transport, host) != _netid(call):
                return b""
            return to_uaddr(host, port).encode()
        except AddressError:
            return b""


def _reached(call: Call, hint: bytes) -> str | None:
    """The address of this host that the caller can use.

    Clients put the address that they reach the portmapper at into `r_addr`, and it is right even
    behind a port mapping; without it, it is the address that answers to the caller leave from.
    """
    try:
        host, _ = from_uaddr(_netid(call), _text(hint))
        if unicast(host):
            return host
    except AddressError:
        pass
    return address_towards(call.peer.host)


class Rpcbind3(_Rpcbind, xdr.RPCBVERS_Service):
    """rpcbind, version 3 (RFC 1833 section 2.2.1)."""

    INDEX: ClassVar[int] = xdr.RPCBVERS_3_STAT

    async def CALLIT(self, call: Call, args: xdr.rpcb_rmtcallargs) -> xdr.rpcb_rmtcallres:
        """Refused."""
        raise self._refuse(call, args, indirect=False)


class Rpcbind4(_Rpcbind, xdr.RPCBVERS4_Service):
    """rpcbind, version 4 (RFC 1833 section 2.2.2)."""

    INDEX: ClassVar[int] = xdr.RPCBVERS_4_STAT

    async def BCAST(self, call: Call, args: xdr.rpcb_rmtcallargs) -> xdr.rpcb_rmtcallres:
        """Refused."""
        raise self._refuse(call, args, indirect=False)

    async def INDIRECT(self, call: Call, args: xdr.rpcb_rmtcallargs) -> xdr.rpcb_rmtcallres:
        """Refused."""
        raise self._refuse(call, args, indirect=True)

    async def GETVERSADDR(self, call: Call, args: xdr.rpcb) -> bytes:
        """As GETADDR, but of exactly this version."""
        found = self._table.registry.find_version(args.r_prog, args.r_vers, _netid(call))
        return self._answer(call, args, found)

    async def GETADDRLIST(self, call: Call, args: xdr.rpcb) -> xdr.rpcb_entry_list_ptr:
        """The addresses of exactly this version on every transport of the caller's family.

        The other family's wildcard addresses could not be told as the caller can use them.
        """
        family = NETIDS[_netid(call)].family
        found = self._table.registry.family(args.r_prog, args.r_vers, family)
        reached = _reached(call, args.r_addr)
        entries = []
        for entry in found:
            netid = NETIDS[entry.netid]
            uaddr = merge(entry.netid, entry.uaddr, reached)
            entries.append(
                xdr.rpcb_entry(
                    uaddr.encode(),
                    netid.name.encode(),
                    netid.semantics,
                    netid.family.encode(),
                    netid.proto.encode(),
                )
            )
        return [xdr.rpcb_entry_list(entry) for entry in entries]

    async def GETSTAT(self, call: Call, args: None) -> xdr.rpcb_stat_byvers:
        """The figures of versions 2, 3 and 4."""
        return [_rpcb_stat(stats) for stats in self._table.statistics]


def _rpcb_stat(stats: Statistics) -> xdr.rpcb_stat:
    return xdr.rpcb_stat(
        list(stats.calls),
        stats.sets,
        stats.unsets,
        [
            xdr.rpcbs_addrlist(program, version, it.success, it.failure, netid.encode())
            for (program, version, netid), it in stats.lookups.items()
        ],
        [
            xdr.rpcbs_rmtcalllist(program, version, proc, 0, times, int(indirect), netid.encode())
            for (program, version, proc, indirect, netid), times in stats.refused.items()
        ],
    )


def add_services(
    to: RpcServer | Dispatcher, registry: Registry, clock: Callable[[], float] = time.time
) -> None:
    """Serve portmap version 2 and rpcbind versions 3 and 4 on `registry`.

    `clock` gives GETTIME's seconds since 1970.
    """
    table = Table(registry, clock)

    def counted(program: Program, proc: Proc, handler: Handler) -> Handler:
        stats = table.statistics[program.version - 2]

        async def count(call: Any, args: Any) -> Any:
            stats.called(proc.number)
            return await handler(call, args)

        return count

    to.add(xdr.PMAP_VERS, Portmap2(table), (counted,))
    to.add(xdr.RPCBVERS, Rpcbind3(table), (counted,))
    to.add(xdr.RPCBVERS4, Rpcbind4(table), (counted,))


class Portmapper:
    """A portmapper with sockets of its own, registered with itself. Runs in the current loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = Registry()
        self.server = RpcServer()
        add_services(self.server, self.registry, clock)

    def listen(self, host: str | None = None, port: int = xdr.PMAP_PORT) -> int:
        """Serve over TCP and UDP at `host` (None: every address); the port that it became.

        With port 0 the system chooses. Raises OSError with the address in its text; then nothing
        is left open.
        """
        sockets: list[socket.socket] = []
        bound = port
        for transport, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            try:
                sockets += bind(host, bound, kind)
            except OSError as exc:
                for sock in sockets:
                    sock.close()
                where = f"{transport} {host_port(host or '*', bound)}"
                text = f"cannot listen on {where}: {exc.strerror or exc}"
                raise OSError(exc.errno, text) from None
            bound = int(sockets[0].getsockname()[1])
        self.add(of_sockets(PROGRAMS, sockets))
        return self.server.listen_on(sockets)

    def add(self, registrations: Iterable[Registration]) -> None:
        """Register; what is registered at another address is replaced. Raises AddressError."""
        for new in registrations:
            self.registry.unset(new.program, new.version, (new.netid,))
            if not self.registry.set(new):
                log.warning("not registered: %s: the table is full", new)

    def remove(self, registrations: Iterable[Registration]) -> None:
        """Take back."""
        for old in registrations:
            self.registry.unset(old.program, old.version, (old.netid,))

    async def stop(self, timeout: float = 5.0) -> None:
        """See `RpcServer.stop`."""
        await self.server.stop(timeout)
