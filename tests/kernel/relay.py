#!/usr/bin/env python3
"""A lossy link for TCP: between a client and a server, it delays, splits, repeats, swallows, cuts.

    relay.py LISTEN-PORT SERVER-PORT REPORT --host ADDR --seed N --calls N

It knows records and NFS procedures, so that what it breaks is what hurts: every `--calls` calls or
so a connection is cut (RST) before, within or behind a call, or within or instead of its reply. The
calls chosen are mostly those that a second execution would answer otherwise. What came of it is
written to REPORT as JSON at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

#: NFSv3 procedures that change names or attributes: executed twice, they fail the second time.
NOT_IDEMPOTENT = {
    2: "SETATTR", 8: "CREATE", 9: "MKDIR", 10: "SYMLINK", 11: "MKNOD", 12: "REMOVE", 13: "RMDIR",
    14: "RENAME", 15: "LINK",
}  # fmt: skip
NFS = 100003

#: How a connection ends; the first three at once, the others when the call's reply comes.
AT_ONCE = ("before a call", "in a call", "behind a call")
AT_REPLY = ("in a reply", "instead of a reply")

LONGEST_WAIT = 60.0


@dataclass
class Report:
    """What the relay has done."""

    connections: int = 0
    calls: int = 0
    repeated: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    #: Replies of procedures that are not idempotent, which the server gave and nobody got.
    swallowed: Counter[str] = field(default_factory=Counter)
    #: Of those: calls that came again, and whether their answer was the same.
    asked_again: int = 0
    same_answer: int = 0
    other_answers: list[str] = field(default_factory=list)


class Relay:
    """What the connections share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.host: str = args.host
        self.port: int = args.server
        self.calls: int = args.calls
        self.rng = random.Random(args.seed)
        self.report = Report()
        #: xid -> procedure and reply that was swallowed.
        self.lost: dict[bytes, tuple[str, bytes]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its cut."""
        self.report.connections += 1
        try:
            to_server = await asyncio.wait_for(self._connect(), LONGEST_WAIT)
        except (OSError, TimeoutError):
            reset(writer)
            return
        await Link(self, (reader, writer), to_server).run()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the server, from a reserved port; waits for one that is being started again."""
        while True:
            port = self.rng.randrange(600, 1024)
            sock = socket.socket()
            sock.setblocking(False)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((self.host, port))
                await asyncio.get_running_loop().sock_connect(sock, (self.host, self.port))
                return await asyncio.open_connection(sock=sock, limit=1 << 22)
            except OSError:
                sock.close()
                await asyncio.sleep(0.02)


class Link:
    """One connection: two directions, and the decision where it is cut."""

    def __init__(
        self,
        relay: Relay,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.relay, self.rng, self.report = relay, relay.rng, relay.report
        self.client, self.client_writer = client
        self.server, self.server_writer = server
        #: Calls until it is to be cut; the call whose reply it is cut at, and how.
        self.left = int(self.rng.expovariate(1 / relay.calls)) + 3
        self.victim = b""
        self.how = ""
        #: xid -> procedure of what was forwarded, for the names of replies.
        self.procs: dict[bytes, str] = {}

    async def run(self) -> None:
        """Until one direction ends; then both are reset."""
        tasks = {asyncio.create_task(self._calls()), asyncio.create_task(self._replies())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            reset(self.client_writer)
            if self.rng.random() < 0.5:
                reset(self.server_writer)
            else:
                self.server_writer.close()

    async def _calls(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._call(await read_record(self.client)):
                pass

    async def _call(self, record: bytes) -> bool:
        """Forward a call, or not; False if that was the end."""
        xid = record[4:8]
        program, _, number = struct.unpack_from(">3I", record, 16)
        proc = NOT_IDEMPOTENT.get(number, "") if program == NFS else ""
        self.procs[xid] = proc
        self.report.calls += 1
        self.report.asked_again += xid in self.relay.lost
        self.left -= 1
        if self.left <= 0 and not self.victim and (proc or self.left < -100):
            how = self.rng.choice(AT_ONCE + AT_REPLY * 3)
            if how in AT_ONCE:
                sizes = (0, self.rng.randrange(1, len(record)), len(record))
                await self._forward(self.server_writer, record[: sizes[AT_ONCE.index(how)]])
                self.report.cuts[how] += 1
                return False
            self.victim, self.how = xid, how
        await self._forward(self.server_writer, record)
        if self.rng.random() < 0.02:
            self.report.repeated += 1
            await self._forward(self.server_writer, record)
        return True

    async def _replies(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._reply(await read_record(self.server)):
                pass

    async def _reply(self, record: bytes) -> bool:
        """Forward a reply, or not; False if that was the end."""
        xid = record[4:8]
        self._compare(xid, record)
        if xid != self.victim:
            await self._forward(self.client_writer, record)
            return True
        if self.how == "in a reply":
            part = record[: self.rng.randrange(1, len(record))]
            await self._forward(self.client_writer, part)
            await asyncio.sleep(0.002)  # let it arrive: a reset discards what is on its way
        self.report.cuts[self.how] += 1
        if proc := self.procs.get(xid):
            self.report.swallowed[proc] += 1
            self.relay.lost[xid] = proc, record
        return False

    def _compare(self, xid: bytes, record: bytes) -> None:
        """Whether a call whose reply was swallowed gets the same one, now that it came again."""
        proc, lost = self.relay.lost.get(xid, ("", b""))
        if not lost or self.procs.get(xid) != proc:
            return
        if record == lost:
            self.report.same_answer += 1
        elif len(self.report.other_answers) < 20:
            self.report.other_answers.append(f"{proc}: {lost[:48].hex()} {record[:48].hex()}")
        if xid != self.victim:
            del self.relay.lost[xid]

    async def _forward(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """In one piece or in several, now or a little later."""
        pieces = [data]
        chance = self.rng.random()
        if chance < 0.1 and len(data) > 2:
            cuts = sorted(self.rng.randrange(1, len(data)) for _ in range(self.rng.randrange(1, 5)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for piece in pieces:
            if chance < 0.03:
                await asyncio.sleep(self.rng.uniform(0, 0.003))
            writer.write(piece)
            await writer.drain()


async def read_record(reader: asyncio.StreamReader) -> bytes:
    """A record with its marks (RFC 5531 section 11)."""
    record = b""
    last = False
    while not last:
        mark = await reader.readexactly(4)
        (word,) = struct.unpack(">I", mark)
        last = bool(word & 0x80000000)
        record += mark + await reader.readexactly(word & 0x7FFFFFFF)
    return record


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def run(args: argparse.Namespace) -> None:
    """Until SIGTERM."""
    relay = Relay(args)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(relay.serve, args.host, args.listen, limit=1 << 22)
    async with server:
        await stop.wait()
    args.report.write_text(json.dumps(vars(relay.report)))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="a lossy link for TCP")
    parser.add_argument("listen", type=int)
    parser.add_argument("server", type=int)
    parser.add_argument("report", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=200, help="between two cuts, on average")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
