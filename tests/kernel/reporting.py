"""What conftest and the tests share: where steps are kept, how a missing requirement is told."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE = "NFSLOOP_REQUIRE_KERNEL"
LINES = pytest.StashKey[dict[str, list[str]]]()


def unavailable(reasons: list[str]) -> NoReturn:
    """Skip, or fail where CI says that these tests must run."""
    text = f"the kernel tests need: {'; '.join(reasons)}"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{text} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(text)
