"""What one process has counted by now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nfsloop.watching.counts import Counts
from nfsloop.watching.snapshot import Client, Process, Snapshot

if TYPE_CHECKING:
    from nfsloop.app import App


def collect(app: App, name: str) -> Snapshot:
    """A snapshot of `app`, whose process is called `name`. Its calls are counted from the first
    one on, see `nfsloop.watching.meter.Watcher.meter`."""
    meter = app.watcher.meter()
    snapshot = Snapshot(since=meter.since)
    snapshot.calls = meter.calls()
    snapshot.clients = meter.clients()
    snapshot.counts = Counts.of(app)
    snapshot.processes[name] = Process.here()
    for host, count in Counter(peer.host for peer in app.server.peers()).items():
        snapshot.clients.setdefault(host, Client()).connections = count
    return snapshot
