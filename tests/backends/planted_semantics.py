"""Planted faults: what POSIX and RFC 1813 ask of single operations."""

from __future__ import annotations

import dataclasses
from typing import Any

from planted import found_by

from backends import permissions
from backends.base import (
    NOW,
    Attr,
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
from backends.memory import MemoryBackend
from backends.memory.inodes import Dir


@found_by(
    "test_a_removed_directory_is_stale_for_all",
    "test_a_removed_directory_is_stale_in_all",
    "test_make_in_a_file_or_nowhere",
    "test_link_into_what_is_no_directory",
)
class GoneIsNoent(MemoryBackend):
    """As a backend has it that goes by paths."""

    def _dir(self, key: Key) -> Dir:
        if key not in self._nodes:
            raise FsError(Status.NOENT)
        return super()._dir(key)


@found_by(
    "test_make_in_a_file_or_nowhere",
    "test_remove_and_rmdir_in_a_file",
    "test_link_into_what_is_no_directory",
)
class NoDirIsInvalid(MemoryBackend):
    def _dir(self, key: Key) -> Dir:
        if not isinstance(self._node(key), Dir):
            raise FsError(Status.INVAL)
        return super()._dir(key)


@found_by("test_a_setgid_directory_gives_its_group")
class IgnoresSetgid(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        permissions.check_change(ctx, self._dir(dir))
        gid = ctx.gid if attr.gid is None else attr.gid
        return await super().mkdir(ctx, dir, name, dataclasses.replace(attr, gid=gid))


@found_by("test_commit_by_the_writer")
class CommitChecksTheMode(MemoryBackend):
    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        permissions.check(ctx, self._node(key), permissions.WRITE)
        return await super().commit(ctx, key, offset, count)


@found_by("test_create_with_a_size")
class CreateIgnoresTheSize(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.GUARDED:
            attr = dataclasses.replace(attr, size=None)
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_device_nodes_are_the_superusers")
class AnybodyMakesDevices(MemoryBackend):
    async def mknod(
        self, ctx: Context, dir: Key, name: bytes, type: FileType, rdev: tuple[int, int],
        attr: SetAttr,
    ) -> Made:  # fmt: skip
        return await super().mknod(Context(), dir, name, type, rdev, attr)


@found_by("test_getattr_needs_no_permission")
class GetattrChecksTheMode(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        permissions.check_read(ctx, self._node(key))
        return await super().getattr(ctx, key)


@found_by("test_owner_and_group")
class GroupsOf16Bits(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr.gid is not None:
            attr = dataclasses.replace(attr, gid=attr.gid & 0xFFFF)
        return await super().setattr(ctx, key, attr, guard)


@found_by("test_peek_is_up_to_date")
class PeeksIntoACache(MemoryBackend):
    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        known: dict[tuple[Key, bytes], int | None] = self.__dict__.setdefault("known", {})
        if (dir, name) not in known:
            known[dir, name] = await super().peek(ctx, dir, name)
        return known[dir, name]


@found_by("test_peek_needs_search_permission")
class PeeksForAnybody(MemoryBackend):
    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        node = self._dir(dir).get(name)
        return node.key.ino if node else None


@found_by("test_peek_says_what_lookup_finds")
class PeeksIntoFiles(MemoryBackend):
    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        try:
            return await super().peek(ctx, dir, name)
        except FsError as error:
            if error.status is Status.NOTDIR:
                return None
            raise


@found_by("test_times_of_now")
class NowIsATime(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr.mtime == NOW:
            attr = dataclasses.replace(attr, mtime=0)
        return await super().setattr(ctx, key, attr, guard)


@found_by("test_write_to_what_is_no_file")
class WriteToADirIsNotsupp(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if self._node(key).type is not FileType.REG:
            raise FsError(Status.NOTSUPP)
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_writes_from_the_end_to_the_start", "test_overwriting_keeps_the_rest")
class OverwritingTruncates(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if data:
            await self.setattr(Context(), key, SetAttr(size=min(offset, self._file(key).size)))
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_many_small_writes")
class ForgetsTheHundredth(MemoryBackend):
    """A write-back buffer with a bound, and nothing defined at it."""

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        count = self.__dict__["count"] = self.__dict__.get("count", 0) + 1
        if count == 100:
            data = bytes(len(data))
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_parent_of_what_is_gone")
class OrphansAreTheRoots(MemoryBackend):
    async def parent(self, ctx: Context, dir: Key) -> Attr:
        if dir not in self._nodes:
            return await self.root(ctx)
        return await super().parent(ctx, dir)


@found_by("test_a_replaced_file_is_stale")
class ReplacedFilesLive(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        old = self._dir(to_dir).get(to_name)
        done = await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        if old is not None:
            self._nodes[old.key] = old
        return done


@found_by("test_a_moved_directory_keeps_its_children", "test_a_random_walk")
class MovedDirsAreNotCounted(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        node = self._dir(from_dir).get(from_name)
        done = await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        if from_dir != to_dir and isinstance(node, Dir):
            self._dir(to_dir).nlink -= 1
            self._dir(to_dir).cached = None
        return done


@found_by("test_mode", "test_several_attributes_at_once", "test_a_random_walk")
class LosesTheUpperModeBits(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr.mode is not None:
            attr = dataclasses.replace(attr, mode=attr.mode & 0o666)
        return await super().setattr(ctx, key, attr, guard)


@found_by("test_mode", "test_link", "test_a_file_lives_as_long_as_its_last_name")
class CtimeStands(MemoryBackend):
    def _now(self) -> int:
        return self.__dict__.setdefault("then", super()._now())  # type: ignore[no-any-return]


@found_by("test_a_removed_symlink_is_stale")
class RemembersTargets(MemoryBackend):
    async def readlink(self, ctx: Context, key: Key) -> Any:
        known: dict[Key, Any] = self.__dict__.setdefault("known", {})
        if key not in known:
            known[key] = await super().readlink(ctx, key)
        return known[key]
