"""`nfsloop mount`, `umount` and `doctor` where they are for: on a machine with the stock client."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from kernel.guest import Guest, Scenario
from kernel.harness import SERVER_IP, Network, ServerProcess, requirements
from kernel.peers import REPO
from kernel.reporting import LINES, unavailable

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


def test_mount_umount_and_doctor_in_a_guest(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if missing := requirements():
        unavailable(missing)
    export = tmp_path / "export"
    (export / "sub").mkdir(parents=True)
    argv = [
        sys.executable, "-m", "nfsloop", "serve", "--host", SERVER_IP, "--rpcbind", "none",
        "--state", str(tmp_path / "state"), "-o", "no_root_squash", f"/files={export}",
    ]  # fmt: skip
    env = {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"}
    with (
        Network(taps=1) as network,
        ServerProcess(network, argv, log=tmp_path / "server.log", env=env) as server,
    ):

        def on_sync(guest: Guest, tag: str, data: Any) -> None:
            if tag == "kill the server":
                server.kill()
            else:
                os.rmdir(export / "sub")

        params = {"host": SERVER_IP, "export": "/files"}
        scenario = Scenario("tests.doctor.doctor_guest", "", params, label="doctor")
        with Guest(network, tmp_path, [], [scenario], on_sync=on_sync) as guest:
            steps = guest.finish(timeout=90)
    request.config.stash[LINES]["doctor"] = [str(step) for step in steps]
    assert not [str(step) for step in steps if not step.ok]
    assert len(steps) >= 6
