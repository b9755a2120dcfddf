"""Objects made from text: ``NAME:REST?option=value&…``, where a constructor's parameters are the
options and their annotations say what may be given.

So whatever takes keyword arguments can be named in a configuration: backends, wraps, layers.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import math
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union
from urllib.parse import unquote_to_bytes

_TRUE = frozenset({"true", "yes", "on", "1", ""})
_FALSE = frozenset({"false", "no", "off", "0"})
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

#: A parameter of these names is not for the one who writes the text.
HIDDEN = frozenset({"self", "state", "sync"})


class ConstructError(ValueError):
    """Text that nothing can be made from; says why in one line."""


@dataclass(frozen=True, slots=True)
class Named:
    """``name:rest?options``, taken apart."""

    name: str
    rest: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> Named:
        """From text whose percent escapes stand for bytes; `name`, if that is known already."""
        head, mark, tail = text.partition("?")
        if name is None:
            name, _, head = head.partition(":")
        options = tuple(_option(word) for word in tail.split("&") if word) if mark else ()
        return cls(name, unquoted(head), options)


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return unquoted(name), unquoted(value)


def unquoted(text: str) -> str:
    """Text whose percent escapes stand for bytes."""
    return os.fsdecode(unquote_to_bytes(os.fsencode(text))) if "%" in text else text


def is_target(text: str) -> bool:
    """Whether text has the form ``package.module:Name``."""
    return _TARGET.fullmatch(text) is not None


def look_here() -> None:
    """Have modules found in the current directory too, after all other places.

    For the one who names a module there on the command line, and for nobody else: a file of
    settings must not have the code of whatever directory the server is started in run.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def load(target: str) -> Any:
    """What ``package.module:Name`` names. Raises ConstructError where there is nothing."""
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name and (module_name + ".").startswith(exc.name + "."):
            raise ConstructError(f"there is no module {exc.name}") from None
        raise ConstructError(f"module {module_name}: {exc}") from exc
    except ImportError as exc:
        raise ConstructError(f"module {module_name}: {exc}") from exc
    except Exception as exc:  # it is somebody else's code
        raise ConstructError(f"module {module_name}: {type(exc).__name__}: {exc}") from exc
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConstructError(f"module {module_name} has no {name}") from None


@dataclass(frozen=True, slots=True)
class Option:
    """A parameter that can be given as text."""

    name: str
    annotation: Any
    default: Any
    required: bool

    def __str__(self) -> str:
        if self.required:
            return f"{self.name}={_describe(self.annotation)}"
        octal = _is_mode(self.name) and type(self.default) is int
        return f"{self.name}={oct(self.default) if octal else _show(self.default)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a constructor can be told in text."""

    #: The parameter that stands before the options, if there is one.
    first: Option | None
    options: Mapping[str, Option]
    #: What it must be given, and no text can say.
    other: tuple[str, ...]
    #: Whether it takes options by any name.
    open: bool
    #: Whether it wants a directory to keep things in, as `state`.
    state: bool


@cache
def signature(maker: Callable[..., Any], skip: int = 0) -> Signature:
    """The signature of a class or function, without its first `skip` parameters."""
    if not callable(maker):
        raise ConstructError(
            f"a {type(maker).__name__} makes no backend: a class does, or a function"
        )
    hints = _hints(maker)
    parameters = list(inspect.signature(maker).parameters.values())[skip:]
    options: dict[str, Option] = {}
    other: list[str] = []
    first: Option | None = None
    for at, parameter in enumerate(parameters):
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            continue
        required = parameter.default is parameter.empty
        annotation = hints.get(parameter.name, str)
        if parameter.name in HIDDEN:
            continue
        if _converter(annotation, parameter.name) is None:
            if required:
                other.append(parameter.name)
            continue
        option = Option(parameter.name, annotation, parameter.default, required)
        if at == 0 and parameter.kind is not parameter.KEYWORD_ONLY:
            first = option
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            options[parameter.name] = option
    kinds = {parameter.kind for parameter in parameters}
    names = {parameter.name for parameter in parameters}
    open = inspect.Parameter.VAR_KEYWORD in kinds
    return Signature(first, options, tuple(other), open, "state" in names)


def _hints(maker: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be evaluated; a name that exists for type checkers alone cannot."""
    where: Any = maker.__init__ if isinstance(maker, type) else maker  # type: ignore[misc]
    found: dict[str, Any] = {}
    for name, annotation in getattr(where, "__annotations__", {}).items():
        one = types.FunctionType((lambda: None).__code__, getattr(where, "__globals__", {}))
        one.__annotations__ = {name: annotation}
        try:
            found.update(typing.get_type_hints(one))
        except Exception:
            found[name] = object
    return found


def arguments(maker: Callable[..., Any], named: Named, skip: int = 0) -> dict[str, Any]:
    """The keyword arguments that `named` stands for. Raises ConstructError."""
    known = signature(maker, skip)
    if known.other:
        raise ConstructError(f"its {known.other[0]} cannot be given as text")
    given: dict[str, Any] = {}
    if named.rest:
        if known.first is None:
            raise ConstructError(f"nothing may stand behind {named.name}: but options")
        given[known.first.name] = convert(known.first, named.rest)
    for name, text in named.options:
        if name in given:
            raise ConstructError(f"{name} is given twice")
        option = known.options.get(name)
        if option is not None:
            given[name] = convert(option, text)
        elif known.open and name not in HIDDEN:
            given[name] = text
        else:
            there = ", ".join(map(str, known.options.values()))
            have = f"there are {there}" if there else "there are none"
            raise ConstructError(f"no option is called {name!r}; {have}")
    missing = [o.name for o in known.options.values() if o.required and o.name not in given]
    if known.first is not None and known.first.name in missing:
        what = _describe(known.first.annotation)
        raise ConstructError(
            f"{named.name}: needs its {known.first.name} ({what}) behind the colon"
        )
    if missing:
        raise ConstructError(f"{named.name}: needs {' and '.join(missing)}")
    return given


def convert(option: Option, text: str) -> Any:
    """The value that text stands for. Raises ConstructError."""
    converter = _converter(option.annotation, option.name)
    assert converter is not None
    try:
        return converter(text)
    except (ValueError, KeyError):
        mode = option.annotation is int and _is_mode(option.name)
        what = "an octal number" if mode else _describe(option.annotation)
        raise ConstructError(f"{option.name} takes {what}, not {text!r}") from None


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _int(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    return int(match[1]) * _UNITS[match[2].upper()] if match else int(text, 0)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _mode(text: str) -> int:
    return int(text.removeprefix("0o"), 8)


def _is_mode(name: str) -> bool:
    """Whether a parameter is for permission bits, which people write in octal."""
    return name == "mode" or name.endswith("_mode")


def _path(text: str) -> Path:
    if not text:
        raise ValueError(text)
    return Path(text).expanduser().absolute()


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    bytes: os.fsencode,
    int: _int,
    float: _float,
    bool: _bool,
    Path: _path,
}

_DESCRIBED = {
    str: "text",
    bytes: "text",
    int: "a whole number (or such as 64K, 1G)",
    float: "a number",
    bool: "true or false",
    Path: "a path",
}


def _converter(annotation: Any, name: str) -> Callable[[str], Any] | None:
    """How text becomes a value of that type; None where it cannot."""
    if annotation is int and _is_mode(name):
        return _mode
    if annotation in _CONVERTERS:
        return _CONVERTERS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return lambda text: annotation[text.upper()]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return lambda text: {str(part): part for part in parts}[text]
    if origin in {Union, types.UnionType}:
        return _first([_converter(part, name) for part in parts if part is not type(None)])
    return None


def _first(converters: list[Callable[[str], Any] | None]) -> Callable[[str], Any] | None:
    """The first that takes the text: of a union, the more exact types before str."""
    found = [converter for converter in converters if converter is not None]
    if not found:
        return None
    found.sort(key=lambda converter: converter is str)

    def either(text: str) -> Any:
        for converter in found[:-1]:
            try:
                return converter(text)
            except (ValueError, KeyError):
                pass
        return found[-1](text)

    return either


def _describe(annotation: Any) -> str:
    if annotation in _DESCRIBED:
        return _DESCRIBED[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(member.name.lower() for member in annotation)
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, parts))
    return " or ".join(_describe(part) for part in parts) or "text"


def _show(default: Any) -> str:
    if default is None:
        return ""
    if type(default) is int and default >= 1 << 10 and default % (1 << 10) == 0:
        unit = max((u for u in _UNITS.values() if default % u == 0), default=1)
        return f"{default // unit}{next(name for name, u in _UNITS.items() if u == unit)}"
    return str(default).lower() if isinstance(default, bool) else str(default)
