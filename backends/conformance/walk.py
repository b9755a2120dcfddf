"""Random walks: seeded sequences of calls, each compared with what a small model says of it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from backends.base import (
    Attr,
    CreateMode,
    FileType,
    FsError,
    Key,
    Listing,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance.kit import Fs, Kit, case, difference, fixed, start, status_of
from backends.conformance.model import ROOT, Model, Node, Ref, Step

_NAMES: Final = [b"a", b"b", b"c", b"d", b"e", b"long name " * 10, b"caf\xc3\xa9", b"-"]
_MODES: Final = [0o600, 0o644, 0o664, 0o700, 0o755, 0o777]
_VERIFIERS: Final = [b"verifier", b"another.", bytes(8)]
#: After so many steps, all that the backend has is compared with the model.
_SWEEP_STEPS: Final = 25
#: How many shorter walks are tried when one fails, to show the shortest.
_TRIES: Final = 100

#: Operation: how often it is chosen.
_WEIGHTS: Final = {
    "create": 16,
    "write": 16,
    "read": 8,
    "rename": 14,
    "mkdir": 9,
    "remove": 9,
    "setattr": 9,
    "link": 6,
    "symlink": 4,
    "rmdir": 5,
    "mknod": 2,
    "lookup": 4,
    "peek": 2,
    "getattr": 2,
    "readdir": 5,
    "readlink": 2,
    "commit": 3,
}


class Steps:
    """Makes up steps that are worth trying, in the tree that a model has."""

    def __init__(self, seed: int, model: Model) -> None:
        self._random = random.Random(seed)
        self._model = model
        self._made = ROOT
        limits = model.limits
        missing = {
            "link": not limits.links,
            "symlink": not limits.symlinks,
            "readlink": not limits.symlinks,
            "mknod": not limits.special_files,
        }
        self._ops = [op for op in _WEIGHTS if not missing.get(op)]
        self._weights = [_WEIGHTS[op] for op in self._ops]

    def next(self) -> Step:
        """One more."""
        op = self._random.choices(self._ops, self._weights)[0]
        makes = None
        if op in ("create", "mkdir", "symlink", "mknod"):
            self._made += 1
            makes = self._made
        return Step(op, self._arguments(op), makes)

    def _pick(self, *types: FileType) -> Ref:
        """Mostly a node of these types that lives; now and then any."""
        nodes = list(self._model.nodes.values())
        fit = [node for node in nodes if node.type in types and not node.gone]
        wild = not fit or self._random.random() < 0.08
        return Ref(self._random.choice(nodes if wild else fit).number)

    def _dir(self) -> Ref:
        return self._pick(FileType.DIR)

    def _name(self) -> bytes:
        return self._random.choice(_NAMES)

    def _there(self) -> tuple[Ref, bytes]:
        """A directory, and mostly a name in it."""
        dir = self._dir()
        names = list(self._model.node(dir).children)
        if names and self._random.random() < 0.85:
            return dir, self._random.choice(names)
        return dir, self._name()

    def _size(self) -> int:
        return self._random.choice([0, 1, 100, 4096, 5000, 65_536, 70_000])

    def _arguments(self, op: str) -> tuple[object, ...]:
        chance = self._random
        file = self._pick(FileType.REG)
        if op == "create":
            how = chance.choice(list(CreateMode))
            size = (
                self._size() if how is not CreateMode.EXCLUSIVE and chance.random() < 0.3 else None
            )
            there = self._there() if chance.random() < 0.4 else (self._dir(), self._name())
            return *there, how, chance.choice(_MODES), size, chance.choice(_VERIFIERS)
        if op in ("mkdir", "mknod"):
            return self._dir(), self._name(), chance.choice(_MODES[3:])
        if op == "symlink":
            return self._dir(), self._name(), chance.choice([b"a", b"../b", b"/x" * 100])
        if op in ("remove", "rmdir", "lookup", "peek"):
            return self._there()
        if op == "rename":
            to = self._there() if chance.random() < 0.4 else (self._dir(), self._name())
            return *self._there(), *to
        if op == "link":
            return self._pick(FileType.REG, FileType.LNK), self._dir(), self._name()
        if op == "setattr":
            any_of = self._pick(FileType.REG, FileType.DIR)
            is_link = self._model.node(any_of).type is FileType.LNK
            mode = None if is_link or chance.random() < 0.3 else chance.choice(_MODES[3:])
            size = self._size() if chance.random() < 0.4 else None
            return any_of, mode, size, chance.choice([None, None, None, True, False])
        if op == "write":
            data = chance.randbytes(chance.choice([0, 1, 10, 1000, 3000]))
            return file, self._size(), data, chance.choice(list(Stable))
        if op == "read":
            return file, self._size(), chance.choice([0, 1, 100, 5000, 100_000])
        if op == "readdir":
            return (self._dir(),)
        return (self._pick(*([FileType.LNK] if op == "readlink" else [FileType.REG])),)


class Walker:
    """Takes steps in a backend and in a model at once. Raises AssertionError where they part."""

    def __init__(self, fs: Fs, model: Model) -> None:
        self.fs = fs
        self.model = model
        self.steps: list[Step] = []
        #: What stays as it is while nobody touches it.
        self._seen: dict[Node, tuple[object, ...]] = {}
        self._keys: set[Key] = {model.root.key}

    async def take(self, step: Step) -> None:
        """One step, and what it leaves."""
        self.steps.append(step)
        model = self.model
        verdict = model.judge(step)
        near = {model.node(arg) for arg in step.args if isinstance(arg, Ref)}
        befores = {node: await self.fs.attr(node.key) for node in near if not node.gone}
        try:
            result = await self.call(step, befores)
        except (FsError, OSError) as error:
            status = status_of(error)
            allowed = ", ".join(sorted(one.name for one in verdict.refusals)) or "success"
            assert status in verdict.refusals, f"refused with {error}, expected {allowed}"
            for node, before in befores.items():
                after = await self.fs.attr(node.key)
                assert fixed(after) == fixed(before), f"refused, but #{node.number} is changed"
            return
        assert verdict.may_succeed, "succeeded, expected " + " or ".join(
            sorted(one.name for one in verdict.refusals)
        )
        await self._compare(step, result, befores)

    async def _compare(self, step: Step, result: object, befores: dict[Node, Attr]) -> None:
        """A step that succeeded."""
        model, attr = self.model, getattr(result, "attr", None)
        known = set(model.nodes)
        found = model.apply(step, attr.key if isinstance(attr, Attr) else None)
        if found is not None and isinstance(attr, Attr) and step.op != "readdir":
            assert attr.key == found.key, f"it is #{found.number}, whose key is {found.key}"
            self._check_attr(found, attr)
        if found is not None and found.number not in known:
            assert found.key not in self._keys, f"the key {found.key} was another file's"
            self._keys.add(found.key)
        self._check_result(step, result, found)
        for node in model.touched | set(befores):
            if node.gone:
                self._seen.pop(node, None)
                await self.fs.check_stale(node.key)
                continue
            now = await self.fs.attr(node.key)
            self._check_attr(node, now)
            before = befores.get(node)
            if before is not None:
                assert now.ctime >= before.ctime, f"ctime of #{node.number} went back"
                if node not in model.touched:
                    assert fixed(now) == fixed(before), f"#{node.number} is changed"
            self._seen[node] = fixed(now)

    def _check_attr(self, node: Node, attr: Attr) -> None:
        name = f"#{node.number}"
        assert attr.type is node.type, f"{name} is a {node.type.name}"
        if node.mode >= 0 and node.number != ROOT:
            assert attr.mode == node.mode, f"{name}: mode {attr.mode:o}, expected {node.mode:o}"
        if node.type is not FileType.DIR or self.fs.kit.counts_subdirectories:
            assert attr.nlink == node.nlink, f"{name}: nlink {attr.nlink}, expected {node.nlink}"
        if node.type in (FileType.REG, FileType.LNK):
            size = len(node.data)
            assert attr.size == size, f"{name}: size {attr.size}, expected {size}"

    def _check_result(self, step: Step, result: object, found: Node | None) -> None:
        if step.op == "read":
            assert found is not None
            _, offset, count = step.args
            data, want = bytes(result.data), bytes(found.data[offset : offset + count])  # type: ignore[attr-defined]
            assert want.startswith(data), difference(data, want)
            end = offset + len(data) >= len(found.data)
            assert result.eof == end, f"eof is {result.eof}, the size is {len(found.data)}"  # type: ignore[attr-defined]
            assert data or not want, "read gave nothing before the end"
        elif step.op == "readlink":
            assert found is not None
            assert result.target == bytes(found.data)  # type: ignore[attr-defined]
        elif step.op == "peek":
            number = found.key.ino if found is not None else None
            assert result == number, f"peek gave {result}, expected {number}"

    async def call(self, step: Step, befores: dict[Node, Attr]) -> object:
        """The call that a step stands for."""
        fs, op = self.fs, step.op
        args: list[Any] = [
            self.model.node(arg).key if isinstance(arg, Ref) else arg for arg in step.args
        ]
        if op == "create":
            dir, name, how, mode, size, verifier = args
            exclusive = how is CreateMode.EXCLUSIVE
            attr = SetAttr() if exclusive else SetAttr(mode=mode, size=size)
            return await fs.create(dir, name, how, attr, verifier if exclusive else bytes(8))
        if op in ("mkdir", "mknod", "symlink"):
            dir, name, what = args
            if op == "mkdir":
                return await fs.backend.mkdir(fs.ctx, dir, name, SetAttr(mode=what))
            if op == "symlink":
                return await fs.backend.symlink(fs.ctx, dir, name, what, SetAttr(mode=0o777))
            kind = FileType.FIFO
            return await fs.backend.mknod(fs.ctx, dir, name, kind, (0, 0), SetAttr(mode=what))
        if op == "setattr":
            key, mode, size, guard = args
            node = self.model.node(step.args[0])
            when = None
            if guard is not None:
                when = (befores[node].ctime if node in befores else 0) + (0 if guard else 1)
            return await fs.setattr(key, SetAttr(mode=mode, size=size), when)
        if op == "write":
            return await self._write(step)
        if op == "commit":
            return await fs.backend.commit(fs.ctx, args[0], 0, 0)
        if op == "readdir":
            return await self._list(step.args[0])
        return await getattr(fs.backend, op)(fs.ctx, *args)

    async def _write(self, step: Step) -> object:
        """All of it, however many bytes a call takes."""
        ref, offset, data, stable = step.args
        key = self.model.node(ref).key
        done = await self.fs.backend.write(self.fs.ctx, key, offset, data, stable)
        if done.count < len(data):
            await self.fs.write(key, offset + done.count, data[done.count :], stable)
        return done

    async def _list(self, ref: Ref) -> Listing:
        node = self.model.node(ref)
        entries = await self.fs.entries(node.key, count=100, plus=True)
        expected = {name: child.key.ino for name, child in node.children.items()}
        assert len(entries) == len(expected), _names([entry.name for entry in entries], expected)
        for entry in entries:
            assert entry.name in expected, f"{entry.name!r} is listed, and is not there"
            assert entry.ino == expected[entry.name], f"{entry.name!r} is listed with another ino"
            if entry.attr is not None:
                self._check_attr(node.children[entry.name], entry.attr)
        return Listing((), True)

    async def sweep(self) -> None:
        """Compare all there is."""
        fs, model = self.fs, self.model
        for node in list(model.nodes.values()):
            if node.gone:
                await fs.check_stale(node.key)
                continue
            attr = await fs.attr(node.key)
            self._check_attr(node, attr)
            seen = self._seen.setdefault(node, fixed(attr))
            assert fixed(attr) == seen, f"#{node.number} has changed, though nobody touched it"
            if node.type is FileType.REG:
                node.sure = False
                difference_ = difference(await fs.read(node.key), bytes(node.data))
                assert not difference_, f"#{node.number}: {difference_}"
            elif node.type is FileType.LNK:
                target = (await fs.backend.readlink(fs.ctx, node.key)).target
                assert target == bytes(node.data), f"#{node.number}: the target is {target!r}"
            elif node.type is FileType.DIR:
                await self._list(Ref(node.number))
                for name, child in node.children.items():
                    found = await fs.lookup(node.key, name)
                    assert found.key == child.key, f"{name!r} in #{node.number} is {found.key}"
                await self._check_parent(node)

    async def _check_parent(self, node: Node) -> None:
        try:
            above = await self.fs.backend.parent(self.fs.ctx, node.key)
        except FsError as error:
            assert error.status is Status.NOTSUPP, f"parent of #{node.number}: {error}"
            return
        expected = node.parent or node
        assert above.key == expected.key, f"the parent of #{node.number} is {above.key}"


def _names(listed: list[bytes], expected: dict[bytes, int]) -> str:
    missing = sorted(set(expected) - set(listed))
    return f"listed {sorted(listed)}" + (f", {missing} is missing" if missing else "")


class Walks(Kit):
    """What no single test thought of."""

    @pytest.mark.parametrize("which", range(4))
    @case("write")
    async def test_a_random_walk(self, fs: Fs, which: int) -> None:
        """Each call does what the model says, and nothing else."""
        seed = self.walk_seeds[which % len(self.walk_seeds)]
        await self._walk(fs, seed, None)

    @pytest.mark.parametrize("end", ["stop", "crash"])
    @case("write")
    async def test_a_random_walk_with_restarts(self, fs: Fs, end: str) -> None:
        """The same, with three ends on the way; what is not safe is committed before."""
        await self._walk(fs, self.walk_seeds[0] + 1000, end)

    async def _walk(self, fs: Fs, seed: int, end: str | None) -> None:
        walker = Walker(fs, Model(fs.root, fs.limits))
        source = Steps(seed, walker.model)
        try:
            for number in range(1, self.walk_steps + 1):
                await walker.take(source.next())
                if number % _SWEEP_STEPS == 0:
                    await walker.sweep()
                if end is not None and number % (self.walk_steps // 4) == 0:
                    await _commit_all(walker)
                    walker.fs = await walker.fs.again(end)
                    await walker.sweep()
        except AssertionError as error:
            steps, message = walker.steps, str(error)
            if end is None:
                steps, message = await shortest(self, fs.tmp_path, steps, message)
            told = "\n".join(f"  {step}" for step in steps)
            pytest.fail(f"seed {seed}, after {len(steps)} steps:\n{told}\n{message}")


async def _commit_all(walker: Walker) -> None:
    for node in walker.model.nodes.values():
        if node.dirty and not node.gone:
            await walker.take(Step("commit", (Ref(node.number),)))


async def shortest(
    kit: Kit, tmp_path: Path, steps: Sequence[Step], message: str
) -> tuple[list[Step], str]:
    """As few of the steps as still fail, and how the fewest do."""
    left, tries, size = list(steps), 0, max(1, len(steps) // 2)
    work = Path(tempfile.mkdtemp(dir=tmp_path))
    while size and tries < _TRIES:
        at = 0
        while at < len(left) and tries < _TRIES:
            fewer = left[:at] + left[at + size :]
            tries += 1
            failure = await _again(kit, work / f"{tries}", fewer)
            if failure is None:
                at += size
            else:
                left, message = fewer[: failure[0]], failure[1]
        size //= 2
    return left, message


async def _again(kit: Kit, path: Path, steps: Sequence[Step]) -> tuple[int, str] | None:
    """Take these steps in a new backend: after how many it fails, and how."""
    path.mkdir()
    fs = await start(kit, kit.make_backend(path), path)
    try:
        walker = Walker(fs, Model(fs.root, fs.limits))
        for number, step in enumerate(steps, 1):
            if not walker.model.knows(step):
                continue
            try:
                await walker.take(step)
                if number == len(steps):
                    await walker.sweep()
            except AssertionError as error:
                return number, str(error)
    finally:
        await fs.stop()
    return None
