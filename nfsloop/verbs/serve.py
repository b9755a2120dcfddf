"""`nfsloop serve`: serves until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from nfsloop import logs
from nfsloop.config import (
    RPCBIND_MODES,
    STOP_SECONDS,
    Settings,
    StateDirectory,
    address,
    count_workers,
    trace_level,
)
from nfsloop.errors import ConfigError
from nfsloop.sources import Sources, settings
from nfsloop.state import remove_address, write_address
from nfsloop.verbs.common import add_exports, add_state, seconds, sources_of
from oncrpc import loop

if TYPE_CHECKING:
    from nfsloop.app import App
    from nfsloop.systemd import Manager

# What serves (`nfsloop.app` and all below it) is imported when the signals are caught.

T = TypeVar("T")

log = logging.getLogger("nfsloop")

#: When all is stopped, the process ends within this time, whatever its threads do.
LEAVE_SECONDS = 0.5

HELP = "serve exports until stopped"
DESCRIPTION = "Serve each EXPORT over NFS version 3 until SIGTERM or SIGINT."
EPILOG = """\
examples:
  nfsloop serve /srv/data                        serve a directory by its own path
  nfsloop serve -o ro,all_squash /data=/srv/pub  read-only, mounted as /data
  nfsloop serve memory:                          an empty file system in memory
  nfsloop serve sqlite:/srv/files.db             a whole file system in one file
  nfsloop serve --wrap readonly mine.module:Class?depth=3
                                                 a backend of your own, for reading alone
  nfsloop serve --host 127.0.0.1 --port 12049 --rpcbind none ~/tree
                                                 without root, for this machine alone
  nfsloop serve --workers auto /srv/data         by as many processes as there are CPUs
  nfsloop serve --exports /etc/exports           what for whom, in the syntax of exports(5)
  nfsloop serve --config /etc/nfsloop.toml       all settings from a file

The mount command for each export is printed at the start. SIGTERM and SIGINT end the server
in order: calls in flight are finished, data is flushed, registrations are taken back. SIGHUP
and "nfsloop reload" have it read its files again.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    add_exports(parser)
    _add_settings(parser)
    _add_watching(parser)


def _add_settings(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--host", type=_host, metavar="ADDR", help="listen on this address alone (default: on all)"
    )
    serve.add_argument(
        "--port",
        type=_port,
        help="the port of NFS, MOUNT and NLM, over TCP and UDP (default: 2049; 0: any)",
    )
    serve.add_argument(
        "--rpcbind",
        choices=RPCBIND_MODES,
        help="how clients find the ports: registered with the system's rpcbind, by a portmapper "
        "of our own on port 111 and the port of NFS (builtin), on that port alone, or not at all; "
        "auto (default) is system or builtin, whichever works",
    )
    serve.add_argument(
        "--no-udp", dest="udp", action="store_false", default=None, help="serve TCP alone"
    )
    add_state(serve)
    serve.add_argument(
        "--layer",
        dest="layers",
        type=str,
        metavar="MODULE:CLASS[?OPTIONS]",
        action="append",
        help="have all NFS calls go through a layer, such as census; the first is outermost",
    )
    serve.add_argument(
        "--workers",
        type=_workers,
        metavar="N|auto",
        help="serve by N processes that share the port, or by one for each CPU (default: 1)",
    )
    serve.add_argument(
        "--stop-seconds",
        type=seconds,
        metavar="S",
        help=f"how long calls in flight get at a stop (default: {STOP_SECONDS:g})",
    )
    serve.add_argument(
        "--loop",
        choices=loop.LOOPS,
        help="event loop: uvloop where it is installed (auto, the default), otherwise asyncio's",
    )


def _add_watching(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="log this and worse to standard error (default: info)",
    )
    serve.add_argument(
        "--log-format",
        choices=logs.FORMATS,
        help="lines for people (text, the default), or a JSON object a line",
    )
    serve.add_argument(
        "--trace",
        type=_level,
        metavar="LEVEL",
        help="log calls: 1 those that fail, 2 a line for each, 3 refusals too, 4 replies and calls "
        "that come again, 5 and more with arguments and results to a depth; 0 (default): none. "
        "'nfsloop trace' does it for a while, in a server that runs",
    )
    serve.add_argument(
        "--metrics",
        type=_address,
        metavar="[HOST:]PORT",
        help="answer /metrics (for Prometheus), /healthz and /readyz there over HTTP; without "
        "HOST, on the loopback interface alone (default: nowhere)",
    )


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not host:  # a variable of a script that is not set must not open the server to all
        raise argparse.ArgumentTypeError("it is empty; leave --host out to listen on all addresses")
    return host


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number up to 65535, not {text!r}")
    return int(text)


def _checked(check: Callable[[object], T], text: str) -> T:
    """What `check` makes of an argument, a number where it is one."""
    try:
        return check(int(text) if text.isdecimal() else text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


_workers = partial(_checked, count_workers)
_address = partial(_checked, address)
_level = partial(_checked, trace_level)


def _manager() -> Manager | None:
    """The service manager, if it has started this process or hands over sockets."""
    if "NOTIFY_SOCKET" not in os.environ and "LISTEN_FDS" not in os.environ:
        return None
    from nfsloop.systemd import Manager

    return Manager(os.environ, os.getpid())


def _running(
    settings: Settings, held: StateDirectory, manager: Manager | None
) -> AbstractAsyncContextManager[App]:
    if settings.workers > 1:
        from nfsloop.workers import home

        return home.running(settings, held.path, held.lock)
    from nfsloop.app import running

    return running(settings, held.path, manager.sockets if manager is not None else ())


async def serve(
    settings: Settings, held: StateDirectory, sources: Sources, manager: Manager | None = None
) -> None:
    """Serve until a signal asks to stop, also while it starts still; a second one ends at once.
    SIGHUP reads `sources` anew."""
    stop, up = asyncio.Event(), asyncio.Event()
    running_loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            raise SystemExit(130)
        log.info("%s: stopping", name)
        if manager is not None:
            manager.stopping()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        running_loop.add_signal_handler(number, on_signal, number.name)
    # Until everything is up, there is nothing to reload.
    running_loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: starting still")
    serving = running_loop.create_task(_serve(settings, held, sources, manager, stop, up))
    stopping = running_loop.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not up.is_set():
        serving.cancel()  # does nothing where it has ended
    try:
        await serving
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    log.info("stopped")
    # What hangs in a thread still, such as a question to the resolver, has nothing to lose; Python
    # would wait for it.
    leave = threading.Timer(LEAVE_SECONDS, _leave)
    leave.daemon = True
    leave.start()


def _leave() -> None:
    logging.shutdown()
    os._exit(0)


async def _serve(
    settings: Settings,
    held: StateDirectory,
    sources: Sources,
    manager: Manager | None,
    stop: asyncio.Event,
    up: asyncio.Event,
) -> None:
    """Serve until `stop`; `up` is set when the start is over."""
    from nfsloop import commands  # a signal that comes meanwhile finds its handler
    from nfsloop.app import settle_collector
    from nfsloop.control import Control

    if manager is not None:
        manager.watch()
    around = manager.reloading if manager is not None else contextlib.nullcontext
    async with _running(settings, held, manager) as app:
        up.set()
        reload = commands.Reload(app, sources, around)
        control = Control(
            held.path,
            {
                "reload": lambda request: reload.run(),
                "status": lambda request: commands.health(app),
                "snapshot": lambda request: commands.snapshot(app),
                "clients": lambda request: commands.clients(app),
                "exports": lambda request: commands.exports(app, bool(request.get("whole"))),
            },
            {"trace": lambda request: commands.trace(app, request)},
        )
        try:
            await control.start()
        except OSError as exc:
            raise ConfigError(f"control socket in {held.path}: {exc.strerror}") from None
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.on_signal)
        for line in app.served.unwritable():
            log.warning("%s", line)
        try:
            write_address(held.path, *app.reached())
        except OSError as exc:
            log.warning("%s: 'nfsloop ping' needs to be told the port: %s", held.path, exc.strerror)
        try:
            for line in app.describe():
                print(line, flush=True)
        except OSError as exc:
            log.warning("standard output: %s", exc.strerror)
        settle_collector()
        if manager is not None:
            manager.ready(f"serving on port {app.port}; exports: {len(app.exports)}")
        await stop.wait()
        remove_address(held.path)
        await control.stop()
        await reload.stop()


def run(args: argparse.Namespace) -> int:
    """`nfsloop serve`."""
    logs.start(args.log_level or "info", format=args.log_format or "text")
    manager = _manager()
    sources = sources_of(args)
    found = settings(sources)
    logs.start(found.log_level, format=found.log_format, shared=found.workers > 1)
    if manager is not None:
        found = manager.settle(found)
    for line in found.warnings:
        log.warning("%s", line)
    held = StateDirectory(found.state)
    with held:
        loop.run(serve(found, held, sources, manager), found.loop)
    return 0
