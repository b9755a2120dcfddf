"""The tree of a store: inode numbers and attributes from the table, names from listings.

A directory is listed whole, and the listing is good for `listing_seconds`, or ten times as long as
it took, if that is more. Our own changes go into it at once. So neither LOOKUP nor GETATTR nor a
page of READDIR asks the store while the listing is fresh.

Locks: one for each directory (striped), held while it is listed or changed, and around each use of
its entries; `mutex`, innermost, for the tables here. Who takes no lock while it asks the store
(`at_path`, a listing) looks whether something was moved meanwhile: `dir_moves`, `file_moves`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from backends.base import Attr, FileType, FsError, Key, Status
from backends.cookies import Names as Cookies
from backends.cookies import cookie_of
from backends.inodes import ROOT, Inode, InodeTable
from backends.objects.node import Node
from backends.objects.paths import Moves, SharedLock
from backends.objects.store import Listed, Names, Store
from backends.writeback import Writeback

T = TypeVar("T")

log = logging.getLogger("nfsloop.fsspec")

#: Inodes whose attributes are kept decoded.
CACHED_NODES: Final = 65_536
#: Entries of all listings that are kept; one directory may have more.
CACHED_ENTRIES: Final = 200_000
#: Rows that are compared with a listing, or made for it, at a time.
MERGE_ROWS: Final = 500
#: A listing is kept so many times as long as it took.
LISTING_SHARE: Final = 10
#: How often a path is looked up again because it was moved while it was used.
_TRIES: Final = 64
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
        #: Of directories, and of files, by the stripe of the directory.
        self.dir_moves = Moves()
        self.file_moves = [Moves() for _ in range(_STRIPES)]
        self._dirs: OrderedDict[int, Dir] = OrderedDict()
        self._dir_entries = 0
        #: Listings that were known when they were wanted, and that were asked for.
        self.hits = self.misses = 0
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

    @contextmanager
    def moving(self, type: FileType, *dirs: Key) -> Iterator[None]:
        """While store and table may differ in where a file is; under the locks of `dirs`."""
        with ExitStack() as stack:
            if type is FileType.DIR:
                stack.enter_context(self.dir_moves.moving())
            else:
                for stripe in {dir.ino % _STRIPES for dir in dirs}:
                    stack.enter_context(self.file_moves[stripe].moving())
            yield

    def at_path(self, key: Key, act: Callable[[Names], T]) -> T:
        """The result of `act` at the path of a file, which it had before and after.

        Raises what `act` raises, but FileNotFoundError only where the object is not there by any
        name. Raises STALE, and JUKEBOX where it is moved again and again.
        """
        for attempt in range(_TRIES):
            parent = self.parent_of(key)
            above = self.dir_moves.mark()
            if attempt == 0:
                beside = self.file_moves[parent.ino % _STRIPES]
                mark = beside.mark(wait=False)
                names, result, gone = self._act(key, act)
                if beside.unchanged(mark) and self._stayed(key, names, above):
                    return _result(result, gone)
                continue
            # No file of this directory is moved meanwhile.
            with self.locked(parent):
                names, result, gone = self._act(key, act)
                if self.parent_of(key) == parent and self._stayed(key, names, above):
                    return _result(result, gone)
        raise FsError(Status.JUKEBOX, "moved again and again")

    def _act(
        self, key: Key, act: Callable[[Names], T]
    ) -> tuple[Names, T | None, FileNotFoundError | None]:
        names = self.table.names(key)
        try:
            return names, act(names), None
        except FileNotFoundError as error:
            return names, None, error

    def _stayed(self, key: Key, names: Names, mark: int) -> bool:
        """Whether a path is still what it was when `mark` was taken."""
        return self.dir_moves.unchanged(mark) and self.table.names(key) == names

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
            info = self.at_path(entry.key, self.store.info)
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
                self.hits += 1
                return known
            self.misses += 1
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
        if self.doomed:
            self.sweep(key)
        doomed = set(self.doomed)
        found = self._listed(key)
        if found is None and key != ROOT and self._ours(key, self.dir_node(key)) is None:
            self._vanished(key)
            raise FsError(Status.STALE, "gone from the store")
        stored = found is not None
        listed = {item.name: item for item in found or ()}
        for name in [name for name in listed if (key, name) in doomed | self.doomed]:
            del listed[name]
        rows = {row.name: row for row in self.table.children(key)}
        dir = Dir(key, self._merge(key, listed, rows), stored)
        with self.mutex, self.table.transaction():
            self._notice(dir)
        return dir

    def _listed(self, key: Key) -> list[Listed] | None:
        """What the store shows in a directory that is not moved meanwhile; None: it is gone."""
        for _ in range(_TRIES):
            mark = self.dir_moves.mark()
            names, found, gone = self._act(key, self.store.list)
            if self._stayed(key, names, mark):
                return None if gone else found
        raise FsError(Status.JUKEBOX, "moved again and again")

    def _merge(
        self, key: Key, listed: dict[bytes, Listed], rows: dict[bytes, Inode]
    ) -> dict[bytes, Entry]:
        entries: dict[bytes, Entry] = {}
        # What other calls need of the table comes between.
        for some in _in_turns(rows.values()):
            with self.mutex, self.table.transaction():
                for row in some:
                    entry = self._known_entry(row, listed.get(row.name))
                    if entry is not None:
                        entries[row.name] = entry
        for new in _in_turns([name for name in listed if name not in entries]):
            with self.mutex, self.table.transaction():
                for name, file in self.table.keys_of(key, new).items():
                    entries[name] = self._seen(file, listed[name], None)
        return entries

    def _known_entry(self, row: Inode, found: Listed | None) -> Entry | None:
        """A name that has a row, as the store has it now; None: it is not that file's any more."""
        node = Node.unpack(row.record)
        if found is not None and (node is None or node.type is found.type):
            return self._seen(row.key, found, node)
        if found is None and (type := self._ours(row.key, node)) is not None:
            return Entry(row.key, row.name, type, stored=False)
        self.forget(row.key)
        self.drop(row.key)
        return None

    def _ours(self, key: Key, node: Node | None) -> FileType | None:
        """What a file is that is there though the store does not show it; None: it is not."""
        if self.buffer.size(key.ino) is not None:
            return FileType.REG
        if node is not None:
            if node.type is FileType.LNK or (node.kept and self.store.flat):
                return node.type
            if node.type is FileType.REG:
                return None
        unsaved = sum(self._is_beneath(ident, key) for ident in self.buffer.idents())
        if not unsaved:
            return None
        path = b"/".join(self.table.names(key))
        log.warning("%r is gone from the store, with %d unsaved files beneath", path, unsaved)
        return FileType.DIR

    def _is_beneath(self, ident: int, dir: Key) -> bool:
        try:
            return self.table.is_beneath(Key(ident, self.table.generation), dir)
        except FsError:
            return False

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


def _result(result: T | None, gone: FileNotFoundError | None) -> T:
    if gone is not None:
        raise gone
    return result  # type: ignore[return-value]


def _in_turns(items: Iterable[T]) -> Iterator[list[T]]:
    """`MERGE_ROWS` at a time; other threads come between."""
    rest = iter(items)
    while some := list(islice(rest, MERGE_ROWS)):
        yield some
        time.sleep(0)


def _attr(key: Key, node: Node, size: int, used: int) -> Attr:
    ino, generation = key
    return Attr(
        ino, node.type, node.mode, 1, node.uid, node.gid, size, used,
        node.atime, node.mtime, node.ctime, generation,
    )  # fmt: skip
