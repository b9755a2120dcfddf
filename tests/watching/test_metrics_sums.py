"""Sums that never decrease, backends that are timed, what backends say of their caches."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    OPERATIONS,
    Backend,
    Context,
    CreateMode,
    FsError,
    SetAttr,
    Stable,
    Status,
)
from backends.hosted import Hosted, hosted
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from backends.wrap import Wrap
from backends.wraps.attrcache import AttrCache
from backends.wraps.blockcache import BlockCache
from backends.wraps.demux import Demux
from nfsloop.export import Export
from nfsloop.watching import totals
from nfsloop.watching.collect import _statistics
from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import OTHERS, Calls, Client, Process, Series, Snapshot
from nfsloop.watching.timed import Timed
from nfsloop.watching.top import Model, Sample
from nfsloop.watching.totals import Totals
from oncrpc import loop

READ = Series("NFS_PROGRAM", 3, "READ", "/a")
ME = Context(0, 0)


def calls(*latency: int, seconds: float = 0.0, **errors: int) -> Calls:
    """Calls of the first classes of latency."""
    made = Calls(seconds=seconds, received=sum(latency), sent=2 * sum(latency))
    made.latency[: len(latency)] = latency
    made.errors.update(errors)
    return made


def part(name: str, pid: int, made: Calls, **counts: Any) -> Snapshot:
    """What a process has counted."""
    return Snapshot(
        calls={READ: made},
        backends={("/a", "read"): made},
        caches=Counter({("/a", "blocks", "hits"): made.count}),
        counts=Counts(**counts),
        processes={name: Process(pid, 1, 1.0, 1)},
    )


def test_a_worker_that_is_replaced_takes_nothing_away() -> None:
    sums = Totals()
    one = part("worker 0", 10, calls(5, 1, seconds=0.1, IO=2), dropped=3, cut=Counter(idle=1))
    two = part("worker 1", 11, calls(7, seconds=0.2), dropped=1)
    whole = sums.add([one, two])
    assert whole.calls[READ] == calls(12, 1, seconds=0.1 + 0.2, IO=2)
    # One has died, and does not answer: all is as it was.
    whole = sums.add([two])
    assert whole.calls[READ] == calls(12, 1, seconds=0.1 + 0.2, IO=2)
    # Its successor counts from the beginning.
    one = part("worker 0", 12, calls(6, seconds=0.5), dropped=1, cut=Counter(idle=1))
    whole = sums.add([one, two])
    assert whole.calls[READ].latency[:2] == [18, 1]
    assert whole.backends["/a", "read"].count == 19
    assert whole.caches["/a", "blocks", "hits"] == 19
    assert (whole.counts.dropped, whole.counts.cut["idle"]) == (5, 2)
    assert whole.calls[READ].errors == {"IO": 2}
    assert [process.pid for process in whole.processes.values()] == [12, 11]


def test_what_was_counted_is_counted_once() -> None:
    """Not even the last bit of a float moves where nothing has happened."""
    sums = Totals()
    parts = [part(f"worker {n}", n, calls(1, seconds=0.1 * n + 1e-9)) for n in range(1, 8)]
    before = sums.add(parts).calls[READ].copy()
    for count in (7, 3, 5, 1, 0, 7):
        assert sums.add(parts[:count]).calls[READ] == before


def test_a_counter_that_begins_anew_within_a_process() -> None:
    """A reload gives an export another backend, whose caches have counted nothing."""
    sums = Totals()
    first = part("server", 1, calls(5), refused=Counter({"/a": 4}))
    again = part("server", 1, calls(8), refused=Counter({"/a": 1}))
    again.caches.clear()
    again.caches["/a", "blocks", "hits"] = 2
    sums.add([first])
    whole = sums.add([again])
    assert whole.calls[READ].count == 8
    assert whole.counts.refused == {"/a": 5}
    assert whole.caches["/a", "blocks", "hits"] == 7


def test_what_is_as_of_now_is_not_summed_up() -> None:
    sums = Totals()
    sums.add([part("worker 0", 1, calls(1), connections=3, waiting=1)])
    whole = sums.add([part("worker 0", 1, calls(1), connections=2)])
    assert (whole.counts.connections, whole.counts.waiting) == (2, 0)


def test_series_beyond_the_bound_lose_their_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "METER_SERIES", 2)
    sums = Totals()
    snapshot = part("server", 1, calls(1))
    snapshot.calls = {READ._replace(export=f"/{n}"): calls(1) for n in range(5)}
    snapshot.backends = {(f"/{n}", "read"): calls(1) for n in range(5)}
    whole = sums.add([snapshot])
    assert {series.export: c.count for series, c in whole.calls.items()} == {
        "/0": 1, "/1": 1, "": 3,
    }  # fmt: skip
    assert {key: c.count for key, c in whole.backends.items()} == {
        ("/0", "read"): 1, ("/1", "read"): 1, ("", "read"): 3,
    }  # fmt: skip


def test_clients_are_summed_up_too_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "METER_CLIENTS", 3)
    sums = Totals()
    for life in range(8):
        worker = part("worker 0", life, calls(1))
        worker.clients = {f"192.0.2.{life}": Client(calls=2, connections=5)}
        steady = part("worker 1", 99, calls(1))
        steady.clients = {"192.0.2.0": Client(calls=7, connections=1)}
        whole = sums.add([worker, steady])
    assert len(whole.clients) == 4
    assert sum(client.calls for client in whole.clients.values()) == 8 * 2 + 7
    # Connections are those of now.
    assert whole.clients[OTHERS].connections == 5
    assert whole.clients["192.0.2.0"].connections == 1


def test_a_client_that_becomes_one_of_the_others_is_counted_once() -> None:
    sums = Totals()
    first, again = part("worker 0", 1, calls(1)), part("worker 0", 1, calls(1))
    first.clients = {"192.0.2.1": Client(calls=5), "192.0.2.2": Client(calls=9)}
    again.clients = {OTHERS: Client(calls=6), "192.0.2.2": Client(calls=9)}
    sums.add([first])
    whole = sums.add([again])
    assert {host: client.calls for host, client in whole.clients.items()} == {
        "192.0.2.1": 5, "192.0.2.2": 9, OTHERS: 1
    }  # fmt: skip


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    """Rates go by the clock that nobody sets; what is shown as time, by the one that was set."""
    sums = Totals()
    model = Model()
    for second, wall in ((1.0, 10_001.0), (2.0, 10_002.0), (3.0, 6403.0), (4.0, 10_004.0)):
        moment = part("worker 0", 1, calls(int(100 * second)))
        moment.time, moment.since, moment.monotonic, moment.began = wall, 9000.0, second, 0.5
        model.feed(Sample(Snapshot.from_json(sums.add([moment]).to_json())))
        assert model.snapshot is not None and model.snapshot.time == wall
        if second > 1.0:
            assert (model.rates.seconds, model.rates.whole.calls) == (1.0, 100.0)


def test_a_meter_that_has_begun_anew_and_counted_more_than_before() -> None:
    sums = Totals()
    first, again = (
        part("worker 0", 1, calls(5), dropped=2),
        part("worker 0", 1, calls(8), dropped=3),
    )
    first.since, again.since = 10.0, 90.0
    sums.add([first])
    whole = sums.add([again])
    assert whole.calls[READ].count == 13
    assert whole.counts.dropped == 3


# Backends that are timed


class Waits(Wrap):
    """One that is slow."""

    async def getattr(self, ctx: Context, key: Any) -> Any:
        await asyncio.sleep(0.01)
        return await self.below.getattr(ctx, key)


def test_each_method_is_counted_and_timed_also_where_it_fails() -> None:
    async def main() -> None:
        times: dict[tuple[str, str], Calls] = {}
        backend = Timed(MemoryBackend(), "/a", times)
        await backend.start()
        root = await backend.root(ME)
        with pytest.raises(FsError):
            await backend.lookup(ME, root.key, b"none")
        assert set(times) == {("/a", name) for name in OPERATIONS}
        counted = {method: c.count for (_, method), c in times.items() if c.count}
        assert counted == {"root": 1, "lookup": 1}
        await backend.stop()

    loop.run(main())


def test_an_inline_backend_stays_inline_and_makes_no_task() -> None:
    async def main() -> None:
        times: dict[tuple[str, str], Calls] = {}
        backend = Timed(hosted(MemoryBackend(), "/a"), "/a", times)
        assert backend.inline
        call = backend.root(ME)
        with pytest.raises(StopIteration):
            call.send(None)  # one step, and it is done
        assert times["/a", "root"].count == 1

    loop.run(main())


def test_a_backend_that_waits_is_timed_until_its_answer() -> None:
    async def main() -> None:
        below = Waits(MemoryBackend())
        below.inline = False
        times: dict[tuple[str, str], Calls] = {}
        front = hosted(below, "/a")
        assert isinstance(front, Hosted)
        backend = Timed(front, "/a", times)
        assert not backend.inline
        await backend.start()
        root = await backend.root(ME)
        await backend.getattr(ME, root.key)
        assert times["/a", "getattr"].seconds >= 0.005
        assert backend.verifier == below.verifier
        await backend.stop()

    loop.run(main())


def test_what_a_wrap_stands_for_is_seen_through(tmp_path: Path) -> None:
    """Limits, whether it is shareable and persistent: as of what is below, after it has started."""

    async def main() -> None:
        (tmp_path / "e").mkdir()
        below = PosixBackend(tmp_path / "e", state=tmp_path / "state")
        backend = Timed(below, "/a", {})
        backend.share()
        await backend.start()
        assert backend.limits is below.limits
        assert backend.shareable == below.shareable
        assert backend.persistent == below.persistent
        assert backend.describe() == below.describe()
        await backend.stop()

    loop.run(main())


# What backends say of their caches


def test_an_attribute_cache_counts(tmp_path: Path) -> None:
    async def main() -> None:
        backend = AttrCache(MemoryBackend(), seconds=100.0)
        await backend.start()
        root = (await backend.root(ME)).key
        for _ in range(3):
            await backend.getattr(ME, root)
            await backend.access(ME, root, 1)
            with pytest.raises(FsError):
                await backend.lookup(ME, root, b"none")
        assert backend.statistics() == {
            ("attributes", "hits"): 3, ("attributes", "misses"): 0,
            ("names", "hits"): 0, ("names", "misses"): 3,
            ("rights", "hits"): 2, ("rights", "misses"): 1,
        }  # fmt: skip
        await backend.stop()

    loop.run(main())


def test_a_block_cache_counts_and_others_pass_it_on() -> None:
    async def main() -> None:
        memory = MemoryBackend()
        backend = AttrCache(BlockCache(memory, block_bytes=4096))
        await backend.start()
        root = (await backend.root(ME)).key
        made = await backend.create(ME, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        await backend.write(ME, made.attr.key, 0, bytes(8192), Stable.FILE_SYNC)
        for _ in range(4):
            await backend.read(ME, made.attr.key, 0, 8192)
        counted = backend.statistics()
        assert counted["blocks", "hits"] + counted["blocks", "misses"] in {6, 8}
        assert counted["blocks", "hits"] >= 4
        assert ("names", "misses") in counted
        await backend.stop()

    loop.run(main())


def test_posix_counts_what_it_has_to_open(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "f").write_bytes(b"data")
        backend = PosixBackend(tmp_path / "e", state=tmp_path / "state")
        assert backend.statistics() == {}
        await backend.start()
        root = (await backend.root(ME)).key
        file = (await backend.lookup(ME, root, b"f")).attr.key
        for _ in range(3):
            await backend.read(ME, file, 0, 4)
        assert backend.statistics() == {("files", "misses"): 0, ("descriptors", "misses"): 1}
        with pytest.raises(FsError):
            await backend.getattr(ME, file._replace(ino=file.ino + 12345))
        assert backend.statistics()["files", "misses"] == 1
        await backend.stop()
        assert backend.statistics() == {}

    loop.run(main())


class Counting(MemoryBackend):
    """One with a cache."""

    def statistics(self) -> dict[tuple[str, str], int]:
        return {("own", "hits"): 2}


class Wrong(MemoryBackend):
    """One whose author has made a mistake."""

    def statistics(self) -> dict[tuple[str, str], int]:
        raise FsError(Status.IO)


class Blocking(Counting):
    """The same in threads."""

    inline = False
    blocking = True


def test_statistics_come_through_all_that_stands_before_a_backend() -> None:
    async def main() -> None:
        assert Backend().statistics() == {}
        assert Timed(hosted(Blocking(), "/a"), "/a", {}).statistics() == {("own", "hits"): 2}
        assert Demux({b"a": Counting(), b"b": Blocking()}).statistics() == {("own", "hits"): 4}
        # What fails is no reason to tell nothing at all.
        assert _statistics(Export("/a", Wrong())) == {}
        assert _statistics(Export("/a", Counting())) == {("own", "hits"): 2}

    loop.run(main())
