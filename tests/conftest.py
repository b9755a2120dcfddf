"""For all tests: hypothesis measures no time, as no test does; machines have bad days. And what
kernel tests did, step by step, is shown at the end, also when several processes run them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from kernel.reporting import LINES

settings.register_profile("nfsloop", deadline=None)
settings.load_profile("nfsloop")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["kernel"] = session.config.stash[LINES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LINES].update(getattr(node, "workeroutput", {}).get("kernel", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for peer, lines in terminalreporter.config.stash[LINES].items():
        terminalreporter.section(f"kernel steps: {peer}", sep="-")
        for line in lines:
            terminalreporter.line(line)
