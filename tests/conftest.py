"""For all tests: hypothesis measures no time, as no test does; machines have bad days. And what
kernel tests did, step by step, is shown at the end, also when several processes run them."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import settings
from kernel.reporting import LINES

settings.register_profile("nfsloop", deadline=None)
settings.load_profile("nfsloop")

#: What takes longest, or waits most, by the beginnings of their paths: several processes take the
#: files in this order, so that at the end none has a long one left while the others are done.
#: Between those that boot kernels stand some that compute.
FIRST = (
    "container/",
    "kernel/test_kernel.py",
    "backends/objects/test_fsspec_conformance.py",
    "kernel/test_storages.py",
    "doctor/",
    "kernel/test_lossy.py",
    "sim/test_sim_seeds.py",
    "test_style.py",
    "backends/test_posix_conformance.py",
    "backends/wraps/test_wrap_conformance.py",
    "rpcgen/test_rpcgen_codecs.py",
    "watching/",
    "nfsloop/test_cli",
    "packaging/",
    "kernel/",
    "crash/",
    "nfsloop/test_workers.py",
    "peers/",
    "portmap/",
    "backends/kvfs/",
    "backends/",
)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        path = item.nodeid.removeprefix("tests/")
        return next((n for n, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """Twenty thousand tests are many objects, and they stay: no collection looks at them again."""
    gc.collect()
    gc.freeze()


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
