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
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from nfs_process import REPO, Process, nfsloop, run
from trace_kit import OpenBackend, in_loop, traced

from nfsloop import cli, commands
from nfsloop.app import make_layer
from nfsloop.client import Client
from nfsloop.control import STOPPED, Control, ask, stream
from nfsloop.embed import ThreadServer, serving_in_thread
from nfsloop.errors import ConfigError
from nfsloop.limits import CONTROL_STREAMS, TRACE_QUEUE_LINES
from nfsloop.verbs.trace import _show

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


def command(state: Path, *args: str, output: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """`nfsloop trace`, begun."""
    return subprocess.Popen(
        [sys.executable, "-m", "nfsloop", "trace", "--state", str(state), *args],
        cwd=REPO, stdout=output, stderr=subprocess.PIPE, text=True,
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
    assert stopped.stdout is not None
    for line in stopped.stdout:
        assert "\x1b" not in line
        if r"'esc\x1b[31m\n': NFS3ERR_NOENT, " in line:
            break
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=WAIT_SECONDS)
    assert (stopped.returncode, err) == (0, "") and "\x1b" not in out
    until(lambda: not followed.watched)


def test_the_count_ends_within_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    def batches() -> Generator[list[str], None, str]:
        yield []
        yield ["one", "  of it", "… 3 events dropped", "two", "  of it", "three"]
        yield ["four"]
        return STOPPED

    assert _show(batches(), 2) == ""
    shown = ["one", "  of it", "… 3 events dropped", "two", "  of it"]
    assert capsys.readouterr().out.splitlines() == shown
    assert _show(batches(), 3) == ""
    assert _show(batches(), 9) == STOPPED


def test_whoever_reads_its_output_may_go(followed: Followed) -> None:
    with command(followed.state) as process, followed.server.client() as client:
        until(lambda: followed.watched)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        until(lambda: client.listdir() is not None and not followed.watched)
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr.read() == ""


def test_output_that_fails(followed: Followed) -> None:
    with open("/dev/full", "w") as full:
        process = command(followed.state, output=full)
    with process, followed.server.client() as client:
        until(lambda: followed.watched)
        client.listdir()
        assert process.wait(WAIT_SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "nfsloop: standard output: No space left on device\n"
    until(lambda: not followed.watched)


def test_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as after >&-
    assert cli.main(["trace", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "nfsloop: there is no standard output to tell it to\n"


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
    for words in (
        ["--level", "0"], ["--count", "x"], ["--seconds", "-1"], ["--seconds", "1e10"]
    ):  # fmt: skip
        with pytest.raises(SystemExit) as caught:
            cli.main([*base, *words])
        assert caught.value.code == 2
    with pytest.raises(ConfigError, match="no nfsloop runs"):
        next(stream(tmp_path / "none", "trace"))
    assert list(stream(followed.state, "trace", 0.05)) == [[]]


def test_streams_end_with_the_server(followed: Followed) -> None:
    one = stream(followed.state, "trace")
    next(one)
    stuck = asking(followed.state)
    said: list[str] = []

    def follow() -> None:
        try:
            while True:
                next(one)
        except StopIteration as stop:
            said.append(stop.value)

    thread = threading.Thread(target=follow)
    thread.start()
    followed.calls(20_000)
    followed.server.run(followed.control.stop(), timeout=WAIT_SECONDS)
    thread.join(WAIT_SECONDS)
    assert said == [STOPPED]
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


def test_streams_that_have_ended_make_room(followed: Followed) -> None:
    for _ in range(CONTROL_STREAMS + 1):
        with contextlib.closing(stream(followed.state, "trace")) as one:
            assert next(one) == []
        until(lambda: not followed.control._flowing)


@in_loop
async def test_a_reader_that_goes_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Most go so, where calls come all the time: in the midst of a batch."""

    class Gone:
        written = 0

        def write(self, data: bytes) -> None:
            self.written += 1

        async def drain(self) -> None:
            raise ConnectionResetError

    closed = []

    async def endless() -> AsyncGenerator[list[str], None]:
        try:
            while True:
                yield ["a line"]
        finally:
            closed.append(True)

    control, writer = Control(Path("/nowhere"), {}), Gone()
    task: Any = asyncio.current_task()
    await control._flow(task, endless(), asyncio.StreamReader(), writer)  # type: ignore[arg-type]
    assert (writer.written, closed, caplog.records) == (1, [True], [])


def test_what_went_wrong_has_a_name(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nfsloop.control.CONTROL_REQUEST_SECONDS", 0.01)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(followed.state / "control"))
        assert sock.recv(1) == b""
    assert "control socket: TimeoutError" in caplog.messages


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
    [asked] = [text.split("\n") for text in told if "'a\\nb'" in text]  # an object an event
    assert " NFS3 LOOKUP " in asked[0]
    assert asked[1:3] == ["    LOOKUP3args", "      what: diropargs3(...)"]
    assert any(": reply NFS3ERR_NOENT, " in text for text in told)
    assert all(re.match(r"\S+/tcp xid ", text) for text in told)


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
