"""Metrics for Prometheus: made of a snapshot when they are asked for, so calls pay nothing here."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from nfsloop.watching.snapshot import BOUNDS, Calls, Snapshot

#: After so many samples, who writes them pauses for so long: others need the interpreter too, and
#: would get it only every 5 ms.
SAMPLES_AT_ONCE = 100
PAUSE_SECONDS = 0.001


class Facts(NamedTuple):
    """What is known of the server beside what it counts; `began` is Unix time, `restarts` tells how
    often each worker was replaced, by its number."""

    version: str
    began: float
    restarts: Mapping[int, int] = {}


#: Values of labels, and a value: a number, or for a histogram calls.
Values: TypeAlias = Iterable[tuple[tuple[str, ...], "float | Calls"]]


class Metric(NamedTuple):
    """One metric; `name` is without what its kind appends (`_total`, `_bucket` …)."""

    name: str
    kind: type[Family]
    labels: tuple[str, ...]
    about: str
    values: Callable[[Snapshot, Facts], Values]


_CALL = ("program", "version", "procedure", "export")


def _calls(snapshot: Snapshot, facts: Facts) -> Values:
    for series, calls in snapshot.calls.items():
        yield (series.program, str(series.version), series.procedure, series.export), calls


def _errors(snapshot: Snapshot, facts: Facts) -> Values:
    for series, calls in snapshot.calls.items():
        for status, count in calls.errors.items():
            labels = series.program, str(series.version), series.procedure, series.export, status
            yield labels, count


def _cache(what: str) -> Callable[[Snapshot, Facts], Values]:
    def values(snapshot: Snapshot, facts: Facts) -> Values:
        for (export, cache, counted), count in snapshot.caches.items():
            if counted == what:
                yield (export, cache), count

    return values


def _counted(name: str) -> Callable[[Snapshot, Facts], Values]:
    def values(snapshot: Snapshot, facts: Facts) -> Values:
        for key, count in getattr(snapshot.counts, name).items():
            yield (key,), count

    return values


def _bytes(name: str) -> Callable[[Snapshot, Facts], Values]:
    def values(snapshot: Snapshot, facts: Facts) -> Values:
        for labels, calls in _calls(snapshot, facts):
            yield labels, getattr(calls, name)

    return values


def _process(name: str) -> Callable[[Snapshot, Facts], Values]:
    def values(snapshot: Snapshot, facts: Facts) -> Values:
        for process, found in snapshot.processes.items():
            if value := getattr(found, name):  # 0 is what could not be read
                yield (process,), value

    return values


def _up(snapshot: Snapshot, facts: Facts) -> Values:
    for number in facts.restarts:
        yield (str(number),), int(f"worker {number}" in snapshot.processes)


METRICS: tuple[Metric, ...] = (
    Metric("nfsloop", InfoMetricFamily, ("version", "python"), "The server.",
           lambda s, facts: [((facts.version, platform.python_version()), 1)]),
    Metric("nfsloop_start_time_seconds", GaugeMetricFamily, (),
           "When the server began, in seconds since 1970.", lambda s, facts: [((), facts.began)]),
    Metric("nfsloop_call_duration_seconds", HistogramMetricFamily, _CALL,
           "Calls that were answered, by how long that took.", _calls),
    Metric("nfsloop_call_errors", CounterMetricFamily, (*_CALL, "status"),
           "Calls that were answered with another status than OK, or refused.", _errors),
    Metric("nfsloop_received_bytes", CounterMetricFamily, _CALL,
           "Bytes of calls.", _bytes("received")),
    Metric("nfsloop_sent_bytes", CounterMetricFamily, _CALL,
           "Bytes of their replies.", _bytes("sent")),
    Metric("nfsloop_connections", GaugeMetricFamily, (),
           "Open TCP connections.", lambda s, facts: [((), s.counts.connections)]),
    Metric("nfsloop_waiting_calls", GaugeMetricFamily, (),
           "Calls that wait for their backend.", lambda s, facts: [((), s.counts.waiting)]),
    Metric("nfsloop_duplicate_requests", CounterMetricFamily, ("outcome",),
           "Calls as the duplicate request cache has seen them.", _counted("duplicates")),
    Metric("nfsloop_cut_connections", CounterMetricFamily, ("why",),
           "Connections that the server has closed.", _counted("cut")),
    Metric("nfsloop_dropped_datagrams", CounterMetricFamily, (),
           "Datagrams dropped since their clients had too many calls waiting.",
           lambda s, facts: [((), s.counts.dropped)]),
    Metric("nfsloop_refused_calls", CounterMetricFamily, ("export",),
           "Calls of clients that may not use the export.", _counted("refused")),
    Metric("nfsloop_bad_handles", CounterMetricFamily, ("why",),
           "Calls with a file handle that is none of the server's.", _counted("handles")),
    Metric("nfsloop_backend_seconds", HistogramMetricFamily, ("export", "method"),
           "Calls of a backend, by how long they took.",
           lambda s, facts: ((key, calls) for key, calls in s.backends.items() if calls.count)),
    Metric("nfsloop_cache_hits", CounterMetricFamily, ("export", "cache"),
           "What a backend's cache had when it was wanted.", _cache("hits")),
    Metric("nfsloop_cache_misses", CounterMetricFamily, ("export", "cache"),
           "What a backend's cache did not have.", _cache("misses")),
    Metric("nfsloop_process_resident_bytes", GaugeMetricFamily, ("process",),
           "Memory of a process.", _process("resident_bytes")),
    Metric("nfsloop_process_cpu_seconds", CounterMetricFamily, ("process",),
           "Processor time of a process.", _process("cpu_seconds")),
    Metric("nfsloop_process_descriptors", GaugeMetricFamily, ("process",),
           "Open file descriptors of a process.", _process("descriptors")),
    Metric("nfsloop_worker_up", GaugeMetricFamily, ("worker",),
           "1 if a worker answers, 0 while it does not or is being replaced.", _up),
    Metric("nfsloop_worker_restarts", CounterMetricFamily, ("worker",),
           "How often a worker was replaced, since it died or hung.",
           lambda s, facts: [((str(w),), count) for w, count in facts.restarts.items()]),
)  # fmt: skip

_BOUNDS = [*(repr(bound) for bound in BOUNDS), "+Inf"]


class Paced(list[Sample]):
    """Samples that take their time: whoever goes through them pauses now and then."""

    def __iter__(self) -> Iterator[Sample]:
        for number, sample in enumerate(super().__iter__(), 1):
            yield sample
            if number % SAMPLES_AT_ONCE == 0:
                time.sleep(PAUSE_SECONDS)


def _plain(text: str) -> str:
    """A label: paths are bytes, and need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def family(metric: Metric, snapshot: Snapshot, facts: Facts) -> Family:
    """A metric with its samples."""
    found = metric.kind(metric.name, metric.about, labels=metric.labels)  # type: ignore[call-arg]
    paused = 0
    for given, value in metric.values(snapshot, facts):
        labels = [_plain(label) for label in given]
        if isinstance(found, InfoMetricFamily):
            found.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        elif isinstance(value, Calls):
            assert isinstance(found, HistogramMetricFamily)
            buckets = list(zip(_BOUNDS, map(float, accumulate(value.latency)), strict=True))
            found.add_metric(labels, buckets, value.seconds)
        else:
            assert isinstance(found, (CounterMetricFamily, GaugeMetricFamily))
            found.add_metric(labels, float(value))
        if len(found.samples) - paused >= SAMPLES_AT_ONCE:
            paused = len(found.samples)
            time.sleep(PAUSE_SECONDS)
    found.samples = Paced(found.samples)
    return found


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot, facts: Facts) -> None:
        self._args = snapshot, facts

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield family(metric, *self._args)


def exposition(snapshot: Snapshot, facts: Facts, accept: str) -> tuple[bytes, str]:
    """The text that Prometheus reads, in the format that the header `Accept` asks for; and its
    content type. In a thread: it pauses now and then."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, facts))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
