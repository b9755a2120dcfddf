"""Measure calls over the wire: the same cases with every server in turn, round after round."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from . import build, cases, machine, report
from .cases import Case
from .errors import BenchError, Unavailable
from .load import Generator, RunFailed, probe
from .servers import Floor, Ganesha, Nfsloop, Place, Running, Server, wait_ready, work_directory

TREE = Path(__file__).resolve().parents[1]
RESULTS = TREE / "benchmarks" / "results"
PEERS = ("ganesha", "floor")
BACKENDS = ("posix", "memory")
DATA_CHUNK_BYTES = 256 << 10
#: Seconds measured and rounds, for each level.
LEVELS = {"quick": (0.8, 3), "default": (0.7, 5), "full": (1.5, 5)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wire`."""
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--quick", dest="level", action="store_const", const="quick", help="in about two minutes"
    )
    level.add_argument(
        "--full", dest="level", action="store_const", const="full", help="everything; an hour"
    )
    parser.set_defaults(level="default")
    add = parser.add_argument
    add("--calls", type=_words(cases.CALLS), metavar="A,B", help=", ".join(cases.CALLS))
    add("--sizes", type=_sizes, metavar="N,M", help="of read and write (default: 4k,64k,1m)")
    add("--outstanding", type=_numbers, metavar="N,M", help="calls on each connection")
    add("--connections", type=_numbers, metavar="N,M", help="usually 1 and 64")
    add(
        "--backends",
        type=_words(BACKENDS),
        metavar="A,B",
        help="posix, memory (default: both; --quick: posix)",
    )
    add("--peer", type=_words((*PEERS, "none")), metavar="A,B", default=PEERS,
        help="ganesha and floor (default), or none")  # fmt: skip
    add("--tree", type=Path, help="measure this other checkout of the server too")
    add("--python", default=sys.executable, help="the Python that runs the server")
    add("--tree-python", help="the one that runs the server of --tree (default: the same)")
    add("--workers", default="", help="passed on to serve; CPU of all its processes counts")
    add("--serve", action="append", default=[], metavar="WORD", help="one more word for serve")
    add("--pairs", type=int, metavar="N", help="rounds: every server once in each")
    add("--seconds", type=float, help="measured in each run")
    add("--warmup", type=float, default=0.2, help="seconds before that (default: 0.2)")
    add("--files", type=int, default=1000, help="files in the directory (default: 1000)")
    add("--data-mib", type=int, default=64, help="size of the file for data (default: 64)")
    add("--uid", type=int, default=0, help="whose calls they are (default: 0)")
    add("--load", action="append", default=[], metavar="WORD", help="one more word for load")
    add("--dir", type=Path, default=Path(tempfile.gettempdir()), help="files are made in here")
    add("--perf", type=Path, help="take nfsload.c and nfslimit.c from here")
    add("--pin", choices=("auto", "on", "off"), default="auto", help="servers and generator on"
        " cores of their own (auto: where there are two cores, and one worker)")  # fmt: skip
    add("--output", type=Path, help="the JSON file; table and plot are put beside it")


def _words(allowed: Sequence[str]) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if unknown := [word for word in found if word not in allowed]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(allowed)}")
        return found

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"not numbers: {text!r}") from None
    if min(found) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return found


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(cases.parse_size(word) for word in text.split(","))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def servers(options: argparse.Namespace) -> list[Server]:
    """Whom to measure, in the order of the first round. Raises `BenchError` without a compiler."""
    extra, peers = tuple(options.serve), options.peer
    found: list[Server] = []
    if "ganesha" in peers:
        found.append(Ganesha())
    for at, backend in enumerate(options.backends or BACKENDS[: 1 + (options.level != "quick")]):
        found.append(
            Nfsloop(backend, backend, TREE, options.python, options.workers, extra, 13049 + at)
        )
        if options.tree:
            python = options.tree_python or options.python
            tree = options.tree.resolve()
            name, port = f"{backend}@other", 14049 + at
            found.append(Nfsloop(name, backend, tree, python, options.workers, extra, port))
    if "floor" in peers:
        source = build.floor_source(options.perf)
        found.append(Floor(source, file_only=options.perf is not None))
    return found


def cores(options: argparse.Namespace) -> tuple[str, str]:
    """Cores of the servers and of the generator, for taskset; both "" to leave it to the kernel."""
    mine = sorted(os.sched_getaffinity(0))
    wanted = options.pin == "on" or (options.pin == "auto" and options.workers in ("", "1"))
    if not wanted or len(mine) < 2 or not machine.has("taskset"):
        return "", ""
    return ",".join(map(str, mine[:-1])), str(mine[-1])


@dataclass(frozen=True)
class Data:
    """The file that is read and written: one file for all servers, by hard links.

    The page cache holds a file in pieces of different sizes, as it was written; that makes up to a
    quarter of the cost of a READ. With one file it is the same for all.
    """

    path: Path

    @classmethod
    def make(cls, path: Path, mib: int) -> Data:
        """Write `mib` MiB. Raises `BenchError` when the disk is full."""
        chunk = bytes([0xA5]) * DATA_CHUNK_BYTES
        try:
            with path.open("wb") as file:
                for _ in range((mib << 20) // DATA_CHUNK_BYTES):
                    file.write(chunk)
                os.fsync(file.fileno())
            path.chmod(0o666)
        except OSError as exc:
            raise BenchError(f"{path}: {exc.strerror}; name another place with --dir") from exc
        return cls(path)

    def lend(self, export: Path, uid: int) -> None:
        """Make the directory `export`, with this file where the generators look for it."""
        for path in (export, export / f"load.{uid}"):
            path.mkdir()
            path.chmod(0o777)
        os.link(self.path, export / f"load.{uid}" / "data")
        os.link(self.path, export / "file")


@dataclass
class Bench:
    """The runs of one plan. `result` is complete in itself after each run."""

    place: Place
    generator: Generator
    directory: Path
    seconds: float
    rounds: int
    plan: list[Case]
    server_cores: str
    result: dict[str, Any]
    output: Path
    running: list[Running] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    done: int = 0

    def start(self, wanted: Sequence[Server]) -> None:
        """Start all; one that cannot be is noted and left out."""
        data = Data.make(self.directory / "data", self.generator.data_mib)
        for server in wanted:
            directory = self.directory / server.name
            data.lend(directory, self.generator.uid)
            say(f"starting {server.name}")
            try:
                running = server.start(self.place, directory, self.server_cores)
                self.running.append(running)
                wait_ready(running, probe(self.generator, self.place, running))
            except Unavailable as exc:
                self.leave_out(server.name, str(exc))

    def leave_out(self, name: str, why: str) -> None:
        """Measure `name` no more."""
        say(f"without {name}: {why}")
        self.result["left_out"].append({"server": name, "why": why})
        for running in [one for one in self.running if one.name == name]:
            self.running.remove(running)
            running.stop()

    def stop(self) -> None:
        """Stop all."""
        while self.running:
            self.running.pop().stop()

    def run(self) -> None:
        """All rounds. Each other one goes the other way round, so that a drift cancels out."""
        for number in range(self.rounds):
            for case in self.plan:
                order = list(self.running)
                for server in order if number % 2 == 0 else reversed(order):
                    self.one(number, case, server)
            self.save()

    def save(self) -> None:
        """Write what there is; nothing as long as there is nothing."""
        self.result["took_seconds"] = round(time.monotonic() - self.began, 1)
        if self.result["runs"]:
            write(self.result, self.output)

    def one(self, number: int, case: Case, server: Running) -> None:
        """One run; a server that has died is left out from here on."""
        entry: dict[str, Any] = {
            "round": number,
            "server": server.name,
            "case": [case.call, case.size, case.outstanding, case.connections],
        }
        try:
            entry |= self.generator.run(self.place, server, case, self.seconds)
            text = f"{entry['rate']:9.0f}/s {entry['cpu_us']:8.2f} us"
            self.result["runs"].append(entry)
        except RunFailed as exc:
            text = str(exc)
            self.result["failed"].append({**entry, "why": text})
            if not server.alive():
                self.leave_out(server.name, f"it died during {case.label}: {server.tail()}")
        self.done += 1
        self.progress(f"{case.label:34} {server.name:12} {text}")
        if case.call in ("write", "writesync", "create", "mix"):
            self.settle()

    def settle(self) -> None:
        """Nothing that one server has written is left for the disk to do in the next one's run."""
        subprocess.run(["sync", "-f", str(self.directory)], check=False, capture_output=True)

    def progress(self, text: str) -> None:
        """Which of how many, and the time that is left, from what the runs have taken."""
        total = max(self.done, self.rounds * len(self.plan) * len(self.running))
        left = (time.monotonic() - self.began) / self.done * (total - self.done)
        say(f"{self.done:4}/{total} {text}  {int(left) // 60}:{int(left) % 60:02} left")


def say(text: str) -> None:
    """Progress, on standard error; standard output has the table alone."""
    print(text, file=sys.stderr, flush=True)


def header(options: argparse.Namespace, cc: str, directory: Path) -> dict[str, Any]:
    """What a result file says beside its runs."""
    plain = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name not in ("run", "verb")
    }
    versions = {"nfsloop": machine.tree_version(TREE)}
    if options.tree:
        versions["other"] = machine.tree_version(options.tree)
    if "ganesha" in options.peer:
        versions["ganesha"] = machine.ganesha_version()
    return {
        "format": report.FORMAT,
        "kind": "wire",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": False,
        "options": plain,
        "versions": versions,
        "machine": machine.facts(directory, cc),
        "left_out": [],
        "failed": [],
        "runs": [],
    }


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: servers are stopped, and what was measured is kept."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def measure(options: argparse.Namespace, output: Path) -> dict[str, Any]:
    """Measure as `options` say, and return what the result file `output` holds.

    It is written after each round, and however this ends. Ctrl-C ends it early: "complete" is then
    false. Raises `BenchError` if nothing can be measured.
    """
    plan = cases.choose(
        options.level, options.calls, options.sizes, options.outstanding, options.connections
    )
    seconds, rounds = LEVELS[options.level]
    server_cores, load_cores = cores(options)
    generator = Generator(
        build.program(build.load_source(options.perf)),
        own=options.perf is None,
        cores=load_cores,
        warmup=options.warmup,
        files=options.files,
        uid=options.uid,
        data_mib=options.data_mib,
        options=tuple(options.load),
    )
    wanted = servers(options)
    with work_directory(options.dir) as directory, Place() as place, terminated_as_interrupted():
        result = header(options, build.compiler(), directory)
        result["pinned"] = {"servers": server_cores, "generator": load_cores}
        bench = Bench(
            place,
            generator,
            directory,
            options.seconds or seconds,
            options.pairs or rounds,
            plan,
            server_cores,
            result,
            output,
        )
        result["seconds"], result["rounds"] = bench.seconds, bench.rounds
        try:
            bench.start(wanted)
            if not bench.running:
                raise BenchError("no server is left to measure")
            bench.began = time.monotonic()
            bench.run()
            result["complete"] = True
        except KeyboardInterrupt:
            say("interrupted; what was measured is kept")
        finally:
            bench.stop()
            bench.save()
    return result


def write(result: dict[str, Any], output: Path) -> None:
    """Write the result file, by a new name first: an old one is never half overwritten."""
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(output.name + ".new")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.replace(output)


def main(options: argparse.Namespace) -> int:
    """The verb `wire`. Exit status 130 after Ctrl-C, 1 when calls failed."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    output: Path = options.output or RESULTS / f"wire-{stamp}.json"
    result = measure(options, output)
    if result["runs"]:
        say(f"written: {output}")
        report.show([output], markdown=False, beside=output)
    if not result["complete"]:
        return 130
    wrong = result["failed"] or any(run.get("errors") for run in result["runs"])
    return 1 if wrong else 0
