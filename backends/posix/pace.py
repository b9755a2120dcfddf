"""Whether a sync is done on the loop or by a thread. No I/O, no clock."""

from __future__ import annotations

from typing import Final

#: Syncs that take no longer are done on the loop: to hand one to a thread and back takes 0.1 ms and
#: more, and as much of the processor as the sync itself.
QUICK_NS: Final = 500_000
#: The loop's share of a processor is looked at over at least so long; if it uses more than
#: `BUSY_SHARE`, others would wait for a sync on the loop.
WINDOW_NS: Final = 20_000_000
BUSY_SHARE: Final = 0.6


class Pace:
    """How long syncs have taken lately, and how busy the loop is. Times in nanoseconds.

    `quick`: see `QUICK_NS`; 0: all go to threads. The first does, so that a slow disk is never met
    on the loop; if one becomes slow, one call meets it there.
    """

    __slots__ = ("_busy", "_since", "_took", "_used", "quick")

    def __init__(self, quick: int = QUICK_NS) -> None:
        self.quick = quick
        self._took = -1
        self._busy = False
        self._since = self._used = 0

    def took(self, time: int) -> None:
        """A sync took so long, wherever it was done."""
        self._took = time if self._took < 0 else self._took + (time - self._took) // 4

    def allows(self, now: int, used: int) -> bool:
        """Whether one may be done on the loop, whose thread has `used` so much of a processor by
        the time `now`."""
        if now - self._since >= WINDOW_NS:
            self._busy = used - self._used > BUSY_SHARE * (now - self._since)
            self._since, self._used = now, used
        return 0 <= self._took <= self.quick and self.quick > 0 and not self._busy
