"""What the client counted: /proc/self/mountstats, pure. Layout: the kernel's net/sunrpc/stats.c."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Op:
    """One procedure's numbers over a mount; times are sums in milliseconds."""

    calls: int
    sent: int  # bytes
    received: int  # bytes
    queue_ms: int  # until it was sent
    rtt_ms: int  # from then until its reply came
    execute_ms: int  # both, and the client's own waking

    def minus(self, other: Op) -> Op:
        return Op(
            self.calls - other.calls,
            self.sent - other.sent,
            self.received - other.received,
            self.queue_ms - other.queue_ms,
            self.rtt_ms - other.rtt_ms,
            self.execute_ms - other.execute_ms,
        )


NOTHING = Op(0, 0, 0, 0, 0, 0)


def parse(text: str, target: str) -> dict[str, Op]:
    """Of one mount: {"READ": Op, …}. Raises ValueError if `target` is not mounted over NFS.

    A line is NAME: calls transmissions timeouts sent received queue rtt execute [errors].
    """
    ops: dict[str, Op] = {}
    inside = statistics = False
    for line in text.splitlines():
        if line.startswith("device "):
            inside = f" mounted on {target} with fstype nfs" in line
            statistics = False
        elif inside and line.strip() == "per-op statistics":
            statistics = True
        elif statistics and ":" in line:
            name, _, rest = line.strip().partition(":")
            numbers = [int(word) for word in rest.split()]
            ops[name] = Op(numbers[0], *numbers[3:8])
    if not ops:
        raise ValueError(f"no NFS statistics of {target}")
    return ops


def difference(before: Mapping[str, Op], after: Mapping[str, Op]) -> dict[str, Op]:
    """What came to between the two; procedures that were not called are left out."""
    gone = {name: op.minus(before.get(name, NOTHING)) for name, op in after.items()}
    return {name: op for name, op in gone.items() if op.calls}
