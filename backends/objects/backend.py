"""`FsspecBackend`: the calls of the contract, over a `Tree`, a `Writeback` and `Renames`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends import permissions
from backends.base import (
    NOW,
    Buffer,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    Limits,
    Made,
    Renamed,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.inodes import ROOT
from backends.objects.node import Node
from backends.objects.puts import TreeObjects
from backends.objects.reading import TRIES, Reading
from backends.objects.renames import Renames, check_rename
from backends.objects.store import FLAT, Names, Store
from backends.objects.tree import Dir, Entry, Tree
from backends.writeback import Writeback

#: Where a create names no mode (EXCLUSIVE never does): the owner's alone until SETATTR says more.
_FILE_MODE, _DIR_MODE, _SYMLINK_MODE = 0o600, 0o700, 0o777


class FsspecBackend(Reading):
    """Any store that fsspec knows: s3://, gs://, az://, sftp://, zip://, http://, file://, …

    `url` is fsspec's, with its protocol. `state` is a directory for what must outlive the process:
    inode numbers, attributes, and data that is not in the store yet; without it, none of that does.
    `read_only` refuses all changes; zip, http and others that cannot be written do anyway.

    `uid`, `gid` (by default the server's own), `file_mode` and `dir_mode` are those of files that
    nobody gave others. `listing_seconds`: how long a listing is believed, and with it sizes and
    times; changes by others show after it (one that takes long is kept ten times as long).
    `buffer_bytes`: what may wait in `state` to be put, and so the largest file that can be written.
    `idle_seconds`: after how long without a write a file is put, if no client commits it.
    `options` go to fsspec: `key`, `secret`, `endpoint_url`, `anon` and what else its file systems
    have; true, false and JSON are understood.

    What it makes of a store (see docs/fsspec.md): owners, modes, times and symbolic links are in
    `state`, and other readers of the store do not see them. An empty directory of a store that has
    none is there only too. A file is put whole: when it is committed, or idle. A rename in a store
    without one is a copy of each object beneath. Names must be UTF-8; there are no hard links.
    """

    blocking = True
    threads = 16
    limits = Limits(symlinks=True, set_times=True)

    def __init__(
        self,
        url: str,
        *,
        state: Path | None = None,
        read_only: bool = False,
        uid: int | None = None,
        gid: int | None = None,
        file_mode: int = 0o644,
        dir_mode: int = 0o755,
        listing_seconds: float = 5.0,
        buffer_bytes: int = 4 << 30,
        idle_seconds: float = 5.0,
        **options: str,
    ) -> None:
        """Raises ValueError for what no URL or option can be, ImportError for what is missing."""
        super().__init__()
        for name, value, least in (
            ("listing_seconds", listing_seconds, 0),
            ("buffer_bytes", buffer_bytes, 1 << 20),
            ("idle_seconds", idle_seconds, 0),
        ):
            if value < least:
                raise ValueError(f"{name}={value} is less than {least}")
        self._store = Store(url, options)
        self._state = state
        self.persistent = state is not None and self._store.protocol != "memory"
        self._read_only = read_only or self._store.read_only
        self.limits = Limits(
            read_only=self._read_only,
            symlinks=not self._read_only,
            set_times=not self._read_only,
            max_file_size=2**63 - 1 if self._read_only else buffer_bytes,
        )
        own = os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid
        self._tree = Tree(
            self._store,
            Node(FileType.REG, file_mode, *own, 0, 0, 0),
            dir_mode,
            state and state / "inodes.db",
            listing_seconds,
        )
        self._renames = Renames(self._tree)
        self._buffer = self._tree.buffer = Writeback(
            TreeObjects(self._tree),
            state and state / "writeback",
            buffer_bytes=buffer_bytes,
            idle_seconds=idle_seconds,
        )

    # Life cycle

    async def start(self) -> None:
        """Open table and store, finish what a crash cut off. Raises OSError."""
        try:
            if self._state is not None:
                self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._read_only:
                self._buffer.place.lock()
            self._tree.open()
            if not self._read_only:
                self._renames.settle()
                self._buffer.tag = self._tree.table.generation
                self._buffer.start()
                self.verifier = self._buffer.verifier
        except BaseException as error:
            self._tree.table.close()
            self._buffer.place.unlock()
            if isinstance(error, FsError):
                raise OSError(str(error)) from error
            raise

    async def stop(self) -> None:
        """Put everything, close."""
        if not self._read_only:
            self._buffer.stop()
            self._renames.sweep()
        self._tree.table.close()

    def abandon(self) -> None:
        """Let go of everything and put nothing, as a crash does: for tests."""
        self._buffer.abandon()
        self._tree.table.close()

    def describe(self) -> str:
        """See `Backend.describe`."""
        kind = "objects put whole" if self._store.protocol in FLAT else "files put whole"
        how = "read-only" if self._read_only else kind
        return f"fsspec's {self._store.protocol}, {how}"

    async def health(self) -> str | None:
        """What cannot be put into the store."""
        return self._buffer.health()

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: listings of directories."""
        return {("listings", "hits"): self._tree.hits, ("listings", "misses"): self._tree.misses}

    # Changing files

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """Set attributes. Raises PERM, ACCES, NOT_SYNC, FBIG; ISDIR or INVAL for a size."""
        self._writable()
        if attr.size is None:
            with self._any(key) as entry:
                return self._set(ctx, entry, attr, guard)
        with self._file(key) as entry:
            permissions.check_setattr(ctx, self._tree.node(entry), attr)
        self._buffer.make_room(key.ino, attr.size)
        for _ in range(TRIES):
            with self._buffer.hold(key.ino) as hold, self._file(key) as entry:
                if self._buffer.holds(hold, key.ino):
                    return self._set(ctx, entry, attr, guard)
        raise FsError(Status.JUKEBOX, "written again and again")

    def _set(self, ctx: Context, entry: Entry, attr: SetAttr, guard: int | None) -> Wcc:
        tree = self._tree
        if attr.size is not None and not (attr.size == 0 < entry.size):
            self._stored_size(entry)
        before, node = tree.attr(entry), tree.node(entry)
        if guard is not None and guard != node.ctime:
            raise FsError(Status.NOT_SYNC)
        permissions.check_setattr(ctx, node, attr)
        if attr == SetAttr():
            return Wcc(before, before)
        changes: dict[str, Any] = {"verifier": None}
        changes["mode"] = permissions.mode_after_setattr(ctx, node, node.type, attr)
        now = tree.now()
        changes["uid"] = node.uid if attr.uid is None else attr.uid
        changes["gid"] = node.gid if attr.gid is None else attr.gid
        changes["atime"] = _time(attr.atime, now, node.atime)
        modified = node.mtime
        if attr.size is not None:
            modified = now
            if attr.size != before.size:
                self._buffer.truncate(entry.key.ino, attr.size, entry.size)
        changes["mtime"] = _time(attr.mtime, now, modified)
        tree.update(entry, ctime=now, **changes)
        return Wcc(before, tree.attr(entry))

    def _stored_size(self, entry: Entry) -> int:
        """Of the store's object, asked when a file is first written over: a listing may be old."""
        if entry.stored and self._buffer.size(entry.key.ino) is None:
            try:
                found = self._tree.at_path(entry.key, self._store.info)
            except FileNotFoundError:
                self._tree.expire(self._tree.parent_of(entry.key))
                raise FsError(Status.STALE, "gone from the store") from None
            if found.type is FileType.REG:
                entry.size = max(found.size, 0)
        return entry.size

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """Write all of `data` into the buffer; all but UNSTABLE return when the store has it."""
        self._writable()
        if data:
            self._buffer.make_room(key.ino, offset + len(data))
        with self._file(key) as entry:
            node = self._tree.node(entry)
            permissions.check_write(ctx, node)
            stored = self._stored_size(entry) if data else 0
            before = after = self._tree.attr(entry)
            if data:
                self._buffer.write(key.ino, offset, data, stored)
                now = self._tree.now()
                mode = permissions.mode_after_write(ctx, node.mode)
                self._tree.update(entry, mode=mode, mtime=now, ctime=now)
                after = self._tree.attr(entry)
        if stable is not Stable.UNSTABLE:
            self._buffer.commit(key.ino)
        return Written(len(data), stable, Wcc(before, after))

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """Put the whole object. On an error the data is kept, and `verifier` too."""
        self._writable()
        with self._file(key) as entry:
            attr = self._tree.attr(entry)
        self._buffer.commit(key.ino)
        return Wcc(attr, attr)

    # Changing directories

    def _new(
        self, ctx: Context, dir: Dir, name: bytes, type: FileType, attr: SetAttr, mode: int
    ) -> tuple[Entry, Node]:
        """A file that `ctx` may make in `dir`, not yet entered."""
        above = self._tree.dir_node(dir.key)
        uid, gid = permissions.new_owner(ctx, above, attr)
        mode = permissions.new_mode(ctx, above, type, mode if attr.mode is None else attr.mode, gid)
        now = self._tree.now()
        atime, mtime = _time(attr.atime, now, now), _time(attr.mtime, now, now)
        # The key comes when it is entered.
        entry = Entry(ROOT, name, type, stored=False)
        return entry, Node(type, mode, uid, gid, atime, mtime, now)

    def _enter(self, dir: Dir, entry: Entry, node: Node, size: int = 0) -> Made:
        """Give a new file its number and its name."""
        tree = self._tree
        before = tree.dir_attr(dir.key)
        try:
            with tree.mutex, tree.table.transaction():
                entry.key = tree.table.key_of(dir.key, entry.name)
                tree.update(entry, **node._asdict())
                if entry.type is FileType.REG:
                    self._buffer.create(entry.key.ino, size)
                tree.touch(dir, entry.name)
        except BaseException:
            self._buffer.discard(entry.key.ino)
            tree.forgotten(entry.key)
            tree.forgotten(dir.key)
            raise
        dir.add(entry)
        return Made(tree.attr(entry), Wcc(before, tree.dir_attr(dir.key)))

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """Make a regular file: in the buffer, until it is committed or idle.

        Raises EXIST, ACCES, PERM, FBIG, INVAL for a name that is no UTF-8.
        """
        self._writable()
        self._buffer.make_room(None, attr.size or 0)
        for _ in range(TRIES):
            try:
                return await self._create(ctx, dir, name, mode, attr, verifier)
            except _Removed:
                continue
        raise FsError(Status.JUKEBOX, "removed again and again")

    async def _create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        with self._in(dir) as parent:
            node = self._search(ctx, parent)
            found = parent.entries.get(name)
            if found is None:
                permissions.check_change(ctx, node)
                self._renames.clear(dir, self._store.checked(name))
                entry, made = self._new(ctx, parent, name, FileType.REG, attr, _FILE_MODE)
                if mode is CreateMode.EXCLUSIVE:
                    made = made._replace(verifier=bytes(verifier))
                return self._enter(parent, entry, made, attr.size or 0)
            self._check_over(found, mode, verifier)
        try:
            if mode is CreateMode.UNCHECKED and attr.size is not None:
                await self.setattr(ctx, found.key, SetAttr(size=attr.size))
            with self._any(found.key) as entry:
                above = self._tree.dir_attr(dir)
                return Made(self._tree.attr(entry), Wcc(above, above))
        except FsError as error:
            if error.status is Status.STALE:
                raise _Removed from error
            raise

    def _check_over(self, found: Entry, mode: CreateMode, verifier: bytes) -> None:
        """That a create may take what is there."""
        if found.type is not FileType.REG or mode is CreateMode.GUARDED:
            raise FsError(Status.EXIST)
        if mode is CreateMode.EXCLUSIVE:
            known = self._tree.node(found).verifier
            if known is None or known != verifier:
                raise FsError(Status.EXIST)

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """Make a directory. Raises EXIST, ACCES, PERM, INVAL."""
        self._writable()
        with self._tree.paths.shared(), self._in(dir) as parent:
            self._check_free(ctx, parent, name)
            entry, node = self._new(ctx, parent, name, FileType.DIR, attr, _DIR_MODE)
            self._make_dir((*self._tree.table.names(dir), name))
            entry.stored = not self._store.flat
            made = self._enter(parent, entry, node._replace(kept=bool(self._store.flat)))
            self._tree.made(entry.key, entry.stored)
            return made

    def _make_dir(self, names: Names) -> None:
        try:
            self._store.mkdir(names)
        except (FsError, OSError) as error:
            if isinstance(error, FsError) and error.status is Status.EXIST:
                raise
            # It may be there all the same: a reply was lost.
            if not self._store.exists(names):
                raise

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """Make a symbolic link, which only the table holds. Raises EXIST, ACCES, PERM, INVAL."""
        self._writable()
        with self._in(dir) as parent:
            self._check_free(ctx, parent, name)
            entry, node = self._new(ctx, parent, name, FileType.LNK, attr, _SYMLINK_MODE)
            return self._enter(parent, entry, node._replace(target=bytes(target)))

    @contextmanager
    def _held(self, dir: Key, name: bytes, ctx: Context) -> Iterator[tuple[Dir, Entry]]:
        """A name that is about to go, not being put meanwhile; its directory's lock is taken."""
        for _ in range(TRIES):
            with self._in(dir) as parent:
                self._search(ctx, parent)
                key = self._tree.child(parent, name).key
            with (
                self._buffer.hold(key.ino) as hold,
                self._tree.paths.shared(),
                self._in(dir) as parent,
            ):
                self._search(ctx, parent)
                entry = self._tree.child(parent, name)
                if entry.key == key and self._buffer.holds(hold, key.ino):
                    yield parent, entry
                    return
        raise FsError(Status.JUKEBOX, "changed again and again")

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a name. Raises NOENT, ISDIR, ACCES, PERM (sticky directory)."""
        self._writable()
        with self._held(dir, name, ctx) as (parent, entry):
            above = self._tree.dir_node(dir)
            permissions.check_delete(ctx, above, self._tree.node(entry))
            if entry.type is FileType.DIR:
                raise FsError(Status.ISDIR)
            if self._tree.may_be_stored(entry):
                self._store.delete(self._tree.table.names(entry.key))
            return self._gone(parent, entry)

    def _gone(self, dir: Dir, entry: Entry) -> Wcc:
        """The store has it no more: nor have we."""
        tree = self._tree
        before = tree.dir_attr(dir.key)
        with tree.mutex, tree.table.transaction():
            tree.forget(entry.key)
            tree.touch(dir, entry.name)
        dir.remove(entry.name)
        # Last: what is in the buffer of a file that is forgotten is dropped after a crash.
        self._buffer.discard(entry.key.ino)
        return Wcc(before, tree.dir_attr(dir.key))

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a directory. Raises NOENT, NOTDIR, NOTEMPTY, ACCES, PERM (sticky directory)."""
        self._writable()
        for _ in range(TRIES):
            with self._in(dir) as parent:
                self._search(ctx, parent)
                key = self._tree.child(parent, name).key
            self._tree.check_dir(dir)
            with self._tree.paths.shared(), self._tree.locked(dir, key):
                parent = self._tree.dir(dir)
                entry = self._tree.child(parent, name)
                if entry.key == key:
                    above = self._tree.dir_node(dir)
                    permissions.check_delete(ctx, above, self._tree.node(entry))
                    if entry.type is not FileType.DIR:
                        raise FsError(Status.NOTDIR)
                    self._remove_dir(entry)
                    return self._gone(parent, entry)
        raise FsError(Status.JUKEBOX, "changed again and again")

    def _remove_dir(self, entry: Entry) -> None:
        """Take an empty directory out of the store, under its lock. Raises NOTEMPTY."""
        known = self._tree.dir(entry.key, fresh=True)
        if known.entries:
            raise FsError(Status.NOTEMPTY)
        if known.stored:
            if self._store.flat:
                raise FsError(Status.NOTEMPTY, "the store has an object that marks it")
            names = self._tree.table.names(entry.key)
            try:
                self._store.rmdir(names)
            except (FsError, OSError):
                if self._store.exists(names):
                    raise
        self._tree.drop(entry.key)

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """Rename. Raises NOENT, NOTDIR, ISDIR, NOTEMPTY, INVAL, ACCES, PERM (sticky directory).

        Of a directory in a store without renames: a copy of every object beneath, while no other
        directory is renamed and nothing is put.
        """
        self._writable()
        self._store.checked(to_name)
        for _ in range(TRIES):
            with self._in(from_dir) as source:
                self._search(ctx, source)
                key, type = (entry := self._tree.child(source, from_name)).key, entry.type
            with self._in(to_dir) as target:
                self._search(ctx, target)
                old = target.entries.get(to_name)
            victim = None if old is None else old.key
            idents = [key.ino] if victim is None else [key.ino, victim.ino]
            paths = self._tree.paths
            with (
                self._buffer.hold(*idents) as hold,
                paths.alone() if type is FileType.DIR else paths.shared(),
            ):
                self._tree.check_dir(from_dir)
                self._tree.check_dir(to_dir)
                dirs = [from_dir, to_dir] if victim is None else [from_dir, to_dir, victim]
                with self._tree.locked(*dirs):
                    source = target = self._tree.dir(from_dir)
                    if to_dir != from_dir:
                        target = self._tree.dir(to_dir)
                    entry = self._tree.child(source, from_name)
                    old = target.entries.get(to_name)
                    same = entry.key == key and (None if old is None else old.key) == victim
                    if same and self._buffer.holds(hold, *idents):
                        return self._rename(ctx, source, entry, target, to_name)
        raise FsError(Status.JUKEBOX, "changed again and again")

    def _rename(
        self, ctx: Context, source: Dir, entry: Entry, target: Dir, to_name: bytes
    ) -> Renamed:
        tree = self._tree
        old = target.entries.get(to_name)
        self._search(ctx, target)
        befores = tree.dir_attr(source.key), tree.dir_attr(target.key)
        if old is not None and old.key == entry.key:
            return Renamed(Wcc(befores[0], befores[0]), Wcc(befores[1], befores[1]))
        check_rename(tree, ctx, source, entry, target, old)
        self._renames.clear(target.key, to_name)
        if old is not None and old.type is FileType.DIR:
            self._remove_dir(old)
        if entry.type is FileType.DIR and self._store.flat:
            # It may have got objects since it was listed, or lost the last.
            entry.stored = self._store.exists(tree.table.names(entry.key))
        if not entry.stored and self._buffer.leans(entry.key.ino):
            # A listing without it was old, or it is gone.
            entry.stored = self._store.exists(tree.table.names(entry.key))
        self._renames.rename(entry, target.key, to_name, old is not None and old.stored)
        from_name = entry.name
        source.remove(from_name)
        entry.name = to_name
        target.add(entry)
        with tree.mutex, tree.table.transaction():
            if old is not None:
                tree.forgotten(old.key)
            tree.update(entry, ctime=tree.now())
            tree.touch(source, from_name)
            tree.touch(target, *([] if old is not None else [to_name]))
        if old is not None:
            self._buffer.discard(old.key.ino)
        return Renamed(
            Wcc(befores[0], tree.dir_attr(source.key)), Wcc(befores[1], tree.dir_attr(target.key))
        )


class _Removed(Exception):
    """What a create has found was removed meanwhile."""


def _time(wish: int | None, now: int, old: int) -> int:
    """The time that a field of `SetAttr` leaves."""
    return old if wish is None else now if wish == NOW else wish
