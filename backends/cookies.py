"""Stable READDIR cookies for backends whose storage has none.

A name's cookie is a hash of the name, and a directory is listed in the order of cookies. So a
cookie stays valid while other names come and go, after a restart, and in every worker process:
behind it come the names with larger hashes. Nothing is skipped, nothing comes twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from hashlib import blake2b
from typing import Final, Generic, TypeVar

from backends.base import DirEntry, Listing

T = TypeVar("T")

#: 0 starts a listing, 1 and 2 are the server's, for ``.`` and ``..``.
FIRST: Final = 3
LAST: Final = 2**63 - 1
#: What an entry takes beside its name, at least: RFC 1813 section 3.3.16.
ENTRY_BYTES: Final = 24
#: Names per process whose hash was another name's already.
_MOVED_NAMES: Final = 4096


def cookie_of(name: bytes) -> int:
    """The cookie of a name, from `FIRST` to `LAST`."""
    number = int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
    return FIRST + number % (LAST - FIRST + 1)


class Names(Generic[T]):
    """The names of one directory in the order of their cookies, each with a value of yours."""

    def __init__(self, items: Iterable[tuple[bytes, T]] = ()) -> None:
        pairs = sorted((_moved.get(name) or cookie_of(name), name, value) for name, value in items)
        self._cookies = [cookie for cookie, _, _ in pairs]
        self._items = [(name, value) for _, name, value in pairs]
        for at in range(1, len(pairs)):
            if self._cookies[at] <= self._cookies[at - 1]:
                self._move(at)

    def _move(self, at: int) -> None:
        """Two names of one hash. The second is given the next cookie, and keeps it while the
        process lives: it would be skipped if it went back when the first is removed."""
        cookie = min(self._cookies[at - 1] + 1, LAST)
        self._cookies[at] = cookie
        if len(_moved) < _MOVED_NAMES:
            _moved[self._items[at][0]] = cookie

    def __len__(self) -> int:
        return len(self._items)

    def after(self, cookie: int) -> Iterator[tuple[int, bytes, T]]:
        """(cookie, name, value) of all names behind a cookie (0: from the start)."""
        for at in range(bisect_right(self._cookies, cookie), len(self._items)):
            name, value = self._items[at]
            yield self._cookies[at], name, value

    def add(self, name: bytes, value: T) -> None:
        """A name that is new, or has another value now."""
        at, known = self._find(name)
        if known:
            self._items[at] = (name, value)
            return
        self._cookies.insert(at, _moved.get(name) or cookie_of(name))
        self._items.insert(at, (name, value))
        while 0 < at < len(self._items) and self._cookies[at] <= self._cookies[at - 1]:
            self._move(at)
            at += 1

    def remove(self, name: bytes) -> None:
        """A name that is gone."""
        at, known = self._find(name)
        if known:
            del self._cookies[at]
            del self._items[at]

    def _find(self, name: bytes) -> tuple[int, bool]:
        cookie = _moved.get(name) or cookie_of(name)
        at = bisect_left(self._cookies, cookie)
        while at < len(self._items) and self._cookies[at] == cookie:
            if self._items[at][0] == name:
                return at, True
            at += 1
        return at, False


_moved: dict[bytes, int] = {}


class NamesCache(Generic[T]):
    """A few directories' `Names`, each good for one state (a modification time, say)."""

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._table: OrderedDict[Hashable, tuple[Hashable, Names[T]]] = OrderedDict()

    def get(self, directory: Hashable, state: Hashable) -> Names[T] | None:
        """The names in that state, if they are known."""
        found = self._table.get(directory)
        if found is None or found[0] != state:
            return None
        self._table.move_to_end(directory)
        return found[1]

    def put(self, directory: Hashable, state: Hashable, names: Names[T]) -> None:
        """Remember names; the longest unused go."""
        self._table[directory] = (state, names)
        self._table.move_to_end(directory)
        if len(self._table) > self._limit:
            self._table.popitem(last=False)

    def __bool__(self) -> bool:
        return bool(self._table)


def listed(listing: Listing, count: int) -> Listing:
    """A listing whose entries are a list of as many as `count` bytes have room for, and right.

    Raises TypeError for what is no entry, or a name or cookie that cannot be.
    """
    entries: list[DirEntry] = []
    for entry in listing.entries:
        name, cookie = entry.name, entry.cookie
        if not name or b"/" in name or name in {b".", b".."} or not FIRST <= cookie <= LAST:
            raise TypeError(f"readdir gave the name {name!r} with the cookie {cookie}")
        entries.append(entry)
        count -= ENTRY_BYTES + len(name)
        if count < 0:
            return Listing(entries, False, listing.attr)
    if not entries and not listing.eof:
        raise TypeError("readdir gave neither an entry nor eof")
    return Listing(entries, listing.eof, listing.attr)
