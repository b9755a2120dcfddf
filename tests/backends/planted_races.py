"""Planted faults: looking and doing that are two steps, in Tasks and in threads."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from planted import found_by

from backends.base import (
    Attr,
    Buffer,
    Context,
    CreateMode,
    Data,
    FileType,
    FsError,
    Key,
    Listing,
    Made,
    Renamed,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend
from backends.memory.inodes import Dir, File


async def _elsewhere() -> None:
    """Let others have their turn."""
    await asyncio.sleep(0)


class _LooksFirst(MemoryBackend):
    """Looks whether a name is free, waits, and then takes it from whoever has it."""

    async def look(self, ctx: Context, dir: Key, name: bytes) -> None:
        if name in self._dir(dir).entries:
            raise FsError(Status.EXIST)
        await _elsewhere()
        if name in self._dir(dir).entries:
            self._dir(dir).discard(name)


_NAMES = ("test_of_many_that_make_a_name_one_does", "test_a_name_is_one_things_only")


@found_by(*_NAMES)
class RacyMkdir(_LooksFirst):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        await self.look(ctx, dir, name)
        return await super().mkdir(ctx, dir, name, *args, **more)


@found_by(*_NAMES)
class RacySymlink(_LooksFirst):
    async def symlink(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        await self.look(ctx, dir, name)
        return await super().symlink(ctx, dir, name, *args, **more)


@found_by(*_NAMES)
class RacyMknod(_LooksFirst):
    async def mknod(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        await self.look(ctx, dir, name)
        return await super().mknod(ctx, dir, name, *args, **more)


@found_by(*_NAMES)
class RacyLink(_LooksFirst):
    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        await self.look(ctx, dir, name)
        return await super().link(ctx, key, dir, name)


class _Creates(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        found = self._dir(dir).get(name)
        await _elsewhere()
        if found is None and name in self._dir(dir).entries and self.mistakes(mode):
            self._dir(dir).discard(name)
        return await super().create(ctx, dir, name, mode, attr, verifier)

    def mistakes(self, mode: CreateMode) -> bool:
        return False


@found_by("test_exclusive_creates_at_the_same_time", "test_of_exclusive_creates_one_verifier_wins")
class RacyExclusive(_Creates):
    def mistakes(self, mode: CreateMode) -> bool:
        return mode is CreateMode.EXCLUSIVE


@found_by("test_unchecked_creates_make_one_file")
class RacyUnchecked(_Creates):
    def mistakes(self, mode: CreateMode) -> bool:
        return mode is CreateMode.UNCHECKED


@found_by("test_making_and_removing_one_name", "test_of_many_that_make_a_name_one_does")
class RacyGuarded(_Creates):
    def mistakes(self, mode: CreateMode) -> bool:
        return mode is CreateMode.GUARDED


@found_by("test_of_many_that_remove_a_name_one_does", "test_remove_against_rename")
class RacyRemove(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        before = self._dir(dir).attr()
        await self.lookup(ctx, dir, name)
        await _elsewhere()
        if name not in self._dir(dir).entries:
            return Wcc(before, self._dir(dir).attr())
        return await super().remove(ctx, dir, name)


@found_by("test_of_many_that_remove_a_name_one_does")
class RacyRmdir(MemoryBackend):
    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        before = self._dir(dir).attr()
        await self.lookup(ctx, dir, name)
        await _elsewhere()
        if name not in self._dir(dir).entries:
            return Wcc(before, self._dir(dir).attr())
        return await super().rmdir(ctx, dir, name)


@found_by("test_rmdir_against_a_new_name_in_it")
class RmdirLooksFirst(MemoryBackend):
    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        node = self._child(ctx, self._dir(dir), name)
        if isinstance(node, Dir) and not node.entries:
            await _elsewhere()
            node.entries.clear()
        return await super().rmdir(ctx, dir, name)


@found_by("test_rmdir_against_a_new_name_in_it", "test_a_storm_leaves_a_sound_tree")
class MkdirLooksFirst(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        parent = self._dir(dir)
        await _elsewhere()
        removed = dir not in self._nodes
        self._nodes[dir] = parent
        try:
            return await super().mkdir(ctx, dir, name, *args, **more)
        finally:
            if removed:
                del self._nodes[dir]


@found_by("test_two_renames_make_no_loop")
class RenameLooksFirst(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        source, target = self._dir(from_dir), self._dir(to_dir)
        node, old = self._child(ctx, source, from_name), target.get(to_name)
        if old is not None or not isinstance(node, Dir):
            return await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        befores = source.attr(), target.attr()
        self._check_rename(ctx, source, node, target, old)
        await _elsewhere()
        if source.get(from_name) is not node or to_name in target.entries:
            raise FsError(Status.NOENT)
        source.discard(from_name)
        target.add(to_name, node)
        node.changed(self._now())
        source.modified(self._now())
        target.modified(self._now())
        return Renamed(Wcc(befores[0], source.attr()), Wcc(befores[1], target.attr()))


@found_by(
    "test_a_target_that_is_replaced_is_always_there",
)
class RenameRemovesFirst(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        node, old = self._dir(from_dir).get(from_name), self._dir(to_dir).get(to_name)
        if isinstance(old, File) and isinstance(node, File) and old is not node:
            await self.remove(ctx, to_dir, to_name)
            await _elsewhere()
        return await super().rename(ctx, from_dir, from_name, to_dir, to_name)


@found_by("test_one_file_renamed_by_many")
class RenameLinksFirst(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        source, target = self._dir(from_dir), self._dir(to_dir)
        node = self._child(ctx, source, from_name)
        if not isinstance(node, File) or to_name in target.entries:
            return await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        befores = source.attr(), target.attr()
        target.add(to_name, node)
        node.changed(self._now())
        await _elsewhere()
        if source.get(from_name) is node:
            source.discard(from_name)
        source.modified(self._now())
        target.modified(self._now())
        return Renamed(Wcc(befores[0], source.attr()), Wcc(befores[1], target.attr()))


@found_by(
    "test_writes_of_other_ranges_do_not_touch_each_other",
    "test_writes_at_the_same_time",
    "test_commit_while_it_is_written",
)
class WritesWholeObjects(MemoryBackend):
    """Reads all, changes a part, and puts all back."""

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        size = self._file(key).size
        whole = bytearray(self._file(key).read(0, size)) if size < 1 << 20 else None
        data = bytes(data)
        await _elsewhere()
        done = await super().write(ctx, key, offset, data, stable)
        if whole is not None:
            whole.extend(bytes(max(0, offset + len(data) - len(whole))))
            whole[offset : offset + len(data)] = data
            file = self._file(key)
            file.write(0, whole)
        return done


@found_by("test_where_writes_overlap_each_byte_is_of_one")
class MixesWrites(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        data = bytes(data)
        busy: list[Key] = self.__dict__.setdefault("busy", [])
        busy.append(key)
        await _elsewhere()
        if busy.count(key) > 4:
            data = bytes(byte | 0x80 for byte in data)
        busy.remove(key)
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_reading_while_it_is_written")
class TruncatesBeforeItWrites(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        data = bytes(data)
        if offset == 0 and len(data) >= self._file(key).size:
            await self.setattr(ctx, key, SetAttr(size=0))
            await _elsewhere()
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_reading_while_it_is_truncated", "test_reading_while_it_is_removed")
class PadsReads(MemoryBackend):
    """What has gone since the size was looked up is filled with anything."""

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        size = self._file(key).size
        await _elsewhere()
        if key not in self._nodes:
            return Data(b"?" * min(count, size), True)
        got = await super().read(ctx, key, offset, count)
        wanted = min(count, max(0, size - offset))
        return dataclasses.replace(got, data=bytes(got.data).ljust(wanted, b"?"))


@found_by("test_writing_while_it_is_truncated")
class SizeComesLater(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        wcc = await super().setattr(ctx, key, attr, guard)
        if attr.size is not None:
            await _elsewhere()
            self._file(key).size = attr.size
            self._file(key).write(attr.size, b"\xff")
        return wcc


@found_by("test_of_setattrs_with_one_guard_one_succeeds")
class RacyGuard(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if guard is not None and guard != self._node(key).ctime:
            raise FsError(Status.NOT_SYNC)
        await _elsewhere()
        return await super().setattr(ctx, key, attr)


@found_by("test_setattrs_of_different_attributes_all_hold")
class SetsAllAttributes(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        node = self._node(key)
        mode = node.mode
        await _elsewhere()
        wcc = await super().setattr(ctx, key, attr, guard)
        if attr.mode is None:
            node.mode, node.cached = mode, None
        return dataclasses.replace(wcc, after=node.attr())


@found_by("test_links_are_counted")
class CountsLinksLate(MemoryBackend):
    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        count = self._node(key).nlink
        await _elsewhere()
        made = await super().link(ctx, key, dir, name)
        self._node(key).nlink = count + 1
        self._node(key).cached = None
        return made


@found_by("test_subdirectories_are_counted")
class CountsSubdirectoriesLate(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        count = self._dir(dir).nlink
        await _elsewhere()
        made = await super().mkdir(ctx, dir, name, *args, **more)
        self._dir(dir).nlink = count + 1
        self._dir(dir).cached = None
        return made


@found_by("test_200_calls_at_once", "test_creates_of_many_names_at_the_same_time")
class FewCallsAtOnce(MemoryBackend):
    async def create(self, *args: Any, **more: Any) -> Made:
        running = self.__dict__["running"] = self.__dict__.get("running", 0) + 1
        try:
            await _elsewhere()
            if running > 64:
                raise FsError(Status.IO, "no connection is free")
            return await super().create(*args, **more)
        finally:
            self.__dict__["running"] -= 1


@found_by("test_200_lookups_and_listings_at_once")
class OneListingAtATime(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        self.__dict__["at"] = cookie
        await _elsewhere()
        return await super().readdir(ctx, dir, self.__dict__["at"], count, plus)


@found_by("test_listing_while_names_move")
class ListsByPlace(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        got = await super().readdir(ctx, dir, 0, 1 << 30, plus)
        entries = [dataclasses.replace(entry, cookie=at) for at, entry in enumerate(got.entries, 3)]
        await _elsewhere()
        page = entries[max(0, cookie - 2) :][:8]
        return Listing(page, max(0, cookie - 2) + 8 >= len(entries), got.attr)


@found_by("test_a_cancelled_call_leaves_nothing_half_done")
class CreatesInTwoSteps(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        made = await super().create(ctx, dir, name, mode, SetAttr(mode=attr.mode), verifier)
        if attr.size:
            await _elsewhere()
            await self.setattr(ctx, made.attr.key, SetAttr(size=attr.size))
        return dataclasses.replace(made, attr=await self.getattr(ctx, made.attr.key))


@found_by("test_a_cancelled_call_leaves_nothing_half_done", "test_a_crash_while_many_calls_run")
class MovesInTwoSteps(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        source, target = self._dir(from_dir), self._dir(to_dir)
        node = self._child(ctx, source, from_name)
        if from_dir == to_dir or to_name in target.entries or node.type is not FileType.REG:
            return await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        befores = source.attr(), target.attr()
        source.discard(from_name)
        source.modified(self._now())
        await _elsewhere()
        target.add(to_name, node)
        target.modified(self._now())
        return Renamed(Wcc(befores[0], source.attr()), Wcc(befores[1], target.attr()))


# Threads


@found_by("test_of_many_that_make_a_name_one_does", "test_guarded_creates_at_the_same_time")
class RacyInThreads(MemoryBackend):
    """A blocking backend without a lock: two look before one of them does."""

    inline = False
    blocking = True

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.GUARDED:
            if name in self._dir(dir).entries:
                raise FsError(Status.EXIST)
            looked: list[bytes] = self.__dict__.setdefault("looked", [])
            looked.append(name)
            for _ in range(100):
                if looked.count(name) > 1:
                    break
                time.sleep(0.001)
        return await super().create(ctx, dir, name, CreateMode.UNCHECKED, attr, verifier)


@found_by("test_lookup_and_getattr_agree")
class BlocksAndAwaits(MemoryBackend):
    inline = False
    blocking = True

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        await _elsewhere()
        return await super().getattr(ctx, key)
