"""The client over TCP: its calls when connections end, servers die or fall silent."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from client_kit import Connection, TcpServer, VirtualLoop, answer, argument, now, until
from echo import ECHO_V2, PROCS, Echo

from oncrpc import loop
from oncrpc.client import ONCE, Retry, RpcClient, connect, connect_by, connected, dial_tcp
from oncrpc.errors import ConnectionLost, ConnectionRefused, RpcTimeout
from oncrpc.limits import RECORD_BYTES
from oncrpc.record import LAST_FRAGMENT
from oncrpc.server import RpcServer

Test = Callable[[], Awaitable[None]]
Run = Callable[[Test], None]


def virtually(test: Test) -> None:
    """Run it in a loop in which no time passes but where nothing else happens."""

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


def calls(client: RpcClient, *names: bytes, **options: Any) -> list[asyncio.Task[Any]]:
    """ECHO calls under way, already sent."""
    return [asyncio.ensure_future(echo(client, name, **options)) for name in names]


async def echo(client: RpcClient, data: bytes, timeout: float | None = None) -> bytes:
    return bytes(await client.call(ECHO_V2, PROCS["ECHO"], data, timeout))


async def answer_all(connection: Connection) -> None:
    """Echo until the connection ends."""
    try:
        while True:
            message = await connection.message()
            connection.send(answer(message, argument(message)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_what_was_unanswered_is_sent_again_from_the_same_port(run: Run, how: str) -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            tasks = calls(client, b"0", b"1", b"2", b"3", b"4")
            first = await server.connection()
            messages = await first.messages(5)
            assert [argument(message) for message in messages] == [b"%d" % i for i in range(5)]
            for i in (3, 1):
                first.send(answer(messages[i], b"first"))
            await asyncio.wait([tasks[1], tasks[3]])
            first.cut(how)

            second = await server.connection()
            assert second.port == first.port
            again = await second.messages(3)
            assert again == [messages[0], messages[2], messages[4]]
            for message in again:
                second.send(answer(message, b"second"))
            assert await asyncio.gather(*tasks) == [
                b"second", b"first", b"second", b"first", b"second",
            ]  # fmt: skip
            statistics = client.statistics
            assert (statistics.calls, statistics.replies) == (5, 5)
            assert (statistics.retransmissions, statistics.reconnections) == (3, 1)
            assert (statistics.moved_ports, client.outstanding) == (0, 0)

    run(test)


def test_many_cuts_in_a_row_from_one_port(run: Run) -> None:
    """Neither end's old connections stand in the way."""

    async def test() -> None:
        async with TcpServer() as server:
            retry = Retry(pause=0.001)
            async with connected("tcp", "127.0.0.1", server.port, retry=retry) as client:
                ports = set()
                for i in range(30):
                    [task] = calls(client, b"%d" % i)
                    for how in ("rst", "fin"):
                        connection = await server.connection()
                        ports.add(connection.port)
                        message = await connection.message()
                        assert argument(message) == b"%d" % i
                        if how == "fin":
                            connection.send(answer(message, b"done"))
                            assert await task == b"done"
                        connection.cut(how)
                assert ports == {client.local[1]}
                assert client.statistics.moved_ports == 0
                assert client.statistics.reconnections == 59

    run(test)


@pytest.mark.parametrize("kept", [1, 3, 4, 5, 20, 31])
def test_a_cut_in_the_middle_of_a_reply(run: Run, kept: int) -> None:
    """Its beginning is not taken for the beginning of the next connection's first reply."""

    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            [task] = calls(client, b"x")
            first = await server.connection()
            message = await first.message()
            reply = answer(message, b"x")
            wire = (LAST_FRAGMENT | len(reply)).to_bytes(4, "big") + reply
            first.writer.write(wire[:kept])
            await first.writer.drain()
            first.cut()
            second = await server.connection()
            assert await second.message() == message
            assert not task.done()
            second.send(reply)
            assert await task == b"x"

    run(test)


def test_a_server_that_half_closes_is_not_written_to(run: Run) -> None:
    """The rest of a long call is not waited for."""

    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            long = bytes(8 << 20)
            [task] = calls(client, long)
            first = await server.connection()
            await first.reader.readexactly(4)
            first.writer.write_eof()
            second = await server.connection()
            message = await second.message()
            assert argument(message) == long
            second.send(answer(message, b"x"))
            assert await task == b"x"

    run(test)


def test_a_server_that_restarts_with_calls_in_flight(run: Run) -> None:
    async def test() -> None:
        service = Echo()
        server = RpcServer()
        server.add(ECHO_V2, service)
        port = server.listen("tcp", "127.0.0.1")
        async with connected("tcp", "127.0.0.1", port) as client:
            tasks = [
                asyncio.ensure_future(client.call(ECHO_V2, PROCS["SLEEP"], b"%d" % i))
                for i in range(20)
            ]
            await until(lambda: service.waiting == 20)
            await server.stop(0)
            service = Echo()
            service.gate.set()
            server = RpcServer()
            server.add(ECHO_V2, service)
            assert server.listen("tcp", "127.0.0.1", port) == port
            assert await asyncio.gather(*tasks) == [b"%d" % i for i in range(20)]
            assert client.statistics.reconnections == 1
            assert client.statistics.retransmissions == 20
        await server.stop(1)

    run(test)


def test_without_calls_it_connects_with_the_next_one(run: Run) -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            first = await server.connection()
            first.cut()
            link: Any = client._link
            await until(lambda: link._stream is None)
            await asyncio.sleep(0.3)
            assert server.accepted.empty()
            [task] = calls(client, b"x")
            second = await server.connection()
            assert second.port == first.port
            second.send(answer(await second.message(), b"y"))
            assert await task == b"y"
            assert client.statistics.retransmissions == 0

    run(test)


def test_the_tries_to_connect_back_off_and_end() -> None:
    """Doubling from 0.1 s to 15 s, and for 60 s; then sent calls are lost and others refused."""

    async def test() -> None:
        tried: list[float] = []

        async def dial(factory: Any, remote: Any, source: Any) -> Any:
            tried.append(now())
            return await dial_tcp(factory, remote, source)

        async with TcpServer() as server:
            client = await connect_by(dial, ("127.0.0.1", server.port), Retry())
            tasks = calls(client, b"0", b"1")
            first = await server.connection()
            await first.messages(2)
            await asyncio.sleep(30)  # the last try is long ago
            server.deaf()
            tried.clear()
            lost_at = now()
            first.cut("rst")
            await until(lambda: bool(tried))
            late = calls(client, b"late")
            done = await asyncio.gather(*tasks, *late, return_exceptions=True)
            assert [type(exc) for exc in done] == [
                ConnectionLost, ConnectionLost, ConnectionRefused,
            ]  # fmt: skip
            assert [exc.unsent for exc in done if isinstance(exc, ConnectionLost)] == [False] * 2
            assert isinstance(done[2], ConnectionRefused) and done[2].unsent
            for exc in done:
                where = f"ECHO_PROGRAM version 2, ECHO, at stream 127.0.0.1:{server.port}: "
                assert str(exc).startswith(where), exc
                assert "refused" in str(exc) and "60" in str(exc)
            gaps = [round(b - a, 3) for a, b in itertools.pairwise(tried)]
            assert gaps[:8] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0]
            assert 45 < tried[-1] - lost_at < 61
            client.close()

    virtually(test)


def test_a_call_after_a_long_pause_does_not_pay_for_old_failures() -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            first = await server.connection()
            server.deaf()
            first.cut("rst")
            link: Any = client._link
            await until(lambda: link._stream is None)
            with pytest.raises(ConnectionRefused):
                await echo(client, b"x")
            await asyncio.sleep(3600)
            again = TcpServer()
            again.port = server.port
            async with again:
                [task] = calls(client, b"x")
                began = now()
                serving = asyncio.ensure_future(answer_all(await again.connection()))
                assert await task == b"x"
                assert now() - began < 0.1
                serving.cancel()

    virtually(test)


def test_a_call_that_waits_for_a_place_is_given_up_with_the_others() -> None:
    async def test() -> None:
        async with TcpServer() as server:
            options: Any = {"window": 2, "retry": Retry(give_up=10)}
            async with connected("tcp", "127.0.0.1", server.port, **options) as client:
                tasks = calls(client, *[b"%d" % i for i in range(20)])
                first = await server.connection()
                await first.messages(2)
                server.deaf()
                first.cut("rst")
                began = now()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                kinds = [ConnectionLost] * 2 + [ConnectionRefused] * 18
                assert [type(exc) for exc in done] == kinds
                assert now() - began <= 10.1

    virtually(test)


def test_a_timeout_bounds_what_a_reconnection_takes() -> None:
    async def test() -> None:
        async with TcpServer() as server:
            options: Any = {"retry": Retry(give_up=None)}
            async with connected("tcp", "127.0.0.1", server.port, **options) as client:
                [task] = calls(client, b"x", timeout=500)
                server.deaf()
                (await server.connection()).cut("rst")
                began = now()
                with pytest.raises(RpcTimeout, match="no reply in 500 s"):
                    await task
                assert now() - began == pytest.approx(500, abs=0.1)
                assert client.outstanding == 0

    virtually(test)


def test_a_call_that_ends_each_connection_is_given_up() -> None:
    """Though other calls are answered in between."""

    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            [poison] = calls(client, b"poison")

            async def serve() -> None:
                while True:
                    connection = await server.connection()
                    while argument(message := await connection.message()) != b"poison":
                        connection.send(answer(message, b"good"))
                    [other] = calls(client, b"other")
                    connection.send(answer(await connection.message(), b"good"))
                    assert await other == b"good"
                    connection.cut()

            serving = asyncio.ensure_future(serve())
            began = now()
            with pytest.raises(ConnectionLost):
                await poison
            assert 59 < now() - began < 80
            assert client.statistics.retransmissions <= 620  # no more than ten a second
            serving.cancel()

    virtually(test)


@pytest.mark.parametrize(("retry", "overdue"), [(Retry(), 60), (Retry(overdue=10, give_up=25), 10)])
def test_an_overdue_reply_makes_it_connect_again(retry: Retry, overdue: float) -> None:
    """A server that is only slow is not given up."""

    async def test() -> None:
        async with TcpServer() as server:
            async with connected("tcp", "127.0.0.1", server.port, retry=retry) as client:
                began = now()
                [task] = calls(client, b"x")
                first = await server.connection()
                message = await first.message()
                await asyncio.sleep(overdue / 2)
                [other] = calls(client, b"y")
                following = await first.message()
                for turn in range(1, 6):
                    connection = await server.connection()
                    assert now() - began == pytest.approx(overdue * turn, abs=0.2)
                    assert connection.port == first.port
                    assert await connection.messages(2) == [message, following]
                connection.send(answer(message, b"at last"))
                connection.send(answer(following, b"too"))
                assert (await task, await other) == (b"at last", b"too")
                await asyncio.sleep(600)
                assert server.accepted.empty()

    virtually(test)


def test_a_connection_that_lived_makes_good_for_earlier_losses() -> None:
    async def test() -> None:
        async with TcpServer() as server:
            retry = Retry(overdue=None)
            async with connected("tcp", "127.0.0.1", server.port, retry=retry) as client:
                [task] = calls(client, b"x")
                for _ in range(3):
                    connection = await server.connection()
                    await connection.message()
                    await asyncio.sleep(300)
                    connection.cut()
                connection = await server.connection()
                connection.send(answer(await connection.message(), b"y"))
                assert await task == b"y"

    virtually(test)


def test_a_port_that_is_taken_meanwhile() -> None:
    """Another one is used, and counted."""

    async def test() -> None:
        async with TcpServer() as server:
            retry = Retry(pause=5)
            async with connected("tcp", "127.0.0.1", server.port, retry=retry) as client:
                old = client.local
                [task] = calls(client, b"x")
                first = await server.connection()
                message = await first.message()
                first.cut("rst")
                with socket.socket() as thief:
                    for _ in range(100):
                        await asyncio.sleep(0.01)
                        try:
                            thief.bind(old)
                            break
                        except OSError:
                            continue
                    thief.listen()
                    second = await server.connection()
                assert await second.message() == message
                second.send(answer(message, b"x"))
                assert await task == b"x"
                assert second.port == client.local[1] != old[1]
                assert client.statistics.moved_ports == 1

    virtually(test)


def test_a_cancelled_call_leaves_no_trace(run: Run) -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            tasks = calls(client, b"0", b"1", b"2")
            first = await server.connection()
            messages = await first.messages(3)
            tasks[0].cancel()
            tasks[1].cancel()
            await asyncio.wait(tasks[:2])
            assert client.outstanding == 1
            first.send(answer(messages[0], b"late"))
            await until(lambda: client.statistics.strays == 1)
            first.cut()
            second = await server.connection()
            assert await second.message() == messages[2]
            second.send(answer(messages[1], b"late"))
            second.send(answer(messages[2], b"mine"))
            assert await tasks[2] == b"mine"
            assert client.statistics.strays == 2
            assert all(task.cancelled() for task in tasks[:2])

    run(test)


def test_the_window(run: Run) -> None:
    """So many calls are outstanding; others wait in their order, and may leave the queue."""

    async def test() -> None:
        async with TcpServer() as server:
            async with connected("tcp", "127.0.0.1", server.port, window=2) as client:
                tasks = calls(client, *[b"%d" % i for i in range(6)])
                connection = await server.connection()
                messages = await connection.messages(2)
                await asyncio.sleep(0.01)
                assert client.outstanding == 2
                tasks[2].cancel()  # one that waits
                tasks[1].cancel()  # one that is outstanding: it makes place
                messages.append(await connection.message())
                connection.send(answer(messages[0], b"x"))
                messages.append(await connection.message())
                assert [argument(m) for m in messages] == [b"0", b"1", b"3", b"4"]
                expiring = calls(client, b"6", timeout=0.05)
                done = await asyncio.gather(*expiring, return_exceptions=True)
                assert isinstance(done[0], RpcTimeout) and done[0].unsent
                for message in messages[2:]:
                    connection.send(answer(message, b"x"))
                last = await connection.message()
                assert argument(last) == b"5"
                connection.send(answer(last, b"x"))
                done = await asyncio.gather(*tasks, return_exceptions=True)
                kinds = [type(it) for it in done]
                gone = asyncio.CancelledError
                assert kinds == [bytes, gone, gone, bytes, bytes, bytes]

    run(test)


def test_a_reply_over_the_limit(run: Run) -> None:
    """It would come again: the calls fail, and the next one has a new connection."""

    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            tasks = calls(client, b"0", b"1")
            first = await server.connection()
            await first.messages(2)
            first.writer.write((LAST_FRAGMENT | RECORD_BYTES + 1).to_bytes(4, "big") + bytes(8))
            for exc in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(exc, ConnectionLost) and not exc.unsent
                assert "a record over" in str(exc)
            [task] = calls(client, b"2")
            second = await server.connection()
            message = await second.message()
            assert argument(message) == b"2"
            second.send(answer(message, b"x"))
            assert await task == b"x"

    run(test)


def test_without_reconnection_the_end_is_the_end(run: Run) -> None:
    async def test() -> None:
        async with TcpServer() as server:
            async with connected("tcp", "127.0.0.1", server.port, retry=ONCE) as client:
                [task] = calls(client, b"x")
                (await server.connection()).cut("rst")
                with pytest.raises(ConnectionLost, match="ECHO"):
                    await task
                with pytest.raises(ConnectionLost) as caught:
                    await echo(client, b"x")
                assert caught.value.unsent
                assert server.accepted.empty()

    run(test)


def test_closing(run: Run) -> None:
    """Calls that wait are lost, also those that wait for a connection; nothing is left running."""

    async def test() -> None:
        async with TcpServer() as server:
            for gone in (False, True):
                options: Any = {"window": 1, "retry": Retry(pause=1)}
                client = await connect("tcp", "127.0.0.1", server.port, **options)
                tasks = calls(client, b"0", b"1")
                connection = await server.connection()
                await connection.message()
                if gone:
                    server.deaf()
                    connection.cut("rst")
                    await until(lambda: any("again" in name for name in running()))
                client.close()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(exc) for exc in done] == [ConnectionLost] * 2
                assert [getattr(exc, "unsent", None) for exc in done] == [False, True]
                with pytest.raises(ConnectionLost, match="closed"):
                    await echo(client, b"x")
                await asyncio.sleep(0.01)
                assert not any("again" in name for name in running())

    def running() -> list[str]:
        return [getattr(t.get_coro(), "__qualname__", "") for t in asyncio.all_tasks()]

    run(test)


def test_the_first_connection_is_tried_once(run: Run) -> None:
    async def test() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                await connect("tcp", *closed.getsockname())

    run(test)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_port_is_bound_from_the_start(run: Run, host: str) -> None:
    """The kernel lets connections to different servers share a port that neither has bound."""

    async def test() -> None:
        numeric = "127.0.0.1" if host == "localhost" else host
        async with TcpServer(numeric) as server:
            sources: list[Any] = []

            async def dial(factory: Any, remote: Any, source: Any) -> Any:
                if remote[0] == numeric:  # localhost may have more addresses
                    sources.append(source)
                return await dial_tcp(factory, remote, source)

            for retry in (ONCE, Retry()):
                client = await connect_by(dial, (host, server.port), retry)
                assert client.remote == (numeric, server.port)
                first = await server.connection()
                assert client.local == (numeric, first.port)
            [task] = calls(client, b"x")
            await first.message()
            first.cut()
            second = await server.connection()
            second.send(answer(await second.message(), b"y"))
            assert await task == b"y"
            any_address = "::" if ":" in host else "0.0.0.0"
            assert sources == [None, (any_address, 0), (numeric, first.port)]
            assert second.port == first.port
            client.close()

    run(test)


def test_nobody_talks_to_himself(run: Run) -> None:
    """A port where nobody listens may be connected to itself; with such a peer, a call would be
    answered by the call."""

    async def test() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            own = held.getsockname()
        with pytest.raises(ConnectionRefusedError):
            await dial_tcp(asyncio.BufferedProtocol, own, own)

    run(test)
