"""The command `nfsloop`; what it can do is in `nfsloop.verbs`."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from nfsloop.errors import ConfigError

#: The commands, in the order of the help; each is the module `nfsloop.verbs` has by its name.
VERBS = (
    "serve", "check", "reload", "status", "top", "trace", "clients", "exports", "backends", "fsck",
    "ping", "doctor", "mount", "umount",
)  # fmt: skip


_Raw = argparse.RawDescriptionHelpFormatter


class Verb(Protocol):
    """What a module of `nfsloop.verbs` has."""

    HELP: str
    DESCRIPTION: str
    EPILOG: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options and operands."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit status. Raises ConfigError."""


def verb(name: str) -> Verb:
    """The module of a command."""
    return cast(Verb, import_module(f"nfsloop.verbs.{name}"))


def parser(names: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The command line, as far as the commands `names` go."""
    top = argparse.ArgumentParser(
        prog="nfsloop",
        description="An NFSv3 server in Python: serves directories and more to NFS clients.",
        epilog="'nfsloop COMMAND --help' tells more of each; 'nfsloop serve --help' has examples.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        module = verb(name)
        own = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=_Raw if module.EPILOG else argparse.HelpFormatter,
            epilog=module.EPILOG,
        )
        module.arguments(own)
    return top


class _Version(argparse.Action):
    """Prints the version. It is looked up when it is asked for, as that takes long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"nfsloop {version()}")
        parser.exit()


def version() -> str:
    """The version of the installed package; a checkout that is not installed says so."""
    from importlib import metadata  # 15 ms of start-up that no server needs

    try:
        return metadata.version("nfsloop")
    except metadata.PackageNotFoundError:
        return "(not installed: run from a checkout)"


def _heed_sigterm() -> None:
    """For the first process of a container: the kernel drops its signals that have no handler, so
    that a stop which comes before the server is up would end in SIGKILL."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _write_anything(error: UnicodeError) -> tuple[str | bytes, int]:
    """For what goes to a terminal or a file: paths are bytes, and not every terminal has all."""
    for name in ("surrogateescape", "backslashreplace"):
        with contextlib.suppress(UnicodeError):
            return codecs.lookup_error(name)(error)
    raise error


codecs.register_error(_write_anything.__name__, _write_anything)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, or 1 after a line for each thing that is wrong."""
    if os.getpid() == 1:
        _heed_sigterm()
    given = sys.argv[1:] if argv is None else argv
    args = parser(given[:1] if given[:1] and given[0] in VERBS else VERBS).parse_args(given)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_write_anything.__name__)
    try:
        status = verb(args.command).run(args)
        if sys.stdout is not None:  # as with >&-
            sys.stdout.flush()
        return status
    except OSError as exc:
        if exc.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        # Else the interpreter would try to write the rest, and complain.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.errno == errno.EPIPE:  # whoever reads has enough
            return 128 + signal.SIGPIPE
        print(f"nfsloop: {exc.strerror}", file=sys.stderr)
        return 1
    except (ConfigError, ImportError) as exc:
        for line in str(exc).split("\n"):
            print(f"nfsloop: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there is a server that would end in order
        return 130
