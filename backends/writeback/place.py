"""The directory of the local files: one user at a time, and the verifier of what is in it."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path


class Place:
    """`directory`, or a temporary one. `lock` comes first, `unlock` last."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._guard: int | None = None
        #: Known after `lock`.
        self.root = directory or Path()

    @property
    def passing(self) -> bool:
        """Whether what is in it ends with the process."""
        return self._directory is None

    def lock(self) -> None:
        """Make it this process's, if that was not done. Raises OSError EBUSY: another has it."""
        if self._guard is not None:
            return
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="nfsloop-", suffix="-writeback")
            self.root = Path(self._temporary.name)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(guard)
            if error.errno == errno.EWOULDBLOCK:
                raise OSError(errno.EBUSY, f"another server uses {self.root}") from None
            raise
        self._guard = guard

    def unlock(self) -> None:
        """Let another have it."""
        guard, self._guard = self._guard, None
        if guard is not None:
            os.close(guard)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def move_to_lost(self, stem: str) -> None:
        """Keep what nobody can use now, for the administrator."""
        aside = self.root / "lost"
        aside.mkdir(mode=0o700, exist_ok=True)
        for suffix in (".journal", ".data"):
            path = self.root / f"{stem}{suffix}"
            if path.exists():
                os.replace(path, aside / f"{time.time_ns()}-{path.name}")

    def verifier(self, boot: bytes, lost: bool) -> bytes:
        """The verifier of before if all that was answered under it is here, else a new one."""
        path = self.root / "verifier"
        kept = path.read_bytes() if path.exists() else b""
        if len(kept) == 24 and kept[8:] == boot and any(boot) and not lost:
            return kept[:8]
        verifier = os.urandom(8)
        fresh = path.with_suffix(".fresh")
        with fresh.open("wb") as file:
            file.write(verifier + boot)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        return verifier
