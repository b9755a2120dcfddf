"""The workloads, as they run in the guest: one workload on one mount is a scenario of tests/kernel.

System calls are made from this one program, since a fork costs 9 ms in here and an exec 33. Every
phase is timed by itself; `fresh` ones begin with a new mount, so that the client has no cache.
Nothing here but the standard library: the guest's interpreter has no packages.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kernel.guest_lib import Context, check, command, equal, forked

from benchmarks.kernel.mountstats import Op, difference, parse

KIB, MIB = 1 << 10, 1 << 20
PAGE = 4 * KIB
#: What large files are read and written with at once.
CHUNK = MIB
FOLDERS = 50
#: Numbers of creators that work at the same time.
CREATORS = 4
SEED = 5


def counted(target: str) -> dict[str, Op]:
    return parse(Path("/proc/self/mountstats").read_text(), target)


class Bench:
    """One workload on one mount, in a directory of its own at the top of the export.

    Only what is timed is removed: ext4 searches its way past inodes that were freed in the last
    minutes, so that a removal makes later creations dear (see `servers.spread`).
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.sizes: dict[str, int] = ctx.params["sizes"]
        self.dir = f"{ctx.mnt}/{ctx.name}"
        os.mkdir(self.dir)
        # No two pages alike, and none of zeroes: nobody may shorten them.
        self.pool = random.Random(SEED).randbytes(2 * MIB)

    @contextmanager
    def phase(self, name: str, *, fresh: bool = True) -> Iterator[None]:
        """Time the body; the host adds what the processes have used of the CPU."""
        if fresh:
            self.ctx.remount()
        with self.ctx.step(name):
            before = counted(self.ctx.mnt)
            self.ctx.sync("begin", name)
            start = time.monotonic()
            yield
            seconds = time.monotonic() - start
            calls = difference(before, counted(self.ctx.mnt))
            told = {"seconds": seconds, "calls": {op: asdict(n) for op, n in calls.items()}}
            self.ctx.sync("end", {"phase": name, "server": self.ctx.mount_name, **told})

    def content(self, number: int) -> memoryview:
        """A small file's bytes: 1 to 16 KiB, the same for a number in every run."""
        size = KIB + number * 7919 % (15 * KIB)
        start = number * 4099 % MIB
        return memoryview(self.pool)[start : start + size]


def store(path: str, data: memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, data)
    os.close(fd)


def write_large(path: str, size: int, pool: bytes) -> None:
    view = memoryview(pool)
    with open(path, "wb", buffering=0) as file:
        for offset in range(0, size, CHUNK):
            shift = offset // CHUNK * 97 % CHUNK
            file.write(view[shift : shift + min(CHUNK, size - offset)])
        os.fsync(file.fileno())


def read_whole(path: str, buffer: bytearray) -> int:
    """Read a file to its end into one buffer; its size."""
    size = 0
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(buffer):
            size += got
    return size


def walk(top: str) -> int:
    """os.walk with an lstat of everything; how many there are."""
    seen = 0
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.lstat(f"{folder}/{name}")
            seen += 1
    return seen


def tree(bench: Bench) -> None:
    """Copy in, stat, copy out and remove some thousand small files and a few large ones."""
    top, files = f"{bench.dir}/tree", bench.sizes["files"]
    large, large_size = bench.sizes["large_files"], bench.sizes["large_mib"] * MIB
    with bench.phase("copy in"):
        os.mkdir(top)
        for number in range(FOLDERS):
            os.mkdir(f"{top}/d{number:02}")
        for number in range(files):
            path = f"{top}/d{number % FOLDERS:02}/file{number:05}"
            store(path, bench.content(number))
            os.utime(path, (1e9, 1e9))
        for number in range(large):
            write_large(f"{top}/large{number}", large_size, bench.pool)
    with bench.phase("stat tree"):
        equal(walk(top), files + large + FOLDERS, "entries")
    buffer, total = bytearray(CHUNK), 0
    with bench.phase("copy out"):
        for folder, _, names in os.walk(top):
            for name in names:
                os.lstat(f"{folder}/{name}")
                total += read_whole(f"{folder}/{name}", buffer)
    wanted = large * large_size + sum(len(bench.content(number)) for number in range(files))
    equal(total, wanted, "bytes read")
    with bench.phase("remove tree"):
        shutil.rmtree(top)


def create(bench: Bench) -> None:
    """Small files made by one, by threads at once, and by processes at once."""
    files = bench.sizes["created"]

    def some(folder: str, part: int, parts: int) -> None:
        for number in range(part, files, parts):
            store(f"{folder}/file{number:05}", bench.content(number))

    def by_one(folder: str) -> None:
        some(folder, 0, 1)

    def by_threads(folder: str) -> None:
        arguments = [(folder, part, CREATORS) for part in range(CREATORS)]
        threads = [threading.Thread(target=some, args=words) for words in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def by_processes(folder: str) -> None:
        def child(part: int) -> Callable[[], None]:
            return lambda: some(folder, part, CREATORS)

        for result in [forked(child(part)) for part in range(CREATORS)]:
            result()

    ways = (
        ("create", by_one),
        (f"create, {CREATORS} threads", by_threads),
        (f"create, {CREATORS} processes", by_processes),
    )
    for number, (name, way) in enumerate(ways):
        folder = f"{bench.dir}/many{number}"
        os.mkdir(folder)
        with bench.phase(name):
            way(folder)
        equal(len(os.listdir(folder)), files, "files")


def listing(bench: Bench) -> None:
    """A directory of many names that the host has made: names alone, then each with its stat."""
    folder, names = f"{bench.ctx.mnt}/{bench.ctx.params['names']}", bench.sizes["names"]
    with bench.phase("list names"):
        equal(len(os.listdir(folder)), names, "names")
    with bench.phase("list and stat"):
        with os.scandir(folder) as entries:
            found = sum(entry.stat(follow_symlinks=False).st_nlink for entry in entries)
        equal(found, names, "links of all names")


def git(bench: Bench) -> None:
    """A clone of a repository that lies in the guest's memory, its status cold and warm."""
    words = ["git", "-c", "safe.directory=*", "-c", "gc.auto=0"]
    source, target = "/run/source.git", f"{bench.dir}/clone"
    if not os.path.exists(source):
        shutil.copytree(bench.ctx.params["repository"], source)
    with bench.phase("git clone"):
        command([*words, "clone", "-q", "--no-hardlinks", source, target], timeout=300)
    # git reads again what is not older by a second than its index; how many is chance.
    later = time.time() + 5
    os.utime(f"{target}/.git/index", (later, later))
    for name, fresh in (("git status, cold", True), ("git status, warm", False)):
        with bench.phase(name, fresh=fresh):
            said = command([*words, "-C", target, "status", "--porcelain"], timeout=300)
        equal(said, "", "git status")


def large(bench: Bench) -> None:
    """One large file: written and read in order, then in pages at random, cached and O_DIRECT."""
    path, size = f"{bench.dir}/large", bench.sizes["file_mib"] * MIB
    pages = random.Random(SEED).sample(range(size // PAGE), bench.sizes["pages"])
    buffer = bytearray(CHUNK)
    with bench.phase("write, fsync"):
        write_large(path, size, bench.pool)
    with bench.phase("read"):
        equal(read_whole(path, buffer), size, "bytes read")
    for label, extra in (("", 0), (", O_DIRECT", os.O_DIRECT)):
        # O_DIRECT wants memory that is aligned to pages
        with mmap.mmap(-1, PAGE) as page:
            fd = os.open(path, os.O_RDWR | extra)
            os.close(fd)
            with bench.phase(f"read 4 KiB at random{label}"):
                fd = os.open(path, os.O_RDWR | extra)
                for number in pages:
                    check(os.preadv(fd, [page], number * PAGE) == PAGE, "a short read")
                os.close(fd)
            page[:] = bench.pool[:PAGE]
            with bench.phase(f"write 4 KiB at random{label}"):
                fd = os.open(path, os.O_RDWR | extra)
                for number in pages:
                    check(os.pwritev(fd, [page], number * PAGE) == PAGE, "a short write")
                os.fsync(fd)
                os.close(fd)
    os.unlink(path)


WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "tree": tree,
    "create": create,
    "list": listing,
    "git": git,
    "large": large,
}


def run(ctx: Context) -> None:
    """The harness's entry: `workload` is one of `WORKLOADS`."""
    WORKLOADS[ctx.params["workload"]](Bench(ctx))
