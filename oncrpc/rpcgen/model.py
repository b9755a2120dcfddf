"""The tree of a .x file, as the parser leaves it and the checks complete it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

#: Words that RFC 4506 section 6.4 and RFC 5531 section 12.2 reserve.
KEYWORDS = frozenset(
    {
        "bool",
        "case",
        "const",
        "default",
        "double",
        "quadruple",
        "enum",
        "float",
        "hyper",
        "int",
        "opaque",
        "string",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "program",
        "version",
    }
)

#: The two values of `bool`, which RFC 4506 section 4.4 declares as an enumeration.
BOOL_VALUES = {"FALSE": 0, "TRUE": 1}

UINT_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Pos:
    """Line and column, both from 1."""

    line: int
    column: int


class RpcgenError(Exception):
    """A .x file that is not right; its text is ``FILE:LINE:COLUMN: what was expected``."""

    def __init__(self, filename: str, pos: Pos, message: str) -> None:
        super().__init__(f"{filename}:{pos.line}:{pos.column}: {message}")
        self.filename = filename
        self.pos = pos
        self.message = message


@contextmanager
def not_too_deep(filename: str) -> Iterator[None]:
    """Around what walks the types: RecursionError, which no file of good will causes, becomes
    RpcgenError."""
    try:
        yield
    except RecursionError:
        raise RpcgenError(filename, Pos(1, 1), "its types lie too deep in one another") from None


@dataclass(slots=True)
class Value:
    """A constant or the name of one; `number` is what it comes to, once the checks have run."""

    text: str
    pos: Pos
    number: int | None = None

    @property
    def is_name(self) -> bool:
        """Whether this names a constant."""
        return self.text[0].isalpha()

    def __int__(self) -> int:
        assert self.number is not None, "the checks have not run"
        return self.number


@dataclass(slots=True)
class Prim:
    """A number or a truth value: int, unsigned, hyper, unsigned hyper, float, double, bool."""

    kind: str


@dataclass(slots=True)
class Void:
    """No data (RFC 4506 section 4.16)."""


@dataclass(slots=True)
class Opaque:
    """Opaque data, fixed or variable (RFC 4506 sections 4.9 and 4.10); `bound` None is ``<>``."""

    bound: Value | None
    fixed: bool


@dataclass(slots=True)
class String:
    """A string (RFC 4506 section 4.11): bytes, for XDR gives them no character set."""

    bound: Value | None


@dataclass(slots=True)
class Array:
    """An array, fixed or variable (RFC 4506 sections 4.12 and 4.13)."""

    item: Type
    bound: Value | None
    fixed: bool


@dataclass(slots=True)
class Option:
    """Optional data, ``T *name`` (RFC 4506 section 4.19)."""

    item: Type


@dataclass(slots=True)
class Ref:
    """A type by its name; `kind` is the keyword of a C-like ``struct NAME``, or empty."""

    name: str
    pos: Pos
    kind: str = ""


@dataclass(slots=True)
class Field:
    """One declaration: a name and its type."""

    name: str
    type: Type
    pos: Pos


@dataclass(slots=True)
class Member:
    """One identifier of an enumeration."""

    name: str
    value: Value
    pos: Pos


@dataclass(slots=True)
class Enum:
    """An enumeration (RFC 4506 section 4.3)."""

    members: list[Member]


@dataclass(slots=True)
class Struct:
    """A structure (RFC 4506 section 4.14); its void declarations are dropped."""

    fields: list[Field]


@dataclass(slots=True)
class Arm:
    """One arm of a union: its cases (none for the default arm) and its data (None for void)."""

    cases: list[Value]
    data: Field | None
    pos: Pos


@dataclass(slots=True)
class Union:
    """A discriminated union (RFC 4506 section 4.15)."""

    discriminant: Field
    arms: list[Arm]
    default: Arm | None


Type: TypeAlias = Prim | Void | Opaque | String | Array | Option | Ref | Enum | Struct | Union


@dataclass(slots=True)
class Const:
    """``const NAME = VALUE;`` (RFC 4506 section 4.17)."""

    name: str
    value: Value
    pos: Pos


@dataclass(slots=True)
class TypeDef:
    """A named type, whether by ``typedef`` or by ``enum``/``struct``/``union NAME``."""

    name: str
    type: Type
    pos: Pos


@dataclass(slots=True)
class ProcDef:
    """One procedure (RFC 5531 section 12.1); `args` is empty for void."""

    name: str
    number: Value
    args: list[Type]
    result: Type
    pos: Pos


@dataclass(slots=True)
class VersionDef:
    """One version of a program."""

    name: str
    number: Value
    procs: list[ProcDef]
    pos: Pos


@dataclass(slots=True)
class ProgramDef:
    """A program and its versions."""

    name: str
    number: Value
    versions: list[VersionDef]
    pos: Pos


Definition: TypeAlias = Const | TypeDef | ProgramDef


@dataclass(slots=True)
class Spec:
    """One .x file."""

    filename: str
    definitions: list[Definition] = field(default_factory=list)
    #: The fewest bytes of each named type's encoding; `checks` measures it.
    least: dict[str, int] = field(default_factory=dict)

    @property
    def consts(self) -> list[Const]:
        """The constants, in the file's order."""
        return [d for d in self.definitions if isinstance(d, Const)]

    @property
    def types(self) -> dict[str, TypeDef]:
        """The named types, in the file's order."""
        return {d.name: d for d in self.definitions if isinstance(d, TypeDef)}

    @property
    def programs(self) -> list[ProgramDef]:
        """The programs, in the file's order."""
        return [d for d in self.definitions if isinstance(d, ProgramDef)]


def children(type_: Type) -> list[Type]:
    """The types that `type_` is made of, directly."""
    if isinstance(type_, (Array, Option)):
        return [type_.item]
    if isinstance(type_, Struct):
        return [f.type for f in type_.fields]
    if isinstance(type_, Union):
        return [type_.discriminant.type, *(f.type for f in arm_fields(type_))]
    return []


def arm_fields(union: Union) -> list[Field]:
    """The data of every arm that is not void, the default arm's last."""
    arms = [*union.arms, *([union.default] if union.default else [])]
    return [arm.data for arm in arms if arm.data is not None]


def replace_children(type_: Type, change: Callable[[Type, str], Type]) -> None:
    """Put ``change(child, name)`` in the place of each direct child of `type_`."""
    if isinstance(type_, (Array, Option)):
        type_.item = change(type_.item, "")
    elif isinstance(type_, Struct):
        for f in type_.fields:
            f.type = change(f.type, f.name)
    elif isinstance(type_, Union):
        for f in (type_.discriminant, *arm_fields(type_)):
            f.type = change(f.type, f.name)
