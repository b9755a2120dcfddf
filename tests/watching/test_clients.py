"""Who uses a server, and which of its exports: by mounts, connections and calls, over IPv4 and
IPv6, by one process and by two."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nfs_process import REPO, Process, directory_of, nfsloop

from backends.memory import MemoryBackend
from nfsloop import cli
from nfsloop.access import Policy
from nfsloop.client import Client
from nfsloop.control import ask
from nfsloop.embed import ThreadServer, serving_in_thread
from nfsloop.export import Export, Exports
from nfsloop.exports5 import Client as Entry
from nfsloop.hosts import HostPattern, address_of
from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.options import Options
from nfsloop.watching import clients as c
from nfsloop.watching.counts import Counts
from nfsloop.watching.listed import clients_table, exports_table
from nfsloop.watching.snapshot import Snapshot
from nfsloop.watching.tables import layout, plain
from nfsloop.workers.told import ToldByWorkers
from oncrpc.call import Peer
from oncrpc.client import RpcClient, connect
from oncrpc.message import AUTH_SYS, Credential

ME = Credential(AUTH_SYS, 0, 0, (), b"clients")
ODD = "/srv/\x1b[31m\udcff"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    """Two exports, over IPv4 and IPv6."""
    table = {"/srv": MemoryBackend(), "/pub": MemoryBackend()}
    options = "insecure,no_root_squash"
    with serving_in_thread(table, host=None, options=options) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_mounts(server: ThreadServer) -> None:
    for host in ("127.0.0.1", "::1"):
        assert server.app.mounts is not None
        server.app.mounts.remove_all(host)


def rows(server: ThreadServer) -> dict[str, dict[str, Any]]:
    found = server.run(c.clients(server.app), 10)
    return {row["address"]: row for row in found}


def until(what: Callable[[], bool]) -> None:
    for _ in range(500):
        if what():
            return
        asyncio.run(asyncio.sleep(0.01))
    raise AssertionError("it does not come")


def uses(row: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    return {use["path"]: (use["mounted"], use["calls"]) for use in row["exports"]}


def rpc(server: ThreadServer, do: Callable[[RpcClient], Coroutine[Any, Any, Any]]) -> Any:
    """What `do` gives, with a connection."""

    async def main() -> Any:
        client = await connect("tcp", "127.0.0.1", server.port, ME)
        try:
            return await do(client)
        finally:
            client.close()

    return asyncio.run(main())


def test_a_client_that_is_mounted_and_calls(server: ThreadServer) -> None:
    with server.client("/srv") as client, server.client("/srv") as other:
        client.write_file("/f", b"x" * 100_000)
        other.listdir("/")
        row = rows(server)["127.0.0.1"]
        assert row["mounts"] == [{"path": "/srv", "export": "/srv"}]
        assert uses(row) == {"/srv": (True, True)}
        assert row["connections"] == 2
        assert row["received_bytes"] > 100_000 and row["sent_bytes"] > 200
        assert 0 <= row["idle_seconds"] < 60
        client.read_file("/f")
        until(lambda: rows(server)["127.0.0.1"]["sent_bytes"] > 100_000)


def test_a_client_that_is_gone_without_unmounting(server: ThreadServer) -> None:
    with server.client("/srv") as client:
        client.listdir("/")
    until(lambda: rows(server)["127.0.0.1"]["connections"] == 0)
    row = rows(server)["127.0.0.1"]
    assert uses(row) == {"/srv": (True, False)}
    assert (row["idle_seconds"], row["received_bytes"]) == (None, 0)
    assert "mounted" in plain(layout(clients_table([row])))


def test_a_client_that_is_not_on_the_list(server: ThreadServer) -> None:
    async def unmount_and_call(client: RpcClient) -> None:
        mounted = await MOUNT_V3_Client(client).MNT(b"/pub")
        await MOUNT_V3_Client(client).UMNT(b"/pub")
        await x.NFS_V3_Client(client).GETATTR(x.GETATTR3args(mounted.mountinfo.fhandle))
        row = (await asyncio.to_thread(rows, server))["127.0.0.1"]
        assert row["mounts"] == []
        assert uses(row) == {"/pub": (False, True)}
        assert "unlisted" in plain(layout(clients_table([row])))

    rpc(server, unmount_and_call)
    until(lambda: "127.0.0.1" not in rows(server))


def test_a_connection_that_has_asked_for_nothing(server: ThreadServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        until(lambda: "127.0.0.1" in rows(server))
        row = rows(server)["127.0.0.1"]
        assert (row["exports"], row["connections"]) == ([], 1)
        assert "connected" in plain(layout(clients_table([row])))
    until(lambda: "127.0.0.1" not in rows(server))


def test_ipv6_and_ipv4_are_told_apart_by_address(server: ThreadServer) -> None:
    with (
        Client(server.port, "/pub", "::1") as six,
        Client(server.port, "/srv", "127.0.0.1") as four,
    ):
        six.listdir("/")
        four.listdir("/")
        found = rows(server)
        assert list(found) == ["127.0.0.1", "::1"]
        assert uses(found["::1"]) == {"/pub": (True, True)}
        assert uses(found["127.0.0.1"]) == {"/srv": (True, True)}


def test_what_is_mounted_below_an_export_is_the_exports(server: ThreadServer) -> None:
    with server.client("/srv") as client:
        client.mkdir("/a\x1b[31m")
    with server.client("/srv/a\x1b[31m") as client:
        client.listdir("/")
        assert server.app.mounts is not None
        server.app.mounts.remove("127.0.0.1", "/srv")
        row = rows(server)["127.0.0.1"]
        assert row["mounts"] == [{"path": "/srv/a\x1b[31m", "export": "/srv"}]
        shown = plain(layout(clients_table([row])))
        assert "/srv (a\\x1b[31m)" in shown and "\x1b" not in shown


def test_exports_tell_who_uses_them(server: ThreadServer) -> None:
    with server.client("/srv") as client:
        client.listdir("/")
        health = {"/srv": None, "/pub": "its disk \x1b[31m is full"}
        srv, pub = server.run(c.exports(server.app, health), 10)
    assert (srv["path"], srv["well"], srv["wrong"]) == ("/srv", True, None)
    assert srv["for"] == [{"clients": "*", "options": "rw,no_root_squash,insecure"}]
    assert srv["clients"] == [
        {"address": "127.0.0.1", "name": None, "mounted": True, "calls": True}
    ]
    assert (pub["clients"], pub["well"], pub["refused"]) == ([], False, 0)
    shown = plain(layout(exports_table([srv, pub])))
    assert "1 in use" in shown and "NOT WELL: its disk \\x1b[31m is full" in shown
    assert "\x1b" not in shown


def test_a_name_is_told_where_it_is_known(server: ThreadServer) -> None:
    """From what exports need; nobody is asked for it."""
    names = server.app.served.names
    address = address_of("127.0.0.1")
    assert address is not None
    known = type("Known", (), {"value": {address}, "until": 0.0})()
    asked = len(names._asking)
    with server.client("/srv"):
        assert rows(server)["127.0.0.1"]["name"] is None
        names._hosts["addresses", "alpha.example.org"] = known
        try:
            assert rows(server)["127.0.0.1"]["name"] == "alpha.example.org"
        finally:
            names._hosts.clear()
    assert len(names._asking) == asked == 0


def test_idle_since_and_bytes_are_the_kernels() -> None:
    """Of two connections of one client, the one that was busy last counts."""
    peer = Peer("192.0.2.1", 700)
    info = [c._INFO.pack(idle, sent, received) for idle, sent, received in
            ((90_000, 10, 100), (2500, 20, 200))]  # fmt: skip
    opened = [SimpleNamespace(origins=[], info=part, peer=peer) for part in (*info, b"short")]
    app: Any = SimpleNamespace(server=SimpleNamespace(open=opened))
    assert c.uses(app) == {"192.0.2.1": c.Use(3, set(), 2.5, received=300, sent=30)}


@pytest.mark.parametrize("many", ["mounts", "hosts"])
def test_calls_have_their_turn_between_rows(many: str) -> None:
    """However many mounts there are, of one client or of many."""

    async def main() -> None:
        mounts = [("10.0.0.1", f"/e/{n}") for n in range(2000)]
        if many == "hosts":
            mounts = [(f"10.0.{n >> 8}.{n & 255}", "/e") for n in range(2000)]
        app: Any = SimpleNamespace(
            exports=Exports([Export("/e", MemoryBackend()), Export("/f", MemoryBackend())]),
            processes=SimpleNamespace(uses=nothing, counts=no_counts),
            served=SimpleNamespace(names=SimpleNamespace(known=lambda address: None)),
            mounts=mounts,
        )
        turns = 0
        asked = asyncio.ensure_future(c.exports(app, {"/f": "wrong"}))
        while not asked.done():
            turns += 1
            await asyncio.sleep(0)
        e, f = await asked
        hosts = 1 if many == "mounts" else 2000
        assert (len(e["clients"]), e["well"], f["clients"], f["well"]) == (hosts, True, [], False)
        assert e["clients"][0] == {
            "address": mounts[0][0], "name": None, "mounted": True, "calls": False
        }  # fmt: skip
        assert turns >= 2000 // c.ROWS_AT_ONCE

    asyncio.run(main())


async def nothing() -> dict[str, c.Use]:
    return {}


async def no_counts() -> Counts:
    return Counts()


def test_the_homes_own_counts_are_in_the_sum_of_workers() -> None:
    """It answers MOUNT, and refuses there."""
    export = Export("/e", MemoryBackend())
    export.refused = 3
    server = SimpleNamespace(
        connections=0, dispatcher=SimpleNamespace(waiting=0), guards=SimpleNamespace(cuts={}),
        dropped=0,
    )  # fmt: skip
    app: Any = SimpleNamespace(
        cache=None, server=server, exports=[export], handles=SimpleNamespace(bad={})
    )
    told = ToldByWorkers(app, [])
    assert asyncio.run(told.counts()).refused == {"/e": 3}
    assert asyncio.run(told.lines()) == [
        "all workers: 0 connections", "all workers: calls refused by exports: 3 /e"
    ]  # fmt: skip


# Of mounts, the export


def entry(host: str) -> Entry:
    return Entry(HostPattern.parse(host), Options())


def test_a_mount_is_of_the_deepest_export_that_lets_the_client_in() -> None:
    exports = Exports(
        [
            Export("/srv", MemoryBackend()),
            Export("/srv/deep", MemoryBackend(), policy=Policy([entry("192.0.2.0/24")])),
        ]
    )
    assert c.holder(exports, "192.0.2.1", "/srv/deep/x") == "/srv/deep"
    assert c.holder(exports, "198.51.100.1", "/srv/deep/x") == "/srv"
    assert c.holder(exports, "198.51.100.1", "/srvs") is None
    assert c.holder(exports, "198.51.100.1", "no path") is None


def test_a_mount_of_what_is_exported_no_more() -> None:
    row = {
        "address": "2001:db8::1", "name": "\x1b[31mevil", "connections": 0, "idle_seconds": None,
        "received_bytes": 0, "sent_bytes": 0, "exports": [],
        "mounts": [{"path": ODD, "export": None}],
    }  # fmt: skip
    shown = plain(layout(clients_table([row])))
    assert shown.splitlines()[1].split() == [
        "2001:db8::1", "\\x1b[31mevil", "/srv/\\x1b[31m\\xff", "no", "export", "0", "-", "-", "-",
    ]  # fmt: skip


def test_addresses_are_in_the_order_of_numbers() -> None:
    hosts = ["10.0.0.10", "10.0.0.9", "::1", "fe80::1%eth0", "odd"]
    assert sorted(hosts[::-1], key=c._order) == ["odd", "10.0.0.9", "10.0.0.10", *hosts[2:4]]


# The commands, with workers


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Process, Path]]:
    """A server of two workers, and its state directory."""
    with directory_of(None) as place:
        state = place / "state"
        process = Process(
            "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", "--workers", "2",
            "-o", "insecure,no_root_squash", "--state", str(state), f"/e={place / 'export'}",
        )  # fmt: skip
        try:
            process.ready()
            yield process, state
        finally:
            process.close()


def command(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> str:
    assert cli.main(args) == status
    found = capsys.readouterr()
    return found.err if status else found.out


def test_the_commands_with_two_workers(
    two: tuple[Process, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    process, state = two
    port, at = process.port, ("--state", str(state))
    opened = [Client(port, "/e") for _ in range(6)]
    try:
        for client in opened:
            client.listdir("/")
        (row,) = json.loads(command(capsys, "clients", "--json", *at))
        assert row["connections"] == 6  # of both workers
        assert row["mounts"] == [{"path": "/e", "export": "/e"}]
        assert uses(row) == {"/e": (True, True)}
        assert json.loads(command(capsys, "clients", "--export", "/e/", "--json", *at))
        shown = command(capsys, "clients", *at)
        assert [line.split()[:6] for line in shown.splitlines()] == [
            ["CLIENT", "NAME", "EXPORT", "USE", "CONNECTIONS", "IDLE"],
            ["127.0.0.1", "-", "/e", "in", "use", "6"],
        ]
        (export,) = json.loads(command(capsys, "exports", "--json", *at))
        assert (export["path"], export["well"], export["refused"]) == ("/e", True, 0)
        assert export["clients"][0]["calls"]
        assert "1 in use" in command(capsys, "exports", *at)
        error = command(capsys, "clients", "--export", "/nope\x1b", *at, status=1)
        assert error == "nfsloop: /nope\\x1b is not exported; these are: /e\n"
    finally:
        for client in opened:
            client.close()


def test_top_with_two_workers(
    two: tuple[Process, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    process, state = two
    at = ("--state", str(state), "--interval", "0.2", "--count", "1")
    with busy(process.port, connections=4):
        frame = json.loads(command(capsys, "top", "--json", *at))
        by_client = json.loads(command(capsys, "top", "--json", "--by", "client", *at))
    assert list(frame["processes"]) == ["home", "worker 0", "worker 1"]
    assert frame["processes"]["worker 1"]["resident_bytes"] > 1 << 20
    assert frame["exports"] == ["/e"] and frame["connections"] == 4
    rows = {row["name"]: row for row in frame["rows"]}
    assert rows["NFS3 READDIR"]["calls"] > 0 and rows["NFS3 READDIR"]["p99_seconds"] > 0
    (client,) = by_client["rows"]
    assert (client["name"], client["connections"]) == ("127.0.0.1", 4)
    assert client["calls"] == pytest.approx(by_client["all"]["calls"])


def test_no_count_goes_down_when_a_worker_dies(two: tuple[Process, Path]) -> None:
    process, state = two
    snapshot(state)
    with busy(process.port, connections=8):
        until(lambda: readdirs(snapshot(state)) > 16)
    before = snapshot(state)
    gone = before.processes["worker 0"]
    os.kill(gone.pid, signal.SIGKILL)
    until(lambda: snapshot(state).processes.get("worker 0", gone).pid != gone.pid)
    after = snapshot(state)
    assert readdirs(after) == readdirs(before)
    assert after.clients["127.0.0.1"].calls == before.clients["127.0.0.1"].calls


def readdirs(found: Snapshot) -> int:
    return sum(c.count for series, c in found.calls.items() if series.procedure == "READDIR")


def snapshot(state: Path) -> Snapshot:
    return Snapshot.from_json(json.loads(ask(state, "snapshot")[0]))


@contextlib.contextmanager
def busy(port: int, connections: int) -> Iterator[None]:
    """Somebody lists directories over so many connections, a hundred times a second or so."""
    end = threading.Event()
    opened = [Client(port, "/e") for _ in range(connections)]

    def run() -> None:
        for number in range(10_000):
            opened[number % connections].listdir("/")
            if end.wait(0.01):
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(30)
        for client in opened:
            client.close()


def test_nobody_reads_to_the_end(two: tuple[Process, Path]) -> None:
    """`nfsloop top | head -1`, as if it were."""
    _, state = two
    with nfsloop("top", "--interval", "0.1", "--state", str(state)) as process:
        out = process.process.stdout
        assert out.readline().startswith(b"nfsloop up ")
        out.close()
        assert process.wait() == 0
        assert process.stderr() == ""


@pytest.mark.parametrize("verb", ["exports", "clients", "top"])
def test_output_that_cannot_be(two: tuple[Process, Path], verb: str) -> None:
    """A full disk, a descriptor that is closed: a line, and status 1."""
    _, state = two
    args = [sys.executable, "-m", "nfsloop", verb, "--state", str(state)]
    if verb == "top":
        args += ["--once", "--interval", "0.1"]
    for to, said in ((">/dev/full", "standard output: No space left on device"),
                     (">&-", "standard output is closed")):  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {to}', "sh", *args],
            stderr=subprocess.PIPE, text=True, cwd=REPO, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, f"nfsloop: {said}\n")


def test_output_of_other_commands_that_cannot_be(two: tuple[Process, Path]) -> None:
    _, state = two
    args = [sys.executable, "-m", "nfsloop", "status", "--state", str(state)]
    for to, status, said in (
        (">/dev/full", 1, "nfsloop: No space left on device\n"), (">&-", 0, "")
    ):  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {to}', "sh", *args],
            stderr=subprocess.PIPE, text=True, cwd=REPO, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (status, said)


def test_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("top", "clients", "exports"):
        error = command(capsys, verb, "--state", str(tmp_path), status=1)
        assert error.startswith("nfsloop: no nfsloop runs with the state directory")
        assert error.count("\n") == 1
