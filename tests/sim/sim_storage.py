"""Storage that outlives a simulated server: a disk in memory that loses what was not synced, and
a directory."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from backends.base import (
    Backend,
    Buffer,
    Context,
    Key,
    SetAttr,
    Stable,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend
from backends.memory.inodes import File
from backends.posix import PosixBackend, descriptors
from backends.posix.workers import Done, Workers
from oncrpc.testing import VirtualExecutor

#: What files are made on, if the machine has it: memory.
FAST = Path("/dev/shm")


class Storage(Protocol):
    """What a `World` serves files from."""

    def open(self) -> Backend:
        """A backend for the next life of the server."""

    def crash(self) -> None:
        """The server died, without a chance to do anything."""

    def writes(self, key: Key) -> int:
        """A file is about to be written: a number for `is_safe`."""

    def written(self, key: Key) -> int:
        """The number of the last write to a file."""

    def is_safe(self, key: Key, number: int) -> bool:
        """Whether the file was synced after that write."""

    def close(self) -> None:
        """The simulation is over."""


class Disk(MemoryBackend):
    """Files in memory that survive the server. A crash undoes, file by file as `rng` says, what was
    written UNSTABLE and not committed; then the verifier is another."""

    persistent = True

    def __init__(self, rng: random.Random, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.rng = rng
        self.verifier = rng.randbytes(8)
        self._generation = rng.getrandbits(32) | 1
        #: Per file: what is on the disk, where that is not what was written.
        self._safe: dict[Key, bytearray] = {}

    def open(self) -> Backend:
        return self

    def close(self) -> None:
        """Nothing to clean up."""

    def writes(self, key: Key) -> int:
        return 0

    def written(self, key: Key) -> int:
        return 0

    def is_safe(self, key: Key, number: int) -> bool:
        return True  # what is not is lost in a crash, and missed

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        file = self._file(key)
        if stable is Stable.UNSTABLE:
            if key not in self._safe:
                self._safe[key] = bytearray(file.read(0, file.size))
        elif (safe := self._safe.get(key)) is not None:
            safe.extend(bytes(max(0, offset - len(safe))))
            safe[offset : offset + len(data)] = data
        return await super().write(ctx, key, offset, data, stable)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        self._safe.pop(key, None)
        return await super().commit(ctx, key, offset, count)

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        wcc = await super().setattr(ctx, key, attr, guard)
        safe = self._safe.get(key)
        if attr.size is not None and safe is not None:
            del safe[attr.size :]
            safe.extend(bytes(attr.size - len(safe)))
        return wcc

    async def stop(self) -> None:
        """All is made safe. The next life has another verifier, as with any backend."""
        self._safe.clear()
        self.verifier = self.rng.randbytes(8)

    def crash(self) -> None:
        safe, self._safe = self._safe, {}
        for key, image in safe.items():
            node = self._nodes.get(key)
            if isinstance(node, File) and self.rng.random() < 0.7:
                self._used -= node.truncate(0)
                node.write(0, image)
                node.size = len(image)
                node.cached = None
        self.verifier = self.rng.randbytes(8)


class _Executor(VirtualExecutor):
    """Tells its directory which files are synced."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, delay: Callable[[], float], directory: Directory
    ) -> None:
        super().__init__(loop, delay)
        self._directory = directory

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        def sync() -> Any:
            self._directory.syncs(fn.args[1])  # type: ignore[attr-defined]
            return fn()

        first = getattr(fn, "args", (None,))[0]
        known = first in (descriptors.fsync, descriptors.fdatasync)
        return super().submit(sync if known else fn, *args, **kwargs)


class _Workers(Workers):
    """What the threads would do is the executor's."""

    def __init__(self, executor: Executor, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(0, loop)
        self._executor = executor

    def submit(self, call: Callable[[], object], done: Done) -> None:
        def ended(future: Future[object]) -> None:
            self._loop.call_soon(done, future.exception())

        if not self._open:
            raise RuntimeError("stopped")
        self._executor.submit(call).add_done_callback(ended)


class _Posix(PosixBackend):
    """The posix backend with an executor of the virtual clock's."""

    executor: Executor

    def _open_root(self, descriptors: int, undo: ExitStack) -> None:
        super()._open_root(descriptors, undo)
        self._pool = self.executor  # type: ignore[assignment]
        self._workers = self._syncs._workers = _Workers(self.executor, self._loop)
        self._nodes.close_later = self._workers.close_later
        self._syncs.pace.quick = 0  # time is virtual


class Directory:
    """A directory of the machine's, served by the posix backend.

    A crash is that of the process: what was written is the kernel's, so nothing is lost. Instead it
    is noted when each file was written and when it was synced. fsync(2) takes `delay()` seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: Callable[[], float]) -> None:
        self.executor = _Executor(loop, delay, self)
        self._count = 0
        self._written: dict[int, int] = {}
        self._synced: dict[int, int] = {}
        self.path = Path(tempfile.mkdtemp(prefix="sim-", dir=FAST if FAST.is_dir() else None))
        (self.path / "export").mkdir(mode=0o755)
        (self.path / "state").mkdir(mode=0o700)
        self.backend: _Posix | None = None

    def writes(self, key: Key) -> int:
        self._count += 1
        self._written[key.ino] = self._count
        return self._count

    def written(self, key: Key) -> int:
        return self._written.get(key.ino, 0)

    def syncs(self, fd: int) -> None:
        """fsync(2) is called."""
        self._count += 1
        self._synced[os.fstat(fd).st_ino] = self._count

    def is_safe(self, key: Key, number: int) -> bool:
        return self._synced.get(key.ino, 0) >= number

    def open(self) -> Backend:
        self.backend = _Posix(self.path / "export", state=self.path / "state")
        self.backend.executor = self.executor
        return self.backend

    def crash(self) -> None:
        """Close the descriptors, as the kernel does, and nothing more."""
        backend, self.backend = self.backend, None
        if backend is None or not backend._started:
            return
        backend._started = False
        for desc in list(backend._descriptors.table.values()):
            desc.dirty = desc.running = False
            desc.busy = 0
            desc.queued.clear()
        backend._nodes.close()
        backend._index._shut()

    def close(self) -> None:
        self.crash()
        shutil.rmtree(self.path, ignore_errors=True)
