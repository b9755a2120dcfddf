"""An event loop on a virtual clock: it never sleeps, and does the same things for the same seed."""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

#: Turns of the loop at one instant of the clock: more is a program that spins.
TURNS_AT_ONCE = 100_000
#: Virtual seconds after which a program that only waits is taken for hung: a year.
LATEST_SECONDS = 365 * 86400.0
#: Cancelled timers are cleared away when there are more than this, and more than live ones.
CANCELLED_TIMERS = 64


class Deadlock(RuntimeError):
    """Nothing can happen any more, and the program has not ended. Its text names the seed."""


class Crash(BaseException):
    """A host dies here (`Host.die`). A BaseException, because no handler may survive it."""


class Life:
    """One run of a host's processes, from boot to crash. All that they schedule carries it."""

    __slots__ = ("context", "host", "over", "prune_at", "tasks")

    def __init__(self, host: Any) -> None:
        self.host = host
        self.over = False
        #: Tasks that may be waiting; at a crash they are kept, unfinished.
        self.tasks: list[asyncio.Task[Any]] = []
        self.prune_at = 64
        self.context = copy_context()
        self.context.run(LIFE.set, self)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Remember a task, forget those that are done."""
        tasks = self.tasks
        tasks.append(task)
        if len(tasks) > self.prune_at:
            self.tasks = [task for task in tasks if not task.done()]
            self.prune_at = 2 * len(self.tasks) + 64


#: Whose code runs; None: the test's own.
LIFE: ContextVar[Life | None] = ContextVar("oncrpc.testing.life", default=None)


class Pollable(Protocol):
    """What the loop watches."""

    def can_read(self) -> bool:
        """Whether a read would not block."""

    def can_write(self) -> bool:
        """Whether a write would not block."""


class VirtualExecutor(Executor):
    """Runs functions on the loop's own thread: at once, or after `delay()` virtual seconds."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, delay: Callable[[], float] | None = None
    ) -> None:
        self._loop = loop
        self._delay = delay

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """See `Executor.submit`."""
        future: Future[T] = Future()
        seconds = self._delay() if self._delay is not None else 0.0
        if seconds > 0.0:
            self._loop.call_later(seconds, _settle, future, fn, args, kwargs)
        else:
            _settle(future, fn, args, kwargs)
        return future


def _settle(future: Future[T], fn: Callable[..., T], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except Exception as exc:
        future.set_exception(exc)
    else:
        future.set_result(result)


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's loop without a selector and without a wall clock.

    Callbacks run in the order in which they were scheduled; when none is ready, the clock jumps to
    the next timer. Sockets are simulated (`Network`) and level-triggered, as with epoll. Threads
    are none: `run_in_executor` goes to `executor`, whatever executor is named.

    Where nothing is ready and nothing is scheduled, `Deadlock` is raised that names `seed`.
    """

    # asyncio's own, unchanged since Python 3.4.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self, seed: object = None) -> None:
        super().__init__()
        self.seed = seed
        #: What `run_in_executor` uses.
        self.executor: Executor = VirtualExecutor(self)
        #: Contexts of exceptions that nobody caught; `simulate` raises the first.
        self.failures: list[dict[str, Any]] = []
        #: Makes connections and datagram endpoints; the `Network` puts itself here.
        self.network: Any = None
        #: Tasks of hosts that crashed: kept, so that no finally-clause of theirs ever runs.
        self.buried: list[asyncio.Task[Any]] = []
        self._now = 0.0
        self._turns = 0
        self._thread = threading.get_ident()
        self._sockets: dict[int, Pollable] = {}
        self._next_fd = 1000
        self._readers: dict[int, asyncio.Handle] = {}
        self._writers: dict[int, asyncio.Handle] = {}
        #: Descriptors of which something may have become ready, in order.
        self._touched: dict[int, None] = {}

    # The clock and the turns

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if self._touched:
            self._poll()
        if not ready:
            if self._stopping:  # type: ignore[attr-defined]
                return
            self._advance()
        elif self._turns > TURNS_AT_ONCE:
            raise Deadlock(f"seed {self.seed}: the program spins at {self._now:.6f} s: {ready[0]}")
        self._turns += 1
        now = self._now
        while scheduled and scheduled[0].when() <= now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            life = handle._context.get(LIFE)  # type: ignore[attr-defined]
            if life is None or not life.over:
                handle._run()

    def _advance(self) -> None:
        """Nothing is ready: go on to the next timer."""
        scheduled = self._scheduled
        if self._timer_cancelled_count > max(CANCELLED_TIMERS, len(scheduled) // 2):
            live = [timer for timer in scheduled if not timer._cancelled]
            heapq.heapify(live)
            scheduled[:] = live
            self._timer_cancelled_count = 0
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
            self._timer_cancelled_count -= 1
        if not scheduled or scheduled[0].when() > LATEST_SECONDS:
            what = "waits for ever" if not scheduled else "only waits"
            raise Deadlock(f"seed {self.seed}: the program {what} at {self._now:.6f} s")
        if scheduled[0].when() > self._now:
            self._now = scheduled[0].when()
            self._turns = 0

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        """Nothing sleeps, so nobody need be woken."""

    # Sockets

    def register(self, sock: Pollable) -> int:
        """A descriptor for a simulated socket."""
        self._next_fd += 1
        self._sockets[self._next_fd] = sock
        return self._next_fd

    def unregister(self, fd: int) -> None:
        """The socket was closed."""
        self._sockets.pop(fd, None)
        self._readers.pop(fd, None)
        self._writers.pop(fd, None)
        self._touched.pop(fd, None)

    def touch(self, fd: int) -> None:
        """Something happened to a socket: look whether it is ready."""
        if fd in self._readers or fd in self._writers:
            self._touched[fd] = None

    def _poll(self) -> None:
        ready, readers, writers = self._ready, self._readers, self._writers
        for fd in list(self._touched):
            sock = self._sockets[fd]
            again = False
            if (handle := readers.get(fd)) is not None and sock.can_read():
                ready.append(handle)
                again = True
            if (handle := writers.get(fd)) is not None and sock.can_write():
                ready.append(handle)
                again = True
            if not again:
                del self._touched[fd]

    def add_reader(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """See asyncio; `fd` is a simulated socket or its number."""
        self._watch(self._readers, fd, callback, args)

    def remove_reader(self, fd: Any) -> bool:
        """See asyncio."""
        return self._unwatch(self._readers, fd)

    def add_writer(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """See asyncio; `fd` is a simulated socket or its number."""
        self._watch(self._writers, fd, callback, args)

    def remove_writer(self, fd: Any) -> bool:
        """See asyncio."""
        return self._unwatch(self._writers, fd)

    def _watch(
        self, table: dict[int, asyncio.Handle], fd: Any, callback: Callable[..., Any], args: Any
    ) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        if number not in self._sockets:
            raise ValueError(f"{fd!r} is no open simulated socket")
        old = table.get(number)
        if old is not None:
            old.cancel()
        table[number] = asyncio.Handle(callback, args, self)
        self._touched[number] = None

    @staticmethod
    def _unwatch(table: dict[int, asyncio.Handle], fd: Any) -> bool:
        handle = table.pop(fd if isinstance(fd, int) else fd.fileno(), None)
        if handle is None:
            return False
        handle.cancel()
        return True

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """A TCP connection through the network: see `Network.create_connection`."""
        return await self.network.create_connection(*args, **kwargs)

    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> Any:
        """A UDP socket in the network: see `Network.create_datagram_endpoint`."""
        return await self.network.create_datagram_endpoint(*args, **kwargs)

    # Tasks and threads

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """See asyncio; the task is its host's, and ends with it."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        context: Context | None = options.get("context")
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None:
            life.adopt(task)
        return task

    def bury(self, life: Life) -> None:
        """A host crashed: its tasks never go on, nor are they missed."""
        for task in life.tasks:
            if not task.done():
                asyncio._unregister_task(task)
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self.buried.append(task)
        life.tasks = []

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """`call_soon`. Raises RuntimeError in another thread, whose timing no seed repeats."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("a thread in a simulation: give the program a VirtualExecutor")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func` by `self.executor`, whatever `executor` is."""
        return asyncio.wrap_future(self.executor.submit(func, *args), loop=self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Collect what nobody caught in `failures`; a `Crash` has done its work already."""
        if not isinstance(context.get("exception"), Crash):
            self.failures.append(context)

    def close(self) -> None:
        """Close. Only now are the finally-clauses of buried tasks run, when nothing hears them."""
        buried, self.buried = self.buried, []
        self._readers.clear()
        self._writers.clear()
        for task in buried:
            coro = task.get_coro()
            try:
                if coro is not None:
                    coro.close()
            except BaseException:
                pass
        super().close()
