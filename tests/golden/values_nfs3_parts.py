"""The pieces that the NFS version 3 vectors share, as Python values: the fragments of nfs3.txt."""

from __future__ import annotations

from nfsloop.nfs3.nfs3_xdr import (
    DONT_CHANGE,
    NF3DIR,
    NF3REG,
    fattr3,
    nfstime3,
    sattr3,
    set_atime,
    set_mtime,
    specdata3,
    wcc_attr,
    wcc_data,
)

FH_DIR = b"DIR0\0\0\0\0\0\0\0\2"
FH_OTHER = b"DIR1\0\0\0\0\0\3"
FH_FILE = b"FILE\0\0\0\0\0\0\1\2\0\0\0\x7f"
FH_NEW = b"NEW!\xff\0\1"

FSID = 0x0102030405060708

FATTR_FILE = fattr3(
    type=NF3REG,
    mode=0o644,
    nlink=1,
    uid=1000,
    gid=100,
    size=(1 << 32) + 4660,
    used=(1 << 32) + 8192,
    rdev=specdata3(0, 0),
    fsid=FSID,
    fileid=258,
    atime=nfstime3(0x5F000001, 1),
    mtime=nfstime3(0x5F000002, 999_999_999),
    ctime=nfstime3(0x5F000003, 0),
)
FATTR_DIR = fattr3(
    type=NF3DIR,
    mode=0o1755,
    nlink=3,
    uid=0,
    gid=0,
    size=4096,
    used=4096,
    rdev=specdata3(0, 0),
    fsid=FSID,
    fileid=(1 << 64) - 2,
    atime=nfstime3(0x5F000004, 0),
    mtime=nfstime3(0x5F000005, 5),
    ctime=nfstime3(0xFFFFFFFF, 6),
)
WCC_FILE = wcc_data(
    wcc_attr(size=5, mtime=nfstime3(0x5F000010, 7), ctime=nfstime3(0x5F000011, 0)), FATTR_FILE
)
WCC_DIR = wcc_data(
    wcc_attr(size=4095, mtime=nfstime3(0x5F000012, 0), ctime=nfstime3(0x5F000013, 8)), FATTR_DIR
)
WCC_NONE = wcc_data(None, None)


def sattr(
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    size: int | None = None,
    atime: set_atime | None = None,
    mtime: set_mtime | None = None,
) -> sattr3:
    """A sattr3 that sets what is given."""
    return sattr3(
        mode, uid, gid, size, atime or set_atime(DONT_CHANGE), mtime or set_mtime(DONT_CHANGE)
    )


SATTR_NONE = sattr()
SATTR_0640 = sattr(mode=0o640)
