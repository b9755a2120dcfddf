"""Helpers for calls that run together: start them at once, sort what came of them, and look
whether the tree is sound afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from backends.base import FileType, FsError, Key, Status
from backends.conformance.kit import Fs, one_of, status_of

#: A call that has not been made yet.
Act: TypeAlias = Callable[[], Awaitable[Any]]

#: How often a call is made again that is refused with JUKEBOX, as clients do.
_TRIES: Final = 200
_RETRY_SECONDS: Final = 0.002
#: How long a thread runs before another gets its turn; the interpreter's default is 5 ms.
_SWITCH_SECONDS: Final = 1e-5


@contextlib.contextmanager
def restless(fs: Fs) -> Iterator[None]:
    """Threads that change often, so that what is no one step is interrupted."""
    before = sys.getswitchinterval()
    if fs.backend.raw.blocking:
        sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def together(fs: Fs, acts: Iterable[Act]) -> list[Any]:
    """What came of each: its result, or the Status it was refused with."""
    with restless(fs):
        return list(await asyncio.gather(*(_outcome(act) for act in acts)))


async def _outcome(act: Act) -> Any:
    for _ in range(_TRIES):
        try:
            return await act()
        except (FsError, OSError) as error:
            if (status := status_of(error)) is not Status.JUKEBOX:
                return status
        await asyncio.sleep(_RETRY_SECONDS)
    return Status.JUKEBOX


def won(outcomes: list[Any], *refusals: Status) -> list[Any]:
    """Those that succeeded; the others must have been refused with one of `refusals`."""
    for outcome in outcomes:
        if isinstance(outcome, Status):
            assert outcome in refusals, f"refused with {outcome.name}, expected " + (
                one_of(refusals) or "success"
            )
    return [outcome for outcome in outcomes if not isinstance(outcome, Status)]


async def check_sound(fs: Fs, known: Iterable[Key] = ()) -> dict[tuple[bytes, ...], Key]:
    """That the tree holds together, and that of the `known` keys each is in it or stale.

    Gives the key of each path.
    """
    root = await fs.attr(fs.root)
    paths: dict[tuple[bytes, ...], Key] = {(): root.key}
    names: Counter[Key] = Counter()
    dirs = {root.key}
    todo = [((), root.key)]
    while todo:
        path, dir = todo.pop()
        entries = await fs.entries(dir)
        listed = [entry.name for entry in entries]
        assert len(set(listed)) == len(listed), f"{path} lists a name twice"
        subdirs = 0
        for entry in entries:
            attr = await fs.lookup(dir, entry.name)
            assert attr.ino == entry.ino, f"{entry.name!r} is listed with another number"
            paths[*path, entry.name] = attr.key
            names[attr.key] += 1
            if attr.type is FileType.DIR:
                assert attr.key not in dirs, f"the directory {path} / {entry.name!r} has two names"
                dirs.add(attr.key)
                todo.append(((*path, entry.name), attr.key))  # type: ignore[arg-type]
                subdirs += 1
                await _check_parent(fs, attr.key, dir)
        if fs.kit.counts_subdirectories:
            nlink = (await fs.attr(dir)).nlink
            assert nlink == 2 + subdirs, f"{path}: nlink {nlink}, with {subdirs} subdirectories"
    for key, count in names.items():
        if key not in dirs:
            nlink = (await fs.attr(key)).nlink
            assert nlink == count, f"nlink {nlink}, but {count} names lead to the file"
    for key in known:
        if key not in names:
            await fs.check_stale(key)
    return paths


async def _check_parent(fs: Fs, key: Key, dir: Key) -> None:
    try:
        parent = await fs.backend.parent(fs.ctx, key)
    except FsError as error:
        assert error.status is Status.NOTSUPP, f"parent: {error}"
    else:
        assert parent.key == dir, "parent is not the directory in which the name is"
