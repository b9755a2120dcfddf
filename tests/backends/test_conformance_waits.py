"""The kit's races, run against sound backends that wait: one in Tasks, one in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends.base import OPERATIONS, Backend, Listing
from backends.conformance.concurrency import Concurrency
from backends.conformance.lifecycle import LifeCycle
from backends.conformance.walk import Walks
from backends.memory import MemoryBackend


class WaitingBackend(MemoryBackend):
    """One call after the other, each of which lets others try."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Lock()
        self.inside = False


class ThreadedBackend(MemoryBackend):
    """A blocking backend: one lock."""

    inline = False
    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()


def _waits(name: str) -> Callable[..., Any]:
    method = getattr(MemoryBackend, name)

    async def call(self: WaitingBackend, *args: Any, **more: Any) -> Any:
        if self.inside:  # create calls setattr
            return await method(self, *args, **more)
        async with self.turn:
            await asyncio.sleep(0)
            self.inside = True
            try:
                return _taken(await method(self, *args, **more))
            finally:
                self.inside = False

    return call


def _blocks(name: str) -> Callable[..., Any]:
    method = getattr(MemoryBackend, name)

    async def call(self: ThreadedBackend, *args: Any, **more: Any) -> Any:
        with self.lock:
            return _taken(await method(self, *args, **more))

    return call


def _taken(result: Any) -> Any:
    """A listing's entries are taken while nobody changes the directory."""
    if isinstance(result, Listing):
        result.entries = list(result.entries)
    return result


for _name in OPERATIONS:
    setattr(WaitingBackend, _name, _waits(_name))
    setattr(ThreadedBackend, _name, _blocks(_name))


class _Kit(Concurrency, LifeCycle, Walks):
    __test__ = False
    tick = 0
    walk_seeds = (5, 6)


class TestWaiting(_Kit):
    __test__ = True

    def make_backend(self, tmp_path: Path) -> Backend:
        return WaitingBackend()


class TestThreaded(_Kit):
    __test__ = True

    def make_backend(self, tmp_path: Path) -> Backend:
        return ThreadedBackend()
