# generated from nfs3.x by oncrpc.rpcgen --encoded fattr3 --encoded wcc_attr; do not edit
"""The types, codecs and programs of nfs3.x."""

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
    PAD as _PAD,
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
    truncated as _truncated,
)

NFS3_FHSIZE = 64
NFS3_COOKIEVERFSIZE = 8
NFS3_CREATEVERFSIZE = 8
NFS3_WRITEVERFSIZE = 8
ACCESS3_READ = 0x1
ACCESS3_LOOKUP = 0x2
ACCESS3_MODIFY = 0x4
ACCESS3_EXTEND = 0x8
ACCESS3_DELETE = 0x10
ACCESS3_EXECUTE = 0x20
FSF3_LINK = 0x1
FSF3_SYMLINK = 0x2
FSF3_HOMOGENEOUS = 0x8
FSF3_CANSETTIME = 0x10
NFS_PROGRAM = 100003


class nfsstat3(IntEnum):
    """enum nfsstat3."""

    NFS3_OK = 0
    NFS3ERR_PERM = 1
    NFS3ERR_NOENT = 2
    NFS3ERR_IO = 5
    NFS3ERR_NXIO = 6
    NFS3ERR_ACCES = 13
    NFS3ERR_EXIST = 17
    NFS3ERR_XDEV = 18
    NFS3ERR_NODEV = 19
    NFS3ERR_NOTDIR = 20
    NFS3ERR_ISDIR = 21
    NFS3ERR_INVAL = 22
    NFS3ERR_FBIG = 27
    NFS3ERR_NOSPC = 28
    NFS3ERR_ROFS = 30
    NFS3ERR_MLINK = 31
    NFS3ERR_NAMETOOLONG = 63
    NFS3ERR_NOTEMPTY = 66
    NFS3ERR_DQUOT = 69
    NFS3ERR_STALE = 70
    NFS3ERR_REMOTE = 71
    NFS3ERR_BADHANDLE = 10001
    NFS3ERR_NOT_SYNC = 10002
    NFS3ERR_BAD_COOKIE = 10003
    NFS3ERR_NOTSUPP = 10004
    NFS3ERR_TOOSMALL = 10005
    NFS3ERR_SERVERFAULT = 10006
    NFS3ERR_BADTYPE = 10007
    NFS3ERR_JUKEBOX = 10008


NFS3_OK = nfsstat3.NFS3_OK
NFS3ERR_PERM = nfsstat3.NFS3ERR_PERM
NFS3ERR_NOENT = nfsstat3.NFS3ERR_NOENT
NFS3ERR_IO = nfsstat3.NFS3ERR_IO
NFS3ERR_NXIO = nfsstat3.NFS3ERR_NXIO
NFS3ERR_ACCES = nfsstat3.NFS3ERR_ACCES
NFS3ERR_EXIST = nfsstat3.NFS3ERR_EXIST
NFS3ERR_XDEV = nfsstat3.NFS3ERR_XDEV
NFS3ERR_NODEV = nfsstat3.NFS3ERR_NODEV
NFS3ERR_NOTDIR = nfsstat3.NFS3ERR_NOTDIR
NFS3ERR_ISDIR = nfsstat3.NFS3ERR_ISDIR
NFS3ERR_INVAL = nfsstat3.NFS3ERR_INVAL
NFS3ERR_FBIG = nfsstat3.NFS3ERR_FBIG
NFS3ERR_NOSPC = nfsstat3.NFS3ERR_NOSPC
NFS3ERR_ROFS = nfsstat3.NFS3ERR_ROFS
NFS3ERR_MLINK = nfsstat3.NFS3ERR_MLINK
NFS3ERR_NAMETOOLONG = nfsstat3.NFS3ERR_NAMETOOLONG
NFS3ERR_NOTEMPTY = nfsstat3.NFS3ERR_NOTEMPTY
NFS3ERR_DQUOT = nfsstat3.NFS3ERR_DQUOT
NFS3ERR_STALE = nfsstat3.NFS3ERR_STALE
NFS3ERR_REMOTE = nfsstat3.NFS3ERR_REMOTE
NFS3ERR_BADHANDLE = nfsstat3.NFS3ERR_BADHANDLE
NFS3ERR_NOT_SYNC = nfsstat3.NFS3ERR_NOT_SYNC
NFS3ERR_BAD_COOKIE = nfsstat3.NFS3ERR_BAD_COOKIE
NFS3ERR_NOTSUPP = nfsstat3.NFS3ERR_NOTSUPP
NFS3ERR_TOOSMALL = nfsstat3.NFS3ERR_TOOSMALL
NFS3ERR_SERVERFAULT = nfsstat3.NFS3ERR_SERVERFAULT
NFS3ERR_BADTYPE = nfsstat3.NFS3ERR_BADTYPE
NFS3ERR_JUKEBOX = nfsstat3.NFS3ERR_JUKEBOX
_m_nfsstat3 = _EnumTable("nfsstat3", {m.value: m for m in nfsstat3})


class ftype3(IntEnum):
    """enum ftype3."""

    NF3REG = 1
    NF3DIR = 2
    NF3BLK = 3
    NF3CHR = 4
    NF3LNK = 5
    NF3SOCK = 6
    NF3FIFO = 7


NF3REG = ftype3.NF3REG
NF3DIR = ftype3.NF3DIR
NF3BLK = ftype3.NF3BLK
NF3CHR = ftype3.NF3CHR
NF3LNK = ftype3.NF3LNK
NF3SOCK = ftype3.NF3SOCK
NF3FIFO = ftype3.NF3FIFO
_m_ftype3 = _EnumTable("ftype3", {m.value: m for m in ftype3})


@dataclass(slots=True)
class specdata3:
    """struct specdata3."""

    specdata1: uint32
    specdata2: uint32


@dataclass(slots=True)
class nfstime3:
    """struct nfstime3."""

    seconds: uint32
    nseconds: uint32


@dataclass(slots=True)
class fattr3:
    """struct fattr3."""

    type: ftype3
    mode: mode3
    nlink: uint32
    uid: uid3
    gid: gid3
    size: size3
    used: size3
    rdev: specdata3
    fsid: uint64
    fileid: fileid3
    atime: nfstime3
    mtime: nfstime3
    ctime: nfstime3


@dataclass(slots=True)
class wcc_attr:
    """struct wcc_attr."""

    size: size3
    mtime: nfstime3
    ctime: nfstime3


@dataclass(slots=True)
class wcc_data:
    """struct wcc_data."""

    before: pre_op_attr
    after: post_op_attr


class time_how(IntEnum):
    """enum time_how."""

    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


DONT_CHANGE = time_how.DONT_CHANGE
SET_TO_SERVER_TIME = time_how.SET_TO_SERVER_TIME
SET_TO_CLIENT_TIME = time_how.SET_TO_CLIENT_TIME
_m_time_how = _EnumTable("time_how", {m.value: m for m in time_how})


@dataclass(slots=True)
class set_atime:
    """union set_atime: `value` is the arm that `set_it` selects, None for void."""

    set_it: time_how
    value: nfstime3 | None = None
    __arms__: ClassVar[dict[int | None, str]] = {2: 'atime', None: 'void'}

    @property
    def atime(self) -> nfstime3:
        """The arm of SET_TO_CLIENT_TIME. Raises XdrError if another is selected."""
        if self.set_it not in (2,):
            raise _no_value("atime", self.set_it)
        return cast("nfstime3", self.value)


@dataclass(slots=True)
class set_mtime:
    """union set_mtime: `value` is the arm that `set_it` selects, None for void."""

    set_it: time_how
    value: nfstime3 | None = None
    __arms__: ClassVar[dict[int | None, str]] = {2: 'mtime', None: 'void'}

    @property
    def mtime(self) -> nfstime3:
        """The arm of SET_TO_CLIENT_TIME. Raises XdrError if another is selected."""
        if self.set_it not in (2,):
            raise _no_value("mtime", self.set_it)
        return cast("nfstime3", self.value)


@dataclass(slots=True)
class sattr3:
    """struct sattr3."""

    mode: set_mode3
    uid: set_uid3
    gid: set_gid3
    size: set_size3
    atime: set_atime
    mtime: set_mtime


@dataclass(slots=True)
class diropargs3:
    """struct diropargs3."""

    dir: nfs_fh3
    name: filename3


@dataclass(slots=True)
class GETATTR3args:
    """struct GETATTR3args."""

    object: nfs_fh3


@dataclass(slots=True)
class GETATTR3resok:
    """struct GETATTR3resok."""

    obj_attributes: fattr3 | bytes


@dataclass(slots=True)
class GETATTR3res:
    """union GETATTR3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: GETATTR3resok | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'void'}

    @property
    def resok(self) -> GETATTR3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("GETATTR3resok", self.value)


@dataclass(slots=True)
class SETATTR3args:
    """struct SETATTR3args."""

    object: nfs_fh3
    new_attributes: sattr3
    guard: sattrguard3


@dataclass(slots=True)
class SETATTR3resok:
    """struct SETATTR3resok."""

    obj_wcc: wcc_data


@dataclass(slots=True)
class SETATTR3resfail:
    """struct SETATTR3resfail."""

    obj_wcc: wcc_data


@dataclass(slots=True)
class SETATTR3res:
    """union SETATTR3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: SETATTR3resok | SETATTR3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> SETATTR3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("SETATTR3resok", self.value)

    @property
    def resfail(self) -> SETATTR3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("SETATTR3resfail", self.value)


@dataclass(slots=True)
class LOOKUP3args:
    """struct LOOKUP3args."""

    what: diropargs3


@dataclass(slots=True)
class LOOKUP3resok:
    """struct LOOKUP3resok."""

    object: nfs_fh3
    obj_attributes: post_op_attr
    dir_attributes: post_op_attr


@dataclass(slots=True)
class LOOKUP3resfail:
    """struct LOOKUP3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class LOOKUP3res:
    """union LOOKUP3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: LOOKUP3resok | LOOKUP3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> LOOKUP3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("LOOKUP3resok", self.value)

    @property
    def resfail(self) -> LOOKUP3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("LOOKUP3resfail", self.value)


@dataclass(slots=True)
class ACCESS3args:
    """struct ACCESS3args."""

    object: nfs_fh3
    access: uint32


@dataclass(slots=True)
class ACCESS3resok:
    """struct ACCESS3resok."""

    obj_attributes: post_op_attr
    access: uint32


@dataclass(slots=True)
class ACCESS3resfail:
    """struct ACCESS3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class ACCESS3res:
    """union ACCESS3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: ACCESS3resok | ACCESS3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> ACCESS3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("ACCESS3resok", self.value)

    @property
    def resfail(self) -> ACCESS3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("ACCESS3resfail", self.value)


@dataclass(slots=True)
class READLINK3args:
    """struct READLINK3args."""

    symlink: nfs_fh3


@dataclass(slots=True)
class READLINK3resok:
    """struct READLINK3resok."""

    symlink_attributes: post_op_attr
    data: nfspath3


@dataclass(slots=True)
class READLINK3resfail:
    """struct READLINK3resfail."""

    symlink_attributes: post_op_attr


@dataclass(slots=True)
class READLINK3res:
    """union READLINK3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: READLINK3resok | READLINK3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> READLINK3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("READLINK3resok", self.value)

    @property
    def resfail(self) -> READLINK3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("READLINK3resfail", self.value)


@dataclass(slots=True)
class READ3args:
    """struct READ3args."""

    file: nfs_fh3
    offset: offset3
    count: count3


@dataclass(slots=True)
class READ3resok:
    """struct READ3resok."""

    file_attributes: post_op_attr
    count: count3
    eof: bool
    data: Buffer


@dataclass(slots=True)
class READ3resfail:
    """struct READ3resfail."""

    file_attributes: post_op_attr


@dataclass(slots=True)
class READ3res:
    """union READ3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: READ3resok | READ3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> READ3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("READ3resok", self.value)

    @property
    def resfail(self) -> READ3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("READ3resfail", self.value)


class stable_how(IntEnum):
    """enum stable_how."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


UNSTABLE = stable_how.UNSTABLE
DATA_SYNC = stable_how.DATA_SYNC
FILE_SYNC = stable_how.FILE_SYNC
_m_stable_how = _EnumTable("stable_how", {m.value: m for m in stable_how})


@dataclass(slots=True)
class WRITE3args:
    """struct WRITE3args."""

    file: nfs_fh3
    offset: offset3
    count: count3
    stable: stable_how
    data: Buffer


@dataclass(slots=True)
class WRITE3resok:
    """struct WRITE3resok."""

    file_wcc: wcc_data
    count: count3
    committed: stable_how
    verf: writeverf3


@dataclass(slots=True)
class WRITE3resfail:
    """struct WRITE3resfail."""

    file_wcc: wcc_data


@dataclass(slots=True)
class WRITE3res:
    """union WRITE3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: WRITE3resok | WRITE3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> WRITE3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("WRITE3resok", self.value)

    @property
    def resfail(self) -> WRITE3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("WRITE3resfail", self.value)


class createmode3(IntEnum):
    """enum createmode3."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


UNCHECKED = createmode3.UNCHECKED
GUARDED = createmode3.GUARDED
EXCLUSIVE = createmode3.EXCLUSIVE
_m_createmode3 = _EnumTable("createmode3", {m.value: m for m in createmode3})


@dataclass(slots=True)
class createhow3:
    """union createhow3: `value` is the arm that `mode` selects, None for void."""

    mode: createmode3
    value: sattr3 | createverf3 | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'obj_attributes', 1: 'obj_attributes', 2: 'verf'}

    @property
    def obj_attributes(self) -> sattr3:
        """The arm of UNCHECKED, GUARDED. Raises XdrError if another is selected."""
        if self.mode not in (0, 1):
            raise _no_value("obj_attributes", self.mode)
        return cast("sattr3", self.value)

    @property
    def verf(self) -> createverf3:
        """The arm of EXCLUSIVE. Raises XdrError if another is selected."""
        if self.mode not in (2,):
            raise _no_value("verf", self.mode)
        return cast("createverf3", self.value)


@dataclass(slots=True)
class CREATE3args:
    """struct CREATE3args."""

    where: diropargs3
    how: createhow3


@dataclass(slots=True)
class CREATE3resok:
    """struct CREATE3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class CREATE3resfail:
    """struct CREATE3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class CREATE3res:
    """union CREATE3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: CREATE3resok | CREATE3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> CREATE3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("CREATE3resok", self.value)

    @property
    def resfail(self) -> CREATE3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("CREATE3resfail", self.value)


@dataclass(slots=True)
class MKDIR3args:
    """struct MKDIR3args."""

    where: diropargs3
    attributes: sattr3


@dataclass(slots=True)
class MKDIR3resok:
    """struct MKDIR3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class MKDIR3resfail:
    """struct MKDIR3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class MKDIR3res:
    """union MKDIR3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: MKDIR3resok | MKDIR3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> MKDIR3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("MKDIR3resok", self.value)

    @property
    def resfail(self) -> MKDIR3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("MKDIR3resfail", self.value)


@dataclass(slots=True)
class symlinkdata3:
    """struct symlinkdata3."""

    symlink_attributes: sattr3
    symlink_data: nfspath3


@dataclass(slots=True)
class SYMLINK3args:
    """struct SYMLINK3args."""

    where: diropargs3
    symlink: symlinkdata3


@dataclass(slots=True)
class SYMLINK3resok:
    """struct SYMLINK3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class SYMLINK3resfail:
    """struct SYMLINK3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class SYMLINK3res:
    """union SYMLINK3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: SYMLINK3resok | SYMLINK3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> SYMLINK3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("SYMLINK3resok", self.value)

    @property
    def resfail(self) -> SYMLINK3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("SYMLINK3resfail", self.value)


@dataclass(slots=True)
class devicedata3:
    """struct devicedata3."""

    dev_attributes: sattr3
    spec: specdata3


@dataclass(slots=True)
class mknoddata3:
    """union mknoddata3: `value` is the arm that `type` selects, None for void."""

    type: ftype3
    value: devicedata3 | sattr3 | None = None
    __arms__: ClassVar[dict[int | None, str]] = {4: 'device', 3: 'device', 6: 'pipe_attributes', 7: 'pipe_attributes', None: 'void'}

    @property
    def device(self) -> devicedata3:
        """The arm of NF3CHR, NF3BLK. Raises XdrError if another is selected."""
        if self.type not in (4, 3):
            raise _no_value("device", self.type)
        return cast("devicedata3", self.value)

    @property
    def pipe_attributes(self) -> sattr3:
        """The arm of NF3SOCK, NF3FIFO. Raises XdrError if another is selected."""
        if self.type not in (6, 7):
            raise _no_value("pipe_attributes", self.type)
        return cast("sattr3", self.value)


@dataclass(slots=True)
class MKNOD3args:
    """struct MKNOD3args."""

    where: diropargs3
    what: mknoddata3


@dataclass(slots=True)
class MKNOD3resok:
    """struct MKNOD3resok."""

    obj: post_op_fh3
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


@dataclass(slots=True)
class MKNOD3resfail:
    """struct MKNOD3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class MKNOD3res:
    """union MKNOD3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: MKNOD3resok | MKNOD3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> MKNOD3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("MKNOD3resok", self.value)

    @property
    def resfail(self) -> MKNOD3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("MKNOD3resfail", self.value)


@dataclass(slots=True)
class REMOVE3args:
    """struct REMOVE3args."""

    object: diropargs3


@dataclass(slots=True)
class REMOVE3resok:
    """struct REMOVE3resok."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class REMOVE3resfail:
    """struct REMOVE3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class REMOVE3res:
    """union REMOVE3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: REMOVE3resok | REMOVE3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> REMOVE3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("REMOVE3resok", self.value)

    @property
    def resfail(self) -> REMOVE3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("REMOVE3resfail", self.value)


@dataclass(slots=True)
class RMDIR3args:
    """struct RMDIR3args."""

    object: diropargs3


@dataclass(slots=True)
class RMDIR3resok:
    """struct RMDIR3resok."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class RMDIR3resfail:
    """struct RMDIR3resfail."""

    dir_wcc: wcc_data


@dataclass(slots=True)
class RMDIR3res:
    """union RMDIR3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: RMDIR3resok | RMDIR3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> RMDIR3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("RMDIR3resok", self.value)

    @property
    def resfail(self) -> RMDIR3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("RMDIR3resfail", self.value)


@dataclass(slots=True)
class RENAME3args:
    """struct RENAME3args."""

    from_: diropargs3
    to: diropargs3


@dataclass(slots=True)
class RENAME3resok:
    """struct RENAME3resok."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


@dataclass(slots=True)
class RENAME3resfail:
    """struct RENAME3resfail."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


@dataclass(slots=True)
class RENAME3res:
    """union RENAME3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: RENAME3resok | RENAME3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> RENAME3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("RENAME3resok", self.value)

    @property
    def resfail(self) -> RENAME3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("RENAME3resfail", self.value)


@dataclass(slots=True)
class LINK3args:
    """struct LINK3args."""

    file: nfs_fh3
    link: diropargs3


@dataclass(slots=True)
class LINK3resok:
    """struct LINK3resok."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


@dataclass(slots=True)
class LINK3resfail:
    """struct LINK3resfail."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


@dataclass(slots=True)
class LINK3res:
    """union LINK3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: LINK3resok | LINK3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> LINK3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("LINK3resok", self.value)

    @property
    def resfail(self) -> LINK3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("LINK3resfail", self.value)


@dataclass(slots=True)
class READDIR3args:
    """struct READDIR3args."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    count: count3


@dataclass(slots=True)
class entry3:
    """one node of a linked list entry3."""

    fileid: fileid3
    name: filename3
    cookie: cookie3


@dataclass(slots=True)
class dirlist3:
    """struct dirlist3."""

    entries: list[entry3]
    eof: bool


@dataclass(slots=True)
class READDIR3resok:
    """struct READDIR3resok."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: dirlist3


@dataclass(slots=True)
class READDIR3resfail:
    """struct READDIR3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class READDIR3res:
    """union READDIR3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: READDIR3resok | READDIR3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> READDIR3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("READDIR3resok", self.value)

    @property
    def resfail(self) -> READDIR3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("READDIR3resfail", self.value)


@dataclass(slots=True)
class READDIRPLUS3args:
    """struct READDIRPLUS3args."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    dircount: count3
    maxcount: count3


@dataclass(slots=True)
class entryplus3:
    """one node of a linked list entryplus3."""

    fileid: fileid3
    name: filename3
    cookie: cookie3
    name_attributes: post_op_attr
    name_handle: post_op_fh3


@dataclass(slots=True)
class dirlistplus3:
    """struct dirlistplus3."""

    entries: list[entryplus3]
    eof: bool


@dataclass(slots=True)
class READDIRPLUS3resok:
    """struct READDIRPLUS3resok."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: dirlistplus3


@dataclass(slots=True)
class READDIRPLUS3resfail:
    """struct READDIRPLUS3resfail."""

    dir_attributes: post_op_attr


@dataclass(slots=True)
class READDIRPLUS3res:
    """union READDIRPLUS3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: READDIRPLUS3resok | READDIRPLUS3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> READDIRPLUS3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("READDIRPLUS3resok", self.value)

    @property
    def resfail(self) -> READDIRPLUS3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("READDIRPLUS3resfail", self.value)


@dataclass(slots=True)
class FSSTAT3args:
    """struct FSSTAT3args."""

    fsroot: nfs_fh3


@dataclass(slots=True)
class FSSTAT3resok:
    """struct FSSTAT3resok."""

    obj_attributes: post_op_attr
    tbytes: size3
    fbytes: size3
    abytes: size3
    tfiles: size3
    ffiles: size3
    afiles: size3
    invarsec: uint32


@dataclass(slots=True)
class FSSTAT3resfail:
    """struct FSSTAT3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class FSSTAT3res:
    """union FSSTAT3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: FSSTAT3resok | FSSTAT3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> FSSTAT3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("FSSTAT3resok", self.value)

    @property
    def resfail(self) -> FSSTAT3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("FSSTAT3resfail", self.value)


@dataclass(slots=True)
class FSINFO3args:
    """struct FSINFO3args."""

    fsroot: nfs_fh3


@dataclass(slots=True)
class FSINFO3resok:
    """struct FSINFO3resok."""

    obj_attributes: post_op_attr
    rtmax: uint32
    rtpref: uint32
    rtmult: uint32
    wtmax: uint32
    wtpref: uint32
    wtmult: uint32
    dtpref: uint32
    maxfilesize: size3
    time_delta: nfstime3
    properties: uint32


@dataclass(slots=True)
class FSINFO3resfail:
    """struct FSINFO3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class FSINFO3res:
    """union FSINFO3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: FSINFO3resok | FSINFO3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> FSINFO3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("FSINFO3resok", self.value)

    @property
    def resfail(self) -> FSINFO3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("FSINFO3resfail", self.value)


@dataclass(slots=True)
class PATHCONF3args:
    """struct PATHCONF3args."""

    object: nfs_fh3


@dataclass(slots=True)
class PATHCONF3resok:
    """struct PATHCONF3resok."""

    obj_attributes: post_op_attr
    linkmax: uint32
    name_max: uint32
    no_trunc: bool
    chown_restricted: bool
    case_insensitive: bool
    case_preserving: bool


@dataclass(slots=True)
class PATHCONF3resfail:
    """struct PATHCONF3resfail."""

    obj_attributes: post_op_attr


@dataclass(slots=True)
class PATHCONF3res:
    """union PATHCONF3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: PATHCONF3resok | PATHCONF3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> PATHCONF3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("PATHCONF3resok", self.value)

    @property
    def resfail(self) -> PATHCONF3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("PATHCONF3resfail", self.value)


@dataclass(slots=True)
class COMMIT3args:
    """struct COMMIT3args."""

    file: nfs_fh3
    offset: offset3
    count: count3


@dataclass(slots=True)
class COMMIT3resok:
    """struct COMMIT3resok."""

    file_wcc: wcc_data
    verf: writeverf3


@dataclass(slots=True)
class COMMIT3resfail:
    """struct COMMIT3resfail."""

    file_wcc: wcc_data


@dataclass(slots=True)
class COMMIT3res:
    """union COMMIT3res: `value` is the arm that `status` selects, None for void."""

    status: nfsstat3
    value: COMMIT3resok | COMMIT3resfail | None = None
    __arms__: ClassVar[dict[int | None, str]] = {0: 'resok', None: 'resfail'}

    @property
    def resok(self) -> COMMIT3resok:
        """The arm of NFS3_OK. Raises XdrError if another is selected."""
        if self.status not in (0,):
            raise _no_value("resok", self.status)
        return cast("COMMIT3resok", self.value)

    @property
    def resfail(self) -> COMMIT3resfail:
        """The arm of any but NFS3_OK. Raises XdrError if another is selected."""
        if self.status in (0,):
            raise _no_value("resfail", self.status)
        return cast("COMMIT3resfail", self.value)

uint64: TypeAlias = int
int64: TypeAlias = int
uint32: TypeAlias = int
int32: TypeAlias = int
filename3: TypeAlias = bytes
nfspath3: TypeAlias = bytes
fileid3: TypeAlias = uint64
cookie3: TypeAlias = uint64
cookieverf3: TypeAlias = bytes
createverf3: TypeAlias = bytes
writeverf3: TypeAlias = bytes
uid3: TypeAlias = uint32
gid3: TypeAlias = uint32
size3: TypeAlias = uint64
offset3: TypeAlias = uint64
mode3: TypeAlias = uint32
count3: TypeAlias = uint32
nfs_fh3: TypeAlias = bytes
post_op_attr: TypeAlias = fattr3 | bytes | None
pre_op_attr: TypeAlias = wcc_attr | bytes | None
post_op_fh3: TypeAlias = nfs_fh3 | None
set_mode3: TypeAlias = mode3 | None
set_uid3: TypeAlias = uid3 | None
set_gid3: TypeAlias = gid3 | None
set_size3: TypeAlias = size3 | None
sattrguard3: TypeAlias = nfstime3 | None

_u1 = Struct(">Q").unpack_from
_p1 = Struct(">Q").pack
_u2 = Struct(">q").unpack_from
_p2 = Struct(">q").pack
_u3 = Struct(">I").unpack_from
_p3 = Struct(">I").pack
_u4 = Struct(">i").unpack_from
_p4 = Struct(">i").pack
_r1 = _UnpackTable("filename3", None, "")
_q1 = _PackTable("filename3", None, "I", "")
_r2 = _UnpackTable("nfspath3", None, "")
_q2 = _PackTable("nfspath3", None, "I", "")
_u5 = Struct(">8s").unpack_from
_p5 = Struct(">8s").pack
_u6 = Struct(">2I").unpack_from
_p6 = Struct(">2I").pack
_r3 = _UnpackTable("nfs_fh3", 64, "")
_q3 = _PackTable("nfs_fh3", 64, "I", "")
_u7 = Struct(">i4I2Q2I2Q6I").unpack_from
_p7 = Struct(">i4I2Q2I2Q6I").pack
_u8 = Struct(">Q4I").unpack_from
_p8 = Struct(">Q4I").pack
_q4 = _PackTable("nfs_fh3", 64, "2I", "")
_p9 = Struct(">IQ").pack
_p10 = Struct(">i2I").pack
_r4 = _UnpackTable("nfs_fh3", 64, "I")
_p11 = Struct(">3I").pack
_q5 = _PackTable("nfs_fh3", 64, "iI", "")
_q6 = _PackTable("nfs_fh3", 64, "I", "I")
_r5 = _UnpackTable("nfs_fh3", 64, "QI")
_q7 = _PackTable("nfs_fh3", 64, "I", "QI")
_u9 = Struct(">3I").unpack_from
_p12 = Struct(">I3x?I").pack
_r6 = _UnpackTable("nfs_fh3", 64, "QIiI")
_q8 = _PackTable("nfs_fh3", 64, "I", "QIiI")
_u10 = Struct(">Ii8s").unpack_from
_p13 = Struct(">Ii8s").pack
_p14 = Struct(">i8s").pack
_r7 = _UnpackTable("filename3", None, "I")
_r8 = _UnpackTable("nfs_fh3", 64, "Q8sI")
_q9 = _PackTable("nfs_fh3", 64, "I", "Q8sI")
_u11 = Struct(">QI").unpack_from
_r9 = _UnpackTable("filename3", None, "Q")
_q10 = _PackTable("filename3", None, "QI", "Q")
_r10 = _UnpackTable("filename3", None, "QI")
_q11 = _PackTable("filename3", None, "IQI", "Q")
_p15 = Struct(">I3x?").pack
_u12 = Struct(">8sI").unpack_from
_r11 = _UnpackTable("nfs_fh3", 64, "Q8s2I")
_q12 = _PackTable("nfs_fh3", 64, "I", "Q8s2I")
_u13 = Struct(">6QI").unpack_from
_p16 = Struct(">6QI").pack
_u14 = Struct(">7IQ3I").unpack_from
_p17 = Struct(">7IQ3I").pack
_u15 = Struct(">6I").unpack_from
_p18 = Struct(">2I3x?3x?3x?3x?").pack


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


def decode_filename3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r1[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_filename3(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q1[n1](n1, value))


def format_filename3(value: filename3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nfspath3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r2[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_nfspath3(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q2[n1](n1, value))


def format_nfspath3(value: nfspath3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_cookieverf3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (v1,) = _u5(buf, pos)
    return v1, pos + 8


def pack_cookieverf3(value: bytes) -> bytes:
    if len(value) != 8:
        raise _too_long("cookieverf3", len(value), 8)
    return _p5(value)


def encode_cookieverf3(value: bytes, put: Put) -> None:
    put(pack_cookieverf3(value))


def format_cookieverf3(value: cookieverf3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_createverf3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (v1,) = _u5(buf, pos)
    return v1, pos + 8


def pack_createverf3(value: bytes) -> bytes:
    if len(value) != 8:
        raise _too_long("createverf3", len(value), 8)
    return _p5(value)


def encode_createverf3(value: bytes, put: Put) -> None:
    put(pack_createverf3(value))


def format_createverf3(value: createverf3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_writeverf3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (v1,) = _u5(buf, pos)
    return v1, pos + 8


def pack_writeverf3(value: bytes) -> bytes:
    if len(value) != 8:
        raise _too_long("writeverf3", len(value), 8)
    return _p5(value)


def encode_writeverf3(value: bytes, put: Put) -> None:
    put(pack_writeverf3(value))


def format_writeverf3(value: writeverf3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nfsstat3(buf: Buffer, pos: int) -> tuple[nfsstat3, int]:
    (v1,) = _u4(buf, pos)
    return _m_nfsstat3[v1], pos + 4


def pack_nfsstat3(value: nfsstat3) -> bytes:
    return _p4(_m_nfsstat3[value])


def encode_nfsstat3(value: nfsstat3, put: Put) -> None:
    put(pack_nfsstat3(value))


def format_nfsstat3(value: nfsstat3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_ftype3(buf: Buffer, pos: int) -> tuple[ftype3, int]:
    (v1,) = _u4(buf, pos)
    return _m_ftype3[v1], pos + 4


def pack_ftype3(value: ftype3) -> bytes:
    return _p4(_m_ftype3[value])


def encode_ftype3(value: ftype3, put: Put) -> None:
    put(pack_ftype3(value))


def format_ftype3(value: ftype3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_specdata3(buf: Buffer, pos: int) -> tuple[specdata3, int]:
    v1, v2 = _u6(buf, pos)
    return specdata3(v1, v2), pos + 8


def pack_specdata3(value: specdata3) -> bytes:
    return _p6(value.specdata1, value.specdata2)


def encode_specdata3(value: specdata3, put: Put) -> None:
    put(pack_specdata3(value))


def format_specdata3(value: specdata3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nfs_fh3(buf: Buffer, pos: int) -> tuple[bytes, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return v1, pos


def encode_nfs_fh3(value: bytes, put: Put) -> None:
    n1 = len(value)
    put(_q3[n1](n1, value))


def format_nfs_fh3(value: nfs_fh3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_nfstime3(buf: Buffer, pos: int) -> tuple[nfstime3, int]:
    v1, v2 = _u6(buf, pos)
    return nfstime3(v1, v2), pos + 8


def pack_nfstime3(value: nfstime3) -> bytes:
    return _p6(value.seconds, value.nseconds)


def encode_nfstime3(value: nfstime3, put: Put) -> None:
    put(pack_nfstime3(value))


def format_nfstime3(value: nfstime3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_fattr3(buf: Buffer, pos: int) -> tuple[fattr3, int]:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17 = _u7(buf, pos)
    return fattr3(_m_ftype3[v1], v2, v3, v4, v5, v6, v7, specdata3(v8, v9), v10, v11, nfstime3(v12, v13), nfstime3(v14, v15), nfstime3(v16, v17)), pos + 84


def pack_fattr3(value: fattr3) -> bytes:
    v1 = value.rdev
    v2 = value.atime
    v3 = value.mtime
    v4 = value.ctime
    return _p7(_m_ftype3[value.type], value.mode, value.nlink, value.uid, value.gid, value.size, value.used, v1.specdata1, v1.specdata2, value.fsid, value.fileid, v2.seconds, v2.nseconds, v3.seconds, v3.nseconds, v4.seconds, v4.nseconds)


def encode_fattr3(value: fattr3 | bytes, put: Put) -> None:
    put(value if isinstance(value, bytes) else pack_fattr3(value))


def format_fattr3(value: fattr3 | bytes, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_post_op_attr(buf: Buffer, pos: int) -> tuple[post_op_attr, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return v1, pos


def encode_post_op_attr(value: post_op_attr, put: Put) -> None:
    v1: Any = value
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_post_op_attr(value: post_op_attr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_wcc_attr(buf: Buffer, pos: int) -> tuple[wcc_attr, int]:
    v1, v2, v3, v4, v5 = _u8(buf, pos)
    return wcc_attr(v1, nfstime3(v2, v3), nfstime3(v4, v5)), pos + 24


def pack_wcc_attr(value: wcc_attr) -> bytes:
    v1 = value.mtime
    v2 = value.ctime
    return _p8(value.size, v1.seconds, v1.nseconds, v2.seconds, v2.nseconds)


def encode_wcc_attr(value: wcc_attr | bytes, put: Put) -> None:
    put(value if isinstance(value, bytes) else pack_wcc_attr(value))


def format_wcc_attr(value: wcc_attr | bytes, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_pre_op_attr(buf: Buffer, pos: int) -> tuple[pre_op_attr, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    return v1, pos


def encode_pre_op_attr(value: pre_op_attr, put: Put) -> None:
    v1: Any = value
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 24 else pack_wcc_attr(v1))))


def format_pre_op_attr(value: pre_op_attr, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_wcc_data(buf: Buffer, pos: int) -> tuple[wcc_data, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return wcc_data(v1, v7), pos


def encode_wcc_data(value: wcc_data, put: Put) -> None:
    v1: Any = value.before
    v2: Any = value.after
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 24 else pack_wcc_attr(v1))) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))))


def format_wcc_data(value: wcc_data, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_post_op_fh3(buf: Buffer, pos: int) -> tuple[post_op_fh3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfs_fh3 | None = None
    if n1 == 1:
        (n2,) = _u3(buf, pos)
        (v2,) = _r3[n2](buf, pos + 4)
        pos += n2 + 7 & -4
        v1 = v2
    elif n1:
        raise _no_value("post_op_fh3", n1)
    return v1, pos


def encode_post_op_fh3(value: post_op_fh3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _q4[len(value)](1, len(value), value)))


def format_post_op_fh3(value: post_op_fh3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_time_how(buf: Buffer, pos: int) -> tuple[time_how, int]:
    (v1,) = _u4(buf, pos)
    return _m_time_how[v1], pos + 4


def pack_time_how(value: time_how) -> bytes:
    return _p4(_m_time_how[value])


def encode_time_how(value: time_how, put: Put) -> None:
    put(pack_time_how(value))


def format_time_how(value: time_how, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_mode3(buf: Buffer, pos: int) -> tuple[set_mode3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: mode3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_mode3", n1)
    return v1, pos


def encode_set_mode3(value: set_mode3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _p6(1, value)))


def format_set_mode3(value: set_mode3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_uid3(buf: Buffer, pos: int) -> tuple[set_uid3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: uid3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_uid3", n1)
    return v1, pos


def encode_set_uid3(value: set_uid3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _p6(1, value)))


def format_set_uid3(value: set_uid3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_gid3(buf: Buffer, pos: int) -> tuple[set_gid3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: gid3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_gid3", n1)
    return v1, pos


def encode_set_gid3(value: set_gid3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _p6(1, value)))


def format_set_gid3(value: set_gid3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_size3(buf: Buffer, pos: int) -> tuple[set_size3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: size3 | None = None
    if n1 == 1:
        (v2,) = _u1(buf, pos)
        pos += 8
        v1 = v2
    elif n1:
        raise _no_value("set_size3", n1)
    return v1, pos


def encode_set_size3(value: set_size3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _p9(1, value)))


def format_set_size3(value: set_size3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_atime(buf: Buffer, pos: int) -> tuple[set_atime, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 2:
        v1, v2 = _u6(buf, pos + 4)
        return set_atime(SET_TO_CLIENT_TIME, nfstime3(v1, v2)), pos + 12
    return set_atime(_m_time_how[n1], None), pos + 4


def encode_set_atime(value: set_atime, put: Put) -> None:
    d1 = value.set_it
    v1: Any = value.value
    if d1 == 2:
        put(_p10(2, v1.seconds, v1.nseconds))
    else:
        if v1 is not None:
            raise _no_value("set_atime", v1)
        put(_p4(_m_time_how[d1]))


def format_set_atime(value: set_atime, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_set_mtime(buf: Buffer, pos: int) -> tuple[set_mtime, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 2:
        v1, v2 = _u6(buf, pos + 4)
        return set_mtime(SET_TO_CLIENT_TIME, nfstime3(v1, v2)), pos + 12
    return set_mtime(_m_time_how[n1], None), pos + 4


def encode_set_mtime(value: set_mtime, put: Put) -> None:
    d1 = value.set_it
    v1: Any = value.value
    if d1 == 2:
        put(_p10(2, v1.seconds, v1.nseconds))
    else:
        if v1 is not None:
            raise _no_value("set_mtime", v1)
        put(_p4(_m_time_how[d1]))


def format_set_mtime(value: set_mtime, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_sattr3(buf: Buffer, pos: int) -> tuple[sattr3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: mode3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_mode3", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v3: uid3 | None = None
    if n2 == 1:
        (v4,) = _u3(buf, pos)
        pos += 4
        v3 = v4
    elif n2:
        raise _no_value("set_uid3", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v5: gid3 | None = None
    if n3 == 1:
        (v6,) = _u3(buf, pos)
        pos += 4
        v5 = v6
    elif n3:
        raise _no_value("set_gid3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v7: size3 | None = None
    if n4 == 1:
        (v8,) = _u1(buf, pos)
        pos += 8
        v7 = v8
    elif n4:
        raise _no_value("set_size3", n4)
    v9, pos = decode_set_atime(buf, pos)
    v10, pos = decode_set_mtime(buf, pos)
    return sattr3(v1, v3, v5, v7, v9, v10), pos


def encode_sattr3(value: sattr3, put: Put) -> None:
    v1 = value.mode
    v2 = value.uid
    v3 = value.gid
    v4 = value.size
    put((b'\x00\x00\x00\x00' if v1 is None else _p6(1, v1)) + (b'\x00\x00\x00\x00' if v2 is None else _p6(1, v2)) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p9(1, v4)))
    encode_set_atime(value.atime, put)
    encode_set_mtime(value.mtime, put)


def format_sattr3(value: sattr3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_diropargs3(buf: Buffer, pos: int) -> tuple[diropargs3, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    return diropargs3(v1, v2), pos


def encode_diropargs3(value: diropargs3, put: Put) -> None:
    v1 = value.dir
    n1 = len(v1)
    v2 = value.name
    n2 = len(v2)
    put(_q3[n1](n1, v1) + _q1[n2](n2, v2))


def format_diropargs3(value: diropargs3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_GETATTR3args(buf: Buffer, pos: int) -> tuple[GETATTR3args, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return GETATTR3args(v1), pos


def encode_GETATTR3args(value: GETATTR3args, put: Put) -> None:
    v1 = value.object
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_GETATTR3args(value: GETATTR3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_GETATTR3resok(buf: Buffer, pos: int) -> tuple[GETATTR3resok, int]:
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17 = _u7(buf, pos)
    return GETATTR3resok(fattr3(_m_ftype3[v1], v2, v3, v4, v5, v6, v7, specdata3(v8, v9), v10, v11, nfstime3(v12, v13), nfstime3(v14, v15), nfstime3(v16, v17))), pos + 84


def pack_GETATTR3resok(value: GETATTR3resok) -> bytes:
    v1: Any = value.obj_attributes
    return (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))


def encode_GETATTR3resok(value: GETATTR3resok, put: Put) -> None:
    put(pack_GETATTR3resok(value))


def format_GETATTR3resok(value: GETATTR3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_GETATTR3res(buf: Buffer, pos: int) -> tuple[GETATTR3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17 = _u7(buf, pos + 4)
        return GETATTR3res(NFS3_OK, GETATTR3resok(fattr3(_m_ftype3[v1], v2, v3, v4, v5, v6, v7, specdata3(v8, v9), v10, v11, nfstime3(v12, v13), nfstime3(v14, v15), nfstime3(v16, v17)))), pos + 88
    return GETATTR3res(_m_nfsstat3[n1], None), pos + 4


def encode_GETATTR3res(value: GETATTR3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.obj_attributes
        put(b'\x00\x00\x00\x00' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2)))
    else:
        if v1 is not None:
            raise _no_value("GETATTR3res", v1)
        put(_p4(_m_nfsstat3[d1]))


def format_GETATTR3res(value: GETATTR3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_sattrguard3(buf: Buffer, pos: int) -> tuple[sattrguard3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfstime3 | None = None
    if n1 == 1:
        v2, v3 = _u6(buf, pos)
        pos += 8
        v1 = nfstime3(v2, v3)
    elif n1:
        raise _no_value("sattrguard3", n1)
    return v1, pos


def encode_sattrguard3(value: sattrguard3, put: Put) -> None:
    put((b'\x00\x00\x00\x00' if value is None else _p11(1, value.seconds, value.nseconds)))


def format_sattrguard3(value: sattrguard3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SETATTR3args(buf: Buffer, pos: int) -> tuple[SETATTR3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2: mode3 | None = None
    if n2 == 1:
        (v3,) = _u3(buf, pos)
        pos += 4
        v2 = v3
    elif n2:
        raise _no_value("set_mode3", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v4: uid3 | None = None
    if n3 == 1:
        (v5,) = _u3(buf, pos)
        pos += 4
        v4 = v5
    elif n3:
        raise _no_value("set_uid3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v6: gid3 | None = None
    if n4 == 1:
        (v7,) = _u3(buf, pos)
        pos += 4
        v6 = v7
    elif n4:
        raise _no_value("set_gid3", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v8: size3 | None = None
    if n5 == 1:
        (v9,) = _u1(buf, pos)
        pos += 8
        v8 = v9
    elif n5:
        raise _no_value("set_size3", n5)
    v10, pos = decode_set_atime(buf, pos)
    v11, pos = decode_set_mtime(buf, pos)
    (n6,) = _u3(buf, pos)
    pos += 4
    v12: nfstime3 | None = None
    if n6 == 1:
        v13, v14 = _u6(buf, pos)
        pos += 8
        v12 = nfstime3(v13, v14)
    elif n6:
        raise _no_value("sattrguard3", n6)
    return SETATTR3args(v1, sattr3(v2, v4, v6, v8, v10, v11), v12), pos


def encode_SETATTR3args(value: SETATTR3args, put: Put) -> None:
    v1 = value.object
    n1 = len(v1)
    v2 = value.new_attributes
    v3 = v2.mode
    v4 = v2.uid
    v5 = v2.gid
    v6 = v2.size
    put(_q3[n1](n1, v1) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p6(1, v4)) + (b'\x00\x00\x00\x00' if v5 is None else _p6(1, v5)) + (b'\x00\x00\x00\x00' if v6 is None else _p9(1, v6)))
    encode_set_atime(v2.atime, put)
    encode_set_mtime(v2.mtime, put)
    v7 = value.guard
    put((b'\x00\x00\x00\x00' if v7 is None else _p11(1, v7.seconds, v7.nseconds)))


def format_SETATTR3args(value: SETATTR3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SETATTR3resok(buf: Buffer, pos: int) -> tuple[SETATTR3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return SETATTR3resok(wcc_data(v1, v7)), pos


def encode_SETATTR3resok(value: SETATTR3resok, put: Put) -> None:
    v1 = value.obj_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_SETATTR3resok(value: SETATTR3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SETATTR3resfail(buf: Buffer, pos: int) -> tuple[SETATTR3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return SETATTR3resfail(wcc_data(v1, v7)), pos


def encode_SETATTR3resfail(value: SETATTR3resfail, put: Put) -> None:
    v1 = value.obj_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_SETATTR3resfail(value: SETATTR3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SETATTR3res(buf: Buffer, pos: int) -> tuple[SETATTR3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        return SETATTR3res(NFS3_OK, SETATTR3resok(wcc_data(v1, v7))), pos
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v25: wcc_attr | bytes | None = None
    if n4 == 1:
        v26, v27, v28, v29, v30 = _u8(buf, pos)
        pos += 24
        v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v31: fattr3 | bytes | None = None
    if n5 == 1:
        v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
        pos += 84
        v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return SETATTR3res(_m_nfsstat3[n1], SETATTR3resfail(wcc_data(v25, v31))), pos


def encode_SETATTR3res(value: SETATTR3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.obj_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))
    else:
        v5 = v1.obj_wcc
        v6: Any = v5.before
        v7: Any = v5.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 24 else pack_wcc_attr(v6))) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))))


def format_SETATTR3res(value: SETATTR3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LOOKUP3args(buf: Buffer, pos: int) -> tuple[LOOKUP3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    return LOOKUP3args(diropargs3(v1, v2)), pos


def encode_LOOKUP3args(value: LOOKUP3args, put: Put) -> None:
    v1 = value.what
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3))


def format_LOOKUP3args(value: LOOKUP3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LOOKUP3resok(buf: Buffer, pos: int) -> tuple[LOOKUP3resok, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2: fattr3 | bytes | None = None
    if n2 == 1:
        v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19 = _u7(buf, pos)
        pos += 84
        v2 = fattr3(_m_ftype3[v3], v4, v5, v6, v7, v8, v9, specdata3(v10, v11), v12, v13, nfstime3(v14, v15), nfstime3(v16, v17), nfstime3(v18, v19))
    elif n2:
        raise _no_value("post_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v20: fattr3 | bytes | None = None
    if n3 == 1:
        v21, v22, v23, v24, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37 = _u7(buf, pos)
        pos += 84
        v20 = fattr3(_m_ftype3[v21], v22, v23, v24, v25, v26, v27, specdata3(v28, v29), v30, v31, nfstime3(v32, v33), nfstime3(v34, v35), nfstime3(v36, v37))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return LOOKUP3resok(v1, v2, v20), pos


def encode_LOOKUP3resok(value: LOOKUP3resok, put: Put) -> None:
    v1 = value.object
    n1 = len(v1)
    v2: Any = value.obj_attributes
    v3: Any = value.dir_attributes
    put(_q3[n1](n1, v1) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_LOOKUP3resok(value: LOOKUP3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LOOKUP3resfail(buf: Buffer, pos: int) -> tuple[LOOKUP3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return LOOKUP3resfail(v1), pos


def encode_LOOKUP3resfail(value: LOOKUP3resfail, put: Put) -> None:
    v1: Any = value.dir_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_LOOKUP3resfail(value: LOOKUP3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LOOKUP3res(buf: Buffer, pos: int) -> tuple[LOOKUP3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        v1, n3 = _r4[n2](buf, pos + 8)
        pos += n2 + 15 & -4
        v2: fattr3 | bytes | None = None
        if n3 == 1:
            v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19 = _u7(buf, pos)
            pos += 84
            v2 = fattr3(_m_ftype3[v3], v4, v5, v6, v7, v8, v9, specdata3(v10, v11), v12, v13, nfstime3(v14, v15), nfstime3(v16, v17), nfstime3(v18, v19))
        elif n3:
            raise _no_value("post_op_attr", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v20: fattr3 | bytes | None = None
        if n4 == 1:
            v21, v22, v23, v24, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37 = _u7(buf, pos)
            pos += 84
            v20 = fattr3(_m_ftype3[v21], v22, v23, v24, v25, v26, v27, specdata3(v28, v29), v30, v31, nfstime3(v32, v33), nfstime3(v34, v35), nfstime3(v36, v37))
        elif n4:
            raise _no_value("post_op_attr", n4)
        return LOOKUP3res(NFS3_OK, LOOKUP3resok(v1, v2, v20)), pos
    (n5,) = _u3(buf, pos + 4)
    pos += 8
    v38: fattr3 | bytes | None = None
    if n5 == 1:
        v39, v40, v41, v42, v43, v44, v45, v46, v47, v48, v49, v50, v51, v52, v53, v54, v55 = _u7(buf, pos)
        pos += 84
        v38 = fattr3(_m_ftype3[v39], v40, v41, v42, v43, v44, v45, specdata3(v46, v47), v48, v49, nfstime3(v50, v51), nfstime3(v52, v53), nfstime3(v54, v55))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return LOOKUP3res(_m_nfsstat3[n1], LOOKUP3resfail(v38)), pos


def encode_LOOKUP3res(value: LOOKUP3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.object
        n1 = len(v2)
        v3: Any = v1.obj_attributes
        v4: Any = v1.dir_attributes
        put(_q5[n1](0, n1, v2) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))
    else:
        v5: Any = v1.dir_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))


def format_LOOKUP3res(value: LOOKUP3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_ACCESS3args(buf: Buffer, pos: int) -> tuple[ACCESS3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    return ACCESS3args(v1, v2), pos


def encode_ACCESS3args(value: ACCESS3args, put: Put) -> None:
    v1 = value.object
    n1 = len(v1)
    put(_q6[n1](n1, v1, value.access))


def format_ACCESS3args(value: ACCESS3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_ACCESS3resok(buf: Buffer, pos: int) -> tuple[ACCESS3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    (v19,) = _u3(buf, pos)
    return ACCESS3resok(v1, v19), pos + 4


def encode_ACCESS3resok(value: ACCESS3resok, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p3(value.access))


def format_ACCESS3resok(value: ACCESS3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_ACCESS3resfail(buf: Buffer, pos: int) -> tuple[ACCESS3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return ACCESS3resfail(v1), pos


def encode_ACCESS3resfail(value: ACCESS3resfail, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_ACCESS3resfail(value: ACCESS3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_ACCESS3res(buf: Buffer, pos: int) -> tuple[ACCESS3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        (v19,) = _u3(buf, pos)
        return ACCESS3res(NFS3_OK, ACCESS3resok(v1, v19)), pos + 4
    (n3,) = _u3(buf, pos + 4)
    pos += 8
    v20: fattr3 | bytes | None = None
    if n3 == 1:
        v21, v22, v23, v24, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37 = _u7(buf, pos)
        pos += 84
        v20 = fattr3(_m_ftype3[v21], v22, v23, v24, v25, v26, v27, specdata3(v28, v29), v30, v31, nfstime3(v32, v33), nfstime3(v34, v35), nfstime3(v36, v37))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return ACCESS3res(_m_nfsstat3[n1], ACCESS3resfail(v20)), pos


def encode_ACCESS3res(value: ACCESS3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.obj_attributes
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p3(v1.access))
    else:
        v3: Any = v1.obj_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_ACCESS3res(value: ACCESS3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READLINK3args(buf: Buffer, pos: int) -> tuple[READLINK3args, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return READLINK3args(v1), pos


def encode_READLINK3args(value: READLINK3args, put: Put) -> None:
    v1 = value.symlink
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_READLINK3args(value: READLINK3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READLINK3resok(buf: Buffer, pos: int) -> tuple[READLINK3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    (n2,) = _u3(buf, pos)
    (v19,) = _r2[n2](buf, pos + 4)
    pos += n2 + 7 & -4
    return READLINK3resok(v1, v19), pos


def encode_READLINK3resok(value: READLINK3resok, put: Put) -> None:
    v1: Any = value.symlink_attributes
    v2 = value.data
    n1 = len(v2)
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _q2[n1](n1, v2))


def format_READLINK3resok(value: READLINK3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READLINK3resfail(buf: Buffer, pos: int) -> tuple[READLINK3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return READLINK3resfail(v1), pos


def encode_READLINK3resfail(value: READLINK3resfail, put: Put) -> None:
    v1: Any = value.symlink_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_READLINK3resfail(value: READLINK3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READLINK3res(buf: Buffer, pos: int) -> tuple[READLINK3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        (n3,) = _u3(buf, pos)
        (v19,) = _r2[n3](buf, pos + 4)
        pos += n3 + 7 & -4
        return READLINK3res(NFS3_OK, READLINK3resok(v1, v19)), pos
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v20: fattr3 | bytes | None = None
    if n4 == 1:
        v21, v22, v23, v24, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37 = _u7(buf, pos)
        pos += 84
        v20 = fattr3(_m_ftype3[v21], v22, v23, v24, v25, v26, v27, specdata3(v28, v29), v30, v31, nfstime3(v32, v33), nfstime3(v34, v35), nfstime3(v36, v37))
    elif n4:
        raise _no_value("post_op_attr", n4)
    return READLINK3res(_m_nfsstat3[n1], READLINK3resfail(v20)), pos


def encode_READLINK3res(value: READLINK3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.symlink_attributes
        v3 = v1.data
        n1 = len(v3)
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _q2[n1](n1, v3))
    else:
        v4: Any = v1.symlink_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))


def format_READLINK3res(value: READLINK3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READ3args(buf: Buffer, pos: int) -> tuple[READ3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3 = _r5[n1](buf, pos + 4)
    pos += n1 + 19 & -4
    return READ3args(v1, v2, v3), pos


def encode_READ3args(value: READ3args, put: Put) -> None:
    v1 = value.file
    n1 = len(v1)
    put(_q7[n1](n1, v1, value.offset, value.count))


def format_READ3args(value: READ3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READ3resok(buf: Buffer, pos: int) -> tuple[READ3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, v20, n2 = _u9(buf, pos)
    v21 = buf[pos + 12 : pos + 12 + n2]
    pos += n2 + 15 & -4
    if pos > len(buf):
        raise _truncated("READ3resok")
    return READ3resok(v1, v19, _BOOL[v20], v21), pos


def encode_READ3resok(value: READ3resok, put: Put) -> None:
    v1: Any = value.file_attributes
    v2 = value.data
    n1 = len(v2)
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p12(value.count, value.eof, n1))
    put(v2)
    if n1 & 3:
        put(_PAD[n1 & 3])


def format_READ3resok(value: READ3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READ3resfail(buf: Buffer, pos: int) -> tuple[READ3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return READ3resfail(v1), pos


def encode_READ3resfail(value: READ3resfail, put: Put) -> None:
    v1: Any = value.file_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_READ3resfail(value: READ3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READ3res(buf: Buffer, pos: int) -> tuple[READ3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, v20, n3 = _u9(buf, pos)
        v21 = buf[pos + 12 : pos + 12 + n3]
        pos += n3 + 15 & -4
        if pos > len(buf):
            raise _truncated("READ3res")
        return READ3res(NFS3_OK, READ3resok(v1, v19, _BOOL[v20], v21)), pos
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v22: fattr3 | bytes | None = None
    if n4 == 1:
        v23, v24, v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39 = _u7(buf, pos)
        pos += 84
        v22 = fattr3(_m_ftype3[v23], v24, v25, v26, v27, v28, v29, specdata3(v30, v31), v32, v33, nfstime3(v34, v35), nfstime3(v36, v37), nfstime3(v38, v39))
    elif n4:
        raise _no_value("post_op_attr", n4)
    return READ3res(_m_nfsstat3[n1], READ3resfail(v22)), pos


def encode_READ3res(value: READ3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.file_attributes
        v3 = v1.data
        n1 = len(v3)
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p12(v1.count, v1.eof, n1))
        put(v3)
        if n1 & 3:
            put(_PAD[n1 & 3])
    else:
        v4: Any = v1.file_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))


def format_READ3res(value: READ3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_stable_how(buf: Buffer, pos: int) -> tuple[stable_how, int]:
    (v1,) = _u4(buf, pos)
    return _m_stable_how[v1], pos + 4


def pack_stable_how(value: stable_how) -> bytes:
    return _p4(_m_stable_how[value])


def encode_stable_how(value: stable_how, put: Put) -> None:
    put(pack_stable_how(value))


def format_stable_how(value: stable_how, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_WRITE3args(buf: Buffer, pos: int) -> tuple[WRITE3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3, v4, n2 = _r6[n1](buf, pos + 4)
    pos += n1 + 27 & -4
    v5 = buf[pos : pos + n2]
    pos += n2 + 3 & -4
    if pos > len(buf):
        raise _truncated("WRITE3args")
    return WRITE3args(v1, v2, v3, _m_stable_how[v4], v5), pos


def encode_WRITE3args(value: WRITE3args, put: Put) -> None:
    v1 = value.file
    n1 = len(v1)
    v2 = value.data
    n2 = len(v2)
    put(_q8[n1](n1, v1, value.offset, value.count, _m_stable_how[value.stable], n2))
    put(v2)
    if n2 & 3:
        put(_PAD[n2 & 3])


def format_WRITE3args(value: WRITE3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_WRITE3resok(buf: Buffer, pos: int) -> tuple[WRITE3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    v25, v26, v27 = _u10(buf, pos)
    return WRITE3resok(wcc_data(v1, v7), v25, _m_stable_how[v26], v27), pos + 16


def encode_WRITE3resok(value: WRITE3resok, put: Put) -> None:
    v1 = value.file_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    v4 = value.verf
    if len(v4) != 8:
        raise _too_long("writeverf3", len(v4), 8)
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + _p13(value.count, _m_stable_how[value.committed], v4))


def format_WRITE3resok(value: WRITE3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_WRITE3resfail(buf: Buffer, pos: int) -> tuple[WRITE3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return WRITE3resfail(wcc_data(v1, v7)), pos


def encode_WRITE3resfail(value: WRITE3resfail, put: Put) -> None:
    v1 = value.file_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_WRITE3resfail(value: WRITE3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_WRITE3res(buf: Buffer, pos: int) -> tuple[WRITE3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        v25, v26, v27 = _u10(buf, pos)
        return WRITE3res(NFS3_OK, WRITE3resok(wcc_data(v1, v7), v25, _m_stable_how[v26], v27)), pos + 16
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v28: wcc_attr | bytes | None = None
    if n4 == 1:
        v29, v30, v31, v32, v33 = _u8(buf, pos)
        pos += 24
        v28 = wcc_attr(v29, nfstime3(v30, v31), nfstime3(v32, v33))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v34: fattr3 | bytes | None = None
    if n5 == 1:
        v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48, v49, v50, v51 = _u7(buf, pos)
        pos += 84
        v34 = fattr3(_m_ftype3[v35], v36, v37, v38, v39, v40, v41, specdata3(v42, v43), v44, v45, nfstime3(v46, v47), nfstime3(v48, v49), nfstime3(v50, v51))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return WRITE3res(_m_nfsstat3[n1], WRITE3resfail(wcc_data(v28, v34))), pos


def encode_WRITE3res(value: WRITE3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.file_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        v5 = v1.verf
        if len(v5) != 8:
            raise _too_long("writeverf3", len(v5), 8)
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))) + _p13(v1.count, _m_stable_how[v1.committed], v5))
    else:
        v6 = v1.file_wcc
        v7: Any = v6.before
        v8: Any = v6.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 24 else pack_wcc_attr(v7))) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 84 else pack_fattr3(v8))))


def format_WRITE3res(value: WRITE3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_createmode3(buf: Buffer, pos: int) -> tuple[createmode3, int]:
    (v1,) = _u4(buf, pos)
    return _m_createmode3[v1], pos + 4


def pack_createmode3(value: createmode3) -> bytes:
    return _p4(_m_createmode3[value])


def encode_createmode3(value: createmode3, put: Put) -> None:
    put(pack_createmode3(value))


def format_createmode3(value: createmode3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_createhow3(buf: Buffer, pos: int) -> tuple[createhow3, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0 or n1 == 1:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: mode3 | None = None
        if n2 == 1:
            (v2,) = _u3(buf, pos)
            pos += 4
            v1 = v2
        elif n2:
            raise _no_value("set_mode3", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v3: uid3 | None = None
        if n3 == 1:
            (v4,) = _u3(buf, pos)
            pos += 4
            v3 = v4
        elif n3:
            raise _no_value("set_uid3", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v5: gid3 | None = None
        if n4 == 1:
            (v6,) = _u3(buf, pos)
            pos += 4
            v5 = v6
        elif n4:
            raise _no_value("set_gid3", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v7: size3 | None = None
        if n5 == 1:
            (v8,) = _u1(buf, pos)
            pos += 8
            v7 = v8
        elif n5:
            raise _no_value("set_size3", n5)
        v9, pos = decode_set_atime(buf, pos)
        v10, pos = decode_set_mtime(buf, pos)
        return createhow3(_m_createmode3[n1], sattr3(v1, v3, v5, v7, v9, v10)), pos
    if n1 == 2:
        (v11,) = _u5(buf, pos + 4)
        return createhow3(EXCLUSIVE, v11), pos + 12
    raise _no_value("createhow3", n1)


def encode_createhow3(value: createhow3, put: Put) -> None:
    d1 = value.mode
    v1: Any = value.value
    if d1 == 0 or d1 == 1:
        v2 = v1.mode
        v3 = v1.uid
        v4 = v1.gid
        v5 = v1.size
        put(_p4(d1) + (b'\x00\x00\x00\x00' if v2 is None else _p6(1, v2)) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p6(1, v4)) + (b'\x00\x00\x00\x00' if v5 is None else _p9(1, v5)))
        encode_set_atime(v1.atime, put)
        encode_set_mtime(v1.mtime, put)
    elif d1 == 2:
        if len(v1) != 8:
            raise _too_long("createverf3", len(v1), 8)
        put(_p14(2, v1))
    else:
        raise _no_value("createhow3", d1)


def format_createhow3(value: createhow3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_CREATE3args(buf: Buffer, pos: int) -> tuple[CREATE3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    v3, pos = decode_createhow3(buf, pos)
    return CREATE3args(diropargs3(v1, v2), v3), pos


def encode_CREATE3args(value: CREATE3args, put: Put) -> None:
    v1 = value.where
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3))
    encode_createhow3(value.how, put)


def format_CREATE3args(value: CREATE3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_CREATE3resok(buf: Buffer, pos: int) -> tuple[CREATE3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfs_fh3 | None = None
    if n1 == 1:
        (n2,) = _u3(buf, pos)
        (v2,) = _r3[n2](buf, pos + 4)
        pos += n2 + 7 & -4
        v1 = v2
    elif n1:
        raise _no_value("post_op_fh3", n1)
    (n3,) = _u3(buf, pos)
    pos += 4
    v3: fattr3 | bytes | None = None
    if n3 == 1:
        v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
        pos += 84
        v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
    elif n3:
        raise _no_value("post_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v21: wcc_attr | bytes | None = None
    if n4 == 1:
        v22, v23, v24, v25, v26 = _u8(buf, pos)
        pos += 24
        v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v27: fattr3 | bytes | None = None
    if n5 == 1:
        v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
        pos += 84
        v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return CREATE3resok(v1, v3, wcc_data(v21, v27)), pos


def encode_CREATE3resok(value: CREATE3resok, put: Put) -> None:
    v1 = value.obj
    v2: Any = value.obj_attributes
    v3 = value.dir_wcc
    v4: Any = v3.before
    v5: Any = v3.after
    put((b'\x00\x00\x00\x00' if v1 is None else _q4[len(v1)](1, len(v1), v1)) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 24 else pack_wcc_attr(v4))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))


def format_CREATE3resok(value: CREATE3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_CREATE3resfail(buf: Buffer, pos: int) -> tuple[CREATE3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return CREATE3resfail(wcc_data(v1, v7)), pos


def encode_CREATE3resfail(value: CREATE3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_CREATE3resfail(value: CREATE3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_CREATE3res(buf: Buffer, pos: int) -> tuple[CREATE3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: nfs_fh3 | None = None
        if n2 == 1:
            (n3,) = _u3(buf, pos)
            (v2,) = _r3[n3](buf, pos + 4)
            pos += n3 + 7 & -4
            v1 = v2
        elif n2:
            raise _no_value("post_op_fh3", n2)
        (n4,) = _u3(buf, pos)
        pos += 4
        v3: fattr3 | bytes | None = None
        if n4 == 1:
            v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
            pos += 84
            v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
        elif n4:
            raise _no_value("post_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v21: wcc_attr | bytes | None = None
        if n5 == 1:
            v22, v23, v24, v25, v26 = _u8(buf, pos)
            pos += 24
            v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
        elif n5:
            raise _no_value("pre_op_attr", n5)
        (n6,) = _u3(buf, pos)
        pos += 4
        v27: fattr3 | bytes | None = None
        if n6 == 1:
            v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
            pos += 84
            v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
        elif n6:
            raise _no_value("post_op_attr", n6)
        return CREATE3res(NFS3_OK, CREATE3resok(v1, v3, wcc_data(v21, v27))), pos
    (n7,) = _u3(buf, pos + 4)
    pos += 8
    v45: wcc_attr | bytes | None = None
    if n7 == 1:
        v46, v47, v48, v49, v50 = _u8(buf, pos)
        pos += 24
        v45 = wcc_attr(v46, nfstime3(v47, v48), nfstime3(v49, v50))
    elif n7:
        raise _no_value("pre_op_attr", n7)
    (n8,) = _u3(buf, pos)
    pos += 4
    v51: fattr3 | bytes | None = None
    if n8 == 1:
        v52, v53, v54, v55, v56, v57, v58, v59, v60, v61, v62, v63, v64, v65, v66, v67, v68 = _u7(buf, pos)
        pos += 84
        v51 = fattr3(_m_ftype3[v52], v53, v54, v55, v56, v57, v58, specdata3(v59, v60), v61, v62, nfstime3(v63, v64), nfstime3(v65, v66), nfstime3(v67, v68))
    elif n8:
        raise _no_value("post_op_attr", n8)
    return CREATE3res(_m_nfsstat3[n1], CREATE3resfail(wcc_data(v45, v51))), pos


def encode_CREATE3res(value: CREATE3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.obj
        v3: Any = v1.obj_attributes
        v4 = v1.dir_wcc
        v5: Any = v4.before
        v6: Any = v4.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00' + _q4[len(v2)](1, len(v2), v2)) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))
    else:
        v7 = v1.dir_wcc
        v8: Any = v7.before
        v9: Any = v7.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 24 else pack_wcc_attr(v8))) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_CREATE3res(value: CREATE3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKDIR3args(buf: Buffer, pos: int) -> tuple[MKDIR3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r7[n2](buf, pos)
    pos += n2 + 7 & -4
    v3: mode3 | None = None
    if n3 == 1:
        (v4,) = _u3(buf, pos)
        pos += 4
        v3 = v4
    elif n3:
        raise _no_value("set_mode3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v5: uid3 | None = None
    if n4 == 1:
        (v6,) = _u3(buf, pos)
        pos += 4
        v5 = v6
    elif n4:
        raise _no_value("set_uid3", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v7: gid3 | None = None
    if n5 == 1:
        (v8,) = _u3(buf, pos)
        pos += 4
        v7 = v8
    elif n5:
        raise _no_value("set_gid3", n5)
    (n6,) = _u3(buf, pos)
    pos += 4
    v9: size3 | None = None
    if n6 == 1:
        (v10,) = _u1(buf, pos)
        pos += 8
        v9 = v10
    elif n6:
        raise _no_value("set_size3", n6)
    v11, pos = decode_set_atime(buf, pos)
    v12, pos = decode_set_mtime(buf, pos)
    return MKDIR3args(diropargs3(v1, v2), sattr3(v3, v5, v7, v9, v11, v12)), pos


def encode_MKDIR3args(value: MKDIR3args, put: Put) -> None:
    v1 = value.where
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    v4 = value.attributes
    v5 = v4.mode
    v6 = v4.uid
    v7 = v4.gid
    v8 = v4.size
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3) + (b'\x00\x00\x00\x00' if v5 is None else _p6(1, v5)) + (b'\x00\x00\x00\x00' if v6 is None else _p6(1, v6)) + (b'\x00\x00\x00\x00' if v7 is None else _p6(1, v7)) + (b'\x00\x00\x00\x00' if v8 is None else _p9(1, v8)))
    encode_set_atime(v4.atime, put)
    encode_set_mtime(v4.mtime, put)


def format_MKDIR3args(value: MKDIR3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKDIR3resok(buf: Buffer, pos: int) -> tuple[MKDIR3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfs_fh3 | None = None
    if n1 == 1:
        (n2,) = _u3(buf, pos)
        (v2,) = _r3[n2](buf, pos + 4)
        pos += n2 + 7 & -4
        v1 = v2
    elif n1:
        raise _no_value("post_op_fh3", n1)
    (n3,) = _u3(buf, pos)
    pos += 4
    v3: fattr3 | bytes | None = None
    if n3 == 1:
        v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
        pos += 84
        v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
    elif n3:
        raise _no_value("post_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v21: wcc_attr | bytes | None = None
    if n4 == 1:
        v22, v23, v24, v25, v26 = _u8(buf, pos)
        pos += 24
        v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v27: fattr3 | bytes | None = None
    if n5 == 1:
        v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
        pos += 84
        v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return MKDIR3resok(v1, v3, wcc_data(v21, v27)), pos


def encode_MKDIR3resok(value: MKDIR3resok, put: Put) -> None:
    v1 = value.obj
    v2: Any = value.obj_attributes
    v3 = value.dir_wcc
    v4: Any = v3.before
    v5: Any = v3.after
    put((b'\x00\x00\x00\x00' if v1 is None else _q4[len(v1)](1, len(v1), v1)) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 24 else pack_wcc_attr(v4))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))


def format_MKDIR3resok(value: MKDIR3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKDIR3resfail(buf: Buffer, pos: int) -> tuple[MKDIR3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return MKDIR3resfail(wcc_data(v1, v7)), pos


def encode_MKDIR3resfail(value: MKDIR3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_MKDIR3resfail(value: MKDIR3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKDIR3res(buf: Buffer, pos: int) -> tuple[MKDIR3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: nfs_fh3 | None = None
        if n2 == 1:
            (n3,) = _u3(buf, pos)
            (v2,) = _r3[n3](buf, pos + 4)
            pos += n3 + 7 & -4
            v1 = v2
        elif n2:
            raise _no_value("post_op_fh3", n2)
        (n4,) = _u3(buf, pos)
        pos += 4
        v3: fattr3 | bytes | None = None
        if n4 == 1:
            v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
            pos += 84
            v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
        elif n4:
            raise _no_value("post_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v21: wcc_attr | bytes | None = None
        if n5 == 1:
            v22, v23, v24, v25, v26 = _u8(buf, pos)
            pos += 24
            v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
        elif n5:
            raise _no_value("pre_op_attr", n5)
        (n6,) = _u3(buf, pos)
        pos += 4
        v27: fattr3 | bytes | None = None
        if n6 == 1:
            v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
            pos += 84
            v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
        elif n6:
            raise _no_value("post_op_attr", n6)
        return MKDIR3res(NFS3_OK, MKDIR3resok(v1, v3, wcc_data(v21, v27))), pos
    (n7,) = _u3(buf, pos + 4)
    pos += 8
    v45: wcc_attr | bytes | None = None
    if n7 == 1:
        v46, v47, v48, v49, v50 = _u8(buf, pos)
        pos += 24
        v45 = wcc_attr(v46, nfstime3(v47, v48), nfstime3(v49, v50))
    elif n7:
        raise _no_value("pre_op_attr", n7)
    (n8,) = _u3(buf, pos)
    pos += 4
    v51: fattr3 | bytes | None = None
    if n8 == 1:
        v52, v53, v54, v55, v56, v57, v58, v59, v60, v61, v62, v63, v64, v65, v66, v67, v68 = _u7(buf, pos)
        pos += 84
        v51 = fattr3(_m_ftype3[v52], v53, v54, v55, v56, v57, v58, specdata3(v59, v60), v61, v62, nfstime3(v63, v64), nfstime3(v65, v66), nfstime3(v67, v68))
    elif n8:
        raise _no_value("post_op_attr", n8)
    return MKDIR3res(_m_nfsstat3[n1], MKDIR3resfail(wcc_data(v45, v51))), pos


def encode_MKDIR3res(value: MKDIR3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.obj
        v3: Any = v1.obj_attributes
        v4 = v1.dir_wcc
        v5: Any = v4.before
        v6: Any = v4.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00' + _q4[len(v2)](1, len(v2), v2)) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))
    else:
        v7 = v1.dir_wcc
        v8: Any = v7.before
        v9: Any = v7.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 24 else pack_wcc_attr(v8))) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_MKDIR3res(value: MKDIR3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_symlinkdata3(buf: Buffer, pos: int) -> tuple[symlinkdata3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: mode3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_mode3", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v3: uid3 | None = None
    if n2 == 1:
        (v4,) = _u3(buf, pos)
        pos += 4
        v3 = v4
    elif n2:
        raise _no_value("set_uid3", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v5: gid3 | None = None
    if n3 == 1:
        (v6,) = _u3(buf, pos)
        pos += 4
        v5 = v6
    elif n3:
        raise _no_value("set_gid3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v7: size3 | None = None
    if n4 == 1:
        (v8,) = _u1(buf, pos)
        pos += 8
        v7 = v8
    elif n4:
        raise _no_value("set_size3", n4)
    v9, pos = decode_set_atime(buf, pos)
    v10, pos = decode_set_mtime(buf, pos)
    (n5,) = _u3(buf, pos)
    (v11,) = _r2[n5](buf, pos + 4)
    pos += n5 + 7 & -4
    return symlinkdata3(sattr3(v1, v3, v5, v7, v9, v10), v11), pos


def encode_symlinkdata3(value: symlinkdata3, put: Put) -> None:
    v1 = value.symlink_attributes
    v2 = v1.mode
    v3 = v1.uid
    v4 = v1.gid
    v5 = v1.size
    put((b'\x00\x00\x00\x00' if v2 is None else _p6(1, v2)) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p6(1, v4)) + (b'\x00\x00\x00\x00' if v5 is None else _p9(1, v5)))
    encode_set_atime(v1.atime, put)
    encode_set_mtime(v1.mtime, put)
    v6 = value.symlink_data
    n1 = len(v6)
    put(_q2[n1](n1, v6))


def format_symlinkdata3(value: symlinkdata3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SYMLINK3args(buf: Buffer, pos: int) -> tuple[SYMLINK3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r7[n2](buf, pos)
    pos += n2 + 7 & -4
    v3: mode3 | None = None
    if n3 == 1:
        (v4,) = _u3(buf, pos)
        pos += 4
        v3 = v4
    elif n3:
        raise _no_value("set_mode3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v5: uid3 | None = None
    if n4 == 1:
        (v6,) = _u3(buf, pos)
        pos += 4
        v5 = v6
    elif n4:
        raise _no_value("set_uid3", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v7: gid3 | None = None
    if n5 == 1:
        (v8,) = _u3(buf, pos)
        pos += 4
        v7 = v8
    elif n5:
        raise _no_value("set_gid3", n5)
    (n6,) = _u3(buf, pos)
    pos += 4
    v9: size3 | None = None
    if n6 == 1:
        (v10,) = _u1(buf, pos)
        pos += 8
        v9 = v10
    elif n6:
        raise _no_value("set_size3", n6)
    v11, pos = decode_set_atime(buf, pos)
    v12, pos = decode_set_mtime(buf, pos)
    (n7,) = _u3(buf, pos)
    (v13,) = _r2[n7](buf, pos + 4)
    pos += n7 + 7 & -4
    return SYMLINK3args(diropargs3(v1, v2), symlinkdata3(sattr3(v3, v5, v7, v9, v11, v12), v13)), pos


def encode_SYMLINK3args(value: SYMLINK3args, put: Put) -> None:
    v1 = value.where
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    v4 = value.symlink
    v5 = v4.symlink_attributes
    v6 = v5.mode
    v7 = v5.uid
    v8 = v5.gid
    v9 = v5.size
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3) + (b'\x00\x00\x00\x00' if v6 is None else _p6(1, v6)) + (b'\x00\x00\x00\x00' if v7 is None else _p6(1, v7)) + (b'\x00\x00\x00\x00' if v8 is None else _p6(1, v8)) + (b'\x00\x00\x00\x00' if v9 is None else _p9(1, v9)))
    encode_set_atime(v5.atime, put)
    encode_set_mtime(v5.mtime, put)
    v10 = v4.symlink_data
    n3 = len(v10)
    put(_q2[n3](n3, v10))


def format_SYMLINK3args(value: SYMLINK3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SYMLINK3resok(buf: Buffer, pos: int) -> tuple[SYMLINK3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfs_fh3 | None = None
    if n1 == 1:
        (n2,) = _u3(buf, pos)
        (v2,) = _r3[n2](buf, pos + 4)
        pos += n2 + 7 & -4
        v1 = v2
    elif n1:
        raise _no_value("post_op_fh3", n1)
    (n3,) = _u3(buf, pos)
    pos += 4
    v3: fattr3 | bytes | None = None
    if n3 == 1:
        v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
        pos += 84
        v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
    elif n3:
        raise _no_value("post_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v21: wcc_attr | bytes | None = None
    if n4 == 1:
        v22, v23, v24, v25, v26 = _u8(buf, pos)
        pos += 24
        v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v27: fattr3 | bytes | None = None
    if n5 == 1:
        v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
        pos += 84
        v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return SYMLINK3resok(v1, v3, wcc_data(v21, v27)), pos


def encode_SYMLINK3resok(value: SYMLINK3resok, put: Put) -> None:
    v1 = value.obj
    v2: Any = value.obj_attributes
    v3 = value.dir_wcc
    v4: Any = v3.before
    v5: Any = v3.after
    put((b'\x00\x00\x00\x00' if v1 is None else _q4[len(v1)](1, len(v1), v1)) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 24 else pack_wcc_attr(v4))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))


def format_SYMLINK3resok(value: SYMLINK3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SYMLINK3resfail(buf: Buffer, pos: int) -> tuple[SYMLINK3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return SYMLINK3resfail(wcc_data(v1, v7)), pos


def encode_SYMLINK3resfail(value: SYMLINK3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_SYMLINK3resfail(value: SYMLINK3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_SYMLINK3res(buf: Buffer, pos: int) -> tuple[SYMLINK3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: nfs_fh3 | None = None
        if n2 == 1:
            (n3,) = _u3(buf, pos)
            (v2,) = _r3[n3](buf, pos + 4)
            pos += n3 + 7 & -4
            v1 = v2
        elif n2:
            raise _no_value("post_op_fh3", n2)
        (n4,) = _u3(buf, pos)
        pos += 4
        v3: fattr3 | bytes | None = None
        if n4 == 1:
            v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
            pos += 84
            v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
        elif n4:
            raise _no_value("post_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v21: wcc_attr | bytes | None = None
        if n5 == 1:
            v22, v23, v24, v25, v26 = _u8(buf, pos)
            pos += 24
            v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
        elif n5:
            raise _no_value("pre_op_attr", n5)
        (n6,) = _u3(buf, pos)
        pos += 4
        v27: fattr3 | bytes | None = None
        if n6 == 1:
            v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
            pos += 84
            v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
        elif n6:
            raise _no_value("post_op_attr", n6)
        return SYMLINK3res(NFS3_OK, SYMLINK3resok(v1, v3, wcc_data(v21, v27))), pos
    (n7,) = _u3(buf, pos + 4)
    pos += 8
    v45: wcc_attr | bytes | None = None
    if n7 == 1:
        v46, v47, v48, v49, v50 = _u8(buf, pos)
        pos += 24
        v45 = wcc_attr(v46, nfstime3(v47, v48), nfstime3(v49, v50))
    elif n7:
        raise _no_value("pre_op_attr", n7)
    (n8,) = _u3(buf, pos)
    pos += 4
    v51: fattr3 | bytes | None = None
    if n8 == 1:
        v52, v53, v54, v55, v56, v57, v58, v59, v60, v61, v62, v63, v64, v65, v66, v67, v68 = _u7(buf, pos)
        pos += 84
        v51 = fattr3(_m_ftype3[v52], v53, v54, v55, v56, v57, v58, specdata3(v59, v60), v61, v62, nfstime3(v63, v64), nfstime3(v65, v66), nfstime3(v67, v68))
    elif n8:
        raise _no_value("post_op_attr", n8)
    return SYMLINK3res(_m_nfsstat3[n1], SYMLINK3resfail(wcc_data(v45, v51))), pos


def encode_SYMLINK3res(value: SYMLINK3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.obj
        v3: Any = v1.obj_attributes
        v4 = v1.dir_wcc
        v5: Any = v4.before
        v6: Any = v4.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00' + _q4[len(v2)](1, len(v2), v2)) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))
    else:
        v7 = v1.dir_wcc
        v8: Any = v7.before
        v9: Any = v7.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 24 else pack_wcc_attr(v8))) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_SYMLINK3res(value: SYMLINK3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_devicedata3(buf: Buffer, pos: int) -> tuple[devicedata3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: mode3 | None = None
    if n1 == 1:
        (v2,) = _u3(buf, pos)
        pos += 4
        v1 = v2
    elif n1:
        raise _no_value("set_mode3", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v3: uid3 | None = None
    if n2 == 1:
        (v4,) = _u3(buf, pos)
        pos += 4
        v3 = v4
    elif n2:
        raise _no_value("set_uid3", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v5: gid3 | None = None
    if n3 == 1:
        (v6,) = _u3(buf, pos)
        pos += 4
        v5 = v6
    elif n3:
        raise _no_value("set_gid3", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v7: size3 | None = None
    if n4 == 1:
        (v8,) = _u1(buf, pos)
        pos += 8
        v7 = v8
    elif n4:
        raise _no_value("set_size3", n4)
    v9, pos = decode_set_atime(buf, pos)
    v10, pos = decode_set_mtime(buf, pos)
    v11, v12 = _u6(buf, pos)
    return devicedata3(sattr3(v1, v3, v5, v7, v9, v10), specdata3(v11, v12)), pos + 8


def encode_devicedata3(value: devicedata3, put: Put) -> None:
    v1 = value.dev_attributes
    v2 = v1.mode
    v3 = v1.uid
    v4 = v1.gid
    v5 = v1.size
    put((b'\x00\x00\x00\x00' if v2 is None else _p6(1, v2)) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p6(1, v4)) + (b'\x00\x00\x00\x00' if v5 is None else _p9(1, v5)))
    encode_set_atime(v1.atime, put)
    encode_set_mtime(v1.mtime, put)
    v6 = value.spec
    put(_p6(v6.specdata1, v6.specdata2))


def format_devicedata3(value: devicedata3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_mknoddata3(buf: Buffer, pos: int) -> tuple[mknoddata3, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 4 or n1 == 3:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: mode3 | None = None
        if n2 == 1:
            (v2,) = _u3(buf, pos)
            pos += 4
            v1 = v2
        elif n2:
            raise _no_value("set_mode3", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v3: uid3 | None = None
        if n3 == 1:
            (v4,) = _u3(buf, pos)
            pos += 4
            v3 = v4
        elif n3:
            raise _no_value("set_uid3", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v5: gid3 | None = None
        if n4 == 1:
            (v6,) = _u3(buf, pos)
            pos += 4
            v5 = v6
        elif n4:
            raise _no_value("set_gid3", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v7: size3 | None = None
        if n5 == 1:
            (v8,) = _u1(buf, pos)
            pos += 8
            v7 = v8
        elif n5:
            raise _no_value("set_size3", n5)
        v9, pos = decode_set_atime(buf, pos)
        v10, pos = decode_set_mtime(buf, pos)
        v11, v12 = _u6(buf, pos)
        return mknoddata3(_m_ftype3[n1], devicedata3(sattr3(v1, v3, v5, v7, v9, v10), specdata3(v11, v12))), pos + 8
    if n1 == 6 or n1 == 7:
        (n6,) = _u3(buf, pos + 4)
        pos += 8
        v13: mode3 | None = None
        if n6 == 1:
            (v14,) = _u3(buf, pos)
            pos += 4
            v13 = v14
        elif n6:
            raise _no_value("set_mode3", n6)
        (n7,) = _u3(buf, pos)
        pos += 4
        v15: uid3 | None = None
        if n7 == 1:
            (v16,) = _u3(buf, pos)
            pos += 4
            v15 = v16
        elif n7:
            raise _no_value("set_uid3", n7)
        (n8,) = _u3(buf, pos)
        pos += 4
        v17: gid3 | None = None
        if n8 == 1:
            (v18,) = _u3(buf, pos)
            pos += 4
            v17 = v18
        elif n8:
            raise _no_value("set_gid3", n8)
        (n9,) = _u3(buf, pos)
        pos += 4
        v19: size3 | None = None
        if n9 == 1:
            (v20,) = _u1(buf, pos)
            pos += 8
            v19 = v20
        elif n9:
            raise _no_value("set_size3", n9)
        v21, pos = decode_set_atime(buf, pos)
        v22, pos = decode_set_mtime(buf, pos)
        return mknoddata3(_m_ftype3[n1], sattr3(v13, v15, v17, v19, v21, v22)), pos
    return mknoddata3(_m_ftype3[n1], None), pos + 4


def encode_mknoddata3(value: mknoddata3, put: Put) -> None:
    d1 = value.type
    v1: Any = value.value
    if d1 == 4 or d1 == 3:
        v2 = v1.dev_attributes
        v3 = v2.mode
        v4 = v2.uid
        v5 = v2.gid
        v6 = v2.size
        put(_p4(d1) + (b'\x00\x00\x00\x00' if v3 is None else _p6(1, v3)) + (b'\x00\x00\x00\x00' if v4 is None else _p6(1, v4)) + (b'\x00\x00\x00\x00' if v5 is None else _p6(1, v5)) + (b'\x00\x00\x00\x00' if v6 is None else _p9(1, v6)))
        encode_set_atime(v2.atime, put)
        encode_set_mtime(v2.mtime, put)
        v7 = v1.spec
        put(_p6(v7.specdata1, v7.specdata2))
    elif d1 == 6 or d1 == 7:
        v8 = v1.mode
        v9 = v1.uid
        v10 = v1.gid
        v11 = v1.size
        put(_p4(d1) + (b'\x00\x00\x00\x00' if v8 is None else _p6(1, v8)) + (b'\x00\x00\x00\x00' if v9 is None else _p6(1, v9)) + (b'\x00\x00\x00\x00' if v10 is None else _p6(1, v10)) + (b'\x00\x00\x00\x00' if v11 is None else _p9(1, v11)))
        encode_set_atime(v1.atime, put)
        encode_set_mtime(v1.mtime, put)
    else:
        if v1 is not None:
            raise _no_value("mknoddata3", v1)
        put(_p4(_m_ftype3[d1]))


def format_mknoddata3(value: mknoddata3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKNOD3args(buf: Buffer, pos: int) -> tuple[MKNOD3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    v3, pos = decode_mknoddata3(buf, pos)
    return MKNOD3args(diropargs3(v1, v2), v3), pos


def encode_MKNOD3args(value: MKNOD3args, put: Put) -> None:
    v1 = value.where
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3))
    encode_mknoddata3(value.what, put)


def format_MKNOD3args(value: MKNOD3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKNOD3resok(buf: Buffer, pos: int) -> tuple[MKNOD3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: nfs_fh3 | None = None
    if n1 == 1:
        (n2,) = _u3(buf, pos)
        (v2,) = _r3[n2](buf, pos + 4)
        pos += n2 + 7 & -4
        v1 = v2
    elif n1:
        raise _no_value("post_op_fh3", n1)
    (n3,) = _u3(buf, pos)
    pos += 4
    v3: fattr3 | bytes | None = None
    if n3 == 1:
        v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
        pos += 84
        v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
    elif n3:
        raise _no_value("post_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v21: wcc_attr | bytes | None = None
    if n4 == 1:
        v22, v23, v24, v25, v26 = _u8(buf, pos)
        pos += 24
        v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v27: fattr3 | bytes | None = None
    if n5 == 1:
        v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
        pos += 84
        v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return MKNOD3resok(v1, v3, wcc_data(v21, v27)), pos


def encode_MKNOD3resok(value: MKNOD3resok, put: Put) -> None:
    v1 = value.obj
    v2: Any = value.obj_attributes
    v3 = value.dir_wcc
    v4: Any = v3.before
    v5: Any = v3.after
    put((b'\x00\x00\x00\x00' if v1 is None else _q4[len(v1)](1, len(v1), v1)) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 24 else pack_wcc_attr(v4))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))


def format_MKNOD3resok(value: MKNOD3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKNOD3resfail(buf: Buffer, pos: int) -> tuple[MKNOD3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return MKNOD3resfail(wcc_data(v1, v7)), pos


def encode_MKNOD3resfail(value: MKNOD3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_MKNOD3resfail(value: MKNOD3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_MKNOD3res(buf: Buffer, pos: int) -> tuple[MKNOD3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: nfs_fh3 | None = None
        if n2 == 1:
            (n3,) = _u3(buf, pos)
            (v2,) = _r3[n3](buf, pos + 4)
            pos += n3 + 7 & -4
            v1 = v2
        elif n2:
            raise _no_value("post_op_fh3", n2)
        (n4,) = _u3(buf, pos)
        pos += 4
        v3: fattr3 | bytes | None = None
        if n4 == 1:
            v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20 = _u7(buf, pos)
            pos += 84
            v3 = fattr3(_m_ftype3[v4], v5, v6, v7, v8, v9, v10, specdata3(v11, v12), v13, v14, nfstime3(v15, v16), nfstime3(v17, v18), nfstime3(v19, v20))
        elif n4:
            raise _no_value("post_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v21: wcc_attr | bytes | None = None
        if n5 == 1:
            v22, v23, v24, v25, v26 = _u8(buf, pos)
            pos += 24
            v21 = wcc_attr(v22, nfstime3(v23, v24), nfstime3(v25, v26))
        elif n5:
            raise _no_value("pre_op_attr", n5)
        (n6,) = _u3(buf, pos)
        pos += 4
        v27: fattr3 | bytes | None = None
        if n6 == 1:
            v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44 = _u7(buf, pos)
            pos += 84
            v27 = fattr3(_m_ftype3[v28], v29, v30, v31, v32, v33, v34, specdata3(v35, v36), v37, v38, nfstime3(v39, v40), nfstime3(v41, v42), nfstime3(v43, v44))
        elif n6:
            raise _no_value("post_op_attr", n6)
        return MKNOD3res(NFS3_OK, MKNOD3resok(v1, v3, wcc_data(v21, v27))), pos
    (n7,) = _u3(buf, pos + 4)
    pos += 8
    v45: wcc_attr | bytes | None = None
    if n7 == 1:
        v46, v47, v48, v49, v50 = _u8(buf, pos)
        pos += 24
        v45 = wcc_attr(v46, nfstime3(v47, v48), nfstime3(v49, v50))
    elif n7:
        raise _no_value("pre_op_attr", n7)
    (n8,) = _u3(buf, pos)
    pos += 4
    v51: fattr3 | bytes | None = None
    if n8 == 1:
        v52, v53, v54, v55, v56, v57, v58, v59, v60, v61, v62, v63, v64, v65, v66, v67, v68 = _u7(buf, pos)
        pos += 84
        v51 = fattr3(_m_ftype3[v52], v53, v54, v55, v56, v57, v58, specdata3(v59, v60), v61, v62, nfstime3(v63, v64), nfstime3(v65, v66), nfstime3(v67, v68))
    elif n8:
        raise _no_value("post_op_attr", n8)
    return MKNOD3res(_m_nfsstat3[n1], MKNOD3resfail(wcc_data(v45, v51))), pos


def encode_MKNOD3res(value: MKNOD3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.obj
        v3: Any = v1.obj_attributes
        v4 = v1.dir_wcc
        v5: Any = v4.before
        v6: Any = v4.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00' + _q4[len(v2)](1, len(v2), v2)) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))
    else:
        v7 = v1.dir_wcc
        v8: Any = v7.before
        v9: Any = v7.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 24 else pack_wcc_attr(v8))) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_MKNOD3res(value: MKNOD3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_REMOVE3args(buf: Buffer, pos: int) -> tuple[REMOVE3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    return REMOVE3args(diropargs3(v1, v2)), pos


def encode_REMOVE3args(value: REMOVE3args, put: Put) -> None:
    v1 = value.object
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3))


def format_REMOVE3args(value: REMOVE3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_REMOVE3resok(buf: Buffer, pos: int) -> tuple[REMOVE3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return REMOVE3resok(wcc_data(v1, v7)), pos


def encode_REMOVE3resok(value: REMOVE3resok, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_REMOVE3resok(value: REMOVE3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_REMOVE3resfail(buf: Buffer, pos: int) -> tuple[REMOVE3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return REMOVE3resfail(wcc_data(v1, v7)), pos


def encode_REMOVE3resfail(value: REMOVE3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_REMOVE3resfail(value: REMOVE3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_REMOVE3res(buf: Buffer, pos: int) -> tuple[REMOVE3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        return REMOVE3res(NFS3_OK, REMOVE3resok(wcc_data(v1, v7))), pos
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v25: wcc_attr | bytes | None = None
    if n4 == 1:
        v26, v27, v28, v29, v30 = _u8(buf, pos)
        pos += 24
        v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v31: fattr3 | bytes | None = None
    if n5 == 1:
        v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
        pos += 84
        v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return REMOVE3res(_m_nfsstat3[n1], REMOVE3resfail(wcc_data(v25, v31))), pos


def encode_REMOVE3res(value: REMOVE3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.dir_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))
    else:
        v5 = v1.dir_wcc
        v6: Any = v5.before
        v7: Any = v5.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 24 else pack_wcc_attr(v6))) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))))


def format_REMOVE3res(value: REMOVE3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RMDIR3args(buf: Buffer, pos: int) -> tuple[RMDIR3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    (v2,) = _r1[n2](buf, pos)
    pos += n2 + 3 & -4
    return RMDIR3args(diropargs3(v1, v2)), pos


def encode_RMDIR3args(value: RMDIR3args, put: Put) -> None:
    v1 = value.object
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3))


def format_RMDIR3args(value: RMDIR3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RMDIR3resok(buf: Buffer, pos: int) -> tuple[RMDIR3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return RMDIR3resok(wcc_data(v1, v7)), pos


def encode_RMDIR3resok(value: RMDIR3resok, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_RMDIR3resok(value: RMDIR3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RMDIR3resfail(buf: Buffer, pos: int) -> tuple[RMDIR3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return RMDIR3resfail(wcc_data(v1, v7)), pos


def encode_RMDIR3resfail(value: RMDIR3resfail, put: Put) -> None:
    v1 = value.dir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_RMDIR3resfail(value: RMDIR3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RMDIR3res(buf: Buffer, pos: int) -> tuple[RMDIR3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        return RMDIR3res(NFS3_OK, RMDIR3resok(wcc_data(v1, v7))), pos
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v25: wcc_attr | bytes | None = None
    if n4 == 1:
        v26, v27, v28, v29, v30 = _u8(buf, pos)
        pos += 24
        v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v31: fattr3 | bytes | None = None
    if n5 == 1:
        v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
        pos += 84
        v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return RMDIR3res(_m_nfsstat3[n1], RMDIR3resfail(wcc_data(v25, v31))), pos


def encode_RMDIR3res(value: RMDIR3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.dir_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))
    else:
        v5 = v1.dir_wcc
        v6: Any = v5.before
        v7: Any = v5.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 24 else pack_wcc_attr(v6))) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))))


def format_RMDIR3res(value: RMDIR3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RENAME3args(buf: Buffer, pos: int) -> tuple[RENAME3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r7[n2](buf, pos)
    pos += n2 + 7 & -4
    v3, n4 = _r4[n3](buf, pos)
    pos += n3 + 7 & -4
    (v4,) = _r1[n4](buf, pos)
    pos += n4 + 3 & -4
    return RENAME3args(diropargs3(v1, v2), diropargs3(v3, v4)), pos


def encode_RENAME3args(value: RENAME3args, put: Put) -> None:
    v1 = value.from_
    v2 = v1.dir
    n1 = len(v2)
    v3 = v1.name
    n2 = len(v3)
    v4 = value.to
    v5 = v4.dir
    n3 = len(v5)
    v6 = v4.name
    n4 = len(v6)
    put(_q3[n1](n1, v2) + _q1[n2](n2, v3) + _q3[n3](n3, v5) + _q1[n4](n4, v6))


def format_RENAME3args(value: RENAME3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RENAME3resok(buf: Buffer, pos: int) -> tuple[RENAME3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v25: wcc_attr | bytes | None = None
    if n3 == 1:
        v26, v27, v28, v29, v30 = _u8(buf, pos)
        pos += 24
        v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
    elif n3:
        raise _no_value("pre_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v31: fattr3 | bytes | None = None
    if n4 == 1:
        v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
        pos += 84
        v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
    elif n4:
        raise _no_value("post_op_attr", n4)
    return RENAME3resok(wcc_data(v1, v7), wcc_data(v25, v31)), pos


def encode_RENAME3resok(value: RENAME3resok, put: Put) -> None:
    v1 = value.fromdir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    v4 = value.todir_wcc
    v5: Any = v4.before
    v6: Any = v4.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))


def format_RENAME3resok(value: RENAME3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RENAME3resfail(buf: Buffer, pos: int) -> tuple[RENAME3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v25: wcc_attr | bytes | None = None
    if n3 == 1:
        v26, v27, v28, v29, v30 = _u8(buf, pos)
        pos += 24
        v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
    elif n3:
        raise _no_value("pre_op_attr", n3)
    (n4,) = _u3(buf, pos)
    pos += 4
    v31: fattr3 | bytes | None = None
    if n4 == 1:
        v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
        pos += 84
        v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
    elif n4:
        raise _no_value("post_op_attr", n4)
    return RENAME3resfail(wcc_data(v1, v7), wcc_data(v25, v31)), pos


def encode_RENAME3resfail(value: RENAME3resfail, put: Put) -> None:
    v1 = value.fromdir_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    v4 = value.todir_wcc
    v5: Any = v4.before
    v6: Any = v4.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 24 else pack_wcc_attr(v5))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))))


def format_RENAME3resfail(value: RENAME3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_RENAME3res(buf: Buffer, pos: int) -> tuple[RENAME3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v25: wcc_attr | bytes | None = None
        if n4 == 1:
            v26, v27, v28, v29, v30 = _u8(buf, pos)
            pos += 24
            v25 = wcc_attr(v26, nfstime3(v27, v28), nfstime3(v29, v30))
        elif n4:
            raise _no_value("pre_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v31: fattr3 | bytes | None = None
        if n5 == 1:
            v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48 = _u7(buf, pos)
            pos += 84
            v31 = fattr3(_m_ftype3[v32], v33, v34, v35, v36, v37, v38, specdata3(v39, v40), v41, v42, nfstime3(v43, v44), nfstime3(v45, v46), nfstime3(v47, v48))
        elif n5:
            raise _no_value("post_op_attr", n5)
        return RENAME3res(NFS3_OK, RENAME3resok(wcc_data(v1, v7), wcc_data(v25, v31))), pos
    (n6,) = _u3(buf, pos + 4)
    pos += 8
    v49: wcc_attr | bytes | None = None
    if n6 == 1:
        v50, v51, v52, v53, v54 = _u8(buf, pos)
        pos += 24
        v49 = wcc_attr(v50, nfstime3(v51, v52), nfstime3(v53, v54))
    elif n6:
        raise _no_value("pre_op_attr", n6)
    (n7,) = _u3(buf, pos)
    pos += 4
    v55: fattr3 | bytes | None = None
    if n7 == 1:
        v56, v57, v58, v59, v60, v61, v62, v63, v64, v65, v66, v67, v68, v69, v70, v71, v72 = _u7(buf, pos)
        pos += 84
        v55 = fattr3(_m_ftype3[v56], v57, v58, v59, v60, v61, v62, specdata3(v63, v64), v65, v66, nfstime3(v67, v68), nfstime3(v69, v70), nfstime3(v71, v72))
    elif n7:
        raise _no_value("post_op_attr", n7)
    (n8,) = _u3(buf, pos)
    pos += 4
    v73: wcc_attr | bytes | None = None
    if n8 == 1:
        v74, v75, v76, v77, v78 = _u8(buf, pos)
        pos += 24
        v73 = wcc_attr(v74, nfstime3(v75, v76), nfstime3(v77, v78))
    elif n8:
        raise _no_value("pre_op_attr", n8)
    (n9,) = _u3(buf, pos)
    pos += 4
    v79: fattr3 | bytes | None = None
    if n9 == 1:
        v80, v81, v82, v83, v84, v85, v86, v87, v88, v89, v90, v91, v92, v93, v94, v95, v96 = _u7(buf, pos)
        pos += 84
        v79 = fattr3(_m_ftype3[v80], v81, v82, v83, v84, v85, v86, specdata3(v87, v88), v89, v90, nfstime3(v91, v92), nfstime3(v93, v94), nfstime3(v95, v96))
    elif n9:
        raise _no_value("post_op_attr", n9)
    return RENAME3res(_m_nfsstat3[n1], RENAME3resfail(wcc_data(v49, v55), wcc_data(v73, v79))), pos


def encode_RENAME3res(value: RENAME3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.fromdir_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        v5 = v1.todir_wcc
        v6: Any = v5.before
        v7: Any = v5.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 24 else pack_wcc_attr(v6))) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))))
    else:
        v8 = v1.fromdir_wcc
        v9: Any = v8.before
        v10: Any = v8.after
        v11 = v1.todir_wcc
        v12: Any = v11.before
        v13: Any = v11.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 24 else pack_wcc_attr(v9))) + (b'\x00\x00\x00\x00' if v10 is None else b'\x00\x00\x00\x01' + (v10 if v10.__class__ is bytes and len(v10) == 84 else pack_fattr3(v10))) + (b'\x00\x00\x00\x00' if v12 is None else b'\x00\x00\x00\x01' + (v12 if v12.__class__ is bytes and len(v12) == 24 else pack_wcc_attr(v12))) + (b'\x00\x00\x00\x00' if v13 is None else b'\x00\x00\x00\x01' + (v13 if v13.__class__ is bytes and len(v13) == 84 else pack_fattr3(v13))))


def format_RENAME3res(value: RENAME3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LINK3args(buf: Buffer, pos: int) -> tuple[LINK3args, int]:
    (n1,) = _u3(buf, pos)
    v1, n2 = _r4[n1](buf, pos + 4)
    pos += n1 + 11 & -4
    v2, n3 = _r4[n2](buf, pos)
    pos += n2 + 7 & -4
    (v3,) = _r1[n3](buf, pos)
    pos += n3 + 3 & -4
    return LINK3args(v1, diropargs3(v2, v3)), pos


def encode_LINK3args(value: LINK3args, put: Put) -> None:
    v1 = value.file
    n1 = len(v1)
    v2 = value.link
    v3 = v2.dir
    n2 = len(v3)
    v4 = v2.name
    n3 = len(v4)
    put(_q3[n1](n1, v1) + _q3[n2](n2, v3) + _q1[n3](n3, v4))


def format_LINK3args(value: LINK3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LINK3resok(buf: Buffer, pos: int) -> tuple[LINK3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v19: wcc_attr | bytes | None = None
    if n2 == 1:
        v20, v21, v22, v23, v24 = _u8(buf, pos)
        pos += 24
        v19 = wcc_attr(v20, nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("pre_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v25: fattr3 | bytes | None = None
    if n3 == 1:
        v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42 = _u7(buf, pos)
        pos += 84
        v25 = fattr3(_m_ftype3[v26], v27, v28, v29, v30, v31, v32, specdata3(v33, v34), v35, v36, nfstime3(v37, v38), nfstime3(v39, v40), nfstime3(v41, v42))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return LINK3resok(v1, wcc_data(v19, v25)), pos


def encode_LINK3resok(value: LINK3resok, put: Put) -> None:
    v1: Any = value.file_attributes
    v2 = value.linkdir_wcc
    v3: Any = v2.before
    v4: Any = v2.after
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))


def format_LINK3resok(value: LINK3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LINK3resfail(buf: Buffer, pos: int) -> tuple[LINK3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v19: wcc_attr | bytes | None = None
    if n2 == 1:
        v20, v21, v22, v23, v24 = _u8(buf, pos)
        pos += 24
        v19 = wcc_attr(v20, nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("pre_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v25: fattr3 | bytes | None = None
    if n3 == 1:
        v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42 = _u7(buf, pos)
        pos += 84
        v25 = fattr3(_m_ftype3[v26], v27, v28, v29, v30, v31, v32, specdata3(v33, v34), v35, v36, nfstime3(v37, v38), nfstime3(v39, v40), nfstime3(v41, v42))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return LINK3resfail(v1, wcc_data(v19, v25)), pos


def encode_LINK3resfail(value: LINK3resfail, put: Put) -> None:
    v1: Any = value.file_attributes
    v2 = value.linkdir_wcc
    v3: Any = v2.before
    v4: Any = v2.after
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))


def format_LINK3resfail(value: LINK3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_LINK3res(buf: Buffer, pos: int) -> tuple[LINK3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v19: wcc_attr | bytes | None = None
        if n3 == 1:
            v20, v21, v22, v23, v24 = _u8(buf, pos)
            pos += 24
            v19 = wcc_attr(v20, nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("pre_op_attr", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v25: fattr3 | bytes | None = None
        if n4 == 1:
            v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42 = _u7(buf, pos)
            pos += 84
            v25 = fattr3(_m_ftype3[v26], v27, v28, v29, v30, v31, v32, specdata3(v33, v34), v35, v36, nfstime3(v37, v38), nfstime3(v39, v40), nfstime3(v41, v42))
        elif n4:
            raise _no_value("post_op_attr", n4)
        return LINK3res(NFS3_OK, LINK3resok(v1, wcc_data(v19, v25))), pos
    (n5,) = _u3(buf, pos + 4)
    pos += 8
    v43: fattr3 | bytes | None = None
    if n5 == 1:
        v44, v45, v46, v47, v48, v49, v50, v51, v52, v53, v54, v55, v56, v57, v58, v59, v60 = _u7(buf, pos)
        pos += 84
        v43 = fattr3(_m_ftype3[v44], v45, v46, v47, v48, v49, v50, specdata3(v51, v52), v53, v54, nfstime3(v55, v56), nfstime3(v57, v58), nfstime3(v59, v60))
    elif n5:
        raise _no_value("post_op_attr", n5)
    (n6,) = _u3(buf, pos)
    pos += 4
    v61: wcc_attr | bytes | None = None
    if n6 == 1:
        v62, v63, v64, v65, v66 = _u8(buf, pos)
        pos += 24
        v61 = wcc_attr(v62, nfstime3(v63, v64), nfstime3(v65, v66))
    elif n6:
        raise _no_value("pre_op_attr", n6)
    (n7,) = _u3(buf, pos)
    pos += 4
    v67: fattr3 | bytes | None = None
    if n7 == 1:
        v68, v69, v70, v71, v72, v73, v74, v75, v76, v77, v78, v79, v80, v81, v82, v83, v84 = _u7(buf, pos)
        pos += 84
        v67 = fattr3(_m_ftype3[v68], v69, v70, v71, v72, v73, v74, specdata3(v75, v76), v77, v78, nfstime3(v79, v80), nfstime3(v81, v82), nfstime3(v83, v84))
    elif n7:
        raise _no_value("post_op_attr", n7)
    return LINK3res(_m_nfsstat3[n1], LINK3resfail(v43, wcc_data(v61, v67))), pos


def encode_LINK3res(value: LINK3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.file_attributes
        v3 = v1.linkdir_wcc
        v4: Any = v3.before
        v5: Any = v3.after
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 24 else pack_wcc_attr(v4))) + (b'\x00\x00\x00\x00' if v5 is None else b'\x00\x00\x00\x01' + (v5 if v5.__class__ is bytes and len(v5) == 84 else pack_fattr3(v5))))
    else:
        v6: Any = v1.file_attributes
        v7 = v1.linkdir_wcc
        v8: Any = v7.before
        v9: Any = v7.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 24 else pack_wcc_attr(v8))) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_LINK3res(value: LINK3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIR3args(buf: Buffer, pos: int) -> tuple[READDIR3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3, v4 = _r8[n1](buf, pos + 4)
    pos += n1 + 27 & -4
    return READDIR3args(v1, v2, v3, v4), pos


def encode_READDIR3args(value: READDIR3args, put: Put) -> None:
    v1 = value.dir
    n1 = len(v1)
    v2 = value.cookieverf
    if len(v2) != 8:
        raise _too_long("cookieverf3", len(v2), 8)
    put(_q9[n1](n1, v1, value.cookie, v2, value.count))


def format_READDIR3args(value: READDIR3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_entry3(buf: Buffer, pos: int) -> tuple[entry3, int]:
    v1, n1 = _u11(buf, pos)
    v2, v3 = _r9[n1](buf, pos + 12)
    pos += n1 + 23 & -4
    return entry3(v1, v2, v3), pos


def encode_entry3(value: entry3, put: Put) -> None:
    v1 = value.name
    n1 = len(v1)
    put(_q10[n1](value.fileid, n1, v1, value.cookie))


def format_entry3(value: entry3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_dirlist3(buf: Buffer, pos: int) -> tuple[dirlist3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: list[entry3] = []
    while n1 == 1:
        v2, n2 = _u11(buf, pos)
        v3, v4, n1 = _r10[n2](buf, pos + 12)
        pos += n2 + 27 & -4
        v1.append(entry3(v2, v3, v4))
    if n1:
        raise _no_value("dirlist3.entries", n1)
    (v5,) = _u3(buf, pos)
    return dirlist3(v1, _BOOL[v5]), pos + 4


def encode_dirlist3(value: dirlist3, put: Put) -> None:
    for v1 in value.entries:
        v2 = v1.name
        n1 = len(v2)
        put(_q11[n1](1, v1.fileid, n1, v2, v1.cookie))
    put(_p15(0, value.eof))


def format_dirlist3(value: dirlist3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIR3resok(buf: Buffer, pos: int) -> tuple[READDIR3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, n2 = _u12(buf, pos)
    pos += 12
    v20: list[entry3] = []
    while n2 == 1:
        v21, n3 = _u11(buf, pos)
        v22, v23, n2 = _r10[n3](buf, pos + 12)
        pos += n3 + 27 & -4
        v20.append(entry3(v21, v22, v23))
    if n2:
        raise _no_value("dirlist3.entries", n2)
    (v24,) = _u3(buf, pos)
    return READDIR3resok(v1, v19, dirlist3(v20, _BOOL[v24])), pos + 4


def encode_READDIR3resok(value: READDIR3resok, put: Put) -> None:
    v1: Any = value.dir_attributes
    v2 = value.cookieverf
    if len(v2) != 8:
        raise _too_long("cookieverf3", len(v2), 8)
    v3 = value.reply
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p5(v2))
    for v4 in v3.entries:
        v5 = v4.name
        n1 = len(v5)
        put(_q11[n1](1, v4.fileid, n1, v5, v4.cookie))
    put(_p15(0, v3.eof))


def format_READDIR3resok(value: READDIR3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIR3resfail(buf: Buffer, pos: int) -> tuple[READDIR3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return READDIR3resfail(v1), pos


def encode_READDIR3resfail(value: READDIR3resfail, put: Put) -> None:
    v1: Any = value.dir_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_READDIR3resfail(value: READDIR3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIR3res(buf: Buffer, pos: int) -> tuple[READDIR3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, n3 = _u12(buf, pos)
        pos += 12
        v20: list[entry3] = []
        while n3 == 1:
            v21, n4 = _u11(buf, pos)
            v22, v23, n3 = _r10[n4](buf, pos + 12)
            pos += n4 + 27 & -4
            v20.append(entry3(v21, v22, v23))
        if n3:
            raise _no_value("dirlist3.entries", n3)
        (v24,) = _u3(buf, pos)
        return READDIR3res(NFS3_OK, READDIR3resok(v1, v19, dirlist3(v20, _BOOL[v24]))), pos + 4
    (n5,) = _u3(buf, pos + 4)
    pos += 8
    v25: fattr3 | bytes | None = None
    if n5 == 1:
        v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42 = _u7(buf, pos)
        pos += 84
        v25 = fattr3(_m_ftype3[v26], v27, v28, v29, v30, v31, v32, specdata3(v33, v34), v35, v36, nfstime3(v37, v38), nfstime3(v39, v40), nfstime3(v41, v42))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return READDIR3res(_m_nfsstat3[n1], READDIR3resfail(v25)), pos


def encode_READDIR3res(value: READDIR3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.dir_attributes
        v3 = v1.cookieverf
        if len(v3) != 8:
            raise _too_long("cookieverf3", len(v3), 8)
        v4 = v1.reply
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p5(v3))
        for v5 in v4.entries:
            v6 = v5.name
            n1 = len(v6)
            put(_q11[n1](1, v5.fileid, n1, v6, v5.cookie))
        put(_p15(0, v4.eof))
    else:
        v7: Any = v1.dir_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))))


def format_READDIR3res(value: READDIR3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIRPLUS3args(buf: Buffer, pos: int) -> tuple[READDIRPLUS3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3, v4, v5 = _r11[n1](buf, pos + 4)
    pos += n1 + 31 & -4
    return READDIRPLUS3args(v1, v2, v3, v4, v5), pos


def encode_READDIRPLUS3args(value: READDIRPLUS3args, put: Put) -> None:
    v1 = value.dir
    n1 = len(v1)
    v2 = value.cookieverf
    if len(v2) != 8:
        raise _too_long("cookieverf3", len(v2), 8)
    put(_q12[n1](n1, v1, value.cookie, v2, value.dircount, value.maxcount))


def format_READDIRPLUS3args(value: READDIRPLUS3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_entryplus3(buf: Buffer, pos: int) -> tuple[entryplus3, int]:
    v1, n1 = _u11(buf, pos)
    v2, v3, n2 = _r10[n1](buf, pos + 12)
    pos += n1 + 27 & -4
    v4: fattr3 | bytes | None = None
    if n2 == 1:
        v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21 = _u7(buf, pos)
        pos += 84
        v4 = fattr3(_m_ftype3[v5], v6, v7, v8, v9, v10, v11, specdata3(v12, v13), v14, v15, nfstime3(v16, v17), nfstime3(v18, v19), nfstime3(v20, v21))
    elif n2:
        raise _no_value("post_op_attr", n2)
    (n3,) = _u3(buf, pos)
    pos += 4
    v22: nfs_fh3 | None = None
    if n3 == 1:
        (n4,) = _u3(buf, pos)
        (v23,) = _r3[n4](buf, pos + 4)
        pos += n4 + 7 & -4
        v22 = v23
    elif n3:
        raise _no_value("post_op_fh3", n3)
    return entryplus3(v1, v2, v3, v4, v22), pos


def encode_entryplus3(value: entryplus3, put: Put) -> None:
    v1 = value.name
    n1 = len(v1)
    v2: Any = value.name_attributes
    v3 = value.name_handle
    put(_q10[n1](value.fileid, n1, v1, value.cookie) + (b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + (b'\x00\x00\x00\x00' if v3 is None else _q4[len(v3)](1, len(v3), v3)))


def format_entryplus3(value: entryplus3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_dirlistplus3(buf: Buffer, pos: int) -> tuple[dirlistplus3, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: list[entryplus3] = []
    while n1 == 1:
        v2, n2 = _u11(buf, pos)
        v3, v4, n3 = _r10[n2](buf, pos + 12)
        pos += n2 + 27 & -4
        v5: fattr3 | bytes | None = None
        if n3 == 1:
            v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22 = _u7(buf, pos)
            pos += 84
            v5 = fattr3(_m_ftype3[v6], v7, v8, v9, v10, v11, v12, specdata3(v13, v14), v15, v16, nfstime3(v17, v18), nfstime3(v19, v20), nfstime3(v21, v22))
        elif n3:
            raise _no_value("post_op_attr", n3)
        (n4,) = _u3(buf, pos)
        pos += 4
        v23: nfs_fh3 | None = None
        if n4 == 1:
            (n5,) = _u3(buf, pos)
            (v24,) = _r3[n5](buf, pos + 4)
            pos += n5 + 7 & -4
            v23 = v24
        elif n4:
            raise _no_value("post_op_fh3", n4)
        (n1,) = _u3(buf, pos)
        pos += 4
        v1.append(entryplus3(v2, v3, v4, v5, v23))
    if n1:
        raise _no_value("dirlistplus3.entries", n1)
    (v25,) = _u3(buf, pos)
    return dirlistplus3(v1, _BOOL[v25]), pos + 4


def encode_dirlistplus3(value: dirlistplus3, put: Put) -> None:
    for v1 in value.entries:
        v2 = v1.name
        n1 = len(v2)
        v3: Any = v1.name_attributes
        v4 = v1.name_handle
        put(_q11[n1](1, v1.fileid, n1, v2, v1.cookie) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + (b'\x00\x00\x00\x00' if v4 is None else _q4[len(v4)](1, len(v4), v4)))
    put(_p15(0, value.eof))


def format_dirlistplus3(value: dirlistplus3, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIRPLUS3resok(buf: Buffer, pos: int) -> tuple[READDIRPLUS3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, n2 = _u12(buf, pos)
    pos += 12
    v20: list[entryplus3] = []
    while n2 == 1:
        v21, n3 = _u11(buf, pos)
        v22, v23, n4 = _r10[n3](buf, pos + 12)
        pos += n3 + 27 & -4
        v24: fattr3 | bytes | None = None
        if n4 == 1:
            v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41 = _u7(buf, pos)
            pos += 84
            v24 = fattr3(_m_ftype3[v25], v26, v27, v28, v29, v30, v31, specdata3(v32, v33), v34, v35, nfstime3(v36, v37), nfstime3(v38, v39), nfstime3(v40, v41))
        elif n4:
            raise _no_value("post_op_attr", n4)
        (n5,) = _u3(buf, pos)
        pos += 4
        v42: nfs_fh3 | None = None
        if n5 == 1:
            (n6,) = _u3(buf, pos)
            (v43,) = _r3[n6](buf, pos + 4)
            pos += n6 + 7 & -4
            v42 = v43
        elif n5:
            raise _no_value("post_op_fh3", n5)
        (n2,) = _u3(buf, pos)
        pos += 4
        v20.append(entryplus3(v21, v22, v23, v24, v42))
    if n2:
        raise _no_value("dirlistplus3.entries", n2)
    (v44,) = _u3(buf, pos)
    return READDIRPLUS3resok(v1, v19, dirlistplus3(v20, _BOOL[v44])), pos + 4


def encode_READDIRPLUS3resok(value: READDIRPLUS3resok, put: Put) -> None:
    v1: Any = value.dir_attributes
    v2 = value.cookieverf
    if len(v2) != 8:
        raise _too_long("cookieverf3", len(v2), 8)
    v3 = value.reply
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p5(v2))
    for v4 in v3.entries:
        v5 = v4.name
        n1 = len(v5)
        v6: Any = v4.name_attributes
        v7 = v4.name_handle
        put(_q11[n1](1, v4.fileid, n1, v5, v4.cookie) + (b'\x00\x00\x00\x00' if v6 is None else b'\x00\x00\x00\x01' + (v6 if v6.__class__ is bytes and len(v6) == 84 else pack_fattr3(v6))) + (b'\x00\x00\x00\x00' if v7 is None else _q4[len(v7)](1, len(v7), v7)))
    put(_p15(0, v3.eof))


def format_READDIRPLUS3resok(value: READDIRPLUS3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIRPLUS3resfail(buf: Buffer, pos: int) -> tuple[READDIRPLUS3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return READDIRPLUS3resfail(v1), pos


def encode_READDIRPLUS3resfail(value: READDIRPLUS3resfail, put: Put) -> None:
    v1: Any = value.dir_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_READDIRPLUS3resfail(value: READDIRPLUS3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_READDIRPLUS3res(buf: Buffer, pos: int) -> tuple[READDIRPLUS3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, n3 = _u12(buf, pos)
        pos += 12
        v20: list[entryplus3] = []
        while n3 == 1:
            v21, n4 = _u11(buf, pos)
            v22, v23, n5 = _r10[n4](buf, pos + 12)
            pos += n4 + 27 & -4
            v24: fattr3 | bytes | None = None
            if n5 == 1:
                v25, v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41 = _u7(buf, pos)
                pos += 84
                v24 = fattr3(_m_ftype3[v25], v26, v27, v28, v29, v30, v31, specdata3(v32, v33), v34, v35, nfstime3(v36, v37), nfstime3(v38, v39), nfstime3(v40, v41))
            elif n5:
                raise _no_value("post_op_attr", n5)
            (n6,) = _u3(buf, pos)
            pos += 4
            v42: nfs_fh3 | None = None
            if n6 == 1:
                (n7,) = _u3(buf, pos)
                (v43,) = _r3[n7](buf, pos + 4)
                pos += n7 + 7 & -4
                v42 = v43
            elif n6:
                raise _no_value("post_op_fh3", n6)
            (n3,) = _u3(buf, pos)
            pos += 4
            v20.append(entryplus3(v21, v22, v23, v24, v42))
        if n3:
            raise _no_value("dirlistplus3.entries", n3)
        (v44,) = _u3(buf, pos)
        return READDIRPLUS3res(NFS3_OK, READDIRPLUS3resok(v1, v19, dirlistplus3(v20, _BOOL[v44]))), pos + 4
    (n8,) = _u3(buf, pos + 4)
    pos += 8
    v45: fattr3 | bytes | None = None
    if n8 == 1:
        v46, v47, v48, v49, v50, v51, v52, v53, v54, v55, v56, v57, v58, v59, v60, v61, v62 = _u7(buf, pos)
        pos += 84
        v45 = fattr3(_m_ftype3[v46], v47, v48, v49, v50, v51, v52, specdata3(v53, v54), v55, v56, nfstime3(v57, v58), nfstime3(v59, v60), nfstime3(v61, v62))
    elif n8:
        raise _no_value("post_op_attr", n8)
    return READDIRPLUS3res(_m_nfsstat3[n1], READDIRPLUS3resfail(v45)), pos


def encode_READDIRPLUS3res(value: READDIRPLUS3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.dir_attributes
        v3 = v1.cookieverf
        if len(v3) != 8:
            raise _too_long("cookieverf3", len(v3), 8)
        v4 = v1.reply
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p5(v3))
        for v5 in v4.entries:
            v6 = v5.name
            n1 = len(v6)
            v7: Any = v5.name_attributes
            v8 = v5.name_handle
            put(_q11[n1](1, v5.fileid, n1, v6, v5.cookie) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 84 else pack_fattr3(v7))) + (b'\x00\x00\x00\x00' if v8 is None else _q4[len(v8)](1, len(v8), v8)))
        put(_p15(0, v4.eof))
    else:
        v9: Any = v1.dir_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v9 is None else b'\x00\x00\x00\x01' + (v9 if v9.__class__ is bytes and len(v9) == 84 else pack_fattr3(v9))))


def format_READDIRPLUS3res(value: READDIRPLUS3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSSTAT3args(buf: Buffer, pos: int) -> tuple[FSSTAT3args, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return FSSTAT3args(v1), pos


def encode_FSSTAT3args(value: FSSTAT3args, put: Put) -> None:
    v1 = value.fsroot
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_FSSTAT3args(value: FSSTAT3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSSTAT3resok(buf: Buffer, pos: int) -> tuple[FSSTAT3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, v20, v21, v22, v23, v24, v25 = _u13(buf, pos)
    return FSSTAT3resok(v1, v19, v20, v21, v22, v23, v24, v25), pos + 52


def encode_FSSTAT3resok(value: FSSTAT3resok, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p16(value.tbytes, value.fbytes, value.abytes, value.tfiles, value.ffiles, value.afiles, value.invarsec))


def format_FSSTAT3resok(value: FSSTAT3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSSTAT3resfail(buf: Buffer, pos: int) -> tuple[FSSTAT3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return FSSTAT3resfail(v1), pos


def encode_FSSTAT3resfail(value: FSSTAT3resfail, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_FSSTAT3resfail(value: FSSTAT3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSSTAT3res(buf: Buffer, pos: int) -> tuple[FSSTAT3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, v20, v21, v22, v23, v24, v25 = _u13(buf, pos)
        return FSSTAT3res(NFS3_OK, FSSTAT3resok(v1, v19, v20, v21, v22, v23, v24, v25)), pos + 52
    (n3,) = _u3(buf, pos + 4)
    pos += 8
    v26: fattr3 | bytes | None = None
    if n3 == 1:
        v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43 = _u7(buf, pos)
        pos += 84
        v26 = fattr3(_m_ftype3[v27], v28, v29, v30, v31, v32, v33, specdata3(v34, v35), v36, v37, nfstime3(v38, v39), nfstime3(v40, v41), nfstime3(v42, v43))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return FSSTAT3res(_m_nfsstat3[n1], FSSTAT3resfail(v26)), pos


def encode_FSSTAT3res(value: FSSTAT3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.obj_attributes
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p16(v1.tbytes, v1.fbytes, v1.abytes, v1.tfiles, v1.ffiles, v1.afiles, v1.invarsec))
    else:
        v3: Any = v1.obj_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_FSSTAT3res(value: FSSTAT3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSINFO3args(buf: Buffer, pos: int) -> tuple[FSINFO3args, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return FSINFO3args(v1), pos


def encode_FSINFO3args(value: FSINFO3args, put: Put) -> None:
    v1 = value.fsroot
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_FSINFO3args(value: FSINFO3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSINFO3resok(buf: Buffer, pos: int) -> tuple[FSINFO3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, v20, v21, v22, v23, v24, v25, v26, v27, v28, v29 = _u14(buf, pos)
    return FSINFO3resok(v1, v19, v20, v21, v22, v23, v24, v25, v26, nfstime3(v27, v28), v29), pos + 48


def encode_FSINFO3resok(value: FSINFO3resok, put: Put) -> None:
    v1: Any = value.obj_attributes
    v2 = value.time_delta
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p17(value.rtmax, value.rtpref, value.rtmult, value.wtmax, value.wtpref, value.wtmult, value.dtpref, value.maxfilesize, v2.seconds, v2.nseconds, value.properties))


def format_FSINFO3resok(value: FSINFO3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSINFO3resfail(buf: Buffer, pos: int) -> tuple[FSINFO3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return FSINFO3resfail(v1), pos


def encode_FSINFO3resfail(value: FSINFO3resfail, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_FSINFO3resfail(value: FSINFO3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_FSINFO3res(buf: Buffer, pos: int) -> tuple[FSINFO3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, v20, v21, v22, v23, v24, v25, v26, v27, v28, v29 = _u14(buf, pos)
        return FSINFO3res(NFS3_OK, FSINFO3resok(v1, v19, v20, v21, v22, v23, v24, v25, v26, nfstime3(v27, v28), v29)), pos + 48
    (n3,) = _u3(buf, pos + 4)
    pos += 8
    v30: fattr3 | bytes | None = None
    if n3 == 1:
        v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47 = _u7(buf, pos)
        pos += 84
        v30 = fattr3(_m_ftype3[v31], v32, v33, v34, v35, v36, v37, specdata3(v38, v39), v40, v41, nfstime3(v42, v43), nfstime3(v44, v45), nfstime3(v46, v47))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return FSINFO3res(_m_nfsstat3[n1], FSINFO3resfail(v30)), pos


def encode_FSINFO3res(value: FSINFO3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.obj_attributes
        v3 = v1.time_delta
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p17(v1.rtmax, v1.rtpref, v1.rtmult, v1.wtmax, v1.wtpref, v1.wtmult, v1.dtpref, v1.maxfilesize, v3.seconds, v3.nseconds, v1.properties))
    else:
        v4: Any = v1.obj_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))))


def format_FSINFO3res(value: FSINFO3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_PATHCONF3args(buf: Buffer, pos: int) -> tuple[PATHCONF3args, int]:
    (n1,) = _u3(buf, pos)
    (v1,) = _r3[n1](buf, pos + 4)
    pos += n1 + 7 & -4
    return PATHCONF3args(v1), pos


def encode_PATHCONF3args(value: PATHCONF3args, put: Put) -> None:
    v1 = value.object
    n1 = len(v1)
    put(_q3[n1](n1, v1))


def format_PATHCONF3args(value: PATHCONF3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_PATHCONF3resok(buf: Buffer, pos: int) -> tuple[PATHCONF3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    v19, v20, v21, v22, v23, v24 = _u15(buf, pos)
    return PATHCONF3resok(v1, v19, v20, _BOOL[v21], _BOOL[v22], _BOOL[v23], _BOOL[v24]), pos + 24


def encode_PATHCONF3resok(value: PATHCONF3resok, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))) + _p18(value.linkmax, value.name_max, value.no_trunc, value.chown_restricted, value.case_insensitive, value.case_preserving))


def format_PATHCONF3resok(value: PATHCONF3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_PATHCONF3resfail(buf: Buffer, pos: int) -> tuple[PATHCONF3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: fattr3 | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
        pos += 84
        v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
    elif n1:
        raise _no_value("post_op_attr", n1)
    return PATHCONF3resfail(v1), pos


def encode_PATHCONF3resfail(value: PATHCONF3resfail, put: Put) -> None:
    v1: Any = value.obj_attributes
    put((b'\x00\x00\x00\x00' if v1 is None else b'\x00\x00\x00\x01' + (v1 if v1.__class__ is bytes and len(v1) == 84 else pack_fattr3(v1))))


def format_PATHCONF3resfail(value: PATHCONF3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_PATHCONF3res(buf: Buffer, pos: int) -> tuple[PATHCONF3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: fattr3 | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18 = _u7(buf, pos)
            pos += 84
            v1 = fattr3(_m_ftype3[v2], v3, v4, v5, v6, v7, v8, specdata3(v9, v10), v11, v12, nfstime3(v13, v14), nfstime3(v15, v16), nfstime3(v17, v18))
        elif n2:
            raise _no_value("post_op_attr", n2)
        v19, v20, v21, v22, v23, v24 = _u15(buf, pos)
        return PATHCONF3res(NFS3_OK, PATHCONF3resok(v1, v19, v20, _BOOL[v21], _BOOL[v22], _BOOL[v23], _BOOL[v24])), pos + 24
    (n3,) = _u3(buf, pos + 4)
    pos += 8
    v25: fattr3 | bytes | None = None
    if n3 == 1:
        v26, v27, v28, v29, v30, v31, v32, v33, v34, v35, v36, v37, v38, v39, v40, v41, v42 = _u7(buf, pos)
        pos += 84
        v25 = fattr3(_m_ftype3[v26], v27, v28, v29, v30, v31, v32, specdata3(v33, v34), v35, v36, nfstime3(v37, v38), nfstime3(v39, v40), nfstime3(v41, v42))
    elif n3:
        raise _no_value("post_op_attr", n3)
    return PATHCONF3res(_m_nfsstat3[n1], PATHCONF3resfail(v25)), pos


def encode_PATHCONF3res(value: PATHCONF3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2: Any = v1.obj_attributes
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 84 else pack_fattr3(v2))) + _p18(v1.linkmax, v1.name_max, v1.no_trunc, v1.chown_restricted, v1.case_insensitive, v1.case_preserving))
    else:
        v3: Any = v1.obj_attributes
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_PATHCONF3res(value: PATHCONF3res, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_COMMIT3args(buf: Buffer, pos: int) -> tuple[COMMIT3args, int]:
    (n1,) = _u3(buf, pos)
    v1, v2, v3 = _r5[n1](buf, pos + 4)
    pos += n1 + 19 & -4
    return COMMIT3args(v1, v2, v3), pos


def encode_COMMIT3args(value: COMMIT3args, put: Put) -> None:
    v1 = value.file
    n1 = len(v1)
    put(_q7[n1](n1, v1, value.offset, value.count))


def format_COMMIT3args(value: COMMIT3args, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_COMMIT3resok(buf: Buffer, pos: int) -> tuple[COMMIT3resok, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    (v25,) = _u5(buf, pos)
    return COMMIT3resok(wcc_data(v1, v7), v25), pos + 8


def encode_COMMIT3resok(value: COMMIT3resok, put: Put) -> None:
    v1 = value.file_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    v4 = value.verf
    if len(v4) != 8:
        raise _too_long("writeverf3", len(v4), 8)
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))) + _p5(v4))


def format_COMMIT3resok(value: COMMIT3resok, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_COMMIT3resfail(buf: Buffer, pos: int) -> tuple[COMMIT3resfail, int]:
    (n1,) = _u3(buf, pos)
    pos += 4
    v1: wcc_attr | bytes | None = None
    if n1 == 1:
        v2, v3, v4, v5, v6 = _u8(buf, pos)
        pos += 24
        v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
    elif n1:
        raise _no_value("pre_op_attr", n1)
    (n2,) = _u3(buf, pos)
    pos += 4
    v7: fattr3 | bytes | None = None
    if n2 == 1:
        v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
        pos += 84
        v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
    elif n2:
        raise _no_value("post_op_attr", n2)
    return COMMIT3resfail(wcc_data(v1, v7)), pos


def encode_COMMIT3resfail(value: COMMIT3resfail, put: Put) -> None:
    v1 = value.file_wcc
    v2: Any = v1.before
    v3: Any = v1.after
    put((b'\x00\x00\x00\x00' if v2 is None else b'\x00\x00\x00\x01' + (v2 if v2.__class__ is bytes and len(v2) == 24 else pack_wcc_attr(v2))) + (b'\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 84 else pack_fattr3(v3))))


def format_COMMIT3resfail(value: COMMIT3resfail, depth: int = 4) -> str:
    return _pretty(value, depth)


def decode_COMMIT3res(buf: Buffer, pos: int) -> tuple[COMMIT3res, int]:
    (n1,) = _u4(buf, pos)
    if n1 == 0:
        (n2,) = _u3(buf, pos + 4)
        pos += 8
        v1: wcc_attr | bytes | None = None
        if n2 == 1:
            v2, v3, v4, v5, v6 = _u8(buf, pos)
            pos += 24
            v1 = wcc_attr(v2, nfstime3(v3, v4), nfstime3(v5, v6))
        elif n2:
            raise _no_value("pre_op_attr", n2)
        (n3,) = _u3(buf, pos)
        pos += 4
        v7: fattr3 | bytes | None = None
        if n3 == 1:
            v8, v9, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19, v20, v21, v22, v23, v24 = _u7(buf, pos)
            pos += 84
            v7 = fattr3(_m_ftype3[v8], v9, v10, v11, v12, v13, v14, specdata3(v15, v16), v17, v18, nfstime3(v19, v20), nfstime3(v21, v22), nfstime3(v23, v24))
        elif n3:
            raise _no_value("post_op_attr", n3)
        (v25,) = _u5(buf, pos)
        return COMMIT3res(NFS3_OK, COMMIT3resok(wcc_data(v1, v7), v25)), pos + 8
    (n4,) = _u3(buf, pos + 4)
    pos += 8
    v26: wcc_attr | bytes | None = None
    if n4 == 1:
        v27, v28, v29, v30, v31 = _u8(buf, pos)
        pos += 24
        v26 = wcc_attr(v27, nfstime3(v28, v29), nfstime3(v30, v31))
    elif n4:
        raise _no_value("pre_op_attr", n4)
    (n5,) = _u3(buf, pos)
    pos += 4
    v32: fattr3 | bytes | None = None
    if n5 == 1:
        v33, v34, v35, v36, v37, v38, v39, v40, v41, v42, v43, v44, v45, v46, v47, v48, v49 = _u7(buf, pos)
        pos += 84
        v32 = fattr3(_m_ftype3[v33], v34, v35, v36, v37, v38, v39, specdata3(v40, v41), v42, v43, nfstime3(v44, v45), nfstime3(v46, v47), nfstime3(v48, v49))
    elif n5:
        raise _no_value("post_op_attr", n5)
    return COMMIT3res(_m_nfsstat3[n1], COMMIT3resfail(wcc_data(v26, v32))), pos


def encode_COMMIT3res(value: COMMIT3res, put: Put) -> None:
    d1 = value.status
    v1: Any = value.value
    if d1 == 0:
        v2 = v1.file_wcc
        v3: Any = v2.before
        v4: Any = v2.after
        v5 = v1.verf
        if len(v5) != 8:
            raise _too_long("writeverf3", len(v5), 8)
        put((b'\x00\x00\x00\x00\x00\x00\x00\x00' if v3 is None else b'\x00\x00\x00\x00\x00\x00\x00\x01' + (v3 if v3.__class__ is bytes and len(v3) == 24 else pack_wcc_attr(v3))) + (b'\x00\x00\x00\x00' if v4 is None else b'\x00\x00\x00\x01' + (v4 if v4.__class__ is bytes and len(v4) == 84 else pack_fattr3(v4))) + _p5(v5))
    else:
        v6 = v1.file_wcc
        v7: Any = v6.before
        v8: Any = v6.after
        put(_p4(_m_nfsstat3[d1]) + (b'\x00\x00\x00\x00' if v7 is None else b'\x00\x00\x00\x01' + (v7 if v7.__class__ is bytes and len(v7) == 24 else pack_wcc_attr(v7))) + (b'\x00\x00\x00\x00' if v8 is None else b'\x00\x00\x00\x01' + (v8 if v8.__class__ is bytes and len(v8) == 84 else pack_fattr3(v8))))


def format_COMMIT3res(value: COMMIT3res, depth: int = 4) -> str:
    return _pretty(value, depth)

decode_fileid3 = decode_uint64
encode_fileid3 = encode_uint64
format_fileid3 = format_uint64
pack_fileid3 = pack_uint64

decode_cookie3 = decode_uint64
encode_cookie3 = encode_uint64
format_cookie3 = format_uint64
pack_cookie3 = pack_uint64

decode_uid3 = decode_uint32
encode_uid3 = encode_uint32
format_uid3 = format_uint32
pack_uid3 = pack_uint32

decode_gid3 = decode_uint32
encode_gid3 = encode_uint32
format_gid3 = format_uint32
pack_gid3 = pack_uint32

decode_size3 = decode_uint64
encode_size3 = encode_uint64
format_size3 = format_uint64
pack_size3 = pack_uint64

decode_offset3 = decode_uint64
encode_offset3 = encode_uint64
format_offset3 = format_uint64
pack_offset3 = pack_uint64

decode_mode3 = decode_uint32
encode_mode3 = encode_uint32
format_mode3 = format_uint32
pack_mode3 = pack_uint32

decode_count3 = decode_uint32
encode_count3 = encode_uint32
format_count3 = format_uint32
pack_count3 = pack_uint32


NFS_V3 = Program(
    "NFS_PROGRAM",
    100003,
    3,
    {
        0: Proc(
            0, "NULL",
            _decode_void, _encode_void,
            _decode_void, _encode_void,
        ),
        1: Proc(
            1, "GETATTR",
            decode_GETATTR3args, encode_GETATTR3args,
            decode_GETATTR3res, encode_GETATTR3res,
        ),
        2: Proc(
            2, "SETATTR",
            decode_SETATTR3args, encode_SETATTR3args,
            decode_SETATTR3res, encode_SETATTR3res,
        ),
        3: Proc(
            3, "LOOKUP",
            decode_LOOKUP3args, encode_LOOKUP3args,
            decode_LOOKUP3res, encode_LOOKUP3res,
        ),
        4: Proc(
            4, "ACCESS",
            decode_ACCESS3args, encode_ACCESS3args,
            decode_ACCESS3res, encode_ACCESS3res,
        ),
        5: Proc(
            5, "READLINK",
            decode_READLINK3args, encode_READLINK3args,
            decode_READLINK3res, encode_READLINK3res,
        ),
        6: Proc(
            6, "READ",
            decode_READ3args, encode_READ3args,
            decode_READ3res, encode_READ3res,
        ),
        7: Proc(
            7, "WRITE",
            decode_WRITE3args, encode_WRITE3args,
            decode_WRITE3res, encode_WRITE3res,
        ),
        8: Proc(
            8, "CREATE",
            decode_CREATE3args, encode_CREATE3args,
            decode_CREATE3res, encode_CREATE3res,
        ),
        9: Proc(
            9, "MKDIR",
            decode_MKDIR3args, encode_MKDIR3args,
            decode_MKDIR3res, encode_MKDIR3res,
        ),
        10: Proc(
            10, "SYMLINK",
            decode_SYMLINK3args, encode_SYMLINK3args,
            decode_SYMLINK3res, encode_SYMLINK3res,
        ),
        11: Proc(
            11, "MKNOD",
            decode_MKNOD3args, encode_MKNOD3args,
            decode_MKNOD3res, encode_MKNOD3res,
        ),
        12: Proc(
            12, "REMOVE",
            decode_REMOVE3args, encode_REMOVE3args,
            decode_REMOVE3res, encode_REMOVE3res,
        ),
        13: Proc(
            13, "RMDIR",
            decode_RMDIR3args, encode_RMDIR3args,
            decode_RMDIR3res, encode_RMDIR3res,
        ),
        14: Proc(
            14, "RENAME",
            decode_RENAME3args, encode_RENAME3args,
            decode_RENAME3res, encode_RENAME3res,
        ),
        15: Proc(
            15, "LINK",
            decode_LINK3args, encode_LINK3args,
            decode_LINK3res, encode_LINK3res,
        ),
        16: Proc(
            16, "READDIR",
            decode_READDIR3args, encode_READDIR3args,
            decode_READDIR3res, encode_READDIR3res,
        ),
        17: Proc(
            17, "READDIRPLUS",
            decode_READDIRPLUS3args, encode_READDIRPLUS3args,
            decode_READDIRPLUS3res, encode_READDIRPLUS3res,
        ),
        18: Proc(
            18, "FSSTAT",
            decode_FSSTAT3args, encode_FSSTAT3args,
            decode_FSSTAT3res, encode_FSSTAT3res,
        ),
        19: Proc(
            19, "FSINFO",
            decode_FSINFO3args, encode_FSINFO3args,
            decode_FSINFO3res, encode_FSINFO3res,
        ),
        20: Proc(
            20, "PATHCONF",
            decode_PATHCONF3args, encode_PATHCONF3args,
            decode_PATHCONF3res, encode_PATHCONF3res,
        ),
        21: Proc(
            21, "COMMIT",
            decode_COMMIT3args, encode_COMMIT3args,
            decode_COMMIT3res, encode_COMMIT3res,
        ),
    },
)


class NFS_V3_Client:
    """NFS_PROGRAM version 3, called."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:
        self._caller = _in_session(caller) if at_most_once else caller

    async def NULL(
        self, args: None = None, *, timeout: float | None = None
    ) -> None:
        result: None = await self._caller.call(NFS_V3, NFS_V3.procs[0], args, timeout)
        return result

    async def GETATTR(
        self, args: GETATTR3args, *, timeout: float | None = None
    ) -> GETATTR3res:
        result: GETATTR3res = await self._caller.call(NFS_V3, NFS_V3.procs[1], args, timeout)
        return result

    async def SETATTR(
        self, args: SETATTR3args, *, timeout: float | None = None
    ) -> SETATTR3res:
        result: SETATTR3res = await self._caller.call(NFS_V3, NFS_V3.procs[2], args, timeout)
        return result

    async def LOOKUP(
        self, args: LOOKUP3args, *, timeout: float | None = None
    ) -> LOOKUP3res:
        result: LOOKUP3res = await self._caller.call(NFS_V3, NFS_V3.procs[3], args, timeout)
        return result

    async def ACCESS(
        self, args: ACCESS3args, *, timeout: float | None = None
    ) -> ACCESS3res:
        result: ACCESS3res = await self._caller.call(NFS_V3, NFS_V3.procs[4], args, timeout)
        return result

    async def READLINK(
        self, args: READLINK3args, *, timeout: float | None = None
    ) -> READLINK3res:
        result: READLINK3res = await self._caller.call(NFS_V3, NFS_V3.procs[5], args, timeout)
        return result

    async def READ(
        self, args: READ3args, *, timeout: float | None = None
    ) -> READ3res:
        result: READ3res = await self._caller.call(NFS_V3, NFS_V3.procs[6], args, timeout)
        return result

    async def WRITE(
        self, args: WRITE3args, *, timeout: float | None = None
    ) -> WRITE3res:
        result: WRITE3res = await self._caller.call(NFS_V3, NFS_V3.procs[7], args, timeout)
        return result

    async def CREATE(
        self, args: CREATE3args, *, timeout: float | None = None
    ) -> CREATE3res:
        result: CREATE3res = await self._caller.call(NFS_V3, NFS_V3.procs[8], args, timeout)
        return result

    async def MKDIR(
        self, args: MKDIR3args, *, timeout: float | None = None
    ) -> MKDIR3res:
        result: MKDIR3res = await self._caller.call(NFS_V3, NFS_V3.procs[9], args, timeout)
        return result

    async def SYMLINK(
        self, args: SYMLINK3args, *, timeout: float | None = None
    ) -> SYMLINK3res:
        result: SYMLINK3res = await self._caller.call(NFS_V3, NFS_V3.procs[10], args, timeout)
        return result

    async def MKNOD(
        self, args: MKNOD3args, *, timeout: float | None = None
    ) -> MKNOD3res:
        result: MKNOD3res = await self._caller.call(NFS_V3, NFS_V3.procs[11], args, timeout)
        return result

    async def REMOVE(
        self, args: REMOVE3args, *, timeout: float | None = None
    ) -> REMOVE3res:
        result: REMOVE3res = await self._caller.call(NFS_V3, NFS_V3.procs[12], args, timeout)
        return result

    async def RMDIR(
        self, args: RMDIR3args, *, timeout: float | None = None
    ) -> RMDIR3res:
        result: RMDIR3res = await self._caller.call(NFS_V3, NFS_V3.procs[13], args, timeout)
        return result

    async def RENAME(
        self, args: RENAME3args, *, timeout: float | None = None
    ) -> RENAME3res:
        result: RENAME3res = await self._caller.call(NFS_V3, NFS_V3.procs[14], args, timeout)
        return result

    async def LINK(
        self, args: LINK3args, *, timeout: float | None = None
    ) -> LINK3res:
        result: LINK3res = await self._caller.call(NFS_V3, NFS_V3.procs[15], args, timeout)
        return result

    async def READDIR(
        self, args: READDIR3args, *, timeout: float | None = None
    ) -> READDIR3res:
        result: READDIR3res = await self._caller.call(NFS_V3, NFS_V3.procs[16], args, timeout)
        return result

    async def READDIRPLUS(
        self, args: READDIRPLUS3args, *, timeout: float | None = None
    ) -> READDIRPLUS3res:
        result: READDIRPLUS3res = await self._caller.call(NFS_V3, NFS_V3.procs[17], args, timeout)
        return result

    async def FSSTAT(
        self, args: FSSTAT3args, *, timeout: float | None = None
    ) -> FSSTAT3res:
        result: FSSTAT3res = await self._caller.call(NFS_V3, NFS_V3.procs[18], args, timeout)
        return result

    async def FSINFO(
        self, args: FSINFO3args, *, timeout: float | None = None
    ) -> FSINFO3res:
        result: FSINFO3res = await self._caller.call(NFS_V3, NFS_V3.procs[19], args, timeout)
        return result

    async def PATHCONF(
        self, args: PATHCONF3args, *, timeout: float | None = None
    ) -> PATHCONF3res:
        result: PATHCONF3res = await self._caller.call(NFS_V3, NFS_V3.procs[20], args, timeout)
        return result

    async def COMMIT(
        self, args: COMMIT3args, *, timeout: float | None = None
    ) -> COMMIT3res:
        result: COMMIT3res = await self._caller.call(NFS_V3, NFS_V3.procs[21], args, timeout)
        return result


class NFS_V3_Service(Service):
    """NFS_PROGRAM version 3, to be served."""

    PROGRAM = NFS_V3

    async def GETATTR(self, call: Any, args: GETATTR3args) -> GETATTR3res:
        raise _ProcUnavail("GETATTR")

    async def SETATTR(self, call: Any, args: SETATTR3args) -> SETATTR3res:
        raise _ProcUnavail("SETATTR")

    async def LOOKUP(self, call: Any, args: LOOKUP3args) -> LOOKUP3res:
        raise _ProcUnavail("LOOKUP")

    async def ACCESS(self, call: Any, args: ACCESS3args) -> ACCESS3res:
        raise _ProcUnavail("ACCESS")

    async def READLINK(self, call: Any, args: READLINK3args) -> READLINK3res:
        raise _ProcUnavail("READLINK")

    async def READ(self, call: Any, args: READ3args) -> READ3res:
        raise _ProcUnavail("READ")

    async def WRITE(self, call: Any, args: WRITE3args) -> WRITE3res:
        raise _ProcUnavail("WRITE")

    async def CREATE(self, call: Any, args: CREATE3args) -> CREATE3res:
        raise _ProcUnavail("CREATE")

    async def MKDIR(self, call: Any, args: MKDIR3args) -> MKDIR3res:
        raise _ProcUnavail("MKDIR")

    async def SYMLINK(self, call: Any, args: SYMLINK3args) -> SYMLINK3res:
        raise _ProcUnavail("SYMLINK")

    async def MKNOD(self, call: Any, args: MKNOD3args) -> MKNOD3res:
        raise _ProcUnavail("MKNOD")

    async def REMOVE(self, call: Any, args: REMOVE3args) -> REMOVE3res:
        raise _ProcUnavail("REMOVE")

    async def RMDIR(self, call: Any, args: RMDIR3args) -> RMDIR3res:
        raise _ProcUnavail("RMDIR")

    async def RENAME(self, call: Any, args: RENAME3args) -> RENAME3res:
        raise _ProcUnavail("RENAME")

    async def LINK(self, call: Any, args: LINK3args) -> LINK3res:
        raise _ProcUnavail("LINK")

    async def READDIR(self, call: Any, args: READDIR3args) -> READDIR3res:
        raise _ProcUnavail("READDIR")

    async def READDIRPLUS(self, call: Any, args: READDIRPLUS3args) -> READDIRPLUS3res:
        raise _ProcUnavail("READDIRPLUS")

    async def FSSTAT(self, call: Any, args: FSSTAT3args) -> FSSTAT3res:
        raise _ProcUnavail("FSSTAT")

    async def FSINFO(self, call: Any, args: FSINFO3args) -> FSINFO3res:
        raise _ProcUnavail("FSINFO")

    async def PATHCONF(self, call: Any, args: PATHCONF3args) -> PATHCONF3res:
        raise _ProcUnavail("PATHCONF")

    async def COMMIT(self, call: Any, args: COMMIT3args) -> COMMIT3res:
        raise _ProcUnavail("COMMIT")
