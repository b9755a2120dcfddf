"""Constants and types: IntEnum, dataclasses and aliases."""

from __future__ import annotations

from oncrpc.rpcgen import names
from oncrpc.rpcgen.layout import Layout
from oncrpc.rpcgen.model import (
    Arm,
    Const,
    Enum,
    Field,
    Option,
    Ref,
    Struct,
    Type,
    TypeDef,
    Union,
    arm_fields,
    children,
)


def constants(layout: Layout) -> list[str]:
    """The constants; a program's name is one, for its number."""
    out = [f"{names.module_name(c.name)} = {_number(c)}" for c in layout.spec.consts]
    return out + [
        f"{names.module_name(program.name)} = {int(program.number)}"
        for program in layout.spec.programs
    ]


def _number(const: Const) -> str:
    """As the file has it, but for octal, which Python writes otherwise."""
    number = int(const.value)
    return hex(number) if "x" in const.value.text.lower() else str(number)


def types(layout: Layout) -> list[str]:
    """The classes in the file's order, and after them the aliases, each after what it names."""
    out: list[str] = []
    aliases: dict[str, TypeDef] = {}
    for name, definition in layout.types.items():
        body = definition.type
        if isinstance(body, Enum):
            out += _enum(name, body)
        elif isinstance(body, Struct):
            out += _struct(layout, name)
        elif isinstance(body, Union) and layout.optional_arm(body) is None:
            out += _union(layout, name, body)
        else:
            aliases[name] = definition
    return out + _aliases(layout, aliases)


def _enum(name: str, enum: Enum) -> list[str]:
    cls = names.module_name(name)
    out = ["", "", f"class {cls}(IntEnum):", f'    """enum {name}."""', ""]
    out += [f"    {names.member_name(m.name)} = {int(m.value)}" for m in enum.members]
    out += ["", ""]
    out += [
        f"{names.module_name(m.name)} = {cls}.{names.member_name(m.name)}" for m in enum.members
    ]
    out.append(f'_m_{name} = _EnumTable("{name}", {{m.value: m for m in {cls}}})')
    return out


def _struct(layout: Layout, name: str) -> list[str]:
    what = "one node of a linked list" if name in layout.nodes else "struct"
    out = ["", "", "@dataclass(slots=True)", f"class {names.module_name(name)}:"]
    out += [f'    """{what} {name}."""', ""]
    out += [f"    {field}: {layout.annotation(type_)}" for field, type_ in layout.fields(name)]
    return out


def _union(layout: Layout, name: str, union: Union) -> list[str]:
    disc = layout.discriminant(union)
    out = ["", "", "@dataclass(slots=True)", f"class {names.module_name(name)}:"]
    out += [f'    """union {name}: `value` is the arm that `{disc}` selects, None for void."""', ""]
    out.append(f"    {disc}: {layout.annotation(union.discriminant.type)}")
    shown = [layout.annotation(f.type) for f in arm_fields(union)]
    out.append(f"    value: {' | '.join(_unique([*shown, 'None']))} = None")
    out.append(f"    __arms__: ClassVar[dict[int | None, str]] = {arm_table(union)}")
    for arm in layout.arms(union):
        if arm.data is not None and layout.arm_name(union, arm.data) != "value":
            out += _arm(layout, union, arm, arm.data)
    return out


def arm_table(union: Union) -> dict[int | None, str]:
    """The names of a union's arms by their cases, None for the default, for the printer."""
    table: dict[int | None, str] = {
        int(case): arm.data.name if arm.data else "void" for arm in union.arms for case in arm.cases
    }
    if union.default is not None:
        table[None] = union.default.data.name if union.default.data else "void"
    return table


def _unique(annotations: list[str]) -> list[str]:
    parts = [part for text in annotations for part in _split(text)]
    order = [part for part in dict.fromkeys(parts) if part != "None"]
    return [*order, "None"]


def _split(annotation: str) -> list[str]:
    """``A | B`` as its parts; brackets of lists are left whole."""
    return [annotation] if "[" in annotation else annotation.split(" | ")


def _arm(layout: Layout, union: Union, arm: Arm, data: Field) -> list[str]:
    disc = layout.discriminant(union)
    shown = layout.annotation(data.type)
    default = not arm.cases
    cases = [c for a in union.arms for c in a.cases] if default else arm.cases
    numbers = ", ".join(str(int(case)) for case in cases)
    comma = "," if len(cases) == 1 else ""
    give = [f'        return cast("{shown}", self.value)']
    if isinstance(layout.shape(data.type), Option):
        # The arm may be all that the field can be, and mypy refuses a cast that changes nothing.
        give = ["        value: Any = self.value", f"        arm: {shown} = value"]
        give.append("        return arm")
    text = f"{'any but ' if default else ''}{', '.join(case.text for case in cases)}"
    return [
        "",
        "    @property",
        f"    def {layout.arm_name(union, data)}(self) -> {shown}:",
        f'        """The arm of {text}. Raises XdrError if another is selected."""',
        f"        if self.{disc} {'' if default else 'not '}in ({numbers}{comma}):",
        f'            raise _no_value("{data.name}", self.{disc})',
        *give,
    ]


def _aliases(layout: Layout, aliases: dict[str, TypeDef]) -> list[str]:
    out: list[str] = [""]
    done: set[str] = set()

    def emit(name: str) -> None:
        if name in done or name not in aliases:
            return
        done.add(name)
        for other in _mentioned(aliases[name].type):
            emit(other)
        union = aliases[name].type
        data = layout.optional_arm(union) if isinstance(union, Union) else None
        if data is not None:
            shown = layout.written_out(Ref(name, data.pos))
        else:
            shown = layout.annotation(aliases[name].type)
        out.append(f"{names.module_name(name)}: TypeAlias = {shown}")

    for name in aliases:
        emit(name)
    return out if done else []


def _mentioned(type_: Type) -> list[str]:
    found = [type_.name] if isinstance(type_, Ref) else []
    for child in children(type_):
        found += _mentioned(child)
    return found
