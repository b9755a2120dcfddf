"""Who uses paths in the store, and who changes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from backends.base import FsError, Status

#: How long a path is waited for that is being moved, before the client is told to come again.
MOVE_SECONDS: Final = 5.0


class SharedLock:
    """Held by many, or by one alone, who waits until there is nobody."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """With others."""
        with self._changed:
            self._changed.wait_for(lambda: self._holders >= 0)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Without anybody else."""
        with self._changed:
            self._changed.wait_for(lambda: self._holders == 0)
            self._holders = -1
        try:
            yield
        finally:
            with self._changed:
                self._holders = 0
                self._changed.notify_all()


class Moves:
    """Counts moves, so that who used a path meanwhile, and took no lock, sees that it moved."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._moving = 0

    @contextmanager
    def moving(self) -> Iterator[None]:
        """While store and table may differ."""
        with self._changed:
            self._moving += 1
        try:
            yield
        finally:
            with self._changed:
                self._moving -= 1
                self._count += 1
                self._changed.notify_all()

    def mark(self, wait: bool = True) -> int:
        """What `unchanged` takes, asked before the path is; -1: something is being moved.

        With `wait` that is waited for. Raises JUKEBOX if it takes `MOVE_SECONDS`.
        """
        with self._changed:
            if wait and not self._changed.wait_for(lambda: not self._moving, MOVE_SECONDS):
                raise FsError(Status.JUKEBOX, "a directory is being moved")
            return -1 if self._moving else self._count

    def unchanged(self, mark: int) -> bool:
        """Whether nothing was moved since."""
        with self._changed:
            return not self._moving and self._count == mark
