"""Who may use an export, and with which options: decided for a client, off the hot path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.base import FsError, Status
from nfsloop.exports5 import Client
from nfsloop.hosts import ANYONE, Kind, Names, NoNames, address_of
from nfsloop.options import Options
from oncrpc.call import Peer

#: Ports below it are root's alone (IPPORT_RESERVED), which is what `secure` relies on.
RESERVED_PORTS = 1024

_UNKNOWN = "the client's name is not known yet"


@dataclass(frozen=True, slots=True)
class Guard:
    """The loopback rule, for exports that say neither `secure` nor `insecure`.

    From this machine itself a call is answered if it comes from a port that only root may take, or
    over TCP from a process of one of `users`: root, and whom the server runs as. Others are
    refused, since over AUTH_SYS they would act as whoever they say.
    """

    users: frozenset[int]
    #: Ports below it take root's privilege here (net.ipv4.ip_unprivileged_port_start, up to 1024).
    reserved: int = RESERVED_PORTS
    #: The server listens on a loopback address alone: whoever gets there is on this machine, also
    #: with the address of another interface.
    local_only: bool = False
    #: Whether an address is one of this machine's own; its users may call from any of them.
    #: Raises OSError where that cannot be told now.
    here: Callable[[str], bool] = lambda host: False

    def local(self, peer: Peer) -> bool:
        """Whether `peer` is on this machine. Raises OSError like `here`."""
        return self.local_only or peer.local or self.here(peer.host)

    def refuses(self, peer: Peer) -> bool:
        """Whether it keeps `peer` out. Raises OSError like `here`."""
        if peer.port < self.reserved or peer.user in self.users:
            return False
        return self.local(peer)


class Policy:
    """The clients of one export.

    Of the entries that mean a client, the most specific kind counts: host or address, network,
    netgroup, wildcard, everybody; of one kind, the first.
    """

    def __init__(
        self, clients: Sequence[Client], names: Names | None = None, guard: Guard | None = None
    ) -> None:
        self.clients = tuple(clients)
        self.names: Names = names or NoNames()
        self.guard = guard
        self._ordered = sorted(self.clients, key=lambda client: client.host.kind)

    @classmethod
    def everyone(cls, options: Options, guard: Guard | None = None) -> Policy:
        """The same `options` for all clients."""
        return cls([Client(ANYONE, options)], None, guard)

    @property
    def wants_names(self) -> bool:
        """Whether it takes the names of clients to decide."""
        return any(client.host.wants_names for client in self.clients)

    @property
    def host_names(self) -> frozenset[str]:
        """The host names whose addresses must be known to decide."""
        return frozenset(
            client.host.name
            for client in self.clients
            if client.host.kind is Kind.HOST and client.host.network is None
        )

    @property
    def sync(self) -> bool:
        """Whether stable data must be on disk before a reply: as soon as one client asks for it."""
        return any(client.options.sync for client in self.clients) or not self.clients

    @property
    def groups(self) -> list[str]:
        """Whom it is for, as EXPORT tells: empty for everybody (RFC 1813 section 5.2.5)."""
        groups = [client.host.text for client in self.clients]
        return [] if groups == [ANYONE.text] else groups

    async def settle(self, host: str) -> None:
        """Wait for what it takes to decide about the client at address `host`, but not for ever."""
        address = address_of(host)
        for _ in self.clients:
            try:
                self.options_for(host)
            except FsError:
                await self.names.settle(address)
            else:
                return

    def options_for(self, host: str) -> Options | None:
        """The options of the client at address `host`; None for one that is not listed.

        Raises JUKEBOX while a name that it takes is not known.
        """
        address = address_of(host)
        for client in self._ordered:
            means = client.host.matches(address, self.names)
            if means is None:
                raise FsError(Status.JUKEBOX, _UNKNOWN)
            if means:
                return client.options
        return None

    def admit(self, peer: Peer) -> Options:
        """The options that `peer` has. Raises ACCES for one that is kept out, JUKEBOX like
        `options_for`; both say why. Raises OSError like `Guard.here`."""
        options = self.options_for(peer.host)
        if options is None:
            raise FsError(Status.ACCES, "not listed")
        if options.secure and peer.port >= RESERVED_PORTS:
            raise FsError(Status.ACCES, f"its port is not below {RESERVED_PORTS} (secure)")
        if options.secure is None and self.guard is not None and self.guard.refuses(peer):
            whose = "an unknown user" if peer.user is None else f"user {peer.user}"
            raise FsError(Status.ACCES, f"a local process of {whose}, and no reserved port")
        return options
