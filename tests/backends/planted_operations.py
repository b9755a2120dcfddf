"""Planted faults: operations that do too much, too little, or the like of something else."""

from __future__ import annotations

import dataclasses
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
    Target,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend
from backends.memory.inodes import Symlink


@found_by("test_write_copies_its_data")
class KeepsTheBuffer(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        self.__dict__.setdefault("kept", []).append((key, offset, data))
        return await super().write(ctx, key, offset, data, stable)

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        for kept, at, data in self.__dict__.get("kept", []):
            if kept == key:
                self._file(key).write(at, data)
        return await super().read(ctx, key, offset, count)


@found_by("test_case_of_names", "test_lookup_minds_the_case")
class SaysThatCaseIsOne(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, case_insensitive=True)


@found_by("test_chmod")
class AnybodyChmods(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        return await super().setattr(
            Context() if attr == SetAttr(mode=attr.mode) else ctx, key, attr, guard
        )


@found_by("test_guarded_create_over_something")
class GuardedTakesWhatIsThere(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.GUARDED:
            mode = CreateMode.UNCHECKED
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_unchecked_create_over_what_is_no_file")
class UncheckedReplacesLinks(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        if mode is CreateMode.UNCHECKED and isinstance(self._dir(dir).get(name), Symlink):
            await self.remove(ctx, dir, name)
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_create_makes_an_empty_file")
class IgnoresTheMode(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        attr = dataclasses.replace(attr, mode=0o644)
        return await super().create(ctx, dir, name, mode, attr, verifier)


@found_by("test_exclusive_create_again_keeps_data")
class ExclusiveAgainTruncates(MemoryBackend):
    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        made = await super().create(ctx, dir, name, mode, attr, verifier)
        if mode is CreateMode.EXCLUSIVE:
            self._file(made.attr.key).truncate(0)
            self._file(made.attr.key).cached = None
        return made


@found_by("test_make_over_something")
class MkdirOfADirIsFine(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        parent = self._dir(dir)
        node = parent.get(name)
        if node is not None and node.type is FileType.DIR:
            return Made(node.attr(), Wcc(parent.attr(), parent.attr()))
        return await super().mkdir(ctx, dir, name, attr)


@found_by("test_remove_of_a_directory")
class RemoveTakesDirectories(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        node = self._dir(dir).get(name)
        if node is not None and node.type is FileType.DIR:
            return await self.rmdir(ctx, dir, name)
        return await super().remove(ctx, dir, name)


@found_by("test_rmdir_of_what_is_no_directory")
class RmdirTakesFiles(MemoryBackend):
    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        node = self._dir(dir).get(name)
        if node is not None and node.type is not FileType.DIR:
            return await self.remove(ctx, dir, name)
        return await super().rmdir(ctx, dir, name)


@found_by("test_remove_and_rmdir_of_a_missing_name")
class RemoveOfNothingIsFine(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        parent = self._dir(dir)
        if name not in parent.entries:
            return Wcc(parent.attr(), parent.attr())
        return await super().remove(ctx, dir, name)


@found_by("test_link_over_something")
class LinkReplaces(MemoryBackend):
    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        old = self._dir(dir).get(name)
        if old is not None and old.type is FileType.REG and old.key != key:
            await self.remove(ctx, dir, name)
        return await super().link(ctx, key, dir, name)


@found_by("test_to_its_own_name")
class RenameToItselfRemoves(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        done = await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        if (from_dir, from_name) == (to_dir, to_name):
            self._dir(to_dir).discard(to_name)
        return done


@found_by("test_readdir_plus_gives_what_getattr_gives", "test_every_kind_is_listed_with_its_type")
class PlusHasNoSizes(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        got = await super().readdir(ctx, dir, cookie, count, plus)
        entries = list(got.entries)
        for entry in entries:
            if entry.attr is not None:
                entry.attr = dataclasses.replace(entry.attr, size=0)
        return Listing(entries, got.eof, got.attr)


@found_by("test_parent", "test_a_moved_directory_has_another_parent")
class AllAreInTheRoot(MemoryBackend):
    async def parent(self, ctx: Context, dir: Key) -> Attr:
        self._dir(dir)
        return await self.root(ctx)


@found_by("test_read_of_what_is_no_file")
class ReadsLinks(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        node = self._node(key)
        if isinstance(node, Symlink):
            return Data(node.target[offset : offset + count], True)
        return await super().read(ctx, key, offset, count)


@found_by("test_readlink_of_what_is_no_link")
class FilesHaveNoTarget(MemoryBackend):
    async def readlink(self, ctx: Context, key: Key) -> Target:
        if self._node(key).type is FileType.REG:
            return Target(b"")
        return await super().readlink(ctx, key)


@found_by("test_the_superuser_may_do_all")
class RootIsSquashed(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Any:
        ctx = Context(65534, 65534) if ctx.uid == 0 and not self._dir(dir).mode else ctx
        return await super().lookup(ctx, dir, name)


@found_by("test_what_is_not_declared_is_refused")
class DoesMoreThanItSays(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, links=False, link_max=9)


@found_by("test_setting_nothing")
class SettingNothingIsAChange(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        if attr == SetAttr():
            self._node(key).modified(self._now())
        return await super().setattr(ctx, key, attr, guard)


@found_by("test_root_key_never_changes")
class RootsOfTheirOwn(MemoryBackend):
    async def root(self, ctx: Context) -> Attr:
        return dataclasses.replace(await super().root(ctx), generation=ctx.uid)


@found_by("test_every_file_has_its_own_key")
class LinksHaveTheirTargetsKey(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Any:
        node = self._dir(dir).get(name)
        if isinstance(node, Symlink) and node.target in self._dir(dir).entries:
            name = node.target
        return await super().lookup(ctx, dir, name)


@found_by("test_a_removed_file_is_stale_for_all")
class CommitOfNothingIsFine(MemoryBackend):
    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        if key not in self._nodes:
            return Wcc()
        return await super().commit(ctx, key, offset, count)


@found_by("test_guard_from_before_a_change", "test_a_size_changes_the_times")
class ResizingIsNoChange(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        node = self._node(key)
        before = node.mtime, node.ctime
        wcc = await super().setattr(ctx, key, attr, guard)
        if attr.size is not None:
            node.mtime, node.ctime = before
            node.cached = None
        return dataclasses.replace(wcc, after=node.attr())

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        ctime = self._file(key).ctime
        done = await super().write(ctx, key, offset, data, stable)
        self._file(key).ctime = ctime
        self._file(key).cached = None
        done.wcc.after = self._file(key).attr()
        return done


@found_by("test_statfs_of_a_file")
class StatfsOfDirectoriesOnly(MemoryBackend):
    async def statfs(self, ctx: Context, key: Key) -> Any:
        if self._node(key).type is not FileType.DIR:
            raise FsError(Status.NOTDIR)
        return await super().statfs(ctx, key)


@found_by("test_a_lazy_listing_bears_changes")
class ListsALiveDict(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        got = await super().readdir(ctx, dir, cookie, count, plus)
        known = {entry.name: entry for entry in got.entries}
        live = self._dir(dir).entries
        return Listing((known[name] for name in live if name in known), got.eof, got.attr)
