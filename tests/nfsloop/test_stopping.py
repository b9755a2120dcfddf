"""A stop has one deadline, whatever hangs, and is heeded while the server starts still."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from pathlib import Path

import pytest
from nfs_process import Process, nfsloop

from backends import threads
from backends.base import Context, Data, Key
from backends.memory import MemoryBackend
from backends.threads import Threaded, stopping
from nfsloop.client import Client

ARGS = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]

#: So long for what takes 20 s where a deadline is missing.
WAIT = 10.0

#: The command with memory whose start blocks a thread, or names that nobody resolves.
HANGS = """
import os, sys, time
from backends.memory import MemoryBackend
from nfsloop import cli, names
start = MemoryBackend.start
where = os.environ["TEST_HANGS"]
def hang(*args):
    print("hangs", file=sys.stderr)
    time.sleep(60)
async def slow_start(self):
    if where == "start":
        hang()
    await start(self)
MemoryBackend.blocking, MemoryBackend.inline = True, False
MemoryBackend.start = slow_start
if where == "names":
    names._addresses = hang
sys.exit(cli.main(sys.argv[1:]))
"""


#: Memory that several processes serve, as if it were one, and that blocks a thread at LOOKUP.
STUCK = """
import sys, time
from backends.memory import MemoryBackend
class Stuck(MemoryBackend):
    blocking, inline, shareable = True, False, True
    def share(self):
        pass
    async def lookup(self, *args):
        print("hangs", file=sys.stderr)
        time.sleep(60)
"""


def until(server: Process, text: str, times: int = 1) -> None:
    """Wait for a text in the log."""
    end = time.monotonic() + 15
    while server.stderr().count(text) < times:
        assert server.process.poll() is None and time.monotonic() < end, server.stderr()
        time.sleep(0.02)


class Hanging(MemoryBackend):
    """Every READ blocks its thread until `gate` is open."""

    blocking = True
    inline = False
    gate = threading.Event()

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        self.gate.wait(30)
        return await super().read(ctx, key, offset, count)


@pytest.mark.parametrize("calls", [1, 64], ids=["one thread hangs", "all threads hang"])
def test_backends_share_the_time_of_a_stop(calls: int) -> None:
    """Three of them, one after the other, and no one has it anew. What hangs nowhere is stopped."""
    ended: list[str] = []

    class Well(MemoryBackend):
        blocking = True
        inline = False

        async def stop(self) -> None:
            ended.append("well")

    Hanging.gate.clear()

    async def main() -> None:
        hanging = [Threaded(Hanging()) for _ in range(3)]
        well = Threaded(Well())
        for one in (*hanging, well):
            await one.start()
        ctx = Context(0, 0)
        stuck = [
            asyncio.ensure_future(one.read(ctx, Key(1), 0, 1))
            for one in hanging
            for _ in range(calls)
        ]
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        with stopping(0.3):
            began = loop.time()
            for one in (*hanging, well):
                await one.stop()
            assert loop.time() - began < 2 * threads.STOP_SECONDS  # 15 s if each has its own
        assert threads.stop_seconds() == threads.STOP_SECONDS
        Hanging.gate.set()
        await asyncio.gather(*stuck, return_exceptions=True)

    asyncio.run(main())
    assert ended == ["well"]


def test_the_whole_is_within_an_engine_s_patience() -> None:
    """`docker stop` waits 10 s: for calls in flight, for what hangs, and for the rest."""
    from nfsloop.config import STOP_SECONDS
    from nfsloop.limits import CONTROL_STREAM_END_SECONDS, STOP_REST_SECONDS
    from nfsloop.rpcbind import STOP_SECONDS as RPCBIND_SECONDS
    from nfsloop.verbs.serve import LEAVE_SECONDS

    beside = CONTROL_STREAM_END_SECONDS + RPCBIND_SECONDS + LEAVE_SECONDS
    assert STOP_SECONDS + STOP_REST_SECONDS <= 8
    assert STOP_SECONDS + STOP_REST_SECONDS + beside <= 10


@pytest.mark.parametrize("workers", ["1", "2"])
def test_calls_that_block_for_ever(workers: str, tmp_path: Path) -> None:
    """In two exports at once; with workers, the home ends too."""
    (tmp_path / "stuck.py").write_text(STUCK)
    argv = [*ARGS, "--stop-seconds", "0.2", "--workers", workers, "--state", str(tmp_path / "s")]
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    code += "from nfsloop import cli; sys.exit(cli.main(sys.argv[1:]))"
    with nfsloop(str(tmp_path), *argv, "/a=stuck:Stuck", "/b=stuck:Stuck", code=code) as server:
        server.ready(2)

        def look(export: str) -> None:
            with Client(server.port, export, timeout=30) as client, contextlib.suppress(OSError):
                client.stat("/f")

        for export in ("/a", "/b"):
            threading.Thread(target=look, args=(export,), daemon=True).start()
        until(server, "hangs", 2)  # two threads print it, and not always a line each
        server.send(signal.SIGTERM)
        assert server.wait(WAIT) == 0
        said = server.stderr()
        assert said.rstrip().endswith("nfsloop: stopped")
        assert "calls hang in its threads" in said
        assert "Traceback" not in said and "killed" not in said


@pytest.mark.parametrize(("where", "workers"), [("start", "1"), ("names", "1"), ("names", "2")])
def test_a_signal_while_it_starts(where: str, workers: str, tmp_path: Path) -> None:
    """It ends in order, with 0, though what it waits for takes a minute still."""
    (tmp_path / "tree").mkdir()
    settings = tmp_path / "nfsloop.toml"
    storage = "memory:" if workers == "1" else str(tmp_path / "tree")
    settings.write_text(
        f'exports = []\n[[export]]\npath = "/a"\nstorage = "{storage}"\n'
        'clients = ["name.example.org(rw)"]\n'
    )
    argv = [*ARGS, "--workers", workers, "--state", str(tmp_path / "s"), "--config", str(settings)]
    with nfsloop(*argv, code=HANGS, env={"TEST_HANGS": where}) as server:
        until(server, "hangs")
        server.send(signal.SIGTERM)
        assert server.wait(WAIT) == 0
        assert server.stderr().rstrip().endswith("nfsloop: stopped")
        assert "Traceback" not in server.stderr()
