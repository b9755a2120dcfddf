"""Logs on standard error, one line an event."""

from __future__ import annotations

import logging
import sys
import traceback
from functools import partial

from nfsloop.printable import printable

LEVELS = ("debug", "info", "warning", "error")

#: Lines for people, or a JSON object a line.
FORMATS = ("text", "json")


class OneLine(logging.Formatter):
    """An exception becomes the end of its event's line: what it is, and the frames it came by."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record carries."""
        exc_info, record.exc_info, record.exc_text = record.exc_info, None, None
        try:
            line = super().format(record)
        finally:
            record.exc_info = exc_info
        if exc_info and exc_info[1] is not None:
            frames = reversed(traceback.extract_tb(exc_info[2]))
            way = " < ".join(f"{f.name} ({f.filename}:{f.lineno})" for f in frames)
            line += f": {exc_info[0].__name__ if exc_info[0] else ''}: {exc_info[1]}; in {way}"
        return printable(line)


#: Frames of an exception in JSON, the innermost ones: a recursion may have a thousand.
FRAMES = 32


class JsonLine(logging.Formatter):
    """One JSON object a line, in ASCII: `time` (RFC 3339, UTC, microseconds), `level`,
    `logger`, `message`, `worker` where there are several processes, and `exception`: `type`,
    `message` and at most `FRAMES` `frames`, the innermost first."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        # Who wants JSON pays for these.
        import json
        from datetime import UTC, datetime

        self._worker = worker
        self._dumps = json.dumps
        self._time = partial(datetime.fromtimestamp, tz=UTC)

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record carries."""
        event: dict[str, object] = {
            "time": self._time(record.created).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": _text(record.name),
            "message": _text(record.getMessage()),
        }
        if self._worker is not None:
            event["worker"] = self._worker
        if record.exc_info and record.exc_info[1] is not None:
            kind, exc, trace = record.exc_info
            frames = reversed(traceback.extract_tb(trace, limit=-FRAMES))
            event["exception"] = {
                "type": kind.__name__ if kind else "",
                "message": _text(str(exc)),
                "frames": [
                    {"function": f.name, "file": _text(f.filename), "line": f.lineno}
                    for f in frames
                ],
            }
        return self._dumps(event)


def _text(text: str) -> str:
    """Text that is Unicode: what stands for bytes that are no UTF-8 (a lone surrogate), many a
    reader of JSON refuses."""
    return text.encode("utf-8", "backslashreplace").decode()


def start(level: str, worker: int | None = None, format: str = "text") -> None:
    """Log everything from `level` (one of `LEVELS`) on to standard error, in one of `FORMATS`;
    `worker` is which of several processes this one is."""
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(JsonLine(worker))
    else:
        who = f"worker {worker}: " if worker is not None else ""
        handler.setFormatter(OneLine(f"%(asctime)s %(levelname)s %(name)s: {who}%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, logging.getLogger().level))
