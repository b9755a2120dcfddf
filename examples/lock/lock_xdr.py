# generated from lock.x by oncrpc.rpcgen; do not edit
"""The types, codecs and programs of lock.x."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import (
    Struct,
)
from typing import (
    Any,
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
    EnumTable as _EnumTable,
    PackTable as _PackTable,
    Put,
    UnpackTable as _UnpackTable,
    decode_void as _decode_void,
    encode_void as _encode_void,
    no_value as _no_value,
    pretty as _pretty,
)

LOCK_NAME_MAX = 255
LOCK_PROGRAM = 536870928


class lock_stat(IntEnum):
    """enum lock_stat."""

    LOCK_OK = 0
    LOCK_NOT_HELD = 1
    LOCK_GIVEN_UP = 2
    LOCK_TOO_MANY = 3


LOCK_OK = lock_stat.LOCK_OK
LOCK_NOT_HELD = lock_stat.LOCK_NOT_HELD
LOCK_GIVEN_UP = lock_stat.LOCK_GIVEN_UP
LOCK_TOO_MANY = lock_stat.LOCK_TOO_MANY
_m_lock_stat = _EnumTable("lock_stat", {m.value: m for m in lock_stat})


@dataclass(slots=True)
class lock_args:
    """struct lock_args."""

    name: bytes
    client: int


@dataclass(slots=True)
class lock_info:
    """struct lock_info."""

    acquired: int
    released: int
    waiting: int
    holder: int | None

_u1 = Struct(">i").unpack_from
_p1 = Struct(">i").pack
_u2 = Struct(">I").unpack_from
_r1 = _UnpackTable("lock_args.name", 255, "Q")
_q1 = _PackTable("lock_args.name", 255, "I", "Q")
_u3 = Struct(">4I").unpack_from
_u4 = Struct(">Q").unpack_from
_p2 = Struct(">IQ").pack
_p3 = Struct(">3I").pack


def decode_lock_stat(buf: Buffer, pos: int) -> tuple[lock_stat, int]:
    (v1,) = _u1(buf, pos)
    return _m_lock_stat[v1], pos + 4


def pack_lock_stat(value: lock_stat) -> bytes:
    return _p1(_m_lock_stat[value])


def encode_lock_stat(value: lock_stat, put: Put) -> None:
    put(pack_lock_stat(value))


def format_lock_stat(value: lock_stat, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_lock_args(buf: Buffer, pos: int) -> tuple[lock_args, int]:
    (n1,) = _u2(buf, pos)
    v1, v2 = _r1[n1](buf, pos + 4)
    pos += n1 + 15 & -4
    return lock_args(v1, v2), pos


def encode_lock_args(value: lock_args, put: Put) -> None:
    v1 = value.name
    n1 = len(v1)
    put(_q1[n1](n1, v1, value.client))


def format_lock_args(value: lock_args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_lock_info(buf: Buffer, pos: int) -> tuple[lock_info, int]:
    v1, v2, v3, n1 = _u3(buf, pos)
    pos += 16
    v4: int | None = None
    if n1 == 1:
        (v5,) = _u4(buf, pos)
        pos += 8
        v4 = v5
    elif n1:
        raise _no_value("lock_info.holder", n1)
    return lock_info(v1, v2, v3, v4), pos


def encode_lock_info(value: lock_info, put: Put) -> None:
    v1 = value.holder
    put(_p3(value.acquired, value.released, value.waiting) + (b'\x00\x00\x00\x00' if v1 is None else _p2(1, v1)))


def format_lock_info(value: lock_info, depth: int = 4) -> str:
    return _pretty(value, depth)


LOCK_V1 = Program(
    "LOCK_PROGRAM",
    536870928,
    1,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "ACQUIRE",
            decode_lock_args, encode_lock_args,
            decode_lock_stat, encode_lock_stat,
        ),
        2: Proc(
            2, "RELEASE",
            decode_lock_args, encode_lock_args,
            decode_lock_stat, encode_lock_stat,
        ),
        3: Proc(
            3, "STAT",
            decode_lock_args, encode_lock_args,
            decode_lock_info, encode_lock_info,
        ),
    },
)


class LOCK_V1_Client:
    """LOCK_PROGRAM version 1, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(LOCK_V1, LOCK_V1.procs[0], args, timeout)
        return result

    async def ACQUIRE(
        self, args: lock_args, *, timeout: float | None = None
    ) -> lock_stat:
        result: lock_stat = await self._caller.call(LOCK_V1, LOCK_V1.procs[1], args, timeout)
        return result

    async def RELEASE(
        self, args: lock_args, *, timeout: float | None = None
    ) -> lock_stat:
        result: lock_stat = await self._caller.call(LOCK_V1, LOCK_V1.procs[2], args, timeout)
        return result

    async def STAT(
        self, args: lock_args, *, timeout: float | None = None
    ) -> lock_info:
        result: lock_info = await self._caller.call(LOCK_V1, LOCK_V1.procs[3], args, timeout)
        return result


class LOCK_V1_Service(Service):
    """LOCK_PROGRAM version 1, to be served."""

    PROGRAM = LOCK_V1

    async def ACQUIRE(self, call: Any, args: lock_args) -> lock_stat:
        raise _ProcUnavail("ACQUIRE")

    async def RELEASE(self, call: Any, args: lock_args) -> lock_stat:
        raise _ProcUnavail("RELEASE")

    async def STAT(self, call: Any, args: lock_args) -> lock_info:
        raise _ProcUnavail("STAT")
