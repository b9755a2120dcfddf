"""The control socket: a command asks the running server, and gets its answer.

A Unix socket in the state directory, for the server's own user and root alone. A request is one
line of JSON, ``{"command": "reload"}``, and so is the answer: ``{"ok": true, "lines": [...]}``.
What a stream answers are many of them; all but the last have ``"more": true``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from nfsloop.errors import ConfigError
from nfsloop.limits import (
    CONTROL_ANSWER_SECONDS,
    CONTROL_CLIENTS,
    CONTROL_REFUSE_SECONDS,
    CONTROL_REQUEST_BYTES,
    CONTROL_REQUEST_SECONDS,
    CONTROL_STREAM_END_SECONDS,
    CONTROL_STREAMS,
)

log = logging.getLogger("nfsloop.control")

NAME = "control"

#: A server that does not answer within this many seconds is not waited for.
ANSWER_SECONDS = 120.0

#: An answer is read up to here.
ANSWER_BYTES = 64 << 20
_PART_BYTES = 1 << 16

#: What does a command: from the request to lines for the person who asked. Raises ConfigError.
Command: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[list[str]]]

#: A command that goes on: gives lines, again and again, until it ends, the one who asked goes, or
#: the server stops; then it is closed. Raises ConfigError. It is not asked for more than is read.
Stream: TypeAlias = Callable[[Mapping[str, Any]], AsyncGenerator[list[str], None]]

#: What the last answer of a stream says if it ends with the server.
STOPPED = "the server has stopped"


@contextlib.contextmanager
def _short(state: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: sun_path has 108 bytes, a directory may have
    more. Raises OSError."""
    directory = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)


class Control:
    """Serves `commands` and `streams` by name on the socket in `state`, which the caller holds
    locked."""

    def __init__(
        self,
        state: Path,
        commands: Mapping[str, Command],
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        self._state = state
        self._commands = commands
        self._streams = streams or {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        #: Of these, those that are in the midst of a stream.
        self._flowing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short(self._state) as path:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # of a server that was killed: the lock is ours
                sock.bind(path)
                os.chmod(path, 0o600)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=sock, limit=CONTROL_REQUEST_BYTES
            )
        except BaseException:
            sock.close()
            raise

    async def stop(self) -> None:
        """Take no more requests; one that is not done yet gets no answer. Streams are ended."""
        if self._server is None:
            return
        self._server.close()
        self._stopping.set()
        if self._flowing:
            await asyncio.wait(set(self._flowing))
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._server = None
        with contextlib.suppress(OSError):
            os.unlink(self._state / NAME)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._clients) >= CONTROL_CLIENTS:
                await self._refuse(reader, writer)
            else:
                self._clients.add(task)
                request = await self._request(reader)
                stream = self._streams.get(request.get("command", ""))
                if stream is not None:
                    await self._flow(task, stream(request), reader, writer)
                else:
                    answer = await self._answer(request)
                    async with asyncio.timeout(CONTROL_ANSWER_SECONDS):
                        await _write(writer, answer)
        except (OSError, ValueError, RecursionError, asyncio.IncompleteReadError) as exc:
            if isinstance(exc, TimeoutError):
                writer.transport.abort()  # what is not read would wait without end
            log.warning("control socket: %s", str(exc) or type(exc).__name__)
        except asyncio.CancelledError:
            pass  # by `stop`; a task of a stream server that ends so would be reported
        finally:
            self._clients.discard(task)
            writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(CONTROL_REFUSE_SECONDS):
            await reader.readline()
            wrong = f"{CONTROL_CLIENTS} others ask the server just now: try again"
            await _write(writer, {"ok": False, "lines": [wrong]})

    async def _request(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        async with asyncio.timeout(CONTROL_REQUEST_SECONDS):
            request = json.loads(await reader.readline() or b"{}")
        named = isinstance(request, dict) and isinstance(request.get("command"), str)
        return request if named else {}

    async def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request.get("command")
        command = self._commands.get(name or "")
        if command is None:
            return {"ok": False, "lines": [f"no such command: {name!r}"]}
        try:
            return {"ok": True, "lines": await command(request)}
        except Exception as exc:
            return _failure(name, exc)

    async def _flow(
        self,
        task: asyncio.Task[None],
        stream: AsyncGenerator[list[str], None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Send what `stream` gives until it ends, its reader goes, or the server stops; then close
        it, and say how it ended."""
        if len(self._flowing) >= CONTROL_STREAMS:
            wrong = f"{CONTROL_STREAMS} of these are under way already: end one of them"
            return await _write(writer, {"ok": False, "lines": [wrong]})
        self._flowing.add(task)
        loop = asyncio.get_running_loop()
        pump = loop.create_task(_pump(stream, writer))
        gone = loop.create_task(reader.read(1))  # who has asked says nothing more
        stopping = loop.create_task(self._stopping.wait())
        tasks = (pump, gone, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            last: dict[str, Any] = {"ok": True, "lines": []}
            unread = False
            if pump.done():
                if (wrong_one := pump.exception()) is not None:
                    last = _failure("stream", wrong_one)
                unread = wrong_one is None and pump.result()
            elif stopping.done():
                last["lines"].append(STOPPED)
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await stream.aclose()
            self._flowing.discard(task)
        if not unread and (not gone.done() or gone.cancelled()):
            async with asyncio.timeout(CONTROL_STREAM_END_SECONDS):
                await _write(writer, last)


async def _pump(stream: AsyncGenerator[list[str], None], writer: asyncio.StreamWriter) -> bool:
    """Send what `stream` gives; whether it ends since its reader has gone, as most do."""
    async for lines in stream:
        try:
            await _write(writer, {"ok": True, "lines": lines, "more": True})
        except OSError:
            return True
    return False


async def _write(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


def _failure(name: object, exc: BaseException) -> dict[str, Any]:
    """The answer of a command that raised `exc`."""
    if isinstance(exc, ConfigError):
        return {"ok": False, "lines": exc.problems}
    log.error("control command %s failed", name, exc_info=exc)
    return {"ok": False, "lines": [f"{type(exc).__name__}: {exc}"]}


def ask(state: Path, command: str, timeout: float = ANSWER_SECONDS, **more: Any) -> list[str]:
    """Have the server with the state directory `state` do a command; its answer, in lines.

    It takes `timeout` seconds at most. Raises ConfigError with what it says is wrong, or if there
    is no server.
    """
    end = time.monotonic() + timeout
    line = bytearray()
    with _asking(state, command, more, timeout) as (sock, _):
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
            part = sock.recv(_PART_BYTES)
            line += part
            if not part or len(line) > ANSWER_BYTES:
                break
    return _lines(_read(bytes(line)))


def stream(
    state: Path, command: str, seconds: float | None = None, **more: Any
) -> Generator[list[str], None, str]:
    """Have the server do a command that goes on, for `seconds` at most; its answers, lines each.
    To close the generator ends it there too. Returns what the server says at the end.

    Raises ConfigError like `ask`, and where the server ends without a word.
    """
    end = None if seconds is None else time.monotonic() + seconds
    with _asking(state, command, more, ANSWER_SECONDS) as (sock, answers):
        while True:
            try:
                if end is not None:
                    sock.settimeout(max(end - time.monotonic(), 0.001))
                line = answers.readline()
            except TimeoutError:
                if end is None or time.monotonic() < end:
                    raise
                return ""
            answer = _read(line, "the server has ended")
            lines = _lines(answer)
            if not answer.get("more"):
                return "\n".join(lines)
            yield lines
            if end is None:
                sock.settimeout(None)
            elif time.monotonic() >= end:
                return ""


@contextlib.contextmanager
def _asking(
    state: Path, command: str, more: Mapping[str, Any], timeout: float
) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A request, and what its answers are read from. Raises ConfigError."""
    request = json.dumps({"command": command, **more}).encode() + b"\n"
    try:
        with _short(state) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
            sock.sendall(request)
            with sock.makefile("rb") as answers:
                yield sock, answers
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise ConfigError(
            f"no nfsloop runs with the state directory {state}; name another with --state"
        ) from None
    except TimeoutError:
        raise ConfigError(f"no answer from the server in {timeout:g} s") from None
    except PermissionError as exc:
        why = "root may ask, and the user that the server runs as"
        raise ConfigError(f"{state / NAME}: {exc.strerror}: {why}") from None
    except OSError as exc:
        raise ConfigError(f"{state / NAME}: {exc.strerror}") from None


def _read(line: bytes, ended: str = "the server ended before it answered") -> dict[str, Any]:
    if not line.endswith(b"\n"):  # nothing, or the beginning of an answer
        raise ConfigError(ended)
    try:
        answer: dict[str, Any] = json.loads(line)
        lines = answer["lines"]
        ours = type(lines) is list and all(type(one) is str for one in lines) and "ok" in answer
    except (ValueError, KeyError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise ConfigError("what answers at the control socket is no nfsloop")
    return answer


def _lines(answer: Mapping[str, Any]) -> list[str]:
    """Raises ConfigError with what the server says is wrong."""
    if not answer["ok"]:
        raise ConfigError(*answer["lines"])
    lines: list[str] = answer["lines"]
    return lines
