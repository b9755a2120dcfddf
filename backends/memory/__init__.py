"""The embedded backend: files in memory."""

from backends.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
