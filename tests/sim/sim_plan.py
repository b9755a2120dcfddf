"""What a seed decides: who takes part, how the network fails, where the server crashes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from oncrpc.client import Retry
from oncrpc.testing import Faults

#: Where a server ends: stopped in good order or killed, at a time; or killed at a point of a call's
#: way, as the nth call comes there: before the record of its intent, while any record is written,
#: before the operation, before the record of its reply, behind that, and as something is sent.
POINTS = ("stop", "time", "intent", "tear", "operation", "record", "recorded", "send")

#: Times in seconds, of the virtual clock. Nothing ever makes these clients give up.
HARD = Retry(
    intervals=(0.3, 0.6, 1.2, *(2.0,) * 500),
    overdue=5.0,
    pause=0.05,
    longest_pause=1.0,
    connect=3.0,
    give_up=None,
)


@dataclass(frozen=True, slots=True)
class Fuse:
    """One end of the server: at a time after its start, or at the nth passing of a point."""

    point: str
    seconds: float
    passings: int
    #: How long the server is away.
    downtime: float
    silent: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole simulation."""

    transports: tuple[str, ...]
    #: Steps of each client's program.
    steps: int
    faults: Faults
    fuses: tuple[Fuse, ...]
    #: How often a call waits before it is executed, or a WRITE before it is answered.
    slow: float
    #: The same between the record of an intent, the operation, and the record of its reply: as with
    #: a backend whose methods wait. No built-in one does, but for the data of a WRITE.
    waits: float
    #: Bytes of a segment of the server's ring.
    segment: int


def plan_of(seed: int, waits: float = 0.0) -> Plan:
    """What `seed` decides."""
    rng = random.Random(f"plan {seed}")
    fuses = tuple(
        Fuse(
            point=rng.choice(POINTS),
            seconds=rng.uniform(0.0, 4.0),
            passings=rng.randint(1, 10),
            downtime=rng.choice((0.01, 0.3, 2.0)),
            silent=rng.random() < 0.2,
        )
        for _ in range(rng.choice((1, 1, 2, 3)))
    )
    return Plan(
        transports=tuple(rng.choice(("tcp", "udp")) for _ in range(rng.randint(2, 4))),
        steps=rng.randint(5, 9),
        faults=Faults(
            delay_seconds=(0.0005, 0.02),
            lose=0.3,
            duplicate=0.3,
            reorder=0.3,
            reorder_seconds=(0.005, rng.choice((0.05, 1.0))),
            split=0.2,
            partial=0.05,
            cut=rng.choice((0.02, 0.1)),
            one_way=0.3,
            rebind=rng.choice((0.0, 0.5)),
            roam=rng.choice((0.0, 0.03)),
            hole=0.003,
            hole_seconds=(0.1, 3.0),
        ),
        fuses=fuses,
        slow=rng.choice((0.0, 0.3)),
        waits=waits,
        segment=rng.choice((8 << 10, 64 << 10)),
    )
