"""Calls at the same time: what "together" asks for in the docstrings of `Backend`.

A backend that waits nowhere passes most of these by its nature; one that waits between looking and
doing, or runs in threads, must have thought of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import pytest

from backends.base import (
    Attr,
    Context,
    CreateMode,
    Data,
    FileType,
    FsError,
    Key,
    Made,
    SetAttr,
    Stable,
    Status,
    Wcc,
)
from backends.conformance.kit import Fs, Kit, case, difference, fixed, status_of
from backends.conformance.together import Act, check_sound, together, won

#: How often a race is run.
_ROUNDS: Final = 6
_CALLS: Final = 12

_MAKES: dict[str, Callable[[Fs, Key, bytes, Key], Awaitable[Made]]] = {
    "create": lambda fs, dir, name, file: fs.create(dir, name),
    "mkdir": lambda fs, dir, name, file: fs.backend.mkdir(fs.ctx, dir, name, SetAttr(mode=0o755)),
    "symlink": lambda fs, dir, name, file: fs.backend.symlink(
        fs.ctx, dir, name, b"target", SetAttr(mode=0o777)
    ),
    "mknod": lambda fs, dir, name, file: fs.backend.mknod(
        fs.ctx, dir, name, FileType.FIFO, (0, 0), SetAttr(mode=0o644)
    ),
    "link": lambda fs, dir, name, file: fs.link(file, dir, name),
}
_NEEDS: Final = {"symlink": "symlinks", "mknod": "special_files", "link": "links"}

#: What is cancelled half way: each finds ``x``, a file, and ``d``, an empty directory.
_CANCELLED: dict[str, Callable[[Any, Context, Key, Key, Key], Awaitable[Any]]] = {
    "create": lambda b, ctx, root, x, d: b.create(
        ctx, root, b"new", CreateMode.GUARDED, SetAttr(mode=0o600, size=5), b""
    ),
    "mkdir": lambda b, ctx, root, x, d: b.mkdir(ctx, root, b"new", SetAttr(mode=0o700)),
    "remove": lambda b, ctx, root, x, d: b.remove(ctx, root, b"x"),
    "rmdir": lambda b, ctx, root, x, d: b.rmdir(ctx, root, b"d"),
    "rename": lambda b, ctx, root, x, d: b.rename(ctx, root, b"x", d, b"y"),
    "setattr": lambda b, ctx, root, x, d: b.setattr(ctx, x, SetAttr(mode=0o600, size=1)),
}


class Concurrency(Kit):
    """Races, and many calls at once."""

    # Making names

    @pytest.mark.parametrize("kind", _MAKES)
    @case("write")
    async def test_of_many_that_make_a_name_one_does(self, fs: Fs, kind: str) -> None:
        if reason := self.lacks(fs.limits, _NEEDS.get(kind, "write")):
            pytest.skip(reason)
        file = await fs.file(b"file")
        for number in range(_ROUNDS):
            name = b"new %d" % number
            act = partial(_MAKES[kind], fs, fs.root, name, file)
            made = won(await together(fs, [act] * _CALLS), Status.EXIST)
            assert len(made) == 1, f"{len(made)} of {_CALLS} calls made the same name"
            assert (await fs.lookup(fs.root, name)).key == made[0].attr.key
            await check_sound(fs)
            await (fs.rmdir if kind == "mkdir" else fs.remove)(fs.root, name)

    @case("write")
    async def test_a_name_is_one_things_only(self, fs: Fs) -> None:
        kinds = [kind for kind in _MAKES if not self.lacks(fs.limits, _NEEDS.get(kind, "write"))]
        file = await fs.file(b"file")
        for number in range(_ROUNDS):
            name = b"new %d" % number
            # Who begins has it easy: let each kind do so once.
            order = (kinds[number % len(kinds) :] + kinds) * 2
            acts = [partial(_MAKES[kind], fs, fs.root, name, file) for kind in order]
            refusals = (Status.EXIST, Status.MLINK)
            assert len(won(await together(fs, acts), *refusals)) == 1, "a name was made twice"
            await check_sound(fs)
            is_dir = (await fs.lookup(fs.root, name)).type is FileType.DIR
            await (fs.rmdir if is_dir else fs.remove)(fs.root, name)

    @case("write")
    async def test_of_exclusive_creates_one_verifier_wins(self, fs: Fs) -> None:
        exclusive = CreateMode.EXCLUSIVE
        for number in range(_ROUNDS):
            name = b"new %d" % number
            verifiers = [b"verify %d" % (at % 3) for at in range(_CALLS)]
            acts = [partial(fs.create, fs.root, name, exclusive, SetAttr(), v) for v in verifiers]
            outcomes = await together(fs, acts)
            made = won(outcomes, Status.EXIST)
            winners = {v for v, o in zip(verifiers, outcomes, strict=True) if o in made}
            assert len(winners) == 1, "creates with different verifiers succeeded"
            assert len(made) == _CALLS // 3, "the same verifier was refused"
            assert len({one.attr.key for one in made}) == 1

    @case("write")
    async def test_unchecked_creates_make_one_file(self, fs: Fs) -> None:
        for number in range(_ROUNDS):
            act = partial(fs.create, fs.root, b"%d" % number, CreateMode.UNCHECKED)
            made = won(await together(fs, [act] * _CALLS))
            assert len({one.attr.key for one in made}) == 1, "one name became several files"
        await check_sound(fs)

    @case("write")
    async def test_making_and_removing_one_name(self, fs: Fs) -> None:
        keys: list[Key] = []

        async def make() -> None:
            keys.append((await fs.create(fs.root, b"f")).attr.key)

        acts: list[Act] = [make, partial(fs.remove, fs.root, b"f")] * 20
        won(await together(fs, acts), Status.EXIST, Status.NOENT)
        assert len(set(keys)) == len(keys), "a key was given twice"
        await check_sound(fs, keys)

    # Taking names away

    @pytest.mark.parametrize("kind", ["remove", "rmdir"])
    @case("write")
    async def test_of_many_that_remove_a_name_one_does(self, fs: Fs, kind: str) -> None:
        for number in range(_ROUNDS):
            name = b"%d" % number
            key = await (fs.file(name) if kind == "remove" else fs.mkdir(name))
            act = partial(fs.remove if kind == "remove" else fs.rmdir, fs.root, name)
            done = won(await together(fs, [act] * _CALLS), Status.NOENT)
            assert len(done) == 1, f"{len(done)} calls removed one name"
            await fs.check_stale(key)
        await check_sound(fs)

    @case("write")
    async def test_remove_against_rename(self, fs: Fs) -> None:
        for number in range(_ROUNDS * 2):
            key = await fs.file(b"x")
            acts: list[Act] = [
                partial(fs.remove, fs.root, b"x"),
                partial(fs.rename, fs.root, b"x", fs.root, b"y"),
            ]
            outcomes = await together(fs, acts[:: 1 if number % 2 else -1])
            assert len(won(outcomes, Status.NOENT)) == 1, "both a remove and a rename took a name"
            names = await fs.names(fs.root)
            if names:
                assert names == [b"y"]
                assert (await fs.lookup(fs.root, b"y")).key == key
                await fs.remove(fs.root, b"y")
            await fs.check_stale(key)

    @pytest.mark.parametrize("kind", ["create", "mkdir", "rename"])
    @case("write")
    async def test_rmdir_against_a_new_name_in_it(self, fs: Fs, kind: str) -> None:
        for number in range(_ROUNDS * 2):
            dir = await fs.mkdir(b"d%d" % number)
            if kind == "rename":
                await fs.file(b"x")
            makes: dict[str, Act] = {
                "create": partial(fs.create, dir, b"x"),
                "mkdir": partial(fs.mkdir, b"x", dir),
                "rename": partial(fs.rename, fs.root, b"x", dir, b"x"),
            }
            acts: list[Act] = [makes[kind], partial(fs.rmdir, fs.root, b"d%d" % number)]
            outcomes = await together(fs, acts[:: 1 if number % 2 else -1])
            done = won(outcomes, Status.NOTEMPTY, Status.EXIST, Status.STALE, Status.NOENT)
            assert len(done) == 1, "a directory was removed while it got a name"
            await check_sound(fs, [dir])
            await _clear(fs, fs.root)

    # Renaming

    @pytest.mark.parametrize("depth", [0, 2])
    @case("write")
    async def test_two_renames_make_no_loop(self, fs: Fs, depth: int) -> None:
        """a into b and b into a: one at most may happen, or both are cut off from the root."""
        for number in range(_ROUNDS * 2):
            a, b = await fs.mkdir(b"a%d" % number), await fs.mkdir(b"b%d" % number)
            inner_a, inner_b = a, b
            for _ in range(depth):
                inner_a, inner_b = await fs.mkdir(b"s", inner_a), await fs.mkdir(b"s", inner_b)
            outcomes = await together(fs, [
                partial(fs.rename, fs.root, b"a%d" % number, inner_b, b"x"),
                partial(fs.rename, fs.root, b"b%d" % number, inner_a, b"x"),
            ])  # fmt: skip
            refusals = (Status.INVAL, Status.NOENT, Status.STALE)
            assert len(won(outcomes, *refusals)) == 1, "two renames made a loop"
            paths = (await check_sound(fs)).values()
            assert a in paths, "a directory is cut off"
            assert b in paths, "a directory is cut off"
            await _clear(fs, fs.root)

    @case("write")
    async def test_renames_in_a_ring(self, fs: Fs) -> None:
        """Each file is there under one name, or was replaced and is stale."""
        for _ in range(_ROUNDS):
            keys = [await fs.file(b"%d" % number) for number in range(6)]
            acts = [
                partial(fs.rename, fs.root, b"%d" % at, fs.root, b"%d" % ((at + 1) % 6))
                for at in range(6)
            ]
            won(await together(fs, acts), Status.NOENT)
            paths = await check_sound(fs, keys)
            assert set(paths.values()) <= {fs.root, *keys}
            for name in await fs.names(fs.root):
                await fs.remove(fs.root, name)

    @case("write")
    async def test_a_target_that_is_replaced_is_always_there(self, fs: Fs) -> None:
        keys = {await fs.file(b"target")}

        async def replace() -> None:
            for number in range(30):
                keys.add(await fs.file(b"new %d" % number))
                await fs.rename(fs.root, b"new %d" % number, fs.root, b"target")
                await asyncio.sleep(0)

        async def look() -> set[Key]:
            found = set()
            for _ in range(60):
                found.add((await fs.lookup(fs.root, b"target")).key)
                await asyncio.sleep(0)
            return found

        outcomes = won(await together(fs, [replace, look, look]))
        for found in outcomes[1:]:
            assert found <= keys

    @case("write")
    async def test_listing_while_names_move(self, fs: Fs) -> None:
        """Names that stay are listed once, others at most once."""
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        stay = [b"stay %d" % number for number in range(80)]
        for number, name in enumerate(stay):
            await fs.create(dir, name)
            if number < 20:
                await fs.create(dir, b"go %d" % number)

        async def change() -> None:
            for number in range(20):
                await fs.rename(dir, b"go %d" % number, other, b"%d" % number)
                await fs.create(dir, b"new %d" % number)
                await fs.rename(dir, b"new %d" % number, dir, b"newer %d" % number)
                await fs.rename(other, b"%d" % number, dir, b"back %d" % number)
                await asyncio.sleep(0)

        acts: list[Act] = [change, *[partial(fs.names, dir, 0, 300)] * 6]
        for listing in won(await together(fs, acts))[1:]:
            counts = Counter(listing)
            lost = [name for name in stay if counts[name] != 1]
            assert not lost, f"{lost} stayed all the while, and were not listed once"
            assert max(counts.values()) == 1, "a name is listed twice"

    # Data

    @case("write")
    async def test_writes_of_other_ranges_do_not_touch_each_other(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        size, pieces = 777, 120
        data = [bytes([1 + number % 250]) * size for number in range(pieces)]

        async def write(first: int) -> None:
            for at in range(first, pieces, 8):
                await fs.write(key, at * size, data[at], Stable.UNSTABLE)

        won(await together(fs, [partial(write, first) for first in range(8)]))
        assert (await fs.attr(key)).size == size * pieces
        assert not difference(await fs.read(key), b"".join(data))

    @case("write")
    async def test_where_writes_overlap_each_byte_is_of_one(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"0" * 70_000)
        marks = b"abcdefgh"
        acts = [
            partial(fs.write, key, 500 * at, bytes([mark]) * 60_000, Stable.UNSTABLE)
            for at, mark in enumerate(marks)
        ]
        won(await together(fs, acts))
        data = await fs.read(key)
        assert len(data) == 70_000
        for at in range(0, 70_000, 250):
            here = {mark for n, mark in enumerate(marks) if 500 * n <= at < 500 * n + 60_000}
            assert data[at] in (here or set(b"0")), f"{data[at : at + 1]!r} at {at}"

    @case("write")
    async def test_reading_while_it_is_written(self, fs: Fs) -> None:
        """Each byte is one that was there before or after a write: no zeros, no others."""
        key = await fs.file(b"f", b"a" * 100_000)

        async def write() -> None:
            for mark in b"bcdefgh":
                await fs.write(key, 0, bytes([mark]) * 100_000, Stable.UNSTABLE)
                await asyncio.sleep(0)

        async def read() -> list[bytes]:
            return [await fs.read(key, 0, 100_000) for _ in range(10)]

        for pieces in won(await together(fs, [write, read, read, read]))[1:]:
            for data in pieces:
                assert len(data) == 100_000, "the file was shorter for a while"
                assert set(data) <= set(b"abcdefgh")

    @case("write")
    async def test_reading_while_it_is_truncated(self, fs: Fs) -> None:
        """A read gives what was there, perhaps less of it, or zeros of a new end."""
        key = await fs.file(b"f", b"a" * 100_000)

        async def resize() -> None:
            for size in (50_000, 10, 0, 70_000, 0, 100_000):
                await fs.setattr(key, SetAttr(size=size))
                await asyncio.sleep(0)

        async def read() -> list[Data]:
            return [await fs.backend.read(fs.ctx, key, 0, 100_000) for _ in range(12)]

        for pieces in won(await together(fs, [resize, read, read]))[1:]:
            for got in pieces:
                kept = bytes(got.data).rstrip(b"\0")
                assert not kept.strip(b"a"), "a read gave bytes that never were in the file"

    @case("write")
    async def test_reading_while_it_is_removed(self, fs: Fs) -> None:
        for number in range(_ROUNDS):
            key = await fs.file(b"f", b"data" * 10_000)
            acts: list[Act] = [partial(fs.backend.read, fs.ctx, key, 0, 40_000)] * 6
            acts.insert(number, partial(fs.remove, fs.root, b"f"))
            for got in won(await together(fs, acts), Status.STALE):
                if isinstance(got, Data):
                    assert not difference(bytes(got.data), (b"data" * 10_000)[: len(got.data)])
                    assert len(got.data), "a file that is being removed was read as empty"
            await fs.check_stale(key)

    @case("write")
    async def test_writing_while_it_is_truncated(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        acts: list[Act] = []
        for number in range(10):
            acts.append(partial(fs.write, key, 1000 * number, b"x" * 1000))
            acts.append(partial(fs.setattr, key, SetAttr(size=500 * number)))
        won(await together(fs, acts))
        data = await fs.read(key)
        assert (await fs.attr(key)).size == len(data)
        assert not data.strip(b"\0x"), "bytes that nobody wrote"

    @case("write")
    async def test_commit_while_it_is_written(self, fs: Fs) -> None:
        key, verifier = await fs.file(b"f"), fs.backend.verifier
        acts: list[Act] = []
        for number in range(20):
            acts.append(partial(fs.write, key, number * 1000, b"x" * 1000, Stable.UNSTABLE))
            acts.append(partial(fs.backend.commit, fs.ctx, key, 0, 0))
        won(await together(fs, acts))
        assert not difference(await fs.read(key), b"x" * 20_000)
        assert fs.backend.verifier == verifier

    # Attributes

    @case("write")
    async def test_of_setattrs_with_one_guard_one_succeeds(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        for _ in range(_ROUNDS):
            await fs.tick()
            guard = (await fs.attr(key)).ctime
            modes = [0o600 + number for number in range(8)]
            acts = [partial(fs.setattr, key, SetAttr(mode=mode), guard) for mode in modes]
            outcomes = await together(fs, acts)
            done = won(outcomes, Status.NOT_SYNC)
            assert len(done) == 1, f"{len(done)} setattrs with the same guard succeeded"
            winner = next(m for m, o in zip(modes, outcomes, strict=True) if isinstance(o, Wcc))
            assert (await fs.attr(key)).mode == winner

    @case("write")
    async def test_setattrs_of_different_attributes_all_hold(self, fs: Fs) -> None:
        for number in range(_ROUNDS):
            key = await fs.file(b"%d" % number, b"data")
            attrs = [SetAttr(mode=0o751), SetAttr(size=2)]
            if fs.limits.set_times:
                attrs.append(SetAttr(atime=10**9))
            won(await together(fs, [partial(fs.setattr, key, attr) for attr in attrs]))
            attr = await fs.attr(key)
            assert (attr.mode, attr.size) == (0o751, 2), "a setattr undid another"
            assert not fs.limits.set_times or attr.atime == 10**9, "a setattr undid another"

    @case("write", "links")
    async def test_links_are_counted(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        most = min(20, fs.limits.link_max - 1)
        names = [b"%d" % number for number in range(most)]
        won(await together(fs, [partial(fs.link, key, fs.root, name) for name in names]))
        assert (await fs.attr(key)).nlink == most + 1, "a link was not counted"
        acts: list[Act] = [partial(fs.remove, fs.root, name) for name in names[::2]]
        won(await together(fs, acts))
        assert (await fs.attr(key)).nlink == most + 1 - len(acts), "a removal was not counted"
        await check_sound(fs)

    @case("write")
    async def test_subdirectories_are_counted(self, fs: Fs) -> None:
        dir = await fs.mkdir(b"d")
        most = min(20, fs.limits.link_max - 2) if fs.limits.link_max > 2 else 20
        names = [b"%d" % number for number in range(most)]
        won(await together(fs, [partial(fs.mkdir, name, dir) for name in names]))
        won(await together(fs, [partial(fs.rmdir, dir, name) for name in names[::2]]))
        await check_sound(fs)
        assert sorted(await fs.names(dir)) == sorted(names[1::2])

    # Many

    @case("write")
    async def test_200_calls_at_once(self, fs: Fs) -> None:
        dirs = [await fs.mkdir(b"d%d" % number) for number in range(3)]

        async def work(number: int) -> Attr:
            dir = dirs[number % 3]
            key = await fs.file(b"f%d" % number, b"%d" % number, dir, stable=Stable.UNSTABLE)
            assert await fs.read(key) == b"%d" % number
            return await fs.lookup(dir, b"f%d" % number)

        attrs = won(await together(fs, [partial(work, number) for number in range(200)]))
        assert len({attr.key for attr in attrs}) == 200
        listed = [name for dir in dirs for name in await fs.names(dir)]
        assert sorted(listed) == sorted(b"f%d" % number for number in range(200))

    @case("tree")
    async def test_200_lookups_and_listings_at_once(self, fs: Fs) -> None:
        entries = await fs.entries(fs.root)
        known = {entry.name: fixed(await fs.lookup(fs.root, entry.name)) for entry in entries}
        names = list(known)
        acts: list[Act] = [partial(fs.lookup, fs.root, names[n % len(names)]) for n in range(200)]
        acts[::10] = [partial(fs.names, fs.root, 0, 1 + 8 * number) for number in range(20)]
        outcomes = won(await together(fs, acts))
        for number, got in enumerate(outcomes):
            if number % 10:
                assert fixed(got) == known[names[number % len(names)]]
            else:
                assert got == [entry.name for entry in entries]

    @pytest.mark.parametrize("seed", [1, 2, 3])
    @case("write")
    async def test_a_storm_leaves_a_sound_tree(self, fs: Fs, seed: int) -> None:
        """Whatever the order was: link counts, names and parents fit each other afterwards."""
        dirs, files = [fs.root], [await fs.file(b"file")]
        for name in (b"a", b"b"):
            dirs.append(await fs.mkdir(name))
            dirs.append(await fs.mkdir(b"s", dirs[-1]))

        async def work(number: int) -> None:
            chance = random.Random(seed * 100 + number)
            for _ in range(40):
                if chance.random() < 0.4:
                    await asyncio.sleep(0)
                try:
                    await self._one(fs, chance, dirs, files)
                except (FsError, OSError) as error:
                    assert status_of(error) not in (Status.IO, Status.SERVERFAULT), error

        won(await together(fs, [partial(work, number) for number in range(8)]))
        await check_sound(fs, dirs[1:] + files)

    async def _one(self, fs: Fs, chance: random.Random, dirs: list[Key], files: list[Key]) -> None:
        """One call of a storm, mostly about names that are there."""
        dir, other = chance.choice(dirs[-10:]), chance.choice(dirs[-10:])
        there = await fs.names(dir)
        name = chance.choice(there) if there else b"a"
        new = chance.choice([b"a", b"b", b"c", b"d", b"e"])
        what = chance.randrange(10)
        if what == 0:
            files.append((await fs.create(dir, new)).attr.key)
        elif what <= 2:
            dirs.append(await fs.mkdir(new, dir))
        elif what <= 6:
            await fs.rename(dir, name, other, new)
        elif what == 7 and fs.limits.links:
            await fs.link(chance.choice(files), dir, new)
        else:
            await (fs.remove if chance.random() < 0.5 else fs.rmdir)(dir, name)

    # Cancelling

    @pytest.mark.parametrize("operation", _CANCELLED)
    @case("write")
    async def test_a_cancelled_call_leaves_nothing_half_done(self, fs: Fs, operation: str) -> None:
        """That is how calls end which still wait when the server stops."""
        raw = fs.backend.raw
        if raw.blocking:
            pytest.skip("a thread cannot be cancelled")
        for steps in range(8):
            file = await fs.file(b"x", b"data", mode=0o644)
            dir = await fs.mkdir(b"d")
            call = _CANCELLED[operation](raw, fs.ctx, fs.root, file, dir)
            task = asyncio.ensure_future(call)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await self._check_all_or_nothing(fs, operation, file, dir)
            await _clear(fs, fs.root)

    async def _check_all_or_nothing(self, fs: Fs, operation: str, file: Key, dir: Key) -> None:
        paths = set(await check_sound(fs, [file, dir]))
        before, after = {(), (b"x",), (b"d",)}, {(), (b"x",), (b"d",)}
        after |= {(b"new",)} if operation in ("create", "mkdir") else set()
        after -= {"remove": {(b"x",)}, "rmdir": {(b"d",)}}.get(operation, set())
        if operation == "rename":
            after = {(), (b"d",), (b"d", b"y")}
        assert paths in (before, after), f"{operation} was cancelled, and left {sorted(paths)}"
        if operation == "setattr":
            attr = await fs.attr(file)
            assert (attr.mode, attr.size) in ((0o644, 4), (0o600, 1)), "setattr is done by half"
        if (b"new",) in paths:
            made = await fs.lookup(fs.root, b"new")
            assert (made.mode, made.size if operation == "create" else 5) in (
                (0o600, 5),
                (0o700, 5),
            )


async def _clear(fs: Fs, dir: Key) -> None:
    for name in await fs.names(dir):
        attr = await fs.lookup(dir, name)
        if attr.type is FileType.DIR:
            await _clear(fs, attr.key)
        await (fs.rmdir if attr.type is FileType.DIR else fs.remove)(dir, name)
