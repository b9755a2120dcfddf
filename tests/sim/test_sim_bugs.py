"""A simulator that finds nothing proves nothing: planted bugs, each found within a few seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sim_bugs import PLANTED, CommitWithoutFsync
from sim_history import quiet, run_seed
from sim_world import Bugs, Violation

#: Far fewer than `test_sim_seeds` runs.
SEEDS = 200


def found(bug: type[Bugs], backend: str) -> str:
    """The first violation that `bug` leads to."""
    with quiet():
        for seed in range(SEEDS):
            try:
                run_seed(seed, backend, bug())
            except Violation as exc:
                return str(exc)
    pytest.fail(f"{SEEDS} seeds did not find it")


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str) -> None:
    head, *trace = found(PLANTED[name], "memory").split("\n")
    assert head.startswith("seed ") and trace
    # By the check that is there for it, not by a fault of the simulator's own.
    assert "Error:" not in head.replace("FsError(", ""), head


def test_commit_without_fsync_is_found_on_a_real_directory() -> None:
    assert "its data were not synced" in found(CommitWithoutFsync, "posix").split("\n")[0]


def test_the_command_names_the_seed_and_how_to_replay_it() -> None:
    command = Path(__file__).with_name("simulator.py")
    done = subprocess.run(
        [sys.executable, str(command), "--seed", "0", "--trace", "--bug", "no cache"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.startswith("seed 0 on memory: ")
    assert "is executed again" in done.stdout and " executes " in done.stdout
