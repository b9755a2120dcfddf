"""What the replies of nfs3.txt say, as typed values. Written by hand, as the vectors are."""

from __future__ import annotations

from typing import Any

from values_nfs3_parts import (
    FATTR_DIR,
    FATTR_FILE,
    FH_FILE,
    FH_NEW,
    FH_OTHER,
    WCC_DIR,
    WCC_FILE,
    WCC_NONE,
)

from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.nfs3_xdr import (
    NFS3_OK,
    dirlist3,
    dirlistplus3,
    entry3,
    entryplus3,
    fattr3,
    nfsstat3,
    nfstime3,
    specdata3,
    wcc_data,
)

VERF = b"\x01\x23\x45\x67\x89\xab\xcd\xef"
WRITE_VERF = b"verf\0\0\0\1"

TTY = fattr3(
    type=x.NF3CHR,
    mode=0o6666,
    nlink=2,
    uid=4294967294,
    gid=4294967295,
    size=0,
    used=0,
    rdev=specdata3(5, 1),
    fsid=(1 << 64) - 1,
    fileid=0,
    atime=nfstime3(0, 0),
    mtime=nfstime3(0xFFFFFFFF, 999_999_999),
    ctime=nfstime3(0x80000000, 0),
)

REPLIES: dict[str, Any] = {
    "NULL none": None,
    "GETATTR file": x.GETATTR3res(NFS3_OK, x.GETATTR3resok(FATTR_FILE)),
    "GETATTR character device": x.GETATTR3res(NFS3_OK, x.GETATTR3resok(TTY)),
    "GETATTR stale": x.GETATTR3res(nfsstat3.NFS3ERR_STALE),
    "GETATTR bad handle": x.GETATTR3res(nfsstat3.NFS3ERR_BADHANDLE),
    "SETATTR ok": x.SETATTR3res(NFS3_OK, x.SETATTR3resok(WCC_FILE)),
    "SETATTR not sync": x.SETATTR3res(
        nfsstat3.NFS3ERR_NOT_SYNC, x.SETATTR3resfail(wcc_data(None, FATTR_FILE))
    ),
    "SETATTR read-only": x.SETATTR3res(nfsstat3.NFS3ERR_ROFS, x.SETATTR3resfail(WCC_NONE)),
    "LOOKUP ok": x.LOOKUP3res(NFS3_OK, x.LOOKUP3resok(FH_FILE, FATTR_FILE, FATTR_DIR)),
    "LOOKUP ok without attributes": x.LOOKUP3res(NFS3_OK, x.LOOKUP3resok(FH_NEW, None, None)),
    "LOOKUP no such name": x.LOOKUP3res(nfsstat3.NFS3ERR_NOENT, x.LOOKUP3resfail(FATTR_DIR)),
    "LOOKUP name too long": x.LOOKUP3res(nfsstat3.NFS3ERR_NAMETOOLONG, x.LOOKUP3resfail(None)),
    "ACCESS some": x.ACCESS3res(NFS3_OK, x.ACCESS3resok(FATTR_DIR, 0x23)),
    "ACCESS none without attributes": x.ACCESS3res(NFS3_OK, x.ACCESS3resok(None, 0)),
    "ACCESS stale": x.ACCESS3res(nfsstat3.NFS3ERR_STALE, x.ACCESS3resfail(None)),
    "READLINK ok": x.READLINK3res(NFS3_OK, x.READLINK3resok(FATTR_FILE, b"../target/")),
    "READLINK not a link": x.READLINK3res(nfsstat3.NFS3ERR_INVAL, x.READLINK3resfail(FATTR_FILE)),
    "READ 5 bytes at the end": x.READ3res(NFS3_OK, x.READ3resok(FATTR_FILE, 5, True, b"hello")),
    "READ 8 bytes without attributes": x.READ3res(
        NFS3_OK, x.READ3resok(None, 8, False, b"\x00\xff\x00\xff\xde\xad\xbe\xef")
    ),
    "READ nothing behind the end": x.READ3res(NFS3_OK, x.READ3resok(FATTR_FILE, 0, True, b"")),
    "READ input output error": x.READ3res(nfsstat3.NFS3ERR_IO, x.READ3resfail(FATTR_FILE)),
    "READ later": x.READ3res(nfsstat3.NFS3ERR_JUKEBOX, x.READ3resfail(None)),
    "WRITE unstable": x.WRITE3res(NFS3_OK, x.WRITE3resok(WCC_FILE, 5, x.UNSTABLE, WRITE_VERF)),
    "WRITE data-sync without attributes": x.WRITE3res(
        NFS3_OK, x.WRITE3resok(WCC_NONE, 2, x.DATA_SYNC, b"\xff" * 8)
    ),
    "WRITE file-sync": x.WRITE3res(NFS3_OK, x.WRITE3resok(WCC_FILE, 4, x.FILE_SYNC, bytes(8))),
    "WRITE no space": x.WRITE3res(nfsstat3.NFS3ERR_NOSPC, x.WRITE3resfail(WCC_FILE)),
    "WRITE over quota": x.WRITE3res(nfsstat3.NFS3ERR_DQUOT, x.WRITE3resfail(WCC_NONE)),
    "CREATE ok": x.CREATE3res(NFS3_OK, x.CREATE3resok(FH_NEW, FATTR_FILE, WCC_DIR)),
    "CREATE ok with nothing else": x.CREATE3res(NFS3_OK, x.CREATE3resok(None, None, WCC_NONE)),
    "CREATE exists": x.CREATE3res(nfsstat3.NFS3ERR_EXIST, x.CREATE3resfail(WCC_DIR)),
    "CREATE not supported": x.CREATE3res(nfsstat3.NFS3ERR_NOTSUPP, x.CREATE3resfail(WCC_NONE)),
    "MKDIR ok": x.MKDIR3res(NFS3_OK, x.MKDIR3resok(FH_OTHER, FATTR_DIR, WCC_DIR)),
    "MKDIR no permission": x.MKDIR3res(
        nfsstat3.NFS3ERR_ACCES, x.MKDIR3resfail(wcc_data(None, FATTR_DIR))
    ),
    "SYMLINK ok": x.SYMLINK3res(NFS3_OK, x.SYMLINK3resok(FH_NEW, FATTR_FILE, WCC_DIR)),
    "SYMLINK not supported": x.SYMLINK3res(nfsstat3.NFS3ERR_NOTSUPP, x.SYMLINK3resfail(WCC_NONE)),
    "MKNOD ok": x.MKNOD3res(NFS3_OK, x.MKNOD3resok(FH_NEW, FATTR_FILE, WCC_DIR)),
    "MKNOD bad type": x.MKNOD3res(nfsstat3.NFS3ERR_BADTYPE, x.MKNOD3resfail(WCC_DIR)),
    "REMOVE ok": x.REMOVE3res(NFS3_OK, x.REMOVE3resok(WCC_DIR)),
    "REMOVE no such name": x.REMOVE3res(nfsstat3.NFS3ERR_NOENT, x.REMOVE3resfail(WCC_DIR)),
    "RMDIR ok": x.RMDIR3res(NFS3_OK, x.RMDIR3resok(WCC_DIR)),
    "RMDIR not empty": x.RMDIR3res(nfsstat3.NFS3ERR_NOTEMPTY, x.RMDIR3resfail(WCC_NONE)),
    "RENAME ok": x.RENAME3res(NFS3_OK, x.RENAME3resok(WCC_DIR, wcc_data(None, FATTR_DIR))),
    "RENAME other device": x.RENAME3res(nfsstat3.NFS3ERR_XDEV, x.RENAME3resfail(WCC_DIR, WCC_NONE)),
    "LINK ok": x.LINK3res(NFS3_OK, x.LINK3resok(FATTR_FILE, WCC_DIR)),
    "LINK too many": x.LINK3res(nfsstat3.NFS3ERR_MLINK, x.LINK3resfail(FATTR_FILE, WCC_NONE)),
    "READDIR no entry": x.READDIR3res(
        NFS3_OK, x.READDIR3resok(FATTR_DIR, VERF, dirlist3([], True))
    ),
    "READDIR one entry": x.READDIR3res(
        NFS3_OK,
        x.READDIR3resok(None, VERF, dirlist3([entry3((1 << 64) - 2, b".", 1)], False)),
    ),
    "READDIR two entries": x.READDIR3res(
        NFS3_OK,
        x.READDIR3resok(
            FATTR_DIR,
            bytes(8),
            dirlist3([entry3(2, b"..", 2), entry3(258, b"file", (1 << 63) + 3)], True),
        ),
    ),
    "READDIR names of every padding": x.READDIR3res(
        NFS3_OK,
        x.READDIR3resok(
            FATTR_DIR,
            VERF,
            dirlist3(
                [
                    entry3(10, b"abcd", 11),
                    entry3(12, b"abcde", 13),
                    entry3(14, b"abcdef", 15),
                    entry3(16, b"abcdefg", 17),
                ],
                False,
            ),
        ),
    ),
    "READDIR too small": x.READDIR3res(nfsstat3.NFS3ERR_TOOSMALL, x.READDIR3resfail(FATTR_DIR)),
    "READDIR bad cookie": x.READDIR3res(nfsstat3.NFS3ERR_BAD_COOKIE, x.READDIR3resfail(None)),
    "READDIRPLUS no entry": x.READDIRPLUS3res(
        NFS3_OK, x.READDIRPLUS3resok(None, VERF, dirlistplus3([], True))
    ),
    "READDIRPLUS one entry with everything": x.READDIRPLUS3res(
        NFS3_OK,
        x.READDIRPLUS3resok(
            FATTR_DIR,
            VERF,
            dirlistplus3([entryplus3(258, b"file", 3, FATTR_FILE, FH_FILE)], False),
        ),
    ),
    "READDIRPLUS entries with every part missing": x.READDIRPLUS3res(
        NFS3_OK,
        x.READDIRPLUS3resok(
            FATTR_DIR,
            VERF,
            dirlistplus3(
                [
                    entryplus3(1, b".", 1, None, None),
                    entryplus3(2, b"..", 2, FATTR_DIR, None),
                    entryplus3(3, b"new", (1 << 64) - 1, None, FH_NEW),
                ],
                True,
            ),
        ),
    ),
    "READDIRPLUS not a directory": x.READDIRPLUS3res(
        nfsstat3.NFS3ERR_NOTDIR, x.READDIRPLUS3resfail(FATTR_FILE)
    ),
    "FSSTAT ok": x.FSSTAT3res(
        NFS3_OK,
        x.FSSTAT3resok(
            FATTR_DIR,
            tbytes=1 << 40,
            fbytes=1 << 39,
            abytes=1 << 38,
            tfiles=1 << 20,
            ffiles=1 << 19,
            afiles=1 << 18,
            invarsec=30,
        ),
    ),
    "FSSTAT server fault": x.FSSTAT3res(nfsstat3.NFS3ERR_SERVERFAULT, x.FSSTAT3resfail(None)),
    "FSINFO ok": x.FSINFO3res(
        NFS3_OK,
        x.FSINFO3resok(
            None,
            rtmax=1048576,
            rtpref=524288,
            rtmult=4096,
            wtmax=262144,
            wtpref=131072,
            wtmult=512,
            dtpref=65536,
            maxfilesize=(1 << 63) - 1,
            time_delta=nfstime3(0, 1_000_000),
            properties=(x.FSF3_LINK | x.FSF3_SYMLINK | x.FSF3_HOMOGENEOUS | x.FSF3_CANSETTIME),
        ),
    ),
    "FSINFO stale": x.FSINFO3res(nfsstat3.NFS3ERR_STALE, x.FSINFO3resfail(None)),
    "PATHCONF ok": x.PATHCONF3res(
        NFS3_OK,
        x.PATHCONF3resok(
            FATTR_DIR,
            linkmax=32000,
            name_max=255,
            no_trunc=True,
            chown_restricted=True,
            case_insensitive=False,
            case_preserving=True,
        ),
    ),
    "PATHCONF bad handle": x.PATHCONF3res(nfsstat3.NFS3ERR_BADHANDLE, x.PATHCONF3resfail(None)),
    "COMMIT ok": x.COMMIT3res(NFS3_OK, x.COMMIT3resok(WCC_FILE, WRITE_VERF)),
    "COMMIT input output error": x.COMMIT3res(nfsstat3.NFS3ERR_IO, x.COMMIT3resfail(WCC_NONE)),
}
