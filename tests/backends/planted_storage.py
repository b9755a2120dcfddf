"""Planted faults: what is found after a restart, a crash, and SIGKILL.

`KeptBackend` is the sound one: a memory backend that writes all it has into a file with each
change. It is slow, and simple to be wrong with.
"""

from __future__ import annotations

import copy
import itertools
import os
import pickle
from pathlib import Path
from typing import Any

from planted import found_by

from backends.base import (
    Buffer,
    Context,
    CreateMode,
    Key,
    Made,
    SetAttr,
    Stable,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend

# In the same process


@found_by("test_keys_and_data_stay_valid", "test_keys_of_renamed_files_stay_valid")
class ForgetsAll(MemoryBackend):
    def reopened(self) -> MemoryBackend:
        return ForgetsAll()


@found_by("test_the_root_key_stays_valid")
class RootIsAnother(MemoryBackend):
    def reopened(self) -> MemoryBackend:
        del self._nodes[self._root.key]
        self._root.key = Key(1, self._root.key.generation + 1)
        self._root.cached = None
        self._nodes[self._root.key] = self._root
        return self


@found_by("test_a_new_file_has_a_new_key_after_all", "test_keys_of_removed_files_stay_stale")
class CountsAgain(MemoryBackend):
    def reopened(self) -> MemoryBackend:
        used = {key.ino for key in self._nodes}
        self._numbers = (n for n in itertools.count(2) if n not in used)  # type: ignore[assignment]
        return self


@found_by("test_an_exclusive_create_is_remembered")
class ForgetsVerifiers(MemoryBackend):
    def reopened(self) -> MemoryBackend:
        for node in self._nodes.values():
            if hasattr(node, "verifier"):
                node.verifier = None
        return self


@found_by("test_cookies_stay_valid")
class CookiesAreMadeAnew(MemoryBackend):
    def reopened(self) -> MemoryBackend:
        for node in self._nodes.values():
            for at, entry in enumerate(getattr(node, "order", [])):
                entry.cookie = 1000 + at
            if hasattr(node, "next_cookie"):
                node.next_cookie = 5000
        return self


@found_by("test_a_key_outlives_the_name_it_was_made_by")
class FindsByFirstName(MemoryBackend):
    first: dict[Key, tuple[Key, bytes]]

    async def create(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        made = await super().create(ctx, dir, name, *args, **more)
        self.__dict__.setdefault("first", {})[made.attr.key] = dir, name
        return made

    def reopened(self) -> MemoryBackend:
        for key, (dir, name) in self.__dict__.get("first", {}).items():
            if self._dir(dir).get(name) is None:
                self._nodes.pop(key, None)
        return self


class _Loses(MemoryBackend):
    """Data is in memory until `safe` says that it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.unsafe: dict[Key, Any] = {}

    def safe(self, stable: Stable) -> bool:
        return stable > Stable.UNSTABLE

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if not self.safe(stable):
            file = self._file(key)
            self.unsafe.setdefault(key, (copy.deepcopy(file.blocks), file.size))
        return await super().write(ctx, key, offset, data, stable)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        self.unsafe.pop(key, None)
        return await super().commit(ctx, key, offset, count)

    def reopened(self) -> MemoryBackend:
        for key, (blocks, size) in self.unsafe.items():
            file = self._file(key)
            file.blocks, file.size, file.cached = blocks, size, None
        self.unsafe.clear()
        return self


@found_by("test_unstable_data_stays_or_the_verifier_changes")
class LosesDataQuietly(_Loses):
    pass


@found_by("test_stable_data_stays")
class DataSyncIsUnstable(_Loses):
    def safe(self, stable: Stable) -> bool:
        return stable is Stable.FILE_SYNC

    def reopened(self) -> MemoryBackend:
        self.verifier = os.urandom(8)
        return super().reopened()


@found_by("test_committed_data_stays", "test_a_random_walk_with_restarts")
class CommitDoesNothing(_Loses):
    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        return await MemoryBackend.commit(self, ctx, key, offset, count)

    def reopened(self) -> MemoryBackend:
        self.verifier = os.urandom(8)
        return super().reopened()


@found_by("test_lost_data_leaves_nothing_strange")
class LostDataIsGarbage(MemoryBackend):
    dirty: tuple[Key, int, int] | None = None

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if stable is Stable.UNSTABLE:
            self.dirty = key, offset, len(data)
        return await super().write(ctx, key, offset, data, stable)

    def reopened(self) -> MemoryBackend:
        if self.dirty is not None:
            key, offset, length = self.dirty
            self._file(key).write(offset, b"?" * length)
        self.verifier = os.urandom(8)
        return self


@found_by("test_an_answered_change_stays", "test_several_ends_in_a_row")
class LastNameIsLost(MemoryBackend):
    last: tuple[Key, bytes] | None = None

    async def create(self, ctx: Context, dir: Key, name: bytes, *args: Any, **more: Any) -> Made:
        made = await super().create(ctx, dir, name, *args, **more)
        self.last = dir, name
        return made

    def reopened(self) -> MemoryBackend:
        if self.last is not None and self._dir(self.last[0]).get(self.last[1]) is not None:
            self._dir(self.last[0]).discard(self.last[1])
        return self


@found_by("test_an_answered_change_stays")
class ModesAreLost(MemoryBackend):
    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        self.__dict__["modes"] = {key: node.mode for key, node in self._nodes.items()}
        return await super().setattr(ctx, key, attr, guard)

    def reopened(self) -> MemoryBackend:
        for key, mode in self.__dict__.get("modes", {}).items():
            self._node(key).mode, self._node(key).cached = mode, None
        return self


# In a process that is killed


class KeptBackend(MemoryBackend):
    """Keeps all it has in a file, which is replaced with each change."""

    persistent = True
    changes = 0

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path / "kept"

    async def start(self) -> None:
        if self.path.exists():
            kept = pickle.loads(self.path.read_bytes())
            self._nodes, self._root, number, self._generation, self._last = kept
            self._numbers = itertools.count(number)
        else:
            self.keep()

    def keep(self) -> None:
        number = next(self._numbers)
        self._numbers = itertools.count(number)
        what = self._nodes, self._root, number, self._generation, self._last
        new = self.path.with_suffix(".new")
        new.write_bytes(pickle.dumps(what))
        new.rename(self.path)

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        wcc = await super().setattr(ctx, key, attr, guard)
        self.keep()
        return wcc

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        done = await super().write(ctx, key, offset, data, stable)
        if stable:
            self.keep()
        return done

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        wcc = await super().commit(ctx, key, offset, count)
        self.keep()
        return wcc

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        made = await super().create(ctx, dir, name, mode, attr, verifier)
        self.keep()
        return made

    async def mkdir(self, *args: Any, **more: Any) -> Made:
        made = await super().mkdir(*args, **more)
        self.keep()
        return made

    async def symlink(self, *args: Any, **more: Any) -> Made:
        made = await super().symlink(*args, **more)
        self.keep()
        return made

    async def mknod(self, *args: Any, **more: Any) -> Made:
        made = await super().mknod(*args, **more)
        self.keep()
        return made

    async def link(self, *args: Any, **more: Any) -> Made:
        made = await super().link(*args, **more)
        self.keep()
        return made

    async def remove(self, *args: Any, **more: Any) -> Wcc:
        wcc = await super().remove(*args, **more)
        self.keep()
        return wcc

    async def rmdir(self, *args: Any, **more: Any) -> Wcc:
        wcc = await super().rmdir(*args, **more)
        self.keep()
        return wcc

    async def rename(self, *args: Any, **more: Any) -> Any:
        done = await super().rename(*args, **more)
        self.keep()
        return done


class KeepsNowAndThen(KeptBackend):
    """Answers before what it did is in the file."""

    def keep(self) -> None:
        self.changes += 1
        if self.changes % 50 == 1:
            super().keep()


class SameVerifier(KeptBackend):
    """Keeps UNSTABLE data with the next COMMIT only, and does not tell that it is lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.verifier = b"constant"
        self.safe: dict[Key, Any] = {}

    def keep(self) -> None:
        now = {}
        for key, (blocks, size) in self.safe.items():
            if key in self._nodes:
                file = self._file(key)
                now[file] = file.blocks, file.size
                file.blocks, file.size, file.cached = blocks, size, None
        super().keep()
        for file, (blocks, size) in now.items():
            file.blocks, file.size, file.cached = blocks, size, None

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        file = self._file(key)
        if stable is Stable.UNSTABLE and data:
            self.safe.setdefault(key, (copy.deepcopy(file.blocks), file.size))
        elif data:
            self.safe.pop(key, None)
        return await super().write(ctx, key, offset, data, stable)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        self.safe.pop(key, None)
        return await super().commit(ctx, key, offset, count)


class RemovesBeforeItMakes(KeptBackend):
    """A rename over a target, or between directories, is kept in two steps."""

    async def rename(self, ctx: Context, from_dir: Key, from_name: bytes, *to: Any) -> Any:
        node = self._child(ctx, self._dir(from_dir), from_name)
        self._dir(from_dir).discard(from_name)
        for _ in range(20):
            self.keep()
        self._dir(from_dir).add(from_name, node)
        return await super().rename(ctx, from_dir, from_name, *to)
