"""The duplicate request cache, without I/O: one dispatcher, transports that keep what they sent."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from typing import Any

import pytest
from echo import ECHO_V2, Echo

from oncrpc.call import LATER, Call, Once, Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.message import NOBODY, call_header
from oncrpc.program import ProcFlag
from oncrpc.ring import Ring
from oncrpc.testing import Capture

SEGMENT = 4096
ECHO, SLEEP, CALL_BACK = 1, 2, 6
PROGRAM = ECHO_V2.flagged({name: ProcFlag.CACHE_REPLY for name in ("ECHO", "SLEEP", "CALL_BACK")})


class Counter(Echo):
    """Counts its executions, and answers with how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Call] = []
        self.facts: bytes | None = None
        self.settled: list[tuple[str, bytes, bytes]] = []
        self.outcome: bytes | None = None
        self.lasting = True

    async def ECHO(self, call: Call, args: Any) -> bytes:
        self.calls += 1
        if args == b"not kept":
            call.nocache()
        return b"%d" % self.calls

    async def SLEEP(self, call: Call, args: Any) -> bytes:
        self.calls += 1
        await self.gate.wait()
        return b"%d" % self.calls

    async def CALL_BACK(self, call: Call, args: Any) -> Any:
        self.calls += 1
        self.held.append(call)
        return LATER

    async def intent(self, call: Call, args: Any) -> bytes | None:
        return self.facts

    async def settle(self, call: Call, args: Any, facts: bytes) -> Any:
        self.settled.append((call.peer.host, bytes(args), facts))
        return self.outcome

    def lasts(self, proc: Any, args: Any) -> bool:
        return self.lasting


class World:
    """A server around a ring that survives `restart`."""

    def __init__(self, segments: int = 8, entries: int = 1000, retention: float = 60.0) -> None:
        self.buffer = bytearray(SEGMENT * segments)
        self.limits = entries, retention
        self.now = 1e9
        self.restart()

    def restart(self) -> None:
        self.cache = DuplicateRequestCache(
            Ring(self.buffer, SEGMENT), *self.limits, clock=lambda: self.now
        )
        self.service = Counter()
        self.dispatcher = Dispatcher()
        self.dispatcher.add(PROGRAM, self.service, cache=self.cache)

    def send(
        self, xid: int, args: bytes = b"", host: str = "10.0.0.1", port: int = 700, proc: int = ECHO
    ) -> Capture:
        to = Capture(Peer(host, port))
        head = call_header(xid, PROGRAM.number, PROGRAM.version, proc, NOBODY.pack())
        body = struct.pack(">I", len(args)) + args + bytes(-len(args) & 3)
        self.dispatcher.dispatch(head + body, to)
        return to

    def ask(self, *args: Any, **kwargs: Any) -> bytes:
        (reply,) = self.send(*args, **kwargs).sent
        return reply


def test_a_duplicate_gets_the_same_bytes_and_is_not_executed() -> None:
    w = World()
    first = w.ask(1)
    assert w.ask(1) == first
    assert w.ask(1, port=999) == first  # the client has connected again, from another port
    assert w.service.calls == 1
    w.now += 61
    w.limits = 1000, 900.0
    assert w.cache.statistics.hits == 2


def test_after_61_seconds_too_but_not_for_ever() -> None:
    w = World(retention=100.0)
    first = w.ask(1)
    w.now += 61
    assert w.ask(1) == first
    w.now += 61
    assert w.ask(1) != first


def test_the_clock_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    monkeypatch.setattr(time, "time", lambda: now)
    cache = DuplicateRequestCache(Ring(bytearray(4 * SEGMENT), SEGMENT), retention=100.0)
    once = cache.begin(b"key", Capture())
    assert isinstance(once, Once)
    once.send([b"reply"])
    now = 4e9
    assert cache.begin(b"key", Capture()) == b"reply"


def test_a_reply_from_the_future_is_not_kept_for_ever() -> None:
    """The clock was wrong before the restart, and is right again."""
    w = World(retention=100.0)
    w.now = 2e9
    w.send(1)
    w.now = 1e9
    w.restart()
    for later, executed in ((99, 0), (2, 1)):
        w.now += later
        w.send(1)
        assert w.service.calls == executed


@pytest.mark.parametrize("other", [{"xid": 2}, {"args": b"x"}, {"host": "10.0.0.2"}, {"proc": 6}])
def test_another_call_is_executed(other: dict[str, Any]) -> None:
    async def main() -> None:
        w = World()
        w.send(**{"xid": 1, **other})
        w.send(1)
        assert w.service.calls == 2

    asyncio.run(main())


def test_a_procedure_that_is_not_flagged_is_executed_each_time() -> None:
    w = World()
    w.dispatcher = Dispatcher()
    w.dispatcher.add(ECHO_V2, w.service, cache=w.cache)
    assert w.ask(1) != w.ask(1)
    assert not len(w.cache)


def test_bulk_is_told_apart_by_its_beginning_and_length() -> None:
    w = World()
    bulk = {"ECHO": ProcFlag.CACHE_REPLY | ProcFlag.BULK}
    w.dispatcher = Dispatcher()
    w.dispatcher.add(ECHO_V2.flagged(bulk), w.service, cache=w.cache)
    data = bytes(3000)
    for args in (data, data, b"x" + data[1:], data[:-4]):
        w.send(1, args)
    assert w.service.calls == 3


def test_in_progress_is_answered_on_the_newest_way() -> None:
    async def main() -> None:
        w = World()
        old = w.send(1, proc=SLEEP)
        new = w.send(1, proc=SLEEP, port=999)
        w.service.gate.set()
        await new.arrived.wait()
        assert w.service.calls == 1
        assert old.sent == []
        assert w.ask(1, proc=SLEEP) == new.sent[0]
        assert w.cache.statistics.in_progress == 1

    asyncio.run(main())


def test_what_is_answered_later_is_kept_too() -> None:
    async def main() -> None:
        w = World()
        w.send(1, proc=CALL_BACK)
        new = w.send(1, proc=CALL_BACK, port=999)
        w.service.held[0].reply(b"done")
        assert w.ask(1, proc=CALL_BACK) == new.sent[0]
        assert w.service.calls == 1

    asyncio.run(main())


def test_a_dropped_call_is_executed_when_it_comes_again() -> None:
    async def main() -> None:
        w = World()
        w.send(1, proc=CALL_BACK)
        w.service.held[0].drop()
        w.send(1, proc=CALL_BACK)
        assert w.service.calls == 2

    asyncio.run(main())


def test_nocache() -> None:
    w = World()
    assert w.ask(1, b"not kept") != w.ask(1, b"not kept")
    assert w.cache.statistics.forgotten == 2
    assert not len(w.cache)


def test_garbage_is_not_kept() -> None:
    w = World()
    to = Capture()
    head = call_header(1, PROGRAM.number, PROGRAM.version, ECHO, NOBODY.pack())
    w.dispatcher.dispatch(head + b"\0\0\0\x09", to)
    assert len(to.sent) == 1
    assert not len(w.cache)


# Bounds


def test_a_flood_shortens_the_memory_of_its_own_calls_alone() -> None:
    w = World(segments=8)
    first = w.ask(1, host="10.0.0.9")
    for xid in range(5000):
        w.send(xid)
    assert w.ask(1, host="10.0.0.9") == first
    assert w.ask(4999) == w.ask(4999)
    executed = w.service.calls
    w.send(0)
    assert w.service.calls == executed + 1
    stats = w.cache.statistics
    assert stats.carried > 0
    assert stats.evicted_early == stats.evicted > 4000
    assert len(w.cache) < 8 * SEGMENT // 90


def test_no_more_entries_than_may_be() -> None:
    w = World(segments=32, entries=100)
    for xid in range(1000):
        w.send(xid)
    assert len(w.cache) <= 100
    executed = w.service.calls
    w.send(999)
    assert w.service.calls == executed


def test_calls_in_progress_take_no_place_of_replies() -> None:
    async def main() -> None:
        w = World(segments=8, entries=20)
        for xid in range(100):
            w.send(xid, proc=SLEEP)
        for xid in range(1000, 1010):
            w.ask(xid)
        executed = w.service.calls
        for xid in range(1000, 1010):
            w.ask(xid)
        assert w.service.calls == executed
        assert w.cache.statistics.carried == w.cache.statistics.evicted == 0

    asyncio.run(main())


def test_the_expired_go_without_being_called_early() -> None:
    w = World()
    w.send(1)
    w.now += 3600
    for xid in range(2, 1000):
        w.now += 1
        w.send(xid)
    assert w.cache.statistics.evicted > w.cache.statistics.evicted_early == 0


def test_a_reply_that_no_segment_holds_is_not_kept() -> None:
    w = World()
    w.service.ECHO = lambda call, args: _later(bytes(2 * SEGMENT))  # type: ignore[method-assign]
    w.dispatcher = Dispatcher()
    w.dispatcher.add(PROGRAM, w.service, cache=w.cache)
    w.send(1)
    assert w.cache.statistics.too_large == 1
    assert not len(w.cache)


async def _later(value: Any) -> Any:
    return value


def test_calls_in_progress_are_never_lost_to_a_flood() -> None:
    async def main() -> None:
        w = World()
        w.service.facts = b"facts"
        held = w.send(1, proc=SLEEP)
        for xid in range(5000):
            w.send(xid + 10, host="10.0.0.2")
        assert w.send(1, proc=SLEEP).sent == []
        w.restart()
        w.service.outcome = b"it took place"
        await w.cache.recover(w.dispatcher.settle)
        assert w.service.settled == [("10.0.0.1", b"", b"facts")]
        assert b"it took place" in w.ask(1, proc=SLEEP)
        assert held.sent == []

    asyncio.run(main())


def test_intents_do_not_fill_the_ring() -> None:
    async def main() -> None:
        w = World()
        w.service.facts = bytes(500)
        for xid in range(200):
            w.send(xid, proc=SLEEP)
        assert 0 < w.cache.statistics.unjournalled < 200
        w.service.gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        executed = w.service.calls
        assert executed == 200
        w.service.facts = None
        before = w.cache.statistics.unjournalled
        w.service.facts = bytes(500)
        w.send(1000)
        assert w.cache.statistics.unjournalled == before

    asyncio.run(main())


# Restarts and crashes


def test_replies_survive_a_restart() -> None:
    w = World()
    replies = [w.ask(xid) for xid in range(50)]
    w.restart()
    assert [w.ask(xid) for xid in range(50)] == replies
    assert w.service.calls == 0
    assert w.cache.statistics.restored == 50


def test_replies_survive_many_restarts_and_a_full_ring() -> None:
    w = World()
    for xid in range(3000):
        reply = w.ask(xid)
        if xid % 17 == 0:
            w.restart()
            assert w.ask(xid) == reply


def test_a_reply_about_what_has_not_survived_is_none() -> None:
    w = World()
    w.ask(1)
    w.restart()
    w.service.lasting = False
    w.send(1)
    assert w.service.calls == 1
    assert w.cache.statistics.outlived == 1
    w.send(1)
    assert w.service.calls == 1


def test_old_replies_are_not_restored() -> None:
    w = World(retention=100.0)
    w.send(1)
    w.now += 101
    w.restart()
    assert not len(w.cache)


@pytest.mark.parametrize("outcome", [None, b"it took place"])
def test_a_crash_between_operation_and_record(outcome: bytes | None) -> None:
    async def main() -> None:
        w = World()
        w.service.facts = b"facts"
        w.send(1, b"args", proc=SLEEP)
        w.restart()
        w.service.outcome = outcome
        await w.cache.recover(w.dispatcher.settle)
        assert w.service.settled == [("10.0.0.1", b"args", b"facts")]
        to = w.send(1, b"args", proc=SLEEP)
        assert w.service.calls == (0 if outcome else 1)
        if outcome:
            assert outcome in to.sent[0]
        # What is settled stays so.
        w.restart()
        await w.cache.recover(w.dispatcher.settle)
        assert w.service.settled == []
        assert w.cache.statistics.settled == w.cache.statistics.unexecuted == 0

    asyncio.run(main())


def test_an_intent_has_the_call_as_it_came() -> None:
    """Large records are views of a buffer that is used again while the service thinks."""

    class Thinks(Counter):
        async def intent(self, call: Call, args: Any) -> bytes | None:
            await asyncio.sleep(0)
            return b"facts"

    async def main() -> None:
        w = World()
        w.dispatcher = Dispatcher()
        w.dispatcher.add(PROGRAM, Thinks(), cache=w.cache)
        head = call_header(1, PROGRAM.number, PROGRAM.version, SLEEP, NOBODY.pack())
        buffer = bytearray(head + b"\0\0\0\4args")
        w.dispatcher.dispatch(memoryview(buffer), Capture(Peer("10.0.0.1", 700)))
        buffer[:] = bytes(len(buffer))
        await asyncio.sleep(0.01)
        w.restart()
        await w.cache.recover(w.dispatcher.settle)
        assert w.service.settled == [("10.0.0.1", b"args", b"facts")]

    asyncio.run(main())


def test_a_call_that_cannot_be_settled_does_not_stop_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        w = World()
        w.service.facts = b"facts"
        w.send(1, proc=SLEEP)
        w.restart()
        w.dispatcher = Dispatcher()
        await w.cache.recover(w.dispatcher.settle)
        assert w.cache.statistics.unexecuted == 1
        assert "cannot be settled" in caplog.text

    asyncio.run(main())


def test_an_intent_whose_call_was_not_kept_is_not_settled() -> None:
    async def main() -> None:
        w = World()
        w.service.facts = b"facts"
        w.send(1, b"not kept")
        w.restart()
        await w.cache.recover(w.dispatcher.settle)
        assert w.service.settled == []

    asyncio.run(main())


class Cut(bytearray):
    """Memory that only the first so many bytes written reach."""

    left: float = float("inf")

    def __setitem__(self, where: Any, data: Any) -> None:
        took = data[: int(min(self.left, len(data)))]
        self.left -= len(took)
        super().__setitem__(slice(where.start, where.start + len(took)), took)


def test_a_crash_at_every_byte() -> None:
    """Whatever was written last is there whole or not at all, and what came before is there."""
    w = World(segments=3)
    w.buffer = Cut(w.buffer)
    w.restart()
    for xid in range(150):  # to the middle of the second turn
        w.send(xid)
    base = bytes(w.buffer)
    kept = set()
    for cut in range(200):
        torn = World(segments=3)
        torn.buffer = Cut(base)
        torn.restart()
        before = {xid: torn.ask(xid) for xid in range(100, 150)}
        assert torn.service.calls == 0
        torn.buffer.left = cut
        reply = torn.ask(1000)
        torn.restart()
        assert {xid: torn.ask(xid) for xid in range(100, 150)} == before
        assert torn.service.calls == 0
        kept.add(torn.ask(1000) == reply and not torn.service.calls)
    assert kept == {True, False}


def test_a_crash_while_records_are_carried_on_loses_none() -> None:
    """A quiet client's reply and a call in progress, through turns cut off at random bytes."""
    rng = random.Random(1)

    async def main(cut: int) -> None:
        w = World(segments=4)
        w.buffer = Cut(w.buffer)
        w.restart()
        w.service.facts = b"facts"
        quiet = w.ask(1, host="10.0.0.9")
        w.send(2, proc=SLEEP, host="10.0.0.9")
        w.buffer.left = cut
        for xid in range(400):
            w.send(xid)
        w.buffer.left = float("inf")
        w.restart()
        await w.cache.recover(w.dispatcher.settle)
        assert w.ask(1, host="10.0.0.9") == quiet
        assert ("10.0.0.9", b"", b"facts") in w.service.settled

    for _ in range(150):
        asyncio.run(main(rng.randrange(40_000)))


@pytest.mark.parametrize("facts", [b"", bytes(200)])
def test_a_small_ring_full_of_intents_goes_on_turning(facts: bytes) -> None:
    async def main() -> None:
        w = World(segments=2)
        w.service.ECHO = lambda call, args: _later(args)  # type: ignore[method-assign]
        w.dispatcher = Dispatcher()
        w.dispatcher.add(PROGRAM, w.service, cache=w.cache)
        w.service.facts = facts
        for xid in range(200):
            w.send(xid, proc=SLEEP)
        w.service.facts = None
        for xid in range(1000, 1100):
            w.send(xid, bytes(180), host=f"10.0.1.{xid}")
            w.send(xid, bytes(xid % 9 * 100), host="10.0.2.2")
        assert 0 < w.cache.statistics.unjournalled < 200

    asyncio.run(main())


def test_a_flipped_bit_loses_no_more_than_its_segment() -> None:
    w = World(segments=4)
    for xid in range(60):
        w.send(xid)
    records = len(Ring(w.buffer, SEGMENT).found)
    rng = random.Random(3)
    for _ in range(200):
        buffer = bytearray(w.buffer)
        buffer[rng.randrange(len(buffer))] ^= 1 << rng.randrange(8)
        left = Ring(buffer, SEGMENT).found
        assert records - SEGMENT // 80 <= len(left) <= records


def test_an_answer_leaves_after_it_was_kept() -> None:
    """The order that a crash relies on."""
    order: list[str] = []

    class Kept:
        def finish(self, once: Once, reply: bytes) -> None:
            order.append("kept")

        def forget(self, once: Once) -> None:
            order.append("forgotten")

    class Sent(Capture):
        def send(self, parts: Any) -> None:
            order.append("sent")

    Once(Kept(), b"", Sent()).send([b"reply"])
    assert order == ["kept", "sent"]
