"""Values of every type of a .x file, for hypothesis, and modules compiled for a test."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from hypothesis import strategies as st

from oncrpc.rpcgen import dynamic, names
from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.emit import emit
from oncrpc.rpcgen.generated import GENERATED
from oncrpc.rpcgen.layout import Chain, Layout
from oncrpc.rpcgen.model import (
    UINT_MAX,
    Array,
    Enum,
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
from oncrpc.rpcgen.parser import parse

ROOT = Path(__file__).parents[2]
TORTURE = Path(__file__).with_name("torture.x")
FILES = {Path(entry.source).name: entry for entry in GENERATED}
_SERIAL = itertools.count()

Values = st.SearchStrategy[Any]

NUMBERS: dict[str, Values] = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "unsigned": st.integers(0, UINT_MAX),
    "hyper": st.integers(-(2**63), 2**63 - 1),
    "unsigned hyper": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bool": st.booleans(),
}


def compile_module(text: str, encoded: tuple[str, ...] = ()) -> ModuleType:
    """The generated module of a .x text, imported."""
    source = emit(check(parse(text)), "test.x", encoded)
    module = ModuleType(f"generated_for_test_{next(_SERIAL)}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    return module


@dataclasses.dataclass
class Subject:
    """One .x file in its two forms, and what strategies need to know of it."""

    layout: Layout
    module: ModuleType
    dynamic: dynamic.Module
    strategies: dict[str, Values] = dataclasses.field(default_factory=dict)

    def named(self, name: str) -> Values:
        """Values of the named type."""
        if name not in self.strategies:
            self.strategies[name] = st.deferred(lambda: self._make(Ref(name, Pos(0, 0))))
        return self.strategies[name]

    def of(self, type_: Type) -> Values:
        """Values of any type."""
        return self.named(type_.name) if isinstance(type_, Ref) else self._make(type_)

    def _make(self, type_: Type) -> Values:
        shape = self.layout.shape(type_)
        if isinstance(shape, Prim):
            return NUMBERS[shape.kind]
        if isinstance(shape, Void):
            return st.none()
        if isinstance(shape, (Opaque, String)):
            return self._bytes(shape)
        if isinstance(shape, Array):
            bound = UINT_MAX if shape.bound is None else int(shape.bound)
            low = bound if shape.fixed else 0
            return st.lists(self.of(shape.item), min_size=low, max_size=max(low, min(bound, 3)))
        if isinstance(shape, Option):
            return st.none() | self.of(shape.item)
        if isinstance(shape, Chain):
            return st.lists(self.named(shape.node), max_size=3)
        return self._body(shape.name)

    def _bytes(self, shape: Opaque | String) -> Values:
        bound = UINT_MAX if shape.bound is None else int(shape.bound)
        if isinstance(shape, Opaque) and shape.fixed:
            few = st.binary(min_size=min(bound, 9), max_size=min(bound, 9))
            return few.map(lambda data: (data * (bound // 9 + 1))[:bound])
        return st.binary(max_size=min(bound, 9)) | st.just(bytes(min(bound, 1500)))

    def _body(self, name: str) -> Values:
        cls = getattr(self.module, names.module_name(name))
        body = self.layout.types[name].type
        if isinstance(body, Enum):
            return st.sampled_from(list(cls))
        if isinstance(body, Struct):
            return st.builds(cls, *(self.of(t) for _, t in self.layout.fields(name)))
        assert isinstance(body, Union)
        discriminants = self.of(body.discriminant.type)
        cases = {int(case) for arm in body.arms for case in arm.cases}
        arms = []
        for arm in self.layout.arms(body):
            numbers = {int(case) for case in arm.cases}
            if numbers:
                disc = st.sampled_from([self._case(body, n) for n in sorted(numbers)])
            else:
                disc = discriminants.filter(lambda number: number not in cases)
            data = st.none() if arm.data is None else self.of(arm.data.type)
            arms.append(st.builds(cls, disc, data))
        return st.one_of(arms)

    def _case(self, body: Union, number: int) -> Any:
        target = self.layout.shape(body.discriminant.type)
        if isinstance(target, Ref):
            return getattr(self.module, names.module_name(target.name))(number)
        return bool(number) if target == Prim("bool") else number

    def codecs(self, name: str) -> tuple[Any, Any]:
        """Decoder and encoder of the generated module."""
        return getattr(self.module, f"decode_{name}"), getattr(self.module, f"encode_{name}")


@cache
def subject(filename: str) -> Subject:
    """One of the project's .x files, or ``torture.x``."""
    path, encoded = TORTURE, cast("tuple[str, ...]", ("attr",))
    if filename in FILES:
        path, encoded = ROOT / FILES[filename].source, FILES[filename].encoded
    text = path.read_text("utf-8")
    layout = Layout(check(parse(text)), encoded)
    return Subject(layout, compile_module(text, encoded), dynamic.load(path))


def all_types() -> list[tuple[str, str]]:
    """Every file with every type in it."""
    return [(file, name) for file in (*FILES, "torture.x") for name in subject(file).layout.types]


def plain(value: Any) -> Any:
    """A value without its classes, so that generated and dynamic ones can be compared."""
    if dataclasses.is_dataclass(value):
        fields = [plain(getattr(value, f.name)) for f in dataclasses.fields(value)]
        return (type(value).__name__, *fields)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, enum.IntEnum):
        return (type(value).__name__, value.name, int(value))
    return bytes(value) if isinstance(value, memoryview) else value
