"""Limits of a server over real sockets: who is cut, who is slowed, and that the others go on."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from echo import ECHO_V2, Echo
from test_later import Held
from test_server import Raw, record

from oncrpc import limits, loop
from oncrpc.call import LATER, Call
from oncrpc.guards import Cut
from oncrpc.limits import ServerLimits
from oncrpc.message import read_reply
from oncrpc.record import mark
from oncrpc.server import RpcServer
from oncrpc.xdr import Buffer

#: Sweeps every 20 ms: whoever is to be closed is closed soon, whoever is not has time enough.
QUICK = ServerLimits(sweep_seconds=0.02, idle_seconds=60, record_seconds=60, backlog_seconds=60)


@asynccontextmanager
async def serving(
    most: ServerLimits = QUICK, service: Echo | None = None
) -> AsyncIterator[tuple[RpcServer, int, Echo]]:
    """A server of the echo program; at the end nothing may be left in its accounts."""
    service = service or Echo()
    server = RpcServer(most)
    server.add(ECHO_V2, service)
    port = server.listen("tcp", "127.0.0.1")
    server.listen("udp", "127.0.0.1", port)
    yield server, port, service
    service.gate.set()
    await server.stop(5)
    await until(lambda: not server.dispatcher.waiting)
    guards = server.guards
    assert not guards.clients and not guards.connections and not guards.calls
    assert not (guards.backlog.total or guards.records.total or guards.argument_bytes)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def echoes(raw: Raw, xid: int, data: bytes = b"alive") -> None:
    raw.writer.write(record(xid, "ECHO", data))
    assert read_reply(await raw.reply())[0] == xid


async def from_elsewhere(port: int) -> Raw:
    """A connection of another client."""
    source = ("127.0.0.2", 0)
    return Raw(*await asyncio.open_connection("127.0.0.1", port, local_addr=source))


async def ended(raw: Raw) -> None:
    """The server has closed the connection."""
    try:
        while await asyncio.wait_for(raw.reader.read(65536), 20):
            pass
    except ConnectionResetError:
        pass
    raw.writer.close()


def test_calls_in_flight_of_one_client_over_all_transports() -> None:
    """Held back while others of it wait, over TCP and UDP; all of TCP's are answered."""

    async def main() -> None:
        most = replace(QUICK, calls_per_client=10, calls_per_connection=8)
        service = Held()
        async with serving(most, service) as (server, port, _):
            raws = [await Raw.open(port) for _ in range(5)]
            for raw in raws:
                raw.writer.write(b"".join(record(i, "ECHO", b"x") for i in range(8)))
            await until(lambda: len(service.held) == 10)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.sendto(record(1, "ECHO", b"x")[4:], ("127.0.0.1", port))
                await until(lambda: server._datagrams[0].dropped == 1)
            await asyncio.sleep(0.05)
            assert len(service.held) == 10
            answers = [asyncio.ensure_future(all_of(raw, 8)) for raw in raws]
            while not all(answer.done() for answer in answers):
                assert len(service.held) <= 10
                service.answer()
                await asyncio.sleep(0.001)
            assert [await answer for answer in answers] == [list(range(8))] * 5
            for raw in raws:
                raw.writer.close()

    loop.run(main())


async def all_of(raw: Raw, count: int) -> list[int]:
    return sorted([read_reply(await raw.reply())[0] for _ in range(count)])


def test_idle_connections_are_closed_and_waiting_ones_are_not() -> None:
    async def main() -> None:
        async with serving(replace(QUICK, idle_seconds=0.1)) as (server, port, service):
            idle, waiting = await Raw.open(port), await Raw.open(port)
            await echoes(idle, 1)
            waiting.writer.write(record(2, "SLEEP", b"x"))
            await until(lambda: service.waiting == 1)
            await ended(idle)
            await asyncio.sleep(0.2)
            service.gate.set()
            assert read_reply(await waiting.reply())[0] == 2
            await ended(waiting)
            assert server.guards.cuts == {Cut.IDLE: 2}

    loop.run(main())


@pytest.mark.parametrize(
    "begun", [b"\x80", mark(500) + b"abc", struct.pack(">2I", 4, 1), b"\0" * 4]
)
def test_a_record_that_does_not_end_is_cut_off(begun: bytes) -> None:
    async def main() -> None:
        async with serving(replace(QUICK, record_seconds=0.1)) as (server, port, _):
            slow, other = await Raw.open(port), await Raw.open(port)
            await echoes(slow, 1)
            slow.writer.write(begun)
            sent = 0
            while not server.guards.cuts:
                if begun[:1] == b"\x80" and len(begun) > 4:
                    slow.writer.write(b"x")
                sent += 1
                await echoes(other, sent)
                await asyncio.sleep(0.01)
            await ended(slow)
            assert server.guards.cuts == {Cut.SLOW: 1}
            await echoes(other, 0)
            other.writer.close()

    loop.run(main())


def deaf(port: int) -> socket.socket:
    """A connection that takes little before it is full."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def test_a_client_that_takes_no_replies_is_cut_off() -> None:
    async def main() -> None:
        most = replace(QUICK, backlog_seconds=0.2, backlog_bytes=1 << 20)
        async with serving(most) as (server, port, _):
            other = await Raw.open(port)
            sock = deaf(port)
            sock.send(b"".join(record(i, "MANY", b"1000000") for i in range(50)))
            peak = xid = 0
            while not server.guards.cuts:
                peak = max(peak, server.guards.backlog.total)
                xid += 1
                await echoes(other, xid)
            assert server.guards.cuts == {Cut.UNREAD: 1}
            assert 1 << 20 < peak <= 4 << 20
            assert not server.guards.backlog.total
            sock.close()
            other.writer.close()

    loop.run(main())


def test_a_client_that_takes_its_replies_slowly_is_not_cut_off() -> None:
    async def main() -> None:
        most = replace(QUICK, backlog_seconds=0.2, slowest_bytes_per_second=1000)
        async with serving(most) as (server, port, _):
            raw = await Raw.open(port)
            raw.writer.write(b"".join(record(i, "MANY", b"1000000") for i in range(16)))
            wanted, late = 16 * 1_000_032, 0
            while wanted:
                data = await asyncio.wait_for(raw.reader.read(100_000), 20)
                assert data, server.guards.cuts
                wanted -= len(data)
                late += server.guards.backlog.total > 0
                await asyncio.sleep(0.003)
            assert late > 50 and not server.guards.cuts
            raw.writer.close()

    loop.run(main())


class Large(Echo):
    """SLEEP answers a megabyte, and looks what the server owes by then."""

    server: RpcServer | None = None
    most_owed = 0

    async def SLEEP(self, call: Call, args: Buffer) -> Buffer:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.server is not None:
            owed = sum(connection._out_bytes for connection in self.server._connections)
            self.most_owed = max(self.most_owed, owed)
        return bytes(1 << 20)


def test_who_is_known_for_large_replies_has_fewer_calls_in_flight() -> None:
    async def main() -> None:
        service = Large()
        async with serving(replace(QUICK, client_backlog_bytes=4 << 20), service) as (_, port, _):
            raw = await Raw.open(port)
            for most in (33, 5):
                raw.writer.write(b"".join(record(i, "SLEEP", b"") for i in range(40)))
                await until(lambda most=most: service.waiting >= min(most, 40))  # type: ignore[misc]
                await asyncio.sleep(0.02)
                assert service.waiting <= most
                service.gate.set()
                assert await all_of(raw, 40) == list(range(40))
                service.gate.clear()
            raw.writer.close()

    loop.run(main())


def test_replies_that_nobody_takes_are_bounded_for_a_client_and_for_the_server() -> None:
    """Calls that wait promise replies: many connections, all of them deaf, answered at once."""

    async def main() -> None:
        most = replace(QUICK, client_backlog_bytes=40 << 20, server_backlog_bytes=16 << 20)
        service = Large()
        async with serving(most, service) as (server, port, _):
            service.server = server
            other = await from_elsewhere(port)
            socks = [deaf(port) for _ in range(10)]
            for sock in socks:
                sock.send(b"".join(record(i, "SLEEP", b"") for i in range(30)))
            await until(lambda: service.waiting >= 60)
            service.gate.set()
            for xid in range(100):
                await echoes(other, xid)
                assert server.guards.backlog.total <= 16 << 20
            assert server.guards.cuts[Cut.BACKLOG_MEMORY] > 0
            assert not set(server.guards.cuts) - {Cut.BACKLOG_MEMORY}
            assert 8 << 20 < service.most_owed <= 17 << 20
            for sock in socks:
                sock.close()
            other.writer.close()

    loop.run(main())


def test_incomplete_records_are_bounded_and_the_others_go_on() -> None:
    async def main() -> None:
        most = replace(QUICK, server_record_bytes=8 << 20)
        async with serving(most) as (server, port, _):
            honest = await from_elsewhere(port)
            large = record(7, "ECHO", bytes(1 << 20))
            honest.writer.write(large[: 1 << 19])
            attackers = []
            for _ in range(30):
                attackers.append(await Raw.open(port))
                attackers[-1].writer.write(mark(1 << 20) + bytes(1 << 19))
                await asyncio.sleep(0.005)
                assert server.guards.records.total <= 8 << 20
            honest.writer.write(large[1 << 19 :])
            reply = await honest.reply()
            assert read_reply(reply)[0] == 7 and len(reply) > 1 << 20
            assert 20 <= server.guards.cuts[Cut.RECORD_MEMORY] < 30
            for raw in [honest, *attackers]:
                raw.writer.close()

    loop.run(main())


def test_the_place_of_an_idle_connection_is_taken() -> None:
    async def main() -> None:
        async with serving(replace(QUICK, connections=10)) as (server, port, _):
            idle = [await Raw.open(port) for _ in range(10)]
            await until(lambda: server.connections == 10)
            late = []
            for count in range(3):
                late.append(await from_elsewhere(port))
                await echoes(late[-1], count)
                await ended(idle[count])
            assert server.connections == 10
            assert server.guards.cuts == {Cut.CROWDED: 3}
            for raw in idle + late:
                raw.writer.close()

    loop.run(main())


def test_of_a_clients_connections_the_one_that_called_longest_ago_is_closed() -> None:
    async def main() -> None:
        async with serving(replace(QUICK, connections=3)) as (server, port, _):
            raws = [await Raw.open(port) for _ in range(3)]
            await until(lambda: server.connections == 3)
            (client,) = server.guards.clients.values()
            first = next(iter(client.connections))
            await echoes(raws[0], 1)
            await until(lambda: next(iter(client.connections)) is not first)
            late = await Raw.open(port)
            await echoes(late, 1)
            await ended(raws[1])
            await echoes(raws[0], 2)
            for raw in (raws[0], raws[2], late):
                raw.writer.close()

    loop.run(main())


def test_without_descriptors_an_idle_connection_gives_up_its_own() -> None:
    async def main() -> None:
        async with serving() as (server, port, _):
            idle = [await Raw.open(port) for _ in range(3)]
            await until(lambda: server.connections == 3)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            late = socket.socket()
            late.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, hard))
            try:
                late.connect_ex(("127.0.0.1", port))
                await until(lambda: server.guards.cuts[Cut.CROWDED] > 0)
                await ended(idle[0])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: server.connections == 3)
            for raw in idle[1:]:
                await echoes(raw, 1)
                raw.writer.close()
            late.close()

    loop.run(main())


def test_who_connects_again_and_again_waits_and_is_served() -> None:
    async def main() -> None:
        most = replace(QUICK, accepts_per_second=100, accepts_at_once=10)
        async with serving(most) as (server, port, _):
            raws = await asyncio.gather(*(Raw.open(port) for _ in range(40)))
            await asyncio.sleep(0)
            assert server.connections < 40
            for number, raw in enumerate(raws):
                await echoes(raw, number)
                raw.writer.close()

    loop.run(main())


@pytest.mark.parametrize(
    "junk",
    [
        (mark(3) + b"abc") * 100,
        mark(0) * 100,
        struct.pack(">I", 0x80000000 | 2**30),
        bytes(4) * (limits.FRAGMENTS_PER_RECORD + 1),
        struct.pack(">I", 1).ljust(5, b"x") * (limits.FRAGMENTS_PER_RECORD + 1),
        b"GET / HTTP/1.0\r\n\r\n",
    ],
    ids=["short", "empty", "huge", "empty fragments", "tiny fragments", "http"],
)
def test_what_is_no_record_of_calls_is_cut_off(junk: bytes) -> None:
    async def main() -> None:
        async with serving() as (server, port, service):
            bad, other = await Raw.open(port), await Raw.open(port)
            bad.writer.write(junk + record(1, "ECHO", b"x"))
            await ended(bad)
            await echoes(other, 1)
            assert server.guards.cuts == {Cut.RECORD: 1}
            assert service.calls == 1
            other.writer.close()

    loop.run(main())


def test_calls_that_are_answered_elsewhere_are_no_junk() -> None:
    class Dropping(Echo):
        async def CALL_BACK(self, call: Call, args: Buffer) -> Any:
            call.drop()
            return LATER

    async def main() -> None:
        async with serving(QUICK, Dropping()) as (_, port, _):
            raw = await Raw.open(port)
            raw.writer.write(b"".join(record(i, "CALL_BACK", b"x") for i in range(100)))
            await echoes(raw, 1000)
            raw.writer.close()

    loop.run(main())


def test_records_of_many_fragments_are_served_in_turns() -> None:
    async def main() -> None:
        async with serving() as (_, port, service):
            raw = await Raw.open(port)
            body = record(3, "ECHO", bytes(800))[4:]
            tiny = b"".join(struct.pack(">I", 1) + body[i : i + 1] for i in range(len(body) - 1))
            raw.writer.write((tiny + mark(1) + body[-1:]) * 20)
            for _ in range(20):
                assert read_reply(await raw.reply())[0] == 3
            assert service.calls == 20
            raw.writer.close()

    loop.run(main())


def test_a_connection_closed_by_its_own_call_serves_no_more() -> None:
    class Closing(Echo):
        async def ECHO(self, call: Call, args: Buffer) -> Buffer:
            self.calls += 1
            call.transport.close()  # type: ignore[attr-defined]
            return args

    async def main() -> None:
        service = Closing()
        async with serving(QUICK, service) as (_, port, _):
            raw = await Raw.open(port)
            raw.writer.write(b"".join(record(i, "ECHO", b"x") for i in range(16)) + b"\x80")
            await ended(raw)
            assert service.calls == 1

    loop.run(main())


def test_a_connection_closed_while_others_of_it_wait_their_turn() -> None:
    async def main() -> None:
        most = replace(QUICK, calls_per_client=4)
        service = Held()
        async with serving(most, service) as (server, port, _):
            raws = [await Raw.open(port) for _ in range(6)]
            for raw in raws:
                raw.writer.write(b"".join(record(i, "ECHO", b"x") for i in range(4)))
            await until(lambda: len(service.held) == 4)
            held = {call.transport for call, _ in service.held}
            waiting = [c for c in list(server._connections) if c not in held]
            lost = {connection.peer.port for connection in waiting[:3]}
            for connection in waiting[:3]:
                connection.close()
            while server.guards.calls or service.held:
                service.answer()
                await asyncio.sleep(0.002)
            for raw in raws:
                if raw.writer.get_extra_info("sockname")[1] not in lost:
                    assert await all_of(raw, 4) == [0, 1, 2, 3]
                raw.writer.close()

    loop.run(main())
