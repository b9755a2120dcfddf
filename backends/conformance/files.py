"""SETATTR, WRITE and COMMIT: sizes, holes, times, guards, stability."""

from __future__ import annotations

import asyncio
import time

import pytest

from backends.base import NOW, FileType, Key, SetAttr, Stable, Status
from backends.conformance.kit import Fs, Kit, case, difference, fixed, refused

_SECOND = 10**9
_GIB = 2**30


class Files(Kit):
    """Regular files, and attributes of all files."""

    # Writing

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 1), (0, 4096), (1, 1), (4095, 2), (65535, 2), (65536, 1), (5, 200_000), (131_072, 7)],
    )
    @case("write")
    async def test_write_and_read_back(self, fs: Fs, offset: int, length: int) -> None:
        key = await fs.file(b"f")
        data = bytes(number * 7 % 251 + 1 for number in range(length))
        await fs.write(key, offset, data)
        assert (await fs.attr(key)).size == offset + length
        assert not difference(await fs.read(key), bytes(offset) + data)

    @case("write")
    async def test_overwriting_keeps_the_rest(self, fs: Fs) -> None:
        expected = bytearray(b"abc" * 70_000)
        key = await fs.file(b"f", bytes(expected))
        for offset, data in [(0, b"X"), (65_530, b"Y" * 12), (131_072, b"Z"), (209_999, b"end")]:
            await fs.write(key, offset, data)
            expected[offset : offset + len(data)] = data
        assert not difference(await fs.read(key), expected)

    @case("write")
    async def test_a_gap_reads_as_zeros(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"start")
        await fs.write(key, 200_000, b"end")
        await fs.write(key, 100_000, b"middle")
        data = bytearray(200_003)
        data[:5], data[100_000:100_006], data[200_000:] = b"start", b"middle", b"end"
        assert not difference(await fs.read(key), data)

    @pytest.mark.parametrize(
        "offset", [2**31 - 2, 2**32 - 3, 2**32, 2**32 + 1, 5 * _GIB + 12_345, 2**40]
    )
    @case("write", "sparse")
    async def test_offsets_beyond_4_gib(self, fs: Fs, offset: int) -> None:
        if offset + 6 > fs.limits.max_file_size:
            pytest.skip("beyond limits.max_file_size")
        key = await fs.file(b"f", b"start")
        await fs.write(key, offset, b"beyond")
        assert (await fs.attr(key)).size == offset + 6
        assert await fs.read(key, offset - 2, 10) == b"\0\0beyond"
        alias = offset % 2**32
        if 16 <= alias < offset:
            assert await fs.read(key, alias, 6) == bytes(6), "the offset was cut to 32 bits"
        assert await fs.read(key, 0, 5) == b"start"
        got = await fs.backend.read(fs.ctx, key, offset + 3, 3)
        assert got.eof

    @case("write", "sparse")
    async def test_holes_take_no_storage(self, fs: Fs) -> None:
        if fs.limits.max_file_size < 5 * _GIB:
            pytest.skip("beyond limits.max_file_size")
        key = await fs.file(b"f")
        await fs.setattr(key, SetAttr(size=5 * _GIB))
        await fs.write(key, 4 * _GIB, b"x")
        attr = await fs.attr(key)
        assert attr.size == 5 * _GIB
        assert attr.used < _GIB

    @pytest.mark.parametrize("offset", [0, 4, 100])
    @case("write")
    async def test_writing_nothing(self, fs: Fs, offset: int) -> None:
        key = await fs.file(b"f", b"data")
        done = await fs.backend.write(fs.ctx, key, offset, b"", Stable.FILE_SYNC)
        assert done.count == 0
        assert (await fs.attr(key)).size == 4
        assert await fs.read(key) == b"data"

    @pytest.mark.parametrize("stable", list(Stable))
    @case("write")
    async def test_write_is_as_stable_as_asked(self, fs: Fs, stable: Stable) -> None:
        key = await fs.file(b"f")
        done = await fs.backend.write(fs.ctx, key, 0, b"data", stable)
        assert 1 <= done.count <= 4
        assert done.stable >= stable
        assert await fs.read(key) == b"data"[: done.count]

    @pytest.mark.parametrize("stable", list(Stable))
    @case("write")
    async def test_write_tells_before_and_after(self, fs: Fs, stable: Stable) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(key)
        await fs.tick()
        done = await fs.backend.write(fs.ctx, key, 4, b"more", stable)
        await fs.check_wcc(done.wcc, before, key)
        after = await fs.attr(key)
        assert after.mtime > before.mtime
        assert after.ctime > before.ctime

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @case("write")
    async def test_write_copies_its_data(self, fs: Fs, kind: type) -> None:
        key = await fs.file(b"f")
        buffer = bytearray(b"data" * 30_000)
        await fs.write(key, 0, kind(buffer))
        # The server reuses its buffer for the next call.
        buffer[:] = bytes(len(buffer))
        assert not difference(await fs.read(key), b"data" * 30_000)

    @case("write")
    async def test_inline_write_copies_before_it_awaits(self, fs: Fs) -> None:
        if not fs.backend.inline:
            pytest.skip("the backend does not promise inline")
        key = await fs.file(b"f")
        buffer = bytearray(b"data" * 30_000)
        coroutine = fs.backend.write(fs.ctx, key, 0, memoryview(buffer), Stable.UNSTABLE)
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        buffer[:] = bytes(len(buffer))
        done = await task
        assert not difference(await fs.read(key), (b"data" * 30_000)[: done.count])

    @case("write")
    async def test_writes_at_the_same_time(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        pieces = [bytes([number + 1]) * 1000 for number in range(50)]
        await asyncio.gather(
            *(fs.write(key, at * 7 % 50 * 1000, pieces[at * 7 % 50]) for at in range(50))
        )
        assert not difference(await fs.read(key), b"".join(pieces))

    @case("write")
    async def test_write_to_what_is_no_file(self, fs: Fs) -> None:
        keys = [fs.root]
        if fs.limits.symlinks:
            keys.append(await fs.symlink(b"l", b"target"))
        for key in keys:
            before = fixed(await fs.attr(key))
            await refused(
                fs.backend.write(fs.ctx, key, 0, b"x", Stable.FILE_SYNC),
                Status.ISDIR,
                Status.INVAL,
            )
            assert fixed(await fs.attr(key)) == before

    @case("write")
    async def test_a_removed_file_is_stale_for_all(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        await fs.remove(fs.root, b"f")
        backend, ctx = fs.backend, fs.ctx
        await refused(backend.read(ctx, key, 0, 1), Status.STALE)
        await refused(backend.write(ctx, key, 0, b"x", Stable.UNSTABLE), Status.STALE)
        await refused(backend.commit(ctx, key, 0, 0), Status.STALE)
        await refused(backend.setattr(ctx, key, SetAttr(mode=0o600)), Status.STALE)
        await refused(backend.access(ctx, key, 1), Status.STALE)
        if fs.limits.links:
            await refused(backend.link(ctx, key, fs.root, b"new"), Status.STALE)
        assert not await fs.exists(fs.root, b"new")

    @pytest.mark.parametrize(("offset", "count"), [(0, 0), (0, 4), (2, 1), (0, 10_000)])
    @case("write")
    async def test_commit(self, fs: Fs, offset: int, count: int) -> None:
        key = await fs.file(b"f")
        await fs.write(key, 0, b"data", Stable.UNSTABLE)
        before, verifier = await fs.attr(key), fs.backend.verifier
        wcc = await fs.backend.commit(fs.ctx, key, offset, count)
        await fs.check_wcc(wcc, before, key)
        assert await fs.read(key) == b"data"
        assert fs.backend.verifier == verifier

    @case("write")
    async def test_verifier_is_constant_while_nothing_is_lost(self, fs: Fs) -> None:
        verifier = fs.backend.verifier
        key = await fs.file(b"f")
        for at, stable in enumerate([*Stable] * 3):
            await fs.write(key, at, b"x", stable)
            await fs.backend.commit(fs.ctx, key, 0, 0)
            assert fs.backend.verifier == verifier

    # Sizes

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 99_999])
    @case("write")
    async def test_truncate_and_grow_again(self, fs: Fs, size: int) -> None:
        data = b"abcd" * 25_000
        key = await fs.file(b"f", data)
        await fs.setattr(key, SetAttr(size=size))
        assert (await fs.attr(key)).size == size
        assert not difference(await fs.read(key), data[:size])
        await fs.setattr(key, SetAttr(size=100_000))
        assert not difference(await fs.read(key), data[:size].ljust(100_000, b"\0"))

    @case("write")
    async def test_write_behind_a_truncation(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"secret" * 20_000)
        await fs.setattr(key, SetAttr(size=2))
        await fs.write(key, 70_000, b"end")
        assert not difference(await fs.read(key), b"se" + bytes(69_998) + b"end")

    @case("write")
    async def test_a_size_changes_the_times(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(key)
        await fs.tick()
        wcc = await fs.setattr(key, SetAttr(size=1))
        await fs.check_wcc(wcc, before, key)
        after = await fs.attr(key)
        assert after.mtime > before.mtime
        assert after.ctime > before.ctime

    @pytest.mark.parametrize("kind", ["directory", "symlink"])
    @case("write")
    async def test_a_size_for_what_is_no_file(self, fs: Fs, kind: str) -> None:
        if kind == "symlink" and not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        key = await (fs.symlink(b"x", b"t") if kind == "symlink" else fs.mkdir(b"x", mode=0o755))
        before = fixed(await fs.attr(key))
        await refused(fs.setattr(key, SetAttr(size=0)), Status.ISDIR, Status.INVAL)
        # A link's mode may be refused for itself, so only a directory gets one.
        also = SetAttr(mtime=1, size=0, mode=0o500 if kind == "directory" else None)
        await refused(fs.setattr(key, also), Status.ISDIR, Status.INVAL)
        assert fixed(await fs.attr(key)) == before, "setattr is not all or nothing"

    # Attributes

    @pytest.mark.parametrize("mode", [0o000, 0o644, 0o755, 0o4711, 0o2711, 0o1777, 0o7777])
    @case("write")
    async def test_mode(self, fs: Fs, mode: int) -> None:
        for key in (await fs.file(b"f"), await fs.mkdir(b"d")):
            before = await fs.attr(key)
            await fs.tick()
            wcc = await fs.chmod(key, mode)
            await fs.check_wcc(wcc, before, key)
            after = await fs.attr(key)
            assert after.mode == mode
            assert after.mtime == before.mtime
            assert after.ctime > before.ctime
            assert after.type is before.type

    @case("write", "checks_permissions")
    async def test_owner_and_group(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await fs.chown(key, 1234, 5678)
        await fs.setattr(key, SetAttr(uid=1235))
        await fs.setattr(key, SetAttr(gid=2**31))
        attr = await fs.attr(key)
        assert (attr.uid, attr.gid) == (1235, 2**31)

    @pytest.mark.parametrize(
        "when", [0, 1, 1_700_000_000 * _SECOND + 123_456_789, (2**32 - 2) * _SECOND + 999_999_999]
    )
    @case("write", "set_times")
    async def test_explicit_times(self, fs: Fs, when: int) -> None:
        for key in (await fs.file(b"f"), await fs.mkdir(b"d")):
            before = await fs.attr(key)
            await fs.tick()
            await fs.setattr(key, SetAttr(atime=when, mtime=when + _SECOND))
            attr = await fs.attr(key)
            assert 0 <= when - attr.atime < fs.limits.time_delta
            assert 0 <= when + _SECOND - attr.mtime < fs.limits.time_delta
            assert attr.ctime > before.ctime

    @case("write", "set_times")
    async def test_one_time_leaves_the_other(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await fs.setattr(key, SetAttr(atime=5 * _SECOND, mtime=6 * _SECOND))
        await fs.setattr(key, SetAttr(atime=7 * _SECOND))
        attr = await fs.attr(key)
        assert (attr.atime, attr.mtime) == (7 * _SECOND, 6 * _SECOND)
        await fs.setattr(key, SetAttr(mtime=8 * _SECOND))
        attr = await fs.attr(key)
        assert (attr.atime, attr.mtime) == (7 * _SECOND, 8 * _SECOND)

    @case("write", "set_times")
    async def test_times_of_now(self, fs: Fs) -> None:
        key = await fs.file(b"f")
        await fs.setattr(key, SetAttr(atime=5 * _SECOND, mtime=6 * _SECOND))
        await fs.setattr(key, SetAttr(atime=NOW, mtime=NOW))
        attr = await fs.attr(key)
        for when in (attr.atime, attr.mtime):
            assert abs(when - time.time_ns()) < 100 * _SECOND

    @case("write", "set_times")
    async def test_explicit_mtime_beats_the_truncation(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        await fs.setattr(key, SetAttr(size=0, mtime=9 * _SECOND))
        attr = await fs.attr(key)
        assert (attr.size, attr.mtime) == (0, 9 * _SECOND)

    @case("write")
    async def test_several_attributes_at_once(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        await fs.setattr(key, SetAttr(mode=0o751, size=2))
        attr = await fs.attr(key)
        assert (attr.mode, attr.size) == (0o751, 2)

    @case("write")
    async def test_setting_nothing(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(key)
        wcc = await fs.setattr(key, SetAttr())
        await fs.check_wcc(wcc, before, key)
        after = await fs.attr(key)
        assert (after.mode, after.size, after.mtime) == (before.mode, 4, before.mtime)

    @case("write")
    async def test_guard_that_matches(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        await fs.setattr(key, SetAttr(mode=0o600), guard=(await fs.attr(key)).ctime)
        assert (await fs.attr(key)).mode == 0o600

    @pytest.mark.parametrize("off_by", [1, -1, _SECOND, -_SECOND])
    @case("write")
    async def test_guard_that_does_not_match(self, fs: Fs, off_by: int) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(key)
        await refused(
            fs.setattr(key, SetAttr(mode=0o600, size=0), guard=before.ctime + off_by),
            Status.NOT_SYNC,
        )
        assert fixed(await fs.attr(key)) == fixed(before)
        assert await fs.read(key) == b"data"

    @case("write")
    async def test_guard_from_before_a_change(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        guard = (await fs.attr(key)).ctime
        await fs.tick()
        await fs.write(key, 0, b"DATA")
        await refused(fs.setattr(key, SetAttr(size=0), guard=guard), Status.NOT_SYNC)
        assert await fs.read(key) == b"DATA"

    @case("write")
    async def test_reading_changes_no_ctime(self, fs: Fs) -> None:
        key = await fs.file(b"f", b"data")
        before = await fs.attr(key)
        await fs.tick()
        await fs.read(key)
        await fs.names(fs.root)
        assert fixed(await fs.attr(key)) == fixed(before)

    @case("write")
    async def test_statfs_of_a_file(self, fs: Fs) -> None:
        key: Key = await fs.file(b"f", b"data")
        assert (await fs.attr(key)).type is FileType.REG
        stat = await fs.backend.statfs(fs.ctx, key)
        assert stat.abytes <= stat.fbytes <= stat.tbytes
        assert stat.afiles <= stat.ffiles <= stat.tfiles
