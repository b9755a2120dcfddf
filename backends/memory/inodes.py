"""Inodes in memory: sparse files, directories whose cookies stay, symbolic links."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from backends.base import (
    Attr,
    Buffer,
    FileType,
    Key,
)

_BLOCK_BITS = 16
_BLOCK = 1 << _BLOCK_BITS
_EMPTY = bytearray()
FIRST_COOKIE = 3
#: Removed entries that a directory keeps before it looks whether they are most of its list.
_MIN_DEAD = 64


@dataclass(slots=True, eq=False)
class Node:
    """An inode. Whoever changes a field clears `cached`."""

    key: Key
    type: FileType
    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    ctime: int
    nlink: int = 1
    size: int = 0
    used: int = 0
    rdev: tuple[int, int] = (0, 0)
    cached: Attr | None = None

    def attr(self) -> Attr:
        """The attributes; the same object until something changes."""
        attr = self.cached
        if attr is None:
            ino, generation = self.key
            attr = self.cached = Attr(
                ino, self.type, self.mode, self.nlink, self.uid, self.gid, self.size, self.used,
                self.atime, self.mtime, self.ctime, generation, self.rdev,
            )  # fmt: skip
        return attr

    def changed(self, now: int) -> None:
        """Attributes changed."""
        self.ctime = now
        self.cached = None

    def modified(self, now: int) -> None:
        """Contents changed."""
        self.mtime = self.ctime = now
        self.cached = None

    def accessed(self, now: Callable[[], int]) -> None:
        """Contents were read: atime moves once per modification (like Linux's relatime), so that
        reading does not make new attributes each time."""
        if self.atime <= self.mtime:
            self.atime = now()
            self.cached = None


@dataclass(slots=True, eq=False)
class File(Node):
    """A regular file: blocks by index. A block may be short or missing; what it lacks is zero."""

    blocks: dict[int, bytearray] = field(default_factory=dict)
    #: The verifier of the EXCLUSIVE create that made the file, until its first SETATTR.
    verifier: bytes | None = None

    def growth(self, offset: int, length: int) -> int:
        """Bytes of storage that a write there would add."""
        blocks = self.blocks
        return sum(
            max(0, stop - len(blocks.get(index, b"")))
            for index, _, stop, _ in _pieces(offset, length)
        )

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Exactly `length` bytes, zeros in holes; the caller has cut `length` to the size."""
        index, start = offset >> _BLOCK_BITS, offset & _BLOCK - 1
        if start + length <= _BLOCK and (block := self.blocks.get(index)) is not None:
            piece = block[start : start + length]
            return piece if len(piece) == length else piece.ljust(length, b"\0")
        pieces: list[Buffer] = []
        for index, start, stop, _ in _pieces(offset, length):
            block = self.blocks.get(index, _EMPTY)
            if start or stop < len(block):
                pieces.append(memoryview(block)[start:stop])
                got = len(pieces[-1])
            else:
                pieces.append(block)
                got = len(block)
            if got < stop - start:
                pieces.append(bytes(stop - start - got))
        return b"".join(pieces)

    def overwrite(self, offset: int, data: Buffer) -> bool:
        """Copy `data` in if one block has all of those bytes already."""
        start = offset & _BLOCK - 1
        stop = start + len(data)
        block = self.blocks.get(offset >> _BLOCK_BITS)
        if block is None or stop > len(block):
            return False
        # An assignment to the bytearray itself would copy the data twice.
        memoryview(block)[start:stop] = data
        return True

    def write(self, offset: int, data: Buffer) -> None:
        """Copy `data` in; the caller has reserved `growth`."""
        length = len(data)
        with memoryview(data) as view:
            for index, start, stop, at in _pieces(offset, length):
                piece = view[at : at + stop - start]
                block = self.blocks.get(index)
                if block is None:
                    block = bytearray(piece) if not start else bytearray(start) + piece
                    self.blocks[index] = block
                    self.used += stop
                    continue
                old = len(block)
                if old >= stop:
                    memoryview(block)[start:stop] = piece
                    continue
                if old < start:
                    block.extend(bytes(start - old))
                block[start:stop] = piece
                self.used += len(block) - old
        self.size = max(self.size, offset + length)

    def truncate(self, size: int) -> int:
        """Set the size; gives the bytes of storage that became free."""
        old = self.used
        if size < self.size:
            last, rest = size >> _BLOCK_BITS, size & _BLOCK - 1
            if rest and (block := self.blocks.get(last)) is not None:
                self.used -= len(block[rest:])
                del block[rest:]
            # The blocks there are, not the indices there may be: files can be sparse and huge.
            keep = last + (rest > 0)
            for index in [index for index in self.blocks if index >= keep]:
                self.used -= len(self.blocks.pop(index))
        self.size = size
        return old - self.used


@dataclass(slots=True, eq=False)
class Entry:
    """A name. `node` becomes None when it is removed: listings still step over it."""

    name: bytes
    node: Node | None
    cookie: int


@dataclass(slots=True, eq=False)
class Dir(Node):
    """A directory. `order` holds the entries by rising cookie, removed ones too for a while."""

    #: None: the root.
    parent: Dir | None = None
    entries: dict[bytes, Entry] = field(default_factory=dict)
    order: list[Entry] = field(default_factory=list)
    next_cookie: int = FIRST_COOKIE

    def get(self, name: bytes) -> Node | None:
        entry = self.entries.get(name)
        return None if entry is None else entry.node

    def add(self, name: bytes, node: Node) -> None:
        entry = Entry(name, node, self.next_cookie)
        self.next_cookie += 1
        self.entries[name] = entry
        self.order.append(entry)
        if isinstance(node, Dir):
            node.parent = self
            self.nlink += 1

    def discard(self, name: bytes) -> None:
        entry = self.entries.pop(name)
        if isinstance(entry.node, Dir):
            self.nlink -= 1
        entry.node = None
        dead = len(self.order) - len(self.entries)
        if dead > _MIN_DEAD and dead > len(self.entries):
            # A new list: a listing that walks the old one notices.
            self.order = [entry for entry in self.order if entry.node is not None]

    def behind(self, cookie: int) -> Iterator[Entry]:
        """Entries with higher cookies, in order; the directory may change meanwhile."""
        order = self.order
        at = bisect_right(order, cookie, key=attrgetter("cookie"))
        while at < len(order):
            entry = order[at]
            at += 1
            if entry.node is not None:
                cookie = entry.cookie
                yield entry
                if order is not self.order:
                    order = self.order
                    at = bisect_right(order, cookie, key=attrgetter("cookie"))

    def is_beneath(self, other: Dir) -> bool:
        """Whether this is `other`, or in it at any depth."""
        at: Dir | None = self
        while at is not None and at is not other:
            at = at.parent
        return at is other


@dataclass(slots=True, eq=False)
class Symlink(Node):
    target: bytes = b""


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """(block index, start and stop in the block, position in the data) of each block touched."""
    at = 0
    while at < length:
        index, start = offset + at >> _BLOCK_BITS, offset + at & _BLOCK - 1
        stop = min(_BLOCK, start + length - at)
        yield index, start, stop, at
        at += stop - start
