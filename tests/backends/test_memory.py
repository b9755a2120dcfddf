"""The memory backend: the conformance kit, and what is its own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import (
    Backend,
    Context,
    CreateMode,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance import BackendConformance
from backends.conformance.restart import Restart
from backends.memory import MemoryBackend

ROOT = Context()
GUARDED = CreateMode.GUARDED


class TestMemory(BackendConformance):
    tick = 0

    def make_backend(self, tmp_path: Path) -> Backend:
        return MemoryBackend()


class FewLinks(MemoryBackend):
    limits = dataclasses.replace(MemoryBackend.limits, link_max=5)


class TestFewLinks(BackendConformance):
    """A link_max within reach, so that MLINK is tested, and a quota that all of the kit fits."""

    tick = 0
    many = 100

    def make_backend(self, tmp_path: Path) -> Backend:
        return FewLinks(2**22, max_files=1000)


class TestOutlived(Restart):
    """The kit's restart tests, with a "storage" that outlives its server: the same object."""

    tick = 0

    def make_backend(self, tmp_path: Path) -> Backend:
        self.kept = MemoryBackend()
        return self.kept

    def reopen(self, tmp_path: Path) -> Backend:
        return self.kept


async def make(backend: MemoryBackend, name: bytes = b"f", dir: Key | None = None) -> Key:
    dir = dir or (await backend.root(ROOT)).key
    return (await backend.create(ROOT, dir, name, GUARDED, SetAttr(mode=0o644), b"")).attr.key


async def status(call: Awaitable[object]) -> Status:
    with pytest.raises(FsError) as caught:
        await call
    return caught.value.status


def run(test: Callable[[MemoryBackend, Key], Any], backend: MemoryBackend | None = None) -> None:
    """Run a test with a backend and its root."""

    async def main() -> None:
        made = backend or MemoryBackend()
        await test(made, (await made.root(ROOT)).key)

    asyncio.run(main())


def ticking(step: int) -> Callable[[], int]:
    times: Iterator[int] = iter(range(10**18, 2 * 10**18, step))
    return lambda: next(times)


def test_attr_is_one_object_until_something_changes() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        first = await backend.getattr(ROOT, key)
        assert await backend.getattr(ROOT, key) is first
        assert (await backend.lookup(ROOT, root, b"f")).attr is first
        assert (await backend.commit(ROOT, key, 0, 0)).after is first
        done = await backend.write(ROOT, key, 0, b"x", Stable.UNSTABLE)
        assert done.wcc.before is first
        assert done.wcc.after is not first
        assert (await backend.getattr(ROOT, key)) is done.wcc.after

    run(body)


def test_ctime_rises_though_the_clock_stands_or_goes_back() -> None:
    times = [10**18, 10**18, 10**18, 5 * 10**17, 10**9, 10**18, 2 * 10**18]

    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        seen = []
        for mode in range(30):
            await backend.setattr(ROOT, key, SetAttr(mode=mode))
            seen.append((await backend.getattr(ROOT, key)).ctime)
        assert seen == sorted(set(seen))

    run(body, MemoryBackend(clock=lambda: times.pop(0) if len(times) > 1 else times[0]))


def test_atime_moves_once_per_modification() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        await backend.write(ROOT, key, 0, b"data", Stable.UNSTABLE)
        written = await backend.getattr(ROOT, key)
        first = (await backend.read(ROOT, key, 0, 4)).attr
        assert first is not None
        assert first.atime > written.mtime
        assert first.ctime == written.ctime
        assert (await backend.read(ROOT, key, 0, 4)).attr is first
        await backend.write(ROOT, key, 0, b"DATA", Stable.UNSTABLE)
        again = (await backend.read(ROOT, key, 0, 4)).attr
        assert again is not None
        assert again.atime > first.atime

    run(body, MemoryBackend(clock=ticking(1000)))


@pytest.mark.parametrize("stable", list(Stable))
def test_write_answers_the_stability_asked_for(stable: Stable) -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        done = await backend.write(ROOT, await make(backend), 0, b"x", stable)
        assert done.stable is stable

    run(body)


def test_instances_differ() -> None:
    one, other = MemoryBackend(), MemoryBackend()
    assert one.verifier != other.verifier

    async def main() -> None:
        assert await make(one) != await make(other), "a handle must not survive its instance"
        # But the root does: a client may go on with an empty file system.
        assert (await one.root(ROOT)).key == (await other.root(ROOT)).key

    asyncio.run(main())


def test_quota() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        await backend.write(ROOT, key, 0, bytes(60_000), Stable.UNSTABLE)
        before = await backend.getattr(ROOT, key)
        write = backend.write(ROOT, key, 60_000, bytes(40_001), Stable.UNSTABLE)
        assert await status(write) is Status.NOSPC
        assert await backend.getattr(ROOT, key) is before
        await backend.write(ROOT, key, 60_000, bytes(40_000), Stable.UNSTABLE)
        # What is there can be overwritten, and what takes nothing can be made.
        await backend.write(ROOT, key, 0, b"x" * 100_000, Stable.UNSTABLE)
        await backend.setattr(ROOT, key, SetAttr(size=10**12))
        await backend.mkdir(ROOT, root, b"d", SetAttr())
        stat = await backend.statfs(ROOT, key)
        assert (stat.tbytes, stat.fbytes, stat.abytes) == (100_000, 0, 0)
        symlink = backend.symlink(ROOT, root, b"l", b"target", SetAttr())
        assert await status(symlink) is Status.NOSPC
        assert await status(backend.lookup(ROOT, root, b"l")) is Status.NOENT
        await backend.setattr(ROOT, key, SetAttr(size=99_990))
        assert (await backend.statfs(ROOT, root)).fbytes == 10
        await backend.symlink(ROOT, root, b"l", b"target", SetAttr())
        assert (await backend.statfs(ROOT, root)).fbytes == 4
        await backend.remove(ROOT, root, b"f")
        await backend.remove(ROOT, root, b"l")
        assert (await backend.statfs(ROOT, root)).fbytes == 100_000

    run(body, MemoryBackend(100_000))


def test_quota_is_freed_by_a_rename_over() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        await backend.write(ROOT, await make(backend, b"a"), 0, bytes(1000), Stable.UNSTABLE)
        await backend.write(ROOT, await make(backend, b"b"), 0, bytes(500), Stable.UNSTABLE)
        await backend.rename(ROOT, root, b"b", root, b"a")
        assert (await backend.statfs(ROOT, root)).fbytes == 1000

    run(body, MemoryBackend(1500))


def test_max_files() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        await make(backend, b"a")
        await backend.mkdir(ROOT, root, b"b", SetAttr())
        stat = await backend.statfs(ROOT, root)
        assert (stat.tfiles, stat.ffiles, stat.afiles) == (3, 0, 0)
        assert await status(make(backend, b"c")) is Status.NOSPC
        await backend.rmdir(ROOT, root, b"b")
        await make(backend, b"c")

    run(body, MemoryBackend(max_files=3))


def test_holes_take_nothing() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        await backend.write(ROOT, key, 2**50, b"x" * 10, Stable.UNSTABLE)
        attr = await backend.getattr(ROOT, key)
        assert attr.size == 2**50 + 10
        assert attr.used < 2**17
        got = await backend.read(ROOT, key, 2**49, 2**20)
        assert (got.data, got.eof) == (bytes(2**20), False)
        await backend.setattr(ROOT, key, SetAttr(size=0))
        assert (await backend.getattr(ROOT, key)).used == 0

    run(body)


def test_file_size_limit() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        most = backend.limits.max_file_size
        write = backend.write(ROOT, key, most, b"x", Stable.UNSTABLE)
        assert await status(write) is Status.FBIG
        assert await status(backend.setattr(ROOT, key, SetAttr(size=most + 1))) is Status.FBIG
        create = backend.create(ROOT, root, b"g", GUARDED, SetAttr(size=most + 1), b"")
        assert await status(create) is Status.FBIG
        await backend.write(ROOT, key, most - 1, b"x", Stable.UNSTABLE)
        assert (await backend.read(ROOT, key, most - 1, 5)).data == b"x"

    run(body)


def test_data_read_is_not_changed_by_a_later_write() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key = await make(backend)
        await backend.write(ROOT, key, 0, b"before", Stable.UNSTABLE)
        data = (await backend.read(ROOT, key, 0, 6)).data
        await backend.write(ROOT, key, 0, b"AFTER!", Stable.UNSTABLE)
        assert data == b"before"

    run(body)


def test_cookie_never_given() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        assert await status(backend.readdir(ROOT, root, 999, 100, False)) is Status.BAD_COOKIE
        await make(backend)
        [entry] = (await backend.readdir(ROOT, root, 0, 100, False)).entries
        listing = await backend.readdir(ROOT, root, entry.cookie, 100, False)
        assert list(listing.entries) == []
        assert listing.eof
        late = backend.readdir(ROOT, root, entry.cookie + 1, 100, False)
        assert await status(late) is Status.BAD_COOKIE

    run(body)


def test_readdir_minds_count_and_says_eof_at_the_end_only() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        for number in range(100):
            await make(backend, b"%010d" % number)
        listing = await backend.readdir(ROOT, root, 0, 200, False)
        assert 20 <= len(list(listing.entries)) <= 22
        assert not listing.eof
        listing = await backend.readdir(ROOT, root, 0, 2000, False)
        assert len(list(listing.entries)) == 100
        assert listing.eof

    run(body)


def test_readdir_plus_without_search_gives_no_attributes() -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        await make(backend)
        await backend.setattr(ROOT, root, SetAttr(mode=0o744))
        user = Context(1000, 1000)
        [entry] = (await backend.readdir(user, root, 0, 100, True)).entries
        assert entry.attr is None
        [entry] = (await backend.readdir(ROOT, root, 0, 100, True)).entries
        assert entry.attr is not None

    run(body)


def test_a_hundred_thousand_names() -> None:
    """Listing is linear over all: the work is counted, not timed."""

    async def body(backend: MemoryBackend, root: Key) -> None:
        for number in range(100_000):
            await make(backend, b"%d" % number)
        cookie, names, pages = 0, [], 0
        while True:
            listing = await backend.readdir(ROOT, root, cookie, 4096, False)
            page = list(listing.entries)
            names += [entry.name for entry in page]
            pages += 1
            if listing.eof:
                break
            cookie = page[-1].cookie
            for entry in page[::2]:
                await backend.remove(ROOT, root, entry.name)
        assert len(names) == len(set(names)) == 100_000
        assert pages > 100
        assert (await backend.getattr(ROOT, root)).nlink == 2

    run(body)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 200_000), st.binary(max_size=300)),
            st.tuples(st.just("fill"), st.integers(0, 200_000), st.integers(0, 140_000)),
            st.tuples(st.just("size"), st.integers(0, 300_000), st.none()),
        ),
        max_size=12,
    )
)
def test_data_against_a_plain_bytearray(steps: list[tuple[str, int, Any]]) -> None:
    async def body(backend: MemoryBackend, root: Key) -> None:
        key, model = await make(backend), bytearray()
        for kind, at, what in steps:
            if kind == "size":
                await backend.setattr(ROOT, key, SetAttr(size=at))
                model = model[:at].ljust(at, b"\0")
            else:
                data = what if isinstance(what, bytes) else b"\x55" * what
                await backend.write(ROOT, key, at, data, Stable.UNSTABLE)
                if data:
                    model = model.ljust(at, b"\0")
                    model[at : at + len(data)] = data
            got = await backend.read(ROOT, key, 0, 1 << 20)
            assert got.data == model
            assert got.eof
        attr = await backend.getattr(ROOT, key)
        stat = await backend.statfs(ROOT, root)
        assert stat.tbytes - stat.fbytes == attr.used <= max(attr.size, attr.used)

    run(body, MemoryBackend(1 << 24))


_NAMES = st.sampled_from([b"a", b"b", b"c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["file", "mkdir", "remove", "rmdir", "mv", "ln"]), _PATHS, _PATHS
        ),
        max_size=40,
    )
)
def test_counts_agree_after_any_history(steps: list[tuple[str, list[bytes], list[bytes]]]) -> None:
    """nlink, parents, keys and listings fit the tree that is left."""

    async def find(backend: MemoryBackend, key: Key, path: list[bytes]) -> Key:
        for name in path:
            key = (await backend.lookup(ROOT, key, name)).attr.key
        return key

    async def step(
        backend: MemoryBackend, root: Key, kind: str, one: list[bytes], two: list[bytes]
    ) -> None:
        dir = await find(backend, root, one[:-1])
        if kind == "file":
            await make(backend, one[-1], dir)
        elif kind == "mkdir":
            await backend.mkdir(ROOT, dir, one[-1], SetAttr())
        elif kind == "remove":
            await backend.remove(ROOT, dir, one[-1])
        elif kind == "rmdir":
            await backend.rmdir(ROOT, dir, one[-1])
        elif kind == "mv":
            await backend.rename(ROOT, dir, one[-1], await find(backend, root, two[:-1]), two[-1])
        else:
            file = await find(backend, dir, one[-1:])
            await backend.link(ROOT, file, await find(backend, root, two[:-1]), two[-1])

    async def count(backend: MemoryBackend, dir: Key, names: dict[Key, int]) -> None:
        subdirectories = 0
        for entry in (await backend.readdir(ROOT, dir, 0, 10_000, True)).entries:
            assert entry.attr is not None
            key = entry.attr.key
            assert (await backend.lookup(ROOT, dir, entry.name)).attr.key == key
            names[key] = names.get(key, 0) + 1
            if entry.attr.type == 2:
                subdirectories += 1
                assert (await backend.parent(ROOT, key)).key == dir
                await count(backend, key, names)
        assert (await backend.getattr(ROOT, dir)).nlink == 2 + subdirectories

    async def body(backend: MemoryBackend, root: Key) -> None:
        for kind, one, two in steps:
            try:
                await step(backend, root, kind, one, two)
            except FsError:
                pass
        names: dict[Key, int] = {}
        await count(backend, root, names)
        for key, number in names.items():
            attr = await backend.getattr(ROOT, key)
            assert attr.type == 2 or attr.nlink == number
        stat = await backend.statfs(ROOT, root)
        assert stat.tfiles - stat.ffiles == len(names) + 1, "an inode without a name, or none"

    run(body)
