"""Procedures on one file: attributes, access, data (RFC 1813 sections 3.3.1 to 3.3.7, 3.3.21)."""

from __future__ import annotations

from backends.base import Access, FsError, Stable, Status
from nfsloop.attr import fattr3, nanoseconds, set_attr, wcc_of
from nfsloop.limits import OFFSET_MAX
from nfsloop.nfs3.core import Nfs3Core, transfer_max
from nfsloop.nfs3.nfs3_xdr import (
    NFS3_OK,
    ACCESS3args,
    ACCESS3res,
    ACCESS3resok,
    COMMIT3args,
    COMMIT3res,
    COMMIT3resok,
    GETATTR3args,
    GETATTR3res,
    GETATTR3resok,
    READ3args,
    READ3res,
    READ3resok,
    READLINK3args,
    READLINK3res,
    READLINK3resok,
    SETATTR3args,
    SETATTR3res,
    SETATTR3resok,
    WRITE3args,
    WRITE3res,
    WRITE3resok,
    stable_how,
)
from nfsloop.nfscall import NfsCall

_CHANGES = int(Access.MODIFY | Access.EXTEND | Access.DELETE)
_STABLE = (Stable.UNSTABLE, Stable.DATA_SYNC, Stable.FILE_SYNC)
_STABLE_HOW = (stable_how.UNSTABLE, stable_how.DATA_SYNC, stable_how.FILE_SYNC)

_BUFFERS = (bytes, bytearray, memoryview)


class Files(Nfs3Core):
    """GETATTR SETATTR ACCESS READLINK READ WRITE COMMIT."""

    async def GETATTR(self, call: NfsCall, args: GETATTR3args) -> GETATTR3res:
        """RFC 1813 section 3.3.1."""
        key = self.enter(call, args.object)
        attr = await call.backend.getattr(call.ctx, key)
        return GETATTR3res(NFS3_OK, GETATTR3resok(attr.memo or fattr3(attr, call.export.fsid)))

    async def SETATTR(self, call: NfsCall, args: SETATTR3args) -> SETATTR3res:
        """RFC 1813 section 3.3.2: with a guard that is not the file's ctime, NOT_SYNC."""
        key = self.enter_to_change(call, args.object)
        attr = set_attr(args.new_attributes)
        if attr.size is not None and attr.size > call.backend.limits.max_file_size:
            raise FsError(Status.FBIG)
        guard = None if args.guard is None else nanoseconds(args.guard)
        wcc = await call.backend.setattr(call.ctx, key, attr, guard)
        return SETATTR3res(NFS3_OK, SETATTR3resok(wcc_of(wcc, call.export.fsid)))

    async def ACCESS(self, call: NfsCall, args: ACCESS3args) -> ACCESS3res:
        """RFC 1813 section 3.3.4; what is read-only grants no change."""
        key = self.enter(call, args.object)
        granted = await call.backend.access(call.ctx, key, args.access)
        export, attr = call.export, granted.attr
        access = int(granted.access) & args.access  # an IntFlag would take its time
        read_only = call.ctx.read_only or call.backend.limits.read_only
        return ACCESS3res(
            NFS3_OK,
            ACCESS3resok(
                None if attr is None else fattr3(attr, export.fsid),
                access & ~_CHANGES if read_only else access,
            ),
        )

    async def READLINK(self, call: NfsCall, args: READLINK3args) -> READLINK3res:
        """RFC 1813 section 3.3.5."""
        key = self.enter(call, args.symlink)
        link = await call.backend.readlink(call.ctx, key)
        attr = None if link.attr is None else fattr3(link.attr, call.export.fsid)
        return READLINK3res(NFS3_OK, READLINK3resok(attr, link.target))

    async def READ(self, call: NfsCall, args: READ3args) -> READ3res:
        """RFC 1813 section 3.3.6; more than FSINFO's rtmax reads rtmax."""
        key = self.enter(call, args.file)
        offset, count = args.offset, min(args.count, transfer_max(call))
        if offset + count > OFFSET_MAX:
            offset = min(offset, OFFSET_MAX)
            count = OFFSET_MAX - offset
        read = await call.backend.read(call.ctx, key, offset, count)
        attr = None if read.attr is None else fattr3(read.attr, call.export.fsid)
        data = read.data
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if size > count or size != len(data) or not isinstance(data, _BUFFERS):
            # It goes to the transport as it is: this is the last place to notice.
            raise TypeError(f"the backend gave {size} of {count} bytes as {type(data).__name__}")
        return READ3res(NFS3_OK, READ3resok(attr, size, read.eof, data))

    async def WRITE(self, call: NfsCall, args: WRITE3args) -> WRITE3res:
        """RFC 1813 section 3.3.7; more than FSINFO's wtmax writes wtmax."""
        key = self.enter_to_change(call, args.file)
        data, count = args.data, args.count
        if count > len(data):
            raise FsError(Status.INVAL, "count over the data that came")
        count = min(count, transfer_max(call))
        if args.offset + count > call.backend.limits.max_file_size:
            raise FsError(Status.FBIG)
        if count != len(data):
            data = data[:count]
        backend, stable = call.backend, _STABLE[args.stable]
        # Of before: data that is lost from here on was written under this one.
        verifier = backend.verifier
        done = await backend.write(call.ctx, key, args.offset, data, stable)
        if not 0 <= done.count <= count or done.stable < stable:
            raise TypeError(f"the backend wrote {done.count} of {count} bytes, {done.stable!r}")
        return WRITE3res(
            NFS3_OK,
            WRITE3resok(
                wcc_of(done.wcc, call.export.fsid),
                done.count,
                _STABLE_HOW[done.stable],
                done.verifier or verifier,
            ),
        )

    async def COMMIT(self, call: NfsCall, args: COMMIT3args) -> COMMIT3res:
        """RFC 1813 section 3.3.21; a count of 0 is to the end, and so is a range beyond any."""
        key = self.enter_to_change(call, args.file)
        offset = min(args.offset, OFFSET_MAX)
        count = min(args.count, OFFSET_MAX - offset)
        wcc = await call.backend.commit(call.ctx, key, offset, count)
        verifier = call.backend.verifier
        return COMMIT3res(NFS3_OK, COMMIT3resok(wcc_of(wcc, call.export.fsid), verifier))
