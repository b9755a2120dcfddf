"""One object per NFS call (nfscall in SFS), and a service that hands the calls on whole."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from backends.base import Backend, Status
from nfsloop.export import Caller, Export
from nfsloop.nfs3.failure import FIRST_HANDLE, failed
from nfsloop.nfs3.nfs3_xdr import NFS_V3, NFS_V3_Service, WRITE3args
from oncrpc.call import LATER, Call, Origin, Peer, Transport
from oncrpc.errors import Refusal
from oncrpc.message import NOBODY, Credential
from oncrpc.program import Proc
from oncrpc.xdr import Buffer

PROCS: dict[str, Proc] = {proc.name: proc for proc in NFS_V3.procs.values()}


class NfsCall(Call):
    """A call of NFSv3: `proc` and `args`, who asks, and what it was resolved to.

    `export`, `backend` and `ctx` are there once its first handle was resolved. It is answered by
    `reply`, by `error` with a status, by `reject`, or not at all by `drop`.
    """

    __slots__ = ("args", "backend", "ctx", "export")

    args: Any
    export: Export
    backend: Backend
    ctx: Caller

    @property
    def fh(self) -> bytes:
        """The first file handle among the arguments (getfh3arg). Raises KeyError for NULL."""
        return FIRST_HANDLE[self.proc.name](self.args)

    def error(self, status: int) -> None:
        """Answer with an nfsstat3 other than NFS3_OK, in the shape that the procedure has.

        JUKEBOX is not kept by the duplicate request cache.
        """
        if status == Status.JUKEBOX:
            self.nocache()
        self.reply(failed(self.proc.name, status))

    @staticmethod
    def local(
        name: str, args: Any, credential: Credential = NOBODY, peer: Peer | None = None
    ) -> LocalNfsCall:
        """A call made in this process, answered without being encoded: await its `result`.

        `name` is the procedure's, such as "LOOKUP"; raises KeyError for another.
        """
        origin = Origin(credential, peer or Peer("127.0.0.1", 0, "local"))
        return LocalNfsCall(name, args, origin)


class _Nowhere:
    """The transport of a call that has none."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def send(self, parts: list[Buffer]) -> None:
        raise AssertionError("a local call is answered by its result")


class LocalNfsCall(NfsCall):
    """A call without a socket; `result` is a future of the typed result, or of the `Refusal`."""

    __slots__ = ("result",)

    def __init__(self, name: str, args: Any, origin: Origin) -> None:
        transport: Transport = _Nowhere(origin.peer)
        super().__init__(transport, 0, PROCS[name], origin)
        self.args = args
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, result: Any) -> None:
        """Answer with `result`; a second answer is an AssertionError."""
        self.drop()
        if not self.result.cancelled():
            self.result.set_result(result)

    def reject(self, why: Refusal) -> None:
        """Refuse the call; a second answer is an AssertionError."""
        self.drop()
        if not self.result.cancelled():
            self.result.set_exception(why)


class NfsServ(NFS_V3_Service):
    """Hands every NFSv3 call but NULL to one function (SFS's nfsserv), which answers now or later.

    `getcall(call)` may be a coroutine function; what it raises is answered SYSTEM_ERR.
    """

    CALL = NfsCall

    def __init__(self, getcall: Callable[[NfsCall], Any]) -> None:
        self._getcall = getcall
        for name in FIRST_HANDLE:
            setattr(self, name, self._take)

    async def _take(self, call: NfsCall, args: Any) -> Any:
        call.args = args
        waits = self._getcall(call)
        if inspect.isawaitable(waits):
            # It may need a task of its own (`asyncio.timeout`), and that begins when what the
            # views among the arguments show is gone.
            if isinstance(args, WRITE3args):
                args.data = call.take(args.data)
            await asyncio.ensure_future(waits)
        return LATER
