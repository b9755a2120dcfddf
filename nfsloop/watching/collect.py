"""What one process has counted by now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nfsloop.export import Export
from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import Client, Process, Snapshot

if TYPE_CHECKING:
    from nfsloop.app import App

log = logging.getLogger("nfsloop.watching")


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
    for host, count in Counter(peer.host for peer in app.server.peers()).items():
        snapshot.clients.setdefault(host, Client()).connections = count
    return snapshot


def _statistics(export: Export) -> Mapping[tuple[str, str], int]:
    try:
        return export.backend.statistics()
    except Exception:  # of somebody else's code
        log.debug("%s: no statistics", export, exc_info=True)
        return {}
