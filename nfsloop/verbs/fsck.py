"""`nfsloop fsck`: looks for inconsistencies in a storage."""

from __future__ import annotations

import argparse

from nfsloop import commands, logs
from nfsloop.construct import look_here
from nfsloop.verbs.common import add_state, names_code

HELP = "look for inconsistencies in a storage that nobody serves"
DESCRIPTION = (
    "Check the consistency of a storage. The exit status is 0 if it is sound, or "
    "if all was repaired."
)
EPILOG = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("storage", metavar="STORAGE", help="as EXPORT of serve, without /NAME=")
    parser.add_argument("--repair", action="store_true", help="put right what can be put right")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    logs.start("info")
    if names_code(args.storage):
        look_here()
    status, lines = commands.fsck(args.storage, args.state, args.repair)
    print("\n".join(lines))
    return status
