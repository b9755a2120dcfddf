"""One object per call, answered exactly once, now or later (svccb in SFS's libarpc)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from oncrpc.errors import Refusal
from oncrpc.message import AUTH_NONE, MSG_ACCEPTED, REPLY, Credential, refusal, success
from oncrpc.program import Proc
from oncrpc.xdr import Buffer


class Peer(NamedTuple):
    """Where a call came from. `host` is a numeric address; IPv4 is written as IPv4."""

    host: str
    port: int
    transport: str = "tcp"
    #: The user whose process is at the other end of a connection, where that is known.
    user: int | None = None

    @property
    def local(self) -> bool:
        """Whether it is this host's loopback interface."""
        return self.host == "::1" or self.host.startswith("127.")


class Origin:
    """Who calls come from: a credential, at a peer.

    One object for all calls of a connection with that credential, so that a service can keep in
    `notes` what it has made of it; by keys of its own, and not without end.
    """

    __slots__ = ("credential", "notes", "peer")

    def __init__(self, credential: Credential, peer: Peer) -> None:
        self.credential = credential
        self.peer = peer
        self.notes: dict[Any, Any] = {}


class Transport(Protocol):
    """What a call is answered through."""

    @property
    def peer(self) -> Peer:
        """Where the calls come from."""

    def send(self, parts: list[Buffer]) -> None:
        """Send one message made of `parts`; never blocks, and forgets it if the peer is gone."""


class Keeper(Protocol):
    """What keeps the answer of a call that must not be executed twice."""

    def finish(self, once: Once, reply: bytes) -> None:
        """Keep the answer; it leaves when this returns."""

    def forget(self, once: Once) -> None:
        """Keep nothing: the same call again is to be executed."""


class Once:
    """The transport of such a call: its answer is kept first, and then goes to where the call came
    from last (`transport`)."""

    __slots__ = ("at", "intent", "keeper", "kept", "key", "record", "then", "transport")

    def __init__(self, keeper: Keeper, key: bytes, transport: Transport) -> None:
        self.keeper = keeper
        self.key = key
        self.transport = transport
        self.kept = True
        #: The call's message, while the keeper may want it; what it has noted of it, and where.
        self.record: Buffer = b""
        self.intent = b""
        self.at = -1
        #: Called when the answer is kept, or the call given up.
        self.then: Callable[[], None] | None = None

    @property
    def peer(self) -> Peer:
        """Where the call came from last."""
        return self.transport.peer

    def send(self, parts: list[Buffer]) -> None:
        """See `Transport`."""
        reply = b"".join(parts)
        if self.kept:
            self.keeper.finish(self, reply)
            if self.then is not None:
                self.then()
        self.transport.send([reply])

    def forget(self) -> None:
        """Do not keep the answer."""
        if self.kept:
            self.kept = False
            self.keeper.forget(self)
            if self.then is not None:
                self.then()


class Later:
    """The type of `LATER`."""


#: What a handler returns if it has answered by itself or will: by `reply`, `reject` or `drop`.
LATER: Final = Later()


class Call:
    """A call and the way back to its caller.

    `xid` and `proc` are the call's; `credential` and `peer` say who makes it, and `origin` is both.
    A handler returns its result, or `LATER` and then calls exactly one of `reply`, `reject` and
    `drop` when it likes.
    """

    __slots__ = ("answered", "landing", "origin", "proc", "transport", "xid")

    def __init__(self, transport: Transport, xid: int, proc: Proc, origin: Origin) -> None:
        self.transport = transport
        self.xid = xid
        self.proc = proc
        self.origin = origin
        self.answered = False
        #: Done once the call is answered; there only if its handler returned `LATER` before that.
        self.landing: asyncio.Future[None] | None = None

    @property
    def credential(self) -> Credential:
        """Who the call says it comes from."""
        return self.origin.credential

    @property
    def peer(self) -> Peer:
        """Where the call came from."""
        return self.origin.peer

    def reply(self, result: Any) -> None:
        """Answer with `result`. Raises XdrError if it is none of the procedure's; a second answer
        is an AssertionError."""
        parts: list[Buffer] = [success(self.xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)]
        self.proc.encode_result(result, parts.append)
        assert not self.answered, "a call is answered once"
        self.answered = True
        self.transport.send(parts)
        if self.landing is not None:
            self._land()

    def reject(self, why: Refusal) -> None:
        """Refuse the call (RFC 5531 section 9); a second answer is an AssertionError."""
        assert not self.answered, "a call is answered once"
        self.answered = True
        self.transport.send([refusal(self.xid, why)])
        if self.landing is not None:
            self._land()

    def drop(self) -> None:
        """Never answer (svccb's ignore): for a call that is answered elsewhere."""
        assert not self.answered, "a call is answered once"
        self.nocache()
        self.answered = True
        if self.landing is not None:
            self._land()

    def nocache(self) -> None:
        """Have no duplicate request cache keep the answer: the caller is told to ask again (SFS's
        nocache; NFS3ERR_JUKEBOX). Without one, it does nothing."""
        if isinstance(self.transport, Once):
            self.transport.forget()

    def _land(self) -> None:
        assert self.landing is not None
        if not self.landing.done():
            self.landing.set_result(None)

    @staticmethod
    def take(view: Buffer) -> bytes:
        """A copy of bulk arguments that outlives the first await."""
        return bytes(view)
