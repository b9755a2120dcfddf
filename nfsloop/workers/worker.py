"""A worker: serves NFS from sockets that its home has made, and ends with it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfsloop import logs
from nfsloop.app import (
    App,
    make_layer,
    open_cache,
    raise_descriptor_limit,
    settle_collector,
)
from nfsloop.config import Settings
from nfsloop.errors import ConfigError
from nfsloop.export import Export
from nfsloop.limits import SETTLE_CALLS
from nfsloop.nfs3.server import Nfs3Service
from nfsloop.watching.counts import Counts
from nfsloop.workers import rings
from nfsloop.workers.channel import Channel
from nfsloop.workers.claims import SharedNfs3Service
from nfsloop.workers.page import Page
from nfsloop.workers.process import TERMINAL
from nfsloop.workers.relay import Relay
from oncrpc import loop
from oncrpc.program import Program, Service

if TYPE_CHECKING:
    from nfsloop.watching.clients import Use
    from nfsloop.watching.snapshot import Snapshot
    from nfsloop.workers.traces import WorkerTraces

log = logging.getLogger("nfsloop.workers")


class WorkerApp(App):
    """The server of one worker, `index` of `workers`."""

    def __init__(
        self, settings: Settings, state: Path, worker: Worker, sockets: list[socket.socket]
    ) -> None:
        self._worker = worker
        layers = [make_layer(text) for text in settings.layers]
        super().__init__(settings, state, layers, sockets)
        self.served.after_start = self._share_verifier

    def _make_site(self) -> None:
        pass  # it is the home's

    def _before_start(self, export: Export) -> None:
        super()._before_start(export)
        export.backend.share()

    def _share_verifier(self, export: Export) -> None:
        self._worker.page.share_verifier(export.storage)  # the home has seen that it can be

    def _open(self) -> None:
        pass  # it is the home's

    def _side(self) -> list[tuple[Program, Service]]:
        home = self._worker.channel
        relays = [Relay(program, home) for program, _ in super()._side()]
        return [(relay.PROGRAM, relay) for relay in relays]

    def _nfs(self) -> Nfs3Service:
        row = self._worker.page.row(self._worker.index)
        return SharedNfs3Service(self.exports, self.handles, row)

    async def _recover(self) -> None:
        path = rings.paths(self.state, self._worker.workers)[self._worker.index]
        self.cache = open_cache(self.settings.drc, path)
        if self.cache is not None:
            await self.cache.recover(partial(self._settle, alone=False), SETTLE_CALLS)

    async def _listen(self) -> None:
        self._add_programs()

    def serve(self) -> None:
        """Take calls, when all workers have settled what was left to them."""
        self.port = self.server.listen_on(self.sockets)


class Worker:
    """A worker process. `given` is what its home has started it with: numbers of descriptors, and
    which worker it is."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.index: int = given["index"]
        self.workers: int = given["workers"]
        self.page = Page(self.workers, given["page"])
        self._given = given
        self._app: WorkerApp | None = None
        self._stop = asyncio.Event()
        #: What a stop does not wait for.
        self._starting: asyncio.Task[object] | None = None
        #: A reload that comes while it starts waits.
        self._changing = asyncio.Lock()
        self._traces: WorkerTraces | None = None
        self.channel = Channel(
            {"start": self._start, "serve": self._serve, "reload": self._reload,
             "status": self._status, "snapshot": self._snapshot, "uses": self._uses,
             "trace": self._trace, "untrace": self._untrace, "ping": self._ping}
        )  # fmt: skip

    async def run(self) -> None:
        """Do what the home asks, until it asks to stop, or is gone: then all ends at once, as a
        new home may be waiting for the state directory. What is lost by that the rings have."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        await self.channel.open(socket.socket(fileno=self._given["channel"]))
        self.channel.closed.add_done_callback(_orphaned)
        await self._stop.wait()
        if self._starting is not None:
            self._starting.cancel()
        async with self._changing:
            if self._app is not None:
                await self._app.stop(self._app.settings.stop_seconds)
        self.channel.closed.remove_done_callback(_orphaned)

    async def _start(self, settings: Settings, state: Path) -> None:
        async with self._changing:
            sockets = [socket.socket(fileno=number) for number in self._given["sockets"]]
            app = WorkerApp(settings, state, self, sockets)
            self._starting = asyncio.current_task()
            try:
                await app.start()
            except BaseException:
                self._starting = None
                await app.stop()
                raise
            self._starting = None
            self._app = app

    async def _serve(self) -> None:
        assert self._app is not None
        settle_collector()
        self._app.serve()

    async def _reload(self, settings: Settings) -> None:
        async with self._changing:
            if self._app is None:
                raise ConfigError("it has not started")
            await self._app.reload(settings)

    async def _status(self) -> Counts:
        return Counts.of(self._app) if self._app is not None else Counts()

    async def _snapshot(self) -> Snapshot:
        from nfsloop.watching.collect import collect  # nobody may ever look

        assert self._app is not None
        return collect(self._app, f"worker {self.index}")

    async def _uses(self) -> dict[str, Use]:
        from nfsloop.watching.clients import uses

        return uses(self._app) if self._app is not None else {}

    async def _trace(self, number: int, request: dict[str, Any]) -> None:
        from nfsloop.workers.traces import WorkerTraces

        if self._app is None:
            raise ConfigError("it has not started")
        if self._traces is None:
            self._traces = WorkerTraces(self.channel, self.index)
        self._traces.begin(self._app, number, request)

    async def _untrace(self, number: int) -> None:
        if self._traces is not None:
            self._traces.end(number)

    async def _ping(self) -> None:
        """That it answers is the answer."""


def _orphaned(closed: object) -> None:
    os._exit(1)


def main(given: dict[str, Any]) -> None:
    """The life of a worker process."""
    for number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL)
    for descriptor in (given["channel"], given["page"], given["lock"], *given["sockets"]):
        os.set_inheritable(descriptor, False)
    logs.start(given["log_level"], given["index"], given["log_format"])
    raise_descriptor_limit()
    loop.run(_main(given), given["loop"])


async def _main(given: dict[str, Any]) -> None:
    await Worker(given).run()
