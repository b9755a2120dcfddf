"""A backend that fails, hangs and talks nonsense, to see what becomes of that above."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from backends.base import Attr, Backend, Data, FsError, Listing, Status
from backends.wrap import Wrap
from backends.wraps.slow import operations

# What is counted in `Faults.injected`.
BEFORE, AFTER, HANG, NONSENSE = "before", "after", "hang", "nonsense"


class Faults(Wrap):
    """Some calls fail, hang or give nonsense, for tests of what stands above.

    Of all calls, the share `rate` fails with `status` (several with commas between them: one of
    these): one half before anything is done, the other after it was. `hang_rate` never end, until
    they are cancelled; `nonsense_rate` give what no backend may give. `only` names the operations
    that this happens to. `seed` and the order of calls decide. `injected` counts what was done.
    """

    def __init__(
        self,
        below: Backend,
        *,
        rate: float = 0.01,
        seed: int = 0,
        status: str = "IO",
        only: str = "",
        hang_rate: float = 0.0,
        nonsense_rate: float = 0.0,
    ) -> None:
        rates = rate, hang_rate, nonsense_rate
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError("rate, hang_rate and nonsense_rate are 0 or more, and together 1")
        super().__init__(below)
        # The promises of an inline backend do not include these.
        self.inline = self.inline and not hang_rate and not nonsense_rate
        self._rates = rates
        self._statuses = [_status(word.strip()) for word in status.split(",")]
        self._chance = random.Random(seed)
        self.injected: Counter[str] = Counter()
        for name in operations(only):
            setattr(self, name, partial(self._call, getattr(self.below, name)))

    def describe(self) -> str:
        """What `below` says, and that there are faults."""
        return f"{self.below.describe()}; with faults"

    async def _call(
        self, method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> Any:
        # As many numbers for each call, whatever becomes of it.
        draw, which = self._chance.random(), self._chance.random()
        rate, hang_rate, nonsense_rate = self._rates
        if draw < rate:
            after = draw < rate / 2
            self.injected[AFTER if after else BEFORE] += 1
            if after:
                await method(*args, **kwargs)
            raise FsError(self._statuses[int(which * len(self._statuses))], "injected")
        if draw < rate + hang_rate:
            self.injected[HANG] += 1
            await asyncio.get_running_loop().create_future()
        result = await method(*args, **kwargs)
        if draw >= rate + hang_rate + nonsense_rate:
            return result
        self.injected[NONSENSE] += 1
        return _nonsense(result, which)


def _status(name: str) -> Status:
    try:
        found = Status[name.upper()]
    except KeyError:
        raise ValueError(f"status: {name!r} is none of {', '.join(Status.__members__)}") from None
    if found is Status.OK:
        raise ValueError("status: OK is no failure")
    return found


def _nonsense(result: Any, which: float) -> Any:
    """Something of another type, or of this type and impossible."""
    others: list[Any] = [42, b"nonsense", object(), [result]]
    if result is not None:
        others.append(None)
    if isinstance(result, Attr):
        others.append(replace(result, size=-1))
        others.append(replace(result, ino=2**64, memo=None))
    elif isinstance(result, Data):
        others.append(Data(bytes(result.data) + bytes(1 << 21), result.eof, result.attr))
    elif isinstance(result, Listing):
        others.append(Listing([b"no entry"], True, result.attr))  # type: ignore[list-item]
    return others[int(which * len(others))]
