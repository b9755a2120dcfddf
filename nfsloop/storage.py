"""What is served, by name: ``sqlite:/srv/data.db``, ``readonly|zip:photos.zip``, a directory.

A storage is a URL, ``NAME:REST?option=value&…``, and wraps may stand before it, each with a ``|``
behind it, the outermost first. The options are the constructor's parameters (`nfsloop.construct`).
Text without a name before a colon is the path of a directory.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.base import Backend, Limits
from nfsloop.construct import (
    ConstructError,
    Named,
    arguments,
    is_target,
    load,
    signature,
    unquoted,
)
from nfsloop.errors import denied

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: The entry points by which other packages name backends of theirs.
GROUP = "nfsloop.backends"

POSIX = "posix"
MEMORY = "memory"
DEMUX = "demux"


@dataclass(frozen=True, slots=True)
class Kind:
    """A backend or a wrap that comes with nfsloop."""

    target: str
    #: What follows the colon, for a reader.
    rest: str = ""
    #: The extra that has the package it needs: ``pip install 'nfsloop[extra]'``.
    extra: str | None = None
    #: Options that are others than the constructor's, where nobody says them.
    defaults: Mapping[str, Any] = field(default_factory=dict)


#: Everybody may make files at the root of a fresh file system, as in /tmp: nobody could else, with
#: root squashed.
FRESH = {"mode": 0o1777}


BACKENDS: dict[str, Kind] = {
    POSIX: Kind("backends.posix:PosixBackend", "DIR"),
    MEMORY: Kind("backends.memory:MemoryBackend", defaults=FRESH),
    "sqlite": Kind("backends.sqlite:SqliteBackend", "FILE", defaults=FRESH),
    "zip": Kind("backends.archive:ZipBackend", "FILE"),
    "tar": Kind("backends.archive:TarBackend", "FILE"),
    "git": Kind("backends.git:GitBackend", "DIR", "git"),
    "fsspec": Kind("backends.objects:FsspecBackend", "URL", "fsspec"),
    DEMUX: Kind("backends.wraps.demux:Demux", "NAME=STORAGE;NAME=STORAGE…"),
}

WRAPS: dict[str, Kind] = {
    "readonly": Kind("backends.wraps.readonly:ReadOnly"),
    "attrcache": Kind("backends.wraps.attrcache:AttrCache"),
    "blockcache": Kind("backends.wraps.blockcache:BlockCache"),
    "slow": Kind("backends.wraps.slow:Slow"),
    "faults": Kind("backends.wraps.faults:Faults"),
    "audit": Kind("backends.wraps.audit:Audit"),
}

_NAME = re.compile(r"([A-Za-z_][\w.]*):")
_FSSPEC = "fsspec+"
#: An option of a URL that is nobody's business.
_SECRET = re.compile(r"\b(\w*(?:secret|password|passwd|token|key)\w*)=[^&|;]*", re.IGNORECASE)
#: What a wrap looks like.
_WRAP = re.compile(r"[A-Za-z_]\w*(?:\?[^|]*)?\|")


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A storage that can be made."""

    #: As an administrator would write it, with whole paths.
    text: str
    #: The path by which it is mounted where nobody says another.
    path: str
    #: What no two exports can have at once, as they would write to the same place.
    places: frozenset[str]
    #: Whether it keeps something in the server's state directory.
    keeps: bool
    #: Makes the backend, given the server's state directory. Raises ConstructError, ImportError.
    make: Callable[[Path], Backend]

    def __str__(self) -> str:
        return _SECRET.sub(r"\1=***", self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def parse(cls, text: str, whole: bool = False) -> Storage:
        """Raises ConstructError for what cannot be, in one line that names it.

        With `whole`, paths must start at the root; they are taken from the current directory else.
        """
        try:
            return _parse(text, whole)
        except ConstructError as exc:
            why = str(exc)
            raise ConstructError(why if text in why else f"{text}: {why}") from exc


def _parse(text: str, whole: bool) -> Storage:
    head, bar, below = text.partition("|")
    if bar and (head.partition("?")[0] in WRAPS or is_target(head.partition("?")[0])):
        return _wrapped(head, _parse(below, whole))
    match = _NAME.match(text)
    if _WRAP.match(text) and not os.path.isdir(text):
        name = re.split(r"[?|]", text)[0]
        raise ConstructError(f"no wrap is called {name!r}; there are {', '.join(WRAPS)}")
    if text.startswith(_FSSPEC):
        kind = BACKENDS["fsspec"]
        named = Named.parse(text.removeprefix(_FSSPEC), "fsspec")
        return _storage(text, named, _load(kind), whole)
    if match is None:
        return _directory(text, whole)
    name = match[1]
    if name == POSIX:
        named = Named.parse(text)
        return _directory(named.rest, whole, named)
    if name == DEMUX:
        return _demux(text.partition(":")[2], whole)
    if name in BACKENDS:
        return _storage(text, Named.parse(text), _load(BACKENDS[name]), whole)
    for point in (point for point in _points() if point.name == name):
        return _storage(text, Named.parse(text), _load_point(point), whole)
    if os.path.isdir(text):
        return _directory(text, whole)
    head = text.partition("?")[0]
    if not is_target(head):
        raise ConstructError(f"no storage is called {name!r}; there are {', '.join(names())}")
    try:
        maker = load(head)
    except ConstructError as exc:
        if "." in name:
            raise
        there = ", ".join(names())
        raise ConstructError(f"no storage is called {name!r} ({there}), and {exc}") from None
    return _storage(text, Named(head, "", Named.parse(text).options), maker, whole)


def _directory(text: str, whole: bool, named: Named | None = None) -> Storage:
    """A directory of the local file system, without links. Raises ConstructError."""
    maker = _load(BACKENDS[POSIX])
    given = {} if named is None else arguments(maker, named)
    if not text:  # a variable of a script that is not set must not serve what is here
        raise ConstructError("no directory is named")
    directory = Path(text)
    if whole and not directory.is_absolute():
        raise ConstructError(f"{text}: a directory is named by its whole path")
    try:
        directory = directory.resolve(strict=True)
        if not directory.is_dir():
            raise ConstructError(f"{text}: not a directory")
        os.scandir(directory).close()
    except FileNotFoundError:
        raise ConstructError(f"{text}: no such directory") from None
    except PermissionError as exc:
        raise ConstructError(f"{text}: {exc.strerror}: {denied(text)}") from None
    except (OSError, RuntimeError) as exc:  # RuntimeError: a loop of links
        raise ConstructError(f"{text}: {getattr(exc, 'strerror', None) or exc}") from None
    except ValueError as exc:
        if isinstance(exc, ConstructError):
            raise
        raise ConstructError(f"{text}: {exc}") from None
    path = text = str(directory)
    given.pop("path", None)
    if named is not None and named.options:
        words = "&".join(f"{name}={value}" for name, value in named.options)
        text = f"{POSIX}:{quoted(path)}?{words}"

    def make(state: Path) -> Backend:
        return _made(maker, path, state=state, **given)

    return Storage(text, path, frozenset({path}), True, make)


def _storage(text: str, named: Named, maker: Callable[..., Any], whole: bool) -> Storage:
    """A storage of any kind that its constructor tells all about."""
    given = arguments(maker, named)
    known = signature(maker)
    if named.name in BACKENDS:
        given = {**BACKENDS[named.name].defaults, **given}
    rest = named.rest
    if rest and known.first is not None and isinstance(given[known.first.name], Path):
        if whole and not rest.startswith("/"):
            raise ConstructError(f"{text}: a file is named by its whole path")
        rest = str(given[known.first.name])
        _, mark, options = text.partition("?")
        text = f"{named.name}:{quoted(rest)}{mark}{options}"
    builtin = named.name in BACKENDS
    if rest and known.first is not None and isinstance(given[known.first.name], Path):
        place = f"{named.name}:{os.path.realpath(rest)}"
    elif rest:
        place = f"{named.name}:{rest}"
    else:  # the options say which one it is
        place = "&".join([f"{named.name}?", *(f"{k}={v}" for k, v in sorted(named.options))])

    def make(state: Path) -> Backend:
        extra = {"state": _state(state, place)} if known.state else {}
        return _made(maker, **given, **extra)

    path = "/" if named.name == MEMORY else "/" + _stem(rest or named.name.partition(":")[2])
    lasting = named.name != MEMORY and (rest if builtin else known.state)
    return Storage(text, path, frozenset({place} if lasting else ()), known.state, make)


def _wrapped(head: str, below: Storage) -> Storage:
    """`below` behind the wrap ``NAME?options``."""
    name = head.partition("?")[0]
    maker = _load(WRAPS[name]) if name in WRAPS else load(name)
    given = arguments(maker, Named(name, "", Named.parse(head, name).options), skip=1)

    def make(state: Path) -> Backend:
        return _made(maker, below.make(state), **given)

    return Storage(f"{head}|{below.text}", below.path, below.places, below.keeps, make)


def _demux(text: str, whole: bool) -> Storage:
    """Several storages under one tree, ``NAME=STORAGE;NAME=STORAGE…``.

    In a NAME, percent escapes stand for bytes; in a STORAGE, ``%3B`` for a semicolon.
    """
    parts: dict[bytes, Storage] = {}
    for word in filter(None, text.split(";")):
        name, equals, storage = word.partition("=")
        if not equals or not name:
            raise ConstructError(f"demux: takes NAME=STORAGE;NAME=STORAGE…, not {word!r}")
        if storage.startswith(f"{DEMUX}:"):
            raise ConstructError("demux: there is no demux within a demux")
        named = unquoted(name)
        if os.fsencode(named) in parts:
            raise ConstructError(f"demux: {named} is given twice")
        parts[os.fsencode(named)] = Storage.parse(storage.replace("%3B", ";"), whole)
    places = [place for part in parts.values() for place in part.places]
    if len(set(places)) < len(places):
        raise ConstructError("demux: one storage has two names")
    maker = _load(BACKENDS[DEMUX])

    def make(state: Path) -> Backend:
        return _made(maker, {name: part.make(state) for name, part in parts.items()})

    keeps = any(part.keeps for part in parts.values())
    canonical = ";".join(
        f"{escaped(os.fsdecode(name))}={part.text.replace(';', '%3B')}"
        for name, part in parts.items()
    )
    return Storage(f"{DEMUX}:{canonical}", "/", frozenset(places), keeps, make)


def _made(maker: Callable[..., Any], *args: Any, **given: Any) -> Backend:
    """The backend. Raises ConstructError for what its constructor refuses."""
    try:
        backend = maker(*args, **given)
    except (ValueError, OSError, ImportError) as exc:
        raise ConstructError(str(exc)) from exc
    except Exception as exc:  # it is somebody else's code
        raise ConstructError(f"{type(exc).__name__}: {exc}") from exc
    if not isinstance(backend, Backend):
        name = getattr(maker, "__qualname__", str(maker))
        raise ConstructError(f"{name} makes a {type(backend).__name__}, which is no Backend")
    return backend


def _state(state: Path, place: str) -> Path:
    """The directory in which a storage keeps what must survive a restart."""
    name = re.sub(r"\W+", "-", place.partition(":")[0])
    digest = hashlib.blake2b(os.fsencode(place), digest_size=8).hexdigest()
    directory = state / "storage" / f"{name}-{digest}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _stem(rest: str) -> str:
    """A name for what `rest` stands for: the last part of a path, without its suffixes."""
    last = rest.rstrip("/").rpartition("/")[2]
    stem = last.partition(".")[0] if last.partition(".")[0] else last
    return re.sub(r"[\s\0:]", "_", stem)


def escaped(name: str) -> str:
    """The name of a part of a demux, as it stands in a URL."""
    for character in "%=;:?":
        name = name.replace(character, f"%{ord(character):02X}")
    return name


def quoted(rest: str) -> str:
    """A path as it stands in a URL."""
    return rest.replace("%", "%25").replace("?", "%3F")


def _load(kind: Kind) -> Any:
    """What `kind` names. A package that is missing is named with what installs it."""
    try:
        return load(kind.target)
    except ConstructError as exc:
        cause = exc.__cause__
        ours = getattr(cause, "name", None) or ""
        if kind.extra is None or not isinstance(cause, ImportError) or ours.startswith("backends"):
            raise
        raise ConstructError(needs(kind.extra, cause)) from cause


def needs(extra: str, exc: ImportError) -> str:
    """What to do about a package that is not installed."""
    missing = exc.name or str(exc)
    return f"it needs the package {missing}: pip install 'nfsloop[{extra}]'"


def _points() -> Sequence[EntryPoint]:
    """What other packages name, by its name."""
    from importlib import metadata  # 15 ms of start-up, for those who name something of theirs

    return sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)


def _load_point(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as exc:  # it is somebody else's code
        raise ConstructError(f"{point.value} of {GROUP}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Known:
    """What `nfsloop backends` says of a backend or a wrap."""

    usage: str
    #: What it is; or why it cannot be used here.
    about: str
    options: tuple[str, ...] = ()
    abilities: tuple[str, ...] = ()
    usable: bool = True


def known_backends() -> list[Known]:
    """Every backend that can be named, those that lack a package too."""
    found = [
        _known(_usage(name, kind), partial(_load, kind), defaults=kind.defaults)
        for name, kind in BACKENDS.items()
    ]
    for point in _points():
        found.append(_known(f"{point.name}:", partial(_load_point, point)))
    return found


def known_wraps() -> list[Known]:
    """Every wrap that comes with nfsloop."""
    return [_known(f"{name}|…", partial(_load, kind), skip=1) for name, kind in WRAPS.items()]


def _usage(name: str, kind: Kind) -> str:
    return f"{_FSSPEC}{kind.rest}" if name == "fsspec" else f"{name}:{kind.rest}"


def _known(
    usage: str, get: Callable[[], Any], skip: int = 0, defaults: Mapping[str, Any] | None = None
) -> Known:
    try:
        maker = get()
    except ConstructError as exc:
        return Known(usage, str(exc), usable=False)
    about = (inspect.getdoc(maker) or "").partition("\n")[0]
    known = signature(maker, skip)
    first = known.first.name if known.first is not None else ""
    options = tuple(
        str(replace(option, default=(defaults or {}).get(name, option.default)))
        for name, option in known.options.items()
        if name != first or not option.required
    )
    return Known(usage, about, options, () if skip else _abilities(maker))


#: A field of `Limits` -> what it is called.
_ABILITIES = {
    "links": "hard links",
    "symlinks": "symbolic links",
    "special_files": "special files",
    "set_times": "times",
}


def _abilities(maker: Any) -> tuple[str, ...]:
    """What the class declares; some find out more when they start."""
    limits = getattr(maker, "limits", None)
    if not isinstance(limits, Limits) or limits is Backend.limits:  # it depends on what is in it
        return ()
    found = ["read-only" if limits.read_only else "read and write"]
    return (*found, *(text for name, text in _ABILITIES.items() if getattr(limits, name)))


def names() -> list[str]:
    """All that may stand before the colon."""
    return [*BACKENDS, *sorted({point.name for point in _points()})]
