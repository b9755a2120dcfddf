"""Programs that have one home: a worker takes their calls, and the home answers them.

MOUNT has a list of mounts, and locking has locks: one for the server, wherever the clients'
connections end. The worker sends the whole call on, with where it came from, and gives back the
reply as it is; meanwhile its other calls go on.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

from nfsloop.limits import RELAY_BYTES
from nfsloop.workers.channel import Channel
from oncrpc.call import LATER, Call, Later, Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import SystemErr, XdrError
from oncrpc.message import call_header
from oncrpc.program import Proc, ProcFlag, Program, Service
from oncrpc.xdr import Buffer

#: The question in which a call is sent.
RELAY = "relay"

#: A call that the home has not answered within this many seconds gets no answer: its client asks
#: again.
RELAY_SECONDS = 60.0


class Relay(Service):
    """A program, answered at the other end of the channel. It is to be served as `PROGRAM`, with
    arguments as the bytes that they are on the wire."""

    def __init__(self, program: Program, home: Channel) -> None:
        self.PROGRAM = raw(program)
        for proc in self.PROGRAM.procs.values():
            setattr(self, proc.name, _relaying(self.PROGRAM, proc, home))


def raw(program: Program) -> Program:
    """`program` with arguments as the bytes that they are on the wire."""
    procs = {
        number: dataclasses.replace(proc, decode_args=_rest, flags=ProcFlag.NONE)
        for number, proc in program.procs.items()
    }
    return dataclasses.replace(program, procs=procs)


def _rest(buf: Buffer, pos: int) -> tuple[bytes, int]:
    if len(buf) - pos > RELAY_BYTES:
        raise XdrError(f"arguments of {len(buf) - pos} bytes")
    return bytes(buf[pos:]), len(buf)


def _relaying(
    program: Program, proc: Proc, home: Channel
) -> Callable[[Call, bytes], Coroutine[Any, Any, Later]]:
    async def relay(call: Call, args: bytes) -> Later:
        credential = call.credential.pack()
        head = call_header(call.xid, program.number, program.version, proc.number, credential)
        try:
            reply = await home.ask(RELAY, call.peer, head + args, timeout=RELAY_SECONDS)
        except TimeoutError:
            reply = None
        except Exception as exc:
            raise SystemErr from exc
        if reply is not None:
            call.transport.send([reply])
        call.drop()
        return LATER

    return relay


class Relayed:
    """The home's end: answers calls that were sent on, by `dispatcher`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def __call__(self, peer: Peer, record: bytes) -> bytes | None:
        """The reply to the call in `record`; None if it gets none."""
        reply = _Reply(peer)
        waits = self._dispatcher.dispatch(record, reply)
        if waits is not None:
            await asyncio.wait([waits])
        return reply.message


class _Reply:
    """The transport of a call that came through a worker."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.message: bytes | None = None

    def send(self, parts: list[Buffer]) -> None:
        self.message = b"".join(parts)
