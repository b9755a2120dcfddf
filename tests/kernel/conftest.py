"""Skips with the reason where these tests can not run."""

from __future__ import annotations

import pytest

from .harness import requirements
from .reporting import unavailable


@pytest.fixture(scope="session", autouse=True)
def _kernel_requirements() -> None:
    if missing := requirements():
        unavailable(missing)
