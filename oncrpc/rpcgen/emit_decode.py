"""Decoders: straight-line code that reads each run of fixed fields by one `struct` call.

A run is what lies between two places where the bytes decide what follows: the length of opaque
data, an array or a list, the presence of optional data, a union's discriminant. That deciding word
is the last of its run; short opaque data are the first of the next (`oncrpc.xdr.UnpackTable`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from oncrpc.rpcgen import names
from oncrpc.rpcgen.layout import Chain, Layout, Shape
from oncrpc.rpcgen.model import (
    Array,
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
from oncrpc.rpcgen.tables import FORMATS, Tables, fuse, size
from oncrpc.xdr import COPY_MAX


class Block:
    """Lines of code under one indentation, and fresh local names."""

    def __init__(self, layout: Layout, tables: Tables, label: str) -> None:
        self.layout = layout
        self.tables = tables
        self.label = label
        self.lines: list[str] = []
        self.indent = 1
        self.counts: dict[str, int] = {}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def local(self, letter: str) -> str:
        self.counts[letter] = self.counts.get(letter, 0) + 1
        return f"{letter}{self.layout.locals}{self.counts[letter]}"

    @contextmanager
    def labelled(self, label: str) -> Iterator[None]:
        """What errors name, for a while."""
        before, self.label = self.label, label
        yield
        self.label = before

    def named(self, type_: Type) -> AbstractContextManager[None]:
        """Errors name the last typedef on the way from `type_` to what it is."""
        label = self.label
        while isinstance(type_, Ref):
            label = type_.name
            type_ = self.layout.types[type_.name].type
        return self.labelled(label)

    def check_bound(self, length: str, bound: object, exact: bool = False) -> None:
        if bound is not None:
            self.line(f"if {length} {'!=' if exact else '>'} {bound}:")
            self.line(f'    raise _too_long("{self.label}", {length}, {bound})')


class Decode(Block):
    """Writes the body of one decoder."""

    def __init__(self, layout: Layout, tables: Tables, label: str) -> None:
        super().__init__(layout, tables, label)
        self.offset = 0
        self.run: list[tuple[str, str | None]] = []
        #: Short opaque data that the next run begins with: length, value, bound, label.
        self.head: tuple[str, str, int | None, str] | None = None
        #: Bytes were sliced off that may not have been there, and nothing has been read after them.
        self.loose = False
        self.makers: dict[type, Callable[[Any], str]] = {
            Prim: self.prim,
            Void: lambda shape: "None",
            Opaque: self.opaque,
            String: lambda shape: self.short(shape.bound),
            Array: self.array,
            Option: self.option,
            Chain: self.chain,
            Ref: self.ref,
        }

    # -- runs

    def word(self, code: str, letter: str = "v") -> str:
        name = self.local(letter)
        self.run.append((code, name))
        return name

    def at(self) -> str:
        return f"pos + {self.offset}" if self.offset else "pos"

    def flush(self) -> None:
        """Read what is due."""
        format_ = fuse(code for code, _ in self.run)
        targets = [name for _, name in self.run if name]
        width = size(format_)
        if self.head is not None:
            length, value, bound, label = self.head
            table = self.tables.unpack_table(label, bound, format_)
            call = f"{table}[{length}](buf, {self.at()})"
            self.assign([value, *targets], call)
            self.line(f"pos += {length} + {self.offset + width + 3} & -4")
            self.offset = 0
            self.loose = False
        elif self.run:
            self.assign(targets, f"{self.tables.unpack(format_)}(buf, {self.at()})")
            self.offset += width
            self.loose = False
        self.head, self.run = None, []

    def assign(self, targets: list[str], call: str) -> None:
        self.line(f"{', '.join(targets)} = {call}" if targets[1:] else f"({targets[0]},) = {call}")

    def settle(self) -> None:
        """Read what is due, and have `pos` point behind it."""
        self.flush()
        if self.offset:
            self.line(f"pos += {self.offset}")
            self.offset = 0

    def finish(self, value: str) -> None:
        """Return `value`."""
        self.flush()
        if self.loose:
            self.settle()
            self.line("if pos > len(buf):")
            self.line(f'    raise _truncated("{self.label}")')
        self.line(f"return {value}, {self.at()}")

    # -- types

    def value(self, type_: Type) -> str:
        """Decode a `type_`; gives an expression of locals."""
        with self.named(type_):
            shape = self.layout.shape(type_)
            return self.makers[type(shape)](shape)

    def prim(self, prim: Prim) -> str:
        name = self.word(FORMATS[prim.kind])
        return f"_BOOL[{name}]" if prim.kind == "bool" else name

    def ref(self, ref: Ref) -> str:
        if ref.name in self.layout.enums:
            return f"_m_{ref.name}[{self.word('i')}]"
        if self.layout.struct(ref) and self.layout.inlined(ref.name):
            return self.struct(ref.name)
        self.flush()
        name = self.local("v")
        self.line(f"{name}, pos = decode_{ref.name}(buf, {self.at()})")
        self.offset = 0
        self.loose &= self.layout.least(ref) == 0
        return name

    def struct(self, name: str) -> str:
        values = []
        for field, type_ in self.layout.fields(name):
            with self.labelled(f"{name}.{field}"):
                values.append(self.value(type_))
        return f"{names.module_name(name)}({', '.join(values)})"

    def opaque(self, opaque: Opaque) -> str:
        if opaque.fixed:
            return self.fixed_opaque(int(opaque.bound) if opaque.bound else 0)
        if not self.layout.is_bulk(opaque):
            return self.short(opaque.bound)
        length = self.word("I", "n")
        self.flush()
        self.check_bound(length, opaque.bound and int(opaque.bound))
        name = self.local("v")
        self.line(f"{name} = buf[{self.at()} : {self.at()} + {length}]")
        self.line(f"pos += {length} + {self.offset + 3} & -4")
        self.offset, self.loose = 0, True
        return name

    def fixed_opaque(self, length: int) -> str:
        if length == 0:
            return 'b""'
        if not length > COPY_MAX:
            name = self.word(f"{length}s")
            if length & 3:
                self.run.append((f"{-length & 3}x", None))
            return name
        self.flush()
        name = self.local("v")
        self.line(f"{name} = buf[{self.at()} : pos + {self.offset + length}]")
        self.offset += length + 3 & ~3
        self.loose = True
        return name

    def short(self, bound: Any) -> str:
        length = self.word("I", "n")
        self.flush()
        value = self.local("v")
        self.head = (length, value, None if bound is None else int(bound), self.label)
        return value

    def option(self, option: Option) -> str:
        flag = self.word("I", "n")
        self.settle()
        name = self.local("v")
        self.line(f"{name}: {self.layout.written_out(option)} = None")
        self.line(f"if {flag} == 1:")
        self.indent += 1
        value = self.value(option.item)
        self.settle()
        self.line(f"{name} = {value}")
        self.indent -= 1
        self.line(f"elif {flag}:")
        self.line(f'    raise _no_value("{self.label}", {flag})')
        return name

    def chain(self, chain: Chain) -> str:
        """A linked list: each node's link is read with the end of the node before it."""
        flag = self.word("I", "n")
        self.settle()
        name = self.local("v")
        self.line(f"{name}: {self.layout.written_out(chain)} = []")
        self.line(f"while {flag} == 1:")
        self.indent += 1
        value = self.value(Ref(chain.node, Pos(0, 0)))
        self.run.append(("I", flag))
        self.settle()
        self.line(f"{name}.append({value})")
        self.indent -= 1
        self.line(f"if {flag}:")
        self.line(f'    raise _no_value("{self.label}", {flag})')
        return name

    # -- arrays

    def array(self, array: Array) -> str:
        if array.fixed:
            count = int(array.bound) if array.bound else 0
            if self.layout.unrolled(array):
                return f"[{', '.join(self.value(array.item) for _ in range(count))}]"
            self.settle()
            return self.elements(array, str(count))
        length = self.word("I", "n")
        self.flush()
        self.check_bound(length, array.bound and int(array.bound))
        self.settle()
        return self.elements(array, length)

    def elements(self, array: Array, count: str) -> str:
        """`count` elements, from `pos` on."""
        name = self.local("v")
        item = self.layout.shape(array.item)
        code = FORMATS[item.kind] if isinstance(item, Prim) and item.kind != "bool" else ""
        if code:
            many = f'">{count}{code}"' if count.isdigit() else f'f">{{{count}}}{code}"'
            self.line(f"{name} = list(_unpack_from({many}, buf, pos))")
            self.line(f"pos += {count} * {size(code)}")
            self.loose = False
            return name
        least = self.layout.least(array.item)
        self.line(f"if {count} * {least} > len(buf) - pos:")
        self.line(f'    raise _truncated("{self.label}")')
        if not self.comprehension(name, array, count):
            self.loop(name, array, count)
        return name

    def comprehension(self, name: str, array: Array, count: str) -> bool:
        """Elements that are one run each, if they are: read by ``iter_unpack``."""
        item = self.layout.shape(array.item)
        if not isinstance(item, (Ref, Prim)) or not self.layout.is_plain(item):
            return False
        inner = Decode(self.layout, self.tables, self.label)
        inner.counts = self.counts
        value = inner.value(item)
        codes = [code for code, _ in inner.run]
        targets = [target for _, target in inner.run if target]
        if inner.lines or inner.offset or not targets or inner.head:
            return False
        width = size(fuse(codes))
        unpack = self.tables.iter_unpack(fuse(codes))
        self.line(f"{name}: {self.layout.written_out(array)} = [")
        self.line(f"    {value}")
        self.line(
            f"    for {', '.join(targets)}{',' * (len(targets) == 1)} in "
            f"{unpack}(buf[pos : pos + {count} * {width}])"
        )
        self.line("]")
        self.line(f"pos += {count} * {width}")
        return True

    def loop(self, name: str, array: Array, count: str) -> None:
        self.line(f"{name}: {self.layout.written_out(array)} = []")
        self.line(f"for _ in range({count}):")
        self.indent += 1
        value = self.value(array.item)
        self.settle()
        self.line(f"{name}.append({value})")
        self.indent -= 1


def decoder(layout: Layout, tables: Tables, name: str, type_: Type) -> list[str]:
    """The lines of the decoder of the named type, or of a nameless one called `name`."""
    out = Decode(layout, tables, name.lstrip("_"))
    shape = layout.shape(type_)
    body = layout.types[shape.name].type if isinstance(shape, Ref) else None
    shown = names.module_name(shape.name) if isinstance(shape, Ref) else layout.annotation(type_)
    if isinstance(shape, Ref) and isinstance(body, Struct):
        out.finish(out.struct(shape.name))
    elif isinstance(shape, Ref) and isinstance(body, Union):
        _union(out, shape.name, body)
    else:
        out.finish(out.value(type_))
    head = f"def {'_' * name.startswith('_')}decode_{name.lstrip('_')}"
    return [f"{head}(buf: Buffer, pos: int) -> tuple[{shown}, int]:", *out.lines]


def tuple_decoder(layout: Layout, tables: Tables, name: str, types: list[Type]) -> list[str]:
    """The lines of a decoder of several arguments."""
    out = Decode(layout, tables, name)
    values = [out.value(type_) for type_ in types]
    out.finish(f"({', '.join(values)})")
    shown = f"tuple[{', '.join(layout.annotation(type_) for type_ in types)}]"
    return [f"def _decode_{name}(buf: Buffer, pos: int) -> tuple[{shown}, int]:", *out.lines]


def _union(out: Decode, name: str, union: Union) -> None:
    """The body of a union's decoder: an arm after the other, in the file's order."""
    target = out.layout.shape(union.discriminant.type)
    code = "i" if isinstance(target, Ref) else FORMATS[getattr(target, "kind", "")]
    number = out.word(code, "n")
    out.flush()
    cls = names.module_name(name)
    word = "if"
    for arm in union.arms:
        cases = [int(case) for case in arm.cases]
        test = " or ".join(f"{number} == {case}" for case in cases)
        out.line(f"{word} {test}:")
        one = constant(out.layout, target, cases[0])
        _arm(out, cls, one if len(cases) == 1 else discriminant(target, number), arm.data)
        word = "if"
    if union.default is None:
        out.line(f'raise _no_value("{out.label}", {number})')
    else:
        out.indent -= 1
        _arm(out, cls, discriminant(target, number), union.default.data)
        out.indent += 1


def _arm(out: Decode, cls: str, disc: str, data: Any) -> None:
    out.indent += 1
    out.offset, out.loose = 4, False
    value = "None"
    if data is not None:
        with out.labelled(f"{out.label}.{data.name}"):
            value = out.value(data.type)
    out.finish(f"{cls}({disc}, {value})")
    out.indent -= 1


def constant(layout: Layout, target: Shape, number: int) -> str:
    """A discriminant's known value, as the module writes it."""
    if isinstance(target, Ref):
        for member in layout.enums[target.name].members:
            if int(member.value) == number:
                return names.module_name(member.name)
    return str(bool(number)) if target == Prim("bool") else str(number)


def discriminant(target: Shape, number: str) -> str:
    """A discriminant's value by the local that holds its number."""
    if isinstance(target, Ref):
        return f"_m_{target.name}[{number}]"
    return f"_BOOL[{number}]" if target == Prim("bool") else number
