"""A client and a server in one process, without a socket between them."""

from __future__ import annotations

import asyncio
from typing import Any

from oncrpc.call import Peer
from oncrpc.client import xids
from oncrpc.dispatch import Dispatcher
from oncrpc.message import NOBODY, Credential, call_header, read_reply
from oncrpc.program import Proc, Program
from oncrpc.xdr import Buffer, decode, encode


class Capture:
    """A transport that keeps what was sent: `sent` holds one `bytes` a message."""

    def __init__(self, peer: Peer | None = None) -> None:
        self.peer = peer or Peer("127.0.0.1", 1023, "test")
        self.sent: list[bytes] = []
        self.arrived = asyncio.Event()

    def send(self, parts: list[Buffer]) -> None:
        """Keep one message."""
        self.sent.append(b"".join(parts))
        self.arrived.set()


class Pipe:
    """A `Caller` straight into a `Dispatcher`; every call and reply is encoded as on the wire.

    `log` keeps the pairs of messages.
    """

    def __init__(
        self, dispatcher: Dispatcher, credential: Credential = NOBODY, peer: Peer | None = None
    ) -> None:
        self.credential = credential
        self.log: list[tuple[bytes, bytes]] = []
        self._dispatcher = dispatcher
        self._peer = peer
        self._xids = xids()

    async def send(self, message: Buffer) -> bytes:
        """The reply to a call's bytes. Waits for ever if there is none."""
        capture = Capture(self._peer)
        self._dispatcher.dispatch(message, capture)
        await capture.arrived.wait()
        self.log.append((bytes(message), capture.sent[0]))
        return capture.sent[0]

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None = None
    ) -> Any:
        """See `oncrpc.program.Caller`."""
        head = call_header(
            next(self._xids), program.number, program.version, proc.number, self.credential.pack()
        )
        async with asyncio.timeout(timeout):
            reply = await self.send(head + encode(proc.encode_args, args))
        _, pos = read_reply(reply)
        return decode(proc.decode_result, reply, pos)
