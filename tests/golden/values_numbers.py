"""The numbers of the protocols' enumerations, written by hand, not read from the .x files."""

from __future__ import annotations

from enum import IntEnum

from nfsloop.mount3.mount3_xdr import mountstat3
from nfsloop.nfs3.nfs3_xdr import createmode3, ftype3, nfsstat3, stable_how, time_how
from nfsloop.nlm4.nlm4_xdr import fsh4_access, fsh4_mode, nlm4_stats

NUMBERS: dict[type[IntEnum], str] = {
    # RFC 1813 section 2.6
    nfsstat3: """
        NFS3_OK 0  NFS3ERR_PERM 1  NFS3ERR_NOENT 2  NFS3ERR_IO 5  NFS3ERR_NXIO 6
        NFS3ERR_ACCES 13  NFS3ERR_EXIST 17  NFS3ERR_XDEV 18  NFS3ERR_NODEV 19
        NFS3ERR_NOTDIR 20  NFS3ERR_ISDIR 21  NFS3ERR_INVAL 22  NFS3ERR_FBIG 27
        NFS3ERR_NOSPC 28  NFS3ERR_ROFS 30  NFS3ERR_MLINK 31  NFS3ERR_NAMETOOLONG 63
        NFS3ERR_NOTEMPTY 66  NFS3ERR_DQUOT 69  NFS3ERR_STALE 70  NFS3ERR_REMOTE 71
        NFS3ERR_BADHANDLE 10001  NFS3ERR_NOT_SYNC 10002  NFS3ERR_BAD_COOKIE 10003
        NFS3ERR_NOTSUPP 10004  NFS3ERR_TOOSMALL 10005  NFS3ERR_SERVERFAULT 10006
        NFS3ERR_BADTYPE 10007  NFS3ERR_JUKEBOX 10008
    """,
    # RFC 1813 sections 2.5 and 3.3
    ftype3: "NF3REG 1  NF3DIR 2  NF3BLK 3  NF3CHR 4  NF3LNK 5  NF3SOCK 6  NF3FIFO 7",
    time_how: "DONT_CHANGE 0  SET_TO_SERVER_TIME 1  SET_TO_CLIENT_TIME 2",
    stable_how: "UNSTABLE 0  DATA_SYNC 1  FILE_SYNC 2",
    createmode3: "UNCHECKED 0  GUARDED 1  EXCLUSIVE 2",
    # RFC 1813 section 5.1.5
    mountstat3: """
        MNT3_OK 0  MNT3ERR_PERM 1  MNT3ERR_NOENT 2  MNT3ERR_IO 5  MNT3ERR_ACCES 13
        MNT3ERR_NOTDIR 20  MNT3ERR_INVAL 22  MNT3ERR_NAMETOOLONG 63  MNT3ERR_NOTSUPP 10004
        MNT3ERR_SERVERFAULT 10006
    """,
    # RFC 1813 section 6.1.4, and X/Open's XNFS for those of SHARE
    nlm4_stats: """
        NLM4_GRANTED 0  NLM4_DENIED 1  NLM4_DENIED_NOLOCKS 2  NLM4_BLOCKED 3
        NLM4_DENIED_GRACE_PERIOD 4  NLM4_DEADLCK 5  NLM4_ROFS 6  NLM4_STALE_FH 7  NLM4_FBIG 8
        NLM4_FAILED 9
    """,
    fsh4_mode: "fsm_DN 0  fsm_DR 1  fsm_DW 2  fsm_DRW 3",
    fsh4_access: "fsa_NONE 0  fsa_R 1  fsa_W 2  fsa_RW 3",
}
