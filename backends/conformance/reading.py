"""What every backend must do, the read-only one too: tests that read `Kit.tree`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from backends.base import (
    Access,
    Attr,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance.kit import (
    Fs,
    Kit,
    Link,
    Tree,
    case,
    difference,
    fixed,
    refused,
    types,
    walk,
)

_READS: dict[str, Callable[[Fs, Key], Awaitable[object]]] = {
    "getattr": lambda fs, key: fs.backend.getattr(fs.ctx, key),
    "lookup": lambda fs, key: fs.backend.lookup(fs.ctx, key, b"name"),
    "read": lambda fs, key: fs.backend.read(fs.ctx, key, 0, 1),
    "readdir": lambda fs, key: fs.backend.readdir(fs.ctx, key, 0, 100, False),
    "access": lambda fs, key: fs.backend.access(fs.ctx, key, 0x3F),
}

#: How a read-only backend refuses: by itself, or for want of the method; the server says ROFS.
_REFUSED = (Status.ROFS, Status.NOTSUPP)

_CHANGES: dict[str, Callable[[Fs, Key, Key], Awaitable[object]]] = {
    "setattr": lambda fs, dir, key: fs.setattr(key, SetAttr(mode=0o600)),
    "truncate": lambda fs, dir, key: fs.setattr(key, SetAttr(size=0)),
    "write": lambda fs, dir, key: fs.backend.write(fs.ctx, key, 0, b"x", Stable.UNSTABLE),
    "create": lambda fs, dir, key: fs.create(dir, b"new name"),
    "create exclusive": lambda fs, dir, key: fs.create(
        dir, b"new name", CreateMode.EXCLUSIVE, SetAttr(), b"12345678"
    ),
    "mkdir": lambda fs, dir, key: fs.mkdir(b"new name", dir),
}

#: (offset from the end, count, bytes expected, eof expected), for a file of at least 16 bytes.
_ENDS = [
    (-1, 1, 1, True),
    (-1, 100, 1, True),
    (-10, 9, 9, False),
    (-10, 10, 10, True),
    (-10, 11, 10, True),
    (-10, 0, 0, False),
    (0, 0, 0, True),
    (0, 1, 0, True),
    (1, 10, 0, True),
    (2**40, 10, 0, True),
]


class Reading(Kit):
    """root, getattr, lookup, read, readdir, parent, access, readlink, statfs, and refusals."""

    async def _find(self, fs: Fs, path: tuple[bytes, ...]) -> Key:
        key = fs.root
        for name in path:
            key = (await fs.lookup(key, name)).key
        return key

    async def _each(self, fs: Fs, *wanted: FileType) -> list[tuple[Key, bytes | Link | Tree]]:
        """Key and contents of everything in the tree that is of a type in `wanted`."""
        found = []
        for path, node in walk(self.tree):
            if types(node) not in wanted or (isinstance(node, Link) and not fs.limits.symlinks):
                continue
            found.append((await self._find(fs, path), node))
        if not found:
            pytest.skip("the tree has none of " + ", ".join(type.name for type in wanted))
        return found

    async def _longest(self, fs: Fs) -> tuple[Key, bytes]:
        """The largest regular file."""
        files = await self._each(fs, FileType.REG)
        key, data = max(
            ((key, data) for key, data in files if isinstance(data, bytes)),
            key=lambda file: len(file[1]),
        )
        if len(data) < 16:
            pytest.skip("the tree has no file of 16 bytes")
        return key, data

    @case()
    async def test_root_is_a_directory(self, fs: Fs) -> None:
        attr = await fs.backend.root(fs.ctx)
        assert attr.type is FileType.DIR
        assert fixed(await fs.attr(attr.key)) == fixed(attr)

    @case("tree")
    async def test_root_key_never_changes(self, fs: Fs) -> None:
        for ctx in (fs.ctx, Context(1000, 1000)):
            assert (await fs.backend.root(ctx)).key == fs.root

    @case()
    async def test_limits_are_sane(self, fs: Fs) -> None:
        limits = fs.limits
        assert limits.name_max >= 1
        assert limits.path_max >= 1
        assert limits.link_max >= (2 if limits.links else 1)
        assert limits.time_delta >= 1
        assert 0 < limits.max_file_size < 2**64

    @case()
    async def test_verifier_is_8_bytes_and_constant(self, fs: Fs) -> None:
        verifier = fs.backend.verifier
        assert isinstance(verifier, bytes)
        assert len(verifier) == 8
        await fs.attr(fs.root)
        assert fs.backend.verifier == verifier

    @case("tree")
    async def test_lookup_and_getattr_agree(self, fs: Fs) -> None:
        for path, node in walk(self.tree):
            if not path or (isinstance(node, Link) and not fs.limits.symlinks):
                continue
            dir = await self._find(fs, path[:-1])
            found = await fs.backend.lookup(fs.ctx, dir, path[-1])
            assert found.attr.type is types(node)
            assert fixed(found.attr) == fixed(await fs.attr(found.attr.key))
            if found.dir is not None:
                assert fixed(found.dir) == fixed(await fs.attr(dir))

    @case("tree")
    async def test_attributes_are_sane(self, fs: Fs) -> None:
        for key, node in await self._each(fs, FileType.REG, FileType.DIR, FileType.LNK):
            attr = await fs.attr(key)
            assert attr.key == key
            assert 0 <= attr.ino < 2**64
            assert 0 <= attr.mode <= 0o7777
            assert 1 <= attr.nlink < 2**32
            assert attr.used >= 0
            assert min(attr.atime, attr.mtime, attr.ctime) >= 0
            if isinstance(node, bytes):
                assert attr.size == len(node)

    @case("tree")
    async def test_every_file_has_its_own_key(self, fs: Fs) -> None:
        files = await self._each(fs, FileType.REG, FileType.DIR, FileType.LNK)
        assert len({key for key, _ in files}) == len(files)

    @case("tree")
    async def test_attributes_handed_out_never_change(self, fs: Fs) -> None:
        files = await self._each(fs, FileType.REG, FileType.DIR)
        attrs: list[Attr] = [await fs.attr(key) for key, _ in files]
        copies = [dataclasses.replace(attr) for attr in attrs]
        for key, node in files:
            if isinstance(node, bytes):
                await fs.read(key)
                if not fs.limits.read_only:
                    await fs.write(key, 0, b"changed")
            else:
                await fs.entries(key)
                if not fs.limits.read_only:
                    await fs.file(b"new name", b"", key)
        for key, _ in files:
            await fs.attr(key)
        assert attrs == copies, "an Attr that was handed out was changed"

    @case("tree")
    async def test_lookup_of_a_missing_name(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.DIR):
            await refused(fs.lookup(key, b"no such name"), Status.NOENT)

    @case("tree")
    async def test_lookup_in_a_file(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.REG, FileType.LNK):
            await refused(fs.lookup(key, b"name"), Status.NOTDIR)

    @case("tree")
    async def test_lookup_minds_the_case(self, fs: Fs) -> None:
        for name in self.tree:
            if isinstance(self.tree[name], Link) and not fs.limits.symlinks:
                continue
            other = name.swapcase()
            if other == name or other in self.tree:
                continue
            if fs.limits.case_insensitive:
                assert (await fs.lookup(fs.root, other)).key == await self._find(fs, (name,))
            else:
                await refused(fs.lookup(fs.root, other), Status.NOENT)

    @case("tree")
    async def test_read_whole_files(self, fs: Fs) -> None:
        for key, data in await self._each(fs, FileType.REG):
            assert isinstance(data, bytes)
            assert not difference(await fs.read(key), data)

    @case("tree")
    async def test_read_in_odd_pieces(self, fs: Fs) -> None:
        key, data = await self._longest(fs)
        step = max(1, len(data) // 37) | 1
        for at in range(0, len(data), step):
            assert not difference(await fs.read(key, at, step), data[at : at + step])

    @case("tree")
    async def test_reads_at_the_same_time(self, fs: Fs) -> None:
        files = await self._each(fs, FileType.REG)
        for _ in range(3):
            results = await asyncio.gather(*(fs.read(key) for key, _ in files))
            assert results == [data for _, data in files]

    @pytest.mark.parametrize(("offset", "count", "length", "eof"), _ENDS)
    @case("tree")
    async def test_read_tells_the_end(
        self, fs: Fs, offset: int, count: int, length: int, eof: bool
    ) -> None:
        key, data = await self._longest(fs)
        at = len(data) + offset
        got = await fs.backend.read(fs.ctx, key, at, count)
        assert bytes(got.data) == data[at : at + length]
        assert got.eof is eof
        if got.attr is not None:
            assert fixed(got.attr) == fixed(await fs.attr(key))

    @case("tree")
    async def test_read_of_an_empty_file_is_eof(self, fs: Fs) -> None:
        for key, data in await self._each(fs, FileType.REG):
            if not data:
                got = await fs.backend.read(fs.ctx, key, 0, 100)
                assert (bytes(got.data), got.eof) == (b"", True)

    @case("tree")
    async def test_read_of_what_is_no_file(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.DIR, FileType.LNK):
            await refused(fs.backend.read(fs.ctx, key, 0, 10), Status.ISDIR, Status.INVAL)

    @pytest.mark.parametrize("count", [1, 64, 4096])
    @case("tree")
    async def test_readdir_lists_every_name_once(self, fs: Fs, count: int) -> None:
        for key, node in await self._each(fs, FileType.DIR):
            assert not isinstance(node, bytes | Link)
            links = fs.limits.symlinks
            names = [name for name in node if links or not isinstance(node[name], Link)]
            entries = await fs.entries(key, count=count)
            assert sorted(entry.name for entry in entries) == sorted(names)
            for entry in entries:
                assert (await fs.lookup(key, entry.name)).ino == entry.ino

    @case("tree")
    async def test_readdir_plus_gives_what_getattr_gives(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.DIR):
            for entry in await fs.entries(key, plus=True):
                if entry.attr is not None:
                    assert entry.attr.ino == entry.ino
                    assert fixed(entry.attr) == fixed(await fs.lookup(key, entry.name))

    @case("tree")
    async def test_readdir_cookies_are_in_range_and_unique(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.DIR):
            cookies = [entry.cookie for entry in await fs.entries(key)]
            assert all(3 <= cookie < 2**63 for cookie in cookies)
            assert len(set(cookies)) == len(cookies)

    @case("tree")
    async def test_readdir_resumes_behind_every_cookie(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.DIR):
            entries = await fs.entries(key)
            names = [entry.name for entry in entries]
            for at, entry in enumerate(entries, 1):
                assert await fs.names(key, entry.cookie) == names[at:]

    @case("tree")
    async def test_readdir_of_what_is_no_directory(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.REG, FileType.LNK):
            await refused(fs.page(key), Status.NOTDIR)

    @case("tree")
    async def test_parent(self, fs: Fs) -> None:
        try:
            await fs.backend.parent(fs.ctx, fs.root)
        except FsError as error:
            assert error.status is Status.NOTSUPP
            pytest.skip("the backend does not know parents")
        assert (await fs.backend.parent(fs.ctx, fs.root)).key == fs.root
        for path, node in walk(self.tree):
            if path and types(node) is FileType.DIR:
                parent = await fs.backend.parent(fs.ctx, await self._find(fs, path))
                assert parent.key == await self._find(fs, path[:-1])

    @case("tree", "symlinks")
    async def test_readlink(self, fs: Fs) -> None:
        for key, link in await self._each(fs, FileType.LNK):
            assert isinstance(link, Link)
            got = await fs.backend.readlink(fs.ctx, key)
            assert bytes(got.target) == link.target
            if got.attr is not None:
                assert fixed(got.attr) == fixed(await fs.attr(key))

    @case("tree", "symlinks")
    async def test_readlink_of_what_is_no_link(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.REG, FileType.DIR):
            await refused(fs.backend.readlink(fs.ctx, key), Status.INVAL)

    @case("tree")
    async def test_access_grants_only_what_was_asked_for(self, fs: Fs) -> None:
        for key, _ in await self._each(fs, FileType.REG, FileType.DIR):
            every = (await fs.backend.access(fs.ctx, key, 0x3F)).access
            for bit in Access:
                granted = (await fs.backend.access(fs.ctx, key, bit)).access
                assert granted == every & bit

    @case("tree")
    async def test_access_lets_the_superuser_read(self, fs: Fs) -> None:
        for key, node in await self._each(fs, FileType.REG, FileType.DIR):
            need = Access.READ if isinstance(node, bytes) else Access.READ | Access.LOOKUP
            assert (await fs.backend.access(fs.ctx, key, need)).access == need

    @pytest.mark.parametrize("operation", _READS)
    @case("tree")
    async def test_a_key_of_nothing_is_stale(self, fs: Fs, operation: str) -> None:
        attr = await fs.attr(fs.root)
        # The number after the largest has not been given to anybody yet.
        inos = [entry.ino for entry in await fs.entries(fs.root)]
        call = _READS[operation]
        await refused(call(fs, Key(max(inos, default=1) + 10**9, 1)), Status.STALE)
        await refused(call(fs, Key(attr.ino, attr.generation + 1)), Status.STALE)

    @case("tree")
    async def test_statfs_is_sane(self, fs: Fs) -> None:
        stat = await fs.backend.statfs(fs.ctx, fs.root)
        assert 0 <= stat.abytes <= stat.fbytes <= stat.tbytes < 2**64
        assert 0 <= stat.afiles <= stat.ffiles <= stat.tfiles < 2**64
        assert stat.invarsec >= 0

    @pytest.mark.parametrize("operation", _CHANGES)
    @case("tree", "read_only")
    async def test_read_only_refuses_changes(self, fs: Fs, operation: str) -> None:
        files = [key for key, _ in await self._each(fs, FileType.REG)]
        before = fixed(await fs.attr(files[0]))
        await fs.check_refused_untouched(
            fs.root, lambda: _CHANGES[operation](fs, fs.root, files[0]), *_REFUSED
        )
        assert fixed(await fs.attr(files[0])) == before

    @case("tree", "read_only")
    async def test_read_only_refuses_removal(self, fs: Fs) -> None:
        for name, node in self.tree.items():
            remove = fs.rmdir if types(node) is FileType.DIR else fs.remove
            await refused(remove(fs.root, name), *_REFUSED)
            await refused(fs.rename(fs.root, name, fs.root, b"new name"), *_REFUSED)
        assert set(await fs.names(fs.root)) == set(self.tree)
