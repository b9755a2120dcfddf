"""`nfsloop reload`: has the running server read its files again."""

from __future__ import annotations

import argparse

from nfsloop import commands
from nfsloop.verbs.common import add_config, add_state

HELP = "have the running server read its files again"
DESCRIPTION = (
    "Have the running server read its files of settings and exports again. "
    "Exports are added, removed and changed; clients of the others notice nothing. If "
    "anything is wrong, it is said here, and the server goes on as it was."
)
EPILOG = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    add_state(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    for line in commands.reload(args.state, args.config):
        print(line)
    return 0
