"""The tree of a store: inode numbers and attributes from the table, names from listings.

A directory is listed whole, and the listing is good for `listing_seconds`, or ten times as long as
it took, if that is more. Our own changes go into it at once. So neither LOOKUP nor GETATTR nor a
page of READDIR asks the store while the listing is fresh.

Locks: one for each directory (striped), held while it is listed or changed, and around each use of
its entries; `mutex`, innermost, for the tables here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backends.base import Attr, FileType, FsError, Key, Status
from backends.cookies import Names as Cookies
from backends.cookies import cookie_of
from backends.inodes import ROOT, Inode, InodeTable
from backends.objects.node import Node
from backends.objects.store import Listed, Store
from backends.writeback import Writeback

log = logging.getLogger("nfsloop.fsspec")

#: Inodes whose attributes are kept decoded.
CACHED_NODES: Final = 65_536
#: Entries of all listings that are kept; one directory may have more.
CACHED_ENTRIES: Final = 200_000
#: A listing is kept so many times as long as it took.
LISTING_SHARE: Final = 10
_STRIPES: Final = 256


@dataclass(slots=True, eq=False)
class Entry:
    """A name in a directory. Guarded by the directory's lock, but for its key and type."""

    key: Key
    name: bytes
    type: FileType
    #: Of the store's object: bytes (-1: it does not say), version, and time in nanoseconds.
    size: int = 0
    token: str = ""
    mtime: int = 0
    #: Whether the store has it.
    stored: bool = True


class Dir:
    """A directory as it was listed, with our changes since. Guarded by its lock."""

    def __init__(self, key: Key, entries: dict[bytes, Entry], stored: bool) -> None:
        self.key = key
        self.entries = entries
        self.cookies = Cookies(entries.items())
        #: Whether the store shows it.
        self.stored = stored
        #: Until when it is fresh, in `time.monotonic` seconds.
        self.good_until = 0.0
        #: Against `CACHED_ENTRIES`, as of when it was listed.
        self.counted = len(entries) + 1

    def add(self, entry: Entry) -> None:
        """A new name, or another file under it."""
        self.entries[entry.name] = entry
        self.cookies.add(entry.name, entry)

    def remove(self, name: bytes) -> None:
        """A name that is gone."""
        if self.entries.pop(name, None) is not None:
            self.cookies.remove(name)


class SharedLock:
    """Held by many, or by one alone, who waits until there is nobody."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """With others."""
        with self._changed:
            self._changed.wait_for(lambda: self._holders >= 0)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Without anybody else."""
        with self._changed:
            self._changed.wait_for(lambda: self._holders == 0)
            self._holders = -1
        try:
            yield
        finally:
            with self._changed:
                self._holders = 0
                self._changed.notify_all()


class Tree:
    """What is where; see the module. `defaults` is what files have that nobody gave attributes."""

    def __init__(
        self, store: Store, defaults: Node, dir_mode: int, path: Path | None, listing_seconds: float
    ) -> None:
        self.store = store
        self.table = InodeTable(path)
        self.buffer: Writeback
        self._defaults = defaults
        self._dir_mode = dir_mode
        self._listing_seconds = listing_seconds
        self.mutex = threading.RLock()
        self._stripes = [threading.RLock() for _ in range(_STRIPES)]
        #: Held by what uses paths in the store, alone by the rename of a directory.
        self.paths = SharedLock()
        self._dirs: OrderedDict[int, Dir] = OrderedDict()
        self._dir_entries = 0
        self._nodes: OrderedDict[int, Node | None] = OrderedDict()
        #: Names in the store that a rename left and that could not be deleted yet: not listed.
        self.doomed: set[tuple[Key, bytes]] = set()
        #: Tries once more to delete those of a directory.
        self.sweep: Callable[[Key], None]
        self._last = 0
        self._born = 0

    def open(self) -> None:
        """Open table and store. Raises OSError."""
        self.table.open()
        born = self.table.note("born")
        if born is None:
            born = b"%d" % time.time_ns()
            self.table.set_note("born", born)
        # The time of what the store gives none.
        self._born = int(born)
        self.store.open()

    def now(self) -> int:
        """The time in nanoseconds since 1970, later than any before."""
        with self.mutex:
            self._last = now = max(time.time_ns(), self._last + 1)
            return now

    # Locks

    @contextmanager
    def locked(self, *dirs: Key) -> Iterator[None]:
        """Have directories for oneself."""
        with ExitStack() as stack:
            for stripe in sorted({dir.ino % _STRIPES for dir in dirs}):
                stack.enter_context(self._stripes[stripe])
            yield

    # Attributes

    def node(self, entry: Entry) -> Node:
        """The attributes of a file."""
        return self._known(entry.key) or self._default(entry.type, entry.mtime, entry.token)

    def dir_node(self, dir: Key) -> Node:
        """The attributes of a directory."""
        return self._known(dir) or self._default(FileType.DIR, 0, "")

    def _default(self, type: FileType, mtime: int, token: str) -> Node:
        when = mtime or self._born
        mode = self._dir_mode if type is FileType.DIR else self._defaults.mode
        return self._defaults._replace(
            type=type, mode=mode, atime=when, mtime=when, ctime=when, token=token
        )

    def _known(self, key: Key) -> Node | None:
        with self.mutex:
            if key.ino not in self._nodes:
                self._remember(key, Node.unpack(self.table.record(key)))
            self._nodes.move_to_end(key.ino)
            return self._nodes[key.ino]

    def _remember(self, key: Key, node: Node | None) -> None:
        self._nodes[key.ino] = node
        if len(self._nodes) > CACHED_NODES:
            self._nodes.popitem(last=False)

    def update(self, entry: Entry, **changes: Any) -> Node:
        """Change attributes of a file, and keep them."""
        with self.mutex:
            return self._keep(entry.key, self.node(entry)._replace(**changes))

    def update_dir(self, dir: Key, **changes: Any) -> Node:
        """Change attributes of a directory, and keep them."""
        with self.mutex:
            return self._keep(dir, self.dir_node(dir)._replace(**changes))

    def _keep(self, key: Key, node: Node) -> Node:
        self.table.set_record(key, node.pack())
        self._remember(key, node)
        return node

    def forget(self, key: Key) -> None:
        """A file is gone, and what was beneath it."""
        with self.mutex:
            self.table.forget(key)
            self._nodes.pop(key.ino, None)

    def forgotten(self, key: Key) -> None:
        """The table has forgotten a file already."""
        with self.mutex:
            self._nodes.pop(key.ino, None)

    def put(self, key: Key, token: str) -> None:
        """The store has another version of a file, by us, whose directory is not listed."""
        with self.mutex:
            node = self._known(key)
            if node is not None:
                self._keep(key, node._replace(token=token))

    def may_be_stored(self, entry: Entry) -> bool:
        """Whether the store has it, or has at least been asked to."""
        if entry.stored or entry.type is not FileType.REG:
            return entry.stored
        return not self.buffer.is_new(entry.key.ino)

    def attr(self, entry: Entry) -> Attr:
        """The attributes that a client sees."""
        if entry.type is FileType.DIR:
            return self.dir_attr(entry.key)
        node = self.node(entry)
        if entry.type is FileType.LNK:
            size = len(node.target)
        else:
            buffered = self.buffer.size(entry.key.ino)
            size = max(entry.size, 0) if buffered is None else buffered
        return _attr(entry.key, node, size, size)

    def dir_attr(self, dir: Key) -> Attr:
        """The attributes of a directory. Its links are not counted: 1, as btrfs has it."""
        return _attr(dir, self.dir_node(dir), 4096, 0)

    # Directories

    def parent_of(self, key: Key) -> Key:
        """Where a file is now; the root is in itself."""
        return self.table.get(key).parent

    def check_dir(self, key: Key) -> None:
        """That `key` is a directory, and there. Raises STALE, NOTDIR. Taken without its lock."""
        with self.mutex:
            known = self._dirs.get(key.ino)
            if known is not None and known.good_until > time.monotonic():
                self.table.get(key)
                return
        if key != ROOT and self.entry(key).type is not FileType.DIR:
            raise FsError(Status.NOTDIR)

    def entry(self, key: Key) -> Entry:
        """A file by its key. Raises STALE. Taken without its directory's lock."""
        for _ in range(8):
            parent = self.parent_of(key)
            with self.locked(parent):
                if self.parent_of(key) == parent:
                    return self.entry_in(parent, key)
        raise FsError(Status.JUKEBOX, "moved again and again")

    def entry_in(self, parent: Key, key: Key) -> Entry:
        """A file by its key, under the lock of the directory that it is in. Raises STALE."""
        if key == ROOT:
            return Entry(ROOT, b"", FileType.DIR)
        dir = self.dir(parent)
        entry = dir.entries.get(self.table.get(key).name)
        if entry is None or entry.key != key:
            raise FsError(Status.STALE)
        if entry.size < 0:
            self._ask(entry)
        return entry

    def _ask(self, entry: Entry) -> None:
        """The size of an object whose listing does not tell."""
        try:
            info = self.store.info(self.table.names(entry.key))
        except FileNotFoundError:
            raise FsError(Status.STALE) from None
        entry.size, entry.token = max(info.size, 0), info.token
        entry.mtime = info.mtime or entry.mtime

    def child(self, dir: Dir, name: bytes) -> Entry:
        """A name in a directory. Raises NOENT."""
        entry = dir.entries.get(name)
        if entry is None:
            raise FsError(Status.NOENT)
        if entry.size < 0:
            self._ask(entry)
        return entry

    def dir(self, key: Key, fresh: bool = False) -> Dir:
        """A directory, under its lock, listed anew if that is old, or `fresh` is asked for.

        Raises STALE where it is gone.
        """
        now = time.monotonic()
        with self.mutex:
            known = self._dirs.get(key.ino)
            if known is not None and known.good_until > now and not fresh:
                self._dirs.move_to_end(key.ino)
                return known
        dir = self._load(key)
        self._keep_dir(dir, time.monotonic() - now)
        return dir

    def made(self, key: Key, stored: bool) -> None:
        """A new directory, which nobody needs to list."""
        self._keep_dir(Dir(key, {}, stored), 0.0)

    def known(self, key: Key) -> Dir | None:
        """A directory's listing, if there is one; under its lock."""
        with self.mutex:
            return self._dirs.get(key.ino)

    def expire(self, dir: Key) -> None:
        """What is known of a directory is old."""
        with self.mutex:
            known = self._dirs.get(dir.ino)
            if known is not None:
                known.good_until = 0.0

    def drop(self, dir: Key) -> None:
        """A directory is gone."""
        with self.mutex:
            known = self._dirs.pop(dir.ino, None)
            if known is not None:
                self._dir_entries -= known.counted

    def _keep_dir(self, dir: Dir, took: float) -> None:
        dir.good_until = time.monotonic() + max(self._listing_seconds, LISTING_SHARE * took)
        with self.mutex:
            self.drop(dir.key)
            self._dirs[dir.key.ino] = dir
            self._dir_entries += dir.counted
            while self._dir_entries > CACHED_ENTRIES and len(self._dirs) > 1:
                _, oldest = self._dirs.popitem(last=False)
                self._dir_entries -= oldest.counted

    def touch(self, dir: Dir, *names: bytes) -> None:
        """After names came or went by a call."""
        now = self.now()
        digest = self.dir_node(dir.key).digest
        for name in names:
            digest ^= cookie_of(name)
        self.update_dir(dir.key, mtime=now, ctime=now, digest=digest)
        # A store without directories shows none of these any more when the last object goes.
        key = dir.key
        while self.store.flat and not self.dir_node(key).kept:
            self.update_dir(key, kept=True)
            key = self.parent_of(key)

    # Listing

    def _load(self, key: Key) -> Dir:
        """List a directory, and bring the table in line with what is there."""
        names = self.table.names(key)
        if self.doomed:
            self.sweep(key)
        try:
            listed = {found.name: found for found in self.store.list(names)}
            stored = True
        except FileNotFoundError:
            if key != ROOT and not self._is_kept(self.dir_node(key)):
                self._vanished(key)
                raise FsError(Status.STALE, "gone from the store") from None
            listed, stored = {}, False
        for name in [name for name in listed if (key, name) in self.doomed]:
            del listed[name]
        with self.mutex, self.table.transaction():
            rows = {row.name: row for row in self.table.children(key)}
            entries = self._merge(key, listed, rows)
            dir = Dir(key, entries, stored)
            self._notice(dir)
        return dir

    def _merge(
        self, key: Key, listed: dict[bytes, Listed], rows: dict[bytes, Inode]
    ) -> dict[bytes, Entry]:
        entries: dict[bytes, Entry] = {}
        for name, row in rows.items():
            node = Node.unpack(row.record)
            found = listed.get(name)
            if found is not None and (node is None or node.type is found.type):
                entries[name] = self._seen(row.key, found, node)
            elif found is None and node is not None and self._is_ours(row.key, node):
                entries[name] = Entry(row.key, name, node.type, stored=False)
            else:
                self.forget(row.key)
                self.drop(row.key)
        new = [name for name in listed if name not in entries]
        keys = self.table.keys_of(key, new) if new else {}
        for name in new:
            entries[name] = self._seen(keys[name], listed[name], None)
        return entries

    def _is_ours(self, key: Key, node: Node) -> bool:
        """Whether a file is there though the store does not show it."""
        if node.type is FileType.REG:
            return self.buffer.size(key.ino) is not None
        return node.type is FileType.LNK or self._is_kept(node)

    def _is_kept(self, node: Node) -> bool:
        return node.kept and bool(self.store.flat)

    def _seen(self, key: Key, found: Listed, node: Node | None) -> Entry:
        entry = Entry(key, found.name, found.type, found.size, found.token, found.mtime)
        self._remember(key, node)
        if node is None or found.type is not FileType.REG or not found.token:
            return entry
        if found.token != node.token and self.buffer.size(key.ino) is None:
            changes: dict[str, Any] = {"token": found.token}
            # Versions of another kind say nothing.
            if node.token.partition(":")[0] == found.token.partition(":")[0]:
                now = self.now()
                changes |= {"mtime": found.mtime or now, "ctime": now}
            self.update(entry, **changes)
        return entry

    def _notice(self, dir: Dir) -> None:
        """Give a directory a new time where somebody else changed its names."""
        digest = 0
        for cookie, _, _ in dir.cookies.after(0):
            digest ^= cookie
        known = self._known(dir.key)
        if known is None:
            self.update_dir(dir.key, digest=digest)
        elif known.digest != digest:
            now = self.now()
            self.update_dir(dir.key, mtime=now, ctime=now, digest=digest)

    def _vanished(self, dir: Key) -> None:
        """A directory is gone behind our back."""
        parent = self.parent_of(dir)
        self.forget(dir)
        self.drop(dir)
        self.expire(parent)


def _attr(key: Key, node: Node, size: int, used: int) -> Attr:
    ino, generation = key
    return Attr(
        ino, node.type, node.mode, 1, node.uid, node.gid, size, used,
        node.atime, node.mtime, node.ctime, generation,
    )  # fmt: skip
