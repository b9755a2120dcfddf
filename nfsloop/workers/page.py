"""Memory that all processes of a server share: the write verifier, and names in hand.

One page file without a name, mapped by the home and each worker. It begins with the verifier; then
each worker has a row of `ROW_CLAIMS` claims.

A **claim** is a hash of a name that a call is about to change, or has changed without a record of
its reply yet. What a call's intent says of a name holds only while nobody else changes it, so a
worker waits while another has the name; and one that died has its names still, until the home has
settled its calls and `release`d them. So nobody comes between a crash and its settling, and the
others wait for nothing but those names.

Two workers that claim one name at once both see the other's claim, and both give way for a random
while. That a store is seen by the others before the loads that follow it is left to time: between
the two lie hundreds of instructions, and no store waits for so long.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from typing import Any

from backends.base import Backend

#: Names that the calls of one worker have in hand at a time; those beyond wait.
ROW_CLAIMS = 64

_CLAIM_BYTES = 4
_ROW_BYTES = ROW_CLAIMS * _CLAIM_BYTES
_ROWS_AT = 64
_FREE = bytes(_CLAIM_BYTES)


class Page:
    """The shared memory of a server with `workers`. Without `descriptor`, a new one is made; its
    number is `descriptor` then, for a worker to inherit. Raises OSError."""

    def __init__(self, workers: int, descriptor: int | None = None) -> None:
        size = _ROWS_AT + workers * _ROW_BYTES
        made = descriptor is None
        self.descriptor = os.memfd_create("nfsloop") if descriptor is None else descriptor
        if made:
            os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        if made:
            self.renew()

    def renew(self) -> None:
        """Data may have been lost that clients were told is UNSTABLE: another write verifier, for
        all exports and all workers at once (Linux's nfsd has one for all, too)."""
        self.memory[:8] = os.urandom(8)

    def share_verifier(self, backend: Backend) -> None:
        """Have the verifier of `backend` be the one of all processes; what it sets is theirs.

        A property of a class made for it alone: what runs in one process pays nothing. A wrap has
        none of its own; then it is that of the backend at the bottom.
        """
        while "verifier" not in vars(backend):
            backend = vars(backend).get("below") or vars(backend)["_backend"]
        memory, kind = self.memory, type(backend)

        def get(backend: Any) -> bytes:
            return memory[:8]

        def put(backend: Any, verifier: bytes) -> None:
            memory[:8] = verifier

        backend.__class__ = type(kind.__name__, (kind,), {"verifier": property(get, put)})

    def row(self, worker: int) -> Row:
        """The claims of a worker; of the worker itself, in its own process."""
        return Row(self.memory, worker)

    def close(self) -> None:
        """Give it back."""
        self.memory.close()
        os.close(self.descriptor)


class Row:
    """The claims of one worker."""

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        self._memory = memory
        self._start = _ROWS_AT + worker * _ROW_BYTES
        self._stop = self._start + _ROW_BYTES
        self._free = list(range(self._stop - _CLAIM_BYTES, self._start - 1, -_CLAIM_BYTES))
        #: What is claimed -> where that is written.
        self._at: dict[bytes, int] = {}

    def take(self, names: Iterable[int]) -> bool:
        """Claim names, by their hashes (32 bits), all or none; whether nobody had any of them."""
        claims = {(name or 1).to_bytes(_CLAIM_BYTES, "little") for name in names}
        if len(claims) > len(self._free) or not claims.isdisjoint(self._at):
            return False
        memory = self._memory
        for claim in claims:
            at = self._at[claim] = self._free.pop()
            memory[at : at + _CLAIM_BYTES] = claim
        # A hit across two claims is none, and costs a moment.
        before, behind = memory[_ROWS_AT : self._start], memory[self._stop :]
        for claim in claims:
            if claim in before or claim in behind:
                self.give(names)
                return False
        return True

    def give(self, names: Iterable[int]) -> None:
        """Give back what was taken."""
        for name in names:
            at = self._at.pop((name or 1).to_bytes(_CLAIM_BYTES, "little"), None)
            if at is not None:
                self._memory[at : at + _CLAIM_BYTES] = _FREE
                self._free.append(at)

    def release(self) -> None:
        """For a worker that is dead, and whose calls are settled: its names are free."""
        self._memory[self._start : self._stop] = bytes(_ROW_BYTES)
