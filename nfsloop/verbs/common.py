"""Options that several commands have, and what they come to."""

from __future__ import annotations

import argparse
import contextlib
import re
from pathlib import Path

from nfsloop.construct import is_target, look_here
from nfsloop.limits import WAIT_MAX_SECONDS
from nfsloop.sources import Sources
from nfsloop.storage import BACKENDS

#: Options of the command line that are fields of `Settings`.
SETTINGS = (
    "host", "port", "rpcbind", "udp", "state", "log_level", "log_format", "loop", "layers",
    "workers", "metrics", "trace", "stop_seconds",
)  # fmt: skip


def add_config(command: argparse.ArgumentParser) -> None:
    """--config, of a command that asks a running server."""
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings, if they name the state directory"
    )


def add_exports(command: argparse.ArgumentParser) -> None:
    """What is exported: EXPORT, --wrap, -o, --exports, --config."""
    command.add_argument(
        "exports",
        metavar="EXPORT",
        nargs="*",
        help="a directory, or a storage such as memory: (the default) and sqlite:FILE, which "
        "'nfsloop backends' lists; /NAME= before either chooses the path that clients mount. The "
        "first export is also mounted as /",
    )
    command.add_argument(
        "--wrap",
        dest="wraps",
        metavar="WRAP",
        action="append",
        default=[],
        help="put each EXPORT behind a wrap, such as readonly or attrcache?seconds=5 ('nfsloop "
        "backends' lists them); the first is outermost",
    )
    command.add_argument(
        "-o",
        dest="options",
        metavar="OPTIONS",
        default="",
        help="words of exports(5), separated by commas, for each EXPORT: ro, rw (default), "
        "root_squash (default), no_root_squash, all_squash, anonuid=N, anongid=N, sync (default), "
        "async, secure, insecure",
    )
    command.add_argument(
        "--exports",
        dest="files",
        type=Path,
        metavar="FILE|DIR",
        action="append",
        default=[],
        help="a file of exports(5), or a directory with files called *.exports",
    )
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings and exports (nfsloop.toml); what the command line says counts more",
    )


def add_state(command: argparse.ArgumentParser) -> None:
    """--state."""
    command.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="what must survive a restart: the key of the file handles, indexes, the list of "
        "mounts (default: $NFSLOOP_STATE, or /var/lib/nfsloop for root, ~/.local/state/nfsloop for "
        "others)",
    )


def names_code(text: str) -> bool:
    """Whether an argument has the form of a class of the user's own, anywhere in it."""
    words = [word.partition("?")[0] for word in re.split(r"[|;=]", text)]
    return any(is_target(word) and word.partition(":")[0] not in BACKENDS for word in words)


def sources_of(args: argparse.Namespace) -> Sources:
    """What the command line says, its paths whole: a reload may come from another directory."""
    given = {name: getattr(args, name, None) for name in SETTINGS}
    values = {name: value for name, value in given.items() if value is not None}
    if "layers" in values:
        values["layers"] = tuple(values["layers"])
    if any(map(names_code, [*args.exports, *args.wraps, *values.get("layers", ())])):
        look_here()
    return Sources(
        exports=tuple(args.exports),
        files=tuple(path.absolute() for path in args.files),
        config=args.config and args.config.absolute(),
        options=args.options,
        wraps=tuple(args.wraps),
        settings=values,
    )


def seconds(text: str) -> float:
    """A time to wait, from the command line. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= WAIT_MAX_SECONDS:
            return float(text)
    raise argparse.ArgumentTypeError(
        f"a number of seconds above 0, up to {WAIT_MAX_SECONDS:.0f}, not {text!r}"
    )
