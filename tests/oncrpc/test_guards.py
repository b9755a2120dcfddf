"""What each client may have of a server: the accounts alone, without sockets or a clock."""

from __future__ import annotations

import logging
import random

import pytest

from oncrpc import limits
from oncrpc.guards import Client, Cut, Guards, Rate, Watch
from oncrpc.limits import ServerLimits
from oncrpc.quota import Warnings


class Fake:
    """A connection that does as it is told, and notes what it was told."""

    def __init__(self, guards: Guards, host: str) -> None:
        self.guards = guards
        self.client: Client = guards.client(host)
        self.busy = False
        self.why: Cut | None = None
        self.turns = 0
        self.blocked = False
        guards.opened(self.client, self)

    def cut(self, why: Cut) -> None:
        assert self.why is None, "closed once"
        self.why = why
        self.guards.closed(self.client, self)

    def go_on_soon(self) -> bool:
        self.turns += not self.blocked
        return not self.blocked


def test_calls_are_counted_over_all_of_a_clients_connections() -> None:
    guards = Guards(ServerLimits(calls_per_client=5))
    one, two = Fake(guards, "a"), Fake(guards, "a")
    other = Fake(guards, "b")
    for _ in range(4):
        one.client.began(0)
    assert not two.client.full
    two.client.began(0)
    assert two.client.full and not other.client.full
    two.client.landed(0)
    assert not one.client.full


def test_when_all_calls_are_taken_each_client_still_has_one() -> None:
    guards = Guards(ServerLimits(calls=10))
    first = guards.client("a")
    for _ in range(10):
        first.began(0)
    assert first.full
    late = guards.client("b")
    assert not late.full
    late.began(0)
    assert late.full
    late.landed(0)
    assert not late.full


def test_arguments_of_calls_that_wait_are_bounded() -> None:
    guards = Guards(ServerLimits(client_backlog_bytes=10 << 20))
    client = guards.client("a")
    for _ in range(10):
        client.began(1 << 20)
    assert client.full
    assert guards.argument_bytes == 10 << 20
    for _ in range(10):
        client.landed(1 << 20)
    assert not client.full
    assert guards.argument_bytes == 0 and guards.calls == 0 and not guards.clients


def calls_until_full(client: Client) -> int:
    count = 0
    while not client.full:
        client.began(0)
        count += 1
    for _ in range(count):
        client.landed(0)
    return count


def test_calls_in_flight_adapt_to_the_size_of_replies() -> None:
    """Large replies: no more in flight than their bytes allow; small ones: as many as calls may."""
    guards = Guards(ServerLimits(client_backlog_bytes=32 << 20, calls_per_client=1024))
    client = Fake(guards, "a").client
    assert calls_until_full(client) == limits.CALLS_IN_FLIGHT + 1
    for _ in range(100):
        client.replied(1 << 20)
    assert calls_until_full(client) == 33
    for _ in range(200):
        client.replied(100)
    assert calls_until_full(client) == 1024


def test_a_backlog_leaves_less_for_everybody_and_one_reply_for_each() -> None:
    most = 64 << 20
    guards = Guards(ServerLimits(server_backlog_bytes=2 * most, client_backlog_bytes=most))
    hogs = [Fake(guards, f"10.0.0.{i}") for i in range(7)]
    honest = Fake(guards, "b")
    for _ in range(1000):
        for hog in hogs:
            if not hog.client.full:
                guards.owes(hog.client, hog, guards.backlog.of(hog.client) + 4096)
    assert guards.backlog.total <= most
    assert guards.room > 0
    for hog in hogs:
        assert hog.client.full == (guards.backlog.of(hog.client) > guards.free)
    guards.owes(hogs[0].client, hogs[0], 2 * most - guards.backlog.total)
    assert guards.room == guards.free == 0
    assert not honest.client.full
    guards.owes(honest.client, honest, 1)
    assert honest.client.full
    guards.owes(honest.client, honest, 0)
    assert not honest.client.full


@pytest.mark.parametrize("kind", ["records", "backlog"])
def test_beyond_the_memory_of_the_server_the_client_with_most_of_it_pays(kind: str) -> None:
    guards = Guards(ServerLimits(server_record_bytes=1000, server_backlog_bytes=1000))
    pool = getattr(guards, kind)
    honest = [Fake(guards, f"10.0.0.{i}") for i in range(3)]
    for fake in honest:
        pool.put(fake.client, fake, 100)
    attackers = [Fake(guards, "6.6.6.6") for _ in range(30)]
    for attacker in attackers:
        pool.put(attacker.client, attacker, 90)
        assert pool.total <= 1000
    assert [fake.why for fake in honest] == [None] * 3
    assert [attacker.why for attacker in attackers] == [pool.why] * 23 + [None] * 7
    for fake in [*honest, *attackers]:
        if fake.why is None:
            pool.put(fake.client, fake, 0)
    assert pool.total == 0 and not pool.shares


def test_memory_is_given_back_whatever_happens() -> None:
    """A random history of buffers growing, shrinking and connections closing: sums stay right."""
    rng = random.Random(7)
    guards = Guards(ServerLimits(server_record_bytes=5000, server_backlog_bytes=5000))
    open_: list[Fake] = []
    for _ in range(5000):
        open_ = [fake for fake in open_ if fake.why is None]
        act = rng.random()
        if act < 0.2 or not open_:
            open_.append(Fake(guards, f"10.0.0.{rng.randrange(5)}"))
            continue
        fake = rng.choice(open_)
        if act < 0.5:
            guards.owes(fake.client, fake, rng.choice([0, rng.randrange(3000)]))
        elif act < 0.8:
            guards.records.put(fake.client, fake, rng.choice([0, rng.randrange(3000)]))
        elif act < 0.9:
            fake.cut(Cut.IDLE)
        else:
            guards.touch(fake.client, fake)
        assert guards.backlog.total <= 5000 and guards.records.total <= 5000
        alive = [fake for fake in open_ if fake.why is None]
        assert guards.connections == len(alive)
        for pool in (guards.backlog, guards.records):
            assert pool.total == sum(share.total for share in pool.shares.values())
            assert pool.total == sum(sum(s.of.values()) for s in pool.shares.values())
        counts = {c: len(c.connections) for c in guards.clients.values()}
        assert guards._top == max(counts.values(), default=0)
        assert {c: n for n, of in guards._by_count.items() for c in of} == counts
    for fake in open_:
        if fake.why is None:
            fake.cut(Cut.IDLE)
    assert not guards.clients and guards.backlog.total == guards.records.total == 0


def test_turns_go_round_among_a_clients_connections() -> None:
    guards = Guards(ServerLimits(calls_per_client=1))
    fakes = [Fake(guards, "a") for _ in range(4)]
    client = fakes[0].client
    client.began(0)
    for fake in fakes:
        client.queue(fake)
    assert [fake.turns for fake in fakes] == [0, 0, 0, 0]
    fakes[1].blocked = True
    client.landed(0)
    assert [fake.turns for fake in fakes] == [1, 0, 0, 0]
    client.turn_over()
    assert [fake.turns for fake in fakes] == [1, 0, 1, 0]
    fakes[3].cut(Cut.IDLE)
    client.turn_over()
    assert [fake.turns for fake in fakes] == [1, 0, 1, 0]


# Connections


def admitted(guards: Guards, host: str) -> Fake | None:
    return Fake(guards, host) if guards.admit(host) else None


def test_a_flood_of_idle_connections_makes_place_for_others() -> None:
    guards = Guards(ServerLimits(connections=20, connections_per_client=15))
    idle = [admitted(guards, "6.6.6.6") for _ in range(15)]
    busy = [admitted(guards, "10.0.0.1") for _ in range(5)]
    late = admitted(guards, "10.0.0.2")
    assert late is not None and guards.connections == 20
    assert [fake.why for fake in busy if fake] == [None] * 5
    assert [fake.why for fake in idle if fake] == [Cut.CROWDED] + [None] * 14


def test_a_client_with_all_it_may_have_replaces_its_own_idle_ones() -> None:
    guards = Guards(ServerLimits(connections=20, connections_per_client=3))
    fakes = [admitted(guards, "a") for _ in range(3)]
    other = admitted(guards, "b")
    assert fakes[0] and fakes[1] and fakes[2] and other
    fakes[0].busy = True
    guards.touch(fakes[1].client, fakes[1])
    assert admitted(guards, "a")
    assert [fake.why for fake in fakes if fake] == [None, None, Cut.CROWDED]
    for fake in list(fakes[0].client.connections):
        fake.busy = True  # type: ignore[misc]
    assert not guards.admit("a")
    assert other.why is None


def test_nobody_is_locked_out_by_busy_connections_of_somebody_who_has_many() -> None:
    guards = Guards(ServerLimits(connections=10))
    hog = [admitted(guards, "6.6.6.6") for _ in range(10)]
    for fake in hog:
        assert fake
        fake.busy = True
    for _ in range(4):
        one = admitted(guards, "a")
        assert one
        one.busy = True
    assert sum(fake.why is Cut.CROWDED for fake in hog if fake) == 4
    assert not guards.admit("6.6.6.6")


def test_equal_clients_lose_the_one_that_called_longest_ago() -> None:
    guards = Guards(ServerLimits(connections=100))
    fakes = [admitted(guards, f"10.0.0.{i}") for i in range(100)]
    for index in (0, 1, 3):
        fake = fakes[index]
        assert fake
        guards.touch(fake.client, fake)
    assert admitted(guards, "b")
    assert [i for i, fake in enumerate(fakes) if fake and fake.why] == [2]


# Time

SWEEP = ServerLimits(
    sweep_seconds=5,
    idle_seconds=100,
    record_seconds=30,
    slowest_bytes_per_second=1000,
    backlog_seconds=60,
)


def sweeps(served: bool, busy: bool, incomplete: int, backlog: int, taken: int) -> tuple[int, Cut]:
    """How many sweeps of the same kind it takes until the connection is closed, and why."""
    watch = Watch(SWEEP)
    for count in range(1, 1000):
        why = watch.sweep(served, busy, incomplete, backlog, taken)
        if why is not None:
            return count, why
    return 0, Cut.REFUSED


@pytest.mark.parametrize(
    ("seen", "end"),
    [
        ((False, False, 0, 0, 0), (21, Cut.IDLE)),
        ((True, False, 0, 0, 0), (0, Cut.REFUSED)),
        ((False, True, 0, 0, 0), (0, Cut.REFUSED)),
        ((False, False, 5, 0, 0), (7, Cut.SLOW)),
        ((True, False, 5, 0, 0), (0, Cut.REFUSED)),
        ((False, True, 20_000, 0, 0), (11, Cut.SLOW)),
        ((False, True, 0, 1 << 20, 0), (13, Cut.UNREAD)),
        ((False, True, 0, 1 << 20, 4999), (13, Cut.UNREAD)),
        ((False, True, 0, 1 << 20, 5000), (0, Cut.REFUSED)),
    ],
    ids=str,
)
def test_what_is_closed_when(seen: tuple[bool, bool, int, int, int], end: tuple[int, Cut]) -> None:
    assert sweeps(*seen) == end


@pytest.mark.parametrize(("per_second", "ends"), [(1, False), (900, False), (1100, True)])
def test_a_megabyte_comes_in_at_the_slowest_rate_or_not_at_all(per_second: int, ends: bool) -> None:
    watch = Watch(SWEEP)
    came = 0
    for second in range(0, 5000, 5):
        came += 5 * per_second
        if came >= 1 << 20:
            assert ends
            return
        if watch.sweep(False, False, came, 0, 0) is Cut.SLOW:
            assert not ends
            assert second <= 30 + (30 / (1 - per_second / 1000)) + 10
            return
    raise AssertionError("neither complete nor cut off")


def test_a_client_that_takes_replies_again_has_its_whole_time_again() -> None:
    watch = Watch(SWEEP)
    for _ in range(10):
        for _ in range(12):
            assert watch.sweep(False, True, 0, 1 << 20, 0) is None
        assert watch.sweep(False, True, 0, 1 << 20, 5000) is None


def test_a_rate() -> None:
    rate = Rate(per_second=10, at_once=3, now=100.0)
    assert [rate.wait(100.0) for _ in range(3)] == [0.0] * 3
    assert rate.wait(100.0) == pytest.approx(0.1)
    assert rate.wait(100.05) == pytest.approx(0.05)
    assert rate.wait(100.11) == 0.0
    assert rate.wait(100.11) > 0
    rate.give_back()
    assert rate.wait(100.11) == 0.0
    assert [rate.wait(1000.0) for _ in range(3)] == [0.0] * 3
    assert rate.wait(1000.0) > 0


# What else


def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match="idle_seconds"):
        ServerLimits(idle_seconds=0)


def test_warnings_about_many_peers_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    now = 10.0
    warnings = Warnings(logging.getLogger("oncrpc"), lambda: now)
    for number in range(3 * limits.WARNINGS_PER_MINUTE_IN_ALL):
        warnings.warn(f"10.0.{number >> 8}.{number & 255}", "bad")
    assert len(caplog.records) == limits.WARNINGS_PER_MINUTE_IN_ALL + 1
    now = 71.0
    warnings.warn("new", "bad")
    assert caplog.records[-1].getMessage() == "from new: bad"
