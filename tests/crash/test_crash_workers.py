"""SIGKILLs of workers under a load of calls that are not idempotent: each is executed once, and
the clients of the others are answered all the while."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_load import Worker
from kills import RETRY, first_connection, free_port

from nfsloop.control import ask
from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from nfsloop.nfs3.nfs3_xdr import NFS_V3_Client
from nfsloop.workers.steer import index_of
from oncrpc.client import RpcClient, connect

HOST = "127.0.0.1"
KILLS = 4
CLIENTS = 4
PROCESSES = 2

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some."""
    shm = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="nfsloop-crash-", dir=shm if shm.is_dir() else None)
    (Path(made) / "export").mkdir()
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    """Of a server with workers."""
    number = free_port()
    argv = [
        sys.executable, "-m", "nfsloop", "serve", "--host", HOST, "--port", str(number),
        "--rpcbind", "none", "--no-udp", "--state", str(folder / "state"),
        "--workers", str(PROCESSES), "-o", "no_root_squash", str(folder / "export"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield number
        server.terminate()
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


def port_to(index: int) -> int:
    """A port from which one gets to that worker."""
    while index_of(HOST, number := free_port(), PROCESSES) != index:
        pass
    return number


async def status(folder: Path) -> list[tuple[int, int, int]]:
    """Of each worker: its process, 0 while it starts, how often it was replaced, and its
    connections."""
    lines = await asyncio.to_thread(ask, folder / "state", "status")
    form = r"worker \d+: process (\d+) .* replaced (\d+) times: (\d*)"
    return [
        (int(m[1]), int(m[2]), int(m[3] or -1)) for m in map(re.compile(form).match, lines) if m
    ]


async def kill(folder: Path, clients: list[RpcClient], rng: random.Random) -> None:
    """Kill workers in turn, each in the midst of its calls; the others' clients go on."""
    for number in range(KILLS):
        index = number % PROCESSES
        before = [client.statistics.replies for client in clients]
        while not all(
            c.statistics.replies > was + 20 for c, was in zip(clients, before, strict=True)
        ):
            await asyncio.sleep(0.001)
        await asyncio.sleep(rng.uniform(0, 0.02))
        pid, replaced, _ = (await status(folder))[index]
        os.kill(pid, signal.SIGKILL)
        others = [client for at, client in enumerate(clients) if at % PROCESSES != index]
        before = [client.statistics.replies for client in others]
        while (found := (await status(folder))[index])[1] == replaced or found[2] < 0:
            await asyncio.sleep(0.01)
        assert all(c.statistics.replies > was for c, was in zip(others, before, strict=True))


def test_every_call_is_executed_once_though_workers_die(folder: Path, port: int) -> None:
    async def main() -> None:
        first = await first_connection(port)
        who = first.credential
        mounted = await MOUNT_V3_Client(first).MNT(os.fsencode(folder / "export"))
        first.close()
        clients = [
            await connect(
                "tcp", HOST, port, who, retry=RETRY, source=(HOST, port_to(number % PROCESSES))
            )
            for number in range(CLIENTS)
        ]
        root = bytes(mounted.mountinfo.fhandle)
        load = [
            Worker(f"w{number}", NFS_V3_Client(client), f"{number}")
            for number, client in enumerate(clients * 2)
        ]
        try:
            for one in load:
                await one.begin(root)
            async with asyncio.TaskGroup() as group:
                killer = group.create_task(kill(folder, clients, random.Random(1)))
                for one in load:
                    group.create_task(one.run(lambda: not killer.done()))
            for one in load:
                assert one.compare(folder / "export") == []
            assert sum(client.statistics.retransmissions for client in clients) > KILLS
        finally:
            for client in clients:
                client.close()

    asyncio.run(main())
    log = (folder / "log").read_text()
    assert log.count("died of SIGKILL") == KILLS
    assert "Traceback" not in log
