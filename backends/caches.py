"""Caches with bounds: what the wraps are made of, and for backends whose store is far away.

* `Lru`: a table of at most so many values, each for so long.
* `Changes`: what changed when, so that a fetch which began before a change is not kept after it.
* `Joined`: one fetch for all who want the same at the same time.
* `Blocks`: data of files in bounded memory, with read-ahead for whoever reads in sequence.

All are for one event loop, and none needs the current task; so an `inline` backend may use them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from types import TracebackType
from typing import Final, Generic, TypeVar

from backends.base import Buffer, FsError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most `entries` values, each for `seconds`; of too many, the longest unused goes."""

    def __init__(
        self, entries: int, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if entries < 1:
            raise ValueError(f"entries is {entries}, and must be 1 or more")
        self._most = entries
        self._seconds = seconds
        self._clock = clock
        self._table: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        """Those that are too old count until somebody asks for them."""
        return len(self._table)

    def get(self, key: K) -> V | None:
        """The value, if it is there and not too old."""
        found = self._table.get(key)
        if found is None:
            return None
        value, until = found
        if until <= self._clock():
            del self._table[key]
            return None
        self._table.move_to_end(key)
        return value

    def put(self, key: K, value: V, until: float | None = None) -> None:
        """Keep a value, for `seconds` from now or `until` then; it takes the place of another.

        What was fetched is as old as the moment before the fetch began, so give `until`.
        """
        self._table[key] = value, self._clock() + self._seconds if until is None else until
        self._table.move_to_end(key)
        if len(self._table) > self._most:
            self._table.popitem(last=False)

    def discard(self, key: K) -> None:
        """Forget one."""
        self._table.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._table.clear()


#: The version of what is just being changed: nothing of it is to be kept or used.
BUSY: Final = -1


class Changes:
    """What changed when, for caches with calls in flight.

    A scope is whatever you say: an inode number, a name in a directory. A value that was fetched
    may be kept with the `version` of its scopes if that is what it was before the fetch, and used
    as long as that stays so. While a change goes on, the version is `BUSY`::

        version = changes.version(scope)
        value = await fetch()
        if version != BUSY and changes.version(scope) == version:
            keep(value, version)

    `scopes` bounds how many are remembered; what is forgotten counts as changed when it was.
    """

    def __init__(self, scopes: int = 65536) -> None:
        self._most = scopes
        #: Rises with each change that ends: no scope has a later version.
        self.clock = 0
        self._floor = 0
        self._last: OrderedDict[Hashable, int] = OrderedDict()
        self._busy: dict[Hashable, int] = {}

    def version(self, *scopes: Hashable) -> int:
        """The latest change of all these, by `clock`; `BUSY` while one of them is changing."""
        latest = self._floor
        for scope in scopes:
            if scope in self._busy:
                return BUSY
            latest = max(latest, self._last.get(scope, 0))
        return latest

    def since(self, clock: int, *scopes: Hashable) -> bool:
        """Whether any of these has changed after `clock`, or is changing now.

        For what is known only after the fetch, as the number of the file that a name stands for.
        """
        return not 0 <= self.version(*scopes) <= clock

    def begin(self, *scopes: Hashable) -> Change:
        """A change of these, from here to the end of the ``with`` block, however that ends."""
        return Change(self, scopes)

    def flush(self) -> None:
        """Everything may have changed."""
        self.clock += 1
        self._floor = self.clock
        self._last.clear()

    def _enter(self, scope: Hashable) -> None:
        self._busy[scope] = self._busy.get(scope, 0) + 1

    def _leave(self, scope: Hashable, began: int) -> bool:
        """End a change; whether no other change of the scope was going on meanwhile."""
        left = self._busy[scope] - 1
        if left:
            self._busy[scope] = left
        else:
            del self._busy[scope]
        alone = not left and max(self._last.get(scope, 0), self._floor) <= began
        self._last[scope] = self.clock
        self._last.move_to_end(scope)
        return alone

    def _end(self, scopes: set[Hashable], began: int) -> frozenset[Hashable]:
        self.clock += 1
        alone = frozenset(scope for scope in scopes if self._leave(scope, began))
        while len(self._last) > self._most:
            self._floor = self._last.popitem(last=False)[1]
        return alone


class Change:
    """One change in progress: see `Changes.begin`."""

    def __init__(self, changes: Changes, scopes: tuple[Hashable, ...]) -> None:
        self._changes = changes
        self._scopes: set[Hashable] = set()
        self.began = changes.clock
        #: After the end: the scopes that nobody else was changing meanwhile. What the operation
        #: says of these is how they are.
        self.alone: frozenset[Hashable] = frozenset()
        self._rests_on: set[Hashable] = set()
        self._unknown = False
        self.add(*scopes)

    def add(self, *scopes: Hashable) -> None:
        """These too, from now on."""
        for scope in scopes:
            if scope not in self._scopes:
                self._scopes.add(scope)
                self._changes._enter(scope)

    def rest_on(self, *scopes: Hashable) -> None:
        """What was added follows from how these are. Unless this change is alone with them to its
        end, everything may have changed."""
        self._rests_on.update(scopes)

    def unknown(self) -> None:
        """It changes something of which the scope cannot be found out, unless it is refused."""
        self._unknown = True

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.alone = self._changes._end(self._scopes, self.began)
        refused = isinstance(exc, (FsError, OSError))
        if not self.alone.issuperset(self._rests_on) or (self._unknown and not refused):
            self._changes.flush()
            self.alone = frozenset()


class Joined(Generic[V]):
    """One fetch for all who want the same at the same time.

    Its first caller makes it; the others wait, and get its result or what it raises. When the
    first is cancelled, another takes over.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, list[asyncio.Future[V | _CutOff]]] = {}

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[V]]) -> V:
        """The result of `fetch`, or of another's that goes on under this key."""
        while (waiters := self._flights.get(key)) is not None:
            future: asyncio.Future[V | _CutOff] = asyncio.get_running_loop().create_future()
            waiters.append(future)
            outcome = await future
            if not isinstance(outcome, _CutOff):
                return outcome
        waiters = self._flights[key] = []
        try:
            result = await fetch()
        except Exception as exc:
            for future in _undone(waiters):
                future.set_exception(exc)
            raise
        except BaseException:
            for future in _undone(waiters):
                future.set_result(_CutOff())
            raise
        else:
            for future in _undone(waiters):
                future.set_result(result)
            return result
        finally:
            del self._flights[key]


class _CutOff:
    """What a cancelled fetch leaves to those who waited for it."""


def _undone(futures: list[asyncio.Future[V]]) -> Iterator[asyncio.Future[V]]:
    return (future for future in futures if not future.done())


class ChangedError(Exception):
    """Raised by a fetch of `Blocks`: the file is not in the state any more that was asked for."""


#: Gives up to `count` bytes from `offset` of one state of a file; only an error or the end of the
#: file makes it none. Raises `ChangedError`.
Fetch = Callable[[int, int], Awaitable[Buffer]]

#: The most that one fetch asks for: what one READ carries.
FETCH_BYTES: Final = 1 << 20
#: How much memory a block takes beside its data, about.
_BLOCK_COST_BYTES: Final = 200


class _Flight:
    """A fetch of the blocks `first` to before `stop` of a file, and who waits for it."""

    __slots__ = ("blocks", "file", "first", "stop", "waiters")

    def __init__(self, file: _File, first: int, stop: int) -> None:
        self.file = file
        self.first = first
        self.stop = stop
        self.blocks: dict[int, bytes] = {}
        self.waiters: list[asyncio.Future[None]] = []
        for index in range(first, stop):
            file.coming[index] = self

    def land(self) -> None:
        """It has ended, one way or another."""
        for index in range(self.first, self.stop):
            if self.file.coming.get(index) is self:
                del self.file.coming[index]
        for waiter in _undone(self.waiters):
            waiter.set_result(None)


class _File:
    """What is known of one file in one state."""

    __slots__ = ("ahead", "coming", "end", "indexes", "run", "size", "state", "window")

    def __init__(self, state: Hashable, size: int) -> None:
        self.state = state
        self.size = size
        self.indexes: set[int] = set()
        self.coming: dict[int, _Flight] = {}
        #: Where the last reads in sequence ended, and how many they were.
        self.end = -1
        self.run = 0
        #: Up to where data was asked for before anybody wanted it, and how far that goes.
        self.ahead = 0
        self.window = 0


class Blocks:
    """Data of files in at most `max_bytes` of memory, in blocks of `block_bytes`.

    A file is any hashable key; its `state` is whatever changes when its data does (times and size,
    an ETag). You say which state you want to read, and give a `Fetch` that gets data of that state.
    Data of another state is forgotten. Waits for one block are joined.

    Where somebody reads in sequence, up to `read_ahead_bytes` (0: none) are fetched before they are
    asked for, by tasks of its own, which `stop` ends; what they meet troubles nobody. Of all files
    together, at most a quarter of `max_bytes` is on its way like that.
    """

    def __init__(
        self, max_bytes: int, block_bytes: int = 128 << 10, read_ahead_bytes: int = 0,
        files: int = 16384,
    ) -> None:  # fmt: skip
        if not 512 <= block_bytes <= FETCH_BYTES:
            raise ValueError(f"a block has 512 to {FETCH_BYTES} bytes, not {block_bytes}")
        if max_bytes < block_bytes:
            raise ValueError(f"{max_bytes} bytes hold no block of {block_bytes}")
        if read_ahead_bytes < 0:
            raise ValueError(f"read-ahead of {read_ahead_bytes} bytes")
        self.block_bytes = block_bytes
        self._most = max_bytes
        self._most_files = files
        self._read_ahead = min(read_ahead_bytes, max_bytes // 4)
        self._files: OrderedDict[Hashable, _File] = OrderedDict()
        self._blocks: OrderedDict[tuple[_File, int], bytes] = OrderedDict()
        #: What the blocks take, in bytes.
        self.used_bytes = 0
        #: What is on its way that nobody has asked for yet, in bytes.
        self.ahead_bytes = 0
        #: Blocks that a read found here, and that it had to fetch or wait for.
        self.hits = self.misses = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def __contains__(self, key: Hashable) -> bool:
        """Whether there may be data of a file."""
        return key in self._files

    async def read(
        self, key: Hashable, state: Hashable, size: int, offset: int, count: int, fetch: Fetch
    ) -> Buffer:
        """Up to `count` bytes from `offset` of a file that has `size` bytes in this `state`.

        Fewer only at the end. Raises what `fetch` raises, and `ChangedError` if it gives too
        little, or if `wrote` or `resized` was called meanwhile and not all was there.
        """
        end = min(offset + count, size)
        if offset >= end:
            return b""
        file = self._file(key, state, size)
        first, last = offset // self.block_bytes, (end - 1) // self.block_bytes
        got: dict[int, bytes] = {}
        for index in range(first, last + 1):
            if (block := self._take(file, index)) is not None:
                got[index] = block
        self.hits += len(got)
        self.misses += last + 1 - first - len(got)
        if self._read_ahead:
            self._look_ahead(key, file, offset, end, fetch)
        for index in range(first, last + 1):
            if index in got:
                continue
            if file.state != state:
                raise ChangedError("it was changed meanwhile")
            block = self._take(file, index)  # it may have come meanwhile
            if block is None:
                got.update(await self._get(key, file, index, last, fetch))
            else:
                got[index] = block
        return self._cut(got, first, last, offset, end)

    def _cut(self, got: dict[int, bytes], first: int, last: int, offset: int, end: int) -> Buffer:
        """Bytes from `offset` to `end` of blocks that reach from `first` to `last`."""
        start = first * self.block_bytes
        if first == last:
            block = got[first]
            return block if len(block) == end - offset else block[offset - start : end - start]
        pieces: list[Buffer] = [got[index] for index in range(first, last + 1)]
        pieces[0] = memoryview(pieces[0])[offset - start :]
        pieces[-1] = memoryview(pieces[-1])[: end - last * self.block_bytes]
        return b"".join(pieces)

    def put(self, key: Hashable, state: Hashable, size: int, offset: int, data: Buffer) -> None:
        """Keep data of this state that was read by other means, as far as it fills blocks."""
        file = self._file(key, state, size)
        self._sequence(file, offset, offset + len(data))
        end = offset + len(data)
        with memoryview(data) as view:
            for index in range(-(-offset // self.block_bytes), end // self.block_bytes + 1):
                start = index * self.block_bytes
                length = self._length(file, index)
                if length > 0 and start + length <= end and index not in file.indexes:
                    self._store(file, index, bytes(view[start - offset :][:length]))

    # Changes by whoever uses this

    def forget(self, key: Hashable) -> None:
        """All data of a file; fetches in flight leave none behind."""
        file = self._files.pop(key, None)
        if file is not None:
            for index in list(file.indexes):
                self._drop(file, index)

    def wrote(
        self, key: Hashable, state: Hashable, new_state: Hashable, size: int, offset: int,
        data: Buffer,
    ) -> None:  # fmt: skip
        """`data` was written at `offset`, which alone took the file from one state to another.

        `size` is the file's after it. Blocks of the old state stay, those that it touches with the
        new data in them.
        """
        file = self._same(key, state)
        if file is None or size < file.size:
            self.forget(key)
            return
        end = offset + len(data)
        touched = set(range(offset // self.block_bytes, -(-end // self.block_bytes)))
        if size > file.size:  # the last block was short
            touched.add(file.size // self.block_bytes)
        file.state, file.size = new_state, size
        for index in touched & file.indexes:
            block = self._blocks[file, index]
            start = index * self.block_bytes
            self._drop(file, index)
            low, high = max(offset - start, 0), min(end - start, self.block_bytes)
            if low < high:
                new = bytes(data[start + low - offset : start + high - offset])
                block = block[:low] + new + block[high:]
            if len(block) == self._length(file, index):  # it may be short, or have a hole now
                self._store(file, index, block)

    def resized(self, key: Hashable, state: Hashable, new_state: Hashable, size: int) -> None:
        """The file's size was set, or nothing but its attributes; see `wrote`."""
        file = self._same(key, state)
        if file is None:
            return
        if size != file.size:
            whole = min(size, file.size) // self.block_bytes
            for index in [index for index in file.indexes if index >= whole]:
                self._drop(file, index)
        file.state, file.size = new_state, size

    async def stop(self) -> None:
        """End the read-ahead, and forget everything."""
        self._read_ahead = 0
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in list(self._files):
            self.forget(key)

    # Inside

    def _length(self, file: _File, index: int) -> int:
        """How many bytes a block has."""
        return min(self.block_bytes, file.size - index * self.block_bytes)

    def _file(self, key: Hashable, state: Hashable, size: int) -> _File:
        file = self._files.get(key)
        if file is not None and (file.state != state or file.size != size):
            self.forget(key)
            file = None
        if file is None:
            file = self._files[key] = _File(state, size)
            if len(self._files) > self._most_files:
                self.forget(next(iter(self._files)))
        self._files.move_to_end(key)
        return file

    def _same(self, key: Hashable, state: Hashable) -> _File | None:
        """The file, if its data is of that state; else it is forgotten."""
        file = self._files.get(key)
        if file is not None and file.state != state:
            self.forget(key)
            return None
        if file is not None:
            file.coming.clear()
        return file

    def _take(self, file: _File, index: int) -> bytes | None:
        block = self._blocks.get((file, index))
        if block is not None:
            self._blocks.move_to_end((file, index))
        return block

    def _store(self, file: _File, index: int, block: bytes) -> None:
        self._drop(file, index)
        self._blocks[file, index] = block
        file.indexes.add(index)
        self.used_bytes += len(block) + _BLOCK_COST_BYTES
        while self.used_bytes > self._most and len(self._blocks) > 1:
            self._drop(*next(iter(self._blocks)))

    def _drop(self, file: _File, index: int) -> None:
        block = self._blocks.pop((file, index), None)
        if block is not None:
            file.indexes.discard(index)
            self.used_bytes -= len(block) + _BLOCK_COST_BYTES

    async def _get(
        self, key: Hashable, file: _File, index: int, last: int, fetch: Fetch
    ) -> dict[int, bytes]:
        """The block `index`, and those behind it up to `last` that one fetch brings with it."""
        flight = file.coming.get(index)
        if flight is not None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            flight.waiters.append(waiter)
            await waiter
            if index in flight.blocks:
                return flight.blocks
        stop = index + 1
        while stop <= last and not self._there(file, stop):
            if (stop + 1 - index) * self.block_bytes > FETCH_BYTES:
                break
            stop += 1
        blocks = await self._fetch(key, _Flight(file, index, stop), fetch)
        if index not in blocks:
            raise ChangedError("the file is shorter than it was")
        return blocks

    def _there(self, file: _File, index: int) -> bool:
        return index in file.indexes or index in file.coming

    async def _fetch(self, key: Hashable, flight: _Flight, fetch: Fetch) -> dict[int, bytes]:
        """Get the blocks of a flight, those that come whole, and keep them."""
        file, start = flight.file, flight.first * self.block_bytes
        end = min(flight.stop * self.block_bytes, file.size)
        try:
            data = await _whole(fetch, start, end - start)
            for index in range(flight.first, flight.stop):
                at = index * self.block_bytes - start
                block = data[at : at + self.block_bytes]
                if block and len(block) == self._length(file, index):
                    flight.blocks[index] = block
                    if file.coming.get(index) is flight and self._files.get(key) is file:
                        self._store(file, index, block)
            return flight.blocks
        finally:
            flight.land()

    # Read-ahead

    def _sequence(self, file: _File, offset: int, end: int) -> bool:
        """Note a read; whether it is one of a sequence. Clients send several at a time, so they
        come in any order."""
        near = max(self._read_ahead, FETCH_BYTES)
        if file.end >= 0 and abs(offset - file.end) > near:
            file.run = file.ahead = file.window = 0
            file.end = end
        file.end = max(file.end, end)
        file.run += 1
        return file.run > 1

    def _look_ahead(self, key: Hashable, file: _File, offset: int, end: int, fetch: Fetch) -> None:
        if not self._sequence(file, offset, end) or file.end >= file.size:
            return
        if file.ahead - file.end > file.window // 2:
            return
        least = max(2 * self.block_bytes, end - offset)
        file.window = min(self._read_ahead, max(2 * file.window, least))
        stop = min(file.size, file.end + file.window)
        index = max(file.end, file.ahead) // self.block_bytes
        most = max(1, min(FETCH_BYTES, self._read_ahead // 4) // self.block_bytes)
        while index * self.block_bytes < stop:
            last = index
            while (
                last - index < most and last * self.block_bytes < stop
                and not self._there(file, last)
            ):  # fmt: skip
                last += 1
            length = (last - index) * self.block_bytes
            if length:
                if self.ahead_bytes + length > self._most // 4:
                    return
                self._send_ahead(key, _Flight(file, index, last), fetch)
            index = max(last, index + 1)
            file.ahead = min(stop, index * self.block_bytes)

    def _send_ahead(self, key: Hashable, flight: _Flight, fetch: Fetch) -> None:
        length = (flight.stop - flight.first) * self.block_bytes
        task = asyncio.get_running_loop().create_task(self._quietly(key, flight, fetch))
        self.ahead_bytes += length
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            flight.land()  # it may have been cancelled before it began
            self.ahead_bytes -= length
            self._tasks.discard(task)

        task.add_done_callback(done)

    async def _quietly(self, key: Hashable, flight: _Flight, fetch: Fetch) -> None:
        try:
            await self._fetch(key, flight, fetch)
        except Exception:  # whoever wants the data finds out for himself
            flight.file.run = flight.file.window = 0


async def _whole(fetch: Fetch, offset: int, count: int) -> bytes:
    """`count` bytes, in as many fetches as it takes; fewer at the end of the file."""
    data = bytes(await fetch(offset, count))
    while 0 < len(data) < count:
        more = bytes(await fetch(offset + len(data), count - len(data)))
        if not more:
            break
        data += more
    return data[:count]
