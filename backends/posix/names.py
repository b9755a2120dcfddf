"""CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from backends.base import (
    Attr,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    Made,
    Renamed,
    SetAttr,
    Status,
    Wcc,
)

from . import kernel
from .files import FileOps, _or_keep, _timespec
from .node import Node

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: The mode of a file that nobody has given one (EXCLUSIVE; then comes a SETATTR).
_PRIVATE: Final = 0o600
_KINDS: Final = {
    FileType.BLK: stat.S_IFBLK,
    FileType.CHR: stat.S_IFCHR,
    FileType.SOCK: stat.S_IFSOCK,
    FileType.FIFO: stat.S_IFIFO,
}
#: How often a name may come and go while it is being created.
_CREATE_TRIES: Final = 8


def _times_of(verifier: bytes) -> tuple[int, int]:
    """The access and modification time that keep an EXCLUSIVE create's 8 bytes.

    31 bits in the seconds of each, since some file systems store no more, and one in the
    milliseconds of each. So all 64 bits survive.
    """
    number = int.from_bytes(verifier, "big")
    low, high = number & 0xFFFFFFFF, number >> 32
    return (
        (low & 0x7FFFFFFF) * 1_000_000_000 + (low >> 31) * 1_000_000,
        (high & 0x7FFFFFFF) * 1_000_000_000 + (high >> 31) * 1_000_000,
    )


class NameOps(FileOps):
    """What is done to names in directories. All of it happens as the caller, so that permission,
    ownership, set-group-id directories and default ACLs are the kernel's business."""

    def _before(self, dir: Node) -> Attr:
        st = os.fstat(dir.fd)
        if not st.st_nlink:
            raise self._nodes.stale(dir)
        return dir.update(st)

    def _changed(self, dir: Node, before: Attr, names: dict[bytes, int | None]) -> Wcc:
        """The directory before and after these names became a file's (its number), or nobody's."""
        if self._nodes.overlay:
            self._nodes.copied_up(dir)
        after = dir.renew(os.fstat(dir.fd))
        if self._hashing:
            self._relist(dir, before, after, names)
        return Wcc(before, after)

    #: Whether listings are remembered, and so must be kept up with changes.
    _hashing = False

    def _relist(self, dir: Node, before: Attr, after: Attr, names: dict[bytes, int | None]) -> None:
        """Keep a remembered listing right."""

    # New files

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """See `Backend.create`. What exists is never opened here: it may be a fifo."""
        parent = self._near.get(dir) or self._dir(dir)
        before = self._before(parent)
        permissions = _PRIVATE if attr.mode is None else attr.mode & 0o7777
        for _ in range(_CREATE_TRIES):
            if ctx is not self._identity.acting:
                self._identity.become(ctx)
            try:
                fd = os.open(name, _CREATE, permissions, dir_fd=parent.fd)
            except FileExistsError:
                if mode is CreateMode.GUARDED:
                    raise
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    if not await self._workers.space(error):
                        raise
                    parent = self._dir(dir)
                else:
                    parent = await self._relieve(dir, parent)
                before = self._before(parent)
                continue
            else:
                try:
                    node = self._created(parent, name, fd, mode, attr, verifier)
                except OSError as error:  # it has been undone
                    if error.errno not in (errno.EMFILE, errno.ENFILE):
                        raise
                    parent = await self._relieve(dir, parent)
                    before = self._before(parent)
                    continue
                return Made(node.attr, self._changed(parent, before, {name: node.ino}))
            try:
                node = self._existing(parent, name)
            except FileNotFoundError:
                continue
            if mode is CreateMode.EXCLUSIVE:
                if (node.attr.atime, node.attr.mtime) != _times_of(verifier):
                    raise FsError(Status.EXIST)
            elif attr.size is not None:
                await self.setattr(ctx, Key(node.ino, node.generation), SetAttr(size=attr.size))
            return Made(self._look(node), Wcc(before, self._before(parent)))
        raise FsError(Status.JUKEBOX, "the name comes and goes")

    async def _relieve(self, dir: Key, parent: Node) -> Node:
        """Descriptors have run out, perhaps since what is open must be synced before it can be
        closed: the directory after waiting for some of that."""
        self._nodes.relieve(parent)
        self._descriptors.relieve()
        await self._syncs.progress()
        self._nodes.close_evicted()
        return self._dir(dir)

    def _existing(self, parent: Node, name: bytes) -> Node:
        node = self._nodes.enter(parent, name)
        if node.type is not FileType.REG:
            raise FsError(Status.EXIST)
        return node

    def _created(
        self,
        parent: Node,
        name: bytes,
        fd: int,
        mode: CreateMode,
        attr: SetAttr,
        verifier: bytes,
    ) -> Node:
        """The node of a new file; `fd` becomes its descriptor. On an error, it is removed."""
        try:
            if mode is CreateMode.EXCLUSIVE:
                atime, mtime = _times_of(verifier)
                kernel.utimens(fd, _timespec(atime), _timespec(mtime))
            node = self._nodes.enter_open(parent, name, fd)
        except BaseException:
            self._unmake(parent, name, os.fstat(fd))
            os.close(fd)
            raise
        try:
            self._descriptors.put(node, fd, True, True)
            if attr.size:
                os.ftruncate(fd, attr.size)
            if mode is not CreateMode.EXCLUSIVE:
                self._finish(node, attr)
        except BaseException:
            self._unmake(parent, name, os.fstat(fd))
            raise
        return node

    def _finish(self, node: Node, attr: SetAttr) -> None:
        """Give a new file its owner and times, as far as it has not got them."""
        st, uid, gid, mode = node.st, attr.uid, attr.gid, attr.mode
        changed = bool(attr.size)
        if (uid is not None and uid != st.st_uid) or (gid is not None and gid != st.st_gid):
            os.chown(node.what, _or_keep(uid), _or_keep(gid))
            changed = True
        if mode is not None and mode & 0o6000 and node.type is not FileType.LNK:
            # mkdir(2) takes no set-id bits, and chown(2) takes them away.
            os.chmod(node.what, mode & 0o7777)
            changed = True
        if attr.atime is not None or attr.mtime is not None:
            kernel.utimens(node.what, _timespec(attr.atime), _timespec(attr.mtime))
            changed = True
        if changed:
            node.renew(os.fstat(node.fd))

    def _unmake(self, parent: Node, name: bytes, st: os.stat_result) -> None:
        """Remove what was just made, if it is still what has that name."""
        self._identity.own()
        try:
            now = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
            if (now.st_ino, now.st_dev) == (st.st_ino, st.st_dev):
                (os.rmdir if stat.S_ISDIR(now.st_mode) else os.unlink)(name, dir_fd=parent.fd)
        except OSError:
            pass
        node = self._table.get(self._nodes.ino_of(st))
        if node is not None:
            self._nodes.drop(node)

    def _enter_new(self, parent: Node, name: bytes, attr: SetAttr) -> Node:
        """The node of a new directory, link or special file."""
        node = None
        try:
            node = self._nodes.enter(parent, name)
            node.settled = True
            self._finish(node, attr)
        except BaseException:
            if node is not None:
                self._unmake(parent, name, node.st)
            raise
        return node

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """See `Backend.mkdir`."""
        parent = self._dir(dir)
        before = self._before(parent)
        self._identity.become(ctx)
        mode = 0o755 if attr.mode is None else attr.mode & 0o7777
        os.mkdir(name, mode, dir_fd=parent.fd)
        node = self._enter_new(parent, name, attr)
        return Made(node.attr, self._changed(parent, before, {name: node.ino}))

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """See `Backend.symlink`. A mode is ignored: links have none."""
        parent = self._dir(dir)
        if not target or b"\0" in target:
            raise FsError(Status.INVAL)
        before = self._before(parent)
        self._identity.become(ctx)
        os.symlink(target, name, dir_fd=parent.fd)
        node = self._enter_new(parent, name, attr)
        return Made(node.attr, self._changed(parent, before, {name: node.ino}))

    async def mknod(
        self,
        ctx: Context,
        dir: Key,
        name: bytes,
        type: FileType,
        rdev: tuple[int, int],
        attr: SetAttr,
    ) -> Made:
        """See `Backend.mknod`. Devices need CAP_MKNOD, which no caller but root has: PERM."""
        parent = self._dir(dir)
        if type not in _KINDS:
            raise FsError(Status.BADTYPE)
        try:
            device = os.makedev(*rdev)
        except OverflowError:
            raise FsError(Status.INVAL) from None
        before = self._before(parent)
        self._identity.become(ctx)
        mode = _PRIVATE if attr.mode is None else attr.mode & 0o7777
        os.mknod(name, mode | _KINDS[type], device, dir_fd=parent.fd)
        node = self._enter_new(parent, name, attr)
        return Made(node.attr, self._changed(parent, before, {name: node.ino}))

    # Names that go

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """See `Backend.remove`. That it is a directory, the kernel says behind ACCES and PERM."""
        parent = self._near.get(dir) or self._dir(dir)
        before = self._before(parent)
        if ctx is not self._identity.acting:
            self._identity.become(ctx)
        # What `peek` has seen will do, though somebody on the server may have put another file in
        # its place: then that one's node goes at the next look at it.
        seen, self._peeked = self._peeked, None
        if seen is not None and seen[0] is parent and seen[1] == name:
            st = seen[2]
        else:
            st = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        os.unlink(name, dir_fd=parent.fd)
        self._unnamed(parent, name, st)
        return self._changed(parent, before, {name: None})

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """See `Backend.rmdir`."""
        parent = self._dir(dir)
        before = self._before(parent)
        self._identity.become(ctx)
        st = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        os.rmdir(name, dir_fd=parent.fd)
        self._unnamed(parent, name, st)
        return self._changed(parent, before, {name: None})

    def _unnamed(self, parent: Node, name: bytes, st: os.stat_result) -> None:
        """A name of the file with `st` is gone; with the last one, so is the file."""
        ino = self._nodes.ino_of(st)
        node = self._table.get(ino)
        if node is not None:
            # If somebody has just made another link to it, its handle finds it again; so it does
            # not where only the index finds it.
            last = node.directory or (st.st_nlink == 1 and not self._indexing)
            now = None if last else os.fstat(node.fd)
            if now is not None and now.st_nlink:
                node.update(now)
                node.names.discard((parent.ino, name))
            else:
                self._nodes.drop(node)
        if self._indexing or parent.foreign:
            self._index.remove(ino, parent.ino, name)

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """See `Backend.rename`."""
        source = self._dir(from_dir)
        target = self._dir(to_dir) if to_dir != from_dir else source
        if source.fd < 0:  # finding the other took so much that this one was let go
            source = self._dir(from_dir)
        source_before, target_before = self._before(source), self._before(target)
        self._identity.become(ctx)
        st = os.stat(from_name, dir_fd=source.fd, follow_symlinks=False)
        try:
            old = os.stat(to_name, dir_fd=target.fd, follow_symlinks=False)
        except FileNotFoundError:
            old = None
        indexing = self._indexing or source.foreign
        node = self._table.get(self._nodes.ino_of(st))
        if indexing:
            # Before the rename: to die between the two must not lose the file. The index is
            # only a hint, so that an entry for a rename that fails does no harm.
            node = node or self._nodes.enter(source, from_name)
            self._index.add(node.ino, node.generation, target.ino, to_name)
        os.rename(from_name, to_name, src_dir_fd=source.fd, dst_dir_fd=target.fd)
        if old is not None and (old.st_ino, old.st_dev) == (st.st_ino, st.st_dev):
            same = Wcc(source_before, self._before(source))  # one file: nothing has happened
            return Renamed(same, Wcc(target_before, self._before(target)))
        if old is not None:
            self._unnamed(target, to_name, old)
        if indexing and node is not None:
            self._index.remove(node.ino, source.ino, from_name)
            node.names.discard((source.ino, from_name))
            self._nodes.copied_up(node)
        ino = self._nodes.ino_of(st)
        if source is target:
            both = self._changed(source, source_before, {from_name: None, to_name: ino})
            return Renamed(both, both)
        return Renamed(
            self._changed(source, source_before, {from_name: None}),
            self._changed(target, target_before, {to_name: ino}),
        )

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """See `Backend.link`."""
        node = self._nodes.find(key)
        parent = self._dir(dir)
        if node.fd < 0:
            node = self._nodes.find(key)
        if node.directory:
            raise FsError(Status.ISDIR)
        self._look(node)
        before = self._before(parent)
        self._identity.become(ctx)
        try:
            os.link(node.path, name, dst_dir_fd=parent.fd, follow_symlinks=True)
        except FileNotFoundError:
            if not os.fstat(node.fd).st_nlink:
                raise self._nodes.stale(node) from None
            raise
        self._nodes.copied_up(node)
        if self._indexing or node.foreign:
            self._nodes.note(node, parent.ino, name)
        return Made(self._look(node), self._changed(parent, before, {name: node.ino}))
