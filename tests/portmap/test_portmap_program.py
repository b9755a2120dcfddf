"""``python -m portmap`` as a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portmap.client import dump, getport

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "portmap")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def once(*arguments: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*under, *PROGRAM, *arguments),
        env=ENVIRONMENT,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port, once it listens."""
    with subprocess.Popen(
        (*PROGRAM, *arguments), env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"portmap: listening on .*:(\d+) ", line)
            assert found, line
            yield process, int(found[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    with running("--host", "127.0.0.1", "--port", "0") as (process, port):
        assert asyncio.run(getport("127.0.0.1", 100000, 2, port=port)) == port
        assert asyncio.run(getport("127.0.0.1", 100000, 2, "udp", port=port)) == port
        assert len(asyncio.run(dump("127.0.0.1", port=port))) == 6
        with socket.create_connection(("127.0.0.1", port)):  # an idle connection holds nothing up
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert errors == "portmap: stopped\n"


def test_a_port_in_use_is_one_line() -> None:
    with running("--host", "127.0.0.1", "--port", "0") as (_, port):
        second = once("--host", "127.0.0.1", "--port", str(port))
        assert second.returncode == 1
        assert second.stderr == (
            f"portmap: cannot listen on tcp 127.0.0.1:{port}: Address already in use\n"
        )
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        second = once("--host", "127.0.0.1", "--port", str(port))
        assert second.returncode == 1
        assert second.stderr == (
            f"portmap: cannot listen on udp 127.0.0.1:{port}: Address already in use\n"
        )


def test_a_port_that_is_not_permitted_is_one_line() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("every port is permitted to everybody here")
    root = os.geteuid() == 0
    under = ("setpriv", "--bounding-set", "-net_bind_service") if root else ()
    done = once("--host", "127.0.0.1", "--port", "1", under=under)
    assert done.returncode == 1
    assert done.stderr == (
        "portmap: cannot listen on tcp 127.0.0.1:1: Permission denied"
        " (a port below 1024 takes root or CAP_NET_BIND_SERVICE)\n"
    )


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_none_of_ours_is_one_line(host: str) -> None:
    done = once("--host", host, "--port", "0")
    assert done.returncode == 1
    assert re.fullmatch(rf"portmap: cannot listen on tcp {host}:0: .+\n", done.stderr), done.stderr


def test_help_and_mistakes() -> None:
    text = once("--help")
    assert text.returncode == 0
    for word in ("--host", "--port", "--log-level", "111", "loopback", "SIGTERM"):
        assert word in text.stdout
    for wrong in (["--port", "65536"], ["--port", "x"], ["--log-level", "loud"]):
        done = once(*wrong)
        assert done.returncode == 2
        assert "invalid" in done.stderr
