"""Wheel and sdist: what is in them, and what they come to where nothing else is installed.

An empty environment here is a new virtual environment without the system's packages and without
pip: pip of the tests puts the wheel there, and what its metadata asks for, from the index that pip
is configured for.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from email import message_from_bytes
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel.guest import Guest, Mount, Scenario
from kernel.harness import SERVER_IP, Network, ServerProcess, requirements
from kernel.peers import explicit
from kernel.reporting import unavailable

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"nfsloop", "oncrpc", "portmap", "backends"}
EXTRAS = {"all", "bench", "fsspec", "git", "metrics", "test"}
#: Below the prefix, where man, the shells and systemd look for them.
DATA = {
    "share/man/man1/nfsloop.1",
    "share/bash-completion/completions/nfsloop",
    "share/zsh/site-functions/_nfsloop",
    "share/fish/vendor_completions.d/nfsloop.fish",
    "share/doc/nfsloop/nfsloop.toml",
    "share/nfsloop/grafana/nfsloop.json",
    "lib/systemd/system/nfsloop.service",
    "lib/systemd/system/nfsloop.socket",
    "lib/systemd/system/nfsloop@.service",
}
SECONDS = 120

#: Four mistakes, which a type checker sees that knows each package's types.
USER_PROGRAM = """\
import backends.base
import nfsloop
import oncrpc.program
import portmap.registry

a: str = nfsloop.Options.parse("ro")
b: str = backends.base.Status.NOENT
c: str = oncrpc.program.Program
d: str = portmap.registry.Registry()

def port(server: nfsloop.Server) -> int:
    return server.port
"""


def clean() -> dict[str, str]:
    """An environment that leads to no other code than what is installed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*argv: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command; what it prints. Its output is in the failure."""
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False,
        env=clean() if env is None else env, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path, *what: str, source: Path = ROOT) -> Path:
    """Build from `source` with the tools that are there; the wheel."""
    build = [sys.executable, "-m", "build", "--no-isolation", *what]
    run(*build, "--outdir", folder, source)
    (wheel,) = folder.glob("nfsloop-*.whl")
    return wheel


#: What lies in somebody's checkout, and is nobody else's business.
LITTER = (".env", "id_rsa", "local.sqlite", "cli.py.bak", "cli.py~", "core", "notes.pem")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist, and a wheel that was built from it; in a checkout with litter."""
    source = tmp_path_factory.mktemp("checkout") / "checkout"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "results"))
    for name in (".gitignore", ".dockerignore"):
        shutil.copy(ROOT / name, source)
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
        for name in LITTER:
            (folder / name).write_text("secret")
    made = tmp_path_factory.mktemp("dist")
    build(made, source=source)
    return made


def tracked() -> set[str]:
    """What git has, and what it is about to have; nothing where there is no checkout."""
    if not (ROOT / ".git").exists():
        return set()
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return {name for name in names if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("nfsloop-*.whl")
    return found


def install(folder: Path, *what: str | Path) -> Path:
    """A new environment with the wheel in it; its prefix."""
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    run(*pip, "--python", python, "install", *what)
    return folder


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of an environment with the wheel and what it depends on."""
    return install(tmp_path_factory.mktemp("empty") / "env", wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# What is in them


def test_it_has_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = set(contents(wheel))
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == PACKAGES
    for module in ("oncrpc/rpcgen/__main__.py", "nfsloop/nfs3/nfs3.x", "nfsloop/nfs3/nfs3_xdr.py"):
        assert module in names
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    data = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert data == DATA
    ours = {name for name in names if name.partition("/")[0] in PACKAGES}
    kinds = {Path(name).suffix or name for name in ours}
    assert kinds <= {".py", ".x", ".typed"}, "what lies in a checkout is in the wheel"
    if known := tracked():
        assert ours == {name for name in known if name.partition("/")[0] in PACKAGES}


def test_the_metadata(wheel: Path) -> None:
    (raw,) = [text for name, text in contents(wheel).items() if name.endswith("/METADATA")]
    meta = message_from_bytes(raw)
    assert set(meta.get_all("Provides-Extra") or ()) == EXTRAS
    needs = {re.split(r"[^\w-]", one)[0]: one for one in meta.get_all("Requires-Dist") or ()}
    always = {name for name, one in needs.items() if "extra ==" not in one}
    assert always == {"rich", "uvloop", "xdrlib3"}
    assert meta["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in (meta.get_all("Classifier") or ())


def test_the_sdist_is_whole(dist: Path, wheel: Path, tmp_path: Path) -> None:
    """The wheel was built from it; it is the one that the checkout gives."""
    (sdist,) = dist.glob("nfsloop-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "docs/storages.md",
        "docker/README.md", "share/generate.py", "share/systemd/nfsloop.service", "tests/run.py",
        "tests/kernel/harness.py", "examples/readonly.py", "benchmarks/__main__.py",
    ):  # fmt: skip
        assert name in names, name
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert not [name for name in names if Path(name).name in LITTER]
    if known := tracked():
        others = {"PKG-INFO", "", *(str(p) for name in names for p in Path(name).parents)}
        assert names - known <= others
        missing = {
            name for name in known - names if not name.startswith((".", "benchmarks/results"))
        }
        assert not missing, "the sdist lacks it"
    assert contents(build(tmp_path, "--wheel")) == contents(wheel)


# What they come to


def serves(command: Path, cwd: Path) -> None:
    """That an installed command says its version, serves, and ends in order."""
    said = run(command, "--version", cwd=cwd)
    assert re.fullmatch(r"nfsloop \d+\.\d+\.\d+\n", said)
    argv = [str(command), "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    argv += ["--state", str(cwd / "state"), "memory:"]
    with subprocess.Popen(
        argv, cwd=cwd, stdout=subprocess.PIPE, env=clean(), text=True
    ) as server:  # fmt: skip
        assert server.stdout is not None
        first = server.stdout.readline()
        port = re.match(r"NFS version 3 on 127\.0\.0\.1:(\d+) over", first)
        assert port is not None, first
        assert "answers" in run(command, "ping", "--port", port[1], cwd=cwd)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_it_serves_without_its_dependencies(wheel: Path, tmp_path: Path) -> None:
    """uvloop and xdrlib3 are for speed and for tools, rich for tables."""
    prefix = install(tmp_path / "env", "--no-deps", wheel)
    serves(prefix / "bin" / "nfsloop", tmp_path)


def test_the_kernel_mounts_it(empty: Path, tmp_path: Path) -> None:
    """From an empty environment, with nothing of the checkout: by the stock Linux client."""
    if missing := requirements():
        unavailable(missing)
    cwd = tmp_path / "elsewhere"
    cwd.mkdir()
    where = run(empty / "bin" / "python", "-c", "import nfsloop as n; print(n.__file__)", cwd=cwd)
    assert Path(where.strip()).is_relative_to(empty)
    assert (empty / "share/man/man1/nfsloop.1").exists()
    export = tmp_path / "export"
    export.mkdir()
    argv = [str(empty / "bin" / "nfsloop"), "serve", "--rpcbind", "none", "-o", "no_root_squash"]
    argv += ["--state", str(tmp_path / "state"), str(export)]
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        log = tmp_path / "server.log"
        server = ServerProcess(network, argv, log=log, env={"PYTHONPATH": ""}, cwd=cwd)
        stack.enter_context(server)
        assert "uvloop" in Path(f"/proc/{server.pid}/maps").read_text()
        mount = Mount("main", f"{SERVER_IP}:{export}", explicit())
        tree = Scenario("tree", params={"files": 60, "tar_files": 0})
        guest = stack.enter_context(Guest(network, tmp_path, [mount], [tree]))
        steps = guest.finish(timeout=100)
        assert server.terminate() == 0
    assert len(steps) > 1
    assert not [str(step) for step in steps if not step.ok]


test_the_kernel_mounts_it = pytest.mark.kernel(test_the_kernel_mounts_it)


def test_type_checkers_see_the_types(empty: Path, tmp_path: Path) -> None:
    """mypy of somebody's program, against what is installed: it knows, and it objects."""
    (tmp_path / "program.py").write_text(USER_PROGRAM)
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"]
    argv += ["--python-executable", str(empty / "bin" / "python")]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, env=clean(), timeout=SECONDS,
        check=False,
    )  # fmt: skip
    *lines, last = done.stdout.splitlines()
    assert last.startswith("Found 4 errors in 1 file"), done.stdout
    for number, line in zip((6, 7, 8, 9), lines, strict=True):
        assert line.startswith(f"program.py:{number}: error: Incompatible types"), line


# Installed by those who keep commands apart


#: What pip is configured with -> the same for uv.
UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def configured() -> dict[str, str]:
    """The environment that has uv use the index that pip uses."""
    env = clean() | {"UV_PYTHON_DOWNLOADS": "never"}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        name = UV.get(key.rpartition(".")[2])
        if name is not None:
            separator = "," if name == "UV_FIND_LINKS" else " "
            env.setdefault(name, separator.join(value.strip("'\"").split()))
    return env


def tools(place: Path) -> Iterator[tuple[Sequence[str], dict[str, str], Path]]:
    yield (
        ["pipx", "install"],
        {
            "PIPX_HOME": "home", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man",
            "PIPX_COMPLETION_DIR": "completion",
        },
        place / "home/venvs/nfsloop",
    )  # fmt: skip
    yield (
        ["uv", "tool", "install", "--python", sys.executable],
        {"UV_TOOL_DIR": "tools", "UV_TOOL_BIN_DIR": "bin", "UV_CACHE_DIR": "cache"},
        place / "tools/nfsloop",
    )


@pytest.mark.parametrize("number", [0, 1], ids=["pipx install", "uv tool install"])
def test_tools_install_it(number: int, wheel: Path, tmp_path: Path) -> None:
    command, places, prefix = list(tools(tmp_path))[number]
    env = configured() | {name: str(tmp_path / place) for name, place in places.items()}
    env |= {"HOME": str(tmp_path / "nobody"), "PATH": f"{tmp_path / 'bin'}:{env['PATH']}"}
    run(sys.executable, "-m", *command, wheel, cwd=tmp_path, env=env)
    serves(tmp_path / "bin" / "nfsloop", tmp_path)
    assert not [name for name in sorted(DATA) if not (prefix / name).exists()]
