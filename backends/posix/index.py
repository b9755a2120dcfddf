"""Inode number → (parent inode, name): handles where the kernel opens no files by handle.

A new entry is one write(2) to a journal, so it survives the server's death (not the machine's);
thousands at a time move to an SQLite table in a thread. An entry is a hint: whoever uses it
opens the name and compares inode number and generation. So a stale entry costs time, no harm.

Files, in the state directory, per export: ``posix-ID.db``, ``posix-ID.N.journal``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("nfsloop.posix")

#: Entries in the journal before they move to the table.
PENDING_ENTRIES: Final = 4096
#: After a flush that failed, the next is not tried for so long.
RETRY_SECONDS: Final = 30.0
#: While flushes fail, there are no more journals than these; the last one grows.
JOURNALS: Final = 16

_HEAD = struct.Struct("<IBQQQH")  # crc32 of the rest, what, ino, generation, parent, name's bytes
_ADD, _REMOVE, _ALIAS = 1, 2, 3
_SIGN = 1 << 63

_SCHEMA = """
CREATE TABLE IF NOT EXISTS link (
  ino INTEGER, parent INTEGER, name BLOB, generation INTEGER, PRIMARY KEY (ino, parent, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alias (
  ino INTEGER, now INTEGER, generation INTEGER, PRIMARY KEY (ino, now)
) WITHOUT ROWID;
"""


class Link(NamedTuple):
    """One name of a file."""

    parent: int
    name: bytes
    generation: int


#: Per inode number, per (parent, name): the generation, or None if the name is gone.
_Pending = dict[int, dict[tuple[int, bytes], int | None]]


class Index:
    """The links of one export; not thread-safe, but for the one thread that it flushes in itself.

    Opening and flushing touch files: they are called with the process's own identity.
    """

    def __init__(self, state: Path | None, export: bytes, shared: bool = False) -> None:
        self._base = state and state / f"posix-{sha256(export).hexdigest()[:16]}"
        self._pending: _Pending = {}
        self._count = 0
        #: What a flush is moving to the table just now.
        self._moving: _Pending = {}
        self._moving_aliases: list[tuple[int, int, int]] = []
        #: (ino, what its generation looks like now) → the generation that handles of it carry.
        self._aliases: dict[tuple[int, int], int] = {}
        self._new_aliases: list[tuple[int, int, int]] = []
        self._table: sqlite3.Connection | None = None
        self._journal = -1
        self._number = 0
        self._flush: Future[None] | None = None
        #: No new journal could be opened: when to try again.
        self._retry_at = 0.0
        self._failing = False
        #: Why the journal lacks some of what is pending; why nothing comes to the table.
        self._behind: str | None = None
        self._stuck: str | None = None
        #: Other processes have the table open too: it has all, and there is no journal. Whoever
        #: opens it first has the journals of before.
        self._shared = shared

    @property
    def full(self) -> bool:
        """It is time for `flush`."""
        return (
            self._count >= PENDING_ENTRIES
            and not self._shared
            and self._flush is None
            and self._base is not None
            and time.monotonic() >= self._retry_at
        )

    # Life cycle

    def open(self) -> None:
        """Open the table, replay the journals. OSError, sqlite3.Error: the state is unusable."""
        if self._base is None:
            return
        try:
            self._open(self._base)
        except BaseException:
            self._shut()
            raise

    def _open(self, base: Path) -> None:
        _keep_private(base)
        try:
            self._table = _connect(base)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            aside = f"{base}.damaged"
            log.error("index %s.db is damaged (%s): moved to %s", base, error, aside)
            os.replace(f"{base}.db", aside)
            _keep_private(base)
            self._table = _connect(base)
        journals = self._journals()
        for path in journals:
            self._replay(path)
        self._number = _number(journals[-1]) if journals else 0
        if not self._shared:
            self._new_journal()
        self._move(self._pending, self._new_aliases, journals, self._table)
        self._pending, self._new_aliases, self._count = {}, [], 0
        for ino, now, generation in self._table.execute("SELECT ino, now, generation FROM alias"):
            self._aliases[_unsigned(ino), _unsigned(now)] = _unsigned(generation)

    def close(self) -> None:
        """Move everything to the table, and close. OSError: what was pending is nowhere."""
        if self._base is None or self._table is None:
            return
        try:
            if self._flush is not None:
                self._flush.exception()  # waits
                self._flush = None
                self._take_back()
            self._move(self._pending, self._new_aliases, self._journals(), self._table)
        except (OSError, sqlite3.Error) as error:
            if not self._shared:
                self._mend()
            if self._behind is not None or self._shared:
                lost = f"the index in {self._base.parent} lacks {len(self._pending)} files"
                what = "clients that have them now find them stale after the next start"
                raise OSError(errno.EIO, f"{lost} ({error}): {what}") from None
            log.warning("index: %s; its journal is kept", error)
        finally:
            self._shut()

    def _shut(self) -> None:
        journal, self._journal = self._journal, -1
        table, self._table = self._table, None
        try:
            if journal >= 0:
                os.close(journal)
        finally:
            if table is not None:
                table.close()

    def _journals(self) -> list[Path]:
        assert self._base is not None
        return sorted(self._base.parent.glob(f"{self._base.name}.*.journal"), key=_number)

    def _new_journal(self) -> None:
        """Go on in a new journal. OSError: in the old one.

        That stays open until there is a new one: its number, closed, would soon be that of
        somebody's file, which the next records would go to.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        fresh = os.open(f"{self._base}.{self._number + 1}.journal", flags, 0o600)
        self._number += 1
        old, self._journal = self._journal, fresh
        if old >= 0:
            try:
                os.close(old)
            except OSError as error:  # it is closed all the same
                log.error("index: closing its journal: %s", error)

    def _replay(self, path: Path) -> None:
        raw = path.read_bytes()
        at = 0
        while at + _HEAD.size <= len(raw):
            crc, what, ino, generation, parent, length = _HEAD.unpack_from(raw, at)
            end = at + _HEAD.size + length
            if end > len(raw) or zlib.crc32(raw[at + 4 : end]) != crc:
                break
            name = raw[at + _HEAD.size : end]
            if what == _ALIAS:
                self._aliases[ino, parent] = generation
                self._new_aliases.append((ino, parent, generation))
            else:
                gone = what == _REMOVE
                self._pending.setdefault(ino, {})[parent, name] = None if gone else generation
            at = end
        if at < len(raw):
            log.warning("%s: its last %d bytes were never written whole", path, len(raw) - at)

    # Changes

    def add(self, ino: int, generation: int, parent: int, name: bytes) -> None:
        """`name` in directory `parent` is file `ino`."""
        links = self._pending.setdefault(ino, {})
        if links.get((parent, name)) != generation:
            self._write(_ADD, ino, generation, parent, name)
            links[parent, name] = generation
            self._count += 1
            self._to_others()

    def remove(self, ino: int, parent: int, name: bytes) -> None:
        """`name` in directory `parent` is no longer file `ino`."""
        if self._base is None:
            links = self._pending.get(ino)
            if links is not None and links.pop((parent, name), None) is not None and not links:
                del self._pending[ino]
            return
        self._write(_REMOVE, ino, 0, parent, name)
        self._pending.setdefault(ino, {})[parent, name] = None
        self._count += 1
        self._to_others()

    def alias(self, ino: int, now: int, generation: int) -> None:
        """A file known by `generation` looks like `now` from here on (overlayfs copied it up)."""
        if self._aliases.get((ino, now)) != generation:
            self._write(_ALIAS, ino, generation, now, b"")
            self._aliases[ino, now] = generation
            self._new_aliases.append((ino, now, generation))
            self._count += 1
            self._to_others()

    def _to_others(self) -> None:
        """Where other processes have the table open, have it in there now."""
        if not self._shared or self._table is None:
            return
        try:
            self._move(self._pending, self._new_aliases, [], self._table)
        except sqlite3.Error as error:
            if self._stuck is None:
                log.error("index: %s; it is tried again", error)
            self._stuck = str(error)
        else:
            self._pending, self._new_aliases, self._count = {}, [], 0
            self._stuck = None

    def _write(self, what: int, ino: int, generation: int, parent: int, name: bytes) -> None:
        if self._journal >= 0 and self._behind is None:
            self._append(_record(what, ino, generation, parent, name))

    def _append(self, records: bytes) -> None:
        try:
            written = os.write(self._journal, records)
        except OSError as error:
            written, why = 0, error.strerror or str(error)
        else:
            why = os.strerror(errno.ENOSPC)  # what else is there to a short write
        if written == len(records):
            if self._behind is not None:
                log.warning("index: the journal has all again")
            self._behind = None
            return
        if written:  # what follows a torn record would not be read
            with contextlib.suppress(OSError):
                os.ftruncate(self._journal, os.fstat(self._journal).st_size - written)
        if self._behind is None:
            log.error("index: cannot write to the journal: %s; it is tried again", why)
        self._behind = why

    def mend(self) -> None:
        """Try again to write what could not be; to be called now and then."""
        if self._shared:
            if self._stuck is not None:
                self._to_others()
        elif self._flush is None and len(self._pending) < 2 * PENDING_ENTRIES:
            self._mend()

    def _mend(self) -> None:
        """Write all that is pending to the journal once more, if that lacks some of it."""
        if self._behind is None or self._journal < 0:
            return
        added = [
            _record(_REMOVE if generation is None else _ADD, ino, generation or 0, parent, name)
            for ino, parent, name, generation in _flat(self._pending)
        ]
        aliases = [_record(_ALIAS, ino, old, now, b"") for ino, now, old in self._new_aliases]
        self._append(b"".join(added + aliases))

    def wrong(self) -> str | None:
        """What keeps it from being written, in a few words; None: nothing does."""
        if self._behind is not None:
            return f"{self._behind}; without these entries, files are stale after the next start"
        return self._stuck

    # Questions

    def issued(self, ino: int, now: int) -> int:
        """The generation that handles carry of a file that looks like `now`."""
        return self._aliases.get((ino, now), now) if self._aliases else now

    def links(self, ino: int) -> list[Link]:
        """The names that a file had when it was last seen."""
        found: dict[tuple[int, bytes], int | None] = {}
        if self._table is not None:
            rows = self._table.execute(
                "SELECT parent, name, generation FROM link WHERE ino = ?", (_signed(ino),)
            )
            found = {(_unsigned(p), bytes(n)): _unsigned(g) for p, n, g in rows}
        found.update(self._moving.get(ino, {}))
        found.update(self._pending.get(ino, {}))
        return [Link(p, name, g) for (p, name), g in reversed(found.items()) if g is not None]

    # To the table

    def flush(self, executor: Executor) -> None:
        """Start to move what is pending to the table, in a thread."""
        assert self._base is not None
        try:
            old = self._journals()
            if len(old) < JOURNALS:
                self._new_journal()
            else:  # it is tried again and again; this one is in use
                old.pop()
        except OSError as error:
            self._failed(f"no new journal, the old one grows: {error}", error)
            return
        self._moving, self._pending = self._pending, {}
        self._moving_aliases, self._new_aliases = self._new_aliases, []
        try:
            self._flush = executor.submit(self._move_alone, self._moving, self._moving_aliases, old)
        except BaseException:
            self._take_back()
            raise
        self._count = 0

    def flushed(self) -> None:
        """Take note of a flush that has ended; cheap, to be called now and then."""
        if self._flush is not None and self._flush.done():
            error = self._flush.exception()
            self._flush = None
            if error is None:
                self._moving, self._moving_aliases = {}, []
                self._failing, self._stuck = False, None
                self._mend()
            else:
                self._failed(f"{error}; its journal is kept", error)
                self._take_back()

    def _failed(self, what: str, error: BaseException) -> None:
        """A flush has: say so once, and try again."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._stuck = str(error)
        if not self._failing:
            self._failing = True
            log.error("index: %s", what)

    def _take_back(self) -> None:
        """What was moving is pending again (as if it had failed: to move it twice is no harm)."""
        for ino, links in self._moving.items():
            self._pending[ino] = {**links, **self._pending.get(ino, {})}
            self._count += len(links)
        self._new_aliases = self._moving_aliases + self._new_aliases
        self._moving, self._moving_aliases = {}, []

    def _move_alone(
        self, links: _Pending, aliases: list[tuple[int, int, int]], journals: list[Path]
    ) -> None:
        assert self._base is not None
        table = _connect(self._base)
        try:
            self._move(links, aliases, journals, table)
        finally:
            table.close()

    @staticmethod
    def _move(
        links: _Pending,
        aliases: list[tuple[int, int, int]],
        journals: list[Path],
        table: sqlite3.Connection,
    ) -> None:
        """One transaction; then the journals go. Dying between the two only repeats it."""
        if links or aliases:
            with table:
                table.execute("BEGIN IMMEDIATE")
                table.executemany(
                    "DELETE FROM link WHERE ino = ? AND parent = ? AND name = ?",
                    ((_signed(i), _signed(p), n) for i, p, n, g in _flat(links) if g is None),
                )
                table.executemany(
                    "INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)",
                    (
                        (_signed(i), _signed(p), n, _signed(g))
                        for i, p, n, g in _flat(links)
                        if g is not None
                    ),
                )
                table.executemany(
                    "INSERT OR REPLACE INTO alias VALUES (?, ?, ?)",
                    ((_signed(i), _signed(n), _signed(g)) for i, n, g in aliases),
                )
        for path in journals:
            path.unlink(missing_ok=True)


def _record(what: int, ino: int, generation: int, parent: int, name: bytes) -> bytes:
    """As the journal has it."""
    record = _HEAD.pack(0, what, ino, generation, parent, len(name)) + name
    return zlib.crc32(memoryview(record)[4:]).to_bytes(4, "little") + record[4:]


def _flat(links: _Pending) -> Iterator[tuple[int, int, bytes, int | None]]:
    for ino, names in links.items():
        for (parent, name), generation in names.items():
            yield ino, parent, name, generation


def _keep_private(base: Path) -> None:
    """Let nobody else read the table: there are names of private directories in it.

    Its WAL takes over its mode. Only before the process has the table open: to close a descriptor
    of it would give up SQLite's locks.
    """
    try:
        os.close(os.open(f"{base}.db", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        for path in (f"{base}.db", f"{base}.db-wal", f"{base}.db-shm"):
            try:
                os.chmod(path, 0o600)
            except FileNotFoundError:
                pass
            except PermissionError as error:
                log.warning("index: others may read it: %s", error)


def _connect(base: Path) -> sqlite3.Connection:
    table = sqlite3.connect(f"{base}.db", timeout=30, isolation_level=None, check_same_thread=False)
    try:
        table.execute("PRAGMA journal_mode=WAL")
        table.execute("PRAGMA synchronous=NORMAL")
        table.executescript(_SCHEMA)
    except sqlite3.Error:
        table.close()
        raise
    return table


def _number(path: Path) -> int:
    return int(path.name.split(".")[-2])


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= _SIGN else number


def _unsigned(number: int) -> int:
    return number & 0xFFFFFFFFFFFFFFFF
