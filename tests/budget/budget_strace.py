"""System calls per call of a whole server, in a process of its own, counted by strace.

    python3 tests/budget/budget_strace.py --write

writes what is counted now into system_calls.json, as the budget.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from budget_rig import KINDS, Work

from benchmarks.scale_calls import READDIRPLUS, Remote, listing

REPO = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("system_calls.json")

#: Calls outstanding, and wake-ups of so many that are counted in each of so many tries.
CALLS, WAKE_UPS, TRIES = 16, 6, 3

#: Names in the directories that are listed to count what one more name takes.
NAMES = 10, 90

#: See `budget_calls`; calls may be split over two wake-ups where the machine is busy.
SLACK = 0.1
LOWER = 0.85

_PORT = re.compile(r":(\d+) over")
_LINE = re.compile(r"^\s*(\w+)\s+(\d+)\s*$", re.MULTILINE)


@contextlib.contextmanager
def server(tree: Path, state: Path) -> Iterator[tuple[int, int]]:
    """A server of `tree`, mounted as /: its process and its port."""
    argv = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    argv += ["-o", "no_root_squash", "--log-level", "error", "--state", str(state), f"/={tree}"]
    with subprocess.Popen(
        [sys.executable, "-m", "nfsloop", *argv],
        stdout=subprocess.PIPE,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = _PORT.search(process.stdout.readline())
            assert port is not None
            yield process.pid, int(port[1])
        finally:
            process.terminate()


def traced(pid: int, caller: Remote, batches: Sequence[Sequence[bytes]]) -> dict[str, int]:
    """The system calls, by name, of all threads of `pid` while `batches` are served.

    Raises OSError where strace may not trace it.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "counts"
        argv = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(out), "-p", str(pid)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            if "attached" not in said:
                raise OSError(said.strip())
            for batch in batches:
                caller.ask(batch)
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=30)
        counts = {name: int(number) for name, number in _LINE.findall(out.read_text())}
    counts.pop("total", None)
    return counts


def least(pid: int, caller: Remote, make: Callable[[], list[bytes]]) -> float:
    """The system calls of one wake-up that serves what `make` makes: the least of a few tries, as
    a storage looks after what it has open once a second, and what it remembers lasts for a tick."""
    tries = []
    for _ in range(TRIES):
        batches = [make() for _ in range(WAKE_UPS)]
        tries.append(sum(traced(pid, caller, batches).values()) / WAKE_UPS)
    return min(tries)


def measure(pid: int, caller: Remote) -> dict[str, float]:
    """Kind -> system calls of one call, those of the wake-up among them, shared by 16 calls.

    Of READDIRPLUS: those of one more name.
    """
    work = Work(caller)
    found: dict[str, float] = {}
    for kind in KINDS:
        caller.ask(work.batch(kind, CALLS))
        found[kind] = least(pid, caller, partial(work.batch, kind, CALLS)) / CALLS
    totals = []

    def page(args: bytes) -> list[bytes]:
        return [caller.talk.record(READDIRPLUS, args)]

    for names in NAMES:
        args = listing(caller.make_dir(b"dir%d" % names, names))
        caller.ask(page(args))
        totals.append(least(pid, caller, partial(page, args)))
    found["READDIRPLUS name"] = (totals[1] - totals[0]) / (NAMES[1] - NAMES[0])
    return {kind: round(value, 3) for kind, value in found.items()}


def compare(found: dict[str, float], budget: dict[str, float]) -> list[str]:
    """A line for each kind that takes more than its budget, or so much less that it is too wide."""
    lines = [f"{kind}: no budget" for kind in found.keys() - budget.keys()]
    for kind in sorted(found.keys() & budget.keys()):
        now, limit = found[kind], budget[kind]
        if now > limit + SLACK:
            lines.append(f"{kind}: {now:g} system calls, the budget is {limit:g}")
        elif now < limit * LOWER - SLACK:
            lines.append(f"{kind}: {now:g} system calls, lower its budget of {limit:g}")
    return lines


def main() -> None:
    """Measure; with --write, keep it as the budget."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        tree.mkdir()
        with server(tree, Path(place) / "state") as (pid, port):
            found = measure(pid, Remote(port))
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    print(text, end="")
    if "--write" in sys.argv:
        TABLE.write_text(text)


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    main()
