"""`nfsloop trace` where there are several workers: each traces its own calls, and sends the home,
which is asked, the lines, a batch at a time. The next follows when there is room for it; so where
nobody reads, workers have no room either, and make nothing ready."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nfsloop.errors import ConfigError
from nfsloop.watching.sinks import Lines, dropped
from nfsloop.watching.trace import tracing
from nfsloop.watching.wanted import Filter
from nfsloop.workers.channel import Channel, ChannelError

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.workers.process import WorkerProcess

log = logging.getLogger("nfsloop.workers")

#: A worker may take so long to begin one; then the others go on without it.
SECONDS = 1.0

#: One whose lines cannot be sent tries it again after so long.
RETRY_SECONDS = 0.5


class Traces:
    """The home's end: the traces that go on. `workers` is the list that the home keeps."""

    def __init__(self, workers: Iterable[WorkerProcess]) -> None:
        self._workers = workers
        self._numbers = itertools.count()
        self._going: dict[int, tuple[Mapping[str, Any], Lines]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def traced(self, request: Mapping[str, Any], lines: Lines) -> AsyncIterator[None]:
        """See `App.traced`. The request has been checked."""
        number = next(self._numbers)
        self._going[number] = request, lines
        try:
            await asyncio.gather(*(self._begin(worker, number) for worker in self._serving))
            yield
        finally:
            del self._going[number]  # from now on, workers that have lines are told to end it
            lines.close()
            for worker in self._serving:
                self._later(self._end(worker, number))

    async def resume(self, worker: WorkerProcess) -> None:
        """A worker has begun to serve in another's place: it is to trace what the others do."""
        await asyncio.gather(*(self._begin(worker, number) for number in self._going))

    async def take(
        self, number: int, worker: int, batch: list[list[str]], missing: int = 0
    ) -> bool:
        """A worker has lines, behind which it has dropped `missing` events. Waits until there is
        room for them; whether more is wanted."""
        going = self._going.get(number)
        if going is None:
            return False
        lines = going[1]
        if missing:
            batch.append([dropped(missing, f" of worker {worker}")])
        if not await lines.room(sum(map(len, batch))):
            return False
        for event in batch:
            lines.put(event)
        return True

    @property
    def _serving(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.serves]

    async def _begin(self, worker: WorkerProcess, number: int) -> None:
        """One that does not is told of: its calls are missing. One that only hangs does when it
        goes on; another in its place is asked again."""
        if number not in self._going or worker.channel is None:
            return
        request, lines = self._going[number]
        try:
            await worker.channel.ask("trace", number, request, timeout=SECONDS)
        except TimeoutError:
            lines.put([f"… worker {worker.index} does not answer: not traced until it does"])
        except (ChannelError, ConfigError) as exc:
            if worker.up:
                lines.put([f"… worker {worker.index}: not traced: {exc}"])

    async def _end(self, worker: WorkerProcess, number: int) -> None:
        """One that cannot be told is when it has lines."""
        if worker.channel is not None:
            with contextlib.suppress(ChannelError, ConfigError, TimeoutError):
                await worker.channel.ask("untrace", number, timeout=SECONDS)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what nobody waits for; a channel's questions bound how many there are."""
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class WorkerTraces:
    """A worker's end: the traces that its home wants of the calls of worker `index`."""

    def __init__(self, home: Channel, index: int) -> None:
        self._home = home
        self._index = index
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self, app: App, number: int, request: Mapping[str, Any]) -> None:
        """Begin one. An export of it may be away just now: the home has seen it. Raises
        ConfigError."""
        wanted = Filter.parse(request, None)
        if number not in self._tasks:
            lines = Lines(f"[{self._index}] ")
            context = tracing(app, wanted, lines)
            context.__enter__()  # from now on, not from when the task begins
            work = self._send(number, lines)
            task = self._tasks[number] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(lambda _: context.__exit__(None, None, None))

    def end(self, number: int) -> None:
        """End one."""
        if (task := self._tasks.pop(number, None)) is not None:
            task.cancel()

    async def _send(self, number: int, lines: Lines) -> None:
        wanted = True
        while wanted:
            batch, missing = await lines.take()
            try:
                wanted = await self._home.ask("traced", number, self._index, batch, missing)
            except ChannelError as exc:  # it has more to do than it can
                log.debug("trace: %s", exc)
                lines.drop(len(batch) + missing)
                await asyncio.sleep(RETRY_SECONDS)
        self._tasks.pop(number, None)
