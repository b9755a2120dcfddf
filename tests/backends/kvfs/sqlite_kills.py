"""SIGKILL for a process that changes a SQLite file system, again and again on one file.

``python sqlite_kills.py DIR KILLS [SEED]`` runs many; `test_sqlite_kills` runs a few. The process
tells of each operation before and after it. What it acknowledged must be there, and what was in
flight must have happened or not: names, attributes and all of the data.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.base import Context, CreateMode, FileType, Key, SetAttr, Stable
from backends.kvfs import store
from backends.sqlite import SqliteBackend
from backends.sqlite.engine import SqliteEngine

CTX = Context()
#: Small, so that the log is moved and large files are deleted in steps all the time.
LOG_BYTES = 300 << 10
STEP_BLOCKS = 4
MOST_FILES = 60
MOST_OPERATIONS = 80

#: How often each operation is chosen; replace is a rename onto another file.
WEIGHTS = {
    "create": 2, "write": 5, "truncate": 1, "chmod": 1, "link": 1, "symlink": 1, "rename": 1,
    "replace": 1, "remove": 2, "mkdir": 1, "rmdir": 1, "commit": 1, "restart": 1,
}  # fmt: skip

#: An operation: its name, and arguments that are good for JSON. Paths are strings.
Operation = list[Any]


@dataclass
class Node:
    """A file or directory of the model."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    target: bytes | None = None
    children: dict[str, Node] | None = None


class Model:
    """What the file system must be."""

    def __init__(self) -> None:
        self.root = Node(0o755, children={})

    def find(self, path: str) -> Node:
        node = self.root
        for name in path.split("/")[1:] if path else ():
            assert node.children is not None
            node = node.children[name]
        return node

    def dir(self, path: str) -> dict[str, Node]:
        children = self.find(path.rpartition("/")[0]).children
        assert children is not None
        return children

    def walk(self, at: str = "") -> list[tuple[str, Node]]:
        """(path, node) of all but the root."""
        found = []
        for name, node in (self.find(at).children or {}).items():
            found.append((f"{at}/{name}", node))
            if node.children is not None:
                found += self.walk(f"{at}/{name}")
        return found

    def apply(self, what: str, path: str, *args: Any) -> None:
        """Do an operation that was acknowledged."""
        name = path.rpartition("/")[2]
        if what == "create":
            self.dir(path)[name] = Node(args[0])
        elif what == "mkdir":
            self.dir(path)[name] = Node(args[0], children={})
        elif what == "symlink":
            self.dir(path)[name] = Node(0o777, target=args[0].encode())
        elif what == "link":
            self.dir(args[0])[args[0].rpartition("/")[2]] = self.find(path)
        elif what in ("remove", "rmdir"):
            del self.dir(path)[name]
        elif what == "rename":
            node = self.find(path)
            target = self.dir(args[0])
            if target.get(args[0].rpartition("/")[2]) is not node:
                del self.dir(path)[name]
                target[args[0].rpartition("/")[2]] = node
        elif what == "write":
            node, (offset, length, seed, _) = self.find(path), args
            node.data.extend(bytes(max(0, offset - len(node.data))))
            node.data[offset : offset + length] = content(seed, length)
        elif what == "truncate":
            node = self.find(path)
            node.data = node.data[: args[0]].ljust(args[0], b"\0")
        elif what == "chmod":
            self.find(path).mode = args[0]

    def snapshot(self) -> dict[str, Any]:
        """What `look` finds in a file system that is right."""
        nodes = self.walk()
        links: dict[int, int] = {}
        for _, node in nodes:
            links[id(node)] = links.get(id(node), 0) + 1
        return {
            path: [node.mode, sorted(node.children)]
            if node.children is not None
            else [
                node.mode,
                links[id(node)],
                bytes(node.data if node.target is None else node.target),
            ]
            for path, node in nodes
        }


def content(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def choose(model: Model, chance: random.Random) -> Operation:
    """An operation that will succeed."""
    nodes = model.walk()
    files = [p for p, n in nodes if n.children is None and n.target is None]
    dirs = ["", *(path for path, node in nodes if node.children is not None)]
    new = f"{chance.choice(dirs)}/{chance.randrange(10**6)}"
    what = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if what == "create" or not files or (what == "write" and chance.random() < 0.1):
        if len(nodes) >= MOST_FILES and files:
            return ["remove", chance.choice(files)]
        return ["create", new, chance.choice([0o600, 0o644])]
    file = chance.choice(files)
    if what == "write":
        offset = chance.choice([0, 0, 100, 32_768, 65_000, 400_000])
        length = chance.choice([1, 100, 4096, 32_768, 70_000, 200_000])
        return ["write", file, offset, length, chance.randrange(10**6), chance.choice([0, 0, 1, 2])]
    if what == "truncate":
        return ["truncate", file, chance.choice([0, 1, 40_000, 100_000, 700_000])]
    if what == "chmod":
        return [
            "chmod",
            chance.choice([p for p, n in nodes if n.target is None]),
            chance.choice([0o640, 0o750]),
        ]
    if what in ("mkdir", "symlink"):
        return [what, new, 0o755 if what == "mkdir" else "target of " + new]
    if what == "rmdir":
        empty = [path for path, node in nodes if node.children == {}]
        return ["rmdir", chance.choice(empty)] if empty else ["mkdir", new, 0o700]
    if what in ("rename", "link"):
        return [what, file, new]
    if what == "replace":
        return ["rename", file, chance.choice(files)]
    return [what, file]


# The process that is killed


def backend(path: Path) -> SqliteBackend:
    fs = SqliteBackend(path)
    assert isinstance(fs.engine, SqliteEngine)
    fs.engine._log_bytes = LOG_BYTES
    return fs


async def find(fs: SqliteBackend, path: str) -> Key:
    key = (await fs.root(CTX)).key
    for name in path.split("/")[1:] if path else ():
        key = (await fs.lookup(CTX, key, name.encode())).attr.key
    return key


async def perform(fs: SqliteBackend, what: str, path: str, *args: Any) -> None:
    above, _, last = path.rpartition("/")
    dir, name = await find(fs, above), last.encode()
    if what == "create":
        await fs.create(CTX, dir, name, CreateMode.GUARDED, SetAttr(mode=args[0]), b"")
    elif what == "mkdir":
        await fs.mkdir(CTX, dir, name, SetAttr(mode=args[0]))
    elif what == "symlink":
        await fs.symlink(CTX, dir, name, args[0].encode(), SetAttr())
    elif what in ("remove", "rmdir"):
        await getattr(fs, what)(CTX, dir, name)
    elif what in ("link", "rename"):
        above, _, last = args[0].rpartition("/")
        to = await find(fs, above)
        if what == "link":
            await fs.link(CTX, await find(fs, path), to, last.encode())
        else:
            await fs.rename(CTX, dir, name, to, last.encode())
    elif what == "write":
        offset, length, seed, stable = args
        key = await find(fs, path)
        await fs.write(CTX, key, offset, content(seed, length), Stable(stable))
    elif what == "truncate":
        await fs.setattr(CTX, await find(fs, path), SetAttr(size=args[0]))
    elif what == "chmod":
        await fs.setattr(CTX, await find(fs, path), SetAttr(mode=args[0]))
    elif what == "commit":
        await fs.commit(CTX, await find(fs, path), 0, 0)


async def work(path: Path, seed: int) -> None:
    """Change things until killed, or for long enough."""
    store.STEP_BLOCKS = STEP_BLOCKS  # type: ignore[misc]
    chance, model = random.Random(seed), Model()
    tell("opening")
    fs = backend(path)
    await fs.start()
    model.root = await load(fs, (await fs.root(CTX)).key, {})
    for _ in range(MOST_OPERATIONS):
        operation = choose(model, chance)
        tell(operation)
        if operation[0] == "restart":
            await fs.stop()
            fs = backend(path)
            await fs.start()
        else:
            await perform(fs, *operation)
        tell("done")
        model.apply(*operation)
    time.sleep(60)


def tell(message: object) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


async def load(fs: SqliteBackend, key: Key, seen: dict[int, Node]) -> Node:
    """What is there, as a model."""
    attr = await fs.getattr(CTX, key)
    if attr.ino in seen:
        return seen[attr.ino]
    node = seen[attr.ino] = Node(attr.mode)
    if attr.type is FileType.DIR:
        node.children = {}
        for entry in (await fs.readdir(CTX, key, 0, 1 << 20, True)).entries:
            assert entry.attr is not None
            node.children[entry.name.decode()] = await load(fs, entry.attr.key, seen)
    elif attr.type is FileType.LNK:
        node.target = (await fs.readlink(CTX, key)).target
    else:
        node.data = bytearray((await fs.read(CTX, key, 0, 1 << 24)).data)
        assert len(node.data) == attr.size
    return node


# The one who kills


async def look(path: Path) -> tuple[dict[str, Any], list[str], bytes]:
    """What is there, what is wrong with it, and the verifier."""
    fs = backend(path)
    await fs.start()
    model = Model()
    model.root = await load(fs, (await fs.root(CTX)).key, {})
    lines, verifier = await fs.fsck(), fs.verifier
    found = model.snapshot()
    for at, values in found.items():
        if isinstance(values[-1], bytes):
            values[1] = (await fs.getattr(CTX, await find(fs, at))).nlink
    await fs.stop()
    return found, lines, verifier


def kill_once(path: Path, seed: int, model: Model) -> tuple[int, Operation | None]:
    """Start a process, kill it, apply to `model` what it acknowledged: how much that was, and what
    was in flight."""
    chance = random.Random(seed)
    after, late = chance.choice([0, chance.randrange(MOST_OPERATIONS)]), chance.random() * 0.005
    child = subprocess.Popen(
        [sys.executable, __file__, "--work", str(path), str(seed)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert child.stdout is not None
    done, flight, killed = 0, None, False
    for line in child.stdout:
        if not line.endswith(b"\n"):
            break
        message = json.loads(line)
        if message == "done":
            assert flight is not None
            model.apply(*flight)
            done, flight = done + 1, None
        elif message != "opening":
            flight = message
        if not killed and done >= after:
            killed = True
            time.sleep(late)
            child.send_signal(signal.SIGKILL)
    code = child.wait()
    assert code == -signal.SIGKILL, f"seed {seed}: it ended by itself with {code}, in {flight}"
    return done, flight


def run(path: Path, kills: int, seed: int = 1) -> tuple[int, int]:
    """Kill so often; gives how many operations were acknowledged, how many cut off."""
    model, total, cut = Model(), 0, 0
    verifiers = set()
    for number in range(kills):
        done, flight = kill_once(path, seed + number, model)
        found, lines, verifier = asyncio.run(look(path))
        assert lines == [], f"seed {seed + number}: {lines}"
        if found != model.snapshot() and flight is not None:
            model.apply(*flight)
            cut += 1
        wrong = _difference(found, model.snapshot())
        assert not wrong, f"seed {seed + number}: after {flight}: {wrong}"
        verifiers.add(verifier)
        total += done
    assert len(verifiers) == 1, "SIGKILL loses nothing"
    return total, cut


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    wrong = sorted(at for at in found.keys() | wanted.keys() if found.get(at) != wanted.get(at))
    return [f"{at}: {found.get(at)!s:.80} instead of {wanted.get(at)!s:.80}" for at in wrong[:5]]


def main() -> None:
    if sys.argv[1] == "--work":
        asyncio.run(work(Path(sys.argv[2]), int(sys.argv[3])))
        return
    path, kills = Path(sys.argv[1]) / "kills.db", int(sys.argv[2])
    total, cut = run(path, kills, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    print(f"{kills} kills, {total} operations acknowledged; {cut} in flight had happened")


if __name__ == "__main__":
    main()
