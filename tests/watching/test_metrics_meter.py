"""What the meter counts: by series and client, whatever comes, and nothing while nobody looks."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
import wire
from nfs_kit import OPEN, PEER, ROOT, World, each_backend, new_backend, serving, unchecked

from backends.base import FsError, Status
from nfsloop.export import Exports, Options
from nfsloop.limits import METER_SECONDS
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.watching import meter as meter_module
from nfsloop.watching.meter import Meter, Watcher
from nfsloop.watching.snapshot import BOUNDS, OTHERS, Calls, Series
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.client import connected
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import RING_SEGMENT_BYTES
from oncrpc.message import AUTH_NONE, call_header
from oncrpc.ring import Ring
from oncrpc.testing import Capture, Pipe
from oncrpc.xdr import encode


def watched(w: World) -> Meter:
    """A meter that counts the calls of a world."""
    return Watcher(w.server.dispatcher, w.exports).meter(forever=True)


def calls_of(meter: Meter, procedure: str) -> Calls:
    """The calls of a procedure, of all exports."""
    whole = Calls()
    for series, calls in meter.calls().items():
        if series.procedure == procedure:
            whole.add(calls)
    return whole


def sent_and_received(w: World, since: int) -> tuple[int, int]:
    """Bytes of the pipe's messages: of replies, of calls."""
    pairs = w.pipe.log[since:]
    return sum(len(reply) for _, reply in pairs), sum(len(call) for call, _ in pairs)


@each_backend()
async def test_calls_are_counted_by_procedure_and_export(w: World) -> None:
    file = await w.create(w.root, b"file")
    meter, since = watched(w), len(w.pipe.log)
    for _ in range(3):
        await w.attr(file)
    await w.write(file, b"x" * 5000)
    assert await w.read(file) == b"x" * 5000
    counted = {series: calls.count for series, calls in meter.calls().items()}
    assert counted == {
        Series("NFS_PROGRAM", 3, "GETATTR", "/export"): 3,
        Series("NFS_PROGRAM", 3, "WRITE", "/export"): 1,
        Series("NFS_PROGRAM", 3, "READ", "/export"): 1,
    }
    whole = meter.calls().values()
    assert (sum(c.sent for c in whole), sum(c.received for c in whole)) == sent_and_received(
        w, since
    )
    assert calls_of(meter, "READ").sent > 5000 < calls_of(meter, "WRITE").received
    assert all(calls.seconds > 0 and not calls.errors for calls in whole)
    (client,) = meter.clients().values()
    assert (client.calls, client.errors) == (5, 0)
    assert list(meter.clients()) == [PEER.host]


@each_backend("memory")
async def test_errors_are_counted_by_their_status(w: World) -> None:
    meter = watched(w)
    for _ in range(2):
        assert await w.status("LOOKUP", x.diropargs3(w.root, b"none")) == "NOENT"
    assert await w.status("GETATTR", bytes(32)) == "BADHANDLE"
    assert await w.status("LOOKUP", x.diropargs3(w.root, b"")) == "ACCES"
    assert calls_of(meter, "LOOKUP").errors == {"NOENT": 2, "ACCES": 1}
    assert calls_of(meter, "GETATTR").errors == {"BADHANDLE": 1}
    # A handle that names no export has none.
    assert Series("NFS_PROGRAM", 3, "GETATTR", "") in meter.calls()
    assert meter.clients()[PEER.host].errors == 4


@each_backend("memory")
async def test_what_is_refused_is_counted_too(w: World) -> None:
    meter = watched(w)
    await w.pipe.send(wire.call(program=100227, version=3))  # NFSACL
    await w.pipe.send(wire.call(version=4))
    await w.pipe.send(wire.call(proc=99))
    await w.pipe.send(wire.call(proc=1, args=b"gibb"))
    await w.pipe.send(wire.call(rpc=3, proc=1))
    others = meter.calls()[Series(OTHERS, 0, OTHERS, "")]
    assert others.errors == {"PROG_UNAVAIL": 1, "PROG_MISMATCH": 1, "PROC_UNAVAIL": 1}
    assert calls_of(meter, "GETATTR").errors == {"GARBAGE_ARGS": 1, "DENIED": 1}


@each_backend("memory")
async def test_what_is_no_call_is_passed_on(w: World) -> None:
    meter = watched(w)
    dispatch = w.server.dispatcher.dispatch
    for record, answers in (
        (b"", 0),
        (b"abcd", 0),
        (bytes(23), 1),
    ):  # the last is of no RPC version
        to = Capture(PEER)
        assert dispatch(record, to) is None
        assert len(to.sent) == answers
    assert not meter.calls()


@each_backend("memory")
async def test_procedures_without_a_status_have_no_errors(w: World) -> None:
    """What NULL, DUMP and EXPORT answer begins with no status, even if it looks like one."""
    meter = watched(w)
    await w.nfs.NULL()
    for proc in (0, 2, 5):
        await w.pipe.send(wire.call(program=wire.MOUNT, proc=proc))
    assert sum(calls.count for calls in meter.calls().values()) == 4
    assert not any(calls.errors for calls in meter.calls().values())
    # MNT's results begin with one.
    await w.pipe.send(
        wire.call(program=wire.MOUNT, proc=1, args=encode_dirpath(b"/none"), credential=ROOT.pack())
    )
    assert calls_of(meter, "MNT").errors == {"ACCES": 1}


def encode_dirpath(path: bytes) -> bytes:
    return len(path).to_bytes(4) + path + bytes(-len(path) & 3)


@each_backend("memory")
async def test_a_large_write_is_a_view_and_counts_as_it_is(w: World) -> None:
    """Over TCP a large record is a view of the connection's buffer, and large data is not joined
    with its header."""
    file = await w.create(w.root, b"file")
    meter = watched(w)
    async with w.tcp() as rpc:
        nfs = x.NFS_V3_Client(rpc)
        data = bytes(1 << 20)
        done = await nfs.WRITE(x.WRITE3args(file, 0, len(data), x.UNSTABLE, data))
        assert done.resok.count == len(data)
        got = await nfs.READ(x.READ3args(file, 0, len(data)))
        assert got.resok.count == len(data)
    written, read = calls_of(meter, "WRITE"), calls_of(meter, "READ")
    assert len(data) < written.received < len(data) + 200 > written.sent
    assert len(data) < read.sent < len(data) + 200 > read.received
    assert not written.errors and not read.errors


@each_backend("memory")
async def test_datagrams_are_counted(w: World) -> None:
    meter = watched(w)
    port = w.server.listen("udp", "127.0.0.1")
    async with connected("udp", "127.0.0.1", port, ROOT) as rpc:
        await x.NFS_V3_Client(rpc).GETATTR(x.GETATTR3args(w.root))
    assert calls_of(meter, "GETATTR").count == 1
    assert list(meter.clients()) == ["127.0.0.1"]


def test_a_kept_reply_is_a_call_too(tmp_path: Any) -> None:
    """A call that comes again is answered by the duplicate request cache: its reply is in one
    piece, and its status is told all the same."""

    async def main() -> None:
        async with serving("memory", tmp_path) as w:
            cache = DuplicateRequestCache(Ring(bytearray(4 * RING_SEGMENT_BYTES)))
            dispatcher = Dispatcher()
            dispatcher.add(NFS3_PROGRAM, Nfs3Service(w.exports, w.handles), cache=cache)
            meter = Watcher(dispatcher, w.exports).meter(forever=True)
            pipe = Pipe(dispatcher, ROOT, PEER)
            for name in (b"none", b"file"):
                proc = x.NFS_V3.procs[12 if name == b"none" else 8]  # REMOVE, CREATE
                args: Any = x.REMOVE3args(x.diropargs3(w.root, name))
                if name == b"file":
                    args = x.CREATE3args(x.diropargs3(w.root, name), unchecked())
                message = call_header(7, NFS3_PROGRAM.number, 3, proc.number, ROOT.pack())
                message += encode(proc.encode_args, args)
                first, again = await pipe.send(message), await pipe.send(message)
                assert first == again
            assert cache.statistics.hits == 2
            removes, creates = calls_of(meter, "REMOVE"), calls_of(meter, "CREATE")
            assert (removes.count, removes.errors) == (2, {"NOENT": 2})
            assert (creates.count, creates.errors) == (2, {})

    loop.run(main())


@each_backend("memory")
async def test_jukebox_and_what_waits(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits is timed to its answer."""
    meter = watched(w)
    (export,) = w.exports

    async def busy(*args: Any) -> Any:
        await asyncio.sleep(0.02)
        raise FsError(Status.JUKEBOX)

    monkeypatch.setattr(export.backend, "getattr", busy)
    assert await w.status("GETATTR", w.root) == "JUKEBOX"
    calls = calls_of(meter, "GETATTR")
    assert calls.errors == {"JUKEBOX": 1}
    assert calls.seconds >= 0.01  # timers are coarse
    assert sum(calls.latency[: BOUNDS.index(10e-3)]) == 0


@each_backend("memory", options=Options(secure=True))
async def test_those_whom_the_policy_refuses(w: World) -> None:
    meter = watched(w)
    far = w.client(ROOT, Peer("192.0.2.9", 40000, "test"))
    assert await w.status("GETATTR", w.root, by=far) == "ACCES"
    assert calls_of(meter, "GETATTR").errors == {"ACCES": 1}
    assert meter.clients()["192.0.2.9"].errors == 1


@each_backend("memory")
async def test_the_quietest_clients_beyond_the_bound_are_others(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_module, "METER_CLIENTS", 4)
    meter = watched(w)
    for number in range(10):
        client = w.client(ROOT, Peer(f"192.0.2.{number}", 700, "test"))
        for _ in range(20 if number == 0 else 2):
            await client.GETATTR(x.GETATTR3args(w.root))
    clients = meter.clients()
    assert len(clients) <= 5
    # Who calls much is not pushed out by many who call once.
    assert clients["192.0.2.0"].calls == 20
    assert clients["192.0.2.9"].calls == 2
    assert sum(client.calls for client in clients.values()) == 38
    assert sum(client.sent for client in clients.values()) == calls_of(meter, "GETATTR").sent


@each_backend("memory")
async def test_series_beyond_the_bound_lose_their_export(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_module, "METER_SERIES", 2)
    meter = watched(w)
    for proc in ("GETATTR", "ACCESS", "FSSTAT", "PATHCONF", "FSSTAT"):
        args = (w.root, 1) if proc == "ACCESS" else (w.root,)
        assert await w.status(proc, *args) == "OK"
    (path,) = (export.path for export in w.exports)
    counted = {(s.procedure, s.export): c.count for s, c in meter.calls().items()}
    assert counted == {
        ("GETATTR", path): 1, ("ACCESS", path): 1, ("FSSTAT", ""): 2, ("PATHCONF", ""): 1,
    }  # fmt: skip


@each_backend("memory")
async def test_the_export_is_found_behind_any_credential(w: World) -> None:
    """It is padded to words (RFC 5531 section 8.2); behind it stands the handle."""
    meter = watched(w)
    for length in range(9):
        credential = struct.pack(">2I", AUTH_NONE, length) + bytes(length + 3 & ~3)
        await w.pipe.send(
            wire.call(proc=1, args=len(w.root).to_bytes(4) + w.root, credential=credential)
        )
    assert {series: calls.count for series, calls in meter.calls().items()} == {
        Series("NFS_PROGRAM", 3, "GETATTR", "/export"): 9
    }


@each_backend("memory")
async def test_calls_of_another_dispatcher_count_too(w: World) -> None:
    """The portmapper's own port has one, and it may come before anybody looks, or after."""
    watcher = Watcher(w.server.dispatcher, w.exports)
    before, after = Dispatcher(), Dispatcher()
    watcher.also(before)
    meter = watcher.meter(forever=True)
    watcher.also(after)
    for dispatcher in (before, after):
        await Pipe(dispatcher, ROOT, PEER).send(wire.call())
    assert [calls.errors for calls in meter.calls().values()] == [{"PROG_UNAVAIL": 2}]
    watcher.stop()
    assert "dispatch" not in vars(before) and "dispatch" not in vars(after)


@each_backend("memory")
async def test_what_names_nothing_is_not_remembered(w: World) -> None:
    """Or a client that makes up export numbers could fill the memory."""
    meter = watched(w)
    for number in range(50):
        handle = w.root[:4] + number.to_bytes(4) + w.root[8:]
        assert await w.status("GETATTR", handle) == "BADHANDLE"
    assert len(meter._known) == 0
    assert len(meter.calls()) == 1


@each_backend("memory")
async def test_nothing_is_in_the_way_while_nobody_looks(w: World) -> None:
    dispatcher = w.server.dispatcher
    assert "dispatch" not in vars(dispatcher)
    watcher = Watcher(dispatcher, w.exports)
    assert "dispatch" not in vars(dispatcher)
    watcher.meter()
    assert "dispatch" in vars(dispatcher)
    watcher.stop()
    assert "dispatch" not in vars(dispatcher)


class Clock:
    """The timers of a loop, that go off when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timers: list[tuple[float, Callable[[], None], bool]] = []
        clock = self

        class Handle:
            def __init__(self, at: int) -> None:
                self.at = at

            def cancel(self) -> None:
                seconds, call, _ = clock.timers[self.at]
                clock.timers[self.at] = seconds, call, False

        def call_later(seconds: float, call: Callable[[], None]) -> Handle:
            clock.timers.append((seconds, call, True))
            return Handle(len(clock.timers) - 1)

        fake = type("Loop", (), {"call_later": staticmethod(call_later)})
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)

    def pending(self) -> list[tuple[float, Callable[[], None]]]:
        return [(seconds, call) for seconds, call, waits in self.timers if waits]


def test_metering_ends_when_nobody_has_asked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = Dispatcher()
    watcher = Watcher(dispatcher, Exports())
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        first = watcher.meter()
        assert watcher.meter() is first
        ((seconds, end),) = clock.pending()  # asked again: the first timer is gone
        assert seconds == METER_SECONDS
        clock.timers.clear()
        end()
        assert "dispatch" not in vars(dispatcher)
        again = watcher.meter()
        assert again is not first  # it counts from the beginning
        assert watcher.meter(forever=True) is again
        assert watcher.meter() is again
        assert not clock.pending()
    watcher.stop()


def test_a_call_on_its_way_is_counted_though_metering_has_ended(tmp_path: Any) -> None:
    async def main() -> None:
        backend = new_backend("memory", tmp_path)
        async with serving("memory", tmp_path, OPEN, backend) as w:
            goes_on = asyncio.Event()
            answer = type(backend).getattr

            async def slow(*args: Any) -> Any:
                await goes_on.wait()
                return await answer(backend, *args)

            (export,) = w.exports
            vars(export.backend)["getattr"] = slow
            watcher = Watcher(w.server.dispatcher, w.exports)
            meter = watcher.meter(forever=True)
            call = asyncio.ensure_future(w.nfs.GETATTR(x.GETATTR3args(w.root)))
            await asyncio.sleep(0)
            watcher.stop()
            goes_on.set()
            await call
            assert calls_of(meter, "GETATTR").count == 1

    loop.run(main())
