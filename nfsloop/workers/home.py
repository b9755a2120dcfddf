"""The parent of the workers: it starts them, replaces one that dies, and is the one home of what
there is one of: the state directory, the portmapper, the list of mounts, the control socket.

It takes no NFS calls. It has the backends started all the same: to give out root handles, and to
settle what a dead worker left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfsloop import logs
from nfsloop.app import App, raise_descriptor_limit
from nfsloop.config import STOP_SECONDS, Settings
from nfsloop.errors import ConfigError
from nfsloop.export import Export
from nfsloop.limits import PING_SECONDS, SILENT_SECONDS, STOP_REST_SECONDS
from nfsloop.workers import rings
from nfsloop.workers.channel import ChannelError
from nfsloop.workers.page import Page
from nfsloop.workers.process import WorkerProcess
from nfsloop.workers.relay import RELAY, Relayed
from nfsloop.workers.shares import settings_of
from nfsloop.workers.steer import Group
from nfsloop.workers.told import STATUS_SECONDS, ToldByWorkers
from oncrpc.net import host_port

if TYPE_CHECKING:
    from nfsloop.watching.sinks import Lines
    from nfsloop.workers.traces import Traces

log = logging.getLogger("nfsloop.workers")

#: A worker may take so long to start its backends, and to reload.
START_SECONDS = 60.0


class Home(App):
    """The server of a server's home. `lock` is the state directory's descriptor: as long as any
    worker lives, the directory is held."""

    def __init__(self, settings: Settings, state: Path, lock: int) -> None:
        if settings.rpcbind == "port":
            raise ConfigError(
                "--rpcbind port is for one process: with --workers, use builtin (port 111) or none"
            )
        super().__init__(settings, state)
        count = settings.workers
        self.served.after_start = self._check
        self._group = Group(count)
        self._lock = lock
        self._workers: list[WorkerProcess] = []
        self.processes = ToldByWorkers(self, self._workers)
        self._tending: list[asyncio.Task[None]] = []
        self._traces: Traces | None = None
        #: The settings that a worker is to have now.
        self._now = settings
        try:
            self._page = Page(count)
        except OSError as exc:
            raise ConfigError(f"shared memory: {exc.strerror}") from None

    # What the processes share

    def _before_start(self, export: Export) -> None:
        export.backend.share()  # and is not timed: workers take the calls

    def _check(self, export: Export) -> None:
        if not export.backend.shareable or not self._page.share_verifier(export.storage):
            raise ConfigError(
                f"{export.path} cannot be served by several processes "
                f"({export.backend.describe()}): use --workers 1 for it"
            )

    # Life cycle

    async def start(self) -> None:
        """See `App.start`. The workers are made first: they import what they need meanwhile."""
        self._bind()
        for index, sockets in enumerate(self._group.of):
            worker = WorkerProcess(
                index,
                len(self._group.of),
                sockets,
                {"page": self._page.descriptor, "lock": self._lock},
                self.settings.log_level,
                self.settings.log_format,
                self.settings.loop,
            )
            self._workers.append(worker)
            await self._launch(worker)
        await super().start()

    def _bind(self) -> None:
        host, port = self.settings.host, self.settings.port
        try:
            self.port = self._group.bind(host, port, socket.SOCK_STREAM)
            if self.settings.udp:
                self._group.bind(host, self.port, socket.SOCK_DGRAM)
        except (OSError, ValueError) as exc:
            where = host_port(host or "*", port)
            why = getattr(exc, "strerror", None) or exc
            raise ConfigError(f"cannot listen on {where}: {why}") from None

    async def _launch(self, worker: WorkerProcess) -> None:
        relayed = Relayed(self.server.dispatcher)
        await worker.launch({RELAY: relayed.__call__, "traced": self._take_lines})

    async def _recover(self) -> None:
        drc = self.settings.drc
        settle = partial(self._settle, alone=False)
        await rings.prepare(self.state, len(self._workers), drc, settle)

    async def _listen(self) -> None:
        self._add_programs()
        await asyncio.gather(*(self._begin(worker) for worker in self._workers))
        await asyncio.gather(*(self._serve(worker) for worker in self._workers))
        for worker in self._workers:
            task = asyncio.get_running_loop().create_task(self._tend(worker))
            self._tending.append(task)

    async def _begin(self, worker: WorkerProcess) -> None:
        """Have a new worker start what it needs, and settle. Raises ConfigError."""
        settings = settings_of(self._now, len(self._workers))
        worker.told = True
        await self._ask(worker, "start", settings, self.state)

    async def _serve(self, worker: WorkerProcess) -> None:
        """Have it take calls. Raises ConfigError."""
        await self._ask(worker, "serve")
        worker.serves = True
        if self._traces is not None:
            await self._traces.resume(worker)

    async def _ask(
        self, worker: WorkerProcess, name: str, *args: object, timeout: float = START_SECONDS
    ) -> None:
        assert worker.channel is not None
        try:
            await worker.channel.ask(name, *args, timeout=timeout)
        except (ChannelError, TimeoutError) as exc:
            raise ConfigError(f"worker {worker.index}: {name}: {exc}") from None

    async def stop(self, timeout: float = STOP_SECONDS, rest: float = STOP_REST_SECONDS) -> None:
        """See `App.stop`. The workers finish their calls, for which they may need the home; it has
        what they leave of the time."""
        self.phase = "stopping"
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout + rest
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        if self.rpcbind is not None:
            await self.rpcbind.stop()
            self.rpcbind = None
        self._group.close()
        for worker in self._workers:
            worker.terminate()
        await asyncio.gather(*(worker.end(timeout + rest) for worker in self._workers))
        left = max(0.0, end - loop.time())
        await super().stop(min(timeout, left), min(rest, left))
        self._page.close()

    # Workers that die

    async def _tend(self, worker: WorkerProcess) -> None:
        """Replace a worker whenever it ends."""
        while True:
            watch = asyncio.get_running_loop().create_task(self._watch(worker))
            try:
                status = await worker.ended()
            finally:
                watch.cancel()
            pause = worker.pause()
            after = f"; another begins in {pause:g} s" if pause else ""
            log.error("worker %d has %s%s", worker.index, _how(status), after)
            await self._bury(worker.index)
            await asyncio.sleep(pause)
            worker.restarts += 1
            try:
                await self._launch(worker)
                await self._begin(worker)
                await self._serve(worker)
            except Exception as exc:
                bug = None if isinstance(exc, ConfigError) else exc
                log.error("worker %d: %s", worker.index, exc, exc_info=bug)
                worker.kill()

    async def _watch(self, worker: WorkerProcess) -> None:
        """Kill a worker that serves, and of which nothing is heard for too long."""
        channel, silent = worker.channel, 0.0
        assert channel is not None
        while silent < SILENT_SECONDS and not channel.closed.done():
            heard = channel.heard
            try:
                if worker.serves:
                    await channel.ask("ping", timeout=PING_SECONDS)
                heard = -1
                await asyncio.sleep(PING_SECONDS)
            except TimeoutError:
                pass
            except ChannelError:  # too much waits to be written
                await asyncio.sleep(PING_SECONDS)
            silent = silent + PING_SECONDS if channel.heard == heard else 0.0
        if not channel.closed.done():
            log.error("worker %d has been silent for %g s, and is killed", worker.index, silent)
            worker.kill()

    async def _bury(self, index: int) -> None:
        """Put right what a worker left that is no more."""
        # Nobody has the files open through which the kernel would tell that writing back failed.
        self._page.renew()
        if self.settings.drc.enabled:
            path = rings.paths(self.state, len(self._workers))[index]
            try:
                settle = partial(self._settle, alone=False)
                await rings.settle(path, self.settings.drc, settle)
            except Exception as exc:  # whatever is in the file: there must be another worker
                bug = None if isinstance(exc, OSError) else exc
                why = "calls that were cut off may be executed again"
                log.error("%s: %s: %s", path, exc, why, exc_info=bug)
        self._page.row(index).release()

    # What is asked of a running server

    async def reload(self, settings: Settings) -> list[str]:
        """See `App.reload`. The home goes first: what it refuses, no worker hears of."""
        lines = await super().reload(settings)
        self._now = replace(self._now, exports=settings.exports, options=settings.options)
        wrong = await asyncio.gather(*(self._reload(worker) for worker in self._workers))
        return [*lines, *filter(None, wrong)]

    async def _reload(self, worker: WorkerProcess) -> str:
        """Have a worker do it, or be replaced by one that does; then a line that says so."""
        if not worker.told or worker.channel is None or worker.channel.closed.done():
            return ""  # it will be told these, or the next one will
        settings = settings_of(self._now, len(self._workers))
        try:
            if worker.serves:  # who hangs is not waited for
                await self._ask(worker, "ping", timeout=STATUS_SECONDS)
            await self._ask(worker, "reload", settings)
        except ConfigError as exc:
            why = "; ".join(exc.problems).removeprefix(f"worker {worker.index}: ")
            line = f"worker {worker.index} did not take it, and is replaced: {why}"
            log.error("reload: %s", line)
            await worker.replace()
            return line
        return ""

    async def _take_lines(self, *batch: Any) -> bool:
        """What a worker has traced; whether more is wanted."""
        return self._traces is not None and await self._traces.take(*batch)

    @contextlib.asynccontextmanager
    async def traced(self, request: Mapping[str, Any], lines: Lines) -> AsyncIterator[None]:
        """See `App.traced`: of all workers."""
        if self._traces is None:
            from nfsloop.workers.traces import Traces  # nobody may ever look

            self._traces = Traces(self._workers)
        async with self._traces.traced(request, lines):
            yield

    def _meter(self) -> None:
        # It takes no calls but those that workers sent on, and counted.
        if self.settings.trace:
            logs.behind()  # they may fill what it writes to as well

    def describe(self) -> list[str]:
        """See `App.describe`."""
        first, *rest = super().describe()
        return [f"{first}, by {len(self._workers)} workers", *rest]


def _how(status: int) -> str:
    """How a process ended, for the log."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(-status).name}"
    return f"ended with status {status}"


@contextlib.asynccontextmanager
async def running(settings: Settings, state: Path, lock: int) -> AsyncIterator[Home]:
    """A `Home` that is started, and stopped at the end of the ``async with``."""
    raise_descriptor_limit()
    home = Home(settings, state, lock)
    try:
        await home.start()
        yield home
    finally:
        await home.stop(settings.stop_seconds)
