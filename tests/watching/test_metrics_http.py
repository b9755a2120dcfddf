"""/metrics, /healthz and /readyz of servers that run as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from metrics_kit import COMMON, HOST, Server, ask, check_metrics, children, serving, until
from nfs_process import SLOW_READ, directory_of, run
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)

from backends.hosted import Health
from backends.memory import MemoryBackend
from nfsloop import served
from nfsloop.client import Client
from nfsloop.control import ask as control
from nfsloop.export import Export, Exports
from nfsloop.limits import HTTP_CLIENTS
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.watching import http
from nfsloop.watching.http import Readiness, Site
from nfsloop.watching.metrics import Facts, exposition
from nfsloop.watching.snapshot import Calls, Series, Snapshot
from oncrpc import loop

#: A backend whose `health` says what a file has.
HEALTH = """
import os, sys
from backends.memory import MemoryBackend
from nfsloop import cli
async def health(self):
    return open(os.environ["TEST_HEALTH"]).read() or None
MemoryBackend.health = health
sys.exit(cli.main(sys.argv[1:]))
"""

#: A directory's backend that starts when there is a file.
SLOW_START = """
import asyncio, os, sys
from backends.posix import PosixBackend
from nfsloop import cli
start = PosixBackend.start
async def slow(self):
    while not os.path.exists(os.environ["TEST_GO"]):
        await asyncio.sleep(0.01)
    await start(self)
PosixBackend.start = slow
sys.exit(cli.main(sys.argv[1:]))
"""

#: Without the packages that metrics need.
BARE = """
import sys
sys.modules["aiohttp" if "--udp" not in sys.argv else "x"] = None
from nfsloop import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that serves a directory and, behind a cache, memory."""
    place = tmp_path_factory.mktemp("metrics")
    (place / "export").mkdir()
    args = ("--state", str(place / "state"), f"/e={place / 'export'}", "/m=attrcache|memory:")
    with serving(*args, exports=2) as process:
        yield process


def test_a_known_script_of_calls(server: Server) -> None:
    """Calls, errors by status, bytes and duplicates are what was done."""
    before = server.samples()
    with Client(server.port, "/e") as client:
        for _ in range(7):
            client.stat("/")
        client.write_file("/f", b"x" * 100_000)
        assert len(client.read_file("/f")) == 100_000
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                client.stat("/none")
        with pytest.raises(OSError, match="GETATTR"):
            client.call("GETATTR", x.GETATTR3args(bytes(32)))
        during = server.value("nfsloop_connections")
    after = server.samples()

    def grown(name: str, **labels: str) -> float:
        def total(samples: dict[str, dict[Any, float]]) -> float:
            found = samples.get(name, {})
            return sum((v for have, v in found.items() if set(labels.items()) <= set(have)), 0.0)

        return total(after) - total(before)

    count = "nfsloop_call_duration_seconds_count"
    assert grown(count, procedure="GETATTR", export="/e") == 7
    assert grown(count, procedure="GETATTR", export="") == 1
    assert grown(count, procedure="CREATE", export="/e") == 1
    assert grown(count, procedure="WRITE") == 1
    assert grown(count, procedure="MNT") == 1
    assert grown("nfsloop_call_errors_total", procedure="LOOKUP", status="NOENT") == 3
    assert grown("nfsloop_call_errors_total", status="BADHANDLE") == 1
    assert grown("nfsloop_call_errors_total") == 4
    assert 100_000 < grown("nfsloop_received_bytes_total", procedure="WRITE") < 100_300
    assert 100_000 < grown("nfsloop_sent_bytes_total", procedure="READ") < 100_300
    assert grown("nfsloop_call_duration_seconds_sum", procedure="WRITE") > 0
    assert grown("nfsloop_bad_handles_total", why="MAC") == 1
    assert grown("nfsloop_duplicate_requests_total", outcome="new") == 2  # CREATE, WRITE
    assert grown("nfsloop_backend_seconds_count", export="/e", method="getattr") >= 7
    assert grown("nfsloop_backend_seconds_count", export="/e", method="write") == 1
    assert grown("nfsloop_backend_seconds_sum", export="/e", method="write") > 0
    assert grown("nfsloop_cache_misses_total", cache="descriptors") >= 0
    assert during == 1
    until(lambda: server.value("nfsloop_connections") == 0)


def test_calls_of_the_histogram_add_up(server: Server) -> None:
    with Client(server.port, "/m") as client:
        for _ in range(5):
            client.stat("/")
    samples = server.samples()
    for labels, count in samples["nfsloop_call_duration_seconds_count"].items():
        buckets = [
            (float(dict(have)["le"]), value)
            for have, value in samples["nfsloop_call_duration_seconds_bucket"].items()
            if set(labels) <= set(have)
        ]
        counts = [value for _, value in sorted(buckets)]
        assert counts == sorted(counts)
        assert counts[-1] == count
    assert server.value("nfsloop_cache_hits_total", export="/m", cache="attributes") >= 5
    assert server.value("nfsloop_process_resident_bytes", process="server") > 10 << 20
    assert server.value("nfsloop_process_cpu_seconds_total", process="server") > 0
    assert server.value("nfsloop_process_descriptors", process="server") > 5
    assert server.value("nfsloop_start_time_seconds") > 1e9
    assert server.value("nfsloop_info") == 1


def test_both_formats_are_what_they_say(server: Server) -> None:
    with Client(server.port, "/e") as client:
        client.stat("/")
    status, headers, text = ask(server.http, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    check_metrics(text)
    accept = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"
    status, headers, text = ask(server.http, "/metrics", Accept=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in openmetrics_families(text)}  # type: ignore[no-untyped-call]
    assert {"nfsloop", "nfsloop_call_duration_seconds", "nfsloop_call_errors"} <= names
    assert text.endswith("# EOF\n")


def test_paths_that_are_no_text_are_labels_all_the_same() -> None:
    snapshot = Snapshot()
    made = Calls()
    made.latency[0] = 1
    snapshot.calls[Series("NFS_PROGRAM", 3, "READ", '/a\udcff"\n\\')] = made
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        text, _ = exposition(snapshot, Facts("1", 2.0), accept)
        assert b'export="/a\\\\xff\\"\\n\\\\"' in text


def test_one_request_a_connection(server: Server) -> None:
    for path, method, wanted in (
        ("/metrics", "GET", 200), ("/healthz", "GET", 200), ("/readyz", "GET", 200),
        ("/metrics", "HEAD", 200), ("/healthz", "HEAD", 200), ("/readyz", "HEAD", 200),
        ("/", "GET", 404), ("/metrics/x", "GET", 404), ("/favicon.ico", "GET", 404),
        ("/metrics", "POST", 405), ("/readyz", "DELETE", 405), ("/healthz", "PUT", 405),
    ):  # fmt: skip
        status, headers, body = ask(server.http, path, method)
        assert (status, method, path) == (wanted, method, path)
        assert headers["Connection"] == "close"
        assert headers["Server"] == "nfsloop"
        assert bool(body) == (method != "HEAD")


def test_garbage_is_answered_and_fills_no_log(server: Server) -> None:
    before = server.stderr()
    for request in (b"garbage\r\n\r\n", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /healthz HTTP/1.0\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n"):  # fmt: skip
        with socket.create_connection((HOST, server.http), 10) as sock:
            sock.sendall(request)
            assert b" 400 " in sock.recv(4096).split(b"\r\n")[0]
    assert server.get("/healthz") == (200, "ok\n")
    assert server.stderr() == before


def test_connections_beyond_the_bound_make_room(server: Server) -> None:
    """Those who connect and say nothing keep nobody out, neither from here nor from NFS."""
    idle = [socket.create_connection((HOST, server.http), 10) for _ in range(2 * HTTP_CLIENTS)]
    try:
        assert server.get("/healthz") == (200, "ok\n")
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""
        with Client(server.port, "/e") as client:
            client.stat("/")
    finally:
        for sock in idle:
            sock.close()


def test_readiness_tells_what_storage_says(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("")
    args = ("--state", str(tmp_path / "state"), "/m=memory:")
    with serving(*args, code=HEALTH, env={"TEST_HEALTH": str(said)}) as server:
        assert server.get("/readyz") == (200, "ready\n")
        said.write_text("the disk is on fire")
        until(lambda: server.get("/readyz")[0] == 503)
        assert server.get("/readyz") == (503, "/m: NOT WELL: the disk is on fire\n")
        assert server.get("/healthz") == (200, "ok\n")
        assert server.get("/metrics")[0] == 200
        said.write_text("")
        until(lambda: server.get("/readyz")[0] == 200)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_from_start_to_stop(workers: str, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = int(sock.getsockname()[1])
    go = tmp_path / "go"
    server = Server(
        *COMMON, "--metrics", str(port), "--workers", workers, "--state", str(tmp_path / "s"),
        f"/e={tmp_path}", code=SLOW_START, env={"TEST_GO": str(go)},
    )  # fmt: skip
    try:
        until(lambda: _reached(port))
        assert ask(port, "/readyz")[::2] == (503, "the server is starting\n")
        assert ask(port, "/metrics")[0] == 200
        go.touch()
        until(lambda: ask(port, "/readyz")[0] == 200)
        assert server.http == port
        stopped = children(server.pid)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        server.send(signal.SIGTERM)
        if stopped:  # they are waited for, and the site answers
            until(lambda: ask(port, "/readyz")[::2] == (503, "the server is stopping\n"))
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()
    finally:
        server.close()


def _reached(port: int) -> bool:
    try:
        return ask(port, "/healthz")[::2] == (200, "ok\n")
    except OSError:
        return False


def test_while_it_stops_it_is_not_ready(tmp_path: Path) -> None:
    """A call in flight is finished; meanwhile the site answers, and says that all is about to
    end."""
    env = {"TEST_READ_SECONDS": "0.5"}
    with serving("--state", str(tmp_path / "s"), "/m=memory:", code=SLOW_READ, env=env) as server:
        with Client(server.port, "/m") as client:
            client.write_file("/f", b"data")
            got: list[bytes] = []
            reader = threading.Thread(target=lambda: got.append(client.read_file("/f")))
            reader.start()
            until(lambda: server.value("nfsloop_waiting_calls") == 1)
            server.send(signal.SIGTERM)
            until(lambda: "stopping" in server.stderr())
            assert server.get("/readyz") == (503, "the server is stopping\n")
            assert server.get("/healthz")[0] == 200
            assert server.get("/metrics")[0] == 200
            reader.join()
            assert got == [b"data"]
        assert server.wait() == 0
        assert not _reached(server.http)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    server = Server(*COMMON, "--state", str(tmp_path / "s"), "/m=memory:", code=BARE)
    try:
        assert server.wait() == 1
        wanted = "--metrics needs prometheus-client and aiohttp: pip install 'nfsloop[metrics]'"
        assert server.stderr() == f"nfsloop: {wanted}\n"
    finally:
        server.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(workers: str, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen()
        where = f"{HOST}:{sock.getsockname()[1]}"
        status, out, errors = run(
            "serve", "--host", HOST, "--port", "0", "--rpcbind", "none", "--metrics", where,
            "--workers", workers, "--state", str(tmp_path / "s"), f"/e={tmp_path}",
        )  # fmt: skip
    assert (status, out) == (1, "")
    assert errors.splitlines()[-1] == (
        f"nfsloop: --metrics: cannot listen on {where}: Address already in use"
    )


def test_backends_of_a_reload_are_timed_too() -> None:
    """And what its predecessor counted stays."""
    with directory_of(None) as place:
        table = place / "exports"
        table.write_text(f"{place}/export *(rw,no_root_squash,insecure)\n")
        (place / "other").mkdir()
        with serving("--state", str(place / "state"), "--exports", str(table)) as server:
            with Client(server.port, f"{place}/export") as client:
                client.stat("/")
            count = "nfsloop_backend_seconds_count"
            before = server.value(count, export=f"{place}/export", method="getattr")
            assert before >= 1
            table.write_text(f"{place}/other *(rw,no_root_squash,insecure)\n")
            control(place / "state", "reload")
            with Client(server.port, f"{place}/other") as client:
                client.stat("/")
            assert server.value(count, export=f"{place}/other", method="getattr") >= 1
            assert server.value(count, export=f"{place}/export", method="getattr") == before
            assert server.get("/readyz") == (200, "ready\n")


# Within this process


class FakeApp(SimpleNamespace):
    """As much of an App as a site asks for."""

    def __init__(self, **attributes: Any) -> None:
        export = Export("/a", MemoryBackend())
        super().__init__(
            phase="serving", exports=Exports([export]), processes=self, asked=0, **attributes
        )

    async def trouble(self, seconds: float) -> list[str]:
        self.asked += 1
        return []


def test_storage_is_asked_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        app: Any = FakeApp()
        (export,) = app.exports
        asked: list[int] = []
        answer = asyncio.Event()

        async def health() -> str | None:
            asked.append(1)
            await answer.wait()
            return "it hangs no more"

        export.backend.health = health
        export.health = Health(lambda: export.backend, 0.01)
        readiness = Readiness(app)
        said = await asyncio.gather(*(readiness.wrong() for _ in range(50)))
        assert len(asked) == 1
        assert said[0] == ["/a: NOT WELL: it has not said how it is for 0 s"]
        monkeypatch.setattr(http, "READY_KEPT_SECONDS", 0.0)
        for _ in range(3):  # it is not asked again before it has answered, whoever asks
            await readiness.wrong()
            await export.health()
        assert len(asked) == 1
        answer.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await readiness.wrong() == ["/a: NOT WELL: it hangs no more"]
        before = len(asked)
        monkeypatch.setattr(http, "READY_KEPT_SECONDS", 100.0)
        for _ in range(5):
            assert await readiness.wrong() == ["/a: NOT WELL: it hangs no more"]
        assert len(asked) == before
        app.phase = "stopping"
        assert await readiness.wrong() == ["the server is stopping"]

    loop.run(main())


Streams: TypeAlias = "tuple[asyncio.StreamReader, asyncio.StreamWriter]"
GET = b"GET /healthz HTTP/1.0\r\n\r\n"


def with_site(do: Callable[[Site], Awaitable[None]]) -> None:
    """Do it with a site that has started."""

    async def main() -> None:
        site = Site(FakeApp(), HOST, 0)  # type: ignore[arg-type]
        await site.start()
        try:
            await do(site)
        finally:
            await site.stop()

    loop.run(main())


async def ended(streams: Streams) -> bytes:
    """What came until the connection ended."""
    reader, writer = streams
    try:
        return bytes(await reader.read())
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_who_says_nothing_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connect and say nothing: who has a question is answered."""
    monkeypatch.setattr(http, "HTTP_CLIENTS", 2)

    async def do(site: Site) -> None:
        idle = [await asyncio.open_connection(HOST, site.port) for _ in range(2)]
        for _, writer in idle:
            writer.write(b"GET /healthz HTTP/1.0\r\nX: ")
        await asyncio.sleep(0.05)
        _, writer = asks = await asyncio.open_connection(HOST, site.port)
        writer.write(GET)
        assert (await ended(asks)).endswith(b"ok\n")
        assert await ended(idle[0]) == b""
        idle[1][1].write(b"y\r\n\r\n")
        assert (await ended(idle[1])).endswith(b"ok\n")

    with_site(do)


def test_who_says_nothing_for_too_long_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HTTP_REQUEST_SECONDS", 0.1)

    async def do(site: Site) -> None:
        assert await ended(await asyncio.open_connection(HOST, site.port)) == b""
        assert not site._there

    with_site(do)


def test_who_has_asked_keeps_its_place_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HTTP_CLIENTS", 2)
    answer = asyncio.Event()

    async def slow(self: Readiness) -> list[str]:
        await answer.wait()
        return []

    monkeypatch.setattr(Readiness, "wrong", slow)

    async def asking(site: Site) -> Streams:
        streams = await asyncio.open_connection(HOST, site.port)
        streams[1].write(b"GET /readyz HTTP/1.0\r\n\r\n")
        return streams

    async def do(site: Site) -> None:
        waiting = [await asking(site) for _ in range(2)]
        while [one.asked for one in site._there.values()] != [True, True]:
            await asyncio.sleep(0.01)
        assert await ended(await asking(site)) == b""
        monkeypatch.setattr(http, "HTTP_SECONDS", 0.0)
        third = await asking(site)
        assert await ended(waiting[0]) == b""
        answer.set()
        assert (await ended(waiting[1])).endswith(b"ready\n")
        assert (await ended(third)).endswith(b"ready\n")

    with_site(do)


def test_an_answer_ends_its_connection() -> None:
    """Also where the client would keep it."""

    async def do(site: Site) -> None:
        streams = await asyncio.open_connection(HOST, site.port)
        streams[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
        async with asyncio.timeout(2):  # aiohttp would keep it for over a minute
            said = await ended(streams)
        assert said.endswith(b"ok\n") and b"Connection: close" in said

    with_site(do)


def test_an_export_that_is_removed_while_it_hangs() -> None:
    """What was asked of it is waited for no more, and it is stopped."""

    async def main() -> None:
        export = Export("/a", MemoryBackend())
        asked = asyncio.Event()

        async def health() -> str | None:
            asked.set()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        export.backend.health = health  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(export.health())
        await asked.wait()
        await served._stop([export])
        assert await waiting == "it is being stopped"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_address_of_the_sixth_version() -> None:
    async def main() -> None:
        site = Site(FakeApp(), "::1", 0)  # type: ignore[arg-type]
        await site.start()
        assert site.url == f"http://[::1]:{site.port}"
        await site.stop()

    if not Path("/proc/net/if_inet6").exists() or not os.path.getsize("/proc/net/if_inet6") >= 0:
        pytest.skip("this machine has no IPv6")
    loop.run(main())
