"""Threads for what may wait for the disk and gives nothing back: what `concurrent.futures` does, at
a good part less of the loop's time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeAlias

from .creds import settle_thread

#: Removed files that are being closed; more are closed on the loop.
CLOSING_FILES: Final = 256

Done: TypeAlias = Callable[[BaseException | None], None]


class Workers:
    """At most `count` threads, started when there is work for them."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._count = count
        self._loop = loop
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[tuple[Callable[[], object], Done] | None] = SimpleQueue()
        self._open = True
        #: Given to the threads, and not yet told.
        self._running = 0
        self._ended: deque[tuple[Done, BaseException | None]] = deque()
        #: Whether the loop will look at `_ended`.
        self._told = False
        #: What will be given to a thread to close, and how many it has been given.
        self._removed: list[int] = []
        self._closing = 0
        self._waiting: list[asyncio.Future[None]] = []

    def submit(self, call: Callable[[], object], done: Done) -> None:
        """Have a thread do `call`; `done` gets the error, or None, on the loop.

        Raises RuntimeError after `shut`.
        """
        if not self._open:
            raise RuntimeError("stopped")
        self._running += 1
        if self._running > len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name="posix-sync", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((call, done))

    def close_later(self, fd: int) -> None:
        """Close the last descriptor of a removed file: its space is given back then, and that may
        take long. It is done behind the reply, by a thread."""
        if not self._open or len(self._removed) + self._closing >= CLOSING_FILES:
            os.close(fd)
            return
        if not self._removed:
            self._loop.call_soon(self._close_removed)
        self._removed.append(fd)

    def _close_removed(self) -> None:
        if self._removed:
            fds, self._removed = self._removed, []
            self._closing += len(fds)
            self.submit(partial(_close_all, fds), partial(self._closed, len(fds)))

    def _closed(self, count: int, error: BaseException | None) -> None:
        self._closing -= count
        if not self._closing:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    async def space(self, error: OSError) -> bool:
        """Whether what failed with `error` is worth another try: removed files that had not given
        their space back have done so now."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return False
        self._close_removed()
        if not self._closing:
            return False
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter
        return True

    def _work(self) -> None:
        settle_thread()
        while (job := self._jobs.get()) is not None:
            call, done = job
            error: BaseException | None = None
            try:
                call()
            except BaseException as exc:
                error = exc
            self._ended.append((done, error))
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                    self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False
        while self._ended:
            done, error = self._ended.popleft()
            self._running -= 1
            done(error)

    def shut(self) -> None:
        """Take no more. On the loop, as `submit`: else a job might come behind the end."""
        if self._open:
            self._close_removed()
            self._open = False
            for _ in self._threads:
                self._jobs.put(None)

    def join(self) -> None:
        """After `shut`, in any thread: return when all is done."""
        for thread in self._threads:
            thread.join()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):  # the file is removed: nobody asks for its data
            os.close(fd)
