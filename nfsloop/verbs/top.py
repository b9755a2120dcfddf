"""`nfsloop top`: rates and latency of a running server's calls, live."""

from __future__ import annotations

import argparse

from nfsloop.verbs.common import add_config, add_state

HELP = "show what the running server does, live: calls by procedure, client or export"
DESCRIPTION = (
    "Show the running server's calls: how many a second, how many fail, how long they take, how "
    "much they carry. The server counts calls only while somebody looks. In a terminal this is a "
    "screen; anywhere else, a frame of plain text each interval."
)
EPILOG = """\
keys:
  q  quit        p  by procedure      s      sort by the next column
  c  by client   e  by export         space  hold, and go on

examples:
  nfsloop top                              live, in a terminal
  nfsloop top --by client --sort out       who reads most
  nfsloop top --once --interval 5          five seconds, in one frame
  nfsloop top --json --count 60 > log      a JSON object a second, for a minute
"""

#: A server counts for `nfsloop.limits.METER_SECONDS` (30) after it was asked last.
INTERVALS = (0.1, 20.0)

VIEWS = ("procedure", "client", "export")
SORTS = ("calls", "errors", "p99", "in", "out", "name")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument(
        "--interval",
        type=_interval,
        default=1.0,
        metavar="S",
        help="seconds from one frame to the next, 0.1 to 20 (default: 1)",
    )
    parser.add_argument("--count", type=_count, metavar="N", help="end after N frames")
    parser.add_argument(
        "--once", action="store_true", help="one frame of one interval, as plain text"
    )
    parser.add_argument("--by", choices=VIEWS, default="procedure", help="what rows are (p, c, e)")
    parser.add_argument("--sort", choices=SORTS, default="calls", help="the first row has most")
    parser.add_argument("--json", action="store_true", help="a JSON object a frame, one a line")
    add_state(parser)
    add_config(parser)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not INTERVALS[0] <= seconds <= INTERVALS[1]:
        least, most = INTERVALS
        raise argparse.ArgumentTypeError(f"takes seconds, {least:g} to {most:g}, not {text!r}")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"takes a number from 1 on, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop.commands import state_of
    from nfsloop.watching.tables import on_terminal
    from nfsloop.watching.top import Source, View, frames

    source = Source(state_of(args.state, args.config))
    view = View(args.by, args.sort)
    count = 1 if args.once else args.count
    if args.once or args.json or not on_terminal():
        return frames(source.sample, view, args.interval, count, args.json)
    from nfsloop.watching.screen import watch

    return watch(source.sample, view, args.interval, count)
