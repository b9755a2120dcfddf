"""Calls and records made by hand, for what the typed clients would never send."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oncrpc.message import AUTH_SYS, NOBODY
from oncrpc.record import LAST_FRAGMENT, mark

NFS, MOUNT, NLM, NFSACL, PORTMAP = 100003, 100005, 100021, 100227, 100000

#: accept_stat and auth_stat of RFC 5531 section 9.
PROG_UNAVAIL, PROG_MISMATCH, PROC_UNAVAIL, GARBAGE_ARGS, SYSTEM_ERR = 1, 2, 3, 4, 5
BADCRED, REJECTEDCRED, BADVERF = 1, 2, 3


def call(
    program: int = NFS,
    version: int = 3,
    proc: int = 0,
    args: bytes = b"",
    xid: int = 7,
    credential: bytes = NOBODY.pack(),
    verifier: bytes = bytes(8),
    rpc: int = 2,
) -> bytes:
    """A call message, whatever it says."""
    return struct.pack(">6I", xid, 0, rpc, program, version, proc) + credential + verifier + args


def auth(flavor: int, body: bytes) -> bytes:
    """An opaque_auth."""
    return struct.pack(">2I", flavor, len(body)) + body + bytes(-len(body) & 3)


def auth_sys(uid: int, gid: int, groups: list[int], machine: bytes = b"test") -> bytes:
    """AUTH_SYS with as many groups as one likes."""
    name = machine + bytes(-len(machine) & 3)
    head = struct.pack(">2I", 0, len(machine)) + name + struct.pack(">3I", uid, gid, len(groups))
    return auth(AUTH_SYS, head + struct.pack(f">{len(groups)}I", *groups))


def accepted(reply: bytes, xid: int = 7) -> tuple[int, bytes]:
    """accept_stat of an accepted reply to `xid`, and what follows it."""
    assert struct.unpack_from(">5I", reply) == (xid, 1, 0, 0, 0), reply
    return struct.unpack_from(">I", reply, 20)[0], reply[24:]


def denied(reply: bytes, xid: int = 7) -> tuple[int, ...]:
    """reject_stat and what follows it, of a reply to `xid` that denies."""
    assert struct.unpack_from(">3I", reply) == (xid, 1, 1), reply
    return struct.unpack(f">{len(reply) // 4 - 3}I", reply[12:])


def fragments(message: bytes, *sizes: int) -> bytes:
    """`message` as a record of fragments of `sizes`, and one of the rest."""
    out, pos = b"", 0
    for size in sizes:
        out += struct.pack(">I", size) + message[pos : pos + size]
        pos += size
    return out + struct.pack(">I", LAST_FRAGMENT | len(message) - pos) + message[pos:]


class Raw:
    """A TCP connection on which one sends bytes, and receives records."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def record(self, timeout: float = 5.0) -> bytes:
        """The next record; b"" at the end of the connection."""
        async with asyncio.timeout(timeout):
            try:
                (word,) = struct.unpack(">I", await self.reader.readexactly(4))
                assert word & LAST_FRAGMENT
                return await self.reader.readexactly(word & ~LAST_FRAGMENT)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return b""

    async def ask(self, message: bytes) -> bytes:
        """Send a message as one record; the reply."""
        await self.send(mark(len(message)) + message)
        return await self.record()

    async def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing more comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1)
        except TimeoutError:
            return True


@asynccontextmanager
async def raw(host: str, port: int) -> AsyncIterator[Raw]:
    """A `Raw` connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
