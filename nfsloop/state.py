"""Where a server keeps its state, and where it says that it is reached. Imports little: the health
check of a container needs it every few seconds."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nfsloop.errors import ConfigError

#: In the state directory while a server runs, and after one that was killed: ``HOST PORT``.
ADDRESS = "address"
_ADDRESS_BYTES = 300


def default_state() -> Path:
    """What NFSLOOP_STATE says (a container image sets it); else /var/lib/nfsloop for root, a
    directory of the user's own otherwise (XDG base directories).

    Raises ConfigError where there is none.
    """
    if given := os.environ.get("NFSLOOP_STATE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/nfsloop")
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(base or Path.home() / ".local" / "state") / "nfsloop"
    except RuntimeError:  # neither HOME nor an entry in the password database
        raise ConfigError("no home directory to keep the state in: give one with --state") from None


def write_address(state: Path, host: str, port: int) -> None:
    """Have others on this machine find the server. Raises OSError."""
    (state / ADDRESS).write_text(f"{host} {port}\n")


def remove_address(state: Path) -> None:
    """It is not there any more."""
    with contextlib.suppress(OSError):
        (state / ADDRESS).unlink()


def read_address(state: Path) -> tuple[str, int] | None:
    """Where the server with this state directory is, or was; None if it does not say."""
    try:
        with open(state / ADDRESS, "rb") as file:
            host, port = file.read(_ADDRESS_BYTES).decode().split()
        number = int(port) if port.isascii() and port.isdecimal() else 0
    except (OSError, ValueError):
        return None
    return (host, number) if 0 < number < 65536 else None
