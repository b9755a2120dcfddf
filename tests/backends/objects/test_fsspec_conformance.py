"""The fsspec backend and the conformance kit, over stores in this process."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from backends import inodes
from backends.base import Backend
from backends.conformance import BackendConformance
from backends.conformance.concurrency import Concurrency
from backends.conformance.kit import TREE, Kit
from backends.conformance.renaming import Renaming
from backends.conformance.restart import Restart
from backends.conformance.walk import Walks

pytest.importorskip("fsspec", reason="fsspec is not installed")

from backends.objects import FsspecBackend


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL is tested here, power cuts are not: nothing needs to reach the disk."""
    monkeypatch.setattr(inodes, "SYNC_AT_OPEN", "OFF")
    monkeypatch.setattr(inodes, "SYNC", "OFF")
    monkeypatch.setattr("os.fsync", lambda fd: None)


class Fsspec(Kit):
    """What all stores have in common."""

    tick = 0
    sparse = False
    any_bytes_in_names = False
    counts_subdirectories = False
    many = 200
    walk_seeds = (1, 2)
    walk_steps = 150
    tree = {**TREE, b"big": bytes(range(256)) * 256, b"many": {b"1": b"one", b"2": b"two"}}

    def url(self, tmp_path: Path) -> str:
        raise NotImplementedError

    def make_backend(self, tmp_path: Path) -> Backend:
        return FsspecBackend(self.url(tmp_path), state=tmp_path / "state", uid=0, gid=0)

    def reopen(self, tmp_path: Path) -> Backend | None:
        return self.make_backend(tmp_path)

    def crash(self, backend: Backend, tmp_path: Path) -> Backend | None:
        assert isinstance(backend, FsspecBackend)
        backend.abandon()
        return self.make_backend(tmp_path)


class TestFsspecLocal(Fsspec, BackendConformance):
    killable = True

    def test_deep_directories(self) -> None:
        pytest.skip("fsspec opens local files by their whole paths, which end at PATH_MAX")

    def url(self, tmp_path: Path) -> str:
        (tmp_path / "files").mkdir(exist_ok=True)
        return f"file://{tmp_path}/files"


class TestFsspecMemory(Fsspec, Renaming, Restart, Walks, Concurrency):
    """What depends on the store: here a rename is a copy, and a put needs no other name.

    The store is this process's, so it outlives the backend.
    """

    checks_permissions = False

    def url(self, tmp_path: Path) -> str:
        return f"memory://{tmp_path.name}-{uuid.uuid5(uuid.NAMESPACE_URL, str(tmp_path))}"
