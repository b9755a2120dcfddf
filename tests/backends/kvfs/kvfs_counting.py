"""An engine that counts and fails, and what tests of a backend over it begin with."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from backends.base import Context, CreateMode, FsError, Key, SetAttr, Stable, Status
from backends.kvfs import KvfsBackend, Memory, MemoryEngine
from backends.kvfs.memory import MemoryTransaction

ROOT = Context()
GUARDED = CreateMode.GUARDED
BLOCK = 4096
UNSTABLE, FILE_SYNC = Stable.UNSTABLE, Stable.FILE_SYNC


class Counting(MemoryEngine):
    """Counts what is asked; fails with `error` at the step that `left` counts down to."""

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__(memory, BLOCK)
        self.steps = self.scanned = self.deleted = self.begun = 0
        self.left: int | None = None
        self.error = OSError(errno.EIO, "planted")
        self.fail_sync = False

    def step(self) -> None:
        self.steps += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error

    def begin(self, write: bool, sync: bool = False) -> MemoryTransaction:
        self.step()
        self.begun += 1
        return _Counted(self, write, sync)

    def sync(self) -> None:
        if self.fail_sync:
            self.memory.life = b"lost %d" % self.steps
            self.steps += 1
            raise OSError(errno.EIO, "fsync")
        super().sync()


class _Counted(MemoryTransaction):
    def __init__(self, engine: Counting, write: bool, sync: bool) -> None:
        super().__init__(engine.memory, write, sync)
        self._engine = engine

    def get(self, key: bytes) -> bytes | None:
        self._engine.step()
        return super().get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._engine.step()
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self._engine.step()
        self._engine.deleted += 1
        super().delete(key)

    def scan(self, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._engine.step()
        for found in super().scan(first, last):
            self._engine.scanned += 1
            yield found

    def commit(self) -> None:
        self._engine.step()
        super().commit()


Body = Callable[[KvfsBackend, Key, Any], Awaitable[None]]


def run(body: Body, engine: MemoryEngine | None = None, **options: Any) -> None:
    """Run a test with a backend, its root and its engine; all must be consistent afterwards."""

    async def main() -> None:
        used = engine or Counting()
        backend = KvfsBackend(used, **options)
        await backend.start()
        await body(backend, (await backend.root(ROOT)).key, used)
        assert await backend.fsck() == []
        await backend.stop()

    asyncio.run(main())


async def make(fs: KvfsBackend, name: bytes = b"f", dir: Key | None = None) -> Key:
    dir = dir or (await fs.root(ROOT)).key
    return (await fs.create(ROOT, dir, name, GUARDED, SetAttr(mode=0o644), b"")).attr.key


async def status(call: Awaitable[object]) -> Status:
    with pytest.raises(FsError) as caught:
        await call
    return caught.value.status


async def large(fs: KvfsBackend, blocks: int, name: bytes = b"large") -> Key:
    key = await make(fs, name)
    for at in range(0, blocks, 256):
        await fs.write(ROOT, key, at * BLOCK, b"x" * min(256, blocks - at) * BLOCK, UNSTABLE)
    return key


def blocks_of(memory: Memory) -> int:
    return sum(key[:1] == b"B" for key in memory.keys)
