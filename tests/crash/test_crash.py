"""SIGKILLs under a load of calls that are not idempotent: a short run, and faults that it finds.

The whole one is a command: see docs/crash.md.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kills import crash

KILLS = 30

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some; pytest's own directories are on a disk."""
    shm = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="nfsloop-crash-", dir=shm if shm.is_dir() else None)
    yield Path(made)
    shutil.rmtree(made)


def test_every_call_is_executed_once(folder: Path) -> None:
    outcome = asyncio.run(crash(folder, KILLS, seed=1))
    assert not outcome.violations, str(outcome)
    assert outcome.kills == KILLS
    # The load was in the midst of something at most kills.
    assert outcome.retransmissions > 2 * KILLS, str(outcome)
    for proc in ("MKDIR", "CREATE", "REMOVE", "RMDIR", "RENAME", "LINK", "SYMLINK", "SETATTR"):
        assert outcome.calls[f"{proc} NFS3_OK"] > 0, str(outcome)


@pytest.mark.parametrize(("plant", "kills"), [("no-cache", 60), ("no-restore", 60)])
def test_without_the_cache_it_shows(folder: Path, plant: str, kills: int) -> None:
    outcome = asyncio.run(crash(folder, kills, 1, plant))
    assert any("NFS3ERR_" in line for line in outcome.violations), str(outcome)


def test_a_crash_before_the_record_shows(folder: Path) -> None:
    """Without intents, a call that took place but whose reply was not kept is executed again."""
    outcome = asyncio.run(crash(folder, 400, 1, "no-intents"))
    assert any("NFS3ERR_" in line for line in outcome.violations), str(outcome)
