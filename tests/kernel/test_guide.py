"""docs/writing-a-backend.md, its listings and nothing else, ends in mounts that work.

The files are written, the servers started and everything else typed in the guest, as the guide says
it; but the server's machine is another one there, so "localhost" and 127.0.0.1 are its address, and
nobody is asked by sudo. State goes to a directory of the test.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))

from guide_listings import GUIDE, commands, write

from .guest import Guest, Scenario
from .harness import SERVER_IP, Network, ServerProcess
from .peers import REPO
from .reporting import LINES

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

#: What is typed on a machine that mounts.
CLIENT = ("mount", "umount", "cat", "echo")


def test_the_listings_end_in_mounts_that_work(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    typed = tmp_path / "typed"
    typed.mkdir()
    text = GUIDE.read_text()
    write(text, typed)
    lines: list[tuple[str, str]] = []
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        for command in commands(text):
            line = command.line.removeprefix("sudo ").replace("localhost:", f"{SERVER_IP}:")
            words = shlex.split(line.replace("127.0.0.1", SERVER_IP))
            if words[:2] == ["nfsloop", "serve"]:
                port = int(words[words.index("--port") + 1])
                argv = [sys.executable, "-m", *words, "--state", str(tmp_path / f"state{port}")]
                env = {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"}
                log = tmp_path / f"server{port}.log"
                server = ServerProcess(network, argv, log=log, port=port, env=env, cwd=typed)
                stack.enter_context(server)
            elif words[0] in CLIENT:
                lines.append((line, command.output))
        assert [line.split()[0] for line, _ in lines].count("mount") == 2
        scenario = Scenario("guide", "", {"lines": lines})
        guest = stack.enter_context(Guest(network, tmp_path, [], [scenario]))
        steps = guest.finish(timeout=60)
    request.config.stash[LINES]["guide"] = [str(step) for step in steps]
    assert not [str(step) for step in steps if not step.ok]
    assert [step.name for step in steps][: len(lines)] == [line for line, _ in lines]
