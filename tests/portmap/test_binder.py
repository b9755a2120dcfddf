"""The binder: services that are looked up at a real portmapper, die, move and are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oncrpc import loop
from oncrpc.call import Call
from oncrpc.client import Retry
from oncrpc.errors import (
    ConnectionLost,
    ConnectionRefused,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    RpcTimeout,
)
from oncrpc.program import Proc, Program, Service
from oncrpc.server import RpcServer
from oncrpc.xdr import BOOL, decode_void, encode_void
from portmap.binder import Binder, Bound, NotRegistered
from portmap.client import NoPortmapper, registrations
from portmap.registry import Registration
from portmap.server import Portmapper


def _encode_flag(value: bool, put: Callable[[bytes], object]) -> None:
    put(b"\0\0\0\1" if value else b"\0\0\0\0")


def _decode_flag(buf: Any, pos: int) -> tuple[bool, int]:
    return BOOL[int.from_bytes(buf[pos : pos + 4], "big")], pos + 4


NULL = Proc(0, "NULL", decode_void, encode_void, decode_void, encode_void)
STEP = Proc(1, "STEP", decode_void, encode_void, _decode_flag, _encode_flag)
HANG = Proc(2, "HANG", decode_void, encode_void, _decode_flag, _encode_flag)
COUNTER = Program("COUNTER", 0x20000077, 1, {0: NULL, 1: STEP, 2: HANG})
OTHER = Program("OTHER", 0x20000078, 1, COUNTER.procs)

TRANSPORTS = ("tcp", "udp")

#: Short ones, as these tests run in real time.
RETRY = Retry(intervals=(0.05,) * 8, pause=0.01, give_up=0.15)

Test = Callable[["World"], Awaitable[None]]
Run = Callable[[Test], None]


class Counter(Service):
    """Counts its steps."""

    PROGRAM = COUNTER

    def __init__(self) -> None:
        self.steps = 0
        self.hanging = asyncio.Event()
        self.gate = asyncio.Event()

    async def STEP(self, call: Call, args: None) -> bool:
        self.steps += 1
        return True

    async def HANG(self, call: Call, args: None) -> bool:
        """Executed, and answered when the gate opens."""
        self.steps += 1
        self.hanging.set()
        await self.gate.wait()
        return True


class World:
    """A portmapper on a free port, and instances of the service."""

    def __init__(self) -> None:
        self.portmapper = Portmapper()
        self.pmap_port = self.portmapper.listen("127.0.0.1", 0)
        self.servers: list[RpcServer] = []
        self.binders: list[Binder] = []

    def binder(self, **options: Any) -> Binder:
        own: dict[str, Any] = {"port": self.pmap_port, "retry": RETRY, "timeout": 2.0}
        self.binders.append(Binder("127.0.0.1", **(own | options)))
        return self.binders[-1]

    def serve(self, program: Program = COUNTER, port: int = 0) -> tuple[RpcServer, Counter, int]:
        """A new instance, not registered."""
        server, service = RpcServer(), Counter()
        server.add(program, service)
        port = server.listen("tcp", "127.0.0.1", port)
        server.listen("udp", "127.0.0.1", port)
        self.servers.append(server)
        return server, service, port

    def export(self, port: int, program: Program = COUNTER) -> None:
        """Register it, in the place of another."""
        self.portmapper.add(self.entries(port, program))

    def withdraw(self, port: int) -> None:
        self.portmapper.remove(self.entries(port, COUNTER))

    def entries(self, port: int, program: Program) -> list[Registration]:
        made: list[Registration] = []
        for transport in TRANSPORTS:
            numbers = [(program.number, program.version)]
            made += registrations(numbers, transport, "127.0.0.1", port)
        return made

    async def close(self) -> None:
        for binder in self.binders:
            binder.close()
        for server in self.servers:
            await server.stop(0)
        await self.portmapper.stop()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def go(test: Test) -> None:
        async def main() -> None:
            world = World()
            try:
                async with asyncio.timeout(30):
                    await test(world)
            finally:
                await world.close()

        loop.run(main(), request.param)

    return go


async def step(bound: Bound) -> None:
    assert await bound.call(COUNTER, STEP, None, 10) is True


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_looks_up_once_and_keeps_what_it_found(run: Run, transport: str) -> None:
    async def test(w: World) -> None:
        _, service, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER, transport)
        assert await binder.lookup(COUNTER, transport) == ("127.0.0.1", port)
        for _ in range(10):
            await step(bound)
        await step(await binder.client(COUNTER, transport))
        assert (service.steps, binder.lookups) == (11, 1)

    run(test)


def test_those_who_ask_at_once_share_a_query(run: Run) -> None:
    """Also when the first of them leaves."""

    async def test(w: World) -> None:
        _, service, port = w.serve()
        w.export(port)
        binder = w.binder()
        asking = [asyncio.ensure_future(binder.client(COUNTER)) for _ in range(20)]
        await asyncio.sleep(0)
        asking[0].cancel()
        bounds = await asyncio.gather(*asking[1:])
        assert binder.lookups == 1
        await asyncio.gather(*(step(bound) for bound in bounds))
        assert service.steps == 19
        await binder.client(COUNTER, "udp")
        assert binder.lookups == 2

    run(test)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_service_that_moved(run: Run, transport: str) -> None:
    """Calls that were surely not executed go to the new place, and so do idempotent ones.

    Over TCP the connection is gone, so a later call was never sent. Over UDP nobody can tell.
    """

    async def test(w: World) -> None:
        old, before, port = w.serve()
        w.export(port)
        binder = w.binder()
        careful = await binder.client(COUNTER, transport)
        carefree = await binder.client(COUNTER, transport, lambda proc: proc.name == "STEP")
        await step(careful)
        await old.stop(0)
        _, after, port = w.serve()
        w.export(port)
        await asyncio.sleep(0.05)
        if transport == "tcp":
            await step(careful)
        else:
            with pytest.raises(ConnectionRefused):
                await step(careful)
        await step(careful)
        await step(carefree)
        steps = 3 if transport == "tcp" else 2
        assert (before.steps, after.steps, binder.lookups) == (1, steps, 2)

        await w.servers[-1].stop(0)
        _, after, port = w.serve()
        w.export(port)
        await step(carefree)
        await carefree.call(COUNTER, NULL, None, 10)
        assert (after.steps, binder.lookups) == (1, 3)

    run(test)


def test_a_call_whose_outcome_is_unknown(run: Run) -> None:
    """It was executed by the old instance: it fails, once, and is not executed again."""

    async def test(w: World) -> None:
        for idempotent in (False, True):
            old, before, port = w.serve()
            w.export(port)
            binder = w.binder()
            bound = await binder.client(COUNTER, "tcp", (lambda proc: True) if idempotent else None)
            hanging = asyncio.ensure_future(bound.call(COUNTER, HANG, None, 10))
            await before.hanging.wait()
            await old.stop(0)
            _, after, port = w.serve()
            after.gate.set()
            w.export(port)
            if idempotent:
                assert await hanging is True
            else:
                with pytest.raises(ConnectionLost, match="HANG") as caught:
                    await hanging
                assert not caught.value.unsent
            assert (before.steps, after.steps) == (1, int(idempotent))
            await step(bound)
            assert binder.lookups == 2

    run(test)


def test_a_call_that_was_sent_once_is_not_unsent(run: Run) -> None:
    """Executed by the old instance; that there is no new one does not make it unexecuted."""

    async def test(w: World) -> None:
        old, before, port = w.serve()
        w.export(port)
        bound = await w.binder().client(COUNTER, "tcp", lambda proc: True)
        hanging = asyncio.ensure_future(bound.call(COUNTER, HANG, None, 10))
        await before.hanging.wait()
        await old.stop(0)
        with pytest.raises(ConnectionRefused, match="registered at") as caught:
            await hanging
        assert before.steps == 1
        assert not caught.value.unsent
        with pytest.raises(ConnectionRefused) as caught:  # of a call that never had a connection
            await bound.call(COUNTER, HANG, None, 10)
        assert caught.value.unsent

    run(test)


def test_all_calls_that_fail_together_ask_once(run: Run) -> None:
    async def test(w: World) -> None:
        old, before, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER, "tcp", lambda proc: True)
        calls = [asyncio.ensure_future(bound.call(COUNTER, HANG, None, 10)) for _ in range(20)]
        while before.steps < 20:
            await asyncio.sleep(0.001)
        await old.stop(0)
        _, after, port = w.serve()
        after.gate.set()
        w.export(port)
        assert await asyncio.gather(*calls) == [True] * 20
        assert (after.steps, binder.lookups) == (20, 2)

    run(test)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_another_service_at_the_old_port(run: Run, transport: str) -> None:
    """Its PROG_UNAVAIL says that nothing was executed: the call goes to the new place."""

    async def test(w: World) -> None:
        old, _, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER, transport)
        await step(bound)
        await old.stop(0)
        w.serve(OTHER, port)
        _, after, port = w.serve()
        w.export(port)
        await step(bound)
        assert (after.steps, binder.lookups) == (1, 2)

    run(test)


def test_the_wrong_service_where_the_portmapper_sends_it(run: Run) -> None:
    """Asked once more, which does not help; also for another version. Other refusals do not ask."""

    async def test(w: World) -> None:
        _, _, port = w.serve(OTHER)
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER)
        with pytest.raises(ProgUnavail, match=f"COUNTER version 1, STEP, at tcp 127.0.0.1:{port}"):
            await step(bound)
        assert binder.lookups == 2
        [found] = binder._bindings.values()
        assert found.client.statistics.calls == 1  # not made again where it failed
        w.export(port, OTHER)
        with pytest.raises(ProcUnavail):
            await bound.call(OTHER, Proc(9, "NONE", *_codecs()), None, 5)

        newer = Program("COUNTER", COUNTER.number, 2, COUNTER.procs)
        _, _, port = w.serve()
        w.export(port, newer)
        bound = await binder.client(newer)
        asked = binder.lookups
        with pytest.raises(ProgMismatch, match="versions 1 to 1"):
            await bound.call(newer, STEP, None, 5)
        assert binder.lookups == asked + 1

    run(test)


def _codecs() -> tuple[Any, ...]:
    return NULL.decode_args, NULL.encode_args, NULL.decode_result, NULL.encode_result


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_service_that_is_not_there(run: Run, transport: str) -> None:
    async def test(w: World) -> None:
        binder = w.binder()
        with pytest.raises(NotRegistered, match=f"COUNTER version 1 over {transport}"):
            await binder.client(COUNTER, transport)
        old, _, port = w.serve()
        w.export(port)
        bound = await binder.client(COUNTER, transport)
        await step(bound)
        await old.stop(0)
        w.withdraw(port)
        await asyncio.sleep(0.05)
        with pytest.raises((NotRegistered, ConnectionRefused)):
            await step(bound)
        with pytest.raises(NotRegistered):
            await step(bound)
        _, after, port = w.serve()
        w.export(port)
        await step(bound)
        assert after.steps == 1

    run(test)


def test_a_registration_of_a_dead_server(run: Run) -> None:
    async def test(w: World) -> None:
        server, _, port = w.serve()
        w.export(port)
        await server.stop(0)
        binder = w.binder()
        with pytest.raises(ConnectionRefused, match=f"registered at 127.0.0.1:{port}") as caught:
            await binder.client(COUNTER)
        assert caught.value.unsent
        bound = await binder.client(COUNTER, "udp")  # connects to nothing
        with pytest.raises(ConnectionRefused):
            await step(bound)

    run(test)


def test_no_portmapper(run: Run) -> None:
    """Nothing can be found; what was found stays in use."""

    async def test(w: World) -> None:
        _, service, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER)
        await w.portmapper.stop()
        with pytest.raises(NoPortmapper):
            await binder.client(OTHER)
        binder.forget(COUNTER)
        await step(bound)
        await step(bound)
        assert (service.steps, binder.lookups) == (2, 3)
        await w.servers[0].stop(0)
        await asyncio.sleep(0.05)
        with pytest.raises(NoPortmapper):
            await step(bound)

    run(test)


def test_an_address_is_believed_for_a_time(run: Run) -> None:
    async def test(w: World) -> None:
        _, first, port = w.serve()
        w.export(port)
        binder = w.binder(keep=0.2)
        bound = await binder.client(COUNTER)
        await step(bound)
        [connection] = [it.client for it in binder._bindings.values()]
        await asyncio.sleep(0.25)
        await step(bound)
        assert binder.lookups == 2
        assert [it.client for it in binder._bindings.values()] == [connection]  # as good as before

        hanging = asyncio.ensure_future(bound.call(COUNTER, HANG, None, 10))
        await first.hanging.wait()
        _, second, port = w.serve()
        w.export(port)
        await step(bound)
        assert second.steps == 0
        await asyncio.sleep(0.25)
        await step(bound)
        assert second.steps == 1
        first.gate.set()  # the old connection stays for as long as it has calls
        assert await hanging is True
        with pytest.raises(ConnectionLost, match="closed"):
            await connection.call(COUNTER, NULL, None)

    run(test)


def test_forgetting(run: Run) -> None:
    async def test(w: World) -> None:
        _, _, port = w.serve()
        w.export(port)
        w.export(port, OTHER)
        binder = w.binder()
        bound = await binder.client(COUNTER)
        await binder.client(OTHER)
        binder.forget(OTHER)
        await step(bound)
        assert binder.lookups == 2
        binder.forget()
        await step(bound)
        assert binder.lookups == 3

    run(test)


def test_a_reply_that_does_not_come(run: Run) -> None:
    """It may be that the service moved: the next call asks."""

    async def test(w: World) -> None:
        _, _, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER)
        with pytest.raises(RpcTimeout, match="HANG"):
            await bound.call(COUNTER, HANG, None, 0.05)
        assert binder.lookups == 1
        await step(bound)
        await step(bound)
        assert binder.lookups == 2

    run(test)


def test_the_timeout_bounds_the_query(run: Run) -> None:
    async def test(w: World) -> None:
        kept: list[object] = []  # or they would be collected, and closed by that
        silent = await asyncio.start_server(lambda *streams: kept.append(streams), "127.0.0.1", 0)
        binder = w.binder(port=silent.sockets[0].getsockname()[1])
        bound = Bound(binder, "tcp", None)
        with pytest.raises(RpcTimeout, match=r"not found in 0.1 s") as caught:
            await bound.call(COUNTER, STEP, None, 0.1)
        assert caught.value.unsent
        waiting = asyncio.ensure_future(step(bound))
        await asyncio.sleep(0.01)
        binder.close()
        with pytest.raises(ConnectionLost, match="the binder is closed"):
            await waiting
        silent.close()

    run(test)


def test_closing(run: Run) -> None:
    async def test(w: World) -> None:
        _, service, port = w.serve()
        w.export(port)
        binder = w.binder()
        bound = await binder.client(COUNTER, "tcp", lambda proc: True)
        hanging = asyncio.ensure_future(bound.call(COUNTER, HANG, None, 10))
        await service.hanging.wait()
        binder.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await hanging
        with pytest.raises(ConnectionLost, match="closed"):
            await step(bound)
        assert service.steps == 1

    run(test)
