"""Calls that come again while they wait for their answer, as one who looks on sees them."""

from __future__ import annotations

from typing import TypeAlias

from nfsloop.watching.outcome import arguments_at
from oncrpc.call import Peer
from oncrpc.message import checksum
from oncrpc.xdr import Buffer

#: The client's address, xid, program with version and procedure, a checksum of the arguments.
Key: TypeAlias = tuple[str, bytes, bytes, int]


class Copied:
    """A call, as far as it is told from its copies."""

    __slots__ = ("again", "answered", "began", "bulk", "key", "peer", "record")

    def __init__(self, record: Buffer, peer: Peer, bulk: bool, began: float) -> None:
        self.record = record
        self.peer = peer
        self.bulk = bulk
        #: When it came (or the first of its copies), in the seconds of `perf_counter`.
        self.began = began
        self.answered = False
        #: What it is known by while it waits; and its copy to which the answer goes.
        self.key: Key | None = None
        self.again: Copied | None = None

    @property
    def last(self) -> Copied:
        """Who gets the answer: it, or who has asked again."""
        return self.again or self


class Copies:
    """The calls that wait. Each is known by what the duplicate request cache knows it by; there are
    no more of them than the server takes at once."""

    def __init__(self) -> None:
        self._waiting: dict[Key, Copied] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def waits(self, call: Copied) -> bool:
        """Whether one waits still of which `call`, that has just come, is a copy."""
        if not self._waiting:
            return False
        first = self._waiting.get(_key(call))
        return first is not None and not first.last.answered

    def wait(self, call: Copied) -> None:
        """It waits. What it is known by is seen now, while its record is there."""
        call.key = _key(call)
        self._waiting.setdefault(call.key, call)

    def join(self, call: Copied) -> None:
        """The answer of the one that waits will go to `call`, its copy."""
        first = self._waiting.get(_key(call))
        if first is not None:
            call.began = first.began
            first.again = call

    def end(self, call: Copied) -> None:
        """It does not wait any more."""
        if call.key is not None and self._waiting.get(call.key) is call:
            del self._waiting[call.key]


def _key(call: Copied) -> Key:
    record = call.record
    check = checksum(record, arguments_at(record), call.bulk)
    return call.peer.host, bytes(record[:4]), bytes(record[12:24]), check
