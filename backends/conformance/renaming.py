"""RENAME: what may replace what, as a table, and what must stay true afterwards."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from backends.base import FsError, Key, Status
from backends.conformance.kit import Fs, Kit, case, fixed, refused

_SOURCES = ["file", "symlink", "directory"]
_TARGETS = ["nothing", "file", "symlink", "empty directory", "full directory"]

#: (source is a directory, target): the statuses allowed; absent: it succeeds.
_REFUSALS: dict[tuple[bool, str], tuple[Status, ...]] = {
    (False, "empty directory"): (Status.ISDIR, Status.EXIST),
    (False, "full directory"): (Status.ISDIR, Status.EXIST, Status.NOTEMPTY),
    (True, "file"): (Status.NOTDIR, Status.EXIST),
    (True, "symlink"): (Status.NOTDIR, Status.EXIST),
    (True, "full directory"): (Status.NOTEMPTY, Status.EXIST),
}


class Renaming(Kit):
    """Renames within and between directories."""

    async def _put(self, fs: Fs, kind: str, dir: Key, name: bytes) -> Key | None:
        """Something of `kind`; None: nothing."""
        if kind == "nothing":
            return None
        if kind == "file":
            return await fs.file(name, b"data of " + name, dir)
        if kind == "symlink":
            if not fs.limits.symlinks:
                pytest.skip("limits.symlinks is not declared")
            return await fs.symlink(name, b"target of " + name, dir)
        key = await fs.mkdir(name, dir)
        if kind == "full directory":
            await fs.file(b"child", b"", key)
        return key

    @pytest.mark.parametrize("where", ["same directory", "other directory"])
    @pytest.mark.parametrize("target", _TARGETS)
    @pytest.mark.parametrize("source", _SOURCES)
    @case("write")
    async def test_rename_table(self, fs: Fs, source: str, target: str, where: str) -> None:
        from_dir = await fs.mkdir(b"from")
        to_dir = from_dir if where == "same directory" else await fs.mkdir(b"to")
        key = await self._put(fs, source, from_dir, b"old")
        assert key is not None
        victim = await self._put(fs, target, to_dir, b"new")
        befores = [await fs.attr(dir) for dir in (from_dir, to_dir)]
        refusal = _REFUSALS.get((source == "directory", target))
        await fs.tick()
        if refusal is not None:
            assert victim is not None
            names = await fs.names(from_dir), await fs.names(to_dir)
            await refused(fs.rename(from_dir, b"old", to_dir, b"new"), *refusal)
            assert (await fs.names(from_dir), await fs.names(to_dir)) == names
            for before in befores:
                assert fixed(await fs.attr(before.key)) == fixed(before)
            assert (await fs.lookup(from_dir, b"old")).key == key
            assert (await fs.lookup(to_dir, b"new")).key == victim
            return
        done = await fs.backend.rename(fs.ctx, from_dir, b"old", to_dir, b"new")
        await fs.check_wcc(done.from_dir, befores[0], from_dir)
        await fs.check_wcc(done.to_dir, befores[1], to_dir)
        for before in befores:
            after = await fs.attr(before.key)
            assert after.mtime > before.mtime
            assert after.ctime > before.ctime
        assert not await fs.exists(from_dir, b"old")
        assert await fs.names(to_dir) == [b"new"]
        assert (await fs.lookup(to_dir, b"new")).key == key, "a rename must keep the key"
        if victim is not None:
            await fs.check_stale(victim)
        if self.counts_subdirectories:
            moved = source == "directory"
            assert (await fs.attr(to_dir)).nlink == 2 + moved
            if from_dir != to_dir:
                assert (await fs.attr(from_dir)).nlink == 2

    @case("write")
    async def test_keys_stay_valid(self, fs: Fs) -> None:
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        file = await fs.file(b"f", b"data", dir)
        before = await fs.attr(file)
        await fs.rename(dir, b"f", other, b"g")
        await fs.rename(fs.root, b"e", dir, b"e2")
        after = await fs.attr(file)
        assert (after.mtime, after.size, after.nlink, after.mode) == (
            before.mtime,
            before.size,
            before.nlink,
            before.mode,
        )
        assert await fs.read(file) == b"data"
        await fs.write(file, 4, b"more")
        assert await fs.read((await fs.lookup(other, b"g")).key) == b"datamore"

    @case("write")
    async def test_a_moved_directory_keeps_its_children(self, fs: Fs) -> None:
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        sub = await fs.mkdir(b"sub", dir)
        file = await fs.file(b"f", b"data", sub)
        await fs.rename(dir, b"sub", other, b"sub")
        assert await fs.names(sub) == [b"f"]
        assert (await fs.lookup(sub, b"f")).key == file
        if self.counts_subdirectories:
            assert [(await fs.attr(key)).nlink for key in (dir, other, sub)] == [2, 3, 2]

    @case("write")
    async def test_a_moved_directory_has_another_parent(self, fs: Fs) -> None:
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        sub = await fs.mkdir(b"sub", dir)
        try:
            assert (await fs.backend.parent(fs.ctx, sub)).key == dir
        except FsError as error:
            assert error.status is Status.NOTSUPP
            pytest.skip("the backend does not know parents")
        await fs.rename(dir, b"sub", other, b"sub")
        assert (await fs.backend.parent(fs.ctx, sub)).key == other
        await fs.rename(fs.root, b"e", dir, b"e")
        assert (await fs.backend.parent(fs.ctx, other)).key == dir
        assert (await fs.backend.parent(fs.ctx, sub)).key == other

    @pytest.mark.parametrize("depth", [0, 1, 3])
    @case("write")
    async def test_a_directory_into_itself(self, fs: Fs, depth: int) -> None:
        dir = inner = await fs.mkdir(b"d")
        for _ in range(depth):
            inner = await fs.mkdir(b"sub", inner)
        before = fixed(await fs.attr(inner))
        await fs.check_refused_untouched(
            fs.root, lambda: fs.rename(fs.root, b"d", inner, b"new"), Status.INVAL
        )
        assert fixed(await fs.attr(inner)) == before
        assert (await fs.lookup(fs.root, b"d")).key == dir

    @case("write")
    async def test_a_directory_over_the_one_it_is_in(self, fs: Fs) -> None:
        dir = await fs.mkdir(b"d")
        sub = await fs.mkdir(b"sub", dir)
        await fs.check_refused_untouched(
            fs.root,
            lambda: fs.rename(dir, b"sub", fs.root, b"d"),
            Status.NOTEMPTY,
            Status.EXIST,
        )
        assert (await fs.lookup(dir, b"sub")).key == sub

    @pytest.mark.parametrize("kind", ["file", "full directory"])
    @case("write")
    async def test_to_its_own_name(self, fs: Fs, kind: str) -> None:
        key = await self._put(fs, kind, fs.root, b"x")
        assert key is not None
        before = fixed(await fs.attr(key))
        await fs.rename(fs.root, b"x", fs.root, b"x")
        assert fixed(await fs.attr(key))[:8] == before[:8]
        assert await fs.names(fs.root) == [b"x"]

    @pytest.mark.parametrize("where", ["same directory", "other directory"])
    @case("write", "links")
    async def test_over_another_name_of_the_same_file(self, fs: Fs, where: str) -> None:
        key = await fs.file(b"f", b"data")
        to_dir = fs.root if where == "same directory" else await fs.mkdir(b"d")
        await fs.link(key, to_dir, b"g")
        await fs.rename(fs.root, b"f", to_dir, b"g")
        assert await fs.exists(fs.root, b"f"), "rename(2): two names of one file both stay"
        assert (await fs.lookup(to_dir, b"g")).key == key
        assert (await fs.attr(key)).nlink == 2

    @case("write", "links")
    async def test_a_victim_with_another_name_lives(self, fs: Fs) -> None:
        victim = await fs.file(b"victim", b"data")
        await fs.link(victim, fs.root, b"second name")
        await fs.file(b"f")
        before = await fs.attr(victim)
        await fs.tick()
        await fs.rename(fs.root, b"f", fs.root, b"victim")
        after = await fs.attr(victim)
        assert after.nlink == 1
        assert after.ctime > before.ctime
        assert await fs.read(victim) == b"data"

    @case("write")
    async def test_of_a_missing_name(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        for target in (b"f", b"new"):
            await fs.check_refused_untouched(
                fs.root, partial(fs.rename, fs.root, b"none", fs.root, target), Status.NOENT
            )
        assert (await fs.lookup(fs.root, b"f")).key == key

    @case("write")
    async def test_in_what_is_no_directory(self, fs: Fs) -> None:
        file = await fs.file(b"f")
        await refused(fs.rename(file, b"f", fs.root, b"new"), Status.NOTDIR)
        await fs.check_refused_untouched(
            fs.root, lambda: fs.rename(fs.root, b"f", file, b"new"), Status.NOTDIR
        )

    @case("write")
    async def test_a_name_becomes_free(self, fs: Fs) -> None:
        first = await fs.file(b"f", b"first")
        await fs.rename(fs.root, b"f", fs.root, b"g")
        second = await fs.file(b"f", b"second")
        assert first != second
        assert await fs.read((await fs.lookup(fs.root, b"g")).key) == b"first"
        assert await fs.read((await fs.lookup(fs.root, b"f")).key) == b"second"

    @case("write")
    async def test_renames_at_the_same_time(self, fs: Fs) -> None:
        keys = [await fs.file(b"%d" % number) for number in range(30)]
        results = await asyncio.gather(
            *(fs.rename(fs.root, b"%d" % number, fs.root, b"one") for number in range(30)),
            return_exceptions=True,
        )
        assert results == [None] * 30
        assert await fs.names(fs.root) == [b"one"]
        winner = (await fs.lookup(fs.root, b"one")).key
        assert winner in keys
        for key in keys:
            if key != winner:
                await fs.check_stale(key)

    @case("write")
    async def test_one_file_renamed_by_many(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        results = await asyncio.gather(
            *(fs.rename(fs.root, b"f", fs.root, b"%d" % number) for number in range(30)),
            return_exceptions=True,
        )
        assert results.count(None) == 1
        [name] = await fs.names(fs.root)
        assert (await fs.lookup(fs.root, name)).key == key
