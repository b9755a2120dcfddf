"""From a record to its handler and back: the table of programs that every transport shares."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from types import coroutine
from typing import Any, NamedTuple, TypeAlias

from oncrpc.call import LATER, Call, Once, Origin, Peer, Transport
from oncrpc.drc import DuplicateRequestCache
from oncrpc.errors import (
    AuthError,
    AuthStat,
    GarbageArgs,
    MessageError,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    Refusal,
    RpcError,
    SystemErr,
    XdrError,
)
from oncrpc.limits import HEADER_MEMO_ENTRIES, ORIGINS
from oncrpc.message import Credential, SessionAuth, checksum, read_call, read_xid, refusal
from oncrpc.program import Handler, Proc, ProcFlag, Program, Service
from oncrpc.quota import Warnings
from oncrpc.session import Sessions
from oncrpc.xdr import Buffer, Decoder

log = logging.getLogger("oncrpc")

#: Made around a handler when it is bound, so that a wrap that is off costs nothing.
Wrap: TypeAlias = Callable[[Program, Proc, Handler], Handler]

#: ``gate(entry, record, pos, args, transport)``: what a call is executed with; None if it was
#: executed, and is answered with that, or is being executed. Raises AuthError.
Gate: TypeAlias = Callable[["Entry", Buffer, int, Any, Transport], Once | None]

_xid_and_length = struct.Struct(">I24xI").unpack_from


class Entry(NamedTuple):
    """All that serving one procedure takes, bound once."""

    decode: Decoder[Any]
    handler: Callable[[Any, Any], Coroutine[Any, Any, Any]]
    call: type[Call]
    proc: Proc
    program: Program
    failed: Callable[[Any, Any, Exception], Coroutine[Any, Any, Any]]
    service: Service
    #: What keeps a call from being executed twice, if anything does; whether it carries bulk data.
    gate: Gate | None
    bulk: bool
    #: The sessions that the program takes.
    sessions: Sessions | None


#: What a header comes to, in the order in which a call takes it.
Header: TypeAlias = tuple[Decoder[Any], type[Call], Proc, Gate | None, Credential, Entry]

#: The origins of one connection's calls.
Origins: TypeAlias = dict[Credential, Origin]


#: The form of `Dispatcher.dispatch`.
Dispatch: TypeAlias = Callable[[Buffer, Transport, "Origins | None"], "asyncio.Future[None] | None"]

#: ``watch(dispatch)`` is called in the place of `dispatch`, and calls it.
Watch: TypeAlias = Callable[[Dispatch], Dispatch]


class Dispatcher:
    """Programs by number, version and procedure.

    Handlers are coroutines that are stepped at once: those that never wait cost no Task.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int, int], Entry] = {}
        self._versions: dict[int, list[int]] = {}
        #: Header bytes from message type to verifier -> what they resolve to.
        self._memo: dict[bytes, Header] = {}
        self._sessions: Sessions | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._warnings = Warnings(log)

    def add(
        self,
        program: Program,
        service: Service,
        wraps: Sequence[Wrap] = (),
        cache: DuplicateRequestCache | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """Serve `program` by `service`'s methods, each within `wraps`, the first outermost.

        The replies of procedures that are flagged `ProcFlag.CACHE_REPLY` are kept in `cache`. Calls
        within `sessions` are executed at most once; the program that binds them is served too.
        Raises ValueError if that version of the program is served already, or if other programs
        have other sessions.
        """
        if sessions is not None and sessions is not self._sessions:
            if self._sessions is not None:
                raise ValueError("the programs of a server share their sessions")
            self._sessions = sessions
            self.add(sessions.service.PROGRAM, sessions.service)
        versions = self._versions.setdefault(program.number, [])
        if program.version in versions:
            raise ValueError(f"{program.name} version {program.version} is served already")
        versions.append(program.version)
        for number, proc in program.procs.items():
            handler: Any = getattr(service, proc.name)
            bulk = ProcFlag.BULK in proc.flags
            kept = cache if ProcFlag.CACHE_REPLY in proc.flags else None
            gate = None if kept is None else partial(_kept, kept)
            if kept is not None and not bulk and type(service).intent is not Service.intent:
                # Innermost: what a wrap has not let pass yet is not about to be done.
                handler = _intending(handler, service.intent, kept)
            for wrap in reversed(wraps):
                handler = wrap(program, proc, handler)
            self._entries[program.number, program.version, number] = Entry(
                proc.decode_args,
                handler,
                service.CALL or Call,
                proc,
                program,
                service.failed,
                service,
                gate,
                bulk,
                sessions,
            )

    def procedure(self, program: int, version: int, number: int) -> tuple[Program, Proc] | None:
        """A procedure that is served, and of which program; None if it is not."""
        entry = self._entries.get((program, version, number))
        return None if entry is None else (entry.program, entry.proc)

    @property
    def programs(self) -> list[tuple[int, int]]:
        """Number and version of each program served."""
        return sorted((number, v) for number, vs in self._versions.items() for v in vs)

    @property
    def waiting(self) -> int:
        """Calls that wait: their handlers for something, or for whoever answers them `LATER`."""
        return len(self._tasks)

    def dispatch(
        self, record: Buffer, transport: Transport, origins: Origins | None = None
    ) -> asyncio.Future[None] | None:
        """Serve the call in `record`; its answer goes to `transport`, for which the `origins` of
        its calls are remembered, at most `ORIGINS`.

        The answer is given before this returns, unless the handler waits or answers `LATER`: then a
        future is returned that is done when it is given. Never raises: what cannot be answered is
        logged.
        """
        if origins is None:
            origins = {}
        try:
            xid, length = _xid_and_length(record)
            pos = 40 + (length + 3 & ~3)
            hit = self._memo.get(bytes(record[4:pos]))
            if hit is None:
                hit, pos = self._resolve(record)
            decode, make, proc, gate, credential, entry = hit
            args, end = decode(record, pos)
            if end != len(record):
                raise XdrError(f"{len(record) - end} bytes left over")
            origin = origins.get(credential)
            if origin is None:
                if len(origins) >= ORIGINS:
                    origins.clear()
                origin = origins[credential] = Origin(credential, transport.peer)
            if gate is not None:
                once = gate(entry, record, pos, args, transport)
                if once is None:
                    return None
                transport = once
        except (RpcError, struct.error, RecursionError, OverflowError) as exc:
            self._refuse(record, transport, exc)
            return None
        return self._run(entry, make(transport, xid, proc, origin), args)

    def watch(self, watches: Sequence[Watch]) -> None:
        """Have each record go through `watches`, the first outermost, on its way to `dispatch`;
        from the next wake-up on. They see the answer by a transport of their own.

        Without any, as at first, it costs nothing.
        """
        self.__dict__.pop("dispatch", None)
        dispatch: Dispatch = self.dispatch
        for watch in reversed(watches):
            dispatch = watch(dispatch)
        if watches:
            self.__dict__["dispatch"] = dispatch

    async def settle(self, host: str, message: bytes, facts: bytes) -> bytes | None:
        """The reply to a call that a crash cut off, if it took place (`Service.settle`).

        Raises what its service raises, and RpcError for a call that is served no more.
        """
        (*_, credential, entry), pos = self._resolve(message)
        args, _ = entry.decode(message, pos)
        # It was admitted before; of its port and user nothing is known. Those of root pass, also
        # where no port is reserved for it.
        reply = _Reply(Peer(host, 0, user=0))
        call = entry.call(reply, read_xid(message), entry.proc, Origin(credential, reply.peer))
        result = await entry.service.settle(call, args, facts)
        if result is None:
            return None
        call.reply(result)
        return reply.message

    def call(self, call: Call, program: Program, args: Any) -> asyncio.Future[None] | None:
        """Serve a call that was made in this process: no record, no decoding."""
        entry = self._entries[program.number, program.version, call.proc.number]
        return self._run(entry, call, args)

    async def drain(self, timeout: float) -> None:
        """Wait until the calls that wait just now are answered, at most `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)

    async def cancel(self) -> None:
        """End the calls that still wait; they are never answered."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, entry: Entry, call: Call, args: Any) -> asyncio.Future[None] | None:
        try:
            handler = entry.handler(call, args)
            waits_for = handler.send(None)
        except StopIteration as stop:
            if stop.value is LATER:
                return None if call.answered else self._keep(_landing(call))
            try:
                call.reply(stop.value)
                return None
            except Exception as exc:  # the handler's result is none of its procedure's
                if call.answered:
                    self._reject(call, exc)
                    return None
                return self._failed(entry, call, args, exc)
        except (Exception, asyncio.CancelledError) as exc:
            return self._failed(entry, call, args, _plain(exc))
        return self._wait(self._finish(entry, call, args, _resume(handler, waits_for)))

    def _wait(self, rest: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        return self._keep(asyncio.get_running_loop().create_task(rest))

    def _keep(self, future: asyncio.Future[None]) -> asyncio.Future[None]:
        self._tasks.add(future)
        future.add_done_callback(self._tasks.discard)
        return future

    async def _finish(
        self, entry: Entry, call: Call, args: Any, handler: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            result = await handler
            if result is not LATER:
                call.reply(result)
        except (Exception, asyncio.CancelledError) as exc:
            _check_stopping(exc)
            if call.answered:
                self._reject(call, _plain(exc))
            else:
                await self._finish_failed(entry.failed(call, args, _plain(exc)), call)
        else:
            if result is LATER and not call.answered:
                await _landing(call)

    def _failed(
        self, entry: Entry, call: Call, args: Any, exc: Exception
    ) -> asyncio.Future[None] | None:
        """The handler raised before it waited: let its service make a result of it."""
        failed = entry.failed(call, args, exc)
        try:
            waits_for = failed.send(None)
        except StopIteration as stop:
            self._reply(call, stop.value)
        except (Exception, asyncio.CancelledError) as again:
            self._reject(call, _plain(again))
        else:
            return self._wait(self._finish_failed(_resume(failed, waits_for), call))
        return None

    async def _finish_failed(self, failed: Coroutine[Any, Any, Any], call: Call) -> None:
        try:
            result = await failed
        except (Exception, asyncio.CancelledError) as exc:
            _check_stopping(exc)
            self._reject(call, _plain(exc))
        else:
            self._reply(call, result)

    def _reply(self, call: Call, result: Any) -> None:
        try:
            call.reply(result)
        except Exception as exc:  # the handler's result is none of its procedure's
            self._reject(call, exc)

    def _reject(self, call: Call, exc: Exception) -> None:
        """The one catch-all: whatever went wrong, the caller gets an answer and the log a line."""
        if call.answered:
            log.error(
                "%s from %s: failed after its answer", call.proc.name, call.peer, exc_info=exc
            )
        elif isinstance(exc, Refusal):
            call.reject(exc)
        else:
            log.error("%s from %s failed", call.proc.name, call.peer.host, exc_info=exc)
            call.reject(SystemErr())

    def _resolve(self, record: Buffer) -> tuple[Header, int]:
        """Read a header that is not remembered, and remember it. Raises Refusal, MessageError."""
        header = read_call(record)
        entry = self._entries.get((header.program, header.version, header.proc))
        if entry is None:
            raise self.refusal(header.program, header.version)
        if header.session is not None:  # no two calls of a session have the same header
            if entry.sessions is None:
                raise AuthError(AuthStat.REJECTEDCRED)
            gate = partial(_in_session, entry.sessions, header.session)
            return _header(entry, gate, header.credential), header.pos
        if entry.sessions is not None and entry.sessions.required and header.proc:
            raise AuthError(AuthStat.TOOWEAK)
        if len(self._memo) >= HEADER_MEMO_ENTRIES:
            self._memo.clear()
        hit = _header(entry, entry.gate, header.credential)
        self._memo[bytes(record[4 : header.pos])] = hit
        return hit, header.pos

    def refusal(self, program: int, version: int) -> Refusal:
        """Why a call of `program` in `version` has no procedure to go to."""
        versions = self._versions.get(program)
        if not versions:
            return ProgUnavail(f"program {program}")
        if version not in versions:
            return ProgMismatch(min(versions), max(versions))
        return ProcUnavail()

    def _refuse(self, record: Buffer, transport: Transport, exc: Exception) -> None:
        """Answer a record that never became a call."""
        warn = partial(self._warnings.warn, transport.peer.host)
        try:
            xid = read_xid(record)
        except MessageError as bad:
            warn("%s", bad)
            return
        if isinstance(exc, MessageError):
            warn("%s", exc)
            return
        if not isinstance(exc, Refusal):
            try:
                header = read_call(record)
                what = f"program {header.program} procedure {header.proc}"
            except (Refusal, MessageError) as worse:
                what, exc = "its header", worse
            warn("garbage arguments of %s: %s", what, exc)
        elif isinstance(exc, (ProgUnavail, ProgMismatch, ProcUnavail)) or _late(exc):
            # Clients probe for programs and versions as they mount: no event worth a warning.
            log.debug("from %s: %s %s", transport.peer.host, type(exc).__name__, exc)
        else:
            warn("refused: %s %s", type(exc).__name__, exc)
        why = exc if isinstance(exc, Refusal) else GarbageArgs()
        transport.send([refusal(xid, why)])


def _header(entry: Entry, gate: Gate | None, credential: Credential) -> Header:
    return entry.decode, entry.call, entry.proc, gate, credential, entry


class _Reply:
    """The transport of a call whose reply is kept, not sent."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.message = b""

    def send(self, parts: list[Buffer]) -> None:
        self.message = b"".join(parts)


def _kept(
    cache: DuplicateRequestCache,
    entry: Entry,
    record: Buffer,
    pos: int,
    args: Any,
    transport: Transport,
) -> Once | None:
    """The gate of a duplicate request cache."""
    bulk = entry.bulk
    key = cache.key(transport.peer, record, pos, bulk)
    if cache.restored and key in cache.restored and not entry.service.lasts(entry.proc, args):
        cache.outlive(key)
    once = _once(cache.begin(key, transport), transport)
    if once is not None and not bulk:
        once.record = record
    return once


def _in_session(
    sessions: Sessions,
    auth: SessionAuth,
    entry: Entry,
    record: Buffer,
    pos: int,
    args: Any,
    transport: Transport,
) -> Once | None:
    """The gate of a call within a session."""
    check = checksum(record, pos, entry.bulk)
    return _once(sessions.begin(auth, read_xid(record), check, transport), transport)


def _once(found: Once | bytes | None, transport: Transport) -> Once | None:
    """What to execute a call with; a reply that is known already is sent."""
    if isinstance(found, bytes):
        transport.send([found])
        return None
    return found


def _intending(handler: Any, intent: Any, cache: DuplicateRequestCache) -> Any:
    """`handler`, behind a record of what is about to be done."""

    async def intending(call: Call, args: Any) -> Any:
        once = call.transport
        if not isinstance(once, Once) or once.keeper is not cache:  # it is one of a session
            return await handler(call, args)
        message = bytes(once.record)  # a view of a buffer that others use while `intent` waits
        facts = await intent(call, args)
        if facts is not None:
            cache.intend(once, once.peer.host, message, facts)
        return await handler(call, args)

    return intending


def _late(exc: Exception) -> bool:
    """Whether it refuses a late copy of a session's call, as they are normal over UDP."""
    return isinstance(exc, AuthError) and exc.stat is AuthStat.REJECTEDVERF


def _landing(call: Call) -> asyncio.Future[None]:
    """What is done once `call` is answered, by whoever its handler has left that to."""
    call.landing = asyncio.get_running_loop().create_future()
    return call.landing


def _plain(exc: Exception | asyncio.CancelledError) -> Exception:
    """A handler that ends cancelled, though nobody cancelled its call: what it awaited was. That
    is a failure like others, or its caller would never be answered."""
    if not isinstance(exc, asyncio.CancelledError):
        return exc
    failure = RuntimeError("cancelled within the handler")
    failure.__cause__, failure.__traceback__ = exc, exc.__traceback__
    return failure


def _check_stopping(exc: Exception | asyncio.CancelledError) -> None:
    """Go on being cancelled, if it is the call's own task that is (`Dispatcher.cancel`)."""
    task = asyncio.current_task()
    if isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling():
        raise exc


@coroutine
def _resume(handler: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """Go on, within a Task, with a coroutine whose first step was taken outside of one."""
    step: Callable[[Any], Any]
    while True:
        try:
            value = yield waits_for
        except GeneratorExit:
            handler.close()
            raise
        except BaseException as exc:
            step, value = handler.throw, exc
        else:
            step = handler.send
        try:
            waits_for = step(value)
        except StopIteration as stop:
            return stop.value
