"""The central directory of a zip file (PKWARE APPNOTE.TXT, section 4.3).

It is kept as it is in the file, some hundred bytes for each entry; only names and types are looked
at when the archive is opened. An entry's number is the position of its record. The standard
library's `zipfile` makes an object of each entry, gives names as text that has been decoded one way
or another, and ends them at a NUL.
"""

from __future__ import annotations

import os
import stat
import time
import zlib
from collections import Counter
from hashlib import blake2b
from struct import Struct, error, unpack_from
from typing import Final

from backends.archive.member import (
    BZIP2,
    DEFLATED,
    LZMA,
    SIZE_MAX_BYTES,
    STORED,
    TOO_LARGE,
    TYPES,
    Member,
    Packed,
)
from backends.archive.tree import BadArchiveError, Tree
from backends.base import Buffer, FileType, FsError, Status

_END: Final = Struct("<4s4H2LH")
_END64_LOCATOR: Final = Struct("<4sLQL")
_END64: Final = Struct("<4sQ2H2L4Q")
_RECORD: Final = Struct("<4s6H3L5H2L")
_LOCAL: Final = Struct("<4s5H3L2H")
LOCAL_BYTES: Final = _LOCAL.size
_COMMENT_BYTES: Final = 0xFFFF
#: A central directory is held in memory; one that is larger is refused.
_DIRECTORY_BYTES: Final = 1 << 30
#: A symbolic link's target is read into memory.
_TARGET_BYTES: Final = 4095

_ENCRYPTED, _UTF8 = 0x1, 0x800
#: "Version made by", upper byte: hosts whose names may have backslashes for slashes.
_DOS_HOSTS: Final = frozenset((0, 6, 10, 11, 14))
_UNIX_HOSTS: Final = frozenset((3, 19))
#: Methods that are not supported and are told of by number.
_TOLD_METHODS: Final = 8
METHODS: Final = frozenset((STORED, DEFLATED, BZIP2, LZMA))


class ZipIndex:
    """The entries of the zip file that `fd` reads. Raises BadArchiveError, OSError."""

    def __init__(self, fd: int, max_files: int) -> None:
        self.tree = Tree(max_files)
        size = os.fstat(fd).st_size
        #: The file's bytes before the archive: a program that unpacks it, say.
        self._shift, start, length = _find_directory(fd, size)
        self._directory = _pread(fd, start, length)
        digest = blake2b(self._directory, digest_size=16)
        digest.update(size.to_bytes(8, "little"))
        self.identity = digest.digest()
        #: Where records say that a size or offset is in the extra field (Zip64).
        self._end = start
        self._counts: Counter[str] = Counter()
        try:
            self._read()
        except error:
            raise BadArchiveError("its central directory is damaged") from None
        self.tree.finish()

    def _read(self) -> None:
        directory, unpack, header = self._directory, _RECORD.unpack_from, _RECORD.size
        add, at, end = self.tree.add, 0, len(self._directory)
        while at < end:
            record = unpack(directory, at)
            if record[0] != b"PK\1\2":
                raise BadArchiveError(f"its central directory is damaged at byte {at}")
            after = at + header
            name = directory[after : after + record[10]]
            host, flags, method, external = record[1] >> 8, record[3], record[4], record[15]
            if not (flags & _UTF8 or name.isascii()):
                name = self._name(name, host, after + record[10], record[11])
            if b"\\" in name and b"/" not in name and host in _DOS_HOSTS:
                name = name.replace(b"\\", b"/")
            kind = stat.S_IFMT(external >> 16)
            is_dir = kind == stat.S_IFDIR or (kind == 0 and external & 0x10 and host in _DOS_HOSTS)
            if kind and kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                self.tree.left_out["that are devices, fifos or sockets"] += 1
            elif kind == stat.S_IFLNK and record[9] > _TARGET_BYTES:
                self.tree.left_out[f"that are links of over {_TARGET_BYTES} bytes"] += 1
            elif record[9] == 0xFFFFFFFF and self._wide(record, after)[0] > SIZE_MAX_BYTES:
                self.tree.left_out[TOO_LARGE] += 1
            else:
                if flags & _ENCRYPTED:
                    self._counts["encrypted: reading them is refused with ACCES"] += 1
                elif method not in METHODS:
                    which = f"by method {method}"
                    which = which if len(self._counts) < _TOLD_METHODS else "by other methods"
                    self._counts[f"compressed {which}: reading them fails with IO"] += 1
                add(name, bool(is_dir), at)
            at = after + record[10] + record[11] + record[12]
        if at != end:
            raise BadArchiveError("its central directory is cut short")

    def _name(self, name: bytes, host: int, at: int, length: int) -> bytes:
        """A name that is not marked as UTF-8, as bytes of UTF-8 if that can be known."""
        extra = self._extra(at, length).get(0x7075, b"")
        if len(extra) > 5 and extra[0] == 1 and unpack_from("<L", extra, 1)[0] == zlib.crc32(name):
            return extra[5:]
        # Unix programs store the name as the file system had it; the others, code page 437.
        return name if host in _UNIX_HOSTS else name.decode("cp437").encode()

    def _extra(self, at: int, length: int) -> dict[int, bytes]:
        """The extra fields of a record by their numbers; what is damaged is left out."""
        fields: dict[int, bytes] = {}
        end = min(at + length, len(self._directory))
        while at + 4 <= end:
            number, size = unpack_from("<2H", self._directory, at)
            fields.setdefault(number, self._directory[at + 4 : min(at + 4 + size, end)])
            at += 4 + size
        return fields

    def _sizes(self, record: tuple[int, ...], extra: dict[int, bytes]) -> tuple[int, int, int]:
        """Size, packed size and position of the local header (section 4.5.3)."""
        values = [record[9], record[8], record[16]]
        wide = extra.get(0x0001, b"")
        for which, value in enumerate(values):
            if value == 0xFFFFFFFF and len(wide) >= 8:
                values[which], wide = int.from_bytes(wide[:8], "little"), wide[8:]
        return values[0], values[1], values[2]

    def _wide(self, record: tuple[int, ...], at: int) -> tuple[int, int, int]:
        """`_sizes` of a record whose name begins at `at`."""
        return self._sizes(record, self._extra(at + record[10], record[11]))

    def member(self, number: int) -> Member:
        """The attributes of an entry."""
        record = _RECORD.unpack_from(self._directory, number)
        extra = self._extra(number + _RECORD.size + record[10], record[11])
        mode = record[15] >> 16
        uid, gid = _owner(extra.get(0x7875, b""))
        return Member(
            TYPES.get(stat.S_IFMT(mode), FileType.REG),
            stat.S_IMODE(mode) if mode else None,
            self._sizes(record, extra)[0],
            _mtime(record[5], record[6], extra),
            uid,
            gid,
        )

    def local(self, number: int) -> int:
        """Where an entry's local header is, of `LOCAL_BYTES`. Raises ACCES if it is encrypted, IO.

        Nothing is read here: that may have to wait for a disk.
        """
        record = _RECORD.unpack_from(self._directory, number)
        if record[3] & _ENCRYPTED:
            raise FsError(Status.ACCES, "the member is encrypted")
        if record[4] not in METHODS:
            raise FsError(Status.IO, f"compression method {record[4]} is not supported")
        position = self._wide(record, number + _RECORD.size)[2] + self._shift
        if position + LOCAL_BYTES > self._end:
            raise FsError(Status.IO, f"no local header at byte {position}")
        return position

    def packed(self, number: int, local: Buffer) -> Packed:
        """Where an entry's bytes are, from its local header. Raises IO."""
        record = _RECORD.unpack_from(self._directory, number)
        size, packed_size, position = self._wide(record, number + _RECORD.size)
        position += self._shift
        fields = _LOCAL.unpack(local)
        if fields[0] != b"PK\3\4":
            raise FsError(Status.IO, f"no local header at byte {position}")
        position += LOCAL_BYTES + fields[9] + fields[10]
        if position + packed_size > self._end or (record[4] == STORED and size != packed_size):
            raise FsError(Status.IO, "the member's sizes are wrong")
        return Packed(record[4], position, packed_size, size, record[7])

    def notes(self) -> list[str]:
        """What cannot be read, counted."""
        return [f"{count} entries are {what}" for what, count in self._counts.items()]


def _pread(fd: int, position: int, count: int) -> bytes:
    """`count` bytes, fewer only at the end of the file."""
    try:
        data = os.pread(fd, count, position)
        while 0 < len(data) < count:
            more = os.pread(fd, count - len(data), position + len(data))
            if not more:
                break
            data += more
    except (ValueError, OverflowError):
        return b""
    return data


def _find_directory(fd: int, size: int) -> tuple[int, int, int]:
    """(shift, position in the file, length) of the central directory."""
    tail = min(size, _END.size + _COMMENT_BYTES)
    data = _pread(fd, size - tail, tail)
    at = data.rfind(b"PK\5\6", 0, len(data) - _END.size + 4)
    if at < 0:
        what = "it is empty" if not size else "it has no central directory, or is cut short"
        raise BadArchiveError(f"this is no zip file: {what}")
    _, disk, _, _, _, length, start, _ = _END.unpack_from(data, at)
    end = size - tail + at
    locator = _pread(fd, end - _END64_LOCATOR.size, _END64_LOCATOR.size) if end >= 20 else b""
    if locator.startswith(b"PK\6\7"):
        end64 = _find_end64(fd, end - _END64_LOCATOR.size, _END64_LOCATOR.unpack(locator)[2])
        _, _, _, _, disk, _, _, _, length, start = _END64.unpack(_pread(fd, end64, _END64.size))
        end = end64
    if disk:
        raise BadArchiveError("it is one of several parts, which are not supported")
    shift = end - length - start
    if shift < 0:
        raise BadArchiveError("its central directory is not where it should be")
    if length > _DIRECTORY_BYTES:
        raise BadArchiveError(f"its central directory has more than {_DIRECTORY_BYTES} bytes")
    return shift, start + shift, length


def _find_end64(fd: int, locator: int, said: int) -> int:
    """Where the Zip64 end record is: in front of its locator, or where that says."""
    for position in (locator - _END64.size, said):
        record = _pread(fd, position, _END64.size) if position >= 0 else b""
        if record.startswith(b"PK\6\6") and len(record) == _END64.size:
            return position
    raise BadArchiveError("its Zip64 end record is not where it should be")


def _owner(extra: bytes) -> tuple[int | None, int | None]:
    """uid and gid from Info-ZIP's Unix field: version, then each with its length."""
    if len(extra) < 3 or extra[0] != 1:
        return None, None
    length = extra[1]
    uid, rest = extra[2 : 2 + length], extra[2 + length :]
    gid = rest[1 : 1 + rest[0]] if rest else b""
    if not uid or not gid:
        return None, None
    return int.from_bytes(uid, "little"), int.from_bytes(gid, "little")


def _mtime(dos_time: int, dos_date: int, extra: dict[int, bytes]) -> int:
    """Nanoseconds since 1970, from the best that there is."""
    stamp = extra.get(0x5455, b"")
    if len(stamp) >= 5 and stamp[0] & 1:
        return int(max(0, unpack_from("<l", stamp, 1)[0])) * 10**9
    ntfs = extra.get(0x000A, b"")
    if len(ntfs) >= 16 and unpack_from("<2H", ntfs, 4) == (1, 24):
        return int(max(0, unpack_from("<Q", ntfs, 8)[0] - 116444736 * 10**9)) * 100
    # As all programs do: the archive's clock is taken for a local one.
    moment = (
        (dos_date >> 9) + 1980,
        max(1, dos_date >> 5 & 15),
        max(1, dos_date & 31),
        dos_time >> 11,
        dos_time >> 5 & 63,
        (dos_time & 31) * 2,
    )
    try:
        return max(0, int(time.mktime((*moment, 0, 0, -1)))) * 10**9
    except (ValueError, OverflowError):
        return 0
