"""For tests of programs: a client and a server in one process, and a network that fails.

* `Pipe` and `Capture`: calls straight into a dispatcher, without any network.
* `VirtualLoop`, `Network`, `Faults`: the unchanged server and client on simulated sockets and a
  virtual clock. Messages are lost, duplicated, reordered, delayed and corrupted, streams are cut,
  hosts crash; all of it is drawn from one seed, so that a failure is replayed by its seed.
  `simulate` runs a coroutine in such a world.
"""

from __future__ import annotations

from oncrpc.testing.faults import NO_FAULTS, Faults
from oncrpc.testing.loop import Crash, Deadlock, VirtualExecutor, VirtualLoop
from oncrpc.testing.network import Host, Network, simulate
from oncrpc.testing.pipe import Capture, Pipe
from oncrpc.testing.sockets import SimSocket

__all__ = [
    "NO_FAULTS",
    "Capture",
    "Crash",
    "Deadlock",
    "Faults",
    "Host",
    "Network",
    "Pipe",
    "SimSocket",
    "VirtualExecutor",
    "VirtualLoop",
    "simulate",
]
