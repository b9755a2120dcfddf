"""REMOVE, RMDIR and LINK."""

from __future__ import annotations

from functools import partial

import pytest

from backends.base import FileType, Key, SetAttr, Status
from backends.conformance.kit import Fs, Kit, case, fixed, refused


class Names(Kit):
    """Taking names away, and giving more."""

    @case("write")
    async def test_remove(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(fs.root)
        await fs.tick()
        wcc = await fs.remove(fs.root, b"f")
        await fs.check_wcc(wcc, before, fs.root)
        after = await fs.attr(fs.root)
        assert after.mtime > before.mtime
        assert after.ctime > before.ctime
        assert not await fs.exists(fs.root, b"f")
        assert await fs.names(fs.root) == []
        await fs.check_stale(key)

    @case("write", "symlinks")
    async def test_remove_a_symlink_and_not_its_target(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        link = await fs.symlink(b"l", b"f")
        await fs.remove(fs.root, b"l")
        await fs.check_stale(link)
        assert await fs.read(key) == b"data"

    @case("write")
    async def test_remove_of_a_directory(self, fs: Fs) -> None:
        key = await fs.mkdir(b"d")
        await fs.check_refused_untouched(fs.root, lambda: fs.remove(fs.root, b"d"), Status.ISDIR)
        assert (await fs.attr(key)).type is FileType.DIR

    @case("write")
    async def test_rmdir(self, fs: Fs) -> None:
        empty = await fs.attr(fs.root)
        key = await fs.mkdir(b"d")
        before = await fs.attr(fs.root)
        await fs.tick()
        wcc = await fs.rmdir(fs.root, b"d")
        await fs.check_wcc(wcc, before, fs.root)
        after = await fs.attr(fs.root)
        assert after.ctime > before.ctime
        assert after.nlink == empty.nlink
        assert not await fs.exists(fs.root, b"d")
        await fs.check_stale(key)

    @case("write")
    async def test_a_removed_directory_is_stale_for_all(self, fs: Fs) -> None:
        key = await fs.mkdir(b"d")
        await fs.rmdir(fs.root, b"d")
        await refused(fs.lookup(key, b"f"), Status.STALE)
        await refused(fs.page(key), Status.STALE)
        await refused(fs.create(key, b"f"), Status.STALE)
        await refused(fs.remove(key, b"f"), Status.STALE)
        await refused(fs.setattr(key, SetAttr(mode=0o700)), Status.STALE)
        file = await fs.file(b"f")
        await refused(fs.rename(fs.root, b"f", key, b"f"), Status.STALE)
        assert (await fs.lookup(fs.root, b"f")).key == file

    @pytest.mark.parametrize("kind", ["file", "symlink"])
    @case("write")
    async def test_rmdir_of_what_is_no_directory(self, fs: Fs, kind: str) -> None:
        if kind == "symlink":
            if not fs.limits.symlinks:
                pytest.skip("limits.symlinks is not declared")
            await fs.mkdir(b"d")
            await fs.symlink(b"x", b"d")
        else:
            await fs.file(b"x")
        await fs.check_refused_untouched(fs.root, lambda: fs.rmdir(fs.root, b"x"), Status.NOTDIR)

    @pytest.mark.parametrize("kind", ["file", "directory"])
    @case("write")
    async def test_rmdir_of_a_full_directory(self, fs: Fs, kind: str) -> None:
        dir = await fs.mkdir(b"d")
        child = await (fs.file(b"x", dir=dir) if kind == "file" else fs.mkdir(b"x", dir))
        await fs.check_refused_untouched(fs.root, lambda: fs.rmdir(fs.root, b"d"), Status.NOTEMPTY)
        assert (await fs.lookup(dir, b"x")).key == child

    @case("write")
    async def test_remove_and_rmdir_of_a_missing_name(self, fs: Fs) -> None:
        for call in (fs.remove, fs.rmdir):
            await fs.check_refused_untouched(
                fs.root, partial(call, fs.root, b"no such name"), Status.NOENT
            )

    @case("write")
    async def test_remove_and_rmdir_in_a_file(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await refused(fs.remove(key, b"x"), Status.NOTDIR)
        await refused(fs.rmdir(key, b"x"), Status.NOTDIR)

    @case("write")
    async def test_nlink_counts_subdirectories(self, fs: Fs) -> None:
        if not self.counts_subdirectories:
            pytest.skip("counts_subdirectories is off for this backend")
        dir = await fs.mkdir(b"d")
        for number in range(3):
            await fs.mkdir(b"%d" % number, dir)
            await fs.file(b"file %d" % number, b"", dir)
        assert (await fs.attr(dir)).nlink == 5
        await fs.rmdir(dir, b"1")
        assert (await fs.attr(dir)).nlink == 4

    # Links

    @case("write", "links")
    async def test_link(self, fs: Fs) -> None:
        dir = await fs.mkdir(b"d")
        key = await fs.file(b"f", b"data")
        before, file_before = await fs.attr(dir), await fs.attr(key)
        await fs.tick()
        made = await fs.link(key, dir, b"g")
        await fs.check_wcc(made.dir, before, dir)
        assert made.attr.key == key
        after = await fs.attr(key)
        assert fixed(made.attr) == fixed(after)
        assert after.nlink == 2
        assert after.ctime > file_before.ctime
        assert after.mtime == file_before.mtime
        assert (await fs.lookup(dir, b"g")).key == key
        assert (await fs.attr(dir)).mtime > before.mtime

    @case("write", "links")
    async def test_linked_names_share_everything(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await fs.link(key, fs.root, b"g")
        await fs.write((await fs.lookup(fs.root, b"g")).key, 0, b"data")
        await fs.chmod(key, 0o611)
        attr = await fs.lookup(fs.root, b"g")
        assert (attr.key, attr.mode, attr.size) == (key, 0o611, 4)

    @pytest.mark.parametrize("first", [b"f", b"g"])
    @case("write", "links")
    async def test_a_file_lives_as_long_as_its_last_name(self, fs: Fs, first: bytes) -> None:
        key = await fs.file(b"f", b"data")
        await fs.link(key, fs.root, b"g")
        before = await fs.attr(key)
        await fs.tick()
        await fs.remove(fs.root, first)
        after = await fs.attr(key)
        assert after.nlink == 1
        assert after.ctime > before.ctime
        assert await fs.read(key) == b"data"
        [last] = await fs.names(fs.root)
        await fs.remove(fs.root, last)
        await fs.check_stale(key)

    @pytest.mark.parametrize("kind", ["file", "directory", "itself"])
    @case("write", "links")
    async def test_link_over_something(self, fs: Fs, kind: str) -> None:
        key = await fs.file(b"f", b"data")
        if kind == "file":
            await fs.file(b"taken", b"other")
        elif kind == "directory":
            await fs.mkdir(b"taken")
        name = b"f" if kind == "itself" else b"taken"
        await fs.check_refused_untouched(fs.root, lambda: fs.link(key, fs.root, name), Status.EXIST)
        assert (await fs.attr(key)).nlink == 1

    @case("write", "links")
    async def test_link_of_a_directory(self, fs: Fs) -> None:
        key = await fs.mkdir(b"d")
        before = fixed(await fs.attr(key))
        await fs.check_refused_untouched(
            fs.root, lambda: fs.link(key, fs.root, b"new"), Status.ISDIR
        )
        assert fixed(await fs.attr(key)) == before

    @case("write", "links")
    async def test_link_into_what_is_no_directory(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        before = fixed(await fs.attr(key))
        await refused(fs.link(key, key, b"new"), Status.NOTDIR)
        gone: Key = await fs.mkdir(b"gone")
        await fs.rmdir(fs.root, b"gone")
        await refused(fs.link(key, gone, b"new"), Status.STALE)
        assert fixed(await fs.attr(key)) == before

    @case("write", "links")
    async def test_link_max(self, fs: Fs) -> None:
        if fs.limits.link_max > 1000:
            pytest.skip("limits.link_max is too large to reach")
        key = await fs.file(b"f")
        for number in range(1, fs.limits.link_max):
            await fs.link(key, fs.root, b"%d" % number)
        await fs.check_refused_untouched(
            fs.root, lambda: fs.link(key, fs.root, b"one more"), Status.MLINK
        )
        assert (await fs.attr(key)).nlink == fs.limits.link_max

    @case("write", "links", "symlinks")
    async def test_link_of_a_symlink(self, fs: Fs) -> None:
        file = await fs.file(b"f")
        link = await fs.symlink(b"l", b"f")
        made = await fs.link(link, fs.root, b"m")
        assert (made.attr.key, made.attr.type, made.attr.nlink) == (link, FileType.LNK, 2)
        assert (await fs.attr(file)).nlink == 1
