"""Snapshots: sums, differences, quantiles, processes that are replaced, the way through JSON."""

from __future__ import annotations

import json
import os
import resource
import time
from collections import Counter

import pytest

from nfsloop.watching import snapshot as snapshot_module
from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import BOUNDS, OTHERS, Calls, Client, Process, Series, Snapshot

READ = Series("NFS_PROGRAM", 3, "READ", "/srv")
GETATTR = Series("NFS_PROGRAM", 3, "GETATTR", "/srv")
MNT = Series("MOUNT_PROGRAM", 3, "MNT", "")


def calls(count: int, seconds: float = 0.001, **errors: int) -> Calls:
    """So many calls of one duration."""
    made = Calls(seconds=count * seconds, received=100 * count, sent=1000 * count)
    made.latency[sum(bound < seconds for bound in BOUNDS)] = count
    made.errors.update(errors)
    return made


def of(name: str, pid: int = 1, since: float = 1.0, at: float = 10.0, **counted: Calls) -> Snapshot:
    """A process's snapshot; `counted` by procedure."""
    series = {Series("NFS_PROGRAM", 3, proc, "/srv"): found for proc, found in counted.items()}
    total = sum(found.count for found in counted.values())
    return Snapshot(
        time=at,
        since=since,
        monotonic=at,
        began=since,
        calls=series,
        clients={"192.0.2.1": Client(calls=total, connections=2)},
        counts=Counts(connections=2, duplicates=Counter(hits=3)),
        processes={name: Process(pid, 1 << 20, 1.5, 12)},
    )


# Quantiles


def test_a_quantile_is_within_its_class() -> None:
    found = Calls()
    found.latency[3] = 10  # 100 to 250 us
    assert found.quantile(0.5) == pytest.approx(175e-6)
    assert found.quantile(1.0) == pytest.approx(250e-6)
    found.latency[0] = 90  # up to 25 us
    assert found.quantile(0.5) == pytest.approx(25e-6 * 50 / 90)
    assert found.quantile(0.99) == pytest.approx(100e-6 + 150e-6 * 0.9)
    assert found.count == 100


def test_a_quantile_of_nothing_is_0_and_none_is_above_the_last_bound() -> None:
    assert Calls().quantile(0.99) == 0.0
    found = Calls()
    found.latency[-1] = 5
    assert found.quantile(0.5) == BOUNDS[-1]


# Sums and differences


def test_a_sum_is_of_all_processes() -> None:
    one, two = of("worker 0", since=3.0, READ=calls(5, IO=1)), of("worker 1", 2, READ=calls(7))
    whole = Snapshot.sum([Snapshot(processes={"home": Process(9, 1, 1.0, 1)}), one, two])
    assert whole.calls[READ].count == 12
    assert whole.calls[READ].errors == {"IO": 1}
    assert whole.calls[READ].sent == 12000
    assert whole.clients["192.0.2.1"].connections == 4
    assert whole.counts.connections == 4 and whole.counts.duplicates == {"hits": 6}
    assert list(whole.processes) == ["home", "worker 0", "worker 1"]
    assert whole.since == 1.0
    # The parts are as they were.
    assert one.calls[READ].count == 5 and two.clients["192.0.2.1"].connections == 2


def test_a_difference_is_what_was_counted_since() -> None:
    earlier = of("server", at=10.0, READ=calls(5, IO=1))
    later = of("server", at=12.0, READ=calls(9, IO=3), GETATTR=calls(4))
    found = later - earlier
    assert found.seconds == 2.0
    assert found.calls[READ].count == 4 and found.calls[READ].errors == {"IO": 2}
    assert found.calls[READ].seconds == pytest.approx(0.004)
    assert found.calls[GETATTR].count == 4
    assert found.clients["192.0.2.1"].calls == 8
    # What is as it is: connections are not counted, they are there.
    assert found.clients["192.0.2.1"].connections == 2
    assert found.counts is later.counts
    assert later.calls[READ].count == 9


def test_where_counting_began_anew_that_is_all_there_is() -> None:
    """Also if by now it has counted more than before."""
    earlier = of("server", since=1.0, at=10.0, READ=calls(5), GETATTR=calls(100))
    later = of("server", since=50.0, at=54.0, READ=calls(8), GETATTR=calls(3))
    found = later - earlier
    assert found.calls[READ].count == 8 and found.calls[GETATTR].count == 3
    assert found.seconds == 4.0


# A process


def test_a_process_tells_of_itself() -> None:
    here = Process.here()
    assert here.pid == os.getpid()
    assert here.resident_bytes > 1 << 20
    assert here.cpu_seconds > 0
    assert here.descriptors == len(os.listdir("/proc/self/fd")) - 1
    assert 0 < here.started <= time.time()
    assert Process.here().started == here.started


# JSON

ODD = "/srv/\x1b[31m\x07é\u202e\udcff \"'\\\n"


def test_of_a_process_that_has_no_descriptor_left() -> None:
    """What can be told without one is told."""
    snapshot_module._started.cache_clear()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        found = Process.here()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.resident_bytes, found.descriptors, found.started) == (0, 0, 0.0)
    assert found.pid == os.getpid() and found.cpu_seconds > 0
    found = Process.here()
    assert found.resident_bytes > 1 << 20 and found.descriptors > 2 and found.started > 1e9


def test_through_json_and_back() -> None:
    whole = of("server", READ=calls(5, IO=1))
    whole.calls[Series("NFS_PROGRAM", 3, "READ", ODD)] = calls(3)
    whole.calls[MNT] = calls(2, ACCES=2)
    whole.clients["fe80::1%eth0"] = Client(1, 2, 3.0, 4, 5, 6)
    whole.counts = Counts(1, 2, Counter(hits=1), Counter({"idle": 1}), 3, Counter({ODD: 4}))
    whole.caches[ODD, "attrcache", "hits"] = 7
    whole.backends[ODD, "read"] = calls(1)
    text = json.dumps(whole.to_json())
    assert text.isascii() and text.isprintable()
    back = Snapshot.from_json(json.loads(text))
    assert back == whole
    assert isinstance(back.counts.refused, Counter)
    assert isinstance(back.calls[READ].errors, Counter)


def _without_counts(value: dict[str, object]) -> None:
    del value["counts"]


def _of_a_later_version(value: dict[str, object]) -> None:
    counts = value["counts"]
    assert isinstance(counts, dict)
    counts["later"] = 1


def _of_other_classes(value: dict[str, list[list[dict[str, object]]]]) -> None:
    value["calls"][0][-1]["latency"] = [0] * 5


@pytest.mark.parametrize("spoil", [_without_counts, _of_a_later_version, _of_other_classes])
def test_what_is_no_snapshot_is_said_to_be_none(spoil: object) -> None:
    value = json.loads(json.dumps(of("server", READ=calls(1)).to_json()))
    assert callable(spoil)
    spoil(value)
    with pytest.raises((KeyError, TypeError, ValueError)):
        Snapshot.from_json(value)


def test_a_client_that_is_merged_into_others_takes_its_past_along() -> None:
    earlier, later = Snapshot(since=1.0, began=1.0), Snapshot(since=1.0, began=1.0)
    earlier.clients = {"192.0.2.1": Client(calls=100), OTHERS: Client(calls=7)}
    later.clients = {OTHERS: Client(calls=100 + 7 + 2)}
    assert (later - earlier).clients[OTHERS].calls == 2
