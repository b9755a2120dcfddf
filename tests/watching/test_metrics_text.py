"""The text that is told to Prometheus, made of a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from nfsloop.watching import metrics
from nfsloop.watching.metrics import Facts, exposition
from nfsloop.watching.snapshot import BOUNDS, Calls, Process, Series, Snapshot

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PARSERS: dict[str, Callable[[str], Iterable[Any]]] = {
    "": parser.text_string_to_metric_families,
    OPENMETRICS: openmetrics.text_string_to_metric_families,
}
ODD = '/a\udcff"\n\\ é'
FACTS = Facts("1.2", 1e9, {0: 2, 1: 0})


def told(snapshot: Snapshot, accept: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples by name, as Prometheus' own library reads them."""
    text, _ = exposition(snapshot, FACTS, accept)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in PARSERS[accept](text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def counted() -> Snapshot:
    """Calls of three classes of latency, one of them an error; and a worker that answers."""
    calls = Calls(seconds=11.0625, received=300, sent=4000)
    calls.latency[0], calls.latency[5], calls.latency[-1] = 1, 2, 4
    calls.errors["NOENT"] = 1
    snapshot = Snapshot(calls={Series("NFS_PROGRAM", 3, "READ", ODD): calls})
    snapshot.processes = {"home": Process(1, 1 << 20, 0.5, 9), "worker 1": Process(2, 0, 0.25, 0)}
    return snapshot


@pytest.mark.parametrize("accept", PARSERS, ids=["text", "openmetrics"])
def test_each_kind_of_metric_is_read_as_it_was_counted(accept: str) -> None:
    found = told(counted(), accept)
    labels = {
        "program": "NFS_PROGRAM", "version": "3", "procedure": "READ",
        "export": '/a\\xff"\n\\ é',
    }  # fmt: skip
    buckets = found["nfsloop_call_duration_seconds_bucket"]
    bounds = [*BOUNDS, float("inf")]
    assert [float(have["le"]) for have, _ in buckets] == bounds
    assert [count for _, count in buckets] == [1] * 5 + [3] * 12 + [7]
    assert all(have == {**labels, "le": have["le"]} for have, _ in buckets)
    assert found["nfsloop_call_duration_seconds_count"] == [(labels, 7)]
    assert found["nfsloop_call_duration_seconds_sum"] == [(labels, 11.0625)]
    assert found["nfsloop_call_errors_total"] == [({**labels, "status": "NOENT"}, 1)]
    assert found["nfsloop_sent_bytes_total"] == [(labels, 4000)]
    assert found["nfsloop_start_time_seconds"] == [({}, 1e9)]
    ((info, one),) = found["nfsloop_info"]
    assert (info["version"], set(info), one) == ("1.2", {"version", "python"}, 1)


def test_a_worker_that_does_not_answer_is_not_up() -> None:
    found = told(counted(), "")
    assert found["nfsloop_worker_up"] == [({"worker": "0"}, 0), ({"worker": "1"}, 1)]
    assert found["nfsloop_worker_restarts_total"] == [({"worker": "0"}, 2), ({"worker": "1"}, 0)]


def test_what_could_not_be_read_of_a_process_is_not_told() -> None:
    found = told(counted(), "")
    assert found["nfsloop_process_resident_bytes"] == [({"process": "home"}, 1 << 20)]
    assert len(found["nfsloop_process_cpu_seconds_total"]) == 2


def test_a_long_text_is_made_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread would keep the interpreter from calls."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    snapshot = counted()
    (calls,) = snapshot.calls.values()
    for number in range(1000):
        snapshot.calls[Series("NFS_PROGRAM", 3, "READ", f"/{number}")] = calls
    text, _ = exposition(snapshot, FACTS, "")
    assert text.count(b"_bucket{") == 1001 * (len(BOUNDS) + 1)
    lines = text.count(b"\n")
    assert len(slept) > 1.5 * lines / metrics.SAMPLES_AT_ONCE and set(slept) == {0.001}
