#!/usr/bin/env python3
"""Set up what the tests need, then run them all: ``python3 tests/run.py [PYTEST ARGUMENTS]``.

Needs nothing but python3. Makes the virtual environment `.venv` with the project and its test
tools; as root, installs the Debian packages that tests use, and from then on a test that these
packages are for may not be skipped. An ordinary user is told which tests are left out, and why.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "nfsloop.stamp"
POLICY = Path("/usr/sbin/policy-rc.d")

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
    "docker.io": "a container engine",
    "iptables": "its published ports",
    "mmdebstrap": "a base image without a registry",
    "docker-compose": "docker/compose.yaml, brought up",
    "systemd": "units verified, booted, and sockets handed over",
    "prometheus": "one that asks for our metrics",
    "curl": "the same by hand, as the pages tell",
    "tmux": "a terminal for nfsloop top",
    "groff-base": "the man page, rendered",
    "zsh": "completion",
    "fish": "completion",
}

#: Without root these are left out.
NEED_ROOT = (
    "tests/kernel (the stock Linux client): needs network namespaces and mounts",
    "tests/peers (rpcinfo, showmount, captures): needs port 111 in a namespace of its own",
    "tests/docs: each page's command lines run in a machine of its own",
    "tests/container (the image in an engine): needs namespaces and mounts",
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
    with no_services():
        run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, **quiet)


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Packages start no services of theirs (invoke-rc.d(8)): tests start what they need."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def make_venv() -> Path:
    """The environment's python; made anew only when pyproject.toml has changed."""
    python = VENV / "bin" / "python"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted and python.exists():
        return python
    say("making .venv with the project and its test tools")
    shutil.rmtree(VENV, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(VENV))
    # Not compiled here: what is imported will be, into the directory that `main` names.
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-compile")
    run(*pip, "-e", f"{ROOT}[test]")
    STAMP.write_text(wanted)
    return python


def together() -> list[str]:
    """One process more than there are two processors: kernel tests wait much of their time.

    A file goes to one process as a whole, the long ones first (tests/conftest.py has the order).
    """
    processes = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    return processes if (os.cpu_count() or 1) > 1 else []


def environment() -> dict[str, str]:
    """The variables that the tests run with."""
    env = dict(os.environ)
    # Tests start hundreds of servers: each would compile all modules anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(VENV / "pycache")
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    return env


def set_up_with_packages(env: dict[str, str]) -> Path:
    """The packages and the environment: both at once, as both wait for the network."""
    if importlib.util.find_spec("ensurepip") is None:  # it is in the package python3-venv
        install_packages()
    with ThreadPoolExecutor(1) as pool:
        installing = pool.submit(install_packages)
        python = make_venv()
        if not installing.done():
            # Meanwhile one process compiles what else each of several would have to.
            argv = [str(python), "-m", "pytest", "-q", "--collect-only"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    argv, cwd=ROOT, env=env, capture_output=True, check=False, timeout=60
                )
        installing.result()
    return python


def main() -> int:
    """Set up, run, and give back the tests' exit status."""
    began = time.monotonic()
    env = environment()
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        python = set_up_with_packages(env)
        env["NFSLOOP_REQUIRE_KERNEL"] = env["NFSLOOP_REQUIRE_PEERS"] = "1"
    else:
        why = "not root" if os.geteuid() else "no apt-get here"
        say(f"{why}, so these tests are left out where they miss something:")
        for line in NEED_ROOT:
            say(f"  {line}")
        python = make_venv()
    say(f"set up in {time.monotonic() - began:.0f} s; running the tests")
    argv = [str(python), "-m", "pytest", *(sys.argv[1:] or together())]
    return subprocess.run(argv, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
