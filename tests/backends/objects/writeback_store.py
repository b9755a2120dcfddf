"""A store of objects for the tests of `backends.writeback`, and the buffer over it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from backends.base import FsError, Status
from backends.writeback import Writeback


class Store:
    """Objects in a dictionary, with a fault to be planted."""

    def __init__(self) -> None:
        self.objects: dict[int, bytes] = {}
        self.puts = self.gets = 0
        self.unwanted: set[int] = set()
        self.before_put: Callable[[int, Path], None] = lambda ident, path: None

    def get(self, ident: int, offset: int, count: int) -> bytes:
        self.gets += 1
        if ident not in self.objects:
            raise FileNotFoundError(ident)
        return self.objects[ident][offset : offset + count]

    def put(self, ident: int, path: Path) -> None:
        self.before_put(ident, path)
        self.puts += 1
        self.objects[ident] = path.read_bytes()

    def version(self, ident: int) -> Hashable:
        return self.objects.get(ident)

    def wanted(self, ident: int) -> bool:
        return ident not in self.unwanted

    def size(self, ident: int) -> int:
        return len(self.objects.get(ident, b""))


_LAST: dict[Path | None, Writeback] = {}


def started(store: Store, path: Path | None, **options: float) -> Writeback:
    """Without uploaders, so that nothing happens by itself. The one before is as if killed."""
    if path in _LAST:
        _LAST[path].abandon()
    made = Writeback(store, path, **{"uploaders": 0, **options})  # type: ignore[arg-type]
    made.start()
    _LAST[path] = made
    return made


def refuse(ident: int, path: Path) -> None:
    raise OSError(errno.EIO, "planted")


def status(call: Callable[..., object], *args: object) -> Status:
    with pytest.raises(FsError) as caught:
        call(*args)
    return caught.value.status
