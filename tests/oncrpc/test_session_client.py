"""Sessions from end to end: the unchanged client and server on a network that fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from echo import ECHO_V2, PROCS, Echo

from oncrpc.call import LATER, Call
from oncrpc.client import Retry, RpcClient, connect
from oncrpc.errors import (
    AtMostOnceFailure,
    AuthError,
    BadArguments,
    ConnectionRefused,
    ProgUnavail,
    RpcTimeout,
    ServerRestarted,
    Unanswered,
)
from oncrpc.retry import Statistics
from oncrpc.server import RpcServer
from oncrpc.session import Sessions
from oncrpc.session_client import SessionClient
from oncrpc.session_xdr import SESSION_V1_Client
from oncrpc.testing import Faults, Host, Network, Pipe, simulate

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
PORT = 2049
#: Often, so that messages are late and twice, and long.
STUBBORN = Retry(intervals=(0.05,) * 200, overdue=0.5, pause=0.01, longest_pause=0.1)
NOISE = Faults(delay_seconds=(0.001, 0.02), lose=0.3, duplicate=0.3, reorder=0.3, split=0.3)


class Tally(Echo):
    """Counts how often each call is executed, by its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.executed: Counter[bytes] = Counter()
        self.held: dict[bytes, Call] = {}

    async def ECHO(self, call: Call, args: Any) -> Any:
        self.executed[bytes(args)] += 1
        return args

    async def CALL_BACK(self, call: Call, args: Any) -> Any:
        self.executed[bytes(args)] += 1
        self.held[bytes(args)] = call
        return LATER

    async def SLEEP(self, call: Call, args: Any) -> Any:
        self.executed[bytes(args)] += 1
        data = call.take(args)
        await asyncio.sleep(0.1)
        return data


class World:
    """A server and a client on the network."""

    def __init__(self, net: Network, **options: Any) -> None:
        self.net = net
        self.host: Host = net.host(SERVER)
        self.options = options
        self.starts = 0
        self.start()

    def start(self) -> None:
        """The server starts, for the first time or again."""
        self.starts += 1
        self.tally = Tally()
        self.sessions = Sessions(start=self.starts.to_bytes(8), **self.options)
        self.host.run(self._start)

    def _start(self) -> None:
        server = RpcServer()
        server.add(ECHO_V2, self.tally, sessions=self.sessions)
        server.listen_on([self.host.listen("tcp", PORT), self.host.listen("udp", PORT)])

    async def client(self, transport: str, retry: Retry = STUBBORN, seed: int = 0) -> RpcClient:
        return await connect(transport, SERVER, PORT, retry=retry, xid_source=random.Random(seed))


async def ask(
    rpc: RpcClient, data: bytes, name: str = "ECHO", timeout: float | None = 1000.0
) -> bytes:
    return bytes(await rpc.session.call(ECHO_V2, PROCS[name], data, timeout))


def play(main: Any, seed: int = 0, faults: Faults | None = None, **options: Any) -> None:
    """Run ``main(world)`` as the client's program."""

    async def world(net: Network) -> None:
        await net.host(CLIENT).task(main(World(net, **options)))

    simulate(world, seed, faults or Faults(delay_seconds=(0.001, 0.001)))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("seed", range(10))
def test_every_call_is_executed_exactly_once_if_all_are_answered(transport: str, seed: int) -> None:
    async def main(w: World) -> None:
        rpc = await w.client(transport, seed=seed)
        names = ["ECHO", "SLEEP"]
        data = [b"%d" % n for n in range(100)]
        answers = await asyncio.gather(*(ask(rpc, d, names[len(d) % 2]) for d in data))
        assert answers == data
        assert w.tally.executed == Counter(data)
        assert rpc.session.binds == 1
        if transport == "udp":
            count = w.sessions.statistics
            assert count.done and count.in_progress, count
        await ask(rpc, b"last")
        await asyncio.sleep(1)
        assert await ask(rpc, b"last but one") and w.sessions.bytes < 100
        rpc.close()

    play(main, seed, NOISE if transport == "udp" else Faults((0.001, 0.02), split=0.3, cut=0.1))


def test_without_sessions_the_same_is_executed_twice() -> None:
    async def main(w: World) -> None:
        w.sessions.required = False
        rpc = await w.client("udp")
        data = [b"%d" % n for n in range(100)]
        await asyncio.gather(*(rpc.call(ECHO_V2, PROCS["ECHO"], d, 1000.0) for d in data))
        assert max(w.tally.executed.values()) > 1

    play(main, 0, NOISE)


class Careless:
    """What a `SessionClient` needs, but it says that everything was sent once."""

    reliable = True

    def __init__(self, rpc: RpcClient) -> None:
        self.credential = rpc.credential
        self.statistics = Statistics()
        self.call = rpc.call


def crashes(transport: str, seed: int, careless: bool = False) -> None:
    """A server that crashes again and again: an answered call was executed once, in one of its
    lives, and another one once or not at all."""

    async def main(w: World) -> None:
        rpc = await w.client(transport, seed=seed)
        caller = SessionClient(Careless(rpc) if careless else rpc)
        executed: Counter[bytes] = Counter()
        answered, failed = set(), set()

        async def program(number: int) -> None:
            for n in range(30):
                data = b"%d %d" % (number, n)
                try:
                    await caller.call(ECHO_V2, PROCS["SLEEP" if n % 3 else "ECHO"], data)
                except (ServerRestarted, ConnectionRefused, AuthError) as exc:
                    assert careless or not isinstance(exc, AuthError)
                    failed.add(data)
                else:
                    answered.add(data)

        programs = [asyncio.ensure_future(program(number)) for number in range(5)]
        rng = random.Random(seed)
        for _ in range(8):
            await asyncio.sleep(rng.uniform(0.1, 1.0))
            w.host.crash(silent=rng.random() < 0.5)
            executed += w.tally.executed
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            w.start()
        await asyncio.gather(*programs)
        await asyncio.sleep(1.0)
        executed += w.tally.executed
        assert max(executed.values()) == 1
        assert answered <= set(executed) <= answered | failed
        assert len(answered) > 30 and failed

    faults = NOISE if transport == "udp" else Faults((0.001, 0.02), split=0.3, cut=0.05)
    play(main, seed, faults)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_at_most_once_through_crashes(transport: str) -> None:
    for seed in range(20):
        crashes(transport, seed)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_who_binds_again_without_care_is_found(transport: str) -> None:
    with pytest.raises(AssertionError):
        for seed in range(20):
            crashes(transport, seed, careless=True)


def test_an_idle_client_binds_again_by_itself_over_tcp() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        assert await ask(rpc, b"one") == b"one"
        w.host.crash()
        w.start()
        await asyncio.sleep(1)
        assert await ask(rpc, b"two") == b"two"
        assert w.tally.executed == Counter([b"two"])
        assert rpc.session.binds == 2

    play(main)


def test_a_call_that_may_have_been_executed_before_the_restart_is_not_executed_again() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        waits = asyncio.ensure_future(ask(rpc, b"one", "CALL_BACK"))
        await asyncio.sleep(0.2)
        assert w.tally.executed == Counter([b"one"])
        w.host.crash()
        w.start()
        with pytest.raises(ServerRestarted):
            await waits
        assert not w.tally.executed
        assert await ask(rpc, b"two") == b"two"
        assert rpc.session.binds == 2

    play(main)


def test_over_udp_nobody_knows_whether_a_datagram_arrived_twice() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("udp")
        assert await ask(rpc, b"one") == b"one"
        w.host.crash()
        w.start()
        with pytest.raises(ServerRestarted):
            await ask(rpc, b"two")
        assert not w.tally.executed
        assert await ask(rpc, b"three") == b"three"

    play(main)


def test_a_forgotten_session_is_no_restart() -> None:
    async def main(w: World) -> None:
        tcp, udp, other = [await w.client(t, seed=n) for n, t in enumerate(("tcp", "udp", "tcp"))]
        for rpc in (tcp, udp):
            await ask(rpc, b"one")
            await ask(other, b"x")
        assert len(w.sessions) == 1
        assert await ask(tcp, b"two") == b"two"  # sent once: bound again
        with pytest.raises(AtMostOnceFailure):
            await ask(udp, b"three")
        assert await ask(udp, b"four") == b"four"
        assert b"three" not in w.tally.executed

    play(main, most=1)


def test_a_call_given_up_is_void_once_a_later_one_has_arrived() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("udp", Retry(intervals=(100.0,)))
        await ask(rpc, b"first")
        w.net.faults = Faults(delay_seconds=(5.0, 5.0))
        with pytest.raises(RpcTimeout):
            await ask(rpc, b"late", timeout=1.0)
        task = asyncio.ensure_future(ask(rpc, b"late too"))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        w.net.faults = Faults()
        await ask(rpc, b"after")
        await asyncio.sleep(100.0)
        assert w.tally.executed == Counter([b"first", b"after"])
        assert w.sessions.statistics.forgotten == 2

    play(main)


def test_many_at_once_bind_once() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        first = asyncio.ensure_future(ask(rpc, b"0"))
        others = [asyncio.ensure_future(ask(rpc, b"%d" % n)) for n in range(1, 10)]
        await asyncio.sleep(0)
        first.cancel()  # who began it is gone, and the others have use for it
        assert await asyncio.gather(*others) == [b"%d" % n for n in range(1, 10)]
        assert (rpc.session.binds, w.sessions.statistics.bound) == (1, 1)

    play(main)


def test_calls_that_wait_long_hold_up_no_other_until_the_window_is_full() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp", Retry(overdue=None))
        waits = [asyncio.ensure_future(ask(rpc, b"w%d" % n, "CALL_BACK")) for n in range(32)]
        for n in range(1000):
            await ask(rpc, b"%d" % n)
        assert w.sessions.bytes < 3000
        assert w.sessions.statistics.let_go == 0
        # One more is one too many: others stop at the window, and go on when it is over.
        waits.append(asyncio.ensure_future(ask(rpc, b"w32", "CALL_BACK")))
        with pytest.raises(RpcTimeout) as error:
            for n in range(1000):
                await ask(rpc, b"x%d" % n, timeout=5.0)
        assert error.value.unsent
        assert 256 <= sum(key.startswith(b"x") for key in w.tally.executed) < 300
        w.tally.held[b"w32"].reply(b"w32")
        assert await ask(rpc, b"again", timeout=5.0) == b"again"
        for n in range(32):
            w.tally.held[b"w%d" % n].reply(b"w%d" % n)
        assert await asyncio.gather(*waits) == [b"w%d" % n for n in range(33)]
        assert max(w.tally.executed.values()) == 1

    play(main)


def test_a_server_without_sessions() -> None:
    async def main(net: Network) -> None:
        host = net.host(SERVER)

        def start() -> None:
            server = RpcServer()
            server.add(ECHO_V2, Tally())
            server.listen_on([host.listen("tcp", PORT)])

        host.run(start)

        async def program() -> None:
            rpc = await connect("tcp", SERVER, PORT)
            for _ in range(2):
                with pytest.raises(ProgUnavail, match="SESSION_PROGRAM version 1, BIND"):
                    await ask(rpc, b"one")

        await net.host(CLIENT).task(program())

    simulate(main)


def test_a_program_without_sessions_beside_one_that_has_them() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        other = ECHO_V2.__class__("OTHER", 0x20000009, 1, ECHO_V2.procs)
        server = RpcServer()
        server.add(other, Tally())
        server.add(ECHO_V2, Tally(), sessions=w.sessions)
        w.host.run(lambda: server.listen_on([w.host.listen("tcp", PORT + 1)]))
        rpc = await connect("tcp", SERVER, PORT + 1)
        with pytest.raises(AuthError, match="REJECTEDCRED"):
            await rpc.session.call(other, PROCS["ECHO"], b"one")

    play(main)


def test_errors_that_are_no_matter_of_sessions_pass_and_their_numbers_are_over() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        with pytest.raises(BadArguments):
            await rpc.session.call(ECHO_V2, PROCS["ECHO"], 17)
        with pytest.raises(AuthError, match="TOOWEAK"):
            await ask(rpc, b"", "REFUSE")
        await ask(rpc, b"one")
        await ask(rpc, b"two")
        assert w.sessions.bytes < 50
        assert rpc.session.binds == 1

    play(main)


def test_nobody_there_to_bind_with_in_the_time_of_the_call() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("udp")
        w.net.faults = Faults(lose=1.0)
        with pytest.raises(RpcTimeout) as error:
            await ask(rpc, b"one", timeout=1.0)
        assert error.value.unsent
        w.net.faults = Faults()
        assert await ask(rpc, b"two", timeout=1.0) == b"two"
        w.host.crash()
        late = await w.client("udp", Retry(intervals=(0.1,)), seed=1)
        with pytest.raises(Unanswered) as unanswered:
            await ask(late, b"three")
        assert unanswered.value.unsent

    play(main)


def test_the_option_of_the_generated_client() -> None:
    async def main(w: World) -> None:
        rpc = await w.client("tcp")
        plain, once = SESSION_V1_Client(rpc), SESSION_V1_Client(rpc, at_most_once=True)
        assert plain._caller is rpc
        assert once._caller is rpc.session

    play(main)
    with pytest.raises(TypeError, match="Pipe has no sessions"):
        SESSION_V1_Client(Pipe(RpcServer().dispatcher), at_most_once=True)
