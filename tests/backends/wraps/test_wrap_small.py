"""Wraps of few lines: read-only, slow, faults; and the wrap of docs/wraps.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from wrap_kit import ROOT, Counted, Planted, file, refused, root, turns

from backends.base import (
    CHANGES,
    OPERATIONS,
    Access,
    Attr,
    Backend,
    Context,
    Data,
    DirEntry,
    FsError,
    Key,
    Listing,
    SetAttr,
    Status,
)
from backends.hosted import RESULTS, Hosted
from backends.memory import MemoryBackend
from backends.wrap import Wrap
from backends.wraps.attrcache import AttrCache
from backends.wraps.audit import Audit
from backends.wraps.blockcache import BlockCache
from backends.wraps.faults import AFTER, BEFORE, HANG, NONSENSE, Faults
from backends.wraps.readonly import ReadOnly
from backends.wraps.slow import Slow

DOC = Path(__file__).parents[3] / "docs" / "wraps.md"


def test_read_only_refuses_every_change() -> None:
    async def main() -> None:
        below = Counted(Planted({b"f": b"data"}))
        backend = ReadOnly(below)
        await backend.start()
        assert backend.limits.read_only and not below.limits.read_only
        assert backend.describe().endswith("; read-only")
        top = await root(backend)
        below.calls.clear()
        for name in CHANGES:
            assert await refused(getattr(backend, name)(ROOT, top)) is Status.ROFS
        assert not below.calls
        granted = await backend.access(ROOT, top, 63)
        assert granted.access == Access.READ | Access.LOOKUP and granted.attr is not None
        key = (await backend.lookup(ROOT, top, b"f")).attr.key
        assert bytes((await backend.read(ROOT, key, 0, 10)).data) == b"data"

    asyncio.run(main())


def test_slow_waits_before_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main(seed: int) -> list[float]:
        slept.clear()
        backend = Slow(
            MemoryBackend(), seconds=2.0, jitter_seconds=1.0, seed=seed, only="getattr, statfs"
        )
        assert not backend.inline and "2 s slower" in backend.describe()
        top = await root(backend)
        for _ in range(20):
            await backend.getattr(ROOT, top)
        await backend.statfs(ROOT, top)
        await backend.access(ROOT, top, 1)
        return slept.copy()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    first = asyncio.run(main(1))
    assert len(first) == 21 and all(2 <= seconds < 3 for seconds in first)
    assert len(set(first)) == 21
    assert asyncio.run(main(1)) == first != asyncio.run(main(2))


async def outcomes(seed: int, **options: Any) -> tuple[list[str], Faults, Counted]:
    """What becomes of a hundred calls."""
    below = Counted(MemoryBackend())
    faults = Faults(below, seed=seed, **options)
    top = await root(below)
    below.calls.clear()
    found = []
    for _ in range(100):
        before = below.calls["getattr"]
        task = asyncio.ensure_future(faults.getattr(ROOT, top))
        await turns(3)
        done = "done" if below.calls["getattr"] > before else "not done"
        if not task.done():
            task.cancel()
            found.append(f"hangs, {done}")
        elif isinstance(task.exception(), FsError):
            found.append(f"{task.exception()}, {done}")
        else:
            good = isinstance(task.result(), Attr) and task.result().size >= 0
            found.append(f"{'fine' if good and task.result().ino == 1 else 'nonsense'}, {done}")
    return found, faults, below


def test_faults_of_all_kinds() -> None:
    options = {"rate": 0.3, "hang_rate": 0.2, "nonsense_rate": 0.2, "status": "IO, NOSPC"}
    found, faults, _ = asyncio.run(outcomes(7, **options))
    assert set(found) == {
        "fine, done",
        "nonsense, done",
        "hangs, not done",
        *(
            f"{status}: injected, {done}"
            for status in ("IO", "NOSPC")
            for done in ("done", "not done")
        ),
    }
    assert faults.injected[HANG] == found.count("hangs, not done")
    assert faults.injected[NONSENSE] == found.count("nonsense, done")
    failed = [it for it in found if "injected" in it]
    assert faults.injected[BEFORE] + faults.injected[AFTER] == len(failed)
    assert faults.injected[AFTER] == sum("not done" not in it for it in failed)
    again, _, _ = asyncio.run(outcomes(7, **options))
    other, _, _ = asyncio.run(outcomes(8, **options))
    assert found == again != other


def test_faults_of_some_operations() -> None:
    found, faults, _ = asyncio.run(outcomes(1, rate=1.0, only="write,commit"))
    assert set(found) == {"fine, done"} and not faults.injected
    assert set(asyncio.run(outcomes(1, rate=0))[0]) == {"fine, done"}


@pytest.mark.parametrize("operation", ["root", "getattr", "read", "readdir", "lookup", "statfs"])
def test_nonsense_is_nonsense(operation: str) -> None:
    """Each result is one that the server must not take: of another type, or impossible."""

    async def main() -> None:
        below = MemoryBackend()
        key = await file(below, await root(below), b"f", b"data")
        top = await root(below)
        args: dict[str, tuple[Any, ...]] = {
            "root": (), "getattr": (key,), "read": (key, 0, 10), "lookup": (top, b"f"),
            "readdir": (top, 0, 4096, False), "statfs": (top,),
        }  # fmt: skip
        others = 0
        for seed in range(40):
            faults = Faults(below, rate=0, nonsense_rate=1, seed=seed)
            got: Any = await getattr(faults, operation)(ROOT, *args[operation])
            if not isinstance(got, RESULTS[operation]):
                others += 1
                with pytest.raises(TypeError, match=f"{operation} gave"):
                    hosted = Hosted(Faults(below, rate=0, nonsense_rate=1, seed=seed), "x")
                    await getattr(hosted, operation)(ROOT, *args[operation])
            elif isinstance(got, Data):
                assert len(got.data) > 10
            elif isinstance(got, Listing):
                assert not any(isinstance(entry, DirEntry) for entry in got.entries)
            else:
                assert isinstance(got, Attr)
                assert got.size < 0 or got.ino >= 2**64
        assert others > 20

    asyncio.run(main())


def test_faults_keep_the_promise_of_inline_where_they_can() -> None:
    below = MemoryBackend()
    assert Faults(below).inline
    assert not Faults(below, hang_rate=0.1).inline
    assert not Faults(below, nonsense_rate=0.1).inline


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Slow(MemoryBackend(), seconds=-1), "seconds"),
        (lambda: Slow(MemoryBackend(), only="open"), "no operation is called 'open'"),
        (lambda: Faults(MemoryBackend(), rate=-0.1), "rate"),
        (lambda: Faults(MemoryBackend(), rate=0.5, hang_rate=0.6), "rate"),
        (lambda: Faults(MemoryBackend(), status="OK"), "no failure"),
        (lambda: Faults(MemoryBackend(), status="WRONG"), "'WRONG' is none of OK, PERM"),
        (lambda: Faults(MemoryBackend(), only="read,reed"), "'reed'"),
    ],
)
def test_options_that_cannot_be(make: Callable[[], Backend], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()


def test_the_docs_tell_of_every_option() -> None:
    text = DOC.read_text()
    for wrap in (ReadOnly, AttrCache, BlockCache, Slow, Faults, Audit):
        section = text.partition(f"\n## {wrap.__name__.lower()}\n")[2].partition("\n## ")[0]
        assert section, wrap
        assert wrap.__doc__ and wrap.__doc__.splitlines()[0].endswith(".")
        options = wrap.__init__.__kwdefaults__ or {}
        names = {*options, *wrap.__init__.__annotations__} - {"below", "return"}
        for name in names:
            assert f"| `{name}` |" in section, f"{wrap.__name__}: {name}"


def test_the_wrap_of_the_docs_works() -> None:
    """Its listing, and nothing else."""
    (listing,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert len(listing.splitlines()) <= 30
    found: dict[str, Any] = {}
    exec(compile(listing, str(DOC), "exec"), found)

    async def main() -> None:
        backend: Wrap = found["Quota"](MemoryBackend(), bytes=100)
        await backend.start()
        top = await root(backend)
        key = await file(backend, top, b"f", b"x" * 100)
        with pytest.raises(FsError, match="FBIG"):
            await backend.write(ROOT, key, 100, b"x", 0)  # type: ignore[arg-type]
        with pytest.raises(FsError, match="FBIG"):
            await backend.setattr(ROOT, key, SetAttr(size=101))
        await backend.setattr(ROOT, key, SetAttr(size=100, mode=0o600))
        assert backend.limits.max_file_size == 100
        await backend.stop()

    asyncio.run(main())


def test_wraps_of_a_blocking_backend() -> None:
    """Its calls go to threads."""

    class Blocking(MemoryBackend):
        inline = False
        blocking = True

    wraps: list[Callable[[Backend], Backend]] = [ReadOnly, AttrCache, BlockCache, Slow, Faults]

    async def main(make: Callable[[Backend], Backend]) -> None:
        backend = make(Blocking())
        assert not backend.inline and not backend.blocking
        await backend.start()
        key = await root(backend)
        await asyncio.gather(*(backend.getattr(ROOT, key) for _ in range(3)))
        await backend.stop()

    for make in wraps:
        asyncio.run(main(make))


def test_every_operation_goes_through_every_wrap() -> None:
    """With the arguments that it was called with."""
    made: list[tuple[str, tuple[object, ...]]] = []

    class All(Backend):
        inline = True

    def method(name: str) -> Callable[..., Awaitable[None]]:
        async def call(*args: object, **kwargs: object) -> None:
            made.append((name, (*args, *kwargs.values())))
            raise FsError(Status.NXIO)

        return call

    below = All()
    for name in OPERATIONS:
        setattr(below, name, method(name))
    arguments: dict[str, tuple[object, ...]] = {
        "root": (), "read": (Key(1), 2, 3), "readdir": (Key(1), 0, 100, True),
        "lookup": (Key(1), b"n"), "peek": (Key(1), b"n"), "access": (Key(1), 63),
        "setattr": (Key(1), SetAttr(mode=1), 5), "write": (Key(1), 0, b"data", 2),
        "commit": (Key(1), 0, 0), "create": (Key(1), b"n", 1, SetAttr(), b"v"),
        "mkdir": (Key(1), b"n", SetAttr()), "symlink": (Key(1), b"n", b"t", SetAttr()),
        "mknod": (Key(1), b"n", 7, (0, 0), SetAttr()), "remove": (Key(1), b"n"),
        "rmdir": (Key(1), b"n"), "rename": (Key(1), b"n", Key(1), b"m"),
        "link": (Key(1), Key(1), b"n"),
    }  # fmt: skip

    async def main() -> None:
        wrapped = AttrCache(BlockCache(Faults(Slow(below), rate=0)))
        for name in OPERATIONS:
            args = arguments.get(name, (Key(1),))
            made.clear()
            context = Context(client="c")
            assert await refused(getattr(wrapped, name)(context, *args)) is Status.NXIO
            assert made[-1] == (name, (context, *args))

    asyncio.run(main())
