"""`--rpcbind port`: one open port tells what is behind it, with no privilege."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from nfs_process import nfsloop

from portmap import client

PROGRAMS = {(100000, 2), (100000, 3), (100000, 4), (100003, 3), (100005, 1), (100005, 3),
            (100021, 4)}  # fmt: skip


def args(state: Path, mode: str) -> list[str]:
    return ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", mode,
            "--state", str(state), "memory:"]  # fmt: skip


def test_the_port_of_nfs_answers_for_the_portmapper(tmp_path: Path) -> None:
    with nfsloop(*args(tmp_path / "state", "port")) as server:
        port = server.port
        assert f"port={port},mountport={port}" in server.banner
        assert "portmapper on the same port alone" in server.banner
        there = asyncio.run(client.dump("127.0.0.1", port=port))
        assert {(entry.program, entry.version) for entry in there} == PROGRAMS
        assert {entry.address[1] for entry in there} == {port}
        for transport in ("tcp", "udp"):
            found = client.getport("127.0.0.1", 100003, 3, transport, port=port)
            assert asyncio.run(found) == port
        if shutil.which("rpcinfo"):
            argv = ["rpcinfo", "-a", f"127.0.0.1.{port >> 8}.{port & 255}", "-T", "tcp", "100000"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
            assert "ready and waiting" in done.stdout, done


def test_none_means_none(tmp_path: Path) -> None:
    with nfsloop(*args(tmp_path / "state", "none")) as server:
        with pytest.raises(client.NoPortmapper):
            asyncio.run(client.dump("127.0.0.1", port=server.port))


def test_workers_do_not_answer_for_it(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    argv = [*args(tmp_path / "state", "port")[:-1], "--workers", "2", str(tmp_path / "tree")]
    with nfsloop(*argv) as server:
        assert server.wait() == 1
        assert "--rpcbind port is for one process" in server.stderr()
