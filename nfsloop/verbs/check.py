"""`nfsloop check`: says what is wrong with settings and exports, or what would be exported."""

from __future__ import annotations

import argparse
import sys

from nfsloop import commands, logs
from nfsloop.verbs.common import add_exports, sources_of

HELP = "say what is wrong with settings and exports, or what would be exported"
DESCRIPTION = (
    "Read settings and exports as serve does, and say all that is wrong with "
    "them. The exit status is 0 if nothing is."
)
EPILOG = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    add_exports(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    logs.start("error")
    status, lines = commands.check(sources_of(args))
    print("\n".join(lines), file=sys.stderr if status else sys.stdout)
    return status
