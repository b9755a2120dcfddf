"""The duplicate request cache with NFS: FIELD.md section 2, traps 7 and 19, and crashes.

Each call that a second execution would answer otherwise is cut off by a crash at each point of its
way, and sent again to a server that starts on what the first has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nfs_kit import KEY, OK, OPEN, PEER, ROOT, fattr, guarded, new_backend, sattr, unchecked

from backends.base import Backend, FsError, SetAttr, Status
from backends.memory import MemoryBackend
from nfsloop.access import Guard, Policy
from nfsloop.export import Export, Exports, Options
from nfsloop.handle import FileHandles
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3 import recovery
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from oncrpc import loop
from oncrpc.call import Peer
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


@dataclass
class Server:
    """A server's life, from one crash to the next."""

    dispatcher: Dispatcher
    cache: DuplicateRequestCache
    backend: Backend
    root: bytes
    export: Export

    def send(self, message: bytes, port: int = 700, to: Capture | None = None) -> Capture:
        """One call from `port` of a client."""
        to = to or Capture()
        to.peer = Peer("192.0.2.7", port)
        self.dispatcher.dispatch(message, to)
        return to

    async def ask(self, message: bytes, port: int = 700) -> Any:
        """The result of a call."""
        to = self.send(message, port)
        async with asyncio.timeout(10):
            await to.arrived.wait()
        return result(message, to.sent[0])

    async def call(self, name: str, *args: Any) -> Any:
        """The result of a new call, that must succeed."""
        res = await self.ask(message_of(name, *args))
        assert res.status == OK, res
        return res.resok


_xids = count(1000)


def message_of(name: str, *args: Any) -> bytes:
    """A new call."""
    proc = PROCS[name]
    head = call_header(next(_xids), NFS3_PROGRAM.number, 3, proc.number, ROOT.pack())
    return head + encode(proc.encode_args, getattr(x, f"{name}3args")(*args))


def result(message: bytes, reply: bytes) -> Any:
    """A reply, decoded."""
    proc = NFS3_PROGRAM.procs[int.from_bytes(message[20:24])]
    _, pos = read_reply(reply)
    return decode(proc.decode_result, reply, pos)


@asynccontextmanager
async def life(
    kind: str | Backend, tmp_path: Path, buffer: bytearray, *wraps: Any
) -> AsyncIterator[Server]:
    """A server that starts on what another has left in `tmp_path` and `buffer`."""
    backend = new_backend(kind, tmp_path) if isinstance(kind, str) else kind
    export = Export("/export", backend, OPEN)
    exports, handles = Exports([export]), FileHandles(KEY)
    cache = DuplicateRequestCache(Ring(buffer))
    dispatcher = Dispatcher()
    dispatcher.add(NFS3_PROGRAM, Nfs3Service(exports, handles), wraps, cache)
    await backend.start()
    try:
        await cache.recover(dispatcher.settle)
        attr = await backend.root(export.context(ROOT, PEER))
        root = handles.pack(export.number, attr.ino, attr.generation)
        yield Server(dispatcher, cache, backend, root, export)
    finally:
        await dispatcher.cancel()
        await backend.stop()


def ring() -> bytearray:
    return bytearray(4 * RING_SEGMENT_BYTES)


# Trap 7


def test_trap_7_a_finished_call_gets_the_same_bytes(tmp_path: Path) -> None:
    async def main() -> None:
        async with life("posix", tmp_path, ring()) as s:
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            first = s.send(make).sent
            assert result(make, first[0]).status == OK
            assert s.send(make).sent == first
            assert s.send(make, port=999).sent == first, "after a reconnect from another port"
            other = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            assert (await s.ask(other)).status == x.NFS3ERR_EXIST, "another xid is another call"
            same_xid = make[:4] + message_of("MKDIR", x.diropargs3(s.root, b"e"), sattr())[4:]
            assert (await s.ask(same_xid)).status == OK, "other arguments are another call"

    loop.run(main())


class Slow(MemoryBackend):
    """Its directories take until `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.made = 0

    async def mkdir(self, *args: Any) -> Any:
        self.made += 1
        await self.gate.wait()
        return await super().mkdir(*args)


def test_trap_7_a_call_in_progress_is_not_executed_again(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Slow()
        async with life(backend, tmp_path, ring()) as s:
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            old, new = s.send(make, 700), s.send(make, 999)
            backend.gate.set()
            await new.arrived.wait()
            assert result(make, new.sent[0]).status == OK
            assert old.sent == [], "answered on the newest connection alone"
            assert backend.made == 1

    loop.run(main())


def test_a_late_copy_of_a_write_does_not_undo_a_later_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with life("posix", tmp_path, ring()) as s:
            made = await s.call("CREATE", x.diropargs3(s.root, b"f"), guarded())
            first, second = (
                message_of("WRITE", made.obj, 0, 4, x.FILE_SYNC, data)
                for data in (b"old.", b"new.")
            )
            for write in (first, second, first):
                assert (await s.ask(write)).status == OK
            assert (tmp_path / "export/f").read_bytes() == b"new."

    loop.run(main())


# Trap 19


class Busy(MemoryBackend):
    """Has no time for directories at first."""

    busy = True

    async def mkdir(self, *args: Any) -> Any:
        if self.busy:
            raise FsError(Status.JUKEBOX)
        return await super().mkdir(*args)


def test_a_refusal_by_the_policy_is_not_kept(tmp_path: Path) -> None:
    """Whom it keeps out must not answer for another user of that host, nor for himself later."""

    async def main() -> None:
        async with life("memory", tmp_path, ring()) as s:
            s.export.policy = Policy.everyone(Options(root_squash=False, secure=True))
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            assert (await s.ask(make, port=40000)).status == x.NFS3ERR_ACCES
            assert (await s.ask(make, port=700)).status == OK

    loop.run(main())


def test_trap_19_jukebox_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Busy()
        async with life(backend, tmp_path, ring()) as s:
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            assert (await s.ask(make)).status == x.NFS3ERR_JUKEBOX
            backend.busy = False
            assert (await s.ask(make)).status == OK
            assert s.cache.statistics.forgotten == 1

    loop.run(main())


# Restarts


def test_memory_does_not_answer_for_what_it_has_lost(tmp_path: Path) -> None:
    async def main() -> None:
        buffer = ring()
        async with life("memory", tmp_path, buffer) as s:
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            assert (await s.ask(make)).status == OK
        async with life("memory", tmp_path, buffer) as s:
            assert (await s.ask(make)).status == OK
            assert (s.cache.statistics.outlived, s.cache.statistics.new) == (1, 1)
            assert (await s.call("LOOKUP", x.diropargs3(s.root, b"d"))).object

    loop.run(main())


async def _tree(s: Server, path: Path) -> dict[str, bytes]:
    """What the cases work on: the handles by name."""
    at = {"root": s.root}
    for name in (b"file", b"other", b"gone"):
        at[name.decode()] = (await s.call("CREATE", x.diropargs3(s.root, name), guarded())).obj
    for name in (b"dir", b"empty"):
        at[name.decode()] = (await s.call("MKDIR", x.diropargs3(s.root, name), sattr(0o755))).obj
    await s.call("WRITE", at["file"], 0, 4, x.FILE_SYNC, b"data")
    await s.call("SETATTR", at["file"], sattr(0o640), None)
    return at


def on(at: dict[str, bytes], name: bytes, dir: str = "root") -> x.diropargs3:
    return x.diropargs3(at[dir], name)


FIFO = x.mknoddata3(x.NF3FIFO, sattr(0o600))
SINCE = x.set_mtime(x.SET_TO_CLIENT_TIME, x.nfstime3(1_000_000_000, 5))

#: Name -> the call, from the handles; the status; whether the tree shows that it took place.
CASES: dict[str, tuple[Callable[[Any], tuple[Any, ...]], x.nfsstat3, Callable[[Path], bool]]] = {
    "CREATE guarded": (
        lambda at: ("CREATE", on(at, b"new"), guarded(mode=0o604, size=7)),
        OK,
        lambda p: (p / "new").stat().st_size == 7,
    ),
    "CREATE guarded, exists": (
        lambda at: ("CREATE", on(at, b"file"), guarded()),
        x.NFS3ERR_EXIST,
        lambda p: (p / "file").read_bytes() == b"data",
    ),
    "CREATE unchecked": (
        lambda at: ("CREATE", on(at, b"new"), unchecked(mode=0o604)),
        OK,
        lambda p: (p / "new").stat().st_mode & 0o777 == 0o604,
    ),
    "CREATE unchecked, truncates": (
        lambda at: ("CREATE", on(at, b"file"), unchecked(size=0)),
        OK,
        lambda p: (p / "file").stat().st_size == 0,
    ),
    "CREATE exclusive": (
        lambda at: ("CREATE", on(at, b"new"), x.createhow3(x.EXCLUSIVE, b"verifier")),
        OK,
        lambda p: (p / "new").is_file(),
    ),
    "CREATE exclusive, exists": (
        lambda at: ("CREATE", on(at, b"file"), x.createhow3(x.EXCLUSIVE, b"verifier")),
        x.NFS3ERR_EXIST,
        lambda p: (p / "file").read_bytes() == b"data",
    ),
    "MKDIR": (
        lambda at: ("MKDIR", on(at, b"new"), sattr(0o2751)),
        OK,
        lambda p: (p / "new").is_dir(),
    ),
    "MKDIR, exists": (
        lambda at: ("MKDIR", on(at, b"dir"), sattr(0o700)),
        x.NFS3ERR_EXIST,
        lambda p: True,
    ),
    "SYMLINK": (
        lambda at: ("SYMLINK", on(at, b"new"), x.symlinkdata3(sattr(0o777), b"target")),
        OK,
        lambda p: os.readlink(p / "new") == "target",
    ),
    "MKNOD": (lambda at: ("MKNOD", on(at, b"new"), FIFO), OK, lambda p: (p / "new").is_fifo()),
    "REMOVE": (lambda at: ("REMOVE", on(at, b"gone")), OK, lambda p: not (p / "gone").exists()),
    "REMOVE, is not there": (
        lambda at: ("REMOVE", on(at, b"nothing")),
        x.NFS3ERR_NOENT,
        lambda p: True,
    ),
    "RMDIR": (lambda at: ("RMDIR", on(at, b"empty")), OK, lambda p: not (p / "empty").exists()),
    "RENAME": (
        lambda at: ("RENAME", on(at, b"gone"), on(at, b"new", "dir")),
        OK,
        lambda p: (p / "dir/new").exists() and not (p / "gone").exists(),
    ),
    "RENAME, replaces": (
        lambda at: ("RENAME", on(at, b"file"), on(at, b"other")),
        OK,
        lambda p: (p / "other").read_bytes() == b"data" and not (p / "file").exists(),
    ),
    "RENAME, is not there": (
        lambda at: ("RENAME", on(at, b"nothing"), on(at, b"other")),
        x.NFS3ERR_NOENT,
        lambda p: (p / "other").exists(),
    ),
    "LINK": (
        lambda at: ("LINK", at["file"], on(at, b"new")),
        OK,
        lambda p: (p / "file").stat().st_nlink == 2,
    ),
    "LINK, exists": (
        lambda at: ("LINK", at["file"], on(at, b"other")),
        x.NFS3ERR_EXIST,
        lambda p: (p / "file").stat().st_nlink == 1,
    ),
    "SETATTR with guard": (
        lambda at: ("SETATTR", at["file"], sattr(0o600, size=2, mtime=SINCE), at["ctime"]),
        OK,
        lambda p: (p / "file").stat().st_size == 2,
    ),
    "SETATTR with another guard": (
        lambda at: ("SETATTR", at["file"], sattr(0o600, size=2), x.nfstime3(1, 1)),
        x.NFS3ERR_NOT_SYNC,
        lambda p: (p / "file").stat().st_size == 4,
    ),
    "SETATTR": (
        lambda at: ("SETATTR", at["file"], sattr(size=2), None),
        OK,
        lambda p: (p / "file").stat().st_size == 2,
    ),
}

POINTS = ("before the intent", "before the operation", "before the record", "before the reply")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("case", CASES)
def test_a_crash_and_the_call_again(case: str, point: str, tmp_path: Path) -> None:
    """It has the outcome and the effect of one execution; then, a third time, the same bytes."""
    make, status, done = CASES[case]
    armed = False

    def crash_at(where: str) -> None:
        if armed and where == point:
            raise Crash

    def crashing(program: Program, proc: Proc, handler: Handler) -> Handler:
        async def run(call: Any, args: Any) -> Any:
            crash_at("before the operation")
            value = await handler(call, args)
            crash_at("before the record")
            return value

        return run

    class To(Capture):
        def send(self, parts: Any) -> None:
            crash_at("before the reply")
            super().send(parts)

    async def main() -> None:
        nonlocal armed
        buffer = ring()
        async with life("posix", tmp_path, buffer, crashing) as s:
            at: dict[str, Any] = dict(await _tree(s, tmp_path))
            got = await s.call("GETATTR", at["file"])
            at["ctime"] = fattr(got.obj_attributes).ctime
            message = message_of(*make(at))
            armed = True
            with contextlib.suppress(Crash):
                crash_at("before the intent")
                s.send(message, to=To())
                # A failure is answered behind the handler: there its crash comes with the reply.
                assert status != OK and point == "before the record"
            armed = False
        async with life("posix", tmp_path, buffer) as s:
            stats = s.cache.statistics
            first = s.send(message, port=999).sent
            assert result(message, first[0]).status == status, case
            assert done(tmp_path / "export")
            assert s.send(message).sent == first
            if point == "before the record" and status == OK:
                assert (stats.settled, stats.new) == (1, 0)
            if point == "before the reply":
                assert (stats.settled, stats.unexecuted, stats.new) == (0, 0, 0)

    loop.run(main())


def test_a_local_call_is_settled_where_no_port_is_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was admitted as its user's; who that was is not known any more (as in containers, where
    net.ipv4.ip_unprivileged_port_start is 0)."""
    guard = Guard(frozenset({0, 1234}), reserved=0, local_only=True)
    policy = Policy.everyone(Options(root_squash=False), guard)
    monkeypatch.setattr(f"{__name__}.Export", partial(Export, policy=policy))
    monkeypatch.setattr(f"{__name__}.PEER", Peer("127.0.0.1", 700, user=0))

    def crashing(program: Program, proc: Proc, handler: Handler) -> Handler:
        async def run(call: Any, args: Any) -> Any:
            await handler(call, args)
            raise Crash

        return run

    async def main() -> None:
        buffer = ring()
        async with life("posix", tmp_path, buffer, crashing) as s:
            make = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            to = Capture(Peer("127.0.0.1", 700, user=1234))
            with contextlib.suppress(Crash):
                s.dispatcher.dispatch(make, to)
            assert (tmp_path / "export/d").is_dir()
        async with life("posix", tmp_path, buffer) as s:
            assert s.cache.statistics.settled == 1

    loop.run(main())


FIRST_ERRORS: list[tuple[str, Callable[[Any], tuple[Any, ...]], x.nfsstat3]] = [
    ("LINK", lambda h: (h["file"], x.diropargs3(h["other"], b"n")), x.NFS3ERR_XDEV),
    (
        "SYMLINK",
        lambda h: (x.diropargs3(h["file"], b"n"), x.symlinkdata3(sattr(), b"t" * 5000)),
        x.NFS3ERR_NAMETOOLONG,
    ),
    ("SETATTR", lambda h: (h["gone"], sattr(size=1 << 63), None), x.NFS3ERR_FBIG),
]


@pytest.mark.parametrize(
    ("name", "args", "status"), FIRST_ERRORS, ids=[row[0] for row in FIRST_ERRORS]
)
def test_the_intent_does_not_decide_which_error_comes_first(
    name: str, args: Any, status: x.nfsstat3, tmp_path: Path
) -> None:
    """The statuses are those of a server without a cache."""

    async def main() -> None:
        async with life("posix", tmp_path, ring()) as s:
            file = (await s.call("CREATE", x.diropargs3(s.root, b"f"), guarded())).obj
            number, key = FileHandles(KEY).unpack(file)
            handles = {
                "file": file,
                "gone": FileHandles(KEY).pack(number, key.ino + 12345, 1),
                "other": FileHandles(KEY).pack(number ^ 1, key.ino, key.generation),
            }
            assert (await s.ask(message_of(name, *args(handles)))).status == status

    loop.run(main())


@pytest.mark.parametrize("missing", ["uid", "size", "times", "mode"])
def test_what_was_done_by_half_is_completed(missing: str, tmp_path: Path) -> None:
    """The crash came between the system calls of one CREATE."""
    if missing == "uid" and os.geteuid():
        pytest.skip("only root can give files away")
    wishes: dict[str, dict[str, Any]] = {
        "uid": {"uid": 1234},
        "size": {"size": 5},
        "times": {"mtime": SINCE},
        "mode": {},
    }
    asked = wishes[missing]

    async def main() -> None:
        buffer = ring()
        backend = new_backend("posix", tmp_path)
        create = backend.create

        async def half(ctx: Any, dir: Any, name: Any, how: Any, attr: Any, verifier: Any) -> None:
            await create(ctx, dir, name, how, SetAttr(mode=0o4755), verifier)
            if missing == "mode":
                os.chmod(tmp_path / "export/new", 0o755)
            raise Crash

        vars(backend)["create"] = half
        async with life(backend, tmp_path, buffer) as s:
            new = x.diropargs3(s.root, b"new")
            message = message_of("CREATE", new, guarded(mode=0o4755, **asked))
            with pytest.raises(Crash):
                s.send(message)
        async with life("posix", tmp_path, buffer) as s:
            assert (await s.ask(message)).status == OK
            assert s.cache.statistics.settled == 1
            st = (tmp_path / "export/new").stat()
            assert st.st_mode & 0o7777 == 0o4755
            assert st.st_uid == (1234 if missing == "uid" else os.geteuid())
            assert st.st_size == (5 if missing == "size" else 0)
            if missing == "times":
                assert st.st_mtime_ns == 1_000_000_000_000_000_005

    loop.run(main())


def test_settling_waits_while_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JUKEBOX: a backend that is starting, a client's name that is being looked up."""
    monkeypatch.setattr(recovery, "SETTLE_SECONDS", 0.0)
    asked = 0

    async def main() -> None:
        buffer = ring()
        first, second = (new_backend("posix", tmp_path) for _ in range(2))
        mkdir, peek = first.mkdir, second.peek

        async def dies(*args: Any) -> None:
            await mkdir(*args)
            raise Crash

        async def busy(*args: Any) -> int | None:
            nonlocal asked
            asked += 1
            if asked < 5:
                raise FsError(Status.JUKEBOX)
            return await peek(*args)

        vars(first)["mkdir"], vars(second)["peek"] = dies, busy
        async with life(first, tmp_path, buffer) as s:
            message = message_of("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            with pytest.raises(Crash):
                s.send(message)
        async with life(second, tmp_path, buffer) as s:
            assert s.cache.statistics.settled == 1
            assert (await s.ask(message)).status == OK
        assert asked == 5

    loop.run(main())


class Waiting(Slow):
    """Keeps what it has, and says that it waits."""

    inline = False
    persistent = True


def test_of_two_calls_that_change_one_name_the_second_waits(tmp_path: Path) -> None:
    """What the first noted of the name must hold until it is done, or a crash could not be told
    from the other's doing."""

    async def main() -> None:
        backend = Waiting()
        async with life(backend, tmp_path, ring()) as s:
            same, other = x.diropargs3(s.root, b"d"), x.diropargs3(s.root, b"e")
            calls = [message_of("MKDIR", name, sattr(0o755)) for name in (same, same, other)]
            sent = [s.send(message) for message in calls]
            for _ in range(10):
                await asyncio.sleep(0)
            assert backend.made == 2, "the same name waits, another does not"
            backend.gate.set()
            for to in sent:
                await to.arrived.wait()
            answers = [
                result(*both).status
                for both in zip(calls, (to.sent[0] for to in sent), strict=True)
            ]
            assert answers == [OK, x.NFS3ERR_EXIST, OK]
            assert (await s.ask(message_of("RMDIR", same))).status == OK
            assert (await s.ask(message_of("RENAME", other, other))).status == OK

    loop.run(main())


def test_what_a_wrap_has_not_let_pass_is_not_settled(tmp_path: Path) -> None:
    """A layer that thinks about a call as the server dies: nothing was about to be done."""

    async def main() -> None:
        buffer = ring()

        def thinking(program: Any, proc: Any, handler: Any) -> Any:
            async def wait(call: Any, args: Any) -> Any:
                await asyncio.sleep(3600)
                return await handler(call, args)

            return wait if proc.name == "SETATTR" else handler

        async with life("posix", tmp_path, buffer, thinking) as s:
            await s.call("MKDIR", x.diropargs3(s.root, b"d"), sattr(0o755))
            found = await s.call("LOOKUP", x.diropargs3(s.root, b"d"))
            s.send(message_of("SETATTR", found.object, sattr(0o700), None))
            await asyncio.sleep(0.01)
        async with life("posix", tmp_path, buffer) as s:
            attr = await s.call("GETATTR", found.object)
            assert attr.obj_attributes.mode == 0o755

    loop.run(main())
