"""Calls that wait for each other's names, in front of a store that does not answer."""

from __future__ import annotations

import asyncio

import nfsloop
from backends.base import Attr, Context, Key
from backends.memory import MemoryBackend
from nfsloop.nfs3 import nfs3_xdr as x

#: One after the other, each with the whole patience, they would take a minute.
CALLS = 120
PATIENCE = 0.5


class Hanging(MemoryBackend):
    """Memory that says it lasts, and stops answering."""

    inline = False
    persistent = True
    patience = PATIENCE
    hangs = False

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        if self.hangs:
            await asyncio.sleep(3600)
        return await super().getattr(ctx, key)


def test_a_name_is_not_waited_for_longer_than_the_patience() -> None:
    """All are told to ask again about as soon as the first; they do not queue up."""
    backend = Hanging()
    with (
        nfsloop.serving_in_thread(backend, options="no_root_squash") as server,
        server.client() as client,
    ):
        client.mkdir("/d")
        handle = client.handle("/d")
        backend.hangs = True
        keep = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)

        async def chmod(number: int) -> str:
            wish = x.sattr3(0o600 + number % 64, None, None, None, *keep)
            res = await client._nfs.SETATTR(x.SETATTR3args(handle, wish, None))
            return str(res.status.name)

        async def main() -> list[str]:
            async with asyncio.timeout(20):
                return await asyncio.gather(*(chmod(number) for number in range(CALLS)))

        assert client._run(main()) == ["NFS3ERR_JUKEBOX"] * CALLS
