"""A server in this process, and calls made by hand, for counting what a call takes.

The server has a real socket, the cache of duplicate requests and an export with its policy; the
loop is asyncio's own, so that what is counted is the same wherever the tests run.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backends.base import Backend
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from benchmarks.scale_calls import (
    ACCESS,
    CREATE,
    GETATTR,
    LOOKUP,
    READ,
    REMOVE,
    WRITE,
    Caller,
    Talk,
    opaque,
)  # fmt: skip
from nfsloop import Server, serving

#: Turns of the loop that an answer may take.
TURNS = 10_000

#: The file that is read and written, and its bytes.
NAME, SIZE = b"file", 4096

#: What was changed just now is not remembered, lest a change within the same tick be missed.
SETTLE_SECONDS = 0.05


class Rig(Caller):
    """A served backend and one connection to it, both in this thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._loop = loop
        self.server = server
        self.talk = Talk(server.port)
        self.root = self.mount()

    def ask(self, records: Sequence[bytes]) -> list[bytes]:
        """See `Caller`. They lie in the server's socket before it has its turn."""
        self.send(records)
        return self._loop.run_until_complete(self._answers(len(records)))

    def send(self, records: Sequence[bytes]) -> None:
        """Send, and let nobody serve them yet."""
        self.talk.sock.setblocking(True)
        self.talk.sock.sendall(b"".join(records))
        self.talk.sock.setblocking(False)

    def serve(self, records: Sequence[bytes]) -> None:
        """One turn of the loop that serves `records`; nobody looks at the replies."""
        self.send(records)
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        assert len(self.talk.sock.recv(1 << 20)) >= 28 * len(records)

    async def _answers(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        for _ in range(TURNS):
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError):
                found += self.talk.replies(self.talk.sock.recv(1 << 20))
            if len(found) >= count:
                return found
        raise TimeoutError(f"{len(found)} of {count} replies in {TURNS} turns")


@contextlib.contextmanager
def rig(backend: Backend) -> Iterator[Rig]:
    """`backend`, served by asyncio's own loop in this thread."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        loop = runner.get_loop()
        server = serving(backend, options="no_root_squash,insecure")
        it = loop.run_until_complete(server.__aenter__())
        try:
            served = Rig(loop, it)
            try:
                yield served
            finally:
                served.talk.sock.close()
        finally:
            loop.run_until_complete(server.__aexit__(None, None, None))


def memory(place: Path) -> Backend:
    """An empty file system in memory."""
    return MemoryBackend()


def posix(place: Path) -> Backend:
    """An empty directory, served as root on a file system that opens by handle; else skips."""
    if os.geteuid():
        pytest.skip("counted as root, whose server acts as each caller")
    tree = place / "tree"
    tree.mkdir()
    return PosixBackend(tree, state=None)


STORAGES: dict[str, Callable[[Path], Backend]] = {"memory": memory, "posix": posix}


@dataclass(slots=True)
class Work:
    """Calls of each kind, made again and again; `rig` is where."""

    rig: Caller
    file: bytes = b""
    fresh: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.file = self.rig.make_file(NAME, bytes(SIZE))
        time.sleep(SETTLE_SECONDS)

    def batch(self, kind: str, count: int) -> list[bytes]:
        """Records of `count` calls. REMOVE's files are made at once, by calls of their own."""
        talk, fh = self.rig.talk, opaque(self.file)
        if kind in ("CREATE", "REMOVE"):
            names = [b"n%07d" % next(self.fresh) for _ in range(count)]
            made = [talk.record(CREATE, self.rig.creating(name)) for name in names]
            if kind == "CREATE":
                return made
            self.rig.ask(made)
            return [talk.record(REMOVE, self.rig.named(name)) for name in names]
        proc, args = {
            "NULL": (0, b""),
            "GETATTR": (GETATTR, fh),
            "LOOKUP": (LOOKUP, self.rig.named(NAME)),
            "ACCESS": (ACCESS, fh + struct.pack(">I", 0x3F)),
            "READ": (READ, fh + struct.pack(">QI", 0, SIZE)),
            "WRITE": (WRITE, fh + struct.pack(">QII", 0, SIZE, 0) + opaque(bytes(SIZE))),
        }[kind]
        return [talk.record(proc, args) for _ in range(count)]


KINDS = ("NULL", "GETATTR", "LOOKUP", "ACCESS", "READ", "WRITE", "CREATE", "REMOVE")
