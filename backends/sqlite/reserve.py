"""Room on the disk that is kept for the worst moment."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

#: It grows by so much at a time.
STEP_BYTES: Final = 1 << 20


class Reserve:
    """A file without a name, as large as what may have to be written when others fill the disk.

    It goes with its process, however that ends.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._file: FileIO | None = None
        #: Bytes that are kept.
        self.kept = 0

    def keep(self, directory: Path, wanted: int) -> None:
        """Keep so many bytes at least, up to the most, if the file system of `directory` has
        them."""
        wanted = min(wanted, self._most_bytes)
        if self.kept >= wanted:
            return
        more = -(-(wanted - self.kept) // STEP_BYTES) * STEP_BYTES
        with suppress(OSError):
            if self._file is None:
                self._file = FileIO(_nameless(directory), "r+")
            os.posix_fallocate(self._file.fileno(), self.kept, more)
            self.kept += more

    def give_back(self) -> bool:
        """Let go of it; False if there was none."""
        kept, self.kept = self.kept, 0
        if self._file is not None:
            self._file.close()
        self._file = None
        return kept > 0


def _nameless(directory: Path) -> int:
    with suppress(OSError):
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fd, path = tempfile.mkstemp(dir=directory)
    os.unlink(path)
    return fd
