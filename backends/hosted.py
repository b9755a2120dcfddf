"""A backend as the server calls it: in time, and with results of the right kind.

An `inline` backend is called as it is. Any other gets, for each call, a Task of its own, data that
stays, and a deadline. When that is over the client is answered JUKEBOX, so that it asks again
(RFC 1813 section 2.6), and the work goes on; the same call made again joins it, and gets its result
once it is there. So a store that stalls delays its own callers and nobody else, and nothing is done
twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import astuple, is_dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from backends.base import (
    CHANGES,
    OPERATIONS,
    Attr,
    Backend,
    Context,
    Data,
    Found,
    FsError,
    FsStat,
    Granted,
    Listing,
    Made,
    Renamed,
    Status,
    Target,
    Wcc,
    Written,
)
from backends.wrap import Wrap

log = logging.getLogger("nfsloop.backend")

#: An operation of a backend.
Method: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

#: What each operation gives.
RESULTS: dict[str, type | tuple[type, ...]] = {
    "root": Attr, "getattr": Attr, "lookup": Found, "read": Data, "readdir": Listing,
    "peek": (int, type(None)), "parent": Attr, "access": Granted, "readlink": Target,
    "setattr": Wcc, "write": Written, "commit": Wcc, "create": Made, "mkdir": Made,
    "symlink": Made, "mknod": Made, "remove": Wcc, "rmdir": Wcc, "rename": Renamed, "link": Made,
    "statfs": FsStat,
}  # fmt: skip

#: So many calls may wait as long as the backend's patience says; those beyond, a second. Otherwise
#: a stalled store would hold all the calls that a connection may have in flight.
PATIENT_CALLS = 64
SHORT_PATIENCE_SECONDS = 1.0

#: Calls that go on after their client was told to ask again; one more is not begun.
OVERDUE_CALLS = 256

#: How long a result waits to be asked for again. The Linux client comes back after 5 seconds.
RESULT_SECONDS = 15.0
CHANGE_RESULT_SECONDS = 300.0

#: How often the calls in progress are looked at.
SWEEP_SECONDS = 0.25

#: How long the backend may take to say how it is, in seconds.
HEALTH_SECONDS = 5.0


class _Work:
    """One call of the backend, and who waits for it."""

    __slots__ = ("args", "began", "ctx", "expires", "key", "name", "task", "waiters")

    def __init__(self, name: str, ctx: Context, args: tuple[Any, ...], began: float) -> None:
        self.name = name
        self.ctx = ctx
        self.args = args
        self.began = began
        self.task: asyncio.Task[Any]
        #: Who waits, each until when.
        self.waiters: dict[asyncio.Future[None], float] = {}
        #: Its place among those that are overdue, and how long its result stays there.
        self.key: Hashable = None
        self.expires: float | None = None


class Hosted(Wrap):
    """`below`, patiently. `name` is what it is called in the log."""

    def __init__(self, below: Backend, name: str) -> None:
        super().__init__(below)
        self.inline = False
        self._name = f"{name}: {type(below).__name__}"
        self._works: set[_Work] = set()
        #: Those whose clients were told to ask again: they go on, or their results wait.
        self._overdue: dict[Hashable, _Work] = {}
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        #: When the oldest call began that has no end, if there is such a one.
        self._stalled: float | None = None
        for operation in OPERATIONS:
            method = getattr(self.below, operation)
            setattr(self, operation, partial(self._call, operation, method))

    async def _call(
        self, name: str, method: Method, ctx: Context, *args: Any, **kwargs: Any
    ) -> Any:
        if name == "write":  # a view of a buffer that others use while this waits
            args = args[0], args[1], bytes(args[2]), args[3]
        loop = asyncio.get_running_loop()
        now = loop.time()
        patience = self.patience
        if self._waiting >= PATIENT_CALLS:
            patience = min(patience, SHORT_PATIENCE_SECONDS)
        work = self._find(name, ctx, (*args, kwargs)) if self._overdue else None
        if work is None:
            work = _Work(name, ctx, (*args, kwargs), now)
            call = method(replace(ctx, deadline=now + patience), *args, **kwargs)
            work.task = loop.create_task(call)
            work.task.add_done_callback(partial(self._done, work))
            self._works.add(work)
        if not work.task.done():
            await self._wait(work, now + patience)
        if self._overdue.get(work.key) is work:
            del self._overdue[work.key]
        return _checked(name, work.task.result())

    async def _wait(self, work: _Work, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        work.waiters[waiter] = deadline
        self._waiting += 1
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            await waiter
        finally:
            self._waiting -= 1
            work.waiters.pop(waiter, None)

    def _find(self, name: str, ctx: Context, args: tuple[Any, ...]) -> _Work | None:
        """The same call, if it is overdue. Raises JUKEBOX if no other may begin."""
        work = self._overdue.get(_key(name, ctx, args))
        if work is not None:
            return work
        if name in CHANGES:  # what was read before it may be wrong after it
            for other in [w for w in self._overdue.values() if w.name not in CHANGES]:
                if other.expires is not None:
                    del self._overdue[other.key]
        if len(self._overdue) >= OVERDUE_CALLS:
            raise FsError(Status.JUKEBOX, f"{OVERDUE_CALLS} calls have not ended")
        return None

    def _done(self, work: _Work, task: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        failure = None if task.cancelled() else task.exception()
        awaited = [waiter for waiter in work.waiters if not waiter.done()]
        for waiter in awaited:
            waiter.set_result(None)
        if self._overdue.get(work.key) is work:
            keep = CHANGE_RESULT_SECONDS if work.name in CHANGES else RESULT_SECONDS
            work.expires = task.get_loop().time() + keep
            if not awaited and not isinstance(failure, (FsError, OSError, type(None))):
                log.error("%s.%s failed, late", self._name, work.name, exc_info=failure)

    def _sweep(self) -> None:
        """Have those ask again that have waited long enough; forget what nobody asks for."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for work in self._works:
            for waiter in [w for w, deadline in work.waiters.items() if deadline <= now]:
                if not waiter.done():
                    self._tell_to_ask_again(work, waiter, now)
        for work in list(self._overdue.values()):
            if work.expires is not None and work.expires <= now:
                del self._overdue[work.key]
        if self._stalled is not None and not any(w.expires is None for w in self._overdue.values()):
            log.info("%s: answers again, after %.0f s", self._name, now - self._stalled)
            self._stalled = None
        idle = not self._works and not self._overdue
        self._timer = None if idle else loop.call_later(SWEEP_SECONDS, self._sweep)

    def _tell_to_ask_again(self, work: _Work, waiter: asyncio.Future[None], now: float) -> None:
        if work.key is None:
            work.key = _key(work.name, work.ctx, work.args)
            self._overdue.setdefault(work.key, work)
        if self._stalled is None:
            self._stalled = work.began
            log.warning(
                "%s.%s of %s has taken %.0f s; until it answers, clients are told to ask again",
                self._name,
                work.name,
                work.ctx.client or "a caller",
                now - work.began,
            )
        waiter.set_exception(FsError(Status.JUKEBOX, f"{work.name} takes its time"))

    async def health(self) -> str | None:
        """What the backend says of itself, and whether it answers at all."""
        if self._stalled is not None:
            seconds = asyncio.get_running_loop().time() - self._stalled
            unended = sum(work.expires is None for work in self._overdue.values())
            return f"{unended} calls have not ended, the oldest for {seconds:.0f} s"
        try:
            return await asyncio.wait_for(super().health(), HEALTH_SECONDS)
        except TimeoutError:
            return f"it has not said how it is for {HEALTH_SECONDS:.0f} s"

    async def stop(self) -> None:
        """End what is still in progress, and stop the backend."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [work.task for work in self._works]
        for task in tasks:
            task.cancel()
        if tasks:
            log.warning("%s: %d calls were cut off", self._name, len(tasks))
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()


def hosted(backend: Backend, name: str) -> Backend:
    """What the server calls in the place of `backend`, which `name` stands for in the log.

    One whose class says `hosts_itself` has done that for what it stands for, part by part.
    """
    if backend.inline or getattr(type(backend), "hosts_itself", False):
        return backend
    return Hosted(backend, name)


def _checked(name: str, result: Any) -> Any:
    """`result`, if the operation may give it. Raises TypeError."""
    if not isinstance(result, RESULTS[name]):
        raise TypeError(f"{name} gave {type(result).__name__}")
    return result


def _key(name: str, ctx: Context, args: tuple[Any, ...]) -> Hashable:
    """What makes a call the same as one before: who asks, and for what."""
    who = ctx.uid, ctx.gid, ctx.groups, ctx.client, ctx.export
    return name, who, tuple(_hashable(arg) for arg in args)


def _hashable(arg: Any) -> Hashable:
    if is_dataclass(arg) and not isinstance(arg, type):
        return astuple(arg)
    return tuple(arg.items()) if isinstance(arg, dict) else arg
