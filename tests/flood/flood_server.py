"""A server of the echo program for the flood test: ``flood_server.py LIMITS`` (JSON).

Prints its port; when its input ends it stops and prints what it has cut and the memory it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "oncrpc")]

from echo import ECHO_V2, Echo  # noqa: E402

from oncrpc import loop  # noqa: E402
from oncrpc.limits import ServerLimits  # noqa: E402
from oncrpc.server import RpcServer  # noqa: E402


async def main() -> None:
    """Serve until standard input ends."""
    server, service = RpcServer(ServerLimits(**json.loads(sys.argv[1]))), Echo()
    server.add(ECHO_V2, service)
    print(server.listen("tcp", "127.0.0.1"), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    guards = server.guards
    told = {
        "cuts": {why.name: count for why, count in guards.cuts.items()},
        "calls": service.calls,
        "connections": guards.connections,
    }
    await server.stop(2)
    told["left"] = len(guards.clients) + guards.backlog.total + guards.records.total
    print(json.dumps(told), flush=True)


loop.run(main())
