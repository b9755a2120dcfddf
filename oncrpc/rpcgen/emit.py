"""A checked .x file as one typed Python module."""

from __future__ import annotations

import re

from oncrpc.rpcgen import emit_types
from oncrpc.rpcgen.emit_decode import decoder
from oncrpc.rpcgen.emit_encode import encoder
from oncrpc.rpcgen.emit_program import Programs
from oncrpc.rpcgen.layout import Layout
from oncrpc.rpcgen.model import Enum, Pos, Ref, Spec, Struct, Union, not_too_deep
from oncrpc.rpcgen.tables import Tables

#: The imports of a generated module: the words that need them.
_IMPORTS = {
    "from dataclasses import dataclass": {"dataclass": "dataclass"},
    "from enum import IntEnum": {"IntEnum": "IntEnum"},
    "from struct import": {
        "Struct": "Struct",
        "_pack": "pack as _pack",
        "_unpack_from": "unpack_from as _unpack_from",
    },
    "from typing import": {word: word for word in ("Any", "ClassVar", "TypeAlias", "cast")},
    "from oncrpc.program import": {
        "Caller": "Caller",
        "Proc": "Proc",
        "_ProcUnavail": "ProcUnavail as _ProcUnavail",
        "Program": "Program",
        "Service": "Service",
        "_in_session": "in_session as _in_session",
    },
    "from oncrpc.xdr import": {
        "_BOOL": "BOOL as _BOOL",
        "_PAD": "PAD as _PAD",
        "Buffer": "Buffer",
        "_EnumTable": "EnumTable as _EnumTable",
        "_PackTable": "PackTable as _PackTable",
        "Put": "Put",
        "_UnpackTable": "UnpackTable as _UnpackTable",
        "_decode_void": "decode_void as _decode_void",
        "_encode_void": "encode_void as _encode_void",
        "_no_value": "no_value as _no_value",
        "_pretty": "pretty as _pretty",
        "_too_long": "too_long as _too_long",
        "_truncated": "truncated as _truncated",
    },
}


def emit(spec: Spec, source: str, encoded: tuple[str, ...] = ()) -> str:
    """The module's text. `source` is the .x file's name, for its first line. Raises RpcgenError."""
    with not_too_deep(spec.filename):
        return _emit(Layout(spec, encoded), source, encoded)


def _emit(layout: Layout, source: str, encoded: tuple[str, ...]) -> str:
    tables = Tables()
    types = emit_types.types(layout)
    codecs = _codecs(layout, tables)
    programs = Programs(layout, tables)
    constants = emit_types.constants(layout)
    table_lines = tables.lines()
    body = [
        *(["", *constants] if constants else []),
        *types,
        *(["", *table_lines] if table_lines else []),
        *codecs,
        *programs.codecs,
        *programs.lines,
    ]
    options = "".join(f" --encoded {name}" for name in encoded)
    head = [
        f"# generated from {source} by oncrpc.rpcgen{options}; do not edit",
        f'"""The types, codecs and programs of {source}."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    return "\n".join([*head, *_imports(body), *body]).rstrip("\n") + "\n"


def _imports(body: list[str]) -> list[str]:
    used = set(re.findall(r"\w+", "\n".join(body)))
    out: list[str] = []
    for statement, words in _IMPORTS.items():
        wanted = [text for word, text in words.items() if word in used]
        if not wanted:
            continue
        if "oncrpc" in statement and not any("oncrpc" in line for line in out):
            out.append("")
        if statement.endswith("import"):
            out += [f"{statement} (", *(f"    {word}," for word in wanted), ")"]
        else:
            out.append(statement)
    return out


def _codecs(layout: Layout, tables: Tables) -> list[str]:
    out: list[str] = []
    aliases: dict[str, str] = {}
    for name, definition in layout.types.items():
        type_ = definition.type
        if isinstance(type_, Ref):
            aliases[name] = type_.name
            continue
        named = Ref(name, Pos(0, 0)) if isinstance(type_, (Enum, Struct, Union)) else type_
        out += ["", "", *decoder(layout, tables, name, named)]
        out += ["", "", *encoder(layout, tables, name, named)]
        out += ["", "", *_printer(layout, name)]
    done: set[str] = set()
    for name in aliases:
        out += _alias(layout, aliases, name, done)
    return out


def _alias(layout: Layout, aliases: dict[str, str], name: str, done: set[str]) -> list[str]:
    """A typedef of a name shares its target's codecs, which must come first."""
    if name in done or name not in aliases:
        return []
    done.add(name)
    target = aliases[name]
    out = _alias(layout, aliases, target, done)
    words = ["decode", "encode", "format"]
    if layout.fixed(Ref(name, Pos(0, 0))) is not None:
        words.append("pack")
    return [*out, "", *(f"{word}_{name} = {word}_{target}" for word in words)]


def _printer(layout: Layout, name: str) -> list[str]:
    shown = layout.annotation(Ref(name, Pos(0, 0)))
    return [
        f"def format_{name}(value: {shown}, depth: int = 4) -> str:",
        "    return _pretty(value, depth)",
    ]
