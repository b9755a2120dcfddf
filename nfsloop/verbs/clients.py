"""`nfsloop clients`: who uses the running server."""

from __future__ import annotations

import argparse
import json
from typing import Any

from nfsloop.verbs.common import add_config, add_state

HELP = "say who uses the running server, and which of its exports"
DESCRIPTION = (
    "List the running server's clients: what each has mounted, its connections, and for which "
    "exports calls came over them."
)
EPILOG = """\
USE is, of a client and an export:
  in use    mounted, and calls came over a connection that is open
  mounted   mounted by the list of mounts, but no such call: idle for minutes, or gone without
            unmounting (the list is advice, and clients that crash stay on it)
  unlisted  calls came over an open connection, but it is not on the list of mounts

examples:
  nfsloop clients
  nfsloop clients --export /srv/data       who uses that one
  nfsloop clients --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("--export", metavar="PATH", help="only those who use this export")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_state(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop.commands import state_of
    from nfsloop.control import ask
    from nfsloop.watching.listed import clients_table, of_export
    from nfsloop.watching.tables import layout, show, write
    from nfsloop.watching.top import dumps

    state = state_of(args.state, args.config)
    rows: list[dict[str, Any]] = json.loads(ask(state, "clients")[0])
    if args.export is not None:
        paths = [row["path"] for row in json.loads(ask(state, "exports")[0])]
        rows = of_export(rows, args.export, paths)
    if args.json:
        return write(dumps(rows) + "\n")
    return show(lambda width: layout(clients_table(rows), width))
