"""showmount and rpcinfo against a server with its own portmapper, and beside the system's."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import REPO, Process, directory_of, interpreter, nfsloop

from .peer_ns import Namespace, eventually, namespace, need

pytestmark = pytest.mark.peer

NFS, MOUNT, NLM = "100003", "100005", "100021"
OURS = {(NFS, "3"), (MOUNT, "1"), (MOUNT, "3"), (NLM, "4")}
STAY_MOUNTED = """
import asyncio, sys
from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from oncrpc.client import connected
async def main():
    async with connected("tcp", sys.argv[1], 2049) as rpc:
        res = await MOUNT_V3_Client(rpc).MNT(sys.argv[2].encode(), timeout=5)
        assert res.fhs_status == 0
asyncio.run(main())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("unshare", "nsenter", "ip", "showmount", "rpcinfo")
    with namespace() as made:
        yield made


def args(place: Path, rpcbind: str, *rest: str) -> list[str]:
    return ["serve", "--rpcbind", rpcbind, "--state", str(place / "state"), *rest]


def mapped(ns: Namespace, host: str = "127.0.0.1") -> set[tuple[str, str, str, str]]:
    """(program, version, protocol, port) of each line of `rpcinfo -p`."""
    lines = ns.output("rpcinfo", "-p", host).splitlines()[1:]
    return {(a, b, c, d) for a, b, c, d, *_ in (line.split() for line in lines)}


def mount(ns: Namespace, path: str, host: str = "127.0.0.1") -> None:
    done = ns.run("env", f"PYTHONPATH={REPO}", interpreter(), "-c", STAY_MOUNTED, host, path)
    assert done.returncode == 0, done.stderr


def test_peer_showmount(ns: Namespace, place: Path) -> None:
    """-e lists the exports, -a who has mounted what, -d what is mounted."""
    exports = [str(place / "export"), "/other=memory:"]
    with nfsloop(*args(place, "builtin", *exports), prefix=ns.prefix) as server:
        server.ready(2)
        (place / "export" / "sub").mkdir()
        lines = ns.output("showmount", "-e", "127.0.0.1").splitlines()[1:]
        assert [line.split() for line in lines] == [
            [str(place / "export"), "(everyone)"], ["/other", "(everyone)"]
        ]  # fmt: skip
        assert ns.output("showmount", "-a", "--no-headers", "127.0.0.1") == ""
        sub = f"{place}/export/sub"
        mount(ns, "/other")
        mount(ns, sub)
        mount(ns, "/other")
        listed = set(ns.output("showmount", "-a", "--no-headers", "127.0.0.1").split())
        assert listed == {"127.0.0.1:/other", f"127.0.0.1:{sub}"}
        listed = set(ns.output("showmount", "-d", "--no-headers", "127.0.0.1").split())
        assert listed == {"/other", sub}
        assert server.stop() == 0


def test_peer_rpcinfo(ns: Namespace, place: Path) -> None:
    """-p, -s, -T over every transport; what is not there is said at once."""
    with nfsloop(*args(place, "builtin"), prefix=ns.prefix) as server:
        assert "mount -t nfs" in server.ready()
        table = mapped(ns)
        for program, version in OURS:
            for proto in ("tcp", "udp"):
                assert (program, version, proto, "2049") in table
        assert {row[3] for row in table if row[0] == "100000"} == {"111"}
        short = ns.output("rpcinfo", "-s", "127.0.0.1")
        for program in (NFS, MOUNT, NLM, "100000"):
            assert re.search(rf"^\s*{program}\s", short, re.MULTILINE), short
        for netid, host in (("tcp", "127.0.0.1"), ("udp", "127.0.0.1"), ("tcp6", "::1"),
                            ("udp6", "::1")):  # fmt: skip
            for program, version in (*sorted(OURS), ("100000", "2"), ("100000", "4")):
                if (program, version) == ("100000", "2") and netid.endswith("6"):
                    continue
                said = ns.output("rpcinfo", "-T", netid, host, program, version)
                assert "ready and waiting" in said
        start = time.monotonic()
        for program, version in ((NFS, "4"), ("100099", "1"), (MOUNT, "2")):
            absent = ns.run("rpcinfo", "-T", "tcp", "127.0.0.1", program, version)
            assert absent.returncode != 0
        assert ns.run("rpcinfo", "-t", "127.0.0.1", NFS, "4").returncode != 0
        assert ns.run("rpcinfo", "-u", "127.0.0.1", NFS, "3").returncode == 0
        assert time.monotonic() - start < 5
        assert server.stop() == 0
    assert ns.run("rpcinfo", "-p", "127.0.0.1").returncode != 0


def rpcbind_runs(ns: Namespace) -> bool:
    return ns.run("rpcinfo", "-p", "127.0.0.1").returncode == 0


def registered(ns: Namespace) -> set[tuple[str, str]]:
    return {(program, version) for program, version, *_ in mapped(ns)} & OURS


def test_peer_system_rpcbind(ns: Namespace, place: Path) -> None:
    """Registrations appear beside it and vanish after SIGTERM; a new start replaces lost ones."""
    need("rpcbind")
    with ns.background("rpcbind", "-f", "-w"):
        assert eventually(lambda: rpcbind_runs(ns))
        others = mapped(ns)
        with nfsloop(*args(place, "system"), prefix=ns.prefix) as server:
            assert "port=" not in server.ready()
            assert registered(ns) == OURS
            assert {row[3] for row in mapped(ns) - others} == {"2049"}
            assert ns.output("showmount", "-e", "127.0.0.1").splitlines()[1].startswith("/ ")
            for netid, host in (("tcp", "127.0.0.1"), ("udp6", "::1")):
                assert "ready" in ns.output("rpcinfo", "-T", netid, host, NFS, "3")
            assert server.stop(signal.SIGTERM) == 0
        assert mapped(ns) == others
        with nfsloop(*args(place, "auto"), prefix=ns.prefix) as server:
            server.ready()
            assert registered(ns) == OURS
            server.stop(signal.SIGKILL)
        assert registered(ns) == OURS  # nobody was there to take them back
        with nfsloop(*args(place, "auto"), prefix=ns.prefix) as server:
            server.ready()
            assert "ready" in ns.output("rpcinfo", "-T", "tcp", "127.0.0.1", NFS, "3")
            assert server.stop(signal.SIGINT) == 0
        assert mapped(ns) == others


def test_peer_rpcbind_modes_where_they_cannot_be(ns: Namespace, place: Path) -> None:
    """No system rpcbind, no builtin one beside it: refused in one line; "auto" finds a way."""
    need("rpcbind")

    def refused(mode: str) -> str:
        command = args(place, mode, "--log-level", "warning")
        with nfsloop(*command, prefix=ns.prefix) as server:
            assert server.wait() != 0
            errors = server.stderr()
            assert "Traceback" not in errors and errors.count("\n") == 1
            return errors

    assert "rpcbind" in refused("system")
    with nfsloop(*args(place, "auto"), prefix=ns.prefix) as server:
        server.ready()
        assert registered(ns) == OURS
        assert server.stop() == 0
    with ns.background("rpcbind", "-f", "-w"):
        assert eventually(lambda: rpcbind_runs(ns))
        assert "111" in refused("builtin")
        assert registered(ns) == set()
        with nfsloop(*args(place, "none"), prefix=ns.prefix) as server:
            assert "mountport=2049" in server.ready()
            assert registered(ns) == set()
            assert server.stop() == 0


def test_peer_two_servers_with_one_system_rpcbind(ns: Namespace, place: Path) -> None:
    """The second on another port takes nothing from the first when it ends."""
    need("rpcbind")
    with ns.background("rpcbind", "-f", "-w"):
        assert eventually(lambda: rpcbind_runs(ns))
        first: Process
        with nfsloop(*args(place, "system"), prefix=ns.prefix) as first:
            first.ready()
            before = mapped(ns)
            other = ["--port", "2050", "--state", str(place / "other")]
            with nfsloop(*args(place, "none", *other), prefix=ns.prefix) as second:
                second.ready()
                assert second.stop() == 0
            assert mapped(ns) == before
            assert first.stop() == 0
