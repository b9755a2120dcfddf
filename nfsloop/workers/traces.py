"""`nfsloop trace` where there are several workers: each traces its own calls, and sends the home,
which is asked, the lines, a batch at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nfsloop.errors import ConfigError
from nfsloop.watching.trace import Lines, tracing
from nfsloop.watching.wanted import Filter
from nfsloop.workers.channel import Channel, ChannelError

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.workers.process import WorkerProcess

log = logging.getLogger("nfsloop.workers")

#: A worker may take so long to begin or to end one, and the home to take lines.
SECONDS = 5.0


class Traces:
    """The home's end: the traces that go on. `workers` is the list that the home keeps."""

    def __init__(self, workers: Iterable[WorkerProcess]) -> None:
        self._workers = workers
        self._numbers = itertools.count()
        self._going: dict[int, tuple[Mapping[str, Any], Lines]] = {}

    @contextlib.asynccontextmanager
    async def traced(self, request: Mapping[str, Any], lines: Lines) -> AsyncIterator[None]:
        """See `App.traced`."""
        number = next(self._numbers)
        self._going[number] = request, lines
        try:
            await self._ask_all("trace", number, request)
            yield
        finally:
            del self._going[number]  # from now on, workers that have lines are told to end it
            await self._ask_all("untrace", number)

    async def resume(self, worker: WorkerProcess) -> None:
        """A worker has begun to serve in another's place: it is to trace what the others do."""
        for number, (request, _) in list(self._going.items()):
            await self._ask(worker, "trace", number, request)

    def take(self, number: int, batch: list[list[str]]) -> bool:
        """A worker has lines: whether more is wanted."""
        going = self._going.get(number)
        if going is None:
            return False
        for event in batch:
            going[1].put(event)
        return True

    async def _ask_all(self, name: str, *args: object) -> None:
        serving = [worker for worker in self._workers if worker.serves]
        await asyncio.gather(*(self._ask(worker, name, *args) for worker in serving))

    async def _ask(self, worker: WorkerProcess, name: str, *args: object) -> None:
        """One that does not answer is not waited for: it hangs, or is replaced and asked again."""
        if worker.channel is None:
            return
        try:
            await worker.channel.ask(name, *args, timeout=SECONDS)
        except (ChannelError, ConfigError, TimeoutError) as exc:
            log.debug("worker %d: %s: %s", worker.index, name, exc)


class WorkerTraces:
    """A worker's end: the traces that its home wants of the calls of worker `index`."""

    def __init__(self, home: Channel, index: int) -> None:
        self._home = home
        self._index = index
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self, app: App, number: int, request: Mapping[str, Any]) -> None:
        """Begin one. Raises ConfigError."""
        wanted = Filter.parse(request, app.exports)
        if number not in self._tasks:
            lines = Lines(f"[{self._index}] ", f" of worker {self._index}")
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
            batch = await lines.take()
            try:
                wanted = await self._home.ask("traced", number, batch, timeout=SECONDS)
            except (ChannelError, TimeoutError):  # it has more to do than it can
                lines.drop(len(batch))
        self._tasks.pop(number, None)
