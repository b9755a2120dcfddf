"""The kit's SIGKILL test: what a sound backend passes, and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_storage import KeepsNowAndThen, KeptBackend, RemovesBeforeItMakes, SameVerifier

from backends.base import Backend, Key
from backends.conformance import BackendConformance, kills
from backends.conformance.kills import Kills
from backends.conformance.restart import Restart
from backends.conformance.walk import Walks


class TestKept(Restart, Walks, Kills):
    """A backend that keeps each change in a file, all or nothing."""

    tick = 0
    killable = atomic = True
    kept: type[KeptBackend] = KeptBackend

    def make_backend(self, tmp_path: Path) -> Backend:
        return self.kept(tmp_path)

    def reopen(self, tmp_path: Path) -> Backend:
        return self.make_backend(tmp_path)

    def crash(self, backend: Backend, tmp_path: Path) -> Backend:
        return self.make_backend(tmp_path)


class _Faulty(BackendConformance):
    __test__ = False
    killable = atomic = True
    kills = 6
    kept: type[KeptBackend] = KeepsNowAndThen

    def make_backend(self, tmp_path: Path) -> Backend:
        return self.kept(tmp_path)

    def reopen(self, tmp_path: Path) -> Backend:
        return self.make_backend(tmp_path)


class Quiet(_Faulty):
    kept = SameVerifier


class Halving(_Faulty):
    kept = RemovesBeforeItMakes


@pytest.mark.parametrize("faulty", [_Faulty, Quiet, Halving])
def test_a_fault_is_found(faulty: type[_Faulty], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match="after SIGKILL"):
        faulty().test_sigkill_at_any_moment(tmp_path)


def test_what_is_killed_is_told_of(tmp_path: Path) -> None:
    kit = TestKept()
    runs = kills._kill(kit, tmp_path)
    assert len(runs) == kit.kills
    for number, run in enumerate(runs):
        assert run.root == Key(1)
        assert len(run.done) >= 5, "it was killed before anything was acknowledged"
        assert (tmp_path / f"killed {number}" / "kept").exists()


def test_a_class_that_nobody_finds_is_skipped(tmp_path: Path) -> None:
    class Local(TestKept):
        pass

    with pytest.raises(pytest.skip.Exception, match="made in a function"):
        Local().test_sigkill_at_any_moment(tmp_path)
