"""A file in use.

A `Node` holds an O_PATH descriptor, so the inode behind it cannot go away and its number cannot be
given to another file while the node is known. Hence finding a name's inode number among the nodes
proves that it is the same file, with one system call in all.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from backends.base import Attr, Context, FileType

if TYPE_CHECKING:
    from .descriptors import Descriptor

_TYPES = {
    stat.S_IFREG >> 12: FileType.REG,
    stat.S_IFDIR >> 12: FileType.DIR,
    stat.S_IFBLK >> 12: FileType.BLK,
    stat.S_IFCHR >> 12: FileType.CHR,
    stat.S_IFLNK >> 12: FileType.LNK,
    stat.S_IFSOCK >> 12: FileType.SOCK,
    stat.S_IFIFO >> 12: FileType.FIFO,
}
_DEVICES = (FileType.BLK, FileType.CHR)
#: After so many values that cannot go yet, a `SecondChance` gives up until it is used again.
REFUSALS: Final = 64


def attr_of(st: os.stat_result, ino: int, generation: int) -> Attr:
    """What stat(2) says, as an `Attr`."""
    mode, _, _, nlink, uid, gid, size, _, _, _ = st
    type = _TYPES[mode >> 12]
    attr = Attr(
        ino,
        type,
        mode & 0o7777,
        nlink,
        uid,
        gid,
        size,
        st.st_blocks << 9,
        st.st_atime_ns,
        st.st_mtime_ns,
        st.st_ctime_ns,
        generation,
    )
    if type is not FileType.REG and type in _DEVICES:
        attr.rdev = (os.major(st.st_rdev), os.minor(st.st_rdev))
    return attr


class Node:
    """A file that the server knows: pinned, with its attributes as of the last look."""

    __slots__ = (
        "attr",
        "desc",
        "directory",
        "fd",
        "foreign",
        "generation",
        "hot",
        "ino",
        "names",
        "perms",
        "settled",
        "st",
        "type",
    )

    def __init__(self, fd: int, ino: int, generation: int, st: os.stat_result) -> None:
        #: An O_PATH descriptor; of a new file at first the one through which data are read and
        #: written (see `Descriptors.put`). -1: the node has been let go.
        self.fd = fd
        self.ino = ino
        self.generation = generation
        self.st = st
        self.attr = attr_of(st, ino, generation)
        self.type = self.attr.type
        self.directory = self.type is FileType.DIR
        self.hot = True
        #: The descriptor through which data are read and written, if one is open.
        self.desc: Descriptor | None = None
        #: R_OK, W_OK, X_OK of those who asked, as long as owner, mode and ctime are the same.
        self.perms: dict[Context, int] = {}
        #: (parent, name) pairs that the index has.
        self.names: set[tuple[int, bytes]] = set()
        #: It was found on another mount than the root's, perhaps of the same file system.
        self.foreign = False
        #: The generation will not change its looks any more (see `Nodes.copied_up`).
        self.settled = False

    @property
    def path(self) -> bytes:
        """The file itself, for system calls that take a path: follows to nothing else."""
        return b"/proc/self/fd/%d" % self.fd

    @property
    def what(self) -> bytes | int:
        """For chown, chmod and utimens: a descriptor for data if one is open, which is quicker."""
        return self.path if self.desc is None else self.desc.fd

    def update(self, st: os.stat_result) -> Attr:
        """The attributes after a stat(2): the same object as before if nothing has changed."""
        old, attr = self.st, self.attr
        if (
            st == old  # mode, ino, dev, nlink, uid, gid, size and the times' seconds
            and st.st_ctime_ns == attr.ctime
            and st.st_mtime_ns == attr.mtime
            and st.st_atime_ns == attr.atime
            and st.st_blocks == old.st_blocks
        ):
            return attr
        return self.renew(st)

    def renew(self, st: os.stat_result) -> Attr:
        """`update` after a change."""
        old, attr = self.st, self.attr
        self.st = st
        if self.perms and (
            st.st_ctime_ns != attr.ctime
            or st.st_mode != old.st_mode
            or st.st_uid != old.st_uid
            or st.st_gid != old.st_gid
        ):
            self.perms = {}
        self.attr = attr_of(st, self.ino, self.generation)
        return self.attr

    def __repr__(self) -> str:
        return f"<Node {self.ino}.{self.generation} fd {self.fd}>"


class _Used(Protocol):
    hot: bool


V = TypeVar("V", bound=_Used)


class SecondChance(Generic[V]):
    """A bounded table by inode number. A hit sets `hot` and moves nothing; the oldest that was not
    hit since it was last looked at goes first."""

    def __init__(self, limit: int, drop: Callable[[V], bool]) -> None:
        self.limit = limit
        self.table: OrderedDict[int, V] = OrderedDict()
        #: Lets go of a value; False: not now.
        self._drop = drop

    def put(self, ino: int, value: V) -> None:
        """Add a value; older ones go if there are too many."""
        if len(self.table) >= self.limit:
            self.shrink(self.limit - 1)
        self.table[ino] = value

    def shrink(self, size: int) -> None:
        """Drop values until `size` are left (or all have had their second chance, or too many
        cannot go now)."""
        table = self.table
        refused = 0
        for _ in range(2 * len(table)):
            if len(table) <= size:
                break
            ino, value = table.popitem(last=False)
            if value.hot:
                value.hot = False
                table[ino] = value
            elif not self._drop(value):
                table[ino] = value
                refused += 1
                if refused >= REFUSALS:
                    break
