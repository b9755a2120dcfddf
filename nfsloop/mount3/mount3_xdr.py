# generated from mount3.x by oncrpc.rpcgen; do not edit
"""The types, codecs and programs of mount3.x."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import (
    Struct,
    pack as _pack,
    unpack_from as _unpack_from,
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

MNTPATHLEN = 1024
MNTNAMLEN = 255
FHSIZE = 32
FHSIZE3 = 64
MOUNT_PROGRAM = 100005


class mountstat3(IntEnum):
    """enum mountstat3."""

    MNT3_OK = 0
    MNT3ERR_PERM = 1
    MNT3ERR_NOENT = 2
    MNT3ERR_IO = 5
    MNT3ERR_ACCES = 13
    MNT3ERR_NOTDIR = 20
    MNT3ERR_INVAL = 22
    MNT3ERR_NAMETOOLONG = 63
    MNT3ERR_NOTSUPP = 10004
    MNT3ERR_SERVERFAULT = 10006


MNT3_OK = mountstat3.MNT3_OK
MNT3ERR_PERM = mountstat3.MNT3ERR_PERM
MNT3ERR_NOENT = mountstat3.MNT3ERR_NOENT
MNT3ERR_IO = mountstat3.MNT3ERR_IO
MNT3ERR_ACCES = mountstat3.MNT3ERR_ACCES
MNT3ERR_NOTDIR = mountstat3.MNT3ERR_NOTDIR
MNT3ERR_INVAL = mountstat3.MNT3ERR_INVAL
MNT3ERR_NAMETOOLONG = mountstat3.MNT3ERR_NAMETOOLONG
MNT3ERR_NOTSUPP = mountstat3.MNT3ERR_NOTSUPP
MNT3ERR_SERVERFAULT = mountstat3.MNT3ERR_SERVERFAULT
_m_mountstat3 = _EnumTable("mountstat3", {m.value: m for m in mountstat3})


@dataclass(slots=True)
class mountres3_ok:
    """struct mountres3_ok."""

    fhandle: fhandle3
    auth_flavors: list[int]


@dataclass(slots=True)
class mountres3:
    """union mountres3: `value` is the arm that `fhs_status` selects, None for void."""

    fhs_status: mountstat3
    value: mountres3_ok | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'mountinfo', None: 'void'}

    @property
    def mountinfo(self) -> mountres3_ok:
        """The arm of MNT3_OK. Raises XdrError if another is selected."""
        if self.fhs_status not in (0,):
            raise _no_value("mountinfo", self.fhs_status)
        return cast("mountres3_ok", self.value)


@dataclass(slots=True)
class mountbody:
    """one node of a linked list mountbody."""

    ml_hostname: name
    ml_directory: dirpath


@dataclass(slots=True)
class groupnode:
    """one node of a linked list groupnode."""

    gr_name: name


@dataclass(slots=True)
class exportnode:
    """one node of a linked list exportnode."""

    ex_dir: dirpath
    ex_groups: groups


@dataclass(slots=True)
class fhstatus:
    """union fhstatus: `value` is the arm that `fhs_status` selects, None for void."""

    fhs_status: int
    value: fhandle1 | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'fhs_fhandle', None: 'void'}

    @property
    def fhs_fhandle(self) -> fhandle1:
        """The arm of 0. Raises XdrError if another is selected."""
        if self.fhs_status not in (0,):
            raise _no_value("fhs_fhandle", self.fhs_status)
        return cast("fhandle1", self.value)

fhandle1: TypeAlias = bytes
fhandle3: TypeAlias = bytes
dirpath: TypeAlias = bytes
name: TypeAlias = bytes
mountlist: TypeAlias = list[mountbody]
groups: TypeAlias = list[groupnode]
exports: TypeAlias = list[exportnode]

_u1 = Struct(">32s").unpack_from
_p1 = Struct(">32s").pack
_u2 = Struct(">I").unpack_from
_r1 = _UnpackTable("fhandle3", 64, "")
_q1 = _PackTable("fhandle3", 64, "I", "")
_r2 = _UnpackTable("dirpath", 1024, "")
_q2 = _PackTable("dirpath", 1024, "I", "")
_r3 = _UnpackTable("name", 255, "")
_q3 = _PackTable("name", 255, "I", "")
_u3 = Struct(">i").unpack_from
_p2 = Struct(">i").pack
_r4 = _UnpackTable("fhandle3", 64, "I")
_q4 = _PackTable("fhandle3", 64, "I", "I")
_q5 = _PackTable("fhandle3", 64, "iI", "I")
_r5 = _UnpackTable("name", 255, "I")
_r6 = _UnpackTable("dirpath", 1024, "I")
_q6 = _PackTable("name", 255, "2I", "")
_q7 = _PackTable("dirpath", 1024, "2I", "")
_p3 = Struct(">I32s").pack
_p4 = Struct(">I").pack


def decode_fhandle1(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (v1,) = _u1(buf, pos)
    return v1, pos + 32


def pack_fhandle1(value: bytes) -> bytes:
    if len(value) != 32:
        raise _too_long("fhandle1", len(value), 32)
    return _p1(value)


def encode_fhandle1(value: bytes, put: Put) -> None:
    put(pack_fhandle1(value))


def format_fhandle1(value: fhandle1, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_fhandle3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r1[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_fhandle3(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q1[n1](n1, value))


def format_fhandle3(value: fhandle3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_dirpath(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r2[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_dirpath(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q2[n1](n1, value))


def format_dirpath(value: dirpath, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_name(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_name(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q3[n1](n1, value))


def format_name(value: name, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mountstat3(buf: Buffer, pos: int) -> tuple[mountstat3, int]:
    (v1,) = _u3(buf, pos)
    return _m_mountstat3[v1], pos + 4


def pack_mountstat3(value: mountstat3) -> bytes:
    return _p2(_m_mountstat3[value])


def encode_mountstat3(value: mountstat3, put: Put) -> None:
    put(pack_mountstat3(value))


def format_mountstat3(value: mountstat3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mountres3_ok(buf: Buffer, pos: int) -> tuple[mountres3_ok, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2 = list(_unpack_from(f">{n2}i", buf, pos))
    pos += n2 * 4
    return mountres3_ok(v1, v2), pos


def encode_mountres3_ok(value: mountres3_ok, put: Put) -> None:
    v1 = value.fhandle
    n1 = len(v1)
    v2 = value.auth_flavors
    n2 = len(v2)
    put(_q4[n1](n1, v1, n2) + _pack(f">{n2}i", *v2))


def format_mountres3_ok(value: mountres3_ok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mountres3(buf: Buffer, pos: int) -> tuple[mountres3, int]:
    (n1,) = _u3(buf, pos)
    if n1 == 0:
        (n2,) = _u2(buf, pos + 4)
        v1, n3 = _r4[n2](buf, pos + 8)
        pos += n2 + 15 & -4
        v2 = list(_unpack_from(f">{n3}i", buf, pos))
        pos += n3 * 4
        return mountres3(MNT3_OK, mountres3_ok(v1, v2)), pos
    return mountres3(_m_mountstat3[n1], None), pos + 4


def encode_mountres3(value: mountres3, put: Put) -> None:
    d1 = value.fhs_status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.fhandle
        n1 = len(v2)
        v3 = v1.auth_flavors
        n2 = len(v3)
        put(_q5[n1](0, n1, v2, n2) + _pack(f">{n2}i", *v3))
    else:
        if v1 is not None:
            raise _no_value("mountres3", v1)
        put(_p2(_m_mountstat3[d1]))


def format_mountres3(value: mountres3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mountlist(buf: Buffer, pos: int) -> tuple[list[mountbody], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[mountbody] = []
    while n1 == 1:
        (n2,) = _u2(buf, pos)
        v2, n3 = _r5[n2](buf, pos + 4)
        pos += n2 + 11 & -4
        v3, n1 = _r6[n3](buf, pos)
        pos += n3 + 7 & -4
        v1.append(mountbody(v2, v3))
    if n1:
        raise _no_value("mountlist", n1)
    return v1, pos


def encode_mountlist(value: list[mountbody], put: Put) -> None:
    for v1 in value:
        v2 = v1.ml_hostname
        n1 = len(v2)
        v3 = v1.ml_directory
        n2 = len(v3)
        put(_q6[n1](1, n1, v2) + _q2[n2](n2, v3))
    put(b'\x00\x00\x00\x00')


def format_mountlist(value: mountlist, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mountbody(buf: Buffer, pos: int) -> tuple[mountbody, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r5[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r2[n2](buf, pos)
    pos += n2 + 3 & -4
    return mountbody(v1, v2), pos


def encode_mountbody(value: mountbody, put: Put) -> None:
    v1 = value.ml_hostname
    n1 = len(v1)
    v2 = value.ml_directory
    n2 = len(v2)
    put(_q3[n1](n1, v1) + _q2[n2](n2, v2))


def format_mountbody(value: mountbody, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_groups(buf: Buffer, pos: int) -> tuple[list[groupnode], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[groupnode] = []
    while n1 == 1:
        (n2,) = _u2(buf, pos)
        v2, n1 = _r5[n2](buf, pos + 4)
        pos += n2 + 11 & -4
        v1.append(groupnode(v2))
    if n1:
        raise _no_value("groups", n1)
    return v1, pos


def encode_groups(value: list[groupnode], put: Put) -> None:
    for v1 in value:
        v2 = v1.gr_name
        n1 = len(v2)
        put(_q6[n1](1, n1, v2))
    put(b'\x00\x00\x00\x00')


def format_groups(value: groups, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_groupnode(buf: Buffer, pos: int) -> tuple[groupnode, int]:
    (n1,) = _u2(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return groupnode(v1), pos


def encode_groupnode(value: groupnode, put: Put) -> None:
    v1 = value.gr_name
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_groupnode(value: groupnode, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_exports(buf: Buffer, pos: int) -> tuple[list[exportnode], int]:
    (n1,) = _u2(buf, pos)
    pos += 4
    v1: list[exportnode] = []
    while n1 == 1:
        (n2,) = _u2(buf, pos)
        v2, n3 = _r6[n2](buf, pos + 4)
        pos += n2 + 11 & -4
        v3: list[groupnode] = []
        while n3 == 1:
            (n4,) = _u2(buf, pos)
            v4, n3 = _r5[n4](buf, pos + 4)
            pos += n4 + 11 & -4
            v3.append(groupnode(v4))
        if n3:
            raise _no_value("groups", n3)
        (n1,) = _u2(buf, pos)
        pos += 4
        v1.append(exportnode(v2, v3))
    if n1:
        raise _no_value("exports", n1)
    return v1, pos


def encode_exports(value: list[exportnode], put: Put) -> None:
    for v1 in value:
        v2 = v1.ex_dir
        n1 = len(v2)
        put(_q7[n1](1, n1, v2))
        for v3 in v1.ex_groups:
            v4 = v3.gr_name
            n2 = len(v4)
            put(_q6[n2](1, n2, v4))
        put(b'\x00\x00\x00\x00')
    put(b'\x00\x00\x00\x00')


def format_exports(value: exports, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_exportnode(buf: Buffer, pos: int) -> tuple[exportnode, int]:
    (n1,) = _u2(buf, pos)
    v1, n2 = _r6[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2: list[groupnode] = []
    while n2 == 1:
        (n3,) = _u2(buf, pos)
        v3, n2 = _r5[n3](buf, pos + 4)
        pos += n3 + 11 & -4
        v2.append(groupnode(v3))
    if n2:
        raise _no_value("groups", n2)
    return exportnode(v1, v2), pos


def encode_exportnode(value: exportnode, put: Put) -> None:
    v1 = value.ex_dir
    n1 = len(v1)
    put(_q2[n1](n1, v1))
    for v2 in value.ex_groups:
        v3 = v2.gr_name
        n2 = len(v3)
        put(_q6[n2](1, n2, v3))
    put(b'\x00\x00\x00\x00')


def format_exportnode(value: exportnode, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_fhstatus(buf: Buffer, pos: int) -> tuple[fhstatus, int]:
    (n1,) = _u2(buf, pos)
    if n1 == 0:
        (v1,) = _u1(buf, pos + 4)
        return fhstatus(0, v1), pos + 36
    return fhstatus(n1, None), pos + 4


def encode_fhstatus(value: fhstatus, put: Put) -> None:
    d1 = value.fhs_status
    v1: Any = value.value
    if d1 == 0:
        if len(v1) != 32:
            raise _too_long("fhandle1", len(v1), 32)
        put(_p3(0, v1))
    else:
        if v1 is not None:
            raise _no_value("fhstatus", v1)
        put(_p4(d1))


def format_fhstatus(value: fhstatus, depth: int = 4) -> str:
    return _pretty(value, depth)


MOUNT_V1 = Program(
    "MOUNT_PROGRAM",
    100005,
    1,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "MNT",
            decode_dirpath, encode_dirpath,
            decode_fhstatus, encode_fhstatus,
        ),
        2: Proc(
            2, "DUMP",
            _decode_void, _encode_void,
            decode_mountlist, encode_mountlist,
        ),
        3: Proc(
            3, "UMNT",
            decode_dirpath, encode_dirpath,
            _decode_void, _encode_void,
        ),
        4: Proc(
            4, "UMNTALL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        5: Proc(
            5, "EXPORT",
            _decode_void, _encode_void,
            decode_exports, encode_exports,
        ),
        6: Proc(
            6, "EXPORTALL",
            _decode_void, _encode_void,
            decode_exports, encode_exports,
        ),
    },
)


class MOUNT_V1_Client:
    """MOUNT_PROGRAM version 1, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[0], args, timeout)
        return result

    async def MNT(
        self, args: dirpath, *, timeout: float | None = None
    ) -> fhstatus:
        result: fhstatus = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[1], args, timeout)
        return result

    async def DUMP(
        self, args: None = None, *, timeout: float | None = None
    ) -> mountlist:
        result: mountlist = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[2], args, timeout)
        return result

    async def UMNT(
        self, args: dirpath, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[3], args, timeout)
        return result

    async def UMNTALL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[4], args, timeout)
        return result

    async def EXPORT(
        self, args: None = None, *, timeout: float | None = None
    ) -> exports:
        result: exports = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[5], args, timeout)
        return result

    async def EXPORTALL(
        self, args: None = None, *, timeout: float | None = None
    ) -> exports:
        result: exports = await self._caller.call(MOUNT_V1, MOUNT_V1.procs[6], args, timeout)
        return result


class MOUNT_V1_Service(Service):
    """MOUNT_PROGRAM version 1, to be served."""

    PROGRAM = MOUNT_V1

    async def MNT(self, call: Any, args: dirpath) -> fhstatus:
        raise _ProcUnavail("MNT")

    async def DUMP(self, call: Any, args: None) -> mountlist:
        raise _ProcUnavail("DUMP")

    async def UMNT(self, call: Any, args: dirpath) -> None:
        raise _ProcUnavail("UMNT")

    async def UMNTALL(self, call: Any, args: None) -> None:
        raise _ProcUnavail("UMNTALL")

    async def EXPORT(self, call: Any, args: None) -> exports:
        raise _ProcUnavail("EXPORT")

    async def EXPORTALL(self, call: Any, args: None) -> exports:
        raise _ProcUnavail("EXPORTALL")


MOUNT_V3 = Program(
    "MOUNT_PROGRAM",
    100005,
    3,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "MNT",
            decode_dirpath, encode_dirpath,
            decode_mountres3, encode_mountres3,
        ),
        2: Proc(
            2, "DUMP",
            _decode_void, _encode_void,
            decode_mountlist, encode_mountlist,
        ),
        3: Proc(
            3, "UMNT",
            decode_dirpath, encode_dirpath,
            _decode_void, _encode_void,
        ),
        4: Proc(
            4, "UMNTALL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        5: Proc(
            5, "EXPORT",
            _decode_void, _encode_void,
            decode_exports, encode_exports,
        ),
    },
)


class MOUNT_V3_Client:
    """MOUNT_PROGRAM version 3, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[0], args, timeout)
        return result

    async def MNT(
        self, args: dirpath, *, timeout: float | None = None
    ) -> mountres3:
        result: mountres3 = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[1], args, timeout)
        return result

    async def DUMP(
        self, args: None = None, *, timeout: float | None = None
    ) -> mountlist:
        result: mountlist = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[2], args, timeout)
        return result

    async def UMNT(
        self, args: dirpath, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[3], args, timeout)
        return result

    async def UMNTALL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[4], args, timeout)
        return result

    async def EXPORT(
        self, args: None = None, *, timeout: float | None = None
    ) -> exports:
        result: exports = await self._caller.call(MOUNT_V3, MOUNT_V3.procs[5], args, timeout)
        return result


class MOUNT_V3_Service(Service):
    """MOUNT_PROGRAM version 3, to be served."""

    PROGRAM = MOUNT_V3

    async def MNT(self, call: Any, args: dirpath) -> mountres3:
        raise _ProcUnavail("MNT")

    async def DUMP(self, call: Any, args: None) -> mountlist:
        raise _ProcUnavail("DUMP")

    async def UMNT(self, call: Any, args: dirpath) -> None:
        raise _ProcUnavail("UMNT")

    async def UMNTALL(self, call: Any, args: None) -> None:
        raise _ProcUnavail("UMNTALL")

    async def EXPORT(self, call: Any, args: None) -> exports:
        raise _ProcUnavail("EXPORT")
