"""What the tests of wraps share."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from backends.base import (
    OPERATIONS,
    Backend,
    Context,
    CreateMode,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance import Link, Tree
from backends.memory import MemoryBackend
from backends.wrap import Wrap

ROOT = Context(client="192.0.2.1", export="/")
USER = Context(1000, 100, client="192.0.2.1", export="/")


class Counted(Wrap):
    """Counts the calls of each operation, and can hold them up: as a store that is far away."""

    def __init__(self, below: Backend, inline: bool = False) -> None:
        super().__init__(below)
        self.inline = inline
        self.calls: Counter[str] = Counter()
        #: Operation -> waits before the call, or behind it.
        self.before: dict[str, asyncio.Event] = {}
        self.after: dict[str, asyncio.Event] = {}
        #: Operation -> what it raises, before anything is done.
        self.fails: dict[str, Exception] = {}
        #: The same, after it was done.
        self.fails_late: dict[str, Exception] = {}
        for name in OPERATIONS:
            setattr(self, name, partial(self._call, name, getattr(self.below, name)))

    async def _call(
        self, name: str, method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> Any:
        self.calls[name] += 1
        if name in self.before:
            await self.before[name].wait()
        if name in self.fails:
            raise self.fails[name]
        result = await method(*args, **kwargs)
        if name in self.after:
            await self.after[name].wait()
        if name in self.fails_late:
            raise self.fails_late[name]
        return result


class Shuffled(Wrap):
    """Each call waits some turns of the loop before and behind, so that calls overtake each other.
    All from one seed."""

    def __init__(self, below: Backend, seed: int, turns: int = 4) -> None:
        super().__init__(below)
        self.inline = False
        self.chance = random.Random(seed)
        self.turns = turns
        for name in OPERATIONS:
            setattr(self, name, partial(self._call, name, getattr(self.below, name)))

    async def _call(
        self, name: str, method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> Any:
        before, after = self.chance.randrange(self.turns), self.chance.randrange(self.turns)
        for _ in range(before):
            await asyncio.sleep(0)
        result = await method(*args, **kwargs)
        for _ in range(after):
            await asyncio.sleep(0)
        return result


class Timeless(MemoryBackend):
    """Where times tell nothing, caches must know what they do."""

    def _now(self) -> int:
        return 7


class Planted(MemoryBackend):
    """Holds a tree."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    async def start(self) -> None:
        await plant(self, (await self.root(ROOT)).key, self._tree)


async def plant(backend: Backend, dir: Key, tree: Tree) -> None:
    """Write a tree into a directory."""
    for name, node in tree.items():
        if isinstance(node, bytes):
            await file(backend, dir, name, node)
        elif isinstance(node, Link):
            await backend.symlink(ROOT, dir, name, node.target, SetAttr(mode=0o777))
        else:
            made = await backend.mkdir(ROOT, dir, name, SetAttr(mode=0o755))
            await plant(backend, made.attr.key, node)


async def file(
    backend: Backend, dir: Key, name: bytes, data: bytes = b"", mode: int = 0o644
) -> Key:
    """Make a file with data in it."""
    how = CreateMode.GUARDED
    key = (await backend.create(ROOT, dir, name, how, SetAttr(mode=mode), b"")).attr.key
    if data:
        await backend.write(ROOT, key, 0, data, Stable.FILE_SYNC)
    return key


async def mkdir(backend: Backend, dir: Key, name: bytes, mode: int = 0o755) -> Key:
    return (await backend.mkdir(ROOT, dir, name, SetAttr(mode=mode))).attr.key


async def root(backend: Backend) -> Key:
    return (await backend.root(ROOT)).key


async def refused(call: Awaitable[object]) -> Status:
    """The status that a call is refused with."""
    with pytest.raises(FsError) as caught:
        await call
    return caught.value.status


async def turns(count: int = 10) -> None:
    """Let everything go on that can."""
    for _ in range(count):
        await asyncio.sleep(0)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
