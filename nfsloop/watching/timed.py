"""Backend time: how long each method of a backend takes, where metrics are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

from backends.base import OPERATIONS, Backend
from backends.wrap import Wrap
from nfsloop.watching.snapshot import BOUNDS, Calls


class Timed(Wrap):
    """`below`, whose calls are counted and timed in `times`, by `path` and method.

    It is outermost: of a backend that waits, it sees what its callers see (`backends.hosted`). It
    makes no Task, so it is inline where `below` is. Entries of a listing that are lazy are taken
    after its end, and are not in its time.
    """

    shareable = True

    def __init__(self, below: Backend, path: str, times: dict[tuple[str, str], Calls]) -> None:
        super().__init__(below)
        for name in OPERATIONS:
            calls = times.setdefault((path, name), Calls())
            setattr(self, name, _timed(getattr(self.below, name), calls))


def _timed(
    method: Callable[..., Coroutine[Any, Any, Any]], calls: Calls
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def timed(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            return await method(*args, **kwargs)
        finally:
            seconds = perf_counter() - began
            calls.latency[bisect_left(BOUNDS, seconds)] += 1
            calls.seconds += seconds

    return timed
