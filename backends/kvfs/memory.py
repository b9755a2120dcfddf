"""The smallest engine: a sorted dictionary in memory, for tests. It can lose its power."""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections.abc import Iterator

from backends.kvfs.engine import Blocks, KeyedBlocks, Space

_TOTAL_BYTES = 1 << 40


class Memory:
    """What is stored: it outlives the engines that open it, as a disk does."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        #: What takes back the transactions since the last sync: key and old value, newest last.
        self.unsafe: list[tuple[bytes, bytes | None]] = []
        self.life = os.urandom(8)

    def set(self, key: bytes, value: bytes | None) -> None:
        """Put or, with None, delete."""
        old = self.values.get(key)
        if value is None:
            if old is not None:
                del self.values[key]
                del self.keys[bisect_left(self.keys, key)]
            return
        if old is None:
            insort(self.keys, key)
        self.values[key] = value

    def lose_power(self) -> None:
        """All that was not synced is gone."""
        for key, old in reversed(self.unsafe):
            self.set(key, old)
        self.unsafe.clear()
        self.life = os.urandom(8)


class MemoryEngine:
    """See `backends.kvfs.engine.Engine`."""

    def __init__(self, memory: Memory | None = None, block_bytes: int = 32 << 10) -> None:
        self.memory = memory or Memory()
        self.block_bytes = block_bytes

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing is kept elsewhere."""
        self.sync()

    def begin(self, write: bool, sync: bool = False) -> MemoryTransaction:
        """See `Engine.begin`."""
        return MemoryTransaction(self.memory, write, sync)

    def sync(self) -> None:
        """See `Engine.sync`."""
        self.memory.unsafe.clear()

    def life(self) -> bytes:
        """See `Engine.life`."""
        return self.memory.life

    def space(self) -> Space:
        """As much as anybody wants."""
        return Space(_TOTAL_BYTES, _TOTAL_BYTES)

    def room(self) -> bool:
        """Always."""
        return True

    def health(self) -> str | None:
        """Always well."""
        return None

    def check(self, repair: bool) -> list[str]:
        """That keys and values agree."""
        good = self.memory.keys == sorted(self.memory.values)
        return [] if good else ["memory: the keys are not those of the values"]


class MemoryTransaction:
    """See `backends.kvfs.engine.Transaction`: what changes is kept apart until the commit."""

    def __init__(self, memory: Memory, write: bool, sync: bool) -> None:
        self._memory = memory
        self._write = write
        self._sync = sync
        self._changes: dict[bytes, bytes | None] = {}
        self.blocks: Blocks = KeyedBlocks(self, b"B")

    def get(self, key: bytes) -> bytes | None:
        """See `Transaction.get`."""
        if key in self._changes:
            return self._changes[key]
        return self._memory.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """See `Transaction.put`."""
        assert self._write, "put in a transaction that only reads"
        self._changes[key] = bytes(value)

    def delete(self, key: bytes) -> None:
        """See `Transaction.delete`."""
        assert self._write, "delete in a transaction that only reads"
        self._changes[key] = None

    def scan(self, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Transaction.scan`."""
        new = sorted(
            key for key in self._changes if first <= key < last and key not in self._memory.values
        )
        keys, at = self._memory.keys, bisect_left(self._memory.keys, first)
        while new or (at < len(keys) and keys[at] < last):
            old = keys[at] if at < len(keys) and keys[at] < last else None
            if old is None or (new and new[0] < old):
                key = new.pop(0)
            else:
                key = old
                at += 1
            value = self.get(key)
            if value is not None:
                yield key, value

    def commit(self) -> None:
        """See `Transaction.commit`."""
        memory = self._memory
        for key, value in self._changes.items():
            memory.unsafe.append((key, memory.values.get(key)))
            memory.set(key, value)
        if self._sync:
            memory.unsafe.clear()

    def abort(self) -> None:
        """See `Transaction.abort`."""
        self._changes.clear()
