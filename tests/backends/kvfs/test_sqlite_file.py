"""The SQLite backend: its file, its locks, its errors, what is synced when."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.base import Context, CreateMode, FsError, Key, SetAttr, Stable, Status
from backends.sqlite import SqliteBackend, engine
from backends.sqlite.engine import SqliteEngine

CTX = Context()
ROOT_DIRECTORY = Path(__file__).resolve().parents[3]
UNSTABLE, FILE_SYNC = Stable.UNSTABLE, Stable.FILE_SYNC


async def make(fs: SqliteBackend, name: bytes = b"f") -> Key:
    root = (await fs.root(CTX)).key
    attr = SetAttr(mode=0o644)
    return (await fs.create(CTX, root, name, CreateMode.GUARDED, attr, b"")).attr.key


def run(path: Path, body: Callable[[SqliteBackend], Awaitable[None]]) -> None:
    async def main() -> None:
        fs = SqliteBackend(path)
        await fs.start()
        try:
            await body(fs)
            assert await fs.fsck() == []
        finally:
            await fs.stop()

    asyncio.run(main())


def refusal(path: Path) -> str:
    """Why a file is not opened: one line; and it is left as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OSError) as caught:
        asyncio.run(SqliteBackend(path).start())
    text = str(caught.value)
    assert "\n" not in text
    assert str(path.parent) in text
    assert (path.read_bytes() if path.is_file() else None) == before
    return text


def test_after_a_stop_there_is_one_file(tmp_path: Path) -> None:
    path, copy = tmp_path / "fs.db", tmp_path / "copy.db"

    async def write(fs: SqliteBackend) -> None:
        await fs.write(CTX, await make(fs), 0, b"data", UNSTABLE)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["fs.db", "fs.db-wal"]
        assert str(path) in fs.describe()
        assert "2 inodes" in fs.describe()
        assert await fs.health() is None

    async def read(fs: SqliteBackend) -> None:
        found = await fs.lookup(CTX, (await fs.root(CTX)).key, b"f")
        assert (await fs.read(CTX, found.attr.key, 0, 10)).data == b"data"

    run(path, write)
    assert [file.name for file in tmp_path.iterdir()] == ["fs.db"]
    shutil.copyfile(path, copy)
    run(copy, read)


def test_files_that_are_not_opened(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"no database at all, but long enough to have a header" * 100)
    assert "is no file of SQLite" in refusal(text)
    assert "is a directory" in refusal(tmp_path / ".")
    assert "is no directory" in refusal(tmp_path / "missing" / "fs.db")
    assert "must be writable" in refusal(Path("/proc/fs.db"))
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE pair (a)")
    db.close()
    assert "of another application" in refusal(other)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA application_id={engine.APPLICATION_ID}")
        db.execute("PRAGMA user_version=7")
    db.close()
    assert "is of format 7; this version of nfsloop knows 1" in refusal(newer)
    with pytest.raises(ValueError, match="needs the path of a file"):
        SqliteBackend(Path(""))


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "fs.db"
    path.touch()

    async def body(fs: SqliteBackend) -> None:
        await make(fs)

    run(path, body)


async def _start_and_stop(path: Path) -> None:
    fs = SqliteBackend(path)
    await fs.start()
    await fs.stop()


_HOLD = """
import asyncio, sys
from pathlib import Path
from backends.sqlite import SqliteBackend
asyncio.run(SqliteBackend(Path(sys.argv[1])).start())
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python with a program and arguments; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *args: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT_DIRECTORY)},
        )
        started.append(child)
        return child

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_one_process_serves_it(tmp_path: Path, child: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "OPEN_SECONDS", 0)
    path = tmp_path / "fs.db"
    asyncio.run(_start_and_stop(path))
    held = child(_HOLD, path)
    assert held.stdout.readline() == "started\n"
    with pytest.raises(OSError, match="is in use by another process"):
        asyncio.run(SqliteBackend(path).start())
    # The lock is gone with the process, however it ends.
    held.kill()
    held.wait()
    asyncio.run(_start_and_stop(path))


def test_nor_twice_in_one_process(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "OPEN_SECONDS", 0)
    path = tmp_path / "fs.db"

    async def body(fs: SqliteBackend) -> None:
        with pytest.raises(OSError, match="is in use"):
            await SqliteBackend(path).start()
        await make(fs)

    run(path, body)


def test_a_look_at_the_file_gives_it_to_nobody(
    tmp_path: Path, child: Any, monkeypatch: Any
) -> None:
    """Locks of POSIX go when their process closes the file, whichever descriptor that was."""
    monkeypatch.setattr(engine, "OPEN_SECONDS", 0)
    path, link = tmp_path / "fs.db", tmp_path / "link.db"

    async def body(fs: SqliteBackend) -> None:
        path.read_bytes()
        link.symlink_to(path.name)
        # Nor do attempts of this process.
        for name in (path, link):
            with pytest.raises(OSError, match="is in use"):
                await SqliteBackend(name).start()
        other = child(_HOLD, path)
        assert other.stdout.readline() == "", "another process has it"
        assert other.wait() == 1
        log = path.with_name("fs.db-wal").stat()
        await make(fs)
        assert path.with_name("fs.db-wal").stat().st_ino == log.st_ino

    run(path, body)
    asyncio.run(_start_and_stop(path))


def test_locks_of_sqlite_outlive_an_attempt_of_this_process(
    tmp_path: Path, child: Any, monkeypatch: Any
) -> None:
    """They are what other programs respect."""
    monkeypatch.setattr(engine, "OPEN_SECONDS", 0)
    path = tmp_path / "fs.db"

    async def body(fs: SqliteBackend) -> None:
        with pytest.raises(OSError, match="is in use"):
            await SqliteBackend(path).start()
        other = child(_LOOK, path)
        assert "locked" in other.communicate(timeout=50)[0]

    run(path, body)


_LOOK = """
import sqlite3, sys
try:
    print(sqlite3.connect(sys.argv[1], timeout=0).execute("SELECT * FROM pair").fetchall())
except sqlite3.OperationalError as exc:
    print(exc)
"""


def test_a_refused_file_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "fs.db"
    path.write_bytes(b"no database at all, but long enough to have a header" * 100)
    assert "is no file of SQLite" in refusal(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert "is no file of SQLite" in refusal(path)
    assert len(os.listdir("/proc/self/fd")) == before
    path.unlink()
    asyncio.run(_start_and_stop(path))
    asyncio.run(_start_and_stop(path))
    assert len(os.listdir("/proc/self/fd")) == before


# Errors of the storage


def test_full(tmp_path: Path) -> None:
    path = tmp_path / "fs.db"

    async def body(fs: SqliteBackend) -> None:
        root, key = (await fs.root(CTX)).key, await make(fs)
        db = fs.engine.db  # type: ignore[attr-defined]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages + 20}")
        written = 0
        with pytest.raises(OSError) as caught:
            for _ in range(50):
                await fs.write(CTX, key, written, b"x" * 32_768, FILE_SYNC)
                written += 32_768
        assert caught.value.errno == errno.ENOSPC
        assert written >= 32_768
        assert (await fs.getattr(CTX, key)).size == written
        assert (await fs.read(CTX, key, 0, 1 << 20)).data == b"x" * written
        assert await fs.fsck() == []
        verifier = fs.verifier
        await fs.remove(CTX, root, b"f")
        key = await make(fs, b"g")
        await fs.write(CTX, key, 0, b"x" * 32_768, FILE_SYNC)
        assert fs.verifier == verifier, "a full disk loses nothing"
        assert await fs.health() is None

    run(path, body)


_SMALL_FILES = """
import asyncio, errno, resource, signal, sys
from pathlib import Path
from backends.base import Context, CreateMode, SetAttr, Stable
from backends.sqlite import SqliteBackend

async def main():
    fs, ctx = SqliteBackend(Path(sys.argv[1])), Context()
    await fs.start()
    root = (await fs.root(ctx)).key
    made = await fs.create(ctx, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
    key, written = made.attr.key, 0
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    try:
        for _ in range(100):
            await fs.write(ctx, key, written, b"x" * 32768, Stable.FILE_SYNC)
            written += 32768
    except OSError as exc:
        assert exc.errno == errno.EIO, exc
    else:
        raise AssertionError("no error")
    health = await fs.health()
    assert health and "I/O error" in health, health
    assert (await fs.read(ctx, key, 0, 1 << 20)).data == b"x" * written
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await fs.write(ctx, key, written, b"y", Stable.FILE_SYNC)
    assert await fs.health() is None, await fs.health()
    assert (await fs.read(ctx, key, 0, 1 << 20)).data == b"x" * written + b"y"
    assert await fs.fsck() == []
    await fs.stop()
    print("fine")

asyncio.run(main())
"""


def test_an_error_of_the_disk_leaves_it_usable(tmp_path: Path, child: Any) -> None:
    out, _ = child(_SMALL_FILES, tmp_path / "fs.db").communicate(timeout=50)
    assert out == "fine\n"


class _Connection:
    """A connection of which one statement fails."""

    def __init__(self, db: sqlite3.Connection, statement: str) -> None:
        self._db = db
        self._statement = statement

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        if statement.startswith(self._statement):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._db.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@pytest.mark.parametrize("what", ["commit", "stable write", "log"])
def test_an_fsync_that_fails(tmp_path: Path, what: str) -> None:
    """The verifier changes, and safe is only what was moved into the file afterwards."""

    async def body(fs: SqliteBackend) -> None:
        key, verifier = await make(fs), fs.verifier
        await fs.write(CTX, key, 0, b"unstable", UNSTABLE)
        used = fs.engine
        assert isinstance(used, SqliteEngine)
        db, trace = used.db, _trace(used)
        if what == "log":
            used._connection = _Connection(db, "PRAGMA wal_checkpoint")  # type: ignore[assignment]
            used.logged = 1 << 30
            await fs.write(CTX, key, 0, b"UNSTABLE", UNSTABLE)  # in the log, as it was before
        else:
            used._connection = _Connection(db, "COMMIT")  # type: ignore[assignment]
            with pytest.raises(OSError) as caught:
                if what == "commit":
                    await fs.commit(CTX, key, 0, 0)
                else:
                    await fs.write(CTX, key, 0, b"stable", FILE_SYNC)
            assert caught.value.errno == errno.EIO
        used._connection = db
        assert fs.verifier != verifier
        assert "I/O error" in (await fs.health() or "")
        trace.clear()
        await fs.commit(CTX, key, 0, 0)
        assert "PRAGMA wal_checkpoint(TRUNCATE)" in trace
        assert await fs.health() is None

    run(tmp_path / "fs.db", body)


def _trace(used: SqliteEngine) -> list[str]:
    """The statements that SQLite runs from now on, without those that only read."""
    trace: list[str] = []
    used.db.set_trace_callback(trace.append)
    return trace


def test_what_is_synced_when(tmp_path: Path) -> None:
    async def body(fs: SqliteBackend) -> None:
        used = fs.engine
        assert isinstance(used, SqliteEngine)
        key = await make(fs)
        full = "PRAGMA synchronous=FULL"
        level = "NORMAL"

        async def synced(call: Awaitable[object]) -> int:
            """How many commits with an fsync the call made."""
            nonlocal level
            trace = _trace(used)
            await call
            count = 0
            for line in trace:
                level = line.partition("synchronous=")[2] or level
                count += line == "COMMIT" and level == "FULL"
            assert (used.db.execute("PRAGMA synchronous").fetchone()[0] == 2) is (level == "FULL")
            return count

        assert full
        assert await synced(fs.write(CTX, key, 0, b"x", UNSTABLE)) == 0
        assert await synced(fs.commit(CTX, key, 0, 0)) == 1
        assert await synced(fs.commit(CTX, key, 0, 0)) == 0, "nothing is new"
        assert await synced(fs.write(CTX, key, 0, b"x", FILE_SYNC)) == 1
        assert await synced(fs.commit(CTX, key, 0, 0)) == 0
        assert await synced(make(fs, b"g")) == 0
        assert await synced(fs.commit(CTX, key, 0, 0)) == 1
        fs.set_sync(False)
        assert await synced(fs.write(CTX, key, 0, b"x", FILE_SYNC)) == 0
        assert await synced(fs.commit(CTX, key, 0, 0)) == 0

    run(tmp_path / "fs.db", body)


def test_the_log_is_moved_when_it_is_large(tmp_path: Path) -> None:
    async def body(fs: SqliteBackend) -> None:
        used = fs.engine
        assert isinstance(used, SqliteEngine)
        used._log_bytes = 1 << 20
        key = await make(fs)
        for number in range(200):
            await fs.write(CTX, key, 0, bytes([number]) * 65_536, UNSTABLE)
        assert (tmp_path / "fs.db-wal").stat().st_size < 3 << 20

    run(tmp_path / "fs.db", body)


# The verifier, and what becomes of the file


def test_the_verifier_lives_as_long_as_the_kernel(tmp_path: Path, monkeypatch: Any) -> None:
    boot = tmp_path / "boot_id"
    boot.write_bytes(b"0d9c1b0e-ffff-4a4a-8a8a-000000000001\n")
    monkeypatch.setattr(engine, "_BOOT_ID", boot)
    path = tmp_path / "fs.db"
    seen = []

    async def body(fs: SqliteBackend) -> None:
        seen.append(fs.verifier)

    run(path, body)
    run(path, body)
    assert seen[0] == seen[1]
    boot.write_bytes(b"0d9c1b0e-ffff-4a4a-8a8a-000000000002\n")
    run(path, body)
    run(path, body)
    assert seen[2] == seen[3] != seen[1]
    # Another file under the name may be older.
    shutil.copyfile(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    run(path, body)
    boot.unlink()
    run(path, body)
    run(path, body)
    assert len(set(seen[3:])) == 4


def test_a_file_that_is_taken_away_shows(tmp_path: Path) -> None:
    path = tmp_path / "fs.db"

    async def main() -> None:
        fs = SqliteBackend(path)
        await fs.start()
        path.rename(tmp_path / "moved.db")
        assert "No such file" in (await fs.health() or "")
        path.touch()
        assert "is another file now" in (await fs.health() or "")

    asyncio.run(main())


def test_damage_below_the_records(tmp_path: Path) -> None:
    """A page of an index is overwritten: SQLite's own check tells."""
    path = tmp_path / "fs.db"

    async def fill(fs: SqliteBackend) -> None:
        for number in range(20):
            await fs.write(CTX, await make(fs, b"%d" % number), 0, b"data" * 1000, UNSTABLE)

    run(path, fill)
    with sqlite3.connect(path) as db:
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name='block' ORDER BY type")
        number = page.fetchall()[0][0]
    db.close()
    with path.open("r+b") as file:
        file.seek((number - 1) * engine.PAGE_BYTES)
        file.write(b"\x0a" + bytes(engine.PAGE_BYTES - 1))

    async def main() -> None:
        fs = SqliteBackend(path)
        await fs.start()
        lines = await fs.fsck()
        assert any(line.startswith("SQLite: ") for line in lines), lines
        assert await fs.fsck(repair=True)
        assert await fs.fsck() == [], "the index is made anew from the table"
        root = (await fs.root(CTX)).key
        for number in range(20):
            key = (await fs.lookup(CTX, root, b"%d" % number)).attr.key
            assert (await fs.read(CTX, key, 0, 1 << 20)).data == b"data" * 1000
        await fs.stop()

    asyncio.run(main())


def test_options_are_checked_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        SqliteBackend(tmp_path / "fs.db", max_bytes=-5)
    assert list(tmp_path.iterdir()) == []


def test_a_call_after_the_end_is_an_error_of_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        fs = SqliteBackend(tmp_path / "fs.db")
        await fs.start()
        key = await make(fs)
        await fs.stop()
        with pytest.raises((OSError, FsError)) as caught:
            await fs.read(CTX, key, 0, 1)
        assert getattr(caught.value, "errno", None) == errno.EIO
        assert Status.IO == errno.EIO

    asyncio.run(main())
