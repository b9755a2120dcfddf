#!/usr/bin/env python3
"""Kill a server again and again under a load of calls that are not idempotent, and see that each is
executed exactly once: ``python3 tests/crash/kills.py [--kills N] [--seed S]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from crash_load import Violation, Worker

from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from nfsloop.nfs3.nfs3_xdr import NFS_V3_Client
from oncrpc.client import Retry, RpcClient, connect
from oncrpc.errors import RpcError
from oncrpc.message import AUTH_SYS, Credential

HERE = Path(__file__).resolve().parent
WORKERS = 8
#: A server that is not up by then never will be.
START_SECONDS = 30.0
#: How long a server lives after its first answer, at most; and of those killed as they start.
LIFE_SECONDS = 0.03
START_KILL_SECONDS = 0.05
EARLY = 0.2
RETRY = Retry(pause=0.003, longest_pause=0.02, give_up=START_SECONDS)


@dataclass
class Outcome:
    """What a run came to."""

    kills: int = 0
    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    retransmissions: int = 0
    reconnections: int = 0
    violations: list[str] = field(default_factory=list)
    log: str = ""

    def __str__(self) -> str:
        lines = [
            f"{self.kills} kills in {self.seconds:.1f} s, {sum(self.calls.values())} calls, "
            f"{self.retransmissions} sent again over {self.reconnections} new connections",
            ", ".join(f"{name}: {count}" for name, count in sorted(self.calls.items())),
            *self.violations,
            f"{len(self.violations)} violations",
        ]
        return "\n".join(lines)


class Nursery:
    """The process that starts, kills and stops servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, word: str) -> str:
        """Say a word; the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(word.encode() + b"\n")
        line = await stdout.readline()
        if not line:
            raise RuntimeError("the nursery has died")
        return line.decode().strip()


@asynccontextmanager
async def nursery(folder: Path, port: int, plant: str, bare: bool) -> AsyncIterator[Nursery]:
    """A nursery for servers of ``folder/export`` on `port`; `bare`: without any privilege."""
    options = "rw,no_root_squash"
    # Root without a capability is an ordinary user, that may read this checkout.
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if bare else []
    argv += [sys.executable, str(HERE / "crash_nursery.py"), plant, "serve", "-o", options]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--rpcbind", "none", "--no-udp"]
    argv += ["--state", str(folder / "state"), "--log-level", "warning", str(folder / "export")]
    with open(folder / "log", "ab") as log:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=log)
    try:
        yield Nursery(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def killing(
    nurse: Nursery, client: RpcClient, kills: int, rng: random.Random, outcome: Outcome
) -> None:
    """Kill and start, `kills` times; the last server lives."""
    for _ in range(kills):
        if rng.random() < EARLY:
            await asyncio.sleep(rng.uniform(0, START_KILL_SECONDS))
        else:
            await answered(client)
            await asyncio.sleep(rng.uniform(0, LIFE_SECONDS))
        await nurse.tell("kill")
        outcome.kills += 1
        await nurse.tell("start")


async def answered(client: RpcClient) -> None:
    """Wait until the server of now answers."""
    before, ends = client.statistics.replies, time.monotonic() + START_SECONDS
    while client.statistics.replies == before:
        if time.monotonic() > ends:
            raise RuntimeError("the server does not come up")
        await asyncio.sleep(0.001)


async def crash(
    folder: Path,
    kills: int,
    seed: int,
    plant: str = "",
    workers: int = WORKERS,
    bare: bool = False,
) -> Outcome:
    """A whole run in an empty `folder`."""
    outcome, port = Outcome(), free_port()
    (folder / "export").mkdir(parents=True)
    began = time.monotonic()
    async with nursery(folder, port, plant, bare) as nurse:
        await nurse.tell("start")
        client = await first_connection(port)
        try:
            everybody = [
                Worker(f"w{n}", NFS_V3_Client(client), f"{seed} {n}") for n in range(workers)
            ]
            await load(folder, nurse, client, everybody, (kills, seed), outcome)
        finally:
            client.close()
        status = await nurse.tell("stop")
        if status != "0":
            outcome.violations.append(f"the last server ended with status {status}")
    outcome.seconds = time.monotonic() - began
    outcome.log = (folder / "log").read_text(errors="replace")
    outcome.violations += [line for line in outcome.log.splitlines() if " ERROR " in line][:10]
    return outcome


async def load(
    folder: Path,
    nurse: Nursery,
    client: RpcClient,
    everybody: list[Worker],
    plan: tuple[int, int],
    outcome: Outcome,
) -> None:
    """The workers at work while the server is killed; then what is left is compared."""
    kills, seed = plan
    export = folder / "export"
    root = (await MOUNT_V3_Client(client).MNT(os.fsencode(export))).mountinfo.fhandle
    for worker in everybody:
        await worker.begin(bytes(root))
    killer = asyncio.create_task(
        killing(nurse, client, kills, random.Random(f"kills {seed}"), outcome)
    )
    tasks = {
        asyncio.create_task(worker.run(lambda: not killer.done())): worker for worker in everybody
    }
    done, _ = await asyncio.wait([killer, *tasks], return_when=asyncio.FIRST_EXCEPTION)
    if killer not in done:
        killer.cancel()  # a violation ends the run
    await asyncio.wait([killer, *tasks])
    for task, worker in tasks.items():
        outcome.calls += Counter(worker.calls)
        failure = task.exception()
        if failure is None:
            outcome.violations += worker.compare(export)
        elif isinstance(failure, (Violation, RpcError)):
            outcome.violations.append(f"{failure!r} after {outcome.kills} kills")
        else:
            raise failure
    if not killer.cancelled() and killer.exception() is not None:
        outcome.violations.append(repr(killer.exception()))
    outcome.retransmissions = client.statistics.retransmissions
    outcome.reconnections = client.statistics.reconnections


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def first_connection(port: int) -> RpcClient:
    """To the first server, as soon as it listens."""
    who = Credential(AUTH_SYS, os.geteuid(), os.getegid(), (), b"crash")
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            return await connect("tcp", "127.0.0.1", port, who, retry=RETRY)
        except ConnectionError:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.01)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=WORKERS, help="calls in flight")
    parser.add_argument("--plant", default="", help="a fault: no-cache, no-intents, no-restore")
    parser.add_argument(
        "--bare", action="store_true", help="a server without privilege: handles by its index"
    )
    parser.add_argument("--directory", type=Path, help="where; default: memory, if there is any")
    args = parser.parse_args(argv)
    shm = Path("/dev/shm")
    base = args.directory or (shm if os.access(shm, os.W_OK) else None)
    folder = Path(tempfile.mkdtemp(prefix="nfsloop-crash-", dir=base))
    print(f"seed {args.seed}, in {folder}", flush=True)
    # It warns of a connection's end that the client does not know of yet.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    outcome = asyncio.run(crash(folder, args.kills, args.seed, args.plant, args.workers, args.bare))
    print(outcome)
    if outcome.violations:
        print(f"the tree, the state and the log are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
