"""Logs on standard error, one line an event."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from nfsloop.limits import LOG_QUEUE_BYTES
from nfsloop.printable import printable

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler

LEVELS = ("debug", "info", "warning", "error")

#: Lines for people, or a JSON object a line.
FORMATS = ("text", "json")


class OneLine(logging.Formatter):
    """An exception becomes the end of its event's line: what it is, and the frames it came by."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record carries."""
        exc_info, record.exc_info, record.exc_text = record.exc_info, None, None
        record.msg, record.args = _message(record), None
        try:
            line = super().format(record)
        finally:
            record.exc_info = exc_info
        if exc_info and exc_info[1] is not None:
            frames = reversed(traceback.extract_tb(exc_info[2]))
            way = " < ".join(f"{f.name} ({f.filename}:{f.lineno})" for f in frames)
            kind = exc_info[0].__name__ if exc_info[0] else ""
            line += f": {kind}: {_said(exc_info[1])}; in {way}"
        return printable(line)


#: Frames of an exception in JSON, the innermost ones: a recursion may have a thousand. What it came
#: of, and characters of what each of them says; characters of other names.
FRAMES = 32
CAUSES = 3
SAID_CHARS = 500
NAME_CHARS = 200

#: The bytes of a JSON line; and where several processes write to one pipe, which takes no more than
#: PIPE_BUF at once (pipe(7)). Of these, so many are the message's at least.
LINE_BYTES = 256 << 10
SHARED_LINE_BYTES = 4096
MESSAGE_BYTES = 1024


class JsonLine(logging.Formatter):
    """One JSON object a line, in ASCII: `time` (RFC 3339, UTC, microseconds), `level`,
    `logger`, `message`, `worker` where there are several processes, and `exception`: `type`,
    `message`, `causes` (`type` and `message`, the nearest first) and at most `FRAMES` `frames`, the
    innermost first. A line has `most` bytes with its end; what does not fit is left out, and `cut`
    says how much: characters of the `message`, `frames`."""

    def __init__(self, worker: int | None = None, most: int = LINE_BYTES) -> None:
        super().__init__()
        self.most = most
        # Who wants JSON pays for these.
        import json
        from datetime import UTC, datetime

        self._worker = worker
        self._dumps = json.dumps
        self._time = partial(datetime.fromtimestamp, tz=UTC)

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record carries."""
        event: dict[str, Any] = {
            "time": self._time(record.created).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": _text(record.name)[:NAME_CHARS],
            "message": _text(_message(record)),
        }
        if self._worker is not None:
            event["worker"] = self._worker
        if record.exc_info and record.exc_info[1] is not None:
            _, exc, trace = record.exc_info
            frames = reversed(traceback.extract_tb(trace, limit=-FRAMES))
            event["exception"] = {
                **_told(exc),
                "frames": [
                    {
                        "function": _text(f.name)[:NAME_CHARS],
                        "file": _text(f.filename)[-NAME_CHARS:],
                        "line": f.lineno,
                    }
                    for f in frames
                ],
            }
            if causes := _causes(exc):
                event["exception"]["causes"] = causes
        return self._fit(event)

    def _fit(self, event: dict[str, Any]) -> str:
        line: str = self._dumps(event)
        if len(line) < self.most:
            return line
        message = event["message"]
        event["cut"] = cut = {"message": len(message), "frames": 0}
        event["message"] = ""
        exception = event.get("exception", {})
        least = min(MESSAGE_BYTES, len(self._dumps(message)))
        while (room := self.most - 1 - len(self._dumps(event))) < least and exception:
            if exception["frames"]:
                exception["frames"].pop()
                cut["frames"] += 1
            elif "causes" in exception:
                del exception["causes"]
            else:
                exception["message"] = exception["message"][: NAME_CHARS // 2]
                break
        room = self.most - 1 - len(self._dumps(event))
        event["message"] = _head(message, room, self._dumps)
        cut["message"] -= len(event["message"])
        return str(self._dumps(event))


def _head(text: str, room: int, dumps: Callable[[str], str]) -> str:
    """The longest beginning of `text` that takes `room` bytes in JSON, without its quotes."""
    low, high = 0, max(0, min(len(text), room))
    while low < high:
        middle = (low + high + 1) // 2
        if len(dumps(text[:middle])) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _message(record: logging.LogRecord) -> str:
    """Its text, also where its author has made a mistake."""
    try:
        return record.getMessage()
    except Exception as exc:
        return f"{str(record.msg)[:SAID_CHARS]} (its arguments: {type(exc).__name__})"


def _said(exc: BaseException) -> str:
    """What an exception says; whoever wrote it may have made a mistake there."""
    try:
        return str(exc)
    except Exception as failure:
        return f"(its text: {type(failure).__name__})"


def _told(exc: BaseException) -> dict[str, Any]:
    text = _text(_said(exc))
    more = f"... and {len(text) - SAID_CHARS} characters" if len(text) > SAID_CHARS else ""
    return {"type": type(exc).__name__[:NAME_CHARS], "message": text[:SAID_CHARS] + more}


def _causes(exc: BaseException) -> list[dict[str, Any]]:
    """What an exception came of; of a group, its members."""
    found: list[BaseException] = []
    while len(found) < CAUSES:
        if isinstance(exc, BaseExceptionGroup):
            found += exc.exceptions
            break
        cause = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
        if cause is None:
            break
        found.append(cause)
        exc = cause
    return [_told(one) for one in found[:CAUSES]]


def _text(text: str) -> str:
    """Text that is Unicode: what stands for bytes that are no UTF-8 (a lone surrogate), many a
    reader of JSON refuses."""
    return text.encode("utf-8", "backslashreplace").decode()


#: At its end, a process waits so long for the lines that are still to be written.
_FLUSH_SECONDS = 1.0

#: How soon a thread tries again where there is no room just now.
_RETRY_SECONDS = 0.05


class Stderr(_StreamHandler):
    """Writes to standard error; or has a thread do that (`behind`), so that who logs waits for
    nobody. Then lines of `LOG_QUEUE_BYTES` wait; more are dropped until all have been written, and
    how many is logged in their place."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.full = False
        self._descriptor = -1
        self._dropped = 0
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._change = threading.Condition()

    def behind(self) -> bool:
        """Have a thread write from now on; whether there is one now."""
        if self._descriptor < 0:
            with contextlib.suppress(OSError, ValueError):  # it is no file
                self._descriptor = self.stream.fileno()
                super().flush()
                threading.Thread(target=self._write, name="log", daemon=True).start()
        return self._descriptor >= 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if self._descriptor < 0:
            return super().emit(record)
        try:
            line = self._line(record)
        except Exception:
            return self.handleError(record)
        with self._change:
            if self.full or (self._bytes and self._bytes + len(line) > LOG_QUEUE_BYTES):
                self._drop()
            else:
                self._lines.append(line)
                self._bytes += len(line)
                self._change.notify_all()

    def drop(self) -> None:
        """There was a line that was not even made."""
        with self._change:
            self._drop()

    def _drop(self) -> None:
        self.full = True
        self._dropped += 1
        self._change.notify_all()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")

    def flush(self) -> None:
        """See `logging.Handler`; not for longer than `_FLUSH_SECONDS` where a thread writes."""
        if self._descriptor < 0:
            return super().flush()
        with self._change:
            self._change.wait_for(lambda: not self._bytes and not self._dropped, _FLUSH_SECONDS)

    def _write(self) -> None:
        """The thread: writes by the descriptor, as nobody may hold a lock of the stream's when the
        process ends."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._lines or self._dropped)
                line = self._lines.popleft() if self._lines else self._missing()
            self._put(line)
            with self._change:
                self._bytes -= len(line)
                self._change.notify_all()

    def _missing(self) -> bytes:
        about = {"name": "nfsloop", "levelno": logging.WARNING, "levelname": "WARNING"}
        text = "log: %d lines dropped, as standard error is read too slowly"
        record = logging.makeLogRecord({**about, "msg": text, "args": (self._dropped,)})
        self.full, self._dropped = False, 0
        line = self._line(record)
        self._bytes += len(line)
        return line

    def _put(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody can be told
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:
                    time.sleep(_RETRY_SECONDS)


def behind() -> Stderr | None:
    """What logs in this process, and has a thread write from now on; None where `start` has not
    been called, or standard error is no file."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Stderr) and handler.behind():
            return handler
    return None


def json_lines() -> bool:
    """Whether an event becomes a JSON object, however long it is."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    return any(isinstance(one, JsonLine) and one.most >= LINE_BYTES for one in formatters)


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread is not None else "that has ended"
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("nfsloop").error("thread %s: failed", name, exc_info=info)


def _ignored(args: sys.UnraisableHookArgs) -> None:
    """For what is raised where nobody can be told, as in `__del__`."""
    if args.exc_value is not None:
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        what = args.err_msg or "exception ignored"
        log = logging.getLogger("nfsloop")
        log.error("%s: %s", what, type(args.object).__name__, exc_info=info)


def start(
    level: str, worker: int | None = None, format: str = "text", shared: bool = False
) -> None:
    """Log everything from `level` (one of `LEVELS`) on to standard error, in one of `FORMATS`;
    `worker` is which of several processes this one is. `shared`: others write there too.

    What Python itself would write there becomes such lines as well: warnings, and what threads and
    `__del__` raise.
    """
    handler = Stderr()
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _ignored
    if format == "json":
        most = LINE_BYTES if worker is None and not shared else SHARED_LINE_BYTES
        handler.setFormatter(JsonLine(worker, most))
    else:
        who = f"worker {worker}: " if worker is not None else ""
        handler.setFormatter(OneLine(f"%(asctime)s %(levelname)s %(name)s: {who}%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, logging.getLogger().level))
