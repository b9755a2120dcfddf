"""The seam under the file system: an ordered, transactional store of keys, and of data blocks.

Whoever gives an `Engine` gets a whole file system (`backends.kvfs.backend.KvfsBackend`). An engine
that has only keys takes `KeyedBlocks` for the blocks; `backends.kvfs.memory` is the smallest one,
`backends.sqlite.engine` one that stores.

What every engine promises:

* **Order**: keys are bytes, compared as bytes. Keys have up to 300 bytes, values up to 5000; a
  block has up to `Engine.block_bytes`. Keys of the file system begin with one of ``CDFIOSV``; those
  that begin otherwise are the engine's own.
* **Isolation**: transactions are serializable, and see what they wrote themselves. The file system
  has one at a time, so an engine for it alone needs no more than that. One that is shared may find
  a conflict at any step, commit included: OSError with EAGAIN, which becomes JUKEBOX.
* **All or nothing**: a transaction that was not committed leaves no trace, its blocks included,
  also when the process is killed at any moment. One whose commit has returned is there for all that
  begin later, also when this process is killed.
* **Durability**: after power loss, or a crash of the system, some of the latest transactions may be
  missing, but never one without all those after it. None is missing whose transaction was begun
  with ``sync``, or that was committed before a `sync` that has returned.
* **Errors**: OSError: ENOSPC, EDQUOT, EIO, EAGAIN where later may be better. The transaction is
  then to be aborted, and the next one may succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from backends.base import Buffer


class BlockLength(NamedTuple):
    """A block that is there: its object, its number in it, how many bytes it has."""

    object: int
    number: int
    length: int


class Space(NamedTuple):
    """Bytes of the storage as a whole."""

    total: int
    free: int


class Blocks(Protocol):
    """Data blocks by object and number (both 0 to 2**63 - 1), as a transaction sees them."""

    def read(self, object: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """(number, data) of the blocks that are there, first <= number < last, in order."""
        ...

    def write(self, object: int, number: int, data: Buffer) -> None:
        """Put a block, in the place of what was there. `data` is the caller's again afterwards."""
        ...

    def delete(self, object: int, first: int, limit: int) -> tuple[int, int]:
        """Delete the first `limit` blocks from number `first` on: how many there were, and their
        bytes. Fewer than `limit`: none is left."""
        ...

    def scan(self, object: int, first: int, last: int) -> Iterator[BlockLength]:
        """The blocks that are there, first <= number < last, in order, without their data."""
        ...

    def objects(self, first: int) -> Iterator[int]:
        """The objects that have blocks, from number `first` on, in order. May be slow."""
        ...


class Transaction(Protocol):
    """From `Engine.begin` to `commit` or `abort`, one of which must be called, once."""

    @property
    def blocks(self) -> Blocks: ...

    def get(self, key: bytes) -> bytes | None:
        """The value, None if there is none."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a value, in the place of what was there."""
        ...

    def delete(self, key: bytes) -> None:
        """Take a key away, if it is there."""
        ...

    def scan(self, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) for first <= key < last, in order.

        Lazy: taking a few costs a few. Keys that the transaction changes meanwhile may be given as
        they were or as they are.
        """
        ...

    def commit(self) -> None:
        """All that was changed is there from now on. On OSError nothing is, and it is over."""
        ...

    def abort(self) -> None:
        """Nothing was changed. Raises nothing."""
        ...


class Engine(Protocol):
    """A store that one process has open, from one thread at a time."""

    #: The most that a block can have; fixed for as long as the store lives.
    block_bytes: int

    def open(self) -> None:
        """Get ready, and make the store if there is none. OSError: in words for a person."""
        ...

    def close(self) -> None:
        """Make all safe, and end. Raises OSError if it may not be safe; it is over all the same."""
        ...

    def begin(self, write: bool, sync: bool = False) -> Transaction:
        """A transaction; one without `write` only reads. With `sync`, its commit is as safe from
        power loss as one followed by `sync`."""
        ...

    def sync(self) -> None:
        """Make all that was committed safe from power loss. OSError: it may be lost now."""
        ...

    def life(self) -> bytes:
        """The same, over restarts too, for as long as nothing committed can have been lost.

        Up to 64 bytes: another after a crash of the system, and when making data safe failed.
        """
        ...

    def space(self) -> Space:
        """How full the storage is."""
        ...

    def room(self) -> bool:
        """Whether there is room for new data. Cheap: it is asked in each call that adds some.

        False while what removing files takes is still there, so that a full disk can be emptied.
        """
        ...

    def health(self) -> str | None:
        """What is wrong, in a few words; None: nothing."""
        ...

    def check(self, repair: bool) -> list[str]:
        """Look for damage below the keys, a line each; with `repair`, put right what can be."""
        ...


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix` (which does not end in 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


class KeyedBlocks:
    """Blocks as values of the engine's own keys, for engines that need nothing better."""

    def __init__(self, transaction: Transaction, prefix: bytes) -> None:
        self._transaction = transaction
        self._prefix = prefix

    def _key(self, object: int, number: int) -> bytes:
        return b"%b%b%b" % (self._prefix, object.to_bytes(8, "big"), number.to_bytes(8, "big"))

    def read(self, object: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """See `Blocks.read`."""
        scan = self._transaction.scan(self._key(object, first), self._key(object, last))
        return ((int.from_bytes(key[-8:], "big"), data) for key, data in scan)

    def write(self, object: int, number: int, data: Buffer) -> None:
        """See `Blocks.write`."""
        self._transaction.put(self._key(object, number), bytes(data))

    def delete(self, object: int, first: int, limit: int) -> tuple[int, int]:
        """See `Blocks.delete`."""
        doomed: list[bytes] = []
        length = 0
        end = self._key(object + 1, 0)
        for key, data in self._transaction.scan(self._key(object, first), end):
            if len(doomed) == limit:
                break
            doomed.append(key)
            length += len(data)
        for key in doomed:
            self._transaction.delete(key)
        return len(doomed), length

    def scan(self, object: int, first: int, last: int) -> Iterator[BlockLength]:
        """See `Blocks.scan`."""
        return (
            BlockLength(object, number, len(data))
            for number, data in self.read(object, first, last)
        )

    def objects(self, first: int) -> Iterator[int]:
        """See `Blocks.objects`."""
        end = after(self._prefix)
        start = self._key(first, 0)
        while (found := next(iter(self._transaction.scan(start, end)), None)) is not None:
            object = int.from_bytes(found[0][-16:-8], "big")
            yield object
            start = self._key(object + 1, 0)
