"""The async client (aclnt in SFS's libarpc): typed calls over TCP and UDP, many outstanding.

    client = await connect("tcp", host, port)
    nfs = NFS_V3_Client(client)
    res = await nfs.GETATTR(handle, timeout=10)

A call is at least once: it is sent again, the same bytes under the same xid, as `Retry` says; see
`oncrpc.link` for how each transport does that. It ends with its result, or with one exception that
names program, procedure and address:

    BadArguments        the arguments are none of the procedure's; nothing was sent
    ConnectionRefused   nobody listens there (see the class for what may have been executed)
    ConnectionLost      the connection ended, and could not be made again
    RpcTimeout          no reply in the call's time, or after its last retransmission
    Refusal             the server refused; the subclass is RFC 5531's: ProgUnavail, ProgMismatch,
                        ProcUnavail, GarbageArgs, SystemErr, AuthError, RpcMismatch
    MessageError        TCP: the reply is no RPC reply (over UDP it is dropped)
    BadResult           the reply's result is none of the procedure's; the call was executed
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from oncrpc.errors import (
    BadArguments,
    BadResult,
    ConnectionLost,
    MessageError,
    Refusal,
    RpcTimeout,
    XdrError,
)
from oncrpc.link import Address, DatagramLink, Dial, Link, StreamLink, dial_tcp, name
from oncrpc.message import NO_VERIFIER, NOBODY, Credential, call_header
from oncrpc.pending import Calls, Pending
from oncrpc.program import Proc, Program
from oncrpc.retry import ONCE, Retry, Statistics, Xids
from oncrpc.session_client import SessionClient
from oncrpc.xdr import decode, encode

#: Calls outstanding at most, unless the caller says otherwise. Servers read no further from a
#: connection with more calls than they like; datagrams beyond a socket's buffer are lost.
TCP_WINDOW_CALLS = 64
UDP_WINDOW_CALLS = 32

#: Random transaction ids; see `oncrpc.retry`.
xids = Xids


class RpcClient:
    """Calls over one transport. Make one with `connect`; close it with `close`.

    `credential` goes with every call and may be changed between calls.
    """

    def __init__(
        self,
        link: Link,
        address: str,
        credential: Credential = NOBODY,
        window: int = TCP_WINDOW_CALLS,
        source: random.Random | None = None,
    ) -> None:
        self.credential = credential
        self._xids = Xids(source)
        self._source = source
        self._link = link
        self._calls = Calls(window, address, link.send)
        link.attach(self._calls)

    @property
    def credential(self) -> Credential:
        """Who the calls come from. Raises XdrError when set to what AUTH_SYS cannot carry."""
        return self._credential

    @credential.setter
    def credential(self, new: Credential) -> None:
        self._credential, self._packed = new, new.pack()

    @property
    def statistics(self) -> Statistics:
        """What was counted so far."""
        return self._calls.statistics

    @property
    def reliable(self) -> bool:
        """Whether what is sent once arrives once at most: over a stream."""
        return self._link.reliable

    @cached_property
    def session(self) -> SessionClient:
        """The same calls, but each of them executed at most once, if the server has sessions."""
        return SessionClient(self, self._source)

    @property
    def outstanding(self) -> int:
        """Calls sent, or to be sent once there is a connection, that have no reply yet."""
        return len(self._calls.outstanding)

    @property
    def remote(self) -> Any:
        """The server's address, ``(host, port)`` with a numeric host."""
        return self._link.remote

    @property
    def local(self) -> Any:
        """The address that calls come from."""
        return self._link.local

    async def call(
        self,
        program: Program,
        proc: Proc,
        args: Any,
        timeout: float | None = None,
        auth: bytes | None = None,
    ) -> Any:
        """Call `proc` and decode its result.

        `timeout`, in seconds, bounds all of it: waiting for a place in the window, transmissions,
        new connections. Without it, `Retry` decides. `auth` is a packed credential and verifier
        (two opaque_auths, RFC 5531 section 8.2) in the place of the client's credential. The errors
        are the module's. A call that is cancelled leaves no trace; its late reply is dropped.
        """
        calls = self._calls
        xid = next(self._xids)
        while xid in calls:
            xid = next(self._xids)
        credential, verifier = (self._packed, NO_VERIFIER) if auth is None else (auth, b"")
        head = call_header(xid, program.number, program.version, proc.number, credential, verifier)
        loop = asyncio.get_running_loop()
        call = Pending(xid, program, proc, loop.create_future(), loop.time())
        try:
            call.message = self._link.frame(head, encode(proc.encode_args, args))
        except XdrError as exc:
            raise BadArguments(f"{calls.what(call)}: the arguments: {exc}") from exc
        over = self._link.ended()
        if over is not None:
            raise calls.unanswered(ConnectionLost, call, over)
        if timeout is not None:
            call.deadline = loop.call_later(timeout, self._expire, call, timeout)
        calls.start(call)
        try:
            reply, pos = await call.future
        finally:
            calls.end(call)
        try:
            return decode(proc.decode_result, reply, pos)
        except XdrError as exc:
            raise BadResult(f"{calls.what(call)}: the result: {exc}") from exc

    def _expire(self, call: Pending, timeout: float) -> None:
        self._calls.fail(
            call, self._calls.unanswered(RpcTimeout, call, f"no reply in {round(timeout, 3):g} s")
        )

    def close(self) -> None:
        """Close the connection; calls that wait raise ConnectionLost."""
        self._link.close()
        self._calls.fail_all(
            lambda call: self._calls.unanswered(ConnectionLost, call, "the client is closed")
        )


async def connect(
    transport: str,
    host: str,
    port: int,
    credential: Credential = NOBODY,
    source: Address | None = None,
    *,
    retry: Retry | None = None,
    window: int | None = None,
    xid_source: random.Random | None = None,
) -> RpcClient:
    """A client over "tcp" or "udp" to `host` and `port`, from the address `source` if it is given.

    `window` is how many calls may be outstanding; more wait, in their order. `xid_source` makes the
    transaction ids predictable, for tests. Over UDP only that address's replies are taken (the
    socket is connected). Raises OSError: the first connection is tried once, whatever `retry` says.
    """
    retry = retry or Retry()
    link: StreamLink | DatagramLink
    if transport == "udp":
        link, places = DatagramLink((host, port), retry), UDP_WINDOW_CALLS
    else:
        link, places = StreamLink((host, port), retry), TCP_WINDOW_CALLS
    places = places if window is None else window
    client = RpcClient(link, name(transport, link.remote), credential, places, xid_source)
    await link.open(source)
    return client


async def connect_by(dial: Dial, remote: Any, retry: Retry = ONCE) -> RpcClient:
    """A client over a stream that `dial` makes, such as a unix socket. Raises OSError.

    `remote` is the address that `dial` gets, and shows in errors.
    """
    link = StreamLink(remote, retry, dial)
    client = RpcClient(link, name("stream", remote))
    await link.open()
    return client


@asynccontextmanager
async def connected(
    transport: str, host: str, port: int, credential: Credential = NOBODY, **options: Any
) -> AsyncIterator[RpcClient]:
    """`connect`, closed at the end of a ``async with``."""
    client = await connect(transport, host, port, credential, **options)
    try:
        yield client
    finally:
        client.close()


__all__ = [
    "ONCE",
    "MessageError",
    "Refusal",
    "Retry",
    "RpcClient",
    "Statistics",
    "connect",
    "connect_by",
    "connected",
    "dial_tcp",
    "xids",
]
