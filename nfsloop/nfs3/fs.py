"""Procedures on a whole file system (RFC 1813 sections 3.3.18 to 3.3.20)."""

from __future__ import annotations

from nfsloop.attr import SECOND, fattr3
from nfsloop.limits import READDIR_BYTES
from nfsloop.nfs3.core import Nfs3Core, transfer_max
from nfsloop.nfs3.nfs3_xdr import (
    FSF3_CANSETTIME,
    FSF3_HOMOGENEOUS,
    FSF3_LINK,
    FSF3_SYMLINK,
    NFS3_OK,
    FSINFO3args,
    FSINFO3res,
    FSINFO3resok,
    FSSTAT3args,
    FSSTAT3res,
    FSSTAT3resok,
    PATHCONF3args,
    PATHCONF3res,
    PATHCONF3resok,
    nfstime3,
)
from nfsloop.nfscall import NfsCall

#: READ and WRITE are best in multiples of this many bytes: a page.
MULTIPLE_BYTES = 4096


class FileSystems(Nfs3Core):
    """FSSTAT FSINFO PATHCONF."""

    async def FSSTAT(self, call: NfsCall, args: FSSTAT3args) -> FSSTAT3res:
        """RFC 1813 section 3.3.18."""
        key = self.enter(call, args.fsroot)
        stat = await call.backend.statfs(call.ctx, key)
        attr = await call.backend.getattr(call.ctx, key)
        return FSSTAT3res(
            NFS3_OK,
            FSSTAT3resok(
                fattr3(attr, call.export.fsid),
                stat.tbytes,
                stat.fbytes,
                stat.abytes,
                stat.tfiles,
                stat.ffiles,
                stat.afiles,
                stat.invarsec,
            ),
        )

    async def FSINFO(self, call: NfsCall, args: FSINFO3args) -> FSINFO3res:
        """RFC 1813 section 3.3.19: the sizes that READ and WRITE really take."""
        key = self.enter(call, args.fsroot)
        attr = await call.backend.getattr(call.ctx, key)
        limits, most = call.backend.limits, transfer_max(call)
        properties = (
            FSF3_HOMOGENEOUS
            | (FSF3_LINK if limits.links else 0)
            | (FSF3_SYMLINK if limits.symlinks else 0)
            | (FSF3_CANSETTIME if limits.set_times else 0)
        )
        return FSINFO3res(
            NFS3_OK,
            FSINFO3resok(
                fattr3(attr, call.export.fsid),
                rtmax=most,
                rtpref=most,
                rtmult=MULTIPLE_BYTES,
                wtmax=most,
                wtpref=most,
                wtmult=MULTIPLE_BYTES,
                dtpref=min(READDIR_BYTES, most),
                maxfilesize=limits.max_file_size,
                time_delta=nfstime3(*divmod(limits.time_delta, SECOND)),
                properties=properties,
            ),
        )

    async def PATHCONF(self, call: NfsCall, args: PATHCONF3args) -> PATHCONF3res:
        """RFC 1813 section 3.3.20."""
        key = self.enter(call, args.object)
        attr = await call.backend.getattr(call.ctx, key)
        limits = call.backend.limits
        return PATHCONF3res(
            NFS3_OK,
            PATHCONF3resok(
                fattr3(attr, call.export.fsid),
                linkmax=limits.link_max,
                name_max=limits.name_max,
                no_trunc=True,
                chown_restricted=limits.chown_restricted,
                case_insensitive=limits.case_insensitive,
                case_preserving=limits.case_preserving,
            ),
        )
