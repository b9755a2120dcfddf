"""What the kit's tests stand on: the hooks an author fills in, and `Fs`, a backend made handy."""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeAlias, TypeVar, Union

import pytest

from backends.base import (
    Attr,
    Backend,
    Buffer,
    Context,
    CreateMode,
    DirEntry,
    FileType,
    FsError,
    Key,
    Limits,
    Made,
    SetAttr,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.conformance.checked import Checked


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in a `Tree`."""

    target: bytes


#: What a directory holds: bytes are a regular file, a mapping is a directory.
Tree: TypeAlias = Mapping[bytes, Union[bytes, Link, "Tree"]]

#: What the reading tests read, where the author gives nothing else.
TREE: Tree = {
    b"empty": b"",
    b"hello.txt": b"hello, world\n",
    b"big": bytes(range(256)) * 1024,
    b"dir": {b"sub": {b"deep": b"x" * 70_000}, b"none": {}, b"beside": b"y"},
    b"link": Link(b"hello.txt"),
    b"many": {b"%03d" % number: b"%d" % number for number in range(40)},
}

P = ParamSpec("P")
T = TypeVar("T")

_SUMMARY = "nfsloop conformance summary"

_STATUS_OF_ERRNO = {
    errno.ENAMETOOLONG: Status.NAMETOOLONG,
    errno.ENOTEMPTY: Status.NOTEMPTY,
    errno.EDQUOT: Status.DQUOT,
    errno.ESTALE: Status.STALE,
    errno.EOPNOTSUPP: Status.NOTSUPP,
}


class Kit:
    """Hooks and switches. A subclass must give `make_backend`; the rest has working defaults."""

    #: Who owns the root directory and passes all permission checks.
    superuser: ClassVar[Context] = Context(client="192.0.2.1", export="/")
    #: False for a backend that acts with one identity whatever the context says.
    checks_permissions: ClassVar[bool] = True
    #: False where holes take storage, so that a file of 4 GiB cannot be made here.
    sparse: ClassVar[bool] = True
    #: False where names are text and not any bytes.
    any_bytes_in_names: ClassVar[bool] = True
    #: False where a directory's nlink is not 2 and its subdirectories (btrfs).
    counts_subdirectories: ClassVar[bool] = True
    #: False where a `Wcc` has no `before`.
    gives_before: ClassVar[bool] = True
    #: Seconds after which a change has another ctime than the one before.
    tick: ClassVar[float] = 0.02
    #: False where `make_backend` gives now this, now that: what the first one's `Limits` leave out
    #: is otherwise skipped without making another.
    uniform: ClassVar[bool] = True
    #: After so many seconds a test has failed: a call does not end.
    seconds: ClassVar[float] = 60
    #: How many names the large directory has.
    many: ClassVar[int] = 5000
    #: True where the author knows that the backend is read-only: what writes is then left out,
    #: and counted in the summary, instead of being collected and skipped test by test.
    read_only: ClassVar[bool] = False
    #: What a read-only backend serves; a writable one gets this written into it.
    tree: ClassVar[Tree] = TREE
    #: True where `reopen` finds the storage again after SIGKILL. The test class must then be found
    #: in its module by name, and `make_backend` need no fixture.
    killable: ClassVar[bool] = False
    #: How many processes are killed.
    kills: ClassVar[int] = 3
    #: True where a call that SIGKILL cuts off is all or nothing in everything. Else that is asked
    #: of names only, not of the attributes of what is being made or set.
    atomic: ClassVar[bool] = False
    #: How many operations each random walk has, and with which seeds.
    walk_steps: ClassVar[int] = 300
    walk_seeds: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _that_write(cls) if cls.read_only else ():
            setattr(cls, name, None)  # so pytest does not collect it

    @pytest.fixture(autouse=True)
    def _conformance_summary(self, request: pytest.FixtureRequest) -> None:
        _COUNTS.setdefault(type(self), Counter())
        plugins = request.config.pluginmanager
        if not plugins.has_plugin(_SUMMARY):
            plugins.register(Summary(), _SUMMARY)

    def make_backend(self, tmp_path: Path) -> Backend:
        """A new backend, not yet started. Its root is empty, or holds `tree` if it is read-only.

        `tmp_path` is an empty directory; a test may ask for several backends, each in another.
        """
        raise NotImplementedError("make_backend returns the backend under test")

    def reopen(self, tmp_path: Path) -> Backend | None:
        """Another backend on the storage of the one that was made in `tmp_path`, which has been
        stopped, or killed (see `killable`); None: nothing survives."""
        return None

    def crash(self, backend: Backend, tmp_path: Path) -> Backend | None:
        """What is found after a crash of `backend`, which runs and will never be called again.

        What a crash is, the author says: mostly to let go of files and connections without
        flushing anything, and to open the storage anew. Not yet started. None: no way to crash.
        """
        return None

    def lacks(self, limits: Limits, need: str) -> str | None:
        """Why a test that needs `need` does not apply; None if it does."""
        if need == "tree":
            return None
        if need == "write":
            return "the backend declares read_only" if limits.read_only else None
        if need == "read_only":
            return None if limits.read_only else "the backend is writable"
        if hasattr(limits, need):
            return None if getattr(limits, need) else f"limits.{need} is not declared"
        return None if getattr(self, need) else f"{need} is off for this backend"


class Fs:
    """A started backend and a caller: short forms of what the tests do most."""

    def __init__(self, kit: Kit, backend: Checked, ctx: Context, root: Key, tmp_path: Path) -> None:
        self.kit = kit
        self.tmp_path = tmp_path
        self.backend = backend
        self.ctx = ctx
        self.root = root
        self.limits = backend.limits
        #: What runs after a restart.
        self.replaced_by: Fs | None = None
        self._running = True

    async def stop(self) -> None:
        """Stop the backend, or the one that came after it, once."""
        if self._running:
            self._running = False
            await self.backend.stop()
        if self.replaced_by is not None:
            await self.replaced_by.stop()

    async def again(self, end: str) -> Fs:
        """What comes after the "stop" or the "crash" of this; skips where the author has no hook.

        It is stopped at the end of the test.
        """
        if end == "stop":
            await self.stop()
            backend = self.kit.reopen(self.tmp_path)
            missing = "no reopen hook: nothing outlives it"
        else:
            await _end_all_tasks()
            backend = self.kit.crash(self.backend.raw, self.tmp_path)
            missing = "no crash hook"
            if backend is not None:
                self._running = False
                self.backend.abandon()
        if backend is None:
            pytest.skip(f"the backend has {missing}")
        self.replaced_by = await start(self.kit, backend, self.tmp_path)
        return self.replaced_by

    async def check(self) -> None:
        """At the end of a test: what must hold whatever the test was about."""
        self.backend.check_unchanged()
        if self.replaced_by is not None:
            await self.replaced_by.check()
        elif self._running:
            limits = self.backend.raw.limits
            assert limits == self.limits, "limits changed after `start` (Backend.limits)"
            assert await self.fsck() == [], "fsck finds inconsistencies after the test"

    async def fsck(self) -> list[str]:
        """What the backend's own check finds; nothing if it has none."""
        try:
            return await self.backend.fsck()
        except FsError as error:
            assert error.status is Status.NOTSUPP, f"fsck raised {error}"
            return []

    def as_user(self, uid: int, gid: int, *groups: int) -> Fs:
        """The same file system for somebody else."""
        ctx = Context(uid, gid, groups, self.ctx.client, self.ctx.export)
        return Fs(self.kit, self.backend, ctx, self.root, self.tmp_path)

    async def tick(self) -> None:
        """Wait until the next change shows in ctime."""
        await asyncio.sleep(self.kit.tick)

    # Reading

    async def attr(self, key: Key) -> Attr:
        return await self.backend.getattr(self.ctx, key)

    async def lookup(self, dir: Key, name: bytes) -> Attr:
        return (await self.backend.lookup(self.ctx, dir, name)).attr

    async def exists(self, dir: Key, name: bytes) -> bool:
        try:
            await self.lookup(dir, name)
        except (FsError, OSError) as error:
            assert status_of(error) is Status.NOENT
            return False
        return True

    async def read(self, key: Key, offset: int = 0, count: int = 1 << 20) -> bytes:
        """All bytes in the range, in as many READs as the backend wants."""
        data = bytearray()
        while len(data) < count:
            got = await self.backend.read(self.ctx, key, offset + len(data), count - len(data))
            assert len(got.data) <= count - len(data), "read gave more than was asked for"
            data += got.data
            if got.eof:
                break
            assert len(got.data), "read gave nothing, but does not say eof"
        return bytes(data)

    async def page(
        self, dir: Key, cookie: int = 0, count: int = 4096, plus: bool = False
    ) -> tuple[list[DirEntry], bool]:
        """Entries of one call, and eof."""
        listing = await self.backend.readdir(self.ctx, dir, cookie, count, plus)
        entries = list(listing.entries)
        assert entries or listing.eof, "neither an entry nor eof"
        return entries, listing.eof

    async def entries(
        self, dir: Key, cookie: int = 0, count: int = 4096, plus: bool = False
    ) -> list[DirEntry]:
        """All entries behind `cookie`."""
        found: list[DirEntry] = []
        eof = False
        while not eof:
            page, eof = await self.page(dir, cookie, count, plus)
            found += page
            cookie = found[-1].cookie if found else 0
        return found

    async def names(self, dir: Key, cookie: int = 0, count: int = 4096) -> list[bytes]:
        return [entry.name for entry in await self.entries(dir, cookie, count)]

    # Making

    async def create(
        self,
        dir: Key,
        name: bytes,
        mode: CreateMode = CreateMode.GUARDED,
        attr: SetAttr | None = None,
        verifier: bytes = b"",
    ) -> Made:
        return await self.backend.create(
            self.ctx, dir, name, mode, attr or SetAttr(mode=0o644), verifier
        )

    async def file(
        self,
        name: bytes,
        data: bytes = b"",
        dir: Key | None = None,
        mode: int = 0o644,
        stable: Stable = Stable.FILE_SYNC,
    ) -> Key:
        key = (await self.create(dir or self.root, name, attr=SetAttr(mode=mode))).attr.key
        for at in range(0, len(data), 1 << 16):
            await self.write(key, at, data[at : at + (1 << 16)], stable)
        return key

    async def mkdir(self, name: bytes, dir: Key | None = None, mode: int = 0o755) -> Key:
        made = await self.backend.mkdir(self.ctx, dir or self.root, name, SetAttr(mode=mode))
        return made.attr.key

    async def symlink(self, name: bytes, target: bytes, dir: Key | None = None) -> Key:
        made = await self.backend.symlink(
            self.ctx, dir or self.root, name, target, SetAttr(mode=0o777)
        )
        return made.attr.key

    async def plant(self, tree: Tree, dir: Key | None = None) -> None:
        """Write `tree` into a directory, links only where they can be."""
        for name, node in tree.items():
            if isinstance(node, bytes):
                await self.file(name, node, dir, stable=Stable.UNSTABLE)
            elif not isinstance(node, Link):
                await self.plant(node, await self.mkdir(name, dir))
            elif self.limits.symlinks:
                await self.symlink(name, node.target, dir)

    # Changing

    async def write(
        self, key: Key, offset: int, data: Buffer, stable: Stable = Stable.FILE_SYNC
    ) -> Written:
        """Write all of `data`; a short write is no failure (RFC 1813 section 3.3.7)."""
        done = await self.backend.write(self.ctx, key, offset, data, stable)
        assert 0 <= done.count <= len(data)
        assert done.count or not len(data), "write wrote nothing"
        if done.count < len(data):
            return await self.write(
                key, offset + done.count, memoryview(data)[done.count :], stable
            )
        return done

    async def setattr(self, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        return await self.backend.setattr(self.ctx, key, attr, guard)

    async def chmod(self, key: Key, mode: int) -> Wcc:
        return await self.setattr(key, SetAttr(mode=mode))

    async def chown(self, key: Key, uid: int, gid: int) -> Wcc:
        return await self.setattr(key, SetAttr(uid=uid, gid=gid))

    async def remove(self, dir: Key, name: bytes) -> Wcc:
        return await self.backend.remove(self.ctx, dir, name)

    async def rmdir(self, dir: Key, name: bytes) -> Wcc:
        return await self.backend.rmdir(self.ctx, dir, name)

    async def rename(self, from_dir: Key, old: bytes, to_dir: Key, new: bytes) -> None:
        await self.backend.rename(self.ctx, from_dir, old, to_dir, new)

    async def link(self, key: Key, dir: Key, name: bytes) -> Made:
        return await self.backend.link(self.ctx, key, dir, name)

    # Checking

    async def check_wcc(self, wcc: Wcc, before: Attr, key: Key) -> None:
        """That `wcc` is `before` and what `key` is now."""
        assert wcc.after is not None, "the attributes after the operation are missing"
        assert fixed(wcc.after) == fixed(await self.attr(key)), "after is not what getattr says"
        if self.kit.gives_before:
            assert wcc.before is not None, "the attributes before the operation are missing"
            assert fixed(wcc.before) == fixed(before), "before is not what getattr said"

    async def check_stale(self, key: Key) -> None:
        await refused(self.attr(key), Status.STALE)

    async def check_refused_untouched(
        self, dir: Key, call: Callable[[], Awaitable[object]], *statuses: Status
    ) -> None:
        """That `call` is refused and leaves the directory as it is."""
        names, before = await self.names(dir), fixed(await self.attr(dir))
        await refused(call(), *statuses)
        assert await self.names(dir) == names, "a refused call changed the names"
        assert fixed(await self.attr(dir)) == before, "a refused call changed the directory"


async def _end_all_tasks() -> None:
    """As a crash ends them, the backend's own and those of calls."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def fixed(attr: Attr) -> tuple[object, ...]:
    """What stays the same while nobody changes a file: all but atime, and `used`, which a disk
    file system settles later."""
    return (
        attr.key,
        attr.type,
        attr.mode,
        attr.nlink,
        attr.uid,
        attr.gid,
        attr.size,
        attr.mtime,
        attr.ctime,
        attr.rdev,
    )


def status_of(error: FsError | OSError) -> Status:
    """The nfsstat3 of an error that a backend raises."""
    if isinstance(error, FsError):
        return error.status
    number = error.errno or errno.EIO
    if number in _STATUS_OF_ERRNO:
        return _STATUS_OF_ERRNO[number]
    try:
        # The small numbers are BSD's errno values, which all systems share.
        return Status(number) if number <= errno.EMLINK else Status.IO
    except ValueError:
        return Status.IO


def difference(got: bytes, wanted: bytes | bytearray) -> str:
    """Where two contents part, in a few words; nothing if they do not.

    Of two that are large, pytest's own explanation takes minutes.
    """
    if got == wanted:
        return ""
    pairs = enumerate(zip(got, wanted, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), min(len(got), len(wanted)))
    there = f"{got[at : at + 16]!r} instead of {wanted[at : at + 16]!r} at {at}"
    return f"{there}; {len(got)} bytes instead of {len(wanted)}"


async def refused(call: Awaitable[object], *statuses: Status) -> None:
    """That `call` raises one of `statuses`."""
    try:
        await call
    except (FsError, OSError) as error:
        status = status_of(error)
        assert status in statuses, f"refused with {status.name} ({error}), expected " + one_of(
            statuses
        )
    else:
        pytest.fail("succeeded, expected " + one_of(statuses))


def one_of(statuses: tuple[Status, ...]) -> str:
    return " or ".join(status.name for status in statuses)


def types(node: bytes | Link | Tree) -> FileType:
    """The type of a file in a `Tree`."""
    if isinstance(node, bytes):
        return FileType.REG
    return FileType.LNK if isinstance(node, Link) else FileType.DIR


def walk(tree: Tree, path: tuple[bytes, ...] = ()) -> Iterator[tuple[tuple[bytes, ...], Any]]:
    """(path, node) of everything in a tree, the root first."""
    yield path, tree
    for name, node in tree.items():
        if isinstance(node, Mapping):
            yield from walk(node, (*path, name))
        else:
            yield (*path, name), node


def case(
    *needs: str,
) -> Callable[[Callable[Concatenate[Any, Fs, P], Awaitable[None]]], Callable[..., None]]:
    """A test of the kit: ``async def test(self, fs, …)``, run where the backend has `needs`.

    Needs are fields of `Limits`, switches of `Kit`, ``write``, ``read_only``, or ``tree`` (the
    `tree` is there).
    """

    def decorate(
        test: Callable[Concatenate[Any, Fs, P], Awaitable[None]],
    ) -> Callable[..., None]:
        @functools.wraps(test)
        def run(self: Kit, tmp_path: Path, **arguments: Any) -> None:
            counts = _COUNTS.get(type(self), Counter())
            bound = functools.partial(test, self, **arguments)
            try:
                if self.uniform and type(self) in _LIMITS:
                    _skip_what_does_not_apply(self, _LIMITS[type(self)], needs)
                backend = self.make_backend(tmp_path)
                asyncio.run(_run(self, backend, tmp_path, needs, bound))
            except pytest.skip.Exception as skip:
                counts[str(skip.msg)] += 1
                raise
            except BaseException:
                counts[FAILED] += 1
                raise
            counts[PASSED] += 1

        # pytest fills in what the signature names: `tmp_path` in the place of `fs`.
        signature = inspect.signature(test)
        parameters = [
            parameter.replace(name="tmp_path") if name == "fs" else parameter
            for name, parameter in signature.parameters.items()
        ]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.needs = needs  # type: ignore[attr-defined]
        return run

    return decorate


async def _run(
    kit: Kit,
    backend: Backend,
    tmp_path: Path,
    needs: tuple[str, ...],
    test: Callable[[Fs], Awaitable[None]],
) -> None:
    fs = await start(kit, backend, tmp_path)
    try:
        # Only now: what a backend can do may depend on what it finds when it starts.
        _LIMITS[type(kit)] = backend.limits
        if kit.read_only:
            assert backend.limits.read_only, "the kit says read_only, the backend declares it not"
        _skip_what_does_not_apply(kit, backend.limits, needs)
        if "tree" in needs and not backend.limits.read_only:
            await fs.plant(kit.tree)
        try:
            async with asyncio.timeout(kit.seconds):
                await test(fs)
        except TimeoutError:
            pytest.fail(f"the test has not ended within {kit.seconds} s: a call does not end")
        await fs.check()
    except pytest.skip.Exception:
        raise
    except BaseException as error:
        last = fs if fs.replaced_by is None else fs.replaced_by
        error.add_note(last.backend.story())
        raise
    finally:
        await fs.stop()


def _skip_what_does_not_apply(kit: Kit, limits: Limits, needs: tuple[str, ...]) -> None:
    for need in needs:
        if reason := kit.lacks(limits, need):
            pytest.skip(reason)


def _that_write(kit: type) -> dict[str, int]:
    """By name: how many tests each function makes that needs a writable backend."""
    tests: dict[str, Any] = {}
    for base in reversed(kit.__mro__):
        tests |= {name: test for name, test in vars(base).items() if test is not None}
    return {
        name: math.prod(len(mark.args[1]) for mark in getattr(test, "pytestmark", ()))
        for name, test in tests.items()
        if "write" in getattr(test, "needs", ())
    }


async def start(kit: Kit, backend: Backend, tmp_path: Path) -> Fs:
    """Start a backend for the superuser."""
    checked = Checked(backend)
    await checked.start()
    root = await checked.root(kit.superuser)
    return Fs(kit, checked, kit.superuser, root.key, tmp_path)


# What the run came to

PASSED, FAILED = "passed", "failed"

#: By test class: what the first backend could do.
_LIMITS: dict[type, Limits] = {}

#: By test class: how many tests passed, failed, or were skipped for a reason.
_COUNTS: dict[type, Counter[str]] = {}


def summary(kit: type) -> str:
    """One line: how many tests of the kit apply to a backend, and why the others do not."""
    counts = Counter(_COUNTS.get(kit, Counter()))
    if getattr(kit, "read_only", False):
        counts["the backend declares read_only"] += sum(_that_write(kit).values())
    said = [f"{counts[word]} {word}" for word in (PASSED, FAILED) if counts[word]]
    skipped = {why: n for why, n in counts.most_common() if why not in (PASSED, FAILED)}
    if skipped:
        reasons = "; ".join(f"{why}: {number}" for why, number in skipped.items())
        said.append(f"{sum(skipped.values())} do not apply ({reasons})")
    return f"conformance of {kit.__name__}: " + ", ".join(said)


class Summary:
    """A pytest plugin: the summaries of all test classes at the end of the run."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The lines."""
        for kit in _COUNTS:
            terminalreporter.write_line(summary(kit))
