"""In the guest: `nfsloop mount`, `umount` and `doctor` with the stock client."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from typing import Any

from kernel.guest_lib import Context, check, command, equal, write_file

from nfsloop import cli

HERE = "/mnt/doctor"


def nfsloop(*args: str) -> tuple[int, str]:
    """The command, in this process: a program's start costs a second here."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.main([*args])
    return status, said.getvalue()


def doctor(*args: str) -> tuple[list[str], dict[str, Any]]:
    """The codes that it finds, and all of the report."""
    said = nfsloop("doctor", "--json", "--timeout", "1", *args)[1]
    found: dict[str, Any] = json.loads(said)
    return [one["code"] for one in found["findings"]], found


def mounted() -> bool:
    with open("/proc/self/mounts") as file:
        return any(line.split()[1] == HERE for line in file)


def run(ctx: Context) -> None:
    host, export = ctx.param("host", ""), ctx.param("export", "")
    os.makedirs(HERE, exist_ok=True)
    mounts(ctx, f"{host}:{export}")
    with ctx.step("what cannot be mounted is said"):
        status, said = nfsloop("mount", f"{host}:{export}/none", HERE)
        equal((status, mounted()), (1, False), said)
        check(said.startswith(f"problem: there is no directory {export}/none at {host}"), said)
    faults(ctx, f"{host}:{export}")


def mounts(ctx: Context, what: str) -> None:
    with ctx.step("the doctor finds no problem, and its line mounts") as notes:
        codes, found = doctor(what)
        equal((codes, found["healthy"]), (["no-rpcbind", "no-locks"], True), "the report")
        notes.append(found["mount"])
        command([*found["mount"].split()[:-1], HERE])
        check(mounted(), "it is not mounted")
        command(["umount", HERE])
    with ctx.step("nfsloop mount, umount") as notes:
        status, said = nfsloop("mount", "-v", what, HERE)
        equal(status, 0, said)
        notes.append(said.strip())
        check(said.startswith("mount -t nfs -o vers=3"), said)
        write_file(f"{HERE}/file", b"x")
        status, said = nfsloop("mount", what, HERE)
        equal((status, "there already" in said), (1, True), said)
        with subprocess.Popen(["sleep", "60"], cwd=HERE) as sleeper:
            status, said = nfsloop("umount", HERE)
            sleeper.kill()
        equal(status, 1, said)
        check(f"process {sleeper.pid} (sleep): its working directory" in said, said)
        status, said = nfsloop("umount", HERE)
        equal((status, said, mounted()), (0, "", False), "umount")


def faults(ctx: Context, what: str) -> None:
    with ctx.step("a stale mount is named") as notes:
        equal(nfsloop("mount", f"{what}/sub", HERE), (0, ""), "mount")
        ctx.sync("remove sub")
        codes, found = doctor(what)
        check(codes[0] == "stale-mount", str(codes))
        notes.append(found["findings"][0]["problem"])
        equal(nfsloop("umount", HERE), (0, ""), "umount")
        check(not mounted(), "it is mounted still")
    with ctx.step("a mount whose server is gone is named, and given up") as notes:
        equal(nfsloop("mount", what, HERE), (0, ""), "mount")
        sleeper = subprocess.Popen(["sleep", "60"], cwd=HERE)  # so that it is busy, too
        ctx.sync("kill the server")
        codes, found = doctor(what)
        check("dead-mount" in codes and "nfs-not-running" in codes, str(codes))
        notes += [one["problem"] for one in found["findings"]]
        status, said = nfsloop("umount", "--timeout", "1", HERE)
        equal((status, mounted()), (1, True), said)
        check("does not answer" in said and "umount -f" in said, said)
        status, said = nfsloop("umount", "-f", "--timeout", "1", HERE)
        equal((status, said, mounted()), (0, "", False), "umount -f")
        sleeper.kill()
        sleeper.wait()
        status, said = nfsloop("mount", "--timeout", "1", what, HERE)
        equal((status, mounted()), (1, False), said)
        check(said.startswith("problem: nobody listens on TCP port 2049"), said)
