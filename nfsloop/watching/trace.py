"""Tells of calls as they pass, in the levels of SFS's ASRV_TRACE, while somebody wants to know.

A `Tracer` is a watch (`oncrpc.dispatch.Dispatcher.watch`): it sees each call as a record, and its
answer as what the call's transport is given. So it sees those too that are answered by the
duplicate request cache, those that are refused, and those that never get an answer.

| level | told |
|---|---|
| 1 | calls that fail, with their status |
| 2 | each call, in a line, when it is answered |
| 3 | refusals of the runtime, and what gets no answer |
| 4 | the call when it comes, its reply, and calls that come again |
| 5 to 9 | arguments and results, ever deeper |
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from nfsloop.hosts import address_of
from nfsloop.limits import TRACE_CALLERS, TRACE_RESULT_BYTES
from nfsloop.mount3.mount3_xdr import MOUNT_V3
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from nfsloop.watching import telling
from nfsloop.watching.copies import Copied, Copies
from nfsloop.watching.outcome import (
    OK,
    Statuses,
    arguments_at,
    export_number,
    outcome,
    statuses_of,
)
from nfsloop.watching.sinks import Lines, Log, Sink, dropped
from nfsloop.watching.telling import CALLS, DEPTHS, ERRORS, PROGRAMS, REJECTS, REPLIES, VALUES
from nfsloop.watching.wanted import WORDS, Filter
from oncrpc.call import Peer, Transport
from oncrpc.dispatch import Dispatch, Origins
from oncrpc.errors import MessageError, RpcError
from oncrpc.limits import AUTH_BODY_BYTES
from oncrpc.message import read_xid
from oncrpc.net import host_port
from oncrpc.program import Proc, ProcFlag
from oncrpc.xdr import Buffer, decode

if TYPE_CHECKING:
    from nfsloop.app import App

log = logging.getLogger("nfsloop.watching")

_word = struct.Struct(">I").unpack_from


class _Kind:
    """A procedure: how its calls are told."""

    __slots__ = ("bulk", "kept", "label", "proc", "program", "statuses")

    def __init__(
        self, label: str, program: int, proc: Proc | None, statuses: Statuses | None
    ) -> None:
        self.label = label
        self.program = program
        self.proc = proc
        self.statuses = statuses
        flags = proc.flags if proc is not None else ProcFlag.NONE
        #: Whether it carries data of files; whether the duplicate request cache keeps its replies.
        self.bulk = ProcFlag.BULK in flags
        self.kept = ProcFlag.CACHE_REPLY in flags


def _kinds() -> dict[bytes, _Kind]:
    """All procedures of all programs, by their words in a call's header."""
    kinds: dict[bytes, _Kind] = {}
    for text, programs in PROGRAMS.items():
        for program in programs:
            for proc in program.procs.values():
                label = f"{text.upper()}{program.version} {proc.name}"
                statuses = statuses_of(program, proc)
                key = WORDS.pack(program.number, program.version, proc.number)
                kinds[key] = _Kind(label, program.number, proc, statuses)
    return kinds


class _Traced(Copied):
    """The transport of a call that is traced."""

    __slots__ = ("hits", "kind", "size", "told", "tracer", "transport")

    def __init__(
        self, tracer: Tracer, kind: _Kind, record: Buffer, transport: Transport, peer: Peer
    ) -> None:
        super().__init__(record, peer, kind.bulk, perf_counter())
        self.tracer = tracer
        self.kind = kind
        self.size = len(record)
        self.transport = transport
        #: Who calls and about what, told before the record went away.
        self.told: tuple[str, str] | None = None
        #: The cache's hits before it came, while it is being dispatched.
        self.hits = -1

    def send(self, parts: list[Buffer]) -> None:
        """See `oncrpc.call.Transport`."""
        self.answered = True
        seconds = perf_counter() - self.began
        self.transport.send(parts)
        self.tracer.reply(self, parts, seconds)


class Tracer:
    """Tells `sink` of the calls of `app` that are `wanted`.

    Whatever goes wrong in telling, the call is served: a trace never fails one.
    """

    def __init__(self, app: App, wanted: Filter, sink: Sink) -> None:
        self.wanted = wanted
        self.level = wanted.level
        self._sink = sink
        self._dispatcher = app.server.dispatcher
        self._exports = app.exports
        self._files = telling.Files(app.exports, app.handles)
        self._statistics = app.cache.statistics if app.cache is not None else None
        self._kinds = {
            words: kind
            for words, kind in _kinds().items()
            if not wanted.procedures or words in wanted.procedures
        }
        self._hosts: dict[str, bool] = {}
        self._callers: dict[bytes, str] = {}
        self._copies = Copies()

    # The way of a call

    def watch(self, dispatch: Dispatch) -> Dispatch:
        """See `oncrpc.dispatch.Watch`."""
        kinds, through = self._kinds, self._through
        wanted = self.wanted
        narrow = bool(wanted.networks or wanted.exports)

        def traced(
            record: Buffer, transport: Transport, origins: Origins | None = None
        ) -> asyncio.Future[None] | None:
            kind = kinds.get(bytes(record[12:24])) or self._other(record)
            if kind is None or (narrow and not self._wants(kind, record, transport.peer)):
                return dispatch(record, transport, origins)
            call = _Traced(self, kind, record, transport, transport.peer)
            return through(call, dispatch, origins)

        return traced

    def _other(self, record: Buffer) -> _Kind | None:
        """The kind of a call of another program, or of none, if such are wanted."""
        wanted = self.wanted
        if wanted.exports or (wanted.procedures and not wanted.programs):
            return None
        if len(record) < _HEAD_BYTES:
            return None if wanted.programs else _Kind("a message", 0, None, None)
        program, version, number = WORDS.unpack(record[12:24])
        if wanted.programs and program not in wanted.programs:
            return None
        found = self._dispatcher.procedure(program, version, number)
        if found is None:
            name = telling.OTHERS.get(program, f"program {program} version ")
            return _Kind(f"{name}{version} procedure {number}", program, None, None)
        label = f"{found[0].name}.{version} {found[1].name}"
        return _Kind(label, program, found[1], None)

    def _wants(self, kind: _Kind, record: Buffer, peer: Peer) -> bool:
        wanted = self.wanted
        if wanted.networks and not self._from(peer.host):
            return False
        try:
            return not wanted.exports or self._in_exports(kind, record)
        except Exception as exc:  # of whatever a client may send
            log.debug("trace", exc_info=exc)
            return False

    def _from(self, host: str) -> bool:
        """Whether a client is one of those that are wanted."""
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) >= TRACE_CALLERS:
                self._hosts.clear()
            address = address_of(host)
            if address is None:  # a transport of another kind
                return False
            known = any(address in network for network in self.wanted.networks)
            self._hosts[host] = known
        return known

    def _in_exports(self, kind: _Kind, record: Buffer) -> bool:
        """Whether a call is about a file, or the path, of an export that is wanted."""
        if kind.program == NFS_V3.number:
            number = export_number(record)
            export = self._exports.by_number.get(number) if number is not None else None
            return export is not None and export.path in self.wanted.exports
        args = _arguments(kind, record)
        if isinstance(args, bytes) and kind.program == MOUNT_V3.number:
            found = self._exports.find(args.decode("utf-8", "surrogateescape"))
            return found is not None and found[0].path in self.wanted.exports
        lock = getattr(args, "alock", None) or getattr(args, "share", None)
        return lock is not None and self._files.export(lock.fh) in self.wanted.exports

    def _through(
        self, call: _Traced, dispatch: Dispatch, origins: Origins | None
    ) -> asyncio.Future[None] | None:
        if self.level >= REPLIES:
            self._guard(self._arrives, call)
            call.began = perf_counter()
        statistics = self._statistics
        joined = 0
        if statistics is not None:
            call.hits, joined = statistics.hits, statistics.in_progress
        waits = dispatch(call.record, call, origins)
        call.hits = -1
        if call.answered:
            return waits
        if waits is not None:
            if self._guard(self._keep, call):
                waits.add_done_callback(lambda _: self._ended(call))
        elif statistics is not None and statistics.in_progress != joined:
            self._guard(self._join, call)
        else:
            self._guard(self._unanswered, call)
        return waits

    def _keep(self, call: _Traced) -> None:
        """It waits."""
        self._copies.wait(call)
        self._save(call)

    def _join(self, call: _Traced) -> None:
        """It is in progress: its answer will go here, to who asked last."""
        self._copies.join(call)
        self._save(call)
        if self.level >= REPLIES:
            about = f"{self._head(call)}{self._details(call)}"
            self._tell(about, ": comes again, is in progress")

    def _save(self, call: _Traced) -> None:
        """Have what is to be told, before others use the buffer that its record is in."""
        if not isinstance(call.record, bytes):
            call.told = self._head(call), self._details(call)
            call.record = b""

    def _ended(self, call: _Traced) -> None:
        """It does not wait any more; the answer may have gone to another, who asked again."""
        self._copies.end(call)
        last = call.last
        if not last.answered and isinstance(last, _Traced):
            self._guard(self._unanswered, last)

    # What is told of it

    def _guard(self, tell: Callable[[_Traced], object], call: _Traced) -> bool:
        """Whether it could be told; if not, that is."""
        try:
            tell(call)
        except Exception as exc:
            log.debug("trace", exc_info=exc)
            self._tell(call.kind.label, f": cannot be told: {type(exc).__name__}")
            return False
        return True

    def _tell(self, about: str, end: str, more: Sequence[str] = ()) -> None:
        """`about` is cut where it is long, and never what became of it."""
        try:
            self._sink.tell(time.time(), [f"{telling.cut(about)}{end}", *more])
        except Exception:  # of somebody else's code, also that of a logger
            with contextlib.suppress(Exception):
                self._sink.drop()

    def _head(self, call: _Traced) -> str:
        """Which call, and whose."""
        if call.told is not None:
            return call.told[0]
        record, peer = call.record, call.peer
        size = _word(record, 28)[0] if len(record) >= 32 else 0
        credential = bytes(record[24 : 32 + min(size, AUTH_BODY_BYTES)])
        caller = self._callers.get(credential)
        if caller is None:
            if len(self._callers) >= TRACE_CALLERS:
                self._callers.clear()
            caller = self._callers[credential] = telling.who(credential)
        where = host_port(peer.host, peer.port)
        xid = _word(record)[0]
        return f"{where}/{peer.transport} xid {xid:08x} {caller} {call.kind.label}"

    def _details(self, call: _Traced) -> str:
        if call.told is not None:
            return call.told[1]
        args = _arguments(call.kind, call.record)
        return " (no such arguments)" if args is _GARBAGE else telling.details(self._files, args)

    def _arrives(self, call: _Traced) -> None:
        if len(call.record) < _HEAD_BYTES or bytes(call.record[4:8]) != _CALL:
            return  # no call
        again = ""
        if self._copies.waits(call):
            if call.kind.kept and self._statistics is not None:
                return  # `_join` tells
            again = ", comes again while it waits"
        if self._sink.full:
            return self._sink.drop()
        args = _arguments(call.kind, call.record)
        values: list[str] = []
        if self.level >= VALUES and args is not _GARBAGE:
            values = telling.value(args, DEPTHS[self.level])
        about = f"{self._head(call)}{self._details(call)}"
        self._tell(about, f": call, {call.size} bytes{again}", values)

    def reply(self, call: _Traced, parts: list[Buffer], seconds: float) -> None:
        """It was answered with `parts`."""
        self._guard(lambda call: self._reply(call, parts, seconds), call)

    def _reply(self, call: _Traced, parts: list[Buffer], seconds: float) -> None:
        level, kind = self.level, call.kind
        how = outcome(parts, kind.statuses)
        least = REJECTS if how.refused else ERRORS if how.label else CALLS
        replay = call.hits >= 0 and self._hits != call.hits
        if level < (REPLIES if replay else least):
            return
        if self._sink.full:
            return self._sink.drop()
        us = f"{seconds * 1e6:.0f} us"
        size = sum(map(len, parts))
        if level < REPLIES:
            about = f"{self._head(call)}{self._details(call)}"
            self._tell(about, f": {how.status}, {us}, {call.size}+{size} bytes")
            return
        values: list[str] = []
        if level >= VALUES and not how.refused:
            values = self._result(kind, parts, size)
        what = "replay" if replay else "reply"
        self._tell(self._head(call), f": {what} {how.status}, {us}, {size} bytes", values)

    @property
    def _hits(self) -> int:
        return self._statistics.hits if self._statistics is not None else -1

    def _result(self, kind: _Kind, parts: list[Buffer], size: int) -> list[str]:
        proc = kind.proc
        if proc is None or outcome(parts, None) is not OK:
            return []  # SYSTEM_ERR has none
        if size > TRACE_RESULT_BYTES and not kind.bulk:
            return [f"    a result of {size} bytes: too long to be shown"]
        try:
            return telling.value(telling.result(parts, proc), DEPTHS[self.level])
        except RpcError as exc:
            return [telling.cut(f"    no result of {proc.name}: {exc}")]

    def _unanswered(self, call: _Traced) -> None:
        """It gets no answer: it is no call, or it was dropped."""
        if self.level < REJECTS:
            return
        if call.told is None:
            try:
                read_xid(call.record)
            except MessageError as exc:
                where = host_port(call.peer.host, call.peer.port)
                self._tell(f"{where}/{call.peer.transport}", f": {exc}")
                return
        self._tell(f"{self._head(call)}{self._details(call)}", ": no answer")


#: What `_arguments` gives where there are none of the procedure's.
_GARBAGE = object()

#: A call's header up to its credential; and its second word, which says that it is a call.
_HEAD_BYTES = 24
_CALL = bytes(4)


def _arguments(kind: _Kind, record: Buffer) -> Any:
    if kind.proc is None:
        return None
    try:
        return decode(kind.proc.decode_args, record, arguments_at(record))
    except RpcError:
        return _GARBAGE


# Who wants to know


@contextlib.contextmanager
def tracing(app: App, wanted: Filter, sink: Sink) -> Iterator[None]:
    """Have `sink` told of the calls of `app`."""
    tracer = Tracer(app, wanted, sink)
    app.watcher.add(tracer.watch)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the app has stopped
            app.watcher.remove(tracer.watch)


async def follow(app: App, request: Mapping[str, Any]) -> AsyncGenerator[list[str], None]:
    """What `nfsloop trace` is told, from now on without end: batches of lines, the first empty
    when it has begun. See `Filter.parse` for the request. Raises ConfigError."""
    Filter.parse(request, app.exports)
    lines = Lines()
    async with app.traced(request, lines):
        yield []
        while True:
            events, missing = await lines.take()
            batch = [line for event in events for line in event]
            yield [*batch, dropped(missing)] if missing else batch


@contextlib.contextmanager
def log_calls(app: App, level: int) -> Iterator[None]:
    """Log the calls of `app` to the logger "nfsloop.trace", whatever else is logged."""
    to = logging.getLogger("nfsloop.trace")
    before = to.level
    to.setLevel(logging.INFO)
    try:
        with tracing(app, Filter(level), Log()):
            yield
    finally:
        to.setLevel(before)
