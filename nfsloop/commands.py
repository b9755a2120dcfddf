"""What `nfsloop` does besides serving: check settings, have the server read them again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.base import Backend, FsError, Status
from nfsloop.config import Settings, StateDirectory, check_storage
from nfsloop.control import ask
from nfsloop.errors import ConfigError
from nfsloop.export import Export
from nfsloop.hosts import Kind
from nfsloop.names import NameCache, SystemLookups
from nfsloop.progress import working
from nfsloop.sources import Gathered, Sources, gather, settings
from nfsloop.state import default_state
from nfsloop.storage import Known, known_backends, known_wraps

if TYPE_CHECKING:  # who asks a server, or checks, needs no server of his own
    from nfsloop.app import App

log = logging.getLogger("nfsloop")

#: Begins what `health` says of an export that is not well.
ILL = ": NOT WELL: "


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
    """Has a running server read its sources again, one time after the other; each within
    `around`, which tells others of it."""

    def __init__(
        self,
        app: App,
        sources: Sources,
        around: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._app = app
        self._sources = sources
        self._around = around
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        #: Reloads are numbered as they begin: how many did, and the last that had its effect.
        self._begun = 0
        self._done = 0

    async def run(self) -> list[str]:
        """Do it; what was changed, a line each. Raises ConfigError, and then nothing was."""
        with self._around():
            return await self._run()

    async def _run(self) -> list[str]:
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
        except Exception:
            log.exception("reload: failed")
            raise ConfigError("the reload failed; the log says why") from None
        for line in lines:
            log.info("reload: %s", line)
        return lines

    def _read(self) -> Settings:
        from backends.posix import creds  # not there yet if no directory is served

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
    with working("the server reads its files"):
        return ask(state_of(state, config), "reload")


async def snapshot(app: App) -> list[str]:
    """What the server counts (`nfsloop.watching.snapshot`), as a line of JSON."""
    return [json.dumps((await app.processes.snapshot()).to_json())]


async def clients(app: App) -> list[str]:
    """Who uses the server (`nfsloop.watching.clients`), as a line of JSON."""
    from nfsloop.watching.clients import clients

    return [json.dumps(await clients(app))]


async def exports(app: App, whole: bool) -> list[str]:
    """What is exported, as a line of JSON: the paths; of the `whole` of it, also who uses it, and
    how the storage is."""
    there = list(app.exports)
    if not whole:
        return [json.dumps([{"path": export.path} for export in there])]
    from nfsloop.watching.clients import exports

    wrong = await asyncio.gather(*(export.health() for export in there))
    health = {export.path: text for export, text in zip(there, wrong, strict=True)}
    return [json.dumps(await exports(app, health))]


def trace(app: App, request: Mapping[str, Any]) -> AsyncGenerator[list[str], None]:
    """Tell of calls as they pass (`nfsloop.watching.trace.follow`)."""
    from nfsloop.watching.trace import follow  # nobody may ever look

    return follow(app, request)


async def health(app: App) -> list[str]:
    """How each export's storage is, a line each; and what is counted."""
    lines = await asyncio.gather(*(_health(export) for export in app.exports))
    return [*lines, *await app.processes.lines()]


async def _health(export: Export) -> str:
    wrong = await export.health()
    if wrong is None:
        return f"{export.path}: well: {export.backend.describe()}"
    return f"{export.path}{ILL}{wrong}"


def status(state: Path | None, config: Path | None) -> Sequence[str]:
    """`nfsloop status`: the running server's answer. Raises ConfigError."""
    with working("the server asks its storage"):
        return ask(state_of(state, config), "status")


def backends() -> list[str]:
    """`nfsloop backends`: what can stand for an EXPORT, in lines."""
    lines = ["Backends, by what is named as EXPORT:", ""]
    for known in known_backends():
        lines += _lines(known)
    lines += ["    DIR is posix:DIR; MODULE:CLASS names a class of your own.", ""]
    lines += ["Wraps, by what stands before a backend (or is given with --wrap):", ""]
    for known in known_wraps():
        lines += _lines(known)
    return lines


def _lines(known: Known) -> list[str]:
    import shutil  # no server needs these
    import textwrap

    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    lines = [f"{known.usage}    {'' if known.usable else 'NOT USABLE: '}{known.about}"]
    for name, texts in (("is", known.abilities), ("options", known.options)):
        if texts:
            text = ", ".join(texts)
            lines += textwrap.wrap(
                text, width, initial_indent=f"    {name}: ", subsequent_indent=" " * 8
            )
    return [*lines, ""]


def fsck(text: str, state: Path | None, repair: bool) -> tuple[int, list[str]]:
    """`nfsloop fsck`: the exit status, and a line for each inconsistency. Raises ConfigError."""
    storage = check_storage(text)
    for place in storage.places:  # serving may make a file; looking for faults in one never does
        path = place.partition(":")[2]
        if path.startswith("/") and not os.path.lexists(path):
            raise ConfigError(f"{text}: there is no {path}")
    with contextlib.ExitStack() as stack:
        directory = state or default_state()
        if storage.keeps:
            directory = stack.enter_context(StateDirectory(directory))
        try:
            with working(f"looking through {text}"):
                found = asyncio.run(_fsck(storage.make(directory), repair))
        except FsError as exc:
            if exc.status is not Status.NOTSUPP:
                raise ConfigError(f"{text}: {exc}") from exc
            raise ConfigError(f"{text}: {exc.args[1]}") from None
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{text}: {getattr(exc, 'strerror', None) or exc}") from exc
    count = f"{len(found)} inconsistenc{'y' if len(found) == 1 else 'ies'}"
    if not found:
        return 0, [f"{text}: sound"]
    end = f"{count}, repaired" if repair else f"{count}; --repair puts right what can be"
    return (0 if repair else 1), [*found, end]


async def _fsck(backend: Backend, repair: bool) -> list[str]:
    from backends.threads import Threaded  # no server needs it here

    backend = Threaded(backend) if backend.blocking else backend
    await backend.start()
    try:
        return await backend.fsck(repair)
    finally:
        await backend.stop()


def state_of(state: Path | None, config: Path | None) -> Path:
    """The state directory of the server that a command is for. Raises ConfigError."""
    if state is None and config is not None:
        state = gather(Sources(config=config)).values.get("state")
    return state or default_state()
