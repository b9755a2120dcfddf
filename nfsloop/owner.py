"""Who is at the other end within this machine: is the address its own, whose is the process. The
kernel is asked."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Any

# Linux's, from <linux/sock_diag.h> and <linux/inet_diag.h>.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ESTABLISHED = 1
_HEAD = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=4BI")
_MESSAGE = struct.Struct("=4B48x5I")

# <linux/rtnetlink.h>'s.
_NEW_ROUTE = 24
_GET_ROUTE = 26
_RTA_DST = 1
_RTA_OIF = 4
_RTN_LOCAL = 2
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=2H")
#: There is no way to an address, so it is not this machine's.
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH}

_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def owner(sock: socket.socket) -> int | None:
    """The user whose socket is connected to `sock`, within this machine; None if nobody's is.

    A socket whose process has closed it already is nobody's: the kernel calls it root's.
    """
    try:
        peer, here = sock.getpeername(), sock.getsockname()
    except OSError:
        return None
    for ask in (_by_netlink, _by_proc):
        try:
            return ask(sock.family, peer, here)
        except OSError:
            continue
    return None


def _by_netlink(family: int, peer: tuple[Any, ...], here: tuple[Any, ...]) -> int | None:
    """Of one socket: the time that it takes does not grow with their number."""
    mapped = str(peer[0]).startswith("::ffff:") and "." in peer[0]
    if mapped:
        family = socket.AF_INET
    key = b"".join(
        (
            struct.pack(">2H", peer[1], here[1]),
            _raw(peer[0]).ljust(16, b"\0"),
            _raw(here[0]).ljust(16, b"\0"),
            struct.pack("=3I", 0, 0xFFFFFFFF, 0xFFFFFFFF),
        )
    )
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _ESTABLISHED) + key
    answer = _ask(_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, request, _SOCK_DIAG_BY_FAMILY)
    _, state, _, _, _, _, _, uid, inode = _MESSAGE.unpack_from(answer)
    return uid if state == _ESTABLISHED and inode else None


def _ask(protocol: int, kind: int, request: bytes, answered: int) -> bytes:
    """What the kernel answers over netlink, behind the head. Raises OSError."""
    head = _HEAD.pack(_HEAD.size + len(request), kind, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(0)  # it answers within the send
        kernel.send(head + request)
        answer = kernel.recv(4096)
    _, came, _, _, _ = _HEAD.unpack_from(answer)
    if came != answered:
        (error,) = struct.unpack_from("=i", answer, _HEAD.size)
        raise OSError(-error, os.strerror(-error))
    return answer[_HEAD.size :]


def is_here(host: str) -> bool:
    """Whether `host` (numeric, of a peer) is an address of this machine, on whatever interface.

    A container with a network of its own is another machine. Raises OSError where it cannot be
    told now, as without descriptors.
    """
    try:
        return _routed_here(host)
    except OSError as exc:
        if exc.errno in _NO_WAY:
            return False
        if exc.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}:
            raise
    return _bound_here(host)  # no netlink in this sandbox


def _routed_here(host: str) -> bool:
    """By the kernel's routes: to itself, or to an interface. Raises OSError."""
    raw, zone = _raw(host), host.partition("%")[2]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    route = _ROUTE.pack(family, 8 * len(raw), 0, 0, 0, 0, 0, 0, 0)
    route += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(raw), _RTA_DST) + raw
    if zone:
        index = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
        route += _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, _RTA_OIF) + struct.pack("=I", index)
    answer = _ask(socket.NETLINK_ROUTE, _GET_ROUTE, route, _NEW_ROUTE)
    return bool(_ROUTE.unpack_from(answer)[7] == _RTN_LOCAL)


def _bound_here(host: str) -> bool:
    """Only an address of one's own can be bound to. Raises OSError."""
    info = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    family, kind, _, _, address = info[0]
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(address)
        except OSError as exc:
            if exc.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def _by_proc(family: int, peer: tuple[Any, ...], here: tuple[Any, ...]) -> int | None:
    """From the table of all connections, where netlink is not to be had. Raises OSError."""
    tables = {socket.AF_INET: _as_ipv4, socket.AF_INET6: _as_ipv6}
    for table, convert in tables.items():
        ends = convert(peer), convert(here)
        if None in ends:
            continue
        path = "/proc/net/tcp" if table == socket.AF_INET else "/proc/net/tcp6"
        with open(path, encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if tuple(words[1:3]) == ends:
                    live = int(words[3], 16) == _ESTABLISHED and words[9] != "0"
                    return int(words[7]) if live else None
    return None


def _raw(host: str) -> bytes:
    """An address in bytes; one that is mapped into IPv6 as IPv4's."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed


def _words(raw: bytes, port: int) -> str:
    """As in /proc/net/tcp: words of 32 bits in the machine's order."""
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _as_ipv4(address: tuple[Any, ...]) -> str | None:
    raw = _raw(address[0])
    return _words(raw, address[1]) if len(raw) == 4 else None


def _as_ipv6(address: tuple[Any, ...]) -> str:
    raw = _raw(address[0])
    return _words(bytes(10) + b"\xff\xff" + raw if len(raw) == 4 else raw, address[1])


def reserved_ports() -> int:
    """The port below which only root may listen or send from on this machine, 1024 at most."""
    try:
        with open(_UNPRIVILEGED, encoding="ascii") as file:
            return min(1024, int(file.read()))
    except (OSError, ValueError):
        return 1024
