"""Calls that are answered later, and what one peer may have outstanding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from echo import ECHO_V2, Echo
from test_server import Raw, Served, echo, record

from oncrpc import errors, limits, loop
from oncrpc.call import LATER, Call
from oncrpc.client import connected
from oncrpc.limits import ServerLimits
from oncrpc.message import read_reply
from oncrpc.quota import Warnings
from oncrpc.server import RpcServer


class Held(Echo):
    """Keeps each ECHO until it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Call, bytes]] = []

    async def ECHO(self, call: Call, args: Any) -> Any:
        self.held.append((call, call.take(args)))
        return LATER

    async def SLEEP(self, call: Call, args: Any) -> Any:
        """The same, of a handler that has waited before."""
        kept = call.take(args)
        await asyncio.sleep(0)
        self.held.append((call, kept))
        return LATER

    def answer(self) -> None:
        held, self.held = self.held, []
        for call, data in held:
            call.reply(data)


def serve(service: Echo, most: ServerLimits | None = None) -> tuple[RpcServer, int]:
    server = RpcServer(most)
    server.add(ECHO_V2, service)
    port = server.listen("tcp", "127.0.0.1")
    server.listen("udp", "127.0.0.1", port)
    return server, port


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", ["ECHO", "SLEEP"])
def test_a_call_answered_later_is_waited_for(name: str) -> None:
    """By a client that half-closes, and by a server that stops."""

    async def main() -> None:
        service = Held()
        server, port = serve(service)
        raw = await Raw.open(port)
        raw.writer.write(record(1, name, b"x"))
        raw.writer.write_eof()
        await until(lambda: bool(service.held))
        await asyncio.sleep(0.02)
        assert server.dispatcher.waiting == 1
        stop = asyncio.ensure_future(server.stop(5))
        await asyncio.sleep(0.02)
        assert not stop.done()
        service.answer()
        assert read_reply(await raw.reply())[0] == 1
        await stop
        assert server.dispatcher.waiting == 0
        raw.writer.close()

    loop.run(main())


@pytest.mark.parametrize("name", ["ECHO", "SLEEP"])
def test_calls_answered_later_are_bounded_per_connection(name: str) -> None:
    async def main() -> None:
        service = Held()
        server, port = serve(service)
        async with connected("tcp", "127.0.0.1", port, window=10**6) as client:
            count = 2 * limits.CALLS_IN_FLIGHT + 7
            calls = [asyncio.ensure_future(echo(client, name, b"%d" % i)) for i in range(count)]
            await until(lambda: len(service.held) == limits.CALLS_IN_FLIGHT)
            await asyncio.sleep(0.02)
            assert len(service.held) == limits.CALLS_IN_FLIGHT
            while not all(call.done() for call in calls):
                service.answer()
                await asyncio.sleep(0.001)
            assert [await call for call in calls] == [b"%d" % i for i in range(count)]
        await server.stop(1)

    loop.run(main())


def test_datagrams_in_flight_are_bounded() -> None:
    async def main() -> None:
        service = Held()
        server, port = serve(service, ServerLimits(datagram_calls=16))
        async with connected("udp", "127.0.0.1", port) as client:
            calls = [asyncio.ensure_future(echo(client, "ECHO", b"%d" % i)) for i in range(50)]
            await until(lambda: len(service.held) == 16)
            await asyncio.sleep(0.02)
            assert len(service.held) == 16
            while not all(call.done() for call in calls):
                service.answer()
                await asyncio.sleep(0.001)
        await server.stop(1)

    loop.run(main())


def test_an_answer_that_no_datagram_holds_is_a_refusal() -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            async with connected("udp", "127.0.0.1", served.port) as client:
                with pytest.raises(errors.SystemErr):
                    await echo(client, "MANY", b"100000")

    loop.run(main())


def test_a_flood_of_records_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many records of one connection are served in one wake-up; all are, in the end."""
    monkeypatch.setattr("oncrpc.tcp.RECORDS_PER_WAKE_UP", 10)

    async def main() -> None:
        async with Served("127.0.0.1") as served:
            raw = await Raw.open(served.port)
            raw.writer.write(b"".join(record(i, "ECHO", b"abcd") for i in range(95)))
            for i in range(95):
                assert read_reply(await raw.reply())[0] == i
            raw.writer.close()

    loop.run(main())


def test_warnings_are_bounded_per_peer_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    warnings = Warnings(logging.getLogger("oncrpc"), lambda: now)
    for _ in range(100):
        warnings.warn("a", "bad %s", "thing")
    warnings.warn("b", "bad")
    lines = [entry.getMessage() for entry in caplog.records]
    assert lines[0] == "from a: bad thing"
    assert len(lines) == limits.WARNINGS_PER_MINUTE + 2
    caplog.clear()
    now = 61.0
    warnings.warn("a", "again")
    assert [entry.getMessage() for entry in caplog.records] == [
        "from a: 80 more of the like were not logged",
        "from a: again",
    ]
