"""The pieces that caches are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from wrap_kit import Clock, turns

from backends.base import Buffer, FsError, Status
from backends.caches import BUSY, Blocks, ChangedError, Changes, Joined, Lru

DATA = bytes(i * 7 & 0xFF for i in range(1 << 16))
BLOCK = 1024


def test_lru_has_a_bound_and_forgets_the_longest_unused() -> None:
    table: Lru[int, str] = Lru(3)
    for number in range(3):
        table.put(number, str(number))
    assert table.get(0) == "0"
    table.put(3, "3")
    assert [table.get(number) for number in range(4)] == ["0", None, "2", "3"]
    table.discard(0)
    table.discard(0)
    assert len(table) == 2
    table.clear()
    assert len(table) == 0
    with pytest.raises(ValueError, match="entries"):
        Lru(0)


def test_lru_forgets_what_is_too_old() -> None:
    clock = Clock()
    table: Lru[str, int] = Lru(10, 5.0, clock)
    table.put("default", 1)
    table.put("soon", 2, until=clock.now + 1)
    clock.now += 1
    assert (table.get("default"), table.get("soon")) == (1, None)
    clock.now += 4
    assert table.get("default") is None
    assert len(table) == 0


def test_changes_say_whether_something_changed() -> None:
    changes = Changes()
    before, clock = changes.version("a", "b"), changes.clock
    with changes.begin("a") as change:
        assert changes.version("a") == changes.version("a", "b") == BUSY
        assert changes.version("b") == 0
        assert changes.since(clock, "a")
    assert change.alone == {"a"}
    assert changes.version("a") > before
    assert changes.since(clock, "a", "b") and not changes.since(clock, "b")
    assert not changes.since(changes.clock, "a")


def test_changes_that_overlap_are_not_alone() -> None:
    changes = Changes()
    with changes.begin("a", "b") as outer:
        with changes.begin("a") as inner:
            pass
        assert changes.version("a") == BUSY
    assert outer.alone == {"b"} and not inner.alone
    with changes.begin("a") as change:
        changes.flush()
    assert change.alone == set()


def test_a_change_ends_when_it_fails() -> None:
    changes = Changes()
    with pytest.raises(KeyError), changes.begin("a"):
        raise KeyError
    assert changes.version("a") == 1


@pytest.mark.parametrize("overlap", [True, False])
def test_a_change_that_rests_on_what_another_changes(overlap: bool) -> None:
    """Then it may have changed something else than it thought."""
    changes = Changes()
    with changes.begin("x"):
        pass
    version = changes.version("x")
    with changes.begin("name") as change:
        change.rest_on("name")
        change.add("file")
        if overlap:
            with changes.begin("name"):
                pass
    assert (changes.version("x") == version) is not overlap
    assert change.alone == (set() if overlap else {"name", "file"})


@pytest.mark.parametrize(
    ("raised", "flushed"), [(None, True), (FsError(Status.ACCES), False), (KeyError(), True)]
)
def test_a_change_of_something_unknown(raised: Exception | None, flushed: bool) -> None:
    changes = Changes()
    try:
        with changes.begin() as change:
            change.unknown()
            if raised is not None:
                raise raised
    except (FsError, KeyError):
        pass
    assert (changes.version("x") > 1) is flushed


def test_changes_have_a_bound() -> None:
    """What is forgotten counts as changed when it was."""
    changes = Changes(scopes=2)
    with changes.begin("first"):
        pass
    clock = changes.clock
    for scope in ("a", "b", "c"):
        with changes.begin(scope):
            pass
    assert changes.since(clock, "first"), "a floor under all that is not remembered"
    assert changes.version("first") == changes.version("never seen") == 2
    assert not changes.since(changes.clock, "first")


def test_joined_fetches_once() -> None:
    async def main() -> None:
        joined: Joined[int] = Joined()
        gate, calls = asyncio.Event(), []

        async def fetch() -> int:
            calls.append(1)
            await gate.wait()
            return 5

        tasks = [asyncio.create_task(joined.get("k", fetch)) for _ in range(5)]
        other = asyncio.create_task(joined.get("other", fetch))
        await turns()
        tasks[1].cancel()
        gate.set()
        assert await other == 5
        assert [await task for task in (tasks[0], *tasks[2:])] == [5] * 4
        assert len(calls) == 2
        assert await joined.get("k", fetch) == 5
        assert len(calls) == 3, "nothing is kept"

    asyncio.run(main())


def test_joined_shares_failures_and_outlives_its_first_caller() -> None:
    async def main() -> None:
        joined: Joined[int] = Joined()
        gate, calls = asyncio.Event(), []

        async def fetch() -> int:
            calls.append(1)
            await gate.wait()
            raise FsError(Status.IO)

        tasks = [asyncio.create_task(joined.get("k", fetch)) for _ in range(4)]
        await turns()
        assert len(calls) == 1
        tasks[0].cancel()
        await turns()
        assert len(calls) == 2, "another takes over"
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(result, FsError) for result in results[1:])
        assert len(calls) == 2

    asyncio.run(main())


class Store:
    """A file to fetch from, that counts, and waits if it is told to."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.fetched: list[tuple[int, int]] = []
        self.gate: asyncio.Event | None = None
        self.fails = False
        #: The most that one fetch gives.
        self.most = 1 << 30

    async def fetch(self, offset: int, count: int) -> Buffer:
        self.fetched.append((offset, count))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise FsError(Status.IO)
        return self.data[offset : offset + min(count, self.most)]

    async def read(self, blocks: Blocks, offset: int, count: int, state: int = 0) -> bytes:
        size = len(self.data)
        return bytes(await blocks.read("f", state, size, offset, count, self.fetch))


def with_blocks(
    test: Callable[[Blocks, Store], Awaitable[None]], max_bytes: int = 1 << 20, **options: Any
) -> None:
    async def main() -> None:
        blocks = Blocks(max_bytes, BLOCK, **options)
        await test(blocks, Store())
        await blocks.stop()
        assert len(blocks) == blocks.used_bytes == blocks.ahead_bytes == 0

    asyncio.run(main())


def test_blocks_are_fetched_once_and_whole() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        assert await store.read(blocks, 1500, 10) == DATA[1500:1510]
        assert store.fetched == [(1024, 1024)]
        for offset, count in ((1024, 1024), (1030, 7), (2047, 1), (1500, 10)):
            assert await store.read(blocks, offset, count) == DATA[offset : offset + count]
        assert len(store.fetched) == 1
        assert await store.read(blocks, 1000, 3000) == DATA[1000:4000]
        assert store.fetched[1:] == [(0, 1024), (2048, 2048)], "what is missing, in one go"

    with_blocks(test)


def test_the_end_of_the_file() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA[:2500]
        assert await store.read(blocks, 2000, 5000) == DATA[2000:2500]
        assert store.fetched == [(1024, 1476)]
        assert await store.read(blocks, 2400, 5000) == DATA[2400:2500]
        assert await store.read(blocks, 2500, 10) == await store.read(blocks, 9999, 1) == b""
        assert len(store.fetched) == 1

    with_blocks(test)


def test_a_fetch_that_gives_less_is_repeated() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.most = 700
        assert await store.read(blocks, 0, 2048) == DATA[:2048]
        assert [offset for offset, _ in store.fetched] == [0, 700, 1400]

    with_blocks(test)


def test_a_file_that_is_shorter_than_it_was_said_to_be() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        with pytest.raises(ChangedError):
            await blocks.read("f", 0, len(DATA) + 5000, len(DATA), 100, store.fetch)
        assert len(blocks) == 0

    with_blocks(test)


def test_no_fetch_is_larger_than_a_read() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA * 40
        assert await store.read(blocks, 0, 2 << 20) == store.data[: 2 << 20]
        assert [count for _, count in store.fetched] == [1 << 20, 1 << 20]

    with_blocks(test, 4 << 20)


def test_memory_has_a_bound() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        for offset in range(0, len(DATA), BLOCK):
            assert await store.read(blocks, offset, 1) == DATA[offset : offset + 1]
            assert blocks.used_bytes <= 8 * BLOCK
        assert 5 <= len(blocks) <= 8
        store.fetched.clear()
        await store.read(blocks, len(DATA) - BLOCK, 1)
        await store.read(blocks, 0, 1)
        assert store.fetched == [(0, BLOCK)], "the longest unused have gone"

    with_blocks(test, 8 * BLOCK)


def test_the_number_of_files_has_a_bound() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        for key in range(5):
            await blocks.read(key, 0, len(DATA), 0, 10, store.fetch)
        assert len(blocks) == 3
        assert 1 not in blocks and 4 in blocks

    with_blocks(test, files=3)


def test_another_state_is_other_data() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        await store.read(blocks, 0, 3000)
        store.data = DATA[::-1]
        assert await store.read(blocks, 0, 3000, state=1) == DATA[::-1][:3000]
        assert len(blocks) == 3

    with_blocks(test)


def test_waits_for_a_block_are_joined() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.gate = asyncio.Event()
        reads = [asyncio.create_task(store.read(blocks, at, 2000)) for at in (0, 0, 1024, 500)]
        await turns()
        assert store.fetched == [(0, 2048)]
        store.gate.set()
        assert [await read for read in reads] == [DATA[at : at + 2000] for at in (0, 0, 1024, 500)]
        assert store.fetched == [(0, 2048), (2048, 1024)]

    with_blocks(test)


def test_a_fetch_that_fails_fails_its_own_caller() -> None:
    """And those who waited for it try themselves."""

    async def test(blocks: Blocks, store: Store) -> None:
        store.gate, store.fails = asyncio.Event(), True
        first = asyncio.create_task(store.read(blocks, 0, 10))
        await turns()
        fine = Store()
        others = [asyncio.create_task(fine.read(blocks, 0, 10)) for _ in range(2)]
        await turns()
        store.gate.set()
        with pytest.raises(FsError):
            await first
        assert [await other for other in others] == [DATA[:10]] * 2

    with_blocks(test)


def test_a_fetch_that_is_cancelled() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.gate = asyncio.Event()
        first = asyncio.create_task(store.read(blocks, 0, 10))
        await turns()
        other = asyncio.create_task(store.read(blocks, 0, 10))
        await turns()
        first.cancel()
        await turns()
        assert len(store.fetched) == 2
        store.gate.set()
        assert await other == DATA[:10]

    with_blocks(test)


def test_what_was_read_otherwise_is_kept_as_far_as_it_fills_blocks() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA[:5000]
        blocks.put("f", 0, 5000, 1000, DATA[1000:5000])
        assert len(blocks) == 4, "not the first; the last, since it ends the file"
        assert await store.read(blocks, 1024, 5000) == DATA[1024:5000]
        assert store.fetched == []

    with_blocks(test)


@pytest.mark.parametrize("offset", [0, 1, 1023, 1024, 2047, 2048, 2500, 2999, 3000, 3001, 4000])
@pytest.mark.parametrize("length", [0, 1, 2, 1024, 1500, 3000])
def test_written_data_is_seen(offset: int, length: int) -> None:
    """In blocks that are there, without another fetch; with holes and a longer file."""

    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA[:3000]
        await store.read(blocks, 0, 3000)
        new = bytearray(store.data)
        if length:
            new.extend(bytes(max(0, offset - len(new))))
            new[offset : offset + length] = b"x" * length
        store.data = bytes(new)
        blocks.wrote("f", 0, 1, len(new), offset, b"x" * length)
        store.fetched.clear()
        assert await store.read(blocks, 0, 9999, state=1) == store.data
        assert all(at >= 2048 for at, _ in store.fetched), "the whole blocks are still there"

    with_blocks(test)


@pytest.mark.parametrize("size", [0, 1, 1024, 2500, 3000, 3001, 4096, 9000])
def test_another_size(size: int) -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA[:3000]
        await store.read(blocks, 0, 3000)
        store.data = store.data[:size].ljust(size, b"\0")
        blocks.resized("f", 0, 1, size)
        store.fetched.clear()
        assert await store.read(blocks, 0, 9999, state=1) == store.data
        assert all(at >= min(size, 2048) // BLOCK * BLOCK for at, _ in store.fetched)

    with_blocks(test)


def test_changes_of_another_state_forget_all() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        changes: list[Callable[[], None]] = [
            lambda: blocks.wrote("f", 7, 8, len(DATA), 0, b"x"),
            lambda: blocks.resized("f", 7, 8, len(DATA)),
            lambda: blocks.wrote("f", 0, 1, 10, 0, b"x"),
            lambda: blocks.forget("f"),
        ]
        for change in changes:
            await store.read(blocks, 0, 3000)
            assert len(blocks) == 3
            change()
            assert len(blocks) == 0

    with_blocks(test)


@pytest.mark.parametrize("how", ["wrote", "resized", "forget"])
def test_what_is_in_flight_during_a_change_is_not_kept(how: str) -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.gate = asyncio.Event()
        read = asyncio.create_task(store.read(blocks, 0, 10))
        await turns()
        if how == "wrote":
            blocks.wrote("f", 0, 0, len(DATA), 5, b"new")
        elif how == "resized":
            blocks.resized("f", 0, 0, len(DATA))
        else:
            blocks.forget("f")
        store.gate.set()
        assert await read == DATA[:10]
        assert len(blocks) == 0

    with_blocks(test)


@pytest.mark.parametrize("size", [len(DATA), 2500])
def test_a_change_in_the_middle_of_a_read(size: int) -> None:
    """What is there is of two states then, and the rest of neither."""

    async def test(blocks: Blocks, store: Store) -> None:
        await store.read(blocks, 0, 10)
        await store.read(blocks, 2048, 10)
        store.gate = asyncio.Event()
        read = asyncio.create_task(store.read(blocks, 0, 5000))
        await turns()
        blocks.resized("f", 0, 1, size)
        store.gate.set()
        with pytest.raises(ChangedError):
            await read

    with_blocks(test)


def test_reading_in_sequence_reads_ahead() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        await store.read(blocks, 0, 1024)
        await turns()
        assert len(store.fetched) == 1, "one read is no sequence"
        await store.read(blocks, 1024, 1024)
        await turns()
        ahead = sorted(store.fetched)[2:]
        assert ahead[0][0] == 2048 and sum(count for _, count in ahead) == 2048
        for at in range(2048, len(DATA), 1024):
            assert await store.read(blocks, at, 1024) == DATA[at : at + 1024]
            await turns()
            assert blocks.ahead_bytes == 0
        fetched = sorted(store.fetched)
        assert sum(count for _, count in fetched) == len(DATA), "nothing twice"
        assert max(count for _, count in fetched) == 4096, "a quarter of read_ahead_bytes"

    with_blocks(test, read_ahead_bytes=16 * BLOCK)


def test_reading_here_and_there_does_not_read_ahead() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        store.data = DATA * 200
        for at in (0, 5, 2, 9, 7, 11):
            await store.read(blocks, at << 20, 1024)
            await turns()
        assert [count for _, count in store.fetched] == [1024] * 6

    with_blocks(test, read_ahead_bytes=16 * BLOCK)


def test_reads_that_overtake_each_other_are_in_sequence_too() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        for at in (2048, 0, 1024):
            await store.read(blocks, at, 1024)
        await turns()
        assert max(offset for offset, _ in store.fetched) > 3000

    with_blocks(test, read_ahead_bytes=16 * BLOCK)


def test_read_ahead_has_a_bound() -> None:
    """Of each file, and of all together."""

    async def test(blocks: Blocks, store: Store) -> None:
        for key in range(20):
            for at in (0, 1024):
                await blocks.read(key, 0, len(DATA), at, 1024, Store().fetch)
                await turns()
        store.gate = asyncio.Event()
        before = blocks.ahead_bytes
        for key in range(20, 40):
            for at in (0, 1024):
                blocks.put(key, 0, len(DATA), at, DATA[at : at + 1024])
            await blocks.read(key, 0, len(DATA), 0, 1024, store.fetch)
            await turns()
            assert blocks.ahead_bytes <= (64 * BLOCK) // 4
        assert before == 0 and blocks.ahead_bytes > 8 * BLOCK
        assert blocks.ahead_bytes == sum(count for _, count in store.fetched)

    with_blocks(test, 64 * BLOCK, read_ahead_bytes=8 * BLOCK)


def test_read_ahead_never_fails_a_read() -> None:
    async def test(blocks: Blocks, store: Store) -> None:
        await store.read(blocks, 0, 1024)
        bad = Store()
        bad.gate, bad.fails = asyncio.Event(), True
        blocks.put("f", 0, len(DATA), 1024, DATA[1024:2048])
        assert await bad.read(blocks, 1024, 1024) == DATA[1024:2048]
        await turns()
        assert bad.fetched, "it is reading ahead"
        read = asyncio.create_task(store.read(blocks, 2048, 1024))
        await turns()
        assert (2048, 1024) not in store.fetched, "it waits for what is on its way"
        bad.gate.set()
        assert await read == DATA[2048:3072]
        assert (2048, 1024) in store.fetched

    with_blocks(test, read_ahead_bytes=4 * BLOCK)


@pytest.mark.parametrize("begun", [True, False])
def test_stop_ends_read_ahead(begun: bool) -> None:
    """And whoever waits for it gets his data all the same."""

    async def test(blocks: Blocks, store: Store) -> None:
        await store.read(blocks, 0, 1024)
        await store.read(blocks, 1024, 1024)
        await turns()
        slow = Store()
        slow.gate = asyncio.Event()
        await slow.read(blocks, 2048, 1024)
        assert blocks.ahead_bytes > 0
        read = asyncio.create_task(store.read(blocks, 5000, 10))
        if begun:
            await turns()
        await blocks.stop()
        assert blocks.ahead_bytes == 0
        assert await read == DATA[5000:5010]

    with_blocks(test, read_ahead_bytes=4 * BLOCK)


@pytest.mark.parametrize(
    ("args", "why"),
    [((1 << 20, 100), "block"), ((1 << 22, 1 << 21), "block"), ((1000, 1024), "hold no block"),
     ((1 << 20, 1024, -1), "read-ahead")],
)  # fmt: skip
def test_options_that_cannot_be(args: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Blocks(*args)
