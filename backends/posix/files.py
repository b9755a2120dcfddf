"""READ, WRITE, COMMIT, SETATTR."""

from __future__ import annotations

import errno
import os

from backends.base import (
    NOW,
    Attr,
    Buffer,
    Context,
    Data,
    FileType,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)

from . import kernel
from .core import Core
from .descriptors import LARGE_BYTES, Descriptor
from .node import Node

_R, _W, _X = os.R_OK, os.W_OK, os.X_OK
#: Where the kernel cannot say whether a read will wait for the disk: what is read on the loop.
_INLINE_BYTES = 65536


def _regular(node: Node) -> None:
    if node.type is not FileType.REG:
        raise FsError(Status.ISDIR if node.directory else Status.INVAL)


class FileOps(Core):
    """What is done to one file by its key."""

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """See `Backend.read`. Who may execute a file may read it, as clients must to execute it.

        The data are read first, and permission is checked with the attributes as of after that:
        one fstat serves both.
        """
        node = self._table.get(key[0])
        if node is None or node.generation != key[1]:
            node = self._nodes.find(key)
        else:
            node.hot = True
        desc = node.desc
        if desc is None or not desc.readable:
            _regular(node)
            self._check(node, ctx, self._look(node), _R | _X)
            desc = self._descriptors.get(node, False, ctx)
        else:
            desc.hot = True
        data: bytearray | memoryview
        if count < LARGE_BYTES:
            data = bytearray(count)
        else:
            data = memoryview(self._buffers.take(count))[:count]
        try:
            got = os.preadv(desc.fd, (data,), offset, desc.no_wait)
        except OSError as error:
            got = _read_at_once(desc, data, offset, error)
        if not got:  # the kernel says so too, but is not asked each time
            _regular(node)
        st = os.fstat(desc.fd)
        if not st.st_nlink:
            raise self._nodes.stale(node)
        attr = node.update(st)
        if attr.uid != ctx.uid or not self._switches:
            self._check(node, ctx, attr, _R | _X)
        if got == count:
            return Data(data, offset + got >= attr.size, attr)
        size = attr.size
        view = memoryview(data)
        if offset + got < size:
            desc.busy += 1
            try:
                got += await self._loop.run_in_executor(
                    self._pool, _read_all, desc.fd, view[got:], offset + got
                )
                size = os.fstat(desc.fd).st_size
            finally:
                desc.busy -= 1
                self._descriptors.release(desc)
        return Data(view[:got], offset + got >= size, attr)

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """See `Backend.write`. A full disk gives a short count first, then the error."""
        node = self._table.get(key[0])
        if node is None or node.generation != key[1]:
            node = self._nodes.find(key)
        else:
            node.hot = True
        st = os.fstat(node.fd)
        if not st.st_nlink:
            raise self._nodes.stale(node)
        before = node.update(st)
        if node.type is not FileType.REG:
            _regular(node)
        if before.uid != ctx.uid or not self._switches:
            self._check(node, ctx, before, _W)
        desc = node.desc
        if desc is None or not desc.writable:
            desc = self._writable(node, ctx)
        else:
            desc.hot = True
        desc.written = True
        if ctx is not self._identity.acting:
            self._identity.become_user(ctx)
        try:
            count = os.pwrite(desc.fd, data, offset)
        except OSError as error:
            desc, count = await self._write_again(ctx, node, desc, offset, data, error)
        if count < len(data):
            count = _write_rest(desc.fd, data, offset, count)
        after = node.renew(os.fstat(desc.fd))
        if self._safe:
            if stable:
                await self._syncs.sync(desc, stable is Stable.DATA_SYNC)
            else:
                desc.dirty = True
                if self._descriptors.crowded():  # so many files: writers go as fast as the disk
                    await self._syncs.sync(desc, True)
        return Written(count, stable, Wcc(before, after))

    async def _write_again(
        self,
        ctx: Context,
        node: Node,
        desc: Descriptor,
        offset: int,
        data: Buffer,
        error: OSError,
    ) -> tuple[Descriptor, int]:
        """A write for which there may be space now; else the error."""
        data = bytes(data)
        if not await self._workers.space(error):
            raise error
        if node.fd < 0:  # it was let go meanwhile
            raise FsError(Status.JUKEBOX)
        desc = self._writable(node, ctx)
        desc.written = True
        self._identity.become_user(ctx)
        return desc, os.pwrite(desc.fd, data, offset)

    def _writable(self, node: Node, ctx: Context) -> Descriptor:
        desc = self._descriptors.get(node, True, ctx)
        self._nodes.copied_up(node)
        return desc

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """See `Backend.commit`. The whole file is synced, whatever the range."""
        node = self._nodes.find(key)
        _regular(node)
        attr = self._look(node)
        if self._safe:
            desc = node.desc or self._descriptors.get(node, False, ctx)
            await self._syncs.sync(desc, False)
        return Wcc(attr, attr)

    # SETATTR

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """See `Backend.setattr`.

        The order keeps it all or nothing. What can be known to fail is found before anything is
        changed; then come owner, mode, size, times. Owner and mode are put back if a later step
        fails. The size cannot be, so it comes after them; times come behind it, because it changes
        them, and cannot fail any more.
        """
        node = self._nodes.find(key)
        before = self._look(node)
        if guard is not None and guard != before.ctime:
            raise FsError(Status.NOT_SYNC)
        owner = self._like_owner(ctx, before)
        desc = self._prepare(node, ctx, before, attr, owner)
        self._identity.become(ctx)
        try:
            self._apply(node, desc, attr, owner)
        except BaseException:
            self._undo(node, before)
            raise
        self._nodes.copied_up(node)
        return Wcc(before, node.renew(os.fstat(node.fd)))

    def _like_owner(self, ctx: Context, now: Attr) -> bool:
        """Whether the caller may do what a file's owner may."""
        uid = ctx.uid if self._identity.switches else self._euid
        return uid == 0 or self._owns(ctx, now.uid)

    def _prepare(
        self, node: Node, ctx: Context, now: Attr, attr: SetAttr, owner: bool
    ) -> Descriptor | None:
        """Raise what can be foreseen; open the file if its size is to change."""
        if attr.size is not None:
            _regular(node)
        if attr.mode is not None:
            if node.type is FileType.LNK:
                raise FsError(Status.NOTSUPP, "links have no mode")
            if not owner:
                raise FsError(Status.PERM)
        times = (attr.atime, attr.mtime)
        if not owner and any(time is not None for time in times):
            if any(time not in (None, NOW) for time in times):
                raise FsError(Status.PERM)
            self._check(node, ctx, now, _W)
        if attr.size is None:
            return None
        self._check(node, ctx, now, _W)
        if attr.size > self.limits.max_file_size:
            raise FsError(Status.FBIG)
        return self._writable(node, ctx)

    def _apply(self, node: Node, desc: Descriptor | None, attr: SetAttr, owner: bool) -> None:
        """Set it all, as whom the thread acts as."""
        what = node.what
        if attr.uid is not None or attr.gid is not None:
            os.chown(what, _or_keep(attr.uid), _or_keep(attr.gid))
        if attr.mode is not None:
            os.chmod(what, attr.mode & 0o7777)
        if attr.size is not None:
            assert desc is not None
            os.ftruncate(desc.fd, attr.size)
            if attr.mode is not None and attr.mode & 0o6000:
                os.chmod(what, attr.mode & 0o7777)  # the kernel has just taken these bits away
        atime, mtime = attr.atime, attr.mtime
        if atime is None and mtime is None:
            return
        if not owner:
            # One time alone set to now, as O_TRUNC does: whoever may write may do that over NFS
            # (`_prepare` has checked), but utimensat(2) lets him set only both.
            if self._identity.switches:
                self._identity.own()
            else:
                atime = mtime = NOW
        kernel.utimens(what, _timespec(atime), _timespec(mtime))

    def _undo(self, node: Node, before: Attr) -> None:
        self._identity.own()
        try:
            st = os.fstat(node.fd)
            if (st.st_uid, st.st_gid) != (before.uid, before.gid):
                os.chown(node.path, before.uid, before.gid)
                st = os.fstat(node.fd)
            if st.st_mode & 0o7777 != before.mode:
                os.chmod(node.path, before.mode)
        except OSError:
            pass


def _or_keep(number: int | None) -> int:
    return -1 if number is None else number


def _timespec(time: int | None) -> tuple[int, int]:
    if time is None:
        return 0, kernel.UTIME_OMIT
    if time == NOW:
        return 0, kernel.UTIME_NOW
    return divmod(time, 1_000_000_000)


def _read_at_once(
    desc: Descriptor, data: bytearray | memoryview, offset: int, error: OSError
) -> int:
    """What is in memory already, after an `error`; 0 if nothing is, or nobody knows and it is
    much."""
    if isinstance(error, BlockingIOError):
        return 0
    if error.errno != errno.EOPNOTSUPP or not desc.no_wait:
        raise error
    if kernel.filesystem(desc.fd) in (kernel.TMPFS, kernel.RAMFS):
        desc.no_wait = 0
    elif len(data) > _INLINE_BYTES:
        return 0
    return os.preadv(desc.fd, (data,), offset)


def _read_all(fd: int, view: memoryview, offset: int) -> int:
    """Fill `view`, or read to the end of the file; the bytes read."""
    got = 0
    while got < len(view):
        n = os.preadv(fd, (view[got:],), offset + got)
        if not n:
            break
        got += n
    return got


def _write_rest(fd: int, data: Buffer, offset: int, done: int) -> int:
    """Write as much as goes behind what is `done`; how much has been written in all."""
    while done < len(data):
        try:
            n = os.pwrite(fd, memoryview(data)[done:], offset + done)
        except OSError:
            break
        if not n:
            break
        done += n
    return done
