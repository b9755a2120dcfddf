"""What is generated: the committed files, names, programs, types; and the command line."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xdr_values

from oncrpc import xdr
from oncrpc.errors import ProcUnavail, XdrError
from oncrpc.program import Proc, Program
from oncrpc.rpcgen import dynamic
from oncrpc.rpcgen.__main__ import compile_text, main
from oncrpc.rpcgen.generated import GENERATED, Generated
from oncrpc.rpcgen.model import RpcgenError


def torture() -> Any:
    return xdr_values.subject("torture.x").module


@pytest.mark.parametrize("entry", GENERATED, ids=lambda entry: entry.source)
def test_what_is_committed_is_what_is_generated(entry: Generated) -> None:
    source = xdr_values.ROOT / entry.source
    text = compile_text(source.read_text("utf-8"), entry.source, entry.encoded)
    committed = (xdr_values.ROOT / entry.out).read_text("utf-8")
    assert committed == text, "run python -m oncrpc.rpcgen --all"
    assert committed.startswith(f"# generated from {source.name} by oncrpc.rpcgen")


def test_every_x_file_is_known() -> None:
    found = {
        str(path.relative_to(xdr_values.ROOT))
        for folder in ("oncrpc", "portmap", "nfsloop", "examples")
        for path in (xdr_values.ROOT / folder).rglob("*.x")
    }
    assert found == {entry.source for entry in GENERATED}


@pytest.mark.parametrize("entry", GENERATED, ids=lambda entry: entry.source)
def test_generated_code_imports_little(entry: Generated) -> None:
    tree = ast.parse((xdr_values.ROOT / entry.out).read_text("utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
    }
    assert modules <= {
        "__future__", "dataclasses", "enum", "struct", "typing", "oncrpc.program", "oncrpc.xdr",
    }  # fmt: skip


def test_generated_code_is_strictly_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    out = tmp_path / "torture_xdr.py"
    out.write_text(compile_text(xdr_values.TORTURE.read_text("utf-8"), "torture.x", ("attr",)))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(out)],
        cwd=xdr_values.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_python_names() -> None:
    module = torture()
    value = module.class_(1, 2, b"x", module.def_, 3)
    assert [f for f in type(value).__slots__] == ["from_", "lambda_", "bytes_", "pass_", "value"]
    assert module.pass_.name_ == 2 and module.pass_.real_ == -4 and module.pass_.None_ > 0
    assert module.list_ is int and module.bytes_ is bytes
    assert module.BIG == 2**64 - 1 and module.OCTAL == 15 and module.NEGATIVE == -7
    inner = module.nested_inner_deep(b"abc")
    nested = module.nested(
        module.nested_inner(1, inner), module.GREEN, module.nested_choice(2, 5), [], None
    )
    assert nested.choice.two == 5


def test_unions_give_their_arm() -> None:
    module = torture()
    pair = module.pair(1, 2)
    assert module.on_enum(module.lowest, [pair]).xs == [pair]
    assert module.both(True, 4).yes == 4
    assert module.value_arm(0, module.on_enum(module.real)).value.value is None
    for union, arm in [
        (module.on_enum(module.def_, None), "xs"),
        (module.on_enum(module.lowest, [pair]), "n"),
        (module.both(True, 4), "no"),
    ]:
        with pytest.raises(XdrError):
            getattr(union, arm)
    made = xdr_values.subject("torture.x").dynamic
    assert made.both(True, 4).yes == 4
    with pytest.raises(XdrError):
        made.both(True, 4).no  # noqa: B018


def test_the_printer_names_arms() -> None:
    module = torture()
    shown = module.format_value_arm(module.value_arm(1, module.both(False, b"\xff")))
    assert shown.split() == [
        "value_arm",
        "class_:",
        "1",
        "on_enum:",
        "both",
        "b:",
        "False",
        "no:",
        "ff",
    ]
    assert "(...)" in module.format_value_arm(module.value_arm(1, module.both(True, 1)), 1)
    void = module.format_on_enum(module.on_enum(module.real))
    assert void.split() == ["on_enum", "p:", "real_"]


class Loopback:
    """A Caller that encodes, hands over to a service, and decodes."""

    def __init__(self, service: Any, program: Program) -> None:
        self.service = service
        self.program = program

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None = None
    ) -> Any:
        assert (program.number, program.version) == (self.program.number, self.program.version)
        mine = self.program.procs[proc.number]
        received = xdr.decode(mine.decode_args, xdr.encode(proc.encode_args, args))
        result = await getattr(self.service, mine.name)(None, received)
        return xdr.decode(proc.decode_result, xdr.encode(mine.encode_result, result))


@pytest.mark.parametrize("served_dynamically", [False, True])
def test_clients_and_services(served_dynamically: bool) -> None:
    module = torture()

    class Server(module.ONE_Service):  # type: ignore[name-defined,misc]
        async def ADD(self, call: Any, args: tuple[int, int]) -> int:
            return args[0] + args[1]

        async def NAME(self, call: Any, args: bytes) -> bytes:
            return args * 2

        async def STRUCT(self, call: Any, args: Any) -> Any:
            return module.numbers(args[0].from_, 1, 2, 3, args[1], 1.0, 2.0, True)

        async def from_(self, call: Any, args: Any) -> Any:
            return module.TORTURE_from_res(args.a + 1)

        async def VOID_ARGS(self, call: Any, args: None) -> Any:
            return [module.node(1, b"a"), module.node(2, b"b")]

    program = module.ONE
    if served_dynamically:
        program = xdr_values.subject("torture.x").dynamic.programs["ONE"]
    client = module.ONE_Client(Loopback(Server(), program))

    async def calls() -> None:
        assert await client.NULL() is None
        assert await client.ADD((2, 3)) == 5
        assert await client.NAME(b"ab", timeout=1.0) == b"abab"
        given = module.class_(9, 2, b"x", module.def_, 3)
        answer = await client.STRUCT((given, 2**63, b"path"))
        assert (answer.a, answer.e) == (9, 2**63)
        assert (await client.from_(module.TORTURE_from_arg1(4))).r == 5
        assert len(await client.VOID_ARGS()) == 2
        with pytest.raises(ProcUnavail):
            await client.bool_(True)
        with pytest.raises(XdrError):
            await client.ADD((1, 2, 3))
        with pytest.raises(XdrError):
            await client.NAME(b"longer than five")

    asyncio.run(calls())


def test_program_tables() -> None:
    nfs = xdr_values.subject("nfs3.x").module.NFS_V3
    assert (nfs.name, nfs.number, nfs.version) == ("NFS_PROGRAM", 100003, 3)
    # RFC 1813 section 3.3, by number
    assert " ".join(nfs.procs[n].name for n in range(22)) == (
        "NULL GETATTR SETATTR LOOKUP ACCESS READLINK READ WRITE CREATE MKDIR SYMLINK MKNOD REMOVE "
        "RMDIR RENAME LINK READDIR READDIRPLUS FSSTAT FSINFO PATHCONF COMMIT"
    )
    module = torture()
    assert [p.name for p in module.ONE.procs.values()] == [
        "NULL", "ADD", "NAME", "STRUCT", "bool_", "from_", "VOID_ARGS", "ATTR",
    ]  # fmt: skip
    assert module.TWO.procs[0].name == "NULL_"
    assert module.SECOND_ONE.procs[1].name == "HALF"
    assert module.TORTURE == module.ONE.number == 0x20000001
    for file in (*xdr_values.FILES, "torture.x"):
        subject = xdr_values.subject(file)
        for name, program in subject.dynamic.programs.items():
            table = getattr(subject.module, name)
            assert (table.name, table.number, table.version) == (
                program.name, program.number, program.version,
            )  # fmt: skip
            assert {n: p.name for n, p in table.procs.items()} == {
                n: p.name for n, p in program.procs.items()
            }


def test_dynamic_load_takes_a_path_or_text(tmp_path: Path) -> None:
    text = "const N = 2;\nstruct point { int x; int y; };\nenum e { A = 1 };"
    path = tmp_path / "point.x"
    path.write_text(text)
    for source in (text, path, str(path)):
        module = dynamic.load(source)
        assert (module.N, module.A.name) == (2, "A")
        point = module.point(1, -1)
        wire = module.encode("point", point)
        assert wire == bytes.fromhex("00000001 ffffffff")
        assert module.decode("point", wire) == point
    with pytest.raises(AttributeError):
        _ = module.nothing
    with pytest.raises(KeyError):
        module.decode("nothing", b"")
    with pytest.raises(RpcgenError, match=r"point\.x:1:1"):
        path.write_text("int x;")
        dynamic.load(path)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a-b.x"
    source.write_text("struct time { int s; };")
    assert main([str(source)]) == 0
    made = (tmp_path / "a_b_xdr.py").read_text()
    assert made.startswith("# generated from a-b.x by oncrpc.rpcgen; do not edit\n")
    other = tmp_path / "other.py"
    assert main([str(source), "-o", str(other), "--encoded", "time"]) == 0
    assert "oncrpc.rpcgen --encoded time; do not edit" in other.read_text()
    assert main([str(source), "-o", "-"]) == 0
    assert capsys.readouterr().out == made
    source.write_text("struct time { int s }")
    assert main([str(source)]) == 1
    assert f"{source}:1:21: expected ';', found '}}'" in capsys.readouterr().err
    assert (tmp_path / "a_b_xdr.py").read_text() == made
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-b.x", "a_b_xdr.py", "other.py"]
    assert main([str(tmp_path / "missing.x")]) == 1
    with pytest.raises(SystemExit):
        main([])


@pytest.mark.parametrize(
    ("encoded", "says"),
    [("nothing", "no such type"), ("a", "no struct of a fixed size"), ("b", "no struct of a")],
)
def test_encoded_must_name_a_fixed_struct(encoded: str, says: str) -> None:
    with pytest.raises(RpcgenError, match=says):
        compile_text("struct a { string x<>; }; typedef int b;", "t.x", (encoded,))
