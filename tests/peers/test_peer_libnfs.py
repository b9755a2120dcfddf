"""libnfs, a client that shares no line with the kernel's: its tools, and a program against it."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import REPO, Process, directory_of, interpreter, nfsloop

from .peer_ns import Namespace, missing, namespace, need

pytestmark = pytest.mark.peer

HERE = Path(__file__).parent


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("unshare", "nsenter", "ip", "nfs-ls", "nfs-cp", "nfs-cat")
    with namespace() as made:
        yield made


def args(place: Path, *rest: str) -> list[str]:
    return ["serve", "--state", str(place / "state"), "-o", "no_root_squash", *rest]


def fill(place: Path) -> dict[str, bytes]:
    """Files of all sizes, beside what is served."""
    contents = {
        "empty": b"",
        "small": b"hello\n",
        "page": os.urandom(4096),
        "odd": os.urandom(70_001),
        "large": os.urandom(5 << 20),
        "with space": b"x",
    }
    (place / "source").mkdir()
    for name, data in contents.items():
        (place / "source" / name).write_bytes(data)
    return contents


def ports(server: Process) -> str:
    return f"?nfsport={server.port}&mountport={server.port}"


@pytest.mark.parametrize("storage", ["posix", "memory"])
@pytest.mark.parametrize("find", ["explicit ports", "portmapper"])
def test_peer_libnfs_tools(ns: Namespace, place: Path, storage: str, find: str) -> None:
    """Copy in, list, read, copy out; everything compares equal."""
    contents = fill(place)
    export = str(place / "export") if storage == "posix" else "/mem=memory:"
    path = str(place / "export") if storage == "posix" else "/mem"
    explicit = find == "explicit ports"
    where = ["--port", "0", "--rpcbind", "none"] if explicit else ["--rpcbind", "builtin"]
    with nfsloop(*args(place, *where, export), prefix=ns.prefix) as server:
        server.ready()
        query = ports(server) if explicit else ""
        base = f"nfs://127.0.0.1{path}"
        (place / "back").mkdir()
        for name, data in contents.items():
            local = place / "source" / name
            ns.output("nfs-cp", str(local), f"{base}/{name}{query}")
            ns.output("nfs-cp", f"{base}/{name}{query}", str(place / "back" / name))
            assert filecmp.cmp(local, place / "back" / name, shallow=False), name
            if storage == "posix":
                assert filecmp.cmp(local, place / "export" / name, shallow=False), name
            if name in ("small", "empty"):
                assert ns.output("nfs-cat", f"{base}/{name}{query}").encode() == data
        listed = ns.output("nfs-ls", f"{base}{query}").splitlines()
        sizes = {line.split(None, 5)[5]: int(line.split()[4]) for line in listed}
        assert sizes == {name: len(data) for name, data in contents.items()}
        assert ns.run("nfs-cat", f"{base}/none{query}").returncode != 0
        assert ns.run("nfs-ls", f"nfs://127.0.0.1/none{query}").returncode != 0
        assert server.stop() == 0
        assert "ERROR" not in server.stderr()


def test_peer_libnfs_lists_a_large_tree(ns: Namespace, place: Path) -> None:
    """nfs-ls -R: 3000 names in three directories, by READDIRPLUS."""
    for sub in ("a", "b", "b/c"):
        (place / "export" / sub).mkdir()
        for number in range(1000):
            (place / "export" / sub / f"file-{number:05}").touch()
    with nfsloop(*args(place, "--rpcbind", "builtin", str(place / "export")),
                 prefix=ns.prefix) as server:  # fmt: skip
        server.ready()
        listed = ns.output("nfs-ls", "-R", f"nfs://127.0.0.1{place}/export").splitlines()
        assert len(listed) == 3003
        assert len({line.split()[5] for line in listed}) >= 1003
        assert server.stop() == 0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program against libnfs, compiled."""
    need("cc")
    binary = tmp_path_factory.mktemp("libnfs") / "libnfs_calls"
    done = subprocess.run(
        ["cc", "-Wall", "-o", str(binary), str(HERE / "libnfs_calls.c"), "-lnfs"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        missing(f"package libnfs-dev: {done.stderr.splitlines()[0]}")
    return binary


@pytest.mark.parametrize("storage", ["posix", "memory"])
def test_peer_a_program_against_libnfs(
    ns: Namespace, place: Path, program: Path, storage: str
) -> None:
    """Some thirty calls of its API, each result checked by the program."""
    export = str(place / "export") if storage == "posix" else "/mem=memory:"
    path = str(place / "export") if storage == "posix" else "/mem"
    with nfsloop(*args(place, "--rpcbind", "builtin", export), prefix=ns.prefix) as server:
        server.ready()
        done = ns.run(str(program), f"nfs://127.0.0.1{path}", timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "all is well"
        assert server.stop() == 0
        assert "ERROR" not in server.stderr()


def test_peer_tshark_finds_no_malformed_packet(ns: Namespace, place: Path, program: Path) -> None:
    """A capture of libnfs and of the project's own client, over TCP and UDP, by other eyes."""
    need("dumpcap", "tshark")
    capture = place / "capture.pcap"
    with (
        # The last -o counts: over UDP, only `insecure` lets a local client use any port.
        nfsloop(*args(place, "-o", "no_root_squash,insecure", "--rpcbind", "builtin",
                      str(place / "export")), prefix=ns.prefix) as server,
        ns.background("dumpcap", "-i", "lo", "-q", "-B", "64", "-P", "-w", str(capture)) as cap,
    ):  # fmt: skip
        server.ready()
        assert cap.stderr is not None
        while "File:" not in cap.stderr.readline():
            assert cap.poll() is None
        assert ns.run(str(program), f"nfs://127.0.0.1{place}/export", timeout=60).returncode == 0
        shutil.rmtree(place / "export" / "dir", ignore_errors=True)
        for transport in ("tcp", "udp"):
            for left in (place / "export").iterdir():
                left.unlink()
            ns.output(
                "env", f"PYTHONPATH={REPO}", interpreter(), str(HERE / "own_client.py"), transport,
                "127.0.0.1", "2049", str(place / "export"),
            )  # fmt: skip
        ns.output("showmount", "-e", "127.0.0.1")
        ns.output("rpcinfo", "-p", "127.0.0.1")
        assert server.stop() == 0
        settle(capture)
    check_capture(capture)


def settle(capture: Path) -> None:
    """Wait until dumpcap has caught up: it leaves behind what it has not read when it is ended."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 1.5:
        if capture.stat().st_size != size:
            size, since = capture.stat().st_size, time.monotonic()
        time.sleep(0.05)


def check_capture(capture: Path) -> None:
    """Every call decoded, nothing malformed, every call of every program answered."""
    # A client's reserved port may be another protocol's by its number: say that it is RPC.
    ports = [
        f"{transport}.port=={port},rpc" for transport in ("tcp", "udp") for port in (2049, 111)
    ]
    decode = [word for port in ports for word in ("-d", port)]

    def tshark(*command: str) -> list[str]:
        done = subprocess.run(
            ["tshark", "-r", str(capture), "-o", "tcp.desegment_tcp_streams:TRUE",
             "-o", "tcp.reassemble_out_of_order:TRUE",
             "-o", "rpc.desegment_rpc_over_tcp:TRUE", "-o", "rpc.defragment_rpc_over_tcp:TRUE",
             *decode, *command],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    bad = tshark("-Y", "_ws.malformed or _ws.short or rpc.fraglen > 2000000")
    assert not bad, bad[:5]
    calls = tshark("-Y", "rpc.msgtyp == 0", "-T", "fields", "-e", "rpc.xid", "-E", "occurrence=a")
    replies = tshark("-Y", "rpc.msgtyp == 1", "-T", "fields", "-e", "rpc.xid", "-E", "occurrence=a")
    asked = [xid for line in calls for xid in line.split(",")]
    answered = [xid for line in replies for xid in line.split(",")]
    assert len(asked) > 500 and sorted(asked) == sorted(answered)
    names = tshark("-Y", "nfs", "-T", "fields", "-e", "nfs.procedure_v3", "-E", "occurrence=a")
    procedures = {int(number) for line in names for number in line.split(",") if number}
    assert procedures == set(range(22))
    for protocol in ("mount", "portmap", "nlm"):
        assert tshark("-Y", protocol), protocol
