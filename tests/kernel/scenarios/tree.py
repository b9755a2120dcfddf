"""Some thousand real files, copied in and compared both ways; tar there and back."""

from __future__ import annotations

import os
import stat
import sysconfig
import tarfile
import zlib
from dataclasses import dataclass

from ..guest_lib import Context, check, drop_caches, equal, read_file

BIGGEST = 256 * 1024


@dataclass(frozen=True)
class Entry:
    """What must survive a copy."""

    mode: int
    mtime_ns: int
    content: bytes  # a symbolic link's target, nothing for a directory
    size: int = 0
    crc: int = 0  # of a file's bytes: to keep all of them costs seconds, see run_plan()


def sources() -> list[str]:
    """Directories with real files: the running interpreter's library is always there."""
    return [sysconfig.get_paths()["stdlib"], "/usr/share", "/usr/include"]


def gather(wanted: int) -> dict[str, str]:
    """Relative destination -> source, parents before children; `wanted` entries if there are."""
    found: dict[str, str] = {}
    tops = sources()
    for number, top in enumerate(tops):
        found.update(gather_one(top, f"part{number}", wanted // len(tops)))
    return found


def gather_one(top: str, prefix: str, wanted: int) -> dict[str, str]:
    found = {prefix: top}
    for folder, folders, files in os.walk(top):
        base = f"{prefix}{folder[len(top) :]}"
        folders.sort()
        for name in sorted(folders + files):
            path = f"{folder}/{name}"
            info = os.lstat(path)
            regular = stat.S_ISREG(info.st_mode) and info.st_size <= BIGGEST
            if regular or stat.S_ISLNK(info.st_mode) or stat.S_ISDIR(info.st_mode):
                found[f"{base}/{name}"] = path
            if len(found) >= wanted:
                return found
    return found


def copy(found: dict[str, str], target: str) -> dict[str, Entry]:
    """Copy all into `target`; modes and times last, so that children do not touch them again."""
    entries: dict[str, Entry] = {}
    for name, source in found.items():
        info = os.lstat(source)
        path = f"{target}/{name}"
        content, size, crc = b"", 0, 0
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(path)
        elif stat.S_ISLNK(info.st_mode):
            content = os.fsencode(os.readlink(source))
            os.symlink(content, os.fsencode(path))
        else:
            data = read_file(source)
            size, crc = len(data), zlib.crc32(data)
            with open(path, "xb", buffering=0) as file:
                file.write(data)
        # Odd nanoseconds: a server that keeps only seconds or microseconds shows.
        mtime_ns = info.st_mtime_ns // 10**9 * 10**9 + len(entries) * 7919 % 10**9
        entries[name] = Entry(stat.S_IMODE(info.st_mode), mtime_ns, content, size, crc)
    for name in sorted(entries, reverse=True):
        entry, path = entries[name], f"{target}/{name}"
        if not os.path.islink(path):
            os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    return entries


def listing(target: str) -> set[str]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(target):
        seen.update(f"{folder}/{name}"[len(target) + 1 :] for name in folders + files)
    return seen


def compare(entries: dict[str, Entry], target: str, link_times: bool) -> None:
    """Same names on both sides; same kind, mode, modification time and content."""
    names = listing(target)
    equal(sorted(names - entries.keys())[:5], [], "names too many")
    equal(sorted(entries.keys() - names)[:5], [], "names missing")
    for name, entry in entries.items():
        path = f"{target}/{name}"
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            equal(os.fsencode(os.readlink(path)), entry.content, f"target of {name}")
        else:
            equal(oct(stat.S_IMODE(info.st_mode)), oct(entry.mode), f"mode of {name}")
            if stat.S_ISREG(info.st_mode):
                data = read_file(path)
                equal((info.st_size, len(data)), (entry.size, entry.size), f"size of {name}")
                check(zlib.crc32(data) == entry.crc, f"content of {name} differs")
        if link_times or not stat.S_ISLNK(info.st_mode):
            equal(info.st_mtime_ns, entry.mtime_ns, f"mtime of {name}")


def run(ctx: Context) -> None:
    found = gather(ctx.param("files", 3000))
    entries: dict[str, Entry] = {}
    copied, link_times = ctx.path("copy"), ctx.param("link_times", True)
    os.mkdir(copied)
    with ctx.step("copy in") as notes:
        entries = copy(found, copied)
        size = sum(entry.size for entry in entries.values())
        links = sum(1 for entry in entries.values() if entry.content)
        notes.append(f"{len(entries)} entries, {links} symbolic links, {size >> 20} MiB")
        check(len(entries) > ctx.param("files", 3000) // 2, "too few files to copy")
    with ctx.step("compare with warm caches"):
        compare(entries, copied, link_times)
    with ctx.step("compare after dropping caches") as notes:
        drop_caches()
        reads = ctx.rpc_counts()["READ"]
        compare(entries, copied, link_times)
        reads = ctx.rpc_counts()["READ"] - reads
        notes.append(f"{reads} READs")
        check(reads > len(entries) // 3, "read from the cache, not from the server")
    with ctx.step("compare after a remount"):
        ctx.remount()
        compare(entries, copied, link_times)
    if ctx.param("tar_files", 500):
        tar(ctx, copied, entries)


def tar(ctx: Context, copied: str, whole: dict[str, Entry]) -> None:
    """An archive on the mount of a part of the tree, unpacked on the mount again."""
    part = gather(ctx.param("tar_files", 500))
    archive, out = ctx.path("part.tar"), ctx.path("untarred")
    entries: dict[str, Entry] = {}
    with (
        ctx.step("tar out of the mount onto it"),
        tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as file,
    ):
        for name in part:
            file.add(f"{copied}/{name}", name, recursive=False)
            entries[name] = whole[name]
    with ctx.step("untar and compare") as notes:
        drop_caches()
        with tarfile.open(archive) as file:
            file.extraction_filter = lambda member, _path: member  # all of it, as it is
            file.extractall(out)
        # tarfile's times are floats: compare to the microsecond, by setting them exactly first
        for name in sorted(entries, reverse=True):
            path = f"{out}/{name}"
            off = abs(os.lstat(path).st_mtime_ns - entries[name].mtime_ns)
            check(os.path.islink(path) or off < 1000, f"mtime of {name} is {off} ns off")
            times = (entries[name].mtime_ns, entries[name].mtime_ns)
            os.utime(path, ns=times, follow_symlinks=False)
        drop_caches()
        compare(entries, out, ctx.param("link_times", True))
        notes.append(f"{len(entries)} entries, {os.path.getsize(archive) >> 20} MiB")
