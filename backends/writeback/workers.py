"""Threads of the write-back buffer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from backends.threads import STARTERS

T = TypeVar("T")

#: Puts that fail one after the other, before the last ones are given up.
STOP_FAILURES: Final = 8


class LastPuts(Generic[T]):
    """The last puts, in threads of their own, which nobody waits for longer than told."""

    def __init__(self, put: Callable[[T], bool], files: list[T], threads: int) -> None:
        self._put = put
        self._files = iter(files)
        self._changed = threading.Condition()
        self._threads = min(threads, len(files))
        self._ended = 0
        self._failures = 0
        self._over = False

    def run(self, patience: float, most: float) -> None:
        """Until all is put, or for `patience` seconds in which nothing was, or `most` seconds."""
        end = time.monotonic() + most
        working = self._threads
        for number in range(working):
            spawn(self._work, f"writeback-stop-{number}")
        with self._changed:
            while self._threads:
                ended = self._ended
                left = min(patience, end - time.monotonic())
                self._changed.wait_for(partial(self._beyond, ended), left)
                if self._ended == ended:
                    break
            self._over = True

    def _beyond(self, ended: int) -> bool:
        return self._ended > ended or not self._threads

    def _work(self) -> None:
        while True:
            with self._changed:
                file = None if self._over else next(self._files, None)
                if file is None or self._failures >= STOP_FAILURES:
                    self._threads -= 1
                    self._changed.notify_all()
                    return
            done = self._put(file)
            with self._changed:
                self._ended += 1
                self._failures = 0 if done else self._failures + 1
                self._changed.notify_all()


def spawn(work: Callable[[], None], name: str) -> threading.Thread:
    """A thread that acts as the process does, not as the caller who had it made."""

    def run() -> None:
        for start in STARTERS:
            start()
        work()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
