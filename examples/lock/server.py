"""The lock server: ``python3 -m examples.lock.server [--host ADDR] [--port N]``.

A lock is a queue of clients, the first of which holds it; an ACQUIRE is answered when its client
has come to the head. So it matters that no call is executed twice: a second ACQUIRE would queue its
client again, with nobody to release what it gets; a late copy of a RELEASE would take the lock from
a client that has acquired it again since.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from examples.lock import lock_xdr as x
from oncrpc import loop
from oncrpc.call import LATER, Call
from oncrpc.server import RpcServer
from oncrpc.session import Sessions

#: Locks that are remembered, free or not.
LOCKS = 65536


@dataclass(slots=True)
class Lock:
    """One lock: who holds it, and the ACQUIREs of who comes next."""

    holder: int | None = None
    waiting: deque[tuple[int, Call]] = field(default_factory=deque)
    acquired: int = 0
    released: int = 0

    def grant(self, client: int) -> None:
        """The client has it now."""
        self.holder = client
        self.acquired += 1

    def free(self) -> None:
        """Nobody has it now, or the next one."""
        self.holder = None
        self.released += 1
        if self.waiting:
            client, call = self.waiting.popleft()
            self.grant(client)
            call.reply(x.LOCK_OK)


class LockService(x.LOCK_V1_Service):
    """Locks by name, in memory. All are free when the server starts."""

    def __init__(self) -> None:
        self.locks: dict[bytes, Lock] = {}

    def _lock(self, args: x.lock_args) -> Lock:
        return self.locks.get(bytes(args.name)) or Lock()

    async def ACQUIRE(self, call: Call, args: x.lock_args) -> Any:
        if len(self.locks) >= LOCKS and args.name not in self.locks:
            return x.LOCK_TOO_MANY
        lock = self.locks.setdefault(bytes(args.name), Lock())
        if lock.holder is None:
            lock.grant(args.client)
            return x.LOCK_OK
        lock.waiting.append((args.client, call))
        return LATER

    async def RELEASE(self, call: Call, args: x.lock_args) -> x.lock_stat:
        lock = self._lock(args)
        if lock.holder == args.client:
            lock.free()
            return x.LOCK_OK
        for place in lock.waiting:
            if place[0] == args.client:
                lock.waiting.remove(place)
                place[1].reply(x.LOCK_GIVEN_UP)
                return x.LOCK_OK
        return x.LOCK_NOT_HELD

    async def STAT(self, call: Call, args: x.lock_args) -> x.lock_info:
        lock = self._lock(args)
        return x.lock_info(lock.acquired, lock.released, len(lock.waiting), lock.holder)


def lock_server(sessions: bool = True) -> RpcServer:
    """A server of locks. Without `sessions` it is wrong, as the tests show."""
    server = RpcServer()
    server.add(x.LOCK_V1, LockService(), sessions=Sessions() if sessions else None)
    return server


async def serve(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    server = lock_server()
    port = server.listen("tcp", host, port)
    server.listen("udp", host, port)
    print(f"locks on port {port} of {host} over TCP and UDP", flush=True)
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()
    await server.stop(0.0)


def main() -> None:
    """Run the command line."""
    options = argparse.ArgumentParser(description="a lock server")
    options.add_argument("--host", default="127.0.0.1", help="the address to listen at")
    options.add_argument("--port", type=int, default=7070, help="0: any")
    args = options.parse_args()
    loop.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
