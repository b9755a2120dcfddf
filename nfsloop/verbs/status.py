"""`nfsloop status`: says how the running server's exports are."""

from __future__ import annotations

import argparse

from nfsloop import commands
from nfsloop.verbs.common import add_config, add_state

HELP = "say how the running server's exports are"
DESCRIPTION = "Ask the running server how its storage is. The exit status is 1 if any is not well."
EPILOG = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    add_state(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    lines = commands.status(args.state, args.config)
    print("\n".join(lines))
    return 1 if any(commands.ILL in line for line in lines) else 0
