"""A server inside another program, in a few lines.

    async with nfsloop.serving(backend) as server:
        print(server.mount_line)

    with nfsloop.serving_in_thread({"/a": one, "/b": another}) as server:
        subprocess.run(["mount", "-t", "nfs", "-o", server.mount_options, …])

Nothing global is touched: no signal handler, no standard output, no limit of the process, no
rpcbind. Any number of servers may run at once, one after another, and in several event loops; each
has a free port of its own, and logs to the logger "nfsloop".
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from backends.base import Backend
from nfsloop.app import App
from nfsloop.client import Client
from nfsloop.config import (
    STOP_SECONDS,
    DrcSettings,
    ExportSpec,
    Settings,
    StateDirectory,
    check_specs,
    check_storage,
)
from nfsloop.errors import ConfigError
from nfsloop.exports5 import check_path
from nfsloop.layers import Layer
from nfsloop.mountline import Way, line, source
from nfsloop.options import Options
from nfsloop.storage import Storage
from oncrpc import loop

__all__ = ["ConfigError", "Server", "ThreadServer", "serving", "serving_in_thread"]

log = logging.getLogger("nfsloop")

T = TypeVar("T")

#: A backend, or what `nfsloop serve` makes one of: ``sqlite:notes.db``.
Source: TypeAlias = Backend | str

#: The duplicate request cache of a server whose state ends with it.
TEMPORARY_DRC_BYTES = 4 << 20

#: What a backend's `stop` may take after the calls in flight have ended, in `serving_in_thread`.
BACKEND_STOP_SECONDS = 10.0

#: Addresses that are every address of this machine.
_EVERYWHERE = (None, "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    #: The address that it listens on; None: every one.
    host: str | None
    #: NFS and MOUNT, over TCP (and UDP).
    port: int
    #: The paths that can be mounted; the first also as ``/``.
    paths: tuple[str, ...]
    app: App

    @property
    def path(self) -> str:
        """The path of the first export."""
        return self.paths[0]

    @property
    def mount_options(self) -> str:
        """For ``mount -t nfs -o``: the ports, so that nobody asks a portmapper."""
        return ",".join(self._words)

    @property
    def _words(self) -> list[str]:
        ipv6 = ":" in (self.host or "") and self.host != "::"
        return Way(self.port, found=False, ipv6=ipv6).words

    @property
    def mount_line(self) -> str:
        """The command that mounts the first export."""
        return self.mount_line_of(self.path)

    def mount_line_of(self, path: str, directory: str = "/mnt") -> str:
        """The command that mounts `path` on `directory`."""
        return line(self._words, source(self._name, path), directory)

    @property
    def _name(self) -> str:
        if self.host is None or self.host in _EVERYWHERE:
            return socket.gethostname()
        return self.host


@contextlib.asynccontextmanager
async def serving(
    backends: Source | Mapping[str, Source],
    *,
    host: str | None = "127.0.0.1",
    port: int = 0,
    options: str | Options = "",
    state: Path | str | None = None,
    udp: bool = False,
    layers: Sequence[Layer] = (),
    stop_seconds: float = STOP_SECONDS,
) -> AsyncIterator[Server]:
    """Serve a backend as ``/``, or several, each by its path, in the running event loop.

    `host` is the address to listen on (None: every one), `port` 0 any free one. `options` are words
    of exports(5), for each export: "ro,all_squash". Who gets in from this machine: root, and the
    user that this process runs as; "insecure" lets in everybody, who may then say that he is
    anybody. Root acts as nobody unless "no_root_squash" is said. `state` is a directory that keeps
    what must survive a restart (the key of file handles, replies); without, one is made and
    removed, and handles are stale when the server has ended. `layers` are calls' way to the
    backends, the first outermost. At the end, calls in flight get `stop_seconds`.

    Raises ConfigError (its text is for the user) where the server cannot start: a port that is
    taken, a backend whose `start` raises OSError or ValueError. Raises ValueError for an option or
    a path that is none.
    """
    settings = Settings(
        exports=_specs(backends),
        options=Options.parse(options) if isinstance(options, str) else options,
        host=host,
        port=port,
        rpcbind="none",
        udp=udp,
        drc=DrcSettings() if state is not None else DrcSettings(bytes=TEMPORARY_DRC_BYTES),
    )
    with _state(state) as directory:
        app = App(settings, directory, layers)
        try:
            try:
                await app.start()
            except ConfigError as exc:
                if isinstance(exc.__cause__, Exception):  # a bug, for the one whose it is
                    raise exc.__cause__ from None
                raise
            paths = tuple(export.path for export in app.exports)
            yield Server(host, app.port, paths, app)
        finally:
            await app.stop(stop_seconds)


def _specs(sources: Source | Mapping[str, Source]) -> tuple[ExportSpec, ...]:
    table = sources if isinstance(sources, Mapping) else {"/": sources}
    if not table:
        raise ValueError("there is no backend to serve")
    for path in table:
        if not path.startswith("/"):
            raise ValueError(f"an export's path starts with a slash: {path!r}")
    specs = tuple(_spec(source, check_path(path)) for path, source in table.items())
    if problems := check_specs(specs):
        raise ConfigError(*problems)
    return specs


def _spec(source: Source, path: str) -> ExportSpec:
    if isinstance(source, Backend):
        storage = Storage(f"backend of {path}", path, frozenset(), False, lambda state: source)
        return ExportSpec(storage, path)
    return ExportSpec(check_storage(source), path)


@contextlib.contextmanager
def _state(path: Path | str | None) -> Iterator[Path]:
    if path is not None:
        with StateDirectory(Path(path)) as held:
            yield held
        return
    with tempfile.TemporaryDirectory(prefix="nfsloop-") as made:
        yield Path(made)


@dataclass(frozen=True, slots=True)
class ThreadServer(Server):
    """A server that runs in a thread of its own. Any thread may use it."""

    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """The result of `coroutine`, run in the server's event loop, where its backends are.

        Raises what it raises, and TimeoutError after `timeout` seconds.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def client(
        self,
        path: str | None = None,
        uid: int = 0,
        gid: int = 0,
        groups: Sequence[int] = (),
        timeout: float = 10.0,
    ) -> Client:
        """A client of the export at `path` (the first), who acts as that user; close it."""
        host = {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        assert host is not None
        return Client(self.port, path or self.path, host, uid, gid, groups, timeout)


@contextlib.contextmanager
def serving_in_thread(
    backends: Source | Mapping[str, Source],
    *,
    host: str | None = "127.0.0.1",
    port: int = 0,
    options: str | Options = "",
    state: Path | str | None = None,
    udp: bool = False,
    layers: Sequence[Layer] = (),
    stop_seconds: float = STOP_SECONDS,
    event_loop: str = "auto",
) -> Iterator[ThreadServer]:
    """`serving` in a thread with an event loop of its own, for programs without one.

    `event_loop` is "asyncio", "uvloop", or what there is ("auto"). What a start raises is raised
    here. The end waits for the thread, but not for ever: a backend whose `stop` hangs leaves a
    daemon thread behind, and TimeoutError is raised.
    """
    thread = _Thread(event_loop)
    thread.serve(
        serving(
            backends,
            host=host,
            port=port,
            options=options,
            state=state,
            udp=udp,
            layers=layers,
            stop_seconds=stop_seconds,
        )
    )
    try:
        yield thread.started.result()
    finally:
        thread.stop(stop_seconds + BACKEND_STOP_SECONDS)


class _Thread:
    """Where `serving_in_thread` serves. Stopping cancels its one task, whatever that is at."""

    def __init__(self, event_loop: str) -> None:
        self.started: concurrent.futures.Future[ThreadServer] = concurrent.futures.Future()
        self._factory = loop.factory(event_loop)
        self._begun: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def serve(self, server: contextlib.AbstractAsyncContextManager[Server]) -> None:
        """Start the thread."""
        self._thread = threading.Thread(
            target=self._body, args=(server,), name="nfsloop", daemon=True
        )
        self._thread.start()

    def _body(self, server: contextlib.AbstractAsyncContextManager[Server]) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                runner.run(self._main(server))
        except asyncio.CancelledError:
            pass
        except BaseException as exc:  # carried to the thread that waits
            self._failure = exc
        self._begun.cancel()  # where not even the loop could be made
        if not self.started.done():
            self.started.set_exception(self._failure or RuntimeError("the start was cut off"))
            self._failure = None

    async def _main(self, server: contextlib.AbstractAsyncContextManager[Server]) -> None:
        running = asyncio.get_running_loop()
        self._begun.set_result((running, asyncio.current_task()))
        async with server as it:
            self.started.set_result(ThreadServer(it.host, it.port, it.paths, it.app, running))
            await running.create_future()

    def stop(self, seconds: float) -> None:
        """End the task and wait for the thread. Raises TimeoutError, and what the stop raised."""
        assert self._thread is not None
        # RuntimeError: it has ended, and its loop is closed.
        with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):
            running, task = self._begun.result()
            running.call_soon_threadsafe(task.cancel)
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"the server has not stopped within {seconds:g} s")
        if self._failure is not None:
            raise self._failure
