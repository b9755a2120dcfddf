"""The file system over an engine: deleting in steps, quota, full storage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kvfs_counting import (
    BLOCK,
    ROOT,
    UNSTABLE,
    Counting,
    blocks_of,
    large,
    make,
    run,
    status,
)

from backends.base import FsError, Key, SetAttr, Status
from backends.kvfs import KvfsBackend, Memory, core, store

# Large files go in steps


def test_removing_a_large_file_takes_bounded_steps() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        total = 10 * store.STEP_BLOCKS + 5
        key = await large(fs, total)
        other = await make(fs, b"other")
        engine.deleted = 0
        await fs.remove(ROOT, root, b"large")
        # One step of its own, one behind it, the records.
        assert engine.deleted <= 2 * store.STEP_BLOCKS + 5
        assert await status(fs.getattr(ROOT, key)) is Status.STALE
        assert fs._store.state.used == 0, "to the user, it is gone"
        assert blocks_of(engine.memory) >= total - 2 * store.STEP_BLOCKS
        assert await fs.fsck() == [], "what is still to be deleted is no inconsistency"
        calls = 0
        while blocks_of(engine.memory):
            engine.deleted = 0
            await fs.setattr(ROOT, other, SetAttr(mode=calls))
            assert engine.deleted <= store.STEP_BLOCKS + 1
            calls += 1
        assert calls <= total // store.STEP_BLOCKS + 1
        assert not any(key[:1] == b"O" for key in engine.memory.keys)

    run(body)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_goes_on_with_removing(how: str) -> None:
    async def main() -> None:
        memory = Memory()
        fs = KvfsBackend(Counting(memory))
        await fs.start()
        root = (await fs.root(ROOT)).key
        await large(fs, 6 * store.STEP_BLOCKS)
        await fs.remove(ROOT, root, b"large")
        assert blocks_of(memory)
        if how == "stop":
            await fs.stop()
        else:
            fs = KvfsBackend(Counting(memory))
            await fs.start()
        assert blocks_of(memory) == 0

    asyncio.run(main())


def test_truncating_a_large_file_leaves_it_usable_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "WAY_BLOCKS", 0)  # nothing is deleted while the client waits

    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await large(fs, 5 * store.STEP_BLOCKS)
        engine.deleted = 0
        wcc = await fs.setattr(ROOT, key, SetAttr(size=0))
        assert engine.deleted <= 2 * store.STEP_BLOCKS + 5
        assert wcc.after is not None
        assert (wcc.after.size, wcc.after.used) == (0, 0)
        await fs.write(ROOT, key, 3 * BLOCK, b"new", UNSTABLE)
        assert (await fs.read(ROOT, key, 0, 10 * BLOCK)).data == bytes(3 * BLOCK) + b"new"
        assert await fs.fsck() == []
        assert (await fs.getattr(ROOT, key)).used == 3

    run(body)


def test_a_large_cut_must_be_gone_before_the_file_grows(monkeypatch: Any) -> None:
    monkeypatch.setattr(store, "WAY_BLOCKS", 2 * store.STEP_BLOCKS)

    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await large(fs, 12 * store.STEP_BLOCKS)
        await fs.setattr(ROOT, key, SetAttr(size=BLOCK + 5))
        attr = await fs.getattr(ROOT, key)
        assert attr.size == BLOCK + 5
        assert attr.used > BLOCK + 5
        assert (await fs.read(ROOT, key, 0, 9 * BLOCK)).data == b"x" * (BLOCK + 5)
        assert await fs.fsck() == []
        tries = 0
        while True:  # a client asks again
            try:
                await fs.write(ROOT, key, 20 * BLOCK, b"end", UNSTABLE)
                break
            except FsError as exc:
                assert exc.status is Status.JUKEBOX
            tries += 1
            assert tries < 12
        assert tries > 1
        data = (await fs.read(ROOT, key, 0, 30 * BLOCK)).data
        assert data == b"x" * (BLOCK + 5) + bytes(20 * BLOCK - BLOCK - 5) + b"end"
        assert (await fs.getattr(ROOT, key)).used == BLOCK + 5 + 3

    run(body)


def test_a_cut_file_can_be_cut_again_and_removed() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        for name, sizes in ((b"a", (900, 500, 1)), (b"b", (900, 0)), (b"c", (900,))):
            key = await large(fs, 1200, name)
            for size in sizes:
                await fs.setattr(ROOT, key, SetAttr(size=size * BLOCK + 7))
                assert await fs.fsck() == []
            await fs.remove(ROOT, root, name)
            assert await fs.fsck() == []
        assert fs._store.state.used == 0
        while fs._store.doomed:
            fs._store.reclaim(store.STEP_BLOCKS)
        assert blocks_of(engine.memory) == 0

    run(body)


# Limits


def test_quota() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await make(fs)
        await fs.write(ROOT, key, 0, bytes(60_000), UNSTABLE)
        before = await fs.getattr(ROOT, key)
        write = fs.write(ROOT, key, 60_000, bytes(40_001), UNSTABLE)
        assert await status(write) is Status.NOSPC
        assert await fs.getattr(ROOT, key) is before
        await fs.write(ROOT, key, 60_000, bytes(40_000), UNSTABLE)
        # What is there can be overwritten, and what takes nothing can be made.
        await fs.write(ROOT, key, 0, b"x" * 100_000, UNSTABLE)
        await fs.setattr(ROOT, key, SetAttr(size=10**12))
        await fs.mkdir(ROOT, root, b"d", SetAttr())
        stat = await fs.statfs(ROOT, key)
        assert (stat.tbytes, stat.fbytes, stat.abytes) == (100_000, 0, 0)
        symlink = fs.symlink(ROOT, root, b"l", b"target", SetAttr())
        assert await status(symlink) is Status.NOSPC
        assert await status(fs.lookup(ROOT, root, b"l")) is Status.NOENT
        await fs.setattr(ROOT, key, SetAttr(size=99_990))
        assert (await fs.statfs(ROOT, root)).fbytes == 10
        await fs.symlink(ROOT, root, b"l", b"target", SetAttr())
        assert (await fs.statfs(ROOT, root)).fbytes == 4
        await fs.remove(ROOT, root, b"f")
        await fs.remove(ROOT, root, b"l")
        assert (await fs.statfs(ROOT, root)).fbytes == 100_000

    run(body, max_bytes=100_000)


def test_max_files() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        await make(fs, b"a")
        await fs.mkdir(ROOT, root, b"b", SetAttr())
        stat = await fs.statfs(ROOT, root)
        assert (stat.tfiles, stat.ffiles, stat.afiles) == (3, 0, 0)
        assert await status(make(fs, b"c")) is Status.NOSPC
        await fs.rmdir(ROOT, root, b"b")
        await make(fs, b"c")

    run(body, max_files=3)


def test_a_full_storage_takes_no_new_data_and_can_be_emptied(monkeypatch: Any) -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await make(fs)
        await fs.write(ROOT, key, 0, b"data", UNSTABLE)
        monkeypatch.setattr(engine, "room", lambda: False)
        attr = SetAttr()
        for call in (
            make(fs, b"g"),
            fs.mkdir(ROOT, root, b"g", attr),
            fs.symlink(ROOT, root, b"g", b"t", attr),
            fs.link(ROOT, key, root, b"g"),
            fs.write(ROOT, key, 4, b"more", UNSTABLE),
        ):
            assert await status(call) is Status.NOSPC
        assert await fs.health() == "the storage is full"
        await fs.write(ROOT, key, 0, b"DATA", UNSTABLE)
        await fs.rename(ROOT, root, b"f", root, b"g")
        await fs.setattr(ROOT, key, SetAttr(size=2))
        await fs.remove(ROOT, root, b"g")

    run(body)


class Small(Counting):
    """Has room for so many blocks."""

    most = 1000

    def room(self) -> bool:
        return blocks_of(self.memory) < self.most


def test_a_full_storage_takes_data_once_a_large_file_is_removed() -> None:
    """Though only changes that succeed delete in passing, and none does."""

    async def body(fs: KvfsBackend, root: Key, engine: Small) -> None:
        key = await make(fs)
        await large(fs, 1000)
        assert await status(fs.write(ROOT, key, 0, b"data", UNSTABLE)) is Status.NOSPC
        await fs.remove(ROOT, root, b"large")
        engine.most = 500  # less than what the removal deletes in passing
        engine.begun = 0
        await fs.write(ROOT, key, 0, b"data", UNSTABLE)
        assert engine.begun < 10, "no more is deleted than must be"
        await make(fs, b"g")

    run(body, Small())


def test_room_is_made_in_bounded_steps(monkeypatch: Any) -> None:
    monkeypatch.setattr(core, "ROOM_BLOCKS", 3 * store.STEP_BLOCKS)

    async def body(fs: KvfsBackend, root: Key, engine: Small) -> None:
        await large(fs, 1000)
        engine.most = 1500
        await large(fs, 500, b"more")
        await fs.remove(ROOT, root, b"large")
        await fs.remove(ROOT, root, b"more")
        engine.most = 10
        refused = 0
        while blocks_of(engine.memory) > 3 * store.STEP_BLOCKS:
            begun = engine.begun
            assert await status(make(fs, b"g")) is Status.NOSPC
            assert engine.begun - begun <= 5
            refused += 1
            assert refused < 5
        assert refused > 1
        await make(fs, b"g")

    run(body, Small())


def test_a_quota_counts_what_was_cut_off_no_longer_than_it_must() -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key, blocks = await make(fs), 6 * store.STEP_BLOCKS
        cut = await large(fs, blocks)
        assert await status(fs.write(ROOT, key, 0, b"x" * BLOCK, UNSTABLE)) is Status.NOSPC
        await fs.setattr(ROOT, cut, SetAttr(size=BLOCK))
        await fs.write(ROOT, key, 0, b"x" * (blocks - 1) * BLOCK, UNSTABLE)
        assert await status(fs.write(ROOT, cut, BLOCK, b"x", UNSTABLE)) is Status.NOSPC

    run(body, max_bytes=6 * store.STEP_BLOCKS * BLOCK)


@pytest.mark.parametrize("call", ["statfs", "commit"])
def test_calls_that_change_nothing_delete_too(call: str) -> None:
    async def body(fs: KvfsBackend, root: Key, engine: Counting) -> None:
        key = await make(fs)
        await large(fs, 10 * store.STEP_BLOCKS)
        await fs.remove(ROOT, root, b"large")
        assert blocks_of(engine.memory)
        for _ in range(10):
            await (fs.statfs(ROOT, key) if call == "statfs" else fs.commit(ROOT, key, 0, 0))
        assert blocks_of(engine.memory) == 0

    run(body)
