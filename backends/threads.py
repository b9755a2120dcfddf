"""Blocking backends: their calls run in threads, and the event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from backends.base import OPERATIONS, Backend, Context, Key, Listing
from backends.cookies import listed

T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]

#: What a stop takes where calls hang in a backend's threads; within `stopping`, what is left.
STOP_SECONDS = 3.0

#: The least that a backend has for its own `stop` where calls hang, after others took all the time.
STOP_LEAST_SECONDS = 0.25

_end: ContextVar[float | None] = ContextVar("nfsloop-stop-end", default=None)


@contextlib.contextmanager
def stopping(seconds: float) -> Iterator[None]:
    """Backends that are stopped in the ``with`` wait for calls that hang `seconds` in all, whoever
    comes first. In the event loop."""
    token = _end.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _end.reset(token)


def stop_seconds() -> float:
    """What is left of a stop's time."""
    end = _end.get()
    return STOP_SECONDS if end is None else max(0.0, end - asyncio.get_running_loop().time())


log = logging.getLogger("nfsloop.backend")

_numbers = itertools.count(1)

#: Called first in each new thread. The posix backend has it be the process itself: a thread
#: inherits from its maker whom that acts as, and that may be a caller.
STARTERS: list[Callable[[], None]] = []


class Pool:
    """Threads that run functions for an event loop.

    They are daemons: a call that hangs for ever does not keep the process from ending, as those of
    `concurrent.futures` do. Used from the event loop alone.
    """

    def __init__(self, threads: int, name: str) -> None:
        if threads < 1:
            raise ValueError(f"{name}: threads is {threads}, and must be 1 or more")
        self._name = f"{name}-{next(_numbers)}"
        self._most = threads
        self._threads = 0
        self._unfinished = 0
        self._idle: asyncio.Future[None] | None = None
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def run(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """The result of ``function(*args)``, which runs in a thread as soon as one is free.

        Cancelling the future takes it out of the queue; what runs already goes on.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._threads < min(self._most, self._unfinished + 1):
            self._grow()
        self._unfinished += 1
        self._queue.put((loop, future, function, args))
        return future

    def _grow(self) -> None:
        """One thread more. Raises OSError EAGAIN if the system gives none, and there is none."""
        name = f"{self._name}-{self._threads + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
            self._threads += 1
        except RuntimeError as exc:
            if not self._threads:
                raise OSError(errno.EAGAIN, str(exc)) from exc

    @property
    def unfinished(self) -> int:
        """How many functions have not ended, those that wait for a thread too."""
        return self._unfinished

    async def idle(self, seconds: float) -> bool:
        """Wait until all have ended; False if they have not within so many seconds."""
        if self._unfinished:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._idle}, timeout=seconds)
        return not self._unfinished

    @property
    def busy(self) -> bool:
        """Whether what is given to it now must wait for a thread."""
        return self._unfinished >= self._most

    def close(self) -> None:
        """Let the threads end, each when its call does."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        for start in STARTERS:
            start()
        while True:
            job = self._queue.get()
            if job is None:
                return
            self._do(*job)
            del job  # and with it the data, until the next one comes

    def _do(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        result, failure = None, None
        if not future.cancelled():
            try:
                result = function(*args)
            except BaseException as exc:
                failure = _plain(exc)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._land, future, result, failure)

    def _land(self, future: asyncio.Future[Any], result: object, failure: Exception | None) -> None:
        self._unfinished -= 1
        if not self._unfinished and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def _plain(exc: BaseException) -> Exception:
    """What may be raised in the event loop without ending it, or looking like a cancellation."""
    if isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        return exc
    failure = RuntimeError(f"{type(exc).__name__} in a thread")
    failure.__cause__ = exc
    return failure


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits. Raises TypeError if it does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    name = getattr(coroutine, "__qualname__", "a method")
    coroutine.close()
    raise TypeError(f"{name} awaits, though its backend says that it is blocking")


class Threaded(Backend):
    """A blocking backend as one that waits: each call runs whole in one of its threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pool = Pool(backend.threads, type(backend).__name__)
        self.patience = backend.patience
        self._adopt()
        for name in (*OPERATIONS, "health", "fsck"):
            if name != "readdir":
                setattr(self, name, partial(self._call, getattr(backend, name)))

    def __getattr__(self, name: str) -> Any:
        if name == "_backend":  # not there yet
            raise AttributeError(name)
        return getattr(self._backend, name)

    def _adopt(self) -> None:
        self.limits = self._backend.limits
        self.persistent = self._backend.persistent
        self.shareable = self._backend.shareable

    async def _call(
        self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> T:
        return await self._pool.run(_finish, partial(method, *args, **kwargs))

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """The backend's listing, its entries taken from it in the thread."""
        args = (ctx, dir, cookie, count, plus)
        return await self._pool.run(_list, self._backend, args)

    async def start(self) -> None:
        """Start the backend, in a thread."""
        try:
            await self._call(self._backend.start)
        except BaseException:
            self._pool.close()
            raise
        self._adopt()

    def describe(self) -> str:
        """What the backend says."""
        return self._backend.describe()

    def set_sync(self, sync: bool) -> None:
        """See `Backend.set_sync`."""
        self._backend.set_sync(sync)

    def share(self) -> None:
        """See `Backend.share`."""
        self._backend.share()

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`."""
        return self._backend.statistics()

    async def stop(self) -> None:
        """Stop the backend, in a thread; the threads end.

        Calls that were cut off go on in their threads, as none can be ended: they have two thirds
        of `STOP_SECONDS`. Where one hangs for longer, the backend's own `stop` has the rest of it,
        and none where they hang in all threads; then it is logged that it was not stopped. A
        backend whose calls have ended takes its time.
        """
        name, seconds = type(self._backend).__name__, stop_seconds()
        try:
            patience: float | None = None
            if not await self._pool.idle(seconds * 2 / 3):
                log.warning("%s: %d calls hang in its threads", name, self._pool.unfinished)
                patience = 0.0 if self._pool.busy else max(seconds / 3, STOP_LEAST_SECONDS)
            stopped = self._pool.run(_finish, self._backend.stop)
            await asyncio.wait({stopped}, timeout=patience)
            if stopped.done():
                stopped.result()
            else:  # it goes on, or begins once a thread comes free
                log.error("%s was not stopped: calls hang in its threads", name)
        finally:
            self._pool.close()


def _finish(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return finish(call())


def _list(backend: Backend, args: tuple[Context, Key, int, int, bool]) -> Listing:
    """A listing with entries that are there: as many as the server can use."""
    return listed(finish(backend.readdir(*args)), args[3])
