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
#: After so many syncs by threads, one after the other, so many are done on the loop; then it is
#: looked again whether any come side by side, as those of several clients do.
LONE_SYNCS: Final = 4
SYNCS_HERE: Final = 60


class Pace:
    """How long syncs have taken lately, and how busy the loop is. Times in nanoseconds.

    `quick`: see `QUICK_NS`; 0: all go to threads. The first does, so that a slow disk is never met
    on the loop; if one becomes slow, one call meets it there.
    """

    __slots__ = ("_busy", "_left", "_lone", "_since", "_took", "_used", "quick")

    def __init__(self, quick: int = QUICK_NS) -> None:
        self.quick = quick
        self._took = -1
        self._busy = False
        self._lone = self._left = 0
        self._since = self._used = 0

    def took(self, time: int) -> None:
        """A sync took so long, wherever it was done."""
        self._took = time if self._took < 0 else self._took + (time - self._took) // 4

    def alone(self, alone: bool) -> None:
        """A thread has done one, and no other came meanwhile; or one did."""
        self._lone = self._lone + 1 if alone else 0
        if self._lone == LONE_SYNCS:
            self._lone, self._left = 0, SYNCS_HERE

    def allows(self, now: int, used: int) -> bool:
        """Whether one may be done on the loop, whose thread has `used` so much of a processor by
        the time `now`."""
        if now - self._since >= WINDOW_NS:
            self._busy = used - self._used > BUSY_SHARE * (now - self._since)
            self._since, self._used = now, used
        if not self._left or self._busy or not 0 <= self._took <= self.quick:
            return False
        self._left -= 1
        return True
