"""``python3 -m benchmarks scale``: does a call cost the same with many connections, files, names?

The server's CPU time per call is read from /proc while a client with a fixed number of calls
outstanding works; ratios of it to the smallest number of things are what counts. docs/scale.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .scale_calls import (
    CREATE,
    GETATTR,
    LOOKUP,
    REMOVE,
    Caller,
    Remote,
    Talk,
    opaque,
)

REPO = Path(__file__).resolve().parents[1]

#: Calls outstanding, and calls that one figure is made of: the least of so many tries.
WINDOW, CALLS, TRIES = 16, 4096, 3

#: Connections of one address; a server takes 1,024, and 500 a second.
PER_ADDRESS, PER_SECOND = 400, 400

#: Files of one directory of the tree.
FAN_OUT = 1000

#: Files and names that are asked for again and again, as against each at random.
WARM = 512


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: `us` is the server's CPU time per call, or per name of a listing."""

    topic: str
    storage: str
    call: str
    things: int
    us: float
    #: Bytes of the server's memory that are more than at its start.
    grown: int


class Server:
    """A server in a process of its own, and what it takes."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port
        self._memory = self.memory()

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have had."""
        tasks = Path(f"/proc/{self.pid}/task")
        spent = 0
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                spent += int((task / "schedstat").read_text().split()[0])
        return spent / 1e9

    def memory(self) -> int:
        """Resident bytes that are its own."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)
        return sum(map(int, found)) << 10

    def grown(self) -> int:
        """Bytes more than at the start."""
        return self.memory() - self._memory


@contextlib.contextmanager
def serving(storage: str) -> Iterator[Server]:
    """A server of `storage`, as the command line takes it, exported as /."""
    with tempfile.TemporaryDirectory(prefix="nfsloop-scale-") as state:
        argv = ["--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", "--log-level", "error"]
        argv += ["-o", "no_root_squash,insecure", "--state", state, f"/={storage}"]
        with subprocess.Popen(
            [sys.executable, "-m", "nfsloop", "serve", *argv],
            stdout=subprocess.PIPE,
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                port = re.search(r":(\d+) over", process.stdout.readline())
                if port is None:
                    raise RuntimeError("the server has not started")
                yield Server(process.pid, int(port[1]))
            finally:
                process.terminate()


def per_call(server: Server, work: Callable[[], int]) -> float:
    """The least CPU time of a call in `TRIES` runs of `work`, which gives the calls it has made."""
    best = float("inf")
    for _ in range(TRIES):
        before = server.cpu()
        calls = work()
        best = min(best, (server.cpu() - before) / calls)
    return best * 1e6


def random_calls(caller: Caller, make: Callable[[random.Random], bytes]) -> Callable[[], int]:
    """`CALLS` of those that `make` makes, `WINDOW` at a time; the same ones in each run."""
    seeds = iter(range(1 << 30))

    def work() -> int:
        rng = random.Random(next(seeds))
        for _ in range(CALLS // WINDOW):
            caller.ask([make(rng) for _ in range(WINDOW)])
        return CALLS

    return work


# Connections


def connections(storage: str, place: str, counts: Sequence[int]) -> Iterator[Figure]:
    """GETATTR by one of many connections, the others idle; and by each in its turn."""
    with serving(place) as server:
        first = Remote(server.port)
        talks: list[Talk] = []
        record = first.talk.record(GETATTR, opaque(first.root))
        for count in counts:
            _open(server, talks, count)
            time.sleep(0.2)
            us = per_call(server, random_calls(first, lambda rng: record))
            yield Figure("connections, idle", storage, "GETATTR", count, us, server.grown())
            us = per_call(server, lambda: _round(talks, record))
            yield Figure("connections, in turn", storage, "GETATTR", count, us, server.grown())
        for talk in talks:
            talk.sock.close()


def _open(server: Server, talks: list[Talk], count: int) -> None:
    """Open connections until there are `count`, no faster than a server takes them."""
    while len(talks) < count:
        source = f"127.0.0.{2 + len(talks) // PER_ADDRESS}"
        talks.append(Talk(server.port, source=source))
        if not len(talks) % 100:
            time.sleep(100 / PER_SECOND)


def _round(talks: Sequence[Talk], record: bytes) -> int:
    """A call on each connection, `WINDOW` of them at a time, until there are `CALLS`."""
    done = 0
    while done < CALLS:
        for start in range(0, len(talks), WINDOW):
            some = talks[start : start + WINDOW]
            for talk in some:
                talk.sock.sendall(record)
            for talk in some:
                while not talk.replies(talk.sock.recv(4096)):
                    pass
            done += len(some)
    return done


# Files


def make_tree(root: Path, files: int) -> None:
    """So many files, `FAN_OUT` to a directory; those that are there stay."""
    for number in range(-(-files // FAN_OUT)):
        _fill(root / f"{number:04}", min(FAN_OUT, files - number * FAN_OUT))


def _fill(directory: Path, names: int) -> None:
    if directory.exists():
        return
    directory.mkdir(parents=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for n in range(names):
        os.close(os.open(b"%07d" % n, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
    os.close(fd)


def tree(storage: str, place: str, counts: Sequence[int]) -> Iterator[Figure]:
    """The first so many files of a tree: found by READDIRPLUS, then GETATTR and LOOKUP at random.

    Each number of files has a server of its own, so that nothing is remembered of others.
    """
    for count in counts:
        with serving(place) as server:
            caller = Remote(server.port)
            if storage == "memory":
                for number in range(-(-count // FAN_OUT)):
                    caller.make_dir(b"%04d" % number, min(FAN_OUT, count - number * FAN_OUT))
            yield from _tree(server, storage, caller, count)


def _tree(server: Server, storage: str, caller: Remote, count: int) -> Iterator[Figure]:
    files: list[bytes] = []
    places: list[tuple[bytes, bytes]] = []
    tops = [(n, h) for page in caller.pages(caller.root) for n, h in page if n[:1] != b"."]
    before = server.cpu()
    for _, directory in sorted(tops)[: -(-count // FAN_OUT)]:
        for page in caller.pages(directory):
            found = [(name, handle) for name, handle in page if name[:1] != b"."]
            files += [handle for _, handle in found]
            places += [(directory, name) for name, _ in found]
    us = (server.cpu() - before) / len(files) * 1e6
    if count >= WARM:  # what a listing costs at all would be that of one name
        yield Figure("files", storage, "READDIRPLUS name", count, us, server.grown())
    del files[count:], places[count:]
    record = caller.talk.record

    def getattr_of(index: int) -> bytes:
        return record(GETATTR, opaque(files[index]))

    def lookup_of(index: int) -> bytes:
        directory, name = places[index]
        return record(LOOKUP, caller.named(name, directory))

    for call, make in (("GETATTR", getattr_of), ("LOOKUP", lookup_of)):
        yield from _chosen(server, caller, Figure("files", storage, call, count, 0, 0), make)


def _chosen(
    server: Server, caller: Remote, what: Figure, make: Callable[[int], bytes]
) -> Iterator[Figure]:
    """Calls about `WARM` of the things, spread over all; and about any, the last that were not."""
    step = max(1, what.things // WARM)
    some = min(WARM, what.things)
    us = per_call(server, random_calls(caller, lambda rng: make(rng.randrange(some) * step)))
    yield replace(what, us=us, grown=server.grown())
    if what.things > WARM:
        us = per_call(server, random_calls(caller, lambda rng: make(rng.randrange(what.things))))
        yield replace(what, call=f"{what.call}, any", us=us, grown=server.grown())


# Names


def names(storage: str, place: str, counts: Sequence[int]) -> Iterator[Figure]:
    """LOOKUP, CREATE and REMOVE in a directory of so many names, and its listing."""
    for count in counts:
        with serving(place) as server:
            caller = Remote(server.port)
            if storage == "memory":
                directory = caller.make_dir(b"%d" % count, count)
            else:
                found = dict(entry for page in caller.pages(caller.root) for entry in page)
                directory = found[b"%d" % count]
            yield from _names(server, storage, caller, count, directory)


def _names(
    server: Server, storage: str, caller: Remote, count: int, directory: bytes
) -> Iterator[Figure]:
    record = caller.talk.record

    def lookup_of(index: int) -> bytes:
        return record(LOOKUP, caller.named(b"%07d" % index, directory))

    what = Figure("names", storage, "LOOKUP", count, 0, 0)
    yield from _chosen(server, caller, what, lookup_of)

    def change() -> int:
        for turn in range(CALLS // WINDOW // 2):
            new = [b"new%d.%d" % (turn, n) for n in range(WINDOW)]
            caller.ask([record(CREATE, caller.creating(name, directory)) for name in new])
            caller.ask([record(REMOVE, caller.named(name, directory)) for name in new])
        return CALLS

    us = per_call(server, change)
    yield Figure("names", storage, "CREATE, REMOVE", count, us, server.grown())

    def walk() -> int:
        return sum(len(page) for page in caller.pages(directory))

    if count >= WARM:
        us = per_call(server, walk)
        yield Figure("names", storage, "READDIRPLUS name", count, us, server.grown())


# The command

TOPICS: dict[str, Callable[[str, str, Sequence[int]], Iterator[Figure]]] = {
    "connections": connections,
    "files": tree,
    "names": names,
}


def show(figures: Sequence[Figure]) -> str:
    """The table: a line for each topic, storage and call, a column for each number of things."""
    lines = []
    kinds = dict.fromkeys((f.topic, f.storage, f.call) for f in figures)
    for topic, storage, call in kinds:
        row = [f for f in figures if (f.topic, f.storage, f.call) == (topic, storage, call)]
        cells = [f"{f.things:,}: {f.us:.1f} us ({f.us / row[0].us:.2f})" for f in row]
        lines.append(f"{topic:22} {storage:7} {call:18} " + "  ".join(cells))
        each = (row[-1].grown - row[0].grown) / max(1, row[-1].things - row[0].things)
        if topic != "names" and len(row) > 1:
            lines.append(f"{'':49} {each:,.0f} bytes of memory for each more")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python3 -m benchmarks scale", description=__doc__)
    top.add_argument("--place", type=Path, help="where trees are made; they stay, for the next run")
    top.add_argument("--storage", choices=("memory", "posix"), action="append", default=[])
    top.add_argument("--topic", choices=tuple(TOPICS), action="append", default=[])
    top.add_argument("--connections", default="1,16,256,1000,2000")
    top.add_argument("--files", default="1,1000,10000,100000,1000000")
    top.add_argument("--names", default="10,1000,100000,1000000")
    top.add_argument("--memory-most", type=int, default=100_000, help="files and names in memory")
    top.add_argument("--json", type=Path, help="write the figures to this file")
    return top


def measure(options: argparse.Namespace, place: Path) -> Iterator[Figure]:
    """All figures that are asked for, one by one."""
    for storage in options.storage or ("memory", "posix"):
        for topic in options.topic or TOPICS:
            counts = [int(count) for count in getattr(options, topic).split(",")]
            if storage == "memory" and topic != "connections":
                counts = [count for count in counts if count <= options.memory_most]
            root = place / topic
            root.mkdir(parents=True, exist_ok=True)
            if storage == "posix" and topic == "files":
                make_tree(root, max(counts))
            if storage == "posix" and topic == "names":
                for count in counts:
                    _fill(root / str(count), count)
            yield from TOPICS[topic](
                storage, "memory:" if storage == "memory" else str(root), counts
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 if a server or a tree cannot be."""
    options = parser().parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        place = options.place or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="nfsloop-scale-"))
        )
        try:
            for figure in measure(options, place):
                figures.append(figure)
                print(
                    f"{figure.topic}, {figure.storage}, {figure.call}, {figure.things:,}: "
                    f"{figure.us:.1f} us, {figure.grown >> 10:,} KiB",
                    file=sys.stderr,
                )
        except (OSError, RuntimeError) as exc:
            print(f"scale: {exc}", file=sys.stderr)
            return 1
    print(show(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 0
