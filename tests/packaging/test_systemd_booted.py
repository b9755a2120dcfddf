"""The units under a real systemd, with their sandbox: booted in namespaces, on an overlay of the
root file system. See booted.sh, and booted_probe.py for what is checked within."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel.harness import kill_session
from kernel.reporting import unavailable

HERE = Path(__file__).resolve().parent
CHECKS = ("start", "serve", "reload", "watchdog", "stop", "activate", "unprivileged")

SETTINGS = """
rpcbind = "none"
[[export]]
path = "/srv/data"
clients = ["*(rw,no_root_squash,insecure)"]
[[export]]
path = "/opt/readonly"
clients = ["*(rw,no_root_squash,insecure)"]
"""
SMALL = """
port = 2050
rpcbind = "none"
[[export]]
path = "/files"
storage = "sqlite:/var/lib/nfsloop-small/files.db"
clients = ["*(rw,insecure)"]
"""
PROBE = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /out/probe.py
StandardOutput=append:/out/probe.log
StandardError=append:/out/probe.log
"""

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


def missing() -> list[str]:
    """What this needs and is not there."""
    found = [] if os.geteuid() == 0 else ["root (namespaces, mounts)"]
    if not os.path.exists("/lib/systemd/systemd"):
        found.append("systemd (package systemd)")
    found += [f"{name}" for name in ("unshare", "ip") if shutil.which(name) is None]
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False
    )
    # The sandbox hides /root, /home and /tmp, where the tests' own may be.
    return found if version.returncode == 0 else [*found, "/usr/bin/python3 of 3.11 or newer"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each check came to: nothing, or why not."""
    if wants := missing():
        unavailable(wants)
    work = tmp_path_factory.mktemp("booted")
    out = work / "out"
    (out / "units" / "nfsloop.service.d").mkdir(parents=True)
    (out / "etc").mkdir()
    (out / "units" / "probe.service").write_text(PROBE)
    (out / "etc" / "nfsloop.toml").write_text(SETTINGS)
    (out / "etc" / "small.toml").write_text(SMALL)
    # Not a minute, for a test.
    (out / "units/nfsloop.service.d/test.conf").write_text("[Service]\nWatchdogSec=3\n")
    shutil.copy(HERE / "booted_probe.py", out / "probe.py")
    with (work / "boot.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", HERE / "booted.sh", work, HERE.parents[1]],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(110)
        finally:
            kill_session(process.pid)
    try:
        found: dict[str, str] = json.loads((out / "outcomes.json").read_text())
    except OSError:
        logs = [path for path in (work / "boot.log", out / "systemd.log") if path.exists()]
        unavailable(["a systemd that boots", *(path.read_text() for path in logs)])
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_under_systemd(check: str, outcomes: dict[str, str]) -> None:
    if wrong := outcomes.get(check, "it was not reached"):
        pytest.fail(wrong, pytrace=False)
