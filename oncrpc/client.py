"""The async client (aclnt in SFS's libarpc): typed calls over TCP and UDP, many outstanding.

    client = await connect("tcp", host, port)
    nfs = NFS_V3_Client(client)
    res = await nfs.GETATTR(handle, timeout=10)

Retransmission and reconnection are the caller's, so far: a call whose reply does not come raises
`RpcTimeout` if it was given a timeout, and `ConnectionLost` if its connection ended.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from oncrpc.errors import ConnectionLost, MessageError, RecordError, Refusal, RpcTimeout
from oncrpc.limits import RECORD_BYTES, UDP_RECEIVE_BYTES
from oncrpc.message import NOBODY, Credential, call_header, read_reply
from oncrpc.program import Proc, Program
from oncrpc.record import RecordReader, Scratch, mark
from oncrpc.xdr import Buffer, decode, encode

log = logging.getLogger("oncrpc")


def xids() -> Iterator[int]:
    """Transaction ids: from a random one on, so that two runs of a client do not share them."""
    start = random.SystemRandom().getrandbits(32)
    return (number & 0xFFFFFFFF for number in itertools.count(start))


class RpcClient:
    """Calls over one transport. Make one with `connect`; close it with `close`.

    `credential` goes with every call and may be changed between calls.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        close: Callable[[], None],
        credential: Credential = NOBODY,
    ) -> None:
        self.credential = credential
        #: Closes the connection; calls that wait raise ConnectionLost.
        self.close = close
        self._send = send
        self._xids = xids()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._lost: Exception | None = None

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None = None
    ) -> Any:
        """Call `proc` and decode its result; `timeout` is in seconds.

        Raises `Refusal` (its subclass says which), `XdrError` for arguments or a result that are
        none, `RpcTimeout`, `ConnectionLost`.
        """
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        xid = next(self._xids)
        head = call_header(
            xid, program.number, program.version, proc.number, self.credential.pack()
        )
        message = head + encode(proc.encode_args, args)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[xid] = future
        try:
            self._send(message)
            async with asyncio.timeout(timeout):
                reply = await future
        except TimeoutError:
            raise RpcTimeout(f"{program.name} {proc.name}: no reply in {timeout} s") from None
        finally:
            self._waiting.pop(xid, None)
        _, pos = read_reply(reply)
        return decode(proc.decode_result, reply, pos)

    def replied(self, record: Buffer) -> None:
        """A message came in: give it to the call that waits for it."""
        if len(record) < 4:
            return
        (xid,) = struct.unpack_from(">I", record)
        future = self._waiting.get(xid)
        if future is None or future.done():
            log.debug("a reply that nobody waits for, xid %08x", xid)
        else:
            future.set_result(bytes(record))

    def lost(self, exc: Exception | None) -> None:
        """The connection ended: so do the calls that wait."""
        self._lost = exc or ConnectionLost("connection closed")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost(str(self._lost)))


class _Stream(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.client: RpcClient
        self._reader = RecordReader(Scratch(), RECORD_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.received(nbytes)
        try:
            for record in self._reader.records():
                self.client.replied(record)
        except RecordError as exc:
            self.client.lost(exc)
            self.client.close()
            return
        self._reader.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.lost(exc)


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.client: RpcClient

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.client.replied(data)

    def error_received(self, exc: Exception) -> None:
        self.client.lost(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.lost(exc)


async def connect(
    transport: str,
    host: str,
    port: int,
    credential: Credential = NOBODY,
    source: tuple[str, int] | None = None,
) -> RpcClient:
    """A client over "tcp" or "udp" to `host` and `port`, from `source` if it is given.

    Over UDP only that address's replies are taken (the socket is connected). Raises OSError.
    """
    loop = asyncio.get_running_loop()
    protocol: _Stream | _Datagram
    if transport == "udp":
        endpoint: Any = await loop.create_datagram_endpoint(
            _Datagram, remote_addr=(host, port), local_addr=source
        )
    else:
        endpoint = await loop.create_connection(_Stream, host, port, local_addr=source)
    wire, protocol = endpoint
    if transport == "udp":
        wire.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BYTES
        )
    send = wire.sendto if transport == "udp" else lambda message: _write_record(wire, message)
    protocol.client = RpcClient(send, wire.close, credential)
    return protocol.client


def _write_record(wire: asyncio.WriteTransport, message: bytes) -> None:
    wire.write(mark(len(message)) + message)


@asynccontextmanager
async def connected(
    transport: str, host: str, port: int, credential: Credential = NOBODY
) -> AsyncIterator[RpcClient]:
    """`connect`, closed at the end of a ``async with``."""
    client = await connect(transport, host, port, credential)
    try:
        yield client
    finally:
        client.close()


__all__ = ["MessageError", "Refusal", "RpcClient", "connect", "connected", "xids"]
