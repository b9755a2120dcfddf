"""The room that the SQLite backend keeps for when others fill the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from backends.base import Context, CreateMode, Key, SetAttr, Stable
from backends.sqlite import SqliteBackend, reserve
from backends.sqlite.engine import SqliteEngine

CTX = Context()
UNSTABLE = Stable.UNSTABLE


async def make(fs: SqliteBackend, name: bytes = b"f") -> Key:
    root = (await fs.root(CTX)).key
    return (await fs.create(CTX, root, name, CreateMode.GUARDED, SetAttr(mode=0o644), b"")).attr.key


class _Full:
    """A connection that finds the disk full for one statement, as long as the reserve is kept."""

    def __init__(self, used: SqliteEngine, statement: str) -> None:
        self._used, self._db = used, used.db
        self._statement = statement
        self.seen = 0

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        self.seen += statement.startswith(self._statement)
        if statement.startswith(self._statement) and self._used._reserve.kept:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return self._db.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@pytest.mark.parametrize("what", ["commit", "log", "stop"])
def test_a_reserve_for_when_others_fill_the_disk(
    tmp_path: Path, what: str, monkeypatch: Any
) -> None:
    """What must be written for files to be removed has room: the log, and where it is moved to."""
    path = tmp_path / "fs.db"

    async def main() -> None:
        fs = SqliteBackend(path)
        await fs.start()
        used, root, key = fs.engine, (await fs.root(CTX)).key, await make(fs)
        assert isinstance(used, SqliteEngine)
        for number in range(24):
            await fs.write(CTX, key, number << 17, b"x" * (1 << 17), UNSTABLE)
            log = (tmp_path / "fs.db-wal").stat().st_size
            kept = used._reserve.kept
            assert kept >= log
            assert used._reserve._file is not None
            assert os.fstat(used._reserve._file.fileno()).st_blocks * 512 >= kept
        assert log > 3 << 20
        assert kept < 3 * log
        verifier = fs.verifier
        with monkeypatch.context() as patch:
            patch.setattr(used, "_outside", lambda: -1)  # it is full, and stays so
            full = _Full(used, "COMMIT" if what == "commit" else "PRAGMA wal_checkpoint")
            patch.setattr(used, "_connection", full)
            if what == "commit":
                with pytest.raises(OSError) as caught:
                    await fs.remove(CTX, root, b"f")
                assert caught.value.errno == errno.ENOSPC
            elif what == "log":
                used.logged = 1 << 30
            else:
                await fs.stop()
                assert os.listdir(tmp_path) == ["fs.db"]
                assert used._reserve._file is None
                assert full.seen == 2, "it was moved by us, whom errors do not escape"
                return
            await fs.remove(CTX, root, b"f")
            assert full.seen == 2
            assert used._reserve.kept == 0, "it must not take back what the log needs"
        await make(fs, b"g")
        assert used._reserve.kept > 0, "it is there again when there is room"
        assert fs.verifier == verifier
        assert await fs.health() is None
        await fs.stop()

    asyncio.run(main())


def test_a_reserve_has_a_most_and_needs_no_room(tmp_path: Path, monkeypatch: Any) -> None:
    kept = reserve.Reserve(3 << 20)
    kept.keep(tmp_path, 10 << 20)
    assert kept.kept == 3 << 20
    assert kept.give_back()
    assert not kept.give_back()
    assert os.listdir(tmp_path) == []

    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    kept.keep(tmp_path, 1)
    assert kept.kept == 0
    monkeypatch.undo()
    monkeypatch.setattr(os, "O_TMPFILE", os.O_CREAT | os.O_EXCL)  # on a directory: EEXIST
    kept.keep(tmp_path, 1)
    assert kept.kept == reserve.STEP_BYTES
    assert os.listdir(tmp_path) == []
    kept.give_back()
