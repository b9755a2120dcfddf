"""The conformance kit over every wrap: what they add must not show."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from wrap_kit import Planted, Shuffled

from backends.base import OPERATIONS, Attr, Backend, Context, Key
from backends.conformance import BackendConformance, Kit
from backends.memory import MemoryBackend
from backends.wrap import Wrap
from backends.wraps.attrcache import AttrCache
from backends.wraps.audit import Audit
from backends.wraps.blockcache import BlockCache
from backends.wraps.demux import Demux, Part
from backends.wraps.faults import Faults
from backends.wraps.readonly import ReadOnly
from backends.wraps.slow import Slow


class OverMemory(BackendConformance):
    tick = 0
    many = 300


class TestReadOnly(OverMemory):
    read_only = True

    def make_backend(self, tmp_path: Path) -> Backend:
        return ReadOnly(Planted(Kit.tree))


class TestCaches(OverMemory):
    """Inline, and nothing expires in the time of a test."""

    def make_backend(self, tmp_path: Path) -> Backend:
        below = BlockCache(MemoryBackend(), seconds=60, block_bytes=4096)
        return AttrCache(below, seconds=60, negative_seconds=60)


class TestCachesOfFew(OverMemory):
    """Everything is forgotten all the time; calls wait and overtake each other."""

    def make_backend(self, tmp_path: Path) -> Backend:
        slow = Shuffled(Slow(MemoryBackend(), only="setattr", jitter_seconds=1e-5), 2, turns=2)
        few = BlockCache(slow, seconds=60, bytes=4096, block_bytes=512, read_ahead_bytes=2048)
        return AttrCache(few, seconds=60, entries=3)


class Narrow(Part):
    """Takes the bits away that say which part it is: the kit asks for 64."""

    high = 0

    def inner(self, key: Key) -> Key:
        return Key(key.ino, self.high | key.generation)

    def ino(self, ino: int) -> int:
        return ino

    def attr(self, attr: Attr) -> Attr:
        return replace(attr, generation=attr.generation & 2**64 - 1, memo=None)


class RootedIn(Wrap):
    """A demux whose root is the root of one of its parts."""

    def __init__(self, below: Demux, name: bytes) -> None:
        super().__init__(below)
        self._name = name
        self._narrow = Narrow(name, MemoryBackend(), Key(0))
        self._root = Key(0)
        for operation in OPERATIONS:
            if operation != "root":
                setattr(self, operation, partial(self._call, operation))

    async def root(self, ctx: Context) -> Attr:
        top = (await self.below.root(ctx)).key
        attr = (await self.below.lookup(ctx, top, self._name)).attr
        self._narrow.high = attr.generation >> 64 << 64
        self._root = attr.key
        return self._narrow.attr(attr)

    async def _call(self, name: str, ctx: Context, *args: Any, **kwargs: Any) -> Any:
        given = [self._narrow.inner(arg) if isinstance(arg, Key) else arg for arg in args]
        if name == "parent" and given[0] == self._root:
            return await self.root(ctx)
        method = getattr(self.below, name)
        result = await method(ctx, *given, **kwargs)
        if isinstance(result, (Attr, int)):
            return self._narrow.attr(result) if isinstance(result, Attr) else result
        return self._narrow.outer(result)


class TestDemux(OverMemory):
    """And the audit log and faults that there are none of."""

    def make_backend(self, tmp_path: Path) -> Backend:
        part = Audit(Faults(MemoryBackend(), rate=0), file=tmp_path / "audit.log", reads=True)
        return RootedIn(Demux({b"a": MemoryBackend(), b"b": part}), b"b")
