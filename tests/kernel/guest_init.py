"""Process 1 of the guest: a writable root, the network, the NFS modules; then the scenarios.

A fork costs 9 ms and an exec 33 ms in here, so system calls are made from this one program, and
other programs are started only for what has no system call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from .guest_lib import libc, libc_error, mount_fs

MNT_DETACH = 2
POWER_OFF = 0x4321FEDC
SYS_PIVOT_ROOT = 155  # x86-64, the one architecture that UML has
SYS_FINIT_MODULE = 313
NFS_MODULES = ("ipv6", "nfs", "nfsv3", "lockd")


def main(plan_path: str) -> None:
    """Never returns: the guest powers off, whatever happens. A crash here would be a panic."""
    try:
        boot(plan_path)
    except BaseException:  # process 1 may not end by an exception; the console shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        libc.sync()
        libc.reboot(POWER_OFF)


def boot(plan_path: str) -> None:
    plan = json.loads(Path(plan_path).read_text())
    writable_root(plan["modules"])
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["HOME"] = "/tmp"
    subprocess.run(["modprobe", "-a", *NFS_MODULES], check=True)
    network(plan)
    if plan["statd"]:
        lock_services()
    child = os.fork()
    if child == 0:
        payload(plan)
    while os.wait()[0] != child:  # and reap what was orphaned meanwhile
        pass


def payload(plan: dict[str, Any]) -> None:
    """The scenarios in a process of their own: process 1 outlives whatever they do."""
    status = 1
    try:
        from .guest_lib import run_plan

        run_plan(plan)
        status = 0
    except BaseException:  # shown on the console; the host misses the "done"
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def writable_root(modules: str) -> None:
    """An overlay over the host's read-only root, its upper layer in memory, as the new root."""
    mount_fs("tmpfs", "/mnt", "tmpfs", "mode=755")
    for name in ("upper", "work", "root"):
        os.mkdir(f"/mnt/{name}")
    # By system call: modprobe wants /lib/modules, which can be written only after this.
    with open(f"{modules}/kernel/fs/overlayfs/overlay.ko", "rb") as module:
        if libc.syscall(SYS_FINIT_MODULE, module.fileno(), b"", 0) != 0:
            raise libc_error("overlay.ko")
    mount_fs("overlay", "/mnt/root", "overlay", "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work")
    os.chdir("/mnt/root")
    for name in ("proc", "sys", "dev", "run", "tmp", "mnt"):
        os.makedirs(name, exist_ok=True)
    mount_fs("proc", "proc", "proc")
    mount_fs("sysfs", "sys", "sysfs")
    mount_fs("devtmpfs", "dev", "devtmpfs")
    # Not the overlay: scratch files there would cost a copy in the upper layer's accounting.
    mount_fs("tmpfs", "run", "tmpfs", "mode=755")
    mount_fs("tmpfs", "mnt", "tmpfs", "mode=755")
    os.makedirs("dev/pts", exist_ok=True)
    mount_fs("devpts", "dev/pts", "devpts")
    # The old root goes on top of the new one and is detached: the overlay keeps it alive.
    if libc.syscall(SYS_PIVOT_ROOT, b".", b".") != 0 or libc.umount2(b".", MNT_DETACH) != 0:
        raise libc_error("pivot_root")
    os.chdir("/")
    release = os.uname().release
    os.makedirs("/lib/modules", exist_ok=True)
    if not os.path.exists(f"/lib/modules/{release}"):
        os.symlink(modules, f"/lib/modules/{release}")


def network(plan: dict[str, Any]) -> None:
    """Bring lo and vec0 up; one `ip` for all of it."""
    batch = (
        "link set lo up\n"
        "link set vec0 up\n"
        f"addr add {plan['address']} dev vec0\n"
        f"addr add {plan['address6']} dev vec0 nodad\n"
    )
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True)


def lock_services() -> None:
    """rpcbind and rpc.statd, which mount.nfs wants for a mount with remote locks."""
    os.makedirs("/run/rpcbind", exist_ok=True)
    os.makedirs("/run/sendsigs.omit.d", exist_ok=True)
    subprocess.run(["rpcbind", "-w"], check=True)
    subprocess.run(["rpc.statd", "--no-notify"], check=True)
