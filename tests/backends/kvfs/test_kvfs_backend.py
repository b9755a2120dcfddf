"""The file system over an engine: what is its own, beside the conformance kit."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import Context, CreateMode, FileType, FsError, Key, SetAttr, Stable, Status
from backends.kvfs import KvfsBackend, Memory, MemoryEngine, store
from backends.kvfs.memory import MemoryTransaction

ROOT = Context()
GUARDED = CreateMode.GUARDED
BLOCK = 4096
UNSTABLE, FILE_SYNC = Stable.UNSTABLE, Stable.FILE_SYNC


class Counting(MemoryEngine):
    """Counts what is asked; fails with `error` at the step that `left` counts down to."""

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__(memory, BLOCK)
        self.steps = self.scanned = self.deleted = self.begun = 0
        self.left: int | None = None
        self.error = OSError(errno.EIO, "planted")
        self.fail_sync = False

    def step(self) -> None:
        self.steps += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error

    def begin(self, write: bool, sync: bool = False) -> MemoryTransaction:
        self.step()
        self.begun += 1
        return _Counted(self, write, sync)

    def sync(self) -> None:
        if self.fail_sync:
            self.memory.life = b"lost %d" % self.steps
            self.steps += 1
            raise OSError(errno.EIO, "fsync")
        super().sync()


class _Counted(MemoryTransaction):
    def __init__(self, engine: Counting, write: bool, sync: bool) -> None:
        super().__init__(engine.memory, write, sync)
        self._engine = engine

    def get(self, key: bytes) -> bytes | None:
        self._engine.step()
        return super().get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._engine.step()
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self._engine.step()
        self._engine.deleted += 1
        super().delete(key)

    def scan(self, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._engine.step()
        for found in super().scan(first, last):
            self._engine.scanned += 1
            yield found

    def commit(self) -> None:
        self._engine.step()
        super().commit()


Body = Callable[[KvfsBackend, Key, Any], Awaitable[None]]


def run(body: Body, engine: MemoryEngine | None = None, **options: Any) -> None:
    """Run a test with a backend, its root and its engine; all must be consistent afterwards."""

    async def main() -> None:
        used = engine or Counting()
        backend = KvfsBackend(used, **options)
        await backend.start()
        await body(backend, (await backend.root(ROOT)).key, used)
        assert await backend.fsck() == []
        await backend.stop()

    asyncio.run(main())


async def make(fs: KvfsBackend, name: bytes = b"f", dir: Key | None = None) -> Key:
    dir = dir or (await fs.root(ROOT)).key
    return (await fs.create(ROOT, dir, name, GUARDED, SetAttr(mode=0o644), b"")).attr.key


async def status(call: Awaitable[object]) -> Status:
    with pytest.raises(FsError) as caught:
        await call
    return caught.value.status


async def large(fs: KvfsBackend, blocks: int, name: bytes = b"large") -> Key:
    key = await make(fs, name)
    for at in range(0, blocks, 256):
        await fs.write(ROOT, key, at * BLOCK, b"x" * min(256, blocks - at) * BLOCK, UNSTABLE)
    return key


def blocks_of(memory: Memory) -> int:
    return sum(key[:1] == b"B" for key in memory.keys)


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
        assert (await fs.statfs(ROOT, root)).fbytes > 0
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
