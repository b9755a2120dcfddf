# generated from nlm4.x by oncrpc.rpcgen; do not edit
"""The types, codecs and programs of nlm4.x."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import (
    Struct,
)
from typing import (
    Any,
    ClassVar,
    TypeAlias,
    cast,
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
    BOOL as _BOOL,
    Buffer,
    EnumTable as _EnumTable,
    PackTable as _PackTable,
    Put,
    UnpackTable as _UnpackTable,
    decode_void as _decode_void,
    encode_void as _encode_void,
    no_value as _no_value,
    pretty as _pretty,
    too_long as _too_long,
)

LM_MAXSTRLEN = 1024
LM_MAXNAMELEN = 1025
MAXNETOBJ_SZ = 1024
LM_PRIVLEN = 16
NLM_PROG = 100021


class nlm4_stats(IntEnum):
    """enum nlm4_stats."""

    NLM4_GRANTED = 0
    NLM4_DENIED = 1
    NLM4_DENIED_NOLOCKS = 2
    NLM4_BLOCKED = 3
    NLM4_DENIED_GRACE_PERIOD = 4
    NLM4_DEADLCK = 5
    NLM4_ROFS = 6
    NLM4_STALE_FH = 7
    NLM4_FBIG = 8
    NLM4_FAILED = 9


NLM4_GRANTED = nlm4_stats.NLM4_GRANTED
NLM4_DENIED = nlm4_stats.NLM4_DENIED
NLM4_DENIED_NOLOCKS = nlm4_stats.NLM4_DENIED_NOLOCKS
NLM4_BLOCKED = nlm4_stats.NLM4_BLOCKED
NLM4_DENIED_GRACE_PERIOD = nlm4_stats.NLM4_DENIED_GRACE_PERIOD
NLM4_DEADLCK = nlm4_stats.NLM4_DEADLCK
NLM4_ROFS = nlm4_stats.NLM4_ROFS
NLM4_STALE_FH = nlm4_stats.NLM4_STALE_FH
NLM4_FBIG = nlm4_stats.NLM4_FBIG
NLM4_FAILED = nlm4_stats.NLM4_FAILED
_m_nlm4_stats = _EnumTable("nlm4_stats", {m.value: m for m in nlm4_stats})


@dataclass(slots=True)
class nlm4_stat:
    """struct nlm4_stat."""

    stat: nlm4_stats


@dataclass(slots=True)
class nlm4_res:
    """struct nlm4_res."""

    cookie: netobj
    stat: nlm4_stat


@dataclass(slots=True)
class nlm4_holder:
    """struct nlm4_holder."""

    exclusive: bool
    svid: int32
    oh: netobj
    l_offset: uint64
    l_len: uint64


@dataclass(slots=True)
class nlm4_testrply:
    """union nlm4_testrply: `value` is the arm that `stat` selects, None for void."""

    stat: nlm4_stats
    value: nlm4_holder | None = None
    __arms__: ClassVar[dict[int | None, str]] = {1: 'holder', None: 'void'}

    @property
    def holder(self) -> nlm4_holder:
        """The arm of NLM4_DENIED. Raises XdrError if another is selected."""
        if self.stat not in (1,):
            raise _no_value("holder", self.stat)
        return cast("nlm4_holder", self.value)


@dataclass(slots=True)
class nlm4_testres:
    """struct nlm4_testres."""

    cookie: netobj
    stat: nlm4_testrply


@dataclass(slots=True)
class nlm4_lock:
    """struct nlm4_lock."""

    caller_name: bytes
    fh: netobj
    oh: netobj
    svid: int32
    l_offset: uint64
    l_len: uint64


@dataclass(slots=True)
class nlm4_lockargs:
    """struct nlm4_lockargs."""

    cookie: netobj
    block: bool
    exclusive: bool
    alock: nlm4_lock
    reclaim: bool
    state: int32


@dataclass(slots=True)
class nlm4_cancargs:
    """struct nlm4_cancargs."""

    cookie: netobj
    block: bool
    exclusive: bool
    alock: nlm4_lock


@dataclass(slots=True)
class nlm4_testargs:
    """struct nlm4_testargs."""

    cookie: netobj
    exclusive: bool
    alock: nlm4_lock


@dataclass(slots=True)
class nlm4_unlockargs:
    """struct nlm4_unlockargs."""

    cookie: netobj
    alock: nlm4_lock


class fsh4_mode(IntEnum):
    """enum fsh4_mode."""

    fsm_DN = 0
    fsm_DR = 1
    fsm_DW = 2
    fsm_DRW = 3


fsm_DN = fsh4_mode.fsm_DN
fsm_DR = fsh4_mode.fsm_DR
fsm_DW = fsh4_mode.fsm_DW
fsm_DRW = fsh4_mode.fsm_DRW
_m_fsh4_mode = _EnumTable("fsh4_mode", {m.value: m for m in fsh4_mode})


class fsh4_access(IntEnum):
    """enum fsh4_access."""

    fsa_NONE = 0
    fsa_R = 1
    fsa_W = 2
    fsa_RW = 3


fsa_NONE = fsh4_access.fsa_NONE
fsa_R = fsh4_access.fsa_R
fsa_W = fsh4_access.fsa_W
fsa_RW = fsh4_access.fsa_RW
_m_fsh4_access = _EnumTable("fsh4_access", {m.value: m for m in fsh4_access})


@dataclass(slots=True)
class nlm4_share:
    """struct nlm4_share."""

    caller_name: bytes
    fh: netobj
    oh: netobj
    mode: fsh4_mode
    access: fsh4_access


@dataclass(slots=True)
class nlm4_shareargs:
    """struct nlm4_shareargs."""

    cookie: netobj
    share: nlm4_share
    reclaim: bool


@dataclass(slots=True)
class nlm4_shareres:
    """struct nlm4_shareres."""

    cookie: netobj
    stat: nlm4_stats
    sequence: int32


@dataclass(slots=True)
class nlm4_notify:
    """struct nlm4_notify."""

    name: bytes
    state: int32


@dataclass(slots=True)
class nlm4_sm_status:
    """struct nlm4_sm_status."""

    mon_name: bytes
    state: int32
    priv: bytes

uint64: TypeAlias = int
int64: TypeAlias = int
uint32: TypeAlias = int
int32: TypeAlias = int
netobj: TypeAlias = bytes

_u1 = Struct(">Q").unpack_from
_p1 = Struct(">Q").pack
_u2 = Struct(">q").unpack_from
_p2 = Struct(">q").pack
_u3 = Struct(">I").unpack_from
_p3 = Struct(">I").pack
_u4 = Struct(">i").unpack_from
_p4 = Struct(">i").pack
_r1 = _UnpackTable("netobj", 1024, "")
_q1 = _PackTable("netobj", 1024, "I", "")
_r2 = _UnpackTable("netobj", 1024, "i")
_q2 = _PackTable("netobj", 1024, "I", "i")
_u5 = Struct(">IiI").unpack_from
_r3 = _UnpackTable("netobj", 1024, "2Q")
_q3 = _PackTable("netobj", 1024, "3x?iI", "2Q")
_q4 = _PackTable("netobj", 1024, "i3x?iI", "2Q")
_r4 = _UnpackTable("nlm4_lock.caller_name", 1024, "I")
_r5 = _UnpackTable("netobj", 1024, "I")
_r6 = _UnpackTable("netobj", 1024, "i2Q")
_q5 = _PackTable("nlm4_lock.caller_name", 1024, "I", "")
_q6 = _PackTable("netobj", 1024, "I", "i2Q")
_r7 = _UnpackTable("netobj", 1024, "3I")
_r8 = _UnpackTable("netobj", 1024, "i2QIi")
_q7 = _PackTable("netobj", 1024, "I", "3x?3x?")
_q8 = _PackTable("netobj", 1024, "I", "i2Q3x?i")
_r9 = _UnpackTable("netobj", 1024, "2I")
_q9 = _PackTable("netobj", 1024, "I", "3x?")
_r10 = _UnpackTable("nlm4_share.caller_name", 1024, "I")
_r11 = _UnpackTable("netobj", 1024, "2i")
_q10 = _PackTable("nlm4_share.caller_name", 1024, "I", "")
_q11 = _PackTable("netobj", 1024, "I", "2i")
_r12 = _UnpackTable("netobj", 1024, "2iI")
_q12 = _PackTable("netobj", 1024, "I", "2i3x?")
_r13 = _UnpackTable("nlm4_notify.name", 1025, "i")
_q13 = _PackTable("nlm4_notify.name", 1025, "I", "i")
_r14 = _UnpackTable("nlm4_sm_status.mon_name", 1024, "i16s")
_q14 = _PackTable("nlm4_sm_status.mon_name", 1024, "I", "i16s")


def decode_uint64(buf: Buffer, pos: int) -> tuple[int, int]:
    (v1,) = _u1(buf, pos)
    return v1, pos + 8


def pack_uint64(value: int) -> bytes:
    return _p1(value)


def encode_uint64(value: int, put: Put) -> None:
    put(pack_uint64(value))


def format_uint64(value: uint64, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_int64(buf: Buffer, pos: int) -> tuple[int, int]:
    (v1,) = _u2(buf, pos)
    return v1, pos + 8


def pack_int64(value: int) -> bytes:
    return _p2(value)


def encode_int64(value: int, put: Put) -> None:
    put(pack_int64(value))


def format_int64(value: int64, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_uint32(buf: Buffer, pos: int) -> tuple[int, int]:
    (v1,) = _u3(buf, pos)
    return v1, pos + 4


def pack_uint32(value: int) -> bytes:
    return _p3(value)


def encode_uint32(value: int, put: Put) -> None:
    put(pack_uint32(value))


def format_uint32(value: uint32, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_int32(buf: Buffer, pos: int) -> tuple[int, int]:
    (v1,) = _u4(buf, pos)
    return v1, pos + 4


def pack_int32(value: int) -> bytes:
    return _p4(value)


def encode_int32(value: int, put: Put) -> None:
    put(pack_int32(value))


def format_int32(value: int32, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_netobj(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r1[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_netobj(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q1[n1](n1, value))


def format_netobj(value: netobj, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_stats(buf: Buffer, pos: int) -> tuple[nlm4_stats, int]:
    (v1,) = _u4(buf, pos)
    return _m_nlm4_stats[v1], pos + 4


def pack_nlm4_stats(value: nlm4_stats) -> bytes:
    return _p4(_m_nlm4_stats[value])


def encode_nlm4_stats(value: nlm4_stats, put: Put) -> None:
    put(pack_nlm4_stats(value))


def format_nlm4_stats(value: nlm4_stats, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_stat(buf: Buffer, pos: int) -> tuple[nlm4_stat, int]:
    (v1,) = _u4(buf, pos)
    return nlm4_stat(_m_nlm4_stats[v1]), pos + 4


def pack_nlm4_stat(value: nlm4_stat) -> bytes:
    return _p4(_m_nlm4_stats[value.stat])


def encode_nlm4_stat(value: nlm4_stat, put: Put) -> None:
    put(pack_nlm4_stat(value))


def format_nlm4_stat(value: nlm4_stat, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_res(buf: Buffer, pos: int) -> tuple[nlm4_res, int]:
    (n1,) = _u3(buf, pos)
    v1, v2 = _r2[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    return nlm4_res(v1, nlm4_stat(_m_nlm4_stats[v2])), pos


def encode_nlm4_res(value: nlm4_res, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    put(_q2[n1](n1, v1, _m_nlm4_stats[value.stat.stat]))


def format_nlm4_res(value: nlm4_res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_holder(buf: Buffer, pos: int) -> tuple[nlm4_holder, int]:
    v1, v2, n1 = _u5(buf, pos)
    v3, v4, v5 = _r3[n1](buf, pos + 12)
    pos += n1 + 31 & -4
    return nlm4_holder(_BOOL[v1], v2, v3, v4, v5), pos


def encode_nlm4_holder(value: nlm4_holder, put: Put) -> None:
    v1 = value.oh
    n1 = len(v1)
    put(_q3[n1](value.exclusive, value.svid, n1, v1, value.l_offset, value.l_len))


def format_nlm4_holder(value: nlm4_holder, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_testrply(buf: Buffer, pos: int) -> tuple[nlm4_testrply, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 1:
        v1, v2, n2 = _u5(buf, pos + 4)
        v3, v4, v5 = _r3[n2](buf, pos + 16)
        pos += n2 + 35 & -4
        return nlm4_testrply(NLM4_DENIED, nlm4_holder(_BOOL[v1], v2, v3, v4, v5)), pos
    return nlm4_testrply(_m_nlm4_stats[n1], None), pos + 4


def encode_nlm4_testrply(value: nlm4_testrply, put: Put) -> None:
    d1 = value.stat
    v1: Any = value.value
    if d1 == 1:
        v2 = v1.oh
        n1 = len(v2)
        put(_q4[n1](1, v1.exclusive, v1.svid, n1, v2, v1.l_offset, v1.l_len))
    else:
        if v1 is not None:
            raise _no_value("nlm4_testrply", v1)
        put(_p4(_m_nlm4_stats[d1]))


def format_nlm4_testrply(value: nlm4_testrply, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_testres(buf: Buffer, pos: int) -> tuple[nlm4_testres, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r1[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    v2, pos = decode_nlm4_testrply(buf, pos)
    return nlm4_testres(v1, v2), pos


def encode_nlm4_testres(value: nlm4_testres, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    put(_q1[n1](n1, v1))
    encode_nlm4_testrply(value.stat, put)


def format_nlm4_testres(value: nlm4_testres, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_lock(buf: Buffer, pos: int) -> tuple[nlm4_lock, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r5[n2](buf, pos)
    pos += n2 + 7 & -4
    v3, v4, v5, v6 = _r6[n3](buf, pos)
    pos += n3 + 23 & -4
    return nlm4_lock(v1, v2, v3, v4, v5, v6), pos


def encode_nlm4_lock(value: nlm4_lock, put: Put) -> None:
    v1 = value.caller_name
    n1 = len(v1)
    v2 = value.fh
    n2 = len(v2)
    v3 = value.oh
    n3 = len(v3)
    put(_q5[n1](n1, v1) + _q1[n2](n2, v2) + _q6[n3](n3, v3, value.svid, value.l_offset, value.l_len))


def format_nlm4_lock(value: nlm4_lock, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_lockargs(buf: Buffer, pos: int) -> tuple[nlm4_lockargs, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3, n2 = _r7[n1](buf, pos + 4)
    pos += n1 + 19 & -4
    v4, n3 = _r4[n2](buf, pos)
    pos += n2 + 7 & -4
    v5, n4 = _r5[n3](buf, pos)
    pos += n3 + 7 & -4
    v6, v7, v8, v9, v10, v11 = _r8[n4](buf, pos)
    pos += n4 + 31 & -4
    return nlm4_lockargs(v1, _BOOL[v2], _BOOL[v3], nlm4_lock(v4, v5, v6, v7, v8, v9), _BOOL[v10], v11), pos


def encode_nlm4_lockargs(value: nlm4_lockargs, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    v2 = value.alock
    v3 = v2.caller_name
    n2 = len(v3)
    v4 = v2.fh
    n3 = len(v4)
    v5 = v2.oh
    n4 = len(v5)
    put(_q7[n1](n1, v1, value.block, value.exclusive) + _q5[n2](n2, v3) + _q1[n3](n3, v4) + _q8[n4](n4, v5, v2.svid, v2.l_offset, v2.l_len, value.reclaim, value.state))


def format_nlm4_lockargs(value: nlm4_lockargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_cancargs(buf: Buffer, pos: int) -> tuple[nlm4_cancargs, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3, n2 = _r7[n1](buf, pos + 4)
    pos += n1 + 19 & -4
    v4, n3 = _r4[n2](buf, pos)
    pos += n2 + 7 & -4
    v5, n4 = _r5[n3](buf, pos)
    pos += n3 + 7 & -4
    v6, v7, v8, v9 = _r6[n4](buf, pos)
    pos += n4 + 23 & -4
    return nlm4_cancargs(v1, _BOOL[v2], _BOOL[v3], nlm4_lock(v4, v5, v6, v7, v8, v9)), pos


def encode_nlm4_cancargs(value: nlm4_cancargs, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    v2 = value.alock
    v3 = v2.caller_name
    n2 = len(v3)
    v4 = v2.fh
    n3 = len(v4)
    v5 = v2.oh
    n4 = len(v5)
    put(_q7[n1](n1, v1, value.block, value.exclusive) + _q5[n2](n2, v3) + _q1[n3](n3, v4) + _q6[n4](n4, v5, v2.svid, v2.l_offset, v2.l_len))


def format_nlm4_cancargs(value: nlm4_cancargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_testargs(buf: Buffer, pos: int) -> tuple[nlm4_testargs, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, n2 = _r9[n1](buf, pos + 4)
    pos += n1 + 15 & -4
    v3, n3 = _r4[n2](buf, pos)
    pos += n2 + 7 & -4
    v4, n4 = _r5[n3](buf, pos)
    pos += n3 + 7 & -4
    v5, v6, v7, v8 = _r6[n4](buf, pos)
    pos += n4 + 23 & -4
    return nlm4_testargs(v1, _BOOL[v2], nlm4_lock(v3, v4, v5, v6, v7, v8)), pos


def encode_nlm4_testargs(value: nlm4_testargs, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    v2 = value.alock
    v3 = v2.caller_name
    n2 = len(v3)
    v4 = v2.fh
    n3 = len(v4)
    v5 = v2.oh
    n4 = len(v5)
    put(_q9[n1](n1, v1, value.exclusive) + _q5[n2](n2, v3) + _q1[n3](n3, v4) + _q6[n4](n4, v5, v2.svid, v2.l_offset, v2.l_len))


def format_nlm4_testargs(value: nlm4_testargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_unlockargs(buf: Buffer, pos: int) -> tuple[nlm4_unlockargs, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r5[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r4[n2](buf, pos)
    pos += n2 + 7 & -4
    v3, n4 = _r5[n3](buf, pos)
    pos += n3 + 7 & -4
    v4, v5, v6, v7 = _r6[n4](buf, pos)
    pos += n4 + 23 & -4
    return nlm4_unlockargs(v1, nlm4_lock(v2, v3, v4, v5, v6, v7)), pos


def encode_nlm4_unlockargs(value: nlm4_unlockargs, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    v2 = value.alock
    v3 = v2.caller_name
    n2 = len(v3)
    v4 = v2.fh
    n3 = len(v4)
    v5 = v2.oh
    n4 = len(v5)
    put(_q1[n1](n1, v1) + _q5[n2](n2, v3) + _q1[n3](n3, v4) + _q6[n4](n4, v5, v2.svid, v2.l_offset, v2.l_len))


def format_nlm4_unlockargs(value: nlm4_unlockargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_fsh4_mode(buf: Buffer, pos: int) -> tuple[fsh4_mode, int]:
    (v1,) = _u4(buf, pos)
    return _m_fsh4_mode[v1], pos + 4


def pack_fsh4_mode(value: fsh4_mode) -> bytes:
    return _p4(_m_fsh4_mode[value])


def encode_fsh4_mode(value: fsh4_mode, put: Put) -> None:
    put(pack_fsh4_mode(value))


def format_fsh4_mode(value: fsh4_mode, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_fsh4_access(buf: Buffer, pos: int) -> tuple[fsh4_access, int]:
    (v1,) = _u4(buf, pos)
    return _m_fsh4_access[v1], pos + 4


def pack_fsh4_access(value: fsh4_access) -> bytes:
    return _p4(_m_fsh4_access[value])


def encode_fsh4_access(value: fsh4_access, put: Put) -> None:
    put(pack_fsh4_access(value))


def format_fsh4_access(value: fsh4_access, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_share(buf: Buffer, pos: int) -> tuple[nlm4_share, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r10[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r5[n2](buf, pos)
    pos += n2 + 7 & -4
    v3, v4, v5 = _r11[n3](buf, pos)
    pos += n3 + 11 & -4
    return nlm4_share(v1, v2, v3, _m_fsh4_mode[v4], _m_fsh4_access[v5]), pos


def encode_nlm4_share(value: nlm4_share, put: Put) -> None:
    v1 = value.caller_name
    n1 = len(v1)
    v2 = value.fh
    n2 = len(v2)
    v3 = value.oh
    n3 = len(v3)
    put(_q10[n1](n1, v1) + _q1[n2](n2, v2) + _q11[n3](n3, v3, _m_fsh4_mode[value.mode], _m_fsh4_access[value.access]))


def format_nlm4_share(value: nlm4_share, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_shareargs(buf: Buffer, pos: int) -> tuple[nlm4_shareargs, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r5[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r10[n2](buf, pos)
    pos += n2 + 7 & -4
    v3, n4 = _r5[n3](buf, pos)
    pos += n3 + 7 & -4
    v4, v5, v6, v7 = _r12[n4](buf, pos)
    pos += n4 + 15 & -4
    return nlm4_shareargs(v1, nlm4_share(v2, v3, v4, _m_fsh4_mode[v5], _m_fsh4_access[v6]), _BOOL[v7]), pos


def encode_nlm4_shareargs(value: nlm4_shareargs, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    v2 = value.share
    v3 = v2.caller_name
    n2 = len(v3)
    v4 = v2.fh
    n3 = len(v4)
    v5 = v2.oh
    n4 = len(v5)
    put(_q1[n1](n1, v1) + _q10[n2](n2, v3) + _q1[n3](n3, v4) + _q12[n4](n4, v5, _m_fsh4_mode[v2.mode], _m_fsh4_access[v2.access], value.reclaim))


def format_nlm4_shareargs(value: nlm4_shareargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_shareres(buf: Buffer, pos: int) -> tuple[nlm4_shareres, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3 = _r11[n1](buf, pos + 4)
    pos += n1 + 15 & -4
    return nlm4_shareres(v1, _m_nlm4_stats[v2], v3), pos


def encode_nlm4_shareres(value: nlm4_shareres, put: Put) -> None:
    v1 = value.cookie
    n1 = len(v1)
    put(_q11[n1](n1, v1, _m_nlm4_stats[value.stat], value.sequence))


def format_nlm4_shareres(value: nlm4_shareres, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_notify(buf: Buffer, pos: int) -> tuple[nlm4_notify, int]:
    (n1,) = _u3(buf, pos)
    v1, v2 = _r13[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    return nlm4_notify(v1, v2), pos


def encode_nlm4_notify(value: nlm4_notify, put: Put) -> None:
    v1 = value.name
    n1 = len(v1)
    put(_q13[n1](n1, v1, value.state))


def format_nlm4_notify(value: nlm4_notify, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nlm4_sm_status(buf: Buffer, pos: int) -> tuple[nlm4_sm_status, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3 = _r14[n1](buf, pos + 4)
    pos += n1 + 27 & -4
    return nlm4_sm_status(v1, v2, v3), pos


def encode_nlm4_sm_status(value: nlm4_sm_status, put: Put) -> None:
    v1 = value.mon_name
    n1 = len(v1)
    v2 = value.priv
    if len(v2) != 16:
        raise _too_long("nlm4_sm_status.priv", len(v2), 16)
    put(_q14[n1](n1, v1, value.state, v2))


def format_nlm4_sm_status(value: nlm4_sm_status, depth: int = 4) -> str:
    return _pretty(value, depth)


NLM4_VERS = Program(
    "NLM_PROG",
    100021,
    4,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "TEST",
            decode_nlm4_testargs, encode_nlm4_testargs,
            decode_nlm4_testres, encode_nlm4_testres,
        ),
        2: Proc(
            2, "LOCK",
            decode_nlm4_lockargs, encode_nlm4_lockargs,
            decode_nlm4_res, encode_nlm4_res,
        ),
        3: Proc(
            3, "CANCEL",
            decode_nlm4_cancargs, encode_nlm4_cancargs,
            decode_nlm4_res, encode_nlm4_res,
        ),
        4: Proc(
            4, "UNLOCK",
            decode_nlm4_unlockargs, encode_nlm4_unlockargs,
            decode_nlm4_res, encode_nlm4_res,
        ),
        5: Proc(
            5, "GRANTED",
            decode_nlm4_testargs, encode_nlm4_testargs,
            decode_nlm4_res, encode_nlm4_res,
        ),
        6: Proc(
            6, "TEST_MSG",
            decode_nlm4_testargs, encode_nlm4_testargs,
            _decode_void, _encode_void,
        ),
        7: Proc(
            7, "LOCK_MSG",
            decode_nlm4_lockargs, encode_nlm4_lockargs,
            _decode_void, _encode_void,
        ),
        8: Proc(
            8, "CANCEL_MSG",
            decode_nlm4_cancargs, encode_nlm4_cancargs,
            _decode_void, _encode_void,
        ),
        9: Proc(
            9, "UNLOCK_MSG",
            decode_nlm4_unlockargs, encode_nlm4_unlockargs,
            _decode_void, _encode_void,
        ),
        10: Proc(
            10, "GRANTED_MSG",
            decode_nlm4_testargs, encode_nlm4_testargs,
            _decode_void, _encode_void,
        ),
        11: Proc(
            11, "TEST_RES",
            decode_nlm4_testres, encode_nlm4_testres,
            _decode_void, _encode_void,
        ),
        12: Proc(
            12, "LOCK_RES",
            decode_nlm4_res, encode_nlm4_res,
            _decode_void, _encode_void,
        ),
        13: Proc(
            13, "CANCEL_RES",
            decode_nlm4_res, encode_nlm4_res,
            _decode_void, _encode_void,
        ),
        14: Proc(
            14, "UNLOCK_RES",
            decode_nlm4_res, encode_nlm4_res,
            _decode_void, _encode_void,
        ),
        15: Proc(
            15, "GRANTED_RES",
            decode_nlm4_res, encode_nlm4_res,
            _decode_void, _encode_void,
        ),
        16: Proc(
            16, "SM_NOTIFY",
            decode_nlm4_sm_status, encode_nlm4_sm_status,
            _decode_void, _encode_void,
        ),
        20: Proc(
            20, "SHARE",
            decode_nlm4_shareargs, encode_nlm4_shareargs,
            decode_nlm4_shareres, encode_nlm4_shareres,
        ),
        21: Proc(
            21, "UNSHARE",
            decode_nlm4_shareargs, encode_nlm4_shareargs,
            decode_nlm4_shareres, encode_nlm4_shareres,
        ),
        22: Proc(
            22, "NM_LOCK",
            decode_nlm4_lockargs, encode_nlm4_lockargs,
            decode_nlm4_res, encode_nlm4_res,
        ),
        23: Proc(
            23, "FREE_ALL",
            decode_nlm4_notify, encode_nlm4_notify,
            _decode_void, _encode_void,
        ),
    },
)


class NLM4_VERS_Client:
    """NLM_PROG version 4, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[0], args, timeout)
        return result

    async def TEST(
        self, args: nlm4_testargs, *, timeout: float | None = None
    ) -> nlm4_testres:
        result: nlm4_testres = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[1], args, timeout)
        return result

    async def LOCK(
        self, args: nlm4_lockargs, *, timeout: float | None = None
    ) -> nlm4_res:
        result: nlm4_res = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[2], args, timeout)
        return result

    async def CANCEL(
        self, args: nlm4_cancargs, *, timeout: float | None = None
    ) -> nlm4_res:
        result: nlm4_res = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[3], args, timeout)
        return result

    async def UNLOCK(
        self, args: nlm4_unlockargs, *, timeout: float | None = None
    ) -> nlm4_res:
        result: nlm4_res = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[4], args, timeout)
        return result

    async def GRANTED(
        self, args: nlm4_testargs, *, timeout: float | None = None
    ) -> nlm4_res:
        result: nlm4_res = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[5], args, timeout)
        return result

    async def TEST_MSG(
        self, args: nlm4_testargs, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[6], args, timeout)
        return result

    async def LOCK_MSG(
        self, args: nlm4_lockargs, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[7], args, timeout)
        return result

    async def CANCEL_MSG(
        self, args: nlm4_cancargs, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[8], args, timeout)
        return result

    async def UNLOCK_MSG(
        self, args: nlm4_unlockargs, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[9], args, timeout)
        return result

    async def GRANTED_MSG(
        self, args: nlm4_testargs, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[10], args, timeout)
        return result

    async def TEST_RES(
        self, args: nlm4_testres, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[11], args, timeout)
        return result

    async def LOCK_RES(
        self, args: nlm4_res, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[12], args, timeout)
        return result

    async def CANCEL_RES(
        self, args: nlm4_res, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[13], args, timeout)
        return result

    async def UNLOCK_RES(
        self, args: nlm4_res, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[14], args, timeout)
        return result

    async def GRANTED_RES(
        self, args: nlm4_res, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[15], args, timeout)
        return result

    async def SM_NOTIFY(
        self, args: nlm4_sm_status, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[16], args, timeout)
        return result

    async def SHARE(
        self, args: nlm4_shareargs, *, timeout: float | None = None
    ) -> nlm4_shareres:
        result: nlm4_shareres = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[20], args, timeout)
        return result

    async def UNSHARE(
        self, args: nlm4_shareargs, *, timeout: float | None = None
    ) -> nlm4_shareres:
        result: nlm4_shareres = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[21], args, timeout)
        return result

    async def NM_LOCK(
        self, args: nlm4_lockargs, *, timeout: float | None = None
    ) -> nlm4_res:
        result: nlm4_res = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[22], args, timeout)
        return result

    async def FREE_ALL(
        self, args: nlm4_notify, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NLM4_VERS, NLM4_VERS.procs[23], args, timeout)
        return result


class NLM4_VERS_Service(Service):
    """NLM_PROG version 4, to be served."""

    PROGRAM = NLM4_VERS

    async def TEST(self, call: Any, args: nlm4_testargs) -> nlm4_testres:
        raise _ProcUnavail("TEST")

    async def LOCK(self, call: Any, args: nlm4_lockargs) -> nlm4_res:
        raise _ProcUnavail("LOCK")

    async def CANCEL(self, call: Any, args: nlm4_cancargs) -> nlm4_res:
        raise _ProcUnavail("CANCEL")

    async def UNLOCK(self, call: Any, args: nlm4_unlockargs) -> nlm4_res:
        raise _ProcUnavail("UNLOCK")

    async def GRANTED(self, call: Any, args: nlm4_testargs) -> nlm4_res:
        raise _ProcUnavail("GRANTED")

    async def TEST_MSG(self, call: Any, args: nlm4_testargs) -> None:
        raise _ProcUnavail("TEST_MSG")

    async def LOCK_MSG(self, call: Any, args: nlm4_lockargs) -> None:
        raise _ProcUnavail("LOCK_MSG")

    async def CANCEL_MSG(self, call: Any, args: nlm4_cancargs) -> None:
        raise _ProcUnavail("CANCEL_MSG")

    async def UNLOCK_MSG(self, call: Any, args: nlm4_unlockargs) -> None:
        raise _ProcUnavail("UNLOCK_MSG")

    async def GRANTED_MSG(self, call: Any, args: nlm4_testargs) -> None:
        raise _ProcUnavail("GRANTED_MSG")

    async def TEST_RES(self, call: Any, args: nlm4_testres) -> None:
        raise _ProcUnavail("TEST_RES")

    async def LOCK_RES(self, call: Any, args: nlm4_res) -> None:
        raise _ProcUnavail("LOCK_RES")

    async def CANCEL_RES(self, call: Any, args: nlm4_res) -> None:
        raise _ProcUnavail("CANCEL_RES")

    async def UNLOCK_RES(self, call: Any, args: nlm4_res) -> None:
        raise _ProcUnavail("UNLOCK_RES")

    async def GRANTED_RES(self, call: Any, args: nlm4_res) -> None:
        raise _ProcUnavail("GRANTED_RES")

    async def SM_NOTIFY(self, call: Any, args: nlm4_sm_status) -> None:
        raise _ProcUnavail("SM_NOTIFY")

    async def SHARE(self, call: Any, args: nlm4_shareargs) -> nlm4_shareres:
        raise _ProcUnavail("SHARE")

    async def UNSHARE(self, call: Any, args: nlm4_shareargs) -> nlm4_shareres:
        raise _ProcUnavail("UNSHARE")

    async def NM_LOCK(self, call: Any, args: nlm4_lockargs) -> nlm4_res:
        raise _ProcUnavail("NM_LOCK")

    async def FREE_ALL(self, call: Any, args: nlm4_notify) -> None:
        raise _ProcUnavail("FREE_ALL")
