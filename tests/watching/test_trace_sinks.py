"""Who is told of calls: lines that wait for a reader, of this process and of workers; the log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from nfs_process import REPO
from trace_kit import Caller, OpenBackend, in_loop, traced

import nfsloop
from nfsloop import logs
from nfsloop.errors import ConfigError
from nfsloop.limits import TRACE_QUEUE_LINES
from nfsloop.watching.sinks import Lines, dropped
from nfsloop.watching.trace import log_calls
from nfsloop.workers import traces
from nfsloop.workers.channel import ChannelError
from nfsloop.workers.traces import Traces, WorkerTraces

WAIT_SECONDS = 20.0

# Lines


@in_loop
async def test_what_waits_is_bounded_by_lines() -> None:
    lines = Lines(limit=5)
    lines.put(["a", "  b", "  c"])
    lines.put(["d", "  e", "  f"])  # no room for it whole
    lines.put(["g"])  # it would come before what was dropped is told
    assert await lines.take() == ([["a", "  b", "  c"]], 2)
    lines.put(["h"])
    assert await lines.take() == ([["h"]], 0)
    assert not lines.full
    lines.drop(3)
    assert lines.full
    lines.put(["i"])
    assert await lines.take() == ([], 4)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lines.take()


@in_loop
async def test_who_has_lines_waits_for_room() -> None:
    lines = Lines(limit=5)
    assert await lines.room(9)  # more than there can ever be: in an empty one, for once
    lines.put(["a"] * 3)
    assert await lines.room(2)
    waits = asyncio.ensure_future(lines.room(3))
    await asyncio.sleep(0)
    assert not waits.done()
    await lines.take()
    assert await waits
    lines.drop()
    waits = asyncio.ensure_future(lines.room(1))
    await asyncio.sleep(0)
    assert not waits.done()
    lines.close()
    assert not await waits
    assert not await lines.room(1)


def test_one_event_is_one() -> None:
    assert dropped(1) == "… 1 event dropped"
    assert dropped(2, " of worker 0") == "… 2 events of worker 0 dropped"


# Workers


class Worker:
    """A worker as its home sees it, and its channel."""

    def __init__(self, index: int, fails: Exception | None = None) -> None:
        self.index = index
        self.serves = self.up = True
        self.fails = fails
        self.asked: list[tuple[Any, ...]] = []

    @property
    def channel(self) -> Worker:
        return self

    async def ask(self, *args: Any, timeout: float) -> None:
        self.asked.append(args)
        if self.fails is not None:
            raise self.fails


@in_loop
async def test_workers_are_told_of_the_end_and_their_lines_wait_for_room() -> None:
    workers: Any = [Worker(0), Worker(1)]
    home, lines = Traces(workers), Lines(limit=5)
    assert not await home.take(0, 0, [["of none"]])
    async with home.traced({"level": 2}, lines):
        assert [worker.asked for worker in workers] == [[("trace", 0, {"level": 2})]] * 2
        assert await home.take(0, 0, [["a", "  b"], ["c"]], 7)
        waits = asyncio.ensure_future(home.take(0, 1, [["d", "  e"]]))
        await asyncio.sleep(0)
        assert not waits.done()
        assert await lines.take() == ([["a", "  b"], ["c"], ["… 7 events of worker 0 dropped"]], 0)
        assert await waits
        lines.put(["  f"] * 3)
        waits = asyncio.ensure_future(home.take(0, 1, [["g"]]))
        other = Worker(0)
        await home.resume(other)  # type: ignore[arg-type]
        assert other.asked == workers[0].asked
    assert not await waits
    await asyncio.sleep(0)
    assert [worker.asked[1:] for worker in workers] == [[("untrace", 0)]] * 2
    assert not await home.take(0, 0, [["late"]])


@in_loop
async def test_a_worker_that_does_not_trace_is_told_of() -> None:
    gone = Worker(3, ChannelError("the other process is gone"))
    gone.up = False  # another will be in its place
    workers: Any = [Worker(0, TimeoutError()), Worker(1), Worker(2, ConfigError("no")), gone]
    lines = Lines()
    async with Traces(workers).traced({}, lines):
        events, _ = await lines.take()
    assert events == [
        ["… worker 0 does not answer: not traced until it does"],
        ["… worker 2: not traced: no"],
    ]


class HomeChannel:
    """A worker's channel to its home: a question is answered when there is a `room`."""

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(0)
        self.fails = 0
        self.batches: list[tuple[Any, ...]] = []

    async def ask(self, name: str, *args: Any, timeout: float | None = None) -> bool:
        assert (name, timeout) == ("traced", None)  # however long nobody reads
        if self.fails:
            self.fails -= 1
            raise ChannelError("its backlog is full")
        self.batches.append(args)
        await self.room.acquire()
        return True


def null(server: Any, count: int, caller: Any) -> None:
    for _ in range(count):
        server.app.server.dispatcher.dispatch(wire.call(), caller, None)


@in_loop
async def test_a_worker_makes_nothing_ready_for_who_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with traced(1) as t:
        channel: Any = HomeChannel()
        worker = WorkerTraces(channel, 3)
        worker.begin(t.app, 5, {"level": 2, "exports": ["/away/just/now"]})  # the home has seen it
        worker.end(5)
        worker.begin(t.app, 6, {"level": 2})
        worker.begin(t.app, 6, {"level": 2})
        null(t, 100, t.caller)
        await asyncio.sleep(0.01)
        null(t, TRACE_QUEUE_LINES + 10, t.caller)
        with monkeypatch.context() as patch:
            patch.setattr("nfsloop.watching.telling.cut", None)  # nothing is formatted
            null(t, 1000, t.caller)
        assert [len(batch[2]) for batch in channel.batches] == [100]
        for _ in range(100):
            channel.room.release()
        await asyncio.sleep(0.05)
        assert {batch[:2] for batch in channel.batches} == {(6, 3)}
        assert sum(len(batch[2]) for batch in channel.batches) == 100 + TRACE_QUEUE_LINES
        assert sum(batch[3] for batch in channel.batches) == 1010
        worker.end(6)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = len(t.app.watcher._watches)
    assert before == 1  # that of `traced`


@in_loop
async def test_what_a_worker_cannot_send_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "RETRY_SECONDS", 0.01)
    async with traced(1) as t:
        channel: Any = HomeChannel()
        channel.fails = 3
        worker = WorkerTraces(channel, 0)
        worker.begin(t.app, 1, {"level": 2})
        null(t, 10, t.caller)
        async with asyncio.timeout(WAIT_SECONDS):
            while not channel.batches:
                await asyncio.sleep(0.01)
        assert channel.batches == [(1, 0, [], 10)]  # none of them twice, as they are tried again
        worker.end(1)


# The log


class Pipe:
    """Standard error, of which nothing is read until `rest`."""

    def __init__(self, handler: logs.Stderr) -> None:
        self.handler = handler
        self.reads, self.writes = os.pipe()
        self.stream = open(self.writes, "w")  # noqa: SIM115
        handler.setStream(self.stream)

    def rest(self) -> list[str]:
        """What has been written when all has."""
        parts: list[bytes] = []

        def read() -> None:
            while part := os.read(self.reads, 1 << 16):
                parts.append(part)

        thread = threading.Thread(target=read)
        thread.start()
        deadline = time.monotonic() + WAIT_SECONDS
        while self.handler.full or self.handler._bytes:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        self.stream.close()
        thread.join()
        os.close(self.reads)
        return b"".join(parts).decode().splitlines()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back."""
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_log_that_nobody_reads_keeps_nobody_waiting(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(logs, "LOG_QUEUE_BYTES", 100_000)
    monkeypatch.setattr(logs, "_FLUSH_SECONDS", 0.01)
    handler = logs.Stderr()
    handler.setFormatter(logs.JsonLine() if form == "json" else logs.OneLine("%(message)s"))
    pipe = Pipe(handler)
    root.handlers[:] = [handler]
    assert logs.behind() is handler and logs.behind() is handler
    log = logging.getLogger("nfsloop.trace")
    for number in range(5000):
        log.warning("event %d %s", number, "x" * 100)
    assert handler.full
    handler.flush()  # not for ever
    handler.drop()
    lines = pipe.rest()
    if form == "json":
        lines = [json.loads(line)["message"] for line in lines]
    *told, last = lines
    assert [line.split()[1] for line in told] == [str(number) for number in range(len(told))]
    found = re.search(r"log: (\d+) lines dropped, as standard error is read too slowly", last)
    assert found and int(found[1]) + len(told) == 5001
    assert not handler.full


def test_what_is_dropped_stands_where_it_was() -> None:
    """Between lines of before and of after: nothing is taken until it is told."""
    handler = logs.Stderr()
    handler._descriptor = 1  # and no thread
    handler.drop()
    handler.emit(logging.makeLogRecord({"msg": "it comes too early"}))
    assert (handler._dropped, list(handler._lines)) == (2, [])
    assert b" 2 lines dropped" in handler._missing()
    handler.emit(logging.makeLogRecord({"msg": "after"}))
    assert list(handler._lines) == [b"after\n"]
    handler._bytes = 0  # nobody will write them


def test_who_has_no_log_of_ours_logs_as_ever(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers[:] = [logging.NullHandler()]
    assert logs.behind() is None
    handler = logs.Stderr()  # standard error is no file here
    root.handlers[:] = [handler]
    if logs.behind() is None:
        root.warning("at once")
        assert "at once" in capsys.readouterr().err


@in_loop
async def test_calls_are_logged_until_that_ends() -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    log, handler = logging.getLogger("nfsloop.trace"), Keep()
    log.addHandler(handler)
    level = log.level
    try:
        async with nfsloop.serving(OpenBackend(), options="insecure") as server:
            with log_calls(server.app, 4):
                null(server, 1, Caller())
                assert [r.getMessage().split(": ")[1][:4] for r in records] == ["call", "repl"]
            assert "dispatch" not in server.app.server.dispatcher.__dict__
            assert log.level == level
            null(server, 1, Caller())
            assert len(records) == 2
            with log_calls(server.app, 2):
                await server.app.stop()
    finally:
        log.removeHandler(handler)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_trace_to_an_error_output_that_nobody_reads(tmp_path: Path, workers: str) -> None:
    """Calls are answered, and the server ends when it is told to."""
    reads, writes = os.pipe()
    args = [
        sys.executable, "-m", "nfsloop", "serve", "--host", "127.0.0.1", "--port", "0",
        "--rpcbind", "none", "--state", str(tmp_path / "state"), "--trace", "2",
        "--workers", workers, str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(args, cwd=REPO, stdout=subprocess.PIPE, stderr=writes, text=True)
    os.close(writes)
    try:
        assert process.stdout is not None
        found = re.search(r"version 3 on \S+:(\d+)", process.stdout.readline())
        assert found

        async def calls() -> None:
            async with wire.raw("127.0.0.1", int(found[1])) as raw:
                for _ in range(30):
                    await raw.send(wire.fragments(wire.call()) * 100)
                    await raw.reader.readexactly(28 * 100)

        asyncio.run(asyncio.wait_for(calls(), WAIT_SECONDS))
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(reads)
