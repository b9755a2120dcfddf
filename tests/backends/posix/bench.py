"""What the posix backend's calls cost: ``python -m tests.backends.posix.bench [directory]``.

Not a test. Coroutines are stepped by hand, as the server does it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from backends.base import Context, CreateMode, SetAttr, Stable
from backends.posix import PosixBackend

T = TypeVar("T")


def step(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not wait."""
    try:
        coro.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


def measure(name: str, call: Callable[[], object], rounds: int = 20000) -> None:
    """Print the best of five means, in microseconds."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(rounds // 5):
            call()
        best = min(best, (time.perf_counter() - begun) / (rounds // 5))
    print(f"{name:24}{best * 1e6:10.2f} us")


async def bench(path: Path, ctx: Context, state: Path | None) -> None:
    """Measure all calls as one caller."""
    backend = PosixBackend(path, state=state)
    await backend.start()
    root = (await backend.root(ctx)).key
    made = await backend.create(ctx, root, b"data", CreateMode.UNCHECKED, SetAttr(mode=0o644), b"")
    file = made.attr.key
    await backend.write(ctx, file, 0, os.urandom(1 << 20), Stable.UNSTABLE)
    sub = (await backend.mkdir(ctx, root, b"sub", SetAttr(mode=0o755))).attr.key
    await backend.create(ctx, sub, b"leaf", CreateMode.UNCHECKED, SetAttr(mode=0o644), b"")
    block = os.urandom(1 << 20)

    def create_remove() -> None:
        step(backend.create(ctx, root, b"n", CreateMode.UNCHECKED, SetAttr(mode=0o644), b""))
        step(backend.remove(ctx, root, b"n"))

    measure("getattr", lambda: step(backend.getattr(ctx, file)))
    measure("lookup in the root", lambda: step(backend.lookup(ctx, root, b"data")))
    measure("lookup beneath", lambda: step(backend.lookup(ctx, sub, b"leaf")))
    measure("access", lambda: step(backend.access(ctx, file, 0x3F)))
    for size in (4096, 65536, 1 << 20):
        rounds = 20000 if size < 1 << 20 else 1000
        measure(f"read {size}", lambda n=size: step(backend.read(ctx, file, 0, n)), rounds)  # type: ignore[misc]
    view = memoryview(block)
    for size in (4096, 65536, 1 << 20):
        rounds = 20000 if size < 1 << 20 else 1000
        measure(
            f"write {size}",
            lambda n=size: step(backend.write(ctx, file, 0, view[:n], Stable.UNSTABLE)),  # type: ignore[misc]
            rounds,
        )
    measure("create + remove", create_remove, 5000)
    for number in range(1000):
        os.close(os.open(path / "sub" / f"file{number}", os.O_CREAT | os.O_RDWR, 0o644))

    def listing(plus: bool) -> None:
        list(step(backend.readdir(ctx, sub, 0, 65536, plus)).entries)

    measure("readdir 1000", lambda: listing(False), 200)
    measure("readdirplus 1000", lambda: listing(True), 50)
    await backend.stop()


def main() -> None:
    """Measure as root, as somebody else, and with the index."""
    where = sys.argv[1] if len(sys.argv) > 1 else "/var/tmp"
    for ctx in (Context(), Context(1000, 1000, (4, 24))):
        with tempfile.TemporaryDirectory(dir=where) as path:
            os.chmod(path, 0o777)
            print(f"\n{where} as uid {ctx.uid}")
            asyncio.run(bench(Path(path), ctx, None))


if __name__ == "__main__":
    main()
