"""What systemd hands over and is told, by hand: sd_listen_fds(3), sd_notify(3), the watchdog."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nfsloop"))

from nfs_process import Process, nfsloop, run

from nfsloop.config import Settings
from nfsloop.errors import ConfigError
from nfsloop.nfs3.nfs3_xdr import NFS_V3_Client
from nfsloop.served import guard_of
from nfsloop.systemd import (
    LEAST_PING_SECONDS,
    WAITING_DATAGRAMS,
    Manager,
    handed_over,
    watchdog_seconds,
)
from oncrpc import loop
from oncrpc.client import connected
from oncrpc.net import host_port

#: Only the new process knows its number, which LISTEN_PID must be.
AS_ITSELF = ["bash", "-c", 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"', "bash"]

#: Descriptors of the test that no other has to give way to.
HIGH = 200

EVERYWHERE = ["serve", "--rpcbind", "none"]


def bound(kind: int, port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def stream(port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    sock = bound(socket.SOCK_STREAM, port, host)
    sock.listen()
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def answers(host: str, port: int, transport: str = "tcp") -> bool:
    """Whether NFS answers a NULL call."""

    async def call() -> bool:
        async with connected(transport, host, port) as rpc:
            await NFS_V3_Client(rpc).NULL(timeout=15)
            return True

    return loop.run(call())


@contextmanager
def handed(
    sockets: Sequence[socket.socket], place: Path, *more: str, names: str = ""
) -> Iterator[Process]:
    """The server, with `sockets` as its descriptors from 3 on."""
    high = [fcntl.fcntl(sock, fcntl.F_DUPFD, HIGH) for sock in sockets]
    moves = " ".join(f"{3 + index}<&{number}" for index, number in enumerate(high))
    prefix = ["bash", "-c", f'exec "$@" {moves}', "bash", *AS_ITSELF]
    env = {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
    argv = [*EVERYWHERE, "--state", str(place / "state"), *more]
    try:
        with nfsloop(*argv, prefix=prefix, env=env, pass_fds=high) as server:
            yield server
    finally:
        for number in high:
            os.close(number)


# Sockets that are handed over


def test_it_serves_the_sockets_and_says_their_port(tmp_path: Path) -> None:
    """TCP of IPv4 and IPv6 and UDP; host, port and UDP of the command line do not count, nor does
    a reload speak of them."""
    tcp = stream()
    port = port_of(tcp)
    sockets = [bound(socket.SOCK_DGRAM, port), tcp, stream(port, "::1")]
    # uvloop makes sockets non-blocking by itself.
    more = ["--host", "127.0.0.2", "--port", "1", "--no-udp", "--loop", "asyncio"]
    with handed(sockets, tmp_path, *more, names="d:nfs:six") as server:
        where = f"127.0.0.1:{port}, [::1]:{port}"
        assert server.ready().startswith(f"NFS version 3 on {where} over TCP and UDP\n")
        for host, transport in (("127.0.0.1", "tcp"), ("127.0.0.1", "udp"), ("::1", "tcp")):
            assert answers(host, port, transport), (host, transport)
        reload = run("reload", "--state", str(tmp_path / "state"))
        assert reload[:2] == (0, "no export was changed\n")
        children = Path(f"/proc/{server.pid}/environ").read_text()
        assert "LISTEN_FDS=3" in children
        for number in range(3, 6):  # who inherits one keeps the port, when the server is long gone
            (flags,) = re.findall(
                r"flags:\s*(\d+)", Path(f"/proc/{server.pid}/fdinfo/{number}").read_text()
            )
            assert int(flags, 8) & os.O_CLOEXEC
        assert server.stop() == 0


def test_a_connection_waits_for_the_server(tmp_path: Path) -> None:
    """Nobody is refused while there is none: that is what the socket unit is for."""
    tcp = stream()
    with socket.create_connection(("127.0.0.1", port_of(tcp)), 5) as early:
        early.sendall(bytes.fromhex(  # a NULL call of NFS, AUTH_NONE
            "80000028 00000007 00000000 00000002 000186a3 00000003 00000000" + "00" * 16
        ))  # fmt: skip
        with handed([tcp], tmp_path) as server:
            early.settimeout(10)
            assert early.recv(100).hex() == "800000180000000700000001" + "00" * 16
            assert server.stop() == 0
    assert socket.create_connection(("127.0.0.1", port_of(tcp)), 5)  # it is still open, here


def connected_datagrams() -> socket.socket:
    sock = bound(socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    return sock


def unix() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(f"\0nfsloop-test-{os.getpid()}")
    sock.listen()
    return sock


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: [bound(socket.SOCK_STREAM)], "descriptor 3 (one), handed over (LISTEN_FDS), does"),
        (lambda: [stream(), unix()], "descriptor 4 (two), handed over (LISTEN_FDS), is no socket"),
        (lambda: [stream(), stream()], "; one port is served"),
        (lambda: [bound(socket.SOCK_DGRAM)], "there is no TCP socket among them"),
        (lambda: [stream(), Path("/dev/null").open()], "descriptor 4 (two), handed"),  # noqa: SIM115
        (lambda: [stream(), connected_datagrams()], "handed over (LISTEN_FDS), is connected"),
    ],
    ids=["not listening", "unix", "two ports", "datagrams", "a file", "connected"],
)  # fmt: skip
def test_what_cannot_be_served_is_said_in_a_line(
    make: Callable[[], list[Any]], said: str, tmp_path: Path
) -> None:
    with handed(make(), tmp_path, names="one:two") as server:
        assert server.wait() == 1
        (line,) = server.stderr().splitlines()
        assert line.startswith("nfsloop: ") and said in line, line


def test_workers_are_refused(tmp_path: Path) -> None:
    with handed([stream()], tmp_path, "--workers", "2") as server:
        assert server.wait() == 1
        (line,) = server.stderr().splitlines()
        assert "use --workers 1" in line


@pytest.mark.parametrize(
    ("hosts", "host", "local_only"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1", "127.0.0.2"], None, False),
        (["127.0.0.2", "127.0.0.1"], None, False),
        (["127.0.0.1", "::1"], None, False),
        (["0.0.0.0"], None, False),
        (["::"], None, False),
    ],
)
def test_the_host_is_that_of_all_sockets_or_of_none(
    hosts: list[str], host: str | None, local_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the rule for callers of this machine holds for those of others, or for nobody."""
    caplog.set_level("INFO")
    port = 0
    sockets: list[socket.socket] = []
    for one in hosts:
        sockets.append(stream(port, one))
        port = port_of(sockets[0])
    manager = Manager({}, 1)
    manager.sockets = sockets
    settled = manager.settle(Settings())
    assert (settled.host, settled.port, settled.udp) == (host, port, False)
    assert guard_of(settled.host).local_only is local_only
    for one in hosts:
        assert f"tcp {host_port(one, port)}" in caplog.text
    for sock in sockets:
        sock.close()


def test_a_socket_of_ipv6_alone_is_mounted_by_ipv6(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::", 0))
    sock.listen()
    with handed([sock], tmp_path) as server:
        assert "proto=tcp6" in server.ready() and "proto=tcp," not in server.banner
        assert f" on [::]:{port_of(sock)} over" in server.banner


@pytest.mark.parametrize("number", ["٣", "²", "9" * 5000, " 1", "1_0", "+1", "0x1", "1\n"])
def test_numbers_that_are_none(number: str) -> None:
    """`str.isdecimal` and `int` take some of them, and raise what nobody expects."""
    with pytest.raises(ConfigError, match="LISTEN_FDS is") as told:
        handed_over({"LISTEN_PID": "2", "LISTEN_FDS": number}, 2)
    assert len(str(told.value)) < 150
    with pytest.raises(ConfigError, match="WATCHDOG_USEC is"):
        watchdog_seconds({"WATCHDOG_USEC": number}, 7)


def test_what_is_meant_for_others_is_left() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "PATH": "/"}
    assert handed_over(environ, 2) == []
    assert environ == {"PATH": "/"}
    for count in ("x", "-1", "65", "9" * 30):
        with pytest.raises(ConfigError, match="LISTEN_FDS"):
            handed_over({"LISTEN_PID": "2", "LISTEN_FDS": count}, 2)


def test_systemd_socket_activate(tmp_path: Path) -> None:
    """systemd's own program hands over."""
    program = shutil.which("systemd-socket-activate")
    if program is None:
        if os.environ.get("NFSLOOP_REQUIRE_PEERS"):
            pytest.fail("systemd-socket-activate (package systemd) is missing")
        pytest.skip("systemd-socket-activate (package systemd) is missing")
    with stream() as probe:
        port = port_of(probe)
    environment = [f"-E{name}" for name in ("PYTHONPATH", "PATH")]
    prefix = [program, "-l", f"127.0.0.1:{port}", "--fdname=nfs", *environment]
    with nfsloop(*EVERYWHERE, "--state", str(tmp_path / "s"), prefix=prefix) as server:
        while "Listening on" not in server.stderr():
            assert server.process.poll() is None, server.stderr()
        assert answers("127.0.0.1", port)
        assert f" on 127.0.0.1:{port} over TCP\n" in server.ready()
        assert server.stop() == 0


# What the manager is told


class Listener:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(15)

    def next(self) -> list[str]:
        """The lines of the next datagram."""
        return self.sock.recv(4096).decode().split("\n")

    def until(self, line: str) -> list[list[str]]:
        """All datagrams up to one with `line`."""
        found: list[list[str]] = []
        for _ in range(500):
            found.append(self.next())
            if line in found[-1]:
                return found
        raise AssertionError(f"no {line} in {found[-10:]}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_life_as_the_manager_is_told(workers: str, tmp_path: Path) -> None:
    """READY when it answers, WATCHDOG all the time, RELOADING and READY, STOPPING."""
    path = str(tmp_path / "notify")
    listener = Listener(path)
    (tmp_path / "tree").mkdir()
    argv = [*EVERYWHERE, "--host", "127.0.0.1", "--port", "0", "--state", str(tmp_path / "s")]
    env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
    with nfsloop(
        *argv, "--workers", workers, str(tmp_path / "tree"), prefix=AS_ITSELF, env=env
    ) as server:
        ready = listener.until("READY=1")
        port = server.port
        assert ready[-1] == ["READY=1", f"STATUS=serving on port {port}; exports: 1"]
        assert answers("127.0.0.1", port)
        assert all(told == ["WATCHDOG=1"] for told in [*ready[:-1], listener.next()])
        server.send(signal.SIGHUP)
        began = [told for told in listener.until("READY=1") if told != ["WATCHDOG=1"]]
        assert [told[0] for told in began] == ["RELOADING=1", "READY=1"]
        assert re.fullmatch(r"MONOTONIC_USEC=\d+", began[0][1])
        assert run("reload", "--state", str(tmp_path / "s"))[0] == 0
        assert any(told[0] == "RELOADING=1" for told in listener.until("READY=1"))
        server.send(signal.SIGTERM)
        assert listener.until("STOPPING=1")[-1][0] == "STOPPING=1"
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def test_no_sign_of_life_while_it_hangs(tmp_path: Path) -> None:
    """The pings come from the event loop: a backend that holds it up holds them up too."""
    listener = Listener(f"\0nfsloop-hang-{os.getpid()}")  # an abstract one: @ in the variable
    code = (
        "import sys, time\n"
        "from backends.memory import MemoryBackend\n"
        "from nfsloop import cli\n"
        "async def hang(self):\n    time.sleep(1)\n    print('hung', file=sys.stderr)\n"
        "MemoryBackend.health = hang\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    argv = [*EVERYWHERE, "--host", "127.0.0.1", "--port", "0", "--state", str(tmp_path / "s")]
    env = {"NOTIFY_SOCKET": f"@nfsloop-hang-{os.getpid()}", "WATCHDOG_USEC": "20000"}
    with nfsloop(*argv, code=code, prefix=AS_ITSELF, env=env) as server:
        listener.until("READY=1")
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(str(tmp_path / "s" / "control"))
        asked.sendall(b'{"command": "status"}\n')
        listener.sock.settimeout(0.5)  # 50 times as long as between two of them
        with pytest.raises(TimeoutError):
            for _ in range(500):
                listener.next()
        assert "hung" not in server.stderr()
        listener.sock.settimeout(15)
        assert listener.next() == ["WATCHDOG=1"]
        asked.close()
        assert server.stop() == 0


def test_reloads_beside_each_other_end_once(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "n"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "n")}
    manager = Manager(environ, 1)
    assert environ == {}
    with manager.reloading(), manager.reloading():
        pass
    with pytest.raises(ConfigError), manager.reloading():
        raise ConfigError("the new settings are wrong")  # it serves all the same
    manager.tell("X=1")
    assert [told[0] for told in listener.until("X=1")] == [
        "RELOADING=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "X=1",
    ]  # fmt: skip


def test_a_manager_that_does_not_listen_holds_nothing_up(tmp_path: Path) -> None:
    """What it is told waits, within a bound, and comes when it listens again."""
    listener = Listener(str(tmp_path / "n"))

    async def main() -> list[str]:
        manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "n")}, 1)
        for number in range(1000):
            manager.tell(f"X={number}")
        said = await asyncio.to_thread(listener.until, "X=999")
        return [told[0] for told in said]

    said = loop.run(main())
    queue = len(said) - WAITING_DATAGRAMS
    first, last = said[:queue], said[queue:]
    assert first == [f"X={number}" for number in range(queue)]
    assert last == [f"X={number}" for number in range(1000 - WAITING_DATAGRAMS, 1000)]


def test_a_manager_that_is_gone_hinders_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "none")}, 1)
    for _ in range(10):
        manager.ready("x")
    (record,) = caplog.records
    assert "NOTIFY_SOCKET" in record.getMessage()
    Manager({"NOTIFY_SOCKET": "/" + 200 * "x"}, 1).ready("x")
    Manager({}, 1).ready("nobody is told")


def test_watchdog_is_this_process_s(tmp_path: Path) -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 7) == 1.5
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000"}, 7) == 1.5
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 7) is None
    assert watchdog_seconds({}, 7) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "1"}, 7) == LEAST_PING_SECONDS  # not all the time
    with pytest.raises(ConfigError, match="WATCHDOG_USEC"):
        watchdog_seconds({"WATCHDOG_USEC": "0"}, 7)


def test_it_costs_nothing_without(tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        "from nfsloop import cli\n"
        "atexit.register(lambda: print('nfsloop.systemd' in sys.modules, file=sys.stderr))\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    argv = [*EVERYWHERE, "--host", "127.0.0.1", "--port", "0", "--state", str(tmp_path / "s")]
    with nfsloop(*argv, code=code) as server:
        server.ready()
        assert server.stop() == 0
        assert server.stderr().splitlines()[-1] == "False"
