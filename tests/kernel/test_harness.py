"""The harness itself: it must notice failures, and it must leave nothing behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .guest import Guest, GuestFailure, Rendezvous, Scenario
from .harness import SERVER_IP, HarnessError, Network, ServerProcess, run, session_members

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(60)]

LISTENER = f"""
import os, signal, socket
print("pid", os.getpid(), flush=True)
listener = socket.create_server(({SERVER_IP!r}, 2049))
signal.pause()
"""


def namespaces() -> set[str]:
    return {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line}


def test_network_is_removed_also_after_an_error() -> None:
    network = Network(taps=2)
    with pytest.raises(ZeroDivisionError), network:
        assert network.name in namespaces()
        assert "tap1" in network.run("ip", "-brief", "link")
        raise ZeroDivisionError
    assert network.name not in namespaces()


def test_server_pid_restart_and_exit_status(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with (
        Network() as network,
        ServerProcess(network, [sys.executable, "-c", LISTENER], log=log) as server,
    ):
        first = server.pid
        assert server.tail(1) == f"pid {first}"  # no wrapper stays between it and us
        server.restart()
        assert server.pid != first
        assert session_members(first) == []
        assert server.terminate() == -signal.SIGTERM
        assert not server.running


def test_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo these are its last words; exit 3"]
    with Network() as network, pytest.raises(HarnessError, match="these are its last words"):
        ServerProcess(network, command, log=tmp_path / "server.log").start()


def boot(network: Network, workdir: Path, end: str) -> Guest:
    def on_sync(_guest: Guest, _tag: str, data: Any) -> dict[str, int]:
        return {"n": data["n"] + 1}

    chosen = [Scenario("selftest", "", {"end": end})]
    return Guest(network, workdir, [], chosen, on_sync=on_sync)


def test_guest_reports_failed_steps_and_its_crash(tmp_path: Path) -> None:
    with Network() as network, boot(network, tmp_path, "crash") as guest:
        with pytest.raises(GuestFailure, match="ended before its scenarios did"):
            guest.finish(timeout=40)
        results = {step.name: (step.ok, step.detail) for step in guest.steps}
    assert [name for name, (ok, _) in results.items() if ok] == ["passes", "writable root"]
    assert "one is not more than two" in results["fails"][1]
    assert "ENOENT, wanted EEXIST" in results["wrong errno"][1]
    assert "succeeded, wanted ENOENT" in results["no error at all"][1]
    assert "PermissionError" in results["error of another user's process"][1]


def test_guest_that_hangs_is_killed_whole(tmp_path: Path) -> None:
    with Network() as network, boot(network, tmp_path, "hang") as guest:
        with pytest.raises(GuestFailure, match="no end after 8 s"):
            guest.finish(timeout=8)
        assert guest.steps, "it did not even boot in this time"
        assert guest.pid is not None
        assert session_members(guest.pid) == []


def test_rendezvous_tells_who_did_not_come(tmp_path: Path) -> None:
    with Network() as network:
        guest = boot(network, tmp_path, "")
        with pytest.raises(HarnessError, match=r"only guests \[0\] came"):
            Rendezvous(2, timeout=0.1)(guest, "here", None)
