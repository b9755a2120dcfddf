"""What of the conformance kit differs by engine, against the one in memory.

The rest of it is asked of the same code in `test_sqlite_conformance`.
"""

from __future__ import annotations

from pathlib import Path

from backends.base import Backend
from backends.conformance.files import Files
from backends.conformance.restart import Restart
from backends.conformance.walk import Walks
from backends.kvfs import KvfsBackend, Memory, MemoryEngine


class TestKvfsInMemory(Files, Restart, Walks):
    """A crash is a power cut: all that was not synced is lost, and `durable` must have synced it.

    Small blocks, of which most writes touch several.
    """

    tick = 0

    def make_backend(self, tmp_path: Path) -> Backend:
        self.memory = Memory()
        return self.reopen(tmp_path)

    def reopen(self, tmp_path: Path) -> Backend:
        return KvfsBackend(MemoryEngine(self.memory, block_bytes=4096), durable=True)

    def crash(self, backend: Backend, tmp_path: Path) -> Backend:
        self.memory.lose_power()
        return self.reopen(tmp_path)
