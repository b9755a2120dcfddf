"""`nfsloop ping`: a NULL call of NFS version 3, as a health check."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import time
from pathlib import Path

from nfsloop.doctor.null import FAILED, MISMATCH, UNAVAILABLE, Reach, null
from nfsloop.doctor.seen import NFS_PROGRAM, NFS_VERSION
from nfsloop.errors import ConfigError
from nfsloop.mountline import NFS_PORT
from nfsloop.state import default_state, read_address

HELP = "ask whether a server answers"
DESCRIPTION = (
    "Make one NULL call of NFS version 3. The exit status is 0 if it is answered, and 1 if not; "
    "then one line says why."
)
EPILOG = """\
examples:
  nfsloop ping                        the server of this machine
  nfsloop ping --quiet --timeout 2    a health check
  nfsloop ping --udp files.example.org
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument(
        "host",
        metavar="HOST",
        nargs="?",
        help="default: where the server of this machine says that it is, else 127.0.0.1",
    )
    parser.add_argument(
        "--port", type=port, help=f"default: the server's of this machine, or {NFS_PORT}"
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the state directory of the server of this machine",
    )
    parser.add_argument("--udp", action="store_true", help="by UDP, not TCP")
    add_timeout(parser, "seconds to wait", 5.0)
    parser.add_argument("--quiet", action="store_true", help="print nothing if it answers")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    host, port = where(args.host, args.port, args.state)
    reach = ping(host, port, "udp" if args.udp else "tcp", args.timeout)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not reach.answers:
        name += " (UDP)" if args.udp else ""
        print(f"nfsloop: {name}: {_words(reach)}", file=sys.stderr)
        return 1
    if not args.quiet:
        print(f"{name} answers in {1000 * reach.seconds:.1f} ms")
    return 0


def where(host: str | None, port: int | None, state: Path | None) -> tuple[str, int]:
    """Whom to ask: what is not given, the server with this state directory has said."""
    found = None
    if host is None:
        with contextlib.suppress(ConfigError):
            found = read_address(state or default_state())
    there, its_port = found or ("127.0.0.1", NFS_PORT)
    return (host or there).removeprefix("[").removesuffix("]"), port or its_port


def ping(host: str, port: int, transport: str, timeout: float) -> Reach:
    """What comes of a NULL call: of the first address that answers, else of the first. It takes
    `timeout` seconds at most, but for looking up a name."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (socket.gaierror, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        return Reach(FAILED, text=f"the name has no address ({why})")
    first: Reach | None = None
    until = time.monotonic() + timeout
    for number, (*_, address) in enumerate(found):
        # An address that is silent leaves the others some of the time.
        share = (until - time.monotonic()) / (len(found) - number)
        reach = null(address, transport, NFS_PROGRAM, NFS_VERSION, share)
        if reach.answers:
            return reach
        first = first or reach
    return first or Reach(FAILED, text="the name has no address")


def _words(reach: Reach) -> str:
    if reach.outcome == MISMATCH:
        return f"serves NFS in versions {reach.low} to {reach.high}, not in version 3"
    return "speaks RPC, but has no NFS" if reach.outcome == UNAVAILABLE else str(reach)


def port(text: str) -> int:
    """A port, from the command line."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def add_timeout(parser: argparse.ArgumentParser, about: str, default: float = 3.0) -> None:
    """--timeout, of a command that asks others."""
    about = f"{about} (default: {default:g})"
    parser.add_argument("--timeout", type=_seconds, default=default, metavar="S", help=about)


def _seconds(text: str) -> float:
    """A time to wait, from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"takes seconds, up to 3600, not {text!r}")
    return number
