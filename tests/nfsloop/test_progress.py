"""Work that takes longer than a second says so: to a terminal, or in the log; else not at all."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import nfsloop

from nfsloop import progress

SLOW = """
import time
from backends.memory import MemoryBackend
from nfsloop import cli
start = MemoryBackend.start
async def slow(self):
    time.sleep(1.5)
    await start(self)
MemoryBackend.start = slow
import sys
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_slow_start_is_in_the_log(tmp_path: Path) -> None:
    argv = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    with nfsloop(*argv, "--state", str(tmp_path / "state"), "memory:", code=SLOW) as server:
        server.ready()
        assert "starting / (MemoryBackend): 1 s" in server.stderr()


def test_a_quick_start_is_not(tmp_path: Path) -> None:
    argv = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    with nfsloop(*argv, "--state", str(tmp_path / "state"), "memory:") as server:
        server.ready()
        assert server.stderr() == ""


@contextlib.contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard error is a terminal, whose other end this is. No fixture: pytest puts its own
    stream there when the test begins."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield ours
    os.close(ours)


def test_on_a_terminal_a_line_comes_and_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal:
        with progress.working("thinking"):
            shown = os.read(terminal, 100)  # waits for it
        assert shown == b"\rthinking: 1 s\033[K"
        assert os.read(terminal, 100) == b"\r\033[K"


def test_what_is_quick_leaves_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal:
        with progress.working("thinking"):
            pass
        os.write(sys.stderr.fileno(), b"x")
        assert os.read(terminal, 100) == b"x"


def test_without_a_terminal_nothing_is_said_and_no_thread_made() -> None:
    threads = threading.active_count()
    with progress.working("thinking"):
        assert threading.active_count() == threads


def test_told_after_one_two_and_four_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    told: list[str] = []

    class Done:
        """An event that is set after ten seconds of a clock that is moved on by waiting."""

        def wait(self, seconds: float) -> bool:
            nonlocal now
            now += seconds
            return now >= 10

    monkeypatch.setattr(progress.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    progress._tick("work", told.append, Done())  # type: ignore[arg-type]
    assert told == ["work: 1 s", "work: 2 s", "work: 4 s", "work: 8 s"]
