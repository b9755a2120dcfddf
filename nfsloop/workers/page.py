"""Memory that all processes of a server share: the write verifier, and names in hand.

One page file without a name, mapped by the home and each worker. It begins with the verifier; then
there is for each worker how many places of its row are worth a look, and the row: `ROW_CLAIMS`
claims. Mostly nobody else has anything in hand, and one look at those numbers tells that.

A **claim** is a hash of a name that a call is about to change, or has changed without a record of
its reply yet. What a call's intent says of a name holds only while nobody else changes it, so a
worker waits while another has the name; and one that died has its names still, until the home has
settled its calls and `release`d them. So nobody comes between a crash and its settling, and the
others wait for nothing but those names.

Two workers that claim one name at once both see the other's claim, and both give way for a random
while. A claim is written before the number that has others look at it. That a store is seen by the
others before the loads that follow it is left to time: between the two lie hundreds of
instructions, and no store waits for so long.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

from backends.base import Backend

#: Names that the calls of one worker have in hand at a time; those beyond wait.
ROW_CLAIMS = 256

_CLAIM_BYTES, _COUNT_BYTES = 4, 2
_ROW_BYTES = ROW_CLAIMS * _CLAIM_BYTES
_COUNTS_AT = 64

#: A row that is empty, and would have a place from here on taken next, is put in order.
_LOW = 16

#: Stands for a place, where all are taken. No claim has this number.
ROOM = 0


class Page:
    """The shared memory of a server with `workers`. Without `descriptor`, a new one is made; its
    number is `descriptor` then, for a worker to inherit. Raises OSError."""

    def __init__(self, workers: int, descriptor: int | None = None) -> None:
        rows_at = _COUNTS_AT + -(-workers * _COUNT_BYTES // 64) * 64
        size = rows_at + workers * _ROW_BYTES
        made = descriptor is None
        self.descriptor = os.memfd_create("nfsloop") if descriptor is None else descriptor
        if made:
            os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        #: How many places of each row are worth a look, and all rows, one after the other.
        whole = memoryview(self.memory)
        self.counts = whole[_COUNTS_AT : _COUNTS_AT + workers * _COUNT_BYTES].cast("H")
        self.places = whole[rows_at:].cast("I")
        if made:
            self.renew()

    def renew(self) -> None:
        """Data may have been lost that clients were told is UNSTABLE: another write verifier, for
        all exports and all workers at once (Linux's nfsd has one for all, too)."""
        self.memory[:8] = os.urandom(8)

    def share_verifier(self, backend: Backend) -> bool:
        """Have the verifier of `backend` be the one of all processes; what it sets is theirs.
        Whether it has one that can be.

        A property of a class made for it alone: what runs in one process pays nothing. A wrap has
        none of its own; then it is that of the backend at the bottom.
        """
        while "verifier" not in vars(backend):
            below = vars(backend).get("below") or vars(backend).get("_backend")
            if not isinstance(below, Backend):
                return False
            backend = below
        memory, kind = self.memory, type(backend)

        def get(backend: Any) -> bytes:
            return memory[:8]

        def put(backend: Any, verifier: bytes) -> None:
            memory[:8] = verifier

        backend.__class__ = type(kind.__name__, (kind,), {"verifier": property(get, put)})
        return True

    def row(self, worker: int) -> Row:
        """The claims of a worker; of the worker itself, in its own process."""
        return Row(self, worker)

    def close(self) -> None:
        """Give it back."""
        self.counts.release()
        self.places.release()
        self.memory.close()
        os.close(self.descriptor)


class Row:
    """The claims of one worker."""

    def __init__(self, page: Page, worker: int) -> None:
        self._memory, self._counts, self._places = page.memory, page.counts, page.places
        self._worker = worker
        self._start = worker * ROW_CLAIMS
        self._free = _all_free()
        #: What is claimed -> its place in the row.
        self._at: dict[int, int] = {}
        #: Behind the last place that was taken since the row was empty.
        self._used = 0
        #: Where the numbers of the others are, and what they are if none has a claim.
        own = _COUNTS_AT + worker * _COUNT_BYTES
        end = _COUNTS_AT + len(page.counts) * _COUNT_BYTES
        both = slice(_COUNTS_AT, own), slice(own + _COUNT_BYTES, end)
        self._others = [(part, bytes(n)) for part in both if (n := part.stop - part.start)]

    def take(self, names: Sequence[int]) -> bool:
        """Claim names, by their hashes (32 bits), all or none; whether nobody had any of them."""
        claims = {name or 1 for name in names}
        if len(claims) > len(self._free) or not claims.isdisjoint(self._at):
            return False
        for claim in claims:
            at = self._at[claim] = self._free.pop()
            self._places[self._start + at] = claim
            if at >= self._used:
                self._used = self._counts[self._worker] = at + 1
        for part, none in self._others:
            if self._memory[part] != none and self._taken(claims):
                self.give(names)
                return False
        return True

    def _taken(self, claims: set[int]) -> bool:
        """Whether another worker has one of them."""
        for worker, count in enumerate(self._counts):
            if count and worker != self._worker:
                start = worker * ROW_CLAIMS
                if not claims.isdisjoint(self._places[start : start + count].tolist()):
                    return True
        return False

    def give(self, names: Sequence[int]) -> None:
        """Give back what was taken."""
        for name in names:
            at = self._at.pop(name or 1, None)
            if at is not None:
                self._places[self._start + at] = 0
                self._free.append(at)
        if not self._at:
            self._used = self._counts[self._worker] = 0
            if self._free[-1] >= _LOW:
                self._free = _all_free()

    def wanting(self, names: Sequence[int]) -> int | None:
        """Which of `names` a call of this worker has; `ROOM` if that is what there is not; None if
        it is nothing of this worker's that hinders `take`."""
        for name in names:
            if (name or 1) in self._at:
                return name or 1
        return ROOM if len(set(names)) > len(self._free) else None

    def release(self) -> None:
        """For a worker that is dead, and whose calls are settled: its names are free."""
        for at in range(self._start, self._start + ROW_CLAIMS):
            self._places[at] = 0
        self._counts[self._worker] = 0


def _all_free() -> list[int]:
    """The places of a row, the first at the end."""
    return list(range(ROW_CLAIMS - 1, -1, -1))
