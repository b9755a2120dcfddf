"""The client over UDP: retransmission, refusals by the network, replies from elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from client_kit import UdpServer, VirtualLoop, answer, argument, now, until, xid_of
from echo import ECHO_V2, PROCS, Echo

from oncrpc import loop
from oncrpc.client import Retry, RpcClient, connected
from oncrpc.errors import BadArguments, ConnectionRefused, RpcTimeout
from oncrpc.link import DatagramLink
from oncrpc.pending import Calls, Pending
from oncrpc.server import RpcServer

Test = Callable[[], Awaitable[None]]
Run = Callable[[Test], None]

QUICK = Retry(intervals=(0.05, 0.1, 0.2, 0.4, 0.8))


def virtually(test: Test) -> None:
    async def main() -> None:
        await test()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


@pytest.fixture(params=["virtual", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "virtual":
        return virtually

    def really(test: Test) -> None:
        async def main() -> None:
            async with asyncio.timeout(30):
                await test()

        loop.run(main(), "uvloop")

    pytest.importorskip("uvloop", reason="uvloop is not installed")
    return really


async def echo(client: RpcClient, data: bytes, timeout: float | None = None) -> bytes:
    return bytes(await client.call(ECHO_V2, PROCS["ECHO"], data, timeout))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_retransmission_and_its_end() -> None:
    """The same bytes after 2, 4, 8 and 16 seconds, and a timeout 32 seconds later."""

    async def test() -> None:
        server = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port) as client:
            began = now()
            with pytest.raises(RpcTimeout) as caught:
                await echo(client, b"x")
            assert now() - began == pytest.approx(62)
            times = [at - began for at, _, _ in server.got]
            assert times == pytest.approx([0, 2, 6, 14, 30], abs=0.01)
            assert len({message for _, message, _ in server.got}) == 1
            assert argument(server.got[0][1]) == b"x"
            assert client.statistics.retransmissions == 4
            assert not caught.value.unsent
            place = f"at udp 127.0.0.1:{server.port}: no reply in 62 s, sent 5 times"
            assert str(caught.value) == f"ECHO_PROGRAM version 2, ECHO, {place}"
        server.wire.close()

    virtually(test)


def test_a_reply_ends_the_retransmission(run: Run) -> None:
    async def test() -> None:
        server = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port, retry=QUICK) as client:
            task = asyncio.ensure_future(echo(client, b"x"))
            await until(lambda: len(server.got) == 3)
            server.send(answer(server.got[0][1], b"y"))
            assert await task == b"y"
            server.send(answer(server.got[0][1], b"y"))  # the answers to its duplicates
            server.send(answer(server.got[0][1], b"y"))
            await until(lambda: client.statistics.strays == 2)
            await asyncio.sleep(0.5)
            assert len(server.got) == 3
            assert (client.statistics.replies, client.statistics.retransmissions) == (1, 2)
        server.wire.close()

    run(test)


def test_a_timeout_and_a_cancellation_end_the_retransmission(run: Run) -> None:
    async def test() -> None:
        server = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port, retry=QUICK) as client:
            cancelled = asyncio.ensure_future(echo(client, b"x"))
            timed_out = asyncio.ensure_future(echo(client, b"y", timeout=0.12))
            with pytest.raises(RpcTimeout, match=r"no reply in 0.12 s"):
                await timed_out
            assert len(server.got) == 4
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert client.outstanding == 0
            await asyncio.sleep(0.5)
            assert len(server.got) == 4
        server.wire.close()

    run(test)


def test_replies_from_another_address_are_not_taken(run: Run) -> None:
    """The kernel drops what comes from another port."""

    async def test() -> None:
        server = await UdpServer.open()
        stranger = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port) as client:
            task = asyncio.ensure_future(echo(client, b"x"))
            await until(lambda: bool(server.got))
            message = server.got[0][1]
            for _ in range(3):
                stranger.wire.sendto(answer(message, b"forged"), client.local)
            await asyncio.sleep(0.01)
            assert not task.done()
            server.send(answer(message, b"right"))
            assert await task == b"right"
        for it in (server, stranger):
            it.wire.close()

    run(test)


def test_so_are_they_where_the_loop_lets_them_through() -> None:
    async def test() -> None:
        link = DatagramLink(("127.0.0.1", 9), Retry())
        calls = Calls(8, "udp 127.0.0.1:9", link.send)
        link.attach(calls)
        future = asyncio.get_running_loop().create_future()
        call = Pending(7, ECHO_V2, PROCS["ECHO"], future, now())
        calls.outstanding[7] = call
        reply = answer(b"\0\0\0\7", b"x")
        for place in (("127.0.0.1", 10), ("127.0.0.2", 9)):
            link.received(reply, place)
        assert calls.statistics.strays == 2 and not future.done()
        link.received(reply, ("127.0.0.1", 9))
        assert (await future)[0] == reply

    virtually(test)


def test_replies_that_are_none_are_dropped(run: Run) -> None:
    """A broken header, a call, too few bytes, an unknown xid: the next transmission does better."""

    async def test() -> None:
        server = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port, retry=QUICK) as client:
            task = asyncio.ensure_future(echo(client, b"x"))
            await until(lambda: bool(server.got))
            right = answer(server.got[0][1], b"y")
            server.send(right[:7])
            server.send(right[:4] + bytes(4) + right[8:])
            server.send(right[:8] + b"\0\0\0\7" + right[12:])
            await until(lambda: client.statistics.malformed == 3)
            server.send(b"abc")
            server.send(bytes([right[0] ^ 1]) + right[1:])
            await until(lambda: client.statistics.strays == 2)
            assert not task.done()
            await until(lambda: len(server.got) > 1)
            server.send(right)
            assert await task == b"y"
        server.wire.close()

    run(test)


def test_a_port_where_nobody_ever_answered_refuses_at_once(run: Run) -> None:
    async def test() -> None:
        port = free_port()
        async with connected("udp", "127.0.0.1", port, window=1) as client:
            for _ in range(2):
                tasks = [asyncio.ensure_future(echo(client, b"x")) for _ in range(2)]
                began = now()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(exc) for exc in done] == [ConnectionRefused] * 2
                assert f"udp 127.0.0.1:{port}" in str(done[0]) and "refused" in str(done[0])
                # Which datagram was refused is not said; only what was not sent is sure.
                assert [getattr(exc, "unsent", None) for exc in done] == [False, True]
                assert now() - began < 2
            assert client.statistics.refusals == 2
            server = await UdpServer.open(port)
            server.serve = lambda message: answer(message, b"here")
            assert await echo(client, b"x") == b"here"
            server.wire.close()

    run(test)


def test_a_server_that_answered_is_waited_for(run: Run) -> None:
    """It may be restarting, and then answers a later transmission."""

    async def test() -> None:
        server = await UdpServer.open()
        server.serve = lambda message: answer(message, b"one")
        async with connected("udp", "127.0.0.1", server.port, retry=QUICK) as client:
            assert await echo(client, b"x") == b"one"
            server.wire.close()
            await asyncio.sleep(0.01)
            task = asyncio.ensure_future(echo(client, b"x"))
            await until(lambda: client.statistics.refusals >= 2)
            assert not task.done()
            server = await UdpServer.open(server.port)
            server.serve = lambda message: answer(message, b"two")
            assert await task == b"two"
        server.wire.close()

    run(test)


def test_but_not_for_ever() -> None:
    async def test() -> None:
        server = await UdpServer.open()
        server.serve = lambda message: answer(message, b"one")
        options: Any = {"retry": Retry(give_up=20)}
        async with connected("udp", "127.0.0.1", server.port, **options) as client:
            await echo(client, b"x")
            server.wire.close()
            await asyncio.sleep(0.01)
            began = now()
            with pytest.raises(ConnectionRefused):
                await echo(client, b"x")
            assert now() - began == pytest.approx(30, abs=0.1)  # the first transmission after 20 s
            began = now()
            with pytest.raises(ConnectionRefused):  # nobody there any more
                await echo(client, b"x")
            assert now() - began < 0.1

    virtually(test)


def test_an_answer_makes_good_for_earlier_refusals() -> None:
    async def test() -> None:
        server = await UdpServer.open()
        options: Any = {"retry": Retry(give_up=20)}
        async with connected("udp", "127.0.0.1", server.port, **options) as client:
            for _ in range(3):
                server.serve = lambda message: answer(message, b"one")
                await echo(client, b"x")
                server.wire.close()
                await asyncio.sleep(0.01)
                task = asyncio.ensure_future(echo(client, b"x"))
                await asyncio.sleep(10)  # after the transmissions of 0, 2 and 6 s
                server = await UdpServer.open(server.port)
                server.serve = lambda message: answer(message, b"two")
                assert await task == b"two"
            assert client.statistics.refusals == 9
        server.wire.close()

    virtually(test)


def test_a_call_that_no_datagram_holds() -> None:
    async def test() -> None:
        server = await UdpServer.open()
        async with connected("udp", "127.0.0.1", server.port) as client:
            with pytest.raises(BadArguments, match="a datagram carries 65507"):
                await echo(client, bytes(65600))
            assert not server.got
            largest = bytes(65507 - 44 & ~3)
            task = asyncio.ensure_future(echo(client, largest))
            await until(lambda: bool(server.got))
            assert argument(server.got[0][1]) == largest
            task.cancel()
        server.wire.close()

    virtually(test)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_many_calls_through_a_small_window(run: Run, transport: str) -> None:
    async def test() -> None:
        server = RpcServer()
        server.add(ECHO_V2, Echo())
        port = server.listen(transport, "127.0.0.1")
        async with connected(transport, "127.0.0.1", port, window=7) as client:
            names = [b"%d" % i for i in range(700)]
            assert await asyncio.gather(*(echo(client, it) for it in names)) == names
            assert client.outstanding == 0
        await server.stop(1)

    run(test)


def test_the_xids_of_calls_differ() -> None:
    async def test() -> None:
        server = await UdpServer.open()
        server.serve = lambda message: answer(message, b"")
        async with connected("udp", "127.0.0.1", server.port) as client:
            for _ in range(500):
                await echo(client, b"x")
        found = [xid_of(message) for _, message, _ in server.got]
        assert len(set(found)) == 500
        assert len({xid >> 24 for xid in found}) > 150  # all over the numbers
        server.wire.close()

    virtually(test)
