"""What the workers tell of the server: each of its own calls and connections, to the home, which is
asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nfsloop.commands import ILL
from nfsloop.limits import METER_SECONDS, READY_ASK_SECONDS
from nfsloop.watching.clients import Use, together
from nfsloop.watching.counts import Counts
from nfsloop.watching.processes import Processes
from nfsloop.watching.snapshot import Process, Snapshot
from nfsloop.watching.totals import Totals
from nfsloop.workers.channel import ChannelError

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.workers.process import WorkerProcess

#: A worker may take so long to say what it counts.
STATUS_SECONDS = 5.0


class ToldByWorkers(Processes):
    """A server of several processes. `workers` is the list that the home keeps."""

    def __init__(self, home: App, workers: Sequence[WorkerProcess]) -> None:
        super().__init__(home)
        self._workers = workers
        self._totals = Totals()
        self._looked = 0.0

    async def snapshot(self) -> Snapshot:
        """See `Processes`: all together, those that are gone too."""
        now = asyncio.get_running_loop().time()
        if now - self._looked > METER_SECONDS:  # nobody has; the workers count anew
            self._totals = Totals()
        self._looked = now
        return self._totals.add(await self.parts())

    async def parts(self) -> list[Snapshot]:
        """See `Processes`."""
        up = [worker for worker in self._workers if worker.up]
        asked = (self._asked(worker, "snapshot", READY_ASK_SECONDS) for worker in up)
        found = await asyncio.gather(*asked)
        own = Snapshot(counts=Counts.of(self._app), processes={"home": Process.here()})
        return [own, *(part for part in found if isinstance(part, Snapshot))]

    async def counts(self) -> Counts:
        """See `Processes`: of those that answer."""
        return self._sum(await self._counts())

    async def uses(self) -> dict[str, Use]:
        """See `Processes`: of those that answer."""
        found = await asyncio.gather(*(self._asked(w, "uses") for w in self._workers))
        return together(part for part in found if isinstance(part, dict))

    async def trouble(self, seconds: float) -> list[str]:
        """See `Processes`."""
        lines = await asyncio.gather(*(self._trouble(w, seconds) for w in self._workers))
        return [line for line in lines if line is not None]

    async def _trouble(self, worker: WorkerProcess, seconds: float) -> str | None:
        if not worker.up or worker.channel is None:
            return f"worker {worker.index}{ILL}it is being replaced"
        try:
            await worker.channel.ask("ping", timeout=seconds)
        except (ChannelError, TimeoutError):
            return f"worker {worker.index}{ILL}it does not answer"
        return None

    async def lines(self) -> list[str]:
        """See `Processes`: a line for each worker, and their sums."""
        counts = await self._counts()
        lines: list[str] = []
        for worker, own in zip(self._workers, counts, strict=True):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(worker.since))
            line = (
                f"worker {worker.index}: process {worker.pid} since {since}, "
                f"replaced {worker.restarts} times"
            )
            if own is None:
                gone = worker.channel is None or worker.channel.closed.done()
                line += ILL + ("it is being replaced" if gone else "it does not answer")
            else:
                line += f": {own.lines()[0]}"
            lines.append(line)
        return [*lines, *(f"all workers: {line}" for line in self._sum(counts).lines())]

    def restarts(self) -> dict[int, int]:
        """See `Processes`."""
        return {worker.index: worker.restarts for worker in self._workers}

    async def _counts(self) -> list[Counts | None]:
        found = await asyncio.gather(*(self._asked(w, "status") for w in self._workers))
        return [part if isinstance(part, Counts) else None for part in found]

    def _sum(self, counts: Sequence[Counts | None]) -> Counts:
        # The home's own are what MOUNT has refused.
        return Counts.sum([Counts.of(self._app), *(own for own in counts if own is not None)])

    async def _asked(
        self, worker: WorkerProcess, name: str, timeout: float = STATUS_SECONDS
    ) -> object:
        """A worker's answer; None if it gives none."""
        if worker.channel is None:
            return None
        try:
            return await worker.channel.ask(name, timeout=timeout)
        except (ChannelError, TimeoutError):
            return None
