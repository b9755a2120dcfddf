"""What a server is asked to be, checked: settings, exports, the state directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from backends.base import Backend
from nfsloop.access import Guard, Policy
from nfsloop.construct import ConstructError
from nfsloop.errors import ConfigError, denied
from nfsloop.exports5 import Client, Entry, Problem, check_path
from nfsloop.hosts import Names
from nfsloop.limits import CONFIG_FILE_BYTES, HANDOVER_SECONDS, WORKERS
from nfsloop.options import Options
from nfsloop.storage import Storage
from oncrpc.limits import DRC_BYTES, DRC_ENTRIES, DRC_RETENTION_SECONDS, ServerLimits

#: What is served when nothing is named.
MEMORY = "memory:"

#: Calls in flight get this long at a stop: less than the ten seconds after which container engines
#: kill, so that there is time to flush.
STOP_SECONDS = 5.0

#: How much is traced at most: see `nfsloop.watching.trace`.
TRACE_LEVELS = 9

RPCBIND_MODES = ("auto", "system", "builtin", "port", "none")
NO_PORTMAPPER = "no portmapper: clients must be told the ports"


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """One export: what to serve, mounted as what, and for whom."""

    storage: Storage
    path: str
    #: None: everybody, with the options of the command line.
    clients: tuple[Client, ...] | None = None

    @classmethod
    def parse(cls, text: str, wraps: Sequence[str] = ()) -> ExportSpec:
        """From what `Storage.parse` takes, or that behind ``/name=``; behind `wraps`, the first
        outermost. Raises ConfigError."""
        name, equals, storage = text.partition("=")
        if not equals or not name.startswith("/") or os.path.isdir(text):
            name, storage = "", text
        if not storage:
            raise ConfigError(f"{text!r}: nothing to export behind the name")
        found = check_storage("|".join((*wraps, storage)))
        try:
            path = check_path(name or found.path)
        except ValueError as exc:
            raise ConfigError(f"{text:.60}: {exc}") from None
        return cls(found, path)

    @classmethod
    def of_entry(cls, entry: Entry) -> ExportSpec:
        """From an entry of an exports file. Raises ConfigError that names its place."""
        wanted = entry.storage if entry.storage is not None else entry.path
        try:
            storage = check_storage(wanted, whole=True)
            if entry.mountpoint is not None:
                mounted = entry.mountpoint or storage.path
                if not os.path.ismount(mounted):
                    raise ConfigError(f"nothing is mounted on {mounted} (mountpoint)")
        except ConfigError as exc:
            raise ConfigError(Problem(entry.where, str(exc))) from None
        return cls(storage, entry.path, entry.clients)

    def backend(self, state: Path, sync: bool) -> Backend:
        """A new backend for it; `state` is where it may keep what must survive a restart."""
        try:
            backend = self.storage.make(state)
        except (ConstructError, OSError) as exc:
            raise ConfigError(f"{self.path}: {getattr(exc, 'strerror', None) or exc}") from exc
        backend.set_sync(sync)
        return backend

    def policy(self, options: Options, names: Names, guard: Guard) -> Policy:
        """Who may use it; `options` are for everybody where nobody is named."""
        if self.clients is None:
            return Policy.everyone(options, guard)
        return Policy(self.clients, names, guard)


def check_storage(text: str, whole: bool = False) -> Storage:
    """What `Storage.parse` makes of text. Raises ConfigError."""
    try:
        return Storage.parse(text, whole)
    except ConstructError as exc:
        raise ConfigError(exc) from exc


def check_specs(specs: Sequence[ExportSpec]) -> list[str]:
    """What is wrong with exports beside each other: a path or a storage that is there twice."""
    problems: list[str] = []
    paths: set[str] = set()
    places: dict[str, str] = {}
    for spec in specs:
        if spec.path in paths:
            unnamed = spec.clients is None and spec.path == spec.storage.path
            hint = f"; /NAME={spec.storage} gives it another path" if unnamed else ""
            problems.append(f"{spec.path} is exported twice{hint}")
        for place in sorted(spec.storage.places):
            if spec.path not in paths and place in places:
                # Two backends would write one index.
                problems.append(f"{spec.path}: {place} is exported already, as {places[place]}")
            places.setdefault(place, spec.path)
        paths.add(spec.path)
    return problems


#: Before a directory that is served as it is, though not by `posix:`.
_LOCAL = re.compile(r"fsspec:(?:file|local)://")


def state_in_reach(specs: Sequence[ExportSpec], options: Options, state: Path) -> list[str]:
    """A warning for each of `exports_of_state`."""
    return [
        f"{path} has the state directory {state} in it, for its clients too: keep it elsewhere "
        "(--state)"
        for path in exports_of_state(specs, options, state)
    ]


def exports_of_state(specs: Sequence[ExportSpec], options: Options, state: Path) -> list[str]:
    """The exports whose clients get at the state directory, and at the key in it."""
    place = os.path.realpath(state) + "/"
    found: list[str] = []
    for spec in specs:
        served = [_LOCAL.sub("", own) for own in spec.storage.places]
        inside = any(place.startswith(own.rstrip("/") + "/") for own in served)
        given = [options] if spec.clients is None else [c.options for c in spec.clients]
        if inside and (os.geteuid() != 0 or not all(o.root_squash and o.anonuid for o in given)):
            found.append(spec.path)
    return found


@dataclass(frozen=True, slots=True)
class DrcSettings:
    """The duplicate request cache."""

    enabled: bool = True
    bytes: int = DRC_BYTES
    entries: int = DRC_ENTRIES
    retention_seconds: float = DRC_RETENTION_SECONDS


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `serve` needs. `host` None is every address."""

    exports: tuple[ExportSpec, ...] = field(default_factory=lambda: (ExportSpec.parse(MEMORY),))
    #: For exports that name no clients.
    options: Options = field(default_factory=Options)
    host: str | None = None
    port: int = 2049
    rpcbind: str = "auto"
    udp: bool = True
    state: Path = Path("nfsloop.state")
    log_level: str = "info"
    loop: str = "auto"
    limits: ServerLimits = field(default_factory=ServerLimits)
    drc: DrcSettings = field(default_factory=DrcSettings)
    #: What the NFS calls go through, the first outermost: see `nfsloop.layers`.
    layers: tuple[str, ...] = ()
    #: Processes that serve: see `nfsloop.workers`.
    workers: int = 1
    log_format: str = "text"
    #: Where metrics and health are asked for over HTTP: address and port; None: nowhere.
    metrics: tuple[str, int] | None = None
    #: How much of the calls is logged: see `nfsloop.watching.trace`.
    trace: int = 0
    #: How long calls in flight get at a stop.
    stop_seconds: float = STOP_SECONDS
    #: What their author may not have meant, a line each.
    warnings: tuple[str, ...] = ()


def count_workers(value: object) -> int:
    """How many workers are meant by a number, or by "auto": as many as there are CPUs that this
    process may use. Raises ValueError."""
    if value == "auto":
        return min(len(os.sched_getaffinity(0)), WORKERS)
    if type(value) is not int or not 1 <= value <= WORKERS:
        raise ValueError(f'takes a number from 1 to {WORKERS} or "auto", not {value!r:.60}')
    return value


def address(value: object) -> tuple[str, int]:
    """Where to listen for the administrator: of ``HOST:PORT``, ``[IPv6]:PORT``, or a port on the
    loopback interface alone. Raises ValueError."""
    host, _, port = str(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or int(port) > 65535 or type(value) not in {str, int}:
        raise ValueError(f"takes HOST:PORT, or a port up to 65535, not {value!r:.60}")
    return host or "127.0.0.1", int(port)


def trace_level(value: object) -> int:
    """How much to trace. Raises ValueError."""
    if type(value) is not int or not 0 <= value <= TRACE_LEVELS:
        raise ValueError(f"takes a level from 0 to {TRACE_LEVELS}, not {value!r:.60}")
    return value


def read_text(path: Path) -> str:
    """A file of settings or exports, as UTF-8 with surrogateescape. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(CONFIG_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from None
    if len(raw) > CONFIG_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {CONFIG_FILE_BYTES} bytes")
    return raw.decode("utf-8", "surrogateescape")


def _owner(lock: int) -> str:
    """The process that took the lock last, as it wrote there."""
    return os.pread(lock, 32, 0).decode("ascii", "replace").strip()


def has_open(process: str, lock: int) -> bool:
    """Whether a process has the file open that is `lock` here. That it is there would not tell: it
    may be dead and its parent not have looked, or another may have its number by now."""
    try:
        place = f"/proc/{int(process)}/fd"
        others = set(os.listdir(place)) - ({str(lock)} if int(process) == os.getpid() else set())
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    own = os.fstat(lock)
    for one in others:
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.path.samestat(os.stat(f"{place}/{one}"), own):
                return True
    return False


class StateDirectory:
    """The state directory, made where it is missing and held by one server at a time.

    A context manager; entering raises ConfigError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The lock's descriptor. It is held until the last process that has inherited it is gone.
        self._lock: int | None = None

    def __enter__(self) -> Path:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_others()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as exc:
            what = f"state directory {self.path}: {exc.strerror}: {denied(self.path)}"
            raise ConfigError(f"{what}; or have another with --state") from None
        except OSError as exc:
            raise ConfigError(f"state directory {self.path}: {exc.strerror}") from None
        try:
            self._take(self._lock)
        except OSError:
            owner = _owner(self._lock)
            self.__exit__(None, None, None)
            raise ConfigError(
                f"another nfsloop (process {owner or 'unknown'}) runs with the state directory "
                f"{self.path}; give this one its own with --state"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return self.path

    @property
    def lock(self) -> int:
        """The lock's descriptor, for processes that are to hold it too."""
        assert self._lock is not None
        return self._lock

    @staticmethod
    def _take(lock: int) -> None:
        """Lock it. A server that was killed leaves workers that end by themselves, at once or so:
        they are waited for. Raises OSError."""
        deadline = time.monotonic() + (0 if has_open(_owner(lock), lock) else HANDOVER_SECONDS)
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.01)

    def _refuse_others(self) -> None:
        """Who can put links and files of his own here makes the server write where he likes."""
        status = self.path.stat()
        if status.st_uid not in {0, os.geteuid()}:
            raise ConfigError(
                f"state directory {self.path}: {denied(self.path)}; or have another with --state"
            )
        if status.st_mode & stat.S_IWOTH:
            raise ConfigError(f"state directory {self.path}: everybody may write there; chmod 700")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
