"""flock and fcntl locks. `expect`: "local" (nolock), "refused" (no NLM), "granted" (NLM)."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..guest_lib import Context, check, equal, forked, raises, write_file

LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB


def run(ctx: Context) -> None:
    path = ctx.path(f"locked-{ctx.param('expect', 'local')}")
    write_file(path, b"x" * 1000)
    if ctx.param("expect", "local") == "refused":
        refused(ctx, path)
    else:
        granted(ctx, path)


def refused(ctx: Context, path: str) -> None:
    """The answer must come at once: a lock call that hangs hangs the program for ever."""
    for name, call in (("fcntl", fcntl.lockf), ("flock", fcntl.flock)):
        for wait, flags in (("at once", LOCK), ("blocking", fcntl.LOCK_EX)):
            with ctx.step(f"{name} lock, {wait}: ENOLCK, quickly") as notes, open(path, "r+b") as f:
                start = time.monotonic()
                raises((errno.ENOLCK, errno.EOPNOTSUPP), call, f, flags)
                notes.append(f"{time.monotonic() - start:.2f} s")
                check(time.monotonic() - start < 5, "refused, but slowly")


def granted(ctx: Context, path: str) -> None:
    with ctx.step("fcntl byte ranges conflict between processes"), open(path, "r+b") as file:
        fcntl.lockf(file, LOCK, 100, 0)
        equal(forked(lambda: try_range(path, 50))(), False, "overlapping range granted")
        equal(forked(lambda: try_range(path, 100))(), True, "other range granted")
        fcntl.lockf(file, fcntl.LOCK_UN)
        equal(forked(lambda: try_range(path, 50))(), True, "granted after unlock")
    with ctx.step("a lock is freed by close"):
        with open(path, "r+b") as file:
            fcntl.lockf(file, LOCK)
        equal(forked(lambda: try_range(path, 0))(), True, "granted after close")
    with ctx.step("a blocking lock waits for its turn"), open(path, "r+b") as file:
        fcntl.lockf(file, LOCK)
        waiter = forked(lambda: wait_for(path), timeout=40)
        time.sleep(0.5)
        fcntl.lockf(file, fcntl.LOCK_UN)
        waited = waiter()
        check(0.2 < waited < 35, f"waited {waited:.2f} s")
    with ctx.step("flock conflicts between descriptors"), open(path, "r+b") as one:
        fcntl.flock(one, LOCK)
        # flock on NFS is a whole-file fcntl lock, so the other must be another process
        equal(forked(lambda: try_flock(path))(), False, "second flock granted")
        fcntl.flock(one, fcntl.LOCK_UN)
        equal(forked(lambda: try_flock(path))(), True, "granted after unlock")


def try_range(path: str, start: int) -> bool:
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, LOCK, 50, start)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True


def try_flock(path: str) -> bool:
    with open(path, "r+b") as file:
        try:
            fcntl.flock(file, LOCK)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True


def wait_for(path: str) -> float:
    start = time.monotonic()
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    return time.monotonic() - start
