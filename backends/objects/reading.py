"""The calls that change nothing, and what all calls begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from backends import permissions
from backends.base import (
    Attr,
    Backend,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Key,
    Listing,
    Status,
    Target,
)
from backends.inodes import ROOT
from backends.objects.node import Node
from backends.objects.renames import Renames
from backends.objects.store import Store
from backends.objects.tree import Dir, Entry, Tree
from backends.writeback import Writeback

#: Bytes that statfs shows: a store does not say.
_SPACE: Final = 1 << 60
#: How often a call begins again because somebody changed its names meanwhile.
TRIES: Final = 16


class Reading(Backend):
    """The half of `FsspecBackend` that reads."""

    _store: Store
    _tree: Tree
    _renames: Renames
    _buffer: Writeback
    _read_only: bool

    # Helpers

    def _writable(self) -> None:
        if self._read_only:
            raise FsError(Status.ROFS)

    @contextmanager
    def _in(self, dir: Key) -> Iterator[Dir]:
        """A directory, under its lock. Raises STALE, NOTDIR."""
        self._tree.check_dir(dir)
        with self._tree.locked(dir):
            yield self._tree.dir(dir)

    @contextmanager
    def _file(self, key: Key) -> Iterator[Entry]:
        """A regular file, under its directory's lock. Raises STALE, ISDIR, INVAL."""
        with self._any(key) as entry:
            if entry.type is not FileType.REG:
                raise FsError(Status.ISDIR if entry.type is FileType.DIR else Status.INVAL)
            yield entry

    @contextmanager
    def _any(self, key: Key) -> Iterator[Entry]:
        """A file of any type, under the lock of the directory that it is in. Raises STALE."""
        for _ in range(TRIES):
            parent = self._tree.parent_of(key)
            with self._tree.locked(parent):
                if self._tree.parent_of(key) == parent:
                    yield self._tree.entry_in(parent, key)
                    return
        raise FsError(Status.JUKEBOX, "moved again and again")

    def _search(self, ctx: Context, dir: Dir) -> Node:
        node = self._tree.dir_node(dir.key)
        permissions.check_search(ctx, node)
        return node

    def _check_free(self, ctx: Context, dir: Dir, name: bytes) -> None:
        """That `ctx` may make `name`. EXIST comes before missing write permission, as on Linux."""
        node = self._search(ctx, dir)
        if name in dir.entries:
            raise FsError(Status.EXIST)
        permissions.check_change(ctx, node)
        self._renames.clear(dir.key, self._store.checked(name))

    # Reading

    async def root(self, ctx: Context) -> Attr:
        return await self.getattr(ctx, ROOT)

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        entry = self._tree.entry(key)
        if entry.type is FileType.DIR:
            # Its times are those of its names, which others may have changed.
            with self._in(key):
                return self._tree.dir_attr(key)
        return self._tree.attr(entry)

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        with self._in(dir) as parent:
            self._search(ctx, parent)
            entry = self._tree.child(parent, name)
            return Found(self._tree.attr(entry), self._tree.dir_attr(dir))

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """The directory above `dir`. Raises NOTDIR, ACCES."""
        with self._in(dir) as known:
            self._search(ctx, known)
            return self._tree.dir_attr(self._tree.parent_of(dir))

    async def readlink(self, ctx: Context, key: Key) -> Target:
        with self._any(key) as entry:
            if entry.type is not FileType.LNK:
                raise FsError(Status.INVAL)
            return Target(self._tree.node(entry).target, self._tree.attr(entry))

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """What is not in the store yet comes from the buffer.

        An object that is gone or shorter than it was listed is looked at once more.
        """
        for attempt in range(2):
            with self._file(key) as entry:
                permissions.check_read(ctx, self._tree.node(entry))
                attr = self._tree.attr(entry)
            want = max(0, min(count, attr.size - offset))
            data = self._buffer.read(key.ino, offset, want)
            if data is None:
                data = self._stored(key, offset, want)
            if len(data) == want:
                return Data(data, offset + want >= attr.size, attr)
            if attempt == 0:
                self._tree.expire(self._tree.parent_of(key))
        raise FsError(Status.IO, "shorter than the store says")

    def _stored(self, key: Key, offset: int, count: int) -> bytes:
        try:
            return self._tree.at_path(key, lambda names: self._store.read(names, offset, count))
        except FileNotFoundError:
            return b""

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """Entries in the order of their cookies; attributes where the store need not be asked."""
        with self._in(dir) as known:
            node = self._tree.dir_node(dir)
            permissions.check_list(ctx, node)
            if plus:
                plus = bool(permissions.mode_bits(ctx, node) & permissions.SEARCH)
            entries: list[DirEntry] = []
            eof = True
            for at, name, entry in known.cookies.after(cookie):
                if count < 0:
                    eof = False
                    break
                count -= len(name)
                attr = self._tree.attr(entry) if plus and entry.size >= 0 else None
                entries.append(DirEntry(name, entry.key.ino, at, attr))
            return Listing(entries, eof, self._tree.dir_attr(dir))

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """An exbibyte, all of it free: a store does not say."""
        self._tree.parent_of(key)
        return FsStat(_SPACE, _SPACE, _SPACE, _SPACE, _SPACE, _SPACE)
