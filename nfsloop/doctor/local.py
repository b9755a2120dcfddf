"""This machine, as one that mounts: programs, the kernel, capabilities, the mounts that are there.

A mount whose server is gone holds whoever touches it, so a child does that, with a deadline.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nfsloop.doctor import child
from nfsloop.doctor.seen import Local, Mounted

CAP_SETUID, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 7, 2, 21
#: Mounts that are looked at.
MOUNTS = 32
#: Where mount(8) looks for helpers.
HELPERS = "/sbin:/sbin/fs.d:/sbin/fs:/usr/sbin"
#: How a container shows.
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONFIG_BYTES = 4 << 20
_MODULES = re.compile(r"kernel/fs/nfs/nfsv3\.ko", re.ASCII)


def which(program: str) -> str | None:
    """Like shutil.which, but finds what lies in sbin too: an ordinary user's PATH may not."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def mount_nfs() -> str | None:
    """The program that mount(8) hands NFS to: it looks in these places alone."""
    return shutil.which("mount.nfs", path=HELPERS)


def look(mounts_of: str | None = None, wait: float = 3.0) -> Local:
    """This machine; its NFS mounts, or those of the host `mounts_of` alone."""
    release = os.uname().release
    ours = [one for one in mounts() if mounts_of in {None, one.host}][:MOUNTS]
    return Local(
        uid=os.geteuid(),
        release=release,
        place="container" if in_container() else "machine",
        mount_nfs=mount_nfs(),
        statd=which("rpc.statd"),
        can_mount=None if (has := capabilities("self")) is None else CAP_SYS_ADMIN in has,
        nfs_client=_nfs_client(release),
        mounts=states(ours, wait),
    )


def in_container() -> bool:
    """Whether this is one, as far as that shows."""
    if any(map(os.path.exists, _CONTAINER_FILES)) or "container" in os.environ:
        return True
    try:
        return "container=" in Path("/proc/1/environ").read_text(errors="replace")
    except OSError:
        return False


def capabilities(process: int | str) -> set[int] | None:
    """The numbers of the effective capabilities of a process; None if that cannot be seen."""
    words = status(process)
    if "CapEff" not in words:
        return None
    bits = int(words["CapEff"], 16)
    return {number for number in range(64) if bits >> number & 1}


def status(process: int | str) -> dict[str, str]:
    """/proc/PID/status; empty if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(errors="replace").split("\n")
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _nfs_client(release: str) -> bool | None:
    """Whether the kernel has it or can load it; None where that cannot be told."""
    try:
        words = Path("/proc/filesystems").read_text().split()
    except OSError:
        return None
    if "nfs" in words:
        return True
    configured = _config(release, "CONFIG_NFS_V3")
    if configured in {"n", "y"}:
        return configured == "y"
    modules = Path("/lib/modules", release)
    for name in ("modules.dep", "modules.builtin"):
        try:
            if _MODULES.search((modules / name).read_text(errors="replace")):
                return True
        except OSError:
            return None
    return False


def _config(release: str, name: str) -> str | None:
    """What the kernel was built with: "y", "m", "n"; None where that is not told."""
    text = ""
    try:
        with gzip.open("/proc/config.gz") as file:
            text = file.read(_CONFIG_BYTES).decode("ascii", "replace")
    except (OSError, EOFError):
        try:
            text = Path(f"/boot/config-{release}").read_text(errors="replace")
        except OSError:
            return None
    found = re.search(rf"^{name}=([ym])$", text, re.MULTILINE)
    return found[1] if found else "n"


# Mounts


def mounts() -> list[Mounted]:
    """The NFS mounts of this process's namespace, by /proc alone: none is touched."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="surrogateescape").split("\n")
    except OSError:
        return []
    found = []
    for line in lines:
        source, directory, kind, *_ = (*line.split(" "), "", "", "")
        if kind in {"nfs", "nfs4"}:
            found.append(Mounted(unescaped(source), unescaped(directory)))
    return found


def unescaped(text: str) -> str:
    """Without the octal escapes of /proc/mounts."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def states(found: Sequence[Mounted], wait: float) -> list[Mounted]:
    """The same with how they are; all at once, within `wait` seconds."""
    answers = child.ask_all([partial(_error, one.directory) for one in found], wait)
    return [replace(one, state=_state(error)) for one, error in zip(found, answers, strict=True)]


def _error(directory: str) -> int:
    """What asking the server of a mount fails with, as an errno; 0: it does not fail."""
    try:
        os.statvfs(directory)  # FSSTAT: no cache answers that
    except OSError as exc:
        return exc.errno or errno.EIO
    return 0


def _state(error: int | None) -> str:
    gone = {None, errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED}
    known = {0: "well", errno.ESTALE: "stale"} | dict.fromkeys(gone, "silent")
    return known.get(error) or os.strerror(error or 0)
