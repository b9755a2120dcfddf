"""Lines of a shell, as pages have them. The host says which comes next, and judges what it did.

`bin`: a directory with the commands of an installed nfsloop. `hosts`: lines for /etc/hosts. The
reader's directory has an empty DIR in it.
"""

from __future__ import annotations

import os
import subprocess

from ..guest_lib import Context

SECONDS = 60


def run(ctx: Context) -> None:
    os.environ["PATH"] = f"{ctx.params['bin']}:{os.environ['PATH']}"
    with open("/etc/hosts", "w") as hosts:
        hosts.write(ctx.params["hosts"])
    os.makedirs("/tmp/reader/DIR", exist_ok=True)
    os.chdir("/tmp/reader")
    ran = None
    while (line := ctx.sync("line", ran)) is not None:
        with ctx.step(line):
            done = subprocess.run(
                ["sh", "-c", line], timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
            ran = [done.returncode, done.stdout]
