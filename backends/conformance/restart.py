"""What a backend with storage keeps over a restart: tests for those that give `Kit.reopen`."""

from __future__ import annotations

import pytest

from backends.base import Key, Stable
from backends.conformance.kit import Fs, Kit, case, fixed, start


class Restart(Kit):
    """Keys and data over stop and reopen."""

    async def _restart(self, fs: Fs) -> Fs:
        """Stop, and start what `reopen` gives; at the end of the test that is stopped."""
        await fs.stop()
        backend = self.reopen(fs.tmp_path)
        if backend is None:
            pytest.skip("the backend has no reopen hook: nothing outlives it")
        new = await start(self, backend, fs.tmp_path)
        fs.replaced_by = new
        return new

    @case("write")
    async def test_the_root_key_stays_valid(self, fs: Fs) -> None:
        assert (await self._restart(fs)).root == fs.root

    @case("write")
    async def test_keys_and_data_stay_valid(self, fs: Fs) -> None:
        dir = await fs.mkdir(b"d")
        file = await fs.file(b"f", b"data" * 1000, dir)
        before = [fixed(await fs.attr(key)) for key in (dir, file)]
        new = await self._restart(fs)
        assert [fixed(await new.attr(key)) for key in (dir, file)] == before
        assert await new.read(file) == b"data" * 1000
        assert (await new.lookup(dir, b"f")).key == file
        await new.write(file, 0, b"DATA")
        await new.file(b"g", b"", dir)

    @case("write")
    async def test_keys_of_renamed_files_stay_valid(self, fs: Fs) -> None:
        dir, other = await fs.mkdir(b"d"), await fs.mkdir(b"e")
        file = await fs.file(b"f", b"data", dir)
        await fs.rename(dir, b"f", other, b"g")
        await fs.rename(fs.root, b"e", dir, b"moved")
        new = await self._restart(fs)
        assert await new.read(file) == b"data"
        assert (await new.lookup(other, b"g")).key == file

    @case("write")
    async def test_keys_of_removed_files_stay_stale(self, fs: Fs) -> None:
        gone: list[Key] = [await fs.file(b"f"), await fs.mkdir(b"d")]
        await fs.remove(fs.root, b"f")
        await fs.rmdir(fs.root, b"d")
        new = await self._restart(fs)
        for number in range(20):
            # What is made now may get their numbers, but not their keys.
            await new.file(b"new %d" % number)
        for key in gone:
            await new.check_stale(key)

    @case("write", "links")
    async def test_a_key_outlives_the_name_it_was_made_by(self, fs: Fs) -> None:
        file = await fs.file(b"f", b"data")
        await fs.link(file, fs.root, b"g")
        await fs.remove(fs.root, b"f")
        new = await self._restart(fs)
        assert await new.read(file) == b"data"

    @pytest.mark.parametrize("stable", [Stable.DATA_SYNC, Stable.FILE_SYNC])
    @case("write")
    async def test_stable_data_stays(self, fs: Fs, stable: Stable) -> None:
        file = await fs.file(b"f")
        await fs.write(file, 0, b"stable", stable)
        assert await (await self._restart(fs)).read(file) == b"stable"

    @case("write")
    async def test_committed_data_stays(self, fs: Fs) -> None:
        file = await fs.file(b"f")
        await fs.write(file, 0, b"committed", Stable.UNSTABLE)
        await fs.backend.commit(fs.ctx, file, 0, 0)
        assert await (await self._restart(fs)).read(file) == b"committed"

    @case("write")
    async def test_unstable_data_stays_or_the_verifier_changes(self, fs: Fs) -> None:
        file = await fs.file(b"f")
        verifier = fs.backend.verifier
        await fs.write(file, 0, b"unstable", Stable.UNSTABLE)
        new = await self._restart(fs)
        assert new.backend.verifier != verifier or await new.read(file) == b"unstable"
