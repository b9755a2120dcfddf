"""Run any number of seeds of the file-system simulator (docs/simulator.md).

python tests/sim/simulator.py --seeds 10000 --jobs 2
python tests/sim/simulator.py --backend posix --seed 4711 --trace
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from sim_bugs import PLANTED  # noqa: E402
from sim_history import BACKENDS, quiet, run_seed, run_seeds  # noqa: E402
from sim_world import Violation  # noqa: E402

#: Seeds that a process gets at a time.
CHUNK = 50
#: Lines of a trace that are shown unless all are asked for.
TRACE_LINES = 60


def sweep(first: int, count: int, backend: str, jobs: int, waits: float) -> Iterator[list[str]]:
    """The violations of each chunk of seeds, in their order, from `jobs` processes."""
    chunks = [(at, min(CHUNK, first + count - at)) for at in range(first, first + count, CHUNK)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        args = [(at, n, backend, waits) for at, n in chunks]
        yield from pool.map(run_seeds, *zip(*args, strict=True))


def show(violation: str, lines: int) -> None:
    """Print a violation and the end of its trace."""
    head, *trace = violation.split("\n")
    print("\n".join([head, *trace[-lines:]]), flush=True)


def main() -> int:
    """The command; 1 if a violation was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--start", type=int, default=0, help="the first (0)")
    parser.add_argument("--backend", choices=BACKENDS, default="memory")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happened")
    parser.add_argument("--bug", choices=sorted(PLANTED), help="with --seed: plant a bug")
    parser.add_argument(
        "--waits", type=float, default=0.0,
        help="how often a backend waits in the middle of a call, as no built-in one does (0.0)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.seed is not None:
        return one(options)
    began = time.monotonic()
    done = failed = 0
    for found in sweep(options.start, options.seeds, options.backend, options.jobs, options.waits):
        done = min(done + CHUNK, options.seeds)
        for violation in found:
            failed += 1
            show(violation, TRACE_LINES)
            seed = violation.split()[1]
            print(f"again: {sys.argv[0]} --backend {options.backend} --seed {seed} --trace\n")
        print(f"{done} seeds, {failed} violations", end="\r", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    print(f"{done} seeds on {options.backend}: {failed} violations, {seconds:.1f} s")
    return 1 if failed else 0


def one(options: argparse.Namespace) -> int:
    """Run one seed."""
    bug = PLANTED[options.bug]() if options.bug else None
    try:
        with quiet():
            world = run_seed(options.seed, options.backend, bug, options.waits)
    except Violation as exc:
        show(str(exc), sys.maxsize if options.trace else TRACE_LINES)
        return 1
    if options.trace:
        print(*world.net.describe(), sep="\n")
    print(f"seed {options.seed} on {options.backend}: no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
