"""SIGKILL in the middle of work: what was acknowledged is there, and nothing is broken.

A process of its own imports the author's test class once, and forks for each kill. The fork makes
the backend, takes random steps, and tells of each before and after, until it is killed. The test
then opens the storage again, and compares it with a model that took the same steps.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from backends.base import CHANGES, FileType, FsError, Key, Stable, Status, Written
from backends.conformance.kit import Fs, Kit, case, difference, start
from backends.conformance.model import Model, Node, Step
from backends.conformance.walk import Steps, Walker

#: How many steps a process may take before it waits for its end.
_STEPS: Final = 400
_TIMEOUT_SECONDS: Final = 60
_BOOT: Final = (
    "import json, sys; request = json.loads(sys.argv[1]); sys.path[:] = request['sys.path'];"
    "from backends.conformance import kills; kills.main(request)"
)


@dataclass(slots=True)
class Run:
    """What one killed process told: its steps, the last of them perhaps without an end."""

    root: Key
    verifier: bytes
    done: list[tuple[Step, bool, Key | None, Stable | None]] = field(default_factory=list)
    in_flight: Step | None = None
    error: str | None = None


class Kills(Kit):
    """For those that declare `Kit.killable`."""

    @case("write", "killable")
    async def test_sigkill_at_any_moment(self, fs: Fs) -> None:
        """Acknowledged changes and safe data are there, and a call in flight is all or nothing."""
        if "<locals>" in type(self).__qualname__:
            pytest.skip(
                "the test class is made in a function, where another process cannot find it"
            )
        runs = _kill(self, fs.tmp_path)
        for number, run in enumerate(runs):
            assert run.error is None, f"the backend failed before it was killed: {run.error}"
            await self._check_killed(fs.tmp_path / f"killed {number}", run)

    async def _check_killed(self, path: Path, run: Run) -> None:
        backend = self.reopen(path)
        assert backend is not None, "killable needs the reopen hook"
        fs = await start(self, backend, path)
        try:
            assert fs.root == run.root, "the root has another key after SIGKILL"
            if difference_ := await self._compare(fs, run, False):
                also = await self._compare(fs, run, True) if run.in_flight else None
                last = f"\nin flight was {run.in_flight}: {also}" if run.in_flight else ""
                if also is not None or not run.in_flight:
                    steps = "\n".join(f"  {step}" for step, *_ in run.done[-30:])
                    pytest.fail(f"after SIGKILL: {difference_}{last}\nthe last steps:\n{steps}")
            lines = await fs.fsck()
            assert lines == [], f"fsck after SIGKILL: {lines}"
            key = await fs.file(b"made after the kill", b"data")
            assert await fs.read(key) == b"data"
        finally:
            await fs.stop()

    async def _compare(self, fs: Fs, run: Run, with_last: bool) -> str | None:
        """Where the storage is not as the steps left it, with or without the one in flight."""
        model = Model(run.root, fs.limits)
        for step, refused, key, stable in run.done:
            if not refused:
                args = step.args if stable is None else (*step.args[:3], stable)
                model.apply(replace(step, args=args), key)
        loose: Node | None = None
        if run.in_flight is not None and model.judge(run.in_flight).may_succeed:
            if with_last and not await _apply_last(fs, model, run.in_flight):
                return "it has not happened"
            loose = _half_done(model, run.in_flight, self.atomic)
        kept = fs.backend.verifier == run.verifier
        try:
            for node in list(model.nodes.values()):
                await _check_node(fs, node, node is loose, kept)
        except AssertionError as error:
            return str(error)
        return None


async def _apply_last(fs: Fs, model: Model, step: Step) -> bool:
    """Apply what was in flight, if the storage looks as if it had happened."""
    key = None
    if step.makes is not None:
        dir, name = step.args[:2]
        try:
            key = (await fs.lookup(model.node(dir).key, name)).key
        except (FsError, OSError):
            return False
    model.apply(step, key)
    return True


def _half_done(model: Model, step: Step, atomic: bool) -> Node | None:
    """The node whose data or attributes the step in flight may have left between two states."""
    if step.op == "write":
        node = model.node(step.args[0])
        end = step.args[1] + len(step.args[2])
        start_ = min(step.args[1], node.safe_size)
        node.dirty.append((start_, max(end, len(node.data))))
        node.data.extend(bytes(max(0, end - len(node.data))))
        return node
    if atomic or step.op in ("commit", "remove", "rmdir", "rename", "link"):
        return None
    if step.op == "setattr":
        return model.node(step.args[0])
    return model.nodes.get(step.makes) if step.makes is not None else None


async def _check_node(fs: Fs, node: Node, loose: bool, kept: bool) -> None:
    name = f"#{node.number}"
    if node.gone:
        try:
            await fs.attr(node.key)
        except (FsError, OSError):
            return
        raise AssertionError(f"{name} was removed, and its key is good again")
    try:
        attr = await fs.attr(node.key)
    except (FsError, OSError) as error:
        raise AssertionError(f"{name} is lost: {error}") from None
    assert attr.type is node.type, f"{name} is a {attr.type.name}"
    if not loose and node.mode >= 0 and node.number:
        assert attr.mode == node.mode, f"{name}: mode {attr.mode:o}, expected {node.mode:o}"
    if node.type is FileType.DIR:
        found = {entry.name: entry.ino for entry in await fs.entries(node.key)}
        expected = {child: known.key.ino for child, known in node.children.items()}
        assert found == expected, f"{name} has {sorted(found)}, expected {sorted(expected)}"
    else:
        assert attr.nlink == node.nlink, f"{name}: nlink {attr.nlink}, expected {node.nlink}"
    if node.type is FileType.LNK:
        assert (await fs.backend.readlink(fs.ctx, node.key)).target == bytes(node.data), (
            f"{name}: its target"
        )
    if node.type is FileType.REG:
        data = bytearray(await fs.read(node.key))
        if wrong := _difference(data, node, loose, kept):
            raise AssertionError(f"{name}: {wrong}")


def _difference(data: bytearray, node: Node, loose: bool, kept: bool) -> str:
    """Where safe data is not as it was."""
    want = bytearray(node.data)
    may_be_lost = node.dirty if loose or not kept else []
    if may_be_lost and len(data) < len(want):
        if len(data) < node.safe_size:
            return f"size {len(data)}, of which {node.safe_size} were safe"
        del want[len(data) :]
    elif loose and not node.dirty:
        return ""
    for begin, end in may_be_lost:
        for each in (data, want):
            length = max(0, min(end, len(each)) - begin)
            each[begin : begin + length] = bytes(length)
    return difference(bytes(data), want)


# The process that is asked to run the author's class


def _kill(kit: Kit, tmp_path: Path) -> list[Run]:
    cls = type(kit)
    result = tmp_path / "killed runs"
    for number in range(kit.kills):
        (tmp_path / f"killed {number}").mkdir()
    request = {
        "sys.path": sys.path,
        "module": cls.__module__,
        "file": sys.modules[cls.__module__].__file__,
        "class": cls.__qualname__,
        "path": str(tmp_path),
        "kills": kit.kills,
        "seed": kit.walk_seeds[0],
        "result": str(result),
    }
    done = subprocess.run(
        [sys.executable, "-c", _BOOT, json.dumps(request)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"the process to be killed did not begin:\n{done.stderr[-3000:]}"
    runs: list[Run] = pickle.loads(result.read_bytes())
    return runs


def main(request: dict[str, Any]) -> None:
    """In the new process: all the kills, one after the other."""
    found: Any = _module(request["module"], request["file"])
    for name in request["class"].split("."):
        found = getattr(found, name)
    runs = []
    for number in range(request["kills"]):
        path, seed = Path(request["path"]) / f"killed {number}", request["seed"] + number
        runs.append(_run_and_kill(found, path, seed))
    Path(request["result"]).write_bytes(pickle.dumps(runs))


def _module(name: str, file: str) -> ModuleType:
    """A module by its name, or else by its file, as pytest's import modes have it."""
    try:
        module = importlib.import_module(name)
        if os.path.samefile(str(module.__file__), file):
            return module
    except ImportError:
        pass
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run_and_kill(cls: type[Kit], path: Path, seed: int) -> Run:
    chance = random.Random(seed)
    after, late = chance.randrange(5, 200), chance.random() * 0.004
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _work(cls, path, seed, writer)
    os.close(writer)
    run = Run(Key(0), b"")
    with os.fdopen(reader, "rb") as pipe:
        for message in _messages(pipe):
            _note(run, message)
            if message[0] == "done" and len(run.done) == after:
                time.sleep(late)
                os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return run


def _messages(pipe: Any) -> Iterator[tuple[Any, ...]]:
    """What the process tells, as long as it lives; a message that was cut off is none."""
    while True:
        length = pipe.read(4)
        data = pipe.read(int.from_bytes(length)) if len(length) == 4 else b""
        if not data or len(data) < int.from_bytes(length):
            return
        yield pickle.loads(data)


def _note(run: Run, message: tuple[Any, ...]) -> None:
    what, *rest = message
    if what == "ready":
        run.root, run.verifier = rest
    elif what == "begin":
        run.in_flight = rest[0]
    elif what == "done":
        assert run.in_flight is not None
        run.done.append((run.in_flight, *rest))
        run.in_flight = None
    else:
        run.error = rest[0]


def _work(cls: type[Kit], path: Path, seed: int, writer: int) -> None:
    """In the fork: never returns."""
    signal.alarm(_TIMEOUT_SECONDS)  # whatever becomes of those who should kill it

    def tell(*message: Any) -> None:
        data = pickle.dumps(message)
        os.write(writer, len(data).to_bytes(4) + data)

    try:
        asyncio.run(_take_steps(cls, path, seed, tell))
    except BaseException:
        tell("error", traceback.format_exc())
    finally:
        os._exit(1)


async def _take_steps(cls: type[Kit], path: Path, seed: int, tell: Any) -> None:
    kit = cls()
    fs = await start(kit, kit.make_backend(path), path)
    model = Model(fs.root, fs.limits)
    walker, source = Walker(fs, model), Steps(seed, model)
    tell("ready", fs.root, fs.backend.verifier)
    for _ in range(_STEPS):
        step = source.next()
        if step.op not in CHANGES:
            continue
        if step.op == "setattr":
            step = Step("setattr", (*step.args[:3], None))
        tell("begin", step)
        tell("done", *await _do(walker, step))
    time.sleep(_TIMEOUT_SECONDS)  # until it is killed


async def _do(walker: Walker, step: Step) -> tuple[bool, Key | None, Stable | None]:
    """Whether it was refused, the key of what it made, how safe what it wrote is."""
    try:
        result = await walker.call(step, {})
    except FsError as error:
        assert error.status is not Status.SERVERFAULT
        return True, None, None
    except OSError:
        return True, None, None
    attr = getattr(result, "attr", None)
    key = None if attr is None else attr.key
    stable = result.stable if isinstance(result, Written) else None
    walker.model.apply(step, key)
    return False, key, stable
