"""Inode numbers for stores that have only names: persistent, stable over rename and restart.

For authors of backends: an `InodeTable` gives each name in a tree a `Key`, and finds the name of a
key again. A row is (number, number of the directory, name), so the rename of a directory is one
row, whatever is beneath it. Beside each row stands a record, bytes of yours that the table never
looks into: what your store keeps no place for (mode, owner, times, a symbolic link's target).

    table = InodeTable(state / "inodes.db")     # None: a table that ends with the process
    table.open()
    key = table.key_of(table.root, b"name")     # the same for ever
    table.names(key)                            # (b"name",), or FsError(STALE)

What it promises:

* A number is never given twice, also where the method that gave it failed, and the generation of
  all keys but the root's is drawn when the table is made. So a lost or exchanged table makes
  handles STALE, and never another file's.
* What a method has done survives SIGKILL when it returns. A power cut may take the last changes
  back: such files get new keys, and the old ones are STALE.
* Memory is bounded: the rows are in SQLite, in a temporary file where no path is given.

All methods may be called from any thread. They raise `FsError(STALE)` for a key that is gone or of
another table, and OSError where the table cannot be read or written.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from backends.base import FsError, Key, Status

log = logging.getLogger("nfsloop.inodes")

#: The root's number; its generation is 0 in every table, so that its handle outlives a lost one.
ROOT: Final = Key(1, 0)
#: Numbers left out after each boot: more than a power cut can have taken back.
JUMP_NUMBERS: Final = 1 << 32
#: Numbers that are put aside at once, before they are given: those of a transaction that fails, or
#: that SIGKILL cuts off, are not given again.
RESERVED_NUMBERS: Final = 1024
#: Directories above a file, at most: more can only be a loop.
MAX_DEPTH: Final = 4096

#: SQLite's ``synchronous``: while numbers are made safe from a power cut, and then.
SYNC_AT_OPEN, SYNC = "FULL", "NORMAL"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inode (
  ino INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER NOT NULL, name BLOB NOT NULL,
  record BLOB NOT NULL DEFAULT x'', UNIQUE (parent, name)
);
INSERT OR IGNORE INTO inode (ino, parent, name) VALUES (1, 0, x'');
"""


class Inode(NamedTuple):
    """A row: a file's key, its directory's, its name there, and the author's record."""

    key: Key
    parent: Key
    name: bytes
    record: bytes


def boot_id() -> str:
    """What is another after each boot of the machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class InodeTable:
    """The inodes of one tree; see the module."""

    root: Final = ROOT

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._depth = 0
        #: The next number, and the first that is not put aside.
        self._next = self._limit = 0
        #: Of all keys but the root's; drawn when the table is made. Known after `open`.
        self.generation = 0

    # Life cycle

    def open(self) -> None:
        """Open the table, or make it. A damaged one is moved aside, and a new one begun.

        Raises OSError.
        """
        with self._lock, _as_os_error():
            try:
                self._connect()
            except (sqlite3.DatabaseError, OSError) as error:
                self.close()
                why = error.__cause__ if isinstance(error, OSError) else error
                if self._path is None or not _is_damage(why):
                    raise
                aside = f"{self._path}.damaged"
                log.error("%s is damaged (%s): moved to %s", self._path, error, aside)
                os.replace(self._path, aside)
                for rest in ("-wal", "-shm"):
                    Path(f"{self._path}{rest}").unlink(missing_ok=True)
                self._connect()

    def close(self) -> None:
        """Close the table; it may be opened again, unless it had no path."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def _connect(self) -> None:
        if self._path is not None:
            # Names of private directories are in it.
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # An empty name is a temporary database, which SQLite moves to disk when it grows.
        name = "" if self._path is None else str(self._path)
        db = self._db = sqlite3.connect(
            name, timeout=30, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA journal_mode=WAL")
        # What gives out numbers is safe from a power cut before the first is given.
        db.execute(f"PRAGMA synchronous={SYNC_AT_OPEN}")
        with self.transaction():
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
            self._settle()
            row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'inode'").fetchone()
            self._next = self._limit = row[0] + 1
        db.execute(f"PRAGMA synchronous={SYNC}")

    def _settle(self) -> None:
        """Draw the generation of a new table; after a boot, leave out numbers."""
        generation = self.note("generation")
        if generation is None:
            generation = ((int.from_bytes(os.urandom(8), "big") >> 1) | 1).to_bytes(8, "big")
            self.set_note("generation", generation)
        self.generation = int.from_bytes(generation, "big")
        boot = boot_id()
        if self.note("boot") != boot.encode() or not boot:
            self._execute("UPDATE sqlite_sequence SET seq = seq + ?", JUMP_NUMBERS)
            self.set_note("boot", boot.encode())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within happens whole or not at all; other threads wait. May be nested."""
        with self._lock, _as_os_error():
            if self._depth == 0:
                if self._next and self._limit - self._next < RESERVED_NUMBERS // 2:
                    self._reserve(RESERVED_NUMBERS)
                self._execute("BEGIN IMMEDIATE")
            self._depth += 1
            done = False
            try:
                yield
                done = True
            finally:
                self._depth -= 1
                if self._depth == 0 and self._db is not None:
                    self._finish(done)

    def _finish(self, done: bool) -> None:
        reserved, self._limit = self._limit, self._next
        if not done:
            self._execute("ROLLBACK")
            return
        self._commit()
        # Else numbers that were put aside within are not.
        self._limit = reserved

    def _commit(self) -> None:
        assert self._db is not None
        try:
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self._db is None:
            raise OSError(errno.EBADF, "the inode table is not open")
        return self._db.execute(statement, values)

    # Keys and names

    def key_of(self, dir: Key, name: bytes, record: bytes = b"") -> Key:
        """The key of `name` in `dir`; a new one, with `record`, if it has none."""
        with self.transaction():
            found = self.find(dir, name)
            if found is not None:
                return found.key
            return self._key(self._insert(dir.ino, name, record))

    def keys_of(self, dir: Key, names: Iterable[bytes]) -> dict[bytes, Key]:
        """The keys of many names in `dir` at once, made where they are missing."""
        with self.transaction():
            self._row(dir)
            keys = {}
            for name in names:
                row = self._execute(
                    "SELECT ino FROM inode WHERE parent = ? AND name = ?", dir.ino, name
                ).fetchone()
                keys[name] = self._key(row[0] if row else self._insert(dir.ino, name, b""))
            return keys

    def _insert(self, parent: int, name: bytes, record: bytes) -> int:
        if self._next >= self._limit:
            self._reserve(RESERVED_NUMBERS)
        ino, self._next = self._next, self._next + 1
        statement = "INSERT INTO inode (ino, parent, name, record) VALUES (?, ?, ?, ?)"
        self._execute(statement, ino, parent, name, record)
        return ino

    def _reserve(self, count: int) -> None:
        """Put numbers aside. Outside of a transaction it is one of its own."""
        limit = self._limit + count
        self._execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'inode'", limit - 1)
        self._limit = limit

    def find(self, dir: Key, name: bytes) -> Inode | None:
        """The row of `name` in `dir`, if it has a key."""
        with self._lock, _as_os_error():
            self._check(dir)
            row = self._execute(
                "SELECT ino, record FROM inode WHERE parent = ? AND name = ?", dir.ino, name
            ).fetchone()
            if row is None:
                self._row(dir)
                return None
            return Inode(self._key(row[0]), dir, name, row[1])

    def get(self, key: Key) -> Inode:
        """The row of a key."""
        with self._lock, _as_os_error():
            parent, name, record = self._row(key)
            return Inode(key, self._key(parent) if parent else ROOT, name, record)

    def names(self, key: Key) -> tuple[bytes, ...]:
        """The names from the root down to the file; none for the root itself."""
        names = []
        with self._lock, _as_os_error():
            while key != ROOT:
                parent, name, _ = self._row(key)
                names.append(name)
                key = self._key(parent)
                if len(names) > MAX_DEPTH:
                    raise FsError(Status.STALE, "a loop of directories")
        return tuple(reversed(names))

    def children(self, dir: Key) -> list[Inode]:
        """The rows of all names in `dir` that have keys."""
        with self._lock, _as_os_error():
            self._row(dir)
            rows = self._execute("SELECT ino, name, record FROM inode WHERE parent = ?", dir.ino)
            return [Inode(self._key(ino), dir, name, record) for ino, name, record in rows]

    def is_beneath(self, key: Key, dir: Key) -> bool:
        """Whether `key` is `dir`, or somewhere in it."""
        with self._lock, _as_os_error():
            for _ in range(MAX_DEPTH):
                if key == dir:
                    return True
                if key == ROOT:
                    return False
                key = self._key(self._row(key)[0])
        raise FsError(Status.STALE, "a loop of directories")

    # Changes

    def rename(self, key: Key, dir: Key, name: bytes) -> None:
        """`key` is called `name` in `dir` from here on; what had that name is forgotten.

        The caller has made sure that a directory does not move into itself.
        """
        with self.transaction():
            self._row(key)
            victim = self.find(dir, name)
            if victim is not None and victim.key != key:
                self.forget(victim.key)
            self._execute(
                "UPDATE inode SET parent = ?, name = ? WHERE ino = ?", dir.ino, name, key.ino
            )

    def forget(self, key: Key) -> None:
        """The file is gone, and all beneath it: their keys are STALE."""
        if key == ROOT:
            raise FsError(Status.INVAL, "the root stays")
        with self.transaction():
            self._row(key)
            self._execute(
                "WITH RECURSIVE gone(ino) AS (SELECT ? UNION ALL"
                " SELECT inode.ino FROM inode JOIN gone ON inode.parent = gone.ino)"
                " DELETE FROM inode WHERE ino IN gone",
                key.ino,
            )

    def record(self, key: Key) -> bytes:
        """The author's record of a file; empty if none was set."""
        with self._lock, _as_os_error():
            record: bytes = self._row(key)[2]
            return record

    def set_record(self, key: Key, record: bytes) -> None:
        """Keep a record with a file."""
        with self._lock, _as_os_error():
            self._check(key)
            done = self._execute("UPDATE inode SET record = ? WHERE ino = ?", record, key.ino)
            if done.rowcount != 1:
                raise FsError(Status.STALE)

    # Notes

    def note(self, name: str) -> bytes | None:
        """A note that belongs to the whole table."""
        with self._lock, _as_os_error():
            row = self._execute("SELECT value FROM meta WHERE name = ?", name).fetchone()
            return None if row is None else bytes(row[0])

    def notes(self, prefix: str) -> dict[str, bytes]:
        """All notes whose names begin with `prefix`."""
        with self._lock, _as_os_error():
            rows = self._execute(
                "SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", len(prefix), prefix
            )
            return {name: bytes(value) for name, value in rows}

    def set_note(self, name: str, value: bytes | None) -> None:
        """Keep a note, an intent that must outlive a crash, say; None forgets it."""
        with self._lock, _as_os_error():
            if value is None:
                self._execute("DELETE FROM meta WHERE name = ?", name)
            else:
                self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    # Helpers

    def _key(self, ino: int) -> Key:
        return ROOT if ino == ROOT.ino else Key(ino, self.generation)

    def _check(self, key: Key) -> None:
        if key != self._key(key.ino) or key.ino >= 1 << 63:
            raise FsError(Status.STALE)

    def _row(self, key: Key) -> tuple[int, bytes, bytes]:
        self._check(key)
        row: tuple[int, bytes, bytes] | None = self._execute(
            "SELECT parent, name, record FROM inode WHERE ino = ?", key.ino
        ).fetchone()
        if row is None:
            raise FsError(Status.STALE)
        return row


def _is_damage(error: BaseException | None) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError
    )


@contextmanager
def _as_os_error() -> Iterator[None]:
    """SQLite's failures as what a client can be told."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise OSError(errno.ENOSPC, f"inode table: {error}") from error
        raise OSError(errno.EIO, f"inode table: {error}") from error
