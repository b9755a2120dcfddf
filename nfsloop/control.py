"""The control socket: a command asks the running server, and gets its answer.

A Unix socket in the state directory, for the server's own user and root alone. A request is one
line of JSON, ``{"command": "reload"}``, and so is the answer: ``{"ok": true, "lines": [...]}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nfsloop.config import ConfigError
from nfsloop.limits import CONTROL_CLIENTS, CONTROL_REQUEST_BYTES, CONTROL_REQUEST_SECONDS

log = logging.getLogger("nfsloop.control")

NAME = "control"

#: A server that does not answer within this many seconds is not waited for.
ANSWER_SECONDS = 120.0

#: What does a command: from the request to lines for the person who asked. Raises ConfigError.
Command: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[list[str]]]


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
    """Serves `commands` by name on the socket in `state`, which the caller holds locked."""

    def __init__(self, state: Path, commands: Mapping[str, Command]) -> None:
        self._state = state
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

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
        """Take no more requests; one that is not done yet gets no answer."""
        if self._server is None:
            return
        self._server.close()
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
            if len(self._clients) < CONTROL_CLIENTS:
                self._clients.add(task)
                answer = await self._answer(reader)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, RecursionError, asyncio.IncompleteReadError) as exc:
            log.warning("control socket: %s", exc or type(exc).__name__)
        except asyncio.CancelledError:
            pass  # by `stop`; a task of a stream server that ends so would be reported
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        async with asyncio.timeout(CONTROL_REQUEST_SECONDS):
            request = json.loads(await reader.readline() or b"{}")
        name = request.get("command") if isinstance(request, dict) else None
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            return {"ok": False, "lines": [f"no such command: {name!r}"]}
        try:
            return {"ok": True, "lines": await command(request)}
        except ConfigError as exc:
            return {"ok": False, "lines": exc.problems}
        except Exception as exc:
            log.error("control command %s failed", name, exc_info=exc)
            return {"ok": False, "lines": [f"{type(exc).__name__}: {exc}"]}


def ask(state: Path, command: str, timeout: float = ANSWER_SECONDS, **more: Any) -> list[str]:
    """Have the server with the state directory `state` do a command; its answer, in lines.

    Raises ConfigError with what it says is wrong, or if there is no server.
    """
    request = json.dumps({"command": command, **more}).encode() + b"\n"
    try:
        with _short(state) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
            sock.sendall(request)
            with sock.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise ConfigError(
            f"no nfsloop runs with the state directory {state}; name another with --state"
        ) from None
    except TimeoutError:
        raise ConfigError(f"no answer from the server in {timeout:g} s") from None
    except OSError as exc:
        raise ConfigError(f"{state / NAME}: {exc.strerror}") from None
    if not line:
        raise ConfigError("the server ended before it answered")
    answer = json.loads(line)
    if not answer["ok"]:
        raise ConfigError(*answer["lines"])
    lines: list[str] = answer["lines"]
    return lines
