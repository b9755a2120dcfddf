"""Planted faults: results of the wrong kind, promises about the whole backend, limits."""

from __future__ import annotations

import asyncio
import dataclasses
import unicodedata
from typing import Any

from planted import found_by

from backends.base import (
    Attr,
    Buffer,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    Key,
    Listing,
    Made,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend

# Results


@found_by("test_attributes_are_sane", "test_root_is_a_directory")
class TimesAreFloats(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        got = await super().getattr(ctx, key)
        return dataclasses.replace(got, mtime=got.mtime / 1e9)  # type: ignore[arg-type]


@found_by("test_attributes_are_sane")
class WideNumbers(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        return dataclasses.replace(await super().getattr(ctx, key), used=2**64)


@found_by("test_attributes_are_sane")
class ModesHaveTheType(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        got = await super().getattr(ctx, key)
        return dataclasses.replace(got, mode=got.mode | 0o100000)


@found_by("test_lookup_and_getattr_agree")
class LookupGivesAttrs(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        return (await super().lookup(ctx, dir, name)).attr  # type: ignore[return-value]


@found_by("test_lookup_of_a_missing_name")
class RaisesKeyErrors(MemoryBackend):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        self._dir(dir).entries[name]
        return await super().lookup(ctx, dir, name)


class _Lists(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        got = await super().readdir(ctx, dir, self.unchanged(cookie), count, plus)
        entries = [self.change(entry) for entry in got.entries]
        return Listing(entries, got.eof, got.attr)

    def unchanged(self, cookie: int) -> int:
        return cookie

    def change(self, entry: DirEntry) -> DirEntry:
        return entry


@found_by("test_readdir_lists_every_name_once")
class NamesAreStrings(_Lists):
    def change(self, entry: DirEntry) -> DirEntry:
        return dataclasses.replace(entry, name=entry.name.decode("latin-1"))  # type: ignore[arg-type]


@found_by("test_readdir_cookies_are_in_range_and_unique")
class CookiesFromOne(_Lists):
    def unchanged(self, cookie: int) -> int:
        return cookie + 2 if cookie else 0

    def change(self, entry: DirEntry) -> DirEntry:
        return dataclasses.replace(entry, cookie=entry.cookie - 2)


@found_by("test_readdir_cookies_are_in_range_and_unique")
class CookiesOf64Bits(_Lists):
    def unchanged(self, cookie: int) -> int:
        return cookie & ~(1 << 63)

    def change(self, entry: DirEntry) -> DirEntry:
        return dataclasses.replace(entry, cookie=entry.cookie | 1 << 63)


@found_by("test_write_is_as_stable_as_asked")
class StableIsAnInt(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data, stable)
        return dataclasses.replace(done, stable=int(stable))  # type: ignore[arg-type]


@found_by("test_read_of_an_empty_file_is_eof")
class EofIsAnInt(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        got = await super().read(ctx, key, offset, count)
        return dataclasses.replace(got, eof=int(got.eof))  # type: ignore[arg-type]


@found_by("test_read_of_nothing")
class NothingIsTheEnd(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        got = await super().read(ctx, key, offset, count)
        return got if count else dataclasses.replace(got, eof=True)


@found_by("test_read_in_odd_pieces", "test_reads_at_the_same_time")
class ReadsIntoOneBuffer(MemoryBackend):
    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        got = await super().read(ctx, key, offset, count)
        buffer: bytearray = self.__dict__.setdefault("buffer", bytearray(1 << 20))
        buffer[: len(got.data)] = got.data
        return dataclasses.replace(got, data=memoryview(buffer)[: len(got.data)])


# The backend as a whole


@found_by("test_what_it_says_of_itself")
class SaysNothing(MemoryBackend):
    def describe(self) -> str:
        return ""


@found_by("test_verifier_is_8_bytes_and_constant")
class ShortVerifier(MemoryBackend):
    def __init__(self) -> None:
        super().__init__()
        self.verifier = self.verifier[:4]


@found_by("test_limits_are_sane")
class NamesOfNoBytes(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, name_max=0)


@found_by("test_limits_say_what_works")
class LimitIsAString(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, path_max="4095")  # type: ignore[arg-type]


@found_by("test_mkdir")
class LimitsChange(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        self.limits = dataclasses.replace(self.limits, name_max=254)
        return await super().mkdir(ctx, dir, name, *args, **more)


@found_by("test_root_is_a_directory")
class RootIsAFile(MemoryBackend):
    async def root(self, ctx: Context) -> Attr:
        return dataclasses.replace(await super().root(ctx), type=FileType.REG)


@found_by("test_it_is_healthy")
class IsNeverWell(MemoryBackend):
    async def health(self) -> str | None:
        return "not well"


@found_by("test_fsck_of_what_is_sound")
class FsckFindsThings(MemoryBackend):
    async def fsck(self, repair: bool = False) -> list[str]:
        return ["something"] if repair else []


@found_by("test_write_and_read_back", "test_remove")
class BreaksItself(MemoryBackend):
    async def fsck(self, repair: bool = False) -> list[str]:
        return ["something"] if self._last else []


@found_by("test_set_sync_changes_no_semantics")
class AsyncIsUnstable(MemoryBackend):
    sync = True

    def set_sync(self, sync: bool) -> None:
        self.sync = sync

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data, stable)
        return done if self.sync else dataclasses.replace(done, stable=Stable.UNSTABLE)


@found_by("test_inline_needs_no_task")
class NeedsATask(MemoryBackend):
    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        async with asyncio.timeout(10):
            return await super().commit(ctx, key, offset, count)


@found_by("test_two_backends_know_nothing_of_each_other")
class AllAreOne(MemoryBackend):
    nodes: dict[Key, Any] = {}

    def __init__(self) -> None:
        super().__init__()
        self._root = self.nodes.setdefault(self._root.key, self._root)
        self._nodes = self.nodes
        self._generation = 1
        self._numbers = iter(range(len(self.nodes) + 1000, 10**9))  # type: ignore[assignment]


@found_by("test_contexts_are_made_anew_for_each_call")
class RemembersEachCaller(MemoryBackend):
    async def root(self, ctx: Context) -> Attr:
        known: set[Context] = self.__dict__.setdefault("known", set())
        known.add(ctx)
        if len(known) > 30:
            raise FsError(Status.SERVERFAULT, "the table of callers is full")
        return await super().root(ctx)


@found_by("test_a_write_of_a_mebibyte")
class WritesTheFirstPart(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data[: 1 << 19], stable)
        return dataclasses.replace(done, count=len(data))


@found_by("test_a_key_with_another_generation_is_stale")
class NumbersOf32Bits(MemoryBackend):
    async def getattr(self, ctx: Context, key: Key) -> Attr:
        key = key._replace(ino=key.ino & 0xFFFF_FFFF)
        return await super().getattr(ctx, key)


# Limits


@found_by("test_beyond_the_largest_file")
class IgnoresItsLargestSize(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, max_file_size=2**40)

    def _check_size(self, size: int) -> None:
        pass


@found_by("test_the_largest_file")
class OneByteLess(MemoryBackend):
    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if offset >= 2**62:
            raise OverflowError(offset)
        return await super().write(ctx, key, offset, data, stable)


@found_by("test_link_max")
class IgnoresItsLinkMax(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, link_max=4)

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        node = self._node(key)
        if node.nlink == 4:
            node.nlink = 3
            made = await super().link(ctx, key, dir, name)
            node.nlink = 5
            return made
        return await super().link(ctx, key, dir, name)


class _Names(MemoryBackend):
    """Changes each name that comes in."""

    def name(self, name: bytes) -> bytes:
        return name

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        return await super().lookup(ctx, dir, self.name(name))

    async def create(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        return await super().create(ctx, dir, self.name(name), *args, **more)

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        return await super().mkdir(ctx, dir, self.name(name), *args, **more)


@found_by("test_forms_of_a_character_are_names_of_their_own")
class NormalizesNames(_Names):
    def name(self, name: bytes) -> bytes:
        text = unicodedata.normalize("NFC", name.decode(errors="surrogateescape"))
        return text.encode(errors="surrogateescape")


@found_by("test_unusual_names", "test_unusual_names_beside_each_other")
class StripsNames(_Names):
    def name(self, name: bytes) -> bytes:
        return name.rstrip(b" .") or name


@found_by("test_the_longest_names_in_every_operation", "test_longest_name")
class ShortNames(_Names):
    def name(self, name: bytes) -> bytes:
        if len(name) > 250:
            raise FsError(Status.NAMETOOLONG)
        return name


@found_by("test_names_that_begin_alike")
class FindsPrefixes(_Names):
    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        for known in sorted(self._dir(dir).entries):
            if known.startswith(name):
                return await super().lookup(ctx, dir, known)
        return await super().lookup(ctx, dir, name)


@found_by("test_deep_directories")
class PathsAreLimited(MemoryBackend):
    async def mkdir(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        depth, at = 0, self._dir(dir)
        while at.parent is not None:
            depth, at = depth + 1, at.parent
        if depth * len(name) > 4096:
            raise FsError(Status.NAMETOOLONG)
        return await super().mkdir(ctx, dir, name, *args, **more)


@found_by("test_the_longest_target")
class CutsTargets(MemoryBackend):
    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, *args: Any, **more: Any
    ) -> Made:
        return await super().symlink(ctx, dir, name, target[:4000], *args, **more)


@found_by("test_an_empty_target")
class EmptyTargetIsAFault(MemoryBackend):
    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, *args: Any, **more: Any
    ) -> Made:
        made = await super().symlink(ctx, dir, name, target, *args, **more)
        if not target:
            raise FsError(Status.INVAL)
        return made


@found_by("test_a_cookie_that_was_never_given")
class UnknownCookiesAreFaults(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        if cookie >= 3 and all(e.cookie != cookie for e in self._dir(dir).order):
            raise FsError(Status.IO)
        return await super().readdir(ctx, dir, cookie, count, plus)


@found_by("test_the_cookie_of_the_last_entry")
class StartsAgain(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        order = self._dir(dir).order
        if order and cookie == order[-1].cookie and order[-1].node is not None:
            cookie = 0
        return await super().readdir(ctx, dir, cookie, count, plus)


@found_by("test_a_listing_with_hardly_any_room_goes_on")
class NeedsRoom(MemoryBackend):
    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        if count < 20:
            raise FsError(Status.TOOSMALL)
        return await super().readdir(ctx, dir, cookie, count, plus)
