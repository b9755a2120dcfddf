"""What a server has counted by some moment: sums over its processes, and over time differences."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from time import monotonic as _monotonic
from typing import Any, NamedTuple, Self

from nfsloop.watching.counts import Counts

#: Stands for what is beyond a limit.
OTHERS = "others"

#: Upper bounds of the classes of latency, in seconds; one class more is above them all.
BOUNDS = (
    25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3,
    500e-3, 1.0, 2.5, 10.0,
)  # fmt: skip


class Series(NamedTuple):
    """What calls are told apart by. `export` is its path; empty where there is none."""

    program: str
    version: int
    procedure: str
    export: str


@dataclass(slots=True)
class Calls:
    """Calls that were answered."""

    #: By how long they took: a class for each of `BOUNDS`, and one above.
    latency: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    #: All of them together.
    seconds: float = 0.0
    #: Bytes of calls and of replies, as records or datagrams without their marks.
    received: int = 0
    sent: int = 0
    #: Replies other than OK, by status: nfsstat3 and mountstat3 without their prefix, or why the
    #: call was refused (RFC 5531 section 9).
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many."""
        return sum(self.latency)

    def add(self, other: Calls, sign: int = 1) -> None:
        """Count another's too, or (`sign` -1) no more."""
        self.latency = [a + sign * b for a, b in zip(self.latency, other.latency, strict=True)]
        self.seconds += sign * other.seconds
        self.received += sign * other.received
        self.sent += sign * other.sent
        for name, count in other.errors.items():
            self.errors[name] += sign * count

    def copy(self) -> Calls:
        """Another, that counts the same."""
        errors = Counter(self.errors) if self.errors else Counter()
        return Calls(self.latency.copy(), self.seconds, self.received, self.sent, errors)

    def quantile(self, share: float) -> float:
        """The latency, in seconds, that `share` (0 to 1) of the calls did not exceed: within its
        class as if they were spread evenly. 0 where there was no call."""
        wanted = share * self.count
        if not wanted:
            return 0.0
        below = 0.0
        for bound, count in zip(BOUNDS, self.latency, strict=False):
            if count and wanted <= count:
                return below + (bound - below) * wanted / count
            wanted -= count
            below = bound
        return below


@dataclass(slots=True)
class Client:
    """The calls of one client."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    #: Its TCP connections just now.
    connections: int = 0

    def add(self, other: Client, sign: int = 1) -> None:
        """Count another's too, or (`sign` -1) no more; not its connections then."""
        self.calls += sign * other.calls
        self.errors += sign * other.errors
        self.seconds += sign * other.seconds
        self.received += sign * other.received
        self.sent += sign * other.sent
        if sign > 0:
            self.connections += other.connections


@dataclass(slots=True)
class Process:
    """One process of the server, by what it is: "server", "home" or "worker N"."""

    pid: int
    resident_bytes: int
    cpu_seconds: float
    descriptors: int
    #: When it began, in Unix time.
    started: float = 0.0

    @classmethod
    def here(cls) -> Self:
        """This one. What needs a descriptor is 0 where none is left."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found = cls(os.getpid(), 0, usage.ru_utime + usage.ru_stime, 0)
        with contextlib.suppress(OSError):
            found.started = _started(found.pid)
            with open("/proc/self/statm", "rb") as file:
                found.resident_bytes = int(file.read().split()[1]) * resource.getpagesize()
            found.descriptors = len(os.listdir("/proc/self/fd")) - 1
        return found


@functools.cache
def _started(pid: int) -> float:
    """When this process, which is `pid`, began: as the kernel tells it, in ticks since the boot."""
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])  # its name may have anything in it
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


@dataclass(slots=True)
class Snapshot:
    """All of it. `calls` and `clients` count since `since` (Unix time), when somebody began to
    look; `counts` since the processes began."""

    time: float = field(default_factory=time.time)
    since: float = 0.0
    #: The same two by the clock that nobody sets (CLOCK_MONOTONIC), which all processes share.
    monotonic: float = field(default_factory=_monotonic)
    began: float = 0.0
    calls: dict[Series, Calls] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    processes: dict[str, Process] = field(default_factory=dict)
    #: Hits and misses of caches, by export and name: "/srv attrcache hits".
    caches: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: Seconds and calls within backends, by export and method.
    backends: dict[tuple[str, str], Calls] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it was counted."""
        return self.monotonic - self.began

    def __sub__(self, earlier: Snapshot) -> Snapshot:
        """What was counted since `earlier`, but for `counts`, `processes` and `caches`, which are
        as they are. Where counting began anew after `earlier`, that is all there is."""
        whole = replace(self, calls={}, clients={}, backends={})
        same = self.since == earlier.since
        if same:
            whole.since, whole.began = earlier.time, earlier.monotonic
        for name in ("calls", "clients", "backends"):
            ours, theirs, into = (getattr(one, name) for one in (self, earlier, whole))
            _add(into, ours)
            if same:
                _add(into, {key: value for key, value in theirs.items() if key in ours}, -1)
        if same and OTHERS in whole.clients:  # with what they had counted by then
            for host in earlier.clients.keys() - self.clients.keys():
                whole.clients[OTHERS].add(earlier.clients[host], -1)
        return whole

    @classmethod
    def sum(cls, parts: Iterable[Snapshot]) -> Snapshot:
        """Several processes' together."""
        whole = cls()
        counts: list[Counts] = []
        for part in parts:
            whole.since = min(whole.since or part.since, part.since or whole.since)
            whole.began = min(whole.began or part.began, part.began or whole.began)
            for name in ("calls", "clients", "backends"):
                _add(getattr(whole, name), getattr(part, name))
            whole.processes.update(part.processes)
            whole.caches.update(part.caches)
            counts.append(part.counts)
        whole.counts = Counts.sum(counts)
        return whole

    # As JSON, whose keys are texts

    def to_json(self) -> dict[str, Any]:
        """As an object that json writes."""
        return {
            "time": self.time,
            "since": self.since,
            "monotonic": self.monotonic,
            "began": self.began,
            "calls": [[*series, _plain(calls)] for series, calls in self.calls.items()],
            "clients": {host: _plain(client) for host, client in self.clients.items()},
            "counts": _plain(self.counts),
            "processes": {name: _plain(process) for name, process in self.processes.items()},
            "caches": [[*key, count] for key, count in self.caches.items()],
            "backends": [[*key, _plain(calls)] for key, calls in self.backends.items()],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Snapshot:
        """The same back. Raises KeyError, TypeError, ValueError for what is none."""
        counts: dict[str, Any] = {
            name: Counter(given) if isinstance(given, dict) else given
            for name, given in value["counts"].items()
        }
        return cls(
            value["time"],
            value["since"],
            value["monotonic"],
            value["began"],
            {Series(*key): _calls(calls) for *key, calls in value["calls"]},
            {host: Client(**client) for host, client in value["clients"].items()},
            Counts(**counts),
            {name: Process(**process) for name, process in value["processes"].items()},
            Counter({(export, cache, what): n for export, cache, what, n in value["caches"]}),
            {(export, method): _calls(calls) for export, method, calls in value["backends"]},
        )


def _plain(value: Any) -> dict[str, Any]:
    # Not `dataclasses.asdict`, which makes nonsense of a Counter.
    return {spec.name: getattr(value, spec.name) for spec in fields(value)}


def _calls(value: Mapping[str, Any]) -> Calls:
    given = {spec.name: value[spec.name] for spec in fields(Calls)}
    if len(given["latency"]) != len(BOUNDS) + 1:
        raise ValueError("other classes of latency")
    return Calls(**{**given, "errors": Counter(given["errors"])})


def _add(into: dict[Any, Any], other: Mapping[Any, Any], sign: int = 1) -> None:
    for key, value in other.items():
        if key not in into:
            into[key] = type(value)()
        into[key].add(value, sign)
