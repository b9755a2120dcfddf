"""A network of its own, with a /run of its own, in which servers and other people's tools run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

#: Loopback up, no file of /run shared with the machine.
SETUP = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/rpcbind &&
ip link set lo up && echo ready && exec sleep 600
"""


def missing(why: str) -> NoReturn:
    """Skip, or fail where NFSLOOP_REQUIRE_PEERS says that nothing may be left out."""
    if os.environ.get("NFSLOOP_REQUIRE_PEERS"):
        pytest.fail(f"NFSLOOP_REQUIRE_PEERS is set, but: {why}")
    pytest.skip(why)


def need(*tools: str, root: bool = True) -> None:
    """Go on only with those tools, and as root if that is needed."""
    if root and os.geteuid() != 0:
        missing("only root can make network namespaces")
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        missing(f"not installed: {', '.join(absent)}")


def eventually(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Namespace:
    """Network and mounts, held by a process that sleeps."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", SETUP],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline().strip() != "ready":
            missing("no network namespace can be made here")

    @property
    def prefix(self) -> list[str]:
        """What makes a command run in here."""
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--mount", "--"]

    def run(self, *command: str, timeout: float = 15.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.prefix, *command], capture_output=True, text=True, timeout=timeout, check=False
        )

    def output(self, *command: str, timeout: float = 15.0) -> str:
        """The output of a command that must succeed."""
        done = self.run(*command, timeout=timeout)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def background(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs until the end of the block."""
        process = subprocess.Popen(
            [*self.prefix, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            if process.stderr is not None:
                process.stderr.close()

    def close(self) -> None:
        """End the holder; what runs in here must have ended before."""
        self.holder.kill()
        self.holder.wait(10)
        if self.holder.stdout is not None:
            self.holder.stdout.close()


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A `Namespace` that ends with the block."""
    made = Namespace()
    try:
        yield made
    finally:
        made.close()
