"""Unusual names, and sizes, depths and counts at the limits that a backend declares."""

from __future__ import annotations

import unicodedata
from typing import Final

import pytest

from backends.base import CreateMode, FileType, FsError, Key, SetAttr, Stable, Status
from backends.conformance.kit import Fs, Kit, case, difference, fixed, refused, status_of

#: Names of text that somebody has tripped over.
_TEXT_NAMES: Final = {
    "space": b"a name",
    "trailing space": b"name ",
    "trailing dot": b"name.",
    "two dots in front": b"..name",
    "newline": b"a\nb",
    "carriage return": b"a\rb",
    "star": b"*",
    "question mark": b"what?",
    "quotes": b'it\'s "quoted"',
    "backslash": b"a\\b",
    "dash": b"-",
    "option": b"--help",
    "percent": b"%41%2F%00",
    "tilde": b"~root",
    "hash": b"#1",
    "colon": b"a:b",
    "pipe": b"a|b<c>d",
    "variable": b"$HOME`id`",
    "brackets": b"[a-z]{1}",
    "device of old": b"CON",
    "NFS's own": b".nfs000000000001",
    "like a cookie": b"3",
    "like a number": b"18446744073709551615",
    "like a temporary file": b".tmp",
    "like a database": b"index.sqlite-wal",
    "umlaut": "grüße".encode(),
    "emoji": "\U0001f4c1\u200d\U0001f525".encode(),
    "right to left": "שלום".encode(),
    "control": b"\x01\x1b[31m\x7f",
}
_BYTE_NAMES: Final = {
    "latin-1": b"caf\xe9",
    "all high": bytes(range(0x80, 0xC0)),
    "half a character": b"\xf0\x9f\x98",
    "surrogate": b"\xed\xb3\xa9",
    "low bytes": bytes(range(1, 32)),
}
_ALL_NAMES: Final = {**_TEXT_NAMES, **_BYTE_NAMES}
_GIB: Final = 2**30
_DEPTH: Final = 60
#: What a refusal of something too large may be.
_TOO_LARGE: Final = (Status.FBIG, Status.NOSPC, Status.INVAL, Status.DQUOT)


class Extremes(Kit):
    """What is rare, and yet comes."""

    # Names

    @pytest.mark.parametrize("which", _ALL_NAMES)
    @case("write")
    async def test_unusual_names(self, fs: Fs, which: str) -> None:
        """A name is bytes: what went in comes out, in every operation."""
        name = _ALL_NAMES[which]
        if which in _BYTE_NAMES and not self.any_bytes_in_names:
            pytest.skip("any_bytes_in_names is off for this backend")
        dir = await fs.mkdir(name)
        await self._use_name(fs, dir, name)
        await fs.rmdir(fs.root, name)
        assert await fs.names(fs.root) == []

    @pytest.mark.parametrize("length", [0, -1])
    @case("write")
    async def test_the_longest_names_in_every_operation(self, fs: Fs, length: int) -> None:
        dir = await fs.mkdir(b"d")
        await self._use_name(fs, dir, b"n" * (fs.limits.name_max + length))

    async def _use_name(self, fs: Fs, dir: Key, name: bytes) -> None:
        """All that takes a name, with this one, in a directory that is empty before and after."""
        key = await fs.file(name, b"data", dir)
        assert (await fs.lookup(dir, name)).key == key
        assert await fs.backend.peek(fs.ctx, dir, name) == key.ino
        assert await fs.names(dir) == [name], "it is listed as another name"
        await refused(fs.create(dir, name), Status.EXIST)
        await fs.create(dir, name, CreateMode.UNCHECKED)
        await fs.rename(dir, name, fs.root, b"moved")
        await fs.rename(fs.root, b"moved", dir, name)
        if fs.limits.links:
            await fs.link(key, fs.root, b"second name")
            await fs.remove(dir, name)
            await fs.link(key, dir, name)
            await fs.remove(fs.root, b"second name")
        assert await fs.read((await fs.lookup(dir, name)).key) == b"data"
        await fs.remove(dir, name)
        assert not await fs.exists(dir, name)
        if fs.limits.symlinks:
            link = await fs.symlink(name, name, dir)
            assert (await fs.backend.readlink(fs.ctx, link)).target == name
            await fs.remove(dir, name)
        sub = await fs.mkdir(name, dir)
        assert (await fs.lookup(dir, name)).key == sub
        await fs.rmdir(dir, name)
        assert await fs.names(dir) == []

    @case("write")
    async def test_unusual_names_beside_each_other(self, fs: Fs) -> None:
        names = list(_ALL_NAMES.values() if self.any_bytes_in_names else _TEXT_NAMES.values())
        keys = {name: await fs.file(name, name) for name in names}
        for count in (1, 100, 8192):
            assert sorted(await fs.names(fs.root, count=count)) == sorted(names)
        for name, key in keys.items():
            assert (await fs.lookup(fs.root, name)).key == key
            assert await fs.read(key) == name

    @case("write")
    async def test_forms_of_a_character_are_names_of_their_own(self, fs: Fs) -> None:
        """Composed and decomposed: bytes differ, so names do (RFC 1813 has no normal form)."""
        forms = [unicodedata.normalize(form, "Ågström é").encode() for form in ("NFC", "NFD")]
        first = await fs.file(forms[0], b"composed")
        await refused(fs.lookup(fs.root, forms[1]), Status.NOENT)
        second = await fs.file(forms[1], b"decomposed")
        assert first != second
        assert sorted(await fs.names(fs.root)) == sorted(forms)
        await fs.remove(fs.root, forms[0])
        assert await fs.read((await fs.lookup(fs.root, forms[1])).key) == b"decomposed"

    @case("write")
    async def test_names_that_begin_alike(self, fs: Fs) -> None:
        """A prefix is no match, whatever a store does with paths."""
        names = [b"a ", b"a.", b"a0", b"a-b", b"a.b", b"ab"]
        for name in names:
            await fs.file(name, name)
        for name in (b"a", b"aa"):
            await fs.file(b"f", name, await fs.mkdir(name))
        await fs.remove((await fs.lookup(fs.root, b"a")).key, b"f")
        await fs.rmdir(fs.root, b"a")
        assert not await fs.exists(fs.root, b"a")
        await fs.rename(fs.root, b"aa", fs.root, b"a")
        assert sorted(await fs.names(fs.root)) == sorted([*names, b"a"])
        for name in names:
            assert await fs.read((await fs.lookup(fs.root, name)).key) == name
        dir = (await fs.lookup(fs.root, b"a")).key
        assert await fs.read((await fs.lookup(dir, b"f")).key) == b"aa"

    # Trees

    @case("write")
    async def test_deep_directories(self, fs: Fs) -> None:
        """The whole path is longer than any limit of a system call: nobody ever has it."""
        name, dir, dirs = b"n" * min(200, fs.limits.name_max), fs.root, [fs.root]
        for _ in range(_DEPTH):
            dir = await fs.mkdir(name, dir)
            dirs.append(dir)
        key = await fs.file(b"f", b"deep", dir)
        assert await fs.read((await fs.lookup(dir, b"f")).key) == b"deep"
        await fs.rename(dir, b"f", fs.root, b"f")
        await fs.rename(fs.root, b"f", dirs[_DEPTH // 2], b"f")
        assert await fs.read(key) == b"deep"
        await refused(fs.rename(fs.root, name, dir, b"x"), Status.INVAL)
        await fs.remove(dirs[_DEPTH // 2], b"f")
        for above in reversed(dirs[:-1]):
            await fs.rmdir(above, name)
        assert await fs.names(fs.root) == []

    @case("write", "symlinks")
    async def test_the_longest_target(self, fs: Fs) -> None:
        target = (b"../" * fs.limits.path_max)[: fs.limits.path_max]
        if len(target) > 65536:
            pytest.skip("limits.path_max is too large to try")
        key = await fs.symlink(b"l", target)
        assert (await fs.backend.readlink(fs.ctx, key)).target == target
        assert (await fs.attr(key)).size == len(target)

    @case("write", "symlinks")
    async def test_an_empty_target(self, fs: Fs) -> None:
        """Refused, or kept; never half a link."""
        try:
            key = await fs.symlink(b"l", b"")
        except (FsError, OSError) as error:
            assert status_of(error) in (Status.INVAL, Status.NOENT), error
            assert await fs.names(fs.root) == []
        else:
            assert (await fs.backend.readlink(fs.ctx, key)).target == b""

    # Sizes

    @case("write", "sparse")
    async def test_the_largest_file(self, fs: Fs) -> None:
        """limits.max_file_size is told to clients (FSINFO): a file may be that large."""
        most = fs.limits.max_file_size
        key = await fs.file(b"f", b"start")
        before = fixed(await fs.attr(key))
        try:
            await fs.backend.write(fs.ctx, key, most - 3, b"end", Stable.UNSTABLE)
        except (FsError, OSError) as error:
            assert status_of(error) in _TOO_LARGE, error
            assert fixed(await fs.attr(key)) == before, "refused, and yet changed"
            await fs.setattr(key, SetAttr(size=min(most, 4 * _GIB)))
            return
        assert (await fs.attr(key)).size == most
        got = await fs.backend.read(fs.ctx, key, most - 3, 3)
        assert (bytes(got.data), got.eof) == (b"end", True)
        assert await fs.read(key, 0, 5) == b"start"
        await fs.setattr(key, SetAttr(size=5))
        assert await fs.read(key) == b"start"

    @pytest.mark.parametrize("how", ["write", "setattr"])
    @case("write")
    async def test_beyond_the_largest_file(self, fs: Fs, how: str) -> None:
        most = fs.limits.max_file_size
        if most >= 2**63 - 1:
            pytest.skip("limits.max_file_size is all that an offset can be")
        key = await fs.file(b"f", b"data")
        before = fixed(await fs.attr(key))
        if how == "write":
            call = fs.backend.write(fs.ctx, key, most, b"x", Stable.UNSTABLE)
            await refused(call, *_TOO_LARGE)
        else:
            await refused(fs.setattr(key, SetAttr(size=most + 1)), *_TOO_LARGE)
        assert fixed(await fs.attr(key)) == before

    @pytest.mark.parametrize("offset", [5, 2**31, 2**32, 2**62, 2**63 - 2**21])
    @case("write")
    async def test_read_far_beyond_the_end(self, fs: Fs, offset: int) -> None:
        key = await fs.file(b"f", b"data")
        for count in (0, 1, 2**20):
            got = await fs.backend.read(fs.ctx, key, offset, count)
            assert (bytes(got.data), got.eof) == (b"", True)

    @pytest.mark.parametrize("offset", [0, 2, 4])
    @case("write")
    async def test_read_of_nothing(self, fs: Fs, offset: int) -> None:
        key = await fs.file(b"f", b"data")
        got = await fs.backend.read(fs.ctx, key, offset, 0)
        assert (bytes(got.data), got.eof) == (b"", offset == 4)

    @pytest.mark.parametrize("step", [1, 7, 512, 4093])
    @case("write")
    async def test_many_small_writes(self, fs: Fs, step: int) -> None:
        data = bytes(number * 31 % 251 for number in range(150 * step))
        key = await fs.file(b"f")
        for at in range(0, len(data), step):
            await fs.write(key, at, data[at : at + step], Stable.UNSTABLE)
        await fs.backend.commit(fs.ctx, key, 0, 0)
        assert not difference(await fs.read(key), data)

    @case("write")
    async def test_writes_from_the_end_to_the_start(self, fs: Fs) -> None:
        data = bytes(number * 13 % 241 for number in range(100_000))
        key = await fs.file(b"f")
        for at in range(96_000, -1, -4000):
            await fs.write(key, at, data[at : at + 4000], Stable.UNSTABLE)
        assert not difference(await fs.read(key), data)

    @case("write")
    async def test_a_write_of_a_mebibyte(self, fs: Fs) -> None:
        data = bytes(range(256)) * 4096
        key = await fs.file(b"f")
        await fs.write(key, 1, data, Stable.FILE_SYNC)
        assert not difference(await fs.read(key, 1, len(data)), data)
        assert (await fs.attr(key)).size == len(data) + 1

    # Listings

    @pytest.mark.parametrize("count", [0, 1, 3])
    @case("write")
    async def test_a_listing_with_hardly_any_room_goes_on(self, fs: Fs, count: int) -> None:
        names = [b"a rather long name %d" % number for number in range(10)]
        for name in names:
            await fs.create(fs.root, name)
        assert sorted(await fs.names(fs.root, count=count)) == names

    @pytest.mark.parametrize("cookie", [3, 4, 999, 2**31, 2**32 + 5, 2**63 - 1])
    @case("write")
    async def test_a_cookie_that_was_never_given(self, fs: Fs, cookie: int) -> None:
        """BAD_COOKIE, or entries that are there, each once; never an endless listing."""
        names = [b"%d" % number for number in range(20)]
        for name in names:
            await fs.create(fs.root, name)
        try:
            found = await fs.names(fs.root, cookie)
        except (FsError, OSError) as error:
            assert status_of(error) is Status.BAD_COOKIE, error
        else:
            assert set(found) <= set(names)
            assert len(set(found)) == len(found)

    @case("write")
    async def test_the_cookie_of_the_last_entry(self, fs: Fs) -> None:
        for number in range(10):
            await fs.create(fs.root, b"%d" % number)
        last = (await fs.entries(fs.root))[-1]
        assert await fs.page(fs.root, last.cookie) == ([], True)

    @case("write")
    async def test_every_kind_is_listed_with_its_type(self, fs: Fs) -> None:
        wanted = {b"f": FileType.REG, b"d": FileType.DIR}
        await fs.file(b"f")
        await fs.mkdir(b"d")
        if fs.limits.symlinks:
            await fs.symlink(b"l", b"f")
            wanted[b"l"] = FileType.LNK
        if fs.limits.special_files:
            attr = SetAttr(mode=0o644)
            await fs.backend.mknod(fs.ctx, fs.root, b"p", FileType.FIFO, (0, 0), attr)
            wanted[b"p"] = FileType.FIFO
        entries = await fs.entries(fs.root, plus=True)
        assert {entry.name for entry in entries} == set(wanted)
        for entry in entries:
            if entry.attr is not None:
                assert entry.attr.type is wanted[entry.name]
                assert fixed(entry.attr) == fixed(await fs.lookup(fs.root, entry.name))
