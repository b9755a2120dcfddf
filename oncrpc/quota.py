"""A quota of log lines per peer, so that nobody fills the disk with his mistakes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from oncrpc.limits import WARNING_PEERS, WARNINGS_PER_MINUTE

MINUTE_SECONDS = 60.0


class Warnings:
    """Warnings about what peers send: some a minute from each, then one line that tells of more."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        #: Peer -> when its minute began, and how many warnings it has had since.
        self._minutes: dict[str, tuple[float, int]] = {}

    def warn(self, peer: str, text: str, *args: object) -> None:
        """Log a warning about `peer`, unless it has had its share."""
        now = self._clock()
        began, count = self._minutes.get(peer, (now, 0))
        if now - began >= MINUTE_SECONDS:
            if count > WARNINGS_PER_MINUTE:
                more = count - WARNINGS_PER_MINUTE
                self._log.warning("from %s: %d more of the like were not logged", peer, more)
            began, count = now, 0
        if len(self._minutes) >= WARNING_PEERS and peer not in self._minutes:
            self._minutes.clear()
        self._minutes[peer] = began, count + 1
        if count < WARNINGS_PER_MINUTE:
            self._log.warning("from %s: " + text, peer, *args)
        elif count == WARNINGS_PER_MINUTE:
            self._log.warning("from %s: further warnings are counted, not logged", peer)
