"""What both emitters and `dynamic` need to know of a checked tree: shapes, sizes, Python's names.

A *shape* is a type with its aliases resolved and three of XDR's idioms recognised:

* a union on bool with data for TRUE and void for FALSE is optional data (RFC 4506 section 4.19);
* a struct whose last member points to the next of its kind is a linked list's node, and the pointer
  to it a `Chain`: a Python list, so that neither length nor depth costs stack;
* optional data that is itself optional is an array of at most one, for None cannot say both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from oncrpc.rpcgen import names
from oncrpc.rpcgen.checks import prim_size
from oncrpc.rpcgen.model import (
    Arm,
    Array,
    Enum,
    Field,
    Opaque,
    Option,
    Pos,
    Prim,
    ProcDef,
    Ref,
    RpcgenError,
    Spec,
    String,
    Struct,
    Type,
    TypeDef,
    Union,
    Value,
    VersionDef,
    Void,
    arm_fields,
)
from oncrpc.xdr import COPY_MAX


@dataclass(slots=True)
class Chain:
    """A linked list of nodes of the type `node`: on the wire a chain of optional data."""

    node: str


Shape: TypeAlias = Prim | Void | Opaque | String | Array | Option | Ref | Chain

#: A struct with more leaves than this is called, not written out, where it stands in another.
INLINE_MAX = 64
#: A fixed array of up to this many fields in all is part of the run around it.
UNROLL_MAX = 16

_PYTHON = {"float": "float", "double": "float", "bool": "bool"}
_CODECS = ("decode", "encode", "pack", "format")
_FIELD_RESERVED = {"Buffer", "bool", "bytes", "cast", "float", "int", "list", "property"}


class Layout:
    """The questions that an emitter asks of a checked `spec`. `encoded`: see ``--encoded``."""

    def __init__(self, spec: Spec, encoded: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.types = spec.types
        self.enums = {n: d.type for n, d in self.types.items() if isinstance(d.type, Enum)}
        self.encoded: frozenset[str] = frozenset()
        #: What is asked of structs again and again, by their names.
        self._leaves: dict[str, int] = {}
        self._optional: dict[int, Field | None] = {}
        self._fixed: dict[str, int | None] = {}
        self._holds_encoded: dict[str, bool] = {}
        self.nodes: set[str] = set()
        self.nodes = self._find_nodes()
        self.recursive = self._find_recursive()
        self.encoded = frozenset(self._encoded(name) for name in encoded)
        self._check_names()

    def fail(self, pos: Pos, message: str) -> RpcgenError:
        """An error at `pos` in this file, to be raised."""
        return RpcgenError(self.spec.filename, pos, message)

    # -- shapes

    def shape(self, type_: Type) -> Shape:
        """`type_` without aliases; a Ref then names an enum, a struct or a union."""
        while isinstance(type_, Ref):
            target = self.types[type_.name].type
            if isinstance(target, Union):
                data = self.optional_arm(target)
                if data is None:
                    return type_
                type_ = Option(data.type)
            elif isinstance(target, (Enum, Struct)):
                return type_
            else:
                type_ = target
        if isinstance(type_, Option):
            return self._option(type_)
        assert not isinstance(type_, (Enum, Struct, Union)), "nested bodies have names by now"
        return type_

    def _option(self, option: Option) -> Shape:
        item = self.shape(option.item)
        if isinstance(item, Option):
            return Array(option.item, Value("1", Pos(0, 0), 1), fixed=False)
        if isinstance(item, Ref) and item.name in self.nodes:
            return Chain(item.name)
        return option

    def optional_arm(self, union: Union) -> Field | None:
        """The data of a union that is optional data in disguise, or None."""
        key = id(union)
        if key not in self._optional:
            self._optional[key] = self._find_optional_arm(union)
        return self._optional[key]

    def _find_optional_arm(self, union: Union) -> Field | None:
        data = self._true_arm(union)
        if data is None or isinstance(self._raw(data.type), Option):
            return None
        # None would say two things for one that holds another, and an alias cannot hold itself.
        inner = self._raw(data.type)
        again = isinstance(inner, Union) and self._true_arm(inner) is not None
        return None if again or self._comes_back(union, data.type) else data

    def _true_arm(self, union: Union) -> Field | None:
        """The data for TRUE of a union on bool that has void for FALSE, or None."""
        if self._raw(union.discriminant.type) != Prim("bool"):
            return None
        arms = {int(case): arm for arm in union.arms for case in arm.cases}
        if union.default is not None:
            arms = {case: arms.get(case, union.default) for case in (0, 1)}
        yes, no = arms.get(1), arms.get(0)
        if yes is None or no is None or yes is no or no.data is not None:
            return None
        return yes.data

    def _comes_back(self, union: Union, type_: Type) -> bool:
        """Whether `type_` leads to `union` again with no class on the way."""
        stack, seen = [type_], set[str]()
        while stack:
            step = stack.pop()
            if isinstance(step, Ref):
                target = self.types[step.name].type
                if target is union:
                    return True
                if step.name not in seen and not isinstance(target, (Struct, Enum)):
                    stack.append(target)
                seen.add(step.name)
            elif isinstance(step, (Array, Option)):
                stack.append(step.item)
            elif isinstance(step, Union) and (data := self._true_arm(step)) is not None:
                stack.append(data.type)
        return False

    def _raw(self, type_: Type) -> Type:
        while isinstance(type_, Ref):
            type_ = self.types[type_.name].type
        return type_

    # -- linked lists and recursion

    def _find_nodes(self) -> set[str]:
        nodes = {name for name in self.types if self._has_link(name)}
        return nodes - self._bare_uses() if nodes else nodes

    def _has_link(self, name: str) -> bool:
        struct = self.types[name].type
        if not isinstance(struct, Struct) or len(struct.fields) < 2:
            return False
        *rest, last = (self._points_to(f.type) == name for f in struct.fields)
        return last and not any(rest)

    def _points_to(self, type_: Type) -> str | None:
        shape = self.shape(type_)
        item = self.shape(shape.item) if isinstance(shape, Option) else None
        return item.name if isinstance(item, Ref) else None

    def _bare_uses(self) -> set[str]:
        """Types that stand somewhere by themselves, not behind a ``*``."""
        found = set()
        for type_ in self._mentioned():
            shape = self.shape(type_)
            if isinstance(shape, Ref):
                found.add(shape.name)
        return found

    def _mentioned(self) -> list[Type]:
        out: list[Type] = []
        for definition in self.types.values():
            body = definition.type
            if isinstance(body, Struct):
                out += [f.type for f in body.fields]
            elif isinstance(body, Union) and self.optional_arm(body) is None:
                out += [f.type for f in arm_fields(body)]
        for _, proc in self.procs():
            out += [*proc.args, proc.result]
        arrays = [d.type for d in self.types.values()]
        return out + [t.item for t in (*out, *arrays) if isinstance(t, Array)]

    def procs(self) -> list[tuple[VersionDef, ProcDef]]:
        """Every procedure of the file."""
        versions = [v for program in self.spec.programs for v in program.versions]
        return [(version, proc) for version in versions for proc in version.procs]

    def _find_recursive(self) -> set[str]:
        edges = {name: self._edges(name) for name in self.types}
        found = set()
        for name, direct in edges.items():
            seen: set[str] = set()
            stack = list(direct)
            while stack:
                other = stack.pop()
                if other not in seen:
                    seen.add(other)
                    stack.extend(edges[other])
            if name in seen:
                found.add(name)
        return found

    def _edges(self, name: str) -> list[str]:
        body = self.types[name].type
        if isinstance(body, Struct):
            types = [f.type for f in self.body(name)]
        elif isinstance(body, Union):
            types = [f.type for f in arm_fields(body)]
        else:
            return []
        out = []
        for type_ in types:
            shape = self.shape(type_)
            while isinstance(shape, (Array, Option)):
                shape = self.shape(shape.item)
            if isinstance(shape, (Ref, Chain)):
                out.append(shape.node if isinstance(shape, Chain) else shape.name)
        return out

    # -- structs, unions

    def body(self, name: str) -> list[Field]:
        """A struct's fields; a linked list's node has none for its link."""
        struct = self.types[name].type
        assert isinstance(struct, Struct)
        return struct.fields[:-1] if name in self.nodes else struct.fields

    def struct(self, shape: Shape) -> str | None:
        """The name of the struct that `shape` is, or None."""
        if isinstance(shape, Ref) and isinstance(self.types[shape.name].type, Struct):
            return shape.name
        return None

    def fields(self, name: str) -> list[tuple[str, Type]]:
        """A struct's fields under their Python names."""
        fields = self.body(name)
        taken = self._taken([f.type for f in fields])
        return [(names.field_name(f.name, taken), f.type) for f in fields]

    def discriminant(self, union: Union) -> str:
        """The Python name of a union's discriminant."""
        return names.field_name(union.discriminant.name, self._union_taken(union) | {"value"})

    def arm_name(self, union: Union, data: Field) -> str:
        """The Python name of the property that gives an arm."""
        return names.field_name(data.name, self._union_taken(union))

    def arms(self, union: Union) -> list[Arm]:
        """All arms in order, the default arm last."""
        return [*union.arms, *([union.default] if union.default else [])]

    def _union_taken(self, union: Union) -> set[str]:
        return self._taken([union.discriminant.type, *(f.type for f in arm_fields(union))])

    def _taken(self, types: list[Type]) -> set[str]:
        used = {word for t in types for word in re.findall(r"\w+", self.annotation(t))}
        return used | _FIELD_RESERVED

    # -- sizes

    def least(self, type_: Type) -> int:
        """The fewest bytes that a value of `type_` takes."""
        shape = self.shape(type_)
        if isinstance(shape, Ref):
            return self.spec.least[shape.name]
        return self.fixed(shape) or (0 if self.fixed(shape) == 0 else 4)

    def fixed(self, type_: Type | Chain) -> int | None:
        """The bytes that every value of `type_` takes, or None if they differ."""
        shape = type_ if isinstance(type_, Chain) else self.shape(type_)
        if isinstance(shape, Prim):
            return prim_size(shape)
        if isinstance(shape, Void):
            return 0
        if isinstance(shape, Opaque) and shape.fixed and shape.bound is not None:
            return int(shape.bound) + 3 & ~3
        if isinstance(shape, Array) and shape.fixed and shape.bound is not None:
            size = self.fixed(shape.item)
            return None if size is None else size * int(shape.bound)
        if isinstance(shape, Ref):
            return self._fixed_body(shape.name)
        return None

    def _fixed_body(self, name: str) -> int | None:
        if name in self.enums:
            return 4
        if name in self.recursive or not isinstance(self.types[name].type, Struct):
            return None
        if name not in self._fixed:
            sizes = [self.fixed(f.type) for f in self.body(name)]
            self._fixed[name] = None if None in sizes else sum(size or 0 for size in sizes)
        return self._fixed[name]

    def leaves(self, type_: Type) -> int:
        """How much code a value of `type_` takes where it is written out, in fields."""
        shape = self.shape(type_)
        if isinstance(shape, Array):
            item = self.leaves(shape.item)
            return int(shape.bound or 0) * item if self.unrolled(shape) else item + 1
        if isinstance(shape, Option):
            return self.leaves(shape.item) + 1
        if isinstance(shape, Chain):
            return self.leaves(Ref(shape.node, Pos(0, 0))) + 1
        struct = self.struct(shape)
        return self._struct_leaves(struct) if struct and self.inlined(struct) else 1

    def _struct_leaves(self, name: str) -> int:
        if name not in self._leaves:
            self._leaves[name] = sum(self.leaves(t) for _, t in self.fields(name))
        return self._leaves[name]

    def inlined(self, name: str) -> bool:
        """Whether the struct `name` is written out where it stands in another."""
        return name not in self.recursive and self._struct_leaves(name) <= INLINE_MAX

    def unrolled(self, array: Array) -> bool:
        """Whether a fixed array is part of the run around it."""
        if not array.fixed or array.bound is None or not self.is_plain(array.item):
            return False
        return int(array.bound) * self.leaves(array.item) <= UNROLL_MAX

    def is_plain(self, type_: Type) -> bool:
        """Whether every value is one run of words, with nothing to branch on."""
        shape = self.shape(type_)
        if isinstance(shape, Opaque):
            return shape.fixed and not self.is_bulk(shape)
        if isinstance(shape, Array):
            return self.unrolled(shape)
        struct = self.struct(shape)
        if struct is not None:
            return self.inlined(struct) and all(self.is_plain(t) for _, t in self.fields(struct))
        return isinstance(shape, Prim) or (isinstance(shape, Ref) and shape.name in self.enums)

    def has_encoded(self, type_: Type) -> bool:
        """Whether `type_`, or a struct in it that is written out, is one of ``--encoded``."""
        struct = self.struct(self.shape(type_))
        if struct is None or struct in self.recursive:
            return False
        if struct not in self._holds_encoded:
            inside = any(self.has_encoded(t) for _, t in self.fields(struct))
            self._holds_encoded[struct] = inside or struct in self.encoded
        return self._holds_encoded[struct]

    def is_bulk(self, opaque: Opaque) -> bool:
        """Whether this is too long to copy (see `oncrpc.xdr.COPY_MAX`)."""
        return opaque.bound is None or int(opaque.bound) > COPY_MAX

    # -- annotations

    def annotation(self, type_: Type) -> str:
        """`type_` as a Python annotation."""
        if isinstance(type_, Ref):
            name = names.module_name(type_.name)
            struct = self.struct(self.shape(type_))
            return f"{name} | bytes" if struct in self.encoded else name
        return self.written_out(type_)

    def written_out(self, type_: Type | Chain) -> str:
        """The annotation of what is not a plain name."""
        shape = type_ if isinstance(type_, Chain) else self.shape(type_)
        if isinstance(shape, Prim):
            return _PYTHON.get(shape.kind, "int")
        if isinstance(shape, Void):
            return "None"
        if isinstance(shape, Opaque):
            return "Buffer" if self.is_bulk(shape) else "bytes"
        if isinstance(shape, String):
            return "bytes"
        if isinstance(shape, Array):
            return f"list[{self.annotation(shape.item)}]"
        if isinstance(shape, Chain):
            return f"list[{self.annotation(Ref(shape.node, Pos(0, 0)))}]"
        if isinstance(shape, Option):
            return f"{self.annotation(shape.item)} | None"
        return self.annotation(shape)

    def args_annotation(self, proc: ProcDef) -> str:
        """The annotation of a procedure's arguments."""
        if len(proc.args) > 1:
            return f"tuple[{', '.join(self.annotation(arg) for arg in proc.args)}]"
        return self.annotation(proc.args[0]) if proc.args else "None"

    # -- names

    def _encoded(self, name: str) -> str:
        if name not in self.types:
            raise self.fail(Pos(1, 1), f"--encoded {name}: no such type")
        struct = self.struct(self.shape(Ref(name, Pos(1, 1))))
        if struct is None or self.fixed(Ref(struct, Pos(1, 1))) is None:
            message = f"--encoded {name}: it is no struct of a fixed size"
            raise self.fail(self.types[name].pos, message)
        return struct

    def proc_names(self, version: VersionDef) -> list[str]:
        """The Python names of a version's procedures."""
        words = {"Any", "bool", "bytes", "float", "int", "tuple", "Buffer"}
        for proc in version.procs:
            words |= set(re.findall(r"\w+", self.args_annotation(proc)))
            words |= set(re.findall(r"\w+", self.annotation(proc.result)))
        short = names.proc_names([proc.name for proc in version.procs], words)
        return [
            "NULL_" if name == "NULL" and not self._is_null(proc) else name
            for name, proc in zip(short, version.procs, strict=True)
        ]

    def _is_null(self, proc: ProcDef) -> bool:
        return int(proc.number) == 0 and not proc.args and isinstance(proc.result, Void)

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for name, pos in self._module_names():
            if name in seen:
                raise self.fail(pos, f"the Python name '{name}' would stand for two things")
            seen[name] = name
        self.locals = ""
        while any(re.fullmatch(rf"[a-z]{self.locals}\d+", name) for name in seen):
            self.locals += "_"

    def _module_names(self) -> list[tuple[str, Pos]]:
        out: list[tuple[str, Pos]] = []
        for definition in self.spec.definitions:
            name = names.module_name(definition.name)
            out.append((name, definition.pos))
            if isinstance(definition, TypeDef):
                out += [(f"{word}_{definition.name}", definition.pos) for word in _CODECS]
                out += self._inside_names(definition)
        for program in self.spec.programs:
            for version in program.versions:
                out += [
                    (names.module_name(version.name) + suffix, version.pos)
                    for suffix in ("", "_Client", "_Service")
                ]
                self._distinct(self.proc_names(version), version.pos, f"in {version.name}")
        return out

    def _inside_names(self, definition: TypeDef) -> list[tuple[str, Pos]]:
        body, where = definition.type, f"in {definition.name}"
        if isinstance(body, Enum):
            members = [names.member_name(m.name) for m in body.members]
            self._distinct(members, definition.pos, where)
            return [(names.module_name(m.name), m.pos) for m in body.members]
        if isinstance(body, Struct):
            fields = [name for name, _ in self.fields(definition.name)]
            self._distinct(fields, definition.pos, where)
        elif isinstance(body, Union):
            fields = [self.arm_name(body, data) for data in arm_fields(body)]
            self._distinct([*fields, self.discriminant(body)], definition.pos, where)
        return []

    def _distinct(self, items: list[str], pos: Pos, where: str) -> None:
        for name in items:
            if items.count(name) > 1:
                raise self.fail(pos, f"the Python name '{name}' would stand for two things {where}")
