"""A store that fails, stalls and tears at random, processes that are killed: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends import inodes
from backends.base import (
    Context,
    CreateMode,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.writeback import buffer

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
memory: Any = pytest.importorskip("fsspec.implementations.memory")

from backends.objects import FsspecBackend  # noqa: E402

ROOT = Context()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inodes, "SYNC_AT_OPEN", "OFF")
    monkeypatch.setattr(inodes, "SYNC", "OFF")
    monkeypatch.setattr(buffer, "RETRY_SECONDS", (0.005, 0.02))


class Faults:
    """When a call of the store goes wrong, and how: by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.on = True
        self.planted = 0

    def draw(self) -> str:
        if not self.on or self.random.random() > 0.2:
            return ""
        self.planted += 1
        return self.random.choice(["before", "after", "stall", "before", "after"])

    def error(self) -> Exception:
        return self.random.choice(
            [ConnectionResetError("planted"), TimeoutError("planted"), OSError("planted")]
        )


class Flaky(memory.MemoryFileSystem):  # type: ignore[misc]
    """fsspec's memory with `faults`; a put is torn: half of the object is there before it fails."""

    protocol = "flaky"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]
    faults = Faults(0)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = path.removeprefix("flaky://").strip("/")
        return "/" + path if path else ""

    def _faulty(self, call: Callable[[], Any]) -> Any:
        what = self.faults.draw()
        if what == "stall":
            time.sleep(0.003)
        if what == "before":
            raise self.faults.error()
        result = call()
        if what == "after":
            raise self.faults.error()
        return result

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        return self._faulty(lambda: memory.MemoryFileSystem.ls(self, path, detail))

    def info(self, path: str, **kwargs: Any) -> Any:
        return self._faulty(lambda: memory.MemoryFileSystem.info(self, path))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        data = self.store[path].getvalue() if path in self.store else None
        if data is None:
            raise FileNotFoundError(path)
        return self._faulty(lambda: data[start:end])

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._faulty(lambda: memory.MemoryFileSystem.cp_file(self, path1, path2))

    def rm_file(self, path: str) -> None:
        self._faulty(lambda: memory.MemoryFileSystem._rm(self, path))

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        data = Path(lpath).read_bytes()
        if self.faults.draw() in ("before", "after"):
            self.pipe_file(rpath, data[: len(data) // 2])
            raise self.faults.error()
        self.pipe_file(rpath, data)


fsspec.register_implementation("flaky", Flaky, clobber=True)


class History:
    """One client's life on a few files, and what each of them must hold."""

    def __init__(self, seed: int, state: Path) -> None:
        self.random = random.Random(seed)
        self.state = state
        self.made = 0
        self.content: dict[bytes, bytes] = {}
        self.keys: dict[bytes, Key] = {}
        #: All that an object of the store may ever show.
        self.shown: set[bytes] = {b""}

    def open(self) -> FsspecBackend:
        return FsspecBackend(
            "flaky://base", state=self.state, uid=0, gid=0, idle_seconds=0.01, listing_seconds=0.05
        )

    async def begin(self) -> None:
        """Start; a store that is away at that moment is asked again."""
        for _ in range(200):
            self.backend = self.open()
            try:
                await self.backend.start()
                return
            except OSError:
                continue
        raise AssertionError("never started")

    async def insist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """As a client does: what failed for a reason that passes is tried again."""
        for _ in range(200):
            try:
                return await call()
            except (FsError, OSError) as error:
                passing = (Status.JUKEBOX, Status.IO)
                if isinstance(error, FsError) and error.status not in passing:
                    raise
                await asyncio.sleep(0.002)
        raise AssertionError("never succeeded")

    async def step(self) -> None:
        names = sorted(self.content)
        root = inodes.ROOT
        what = self.random.choice(
            ["create", "write", "write", "write", "commit", "cut", "rename", "remove", "restart"]
        )
        backend = self.backend
        if what == "create" or not names:
            name = b"f%d" % self.made
            self.made += 1
            made = await self.insist(
                lambda: backend.create(
                    ROOT, root, name, CreateMode.UNCHECKED, SetAttr(mode=0o600), b""
                )
            )
            self.keys[name], self.content[name] = made.attr.key, b""
            return
        name = self.random.choice(names)
        key, data = self.keys[name], bytearray(self.content[name])
        if what == "write":
            at = self.random.randrange(len(data) + 20)
            piece = bytes([self.random.randrange(256)]) * self.random.randrange(1, 400)
            stable = self.random.choice(list(Stable))
            data.extend(bytes(max(0, at - len(data))))
            data[at : at + len(piece)] = piece
            self.shown.add(bytes(data))
            await self.insist(lambda: backend.write(ROOT, key, at, piece, stable))
            self.content[name] = bytes(data)
            if stable is not Stable.UNSTABLE:
                self.check_stored(name)
        elif what == "cut":
            size = self.random.randrange(len(data) + 50)
            cut = bytes(data[:size]).ljust(size, b"\0")
            self.shown.add(cut)
            await self.insist(lambda: backend.setattr(ROOT, key, SetAttr(size=size)))
            self.content[name] = cut
        elif what == "commit":
            await self.insist(lambda: backend.commit(ROOT, key, 0, 0))
            self.check_stored(name)
        elif what == "rename":
            await self.rename(name, self.random.choice([*names, b"g%d" % self.made]))
        elif what == "remove":
            try:
                await self.insist(lambda: backend.remove(ROOT, root, name))
            except FsError as error:
                # An earlier try has removed it, and could not say so.
                assert error.status is Status.NOENT
            del self.content[name], self.keys[name]
        else:
            await self.restart()

    async def rename(self, old: bytes, new: bytes) -> None:
        if old == new:
            return
        root = inodes.ROOT
        await self.insist(lambda: self.backend.rename(ROOT, root, old, root, new))
        self.content[new], self.keys[new] = self.content.pop(old), self.keys.pop(old)

    async def restart(self) -> None:
        verifier = self.backend.verifier
        if self.random.random() < 0.5:
            self.backend.abandon()
        else:
            await self.backend.stop()
        await self.begin()
        assert self.backend.verifier == verifier

    def check_stored(self, name: bytes) -> None:
        stored = Flaky.store["/base/" + name.decode()].getvalue()
        assert stored == self.content[name], "committed, and not in the store"

    def check_shown(self) -> None:
        for path, file in list(Flaky.store.items()):
            if not path.endswith(".part"):
                assert file.getvalue() in self.shown, f"{path} is torn"

    async def check_all(self) -> None:
        for name, data in self.content.items():
            key = self.keys[name]
            found = await self.insist(partial(self.backend.lookup, ROOT, inodes.ROOT, name))
            assert found.attr.key == key
            got = await self.insist(partial(self.backend.read, ROOT, key, 0, 1 << 20))
            assert bytes(got.data) == data


async def _live(history: History, steps: int) -> None:
    await history.begin()
    for _ in range(steps):
        await history.step()
        history.check_shown()
    Flaky.faults.on = False
    await history.check_all()
    await history.backend.stop()


@pytest.mark.parametrize("seed", range(8))
def test_nothing_committed_is_lost_over_a_failing_store(tmp_path: Path, seed: int) -> None:
    Flaky.store.clear()
    Flaky.pseudo_dirs[:] = ["", "/base"]
    Flaky.faults = Faults(seed)
    history = History(seed, tmp_path)
    asyncio.run(_live(history, 60))
    assert Flaky.faults.planted > 20
    stored = {path: file.getvalue() for path, file in Flaky.store.items() if "part" not in path}
    wanted = {"/base/" + name.decode(): data for name, data in history.content.items()}
    assert stored == wanted


# Killed

_CHILD = """
import asyncio, os, shutil, sys, time
from pathlib import Path
from backends.base import *
from backends.objects import FsspecBackend
root, state, what = sys.argv[1:]
ctx = Context()

def half(source, target):
    data = Path(source).read_bytes()
    Path(target).write_bytes(data[: len(data) // 2])
    print("torn", flush=True)
    time.sleep(60)

async def main():
    backend = FsspecBackend(root, state=Path(state), uid=0, gid=0, idle_seconds=60)
    await backend.start()
    top = (await backend.root(ctx)).key
    made = await backend.create(ctx, top, b"f", CreateMode.UNCHECKED, SetAttr(mode=0o640), b"")
    key = made.attr.key
    await backend.write(ctx, key, 0, b"committed" * 1000, Stable.UNSTABLE)
    await backend.commit(ctx, key, 0, 0)
    await backend.write(ctx, key, 5, b"UNSTABLE" * 1000, Stable.UNSTABLE)
    print(backend.verifier.hex(), key.ino, key.generation, flush=True)
    if what == "upload":
        shutil.copyfile = half
        await backend.commit(ctx, key, 0, 0)
    print("written", flush=True)
    time.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["write", "upload"])
def test_killed_between_write_and_commit(tmp_path: Path, what: str) -> None:
    files, state = tmp_path / "files", tmp_path / "state"
    files.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, f"file://{files}", str(state), what],
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        verifier, ino, generation = child.stdout.readline().split()
        assert child.stdout.readline() == (b"torn\n" if what == "upload" else b"written\n")
        os.kill(child.pid, signal.SIGKILL)
    committed = b"committed" * 1000
    unstable = committed[:5] + b"UNSTABLE" * 1000 + committed[8005:]
    assert (files / "f").read_bytes() == committed
    assert len(list(files.iterdir())) == (2 if what == "upload" else 1)

    async def after() -> None:
        backend = FsspecBackend(f"file://{files}", state=state, uid=0, gid=0, idle_seconds=60)
        await backend.start()
        key = Key(int(ino), int(generation))
        assert backend.verifier.hex().encode() == verifier
        listing = await backend.readdir(ROOT, inodes.ROOT, 0, 1000, False)
        assert [entry.name for entry in listing.entries] == [b"f"]
        assert bytes((await backend.read(ROOT, key, 0, 10_000)).data) == unstable
        assert (await backend.getattr(ROOT, key)).mode == 0o640
        await backend.commit(ROOT, key, 0, 0)
        assert (files / "f").read_bytes() == unstable
        assert [path.name for path in files.iterdir()] == ["f"]
        await backend.stop()

    asyncio.run(after())


def test_a_lost_state_makes_handles_stale_and_never_wrong(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "f").write_bytes(b"data")

    async def ask(state: Path, *keys: Key) -> Key:
        backend = FsspecBackend(f"file://{files}", state=state)
        await backend.start()
        for key in keys:
            with pytest.raises(FsError) as caught:
                await backend.getattr(ROOT, key)
            assert caught.value.status is Status.STALE
        found = await backend.lookup(ROOT, inodes.ROOT, b"f")
        await backend.stop()
        return found.attr.key

    first = asyncio.run(ask(tmp_path / "one"))
    assert asyncio.run(ask(tmp_path / "one")) == first
    asyncio.run(ask(tmp_path / "two", first))


def test_a_stalled_put_keeps_no_other_call(tmp_path: Path) -> None:
    """Reads, lookups and writes of the very file go on while it is put."""
    files = tmp_path / "files"
    files.mkdir()
    backend = FsspecBackend(f"file://{files}", state=tmp_path / "state", uid=0, gid=0)
    begun, go = threading.Event(), threading.Event()
    put = backend._store.put

    def slow(*args: Any) -> None:
        begun.set()
        assert go.wait(20)
        put(*args)

    async def commit() -> None:
        await backend.commit(ROOT, (await backend.lookup(ROOT, inodes.ROOT, b"f")).attr.key, 0, 0)

    async def run() -> None:
        await backend.start()
        made = await backend.create(
            ROOT, inodes.ROOT, b"f", CreateMode.GUARDED, SetAttr(mode=0o600), b""
        )
        key = made.attr.key
        await backend.write(ROOT, key, 0, b"first", Stable.UNSTABLE)
        backend._store.put = slow  # type: ignore[method-assign, assignment]
        thread = threading.Thread(target=lambda: asyncio.run(commit()))
        thread.start()
        assert begun.wait(20)
        await backend.write(ROOT, key, 5, b"second", Stable.UNSTABLE)
        assert bytes((await backend.read(ROOT, key, 0, 99)).data) == b"firstsecond"
        assert (await backend.lookup(ROOT, inodes.ROOT, b"f")).attr.size == 11
        go.set()
        thread.join()
        await backend.commit(ROOT, key, 0, 0)
        assert (files / "f").read_bytes() == b"firstsecond"
        await backend.stop()

    asyncio.run(run())
