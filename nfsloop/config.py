"""What the command line asks for, checked: settings, exports, the state directory."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from backends.base import Backend
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from nfsloop.export import Options

#: The name of the embedded backend; also what is served when nothing is named.
MEMORY = "memory:"

#: Everybody may make files at the root of a fresh ``memory:``, as in /tmp.
MEMORY_ROOT_MODE = 0o1777

RPCBIND_MODES = ("auto", "system", "builtin", "none")


class ConfigError(Exception):
    """A setting that cannot be; the message is one line for the person who made it."""


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """An EXPORT of the command line: what to serve (`memory:` or a directory), mounted as what."""

    storage: str
    path: str

    @classmethod
    def parse(cls, text: str) -> ExportSpec:
        """From ``DIR``, ``memory:``, ``/name=DIR`` or ``/name=memory:``. Raises ConfigError."""
        name, equals, storage = text.partition("=")
        if not equals or not name.startswith("/") or os.path.isdir(text):
            name, storage = "", text
        if not storage:
            raise ConfigError(f"{text!r}: nothing to export behind the name")
        if storage == MEMORY:
            return cls(MEMORY, name or "/")
        directory = Path(storage)
        try:
            directory = directory.resolve(strict=True)
            if not directory.is_dir():
                raise ConfigError(f"{storage}: not a directory")
            os.listdir(directory)
        except FileNotFoundError:
            raise ConfigError(f"{storage}: no such directory") from None
        except (OSError, RuntimeError, ValueError) as exc:  # RuntimeError: a loop of links
            raise ConfigError(f"{storage}: {getattr(exc, 'strerror', None) or exc}") from None
        return cls(str(directory), name or str(directory))

    def backend(self, state: Path, options: Options) -> Backend:
        """A new backend for it; `state` is where it may keep what must survive a restart."""
        if self.storage == MEMORY:
            return MemoryBackend(mode=MEMORY_ROOT_MODE)
        return PosixBackend(self.storage, state=state, sync=options.sync)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `serve` needs. `host` None is every address."""

    exports: tuple[ExportSpec, ...] = (ExportSpec(MEMORY, "/"),)
    options: Options = field(default_factory=Options)
    host: str | None = None
    port: int = 2049
    rpcbind: str = "auto"
    udp: bool = True
    state: Path = Path("nfsloop.state")


def default_state() -> Path:
    """/var/lib/nfsloop for root, a directory of the user's own otherwise (XDG base directories).

    Raises ConfigError where there is none.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/nfsloop")
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(base or Path.home() / ".local" / "state") / "nfsloop"
    except RuntimeError:  # neither HOME nor an entry in the password database
        raise ConfigError("no home directory to keep the state in: give one with --state") from None


class StateDirectory:
    """The state directory, made where it is missing and held by one server at a time.

    A context manager; entering raises ConfigError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Path:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(f"state directory {self.path}: {exc.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._lock, 32).decode("ascii", "replace").strip()
            self.__exit__(None, None, None)
            raise ConfigError(
                f"another nfsloop (process {owner or 'unknown'}) runs with the state directory "
                f"{self.path}; give this one its own with --state"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
