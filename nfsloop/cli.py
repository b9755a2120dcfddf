"""The command `nfsloop`."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfsloop import logs
from nfsloop.config import (
    RPCBIND_MODES,
    ConfigError,
    Settings,
    StateDirectory,
    count_workers,
)
from nfsloop.construct import is_target, look_here
from nfsloop.sources import Sources, settings
from nfsloop.storage import BACKENDS
from oncrpc import loop

if TYPE_CHECKING:
    from nfsloop.app import App

# What serves (`nfsloop.app` and all below it) is imported by those who serve: 70 ms of the start
# of commands that ask a server or print help.

log = logging.getLogger("nfsloop")

EXAMPLES = """\
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

#: Options of the command line that are fields of `Settings`.
SETTINGS = (
    "host", "port", "rpcbind", "udp", "state", "log_level", "loop", "layers", "workers",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="nfsloop",
        description="An NFSv3 server in Python: serves directories and more to NFS clients.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve = verbs.add_parser(
        "serve",
        help="serve exports until stopped",
        description="Serve each EXPORT over NFS version 3 until SIGTERM or SIGINT.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    _add_exports(serve)
    _add_settings(serve)
    check = verbs.add_parser(
        "check",
        help="say what is wrong with settings and exports, or what would be exported",
        description="Read settings and exports as serve does, and say all that is wrong with "
        "them. The exit status is 0 if nothing is.",
    )
    _add_exports(check)
    reload = verbs.add_parser(
        "reload",
        help="have the running server read its files again",
        description="Have the running server read its files of settings and exports again. "
        "Exports are added, removed and changed; clients of the others notice nothing. If "
        "anything is wrong, it is said here, and the server goes on as it was.",
    )
    _add_state(reload)
    _add_config(reload)
    status = verbs.add_parser(
        "status",
        help="say how the running server's exports are",
        description="Ask the running server how its storage is. The exit status is 1 if any is "
        "not well.",
    )
    _add_state(status)
    _add_config(status)
    verbs.add_parser(
        "backends",
        help="list what can be served, with options and abilities",
        description="List the backends and wraps that can be named as EXPORT, with their options.",
    )
    fsck = verbs.add_parser(
        "fsck",
        help="look for inconsistencies in a storage that nobody serves",
        description="Check the consistency of a storage. The exit status is 0 if it is sound, or "
        "if all was repaired.",
    )
    fsck.add_argument("storage", metavar="STORAGE", help="as EXPORT of serve, without /NAME=")
    fsck.add_argument("--repair", action="store_true", help="put right what can be put right")
    _add_state(fsck)
    return top


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings, if they name the state directory"
    )


def _add_exports(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "exports",
        metavar="EXPORT",
        nargs="*",
        help="a directory, or a storage such as memory: (the default) and sqlite:FILE, which "
        "'nfsloop backends' lists; /NAME= before either chooses the path that clients mount. The "
        "first export is also mounted as /",
    )
    command.add_argument(
        "--wrap",
        dest="wraps",
        metavar="WRAP",
        action="append",
        default=[],
        help="put each EXPORT behind a wrap, such as readonly or attrcache?seconds=5 ('nfsloop "
        "backends' lists them); the first is outermost",
    )
    command.add_argument(
        "-o",
        dest="options",
        metavar="OPTIONS",
        default="",
        help="words of exports(5), separated by commas, for each EXPORT: ro, rw (default), "
        "root_squash (default), no_root_squash, all_squash, anonuid=N, anongid=N, sync (default), "
        "async, secure, insecure",
    )
    command.add_argument(
        "--exports",
        dest="files",
        type=Path,
        metavar="FILE|DIR",
        action="append",
        default=[],
        help="a file of exports(5), or a directory with files called *.exports",
    )
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings and exports (nfsloop.toml); what the command line says counts more",
    )


def _add_state(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="what must survive a restart: the key of the file handles, indexes, the list of "
        "mounts (default: /var/lib/nfsloop for root, else ~/.local/state/nfsloop)",
    )


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
        "of our own on port 111, or not at all; auto (default) takes the first that works",
    )
    serve.add_argument(
        "--no-udp", dest="udp", action="store_false", default=None, help="serve TCP alone"
    )
    _add_state(serve)
    serve.add_argument(
        "--layer",
        dest="layers",
        type=str,
        metavar="MODULE:CLASS[?OPTIONS]",
        action="append",
        help="have all NFS calls go through a layer, such as nfsloop.layers:Trace; the first is "
        "outermost",
    )
    serve.add_argument(
        "--workers",
        type=_workers,
        metavar="N|auto",
        help="serve by N processes that share the port, or by one for each CPU (default: 1)",
    )
    serve.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="log this and worse to standard error (default: info)",
    )
    serve.add_argument(
        "--loop",
        choices=loop.LOOPS,
        help="event loop: uvloop where it is installed (auto, the default), otherwise asyncio's",
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


def _workers(text: str) -> int:
    try:
        return count_workers(int(text) if text.isdecimal() else text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def names_code(text: str) -> bool:
    """Whether an argument has the form of a class of the user's own, anywhere in it."""
    words = [word.partition("?")[0] for word in re.split(r"[|;=]", text)]
    return any(is_target(word) and word.partition(":")[0] not in BACKENDS for word in words)


class _Version(argparse.Action):
    """Prints the version. It is looked up when it is asked for, as that takes long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"nfsloop {version()}")
        parser.exit()


def version() -> str:
    """The version of the installed package; a checkout that is not installed says so."""
    from importlib import metadata  # 15 ms of start-up that no server needs

    try:
        return metadata.version("nfsloop")
    except metadata.PackageNotFoundError:
        return "(not installed: run from a checkout)"


def sources_of(args: argparse.Namespace) -> Sources:
    """What the command line says, its paths whole: a reload may come from another directory."""
    given = {name: getattr(args, name, None) for name in SETTINGS}
    values = {name: value for name, value in given.items() if value is not None}
    if "layers" in values:
        values["layers"] = tuple(values["layers"])
    if any(map(names_code, [*args.exports, *args.wraps, *values.get("layers", ())])):
        look_here()
    return Sources(
        exports=tuple(args.exports),
        files=tuple(path.absolute() for path in args.files),
        config=args.config and args.config.absolute(),
        options=args.options,
        wraps=tuple(args.wraps),
        settings=values,
    )


def _running(settings: Settings, held: StateDirectory) -> AbstractAsyncContextManager[App]:
    if settings.workers > 1:
        from nfsloop.workers import home

        return home.running(settings, held.path, held.lock)
    from nfsloop.app import running

    return running(settings, held.path)


async def serve(settings: Settings, held: StateDirectory, sources: Sources) -> None:
    """Serve until a signal asks to stop; a second one ends at once. SIGHUP reads `sources` anew."""
    stop = asyncio.Event()
    running_loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            raise SystemExit(130)
        log.info("%s: stopping", name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        running_loop.add_signal_handler(number, on_signal, number.name)
    # Until everything is up, there is nothing to reload.
    running_loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: starting still")
    from nfsloop import commands  # a signal that comes meanwhile finds its handler
    from nfsloop.app import settle_collector
    from nfsloop.control import Control

    async with _running(settings, held) as app:
        reload = commands.Reload(app, sources)
        control = Control(
            held.path,
            {
                "reload": lambda request: reload.run(),
                "status": lambda request: commands.health(app),
            },
        )
        try:
            await control.start()
        except OSError as exc:
            raise ConfigError(f"control socket in {held.path}: {exc.strerror}") from None
        running_loop.add_signal_handler(signal.SIGHUP, reload.on_signal)
        try:
            for line in app.describe():
                print(line, flush=True)
        except OSError as exc:
            log.warning("standard output: %s", exc.strerror)
        settle_collector()
        await stop.wait()
        await control.stop()
        await reload.stop()
    log.info("stopped")


def run_serve(args: argparse.Namespace) -> int:
    """`nfsloop serve`."""
    logs.start(args.log_level or "info")
    sources = sources_of(args)
    found = settings(sources)
    logs.start(found.log_level)
    for line in found.warnings:
        log.warning("%s", line)
    held = StateDirectory(found.state)
    with held:
        loop.run(serve(found, held, sources), found.loop)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """`nfsloop check`."""
    from nfsloop import commands

    logs.start("error")
    status, lines = commands.check(sources_of(args))
    print("\n".join(lines), file=sys.stderr if status else sys.stdout)
    return status


def run_reload(args: argparse.Namespace) -> int:
    """`nfsloop reload`."""
    from nfsloop import commands

    for line in commands.reload(args.state, args.config):
        print(line)
    return 0


def run_status(args: argparse.Namespace) -> int:
    """`nfsloop status`."""
    from nfsloop import commands

    lines = commands.status(args.state, args.config)
    print("\n".join(lines))
    return 1 if any(commands.ILL in line for line in lines) else 0


def run_backends(args: argparse.Namespace) -> int:
    """`nfsloop backends`."""
    from nfsloop import commands

    print("\n".join(commands.backends()))
    return 0


def run_fsck(args: argparse.Namespace) -> int:
    """`nfsloop fsck`."""
    from nfsloop import commands

    logs.start("info")
    if names_code(args.storage):
        look_here()
    status, lines = commands.fsck(args.storage, args.state, args.repair)
    print("\n".join(lines))
    return status


COMMANDS = {
    "serve": run_serve,
    "check": run_check,
    "reload": run_reload,
    "status": run_status,
    "backends": run_backends,
    "fsck": run_fsck,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, or 1 after a line for each thing that is wrong."""
    args = parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # paths are bytes
    try:
        return COMMANDS[args.command](args)
    except (ConfigError, ImportError) as exc:
        for line in str(exc).split("\n"):
            print(f"nfsloop: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there is a server that would end in order
        return 130
