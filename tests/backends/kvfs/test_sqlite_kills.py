"""SIGKILL at random moments: see `sqlite_kills`, which can run many more."""

from __future__ import annotations

from pathlib import Path

from sqlite_kills import run


def test_sigkill_on_one_file_again_and_again(tmp_path: Path) -> None:
    total, _ = run(tmp_path / "fs.db", 15)
    assert total > 100
