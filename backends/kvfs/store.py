"""Transactions of the file system: inodes through a cache, names, and blocks that go later."""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from backends.base import FileType, FsError, Key, Status
from backends.kvfs.engine import Engine, Transaction, after
from backends.kvfs.records import (
    FORMAT,
    FORMAT_KEY,
    STATE_KEY,
    VERIFIER_KEY,
    Doomed,
    Entry,
    Inode,
    State,
    cookie_key,
    damaged,
    decode_listed,
    encode_listed,
    name_key,
    number_key,
    number_of,
)

#: Inodes that are kept decoded: about 1 KiB each, 5 KiB where it is a link with a long target.
CACHE_INODES: Final = 8192
#: Blocks that one transaction deletes at most; what is left of a file goes with later ones.
STEP_BLOCKS: Final = 128
#: Blocks that are deleted before a client is asked for patience, when it writes to a file whose
#: tail was cut off and is still there.
WAY_BLOCKS: Final = 32 << 10
#: Blocks that are deleted when the file system starts and stops.
REST_BLOCKS: Final = 4096

_FORMAT = struct.Struct(">4sHI")
_MAGIC = b"nfsl"


class Store:
    """An engine with a file system in it, and what is kept of it in memory."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.state = State()
        #: Whether there are blocks that are to be deleted.
        self.doomed = False
        self._inodes: OrderedDict[int, Inode] = OrderedDict()

    def open(self, root: Inode) -> None:
        """Open the engine, and put `root` in it if it is new. Raises OSError, `FsError`."""
        self.engine.open()
        try:
            self._open(root)
        except BaseException:
            self.engine.close()
            raise
        with suppress(OSError, FsError):  # later, then
            self.reclaim(REST_BLOCKS)

    def _open(self, root: Inode) -> None:
        form = _FORMAT.pack(_MAGIC, FORMAT, self.engine.block_bytes)
        tx = self.engine.begin(write=False)
        try:
            found = tx.get(FORMAT_KEY)
        finally:
            tx.abort()
        if found is None:
            self.state = State()
            with self.changing(sync=True) as view:
                view.tx.put(FORMAT_KEY, form)
                view.add(root)
        elif found != form:
            raise OSError(_misfit(found, self.engine.block_bytes))
        self.reload()

    def reload(self) -> None:
        """Forget what is kept in memory, and read the counters again."""
        self._inodes.clear()
        with self.reading() as view:
            value = view.tx.get(STATE_KEY)
            self.state = count(view) if value is None else State.decode(value)
            self.doomed = any(True for _ in view.tx.scan(b"O", after(b"O")))

    def close(self) -> None:
        """Delete some of what is to be deleted, and close the engine. Raises OSError."""
        try:
            with suppress(OSError, FsError):
                self.reclaim(REST_BLOCKS)
        finally:
            self._inodes.clear()
            self.engine.close()

    @contextmanager
    def reading(self) -> Iterator[View]:
        """A transaction that changes nothing."""
        tx = self.engine.begin(write=False)
        try:
            yield View(self, tx, self.state)
        finally:
            tx.abort()

    @contextmanager
    def changing(self, sync: bool = False) -> Iterator[View]:
        """A transaction that is committed at the end, or leaves no trace if there is an error.

        Behind it, some of what is doomed is deleted.
        """
        with self._changing(sync) as view:
            yield view
        if self.doomed:
            with suppress(OSError, FsError):  # it was no part of what was asked for
                self.reclaim(STEP_BLOCKS)

    @contextmanager
    def _changing(self, sync: bool = False) -> Iterator[View]:
        tx = self.engine.begin(write=True, sync=sync)
        view = View(self, tx, self.state.copy())
        try:
            yield view
            view.write_back()
        except BaseException:
            tx.abort()
            raise
        tx.commit()
        self.state = view.state
        self.doomed = self.doomed or view.dooms
        for ino, node in view.changed.items():
            if node is None:
                self._inodes.pop(ino, None)
            else:
                self.keep(node)

    def reclaim(self, blocks: int) -> None:
        """Delete so many doomed blocks, in several transactions. Raises OSError."""
        while self.doomed and blocks > 0:
            with self._changing() as view:
                found = next(view.doomed(), None)
                if found is not None:
                    view.reclaim(*found)
            self.doomed = found is not None
            blocks -= STEP_BLOCKS

    def clear(self, object: int) -> bool:
        """Delete doomed blocks of one object; False if some are left. Raises OSError."""
        for _ in range(WAY_BLOCKS // STEP_BLOCKS):
            with self._changing() as view:
                what = view.doomed_of(object)
                if what is None:
                    return True
                view.reclaim(object, what)
        return False

    def cached(self, ino: int) -> Inode | None:
        """An inode that is in memory."""
        node = self._inodes.get(ino)
        if node is not None:
            self._inodes.move_to_end(ino)
        return node

    def keep(self, node: Inode) -> None:
        """Have an inode in memory."""
        self._inodes[node.ino] = node
        self._inodes.move_to_end(node.ino)
        if len(self._inodes) > CACHE_INODES:
            self._inodes.popitem(last=False)

    def verifier(self) -> bytes:
        """The write verifier, another one if data may have been lost since it was stored. Raises
        OSError."""
        life = self.engine.life()
        with self.reading() as view:
            stored = view.tx.get(VERIFIER_KEY)
        if stored is not None and stored[8:] == life:
            return stored[:8]
        new = os.urandom(8)
        with self.changing() as view:
            view.tx.put(VERIFIER_KEY, new + life)
        return new


class View:
    """The file system as one transaction sees it."""

    def __init__(self, store: Store, tx: Transaction, state: State) -> None:
        self._store = store
        self.tx = tx
        self.state = state
        #: Inodes that are changed, None: removed.
        self.changed: dict[int, Inode | None] = {}
        #: Whether blocks were left for later transactions.
        self.dooms = False

    # Inodes

    def load(self, ino: int) -> Inode | None:
        """The inode of that number."""
        if ino in self.changed:
            return self.changed[ino]
        node = self._store.cached(ino)
        if node is None:
            value = self.tx.get(number_key(b"I", ino))
            if value is not None:
                node = Inode.decode(ino, value)
                self._store.keep(node)
        return node

    def inode(self, key: Key) -> Inode:
        """The inode of that key. Raises STALE."""
        node = self.load(key.ino)
        if node is None or node.generation != key.generation:
            raise FsError(Status.STALE)
        return node

    def inode_of(self, ino: int) -> Inode:
        """The inode that a record names. Raises IO if there is none."""
        node = self.load(ino)
        if node is None:
            raise damaged(f"what names inode {ino}")
        return node

    def number(self) -> int:
        """A number that no inode and no object ever had."""
        number = self.state.next
        self.state.next += 1
        return number

    def add(self, node: Inode) -> None:
        """A new inode."""
        self.state.inodes += 1
        self.state.used += node.used
        self.changed[node.ino] = node

    def change(self, node: Inode) -> Inode:
        """One to change in the place of `node`; twice gives the same."""
        new = self.changed.get(node.ino)
        if new is None:
            new = self.changed[node.ino] = node.copy()
        return new

    def write_back(self) -> None:
        """Put what was changed."""
        for ino, node in self.changed.items():
            if node is None:
                self.tx.delete(number_key(b"I", ino))
            else:
                node.cached = None
                self.tx.put(number_key(b"I", ino), node.encode())
        if self.state != self._store.state:
            self.tx.put(STATE_KEY, self.state.encode())

    # Names

    def find(self, dir: Inode, name: bytes) -> Entry | None:
        """What `name` stands for."""
        value = self.tx.get(name_key(dir.ino, name))
        return None if value is None else Entry.decode(value)

    def child(self, dir: Inode, name: bytes) -> Inode | None:
        """The inode that `name` stands for."""
        entry = self.find(dir, name)
        return None if entry is None else self.inode_of(entry.ino)

    def listed(self, dir: Inode, cookie: int) -> Iterator[tuple[int, int, bytes]]:
        """(cookie, inode, name) of the names behind a cookie, in order."""
        scan = self.tx.scan(cookie_key(dir.ino, cookie + 1), cookie_key(dir.ino + 1, 0))
        for key, value in scan:
            yield int.from_bytes(key[9:], "big"), *decode_listed(value)

    def enter(self, dir: Inode, name: bytes, node: Inode) -> None:
        """Give `node` a name in `dir`; both are copies to change."""
        cookie = dir.next_cookie
        dir.next_cookie += 1
        dir.entries += 1
        self.tx.put(name_key(dir.ino, name), Entry(node.ino, cookie).encode())
        self.tx.put(cookie_key(dir.ino, cookie), encode_listed(node.ino, name))
        if node.type is FileType.DIR:
            node.parent = dir.ino
            dir.nlink += 1

    def leave(self, dir: Inode, name: bytes, node: Inode) -> None:
        """Take the name away."""
        entry = self.find(dir, name)
        if entry is None:
            raise damaged(f"directory {dir.ino}")
        self.tx.delete(name_key(dir.ino, name))
        self.tx.delete(cookie_key(dir.ino, entry.cookie))
        dir.entries -= 1
        if node.type is FileType.DIR:
            dir.nlink -= 1

    def is_beneath(self, dir: Inode, other: Inode) -> bool:
        """Whether `dir` is `other`, or in it at any depth."""
        seen: set[int] = set()  # damage can make a loop
        while dir.ino != other.ino and dir.ino not in seen:
            seen.add(dir.ino)
            dir = self.inode_of(dir.parent)
        return dir.ino == other.ino

    def drop(self, node: Inode) -> None:
        """Remove an inode that has no name any more, with its data."""
        self.changed[node.ino] = None
        self.state.inodes -= 1
        self.state.used -= node.used
        if node.used and node.type is FileType.REG:
            self.doom(node.data, 0, owner=0)

    # Blocks that go later

    def doom(self, object: int, first: int, owner: int) -> bool:
        """Delete an object's blocks from `first` on, now if they are few: whether all are gone.

        `owner` is the inode whose `used` shrinks with each that goes, now or later; 0: none.
        """
        key = number_key(b"O", object)
        if self._delete(object, first, owner):
            if self._store.doomed:
                self.tx.delete(key)
            return True
        # What was doomed before lies behind `first`: nothing grows before that is gone.
        self.tx.put(key, Doomed(first, owner).encode())
        self.dooms = True
        return False

    def doomed(self) -> Iterator[tuple[int, Doomed]]:
        """(object, what of it) of all that is to be deleted."""
        for key, value in self.tx.scan(b"O", after(b"O")):
            yield number_of(key), Doomed.decode(value)

    def doomed_of(self, object: int) -> Doomed | None:
        """What of an object is to be deleted."""
        value = self.tx.get(number_key(b"O", object))
        return None if value is None else Doomed.decode(value)

    def reclaim(self, object: int, what: Doomed) -> None:
        """Delete some of it."""
        if self._delete(object, *what):
            self.tx.delete(number_key(b"O", object))

    def _delete(self, object: int, first: int, owner: int) -> bool:
        count, length = self.tx.blocks.delete(object, first, STEP_BLOCKS)
        node = self.load(owner) if owner else None
        if node is not None:
            self.change(node).used -= length
            self.state.used -= length
        return count < STEP_BLOCKS


def count(view: View) -> State:
    """The counters, from all inodes; unreadable ones count as having nothing.

    Blocks that nobody has are damage, too, and must not become those of a new file.
    """
    state = State()
    for key, value in view.tx.scan(b"I", after(b"I")):
        ino = number_of(key)
        state.next = max(state.next, ino + 1)
        with suppress(FsError):
            node = Inode.decode(ino, value)
            state.next = max(state.next, node.data + 1)
            state.inodes += 1
            state.used += node.used
    for object, _ in view.doomed():
        state.next = max(state.next, object + 1)
    state.next = max(state.next, 1 + max(view.tx.blocks.objects(0), default=0))
    return state


def _misfit(found: bytes, block_bytes: int) -> str:
    if len(found) != _FORMAT.size or found[:4] != _MAGIC:
        return "it has no file system of nfsloop in it"
    _, number, block = _FORMAT.unpack(found)
    if number != FORMAT:
        return f"its format is {number}; this version knows {FORMAT}"
    return f"it has blocks of {block} bytes; the engine has {block_bytes}"
