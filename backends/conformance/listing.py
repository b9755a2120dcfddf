"""READDIR while the directory changes, and when it is large."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import islice

import pytest

from backends.base import DirEntry, Key
from backends.conformance.kit import Fs, Kit, case


class Listings(Kit):
    """Cookies that stay valid under insertion, removal and renaming."""

    async def _fill(self, fs: Fs, count: int) -> tuple[Key, list[bytes]]:
        """A directory with `count` files."""
        dir = await fs.mkdir(b"d")
        names = [b"name %05d" % number for number in range(count)]
        for name in names:
            await fs.create(dir, name)
        return dir, names

    async def _half(self, fs: Fs, dir: Key, total: int) -> list[DirEntry]:
        """The first entries of a listing, about half of them."""
        return (await fs.entries(dir))[: total // 2]

    @case("write")
    async def test_resume_behind_every_cookie(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 150)
        entries = await fs.entries(dir)
        assert sorted(entry.name for entry in entries) == names
        order = [entry.name for entry in entries]
        for at, entry in enumerate(entries, 1):
            assert await fs.names(dir, entry.cookie) == order[at:]

    @case("write")
    async def test_cookies_are_the_same_each_time(self, fs: Fs) -> None:
        dir, _ = await self._fill(fs, 100)
        first = {entry.name: entry.cookie for entry in await fs.entries(dir, count=100)}
        second = {entry.name: entry.cookie for entry in await fs.entries(dir, count=8192)}
        assert first == second

    @case("write")
    async def test_names_made_while_listing(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 60)
        seen = await self._half(fs, dir, 60)
        for number in range(60):
            for name in (b"a new %d", b"name new %d", b"z new %d"):
                await fs.create(dir, name % number)
        seen += await fs.entries(dir, seen[-1].cookie)
        counts = Counter(entry.name for entry in seen)
        assert all(counts[name] == 1 for name in names), "an old name was skipped or repeated"
        assert max(counts.values()) == 1
        assert len(await fs.names(dir)) == 240

    @pytest.mark.parametrize("which", ["listed", "not listed", "last listed", "every other"])
    @case("write")
    async def test_names_removed_while_listing(self, fs: Fs, which: str) -> None:
        dir, names = await self._fill(fs, 200)
        seen = await self._half(fs, dir, 200)
        done = [entry.name for entry in seen]
        doomed = {
            "listed": done,
            "not listed": [name for name in names if name not in done][::3],
            "last listed": done[-1:],
            "every other": names[::2],
        }[which]
        for name in doomed:
            await fs.remove(dir, name)
        rest = await fs.names(dir, seen[-1].cookie)
        left = [name for name in names if name not in doomed and name not in done]
        assert sorted(rest) == left, "a name was skipped, repeated or is a ghost"
        assert sorted(await fs.names(dir)) == [name for name in names if name not in doomed]

    @case("write")
    async def test_names_renamed_while_listing(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 100)
        seen = await self._half(fs, dir, 100)
        done = [entry.name for entry in seen]
        for name in names[::5]:
            await fs.rename(dir, name, dir, b"renamed " + name)
        rest = await fs.names(dir, seen[-1].cookie)
        untouched = [name for name in names if name not in names[::5]]
        counts = Counter(done + rest)
        assert all(counts[name] == 1 for name in untouched)
        assert not any(name in rest for name in names[::5])

    @case("write")
    async def test_every_cookie_after_removals(self, fs: Fs) -> None:
        dir, _ = await self._fill(fs, 90)
        entries = await fs.entries(dir)
        for entry in entries[::3] + entries[1::3]:
            await fs.remove(dir, entry.name)
        left = {entry.name for entry in entries[2::3]}
        for at, entry in enumerate(entries, 1):
            expected = [later.name for later in entries[at:] if later.name in left]
            assert await fs.names(dir, entry.cookie) == expected

    @case("write")
    async def test_a_name_made_again_is_listed_once(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 50)
        for _ in range(3):
            for name in names[10:20]:
                await fs.remove(dir, name)
                await fs.create(dir, name)
        assert sorted(await fs.names(dir)) == names

    @pytest.mark.parametrize("count", [100, 1024, 32_768])
    @case("write")
    async def test_remove_all_while_listing(self, fs: Fs, count: int) -> None:
        dir, _ = await self._fill(fs, 500)
        cookie, eof = 0, False
        while not eof:
            page, eof = await fs.page(dir, cookie, count)
            for entry in page:
                await fs.remove(dir, entry.name)
            cookie = page[-1].cookie if page else cookie
        assert await fs.names(dir) == [], "rm -r left names behind"
        await fs.rmdir(fs.root, b"d")

    @case("write")
    async def test_remove_the_first_until_none_is_left(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 150)
        for _ in names:
            page, _eof = await fs.page(dir, 0, 1)
            await fs.remove(dir, page[0].name)
        assert await fs.page(dir) == ([], True)

    @case("write")
    async def test_many_names(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, self.many)
        for count in (700, 8192, 1 << 20):
            found = await fs.names(dir, count=count)
            assert len(found) == len(names)
            assert sorted(found) == names

    @case("write")
    async def test_listings_at_the_same_time(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 120)

        async def change() -> None:
            for number in range(100):
                await fs.create(dir, b"new %d" % number)
                await asyncio.sleep(0)
                await fs.remove(dir, b"new %d" % number)

        *listings, _ = await asyncio.gather(*(fs.names(dir, 0, 200) for _ in range(5)), change())
        for listing in listings:
            assert listing is not None
            old = [name for name in listing if not name.startswith(b"new")]
            assert sorted(old) == names

    @case("write")
    async def test_a_lazy_listing_bears_changes(self, fs: Fs) -> None:
        dir, names = await self._fill(fs, 100)
        listing = await fs.backend.readdir(fs.ctx, dir, 0, 1 << 20, False)
        iterator = iter(listing.entries)
        first = [entry.name for entry in islice(iterator, 10)]
        for name in first:
            await fs.remove(dir, name)
        # What is taken now may be from before or after the removal, but is neither lost nor double.
        rest = [entry.name for entry in iterator]
        both = first + rest
        assert len(set(both)) == len(both)
        assert sorted(both) == names or not listing.eof

    @case("write", "links")
    async def test_all_names_of_one_file(self, fs: Fs) -> None:
        dir = await fs.mkdir(b"d")
        key = await fs.file(b"0", b"", dir)
        for number in range(1, min(20, fs.limits.link_max)):
            await fs.link(key, dir, b"%d" % number)
        entries = await fs.entries(dir, count=10)
        assert len({entry.name for entry in entries}) == (await fs.attr(key)).nlink
        assert {entry.ino for entry in entries} == {key.ino}

    @case("write")
    async def test_readdir_plus_is_up_to_date(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await fs.entries(fs.root, plus=True)
        await fs.write(key, 0, b"data")
        await fs.chmod(key, 0o604)
        [entry] = await fs.entries(fs.root, plus=True)
        if entry.attr is not None:
            assert (entry.attr.key, entry.attr.size, entry.attr.mode) == (key, 4, 0o604)
