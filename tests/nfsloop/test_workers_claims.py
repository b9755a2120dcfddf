"""Two workers that are about to change one name, and one of them dies: in one process, as two
services over one directory, with the memory that workers share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nfs_kit import KEY, OK, OPEN, PEER, ROOT, guarded, new_backend, sattr

from nfsloop.export import Export, Exports
from nfsloop.handle import FileHandles
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.workers import claims
from nfsloop.workers.claims import SharedNfs3Service
from nfsloop.workers.page import Page
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import RING_SEGMENT_BYTES
from oncrpc.message import call_header, read_reply
from oncrpc.program import Handler, Proc, Program
from oncrpc.ring import Ring
from oncrpc.testing import Capture
from oncrpc.xdr import decode, encode

PROCS = {proc.name: proc for proc in NFS3_PROGRAM.procs.values()}


class Crash(BaseException):
    """The process ends here."""


class Worker:
    """A worker's half of the way: dispatcher, cache, its row of claims. Where `crashes` is set, it
    dies when an operation has taken place, before the record of its reply."""

    def __init__(self, exports: Exports, page: Page, index: int, ring: bytearray) -> None:
        self.crashes = False
        self.cache = DuplicateRequestCache(Ring(ring))
        self.dispatcher = Dispatcher()
        service = SharedNfs3Service(exports, FileHandles(KEY), page.row(index))
        self.dispatcher.add(NFS3_PROGRAM, service, [self._dying], self.cache)

    def _dying(self, program: Program, proc: Proc, handler: Handler) -> Handler:
        async def run(call: Any, args: Any) -> Any:
            done = await handler(call, args)
            if self.crashes:
                raise Crash
            return done

        return run

    def send(self, message: bytes) -> Capture:
        to = Capture()
        to.peer = PEER
        self.dispatcher.dispatch(message, to)
        return to


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Export, Page, list[Worker], bytes]]:
    """The export, what is shared, the workers, and the root's handle."""
    export = Export("/export", new_backend("posix", tmp_path), OPEN)
    exports, page = Exports([export]), Page(2)
    workers = [
        Worker(exports, page, index, bytearray(4 * RING_SEGMENT_BYTES)) for index in range(2)
    ]
    await export.backend.start()
    try:
        attr = await export.backend.root(export.context(ROOT, PEER))
        root = FileHandles(KEY).pack(export.number, attr.ino, attr.generation)
        yield export, page, workers, root
    finally:
        for worker in workers:
            await worker.dispatcher.cancel()
        await export.backend.stop()
        page.close()


_xids = count(1)


def message(name: str, *args: Any) -> bytes:
    proc = PROCS[name]
    head = call_header(next(_xids), NFS3_PROGRAM.number, 3, proc.number, ROOT.pack())
    return head + encode(proc.encode_args, getattr(x, f"{name}3args")(*args))


def status(name: str, to: Capture) -> x.nfsstat3:
    (reply,) = to.sent
    _, pos = read_reply(reply)
    found: x.nfsstat3 = decode(PROCS[name].decode_result, reply, pos).status
    return found


async def answer(name: str, to: Capture) -> x.nfsstat3:
    async with asyncio.timeout(10):
        await to.arrived.wait()
    return status(name, to)


def test_nobody_comes_between_a_crash_and_its_settling(tmp_path: Path) -> None:
    """One has made a directory and dies. Another that is to make the same waits; so it cannot be
    taken for its maker, nor the first for the maker of what the second made."""

    async def main() -> None:
        async with two(tmp_path) as (export, page, (first, second), root):
            make = message("MKDIR", x.diropargs3(root, b"lock"), sattr(0o755))
            first.crashes = True
            with contextlib.suppress(Crash):
                first.send(make)
            assert (tmp_path / "export/lock").is_dir()
            other = second.send(message("MKDIR", x.diropargs3(root, b"lock"), sattr(0o755)))
            elsewhere = second.send(message("MKDIR", x.diropargs3(root, b"other"), sattr(0o755)))
            assert status("MKDIR", elsewhere) == OK, "another name waits for nothing"
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not other.sent
            # What the home does: settle in the dead one's ring, and only then free its names.
            home = Dispatcher()
            home.add(NFS3_PROGRAM, Nfs3Service(Exports([export]), FileHandles(KEY)))
            left = DuplicateRequestCache(Ring(first.cache._ring.buffer))
            await left.recover(home.settle)
            assert left.statistics.settled == 1
            assert not other.sent
            page.row(0).release()
            assert await answer("MKDIR", other) == x.NFS3ERR_EXIST
            again = Worker(Exports([export]), page, 0, first.cache._ring.buffer)  # type: ignore[arg-type]
            assert status("MKDIR", again.send(make)) == OK

    asyncio.run(main())


@pytest.mark.parametrize("name", ["CREATE", "REMOVE", "RENAME", "LINK", "SETATTR"])
def test_what_is_claimed_is_given_back(name: str, tmp_path: Path) -> None:
    """With each procedure, whether it succeeds, fails, or is refused before it is begun."""

    async def main() -> None:
        async with two(tmp_path) as (_, page, workers, root):
            made = workers[0].send(message("CREATE", x.diropargs3(root, b"f"), guarded()))
            file = decode(PROCS["CREATE"].decode_result, made.sent[0], 24).resok.obj
            one, none = x.diropargs3(root, b"f"), x.diropargs3(root, b"none")
            bad = x.diropargs3(root[:-1] + b"?", b"f")
            calls: dict[str, list[tuple[Any, ...]]] = {
                "CREATE": [(one, guarded()), (none, guarded()), (bad, guarded())],
                "REMOVE": [(none,), (bad,), (one,)],
                "RENAME": [(one, one), (one, none), (none, bad), (bad, one)],
                "LINK": [(file, one), (file, none), (file, bad)],
                "SETATTR": [(file, sattr(0o600), None), (file, sattr(0o600), x.nfstime3(1, 1))],
            }
            empty = bytes(len(page.memory) - 8)
            for args in calls[name]:
                for worker in workers:
                    assert worker.send(message(name, *args)).sent
                    assert page.memory[8:] == empty

    asyncio.run(main())


def test_a_name_that_is_never_free_makes_its_caller_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.02)

    async def main() -> None:
        async with two(tmp_path) as (_, page, (first, second), root):
            make = message("MKDIR", x.diropargs3(root, b"d"), sattr(0o755))
            first.crashes = True
            with contextlib.suppress(Crash):
                first.send(make)
            other = message("MKDIR", x.diropargs3(root, b"d"), sattr(0o755))
            assert await answer("MKDIR", second.send(other)) == x.NFS3ERR_JUKEBOX
            page.row(0).release()
            assert status("MKDIR", second.send(other)) == x.NFS3ERR_EXIST, "it was not kept"

    asyncio.run(main())
