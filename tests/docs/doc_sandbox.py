"""A fresh machine for the reader of a page: its own files, network, host name; gone afterwards.

The new root is a tmpfs with the host's programs in it. The reader's home is /home/me, with a clone
of the checkout in ``nfsloop``. ``python3 -m nfsloop`` has the standard library alone, as on a
machine where nothing was installed; ``nfsloop`` is the installed command.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
HOST = "myhost"
HOME = "/home/me"
#: Of the host, as it is. /etc is copied; all else is empty.
BOUND = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "opt", "proc", "sys", "dev")
#: What no clone has.
NOT_CLONED = shutil.ignore_patterns(".*", "__pycache__", "dist", "results")
SECONDS = 60
#: For what a server prints at its start. Less than the 20 s that a guest waits for its host.
START_SECONDS = 15

_SET_UP = """
set -e
mount -t tmpfs -o size=512m,mode=755 tmpfs "$1"
cd "$1"
for name in %(bound)s; do
    if [ -L "/$name" ]; then cp -a "/$name" "$name"
    elif [ -d "/$name" ]; then mkdir "$name"; mount --rbind "/$name" "$name"; fi
done
cp -a /etc etc
mkdir -p -m 1777 tmp
mkdir -p srv mnt run var/lib var/tmp var/log home/me/nfsloop root
shift
for path in "$@"; do
    [ -e ".$path" ] || { mkdir -p ".$path"; mount --rbind "$path" ".$path"; }
done
cp -a "$CLONE/." home/me/nfsloop
ip link set lo up
hostname %(host)s
echo "127.0.0.1 localhost" > etc/hosts
echo "${ADDRESS:-127.0.0.2} %(host)s" >> etc/hosts
exec chroot . sh -c 'cd /; echo ready; exec cat'  # until the test ends, however it does
"""

_SHIMS = {
    "nfsloop": 'exec "{python}" -m nfsloop "$@"',
    "pytest": 'exec "{python}" -m pytest "$@"',
    "python": 'exec "{python}" "$@"',
    "python3": (
        'case "$1 $2" in\n'
        '"-m nfsloop"|"-m portmap") unset PYTHONPATH; exec "{base}" -S "$@";;\n'
        'esac\nexec "{python}" "$@"'
    ),
    "sudo": 'exec "$@"',
}


class SandboxError(Exception):
    """The sandbox itself cannot be made, or a line does not end."""


def shims(directory: Path) -> None:
    """The commands of an installed nfsloop, and python's, as scripts in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in _SHIMS.items():
        base = os.path.realpath(sys.executable)
        script = text.format(python=sys.executable, base=base)
        path = directory / name
        path.write_text(f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(ROOT))}\n{script}\n")
        path.chmod(0o755)


def clone(directory: Path) -> Path:
    """A copy of the checkout without what is made in it."""
    shutil.copytree(ROOT, directory / "clone", ignore=NOT_CLONED, symlinks=True)
    return directory / "clone"


def missing() -> str | None:
    """What is missing for a sandbox, in a few words; None if nothing is."""
    if os.geteuid() != 0:
        return "root, for namespaces"
    programs = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    return f"the programs {', '.join(programs)}" if programs else None


class Server:
    """A server that was started by a line, with what it prints."""

    def __init__(self, process: subprocess.Popen[bytes], line: str, log: Path) -> None:
        self.process = process
        self.line = line
        self.log = log
        self._read = b""

    @property
    def printed(self) -> list[str]:
        """The whole lines that it has printed."""
        return self._read.decode().split("\n")[:-1]

    def read_until(self, enough: Callable[[list[str]], bool]) -> None:
        """Read lines until they are `enough`; SandboxError if it ends or is silent for long."""
        assert self.process.stdout is not None
        while not enough(self.printed):
            ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            self._read += data
            if not data:
                self.process.kill()
                said = f"{self.printed} {self.log.read_text()[-2000:]}"
                raise SandboxError(f"{self.line}: exit {self.process.wait()}: {said}")

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()


class Sandbox:
    """A machine as a context manager. `before` enters a network namespace that others made."""

    def __init__(
        self, directory: Path, clone: Path, *, before: Sequence[str] = (), address: str = ""
    ) -> None:
        self.directory = directory
        self.clone = clone
        self.before = [*before]
        self.address = address
        self.cwd = HOME
        self._behind: list[subprocess.Popen[bytes]] = []
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        (self.directory / "root").mkdir(parents=True)
        shims(self.directory / "bin")
        if self.pycache is not None:
            Path(self.pycache).mkdir(parents=True, exist_ok=True)
        names = ["--mount", "--uts", "--propagation", "private"]
        names += [] if self.before else ["--net"]
        script = _SET_UP % {"bound": " ".join(BOUND), "host": HOST}
        bound = [sys.prefix, sys.base_prefix, ROOT, self.directory / "bin", self.pycache]
        argv = [*self.before, "unshare", *names, "sh", "-c", script, "sh"]
        # What is within another comes behind it, and is there already.
        argv += [str(self.directory / "root"), *sorted(str(path) for path in bound if path)]
        env = {**os.environ, "CLONE": str(self.clone), "ADDRESS": self.address}
        self._holder = subprocess.Popen(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        said = ""
        for line in self._holder.stdout:
            if line == "ready\n":
                return self
            said += line
        self.close()
        raise SandboxError(said)

    @property
    def pycache(self) -> str | None:
        return os.environ.get("PYTHONPYCACHEPREFIX")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it. The namespaces go with their last process."""
        for process in self._behind:
            process.kill()
            process.wait()
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            for pipe in (self._holder.stdin, self._holder.stdout):
                if pipe is not None:
                    pipe.close()

    def _argv(self, line: str) -> list[str]:
        assert self._holder is not None
        enter = [
            "nsenter",
            "--target",
            str(self._holder.pid),
            "--mount",
            "--uts",
            "--net",
            "--root",
            "--wd",
        ]
        path = (
            f"{self.directory / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        env = {"PATH": path, "HOME": HOME, "LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}
        env |= {"PYTHONPYCACHEPREFIX": self.pycache} if self.pycache else {}
        env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p nfsloop.pytest_plugin"}
        given = [f"{name}={value}" for name, value in env.items()]
        return [*enter, "env", "-i", *given, "sh", "-c", f"cd {self.cwd}\n{line}"]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line as a shell would; what it printed is in `stdout`, errors among it."""
        try:
            return subprocess.run(
                self._argv(line), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{line}: no end after {SECONDS} s: {error.stdout!r}") from None

    def set_up(self, script: str) -> None:
        """Run what the page takes for granted."""
        done = self.run(f"set -e\n{script}")
        if done.returncode != 0:
            raise SandboxError(f"{script}: {done.stdout}")

    def write(self, name: str, text: str) -> None:
        """Write a file, in the reader's home unless `name` begins with a slash."""
        self.set_up(f"cat > {shlex.quote(name)} <<'END OF FILE'\n{text}END OF FILE")

    def background(self, line: str, port: int) -> None:
        """Run something that others on the page talk to; it listens on `port` of 127.0.0.1."""
        argv = self._argv(f"exec {line}")
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._behind.append(process)
        probe = f"(: < /dev/tcp/127.0.0.1/{port}) 2>&1"
        self.set_up(f"bash -c 'for i in $(seq 400); do {probe} && exit; sleep 0.05; done; exit 1'")

    def start(self, line: str) -> Server:
        """Start a server; its log goes to a file in the sandbox's directory."""
        path = self.directory / "server.log"
        with path.open("a") as log:
            process = subprocess.Popen(
                self._argv(f"exec {line}"), stdout=subprocess.PIPE, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return Server(process, line, path)
