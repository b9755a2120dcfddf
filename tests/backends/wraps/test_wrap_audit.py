"""The audit log: a line for each change, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wrap_kit import ROOT, Counted, file, mkdir, refused, root, turns

from backends.base import CHANGES, OPERATIONS, Context, CreateMode, SetAttr, Stable, Status
from backends.memory import MemoryBackend
from backends.wraps import audit
from backends.wraps.audit import Audit

USER = Context(1000, 100, client="192.0.2.7", export="/data")
How = Callable[[Audit, Counted], Awaitable[None]]


def run(path: Path, test: How, **options: Any) -> list[dict[str, Any]]:
    """The lines that a test leaves."""

    async def main() -> None:
        below = Counted(MemoryBackend(mode=0o777))
        backend = Audit(below, file=path, **options)
        await backend.start()
        await test(backend, below)
        await backend.stop()

    asyncio.run(main())
    return lines(path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_every_change_has_a_line(path: Path) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        top = await root(backend)
        how = CreateMode.EXCLUSIVE
        made = await backend.create(USER, top, b"f\xff", how, SetAttr(), b"12345678")
        key = made.attr.key
        await backend.write(USER, key, 5, b"data", Stable.UNSTABLE)
        await backend.setattr(USER, key, SetAttr(mode=0o600, mtime=7), guard=None)
        await backend.rename(USER, top, b"f\xff", top, b"g")
        assert await refused(backend.remove(USER, top, b"gone")) is Status.NOENT
        await backend.getattr(USER, key)
        below.fails["commit"] = OSError(errno.EDQUOT, "over quota")
        with pytest.raises(OSError):
            await backend.commit(USER, key, 0, 0)
        below.fails["mkdir"] = KeyError("a mistake")
        with pytest.raises(KeyError):
            await backend.mkdir(USER, top, b"d", SetAttr())

    found = run(path, test)
    for line in found:
        assert line.pop("time").endswith("+00:00") and line.pop("seconds") >= 0
        who = (line.pop("client"), line.pop("uid"), line.pop("gid"), line.pop("export"))
        assert who == ("192.0.2.7", 1000, 100, "/data")
    key = found[0].pop("made")
    assert key.startswith("2:")
    assert found == [
        {"operation": "create", "dir": "1:0", "name": "f\udcff", "mode": "EXCLUSIVE", "attr": {},
         "verifier": b"12345678".hex(), "status": "OK"},
        {"operation": "write", "key": key, "offset": 5, "count": 4, "stable": "UNSTABLE",
         "status": "OK", "written": 4},
        {"operation": "setattr", "key": key, "attr": {"mode": 0o600, "mtime": 7}, "status": "OK"},
        {"operation": "rename", "from_dir": "1:0", "from_name": "f\udcff", "to_dir": "1:0",
         "to_name": "g", "status": "OK"},
        {"operation": "remove", "dir": "1:0", "name": "gone", "status": "NOENT"},
        {"operation": "commit", "key": key, "offset": 0, "count": 0, "status": "EDQUOT"},
        {"operation": "mkdir", "dir": "1:0", "name": "d", "attr": {}, "status": "KeyError"},
    ]  # fmt: skip


def test_a_change_that_is_cut_off_has_a_line(path: Path) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        below.before["mkdir"] = asyncio.Event()
        task = asyncio.create_task(mkdir(backend, await root(backend), b"d"))
        await turns()
        task.cancel()
        await turns()

    assert [line["status"] for line in run(path, test)] == ["cancelled"]


def test_reads_are_logged_on_request(path: Path) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        key = await file(backend, await root(backend), b"f", b"data")
        await backend.read(USER, key, 0, 10)
        assert await refused(backend.readlink(USER, key)) is Status.INVAL

    assert len(run(path, test)) == 2
    path.unlink()
    found = [(line["operation"], line["status"]) for line in run(path, test, reads=True)]
    assert found == [("root", "OK"), ("create", "OK"), ("write", "OK"), ("read", "OK"),
                     ("readlink", "INVAL")]  # fmt: skip


def test_the_log_is_appended_to_and_is_nobody_elses(path: Path) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        await mkdir(backend, await root(backend), b"d")

    assert len(run(path, test)) == 1
    assert len(run(path, test)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_that_is_full_is_renamed(path: Path) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        top = await root(backend)
        for number in range(200):
            await mkdir(backend, top, b"%d" % number)
            if number % 5 == 4:
                while backend._writer.ended < number + 1:
                    await asyncio.sleep(0)

    run(path, test, max_bytes=4096, keep=3)
    logs = [path.with_name(name) for name in ("audit.log.3", "audit.log.2", "audit.log.1")]
    assert sorted(os.listdir(path.parent)) == sorted([*(log.name for log in logs), path.name])
    assert all(log.stat().st_size <= 4096 for log in [*logs, path])
    names = [int(line["name"]) for log in [*logs, path] for line in lines(log)]
    assert names == list(range(names[0], 200)), "in order, none between is missing"
    assert names[0] > 100, "the oldest are gone"


@pytest.mark.parametrize("how", ["no directory", "a directory"])
def test_a_log_that_cannot_be_written_does_not_start(path: Path, how: str) -> None:
    if how == "a directory":
        path.mkdir()
    else:
        path = path / "missing" / "audit.log"

    async def main() -> None:
        below = Counted(MemoryBackend())
        with pytest.raises(ValueError, match=f"^audit log {path}: "):
            await Audit(below, file=path).start()

    asyncio.run(main())


def test_below_that_does_not_start(path: Path) -> None:
    class Bad(MemoryBackend):
        async def start(self) -> None:
            raise OSError("no disk")

    async def main() -> None:
        backend = Audit(Bad(), file=path)
        with pytest.raises(OSError, match="no disk"):
            await backend.start()
        assert not backend._writer._thread.is_alive()

    asyncio.run(main())


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """A disk that is full while this says so: writes a half of the line, then none."""
    says: list[bool] = []
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if not says:
            return real(descriptor, data)
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    monkeypatch.setattr(audit, "RETRY_SECONDS", 0.001)
    yield says


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_full_disk_refuses_changes_until_the_log_is_whole(path: Path, full: list[bool]) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        top = await root(backend)
        await mkdir(backend, top, b"before")
        await until(lambda: backend._writer.ended == 1)
        full.append(True)
        await mkdir(backend, top, b"full")
        await until(lambda: backend._writer.failing)
        assert lines(path)[-1]["name"] == "before", "no half of a line"
        calls = below.calls["mkdir"]
        assert await refused(mkdir(backend, top, b"refused")) is Status.IO
        assert below.calls["mkdir"] == calls, "it is not done"
        await backend.getattr(ROOT, top)
        said = await backend.health()
        assert said == f"audit log {path}: No space left on device"
        full.clear()
        await until(lambda: not backend._writer.failing)
        await mkdir(backend, top, b"after")
        assert await backend.health() is None

    assert [line["name"] for line in run(path, test)] == ["before", "full", "after"]


def test_a_full_disk_drops_lines_if_told_to(path: Path, full: list[bool]) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        top = await root(backend)
        full.append(True)
        for number in range(3):
            await mkdir(backend, top, b"%d" % number)
            await until(lambda done=number + 1: backend._writer.ended == done)  # type: ignore[misc]
        assert await backend.health() is not None
        full.clear()
        await mkdir(backend, top, b"after")

    found = run(path, test, when_full="drop")
    assert [line.get("name", line.get("lost")) for line in found] == [3, "after"]


@pytest.mark.parametrize("when_full", ["refuse", "drop"])
def test_a_log_that_is_behind(path: Path, when_full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that wait have a bound, calls in progress among them."""
    monkeypatch.setattr(audit, "PENDING_LINES", 3)

    async def test(backend: Audit, below: Counted) -> None:
        top = await root(backend)
        gate = below.before["mkdir"] = asyncio.Event()
        tasks = [asyncio.create_task(mkdir(backend, top, b"%d" % n)) for n in range(3)]
        await turns()
        if when_full == "refuse":
            assert await refused(backend.rmdir(ROOT, top, b"x")) is Status.JUKEBOX
            assert not below.calls["rmdir"]
        else:
            assert await refused(backend.rmdir(ROOT, top, b"x")) is Status.NOENT
        gate.set()
        await asyncio.gather(*tasks)
        await until(lambda: backend._writer.ended == 3)
        assert await refused(backend.rmdir(ROOT, top, b"y")) is Status.NOENT

    found = run(path, test, when_full=when_full)
    lost = [{"lost": 1}] if when_full == "drop" else []
    assert [{"lost": line["lost"]} for line in found if "lost" in line] == lost
    assert [line["name"] for line in found if "name" in line] == ["0", "1", "2", "y"]


def test_it_stops_with_a_disk_that_stays_full(
    path: Path, full: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(backend: Audit, below: Counted) -> None:
        full.append(True)
        await mkdir(backend, await root(backend), b"d")

    assert run(path, test) == []
    assert f"audit log {path}: 1 lines are lost" in caplog.text


def test_options_that_cannot_be(path: Path) -> None:
    refused: tuple[dict[str, Any], ...] = ({"max_bytes": 100}, {"keep": 0})
    for options in refused:
        with pytest.raises(ValueError, match="max_bytes is 4096 or more, keep is 1 or more"):
            Audit(MemoryBackend(), file=path, **options)
    assert Audit(MemoryBackend(), file=path).inline
    assert str(path) in Audit(MemoryBackend(), file=path).describe()
    assert {*audit.ARGUMENTS} == {*OPERATIONS} > {*CHANGES}
