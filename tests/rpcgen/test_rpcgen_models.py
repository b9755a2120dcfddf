"""Random .x files: whatever the grammar allows must compile, and agree with xdrlib3."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xdr_values import Subject, compile_module, plain

from oncrpc import xdr
from oncrpc.rpcgen import dynamic
from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.emit import emit
from oncrpc.rpcgen.layout import Layout
from oncrpc.rpcgen.model import RpcgenError
from oncrpc.rpcgen.parser import parse

COUNT = 5
NAMES = st.sampled_from([f"t{n}" for n in range(COUNT)])
SIMPLE = st.sampled_from(
    ["int", "unsigned", "hyper", "unsigned hyper", "float", "double", "bool", "colour"]
)
SPECIFIERS = SIMPLE | NAMES
#: A long array stands of simple things only: 17 to the fifth power is no test.
LONG = st.tuples(SIMPLE, st.just(17)) | st.tuples(SPECIFIERS, st.sampled_from([1, 2]))


@st.composite
def declarations(draw: st.DrawFn, name: str) -> str:
    """One declaration of the field `name`."""
    form = draw(st.integers(0, 8))
    item, size = draw(LONG)
    return [
        f"{draw(SPECIFIERS)} {name}",
        f"{draw(SPECIFIERS)} {name}",
        f"{draw(SPECIFIERS)} *{name}",
        f"{item} {name}[{size}]",
        f"{item} {name}<{size}>",
        f"opaque {name}[{size}]",
        f"opaque {name}<{draw(st.sampled_from(['', '5', '2000']))}>",
        f"string {name}<{draw(st.sampled_from(['', '5']))}>",
        f"{draw(SPECIFIERS)} {name}<>",
    ][form]


@st.composite
def definitions(draw: st.DrawFn, name: str) -> str:
    """A struct, a union or a typedef called `name`."""
    form = draw(st.integers(0, 5))
    if form <= 2:
        fields = [draw(declarations(f"f{n}")) for n in range(draw(st.integers(1, 4)))]
        if form == 2:
            fields.append(f"{name} *f9")
        return f"struct {name} {{ {'; '.join(fields)}; }};"
    if form == 3:
        return f"typedef {draw(declarations(name))};"
    disc, cases = draw(
        st.sampled_from(
            [("bool", ["TRUE", "FALSE"]), ("int", ["-1", "5"]), ("colour", ["RED", "GREEN"])]
        )
    )
    arms = [f"case {cases[0]}: {draw(declarations('a0'))};"]
    arms.append(f"case {cases[1]}: {draw(st.just('void') | declarations('a1'))};")
    if draw(st.booleans()):
        arms.append(f"default: {draw(st.just('void') | declarations('a2'))};")
    return f"union {name} switch ({disc} d) {{ {' '.join(arms)} }};"


@st.composite
def files(draw: st.DrawFn) -> str:
    """A whole file that the checks accept."""
    head = "enum colour { RED = 0, GREEN = 1, BLUE = -5 };"
    text = "\n".join([head, *(draw(definitions(f"t{n}")) for n in range(COUNT))])
    try:
        Layout(check(parse(text)))
    except RpcgenError as exc:
        # Only what no tree of this shape can have: endless values and empty elements.
        known = ("contains itself", "refers to itself")
        assert any(words in exc.message for words in known), (text, exc)
        return ""
    return text


def test_code_grows_with_the_file_not_with_what_it_unfolds_to() -> None:
    """Thirty structs, each twice in the one before, and arrays of arrays."""
    text = "struct s0 { int a; hyper b; };\n" + "\n".join(
        f"struct s{n} {{ s{n - 1} a; s{n - 1} *b; s{n - 1} c<>; }};" for n in range(1, 31)
    )
    text += "\ntypedef int a0[9];" + "".join(f"typedef a{n} a{n + 1}[9];" for n in range(8))
    layout = Layout(check(parse(text)))
    assert layout.inlined("s1") and not layout.inlined("s3")
    assert len(emit(check(parse(text)), "t.x").splitlines()) < 20_000


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
@given(text=files().filter(bool), data=st.data())
def test_random_files(text: str, data: st.DataObject) -> None:
    layout = Layout(check(parse(text)))
    subject = Subject(layout, compile_module(text), dynamic.load(text))
    for name in layout.types:
        decode, encode = subject.codecs(name)
        value: Any = data.draw(subject.named(name))
        wire = xdr.encode(encode, value)
        assert wire == subject.dynamic.encode(name, value)
        assert xdr.decode(decode, memoryview(wire)) == value
        assert plain(subject.dynamic.decode(name, wire)) == plain(value)
