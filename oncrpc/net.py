"""Sockets and addresses that TCP and UDP share: binding, dual stack, naming of peers."""

from __future__ import annotations

import socket
from typing import Any

from oncrpc.call import Peer


def peer_of(address: tuple[Any, ...], transport: str) -> Peer:
    """The `Peer` of a socket address; an IPv4 address mapped into IPv6 is written as IPv4."""
    host = str(address[0])
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return Peer(host, int(address[1]), transport)


def host_port(host: str, port: int) -> str:
    """`host` and `port` as people write them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(host: str | None, port: int, kind: int) -> list[socket.socket]:
    """Bound, non-blocking sockets of `kind` (SOCK_STREAM or SOCK_DGRAM) for `host`.

    None stands for every address, IPv4 and IPv6, by one socket where the system has IPv6. With
    port 0 the system chooses, one port for all. Raises OSError.
    """
    flags = socket.AI_PASSIVE
    families = socket.getaddrinfo(host or None, port, type=kind, flags=flags)
    if not host:
        families = _wildcard(families)
    sockets: list[socket.socket] = []
    try:
        for family, _, proto, _, address in families:
            sock = socket.socket(family, kind, proto)
            sockets.append(sock)
            sock.setblocking(False)
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(host))
            bound = sockets[0].getsockname()[1] if len(sockets) > 1 else address[1]
            sock.bind((address[0], bound, *address[2:]))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _wildcard(families: list[Any]) -> list[Any]:
    """The IPv6 wildcard alone, which takes IPv4 too, or IPv4's where there is no IPv6."""
    for family in families:
        if family[0] == socket.AF_INET6:
            try:
                socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
            except OSError:
                continue
            return [family]
    return [family for family in families if family[0] == socket.AF_INET]
