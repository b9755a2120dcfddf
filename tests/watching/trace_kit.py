"""A server in this process whose calls are traced, and calls made by hand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import wire

import nfsloop
from backends.base import Backend
from backends.memory import MemoryBackend
from nfsloop.app import App
from nfsloop.layers import Below, Layer
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfscall import NfsCall
from nfsloop.watching.trace import tracing
from nfsloop.watching.wanted import Filter
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.message import AUTH_SYS, Credential
from oncrpc.xdr import Buffer, encode

PROCS = {proc.name: proc for proc in x.NFS_V3.procs.values()}
ME = wire.auth_sys(1000, 100, [])
NOTHING = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
SATTR = x.sattr3(0o644, None, None, None, *NOTHING)


class Caller:
    """The transport of calls made by hand; `replies` are what came back."""

    def __init__(self, host: str = "192.0.2.7", port: int = 700, transport: str = "tcp") -> None:
        self.peer = Peer(host, port, transport)
        self.replies: list[bytes] = []

    def send(self, parts: list[Buffer]) -> None:
        self.replies.append(b"".join(parts))


class Gate(Layer):
    """Holds calls until it is opened."""

    def __init__(self, *names: str) -> None:
        self.procedures = frozenset(names)
        self.open = asyncio.Event()

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        if isinstance(args, x.WRITE3args):
            args.data = call.take(args.data)
        await self.open.wait()
        return await below(call, args)


class Traced:
    """A server, and what was told of its calls: `events`, each some lines."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.events: list[list[str]] = []
        self.caller = Caller()
        self.xid = 0
        self.full = False
        self.dropped = 0

    def tell(self, when: float, lines: list[str]) -> None:
        self.events.append(lines)

    def drop(self) -> None:
        self.dropped += 1

    def told(self) -> list[str]:
        """The first lines of the events so far, taken away."""
        lines = [event[0] for event in self.events]
        self.events.clear()
        return lines

    def record(self, record: Buffer, caller: Caller | None = None) -> bytes:
        """Have a message served; the reply, if there is one now."""
        caller = caller or self.caller
        caller.replies.clear()
        self.app.server.dispatcher.dispatch(record, caller, None)
        return caller.replies[0] if caller.replies else b""

    def message(self, name: str, args: Any, xid: int | None = None) -> bytes:
        """The message of a call of NFS."""
        self.xid += 1
        proc = PROCS[name]
        body = encode(proc.encode_args, args)
        number = self.xid if xid is None else xid
        return wire.call(proc=proc.number, args=body, xid=number, credential=ME)

    def call(self, name: str, args: Any, caller: Caller | None = None) -> Any:
        """The result of a call of NFS."""
        reply = self.record(self.message(name, args), caller)
        return PROCS[name].decode_result(reply, 24)[0]

    async def root(self, number: int = 0) -> bytes:
        """The handle of the root of an export."""
        export = list(self.app.exports)[number]
        peer = self.caller.peer
        ctx = export.context(Credential(AUTH_SYS, 1000, 100), peer)
        attr = await export.backend.root(ctx)
        return self.app.handles.pack(export.number, attr.ino, attr.generation)


class OpenBackend(MemoryBackend):
    """Anybody may write."""

    def __init__(self) -> None:
        super().__init__(mode=0o777)


@asynccontextmanager
async def traced(
    level: int = 2,
    backends: Backend | dict[str, Backend] | None = None,
    layers: list[Layer] | None = None,
    **request: Any,
) -> AsyncIterator[Traced]:
    """A server whose calls are traced."""
    if backends is None:
        backends = OpenBackend()
    async with nfsloop.serving(
        backends, options="no_root_squash,insecure", layers=layers or []
    ) as server:
        it = Traced(server.app)
        wanted = Filter.parse({"level": level, **request}, server.app.exports)
        with tracing(server.app, wanted, it):
            yield it


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        loop.run(test(*args, **kwargs))

    return run


def lookup(root: bytes, name: bytes) -> x.LOOKUP3args:
    return x.LOOKUP3args(x.diropargs3(root, name))


def mkdir(root: bytes, name: bytes) -> x.MKDIR3args:
    return x.MKDIR3args(x.diropargs3(root, name), SATTR)


def string(value: bytes) -> bytes:
    """An XDR string."""
    return struct.pack(">I", len(value)) + value + bytes(-len(value) & 3)
