"""What the calls of nfs3.txt say, as typed values. Written by hand, as the vectors are."""

from __future__ import annotations

from typing import Any

from values_nfs3_parts import (
    FH_DIR,
    FH_FILE,
    FH_NEW,
    FH_OTHER,
    SATTR_0640,
    SATTR_NONE,
    sattr,
)

from nfsloop.nfs3.nfs3_xdr import (
    DATA_SYNC,
    EXCLUSIVE,
    FILE_SYNC,
    GUARDED,
    NF3BLK,
    NF3CHR,
    NF3FIFO,
    NF3REG,
    NF3SOCK,
    SET_TO_CLIENT_TIME,
    SET_TO_SERVER_TIME,
    UNCHECKED,
    UNSTABLE,
    ACCESS3args,
    COMMIT3args,
    CREATE3args,
    FSINFO3args,
    FSSTAT3args,
    GETATTR3args,
    LINK3args,
    LOOKUP3args,
    MKDIR3args,
    MKNOD3args,
    PATHCONF3args,
    READ3args,
    READDIR3args,
    READDIRPLUS3args,
    READLINK3args,
    REMOVE3args,
    RENAME3args,
    RMDIR3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    devicedata3,
    diropargs3,
    mknoddata3,
    nfstime3,
    set_atime,
    set_mtime,
    specdata3,
    symlinkdata3,
)

SERVER_ATIME = set_atime(SET_TO_SERVER_TIME)
SERVER_MTIME = set_mtime(SET_TO_SERVER_TIME)
NEW = diropargs3(FH_DIR, b"new")

CALLS: dict[str, Any] = {
    "NULL none": None,
    "GETATTR file": GETATTR3args(FH_FILE),
    "GETATTR handle of 64 bytes": GETATTR3args(bytes(range(64))),
    "GETATTR handle of 1 byte": GETATTR3args(b"\xa5"),
    "SETATTR nothing": SETATTR3args(FH_FILE, sattr(), None),
    "SETATTR mode": SETATTR3args(FH_FILE, sattr(mode=0o7777), None),
    "SETATTR uid": SETATTR3args(FH_FILE, sattr(uid=4294967294), None),
    "SETATTR gid": SETATTR3args(FH_FILE, sattr(gid=0), None),
    "SETATTR size": SETATTR3args(FH_FILE, sattr(size=(2 << 32) + 3), None),
    "SETATTR atime of the server": SETATTR3args(FH_FILE, sattr(atime=SERVER_ATIME), None),
    "SETATTR mtime of the server": SETATTR3args(FH_FILE, sattr(mtime=SERVER_MTIME), None),
    "SETATTR atime of the client": SETATTR3args(
        FH_FILE, sattr(atime=set_atime(SET_TO_CLIENT_TIME, nfstime3(0x12345678, 10))), None
    ),
    "SETATTR mtime of the client": SETATTR3args(
        FH_FILE, sattr(mtime=set_mtime(SET_TO_CLIENT_TIME, nfstime3(0x87654321, 999_999_999))), None
    ),
    "SETATTR everything with a guard": SETATTR3args(
        FH_FILE,
        sattr(
            mode=0o755,
            uid=1,
            gid=2,
            size=3,
            atime=set_atime(SET_TO_CLIENT_TIME, nfstime3(4, 5)),
            mtime=set_mtime(SET_TO_CLIENT_TIME, nfstime3(6, 7)),
        ),
        nfstime3(0x5F000003, 8),
    ),
    "LOOKUP name of 4 bytes": LOOKUP3args(diropargs3(FH_DIR, b"file")),
    "LOOKUP name of 1 byte": LOOKUP3args(diropargs3(FH_OTHER, b"a")),
    "LOOKUP name that is no UTF-8": LOOKUP3args(diropargs3(FH_DIR, b"\xff\xfe.")),
    "LOOKUP empty name": LOOKUP3args(diropargs3(FH_DIR, b"")),
    "ACCESS all": ACCESS3args(FH_DIR, 0x3F),
    "READLINK link": READLINK3args(FH_NEW),
    "READ beyond 4 GiB": READ3args(FH_FILE, (1 << 32) + 4096, 32768),
    "WRITE 5 bytes unstable": WRITE3args(FH_FILE, 1 << 32, 5, UNSTABLE, b"world"),
    "WRITE 2 bytes data-sync": WRITE3args(FH_FILE, 0, 2, DATA_SYNC, b"\r\n"),
    "WRITE 4 bytes file-sync": WRITE3args(
        FH_FILE, (1 << 64) - 1, 4, FILE_SYNC, b"\xca\xfe\xf0\x0d"
    ),
    "WRITE nothing": WRITE3args(FH_FILE, 7, 0, FILE_SYNC, b""),
    "CREATE unchecked": CREATE3args(
        NEW,
        createhow3(UNCHECKED, sattr(mode=0o666, size=0, atime=SERVER_ATIME, mtime=SERVER_MTIME)),
    ),
    "CREATE guarded": CREATE3args(NEW, createhow3(GUARDED, SATTR_0640)),
    "CREATE exclusive": CREATE3args(
        NEW, createhow3(EXCLUSIVE, b"\xfe\xdc\xba\x98\x76\x54\x32\x10")
    ),
    "MKDIR sub": MKDIR3args(diropargs3(FH_DIR, b"subdir"), sattr(mode=0o755)),
    "SYMLINK link": SYMLINK3args(diropargs3(FH_DIR, b"link"), symlinkdata3(SATTR_0640, b"target")),
    "MKNOD character device": MKNOD3args(
        diropargs3(FH_DIR, b"tty"), mknoddata3(NF3CHR, devicedata3(SATTR_0640, specdata3(5, 1)))
    ),
    "MKNOD block device": MKNOD3args(
        diropargs3(FH_DIR, b"sda"),
        mknoddata3(NF3BLK, devicedata3(SATTR_NONE, specdata3(8, 0xFFFFFFFF))),
    ),
    "MKNOD socket": MKNOD3args(diropargs3(FH_DIR, b"sock"), mknoddata3(NF3SOCK, SATTR_0640)),
    "MKNOD fifo": MKNOD3args(diropargs3(FH_DIR, b"pipe"), mknoddata3(NF3FIFO, SATTR_NONE)),
    "MKNOD regular file": MKNOD3args(diropargs3(FH_DIR, b"reg"), mknoddata3(NF3REG, None)),
    "REMOVE file": REMOVE3args(diropargs3(FH_DIR, b".nfs001")),
    "RMDIR sub": RMDIR3args(diropargs3(FH_DIR, b"subdir")),
    "RENAME to another directory": RENAME3args(
        diropargs3(FH_DIR, b"old"), diropargs3(FH_OTHER, b"newer")
    ),
    "LINK file": LINK3args(FH_FILE, diropargs3(FH_DIR, b"alias")),
    "READDIR from the beginning": READDIR3args(FH_DIR, 0, bytes(8), 4096),
    "READDIR further": READDIR3args(
        FH_DIR, (1 << 63) + 1, b"\x01\x23\x45\x67\x89\xab\xcd\xef", 512
    ),
    "READDIRPLUS from the beginning": READDIRPLUS3args(FH_DIR, 0, bytes(8), 512, 4096),
    "FSSTAT root": FSSTAT3args(FH_DIR),
    "FSINFO root": FSINFO3args(FH_DIR),
    "PATHCONF root": PATHCONF3args(FH_DIR),
    "COMMIT range": COMMIT3args(FH_FILE, 1 << 32, 65536),
}
