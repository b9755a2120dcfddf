"""An engine in one SQLite file: keys and blocks are two tables, the journal is a write-ahead log.

A commit appends to the log (``FILE-wal``), which is the kernel's from then on: SIGKILL takes
nothing back. What must outlive a power cut takes an fsync of the log, which SQLite does at a commit
with ``synchronous=FULL``. Checkpoints, which move the log's pages into the file, are made here and
not by SQLite itself, so that a failing fsync is never overlooked.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from backends.base import Buffer
from backends.kvfs.engine import BlockLength, Space
from backends.sqlite.lock import FileLock
from backends.sqlite.reserve import STEP_BYTES, Reserve

#: "nfsl", in the header of each file that is one of ours.
APPLICATION_ID: Final = 0x6E66736C
#: Of the tables; what is in them has a format of its own.
SCHEMA: Final = 1
#: Measured: with smaller pages, large blocks have long chains; with larger ones, each change of a
#: name writes more to the log.
PAGE_BYTES: Final = 8 << 10
BLOCK_BYTES: Final = 32 << 10
#: About how large the log grows before its pages are moved into the file.
LOG_BYTES: Final = 8 << 20
CACHE_KIBIBYTES: Final = 16 << 10
#: How long another process may take to let go of the file.
OPEN_SECONDS: Final = 1.0
#: Lines of SQLite's own check.
_CHECK_LINES = 100
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_TABLES = (
    "CREATE TABLE pair (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE block (id INTEGER PRIMARY KEY, object INTEGER NOT NULL, "
    "number INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (object, number))",
    f"PRAGMA application_id={APPLICATION_ID}",
    f"PRAGMA user_version={SCHEMA}",
)

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EAGAIN,
    sqlite3.SQLITE_LOCKED: errno.EAGAIN,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}

_GET = "SELECT value FROM pair WHERE key=?"
_PUT = "INSERT INTO pair VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
_DELETE = "DELETE FROM pair WHERE key=?"
_SCAN = "SELECT key, value FROM pair WHERE key>=? AND key<? ORDER BY key"
_READ = "SELECT number, data FROM block WHERE object=? AND number>=? AND number<? ORDER BY number"
_WRITE = (
    "INSERT INTO block(object, number, data) VALUES(?,?,?) "
    "ON CONFLICT(object, number) DO UPDATE SET data=excluded.data"
)
_LENGTHS = (
    "SELECT number, length(data) FROM block "
    "WHERE object=? AND number>=? AND number<? ORDER BY number"
)
_DOOMED = (
    "SELECT number, length(data) FROM block WHERE object=? AND number>=? ORDER BY number LIMIT ?"
)
_DELETE_BLOCKS = "DELETE FROM block WHERE object=? AND number>=? AND number<=?"
_OBJECT = "SELECT min(object) FROM block WHERE object>=?"


class SqliteEngine:
    """See `backends.kvfs.engine.Engine`. `path` is the file; only one process can have it open."""

    def __init__(
        self, path: Path, *, block_bytes: int = BLOCK_BYTES, log_bytes: int = LOG_BYTES
    ) -> None:
        self.path = Path(path).absolute()
        self.block_bytes = block_bytes
        self._log_bytes = log_bytes
        self._connection: sqlite3.Connection | None = None
        self._lock: FileLock | None = None
        #: At least as large as what of the log is not in the file: without room to move it, and
        #: to write it from the start again, nothing could be removed.
        self._reserve = Reserve(2 * log_bytes)
        self._directory = self.path.parent
        #: About how much was appended to the log since it was moved.
        self.logged = 0
        #: Whether commits may not be safe from power loss; whether `synchronous` is FULL.
        self._unsafe = True
        self._full = False
        #: An fsync failed: what is in the log may not be on the disk, whatever the next one says.
        self._doubt = False
        self._trouble: str | None = None
        self._life = b""
        self._identity = (0, 0)

    # Life

    def open(self) -> None:
        """Open the file, or make it. OSError: one line that says what is wrong with it."""
        if self.path.is_dir():
            raise OSError(f"{self.path} is a directory, not a file of SQLite")
        self._directory = self.path.resolve().parent  # of the log, too, where `path` is a link
        if not self.path.parent.is_dir():
            raise OSError(f"{self.path.parent} is no directory: nothing can be stored there")
        try:
            self._lock = FileLock(self.path, OPEN_SECONDS)
        except OSError as exc:
            raise OSError(_why_not_locked(self.path, exc)) from exc
        self._identity = self._lock.identity
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=OPEN_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._set_up(self._connection)
        except sqlite3.Error as exc:
            self._disconnect()
            raise OSError(_why(self.path, exc)) from exc
        except BaseException:
            self._disconnect()
            raise
        self._life = self._this_life()
        self.logged = self._log_size()
        self._keep_reserve()

    def _set_up(self, db: sqlite3.Connection) -> None:
        # Without another process, no lock is asked for at each step, and no memory is shared.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        identity = _one(db, "PRAGMA application_id")
        version = _one(db, "PRAGMA user_version")
        empty = not identity and not _one(db, "SELECT count(*) FROM sqlite_master")
        if identity != APPLICATION_ID and not empty:
            raise OSError(f"{self.path} is a SQLite file of another application")
        if version > SCHEMA:
            raise OSError(
                f"{self.path} is of format {version}; this version of nfsloop knows {SCHEMA}"
            )
        for pragma in (
            f"page_size={PAGE_BYTES}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "wal_autocheckpoint=0",
            "secure_delete=OFF",
            "trusted_schema=OFF",
            "cell_size_check=ON",
            f"cache_size=-{CACHE_KIBIBYTES}",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        if _one(db, "PRAGMA journal_mode") != "wal":
            raise OSError(f"{self.path}: SQLite cannot keep a write-ahead log here")
        db.execute("BEGIN IMMEDIATE")  # and with it the lock, now and not at the first change
        for statement in _TABLES if empty else ():
            db.execute(statement)
        db.execute("COMMIT")
        if empty:  # safe from now on, and its name too
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _log_size(self) -> int:
        """Bytes; of what a process that was killed left, too."""
        try:
            return os.stat(f"{self.path.resolve()}-wal").st_size
        except FileNotFoundError:
            return 0

    def _keep_reserve(self) -> None:
        self._reserve.keep(self._directory, self.logged + STEP_BYTES)

    def _this_life(self) -> bytes:
        """What is not synced lives as long as the kernel; copies of the file have lives apart."""
        try:
            boot = _BOOT_ID.read_bytes().strip().replace(b"-", b"")
        except OSError:
            boot = os.urandom(16).hex().encode()
        device, inode = self._identity
        return b"%b %x %x" % (boot[:32], device & 0xFFFFFFFF, inode)

    def close(self) -> None:
        """Move the log into the file, and let go of it."""
        try:
            try:
                self._checkpoint()
            except OSError:  # full, perhaps: the log will do, if it is safe
                self.sync()
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._reserve.give_back()
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    @property
    def db(self) -> sqlite3.Connection:
        """The open connection. Raises OSError EIO if there is none."""
        if self._connection is None:
            raise OSError(errno.EIO, f"{self.path} is not open")
        return self._connection

    # Transactions

    def begin(self, write: bool, sync: bool = False) -> SqliteTransaction:
        """See `Engine.begin`."""
        if write:
            if self.logged > self._log_bytes:
                self._checkpoint_if_possible()
            # Once given back, it is for the log; it comes back when there is enough of all.
            if self.logged + STEP_BYTES > self._reserve.kept and self._outside() >= 0:
                self._keep_reserve()
            if sync and self._doubt:
                self._checkpoint()
            self._execute(sync, "BEGIN IMMEDIATE")
        return SqliteTransaction(self, write, sync)

    def _execute(self, full: bool, statement: str) -> None:
        try:
            if full is not self._full:
                self.db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
                self._full = full
            self.db.execute(statement)
        except sqlite3.Error as exc:
            raise self.failed(exc) from exc

    def committed(self, changed: bool, sync: bool) -> None:
        """A transaction is in the log."""
        if sync and changed:
            self._unsafe = False
        else:
            self._unsafe = self._unsafe or changed
        if not self._doubt and changed:
            self._trouble = None

    def sync(self) -> None:
        """See `Engine.sync`."""
        if not self._unsafe:
            return
        transaction = self.begin(write=True, sync=True)  # moves the log first, if in doubt
        # An empty transaction would append nothing, and so sync nothing.
        transaction.put(b"sync", b"")
        transaction.commit()

    def _move_log(self, mode: str) -> bool:
        """A checkpoint of SQLite's, with the reserve if there is no other room: whether all is
        moved. Raises OSError."""
        while True:
            try:
                busy, _, _ = self.db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
                return not busy
            except sqlite3.Error as exc:
                kept = self._reserve.kept
                error = self.failed(exc, syncing=True)
                if error.errno != errno.ENOSPC or not kept:
                    raise error from exc

    def _checkpoint(self) -> None:
        """Move the whole log into the file, safely. Raises OSError."""
        if not self._move_log("TRUNCATE"):
            raise OSError(errno.EAGAIN, f"{self.path} is in use")
        self.logged = 0
        self._doubt = self._unsafe = False
        self._trouble = None

    def _checkpoint_if_possible(self) -> None:
        """Move the log into the file, but leave it as large as it is: where the disk is full, that
        is the room in which files can be removed. A failure shows in `life` and `health`."""
        if self._doubt:
            return  # until somebody wants something to be safe
        with suppress(OSError):
            self._move_log("PASSIVE")
        self.logged = 0

    def failed(self, exc: sqlite3.Error, syncing: bool = False) -> OSError:
        """The OSError for an error of SQLite's; `syncing` if an fsync may be what failed."""
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        number = _ERRNO.get(code, errno.EIO)
        text = f"{self.path}: {exc}"
        if number == errno.ENOSPC:
            self._reserve.give_back()  # the next one may succeed
        if number == errno.EIO:
            self._trouble = text
            if syncing:
                # The kernel tells of lost pages once, and takes them for written from then on.
                self._doubt = self._unsafe = True
                self._life = os.urandom(16)
        return OSError(number, text)

    # How it is

    def life(self) -> bytes:
        """See `Engine.life`."""
        return self._life

    def space(self) -> Space:
        """What the file system has free, and the file within itself."""
        found = os.statvfs(self._directory)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return Space(total, max(0, free + self._inside() - 2 * self._log_bytes))

    def room(self) -> bool:
        """Whether the log can be made as large as it gets, and moved."""
        return self._outside() >= 0 or self._inside() >= 2 * self._log_bytes

    def _outside(self) -> int:
        """Bytes that the disk has, beyond what the log may take."""
        found = os.statvfs(self._directory)
        return found.f_bavail * found.f_frsize - 2 * self._log_bytes

    def _inside(self) -> int:
        try:
            return int(_one(self.db, "PRAGMA freelist_count")) * PAGE_BYTES
        except sqlite3.Error as exc:
            raise self.failed(exc) from exc

    def health(self) -> str | None:
        """The last error that was not followed by a success; or that the file is gone."""
        if self._trouble is not None:
            return self._trouble
        try:
            found = os.stat(self.path)
        except OSError as exc:
            return f"{self.path}: {exc.strerror}"
        if (found.st_dev, found.st_ino) != self._identity:
            return f"{self.path} is another file now; the one that is served has no name"
        return None

    def check(self, repair: bool) -> list[str]:
        """SQLite's own check; with `repair`, its indexes are made anew."""
        lines = self._integrity()
        if lines and repair:
            try:
                self.db.execute("REINDEX")
            except sqlite3.Error as exc:
                lines.append(f"SQLite: {exc}")
            if self._integrity():
                lines.append(
                    "SQLite: not repaired; the command `sqlite3 FILE .recover` reads what it can"
                )
        return lines

    def _integrity(self) -> list[str]:
        try:
            rows = self.db.execute(f"PRAGMA integrity_check({_CHECK_LINES})").fetchall()
        except sqlite3.Error as exc:
            return [f"SQLite: {exc}"]
        return [f"SQLite: {line}" for (text,) in rows if text != "ok" for line in text.split("\n")]


class SqliteTransaction:
    """See `backends.kvfs.engine.Transaction`; and `Blocks`, being both.

    One that only reads is none of SQLite's: nobody else writes.
    """

    def __init__(self, engine: SqliteEngine, write: bool, sync: bool) -> None:
        self._engine = engine
        self._db = engine.db
        self._write = write
        self._sync = sync
        self._changed = False
        self.blocks = SqliteBlocks(engine, self)

    def changes(self, length: int) -> None:
        """Something is about to be changed, of so many bytes."""
        self._changed = True
        self._engine.logged += PAGE_BYTES + length

    def get(self, key: bytes) -> bytes | None:
        """See `Transaction.get`."""
        try:
            row = self._db.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc
        return None if row is None else row[0]

    def put(self, key: bytes, value: bytes) -> None:
        """See `Transaction.put`."""
        self.changes(0)
        try:
            self._db.execute(_PUT, (key, value))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def delete(self, key: bytes) -> None:
        """See `Transaction.delete`."""
        self.changes(0)
        try:
            self._db.execute(_DELETE, (key,))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def scan(self, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Transaction.scan`."""
        try:
            yield from self._db.execute(_SCAN, (first, last))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def commit(self) -> None:
        """See `Transaction.commit`."""
        if not self._write:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            self.abort()
            raise self._engine.failed(exc, syncing=self._sync) from exc
        self._engine.committed(self._changed, self._sync)

    def abort(self) -> None:
        """See `Transaction.abort`."""
        # SQLite has done it already where the error was a grave one.
        if self._write and self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as exc:
                self._engine.failed(exc)


class SqliteBlocks:
    """See `backends.kvfs.engine.Blocks`."""

    def __init__(self, engine: SqliteEngine, transaction: SqliteTransaction) -> None:
        self._engine = engine
        self._db = engine.db
        self._changes = transaction.changes

    def read(self, object: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """See `Blocks.read`."""
        try:
            yield from self._db.execute(_READ, (object, first, last))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def write(self, object: int, number: int, data: Buffer) -> None:
        """See `Blocks.write`."""
        self._changes(len(data))
        try:
            self._db.execute(_WRITE, (object, number, data))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def delete(self, object: int, first: int, limit: int) -> tuple[int, int]:
        """See `Blocks.delete`."""
        try:
            rows = self._db.execute(_DOOMED, (object, first, limit)).fetchall()
            if rows:
                self._changes(len(rows) * PAGE_BYTES)
                self._db.execute(_DELETE_BLOCKS, (object, first, rows[-1][0]))
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc
        return len(rows), sum(length for _, length in rows)

    def scan(self, object: int, first: int, last: int) -> Iterator[BlockLength]:
        """See `Blocks.scan`."""
        try:
            for number, length in self._db.execute(_LENGTHS, (object, first, last)):
                yield BlockLength(object, number, length)
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc

    def objects(self, first: int) -> Iterator[int]:
        """See `Blocks.objects`."""
        try:
            while (found := self._db.execute(_OBJECT, (first,)).fetchone()[0]) is not None:
                yield found
                first = found + 1
        except sqlite3.Error as exc:
            raise self._engine.failed(exc) from exc


def _one(db: sqlite3.Connection, statement: str) -> Any:
    """The one value that a statement gives."""
    return db.execute(statement).fetchone()[0]


def _why_not_locked(path: Path, exc: OSError) -> str:
    """The same, if it could not even be locked."""
    if isinstance(exc, BlockingIOError):
        return f"{path} is in use by another process"
    return f"{path} and its directory must be writable: {exc.strerror}"


def _why(path: Path, exc: sqlite3.Error) -> str:
    """One line for a person who wanted to open `path`."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is in use by another process"
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is no file of SQLite"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return f"{path} and its directory must be writable: {exc}"
    return f"{path}: {exc}"
