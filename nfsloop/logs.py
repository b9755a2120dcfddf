"""Logs on standard error, one line an event."""

from __future__ import annotations

import logging
import sys
import traceback

LEVELS = ("debug", "info", "warning", "error")


#: What would end a line, or tell a terminal something: names that clients send may have it.
_CONTROLS = {
    code: ascii(chr(code))[1:-1] for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) != "\t"
}


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
        return line.translate(_CONTROLS)


def start(level: str, who: str = "") -> None:
    """Log everything from `level` (one of `LEVELS`) on to standard error; `who` is put before
    each event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(f"%(asctime)s %(levelname)s %(name)s: {who}%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, logging.getLogger().level))
