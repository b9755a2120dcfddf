#!/usr/bin/env python3
"""Set up what the tests need, then run them all: ``python3 tests/run.py [PYTEST ARGUMENTS]``.

Needs nothing but python3. Makes the virtual environment `.venv` with the project and its test
tools; as root, installs the Debian packages that tests use, and from then on a test that these
packages are for may not be skipped. An ordinary user is told which tests are left out, and why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "nfsloop.stamp"

#: Debian package -> what for.
DEBIAN = {
    "python3-venv": "the virtual environment",
    "user-mode-linux": "the stock Linux NFS client, in a virtual machine without a monitor",
    "kmod": "its modules",
    "iproute2": "network namespaces",
    "nfs-common": "mount.nfs and showmount",
    "rpcbind": "rpcinfo, and the portmapper that others run",
    "libnfs-utils": "an NFS client that is not the kernel's",
    "libnfs-dev": "the same as a library, for a C program",
    "tshark": "decoding what went over the wire",
    "git": "worked with in the mount",
    "make": "worked with in the mount",
    "gcc": "worked with in the mount",
    "libc6-dev": "worked with in the mount",
    "acl": "POSIX ACLs, enforced by the kernel",
    "strace": "system calls per call, counted",
    "e2fsprogs": "small ext4 file systems",
}

#: Without root these are left out.
NEED_ROOT = (
    "tests/kernel (the stock Linux client): needs network namespaces and mounts",
    "tests/peers (rpcinfo, showmount, captures): needs port 111 in a namespace of its own",
    "parts of tests/backends/posix: acting as other users, opening by handle, mounts",
)


def say(text: str) -> None:
    """Progress, on standard error, so that the summary of the tests comes last."""
    print(f"tests/run.py: {text}", file=sys.stderr, flush=True)


def run(*argv: str, **kwargs: object) -> None:
    """Run a step of the set-up; ends the program with one line if it fails."""
    try:
        subprocess.run(argv, check=True, **kwargs)  # type: ignore[call-overload]
    except (OSError, subprocess.CalledProcessError) as exc:
        sys.exit(f"tests/run.py: {' '.join(argv)}: {exc}")


def missing_packages() -> list[str]:
    """The packages of `DEBIAN` that are not installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *DEBIAN]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if " ii" in line}
    return [name for name in DEBIAN if name not in installed]


def install_packages() -> None:
    """Install what is missing. Only for root, on Debian and its like."""
    missing = missing_packages()
    if not missing:
        return
    for name in missing:
        say(f"installing {name}: {DEBIAN[name]}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"env": env, "stdout": subprocess.DEVNULL}
    run("apt-get", "-qq", "update", **quiet)
    run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, **quiet)


def make_venv() -> Path:
    """The environment's python; made anew only when pyproject.toml has changed."""
    python = VENV / "bin" / "python"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted and python.exists():
        return python
    say("making .venv with the project and its test tools")
    shutil.rmtree(VENV, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(VENV))
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install")
    run(*pip, "-e", f"{ROOT}[test]")
    STAMP.write_text(wanted)
    return python


def together() -> list[str]:
    """Where there are several processors, two processes: kernel tests wait much of their time."""
    return ["-n", "2", "--dist", "loadfile"] if (os.cpu_count() or 1) > 1 else []


def main() -> int:
    """Set up, run, and give back the tests' exit status."""
    began = time.monotonic()
    env = dict(os.environ)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install_packages()
        env["NFSLOOP_REQUIRE_KERNEL"] = env["NFSLOOP_REQUIRE_PEERS"] = "1"
    else:
        why = "not root" if os.geteuid() else "no apt-get here"
        say(f"{why}, so these tests are left out where they miss something:")
        for line in NEED_ROOT:
            say(f"  {line}")
    python = make_venv()
    # Tests start hundreds of servers: each would compile all modules anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(VENV / "pycache")
    env["PATH"] = f"{python.parent}{os.pathsep}{env.get('PATH', '')}"
    say(f"set up in {time.monotonic() - began:.0f} s; running the tests")
    argv = [str(python), "-m", "pytest", *(sys.argv[1:] or together())]
    return subprocess.run(argv, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
