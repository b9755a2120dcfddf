"""What a call left behind that a crash cut off: did it take place, and what was its answer?

The server died between an operation and the record of its reply. Before the operation it noted
what its names stood for (`intent`); nobody has changed anything since, for `settle` runs before
the first call is served. So the names tell: a name that was free and is taken was created, a name
that was taken and is not was removed. What took place by half is completed (RFC 1813 section 4.5
tells why clients need the answer of the first execution).

Where the server was not alone (`Recovery.alone`), others have gone on. The names still tell, as
they were claimed; but a file's attributes and data are whoever's came last, and may have been
answered. So nothing is set a second time: a call is answered from what is there, or not at all, and
is a new one when it comes again.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from backends.base import (
    NOW,
    Access,
    Attr,
    CreateMode,
    FileType,
    FsError,
    Key,
    SetAttr,
    Status,
    Wcc,
)
from nfsloop.attr import fattr3, nanoseconds, set_attr, wcc_of
from nfsloop.export import Exports
from nfsloop.handle import FileHandles
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.core import Nfs3Core, check_name
from nfsloop.nfs3.failure import FIRST_HANDLE
from nfsloop.nfscall import NfsCall
from nfsloop.status import status_of
from oncrpc.call import Once
from oncrpc.program import Proc

log = logging.getLogger("nfsloop.nfs3")

#: The names that each procedure changes or depends on: handle of the directory, name.
NAMES: dict[str, Callable[[Any], Sequence[x.diropargs3]]] = {
    "CREATE": lambda args: (args.where,),
    "MKDIR": lambda args: (args.where,),
    "SYMLINK": lambda args: (args.where,),
    "MKNOD": lambda args: (args.where,),
    "REMOVE": lambda args: (args.object,),
    "RMDIR": lambda args: (args.object,),
    "RENAME": lambda args: (args.from_, args.to),
    "LINK": lambda args: (args.link,),
}

#: Procedures that make a file: result and arm.
CREATED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "CREATE": (x.CREATE3res, x.CREATE3resok),
    "MKDIR": (x.MKDIR3res, x.MKDIR3resok),
    "SYMLINK": (x.SYMLINK3res, x.SYMLINK3resok),
    "MKNOD": (x.MKNOD3res, x.MKNOD3resok),
}

#: Procedures that remove one.
REMOVED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "REMOVE": (x.REMOVE3res, x.REMOVE3resok),
    "RMDIR": (x.RMDIR3res, x.RMDIR3resok),
}

#: While a backend or the resolver of names asks for patience (JUKEBOX), try again so often.
SETTLE_TRIES = 20
SETTLE_SECONDS = 0.25

#: Errors of a look at the names that the operation meets too. It may meet another one first, and
#: that is the answer, with or without a cache.
CERTAIN = frozenset(
    {
        Status.ACCES,
        Status.BADHANDLE,
        Status.NAMETOOLONG,
        Status.NOTDIR,
        Status.ROFS,
        Status.STALE,
        Status.XDEV,
    }
)

#: Export, directory and name; a file, without a name.
Scope: TypeAlias = tuple[int, Key, bytes]

#: An inode number that stands for none.
_FREE = 0

_ONE, _TWO = struct.Struct(">Q"), struct.Struct(">2Q")
_MAX64 = 2**64 - 1


class Recovery(Nfs3Core):
    """`intent`, `settle` and `lasts` of the NFS service (`oncrpc.program.Service`)."""

    #: Whether nobody has changed any file since the calls that are settled were cut off.
    alone = True

    def __init__(self, exports: Exports, handles: FileHandles) -> None:
        super().__init__(exports, handles)
        #: What calls in progress have noted the state of -> done when they are answered.
        self._claims: dict[Scope, asyncio.Future[None]] = {}

    def lasts(self, proc: Proc, args: Any) -> bool:
        """See `Service.lasts`: whether the file system is one that survives a restart."""
        try:
            number, _ = self.handles.unpack(FIRST_HANDLE[proc.name](args))
        except FsError:
            return False
        export = self.exports.by_number.get(number)
        return export is not None and export.backend.persistent

    async def intent(self, call: NfsCall, args: Any) -> bytes | None:
        """See `Service.intent`: inode numbers behind the names, or the ctime of what SETATTR sets.

        None where nothing survives, and where the operation is sure to fail. Raises what says
        nothing of that, such as JUKEBOX and IO: then it is not begun.
        """
        try:
            names = NAMES.get(call.proc.name)
            if names is not None:
                return await self._peek(call, *names(args))
            key = self.enter_to_change(call, args.object)
            if not call.backend.persistent:
                return None
            if not call.backend.inline:
                await self._claim(call, ((call.export.number, key, b""),))
            return _ONE.pack((await call.backend.getattr(call.ctx, key)).ctime & _MAX64)
        except (FsError, OSError) as exc:
            status = status_of(exc)
            refused = status is Status.ACCES and not hasattr(call, "ctx")
            if refused or status not in CERTAIN:
                raise  # to be refused once is enough
            return None

    async def _peek(
        self, call: NfsCall, what: x.diropargs3, second: x.diropargs3 | None = None
    ) -> bytes | None:
        """What the names stand for now; None where nothing survives a restart.

        Raises what `enter_to_change` and `enter_second` do, and ACCES or NAMETOOLONG for an
        impossible name: which of the two it is, is the operation's business.
        """
        dir = self.enter_to_change(call, what.dir)
        backend, ctx = call.backend, call.ctx
        if not backend.persistent:
            return None
        name = check_name(call, what.name, Status.ACCES)
        if second is None:
            if not backend.inline:
                await self._claim(call, ((call.export.number, dir, name),))
            return _ONE.pack(await backend.peek(ctx, dir, name) or _FREE)
        to_dir = self.enter_second(call, second.dir)
        to_name = check_name(call, second.name, Status.ACCES)
        if not backend.inline:
            number = call.export.number
            await self._claim(call, ((number, dir, name), (number, to_dir, to_name)))
        was = await backend.peek(ctx, dir, name) or _FREE
        return _TWO.pack(was, await backend.peek(ctx, to_dir, to_name) or _FREE)

    async def _claim(self, call: NfsCall, scopes: Sequence[Scope]) -> None:
        """Wait until no call is in progress that noted these names, and have them until this one is
        answered: what was noted must hold until the operation, and its effect until its record.

        Only for backends that wait: with the others, nobody can come between.
        """
        once = call.transport
        if not isinstance(once, Once):
            return  # it is being settled: there is no other
        patience = call.backend.patience
        deadline = asyncio.get_running_loop().time() + patience
        while held := [self._claims[scope] for scope in scopes if scope in self._claims]:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not (await asyncio.wait(held, timeout=left))[0]:
                raise FsError(Status.JUKEBOX, "its names are in use by a call that takes its time")
        done = asyncio.get_running_loop().create_future()
        self._claims.update(dict.fromkeys(scopes, done))
        once.then = partial(self._release, scopes, done)

    def _release(self, scopes: Sequence[Scope], done: asyncio.Future[None]) -> None:
        for scope in scopes:
            self._claims.pop(scope, None)  # a RENAME onto itself has one scope twice
        if not done.done():
            done.set_result(None)

    async def settle(self, call: NfsCall, args: Any, facts: bytes) -> Any:
        """See `Service.settle`."""
        left = SETTLE_TRIES
        while True:
            try:
                return await self._settle(call, args, facts)
            except (FsError, OSError) as exc:
                left -= 1
                if not left or status_of(exc) is not Status.JUKEBOX:
                    why = call.proc.name, call.peer.host, exc
                    log.info("%s of %s, cut off by a crash: %s", *why)
                    return None
            await asyncio.sleep(SETTLE_SECONDS)

    async def _settle(self, call: NfsCall, args: Any, facts: bytes) -> Any:
        name = call.proc.name
        if name == "SETATTR":
            return await self._settle_attributes(call, args, *_ONE.unpack(facts))
        names = NAMES[name](args)
        found = await self._peek(call, *names)
        if found is None:
            return None
        before, now = _unpack(facts), _unpack(found)
        if name in CREATED:
            return await self._settle_created(call, args, before[0], now[0])
        if name in REMOVED:
            return await self._settle_removed(call, names[0], before[0], now[0])
        if name == "RENAME":
            return await self._settle_renamed(call, names, before, now)
        return await self._settle_link(call, args, before[0], now[0])

    async def _settle_removed(
        self, call: NfsCall, what: x.diropargs3, before: int, now: int
    ) -> Any:
        if before in {_FREE, now}:
            return None
        result, arm = REMOVED[call.proc.name]
        return result(x.NFS3_OK, arm(await self._wcc(call, what.dir)))

    async def _settle_renamed(
        self,
        call: NfsCall,
        names: Sequence[x.diropargs3],
        before: Sequence[int],
        now: Sequence[int],
    ) -> Any:
        if before[0] == _FREE or now[1] != before[0] or now[0] == before[0]:
            return None
        dirs = [await self._wcc(call, what.dir) for what in names]
        return x.RENAME3res(x.NFS3_OK, x.RENAME3resok(*dirs))

    async def _settle_link(self, call: NfsCall, args: x.LINK3args, before: int, now: int) -> Any:
        _, key = self.handles.unpack(args.file)
        if before != _FREE or now != key.ino:
            return None
        attr = await call.backend.getattr(call.ctx, key)
        wcc = await self._wcc(call, args.link.dir)
        return x.LINK3res(x.NFS3_OK, x.LINK3resok(fattr3(attr, call.export.fsid), wcc))

    async def _wcc(self, call: NfsCall, handle: bytes) -> x.wcc_data:
        _, key = self.handles.unpack(handle)
        after = await call.backend.getattr(call.ctx, key)
        return wcc_of(Wcc(None, after), call.export.fsid)

    async def _settle_created(self, call: NfsCall, args: Any, before: int, now: int) -> Any:
        """A name that was free: whoever made it, it was this call."""
        if now == _FREE:
            return None
        name = call.proc.name
        _, dir = self.handles.unpack(args.where.dir)
        attr = (await call.backend.lookup(call.ctx, dir, args.where.name)).attr
        wanted = _wanted(name, args)
        if before == _FREE:
            if self.alone or _fresh(attr, wanted):
                attr = await self._complete(call, dir, args.where.name, attr, wanted)
        elif (
            name != "CREATE"
            or args.how.mode != CreateMode.UNCHECKED
            or before != now
            or wanted.size is None
            or attr.size != wanted.size
        ):
            return None
        elif not self.alone:
            if not await self._may_write(call, attr.key):
                return None
        else:
            # UNCHECKED found the file there, with this size, or has set it; if it may.
            await call.backend.setattr(call.ctx, attr.key, SetAttr(size=wanted.size))
            attr = await call.backend.getattr(call.ctx, attr.key)
        result, arm = CREATED[name]
        wcc = await self._wcc(call, args.where.dir)
        handle = self.handle(call, attr)
        return result(x.NFS3_OK, arm(handle, fattr3(attr, call.export.fsid), wcc))

    async def _may_write(self, call: NfsCall, key: Key) -> bool:
        granted = await call.backend.access(call.ctx, key, Access.MODIFY)
        return bool(granted.access & Access.MODIFY)

    async def _complete(
        self, call: NfsCall, dir: Key, name: bytes, attr: Attr, wanted: SetAttr
    ) -> Attr:
        """Give a new file those of its attributes that it was not given any more; if it may not
        have them, the call would have failed: undo it, and raise that."""
        backend, ctx = call.backend, call.ctx
        rest = _lacking(attr, wanted)
        # A file is made with its mode; what differs is a default ACL's doing. Only the set-id bits
        # come later, and go when the owner changes.
        set_id = wanted.mode is not None and wanted.mode & 0o6000
        owner = rest.uid is not None or rest.gid is not None
        rest.mode = wanted.mode if set_id and (owner or rest.mode is not None) else None
        if rest == SetAttr():
            return attr
        guard = None if self.alone else attr.ctime
        try:
            await backend.setattr(ctx, attr.key, rest, guard)
        except (FsError, OSError) as exc:
            if status_of(exc) is Status.JUKEBOX:
                raise
            if status_of(exc) is Status.NOT_SYNC:  # somebody has it already
                return await backend.getattr(ctx, attr.key)
            undo = backend.rmdir if attr.type is FileType.DIR else backend.remove
            await undo(ctx, dir, name)
            raise
        return await backend.getattr(ctx, attr.key)

    async def _settle_attributes(self, call: NfsCall, args: x.SETATTR3args, before: int) -> Any:
        """SETATTR is done now, to its end, unless its guard would have refused it."""
        guard = None if args.guard is None else nanoseconds(args.guard)
        if guard is not None and guard != before:
            return None
        key = self.enter_to_change(call, args.object)
        wanted = set_attr(args.new_attributes)
        if self.alone:
            await call.backend.setattr(call.ctx, key, wanted)
        else:
            attr = await call.backend.getattr(call.ctx, key)
            if attr.ctime & _MAX64 == before or _lacking(attr, wanted) != SetAttr():
                return None
        wcc = await self._wcc(call, args.object)
        return x.SETATTR3res(x.NFS3_OK, x.SETATTR3resok(wcc))


def _lacking(attr: Attr, wanted: SetAttr) -> SetAttr:
    """What of `wanted` a file does not have."""
    rest = SetAttr()
    for field in ("mode", "uid", "gid", "size", "atime", "mtime"):
        value = getattr(wanted, field)
        if value not in {None, NOW, getattr(attr, field)}:
            setattr(rest, field, value)
    return rest


def _fresh(attr: Attr, wanted: SetAttr) -> bool:
    """Whether a new file is as it was made: empty, or of the size that it was to have, and nothing
    has happened to it later. A file that others have had since is not for its maker to complete.
    """
    data = attr.type is FileType.REG and attr.size not in {0, wanted.size}
    return not data and attr.atime == attr.mtime == attr.ctime


def _unpack(facts: bytes) -> Sequence[int]:
    return (_ONE if len(facts) == _ONE.size else _TWO).unpack(facts)


def _wanted(name: str, args: Any) -> SetAttr:
    """The attributes that a new file is to have."""
    if name == "CREATE":
        exclusive = args.how.mode == CreateMode.EXCLUSIVE
        return SetAttr() if exclusive else set_attr(args.how.value)
    if name == "MKDIR":
        return set_attr(args.attributes)
    if name == "SYMLINK":
        attr = set_attr(args.symlink.symlink_attributes)
        attr.mode = None  # a link's cannot be set
        return attr
    what = args.what.value
    return set_attr(what.dev_attributes if isinstance(what, x.devicedata3) else what)
