"""What the store keeps no place for, as the record of an inode: pure."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from backends.base import FileType

_HEAD: Final = struct.Struct("<BBBHIIqqqQ8sH")
_KEPT, _HAS_VERIFIER = 1, 2
_VERSION: Final = 1


class Node(NamedTuple):
    """A file's attributes beside its data. Times in nanoseconds since 1970."""

    type: FileType
    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    ctime: int
    #: Of a directory: its names, added up; so it is seen when others change it.
    digest: int = 0
    #: Of a directory: it is there although the store, which has none, does not show it.
    kept: bool = False
    #: Of the EXCLUSIVE create that made the file, until its first SETATTR.
    verifier: bytes | None = None
    #: The version of the store's object that the times belong to; empty: not known.
    token: str = ""
    #: Of a symbolic link.
    target: bytes = b""

    def pack(self) -> bytes:
        """The record."""
        flags = _KEPT * self.kept | _HAS_VERIFIER * (self.verifier is not None)
        token = self.token.encode()
        head = _HEAD.pack(
            _VERSION, self.type, flags, self.mode, self.uid, self.gid,
            self.atime, self.mtime, self.ctime, self.digest, self.verifier or b"", len(token),
        )  # fmt: skip
        return head + token + self.target

    @classmethod
    def unpack(cls, record: bytes) -> Node | None:
        """What `pack` gave; None for no record."""
        if not record:
            return None
        _, type, flags, mode, uid, gid, atime, mtime, ctime, digest, verifier, length = (
            _HEAD.unpack_from(record)
        )
        end = _HEAD.size + length
        return cls(
            FileType(type), mode, uid, gid, atime, mtime, ctime, digest, bool(flags & _KEPT),
            verifier if flags & _HAS_VERIFIER else None,
            record[_HEAD.size : end].decode(), record[end:],
        )  # fmt: skip
