"""At-most-once sessions, the client's half (rpcc in YFS): `oncrpc.session` tells what they are.

    client = await connect("tcp", host, port)
    lock = LOCK_V1_Client(client, at_most_once=True)
    await lock.ACQUIRE(args)

All clients over one `RpcClient` share its session, which binds at the first call. A call ends as
other calls do (`oncrpc.client`), whether it was executed or not being known from the error as far
as it can be, or with

    ServerRestarted     the server has restarted; whether it executed the call before is not known
    AtMostOnceFailure   the server has forgotten the call, or the whole session

The next call binds anew. A call that was certainly not executed is not failed by these two but
sent again, in a new session: over TCP, one that was sent only once. (A datagram may arrive twice.)

When a call fails otherwise, or is cancelled, it is given up for good: once the server has got any
later call of the session, this one will not be executed any more, however late it arrives.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Protocol

from oncrpc.errors import (
    AtMostOnceFailure,
    AuthError,
    AuthStat,
    RpcTimeout,
    ServerRestarted,
    Unanswered,
)
from oncrpc.limits import SESSION_LAG_CALLS
from oncrpc.message import Credential, SessionAuth
from oncrpc.program import Proc, Program
from oncrpc.retry import Statistics
from oncrpc.session_xdr import SESSION_NONCE_SIZE, SESSION_OWED_MAX, SESSION_V1_Client

#: New sessions that a call may be sent in which its server refuses.
TRIES = 3


class AuthCaller(Protocol):
    """What a session needs under it: `oncrpc.client.RpcClient`."""

    credential: Credential

    @property
    def reliable(self) -> bool:
        """Whether what is sent once arrives once at most."""

    @property
    def statistics(self) -> Statistics:
        """Its `retransmissions` are looked at."""

    async def call(
        self,
        program: Program,
        proc: Proc,
        args: Any,
        timeout: float | None = None,
        auth: bytes | None = None,
    ) -> Any:
        """See `oncrpc.client.RpcClient.call`."""


class Numbers:
    """The numbers of a session's calls, and which of them still wait. No I/O.

    `window` is how far a call may be ahead of the first that waits, but for those that are owed.
    """

    def __init__(
        self, window: int, lag: int = SESSION_LAG_CALLS, most_owed: int = SESSION_OWED_MAX
    ) -> None:
        self.next = 1
        self._window = window
        self._lag = lag
        self._most_owed = most_owed
        #: In their order.
        self._waiting: dict[int, None] = {}

    def acknowledgement(self) -> tuple[int, list[int]]:
        """`seq_rep` and `owed` of the next call: all up to `seq_rep` are over, but those owed.

        Owed are calls that wait for long, so that they do not hold up the others. Without them the
        verifier stays short.
        """
        owed: list[int] = []
        for seq in self._waiting:
            if seq + self._lag > self.next or len(owed) == self._most_owed:
                return seq - 1, owed
            owed.append(seq)
        return self.next - 1, owed

    @property
    def full(self) -> bool:
        """Whether the next call has to wait until others are over."""
        return self.next - self.acknowledgement()[0] > self._window

    def begin(self) -> tuple[int, int, list[int]]:
        """Another call: its `seq`, `seq_rep` and `owed`."""
        seq_rep, owed = self.acknowledgement()
        seq = self.next
        self.next += 1
        self._waiting[seq] = None
        return seq, seq_rep, owed

    def end(self, seq: int) -> None:
        """The call is over: its reply came, or nobody waits for it any more."""
        del self._waiting[seq]


class _Session:
    """A session that is bound."""

    def __init__(self, client: bytes, server: bytes, window: int) -> None:
        self.client = client
        self.server = server
        self.numbers = Numbers(window)
        #: Done when a call is over, if somebody waits for that.
        self._over: asyncio.Future[None] | None = None

    def end(self, seq: int) -> None:
        self.numbers.end(seq)
        if self._over is not None:
            self._over.set_result(None)
            self._over = None

    async def call_over(self) -> None:
        """Wait until a call is over."""
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._over)


class SessionClient:
    """Calls over `client`, each executed at most once. A `Caller` for generated clients.

    `source` makes the nonces predictable, for tests.
    """

    def __init__(self, client: AuthCaller, source: random.Random | None = None) -> None:
        self._client = client
        self._random = source or random.SystemRandom()
        self._session: _Session | None = None
        self._binding: asyncio.Task[_Session] | None = None
        #: Sessions bound so far.
        self.binds = 0

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None = None
    ) -> Any:
        """Call `proc` and decode its result; see the module for the errors.

        `timeout`, in seconds, bounds all of it: binding, waiting for a place, the call.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        tries = TRIES
        while True:
            session = await self._ready(until)
            left = None if until is None else max(until - loop.time(), 0.0)
            again = self._client.statistics.retransmissions
            seq, seq_rep, owed = session.numbers.begin()
            auth = SessionAuth(session.client, session.server, seq, seq_rep, owed)
            packed = auth.pack(self._client.credential.pack())
            try:
                return await self._client.call(program, proc, args, left, packed)
            except AuthError as exc:
                failure = _FAILURES.get(exc.stat)
                if failure is None:
                    raise
                if self._session is session:
                    self._session = None
                sent_once = again == self._client.statistics.retransmissions
                if not (self._client.reliable and sent_once):
                    raise failure(f"{exc}: the call may have been executed") from exc
                tries -= 1
                if not tries:  # in new sessions too: it is something else
                    raise
            finally:
                session.end(seq)

    async def _ready(self, until: float | None) -> _Session:
        """A session in which there is room for a call."""
        session = self._session
        if session is not None and not session.numbers.full:
            return session
        try:
            async with asyncio.timeout_at(until):
                while True:
                    session = self._session or await self._bound()
                    if not session.numbers.full:
                        return session
                    await session.call_over()
        except Unanswered as exc:  # the bind; the call was not sent
            exc.unsent = True
            raise
        except TimeoutError:
            late = RpcTimeout("no session in the time of the call")
            late.unsent = True
            raise late from None

    async def _bound(self) -> _Session:
        """Bind, once for all calls that wait for it, whatever becomes of them."""
        if self._binding is None:
            self._binding = asyncio.get_running_loop().create_task(self._bind())
            self._binding.add_done_callback(_retrieved)
        return await asyncio.shield(self._binding)

    async def _bind(self) -> _Session:
        try:
            client = self._random.randbytes(SESSION_NONCE_SIZE)
            bound = await SESSION_V1_Client(self._client).BIND(client)
            self._session = _Session(client, bytes(bound.server), max(bound.window, 1))
            self.binds += 1
            return self._session
        finally:
            self._binding = None


def _retrieved(task: asyncio.Task[_Session]) -> None:
    """A failure is that of the calls that wait; if all were cancelled, it is nobody's."""
    if not task.cancelled():
        task.exception()


_FAILURES: dict[AuthStat | int, type[ServerRestarted] | type[AtMostOnceFailure]] = {
    AuthStat.REJECTEDCRED: ServerRestarted,
    AuthStat.REJECTEDVERF: AtMostOnceFailure,
}

__all__ = ["AtMostOnceFailure", "Numbers", "ServerRestarted", "SessionClient"]
