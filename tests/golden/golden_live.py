"""A live server without sockets, and calls to every procedure of it: successes and failures."""

from __future__ import annotations

from typing import Any

import golden_programs
from golden_programs import SUBJECTS

from backends.memory import MemoryBackend
from nfsloop.export import Export, Exports, Options
from nfsloop.handle import FileHandles
from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3
from nfsloop.mount3.mounts import Mounts
from nfsloop.mount3.server import Mount1Service, Mount3Service, Mountd
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.nfs3_xdr import NFS_V3_Client, diropargs3, nfstime3, sattr3
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.nlm4.nlm4_xdr import NLM4_VERS
from nfsloop.nlm4.server import NoLocks
from oncrpc.dispatch import Dispatcher
from oncrpc.message import AUTH_SYS, Credential
from oncrpc.testing import Pipe

ROOT_USER = Credential(AUTH_SYS, 0, 0, (0, 27), b"golden", 7)
FOREIGN = bytes(range(32))  # a handle that this server never made
NOTHING = sattr3(None, None, None, None, x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE))
MODE_0644 = sattr3(0o644, None, None, None, x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE))
VERIFIER = b"verifier"


class Live:
    """The server, a client of its NFS, and `pipe.log` with every call and reply."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        exports = Exports([Export("/srv", self.backend, Options(root_squash=False))])
        handles = FileHandles(bytes(32))
        mountd = Mountd(exports, handles, Mounts())
        dispatcher = Dispatcher()
        dispatcher.add(NFS3_PROGRAM, Nfs3Service(exports, handles))
        dispatcher.add(MOUNT_V3, Mount3Service(mountd))
        dispatcher.add(MOUNT_V1, Mount1Service(mountd))
        dispatcher.add(NLM4_VERS, NoLocks())
        self.pipe = Pipe(dispatcher, ROOT_USER)
        self.nfs = NFS_V3_Client(self.pipe)
        self.root = b""
        self.file = b""
        #: What GETATTR said of `file` once every attribute had been set to another number.
        self.attr: x.fattr3 | None = None

    async def run(self) -> None:
        """Call everything."""
        await self.backend.start()
        for name in ("MOUNT_V3", "MOUNT_V1", "NLM4_VERS"):
            for vector in SUBJECTS[name].of("call"):
                await self.pipe.send(vector.data)
        mnt = golden_programs.SUBJECTS["MOUNT_V3"].proc(MOUNT_V3, "MNT")
        mounted = await self.pipe.call(MOUNT_V3, mnt, b"/srv")
        await self.pipe.call(MOUNT_V1, MOUNT_V1.procs[1], b"/srv")
        for version in (MOUNT_V3, MOUNT_V1):  # while something is mounted
            await self.pipe.call(version, version.procs[2], None)
        self.root = mounted.mountinfo.fhandle
        await self._create()
        await self._look()
        await self._data()
        await self._list()
        await self._whole()
        await self._change()
        await self._remove()
        await self._fail_with_attributes()
        await self._fail_without()
        await self.backend.stop()

    def at(self, name: bytes) -> diropargs3:
        """A name in the root."""
        return diropargs3(self.root, name)

    async def _create(self) -> None:
        nfs, at = self.nfs, self.at
        await nfs.NULL()
        hows = (
            x.createhow3(x.UNCHECKED, MODE_0644),
            x.createhow3(x.GUARDED, NOTHING),
            x.createhow3(x.EXCLUSIVE, VERIFIER),
        )
        for how in hows:
            made = await nfs.CREATE(x.CREATE3args(at(how.mode.name.encode()), how))
        self.file = made.resok.obj or b""
        await nfs.MKDIR(x.MKDIR3args(at(b"dir"), NOTHING))
        await nfs.SYMLINK(x.SYMLINK3args(at(b"symlink"), x.symlinkdata3(NOTHING, b"EXCLUSIVE")))
        device = x.devicedata3(MODE_0644, x.specdata3(5, 1))
        for what in (
            x.mknoddata3(x.NF3CHR, device),
            x.mknoddata3(x.NF3BLK, device),
            x.mknoddata3(x.NF3SOCK, NOTHING),
            x.mknoddata3(x.NF3FIFO, MODE_0644),
        ):
            await nfs.MKNOD(x.MKNOD3args(at(what.type.name.encode()), what))

    async def _look(self) -> None:
        nfs, at = self.nfs, self.at
        for name in (b"EXCLUSIVE", b".", b"..", b"dir"):
            await nfs.LOOKUP(x.LOOKUP3args(at(name)))
        link = await nfs.LOOKUP(x.LOOKUP3args(at(b"symlink")))
        await nfs.READLINK(x.READLINK3args(link.resok.object))
        for name in (b"NF3CHR", b"NF3FIFO", b"symlink"):
            found = await nfs.LOOKUP(x.LOOKUP3args(at(name)))
            await nfs.GETATTR(x.GETATTR3args(found.resok.object))
        for handle in (self.root, self.file):
            await nfs.ACCESS(x.ACCESS3args(handle, 0x3F))

    async def _data(self) -> None:
        nfs = self.nfs
        for offset, (stable, data) in enumerate(
            ((x.UNSTABLE, b"a"), (x.DATA_SYNC, b"bc"), (x.FILE_SYNC, b"def"), (x.FILE_SYNC, b""))
        ):
            await nfs.WRITE(x.WRITE3args(self.file, offset, len(data), stable, data))
        for offset, count in ((0, 1), (0, 4096), (1, 2), (5, 1)):
            await nfs.READ(x.READ3args(self.file, offset, count))
        await nfs.COMMIT(x.COMMIT3args(self.file, 0, 0))

    async def _list(self) -> None:
        nfs = self.nfs
        for count in (200, 65536):
            listed = await nfs.READDIR(x.READDIR3args(self.root, 0, bytes(8), count))
            last = listed.resok.reply.entries[-1].cookie
            verf = listed.resok.cookieverf
            await nfs.READDIR(x.READDIR3args(self.root, last, verf, count))
            await nfs.READDIRPLUS(x.READDIRPLUS3args(self.root, 0, bytes(8), count, count * 3))
            await nfs.READDIRPLUS(x.READDIRPLUS3args(self.root, last, verf, count, count * 3))

    async def _whole(self) -> None:
        nfs = self.nfs
        await nfs.FSSTAT(x.FSSTAT3args(self.root))
        await nfs.FSINFO(x.FSINFO3args(self.root))
        await nfs.PATHCONF(x.PATHCONF3args(self.root))

    async def _change(self) -> None:
        nfs, at = self.nfs, self.at
        set_time = (
            x.set_atime(x.SET_TO_CLIENT_TIME, nfstime3(1, 2)),
            x.set_mtime(x.SET_TO_SERVER_TIME),
        )
        for new in (NOTHING, sattr3(0o600, 1, 2, 3, *set_time)):
            await nfs.SETATTR(x.SETATTR3args(self.file, new, None))
        got = await nfs.GETATTR(x.GETATTR3args(self.file))
        attr = got.resok.obj_attributes
        assert isinstance(attr, x.fattr3)
        self.attr = attr
        await nfs.SETATTR(x.SETATTR3args(self.file, MODE_0644, attr.ctime))
        await nfs.LINK(x.LINK3args(self.file, at(b"hard")))
        directory = (await nfs.LOOKUP(x.LOOKUP3args(at(b"dir")))).resok.object
        await nfs.RENAME(x.RENAME3args(at(b"hard"), diropargs3(directory, b"moved")))
        await nfs.RENAME(x.RENAME3args(at(b"GUARDED"), at(b"renamed")))

    async def _remove(self) -> None:
        nfs, at = self.nfs, self.at
        await nfs.RMDIR(x.RMDIR3args(at(b"dir")))  # not empty
        directory = (await nfs.LOOKUP(x.LOOKUP3args(at(b"dir")))).resok.object
        await nfs.REMOVE(x.REMOVE3args(diropargs3(directory, b"moved")))
        await nfs.RMDIR(x.RMDIR3args(at(b"dir")))
        await nfs.GETATTR(x.GETATTR3args(directory))  # stale

    async def _fail_with_attributes(self) -> None:
        """What a client may ask for, but not get."""
        nfs, at, root, file = self.nfs, self.at, self.root, self.file
        guarded = x.createhow3(x.GUARDED, NOTHING)
        await nfs.SETATTR(x.SETATTR3args(file, NOTHING, nfstime3(1, 1)))
        await nfs.LOOKUP(x.LOOKUP3args(at(b"none")))
        await nfs.LOOKUP(x.LOOKUP3args(at(b"n" * 256)))
        await nfs.LOOKUP(x.LOOKUP3args(diropargs3(file, b"none")))
        await nfs.READLINK(x.READLINK3args(file))
        await nfs.READ(x.READ3args(root, 0, 1))
        await nfs.WRITE(x.WRITE3args(root, 0, 1, x.FILE_SYNC, b"x"))
        await nfs.CREATE(x.CREATE3args(at(b"EXCLUSIVE"), guarded))
        await nfs.CREATE(x.CREATE3args(at(b"a/b"), guarded))
        await nfs.MKDIR(x.MKDIR3args(at(b".."), NOTHING))
        await nfs.SYMLINK(x.SYMLINK3args(at(b"symlink"), x.symlinkdata3(NOTHING, b"to")))
        await nfs.MKNOD(x.MKNOD3args(at(b"reg"), x.mknoddata3(x.NF3REG)))
        await nfs.REMOVE(x.REMOVE3args(at(b"none")))
        await nfs.RMDIR(x.RMDIR3args(at(b"EXCLUSIVE")))
        await nfs.RENAME(x.RENAME3args(at(b"none"), at(b"other")))
        await nfs.LINK(x.LINK3args(file, at(b"EXCLUSIVE")))
        await nfs.READDIR(x.READDIR3args(root, 0, bytes(8), 10))
        await nfs.READDIR(x.READDIR3args(file, 0, bytes(8), 4096))
        await nfs.READDIRPLUS(x.READDIRPLUS3args(root, 0, bytes(8), 10, 10))
        await nfs.COMMIT(x.COMMIT3args(root, 0, 0))

    async def _fail_without(self) -> None:
        """Every procedure, with a handle of another server."""
        for vector in SUBJECTS["NFS_V3"].of("call"):
            await self.pipe.send(vector.data)
        for args in _foreign():
            name = type(args).__name__.removesuffix("3args")
            await getattr(self.nfs, name)(args)


def _foreign() -> tuple[Any, ...]:
    """Arguments with a handle that has the right size, but no right MAC."""
    return (
        x.GETATTR3args(FOREIGN),
        x.FSSTAT3args(FOREIGN),
        x.FSINFO3args(FOREIGN),
        x.PATHCONF3args(FOREIGN),
        x.ACCESS3args(FOREIGN, 1),
    )
