"""This machine, as one that mounts: programs, the kernel, capabilities, the mounts that are there.

A mount whose server is gone holds whoever touches it, so a child does that, with a deadline.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import select
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
    ours = [one for one in mounts() if mounts_of is None or _host(one) == mounts_of][:MOUNTS]
    return Local(
        uid=os.geteuid(),
        release=release,
        place="container" if in_container() else "machine",
        mount_nfs=mount_nfs(),
        statd=which("rpc.statd"),
        can_mount=CAP_SYS_ADMIN in capabilities("self"),
        nfs_client=_nfs_client(release),
        nfs_udp=_nfs_udp(release),
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


def capabilities(process: int | str) -> set[int]:
    """The numbers of the effective capabilities of a process; none if it is gone."""
    bits = int(status(process).get("CapEff", "0"), 16)
    return {number for number in range(64) if bits >> number & 1}


def status(process: int | str) -> dict[str, str]:
    """/proc/PID/status; empty if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
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


def _nfs_udp(release: str) -> bool | None:
    configured = _config(release, "CONFIG_NFS_DISABLE_UDP_SUPPORT")
    return None if configured is None else configured != "y"


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
        lines = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        source, directory, kind, options, *_ = (*line.split(" "), "", "", "", "")
        if kind in {"nfs", "nfs4"}:
            pairs = (word.partition("=") for word in options.split(","))
            words = {name: value for name, _, value in pairs}
            found.append(Mounted(_plain(source), _plain(directory), words))
    return found


def _plain(text: str) -> str:
    """Without the octal escapes of /proc/mounts."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _host(mount: Mounted) -> str:
    return mount.source.partition(":/")[0].strip("[]")


def states(found: Sequence[Mounted], wait: float) -> list[Mounted]:
    """The same with how they are; all at once, within `wait` seconds."""
    until = time.monotonic() + wait
    children = [_start(one.directory) for one in found]
    return [
        replace(one, state=_end(*child, until)) for one, child in zip(found, children, strict=True)
    ]


def _start(directory: str) -> tuple[int, int]:
    """A child that asks the server of a mount; its number, and where it writes an errno."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number = 0
        try:
            os.statvfs(directory)  # FSSTAT: no cache answers that
        except OSError as exc:
            number = exc.errno or errno.EIO
        finally:
            os.write(writer, bytes([min(number, 255)]))
            os._exit(0)
    os.close(writer)
    return child, reader


def _end(child: int, reader: int, until: float) -> str:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    ready = poll.poll(1000 * max(0.0, until - time.monotonic()))
    answer = os.read(reader, 1) if ready else b""
    os.close(reader)
    if not answer:
        os.kill(child, signal.SIGKILL)
    # One that even SIGKILL does not end is left: waiting for it would hang too.
    os.waitpid(child, 0 if answer else os.WNOHANG)
    if not answer:
        return "silent"
    if answer[0] in {0, errno.ESTALE}:
        return "stale" if answer[0] else "well"
    gone = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED}
    return "silent" if answer[0] in gone else os.strerror(answer[0])
