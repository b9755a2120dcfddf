"""Tokens to tree: the grammar of RFC 4506 section 6.3 and RFC 5531 section 12.2.

Two widenings, because the RFCs' own .x files use them: ``struct NAME`` (also enum, union) as a
reference to a type, and ``string`` with an optional bound as the type of an argument or a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from oncrpc.rpcgen import lexer
from oncrpc.rpcgen.lexer import Token
from oncrpc.rpcgen.model import (
    Arm,
    Array,
    Const,
    Definition,
    Enum,
    Field,
    Member,
    Opaque,
    Option,
    Pos,
    Prim,
    ProcDef,
    ProgramDef,
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
    not_too_deep,
)

_PRIMS = {"int": "int", "hyper": "hyper", "float": "float", "double": "double", "bool": "bool"}


def parse(text: str, filename: str = "<text>") -> Spec:
    """The tree of `text`, unchecked. Raises RpcgenError with the place and what was expected."""
    with not_too_deep(filename):
        return _Parser(text, filename).specification()


class _Parser:
    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self.tokens = list(lexer.tokens(text, filename))
        self.index = 0
        self.definitions: dict[str, Callable[[Pos], Definition]] = {
            "const": self.const_def,
            "typedef": self.typedef,
            "enum": self.body_def,
            "struct": self.body_def,
            "union": self.body_def,
            "program": self.program_def,
        }
        self.bodies: dict[str, Callable[[], Type]] = {
            "enum": self.enum_body,
            "struct": self.struct_body,
            "union": self.union_body,
        }

    # -- tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def advance(self) -> Token:
        token = self.token
        self.index += token.kind != "end"
        return token

    def fail(self, expected: str) -> NoReturn:
        raise RpcgenError(self.filename, self.token.pos, f"expected {expected}, found {self.token}")

    def at(self, *texts: str) -> bool:
        return self.token.kind in ("punct", "keyword") and self.token.text in texts

    def take(self, text: str) -> bool:
        found = self.at(text)
        if found:
            self.advance()
        return found

    def expect(self, text: str, context: str = "") -> Token:
        if not self.at(text):
            self.fail(f"'{text}'{context}")
        return self.advance()

    def name(self, what: str) -> Token:
        if self.token.kind == "keyword":
            self.fail(f"{what} (a keyword cannot be an identifier)")
        if self.token.kind != "name":
            self.fail(what)
        return self.advance()

    def value(self, what: str) -> Value:
        token = self.token
        if token.kind == "number":
            self.advance()
            return Value(token.text, token.pos, lexer.number(token.text))
        if token.kind == "name":
            self.advance()
            return Value(token.text, token.pos)
        self.fail(what)

    def constant(self, what: str) -> Value:
        if self.token.kind != "number":
            self.fail(what)
        return self.value(what)

    # -- definitions

    def specification(self) -> Spec:
        spec = Spec(self.filename)
        while self.token.kind != "end":
            make = self.definitions.get(self.token.text) if self.token.kind == "keyword" else None
            if make is None:
                self.fail("const, typedef, enum, struct, union or program")
            spec.definitions.append(make(self.token.pos))
        return spec

    def const_def(self, pos: Pos) -> Const:
        self.expect("const")
        name = self.name("the constant's name")
        self.expect("=")
        value = self.constant("a decimal, octal or hexadecimal constant")
        self.expect(";")
        return Const(name.text, value, name.pos)

    def typedef(self, pos: Pos) -> TypeDef:
        self.expect("typedef")
        declared = self.declaration("the new type's name")
        if declared is None:
            raise RpcgenError(self.filename, pos, "'typedef void' names no type")
        self.expect(";")
        return TypeDef(declared.name, declared.type, declared.pos)

    def body_def(self, pos: Pos) -> TypeDef:
        keyword = self.advance().text
        name = self.name(f"the {keyword}'s name")
        type_ = self.bodies[keyword]()
        self.expect(";", f" after {keyword} {name.text}")
        return TypeDef(name.text, type_, name.pos)

    # -- types

    def type_specifier(self) -> Type:
        token = self.token
        if token.kind == "name":
            self.advance()
            return Ref(token.text, token.pos)
        if token.kind == "keyword":
            if token.text in _PRIMS:
                self.advance()
                return Prim(_PRIMS[token.text])
            if token.text == "unsigned":
                return self.unsigned()
            if token.text in self.bodies:
                return self.body_or_reference()
            if token.text == "quadruple":
                message = "quadruple is not supported: Python has no such type"
                raise RpcgenError(self.filename, token.pos, f"{message} (RFC 4506 section 4.8)")
        self.fail("a type")

    def unsigned(self) -> Type:
        self.expect("unsigned")
        if self.take("hyper"):
            return Prim("unsigned hyper")
        self.take("int")
        return Prim("unsigned")

    def body_or_reference(self) -> Type:
        keyword = self.advance().text
        if self.token.kind == "name":
            name = self.advance()
            return Ref(name.text, name.pos, keyword)
        return self.bodies[keyword]()

    def declaration(self, what: str) -> Field | None:
        """One declaration; None for void."""
        if self.take("void"):
            return None
        if self.at("opaque", "string"):
            return self.bytes_declaration(what)
        item = self.type_specifier()
        if self.take("*"):
            name = self.name(what)
            return Field(name.text, Option(item), name.pos)
        name = self.name(what)
        if self.at("[", "<"):
            fixed, bound = self.bound()
            return Field(name.text, Array(item, bound, fixed), name.pos)
        return Field(name.text, item, name.pos)

    def bytes_declaration(self, what: str) -> Field:
        opaque = self.advance().text == "opaque"
        name = self.name(what)
        if not self.at("<", "[") or (self.at("[") and not opaque):
            self.fail("'[' or '<'" if opaque else "'<'")
        fixed, bound = self.bound()
        return Field(name.text, Opaque(bound, fixed) if opaque else String(bound), name.pos)

    def bound(self) -> tuple[bool, Value | None]:
        """``[n]``, ``<n>`` or ``<>``: whether it is fixed, and the size."""
        if self.take("["):
            size = self.value("the array's size")
            self.expect("]")
            return True, size
        self.expect("<")
        if self.take(">"):
            return False, None
        most = self.value("the largest size, or '>'")
        self.expect(">")
        return False, most

    def enum_body(self) -> Enum:
        self.expect("{", " and the enum's body")
        members = [self.member()]
        while self.take(","):
            members.append(self.member())
        if not self.at("}"):
            self.fail("',' or '}'")
        self.advance()
        return Enum(members)

    def member(self) -> Member:
        name = self.name("an enum member's name")
        self.expect("=", f": {name.text} needs a value (RFC 4506 section 4.3)")
        return Member(name.text, self.value("a constant"), name.pos)

    def struct_body(self) -> Struct:
        self.expect("{", " and the struct's body")
        fields: list[Field] = []
        while True:
            declared = self.declaration("a field's name")
            self.expect(";")
            if declared is not None:
                fields.append(declared)
            if self.take("}"):
                return Struct(fields)

    def union_body(self) -> Union:
        self.expect("switch", " after union")
        self.expect("(")
        pos = self.token.pos
        discriminant = self.declaration("the discriminant's name")
        if discriminant is None:
            raise RpcgenError(self.filename, pos, "void is no discriminant")
        self.expect(")")
        self.expect("{")
        arms: list[Arm] = []
        while not arms or self.at("case"):
            arms.append(self.arm())
        default = self.default_arm()
        if not self.at("}"):
            self.fail("'}' after default" if default else "case, default or '}'")
        self.advance()
        return Union(discriminant, arms, default)

    def arm(self) -> Arm:
        pos = self.token.pos
        cases: list[Value] = []
        while not cases or self.at("case"):
            self.expect("case")
            cases.append(self.value("a case's value"))
            self.expect(":")
        data = self.declaration("the arm's name")
        self.expect(";")
        return Arm(cases, data, pos)

    def default_arm(self) -> Arm | None:
        pos = self.token.pos
        if not self.take("default"):
            return None
        self.expect(":")
        data = self.declaration("the arm's name")
        self.expect(";")
        return Arm([], data, pos)

    # -- programs

    def program_def(self, pos: Pos) -> ProgramDef:
        self.expect("program")
        name = self.name("the program's name")
        self.expect("{")
        versions: list[VersionDef] = []
        while not versions or self.at("version"):
            versions.append(self.version_def())
        if not self.at("}"):
            self.fail("version or '}'")
        return ProgramDef(name.text, self.numbered(), versions, name.pos)

    def numbered(self) -> Value:
        """``} = NUMBER ;``"""
        self.expect("}")
        self.expect("=")
        number = self.constant("a number")
        self.expect(";")
        return number

    def version_def(self) -> VersionDef:
        self.expect("version")
        name = self.name("the version's name")
        self.expect("{")
        procs: list[ProcDef] = []
        while not procs or not self.at("}"):
            procs.append(self.proc_def())
        return VersionDef(name.text, self.numbered(), procs, name.pos)

    def proc_def(self) -> ProcDef:
        result = self.proc_type("a result's type, void or '}'")
        name = self.name("the procedure's name")
        self.expect("(")
        args = [self.proc_type("an argument's type or void")]
        while not isinstance(args[0], Void) and self.take(","):
            if self.at("void"):
                self.fail("a type: void can only stand alone")
            args.append(self.proc_type("an argument's type"))
        if not self.at(")"):
            self.fail("')'" if isinstance(args[0], Void) else "',' or ')'")
        self.advance()
        self.expect("=")
        number = self.constant("the procedure's number")
        self.expect(";")
        real = [] if isinstance(args[0], Void) else args
        return ProcDef(name.text, number, real, result, name.pos)

    def proc_type(self, what: str) -> Type:
        if self.take("void"):
            return Void()
        if self.take("string"):
            return String(self.bound()[1] if self.at("<") else None)
        if self.token.kind not in ("name", "keyword") or self.at("opaque"):
            self.fail(what)
        return self.type_specifier()
