"""The command as a process: started, asked, stopped; as root or as an ordinary user."""

from __future__ import annotations

import functools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
#: Whom tests that are run by root run a server as, that shall have no privilege.
NOBODY = 65534
START_SECONDS = 15.0

#: The command with memory whose READ takes a second, or fails as its environment says.
SLOW_READ = """
import asyncio, os, sys
from backends.memory import MemoryBackend
from nfsloop import cli
read = MemoryBackend.read
async def slow_read(self, *args):
    if os.environ.get("TEST_FAULT"):
        raise ValueError("injected\\nfault")
    await asyncio.sleep(float(os.environ["TEST_READ_SECONDS"]))
    return await read(self, *args)
MemoryBackend.read = slow_read
sys.exit(cli.main(sys.argv[1:]))
"""


@functools.cache
def interpreter(user: int | None = None) -> str:
    """A Python that `user` may execute; pytest's own, if it can be."""
    if user is None:
        return sys.executable
    for python in (sys.executable, "/usr/bin/python3", shutil.which("python3") or ""):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        try:
            subprocess.run(
                [python, "-c", check], user=user, group=user, extra_groups=[], check=True,
                timeout=10, cwd="/", capture_output=True,
            )  # fmt: skip
            return python
        except (OSError, subprocess.SubprocessError):
            continue
    pytest.skip("no Python 3.11 that an ordinary user may execute")


class Process:
    """One run of `nfsloop` with `args`, or of the program text `code` with them."""

    def __init__(
        self,
        *args: str,
        user: int | None = None,
        code: str = "",
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        what = ["-c", code] if code else ["-m", "nfsloop"]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close
        path = f"{REPO}:{sysconfig.get_paths()['purelib']}"
        environment = {**os.environ, "PYTHONPATH": path}
        who = {} if user is None else {"user": user, "group": user, "extra_groups": ()}
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [*prefix, interpreter(user), *what, *args],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            stdin=subprocess.DEVNULL,
            env={**environment, **(env or {})},
            cwd="/",
            pass_fds=pass_fds,
            **who,
        )
        self.banner = ""

    @property
    def pid(self) -> int:
        """The process's number."""
        return int(self.process.pid)

    def ready(self, exports: int = 1) -> str:
        """Wait for the mount lines of so many exports; all that was printed."""
        out = self.process.stdout
        deadline = time.monotonic() + START_SECONDS
        while self.banner.count("mount -t nfs") < exports or not self.banner.endswith("\n"):
            left = max(0.0, deadline - time.monotonic())
            poll = select.poll()  # select takes descriptors up to 1023 only
            poll.register(out, select.POLLIN)
            if not poll.poll(left * 1000):
                raise TimeoutError(f"not ready: {self.banner!r} {self.stderr()!r}")
            data = os.read(out.fileno(), 65536)
            if not data:
                raise AssertionError(f"ended: {self.process.wait(5)} {self.stderr()!r}")
            self.banner += data.decode()
        return self.banner

    @property
    def port(self) -> int:
        """The port that the first line names."""
        found = re.search(r":(\d+) over", self.ready())
        assert found, self.banner
        return int(found[1])

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 15.0) -> int:
        """The exit status."""
        return int(self.process.wait(timeout))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait()

    def stderr(self) -> str:
        """What has been written to standard error so far."""
        self.errors.seek(0)
        return self.errors.read()

    def close(self) -> None:
        """Have it end, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()


@contextmanager
def nfsloop(
    *args: str,
    user: int | None = None,
    code: str = "",
    prefix: Sequence[str] = (),
    env: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Process]:
    """A `Process` that ends with the block."""
    process = Process(*args, user=user, code=code, prefix=prefix, env=env, pass_fds=pass_fds)
    try:
        yield process
    finally:
        process.close()


def run(
    *args: str, user: int | None = None, timeout: float = 20.0, env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """The command, run to its end: status, standard output, standard error."""
    with nfsloop(*args, user=user, env=env) as process:
        out, _ = process.process.communicate(timeout=timeout)
        return process.wait(), out.decode(), process.stderr()


@contextmanager
def directory_of(user: int | None) -> Iterator[Path]:
    """A directory that `user` can get to (pytest's are root's alone), with "export" in it."""
    path = Path(tempfile.mkdtemp(prefix="nfsloop-test-"))
    try:
        (path / "export").mkdir()
        for made in (path, path / "export"):
            made.chmod(0o755)
            if user is not None:
                os.chown(made, user, user)
        yield path
    finally:
        shutil.rmtree(path)
