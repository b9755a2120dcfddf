"""The file system over an engine: names."""

from __future__ import annotations

import os

from backends import permissions
from backends.base import (
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
from backends.kvfs.core import KvfsCore, time_after
from backends.kvfs.records import DIR_SIZE, Inode
from backends.kvfs.store import View

#: Where a create names no mode (EXCLUSIVE never does): the owner's alone until SETATTR says more.
_FILE_MODE, _DIR_MODE, _SYMLINK_MODE = 0o600, 0o700, 0o777


class KvfsBackend(KvfsCore):
    """A complete file system in whatever a `backends.kvfs.engine.Engine` stores in.

    Checked by mode bits (`backends.permissions`), with the errors of `backends.memory`. Each call
    that changes something is one transaction, so nothing is ever half done, also when the process
    is killed. Names and attributes become safe from power loss with the next COMMIT or stable write
    of any file; never is there one without those before it.

    `engine` is where it stores. `max_bytes` limits file data and link targets, `max_files` the
    inodes; beyond them: NOSPC. `mode`, `uid` and `gid` are the root directory's, when it is made.
    With `durable`, each change of names and attributes is safe from it before it is answered.
    `clock` gives nanoseconds since 1970.

    Inode numbers are never used again, and generations are random, so the key of a removed file
    stays stale, also in a copy from before it was made. UNSTABLE data survives the death of the
    process; `verifier` changes when a crash of the system may have taken it.
    """

    def _check_free(self, view: View, ctx: Context, dir: Inode, name: bytes) -> None:
        """That `ctx` may make `name`. EXIST comes before missing write permission, as on Linux."""
        permissions.check_search(ctx, dir)
        if view.find(dir, name) is not None:
            raise FsError(Status.EXIST)
        permissions.check_change(ctx, dir)

    def _new(
        self, view: View, type: FileType, ctx: Context, dir: Inode, attr: SetAttr, mode: int
    ) -> Inode:
        """An inode that `ctx` may make in `dir`, not yet added; `mode` where `attr` has none."""
        if view.state.inodes >= self.max_files:
            raise FsError(Status.NOSPC)
        self._check_room()
        uid, gid = permissions.new_owner(ctx, dir, attr)
        mode = permissions.new_mode(ctx, dir, type, mode if attr.mode is None else attr.mode, gid)
        now = self._now()
        atime, mtime = time_after(attr.atime, now, now), time_after(attr.mtime, now, now)
        number = view.number()
        generation = int.from_bytes(os.urandom(4), "big")
        return Inode(
            number, type, mode, uid, gid, generation, atime, mtime, now,
            data=number if type is FileType.REG else 0,
        )  # fmt: skip

    def _enter(self, view: View, dir: Inode, name: bytes, node: Inode) -> Made:
        """Add a new inode under its name."""
        view.add(node)
        self._reserve(view, node.used)
        return self._name(view, dir, name, node)

    def _name(self, view: View, dir: Inode, name: bytes, node: Inode) -> Made:
        """Give `node`, a copy to change, another name. Its attributes are final."""
        before = dir.attr()
        dir = view.change(dir)
        view.enter(dir, name, node)
        dir.modified(self._now())
        return Made(node.attr(), Wcc(before, dir.attr()))

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """Make a regular file. Raises EXIST, ACCES, PERM, NOSPC, FBIG.

        The verifier of an EXCLUSIVE create counts until the first SETATTR of the file, with which
        the client ends the create; that is as long as servers that keep it in the times do.
        """
        with self._change() as view:
            parent = self._dir(view, dir)
            permissions.check_search(ctx, parent)
            found = view.child(parent, name)
            if found is None:
                permissions.check_change(ctx, parent)
                if attr.size is not None:
                    self._check_size(attr.size)
                file = self._new(view, FileType.REG, ctx, parent, attr, _FILE_MODE)
                file.size = attr.size or 0
                if mode is CreateMode.EXCLUSIVE:
                    file.verifier = bytes(verifier)
                return self._enter(view, parent, name, file)
        return await self._create_over(ctx, parent, found, mode, attr, verifier)

    async def _create_over(
        self,
        ctx: Context,
        dir: Inode,
        found: Inode,
        mode: CreateMode,
        attr: SetAttr,
        verifier: bytes,
    ) -> Made:
        if found.type is not FileType.REG or mode is CreateMode.GUARDED:
            raise FsError(Status.EXIST)
        if mode is CreateMode.EXCLUSIVE:
            if not found.verifier or found.verifier != verifier:
                raise FsError(Status.EXIST)
        elif attr.size is not None:
            await self.setattr(ctx, found.key, SetAttr(size=attr.size))
        return Made(self._attr(found.key), Wcc(dir.attr(), dir.attr()))

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """Make a directory. Raises EXIST, ACCES, PERM, NOSPC, MLINK."""
        with self._change() as view:
            parent = self._dir(view, dir)
            self._check_free(view, ctx, parent, name)
            if parent.nlink >= self.limits.link_max:
                raise FsError(Status.MLINK)
            node = self._new(view, FileType.DIR, ctx, parent, attr, _DIR_MODE)
            node.nlink = 2
            node.size = DIR_SIZE
            return self._enter(view, parent, name, node)

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """Make a symbolic link. Raises EXIST, ACCES, PERM, NOSPC."""
        with self._change(adding=len(target)) as view:
            parent = self._dir(view, dir)
            self._check_free(view, ctx, parent, name)
            node = self._new(view, FileType.LNK, ctx, parent, attr, _SYMLINK_MODE)
            node.target = bytes(target)
            node.size = node.used = len(target)
            return self._enter(view, parent, name, node)

    async def mknod(
        self,
        ctx: Context,
        dir: Key,
        name: bytes,
        type: FileType,
        rdev: tuple[int, int],
        attr: SetAttr,
    ) -> Made:
        """Make a special file. Raises EXIST, ACCES, PERM (a device, by another than root), NOSPC,
        BADTYPE."""
        with self._change() as view:
            parent = self._dir(view, dir)
            self._check_free(view, ctx, parent, name)
            if type in (FileType.BLK, FileType.CHR):
                if ctx.uid != 0:
                    raise FsError(Status.PERM)
            elif type not in (FileType.SOCK, FileType.FIFO):
                raise FsError(Status.BADTYPE)
            node = self._new(view, type, ctx, parent, attr, _FILE_MODE)
            node.rdev = rdev
            return self._enter(view, parent, name, node)

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """Another name. Raises EXIST, MLINK, ISDIR, ACCES, NOSPC."""
        with self._change() as view:
            node = view.inode(key)
            parent = self._dir(view, dir)
            if node.type is FileType.DIR:
                raise FsError(Status.ISDIR)
            self._check_free(view, ctx, parent, name)
            if node.nlink >= self.limits.link_max:
                raise FsError(Status.MLINK)
            self._check_room()
            node = view.change(node)
            node.nlink += 1
            node.changed(self._now())
            return self._name(view, parent, name, node)

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a name. Raises NOENT, ISDIR, ACCES, PERM (sticky directory)."""
        with self._change() as view:
            parent = self._dir(view, dir)
            node = self._child(view, ctx, parent, name)
            permissions.check_delete(ctx, parent, node)
            if node.type is FileType.DIR:
                raise FsError(Status.ISDIR)
            return self._unlink(view, parent, name, node)

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a directory. Raises NOENT, NOTDIR, NOTEMPTY, ACCES, PERM (sticky directory)."""
        with self._change() as view:
            parent = self._dir(view, dir)
            node = self._child(view, ctx, parent, name)
            permissions.check_delete(ctx, parent, node)
            if node.type is not FileType.DIR:
                raise FsError(Status.NOTDIR)
            if node.entries:
                raise FsError(Status.NOTEMPTY)
            return self._unlink(view, parent, name, node)

    def _unlink(self, view: View, dir: Inode, name: bytes, node: Inode) -> Wcc:
        before = dir.attr()
        dir = view.change(dir)
        now = self._now()
        self._forget(view, dir, name, node, now)
        dir.modified(now)
        return Wcc(before, dir.attr())

    def _forget(self, view: View, dir: Inode, name: bytes, node: Inode, now: int) -> None:
        """Take a name away, and the inode with its last one."""
        view.leave(dir, name, node)
        if node.type is FileType.DIR or node.nlink == 1:
            view.drop(node)
            return
        node = view.change(node)
        node.nlink -= 1
        node.changed(now)

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """Rename. Raises NOENT, NOTDIR, ISDIR, NOTEMPTY, INVAL, ACCES, PERM (sticky directory).

        Where both names are the same file, nothing happens, as POSIX has it.
        """
        with self._change() as view:
            source, target = self._dir(view, from_dir), self._dir(view, to_dir)
            node = self._child(view, ctx, source, from_name)
            permissions.check_search(ctx, target)
            old = view.child(target, to_name)
            befores = source.attr(), target.attr()
            if old is not None and old.ino == node.ino:
                return Renamed(Wcc(befores[0], befores[0]), Wcc(befores[1], befores[1]))
            self._check_rename(view, ctx, source, node, target, old)
            source, target, node = view.change(source), view.change(target), view.change(node)
            now = self._now()
            if old is not None:
                self._forget(view, target, to_name, old, now)
            view.leave(source, from_name, node)
            view.enter(target, to_name, node)
            node.changed(now)
            source.modified(now)
            if target is not source:
                target.modified(now)
        return Renamed(Wcc(befores[0], source.attr()), Wcc(befores[1], target.attr()))

    def _check_rename(
        self,
        view: View,
        ctx: Context,
        source: Inode,
        node: Inode,
        target: Inode,
        old: Inode | None,
    ) -> None:
        """That `node` may move from `source` to `target`, in the place of `old`."""
        permissions.check_delete(ctx, source, node)
        permissions.check_change(ctx, target)
        if node.type is FileType.DIR:
            if view.is_beneath(target, node):
                raise FsError(Status.INVAL)
            if source.ino != target.ino:
                # Its ".." is written, as Linux sees it.
                permissions.check(ctx, node, permissions.WRITE)
                if old is None and target.nlink >= self.limits.link_max:
                    raise FsError(Status.MLINK)
        if old is None:
            return
        permissions.check_delete(ctx, target, old)
        if old.type is FileType.DIR:
            if node.type is not FileType.DIR:
                raise FsError(Status.ISDIR)
            if old.entries:
                raise FsError(Status.NOTEMPTY)
        elif node.type is FileType.DIR:
            raise FsError(Status.NOTDIR)
