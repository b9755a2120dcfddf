"""The kit as an author meets it: a small backend, three lines of test, pytest's own report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import arguments_of

from backends.base import (
    Attr,
    Backend,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    Key,
    Listing,
    Status,
)
from backends.conformance import BackendConformance
from backends.conformance.kit import summary
from backends.memory import MemoryBackend

ROOT = Path(__file__).parents[2]


class FlatBackend(Backend):
    """Some files in one directory: the five methods of a read-only file system."""

    inline = True

    def __init__(self, files: dict[bytes, bytes]) -> None:
        super().__init__()
        self.names = sorted(files)
        self.data = [files[name] for name in self.names]

    def _attr(self, key: Key) -> Attr:
        if key == (1, 0):
            return Attr(1, FileType.DIR, 0o755, 2, 0, 0, 4096, 0, 0, 0, 0)
        if key.generation or not 2 <= key.ino < 2 + len(self.data):
            raise FsError(Status.STALE)
        size = len(self.data[key.ino - 2])
        return Attr(key.ino, FileType.REG, 0o644, 1, 0, 0, size, size, 0, 0, 0)

    def _dir(self, key: Key) -> None:
        if self._attr(key).type is not FileType.DIR:
            raise FsError(Status.NOTDIR)

    async def root(self, ctx: Context) -> Attr:
        return self._attr(Key(1))

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        return self._attr(key)

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        self._dir(dir)
        if name not in self.names:
            raise FsError(Status.NOENT)
        return Found(self._attr(Key(2 + self.names.index(name))))

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        if self._attr(key).type is FileType.DIR:
            raise FsError(Status.ISDIR)
        data = self.data[key.ino - 2]
        return Data(data[offset : offset + count], offset + count >= len(data))

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        self._dir(dir)
        entries = [DirEntry(name, at, at + 1) for at, name in enumerate(self.names, 2)]
        return Listing([entry for entry in entries if entry.cookie > cookie], True)


class TestFlat(BackendConformance):
    """A read-only backend without subdirectories, links or attributes in its results."""

    read_only = True
    tree = {b"a.txt": b"content of a", b"b": b"", b"c": b"0123456789abcdef" * 100}

    def make_backend(self, tmp_path: Path) -> Backend:
        return FlatBackend({name: data for name, data in self.tree.items() if type(data) is bytes})


AUTHOR = """
from backends.conformance import BackendConformance
from backends.memory import MemoryBackend

class TestMine(BackendConformance):
    def make_backend(self, tmp_path):
        return MemoryBackend()

class Wrong(MemoryBackend):
    async def read(self, ctx, key, offset, count):
        got = await super().read(ctx, key, offset, count)
        if offset > 4000:
            got.eof = False
        return got

class TestWrong(BackendConformance):
    tick = 0

    def make_backend(self, tmp_path):
        return Wrong()

class TestUnfinished(BackendConformance):
    pass
"""


#: What is run of it: little, since each test of the kit is tested elsewhere.
_CHOSEN = (
    "(TestMine and (rename_table or read_only))"
    " or (TestWrong and (test_read_tells_the_end or (random_walk and not restarts)))"
    " or (TestUnfinished and test_root_is_a_directory)"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says to the author."""
    path = tmp_path_factory.mktemp("author")
    (path / "test_mine.py").write_text(AUTHOR)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "-k", _CHOSEN, "."],
        cwd=path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


def test_three_lines_are_enough(report: str) -> None:
    [mine] = [line for line in report.splitlines() if "conformance of TestMine: " in line]
    assert " passed" in mine
    assert "failed" not in mine
    assert "do not apply (the backend is writable: " in mine
    assert "the backend is writable" in report, "a skip says why"
    assert "Warning" not in report


def test_a_failure_tells_what_was_expected_and_where_it_stands(report: str) -> None:
    assert "see Backend.read (RFC 1813 section 3.3.6)" in report
    [wrong] = [line for line in report.splitlines() if "conformance of TestWrong: " in line]
    assert " failed" in wrong
    # Of a walk of hundreds of steps, those that it takes.
    assert "seed 1, after " in report
    steps = [line for line in report.splitlines() if line.startswith("E ") and " read(#" in line]
    assert 1 <= len(steps) <= 8, steps


def test_what_a_read_only_kit_leaves_out_is_what_would_be_skipped() -> None:
    """And it is counted: the summary says the same as if all had been collected."""

    class Skipping(BackendConformance):
        pass

    left_out = {name for name in dir(TestFlat) if getattr(TestFlat, name) is None}
    needs = {name: getattr(getattr(Skipping, name), "needs", ()) for name in dir(Skipping)}
    assert left_out == {name for name, need in needs.items() if "write" in need}
    assert len(left_out) > 150 and "test_lookup_in_a_file" not in left_out
    number = sum(1 for name in left_out for _ in arguments_of(getattr(BackendConformance, name)))
    assert number > 600
    assert f"the backend declares read_only: {number}" in summary(TestFlat)


def test_a_read_only_kit_for_a_writable_backend_fails(tmp_path: Path) -> None:
    class Lying(BackendConformance):
        read_only = True

        def make_backend(self, tmp_path: Path) -> Backend:
            return MemoryBackend()

    with pytest.raises(AssertionError, match="the backend declares it not"):
        Lying().test_root_is_a_directory(tmp_path)


def test_a_missing_hook_is_named(report: str) -> None:
    assert "make_backend returns the backend under test" in report
