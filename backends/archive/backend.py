"""Archives as read-only file systems: what zip and tar have in common, and what not.

Names and attributes are in memory, so such calls are answered at once. Bytes that the page cache
has are read at once too; the rest is read, and decompressed, in threads.

The archive stays open: when another file takes its name, the old one is served until the server is
started again. When it is changed in place, reads fail with IO from then on. After a restart with
the same archive all handles are valid; with another one all are stale but the root's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from backends import permissions
from backends.archive.member import STORED, Extent, Index, Packed
from backends.archive.spool import CHANGED, compression, spool
from backends.archive.tarindex import TarIndex
from backends.archive.tree import GONE, PATH_MAX_BYTES, ROOT, BadArchiveError
from backends.archive.unpack import BLOCK_BYTES, Unpacker
from backends.archive.zipindex import LOCAL_BYTES, ZipIndex
from backends.base import (
    Access,
    Attr,
    Backend,
    Buffer,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Limits,
    Listing,
    Status,
    Target,
)
from backends.threads import Pool

log = logging.getLogger("nfsloop.archive")

_I = TypeVar("_I", bound=Index)
T = TypeVar("T")

_THREADS: Final = 4
_FIRST_COOKIE: Final = 3
_CHANGES: Final = Access.MODIFY | Access.EXTEND | Access.DELETE
_DIR_BYTES: Final = 4096
_MODES: Final = {FileType.DIR: 0o755, FileType.LNK: 0o777}
#: Large directories whose names are kept as a list, to go on listing in the middle.
_LISTS: Final = 16
_LARGE_DIR_NAMES: Final = 500
#: Members that are decoded without a thread: a thread's turn costs more.
_AT_ONCE_BYTES: Final = 32 << 10
#: Where compressed members are, as their own headers say; looked up once.
_PACKED_MEMBERS: Final = 1 << 16
#: Runs of a sparse member that are put in place without a thread.
_RUNS_AT_ONCE: Final = 64
#: Two changes that are closer together may leave the same time: no kernel's clock for that is
#: coarser.
_TICK_NS: Final = 10_000_000
_UID_MAX: Final = 2**32 - 1
_NOBODY: Final = 65534
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)


class ArchiveBackend(Backend, Generic[_I]):
    """What zip and tar archives have in common: names, attributes, listings."""

    inline = True
    #: What one unpacks in the state directory, those who start after it find there.
    shareable = True
    limits = Limits(read_only=True, symlinks=True, path_max=PATH_MAX_BYTES)
    #: What the files are called in messages.
    kind = "archive"

    def __init__(self, path: Path, *, uid: int | None, gid: int | None, max_files: int) -> None:
        super().__init__()
        if max_files < 1:
            raise ValueError(f"max_files is {max_files}, and must be 1 or more")
        for name, value in (("uid", uid), ("gid", gid)):
            if value is not None and not 0 <= value <= _UID_MAX:
                raise ValueError(f"{name} is {value}, and must be from 0 to {_UID_MAX}")
        self._path = Path(path)
        self._uid, self._gid = uid, gid
        self._max_files = max_files
        #: The file at the path, and what is read: that same one, or what it was unpacked into.
        self._fd = self._data = -1
        self._pool = Pool(_THREADS, type(self).__name__)
        self._generation = 0
        self._attrs: list[Attr | None] = []
        self._lists: OrderedDict[int, list[tuple[bytes, int]]] = OrderedDict()
        self._stop = threading.Event()
        #: What threads are doing.
        self._reading: set[asyncio.Future[Any]] = set()

    # What the formats add

    def _open(self) -> _I:
        """Read the archive, in a thread, and set `_data`. Raises BadArchiveError, OSError."""
        raise NotImplementedError

    async def _read(self, ino: int, member: int, offset: int, count: int) -> Buffer:
        """Bytes that are within the file."""
        raise NotImplementedError

    async def _target(self, ino: int, member: int) -> bytes:
        """A symbolic link's target."""
        raise NotImplementedError

    # Life cycle

    async def start(self) -> None:
        """Read the archive's index. Raises OSError or ValueError with one line that says why."""
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            state = await self._in_thread(None, _settled, self._fd)
            self._index: _I = await self._in_thread(None, self._open)
            if state != _state(self._fd):
                raise BadArchiveError(CHANGED)
        except BadArchiveError as exc:
            await self.stop()
            raise ValueError(f"{self._path}: {exc}") from None
        except OSError as exc:
            await self.stop()
            raise OSError(exc.errno, f"{self._path}: {exc.strerror or exc}") from exc
        except BaseException:
            await self.stop()
            raise
        stat = os.fstat(self._fd)
        self._stat = stat.st_dev, stat.st_ino
        self._size, self._time = state
        self._state = state if self._data == self._fd else _state(self._data)
        self._changed = False
        #: Not 0, which is the root's.
        self._generation = int.from_bytes(self._index.identity[:8], "big") or 1
        self._tree = self._index.tree
        self._attrs = [None] * (len(self._tree) + 1)
        for what, count in self._tree.left_out.items():
            log.warning("%s: left out %d entries %s", self._path, count, what)
        for note in self._index.notes():
            log.warning("%s: %s", self._path, note)

    def describe(self) -> str:
        """What it is, and how large."""
        return f"read-only, a {self.kind} of {len(self._tree):,} files"

    async def health(self) -> str | None:
        """Whether the file at the path is still the one that is served."""
        return await self._in_thread(None, self._trouble)

    def _trouble(self) -> str | None:
        if self._is_changed():
            return f"{self._path} was changed while it was served"
        try:
            now = os.stat(self._path)
        except OSError as exc:
            return f"{self._path}: {exc.strerror}; it is served as it was"
        if (now.st_dev, now.st_ino) != self._stat:
            return f"{self._path} is another file now; the one of before is served"
        return None

    async def stop(self) -> None:
        """Close the file, once no thread reads it any more."""
        self._stop.set()
        if self._reading:
            await asyncio.wait(self._reading)
        self._pool.close()
        for fd in {self._fd, self._data} - {-1}:
            os.close(fd)
        self._fd = self._data = -1

    # Attributes and names

    def _number(self, key: Key) -> int:
        """The inode number, if there is such a file. Raises STALE."""
        ino = key.ino
        generation = self._generation if ino != ROOT else 0
        if key.generation != generation or not 0 < ino < len(self._attrs):
            raise FsError(Status.STALE)
        if self._tree.members[ino] == GONE:
            raise FsError(Status.STALE)
        return ino

    def _attr(self, ino: int) -> Attr:
        return self._attrs[ino] or self._make_attr(ino)

    def _make_attr(self, ino: int) -> Attr:
        tree, names = self._tree, self._tree.children[ino]
        which, time = tree.members[ino], self._time
        member = self._index.member(which) if which >= 0 else None
        type = FileType.DIR if names is not None or member is None else member.type
        size, nlink, used = _DIR_BYTES, tree.links.get(ino, 1), _DIR_BYTES
        if names is not None:
            nlink = 2 + sum(tree.children[child] is not None for child in names.values())
        elif member is not None:
            size, used = member.size, -(-member.size // 512) * 512
        mode = None if member is None else member.mode
        mtime = time if member is None else member.mtime
        self._attrs[ino] = attr = Attr(
            ino,
            type,
            _MODES.get(type, 0o644) if mode is None else mode,
            nlink,
            _owner(self._uid, None if member is None else member.uid),
            _owner(self._gid, None if member is None else member.gid),
            size,
            used,
            mtime,
            mtime,
            # The archive's: that is when all of this came to be, and what a client looks at to
            # see whether the root is still what it was.
            time,
            self._generation if ino != ROOT else 0,
            (0, 0) if member is None else member.rdev,
        )
        return attr

    def _dir(self, ctx: Context, key: Key) -> tuple[Attr, dict[bytes, int]]:
        ino = self._number(key)
        names = self._tree.children[ino]
        if names is None:
            raise FsError(Status.NOTDIR)
        return self._attr(ino), names

    async def root(self, ctx: Context) -> Attr:
        """See `Backend.root`."""
        return self._attr(ROOT)

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """See `Backend.getattr`."""
        return self._attr(self._number(key))

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """See `Backend.lookup`."""
        attr, names = self._dir(ctx, dir)
        permissions.check_search(ctx, attr)
        ino = names.get(name)
        if ino is None:
            raise FsError(Status.NOENT)
        return Found(self._attr(ino), attr)

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """See `Backend.parent`."""
        attr, _ = self._dir(ctx, dir)
        return self._attr(self._tree.parents[attr.ino])

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """By the mode bits; nothing can be changed."""
        return await super().access(ctx, key, mask & ~_CHANGES)

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """In the order of the archive; a cookie is a place in that order."""
        attr, names = self._dir(ctx, dir)
        permissions.check_list(ctx, attr)
        listed = self._list(attr.ino, names)
        return Listing(self._entries(listed, max(0, cookie - _FIRST_COOKIE + 1), plus), True, attr)

    def _list(self, ino: int, names: dict[bytes, int]) -> list[tuple[bytes, int]]:
        listed = self._lists.get(ino)
        if listed is None:
            listed = list(names.items())
            if len(listed) > _LARGE_DIR_NAMES:
                self._lists[ino] = listed
                if len(self._lists) > _LISTS:
                    self._lists.popitem(last=False)
        else:
            self._lists.move_to_end(ino)
        return listed

    def _entries(
        self, listed: list[tuple[bytes, int]], start: int, plus: bool
    ) -> Iterator[DirEntry]:
        for at in range(start, len(listed)):
            name, ino = listed[at]
            yield DirEntry(name, ino, at + _FIRST_COOKIE, self._attr(ino) if plus else None)

    async def readlink(self, ctx: Context, key: Key) -> Target:
        """See `Backend.readlink`."""
        ino = self._number(key)
        attr = self._attr(ino)
        if attr.type is not FileType.LNK:
            raise FsError(Status.INVAL)
        return Target(await self._target(ino, self._tree.members[ino]), attr)

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """The archive's size; nothing is free, and nothing changes."""
        self._number(key)
        return FsStat(tbytes=self._size, tfiles=len(self._tree), invarsec=2**31)

    # Bytes

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """See `Backend.read`; what does not come within `patience` raises JUKEBOX."""
        ino = self._number(key)
        attr = self._attr(ino)
        if attr.type is not FileType.REG:
            raise FsError(Status.ISDIR if attr.type is FileType.DIR else Status.INVAL)
        permissions.check_read(ctx, attr)
        count = max(0, min(count, attr.size - offset))
        if not count:
            return Data(b"", offset >= attr.size, attr)
        if self._is_changed():
            raise FsError(Status.IO, f"{self._path} was changed while it was served")
        data = await self._read(ino, self._tree.members[ino], offset, count)
        return Data(data, offset + count >= attr.size, attr)

    def _is_changed(self) -> bool:
        """Whether the archive was written to while it was open."""
        if _state(self._data) != self._state and not self._changed:
            self._changed = True
            log.error("%s was changed while it was served: reads fail until a restart", self._path)
        return self._changed

    async def _pread(self, position: int, count: int) -> Buffer:
        """Bytes of the archive: at once where the page cache has them, else by a thread."""
        data = bytearray(count)
        if self._at_once(data, position):
            return data
        return await self._in_thread(self.patience, _pread, self._data, position, count)

    def _at_once(self, data: bytearray | memoryview, position: int) -> bool:
        """Fill `data` with bytes that are in the page cache; if they are not, it says so."""
        try:
            return _NOWAIT != 0 and os.preadv(self._data, [data], position, _NOWAIT) == len(data)
        except OSError as exc:
            if exc.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                return False
            raise

    async def _in_thread(self, patience: float | None, function: Callable[..., T], *args: Any) -> T:
        """The result of a function, which goes on when the caller stops waiting for it."""
        future = self._pool.run(function, *args)
        self._reading.add(future)
        future.add_done_callback(self._has_ended)
        done, _ = await asyncio.wait((future,), timeout=patience)
        if not done:
            raise FsError(Status.JUKEBOX, "reading takes its time")
        return future.result()

    def _has_ended(self, future: asyncio.Future[Any]) -> None:
        self._reading.discard(future)
        if not future.cancelled():
            future.exception()  # perhaps nobody waits for it any more


def _state(fd: int) -> tuple[int, int]:
    """Size and time of change, which are others once the file was written to."""
    stat = os.fstat(fd)
    return stat.st_size, stat.st_mtime_ns


def _settled(fd: int) -> tuple[int, int]:
    """The file's state, when it is so old that another change gives another one."""
    state = _state(fd)
    age = time.time_ns() - state[1]
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
    return _state(fd)


def _pread(fd: int, position: int, count: int) -> Buffer:
    """All of the bytes; fewer raise IO."""
    data = b""
    while len(data) < count:
        more = os.pread(fd, count - len(data), position + len(data))
        if not more:
            raise FsError(Status.IO, "the archive is shorter than it was")
        data = data + more if data else more
    return data


def _owner(option: int | None, said: int | None) -> int:
    if option is not None:
        return option
    return 0 if said is None else said if said <= _UID_MAX else _NOBODY


class ZipBackend(ArchiveBackend[ZipIndex]):
    """A zip file, read-only.

    `path` is the file. `uid` and `gid` own everything, if they are given; else who the archive
    says, or root. `cache_bytes` bounds the decompressed blocks in memory, `max_files` the files,
    directories that are only implied among them.

    Members that are stored, deflated, or compressed with bzip2 or LZMA are read; encrypted ones
    answer ACCES, others IO. A compressed member's CRC-32 is checked once its end was decompressed;
    one of up to 256 KiB is not given out before. A larger stored member's is not checked.
    """

    kind = "zip file"

    def __init__(
        self,
        path: Path,
        *,
        uid: int | None = None,
        gid: int | None = None,
        cache_bytes: int = 64 << 20,
        max_files: int = 2_000_000,
    ) -> None:
        super().__init__(path, uid=uid, gid=gid, max_files=max_files)
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes is {cache_bytes}, and must be 0 or more")
        self._cache_bytes = cache_bytes
        self._packed: OrderedDict[int, Packed] = OrderedDict()
        #: Stored members whose CRC-32 was found right.
        self._checked: set[int] = set()
        self._unpacker: Unpacker | None = None
        #: Read into, to see whether bytes are in the page cache.
        self._scratch = memoryview(bytearray(_AT_ONCE_BYTES))

    def _open(self) -> ZipIndex:
        self._data = self._fd
        return ZipIndex(self._data, self._max_files)

    async def start(self) -> None:
        """See `ArchiveBackend.start`."""
        await super().start()
        self._unpacker = Unpacker(self._data, self._pool, self._cache_bytes)

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: decompressed blocks."""
        unpacker = self._unpacker
        if unpacker is None:
            return {}
        return {("blocks", "hits"): unpacker.hits, ("blocks", "misses"): unpacker.misses}

    async def stop(self) -> None:
        """See `ArchiveBackend.stop`."""
        if self._unpacker is not None:
            await self._unpacker.close()
        await super().stop()

    async def _where(self, ino: int, member: int) -> Packed:
        packed = self._packed.get(ino)
        if packed is None:
            local = await self._pread(self._index.local(member), LOCAL_BYTES)
            packed = self._packed[ino] = self._index.packed(member, local)
            if len(self._packed) > _PACKED_MEMBERS:
                self._packed.popitem(last=False)
        return packed

    async def _read(self, ino: int, member: int, offset: int, count: int) -> Buffer:
        unpacker = self._unpacker
        assert unpacker is not None
        packed = await self._where(ino, member)
        if packed.method == STORED and (ino in self._checked or packed.size > BLOCK_BYTES):
            return await self._pread(packed.position + offset, count)
        is_small = packed.size <= _AT_ONCE_BYTES and packed.packed_size <= _AT_ONCE_BYTES
        raw = self._scratch[: packed.packed_size] if is_small else self._scratch
        if is_small and self._at_once(raw, packed.position):
            whole = unpacker.small(ino, packed, raw)
            return whole if count == len(whole) else memoryview(whole)[offset : offset + count]
        data = await unpacker.read(ino, packed, offset, count, self.patience)
        if packed.method == STORED:
            self._checked.add(ino)
        return data

    async def _target(self, ino: int, member: int) -> bytes:
        size = self._attr(ino).size
        return bytes(await self._read(ino, member, 0, size)) if size else b""


class TarBackend(ArchiveBackend[TarIndex]):
    """A tar file, read-only; also compressed with gzip, bzip2 or xz.

    `path` is the file. `uid` and `gid` own everything, if they are given; else who the archive
    says. Device nodes are left out unless `devices` is true. `max_files` bounds the files,
    directories that are only implied among them.

    A compressed file is decompressed once, when the server starts, into a file of `unpacked_bytes`
    at most: in the directory `state`, where the next start finds it; without one, in the system's
    directory for temporary files, until the server ends.
    """

    limits = Limits(
        read_only=True, links=True, symlinks=True, link_max=2**31 - 1, path_max=PATH_MAX_BYTES
    )
    kind = "tar file"

    def __init__(
        self,
        path: Path,
        *,
        uid: int | None = None,
        gid: int | None = None,
        devices: bool = False,
        unpacked_bytes: int = 16 << 30,
        max_files: int = 2_000_000,
        state: Path | None = None,
    ) -> None:
        super().__init__(path, uid=uid, gid=gid, max_files=max_files)
        if unpacked_bytes < 1:
            raise ValueError(f"unpacked_bytes is {unpacked_bytes}, and must be 1 or more")
        self._devices = devices
        self._unpacked_bytes = unpacked_bytes
        self._state_directory = state

    def _open(self) -> TarIndex:
        kind = compression(self._fd)
        if kind is None:
            self._data = self._fd
        else:
            self._data = spool(
                self._fd, self._state_directory, self._unpacked_bytes, self._stop.is_set
            )
            self.kind = f"tar file compressed with {kind}"
        return TarIndex(self._data, self._max_files, self._devices)

    async def _read(self, ino: int, member: int, offset: int, count: int) -> Buffer:
        position = self._index.position(member)
        if position is not None:
            return await self._pread(position + offset, count)
        runs = self._index.runs(member, offset, count)
        if not runs:
            return bytes(count)
        if runs > _RUNS_AT_ONCE:
            return await self._in_thread(
                self.patience, scattered, self._data, self._index, member, offset, count
            )
        extents = self._index.extents(member, offset, count)
        return _spread(extents, await self._pread(*_span(extents)), offset, count)

    async def _target(self, ino: int, member: int) -> bytes:
        return self._index.targets[member]


def scattered(fd: int, index: TarIndex, member: int, offset: int, count: int) -> Buffer:
    """A range of a sparse member that has many runs. In a thread. Raises IO, OSError."""
    extents = index.extents(member, offset, count)
    return _spread(extents, _pread(fd, *_span(extents)), offset, count)


def _span(extents: list[Extent]) -> tuple[int, int]:
    """Where the bytes of extents that follow each other are, and how many."""
    start, last = extents[0].position, extents[-1]
    return start, last.position + last.length - start


def _spread(extents: list[Extent], stored: Buffer, offset: int, count: int) -> Buffer:
    """The range, with what is stored of it in its places."""
    data, view, start = bytearray(count), memoryview(stored), extents[0].position
    for at, position, length in extents:
        data[at - offset : at - offset + length] = view[position - start :][:length]
    return data
