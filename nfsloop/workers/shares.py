"""What one of several workers has of what the server may have."""

from __future__ import annotations

from dataclasses import replace

from nfsloop.config import Settings
from nfsloop.workers.rings import share
from oncrpc.limits import ServerLimits

#: Limits of a whole server. Those of one client, or of one connection, each worker has whole.
DIVIDED = (
    "connections", "accepts_per_second", "accepts_at_once", "calls", "datagram_calls",
    "server_record_bytes", "server_backlog_bytes",
)  # fmt: skip


def limits_of(limits: ServerLimits, workers: int) -> ServerLimits:
    """The limits of one of so many workers: together they are the server's, or a little more.

    Memory for records and replies is never less than two records.
    """
    parts: dict[str, float] = {}
    for name in DIVIDED:
        whole = getattr(limits, name)
        part = -(-whole // workers) if isinstance(whole, int) else whole / workers
        if name.endswith("_bytes"):
            part = max(part, min(whole, 2 * limits.record_bytes))
        parts[name] = part
    return replace(limits, **parts)  # type: ignore[arg-type]


def settings_of(settings: Settings, workers: int) -> Settings:
    """The settings of one of so many workers: nobody but the home is found by a portmapper."""
    return replace(
        settings,
        rpcbind="none",
        limits=limits_of(settings.limits, workers),
        drc=share(settings.drc, workers),
    )
