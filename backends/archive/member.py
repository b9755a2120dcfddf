"""What an archive says of one entry, in the same words for all formats."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from backends.archive.tree import Tree
from backends.base import FileType

#: What fattr3 can hold (RFC 1813 section 2.5), as `Limits` says it; and, in nanoseconds since 1970,
#: a time that is late enough.
SIZE_MAX_BYTES: Final = 2**63 - 1
RDEV_MAX: Final = 2**32 - 1
TIME_MAX: Final = 2**35 * 10**9
TOO_LARGE: Final = f"with more than {SIZE_MAX_BYTES} bytes"

#: How a member's bytes are stored.
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14

TYPES = {
    stat.S_IFREG: FileType.REG,
    stat.S_IFDIR: FileType.DIR,
    stat.S_IFLNK: FileType.LNK,
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFCHR: FileType.CHR,
    stat.S_IFBLK: FileType.BLK,
    stat.S_IFSOCK: FileType.SOCK,
}


@dataclass(slots=True)
class Member:
    """The attributes of an entry; times in nanoseconds, sizes in bytes; None: it does not say.

    Whether it is a directory is the `Tree`'s to know.
    """

    type: FileType
    mode: int | None
    size: int
    mtime: int
    uid: int | None = None
    gid: int | None = None
    rdev: tuple[int, int] = (0, 0)


class Extent(NamedTuple):
    """A run of a file's bytes in the archive: where in the file, where in the archive, how long."""

    offset: int
    position: int
    length: int


@dataclass(slots=True)
class Packed:
    """Where a member's bytes are, and how."""

    method: int
    position: int
    packed_size: int
    size: int
    crc: int


class Index(Protocol):
    """An archive that has been read: `tree` numbers its entries, which the methods take."""

    @property
    def tree(self) -> Tree: ...

    @property
    def identity(self) -> bytes:
        """16 bytes, others for another archive."""

    def member(self, number: int) -> Member:
        """The attributes of an entry."""

    def notes(self) -> list[str]:
        """What the administrator should know, a line each."""
