"""The MOUNT service, versions 3 (RFC 1813 section 5) and 1 (RFC 1094 appendix A)."""

from __future__ import annotations

import errno
import logging

from backends.base import Attr, FileType, FsError, Status
from nfsloop.export import Caller, Export, Exports, normal
from nfsloop.handle import FileHandles
from nfsloop.mount3.mount3_xdr import (
    MNT3_OK,
    MNT3ERR_ACCES,
    MNT3ERR_IO,
    MNT3ERR_NAMETOOLONG,
    MNT3ERR_NOENT,
    MNT3ERR_NOTDIR,
    MNT3ERR_PERM,
    MNT3ERR_SERVERFAULT,
    MOUNT_V1_Service,
    MOUNT_V3_Service,
    exportnode,
    fhstatus,
    groupnode,
    mountbody,
    mountres3,
    mountres3_ok,
    mountstat3,
)
from nfsloop.mount3.mounts import Mounts
from nfsloop.status import status_of
from oncrpc.call import Call
from oncrpc.message import AUTH_NONE, AUTH_SYS

log = logging.getLogger("nfsloop.mount")

#: What a client may authenticate itself with, the best first; AUTH_NONE acts as anonymous.
FLAVORS = [AUTH_SYS, AUTH_NONE]

_STATUS: dict[Status, mountstat3] = {
    Status.PERM: MNT3ERR_PERM,
    Status.NOENT: MNT3ERR_NOENT,
    Status.STALE: MNT3ERR_NOENT,
    Status.IO: MNT3ERR_IO,
    Status.ACCES: MNT3ERR_ACCES,
    Status.NOTDIR: MNT3ERR_NOTDIR,
    Status.NAMETOOLONG: MNT3ERR_NAMETOOLONG,
}

#: Version 1 answers with Unix's errno (RFC 1094 appendix A.3).
_ERRNO: dict[mountstat3, int] = {
    MNT3ERR_PERM: errno.EPERM,
    MNT3ERR_NOENT: errno.ENOENT,
    MNT3ERR_IO: errno.EIO,
    MNT3ERR_ACCES: errno.EACCES,
    MNT3ERR_NOTDIR: errno.ENOTDIR,
    MNT3ERR_NAMETOOLONG: errno.ENAMETOOLONG,
    MNT3ERR_SERVERFAULT: errno.EIO,
}


class Mountd:
    """What both versions share: finding directories, and the list of mounts."""

    def __init__(self, exports: Exports, handles: FileHandles, mounts: Mounts) -> None:
        self.exports = exports
        self.handles = handles
        self.mounts = mounts

    async def mount(self, call: Call, dirpath: bytes) -> bytes | mountstat3:
        """The handle of the directory at `dirpath`, listed as mounted; or why there is none.

        An export may be mounted, and any directory in it that the caller may get to.
        """
        path = normal(_text(dirpath)) if dirpath.startswith(b"/") else _text(dirpath)
        try:
            handle = await self._find(call, path)
        except Exception as exc:
            status = status_of(exc)
            if status is None:
                log.error("MNT %s from %s failed", path, call.peer.host, exc_info=exc)
                return MNT3ERR_SERVERFAULT
            log.info("%s may not mount %s: %s", call.peer.host, path, status.name)
            return _STATUS.get(status, MNT3ERR_IO)
        self.mounts.add(call.peer.host, path)
        log.info("%s mounts %s", call.peer.host, path)
        return handle

    async def _find(self, call: Call, path: str) -> bytes:
        export, ctx, names = await self._admit(call, path)
        attr: Attr = await export.backend.root(ctx)
        for name in names:
            raw = _bytes(name)
            if name == ".." or "\0" in name:
                raise FsError(Status.ACCES, "a path with .. or a NUL in it")
            if len(raw) > export.backend.limits.name_max:
                raise FsError(Status.NAMETOOLONG)
            attr = (await export.backend.lookup(ctx, attr.key, raw)).attr
        if attr.type is not FileType.DIR:
            raise FsError(Status.NOTDIR)
        return self.handles.pack(export.number, attr.ino, attr.generation)

    async def _admit(self, call: Call, path: str) -> tuple[Export, Caller, list[str]]:
        """The deepest export that holds `path` and lets the caller in. Raises ACCES."""
        why = FsError(Status.ACCES, "not exported")
        for export, names in self.exports.holding(path) if path.startswith("/") else ():
            try:
                await export.policy.settle(call.peer.host)
                return export, export.caller(call.origin), names
            except FsError as exc:
                why = exc
                if exc.status is not Status.ACCES:
                    break
        raise why

    def umount(self, call: Call, dirpath: bytes) -> None:
        """Take a mount from the list."""
        path = normal(_text(dirpath))
        log.info("%s unmounts %s", call.peer.host, path)
        self.mounts.remove(call.peer.host, path)

    def dump(self) -> list[mountbody]:
        """The list of mounts."""
        return [mountbody(client.encode(), _bytes(path)) for client, path in self.mounts]

    def export(self) -> list[exportnode]:
        """The exports, and for whom; no groups: for everybody (RFC 1813 section 5.2.5)."""
        return [
            exportnode(
                _bytes(export.path), [groupnode(group.encode()) for group in export.policy.groups]
            )
            for export in self.exports
        ]


class Mount3Service(MOUNT_V3_Service):
    """MOUNT version 3."""

    def __init__(self, mountd: Mountd) -> None:
        self._mountd = mountd

    async def MNT(self, call: Call, args: bytes) -> mountres3:
        """RFC 1813 section 5.2.1."""
        handle = await self._mountd.mount(call, args)
        if isinstance(handle, mountstat3):
            return mountres3(handle)
        return mountres3(MNT3_OK, mountres3_ok(handle, list(FLAVORS)))

    async def DUMP(self, call: Call, args: None) -> list[mountbody]:
        """RFC 1813 section 5.2.2."""
        return self._mountd.dump()

    async def UMNT(self, call: Call, args: bytes) -> None:
        """RFC 1813 section 5.2.3: always succeeds."""
        self._mountd.umount(call, args)

    async def UMNTALL(self, call: Call, args: None) -> None:
        """RFC 1813 section 5.2.4."""
        self._mountd.mounts.remove_all(call.peer.host)

    async def EXPORT(self, call: Call, args: None) -> list[exportnode]:
        """RFC 1813 section 5.2.5."""
        return self._mountd.export()


class Mount1Service(MOUNT_V1_Service):
    """MOUNT version 1. Its handles, of 32 bytes, are version 3's."""

    def __init__(self, mountd: Mountd) -> None:
        self._mountd = mountd

    async def MNT(self, call: Call, args: bytes) -> fhstatus:
        """RFC 1094 appendix A.5."""
        handle = await self._mountd.mount(call, args)
        if isinstance(handle, mountstat3):
            return fhstatus(_ERRNO[handle])
        return fhstatus(0, handle)

    async def DUMP(self, call: Call, args: None) -> list[mountbody]:
        """RFC 1094 appendix A.5."""
        return self._mountd.dump()

    async def UMNT(self, call: Call, args: bytes) -> None:
        """RFC 1094 appendix A.5."""
        self._mountd.umount(call, args)

    async def UMNTALL(self, call: Call, args: None) -> None:
        """RFC 1094 appendix A.5."""
        self._mountd.mounts.remove_all(call.peer.host)

    async def EXPORT(self, call: Call, args: None) -> list[exportnode]:
        """RFC 1094 appendix A.5."""
        return self._mountd.export()

    async def EXPORTALL(self, call: Call, args: None) -> list[exportnode]:
        """The same as EXPORT, by another number."""
        return self._mountd.export()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
