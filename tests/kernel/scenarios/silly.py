"""Files that are open while their name goes away: the client's silly rename."""

from __future__ import annotations

import errno
import os
import time

from ..guest_lib import Context, check, command, equal, raises, read_file, write_file


def hidden(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".nfs")]


def hidden_go(folder: str) -> None:
    """The client removes them after the last close, without waiting for the answer."""
    deadline = time.monotonic() + 3
    while left := hidden(folder):
        check(time.monotonic() < deadline, f"{left} there after the last close")
        time.sleep(0.02)


def run(ctx: Context) -> None:
    with ctx.step("removed while open: still readable and writable"):
        path = ctx.path("removed")
        write_file(path, b"before")
        with open(path, "r+b", buffering=0) as file:
            os.unlink(path)
            raises(errno.ENOENT, os.stat, path)
            equal(len(hidden(ctx.dir)), 1, ".nfs files while it is open")
            equal(file.read(), b"before", "content")
            file.write(b" and after")
            os.fsync(file.fileno())
            equal(os.pread(file.fileno(), 100, 0), b"before and after", "content")
        hidden_go(ctx.dir)
    with ctx.step("renamed over while open"):
        old, new = ctx.path("old"), ctx.path("new")
        write_file(old, b"old content")
        write_file(new, b"new content")
        with open(old, "rb", buffering=0) as file:
            os.rename(new, old)
            equal(file.read(), b"old content", "through the open descriptor")
            equal(read_file(old), b"new content", "through the name")
            equal(len(hidden(ctx.dir)), 1, ".nfs files while it is open")
        hidden_go(ctx.dir)
    with ctx.step("a directory with an open removed file is not empty, then is"):
        folder = ctx.path("folder")
        os.mkdir(folder)
        write_file(f"{folder}/only", b"x")
        with open(f"{folder}/only", "rb"):
            os.unlink(f"{folder}/only")
            raises((errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY), os.rmdir, folder)
        hidden_go(folder)
        os.rmdir(folder)
    with ctx.step("(cat a & mv b c) > b; (cat a & rm b) > b"):
        work = ctx.path("shell")
        os.mkdir(work)
        write_file(f"{work}/a", b"a" * 100_000)
        command(["sh", "-c", "(cat a & mv b c; wait) > b"], cwd=work)
        check(read_file(f"{work}/c") == b"a" * 100_000, "c is not what cat wrote")
        hidden_go(work)
        equal(sorted(os.listdir(work)), ["a", "c"], "names")
        command(["sh", "-c", "(cat a & rm b; wait) > b"], cwd=work)
        hidden_go(work)
        equal(sorted(os.listdir(work)), ["a", "c"], "names")
