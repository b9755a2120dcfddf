"""The NFS version 3 service: its procedures put together, and what the runtime must know of them.

One module for each kind of procedure: `files`, `names`, `dirs`, `fs`; `core` is what they share,
`recovery` what settles calls that a crash cut off.
"""

from __future__ import annotations

from nfsloop.nfs3.dirs import Directories
from nfsloop.nfs3.files import Files
from nfsloop.nfs3.fs import FileSystems
from nfsloop.nfs3.names import Names
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from nfsloop.nfs3.recovery import Recovery
from oncrpc.program import ProcFlag

_CHANGE = ProcFlag.MUTATES | ProcFlag.CACHE_REPLY

#: NFS version 3 with the flags of its procedures (which are idempotent: RFC 1813 section 4.5).
#: WRITE is, but a copy of it that comes late would undo a later one.
NFS3_PROGRAM = NFS_V3.flagged(
    {
        "SETATTR": _CHANGE,
        "READ": ProcFlag.BULK,
        "WRITE": _CHANGE | ProcFlag.BULK,
        "CREATE": _CHANGE,
        "MKDIR": _CHANGE,
        "SYMLINK": _CHANGE,
        "MKNOD": _CHANGE,
        "REMOVE": _CHANGE,
        "RMDIR": _CHANGE,
        "RENAME": _CHANGE,
        "LINK": _CHANGE,
        "COMMIT": ProcFlag.MUTATES,
    }
)


class Nfs3Service(Files, Names, Directories, FileSystems, Recovery):
    """All 22 procedures of NFS version 3 (RFC 1813 section 3)."""
