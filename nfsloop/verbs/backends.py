"""`nfsloop backends`: lists what can be served."""

from __future__ import annotations

import argparse

from nfsloop import commands

HELP = "list what can be served, with options and abilities"
DESCRIPTION = "List the backends and wraps that can be named as EXPORT, with their options."
EPILOG = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    del parser  # it has none


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    del args
    print("\n".join(commands.backends()))
    return 0
