"""What a backend with storage keeps, over a stop and over a crash: tests for those that give
`Kit.reopen` and `Kit.crash`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from backends.base import CreateMode, FileType, FsError, Key, SetAttr, Stable, Status
from backends.conformance.kit import Fs, Kit, case, difference, fixed, refused

_ENDS = ["stop", "crash"]
_VERIFIER = b"\x00\x80\xffverif"
_SECOND = 10**9


@dataclass(frozen=True)
class _Change:
    """Something that is done to ``x`` in a directory, and the names there afterwards."""

    kind: str
    call: Callable[[Fs, Key, Key], Awaitable[object]]
    names: tuple[bytes, ...]
    need: str = "write"


def _set(**values: int) -> Callable[[Fs, Key, Key], Awaitable[object]]:
    return lambda fs, dir, key: fs.setattr(key, SetAttr(**values))


_X, _NEW = (b"x",), (b"new", b"x")
_CHANGES = {
    "create": _Change("file", lambda fs, dir, key: fs.create(dir, b"new"), _NEW),
    "mkdir": _Change("file", lambda fs, dir, key: fs.mkdir(b"new", dir), _NEW),
    "symlink": _Change(
        "file", lambda fs, dir, key: fs.symlink(b"new", b"target", dir), _NEW, "symlinks"
    ),
    "link": _Change("file", lambda fs, dir, key: fs.link(key, dir, b"new"), _NEW, "links"),
    "remove": _Change("file", lambda fs, dir, key: fs.remove(dir, b"x"), ()),
    "rmdir": _Change("directory", lambda fs, dir, key: fs.rmdir(dir, b"x"), ()),
    "rename": _Change("file", lambda fs, dir, key: fs.rename(dir, b"x", dir, b"y"), (b"y",)),
    "rename of a directory": _Change(
        "directory", lambda fs, dir, key: fs.rename(dir, b"x", dir, b"y"), (b"y",)
    ),
    "chmod": _Change("file", _set(mode=0o604), _X),
    "chmod of a directory": _Change("directory", _set(mode=0o705), _X),
    "truncate": _Change("file", _set(size=1), _X),
    "grow": _Change("file", _set(size=100_000), _X),
    "times": _Change("file", _set(atime=5 * _SECOND, mtime=6 * _SECOND), _X, "set_times"),
    "chown": _Change("file", _set(uid=1234, gid=5678), _X, "checks_permissions"),
}


class Restart(Kit):
    """Keys, names, attributes and data over the end of a backend."""

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_the_root_key_stays_valid(self, fs: Fs, end: str) -> None:
        assert (await fs.again(end)).root == fs.root

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_keys_and_data_stay_valid(self, fs: Fs, end: str) -> None:
        dir = await fs.mkdir(b"d")
        file = await fs.file(b"f", b"data" * 1000, dir)
        before = [fixed(await fs.attr(key)) for key in (dir, file)]
        new = await fs.again(end)
        assert [fixed(await new.attr(key)) for key in (dir, file)] == before
        assert await new.read(file) == b"data" * 1000
        assert (await new.lookup(dir, b"f")).key == file
        await new.write(file, 0, b"DATA")
        await new.file(b"g", b"", dir)

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_keys_of_renamed_files_stay_valid(self, fs: Fs, end: str) -> None:
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        file = await fs.file(b"f", b"data", dir)
        await fs.rename(dir, b"f", other, b"g")
        await fs.rename(fs.root, b"e", dir, b"moved")
        new = await fs.again(end)
        assert await new.read(file) == b"data"
        assert (await new.lookup(other, b"g")).key == file

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_keys_of_removed_files_stay_stale(self, fs: Fs, end: str) -> None:
        gone: list[Key] = [await fs.file(b"f"), await fs.mkdir(b"d")]
        await fs.remove(fs.root, b"f")
        await fs.rmdir(fs.root, b"d")
        new = await fs.again(end)
        for number in range(20):
            # What is made now may get their numbers, but not their keys.
            await new.file(b"new %d" % number)
        for key in gone:
            await new.check_stale(key)

    @pytest.mark.parametrize("end", _ENDS)
    @case("write", "links")
    async def test_a_key_outlives_the_name_it_was_made_by(self, fs: Fs, end: str) -> None:
        file = await fs.file(b"f", b"data")
        await fs.link(file, fs.root, b"g")
        await fs.remove(fs.root, b"f")
        new = await fs.again(end)
        assert await new.read(file) == b"data"
        assert (await new.attr(file)).nlink == 1

    @pytest.mark.parametrize("end", _ENDS)
    @pytest.mark.parametrize("stable", [Stable.DATA_SYNC, Stable.FILE_SYNC])
    @case("write")
    async def test_stable_data_stays(self, fs: Fs, stable: Stable, end: str) -> None:
        file = await fs.file(b"f")
        await fs.write(file, 0, b"stable" * 20_000, stable)
        await fs.write(file, 60_000, b"again", stable)
        new = await fs.again(end)
        data = bytearray(b"stable" * 20_000)
        data[60_000:60_005] = b"again"
        assert not difference(await new.read(file), data)

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_committed_data_stays(self, fs: Fs, end: str) -> None:
        file = await fs.file(b"f")
        for at in range(0, 200_000, 50_000):
            await fs.write(file, at, b"committed " * 5000, Stable.UNSTABLE)
        await fs.backend.commit(fs.ctx, file, 0, 0)
        assert not difference(await (await fs.again(end)).read(file), b"committed " * 20_000)

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_unstable_data_stays_or_the_verifier_changes(self, fs: Fs, end: str) -> None:
        file = await fs.file(b"f")
        verifier = fs.backend.verifier
        await fs.write(file, 0, b"unstable", Stable.UNSTABLE)
        new = await fs.again(end)
        same = new.backend.verifier == verifier
        assert not same or await new.read(file) == b"unstable", (
            "unstable data is lost, and the verifier is as before: the client will not write it "
            "again (RFC 1813 section 3.3.7)"
        )

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_lost_data_leaves_nothing_strange(self, fs: Fs, end: str) -> None:
        """What was not committed is new, or old, or zeros; what was, is untouched."""
        file = await fs.file(b"f")
        await fs.write(file, 0, b"o" * 100_000, Stable.FILE_SYNC)
        await fs.write(file, 50_000, b"n" * 100_000, Stable.UNSTABLE)
        data = await (await fs.again(end)).read(file)
        assert not difference(data[:50_000], b"o" * 50_000)
        assert set(data[50_000:100_000]) <= set(b"on")
        assert set(data[100_000:]) <= set(b"n\0")
        assert 100_000 <= len(data) <= 150_000

    @pytest.mark.parametrize("end", _ENDS)
    @pytest.mark.parametrize("change", _CHANGES)
    @case("write")
    async def test_an_answered_change_stays(self, fs: Fs, change: str, end: str) -> None:
        """What was acknowledged has happened, whatever ends the backend (RFC 1813 section 4.8)."""
        rule = _CHANGES[change]
        if reason := self.lacks(fs.limits, rule.need):
            pytest.skip(reason)
        dir = await fs.mkdir(b"d")
        if rule.kind == "file":
            key = await fs.file(b"x", b"data", dir)
        else:
            key = await fs.mkdir(b"x", dir)
        await rule.call(fs, dir, key)
        befores = {key: fixed(await fs.attr(key)) for key in (dir, fs.root)}
        if rule.names:
            befores[key] = fixed(await fs.attr(key))
        new = await fs.again(end)
        assert tuple(sorted(await new.names(dir))) == rule.names, f"{change} was answered"
        for known, before in befores.items():
            assert fixed(await new.attr(known)) == before, f"{change} was answered"
        if not rule.names:
            await new.check_stale(key)
        if change == "symlink":
            link = (await new.lookup(dir, b"new")).key
            assert (await new.backend.readlink(new.ctx, link)).target == b"target"

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_an_exclusive_create_is_remembered(self, fs: Fs, end: str) -> None:
        """A client that did not see the reply asks again after the restart."""
        made = await fs.create(fs.root, b"f", CreateMode.EXCLUSIVE, SetAttr(), _VERIFIER)
        new = await fs.again(end)
        again = await new.create(new.root, b"f", CreateMode.EXCLUSIVE, SetAttr(), _VERIFIER)
        assert again.attr.key == made.attr.key
        other = _VERIFIER[:7] + b"!"
        await refused(
            new.create(new.root, b"f", CreateMode.EXCLUSIVE, SetAttr(), other), Status.EXIST
        )

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_cookies_stay_valid(self, fs: Fs, end: str) -> None:
        """A client goes on with its listing: nothing tells it of the restart."""
        dir = await fs.mkdir(b"d")
        for number in range(60):
            await fs.file(b"name %d" % number, b"", dir)
        entries = await fs.entries(dir)
        new = await fs.again(end)
        for at in (1, 30, 59):
            rest = await new.names(dir, entries[at - 1].cookie)
            assert rest == [entry.name for entry in entries[at:]]

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_a_new_file_has_a_new_key_after_all(self, fs: Fs, end: str) -> None:
        """Numbers of before are not given again, neither those in use nor those that were."""
        keys = {await fs.file(b"%d" % number) for number in range(10)}
        for number in range(5, 10):
            await fs.remove(fs.root, b"%d" % number)
        new = await fs.again(end)
        for number in range(10, 30):
            assert await new.file(b"%d" % number) not in keys

    @pytest.mark.parametrize("end", _ENDS)
    @case("write")
    async def test_several_ends_in_a_row(self, fs: Fs, end: str) -> None:
        keys: list[Key] = []
        new = fs
        for number in range(4):
            keys.append(await new.file(b"%d" % number, b"%d" % number))
            new = await new.again(end)
        assert sorted(await new.names(new.root)) == [b"0", b"1", b"2", b"3"]
        for number, key in enumerate(keys):
            assert await new.read(key) == b"%d" % number

    @pytest.mark.parametrize("turns", [1, 2, 4])
    @case("write")
    async def test_a_crash_while_many_calls_run(self, fs: Fs, turns: int) -> None:
        """Those that were answered stay; each of the others has happened, or it has not."""
        if fs.backend.raw.blocking:
            pytest.skip("a thread cannot be stopped half way: `killable` does that")
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        for number in range(20):
            await fs.file(b"old %d" % number, b"", dir)
        acts = [fs.rename(dir, b"old %d" % number, other, b"%d" % number) for number in range(20)]
        acts += [_make(fs, dir, b"new %d" % number) for number in range(20)]
        tasks = [asyncio.ensure_future(act) for act in acts]
        for _ in range(turns):
            await asyncio.sleep(0)
        if not any(task.done() for task in tasks):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        answered = [task.done() and task.exception() is None for task in tasks]
        new = await fs.again("crash")
        here, there = await new.names(dir), await new.names(other)
        for number in range(20):
            places = (b"old %d" % number in here) + (b"%d" % number in there)
            assert places == 1, "a rename is done by half after the crash"
            assert not answered[number] or b"%d" % number in there
            assert not answered[20 + number] or b"new %d" % number in here
        for name in here:
            assert (await new.lookup(dir, name)).type is FileType.REG


async def _make(fs: Fs, dir: Key, name: bytes) -> None:
    try:
        await fs.create(dir, name)
    except FsError as error:
        assert error.status is not Status.EXIST
