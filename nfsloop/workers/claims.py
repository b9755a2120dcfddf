"""NFSv3 in a worker: a name is changed by one process at a time.

Who wants a name that a call of this worker has stands in a line until that gives it back. A name
that another worker has is asked for again and again, as nobody there knows who waits.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from zlib import crc32

from backends.base import FsError, Status
from nfsloop.export import Exports
from nfsloop.handle import FILE, FileHandles
from nfsloop.nfs3.recovery import NAMES
from nfsloop.nfs3.server import Nfs3Service
from nfsloop.nfscall import NfsCall
from nfsloop.workers.page import ROOM, Row
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
        #: What calls of this worker wait for (a hash, or `ROOM`) -> the calls, the first first.
        self._lines: dict[int, deque[asyncio.Future[None]]] = {}

    async def intent(self, call: NfsCall, args: Any) -> bytes | None:
        """See `Service.intent`. The names are claimed before they are looked at, and until the
        reply is kept. Raises JUKEBOX where another process has one of them for too long."""
        once = call.transport
        if not isinstance(once, Once):
            return await super().intent(call, args)
        names = scopes(call.proc.name, args)
        if self._lines or not self._row.take(names):
            await self._wait(names)
        try:
            return await super().intent(call, args)
        finally:
            once.then = partial(self._give, names, once.then)

    async def _wait(self, names: Sequence[int]) -> None:
        """Take them when they are to be had. Raises JUKEBOX."""
        now = asyncio.get_running_loop().time
        deadline = now() + PATIENCE_SECONDS
        pause = AGAIN_SECONDS
        # Those who stand in a line already come first.
        want = next((name or 1 for name in names if (name or 1) in self._lines), None)
        if want is None and ROOM in self._lines:
            want = ROOM
        came = True
        try:
            while now() < deadline:
                before = want
                if want is not None:
                    await self._stand(want, came, deadline - now())
                    came = False
                elif self._row.take(names):
                    return
                elif self._row.wanting(names) is None:
                    await asyncio.sleep(random.uniform(pause / 2, pause))
                    pause = min(2 * pause, AGAIN_SECONDS_MAX)
                want = self._row.wanting(names)
                if before is not None and want not in {None, before}:
                    self._next(before)  # it waits for something else now
            raise FsError(Status.JUKEBOX, "its names are in use by a call that takes its time")
        except BaseException:
            self._wake(names)
            raise

    async def _stand(self, want: int, last: bool, seconds: float) -> None:
        """Stand in the line for `want`, as the last or the first, for so long at most."""
        turn = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(want, deque())
        (line.append if last else line.appendleft)(turn)
        try:
            await asyncio.wait([turn], timeout=seconds)
        finally:
            if not turn.done():
                line.remove(turn)
                if not line:
                    self._lines.pop(want, None)

    def _next(self, want: int) -> None:
        """The first in a line may try."""
        line = self._lines.get(want)
        if line:
            line.popleft().set_result(None)
            if not line:
                del self._lines[want]

    def _give(self, names: Sequence[int], then: Callable[[], None] | None) -> None:
        self._row.give(names)
        if self._lines:
            self._wake(names)
        if then is not None:
            then()

    def _wake(self, names: Sequence[int]) -> None:
        for name in names:
            self._next(name or 1)
            self._next(ROOM)


def scopes(proc: str, args: Any) -> list[int]:
    """What a call claims, as hashes of 32 bits: the names that it changes, or the file.

    A directory is known by its inode, as one may be in several exports. Two that are one by chance,
    or of two storages, wait for each other, no more.
    """
    if proc in NAMES:
        return [crc32(what.name, crc32(what.dir[FILE])) for what in NAMES[proc](args)]
    return [crc32(args.object[FILE])]
