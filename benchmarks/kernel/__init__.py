"""Whole workloads through the stock Linux client, over this server and over nfs-ganesha.

The client is the guest of tests/kernel; `phases` runs in it, the rest on the host.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 0 if all phases ran well, else 1.

    Raises `benchmarks.errors.BenchError` if something is missing, or a server does not start.
    """
    # At the end: it has directories named like the packages.
    if str(ROOT / "tests") not in sys.path:
        sys.path.append(str(ROOT / "tests"))
    from benchmarks.kernel.run import main as run

    return run(argv)
