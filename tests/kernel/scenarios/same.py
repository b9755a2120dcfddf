"""A read-only mount has just what the host says: names, kinds, modes, sizes, contents, targets."""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib

from ..guest_lib import Context, check, drop_caches, equal, read_file


def seen(top: str) -> dict[str, list[object]]:
    """Each path -> kind, permission bits, size, and a checksum or the link's target."""
    found: dict[str, list[object]] = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = f"{folder}/{name}"
            info = os.lstat(path)
            kind, mode = stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode)
            what: object = ""
            if stat.S_ISLNK(info.st_mode):
                mode, what = 0, os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                what = zlib.crc32(read_file(path))
            size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            found[path[len(top) + 1 :]] = [kind, mode, size, what]
    return found


def compare(ctx: Context, wanted: dict[str, list[object]]) -> int:
    found = seen(ctx.path(ctx.param("beneath", ".")))
    equal(sorted(found.keys() - wanted.keys())[:5], [], "names too many")
    equal(sorted(wanted.keys() - found.keys())[:5], [], "names missing")
    for path, what in wanted.items():
        equal(found[path], what, path)
    return len(found)


def run(ctx: Context) -> None:
    with open(ctx.params["manifest"], encoding="utf-8", errors="surrogateescape") as file:
        wanted = json.load(file)
    with ctx.step("compare") as notes:
        notes.append(f"{compare(ctx, wanted)} files")
    with ctx.step("compare after dropping caches"):
        drop_caches()
        compare(ctx, wanted)
    with ctx.step("nothing can be changed"):
        try:
            os.mkdir(ctx.path("new"))
        except OSError as error:
            equal(errno.errorcode[error.errno or 0], "EROFS", "mkdir")
        else:
            check(False, "mkdir succeeded")
    if ctx.param("restart", False):
        with ctx.step("open files and directories outlive a restart"):
            files = [path for path, what in wanted.items() if what[0] == stat.S_IFREG and what[2]]
            path = files[len(files) // 2]
            top = ctx.path(ctx.param("beneath", "."))
            with open(f"{top}/{path}", "rb", buffering=0) as held:
                ctx.sync("restart")
                drop_caches()
                equal(zlib.crc32(held.read()), wanted[path][3], f"content of {path}")
            compare(ctx, wanted)
