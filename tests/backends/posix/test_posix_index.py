"""The index when its directory fails it, its files' modes, start and stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from posix_kit import ROOT, World, needs_root, place

from backends.base import Key, SetAttr
from backends.posix import PosixBackend
from backends.posix import index as index_module
from backends.posix.index import JOURNALS, PENDING_ENTRIES, Index, Link


def fill(index: Index, first: int = 0) -> None:
    """As many entries as are worth a flush."""
    for number in range(first, first + PENDING_ENTRIES):
        index.add(number + 100, 1, 2, b"%d" % number)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """A thread to flush in."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def descriptors() -> dict[str, str]:
    """What this process has open."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass
    return found


# The journal


@pytest.mark.parametrize("gone", [True, False], ids=["removed", "not a directory"])
def test_a_journal_that_cannot_be_opened_leaves_the_old_one(
    tmp_path: Path, executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture, gone: bool
) -> None:
    """Its number, closed, becomes another file's: records landed there, and it was closed."""
    state, away = tmp_path / "state", tmp_path / "away"
    state.mkdir()
    index = Index(state, b"/export")
    index.open()
    journal = index._journal
    fill(index)
    state.rename(away)
    if not gone:
        state.write_bytes(b"")
    caplog.set_level(logging.INFO, "nfsloop.posix")
    opened: list[int] = []
    for number in range(3):
        assert index.full
        index.flush(executor)
        assert not index.full, "it is tried again at once"
        index._retry_at = 0.0
        opened.append(os.open(tmp_path / f"user{number}", os.O_RDWR | os.O_CREAT))
        index.add(5, 7, 2, b"five%d" % number)
    assert len(caplog.records) == 1
    assert index._journal == journal
    for fd in opened:
        assert os.fstat(fd).st_size == 0
        os.close(fd)
    assert Link(2, b"five2", 7) in index.links(5)
    if not gone:
        state.unlink()
    away.rename(state)
    index.flush(executor)
    assert index._flush is not None
    index._flush.result()
    index.flushed()
    index.close()
    again = Index(state, b"/export")
    again.open()
    assert len(again.links(5)) == 3
    assert again.links(100) == [Link(2, b"0", 1)]
    again.close()


def test_no_descriptor_is_closed_twice(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path, b"/export")
    index.open()
    closed: list[int] = []
    real = os.close

    def close(fd: int) -> None:
        closed.append(fd)
        real(fd)

    fill(index)
    shutil.rmtree(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        for _ in range(3):
            index._retry_at = 0.0
            index.flush(executor)
        assert closed == []
        with suppress(sqlite3.Error):
            index.close()
        index.close()
        index.add(1, 1, 1, b"one")
    assert len(closed) == len(set(closed)) == 1


# The state directory is full


class Full:
    """A device without space, for one journal and for the table."""

    def __init__(self, index: Index, patch: pytest.MonkeyPatch) -> None:
        self.journal = self.table = True
        real_write, real_move = os.write, Index._move

        def write(fd: int, data: bytes) -> int:
            if self.journal and fd == index._journal:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real_write(fd, data)

        def move(*args: Any) -> None:
            if self.table:
                raise sqlite3.OperationalError("database or disk is full")
            real_move(*args)

        patch.setattr(os, "write", write)
        patch.setattr(Index, "_move", staticmethod(move))


def test_what_could_not_be_written_is_written_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it is only known until the server ends: then clients' files are stale."""
    index = Index(tmp_path, b"/export")
    index.open()
    index.add(1, 7, 2, b"before")
    index.add(9, 7, 2, b"gone")
    assert index.wrong() is None
    full = Full(index, monkeypatch)
    for number in range(100):
        index.add(5, 7, 2, b"five%d" % number)
    index.remove(9, 2, b"gone")
    index.alias(3, 4, 5)
    wrong = index.wrong()
    assert wrong is not None and "No space left" in wrong and "stale" in wrong
    index.mend()
    assert index.wrong() == wrong
    assert len(caplog.records) == 1, "a line for each call"
    full.journal = False
    index.mend()
    assert index.wrong() is None
    index.add(6, 7, 2, b"after")
    crashed, full.table = index, False
    again = Index(tmp_path, b"/export")
    again.open()
    assert again.links(1) == [Link(2, b"before", 7)] and again.links(6) == [Link(2, b"after", 7)]
    assert len(again.links(5)) == 100 and not again.links(9)
    assert again.issued(3, 4) == 5
    again.close()
    crashed._shut()


def test_at_the_end_the_journal_is_tried_where_the_table_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path, b"/export")
    index.open()
    with monkeypatch.context() as patch:
        full = Full(index, patch)
        index.add(5, 7, 2, b"five")
        full.journal = False
        index.close()
    again = Index(tmp_path, b"/export")
    again.open()
    assert again.links(5) == [Link(2, b"five", 7)]
    with monkeypatch.context() as patch:
        Full(again, patch)
        again.add(6, 7, 2, b"six")
        with pytest.raises(OSError, match=r"lacks 1 files .* stale"):
            again.close()
        assert again._journal < 0 and again._table is None


def test_flushes_that_fail_leave_so_many_journals(
    tmp_path: Path,
    executor: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And once one succeeds, all has come to the table."""
    index = Index(tmp_path, b"/export")
    index.open()
    full = Full(index, monkeypatch)
    full.journal = False
    fill(index)
    for number in range(JOURNALS + 4):
        index._retry_at = 0.0
        assert index.full, "it is not tried again"
        index.flush(executor)
        index.add(5, 7, 2, b"five%d" % number)
        assert index._flush is not None
        index._flush.exception()
        index.flushed()
        assert not index.full
    assert index.wrong() == "database or disk is full"
    assert len(list(tmp_path.glob("*.journal"))) == JOURNALS
    assert len(caplog.records) == 1
    full.table, index._retry_at = False, 0.0
    index.flush(executor)
    assert index._flush is not None
    index._flush.result()
    index.flushed()
    assert index.wrong() is None
    index.close()
    again = Index(tmp_path, b"/export")
    again.open()
    assert len(again.links(5)) == JOURNALS + 4 and again.links(100) == [Link(2, b"0", 1)]
    again.close()


def test_the_backend_says_that_it_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with place("tmpfs") as here:
        world = World(here, index=True)
        world.make("f")
        assert world.run(world.fs.health()) is None
        with monkeypatch.context() as patch:
            full = Full(world.fs._index, patch)
            world.make("g")
            said = world.run(world.fs.health())
            assert said is not None and "cannot be written: No space left" in said
            full.journal = False
            world.fs._sweep()
        assert world.run(world.fs.health()) is None
        world.close()


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "overlay"])
def test_files_are_whole_while_the_state_directory_is_gone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "PENDING_ENTRIES", 10)
    with place(kind) as here:
        world = World(here, index=True)
        (world.export / "mine").write_bytes(b"mine")
        (world.export / "other").write_bytes(b"other")
        for number in range(20):
            world.make(f"f{number}")
        shutil.rmtree(world.state)
        keys: dict[str, Key] = {}
        for name in ("mine", "other"):
            keys[name] = world.key(name)
            world.fs._index._retry_at = 0.0
            world.fs._sweep()
        for name in ("v0", "v1", "v2"):
            keys[name] = world.make(name, name.encode())
            world.fs._sweep()
        for name, key in keys.items():
            assert world.read(key) == name.encode()
            assert (world.export / name).read_bytes() == name.encode()
        with suppress(sqlite3.Error):
            world.close()


# Aliases


def failing(base: Path) -> sqlite3.Connection:
    """A disk that is full."""
    raise sqlite3.OperationalError(f"database or disk is full: {base}")


@pytest.mark.parametrize("then", ["flushed", "close"])
def test_a_failed_flush_keeps_aliases(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    index = Index(tmp_path, b"/export")
    index.open()
    index.add(9, 10, 2, b"nine")
    index.alias(9, 20, 10)
    index.alias(9, 30, 10)
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "_connect", failing)
        index.flush(executor)
        assert index._flush is not None
        assert index._flush.exception() is not None
    index.alias(9, 20, 11)  # the newer one counts
    if then == "flushed":
        index.flushed()
        assert index._new_aliases == [(9, 20, 10), (9, 30, 10), (9, 20, 11)]
        index.flush(executor)
        assert index._flush is not None
        index._flush.result()
        index.flushed()
    index.close()
    assert not list(tmp_path.glob("*.journal"))
    again = Index(tmp_path, b"/export")
    again.open()
    assert (again.issued(9, 20), again.issued(9, 30)) == (11, 10)
    assert again.links(9) == [Link(2, b"nine", 10)]
    again.close()


def test_a_flush_that_no_thread_takes_loses_nothing(tmp_path: Path) -> None:
    index = Index(tmp_path, b"/export")
    index.open()
    index.add(9, 10, 2, b"nine")
    index.alias(9, 20, 10)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        index.flush(pool)
    assert index._new_aliases == [(9, 20, 10)]
    assert index._pending and not index._moving
    index.close()
    again = Index(tmp_path, b"/export")
    again.open()
    assert again.issued(9, 20) == 10
    assert again.links(9)
    again.close()


@needs_root
def test_a_copied_up_file_survives_a_failed_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    with place("overlay") as here:
        world = World(here)
        low = world.key("low")
        world.run(world.fs.setattr(ROOT, low, SetAttr(mode=0o600)))
        with monkeypatch.context() as patch:
            patch.setattr(index_module, "_connect", failing)
            world.fs._index.flush(world.fs._pool)
            assert world.fs._index._flush is not None
            world.fs._index._flush.exception()
            world.fs._index.flushed()
        world.restart()
        assert world.read(low) == b"low"
        assert world.key("low") == low
        world.close()


# Modes


def modes(state: Path) -> dict[str, str]:
    """What others may do with the index's files, if anything."""
    return {
        path.name: oct(stat.S_IMODE(path.stat().st_mode))
        for path in state.iterdir()
        if path.stat().st_mode & 0o077
    }


def test_nobody_else_reads_the_index(tmp_path: Path) -> None:
    os.umask(0o022)
    (tmp_path / "export").mkdir()
    state = tmp_path / "above" / "state"

    async def serve() -> None:
        fs = PosixBackend(tmp_path / "export", state=state)
        await fs.start()
        try:
            assert stat.S_IMODE(state.stat().st_mode) == 0o700
            assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
            assert len(list(state.iterdir())) >= 2
            assert modes(state) == {}
        finally:
            await fs.stop()
        assert modes(state) == {}

    asyncio.run(serve())
    for path in state.iterdir():  # an earlier release's
        path.chmod(0o644)
    (table,) = state.glob("*.db")
    asyncio.run(serve())
    table.write_bytes(b"no table at all" * 1000)
    asyncio.run(serve())
    os.umask(0o022)


def test_a_given_state_directory_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o750)
    (tmp_path / "link").symlink_to("state")

    async def serve() -> None:
        for name in ("state", "link"):
            fs = PosixBackend(tmp_path / "export", state=tmp_path / name)
            await fs.start()
            await fs.stop()

    asyncio.run(serve())
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o750
    os.umask(0o022)


# Start and stop


def test_a_failed_start_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "file").write_bytes(b"")

    async def start(where: Path, state: Path | None) -> None:
        fs = PosixBackend(where, state=state)
        with pytest.raises(OSError):
            await fs.start()
        await fs.stop()
        await fs.stop()

    def no_limits(fs: PosixBackend) -> None:
        raise OSError(5, "no limits")

    def no_move(*what: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def main() -> None:
        before = descriptors()
        await start(tmp_path / "missing", None)
        await start(tmp_path / "file", None)
        await start(tmp_path / "export", tmp_path / "file")
        await start(tmp_path / "export", tmp_path / "file" / "beneath")
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(PosixBackend, "_learn_limits", no_limits)
                await start(tmp_path / "export", tmp_path / "state")
            with monkeypatch.context() as patch:
                patch.setattr(Index, "_move", staticmethod(no_move))
                await start(tmp_path / "export", tmp_path / "state")
        assert descriptors() == before

    asyncio.run(main())
    os.umask(0o022)


def test_stop_twice(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()

    async def main() -> None:
        fs = PosixBackend(tmp_path / "export", state=tmp_path / "state")
        await fs.stop()  # never started
        before = descriptors()
        for _ in range(2):
            await fs.start()
            await asyncio.gather(fs.stop(), fs.stop())
            await fs.stop()
        assert len(descriptors()) <= len(before) + 1  # the thread that waits for threads

    asyncio.run(main())
    os.umask(0o022)
