"""Counts and times calls as they pass, while somebody looks.

It stands before `oncrpc.dispatch.Dispatcher.dispatch`, where a call is a record, and its answer is
what its transport is given. So it sees all of them: those that are answered by the duplicate
request cache, those that are refused, those that wait.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from bisect import bisect_left
from dataclasses import replace
from time import perf_counter

from nfsloop.export import Export, Exports
from nfsloop.limits import METER_CLIENTS, METER_SECONDS, METER_SERIES
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from nfsloop.watching.outcome import EXPORT_AT, Statuses, outcome, statuses_of
from nfsloop.watching.snapshot import BOUNDS, OTHERS, Calls, Client, Series
from nfsloop.watching.timed import Timed
from oncrpc.call import Peer, Transport
from oncrpc.dispatch import Dispatch, Dispatcher, Origins, Watch
from oncrpc.xdr import Buffer

log = logging.getLogger("nfsloop.watching")

#: Of a call's header: program, version and procedure as they are, then the credential's length.
_head = struct.Struct(">12s4xI").unpack_from
_three = struct.Struct(">3I").unpack
_word = struct.Struct(">I").unpack_from

_NFS = struct.pack(">2I", NFS_V3.number, NFS_V3.version)


class _Slot:
    """The calls of one series, and the statuses that their results have, if any."""

    __slots__ = ("calls", "latency", "ok", "received", "seconds", "sent", "series", "statuses")

    def __init__(self, series: Series, statuses: Statuses | None) -> None:
        self.series = series
        self.statuses = statuses
        self.ok = statuses.ok if statuses is not None else b""
        self.seconds = 0.0
        self.received = self.sent = 0
        #: What is counted of them seldom; its latency is `latency`.
        self.calls = Calls()
        self.latency = self.calls.latency

    def counted(self) -> Calls:
        """What it has counted."""
        calls = self.calls
        calls.seconds, calls.received, calls.sent = self.seconds, self.received, self.sent
        return calls


class _Timed:
    """The transport of a call that is timed."""

    __slots__ = ("began", "client", "peer", "slot", "transport")

    def __init__(
        self, transport: Transport, peer: Peer, slot: _Slot, client: Client, began: float
    ) -> None:
        self.transport = transport
        self.peer = peer
        self.slot = slot
        self.client = client
        self.began = began

    def send(self, parts: list[Buffer]) -> None:
        """See `oncrpc.call.Transport`."""
        slot, client = self.slot, self.client
        size = 0
        for part in parts:
            size += len(part)
        slot.sent += size
        client.sent += size
        if len(parts) < 2 or (slot.statuses is not None and parts[1][:4] != slot.ok):
            error = outcome(parts, slot.statuses).label
            if error:
                slot.calls.errors[error] += 1
                client.errors += 1
        self.transport.send(parts)
        seconds = perf_counter() - self.began
        slot.latency[bisect_left(BOUNDS, seconds)] += 1
        slot.seconds += seconds
        client.calls += 1
        client.seconds += seconds


class Meter:
    """Counts the calls that go through `watch`, by series and by client.

    Beyond `METER_SERIES`, calls are counted without their export. Of more than `METER_CLIENTS`
    clients, the half that has called least becomes one, `OTHERS`.
    """

    def __init__(self, dispatcher: Dispatcher, exports: Exports) -> None:
        self.since = time.time()
        self.began = time.monotonic()
        self._dispatcher = dispatcher
        self._exports = exports
        self._slots: dict[Series, _Slot] = {}
        self._clients: dict[str, Client] = {}
        #: NFS calls' slots, by their procedure and the number of their export, as both are on the
        #: wire.
        self._known: dict[tuple[bytes, bytes], _Slot] = {}

    def watch(self, dispatch: Dispatch) -> Dispatch:
        """See `oncrpc.dispatch.Watch`."""
        known, clients = self._known, self._clients

        def metered(
            record: Buffer, transport: Transport, origins: Origins | None = None
        ) -> asyncio.Future[None] | None:
            began = perf_counter()
            try:
                name, length = _head(record, 12)
            except struct.error:
                return dispatch(record, transport, origins)
            at = EXPORT_AT + (length + 3 & ~3)
            key = name, bytes(record[at : at + 4])
            slot = known.get(key) or self._find(*key)
            peer = transport.peer
            client = clients.get(peer.host) or self._client(peer.host)
            size = len(record)
            slot.received += size
            client.received += size
            return dispatch(record, _Timed(transport, peer, slot, client, began), origins)

        return metered

    def calls(self) -> dict[Series, Calls]:
        """A copy of the calls by series."""
        return {series: slot.counted().copy() for series, slot in self._slots.items()}

    def clients(self) -> dict[str, Client]:
        """A copy of the calls by client."""
        return {host: replace(client) for host, client in self._clients.items()}

    def _find(self, name: bytes, export: bytes) -> _Slot:
        """The slot of a call that is not known by its words."""
        program, version, number = _three(name)
        found = self._dispatcher.procedure(program, version, number)
        if found is None:
            series, statuses = Series(OTHERS, 0, OTHERS, ""), None
        else:
            statuses = statuses_of(*found)
            path = ""
            if name.startswith(_NFS) and len(export) == 4:
                there = self._exports.by_number.get(_word(export)[0])
                path = there.path if there is not None else ""
            series = Series(found[0].name, version, found[1].name, path)
        if len(self._slots) >= METER_SERIES and series not in self._slots:
            series = series._replace(export="")
        slot = self._slots.get(series)
        if slot is None:
            slot = self._slots[series] = _Slot(series, statuses)
        if series.export or not export:  # others name anything there, without end
            self._known[name, export] = slot
        return slot

    def _client(self, host: str) -> Client:
        clients = self._clients
        if len(clients) >= METER_CLIENTS:
            others = clients.pop(OTHERS, Client())
            for quiet in sorted(clients, key=lambda one: clients[one].calls)[: METER_CLIENTS // 2]:
                others.add(clients.pop(quiet))
            clients[OTHERS] = others
        return clients.setdefault(host, Client())


class Watcher:
    """Who looks at the calls of a dispatcher just now."""

    def __init__(self, dispatcher: Dispatcher, exports: Exports) -> None:
        self._dispatcher = dispatcher
        self._exports = exports
        #: All whose calls are looked at: that one, and the portmapper's on its own port.
        self._dispatchers = [dispatcher]
        self._watches: list[Watch] = []
        self._meter: Meter | None = None
        self._forever = False
        self._end: asyncio.TimerHandle | None = None
        #: The calls of backends that are timed, by export and method.
        self.backends: dict[tuple[str, str], Calls] = {}

    def time(self, export: Export) -> None:
        """Have an export's backend timed, before it is started. It goes on for as long as that is
        served; one that takes its place goes on where it has ended."""
        export.backend = Timed(export.backend, export.path, self.backends)

    def also(self, dispatcher: Dispatcher) -> None:
        """Look at the calls of another dispatcher too."""
        self._dispatchers.append(dispatcher)
        self._look()

    def _look(self) -> None:
        for dispatcher in self._dispatchers:
            dispatcher.watch(self._watches)

    def add(self, watch: Watch) -> None:
        """Have calls go through `watch` too, inside of those that are there."""
        self._watches.append(watch)
        self._look()

    def remove(self, watch: Watch) -> None:
        """No more. Calls that are on their way still tell it their answers."""
        self._watches.remove(watch)
        self._look()

    def meter(self, forever: bool = False) -> Meter:
        """The meter, which counts from now on for `METER_SECONDS` after it was last asked for, or
        `forever`."""
        if self._meter is None:
            self._meter = Meter(self._dispatcher, self._exports)
            self.add(self._meter.watch)
        self._forever = self._forever or forever
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if not self._forever:
            self._end = asyncio.get_running_loop().call_later(METER_SECONDS, self._stop_metering)
        return self._meter

    def _stop_metering(self) -> None:
        if self._meter is not None:
            self.remove(self._meter.watch)
            self._meter = self._end = None

    def stop(self) -> None:
        """Nobody looks any more."""
        if self._end is not None:
            self._end.cancel()
        self._watches.clear()
        self._look()
