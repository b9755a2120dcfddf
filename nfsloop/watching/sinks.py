"""Who is told of calls: one who follows, with lines that wait for him, or the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Protocol

from nfsloop import logs
from nfsloop.limits import TRACE_BATCH_LINES, TRACE_QUEUE_LINES


class Sink(Protocol):
    """Who is told."""

    @property
    def full(self) -> bool:
        """Whether there is no room: then nothing is made ready to be told, and `drop` is called."""

    def tell(self, when: float, lines: list[str]) -> None:
        """Of an event: the time (seconds since 1970), and lines, all but the first indented."""

    def drop(self) -> None:
        """There was an event of which nothing is told."""


def dropped(events: int, of: str = "") -> str:
    """The line that stands for events that were dropped; `of` says whose."""
    return f"… {events} event{'s' if events != 1 else ''}{of} dropped"


class Lines:
    """The events that were told and not taken yet: at most `limit` lines. One that finds no room is
    dropped, and so are those after it until all has been taken. `mark` goes before each event."""

    def __init__(self, mark: str = "", limit: int = TRACE_QUEUE_LINES) -> None:
        self.full = False
        self._dropped = 0
        self._mark = mark
        self._limit = limit
        self._events: deque[list[str]] = deque()
        self._count = 0
        self._closed = False
        self._there = asyncio.Event()
        self._taken = asyncio.Event()
        self._second = 0, ""

    def tell(self, when: float, lines: list[str]) -> None:
        """See `Sink`."""
        second = int(when)
        if second != self._second[0]:
            self._second = second, time.strftime("%H:%M:%S", time.localtime(second))
        clock = f"{self._second[1]}.{int(when % 1 * 1e6):06d}"
        lines[0] = f"{clock} {self._mark}{lines[0]}"
        self.put(lines)

    def put(self, lines: list[str]) -> None:
        """Add an event, or drop it."""
        if self.full or self._count + len(lines) > self._limit:
            self.drop()
        else:
            self._events.append(lines)
            self._count += len(lines)
            self._there.set()

    def drop(self, events: int = 1) -> None:
        """See `Sink`; or so many that were taken have reached nobody."""
        self.full = True
        self._dropped += events
        self._there.set()

    async def room(self, lines: int) -> bool:
        """Wait until there is room for so many; whether anybody takes them still."""
        while not self._closed and (
            self.full or (self._count and self._count + lines > self._limit)
        ):
            self._taken.clear()
            await self._taken.wait()
        return not self._closed

    def close(self) -> None:
        """Nobody takes them any more."""
        self._closed = True
        self._taken.set()

    async def take(self) -> tuple[list[list[str]], int]:
        """Wait for events, and take as many as have some `TRACE_BATCH_LINES` lines; and how many
        were dropped behind those."""
        await self._there.wait()
        events: list[list[str]] = []
        left = self._count - TRACE_BATCH_LINES
        while self._events and self._count > left:
            events.append(self._events.popleft())
            self._count -= len(events[-1])
        missing = 0
        if not self._events:
            self._there.clear()
            self.full = False
            missing, self._dropped = self._dropped, 0
        self._taken.set()
        return events, missing


class Log:
    """A `Sink` that is the logger "nfsloop.trace": a record for each line, or, in JSON, each event.

    In a process that logs by `nfsloop.logs` a thread writes, and drops what nobody reads.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger("nfsloop.trace")
        self._behind = logs.behind()
        self._whole = logs.json_lines()

    @property
    def full(self) -> bool:
        """See `Sink`."""
        return self._behind is not None and self._behind.full

    def tell(self, when: float, lines: list[str]) -> None:
        """See `Sink`."""
        for text in ("\n".join(lines),) if self._whole else lines:
            self._log.info("%s", text)

    def drop(self) -> None:
        """See `Sink`; one that failed where no thread writes is not counted."""
        if self._behind is not None:
            self._behind.drop()
