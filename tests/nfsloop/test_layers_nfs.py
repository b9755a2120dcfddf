"""Layers of NFS calls: the way down and up, what they may do, and those that come with nfsloop."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from wire import NFS, auth_sys, call, raw

import nfsloop
from backends.base import FsError, Status
from backends.memory import MemoryBackend
from nfsloop import layers
from nfsloop.app import make_layer
from nfsloop.layers import Below, Census, Deny, Layer, Stack, failed, wraps
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM
from nfsloop.nfscall import NfsCall
from oncrpc.call import LATER, Peer
from oncrpc.testing import Pipe
from oncrpc.xdr import encode

OPEN = "no_root_squash"
PROCS = {proc.name: proc for proc in NFS3_PROGRAM.procs.values()}


def serving(*stack: Layer) -> Any:
    return nfsloop.serving_in_thread(MemoryBackend(), options=OPEN, layers=stack)


class Record(Layer):
    """Notes what comes by."""

    def __init__(self, name: str, notes: list[str], procedures: frozenset[str] | None = None):
        self.name = name
        self.notes = notes
        self.procedures = procedures

    async def start(self) -> None:
        self.notes.append(f"start {self.name}")

    async def stop(self) -> None:
        self.notes.append(f"stop {self.name}")

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        self.notes.append(f"{self.name} {call.proc.name}")
        assert call.args is args
        try:
            result = await below(call, args)
        except FsError as exc:
            self.notes.append(f"{self.name} raised {exc.status.name}")
            raise
        self.notes.append(f"{self.name} {result.status.name} of {call.export.path}")
        return result


def test_calls_go_down_and_replies_walk_up() -> None:
    notes: list[str] = []
    only = frozenset({"GETATTR", "LOOKUP"})
    with serving(Record("a", notes), Record("b", notes, only)) as server:
        with server.client() as client:
            assert notes == ["start b", "start a"]
            del notes[:]
            client.call("GETATTR", x.GETATTR3args(client.root))
            assert notes == ["a GETATTR", "b GETATTR", "b NFS3_OK of /", "a NFS3_OK of /"]
            del notes[:]
            client.call("FSINFO", x.FSINFO3args(client.root))
            assert notes == ["a FSINFO", "a NFS3_OK of /"]
            del notes[:]
            with pytest.raises(FileNotFoundError):
                client.handle("/missing")
            assert notes == ["a LOOKUP", "b LOOKUP", "b raised NOENT", "a raised NOENT"]
        del notes[:]
    assert notes == ["stop a", "stop b"]


def test_one_that_is_not_interested_costs_nothing() -> None:
    async def below(call: Any, args: Any) -> None:
        raise AssertionError("not called")

    [wrap] = wraps([Record("a", [], frozenset({"READ"}))])
    assert wrap(NFS3_PROGRAM, PROCS["WRITE"], below) is below
    assert wrap(NFS3_PROGRAM, NFS3_PROGRAM.procs[0], below) is below
    assert wrap(NFS3_PROGRAM, PROCS["READ"], below) is not below
    everything = wraps([Layer()])[0]
    assert everything(NFS3_PROGRAM, NFS3_PROGRAM.procs[0], below) is below


def test_calls_through_layers_take_no_task() -> None:
    """A layer that does not wait is stepped as handlers are: the answer is there at once."""

    async def main() -> None:
        stack = [Record("a", []), Census(0)]
        async with nfsloop.serving(MemoryBackend(), options=OPEN, layers=stack) as server:
            pipe = Pipe(server.app.server.dispatcher, peer=Peer("127.0.0.1", 700))
            [export] = server.app.exports
            attr = await export.backend.root(
                export.context(pipe.credential, Peer("127.0.0.1", 700))
            )
            handle = server.app.handles.pack(export.number, attr.ino, attr.generation)
            steps = x.NFS_V3_Client(pipe).GETATTR(x.GETATTR3args(handle))
            with pytest.raises(StopIteration) as stop:
                steps.send(None)
            assert stop.value.value.status == x.NFS3_OK

    asyncio.run(main())


class Rename(Layer):
    """Looks up "other" where "name" is asked for, and shows it as empty."""

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        if call.proc.name == "LOOKUP" and args.what.name == b"name":
            args = x.LOOKUP3args(x.diropargs3(args.what.dir, b"other"))
        result = await below(call, args)
        if call.proc.name == "READ":
            result.resok.data, result.resok.count = b"", 0
        return result


def test_arguments_and_results_may_be_changed() -> None:
    with serving(Rename()) as server, server.client() as client:
        client.write_file("/other", b"text")
        assert client.handle("/name") == client.handle("/other")
        assert client.read("/name") == b""


class Answering(Layer):
    """Answers in all the ways there are."""

    def __init__(self, how: Callable[[NfsCall], Any]) -> None:
        self.how = how

    procedures = frozenset({"MKDIR"})

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        return self.how(call)


def later(call: NfsCall) -> Any:
    asyncio.get_running_loop().call_later(0.01, call.error, Status.DQUOT)
    return LATER


def at_once(call: NfsCall) -> Any:
    call.error(Status.DQUOT)
    return LATER


def raising(exc: Exception, call: NfsCall) -> Any:
    raise exc


@pytest.mark.parametrize(
    ("how", "number"),
    [
        (at_once, errno.EDQUOT),
        (later, errno.EDQUOT),
        (lambda call: failed(call, Status.ROFS), errno.EROFS),
        (partial(raising, FsError(Status.NOSPC)), errno.ENOSPC),
        (partial(raising, OSError(errno.EDQUOT, "")), errno.EDQUOT),
        (partial(raising, ValueError("a bug")), errno.EREMOTEIO),
    ],
    ids=["error", "later", "failed", "FsError", "OSError", "bug"],
)
def test_a_layer_may_answer_itself(how: Callable[[NfsCall], Any], number: int) -> None:
    notes: list[str] = []
    with serving(Answering(how), Record("below", notes)) as server, server.client() as client:
        with pytest.raises(OSError) as caught:
            client.mkdir("/dir")
        assert caught.value.errno == number
        assert client.listdir() == []
    assert "below MKDIR" not in notes


class Backup(Layer):
    """Before a file is removed, it is linked to another name."""

    procedures = frozenset({"REMOVE"})

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        where = args.object
        found = await self.ask(call, "LOOKUP", x.LOOKUP3args(where))
        to = x.diropargs3(where.dir, where.name + b"~")
        await self.ask(call, "LINK", x.LINK3args(found.resok.object, to))
        return await below(call, args)


def test_calls_of_its_own_go_through_the_layers_below() -> None:
    above: list[str] = []
    below: list[str] = []
    only = frozenset({"LINK", "REMOVE"})
    stack = Record("above", above, only), Backup(), Record("below", below, only)
    with serving(*stack) as server, server.client(uid=5) as client:
        server.client().chmod("/", 0o777)
        client.write_file("/file", b"text")
        client.remove("/file")
        assert client.listdir() == ["file~"]
        with pytest.raises(FileNotFoundError):
            client.remove("/file")
    assert [note for note in above if "LINK" in note] == []
    assert below.index("below LINK") < below.index("below REMOVE")


class Waiting(Layer):
    """Waits before it goes on, within a task of its own."""

    procedures = frozenset({"WRITE", "COMMIT"})
    in_task = True

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        async with asyncio.timeout(10):
            await asyncio.sleep(0.01)
            return await below(call, args)


def test_a_layer_that_waits_has_a_task_and_data_that_stays() -> None:
    """Several large WRITEs in one buffer: a view of it would show another's data."""
    with serving(Waiting()) as server, server.client() as client:
        client.write_file("/file", b"")
        handle = client.handle("/file")
        size = 20_000

        async def write() -> None:
            rpc = client._rpc
            assert rpc is not None
            nfs = x.NFS_V3_Client(rpc)
            pieces = [
                x.WRITE3args(handle, n * size, size, x.UNSTABLE, bytes([n]) * size)
                for n in range(20)
            ]
            await asyncio.gather(*map(nfs.WRITE, pieces))

        client._run(write())
        assert client.read_file("/file") == b"".join(bytes([n]) * size for n in range(20))


def test_a_call_that_comes_again_passes_once(tmp_path: Path) -> None:
    """The duplicate request cache is above the layers."""

    async def main() -> None:
        notes: list[str] = []
        layer = Record("a", notes, frozenset({"REMOVE"}))
        backend = MemoryBackend()
        async with nfsloop.serving(backend, options=OPEN, layers=[layer]) as server:
            client = await asyncio.to_thread(nfsloop.Client, server.port)
            await asyncio.to_thread(client.write_file, "/file", b"")
            args = x.REMOVE3args(x.diropargs3(client.root, b"file"))
            record = call(
                NFS,
                proc=PROCS["REMOVE"].number,
                args=bytes(encode(PROCS["REMOVE"].encode_args, args)),
                credential=auth_sys(0, 0, []),
            )
            async with raw("127.0.0.1", server.port) as connection:
                first = await connection.ask(record)
                again = await connection.ask(record)
            await asyncio.to_thread(client.close)
        assert first == again
        assert notes.count("a REMOVE") == 1

    asyncio.run(main())


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="no procedure OPEN"):
        Stack([Record("a", [], frozenset({"READ", "OPEN"}))])
    layer = Layer()
    Stack([layer])
    with pytest.raises(ValueError, match="another server"):
        Stack([layer])
    for make in (
        partial(Deny, ""),
        partial(Deny, "READ", status=Status.OK),
        partial(Census, -1),
    ):
        with pytest.raises(ValueError):
            make()


def test_a_start_that_fails_stops_what_was_started() -> None:
    notes: list[str] = []

    class Broken(Record):
        async def start(self) -> None:
            raise OSError(errno.ENOENT, "no such thing")

    stack = Record("a", notes), Broken("b", notes), Record("c", notes)
    with pytest.raises(nfsloop.ConfigError, match="no such thing"), serving(*stack):
        pass
    assert notes == ["start c", "stop c"]


# Those that come with nfsloop


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines of the layers so far, taken away."""
    caplog.set_level(logging.INFO, "nfsloop")

    def lines() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.name == "nfsloop.census"]
        caplog.clear()
        return found

    return lines


def test_census(log: Callable[[], list[str]]) -> None:
    census = Census(every=3600.0, idle=60.0)
    with serving(census) as server, server.client() as client:
        client.write_file("/a", b"x")
        client.write_file("/b", b"x")
        client.read_file("/a")
        with pytest.raises(FileNotFoundError):
            client.handle("/missing")
        assert census.calls["CREATE"] == 2
        assert census.calls["READ"] == 1
        assert census.errors == {"LOOKUP": 1}
        assert set(census.clients) == {"127.0.0.1"}

        async def opened() -> int:
            return census.open_files

        assert server.run(opened()) == 2
        census.idle = -1.0
        assert server.run(opened()) == 0
        census.idle = 60.0
    [line] = log()
    assert "2 CREATE" in line and line.endswith("1 failed; 1 clients, 0 files open")


def test_census_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "CENSUS_FILES", 2)
    monkeypatch.setattr(layers, "CENSUS_CLIENTS", 0)
    census = Census(every=0)
    with serving(census) as server, server.client() as client:
        for name in "abc":
            client.write_file(name, b"x")
        assert set(census.clients) == {"others"}

        async def opened() -> int:
            return census.open_files

        assert server.run(opened()) == 2


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("census?every=1.5&idle=60", {"every": 1.5, "idle": 60.0}),
        (
            "deny?procedures=REMOVE,RMDIR&names=*.db,.git&status=PERM",
            {
                "procedures": {"REMOVE", "RMDIR"},
                "patterns": ["*.db", ".git"],
                "status": Status.PERM,
            },
        ),
    ],
)
def test_by_their_names(text: str, made: dict[str, object]) -> None:
    layer = make_layer(text)
    assert {name: getattr(layer, name) for name in made} == made


def test_deny() -> None:
    deny = Deny("remove, RENAME,commit", "*.db,precious", Status.PERM)
    with serving(deny) as server, server.client() as client:
        for name in ("a.db", "precious", "other"):
            client.mkdir(f"/dir-{name}")
            with pytest.raises(PermissionError):
                client.write_file(f"/{name}", b"x")  # COMMIT carries no name
        for name in ("a.db", "precious"):
            with pytest.raises(PermissionError):
                client.remove(name)
            with pytest.raises(PermissionError):
                client.rename(name, "x")
            with pytest.raises(PermissionError):
                client.rename("other", name)
        client.rename("other", "another")
        client.remove("another")
        assert {"a.db", "precious"} < set(client.listdir())
