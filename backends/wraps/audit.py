"""A log of who changed what: a line of JSON for each call."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import fields
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from backends.base import (
    CHANGES,
    OPERATIONS,
    Backend,
    Context,
    FsError,
    Key,
    Made,
    SetAttr,
    Status,
    Written,
)
from backends.threads import STOP_LEAST_SECONDS, stop_seconds
from backends.wrap import Wrap

log = logging.getLogger("nfsloop.backend")

#: Calls whose lines are not written yet, those in progress too. One more is asked to come again.
PENDING_LINES: Final = 16384
#: Lines that are written at once.
BATCH_LINES: Final = 256
#: How often a log that could not be written is tried again, in seconds.
RETRY_SECONDS: Final = 1.0
#: How long `stop` waits for the lines that are left, in seconds.
STOP_SECONDS: Final = 5.0

#: Operation -> the names of its arguments, behind the context.
ARGUMENTS: Final = {
    name: tuple(inspect.signature(getattr(Backend, name)).parameters)[2:] for name in OPERATIONS
}


class LogFile:
    """An append-only file of lines, renamed to ``.1``, ``.2`` and so on when it is full.

    A line is in it whole or not at all. Used by one thread at a time.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path = path
        self._most = max_bytes
        self._keep = keep
        self._descriptor = -1
        self._size = 0

    def open(self) -> None:
        """Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, lines: bytes) -> None:
        """Raises OSError; then nothing was written."""
        if self._size and self._size + len(lines) > self._most:
            self._rotate()
        if self._descriptor < 0:
            self.open()
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._descriptor, lines[done:])
        except OSError:
            if done:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(lines)

    def _rotate(self) -> None:
        names = [self.path, *(self.numbered(number) for number in range(1, self._keep + 1))]
        self.close()
        for old, new in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
            with contextlib.suppress(FileNotFoundError):
                old.replace(new)

    def numbered(self, number: int) -> Path:
        """The file that is so many turns old."""
        return self.path.with_name(f"{self.path.name}.{number}")

    def close(self) -> None:
        """Close it; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._size = 0


class Writer:
    """A thread that writes lines to a `LogFile`, so that the event loop never waits for a disk.

    With `keep_trying`, lines that cannot be written are kept and tried again; else they are lost,
    and counted. `failing` says what is wrong.
    """

    def __init__(self, file: LogFile, keep_trying: bool) -> None:
        self._file = file
        self._keep_trying = keep_trying
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        #: Lines that are done with: written, or lost. Only the thread counts.
        self.ended = 0
        self.lost = 0
        self.failing: str | None = None
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    def start(self) -> None:
        """Raises OSError if the file cannot be opened."""
        self._file.open()
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Have a line written."""
        self._queue.put(line)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Write what is left, for so many seconds at most. Blocks."""
        self._queue.put(None)
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive():
            self._file.close()

    def _work(self) -> None:
        going_on = True
        while going_on:
            lines = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(lines) < BATCH_LINES:
                    lines.append(self._queue.get_nowait())
            going_on = None not in lines
            there = [line for line in lines if line is not None]
            if there:
                self._write(there)
                self.ended += len(there)

    def _write(self, lines: list[bytes]) -> None:
        """Write lines, or lose them; with `keep_trying`, only when the server stops."""
        while True:
            told = [_lost_line(self.lost)] if self.lost else []
            try:
                self._file.write(b"".join(told + lines))
            except OSError as exc:
                if self.failing is None:
                    log.error("audit log %s: %s", self._file.path, exc.strerror)
                self.failing = exc.strerror or str(exc)
            else:
                if self.failing is not None:
                    log.info("audit log %s: is written again", self._file.path)
                self.failing = None
                self.lost = 0
                return
            if not self._keep_trying or self._stopping.is_set():
                self.lost += len(lines)
                return
            self._stopping.wait(RETRY_SECONDS)


class Audit(Wrap):
    """Every change is logged: a line of JSON says who asked for what, and what came of it.

    `file` is appended to; when it would grow over `max_bytes` it is renamed to ``file.1`` and so
    on, and the oldest beyond `keep` goes. With `reads`, calls that change nothing are logged too.

    A thread writes the lines, so each follows its call by a moment; those of the last moment are
    lost if the process is killed. A log that cannot be opened does not let the server start. When
    it cannot be written later (a full disk), `when_full` is ``refuse``: the lines so far are kept,
    and calls that would be logged fail with IO until they are written; or ``drop``: calls go on,
    lines are lost, and the log says how many once it can be written again.
    """

    def __init__(
        self,
        below: Backend,
        *,
        file: Path,
        reads: bool = False,
        max_bytes: int = 64 << 20,
        keep: int = 10,
        when_full: Literal["refuse", "drop"] = "refuse",
    ) -> None:
        if max_bytes < 4096 or keep < 1:
            raise ValueError("audit: max_bytes is 4096 or more, keep is 1 or more")
        super().__init__(below)
        self._path = Path(file)
        self._refuse = when_full == "refuse"
        self._writer = Writer(LogFile(self._path, max_bytes, keep), self._refuse)
        #: Calls that have begun, and those without a line. Only the event loop counts.
        self._begun = 0
        self.unlogged = 0
        for name in OPERATIONS if reads else CHANGES:
            setattr(self, name, partial(self._logged, name, getattr(self.below, name)))

    def describe(self) -> str:
        """What `below` says, and where the log is."""
        return f"{self.below.describe()}; audit log {self._path}"

    async def start(self) -> None:
        """Open the log, and start `below`. Raises ValueError where there can be no log."""
        try:
            self._writer.start()
        except OSError as exc:
            raise ValueError(f"audit log {self._path}: {exc.strerror}") from None
        try:
            await super().start()
        except BaseException:
            self._writer.stop()
            raise

    async def health(self) -> str | None:
        """What is wrong with the log, and with `below`."""
        said = await super().health()
        failing = self._writer.failing
        ours = None if failing is None else f"audit log {self._path}: {failing}"
        return "; ".join(filter(None, (said, ours))) or None

    async def stop(self) -> None:
        """Stop `below`, then write the lines that are left."""
        try:
            await super().stop()
        finally:
            seconds = max(STOP_LEAST_SECONDS, min(STOP_SECONDS, stop_seconds()))
            await asyncio.to_thread(self._writer.stop, seconds)
            left = self._begun - self._writer.ended + self._writer.lost
            if left or self.unlogged:
                log.error("audit log %s: %d lines are lost", self._path, left + self.unlogged)

    async def _logged(
        self,
        name: str,
        method: Callable[..., Coroutine[Any, Any, Any]],
        ctx: Context,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        logged = self._may_log()
        line = _line(name, ctx, args, kwargs)
        began = time.perf_counter()
        result: Any = None
        status = "cancelled"
        try:
            result = await method(ctx, *args, **kwargs)
            status = "OK"
            return result
        except Exception as exc:
            status = _status(exc)
            raise
        finally:
            line["status"] = status
            line["seconds"] = round(time.perf_counter() - began, 6)
            if isinstance(result, Made):
                line["made"] = _plain(result.attr.key)
            elif isinstance(result, Written):
                line["written"] = result.count
            if logged:
                self._writer.put(json.dumps(line).encode() + b"\n")

    def _may_log(self) -> bool:
        """Whether this call has a line. Raises IO or JUKEBOX if it must have one, and cannot."""
        if self._refuse and self._writer.failing is not None:
            raise FsError(Status.IO, f"the audit log cannot be written: {self._writer.failing}")
        if self._begun - self._writer.ended >= PENDING_LINES:
            if self._refuse:
                raise FsError(Status.JUKEBOX, "the audit log is behind")
            self.unlogged += 1
            return False
        if self.unlogged:
            self._writer.put(_lost_line(self.unlogged))
            self._begun += 1
            self.unlogged = 0
        self._begun += 1
        return True


def _lost_line(count: int) -> bytes:
    return json.dumps({"time": _now(), "lost": count}).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _line(name: str, ctx: Context, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "time": _now(),
        "client": ctx.client,
        "uid": ctx.uid,
        "gid": ctx.gid,
        "export": ctx.export,
        "operation": name,
    }
    given = dict(zip(ARGUMENTS[name], args, strict=False)) | kwargs
    if name == "write":
        given["count"] = len(given.pop("data"))
    if name == "create":
        given["verifier"] = given["verifier"].hex() or None
    line.update((key, _plain(value)) for key, value in given.items() if value is not None)
    return line


def _plain(value: Any) -> Any:
    """An argument as JSON has it. Names that are no UTF-8 keep their bytes as ``\\udc80`` to
    ``\\udcff``, as Python's `os.fsdecode` does."""
    if isinstance(value, Key):  # JSON's numbers are too small for many readers
        return f"{value.ino}:{value.generation}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, SetAttr):
        given = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: it for name, it in given if it is not None}
    return value


def _status(exc: Exception) -> str:
    if isinstance(exc, FsError):
        return exc.status.name
    if isinstance(exc, OSError):
        return errno.errorcode.get(exc.errno or 0, "OSError")
    return type(exc).__name__
