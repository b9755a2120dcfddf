# generated from portmap.x by oncrpc.rpcgen; do not edit
"""The types, codecs and programs of portmap.x."""

from __future__ import annotations

from dataclasses import dataclass
from struct import (
    Struct,
    pack as _pack,
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
    BOOL as _BOOL,
    PAD as _PAD,
    Buffer,
    PackTable as _PackTable,
    Put,
    UnpackTable as _UnpackTable,
    decode_void as _decode_void,
    encode_void as _encode_void,
    no_value as _no_value,
    pretty as _pretty,
    too_long as _too_long,
    truncated as _truncated,
)

PMAP_PORT = 111
PMAP_IPPROTO_TCP = 6
PMAP_IPPROTO_UDP = 17
RPCB_PORT = 111
rpcb_highproc_2 = 5
rpcb_highproc_3 = 8
rpcb_highproc_4 = 12
RPCBSTAT_HIGHPROC = 13
RPCBVERS_STAT = 3
RPCBVERS_4_STAT = 2
RPCBVERS_3_STAT = 1
RPCBVERS_2_STAT = 0
PMAP_PROG = 100000
RPCBPROG = 100000


@dataclass(slots=True)
class mapping:
    """struct mapping."""

    prog: int
    vers: int
    prot: int
    port: int


@dataclass(slots=True)
class pmaplist_node:
    """one node of a linked list pmaplist_node."""

    map: mapping


@dataclass(slots=True)
class call_args:
    """struct call_args."""

    prog: int
    vers: int
    proc: int
    args: Buffer


@dataclass(slots=True)
class call_result:
    """struct call_result."""

    port: int
    res: Buffer


@dataclass(slots=True)
class rpcb:
    """struct rpcb."""

    r_prog: int
    r_vers: int
    r_netid: bytes
    r_addr: bytes
    r_owner: bytes


@dataclass(slots=True)
class rp__list:
    """one node of a linked list rp__list."""

    rpcb_map: rpcb


@dataclass(slots=True)
class rpcb_rmtcallargs:
    """struct rpcb_rmtcallargs."""

    prog: int
    vers: int
    proc: int
    args: Buffer


@dataclass(slots=True)
class rpcb_rmtcallres:
    """struct rpcb_rmtcallres."""

    addr: bytes
    results: Buffer


@dataclass(slots=True)
class rpcb_entry:
    """struct rpcb_entry."""

    r_maddr: bytes
    r_nc_netid: bytes
    r_nc_semantics: int
    r_nc_protofmly: bytes
    r_nc_proto: bytes


@dataclass(slots=True)
class rpcb_entry_list:
    """one node of a linked list rpcb_entry_list."""

    rpcb_entry_map: rpcb_entry


@dataclass(slots=True)
class rpcbs_addrlist:
    """one node of a linked list rpcbs_addrlist."""

    prog: int
    vers: int
    success: int
    failure: int
    netid: bytes


@dataclass(slots=True)
class rpcbs_rmtcalllist:
    """one node of a linked list rpcbs_rmtcalllist."""

    prog: int
    vers: int
    proc: int
    success: int
    failure: int
    indirect: int
    netid: bytes


@dataclass(slots=True)
class rpcb_stat:
    """struct rpcb_stat."""

    info: rpcbs_proc
    setinfo: int
    unsetinfo: int
    addrinfo: rpcbs_addrlist_ptr
    rmtinfo: rpcbs_rmtcalllist_ptr


@dataclass(slots=True)
class netbuf:
    """struct netbuf."""

    maxlen: int
    buf: Buffer

pmaplist: TypeAlias = list[pmaplist_node]
rpcblist_ptr: TypeAlias = list[rp__list]
rpcb_entry_list_ptr: TypeAlias = list[rpcb_entry_list]
rpcbs_proc: TypeAlias = list[int]
rpcbs_addrlist_ptr: TypeAlias = list[rpcbs_addrlist]
rpcbs_rmtcalllist_ptr: TypeAlias = list[rpcbs_rmtcalllist]
rpcb_stat_byvers: TypeAlias = list[rpcb_stat]

_u1 = Struct(">4I").unpack_from
_p1 = Struct(">4I").pack
_u2 = Struct(">I").unpack_from
_u3 = Struct(">5I").unpack_from
_p2 = Struct(">5I").pack
_u4 = Struct(">2I").unpack_from
_p3 = Struct(">2I").pack
_u5 = Struct(">3I").unpack_from
_r1 = _UnpackTable("rpcb.r_netid", None, "I")
_r2 = _UnpackTable("rpcb.r_addr", None, "I")
_r3 = _UnpackTable("rpcb.r_owner", None, "")
_q1 = _PackTable("rpcb.r_netid", None, "3I", "")
_q2 = _PackTable("rpcb.r_addr", None, "I", "")
_q3 = _PackTable("rpcb.r_owner", None, "I", "")
_r4 = _UnpackTable("rpcb.r_owner", None, "I")
_q4 = _PackTable("rpcb.r_netid", None, "4I", "")
_r5 = _UnpackTable("rpcb_rmtcallres.addr", None, "I")
_q5 = _PackTable("rpcb_rmtcallres.addr", None, "I", "I")
_r6 = _UnpackTable("rpcb_entry.r_maddr", None, "I")
_r7 = _UnpackTable("rpcb_entry.r_nc_netid", None, "2I")
_r8 = _UnpackTable("rpcb_entry.r_nc_protofmly", None, "I")
_r9 = _UnpackTable("rpcb_entry.r_nc_proto", None, "")
_q6 = _PackTable("rpcb_entry.r_maddr", None, "I", "")
_q7 = _PackTable("rpcb_entry.r_nc_netid", None, "I", "I")
_q8 = _PackTable("rpcb_entry.r_nc_protofmly", None, "I", "")
_q9 = _PackTable("rpcb_entry.r_nc_proto", None, "I", "")
_r10 = _UnpackTable("rpcb_entry.r_nc_proto", None, "I")
_q10 = _PackTable("rpcb_entry.r_maddr", None, "2I", "")
_u6 = Struct(">2I2iI").unpack_from
_r11 = _UnpackTable("rpcbs_addrlist.netid", None, "")
_q11 = _PackTable("rpcbs_addrlist.netid", None, "2I2iI", "")
_u7 = Struct(">3I3iI").unpack_from
_r12 = _UnpackTable("rpcbs_rmtcalllist.netid", None, "")
_q12 = _PackTable("rpcbs_rmtcalllist.netid", None, "3I3iI", "")
_u8 = Struct(">13i").unpack_from
_r13 = _UnpackTable("rpcbs_addrlist.netid", None, "I")
_q13 = _PackTable("rpcbs_addrlist.netid", None, "3I2iI", "")
_r14 = _UnpackTable("rpcbs_rmtcalllist.netid", None, "I")
_q14 = _PackTable("rpcbs_rmtcalllist.netid", None, "4I3iI", "")
_u9 = Struct(">15iI").unpack_from
_p4 = Struct(">2i").pack
_p5 = Struct(">3x?").pack
_p6 = Struct(">I").pack
_r15 = _UnpackTable("RPCBVERS_RPCBPROC_GETADDR_result", None, "")
_q15 = _PackTable("RPCBVERS_RPCBPROC_GETADDR_result", None, "I", "")
_r16 = _UnpackTable("RPCBVERS_RPCBPROC_UADDR2TADDR_args", None, "")
_q16 = _PackTable("RPCBVERS_RPCBPROC_UADDR2TADDR_args", None, "I", "")
_r17 = _UnpackTable("RPCBVERS_RPCBPROC_TADDR2UADDR_result", None, "")
_q17 = _PackTable("RPCBVERS_RPCBPROC_TADDR2UADDR_result", None, "I", "")
_r18 = _UnpackTable("RPCBVERS4_RPCBPROC_GETADDR_result", None, "")
_q18 = _PackTable("RPCBVERS4_RPCBPROC_GETADDR_result", None, "I", "")
_r19 = _UnpackTable("RPCBVERS4_RPCBPROC_UADDR2TADDR_args", None, "")
_q19 = _PackTable("RPCBVERS4_RPCBPROC_UADDR2TADDR_args", None, "I", "")
_r20 = _UnpackTable("RPCBVERS4_RPCBPROC_TADDR2UADDR_result", None, "")
_q20 = _PackTable("RPCBVERS4_RPCBPROC_TADDR2UADDR_result", None, "I", "")
_r21 = _UnpackTable("RPCBVERS4_RPCBPROC_GETVERSADDR_result", None, "")
_q21 = _PackTable("RPCBVERS4_RPCBPROC_GETVERSADDR_result", None, "I", "")


def decode_mapping(buf: Buffer, pos: int) -> tuple[mapping, int]:
    v1, v2, v3, v4 = _u1(buf, pos)
    return mapping(v1, v2, v3, v4), pos + 16


def pack_mapping(value: mapping) -> bytes:
    return _p1(value.prog, value.vers, value.prot, value.port)


def encode_mapping(value: mapping, put: Put) -> None:
    put(pack_mapping(value))


def format_mapping(value: mapping, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_pmaplist_node(buf: Buffer, pos: int) -> tuple[pmaplist_node, int]:
    v1, v2, v3, v4 = _u1(buf, pos)
    return pmaplist_node(mapping(v1, v2, v3, v4)), pos + 16


def pack_pmaplist_node(value: pmaplist_node) -> bytes:
    v1 = value.map
    return _p1(v1.prog, v1.vers, v1.prot, v1.port)


def encode_pmaplist_node(value: pmaplist_node, put: Put) -> None:
    put(pack_pmaplist_node(value))


def format_pmaplist_node(value: pmaplist_node, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_pmaplist(buf: Buffer, pos: int) -> tuple[list[pmaplist_node], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[pmaplist_node] = []
    while n1 == 1:
        v2, v3, v4, v5, n1 = _u3(buf, pos)
        pos += 20
        v1.append(pmaplist_node(mapping(v2, v3, v4, v5)))
    if n1:
        raise _no_value("pmaplist", n1)
    return v1, pos


def encode_pmaplist(value: list[pmaplist_node], put: Put) -> None:
    for v1 in value:
        v2 = v1.map
        put(_p2(1, v2.prog, v2.vers, v2.prot, v2.port))
    put(b'\x00\x00\x00\x00')


def format_pmaplist(value: pmaplist, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_call_args(buf: Buffer, pos: int) -> tuple[call_args, int]:
    v1, v2, v3, n1 = _u1(buf, pos)
    v4 = buf[pos + 16 : pos + 16 + n1]
    pos += n1 + 19 & -4
    if pos > len(buf):
        raise _truncated("call_args")
    return call_args(v1, v2, v3, v4), pos


def encode_call_args(value: call_args, put: Put) -> None:
    v1 = value.args
    n1 = len(v1)
    put(_p1(value.prog, value.vers, value.proc, n1))
    put(v1)
    if n1 & 3:
        put(_PAD[n1 & 3])


def format_call_args(value: call_args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_call_result(buf: Buffer, pos: int) -> tuple[call_result, int]:
    v1, n1 = _u4(buf, pos)
    v2 = buf[pos + 8 : pos + 8 + n1]
    pos += n1 + 11 & -4
    if pos > len(buf):
        raise _truncated("call_result")
    return call_result(v1, v2), pos


def encode_call_result(value: call_result, put: Put) -> None:
    v1 = value.res
    n1 = len(v1)
    put(_p3(value.port, n1))
    put(v1)
    if n1 & 3:
        put(_PAD[n1 & 3])


def format_call_result(value: call_result, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb(buf: Buffer, pos: int) -> tuple[rpcb, int]:
    v1, v2, n1 = _u5(buf, pos)
    v3, n2 = _r1[n1](buf, pos + 12)
    pos += n1 + 19 & -4
    v4, n3 = _r2[n2](buf, pos)
    pos += n2 + 7 & -4
    (v5,) = _r3[n3](buf, pos)
    pos += n3 + 3 & -4
    return rpcb(v1, v2, v3, v4, v5), pos


def encode_rpcb(value: rpcb, put: Put) -> None:
    v1 = value.r_netid
    n1 = len(v1)
    v2 = value.r_addr
    n2 = len(v2)
    v3 = value.r_owner
    n3 = len(v3)
    put(_q1[n1](value.r_prog, value.r_vers, n1, v1) + _q2[n2](n2, v2) + _q3[n3](n3, v3))


def format_rpcb(value: rpcb, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rp__list(buf: Buffer, pos: int) -> tuple[rp__list, int]:
    v1, v2, n1 = _u5(buf, pos)
    v3, n2 = _r1[n1](buf, pos + 12)
    pos += n1 + 19 & -4
    v4, n3 = _r2[n2](buf, pos)
    pos += n2 + 7 & -4
    (v5,) = _r3[n3](buf, pos)
    pos += n3 + 3 & -4
    return rp__list(rpcb(v1, v2, v3, v4, v5)), pos


def encode_rp__list(value: rp__list, put: Put) -> None:
    v1 = value.rpcb_map
    v2 = v1.r_netid
    n1 = len(v2)
    v3 = v1.r_addr
    n2 = len(v3)
    v4 = v1.r_owner
    n3 = len(v4)
    put(_q1[n1](v1.r_prog, v1.r_vers, n1, v2) + _q2[n2](n2, v3) + _q3[n3](n3, v4))


def format_rp__list(value: rp__list, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcblist_ptr(buf: Buffer, pos: int) -> tuple[list[rp__list], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[rp__list] = []
    while n1 == 1:
        v2, v3, n2 = _u5(buf, pos)
        v4, n3 = _r1[n2](buf, pos + 12)
        pos += n2 + 19 & -4
        v5, n4 = _r2[n3](buf, pos)
        pos += n3 + 7 & -4
        v6, n1 = _r4[n4](buf, pos)
        pos += n4 + 7 & -4
        v1.append(rp__list(rpcb(v2, v3, v4, v5, v6)))
    if n1:
        raise _no_value("rpcblist_ptr", n1)
    return v1, pos


def encode_rpcblist_ptr(value: list[rp__list], put: Put) -> None:
    for v1 in value:
        v2 = v1.rpcb_map
        v3 = v2.r_netid
        n1 = len(v3)
        v4 = v2.r_addr
        n2 = len(v4)
        v5 = v2.r_owner
        n3 = len(v5)
        put(_q4[n1](1, v2.r_prog, v2.r_vers, n1, v3) + _q2[n2](n2, v4) + _q3[n3](n3, v5))
    put(b'\x00\x00\x00\x00')


def format_rpcblist_ptr(value: rpcblist_ptr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_rmtcallargs(buf: Buffer, pos: int) -> tuple[rpcb_rmtcallargs, int]:
    v1, v2, v3, n1 = _u1(buf, pos)
    v4 = buf[pos + 16 : pos + 16 + n1]
    pos += n1 + 19 & -4
    if pos > len(buf):
        raise _truncated("rpcb_rmtcallargs")
    return rpcb_rmtcallargs(v1, v2, v3, v4), pos


def encode_rpcb_rmtcallargs(value: rpcb_rmtcallargs, put: Put) -> None:
    v1 = value.args
    n1 = len(v1)
    put(_p1(value.prog, value.vers, value.proc, n1))
    put(v1)
    if n1 & 3:
        put(_PAD[n1 & 3])


def format_rpcb_rmtcallargs(value: rpcb_rmtcallargs, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_rmtcallres(buf: Buffer, pos: int) -> tuple[rpcb_rmtcallres, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r5[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2 = buf[pos : pos + n2]
    pos += n2 + 3 & -4
    if pos > len(buf):
        raise _truncated("rpcb_rmtcallres")
    return rpcb_rmtcallres(v1, v2), pos


def encode_rpcb_rmtcallres(value: rpcb_rmtcallres, put: Put) -> None:
    v1 = value.addr
    n1 = len(v1)
    v2 = value.results
    n2 = len(v2)
    put(_q5[n1](n1, v1, n2))
    put(v2)
    if n2 & 3:
        put(_PAD[n2 & 3])


def format_rpcb_rmtcallres(value: rpcb_rmtcallres, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_entry(buf: Buffer, pos: int) -> tuple[rpcb_entry, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r6[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, v3, n3 = _r7[n2](buf, pos)
    pos += n2 + 11 & -4
    v4, n4 = _r8[n3](buf, pos)
    pos += n3 + 7 & -4
    (v5,) = _r9[n4](buf, pos)
    pos += n4 + 3 & -4
    return rpcb_entry(v1, v2, v3, v4, v5), pos


def encode_rpcb_entry(value: rpcb_entry, put: Put) -> None:
    v1 = value.r_maddr
    n1 = len(v1)
    v2 = value.r_nc_netid
    n2 = len(v2)
    v3 = value.r_nc_protofmly
    n3 = len(v3)
    v4 = value.r_nc_proto
    n4 = len(v4)
    put(_q6[n1](n1, v1) + _q7[n2](n2, v2, value.r_nc_semantics) + _q8[n3](n3, v3) + _q9[n4](n4, v4))


def format_rpcb_entry(value: rpcb_entry, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_entry_list(buf: Buffer, pos: int) -> tuple[rpcb_entry_list, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r6[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, v3, n3 = _r7[n2](buf, pos)
    pos += n2 + 11 & -4
    v4, n4 = _r8[n3](buf, pos)
    pos += n3 + 7 & -4
    (v5,) = _r9[n4](buf, pos)
    pos += n4 + 3 & -4
    return rpcb_entry_list(rpcb_entry(v1, v2, v3, v4, v5)), pos


def encode_rpcb_entry_list(value: rpcb_entry_list, put: Put) -> None:
    v1 = value.rpcb_entry_map
    v2 = v1.r_maddr
    n1 = len(v2)
    v3 = v1.r_nc_netid
    n2 = len(v3)
    v4 = v1.r_nc_protofmly
    n3 = len(v4)
    v5 = v1.r_nc_proto
    n4 = len(v5)
    put(_q6[n1](n1, v2) + _q7[n2](n2, v3, v1.r_nc_semantics) + _q8[n3](n3, v4) + _q9[n4](n4, v5))


def format_rpcb_entry_list(value: rpcb_entry_list, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_entry_list_ptr(buf: Buffer, pos: int) -> tuple[list[rpcb_entry_list], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[rpcb_entry_list] = []
    while n1 == 1:
        (n2,) = _u2(buf, pos)
        v2, n3 = _r6[n2](buf, pos + 4)
        pos += n2 + 11 & -4
        v3, v4, n4 = _r7[n3](buf, pos)
        pos += n3 + 11 & -4
        v5, n5 = _r8[n4](buf, pos)
        pos += n4 + 7 & -4
        v6, n1 = _r10[n5](buf, pos)
        pos += n5 + 7 & -4
        v1.append(rpcb_entry_list(rpcb_entry(v2, v3, v4, v5, v6)))
    if n1:
        raise _no_value("rpcb_entry_list_ptr", n1)
    return v1, pos


def encode_rpcb_entry_list_ptr(value: list[rpcb_entry_list], put: Put) -> None:
    for v1 in value:
        v2 = v1.rpcb_entry_map
        v3 = v2.r_maddr
        n1 = len(v3)
        v4 = v2.r_nc_netid
        n2 = len(v4)
        v5 = v2.r_nc_protofmly
        n3 = len(v5)
        v6 = v2.r_nc_proto
        n4 = len(v6)
        put(_q10[n1](1, n1, v3) + _q7[n2](n2, v4, v2.r_nc_semantics) + _q8[n3](n3, v5) + _q9[n4](n4, v6))
    put(b'\x00\x00\x00\x00')


def format_rpcb_entry_list_ptr(value: rpcb_entry_list_ptr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcbs_addrlist(buf: Buffer, pos: int) -> tuple[rpcbs_addrlist, int]:
    v1, v2, v3, v4, n1 = _u6(buf, pos)
    (v5,) = _r11[n1](buf, pos + 20)
    pos += n1 + 23 & -4
    return rpcbs_addrlist(v1, v2, v3, v4, v5), pos


def encode_rpcbs_addrlist(value: rpcbs_addrlist, put: Put) -> None:
    v1 = value.netid
    n1 = len(v1)
    put(_q11[n1](value.prog, value.vers, value.success, value.failure, n1, v1))


def format_rpcbs_addrlist(value: rpcbs_addrlist, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcbs_rmtcalllist(buf: Buffer, pos: int) -> tuple[rpcbs_rmtcalllist, int]:
    v1, v2, v3, v4, v5, v6, n1 = _u7(buf, pos)
    (v7,) = _r12[n1](buf, pos + 28)
    pos += n1 + 31 & -4
    return rpcbs_rmtcalllist(v1, v2, v3, v4, v5, v6, v7), pos


def encode_rpcbs_rmtcalllist(value: rpcbs_rmtcalllist, put: Put) -> None:
    v1 = value.netid
    n1 = len(v1)
    put(_q12[n1](value.prog, value.vers, value.proc, value.success, value.failure, value.indirect, n1, v1))


def format_rpcbs_rmtcalllist(value: rpcbs_rmtcalllist, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcbs_proc(buf: Buffer, pos: int) -> tuple[list[int], int]:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13 = _u8(buf, pos)
    return [v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13], pos + 52


def pack_rpcbs_proc(value: list[int]) -> bytes:
    if len(value) != 13:
        raise _too_long("rpcbs_proc", len(value), 13)
    return _pack(">13i", *value)


def encode_rpcbs_proc(value: list[int], put: Put) -> None:
    put(pack_rpcbs_proc(value))


def format_rpcbs_proc(value: rpcbs_proc, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcbs_addrlist_ptr(buf: Buffer, pos: int) -> tuple[list[rpcbs_addrlist], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[rpcbs_addrlist] = []
    while n1 == 1:
        v2, v3, v4, v5, n2 = _u6(buf, pos)
        v6, n1 = _r13[n2](buf, pos + 20)
        pos += n2 + 27 & -4
        v1.append(rpcbs_addrlist(v2, v3, v4, v5, v6))
    if n1:
        raise _no_value("rpcbs_addrlist_ptr", n1)
    return v1, pos


def encode_rpcbs_addrlist_ptr(value: list[rpcbs_addrlist], put: Put) -> None:
    for v1 in value:
        v2 = v1.netid
        n1 = len(v2)
        put(_q13[n1](1, v1.prog, v1.vers, v1.success, v1.failure, n1, v2))
    put(b'\x00\x00\x00\x00')


def format_rpcbs_addrlist_ptr(value: rpcbs_addrlist_ptr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcbs_rmtcalllist_ptr(buf: Buffer, pos: int) -> tuple[list[rpcbs_rmtcalllist], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[rpcbs_rmtcalllist] = []
    while n1 == 1:
        v2, v3, v4, v5, v6, v7, n2 = _u7(buf, pos)
        v8, n1 = _r14[n2](buf, pos + 28)
        pos += n2 + 35 & -4
        v1.append(rpcbs_rmtcalllist(v2, v3, v4, v5, v6, v7, v8))
    if n1:
        raise _no_value("rpcbs_rmtcalllist_ptr", n1)
    return v1, pos


def encode_rpcbs_rmtcalllist_ptr(value: list[rpcbs_rmtcalllist], put: Put) -> None:
    for v1 in value:
        v2 = v1.netid
        n1 = len(v2)
        put(_q14[n1](1, v1.prog, v1.vers, v1.proc, v1.success, v1.failure, v1.indirect, n1, v2))
    put(b'\x00\x00\x00\x00')


def format_rpcbs_rmtcalllist_ptr(value: rpcbs_rmtcalllist_ptr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_stat(buf: Buffer, pos: int) -> tuple[rpcb_stat, int]:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, n1 = _u9(buf, pos)
    pos += 64
    v16: list[rpcbs_addrlist] = []
    while n1 == 1:
        v17, v18, v19, v20, n2 = _u6(buf, pos)
        v21, n1 = _r13[n2](buf, pos + 20)
        pos += n2 + 27 & -4
        v16.append(rpcbs_addrlist(v17, v18, v19, v20, v21))
    if n1:
        raise _no_value("rpcbs_addrlist_ptr", n1)
    (n3,) = _u2(buf, pos)
    pos += 4
    v22: list[rpcbs_rmtcalllist] = []
    while n3 == 1:
        v23, v24, v25, v26, v27, v28, n4 = _u7(buf, pos)
        v29, n3 = _r14[n4](buf, pos + 28)
        pos += n4 + 35 & -4
        v22.append(rpcbs_rmtcalllist(v23, v24, v25, v26, v27, v28, v29))
    if n3:
        raise _no_value("rpcbs_rmtcalllist_ptr", n3)
    return rpcb_stat([v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13], v14, v15, v16, v22), pos


def encode_rpcb_stat(value: rpcb_stat, put: Put) -> None:
    v1 = value.info
    if len(v1) != 13:
        raise _too_long("rpcbs_proc", len(v1), 13)
    put(_pack(">13i", *v1) + _p4(value.setinfo, value.unsetinfo))
    for v2 in value.addrinfo:
        v3 = v2.netid
        n1 = len(v3)
        put(_q13[n1](1, v2.prog, v2.vers, v2.success, v2.failure, n1, v3))
    put(b'\x00\x00\x00\x00')
    for v4 in value.rmtinfo:
        v5 = v4.netid
        n2 = len(v5)
        put(_q14[n2](1, v4.prog, v4.vers, v4.proc, v4.success, v4.failure, v4.indirect, n2, v5))
    put(b'\x00\x00\x00\x00')


def format_rpcb_stat(value: rpcb_stat, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_rpcb_stat_byvers(buf: Buffer, pos: int) -> tuple[list[rpcb_stat], int]:
    if 3 * 68 > len(buf) - pos:
        raise _truncated("rpcb_stat_byvers")
    v1: list[rpcb_stat] = []
    for _ in range(3):
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, n1 = _u9(buf, pos)
        pos += 64
        v17: list[rpcbs_addrlist] = []
        while n1 == 1:
            v18, v19, v20, v21, n2 = _u6(buf, pos)
            v22, n1 = _r13[n2](buf, pos + 20)
            pos += n2 + 27 & -4
            v17.append(rpcbs_addrlist(v18, v19, v20, v21, v22))
        if n1:
            raise _no_value("rpcbs_addrlist_ptr", n1)
        (n3,) = _u2(buf, pos)
        pos += 4
        v23: list[rpcbs_rmtcalllist] = []
        while n3 == 1:
            v24, v25, v26, v27, v28, v29, n4 = _u7(buf, pos)
            v30, n3 = _r14[n4](buf, pos + 28)
            pos += n4 + 35 & -4
            v23.append(rpcbs_rmtcalllist(v24, v25, v26, v27, v28, v29, v30))
        if n3:
            raise _no_value("rpcbs_rmtcalllist_ptr", n3)
        v1.append(rpcb_stat([v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14], v15, v16, v17, v23))
    return v1, pos


def encode_rpcb_stat_byvers(value: list[rpcb_stat], put: Put) -> None:
    if len(value) != 3:
        raise _too_long("rpcb_stat_byvers", len(value), 3)
    for v1 in value:
        v2 = v1.info
        if len(v2) != 13:
            raise _too_long("rpcbs_proc", len(v2), 13)
        put(_pack(">13i", *v2) + _p4(v1.setinfo, v1.unsetinfo))
        for v3 in v1.addrinfo:
            v4 = v3.netid
            n1 = len(v4)
            put(_q13[n1](1, v3.prog, v3.vers, v3.success, v3.failure, n1, v4))
        put(b'\x00\x00\x00\x00')
        for v5 in v1.rmtinfo:
            v6 = v5.netid
            n2 = len(v6)
            put(_q14[n2](1, v5.prog, v5.vers, v5.proc, v5.success, v5.failure, v5.indirect, n2, v6))
        put(b'\x00\x00\x00\x00')


def format_rpcb_stat_byvers(value: rpcb_stat_byvers, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_netbuf(buf: Buffer, pos: int) -> tuple[netbuf, int]:
    v1, n1 = _u4(buf, pos)
    v2 = buf[pos + 8 : pos + 8 + n1]
    pos += n1 + 11 & -4
    if pos > len(buf):
        raise _truncated("netbuf")
    return netbuf(v1, v2), pos


def encode_netbuf(value: netbuf, put: Put) -> None:
    v1 = value.buf
    n1 = len(v1)
    put(_p3(value.maxlen, n1))
    put(v1)
    if n1 & 3:
        put(_PAD[n1 & 3])


def format_netbuf(value: netbuf, depth: int = 4) -> str:
    return _pretty(value, depth)


def _decode_bool(buf: Buffer, pos: int) -> tuple[bool, int]:
    (v1,) = _u2(buf, pos)
    return _BOOL[v1], pos + 4


def _pack_bool(value: bool) -> bytes:
    return _p5(value)


def _encode_bool(value: bool, put: Put) -> None:
    put(_pack_bool(value))


def _decode_unsigned(buf: Buffer, pos: int) -> tuple[int, int]:
    (v1,) = _u2(buf, pos)
    return v1, pos + 4


def _pack_unsigned(value: int) -> bytes:
    return _p6(value)


def _encode_unsigned(value: int, put: Put) -> None:
    put(_pack_unsigned(value))


def _decode_RPCBVERS_RPCBPROC_GETADDR_result(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r15[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS_RPCBPROC_GETADDR_result(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q15[n1](n1, value))


def _decode_RPCBVERS_RPCBPROC_UADDR2TADDR_args(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r16[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS_RPCBPROC_UADDR2TADDR_args(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q16[n1](n1, value))


def _decode_RPCBVERS_RPCBPROC_TADDR2UADDR_result(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r17[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS_RPCBPROC_TADDR2UADDR_result(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q17[n1](n1, value))


def _decode_RPCBVERS4_RPCBPROC_GETADDR_result(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r18[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS4_RPCBPROC_GETADDR_result(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q18[n1](n1, value))


def _decode_RPCBVERS4_RPCBPROC_UADDR2TADDR_args(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r19[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS4_RPCBPROC_UADDR2TADDR_args(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q19[n1](n1, value))


def _decode_RPCBVERS4_RPCBPROC_TADDR2UADDR_result(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r20[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS4_RPCBPROC_TADDR2UADDR_result(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q20[n1](n1, value))


def _decode_RPCBVERS4_RPCBPROC_GETVERSADDR_result(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r21[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def _encode_RPCBVERS4_RPCBPROC_GETVERSADDR_result(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q21[n1](n1, value))


PMAP_VERS = Program(
    "PMAP_PROG",
    100000,
    2,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "SET",
            decode_mapping, encode_mapping,
            _decode_bool, _encode_bool,
        ),
        2: Proc(
            2, "UNSET",
            decode_mapping, encode_mapping,
            _decode_bool, _encode_bool,
        ),
        3: Proc(
            3, "GETPORT",
            decode_mapping, encode_mapping,
            _decode_unsigned, _encode_unsigned,
        ),
        4: Proc(
            4, "DUMP",
            _decode_void, _encode_void,
            decode_pmaplist, encode_pmaplist,
        ),
        5: Proc(
            5, "CALLIT",
            decode_call_args, encode_call_args,
            decode_call_result, encode_call_result,
        ),
    },
)


class PMAP_VERS_Client:
    """PMAP_PROG version 2, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[0], args, timeout)
        return result

    async def SET(
        self, args: mapping, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[1], args, timeout)
        return result

    async def UNSET(
        self, args: mapping, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[2], args, timeout)
        return result

    async def GETPORT(
        self, args: mapping, *, timeout: float | None = None
    ) -> int:
        result: int = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[3], args, timeout)
        return result

    async def DUMP(
        self, args: None = None, *, timeout: float | None = None
    ) -> pmaplist:
        result: pmaplist = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[4], args, timeout)
        return result

    async def CALLIT(
        self, args: call_args, *, timeout: float | None = None
    ) -> call_result:
        result: call_result = await self._caller.call(PMAP_VERS, PMAP_VERS.procs[5], args, timeout)
        return result


class PMAP_VERS_Service(Service):
    """PMAP_PROG version 2, to be served."""

    PROGRAM = PMAP_VERS

    async def SET(self, call: Any, args: mapping) -> bool:
        raise _ProcUnavail("SET")

    async def UNSET(self, call: Any, args: mapping) -> bool:
        raise _ProcUnavail("UNSET")

    async def GETPORT(self, call: Any, args: mapping) -> int:
        raise _ProcUnavail("GETPORT")

    async def DUMP(self, call: Any, args: None) -> pmaplist:
        raise _ProcUnavail("DUMP")

    async def CALLIT(self, call: Any, args: call_args) -> call_result:
        raise _ProcUnavail("CALLIT")


RPCBVERS = Program(
    "RPCBPROG",
    100000,
    3,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "SET",
            decode_rpcb, encode_rpcb,
            _decode_bool, _encode_bool,
        ),
        2: Proc(
            2, "UNSET",
            decode_rpcb, encode_rpcb,
            _decode_bool, _encode_bool,
        ),
        3: Proc(
            3, "GETADDR",
            decode_rpcb, encode_rpcb,
            _decode_RPCBVERS_RPCBPROC_GETADDR_result, _encode_RPCBVERS_RPCBPROC_GETADDR_result,
        ),
        4: Proc(
            4, "DUMP",
            _decode_void, _encode_void,
            decode_rpcblist_ptr, encode_rpcblist_ptr,
        ),
        5: Proc(
            5, "CALLIT",
            decode_rpcb_rmtcallargs, encode_rpcb_rmtcallargs,
            decode_rpcb_rmtcallres, encode_rpcb_rmtcallres,
        ),
        6: Proc(
            6, "GETTIME",
            _decode_void, _encode_void,
            _decode_unsigned, _encode_unsigned,
        ),
        7: Proc(
            7, "UADDR2TADDR",
            _decode_RPCBVERS_RPCBPROC_UADDR2TADDR_args, _encode_RPCBVERS_RPCBPROC_UADDR2TADDR_args,
            decode_netbuf, encode_netbuf,
        ),
        8: Proc(
            8, "TADDR2UADDR",
            decode_netbuf, encode_netbuf,
            _decode_RPCBVERS_RPCBPROC_TADDR2UADDR_result, _encode_RPCBVERS_RPCBPROC_TADDR2UADDR_result,
        ),
    },
)


class RPCBVERS_Client:
    """RPCBPROG version 3, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(RPCBVERS, RPCBVERS.procs[0], args, timeout)
        return result

    async def SET(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(RPCBVERS, RPCBVERS.procs[1], args, timeout)
        return result

    async def UNSET(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(RPCBVERS, RPCBVERS.procs[2], args, timeout)
        return result

    async def GETADDR(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bytes:
        result: bytes = await self._caller.call(RPCBVERS, RPCBVERS.procs[3], args, timeout)
        return result

    async def DUMP(
        self, args: None = None, *, timeout: float | None = None
    ) -> rpcblist_ptr:
        result: rpcblist_ptr = await self._caller.call(RPCBVERS, RPCBVERS.procs[4], args, timeout)
        return result

    async def CALLIT(
        self, args: rpcb_rmtcallargs, *, timeout: float | None = None
    ) -> rpcb_rmtcallres:
        result: rpcb_rmtcallres = await self._caller.call(RPCBVERS, RPCBVERS.procs[5], args, timeout)
        return result

    async def GETTIME(
        self, args: None = None, *, timeout: float | None = None
    ) -> int:
        result: int = await self._caller.call(RPCBVERS, RPCBVERS.procs[6], args, timeout)
        return result

    async def UADDR2TADDR(
        self, args: bytes, *, timeout: float | None = None
    ) -> netbuf:
        result: netbuf = await self._caller.call(RPCBVERS, RPCBVERS.procs[7], args, timeout)
        return result

    async def TADDR2UADDR(
        self, args: netbuf, *, timeout: float | None = None
    ) -> bytes:
        result: bytes = await self._caller.call(RPCBVERS, RPCBVERS.procs[8], args, timeout)
        return result


class RPCBVERS_Service(Service):
    """RPCBPROG version 3, to be served."""

    PROGRAM = RPCBVERS

    async def SET(self, call: Any, args: rpcb) -> bool:
        raise _ProcUnavail("SET")

    async def UNSET(self, call: Any, args: rpcb) -> bool:
        raise _ProcUnavail("UNSET")

    async def GETADDR(self, call: Any, args: rpcb) -> bytes:
        raise _ProcUnavail("GETADDR")

    async def DUMP(self, call: Any, args: None) -> rpcblist_ptr:
        raise _ProcUnavail("DUMP")

    async def CALLIT(self, call: Any, args: rpcb_rmtcallargs) -> rpcb_rmtcallres:
        raise _ProcUnavail("CALLIT")

    async def GETTIME(self, call: Any, args: None) -> int:
        raise _ProcUnavail("GETTIME")

    async def UADDR2TADDR(self, call: Any, args: bytes) -> netbuf:
        raise _ProcUnavail("UADDR2TADDR")

    async def TADDR2UADDR(self, call: Any, args: netbuf) -> bytes:
        raise _ProcUnavail("TADDR2UADDR")


RPCBVERS4 = Program(
    "RPCBPROG",
    100000,
    4,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "SET",
            decode_rpcb, encode_rpcb,
            _decode_bool, _encode_bool,
        ),
        2: Proc(
            2, "UNSET",
            decode_rpcb, encode_rpcb,
            _decode_bool, _encode_bool,
        ),
        3: Proc(
            3, "GETADDR",
            decode_rpcb, encode_rpcb,
            _decode_RPCBVERS4_RPCBPROC_GETADDR_result, _encode_RPCBVERS4_RPCBPROC_GETADDR_result,
        ),
        4: Proc(
            4, "DUMP",
            _decode_void, _encode_void,
            decode_rpcblist_ptr, encode_rpcblist_ptr,
        ),
        5: Proc(
            5, "BCAST",
            decode_rpcb_rmtcallargs, encode_rpcb_rmtcallargs,
            decode_rpcb_rmtcallres, encode_rpcb_rmtcallres,
        ),
        6: Proc(
            6, "GETTIME",
            _decode_void, _encode_void,
            _decode_unsigned, _encode_unsigned,
        ),
        7: Proc(
            7, "UADDR2TADDR",
            _decode_RPCBVERS4_RPCBPROC_UADDR2TADDR_args, _encode_RPCBVERS4_RPCBPROC_UADDR2TADDR_args,
            decode_netbuf, encode_netbuf,
        ),
        8: Proc(
            8, "TADDR2UADDR",
            decode_netbuf, encode_netbuf,
            _decode_RPCBVERS4_RPCBPROC_TADDR2UADDR_result, _encode_RPCBVERS4_RPCBPROC_TADDR2UADDR_result,
        ),
        9: Proc(
            9, "GETVERSADDR",
            decode_rpcb, encode_rpcb,
            _decode_RPCBVERS4_RPCBPROC_GETVERSADDR_result, _encode_RPCBVERS4_RPCBPROC_GETVERSADDR_result,
        ),
        10: Proc(
            10, "INDIRECT",
            decode_rpcb_rmtcallargs, encode_rpcb_rmtcallargs,
            decode_rpcb_rmtcallres, encode_rpcb_rmtcallres,
        ),
        11: Proc(
            11, "GETADDRLIST",
            decode_rpcb, encode_rpcb,
            decode_rpcb_entry_list_ptr, encode_rpcb_entry_list_ptr,
        ),
        12: Proc(
            12, "GETSTAT",
            _decode_void, _encode_void,
            decode_rpcb_stat_byvers, encode_rpcb_stat_byvers,
        ),
    },
)


class RPCBVERS4_Client:
    """RPCBPROG version 4, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[0], args, timeout)
        return result

    async def SET(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[1], args, timeout)
        return result

    async def UNSET(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bool:
        result: bool = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[2], args, timeout)
        return result

    async def GETADDR(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bytes:
        result: bytes = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[3], args, timeout)
        return result

    async def DUMP(
        self, args: None = None, *, timeout: float | None = None
    ) -> rpcblist_ptr:
        result: rpcblist_ptr = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[4], args, timeout)
        return result

    async def BCAST(
        self, args: rpcb_rmtcallargs, *, timeout: float | None = None
    ) -> rpcb_rmtcallres:
        result: rpcb_rmtcallres = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[5], args, timeout)
        return result

    async def GETTIME(
        self, args: None = None, *, timeout: float | None = None
    ) -> int:
        result: int = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[6], args, timeout)
        return result

    async def UADDR2TADDR(
        self, args: bytes, *, timeout: float | None = None
    ) -> netbuf:
        result: netbuf = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[7], args, timeout)
        return result

    async def TADDR2UADDR(
        self, args: netbuf, *, timeout: float | None = None
    ) -> bytes:
        result: bytes = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[8], args, timeout)
        return result

    async def GETVERSADDR(
        self, args: rpcb, *, timeout: float | None = None
    ) -> bytes:
        result: bytes = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[9], args, timeout)
        return result

    async def INDIRECT(
        self, args: rpcb_rmtcallargs, *, timeout: float | None = None
    ) -> rpcb_rmtcallres:
        result: rpcb_rmtcallres = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[10], args, timeout)
        return result

    async def GETADDRLIST(
        self, args: rpcb, *, timeout: float | None = None
    ) -> rpcb_entry_list_ptr:
        result: rpcb_entry_list_ptr = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[11], args, timeout)
        return result

    async def GETSTAT(
        self, args: None = None, *, timeout: float | None = None
    ) -> rpcb_stat_byvers:
        result: rpcb_stat_byvers = await self._caller.call(RPCBVERS4, RPCBVERS4.procs[12], args, timeout)
        return result


class RPCBVERS4_Service(Service):
    """RPCBPROG version 4, to be served."""

    PROGRAM = RPCBVERS4

    async def SET(self, call: Any, args: rpcb) -> bool:
        raise _ProcUnavail("SET")

    async def UNSET(self, call: Any, args: rpcb) -> bool:
        raise _ProcUnavail("UNSET")

    async def GETADDR(self, call: Any, args: rpcb) -> bytes:
        raise _ProcUnavail("GETADDR")

    async def DUMP(self, call: Any, args: None) -> rpcblist_ptr:
        raise _ProcUnavail("DUMP")

    async def BCAST(self, call: Any, args: rpcb_rmtcallargs) -> rpcb_rmtcallres:
        raise _ProcUnavail("BCAST")

    async def GETTIME(self, call: Any, args: None) -> int:
        raise _ProcUnavail("GETTIME")

    async def UADDR2TADDR(self, call: Any, args: bytes) -> netbuf:
        raise _ProcUnavail("UADDR2TADDR")

    async def TADDR2UADDR(self, call: Any, args: netbuf) -> bytes:
        raise _ProcUnavail("TADDR2UADDR")

    async def GETVERSADDR(self, call: Any, args: rpcb) -> bytes:
        raise _ProcUnavail("GETVERSADDR")

    async def INDIRECT(self, call: Any, args: rpcb_rmtcallargs) -> rpcb_rmtcallres:
        raise _ProcUnavail("INDIRECT")

    async def GETADDRLIST(self, call: Any, args: rpcb) -> rpcb_entry_list_ptr:
        raise _ProcUnavail("GETADDRLIST")

    async def GETSTAT(self, call: Any, args: None) -> rpcb_stat_byvers:
        raise _ProcUnavail("GETSTAT")
