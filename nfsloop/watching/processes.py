"""What the processes of a server tell of it. Here it is one; `nfsloop.workers.told` has several."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.watching.clients import Use
    from nfsloop.watching.counts import Counts
    from nfsloop.watching.snapshot import Snapshot

# Nobody may ever ask, so nothing is imported for it before somebody does.


class Processes:
    """A server that is one process."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def snapshot(self) -> Snapshot:
        """What the server counts; its calls, from the first time on that somebody asks."""
        (found,) = await self.parts()
        return found

    async def parts(self) -> list[Snapshot]:
        """Of each process that answers, its own."""
        from nfsloop.watching.collect import collect

        return [collect(self._app, "server")]

    async def counts(self) -> Counts:
        """What the processes count all the time, together."""
        from nfsloop.watching.counts import Counts

        return Counts.of(self._app)

    async def uses(self) -> dict[str, Use]:
        """What each client has of the server just now, by its address."""
        from nfsloop.watching.clients import uses

        return uses(self._app)

    async def trouble(self, seconds: float) -> list[str]:
        """What keeps a process from serving, a line each; one that has not answered after
        `seconds` does not."""
        return []

    async def lines(self) -> list[str]:
        """What each process counts, for people, where there are several."""
        return []

    def restarts(self) -> dict[int, int]:
        """How often each worker was replaced, by its number, where there are any."""
        return {}
