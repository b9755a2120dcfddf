"""What one process has counted by now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nfsloop.export import Export
from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import Client, Process, Snapshot
from oncrpc.quota import Warnings

if TYPE_CHECKING:
    from nfsloop.app import App

_warnings = Warnings(logging.getLogger("nfsloop.watching"))


def collect(app: App, name: str) -> Snapshot:
    """A snapshot of `app`, whose process is called `name`. Its calls are counted from the first
    one on, see `nfsloop.watching.meter.Watcher.meter`."""
    meter = app.watcher.meter()
    snapshot = Snapshot(since=meter.since, began=meter.began)
    snapshot.calls = meter.calls()
    snapshot.clients = meter.clients()
    snapshot.counts = Counts.of(app)
    snapshot.processes[name] = Process.here()
    snapshot.backends = {key: calls.copy() for key, calls in app.watcher.backends.items()}
    for export in app.exports:
        for counter, count in _statistics(export).items():
            snapshot.caches[(export.path, *counter)] = count
    for host, count in Counter(one.peer.host for one in app.server.open).items():
        snapshot.clients.setdefault(host, Client()).connections = count
    return snapshot


def _statistics(export: Export) -> Mapping[tuple[str, str], int]:
    try:
        return export.backend.statistics()
    except Exception as exc:  # of somebody else's code
        _warnings.warn(export.path, "%s: it gives no statistics: %r", export, exc)
        return {}
