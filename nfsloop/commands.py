"""What `nfsloop` does besides serving: check settings, have the server read them again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

from backends.posix import creds
from nfsloop.app import App
from nfsloop.config import ConfigError, Settings, default_state
from nfsloop.control import ask
from nfsloop.hosts import Kind
from nfsloop.names import NameCache, SystemLookups
from nfsloop.sources import Gathered, Sources, gather, settings

log = logging.getLogger("nfsloop")


def check(sources: Sources) -> tuple[int, list[str]]:
    """`nfsloop check`: the exit status, and lines that say what would be exported, or what is
    wrong."""
    found = gather(sources)
    lines = [*found.errors, *found.warnings]
    if not found.errors:
        missing = asyncio.run(_unresolved(found))
        lines += [f"warning: {name} has no address (now)" for name in missing]
        lines += _exports(found)
    errors = len(found.errors)
    lines.append(f"{errors} error{'s' * (errors > 1)}" if errors else "no errors")
    return (1 if errors else 0), lines


def _exports(found: Gathered) -> list[str]:
    lines: list[str] = []
    for spec in found.specs:
        lines.append(f"{spec.path}: {spec.storage}")
        if spec.clients is None:
            lines.append(f"    * ({found.values['options']})")
        for client in spec.clients or ():
            lines.append(f"    {client.host.text} ({client.options})")
    return lines


async def _unresolved(found: Gathered) -> list[str]:
    """Host names of the exports that have no address."""
    names = {
        client.host.name
        for spec in found.specs
        for client in spec.clients or ()
        if client.host.kind is Kind.HOST and client.host.network is None
    }
    if not names:
        return []
    lookups = SystemLookups()
    cache = NameCache(lookups)
    try:
        return await cache.load(sorted(names))
    finally:
        await cache.stop()
        lookups.close()


class Reload:
    """Has a running server read its sources again, one time after the other."""

    def __init__(self, app: App, sources: Sources) -> None:
        self._app = app
        self._sources = sources
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        #: Reloads are numbered as they begin: how many did, and the last that had its effect.
        self._begun = 0
        self._done = 0

    async def run(self) -> list[str]:
        """Do it; what was changed, a line each. Raises ConfigError, and then nothing was."""
        self._begun += 1
        number = self._begun
        try:
            # In a thread, as storage may hang; and as the process itself, not as some caller.
            new = await asyncio.get_running_loop().run_in_executor(None, self._read)
            async with self._changing:
                if number < self._done:  # what it has read may be older than what is served
                    raise ConfigError("another reload, which began later, was done first")
                lines = [*await self._app.reload(new), *new.warnings]
                self._done = number
        except ConfigError as exc:
            for problem in exc.problems:
                log.error("reload: %s", problem)
            log.error("reload: refused; everything is as before")
            raise
        for line in lines:
            log.info("reload: %s", line)
        return lines

    def _read(self) -> Settings:
        creds.settle_thread()
        return settings(self._sources)

    def on_signal(self) -> None:
        """For SIGHUP: do it, the outcome goes to the log."""
        task = asyncio.get_running_loop().create_task(self._quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self) -> None:
        with contextlib.suppress(ConfigError):
            await self.run()

    async def stop(self) -> None:
        """End what is not done."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def reload(state: Path | None, config: Path | None) -> Sequence[str]:
    """`nfsloop reload`: the running server's answer. Raises ConfigError."""
    if state is None and config is not None:
        state = gather(Sources(config=config)).values.get("state")
    return ask(state or default_state(), "reload")
