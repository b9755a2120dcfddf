"""NFSv3 in a worker: a name is changed by one process at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from backends.base import FsError, Status
from nfsloop.export import Exports
from nfsloop.handle import FileHandles
from nfsloop.nfs3.recovery import NAMES
from nfsloop.nfs3.server import Nfs3Service
from nfsloop.nfscall import NfsCall
from nfsloop.workers.page import Row
from oncrpc.call import Once

#: A name that another worker has is asked for again after so long at least, and at most.
AGAIN_SECONDS = 0.0002
AGAIN_SECONDS_MAX = 0.005

#: Who has waited for so long is told to ask again (JUKEBOX).
PATIENCE_SECONDS = 10.0


class SharedNfs3Service(Nfs3Service):
    """The service of one of several processes; `row` has the names that its calls have in hand."""

    def __init__(self, exports: Exports, handles: FileHandles, row: Row) -> None:
        super().__init__(exports, handles)
        self._row = row

    async def intent(self, call: NfsCall, args: Any) -> bytes | None:
        """See `Service.intent`. The names are claimed before they are looked at, and until the
        reply is kept. Raises JUKEBOX where another process has one of them for too long."""
        once = call.transport
        if not isinstance(once, Once):
            return await super().intent(call, args)
        names = scopes(call.proc.name, args)
        if not self._row.take(names):
            await self._wait(names)
        try:
            return await super().intent(call, args)
        finally:
            once.then = _giving(self._row, names, once.then)

    async def _wait(self, names: Sequence[int]) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + PATIENCE_SECONDS
        pause = AGAIN_SECONDS
        while now() < deadline:
            await asyncio.sleep(random.uniform(pause / 2, pause))
            if self._row.take(names):
                return
            pause = min(2 * pause, AGAIN_SECONDS_MAX)
        raise FsError(Status.JUKEBOX, "its names are in use by a call of another process")


def _giving(row: Row, names: Sequence[int], then: Callable[[], None] | None) -> Callable[[], None]:
    def give() -> None:
        row.give(names)
        if then is not None:
            then()

    return give


def scopes(proc: str, args: Any) -> list[int]:
    """What a call claims, as hashes of 32 bits: the names that it changes, or the file.

    Two that are one by chance wait for each other, no more.
    """
    if proc in NAMES:
        return [crc32(what.name, crc32(what.dir)) for what in NAMES[proc](args)]
    return [crc32(args.object)]
