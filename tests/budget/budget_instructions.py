"""Instructions of one call in the server's process, counted by valgrind: not a time, so it repeats.

    python3 tests/budget/budget_instructions.py            a table, about half a minute
    python3 tests/budget/budget_instructions.py --write    and keep it as instructions.json

Callgrind counts what the processor would execute in user space; what the kernel does is not among
it. The process serves from memory, reads nothing from the disk and has its hashes fixed, so that
two runs differ by less than one in a thousand.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("instructions.json")

#: Calls of each kind that are counted, in wake-ups of 16, and before that to warm up.
CALLS, WARM_UP, WINDOW = 320, 160, 16

#: A function of the C library that nothing else calls: callgrind ends a part of its counts there.
MARK = "getloadavg"

#: Above its budget, and below it, a kind may be by this share.
SHARE = 0.10


def child() -> None:
    """Run within valgrind: the calls, with a mark before and behind each kind."""
    from budget_rig import KINDS, Work, memory, rig

    with rig(memory(Path())) as served:
        work = Work(served)
        for kind in KINDS:
            for _ in range(WARM_UP // WINDOW):
                served.ask(work.batch(kind, WINDOW))
            batches = [work.batch(kind, WINDOW) for _ in range(CALLS // WINDOW)]
            os.getloadavg()
            for batch in batches:
                served.serve(batch)
            os.getloadavg()


def measure() -> dict[str, int]:
    """Kind -> instructions of one call."""
    from budget_rig import KINDS

    with tempfile.TemporaryDirectory() as place:
        argv = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", "--quiet"]
        argv += [f"--callgrind-out-file={place}/out", sys.executable, __file__, "--child"]
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(REPO)}
        subprocess.run(argv, check=True, env=env, timeout=600)
        parts = sorted(Path(place).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        totals = [_total(path) for path in parts]
    # Part 1 ends at the first mark, part 2 is the first kind, part 3 what is made for the next.
    return {kind: round(totals[2 * n + 1] / CALLS) for n, kind in enumerate(KINDS)}


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.MULTILINE)
    assert found is not None, path
    return int(found[1])


def version() -> str:
    """The table's key."""
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def main() -> int:
    """Measure and compare; the exit status is 1 if a budget is not kept."""
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    found, budget = measure(), known.get(version(), {})
    status = 0
    for kind, now in found.items():
        limit = budget.get(kind)
        share = now / limit - 1 if limit else 0.0
        bad = "" if abs(share) <= SHARE else " <-- above" if share > 0 else " <-- lower it"
        status |= bool(bad)
        print(f"{kind:10} {now:8,} instructions  {share:+7.2%} of {limit}{bad}")
    if "--write" in sys.argv:
        TABLE.write_text(json.dumps({**known, version(): found}, indent=1, sort_keys=True) + "\n")
        status = 0
    return status


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    if "--child" in sys.argv:
        child()
    else:
        sys.exit(main())
