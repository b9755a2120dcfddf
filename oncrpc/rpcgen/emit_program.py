"""Programs: the table, the client and the service of each version (RFC 5531 section 12)."""

from __future__ import annotations

from dataclasses import dataclass

from oncrpc.rpcgen import names
from oncrpc.rpcgen.emit_decode import decoder, tuple_decoder
from oncrpc.rpcgen.emit_encode import encoder, tuple_encoder
from oncrpc.rpcgen.layout import Layout
from oncrpc.rpcgen.model import Prim, ProcDef, ProgramDef, Ref, Type, VersionDef, Void
from oncrpc.rpcgen.tables import Tables


@dataclass(slots=True)
class _Method:
    """A procedure as Python has it; `args` and `result` are what follows decode_ and encode_."""

    name: str
    proc: ProcDef
    args: tuple[str, str]
    result: tuple[str, str]


class Programs:
    """Writes all programs of a file, and the codecs of the types that have no name."""

    def __init__(self, layout: Layout, tables: Tables) -> None:
        self.layout = layout
        self.tables = tables
        self.codecs: list[str] = []
        self.lines: list[str] = []
        self.known: set[str] = set()
        for program in layout.spec.programs:
            for version in program.versions:
                self.version(program, version)

    def version(self, program: ProgramDef, version: VersionDef) -> None:
        name = names.module_name(version.name)
        methods = [
            _Method(
                short,
                proc,
                self.args(f"{version.name}_{proc.name}_args", proc),
                self.codec(f"{version.name}_{proc.name}_result", proc.result),
            )
            for short, proc in zip(self.layout.proc_names(version), version.procs, strict=True)
        ]
        self.table(name, program, version, methods)
        self.client(name, program, version, methods)
        self.service(name, program, version, methods)

    # -- codecs

    def codec(self, name: str, type_: Type) -> tuple[str, str]:
        """The names of decoder and encoder of `type_`; `name` if it has none of its own."""
        if isinstance(type_, Ref):
            return f"decode_{type_.name}", f"encode_{type_.name}"
        if isinstance(type_, Void):
            return "_decode_void", "_encode_void"
        if isinstance(type_, Prim):
            name = type_.kind.replace(" ", "_")
        if name not in self.known:
            self.known.add(name)
            self.codecs += ["", "", *decoder(self.layout, self.tables, f"_{name}", type_)]
            self.codecs += ["", "", *encoder(self.layout, self.tables, f"_{name}", type_)]
        return f"_decode_{name}", f"_encode_{name}"

    def args(self, name: str, proc: ProcDef) -> tuple[str, str]:
        if len(proc.args) < 2:
            return self.codec(name, proc.args[0] if proc.args else Void())
        self.codecs += ["", "", *tuple_decoder(self.layout, self.tables, name, proc.args)]
        self.codecs += ["", "", *tuple_encoder(self.layout, self.tables, name, proc.args)]
        return f"_decode_{name}", f"_encode_{name}"

    # -- table, client, service

    def table(
        self, name: str, program: ProgramDef, version: VersionDef, methods: list[_Method]
    ) -> None:
        self.lines += ["", "", f"{name} = Program("]
        self.lines += [f'    "{program.name}",', f"    {int(program.number)},"]
        self.lines += [f"    {int(version.number)},", "    {"]
        for method in methods:
            number = int(method.proc.number)
            self.lines.append(f"        {number}: Proc(")
            self.lines.append(f'            {number}, "{method.name}",')
            self.lines.append(f"            {', '.join(method.args)},")
            self.lines.append(f"            {', '.join(method.result)},")
            self.lines.append("        ),")
        self.lines += ["    },", ")"]

    def client(
        self, name: str, program: ProgramDef, version: VersionDef, methods: list[_Method]
    ) -> None:
        self.lines += ["", "", f"class {name}_Client:"]
        self.lines.append(f'    """{program.name} version {int(version.number)}, called."""')
        self.lines += ["", '    __slots__ = ("_caller",)', ""]
        self.lines.append(
            "    def __init__(self, caller: Caller, *, at_most_once: bool = False) -> None:"
        )
        self.lines.append("        self._caller = _in_session(caller) if at_most_once else caller")
        for method in methods:
            args = self.layout.args_annotation(method.proc)
            args = f"args: {args}{' = None' if args == 'None' else ''}"
            shown = self.layout.annotation(method.proc.result)
            number = int(method.proc.number)
            call = f"await self._caller.call({name}, {name}.procs[{number}], args, timeout)"
            self.lines += [
                "",
                f"    async def {method.name}(",
                f"        self, {args}, *, timeout: float | None = None",
                f"    ) -> {shown}:",
                f"        result: {shown} = {call}",
                "        return result",
            ]

    def service(
        self, name: str, program: ProgramDef, version: VersionDef, methods: list[_Method]
    ) -> None:
        self.lines += ["", "", f"class {name}_Service(Service):"]
        self.lines.append(f'    """{program.name} version {int(version.number)}, to be served."""')
        self.lines += ["", f"    PROGRAM = {name}"]
        for method in methods:
            if method.name == "NULL":
                continue
            args = self.layout.args_annotation(method.proc)
            shown = self.layout.annotation(method.proc.result)
            self.lines += [
                "",
                f"    async def {method.name}(self, call: Any, args: {args}) -> {shown}:",
                f'        raise _ProcUnavail("{method.name}")',
            ]
