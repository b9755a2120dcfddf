"""FIELD.md section 2, trap 11: what is on disk when WRITE and COMMIT say so."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from nfs_kit import OK, OPEN, World, check_wcc, each_backend, serving

import backends.posix.descriptors as seam
from backends.posix import PosixBackend
from nfsloop.export import Options
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop


class Disk:
    """Stands for fsync and fdatasync: counts, and fails when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fails = 0
        monkeypatch.setattr(seam, "fsync", self._doing("fsync", os.fsync))
        monkeypatch.setattr(seam, "fdatasync", self._doing("fdatasync", os.fdatasync))

    def _doing(self, name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def do(fd: int) -> None:
            self.calls.append(name)
            if self.fails:
                raise OSError(self.fails, os.strerror(self.fails))
            call(fd)

        return do

    def take(self) -> list[str]:
        """What was called since."""
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@each_backend("posix")
async def test_trap_11_each_stability_is_what_it_says(w: World, disk: Disk) -> None:
    """UNSTABLE syncs nothing, DATA_SYNC data, FILE_SYNC the file; COMMIT what came before it."""
    file = await w.create(w.root, b"f")
    disk.take()
    for stable, expected in (
        (x.UNSTABLE, []),
        (x.DATA_SYNC, ["fdatasync"]),
        (x.FILE_SYNC, ["fsync"]),
        (x.UNSTABLE, []),
    ):
        done = await w.write(file, b"data", stable=stable)
        assert done.committed >= stable
        assert disk.take() == expected, stable
    committed = (await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok
    assert len(disk.take()) == 1
    assert committed.verf == done.verf
    assert (await w.nfs.COMMIT(x.COMMIT3args(file, 1 << 40, 100))).status == OK


@each_backend("memory")
async def test_trap_11_memory_says_what_was_asked_for(w: World) -> None:
    """At least; and its verifier does not change while it lives."""
    file = await w.create(w.root, b"f")
    verifiers = set()
    for stable in (x.UNSTABLE, x.DATA_SYNC, x.FILE_SYNC):
        done = await w.write(file, b"data", stable=stable)
        assert done.committed >= stable
        verifiers.add(done.verf)
    verifiers.add((await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok.verf)
    assert len(verifiers) == 1


def test_trap_11_async_answers_before_the_disk_does(tmp_path: Path, disk: Disk) -> None:
    """As exports(5) has it, and only where it was asked for."""
    assert Options.parse("sync") == Options() and not Options.parse("async").sync

    async def main() -> None:
        (tmp_path / "export").mkdir()
        lazy = PosixBackend(tmp_path / "export", state=None, sync=False)
        async with serving("posix", tmp_path, backend=lazy) as w:
            file = await w.create(w.root, b"f")
            for stable in (x.DATA_SYNC, x.FILE_SYNC):
                assert (await w.write(file, b"data", stable=stable)).committed == stable
            assert (await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).status == OK
            assert disk.take() == []

    loop.run(main())


STATUSES = [
    (errno.EIO, x.NFS3ERR_IO),
    (errno.ENOSPC, x.NFS3ERR_NOSPC),
    (errno.EDQUOT, x.NFS3ERR_DQUOT),
]


@each_backend("posix")
@pytest.mark.parametrize(("number", "status"), STATUSES)
async def test_trap_11_commit_reports_the_error_and_the_verifier_changes(
    w: World, disk: Disk, number: int, status: x.nfsstat3
) -> None:
    """So that the client, which must send again what was lost, gets to know it."""
    file = await w.create(w.root, b"f")
    old = (await w.write(file, b"data")).verf
    assert (await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok.verf == old
    disk.fails = number
    failed = await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))
    assert failed.status == status
    disk.fails = 0
    new = (await w.write(file, b"data")).verf
    assert new != old
    assert (await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok.verf == new
    assert await w.read(file) == b"data"


@each_backend("posix")
@pytest.mark.parametrize("stable", [x.DATA_SYNC, x.FILE_SYNC])
async def test_trap_11_a_stable_write_reports_the_error_too(
    w: World, disk: Disk, stable: x.stable_how
) -> None:
    """And then the verifier is another one for UNSTABLE data that waited beside it."""
    file, other = await w.create(w.root, b"f"), await w.create(w.root, b"g")
    old = (await w.write(other, b"waiting")).verf
    disk.fails = errno.EIO
    res = await w.nfs.WRITE(x.WRITE3args(file, 0, 4, stable, b"data"))
    assert res.status == x.NFS3ERR_IO
    disk.fails = 0
    assert (await w.nfs.COMMIT(x.COMMIT3args(other, 0, 0))).resok.verf != old


@each_backend("posix")
async def test_trap_11_one_sync_serves_all_that_wait_for_it(w: World, disk: Disk) -> None:
    """Many stable writes at once: each is answered after a sync that began after it."""
    file = await w.create(w.root, b"f")
    disk.take()
    writes = [
        w.nfs.WRITE(x.WRITE3args(file, 8 * n, 8, x.FILE_SYNC, b"%08d" % n)) for n in range(50)
    ]
    results = await asyncio.gather(*writes)
    assert {res.resok.committed for res in results} == {x.FILE_SYNC}
    assert 1 <= len(disk.take()) <= 50
    assert await w.read(file) == b"".join(b"%08d" % n for n in range(50))


def test_trap_11_the_verifier_changes_with_a_restart(tmp_path: Path) -> None:
    """UNSTABLE data may be lost then; memory's surely is."""

    async def verifier(kind: str) -> bytes:
        async with serving(kind, tmp_path, OPEN) as w:
            file = (await w.nfs.CREATE(create(w))).resok.obj
            assert file is not None
            done = await w.write(file, b"data")
            assert (await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok.verf == done.verf
            return done.verf

    def create(w: World) -> x.CREATE3args:
        how = x.createhow3(x.EXCLUSIVE, b"\0" * 8)
        name = b"f%d" % len(os.listdir(w.path)) if w.kind == "posix" else b"f"
        return x.CREATE3args(x.diropargs3(w.root, name), how)

    for kind in ("posix", "memory"):
        assert len({loop.run(verifier(kind)) for _ in range(3)}) == 3


@each_backend()
async def test_trap_11_weak_cache_data_of_writes_is_real(w: World) -> None:
    """Size and times before and after, for each write; a commit changes nothing."""
    file = await w.create(w.root, b"f")
    for number, stable in enumerate((x.UNSTABLE, x.DATA_SYNC, x.FILE_SYNC, x.UNSTABLE)):
        old = await w.attr(file)
        await asyncio.sleep(0.005)  # the kernel's clock for times ticks every 4 ms
        done = await w.write(file, b"0123456789", number * 10, stable)
        new = await w.attr(file)
        check_wcc(done.file_wcc, old, new)
        assert new.size == old.size + 10
        assert (new.mtime.seconds, new.mtime.nseconds) > (old.mtime.seconds, old.mtime.nseconds)
    old = await w.attr(file)
    check_wcc((await w.nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok.file_wcc, old, old)


@each_backend()
async def test_trap_11_count_and_data_that_differ(w: World) -> None:
    """Fewer than came are written; more than came is INVAL."""
    file = await w.create(w.root, b"f")
    res = await w.nfs.WRITE(x.WRITE3args(file, 0, 3, x.UNSTABLE, b"abcdef"))
    assert res.resok.count == 3 and await w.read(file) == b"abc"
    assert await w.status("WRITE", file, 0, 7, x.UNSTABLE, b"abcdef") == "INVAL"
    assert await w.status("WRITE", file, 10, 0, x.UNSTABLE, b"") == "OK"
    assert await w.read(file) == b"abc"
