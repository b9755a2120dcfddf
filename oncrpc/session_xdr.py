# generated from session.x by oncrpc.rpcgen; do not edit
"""The types, codecs and programs of session.x."""

from __future__ import annotations

from dataclasses import dataclass
from struct import (
    Struct,
    pack as _pack,
    unpack_from as _unpack_from,
)
from typing import (
    Any,
    TypeAlias,
)

from oncrpc.program import (
    Caller,
    Proc,
    ProcUnavail as _ProcUnavail,
    Program,
    Service,
    in_session as _in_session,
)
from oncrpc.xdr import (
    Buffer,
    PackTable as _PackTable,
    Put,
    UnpackTable as _UnpackTable,
    decode_void as _decode_void,
    encode_void as _encode_void,
    pretty as _pretty,
    too_long as _too_long,
)

AUTH_SESSION = 0x20534553
SESSION_NONCE_SIZE = 16
SESSION_OWED_MAX = 32
SESSION_PROGRAM = 542328147


@dataclass(slots=True)
class session_cred:
    """struct session_cred."""

    client: session_nonce
    server: session_nonce
    flavor: int
    body: bytes


@dataclass(slots=True)
class session_verf:
    """struct session_verf."""

    seq: int
    seq_rep: int
    owed: list[int]


@dataclass(slots=True)
class session_bound:
    """struct session_bound."""

    server: session_nonce
    window: int

session_nonce: TypeAlias = bytes

_u1 = Struct(">16s").unpack_from
_p1 = Struct(">16s").pack
_u2 = Struct(">16s16s2I").unpack_from
_r1 = _UnpackTable("session_cred.body", 400, "")
_q1 = _PackTable("session_cred.body", 400, "16s16s2I", "")
_u3 = Struct(">2QI").unpack_from
_p2 = Struct(">2QI").pack
_u4 = Struct(">16sI").unpack_from
_p3 = Struct(">16sI").pack


def decode_session_nonce(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (v1,) = _u1(buf, pos)
    return v1, pos + 16


def pack_session_nonce(value: bytes) -> bytes:
    if len(value) != 16:
        raise _too_long("session_nonce", len(value), 16)
    return _p1(value)


def encode_session_nonce(value: bytes, put: Put) -> None:
    put(pack_session_nonce(value))


def format_session_nonce(value: session_nonce, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_session_cred(buf: Buffer, pos: int) -> tuple[session_cred, int]:
    v1, v2, v3, n1 = _u2(buf, pos)
    (v4,) = _r1[n1](buf, pos + 40)
    pos += n1 + 43 & -4
    return session_cred(v1, v2, v3, v4), pos


def encode_session_cred(value: session_cred, put: Put) -> None:
    v1 = value.client
    if len(v1) != 16:
        raise _too_long("session_nonce", len(v1), 16)
    v2 = value.server
    if len(v2) != 16:
        raise _too_long("session_nonce", len(v2), 16)
    v3 = value.body
    n1 = len(v3)
    put(_q1[n1](v1, v2, value.flavor, n1, v3))


def format_session_cred(value: session_cred, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_session_verf(buf: Buffer, pos: int) -> tuple[session_verf, int]:
    v1, v2, n1 = _u3(buf, pos)
    if n1 > 32:
        raise _too_long("session_verf.owed", n1, 32)
    pos += 20
    v3 = list(_unpack_from(f">{n1}Q", buf, pos))
    pos += n1 * 8
    return session_verf(v1, v2, v3), pos


def encode_session_verf(value: session_verf, put: Put) -> None:
    v1 = value.owed
    n1 = len(v1)
    if n1 > 32:
        raise _too_long("session_verf.owed", n1, 32)
    put(_p2(value.seq, value.seq_rep, n1) + _pack(f">{n1}Q", *v1))


def format_session_verf(value: session_verf, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_session_bound(buf: Buffer, pos: int) -> tuple[session_bound, int]:
    v1, v2 = _u4(buf, pos)
    return session_bound(v1, v2), pos + 20


def pack_session_bound(value: session_bound) -> bytes:
    v1 = value.server
    if len(v1) != 16:
        raise _too_long("session_nonce", len(v1), 16)
    return _p3(v1, value.window)


def encode_session_bound(value: session_bound, put: Put) -> None:
    put(pack_session_bound(value))


def format_session_bound(value: session_bound, depth: int = 4) -> str:
    return _pretty(value, depth)


SESSION_V1 = Program(
    "SESSION_PROGRAM",
    542328147,
    1,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "BIND",
            decode_session_nonce, encode_session_nonce,
            decode_session_bound, encode_session_bound,
        ),
    },
)


class SESSION_V1_Client:
    """SESSION_PROGRAM version 1, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(SESSION_V1, SESSION_V1.procs[0], args, timeout)
        return result

    async def BIND(
        self, args: session_nonce, *, timeout: float | None = None
    ) -> session_bound:
        result: session_bound = await self._caller.call(SESSION_V1, SESSION_V1.procs[1], args, timeout)
        return result


class SESSION_V1_Service(Service):
    """SESSION_PROGRAM version 1, to be served."""

    PROGRAM = SESSION_V1

    async def BIND(self, call: Any, args: session_nonce) -> session_bound:
        raise _ProcUnavail("BIND")
