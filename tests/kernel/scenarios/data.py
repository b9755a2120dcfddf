"""File contents and times: truncation, holes, mappings, append, exclusive and synced writes."""

from __future__ import annotations

import errno
import functools
import mmap
import os
import random
import time

from ..guest_lib import Context, check, drop_caches, equal, raises, read_file, write_file

GIB = 1 << 30
MIB = 1 << 20


@functools.cache
def base() -> bytes:
    return random.Random(1).randbytes(MIB)


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes without a short period, so that a block in a wrong place shows."""
    starts = ((seed * 7919 + block * 104729) % MIB for block in range(-(-size // MIB)))
    return b"".join(base()[start:] + base()[:start] for start in starts)[:size]


def run(ctx: Context) -> None:
    sizes(ctx)
    sparse(ctx)
    mapped(ctx)
    flags(ctx)
    random_io(ctx)
    times(ctx)


def sizes(ctx: Context) -> None:
    with ctx.step("truncate down and up"):
        path = ctx.path("truncated")
        data = pattern(300_001)
        write_file(path, data)
        os.truncate(path, 70_003)
        os.truncate(path, 200_000)
        wanted = data[:70_003] + bytes(200_000 - 70_003)
        check(read_file(path) == wanted, "content with warm caches")
        drop_caches()
        check(read_file(path) == wanted, "content after dropping caches")
        with open(path, "r+b") as file:
            file.truncate(10)
            file.seek(20)
            file.write(b"end")
        drop_caches()
        equal(read_file(path), data[:10] + bytes(10) + b"end", "content with a hole")
        write_file(path, b"")
        equal(os.stat(path).st_size, 0, "size after O_TRUNC")
    with ctx.step("large sequential file") as notes:
        # In pieces, for fresh memory is dear in here: see run_plan().
        path, pieces = ctx.path("large"), ctx.param("large_mib", 32)
        start = time.monotonic()
        with open(path, "wb", buffering=0) as file:
            for number in range(pieces):
                equal(file.write(pattern(MIB, number)), MIB, "written")
            os.fsync(file.fileno())
        writing = time.monotonic() - start
        drop_caches()
        start, reads = time.monotonic(), ctx.rpc_counts()["READ"]
        with open(path, "rb", buffering=0) as file:
            for number in range(pieces):
                check(file.read(MIB) == pattern(MIB, number), f"MiB {number} differs")
            equal(file.read(1), b"", "after the end")
        reading, reads = time.monotonic() - start, ctx.rpc_counts()["READ"] - reads
        check(reads > 0, "nothing was read from the server: the caches were not dropped")
        notes.append(f"write {pieces / writing:.0f} MiB/s, read {pieces / reading:.0f} MiB/s")
        notes.append(f"{reads} READs")
        os.unlink(path)


def sparse(ctx: Context) -> None:
    with ctx.step("sparse file beyond 4 GiB"):
        path, data = ctx.path("sparse"), pattern(MIB, 5)
        with open(path, "wb") as file:
            os.pwrite(file.fileno(), data, 5 * GIB)
            os.pwrite(file.fileno(), b"across", 4 * GIB - 3)
        drop_caches()
        info = os.stat(path)
        equal(info.st_size, 5 * GIB + MIB, "size")
        check(info.st_blocks * 512 < GIB, f"{info.st_blocks * 512} bytes used: not sparse")
        with open(path, "rb") as file:
            check(os.pread(file.fileno(), MIB, 5 * GIB) == data, "data at 5 GiB")
            equal(os.pread(file.fileno(), 10, 4 * GIB - 5), b"\0\0across\0\0", "data at 4 GiB")
            check(os.pread(file.fileno(), MIB, 3 * GIB) == bytes(MIB), "the hole is not zero")
            equal(os.pread(file.fileno(), 10, 6 * GIB), b"", "read beyond the end")
        os.truncate(path, 5 * GIB + 5)
        with open(path, "rb") as file:
            equal(os.pread(file.fileno(), 100, 5 * GIB), data[:5], "after truncation at 5 GiB")
        os.unlink(path)


def mapped(ctx: Context) -> None:
    with ctx.step("shared mapping: msync, reread after a remount"):
        path = ctx.path("mapped")
        data = bytearray(pattern(MIB + 77, 9))
        write_file(path, bytes(data))
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as area:
            for offset in (0, 4095, 300_000, MIB + 70):
                area[offset : offset + 5] = b"MAPPD"
                data[offset : offset + 5] = b"MAPPD"
            area.flush()
            os.pwrite(file.fileno(), b"PWRITE", 500_000)
            data[500_000:500_006] = b"PWRITE"
            equal(area[500_000:500_006], b"PWRITE", "a write seen through the mapping")
        ctx.remount()
        check(read_file(path) == bytes(data), "content differs")
        with (
            open(path, "rb") as again,
            mmap.mmap(again.fileno(), 0, access=mmap.ACCESS_READ) as view,
        ):
            check(view[:] == bytes(data), "content through a new mapping differs")


def flags(ctx: Context) -> None:
    with ctx.step("O_APPEND from two descriptors"):
        path = ctx.path("appended")
        first = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        second = os.open(path, os.O_WRONLY | os.O_APPEND)
        for number in range(20):
            os.write(first if number % 2 else second, b"%02d " % number)
        os.close(first)
        os.close(second)
        drop_caches()
        equal(read_file(path), b"".join(b"%02d " % n for n in range(20)), "content")
    with ctx.step("O_EXCL creates once, keeps the mode, never truncates"):
        path = ctx.path("exclusive")
        create = os.O_CREAT | os.O_EXCL | os.O_RDWR
        fd = os.open(path, create, 0o604)
        os.write(fd, b"mine")
        os.close(fd)
        raises(errno.EEXIST, os.open, path, create)
        drop_caches()
        raises(errno.EEXIST, os.open, path, create)
        equal(read_file(path), b"mine", "content")
        info = os.stat(path)
        equal(oct(info.st_mode), oct(0o100604), "mode")
        # The verifier is kept in the times until the SETATTR that follows: no trace may stay.
        check(abs(info.st_mtime - time.time()) < 60, f"mtime {info.st_mtime}")
        check(abs(info.st_atime - time.time()) < 60, f"atime {info.st_atime}")
    with ctx.step("O_SYNC, O_DSYNC, fsync, fdatasync, O_DIRECT"):
        for name, flag in (("sync", os.O_SYNC), ("dsync", os.O_DSYNC)):
            fd = os.open(ctx.path(name), os.O_CREAT | os.O_WRONLY | flag, 0o644)
            for number in range(8):
                equal(os.write(fd, pattern(10_000, number)), 10_000, "written")
            os.close(fd)
        fd = os.open(ctx.path("fsync"), os.O_CREAT | os.O_RDWR, 0o644)
        os.write(fd, b"first ")
        os.fsync(fd)
        os.write(fd, b"second")
        os.fdatasync(fd)
        os.close(fd)
        direct(ctx.path("direct"))
        drop_caches()
        whole = b"".join(pattern(10_000, number) for number in range(8))
        check(read_file(ctx.path("sync")) == whole, "content with O_SYNC")
        check(read_file(ctx.path("dsync")) == whole, "content with O_DSYNC")
        equal(read_file(ctx.path("fsync")), b"first second", "content")
        check(read_file(ctx.path("direct")) == b"D" * 65536, "content with O_DIRECT")


def direct(path: str) -> None:
    """Page-aligned memory from a mapping; past the page cache both ways."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o644)
    with mmap.mmap(-1, 65536) as buffer, mmap.mmap(-1, 65536) as back:
        buffer.write(b"D" * 65536)
        equal(os.pwritev(fd, [buffer], 0), 65536, "written with O_DIRECT")
        equal(os.preadv(fd, [back], 0), 65536, "read with O_DIRECT")
        check(back[:] == buffer[:], "O_DIRECT read differs")
    os.close(fd)


def random_io(ctx: Context) -> None:
    with ctx.step("writes at odd offsets, in no order, against a model"):
        path, model = ctx.path("random"), bytearray()
        state = 12345
        with open(path, "w+b", buffering=0) as file:
            for number in range(200):
                state = (state * 1103515245 + 12345) % (1 << 31)
                offset, size = state % 400_000, state // 7 % 9_000
                data = pattern(size, number)
                if len(model) < offset + size:
                    model.extend(bytes(offset + size - len(model)))
                model[offset : offset + size] = data
                os.pwrite(file.fileno(), data, offset)
                if number % 40 == 39:
                    os.fsync(file.fileno())
                    drop_caches()
            check(os.pread(file.fileno(), 1 << 20, 0) == bytes(model), "content differs")
        drop_caches()
        check(read_file(path) == bytes(model), "content differs after dropping caches")


def times(ctx: Context) -> None:
    with ctx.step("times to the nanosecond"):
        path = ctx.path("times")
        write_file(path, b"x")
        atime, mtime = 1_234_567_890_123_456_789, 4_000_000_000_987_654_321
        os.utime(path, ns=(atime, mtime))
        before = os.stat(path).st_ctime_ns
        ctx.remount()
        info = os.stat(path)
        equal((info.st_atime_ns, info.st_mtime_ns), (atime, mtime), "times")
        equal(info.st_ctime_ns, before, "ctime")
    with ctx.step("times move when they must"):
        time.sleep(0.02)
        os.chmod(path, 0o600)
        check(os.stat(path).st_ctime_ns > before, "chmod left ctime")
        equal(os.stat(path).st_mtime_ns, mtime, "chmod changed mtime")
        os.utime(path)
        check(abs(os.stat(path).st_mtime - time.time()) < 60, "utime(now) is not now")
        folder = os.stat(ctx.dir).st_mtime_ns
        time.sleep(0.02)
        os.rename(path, ctx.path("times2"))
        check(os.stat(ctx.dir).st_mtime_ns > folder, "rename left the directory's mtime")
