"""A copy that the server dies under, twice; a hard mount must not notice but by waiting.

The host hears the notifications "kill-1" and "kill-2" in the midst of the copy, kills the server
with SIGKILL and starts it again.
"""

from __future__ import annotations

import errno
import os
import random
import time

from ..guest_lib import Context, check, equal, read_file


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def run(ctx: Context) -> None:
    count, size = ctx.param("files", 200), ctx.param("bytes", 512 * 1024)
    target = ctx.path("copy")
    with ctx.step("copy while the server is killed and restarted") as notes:
        os.mkdir(target)
        slowest = 0.0
        for number in range(count):
            if number in (count // 3, count * 2 // 3):
                ctx.notify(f"kill-{1 if number < count // 2 else 2}")
            start = time.monotonic()
            with open(f"{target}/part{number}", "xb") as file:
                file.write(content(number, size))
            if number % 3 == 0 or not ctx.param("links", True):
                os.rename(f"{target}/part{number}", f"{target}/file{number}")
            else:
                os.link(f"{target}/part{number}", f"{target}/file{number}")
                os.unlink(f"{target}/part{number}")
            slowest = max(slowest, time.monotonic() - start)
        os.sync()
        notes.append(f"{count * size >> 20} MiB, slowest file {slowest:.1f} s")
        # Without a pause the kill came too late, and nothing was tested.
        check(slowest > 0.5, "the copy never had to wait: was the server killed in its midst?")
    equal_after(ctx, target, count, size, "compare through the caches")
    ctx.remount()
    equal_after(ctx, target, count, size, "compare after a remount")
    with ctx.step("handles from before the kill still work"):
        held = os.open(f"{target}/file0", os.O_RDWR)
        folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        ctx.sync("restart")
        try:
            os.pwrite(held, b"after", 0)
            os.fsync(held)
            equal(os.stat("file1", dir_fd=folder).st_size, size, "size by the old directory")
        except OSError as error:
            check(error.errno != errno.ESTALE, "ESTALE: the handle did not survive the restart")
            raise
        finally:
            os.close(held)
            os.close(folder)


def equal_after(ctx: Context, target: str, count: int, size: int, name: str) -> None:
    with ctx.step(name):
        equal(len(os.listdir(target)), count, "number of files")
        for number in range(count):
            data = read_file(f"{target}/file{number}")
            check(data == content(number, size), f"file{number} differs ({len(data)} bytes)")
