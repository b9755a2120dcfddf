"""The contract's own code: errors, keys, the ACCESS table, and the defaults' answers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import pytest

from backends.base import (
    Access,
    Attr,
    Backend,
    Context,
    CreateMode,
    FileType,
    FsError,
    FsStat,
    Key,
    SetAttr,
    Stable,
    Status,
    granted,
)

CTX, KEY = Context(1000, 100), Key(5, 6)


def attr(type: FileType, mode: int, uid: int = 1000, gid: int = 100) -> Attr:
    return Attr(5, type, mode, 1, uid, gid, 0, 0, 0, 0, 0, generation=6)


def test_fs_error_says_what_it_is() -> None:
    assert str(FsError(Status.NOSPC)) == "NOSPC"
    assert str(FsError(Status.PERM, "chown")) == "PERM: chown"
    assert FsError(Status.STALE).status is Status.STALE


def test_attr_key_and_memo() -> None:
    one, other = attr(FileType.REG, 0o644), attr(FileType.REG, 0o644)
    assert one.key == KEY == (5, 6)
    one.memo = b"encoded"
    assert one == other, "the memo is no attribute"
    assert "encoded" not in repr(one)


def test_status_values_are_nfsstat3s() -> None:
    assert (Status.NOTEMPTY, Status.STALE, Status.JUKEBOX) == (66, 70, 10008)
    assert len({*Status}) == 29


DEFAULTS: dict[str, tuple[Callable[[Backend], Awaitable[object]], Status]] = {
    "parent": (lambda b: b.parent(CTX, KEY), Status.NOTSUPP),
    "readlink": (lambda b: b.readlink(CTX, KEY), Status.NOTSUPP),
    "setattr": (lambda b: b.setattr(CTX, KEY, SetAttr()), Status.NOTSUPP),
    "write": (lambda b: b.write(CTX, KEY, 0, b"", Stable.UNSTABLE), Status.NOTSUPP),
    "commit": (lambda b: b.commit(CTX, KEY, 0, 0), Status.NOTSUPP),
    "create": (
        lambda b: b.create(CTX, KEY, b"f", CreateMode.GUARDED, SetAttr(), b""),
        Status.NOTSUPP,
    ),
    "mkdir": (lambda b: b.mkdir(CTX, KEY, b"d", SetAttr()), Status.NOTSUPP),
    "symlink": (lambda b: b.symlink(CTX, KEY, b"l", b"t", SetAttr()), Status.NOTSUPP),
    "mknod": (
        lambda b: b.mknod(CTX, KEY, b"n", FileType.FIFO, (0, 0), SetAttr()),
        Status.NOTSUPP,
    ),
    "remove": (lambda b: b.remove(CTX, KEY, b"f"), Status.NOTSUPP),
    "rmdir": (lambda b: b.rmdir(CTX, KEY, b"f"), Status.NOTSUPP),
    "rename": (lambda b: b.rename(CTX, KEY, b"f", KEY, b"g"), Status.NOTSUPP),
    "link": (lambda b: b.link(CTX, KEY, KEY, b"g"), Status.NOTSUPP),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_missing_is_refused(name: str) -> None:
    call, status = DEFAULTS[name]

    async def main() -> object:
        return await call(Backend())

    with pytest.raises(FsError) as caught:
        asyncio.run(main())
    assert caught.value.status is status


def test_every_operation_is_a_coroutine_and_documented() -> None:
    names = [name for name, _ in inspect.getmembers(Backend, inspect.isfunction)]
    for name in names:
        if not name.startswith("_"):
            method = getattr(Backend, name)
            plain = name in {"describe", "set_sync", "share", "statistics"}
            assert inspect.iscoroutinefunction(method) or plain, name
            assert method.__doc__, name


def test_defaults_that_answer() -> None:
    backend = Backend()
    assert backend.limits.read_only
    assert len(backend.verifier) == 8
    assert backend.verifier != Backend().verifier
    assert asyncio.run(backend.statfs(CTX, KEY)) == FsStat()


def test_access_is_derived_from_getattr() -> None:
    class Readable(Backend):
        async def getattr(self, ctx: Context, key: Key) -> Attr:
            return attr(FileType.REG, 0o640)

    got = asyncio.run(Readable().access(CTX, KEY, Access.READ | Access.EXECUTE))
    assert got.access == Access.READ
    assert got.attr == attr(FileType.REG, 0o640)


@pytest.mark.parametrize(
    ("ctx", "type", "mode", "expected"),
    [
        (Context(1000, 1), FileType.REG, 0o400, Access.READ),
        (Context(1000, 1), FileType.REG, 0o200, Access.MODIFY | Access.EXTEND),
        (Context(1000, 1), FileType.REG, 0o100, Access.EXECUTE),
        (Context(1000, 1), FileType.REG, 0o077, Access(0)),
        (Context(1, 100), FileType.REG, 0o040, Access.READ),
        (Context(1, 1, (9, 100)), FileType.REG, 0o040, Access.READ),
        (Context(1, 1, (9,)), FileType.REG, 0o004, Access.READ),
        (Context(1, 1), FileType.DIR, 0o001, Access.LOOKUP),
        (Context(1, 1), FileType.DIR, 0o002, Access.MODIFY | Access.EXTEND | Access.DELETE),
        (Context(), FileType.REG, 0o000, Access.READ | Access.MODIFY | Access.EXTEND),
        (Context(), FileType.DIR, 0o000, Access(0x1F)),
        (
            Context(),
            FileType.REG,
            0o001,
            Access.READ | Access.MODIFY | Access.EXTEND | Access.EXECUTE,
        ),
    ],
)
def test_granted(ctx: Context, type: FileType, mode: int, expected: Access) -> None:
    assert granted(ctx, attr(type, mode)) == expected
