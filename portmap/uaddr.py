"""Transports by their network identifiers, and universal addresses to and from them.

RFC 1833 section 1 leaves a universal address to its transport; RFC 5665 section 5.2.3 gives the
forms: ``h1.h2.h3.h4.p1.p2`` for tcp and udp, an IPv6 address and ``.p1.p2`` for tcp6 and udp6.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import NamedTuple

from portmap.portmap_xdr import PMAP_IPPROTO_TCP, PMAP_IPPROTO_UDP


class Netid(NamedTuple):
    """A transport, as GETADDRLIST describes it (RFC 1833 section 2.1, `rpcb_entry`)."""

    name: str
    #: The protocol family: "inet" or "inet6".
    family: str
    #: "tcp" or "udp".
    proto: str
    #: The protocol's number in a portmap v2 `mapping`.
    number: int
    #: Of its service: NC_TPI_CLTS (1) or NC_TPI_COTS_ORD (3).
    semantics: int


NETIDS = {
    netid.name: netid
    for netid in (
        Netid("tcp", "inet", "tcp", PMAP_IPPROTO_TCP, 3),
        Netid("udp", "inet", "udp", PMAP_IPPROTO_UDP, 1),
        Netid("tcp6", "inet6", "tcp", PMAP_IPPROTO_TCP, 3),
        Netid("udp6", "inet6", "udp", PMAP_IPPROTO_UDP, 1),
    )
}


class AddressError(ValueError):
    """A text that is no address of its transport, or a port that cannot be registered."""


def netid_of(transport: str, host: str) -> str:
    """The netid of "tcp" or "udp" at the numeric address `host`."""
    proto = "udp" if transport == "udp" else "tcp"
    return proto + "6" if ":" in host else proto


def to_uaddr(host: str, port: int) -> str:
    """The universal address of a numeric IPv4 or IPv6 address and a port, 1 to 65535.

    Raises AddressError. An IPv6 scope ("fe80::1%eth0") has no place in a universal address.
    """
    if not 0 < port < 65536:
        raise AddressError(f"{port} is no port")
    return f"{_numeric(host)}.{port >> 8}.{port & 0xFF}"


def from_uaddr(netid: str, uaddr: str) -> tuple[str, int]:
    """Host and port of `uaddr`, an address of the transport `netid`.

    Raises AddressError for another transport than `NETIDS` has, another address family, bytes that
    are none, and port 0, which GETPORT could not tell from "not registered".
    """
    known = NETIDS.get(netid)
    if known is None:
        raise AddressError(f"no transport is called {netid!r}; there are {', '.join(NETIDS)}")
    parts = uaddr.rsplit(".", 2)
    if len(parts) != 3:
        raise AddressError(f"{uaddr!r} is no universal address: it has no port")
    host, high, low = _numeric(parts[0]), _byte(parts[1], uaddr), _byte(parts[2], uaddr)
    if (":" in host) is not (known.family == "inet6"):
        raise AddressError(f"{uaddr!r} is no address of {netid}")
    port = high << 8 | low
    if not port:
        raise AddressError(f"{uaddr!r} has port 0")
    return host, port


def wildcard(host: str) -> bool:
    """Whether the numeric address `host` stands for every address of its family."""
    return ipaddress.ip_address(host).is_unspecified


def merge(netid: str, uaddr: str, reached: str | None) -> str:
    """`uaddr` as its asker can use it: the wildcard replaced by `reached`, an address of ours.

    As registered if it is no wildcard, or `reached` is None or of another family.
    """
    host, port = from_uaddr(netid, uaddr)
    if reached is None or not wildcard(host) or (":" in reached) is not (":" in host):
        return uaddr
    return to_uaddr(reached, port)


def unicast(host: str) -> bool:
    """Whether the numeric address `host` may be one host's: no wildcard, multicast, broadcast."""
    address = ipaddress.ip_address(host)
    return not (address.is_unspecified or address.is_multicast or host == "255.255.255.255")


def to_taddr(host: str, port: int) -> bytes:
    """A numeric address and a port as this host's own `struct sockaddr_in` or `sockaddr_in6`.

    RFC 1833 leaves the form to the transport; this is the one that rpcbind gives local callers.
    """
    raw = ipaddress.ip_address(host).packed
    if len(raw) == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", port, raw)
    return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI16sI", port, 0, raw, 0)


def from_taddr(raw: bytes) -> tuple[str, int]:
    """The reverse of `to_taddr`. Raises AddressError."""
    lengths: dict[int, tuple[int, int, int]] = {
        socket.AF_INET: (16, 4, 4),
        socket.AF_INET6: (28, 8, 16),
    }
    family = int.from_bytes(raw[:2], sys.byteorder)
    size, start, count = lengths.get(family, (-1, 0, 0))
    if len(raw) != size:
        raise AddressError(f"{raw.hex()} is no socket address")
    host = str(ipaddress.ip_address(raw[start : start + count]))
    return host, int.from_bytes(raw[2:4], "big")


def _numeric(host: str) -> str:
    try:
        if "%" in host:
            raise ValueError
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise AddressError(f"{host!r} is no numeric address") from None


def _byte(text: str, uaddr: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256):
        raise AddressError(f"{uaddr!r} is no universal address: {text!r} is no byte of a port")
    return int(text)
