"""A flood, and a client that means no harm beside it: counts and memory, no times.

``python tests/flood/run_flood.py`` measures the throughput, against the NFS server with its own
limits.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections import Counter
from typing import Any

import pytest
from good import HERE, Good, Process, peak_bytes

sys.path.insert(0, str(HERE.parent / "oncrpc"))
from echo import ECHO_V2, PROCS

from oncrpc.message import NOBODY, call_header

#: What docs/limits.md promises for such a flood.
FLOOD_BYTES = 128 << 20

LIMITS: dict[str, Any] = {
    "connections": 1500,
    "accepts_at_once": 4000,
    "sweep_seconds": 0.25,
    "record_seconds": 1.5,
    "backlog_seconds": 1.5,
    "client_backlog_bytes": 16 << 20,
}

PLAN = {
    "idle": 2000,
    "slow": 200,
    "deaf": 4,
    "huge": 5,
    "garbage": 5,
    "junk": 5,
    "fragments": 6,
    "seconds": 40,
}

#: The flood goes on until all this has been seen.
SEEN = {
    "idle closed": 500,
    "slow closed": 200,
    "deaf closed": 4,
    "huge closed": 20,
    "garbage closed": 20,
    "junk closed": 20,
    "fragments closed": 20,
}


def message(name: str, data: bytes) -> bytes:
    parts: list[bytes] = [call_header(0, ECHO_V2.number, 2, PROCS[name].number, NOBODY.pack())]
    PROCS[name].encode_args(data, parts.append)  # type: ignore[arg-type]
    return b"".join(parts)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and all of 127.0.0.0/8")
def test_a_flood() -> None:
    data = os.urandom(2000)
    plan = {**PLAN, "until": SEEN, "call": message("MANY", b"1048576").hex()}
    server = Process(str(HERE / "flood_server.py"), json.dumps(LIMITS))
    flood = None
    try:
        port = int(server.line())
        good = Good(port, message("ECHO", data), 16)
        good.round()
        flood = Process(str(HERE / "attackers.py"), str(port), json.dumps(plan))
        answers: Counter[bytes] = Counter()
        while flood.running:
            answers.update(good.round())
        flooded = flood.end()
        answers.update(good.round())
        peak = peak_bytes(server.pid)
        good.close()
        told = server.end()
    finally:
        for process in (server, flood):
            if process is not None:
                process.kill()
    # accepted, verifier, SUCCESS, the data
    right = struct.pack(">6I", 1, 0, 0, 0, 0, len(data)) + data
    assert set(answers) == {right}
    assert answers[right] == good.calls - 16 >= 1600
    check(told, flooded)
    print(f"peak: {peak >> 20} MiB")
    assert peak < FLOOD_BYTES, f"{peak >> 20} MiB"


def check(told: dict[str, Any], flooded: dict[str, int]) -> None:
    """The server has done to each kind what it should."""
    cuts = told["cuts"]
    assert told["left"] == 0
    assert flooded["idle opened"] == 2000
    assert cuts["CROWDED"] >= 500, "idle ones gave their places"
    assert told["connections"] <= LIMITS["connections"]
    broken = sum(flooded[f"{kind} closed"] for kind in ("huge", "garbage", "junk", "fragments"))
    assert 80 <= broken <= cuts["RECORD"]
    assert cuts["SLOW"] >= 200
    assert cuts["UNREAD"] >= 4
    assert "BACKLOG_MEMORY" not in cuts and "RECORD_MEMORY" not in cuts
