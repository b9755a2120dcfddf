"""Runs within the systemd that booted.sh boots: each check's outcome goes to /out/outcomes.json."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, "/opt/nfsloop")

from nfsloop.client import Client

OUT = Path("/out")


def run(*argv: str, status: int | None = 0) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if status is not None and done.returncode != status:
        log = subprocess.run(["journalctl", "--no-pager", "-n30"], capture_output=True, text=True)  # noqa: PLW1510
        raise AssertionError(f"{argv}: {done.returncode} {done.stdout}{done.stderr}\n{log.stdout}")
    return done.stdout.strip()


def show(unit: str, name: str) -> str:
    return run("systemctl", "show", "--property", name, "--value", unit)


def raises(number: int, action: Callable[[], object]) -> None:
    try:
        action()
    except OSError as exc:
        assert exc.errno == number, exc
    else:
        raise AssertionError(f"no {errno.errorcode[number]}")


def start() -> None:
    """It starts, is told of, and has what the unit gives it and no more."""
    run("systemctl", "start", "nfsloop.service")
    assert show("nfsloop", "StatusText") == "serving on port 2049; exports: 2"
    pid = show("nfsloop", "MainPID")
    found = dict(re.findall(r"(\w+):\s+(\S+)", Path(f"/proc/{pid}/status").read_text()))
    # chown, dac_override, dac_read_search, fowner, fsetid, setgid, setuid, net_bind_service
    assert found["CapBnd"] == found["CapEff"] == "00000000000004df", found
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2"), found


def serve() -> None:
    """What a server does as root works within the sandbox; what is not to be written is not."""
    with Client(2049, "/srv/data") as root:
        root.chmod("/", 0o1777)
        with Client(2049, "/srv/data", uid=1000, gid=1000) as user:
            user.write_file("/file", b"of a user")
            user.chmod("/file", 0o4755)
            user.mkdir("/directory")
            user.symlink("file", "/link")
            user.rename("/file", "/renamed")
            raises(errno.EPERM, lambda: user.chown("/renamed", 0))
        assert os.stat("/srv/data/renamed").st_uid == 1000
        assert os.stat("/srv/data/renamed").st_mode & 0o7777 == 0o4755
        root.chown("/renamed", 1234, 1235)
        assert (os.stat("/srv/data/renamed").st_uid, os.stat("/srv/data/renamed").st_gid) == (
            1234, 1235,
        )  # fmt: skip
        assert root.read_file("/renamed") == b"of a user"
        assert sorted(root.listdir()) == ["directory", "link", "renamed"]
    with Client(2049, "/opt/readonly") as root:
        raises(errno.EROFS, lambda: root.write_file("/file", b"x"))


def reload() -> None:
    """`systemctl reload` has the files read again, and fails where they are wrong."""
    good = Path("/etc/nfsloop/nfsloop.toml").read_text()
    Path("/etc/nfsloop/nfsloop.toml").write_text("port = false\n" + good)
    run("systemctl", "reload", "nfsloop", status=1)
    Path("/etc/nfsloop/nfsloop.toml").write_text(good)
    run("systemctl", "reload", "nfsloop")
    assert show("nfsloop", "ActiveState") == "active"


def watchdog() -> None:
    """One that hangs is ended and started anew; clients go on."""
    with Client(2049, "/srv/data", timeout=30) as client:
        client.write_file("/kept", b"kept")
    pid = show("nfsloop", "MainPID")
    os.kill(int(pid), signal.SIGSTOP)
    for _ in range(600):
        if show("nfsloop", "NRestarts") == "1" and show("nfsloop", "ActiveState") == "active":
            break
        time.sleep(0.05)
    assert show("nfsloop", "MainPID") != pid
    with Client(2049, "/srv/data") as client:
        assert client.read_file("/kept") == b"kept"
    # With every stack in its log.
    assert "Fatal Python error: Aborted" in run("journalctl", "--no-pager", "-u", "nfsloop")


def stop() -> None:
    run("systemctl", "stop", "nfsloop")
    assert show("nfsloop", "Result") == "success"


def activate() -> None:
    """The socket starts the service; over a restart, no connection is refused."""
    run("systemctl", "start", "nfsloop.socket")
    assert show("nfsloop", "ActiveState") == "inactive"
    with Client(2049, "/srv/data") as client:
        assert client.read_file("/kept") == b"kept"
    assert show("nfsloop", "ActiveState") == "active"
    for _ in range(3):
        run("systemctl", "restart", "--no-block", "nfsloop")
        for _ in range(5):
            with Client(2049, "/srv/data") as client:
                assert client.read_file("/kept") == b"kept"
    run("nfsloop", "ping", "--udp")
    run("systemctl", "stop", "nfsloop.socket", "nfsloop.service")


def unprivileged() -> None:
    """nfsloop@NAME: a user of its own, and a state directory that is its own."""
    run("systemctl", "start", "nfsloop@small")
    pid = show("nfsloop@small", "MainPID")
    found = dict(re.findall(r"(\w+):\s+(\S+)", Path(f"/proc/{pid}/status").read_text()))
    assert found["Uid"] != "0" and found["CapBnd"] == "0000000000000000", found
    with Client(2050, "/files") as client:
        client.write_file("/file", b"kept")
    run("systemctl", "reload", "nfsloop@small")
    run("systemctl", "restart", "nfsloop@small")
    with Client(2050, "/files") as client:
        assert client.read_file("/file") == b"kept"
    assert Path("/var/lib/private/nfsloop-small/files.db").exists()
    run("systemctl", "stop", "nfsloop@small")


CHECKS = (start, serve, reload, watchdog, stop, activate, unprivileged)


def main() -> None:
    outcomes: dict[str, str] = {}
    for check in CHECKS:
        began = time.monotonic()
        try:
            check()
            outcomes[check.__name__] = ""
        except Exception:
            outcomes[check.__name__] = traceback.format_exc()
        print(f"{check.__name__}: {time.monotonic() - began:.2f} s", flush=True)
        (OUT / "outcomes.json").write_text(json.dumps(outcomes))
    subprocess.run(["systemctl", "poweroff", "-ff"], check=False)


if __name__ == "__main__":
    main()
