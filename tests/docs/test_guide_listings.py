"""The guides as their readers would try them: every file written, every line run.

What needs root, `mount` and what is done in a mount, is done here with a client over the wire, and
with the Linux client in tests/kernel/test_guide.py. `pip install` is tests/packaging's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from guide_listings import GUIDE, GUIDES, Command, commands, files, write

from nfsloop import Client

ROOT = Path(__file__).resolve().parents[2]
TEXT = GUIDE.read_text()
COMMANDS = commands(TEXT)
ALL = [command for guide in GUIDES for command in commands(guide.read_text())]
#: tests/examples runs all of it.
PART = {"test_scratch.py": ["-k", "becomes_free"]}
RUN = [command for command in ALL if command.line.split()[0] in ("python", "pytest")]
SECONDS = 60


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("guide")
    for guide in GUIDES:
        write(guide.read_text(), path)
    shutil.copy(ROOT / "examples" / "readwrite.py", path)
    return path


def environment() -> dict[str, str]:
    """Plugins that others have installed cost most of a short run."""
    here = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **here, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.mark.parametrize("command", RUN, ids=lambda command: command.line)
def test_a_line(command: Command, directory: Path) -> None:
    program, *args = shlex.split(command.line)
    before = ["-m", "pytest", "-p", "nfsloop.pytest_plugin"] if program == "pytest" else []
    part = PART.get(args[-1], [])
    done = subprocess.run(
        [sys.executable, *before, *args, *part], cwd=directory, env=environment(), timeout=SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if program == "pytest":
        assert re.search(r"\d+ passed", done.stdout)
    else:
        assert done.stdout == command.output


@contextmanager
def serving(line: str, directory: Path, state: Path) -> Iterator[int]:
    """The server of a line, on a port that is free; the port."""
    argv = shlex.split(line)[1:]
    argv[argv.index("--port") + 1] = "0"
    command = [sys.executable, "-m", "nfsloop", *argv, "--state", str(state)]
    with subprocess.Popen(
        command, cwd=directory, env=environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            found = re.match(r"NFS version 3 on 127.0.0.1:(\d+)", server.stdout.readline())
            assert found is not None
            yield int(found[1])
            server.terminate()
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_what_is_mounted(directory: Path, tmp_path: Path) -> None:
    """Both servers stay up from their line on, as the guide's reader leaves them."""
    with ExitStack() as stack:
        ports: dict[str, int] = {}
        client: Client | None = None
        told = 0
        for command in COMMANDS:
            words = shlex.split(command.line.removeprefix("sudo "))
            if words[:2] == ["nfsloop", "serve"]:
                port = words[words.index("--port") + 1]
                state = tmp_path / f"state{port}"
                ports[port] = stack.enter_context(serving(command.line, directory, state))
            elif words[0] == "mount":
                options = dict(word.partition("=")[::2] for word in words[4].split(","))
                assert options["port"] == options["mountport"]
                path = words[5].removeprefix("localhost:")
                client = stack.enter_context(Client(ports[options["port"]], path, uid=1000))
            elif words[0] == "cat":
                assert client is not None
                told += 1
                assert client.read_file(words[1].removeprefix("/mnt")).decode() == command.output
            elif words[0] == "echo":
                assert client is not None and words[2] == ">"
                client.truncate(words[3].removeprefix("/mnt"), 0)
                client.write(words[3].removeprefix("/mnt"), 0, f"{words[1]}\n".encode())
            elif words[0] == "umount":
                client = None
        assert len(ports) == 2 and told == 2


def test_every_command_is_run_by_somebody() -> None:
    known = {"python", "pytest", "pip", "nfsloop", "sudo mount", "sudo umount", "cat", "echo"}
    for command in ALL:
        words = command.line.split()
        assert {words[0], " ".join(words[:2])} & known, command.line
    assert [c.line for c in COMMANDS if c.line.startswith("pip")] == ["pip install nfsloop pytest"]


def test_listings_are_in_the_houses_style(directory: Path) -> None:
    argv = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001"]
    done = subprocess.run(
        [sys.executable, "-m", *argv, "."],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_package_names_a_backend_that_is_there(directory: Path) -> None:
    project = tomllib.loads(files(TEXT)["pyproject.toml"])["project"]
    [(name, target)] = project["entry-points"]["nfsloop.backends"].items()
    module, _, cls = target.partition(":")
    assert f"class {cls}(" in files(TEXT)[f"{module}.py"]
    assert f"nfsloop serve {name}:" in TEXT
