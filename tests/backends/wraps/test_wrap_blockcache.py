"""The data cache: what it saves, whom it serves, what it must not serve."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from wrap_kit import ROOT, USER, Clock, Counted, Timeless, file, refused, root, turns

from backends.base import (
    Backend,
    Context,
    CreateMode,
    Data,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.memory import MemoryBackend
from backends.wraps.blockcache import BlockCache

DATA = bytes(i * 11 & 0xFF for i in range(20_000))
Test = Callable[[BlockCache, Counted, Key], Awaitable[None]]


def run(test: Test, storage: type[MemoryBackend] = MemoryBackend, **options: Any) -> None:
    """With a cache, what is below it, and the key of a file that holds `DATA`."""

    async def main() -> None:
        below = Counted(storage())
        cache = BlockCache(below, **{"block_bytes": 1024, "read_ahead_bytes": 0} | options)
        await cache.start()
        key = await file(below, await root(below), b"f", DATA)
        await test(cache, below, key)
        await cache.stop()
        assert len(cache._blocks) == 0

    asyncio.run(main())


async def read(
    backend: Backend, key: Key, offset: int = 0, count: int = 1 << 20, ctx: Context = ROOT
) -> bytes:
    got = await backend.read(ctx, key, offset, count)
    assert got.eof == (offset + count >= (await backend.getattr(ROOT, key)).size)
    return bytes(got.data)


async def warm(cache: BlockCache, key: Key, ctx: Context = ROOT) -> None:
    """Have all data of a file in the cache."""
    await cache.getattr(ctx, key)
    for _ in range(2):
        await read(cache, key, ctx=ctx)


def test_it_reads_once() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await cache.lookup(ROOT, await root(cache), b"f")
        below.calls.clear()
        for offset, count in ((0, 20_000), (0, 9), (5000, 9000), (19_999, 1), (19_990, 99)):
            assert await read(cache, key, offset, count) == DATA[offset : offset + count]
        assert (await cache.read(ROOT, key, 20_000, 5)) == Data(
            b"", True, await below.getattr(ROOT, key)
        )
        assert below.calls["read"] == 1

    run(test)


def test_without_attributes_from_before_the_first_read_is_not_kept() -> None:
    """Somebody else might have written between the data and its attributes."""

    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        for reads in (1, 2, 2):
            assert (await cache.read(ROOT, key, 0, 20_000)).data == DATA
            assert below.calls["read"] == reads

    run(test)


def test_each_caller_is_asked_for() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await below.setattr(ROOT, key, SetAttr(mode=0o600))
        await warm(cache, key)
        for _ in range(2):
            assert await refused(cache.read(USER, key, 0, 10)) is Status.ACCES
        await cache.setattr(ROOT, key, SetAttr(mode=0o604))
        assert await read(cache, key, ctx=USER) == DATA
        reads = below.calls["read"]
        assert await read(cache, key, ctx=USER) == DATA
        assert below.calls["read"] == reads, "he may, and it is there"
        await cache.setattr(ROOT, key, SetAttr(mode=0o600))
        assert await refused(cache.read(USER, key, 0, 10)) is Status.ACCES
        assert await read(cache, key) == DATA

    run(test)


@pytest.mark.parametrize("storage", [MemoryBackend, Timeless])
def test_rights_that_are_taken_away_during_a_read(storage: type[MemoryBackend]) -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await cache.getattr(ROOT, key)
        gate = below.after["read"] = asyncio.Event()
        old = asyncio.create_task(cache.read(USER, key, 0, 10))
        await turns()
        await cache.setattr(ROOT, key, SetAttr(mode=0o600))
        await cache.getattr(ROOT, key)
        gate.set()
        assert (await old).data == DATA[:10]
        await warm(cache, key)
        assert await refused(cache.read(USER, key, 0, 10)) is Status.ACCES

    run(test, storage)


def test_what_changes_elsewhere_is_seen_in_time() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        clock = Clock()
        cache._now = clock
        await warm(cache, key)
        await below.write(ROOT, key, 0, b"new", Stable.FILE_SYNC)
        clock.now += 4.9
        assert (await cache.read(ROOT, key, 0, 3)).data == DATA[:3]
        clock.now += 0.1
        assert (await cache.read(ROOT, key, 0, 3)).data == b"new"

    run(test, seconds=5)


def test_what_has_not_changed_is_kept() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        clock = Clock()
        cache._now = clock
        await warm(cache, key)
        below.calls.clear()
        clock.now += 5
        calls = [cache.read(ROOT, key, 0, 30_000) for _ in range(3)]
        assert [got.data for got in await asyncio.gather(*calls)] == [DATA] * 3
        assert below.calls == {"getattr": 1}

    run(test, seconds=5)


def test_any_result_that_tells_of_a_change_is_enough() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        await below.write(ROOT, key, 0, b"new", Stable.FILE_SYNC)
        await cache.access(ROOT, key, 63)
        assert await read(cache, key, 0, 3) == b"new"

    run(test, seconds=1000)


def test_a_block_that_comes_with_other_attributes_is_not_mixed_in() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await cache.getattr(ROOT, key)
        await cache.read(ROOT, key, 0, 2048)
        await below.write(ROOT, key, 0, b"n" * 20_000, Stable.FILE_SYNC)
        assert (await cache.read(ROOT, key, 1024, 2048)).data == b"n" * 2048

    run(test, seconds=1000)


def test_what_is_written_is_read() -> None:
    """Without another read below, where nobody else has written."""

    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        below.calls.clear()
        data = bytearray(DATA)
        for offset, text in ((0, b"start"), (1000, b"x" * 100), (3072, b"y" * 1024)):
            done = await cache.write(ROOT, key, offset, memoryview(text), Stable.UNSTABLE)
            assert done.count == len(text)
            data[offset : offset + len(text)] = text
            assert (await cache.read(ROOT, key, 0, 30_000)).data == data
        await cache.commit(ROOT, key, 0, 0)
        await cache.setattr(ROOT, key, SetAttr(mtime=5))
        assert (await cache.read(ROOT, key, 0, 30_000)).data == data
        assert below.calls["read"] == 0

    run(test)


def test_a_written_buffer_may_be_used_again() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        buffer = bytearray(b"right")
        below.after["write"] = asyncio.Event()
        task = asyncio.create_task(cache.write(ROOT, key, 0, buffer, Stable.UNSTABLE))
        await turns()
        buffer[:] = b"wrong"
        below.after["write"].set()
        await task
        assert await read(cache, key, 0, 5) == b"right"

    run(test)


@pytest.mark.parametrize("size", [0, 1, 5000, 30_000])
def test_another_size(size: int) -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        await cache.setattr(ROOT, key, SetAttr(size=size))
        assert await read(cache, key) == DATA[:size].ljust(size, b"\0")

    run(test)


def test_a_file_that_is_truncated_by_its_name() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        top = await root(cache)
        await cache.create(ROOT, top, b"f", CreateMode.UNCHECKED, SetAttr(size=0), b"")
        assert await read(cache, key) == b""

    run(test)


def test_a_file_that_is_removed_is_stale_at_once() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        await cache.remove(ROOT, await root(cache), b"f")
        assert await refused(cache.read(ROOT, key, 0, 10)) is Status.STALE

    run(test)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
@pytest.mark.parametrize("operation", ["write", "setattr", "commit"])
def test_a_change_that_does_not_end_well(operation: str, how: str) -> None:
    """It may have taken place; an error of commit may have lost data."""

    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "write": lambda: cache.write(ROOT, key, 0, b"new", Stable.FILE_SYNC),
            "setattr": lambda: cache.setattr(ROOT, key, SetAttr(size=3)),
            "commit": lambda: cache.commit(ROOT, key, 0, 0),
        }
        await warm(cache, key)
        if how == "fails":
            below.fails_late[operation] = FsError(Status.IO)
            assert await refused(calls[operation]()) is Status.IO
        else:
            below.after[operation] = asyncio.Event()
            task = asyncio.ensure_future(calls[operation]())
            await turns()
            task.cancel()
            await turns()
            assert task.cancelled()
        reads = below.calls["read"]
        assert await read(cache, key) == await read(below.below, key)
        assert below.calls["read"] == reads + 1

    run(test)


def test_two_writes_at_the_same_time() -> None:
    """Nobody knows their order but the store."""

    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        gate = below.before["write"] = asyncio.Event()
        writes = [cache.write(ROOT, key, 0, text, Stable.FILE_SYNC) for text in (b"one", b"two")]
        tasks = [asyncio.ensure_future(write) for write in writes]
        await turns()
        gate.set()
        await asyncio.gather(*tasks)
        assert await read(cache, key, 0, 3) == await read(below.below, key, 0, 3)

    run(test)


def test_while_the_file_changes_it_is_read_from_below() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await warm(cache, key)
        gate = below.after["write"] = asyncio.Event()
        task = asyncio.create_task(cache.write(ROOT, key, 0, b"new", Stable.FILE_SYNC))
        await turns()
        assert (await cache.read(ROOT, key, 0, 3)).data == b"new"
        gate.set()
        await task

    run(test)


def test_reading_in_sequence_reads_ahead() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await cache.getattr(ROOT, key)
        for at in range(0, 20_000, 1000):
            assert (await cache.read(ROOT, key, at, 1000)).data == DATA[at : at + 1000]
            await turns(3)
        assert below.calls["read"] < 16, "of 20"

    run(test, read_ahead_bytes=8192)


def test_an_inline_backend_is_not_read_ahead() -> None:
    async def main() -> None:
        below = Counted(MemoryBackend(), inline=True)
        cache = BlockCache(below, block_bytes=1024)
        assert cache.inline
        key = await file(cache, await root(cache), b"f", DATA)
        await cache.getattr(ROOT, key)
        for at in range(0, 5120, 1024):
            await cache.read(ROOT, key, at, 1024)
        await turns()
        assert below.calls["read"] == 5

    asyncio.run(main())


def test_read_ahead_that_hangs_does_not_keep_it_from_stopping() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        await cache.getattr(ROOT, key)
        await cache.read(ROOT, key, 0, 4096)
        await cache.read(ROOT, key, 4096, 4096)
        await turns()
        below.before["read"] = asyncio.Event()
        await cache.read(ROOT, key, 0, 1024)
        await cache.stop()
        assert not cache._blocks._tasks

    run(test, read_ahead_bytes=4096)


def test_data_of_many_files_has_a_bound() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        top = await root(below)
        for number in range(20):
            other = await file(below, top, b"%d" % number, DATA[:3000])
            await warm(cache, other)
            assert cache._blocks.used_bytes <= 10_000
        assert len(cache._blocks) > 5

    run(test, bytes=10_000)


def test_what_is_no_file() -> None:
    async def test(cache: BlockCache, below: Counted, key: Key) -> None:
        top = await root(cache)
        await cache.getattr(ROOT, top)
        assert await refused(cache.read(ROOT, top, 0, 10)) is Status.ISDIR

    run(test)


def test_a_backend_whose_reads_bring_no_attributes() -> None:
    class Bare(MemoryBackend):
        async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
            got = await super().read(ctx, key, offset, count)
            return Data(got.data, got.eof)

    async def main() -> None:
        below = Counted(Bare())
        cache = BlockCache(below, block_bytes=1024)
        key = await file(cache, await root(cache), b"f", DATA)
        for _ in range(4):
            assert await read(cache, key) == DATA
        assert below.calls["read"] == 2, "the first of them proves nothing"

    asyncio.run(main())


def test_it_says_what_it_does_and_refuses_what_it_cannot() -> None:
    assert "256 MiB" in BlockCache(MemoryBackend()).describe()
    for options in ({"bytes": 10}, {"block_bytes": 1 << 21}, {"read_ahead_bytes": -1}):
        with pytest.raises(ValueError, match=r"bytes"):
            BlockCache(Counted(MemoryBackend()), **options)
    with pytest.raises(ValueError, match="seconds"):
        BlockCache(MemoryBackend(), seconds=-1)
