"""Which calls somebody wants to be told of: client, export, program, procedure, level."""

from __future__ import annotations

import difflib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nfsloop.config import trace_level
from nfsloop.errors import ConfigError
from nfsloop.export import Exports, normal
from nfsloop.hosts import HostPattern, Network
from nfsloop.watching.telling import CALLS, PROGRAMS, path
from oncrpc.program import Program

#: Program, version and procedure, as they are in a call's header.
WORDS = struct.Struct(">3I")


@dataclass(frozen=True, slots=True)
class Filter:
    """The calls that are wanted; empty fields want all. `exports` are paths; `procedures` are
    program, version and procedure as they are on the wire; of `programs` (their numbers) those
    calls are wanted too that are for none of their procedures."""

    level: int = CALLS
    networks: tuple[Network, ...] = ()
    exports: tuple[str, ...] = ()
    procedures: frozenset[bytes] = frozenset()
    programs: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, request: Mapping[str, Any], exports: Exports | None) -> Filter:
        """From a request: `level`, and lists of texts: `clients`, `exports`, `procedures`,
        `programs`. Raises ConfigError for what is not there. Where `exports` is None somebody has
        looked already whether the paths are exported."""
        problems: list[str] = []

        def each(key: str, read: Callable[[str], Any]) -> list[Any]:
            given = request.get(key)
            if given is None:
                given = ()
            found = []
            for text in given if isinstance(given, (list, tuple)) else (given,):
                try:
                    if text == "":  # a variable of a script that is not set does not mean all
                        raise ValueError(f"--{key[:-1]}: it is empty; leave it out to mean all")
                    found.append(read(str(text)))
                except ValueError as exc:
                    problems.append(str(exc))
            return found

        try:
            level = trace_level(request.get("level", CALLS))
            if not level:
                raise ValueError("takes a level from 1 to 9, not 0")
        except ValueError as exc:
            problems.append(f"--level {exc}")
            level = CALLS
        networks = each("clients", _network)
        paths = each("exports", lambda text: _export(text, exports))
        programs = sum(each("programs", _program), ()) or sum(PROGRAMS.values(), ())
        names = each("procedures", lambda text: _procedure(text, programs))
        whole = {p.number for p in programs} if request.get("programs") and not names else set()
        words = {
            WORDS.pack(program.number, program.version, proc.number)
            for program in programs
            for proc in program.procs.values()
            if not names or proc.name in names
        }
        if problems:
            raise ConfigError(*problems)
        return cls(
            level,
            tuple(networks),
            tuple(paths),
            frozenset(words if whole or names else ()),
            frozenset(whole),
        )


def _network(text: str) -> Network:
    """As in exports(5); of a link-local address, the interface is of no account."""
    try:
        network = HostPattern.parse(text.partition("%")[0]).network
        if network is not None:  # no name
            return network
    except ValueError:
        pass
    raise ValueError(f"--client: {text!r} is no address or network")


def _export(text: str, exports: Exports | None) -> str:
    if exports is None or any(export.path == normal(text) for export in exports):
        return normal(text)
    there = ", ".join(path(export.path) for export in exports)
    raise ValueError(f"--export: {text!r} is not exported; there is {there}")


def _program(text: str) -> tuple[Program, ...]:
    if text.lower() not in PROGRAMS:
        raise ValueError(f"--program: {text!r} is none of {', '.join(PROGRAMS)}")
    return PROGRAMS[text.lower()]


def _procedure(text: str, programs: Sequence[Program]) -> str:
    there = {proc.name: None for program in programs for proc in program.procs.values()}
    if text.upper() in there:
        return text.upper()
    close = difflib.get_close_matches(text.upper(), there, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there is {', '.join(there)}"
    raise ValueError(f"--procedure: no program has {text!r}; {hint}")
