"""Attributes, names and rights, kept for a few seconds."""

from __future__ import annotations

from functools import partial
from typing import Final

from backends.base import (
    Access,
    Attr,
    Backend,
    Context,
    Data,
    DirEntry,
    Found,
    FsError,
    Granted,
    Key,
    Listing,
    Made,
    Status,
    Target,
    Wcc,
)
from backends.caches import BUSY, Change, Joined, Lru
from backends.wraps.caching import Caching, Who, is_missing, who
from backends.wraps.listing import relisted

_ALL_ACCESS: Final = int(Access(0x3F))

#: See `Backend.statistics`.
_COUNTED: Final = [
    (cache, what) for cache in ("attributes", "names", "rights") for what in ("hits", "misses")
]


class AttrCache(Caching):
    """Attributes, names and access rights are kept for some seconds, and asked for once.

    For a `below` that is far away. What changes through this wrap is seen at once; what changes
    elsewhere, within `seconds`. That a name is missing is kept for `negative_seconds` (0: it is
    not). Names and rights are kept for each caller alone. At most `entries` of each kind.
    """

    def __init__(
        self,
        below: Backend,
        *,
        seconds: float = 3.0,
        entries: int = 65536,
        negative_seconds: float = 0.0,
    ) -> None:
        if negative_seconds < 0:
            raise ValueError(f"negative_seconds is {negative_seconds}, and must be 0 or more")
        super().__init__(below, seconds, entries)
        self._negative_seconds = negative_seconds
        # Each with the version that it has.
        self._attrs: Lru[int, tuple[Attr, int]] = Lru(entries, clock=self._time)
        self._names: Lru[tuple[Key, bytes, Who], tuple[Key | None, int]] = Lru(
            entries, clock=self._time
        )
        self._rights: Lru[tuple[Key, Who], tuple[int, int]] = Lru(entries, clock=self._time)
        self._root: Key | None = None
        self._fetching: Joined[Attr] = Joined()
        self._looking: Joined[Found] = Joined()
        self._asking: Joined[Granted] = Joined()
        self._counted = dict.fromkeys(_COUNTED, 0)

    def describe(self) -> str:
        """What `below` says, and for how long it holds."""
        return f"{self.below.describe()}; attributes kept for {self._seconds:g} s"

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: of GETATTR, LOOKUP and ACCESS, and what `below` says."""
        return {**self.below.statistics(), **self._counted}

    # What is known

    def _attr(self, key: Key) -> Attr | None:
        kept = self._attrs.get(key.ino)
        if kept is None:
            return None
        attr, version = kept
        fits = attr.generation == key.generation and self._changes.version(key.ino) == version
        return attr if fits else None

    def _learn(self, attr: Attr | None, clock: int, until: float) -> None:
        """Keep attributes that came of a fetch which began at `clock`."""
        if attr is not None and not self._changes.since(clock, attr.ino):
            self._attrs.put(attr.ino, (attr, self._changes.version(attr.ino)), until)

    def _settled(self, change: Change, key: Key, wcc: Wcc) -> None:
        if wcc.after is not None and key.ino in change.alone:
            version = self._changes.version(key.ino)
            self._attrs.put(key.ino, (wcc.after, version), self._until())

    def _made(self, change: Change, ctx: Context, dir: Key, name: bytes, made: Made) -> None:
        until = self._until()
        self._settled(change, dir, made.dir)
        attr, scope = made.attr, (dir.ino, name)
        if attr.ino in change.alone or not self._changes.since(change.began, attr.ino):
            self._attrs.put(attr.ino, (attr, self._changes.version(attr.ino)), until)
        if scope in change.alone:
            version = self._changes.version(scope, (dir.ino,))
            if version != BUSY:
                self._names.put((dir, name, who(ctx)), (attr.key, version), until)

    def _until(self) -> float:
        return self._now() + self._seconds

    # Operations

    async def root(self, ctx: Context) -> Attr:
        """See `Backend.root`."""
        known = self._attr(self._root) if self._root is not None else None
        if known is not None:
            return known
        clock, until = self._changes.clock, self._until()
        attr = await self.below.root(ctx)
        self._root = attr.key
        self._learn(attr, clock, until)
        return attr

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """See `Backend.getattr`."""
        known = self._attr(key)
        if known is not None:
            self._counted["attributes", "hits"] += 1
            return known
        self._counted["attributes", "misses"] += 1
        version = self._changes.version(key.ino)
        fetch = partial(self._getattr, ctx, key)
        return await (fetch() if version == BUSY else self._fetching.get((key, version), fetch))

    async def _getattr(self, ctx: Context, key: Key) -> Attr:
        clock, until = self._changes.clock, self._until()
        attr = await self.below.getattr(ctx, key)
        self._learn(attr, clock, until)
        return attr

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """See `Backend.lookup`."""
        place = dir, name, who(ctx)
        version = self._changes.version((dir.ino, name), (dir.ino,))
        kept = self._names.get(place)
        if kept is not None and kept[1] == version:
            key = kept[0]
            if key is None:
                self._counted["names", "hits"] += 1
                raise FsError(Status.NOENT)
            attr = self._attr(key)
            if attr is not None:
                self._counted["names", "hits"] += 1
                return Found(attr, self._attr(dir))
        self._counted["names", "misses"] += 1
        look = partial(self._lookup, ctx, dir, name)
        return await (look() if version == BUSY else self._looking.get((place, version), look))

    async def _lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        clock, now = self._changes.clock, self._now()
        scopes = (dir.ino, name), (dir.ino,)
        until = now + self._seconds
        try:
            found = await self.below.lookup(ctx, dir, name)
        except (FsError, OSError) as exc:
            if is_missing(exc) and not self._changes.since(clock, *scopes):
                version = self._changes.version(*scopes)
                missing = now + self._negative_seconds
                self._names.put((dir, name, who(ctx)), (None, version), missing)
                self._named(dir, name, None, clock, missing)
            raise
        self._learn(found.attr, clock, until)
        self._learn(found.dir, clock, until)
        if not self._changes.since(clock, *scopes):
            version = self._changes.version(*scopes)
            self._names.put((dir, name, who(ctx)), (found.attr.key, version), until)
            self._named(dir, name, found.attr.ino, clock, until)
        return found

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """See `Backend.access`."""
        place, scope = (key, who(ctx)), (key.ino,)
        version = self._changes.version(scope)
        granted = self._rights.get(place)
        if granted is not None and granted[1] == version:
            attr = self._attr(key)
            if attr is not None:
                self._counted["rights", "hits"] += 1
                return Granted(mask & granted[0], attr)
        self._counted["rights", "misses"] += 1
        ask = partial(self._access, ctx, key)
        if version == BUSY:
            answer = await ask()
        else:
            answer = await self._asking.get((place, version), ask)
        return Granted(answer.access & mask, answer.attr)

    async def _access(self, ctx: Context, key: Key) -> Granted:
        clock, until = self._changes.clock, self._until()
        granted = await self.below.access(ctx, key, _ALL_ACCESS)
        self._learn(granted.attr, clock, until)
        if not self._changes.since(clock, (key.ino,)):
            version = self._changes.version((key.ino,))
            self._rights.put((key, who(ctx)), (granted.access, version), until)
        return granted

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """See `Backend.parent`; always from `below`."""
        clock, until = self._changes.clock, self._until()
        attr = await self.below.parent(ctx, dir)
        self._learn(attr, clock, until)
        return attr

    async def readlink(self, ctx: Context, key: Key) -> Target:
        """See `Backend.readlink`; always from `below`."""
        clock, until = self._changes.clock, self._until()
        target = await self.below.readlink(ctx, key)
        self._learn(target.attr, clock, until)
        return target

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """See `Backend.read`; always from `below`."""
        clock, until = self._changes.clock, self._until()
        data = await self.below.read(ctx, key, offset, count)
        self._learn(data.attr, clock, until)
        return data

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """See `Backend.readdir`; always from `below`."""
        clock, until = self._changes.clock, self._until()
        listing = await self.below.readdir(ctx, dir, cookie, count, plus)
        self._learn(listing.attr, clock, until)

        def learn(entry: DirEntry) -> DirEntry:
            self._learn(entry.attr, clock, until)
            return entry

        return relisted(listing, listing.attr, learn) if plus else listing
