"""What the grammar cannot say: names, values and recursion (RFC 4506 section 6.4, RFC 5531 12.2).

`check` fills in every `Value.number` and gives each nested anonymous body a name of its own, so
that afterwards enumerations, structs and unions stand only directly under a `TypeDef`.
"""

from __future__ import annotations

from oncrpc.rpcgen.model import (
    BOOL_VALUES,
    UINT_MAX,
    Arm,
    Array,
    Const,
    Definition,
    Enum,
    Opaque,
    Option,
    Pos,
    Prim,
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
    Void,
    arm_fields,
    children,
    not_too_deep,
    replace_children,
)

INFINITE = 1 << 62

_INT_RANGE = (-(2**31), 2**31 - 1)
_RANGES = {"int": _INT_RANGE, "unsigned": (0, UINT_MAX), "bool": (0, 1)}
_SIZES = {"hyper": 8, "unsigned hyper": 8, "double": 8}
_KINDS: dict[str, type] = {"enum": Enum, "struct": Struct, "union": Union}


def check(spec: Spec) -> Spec:
    """Complete `spec` and return it. Raises RpcgenError at the first thing that is not right."""
    with not_too_deep(spec.filename):
        _Hoist(spec).run()
        _Names(spec).run()
        _Types(spec).run()
    return spec


def prim_size(prim: Prim) -> int:
    """The bytes of a number."""
    return _SIZES.get(prim.kind, 4)


class _Hoist:
    """Gives nested bodies names: field ``b`` of struct ``a`` becomes type ``a_b``."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.out: list[Definition] = []

    def run(self) -> None:
        for definition in self.spec.definitions:
            if isinstance(definition, TypeDef):
                self.top(definition)
            elif isinstance(definition, ProgramDef):
                self.program(definition)
            self.out.append(definition)
        self.spec.definitions = self.out

    def top(self, definition: TypeDef) -> None:
        if isinstance(definition.type, (Array, Option)):
            item = definition.type.item
            definition.type.item = self.lift(item, f"{definition.name}_item", definition.pos)
        else:
            self.inside(definition.type, definition.name, definition.pos)

    def inside(self, body: Type, owner: str, pos: Pos) -> None:
        replace_children(body, lambda child, name: self.lift(child, f"{owner}_{name}", pos))

    def lift(self, type_: Type, name: str, pos: Pos) -> Type:
        if isinstance(type_, (Array, Option)):
            type_.item = self.lift(type_.item, name, pos)
        elif isinstance(type_, (Enum, Struct, Union)):
            self.inside(type_, name, pos)
            self.out.append(TypeDef(name, type_, pos))
            return Ref(name, pos)
        return type_

    def program(self, program: ProgramDef) -> None:
        for version in program.versions:
            for proc in version.procs:
                proc.args = [
                    self.lift(arg, f"{proc.name}_arg{n}", proc.pos)
                    for n, arg in enumerate(proc.args, 1)
                ]
                proc.result = self.lift(proc.result, f"{proc.name}_res", proc.pos)


class _Names:
    """Unique names, and constants that are declared before they are used."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.seen: dict[str, Pos | None] = dict.fromkeys(BOOL_VALUES)
        self.consts: dict[str, int] = dict(BOOL_VALUES)
        self.sizes: set[str] = set()

    def fail(self, pos: Pos, message: str) -> RpcgenError:
        return RpcgenError(self.spec.filename, pos, message)

    def run(self) -> None:
        for definition in self.spec.definitions:
            self.declare(definition.name, definition.pos)
            if isinstance(definition, Const):
                self.constant(definition)
            elif isinstance(definition, TypeDef):
                self.type(definition.type)
            else:
                self.program(definition)

    def declare(self, name: str, pos: Pos) -> None:
        if name in self.seen:
            first = self.seen[name]
            where = f"first declared at line {first.line}" if first else "TRUE and FALSE are bool's"
            raise self.fail(pos, f"'{name}' is declared twice: {where}")
        self.seen[name] = pos

    def unique(self, names: list[tuple[str, Pos]], what: str) -> None:
        seen: dict[str, Pos] = {}
        for name, pos in names:
            if name in seen:
                raise self.fail(pos, f"{what} '{name}' is already at line {seen[name].line}")
            seen[name] = pos

    def number(self, value: Value, low: int, high: int, what: str) -> int:
        if value.is_name:
            if value.text not in self.consts:
                raise self.fail(value.pos, f"'{value.text}' is no constant declared before this")
            value.number = self.consts[value.text]
        if not low <= int(value) <= high:
            raise self.fail(value.pos, f"{what} {value.text} is not in {low}..{high}")
        return int(value)

    def constant(self, const: Const) -> None:
        number = self.number(const.value, -(2**63), 2**64 - 1, "constant")
        self.consts[const.name] = number
        self.sizes.add(const.name)

    def type(self, type_: Type) -> None:
        if isinstance(type_, (Array, Opaque, String)) and type_.bound is not None:
            self.size(type_.bound)
        elif isinstance(type_, Enum):
            for member in type_.members:
                number = self.number(member.value, *_INT_RANGE, "enum value")
                self.declare(member.name, member.pos)
                self.consts[member.name] = number
        elif isinstance(type_, Struct):
            self.unique([(f.name, f.pos) for f in type_.fields], "field")
        elif isinstance(type_, Union):
            fields = [type_.discriminant, *arm_fields(type_)]
            self.unique([(f.name, f.pos) for f in fields], "arm")
        for child in children(type_):
            self.type(child)

    def size(self, bound: Value) -> None:
        if bound.is_name and bound.text in self.consts and bound.text not in self.sizes:
            raise self.fail(
                bound.pos, f"size '{bound.text}' must be a const (RFC 4506 section 6.4 note 2)"
            )
        self.number(bound, 0, UINT_MAX, "size")

    def program(self, program: ProgramDef) -> None:
        self.number(program.number, 0, UINT_MAX, "program number")
        self.numbers([(v.number, v.name) for v in program.versions], "version")
        for version in program.versions:
            self.declare(version.name, version.pos)
            self.unique([(p.name, p.pos) for p in version.procs], "procedure")
            self.numbers([(p.number, p.name) for p in version.procs], "procedure")
            for proc in version.procs:
                for type_ in (*proc.args, proc.result):
                    self.type(type_)

    def numbers(self, items: list[tuple[Value, str]], what: str) -> None:
        seen: dict[int, str] = {}
        for value, name in items:
            number = self.number(value, 0, UINT_MAX, f"{what} number")
            if number in seen:
                raise self.fail(value.pos, f"{what} number {number} is already {seen[number]}'s")
            seen[number] = name


class _Types:
    """References, unions' cases, sizes."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.types = spec.types
        enums = [d.type for d in self.types.values() if isinstance(d.type, Enum)]
        self.members = BOOL_VALUES | {m.name: int(m.value) for e in enums for m in e.members}
        self.constants = self.members | {c.name: int(c.value) for c in spec.consts}
        self.least = spec.least

    def fail(self, pos: Pos, message: str) -> RpcgenError:
        return RpcgenError(self.spec.filename, pos, message)

    def run(self) -> None:
        everything = [(d.type, d.pos) for d in self.types.values()] + [
            (type_, proc.pos)
            for program in self.spec.programs
            for version in program.versions
            for proc in version.procs
            for type_ in (*proc.args, proc.result)
        ]
        for type_, _ in everything:
            self.references(type_)
        for definition in self.types.values():
            self.typedef_cycle(definition)
        for type_, _ in everything:
            self.unions(type_)
        self.measure()
        for type_, pos in everything:
            self.elements(type_, pos)
        self.programs()

    def references(self, type_: Type) -> None:
        if isinstance(type_, Ref):
            if type_.name not in self.types:
                raise self.fail(type_.pos, f"type '{type_.name}' is not declared")
            wanted = _KINDS.get(type_.kind)
            if wanted and not isinstance(self.types[type_.name].type, wanted):
                raise self.fail(type_.pos, f"'{type_.name}' is no {type_.kind}")
        for child in children(type_):
            self.references(child)

    def typedef_cycle(self, definition: TypeDef) -> None:
        """Refuse a typedef that comes back to itself with no struct or union between."""
        stack, seen = [definition.type], set[str]()
        while stack:
            type_ = stack.pop()
            if isinstance(type_, Ref):
                if type_.name == definition.name:
                    raise self.fail(definition.pos, f"typedef '{definition.name}' refers to itself")
                target = self.types[type_.name].type
                if type_.name not in seen and not isinstance(target, (Struct, Union, Enum)):
                    stack.append(target)
                seen.add(type_.name)
            elif isinstance(type_, (Array, Option)):
                stack.append(type_.item)

    def target(self, type_: Type) -> Type:
        while isinstance(type_, Ref):
            type_ = self.types[type_.name].type
        return type_

    # -- unions

    def unions(self, type_: Type) -> None:
        if not isinstance(type_, Union):
            return
        target = self.target(type_.discriminant.type)
        name = type_.discriminant.name
        if not isinstance(target, Enum) and not (
            isinstance(target, Prim) and target.kind in _RANGES
        ):
            raise self.fail(
                type_.discriminant.pos,
                f"discriminant '{name}' must be int, unsigned int, bool or an enum",
            )
        seen: dict[int, Value] = {}
        for arm in type_.arms:
            self.cases(arm, target, name, seen)

    def cases(self, arm: Arm, target: Type, name: str, seen: dict[int, Value]) -> None:
        for value in arm.cases:
            number = self.case_number(value, target, name)
            if number in seen:
                line = seen[number].pos.line
                raise self.fail(value.pos, f"case {value.text} is already at line {line}")
            seen[number] = value

    def case_number(self, value: Value, target: Type, name: str) -> int:
        members = {m.name: int(m.value) for m in target.members} if isinstance(target, Enum) else {}
        if value.is_name:
            value.number = members.get(value.text, self.constants.get(value.text))
        if value.number is None:
            raise self.fail(value.pos, f"case '{value.text}' is no declared constant")
        number = value.number
        if isinstance(target, Enum):
            strange = value.is_name and value.text in self.members and value.text not in members
            if strange or number not in members.values():
                message = f"case {value.text} is no member of the enum of '{name}'"
                raise self.fail(value.pos, message)
        elif isinstance(target, Prim):
            low, high = _RANGES[target.kind]
            if not low <= number <= high:
                raise self.fail(value.pos, f"case {value.text} is not in {low}..{high}")
        return number

    # -- sizes

    def measure(self) -> None:
        """The least size of every type: a fixed point, from above."""
        self.least.update(dict.fromkeys(self.types, INFINITE))
        changed = True
        while changed:
            changed = False
            for name, definition in self.types.items():
                size = self.size(definition.type)
                changed |= size < self.least[name]
                self.least[name] = min(size, self.least[name])
        for name, size in self.least.items():
            if size >= INFINITE:
                raise self.fail(
                    self.types[name].pos,
                    f"'{name}' contains itself and would be infinite: use '*' or '<>'",
                )

    def size(self, type_: Type) -> int:
        if isinstance(type_, Ref):
            return self.least[type_.name]
        if isinstance(type_, Prim):
            return prim_size(type_)
        if isinstance(type_, Opaque) and type_.fixed and type_.bound is not None:
            return int(type_.bound) + 3 & ~3
        if isinstance(type_, Array) and type_.fixed and type_.bound is not None:
            return min(INFINITE, self.size(type_.item) * int(type_.bound))
        if isinstance(type_, Struct):
            return min(INFINITE, sum(self.size(f.type) for f in type_.fields))
        if isinstance(type_, Union):
            arms = [*type_.arms, *([type_.default] if type_.default else [])]
            return min(INFINITE, 4 + min(self.size(a.data.type) if a.data else 0 for a in arms))
        return 0 if isinstance(type_, Void) else 4

    def elements(self, type_: Type, pos: Pos) -> None:
        """Refuse arrays of nothing: four bytes could claim four thousand million elements."""
        if isinstance(type_, Struct):
            for f in type_.fields:
                self.elements(f.type, f.pos)
        elif isinstance(type_, Union):
            for f in arm_fields(type_):
                self.elements(f.type, f.pos)
        if isinstance(type_, (Array, Option)):
            self.elements(type_.item, pos)
        if isinstance(type_, Array) and self.size(type_.item) == 0:
            raise self.fail(pos, "an array's elements must have a size")

    def programs(self) -> None:
        seen: dict[tuple[int, int], str] = {}
        for program in self.spec.programs:
            for version in program.versions:
                key = int(program.number), int(version.number)
                if key in seen:
                    message = f"program {key[0]} version {key[1]} is already {seen[key]}"
                    raise self.fail(version.number.pos, message)
                seen[key] = version.name
