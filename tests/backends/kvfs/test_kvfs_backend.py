"""The file system over an engine: what is its own, beside the conformance kit."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvfs_counting import (
    BLOCK,
    FILE_SYNC,
    GUARDED,
    ROOT,
    UNSTABLE,
    Counting,
    make,
    run,
)

from backends.base import CreateMode, FileType, Key, SetAttr
from backends.kvfs import KvfsBackend, Memory, MemoryEngine, store

# Nothing half done


def _acts(dir: Key, key: Key, sub: Key) -> dict[str, Callable[[KvfsBackend], Awaitable[Any]]]:
    attr = SetAttr(mode=0o644)
    return {
        "create": lambda fs: fs.create(ROOT, dir, b"new", GUARDED, attr, b""),
        "create over": lambda fs: fs.create(
            ROOT, dir, b"f", CreateMode.UNCHECKED, SetAttr(size=3), b""
        ),
        "mkdir": lambda fs: fs.mkdir(ROOT, dir, b"new", attr),
        "symlink": lambda fs: fs.symlink(ROOT, dir, b"new", b"target", attr),
        "mknod": lambda fs: fs.mknod(ROOT, dir, b"new", FileType.FIFO, (0, 0), attr),
        "link": lambda fs: fs.link(ROOT, key, dir, b"new"),
        "remove": lambda fs: fs.remove(ROOT, dir, b"f"),
        "rmdir": lambda fs: fs.rmdir(ROOT, dir, b"sub"),
        "rename": lambda fs: fs.rename(ROOT, dir, b"f", sub, b"g"),
        "rename over": lambda fs: fs.rename(ROOT, dir, b"f", dir, b"g"),
        "write": lambda fs: fs.write(ROOT, key, 3000, b"y" * 9000, UNSTABLE),
        "truncate": lambda fs: fs.setattr(ROOT, key, SetAttr(size=100)),
        "chmod": lambda fs: fs.setattr(ROOT, key, SetAttr(mode=0o600)),
    }


@pytest.mark.parametrize("act", _acts(Key(0), Key(0), Key(0)))
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_at_any_step_leaves_all_as_it_was(act: str, number: int) -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        dir = (await fs.mkdir(ROOT, root, b"d", SetAttr(mode=0o755))).attr.key
        key, _ = await make(fs, b"f", dir), await make(fs, b"g", dir)
        sub = (await fs.mkdir(ROOT, dir, b"sub", SetAttr(mode=0o755))).attr.key
        await fs.write(ROOT, key, 0, b"x" * 10_000, UNSTABLE)
        engine.error = OSError(number, "planted")
        before, attrs = dict(engine.memory.values), await _attributes(fs, dir, key, sub)
        for at in range(100):
            engine.left = at
            try:
                await _acts(dir, key, sub)[act](fs)
            except OSError as exc:
                assert exc.errno == number
            else:
                assert at > 3
                break
            finally:
                engine.left = None
            assert engine.memory.values == before
            assert await _attributes(fs, dir, key, sub) == attrs, "the cache has what is not there"
            assert await fs.fsck() == []
        assert engine.memory.values != before

    run(body)


async def _attributes(fs: KvfsBackend, *keys: Key) -> list[Any]:
    return [replace(await fs.getattr(ROOT, key), memo=None) for key in keys]


def test_a_read_does_not_fail_for_its_atime() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await make(fs)
        await fs.write(ROOT, key, 0, b"data", UNSTABLE)
        before = await fs.getattr(ROOT, key)
        engine.steps, engine.left = 0, 3  # the inode is in memory: a read is two steps
        got = await fs.read(ROOT, key, 0, 4)
        engine.left = None
        assert got.data == b"data"
        assert got.attr is not None
        assert got.attr.atime == before.atime
        got = await fs.read(ROOT, key, 0, 4)
        assert got.attr is not None
        assert got.attr.atime > before.mtime

    run(body)


# Power loss and the verifier


def test_what_a_power_cut_takes_and_what_it_leaves() -> None:
    async def main() -> None:
        memory = Memory()
        fs = KvfsBackend(MemoryEngine(memory, BLOCK))
        await fs.start()
        key, verifier = await make(fs), fs.verifier
        await fs.write(ROOT, key, 0, b"first", FILE_SYNC)
        await fs.write(ROOT, key, 0, b"OTHER", UNSTABLE)
        memory.lose_power()
        fs = KvfsBackend(MemoryEngine(memory, BLOCK))
        await fs.start()
        assert fs.verifier != verifier
        assert (await fs.read(ROOT, key, 0, 10)).data == b"first"
        verifier = fs.verifier
        await fs.write(ROOT, key, 0, b"OTHER", UNSTABLE)
        await fs.commit(ROOT, key, 0, 0)
        memory.lose_power()
        fs = KvfsBackend(MemoryEngine(memory, BLOCK))
        await fs.start()
        assert (await fs.read(ROOT, key, 0, 10)).data == b"OTHER"
        assert fs.verifier != verifier
        assert await fs.fsck() == []

    asyncio.run(main())


def test_the_verifier_outlives_the_process() -> None:
    async def main() -> None:
        memory = Memory()
        verifiers = set()
        for _ in range(3):
            fs = KvfsBackend(MemoryEngine(memory, BLOCK))
            await fs.start()
            verifiers.add(fs.verifier)
        assert len(verifiers) == 1
        await fs.stop()
        fs = KvfsBackend(MemoryEngine(memory, BLOCK))
        await fs.start()
        assert verifiers == {fs.verifier}

    asyncio.run(main())


def test_a_failed_sync_changes_the_verifier() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await make(fs)
        verifiers = [fs.verifier]
        await fs.write(ROOT, key, 0, b"data", UNSTABLE)
        engine.fail_sync = True
        for _ in range(2):
            with pytest.raises(OSError, match="fsync"):
                await fs.commit(ROOT, key, 0, 0)
            verifiers.append(fs.verifier)
        engine.fail_sync = False
        await fs.commit(ROOT, key, 0, 0)
        assert len(set(verifiers)) == 3
        assert fs.verifier == verifiers[-1]
        # It is the one that the next process has.
        again = KvfsBackend(Counting(engine.memory))
        await again.start()
        assert again.verifier == fs.verifier

    run(body)


@pytest.mark.parametrize("sync", [True, False])
def test_set_sync(sync: bool) -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        fs.set_sync(sync)
        key = await make(fs)
        assert engine.memory.unsafe
        done = await fs.write(ROOT, key, 0, b"data", FILE_SYNC)
        assert done.stable is FILE_SYNC
        assert bool(engine.memory.unsafe) is not sync
        await fs.write(ROOT, key, 0, b"data", UNSTABLE)
        await fs.commit(ROOT, key, 0, 0)
        assert bool(engine.memory.unsafe) is not sync

    run(body)


@pytest.mark.parametrize(
    "options", [{"max_bytes": -1}, {"max_files": 0}, {"mode": 0o10000}, {"uid": -1}, {"gid": 2**32}]
)
def test_options_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        KvfsBackend(MemoryEngine(), **options)  # type: ignore[arg-type]


def test_the_root_is_as_it_was_made() -> None:
    async def main() -> None:
        memory = Memory()
        for mode in (0o750, 0o700):
            fs = KvfsBackend(MemoryEngine(memory), mode=mode, uid=5, gid=6)
            await fs.start()
            attr = await fs.root(ROOT)
            assert (attr.mode, attr.uid, attr.gid, attr.nlink) == (0o750, 5, 6, 2)

    asyncio.run(main())


def test_another_format_or_block_size_is_not_opened() -> None:
    async def main() -> None:
        memory = Memory()
        await KvfsBackend(MemoryEngine(memory, BLOCK)).start()
        with pytest.raises(OSError, match="blocks of 4096 bytes; the engine has 8192"):
            await KvfsBackend(MemoryEngine(memory, 8192)).start()
        memory.values[b"F"] = b"nfsl\x00\x09" + memory.values[b"F"][6:]
        with pytest.raises(OSError, match="format is 9; this version knows 1"):
            await KvfsBackend(MemoryEngine(memory, BLOCK)).start()

    asyncio.run(main())


def test_inodes_in_memory_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "CACHE_INODES", 10)

    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        keys = [await make(fs, b"%d" % number) for number in range(100)]
        assert len(fs._store._inodes) == 10
        for number, key in enumerate(keys):
            attr = (await fs.lookup(ROOT, root, b"%d" % number)).attr
            assert attr.key == key
            await fs.setattr(ROOT, key, SetAttr(mode=number))
        assert [(await fs.getattr(ROOT, key)).mode for key in keys] == list(range(100))
        assert len(fs._store._inodes) == 10

    run(body)


def test_a_listing_costs_what_it_lists() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        for number in range(3000):
            await make(fs, b"%d" % number)
        for number in range(0, 2000, 2):
            await fs.remove(ROOT, root, b"%d" % number)
        cookie, names, pages = 0, [], 0
        engine.scanned = 0
        while True:
            listing = await fs.readdir(ROOT, root, cookie, 1024, False)
            page = list(listing.entries)
            names += [entry.name for entry in page]
            pages += 1
            if listing.eof:
                break
            cookie = page[-1].cookie
        assert len(names) == len(set(names)) == 2000
        assert pages > 30
        assert engine.scanned <= 2000 + pages

    run(body)


def test_ctime_rises_though_the_clock_goes_back() -> None:
    times = [10**18, 10**18, 10**18, 5 * 10**17, 10**9, 10**18]

    async def main() -> None:
        memory, seen = Memory(), []
        for _ in range(2):
            fs = KvfsBackend(
                MemoryEngine(memory), clock=lambda: times.pop(0) if len(times) > 1 else times[0]
            )
            await fs.start()
            root = (await fs.root(ROOT)).key
            for mode in range(10):
                await fs.setattr(ROOT, root, SetAttr(mode=mode))
                seen.append((await fs.getattr(ROOT, root)).ctime)
            times[:] = [10**9]
        assert seen == sorted(set(seen))

    asyncio.run(main())


FAR = (2**32 - 1) * 10**9 + 999_999_999


def test_times_that_a_user_sets_are_nobody_elses() -> None:
    async def main() -> None:
        memory = Memory()
        fs = KvfsBackend(MemoryEngine(memory), mode=0o777, clock=lambda: 10**18)
        await fs.start()
        root = (await fs.root(ROOT)).key
        mine, other = await make(fs, b"mine"), await make(fs, b"other")
        wish = SetAttr(mtime=FAR, atime=FAR)
        near = 10**18 + 10**6
        after = (await fs.setattr(ROOT, mine, wish)).after
        assert after is not None
        assert (after.mtime, after.atime) == (FAR, FAR)
        assert after.ctime < near
        for again in range(2):
            await fs.setattr(ROOT, mine, SetAttr(mode=0o600 + again))
            await fs.link(ROOT, mine, root, b"link")
            await fs.remove(ROOT, root, b"link")
            await fs.rename(ROOT, root, b"mine", root, b"other")
            await fs.rename(ROOT, root, b"other", root, b"mine")
            other = await make(fs, b"other")
            await fs.write(ROOT, other, 0, b"x", UNSTABLE)
            await fs.read(ROOT, mine, 0, 1)
            seen = [await fs.getattr(ROOT, key) for key in (root, other)]
            assert max(time for a in seen for time in (a.atime, a.mtime, a.ctime)) < near
            attr = await fs.getattr(ROOT, mine)
            assert attr.mtime == FAR
            assert attr.ctime < near
            fs = KvfsBackend(MemoryEngine(memory), clock=lambda: 10**18 + 5000)
            await fs.start()
        await fs.write(ROOT, mine, 0, b"x", UNSTABLE)
        attr = await fs.getattr(ROOT, mine)
        assert attr.mtime == attr.ctime < near

    asyncio.run(main())


def test_a_clock_that_went_back_is_seen_by_old_files_only() -> None:
    """Each change moves the ctime of all that it changes, and takes it from nothing else."""

    async def main() -> None:
        memory, old = Memory(), 10**18
        fs = KvfsBackend(MemoryEngine(memory), clock=lambda: old)
        await fs.start()
        root = (await fs.root(ROOT)).key
        key = await make(fs, b"old")
        dir = (await fs.mkdir(ROOT, root, b"d", SetAttr(mode=0o755))).attr.key
        fs = KvfsBackend(MemoryEngine(memory), clock=lambda: 10**9)
        await fs.start()
        new = await make(fs, b"new", dir)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: fs.setattr(ROOT, key, SetAttr(mode=0o640)),
            lambda: fs.write(ROOT, key, 0, b"x", UNSTABLE),
            lambda: fs.link(ROOT, key, dir, b"l"),
            lambda: fs.rename(ROOT, dir, b"l", root, b"l"),
            lambda: fs.rename(ROOT, root, b"l", dir, b"m"),
            lambda: fs.remove(ROOT, dir, b"m"),
        ]
        for number, call in enumerate(calls):
            before = [await fs.getattr(ROOT, each) for each in (key, dir)]
            await call()
            after = [await fs.getattr(ROOT, each) for each in (key, dir)]
            assert after[0].ctime > before[0].ctime
            if number > 1:
                assert after[1].ctime > before[1].ctime
                assert after[1].mtime > before[1].mtime
        await fs.rename(ROOT, dir, b"new", root, b"new")
        assert (await fs.getattr(ROOT, new)).ctime < 2 * 10**9
        assert (await fs.getattr(ROOT, await make(fs, b"newer", dir))).ctime < 2 * 10**9

    asyncio.run(main())


def test_a_number_is_never_given_again() -> None:
    async def main() -> None:
        memory, numbers = Memory(), set()
        for _ in range(3):
            fs = KvfsBackend(MemoryEngine(memory))
            await fs.start()
            root = (await fs.root(ROOT)).key
            for _ in range(5):
                numbers.add((await make(fs)).ino)
                await fs.remove(ROOT, root, b"f")
            await fs.stop()
        assert len(numbers) == 15

    asyncio.run(main())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 40_000), st.binary(max_size=300)),
            st.tuples(st.just("fill"), st.integers(0, 40_000), st.integers(0, 20_000)),
            st.tuples(st.just("size"), st.integers(0, 50_000), st.none()),
        ),
        max_size=12,
    )
)
def test_data_against_a_plain_bytearray(steps: list[tuple[str, int, Any]]) -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key, model = await make(fs), bytearray()
        for kind, at, what in steps:
            if kind == "size":
                await fs.setattr(ROOT, key, SetAttr(size=at))
                model = model[:at].ljust(at, b"\0")
            else:
                data = what if isinstance(what, bytes) else b"\x55" * what
                await fs.write(ROOT, key, at, data, UNSTABLE)
                if data:
                    model = model.ljust(at, b"\0")
                    model[at : at + len(data)] = data
            got = await fs.read(ROOT, key, 0, 1 << 20)
            assert got.data == model
            assert got.eof
            middle = await fs.read(ROOT, key, 5000, 9000)
            assert middle.data == model[5000:14_000]

    run(body)
