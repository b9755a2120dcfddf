"""The lock that keeps a file for one engine: among processes, and within one."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

#: Seconds between two attempts.
_PAUSE: Final = 0.02


class FileLock:
    """Holds a file by flock(2), on a descriptor of its own, from construction to `release`.

    SQLite's own locks are of POSIX: they are gone as soon as this process closes the file anywhere,
    as a backup or an export of the directory does. Therefore, too, the descriptor must not be
    closed while SQLite has the file, and a second lock in one process is refused without opening
    anything.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        """Lock `path`, which is made if it is not there. Raises BlockingIOError if others have it
        for so many seconds; OSError."""
        end = time.monotonic() + seconds
        while True:
            with _guard:
                done = self._try(path)
            if done:
                return
            if time.monotonic() >= end:
                raise BlockingIOError(errno.EAGAIN, "locked", str(path))
            time.sleep(_PAUSE)

    def _try(self, path: Path) -> bool:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            pass  # so nobody has it
        else:
            if (found.st_dev, found.st_ino) in _held:
                return False
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo does not wait
        # An object, so that the descriptor of one that is forgotten is closed.
        self._file = open(os.open(path, flags, 0o644), "r+b", buffering=0)  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found, named = os.fstat(self._file.fileno()), os.stat(path)
        except (BlockingIOError, FileNotFoundError):
            self._file.close()
            return False
        except BaseException:
            self._file.close()
            raise
        self.identity = found.st_dev, found.st_ino
        if not os.path.samestat(found, named):  # the name was given to another file meanwhile
            self._file.close()
            return False
        _held[self.identity] = self
        return True

    def release(self) -> None:
        """Let go of it; SQLite must have done so before."""
        with _guard:
            _held.pop(self.identity, None)
            self._file.close()


_guard = threading.Lock()
#: What this process has, by device and inode number: at most one for each engine.
_held: WeakValueDictionary[tuple[int, int], FileLock] = WeakValueDictionary()
