"""Start and stop the servers: this one, another checkout of it, nfs-ganesha, the floor.

As root all of them run in a network namespace that is made for the run and removed after it, so
that they have the ports they want and nobody else reaches them. Without root they listen on
loopback, and nfs-ganesha is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import build
from .errors import BenchError, Unavailable

Popen = subprocess.Popen[bytes]

START_SECONDS = 30
STOP_SECONDS = 15
LOG_TAIL_BYTES = 2000
GANESHA_PORT = 2049
GANESHA_MOUNT_PORT = 20048

GANESHA_CONFIG = """\
NFS_CORE_PARAM {{
    Protocols = 3;
    NFS_Port = {port};
    MNT_Port = {mount_port};
    NLM_Port = 32803;
    Rquota_Port = 8750;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    mount_path_pseudo = false;
}}
NFSV4 {{ Graceless = true; }}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = EVENT; }}
EXPORT {{
    Export_Id = 10;
    Path = {path};
    Pseudo = /bench;
    Filesystem_Id = 10.10;
    Protocols = 3;
    Transports = TCP;
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    FSAL {{ Name = VFS; }}
}}
"""
#: /run is private, so that rpcbind's socket and ganesha's pid file meet no others.
GANESHA_START = """
mount -t tmpfs tmpfs /run && mkdir -p /run/ganesha /run/rpcbind /run/dbus || exit 1
rpcbind -f -w >/dev/null 2>&1 &
for i in 1 2 3 4 5 6 7 8 9 10; do [ -S /run/rpcbind.sock ] && break; sleep 0.1; done
exec ganesha.nfsd -F -L "$1" -f "$2" -p /run/ganesha/pid
"""


def which(program: str) -> str | None:
    """Like shutil.which, also when PATH has no sbin."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Place:
    """Where servers and generator run: a network namespace of their own, or this one."""

    def __init__(self) -> None:
        self.name = f"nfsloop-bench-{os.getpid()}"
        self.private = os.geteuid() == 0 and which("ip") is not None

    def __enter__(self) -> Place:
        if self.private:
            made = subprocess.run(
                ["ip", "netns", "add", self.name], capture_output=True, text=True, check=False
            )
            self.private = made.returncode == 0
        if self.private:
            up = ["ip", "-n", self.name, "link", "set", "lo", "up"]
            subprocess.run(up, check=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.private:
            subprocess.run(["ip", "netns", "del", self.name], check=False)

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in here; `ip` execs, so the pid is the command's."""
        prefix = ["ip", "netns", "exec", self.name] if self.private else []
        return [*prefix, *command]

    def port(self, wanted: int) -> int:
        """`wanted` where all ports are free, else one that is free now."""
        if self.private:
            return wanted
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server that was started; `wait_ready` says when it serves."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    mount_port: int
    export: str
    log: Path
    with_children: bool
    facts: dict[str, str] = field(default_factory=dict)

    def pids(self) -> list[int]:
        """Processes whose CPU is the server's."""
        if not self.with_children:
            return [self.process.pid]
        return [self.process.pid, *descendants(self.process.pid)]

    def tail(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; also to what it started in its process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)


def parents() -> dict[int, int]:
    """Process -> its parent, of all processes."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                found[int(entry)] = int(stat[1])
    return found


def descendants(pid: int) -> list[int]:
    """All processes beneath `pid`, sorted."""
    table = parents()
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in table.items() if parent in fresh} - found
        found |= fresh
    return sorted(found)


def launch(
    place: Place,
    argv: Sequence[str],
    log: Path,
    cores: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Popen:
    """Start a server in `place`, in a process group of its own."""
    pinned = ["taskset", "-c", cores, *argv] if cores else list(argv)
    with log.open("ab") as out:
        return subprocess.Popen(
            place.argv(pinned),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )


@dataclass(frozen=True)
class Nfsloop:
    """This server, from `tree`, with the checks that it has by default and root not squashed."""

    name: str
    backend: str  # "posix" or "memory"
    tree: Path
    python: str
    workers: str = ""
    extra: tuple[str, ...] = ()
    port: int = 13049

    def start(self, place: Place, directory: Path, cores: str) -> Running:
        """Raises `Unavailable` if `tree` has no server."""
        if not (self.tree / "nfsloop" / "__main__.py").exists():
            raise Unavailable(f"{self.tree} is not a checkout of nfsloop")
        port = place.port(self.port)
        export = "memory:" if self.backend == "memory" else str(directory)
        argv = [self.python, "-m", "nfsloop", "serve", "-o", "rw,no_root_squash,insecure"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--rpcbind", "none", "--no-udp"]
        argv += ["--state", str(directory.with_name(f"{directory.name}-state"))]
        argv += ["--log-level", "warning", *self.extra]
        if self.workers:
            argv += ["--workers", self.workers]
        argv.append(f"/bench={export}")
        env = {**os.environ, "PYTHONPATH": str(self.tree), "PYTHONDONTWRITEBYTECODE": "1"}
        log = directory.with_name(f"{directory.name}.log")
        process = launch(place, argv, log, cores, env=env, cwd=self.tree)
        return Running(self.name, process, port, port, "/bench", log, with_children=True)


@dataclass(frozen=True)
class Ganesha:
    """Debian's nfs-ganesha with FSAL VFS, and an rpcbind, without which it does not start."""

    name: str = "ganesha"

    def start(self, place: Place, directory: Path, cores: str) -> Running:
        """Raises `Unavailable` without root, without its packages, or without a namespace."""
        missing = [
            f"{program} (Debian package {package})"
            for program, package in (
                ("ganesha.nfsd", "nfs-ganesha nfs-ganesha-vfs"),
                ("rpcbind", "rpcbind"),
                ("unshare", "util-linux"),
                ("ip", "iproute2"),
            )
            if which(program) is None
        ]
        if missing:
            raise Unavailable(f"nfs-ganesha needs {', '.join(missing)}: apt-get install them")
        if not place.private:
            raise Unavailable("nfs-ganesha needs root and a network namespace: run this as root")
        config = directory.with_name("ganesha.conf")
        text = GANESHA_CONFIG.format(
            port=GANESHA_PORT, mount_port=GANESHA_MOUNT_PORT, path=directory
        )
        config.write_text(text)
        log = directory.with_name("ganesha.log")
        argv = ["unshare", "-m", "sh", "-c", GANESHA_START, "sh", str(log), str(config)]
        process = launch(place, argv, directory.with_name("ganesha.out"), cores)
        port, mount_port = GANESHA_PORT, GANESHA_MOUNT_PORT
        return Running(
            self.name, process, port, mount_port, str(directory), log, with_children=False
        )


@dataclass(frozen=True)
class Floor:
    """The program that does the least work."""

    source: Path
    name: str = "floor"
    file_only: bool = False  # nfslimit wants a file and not a directory
    port: int = 16049

    def start(self, place: Place, directory: Path, cores: str) -> Running:
        """Raises `Unavailable` without its source or a compiler."""
        try:
            program = build.program(self.source)
        except BenchError as exc:
            raise Unavailable(str(exc)) from exc
        port = place.port(self.port)
        target = directory / "file" if self.file_only else directory
        log = directory.with_name("floor.log")
        argv = [str(program), str(port), str(target)]
        process = launch(place, argv, log, cores)
        return Running(self.name, process, port, port, "/", log, with_children=False)


Server = Nfsloop | Ganesha | Floor


def wait_ready(server: Running, probe: Sequence[str]) -> None:
    """Until `probe` (a generator's run that mounts) succeeds. Raises `Unavailable` with its log."""
    deadline = time.monotonic() + START_SECONDS
    words = ""
    while server.alive() and time.monotonic() < deadline:
        try:
            done = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
            if done.returncode == 0:
                return
            words = done.stderr.strip()
        except subprocess.TimeoutExpired:
            words = "no answer"
        time.sleep(0.1)
    state = "does not answer" if server.alive() else "ended at once"
    text = "\n  ".join(filter(None, [words, *server.tail().splitlines()[-8:]]))
    raise Unavailable(f"{server.name} {state}:\n  {text}")


@contextlib.contextmanager
def work_directory(parent: Path) -> Iterator[Path]:
    """A fresh directory in `parent`, removed at the end."""
    path = parent / f"nfsloop-bench-{os.getpid()}"
    try:
        path.mkdir(mode=0o755)
    except OSError as exc:
        raise BenchError(f"{path}: {exc.strerror}; name another place with --dir") from exc
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
