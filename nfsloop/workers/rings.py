"""The rings of the duplicate request caches: one for each worker, and what becomes of them.

They lie in the state directory: ``drc.ring`` of a server that is one process, else
``drc.ring.K-of-N``. At a start each worker settles the calls in its own that a crash cut off, and
none serves before all have. If there are rings of another number of workers, the home does that
before, for all rings; and as a client may come to any worker now, each gets the replies of all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from nfsloop.config import DrcSettings
from nfsloop.errors import ConfigError
from nfsloop.limits import SETTLE_CALLS
from oncrpc.drc import FORGET, REPLY, DuplicateRequestCache, Settle
from oncrpc.limits import RING_SEGMENT_BYTES
from oncrpc.ring import Record, Ring, in_file

log = logging.getLogger("nfsloop.workers")

_RING = re.compile(r"drc\.ring(\.\d+-of-\d+)?")


def share(settings: DrcSettings, workers: int) -> DrcSettings:
    """What one of so many workers has of it."""
    size = max(settings.bytes // workers, 2 * RING_SEGMENT_BYTES)
    size = size // RING_SEGMENT_BYTES * RING_SEGMENT_BYTES
    return replace(settings, bytes=size, entries=max(1, settings.entries // workers))


def paths(state: Path, workers: int) -> list[Path]:
    """The rings of so many workers, in order."""
    if workers == 1:
        return [state / "drc.ring"]
    return [state / f"drc.ring.{number}-of-{workers}" for number in range(workers)]


def present(state: Path) -> list[Path]:
    """All rings that are there. Raises OSError."""
    return sorted(state / name for name in os.listdir(state) if _RING.fullmatch(name))


async def settle(path: Path, settings: DrcSettings, how: Settle) -> None:
    """Settle the calls in a ring whose process is no more. Raises OSError."""
    size = path.stat().st_size
    if not size or size % RING_SEGMENT_BYTES:
        return  # it never had a record, or was cut off by a crash as it was made
    cache = DuplicateRequestCache(
        Ring(in_file(path, size)), settings.entries, settings.retention_seconds
    )
    with closing(cache):
        await cache.recover(how, SETTLE_CALLS)
        done = cache.statistics
        if done.settled or done.unexecuted:
            log.info("%s: %s", path.name, done)


async def prepare(state: Path, workers: int, settings: DrcSettings, how: Settle) -> None:
    """Before the workers start: if there are rings of another number of them, settle what is in
    all, and have it in rings of `workers`.

    A crash in the midst of it costs nothing: the former rings go when the new ones are complete,
    and until then it is done again at the next start. Raises ConfigError.
    """
    if not settings.enabled:
        return
    try:
        there, wanted = present(state), paths(state, workers)
        if set(there) <= set(wanted):
            return
        for path in there:
            await settle(path, settings, how)
        _move(there, wanted, share(settings, workers))
    except OSError as exc:
        raise ConfigError(f"{state}: {exc.strerror} (the rings of {workers} workers)") from None


def _move(there: Sequence[Path], wanted: Sequence[Path], settings: DrcSettings) -> None:
    """Write the replies of all rings into each of those wanted, and remove the others."""
    replies = _replies(there)
    for path in wanted:
        fresh = path.with_name(f"{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        count = _write(fresh, settings, replies)
        os.replace(fresh, path)
    for path in set(there) - set(wanted):
        os.unlink(path)
    log.info("%d replies of %d rings are in each of %d", count, len(there), len(wanted))


def _replies(there: Iterable[Path]) -> list[tuple[Record, bytes]]:
    """The replies of some rings with their bytes, one for each key, the oldest first."""
    found: dict[bytes, tuple[Record, bytes]] = {}
    for path in there:
        size = path.stat().st_size
        if not size or size % RING_SEGMENT_BYTES:
            continue
        ring = Ring(in_file(path, size))
        with closing(ring):
            latest: dict[bytes, Record] = {}
            for record in ring.found:
                latest.pop(record.key, None)
                if record.kind != FORGET:
                    latest[record.key] = record
            for key, record in latest.items():
                other = found.get(key)
                if record.kind == REPLY and (other is None or other[0].when <= record.when):
                    found[key] = record, ring.payload(record.offset, record.length)
    return sorted(found.values(), key=lambda one: one[0].when)


def _write(path: Path, settings: DrcSettings, replies: Sequence[tuple[Record, bytes]]) -> int:
    """A new ring with the latest of `replies`, as many as half of it holds; how many."""
    ring = Ring(in_file(path, settings.bytes))
    with closing(ring):
        room, first = settings.bytes // 2, len(replies)
        for record, payload in reversed(replies):
            room -= len(record.key) + len(payload) + 64
            if room < 0 or len(replies) - first >= settings.entries:
                break
            first -= 1
        for record, payload in replies[first:]:
            while ring.append(REPLY, record.key, payload, record.when) < 0:
                ring.turn()
        return len(replies) - first
