"""The host's side of one guest: boots linux.uml, hears its results, answers its questions.

The guest talks over one TCP connection to a socket in the namespace, one JSON object a line:

    guest -> host   {"event": "step", "scenario", "name", "ok", "detail", "seconds"}
                    {"event": "sync", "tag", "data"}     waits for {"data": …}
                    {"event": "notify", "tag", "data"}   does not wait
                    {"event": "log", "text"}
                    {"event": "done"}

"sync" and "notify" call `on_sync(guest, tag, data)`; what it returns is the answer to a sync.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .harness import (
    SERVER_IP,
    UML_MODULES,
    HarnessError,
    Network,
    kill_session,
    needs_shim,
    run,
    spawn,
)

SyncHandler = Callable[["Guest", str, Any], Any]


class GuestFailure(HarnessError):
    """The guest did not reach its end; the message has the end of its console."""


@dataclass(frozen=True)
class Mount:
    """One NFS mount that the guest makes before its scenarios, under /mnt/NAME."""

    name: str
    spec: str
    options: str = ""


@dataclass(frozen=True)
class Scenario:
    """A module of `scenarios`, the mount it works in, its parameters; `label` names a rerun.

    A module with dots in its name is one of the checkout.
    """

    module: str
    mount: str = "main"
    params: dict[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.module


@dataclass(frozen=True)
class Step:
    """What one step of one scenario came to."""

    scenario: str
    name: str
    ok: bool
    detail: str
    seconds: float

    def __str__(self) -> str:
        state = "ok" if self.ok else "FAILED"
        return f"{self.seconds:7.2f}s {state:6} {self.scenario}: {self.name} {self.detail}".rstrip()


class Guest:
    """One User Mode Linux guest, as a context manager: boots on entry, is gone after exit."""

    def __init__(
        self,
        network: Network,
        workdir: Path,
        mounts: Sequence[Mount],
        scenarios: Sequence[Scenario],
        *,
        index: int = 0,
        statd: bool = False,
        memory: str = "1G",
        on_sync: SyncHandler | None = None,
    ) -> None:
        self.network = network
        self.index = index
        self.workdir = workdir / f"guest{index}"
        self.mounts = list(mounts)
        self.scenarios = list(scenarios)
        self.statd = statd
        self.memory = memory
        self.on_sync = on_sync
        self.steps: list[Step] = []
        self.logs: list[str] = []
        self.started = 0.0
        self._done = False
        self._error: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def console(self) -> str:
        """All that the kernel, init and the payload printed so far."""
        path = self.workdir / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int | None:
        """linux.uml's process id, also the id of the session that all its processes are in."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Write plan and init, boot. Returns at once: results come while the guest runs."""
        self.workdir.mkdir(parents=True)
        self._listener = self.network.listen()
        self._listener.settimeout(60)
        self._write_init(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._converse, args=(self._listener,), daemon=True)
        self._thread.start()
        self.started = time.monotonic()
        with (self.workdir / "console.log").open("wb") as log:
            self._process = spawn(self.network.argv(self._command()), log)

    def _command(self) -> list[str]:
        tap = self.network.taps[self.index]
        command = ["linux.uml", f"mem={self.memory}", "root=/dev/root", "rootfstype=hostfs"]
        command += ["rootflags=/", "ro", "quiet", f"uml_dir={self.workdir}/", "umid=uml"]
        command += [f"vec0:transport=tap,ifname={tap},depth=128,gro=1"]
        command += [f"init={self.workdir}/init", "con=null", "con0=null,fd:1"]
        if needs_shim():
            shim = self.workdir / "xstate_shim.so"
            source = Path(__file__).with_name("xstate_shim.c")
            run("gcc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(source))
            command = ["env", f"LD_PRELOAD={shim}", *command]
        return command

    def _write_init(self, port: int) -> None:
        package = Path(__file__).resolve().parent
        # The newest kernel is the one that linux.uml is: the package holds just one.
        modules = max(UML_MODULES.glob("*/modules.dep")).parent
        plan = {
            "control": [SERVER_IP, port],
            "address": f"10.79.0.{10 + self.index}/24",
            "address6": f"fd79::{10 + self.index}/64",
            "modules": str(modules),
            "package": package.name,
            "statd": self.statd,
            "mounts": [asdict(mount) for mount in self.mounts],
            "scenarios": [{**asdict(item), "name": item.name} for item in self.scenarios],
        }
        (self.workdir / "plan.json").write_text(json.dumps(plan))
        # The interpreter behind a virtual environment's link: it needs no site directory.
        python = os.path.realpath(sys.executable)
        init = self.workdir / "init"
        init.write_text(
            f"#!{python} -ISu\n"
            f"import sys\n"
            f"sys.path[:0] = {[str(package.parent), str(package.parents[1])]!r}\n"
            f"from {package.name}.guest_init import main\n"
            f"main({str(self.workdir / 'plan.json')!r})\n"
        )
        init.chmod(0o755)

    def _converse(self, listener: socket.socket) -> None:
        """The reader thread: ends with the guest's connection."""
        try:
            connection, _ = listener.accept()
            connection.settimeout(None)
            with connection, connection.makefile("rw") as stream:
                for line in stream:
                    message = json.loads(line)
                    asked = message["event"] == "sync"
                    answer = self._hear(message)
                    if asked:
                        stream.write(json.dumps({"data": answer}) + "\n")
                        stream.flush()
        except OSError:
            pass  # killed, or never booted: finish() sees that "done" is missing
        except BaseException as error:  # of on_sync: finish() raises it in the caller's thread
            self._error = error
            self.kill()

    def _hear(self, message: dict[str, Any]) -> Any:
        match message.pop("event"):
            case "step":
                self.steps.append(Step(**message))
            case "log":
                self.logs.append(message["text"])
            case "done":
                self._done = True
            case "sync" | "notify" if self.on_sync is not None:
                return self.on_sync(self, message["tag"], message["data"])
        return None

    def finish(self, timeout: float = 180.0) -> list[Step]:
        """Wait for the guest's end and return all steps; GuestFailure if it did not get there."""
        if self._process is None or self._thread is None:
            raise HarnessError("the guest was never started")
        try:
            self._process.wait(max(0.0, self.started + timeout - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failure(f"no end after {timeout:.0f} s") from None
        self.kill()
        self._thread.join(5)
        if self._error is not None:
            raise self._failure("the host's handler failed") from self._error
        if not self._done:
            raise self._failure("the guest ended before its scenarios did")
        return self.steps

    def _failure(self, why: str) -> GuestFailure:
        last = "\n".join(str(step) for step in self.steps[-5:])
        console = "\n".join(self.console.splitlines()[-60:])
        return GuestFailure(f"guest {self.index}: {why}\nlast steps:\n{last}\nconsole:\n{console}")

    def kill(self) -> None:
        """SIGKILL to all processes of this guest; again is harmless."""
        if self._listener is not None:
            self._listener.close()
        if self._process is not None:
            kill_session(self._process.pid)
            self._process.wait(10)


class Rendezvous:
    """An `on_sync` for several guests: each sync waits until all of them reached the same tag.

    The answer is the list of what every guest sent, by index.
    """

    def __init__(self, guests: int, timeout: float = 60.0) -> None:
        self._guests = guests
        self._timeout = timeout
        self._arrived: dict[str, dict[int, Any]] = {}
        self._changed = threading.Condition()

    def __call__(self, guest: Guest, tag: str, data: Any) -> list[Any]:
        with self._changed:
            here = self._arrived.setdefault(tag, {})
            here[guest.index] = data
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: len(here) == self._guests, self._timeout):
                raise HarnessError(f"rendezvous {tag!r}: only guests {sorted(here)} came")
            return [here[index] for index in sorted(here)]
