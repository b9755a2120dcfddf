"""Network and mount namespaces of one test: port 111 and /run are its own, and go with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_INIT = "mount -t tmpfs none /run && ip link set lo up && echo ready && exec sleep 600"


def missing() -> str:
    """Why such tests can not run here; empty if they can."""
    if os.geteuid() != 0:
        return "takes root, for namespaces"
    tools = [it for it in ("unshare", "nsenter", "ip", "rpcbind", "rpcinfo") if not which(it)]
    if tools:
        return f"not installed: {', '.join(tools)}"
    probe = subprocess.run(
        ("unshare", "--net", "--mount", "true"), capture_output=True, text=True, check=False
    )
    return "" if probe.returncode == 0 else f"no namespaces here: {probe.stderr.strip()}"


def which(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Namespace:
    """Where commands run; its `pid` keeps it alive."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._enter = ("nsenter", "-t", str(pid), "--net", "--mount")
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}

    def run(self, *command: str, check: bool = True) -> str:
        """The output, standard error included."""
        done = subprocess.run(
            (*self._enter, *command),
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}"
        return done.stdout

    def python(self, code: str, loop: str = "auto") -> str:
        """Run `code` as the body of a coroutine; what it printed."""
        lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
        program = (
            "import asyncio\nfrom oncrpc import loop\nfrom oncrpc.errors import *\n"
            "from oncrpc.client import connect\nfrom portmap import portmap_xdr as x\n"
            "from portmap.client import *\n"
            f"async def main():\n{lines}\n"
            f"loop.run(asyncio.wait_for(main(), 30), {loop!r})\n"
        )
        return self.run(sys.executable, "-c", program)

    @contextmanager
    def daemon(self, command: Sequence[str], ready: str) -> Iterator[subprocess.Popen[str]]:
        """`command` in the background, killed at the end; `ready` is a command that succeeds
        once it serves."""
        with subprocess.Popen(
            (*self._enter, *command),
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                for _ in range(100):
                    self.run("sleep", "0.05")
                    if not subprocess.call(
                        (*self._enter, "sh", "-c", ready),
                        env=self._environment,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    ):
                        break
                else:
                    raise AssertionError(f"{command} does not serve")
                yield process
            finally:
                process.kill()


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new one, with nothing but its loopback interface and an empty /run."""
    with subprocess.Popen(
        ("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _INIT),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield Namespace(process.pid)
        finally:
            process.kill()


def join(one: Namespace, two: Namespace) -> None:
    """A link between them: 10.9.8.1 in `one`, 10.9.8.2 in `two`, and fd00::1 and fd00::2."""
    one.run("ip", "link", "add", "nl0", "type", "veth", "peer", "name", "nl1")
    one.run("ip", "link", "set", "nl1", "netns", str(two.pid))
    for number, (where, name) in enumerate(((one, "nl0"), (two, "nl1")), 1):
        where.run("ip", "address", "add", f"10.9.8.{number}/24", "dev", name)
        where.run("ip", "address", "add", f"fd00::{number}/64", "dev", name, "nodad")
        where.run("ip", "link", "set", name, "up")
