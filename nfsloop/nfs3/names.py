"""Procedures on names in directories (RFC 1813 sections 3.3.3 and 3.3.8 to 3.3.15)."""

from __future__ import annotations

from backends.base import CreateMode, FileType, FsError, Made, SetAttr, Status
from nfsloop.attr import fattr3, set_attr, wcc_of
from nfsloop.nfs3.core import DOTS, Nfs3Core, check_name
from nfsloop.nfs3.nfs3_xdr import (
    NFS3_OK,
    CREATE3args,
    CREATE3res,
    CREATE3resok,
    LINK3args,
    LINK3res,
    LINK3resok,
    LOOKUP3args,
    LOOKUP3res,
    LOOKUP3resok,
    MKDIR3args,
    MKDIR3res,
    MKDIR3resok,
    MKNOD3args,
    MKNOD3res,
    MKNOD3resok,
    REMOVE3args,
    REMOVE3res,
    REMOVE3resok,
    RENAME3args,
    RENAME3res,
    RENAME3resok,
    RMDIR3args,
    RMDIR3res,
    RMDIR3resok,
    SYMLINK3args,
    SYMLINK3res,
    SYMLINK3resok,
    devicedata3,
    diropargs3,
    sattr3,
    wcc_data,
)
from nfsloop.nfscall import NfsCall

_NO_VERIFIER = bytes(8)
_NOTHING = SetAttr()
_MODES = tuple(CreateMode)
_SPECIAL = {FileType.CHR, FileType.BLK, FileType.SOCK, FileType.FIFO}


class Names(Nfs3Core):
    """LOOKUP CREATE MKDIR SYMLINK MKNOD REMOVE RMDIR RENAME LINK."""

    async def LOOKUP(self, call: NfsCall, args: LOOKUP3args) -> LOOKUP3res:
        """RFC 1813 section 3.3.3; ``..`` of an export's root is the root."""
        what = args.what
        dir = self.enter(call, what.dir)
        name = what.name
        backend, ctx = call.backend, call.ctx
        if name in DOTS:
            return await self._lookup_dots(call, what)
        found = await backend.lookup(ctx, dir, check_name(call, name, Status.NOENT))
        export, attr = call.export, found.attr
        fsid = export.fsid
        file = export.number, attr.ino, attr.generation
        return LOOKUP3res(
            NFS3_OK,
            LOOKUP3resok(
                self._made_handles.get(file) or self.handles.pack(*file),
                attr.memo or fattr3(attr, fsid),
                None if found.dir is None else fattr3(found.dir, fsid),
            ),
        )

    async def _lookup_dots(self, call: NfsCall, what: diropargs3) -> LOOKUP3res:
        dir = self.enter(call, what.dir)
        here = await call.backend.getattr(call.ctx, dir)
        if here.type is not FileType.DIR:
            raise FsError(Status.NOTDIR)
        above = here if what.name == b"." else await self.above(call, dir, here)
        if above is None:
            raise FsError(Status.NOENT, "the backend cannot tell what is above")
        fsid = call.export.fsid
        return LOOKUP3res(
            NFS3_OK,
            LOOKUP3resok(self.handle(call, above), fattr3(above, fsid), fattr3(here, fsid)),
        )

    async def CREATE(self, call: NfsCall, args: CREATE3args) -> CREATE3res:
        """RFC 1813 section 3.3.8: UNCHECKED, GUARDED and EXCLUSIVE."""
        dir = self.enter_to_change(call, args.where.dir)
        name = check_name(call, args.where.name, Status.EXIST)
        how = args.how
        mode, verifier, attr = _MODES[how.mode], _NO_VERIFIER, _NOTHING
        if mode is CreateMode.EXCLUSIVE:
            assert isinstance(how.value, bytes)
            verifier = how.value
        else:
            assert isinstance(how.value, sattr3)
            attr = set_attr(how.value)
            if attr.size is not None and attr.size > call.backend.limits.max_file_size:
                raise FsError(Status.FBIG)
        made = await call.backend.create(call.ctx, dir, name, mode, attr, verifier)
        return CREATE3res(NFS3_OK, CREATE3resok(*self._made(call, made)))

    async def MKDIR(self, call: NfsCall, args: MKDIR3args) -> MKDIR3res:
        """RFC 1813 section 3.3.9."""
        dir = self.enter_to_change(call, args.where.dir)
        name = check_name(call, args.where.name, Status.EXIST)
        made = await call.backend.mkdir(call.ctx, dir, name, set_attr(args.attributes))
        return MKDIR3res(NFS3_OK, MKDIR3resok(*self._made(call, made)))

    async def SYMLINK(self, call: NfsCall, args: SYMLINK3args) -> SYMLINK3res:
        """RFC 1813 section 3.3.10."""
        dir = self.enter_to_change(call, args.where.dir)
        name = check_name(call, args.where.name, Status.EXIST)
        target = args.symlink.symlink_data
        if not target or b"\0" in target:
            raise FsError(Status.INVAL, "an empty target, or one with a NUL")
        if len(target) > call.backend.limits.path_max:
            raise FsError(Status.NAMETOOLONG)
        attr = set_attr(args.symlink.symlink_attributes)
        made = await call.backend.symlink(call.ctx, dir, name, target, attr)
        return SYMLINK3res(NFS3_OK, SYMLINK3resok(*self._made(call, made)))

    async def MKNOD(self, call: NfsCall, args: MKNOD3args) -> MKNOD3res:
        """RFC 1813 section 3.3.11: BADTYPE for what other procedures make."""
        dir = self.enter_to_change(call, args.where.dir)
        type = FileType(args.what.type)
        if type not in _SPECIAL:
            raise FsError(Status.BADTYPE)
        name = check_name(call, args.where.name, Status.EXIST)
        what, rdev = args.what.value, (0, 0)
        if isinstance(what, devicedata3):
            rdev = what.spec.specdata1, what.spec.specdata2
            what = what.dev_attributes
        assert isinstance(what, sattr3)
        made = await call.backend.mknod(call.ctx, dir, name, type, rdev, set_attr(what))
        return MKNOD3res(NFS3_OK, MKNOD3resok(*self._made(call, made)))

    def _made(self, call: NfsCall, made: Made) -> tuple[bytes, bytes, wcc_data]:
        """Handle, attributes and the directory's wcc_data of a new file."""
        fsid = call.export.fsid
        return self.handle(call, made.attr), fattr3(made.attr, fsid), wcc_of(made.dir, fsid)

    async def REMOVE(self, call: NfsCall, args: REMOVE3args) -> REMOVE3res:
        """RFC 1813 section 3.3.12."""
        dir = self.enter_to_change(call, args.object.dir)
        name = check_name(call, args.object.name, Status.ACCES)
        wcc = await call.backend.remove(call.ctx, dir, name)
        return REMOVE3res(NFS3_OK, REMOVE3resok(wcc_of(wcc, call.export.fsid)))

    async def RMDIR(self, call: NfsCall, args: RMDIR3args) -> RMDIR3res:
        """RFC 1813 section 3.3.13: INVAL for ``.``, EXIST for ``..``."""
        dir = self.enter_to_change(call, args.object.dir)
        dots = Status.EXIST if args.object.name == b".." else Status.INVAL
        name = check_name(call, args.object.name, dots)
        wcc = await call.backend.rmdir(call.ctx, dir, name)
        return RMDIR3res(NFS3_OK, RMDIR3resok(wcc_of(wcc, call.export.fsid)))

    async def RENAME(self, call: NfsCall, args: RENAME3args) -> RENAME3res:
        """RFC 1813 section 3.3.14."""
        from_dir = self.enter_to_change(call, args.from_.dir)
        to_dir = self.enter_second(call, args.to.dir)
        from_name = check_name(call, args.from_.name, Status.INVAL)
        to_name = check_name(call, args.to.name, Status.EXIST)
        done = await call.backend.rename(call.ctx, from_dir, from_name, to_dir, to_name)
        fsid = call.export.fsid
        wccs = wcc_of(done.from_dir, fsid), wcc_of(done.to_dir, fsid)
        return RENAME3res(NFS3_OK, RENAME3resok(*wccs))

    async def LINK(self, call: NfsCall, args: LINK3args) -> LINK3res:
        """RFC 1813 section 3.3.15."""
        key = self.enter_to_change(call, args.file)
        dir = self.enter_second(call, args.link.dir)
        name = check_name(call, args.link.name, Status.EXIST)
        made = await call.backend.link(call.ctx, key, dir, name)
        fsid = call.export.fsid
        return LINK3res(NFS3_OK, LINK3resok(fattr3(made.attr, fsid), wcc_of(made.dir, fsid)))
