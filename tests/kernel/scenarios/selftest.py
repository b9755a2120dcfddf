"""For test_harness.py: a guest whose steps fail, that crashes, or that hangs. Mounts nothing."""

from __future__ import annotations

import errno
import os
import signal

from ..guest_lib import Context, as_user, check, equal, raises


def run(ctx: Context) -> None:
    with ctx.step("passes"):
        equal(ctx.sync("ask", {"n": 20}), {"n": 21}, "the host's answer")
    with ctx.step("fails"):
        check([], "one is not more than two")
    with ctx.step("wrong errno"):
        raises(errno.EEXIST, os.stat, "/no/such/file")
    with ctx.step("no error at all"):
        raises(errno.ENOENT, os.stat, "/")
    with ctx.step("error of another user's process"):
        as_user(1000, 1000, [], lambda: os.mkdir("/not-for-users"))
    with ctx.step("writable root"):
        os.mkdir("/for-root")
    match ctx.params["end"]:
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            signal.pause()
