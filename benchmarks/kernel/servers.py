"""The two servers side by side in one namespace, their exports on one disk."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.guest import Mount
from kernel.harness import SERVER_IP, Network, ServerProcess, session_members
from kernel.peers import GANESHA_CONFIG, GANESHA_EXPORT, GANESHA_START, explicit

from benchmarks.errors import BenchError
from benchmarks.kernel import ROOT
from benchmarks.kernel.report import OURS, THEIRS
from nfsloop.client import Client
from nfsloop.nfs3 import nfs3_xdr as x

PORTS = {OURS: 2050, THEIRS: 2049}
GANESHA_MOUNT_PORT = 20048
CPUCLOCK_SCHED = 2  # the kernel's include/linux/posix-timers.h
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602  # linux/fs.h, for 64 bits
FS_TOPDIR_FL = 0x20000
RAM_DISK_MIB, RAM_DISK_INODES = 2048, 400_000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Setup:
    """What is served, and how."""

    disk: Path  # a directory; both exports are made in it
    backend: str  # "posix" or "memory"; nfs-ganesha always serves the disk
    workers: str | None  # for --workers; None leaves it out
    tree: Path = ROOT  # the checkout whose nfsloop is served


@dataclass(frozen=True)
class Served:
    """A running server, its mount, and its directory on the host (none in memory)."""

    process: ServerProcess
    mount: Mount
    folder: Path | None


def start_ours(stack: ExitStack, network: Network, setup: Setup) -> Served:
    port = PORTS[OURS]
    folder = setup.disk / OURS
    folder.mkdir()
    spread(folder)
    export = "memory:" if setup.backend == "memory" else f"/{OURS}={folder}"
    argv = [sys.executable, "-m", "nfsloop", "serve", "--port", str(port), "--rpcbind", "none"]
    argv += ["-o", "rw,no_root_squash,insecure", "--state", str(setup.disk / "state")]
    if setup.workers is not None:
        argv += ["--workers", setup.workers]
    env = {"PYTHONPATH": str(setup.tree), "PYTHONUNBUFFERED": "1"}
    log = setup.disk / f"{OURS}.log"
    argv.append(export)
    # In its own directory, as `-m` looks in the current one first.
    process = ServerProcess(network, argv, log=log, port=port, env=env, cwd=setup.disk)
    stack.enter_context(process)
    path = "/" if setup.backend == "memory" else f"/{OURS}"
    mount = Mount(OURS, f"{SERVER_IP}:{path}", explicit(port))
    return Served(process, mount, None if setup.backend == "memory" else folder)


def start_ganesha(stack: ExitStack, network: Network, setup: Setup) -> Served:
    """As Debian has it, with its VFS on the same disk; no lock manager, as nobody locks here."""
    folder = setup.disk / THEIRS
    folder.mkdir()
    spread(folder)
    text = GANESHA_CONFIG.format(mountport=GANESHA_MOUNT_PORT)
    text = text.replace("Enable_NLM = true", "Enable_NLM = false")
    text += GANESHA_EXPORT.format(number=10, path=folder, name=THEIRS, squash="No_Root_Squash")
    config, log = setup.disk / "ganesha.conf", setup.disk / "ganesha.log"
    config.write_text(text)
    argv = ["sh", "-c", GANESHA_START, "sh", str(log), str(config)]
    process = ServerProcess(network, argv, log=setup.disk / f"{THEIRS}.log", port=PORTS[THEIRS])
    stack.enter_context(process)
    options = explicit(PORTS[THEIRS], mountport=GANESHA_MOUNT_PORT)
    return Served(process, Mount(THEIRS, f"{SERVER_IP}:{folder}", options), folder)


STARTS = {OURS: start_ours, THEIRS: start_ganesha}


@contextmanager
def serving(network: Network, setup: Setup, names: Sequence[str]) -> Iterator[dict[str, Served]]:
    """These servers by name, until the block ends."""
    with ExitStack() as stack:
        yield {name: STARTS[name](stack, network, setup) for name in names}


def cpu_seconds(sid: int) -> float:
    """User and system time of a session's processes, and of their children that ended.

    By each process's CPU clock, as the ticks in /proc are too coarse for what a phase costs.
    """
    total = 0.0
    for pid in session_members(sid):
        try:
            total += time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        total += (int(fields[13]) + int(fields[14])) / TICKS  # cutime and cstime
    return total


def prefer(pid: int, nice: int) -> None:
    """Set the niceness of a session that the kernel schedules as one (sched(7), autogroup)."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except OSError:  # there are no such groups here
        os.setpriority(os.PRIO_PROCESS, pid, nice)


def sync_disk(folder: Path) -> None:
    """Write back what earlier phases left dirty: no fsync of the next one shall pay for it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ctypes.CDLL(None).syncfs(fd)
    finally:
        os.close(fd)


@contextmanager
def ram_disk(folder: Path) -> Iterator[None]:
    """An ext4 of its own on `folder`, its image in memory: no other's I/O is in its way.

    Raises BenchError where there is no loop device, no mkfs.ext4, or too little memory.
    """
    image = Path("/dev/shm", f"nfsloop-bench-{os.getpid()}")
    try:
        with image.open("xb") as file:
            # All of it now: whoever writes first would pay for the pages.
            os.posix_fallocate(file.fileno(), 0, RAM_DISK_MIB << 20)
        _run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-N", str(RAM_DISK_INODES), str(image)])
        _run(["mount", "-o", "loop", str(image), str(folder)])
    except (OSError, subprocess.CalledProcessError) as error:
        image.unlink(missing_ok=True)
        raise BenchError(f"--ram: {error}") from error
    image.unlink()  # the loop device keeps it until it is unmounted
    try:
        yield
    finally:
        _run(["umount", str(folder)])


def spread(folder: Path) -> None:
    """Have ext4 put each directory that is made in `folder` into a block group of its own.

    It does not use an inode again for minutes after it was freed, and looks past all those: after
    some thousand removals a creation in the same group takes 600 us instead of 17, whoever asks.
    Elsewhere than on ext4 this does nothing.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
        flags[0] |= FS_TOPDIR_FL
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, flags)
    except OSError:
        pass
    finally:
        os.close(fd)


def make_names(folder: Path, count: int) -> None:
    """A directory of that many empty files, of names of many lengths."""
    folder.mkdir()
    for number in range(count):
        os.mknod(folder / name_of(number), stat.S_IFREG | 0o644)


def name_of(number: int) -> str:
    return f"{number:06}-{'x' * (number * 7 % 30)}"


def make_names_over_nfs(network: Network, folder: str, count: int) -> None:
    """The same in memory, where the host cannot reach: call by call, some 200 us each."""

    def make() -> None:
        with Client(PORTS[OURS], "/", host=SERVER_IP) as client:
            client.mkdir(f"/{folder}")
            handle = client.handle(f"/{folder}")
            times = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
            how = x.createhow3(x.GUARDED, x.sattr3(0o644, None, None, None, *times))
            for number in range(count):
                where = x.diropargs3(handle, name_of(number).encode())
                client.call("CREATE", x.CREATE3args(where, how))

    network.call(make)


def make_repository(target: Path, scratch: Path, files: int) -> None:
    """A bare, packed repository of real text files, in two commits."""
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(path for path in library.rglob("*.py") if path.stat().st_size < 100_000)
    work = scratch / "work"
    for number, source in enumerate(sources[:files]):
        copy = work / source.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        copy.with_suffix(".txt").write_text(f"file {number}\n" * (number % 50 + 1))
    settings = ("user.name=host", "user.email=host@example.org", "init.defaultBranch=main")
    git = ["git", *(word for one in settings for word in ("-c", one))]
    there = [*git, "-C", str(work)]
    _run([*git, "init", "-q", str(work)])
    for pattern in ("*.py", "*.txt"):
        _run([*there, "add", pattern])
        _run([*there, "commit", "-q", "-m", pattern])
    _run([*git, "clone", "-q", "--bare", "--no-local", str(work), str(target)])


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
