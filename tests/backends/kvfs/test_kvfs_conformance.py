"""The conformance kit against the file system over an engine in memory."""

from __future__ import annotations

from pathlib import Path

from backends.base import Backend
from backends.conformance import BackendConformance
from backends.kvfs import KvfsBackend, Memory, MemoryEngine


class TestKvfsInMemory(BackendConformance):
    """A crash is a power cut: all that was not synced is lost, and `durable` must have synced it.

    Small blocks, of which most writes touch several.
    """

    tick = 0
    many = 1000

    def make_backend(self, tmp_path: Path) -> Backend:
        self.memory = Memory()
        return self.reopen(tmp_path)

    def reopen(self, tmp_path: Path) -> Backend:
        return KvfsBackend(MemoryEngine(self.memory, block_bytes=4096), durable=True)

    def crash(self, backend: Backend, tmp_path: Path) -> Backend:
        self.memory.lose_power()
        return self.reopen(tmp_path)
