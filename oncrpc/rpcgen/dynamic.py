"""A .x file at run time, with no generated code: types, codecs through xdrlib3, program tables.

What `load` gives has the names, the fields and the values of the generated module, and its codecs
follow the same conventions (`oncrpc.xdr`), so that a program can be served and called from its .x
file alone. It shares the front end with the emitters and none of their code: xdrlib3 and the plain
reading of RFC 4506 here are what generated codecs are tested against.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xdrlib3

from oncrpc.errors import XdrError
from oncrpc.program import Proc, Program
from oncrpc.rpcgen import names
from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.emit_types import arm_table
from oncrpc.rpcgen.layout import Chain, Layout
from oncrpc.rpcgen.model import (
    UINT_MAX,
    Arm,
    Array,
    Enum,
    Opaque,
    Option,
    Pos,
    Prim,
    ProcDef,
    ProgramDef,
    Ref,
    String,
    Struct,
    Type,
    Union,
    VersionDef,
    Void,
    not_too_deep,
)
from oncrpc.rpcgen.parser import parse
from oncrpc.xdr import Buffer, Decoder, Encoder, Put
from oncrpc.xdr import decode as decode_all
from oncrpc.xdr import encode as encode_all


@dataclass(frozen=True, slots=True)
class _Codec:
    pack: Callable[[xdrlib3.Packer, Any], None]
    unpack: Callable[[xdrlib3.Unpacker], Any]


_INTS: dict[str, tuple[str, int, int]] = {
    "int": ("int", -(2**31), 2**31 - 1),
    "unsigned": ("uint", 0, UINT_MAX),
    "hyper": ("hyper", -(2**63), 2**63 - 1),
    "unsigned hyper": ("uhyper", 0, 2**64 - 1),
}


class Module:
    """A loaded .x file. Constants, types and programs are attributes, as in a generated module."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._codecs: dict[str, _Codec] = {}
        self.constants: dict[str, int] = {}
        self.types: dict[str, Any] = {}
        self.programs: dict[str, Program] = {}
        spec = layout.spec
        for const in spec.consts:
            self.constants[names.module_name(const.name)] = int(const.value)
        for program in spec.programs:
            self.constants[names.module_name(program.name)] = int(program.number)
        for name, definition in layout.types.items():
            self._define(name, definition.type)
        for program in spec.programs:
            for version in program.versions:
                self.programs[names.module_name(version.name)] = self._program(program, version)

    def __getattr__(self, name: str) -> Any:
        for table in (self.constants, self.types, self.programs):
            if name in table:
                return table[name]
        raise AttributeError(name)

    # -- for users

    def decoder(self, type_name: str) -> Decoder[Any]:
        """The decoder of a type of the file, by its XDR name. Raises KeyError for no type."""
        return _decoder(self._named(type_name))

    def encoder(self, type_name: str) -> Encoder[Any]:
        """The encoder of a type of the file, by its XDR name. Raises KeyError for no type."""
        return _encoder(self._named(type_name))

    def decode(self, type_name: str, data: Buffer) -> Any:
        """Decode all of `data`. Raises XdrError."""
        return decode_all(self.decoder(type_name), data)

    def encode(self, type_name: str, value: Any) -> bytes:
        """Encode `value`, of this module's classes or of others like them. Raises XdrError."""
        return encode_all(self.encoder(type_name), value)

    # -- types

    def _define(self, name: str, type_: Type) -> None:
        cls = names.module_name(name)
        if isinstance(type_, Enum):
            members = {names.member_name(m.name): int(m.value) for m in type_.members}
            made = enum.IntEnum(cls, members)  # type: ignore[misc]
            self.types[cls] = made
            for member in type_.members:
                value = made[names.member_name(member.name)]
                self.constants[names.module_name(member.name)] = value
        elif isinstance(type_, Struct):
            fields = [(f, self._layout.annotation(t)) for f, t in self._layout.fields(name)]
            self.types[cls] = dataclasses.make_dataclass(cls, fields, slots=True)
        elif isinstance(type_, Union) and self._layout.optional_arm(type_) is None:
            self.types[cls] = self._union_class(cls, type_)

    def _union_class(self, cls: str, union: Union) -> Any:
        disc = self._layout.discriminant(union)
        namespace: dict[str, Any] = {"__arms__": arm_table(union)}
        cases = {int(case) for arm in union.arms for case in arm.cases}
        for arm in self._layout.arms(union):
            if arm.data is not None and self._layout.arm_name(union, arm.data) != "value":
                prop = _arm_property(disc, arm, cases)
                namespace[self._layout.arm_name(union, arm.data)] = prop
        return dataclasses.make_dataclass(
            cls,
            [(disc, Any), ("value", Any, dataclasses.field(default=None))],
            namespace=namespace,
            slots=True,
        )

    # -- codecs

    def _named(self, name: str) -> _Codec:
        if name not in self._codecs:
            if name not in self._layout.types:
                raise KeyError(name)
            self._codecs[name] = self._codec(Ref(name, Pos(0, 0)))
        return self._codecs[name]

    def _codec(self, type_: Type) -> _Codec:
        shape = self._layout.shape(type_)
        if isinstance(shape, Ref):
            body = self._layout.types[shape.name].type
            # A type may contain itself: what it is made of is looked up when it is needed.
            if isinstance(body, Enum):
                return _enum(shape.name, self.types[names.module_name(shape.name)])
            if isinstance(body, Struct):
                return self._struct(shape.name)
            assert isinstance(body, Union)
            return self._union(shape.name, body)
        return _MAKERS[type(shape)](self, shape)

    def _later(self, type_: Type) -> _Codec:
        """The codec of `type_`, made when it is first used."""
        made: list[_Codec] = []

        def codec() -> _Codec:
            if not made:
                if isinstance(type_, Ref):
                    made.append(self._named(type_.name))
                else:
                    made.append(self._codec(type_))
            return made[0]

        return _Codec(lambda p, v: codec().pack(p, v), lambda u: codec().unpack(u))

    def _struct(self, name: str) -> _Codec:
        cls = self.types[names.module_name(name)]
        fields = [(field, self._later(t)) for field, t in self._layout.fields(name)]

        def pack(packer: xdrlib3.Packer, value: Any) -> None:
            for field, codec in fields:
                codec.pack(packer, getattr(value, field))

        def unpack(unpacker: xdrlib3.Unpacker) -> Any:
            return cls(*[codec.unpack(unpacker) for _, codec in fields])

        return _Codec(pack, unpack)

    def _union(self, name: str, union: Union) -> _Codec:
        cls = self.types[names.module_name(name)]
        discriminant = self._later(union.discriminant.type)
        disc = self._layout.discriminant(union)
        arms: dict[int, _Codec] = {}
        for arm in union.arms:
            codec = self._arm(arm)
            arms |= {int(case): codec for case in arm.cases}
        default = None if union.default is None else self._arm(union.default)

        def select(number: Any) -> _Codec:
            codec = arms.get(number, default)
            if codec is None:
                raise XdrError(f"{name}: {number!r} selects no arm")
            return codec

        def pack(packer: xdrlib3.Packer, value: Any) -> None:
            number = getattr(value, disc)
            codec = select(number)
            discriminant.pack(packer, number)
            codec.pack(packer, value.value)

        def unpack(unpacker: xdrlib3.Unpacker) -> Any:
            number = discriminant.unpack(unpacker)
            return cls(number, select(number).unpack(unpacker))

        return _Codec(pack, unpack)

    def _arm(self, arm: Arm) -> _Codec:
        return _void(self, Void()) if arm.data is None else self._later(arm.data.type)

    # -- programs

    def _program(self, program: ProgramDef, version: VersionDef) -> Program:
        procs = {}
        for name, proc in zip(self._layout.proc_names(version), version.procs, strict=True):
            args = self._args(proc)
            result = self._later(proc.result)
            procs[int(proc.number)] = Proc(
                int(proc.number),
                name,
                _decoder(args),
                _encoder(args),
                _decoder(result),
                _encoder(result),
            )
        return Program(program.name, int(program.number), int(version.number), procs)

    def _args(self, proc: ProcDef) -> _Codec:
        if len(proc.args) < 2:
            return self._later(proc.args[0] if proc.args else Void())
        codecs = [self._later(arg) for arg in proc.args]

        def pack(packer: xdrlib3.Packer, value: Any) -> None:
            _expect(len(value) == len(codecs), f"{proc.name}: {len(codecs)} arguments expected")
            for codec, item in zip(codecs, value, strict=True):
                codec.pack(packer, item)

        return _Codec(pack, lambda unpacker: tuple(c.unpack(unpacker) for c in codecs))


def load(source: str | Path) -> Module:
    """Load a .x file: a path, or the text itself if it is a `str` of more than one line.

    Raises RpcgenError for what is no .x file, and OSError.
    """
    if isinstance(source, str) and ("\n" in source or not source.endswith(".x")):
        spec = check(parse(source))
    else:
        spec = check(parse(Path(source).read_text("utf-8"), str(source)))
    with not_too_deep(spec.filename):
        return Module(Layout(spec))


# -- the codecs of what has no name


def _expect(condition: object, message: str) -> None:
    if not condition:
        raise XdrError(message)


def _prim(module: Module, prim: Prim) -> _Codec:
    if prim.kind == "bool":
        return _Codec(lambda p, v: p.pack_bool(bool(v)), _unpack_bool)
    if prim.kind in ("float", "double"):
        kind = prim.kind
        return _Codec(
            lambda p, v: getattr(p, f"pack_{kind}")(v), lambda u: getattr(u, f"unpack_{kind}")()
        )
    kind, low, high = _INTS[prim.kind]

    def pack(packer: xdrlib3.Packer, value: Any) -> None:
        # xdrlib3 masks hypers instead of refusing what is out of range.
        _expect(isinstance(value, int) and low <= value <= high, f"{value!r} is no {prim.kind}")
        getattr(packer, f"pack_{kind}")(int(value))

    return _Codec(pack, lambda unpacker: getattr(unpacker, f"unpack_{kind}")())


def _unpack_bool(unpacker: xdrlib3.Unpacker) -> bool:
    number = unpacker.unpack_uint()
    _expect(number in (0, 1), f"bool: {number} is none of its values")
    return number == 1


def _void(module: Module, void: Void) -> _Codec:
    return _Codec(lambda p, v: _expect(v is None, f"{v!r} is not void"), lambda u: None)


def _enum(name: str, cls: Any) -> _Codec:
    values = {member.value: member for member in cls}

    def value_of(number: Any) -> Any:
        _expect(number in values, f"{name}: {number!r} is none of its values")
        return values[number]

    return _Codec(lambda p, v: p.pack_int(value_of(v)), lambda u: value_of(u.unpack_int()))


def _opaque(module: Module, opaque: Opaque | String) -> _Codec:
    bound = UINT_MAX if opaque.bound is None else int(opaque.bound)
    fixed = isinstance(opaque, Opaque) and opaque.fixed

    def right(length: int) -> None:
        _expect(length == bound if fixed else length <= bound, f"length {length}, bound {bound}")

    def pack(packer: xdrlib3.Packer, value: Any) -> None:
        _expect(isinstance(value, (bytes, bytearray, memoryview)), f"{value!r} is no bytes")
        right(len(value))
        if not fixed:
            packer.pack_uint(len(value))
        packer.pack_fopaque(len(value), bytes(value))

    def unpack(unpacker: xdrlib3.Unpacker) -> bytes:
        length = bound if fixed else unpacker.unpack_uint()
        right(length)
        return bytes(unpacker.unpack_fopaque(length))

    return _Codec(pack, unpack)


def _array(module: Module, array: Array) -> _Codec:
    bound = UINT_MAX if array.bound is None else int(array.bound)
    item = module._later(array.item)

    def right(length: int) -> None:
        ok = length == bound if array.fixed else length <= bound
        _expect(ok, f"{length} elements, bound {bound}")

    def pack(packer: xdrlib3.Packer, value: Any) -> None:
        right(len(value))
        if not array.fixed:
            packer.pack_uint(len(value))
        packer.pack_farray(len(value), value, lambda v: item.pack(packer, v))

    def unpack(unpacker: xdrlib3.Unpacker) -> list[Any]:
        length = bound if array.fixed else unpacker.unpack_uint()
        right(length)
        return unpacker.unpack_farray(length, lambda: item.unpack(unpacker))

    return _Codec(pack, unpack)


def _option(module: Module, option: Option) -> _Codec:
    item = module._later(option.item)

    def pack(packer: xdrlib3.Packer, value: Any) -> None:
        packer.pack_bool(value is not None)
        if value is not None:
            item.pack(packer, value)

    def unpack(unpacker: xdrlib3.Unpacker) -> Any:
        return item.unpack(unpacker) if _unpack_bool(unpacker) else None

    return _Codec(pack, unpack)


def _chain(module: Module, chain: Chain) -> _Codec:
    item = module._later(Ref(chain.node, Pos(0, 0)))
    return _Codec(
        lambda packer, value: packer.pack_list(value, lambda v: item.pack(packer, v)),
        lambda unpacker: unpacker.unpack_list(lambda: item.unpack(unpacker)),
    )


_MAKERS: dict[type, Callable[[Module, Any], _Codec]] = {
    Prim: _prim,
    Void: _void,
    Opaque: _opaque,
    String: _opaque,
    Array: _array,
    Option: _option,
    Chain: _chain,
}


def _arm_property(disc: str, arm: Arm, all_cases: set[int]) -> property:
    cases = {int(case) for case in arm.cases}

    def get(self: Any) -> Any:
        selected = getattr(self, disc)
        _expect(
            selected in cases if cases else selected not in all_cases, f"not {selected!r}'s arm"
        )
        return self.value

    return property(get)


# -- the conventions of oncrpc.xdr


@contextlib.contextmanager
def _folded() -> Iterator[None]:
    """Everything that xdrlib3 raises, as XdrError."""
    try:
        yield
    except EOFError:
        raise XdrError("truncated") from None
    except (xdrlib3.Error, struct.error, RecursionError, OverflowError) as exc:
        raise XdrError(str(exc)) from None
    except (AttributeError, TypeError) as exc:
        raise XdrError(str(exc)) from None


def _decoder(codec: _Codec) -> Decoder[Any]:
    def decode(buf: Buffer, pos: int) -> tuple[Any, int]:
        unpacker = xdrlib3.Unpacker(bytes(buf[pos:]))
        with _folded():
            value = codec.unpack(unpacker)
        return value, pos + unpacker.get_position()

    return decode


def _encoder(codec: _Codec) -> Encoder[Any]:
    def encode(value: Any, put: Put) -> None:
        packer = xdrlib3.Packer()
        with _folded():
            codec.pack(packer, value)
        put(packer.get_buffer())

    return encode
