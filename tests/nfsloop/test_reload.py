"""Changing exports while the server runs: SIGHUP, `nfsloop reload`, and what stays."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nfs_kit import AS_ROOT, ROOT, sattr
from nfs_process import NOBODY, Process, directory_of, interpreter, nfsloop, run
from wire import MOUNT, accepted, call

from backends.base import Attr, Context, Key
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from nfsloop import commands
from nfsloop.app import App, running
from nfsloop.config import Settings
from nfsloop.control import NAME, Control, _short, ask
from nfsloop.errors import ConfigError
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.sources import Sources, settings
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.client import connected
from oncrpc.message import Credential
from oncrpc.testing import Pipe

PEER = Peer("192.0.2.7", 700, "test")


class Running:
    """An app in this process, and one client of it without a socket."""

    def __init__(self, app: App, file: Path) -> None:
        self.app = app
        self.file = file

    def pipe(self, peer: Peer = PEER) -> Pipe:
        return Pipe(self.app.server.dispatcher, ROOT, peer)

    async def reload(self, text: str) -> list[str]:
        self.file.write_text(text)
        return await self.app.reload(read(self.file))

    async def mount(self, path: str, peer: Peer = PEER) -> bytes:
        res = await m.MOUNT_V3_Client(self.pipe(peer)).MNT(path.encode())
        assert res.fhs_status == m.MNT3_OK, (path, res.fhs_status)
        return res.mountinfo.fhandle

    async def status(self, handle: bytes, peer: Peer = PEER) -> str:
        res = await x.NFS_V3_Client(self.pipe(peer)).GETATTR(x.GETATTR3args(handle))
        return res.status.name.removeprefix("NFS3ERR_").removeprefix("NFS3_")

    async def change(self, handle: bytes) -> str:
        nfs = x.NFS_V3_Client(self.pipe())
        res = await nfs.SETATTR(x.SETATTR3args(handle, sattr(0o777), None))
        return res.status.name.removeprefix("NFS3ERR_").removeprefix("NFS3_")

    def backend(self, path: str) -> object:
        return next(export.storage for export in self.app.exports if export.path == path)


def read(file: Path) -> Settings:
    return settings(
        Sources(files=(file,), settings={"host": "127.0.0.1", "port": 0, "rpcbind": "none"})
    )


@asynccontextmanager
async def served(tmp_path: Path, text: str) -> AsyncIterator[Running]:
    file = tmp_path / "exports"
    file.write_text(text)
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    async with running(read(file), state) as app:
        yield Running(app, file)


MEM = "no_root_squash,storage=memory:"


def test_reload_adds_removes_and_changes(tmp_path: Path) -> None:
    """The unchanged keep their backend, their files and their handles."""

    async def main() -> None:
        async with served(tmp_path, f"/a *(rw,{MEM})\n/b *(rw,{MEM})\n/c *(ro,{MEM})") as s:
            handles = {path: await s.mount(path) for path in ("/a", "/b", "/c")}
            kept = {path: s.backend(path) for path in ("/a", "/c")}
            assert await s.change(handles["/a"]) == "OK"
            assert await s.change(handles["/c"]) == "ROFS"
            lines = await s.reload(f"/a *(rw,{MEM})\n/c *(rw,{MEM})\n/d *(rw,{MEM})")
            assert lines == ["/c: changed", "/d: added", "/b: removed"]
            assert {path: s.backend(path) for path in kept} == kept
            assert await s.change(handles["/a"]) == "OK"
            assert await s.change(handles["/c"]) == "OK"
            assert await s.status(handles["/b"]) == "STALE"
            assert await s.status(await s.mount("/d")) == "OK"
            assert (await m.MOUNT_V3_Client(s.pipe()).MNT(b"/b")).fhs_status == m.MNT3ERR_ACCES
            assert await s.reload(s.file.read_text()) == ["no export was changed"]

    loop.run(main())


def test_reload_counts_from_the_next_call_on(tmp_path: Path) -> None:
    """Though who calls is remembered: with another policy everybody is asked about again."""

    async def main() -> None:
        async with served(tmp_path, f"/a *(rw,{MEM})") as s:
            root = await s.mount("/a")
            assert await s.status(root) == "OK"
            await s.reload(f"/a 10.0.0.0/8(rw,{MEM})")
            assert await s.status(root) == "ACCES"
            assert await s.status(root, Peer("10.1.1.1", 700)) == "OK"
            await s.reload(f"/a *(rw,{MEM})")
            assert await s.status(root) == "OK"

    loop.run(main())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("/a *(rot)", "exports:1:6: unknown export option"),
        ("/a *(rw,storage=/no/such/place)", "exports:1:1: /no/such/place: no such directory"),
        ("/b *(rw,storage=DIR)", "still exported as /a"),
        ("/a *(storage=DIR)\n/new *(storage=memory:)\n/bad *(storage=memory:)", "refuses to start"),
    ],
)
def test_reload_refuses_what_is_broken_and_goes_on_as_before(
    tmp_path: Path, text: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policy and backends stay entirely, and what was started for nothing is stopped."""
    (tmp_path / "dir").mkdir()
    started: list[MemoryBackend] = []
    stopped: list[MemoryBackend] = []

    async def start(self: MemoryBackend) -> None:
        if started:
            raise OSError(5, "refuses to start")
        started.append(self)

    async def stop(self: MemoryBackend) -> None:
        stopped.append(self)

    monkeypatch.setattr(MemoryBackend, "start", start)
    monkeypatch.setattr(MemoryBackend, "stop", stop)

    async def main() -> None:
        here = str(tmp_path / "dir")
        async with served(tmp_path, f"/a *(rw,no_root_squash,storage={here})") as s:
            root = await s.mount("/a")
            before = s.backend("/a")
            with pytest.raises(ConfigError) as raised:
                await s.reload(text.replace("DIR", here))
            assert what in str(raised.value), raised.value
            assert s.backend("/a") is before and len(list(s.app.exports)) == 1
            assert await s.change(root) == "OK"
            assert stopped == started

    loop.run(main())


def test_reload_with_other_storage(tmp_path: Path) -> None:
    """Another backend under the same path; the old one ends when its calls are done."""
    (tmp_path / "one").mkdir()

    async def main() -> None:
        async with served(tmp_path, f"/a *(rw,no_root_squash,storage={tmp_path / 'one'})") as s:
            old = await s.mount("/a")
            before = s.backend("/a")
            assert await s.reload(f"/a *(rw,{MEM})") == ["/a: other storage"]
            assert s.backend("/a") is not before
            assert await s.status(old) == "STALE"
            assert await s.status(await s.mount("/a")) == "OK"
            # and back, though the first may still be closing
            await s.reload(f"/a *(rw,no_root_squash,storage={tmp_path / 'one'})")
            assert await s.status(old) == "OK"

    loop.run(main())


def test_reload_lets_calls_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for its backend while its export is removed is answered by it."""
    gate = asyncio.Event()
    events: list[str] = []
    getattr_, stop_ = MemoryBackend.getattr, MemoryBackend.stop

    async def slow(self: MemoryBackend, ctx: Context, key: Key) -> Attr:
        await gate.wait()
        events.append("answered")
        return await getattr_(self, ctx, key)

    async def stop(self: MemoryBackend) -> None:
        events.append("stopped")
        await stop_(self)

    monkeypatch.setattr(MemoryBackend, "stop", stop)

    async def main() -> None:
        async with served(tmp_path, f"/a *(rw,{MEM})\n/b *(rw,{MEM})") as s:
            root = await s.mount("/a")
            monkeypatch.setattr(MemoryBackend, "getattr", slow)
            waiting = asyncio.ensure_future(s.status(root))
            await asyncio.sleep(0)
            await s.reload(f"/b *(rw,{MEM})")
            await asyncio.sleep(0.01)
            assert events == [] and not waiting.done()
            gate.set()
            assert await waiting == "OK"
            await asyncio.sleep(0.01)
            assert events == ["answered", "stopped"]
            assert await s.status(root) == "STALE"

    loop.run(main())


def test_reload_of_sync_needs_no_new_backend(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    line = f"/a *(rw,storage={tmp_path / 'd'},"

    async def main() -> None:
        async with served(tmp_path, line + "sync)") as s:
            before = s.backend("/a")
            assert await s.reload(line + "async)") == ["/a: changed"]
            assert s.backend("/a") is before
            assert isinstance(before, PosixBackend) and not before._safe

    loop.run(main())


def test_reload_again_after_one_that_failed(tmp_path: Path) -> None:
    srv, other = tmp_path / "srv", "/b *(storage=memory:)\n"

    async def main() -> None:
        async with served(tmp_path, other) as s:
            srv.mkdir()
            s.file.write_text(f"{other}/a *(rw,storage={srv})")
            new = read(s.file)
            srv.rmdir()
            with pytest.raises(ConfigError, match="No such file"):
                await s.app.reload(new)
            srv.mkdir()
            assert await s.app.reload(new) == ["/a: added"]
            assert await s.status(await s.mount("/a")) == "OK"

    loop.run(main())


def test_reload_that_began_later_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has read the files before, and waited for storage since."""
    gate, held = threading.Event(), threading.Event()

    def slow(sources: Sources) -> Settings:
        found = settings(sources)
        if not held.is_set():
            held.set()
            gate.wait(20)
        return found

    monkeypatch.setattr(commands, "settings", slow)

    async def main() -> None:
        async with served(tmp_path, f"/a *(rw,{MEM})") as s:
            more = {"host": "127.0.0.1", "port": 0, "rpcbind": "none"}
            reload = commands.Reload(s.app, Sources(files=(s.file,), settings=more))
            s.file.write_text(f"/old *(rw,{MEM})")
            first = asyncio.ensure_future(reload.run())
            await asyncio.to_thread(held.wait)
            s.file.write_text(f"/new *(rw,{MEM})")
            second = asyncio.ensure_future(reload.run())
            assert await second == ["/new: added", "/a: removed"]
            gate.set()
            with pytest.raises(ConfigError, match="began later"):
                await first
            assert [export.path for export in s.app.exports] == ["/new"]

    loop.run(main())


def test_reload_says_what_waits_for_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, f"/a *({MEM})") as s:
            new = settings(Sources(files=(s.file,), settings={"port": 5, "host": "127.0.0.1"}))
            lines = await s.app.reload(new)
            waits = [f"{name}: takes effect at the next start" for name in ("port", "rpcbind")]
            assert lines == ["no export was changed", *waits]

    loop.run(main())


# The control socket


def test_control_answers_and_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a directory whose path is longer than a socket's may be; whatever is asked."""
    state = tmp_path / ("long" * 30) / "state"
    state.mkdir(parents=True)

    async def fail(request: object) -> list[str]:
        raise ConfigError("one", "two")

    async def main() -> None:
        with pytest.raises(ConfigError, match="no nfsloop runs"):
            await asyncio.to_thread(ask, state, "hello")

        async def hello(request: object) -> list[str]:
            return ["hi", "there"]

        control = Control(state, {"hello": hello, "fail": fail})
        (state / NAME).touch()  # of one that was killed
        await control.start()
        assert (state / NAME).stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(ask, state, "hello") == ["hi", "there"]
        with pytest.raises(ConfigError) as raised:
            await asyncio.to_thread(ask, state, "fail")
        assert raised.value.problems == ["one", "two"]
        with pytest.raises(ConfigError, match="no such command"):
            await asyncio.to_thread(ask, state, "nothing")
        for junk in (b"\n", b"[]\n", b"{\n", b"\xff\n", b"x" * 100_000, b"[" * 60_000 + b"\n"):
            await asyncio.to_thread(_send, state, junk)
        assert await asyncio.to_thread(ask, state, "hello") == ["hi", "there"]
        await control.stop()
        assert not (state / NAME).exists()
        assert {record.name for record in caplog.records} <= {"nfsloop.control"}

    loop.run(main())


def _send(state: Path, junk: bytes) -> None:
    with _short(state) as path, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(5)
        try:
            sock.recv(1000)
        except ConnectionResetError:
            pass


# The command


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


def args(place: Path, *rest: str) -> list[str]:
    return ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", *rest,
            "--state", str(place / "state")]  # fmt: skip


def wait_for(server: Process, text: str, times: int = 1) -> str:
    """The log, once it has `text` so many times."""
    deadline = time.monotonic() + 10
    while server.stderr().count(text) < times:
        assert time.monotonic() < deadline, server.stderr()
        time.sleep(0.02)
    return server.stderr()


def mounts(port: int, path: str) -> bool:
    """Whether root of this machine may mount it."""

    async def main() -> bool:
        async with connected("tcp", "127.0.0.1", port, Credential(1, 0, 0)) as rpc:
            res = await m.MOUNT_V3_Client(rpc).MNT(path.encode(), timeout=5)
            return res.fhs_status == m.MNT3_OK

    return loop.run(main())


def test_reload_command_and_sighup(place: Path) -> None:
    """Both take changes, and refuse a broken file with file, line and reason."""
    exports = place / "exports"
    line = "/{} localhost(rw,insecure,storage=memory:)\n"
    exports.write_text(line.format("one"))
    state = ["--state", str(place / "state")]
    with nfsloop(*args(place, "--exports", str(exports))) as server:
        port = server.port
        assert mounts(port, "/one") and not mounts(port, "/two")
        exports.write_text(line.format("one") + line.format("two"))
        assert run("reload", *state) == (0, "/two: added\n", "")
        assert mounts(port, "/one") and mounts(port, "/two")
        exports.write_text(line.format("one") + "/two localhost(rww)\n/three\n")
        status, out, errors = run("reload", *state)
        assert (status, out) == (1, "")
        assert f"nfsloop: {exports}:2:16: unknown export option 'rww'" in errors
        assert f"nfsloop: {exports}:3:1: /three: no such directory" in errors
        assert mounts(port, "/one") and mounts(port, "/two")
        server.send(signal.SIGHUP)
        assert f"{exports}:2:16" in wait_for(server, "everything is as before", 2)
        exports.write_text(line.format("three"))
        server.send(signal.SIGHUP)
        wait_for(server, "/one: removed")
        assert mounts(port, "/three") and not mounts(port, "/one")
        exports.unlink()
        status, _, errors = run("reload", *state)
        assert status == 1 and str(exports) in errors and "No such file" in errors
        assert mounts(port, "/three")
        assert server.stop() == 0
        assert "Traceback" not in server.stderr()
    status, _, errors = run("reload", *state)
    assert status == 1 and "no nfsloop runs" in errors and errors.count("\n") == 1


def test_reload_finds_the_server_by_its_settings(place: Path) -> None:
    toml = place / "nfsloop.toml"
    toml.write_text('state = "state"\nport = 0\nhost = "127.0.0.1"\nrpcbind = "none"\n'
                    '[[export]]\npath = "/x"\nstorage = "memory:"\n')  # fmt: skip
    with nfsloop("serve", "--config", str(toml)) as server:
        server.ready()
        toml.write_text(toml.read_text().replace("/x", "/y").replace("0", "2049"))
        status, out, _ = run("reload", "--config", str(toml))
        assert status == 0
        assert {"/y: added", "/x: removed"} <= set(out.splitlines())
        assert "port: takes effect at the next start" in out
        assert server.stop() == 0


def test_reload_while_nothing_is_up_and_after_sigkill(place: Path) -> None:
    """A socket that is left behind answers nobody, and hinders nobody."""
    with nfsloop(*args(place)) as server:
        server.ready()
        server.stop(signal.SIGKILL)
    status, _, errors = run("reload", "--state", str(place / "state"))
    assert status == 1 and "no nfsloop runs" in errors
    with nfsloop(*args(place)) as server:
        server.ready()
        assert run("reload", "--state", str(place / "state"))[0] == 0
        assert server.stop() == 0


# The loopback rule, in the whole server


@pytest.mark.skipif(not AS_ROOT, reason="root starts processes of others")
def test_loopback_lets_in_root_and_whom_the_server_runs_as() -> None:
    """Not others of this machine, who would be whoever they say; `insecure` is for them."""
    interpreter(NOBODY)
    code = "import sys; sys.path.insert(0, sys.argv[3]); from test_reload import mounts; " \
           "print(mounts(int(sys.argv[1]), sys.argv[2]))"  # fmt: skip
    here = str(Path(__file__).parent)

    def by(user: int | None, port: int, path: str) -> bool:
        with nfsloop(str(port), path, here, code=code, user=user,
                     env={"PYTHONPATH": os.pathsep.join([here, *_path()])}) as asks:  # fmt: skip
            out, _ = asks.process.communicate(timeout=20)
            assert asks.wait() == 0, asks.stderr()
            return bool(out.strip() == b"True")

    with directory_of(NOBODY) as place:
        mine = ["/mine=memory:"]
        with nfsloop(*args(place, *mine), user=NOBODY) as server:
            assert by(NOBODY, server.port, "/mine") and by(None, server.port, "/mine")
            assert not by(NOBODY - 1, server.port, "/mine")
            assert f"user {NOBODY - 1}" in server.stderr()
            assert server.stop() == 0
        (place / "export").chmod(0o777)
    with directory_of(None) as place:
        with nfsloop(*args(place, *mine)) as server:
            assert by(None, server.port, "/mine") and not by(NOBODY, server.port, "/mine")
            assert server.stop() == 0
        with nfsloop(*args(place, "-o", "insecure", *mine)) as server:
            assert by(NOBODY, server.port, "/mine")
            assert server.stop() == 0


def _path() -> list[str]:
    return [str(Path(__file__).resolve().parents[2]), sysconfig.get_paths()["purelib"]]


@pytest.mark.skipif(not AS_ROOT, reason="only root takes reserved ports")
def test_loopback_over_udp_takes_a_reserved_port(place: Path) -> None:
    """Whose a datagram is nobody can tell."""

    def ask_from(local: int, port: int) -> m.mountstat3:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", local))
            sock.connect(("127.0.0.1", port))
            sock.settimeout(5)
            path = b"/mine"
            body = len(path).to_bytes(4) + path + bytes(-len(path) & 3)
            sock.send(call(MOUNT, 3, 1, body))
            _, results = accepted(sock.recv(1000))
            return m.mountstat3(int.from_bytes(results[:4]))

    with nfsloop(*args(place, "/mine=memory:")) as server:
        free = next(port for port in range(1023, 600, -1) if _free(port))
        assert ask_from(0, server.port) == m.MNT3ERR_ACCES
        assert ask_from(free, server.port) == m.MNT3_OK
        assert server.stop() == 0


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
