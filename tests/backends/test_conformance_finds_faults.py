"""That the kit can fail: backends with one planted fault each, and the test that must find it.

The kit's tests are run as functions; that the same tests pass with `MemoryBackend` is what
`test_memory` shows.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends import permissions
from backends.base import (
    Attr,
    Backend,
    Buffer,
    Context,
    CreateMode,
    Data,
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
from backends.conformance import BackendConformance
from backends.memory import MemoryBackend

Test = Callable[..., None]


def kit_tests(kit: type) -> dict[str, Test]:
    """The kit's tests by name."""
    members = inspect.getmembers(kit, inspect.isfunction)
    return {name: test for name, test in members if name.startswith("test_")}


def arguments_of(test: Test) -> Iterator[dict[str, Any]]:
    """What `pytest.mark.parametrize` would call a test with."""
    choices: list[list[dict[str, Any]]] = []
    for mark in getattr(test, "pytestmark", []):
        assert mark.name == "parametrize"
        names, values = mark.args
        if isinstance(names, str):
            choices.append([{names: value} for value in values])
        else:
            choices.append([dict(zip(names, value, strict=True)) for value in values])
    for chosen in itertools.product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}


def failures(kit: BackendConformance, name: str, tmp_path: Path) -> int:
    """How many runs of one test fail."""
    test, failed = kit_tests(type(kit))[name], 0
    for arguments in arguments_of(test):
        try:
            test(kit, tmp_path, **arguments)
        except pytest.skip.Exception:
            pass
        except (AssertionError, FsError, pytest.fail.Exception):
            failed += 1
    return failed


class Kit(BackendConformance):
    """The kit, for any kind of memory backend."""

    tick = 0

    def __init__(self, make: Callable[[], Backend]) -> None:
        self.factory = make

    def make_backend(self, tmp_path: Path) -> Backend:
        return self.factory()

    def reopen(self, tmp_path: Path) -> Backend:
        return self.factory()


FAULTS: dict[type[MemoryBackend], str] = {}


def found_by(test: str) -> Callable[[type[MemoryBackend]], type[MemoryBackend]]:
    def register(fault: type[MemoryBackend]) -> type[MemoryBackend]:
        FAULTS[fault] = test
        return fault

    return register


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
    """Declared read-only once the kit has filled it."""

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


# Restart


@found_by("test_keys_and_data_stay_valid")
class ForgetsAll(MemoryBackend):
    """`Kit.reopen` gives a new one: nothing of it is there any more."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_found(fault: type[MemoryBackend], tmp_path: Path) -> None:
    kit = Kit(fault)
    if fault is NotReallyReadOnly:
        kit.tree = {b"a": b"", b"b": b""}  # type: ignore[misc]
    assert failures(kit, FAULTS[fault], tmp_path), f"{FAULTS[fault]} does not find {fault.__name__}"


@pytest.mark.parametrize("name", sorted({*FAULTS.values()} - {"test_keys_and_data_stay_valid"}))
def test_no_fault_is_found_where_there_is_none(name: str, tmp_path: Path) -> None:
    assert failures(Kit(MemoryBackend), name, tmp_path) == 0


def test_the_kit_is_large_enough() -> None:
    tests = kit_tests(BackendConformance)
    assert len(tests) >= 100
    assert sum(1 for test in tests.values() for _ in arguments_of(test)) >= 400
    assert len(FAULTS) >= 12
