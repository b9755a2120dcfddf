"""That the kit can fail: backends with one planted fault each, and the tests that must find it.

The kit's tests are run as functions; that the same tests pass with `MemoryBackend` is what
`test_memory` shows.
"""

from __future__ import annotations

from pathlib import Path

import planted_files  # noqa: F401
import planted_names  # noqa: F401
import planted_operations  # noqa: F401
import planted_races  # noqa: F401
import planted_results  # noqa: F401
import planted_semantics  # noqa: F401
import planted_storage  # noqa: F401
import pytest
from planted import FAULTS, Kit, arguments_of, finds, kit_tests, outcomes
from planted_table import FOUND_TOO

from backends.base import Backend
from backends.conformance import BackendConformance
from backends.conformance.restart import Restart
from backends.memory import MemoryBackend


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_found(fault: type[Backend], tmp_path: Path) -> None:
    for name in FAULTS[fault]:
        assert finds(Kit(fault), name, tmp_path), f"{name} does not find {fault.__name__}"


@pytest.mark.parametrize("name", FOUND_TOO)
def test_each_test_of_the_kit_can_fail(name: str, tmp_path: Path) -> None:
    [fault] = [fault for fault in FAULTS if fault.__name__ == FOUND_TOO[name]]
    assert finds(Kit(fault), name, tmp_path), f"{name} does not find {fault.__name__}"


def test_no_test_of_the_kit_is_left_out() -> None:
    found = {name for names in FAULTS.values() for name in names} | set(FOUND_TOO)
    assert set(kit_tests(BackendConformance)) - found == {
        "test_sigkill_at_any_moment",  # test_conformance_kills.py
    }


def test_no_fault_is_found_where_there_is_none(tmp_path: Path) -> None:
    """What only this kit has: `reopen` and `crash`; the rest is shown by `test_memory`."""
    for name in kit_tests(Restart):
        got = set(outcomes(Kit(MemoryBackend), name, tmp_path))
        assert got <= {"passed", "skipped"}, f"{name}: {got}"


def test_the_kit_is_large_enough() -> None:
    tests = kit_tests(BackendConformance)
    assert len(tests) >= 200
    assert sum(1 for test in tests.values() for _ in arguments_of(test)) >= 700
    assert len(FAULTS) >= 40
