"""The event loop: uvloop where it is installed, asyncio's own otherwise. Nobody else imports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: The names that `run` takes.
LOOPS = ("auto", "uvloop", "asyncio")


def factory(name: str = "auto") -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop called `name`.

    Raises ImportError for "uvloop" where it is missing, ValueError for a name not in `LOOPS`.
    """
    if name not in LOOPS:
        raise ValueError(f"no event loop is called {name!r}; there are {', '.join(LOOPS)}")
    if name != "asyncio":
        try:
            import uvloop

            return uvloop.new_event_loop
        except ImportError:
            if name == "uvloop":
                raise
    return asyncio.new_event_loop


def run(main: Coroutine[Any, Any, T], name: str = "auto") -> T:
    """Run `main` to its end in a new event loop."""
    with asyncio.Runner(loop_factory=factory(name)) as runner:
        return runner.run(main)
