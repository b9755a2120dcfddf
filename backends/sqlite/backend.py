"""Files in one SQLite file."""

from __future__ import annotations

from pathlib import Path

from backends.kvfs import KvfsBackend
from backends.kvfs.core import MAX_FILES
from backends.sqlite.engine import SqliteEngine


class SqliteBackend(KvfsBackend):
    """A complete file system in one SQLite file.

    `path` is the file; it is made if it is not there. Beside it, ``PATH-wal`` holds the latest
    changes while it is served: together they survive the death of the process at any moment. After
    a clean stop, the one file is all, and can be copied. One process can serve it at a time, and it
    must be on a file system of this machine: SQLite's log and the lock ask for that.

    `max_bytes` limits file data and link targets; without it, the disk does. `max_files` limits the
    inodes. `mode`, `uid` and `gid` are the root directory's, when the file is made. With `durable`,
    each change of names and attributes is safe from a power cut before it is answered, for an fsync
    each; without, the next COMMIT or stable write of any file makes it so.

    As much of the disk as the log takes is kept in reserve, some MiB, so that files can be removed
    when others fill the disk, also after a restart. If they take what a restart lets go of, too,
    nothing can be removed until there is some room again: ENOSPC.

    A file that shrinks is no aim: what is freed is used again. The SQL command VACUUM shrinks it,
    while it is not served.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int | None = None,
        max_files: int = MAX_FILES,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        durable: bool = False,
    ) -> None:
        """Raises ValueError for an option that cannot be; nothing is opened."""
        if not str(path) or str(path) == ".":
            raise ValueError("sqlite: needs the path of a file")
        self.path = Path(path)
        super().__init__(
            SqliteEngine(self.path),
            max_bytes=max_bytes,
            max_files=max_files,
            mode=mode,
            uid=uid,
            gid=gid,
            durable=durable,
        )

    def describe(self) -> str:
        """See `Backend.describe`."""
        state = self._store.state
        return f"in the SQLite file {self.path}: {state.inodes} inodes, {state.used} bytes of data"
