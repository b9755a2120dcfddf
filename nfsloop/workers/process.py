"""A worker as its home sees it: a process, and the channel to it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from nfsloop.errors import ConfigError
from nfsloop.limits import WORKER_DEATHS, WORKER_DEATHS_SECONDS, WORKER_PAUSE_SECONDS
from nfsloop.workers.channel import Channel, Handler

log = logging.getLogger("nfsloop.workers")

#: The whole of the program; -P keeps what lies in the current directory from being imported.
_PROGRAM = """
import json, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["path"]
from nfsloop.workers.worker import main
main(given)
"""

#: What a terminal sends to all of its processes, and the home has to decide.
TERMINAL = (signal.SIGINT, signal.SIGHUP)

#: A process that closes its channel has ended, or does so within this many seconds.
_END_SECONDS = 5.0

#: A worker that is to be replaced has so long to end by itself.
_TERM_SECONDS = 1.0

#: How often it is looked whether a process has ended that is about to.
_LOOK_SECONDS = 0.002


class WorkerProcess:
    """Worker `index` of `workers`. `sockets` are those that it serves; `inherit` are numbers of
    descriptors by what they are called in `worker.main`."""

    def __init__(
        self,
        index: int,
        workers: int,
        sockets: Sequence[socket.socket],
        inherit: Mapping[str, int],
        log_level: str,
        log_format: str,
        loop: str,
    ) -> None:
        self.index = index
        self.since = 0.0
        #: How often it was replaced.
        self.restarts = 0
        self.channel: Channel | None = None
        #: Whether it was told its settings: then it must hear of others. Whether it serves: then it
        #: must answer.
        self.told = False
        self.serves = False
        self._given: dict[str, Any] = {
            "index": index, "workers": workers, "sockets": [sock.fileno() for sock in sockets],
            "log_level": log_level, "log_format": log_format, "loop": loop, **inherit,
        }  # fmt: skip
        self._inherit = [*self._given["sockets"], *inherit.values()]
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=WORKER_DEATHS)
        self._pause = 0.0

    @property
    def pid(self) -> int:
        """The number of the process; 0 if there is none just now."""
        return self._process.pid if self._process is not None else 0

    @property
    def up(self) -> bool:
        """Whether it takes calls, as far as is known."""
        return self.serves and self.channel is not None and not self.channel.closed.done()

    async def launch(self, handlers: Mapping[str, Handler]) -> None:
        """Make the process, and the channel to it, whose questions `handlers` answer.

        Raises ConfigError.
        """
        from backends.posix import creds  # a call of this turn may have it act as its caller

        creds.of_this_thread().rest()
        self.told = self.serves = False
        here, there = socket.socketpair()
        given = {**self._given, "channel": there.fileno(), "path": sys.path}
        # They come to all processes of a terminal. The new one has them held back until it ignores
        # them (`worker.main`).
        held = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(given)],
                stdin=subprocess.DEVNULL,
                pass_fds=[*self._inherit, there.fileno()],
            )
        except OSError as exc:
            here.close()
            raise ConfigError(f"worker {self.index}: {sys.executable}: {exc.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            there.close()
        self.since = time.time()
        self.channel = Channel(handlers)
        await self.channel.open(here)

    async def ended(self) -> int:
        """Wait for its end, that the channel tells; the exit status."""
        assert self.channel is not None
        await asyncio.wait([self.channel.closed])
        return await self.end(_END_SECONDS)

    async def end(self, timeout: float) -> int:
        """Wait for its end, and kill it after so many seconds; the exit status."""
        process, deadline = self._process, time.monotonic() + timeout
        if process is None:
            return 0
        while process.poll() is None:
            if time.monotonic() > deadline:
                log.warning("worker %d has not ended in %g s, and is killed", self.index, timeout)
                process.kill()
                deadline += timeout
            await asyncio.sleep(_LOOK_SECONDS)
        self._process = None
        if self.channel is not None:
            await self.channel.close()
        return process.returncode

    def terminate(self) -> None:
        """Have it end in order."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Have it end now."""
        if self._process is not None:
            self._process.kill()

    async def replace(self) -> None:
        """Have it end, in order if it can within `_TERM_SECONDS`."""
        process, channel = self._process, self.channel
        if process is None or channel is None:
            return
        process.terminate()
        await asyncio.wait([channel.closed], timeout=_TERM_SECONDS)
        if process is self._process:
            process.kill()

    def pause(self) -> float:
        """It has died: the seconds until the next may begin. None, unless it dies often; once it
        does, each is twice as long, until one has lived for `WORKER_DEATHS_SECONDS`."""
        now = time.monotonic()
        if self._deaths and now - self._deaths[-1] - self._pause >= WORKER_DEATHS_SECONDS:
            self._deaths.clear()
            self._pause = 0.0
        self._deaths.append(now)
        often = len(self._deaths) == WORKER_DEATHS
        if self._pause or (often and now - self._deaths[0] < WORKER_DEATHS_SECONDS):
            self._pause = min(max(1.0, 2 * self._pause), WORKER_PAUSE_SECONDS)
        return self._pause
