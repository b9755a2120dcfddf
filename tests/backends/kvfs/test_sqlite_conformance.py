"""The conformance kit against the SQLite backend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backends.base import Backend
from backends.conformance import BackendConformance
from backends.sqlite import SqliteBackend

_MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that is at hand: some thousand fsyncs take nothing there."""
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as path:
        yield Path(path)


class TestSqlite(BackendConformance):
    """A crash leaves the files as they are at that moment: a copy of them is what is found."""

    tick = 0
    many = 400
    killable = True
    atomic = True

    def make_backend(self, tmp_path: Path) -> Backend:
        return self.reopen(tmp_path)

    def reopen(self, tmp_path: Path) -> Backend:
        return SqliteBackend(max(tmp_path.glob("fs?"), default=tmp_path / "fs0"))

    def crash(self, backend: Backend, tmp_path: Path) -> Backend:
        assert isinstance(backend, SqliteBackend)
        new = backend.path.with_name(f"fs{int(backend.path.name[2:]) + 1}")
        for end in ("", "-wal"):
            shutil.copyfile(f"{backend.path}{end}", f"{new}{end}")
        return self.reopen(tmp_path)
