"""What a server has imported when it says that it serves: start-up is imports, and little else.

Times are not compared, as they are the machine's. The modules are counted, and those that cost much
and that no server needs are named.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

#: Not for serving, wherever the files are. `nfsloop --version`, files of settings, archives, other
#: packages' backends and commands import them where they use them.
NEVER = (
    "importlib.metadata", "tomllib", "zipfile", "tarfile", "email", "http", "csv",
    "multiprocessing", "unittest", "xml", "pdb", "pydoc", "fsspec", "pygit2", "xdrlib3",
    "backends.sqlite", "backends.kvfs", "backends.archive", "backends.git", "backends.objects",
    "backends.wraps", "backends.conformance", "oncrpc.testing", "oncrpc.rpcgen",
    "nfsloop.embed", "nfsloop.client", "examples",
)  # fmt: skip

#: And not where no directory is served, or nobody is to be registered with.
NOT_MEMORY = ("backends.posix", "sqlite3")
NOT_ALONE = ("portmap", "nfsloop.rpcbind", "oncrpc.client", "oncrpc.link")

#: Modules of a whole server, those of the interpreter's own start among them. Of the modules of the
#: project, and of all (3.11 to 3.13 differ by a few).
OWN_MODULES = 88
ALL_MODULES = 290

_IMPORTED = re.compile(r"^import time: *\d+ \| *\d+ \| *(\S+)$", re.MULTILINE)


def imported(argv: Sequence[str], stop: bool) -> set[str]:
    """The modules that a command has imported when it has printed its first line, or ended."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "nfsloop", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if stop:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert line, errors[-2000:]
    return set(_IMPORTED.findall(errors))


def found(modules: set[str], unwanted: Sequence[str]) -> list[str]:
    """Which of `unwanted` packages and modules were imported."""
    return sorted(
        name for name in modules if any(f"{name}.".startswith(f"{bad}.") for bad in unwanted)
    )


@pytest.mark.parametrize("storage", ["memory", "posix"])
def test_a_server_imports_what_it_serves_with(storage: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    what = "memory:" if storage == "memory" else str(tree)
    argv = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    modules = imported([*argv, "--state", str(tmp_path / "state"), what], stop=True)
    assert "oncrpc.server" in modules and "nfsloop.nfs3.server" in modules
    assert found(modules, NEVER) == []
    assert found(modules, NOT_ALONE) == []
    if storage == "memory":
        assert found(modules, NOT_MEMORY) == []
    own = found(modules, ["nfsloop", "oncrpc", "backends", "portmap"])
    assert len(own) <= OWN_MODULES, own
    assert len(modules) <= ALL_MODULES, sorted(modules)


def test_commands_that_serve_nothing_import_no_server(tmp_path: Path) -> None:
    modules = imported(["--help"], stop=False)
    assert (
        found(modules, [*NEVER, "nfsloop.app", "nfsloop.nfs3", "portmap", "backends.posix"]) == []
    )
