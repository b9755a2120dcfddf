"""Planted faults: making files, and what is in them. Each names the kit tests that must find it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os

from planted import found_by

from backends.base import (
    Buffer,
    Context,
    CreateMode,
    Data,
    FsError,
    Key,
    Made,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend

# Creating


@found_by("test_exclusive_create_minds_all_64_bits")
class VerifierOf32Bits(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        return await super().create(ctx, dir, name, mode, attr, verifier[:4])


@found_by("test_exclusive_create_over_something")
class ExclusiveTakesWhatIsThere(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.EXCLUSIVE:
            mode = CreateMode.UNCHECKED
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_exclusive_create_again_is_the_same_file")
class ExclusiveIsGuarded(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.EXCLUSIVE:
            mode = CreateMode.GUARDED
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_unchecked_create_takes_an_existing_file")
class UncheckedTruncates(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.UNCHECKED and attr.size is None:
            attr = dataclasses.replace(attr, size=0)
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_guarded_creates_at_the_same_time")
class RacyCreate(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.GUARDED:
            try:
                await self.lookup(ctx, dir, name)
                raise FsError(Status.EXIST)
            except FsError as error:
                if error.status is not Status.NOENT:
                    raise
            await asyncio.sleep(0)
            mode = CreateMode.UNCHECKED
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_a_new_file_has_a_new_key")
class ReusesNumbers(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        key = (await self.lookup(ctx, dir, name)).attr.key
        self._numbers = itertools.count(key.ino)
        return await super().remove(ctx, dir, name)


@found_by("test_odd_names")
class NamesAreText(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        name = name.decode(errors="replace").encode()[:255]
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_mkdir")
class MkdirForgetsTheParentsNlink(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        made = await super().mkdir(ctx, dir, name, attr)
        self._dir(dir).nlink -= 1
        self._dir(dir).cached = None
        return made


# Files


@found_by("test_guard_that_does_not_match")
class IgnoresTheGuard(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        return await super().setattr(ctx, key, attr, None)


@found_by("test_a_size_for_what_is_no_file")
class SetsHalf(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr.mode is not None and attr.size is not None:
            await super().setattr(ctx, key, SetAttr(mode=attr.mode), guard)
        return await super().setattr(ctx, key, attr, guard)


@found_by("test_truncate_and_grow_again")
class TruncationKeepsData(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr.size is None:
            return await super().setattr(ctx, key, attr, guard)
        file, before = self._file(key), await self.getattr(ctx, key)
        file.size = attr.size
        file.modified(self._now())
        return Wcc(before, file.attr())


@found_by("test_read_tells_the_end")
class EofOnlyWhenShort(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        got = await super().read(ctx, key, offset, count)
        return dataclasses.replace(got, eof=len(got.data) < count)


@found_by("test_read_tells_the_end")
class EofTooEarly(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        got = await super().read(ctx, key, offset, count)
        return dataclasses.replace(got, eof=offset + count + 1 >= self._file(key).size)


@found_by("test_offsets_beyond_4_gib")
class OffsetsOf32Bits(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        return await super().write(ctx, key, offset & 0xFFFF_FFFF, data, stable)


@found_by("test_inline_write_copies_before_it_awaits")
class CopiesLate(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_write_is_as_stable_as_asked")
class NeverStable(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        return await super().write(ctx, key, offset, data, Stable.UNSTABLE)


@found_by("test_write_tells_before_and_after")
class BeforeIsAfter(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data, stable)
        done.wcc.before = done.wcc.after
        return done


@found_by("test_writing_nothing")
class EmptyWriteGrows(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data, stable)
        file = self._file(key)
        if offset > file.size:
            await self.setattr(ctx, key, SetAttr(size=offset))
        return done


@found_by("test_verifier_is_constant_while_nothing_is_lost")
class VerifierChanges(MemoryBackend):
    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        self.verifier = os.urandom(8)
        return await super().commit(ctx, key, offset, count)
