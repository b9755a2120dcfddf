"""How many system calls one call takes, held to a table: a server as it is run, under strace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import budget_strace
import pytest

from benchmarks.scale_calls import Remote


def test_system_calls_of_a_call_are_within_their_budget(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    if os.geteuid():
        pytest.skip("counted as root, whose server opens by handle and acts as each caller")
    pytest.importorskip("uvloop", reason="the table is of a server with uvloop")
    tree = tmp_path / "tree"
    tree.mkdir()
    with budget_strace.server(tree, tmp_path / "state") as (pid, port):
        caller = Remote(port)
        try:
            found = budget_strace.measure(pid, caller)
        except OSError as exc:
            pytest.skip(f"strace may not trace here: {exc}")
        finally:
            caller.talk.sock.close()
    budget = json.loads(budget_strace.TABLE.read_text())
    assert not budget_strace.compare(found, budget)


def test_a_system_call_more_is_told() -> None:
    budget = {"GETATTR": 1.19, "READ": 4.19}
    assert budget_strace.compare({"GETATTR": 1.25, "READ": 4.19}, budget) == []
    told = budget_strace.compare({"GETATTR": 2.19, "READ": 3.19}, budget)
    assert [line.partition(" system")[0] for line in told] == ["GETATTR: 2.19", "READ: 3.19"]
