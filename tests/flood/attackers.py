"""Clients that mean harm, each kind from an address of its own: ``attackers.py PORT PLAN``.

PLAN is JSON: ``{"idle": 2000, "slow": 200, …, "call": hex}``, how many connections of each kind are
open at a time. `call` is a call's message that a large reply belongs to. Prints "ready" when the
idle ones are there, runs until its input ends or the counts in `until` are reached, for at most
`seconds`, and prints what it counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

#: Connections that one kind opens in a second, so that it is the server that is measured.
CONNECTS_PER_SECOND = 50

#: Bytes of each attack that is cut off by its first ones.
ATTACK_BYTES = 64 << 10

#: Idle connections from one address: fewer than one client may have.
IDLE_PER_ADDRESS = 700

LAST = 0x80000000


class Flood:
    """What all kinds share: the server, the plan, and what is counted."""

    def __init__(self, port: int, plan: dict[str, Any]) -> None:
        self.port = port
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.random = random.Random(1)

    async def connect(self, kind: str, source: str) -> socket.socket:
        """A connection from `source`, with a small receive buffer."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((source, 0))
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        self.counts[f"{kind} opened"] += 1
        return sock

    async def closed(self, kind: str, sock: socket.socket) -> None:
        """Wait until the server closes it; at most a few bytes of answers are taken."""
        with contextlib.suppress(OSError):
            while await asyncio.get_running_loop().sock_recv(sock, 512):
                pass
        self.counts[f"{kind} closed"] += 1
        sock.close()

    async def idle(self, number: int) -> None:
        """Connects, and that is all."""
        sock = await self.connect("idle", f"127.0.1.{1 + number // IDLE_PER_ADDRESS}")
        self.counts["idle ready"] += 1
        await self.closed("idle", sock)

    async def slow(self, number: int) -> None:
        """Sends a record of a kilobyte, one byte a second."""
        loop = asyncio.get_running_loop()
        sock = await self.connect("slow", "127.0.2.1")
        with contextlib.suppress(OSError):
            for byte in struct.pack(">I", LAST | 1024) + bytes(1024):
                await loop.sock_sendall(sock, bytes([byte]))
                await asyncio.sleep(self.plan.get("slow_seconds", 1.0))
        self.counts["slow closed"] += 1
        sock.close()

    async def deaf(self, number: int) -> None:
        """Asks for megabytes, again and again, and takes nothing."""
        call = bytes.fromhex(self.plan["call"])
        sock = await self.connect("deaf", "127.0.3.1")
        with contextlib.suppress(OSError):
            calls = (struct.pack(">I", LAST | len(call)) + call) * 200
            for _ in range(10**6):
                await asyncio.get_running_loop().sock_sendall(sock, calls)
        self.counts["deaf closed"] += 1
        sock.close()

    async def huge(self, number: int) -> None:
        """Claims a record of 2 GiB."""
        await self.attack("huge", "127.0.4.1", struct.pack(">I", LAST | 0x7FFFFFFF) + bytes(1000))

    async def garbage(self, number: int) -> None:
        """Sends what comes to its mind."""
        await self.attack("garbage", "127.0.5.1", self.random.randbytes(ATTACK_BYTES))

    async def junk(self, number: int) -> None:
        """Sends sound records that are no calls."""
        one = struct.pack(">I", LAST | 8) + b"nonsense"
        await self.attack("junk", "127.0.6.1", one * (ATTACK_BYTES // len(one)))

    async def fragments(self, number: int) -> None:
        """Sends a record of fragments without anything in them, or with next to nothing."""
        one = bytes(4) if number % 2 else struct.pack(">I", 1) + b"x"
        await self.attack("fragments", "127.0.7.1", one * (ATTACK_BYTES // len(one)))

    async def attack(self, kind: str, source: str, data: bytes) -> None:
        sock = await self.connect(kind, source)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(sock, data)
        await self.closed(kind, sock)

    async def again_and_again(
        self, kind: Callable[[int], Coroutine[Any, Any, None]], number: int, every: float
    ) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(OSError):
                await kind(number)
            await asyncio.sleep(max(0.01, began + every - asyncio.get_running_loop().time()))

    def seen(self) -> bool:
        """Whether there was all that the plan waits for."""
        until = self.plan.get("until")
        return until is not None and all(self.counts[kind] >= until[kind] for kind in until)

    async def run(self) -> None:
        """Everything at once, until standard input ends."""
        tasks = []
        for name in ("slow", "deaf", "huge", "garbage", "junk", "fragments"):
            count = self.plan.get(name, 0)
            every = max(count, 1) / CONNECTS_PER_SECOND
            for number in range(count):
                work = self.again_and_again(getattr(self, name), number, every)
                tasks.append(asyncio.create_task(work))
        for number in range(self.plan.get("idle", 0)):
            tasks.append(asyncio.create_task(self.idle(number)))
            if number % 100 == 99:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            while self.counts["idle ready"] < self.plan.get("idle", 0):
                await asyncio.sleep(0.01)
        print("ready", flush=True)
        ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.cancel)
        async with asyncio.timeout(self.plan["seconds"]):
            while not (ended.done() or self.seen()):
                await asyncio.sleep(0.05)
        print(json.dumps(self.counts), flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(Flood(int(sys.argv[1]), json.loads(sys.argv[2])).run())
