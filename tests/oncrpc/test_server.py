"""The runtime over real sockets, on every event loop: answers, refusals, limits, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

import pytest
from echo import ECHO_V2, PROCS, Echo

from oncrpc import errors, limits, loop
from oncrpc.client import ONCE, RpcClient, connected
from oncrpc.message import NOBODY, call_header, read_reply
from oncrpc.program import Program
from oncrpc.record import mark
from oncrpc.server import RpcServer

LOOPS = ["asyncio", "uvloop"]
HOSTS = ["127.0.0.1", "::1"]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    return lambda main: loop.run(main, request.param)  # type: ignore[arg-type]


class Served:
    """A server of the echo program on loopback."""

    def __init__(self, host: str | None = None) -> None:
        self.service = Echo()
        self.server = RpcServer()
        self.server.add(ECHO_V2, self.service)
        self.port = self.server.listen("tcp", host)
        self.server.listen("udp", host, self.port)

    async def __aenter__(self) -> Served:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.service.gate.set()
        await self.server.stop(2)


async def echo(client: RpcClient, name: str, data: bytes) -> bytes:
    return bytes(await client.call(ECHO_V2, PROCS[name], data, 20))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("host", HOSTS)
def test_calls_over_each_transport_and_family(
    run: Callable[[Awaitable[None]], None], transport: str, host: str
) -> None:
    async def main() -> None:
        async with Served() as served, connected(transport, host, served.port) as client:
            await client.call(ECHO_V2, PROCS["NULL"], None, 5)
            for size in (0, 1, 5, 8191, 8192, 8193, 30_000):
                data = os.urandom(size)
                assert await echo(client, "ECHO", data) == data
            calls = [echo(client, name, name.encode()) for name in ("CALL_BACK", "ECHO") * 20]
            assert await asyncio.gather(*calls) == [b"CALL_BACK", b"ECHO"] * 20

    run(main())


def test_large_records_and_answers(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            async with connected("tcp", "127.0.0.1", served.port) as client:
                blocks = [os.urandom((1 << 20) - i) for i in range(8)]
                got = await asyncio.gather(*(echo(client, "ECHO", block) for block in blocks))
                assert got == blocks

    run(main())


def test_replies_may_come_out_of_order(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            async with connected("tcp", "127.0.0.1", served.port) as client:
                slow = asyncio.ensure_future(echo(client, "SLEEP", b"slow"))
                assert await echo(client, "ECHO", b"quick") == b"quick"
                assert not slow.done()
                served.service.gate.set()
                assert await slow == b"slow"

    run(main())


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_refusal(run: Callable[[Awaitable[None]], None], transport: str) -> None:
    async def main() -> None:
        other = Program("OTHER", 0x20000002, 1, ECHO_V2.procs)
        newer = Program("NEWER", ECHO_V2.number, 3, ECHO_V2.procs)
        unknown = PROCS["ECHO"].__class__(99, "UNKNOWN", *_codecs())
        wrong = PROCS["ECHO"].__class__(1, "WRONG", *_codecs())
        async with Served("127.0.0.1") as served:
            async with connected(transport, "127.0.0.1", served.port) as client:
                with pytest.raises(errors.ProgUnavail):
                    await client.call(other, PROCS["ECHO"], b"", 5)
                with pytest.raises(errors.ProgMismatch) as caught:
                    await client.call(newer, PROCS["ECHO"], b"", 5)
                assert (caught.value.low, caught.value.high) == (2, 2)
                with pytest.raises(errors.ProcUnavail):
                    await client.call(ECHO_V2, unknown, None, 5)
                with pytest.raises(errors.GarbageArgs):
                    await client.call(ECHO_V2, wrong, None, 5)
                for name in ("FAIL", "FAIL_LATER", "NONSENSE"):
                    with pytest.raises(errors.SystemErr):
                        await echo(client, name, b"")
                with pytest.raises(errors.AuthError) as denied:
                    await echo(client, "REFUSE", b"")
                assert denied.value.stat is errors.AuthStat.TOOWEAK
                assert await echo(client, "ECHO", b"alive") == b"alive"

    run(main())


def _codecs() -> tuple:  # type: ignore[type-arg]
    null = PROCS["NULL"]
    return null.decode_args, null.encode_args, null.decode_result, null.encode_result


class Raw:
    """A connection that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def reply(self) -> bytes:
        (word,) = struct.unpack(">I", await asyncio.wait_for(self.reader.readexactly(4), 10))
        return await asyncio.wait_for(self.reader.readexactly(word & 0x7FFFFFFF), 10)


def message(xid: int, name: str, data: bytes) -> bytes:
    head = call_header(xid, ECHO_V2.number, 2, PROCS[name].number, NOBODY.pack())
    parts: list[bytes] = [head]
    PROCS[name].encode_args(data, parts.append)  # type: ignore[arg-type]
    return b"".join(parts)


def record(xid: int, name: str, data: bytes) -> bytes:
    body = message(xid, name, data)
    return mark(len(body)) + body


def test_what_is_no_call_leaves_the_connection_alive(
    run: Callable[[Awaitable[None]], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            raw = await Raw.open(served.port)
            for junk in (b"", b"abc", struct.pack(">2I", 5, 1) + bytes(60), bytes(100)):
                raw.writer.write(mark(len(junk)) + junk)
            raw.writer.write(record(9, "ECHO", b"alive"))
            with pytest.raises(errors.RpcMismatch):
                read_reply(await raw.reply())
            assert read_reply(await raw.reply())[0] == 9
            raw.writer.close()

    with caplog.at_level(logging.WARNING, "oncrpc"):
        run(main())
    assert len(caplog.records) == 4


def test_a_record_over_the_limit_ends_that_connection_alone(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            async with connected("tcp", "127.0.0.1", served.port) as other:
                raw = await Raw.open(served.port)
                raw.writer.write(
                    record(1, "ECHO", b"before") + struct.pack(">I", 0x80000000 | 2**30)
                )
                assert read_reply(await raw.reply())[0] == 1
                assert await asyncio.wait_for(raw.reader.read(), 10) == b""
                assert await echo(other, "ECHO", b"alive") == b"alive"
                raw.writer.close()

    run(main())


def test_calls_in_flight_are_bounded_and_all_answered(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            async with connected("tcp", "127.0.0.1", served.port, window=10**6) as client:
                count = 3 * limits.CALLS_IN_FLIGHT
                calls = [
                    asyncio.ensure_future(echo(client, "SLEEP", b"%d" % i)) for i in range(count)
                ]
                while served.service.waiting < limits.CALLS_IN_FLIGHT:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                assert served.service.most_waiting == limits.CALLS_IN_FLIGHT
                served.service.gate.set()
                assert await asyncio.gather(*calls) == [b"%d" % i for i in range(count)]

    run(main())


def test_a_client_that_does_not_read_is_not_read_from(
    run: Callable[[Awaitable[None]], None],
) -> None:
    """It is stopped by its backlog; all its calls are answered once it reads."""

    async def main() -> None:
        async with Served("127.0.0.1") as served:
            raw = await Raw.open(served.port)
            sock = raw.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            raw.reader._limit = 1024  # type: ignore[attr-defined]
            size, count = 1 << 20, 200
            wire = b"".join(record(i, "MANY", b"%d" % size) for i in range(count))
            raw.writer.write(wire)
            await asyncio.sleep(0.3)
            stopped = served.service.calls
            assert stopped * size <= limits.BACKLOG_BYTES + (16 << 20)
            async with connected("tcp", "127.0.0.1", served.port) as other:
                assert await echo(other, "ECHO", b"alive") == b"alive"
            for i in range(count):
                assert read_reply(await raw.reply())[0] == i
            raw.writer.close()

    run(main())


def test_a_client_that_half_closes_gets_its_answers(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            raw = await Raw.open(served.port)
            raw.writer.write(record(1, "SLEEP", b"x") + record(2, "ECHO", b"y"))
            raw.writer.write_eof()
            assert read_reply(await raw.reply())[0] == 2
            served.service.gate.set()
            assert read_reply(await raw.reply())[0] == 1
            assert await asyncio.wait_for(raw.reader.read(), 10) == b""
            raw.writer.close()

    run(main())


def test_stopping_finishes_the_calls_in_flight(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        served = Served("127.0.0.1")
        async with connected("tcp", "127.0.0.1", served.port) as client:
            call = asyncio.ensure_future(echo(client, "SLEEP", b"x"))
            while not served.service.waiting:
                await asyncio.sleep(0.01)
            stop = asyncio.ensure_future(served.server.stop(10))
            await asyncio.sleep(0.05)
            assert not stop.done()
            served.service.gate.set()
            assert await call == b"x"
            await stop
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", served.port)

    run(main())


def test_stopping_does_not_wait_for_ever(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        served = Served("127.0.0.1")
        async with connected("tcp", "127.0.0.1", served.port, retry=ONCE) as client:
            call = asyncio.ensure_future(echo(client, "SLEEP", b"x"))
            while not served.service.waiting:
                await asyncio.sleep(0.01)
            await served.server.stop(0.05)
            with pytest.raises(errors.ConnectionLost):
                await call

    run(main())


def test_udp_answers_come_from_the_address_that_was_asked(
    run: Callable[[Awaitable[None]], None],
) -> None:
    """The socket of all addresses; the client's is connected, so another source is not taken."""

    async def main() -> None:
        async with Served(None) as served:
            for host in ("127.0.0.1", "127.0.0.9", "127.8.7.6", "::1"):
                async with connected("udp", host, served.port) as client:
                    assert await echo(client, "ECHO", host.encode()) == host.encode()

    run(main())


def test_one_write_per_wake_up(
    run: Callable[[Awaitable[None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen calls in one segment are answered in one: counted where the client reads."""

    async def main() -> None:
        async with Served("127.0.0.1") as served:
            raw = await Raw.open(served.port)
            raw.writer.write(b"".join(record(i, "ECHO", b"abcd") for i in range(16)))
            first = await asyncio.wait_for(raw.reader.read(65536), 10)
            assert len(first) == 16 * (4 + 24 + 8)
            raw.writer.close()

    run(main())


def test_a_port_in_use_is_named(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        async with Served("127.0.0.1") as served:
            with pytest.raises(OSError, match=f"tcp 127.0.0.1:{served.port}"):
                RpcServer().listen("tcp", "127.0.0.1", served.port)

    run(main())


def test_frames_of_a_call() -> None:
    """A handler runs few Python frames away from the wake-up: no queue, no Task in between."""
    depths: list[int] = []

    class Deep(Echo):
        async def ECHO(self, call: object, args: object) -> bytes:
            frame, depth = sys._getframe(), 0
            while frame.f_code.co_name != "_readable" and frame.f_back is not None:
                frame, depth = frame.f_back, depth + 1
            depths.append(depth)
            return b""

    async def main() -> None:
        server = RpcServer()
        server.add(ECHO_V2, Deep())
        port = server.listen("tcp", "127.0.0.1")
        async with connected("tcp", "127.0.0.1", port) as client:
            await echo(client, "ECHO", b"")
        await server.stop(1)

    loop.run(main())
    assert depths == [4]  # _readable, _serve, dispatch, _run, the handler


def test_a_program_is_added_once() -> None:
    async def main() -> None:
        server = RpcServer()
        server.add(ECHO_V2, Echo())
        with pytest.raises(ValueError, match="served already"):
            server.add(ECHO_V2, Echo())

    loop.run(main())
