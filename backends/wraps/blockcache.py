"""Data of files in memory, read ahead for whoever reads in sequence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeAlias

from backends.base import (
    Attr,
    Backend,
    Buffer,
    Context,
    Data,
    FileType,
    Found,
    Granted,
    Key,
    SetAttr,
    Stable,
    Wcc,
    Written,
)
from backends.caches import BUSY, Blocks, Change, ChangedError, Joined, Lru
from backends.wraps.caching import Caching, Who, who

#: What changes whenever a file's data does (RFC 1813 section 2.6): mtime, ctime, size.
State: TypeAlias = tuple[int, int, int]

#: Files of which the attributes are kept, and callers for each that may read it.
FILES: Final = 16384
READERS: Final = 64


class _Info:
    """What is known of a file: attributes, until when they are believed, who may read it."""

    __slots__ = ("attr", "readers", "state", "until", "version")

    def __init__(self, attr: Attr, until: float, version: int) -> None:
        self.attr = attr
        self.state = state_of(attr)
        self.until = until
        self.version = version
        self.readers: set[Who] = set()


def state_of(attr: Attr) -> State:
    """What data cached under these attributes is good for."""
    return attr.mtime, attr.ctime, attr.size


class BlockCache(Caching):
    """Data of files is kept in memory, and read ahead for whoever reads in sequence.

    At most `bytes` in blocks of `block_bytes`; `read_ahead_bytes` (0: none) for each file, where
    `below` is one that waits. What is written through this wrap is read from it at once. What
    changes elsewhere shows after `seconds`, or with the next result that carries other times or
    another size. The first read of each caller goes to `below`, which says whether he may.
    """

    def __init__(
        self,
        below: Backend,
        *,
        bytes: int = 256 << 20,
        block_bytes: int = 128 << 10,
        read_ahead_bytes: int = 4 << 20,
        seconds: float = 3.0,
    ) -> None:
        super().__init__(below, seconds, FILES)
        ahead = 0 if self.inline else read_ahead_bytes
        self._blocks = Blocks(bytes, block_bytes, ahead, FILES)
        self._most = bytes
        self._infos: Lru[Key, _Info] = Lru(FILES)
        self._asking: Joined[Attr] = Joined()

    def describe(self) -> str:
        """What `below` says, and how much is kept."""
        return f"{self.below.describe()}; up to {self._most >> 20} MiB of data kept in memory"

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: blocks, and what `below` says."""
        blocks = self._blocks
        own = {("blocks", "hits"): blocks.hits, ("blocks", "misses"): blocks.misses}
        return {**self.below.statistics(), **own}

    async def stop(self) -> None:
        """End the read-ahead, and stop `below`."""
        await self._blocks.stop()
        await super().stop()

    # What is known

    def _info(self, key: Key) -> _Info | None:
        info = self._infos.get(key)
        if info is None or info.version != self._changes.version(key.ino):
            return None
        return info

    def _learn(self, attr: Attr | None, clock: int, until: float) -> None:
        """Take note of attributes that came of a fetch which began at `clock`."""
        if attr is None or attr.type is not FileType.REG or self._changes.since(clock, attr.ino):
            return
        key = attr.key
        info = self._info(key)
        if info is None or info.state != state_of(attr):
            self._infos.put(key, _Info(attr, until, self._changes.version(attr.ino)))
        elif until >= info.until:
            info.attr, info.until = attr, until

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """See `Backend.getattr`; always from `below`."""
        clock, until = self._changes.clock, self._now() + self._seconds
        attr = await self.below.getattr(ctx, key)
        self._learn(attr, clock, until)
        return attr

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """See `Backend.lookup`; always from `below`."""
        clock, until = self._changes.clock, self._now() + self._seconds
        found = await self.below.lookup(ctx, dir, name)
        self._learn(found.attr, clock, until)
        return found

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """See `Backend.access`; always from `below`."""
        clock, until = self._changes.clock, self._now() + self._seconds
        granted = await self.below.access(ctx, key, mask)
        self._learn(granted.attr, clock, until)
        return granted

    # Reading

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """See `Backend.read`. While the file is being changed, from `below`."""
        version = self._changes.version(key.ino)
        if version == BUSY:
            return await self.below.read(ctx, key, offset, count)
        info, reader = self._info(key), who(ctx)
        if info is not None and info.until <= self._now():
            await self._asking.get((key, version), partial(self.getattr, ctx, key))
            info = self._info(key)
        if info is None or reader not in info.readers:
            return await self._read(ctx, key, offset, count)
        attr = info.attr
        fetch = partial(self._fetch, ctx, key, info.state)
        try:
            data = await self._blocks.read(key, info.state, attr.size, offset, count, fetch)
        except ChangedError:
            return await self._read(ctx, key, offset, count)
        return Data(data, offset + count >= attr.size, attr)

    async def _fetch(self, ctx: Context, key: Key, state: State, offset: int, count: int) -> Buffer:
        """Data of that state. Raises `ChangedError` if it is not known to be."""
        clock, until = self._changes.clock, self._now() + self._seconds
        data = await self.below.read(ctx, key, offset, count)
        attr = data.attr or await self.below.getattr(ctx, key)
        self._learn(attr, clock, until)
        if state_of(attr) != state:
            raise ChangedError("it was changed elsewhere")
        return data.data

    async def _read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """Data from `below`; kept if the state of the file was known before, and is the same."""
        clock, until = self._changes.clock, self._now() + self._seconds
        version, before = self._changes.version(key.ino), self._info(key)
        data = await self.below.read(ctx, key, offset, count)
        attr = data.attr or await self.below.getattr(ctx, key)
        self._learn(attr, clock, until)
        info = self._info(key)
        if info is None or info.version != version or info.state != state_of(attr):
            return data
        if len(info.readers) >= READERS:
            info.readers.clear()
        info.readers.add(who(ctx))
        if before is not None and before.state == info.state:
            self._blocks.put(key, info.state, attr.size, offset, data.data)
        return data

    # Changing

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """See `Backend.write`."""
        info = self._info(key)
        # A view may be used for something else once `below` waits.
        copy = bytes(data) if info is not None and key in self._blocks else b""
        with self._followed(key), self._changes.begin(key.ino) as change:
            done = await self.below.write(ctx, key, offset, data, stable)
        new = self._follow(change, key, info, done.wcc)
        if info is not None and new is not None:
            size, written = new.attr.size, copy[: done.count]
            self._blocks.wrote(key, info.state, new.state, size, offset, written)
        return done

    @contextmanager
    def _followed(self, key: Key) -> Iterator[None]:
        """Forget the data of a file if its change fails: that says nothing of what it did."""
        try:
            yield
        except BaseException:
            self._blocks.forget(key)
            raise

    def _follow(self, change: Change, key: Key, info: _Info | None, wcc: Wcc) -> _Info | None:
        """What is known of a file after a change that it alone had; None, and nothing of its data
        is kept, if anything else may have changed it.

        Weak cache consistency: what changes elsewhere between the two looks that `below` takes for
        `before` and `after` goes unseen (RFC 1813 section 2.6).
        """
        before, after = wcc.before, wcc.after
        if (
            info is None or before is None or after is None
            or key.ino not in change.alone or state_of(before) != info.state
        ):  # fmt: skip
            self._blocks.forget(key)
            return None
        new = _Info(after, self._now() + self._seconds, self._changes.version(key.ino))
        if (before.mode, before.uid, before.gid) == (after.mode, after.uid, after.gid):
            new.readers = info.readers
        self._infos.put(key, new)
        return new

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """See `Backend.setattr`."""
        info = self._info(key)
        with self._followed(key), self._changes.begin(key.ino) as change:
            wcc = await self.below.setattr(ctx, key, attr, guard)
        new = self._follow(change, key, info, wcc)
        if info is not None and new is not None:
            self._blocks.resized(key, info.state, new.state, new.attr.size)
        return wcc

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """See `Backend.commit`. One that fails may have lost data."""
        info = self._info(key)
        with self._followed(key), self._changes.begin(key.ino) as change:
            wcc = await self.below.commit(ctx, key, offset, count)
        new = self._follow(change, key, info, wcc)
        if info is not None and new is not None:
            self._blocks.resized(key, info.state, new.state, new.attr.size)
        return wcc
