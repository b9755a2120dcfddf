"""Planted faults: names, listings, reading, rights. Each names the kit tests that must find it."""

from __future__ import annotations

import dataclasses
from typing import Any

from planted import found_by

from backends import permissions
from backends.base import (
    Attr,
    Buffer,
    Context,
    CreateMode,
    DirEntry,
    Found,
    FsError,
    FsStat,
    Granted,
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

# Names


@found_by("test_remove")
class RemovedFilesLive(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        node = self._dir(dir).get(name)
        done = await super().remove(ctx, dir, name)
        if node is not None:
            self._nodes[node.key] = node
        return done


@found_by("test_rmdir_of_a_full_directory")
class RmdirIsRecursive(MemoryBackend):
    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        key = (await self.lookup(ctx, dir, name)).attr.key
        for child in list(self._dir(key).entries):
            await self.remove(ctx, key, child)
        return await super().rmdir(ctx, dir, name)


@found_by("test_link_of_a_directory")
class LinksDirectories(MemoryBackend):
    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        self._check_free(ctx, self._dir(dir), name)
        return self._enter(self._dir(dir), name, self._node(key))


class _Renames(MemoryBackend):
    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        old = self._dir(to_dir).get(to_name)
        await self.first(ctx, from_dir, from_name, to_dir, to_name)
        done = await super().rename(ctx, from_dir, from_name, to_dir, to_name)
        if old is not None:
            self.then(old.key)
        return done

    async def first(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> None: ...

    def then(self, victim: Key) -> None: ...


@found_by("test_rename_table")
class RenameRemovesTheTargetFirst(_Renames):
    async def first(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> None:
        old = self._dir(to_dir).get(to_name)
        if old is not None and old is not self._dir(from_dir).get(from_name):
            await self.remove(ctx, to_dir, to_name)


@found_by("test_over_another_name_of_the_same_file")
class RenameOverItselfUnlinks(_Renames):
    async def first(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> None:
        if (from_dir, from_name) != (to_dir, to_name) and self._dir(to_dir).get(
            to_name
        ) is self._dir(from_dir).get(from_name):
            await self.remove(ctx, to_dir, to_name)


@found_by("test_a_directory_into_itself")
class RenameIntoItself(MemoryBackend):
    def _check_rename(self, ctx: Context, source: Any, node: Any, target: Any, old: Any) -> None:
        if old is not None:
            super()._check_rename(ctx, source, node, target, old)


@found_by("test_a_moved_directory_has_another_parent")
class ForgetsTheNewParent(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        made = await super().mkdir(ctx, dir, name, attr)
        self.parents = {**getattr(self, "parents", {}), made.attr.key: dir}
        return made

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        return await self.getattr(ctx, self.parents.get(dir, dir))


# Listings


@found_by("test_names_removed_while_listing")
class CookiesAreIndices(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        listing = await super().readdir(ctx, dir, 0, 1 << 30, plus)
        numbered = [
            DirEntry(entry.name, entry.ino, at, entry.attr)
            for at, entry in enumerate(listing.entries, 3)
        ]
        return Listing(numbered[max(0, cookie - 2) :], True, listing.attr)


@found_by("test_readdir_lists_every_name_once")
class CookieIsIgnored(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        listing = await super().readdir(ctx, dir, 0, 1 << 30, plus)
        return Listing(list(listing.entries)[:4], True, listing.attr)


@found_by("test_resume_behind_every_cookie")
class ResumesAtTheCookie(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        return await super().readdir(ctx, dir, max(0, cookie - 1), count, plus)


@found_by("test_readdir_lists_every_name_once")
class ListsDots(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        listing = await super().readdir(ctx, dir, cookie, count, plus)
        entries = list(listing.entries)
        if cookie == 0:
            entries.insert(0, DirEntry(b".", dir.ino, 3))
        return Listing(entries, listing.eof, listing.attr)


@found_by("test_readdir_plus_is_up_to_date")
class PlusFromACache(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        listing = await super().readdir(ctx, dir, cookie, count, plus)
        cache: dict[int, Attr] = self.__dict__.setdefault("cache", {})
        entries = list(listing.entries)
        for entry in entries:
            if entry.attr is not None:
                entry.attr = cache.setdefault(entry.ino, entry.attr)
        return Listing(entries, listing.eof, listing.attr)


# Reading


@found_by("test_attributes_handed_out_never_change")
class ChangesAttrs(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        held: dict[Key, Attr] = self.__dict__.setdefault("held", {})
        new = await super().getattr(ctx, key)
        old = held.setdefault(key, dataclasses.replace(new))
        for field in ("mode", "nlink", "size", "used", "atime", "mtime", "ctime"):
            setattr(old, field, getattr(new, field))
        return old


@found_by("test_lookup_minds_the_case")
class FoldsCase(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        for other in self._dir(dir).entries:
            if other.lower() == name.lower():
                name = other
        return await super().lookup(ctx, dir, name)


@found_by("test_a_key_of_nothing_is_stale")
class IgnoresTheGeneration(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        for other in self._nodes:
            if other.ino == key.ino:
                return await super().getattr(ctx, other)
        raise FsError(Status.STALE)


@found_by("test_readlink")
class ResolvesLinks(MemoryBackend):
    async def readlink(self, ctx: Context, key: Key) -> Target:
        got = await super().readlink(ctx, key)
        return Target(b"/" + got.target, got.attr)


@found_by("test_access_grants_only_what_was_asked_for")
class GrantsAll(MemoryBackend):
    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        return Granted(0x3F, await self.getattr(ctx, key))


@found_by("test_statfs_is_sane")
class MoreFreeThanThereIs(MemoryBackend):
    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        return FsStat(1000, 2000, 2000)


@found_by("test_read_only_refuses_changes")
class NotReallyReadOnly(MemoryBackend):
    """Declared read-only, and filled with what the kit is told to expect."""

    switches = {"tree": {b"a": b"", b"b": b""}}

    def __init__(self) -> None:
        super().__init__()
        self.limits = dataclasses.replace(self.limits, read_only=True)

    async def start(self) -> None:
        root = await self.root(Context())
        for name in (b"a", b"b"):
            await self.create(Context(), root.key, name, CreateMode.GUARDED, SetAttr(), b"")


# Rights


@found_by("test_sticky_directory")
class IgnoresTheStickyBit(MemoryBackend):
    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        permissions.check_change(ctx, self._dir(dir))
        return await super().remove(Context(), dir, name)


@found_by("test_what_the_bits_allow")
class IgnoresSupplementaryGroups(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        return await super().lookup(Context(ctx.uid, ctx.gid), dir, name)


@found_by("test_what_the_bits_refuse")
class LooksUpForAnybody(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        return await super().lookup(Context(), dir, name)


@found_by("test_what_the_bits_refuse")
class WritesForAnybody(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        return await super().write(Context(), key, offset, data, stable)


@found_by("test_writing_takes_away_setuid")
class KeepsSetuid(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        permissions.check_write(ctx, self._file(key))
        return await super().write(Context(), key, offset, data, stable)


@found_by("test_new_files_are_the_callers")
class AllIsRoots(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        permissions.check_change(ctx, self._dir(dir))
        return await super().mkdir(Context(), dir, name, attr)


@found_by("test_only_the_superuser_gives_files_away")
class OwnersGiveAway(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        as_root = ctx.uid == self._node(key).uid
        return await super().setattr(Context() if as_root else ctx, key, attr, guard)
