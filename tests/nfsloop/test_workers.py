"""`nfsloop serve --workers`: connections and where they end, deaths, one home for what is one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import wire
from nfs_process import Process, directory_of, nfsloop, run

from nfsloop.config import StateDirectory
from nfsloop.control import ask
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.workers.steer import index_of
from oncrpc.client import RpcClient, connect, connected
from oncrpc.message import AUTH_SYS, Credential, call_header, read_reply
from oncrpc.record import LAST_FRAGMENT, mark
from oncrpc.retry import Retry
from oncrpc.xdr import decode, encode

HOST = "127.0.0.1"
ME = Credential(AUTH_SYS, os.geteuid(), os.getegid(), (), b"workers")
NOTHING = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
PROCS = {proc.name: proc for proc in x.NFS_V3.procs.values()}
WAIT_SECONDS = 20.0


def sattr(mode: int = 0o644) -> x.sattr3:
    return x.sattr3(mode, None, None, None, *NOTHING)


def until(what: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)
    return found


class Server(Process):
    """A server with workers, that serves ``export`` in `place`."""

    place: Path

    def status(self) -> list[str]:
        return ask(self.place / "state", "status")

    def workers(self) -> list[tuple[int, int]]:
        """The process of each worker, and how often it was replaced."""
        found = [
            re.match(r"worker \d+: process (\d+) since .*, replaced (\d+) times", line)
            for line in self.status()
        ]
        return [(int(one[1]), int(one[2])) for one in found if one]

    def total(self, what: str) -> int:
        """A number of the line for all workers that has it."""
        text = "\n".join(line for line in self.status() if line.startswith("all workers: "))
        one = re.search(rf"(\d+) {what}", text)
        return int(one[1]) if one else 0

    def kill_worker(self, index: int) -> None:
        """SIGKILL, and wait until another is in its place."""
        pid, before = self.workers()[index]
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.workers()[index][1] > before and self.workers()[index][0])


@contextmanager
def serving(place: Path, *args: str, workers: str = "2", code: str = "") -> Iterator[Server]:
    common = ["--host", HOST, "--port", "0", "--rpcbind", "none", "-o", "no_root_squash,insecure"]
    process = Server(
        "serve", *common, "--workers", workers, "--state", str(place / "state"), *args,
        f"/e={place / 'export'}", code=code,
    )  # fmt: skip
    process.place = place
    try:
        process.ready()
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that the tests share which leave it as it is."""
    with directory_of(None) as place, serving(place) as process:
        yield process
        errors = process.stderr()
        assert process.stop() == 0
        assert "Traceback" not in errors


def port_of(index: int, count: int = 2, host: str = HOST) -> int:
    """A free port from which connections get to worker `index`."""
    for _ in range(200):
        with socket.socket() as sock:
            sock.bind((host, 0))
            port = int(sock.getsockname()[1])
        if index_of(host, port, count) == index:
            return port
    raise AssertionError("the hash does not spread")


class Wire:
    """A connection from a port of one's choice, record by record."""

    def __init__(self, server: Server, port: int) -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.settimeout(WAIT_SECONDS)
        self.sock.bind((HOST, port))
        self.sock.connect((HOST, server.port))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        # By a reset, so that the port is free.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, message: bytes) -> None:
        self.sock.sendall(mark(len(message)) + message)

    def record(self) -> bytes:
        data = b""
        while len(data) < 4 or len(data) < 4 + (int.from_bytes(data[:4]) & ~LAST_FRAGMENT):
            more = self.sock.recv(65536)
            if not more:
                return b""
            data += more
        return data[4:]

    def ask(self, message: bytes) -> bytes:
        self.send(message)
        return self.record()


def message(name: str, *args: Any, xid: int) -> bytes:
    proc = PROCS[name]
    head = call_header(xid, x.NFS_V3.number, 3, proc.number, ME.pack())
    return head + encode(proc.encode_args, getattr(x, f"{name}3args")(*args))


def result(name: str, reply: bytes) -> Any:
    _, pos = read_reply(reply)
    return decode(PROCS[name].decode_result, reply, pos)


async def mount(rpc: RpcClient) -> bytes:
    res = await m.MOUNT_V3_Client(rpc).MNT(b"/e", timeout=WAIT_SECONDS)
    assert res.fhs_status == m.MNT3_OK
    return bytes(res.mountinfo.fhandle)


def root_of(server: Server) -> bytes:
    async def main() -> bytes:
        async with connected("tcp", HOST, server.port, ME) as rpc:
            return await mount(rpc)

    return asyncio.run(main())


# Where connections end


def connections(server: Server) -> list[int]:
    """How many each worker has."""
    lines = [line for line in server.status() if line.startswith("worker ")]
    return [int(line.rpartition(": ")[2].split()[0]) for line in lines]


def test_connections_are_spread_by_source_port(server: Server) -> None:
    """As the pure function says, and both have some."""
    until(lambda: sum(connections(server)) == 0)
    socks = [socket.create_connection((HOST, server.port)) for _ in range(24)]
    try:
        wanted = [0, 0]
        for sock in socks:
            host, port = sock.getsockname()
            wanted[index_of(host, port, 2)] += 1
        until(lambda: sum(connections(server)) == 24)
        assert connections(server) == wanted and min(wanted) > 0
        assert server.total("connections") == 24
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("index", [0, 1])
def test_a_reconnect_from_its_port_gets_the_reply_of_before(server: Server, index: int) -> None:
    root, port = root_of(server), port_of(index)
    where = x.diropargs3(root, b"once%d" % index)
    make = message("CREATE", where, x.createhow3(x.GUARDED, sattr()), xid=index + 1)
    with Wire(server, port) as one:
        first = one.ask(make)
        assert result("CREATE", first).status == x.NFS3_OK
    with Wire(server, port) as two:
        assert two.ask(make) == first
    assert server.total("hits") >= 1


def test_udp(server: Server) -> None:
    """From ports of both workers; NFS, and MOUNT, which goes on to the home."""

    async def main() -> None:
        for index in (0, 1):
            source = HOST, port_of(index)
            async with connected("udp", HOST, server.port, ME, source=source) as rpc:
                root = await mount(rpc)
                res = await x.NFS_V3_Client(rpc).GETATTR(x.GETATTR3args(root), timeout=5)
                assert res.status == x.NFS3_OK

    asyncio.run(main())


# One home


def test_one_list_of_mounts_whatever_worker_is_asked(server: Server) -> None:
    async def main() -> None:
        listed = []
        for index in (0, 1):
            source = HOST, port_of(index)
            async with connected("tcp", HOST, server.port, ME, source=source) as rpc:
                mountd = m.MOUNT_V3_Client(rpc)
                await mountd.UMNTALL(timeout=5)
                assert not await mountd.DUMP(timeout=5)
                await mount(rpc)
            source = HOST, port_of(1 - index)
            async with connected("tcp", HOST, server.port, ME, source=source) as rpc:
                listed.append(await m.MOUNT_V3_Client(rpc).DUMP(timeout=5))
        for found in listed:
            assert [(one.ml_hostname, one.ml_directory) for one in found] == [(b"127.0.0.1", b"/e")]

    asyncio.run(main())


def test_what_the_home_refuses_comes_back_as_it_is(server: Server) -> None:
    """Garbage, another version, a procedure that is not there; and the connection lives."""
    cases = [
        (wire.call(wire.MOUNT, 3, 1, b"\xff" * 4), wire.GARBAGE_ARGS),
        (wire.call(wire.MOUNT, 2, 0), wire.PROG_MISMATCH),
        (wire.call(wire.MOUNT, 3, 9), wire.PROC_UNAVAIL),
        (wire.call(wire.NFSACL, 3, 0), wire.PROG_UNAVAIL),
        (wire.call(wire.MOUNT, 3, 0), 0),
    ]
    with Wire(server, port_of(1)) as one:
        for call, stat in cases:
            assert wire.accepted(one.ask(call))[0] == stat


def test_statistics_add_up(server: Server) -> None:
    """Calls of both workers are in the sums: of the cache, and of handles that are none."""
    root = root_of(server)
    before, bad = server.total("new"), server.total("MAC")
    for index in (0, 1):
        with Wire(server, port_of(index)) as one:
            where = x.diropargs3(root, b"sum%d" % index)
            reply = one.ask(message("MKDIR", where, sattr(0o755), xid=70))
            assert result("MKDIR", reply).status == x.NFS3_OK
            reply = one.ask(message("GETATTR", root[:-1] + b"?", xid=71))
            assert result("GETATTR", reply).status == x.NFS3ERR_BADHANDLE
    assert (server.total("new"), server.total("MAC")) == (before + 2, bad + 2)


def test_data_of_one_worker_is_committed_by_another(server: Server) -> None:
    """With one verifier; a worker that dies changes it for all."""
    root = root_of(server)
    file = b""
    seen: list[bytes] = []

    def verifier(name: str, *args: Any, worker: int) -> bytes:
        with Wire(server, port_of(worker)) as one:
            return bytes(result(name, one.ask(message(name, *args, xid=90))).resok.verf)

    with Wire(server, port_of(0)) as one:
        how = x.createhow3(x.UNCHECKED, sattr())
        made = result("CREATE", one.ask(message("CREATE", x.diropargs3(root, b"f"), how, xid=80)))
        file = made.resok.obj
    for data in (b"data", b"more"):
        write = file, 0, 4, x.UNSTABLE, data
        seen.append(verifier("WRITE", *write, worker=0))
        seen.append(verifier("COMMIT", file, 0, 0, worker=1))
        if data == b"data":
            server.kill_worker(1)
    assert seen[0] == seen[1] != seen[2] == seen[3]


# Deaths


def test_a_worker_that_dies_is_replaced_and_nobody_else_notices(server: Server) -> None:
    """The connection to the other one lives; the dead one's client gets the reply of before, by the
    same port; and its number stays in the sums."""
    root, port = root_of(server), port_of(0)
    make = message("MKDIR", x.diropargs3(root, b"kept"), sattr(0o755), xid=5)
    with Wire(server, port_of(1)) as other:
        with Wire(server, port) as one:
            first = one.ask(make)
            assert result("MKDIR", first).status == x.NFS3_OK
            server.kill_worker(0)
            assert one.record() == b""
        with Wire(server, port) as again:
            assert again.ask(make) == first
        look = message("LOOKUP", x.diropargs3(root, b"kept"), xid=6)
        assert result("LOOKUP", other.ask(look)).status == x.NFS3_OK
    assert "died of SIGKILL" in server.stderr()


def test_a_connection_that_waits_meets_the_next_worker(server: Server) -> None:
    """Made while there is none: the socket is the home's too."""
    pid, before = server.workers()[1]
    root = root_of(server)
    os.kill(pid, signal.SIGSTOP)
    with Wire(server, port_of(1)) as one:
        one.send(message("GETATTR", root, xid=9))
        os.kill(pid, signal.SIGKILL)
        assert result("GETATTR", one.record()).status == x.NFS3_OK
    assert server.workers()[1] != (pid, before)


def test_the_end_of_the_home_is_the_end_of_all() -> None:
    """By SIGKILL: no worker is left, and the state directory is free for the next, that has the
    replies of before; by another number of workers, and by one, too."""
    with directory_of(None) as place:
        reply, make, root = b"", b"", b""
        # How many workers, and which is asked: with as many as before, the one that knows.
        for workers, index in (("2", 0), ("2", 0), ("1", 0), ("3", 2)):
            with serving(place, workers=workers) as server:
                pids = [pid for pid, _ in server.workers()]
                assert len(pids) == (int(workers) if workers != "1" else 0)
                if not make:
                    root = root_of(server)
                    where = x.diropargs3(root, b"d")
                    make = message("MKDIR", where, sattr(0o755), xid=1234)
                with Wire(server, port_of(index, int(workers))) as one:
                    got = one.ask(make)
                reply = reply or got
                assert got == reply, f"{workers} workers"
                server.send(signal.SIGKILL)
                server.wait()
                until(partial(none_is_alive, pids))
        rings = sorted(path.name for path in (place / "state").glob("drc.ring*"))
        assert rings == [f"drc.ring.{number}-of-3" for number in range(3)]
        with StateDirectory(place / "state"):
            pass


def none_is_alive(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def alive(pid: int) -> bool:
    """Whether the process runs (one that has ended may wait for init)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_is_told_to_end_ends_in_order(server: Server) -> None:
    """And another takes its place."""
    pid, before = server.workers()[0]
    os.kill(pid, signal.SIGTERM)
    until(lambda: server.workers()[0][1] > before and server.workers()[0][0])
    assert "worker 0 has ended with status 0" in server.stderr()


#: The command, with less patience.
HASTY = """
import sys
from nfsloop import cli
from nfsloop.workers import home
home.STATUS_SECONDS, home.PING_SECONDS, home.SILENT_SECONDS = 0.5, 0.1, float({})
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_worker_that_hangs_is_told_of_and_replaced_by_a_reload() -> None:
    with directory_of(None) as place, serving(place, code=HASTY.format(1000)) as server:
        pid, _ = server.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        status, out, _ = run("status", "--state", str(place / "state"))
        assert status == 1
        assert re.search(r"worker 0: .*: NOT WELL: it does not answer", out)
        line = ask(place / "state", "reload")[-1]
        assert line.startswith("worker 0 did not take it, and is replaced: ")
        until(lambda: server.workers()[0][1] == 1 and server.workers()[0][0])
        assert not alive(pid) and server.workers()[1][1] == 0
        with Wire(server, port_of(0)) as one:
            assert wire.accepted(one.ask(wire.call(wire.MOUNT, 3, 0)))[0] == 0


def test_a_worker_of_which_nothing_is_heard_is_replaced() -> None:
    with directory_of(None) as place, serving(place, code=HASTY.format(0.4)) as server:
        pid, _ = server.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        until(lambda: server.workers()[1][1] and server.workers()[1][0])
        assert "worker 1 has been silent for" in server.stderr()
        assert server.workers()[0][1] == 0


def test_an_interrupt_at_the_start_ends_all_in_order() -> None:
    """Ctrl-C goes to all processes of a terminal, and the workers are not there yet."""
    with directory_of(None) as place:
        server = Server(
            "serve", "--host", HOST, "--port", "0", "--rpcbind", "none", "--workers", "2",
            "--state", str(place / "state"), f"/e={place / 'export'}", prefix=("setsid",),
        )  # fmt: skip
        try:
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
            until(lambda: len(children.read_text().split()) == 2)
            os.killpg(server.pid, signal.SIGINT)
            assert server.wait() == 0
            errors = server.stderr()
            assert "Traceback" not in errors and "ERROR" not in errors
        finally:
            server.close()


def test_an_export_that_a_reload_adds_is_served_by_all() -> None:
    with directory_of(None) as place:
        (place / "more").mkdir()
        exports = place / "exports"
        line = "{} *(rw,no_root_squash,insecure)\n"
        exports.write_text(line.format(place / "export"))
        state, port = str(place / "state"), "0"
        common = ["--host", HOST, "--port", port, "--rpcbind", "none", "--state", state]
        with nfsloop("serve", *common, "--workers", "2", "--exports", str(exports)) as server:
            server.ready()
            exports.write_text(line.format(place / "export") + line.format(place / "more"))
            assert ask(place / "state", "reload") == [f"{place / 'more'}: added"]

            async def main() -> None:
                for index in (0, 1):
                    source = HOST, port_of(index)
                    async with connected("tcp", HOST, server.port, ME, source=source) as rpc:
                        where = os.fsencode(place / "more")
                        res = await m.MOUNT_V3_Client(rpc).MNT(where, timeout=5)
                        root = bytes(res.mountinfo.fhandle)
                        args = x.GETATTR3args(root)
                        got = await x.NFS_V3_Client(rpc).GETATTR(args, timeout=5)
                        assert got.status == x.NFS3_OK

            asyncio.run(main())
            exports.write_text("memory: *(rw)\n")
            assert server.stop() == 0


@pytest.mark.parametrize(
    "storage", ["memory:", "sqlite:{}/x.db", "attrcache|{}/export", "demux:a={}/export"]
)
def test_a_storage_that_one_process_must_have_alone_is_refused(storage: str) -> None:
    with directory_of(None) as place:
        status, out, errors = run(
            "serve", "--host", HOST, "--port", "0", "--rpcbind", "none", "--workers", "2",
            "--state", str(place / "state"), "--log-level", "warning",
            f"/x={storage.format(place)}",
        )  # fmt: skip
        assert (status, out) == (1, "")
        (line,) = errors.splitlines()
        assert line.startswith("nfsloop: /x cannot be served by several processes")
        assert "--workers 1" in line


def test_the_last_calls_are_answered() -> None:
    """SIGTERM to all at once, as a service manager sends it: the call in flight has its reply."""
    with directory_of(None) as place, serving(place, "--wrap", "slow?seconds=0.5") as server:
        root = root_of(server)

        async def main() -> None:
            rpc = await connect("tcp", HOST, server.port, ME, retry=Retry(reconnect=False))
            args = x.GETATTR3args(root)
            call = asyncio.create_task(x.NFS_V3_Client(rpc).GETATTR(args, timeout=10))
            while not any("calls wait" in line for line in server.status()):
                await asyncio.sleep(0.01)
            for pid in (server.pid, *(pid for pid, _ in server.workers())):
                os.kill(pid, signal.SIGTERM)
            assert (await call).status == x.NFS3_OK
            rpc.close()

        asyncio.run(main())
        assert server.wait() == 0
