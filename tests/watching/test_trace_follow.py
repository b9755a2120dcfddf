"""`nfsloop trace`: who follows the calls of a server, how it ends, and what it may cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from nfs_process import REPO, Process, nfsloop, run
from trace_kit import OpenBackend, in_loop, traced

from nfsloop import commands
from nfsloop.app import make_layer
from nfsloop.client import Client
from nfsloop.control import STOPPED, Control, ask, stream
from nfsloop.embed import ThreadServer, serving_in_thread
from nfsloop.errors import ConfigError
from nfsloop.limits import CONTROL_STREAMS, TRACE_QUEUE_LINES
from nfsloop.watching.trace import Lines

WAIT_SECONDS = 20.0


def until(what: Callable[[], Any]) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)
    return found


class Followed:
    """A server in a thread, with a control socket."""

    def __init__(self, server: ThreadServer, state: Path) -> None:
        self.server = server
        self.state = state
        app = server.app
        self.control = Control(
            state,
            {"status": lambda request: commands.health(app)},
            {"trace": lambda request: commands.trace(app, request)},
        )
        server.run(self.control.start())

    @property
    def watched(self) -> bool:
        """Whether any watch is between the transports and `Dispatcher.dispatch`."""
        return "dispatch" in self.server.app.server.dispatcher.__dict__

    def calls(self, count: int) -> None:
        """So many NULL calls."""

        async def main() -> None:
            async with wire.raw("127.0.0.1", self.server.port) as raw:
                for _ in range(count // 100):
                    one = wire.fragments(wire.call())
                    await raw.send(one * 100)
                    await raw.reader.readexactly(28 * 100)

        asyncio.run(main())


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    options = "no_root_squash,insecure"
    with serving_in_thread(OpenBackend(), options=options, state=tmp_path / "state") as server:
        it = Followed(server, tmp_path / "state")
        try:
            yield it
        finally:
            server.run(it.control.stop())


def command(state: Path, *args: str) -> subprocess.Popen[str]:
    """`nfsloop trace`, begun."""
    return subprocess.Popen(
        [sys.executable, "-m", "nfsloop", "trace", "--state", str(state), *args],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_nothing_is_in_the_way_but_while_somebody_follows(followed: Followed) -> None:
    with followed.server.client() as client:
        assert not followed.watched
        one, other = stream(followed.state, "trace"), stream(followed.state, "trace", level=1)
        assert next(one) == [] and next(other) == []
        assert followed.watched
        client.listdir()
        with pytest.raises(FileNotFoundError):
            client.handle("/missing")
        assert " NFS3 READDIR /#" in next(one)[0]
        [failed] = next(other)
        assert ": NFS3ERR_NOENT, " in failed
        one.close()
        client.listdir()
        with pytest.raises(FileNotFoundError):
            client.handle("/missing")
        assert ": NFS3ERR_NOENT, " in next(other)[0]  # it goes on for the other
        assert followed.watched
        other.close()
        until(lambda: not followed.watched)
        client.listdir()
    assert ask(followed.state, "status")


def test_who_is_killed_is_gone(followed: Followed) -> None:
    process = command(followed.state)
    try:
        until(lambda: followed.watched)
    finally:
        process.kill()
        process.communicate()
    until(lambda: not followed.watched)


def test_the_command(followed: Followed) -> None:
    counted = command(followed.state, "--level", "5", "--count", "2", "--procedure", "lookup,mnt")
    stopped = command(followed.state, "--client", "127.0.0.0/8")
    until(lambda: len(followed.server.app.watcher._watches) == 2)
    with followed.server.client() as client, contextlib.suppress(FileNotFoundError):
        client.handle("/esc\x1b[31m\n")
    out, err = counted.communicate(timeout=WAIT_SECONDS)
    assert (counted.returncode, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6} 127\.0\.0\.1:\d+/tcp xid .*", lines[0])
    assert [" MOUNT3 MNT '/': call, " in lines[0], lines[1]] == [True, '    "/"']
    assert sum(not line.startswith(" ") for line in lines) == 2
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=WAIT_SECONDS)
    assert (stopped.returncode, err) == (0, "")
    assert r"'esc\x1b[31m\n': NFS3ERR_NOENT, " in out and "\x1b" not in out
    until(lambda: not followed.watched)


def test_wrong_words(followed: Followed, tmp_path: Path) -> None:
    base = ["trace", "--state", str(followed.state)]
    status, out, err = run(*base, "--export", "/no", "--procedure", "open,read", "--client", "x")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "nfsloop: --client: 'x' is no address or network",
        "nfsloop: --export: '/no' is not exported; there is /",
        err.splitlines()[2],
    ]
    assert err.splitlines()[2].startswith("nfsloop: --procedure: no program has 'open'; ")
    assert not followed.watched
    for words in (["--level", "0"], ["--count", "x"], ["--seconds", "-1"]):
        with pytest.raises(SystemExit) as caught:
            from nfsloop import cli

            cli.main([*base, *words])
        assert caught.value.code == 2
    with pytest.raises(ConfigError, match="no nfsloop runs"):
        next(stream(tmp_path / "none", "trace"))
    assert list(stream(followed.state, "trace", 0.05)) == [[]]


def test_streams_end_with_the_server(followed: Followed) -> None:
    one = stream(followed.state, "trace")
    next(one)
    stuck = asking(followed.state)
    followed.calls(20_000)
    followed.server.run(followed.control.stop(), timeout=WAIT_SECONDS)
    while True:
        try:
            next(one)
        except StopIteration as stop:
            assert stop.value == STOPPED
            break
    stuck.close()
    assert not followed.watched


def test_streams_are_bounded(followed: Followed) -> None:
    streams = [stream(followed.state, "trace") for _ in range(CONTROL_STREAMS)]
    for one in streams:
        assert next(one) == []
    with pytest.raises(ConfigError, match=f"{CONTROL_STREAMS} of these"):
        next(stream(followed.state, "trace"))
    assert ask(followed.state, "status")  # there is room for others
    for one in streams:
        one.close()
    until(lambda: not followed.watched)


def asking(state: Path) -> socket.socket:
    """A connection that follows, of which nothing is read yet."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(state / "control"))
    sock.sendall(b'{"command": "trace"}\n')
    assert sock.recv(1024)
    return sock


def test_who_does_not_read_slows_nobody_and_is_told(followed: Followed) -> None:
    count = 4 * TRACE_QUEUE_LINES
    with asking(followed.state) as sock, sock.makefile("rb") as answers:
        followed.calls(count)
        told = dropped = 0
        while told + dropped < count // 100 * 100:
            for line in json.loads(answers.readline())["lines"]:
                if found := re.fullmatch(r"… (\d+) events dropped", line):
                    dropped += int(found[1])
                else:
                    assert " NFS3 NULL: OK, " in line
                    told += 1
        assert dropped >= count - 2 * TRACE_QUEUE_LINES - 100
        # And it goes on.
        followed.calls(100)
        assert json.loads(answers.readline())["lines"]
    until(lambda: not followed.watched)


@in_loop
async def test_what_waits_is_bounded_by_lines() -> None:
    lines = Lines(limit=5)
    lines.put(["a", "  b", "  c"])
    lines.put(["d", "  e", "  f"])  # no room for it whole
    lines.put(["g"])  # it would come before what was dropped is told
    assert await lines.take() == [["a", "  b", "  c"], ["… 2 events dropped"]]
    lines.put(["h"])
    assert await lines.take() == [["h"]]
    assert not lines.full
    lines.drop(3)
    assert lines.full
    lines.put(["i"])
    assert await lines.take() == [["… 4 events dropped"]]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lines.take()


@in_loop
async def test_an_untraced_server_has_no_watch() -> None:
    async with traced(1) as t:
        assert "dispatch" in t.app.server.dispatcher.__dict__
        dispatcher, root = t.app.server.dispatcher, await t.root()
    assert "dispatch" not in dispatcher.__dict__
    assert len(root) == 32


def test_the_layer_is_gone_and_says_where_to() -> None:
    for text in ("trace", "trace?level=5", "nfsloop.layers:Trace"):
        with pytest.raises(ConfigError, match="--trace LEVEL"):
            make_layer(text)


# Whole servers


def serve(state: Path, export: Path, *args: str) -> contextlib.AbstractContextManager[Process]:
    return nfsloop(
        "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", "-o",
        "insecure,no_root_squash", "--state", str(state), *args, str(export),
    )  # fmt: skip


def test_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    args = ["--trace", "5", "--log-level", "warning", "--log-format", "json"]
    with serve(tmp_path / "state", tmp_path / "export", *args) as server:
        with Client(server.port) as client, contextlib.suppress(FileNotFoundError):
            client.handle("/a\nb")
        with contextlib.closing(stream(tmp_path / "state", "trace")) as lines:
            assert next(lines) == []
        assert server.stop() == 0
        told = [json.loads(line) for line in server.stderr().splitlines()]
    told = [event["message"] for event in told if event["logger"] == "nfsloop.trace"]
    assert [line.partition(" NFS3 ")[2][:6] for line in told if "'a\\nb'" in line] == ["LOOKUP"]
    assert any(": reply NFS3ERR_NOENT, " in line for line in told)
    assert "    LOOKUP3args" in told and "      what: diropargs3(...)" in told


def test_workers(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    state = tmp_path / "state"
    with serve(state, tmp_path / "export", "--workers", "2") as server:
        port = server.port
        told: list[str] = []

        def follow() -> None:
            for lines in stream(state, "trace", procedures=["MNT"]):
                told.extend(lines)

        thread = threading.Thread(target=follow)
        thread.start()

        def seen_of_both() -> bool:
            with contextlib.suppress(OSError), Client(port):
                pass
            return {line.split()[1] for line in told} == {"[0]", "[1]"}

        until(seen_of_both)
        assert all(" MOUNT3 MNT '/': OK, " in line for line in told)  # not as bytes
        # One that is started in another's place traces too.
        found = re.search(r"worker 0: process (\d+)", "\n".join(ask(state, "status")))
        assert found
        os.kill(int(found[1]), signal.SIGKILL)
        until(lambda: "replaced 1 times: " in ask(state, "status")[1])
        before = len(told)
        until(lambda: seen_of_both() and " [0] " in "".join(told[before:]))
        assert server.stop() == 0
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    # By the worker alone, and not by the home too.
    assert len({line.partition(" xid ")[2][:8] for line in told}) == len(told)
