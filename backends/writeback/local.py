"""What is not in the store yet of one object: a sparse file, and a journal of what in it counts.

Two files, named by the object's number:

``N.data``     as long as the object is now; holds what was written, holes elsewhere
``N.journal``  a head (how many bytes of the store's object still count), then a record for each
               range that was written and each truncation; its existence says that the data is
               wanted

A range is recorded after its bytes are in the data file, so what SIGKILL interrupts does not count,
and what was answered does. Where no byte of the store's object counts, all of the data file does,
and nothing is recorded. Neither file is synced: after a power cut nobody trusts the journal of
another boot (see `backends.writeback`).
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from backends.base import Buffer
from backends.writeback.extents import Extents

#: Records beyond those that are needed, before a journal is written anew.
SPARE_RECORDS: Final = 4096

_MAGIC = b"nfsloop1"
_HEAD = struct.Struct("<8sQ16sQB")  # magic, tag, boot, base, new; then crc32
_RECORD = struct.Struct("<BQQ")  # what, two numbers; then crc32
_CRC = struct.Struct("<I")
_WROTE, _BASE, _SAVED = 1, 2, 3


class Damaged(Exception):
    """A journal that is not what was written; SIGKILL alone does not do that."""


class Head(NamedTuple):
    """What a journal says first."""

    tag: int
    boot: bytes
    base: int
    new: bool


class LocalFile:
    """One object's unsaved state. Not thread-safe."""

    def __init__(self, directory: Path, ident: int, head: Head) -> None:
        self.data = directory / f"{ident}.data"
        self.journal = directory / f"{ident}.journal"
        self.head = head
        #: Bytes of the store's object that count, where nothing was written over them.
        self.base = head.base
        #: The store has no such object yet.
        self.new = head.new
        #: What was written, as far as `base`.
        self.mine = Extents()
        self.size = 0
        #: Whether all of the journal was readable.
        self.whole = True
        self._records = 0
        #: The journal lacks something: it is written anew before anything counts.
        self._stale = False

    # Life cycle

    @classmethod
    def create(cls, directory: Path, ident: int, head: Head, size: int) -> LocalFile:
        """A file of `size` bytes that begins with `head.base` bytes of the store's object."""
        file = cls(directory, ident, head)
        try:
            with _opened(file.data, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as fd:
                os.ftruncate(fd, size)
            file.size = size
            file.rewrite()
        except BaseException:
            file.drop()
            raise
        return file

    @classmethod
    def recover(cls, directory: Path, ident: int) -> LocalFile | None:
        """What a process left behind; None if it had not got as far as to answer for it.

        `Damaged` comes with nothing recovered. A record that is damaged ends the journal, and
        `whole` says so.
        """
        journal = directory / f"{ident}.journal"
        raw = journal.read_bytes()
        if len(raw) < _HEAD.size + _CRC.size:
            return None
        magic, tag, boot, base, new = _HEAD.unpack_from(raw)
        if magic != _MAGIC or not _valid(raw, 0, _HEAD.size):
            raise Damaged(f"{journal} is damaged")
        file = cls(directory, ident, Head(tag, boot, base, bool(new)))
        try:
            file.size = file.data.stat().st_size
        except FileNotFoundError:
            raise Damaged(f"{file.data} is missing") from None
        file.whole = file._replay(raw)
        file.base = min(file.base, file.size)
        file.mine.cut(file.base)
        return file

    def _replay(self, raw: bytes) -> bool:
        at = _HEAD.size + _CRC.size
        while at + _RECORD.size + _CRC.size <= len(raw):
            if not _valid(raw, at, _RECORD.size):
                return False
            what, first, second = _RECORD.unpack_from(raw, at)
            if what == _WROTE:
                self.mine.add(first, second)
            elif what == _BASE:
                self.base = first
                self.mine.cut(first)
            elif what == _SAVED:
                self.new = False
            at += _RECORD.size + _CRC.size
            self._records += 1
        if at < len(raw):
            # Killed within a record. What comes next must not stand behind its first half.
            os.truncate(self.journal, at)
        return True

    def drop(self) -> None:
        """It is in the store, or not wanted any more. Raises OSError; then it is still there."""
        self.journal.unlink(missing_ok=True)
        with suppress(OSError):  # data that no journal wants is deleted at the next start
            self.data.unlink(missing_ok=True)

    # Data

    def write(self, offset: int, data: Buffer) -> None:
        """Raises OSError; then nothing that counts was changed but bytes of this very range."""
        end = offset + len(data)
        self._freshen()
        with _opened(self.data, os.O_RDWR) as fd:
            try:
                _pwrite(fd, offset, data)
            except BaseException:
                os.ftruncate(fd, self.size)
                raise
        self.size = max(self.size, end)
        if offset < self.base:
            end = min(end, self.base)
            if self.mine.split(offset, end) != [(offset, end, True)]:
                self.mine.add(offset, end)
                self._append(_WROTE, offset, end)

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros. Raises OSError, having cut perhaps."""
        self._freshen()
        if size != self.size:
            # The store's bytes never reach beyond the size, so what is added is a hole.
            with _opened(self.data, os.O_RDWR) as fd:
                os.ftruncate(fd, size)
            self.size = size
        if size < self.base:
            self.base = size
            self.mine.cut(size)
            self._append(_BASE, size, 0)

    def pieces(self, offset: int, count: int) -> Iterator[tuple[int, int, bool]]:
        """(start, end, whether it is in the data file) of a range, as far as the file reaches."""
        end = min(offset + count, self.size)
        edge = min(end, self.base)
        if offset < edge:
            yield from self.mine.split(offset, edge)
        if max(offset, edge) < end:
            yield max(offset, edge), end, True

    def read(self, start: int, end: int) -> bytes:
        """Bytes of the data file."""
        with _opened(self.data, os.O_RDONLY) as fd:
            return os.pread(fd, end - start, start).ljust(end - start, b"\0")

    def gaps(self) -> list[tuple[int, int]]:
        """What of the store's object is needed to make the data file whole."""
        return [(start, end) for start, end, mine in self.mine.split(0, self.base) if not mine]

    def fill(self, start: int, data: bytes, length: int) -> None:
        """Put `length` bytes of the store's object in, but not over what was written."""
        data = data[:length].ljust(length, b"\0")
        with _opened(self.data, os.O_RDWR) as fd:
            for first, last, mine in self.mine.split(start, min(start + length, self.base)):
                if not mine:
                    _pwrite(fd, first, data[first - start : last - start])

    # The journal

    def saved(self) -> None:
        """The store has the object now, though more was written meanwhile."""
        if self.new:
            self.new = False
            self._append(_SAVED, 0, 0)

    def rewrite(self) -> None:
        """Write the journal anew, with no more records than it needs."""
        head = self.head._replace(base=self.base, new=self.new)
        raw = [_sealed(_HEAD.pack(_MAGIC, *head))]
        raw += [_sealed(_RECORD.pack(_WROTE, start, end)) for start, end in self.mine]
        fresh = self.journal.with_suffix(".fresh")
        with _opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
            _pwrite(fd, 0, b"".join(raw))
        os.replace(fresh, self.journal)
        self._stale = False
        self._records = len(self.mine)

    def _append(self, what: int, first: int, second: int) -> None:
        record = _sealed(_RECORD.pack(what, first, second))
        self._stale = True
        with _opened(self.journal, os.O_WRONLY | os.O_APPEND) as fd:
            end = os.fstat(fd).st_size
            try:
                written = os.write(fd, record)
            except OSError:
                written = -1
            if written != len(record):
                os.ftruncate(fd, end)
        self._records += 1
        self._stale = written != len(record)
        if self._stale or self._records > SPARE_RECORDS + 2 * len(self.mine):
            self.rewrite()

    def _freshen(self) -> None:
        """Write down what could not be when it happened. Raises OSError."""
        if self._stale:
            self.rewrite()


def _valid(raw: bytes, at: int, size: int) -> bool:
    return bool(_CRC.unpack_from(raw, at + size)[0] == zlib.crc32(raw[at : at + size]))


def _sealed(raw: bytes) -> bytes:
    return raw + _CRC.pack(zlib.crc32(raw))


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        # Of the state directory, which is no word on the client's file.
        raise OSError(errno.EIO, f"{path} is missing") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _pwrite(fd: int, offset: int, data: Buffer) -> None:
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.pwrite(fd, view[done:], offset + done)
