"""What scenarios use inside the guest: steps, checks, mounts, other users, talk with the host."""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import pickle
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")

NOBODY = 65534
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def libc_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


def mount_fs(source: str, target: str, kind: str, options: str = "") -> None:
    """mount(2), for file systems of the kernel itself."""
    if libc.mount(source.encode(), target.encode(), kind.encode(), 0, options.encode()) != 0:
        raise libc_error(f"mount {kind} on {target}")


def command(
    argv: Sequence[str], *, cwd: str | None = None, status: int | None = 0, timeout: float = 60
) -> str:
    """Run a program, return its output; AssertionError unless it ends with `status`."""
    done = subprocess.run(
        argv, cwd=cwd, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    if status is not None and done.returncode != status:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout[-1500:]}")
    return done.stdout


def check(condition: object, message: str) -> None:
    """An assert that -O cannot remove and that always says what was wrong."""
    if not condition:
        raise AssertionError(message)


def equal(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.300}, wanted {wanted!r:.300}")


def raises(numbers: int | tuple[int, ...], function: Callable[..., object], *args: Any) -> None:
    """`function(*args)` must fail with one of these errno values."""
    wanted = (numbers,) if isinstance(numbers, int) else numbers
    names = "/".join(errno.errorcode[number] for number in wanted)
    call = f"{getattr(function, '__name__', function)}{args!r:.200}"
    try:
        function(*args)
    except OSError as error:
        if error.errno not in wanted:
            got = errno.errorcode.get(error.errno or 0, str(error))
            raise AssertionError(f"{call}: {got}, wanted {names}") from error
    else:
        raise AssertionError(f"{call} succeeded, wanted {names}")


def read_file(path: str | bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write_file(path: str | bytes, data: bytes, mode: int = 0o666) -> None:
    """Create or truncate, write, close."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def forked(function: Callable[[], T], timeout: float = 60.0) -> Callable[[], T]:
    """Run `function` in a child; the result waits for it and gives its value or its exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(int(timeout))  # a child that hangs is ended by the kernel
        try:
            answer: tuple[bool, Any] = (True, function())
        except BaseException as error:  # carried to the parent
            kept = isinstance(error, OSError | AssertionError)
            answer = (False, error if kept else RuntimeError(traceback.format_exc()))
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)

    def result() -> T:
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        os.waitpid(child, 0)
        if not data:
            raise AssertionError(f"the child died without an answer (limit {timeout} s)")
        ok, value = pickle.loads(data)
        if not ok:
            raise value
        return value  # type: ignore[no-any-return]

    return result


def as_user(uid: int, gid: int, groups: Sequence[int], function: Callable[[], T]) -> T:
    """`function()` in a child with these credentials and no capability."""

    def body() -> T:
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return function()

    return forked(body)()


def drop_caches() -> None:
    """Write everything back, then forget clean pages, dentries and inodes."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


class Control:
    """The connection to the host; see guest.py for what is said."""

    def __init__(self, address: tuple[str, int]) -> None:
        connection = socket.create_connection(address, 20)
        connection.settimeout(120)  # for an answer; the host ends a guest that takes too long
        self._stream: IO[str] = connection.makefile("rw")

    def send(self, event: str, **fields: Any) -> None:
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()

    def ask(self, tag: str, data: Any) -> Any:
        self.send("sync", tag=tag, data=data)
        answer = self._stream.readline()
        if not answer:
            raise ConnectionError(f"the host is gone, at {tag!r}")
        return json.loads(answer)["data"]


class Mounts:
    """NFS mounts by name, each under /mnt/NAME; they can be remade with the same options."""

    def __init__(self, plan: Sequence[dict[str, str]]) -> None:
        self._plan = {item["name"]: item for item in plan}

    def path(self, name: str) -> str:
        return f"/mnt/{name}"

    def mount(self, name: str) -> None:
        item = self._plan[name]
        mount(item["spec"], self.path(name), item["options"])

    def remount(self, name: str) -> None:
        """Unmount and mount: nothing of the client's caches survives."""
        umount(self.path(name))
        self.mount(name)

    def mount_all(self) -> None:
        for name in self._plan:
            self.mount(name)


def mount(spec: str, target: str, options: str = "") -> None:
    """`mount -t nfs`; AssertionError with its words if it fails."""
    os.makedirs(target, exist_ok=True)
    command(["mount.nfs", spec, target, *(("-o", options) if options else ())], timeout=45)


def umount(target: str) -> None:
    command(["umount", target], timeout=45)


def mount_options(target: str) -> dict[str, str]:
    """The options that the kernel shows for a mount: {"vers": "3", "rsize": "1048576", …}."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[1] == target:
            pairs = (word.partition("=") for word in fields[3].split(","))
            return {name: value for name, _, value in pairs}
    raise AssertionError(f"{target} is not mounted")


def rpc_counts(target: str) -> dict[str, int]:
    """How often the client sent each procedure for a mount: {"READ": 12, …}, from mountstats."""
    counts: dict[str, int] = {}
    inside = False
    for line in Path("/proc/self/mountstats").read_text().splitlines():
        if line.startswith("device "):
            inside = f" mounted on {target} " in line
        elif inside and line.startswith("\t") and line.strip().split(":")[0].isupper():
            name, _, numbers = line.strip().partition(":")
            counts[name] = int(numbers.split()[0])
    return counts


class Context:
    """One scenario's world: its mount, an own empty directory in it, parameters, reporting."""

    def __init__(self, control: Control, mounts: Mounts, item: dict[str, Any]) -> None:
        self.name: str = item["name"]
        self.params: dict[str, Any] = item["params"]
        self.mount_name: str = item["mount"]
        self.mnt = mounts.path(self.mount_name)
        # Named for the module, not the label: the two guests of one scenario share it. Of a mount
        # that cannot be written, the scenario has the whole.
        read_only = self.params.get("read_only", False)
        self.dir = self.mnt if read_only else f"{self.mnt}/{item.get('module', '')}"
        self._mounts = mounts
        self._control = control

    def path(self, *names: str) -> str:
        return "/".join((self.dir, *names))

    def param(self, name: str, default: T) -> T:
        return self.params.get(name, default)  # type: ignore[no-any-return]

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """One named step: an exception makes it a failure and the scenario goes on.

        What is appended to the yielded list is reported as the step's detail.
        """
        notes: list[str] = []
        start = time.monotonic()
        ok = True
        try:
            yield notes
        except Exception as error:  # a step's failure is a result, not the end of the run
            ok = False
            where = traceback.extract_tb(error.__traceback__)[-1]
            notes.append(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})")
            if not isinstance(error, OSError | AssertionError):
                notes.append(traceback.format_exc())
        seconds = round(time.monotonic() - start, 3)
        detail = "; ".join(notes)
        self._control.send(
            "step", scenario=self.name, name=name, ok=ok, detail=detail, seconds=seconds
        )

    def sync(self, tag: str, data: Any = None) -> Any:
        """Tell the host and wait until it answers."""
        return self._control.ask(tag, data)

    def notify(self, tag: str, data: Any = None) -> None:
        """Tell the host and go on."""
        self._control.send("notify", tag=tag, data=data)

    def rpc_counts(self) -> dict[str, int]:
        """Calls sent so far over this scenario's mount, by procedure; a remount starts anew."""
        return rpc_counts(self.mnt)

    def log(self, text: str) -> None:
        self._control.send("log", text=text)

    def remount(self) -> None:
        os.chdir("/")
        self._mounts.remount(self.mount_name)


def run_plan(plan: dict[str, Any]) -> None:
    """Mount all, run each scenario in a fresh directory, unmount, say "done"."""
    # A page fault costs some 150 us in UML: keep what malloc has instead of mapping it anew.
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    control = Control((plan["control"][0], plan["control"][1]))
    mounts = Mounts(plan["mounts"])
    os.umask(0o022)
    mounts.mount_all()
    for item in plan["scenarios"]:
        context = Context(control, mounts, item)
        name = item["module"]
        name = name if "." in name else f"{plan['package']}.scenarios.{name}"
        module = importlib.import_module(name)
        with context.step("(whole scenario)"):  # a failure outside of all steps shows here
            if item["mount"]:
                # Two guests may share the directory; the second finds it there.
                os.makedirs(context.dir, exist_ok=True)
            module.run(context)
    os.chdir("/")
    with Context(control, mounts, {"name": "end", "params": {}, "mount": ""}).step("unmount all"):
        for item in plan["mounts"]:
            umount(mounts.path(item["name"]))
    control.send("done")
