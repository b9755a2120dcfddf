"""The wheel has the four packages and the command, and serves from an empty environment."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"nfsloop", "oncrpc", "portmap", "backends"}


def pip(python: str, *args: str) -> None:
    """Run pip; its output is in the failure."""
    argv = [python, "-m", "pip", "--disable-pip-version-check", "-q", *args]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "-w", str(folder), ".")
    (found,) = folder.glob("nfsloop-*.whl")
    return found


def test_it_has_the_four_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    for module in ("oncrpc/rpcgen/__main__.py", "nfsloop/nfs3/nfs3.x", "nfsloop/nfs3/nfs3_xdr.py"):
        assert module in names
    for package in PACKAGES:
        assert f"{package}/py.typed" in names


def test_it_serves_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Without its dependencies even: uvloop and xdrlib3 are for speed and for tools."""
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / "bin"
    pip(str(bin_ / "python"), "install", "--no-deps", str(wheel))
    command = str(bin_ / "nfsloop")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"nfsloop \d+\.\d+\.\d+\n", version.stdout)
    argv = [command, "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    argv += ["--state", str(tmp_path / "state"), "memory:"]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("NFS version 3 on 127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
