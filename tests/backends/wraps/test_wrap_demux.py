"""Several backends under one tree: the seams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest
from wrap_kit import ROOT, USER, Counted, file, mkdir, refused, root, turns

from backends.base import (
    Access,
    Attr,
    Backend,
    Context,
    CreateMode,
    FileType,
    FsError,
    FsStat,
    Key,
    Limits,
    SetAttr,
    Stable,
    Status,
)
from backends.hosted import Hosted, hosted
from backends.memory import MemoryBackend
from backends.wraps.attrcache import AttrCache
from backends.wraps.demux import Demux
from backends.wraps.readonly import ReadOnly

Test = Callable[[Demux], Awaitable[None]]


def run(test: Test, parts: Mapping[bytes, Backend] | None = None) -> None:
    async def main() -> None:
        demux = Demux(parts or {b"a": MemoryBackend(), b"b": MemoryBackend()})
        await demux.start()
        await test(demux)
        await demux.stop()

    asyncio.run(main())


async def walk(demux: Demux, path: bytes, ctx: Context = ROOT) -> Attr:
    attr = await demux.root(ctx)
    for name in filter(None, path.split(b"/")):
        attr = (await demux.lookup(ctx, attr.key, name)).attr
    return attr


async def names(demux: Demux, path: bytes = b"", cookie: int = 0) -> list[tuple[bytes, int, int]]:
    listing = await demux.readdir(ROOT, (await walk(demux, path)).key, cookie, 4096, False)
    entries = [(entry.name, entry.ino, entry.cookie) for entry in listing.entries]
    assert listing.eof
    return entries


def test_each_part_is_a_directory() -> None:
    async def test(demux: Demux) -> None:
        top = await demux.root(ROOT)
        assert (top.type, top.nlink, top.mode) == (FileType.DIR, 4, 0o555)
        a, b = await walk(demux, b"a"), await walk(demux, b"b")
        assert a.type is b.type is FileType.DIR
        assert len({top.ino, a.ino, b.ino}) == 3, "though both have the number 1"
        entries = await names(demux)
        assert {(name, ino) for name, ino, _ in entries} == {(b"a", a.ino), (b"b", b.ino)}
        assert await names(demux, cookie=entries[0][2]) == entries[1:]
        assert await refused(demux.lookup(ROOT, top.key, b"c")) is Status.NOENT
        assert await demux.peek(ROOT, top.key, b"a") == a.ino
        assert await demux.peek(ROOT, top.key, b"c") is None

    run(test)


def test_what_is_done_in_a_part_is_done_there() -> None:
    one, two = MemoryBackend(), MemoryBackend()

    async def test(demux: Demux) -> None:
        dir = (await walk(demux, b"b")).key
        key = await file(demux, dir, b"f", b"data")
        assert (await demux.lookup(ROOT, dir, b"f")).attr.key == key
        own = (await two.lookup(ROOT, await root(two), b"f")).attr
        assert own.key.ino != key.ino
        assert bytes((await two.read(ROOT, own.key, 0, 10)).data) == b"data"
        assert await refused(one.lookup(ROOT, await root(one), b"f")) is Status.NOENT
        assert await refused(demux.lookup(ROOT, (await walk(demux, b"a")).key, b"f"))
        await demux.rename(ROOT, dir, b"f", dir, b"g")
        await demux.link(ROOT, key, dir, b"h")
        assert [name for name, _, _ in await names(demux, b"b")] == [b"g", b"h"]
        assert {ino for _, ino, _ in await names(demux, b"b")} == {key.ino}

    run(test, {b"a": one, b"b": two})


def test_parents_at_the_seams() -> None:
    async def test(demux: Demux) -> None:
        top, x, y = await walk(demux, b""), await walk(demux, b"x"), await walk(demux, b"x/y")
        part = await walk(demux, b"x/y/part")
        deep = await mkdir(demux, part.key, b"deep")
        assert (await demux.parent(ROOT, deep)).key == part.key
        assert (await demux.parent(ROOT, part.key)) is y
        assert (await demux.parent(ROOT, y.key)) is x
        assert (await demux.parent(ROOT, x.key)) is top
        assert (await demux.parent(ROOT, top.key)) is top
        other = await walk(demux, b"x/other")
        assert (await demux.parent(ROOT, other.key)) is x
        assert x.nlink == 4 and y.nlink == 3 and top.nlink == 3
        assert {name for name, _, _ in await names(demux, b"x")} == {b"y", b"other"}

    run(test, {b"x/y/part": MemoryBackend(), b"x/other": MemoryBackend()})


def test_what_is_above_the_parts_cannot_be_changed() -> None:
    async def test(demux: Demux) -> None:
        top = (await demux.root(ROOT)).key
        a = (await walk(demux, b"a")).key
        key = await file(demux, a, b"f")
        how = CreateMode.UNCHECKED
        calls: list[Awaitable[object]] = [
            demux.setattr(ROOT, top, SetAttr(mode=0o777)),
            demux.create(ROOT, top, b"new", how, SetAttr(), b""),
            demux.mkdir(ROOT, top, b"new", SetAttr()),
            demux.symlink(ROOT, top, b"new", b"target", SetAttr()),
            demux.mknod(ROOT, top, b"new", FileType.FIFO, (0, 0), SetAttr()),
            demux.remove(ROOT, top, b"a"),
            demux.rmdir(ROOT, top, b"a"),
            demux.rename(ROOT, top, b"a", top, b"c"),
            demux.rename(ROOT, top, b"a", a, b"c"),
            demux.rename(ROOT, a, b"f", top, b"c"),
            demux.link(ROOT, key, top, b"c"),
            demux.write(ROOT, top, 0, b"x", Stable.UNSTABLE),
            demux.commit(ROOT, top, 0, 0),
        ]
        assert [await refused(call) for call in calls] == [Status.ROFS] * len(calls)
        assert (await demux.access(ROOT, top, 63)).access == Access.READ | Access.LOOKUP
        assert (await demux.access(USER, top, 63)).access == Access.READ | Access.LOOKUP
        assert await refused(demux.read(ROOT, top, 0, 1)) is Status.ISDIR
        assert await refused(demux.readlink(ROOT, top)) is Status.INVAL

    run(test)


def test_nothing_goes_from_one_part_to_another() -> None:
    async def test(demux: Demux) -> None:
        a, b = (await walk(demux, b"a")).key, (await walk(demux, b"b")).key
        key = await file(demux, a, b"f")
        assert await refused(demux.rename(ROOT, a, b"f", b, b"f")) is Status.XDEV
        assert await refused(demux.link(ROOT, key, b, b"f")) is Status.XDEV
        assert await names(demux, b"b") == []

    run(test)


def test_keys_survive_other_parts_coming_and_going() -> None:
    """And those of a part that is gone are stale, and nobody else's."""
    kept, other = MemoryBackend(), MemoryBackend()
    found: list[Key] = []

    async def before(demux: Demux) -> None:
        found.append(await file(demux, (await walk(demux, b"kept")).key, b"f"))
        found.append(await file(demux, (await walk(demux, b"other")).key, b"g"))
        found.append((await demux.root(ROOT)).key)

    async def after(demux: Demux) -> None:
        assert (await demux.getattr(ROOT, found[0])).key == found[0]
        assert await refused(demux.getattr(ROOT, found[1])) is Status.STALE
        assert (await demux.root(ROOT)).key == found[2]
        assert await refused(demux.getattr(ROOT, Key(5, 0))) is Status.STALE

    run(before, {b"other": other, b"kept": kept})
    run(after, {b"new": MemoryBackend(), b"kept": kept})


def test_attributes_are_translated_once() -> None:
    """The server keeps their encoding with them, and the part's own are never touched."""
    part = MemoryBackend()

    async def test(demux: Demux) -> None:
        key = await file(demux, (await walk(demux, b"a")).key, b"f")
        attr = await demux.getattr(ROOT, key)
        attr.memo = b"encoded"
        assert await demux.getattr(ROOT, key) is attr
        own = (await part.lookup(ROOT, await root(part), b"f")).attr
        assert own.memo is None and own.key.generation == key.generation & 2**64 - 1
        assert replace(own, ino=key.ino, generation=key.generation) == attr
        await demux.setattr(ROOT, key, SetAttr(mode=0o600))
        assert (await demux.getattr(ROOT, key)).mode == 0o600

    run(test, {b"a": part})


def test_numbers_of_many_parts_are_all_different() -> None:
    parts = {b"%d" % number: MemoryBackend() for number in range(300)}

    async def test(demux: Demux) -> None:
        attrs = [await walk(demux, name) for name in parts]
        assert len({attr.ino for attr in attrs}) == len({attr.generation for attr in attrs}) == 300
        assert all(0 < attr.generation >> 64 < 2**24 for attr in attrs)

    run(test, parts)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({}, "no backends"),
        ({b"": MemoryBackend()}, "no name"),
        ({b"a//b": MemoryBackend()}, "no name"),
        ({b"/a": MemoryBackend()}, "no name"),
        ({b"a/..": MemoryBackend()}, "no name"),
        ({b"x" * 256: MemoryBackend()}, "no name"),
        ({b"a": MemoryBackend(), b"a/b": MemoryBackend()}, "within"),
        ({b"a": Demux({b"b": MemoryBackend()})}, "one within another"),
        ({b"a": AttrCache(Demux({b"b": MemoryBackend()}))}, "one within another"),
        (dict.fromkeys((b"a", b"b"), MemoryBackend()), "two names"),
    ],
)
def test_parts_that_cannot_be(parts: Mapping[bytes, Backend], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Demux(parts)


def test_two_names_of_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.wraps.demux._INDEX_BYTES", 1)
    parts = {b"%d" % number: MemoryBackend() for number in range(300)}
    with pytest.raises(ValueError, match="no number is free; rename it"):
        Demux(parts)


def limited(**limits: object) -> Backend:
    backend = MemoryBackend()
    backend.limits = replace(backend.limits, **limits)  # type: ignore[arg-type]
    return backend


def test_limits_are_what_all_can() -> None:
    small = {"name_max": 10, "max_file_size": 100, "path_max": 20, "link_max": 3}
    parts = {
        b"ro": ReadOnly(limited(links=False, time_delta=10**9)),
        b"small": limited(symlinks=False, time_delta=100, **small),
        b"big": MemoryBackend(),
    }

    async def test(demux: Demux) -> None:
        big = MemoryBackend.limits
        assert demux.limits == replace(big, symlinks=False, time_delta=100, link_max=3)

    run(test, parts)
    assert Demux({b"ro": ReadOnly(MemoryBackend())}).limits.read_only


def test_each_part_keeps_its_own_limits() -> None:
    """What the server checks by the limits of the whole is checked where a call enters a part."""
    parts = {
        b"ro": ReadOnly(MemoryBackend()),
        b"declared": limited(read_only=True),
        b"small": limited(name_max=10, max_file_size=100, path_max=20),
    }

    async def test(demux: Demux) -> None:
        ro, small = (await walk(demux, b"ro")).key, (await walk(demux, b"small")).key
        how, long = CreateMode.GUARDED, b"n" * 11
        assert await refused(demux.mkdir(ROOT, ro, b"d", SetAttr())) is Status.ROFS
        assert await refused(demux.rename(ROOT, ro, b"d", ro, b"e")) is Status.ROFS
        for dir in (ro, (await walk(demux, b"declared")).key):
            assert (await demux.access(ROOT, dir, 63)).access == Access.READ | Access.LOOKUP
        key = await file(demux, small, b"f")
        too_long: list[Awaitable[object]] = [
            demux.lookup(ROOT, small, long),
            demux.create(ROOT, small, long, how, SetAttr(), b""),
            demux.rename(ROOT, small, b"f", small, long),
            demux.link(ROOT, key, small, long),
            demux.symlink(ROOT, small, b"l", b"t" * 21, SetAttr()),
        ]
        assert {await refused(call) for call in too_long} == {Status.NAMETOOLONG}
        too_big: list[Awaitable[object]] = [
            demux.write(ROOT, key, 99, b"xx", Stable.UNSTABLE),
            demux.setattr(ROOT, key, SetAttr(size=101)),
            demux.create(ROOT, small, b"new", how, SetAttr(size=101), b""),
        ]
        assert {await refused(call) for call in too_big} == {Status.FBIG}
        await demux.write(ROOT, key, 98, b"xx", Stable.UNSTABLE)

    run(test, parts)


def test_the_verifier_changes_with_that_of_any_part() -> None:
    parts = {b"a": MemoryBackend(), b"b": MemoryBackend()}
    demux = Demux(parts)
    seen = {demux.verifier}
    assert len(demux.verifier) == 8
    for part in parts.values():
        part.verifier = b"12345678"
        seen.add(demux.verifier)
    assert len(seen) == 3


class Sick(MemoryBackend):
    """A part that can be told to fail."""

    def __init__(self, **fails: Exception) -> None:
        super().__init__()
        self.fails = fails
        self.log: list[str] = []

    async def _do(self, what: str) -> None:
        self.log.append(what)
        if what in self.fails:
            raise self.fails[what]

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def health(self) -> str | None:
        await self._do("health")
        return None

    async def fsck(self, repair: bool = False) -> list[str]:
        await self._do("fsck")
        return ["something", "repaired" if repair else "broken"]


def test_a_part_that_does_not_start_is_named() -> None:
    parts = {b"a": Sick(), b"b": Sick(start=FileNotFoundError(2, "gone")), b"c": Sick()}
    with pytest.raises(ValueError, match=r"b: .*gone"):
        asyncio.run(Demux(parts).start())
    assert [part.log for part in parts.values()] == [["start", "stop"], ["start"], []]


def test_all_parts_are_stopped() -> None:
    parts = {b"a": Sick(stop=OSError("first")), b"b": Sick(stop=OSError("last")), b"c": Sick()}

    async def main() -> None:
        demux = Demux(parts)
        await demux.start()
        with pytest.raises(OSError, match="last"):
            await demux.stop()

    asyncio.run(main())
    assert [part.log for part in parts.values()] == [["start", "stop"]] * 3


def test_health_and_fsck_name_the_part() -> None:
    async def test(demux: Demux) -> None:
        assert await demux.health() == "b: no disk; c: no mind"
        assert await demux.fsck() == ["b: something", "b: broken", "c: something", "c: broken"]
        assert (await demux.fsck(repair=True))[1] == "b: repaired"

    parts = {b"a": MemoryBackend(), b"b": Sick(health=OSError("no disk"))}
    run(test, parts | {b"c": Sick(health=OSError("no mind"))})

    async def none(demux: Demux) -> None:
        assert await demux.health() is None
        assert await refused(demux.fsck()) is Status.NOTSUPP

    run(none)


def test_what_it_says_of_itself() -> None:
    demux = Demux({b"a": MemoryBackend(), b"b": MemoryBackend()})
    assert demux.describe().count("in memory") == 2 and demux.describe().startswith("a: ")
    assert demux.inline and not demux.persistent
    assert not Demux({b"a": MemoryBackend(), b"b": Counted(MemoryBackend())}).inline


def test_a_part_that_stalls_stalls_alone() -> None:
    """Each has its own patience; the server does not put the whole behind another."""
    stalled, well = Counted(MemoryBackend()), Counted(MemoryBackend())
    stalled.patience = 0.01

    async def test(demux: Demux) -> None:
        assert hosted(demux, "x") is demux
        assert isinstance(hosted(AttrCache(demux), "x"), Hosted)
        a, b = (await walk(demux, b"a")).key, (await walk(demux, b"b")).key
        for name in ("getattr", "statfs", "root"):
            stalled.before[name] = asyncio.Event()
        calls = [asyncio.ensure_future(demux.getattr(ROOT, a)) for _ in range(100)]
        await turns()
        for _ in range(10):
            await demux.getattr(ROOT, b)
            await walk(demux, b"b")
        assert [name for name, _, _ in await names(demux)] != []
        assert {await refused(call) for call in calls} == {Status.JUKEBOX}
        for gate in stalled.before.values():
            gate.set()
        assert (await demux.getattr(ROOT, a)).key == a

    run(test, {b"a": stalled, b"b": well})


@pytest.mark.parametrize("waits", [True, False])
def test_space_is_the_sum_of_those_that_answer(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.wraps.demux.STATFS_SECONDS", 0.01)

    class Sized(MemoryBackend):
        inline = not waits
        asked = 0

        async def statfs(self, ctx: Context, key: Key) -> FsStat:
            await super().statfs(ctx, key)
            self.asked += 1
            if self.max_bytes == 0:
                raise FsError(Status.IO)
            if self.max_bytes == 1 and waits:
                await asyncio.sleep(100)
            return FsStat(2**63, 20, 10, 5, 4, 3, invarsec=7)

    async def test(demux: Demux) -> None:
        top = (await demux.root(ROOT)).key
        assert await demux.statfs(ROOT, top) == FsStat(2**64 - 1, 40, 20, 10, 8, 6)
        part = await walk(demux, b"a")
        assert (await demux.statfs(ROOT, part.key)).tbytes == 2**63
        for _ in range(5):
            await demux.statfs(ROOT, top)
        assert hangs.asked <= 1, "asked again before it answered"

    hangs = Sized(1)
    parts = {b"a": Sized(99), b"b": Sized(99), b"c": Sized(0)}
    run(test, parts | ({b"d": hangs} if waits else {}))


def test_a_result_that_is_none_is_blamed_on_the_part() -> None:
    class Bad(MemoryBackend):
        async def getattr(self, ctx: Context, key: Key) -> Attr:
            if key.ino != 1:
                return object()  # type: ignore[return-value]
            return replace(await super().getattr(ctx, key), generation=2**64)

    async def test(demux: Demux) -> None:
        part = await walk(demux, b"bad")
        with pytest.raises(TypeError, match="bad: a generation has 64 bits"):
            await demux.getattr(ROOT, part.key)
        with pytest.raises(TypeError, match="bad gave object"):
            await demux.getattr(ROOT, Key(part.ino ^ 2, part.generation))

    run(test, {b"bad": Bad()})


def test_limits_of_nothing_special() -> None:
    """Every field of `Limits` is thought of."""
    limits = Limits(
        links=True, symlinks=True, special_files=True, set_times=True, name_max=10, path_max=20,
        link_max=30, max_file_size=40, time_delta=50, case_insensitive=True,
        case_preserving=False, chown_restricted=False,
    )  # fmt: skip
    backend = MemoryBackend()
    backend.limits = limits
    assert Demux({b"a": backend}).limits == limits
