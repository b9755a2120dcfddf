"""The simulated network: the unchanged server and client on it, and each fault at its rate."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from echo import ECHO_V2, PROCS, Echo

from oncrpc.client import RpcClient, connect
from oncrpc.errors import RpcError
from oncrpc.server import RpcServer
from oncrpc.testing import Faults, Host, Network, SimSocket, simulate

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
PORT = 2049
NOISE = Faults(
    delay_seconds=(0.001, 0.02), lose=0.3, duplicate=0.3, reorder=0.3, split=0.5, partial=0.3
)


def boot(host: Host) -> Echo:
    """An echo server on `host`, in its present life."""
    echo = host.run(Echo)

    def start() -> None:
        server = RpcServer()
        server.add(ECHO_V2, echo)
        server.listen_on([host.listen("tcp", PORT), host.listen("udp", PORT)])

    host.run(start)
    return echo


async def ask(rpc: RpcClient, data: bytes, name: str = "ECHO", timeout: float = 5.0) -> bytes:
    return bytes(await rpc.call(ECHO_V2, PROCS[name], data, timeout))


# The runtime on it


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_the_server_and_the_client_run_unchanged(transport: str) -> None:
    async def main(net: Network) -> None:
        boot(net.host(SERVER))

        async def program() -> None:
            rpc = await connect(transport, SERVER, PORT)
            many = await asyncio.gather(*(ask(rpc, b"%d" % n * n) for n in range(100)))
            assert many == [b"%d" % n * n for n in range(100)]
            assert await ask(rpc, b"later", "CALL_BACK") == b"later"
            rpc.close()

        await net.host(CLIENT).task(program())

    simulate(main, faults=Faults(delay_seconds=(0.001, 0.01), split=0.5, partial=0.5))


def test_large_replies_meet_a_full_socket() -> None:
    async def main(net: Network) -> None:
        boot(net.host(SERVER))

        async def program() -> None:
            rpc = await connect("tcp", SERVER, PORT)
            big = await asyncio.gather(*(ask(rpc, b"1000000", "MANY") for _ in range(5)))
            assert big == [bytes(1000000)] * 5
            data = os.urandom(1000000)
            assert await ask(rpc, data) == data

        await net.host(CLIENT).task(program())

    simulate(main, faults=Faults(delay_seconds=(0.001, 0.002), split=0.3, partial=0.3))


@pytest.mark.parametrize("silent", [False, True])
def test_a_server_crashes_and_another_takes_its_port(silent: bool) -> None:
    async def main(net: Network) -> None:
        host = net.host(SERVER)
        old = boot(host)

        async def program() -> None:
            rpc = await connect("tcp", SERVER, PORT)
            assert await ask(rpc, b"one") == b"one"
            waits = asyncio.ensure_future(ask(rpc, b"never", "SLEEP", 1.0))
            await asyncio.sleep(0.5)
            assert old.waiting == 1
            host.crash(silent)
            old.gate.set()
            new = boot(host)
            with pytest.raises(RpcError):
                await waits
            again = await connect("tcp", SERVER, PORT)
            assert await ask(again, b"two") == b"two"
            assert (old.calls, new.calls, old.waiting) == (1, 1, 1)

        await net.host(CLIENT).task(program())

    simulate(main)


def test_nobody_listens() -> None:
    async def main(net: Network) -> None:
        with pytest.raises(ConnectionRefusedError):
            await net.connect(net.host(CLIENT), (SERVER, PORT))
        host = net.host(SERVER)
        boot(host)
        await net.connect(net.host(CLIENT), (SERVER, PORT))
        host.crash()
        with pytest.raises(ConnectionRefusedError):
            await net.connect(net.host(CLIENT), (SERVER, PORT))

    simulate(main)


def test_the_source_port() -> None:
    async def main(net: Network) -> None:
        server, client = net.host(SERVER), net.host(CLIENT)
        listener = server.listen("tcp", PORT)
        listener.listen()
        first = await net.connect(client, (SERVER, PORT), 700)
        assert listener.accept()[1] == (CLIENT, 700)
        with pytest.raises(OSError, match="in use"):
            await net.connect(client, (SERVER, PORT), 700)
        first.close()
        await net.connect(client, (SERVER, PORT), 700)
        assert listener.accept()[1] == (CLIENT, 700)
        net.faults = Faults(rebind=1.0)
        own = await net.connect(client, (SERVER, PORT), 701)
        peer = listener.accept()[1]
        assert own.getsockname() == (CLIENT, 701)
        assert peer[0] == CLIENT and peer[1] != 701

    simulate(main)


# Streams


async def pair(net: Network) -> tuple[SimSocket, SimSocket]:
    """Both ends of a connection: the client's, the server's."""
    listener = net.host(SERVER).listen("tcp")
    listener.listen()
    near = await net.connect(net.host(CLIENT), listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    return near, far


async def drain(sock: SimSocket) -> tuple[bytes, str]:
    """All that comes, and how it ends."""
    got = b""
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0.001)
        except ConnectionResetError:
            return got, "reset"
        else:
            if not data:
                return got, "end"
            got += data


def test_a_stream_keeps_its_order_however_it_is_cut_up() -> None:
    async def main(net: Network) -> None:
        near, far = await pair(net)
        data = bytes(range(256)) * 40
        reader = asyncio.ensure_future(drain(far))
        at = 0
        while at < len(data):
            at += near.send(data[at : at + 100])
        near.close()
        assert await reader == (data, "end")
        assert sum(event[1] == "segment" for event in net.trace) > 150

    simulate(main, faults=Faults(delay_seconds=(0.0, 0.05), split=0.5, partial=0.5))


def test_a_socket_is_full_and_has_room_again() -> None:
    async def main(net: Network) -> None:
        near, far = await pair(net)
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += near.send(bytes(50000))
        assert not near.can_write()
        await asyncio.sleep(1)
        assert far.recv_into(bytearray(1000)) == 1000
        assert near.send(bytes(5000)) == 1000 and not near.can_write()
        assert far.recv_into(bytearray(100_000)) == 100_000
        assert near.can_write() and near.send(bytes(200_000)) == 100_000

    simulate(main)


@pytest.mark.parametrize("one_way", [False, True])
def test_a_connection_is_cut_at_every_byte(one_way: bool) -> None:
    """An exchange of an echo over TCP, cut after each number of bytes; then it works."""
    whole = []

    def exchange(cut: int | None) -> str:
        async def main(net: Network) -> str:
            boot(net.host(SERVER))

            async def program() -> str:
                if cut is not None:
                    net.cut_next(cut, one_way)
                rpc = await connect("tcp", SERVER, PORT)
                try:
                    got = await ask(rpc, b"12345678", timeout=600.0)
                    assert got == b"12345678"
                finally:
                    rpc.close()
                whole.append(sum(e[4] for e in net.trace if e[1] == "segment"))
                return "answered"

            return await net.host(CLIENT).task(program())

        return simulate(main, cut or 0)

    assert exchange(None) == "answered"
    call_and_reply = whole[0]
    assert call_and_reply == (4 + 40 + 12) + (4 + 24 + 12)
    for cut in range(1, call_and_reply + 1):
        try:
            outcome = exchange(cut)
        except RpcError:
            outcome = "lost"
        assert outcome in {"answered", "lost"}


def test_bytes_before_a_cut_arrive_and_none_behind_it() -> None:
    for cut in range(1, 21):

        async def main(net: Network, cut: int = cut) -> None:
            net.cut_next(cut)
            near, far = await pair(net)
            near.send(b"0123456789")
            near.send(b"0123456789")
            assert await drain(far) == ((b"0123456789" * 2)[:cut], "reset")
            assert await drain(near) == (b"", "reset")

        simulate(main)


def test_a_one_way_cut_is_noticed_by_who_sends() -> None:
    async def main(net: Network) -> None:
        net.cut_next(5, one_way=True)
        near, far = await pair(net)
        near.send(b"0123456789")
        assert await drain(far) == (b"01234", "reset")
        assert not near.reset
        near.send(b"more")
        assert await drain(near) == (b"", "reset")

    simulate(main)


def test_closing_with_unread_input_resets() -> None:
    async def main(net: Network) -> None:
        near, far = await pair(net)
        near.send(b"never read")
        await asyncio.sleep(1)
        far.close()
        assert await drain(near) == (b"", "reset")

    simulate(main)


# Datagrams


def counted(faults: Faults, count: int = 4000) -> tuple[Counter[bytes], list[bytes], float]:
    """What arrives of `count` datagrams, sent 1 ms apart; in which order; when the last did."""

    async def main(net: Network) -> tuple[Counter[bytes], list[bytes], float]:
        to = net.host(SERVER).listen("udp", PORT)
        source = net.host(CLIENT).bind(socket.SOCK_DGRAM)
        for number in range(count):
            source.sendto(b"%06d" % number, (SERVER, PORT))
            await asyncio.sleep(0.001)
        await asyncio.sleep(60)
        got: list[bytes] = []
        while to.can_read():
            got.append(to.recvmsg(65536, 128)[0])
        return Counter(got), got, net.trace[-1][0]

    return simulate(main, 1, faults)


def test_loss() -> None:
    seen, order, _ = counted(Faults(lose=0.3))
    assert 0.66 < len(seen) / 4000 < 0.74 and max(seen.values()) == 1 and order == sorted(order)


def test_duplication() -> None:
    seen, _, _ = counted(Faults(duplicate=0.3))
    twice = sum(n == 2 for n in seen.values())
    assert len(seen) == 4000 and 0.26 < twice / 4000 < 0.34 and max(seen.values()) == 2


def test_reordering() -> None:
    seen, order, _ = counted(Faults(reorder=0.3, reorder_seconds=(0.01, 0.02)))
    late = 0
    highest = b""
    for data in order:
        late += data < highest
        highest = max(highest, data)
    assert len(seen) == 4000 and 0.26 < late / 4000 < 0.34


def test_corruption_of_one_bit() -> None:
    seen, _, _ = counted(Faults(corrupt=0.3))
    whole = {b"%06d" % number for number in range(4000)}
    bad = [data for data in seen.elements() if data not in whole]
    # Some become another number.
    assert 0.1 < len(bad) / 4000 < 0.34 and {len(data) for data in bad} == {6}


def test_black_holes() -> None:
    seen, _, _ = counted(Faults(hole=0.001, hole_seconds=(0.1, 0.2)))
    assert 0.3 < len(seen) / 4000 < 0.99


def test_a_client_is_seen_at_another_port_and_is_answered_there() -> None:
    async def main(net: Network) -> None:
        to = net.host(SERVER).listen("udp", PORT)
        heard: list[bytes] = []

        class Hear(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                heard.append(data)

        wire, _ = await net.loop.create_datagram_endpoint(Hear, remote_addr=(SERVER, PORT))
        sources = []
        for number in range(100):
            wire.sendto(b"%d" % number)
            await asyncio.sleep(1)
            data, source = to.recvfrom(65536)
            sources.append(source)
            to.sendto(data, source)
            await asyncio.sleep(1)
        assert heard == [b"%d" % number for number in range(100)]
        assert 10 < len(set(sources)) < 40 and {host for host, _ in sources} == {"127.0.0.1"}
        to.sendto(b"late", sources[0])
        await asyncio.sleep(1)
        assert heard[-1] == b"99"

    simulate(main, faults=Faults(roam=0.2))


def test_a_connected_socket_hears_its_peer_alone() -> None:
    async def main(net: Network) -> None:
        heard: list[bytes] = []

        class Hear(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                heard.append(data)

        wire, _ = await net.loop.create_datagram_endpoint(Hear, remote_addr=(SERVER, PORT))
        here = wire.get_extra_info("sockname")
        net.host(CLIENT).bind(socket.SOCK_DGRAM).sendto(b"a stranger's", here)
        net.host(SERVER).listen("udp").sendto(b"from another port", here)
        net.host(SERVER).listen("udp", PORT).sendto(b"right", here)
        await asyncio.sleep(1)
        assert heard == [b"right"]

    simulate(main)


def test_a_host_dies_as_it_sends() -> None:
    async def main(net: Network) -> None:
        host = net.host(SERVER)
        echo = boot(host)
        sends = []

        def hook(sock: SimSocket) -> None:
            sends.append(sock)
            if len(sends) == 2:
                host.die()

        host.before_send = hook

        async def program() -> None:
            rpc = await connect("udp", SERVER, PORT)
            assert await ask(rpc, b"one") == b"one"
            with pytest.raises(RpcError):
                await ask(rpc, b"two")
            assert echo.calls == 2 and len(sends) == 2

        await net.host(CLIENT).task(program())

    simulate(main)


def test_a_closed_udp_port_is_refused_to_a_connected_socket() -> None:
    async def main(net: Network) -> None:
        errors: list[Any] = []

        class Hear(asyncio.DatagramProtocol):
            def error_received(self, exc: Exception) -> None:
                errors.append(exc)

        wire, _ = await net.loop.create_datagram_endpoint(Hear, remote_addr=(SERVER, PORT))
        wire.sendto(b"anybody?")
        await asyncio.sleep(1)
        assert [type(error) for error in errors] == [ConnectionRefusedError]

    simulate(main)


# One seed


def noisy_run(seed: int) -> list[str]:
    """The trace of an echo program over a bad network, with a crash: what the seed makes of it."""

    async def main(net: Network) -> list[str]:
        host = net.host(SERVER)
        boot(host)

        async def program(transport: str) -> None:
            for number in range(30):
                try:
                    rpc = await connect(transport, SERVER, PORT)
                    await ask(rpc, b"%d" % number, timeout=1.0)
                    rpc.close()
                except (OSError, RpcError) as exc:
                    net.note("failed", transport, number, type(exc).__name__)

        tasks = [net.host(CLIENT).task(program(transport)) for transport in ("tcp", "udp")]
        await asyncio.sleep(3)
        host.crash()
        await asyncio.sleep(0.5)
        boot(host)
        for task in tasks:
            await task
        # Calls begin with their transaction id, which is random: no checksums.
        return [line.rpartition(" ")[0] for line in net.describe()]

    return simulate(main, seed, Faults(**{**_as_dict(NOISE), "cut": 0.02, "rebind": 0.2}))


def _as_dict(faults: Faults) -> dict[str, Any]:
    return {name: getattr(faults, name) for name in Faults.__slots__}


def test_a_seed_does_the_same_in_two_processes() -> None:
    here = Path(__file__).parent
    code = (
        "import sys, json; sys.path[:0] = sys.argv[1:3];"
        "import test_testing_network as t; print(json.dumps(t.noisy_run(7)))"
    )
    runs = []
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(here), str(here.parents[1])],
            env=env, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        runs.append(json.loads(done.stdout))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 200
    kinds = {line.split()[1] for line in runs[0]}
    assert {"lost", "datagram", "segment", "cut", "crash", "reset", "failed"} <= kinds
    assert noisy_run(8) != runs[0]
