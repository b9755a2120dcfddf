"""What `Backend.shareable` promises, asked of backends by the conformance kit: each call goes to
another of two that have one storage open, as calls of one client go to two workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from backends.base import OPERATIONS, Backend, Context
from backends.conformance.creating import Creating
from backends.conformance.files import Files
from backends.conformance.names import Names
from backends.conformance.renaming import Renaming
from backends.posix import PosixBackend
from backends.posix.index import Index
from nfsloop.workers.page import Page


class Alternating(Backend):
    """Two backends over one storage, that calls take turns with."""

    inline = True

    def __init__(self, make: Callable[[], Backend]) -> None:
        super().__init__()
        self._both = make(), make()
        self._turns = cycle(self._both)
        self._page = Page(2)
        for backend in self._both:
            backend.share()
            self._page.share_verifier(backend)
        self._page.share_verifier(self)
        for name in OPERATIONS:
            setattr(self, name, partial(self._call, name))

    async def _call(self, name: str, *args: Any) -> Any:
        try:
            return await getattr(next(self._turns), name)(*args)
        finally:
            await asyncio.sleep(0)  # the next one has a turn of the loop of its own

    async def start(self) -> None:
        """Start one, and then the other."""
        for backend in self._both:
            await backend.start()
        assert all(backend.shareable for backend in self._both)
        self.limits = self._both[0].limits

    def set_sync(self, sync: bool) -> None:
        """For both."""
        for backend in self._both:
            backend.set_sync(sync)

    async def stop(self) -> None:
        """Stop both."""
        for backend in self._both:
            await backend.stop()


class TestTwoOfOneDirectory(Creating, Files, Names, Renaming):
    """What another changes is as if any program beside the server had changed it."""

    checks_permissions = os.geteuid() == 0
    superuser = Context(os.geteuid(), os.getegid(), (), "192.0.2.1", "/")

    def make_backend(self, tmp_path: Path) -> Backend:
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files").chmod(0o755)
        return Alternating(lambda: PosixBackend(tmp_path / "files", state=tmp_path / "state"))


def test_the_index_is_one_for_all(tmp_path: Path) -> None:
    """What a server of one process left in its journal is there; what one of several adds, the
    others find at once; nobody has a journal that another would take for one of before."""
    before = Index(tmp_path, b"/e")
    before.open()
    before.add(10, 1, 2, b"left")  # and is killed
    home, worker = Index(tmp_path, b"/e", shared=True), Index(tmp_path, b"/e", shared=True)
    home.open()
    worker.open()
    assert [link.name for link in worker.links(10)] == [b"left"]
    home.add(11, 1, 2, b"by one")
    worker.add(12, 1, 2, b"by another")
    assert [link.name for link in worker.links(11)] == [b"by one"]
    assert [link.name for link in home.links(12)] == [b"by another"]
    worker.remove(11, 2, b"by one")
    assert not home.links(11)
    # Its own journal is what a server that is killed leaves; those of several leave none.
    assert not list(tmp_path.glob("*.journal"))
    home.close()
    worker.close()
    alone = Index(tmp_path, b"/e")
    alone.open()
    assert [link.name for link in alone.links(12)] == [b"by another"]
    alone.close()
