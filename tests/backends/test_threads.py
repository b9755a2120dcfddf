"""Blocking backends: calls run in threads, so many at once; the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from backends import threads as module
from backends.base import Attr, Context, Data, DirEntry, Key, Listing
from backends.memory import MemoryBackend
from backends.threads import Pool, Threaded

CTX = Context()


class Blocking(MemoryBackend):
    """Memory that notes in which thread it was called, and waits there for `gate`."""

    inline = False
    blocking = True
    threads = 3

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def _note(self) -> None:
        with self._lock:
            self.seen.append(threading.current_thread().name)
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.gate.wait(10)
        with self._lock:
            self.inside -= 1

    async def start(self) -> None:
        self._note()

    async def stop(self) -> None:
        self._note()

    async def health(self) -> str | None:
        self._note()
        return "poor"

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        self._note()
        return await super().getattr(ctx, key)

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        self._note()
        return Listing(self._entries(), True)

    def _entries(self) -> Iterator[DirEntry]:
        for number in itertools.count(3):
            self.seen.append(threading.current_thread().name)
            yield DirEntry(b"n" * 40, number, number)

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        await asyncio.sleep(0)
        raise AssertionError("not reached")


def test_calls_run_in_threads_so_many_at_once() -> None:
    async def main() -> None:
        inner = Blocking()
        backend = Threaded(inner)
        await backend.start()
        inner.gate.clear()
        root = (await backend.root(CTX)).key
        calls = [asyncio.ensure_future(backend.getattr(CTX, root)) for _ in range(20)]
        while inner.inside < 3:
            await asyncio.sleep(0.001)  # the loop goes on
        assert not any(call.done() for call in calls)
        inner.gate.set()
        assert {attr.key for attr in await asyncio.gather(*calls)} == {root}
        assert await backend.health() == "poor"
        await backend.stop()
        assert inner.most == 3
        assert threading.current_thread().name not in inner.seen
        assert len(set(inner.seen)) == 3 and all("Blocking-" in name for name in inner.seen)

    asyncio.run(main())


def test_one_thread_is_one_call_at_a_time() -> None:
    class Serial(Blocking):
        threads = 1

    async def main() -> None:
        inner = Serial()
        backend = Threaded(inner)
        await backend.start()
        await asyncio.gather(
            *(backend.getattr(CTX, Key(1)) for _ in range(50)), return_exceptions=True
        )
        await backend.stop()
        assert inner.most == 1

    asyncio.run(main())


def test_lazy_entries_are_taken_in_the_thread_and_bounded() -> None:
    async def main() -> None:
        inner = Blocking()
        backend = Threaded(inner)
        await backend.start()
        listing = await backend.readdir(CTX, Key(1), 0, 1000, False)
        entries = list(listing.entries)
        assert 1000 // 64 <= len(entries) <= 1000 // 64 + 2
        assert not listing.eof
        assert threading.current_thread().name not in inner.seen
        await backend.stop()

    asyncio.run(main())


def test_a_method_that_awaits_is_told_off() -> None:
    async def main() -> None:
        backend = Threaded(Blocking())
        await backend.start()
        with pytest.raises(TypeError, match=r"Blocking\.read awaits"):
            await backend.read(CTX, Key(1), 0, 1)
        await backend.stop()

    asyncio.run(main())


@pytest.mark.parametrize("bad", [StopIteration("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_must_not_end_the_loop_does_not(bad: BaseException) -> None:
    def raising() -> None:
        raise bad

    async def main() -> None:
        pool = Pool(1, "bad")
        with pytest.raises(RuntimeError, match=type(bad).__name__):
            await pool.run(raising)
        assert await pool.run(lambda: 42) == 42
        pool.close()

    asyncio.run(main())


def test_a_cancelled_call_that_has_not_begun_never_does() -> None:
    async def main() -> None:
        pool, gate = Pool(1, "cancelled"), threading.Event()
        ran: list[int] = []
        first = pool.run(gate.wait, 10)
        second = pool.run(ran.append, 2)
        second.cancel()
        gate.set()
        await first
        await pool.run(ran.append, 3)
        assert ran == [3]
        pool.close()

    asyncio.run(main())


def test_threads_end_and_keep_nothing() -> None:
    class Large:
        pass

    async def main() -> None:
        before = threading.active_count()
        pool = Pool(4, "ends")
        large = Large()
        gone = weakref.ref(large)
        await asyncio.gather(*(pool.run(lambda it: None, large) for _ in range(20)))
        del large
        gc.collect()
        assert gone() is None, "a thread holds on to what it was given"
        assert threading.active_count() == before + 4
        pool.close()
        for _ in range(1000):
            if threading.active_count() == before:
                return
            await asyncio.sleep(0.005)
        pytest.fail("the threads go on")

    asyncio.run(main())


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    """They are daemons; and the pool's starters run first in each."""
    seen: list[tuple[str, bool]] = []

    def starter() -> None:
        thread = threading.current_thread()
        seen.append((thread.name, thread.daemon))

    async def main() -> None:
        pool = Pool(2, "daemon")
        await asyncio.gather(pool.run(time.sleep, 0.01), pool.run(time.sleep, 0.01))
        pool.close()

    module.STARTERS.append(starter)
    try:
        asyncio.run(main())
    finally:
        module.STARTERS.remove(starter)
    assert len(seen) == 2 and all(daemon for _, daemon in seen)


def test_a_pool_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Pool(0, "none")


def test_what_goes_wrong_at_the_start_ends_the_threads() -> None:
    class Broken(Blocking):
        async def start(self) -> None:
            raise OSError(5, "no disk")

    async def main() -> None:
        before = threading.active_count()
        backend: Any = Threaded(Broken())
        with pytest.raises(OSError, match="no disk"):
            await backend.start()
        for _ in range(1000):
            if threading.active_count() == before:
                return
            await asyncio.sleep(0.005)
        pytest.fail("the threads go on")

    asyncio.run(main())
