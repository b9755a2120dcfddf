"""A client's program: random steps in a directory of its own and in one that all share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any

from sim_model import Inode, Model
from sim_plan import HARD
from sim_world import PORT, SERVER, World, credential

from backends.base import FileType, Status
from nfsloop.handle import HANDLE_BYTES
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM
from oncrpc.client import RpcClient, connect
from oncrpc.errors import RpcError, RpcTimeout
from oncrpc.program import ProcFlag

OK = int(Status.OK)
NAMES = tuple(b"name%d" % number for number in range(7))
SHARED_NAMES = (b"one", b"two", b"three")
PROCS = {proc.name: proc for proc in NFS3_PROGRAM.procs.values()}
CHANGES = {name for name, proc in PROCS.items() if ProcFlag.MUTATES in proc.flags}
_KEEP = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
#: What says nothing in a trace.
_PLAIN: tuple[Any, ...] = (None, *_KEEP)
STABLE = (x.UNSTABLE, x.UNSTABLE, x.DATA_SYNC, x.FILE_SYNC)


class Shown:
    """Arguments as a trace shows them: in short, and only if somebody looks."""

    def __init__(self, args: Any) -> None:
        self.args = args

    def __str__(self) -> str:
        return _short(self.args)


def _short(value: Any) -> str:
    if is_dataclass(value):
        named = ((f.name, getattr(value, f.name)) for f in fields(value))
        return "(" + ", ".join(f"{k}={_short(v)}" for k, v in named if v not in _PLAIN) + ")"
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes) and len(value) == HANDLE_BYTES:
        return f"file {int.from_bytes(value[8:16], 'big')}"
    return repr(value)


def sattr(mode: int | None = None, size: int | None = None) -> x.sattr3:
    """A sattr3 that sets what is named."""
    return x.sattr3(mode, None, None, size, *_KEEP)


class Client:
    """One host with one program. `view` is what its own directory must look like.

    It keeps uncommitted data, as RFC 1813 section 4.8 says, and sends them again when the verifier
    has changed.
    """

    def __init__(
        self, world: World, number: int, transport: str, own: bytes, shared: bytes
    ) -> None:
        self.world = world
        self.number = number
        self.transport = transport
        self.rng = random.Random(f"client {number} of {world.net.seed}")
        self.host = world.net.host(f"10.0.1.{number}")
        self.view = Model(own)
        self.shared = shared
        self.rpc: RpcClient
        #: Handles of files that were seen in the shared directory.
        self.seen: list[bytes] = []
        #: Handle -> (offset, length, verifier) of what was written and not committed.
        self.uncommitted: dict[bytes, list[tuple[int, int, bytes]]] = {}
        self._calls = 0

    async def run(self) -> None:
        """The whole program."""
        while True:
            try:
                self.rpc = await connect(
                    self.transport, SERVER, PORT, retry=HARD,
                    xid_source=random.Random(self.rng.getrandbits(64)),
                )  # fmt: skip
                # Who has been answered once does not take a refusal for final.
                await self.rpc.call(x.NFS_V3, x.NFS_V3.procs[0], None)
                break
            except (OSError, RpcError):
                await asyncio.sleep(0.2)
        for _ in range(self.world.plan.steps):
            await self._step()
            if self.world.violation:
                return

    async def finish(self) -> None:
        """Make all own data safe."""
        for handle in list(self.uncommitted):
            await self._commit(handle)
        self.rpc.close()

    # Calls

    async def _call(self, name: str, args: Any, timeout: float | None = None) -> Any:
        """The result; None if the client gave up."""
        self._calls += 1
        tag = b"%d.%d" % (self.number, self._calls)
        proc = PROCS[name]
        self.rpc.credential = credential(tag)
        self.world.net.note("calls", tag.decode(), name, Shown(args))
        try:
            result = await self.rpc.call(x.NFS_V3, proc, args, timeout)
        except RpcTimeout:
            self.world.net.note("gives up", tag.decode())
            return None
        self.world.net.note("gets", tag.decode(), result.status.name)
        if name in CHANGES:
            self.world.acknowledged(tag, proc, result)
        return result

    async def _own(self, name: str, args: Any, in_sync: bool = True) -> Any:
        """A call in the own directory, whose outcome is known beforehand."""
        expected, inode = self.view.apply(name, args, in_sync)
        result = await self._call(name, args)
        if result.status != expected:
            self.world.fail(
                f"client {self.number}: {name} gives {result.status.name}, "
                f"not {Status(expected).name}: {args}"
            )
        elif inode is not None and name in {"CREATE", "MKDIR", "SYMLINK"} and not inode.handle:
            self.view.bind(inode, result.value.obj)
        return result

    # Steps

    async def _step(self) -> None:
        kind = self.rng.random()
        if kind < 0.25:
            await self._shared_step()
        elif kind < 0.40:
            await self._many()
        else:
            await self.rng.choice(_OWN_STEPS)(self)

    def _dir(self) -> Inode:
        dirs = [node for node in self.view.files() if node.kind is FileType.DIR]
        return self.rng.choice(dirs)

    def _regular(self) -> Inode | None:
        files = [node for node in self.view.files() if node.kind is FileType.REG]
        return self.rng.choice(files) if files else None

    def _taken(self) -> x.diropargs3 | None:
        """A name that is there."""
        names = [
            x.diropargs3(node.handle, name)
            for node in self.view.files()
            if node.kind is FileType.DIR
            for name in node.entries
        ]
        return self.rng.choice(names) if names else None

    def _name(self) -> x.diropargs3:
        """A name, taken or free."""
        return x.diropargs3(self._dir().handle, self.rng.choice(NAMES))

    def _how(self) -> x.createhow3:
        kind = self.rng.choice((x.UNCHECKED, x.GUARDED, x.EXCLUSIVE))
        if kind == x.EXCLUSIVE:
            return x.createhow3(kind, self.rng.randbytes(8))
        size = self.rng.choice((None, None, 0, 5))
        return x.createhow3(kind, sattr(self.rng.choice((0o644, 0o600)), size))

    async def _create(self) -> None:
        await self._own("CREATE", x.CREATE3args(self._name(), self._how()))

    async def _mkdir(self) -> None:
        await self._own("MKDIR", x.MKDIR3args(self._name(), sattr(0o755)))

    async def _symlink(self) -> None:
        data = x.symlinkdata3(sattr(0o777), b"to %d" % self._calls)
        await self._own("SYMLINK", x.SYMLINK3args(self._name(), data))

    async def _link(self) -> None:
        node = self._regular()
        if node is not None:
            await self._own("LINK", x.LINK3args(node.handle, self._name()))

    async def _remove(self) -> None:
        what = self._taken() or self._name()
        node = self.view.get(what.dir).entries.get(what.name)
        if node is not None and node.kind is FileType.DIR:
            await self._own("RMDIR", x.RMDIR3args(what))
        else:
            await self._own("REMOVE", x.REMOVE3args(what))
        self._forget_gone()

    async def _rename(self) -> None:
        source = self._taken()
        if source is None:
            return
        node = self.view.get(source.dir).entries[source.name]
        to = self._name()
        if node.kind is FileType.DIR:
            to.dir = source.dir  # directories stay where they are, for the depth's sake
        elif to.name in self.view.get(to.dir).entries:
            other = self.view.get(to.dir).entries[to.name]
            if other.kind is FileType.DIR:
                return  # the order of errors is not the model's concern
        await self._own("RENAME", x.RENAME3args(source, to))
        self._forget_gone()

    def _forget_gone(self) -> None:
        for handle in [h for h in self.uncommitted if h not in self.view.by_handle]:
            del self.uncommitted[handle]

    async def _setattr(self) -> None:
        node = self._regular()
        if node is None:
            return
        new = self.rng.choice((sattr(0o640), sattr(size=3), sattr(0o600, 20), sattr(size=0)))
        guard = None
        in_sync = True
        kind = self.rng.random()
        if kind < 0.4:
            found = await self._own("GETATTR", x.GETATTR3args(node.handle))
            guard = found.value.obj_attributes.ctime
        elif kind < 0.6:
            guard, in_sync = x.nfstime3(1, 1), False
        await self._own("SETATTR", x.SETATTR3args(node.handle, new, guard), in_sync)

    async def _write(self, node: Inode | None = None) -> None:
        node = node or self._regular()
        if node is None:
            return
        data = b"%d.%d " % (self.number, self._calls) * self.rng.randint(1, 4)
        offset = self.rng.choice((0, len(node.data), self.rng.randint(0, 40)))
        args = x.WRITE3args(node.handle, offset, len(data), self.rng.choice(STABLE), data)
        await self._send(node.handle, args)

    async def _send(self, handle: bytes, args: x.WRITE3args) -> None:
        result = await self._own("WRITE", args)
        if result.status != OK:
            return
        done = result.value
        if done.count != args.count or done.committed < args.stable:
            self.world.fail(f"WRITE wrote {done.count} of {args.count} as {done.committed!r}")
        if done.committed == x.UNSTABLE:
            written = self.uncommitted.setdefault(handle, [])
            written.append((args.offset, args.count, done.verf))

    async def _commit_some(self) -> None:
        handles = list(self.uncommitted)
        if handles:
            await self._commit(self.rng.choice(handles))

    async def _commit(self, handle: bytes) -> None:
        """COMMIT; what was written under another verifier is written and committed again."""
        for _ in range(100):
            written = self.uncommitted.pop(handle, [])
            if not written:
                return
            result = await self._own("COMMIT", x.COMMIT3args(handle, 0, 0))
            if result.status != OK or self.world.violation:
                return
            node = self.view.get(handle)
            for offset, count, verifier in written:
                data = bytes(node.data[offset : offset + count])
                if verifier != result.value.verf and data:
                    args = x.WRITE3args(handle, offset, len(data), x.UNSTABLE, data)
                    await self._send(handle, args)
        self.world.fail(f"client {self.number}: COMMIT after COMMIT, and the verifier never stays")

    async def _look(self) -> None:
        """One of the calls that read."""
        what = self._taken() or self._name()
        name = self.rng.choice(("LOOKUP", "READ", "READDIR", "READDIRPLUS", "GETATTR"))
        if name == "LOOKUP":
            await self._own(name, x.LOOKUP3args(what))
        elif name == "READDIR":
            await self._own(name, x.READDIR3args(what.dir, 0, bytes(8), 4096))
        elif name == "READDIRPLUS":
            await self._own(name, x.READDIRPLUS3args(what.dir, 0, bytes(8), 4096, 8192))
        elif name == "GETATTR":
            await self._own(name, x.GETATTR3args(what.dir))
        else:
            node = self._regular()
            if node is not None:
                result = await self._own(name, x.READ3args(node.handle, 0, 4096))
                if node.handle not in self.uncommitted and result.value.data != node.data:
                    self.world.fail(f"client {self.number}: READ gives {result.value.data!r}")

    async def _many(self) -> None:
        """Several calls in flight, on different objects."""
        files = [node for node in self.view.files() if node.kind is FileType.REG]
        if len(files) > 1 and self.rng.random() < 0.5:
            some = self.rng.sample(files, min(len(files), 3))
            await asyncio.gather(*(self._write(node) for node in some))
            return
        dir = self._dir()
        calls = []
        for name in self.rng.sample(NAMES, 3):
            what = x.diropargs3(dir.handle, name)
            node = dir.entries.get(name)
            if node is None:
                calls.append(self._own("CREATE", x.CREATE3args(what, self._how())))
            elif node.kind is not FileType.DIR and node.nlink == 1:
                calls.append(self._own("REMOVE", x.REMOVE3args(what)))
        await asyncio.gather(*calls)
        self._forget_gone()

    # The shared directory: no outcome is known beforehand, only that it is the execution's

    async def _shared_step(self) -> None:
        rng = self.rng
        what = x.diropargs3(self.shared, rng.choice(SHARED_NAMES))
        other = x.diropargs3(self.shared, rng.choice(SHARED_NAMES))
        kind = rng.randrange(10)
        timeout = rng.choice((0.2, 1.0)) if rng.random() < 0.3 else None
        if kind < 3:
            result = await self._call("CREATE", x.CREATE3args(what, self._how()), timeout)
            if result is not None and result.status == OK:
                self.seen.append(result.value.obj)
        elif kind == 3:
            await self._call("MKDIR", x.MKDIR3args(what, sattr(0o755)), timeout)
        elif kind == 4:
            await self._call("RMDIR", x.RMDIR3args(what), timeout)
        elif kind == 5:
            await self._call("REMOVE", x.REMOVE3args(what), timeout)
        elif kind == 6:
            await self._call("RENAME", x.RENAME3args(what, other), timeout)
        elif kind == 7:
            await self._call(
                "READDIRPLUS", x.READDIRPLUS3args(self.shared, 0, bytes(8), 4096, 8192)
            )
        elif self.seen:
            await self._shared_file(rng.choice(self.seen), timeout, what)

    async def _shared_file(self, handle: bytes, timeout: float | None, what: x.diropargs3) -> None:
        """Something with a file that anybody may change or remove."""
        rng = self.rng
        kind = rng.randrange(4)
        if kind == 0:
            data = b"<%d.%d>" % (self.number, self._calls)
            offset = rng.randint(0, 20)
            args = x.WRITE3args(handle, offset, len(data), rng.choice(STABLE), data)
            await self._call("WRITE", args, timeout)
        elif kind == 1:
            found = await self._call("GETATTR", x.GETATTR3args(handle))
            if found.status == OK:
                guard = found.value.obj_attributes.ctime
                args_ = x.SETATTR3args(handle, sattr(size=rng.randint(0, 9)), guard)
                await self._call("SETATTR", args_, timeout)
        elif kind == 2:
            await self._call("LINK", x.LINK3args(handle, what), timeout)
        else:
            await self._call("COMMIT", x.COMMIT3args(handle, 0, 0), timeout)


_OWN_STEPS: tuple[Callable[[Client], Any], ...] = (
    Client._create, Client._create, Client._create, Client._mkdir, Client._symlink, Client._link,
    Client._remove, Client._remove, Client._rename, Client._rename, Client._setattr,
    Client._setattr, Client._write, Client._write, Client._write, Client._commit_some,
    Client._look, Client._look,
)  # fmt: skip
