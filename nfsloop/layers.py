"""Layers of NFS calls, as SFS's nfsserv has them: calls go down, replies walk back up.

    class Greet(Layer):
        procedures = frozenset({"LOOKUP"})

        async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
            result = await below(call, args)
            log.info("%s: %s", args.what.name, result.status.name)
            return result

A layer stands between the network and the backends: behind the duplicate request cache, so that it
sees no call twice that was executed, and before handles are resolved. See docs/layers.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeAlias

from backends.base import Status
from nfsloop.limits import CENSUS_CLIENTS, CENSUS_FILES
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.failure import FAILURES
from nfsloop.nfs3.failure import failed as _failed
from nfsloop.nfscall import NfsCall
from oncrpc.call import LATER
from oncrpc.dispatch import Wrap
from oncrpc.program import Handler, Proc, Program
from oncrpc.xdr import Buffer

__all__ = ["LAYERS", "Below", "Census", "Deny", "Layer", "Stack", "failed", "wraps"]

#: The rest of the way down: ``await below(call, args)`` gives the result.
Below: TypeAlias = Callable[[NfsCall, Any], Awaitable[Any]]

#: All procedures that layers see: those of NFS version 3 but NULL.
PROCEDURES = frozenset(FAILURES)

#: Calls that use a file's data, by which it is guessed to be open.
_USES = {"READ": "file", "WRITE": "file", "COMMIT": "file"}


class Layer:
    """One layer. Subclass it, and give `handle`; one object serves one server.

    It is made by keyword arguments, which configurations write as ``mypkg.mod:Class?option=value``.
    """

    #: The procedures that go through `handle`, by name; None: all but NULL. The others pass by at
    #: no cost. Read once, when the server starts; an object may have its own.
    procedures: frozenset[str] | None = None

    #: True: each call through `handle` gets a Task of its own, and data that stays. Without, there
    #: is no current task (so no `asyncio.timeout` and no task group) before the first wait, and
    #: the data of a WRITE must be kept (``args.data = call.take(args.data)``) before `handle`
    #: waits for anything but `below`.
    in_task: bool = False

    _below: dict[str, Handler]

    async def start(self) -> None:
        """Called once, before the first call. May raise OSError or ValueError: the server will not
        start."""

    async def stop(self) -> None:
        """Called once after `start`, when the last call has been answered."""

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        """The result of `call`, usually ``await below(call, args)``.

        What it raises is answered as if a backend had raised it: `FsError` and OSError with their
        status and the attributes that the procedure's failure carries. What fails below comes up
        as such an exception, not as a result. `call.export` and `call.ctx` are there once a call
        has been below.
        """
        return await below(call, args)

    async def ask(self, call: NfsCall, name: str, args: Any) -> Any:
        """The result of another call, as whoever made `call`, through the layers below this one.

        `name` is the procedure's. Raises what fails below. The duplicate request cache knows
        nothing of it.
        """
        other = NfsCall.local(name, args, call.credential, call.peer)
        return await self._below[name](other, args)


def failed(call: NfsCall, status: int) -> Any:
    """The result of `call` that says `status` (not OK), without attributes."""
    return _failed(call.proc.name, status)


class Stack:
    """The layers of one server, the first outermost.

    Raises ValueError for a layer that serves another already, or is interested in no procedure
    that there is.
    """

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self.layers = tuple(layers)
        for layer in self.layers:
            unknown = sorted((layer.procedures or PROCEDURES) - PROCEDURES)
            if unknown:
                name = type(layer).__name__
                raise ValueError(f"layer {name}: NFS has no procedure {', '.join(unknown)}")
            if hasattr(layer, "_below"):
                raise ValueError(f"layer {type(layer).__name__} serves another server already")
            layer._below = {}
        self._started: list[Layer] = []

    @property
    def wraps(self) -> list[Wrap]:
        """What `oncrpc.server.RpcServer.add` takes."""
        return [partial(_wrap, layer) for layer in self.layers]

    async def start(self) -> None:
        """Start the layers, the lowest first."""
        for layer in reversed(self.layers):
            await layer.start()
            self._started.append(layer)

    async def stop(self) -> None:
        """Stop those that were started, the outermost first."""
        while self._started:
            layer = self._started.pop()
            try:
                await layer.stop()
            except Exception:  # the others are stopped all the same
                logging.getLogger("nfsloop").exception("layer %s", type(layer).__name__)
        for layer in self.layers:
            if hasattr(layer, "_below"):
                del layer._below


def wraps(layers: Sequence[Layer]) -> list[Wrap]:
    """Wraps of handlers for `layers`, whose `start` and `stop` are the caller's."""
    return Stack(layers).wraps


def _wrap(layer: Layer, program: Program, proc: Proc, below: Handler) -> Handler:
    """`below`, or `layer` before it."""
    if program.number != x.NFS_V3.number or proc.name not in PROCEDURES:
        return below
    layer._below[proc.name] = below
    if layer.procedures is not None and proc.name not in layer.procedures:
        return below
    return partial(_through_task if layer.in_task else _through, layer.handle, below)


def _through(
    handle: Callable[[NfsCall, Any, Below], Awaitable[Any]], below: Below, call: NfsCall, args: Any
) -> Awaitable[Any]:
    call.args = args
    return handle(call, args, below)


async def _through_task(
    handle: Callable[[NfsCall, Any, Below], Any], below: Below, call: NfsCall, args: Any
) -> Any:
    if isinstance(args, x.WRITE3args):
        args.data = call.take(args.data)
    call.args = args
    return await asyncio.get_running_loop().create_task(handle(call, args, below))


# Layers that come with nfsloop


class Census(Layer):
    """Counts calls by procedure and by client, and guesses how many files are open.

    NFSv3 has no open and no close: a file counts as open for `idle` seconds after its data were
    used. Every `every` seconds, and at the stop, a line goes to "nfsloop.census" (0: never). The
    clients beyond the first 1024 are counted as one, called "others".
    """

    def __init__(self, every: float = 60.0, idle: float = 60.0) -> None:
        if every < 0 or idle <= 0:
            raise ValueError("every and idle are seconds: 0 or more, and more than 0")
        self.every = every
        self.idle = idle
        #: Calls since the start.
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.clients: Counter[str] = Counter()
        self.log = logging.getLogger("nfsloop.census")
        self._files: OrderedDict[bytes, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._now: Callable[[], float] = time.monotonic

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        if self.every:
            self._timer = loop.call_later(self.every, self._tell_again)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self.log.info("%s", str(self))

    def _tell_again(self) -> None:
        self.log.info("%s", str(self))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.every, self._tell_again)

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        name, host = call.proc.name, call.peer.host
        self.calls[name] += 1
        known = host in self.clients or len(self.clients) < CENSUS_CLIENTS
        self.clients[host if known else "others"] += 1
        try:
            result = await below(call, args)
        except Exception:
            self.errors[name] += 1
            raise
        if name in _USES and result is not LATER:
            self._used(bytes(call.fh), self._now())
        return result

    def _used(self, handle: bytes, now: float) -> None:
        files = self._files
        files[handle] = now
        files.move_to_end(handle)
        if len(files) > CENSUS_FILES:
            files.popitem(last=False)

    @property
    def open_files(self) -> int:
        """The files that are open, by the guess; those beyond the first 65536 are not counted."""
        files, least = self._files, self._now() - self.idle
        while files and next(iter(files.values())) < least:
            files.popitem(last=False)
        return len(files)

    def __str__(self) -> str:
        calls = ", ".join(f"{count} {name}" for name, count in self.calls.most_common())
        whole = f"{self.calls.total()} calls ({calls or 'none'}), {self.errors.total()} failed"
        return f"{whole}; {len(self.clients)} clients, {self.open_files} files open"


class Deny(Layer):
    """Refuses calls by procedure and by the names in them.

    `procedures` (such as ``REMOVE,RMDIR,RENAME``) may be refused; of these, the calls that name a
    file that a pattern of `names` (``*.db,.git``, as of a shell) matches; all of them where a
    procedure carries no name, or `names` is ``*``. `status` is what they are told.
    """

    def __init__(self, procedures: str, names: str = "*", status: Status = Status.ACCES) -> None:
        if status in (Status.OK, Status.JUKEBOX):
            raise ValueError(f"a call cannot be denied with {status.name}")
        self.procedures = frozenset(_words(procedures.upper()))
        if not self.procedures:
            raise ValueError("procedures: no procedure is named")
        self.patterns = _words(names)
        self.status = status

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        named = names(args)
        if not named or any(self._matches(name) for name in named):
            return failed(call, self.status)
        return await below(call, args)

    def _matches(self, name: bytes) -> bool:
        return any(fnmatchcase(os.fsdecode(name), pattern) for pattern in self.patterns)


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def names(args: Any) -> list[bytes]:
    """The file names in the arguments of a procedure, in their order."""
    values: list[Buffer] = [
        getattr(args, field.name).name
        for field in fields(args)
        if isinstance(getattr(args, field.name), x.diropargs3)
    ]
    return [bytes(value) for value in values]


#: By the names that configurations use; others are named ``package.module:Class``.
LAYERS: Mapping[str, type[Layer]] = {"census": Census, "deny": Deny}
