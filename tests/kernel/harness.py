"""The host's side: a network namespace, a server process inside it, what must be installed.

Everything that is made here has a name with this process's id in it and is removed again, also
when a test fails: processes by their session, namespaces by name. Nothing else is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

SERVER_IP = "10.79.0.1"
SERVER_IP6 = "fd79::1"
BRIDGE = "br0"
UML_MODULES = Path("/usr/lib/uml/modules")
CLONE_NEWNET = 0x40000000

# program -> the Debian package that has it
PROGRAMS = {
    "ip": "iproute2",
    "linux.uml": "user-mode-linux",
    "modprobe": "kmod",
    "mount.nfs": "nfs-common",
    "rpc.statd": "nfs-common",
    "rpcbind": "rpcbind",
    "dumpcap": "tshark",
    "tshark": "tshark",
    "git": "git",
    "make": "make",
    "gcc": "gcc",
}
# Register state beyond what UML 6.1 saves: see xstate_shim.c.
LARGE_XSTATE_FLAGS = {"amx_tile", "apx_f"}

T = TypeVar("T")
_counter = itertools.count()


class HarnessError(Exception):
    """The harness itself failed: a command, a server that does not come up, a dead guest."""


def which(program: str) -> str | None:
    """Like shutil.which, but finds what lies in sbin also when PATH has none."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def requirements() -> list[str]:
    """What is missing for these tests, one line each; empty when they can run."""
    missing: list[str] = []
    if os.geteuid() != 0:
        missing.append("root (namespaces, tap devices, hostfs)")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing.append("/dev/net/tun")
    packages: dict[str, list[str]] = {}
    for program, package in PROGRAMS.items():
        if which(program) is None:
            packages.setdefault(package, []).append(program)
    missing += [f"{', '.join(names)} (package {package})" for package, names in packages.items()]
    if not list(UML_MODULES.glob("*/kernel/fs/nfs/nfsv3.ko")):
        missing.append(f"nfsv3.ko under {UML_MODULES} (package user-mode-linux)")
    return missing


def needs_shim() -> bool:
    """Whether this CPU has more register state than UML can restore."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return not LARGE_XSTATE_FLAGS.isdisjoint(line.split())
    return False


def run(*argv: str) -> str:
    """Run a command to its end and return its output; HarnessError with its words if it fails."""
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def session_members(sid: int) -> list[int]:
    """Processes whose session is `sid`. Field 6 of /proc/PID/stat, after the name in brackets."""
    members: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == sid and fields[0] != "Z":
                members.append(int(entry))
    return members


def kill_session(sid: int) -> None:
    """SIGKILL every process of a session that we opened, until none is left."""
    deadline = time.monotonic() + 10
    while members := session_members(sid):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise HarnessError(f"session {sid} does not die: {members}")
        time.sleep(0.01)


class Network:
    """A network namespace: lo, a bridge with the server's addresses, one tap device per guest."""

    def __init__(self, taps: int = 1) -> None:
        self.name = f"nfsloop-{os.getpid()}-{next(_counter)}"
        self.taps = [f"tap{i}" for i in range(taps)]

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.name)
        try:
            self._populate()
        except BaseException:
            self.close()
            raise
        return self

    def _populate(self) -> None:
        ip = ("ip", "-n", self.name)
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
        run(*ip, "addr", "add", f"{SERVER_IP}/24", "dev", BRIDGE)
        # nodad: a tentative address cannot be bound, and a server is started at once
        run(*ip, "addr", "add", f"{SERVER_IP6}/64", "dev", BRIDGE, "nodad")
        for tap in self.taps:
            run(*ip, "tuntap", "add", tap, "mode", "tap")
            run(*ip, "link", "set", tap, "master", BRIDGE, "up")
        run(*ip, "link", "set", BRIDGE, "up")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the namespace, and with it the bridge and the taps."""
        run("ip", "netns", "del", self.name)

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in here; `ip` execs, so the pid is the command's."""
        return ["ip", "netns", "exec", self.name, *command]

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread that lives in the namespace; its sockets stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        outcome: list[T] = []
        failure: list[BaseException] = []

        def body() -> None:
            try:
                with open(f"/run/netns/{self.name}", "rb") as ns:
                    if libc.setns(ns.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                outcome.append(function())
            except BaseException as error:  # carried over to the caller's thread, raised there
                failure.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def connect(self, port: int, host: str = SERVER_IP, timeout: float = 1.0) -> socket.socket:
        """A TCP connection made from inside the namespace."""
        return self.call(lambda: socket.create_connection((host, port), timeout))

    def listen(self, port: int = 0, host: str = SERVER_IP) -> socket.socket:
        """A listening TCP socket inside the namespace."""
        return self.call(lambda: socket.create_server((host, port)))

    def run(self, *command: str) -> str:
        return run(*self.argv(command))


class ServerProcess:
    """A server inside the namespace, in a session of its own, its output in a log file.

    `tmpfs` maps directories to sizes ("24m"): they are mounted in the mount namespace that
    `ip netns exec` makes for this process, so they vanish with it and no one else sees them.
    """

    def __init__(
        self,
        network: Network,
        argv: Sequence[str],
        *,
        log: Path,
        port: int = 2049,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tmpfs: Mapping[Path, str] | None = None,
        ready_seconds: float = 20.0,
    ) -> None:
        self.network = network
        self.command = list(argv)
        self.log = log
        self.port = port
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.tmpfs = dict(tmpfs or {})
        self.ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The server's own process id (every wrapper execs)."""
        if self._process is None:
            raise HarnessError("the server was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until its port answers; HarnessError with the log's end if not."""
        if self.running:
            raise HarnessError("the server runs already")
        mounts = "".join(
            f"mount -t tmpfs -o size={size},mode=0777 tmpfs '{path}' && "
            for path, size in self.tmpfs.items()
        )
        command = ["sh", "-c", f'{mounts}exec "$@"', "sh", *self.command]
        with self.log.open("ab") as log:
            self._process = spawn(self.network.argv(command), log, env=self.env, cwd=self.cwd)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while True:
            if not self.running:
                raise HarnessError(f"the server ended at once: {self.tail()}")
            try:
                self.network.connect(self.port).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise HarnessError(f"port {self.port}: {error}: {self.tail()}") from error
            time.sleep(0.05)

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def terminate(self, timeout: float = 10.0) -> int:
        """SIGTERM; the exit status (negative: the signal that ended it). Hangs are an error."""
        if self._process is None:
            raise HarnessError("the server was never started")
        self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"no end after SIGTERM: {self.tail()}") from error
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and to all that it started in its session."""
        if self._process is not None:
            kill_session(self._process.pid)
            self._process.wait(10)

    def restart(self) -> None:
        """Kill if it still runs, start again with the same command."""
        self.kill()
        self.start()


def spawn(
    argv: Sequence[str],
    output: IO[bytes],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """A process that leads its own session, so that `kill_session` finds all of its children."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
