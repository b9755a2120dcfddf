"""A whole NFSv3 service in this process, with the calls that tests make of it.

    @each_backend()
    async def test_something(w: World) -> None:
        file = await w.create(w.root, b"name")

A test that is decorated so runs once on memory and once on posix; every call is encoded and decoded
as on the wire, without a socket (`oncrpc.testing.Pipe`). `w.tcp()` gives clients over TCP.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends.base import Backend
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from nfsloop.export import Export, Exports, Options
from nfsloop.handle import FileHandles
from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3
from nfsloop.mount3.mounts import Mounts
from nfsloop.mount3.server import Mount1Service, Mount3Service, Mountd
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.nlm4.nlm4_xdr import NLM4_VERS
from nfsloop.nlm4.server import NoLocks
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.client import RpcClient, connected
from oncrpc.message import AUTH_SYS, Credential
from oncrpc.server import RpcServer
from oncrpc.testing import Pipe

KINDS = ("memory", "posix")
AS_ROOT = os.geteuid() == 0
ROOT = Credential(AUTH_SYS, 0, 0, (), b"test")
USER = Credential(AUTH_SYS, 1000, 1000, (1000,), b"test")
OPEN = Options(root_squash=False)
PEER = Peer("192.0.2.7", 700, "test")
KEY = bytes(range(32))
NOTHING = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
GONE = 1 << 30

OK = x.NFS3_OK


def sattr(
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    size: int | None = None,
    atime: x.set_atime = NOTHING[0],
    mtime: x.set_mtime = NOTHING[1],
) -> x.sattr3:
    """A sattr3 that sets what is named."""
    return x.sattr3(mode, uid, gid, size, atime, mtime)


def unchecked(**wishes: Any) -> x.createhow3:
    """UNCHECKED, mode 0644 unless it is named."""
    return x.createhow3(x.UNCHECKED, sattr(**{"mode": 0o644, **wishes}))


def guarded(**wishes: Any) -> x.createhow3:
    """GUARDED, mode 0644 unless it is named."""
    return x.createhow3(x.GUARDED, sattr(**{"mode": 0o644, **wishes}))


def fattr(value: x.fattr3 | bytes | None) -> x.fattr3:
    """Attributes that must be there."""
    assert isinstance(value, x.fattr3), value
    return value


def before(wcc: x.wcc_data) -> x.wcc_attr:
    """The attributes before, that must be there."""
    assert isinstance(wcc.before, x.wcc_attr), wcc
    return wcc.before


def check_wcc(wcc: x.wcc_data, old: x.fattr3, new: x.fattr3) -> None:
    """That weak cache consistency data tell what was and what is."""
    assert before(wcc) == x.wcc_attr(old.size, old.mtime, old.ctime)
    after = fattr(wcc.after)
    # Attributes are compared but for atime, that the look itself may move.
    after.atime = new.atime
    assert after == new


@dataclass
class World:
    """A service over one export, and one client of it without a socket."""

    kind: str
    server: RpcServer
    exports: Exports
    handles: FileHandles
    mountd: Mountd
    backend: Backend
    #: What the posix backend serves.
    path: Path
    pipe: Pipe
    root: bytes = b""

    @property
    def nfs(self) -> x.NFS_V3_Client:
        """The client as whom `pipe.credential` says (root, and not squashed, by default)."""
        return x.NFS_V3_Client(self.pipe)

    def client(self, credential: Credential, peer: Peer = PEER) -> x.NFS_V3_Client:
        """A client that is somebody else."""
        return x.NFS_V3_Client(Pipe(self.server.dispatcher, credential, peer))

    @asynccontextmanager
    async def tcp(self, credential: Credential = ROOT) -> AsyncIterator[RpcClient]:
        """A connection to the same service over TCP."""
        port = self.server.listen("tcp", "127.0.0.1")
        async with connected("tcp", "127.0.0.1", port, credential, window=10**6) as rpc:
            yield rpc

    async def create(self, dir: bytes, name: bytes, **wishes: Any) -> bytes:
        """Make a regular file; its handle."""
        args = x.CREATE3args(x.diropargs3(dir, name), guarded(**wishes))
        handle = (await self.nfs.CREATE(args)).resok.obj
        assert handle is not None
        return handle

    async def mkdir(self, dir: bytes, name: bytes, mode: int = 0o755) -> bytes:
        """Make a directory; its handle."""
        args = x.MKDIR3args(x.diropargs3(dir, name), sattr(mode))
        handle = (await self.nfs.MKDIR(args)).resok.obj
        assert handle is not None
        return handle

    async def symlink(self, dir: bytes, name: bytes, target: bytes) -> bytes:
        """Make a symbolic link; its handle."""
        data = x.symlinkdata3(sattr(0o777), target)
        handle = (await self.nfs.SYMLINK(x.SYMLINK3args(x.diropargs3(dir, name), data))).resok.obj
        assert handle is not None
        return handle

    async def write(
        self, file: bytes, data: bytes, offset: int = 0, stable: x.stable_how = x.UNSTABLE
    ) -> x.WRITE3resok:
        """Write all of `data`."""
        args = x.WRITE3args(file, offset, len(data), stable, data)
        done = (await self.nfs.WRITE(args)).resok
        assert done.count == len(data)
        return done

    async def read(self, file: bytes, offset: int = 0, count: int = 1 << 20) -> bytes:
        """What one READ gives."""
        got = (await self.nfs.READ(x.READ3args(file, offset, count))).resok
        assert got.count == len(got.data)
        return bytes(got.data)

    async def attr(self, handle: bytes) -> x.fattr3:
        """The attributes of a file."""
        return fattr((await self.nfs.GETATTR(x.GETATTR3args(handle))).resok.obj_attributes)

    async def lookup(self, dir: bytes, name: bytes) -> bytes:
        """The handle of a name."""
        return (await self.nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(dir, name)))).resok.object

    async def status(self, call: str, *args: Any, by: x.NFS_V3_Client | None = None) -> str:
        """The name of the status that procedure `call` ends with, such as "NOENT"."""
        shape: Any = getattr(x, f"{call}3args")
        res = await getattr(by or self.nfs, call)(shape(*args))
        status: x.nfsstat3 = res.status
        return status.name.removeprefix("NFS3ERR_").removeprefix("NFS3_")

    async def names(self, dir: bytes, count: int = 4096) -> list[bytes]:
        """All names in a directory, by READDIR."""
        names: list[bytes] = []
        cookie, verifier = 0, bytes(8)
        while True:
            res = await self.nfs.READDIR(x.READDIR3args(dir, cookie, verifier, count))
            ok = res.resok
            verifier = ok.cookieverf
            entries = ok.reply.entries
            names += [entry.name for entry in entries]
            if ok.reply.eof:
                return names
            assert entries, "no entry and no end"
            cookie = entries[-1].cookie


def new_backend(kind: str, tmp_path: Path) -> Backend:
    """A fresh backend; two of one `tmp_path` serve the same files, if they are posix."""
    if kind == "memory":
        return MemoryBackend()
    (tmp_path / "export").mkdir(exist_ok=True)
    (tmp_path / "export").chmod(0o755)  # a posix backend sets the umask to 0
    (tmp_path / "state").mkdir(exist_ok=True)
    return PosixBackend(tmp_path / "export", state=tmp_path / "state")


@asynccontextmanager
async def serving(
    kind: str,
    tmp_path: Path,
    options: Options = OPEN,
    backend: Backend | None = None,
    key: bytes = KEY,
    path: str = "/export",
    credential: Credential = ROOT,
) -> AsyncIterator[World]:
    """A `World` around `backend`, or one of `kind`."""
    backend = backend or new_backend(kind, tmp_path)
    exports, handles = Exports([Export(path, backend, options)]), FileHandles(key)
    mountd = Mountd(exports, handles, Mounts())
    server = RpcServer()
    server.add(NFS3_PROGRAM, Nfs3Service(exports, handles))
    server.add(MOUNT_V3, Mount3Service(mountd))
    server.add(MOUNT_V1, Mount1Service(mountd))
    server.add(NLM4_VERS, NoLocks())
    pipe = Pipe(server.dispatcher, credential, PEER)
    world = World(kind, server, exports, handles, mountd, backend, tmp_path / "export", pipe)
    hosted = next(iter(exports)).backend
    await hosted.start()
    try:
        world.root = await root_of(world, path)
        yield world
    finally:
        await server.stop(1.0)
        await hosted.stop()


async def root_of(world: World, path: str) -> bytes:
    """The handle of an export's root."""
    export = world.exports.find(path)
    assert export is not None
    attr = await export[0].backend.root(export[0].context(ROOT, PEER))
    return world.handles.pack(export[0].number, attr.ino, attr.generation)


Test = Callable[..., Coroutine[Any, Any, None]]


def each_backend(*kinds: str, **settings: Any) -> Callable[[Test], Callable[..., None]]:
    """Run an async test, whose first parameter is a `World`, on each of `kinds` (default: all).

    `settings` go to `serving`. Further parameters are pytest's.
    """

    def decorate(test: Test) -> Callable[..., None]:
        extra = list(inspect.signature(test).parameters.values())[1:]

        def run(kind: str, tmp_path: Path, **more: Any) -> None:
            async def main() -> None:
                async with serving(kind, tmp_path, **settings) as world:
                    wants_path = {"tmp_path": tmp_path} if "tmp_path" in names else {}
                    await test(world, **wants_path, **more)

            loop.run(main())

        names = [parameter.name for parameter in extra]
        known = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                 for name in ("kind", "tmp_path")]  # fmt: skip
        rest = [parameter for parameter in extra if parameter.name != "tmp_path"]
        run.__signature__ = inspect.Signature([*known, *rest])  # type: ignore[attr-defined]
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        run.__qualname__ = test.__qualname__
        run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
        decorated: Callable[..., None] = pytest.mark.parametrize("kind", kinds or KINDS)(run)
        return decorated

    return decorate


needs_root = partial(
    pytest.mark.skipif, not AS_ROOT, reason="only root can act as the callers, or make devices"
)
