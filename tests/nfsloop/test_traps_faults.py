"""FIELD.md section 2, trap 12: a backend that fails gives one error reply; the connection lives.

Also: backends that wait, that need a task, and that answer nonsense.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nfs_kit import KINDS, OK, ROOT, World, fattr, guarded, new_backend, sattr, serving
from wire import call, raw

from backends.base import (
    OPERATIONS,
    Attr,
    Backend,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Listing,
    Made,
    Renamed,
    Stable,
    Status,
    Target,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.client import RpcClient


class Broken(MemoryBackend):
    """Memory, but for the method `at`, in whose place `fault` is called with its arguments."""

    def __init__(self, inline: bool = True) -> None:
        super().__init__()
        self.at = ""
        self.fault: Callable[..., Any] = lambda *args: None
        self.calls = 0
        vars(self)["inline"] = inline
        for name in OPERATIONS:
            setattr(self, name, self._guard(name, getattr(self, name)))

    def _guard(self, name: str, method: Any) -> Any:
        async def guarded_method(*args: Any, **kwargs: Any) -> Any:
            if self.at != name:
                return await method(*args, **kwargs)
            self.calls += 1
            result = self.fault(*args)
            return await result if asyncio.iscoroutine(result) else result

        return guarded_method


def raising(exc: BaseException, waits: bool) -> Callable[..., Any]:
    """A fault that raises, at once or after it waited."""

    async def fault(*args: Any) -> Any:
        if waits:
            await asyncio.sleep(0.001)
        raise exc

    return fault


async def calls_of(w: World) -> dict[str, tuple[Any, ...]]:
    """For each method of a backend, a call that comes to it."""
    file, link = await w.create(w.root, b"f"), await w.symlink(w.root, b"l", b"target")
    sub = await w.mkdir(w.root, b"d")
    old, new = x.diropargs3(w.root, b"f"), x.diropargs3(w.root, b"new")
    fifo = x.mknoddata3(x.NF3FIFO, sattr(0o600))
    return {
        "getattr": ("GETATTR", file),
        "lookup": ("LOOKUP", old),
        "read": ("READ", file, 0, 10),
        "readdir": ("READDIR", w.root, 0, bytes(8), 4096),
        "parent": ("LOOKUP", x.diropargs3(sub, b"..")),
        "access": ("ACCESS", file, 63),
        "readlink": ("READLINK", link),
        "setattr": ("SETATTR", file, sattr(0o600), None),
        "write": ("WRITE", file, 0, 4, x.UNSTABLE, b"data"),
        "commit": ("COMMIT", file, 0, 0),
        "create": ("CREATE", new, guarded()),
        "mkdir": ("MKDIR", new, sattr(0o700)),
        "symlink": ("SYMLINK", new, x.symlinkdata3(sattr(), b"target")),
        "mknod": ("MKNOD", new, fifo),
        "remove": ("REMOVE", old),
        "rmdir": ("RMDIR", x.diropargs3(w.root, b"d")),
        "rename": ("RENAME", old, new),
        "link": ("LINK", file, new),
        "statfs": ("FSSTAT", w.root),
    }


#: A fault of the server's own: SERVERFAULT and a line in the log.
BUGS: list[BaseException] = [
    ValueError("injected"),
    KeyError("injected"),
    AssertionError("injected"),
    RecursionError("injected"),
    MemoryError("injected"),
    NotImplementedError("injected"),
    asyncio.CancelledError("injected"),
    StopAsyncIteration("injected"),
    asyncio.IncompleteReadError(b"", 5),
]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "task"])
@pytest.mark.parametrize("waits", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
def test_trap_12_an_exception_gives_one_serverfault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inline: bool, waits: bool, bug: BaseException
) -> None:
    """From each method, in its procedure's own shape, with one line in the log."""

    async def main() -> None:
        backend = Broken(inline)
        async with serving("memory", tmp_path, backend=backend) as w, w.tcp() as rpc:
            backend.fault = raising(bug, waits)
            nfs = x.NFS_V3_Client(rpc)
            for method, (procedure, *args) in (await calls_of(w)).items():
                backend.at, backend.calls = method, 0
                caplog.clear()
                async with asyncio.timeout(5):
                    status = await w.status(procedure, *args, by=nfs)
                assert (status, backend.calls >= 1) == ("SERVERFAULT", True), method
                errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
                assert len(errors) == 1, method
                text = errors[0].getMessage()
                assert procedure in text and "/export" in text and "Broken" in text
                backend.at = ""
                assert await w.status("GETATTR", w.root, by=nfs) == "OK"
            assert not w.server.dispatcher.waiting

    loop.run(main())


ERRORS = [
    (OSError(errno.ENOSPC, "full"), "NOSPC"),
    (OSError(errno.EDQUOT, "quota"), "DQUOT"),
    (OSError(errno.EIO, "disk"), "IO"),
    (OSError(errno.EROFS, "ro"), "ROFS"),
    (PermissionError(errno.EPERM, "no"), "PERM"),
    (PermissionError(errno.EACCES, "no"), "ACCES"),
    (FileNotFoundError(), "NOENT"),
    (OSError(errno.ESTALE, "stale"), "STALE"),
    (OSError(errno.EAGAIN, "later"), "JUKEBOX"),
    (TimeoutError(), "JUKEBOX"),
    (OSError(errno.ENOTEMPTY, "no"), "NOTEMPTY"),
    (OSError(99999, "unheard of"), "IO"),
    (OSError("without a number"), "IO"),
    (FsError(Status.JUKEBOX, "tape"), "JUKEBOX"),
    (FsError(Status.TOOSMALL), "TOOSMALL"),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_trap_12_what_a_backend_may_raise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception, status: str
) -> None:
    """Errors become their status, in every procedure, and no fault of ours is logged."""

    async def main() -> None:
        backend = Broken(inline=False)
        async with serving("memory", tmp_path, backend=backend) as w:
            backend.fault = raising(error, False)
            for method, (procedure, *args) in (await calls_of(w)).items():
                backend.at = method
                assert await w.status(procedure, *args) == status, method
            assert not [r for r in caplog.records if r.levelno >= logging.ERROR]

    loop.run(main())


NONSENSE: list[Any] = [
    None,
    42,
    "text",
    b"",
    [],
    object(),
    Attr(-1, FileType.REG, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    Attr(1 << 70, FileType.REG, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    Data("text", True),  # type: ignore[arg-type]
    Data(b"far too much" * 10, True),
    Listing([None], True),  # type: ignore[list-item]
]


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "task"])
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: type(value).__name__)
def test_trap_12_a_backend_that_answers_nonsense(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inline: bool, value: Any
) -> None:
    """One error and a line in the log, never silence, and the next call is served."""

    async def main() -> None:
        backend = Broken(inline)
        async with serving("memory", tmp_path, backend=backend) as w, w.tcp() as rpc:
            backend.fault = lambda *args: value
            nfs = x.NFS_V3_Client(rpc)
            for method, (procedure, *args) in (await calls_of(w)).items():
                backend.at = method
                caplog.clear()
                async with asyncio.timeout(5):
                    status = await w.status(procedure, *args, by=nfs)
                assert status == "SERVERFAULT", (method, status)
                texts = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
                assert any(procedure in text and "Broken" in text for text in texts), texts
                backend.at = ""
                assert await w.status("GETATTR", w.root, by=nfs) == "OK"

    loop.run(main())


_ODD: Any = object()
_ATTR = Attr(5, FileType.REG, 0o644, 1, 0, 0, 0, 0, 0, 0, 0)

#: Results of the right type with nonsense inside.
INSIDE: dict[str, list[Any]] = {
    "lookup": [Found(_ODD), Found(_ATTR, _ODD), Found(replace(_ATTR, size=-1))],
    "getattr": [replace(_ATTR, mtime=_ODD), replace(_ATTR, mode=_ODD), replace(_ATTR, type=_ODD)],
    "read": [Data(b"x", _ODD, _ODD), Data(_ODD, True), Data(memoryview(bytes(8)).cast("Q"), True)],
    "readdir": [
        Listing([DirEntry("text", 5, 5)], True),  # type: ignore[arg-type]
        Listing([DirEntry(b"f", -5, 5)], True),
        Listing([DirEntry(b"f", 5, 1 << 64)], True),
        Listing(_ODD, True),
        Listing([], True, _ODD),
    ],
    "access": [Granted(_ODD), Granted(1, _ODD)],
    "readlink": [Target(_ODD), Target("text")],  # type: ignore[arg-type]
    "setattr": [Wcc(_ODD), Wcc(None, _ODD), Wcc(replace(_ATTR, size=-1), _ATTR)],
    "write": [Written(-1, Stable.UNSTABLE, Wcc()), Written(4, _ODD, Wcc()), Written(4, 0, _ODD)],  # type: ignore[arg-type]
    "commit": [Wcc(_ODD)],
    "create": [Made(_ODD, Wcc()), Made(_ATTR, _ODD)],
    "rename": [Renamed(_ODD, Wcc()), Renamed(Wcc(), _ODD)],
    "statfs": [FsStat(-1), FsStat(1 << 64), FsStat(_ODD)],
}


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "task"])
@pytest.mark.parametrize("method", INSIDE)
def test_trap_12_nonsense_within_a_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inline: bool, method: str
) -> None:
    """It is found as the reply is made; still one SERVERFAULT, and a line that says whose it is."""

    async def main() -> None:
        backend = Broken(inline)
        async with serving("memory", tmp_path, backend=backend) as w, w.tcp() as rpc:
            nfs = x.NFS_V3_Client(rpc)
            procedure, *args = (await calls_of(w))[method]
            for value in INSIDE[method]:
                backend.fault = lambda *args, value=value: value
                backend.at = method
                caplog.clear()
                async with asyncio.timeout(5):
                    assert await w.status(procedure, *args, by=nfs) == "SERVERFAULT", value
                texts = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
                assert any(procedure in text and "Broken" in text for text in texts), value
                backend.at = ""
                assert await w.status("GETATTR", w.root, by=nfs) == "OK"

    loop.run(main())


class Slow(MemoryBackend):
    """Needs a task for each call (`asyncio.timeout`), waits, and keeps what it is given."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.waiting = 0
        self.seen: list[Any] = []

    async def read(self, ctx: Any, key: Key, offset: int, count: int) -> Data:
        self.waiting += 1
        async with asyncio.timeout(5):
            await self.gate.wait()
        async with asyncio.TaskGroup() as group:
            read = group.create_task(super().read(ctx, key, offset, count))
        return read.result()

    async def write(self, ctx: Any, key: Key, offset: int, data: Any, stable: Stable) -> Any:
        self.seen.append(data)
        async with asyncio.timeout(5):
            await asyncio.sleep(0.01)
        return await super().write(ctx, key, offset, data, stable)

    async def setattr(self, *args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)


def test_trap_12_a_slow_backend_disturbs_nobody(tmp_path: Path) -> None:
    """Others are served while it waits; replies come out of order; each comes once."""

    async def main() -> None:
        backend = Slow()
        async with serving("memory", tmp_path, backend=backend) as w, w.tcp() as rpc:
            nfs = x.NFS_V3_Client(rpc)
            file = await w.create(w.root, b"f")
            data = bytes(range(256)) * 1024
            sizes = [1000 * n for n in range(1, 101)]
            offsets = [sum(sizes[:n]) for n in range(100)]
            writes = [
                nfs.WRITE(x.WRITE3args(file, at, size, x.UNSTABLE, data[:size]))
                for at, size in zip(offsets, sizes, strict=True)
            ]
            done = await asyncio.gather(*writes)
            assert [res.resok.count for res in done] == sizes
            backend.gate.set()
            for at, size in zip(offsets, sizes, strict=True):
                assert await w.read(file, at, size) == data[:size]
            backend.gate.clear()
            backend.waiting = 0
            reads = [asyncio.ensure_future(reading(nfs, file, n)) for n in range(200)]
            while backend.waiting < 200:
                await asyncio.sleep(0.001)
            assert await w.status("GETATTR", file, by=nfs) == "OK"  # overtakes 200 reads
            assert w.server.dispatcher.waiting == 200
            assert not any(read.done() for read in reads)
            backend.gate.set()
            assert [got for got in await asyncio.gather(*reads)] == [
                data[n : n + 10] if n < 990 else b"" for n in range(200)
            ]
            # asyncio.timeout in a backend that gives up: the client is to try again.
            assert await w.status("SETATTR", file, sattr(0o600), None, by=nfs) == "JUKEBOX"

    async def reading(nfs: x.NFS_V3_Client, file: bytes, offset: int) -> bytes:
        return bytes((await nfs.READ(x.READ3args(file, offset, 10))).resok.data)

    loop.run(main())


def test_trap_12_more_calls_wait_than_are_let_in(tmp_path: Path) -> None:
    """Of 600 waiting calls on one connection each is answered, and another connection lives."""

    async def main() -> None:
        backend = Slow()
        async with serving("memory", tmp_path, backend=backend) as w, w.tcp() as rpc:
            file = await w.create(w.root, b"f", size=100)
            nfs = x.NFS_V3_Client(rpc)
            reads = [asyncio.ensure_future(nfs.READ(x.READ3args(file, 0, 10))) for _ in range(600)]
            await asyncio.sleep(0.05)
            assert backend.waiting < 600
            async with w.tcp() as other:
                assert await w.status("GETATTR", file, by=x.NFS_V3_Client(other)) == "OK"
            backend.gate.set()
            done = await asyncio.wait_for(asyncio.gather(*reads), 10)
            assert {res.resok.count for res in done} == {10}
            assert backend.waiting == 600

    loop.run(main())


def test_trap_12_a_client_that_goes_away_takes_nothing_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its calls end unanswered, without an error in the log; others go on."""

    async def main() -> None:
        backend = Slow()
        async with serving("memory", tmp_path, backend=backend) as w:
            file = await w.create(w.root, b"f", size=100)
            port = w.server.listen("tcp", "127.0.0.1")
            args = len(file).to_bytes(4) + file + bytes(8) + (10).to_bytes(4)
            message = call(proc=6, args=args, credential=ROOT.pack())
            async with raw("127.0.0.1", port) as tcp:
                await tcp.send((0x80000000 | len(message)).to_bytes(4) + message)
                while not backend.waiting:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            backend.gate.set()
            async with raw("127.0.0.1", port) as tcp:
                assert await tcp.ask(call())
            while w.server.dispatcher.waiting:
                await asyncio.sleep(0.001)
            assert not [r for r in caplog.records if r.levelno >= logging.WARNING]

    loop.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_trap_12_views_die_at_the_first_await(kind: str, tmp_path: Path) -> None:
    """Writes that wait have data of their own, though the receive buffer is used again."""

    async def main() -> None:
        backend: Backend = Slow() if kind == "memory" else new_backend(kind, tmp_path)
        async with serving(kind, tmp_path, backend=backend) as w, w.tcp() as rpc:
            nfs = x.NFS_V3_Client(rpc)
            file = await w.create(w.root, b"f")
            size = 200_000  # over what is copied out of the receive buffer
            blocks = [bytes([n]) * size for n in range(1, 9)]
            await asyncio.gather(
                *(
                    nfs.WRITE(x.WRITE3args(file, n * size, size, x.FILE_SYNC, block))
                    for n, block in enumerate(blocks)
                )
            )
            if isinstance(backend, Slow):
                backend.gate.set()
                assert {type(data) for data in backend.seen} == {bytes}
            for n, block in enumerate(blocks):
                assert await w.read(file, n * size, size) == block

    loop.run(main())


def test_trap_12_stopping_finishes_what_is_in_flight(tmp_path: Path) -> None:
    """A READ that waits when the server stops gets its reply before the connection ends."""

    async def main() -> None:
        backend = Slow()
        async with serving("memory", tmp_path, backend=backend) as w:
            file = await w.create(w.root, b"f", size=100)
            client: RpcClient
            async with w.tcp() as client:
                read = asyncio.ensure_future(x.NFS_V3_Client(client).READ(x.READ3args(file, 0, 10)))
                while not backend.waiting:
                    await asyncio.sleep(0.001)
                stop = asyncio.ensure_future(w.server.stop(5.0))
                await asyncio.sleep(0.05)
                assert not stop.done() and not read.done()
                backend.gate.set()
                assert (await read).status == OK
                await stop

    loop.run(main())


def test_trap_12_attributes_of_failures_are_there_or_left_out(tmp_path: Path) -> None:
    """If even they fail, the status is still the first error's."""

    async def main() -> None:
        backend = Broken()
        async with serving("memory", tmp_path, backend=backend) as w:
            file = await w.create(w.root, b"f")
            res = await w.nfs.READDIR(x.READDIR3args(file, 0, bytes(8), 4096))
            assert fattr(res.resfail.dir_attributes) == await w.attr(file)
            backend.at, backend.fault = "getattr", raising(FsError(Status.IO), False)
            res = await w.nfs.READDIR(x.READDIR3args(file, 0, bytes(8), 4096))
            assert (res.status, res.resfail.dir_attributes) == (x.NFS3ERR_NOTDIR, None)

    loop.run(main())


def test_trap_12_a_listing_that_fails_halfway(tmp_path: Path) -> None:
    """Lazy entries may raise too: one error, no half of a reply."""

    async def main() -> None:
        backend = Broken()

        def entries() -> Any:
            yield from ()
            raise OSError(errno.EIO, "the disk ends here")

        async with serving("memory", tmp_path, backend=backend) as w:
            backend.at, backend.fault = "readdir", lambda *args: Listing(entries(), True)
            for procedure, counts in (("READDIR", (4096,)), ("READDIRPLUS", (4096, 4096))):
                assert await w.status(procedure, w.root, 0, bytes(8), *counts) == "IO"

    loop.run(main())
