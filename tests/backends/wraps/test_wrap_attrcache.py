"""The attribute cache: what it saves, what it must not save."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from wrap_kit import ROOT, USER, Clock, Counted, file, mkdir, refused, root, turns

from backends.base import Access, CreateMode, FsError, Key, SetAttr, Stable, Status
from backends.memory import MemoryBackend
from backends.wraps.attrcache import AttrCache

Test = Callable[[AttrCache, Counted, Key], Awaitable[None]]


def run(test: Test, **options: Any) -> None:
    """With a cache, what is below it, and the key of the root."""

    async def main() -> None:
        below = Counted(MemoryBackend())
        cache = AttrCache(below, **options)
        await cache.start()
        await test(cache, below, await root(cache))
        await cache.stop()

    asyncio.run(main())


def test_it_asks_once() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        below.calls.clear()
        for _ in range(5):
            found = await cache.lookup(ROOT, top, b"f")
            assert found.attr.key == key and found.dir is not None
            assert await cache.getattr(ROOT, key) is found.attr
            assert (await cache.access(ROOT, key, Access.READ | Access.EXECUTE)).access == 1
            assert (await cache.access(ROOT, key, Access.MODIFY)).access == Access.MODIFY
            assert (await cache.root(ROOT)).key == top
        assert below.calls == {"lookup": 1, "access": 1}

    run(test)


def test_what_changes_elsewhere_is_seen_in_time() -> None:
    """Counted from before the fetch began, not from its end."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        clock = Clock()
        cache._now = clock
        key = await file(below, top, b"f", mode=0o644)
        gate = below.after["getattr"] = asyncio.Event()
        fetch = asyncio.create_task(cache.getattr(ROOT, key))
        await turns()
        await below.below.setattr(ROOT, key, SetAttr(mode=0o600))
        clock.now += 3
        gate.set()
        assert (await fetch).mode == 0o644
        assert (await cache.getattr(ROOT, key)).mode == 0o644, "for two seconds more"
        clock.now += 1.9
        assert (await cache.getattr(ROOT, key)).mode == 0o644
        clock.now += 0.1
        assert (await cache.getattr(ROOT, key)).mode == 0o600

    run(test, seconds=5)


def test_names_that_go_elsewhere() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        clock = Clock()
        cache._now = clock
        await file(below, top, b"f")
        await cache.lookup(ROOT, top, b"f")
        await below.remove(ROOT, top, b"f")
        await cache.lookup(ROOT, top, b"f")
        clock.now += 3
        assert await refused(cache.lookup(ROOT, top, b"f")) is Status.NOENT

    run(test)


@pytest.mark.parametrize("negative", [0.0, 2.0])
def test_names_that_are_not_there(negative: float) -> None:
    """Asked again each time, unless `negative_seconds` says otherwise."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        clock = Clock()
        cache._now = clock
        for _ in range(3):
            assert await refused(cache.lookup(ROOT, top, b"f")) is Status.NOENT
        assert below.calls["lookup"] == (1 if negative else 3)
        clock.now += 2
        assert await refused(cache.lookup(ROOT, top, b"f")) is Status.NOENT
        assert below.calls["lookup"] == (2 if negative else 4)
        key = await file(cache, top, b"f")
        assert (await cache.lookup(ROOT, top, b"f")).attr.key == key, "made through the cache"
        await cache.remove(ROOT, top, b"f")
        assert await refused(cache.lookup(ROOT, top, b"f")) is Status.NOENT
        await file(below, top, b"f")
        if negative:
            assert await refused(cache.lookup(ROOT, top, b"f")) is Status.NOENT
            clock.now += 2
        await cache.lookup(ROOT, top, b"f")

    run(test, negative_seconds=negative, seconds=60)


def test_one_callers_rights_are_not_anothers() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        dir = await mkdir(below, top, b"private", 0o700)
        key = await file(below, dir, b"f", mode=0o600)
        await cache.lookup(ROOT, dir, b"f")
        assert await refused(cache.lookup(USER, dir, b"f")) is Status.ACCES
        assert (await cache.access(ROOT, key, Access.READ)).access == Access.READ
        assert (await cache.access(USER, key, Access.READ)).access == 0
        await cache.setattr(ROOT, dir, SetAttr(mode=0o755))
        await cache.setattr(ROOT, key, SetAttr(mode=0o644))
        await cache.lookup(USER, dir, b"f")
        assert (await cache.access(USER, key, Access.READ)).access == Access.READ
        await cache.setattr(ROOT, dir, SetAttr(mode=0o700))
        assert await refused(cache.lookup(USER, dir, b"f")) is Status.ACCES

    run(test)


def test_changes_bring_the_new_attributes_with_them() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(cache, top, b"f", b"data")
        sub = await mkdir(cache, top, b"d")
        await cache.setattr(ROOT, key, SetAttr(mode=0o600))
        await cache.commit(ROOT, key, 0, 0)
        below.calls.clear()
        assert (await cache.getattr(ROOT, key)).mode == 0o600
        assert (await cache.getattr(ROOT, key)).size == 4
        assert (await cache.getattr(ROOT, top)).nlink == 3
        assert (await cache.lookup(ROOT, top, b"d")).attr.key == sub
        assert not below.calls

    run(test)


CHANGES: dict[str, Callable[[AttrCache, Key, Key], Awaitable[object]]] = {
    "setattr": lambda c, top, key: c.setattr(ROOT, key, SetAttr(mode=0o600)),
    "write": lambda c, top, key: c.write(ROOT, key, 0, b"longer", Stable.FILE_SYNC),
    "remove": lambda c, top, key: c.remove(ROOT, top, b"f"),
    "rename": lambda c, top, key: c.rename(ROOT, top, b"f", top, b"z"),
    "replace": lambda c, top, key: c.rename(ROOT, top, b"other", top, b"f"),
    "link": lambda c, top, key: c.link(ROOT, key, top, b"new"),
    "truncate": lambda c, top, key: c.create(
        ROOT, top, b"f", CreateMode.UNCHECKED, SetAttr(size=1), b""
    ),
}


@pytest.mark.parametrize("when", ["ends well", "fails late", "is cancelled late"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen_at_once(change: str, when: str) -> None:
    """Of the file that a name stood for, too; also if it is not answered as one that succeeded."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f", b"data")
        await file(below, top, b"other")
        await below.link(ROOT, key, top, b"second")
        cache._changes.flush()
        for it in (key, top):
            await cache.getattr(ROOT, it)
        operation = {"replace": "rename", "truncate": "create"}.get(change, change)
        if when == "fails late":
            below.fails_late[operation] = FsError(Status.IO)
            assert await refused(CHANGES[change](cache, top, key)) is Status.IO
        elif when == "is cancelled late":
            below.after[operation] = asyncio.Event()
            task = asyncio.ensure_future(CHANGES[change](cache, top, key))
            await turns()
            task.cancel()
            await turns()
            assert task.cancelled()
        else:
            await CHANGES[change](cache, top, key)
        truth = await below.below.getattr(ROOT, key)
        assert (truth.nlink, truth.size, truth.mode) != (2, 4, 0o644) or change == "rename"
        assert await cache.getattr(ROOT, key) == truth
        assert (await cache.getattr(ROOT, top)) == await below.below.getattr(ROOT, top)

    run(test)


def test_a_removed_file_is_stale_at_once() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key, dir = await file(below, top, b"f"), await mkdir(below, top, b"d")
        await cache.getattr(ROOT, key)
        await cache.getattr(ROOT, dir)
        assert await refused(cache.lookup(ROOT, dir, b"x")) is Status.NOENT
        await cache.remove(ROOT, top, b"f")
        await cache.rmdir(ROOT, top, b"d")
        assert await refused(cache.getattr(ROOT, key)) is Status.STALE
        assert await refused(cache.getattr(ROOT, dir)) is Status.STALE
        assert await refused(cache.lookup(ROOT, dir, b"x")) is Status.STALE

    run(test, negative_seconds=60)


def test_a_key_of_another_generation_is_another_file() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(cache, top, b"f")
        await cache.getattr(ROOT, key)
        other = Key(key.ino, key.generation + 1)
        assert await refused(cache.getattr(ROOT, other)) is Status.STALE

    run(test)


def test_the_servers_own_look_at_a_name_is_enough() -> None:
    """Before each change the server asks what the name stands for; it is not asked twice."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        await below.link(ROOT, key, top, b"g")
        await cache.getattr(ROOT, key)
        below.calls.clear()
        assert await cache.peek(ROOT, top, b"f") == key.ino
        await cache.remove(ROOT, top, b"f")
        assert below.calls == {"peek": 1, "remove": 1}
        assert (await cache.getattr(ROOT, key)).nlink == 1
        await cache.rename(ROOT, top, b"g", top, b"h")
        assert below.calls["peek"] == 3

    run(test)


def test_a_fetch_that_began_before_a_change_leaves_nothing_behind() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        gates = [below.after.setdefault(name, asyncio.Event()) for name in ("getattr", "lookup")]
        old = asyncio.create_task(cache.getattr(ROOT, key))
        look = asyncio.create_task(cache.lookup(ROOT, top, b"f"))
        await turns()
        await cache.setattr(ROOT, key, SetAttr(mode=0o600))
        fresh = asyncio.create_task(cache.getattr(ROOT, key))
        await turns()
        for gate in gates:
            gate.set()
        assert (await fresh).mode == 0o600, "it did not join the old fetch"
        assert (await old).mode == (await look).attr.mode == 0o644
        assert (await cache.getattr(ROOT, key)).mode == 0o600
        assert (await cache.lookup(ROOT, top, b"f")).attr.mode == 0o600

    run(test)


def test_a_new_caller_does_not_join_a_fetch_from_before_a_change() -> None:
    """The change leaves nothing in the cache here, so that only the fetch could be joined."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        gate = below.after["getattr"] = asyncio.Event()
        old = asyncio.create_task(cache.getattr(ROOT, key))
        await turns()
        await cache.setattr(ROOT, key, SetAttr(mode=0o600))
        cache._attrs.clear()
        new = asyncio.create_task(cache.getattr(ROOT, key))
        await turns()
        gate.set()
        assert (await old).mode == 0o644 and (await new).mode == 0o600

    run(test)


def test_while_a_change_goes_on_nothing_is_believed() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        await cache.getattr(ROOT, key)
        gate = below.after["setattr"] = asyncio.Event()
        change = asyncio.create_task(cache.setattr(ROOT, key, SetAttr(mode=0o600)))
        await turns()
        below.calls.clear()
        for _ in range(2):
            assert (await cache.getattr(ROOT, key)).mode == 0o600
        assert below.calls["getattr"] == 2
        gate.set()
        await change

    run(test)


def test_concurrent_misses_are_joined() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        below.calls.clear()
        for name in ("getattr", "lookup", "access"):
            below.before[name] = asyncio.Event()
        calls = [
            call
            for _ in range(4)
            for call in (
                cache.getattr(ROOT, key),
                cache.lookup(ROOT, top, b"f"),
                cache.access(ROOT, key, 1),
                cache.access(USER, key, 1),
            )
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await turns()
        for gate in below.before.values():
            gate.set()
        await asyncio.gather(*tasks)
        assert below.calls == {"getattr": 1, "lookup": 1, "access": 2}

    run(test)


def test_names_that_change_at_the_same_time_forget_everything() -> None:
    """It is not certain then which file a name stood for."""

    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        one, two = await file(below, top, b"one"), await file(below, top, b"two")
        await below.link(ROOT, two, top, b"link")
        for key in (one, two):
            await cache.getattr(ROOT, key)
        gate = below.before["remove"] = asyncio.Event()
        remove = asyncio.create_task(cache.remove(ROOT, top, b"one"))
        await turns()
        await cache.rename(ROOT, top, b"two", top, b"one")
        await cache.getattr(ROOT, two)
        gate.set()
        await remove  # which was the second file by now
        assert (await cache.getattr(ROOT, two)).nlink == 1
        assert await refused(cache.getattr(ROOT, one)) is Status.STALE

    run(test)


def test_where_it_cannot_find_out_it_forgets_everything() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        key = await file(below, top, b"f")
        await below.link(ROOT, key, top, b"g")
        await cache.getattr(ROOT, key)
        below.fails["peek"] = FsError(Status.IO)
        await cache.remove(ROOT, top, b"f")
        assert (await cache.getattr(ROOT, key)).nlink == 1

    run(test)


def test_listings_fill_the_cache() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        keys = [await file(below, top, b"%d" % number) for number in range(5)]
        listing = await cache.readdir(ROOT, top, 0, 4096, True)
        entries = list(listing.entries)
        assert listing.eof and len(entries) == 5
        below.calls.clear()
        assert [(await cache.getattr(ROOT, key)).key for key in keys] == keys
        assert not below.calls

    run(test)


def test_it_has_a_bound() -> None:
    async def test(cache: AttrCache, below: Counted, top: Key) -> None:
        for number in range(50):
            key = await file(cache, top, b"%d" % number)
            await cache.access(ROOT, key, 1)
        tables = (cache._attrs, cache._names, cache._rights, cache._behind)
        assert [len(table) <= 10 for table in tables] == [True] * 4
        assert len(cache._changes._last) <= 10

    run(test, entries=10)


def test_it_says_what_it_does_and_refuses_what_it_cannot() -> None:
    assert "attributes kept for 3 s" in AttrCache(MemoryBackend()).describe()
    assert AttrCache(MemoryBackend()).inline and not AttrCache(Counted(MemoryBackend())).inline
    for options in ({"seconds": -1.0}, {"entries": 0}, {"negative_seconds": -1.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            AttrCache(MemoryBackend(), **options)
