"""`--log-format json`: one object a line, whatever clients send, from every process."""

from __future__ import annotations

import json
import logging
import re
import select
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nfsloop"))

from nfs_process import SLOW_READ, nfsloop

from nfsloop import logs
from nfsloop.client import Client

ARGS = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", "--log-format", "json"]


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("a.logger", logging.WARNING, __file__, 1, message, args, None, **more)


@pytest.mark.parametrize(
    "name",
    [
        '"}\n{"level": "x"}',
        "\x1b[2J\x7f\x9b\x00",
        b"\xff\xfe".decode("ascii", "surrogateescape"),
        "\ud800",
        "é\u2028",
    ],
    ids=["quotes", "controls", "no UTF-8", "surrogate", "letters"],
)
def test_a_name_breaks_nothing(name: str) -> None:
    """A line of printable ASCII, that is JSON, of text that is Unicode."""
    line = logs.JsonLine().format(record("file %s", name))
    assert re.fullmatch("[ -~]+", line)
    found = json.loads(line)
    assert found["level"] == "warning" and found["logger"] == "a.logger"
    found["message"].encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in name):
        assert found["message"] == f"file {name}"
    assert set(found) == {"time", "level", "logger", "message"}


def test_time_is_whole() -> None:
    event = record("x")
    event.created = 1_700_000_000.000001
    time = json.loads(logs.JsonLine().format(event))["time"]
    assert time == "2023-11-14T22:13:20.000001+00:00"
    event.created = 1_700_000_000.0
    assert json.loads(logs.JsonLine().format(event))["time"] == "2023-11-14T22:13:20.000000+00:00"


def test_an_exception_has_its_frames_and_not_too_many() -> None:
    def fall(left: int) -> None:
        if left:
            fall(left - 1)
        raise ValueError("bad\udcff")

    try:
        fall(500)
    except ValueError:
        event = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", (), sys.exc_info())
    found = json.loads(logs.JsonLine(3).format(event))
    assert found["worker"] == 3 and found["message"] == "it broke"
    exception = found["exception"]
    assert (exception["type"], exception["message"]) == ("ValueError", "bad\\udcff")
    assert len(exception["frames"]) == logs.FRAMES
    assert exception["frames"][0].keys() == {"function", "file", "line"}
    assert exception["frames"][0]["function"] == "fall"


# Lines have bounds


def chained() -> logging.LogRecord:
    try:
        try:
            raise KeyError("inner")
        except KeyError as exc:
            raise ValueError("outer " + "x" * 3000) from exc
    except ValueError:
        return logging.LogRecord("l" * 999, logging.ERROR, "", 1, "y" * 9999, (), sys.exc_info())


def deep(left: int) -> float:
    return deep(left - 1) if left else 1 / left


def with_frames() -> logging.LogRecord:
    try:
        deep(100)
    except ZeroDivisionError:
        return logging.LogRecord("x", logging.ERROR, "", 1, "m" * 2000, (), sys.exc_info())
    raise AssertionError


@pytest.mark.parametrize(
    "make",
    [
        lambda: record("z" * 10_000_000),
        lambda: record("\u2028" * 5000),
        lambda: record("\U0001f600" * 5000),
        chained,
        with_frames,
    ],
    ids=["long", "escaped", "astral", "an exception with a cause", "frames"],
)
def test_a_line_of_several_processes_is_one_write_to_a_pipe(
    make: Callable[[], logging.LogRecord],
) -> None:
    """pipe(7): up to PIPE_BUF bytes are not mixed with what others write; the end of the line is
    one of them. What is left out is told."""
    event = make()
    line = logs.JsonLine(1, logs.SHARED_LINE_BYTES).format(event)
    assert len(line) + 1 <= select.PIPE_BUF
    found = json.loads(line)
    assert len(found["message"]) + found["cut"]["message"] == len(event.getMessage())
    assert len(json.dumps(found["message"])) >= logs.MESSAGE_BYTES, "little of it is left"
    if event.exc_info:
        whole = json.loads(logs.JsonLine().format(event))["exception"]
        kept = len(found["exception"]["frames"])
        assert kept + found["cut"]["frames"] == len(whole["frames"]) and kept > 0
        assert found["exception"]["frames"] == whole["frames"][:kept]


def test_what_an_exception_came_of() -> None:
    exception = json.loads(logs.JsonLine().format(chained()))["exception"]
    assert exception["message"].startswith("outer xxx") and len(exception["message"]) < 600
    assert exception["causes"] == [{"type": "KeyError", "message": "'inner'"}]
    try:
        raise ExceptionGroup("several", [ValueError("a"), KeyError("b")])
    except ExceptionGroup:
        event = logging.LogRecord("x", logging.ERROR, "", 1, "m", (), sys.exc_info())
    causes = json.loads(logs.JsonLine().format(event))["exception"]["causes"]
    assert [cause["type"] for cause in causes] == ["ValueError", "KeyError"]


@pytest.mark.parametrize(
    "form", [logs.JsonLine(), logs.OneLine("%(message)s")], ids=["json", "text"]
)
def test_mistakes_of_whoever_logs_break_nothing(form: logging.Formatter) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    line = form.format(record("%d apples", "x"))
    assert "%d apples" in line and "TypeError" in line
    try:
        raise Mute
    except Mute:
        event = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", (), sys.exc_info())
    line = form.format(event)
    assert "Mute" in line and "RuntimeError" in line and "\n" not in line


#: Warnings, threads, `__del__`, tasks: what Python writes to standard error by itself.
UNTIDY = """
import asyncio, sys, threading, warnings
from backends.memory import MemoryBackend
from nfsloop import cli
start = MemoryBackend.start
class Bad:
    def __del__(self):
        raise ZeroDivisionError("in a __del__")
async def fail():
    raise KeyError("in a task")
async def untidy(self):
    warnings.warn("a warning\\nof two lines")
    thread = threading.Thread(target=lambda: 1 / 0, name="a thread")
    thread.start()
    thread.join()
    Bad()
    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0.01)
    del task
    await start(self)
MemoryBackend.start = untidy
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_python_s_own_words_are_lines_too(form: str, tmp_path: Path) -> None:
    argv = [*ARGS[:-1], form, "--state", str(tmp_path / "s"), "memory:"]
    with nfsloop(*argv, code=UNTIDY) as server:
        server.ready()
        assert server.stop() == 0
        said = server.stderr()
    if form == "json":
        levels = {line["level"] for line in map(json.loads, said.splitlines())}
        assert levels == {"info", "warning", "error"}
    assert not [line for line in said.splitlines() if line.startswith((" ", "Traceback"))], said
    for text in ("a warning", "thread a thread: failed", "in a __del__", "in a task"):
        assert text in said


def test_a_server_s_lines(tmp_path: Path) -> None:
    """Of a backend that fails on a name with everything in it, too."""
    argv = [*ARGS, "--log-level", "debug", "--state", str(tmp_path / "s"), "memory:"]
    env = {"TEST_FAULT": "1"}
    with nfsloop(*argv, code=SLOW_READ, env=env) as server:
        with Client(server.port) as client:
            client.write_file(b'/\xff"\n\x1b', b"data")
            with pytest.raises(OSError):
                client.read(b'/\xff"\n\x1b')
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.stderr().splitlines()]
    for line in lines:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["level"] in logs.LEVELS
    failed = [line for line in lines if "exception" in line]
    assert failed and failed[0]["exception"]["type"] == "ValueError"
    assert failed[0]["exception"]["message"] == "injected\nfault"
    assert any(line["message"] == "SIGTERM: stopping" for line in lines)


def test_workers_say_which_they_are(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    settings = tmp_path / "nfsloop.toml"  # from a file too
    settings.write_text(
        f'log_format = "json"\nworkers = 2\nexports = []\n[[export]]\npath = "{tree}"\n'
    )
    argv = [*ARGS[:-2], "--state", str(tmp_path / "s"), "--config", str(settings)]
    with nfsloop(*argv) as server:
        server.ready()
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.stderr().splitlines()]
    workers = {line.get("worker") for line in lines}
    assert workers >= {None, 0, 1}, lines
