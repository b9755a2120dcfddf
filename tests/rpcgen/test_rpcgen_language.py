"""The front end: tokens, grammar, checks; every error with its place and what was expected."""

from __future__ import annotations

import pytest

from oncrpc.rpcgen import dynamic, lexer
from oncrpc.rpcgen.__main__ import compile_text
from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.layout import Layout
from oncrpc.rpcgen.model import Array, Enum, Opaque, Option, Prim, RpcgenError, Struct, Union
from oncrpc.rpcgen.parser import parse


def compiled(text: str) -> Layout:
    return Layout(check(parse(text, "t.x")))


def test_tokens_know_their_places() -> None:
    text = "const A = 0x1F; /* two\nlines */ -7\n%skipped { } \n  017 b_2<>"
    found = [(t.kind, t.text, t.pos.line, t.pos.column) for t in lexer.tokens(text, "t.x")]
    assert found == [
        ("keyword", "const", 1, 1),
        ("name", "A", 1, 7),
        ("punct", "=", 1, 9),
        ("number", "0x1F", 1, 11),
        ("punct", ";", 1, 15),
        ("number", "-7", 2, 10),
        ("number", "017", 4, 3),
        ("name", "b_2", 4, 7),
        ("punct", "<", 4, 10),
        ("punct", ">", 4, 11),
        ("end", "", 4, 12),
    ]
    assert [lexer.number(n) for n in ("0", "017", "0x1f", "0XFF", "-12", "12")] == [
        0, 15, 31, 255, -12, 12,
    ]  # fmt: skip


def test_the_tree_of_each_declaration() -> None:
    types = compiled(
        "const N = 3; struct s { int a[N]; unsigned b<N>; opaque c[2]; opaque d<>; string e<9>;"
        " hyper *f; unsigned hyper g; bool h; struct { int x; } i; };"
        "union u switch (unsigned d) { case 1: case 2: int a; case 3: void; default: s b; };"
        "typedef enum { P = 1, Q = P } e;"
    ).types
    s, u, e = types["s"].type, types["u"].type, types["e"].type
    assert isinstance(s, Struct) and isinstance(u, Union) and isinstance(e, Enum)
    a, b, c, d = (f.type for f in s.fields[:4])
    assert isinstance(a, Array) and a.fixed and a.bound is not None and int(a.bound) == 3
    assert isinstance(b, Array) and not b.fixed and b.item == Prim("unsigned")
    assert isinstance(c, Opaque) and c.fixed and isinstance(d, Opaque) and d.bound is None
    assert s.fields[5].type == Option(Prim("hyper"))
    assert s.fields[6].type == Prim("unsigned hyper")
    assert isinstance(types["s_i"].type, Struct)
    assert [[int(case) for case in arm.cases] for arm in u.arms] == [[1, 2], [3]]
    assert u.default is not None and u.default.data is not None
    assert [int(m.value) for m in e.members] == [1, 1]


SYNTAX = [
    ("int x;", "1:1: expected const, typedef, enum, struct, union or program, found 'int'"),
    ("const A = B;", "1:11: expected a decimal, octal or hexadecimal constant, found 'B'"),
    ("const A = 1", "1:12: expected ';', found the end of the file"),
    ("const 1 = 1;", "1:7: expected the constant's name, found '1'"),
    ("const int = 1;", "1:7: expected the constant's name (a keyword cannot be an identifier)"),
    ("const A = 08;", "1:11: '08' is no decimal, octal or hex constant"),
    ("const A = 0x;", "1:11: '0x' is no decimal, octal or hex constant"),
    ("const A = 12ab;", "1:11: '12ab' is no decimal, octal or hex constant"),
    ("const A = -;", "1:11: expected digits after '-'"),
    ("const _A = 1;", "1:7: an identifier begins with a letter"),
    ("const A = 1; // no", "1:14: '//' is no comment in XDR"),
    ("\n#include <x.h>\n", "2:1: '#include <x.h>': preprocessor lines are no part of XDR"),
    ("const A = 1;\n/* never", "2:1: this comment never ends: expected '*/'"),
    ("const A = 1;\n  $", "2:3: unexpected character '$'"),
    ("typedef void;", "1:1: 'typedef void' names no type"),
    ("typedef string s;", "1:17: expected '<', found ';'"),
    ("typedef string s[3];", "1:17: expected '<', found '['"),
    ("typedef opaque s;", "1:17: expected '[' or '<', found ';'"),
    ("typedef int a[];", "1:15: expected the array's size, found ']'"),
    ("typedef int a<", "1:15: expected the largest size, or '>', found the end"),
    ("typedef int *a<3>;", "1:15: expected ';', found '<'"),
    ("typedef quadruple q;", "1:9: quadruple is not supported"),
    ("enum e { A };", "1:12: expected '=': A needs a value"),
    ("enum e { A = 1, };", "1:17: expected an enum member's name, found '}'"),
    ("enum e { A = 1 B = 2 };", "1:16: expected ',' or '}', found 'B'"),
    ("struct s {\n  int a;\n  int;\n};", "3:6: expected a field's name, found ';'"),
    ("struct s { };", "1:12: expected a type, found '}'"),
    ("struct s { int a; }", "1:20: expected ';' after struct s, found the end of the file"),
    ("union u { int a; };", "1:9: expected 'switch' after union, found '{'"),
    ("union u switch (int d) { int a; };", "1:26: expected 'case', found 'int'"),
    ("union u switch (void) { case 1: void; };", "1:17: void is no discriminant"),
    (
        "union u switch (int d) { case 1: void; default: void; case 2: void; };",
        "1:55: expected '}' after default, found 'case'",
    ),
    ("union u switch (int d) { case 1: int a; int b; };", "1:41: expected case, default or '}'"),
    ("program P { } = 1;", "1:13: expected 'version', found '}'"),
    ("program P { version V { } = 1; } = 1;", "1:25: expected a result's type"),
    ("program P { version V { void A(void) = 0; } = X; } = 1;", "1:47: expected a number"),
    ("program P { version V { void A(int, void) = 0; } = 1; } = 1;", "1:37: expected a type: void"),
    ("program P { version V { void A(void, int) = 0; } = 1; } = 1;", "1:36: expected ')'"),
    ("program P { version V { void A() = 0; } = 1; } = 1;", "1:32: expected an argument's type"),
    ("program P { version V { opaque A(int) = 0; } = 1; } = 1;", "1:25: expected a result's type"),
]

MEANING = [
    ("const A = 1;\nconst A = 2;", "2:7: 'A' is declared twice: first declared at line 1"),
    ("const A = 1; struct A { int a; };", "1:21: 'A' is declared twice"),
    ("enum e { A = 1 }; enum f { A = 2 };", "1:28: 'A' is declared twice"),
    ("const TRUE = 1;", "1:7: 'TRUE' is declared twice: TRUE and FALSE are bool's"),
    ("struct s { int a; int a; };", "1:23: field 'a' is already at line 1"),
    ("union u switch (int a) { case 1: int a; };", "1:38: arm 'a' is already at line 1"),
    ("const A = 99999999999999999999;", "1:11: constant 99999999999999999999 is not in"),
    ("enum e { A = 0x80000000 };", "1:14: enum value 0x80000000 is not in -2147483648"),
    ("enum e { A = B };", "1:14: 'B' is no constant declared before this"),
    ("typedef int a[N]; const N = 1;", "1:15: 'N' is no constant declared before this"),
    ("enum e { A = 1 }; typedef int a[A];", "1:33: size 'A' must be a const"),
    ("const N = -1; typedef opaque a<N>;", "1:32: size N is not in 0..4294967295"),
    ("typedef opaque a<-1>;", "1:18: size -1 is not in 0..4294967295"),
    ("typedef int a[4294967296];", "1:15: size 4294967296 is not in"),
    ("struct s { nothing n; };", "1:12: type 'nothing' is not declared"),
    ("enum e { A = 1 }; struct s { struct e x; };", "1:37: 'e' is no struct"),
    ("typedef a b; typedef b a;", "1:11: typedef 'b' refers to itself"),
    ("typedef a a<3>;", "1:11: typedef 'a' refers to itself"),
    ("struct s { int a; s b; };", "1:8: 's' contains itself and would be infinite"),
    ("struct s { t a[2]; }; struct t { s b; };", "1:8: 's' contains itself and would be"),
    ("union u switch (int a) { case 1: u b; };", "1:7: 'u' contains itself and would be"),
    ("union u switch (hyper h) { case 1: void; };", "1:23: discriminant 'h' must be int, unsigned"),
    ("struct s { int a; }; union u switch (s h) { case 1: void; };", "1:40: discriminant 'h' must"),
    ("union u switch (int d) { case 1: case 1: void; };", "1:39: case 1 is already at line 1"),
    ("const A = 1; union u switch (int d) { case 1: void; case A: void; };", "case A is already"),
    ("union u switch (bool d) { case 2: void; };", "1:32: case 2 is not in 0..1"),
    ("union u switch (unsigned d) { case -1: void; };", "1:36: case -1 is not in 0..4294967295"),
    ("union u switch (int d) { case X: void; };", "1:31: case 'X' is no declared constant"),
    (
        "enum e { A = 1 }; enum f { B = 1 }; union u switch (e d) { case B: void; };",
        "1:65: case B is no member of the enum of 'd'",
    ),
    (
        "enum e { A = 1 }; union u switch (e d) { case 2: void; };",
        "case 2 is no member of the enum",
    ),
    ("struct s { void; }; typedef s a<>;", "1:31: an array's elements must have a size"),
    ("struct s { opaque x[0]; }; struct t { s xs[3]; };", "1:41: an array's elements must have"),
    (
        "program P { version V { void A(void) = 0; void A(void) = 1; } = 1; } = 1;",
        "1:48: procedure 'A' is already at line 1",
    ),
    (
        "program P { version V { void A(void) = 0; void B(void) = 0; } = 1; } = 1;",
        "1:58: procedure number 0 is already A's",
    ),
    (
        "program P { version V { void A(void)=0; }=1; version W { void A(void)=0; }=1; } = 1;",
        "1:76: version number 1 is already V's",
    ),
    (
        "program P { version V { void A(void)=0; }=1; }=1;\n"
        "program Q { version W { void A(void)=0; }=1; }=1;",
        "2:43: program 1 version 1 is already V",
    ),
    (
        "program P { version V { void A(void)=0; }=1; }=1;\n"
        "program Q { version V { void A(void)=0; }=1; }=2;",
        "2:21: 'V' is declared twice",
    ),
    ("program P { version V { void A(void)=-1; }=1; }=1;", "procedure number -1 is not in"),
    ("program P { version V { void A(x)=1; }=1; }=1;", "1:32: type 'x' is not declared"),
    ("struct s { int from; int from_; };", "1:8: the Python name 'from_' would stand for two"),
    ("struct x { int a; }; struct decode_x { int a; };", "the Python name 'decode_x' would stand"),
    ("struct s { struct { int x; } a; }; struct s_a { int y; };", "'s_a' is declared twice"),
]


@pytest.mark.parametrize(("text", "says"), SYNTAX + MEANING)
def test_errors_name_the_place_and_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(RpcgenError) as caught:
        compiled(text)
    assert str(caught.value).startswith("t.x:")
    assert says in str(caught.value)


CHAIN = "".join(f"struct s{n} {{ s{n + 1} *x; }};" for n in range(700))


TOO_MUCH = [
    (f"const A = {'9' * 5000};", "no number of XDR"),
    ("struct a {" + "struct {" * 3000 + "int x;" + "} y;" * 3000 + "};", "too deep"),
    (CHAIN + "struct s700 { int a; };", "too deep"),
]


@pytest.mark.parametrize(("text", "says"), TOO_MUCH, ids=["digits", "nested", "chained"])
def test_what_would_exhaust_python_is_refused(text: str, says: str) -> None:
    with pytest.raises(RpcgenError, match=says):
        compile_text(text, "t.x")
    try:  # no need of the whole depth
        dynamic.load(text + "\n")
    except RpcgenError as exc:
        assert says in str(exc)


GOOD = [
    "const A = -1; const B = 0x7f; const C = 017;",
    "union u switch (int a) { case 1: u b; case 2: void; };",
    "struct s { s *a; int b; }; struct t { t a<>; };",
    "struct a { b *x; }; struct b { a y<2>; };",
    "typedef later early; struct later { int x; };",
    "enum e { A = 1, B = 1 }; union u switch (e d) { case A: int x; default: void; };",
    "enum e { A = 1 }; const C = 1; union u switch (e d) { case C: int x; };",
    "enum e { A = 1 }; union u switch (e d) { case 1: int x; };",
    "typedef bool b; union u switch (b d) { case 1: int x; case 0: void; };",
    "program P { version V { void A(void)=0; }=1; version W { void A(void)=0; }=2; } = 1;"
    "program Q { version X { void A(void)=0; }=3; } = 1;",
    "struct s { struct t *next; int a; }; struct t { int x; };",
    "",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_right_passes(text: str) -> None:
    compiled(text)


def test_lists_and_trees_are_told_apart() -> None:
    layout = compiled(
        "struct node { int x; node *next; }; typedef node *nodes; struct user { nodes n; };"
        "struct tree { tree *left; tree *right; }; struct only { only *next; };"
        "struct bare { int x; bare *next; }; struct holder { bare b; };"
        "struct front { front *next; int x; };"
        "union more switch (bool b) { case TRUE: cell c; default: void; };"
        "struct cell { int x; more rest; };"
    )
    assert layout.nodes == {"node", "cell"}
    assert layout.recursive == {"tree", "only", "bare", "front"}
    assert layout.annotation(layout.types["user"].type.fields[0].type) == "nodes"  # type: ignore[union-attr]
    assert layout.written_out(layout.types["nodes"].type) == "list[node]"
