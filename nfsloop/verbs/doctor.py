"""`nfsloop doctor`: why a mount does not work, and what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

from nfsloop.errors import ConfigError
from nfsloop.state import default_state
from nfsloop.verbs.common import add_config, add_state
from nfsloop.verbs.ping import add_timeout, port

HELP = "find out why a mount does not work"
DESCRIPTION = (
    "Look for what keeps a mount from working, say what to do, and print the command that mounts. "
    "With HOST, as a client of that host; without, at the server of this machine. The exit status "
    "is 0 if there is no problem."
)
EPILOG = """\
examples:
  nfsloop doctor files.example.org:/srv/data   why does that mount not work?
  nfsloop doctor                               why does my server not serve?
  nfsloop doctor --json files.example.org      for a program
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("what", metavar="HOST[:/EXPORT]", nargs="?", help="what is to be mounted")
    parser.add_argument(
        "--port", type=port, help="the port of NFS, if no portmapper tells it (default: 2049)"
    )
    add_timeout(parser, "seconds after which something is silent")
    parser.add_argument(
        "--remote",
        action="store_true",
        help="look at HOST alone, not at whether this machine could mount",
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON, on one line")
    parser.add_argument("-v", dest="verbose", action="store_true", help="tell what is fine, too")
    add_state(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop.doctor import examine

    say = examine.progress()
    if args.what is None:
        named = args.state is not None or args.config is not None
        report = examine.of_this_machine(state_of(args), args.config, args.timeout, say, named)
    else:
        try:
            host, path = examine.parse(args.what)
        except ValueError as exc:
            raise ConfigError(exc) from None
        report = examine.of_host(host, path, args.port, args.timeout, say, args.remote)
    say("")
    if args.json:
        print(examine.as_json(report))
    else:
        print("\n".join(examine.lines(report, args.verbose)))
    return 0 if report.healthy else 1


def state_of(args: argparse.Namespace) -> Path:
    """The state directory that is meant."""
    from nfsloop.sources import Sources, gather

    if args.state is None and args.config is not None:
        named: Path | None = gather(Sources(config=args.config.absolute())).values.get("state")
        return named or default_state()
    given: Path | None = args.state
    return given or default_state()
