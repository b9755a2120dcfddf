"""One port for several processes: which of them has a client's connection, and its datagrams.

Each worker has a socket of its own on the server's port (SO_REUSEPORT). A filter in the kernel
chooses among them by the source's address and port: a client that connects again from the same
port, as Linux's does, meets the worker that knows its calls.
"""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterator

from oncrpc.net import bind
from oncrpc.server import LISTEN_BACKLOG

log = logging.getLogger("nfsloop.workers")

#: Linux's, where Python's socket module has no name for it.
SO_ATTACH_REUSEPORT_CBPF = getattr(socket, "SO_ATTACH_REUSEPORT_CBPF", 51)

#: Knuth's multiplier, 2**32 over the golden ratio: it spreads ports that follow each other.
_MULTIPLIER = 0x9E3779B1

# Classic BPF (<linux/filter.h>). Offsets from _NET on count from the network header; the packet
# itself begins behind the transport's.
_NET = 0xFFF00000
_LDB, _LDH, _LD, _LDH_IND = 0x30, 0x28, 0x20, 0x48
_ST, _LDX_MEM, _TAX, _RET_A = 0x02, 0x61, 0x07, 0x16
_AND, _LSH, _RSH, _MUL, _MOD, _XOR_X = 0x54, 0x64, 0x74, 0x24, 0x94, 0xAC
_JEQ, _JA = 0x15, 0x05
_INSTRUCTION = struct.Struct("=HBBI")


def index_of(host: str, port: int, count: int) -> int:
    """Which of `count` workers has what comes from `port` of the numeric address `host`."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    mixed = port
    for (word,) in struct.iter_unpack(">I", mapped.packed):
        mixed ^= word
    return ((mixed * _MULTIPLIER & 0xFFFFFFFF) >> 16) % count


def program(count: int) -> bytes:
    """`index_of` for the kernel: a filter that gives the index of one of `count` sockets."""
    six = [(_LDH, _NET + 40), (_ST, 0), (_LD, _NET + 8)]
    for offset in (12, 16, 20):
        six += [(_TAX, 0), (_LD, _NET + offset), (_XOR_X, 0)]
    # The header's length, as it may have options.
    four = [(_LDB, _NET), (_AND, 15), (_LSH, 2), (_TAX, 0), (_LDH_IND, _NET), (_ST, 0)]
    four += [(_LD, _NET + 12), (_JA, len(six))]
    end = [(_LDX_MEM, 0), (_XOR_X, 0), (_MUL, _MULTIPLIER), (_RSH, 16), (_MOD, count), (_RET_A, 0)]
    code = [
        _INSTRUCTION.pack(_LDB, 0, 0, _NET),
        _INSTRUCTION.pack(_RSH, 0, 0, 4),
        _INSTRUCTION.pack(_JEQ, len(four), 0, 6),
    ]
    code += [_INSTRUCTION.pack(op, 0, 0, operand) for op, operand in (*four, *six, *end)]
    return b"".join(code)


def attach(sock: socket.socket, count: int) -> bool:
    """Have the filter choose among the `count` sockets of which `sock` is one; whether it can."""
    code = program(count)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many instructions, and where.
    argument = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, argument)
    except OSError as exc:
        log.warning(
            "the kernel takes no filter (%s) and spreads connections as it likes: a client that "
            "connects again may meet a worker that does not know its calls",
            exc.strerror,
        )
        return False
    return True


class Group:
    """The sockets of all workers, made at once and open until `close`: so the filter's indexes
    mean the same workers for ever, and what comes for one that has died waits for the next.

    ``of[K]`` are those of worker K. Raises OSError.
    """

    def __init__(self, count: int) -> None:
        self.of: list[list[socket.socket]] = [[] for _ in range(count)]
        #: Whether the filter chooses, in all of them.
        self.steered = True

    def bind(self, host: str | None, port: int, kind: int) -> int:
        """Sockets of `kind` at `host` (None: every address) for all workers; the port.

        Raises OSError.
        """
        firsts = bind(host, port, kind)
        for first in firsts:
            sockets = [first]
            for own in self.of[:1]:
                own.append(first)
            for own in self.of[1:]:
                sock = _beside(first)
                sockets.append(sock)
                own.append(sock)
            if kind == socket.SOCK_STREAM:
                for sock in sockets:
                    sock.listen(LISTEN_BACKLOG)
            self.steered = self.steered and attach(first, len(sockets))
        return int(firsts[0].getsockname()[1])

    def close(self) -> None:
        """Close them here; a worker's go when it has closed its own too."""
        for sock in self._all():
            sock.close()

    def _all(self) -> Iterator[socket.socket]:
        for own in self.of:
            yield from own


def _beside(first: socket.socket) -> socket.socket:
    """Another socket with the address of `first`.

    `first` was bound without SO_REUSEPORT, and so only if nobody else had the port; from now on it
    shares it, with sockets of this user that ask for that.
    """
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock = socket.socket(first.family, first.type, first.proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if first.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if first.family == socket.AF_INET6:
            only = first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.bind(first.getsockname())
    except OSError:
        sock.close()
        raise
    return sock
