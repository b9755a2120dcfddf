"""The pages that mount, as their readers do it: one guest mounts, and works in the mounts.

Servers and everything else run in a sandbox for each page, in the guest's network (tests/docs).
The guest is another machine, which knows the server as `myhost`, `HOST` and `localhost`; a server
that a page has listen on 127.0.0.1 listens on its address instead.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))

import doc_lines
import doc_sessions
from doc_sandbox import HOST, Sandbox, SandboxError, clone, shims
from doc_sessions import Ran

from .guest import Guest, Scenario
from .harness import SERVER_IP, Network
from .reporting import LINES

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

#: Before the next page, whatever became of the last one.
CLEAN = "umount --all --types nfs,nfs4 --force --lazy"


class Reader:
    """Reads one page after the other; the guest asks it for lines. Keeps what was wrong."""

    def __init__(self, network: Network, directory: Path, pages: list[str]) -> None:
        self.network = network
        self.directory = directory
        self.pages = pages
        self.wrong: list[str] = []
        self._lines = self._all()
        self._ran: Ran | None = None

    def __call__(self, guest: Guest, tag: str, ran: Any) -> str | None:
        self._ran = None if ran is None else Ran(*ran)
        return next(self._lines, None)

    def close(self) -> None:
        """End what still runs. A guest that died may have left a page half read."""
        with suppress(ValueError):  # its thread is still in there, and ends with this process
            self._lines.close()

    def _all(self) -> Generator[str, None, None]:
        cloned = clone(self.directory)
        for number, page in enumerate(self.pages):
            directory = self.directory / f"page{number}"
            before = self.network.argv([])
            try:
                with Sandbox(directory, cloned, before=before, address=SERVER_IP) as sandbox:
                    yield from self._one(page, sandbox)
            except (AssertionError, SandboxError) as error:
                self.wrong.append(f"{page}: {error}")
            yield CLEAN

    def _one(self, page: str, sandbox: Sandbox) -> Generator[str, None, None]:
        play = doc_sessions.play(page, sandbox, SERVER_IP)
        try:
            line = next(play)
            while True:
                yield line
                assert self._ran is not None
                line = play.send(self._ran)
        except StopIteration:
            pass


def test_pages_that_mount(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pages = [page for page in doc_lines.pages() if doc_sessions.has_clients(page)]
    assert {"README.md", "docs/writing-a-backend.md"} <= {*pages}
    shims(tmp_path / "bin")
    params = {
        "bin": str(tmp_path / "bin"),
        "hosts": f"{SERVER_IP} {HOST} HOST localhost\n127.0.0.1 localhost\n",
    }
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        reader = Reader(network, tmp_path, pages)
        scenario = Scenario("guide", "", params)
        stack.callback(reader.close)
        guest = Guest(network, tmp_path, [], [scenario], statd=True, on_sync=reader)
        steps = stack.enter_context(guest).finish(timeout=100)
    request.config.stash[LINES]["guide"] = [str(step) for step in steps]
    assert not [str(step) for step in steps if not step.ok]
    assert not reader.wrong, "\n".join(reader.wrong)
