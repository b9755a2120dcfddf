"""A program for tests of the runtime, its table written by hand: the runtime needs no compiler."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from oncrpc.call import LATER, Call
from oncrpc.errors import AuthError, AuthStat, XdrError
from oncrpc.program import Proc, Program, Service
from oncrpc.xdr import PAD, Buffer, Put, decode_void, encode_void


def decode_opaque(buf: Buffer, pos: int) -> tuple[Buffer, int]:
    (size,) = struct.unpack_from(">I", buf, pos)
    end = pos + 4 + size
    if end + len(PAD[size & 3]) > len(buf):
        raise XdrError("opaque data that ends too soon")
    return buf[pos + 4 : end], end + len(PAD[size & 3])


def encode_opaque(value: Buffer, put: Put) -> None:
    put(struct.pack(">I", len(value)))
    put(value)
    put(PAD[len(value) & 3])


def proc(number: int, name: str) -> Proc:
    return Proc(number, name, decode_opaque, encode_opaque, decode_opaque, encode_opaque)


NAMES = ("ECHO", "SLEEP", "FAIL", "FAIL_LATER", "REFUSE", "CALL_BACK", "NONSENSE", "MANY")
ECHO_V2 = Program(
    "ECHO_PROGRAM",
    0x20000001,
    2,
    {
        0: Proc(0, "NULL", decode_void, encode_void, decode_void, encode_void),
        **{number: proc(number, name) for number, name in enumerate(NAMES, 1)},
    },
)
PROCS = {p.name: p for p in ECHO_V2.procs.values()}


class Echo(Service):
    """Answers in every way that a handler can."""

    PROGRAM = ECHO_V2

    def __init__(self) -> None:
        self.waiting = 0
        self.most_waiting = 0
        self.calls = 0
        self.gate = asyncio.Event()

    async def ECHO(self, call: Call, args: Buffer) -> Buffer:
        self.calls += 1
        return args

    async def SLEEP(self, call: Call, args: Buffer) -> Buffer:
        """Waits for the gate, in a way that needs the current task."""
        kept = call.take(args)
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await self.gate.wait()
        self.waiting -= 1
        return kept

    async def FAIL(self, call: Call, args: Buffer) -> Buffer:
        raise RuntimeError("on purpose")

    async def FAIL_LATER(self, call: Call, args: Buffer) -> Buffer:
        await asyncio.sleep(0.001)
        raise RuntimeError("on purpose")

    async def REFUSE(self, call: Call, args: Buffer) -> Buffer:
        raise AuthError(AuthStat.TOOWEAK)

    async def CALL_BACK(self, call: Call, args: Buffer) -> Any:
        kept = call.take(args)
        asyncio.get_running_loop().call_later(0.001, lambda: call.reply(kept))
        return LATER

    async def NONSENSE(self, call: Call, args: Buffer) -> Any:
        return 17

    async def MANY(self, call: Call, args: Buffer) -> bytes:
        """As many bytes as the argument says."""
        self.calls += 1
        return bytes(int(bytes(args)))
