"""Starts servers quickly: it has imported nfsloop, and forks one for each life.

    crash_nursery.py PLANT ARGUMENTS-OF-NFSLOOP...

It is told "start", "kill" or "stop", a line each, and says when it is done: "started", or the exit
status. PLANT is empty, or names a fault that the server shall have.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nfsloop import app, cli, commands, control  # noqa: F401 - imported before the fork
from nfsloop.nfs3.server import Nfs3Service
from oncrpc.call import Once
from oncrpc.drc import DuplicateRequestCache


def no_cache() -> None:
    """Replies are forgotten as soon as they are given."""
    begin = DuplicateRequestCache.begin

    def forgetful(self: DuplicateRequestCache, key: bytes, transport: Any) -> Any:
        if not isinstance(self._entries.get(key), Once):
            self.discard(key)
        return begin(self, key, transport)

    DuplicateRequestCache.begin = forgetful  # type: ignore[method-assign]


def no_intents() -> None:
    """A crash between an operation and the record of its reply is not found out."""

    async def nothing(self: Nfs3Service, call: Any, args: Any) -> None:
        return None

    Nfs3Service.intent = nothing  # type: ignore[assignment, method-assign]


def no_restore() -> None:
    """The cache begins empty with each start."""
    restore = DuplicateRequestCache._restore

    def empty(self: DuplicateRequestCache) -> list[Once]:
        self._ring.found = []
        return restore(self)

    DuplicateRequestCache._restore = empty  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "no-cache": no_cache,
    "no-intents": no_intents,
    "no-restore": no_restore,
}


def start(argv: list[str]) -> int:
    """A server in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        status = cli.main(argv)
    finally:
        os._exit(status)


def main(plant: str, argv: list[str]) -> None:
    """Until the end of standard input."""
    PLANTS[plant]()
    child = 0
    try:
        for line in sys.stdin:
            if line.strip() == "start":
                child = start(argv)
                print("started", flush=True)
                continue
            if not child:  # what was cut off after a kill has none; and 0 is the whole group
                print("none", flush=True)
                continue
            number = signal.SIGKILL if line.strip() == "kill" else signal.SIGTERM
            os.kill(child, number)
            _, status = os.waitpid(child, 0)
            child = 0
            print(os.waitstatus_to_exitcode(status), flush=True)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
