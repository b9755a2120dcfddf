"""What is stored, as bytes: keys and values of inodes, names, counters.

==========================  ====================================================================
key                         value
==========================  ====================================================================
``F``                       the format, see `FORMAT`
``S``                       `State`: counters of the whole file system
``V``                       the write verifier, 8 bytes, and the `Engine.life` that it is for
``I`` inode                 `Inode`
``D`` directory, name       inode and cookie: finds a name
``C`` directory, cookie     inode and name: lists a directory
``O`` object                `Doomed`: blocks that are still to be deleted
==========================  ====================================================================

Numbers in keys have 8 bytes, big-endian, so that they sort. Data blocks are the engine's, under the
object that `Inode.data` names: the inode's number at first, another one after a truncation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from backends.base import Attr, FileType, FsError, Key, Status

#: Of what is written here. A file of a newer format is not opened.
FORMAT: Final = 1
FORMAT_KEY: Final = b"F"
STATE_KEY: Final = b"S"
VERIFIER_KEY: Final = b"V"

ROOT_INO: Final = 1
FIRST_COOKIE: Final = 3
#: What numbers of inodes, objects and cookies stay below: nothing counts so far.
MOST_NUMBER: Final = 1 << 62
#: What a directory says that it has, in bytes.
DIR_SIZE: Final = 4096

_PAIR = struct.Struct(">QQ")
_ONE = struct.Struct(">Q")
_STATE = struct.Struct(">QQQ")
_HEAD = struct.Struct(">BHIIIIQQQqqqII")
_DIR = struct.Struct(">QQQ")
_TYPES = {int(type): type for type in FileType}


def number_key(prefix: bytes, number: int) -> bytes:
    """The key of an inode (``I``) or an object (``O``)."""
    return prefix + number.to_bytes(8, "big")


def name_key(dir: int, name: bytes) -> bytes:
    """Where a name is found."""
    return b"D%b%b" % (dir.to_bytes(8, "big"), name)


def cookie_key(dir: int, cookie: int) -> bytes:
    """Where a name is listed."""
    return b"C" + _PAIR.pack(dir, cookie)


def number_of(key: bytes) -> int:
    """The (first) number in a key."""
    return int.from_bytes(key[1:9], "big")


class Entry(NamedTuple):
    """What a name stands for."""

    ino: int
    cookie: int

    def encode(self) -> bytes:
        """The value of a `name_key`."""
        return _PAIR.pack(*self)

    @classmethod
    def decode(cls, value: bytes) -> Entry:
        """Raises `FsError` IO for what is none."""
        if len(value) != _PAIR.size:
            raise damaged("a directory entry")
        return cls(*_PAIR.unpack(value))


def encode_listed(ino: int, name: bytes) -> bytes:
    """The value of a `cookie_key`."""
    return ino.to_bytes(8, "big") + name


def decode_listed(value: bytes) -> tuple[int, bytes]:
    """Inode and name. Raises `FsError` IO for what is none."""
    if len(value) <= _ONE.size:
        raise damaged("a directory's list")
    return int.from_bytes(value[:8], "big"), value[8:]


class Doomed(NamedTuple):
    """Blocks of an object that do not count any more, from number `first` on.

    `owner` is the inode that has the object still, having been cut; 0: none has.
    """

    first: int
    owner: int

    def encode(self) -> bytes:
        """The value of an ``O`` key."""
        return _PAIR.pack(*self)

    @classmethod
    def decode(cls, value: bytes) -> Doomed:
        """Raises `FsError` IO for what is none."""
        if len(value) != _PAIR.size:
            raise damaged("a record of doomed blocks")
        return cls(*_PAIR.unpack(value))


@dataclass(slots=True)
class State:
    """Counters: `next` is the number of the next inode or object, `used` are bytes of file data
    and link targets."""

    next: int = ROOT_INO + 1
    inodes: int = 0
    used: int = 0

    def copy(self) -> State:
        """One to change."""
        return State(self.next, self.inodes, self.used)

    def encode(self) -> bytes:
        """The value of `STATE_KEY`."""
        return _STATE.pack(self.next, self.inodes, self.used)

    @classmethod
    def decode(cls, value: bytes) -> State:
        """Raises `FsError` IO for what is none."""
        if len(value) != _STATE.size:
            raise damaged("the counters")
        return cls(*_STATE.unpack(value))


@dataclass(slots=True, eq=False)
class Inode:
    """An inode. What transactions share of it is never changed: they change copies."""

    ino: int
    type: FileType
    mode: int
    uid: int
    gid: int
    generation: int
    atime: int
    mtime: int
    ctime: int
    nlink: int = 1
    size: int = 0
    #: Bytes of all blocks, doomed ones that are there still too; of a link's target.
    used: int = 0
    rdev: tuple[int, int] = (0, 0)
    #: The object that has the blocks of a REG.
    data: int = 0
    #: The verifier of the EXCLUSIVE create that made a REG, until its first SETATTR.
    verifier: bytes = b""
    #: Of a LNK.
    target: bytes = b""
    #: Of a DIR: the directory above (the root's is the root), the next name's cookie, names.
    parent: int = 0
    next_cookie: int = FIRST_COOKIE
    entries: int = 0
    cached: Attr | None = None

    @property
    def key(self) -> Key:
        """What names it to the server."""
        return Key(self.ino, self.generation)

    def attr(self) -> Attr:
        """The attributes; the same object until something changes."""
        attr = self.cached
        if attr is None:
            times = self.atime, self.mtime, self.ctime
            attr = self.cached = Attr(
                self.ino, self.type, self.mode, self.nlink, self.uid, self.gid, self.size,
                self.used, *times, self.generation, self.rdev,
            )  # fmt: skip
        return attr

    def copy(self) -> Inode:
        """One to change."""
        # By hand: `dataclasses.replace` takes eight times as long.
        return Inode(
            self.ino, self.type, self.mode, self.uid, self.gid, self.generation, self.atime,
            self.mtime, self.ctime, self.nlink, self.size, self.used, self.rdev, self.data,
            self.verifier, self.target, self.parent, self.next_cookie, self.entries,
        )  # fmt: skip

    def changed(self, now: int) -> None:
        """Attributes changed. The time moves on though the clock went back."""
        self.ctime = max(now, self.ctime + 1)

    def modified(self, now: int) -> None:
        """Contents changed."""
        self.changed(now)
        self.mtime = self.ctime

    def encode(self) -> bytes:
        """The value of an ``I`` key."""
        head = _HEAD.pack(
            self.type, self.mode, self.nlink, self.uid, self.gid, self.generation, self.size,
            self.used, self.data, self.atime, self.mtime, self.ctime, *self.rdev,
        )  # fmt: skip
        if self.type is FileType.DIR:
            return head + _DIR.pack(self.parent, self.next_cookie, self.entries)
        return head + (self.target if self.type is FileType.LNK else self.verifier)

    @classmethod
    def decode(cls, ino: int, value: bytes) -> Inode:
        """Raises `FsError` IO for what is none."""
        tail = value[_HEAD.size :]
        if len(value) < _HEAD.size or value[0] not in _TYPES:
            raise damaged(f"inode {ino}")
        (type, mode, nlink, uid, gid, generation, size, used, data, atime, mtime, ctime, *rdev) = (
            _HEAD.unpack_from(value)
        )
        node = cls(
            ino, _TYPES[type], mode, uid, gid, generation, atime, mtime, ctime, nlink, size, used,
            (rdev[0], rdev[1]), data,
        )  # fmt: skip
        if node.type is FileType.DIR:
            if len(tail) != _DIR.size:
                raise damaged(f"directory {ino}")
            node.parent, node.next_cookie, node.entries = _DIR.unpack(tail)
        elif node.type is FileType.LNK:
            node.target = tail
        elif len(tail) in (0, 8):
            node.verifier = tail
        else:
            raise damaged(f"inode {ino}")
        return node


def damaged(what: str) -> FsError:
    """What is raised for a record that cannot be read: `fsck` tells more."""
    return FsError(Status.IO, f"{what} is damaged")
