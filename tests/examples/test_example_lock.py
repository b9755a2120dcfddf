"""The lock service: right over a network that fails because of its sessions, and runnable."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.lock import lock_xdr as x
from examples.lock.server import lock_server
from oncrpc.client import Retry, connect
from oncrpc.errors import RpcTimeout, ServerRestarted
from oncrpc.testing import Faults, Host, Network, simulate

ROOT = Path(__file__).resolve().parents[2]
SERVER = "10.0.0.1"
PORT = 7070
CLIENTS, ROUNDS = 4, 8
SEEDS = range(20)
NAME = b"the lock"
RETRY = Retry(intervals=(0.05,) * 10000, overdue=0.5, pause=0.01, longest_pause=0.1, give_up=None)
#: What the visits take is a tenth of it.
PATIENCE_SECONDS = 60.0
LINKS = {
    "udp": Faults(delay_seconds=(0.001, 0.05), lose=0.3, duplicate=0.3, reorder=0.3),
    "tcp": Faults(delay_seconds=(0.001, 0.05), split=0.3, cut=0.05, one_way=0.5),
}


def boot(host: Host, sessions: bool = True) -> None:
    def start() -> None:
        server = lock_server(sessions)
        server.listen_on([host.listen("tcp", PORT), host.listen("udp", PORT)])

    host.run(start)


class Violation(AssertionError):
    """Two clients hold one lock, one is told that it does not hold what it has, or it is lost."""


class Room:
    """What the lock protects: one may be inside."""

    def __init__(self) -> None:
        self.inside: int | None = None
        self.visits = 0

    async def visit(self, client: int, seconds: float = 0.02) -> None:
        if self.inside is not None:
            raise Violation(f"{client} meets {self.inside}")
        self.inside = client
        self.visits += 1
        await asyncio.sleep(seconds)
        self.inside = None


def history(transport: str, at_most_once: bool, seed: int) -> None:
    """Clients that acquire and release the lock in turn. Raises Violation."""

    async def visitor(number: int, room: Room) -> None:
        rpc = await connect(
            transport, SERVER, PORT, retry=RETRY, xid_source=random.Random(seed + number)
        )
        locks = x.LOCK_V1_Client(rpc, at_most_once=at_most_once)
        mine = x.lock_args(NAME, number)
        for _ in range(ROUNDS):
            if await locks.ACQUIRE(mine) != x.LOCK_OK:
                raise Violation("a wait that nobody gave up is given up")
            await room.visit(number)
            if await locks.RELEASE(mine) != x.LOCK_OK:
                raise Violation(f"{number} does not hold what it has acquired")
        rpc.close()

    async def main(net: Network) -> None:
        boot(net.host(SERVER), at_most_once)
        room = Room()
        tasks = [net.host(f"10.0.1.{n}").task(visitor(n, room)) for n in range(1, CLIENTS + 1)]
        done, pending = await asyncio.wait(
            tasks, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_EXCEPTION
        )
        for task in pending:
            task.cancel()
        for task in done:
            task.result()
        if pending:
            raise Violation("a lock that nobody has is not granted")
        await asyncio.sleep(1.0)  # for what is late on its way
        net.faults = Faults()
        rpc = await connect(transport, SERVER, PORT)
        look = x.LOCK_V1_Client(rpc, at_most_once=at_most_once)
        info = await look.STAT(x.lock_args(NAME, 0))
        visits = CLIENTS * ROUNDS
        if info != x.lock_info(visits, visits, 0, None) or room.visits != visits:
            raise Violation(f"{visits} visits, and {info}")

    simulate(main, seed, LINKS[transport])


@pytest.mark.parametrize("transport", LINKS)
def test_one_at_a_time_with_sessions(transport: str) -> None:
    for seed in SEEDS:
        history(transport, True, seed)


@pytest.mark.parametrize("transport", LINKS)
def test_without_sessions_it_fails(transport: str) -> None:
    violations = []
    for seed in SEEDS:
        try:
            history(transport, False, seed)
        except Violation as exc:
            violations.append(str(exc))
    assert len(violations) > len(SEEDS) / 2, violations


@pytest.mark.parametrize("at_most_once", [True, False])
def test_a_late_copy_of_a_release_frees_no_lock_acquired_since(at_most_once: bool) -> None:
    async def main(net: Network) -> None:
        boot(net.host(SERVER), at_most_once)
        room = Room()

        async def visitor(number: int, stays: float) -> None:
            rpc = await connect("udp", SERVER, PORT, retry=RETRY)
            locks = x.LOCK_V1_Client(rpc, at_most_once=at_most_once)
            mine = x.lock_args(NAME, number)
            await locks.ACQUIRE(mine)
            if number == 1:
                net.faults = Faults(duplicate=1.0, reorder_seconds=(5.0, 5.0))
                await locks.RELEASE(mine)
                net.faults = Faults()
                await locks.ACQUIRE(mine)
            await room.visit(number, stays)
            await locks.RELEASE(mine)

        first = net.host("10.0.1.1").task(visitor(1, 10.0))
        await asyncio.sleep(1.0)
        await asyncio.gather(first, net.host("10.0.1.2").task(visitor(2, 1.0)))

    if at_most_once:
        simulate(main)
    else:
        with pytest.raises(Violation, match="2 meets 1"):
            simulate(main)


def test_giving_up_a_wait() -> None:
    async def main(net: Network) -> None:
        boot(net.host(SERVER))

        async def program() -> None:
            rpc = await connect("udp", SERVER, PORT, retry=RETRY)
            locks = x.LOCK_V1_Client(rpc, at_most_once=True)
            one, two = x.lock_args(NAME, 1), x.lock_args(NAME, 2)
            await locks.ACQUIRE(one)
            with pytest.raises(RpcTimeout):
                await locks.ACQUIRE(two, timeout=1.0)
            # It never arrives; then it does after its client has given up.
            net.faults = Faults(delay_seconds=(5.0, 5.0))
            with pytest.raises(RpcTimeout):
                await locks.ACQUIRE(x.lock_args(NAME, 3), timeout=1.0)
            net.faults = Faults()
            assert await locks.RELEASE(two) == x.LOCK_OK
            assert await locks.RELEASE(two) == x.LOCK_NOT_HELD
            await asyncio.sleep(10.0)
            assert await locks.STAT(one) == x.lock_info(1, 0, 0, 1)
            waits = asyncio.ensure_future(locks.ACQUIRE(two))
            await asyncio.sleep(1.0)
            assert await locks.RELEASE(two) == x.LOCK_OK
            assert await waits == x.LOCK_GIVEN_UP
            assert await locks.RELEASE(one) == x.LOCK_OK

        await net.host("10.0.1.1").task(program())

    simulate(main)


def test_a_server_that_restarts_has_lost_the_locks_and_the_client_is_told() -> None:
    async def main(net: Network) -> None:
        host = net.host(SERVER)
        boot(host)

        async def program() -> None:
            rpc = await connect("tcp", SERVER, PORT, retry=RETRY)
            locks = x.LOCK_V1_Client(rpc, at_most_once=True)
            one, two = x.lock_args(NAME, 1), x.lock_args(NAME, 2)
            await locks.ACQUIRE(one)
            waits = asyncio.ensure_future(locks.ACQUIRE(two))
            await asyncio.sleep(0.1)
            host.crash()
            boot(host)
            with pytest.raises(ServerRestarted):
                await waits
            assert await locks.RELEASE(one) == x.LOCK_NOT_HELD

        await net.host("10.0.1.1").task(program())

    simulate(main)


def test_by_hand() -> None:
    """The commands of the README, with their output."""

    def client(*argv: str) -> str:
        command = [sys.executable, "-m", "examples.lock.client", "--port", port, "printer", *argv]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        ).stdout

    command = [sys.executable, "-m", "examples.lock.server", "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"locks on port (\d+)", line)
        assert found, line
        port = found[1]
        assert re.fullmatch(r"printer: acquired as 0x\w+\nprinter: released\n", client())
        assert "released" in client("--transport", "udp")
        assert client("--stat") == "printer: free, 0 waiting, acquired 2 times, released 2 times\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
