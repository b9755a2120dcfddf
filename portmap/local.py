"""What only this host can tell: its address families, and its address as somebody sees it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from portmap.registry import Registration
from portmap.uaddr import AddressError, netid_of, to_uaddr


def registrations(
    programs: Iterable[tuple[int, int]], transport: str, host: str | None, port: int
) -> list[Registration]:
    """What to register for (program, version) pairs that listen over "tcp" or "udp" at `host`.

    `host` and `port` are what `oncrpc.server.RpcServer.listen` was given and gave back; None is
    every address, IPv4 and, where this host has it, IPv6. Raises OSError for a name that is none.
    """
    hosts = _hosts(host, port) if host else ["0.0.0.0", *(["::"] if has_ipv6() else [])]
    bound = [(netid_of(transport, one), to_uaddr(one, port)) for one in hosts]
    return [Registration(*program, *where) for program in programs for where in bound]


def of_sockets(
    programs: Iterable[tuple[int, int]], sockets: Sequence[socket.socket]
) -> list[Registration]:
    """What to register for (program, version) pairs that listen on these bound sockets."""
    bound: dict[str, str] = {}
    for sock in sockets:
        host, port = sock.getsockname()[:2]
        transport = "udp" if sock.type == socket.SOCK_DGRAM else "tcp"
        bound.setdefault(netid_of(transport, host), to_uaddr(host, port))
        both = sock.family == socket.AF_INET6 and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        if both and host == "::":
            bound.setdefault(transport, to_uaddr("0.0.0.0", port))
    return [Registration(*program, *where) for program in programs for where in bound.items()]


def has_ipv6() -> bool:
    """Whether this host has IPv6 at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def address_towards(peer: str) -> str | None:
    """This host's address that packets to the numeric address `peer` leave from; None if none do.

    So a call from `peer` can be answered with an address that `peer` can reach. No packet is sent.
    """
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((peer, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return None


def _hosts(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    hosts: dict[str, str] = {}  # one address a family: that is all that can be registered
    for _, _, _, _, address in found:
        one = str(address[0])
        if "%" in one:
            raise AddressError(f"{host}: a link-local address cannot be registered")
        hosts.setdefault(netid_of("tcp", one), one)
    return list(hosts.values())
