"""CREATE in its three modes, MKDIR, SYMLINK and MKNOD: what is made, and what is refused."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from backends.base import (
    CreateMode,
    FileType,
    FsError,
    Key,
    Made,
    SetAttr,
    Status,
)
from backends.conformance.kit import Fs, Kit, case, difference, fixed, refused

_VERIFIER = bytes(range(8, 16))
_SECOND = 10**9

#: Names that the server lets through, and that careless backends trip over.
_ODD_NAMES = [
    b"-rf",
    b" ",
    b"two\nlines",
    b"tab\tand\x7f",
    b"...",
    b".hidden",
    b"back\\slash",
    b"%2e%2e",
    b"star*",
    b"C:",
    "grüße".encode(),
    b"\xff\xfe",
    b"latin-1 \xe9",
    b"\xed\xa0\x80",
]
_ODD_TARGETS = [b"a", b"../../etc/passwd", b"/", b"a//b/.", b"two\nlines", b"\xff\xfe", b"x" * 1000]


class Creating(Kit):
    """Making files of every type."""

    async def _check_made(self, fs: Fs, made: Made, dir: Key, name: bytes) -> None:
        """That what was made is there under its name, and is what the reply said."""
        assert fixed(made.attr) == fixed(await fs.attr(made.attr.key))
        assert (await fs.lookup(dir, name)).key == made.attr.key
        assert name in await fs.names(dir)

    async def _occupy(self, fs: Fs, kind: str) -> Key:
        """Something called ``taken``; skips the test if the backend has no such thing."""
        if kind == "file":
            return await fs.file(b"taken", b"data")
        if kind == "directory":
            return await fs.mkdir(b"taken")
        if not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        return await fs.symlink(b"taken", b"target")

    @pytest.mark.parametrize("mode", [CreateMode.UNCHECKED, CreateMode.GUARDED])
    @case("write")
    async def test_create_makes_an_empty_file(self, fs: Fs, mode: CreateMode) -> None:
        made = await fs.create(fs.root, b"f", mode, SetAttr(mode=0o640))
        attr = made.attr
        assert (attr.type, attr.mode, attr.size, attr.nlink) == (FileType.REG, 0o640, 0, 1)
        await self._check_made(fs, made, fs.root, b"f")
        assert await fs.read(attr.key) == b""

    @pytest.mark.parametrize("mode", list(CreateMode))
    @case("write")
    async def test_create_tells_the_directory_before_and_after(
        self, fs: Fs, mode: CreateMode
    ) -> None:
        before = await fs.attr(fs.root)
        await fs.tick()
        attr = SetAttr() if mode is CreateMode.EXCLUSIVE else None
        made = await fs.create(fs.root, b"f", mode, attr, _VERIFIER)
        await fs.check_wcc(made.dir, before, fs.root)
        after = await fs.attr(fs.root)
        assert after.mtime > before.mtime
        assert after.ctime > before.ctime

    @pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
    @case("write")
    async def test_guarded_create_over_something(self, fs: Fs, kind: str) -> None:
        key = await self._occupy(fs, kind)
        before = fixed(await fs.attr(key))
        await fs.check_refused_untouched(
            fs.root, lambda: fs.create(fs.root, b"taken", attr=SetAttr(size=0)), Status.EXIST
        )
        assert fixed(await fs.attr(key)) == before

    @pytest.mark.parametrize("kind", ["directory", "symlink"])
    @case("write")
    async def test_unchecked_create_over_what_is_no_file(self, fs: Fs, kind: str) -> None:
        await self._occupy(fs, kind)
        expected = (Status.EXIST, Status.ISDIR) if kind == "directory" else (Status.EXIST,)
        await fs.check_refused_untouched(
            fs.root, lambda: fs.create(fs.root, b"taken", CreateMode.UNCHECKED), *expected
        )

    @pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
    @case("write")
    async def test_exclusive_create_over_something(self, fs: Fs, kind: str) -> None:
        key = await self._occupy(fs, kind)
        before = fixed(await fs.attr(key))
        for verifier in (_VERIFIER, bytes(8)):
            await fs.check_refused_untouched(
                fs.root, partial(self._exclusive, fs, b"taken", verifier), Status.EXIST
            )
        assert fixed(await fs.attr(key)) == before

    @case("write")
    async def test_unchecked_create_takes_an_existing_file(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data", mode=0o600)
        before = await fs.attr(fs.root)
        made = await fs.create(fs.root, b"f", CreateMode.UNCHECKED, SetAttr(mode=0o777))
        assert made.attr.key == key
        assert made.attr.mode == 0o600, "UNCHECKED sets nothing but the size"
        assert await fs.read(key) == b"data"
        await fs.check_wcc(made.dir, before, fs.root)
        assert fixed(await fs.attr(fs.root)) == fixed(before)

    @pytest.mark.parametrize(
        ("size", "data"), [(0, b""), (2, b"da"), (4, b"data"), (6, b"data\0\0")]
    )
    @case("write")
    async def test_unchecked_create_sets_the_size(self, fs: Fs, size: int, data: bytes) -> None:
        key = await fs.file(b"f", b"data", mode=0o600)
        attr = SetAttr(mode=0o777, size=size)
        made = await fs.create(fs.root, b"f", CreateMode.UNCHECKED, attr)
        assert (made.attr.key, made.attr.size, made.attr.mode) == (key, size, 0o600)
        assert not difference(await fs.read(key), data)

    @case("write")
    async def test_create_with_a_size(self, fs: Fs) -> None:
        made = await fs.create(fs.root, b"f", attr=SetAttr(mode=0o644, size=5))
        assert made.attr.size == 5
        assert await fs.read(made.attr.key) == bytes(5)

    @case("write", "set_times")
    async def test_create_with_times(self, fs: Fs) -> None:
        times = SetAttr(mode=0o644, atime=3 * _SECOND, mtime=4 * _SECOND)
        made = await fs.create(fs.root, b"f", attr=times)
        assert (made.attr.atime, made.attr.mtime) == (3 * _SECOND, 4 * _SECOND)
        await self._check_made(fs, made, fs.root, b"f")

    async def _exclusive(self, fs: Fs, name: bytes, verifier: bytes) -> Made:
        return await fs.create(fs.root, name, CreateMode.EXCLUSIVE, SetAttr(), verifier)

    @pytest.mark.parametrize("verifier", [_VERIFIER, bytes(8), b"\xff" * 8])
    @case("write")
    async def test_exclusive_create_again_is_the_same_file(self, fs: Fs, verifier: bytes) -> None:
        made = await self._exclusive(fs, b"f", verifier)
        assert (made.attr.type, made.attr.size, made.attr.nlink) == (FileType.REG, 0, 1)
        await self._check_made(fs, made, fs.root, b"f")
        before = await fs.attr(fs.root)
        again = await self._exclusive(fs, b"f", verifier)
        assert fixed(again.attr) == fixed(made.attr)
        await fs.check_wcc(again.dir, before, fs.root)
        assert fixed(await fs.attr(fs.root)) == fixed(before)

    @pytest.mark.parametrize("byte", range(8))
    @case("write")
    async def test_exclusive_create_minds_all_64_bits(self, fs: Fs, byte: int) -> None:
        await self._exclusive(fs, b"f", _VERIFIER)
        for bit in (0x01, 0x80):
            other = bytearray(_VERIFIER)
            other[byte] ^= bit
            await fs.check_refused_untouched(
                fs.root, partial(self._exclusive, fs, b"f", bytes(other)), Status.EXIST
            )

    @case("write")
    async def test_exclusive_create_again_keeps_data(self, fs: Fs) -> None:
        key = (await self._exclusive(fs, b"f", _VERIFIER)).attr.key
        await fs.write(key, 0, b"data")
        try:
            await self._exclusive(fs, b"f", _VERIFIER)
        except (FsError, OSError):
            pass  # Both answers are allowed by now, losing data is not.
        assert await fs.read(key) == b"data"

    @case("write")
    async def test_a_verifier_is_one_files(self, fs: Fs) -> None:
        first = await self._exclusive(fs, b"f", _VERIFIER)
        second = await self._exclusive(fs, b"g", _VERIFIER)
        assert first.attr.key != second.attr.key
        await fs.remove(fs.root, b"f")
        third = await self._exclusive(fs, b"f", _VERIFIER)
        assert third.attr.key not in (first.attr.key, second.attr.key)

    @case("write")
    async def test_setattr_ends_an_exclusive_create(self, fs: Fs) -> None:
        key = (await self._exclusive(fs, b"f", _VERIFIER)).attr.key
        await fs.setattr(key, SetAttr(mode=0o604, size=0))
        attr = await fs.attr(key)
        assert (attr.mode, attr.size) == (0o604, 0)
        # The times were a good place to keep the verifier, but must be times in the end.
        if fs.limits.set_times:
            await fs.setattr(key, SetAttr(atime=7 * _SECOND, mtime=8 * _SECOND))
            attr = await fs.attr(key)
            assert (attr.atime, attr.mtime) == (7 * _SECOND, 8 * _SECOND)

    @case("write")
    async def test_guarded_creates_at_the_same_time(self, fs: Fs) -> None:
        results = await asyncio.gather(
            *(fs.create(fs.root, b"f") for _ in range(40)), return_exceptions=True
        )
        won = [result for result in results if isinstance(result, Made)]
        lost = [result for result in results if not isinstance(result, Made)]
        assert len(won) == 1, "not exactly one of many GUARDED creates made the file"
        for error in lost:
            await refused(_raise(error), Status.EXIST)
        assert await fs.names(fs.root) == [b"f"]
        assert (await fs.lookup(fs.root, b"f")).key == won[0].attr.key

    @case("write")
    async def test_exclusive_creates_at_the_same_time(self, fs: Fs) -> None:
        verifiers = [b"winner %d" % (number % 4) for number in range(32)]
        results = await asyncio.gather(
            *(self._exclusive(fs, b"f", verifier) for verifier in verifiers), return_exceptions=True
        )
        won = {v for v, r in zip(verifiers, results, strict=True) if isinstance(r, Made)}
        assert len(won) == 1, "EXCLUSIVE creates with different verifiers succeeded"
        assert sum(isinstance(result, Made) for result in results) == 8
        assert len({result.attr.key for result in results if isinstance(result, Made)}) == 1

    @case("write")
    async def test_creates_of_many_names_at_the_same_time(self, fs: Fs) -> None:
        names = [b"f%d" % number for number in range(100)]
        made = await asyncio.gather(*(fs.create(fs.root, name) for name in names))
        assert len({result.attr.key for result in made}) == 100
        assert sorted(await fs.names(fs.root)) == sorted(names)

    async def _make(self, fs: Fs, kind: str, dir: Key, name: bytes) -> Made:
        """One call that makes something."""
        attr, backend = SetAttr(mode=0o755), fs.backend
        if kind == "file":
            return await fs.create(dir, name)
        if kind == "directory":
            return await backend.mkdir(fs.ctx, dir, name, attr)
        if kind == "symlink":
            if not fs.limits.symlinks:
                pytest.skip("limits.symlinks is not declared")
            return await backend.symlink(fs.ctx, dir, name, b"target", attr)
        if not fs.limits.special_files:
            pytest.skip("limits.special_files is not declared")
        return await backend.mknod(fs.ctx, dir, name, FileType.FIFO, (0, 0), attr)

    @pytest.mark.parametrize("kind", ["file", "directory", "symlink", "fifo"])
    @case("write")
    async def test_make_in_a_file_or_nowhere(self, fs: Fs, kind: str) -> None:
        file = await fs.file(b"f")
        await refused(self._make(fs, kind, file, b"new"), Status.NOTDIR)
        gone = await fs.mkdir(b"gone")
        await fs.rmdir(fs.root, b"gone")
        await refused(self._make(fs, kind, gone, b"new"), Status.STALE)

    @pytest.mark.parametrize("taken", ["file", "directory", "symlink"])
    @pytest.mark.parametrize("kind", ["directory", "symlink", "fifo"])
    @case("write")
    async def test_make_over_something(self, fs: Fs, kind: str, taken: str) -> None:
        await self._occupy(fs, taken)
        await fs.check_refused_untouched(
            fs.root, lambda: self._make(fs, kind, fs.root, b"taken"), Status.EXIST
        )

    @pytest.mark.parametrize("kind", ["directory", "symlink", "fifo"])
    @case("write")
    async def test_make_tells_the_directory_before_and_after(self, fs: Fs, kind: str) -> None:
        before = await fs.attr(fs.root)
        await fs.tick()
        made = await self._make(fs, kind, fs.root, b"new")
        await self._check_made(fs, made, fs.root, b"new")
        await fs.check_wcc(made.dir, before, fs.root)
        assert (await fs.attr(fs.root)).ctime > before.ctime

    @case("write")
    async def test_mkdir(self, fs: Fs) -> None:
        before = await fs.attr(fs.root)
        made = await fs.backend.mkdir(fs.ctx, fs.root, b"d", SetAttr(mode=0o750))
        assert (made.attr.type, made.attr.mode) == (FileType.DIR, 0o750)
        assert await fs.page(made.attr.key) == ([], True)
        if self.counts_subdirectories:
            assert made.attr.nlink == 2
            assert (await fs.attr(fs.root)).nlink == before.nlink + 1

    @pytest.mark.parametrize("target", _ODD_TARGETS)
    @case("write", "symlinks")
    async def test_symlink_keeps_its_target(self, fs: Fs, target: bytes) -> None:
        made = await fs.backend.symlink(fs.ctx, fs.root, b"l", target, SetAttr(mode=0o777))
        assert (made.attr.type, made.attr.nlink) == (FileType.LNK, 1)
        assert made.attr.size == len(target)
        got = await fs.backend.readlink(fs.ctx, made.attr.key)
        assert bytes(got.target) == target

    @pytest.mark.parametrize("type", [FileType.FIFO, FileType.SOCK, FileType.BLK, FileType.CHR])
    @case("write", "special_files")
    async def test_mknod(self, fs: Fs, type: FileType) -> None:
        rdev = (259, 70_000) if type in (FileType.BLK, FileType.CHR) else (0, 0)
        try:
            made = await fs.backend.mknod(fs.ctx, fs.root, b"n", type, rdev, SetAttr(mode=0o620))
        except (FsError, OSError) as error:
            await refused(_raise(error), Status.PERM, Status.NOTSUPP)
            pytest.skip(f"the backend may not make {type.name} here")
        attr = made.attr
        assert (attr.type, attr.mode, attr.rdev, attr.size) == (type, 0o620, rdev, 0)
        await self._check_made(fs, made, fs.root, b"n")
        await refused(fs.backend.read(fs.ctx, attr.key, 0, 1), Status.ISDIR, Status.INVAL)
        await fs.remove(fs.root, b"n")
        await fs.check_stale(attr.key)

    @case("write")
    async def test_what_is_not_declared_is_refused(self, fs: Fs) -> None:
        file, limits, attr = await fs.file(b"f"), fs.limits, SetAttr(mode=0o644)
        refusals = (Status.NOTSUPP, Status.ROFS, Status.MLINK)
        if not limits.links:
            await refused(fs.link(file, fs.root, b"new"), *refusals)
        if not limits.symlinks:
            await refused(fs.symlink(b"new", b"target"), *refusals)
        if not limits.special_files:
            mknod = fs.backend.mknod
            await refused(mknod(fs.ctx, fs.root, b"new", FileType.FIFO, (0, 0), attr), *refusals)
        assert await fs.names(fs.root) == [b"f"]

    @pytest.mark.parametrize("name", _ODD_NAMES)
    @case("write", "any_bytes_in_names")
    async def test_odd_names(self, fs: Fs, name: bytes) -> None:
        dir = await fs.mkdir(name)
        key = await fs.file(name, b"data", dir)
        assert (await fs.lookup(dir, name)).key == key
        assert await fs.names(dir) == [name]
        await fs.rename(dir, name, fs.root, name + b"2")
        assert sorted(await fs.names(fs.root)) == sorted([name, name + b"2"])
        assert await fs.read(key) == b"data"
        await fs.remove(fs.root, name + b"2")
        await fs.rmdir(fs.root, name)
        assert await fs.names(fs.root) == []

    @case("write")
    async def test_longest_name(self, fs: Fs) -> None:
        name = b"n" * fs.limits.name_max
        key = await fs.file(name)
        assert (await fs.lookup(fs.root, name)).key == key
        assert await fs.names(fs.root, count=1) == [name]
        await fs.remove(fs.root, name)

    @case("write")
    async def test_case_of_names(self, fs: Fs) -> None:
        key = await fs.file(b"Name")
        if fs.limits.case_insensitive:
            assert (await fs.lookup(fs.root, b"nAME")).key == key
            await refused(fs.create(fs.root, b"nAME"), Status.EXIST)
        else:
            assert await fs.file(b"nAME") != key
        if fs.limits.case_preserving:
            assert b"Name" in await fs.names(fs.root)

    @case("write")
    async def test_a_new_file_has_a_new_key(self, fs: Fs) -> None:
        seen = set()
        for _ in range(20):
            key = await fs.file(b"f")
            assert key not in seen, "the key of a removed file was given to a new one"
            seen.add(key)
            await fs.remove(fs.root, b"f")
            await fs.check_stale(key)
        key = await fs.mkdir(b"f")
        assert key not in seen


async def _raise(error: BaseException) -> None:
    raise error
