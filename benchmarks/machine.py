"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ASK_SECONDS = 20


def ask(argv: Sequence[str], cwd: Path | None = None) -> str:
    """The output of a command, or "" if it fails or is not there."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_model(cpuinfo: str) -> str:
    """The "model name" in the text of /proc/cpuinfo; "" where there is none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return ""


def file_system(path: Path) -> dict[str, str]:
    """Type, device and options of the file system that `path` is on."""
    target = ask(["findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", "-T", str(path)]).split()
    names = ("type", "source", "options")
    return dict(zip(names, [*target, "", "", ""], strict=False)) if target else {"type": "unknown"}


def packages(names: Sequence[str]) -> dict[str, str]:
    """Versions of installed Python packages; "" for one that is not installed."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def memory_mib() -> int:
    """Physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def facts(directory: Path, cc: str) -> dict[str, object]:
    """All of it, as it stands in a result file. `directory`: where the files lie."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    cpuinfo = Path("/proc/cpuinfo")
    return {
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cpu": cpu_model(cpuinfo.read_text()) if cpuinfo.exists() else "",
        "cores": len(os.sched_getaffinity(0)),
        "governor": governor.read_text().strip() if governor.exists() else "",
        "virtual": ask(["systemd-detect-virt", "--vm"])
        if shutil.which("systemd-detect-virt")
        else "",
        "memory_MiB": memory_mib(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        # How it was built makes a fifth of the CPU.
        "python_build": str(sysconfig.get_config_var("CONFIG_ARGS")),
        "implementation": sys.implementation.name,
        "packages": packages(["uvloop", "xdrlib3"]),
        "compiler": next(iter(ask([cc, "--version"]).splitlines()), ""),
        "file_system": file_system(directory),
        "root": os.geteuid() == 0,
    }


def tree_version(tree: Path) -> str:
    """The commit of a checkout, with "+" if it was changed; "unknown" if git has none."""
    commit = ask(["git", "rev-parse", "--short", "HEAD"], cwd=tree)
    changed = ask(["git", "status", "--porcelain", "-uno"], cwd=tree)
    return f"{commit}+" if commit and changed else commit or "unknown"


def ganesha_version() -> str:
    """Debian's version of nfs-ganesha, or what the program says of itself."""
    packaged = ask(["dpkg-query", "-W", "-f", "${Version}", "nfs-ganesha"])
    return packaged or ask(["ganesha.nfsd", "-v"])


def has(program: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(program) is not None
