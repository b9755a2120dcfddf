"""A full disk: the error comes, what was synced is right, and it works again with room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ..guest_lib import Context, check, drop_caches, equal, read_file, write_file
from .data import pattern

MIB = 1 << 20


def fill(ctx: Context, limit_mib: int) -> tuple[dict[str, int], list[str]]:
    """Files of 1 MiB, each synced; returns each kept file's seed, and the errors."""
    kept: dict[str, int] = {}
    for number in range(limit_mib * 2):
        path = ctx.path(f"file{number}")
        errors = write_synced(path, pattern(MIB, number))
        if errors:
            return kept, [errno.errorcode[number] for number in errors]
        kept[path] = number
    return kept, []


def write_synced(path: str, data: bytes) -> list[int]:
    """Create, write, fsync, close; all the errors on the way, for each of them may be the one."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
    errors: list[int] = []
    calls: list[Callable[[], object]] = [
        lambda: os.write(fd, data),
        lambda: os.fsync(fd),
        lambda: os.close(fd),
    ]
    for call in calls:
        try:
            call()
        except OSError as error:
            errors.append(error.errno or 0)
    return errors


def run(ctx: Context) -> None:
    kept: dict[str, int] = {}
    with ctx.step("fill until ENOSPC") as notes:
        kept, errors = fill(ctx, ctx.param("mib", 24))
        notes.append(f"{len(kept)} MiB kept, then {errors}")
        check(errors, "no error, though the files are larger than the file system")
        equal(set(errors), {"ENOSPC"}, "errors")
        check(len(kept) > 4, "full too early")
    with ctx.step("statfs says full"):
        info = os.statvfs(ctx.dir)
        check(info.f_bavail * info.f_frsize < 2 * MIB, f"{info.f_bavail} blocks free")
        check(info.f_blocks * info.f_frsize <= ctx.param("mib", 24) * MIB, "total size is wrong")
    with ctx.step("what was synced reads back"):
        drop_caches()
        for path, number in kept.items():
            check(read_file(path) == pattern(MIB, number), f"{path} differs")
    with ctx.step("room again after deleting"):
        for name in os.listdir(ctx.dir):
            os.unlink(ctx.path(name))
        write_file(ctx.path("again"), pattern(4 * MIB))
        drop_caches()
        check(read_file(ctx.path("again")) == pattern(4 * MIB), "content differs")
