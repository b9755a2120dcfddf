"""The file system over an engine: its life, and everything but names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from backends import permissions
from backends.base import (
    NOW,
    Attr,
    Backend,
    Buffer,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Key,
    Limits,
    Listing,
    SetAttr,
    Stable,
    Status,
    Target,
    Wcc,
    Written,
)
from backends.cookies import ENTRY_BYTES
from backends.kvfs import check, data
from backends.kvfs.engine import Engine
from backends.kvfs.records import DIR_SIZE, FIRST_COOKIE, ROOT_INO, Inode
from backends.kvfs.store import STEP_BLOCKS, Store, View

MAX_FILES: Final = 1 << 32
#: Doomed blocks that are deleted before a change is refused because there is no room for it.
ROOM_BLOCKS: Final = 4096
#: Doomed blocks that COMMIT and FSSTAT delete.
IDLE_BLOCKS: Final = 1024

_SECOND = 10**9


class KvfsCore(Backend):
    """See `backends.kvfs.backend.KvfsBackend`."""

    blocking = True
    threads = 1
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
        engine: Engine,
        *,
        max_bytes: int | None = None,
        max_files: int = MAX_FILES,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        durable: bool = False,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__()
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}, and must be 0 or more")
        if max_files < 1:
            raise ValueError(f"max_files is {max_files}, and must be 1 or more")
        if not 0 <= mode <= 0o7777:
            raise ValueError(f"mode is {mode:#o}, and must be from 0 to 0o7777")
        if not (0 <= uid < 2**32 and 0 <= gid < 2**32):
            raise ValueError("uid and gid must be from 0 to 4294967295")
        self.engine = engine
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._root = mode, uid, gid
        self._durable = durable
        self._clock = clock
        self._last = 0
        self._sync = True
        self._life = b""
        self._store = Store(engine)

    # Life cycle

    async def start(self) -> None:
        """Open the engine, and make the file system if there is none. Raises OSError."""
        now = self._now()
        mode, uid, gid = self._root
        root = Inode(ROOT_INO, FileType.DIR, mode, uid, gid, 0, now, now, now, nlink=2)
        root.size, root.parent = DIR_SIZE, ROOT_INO
        self._store.open(root)
        self._life = b""
        self._look_for_loss()

    def set_sync(self, sync: bool) -> None:
        """With False, stable writes and COMMIT are answered before the data is safe."""
        self._sync = sync

    async def health(self) -> str | None:
        """What the engine says; and whether it is full."""
        trouble = self.engine.health()
        if trouble is None and not self.engine.room():
            return "the storage is full"
        return trouble

    async def fsck(self, repair: bool = False) -> list[str]:
        """Check the engine, and every record of the file system.

        Takes some hundred bytes of memory for each file. With `repair`, files that have no name
        are put into ``lost+found``. Raises OSError.
        """
        lines = self.engine.check(repair)
        try:
            lines += check.check(self._store, repair, self._now())
            self._store.reload()
        except (OSError, FsError) as exc:
            lines.append(f"the check could not go on: {exc}")
        if repair:
            self.engine.sync()
        return lines

    async def stop(self) -> None:
        """Make all safe, and close. Raises OSError."""
        self._store.close()

    # Helpers

    def _now(self) -> int:
        """The time, later than any before. What a file says of itself is no part of it."""
        self._last = now = max(self._clock(), self._last + 1)
        return now

    @contextmanager
    def _change(self, sync: bool | None = None, adding: int = 0) -> Iterator[View]:
        """One transaction, which may add so many bytes of data; the verifier changes if data were
        lost meanwhile."""
        try:
            self._make_room(adding)
            with self._store.changing(
                self._sync and (self._durable if sync is None else sync)
            ) as view:
                yield view
        finally:
            self._look_for_loss()

    def _look_for_loss(self) -> None:
        """Take the verifier of this life, if another one has begun."""
        life = self.engine.life()
        if life == self._life:
            return
        try:
            self.verifier = self._store.verifier()
            self._life = life
        except OSError:
            # Stored with the next change that succeeds, in which it is yet another one.
            if self._life:
                self.verifier, self._life = os.urandom(8), b""

    def _make_room(self, adding: int) -> None:
        """Delete doomed blocks, so far as there is no room without. Only changes that succeed
        delete some in passing, and without room none might."""
        with suppress(OSError, FsError):
            left = ROOM_BLOCKS
            while self._store.doomed and left > 0 and self._is_tight(adding):
                self._store.reclaim(STEP_BLOCKS)
                left -= STEP_BLOCKS

    def _is_tight(self, adding: int) -> bool:
        used = self._store.state.used
        if self.max_bytes is not None and adding and used + adding > self.max_bytes:
            return True
        return not self.engine.room()

    def _reclaim_idly(self) -> None:
        """Delete some doomed blocks in a call that changes nothing, when there is time."""
        with suppress(OSError, FsError):
            self._store.reclaim(IDLE_BLOCKS)

    def _reserve(self, view: View, added: int) -> None:
        """That there is room for so many bytes that were added. Raises NOSPC."""
        if added > 0 and self.max_bytes is not None and view.state.used > self.max_bytes:
            raise FsError(Status.NOSPC)

    def _check_room(self) -> None:
        """That the storage takes new data. Raises NOSPC."""
        if not self.engine.room():
            raise FsError(Status.NOSPC, "the storage is full")

    def _dir(self, view: View, key: Key) -> Inode:
        node = view.inode(key)
        if node.type is not FileType.DIR:
            raise FsError(Status.NOTDIR)
        return node

    def _file(self, view: View, key: Key) -> Inode:
        node = view.inode(key)
        if node.type is not FileType.REG:
            raise FsError(Status.ISDIR if node.type is FileType.DIR else Status.INVAL)
        return node

    def _child(self, view: View, ctx: Context, dir: Inode, name: bytes) -> Inode:
        permissions.check_search(ctx, dir)
        node = view.child(dir, name)
        if node is None:
            raise FsError(Status.NOENT)
        return node

    def _accessed(self, node: Inode) -> Attr:
        """The attributes after contents were read: atime moves once per modification (like Linux's
        relatime). A store that cannot be written keeps the old one."""
        if node.atime > node.mtime:
            return node.attr()
        now = self._now()
        if node.mtime >= now and node.atime > now - _SECOND:
            return node.attr()  # a time to come would else move it with every call
        with suppress(OSError):
            with self._change(sync=False) as view:
                new = view.change(node)
                new.atime = now
            return new.attr()
        return node.attr()

    # Reading

    async def root(self, ctx: Context) -> Attr:
        return await self.getattr(ctx, Key(ROOT_INO))

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        node = self._store.cached(key.ino)
        if node is not None and node.generation == key.generation:
            return node.attr()
        with self._store.reading() as view:
            return view.inode(key).attr()

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        with self._store.reading() as view:
            parent = self._dir(view, dir)
            return Found(self._child(view, ctx, parent, name).attr(), parent.attr())

    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        with self._store.reading() as view:
            parent = self._dir(view, dir)
            permissions.check_search(ctx, parent)
            entry = view.find(parent, name)
            return None if entry is None else entry.ino

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """The directory above `dir`. Raises NOTDIR, ACCES."""
        with self._store.reading() as view:
            node = self._dir(view, dir)
            permissions.check_search(ctx, node)
            return view.inode_of(node.parent).attr()

    async def readlink(self, ctx: Context, key: Key) -> Target:
        with self._store.reading() as view:
            node = view.inode(key)
            if node.type is not FileType.LNK:
                raise FsError(Status.INVAL)
            return Target(node.target, node.attr())

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        with self._store.reading() as view:
            file = self._file(view, key)
            permissions.check_read(ctx, file)
            end = offset + count
            length = min(end, file.size) - offset
            got: Buffer = b""
            if length > 0:
                got = data.read(view, file, self.engine.block_bytes, offset, length)
        return Data(got, end >= file.size, self._accessed(file))

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """Entries in the order in which the names were made. BAD_COOKIE for one never given.

        Whoever may list but not search gets no attributes, as if each had to be looked up.
        """
        with self._store.reading() as view:
            node = self._dir(view, dir)
            permissions.check_list(ctx, node)
            if cookie >= max(node.next_cookie, FIRST_COOKIE + 1):
                raise FsError(Status.BAD_COOKIE)
            plus = plus and bool(permissions.mode_bits(ctx, node) & permissions.SEARCH)
            entries: list[DirEntry] = []
            eof = True
            for at, ino, name in view.listed(node, cookie):
                count -= ENTRY_BYTES + len(name)
                if entries and count < 0:
                    eof = False
                    break
                attr = view.inode_of(ino).attr() if plus else None
                entries.append(DirEntry(name, ino, at, attr))
        return Listing(entries, eof, self._accessed(node))

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """`max_bytes` and what is left of it, or what the storage has. Who asks wants to see what
        was freed, so some of it is."""
        self._reclaim_idly()
        with self._store.reading() as view:
            view.inode(key)
        state = self._store.state
        total, free = self.engine.space()
        if self.max_bytes is not None:
            total = self.max_bytes
            free = min(free, max(0, self.max_bytes - state.used))
        files = max(0, self.max_files - state.inodes)
        return FsStat(total, free, free, self.max_files, files, files)

    # Changing files

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """Set attributes. Raises PERM, ACCES, NOT_SYNC, FBIG; ISDIR or INVAL for a size."""
        if attr.size is not None:
            self._clear_way(ctx, key, attr.size)
        with self._change() as view:
            node = view.inode(key)
            before = node.attr()
            if guard is not None and guard != node.ctime:
                raise FsError(Status.NOT_SYNC)
            permissions.check_setattr(ctx, node, attr)
            if attr.size is not None:
                self._file(view, key)
                self._check_size(attr.size)
            if attr == SetAttr():
                return Wcc(before, before)
            self._set(view, ctx, view.change(node), attr)
        return Wcc(before, self._attr(key))

    def _set(self, view: View, ctx: Context, node: Inode, attr: SetAttr) -> None:
        """Set what was checked; `node` is a copy to change."""
        node.mode = permissions.mode_after_setattr(ctx, node, node.type, attr)
        if attr.uid is not None:
            node.uid = attr.uid
        if attr.gid is not None:
            node.gid = attr.gid
        node.changed(self._now())
        now = node.ctime
        if attr.size is not None:
            data.truncate(view, node, self.engine.block_bytes, attr.size)
            node.mtime = now
        node.atime = time_after(attr.atime, now, node.atime)
        node.mtime = time_after(attr.mtime, now, node.mtime)
        node.verifier = b""

    def _attr(self, key: Key) -> Attr:
        """What was just committed."""
        node = self._store.cached(key.ino)
        assert node is not None
        return node.attr()

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_file_size:
            raise FsError(Status.FBIG)

    def _clear_way(self, ctx: Context, key: Key, size: int | None) -> None:
        """That no doomed blocks are where a file may grow. Raises JUKEBOX while there are, which
        takes a cut by gigabytes just before."""
        if not self._store.doomed or size == 0:
            return
        with self._store.reading() as view:
            node = view.inode(key)
            if node.type is not FileType.REG or view.doomed_of(node.data) is None:
                return
            permissions.check_write(ctx, node)
        if not self._store.clear(node.data):
            raise FsError(Status.JUKEBOX, "what was cut off is still being deleted")

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """Write all of `data`, or raise NOSPC, FBIG, ACCES; ISDIR or INVAL for what is no file.

        No bytes change nothing, not even times.
        """
        self._clear_way(ctx, key, None)
        length = len(data)
        # The block that it begins in may be filled up from its start.
        adding = length + self.engine.block_bytes
        with self._change(sync=stable is not Stable.UNSTABLE, adding=adding) as view:
            file = self._file(view, key)
            permissions.check_write(ctx, file)
            before = file.attr()
            if length:
                self._check_size(offset + length)
                self._write(view, view.change(file), offset, data)
                file = view.change(file)
                file.mode = permissions.mode_after_write(ctx, file.mode)
                file.modified(self._now())
        return Written(length, stable, Wcc(before, self._attr(key)))

    def _write(self, view: View, file: Inode, offset: int, content: Buffer) -> None:
        added = data.write(view, file, self.engine.block_bytes, offset, content)
        if added > 0:
            self._check_room()
        self._reserve(view, added)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """Make all safe, of all files. Raises ISDIR or INVAL for what is no regular file."""
        with self._store.reading() as view:
            attr = self._file(view, key).attr()
        if self._sync:
            try:
                self.engine.sync()
            finally:
                self._look_for_loss()
        self._reclaim_idly()
        return Wcc(attr, attr)


def time_after(wish: int | None, now: int, old: int) -> int:
    """The time that a field of `SetAttr` leaves."""
    return old if wish is None else now if wish == NOW else wish
