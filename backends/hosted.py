"""A backend as the server calls it: in time, and with results of the right kind.

An `inline` backend is called as it is. Any other gets, for each call, a Task of its own, data that
stays, and a deadline. When that is over the client is answered JUKEBOX, so that it asks again
(RFC 1813 section 2.6), and the work goes on; the same call made again takes it over, and gets its
result once it is there. So a store that stalls delays its own callers and nobody else, and nothing
is done twice.

Each work is for one caller at a time: of two equal calls, both are done. And what has become out of
date is never taken over: after another change of the same file or name, a call is made anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import astuple, is_dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

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
    Key,
    Listing,
    Made,
    Renamed,
    Status,
    Target,
    Wcc,
    Written,
)
from backends.cookies import listed
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

#: Calls that go on after their client was told to ask again; beyond them, none is begun.
OVERDUE_CALLS = 256

#: Results that wait to be asked for, and their data; how long they do. The Linux client comes back
#: after 5 seconds.
RESULTS_KEPT = 256
RESULTS_KEPT_BYTES = 64 << 20
RESULT_SECONDS = 15.0
CHANGE_RESULT_SECONDS = 60.0

#: How often the calls in progress are looked at.
SWEEP_SECONDS = 0.25

#: How long a backend may take to say how it is, in seconds.
HEALTH_SECONDS = 5.0

#: Arguments up to this size are compared as they are, larger ones by a digest.
_DIGEST_BYTES = 64

#: Operations whose results tell of attributes that a change of another file's name may move.
_ATTRIBUTES = frozenset({"root", "getattr", "lookup", "access", "parent"})


class _Work:
    """One call of the backend, and who waits for it."""

    __slots__ = (
        "_scope", "args", "began", "ctx", "deadline", "expires", "key", "name", "outdated", "size",
        "task", "verifier", "waiter",
    )  # fmt: skip

    def __init__(self, name: str, ctx: Context, args: tuple[Any, ...], began: float) -> None:
        self.name = name
        self.ctx = ctx
        self.args = args
        self.began = began
        self._scope: _Scope | None = None
        self.task: asyncio.Task[Any]
        #: The write verifier from before it began.
        self.verifier = b""
        #: Who waits, and until when.
        self.waiter: asyncio.Future[None] | None = None
        self.deadline = 0.0
        #: What call it is, once its caller was told to ask again; when its result is forgotten.
        self.key: Hashable = None
        self.expires: float | None = None
        #: A change came between: whoever asks again asks anew.
        self.outdated = False
        #: Bytes of its result.
        self.size = 0

    @property
    def scope(self) -> _Scope:
        """What it is about; seldom wanted, and for the first time while `args` are there."""
        if self._scope is None:
            self._scope = _scope(self.name, self.args)
        return self._scope


class Health:
    """How a backend is, which `backend` gives.

    It is asked once at a time, by however many and however long it takes: a store that hangs keeps
    one thread for that, and not one more each time. An answer takes `seconds` at most.
    """

    def __init__(self, backend: Callable[[], Backend], seconds: float = HEALTH_SECONDS) -> None:
        self._backend = backend
        self._seconds = seconds
        self._asked: asyncio.Task[str | None] | None = None
        self._began = 0.0

    async def __call__(self) -> str | None:
        """What is wrong, in a few words; None: nothing."""
        loop = asyncio.get_running_loop()
        if self._asked is None or self._asked.done():
            self._asked, self._began = loop.create_task(self._say()), loop.time()
        asked = self._asked  # not cancelled: that would not end its thread
        await asyncio.wait({asked}, timeout=max(0.0, self._began + self._seconds - loop.time()))
        if not asked.done():
            return f"it has not said how it is for {loop.time() - self._began:.0f} s"
        return "it is being stopped" if asked.cancelled() else asked.result()

    async def _say(self) -> str | None:
        try:
            return await self._backend().health()
        except (OSError, FsError) as exc:
            return str(exc)
        except Exception as exc:  # of somebody else's code
            return f"{type(exc).__name__}: {exc}"

    def stop(self) -> None:
        """Wait for no answer any more: the backend is about to be stopped."""
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None


class Hosted(Wrap):
    """`below`, patiently. `name` is what it is called in the log."""

    shareable = True

    def __init__(self, below: Backend, name: str) -> None:
        super().__init__(below)
        self.inline = False
        self._name = f"{name}: {type(below).__name__}"
        #: Calls that have not ended; those of them whose callers were told to ask again.
        self._works: set[_Work] = set()
        self._late: set[_Work] = set()
        #: What callers who ask again find, by what the call is; results in the order of their ends.
        self._overdue: dict[Hashable, deque[_Work]] = {}
        self._results: dict[_Work, None] = {}
        self._results_bytes = 0
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
        said = (*args, kwargs) if kwargs else args
        work = self._take_over(name, ctx, said) if self._overdue else None
        if work is None:
            work = _Work(name, ctx, said, now)
            if name in CHANGES:
                self._outdate(work)
            if len(self._late) >= OVERDUE_CALLS:
                raise FsError(Status.JUKEBOX, f"{OVERDUE_CALLS} calls have not ended")
            work.verifier = self.below.verifier
            call = method(replace(ctx, deadline=now + patience), *args, **kwargs)
            work.task = loop.create_task(_exact(name, call, args))
            work.task.add_done_callback(partial(self._done, work))
            self._works.add(work)
        if not work.task.done():
            await self._wait(work, now + patience)
        result = work.task.result()
        if name == "write" and result.verifier is None:
            result.verifier = work.verifier
        return result

    async def _wait(self, work: _Work, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        work.waiter, work.deadline = loop.create_future(), deadline
        self._waiting += 1
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            await work.waiter
        finally:
            self._waiting -= 1
            work.waiter = None

    # Calls that are made again

    def _take_over(self, name: str, ctx: Context, args: tuple[Any, ...]) -> _Work | None:
        """The same call, if its caller was told to ask again: it is nobody else's from now on."""
        works = self._overdue.get(_key(name, ctx, args))
        if not works:
            return None
        work = works[0]
        self._withdraw(work)
        return work

    def _withdraw(self, work: _Work) -> None:
        """Let nobody find it any more."""
        works = self._overdue.get(work.key)
        if works is None or work not in works:
            return
        works.remove(work)
        if not works:
            del self._overdue[work.key]
        if work in self._results:
            del self._results[work]
            self._results_bytes -= work.size

    def _outdate(self, change: _Work, ended: bool = False) -> None:
        """A change begins, or has ended: what may be wrong after it is found no more. Of other
        changes, those whose callers were told to ask again before it began."""
        for work in (*self._works, *self._results):
            changes = work.name in CHANGES
            if changes and (ended or work.key is None):
                continue
            if work is not change and _touches(change.scope, work):
                work.outdated = True
                self._withdraw(work)

    def _done(self, work: _Work, task: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        self._late.discard(work)
        failure = None if task.cancelled() else task.exception()
        if failure is None and work.name in CHANGES:
            self._outdate(work, ended=True)
        work.args = ()
        if work.waiter is not None:
            if not work.waiter.done():
                work.waiter.set_result(None)
                return
        elif work not in self._overdue.get(work.key, ()):
            return
        if not isinstance(failure, (FsError, OSError, type(None))):
            log.error("%s.%s failed, late", self._name, work.name, exc_info=failure)
        if work in self._overdue.get(work.key, ()):
            self._keep(work, None if failure or task.cancelled() else task.result())

    def _keep(self, work: _Work, result: Any) -> None:
        """Have a result wait for its caller; those that have waited longest go for it."""
        keep = CHANGE_RESULT_SECONDS if work.name in CHANGES else RESULT_SECONDS
        work.expires = work.task.get_loop().time() + keep
        work.size = len(result.data) if isinstance(result, Data) else 0
        self._results[work] = None
        self._results_bytes += work.size
        while len(self._results) > RESULTS_KEPT or self._results_bytes > RESULTS_KEPT_BYTES:
            self._withdraw(next(iter(self._results)))

    def _sweep(self) -> None:
        """Have those ask again that have waited long enough; forget what nobody asks for."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for work in self._works:
            if work.waiter is not None and work.deadline <= now and not work.waiter.done():
                self._tell_to_ask_again(work, work.waiter, now)
        for work in [w for w in self._results if w.expires is not None and w.expires <= now]:
            self._withdraw(work)
        if self._stalled is not None and not self._late:
            log.info("%s: answers again, after %.0f s", self._name, now - self._stalled)
            self._stalled = None
        idle = not self._works and not self._overdue
        self._timer = None if idle else loop.call_later(SWEEP_SECONDS, self._sweep)

    def _tell_to_ask_again(self, work: _Work, waiter: asyncio.Future[None], now: float) -> None:
        if work.key is None:
            work.key, work._scope = _key(work.name, work.ctx, work.args), work.scope
        if not work.outdated:
            self._overdue.setdefault(work.key, deque()).append(work)
        self._late.add(work)
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
        waiter.exception()  # seen, also where the one who waited is being cancelled

    # Life cycle

    async def health(self) -> str | None:
        """What the backend says of itself, unless calls wait for it already."""
        if self._stalled is not None:
            seconds = asyncio.get_running_loop().time() - self._stalled
            return f"{len(self._late)} calls have not ended, the oldest for {seconds:.0f} s"
        return await super().health()

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


async def _exact(name: str, call: Coroutine[Any, Any, Any], args: tuple[Any, ...]) -> Any:
    """The result of `call`, if the operation may give it; lazy entries are taken here, as many as
    the server can use. Raises TypeError."""
    result = await call
    if not isinstance(result, RESULTS[name]):
        raise TypeError(f"{name} gave {type(result).__name__}")
    if isinstance(result, Listing):
        return listed(result, args[2])
    return result


def _key(name: str, ctx: Context, args: tuple[Any, ...]) -> Hashable:
    """What makes a call the same as one before: who asks, and for what."""
    who = ctx.uid, ctx.gid, ctx.groups, ctx.client, ctx.export
    return name, who, tuple(map(_hashable, args))


def _hashable(arg: Any) -> Hashable:
    if isinstance(arg, bytes) and len(arg) > _DIGEST_BYTES:
        return len(arg), blake2b(arg, digest_size=16).digest()
    if is_dataclass(arg) and not isinstance(arg, type):
        return astuple(arg)
    return tuple(arg.items()) if isinstance(arg, dict) else arg


class _Scope(NamedTuple):
    """What a call is about: files, names in directories, and of a file that is written, which
    bytes."""

    files: frozenset[Key]
    names: frozenset[tuple[Key, bytes]] = frozenset()
    bytes: tuple[int, int] | None = None


def _scope(name: str, args: tuple[Any, ...]) -> _Scope:
    keys = [arg for arg in args if isinstance(arg, Key)]
    names = [arg for arg in args if isinstance(arg, bytes)]
    if name == "rename":
        return _Scope(frozenset(), frozenset(zip(keys, names, strict=True)))
    if name == "link":
        return _Scope(frozenset(keys[:1]), frozenset({(keys[1], names[0])}))
    if name in _NAMING:
        return _Scope(frozenset(), frozenset({(keys[0], names[0])}))
    if name == "write":
        return _Scope(frozenset(keys), bytes=(args[1], args[1] + len(args[2])))
    return _Scope(frozenset(keys))


#: Changes of one name; they end with its attributes.
_NAMING = frozenset({"create", "mkdir", "symlink", "mknod", "remove", "rmdir"})


def _touches(scope: _Scope, work: _Work) -> bool:
    """Whether a change of `scope` may make an overdue call's result, or its effect, wrong."""
    other = work.scope
    if work.name in CHANGES:
        if scope.bytes is not None and other.bytes is not None:
            apart = scope.bytes[1] <= other.bytes[0] or other.bytes[1] <= scope.bytes[0]
            return not apart and scope.files == other.files
        return bool(scope.files & other.files or scope.names & other.names)
    if scope.names and work.name in _ATTRIBUTES:
        return True
    return bool(other.files & (scope.files | {dir for dir, _ in scope.names}))
