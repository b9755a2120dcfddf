"""At-most-once sessions, the server's half (rpcs in YFS): each call is executed once or not at all.

    server.add(LOCK_V1, LockService(), sessions=Sessions())

A client binds: it makes up a nonce and gets the server's, which is of this start of the server and
of this session. Its calls carry both nonces, their number `seq`, and which replies the client has
seen: all up to `seq_rep` but the few in `owed`, which wait long and must not hold up the rest. See
session.x for where that stands in a call. The same call again, by its `seq`, over whatever
transport and under whatever xid, is one of

    NEW         never seen: it is executed
    INPROGRESS  being executed: its answer will go to where the call came from last
    DONE        executed: it gets the same reply
    FORGOTTEN   its client has acknowledged the reply, or the server had no room for it: refused
                (AUTH_REJECTEDVERF), as whether it was executed is not known any more

Acknowledged replies are freed. What a client acknowledges without having seen a reply, since it
waits no more, is never executed afterwards, however late it comes. A call with a nonce of another
start of the server is refused (AUTH_REJECTEDCRED): nothing here survives a restart.

`Window` is one session without I/O; `Sessions` is all of them, within bounds.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from oncrpc import session_xdr as xdr
from oncrpc.call import Call, Once, Transport
from oncrpc.errors import AuthError, AuthStat
from oncrpc.limits import (
    SESSION_LOOKS,
    SESSION_REPLY_BYTES,
    SESSION_WINDOW_CALLS,
    SESSIONS,
    SESSIONS_PER_HOST,
    SESSIONS_REPLY_BYTES,
)
from oncrpc.message import SessionAuth
from oncrpc.xdr import Buffer


class State(Enum):
    """What a call's `seq` tells of it."""

    NEW = "new"
    INPROGRESS = "in progress"
    DONE = "done"
    FORGOTTEN = "forgotten"


class Window:
    """What is known of one client's calls: some are in progress, some replies are kept.

    Finished are the calls up to `floor` but for those in `owed`: nobody waits for them any more.
    That a call is finished stays true, so acknowledgements may come in any order, or never.
    """

    __slots__ = ("bytes", "floor", "gone", "owed", "replies", "running")

    def __init__(self) -> None:
        self.floor = 0
        self.owed: frozenset[int] = frozenset()
        self.running: dict[int, InSession] = {}
        #: Reply and checksum of the call, in the order in which they were given.
        self.replies: dict[int, tuple[bytes, int]] = {}
        #: Executed, but their replies were let go unacknowledged.
        self.gone: set[int] = set()
        #: Of all replies.
        self.bytes = 0

    def checkduplicate_and_update(
        self, seq: int, seq_rep: int, owed: Collection[int] = ()
    ) -> State:
        """Take the acknowledgement that came with the call `seq`, and tell what is known of it."""
        self.acknowledge(seq_rep, owed)
        if seq in self.running:
            return State.INPROGRESS
        if seq in self.replies:
            return State.DONE
        return State.FORGOTTEN if seq in self.gone or self.finished(seq) else State.NEW

    def finished(self, seq: int) -> bool:
        """Whether nobody waits for that call."""
        return seq <= self.floor and seq not in self.owed

    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        """All calls up to `seq_rep` but those in `owed` are finished: free what they left."""
        if seq_rep > self.floor:
            self.owed = frozenset(
                seq for seq in owed if seq <= seq_rep and (seq > self.floor or seq in self.owed)
            )
            self.floor = seq_rep
        else:
            left = frozenset(seq for seq in self.owed if seq > seq_rep or seq in owed)
            if left == self.owed:
                return
            self.owed = left
        for seq in [seq for seq in self.replies if self.finished(seq)]:
            self.bytes -= len(self.replies.pop(seq)[0])
        for seq in [seq for seq in self.running if self.finished(seq)]:
            del self.running[seq]
        self.gone = {seq for seq in self.gone if not self.finished(seq)}

    def finish(self, seq: int, reply: bytes, check: int) -> None:
        """The call is executed: keep its reply."""
        del self.running[seq]
        self.replies[seq] = reply, check
        self.bytes += len(reply)

    def forget_reply(self) -> None:
        """Let the oldest reply go; that its call was executed is remembered."""
        seq = next(iter(self.replies))
        self.bytes -= len(self.replies.pop(seq)[0])
        self.gone.add(seq)

    def shrink(self, most: int) -> None:
        """Remember `most` executed calls at most: the first ones are forgotten, and with them
        those that were to come before them."""
        while len(self.replies) + len(self.gone) > most:
            first = min((*self.replies, *self.gone))
            self.acknowledge(first, ({*self.owed, *self.running}) - {first})


class Session(Window):
    """The window of the session between two nonces, bound from `host`."""

    __slots__ = ("client", "host", "server")

    def __init__(self, client: bytes, server: bytes, host: str) -> None:
        super().__init__()
        self.client = client
        self.server = server
        self.host = host


class InSession(Once):
    """The transport of a session's call that is being executed."""

    __slots__ = ("check", "seq", "session", "xid")

    keeper: Sessions

    def __init__(
        self, keeper: Sessions, session: Session, seq: int, xid: int, check: int, to: Transport
    ) -> None:
        super().__init__(keeper, b"", to)
        self.session = session
        self.seq = seq
        self.xid = xid
        self.check = check


class _Renumbered:
    """The way back to a caller that has sent a call again under another xid."""

    def __init__(self, transport: Transport, xid: int) -> None:
        self.peer = transport.peer
        self._transport = transport
        self._xid = xid

    def send(self, parts: Iterable[Buffer]) -> None:
        """See `Transport`."""
        self._transport.send([_numbered(b"".join(parts), self._xid)])


@dataclass(slots=True)
class Statistics:
    """What the sessions have seen; each field counts calls, but for the first two."""

    #: Sessions bound, and those whose place was taken by others.
    bound: int = 0
    evicted: int = 0
    new: int = 0
    in_progress: int = 0
    done: int = 0
    #: Refused: forgotten, of a session of another start, or another call under the same number.
    forgotten: int = 0
    old_server: int = 0
    mistaken: int = 0
    #: Replies let go for want of room before they were acknowledged.
    let_go: int = 0


class Sessions:
    """The sessions of one server. `required`: a call without one is refused (AUTH_TOOWEAK), but for
    procedure 0; otherwise it is executed as often as it comes.

    `start` is 8 bytes that no other start of the server has. At most `window` calls of a client are
    remembered beyond what it has acknowledged, and `session_bytes` of their replies; of all
    clients, `reply_bytes`. There are `most` sessions at most, and `most_per_host` of one address.
    """

    def __init__(
        self,
        required: bool = True,
        *,
        start: bytes | None = None,
        window: int = SESSION_WINDOW_CALLS,
        session_bytes: int = SESSION_REPLY_BYTES,
        reply_bytes: int = SESSIONS_REPLY_BYTES,
        most: int = SESSIONS,
        most_per_host: int = SESSIONS_PER_HOST,
    ) -> None:
        self.required = required
        self.statistics = Statistics()
        #: Of all replies kept.
        self.bytes = 0
        self._start = os.urandom(8) if start is None else start
        self._window = window
        self._session_bytes = session_bytes
        self._reply_bytes = reply_bytes
        self._most = most
        self._most_per_host = most_per_host
        self._binds = 0
        #: By the client's nonce, the one that has called least recently first.
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._hosts: dict[str, OrderedDict[bytes, Session]] = {}
        #: Those with replies, the one whose last is oldest first.
        self._holding: OrderedDict[Session, None] = OrderedDict()
        self.service = _Binding(self)

    def __len__(self) -> int:
        """Sessions that are bound."""
        return len(self._sessions)

    def bind(self, client: bytes, host: str) -> xdr.session_bound:
        """A session for the client with that nonce; if it has one, the same again.

        The server's nonce is another for each, so that a bind that comes late makes no session in
        which the calls of a forgotten one would be new.
        """
        session = self._sessions.get(client)
        if session is None:
            others = self._hosts.setdefault(host, OrderedDict())
            if len(others) >= self._most_per_host:
                self._evict(others)
            elif len(self._sessions) >= self._most:
                self._evict(self._sessions)
            self._binds += 1
            self.statistics.bound += 1
            session = Session(client, self._start + self._binds.to_bytes(8), host)
            self._sessions[client] = session
            self._hosts.setdefault(host, OrderedDict())[client] = session
        return xdr.session_bound(session.server, self._window)

    def checkduplicate_and_update(self, auth: SessionAuth) -> tuple[State, Session]:
        """Which session the call belongs to, and what is known of it there.

        Raises AuthError: REJECTEDCRED for a session of another start, REJECTEDVERF for one that was
        forgotten.
        """
        if auth.server[:8] != self._start:
            self.statistics.old_server += 1
            raise AuthError(AuthStat.REJECTEDCRED)
        session = self._sessions.get(auth.client)
        if session is None or session.server != auth.server:
            self.statistics.forgotten += 1
            raise AuthError(AuthStat.REJECTEDVERF)
        self._sessions.move_to_end(auth.client)
        self._hosts[session.host].move_to_end(auth.client)
        before = session.bytes
        state = session.checkduplicate_and_update(auth.seq, auth.seq_rep, auth.owed)
        self._count(session, before)
        return state, session

    def begin(
        self, auth: SessionAuth, xid: int, check: int, transport: Transport
    ) -> Once | bytes | None:
        """A call came in: what to execute it with, its reply, or None if it is in progress.

        `check` tells calls apart that come under one number by mistake. Raises AuthError: see
        `checkduplicate_and_update`, REJECTEDVERF if it is forgotten, BADVERF if it is another.
        """
        state, session = self.checkduplicate_and_update(auth)
        count = self.statistics
        if state is State.NEW:
            count.new += 1
            once = InSession(self, session, auth.seq, xid, check, transport)
            session.running[auth.seq] = once
            return once
        if state is State.FORGOTTEN:
            count.forgotten += 1
            raise AuthError(AuthStat.REJECTEDVERF)
        running = session.running.get(auth.seq)
        known = running.check if running else session.replies[auth.seq][1]
        if known != check:
            count.mistaken += 1
            raise AuthError(AuthStat.BADVERF)
        if running is None:
            count.done += 1
            return _numbered(session.replies[auth.seq][0], xid)
        count.in_progress += 1
        running.transport = transport if xid == running.xid else _Renumbered(transport, xid)
        return None

    # Keeper

    def finish(self, once: Once, reply: bytes) -> None:
        """The call was answered: keep the reply, unless nobody waits for it."""
        assert isinstance(once, InSession)
        session = once.session
        if session.running.get(once.seq) is not once:
            return
        before = session.bytes
        session.finish(once.seq, reply, once.check)
        while session.bytes > self._session_bytes:
            self._let_go(session)
        session.shrink(self._window + xdr.SESSION_OWED_MAX)
        self._count(session, before)
        if session.replies:
            self._holding[session] = None
            self._holding.move_to_end(session)
        while self.bytes > self._reply_bytes:
            oldest = next(iter(self._holding))
            before = oldest.bytes
            self._let_go(oldest)
            self._count(oldest, before)

    def forget(self, once: Once) -> None:
        """The call was not executed: if it comes again, it is new."""
        assert isinstance(once, InSession)
        if once.session.running.get(once.seq) is once:
            del once.session.running[once.seq]

    def _let_go(self, session: Session) -> None:
        session.forget_reply()
        self.statistics.let_go += 1

    def _count(self, session: Session, before: int) -> None:
        self.bytes += session.bytes - before
        if not session.replies:
            self._holding.pop(session, None)

    def _evict(self, order: OrderedDict[bytes, Session]) -> None:
        """Forget the session in `order` that has been idle longest, and if none is, the first."""
        for _ in range(SESSION_LOOKS):
            session = next(iter(order.values()))
            if not session.running:
                break
            order.move_to_end(session.client)
        else:
            session = next(iter(order.values()))
        self.statistics.evicted += 1
        del self._sessions[session.client]
        self._hosts[session.host].pop(session.client)
        if not self._hosts[session.host]:
            del self._hosts[session.host]
        self._holding.pop(session, None)
        self.bytes -= session.bytes
        session.running.clear()


class _Binding(xdr.SESSION_V1_Service):
    """The program that binds."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def BIND(self, call: Call, args: xdr.session_nonce) -> xdr.session_bound:
        return self._sessions.bind(bytes(args), call.peer.host)


def _numbered(reply: bytes, xid: int) -> bytes:
    return xid.to_bytes(4) + reply[4:]
