"""The headers of a tar file: POSIX ustar and pax, GNU and old ones.

One pass over the headers finds all members. The standard library's `tarfile` takes twice as long,
passes over some damage, and gives names as text.

Damage is not passed over: a header with a wrong checksum, or a member that ends behind the end of
the file, is an error. Like other programs this one stops at a block of zeros, and does without.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from hashlib import blake2b
from typing import Final

from backends.archive.member import (
    RDEV_MAX,
    SIZE_MAX_BYTES,
    TIME_MAX,
    TOO_LARGE,
    Extent,
    Member,
)
from backends.archive.sparse import (
    Sparse,
    expand,
    gnu_map,
    number,
    pax_map,
    pax_map_in_data,
)
from backends.archive.tree import BadArchiveError, Tree
from backends.base import FileType

BLOCK_BYTES: Final = 512
#: Headers are read in pieces: of many small members together, of large ones alone.
_LONG_PIECE_BYTES, _SHORT_PIECE_BYTES = 128 << 10, 4096
#: What may stand in front of a member: its long name, or its pax records.
_HEADING_BYTES: Final = 16 << 20
#: Symbolic links' targets; what is longer is no path.
_TARGET_BYTES: Final = 4095
#: All of them together.
TARGETS_BYTES: Final = 256 << 20
#: Runs of data in all sparse files together: they are kept in memory, 24 bytes each.
RUNS_TOGETHER: Final = 1 << 22

_ZEROS: Final = bytes(BLOCK_BYTES)
_PLAIN: Final = frozenset((0, ord("0"), ord("7")))
_TYPES: Final = {
    ord("2"): FileType.LNK,
    ord("3"): FileType.CHR,
    ord("4"): FileType.BLK,
    ord("5"): FileType.DIR,
    ord("6"): FileType.FIFO,
    ord("D"): FileType.DIR,
}
_NO_DATA: Final = frozenset(b"123456")
#: Pax records that are used; no others are kept.
_KEYWORDS: Final = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
_SPARSE: Final = frozenset(
    b"GNU.sparse." + word for word in (b"major", b"minor", b"name", b"realsize", b"size", b"map")
)
#: Of a run each, and repeated; all that shows of an empty map is how many there are.
_RUN: Final = frozenset((b"GNU.sparse.offset", b"GNU.sparse.numbytes"))
_NUMBER_OF_RUNS: Final = b"GNU.sparse.numblocks"


class TarIndex:
    """The members of the tar file that `fd` reads. Raises BadArchiveError, OSError.

    Devices are left out unless `devices` is true.
    """

    def __init__(self, fd: int, max_files: int, devices: bool) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._devices = devices
        self.tree = Tree(max_files)
        self._members: list[Member] = []
        #: Where the bytes of each member begin.
        self._positions: list[int] = []
        self.targets: dict[int, bytes] = {}
        self._targets_bytes = 0
        self._sparse: dict[int, Sparse] = {}
        self._runs = 0
        self._digest = blake2b(digest_size=16)
        self._global: dict[bytes, bytes] = {}
        self._counts: Counter[str] = Counter()
        self._piece, self._piece_at = b"", 0
        self._read()
        # Whatever changes the numbers of files belongs in here.
        self._digest.update(b"%d %d" % (self._size, devices))
        self.identity = self._digest.digest()
        self._piece = b""
        self.tree.finish()

    def member(self, number: int) -> Member:
        """The attributes of an entry."""
        return self._members[number]

    def extents(self, number: int, offset: int, count: int) -> list[Extent]:
        """Where a range of a sparse entry's bytes is: in the archive, one behind the other.

        What is in none of them is zeros.
        """
        return expand(self._sparse[number], self._positions[number], offset, count)

    def runs(self, number: int, offset: int, count: int) -> int:
        """How many `extents` there are."""
        return len(self._sparse[number].within(offset, count))

    def position(self, number: int) -> int | None:
        """Where an entry's bytes are, if they are in one piece."""
        return None if number in self._sparse else self._positions[number]

    def notes(self) -> list[str]:
        """What is not served as it is, counted."""
        return [f"{count} entries are {what}" for what, count in self._counts.items()]

    # Reading headers

    def _block(self, at: int) -> bytes:
        start = at - self._piece_at
        block = self._piece[start : start + BLOCK_BYTES] if start >= 0 else b""
        if len(block) < BLOCK_BYTES:
            # Far behind what was read last there are large members: no use to read on.
            far = start > len(self._piece) + _SHORT_PIECE_BYTES
            count = _SHORT_PIECE_BYTES if far else _LONG_PIECE_BYTES
            self._piece, self._piece_at = self._pread(at, count), at
            block = self._piece[:BLOCK_BYTES]
        return block

    def _pread(self, at: int, count: int) -> bytes:
        return os.pread(self._fd, count, at)

    def _data(self, at: int, size: int) -> bytes:
        """What stands in front of a member."""
        if size > _HEADING_BYTES:
            raise BadArchiveError(f"the header at byte {at} is followed by {size} bytes more of it")
        data = self._pread(at, size)
        if len(data) < size:
            raise BadArchiveError("it is cut short")
        self._digest.update(data)
        return data

    def _read(self) -> None:
        at, pax, long_name, long_target = 0, dict[bytes, bytes](), b"", b""
        while True:
            block = self._block(at)
            if len(block) < BLOCK_BYTES or block == _ZEROS:
                break
            if not _checksum_is_right(block):
                what = f"it has a damaged header at byte {at}" if at else "this is no tar file"
                raise BadArchiveError(what)
            self._digest.update(block)
            kind = block[156]
            if kind in b"xXgLK":
                size = number(block[124:136])
                data = self._data(at + BLOCK_BYTES, size)
                at += BLOCK_BYTES + _rounded(size)
                if kind == ord("L"):
                    long_name = data.rstrip(b"\0")
                elif kind == ord("K"):
                    long_target = data.rstrip(b"\0")
                elif kind == ord("g"):
                    found = records(data)
                    self._global.update((key, found[key]) for key in _KEYWORDS & found.keys())
                else:
                    pax.update(records(data))
                continue
            at = self._entry(block, at, {**self._global, **pax}, long_name, long_target)
            pax, long_name, long_target = {}, b"", b""
        if 0 < len(block) < BLOCK_BYTES or (not at and not self._size):
            raise BadArchiveError("it is cut short" if at else "this is no tar file")

    def _entry(
        self, block: bytes, at: int, pax: dict[bytes, bytes], name: bytes, target: bytes
    ) -> int:
        """One member; gives where the next header is."""
        kind, size = block[156], number(block[124:136])
        if not name:
            name = block[:100].partition(b"\0")[0]
            if block[345] and block.startswith(b"ustar\0", 257):
                name = block[345:500].partition(b"\0")[0] + b"/" + name
        target = pax.get(b"linkpath") or target or block[157:257].partition(b"\0")[0]
        start = at + BLOCK_BYTES
        name, size = pax.get(b"path") or name, _decimal(pax.get(b"size"), size)
        # What a hard link's header says of a size is its target's; no data follows.
        stored = 0 if kind in _NO_DATA else size
        sparse: Sparse | None = None
        if kind == ord("S"):
            sparse, start = gnu_map(block, start, self._data)
        elif kind in _PLAIN and not _SPARSE.isdisjoint(pax):
            name = pax.get(b"GNU.sparse.name") or name
            if pax.get(b"GNU.sparse.major") == b"1":
                sparse, used = pax_map_in_data(pax, start, stored, self._data)
                start, stored = start + used, stored - used
            else:
                sparse = pax_map(pax)
        if start + stored > self._size:
            raise BadArchiveError(f"it is cut short: the member at byte {at} is not all there")
        if sparse is not None:
            sparse.check(stored)
            size = sparse.size
            self._runs += len(sparse.offsets)
            if self._runs > RUNS_TOGETHER:
                raise BadArchiveError(
                    f"its sparse files have more than {RUNS_TOGETHER} runs of data"
                )
        elif kind in _NO_DATA:
            size = 0
        self._add(block, kind, name, target, pax, size, start, sparse)
        return start + _rounded(stored)

    def _add(
        self,
        block: bytes,
        kind: int,
        name: bytes,
        target: bytes,
        pax: dict[bytes, bytes],
        size: int,
        start: int,
        sparse: Sparse | None,
    ) -> None:
        if kind == ord("1"):
            self.tree.link(name, target)
            return
        type = _TYPES.get(kind, FileType.REG)
        if kind in b"VM" or (type in (FileType.CHR, FileType.BLK) and not self._devices):
            if kind != ord("V"):
                part = "parts of files in other volumes"
                self.tree.left_out[part if kind == ord("M") else "that are devices"] += 1
            return
        if type is FileType.LNK and (not 0 < len(target) <= _TARGET_BYTES or b"\0" in target):
            self.tree.left_out["that are links to no path"] += 1
            return
        if size > SIZE_MAX_BYTES:
            self.tree.left_out[TOO_LARGE] += 1
            return
        rdev = (0, 0)
        if type in (FileType.CHR, FileType.BLK):
            rdev = number(block[329:337]), number(block[337:345])
            if max(rdev) > RDEV_MAX:
                self.tree.left_out["that are devices with numbers over 32 bits"] += 1
                return
        if type is FileType.LNK:
            self._targets_bytes += len(target)
            if self._targets_bytes > TARGETS_BYTES:
                text = f"that are links, beyond {TARGETS_BYTES} bytes of targets"
                self.tree.left_out[text] += 1
                return
        which = len(self._members)
        self._members.append(
            Member(
                type,
                number(block[100:108]) & 0o7777,
                len(target) if type is FileType.LNK else size,
                _mtime(pax.get(b"mtime"), number(block[136:148])),
                _decimal(pax.get(b"uid"), number(block[108:116])),
                _decimal(pax.get(b"gid"), number(block[116:124])),
                rdev,
            )
        )
        self._positions.append(start)
        if type is FileType.LNK:
            self.targets[which] = target
        if sparse is not None:
            self._sparse[which] = sparse
        self.tree.add(name, type is FileType.DIR, which)


def _rounded(size: int) -> int:
    return (size + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


def _decimal(text: bytes | None, otherwise: int) -> int:
    try:
        return max(0, int(text)) if text else otherwise
    except ValueError:
        return otherwise


def _mtime(text: bytes | None, seconds: int) -> int:
    """Nanoseconds from a pax record, exactly, or from the header."""
    if text:
        whole, _, part = text.partition(b".")
        try:
            value = int(whole) * 10**9 + int(part[:9].ljust(9, b"0"))
        except ValueError:
            value = seconds * 10**9
        return min(max(0, value), TIME_MAX)
    return min(seconds * 10**9, TIME_MAX)


def _checksum_is_right(block: bytes) -> bool:
    """Whether the sum of a header's bytes is what it says.

    Adler-32 has that sum, modulo 65521, in its lower half, much sooner than Python adds.
    """
    said = number(block[148:156])
    rest = said - 8 * 32 + sum(block[148:156])
    if (rest + 1) % 65521 == zlib.adler32(block) & 0xFFFF:
        return True
    # Some old programs added signed bytes.
    return said == 8 * 32 + sum(
        byte - (byte > 127) * 256 for byte in block[:148] + block[156:BLOCK_BYTES]
    )


def records(data: bytes) -> dict[bytes, bytes]:
    """The useful records of a pax header, each ``length keyword=value\\n``.

    Raises BadArchiveError.

    GNU's first form of sparse maps repeats two keywords; they are collected, with commas.
    """
    found: dict[bytes, bytes] = {}
    runs: list[bytes] = []
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        text = data[at:space] if space > 0 else b""
        length = int(text) if text.isdigit() else 0
        record = data[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not length or not equals or record[-1:] != b"\n" or at + length > len(data):
            raise BadArchiveError("it has damaged pax records")
        value = value[:-1]
        if key in _RUN:
            runs.append(value)
        elif key in _KEYWORDS or key in _SPARSE:
            found[key] = value
        elif key == _NUMBER_OF_RUNS:
            found.setdefault(b"GNU.sparse.map", b"")
        at += length
    if runs:
        found[b"GNU.sparse.map"] = b",".join(runs)
    return found
