"""A backend that is farther away than it is, to see what waits for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from backends.base import OPERATIONS, Backend
from backends.wrap import Wrap


def operations(only: str) -> frozenset[str]:
    """Names of operations, given with commas between them; all, if none is given.

    Raises ValueError for what is none.
    """
    names = frozenset(filter(None, (word.strip() for word in only.split(","))))
    unknown = sorted(names.difference(OPERATIONS))
    if unknown:
        raise ValueError(f"only: no operation is called {unknown[0]!r}")
    return names or frozenset(OPERATIONS)


class Slow(Wrap):
    """Every call waits before it is made, for tests of what stands above.

    It waits `seconds` and up to `jitter_seconds` more, which `seed` and the order of calls decide.
    `only` names the operations that wait, with commas between them: ``read,write``.
    """

    shareable = True

    def __init__(
        self,
        below: Backend,
        *,
        seconds: float = 0.0,
        jitter_seconds: float = 0.0,
        seed: int = 0,
        only: str = "",
    ) -> None:
        if seconds < 0 or jitter_seconds < 0:
            raise ValueError("seconds and jitter_seconds must be 0 or more")
        super().__init__(below)
        self.inline = False
        self._seconds = seconds
        self._jitter_seconds = jitter_seconds
        self._chance = random.Random(seed)
        for name in operations(only):
            setattr(self, name, partial(self._late, getattr(self.below, name)))

    def describe(self) -> str:
        """What `below` says, and how slow it is made."""
        return f"{self.below.describe()}; {self._seconds:g} s slower"

    async def _late(
        self, method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> Any:
        await asyncio.sleep(self._seconds + self._chance.random() * self._jitter_seconds)
        return await method(*args, **kwargs)
