"""A NULL call of any program, over plain sockets: what there is at an address and a port.

A health check is made of it that runs every few seconds: it imports neither asyncio nor settings.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from oncrpc.errors import (
    AuthError,
    MessageError,
    ProgMismatch,
    ProgUnavail,
    RecordError,
    Refusal,
    RpcError,
)
from oncrpc.message import NO_VERIFIER, call_header, read_reply
from oncrpc.record import RecordReader, Scratch, mark

#: A datagram or its answer may be lost: it is sent so often, within the time.
UDP_TRIES = 3
#: More than any answer to NULL has.
ANSWER_BYTES = 4096

# What comes of a call.
ANSWERS = "answers"
REFUSED = "refused"  # nobody listens
SILENT = "silent"  # not even a refusal
MUTE = "mute"  # the connection is taken, the call not answered
CLOSED = "closed"  # the connection is taken, and ended without an answer
UNREACHABLE = "unreachable"
FORBIDDEN = "forbidden"  # by a firewall of this machine
MISMATCH = "mismatch"  # the program is there, in other versions
UNAVAILABLE = "unavailable"  # RPC without that program
DENIED = "denied"  # another refusal of RPC's
NOT_RPC = "not RPC"
FAILED = "failed"  # anything else, such as an address that cannot be

_OUTCOMES = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: CLOSED,
    errno.EPIPE: CLOSED,
    errno.ENETUNREACH: UNREACHABLE,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.ENETDOWN: UNREACHABLE,
    errno.EHOSTDOWN: UNREACHABLE,
    errno.EADDRNOTAVAIL: UNREACHABLE,
    errno.EINVAL: UNREACHABLE,  # a blackhole route
    errno.EACCES: UNREACHABLE,  # a prohibit route
    errno.EPERM: FORBIDDEN,
    errno.ETIMEDOUT: SILENT,
}

_WORDS = {
    REFUSED: "nobody listens there",
    SILENT: "silent: the machine is off, or a firewall drops what is sent",
    MUTE: "takes the connection, but does not answer the call",
    CLOSED: "closes the connection without an answer",
    UNREACHABLE: "no way leads there",
    FORBIDDEN: "a firewall of this machine forbids it",
    UNAVAILABLE: "speaks RPC, but has no such program",
    NOT_RPC: "something else listens there: it does not speak RPC",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of one call; `low` and `high` are the versions of a MISMATCH."""

    outcome: str
    seconds: float = 0.0
    low: int = 0
    high: int = 0
    #: What the system or the server said.
    text: str = ""

    @property
    def answers(self) -> bool:
        """Whether the program is there."""
        return self.outcome == ANSWERS

    @property
    def there(self) -> bool:
        """Whether anything at all is: packets get there and back."""
        return not self.barred and self.outcome != FAILED

    @property
    def barred(self) -> bool:
        """Whether nothing gets there or back: a firewall's work, if something else does."""
        return self.outcome in {SILENT, UNREACHABLE, FORBIDDEN}

    def __str__(self) -> str:
        """What is wrong, in half a sentence."""
        if self.outcome == MISMATCH:
            return f"serves the program in versions {self.low} to {self.high} only"
        if self.outcome == DENIED:
            return f"refuses the call: {self.text}"
        words = _WORDS.get(self.outcome) or self.text or self.outcome
        return f"{words} ({self.text})" if self.outcome == UNREACHABLE else words


def null(address: Any, transport: str, program: int, version: int, timeout: float) -> Reach:
    """Call NULL at a numeric socket address, over "tcp" or "udp". Never raises for the network's
    sake, and takes `timeout` seconds at most."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in str(address[0]) else socket.AF_INET
    began = time.monotonic()
    try:
        with socket.socket(family, kind) as sock:
            outcome = _call(sock, address, program, version, began + timeout)
            return Reach(outcome, time.monotonic() - began)
    except ProgMismatch as exc:
        return Reach(MISMATCH, low=exc.low, high=exc.high)
    except ProgUnavail:
        return Reach(UNAVAILABLE)
    except AuthError as exc:
        return Reach(DENIED, text=str(exc))
    except Refusal as exc:
        return Reach(DENIED, text=str(exc) or type(exc).__name__)
    except (MessageError, RecordError):
        return Reach(NOT_RPC)
    except OSError as exc:
        return Reach(_OUTCOMES.get(exc.errno or 0, FAILED), text=exc.strerror or str(exc))
    except (RpcError, OverflowError) as exc:  # OverflowError: no port has that number
        return Reach(FAILED, text=str(exc))


def _call(sock: socket.socket, address: Any, program: int, version: int, until: float) -> str:
    """The outcome. Raises OSError and RpcError."""
    xid = int.from_bytes(os.urandom(4), "big")
    message = call_header(xid, program, version, 0, NO_VERIFIER, NO_VERIFIER)
    if sock.type == socket.SOCK_DGRAM:
        sock.connect(address)
        return _datagrams(sock, xid, message, until)
    try:
        _wait(sock, until)
        sock.connect(address)
    except TimeoutError:
        return SILENT
    sock.sendall(mark(len(message)) + message)
    reader = RecordReader(Scratch(ANSWER_BYTES), ANSWER_BYTES)
    while True:
        try:
            _wait(sock, until)
            count = sock.recv_into(reader.space())
        except TimeoutError:
            return MUTE
        if not count:
            return CLOSED
        reader.received(count)
        for record in reader.records():
            if read_reply(record)[0] == xid:
                return ANSWERS
        reader.settle()


def _datagrams(sock: socket.socket, xid: int, message: bytes, until: float) -> str:
    began = time.monotonic()
    for number in range(UDP_TRIES):
        sock.send(message)
        try:
            _wait(sock, began + (until - began) * (number + 1) / UDP_TRIES)
            if read_reply(sock.recv(ANSWER_BYTES))[0] == xid:
                return ANSWERS
        except TimeoutError:
            continue
    return SILENT


def _wait(sock: socket.socket, until: float) -> None:
    """Have the next call end by then. Raises TimeoutError."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
