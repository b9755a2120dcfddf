"""Calls per second of the SQLite backend alone, without a server: python bench_sqlite.py [DIR]."""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from backends.base import Context, CreateMode, Key, SetAttr, Stable
from backends.sqlite import SqliteBackend

CTX = Context()
FILES = 5000
LARGE_BYTES = 128 << 20
IO_BYTES = 64 << 10


async def _timed(what: str, count: int, call: Callable[[int], Awaitable[object]]) -> None:
    begin = time.perf_counter()
    for number in range(count):
        await call(number)
    seconds = time.perf_counter() - begin
    print(f"{what:24} {seconds / count * 1e6:8.1f} us {count / seconds:9.0f}/s")


async def _run(path: Path) -> None:
    fs = SqliteBackend(path)
    await fs.start()
    root = (await fs.root(CTX)).key
    dir = (await fs.mkdir(CTX, root, b"d", SetAttr(mode=0o755))).attr.key
    keys: list[Key] = []

    async def create(number: int) -> None:
        name = b"file %d" % number
        made = await fs.create(CTX, dir, name, CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        keys.append(made.attr.key)

    await _timed("create", FILES, create)
    await _timed("lookup", FILES, lambda n: fs.lookup(CTX, dir, b"file %d" % n))
    await _timed("getattr", FILES, lambda n: fs.getattr(CTX, keys[n]))
    await _timed("peek", FILES, lambda n: fs.peek(CTX, dir, b"file %d" % n))
    await _timed("chmod", FILES, lambda n: fs.setattr(CTX, keys[n], SetAttr(mode=0o600)))
    await _timed("readdir plus 32K", 20, lambda n: fs.readdir(CTX, dir, 3 + n, 32 << 10, True))
    data = os.urandom(IO_BYTES)
    count = LARGE_BYTES // IO_BYTES
    big = keys[0]
    await _timed("write 64K", count, lambda n: fs.write(CTX, big, n * IO_BYTES, data, Stable(0)))
    await _timed(
        "write 64K again", count, lambda n: fs.write(CTX, big, n * IO_BYTES, data, Stable(0))
    )
    await _timed("read 64K", count, lambda n: fs.read(CTX, big, n * IO_BYTES, IO_BYTES))
    await _timed("read 4K", FILES, lambda n: fs.read(CTX, big, n * 4096, 4096))
    await _timed(
        "write 4K", FILES, lambda n: fs.write(CTX, keys[1], n * 4096, data[:4096], Stable(0))
    )
    await _timed(
        "write 4K stable", 200, lambda n: fs.write(CTX, keys[2], n * 4096, data[:4096], Stable(2))
    )
    await _timed("commit, nothing new", 1000, lambda n: fs.commit(CTX, big, 0, 0))
    await _timed("remove 128 MiB", 1, lambda n: fs.remove(CTX, dir, b"file 0"))
    await _timed("remove", FILES - 1, lambda n: fs.remove(CTX, dir, b"file %d" % (n + 1)))
    await _timed("stop", 1, lambda n: fs.stop())


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=where) as directory:
        profile = cProfile.Profile()
        if os.environ.get("PROFILE"):
            profile.enable()
        asyncio.run(_run(Path(directory) / "fs.db"))
        if os.environ.get("PROFILE"):
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
