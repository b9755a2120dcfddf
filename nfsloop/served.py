"""The exports that a server has just now: made of settings, started, replaced, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from backends.base import FsError
from backends.threads import stopping
from nfsloop.access import Guard, Policy
from nfsloop.config import ExportSpec, Settings
from nfsloop.errors import ConfigError, denied
from nfsloop.export import Export, Exports, normal
from nfsloop.hosts import address_of
from nfsloop.limits import NAME_SECONDS, STOP_REST_SECONDS
from nfsloop.names import Lookups, NameCache, SystemLookups
from nfsloop.owner import is_here, owner, reserved_ports
from nfsloop.progress import working
from oncrpc.call import Peer

log = logging.getLogger("nfsloop")


class Served:
    """`exports` with their backends; `names` is what their policies know of clients' names.

    Raises ConfigError for settings that cannot be.
    """

    def __init__(self, settings: Settings, state: Path, lookups: Lookups | None = None) -> None:
        self._state = state
        self._lookups = lookups or SystemLookups()
        self.names = NameCache(self._lookups, self.forget)
        self.guard = guard_of(settings.host)
        #: Called before an export's backend is started, and after it; they may raise ConfigError.
        self.before_start: Callable[[Export], object] = lambda export: None
        self.after_start: Callable[[Export], object] = lambda export: None
        self._specs: dict[str, ExportSpec] = {}
        self._started: list[Export] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()
        with _clear():
            self.exports = self._make(settings)
        self._specs = _by_path(self.exports, settings)

    def _make(self, settings: Settings) -> Exports:
        """The exports of `settings`, those that are there already with their backends."""
        exports = Exports()
        for spec in settings.exports:
            export = self._kept(spec)
            if export is None:
                policy = self._policy(spec, settings)
                export = Export(spec.path, spec.backend(self._state, policy.sync), policy=policy)
            exports.add(export)
        return exports

    def _kept(self, spec: ExportSpec) -> Export | None:
        path = normal(spec.path)
        old = self._specs.get(path)
        if old is None or old.storage != spec.storage:
            return None
        return next(export for export in self.exports if export.path == path)

    def _policy(self, spec: ExportSpec, settings: Settings) -> Policy:
        return spec.policy(settings.options, self.names, self.guard)

    def identify(self, sock: socket.socket, peer: Peer) -> Peer:
        """`peer` of a new connection with the user whose it is, if it is of this machine."""
        try:
            local = self.guard.local(peer)
        except OSError:  # then its calls will ask again
            local = True
        return peer._replace(user=owner(sock)) if local else peer

    # Life cycle

    async def start(self) -> None:
        """Start the backends, look up host names. Raises ConfigError; then `stop` it still."""
        await self._start(self.exports)
        for line in await self._look_up({e.path: e.policy for e in self.exports}):
            log.warning("%s", line)
        self._timer = asyncio.get_running_loop().call_later(NAME_SECONDS, self._refresh)

    async def stop(self, seconds: float = STOP_REST_SECONDS) -> None:
        """Flush and close the backends, when all calls have been answered. Where calls hang still,
        they are waited for `seconds` in all."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            with stopping(seconds):
                await asyncio.gather(*self._retiring)
                started, self._started = self._started[::-1], []
                await _stop(started)
        finally:
            await self.names.stop()
            if isinstance(self._lookups, SystemLookups):
                self._lookups.close()

    def unwritable(self) -> list[str]:
        """Directories that clients may write to, and the server may not, a line each."""
        return [
            f"{export.path} is exported for reading and writing, but {place} cannot be written: "
            f"{denied(place)}"
            for export in self.exports
            if not export.backend.limits.read_only
            and any(not client.options.read_only for client in export.policy.clients)
            for place in self._specs[export.path].storage.places
            if os.path.isdir(place) and not os.access(place, os.W_OK, effective_ids=True)
        ]

    def forget(self) -> None:
        """Have every policy asked anew."""
        for export in self.exports:
            export.forget()

    def _refresh(self) -> None:
        """Names change: those who get in by theirs are looked at again, from what is known and in
        the background."""
        for export in self.exports:
            if export.policy.wants_names or export.policy.host_names:
                export.forget()
        self._timer = asyncio.get_running_loop().call_later(NAME_SECONDS, self._refresh)

    async def _start(self, exports: Iterable[Export]) -> None:
        with _clear():
            for export in exports:
                self.before_start(export)
                with working(f"starting {export}", log.info):
                    await export.backend.start()
                self._started.append(export)
                self.after_start(export)

    async def _look_up(self, policies: Mapping[str, Policy]) -> list[str]:
        """A warning for each host name that has no address (yet)."""
        paths = {name: path for path, policy in policies.items() for name in policy.host_names}
        missing = await self.names.load(sorted(paths))
        return [f"{paths[name]}: {name} has no address; it is asked for again" for name in missing]

    # Changing

    async def replace(
        self, settings: Settings, drain: Callable[[], Awaitable[object]]
    ) -> list[str]:
        """Have the exports of `settings` from now on; what was changed, a line each.

        A backend whose path and storage stay is kept, and its clients notice nothing. New ones are
        started first: if anything is wrong, ConfigError is raised and all is as before. Old ones
        are stopped when `drain` ends: when the calls that are in flight have been answered.
        """
        async with self._changing:
            await asyncio.gather(*self._retiring)
            self._check_moves(settings)
            before = list(self.exports)
            with _clear():
                after = self._make(settings)
            try:
                await self._start([export for export in after if export not in before])
            except BaseException:
                failed = [export for export in self._started if export not in before]
                self._started = before
                await _stop(failed)
                raise
            policies = {
                export.path: self._policy(spec, settings)
                for export, spec in zip(after, settings.exports, strict=True)
            }
            missing = await self._look_up(policies)
            lines = self._swap(before, after, policies) + missing
            self._specs = _by_path(after, settings)
            gone = [export for export in before if export not in list(after)]
            self._started = list(after)
            if gone:
                task = asyncio.get_running_loop().create_task(_retire(gone, drain))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
            return lines

    def _check_moves(self, settings: Settings) -> None:
        """A directory cannot have two backends, not even while one takes over from the other."""
        for spec in settings.exports:
            for path, old in self._specs.items():
                both = spec.storage.places & old.storage.places
                if both and (normal(spec.path) != path or spec.storage != old.storage):
                    raise ConfigError(
                        f"{spec.path}: {min(both)} is still exported as {path}; "
                        f"take that away in one reload, and add this in the next"
                    )

    def _swap(
        self, before: Sequence[Export], after: Exports, policies: Mapping[str, Policy]
    ) -> list[str]:
        """From one call to the next: the new exports, the new policies."""
        lines: list[str] = []
        self.exports.replace(after)
        for export in after:
            policy = policies[export.path]
            if export not in before:
                known = any(old.path == export.path for old in before)
                lines.append(f"{export.path}: {'other storage' if known else 'added'}")
            elif policy.clients != export.policy.clients:
                lines.append(f"{export.path}: changed")
            export.backend.set_sync(policy.sync)
            export.policy = policy
        paths = {export.path for export in after}
        lines += [f"{old.path}: removed" for old in before if old.path not in paths]
        return lines or ["no export was changed"]


def _by_path(exports: Exports, settings: Settings) -> dict[str, ExportSpec]:
    return {e.path: spec for e, spec in zip(exports, settings.exports, strict=True)}


async def _retire(exports: Sequence[Export], drain: Callable[[], Awaitable[object]]) -> None:
    await drain()
    await _stop(exports)


async def _stop(exports: Sequence[Export]) -> None:
    """Stop them all, side by side; after that, raise what one raised that is no OSError."""
    bugs = await asyncio.gather(*(_stop_one(export) for export in exports))
    for bug in filter(None, bugs):
        raise bug


async def _stop_one(export: Export) -> Exception | None:
    export.health.stop()
    try:
        with working(f"stopping {export}", log.info):
            await export.backend.stop()
    except OSError as exc:
        log.error("%s: %s", export, exc)
    except Exception as exc:  # of somebody else's code
        log.exception("%s: stop failed", export)
        return exc
    return None


@contextlib.contextmanager
def _clear() -> Iterator[None]:
    """What backends and exports raise as a ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, FsError) as exc:
        raise ConfigError(getattr(exc, "strerror", None) or str(exc)) from None
    except Exception as exc:  # of somebody else's code
        log.debug("start failed", exc_info=exc)
        raise ConfigError(f"{type(exc).__name__}: {exc}") from exc


def guard_of(host: str | None) -> Guard:
    """The loopback rule for a server of this process that listens on `host`."""
    address = address_of(host or "")
    local_only = host == "localhost" or (address is not None and address.is_loopback)
    return Guard(frozenset({0, os.geteuid()}), reserved_ports(), local_only, is_here)
