"""The backend as a whole: what it says of itself, its keys, and calls as the server makes them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from backends.base import (
    Access,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance.kit import Fs, Kit, case, fixed, refused, start, status_of


async def _link_into(fs: Fs, dir: Key) -> None:
    await fs.link((await fs.lookup(fs.root, b"file")).key, dir, b"x")


#: Everything that takes a key: with that of something removed, it must be STALE.
_WITH_A_DIR: dict[str, Callable[[Fs, Key], Awaitable[object]]] = {
    "getattr": lambda fs, key: fs.attr(key),
    "lookup": lambda fs, key: fs.lookup(key, b"x"),
    "peek": lambda fs, key: fs.backend.peek(fs.ctx, key, b"x"),
    "readdir": lambda fs, key: fs.page(key),
    "readdir plus": lambda fs, key: fs.page(key, plus=True),
    "access": lambda fs, key: fs.backend.access(fs.ctx, key, Access.READ),
    "setattr": lambda fs, key: fs.setattr(key, SetAttr(mode=0o700)),
    "create": lambda fs, key: fs.create(key, b"x"),
    "create unchecked": lambda fs, key: fs.create(key, b"x", CreateMode.UNCHECKED),
    "create exclusive": lambda fs, key: fs.create(
        key, b"x", CreateMode.EXCLUSIVE, SetAttr(), b"verifier"
    ),
    "mkdir": lambda fs, key: fs.mkdir(b"x", key),
    "symlink": lambda fs, key: fs.symlink(b"x", b"target", key),
    "mknod": lambda fs, key: fs.backend.mknod(
        fs.ctx, key, b"x", FileType.FIFO, (0, 0), SetAttr(mode=0o600)
    ),
    "remove": lambda fs, key: fs.remove(key, b"x"),
    "rmdir": lambda fs, key: fs.rmdir(key, b"x"),
    "rename from": lambda fs, key: fs.rename(key, b"x", fs.root, b"y"),
    "rename to": lambda fs, key: fs.rename(fs.root, b"file", key, b"x"),
    "link into": _link_into,
}
_NEEDS = {"symlink": "symlinks", "mknod": "special_files", "link into": "links"}

#: What an inline backend is asked outside of any Task.
_INLINE: dict[str, Callable[[Any, Context, Key, Key], Coroutine[Any, Any, Any]]] = {
    "root": lambda b, ctx, root, file: b.root(ctx),
    "getattr": lambda b, ctx, root, file: b.getattr(ctx, file),
    "lookup": lambda b, ctx, root, file: b.lookup(ctx, root, b"file"),
    "read": lambda b, ctx, root, file: b.read(ctx, file, 0, 100_000),
    "readdir": lambda b, ctx, root, file: b.readdir(ctx, root, 0, 1000, True),
    "access": lambda b, ctx, root, file: b.access(ctx, file, 0x3F),
    "setattr": lambda b, ctx, root, file: b.setattr(ctx, file, SetAttr(mode=0o600, size=2)),
    "write": lambda b, ctx, root, file: b.write(ctx, file, 0, b"DATA", Stable.UNSTABLE),
    "write stable": lambda b, ctx, root, file: b.write(ctx, file, 0, b"DATA", Stable.FILE_SYNC),
    "commit": lambda b, ctx, root, file: b.commit(ctx, file, 0, 0),
    "create": lambda b, ctx, root, file: b.create(
        ctx, root, b"new", CreateMode.GUARDED, SetAttr(mode=0o600), b""
    ),
    "mkdir": lambda b, ctx, root, file: b.mkdir(ctx, root, b"new", SetAttr(mode=0o700)),
    "rename": lambda b, ctx, root, file: b.rename(ctx, root, b"file", root, b"new"),
    "remove": lambda b, ctx, root, file: b.remove(ctx, root, b"file"),
    "statfs": lambda b, ctx, root, file: b.statfs(ctx, root),
}


class LifeCycle(Kit):
    """The backend as a whole."""

    @case()
    async def test_what_it_says_of_itself(self, fs: Fs) -> None:
        said = fs.backend.describe()
        assert isinstance(said, str)
        assert said, "describe says nothing"
        assert "\n" not in said, "describe says more than one line"
        assert isinstance(fs.backend.raw.persistent, bool)
        assert fs.backend.raw.threads >= 1
        assert fs.backend.raw.patience > 0
        assert not (fs.backend.raw.inline and fs.backend.raw.blocking), (
            "inline promises not to wait, blocking says that it does"
        )

    @case("tree")
    async def test_it_is_healthy(self, fs: Fs) -> None:
        assert await fs.backend.health() is None, "health tells of a fault of what works"

    @case("tree")
    async def test_fsck_of_what_is_sound(self, fs: Fs) -> None:
        """Nothing is found, nothing is changed, and what is not offered is NOTSUPP."""
        before = {entry.name: fixed(await fs.lookup(fs.root, entry.name))
                  for entry in await fs.entries(fs.root)}  # fmt: skip
        for repair in (False, True):
            try:
                lines = await fs.backend.fsck(repair)
            except FsError as error:
                assert error.status is Status.NOTSUPP
                pytest.skip("the backend has no fsck")
            assert lines == []
        after = {entry.name: fixed(await fs.lookup(fs.root, entry.name))
                 for entry in await fs.entries(fs.root)}  # fmt: skip
        assert after == before, "fsck changed what was sound"

    @case("write")
    async def test_set_sync_changes_no_semantics(self, fs: Fs) -> None:
        for sync in (False, True):
            fs.backend.set_sync(sync)
            key = await fs.file(b"%d" % sync, b"data")
            done = await fs.backend.write(fs.ctx, key, 4, b"more", Stable.FILE_SYNC)
            assert done.stable is Stable.FILE_SYNC
            await fs.backend.commit(fs.ctx, key, 0, 0)
            assert await fs.read(key) == b"datamore"

    @case("tree")
    async def test_limits_say_what_works(self, fs: Fs) -> None:
        """Declared, not guessed: each of them is what FSINFO and PATHCONF tell clients."""
        for field in dataclasses.fields(fs.limits):
            value, default = getattr(fs.limits, field.name), field.default
            assert type(value) is type(default), f"limits.{field.name} is {value!r}"
        assert fs.limits.name_max <= 255, "the server lets no longer name through"

    @case("write")
    async def test_two_backends_know_nothing_of_each_other(self, fs: Fs) -> None:
        path = fs.tmp_path / "another"
        path.mkdir()
        other = await start(self, self.make_backend(path), path)
        try:
            key = await fs.file(b"f", b"first")
            assert await other.names(other.root) == [], "a new backend is not empty"
            await other.file(b"f", b"second")
            assert await fs.read(key) == b"first"
        finally:
            await other.stop()
        assert await fs.read(key) == b"first", "another's stop stopped this one"

    @case("tree")
    async def test_contexts_are_made_anew_for_each_call(self, fs: Fs) -> None:
        """Equal callers have equal rights, whichever object stands for them."""
        for _ in range(50):
            ctx = dataclasses.replace(fs.ctx)
            assert (await fs.backend.root(ctx)).key == fs.root
            listing = await fs.backend.readdir(ctx, fs.root, 0, 1000, True)
            assert list(listing.entries), "nothing is listed"
            del ctx

    # Keys

    @pytest.mark.parametrize("operation", _WITH_A_DIR)
    @case("write")
    async def test_a_removed_directory_is_stale_in_all(self, fs: Fs, operation: str) -> None:
        if reason := self.lacks(fs.limits, _NEEDS.get(operation, "write")):
            pytest.skip(reason)
        file = await fs.file(b"file", b"data")
        key = await fs.mkdir(b"d")
        await fs.entries(key)
        await fs.rmdir(fs.root, b"d")
        await refused(_WITH_A_DIR[operation](fs, key), Status.STALE)
        assert await fs.names(fs.root) == [b"file"]
        assert (await fs.attr(file)).nlink == 1

    @pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
    @case("write")
    async def test_a_key_with_another_generation_is_stale(self, fs: Fs, kind: str) -> None:
        """Also in the upper bits: a key is all of it, 64 bits of number and 64 of generation."""
        if kind == "symlink" and not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        if kind == "symlink":
            key = await fs.symlink(b"x", b"target")
        else:
            key = await (fs.file(b"x") if kind == "file" else fs.mkdir(b"x"))
        for other in (
            key._replace(generation=key.generation ^ 1),
            key._replace(generation=key.generation ^ 1 << 31),
            key._replace(generation=key.generation ^ 1 << 39),
            key._replace(ino=key.ino ^ 1 << 32),
            key._replace(ino=key.ino ^ 1 << 62),
        ):
            await fs.check_stale(other)
        assert (await fs.attr(key)).key == key

    @case("write", "symlinks")
    async def test_a_removed_symlink_is_stale(self, fs: Fs) -> None:
        key = await fs.symlink(b"l", b"target")
        await fs.backend.readlink(fs.ctx, key)
        await fs.remove(fs.root, b"l")
        await refused(fs.backend.readlink(fs.ctx, key), Status.STALE)
        await fs.check_stale(key)

    @case("write")
    async def test_a_replaced_file_is_stale(self, fs: Fs) -> None:
        victim = await fs.file(b"victim", b"data")
        await fs.read(victim)
        await fs.file(b"f", b"other")
        await fs.rename(fs.root, b"f", fs.root, b"victim")
        await refused(fs.backend.read(fs.ctx, victim, 0, 4), Status.STALE)
        await refused(fs.backend.write(fs.ctx, victim, 0, b"x", Stable.UNSTABLE), Status.STALE)
        await refused(fs.setattr(victim, SetAttr(size=0)), Status.STALE)
        assert await fs.read((await fs.lookup(fs.root, b"victim")).key) == b"other"

    @case("write")
    async def test_parent_of_what_is_gone(self, fs: Fs) -> None:
        key = await fs.mkdir(b"d")
        try:
            await fs.backend.parent(fs.ctx, key)
        except FsError as error:
            assert error.status is Status.NOTSUPP
            pytest.skip("the backend does not know parents")
        await fs.rmdir(fs.root, b"d")
        await refused(fs.backend.parent(fs.ctx, key), Status.STALE)

    @case("tree")
    async def test_peek_says_what_lookup_finds(self, fs: Fs) -> None:
        for entry in await fs.entries(fs.root):
            assert await fs.backend.peek(fs.ctx, fs.root, entry.name) == entry.ino
            found = await fs.lookup(fs.root, entry.name)
            assert found.ino == entry.ino
            if found.type is FileType.REG:
                call = fs.backend.peek(fs.ctx, found.key, b"name")
                await refused(call, Status.NOTDIR)
        assert await fs.backend.peek(fs.ctx, fs.root, b"no such name") is None

    @case("write")
    async def test_peek_is_up_to_date(self, fs: Fs) -> None:
        """What it says is what a crash is judged by."""
        for name in (b"f", b"g"):
            assert await fs.backend.peek(fs.ctx, fs.root, name) is None
        key = await fs.file(b"f")
        assert await fs.backend.peek(fs.ctx, fs.root, b"f") == key.ino
        await fs.rename(fs.root, b"f", fs.root, b"g")
        assert await fs.backend.peek(fs.ctx, fs.root, b"f") is None
        assert await fs.backend.peek(fs.ctx, fs.root, b"g") == key.ino
        await fs.remove(fs.root, b"g")
        assert await fs.backend.peek(fs.ctx, fs.root, b"g") is None

    @case("write", "checks_permissions")
    async def test_peek_needs_search_permission(self, fs: Fs) -> None:
        await fs.chmod(fs.root, 0o755)
        dir = await fs.mkdir(b"d", mode=0o700)
        await fs.file(b"f", b"", dir)
        other = fs.as_user(1003, 3000)
        for name in (b"f", b"no such name"):
            await refused(other.backend.peek(other.ctx, dir, name), Status.ACCES)

    # Inline

    @pytest.mark.parametrize("operation", _INLINE)
    @case("write")
    async def test_inline_needs_no_task(self, fs: Fs, operation: str) -> None:
        raw = fs.backend.raw
        if not raw.inline:
            pytest.skip("the backend does not promise inline")
        file = await fs.file(b"file", b"data" * 30_000)
        try:
            await outside_of_a_task(_INLINE[operation](raw, fs.ctx, fs.root, file))
        except (FsError, OSError) as error:
            pytest.fail(f"refused with {status_of(error).name}")
        except RuntimeError as error:
            pytest.fail(f"it needs the current task, and is inline (Backend.inline): {error}")


def outside_of_a_task(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    """The result of a coroutine whose first step is made outside of any Task, as the server makes
    those of an inline backend; what remains if it waits goes on in a Task."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def step() -> None:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            done.set_result(stop.value)
        except Exception as error:
            done.set_exception(error)
        else:
            rest = loop.create_task(_rest(_Begun(coroutine, waits_for)))
            rest.add_done_callback(lambda task: _pass_on(task, done))

    loop.call_soon(step)
    return done


async def _rest(begun: _Begun) -> Any:
    return await begun


class _Begun:
    """A coroutine that has been stepped once, and waits for `waits_for`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                step, value = self._coroutine.throw, error
            else:
                step, value = self._coroutine.send, None  # type: ignore[assignment]
            try:
                waits_for = step(value)
            except StopIteration as stop:
                return stop.value


def _pass_on(task: asyncio.Task[Any], done: asyncio.Future[Any]) -> None:
    error = task.exception()
    if error is None:
        done.set_result(task.result())
    else:
        done.set_exception(error)
