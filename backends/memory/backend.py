"""Files in memory: complete, simple, the reference for what `backends.base` asks.

Everything is gone when the process ends. Inode numbers are never reused, and the generation of all
but the root is drawn per instance, so a handle from an earlier life is stale and never another
file; the root stays valid, so a client that outlives the server sees an empty directory.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from backends import permissions
from backends.base import (
    NOW,
    Attr,
    Backend,
    Buffer,
    Context,
    CreateMode,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Limits,
    Listing,
    Made,
    Renamed,
    SetAttr,
    Stable,
    Status,
    Target,
    Wcc,
    Written,
    granted,
)
from backends.memory.inodes import FIRST_COOKIE, Dir, File, Node, Symlink

_BLOCK_BITS = 16
#: Where a create names no mode (EXCLUSIVE never does): the owner's alone until SETATTR says more.
_FILE_MODE, _DIR_MODE, _SYMLINK_MODE = 0o600, 0o700, 0o777

_N = TypeVar("_N", bound=Node)


class MemoryBackend(Backend):
    """A complete file system in memory, checked by mode bits (`backends.permissions`).

    `max_bytes` limits file data and link targets, `max_files` the inodes; beyond them: NOSPC.
    `clock` gives nanoseconds since 1970; times that it repeats are moved on, so that every change
    of a file shows in its ctime.

    There is no stable storage: a write answers the stability that it was asked for, since nothing
    is safer here than memory, and `verifier` is another in each instance.
    """

    inline = True
    persistent = False
    limits = Limits(
        links=True,
        symlinks=True,
        special_files=True,
        set_times=True,
        path_max=4095,
        link_max=2**31 - 1,
    )

    def __init__(
        self,
        max_bytes: int | None = None,
        *,
        max_files: int = 1 << 24,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """An empty file system; `mode`, `uid` and `gid` are the root directory's."""
        super().__init__()
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._clock = clock
        self._last = 0
        self._used = 0
        self._numbers = itertools.count(2)
        self._generation = int.from_bytes(os.urandom(4), "big") or 1
        now = self._now()
        self._root = Dir(
            Key(1), FileType.DIR, mode, uid, gid, atime=now, mtime=now, ctime=now, nlink=2
        )
        self._nodes: dict[Key, Node] = {self._root.key: self._root}

    # Helpers

    def describe(self) -> str:
        """See `Backend.describe`."""
        return "in memory, gone when the server ends"

    def _now(self) -> int:
        """The time, later than any before."""
        self._last = now = max(self._clock(), self._last + 1)
        return now

    def _node(self, key: Key) -> Node:
        try:
            return self._nodes[key]
        except KeyError:
            raise FsError(Status.STALE) from None

    def _dir(self, key: Key) -> Dir:
        node = self._node(key)
        if not isinstance(node, Dir):
            raise FsError(Status.NOTDIR)
        return node

    def _file(self, key: Key) -> File:
        node = self._node(key)
        if not isinstance(node, File):
            raise FsError(Status.ISDIR if isinstance(node, Dir) else Status.INVAL)
        return node

    def _child(self, ctx: Context, dir: Dir, name: bytes) -> Node:
        permissions.check_search(ctx, dir)
        node = dir.get(name)
        if node is None:
            raise FsError(Status.NOENT)
        return node

    def _check_free(self, ctx: Context, dir: Dir, name: bytes) -> None:
        """That `ctx` may make `name`. EXIST comes before missing write permission, as on Linux."""
        permissions.check_search(ctx, dir)
        if name in dir.entries:
            raise FsError(Status.EXIST)
        permissions.check_change(ctx, dir)

    def _reserve(self, size: int) -> None:
        if self.max_bytes is not None and self._used + size > self.max_bytes and size > 0:
            raise FsError(Status.NOSPC)
        self._used += size

    def _new(
        self, kind: type[_N], type: FileType, ctx: Context, dir: Dir, attr: SetAttr, mode: int
    ) -> _N:
        """An inode that `ctx` may make in `dir`, not yet entered; `mode` where `attr` has none."""
        if len(self._nodes) >= self.max_files:
            raise FsError(Status.NOSPC)
        uid, gid = permissions.new_owner(ctx, dir, attr)
        mode = permissions.new_mode(ctx, dir, type, mode if attr.mode is None else attr.mode, gid)
        now = self._now()
        key = Key(next(self._numbers), self._generation)
        atime, mtime = _time(attr.atime, now, now), _time(attr.mtime, now, now)
        return kind(key, type, mode, uid, gid, atime=atime, mtime=mtime, ctime=now)

    def _enter(self, dir: Dir, name: bytes, node: Node) -> Made:
        """Give `node` its name, and its number if it is new."""
        before = dir.attr()
        self._nodes[node.key] = node
        dir.add(name, node)
        dir.modified(self._now())
        return Made(node.attr(), Wcc(before, dir.attr()))

    def _forget(self, dir: Dir, name: bytes, node: Node, now: int) -> None:
        """Take a name away, and the inode with its last one."""
        dir.discard(name)
        node.nlink -= 1
        node.changed(now)
        if isinstance(node, Dir) or not node.nlink:
            del self._nodes[node.key]
            self._used -= node.used

    # Reading

    async def root(self, ctx: Context) -> Attr:
        return self._root.attr()

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        node = self._nodes.get(key)
        if node is None:
            raise FsError(Status.STALE)
        return node.cached or node.attr()

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        parent = self._dir(dir)
        child = self._child(ctx, parent, name)
        return Found(child.cached or child.attr(), parent.cached or parent.attr())

    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        parent = self._dir(dir)
        permissions.check_search(ctx, parent)
        entry = parent.entries.get(name)
        return None if entry is None or entry.node is None else entry.node.key.ino

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        node = self._nodes.get(key)
        if node is None:
            raise FsError(Status.STALE)
        attr = node.cached or node.attr()
        return Granted(mask & int(granted(ctx, attr)), attr)

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """The directory above `dir`. Raises NOTDIR, ACCES."""
        node = self._dir(dir)
        permissions.check_search(ctx, node)
        return (node.parent or node).attr()

    async def readlink(self, ctx: Context, key: Key) -> Target:
        node = self._node(key)
        if not isinstance(node, Symlink):
            raise FsError(Status.INVAL)
        return Target(node.target, node.attr())

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        file = self._file(key)
        permissions.check_read(ctx, file)
        end = offset + count
        length = min(end, file.size) - offset
        data = file.read(offset, length) if length > 0 else b""
        file.accessed(self._now)
        return Data(data, end >= file.size, file.attr())

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """Lazy entries in the order in which the names were made. BAD_COOKIE for one never given.

        Whoever may list but not search gets no attributes, as if each had to be looked up.
        """
        node = self._dir(dir)
        permissions.check_list(ctx, node)
        if cookie >= max(node.next_cookie, FIRST_COOKIE + 1):
            raise FsError(Status.BAD_COOKIE)
        if plus:
            plus = bool(permissions.mode_bits(ctx, node) & permissions.SEARCH)
        node.accessed(self._now)
        listing = Listing((), eof=False, attr=node.attr())
        listing.entries = _list(node, cookie, count, plus, listing)
        return listing

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """`max_bytes` and what is left of it; without that limit, what the machine has free."""
        self._node(key)
        if self.max_bytes is None:
            free = _free_memory()
            total = self._used + free
        else:
            total, free = self.max_bytes, max(0, self.max_bytes - self._used)
        files = max(0, self.max_files - len(self._nodes))
        return FsStat(total, free, free, self.max_files, files, files)

    # Changing files

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """Set attributes. Raises PERM, ACCES, NOT_SYNC, FBIG; ISDIR or INVAL for a size."""
        node = self._node(key)
        before = node.attr()
        if guard is not None and guard != node.ctime:
            raise FsError(Status.NOT_SYNC)
        permissions.check_setattr(ctx, node, attr)
        file = None
        if attr.size is not None:
            file = self._file(key)
            self._check_size(attr.size)
        if attr == SetAttr():
            return Wcc(before, before)
        # Nothing fails from here on.
        now = self._now()
        node.mode = permissions.mode_after_setattr(ctx, node, node.type, attr)
        if attr.uid is not None:
            node.uid = attr.uid
        if attr.gid is not None:
            node.gid = attr.gid
        if file is not None and attr.size is not None:
            self._used -= file.truncate(attr.size)
            node.mtime = now
        node.atime = _time(attr.atime, now, node.atime)
        node.mtime = _time(attr.mtime, now, node.mtime)
        if isinstance(node, File):
            node.verifier = None
        node.changed(now)
        return Wcc(before, node.attr())

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_file_size:
            raise FsError(Status.FBIG)

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """Write all of `data`, or raise NOSPC, FBIG, ACCES; ISDIR or INVAL for what is no file.

        No bytes change nothing, not even times.
        """
        file = self._file(key)
        permissions.check_write(ctx, file)
        length = len(data)
        before = file.cached or file.attr()
        if length:
            self._check_size(offset + length)
            if not file.overwrite(offset, data):
                self._reserve(file.growth(offset, length))
                file.write(offset, data)
            file.mode = permissions.mode_after_write(ctx, file.mode)
            file.modified(self._now())
        return Written(length, stable, Wcc(before, file.attr()))

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """Nothing to do. Raises ISDIR or INVAL for what is no regular file."""
        attr = self._file(key).attr()
        return Wcc(attr, attr)

    # Changing directories

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """Make a regular file. Raises EXIST, ACCES, PERM, NOSPC, FBIG.

        The verifier of an EXCLUSIVE create counts until the first SETATTR of the file, with which
        the client ends the create; that is as long as servers that keep it in the times do.
        """
        parent = self._dir(dir)
        permissions.check_search(ctx, parent)
        found = parent.get(name)
        if found is not None:
            return await self._create_over(ctx, parent, found, mode, attr, verifier)
        permissions.check_change(ctx, parent)
        if attr.size is not None:
            self._check_size(attr.size)
        file = self._new(File, FileType.REG, ctx, parent, attr, _FILE_MODE)
        file.size = attr.size or 0
        if mode is CreateMode.EXCLUSIVE:
            file.verifier = bytes(verifier)
        return self._enter(parent, name, file)

    async def _create_over(
        self,
        ctx: Context,
        dir: Dir,
        found: Node,
        mode: CreateMode,
        attr: SetAttr,
        verifier: bytes,
    ) -> Made:
        if not isinstance(found, File) or mode is CreateMode.GUARDED:
            raise FsError(Status.EXIST)
        if mode is CreateMode.EXCLUSIVE:
            if found.verifier is None or found.verifier != verifier:
                raise FsError(Status.EXIST)
        elif attr.size is not None:
            await self.setattr(ctx, found.key, SetAttr(size=attr.size))
        return Made(found.attr(), Wcc(dir.attr(), dir.attr()))

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """Make a directory. Raises EXIST, ACCES, PERM, NOSPC, MLINK."""
        parent = self._dir(dir)
        self._check_free(ctx, parent, name)
        if parent.nlink >= self.limits.link_max:
            raise FsError(Status.MLINK)
        node = self._new(Dir, FileType.DIR, ctx, parent, attr, _DIR_MODE)
        node.nlink = 2
        node.size = 4096
        return self._enter(parent, name, node)

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """Make a symbolic link. Raises EXIST, ACCES, PERM, NOSPC."""
        parent = self._dir(dir)
        self._check_free(ctx, parent, name)
        node = self._new(Symlink, FileType.LNK, ctx, parent, attr, _SYMLINK_MODE)
        self._reserve(len(target))
        node.target = bytes(target)
        node.size = node.used = len(target)
        return self._enter(parent, name, node)

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
        parent = self._dir(dir)
        self._check_free(ctx, parent, name)
        if type in (FileType.BLK, FileType.CHR):
            if ctx.uid != 0:
                raise FsError(Status.PERM)
        elif type not in (FileType.SOCK, FileType.FIFO):
            raise FsError(Status.BADTYPE)
        node = self._new(Node, type, ctx, parent, attr, _FILE_MODE)
        node.rdev = rdev
        return self._enter(parent, name, node)

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """Another name. Raises EXIST, MLINK, ISDIR, ACCES."""
        node = self._node(key)
        parent = self._dir(dir)
        if isinstance(node, Dir):
            raise FsError(Status.ISDIR)
        self._check_free(ctx, parent, name)
        if node.nlink >= self.limits.link_max:
            raise FsError(Status.MLINK)
        node.nlink += 1
        node.changed(self._now())
        return self._enter(parent, name, node)

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a name. Raises NOENT, ISDIR, ACCES, PERM (sticky directory)."""
        parent = self._dir(dir)
        node = self._child(ctx, parent, name)
        permissions.check_delete(ctx, parent, node)
        if isinstance(node, Dir):
            raise FsError(Status.ISDIR)
        return self._unlink(parent, name, node)

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a directory. Raises NOENT, NOTDIR, NOTEMPTY, ACCES, PERM (sticky directory)."""
        parent = self._dir(dir)
        node = self._child(ctx, parent, name)
        permissions.check_delete(ctx, parent, node)
        if not isinstance(node, Dir):
            raise FsError(Status.NOTDIR)
        if node.entries:
            raise FsError(Status.NOTEMPTY)
        return self._unlink(parent, name, node)

    def _unlink(self, dir: Dir, name: bytes, node: Node) -> Wcc:
        before = dir.attr()
        now = self._now()
        self._forget(dir, name, node, now)
        dir.modified(now)
        return Wcc(before, dir.attr())

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """Rename. Raises NOENT, NOTDIR, ISDIR, NOTEMPTY, INVAL, ACCES, PERM (sticky directory).

        Where both names are the same file, nothing happens, as POSIX has it.
        """
        source, target = self._dir(from_dir), self._dir(to_dir)
        node = self._child(ctx, source, from_name)
        permissions.check_search(ctx, target)
        old = target.get(to_name)
        befores = source.attr(), target.attr()
        if old is not node:
            self._check_rename(ctx, source, node, target, old)
            now = self._now()
            if old is not None:
                self._forget(target, to_name, old, now)
            source.discard(from_name)
            target.add(to_name, node)
            node.changed(now)
            source.modified(now)
            target.modified(now)
        return Renamed(Wcc(befores[0], source.attr()), Wcc(befores[1], target.attr()))

    def _check_rename(
        self, ctx: Context, source: Dir, node: Node, target: Dir, old: Node | None
    ) -> None:
        """That `node` may move from `source` to `target`, in the place of `old`."""
        permissions.check_delete(ctx, source, node)
        permissions.check_change(ctx, target)
        if isinstance(node, Dir):
            if target.is_beneath(node):
                raise FsError(Status.INVAL)
            if source is not target:
                # Its ".." is written, as Linux sees it.
                permissions.check(ctx, node, permissions.WRITE)
                if old is None and target.nlink >= self.limits.link_max:
                    raise FsError(Status.MLINK)
        if old is None:
            return
        permissions.check_delete(ctx, target, old)
        if isinstance(old, Dir):
            if not isinstance(node, Dir):
                raise FsError(Status.ISDIR)
            if old.entries:
                raise FsError(Status.NOTEMPTY)
        elif isinstance(node, Dir):
            raise FsError(Status.NOTDIR)


def _list(dir: Dir, cookie: int, count: int, plus: bool, listing: Listing) -> Iterator[DirEntry]:
    """At least one entry and about `count` bytes of names; tells `listing` when it is the end."""
    for entry in dir.behind(cookie):
        if count < 0:
            return
        count -= len(entry.name)
        node = entry.node
        assert node is not None
        attr = node.attr() if plus else None
        yield DirEntry(entry.name, node.key.ino, entry.cookie, attr)
    listing.eof = True


def _free_memory() -> int:
    """Bytes that the machine has free; an exbibyte where it does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**60


def _time(wish: int | None, now: int, old: int) -> int:
    """The time that a field of `SetAttr` leaves."""
    return old if wish is None else now if wish == NOW else wish
