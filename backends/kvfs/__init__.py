"""A file system over an ordered, transactional key-value engine: see `backends.kvfs.engine`."""

from backends.kvfs.backend import KvfsBackend
from backends.kvfs.memory import Memory, MemoryEngine

__all__ = ["KvfsBackend", "Memory", "MemoryEngine"]
