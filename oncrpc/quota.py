"""A quota of log lines per peer, so that nobody fills the disk with his mistakes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from oncrpc.limits import WARNING_PEERS, WARNINGS_PER_MINUTE, WARNINGS_PER_MINUTE_IN_ALL

MINUTE_SECONDS = 60.0


class Warnings:
    """Warnings about what peers send: some a minute from each, then one line that tells of more."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        #: Peer -> when its minute began, and how many warnings it has had since.
        self._minutes: dict[str, tuple[float, int]] = {}
        #: The same for all peers.
        self._minute = 0.0, 0

    def warn(self, peer: str, text: str, *args: object, level: int = logging.WARNING) -> None:
        """Log a warning about `peer`, unless it has had its share, or all have had theirs."""
        if not self._log.isEnabledFor(level):
            return
        now = self._clock()
        began, count = self._minutes.get(peer, (now, 0))
        if now - began >= MINUTE_SECONDS:
            if count > WARNINGS_PER_MINUTE and self._room(now):
                more = count - WARNINGS_PER_MINUTE
                self._log.warning("from %s: %d more of the like were not logged", peer, more)
            began, count = now, 0
        if len(self._minutes) >= WARNING_PEERS and peer not in self._minutes:
            self._minutes.clear()
        self._minutes[peer] = began, count + 1
        if count > WARNINGS_PER_MINUTE or not self._room(now):
            return
        if count < WARNINGS_PER_MINUTE:
            self._log.log(level, "from %s: " + text, peer, *args)
        else:
            self._log.warning("from %s: further warnings are counted, not logged", peer)

    def _room(self, now: float) -> bool:
        """Whether one more line may be written at all; tells once that it may not."""
        began, count = self._minute
        if now - began >= MINUTE_SECONDS or not count:
            began, count = now, 0
        self._minute = began, count + 1
        if count == WARNINGS_PER_MINUTE_IN_ALL:
            self._log.warning("too many warnings about too many peers: no more for a minute")
        return count < WARNINGS_PER_MINUTE_IN_ALL
