"""Where settings come from: the command line, nfsloop.toml, files of exports; all that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from nfsloop import logs
from nfsloop.config import (
    MEMORY,
    RPCBIND_MODES,
    DrcSettings,
    ExportSpec,
    Settings,
    address,
    check_specs,
    count_workers,
    read_text,
    state_in_reach,
    trace_level,
)
from nfsloop.errors import ConfigError
from nfsloop.exports5 import Entry, Parsed, Where, check_path, merge, parse, parse_clients
from nfsloop.hosts import Kind
from nfsloop.names import netgroups_exist
from nfsloop.options import Options
from nfsloop.state import default_state
from nfsloop.storage import escaped
from oncrpc import loop
from oncrpc.limits import RING_SEGMENT_BYTES, ServerLimits

T = TypeVar("T")

#: The files of a directory of exports that count, as in /etc/exports.d.
SUFFIX = ".exports"


@dataclass(frozen=True, slots=True)
class Sources:
    """What the command line says; None and empty: nothing."""

    exports: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    config: Path | None = None
    options: str = ""
    #: What each of `exports` is put behind, the first outermost.
    wraps: tuple[str, ...] = ()
    #: Values for fields of `Settings`.
    settings: Mapping[str, Any] = field(default_factory=dict)


class Gathered:
    """What was found, right or wrong."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.specs: list[ExportSpec] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def attempt(self, make: Callable[..., T], *args: Any) -> T | None:
        """What `make` gives; None if it raises ConfigError, which is noted."""
        try:
            return make(*args)
        except ConfigError as exc:
            self.errors += exc.problems
            return None

    def entries(self, parsed: Parsed) -> list[Entry]:
        """Entries of a file; what is wrong with them is noted."""
        for problem in parsed.problems:
            (self.errors if problem.error else self.warnings).append(str(problem))
        return parsed.entries


def gather(sources: Sources) -> Gathered:
    """Read everything. Never raises; see `Gathered.errors`."""
    found = Gathered()
    toml = _Toml(found, sources.config) if sources.config is not None else None
    files, entries = list(sources.files), []
    if toml is not None:
        toml.read()
        if not sources.exports and not sources.files:
            files, entries = toml.files, toml.entries
    found.values.update(sources.settings)
    try:
        found.values["options"] = Options.parse(sources.options)
    except ValueError as exc:
        found.errors.append(f"-o: {exc}")
    # Files that name no export, such as one that an editor has just emptied, are a mistake.
    named = bool(sources.exports or files or toml is not None)
    if sources.options and named and not sources.exports:
        found.warnings.append("-o is for each EXPORT, and there is none: files have their own")
    if sources.wraps and named and not sources.exports:
        found.warnings.append("--wrap is for each EXPORT, and there is none: files have their own")
    for text in sources.exports if named else [MEMORY]:
        spec = found.attempt(ExportSpec.parse, text, sources.wraps)
        if spec is not None:
            found.specs.append(spec)
    for file in files:
        entries += _read(found, file)
    _add(found, entries)
    if not found.specs and not found.errors:
        found.errors.append("nothing is exported")
    return found


def settings(sources: Sources) -> Settings:
    """The settings of a server. Raises ConfigError with everything that is wrong."""
    found = gather(sources)
    if "state" not in found.values:
        state = found.attempt(default_state)
        found.values["state"] = state
    if found.errors:
        raise ConfigError(*found.errors)
    found.warnings += state_in_reach(found.specs, found.values["options"], found.values["state"])
    return Settings(exports=tuple(found.specs), warnings=tuple(found.warnings), **found.values)


def _read(found: Gathered, path: Path) -> list[Entry]:
    """The entries of a file, or of a directory's files in the order of their names."""
    paths = [path]
    if os.path.isdir(path):  # where Path.is_dir raises PermissionError
        try:
            paths = sorted(p for p in path.iterdir() if _counts(p))
        except OSError as exc:
            found.errors.append(f"{path}: {exc.strerror}")
            return []
    entries: list[Entry] = []
    for file in paths:
        text = found.attempt(read_text, file)
        if text is not None:
            entries += found.entries(parse(text, str(file)))
    return entries


def _counts(path: Path) -> bool:
    return path.name.endswith(SUFFIX) and not path.name.startswith(".") and not os.path.isdir(path)


def _add(found: Gathered, entries: list[Entry]) -> None:
    """Make exports of entries."""
    for entry in found.entries(merge(entries)):
        spec = found.attempt(ExportSpec.of_entry, entry)
        if spec is not None:
            found.specs.append(spec)
        for client in entry.clients:
            if client.host.kind is Kind.NETGROUP and not netgroups_exist():
                found.errors.append(f"{client.where}: this system knows no netgroups")
        syncs = {client.options.sync for client in entry.clients}
        if len(syncs) > 1:
            text = f"{entry.where}: warning: {entry.path} is sync for all, as it is for one"
            found.warnings.append(text)
    found.errors += check_specs(found.specs)


# nfsloop.toml

_Check = Callable[[Any], Any]


def _a(kind: type, name: str) -> _Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"takes {name}, not {_show(value)}")
        return value

    return check


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not 0 < value < float("inf"):
        raise ValueError(f"takes a number above 0, not {_show(value)}")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value <= 0:
        raise ValueError(f"takes a whole number above 0, not {_show(value)}")
    return value


def _port(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 65535:
        raise ValueError(f"takes a port up to 65535, not {_show(value)}")
    return value


def _one_of(*choices: str) -> _Check:
    def check(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"takes one of {', '.join(choices)}, not {_show(value)}")
        return value

    return check


def _clients(value: Any) -> list[str]:
    texts = _texts(value)
    if not texts or any(not text.strip() or "#" in text for text in texts):
        raise ValueError(f"takes clients (everybody is '*'), not {_show(value)}")
    return texts


def _storage(value: Any) -> str:
    """A storage, or a table of them by the names that they have under one tree."""
    if type(value) is not dict:
        return str(_TEXT(value))
    if not value or not all(type(part) is str for part in value.values()):
        raise ValueError(f"takes a text, or a table of texts, not {_show(value)}")
    return "demux:" + ";".join(
        f"{escaped(name)}={part.replace(';', '%3B')}" for name, part in value.items()
    )


def _words(value: Any) -> str:
    text = str(_TEXT(value))
    if any(character.isspace() or character in '#"\\' for character in text):
        raise ValueError(f"takes words with commas between them, not {_show(value)}")
    return text


def _texts(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if type(values) is not list or not all(type(text) is str for text in values):
        raise ValueError(f"takes a text or a list of texts, not {_show(value)}")
    return values


def _show(value: Any) -> str:
    return f"{value!r:.60}"


def _bare_host(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def _ring_bytes(value: Any) -> int:
    least = 2 * RING_SEGMENT_BYTES
    if _count(value) < least:
        raise ValueError(f"takes {least} or more, not {_show(value)}")
    return int(value)


_BOOL = _a(bool, "true or false")
_TEXT = _a(str, "a text")
_SETTINGS: dict[str, _Check] = {
    "host": lambda value: _bare_host(_TEXT(value)) or None,
    "port": _port,
    "rpcbind": _one_of(*RPCBIND_MODES),
    "udp": _BOOL,
    "state": _TEXT,
    "log_level": _one_of(*logs.LEVELS),
    "log_format": _one_of(*logs.FORMATS),
    "loop": _one_of(*loop.LOOPS),
    "exports": _texts,
    "layers": lambda value: tuple(_texts(value)),
    "workers": count_workers,
    "metrics": address,
    "trace": trace_level,
    "stop_seconds": _number,
    "limits": _a(dict, "a table"),
    "drc": _a(dict, "a table"),
    "export": _a(list, "tables, as in [[export]]"),
}
_DRC: dict[str, _Check] = {
    "enabled": _BOOL,
    "bytes": _ring_bytes,
    "entries": _count,
    "retention_seconds": _number,
}
_LIMITS: dict[str, _Check] = {
    limit.name: _count if isinstance(limit.default, int) else _number
    for limit in fields(ServerLimits)
}
_EXPORT: dict[str, _Check] = {
    "path": _TEXT,
    "storage": _storage,
    "wraps": _texts,
    "clients": _clients,
    "options": _words,
}


class _Toml:
    """nfsloop.toml: `files` and `entries` are the exports that it names."""

    def __init__(self, found: Gathered, path: Path) -> None:
        self.files: list[Path] = []
        self.entries: list[Entry] = []
        self._found = found
        self._path = path
        self._text = ""

    def read(self) -> None:
        """Read it; the settings go into what is gathered."""
        found = self._found
        text = found.attempt(read_text, self._path)
        if text is None:
            return
        self._text = text
        if any("\udc80" <= char <= "\udcff" for char in text):
            found.errors.append(f"{self._path}: not UTF-8, as TOML is")
            return
        import tomllib  # for those who have such a file

        try:
            top = tomllib.loads(text)
        except (ValueError, RecursionError) as exc:  # also of a number of thousands of digits
            found.errors.append(f"{self._place(str(exc))}: {exc}")
            return
        values = self._table(top, _SETTINGS, "")
        here = self._path.parent
        self.files = [here / name for name in values.pop("exports", [])]
        for number, table in enumerate(values.pop("export", [])):
            self._export(table, number)
        limits = self._table(values.pop("limits", {}), _LIMITS, "limits")
        drc = self._table(values.pop("drc", {}), _DRC, "drc")
        if "state" in values:
            values["state"] = here / values["state"]
        found.values.update(values, limits=ServerLimits(**limits), drc=DrcSettings(**drc))

    def _table(
        self, table: Mapping[str, Any], checks: Mapping[str, _Check], name: str, number: int = 0
    ) -> dict[str, Any]:
        """The values of a table that are right; the others are noted."""
        values: dict[str, Any] = {}
        for key, value in table.items():
            where = self._where(name, key, number)
            dotted = f"{name}.{key}" if name else key
            if key not in checks:
                known = ", ".join(checks)
                self._found.errors.append(f"{where}: unknown key {dotted}; there are {known}")
                continue
            try:
                values[key] = checks[key](value)
            except ValueError as exc:
                self._found.errors.append(f"{where}: {dotted} {exc}")
        return values

    def _export(self, table: Any, number: int) -> None:
        """One [[export]]: its clients are written as in exports(5)."""
        where = self._where("export", "path", number)
        if type(table) is not dict:
            self._found.errors.append(f"{where}: export takes tables, as in [[export]]")
            return
        values = self._table(table, _EXPORT, "export", number)
        path = values.get("path", "")
        if not path.startswith("/"):
            if "path" not in table or "path" in values:
                self._found.errors.append(f"{where}: an export takes a path that starts with /")
            return
        try:
            path = check_path(path)
        except ValueError as exc:
            self._found.errors.append(f"{where}: {exc}")
        words = [f"-{values['options']}"] if values.get("options") else []
        words += values.get("clients", [])
        at = self._where("export", "clients", number)
        (entry,) = self._found.entries(parse_clients(" ".join(words), at))
        if "storage" in values or "wraps" in values:
            storage = "|".join([*values.get("wraps", []), values.get("storage", path)])
            entry = replace(entry, storage=storage)
        self.entries.append(replace(entry, path=path, where=where))

    def _place(self, message: str) -> str:
        line = re.search(r"at line (\d+), column (\d+)", message)
        return ":".join([str(self._path), *(line.groups() if line else ())])

    def _where(self, table: str, key: str, number: int = 0) -> Where:
        """Where a key stands, as far as a look at the lines can tell."""
        return Where(str(self._path), line_of(self._text, table, key, number))


_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\s\"'-]*?)\s*\]\]?\s*(?:#.*)?\Z")


def line_of(text: str, table: str, key: str, number: int = 0) -> int:
    """The line of `key` in the `number`-th table called `table`; that of the table, or 0, if the
    key is not at the start of a line."""
    best, current, seen = 0, "", -1
    wanted = re.compile(rf"\s*(['\"]?){re.escape(key)}\1\s*[.=]")
    for index, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header is not None:
            current = header[1].strip(" \"'")
            seen += current == table
            if (current == table and seen == number) or (not table and current == key):
                best = best or index
        elif current == table and (not table or seen == number) and wanted.match(line):
            return index
    return best
