"""A server inside another program: started, used and stopped in asyncio and from threads."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import nfsloop
from backends.base import Context, Data, Key
from backends.memory import MemoryBackend
from nfsloop import embed
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.call import Peer

OPEN = "no_root_squash"


class Failing(MemoryBackend):
    """Does not start."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    async def start(self) -> None:
        raise self.failure


class Hanging(MemoryBackend):
    """Its reads never end."""

    inline = False

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.stopped = 0

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        self.reading.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("not reached")

    async def stop(self) -> None:
        self.stopped += 1


def use(server: nfsloop.Server, path: str = "/", text: bytes = b"text") -> None:
    """Write and read through a client of its own."""
    with nfsloop.Client(server.port, path) as client:
        client.write_file("/file", text)
        assert client.read_file("/file") == text


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_in_a_loop_of_the_callers(name: str) -> None:
    async def main() -> int:
        async with nfsloop.serving(MemoryBackend(), options=OPEN) as server:
            line = f"mount -t nfs -o {server.mount_options} 127.0.0.1:/ /mnt"
            assert server.mount_line == line
            assert f"port={server.port},mountport={server.port},nolock" in server.mount_options
            assert (server.path, server.paths) == ("/", ("/",))
            await asyncio.to_thread(use, server)
            return server.port

    assert refused(loop.run(main(), name))


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_in_a_thread(name: str) -> None:
    with nfsloop.serving_in_thread(MemoryBackend(), options=OPEN, event_loop=name) as server:
        use(server)
        assert type(server.loop).__module__.startswith(name)
    assert refused(server.port)


def test_several_at_once_and_one_after_another() -> None:
    backends = [MemoryBackend() for _ in range(3)]
    one = nfsloop.serving_in_thread(backends[0], options=OPEN)
    two = nfsloop.serving_in_thread({"/a": backends[1], "/b/c": backends[2]}, options=OPEN)
    with one as first, two as second:
        assert first.port != second.port
        assert (second.path, second.paths) == ("/a", ("/a", "/b/c"))
        assert second.mount_line_of("/b/c", "/a b").endswith(" 127.0.0.1:/b/c '/a b'")
        for server, path in ((first, "/"), (second, "/a"), (second, "/b/c")):
            use(server, path, path.encode())
    with nfsloop.serving_in_thread(backends[0], options=OPEN) as again, again.client() as client:
        assert client.read_file("file") == b"/"


def test_a_storage_by_its_name() -> None:
    with nfsloop.serving_in_thread("memory:") as server:
        use(server)
    with (
        pytest.raises(nfsloop.ConfigError, match="/no/such"),
        nfsloop.serving_in_thread("/no/such"),
    ):
        pass


def test_nothing_of_the_process_is_touched(capfd: pytest.CaptureFixture[str]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def state() -> tuple[object, ...]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        temporary = sorted(n for n in os.listdir(tempfile.gettempdir()) if n.startswith("nfsloop-"))
        mask = os.umask(0o022)
        os.umask(mask)
        handlers = [signal.getsignal(number) for number in numbers]
        return handlers, limit, temporary, mask, threading.active_count(), os.getcwd()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        before = state()
        with nfsloop.serving_in_thread(MemoryBackend(), options=OPEN) as server:
            use(server)
            assert state()[:2] == before[:2]
        assert state() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (OSError(errno.ENOSPC, "no space for it"), nfsloop.ConfigError),
        (ValueError("no such thing"), nfsloop.ConfigError),
        (RuntimeError("a bug"), RuntimeError),
    ],
)
def test_what_a_start_raises_arrives(failure: Exception, seen: type[Exception]) -> None:
    async def main() -> None:
        async with nfsloop.serving(Failing(failure)):
            raise AssertionError("not reached")

    threads = threading.active_count()
    text = getattr(failure, "strerror", None) or str(failure)
    with pytest.raises(seen, match=text):
        asyncio.run(main())
    with pytest.raises(seen, match=text), nfsloop.serving_in_thread(Failing(failure)):
        raise AssertionError("not reached")
    assert threading.active_count() == threads


def test_a_port_that_is_taken() -> None:
    with nfsloop.serving_in_thread(MemoryBackend()) as server:
        taken = nfsloop.serving_in_thread(MemoryBackend(), port=server.port)
        with pytest.raises(nfsloop.ConfigError, match=str(server.port)), taken:
            pass


@pytest.mark.parametrize(
    ("backends", "options"), [({}, ""), ({"a": MemoryBackend()}, ""), (MemoryBackend(), "rx")]
)
def test_what_cannot_be_is_a_value_error(backends: embed.Source, options: str) -> None:
    with pytest.raises(ValueError), nfsloop.serving_in_thread(backends, options=options):
        pass


def test_what_the_body_raises_passes_and_the_server_stops() -> None:
    backend = Hanging()
    with pytest.raises(ZeroDivisionError), nfsloop.serving_in_thread(backend) as server:
        raise ZeroDivisionError
    assert refused(server.port)
    assert backend.stopped == 1


def test_a_call_that_hangs_does_not_keep_it_from_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for longer than `stop_seconds`: then the thread would be given up."""
    monkeypatch.setattr(embed, "BACKEND_STOP_SECONDS", 5.0)
    backend = Hanging()

    def read(server: nfsloop.ThreadServer) -> None:
        with server.client(timeout=0.5) as client:
            client.write_file("/file", b"x")
            with pytest.raises(OSError):
                client.read_file("/file")

    with nfsloop.serving_in_thread(backend, options=OPEN, stop_seconds=0.1) as server:
        reader = threading.Thread(target=read, args=(server,))
        reader.start()
        assert backend.reading.wait(10)
    assert backend.stopped == 1
    reader.join(20)
    assert not reader.is_alive()


def test_a_backend_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    release: list[asyncio.Event] = []

    class Endless(MemoryBackend):
        async def stop(self) -> None:
            release.append(asyncio.Event())
            await release[0].wait()

    monkeypatch.setattr(embed, "BACKEND_STOP_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="has not stopped"):
        with nfsloop.serving_in_thread(Endless(), stop_seconds=0.1) as server:
            pass
    server.loop.call_soon_threadsafe(release[0].set)


def test_a_stop_that_fails_is_raised() -> None:
    class Worse(MemoryBackend):
        async def stop(self) -> None:
            raise RuntimeError("a bug in stop")

    with pytest.raises(RuntimeError, match="a bug in stop"):
        with nfsloop.serving_in_thread(Worse()):
            pass


def test_state_keeps_handles_and_without_it_they_are_new(tmp_path: Path) -> None:
    roots = []
    for state in (tmp_path, tmp_path, None, None):
        with nfsloop.serving_in_thread(MemoryBackend(), state=state) as server:
            with server.client() as client:
                roots.append(client.root)
    assert roots[0] == roots[1]
    assert len(set(roots)) == 3


def test_a_state_directory_is_one_servers(tmp_path: Path) -> None:
    with nfsloop.serving_in_thread(MemoryBackend(), state=tmp_path):
        second = nfsloop.serving_in_thread(MemoryBackend(), state=tmp_path)
        with pytest.raises(nfsloop.ConfigError, match="another nfsloop"), second:
            pass


def test_who_gets_in() -> None:
    """The rule for the loopback interface holds, unless somebody says otherwise."""
    stranger = Peer("127.0.0.1", 40000, "tcp", 12345)
    friend = stranger._replace(user=os.geteuid())
    for options, refuses in (("", True), ("insecure", False)):
        with nfsloop.serving_in_thread(MemoryBackend(), options=options) as server:
            [export] = server.app.exports
            export.policy.admit(friend)
            if refuses:
                with pytest.raises(Exception, match="a local process of user 12345"):
                    export.policy.admit(stranger)
            else:
                export.policy.admit(stranger)


def test_options_are_those_of_exports() -> None:
    backend = MemoryBackend()
    with nfsloop.serving_in_thread(backend, options="ro") as server, server.client() as client:
        with pytest.raises(OSError) as caught:
            client.mkdir("/dir")
        assert caught.value.errno == errno.EROFS
    options = nfsloop.Options(all_squash=True, anonuid=77)
    backend = MemoryBackend(mode=0o777)
    with nfsloop.serving_in_thread(backend, options=options) as server, server.client() as client:
        client.mkdir("/dir")
        assert client.stat("/dir").st_uid == 77


def test_coroutines_run_in_the_servers_loop() -> None:
    with nfsloop.serving_in_thread(MemoryBackend()) as server:

        async def where() -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        assert server.run(where()) is server.loop
        with pytest.raises(TimeoutError):
            server.run(asyncio.sleep(30), timeout=0.01)


def test_udp_and_every_address() -> None:
    with nfsloop.serving_in_thread(MemoryBackend(), host=None, udp=True) as server:
        assert server.mount_line.split()[5] == f"{socket.gethostname()}:/"
        with server.client() as client:
            assert client.call("GETATTR", x.GETATTR3args(client.root))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            with pytest.raises(OSError):
                probe.bind(("0.0.0.0", server.port))
    with nfsloop.serving_in_thread(MemoryBackend(), host="::1") as server:
        assert server.mount_line.split()[5] == "'[::1]:/'"
        assert "proto=tcp6" in server.mount_options
        with server.client() as client:
            assert client.listdir() == []


def test_importing_is_cheap() -> None:
    """Of nfsloop, and of its plugin, which pytest imports for people who do not use it."""
    heavy = "nfsloop.app nfsloop.embed oncrpc.server backends.base uvloop hypothesis asyncio"
    code = "import sys, pytest; known = set(sys.modules); import nfsloop, nfsloop.pytest_plugin\n"
    code += f"print([m for m in {heavy.split()} if m in sys.modules and m not in known])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no_such"):
        _ = nfsloop.no_such
    assert all(getattr(nfsloop, name) for name in nfsloop.__all__)
