"""Planted faults: the registry, and how a kit test is run against one without pytest."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from backends.base import Backend, FsError
from backends.conformance import BackendConformance

Test = Callable[..., None]
B = TypeVar("B", bound=type[Backend])

#: Each fault, and the kit's tests that must find it.
FAULTS: dict[type[Backend], tuple[str, ...]] = {}


def found_by(*tests: str) -> Callable[[B], B]:
    """Register a backend with a planted fault."""

    def register(fault: B) -> B:
        FAULTS[fault] = tests
        return fault

    return register


class Kit(BackendConformance):
    """The kit, for any kind of memory backend. What ends is found again as `reopened` gives it."""

    tick = 0
    many = 60
    uniform = False

    def __init__(self, make: Callable[[], Backend]) -> None:
        self.factory = make
        for name, value in getattr(make, "switches", {}).items():
            setattr(self, name, value)

    def make_backend(self, tmp_path: Path) -> Backend:
        self.last = self.factory()
        return self.last

    def reopen(self, tmp_path: Path) -> Backend:
        reopened = getattr(self.last, "reopened", None)
        self.last = self.last if reopened is None else reopened()
        return self.last

    def crash(self, backend: Backend, tmp_path: Path) -> Backend:
        return self.reopen(tmp_path)


def kit_tests(kit: type) -> dict[str, Test]:
    """The kit's tests by name."""
    members = inspect.getmembers(kit, inspect.isfunction)
    return {name: test for name, test in members if name.startswith("test_")}


def arguments_of(test: Test) -> Iterator[dict[str, Any]]:
    """What `pytest.mark.parametrize` would call a test with."""
    choices: list[list[dict[str, Any]]] = []
    for mark in getattr(test, "pytestmark", []):
        assert mark.name == "parametrize"
        names, values = mark.args
        if isinstance(names, str):
            choices.append([{names: value} for value in values])
        else:
            choices.append([dict(zip(names, value, strict=True)) for value in values])
    for chosen in itertools.product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}


def outcomes(kit: BackendConformance, name: str, tmp_path: Path) -> Iterator[str]:
    """Of each run of one test: "passed", "skipped", or why it failed."""
    test = kit_tests(type(kit))[name]
    for number, arguments in enumerate(arguments_of(test)):
        path = tmp_path / f"{name} {number}"
        path.mkdir(parents=True)
        try:
            test(kit, path, **arguments)
        except pytest.skip.Exception:
            yield "skipped"
        except (AssertionError, FsError, OSError, pytest.fail.Exception) as error:
            yield str(error) or "failed"
        else:
            yield "passed"


def finds(kit: BackendConformance, name: str, tmp_path: Path) -> bool:
    """Whether a run of the test fails; those behind it are not tried."""
    return any(got not in ("passed", "skipped") for got in outcomes(kit, name, tmp_path))
