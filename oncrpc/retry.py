"""What a client decides without I/O: transaction ids, when to try again, and what it counts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields


class Xids(Iterator[int]):
    """Random transaction ids (RFC 5531 section 9), none of them twice in 2**32.

    A counter goes through a permutation of the 32-bit numbers whose keys are drawn from `source`
    (None: the system's). To draw each id by itself would repeat one in some hundred thousand
    calls, and a server's duplicate request cache could answer the second with the first's reply.
    They are hard to guess from outside, and no secret from who sees the calls.
    """

    __slots__ = ("_count", "_keys")

    def __init__(self, source: random.Random | None = None) -> None:
        draw = (source or random.SystemRandom()).getrandbits
        self._count = draw(32)
        self._keys = tuple((draw(32) | 1, draw(32)) for _ in range(4))

    def __next__(self) -> int:
        count = self._count = (self._count + 1) & 0xFFFFFFFF
        left, right = count >> 16, count & 0xFFFF
        for factor, addend in self._keys:  # a Feistel network is one to one, whatever its rounds do
            left, right = right, left ^ ((right * factor + addend) >> 16 & 0xFFFF)
        return left << 16 | right


@dataclass(frozen=True, slots=True)
class Retry:
    """When a client tries again, and until when. All times are in seconds.

    Over UDP a call is sent, and sent again after each of `intervals` but the last, after which
    it fails with `RpcTimeout`. Over TCP it is sent again on a new connection only.
    """

    #: UDP: how long each transmission of a call is given for its reply.
    intervals: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 32.0)
    #: TCP: a reply that takes longer makes the client connect again; None: it may take for ever.
    overdue: float | None = 60.0
    #: TCP: the time from one try to connect to the next; it doubles with each that brought no
    #: reply ...
    pause: float = 0.1
    #: ... up to this one.
    longest_pause: float = 15.0
    #: TCP: how long one try to connect may take.
    connect: float = 15.0
    #: How long a call waits for a server that cannot be reached or closes the connection (UDP: for
    #: one that answered before, and now refuses). None: for ever, if it has no timeout.
    give_up: float | None = 60.0
    #: False: a connection that ends takes its calls with it, and a refusal over UDP is final.
    reconnect: bool = True

    def __post_init__(self) -> None:
        if not self.intervals or min(self.intervals) <= 0:
            raise ValueError("retransmission takes one interval or more, each above zero")

    def wait(self, attempt: int) -> float:
        """The time from the last try to connect to the next, after `attempt` without a reply."""
        return min(self.pause * 2.0 ** min(attempt, 60), self.longest_pause)

    def over(self, since: float, now: float) -> bool:
        """Whether a server that cannot be reached since then is given up."""
        return self.give_up is not None and now - since >= self.give_up


#: For a call or two to a server that may not be there: the first failure is the last.
ONCE = Retry(reconnect=False)


@dataclass(slots=True)
class Statistics:
    """What one client counted since it was made."""

    #: Calls issued, and those that a reply came to (a refusal is one).
    calls: int = 0
    replies: int = 0
    #: Messages sent again.
    retransmissions: int = 0
    #: Connections made in the place of one that ended; those of them that could not have its port.
    reconnections: int = 0
    moved_ports: int = 0
    #: Messages dropped: no call waits for them, or they came from another address.
    strays: int = 0
    #: Replies to a call that waits, but with a broken header.
    malformed: int = 0
    #: UDP: times that the network said that nobody listens.
    refusals: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        names = [field.name for field in fields(self)]
        return Statistics(*(getattr(self, name) + getattr(other, name) for name in names))
