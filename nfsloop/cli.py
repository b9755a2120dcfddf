"""The command `nfsloop`."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from nfsloop import logs
from nfsloop.app import running
from nfsloop.config import (
    MEMORY,
    RPCBIND_MODES,
    ConfigError,
    ExportSpec,
    Settings,
    StateDirectory,
    default_state,
)
from nfsloop.export import Options
from oncrpc import loop

log = logging.getLogger("nfsloop")

EXAMPLES = """\
examples:
  nfsloop serve /srv/data                        serve a directory by its own path
  nfsloop serve -o ro,all_squash /data=/srv/pub  read-only, mounted as /data
  nfsloop serve memory:                          an empty file system in memory
  nfsloop serve --host 127.0.0.1 --port 12049 --rpcbind none ~/tree
                                                 without root, for this machine alone

The mount command for each export is printed at the start. SIGTERM and SIGINT end the server
in order: calls in flight are finished, data is flushed, registrations are taken back.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="nfsloop",
        description="An NFSv3 server in Python: serves directories and more to NFS clients.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    top.add_argument("--version", action="version", version=f"nfsloop {version()}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve exports until stopped",
        description="Serve each EXPORT over NFS version 3 until SIGTERM or SIGINT.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    serve.add_argument(
        "exports",
        metavar="EXPORT",
        nargs="*",
        default=[MEMORY],
        help="a directory, or memory: (the default); /NAME= before either chooses the path that "
        "clients mount. The first export is also mounted as /",
    )
    serve.add_argument(
        "-o",
        dest="options",
        metavar="OPTIONS",
        default="",
        help="words of exports(5), separated by commas: ro, rw (default), root_squash (default), "
        "no_root_squash, all_squash, anonuid=N, anongid=N, sync (default), async",
    )
    serve.add_argument("--host", metavar="ADDR", help="listen on this address alone")
    serve.add_argument(
        "--port",
        type=_port,
        default=2049,
        help="the port of NFS, MOUNT and NLM, over TCP and UDP (default: %(default)s; 0: any)",
    )
    serve.add_argument(
        "--rpcbind",
        choices=RPCBIND_MODES,
        default="auto",
        help="how clients find the ports: registered with the system's rpcbind, by a portmapper "
        "of our own on port 111, or not at all; auto takes the first that works",
    )
    serve.add_argument("--no-udp", dest="udp", action="store_false", help="serve TCP alone")
    serve.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="what must survive a restart: the key of the file handles, indexes, the list of "
        "mounts (default: /var/lib/nfsloop for root, else ~/.local/state/nfsloop)",
    )
    serve.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        default="info",
        help="log this and worse to standard error (default: %(default)s)",
    )
    serve.add_argument(
        "--loop",
        choices=loop.LOOPS,
        default="auto",
        help="event loop: uvloop where it is installed, otherwise asyncio's",
    )
    return top


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number up to 65535, not {text!r}")
    return int(text)


def version() -> str:
    """The version of the installed package; a checkout that is not installed says so."""
    try:
        return metadata.version("nfsloop")
    except metadata.PackageNotFoundError:
        return "(not installed: run from a checkout)"


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the command line asks for. Raises ConfigError."""
    try:
        options = Options.parse(args.options)
    except ValueError as exc:
        raise ConfigError(f"-o: {exc}") from None
    return Settings(
        exports=tuple(ExportSpec.parse(text) for text in args.exports),
        options=options,
        host=args.host and args.host.removeprefix("[").removesuffix("]"),
        port=args.port,
        rpcbind=args.rpcbind,
        udp=args.udp,
        state=args.state or default_state(),
    )


async def serve(settings: Settings, state: Path) -> None:
    """Serve until a signal asks to stop; a second one ends at once."""
    stop = asyncio.Event()
    running_loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            raise SystemExit(130)
        log.info("%s: stopping", name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        running_loop.add_signal_handler(number, on_signal, number.name)
    async with running(settings, state) as app:
        try:
            for line in app.describe():
                print(line, flush=True)
        except OSError as exc:
            log.warning("standard output: %s", exc.strerror)
        await stop.wait()
    log.info("stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, or 1 after one line that says what is wrong."""
    args = parser().parse_args(argv)
    logs.start(args.log_level)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # paths are bytes
    try:
        settings = settings_of(args)
        with StateDirectory(settings.state) as state:
            loop.run(serve(settings, state), args.loop)
    except (ConfigError, ImportError) as exc:
        print(f"nfsloop: {exc}", file=sys.stderr)
        return 1
    return 0
