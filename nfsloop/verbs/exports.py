"""`nfsloop exports`: what the running server exports, and how that is."""

from __future__ import annotations

import argparse
import json
from typing import Any

from nfsloop.verbs.common import add_config, add_state

HELP = "say what the running server exports, for whom, and who uses it"
DESCRIPTION = (
    "List the running server's exports: where each is stored and how that is, for whom it is, "
    "which clients use it, and how many calls it has refused. The exit status is 1 if any is not "
    "well."
)
EPILOG = """\
examples:
  nfsloop exports
  nfsloop exports --json
  nfsloop clients --export /srv/data       the clients of one of them
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_state(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop.commands import state_of
    from nfsloop.control import ask
    from nfsloop.watching.listed import exports_table
    from nfsloop.watching.tables import layout, show, write
    from nfsloop.watching.top import dumps

    answer = ask(state_of(args.state, args.config), "exports", whole=True)
    rows: list[dict[str, Any]] = json.loads(answer[0])
    if args.json:
        status = write(dumps(rows) + "\n")
    else:
        status = show(lambda width: layout(exports_table(rows), width))
    return status or (1 if not all(row["well"] for row in rows) else 0)
