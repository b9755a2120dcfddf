"""The calls of one client that have no reply yet: which are sent, which wait for a place."""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from oncrpc.errors import AcceptedRefusal, MessageError, Refusal, RpcError, Unanswered
from oncrpc.message import read_reply
from oncrpc.program import Proc, Program
from oncrpc.retry import Statistics
from oncrpc.xdr import Buffer

E = TypeVar("E", bound=RpcError)
U = TypeVar("U", bound=Unanswered)

_unpack_xid = struct.Struct(">I").unpack_from


class Pending:
    """One call: its message as it goes over the wire, and the future of ``(reply, pos)``.

    `times` is how often it was sent. In the loop's seconds: `started` when the call was made,
    `sent_at` when it was sent last, `since` from when on it has been without a connection.
    """

    __slots__ = (
        "deadline", "ended", "future", "message", "proc", "program",
        "sent_at", "since", "started", "timer", "times", "xid",
    )  # fmt: skip

    def __init__(
        self,
        xid: int,
        program: Program,
        proc: Proc,
        future: asyncio.Future[tuple[bytes, int]],
        now: float,
    ) -> None:
        self.xid = xid
        self.message = b""
        self.program = program
        self.proc = proc
        self.future = future
        self.times = 0
        self.started = self.sent_at = now
        self.since: float | None = None
        self.ended = False
        #: The caller's timeout, and the link's next transmission.
        self.deadline: asyncio.TimerHandle | None = None
        self.timer: asyncio.TimerHandle | None = None

    def finish(self) -> None:
        """Nothing more happens to it."""
        self.ended = True
        if self.deadline is not None:
            self.deadline.cancel()
        if self.timer is not None:
            self.timer.cancel()


class Calls:
    """At most `window` calls outstanding; the others wait for a place, first come, first served.

    `send(call)` is what the transport does with a call that has a place. `address` names the server
    in the texts of errors.
    """

    def __init__(self, window: int, address: str, send: Callable[[Pending], None]) -> None:
        if window < 1:
            raise ValueError("a window of less than one call")
        self.window = window
        self.address = address
        self.statistics = Statistics()
        #: By xid, in the order in which they were first sent.
        self.outstanding: dict[int, Pending] = {}
        #: By xid, in the order in which they came.
        self.queue: OrderedDict[int, Pending] = OrderedDict()
        self._send = send

    def __contains__(self, xid: int) -> bool:
        return xid in self.outstanding or xid in self.queue

    def start(self, call: Pending) -> None:
        """Send it, or let it wait for a place."""
        self.statistics.calls += 1
        if len(self.outstanding) < self.window:
            self.outstanding[call.xid] = call
            self._send(call)
        else:
            self.queue[call.xid] = call

    def end(self, call: Pending) -> None:
        """It has its result, or nobody waits for it any more: the next one has its place."""
        if call.ended:
            return
        call.finish()
        if self.outstanding.pop(call.xid, None) is None:
            self.queue.pop(call.xid, None)
        elif self.queue:
            _, following = self.queue.popitem(last=False)
            self.outstanding[following.xid] = following
            self._send(following)

    def received(self, message: Buffer, reliable: bool) -> bool:
        """Give a message to its call; whether it was a call's reply.

        One with a broken header is an error where the transport is `reliable`, and is dropped where
        it is not, for the next transmission to do better.
        """
        call = self.outstanding.get(_unpack_xid(message)[0]) if len(message) >= 4 else None
        if call is None:
            self.statistics.strays += 1
            return False
        try:
            reply = bytes(message)
            result = (reply, read_reply(reply)[1])
        except Refusal as exc:
            self.fail(call, self.named(exc, call))
        except MessageError as exc:
            self.statistics.malformed += 1
            if not reliable:
                return False
            self.fail(call, self.named(exc, call))
        else:
            if not call.future.done():
                call.future.set_result(result)
            self.end(call)
        self.statistics.replies += 1
        return True

    def fail(self, call: Pending, exc: RpcError) -> None:
        """End the call with an error."""
        if not call.future.done():
            call.future.set_exception(exc)
        self.end(call)

    def fail_all(self, error: Callable[[Pending], RpcError]) -> None:
        """End all calls with errors; those that wait for a place have no use for it now."""
        calls = [*self.outstanding.values(), *self.queue.values()]
        self.outstanding.clear()
        self.queue.clear()
        for call in calls:
            call.finish()
            if not call.future.done():
                call.future.set_exception(error(call))

    def what(self, call: Pending) -> str:
        """The call as errors name it: program, procedure, address."""
        program = call.program
        return f"{program.name} version {program.version}, {call.proc.name}, at {self.address}"

    def named(self, exc: E, call: Pending) -> E:
        """`exc` with the call in its text."""
        stat = exc.stat.name if isinstance(exc, AcceptedRefusal) else type(exc).__name__
        exc.args = (f"{self.what(call)}: {str(exc) or stat}",)
        return exc

    def unanswered(self, kind: type[U], call: Pending, why: str) -> U:
        """The error of a call that no reply came to."""
        exc = kind(f"{self.what(call)}: {why}")
        exc.unsent = not call.times
        return exc
