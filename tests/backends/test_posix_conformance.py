"""A directory on disk, judged by the conformance kit."""

from __future__ import annotations

import os
from pathlib import Path

from backends.base import Backend, Context
from backends.conformance import BackendConformance
from backends.posix import PosixBackend


class TestPosix(BackendConformance):
    """As root it takes on the caller's credentials; else all is done as the one who runs it."""

    killable = True
    checks_permissions = os.geteuid() == 0
    superuser = Context(os.geteuid(), os.getegid(), (), "192.0.2.1", "/")

    def make_backend(self, tmp_path: Path) -> Backend:
        (tmp_path / "export").mkdir(exist_ok=True)
        return PosixBackend(tmp_path / "export", state=tmp_path / "state")

    def reopen(self, tmp_path: Path) -> Backend:
        return self.make_backend(tmp_path)


class TestPosixWithoutState(BackendConformance):
    """No state directory: what it knows need not outlive it."""

    checks_permissions = os.geteuid() == 0
    superuser = Context(os.geteuid(), os.getegid(), (), "192.0.2.1", "/")

    def make_backend(self, tmp_path: Path) -> Backend:
        return PosixBackend(tmp_path, state=None)
