"""Skips with the reason where these tests can not run; shows every step's seconds at the end."""

from __future__ import annotations

import pytest

from .harness import requirements
from .reporting import LINES, unavailable


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = {}


@pytest.fixture(scope="session", autouse=True)
def _kernel_requirements() -> None:
    if missing := requirements():
        unavailable(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for peer, lines in terminalreporter.config.stash[LINES].items():
        terminalreporter.section(f"kernel steps: {peer}", sep="-")
        for line in lines:
            terminalreporter.line(line)
