"""Sums over processes that come and go, for who must never see one decrease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import fields, replace
from typing import TypeVar

from nfsloop.limits import METER_CLIENTS, METER_SERIES
from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import OTHERS, Calls, Client, Snapshot

K = TypeVar("K", bound=Hashable)


class Totals:
    """What all processes of a server have counted since it began, those that are gone too.

    A sum over the processes that are there would decrease when a worker dies, or does not answer in
    time. Prometheus takes that for a restart of the server, and counts all of it once more. So each
    process's increase over what was last seen of it is added up here. A counter that is less than
    it was has begun anew: a worker was replaced, or a backend by a reload. What a worker counted
    between the last look and its death is lost.

    Of calls and backends, `METER_SERIES` each are told apart; others go without their export. Of
    clients, `METER_CLIENTS`; others are `OTHERS`.
    """

    def __init__(self) -> None:
        self._last: dict[str, Snapshot] = {}
        self._whole = Snapshot(monotonic=0.0)

    def add(self, parts: Iterable[Snapshot]) -> Snapshot:
        """What is known with these, one of each process that has answered: the same object each
        time."""
        whole = self._whole
        now = Counts()
        whole.processes = {}
        for client in whole.clients.values():
            client.connections = 0
        for part in parts:
            ((name, process),) = part.processes.items()
            last = self._last.get(name)
            if last is None or last.processes[name].pid != process.pid:
                last = Snapshot(since=part.since)
            if last.since != part.since:  # its calls are counted anew
                last = replace(last, calls={}, clients={})
            self._gain(part, last)
            whole.since, whole.began = whole.since or part.since, whole.began or part.began
            self._last[name] = part
            whole.processes[name] = process
            if part.monotonic >= whole.monotonic:
                whole.time, whole.monotonic = part.time, part.monotonic
            now.connections += part.counts.connections
            now.waiting += part.counts.waiting
        whole.counts.connections, whole.counts.waiting = now.connections, now.waiting
        return whole

    def _gain(self, part: Snapshot, last: Snapshot) -> None:
        whole = self._whole
        for series, calls in part.calls.items():
            key = _within(whole.calls, series, series._replace(export=""))
            _gain_calls(whole.calls.setdefault(key, Calls()), calls, last.calls.get(series))
        for host, client in part.clients.items():
            known = host in whole.clients or len(whole.clients) < METER_CLIENTS
            into = whole.clients.setdefault(host if known else OTHERS, Client())
            into.add(client)
            into.add(last.clients.get(host, Client()), -1)
        if OTHERS in part.clients:  # who has become one of them is still known here by his name
            for host, client in last.clients.items():
                if host not in part.clients:
                    whole.clients[OTHERS].add(client, -1)
        for method, calls in part.backends.items():
            name = _within(whole.backends, method, ("", method[1]))
            _gain_calls(whole.backends.setdefault(name, Calls()), calls, last.backends.get(method))
        _gain(whole.caches, part.caches, last.caches)
        for spec in fields(Counts):
            counted = getattr(part.counts, spec.name)
            if isinstance(counted, Counter):
                _gain(getattr(whole.counts, spec.name), counted, getattr(last.counts, spec.name))
        whole.counts.dropped += _increase(part.counts.dropped, last.counts.dropped)


def _within(table: dict[K, Calls], key: K, otherwise: K) -> K:
    return key if key in table or len(table) < METER_SERIES else otherwise


def _increase(now: int, last: int) -> int:
    return now - last if now >= last else now


def _gain(whole: Counter[K], now: Counter[K], last: Counter[K]) -> None:
    for key, count in now.items():
        whole[key] += _increase(count, last[key])


def _gain_calls(whole: Calls, now: Calls, last: Calls | None) -> None:
    if last is not None and (now.latency, now.received) == (last.latency, last.received):
        return  # of many series, most
    if last is None or any(a < b for a, b in zip(now.latency, last.latency, strict=True)):
        last = Calls()
    whole.latency = [
        whole + a - b for whole, a, b in zip(whole.latency, now.latency, last.latency, strict=True)
    ]
    # The difference first: so nothing is added where nothing has changed, to the last bit.
    whole.seconds += max(0.0, now.seconds - last.seconds)
    whole.received += now.received - last.received
    whole.sent += now.sent - last.sent
    _gain(whole.errors, now.errors, last.errors)
