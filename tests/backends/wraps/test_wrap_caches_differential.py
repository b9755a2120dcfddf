"""The caches against the truth: calls at the same time, in any order, some cut off, some failing.

Beneath the caches stands a recorder that keeps every state that the file system ever had, and calls
that overtake each other from one seed. What a caller is told must have been true at some moment
between the begin of his call and its end; or before, if the change that made it wrong had not been
answered yet. Bugs that are planted show that stale data would be found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from wrap_kit import ROOT, USER, Shuffled, Timeless, file, mkdir, root

from backends.base import (
    CHANGES,
    Backend,
    Context,
    CreateMode,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
    granted,
)
from backends.caches import Blocks, Changes
from backends.conformance.kit import fixed
from backends.memory import MemoryBackend
from backends.memory.inodes import Dir, File
from backends.wrap import Wrap
from backends.wraps.attrcache import AttrCache
from backends.wraps.blockcache import BlockCache
from backends.wraps.caching import Caching
from backends.wraps.faults import Faults

CALLER: ContextVar[int] = ContextVar("CALLER", default=0)
BLOCK = 512
NAMES = (b"a", b"b", b"c", b"d")


@dataclass
class State:
    """All there is at one moment."""

    files: dict[Key, tuple[tuple[object, ...], Any, bytes]] = field(default_factory=dict)
    names: dict[tuple[Key, bytes], Key] = field(default_factory=dict)


class Recorder(Wrap):
    """Keeps every state of a memory backend."""

    def __init__(self, below: MemoryBackend) -> None:
        super().__init__(below)
        self.memory = below
        self.states: list[State] = []
        #: Calls that have changed something and were not answered yet -> the first state of it.
        self.unanswered: dict[int, int] = {}
        for name in CHANGES:
            setattr(self, name, partial(self._change, getattr(below, name)))
        self.record()

    async def _change(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        try:
            return await method(*args)
        finally:
            self.record()

    def record(self) -> None:
        state = State()
        for key, node in self.memory._nodes.items():
            data = bytes(node.read(0, node.size)) if isinstance(node, File) else b""
            attr = node.attr()
            state.files[key] = (fixed(attr), attr, data)
            if isinstance(node, Dir):
                for name, entry in node.entries.items():
                    assert entry.node is not None
                    state.names[key, name] = entry.node.key
        self.unanswered.setdefault(CALLER.get(), len(self.states))
        self.states.append(state)

    def earliest(self) -> int:
        """The earliest state that a call which begins now may tell of."""
        return min(self.unanswered.values(), default=len(self.states)) - 1


class Walk:
    """Callers that do this and that with a few files, and check what they are told."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.recorder = Recorder(Timeless() if seed % 2 else MemoryBackend())
        changes = ",".join(sorted(CHANGES))
        faults = Faults(self.recorder, rate=0.05, seed=seed, only=changes + ",read,getattr")
        late = Shuffled(faults, seed, turns=5)
        blocks = BlockCache(
            late, seconds=60, bytes=6000, block_bytes=BLOCK, read_ahead_bytes=4 * BLOCK
        )
        self.backend: Backend = AttrCache(blocks, seconds=60, negative_seconds=60, entries=200)
        self.keys: list[Key] = []
        self.dirs: list[Key] = []
        self.calls = 0
        self.hits = 0

    async def go(self, callers: int = 10, steps: int = 120) -> None:
        await self.backend.start()
        top = await root(self.recorder)
        self.dirs = [top, await mkdir(self.recorder, top, b"one"), await mkdir(
            self.recorder, top, b"two", 0o700)]  # fmt: skip
        for number, name in enumerate(NAMES[:3]):
            data = self.chance.randbytes(1500 * number)
            self.keys.append(await file(self.recorder, self.dirs[1], name, data))
        self.recorder.unanswered.clear()
        await asyncio.gather(*(self.caller(steps) for _ in range(callers)))
        await self.backend.stop()

    async def caller(self, steps: int) -> None:
        for _ in range(steps):
            self.calls += 1
            token = self.calls
            step = self.chance.choice(STEPS)
            task = asyncio.create_task(self.step(token, step))
            if self.chance.random() < 0.05:
                for _ in range(self.chance.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            finally:
                self.recorder.unanswered.pop(token, None)

    async def step(self, token: int, step: Callable[[Walk], Awaitable[None]]) -> None:
        CALLER.set(token)
        await step(self)

    def file(self) -> Key:
        """One of three files that are there; now and then, one that is gone."""
        files = self.recorder.states[-1].files
        there = [key for key in self.keys if key in files]
        if not there or self.chance.random() < 0.1:
            return self.chance.choice(self.keys[-8:])
        return self.chance.choice(there[:3])

    def key(self) -> Key:
        return self.chance.choice([self.file(), self.file(), *self.dirs])

    def who(self) -> Context:
        return self.chance.choice((ROOT, USER))

    def place(self) -> tuple[Key, bytes]:
        return self.chance.choice(self.dirs[1:]), self.chance.choice(NAMES)

    async def ask(
        self,
        call: Awaitable[Any],
        plain: Callable[[Any], Any],
        truths: Callable[[State], set[Any]],
    ) -> None:
        """That what a call says was true: `plain` of it is one of `truths` of some state."""
        first = self.recorder.earliest()
        try:
            got = plain(await call)
        except FsError as exc:
            if exc.args[1] == "injected":
                return
            got = exc.status
        states = self.recorder.states[first:]
        true = set().union(*map(truths, states))
        assert got in true, f"seed {self.seed}: {got!r} is none of {true!r}, {call!r}"

    # What callers do

    async def getattr(self) -> None:
        key = self.key()
        await self.ask(
            self.backend.getattr(self.who(), key),
            fixed,
            lambda state: {state.files[key][0] if key in state.files else Status.STALE},
        )

    async def lookup(self) -> None:
        (dir, name), ctx = self.place(), self.who()

        def truth(state: State) -> set[Any]:
            if ctx is USER and not granted(ctx, state.files[dir][1]) & 2:
                return {Status.ACCES}
            return {state.names.get((dir, name), Status.NOENT)}

        await self.ask(self.backend.lookup(ctx, dir, name), lambda found: found.attr.key, truth)

    async def access(self) -> None:
        key, ctx, mask = self.key(), self.who(), self.chance.randrange(64)

        def truth(state: State) -> set[Any]:
            if key not in state.files:
                return {Status.STALE}
            return {mask & granted(ctx, state.files[key][1])}

        await self.ask(self.backend.access(ctx, key, mask), lambda got: got.access, truth)

    async def read(self) -> None:
        """Each byte from before or after each change."""
        key, ctx = self.file(), self.who()
        offset = self.chance.choice((0, 0, self.chance.randrange(2500)))
        count = self.chance.choice((100, BLOCK, 3 * BLOCK))
        first = self.recorder.earliest()
        try:
            got = await self.backend.read(ctx, key, offset, count)
        except FsError as exc:
            if exc.args[1] == "injected":
                return
            kept = [state.files.get(key) for state in self.recorder.states[first:]]
            if exc.status is Status.STALE:
                assert None in kept
            else:
                assert exc.status is Status.ACCES and ctx is USER
                assert any(it and not it[1].mode & 5 for it in kept), "refused, though he may"
            return
        states = [state.files.get(key) for state in self.recorder.states[first:]]
        there = [it for it in states if it is not None]
        assert ctx is ROOT or any(it[1].mode & 5 for it in there), f"{self.seed}: he may not"
        pieces = [it[2][offset : offset + count] for it in there]
        assert len(got.data) in set(map(len, pieces)), f"{self.seed}: {len(got.data)} bytes"
        for at, byte in enumerate(got.data):
            told = {piece[at] for piece in pieces if at < len(piece)}
            assert byte in told, f"seed {self.seed}: byte {offset + at} is {byte}, not {told}"
        ends = {offset + count >= len(it[2]) for it in there}
        assert got.eof in ends

    async def write(self) -> None:
        data = self.chance.randbytes(self.chance.choice((0, 1, 100, BLOCK, 1000)))
        offset = self.chance.choice((0, BLOCK, self.chance.randrange(2000)))
        key = self.file()
        await self.change(self.backend.write(ROOT, key, offset, data, Stable.FILE_SYNC))

    async def setattr(self) -> None:
        size, mode = self.chance.randrange(2500), self.chance.choice((0o644, 0o600, 0o604))
        attr = self.chance.choice((SetAttr(size=size), SetAttr(mode=mode), SetAttr(mtime=7)))
        key = self.file()
        await self.change(self.backend.setattr(ROOT, key, attr))

    async def chmod_dir(self) -> None:
        mode = self.chance.choice((0o700, 0o755))
        dir = self.chance.choice(self.dirs[1:])
        await self.change(self.backend.setattr(ROOT, dir, SetAttr(mode=mode)))

    async def create(self) -> None:
        size = self.chance.choice((None, 0, 300))
        how = self.chance.choice((CreateMode.UNCHECKED, CreateMode.GUARDED))
        attr = SetAttr(mode=0o644, size=size)
        await self.change(self.backend.create(ROOT, *self.place(), how, attr, b""))

    async def remove(self) -> None:
        await self.change(self.backend.remove(ROOT, *self.place()))

    async def rename(self) -> None:
        await self.change(self.backend.rename(ROOT, *self.place(), *self.place()))

    async def link(self) -> None:
        key = self.file()
        await self.change(self.backend.link(ROOT, key, *self.place()))

    async def peek(self) -> None:
        dir, name = self.place()

        def truth(state: State) -> set[Any]:
            key = state.names.get((dir, name))
            return {key and key.ino}

        await self.ask(self.backend.peek(ROOT, dir, name), lambda ino: ino, truth)

    async def list(self) -> None:
        """Its attributes go into the cache while others change the files."""
        listing = await self.backend.readdir(ROOT, self.chance.choice(self.dirs), 0, 4096, True)
        for _ in listing.entries:
            if self.chance.random() < 0.3:
                await asyncio.sleep(0)

    async def commit(self) -> None:
        await self.change(self.backend.commit(ROOT, self.file(), 0, 0))

    async def change(self, call: Awaitable[Any]) -> None:
        try:
            made = await call
        except FsError:
            return
        if hasattr(made, "attr") and made.attr.key not in self.keys:
            self.keys.append(made.attr.key)


STEPS = (
    *(Walk.getattr, Walk.lookup, Walk.access) * 3,
    *(Walk.read,) * 20,
    *(Walk.write,) * 3,
    Walk.setattr, Walk.chmod_dir, Walk.create, Walk.remove, Walk.rename, Walk.link, Walk.peek,
    Walk.list, Walk.commit,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_what_callers_are_told_is_true(seed: int) -> None:
    asyncio.run(Walk(seed).go())


async def no_victim(*args: object) -> None:
    return None


def nothing(*args: object) -> None:
    return None


def always_fresh(self: Changes, clock: int, *scopes: object) -> bool:
    return False


def never_busy(self: Changes, *scopes: object) -> int:
    return max([self._floor, *(self._last.get(scope, 0) for scope in scopes)])


def keeps_coming(self: Blocks, key: Any, state: Any) -> Any:
    file = self._files.get(key)
    return file if file is not None and file.state == state else None


#: What is broken, and how.
BUGS: dict[str, tuple[Any, str, Any]] = {
    "a fetch that began before a change is kept": (Changes, "since", always_fresh),
    "results are used while a change goes on": (Changes, "version", never_busy),
    "a removed or replaced file is not thought of": (Caching, "_victim", no_victim),
    "data in flight outlives a write": (Blocks, "_same", keeps_coming),
    "data outlives a write that was not alone": (Blocks, "forget", nothing),
    "data outlives a write": (Blocks, "wrote", nothing),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BUGS[bug])
    for seed in range(30):
        try:
            asyncio.run(Walk(seed).go())
        except AssertionError:
            return
    pytest.fail("not found in 30 walks")
