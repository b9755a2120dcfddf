"""The house: arrows point down only, generated code is what its .x file gives, files stay small."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("oncrpc", "portmap", "backends", "nfsloop", "examples", "benchmarks")

#: Module prefix -> layer; the longest prefix that fits counts. A module may import its own layer
#: and those below.
LAYERS: dict[str, int] = {
    "oncrpc": 0,
    "oncrpc.call": 1,
    "oncrpc.drc": 1,
    "oncrpc.session": 1,
    "oncrpc.dispatch": 1,
    "oncrpc.net": 1,
    "oncrpc.tcp": 2,
    "oncrpc.udp": 2,
    "oncrpc.server": 2,
    "oncrpc.client": 2,
    "oncrpc.link": 2,
    "oncrpc.session_client": 2,
    "oncrpc.loop": 2,
    "oncrpc.testing": 2,
    "portmap": 3,
    "backends": 3,
    "examples": 3,
    "nfsloop": 4,
    "nfsloop.config": 5,
    "nfsloop.errors": 5,
    "nfsloop.state": 5,
    "nfsloop.storage": 5,
    "nfsloop.embed": 5,
    "nfsloop.pytest_plugin": 5,
    "nfsloop.sources": 5,
    "nfsloop.served": 5,
    "nfsloop.control": 5,
    "nfsloop.commands": 5,
    "nfsloop.logs": 5,
    "nfsloop.printable": 5,
    "nfsloop.progress": 5,
    "nfsloop.rpcbind": 5,
    "nfsloop.app": 5,
    "nfsloop.workers": 5,
    "nfsloop.cli": 5,
    "nfsloop.verbs": 5,
    "nfsloop.watching": 5,
    "nfsloop.doctor": 5,
    "nfsloop.systemd": 5,
    "nfsloop.__main__": 5,
    "benchmarks": 5,
}

#: Third-party modules, and who alone may import them (docs/ARCHITECTURE.md says why).
THIRD_PARTY = {
    "uvloop": ("oncrpc.loop",),
    "xdrlib3": ("oncrpc.rpcgen.dynamic",),
    "pytest": ("backends.conformance", "nfsloop.pytest_plugin"),
    "fsspec": ("backends.objects",),
    "pygit2": ("backends.git",),
    "rich": ("nfsloop.watching", "benchmarks"),
    "aiohttp": ("nfsloop.watching",),
    "prometheus_client": ("nfsloop.watching",),
}

#: What the protocols may know of the backends.
CONTRACT = {"backends.base", "backends.wrap", "backends.hosted"}

PROTOCOLS = ("nfsloop.nfs3", "nfsloop.mount3", "nfsloop.nlm4")

MAX_LINES = 620  # about 600
MAX_FUNCTION_LINES = 70


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


@functools.cache
def imports(name: str, path: Path) -> tuple[str, ...]:
    """The modules that a module imports, function-local imports too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            found.append(".".join([*(above if node.level else []), *filter(None, [node.module])]))
    return tuple(found)


#: A package itself, by what it offers its users.
PACKAGE_LAYERS = {"nfsloop": 5}


def layer(name: str) -> int:
    if name in PACKAGE_LAYERS:
        return PACKAGE_LAYERS[name]
    while name not in LAYERS:
        name = name.rpartition(".")[0]
    return LAYERS[name]


ALL = list(modules())


@pytest.mark.parametrize(("name", "path"), ALL, ids=[name for name, _ in ALL])
def test_arrows_point_down(name: str, path: Path) -> None:
    for target in imports(name, path):
        top = target.partition(".")[0]
        if top in PACKAGES:
            assert layer(target) <= layer(name), f"{name} imports {target}"
            if top == "backends":
                inner = layer(name) == 5 or name.startswith(("backends", "examples"))
                assert inner or target in CONTRACT, f"{name}: {target}"
            if top == "portmap" and name.startswith("nfsloop"):
                assert layer(name) == 5, f"{name} imports {target}"
            if name.startswith("backends"):
                assert top == "backends", f"{name} imports {target}"
        elif top in THIRD_PARTY:
            assert name.startswith(THIRD_PARTY[top]), f"{name} imports {target}"


@pytest.mark.parametrize(("name", "path"), ALL, ids=[name for name, _ in ALL])
def test_protocols_meet_only_by_their_messages(name: str, path: Path) -> None:
    own = next((protocol for protocol in PROTOCOLS if name.startswith(protocol)), None)
    for target in imports(name, path):
        other = next((protocol for protocol in PROTOCOLS if target.startswith(protocol)), None)
        if own and other and own != other:
            assert target.endswith(("_xdr", ".client")), f"{name} imports {target}"


GENERATED_IMPORTS = {"oncrpc.program", "oncrpc.xdr"}


@pytest.mark.parametrize("path", [p for _, p in ALL if p.name.endswith("_xdr.py")], ids=str)
def test_generated_modules_import_the_codec_alone(path: Path) -> None:
    found = {m for m in imports("x", path) if m.partition(".")[0] in PACKAGES}
    assert found <= GENERATED_IMPORTS
    assert "generated from" in path.read_text()[:200]


@pytest.mark.parametrize(
    "path", [p for _, p in ALL if not p.name.endswith("_xdr.py")], ids=lambda p: p.name
)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def test_docker_has_no_python() -> None:
    """A .py file there would shadow the package `docker`."""
    assert not list((ROOT / "docker").rglob("*.py"))
