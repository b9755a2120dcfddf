"""How a simulated network fails: probabilities and ranges, all zero by default."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

#: The least and the most; drawn evenly from between them.
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities are between 0 and 1, times in seconds of the virtual clock."""

    #: How long a datagram or a segment of a stream takes.
    delay_seconds: Range = (0.0, 0.0)

    # Datagrams

    #: Never arrives.
    lose: float = 0.0
    #: Arrives twice, the second time after `reorder_seconds` more.
    duplicate: float = 0.0
    #: Takes `reorder_seconds` more, so that later ones overtake it.
    reorder: float = 0.0
    reorder_seconds: Range = (0.001, 0.1)
    #: One bit is turned over. (UDP's checksum lets one in 65536 such datagrams pass.)
    corrupt: float = 0.0
    #: With each datagram of a client's: from now on others see its socket at another port, as when
    #: a NAT has forgotten it. Replies to the port before are lost.
    roam: float = 0.0

    # Streams

    #: What one send(2) took arrives in several segments, split anywhere.
    split: float = 0.0
    #: A send(2) takes only some of the bytes, a recv(2) gives only some: at least one.
    partial: float = 0.0
    #: With each segment: it is lost and the connection is reset.
    cut: float = 0.0
    #: Of the cuts: only one side learns of it before it sends again.
    one_way: float = 0.0
    #: One bit of a segment is turned over. TCP normally prevents that.
    corrupt_stream: float = 0.0
    #: A connection's port (and a client's UDP socket's, to begin with) that the server sees is
    #: another than the client's own, as behind a NAT.
    rebind: float = 0.0

    # Both

    #: With each datagram and segment: nothing passes between the two hosts, that way, for
    #: `hole_seconds`. Datagrams are lost, streams wait.
    hole: float = 0.0
    hole_seconds: Range = (1.0, 10.0)


NO_FAULTS = Faults()


def draw(rng: random.Random, span: Range) -> float:
    """A time from `span`; a span of no width costs no random number."""
    low, high = span
    return low if low == high else low + (high - low) * rng.random()


def turned(rng: random.Random, data: bytes) -> bytes:
    """`data` with one bit turned over."""
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """`data` split at up to three places."""
    places = {rng.randrange(1, len(data)) for _ in range(rng.randint(1, 3))}
    marks = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]
