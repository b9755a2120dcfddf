"""Questions and answers between two processes, over a pair of sockets.

Both sides ask, by a name and arguments, and answer what they are asked; many questions are under
way at once, in both directions, and what waits to be written is bounded. A message is its length in
four bytes and a pickle: both ends are processes of one server, and nobody else has the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import copyreg
import io
import itertools
import logging
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from nfsloop.errors import ConfigError
from nfsloop.limits import CHANNEL_BACKLOG_BYTES, CHANNEL_CALLS, CHANNEL_MESSAGE_BYTES
from nfsloop.storage import Storage

log = logging.getLogger("nfsloop.workers")

_LENGTH = struct.Struct(">I")
_ASK, _ANSWER, _REFUSAL = range(3)

#: What answers a question: from its arguments. Raises ConfigError, which is raised there.
Handler: TypeAlias = Callable[..., Awaitable[Any]]


class ChannelError(Exception):
    """The other process is gone, has more to do than it may, or failed at what it was asked."""


class Channel:
    """One end. `handlers` answer what the other asks, by name; `closed` is done when the other is
    gone."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Messages that came.
        self.heard = 0
        self._handlers = handlers
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, sock: socket.socket) -> None:
        """Begin, over `sock`, which it takes over."""
        reader, self._writer = await asyncio.open_connection(sock=sock)
        self._keep(self._read(reader))

    async def ask(self, name: str, *args: Any, timeout: float | None = None) -> Any:
        """The answer of the other process. Raises ConfigError where it does, and ChannelError;
        TimeoutError after so many seconds. Needs no Task."""
        if self.closed.done():
            raise ChannelError("the other process is gone")
        if len(self._asked) >= CHANNEL_CALLS:
            raise ChannelError(f"{CHANNEL_CALLS} questions wait for an answer")
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(_ASK, number, (name, args))
            await asyncio.wait([answer], timeout=timeout)
            if not answer.done():
                raise TimeoutError(f"no answer to {name} in {timeout} s")
            return answer.result()
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """End it; what waits for an answer gets a ChannelError."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._gone()

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, kind: int, number: int, value: Any) -> None:
        message = dumps((kind, number, value))
        if len(message) > CHANNEL_MESSAGE_BYTES:
            raise ChannelError(f"a message of {len(message)} bytes")
        if self._writer is None:
            raise ChannelError("the other process has just been started")
        waits = self._writer.transport.get_write_buffer_size()
        if waits and waits + len(message) > CHANNEL_BACKLOG_BYTES:
            raise ChannelError(f"{waits} bytes wait for the other process")
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(message)) + message)

    def _refuse(self, number: int, text: str, problems: list[str] | None = None) -> None:
        """Who gets no answer, not even this, is told by his patience."""
        with contextlib.suppress(ChannelError):
            self._send(_REFUSAL, number, (text, problems))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                self._received(pickle.loads(await reader.readexactly(length)))
        except (OSError, asyncio.IncompleteReadError):
            pass
        except Exception:
            log.exception("a message that is none")
        finally:
            self._gone()

    def _received(self, message: tuple[int, int, Any]) -> None:
        kind, number, value = message
        self.heard += 1
        if kind == _ASK:
            if len(self._tasks) > CHANNEL_CALLS:
                self._refuse(number, "too much is asked at once")
            else:
                self._keep(self._answer(number, *value))
            return
        answer = self._asked.get(number)
        if answer is None or answer.done():
            return
        if kind == _ANSWER:
            answer.set_result(value)
        else:
            text, problems = value
            answer.set_exception(ChannelError(text) if problems is None else ConfigError(*problems))

    async def _answer(self, number: int, name: str, args: tuple[Any, ...]) -> None:
        try:
            value = await self._handlers[name](*args)
        except ConfigError as exc:
            return self._refuse(number, str(exc), exc.problems)
        except Exception as exc:
            log.exception("%s failed", name)
            return self._refuse(number, f"{type(exc).__name__}: {exc}")
        try:
            self._send(_ANSWER, number, value)
        except Exception as exc:  # too long, or no pickle
            self._refuse(number, str(exc))

    def _gone(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ChannelError("the other process is gone"))
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()


def _storage(storage: Storage) -> tuple[Any, ...]:
    """A storage is made anew from its text, which names all by whole paths."""
    return Storage.parse, (storage.text, True)


class _Pickler(pickle.Pickler):
    dispatch_table = {**copyreg.dispatch_table, Storage: _storage}


def dumps(value: Any) -> bytes:
    """The pickle of settings and of what questions and answers are made of."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
