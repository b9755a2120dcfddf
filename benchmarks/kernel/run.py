"""Boot one guest with both servers mounted, alternate, collect."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel.guest import Guest, Scenario, Step
from kernel.harness import HarnessError, Network, requirements, which

from benchmarks import machine
from benchmarks.errors import BenchError
from benchmarks.kernel import ROOT
from benchmarks.kernel.report import (
    OURS,
    THEIRS,
    Run,
    aligned,
    call_rows,
    json_text,
    lines,
    markdown,
    rows,
)
from benchmarks.kernel.servers import (
    Served,
    Setup,
    cpu_seconds,
    make_names,
    make_names_over_nfs,
    make_repository,
    prefer,
    ram_disk,
    serving,
    sync_disk,
)

#: In this order; `phases.WORKLOADS` has what they do.
WORKLOADS = ("tree", "create", "list", "git", "large")
#: Files, names, pages: how many; what ends in _mib is a size.
FULL = {
    "files": 2000, "large_files": 4, "large_mib": 16, "created": 2000, "names": 100_000,
    "repository": 600, "file_mib": 192, "pages": 3000,
}  # fmt: skip
QUICK = {
    "files": 800, "large_files": 2, "large_mib": 8, "created": 500, "names": 20_000,
    "repository": 200, "file_mib": 64, "pages": 1000,
}  # fmt: skip
NAMES = "names"


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Meter:
    """The guest's counterpart: takes the processes' CPU time around each phase."""

    servers: dict[str, Served]
    disk: Path
    runs: list[Run] = field(default_factory=list)
    _before: dict[str, float] = field(default_factory=dict)

    def __call__(self, guest: Guest, tag: str, data: Any) -> None:
        if tag == "begin":
            sync_disk(self.disk)
            self._before = self._clocks(guest)
        elif tag == "end":
            after = self._clocks(guest)
            used = {name: after[name] - self._before[name] for name in after}
            server = data["server"]
            run = Run(
                data["phase"], server, data["seconds"], used[server], used["client"], data["calls"]
            )
            self.runs.append(run)
            say(f"  {run}")

    def _clocks(self, guest: Guest) -> dict[str, float]:
        found = {name: cpu_seconds(one.process.pid) for name, one in self.servers.items()}
        return {**found, "client": cpu_seconds(guest.pid or 0)}


def plan(
    workloads: Sequence[str], servers: Sequence[str], pairs: int, common: dict[str, Any]
) -> list[Scenario]:
    """Each workload on all servers in turn, `pairs` times; who goes first changes too."""
    scenarios = []
    for pair in range(pairs):
        order = servers if pair % 2 == 0 else servers[::-1]
        for workload in workloads:
            for server in order:
                label = f"{workload}-{pair + 1}"
                params = {"workload": workload, **common}
                scenarios.append(Scenario("benchmarks.kernel.phases", server, params, label))
    return scenarios


def measure(
    options: argparse.Namespace, sizes: dict[str, int], disk: Path
) -> tuple[list[Run], list[Step]]:
    """All runs, and the steps that failed. Raises HarnessError if a server or the guest does."""
    common = {"sizes": sizes, "names": NAMES, "repository": str(disk / "source.git")}
    if "git" in options.workloads:
        make_repository(disk / "source.git", disk, sizes["repository"])
    setup = Setup(disk, options.backend, options.workers, options.tree)
    wanted = (OURS,) if options.alone else (OURS, THEIRS)
    with Network() as network, serving(network, setup, wanted) as servers:
        if "list" in options.workloads:
            for served in servers.values():
                if served.folder is not None:
                    make_names(served.folder / NAMES, sizes["names"])
                else:
                    make_names_over_nfs(network, NAMES, sizes["names"])
        meter = Meter(servers, disk)
        scenarios = plan(options.workloads, wanted, options.pairs, common)
        mounts = [served.mount for served in servers.values()]
        with Guest(network, disk, mounts, scenarios, on_sync=meter) as guest:
            if options.nice is not None:
                for pid in (guest.pid or 0, *(one.process.pid for one in servers.values())):
                    prefer(pid, options.nice)
            steps = guest.finish(timeout=options.timeout)
    return meter.runs, [step for step in steps if not step.ok]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; `workloads` becomes a list."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks kernel",
        description="Whole workloads through the stock Linux client, over this server and over "
        "nfs-ganesha in turn. Needs root and what tests/kernel needs. docs/benchmarks-kernel.md.",
    )
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of %(default)s")
    parser.add_argument("--pairs", type=int, help="how often each (default 3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="smaller, under three minutes")
    parser.add_argument("--alone", action="store_true", help="this server without nfs-ganesha")
    parser.add_argument("--backend", choices=("posix", "memory"), default="posix")
    parser.add_argument("--workers", metavar="N", help="given to nfsloop; not given by default")
    parser.add_argument(
        "--tree", type=Path, default=ROOT, metavar="DIR",
        help="the checkout whose nfsloop is measured (default: this one)",
    )  # fmt: skip
    parser.add_argument(
        "--disk", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR",
        help="both exports are made in a new directory there (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ram", action="store_true",
        help="instead, on a new ext4 in memory: steady where the disk is not",
    )  # fmt: skip
    parser.add_argument(
        "--nice", type=int, metavar="N",
        help="of servers and guest alike, from -20 on; for machines that do other things too",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write all to FILE.json, tables to FILE.md"
    )
    parser.add_argument(
        "--timeout", type=float, default=1800, metavar="SECONDS", help="for all (%(default)s)"
    )
    options = parser.parse_args(argv)
    options.workloads = options.workloads.split(",")
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    if options.pairs is None:
        options.pairs = 1 if options.quick else 3
    if options.pairs < 1:
        parser.error("--pairs must be 1 or more")
    return options


def missing(options: argparse.Namespace) -> list[str]:
    """What must be installed first, one line each."""
    found = requirements()
    if not options.alone and which("ganesha.nfsd") is None:
        found.append("ganesha.nfsd (packages nfs-ganesha, nfs-ganesha-vfs), or --alone")
    return found


def main(argv: Sequence[str]) -> int:
    """See `benchmarks.kernel.main`."""
    options = arguments(argv)
    if lacking := missing(options):
        raise BenchError(f"this needs {'; '.join(lacking)}")
    if not options.disk.is_dir():
        raise BenchError(f"{options.disk} is no directory")
    sizes = QUICK if options.quick else FULL
    about = {
        **machine.facts(options.disk, "cc"),
        "version": machine.tree_version(options.tree),
        "ganesha": "" if options.alone else machine.ganesha_version(),
        "ram": options.ram,
        "nice": options.nice or 0,
        "backend": options.backend,
        "workers": options.workers or "",
        "sizes": sizes,
        "pairs": options.pairs,
        "date": time.strftime("%Y-%m-%d"),
    }
    disk = Path(tempfile.mkdtemp(prefix="nfsloop-bench-", dir=options.disk))
    # As for SIGINT: namespaces and processes must not stay behind.
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with ram_disk(disk) if options.ram else nullcontext():
            disk.chmod(0o755)
            runs, failed = measure(options, sizes, disk)
    except HarnessError as error:
        raise BenchError(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, handler)
        shutil.rmtree(disk, ignore_errors=True)
    for step in failed:
        say(str(step))
    say(f"{time.monotonic() - began:.0f} s")
    found = lines(runs)
    print(aligned(rows(found)), aligned(call_rows(found)), sep="\n\n")
    if options.output:
        options.output.with_suffix(".json").write_text(json_text(about, runs))
        options.output.with_suffix(".md").write_text(markdown(about, runs))
    return 1 if failed else 0
