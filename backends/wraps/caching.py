"""What wraps that keep results stand on: they learn of every change that goes through them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from backends.base import (
    Backend,
    Buffer,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    Made,
    Renamed,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.caches import Change, Changes, Lru
from backends.wrap import Wrap

#: Whom permissions are checked for. What was given to one is not given to another.
Who: TypeAlias = tuple[int, int, tuple[int, ...], str, str]


def who(ctx: Context) -> Who:
    """The identity of a caller, without the deadline of the call."""
    return ctx.uid, ctx.gid, ctx.groups, ctx.client, ctx.export


class Caching(Wrap):
    """A wrap that keeps results for `seconds`, and knows what changes through it.

    `changes` has three kinds of scopes: ``ino`` for a file's attributes and data, ``(ino,)`` for
    who may do what with it, ``(ino, name)`` for a name in a directory. They stand for files by
    number alone: it has one generation at a time.

    A change makes its scopes busy from its begin to its end, also if it fails or is cancelled. A
    name's file changes too when the name is removed or replaced; which one that is, is asked of
    `below` before (`peek`), unless the server has just done so. If names change at the same time so
    that this may be another, everything is forgotten.

    A change that is cancelled, and yet takes place later (in a thread, say), is like one made
    elsewhere: it shows after `seconds`.
    """

    def __init__(self, below: Backend, seconds: float, entries: int) -> None:
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds is {seconds}, and must be 0 or more")
        super().__init__(below)
        self._now: Callable[[], float] = time.monotonic
        self._seconds = seconds
        self._changes = Changes(entries)
        #: What a name stands for: an inode number or nothing, and the version of that.
        self._behind: Lru[tuple[Key, bytes], tuple[int | None, int]] = Lru(
            entries, clock=self._time
        )

    def _time(self) -> float:
        return self._now()

    # What a subclass does with what went well

    def _settled(self, change: Change, key: Key, wcc: Wcc) -> None:
        """A change has ended, and this is what it says of `key`."""

    def _made(self, change: Change, ctx: Context, dir: Key, name: bytes, made: Made) -> None:
        """A name has got a file."""

    # Names

    def _named(self, dir: Key, name: bytes, ino: int | None, clock: int, until: float) -> None:
        """What a name stands for, as it was found by a fetch that began at `clock`."""
        scope = (dir.ino, name)
        if not self._changes.since(clock, scope):
            self._behind.put((dir, name), (ino, self._changes.version(scope)), until)

    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        """See `Backend.peek`; always from `below`."""
        clock, until = self._changes.clock, self._now() + self._seconds
        ino = await self.below.peek(ctx, dir, name)
        self._named(dir, name, ino, clock, until)
        return ino

    def _known(self, dir: Key, name: bytes) -> tuple[int | None, int] | None:
        """What `name` stands for, if that is known; to be asked before a change begins."""
        known = self._behind.get((dir, name))
        fits = known is not None and self._changes.version((dir.ino, name)) == known[1]
        return known if fits else None

    async def _victim(
        self,
        change: Change,
        ctx: Context,
        dir: Key,
        name: bytes,
        known: tuple[int | None, int] | None,
    ) -> None:
        """Add the file that `name` stands for to a change of that name."""
        change.rest_on((dir.ino, name))
        try:
            ino = await self.below.peek(ctx, dir, name) if known is None else known[0]
        except (FsError, OSError):
            change.unknown()
            return
        if ino is not None:
            change.add(ino, (ino,))

    # Changes of one file

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """See `Backend.setattr`."""
        with self._changes.begin(key.ino, (key.ino,)) as change:
            wcc = await self.below.setattr(ctx, key, attr, guard)
        self._settled(change, key, wcc)
        return wcc

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """See `Backend.write`."""
        with self._changes.begin(key.ino) as change:
            written = await self.below.write(ctx, key, offset, data, stable)
        self._settled(change, key, written.wcc)
        return written

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """See `Backend.commit`."""
        with self._changes.begin(key.ino) as change:
            wcc = await self.below.commit(ctx, key, offset, count)
        self._settled(change, key, wcc)
        return wcc

    # New names

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """See `Backend.create`. UNCHECKED may truncate a file that is there."""
        known = self._known(dir, name)
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            if mode is CreateMode.UNCHECKED and attr.size is not None:
                await self._victim(change, ctx, dir, name, known)
            made = await self.below.create(ctx, dir, name, mode, attr, verifier)
        self._made(change, ctx, dir, name, made)
        return made

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """See `Backend.mkdir`."""
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            made = await self.below.mkdir(ctx, dir, name, attr)
        self._made(change, ctx, dir, name, made)
        return made

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """See `Backend.symlink`."""
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            made = await self.below.symlink(ctx, dir, name, target, attr)
        self._made(change, ctx, dir, name, made)
        return made

    async def mknod(
        self,
        ctx: Context,
        dir: Key,
        name: bytes,
        type: FileType,
        rdev: tuple[int, int],
        attr: SetAttr,
    ) -> Made:
        """See `Backend.mknod`."""
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            made = await self.below.mknod(ctx, dir, name, type, rdev, attr)
        self._made(change, ctx, dir, name, made)
        return made

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """See `Backend.link`."""
        with self._changes.begin(key.ino, dir.ino, (dir.ino, name)) as change:
            made = await self.below.link(ctx, key, dir, name)
        self._made(change, ctx, dir, name, made)
        return made

    # Names that go

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """See `Backend.remove`."""
        known = self._known(dir, name)
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            await self._victim(change, ctx, dir, name, known)
            wcc = await self.below.remove(ctx, dir, name)
        self._settled(change, dir, wcc)
        return wcc

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """See `Backend.rmdir`."""
        known = self._known(dir, name)
        with self._changes.begin(dir.ino, (dir.ino, name)) as change:
            await self._victim(change, ctx, dir, name, known)
            wcc = await self.below.rmdir(ctx, dir, name)
        self._settled(change, dir, wcc)
        return wcc

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """See `Backend.rename`."""
        names = (from_dir.ino, from_name), (to_dir.ino, to_name)
        moved, replaced = self._known(from_dir, from_name), self._known(to_dir, to_name)
        with self._changes.begin(from_dir.ino, to_dir.ino, *names) as change:
            await self._victim(change, ctx, from_dir, from_name, moved)
            await self._victim(change, ctx, to_dir, to_name, replaced)
            done = await self.below.rename(ctx, from_dir, from_name, to_dir, to_name)
        self._settled(change, from_dir, done.from_dir)
        self._settled(change, to_dir, done.to_dir)
        return done


def is_missing(exc: FsError | OSError) -> bool:
    """Whether an error says that there is no such name."""
    if isinstance(exc, FsError):
        return exc.status is Status.NOENT
    return isinstance(exc, FileNotFoundError)
