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
import ipaddress
import logging
import struct
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from nfsloop.limits import (
    TRACE_BATCH_LINES,
    TRACE_CALLERS,
    TRACE_QUEUE_LINES,
)
from nfsloop.mount3.mount3_xdr import MOUNT_V3
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from nfsloop.watching import telling
from nfsloop.watching.telling import DEPTHS, ERRORS, PROGRAMS, REJECTS, REPLIES, VALUES
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


class Sink(Protocol):
    """Who is told."""

    #: Whether there is no room: then nothing is made ready to be told, and `drop` is called.
    full: bool

    def tell(self, when: float, lines: list[str]) -> None:
        """Of an event: the time (seconds since 1970), and lines, all but the first indented."""

    def drop(self) -> None:
        """There was an event of which nothing is told."""


_word = struct.Struct(">I").unpack_from

#: Bytes of arguments that tell one call from another with its xid.
_CHECKED_BYTES = 256


class _Kind:
    """A procedure: how its calls are told."""

    __slots__ = ("kept", "label", "proc", "program", "words")

    def __init__(
        self, label: str, program: int, proc: Proc | None, words: telling.Words | None
    ) -> None:
        self.label = label
        self.program = program
        self.proc = proc
        self.words = words
        #: Whether the duplicate request cache keeps its replies.
        self.kept = proc is not None and ProcFlag.CACHE_REPLY in proc.flags


def _kinds() -> dict[bytes, _Kind]:
    """All procedures of all programs, by their words in a call's header."""
    kinds: dict[bytes, _Kind] = {}
    for text, programs in PROGRAMS.items():
        for program in programs:
            for proc in program.procs.values():
                label = f"{text.upper()}{program.version} {proc.name}"
                words = telling.words_of(program, proc)
                key = WORDS.pack(program.number, program.version, proc.number)
                kinds[key] = _Kind(label, program.number, proc, words)
    return kinds


class _Traced:
    """The transport of a call that is traced."""

    __slots__ = ("again", "answered", "began", "hits", "key", "kind", "peer", "record", "size",
                 "told", "tracer", "transport")  # fmt: skip

    def __init__(
        self, tracer: Tracer, kind: _Kind, record: Buffer, transport: Transport, peer: Peer
    ) -> None:
        self.tracer = tracer
        self.kind = kind
        self.record = record
        self.size = len(record)
        self.transport = transport
        self.peer = peer
        self.began = perf_counter()
        self.answered = False
        #: Who calls and about what, told before the record went away.
        self.told: tuple[str, str] | None = None
        #: What it is known by while it waits; and who has its place, if it came again.
        self.key: tuple[Any, ...] = ()
        self.again: _Traced | None = None
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
        #: Calls that wait.
        self._waiting: dict[tuple[Any, ...], _Traced] = {}

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
            try:
                address = ipaddress.ip_address(host)
            except ValueError:  # a transport of another kind
                return False
            known = any(address in network for network in self.wanted.networks)
            self._hosts[host] = known
        return known

    def _in_exports(self, kind: _Kind, record: Buffer) -> bool:
        """Whether a call is about a file, or the path, of an export that is wanted."""
        if kind.program == NFS_V3.number:  # all begin with a handle, see `nfsloop.handle`
            at = _arguments_at(record) + 8
            word = bytes(record[at : at + 4])
            export = self._exports.by_number.get(_word(word)[0]) if len(word) == 4 else None
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
                self._waiting.setdefault(call.key, call)
                waits.add_done_callback(lambda _: self._ended(call))
        elif statistics is not None and statistics.in_progress != joined:
            self._guard(self._join, call)
        else:
            self._guard(self._unanswered, call)
        return waits

    def _keep(self, call: _Traced) -> None:
        """It waits: have what is to be told, before others use the buffer that its record is in."""
        call.key = _key(call)
        if not isinstance(call.record, bytes):
            call.told = self._head(call), self._details(call)
            call.record = b""

    def _join(self, call: _Traced) -> None:
        """It is in progress: its answer will go here, to who asked last."""
        self._keep(call)
        first = self._waiting.get(call.key)
        if first is not None:
            call.began = first.began
            first.again = call
        if self.level >= REPLIES:
            self._tell(f"{self._head(call)}{self._details(call)}: comes again, is in progress")

    def _ended(self, call: _Traced) -> None:
        """It does not wait any more; the answer may have gone to another, who asked again."""
        if self._waiting.get(call.key) is call:
            del self._waiting[call.key]
        last = call.again or call
        if not last.answered:
            self._guard(self._unanswered, last)

    # What is told of it

    def _guard(self, tell: Callable[[_Traced], object], call: _Traced) -> bool:
        """Whether it could be told; if not, that is."""
        try:
            tell(call)
        except Exception as exc:
            log.debug("trace", exc_info=exc)
            self._tell(f"{call.kind.label}: cannot be told: {type(exc).__name__}")
            return False
        return True

    def _tell(self, line: str, more: Sequence[str] = ()) -> None:
        self._sink.tell(time.time(), [telling.cut(line), *more])

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
        if len(call.record) < _HEAD_BYTES:
            return  # no call
        again = ""
        if self._waiting and _key(call) in self._waiting:
            if call.kind.kept and self._statistics is not None:
                return  # `_join` tells
            again = ", comes again while it waits"
        if self._sink.full:
            return self._sink.drop()
        args = _arguments(call.kind, call.record)
        values: list[str] = []
        if self.level >= VALUES and args is not _GARBAGE:
            values = telling.value(args, DEPTHS[self.level])
        line = f"{self._head(call)}{self._details(call)}: call, {call.size} bytes{again}"
        self._tell(line, values)

    def reply(self, call: _Traced, parts: list[Buffer], seconds: float) -> None:
        """It was answered with `parts`."""
        self._guard(lambda call: self._reply(call, parts, seconds), call)

    def _reply(self, call: _Traced, parts: list[Buffer], seconds: float) -> None:
        level, kind = self.level, call.kind
        status, least = telling.outcome(parts, kind.proc, kind.words)
        replay = call.hits >= 0 and self._hits != call.hits
        if level < (REPLIES if replay else least):
            return
        if self._sink.full:
            return self._sink.drop()
        us = f"{seconds * 1e6:.0f} us"
        size = sum(map(len, parts))
        if level < REPLIES:
            about = f"{self._head(call)}{self._details(call)}"
            self._tell(f"{about}: {status}, {us}, {call.size}+{size} bytes")
            return
        values: list[str] = []
        if level >= VALUES and kind.proc is not None and least < REJECTS:
            values = self._result(kind.proc, parts)
        what = "replay" if replay else "reply"
        self._tell(f"{self._head(call)}: {what} {status}, {us}, {size} bytes", values)

    @property
    def _hits(self) -> int:
        return self._statistics.hits if self._statistics is not None else -1

    def _result(self, proc: Proc, parts: list[Buffer]) -> list[str]:
        if telling.outcome(parts, None, None).level == ERRORS:
            return []  # SYSTEM_ERR has none
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
                self._tell(f"{where}/{call.peer.transport}: {exc}")
                return
        self._tell(f"{self._head(call)}{self._details(call)}: no answer")


#: What `_arguments` gives where there are none of the procedure's.
_GARBAGE = object()

#: A call's header up to its credential.
_HEAD_BYTES = 24


def _arguments_at(record: Buffer) -> int:
    """Where a call's arguments begin, if its verifier is empty, as it has to be."""
    size = _word(record, 28)[0] if len(record) >= 32 else 0
    return 40 + (size + 3 & ~3)


def _arguments(kind: _Kind, record: Buffer) -> Any:
    if kind.proc is None:
        return None
    try:
        return decode(kind.proc.decode_args, record, _arguments_at(record))
    except RpcError:
        return _GARBAGE


def _key(call: _Traced) -> tuple[Any, ...]:
    """What a call is known by, as to the duplicate request cache."""
    record = call.record
    at = _arguments_at(record)
    check = crc32(record[at : at + _CHECKED_BYTES], len(record))
    return call.peer.host, bytes(record[:4]), bytes(record[12:24]), check


# Who wants to know


class Lines:
    """The events that were told and not taken yet: at most `limit` lines. One that finds no room is
    dropped, and so are those after it until all has been taken; how many is told in their place.
    `mark` goes before each event, `of` behind the word for those that were dropped."""

    def __init__(self, mark: str = "", of: str = "", limit: int = TRACE_QUEUE_LINES) -> None:
        self.full = False
        self._dropped = 0
        self._mark = mark
        self._of = of
        self._limit = limit
        self._events: deque[list[str]] = deque()
        self._count = 0
        self._there = asyncio.Event()
        self._second = 0, ""

    def tell(self, when: float, lines: list[str]) -> None:
        """See `Sink`."""
        second = int(when)
        if second != self._second[0]:
            self._second = second, time.strftime("%H:%M:%S", time.localtime(second))
        clock = f"{self._second[1]}.{int(when % 1 * 1e6):06d}"
        lines[0] = f"{clock} {self._mark}{lines[0]}"
        self.put(lines)

    def put(self, lines: list[str]) -> None:
        """Add an event, or drop it."""
        if self.full or self._count + len(lines) > self._limit:
            self.drop()
        else:
            self._events.append(lines)
            self._count += len(lines)
            self._there.set()

    def drop(self, events: int = 1) -> None:
        """See `Sink`; or so many that were taken have reached nobody."""
        self.full = True
        self._dropped += events
        self._there.set()

    async def take(self) -> list[list[str]]:
        """Wait for events, and take as many as have some `TRACE_BATCH_LINES` lines."""
        await self._there.wait()
        taken: list[list[str]] = []
        left = self._count - TRACE_BATCH_LINES
        while self._events and self._count > left:
            taken.append(self._events.popleft())
            self._count -= len(taken[-1])
        if not self._events:
            self._there.clear()
            self.full = False
            if self._dropped:
                taken.append([f"… {self._dropped} events{self._of} dropped"])
                self._dropped = 0
        return taken


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
            yield [line for event in await lines.take() for line in event]


class _Log:
    """A `Sink` that is the logger "nfsloop.trace", a line an event of its own."""

    full = False

    def __init__(self) -> None:
        self._log = logging.getLogger("nfsloop.trace")
        self._log.setLevel(logging.INFO)  # whatever else is logged

    def tell(self, when: float, lines: list[str]) -> None:
        """See `Sink`."""
        for line in lines:
            self._log.info("%s", line)

    def drop(self) -> None:
        """See `Sink`: a log is never full."""


def log_calls(app: App, level: int) -> None:
    """Log the calls of `app` from now on."""
    app.watcher.add(Tracer(app, Filter(level), _Log()).watch)
