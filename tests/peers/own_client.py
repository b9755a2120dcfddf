"""A session of the project's own client: every procedure of MOUNT and NFS, over TCP or UDP.

As a program: own_client.py TRANSPORT HOST PORT PATH
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nlm4 import nlm4_xdr as nlm
from oncrpc.client import RpcClient, connected
from oncrpc.message import AUTH_SYS, Credential

ME = Credential(AUTH_SYS, 0, 0, (4, 24), b"own-client")
NONE = bytes(8)
SECONDS = 5.0


def sattr(mode: int | None = None, size: int | None = None) -> x.sattr3:
    """A sattr3 with mode and size."""
    times = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.SET_TO_SERVER_TIME)
    return x.sattr3(mode, None, None, size, *times)


class Session:
    """Calls that must succeed, counted by name."""

    def __init__(self, rpc: RpcClient) -> None:
        self.nfs = x.NFS_V3_Client(rpc)
        self.called: set[str] = set()

    async def ok(self, name: str, *args: Any) -> Any:
        """The resok of a call."""
        self.called.add(name)
        shape = getattr(x, f"{name}3args")
        res = await getattr(self.nfs, name)(shape(*args), timeout=SECONDS)
        assert res.status == x.NFS3_OK, (name, res.status)
        return res.resok

    async def names(self, root: bytes) -> bytes:
        """Everything that makes, moves and removes names; the handle of the file "data"."""

        def at(name: bytes) -> x.diropargs3:
            return x.diropargs3(root, name)

        file: bytes = (await self.ok("CREATE", at(b"f"), x.createhow3(x.GUARDED, sattr(0o644)))).obj
        await self.ok("CREATE", at(b"once"), x.createhow3(x.EXCLUSIVE, b"12345678"))
        sub: bytes = (await self.ok("MKDIR", at(b"d"), sattr(0o755))).obj
        link = x.symlinkdata3(sattr(0o777), b"d/some target")
        made = (await self.ok("SYMLINK", at(b"l"), link)).obj
        assert (await self.ok("READLINK", made)).data == b"d/some target"
        await self.ok("MKNOD", at(b"fifo"), x.mknoddata3(x.NF3FIFO, sattr(0o600)))
        device = x.devicedata3(sattr(0o600), x.specdata3(1, 3))
        await self.ok("MKNOD", at(b"null"), x.mknoddata3(x.NF3CHR, device))
        await self.ok("LINK", file, x.diropargs3(sub, b"second"))
        await self.ok("RENAME", at(b"f"), at(b"data"))
        for name in (b"once", b"l", b"fifo", b"null"):
            await self.ok("REMOVE", at(name))
        await self.ok("REMOVE", x.diropargs3(sub, b"second"))
        await self.ok("RMDIR", at(b"d"))
        assert (await self.ok("LOOKUP", at(b"data"))).object == file
        missing = await self.nfs.LOOKUP(x.LOOKUP3args(at(b"none")), timeout=SECONDS)
        assert missing.status == x.NFS3ERR_NOENT
        return file

    async def data(self, file: bytes, root: bytes) -> None:
        """Reading and writing as much at once as FSINFO says, and attributes."""
        most = (await self.ok("FSINFO", root)).rtmax
        data = bytes(range(251)) * (2 * most // 251 + 1)
        for offset in range(0, len(data), most):
            piece = data[offset : offset + most]
            done = await self.ok("WRITE", file, offset, len(piece), x.UNSTABLE, piece)
            assert done.count == len(piece)
        verifier = done.verf
        assert (await self.ok("COMMIT", file, 0, 0)).verf == verifier
        got = b""
        while len(got) < len(data):
            read = await self.ok("READ", file, len(got), most)
            got += bytes(read.data)
            assert read.eof == (len(got) == len(data))
        assert got == data
        await self.ok("SETATTR", file, sattr(0o600, 100), None)
        assert (await self.ok("GETATTR", file)).obj_attributes.size == 100
        await self.ok("ACCESS", file, 0x3F)
        await self.ok("FSSTAT", root)
        await self.ok("PATHCONF", root)

    async def listing(self, root: bytes, files: int = 60) -> None:
        """Both ways to read a directory, in several replies."""
        names = {b"listed-%03d" % n for n in range(files)}
        for name in sorted(names):
            how = x.createhow3(x.UNCHECKED, sattr(0o644))
            await self.ok("CREATE", x.diropargs3(root, name), how)
        for call, counts in (("READDIR", (1024,)), ("READDIRPLUS", (1024, 4096))):
            seen: set[bytes] = set()
            cookie, eof = 0, False
            while not eof:
                reply = (await self.ok(call, root, cookie, NONE, *counts)).reply
                seen |= {entry.name for entry in reply.entries}
                cookie, eof = reply.entries[-1].cookie, reply.eof
            assert seen >= names | {b".", b".."}
        for name in sorted(names):
            await self.ok("REMOVE", x.diropargs3(root, name))


async def session(transport: str, host: str, port: int, path: str) -> set[str]:
    """All of it, at `path`, which may be left with a file "data"; the procedures called."""
    async with connected(transport, host, port, ME) as rpc:
        mount, nfs = m.MOUNT_V3_Client(rpc), Session(rpc)
        await mount.NULL(timeout=SECONDS)
        await nfs.nfs.NULL(timeout=SECONDS)
        root = (await mount.MNT(path.encode(), timeout=SECONDS)).mountinfo.fhandle
        await mount.EXPORT(timeout=SECONDS)
        await mount.DUMP(timeout=SECONDS)
        file = await nfs.names(root)
        await nfs.data(file, root)
        await nfs.listing(root)
        locks = nlm.NLM4_VERS_Client(rpc)
        lock = nlm.nlm4_lock(b"own-client", file, b"owner", 1, 0, 0)
        args = nlm.nlm4_lockargs(b"cookie", True, True, lock, False, 1)
        assert (await locks.LOCK(args, timeout=SECONDS)).stat.stat == nlm.NLM4_DENIED_NOLOCKS
        await mount.UMNT(path.encode(), timeout=SECONDS)
        await mount.UMNTALL(timeout=SECONDS)
        return nfs.called


if __name__ == "__main__":
    TRANSPORT, HOST, PORT, PATH = sys.argv[1:]
    print(*sorted(asyncio.run(session(TRANSPORT, HOST, int(PORT), PATH))))
