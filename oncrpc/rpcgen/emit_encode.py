"""Encoders: few `put` calls, each of one buffer that is put together by few `struct` calls.

What is to be put is kept as a list of *pieces*, expressions that give bytes. Optional data of a
simple kind is a conditional expression and so a piece like others; only bulk data, lists and unions
force the pieces gathered so far to be put.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Callable
from typing import Any

from oncrpc.rpcgen import names
from oncrpc.rpcgen.emit_decode import Block
from oncrpc.rpcgen.layout import Chain, Layout
from oncrpc.rpcgen.model import (
    Array,
    Field,
    Opaque,
    Option,
    Pos,
    Prim,
    Ref,
    String,
    Struct,
    Type,
    Union,
    Void,
)
from oncrpc.rpcgen.tables import FORMATS, Tables, fuse
from oncrpc.xdr import COPY_MAX

_ZERO = repr(bytes(4))
_NUMBER = re.compile(r"-?[0-9]+")
_CONSTANT = re.compile(r"b'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _constant(text: str) -> bytes:
    value: bytes = ast.literal_eval(text) if text else b""
    return value


class _Impure(Exception):
    """What was to be one expression needs a statement."""


class Encode(Block):
    """Writes the body of one encoder. One that is `pure` gives an expression, or raises _Impure."""

    def __init__(self, layout: Layout, tables: Tables, label: str, pure: bool = False) -> None:
        super().__init__(layout, tables, label)
        self.pure = pure
        self.pieces: list[str] = []
        self.run: list[tuple[str, str]] = []
        #: The short opaque of this run: length, bound, how much of the run is before it, label.
        self.short: tuple[str, int | None, int, str] | None = None
        self.writers: dict[type, Callable[[Any, str], None]] = {
            Prim: self.prim,
            Void: self.void,
            Opaque: self.opaque,
            String: lambda shape, path: self.short_opaque(shape.bound, path),
            Array: self.array,
            Option: self.option,
            Chain: self.chain,
            Ref: self.ref,
        }

    def line(self, text: str) -> None:
        if self.pure:
            raise _Impure
        super().line(text)

    def bind(self, path: str, annotation: str = "") -> str:
        """`path` as a name that costs nothing to repeat."""
        if self.pure or (_NAME.fullmatch(path) and not annotation):
            return path
        name = self.local("v")
        self.line(f"{name}{annotation} = {path}")
        return name

    # -- pieces

    def close_run(self) -> None:
        """Make the run so far a piece."""
        run, short = self.run, self.short
        self.run, self.short = [], None
        if not run:
            return
        args = ", ".join(value for _, value in run if value)
        if short is not None:
            length, bound, before, label = short
            head = fuse(code for code, _ in run[:before])
            tail = fuse(code for code, _ in run[before + 1 :])
            table = self.tables.pack_table(label, bound, head, tail)
            self.pieces.append(f"{table}[{length}]({args})")
            return
        format_ = fuse(code for code, _ in run)
        if all(_NUMBER.fullmatch(value) for _, value in run):
            data = struct.pack(f">{format_}", *(int(value) for _, value in run))
            self.pieces.append(repr(data))
        else:
            self.pieces.append(f"{self.tables.pack(format_)}({args})")

    def joined(self) -> str:
        """All pieces so far, taken away, as one expression."""
        self.close_run()
        pieces, self.pieces = self.pieces, []
        return " + ".join(pieces)

    def put(self) -> None:
        """Put what there is."""
        data = self.joined()
        if data:
            self.line(f"put({data})")

    def attempt(self, write: Callable[[Encode], None]) -> str | None:
        """What `write` writes as one expression, or None if it cannot be one."""
        inner = Encode(self.layout, self.tables, self.label, pure=True)
        try:
            write(inner)
            return inner.joined()
        except _Impure:
            return None

    # -- types

    def value(self, type_: Type, path: str) -> None:
        """Encode the value that the expression `path` gives."""
        with self.named(type_):
            shape = self.layout.shape(type_)
            self.writers[type(shape)](shape, path)

    def prim(self, prim: Prim, path: str) -> None:
        self.run.append(("3x?" if prim.kind == "bool" else FORMATS[prim.kind], path))

    def void(self, void: Void, path: str) -> None:
        self.line(f"if {path} is not None:")
        self.line(f'    raise _no_value("{self.label}", {path})')

    def ref(self, ref: Ref, path: str) -> None:
        if ref.name in self.layout.enums:
            self.run.append(("i", f"_m_{ref.name}[{path}]"))
        elif ref.name in self.layout.encoded:
            self.encoded(ref, path)
        elif self.layout.struct(ref) and self.layout.inlined(ref.name):
            self.struct(ref.name, path)
        elif self.layout.fixed(ref) is not None:
            self.close_run()
            self.pieces.append(f"pack_{ref.name}({path})")
        else:
            self.put()
            self.line(f"encode_{ref.name}({path}, put)")

    def encoded(self, ref: Ref, path: str) -> None:
        """A type of ``--encoded``: taken as it is if it is bytes of the right size."""
        name = self.bind(path, ": Any")
        size = self.layout.fixed(ref)
        self.close_run()
        self.pieces.append(
            f"({name} if {name}.__class__ is bytes and len({name}) == {size} "
            f"else pack_{ref.name}({name}))"
        )

    def struct(self, name: str, path: str) -> None:
        fields = self.layout.fields(name)
        base = self.bind(path) if len(fields) > 1 else path
        for field, type_ in fields:
            with self.labelled(f"{name}.{field}"):
                self.value(type_, f"{base}.{field}")

    def opaque(self, opaque: Opaque, path: str) -> None:
        bound = opaque.bound and int(opaque.bound)
        if not opaque.fixed and not self.layout.is_bulk(opaque):
            self.short_opaque(opaque.bound, path)
            return
        name = self.bind(path)
        if opaque.fixed:
            self.check_bound(f"len({name})", bound, exact=True)
            self.fixed_opaque(bound or 0, name)
            return
        length = self.local("n")
        self.line(f"{length} = len({name})")
        self.check_bound(length, bound)
        self.run.append(("I", length))
        self.put()
        self.line(f"put({name})")
        self.line(f"if {length} & 3:")
        self.line(f"    put(_PAD[{length} & 3])")

    def fixed_opaque(self, length: int, name: str) -> None:
        if length <= COPY_MAX:
            pad = f"{-length & 3}x" if length & 3 else ""
            if length:
                self.run.append((f"{length}s{pad}", name))
            return
        self.close_run()
        self.pieces.append(f'b"".join(({name},))')  # a view cannot be added, but it can be joined
        if length & 3:
            self.pieces.append(repr(bytes(-length & 3)))

    def short_opaque(self, bound: Any, path: str) -> None:
        """Opaque data that are copied; with what is fixed before and after, one `struct` call."""
        name = self.bind(path)
        length = f"len({name})"
        if not self.pure:
            length = self.local("n")
            self.line(f"{length} = len({name})")
        if self.short is not None:
            self.close_run()
        self.run.append(("I", length))
        self.short = (length, None if bound is None else int(bound), len(self.run), self.label)
        self.run.append(("s", name))

    def option(self, option: Option, path: str) -> None:
        name = self.bind(path, ": Any" * self.layout.has_encoded(option.item))
        if not _NAME.fullmatch(name):
            raise _Impure

        def write(inner: Encode) -> None:
            inner.run.append(("I", "1"))
            inner.value(option.item, name)

        simple = self.attempt(write)
        if simple is not None:
            self.conditional(name, simple)
            return
        so_far = self.local("h")
        before = self.joined()
        self.line(f"{so_far} = {before or repr(b'')}")
        self.line(f"if {name} is None:")
        self.line(f"    {so_far} += {_ZERO}")
        self.line("else:")
        self.indent += 1
        self.pieces = [so_far]
        write(self)
        self.line(f"{so_far} = {self.joined() or repr(b'')}")
        self.indent -= 1
        self.pieces = [so_far]

    def conditional(self, name: str, present: str) -> None:
        """Optional data as a piece; constant bytes just before it move into both its halves."""
        self.close_run()
        constant = self.pieces.pop() if self.pieces and _CONSTANT.fullmatch(self.pieces[-1]) else ""
        first = _CONSTANT.match(present)
        absent = repr(_constant(constant) + bytes(4))
        if constant and first:
            present = repr(_constant(constant) + _constant(first.group())) + present[first.end() :]
        elif constant:
            present = f"{constant} + {present}"
        self.pieces.append(f"({absent} if {name} is None else {present})")

    def chain(self, chain: Chain, path: str) -> None:
        """A linked list: before each node TRUE, after the last FALSE."""
        self.put()
        item = self.local("v")
        self.line(f"for {item} in {path}:")
        self.indent += 1
        self.run.append(("I", "1"))
        self.value(Ref(chain.node, Pos(0, 0)), item)
        self.put()
        self.indent -= 1
        self.run.append(("I", "0"))

    def array(self, array: Array, path: str) -> None:
        name = self.bind(path, ": Any" * self.layout.has_encoded(array.item))
        bound = array.bound and int(array.bound)
        if not array.fixed:
            length = self.local("n")
            self.line(f"{length} = len({name})")
            self.check_bound(length, bound)
            self.run.append(("I", length))
        else:
            length = str(bound)
            self.check_bound(f"len({name})", bound, exact=True)
        item = self.layout.shape(array.item)
        if isinstance(item, Prim) and item.kind != "bool":
            self.close_run()
            count = length if array.fixed else f"{{{length}}}"
            prefix = "" if array.fixed else "f"
            self.pieces.append(f'_pack({prefix}">{count}{FORMATS[item.kind]}", *{name})')
            return
        element = self.local("v")
        simple = self.attempt(lambda inner: inner.value(array.item, element))
        if simple is not None:
            self.close_run()
            self.pieces.append(f'b"".join([{simple} for {element} in {name}])')
            return
        if self.layout.fixed(array.item) is not None:
            self.fixed_elements(array, name, element)
            return
        self.put()
        self.line(f"for {element} in {name}:")
        self.indent += 1
        self.value(array.item, element)
        self.put()
        self.indent -= 1

    def fixed_elements(self, array: Array, name: str, element: str) -> None:
        """Elements that need statements, but no `put`: this may be in a `pack_T`."""
        self.close_run()
        before, self.pieces = self.pieces, []
        parts = self.local("h")
        self.line(f"{parts}: list[bytes] = []")
        self.line(f"for {element} in {name}:")
        self.indent += 1
        self.value(array.item, element)
        self.line(f"{parts}.append({self.joined()})")
        self.indent -= 1
        self.pieces = [*before, f'b"".join({parts})']


def encoder(layout: Layout, tables: Tables, name: str, type_: Type) -> list[str]:
    """The lines of the encoder of the named type, or of a nameless one; `pack_T` if it is fixed."""
    label = name.lstrip("_")
    under = "_" * name.startswith("_")
    shape = layout.shape(type_)
    shown = layout.annotation(type_)
    body = layout.types[shape.name].type if isinstance(shape, Ref) else None
    if layout.fixed(shape) is not None and not isinstance(shape, Void):
        return _fixed(layout, tables, label, under, type_)
    out = Encode(layout, tables, label)
    if isinstance(shape, Ref) and isinstance(body, Struct):
        out.struct(shape.name, "value")
    elif isinstance(shape, Ref) and isinstance(body, Union):
        _union(out, shape.name, body)
    else:
        out.value(type_, "value")
    out.put()
    return [f"def {under}encode_{label}(value: {shown}, put: Put) -> None:", *out.lines]


def _fixed(layout: Layout, tables: Tables, label: str, under: str, type_: Type) -> list[str]:
    shape = layout.shape(type_)
    out = Encode(layout, tables, label)
    struct_name = layout.struct(shape)
    plain = names.module_name(shape.name) if isinstance(shape, Ref) else layout.annotation(type_)
    if struct_name is not None:
        out.struct(struct_name, "value")
    else:
        out.value(type_, "value")
    out.line(f"return {out.joined() or repr(b'')}")
    packed = f"{under}pack_{label}(value)"
    if struct_name in layout.encoded:
        packed = f"value if isinstance(value, bytes) else {packed}"
    return [
        f"def {under}pack_{label}(value: {plain}) -> bytes:",
        *out.lines,
        "",
        "",
        f"def {under}encode_{label}(value: {layout.annotation(type_)}, put: Put) -> None:",
        f"    put({packed})",
    ]


def tuple_encoder(layout: Layout, tables: Tables, name: str, types: list[Type]) -> list[str]:
    """The lines of an encoder of several arguments."""
    out = Encode(layout, tables, name)
    out.check_bound("len(value)", len(types), exact=True)
    items = [out.local("a") for _ in types]
    out.line(f"{', '.join(items)} = value")
    for item, type_ in zip(items, types, strict=True):
        out.value(type_, item)
    out.put()
    shown = f"tuple[{', '.join(layout.annotation(type_) for type_ in types)}]"
    return [f"def _encode_{name}(value: {shown}, put: Put) -> None:", *out.lines]


def _union(out: Encode, name: str, union: Union) -> None:
    target = out.layout.shape(union.discriminant.type)
    code = "i" if isinstance(target, Ref) else FORMATS[getattr(target, "kind", "")]
    code = "3x?" if target == Prim("bool") else code
    disc = out.local("d")
    out.line(f"{disc} = value.{out.layout.discriminant(union)}")
    arm = out.local("v")
    out.line(f"{arm}: Any = value.value")
    word = "if"
    for case in union.arms:
        numbers = [int(value) for value in case.cases]
        out.line(f"{word} {' or '.join(f'{disc} == {n}' for n in numbers)}:")
        _arm(out, (code, str(numbers[0]) if len(numbers) == 1 else disc), case.data, arm)
        word = "elif"
    out.line("else:")
    if union.default is None:
        out.line(f'    raise _no_value("{out.label}", {disc})')
        return
    checked = f"_m_{target.name}[{disc}]" if isinstance(target, Ref) else disc
    _arm(out, (code, checked), union.default.data, arm)


def _arm(out: Encode, disc: tuple[str, str], data: Field | None, path: str) -> None:
    out.indent += 1
    out.run.append(disc)
    if data is None:
        out.value(Void(), path)
    else:
        with out.labelled(f"{out.label}.{data.name}"):
            out.value(data.type, path)
    out.put()
    out.indent -= 1
