"""`nfsloop trace`: tells of the calls of a running server as they come."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Generator

from nfsloop.commands import state_of
from nfsloop.config import trace_level
from nfsloop.control import stream
from nfsloop.errors import ConfigError
from nfsloop.verbs.common import add_config, add_state, seconds

HELP = "tell of the running server's calls as they come"
DESCRIPTION = """\
Tell of the running server's calls as they come, until Ctrl-C. Options that choose calls may be
given several times, or take several words with commas between them.

levels: 1 calls that fail, 2 a line for each call (default), 3 refusals too, 4 each call and its
reply, and calls that come again, 5 to 9 their arguments and results too, ever deeper
"""
EPILOG = """\
examples:
  nfsloop trace                                  a line for each call
  nfsloop trace --level 1                        what fails
  nfsloop trace --client 10.0.0.7 --procedure lookup,create
  nfsloop trace --export /srv/data --level 6 --count 20
                                                 twenty events, with arguments and results
  nfsloop trace --level 4 --seconds 10 | grep -E 'replay|again'
                                                 calls that come more than once
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument(
        "--level", type=_level, default=2, metavar="N", help="how much is told: 1 to 9 (default: 2)"
    )
    for option, metavar, what in (
        ("client", "ADDR|NETWORK", "calls of this address, or of this network (10.0.0.0/8)"),
        ("export", "PATH", "calls for files of this export, and mounts of it"),
        ("procedure", "NAME", "calls of this procedure, such as LOOKUP or MNT"),
        ("program", "NAME", "calls of this program: nfs, mount, nlm, portmap"),
    ):
        parser.add_argument(
            f"--{option}",
            dest=f"{option}s",
            metavar=metavar,
            action="append",
            default=[],
            help=f"only {what}",
        )
    parser.add_argument("--count", type=_count, metavar="N", help="end after so many events")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="end after so long")
    add_state(parser)
    add_config(parser)


def _level(text: str) -> int:
    try:
        if level := trace_level(int(text)):
            return level
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"a level from 1 to 9, not {text!r}")


def _count(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    request = {"level": args.level, "exports": args.exports} | {
        name: [word for text in getattr(args, name) for word in text.split(",")]
        for name in ("clients", "procedures", "programs")
    }
    if sys.stdout is None:
        raise ConfigError("there is no standard output to tell it to")
    state = state_of(args.state, args.config)
    lines = stream(state, "trace", args.seconds, **request)
    try:
        with contextlib.closing(lines):
            said = _show(lines, args.count)
    except KeyboardInterrupt:
        return 0
    except OSError as exc:
        # What is left in the stream would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(exc, BrokenPipeError):  # who reads has had enough
            return 0
        raise ConfigError(f"standard output: {exc.strerror}") from None
    if said:
        print(f"nfsloop: {said}", file=sys.stderr)
    return 0


def _show(batches: Generator[list[str], None, str], count: int | None) -> str:
    """Print what comes, `count` events at most; what the server said at the end."""
    left = -1 if count is None else count
    while True:
        try:
            batch = next(batches)
        except StopIteration as stop:
            said: str = stop.value
            return said
        if not batch and sys.stderr is not None and sys.stderr.isatty():
            print("tracing; Ctrl-C ends it", file=sys.stderr)
        for line in batch:
            if not line.startswith((" ", "…")):  # those tell more of an event, or of none
                if not left:
                    return ""
                left -= 1
            print(line)
        sys.stdout.flush()
        if not left:
            return ""
