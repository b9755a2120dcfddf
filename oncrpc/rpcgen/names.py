"""What XDR identifiers are called in Python, in generated modules and in `dynamic` ones alike.

An identifier that Python, or the generated module itself, needs for something else gets a trailing
underscore. XDR identifiers begin with a letter, so every name with a leading underscore is free for
the generator.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence

#: What a generated module's code uses by its plain name.
_MODULE = frozenset(
    {
        "Any",
        "Buffer",
        "Caller",
        "ClassVar",
        "IntEnum",
        "Proc",
        "Program",
        "Put",
        "Service",
        "Struct",
        "TypeAlias",
        "annotations",
        "args",
        "bool",
        "buf",
        "bytes",
        "call",
        "cast",
        "dataclass",
        "dict",
        "float",
        "int",
        "isinstance",
        "len",
        "list",
        "pos",
        "property",
        "put",
        "range",
        "result",
        "self",
        "timeout",
        "tuple",
        "value",
    }
)

#: What an IntEnum's members must not hide.
_ENUM = frozenset(dir(int)) | {"is_integer", "mro", "name", "value"}

#: What a generated client or service has beside its procedures.
_SERVICE = frozenset({"PROGRAM"})


def _safe(name: str, taken: Iterable[str]) -> str:
    return f"{name}_" if keyword.iskeyword(name) or name in taken else name


def module_name(name: str) -> str:
    """A constant, a type or a program, at the module's level."""
    return _safe(name, _MODULE)


def member_name(name: str) -> str:
    """An enumeration's member, inside its class."""
    return _safe(name, _ENUM)


def field_name(name: str, annotations: Iterable[str]) -> str:
    """A struct's field; `annotations` are the names that the class's own annotations use."""
    return _safe(name, annotations)


def proc_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Procedure names without what all of a version share, up to the last underscore.

    ``NFSPROC3_NULL, NFSPROC3_READ`` give ``NULL, READ``. `taken` are names that a class of methods
    cannot reuse because its annotations need them.
    """
    low, high = min(names), max(names)
    same = 0
    while same < len(low) and low[same] == high[same]:
        same += 1
    cut = low.rfind("_", 0, same) + 1
    short = [name[cut:] for name in names]
    if not all(name[:1].isalpha() for name in short):
        short = list(names)
    reserved = _SERVICE.union(taken)
    return [_safe(name, reserved) for name in short]
