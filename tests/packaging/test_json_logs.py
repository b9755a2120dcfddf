"""`--log-format json`: one object a line, whatever clients send, from every process."""

from __future__ import annotations

import json
import logging
import re
import sys
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
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("bad\udcff")

    try:
        deep(500)
    except ValueError:
        event = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", (), sys.exc_info())
    found = json.loads(logs.JsonLine(3).format(event))
    assert found["worker"] == 3 and found["message"] == "it broke"
    exception = found["exception"]
    assert (exception["type"], exception["message"]) == ("ValueError", "bad\\udcff")
    assert len(exception["frames"]) == logs.FRAMES
    assert exception["frames"][0].keys() == {"function", "file", "line"}
    assert exception["frames"][0]["function"] == "deep"


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
