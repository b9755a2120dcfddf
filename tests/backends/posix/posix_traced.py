"""Run under strace by test_posix_calls: calls of a backend, each behind a mark in the trace.

``python posix_traced.py DIRECTORY UID``
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from backends.base import NOW, Context, CreateMode, SetAttr, Stable
from backends.posix import PosixBackend

T = TypeVar("T")


def step(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that does not wait."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


async def main(path: Path, uid: int) -> None:
    """Make a tree, then each call twice, in turns of their own; the second is what counts."""
    fs = PosixBackend(path, state=None)
    fs.beneath_seconds = 60
    await fs.start()
    ctx = Context(uid, uid, (uid, uid) if uid == 0 else (4, 24, uid))
    root = (await fs.root(ctx)).key
    sub = step(fs.mkdir(ctx, root, b"sub", SetAttr(mode=0o755))).attr.key
    file = step(fs.create(ctx, sub, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")).attr.key
    step(fs.write(ctx, file, 0, bytes(8192), Stable.UNSTABLE))
    for number in range(30):
        name = b"n%02d" % number
        step(fs.create(ctx, root, name, CreateMode.GUARDED, SetAttr(mode=0o644), b""))
    await asyncio.sleep(0.05)  # what is older is remembered

    def create(name: bytes) -> None:
        step(fs.peek(ctx, sub, name))
        step(fs.create(ctx, sub, name, CreateMode.UNCHECKED, SetAttr(mode=0o644), b""))

    def remove(name: bytes) -> None:
        step(fs.peek(ctx, sub, name))
        step(fs.remove(ctx, sub, name))

    def exclusive() -> None:
        made = fs.create(ctx, sub, next(fresh), CreateMode.EXCLUSIVE, SetAttr(), b"verifier")
        key = step(made).attr.key
        os.access("/mark-setattr", 0)
        step(fs.setattr(ctx, key, SetAttr(mode=0o644, atime=NOW, mtime=NOW)))

    names, fresh = iter((b"a", b"a", b"b", b"b")), iter((b"e1", b"e2"))
    calls: dict[str, Callable[[], object]] = {
        "getattr": lambda: step(fs.getattr(ctx, file)),
        "lookup": lambda: step(fs.lookup(ctx, sub, b"f")),
        "lookup2": lambda: [step(fs.lookup(ctx, sub, b"f")) for _ in range(2)],
        "access": lambda: step(fs.access(ctx, file, 0x3F)),
        "read": lambda: step(fs.read(ctx, file, 0, 4096)),
        "write": lambda: step(fs.write(ctx, file, 0, bytes(4096), Stable.UNSTABLE)),
        "list": lambda: list(step(fs.readdir(ctx, root, 0, 8192, False)).entries),
        "exclusive": exclusive,
        "listplus": lambda: list(step(fs.readdir(ctx, root, 0, 8192, True)).entries),
    }
    for what, call in calls.items():
        for _ in range(2):
            os.access(f"/mark-{what}", 0)
            call()
            await asyncio.sleep(0)
            os.access("/mark-end", 0)
    for change in (create, remove, create, remove):
        os.access(f"/mark-{change.__name__}", 0)
        change(next(names))
        await asyncio.sleep(0)
        os.access("/mark-end", 0)
    await fs.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
