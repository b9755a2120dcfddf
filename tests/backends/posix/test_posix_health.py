"""What a directory's backend says of its health."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from posix_kit import ALICE, needs_root

from backends.posix import PosixBackend, creds
from oncrpc import loop

Look = Callable[[PosixBackend, Path], Awaitable[None]]


def with_backend(tmp_path: Path, look: Look) -> None:
    """Do it with a backend that has started, of the directory ``e``."""

    async def main() -> None:
        (tmp_path / "e").mkdir()
        backend = PosixBackend(tmp_path / "e", state=tmp_path / "state")
        assert await backend.health() is None
        await backend.start()
        try:
            assert await backend.health() is None
            await look(backend, tmp_path / "e")
        finally:
            await backend.stop()
        assert await backend.health() is None

    loop.run(main())


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    async def look(backend: PosixBackend, place: Path) -> None:
        place.rmdir()
        assert await backend.health() == "the directory is gone; its clients still see what it was"

    with_backend(tmp_path, look)


def test_one_that_was_moved_and_its_successor(tmp_path: Path) -> None:
    async def look(backend: PosixBackend, place: Path) -> None:
        place.rename(tmp_path / "moved")
        backend._nodes._look_again()
        assert backend._nodes.prefix().endswith(b"/moved/")  # calls go on there
        assert "is gone" in (await backend.health() or "")
        place.mkdir()
        assert "another directory has taken its place" in (await backend.health() or "")
        place.rmdir()
        (tmp_path / "moved").rename(place)
        assert await backend.health() is None

    with_backend(tmp_path, look)


def test_a_file_system_that_became_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(backend: PosixBackend, place: Path) -> None:
        with monkeypatch.context() as patch:
            flags = SimpleNamespace(f_flag=os.ST_RDONLY)
            patch.setattr(os, "statvfs", lambda path: flags)
            assert await backend.health() == "its file system has become read-only"
        assert await backend.health() is None

    with_backend(tmp_path, look)


def test_a_disk_that_hangs_keeps_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody waits for it at the end."""
    goes_on = threading.Event()

    async def look(backend: PosixBackend, place: Path) -> None:
        monkeypatch.setattr(os, "statvfs", lambda path: goes_on.wait(30))
        asked = [asyncio.ensure_future(backend.health()) for _ in range(5)]
        await asyncio.wait(asked, timeout=0.05)
        assert not any(task.done() for task in asked)
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name.startswith("posix-health") for name in names) == 1
        for task in asked:
            task.cancel()

    try:
        with_backend(tmp_path, look)
    finally:
        goes_on.set()


@needs_root
def test_it_looks_as_the_process_itself(tmp_path: Path) -> None:
    """Also where its thread is made in the turn in which a call acts as somebody else."""

    async def main() -> None:
        (tmp_path / "closed" / "e").mkdir(parents=True)
        (tmp_path / "closed").chmod(0o700)
        backend = PosixBackend(tmp_path / "closed" / "e", state=tmp_path / "state")
        await backend.start()
        try:
            creds.of_this_thread().become(ALICE)
            assert await backend.health() is None
        finally:
            await backend.stop()

    loop.run(main())
