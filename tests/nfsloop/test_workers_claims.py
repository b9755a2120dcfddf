"""Two workers that are about to change one name, and one of them dies: in one process, as two
services over one directory, with the memory that workers share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from nfs_kit import KEY, OK, OPEN, PEER, ROOT, guarded, new_backend, sattr, unchecked

from backends.base import CreateMode, SetAttr
from nfsloop.export import Export, Exports
from nfsloop.handle import FileHandles
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.workers import claims
from nfsloop.workers import page as pages
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
        #: Closed, it keeps calls whose operation has taken place from being answered.
        self.gate = asyncio.Event()
        self.gate.set()
        service = SharedNfs3Service(exports, FileHandles(KEY), page.row(index))
        self.service = service
        self.dispatcher.add(NFS3_PROGRAM, service, [self._dying], self.cache)

    def _dying(self, program: Program, proc: Proc, handler: Handler) -> Handler:
        async def run(call: Any, args: Any) -> Any:
            done = await handler(call, args)
            if self.crashes:
                raise Crash
            if not self.gate.is_set():
                await self.gate.wait()
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
            left = await settle(Exports([export]), first)
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


# Settling, where others go on


async def settle(exports: Exports, dead: Worker) -> DuplicateRequestCache:
    """What the home does with the ring of a worker that has died; the cache that has settled."""
    service = Nfs3Service(exports, FileHandles(KEY))
    service.alone = False
    home = Dispatcher()
    home.add(NFS3_PROGRAM, service)
    left = DuplicateRequestCache(Ring(dead.cache._ring.buffer))
    await left.recover(home.settle, 4)
    return left


async def made(worker: Worker, root: bytes, name: bytes) -> bytes:
    """The handle of a new file, after a moment in which its times are the past."""
    to = worker.send(message("CREATE", x.diropargs3(root, name), guarded()))
    await asyncio.sleep(0.02)
    handle: bytes = decode(PROCS["CREATE"].decode_result, to.sent[0], 24).resok.obj
    to = worker.send(message("WRITE", handle, 0, 4, x.FILE_SYNC, b"data"))
    assert await answer("WRITE", to) == OK
    await asyncio.sleep(0.02)
    return handle


#: A call that a worker has in hand as it dies, from the handles of the root and of a file; and
#: whether it is known to have taken place where another writes to the file meanwhile.
Cut: TypeAlias = Callable[[bytes, bytes], tuple[Any, ...]]
CUT_OFF: dict[str, tuple[Cut, bool]] = {
    "SETATTR": (lambda root, file: (file, sattr(size=2), None), False),
    "CREATE": (lambda root, file: (x.diropargs3(root, b"n"), unchecked(size=0)), True),
    "CREATE of what is there": (
        lambda root, file: (x.diropargs3(root, b"f"), unchecked(size=2)),
        False,
    ),
}


@pytest.mark.parametrize("disturbed", [False, True], ids=["quiet", "written"])
@pytest.mark.parametrize("case", CUT_OFF)
def test_settling_undoes_nothing(case: str, disturbed: bool, tmp_path: Path) -> None:
    """A worker dies when it has set a file's size. Another client sees that, writes to the file,
    and is answered; what it wrote stays."""
    call, known = CUT_OFF[case]

    async def main() -> None:
        async with two(tmp_path) as (export, _page, (first, second), root):
            file = await made(second, root, b"f")
            first.crashes = True
            with contextlib.suppress(Crash):
                first.send(message(case.split(maxsplit=1)[0], *call(root, file)))
            path = tmp_path / "export" / ("n" if case == "CREATE" else "f")
            size = path.stat().st_size
            assert size == (0 if case == "CREATE" else 2)
            if disturbed:
                looked = second.send(message("LOOKUP", x.diropargs3(root, path.name.encode())))
                there = decode(PROCS["LOOKUP"].decode_result, looked.sent[0], 24).resok.object
                write = second.send(message("WRITE", there, size, 8, x.FILE_SYNC, bytes(8)))
                assert await answer("WRITE", write) == OK
                size += 8
            before = path.stat()
            left = await settle(Exports([export]), first)
            assert path.stat().st_size == size
            assert path.stat().st_ctime_ns == before.st_ctime_ns, "nothing is set again"
            settled = known or not disturbed
            assert (left.statistics.settled, left.statistics.unexecuted) == (settled, not settled)

    asyncio.run(main())


NOT_BEGUN: dict[str, Cut] = {
    "SETATTR": CUT_OFF["SETATTR"][0],
    "SETATTR of what is so": lambda root, file: (file, sattr(0o644), None),
    "CREATE of what is there": CUT_OFF["CREATE of what is there"][0],
}


@pytest.mark.parametrize("case", NOT_BEGUN)
def test_what_was_not_begun_is_not_done_by_the_settling(case: str, tmp_path: Path) -> None:
    """Nor taken for done: whether it may be is not known."""

    async def main() -> None:
        async with two(tmp_path) as (export, _page, (first, second), root):
            file = await made(second, root, b"f")
            proc = case.split(maxsplit=1)[0]

            async def dies(*args: Any) -> None:
                raise Crash

            with contextlib.suppress(Crash), pytest.MonkeyPatch.context() as patch:
                patch.setitem(vars(export.backend), proc.lower(), dies)
                first.send(message(proc, *NOT_BEGUN[case](root, file)))
            left = await settle(Exports([export]), first)
            assert (tmp_path / "export/f").read_bytes() == b"data"
            assert (left.statistics.settled, left.statistics.unexecuted) == (0, 1)

    asyncio.run(main())


@pytest.mark.parametrize("written", [False, True])
def test_a_file_made_by_half_is_completed_if_nobody_has_used_it(
    written: bool, tmp_path: Path
) -> None:
    async def main() -> None:
        async with two(tmp_path) as (export, _page, (first, _second), root):
            create = export.backend.create

            async def half(ctx: Any, dir: Any, name: Any, *_: Any) -> None:
                await create(ctx, dir, name, CreateMode.GUARDED, SetAttr(mode=0o644), bytes(8))
                raise Crash

            with contextlib.suppress(Crash), pytest.MonkeyPatch.context() as patch:
                patch.setitem(vars(export.backend), "create", half)
                first.send(message("CREATE", x.diropargs3(root, b"n"), guarded(size=5)))
            path = tmp_path / "export/n"
            if written:
                path.write_bytes(b"more than five")
            left = await settle(Exports([export]), first)
            assert left.statistics.settled == 1, "its maker has made it, in any case"
            assert path.stat().st_size == (14 if written else 5)

    asyncio.run(main())


# Names, and who waits for them


def test_a_directory_in_two_exports_is_claimed_as_one() -> None:
    handles = FileHandles(KEY)
    here, there = (handles.pack(export, 12, 7 << 60) for export in (1, 2))
    other, again = handles.pack(1, 13, 7 << 60), handles.pack(1, 12, 8 << 60)
    makers: dict[str, Callable[[bytes], Any]] = {
        "MKDIR": lambda dir: x.MKDIR3args(x.diropargs3(dir, b"n"), sattr()),
        "SETATTR": lambda file: x.SETATTR3args(file, sattr(), None),
    }
    for name, make in makers.items():
        one, two, *others = (claims.scopes(name, make(h)) for h in (here, there, other, again))
        assert one == two and one not in others


def test_calls_of_one_worker_wait_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a name that another call has, and for a place; nobody asks again and again."""
    monkeypatch.setattr(claims, "AGAIN_SECONDS", 3600.0)
    monkeypatch.setattr(claims, "AGAIN_SECONDS_MAX", 3600.0)
    monkeypatch.setattr(pages, "ROW_CLAIMS", 2)

    async def main() -> None:
        async with two(tmp_path) as (_, page, (first, _other), root):

            def make(name: bytes) -> Capture:
                return first.send(message("MKDIR", x.diropargs3(root, name), sattr(0o755)))

            first.gate.clear()
            order: list[int] = []
            tasks: list[asyncio.Task[None]] = []

            async def arrival(number: int, to: Capture) -> None:
                await to.arrived.wait()
                order.append(number)

            sent = [make(name) for name in (b"a", b"a", b"b", b"a", b"c", b"d")]
            for number, to in enumerate(sent):
                tasks.append(asyncio.create_task(arrival(number, to)))
            await asyncio.sleep(0.01)
            assert sorted(os.listdir(tmp_path / "export")) == ["a", "b"]
            assert sorted(map(len, first.service._lines.values())) == [2, 2]
            first.gate.set()
            found = [await answer("MKDIR", to) for to in sent]
            assert found == [OK, x.NFS3ERR_EXIST, OK, x.NFS3ERR_EXIST, OK, OK]
            await asyncio.gather(*tasks)
            assert order.index(1) < order.index(3) and order.index(4) < order.index(5)
            assert not first.service._lines
            assert page.memory[8:] == bytes(len(page.memory) - 8)

    asyncio.run(main())


def test_who_gives_up_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.05)

    async def main() -> None:
        async with two(tmp_path) as (_, page, (first, _other), root):

            def make() -> Capture:
                return first.send(message("MKDIR", x.diropargs3(root, b"a"), sattr(0o755)))

            first.gate.clear()
            sent = [make() for _ in range(3)]
            for to in sent[1:]:
                assert await answer("MKDIR", to) == x.NFS3ERR_JUKEBOX
            assert not first.service._lines
            sent.append(make())
            first.gate.set()
            assert await answer("MKDIR", sent[0]) == OK
            assert await answer("MKDIR", sent[3]) == x.NFS3ERR_EXIST
            assert page.memory[8:] == bytes(len(page.memory) - 8)

    asyncio.run(main())


def test_whose_turn_it_is_and_who_is_gone_gives_it_to_the_next() -> None:
    async def main() -> None:
        page = Page(2)
        row = page.row(0)
        service = SharedNfs3Service(Exports([]), FileHandles(KEY), row)
        assert row.take([5])
        one, two = (asyncio.create_task(service._wait([5])) for _ in range(2))
        await asyncio.sleep(0)
        service._give([5], None)
        one.cancel()
        async with asyncio.timeout(5):
            await two
        assert row.wanting([5]) == 5 and not service._lines
        page.close()

    asyncio.run(main())
