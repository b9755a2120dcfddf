"""What stands between the kit and the backend under test, and watches every call.

It calls the backend as the server does, through `backends.hosted`. And it holds each result
against the contract: exact types, numbers within the protocol's widths, nothing but `FsError` and
OSError raised, and nothing changed later that was handed out.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

from backends.base import (
    OPERATIONS,
    Attr,
    Backend,
    Context,
    CreateMode,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Listing,
    Made,
    Renamed,
    SetAttr,
    Stable,
    Status,
    Target,
    Wcc,
    Written,
)
from backends.hosted import hosted
from backends.threads import Threaded
from backends.wrap import Wrap

#: RFC 1813's section of each operation.
SECTIONS: Final = {
    "root": "5.2.1",
    "getattr": "3.3.1",
    "setattr": "3.3.2",
    "lookup": "3.3.3",
    "access": "3.3.4",
    "readlink": "3.3.5",
    "read": "3.3.6",
    "write": "3.3.7",
    "create": "3.3.8",
    "mkdir": "3.3.9",
    "symlink": "3.3.10",
    "mknod": "3.3.11",
    "remove": "3.3.12",
    "rmdir": "3.3.13",
    "rename": "3.3.14",
    "link": "3.3.15",
    "readdir": "3.3.16",
    "statfs": "3.3.18",
    "commit": "3.3.21",
}

#: Fields of an `Attr` and their bits (RFC 1813 section 2.5).
_ATTR_BITS: Final = {
    "ino": 64,
    "generation": 64,
    "mode": 12,
    "nlink": 32,
    "uid": 32,
    "gid": 32,
    "size": 64,
    "used": 64,
}
_TIMES: Final = ("atime", "mtime", "ctime")
_FIRST_COOKIE, _LAST_COOKIE = 3, 2**63 - 1

#: How many calls a failure shows.
_CALLS_SHOWN: Final = 10
#: How many Attr and Data of one test are watched for later changes, and how long data may be.
_WATCHED: Final = 2000
_WATCHED_BYTES: Final = 65536


class Checked(Wrap):
    """The backend under test as the server sees it, each call checked."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(hosted(backend, "conformance"))
        #: As the author made it.
        self.raw = backend
        self._calls: deque[tuple[str, tuple[Any, ...], Any]] = deque(maxlen=_CALLS_SHOWN)
        self._attrs: dict[int, tuple[Attr, Attr]] = {}
        self._data: list[tuple[Any, bytes]] = []
        for name in OPERATIONS:
            setattr(self, name, self._checked(name, getattr(self.below, name)))

    def _checked(
        self, name: str, method: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        check = getattr(self, f"_check_{name}")

        async def call(ctx: Context, *args: Any, **kwargs: Any) -> Any:
            record: list[Any] = [name, (ctx, *args, *kwargs.values()), "has not ended"]
            self._calls.append(record)  # type: ignore[arg-type]
            try:
                result = await method(ctx, *args, **kwargs)
            except (FsError, OSError) as error:
                record[2] = error
                _check_error(name, error)
                raise
            except Exception as error:
                record[2] = error
                raise AssertionError(
                    f"{name} raised {type(error).__name__}: {error}; "
                    "a backend raises FsError and OSError only (class Backend)"
                ) from error
            record[2] = result
            check(result, *args)
            return result

        return call

    def abandon(self) -> None:
        """After a crash: nobody calls or stops it any more."""
        below: Backend = self
        while isinstance(below, Wrap):
            below = below.below
        if isinstance(below, Threaded):
            below._pool.close()

    # After a test

    def check_unchanged(self) -> None:
        """That nothing which was handed out has been changed since."""
        for attr, copy in self._attrs.values():
            assert attr == copy, (
                f"an Attr was changed after it had been handed out: {copy} became {attr}; "
                "the server keeps encodings of it (class Attr)"
            )
        for data, was in self._data:
            assert bytes(data) == was, (
                "the data of a read changed after it had been handed out; "
                "it is sent without a copy (class Data)"
            )

    def story(self) -> str:
        """The last calls and where the contract of each stands, for whoever reads a failure."""
        if not self._calls:
            return "no call had been made"
        lines = ["the last calls:"]
        lines += [f"  {_call(name, args)} -> {_outcome(out)}" for name, args, out in self._calls]
        names = dict.fromkeys(name for name, _, _ in reversed(self._calls))
        lines.append("see " + ", ".join(_where(name) for name in list(names)[:3]))
        return "\n".join(lines)

    # What each gives

    def _attr(self, attr: Any, what: str, key: Key | None = None) -> None:
        assert isinstance(attr, Attr), f"{what} is {attr!r}, and must be an Attr"
        if id(attr) in self._attrs:
            return
        for field, bits in _ATTR_BITS.items():
            _check_int(getattr(attr, field), bits, f"{what}: {field}")
        for field in _TIMES:
            value = getattr(attr, field)
            assert type(value) is int, f"{what}: {field} is {value!r}, and must be int nanoseconds"
        kind = attr.type
        assert isinstance(kind, FileType), f"{what}: type is {kind!r}, and must be a FileType"
        assert len(attr.rdev) == 2, f"{what}: rdev is {attr.rdev!r}"
        for number in attr.rdev:
            _check_int(number, 32, f"{what}: rdev")
        assert attr.memo is None, f"{what}: memo is the server's"
        assert key is None or attr.key == key, f"{what} is of {attr.key}, not of {key}"
        if len(self._attrs) < _WATCHED:
            self._attrs[id(attr)] = attr, dataclasses.replace(attr)

    def _maybe(self, attr: Any, what: str, key: Key | None = None) -> None:
        if attr is not None:
            self._attr(attr, what, key)

    def _wcc(self, wcc: Any, what: str, key: Key | None = None) -> None:
        assert isinstance(wcc, Wcc), f"{what} is {wcc!r}, and must be a Wcc"
        self._maybe(wcc.before, f"{what}.before", key)
        self._maybe(wcc.after, f"{what}.after", key)

    def _check_root(self, result: Any) -> None:
        self._attr(result, "the result of root")

    def _check_getattr(self, result: Any, key: Key) -> None:
        self._attr(result, "the result of getattr", key)

    def _check_parent(self, result: Any, dir: Key) -> None:
        self._attr(result, "the result of parent")

    def _check_lookup(self, result: Any, dir: Key, name: bytes) -> None:
        _check_type(result, Found, "lookup")
        self._attr(result.attr, "Found.attr")
        self._maybe(result.dir, "Found.dir", dir)

    def _check_peek(self, result: Any, dir: Key, name: bytes) -> None:
        if result is not None:
            _check_int(result, 64, "the result of peek")

    def _check_read(self, result: Any, key: Key, offset: int, count: int) -> None:
        _check_type(result, Data, "read")
        data = result.data
        assert isinstance(data, bytes | bytearray | memoryview), f"Data.data is {type(data)}"
        if isinstance(data, memoryview):
            assert data.itemsize == 1 and data.ndim == 1 and data.contiguous, (
                "Data.data is a memoryview of something else than single bytes"
            )
        assert len(data) <= count, f"read gave {len(data)} bytes, and {count} were asked for"
        _check_bool(result.eof, "Data.eof")
        self._maybe(result.attr, "Data.attr", key)
        if len(self._data) < _WATCHED and len(data) <= _WATCHED_BYTES:
            self._data.append((data, bytes(data)))

    def _check_readdir(self, result: Any, dir: Key, cookie: int, count: int, plus: bool) -> None:
        _check_type(result, Listing, "readdir")
        self._maybe(result.attr, "Listing.attr", dir)
        result.entries = self._entries(result, result.entries, cookie)

    def _entries(
        self, listing: Listing, entries: Iterable[DirEntry], start: int
    ) -> Iterator[DirEntry]:
        names, cookies = set(), {start}
        for entry in _each(entries):
            assert isinstance(entry, DirEntry), f"{entry!r} in a Listing is no DirEntry"
            name = entry.name
            assert isinstance(name, bytes), f"the name {name!r} in a listing is no bytes"
            assert name not in (b"", b".", b".."), f"{name!r} is listed; the server adds . and .."
            assert b"/" not in name and b"\0" not in name, f"{name!r} is listed: / or NUL in it"
            assert len(name) <= self.limits.name_max, f"{name!r} is longer than limits.name_max"
            assert name not in names, f"{name!r} is listed twice"
            _check_int(entry.ino, 64, f"ino of {name!r}")
            _check_int(entry.cookie, 63, f"cookie of {name!r}")
            assert entry.cookie >= _FIRST_COOKIE, f"cookie {entry.cookie} is the server's"
            assert entry.cookie not in cookies, f"cookie {entry.cookie} is given twice"
            if entry.attr is not None:
                self._attr(entry.attr, f"the attributes of {name!r} in a listing")
                assert entry.attr.ino == entry.ino, f"{name!r}: its ino is not that of its attr"
            names.add(name)
            cookies.add(entry.cookie)
            yield entry
        _check_bool(listing.eof, "Listing.eof")

    def _check_access(self, result: Any, key: Key, mask: int) -> None:
        _check_type(result, Granted, "access")
        _check_int(result.access, 32, "Granted.access")
        extra = result.access & ~mask
        assert not extra, f"access granted {extra:#x}, for which nobody asked"
        self._maybe(result.attr, "Granted.attr", key)

    def _check_readlink(self, result: Any, key: Key) -> None:
        _check_type(result, Target, "readlink")
        assert isinstance(result.target, bytes), f"Target.target is {type(result.target)}"
        self._maybe(result.attr, "Target.attr", key)

    def _check_setattr(self, result: Any, key: Key, *args: Any) -> None:
        self._wcc(result, "the result of setattr", key)

    def _check_commit(self, result: Any, key: Key, *args: Any) -> None:
        self._wcc(result, "the result of commit", key)

    def _check_write(self, result: Any, key: Key, offset: int, data: Any, stable: Stable) -> None:
        _check_type(result, Written, "write")
        _check_int(result.count, 32, "Written.count")
        assert result.count <= len(data), "Written.count is more than was given"
        assert result.count or not len(data), "write wrote nothing, and raised no error"
        got = result.stable
        assert isinstance(got, Stable), f"Written.stable is {got!r}, and must be a Stable"
        assert got >= stable, f"written {got.name}, {stable.name} was asked for"
        self._wcc(result.wcc, "Written.wcc", key)

    def _made(self, result: Any, name: str, dir: Key, kind: FileType | None) -> None:
        _check_type(result, Made, name)
        self._attr(result.attr, "Made.attr")
        if kind is not None:
            assert result.attr.type is kind, f"{name} made a {result.attr.type.name}"
        self._wcc(result.dir, "Made.dir", dir)

    def _check_create(self, result: Any, dir: Key, *args: Any) -> None:
        self._made(result, "create", dir, FileType.REG)

    def _check_mkdir(self, result: Any, dir: Key, *args: Any) -> None:
        self._made(result, "mkdir", dir, FileType.DIR)

    def _check_symlink(self, result: Any, dir: Key, *args: Any) -> None:
        self._made(result, "symlink", dir, FileType.LNK)

    def _check_mknod(self, result: Any, dir: Key, name: bytes, type: FileType, *args: Any) -> None:
        self._made(result, "mknod", dir, type)

    def _check_link(self, result: Any, key: Key, dir: Key, name: bytes) -> None:
        self._made(result, "link", dir, None)
        assert result.attr.key == key, f"link of {key} gave a name to {result.attr.key}"

    def _check_remove(self, result: Any, dir: Key, name: bytes) -> None:
        self._wcc(result, "the result of remove", dir)

    def _check_rmdir(self, result: Any, dir: Key, name: bytes) -> None:
        self._wcc(result, "the result of rmdir", dir)

    def _check_rename(
        self, result: Any, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> None:
        _check_type(result, Renamed, "rename")
        self._wcc(result.from_dir, "Renamed.from_dir", from_dir)
        self._wcc(result.to_dir, "Renamed.to_dir", to_dir)

    def _check_statfs(self, result: Any, key: Key) -> None:
        _check_type(result, FsStat, "statfs")
        for field in dataclasses.fields(FsStat):
            bits = 32 if field.name == "invarsec" else 64
            _check_int(getattr(result, field.name), bits, f"FsStat.{field.name}")


def _each(entries: Iterable[DirEntry]) -> Iterator[DirEntry]:
    try:
        yield from entries
    except (FsError, OSError, GeneratorExit, AssertionError):
        raise
    except Exception as error:
        raise AssertionError(
            f"the entries of a Listing raised {type(error).__name__}: {error}; they may be taken "
            "after the directory has changed (class Listing)"
        ) from error


def _check_type(result: Any, kind: type, name: str) -> None:
    assert isinstance(result, kind), f"{name} gave {result!r}, and must give {kind.__name__}"


def _check_int(value: Any, bits: int, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise AssertionError(f"{what} is {value!r}, and must be an int of {bits} bits")


def _check_bool(value: Any, what: str) -> None:
    assert isinstance(value, bool), f"{what} is {value!r}, and must be a bool"


def _check_error(name: str, error: FsError | OSError) -> None:
    if isinstance(error, FsError):
        status = error.status
        assert isinstance(status, Status), f"{name} raised FsError with {status!r}, no Status"
        assert status is not Status.OK, f"{name} raised FsError(Status.OK)"
    else:
        assert error.errno is None or error.errno > 0, f"{name} raised errno {error.errno}"


# What a failure shows


def _where(name: str) -> str:
    section = SECTIONS.get(name)
    return f"Backend.{name}" + (f" (RFC 1813 section {section})" if section else "")


def _call(name: str, args: tuple[Any, ...]) -> str:
    ctx, *rest = args
    who = f"{ctx.uid}:{ctx.gid} " if isinstance(ctx, Context) else ""
    return f"{who}{name}({', '.join(_short(arg) for arg in rest)})"


def _outcome(outcome: Any) -> str:
    if isinstance(outcome, BaseException):
        return f"{type(outcome).__name__}: {outcome}"
    return _short(outcome)


def _short(value: Any) -> str:
    """`value` in a few words."""
    if isinstance(value, Key):
        return f"{value.ino}:{value.generation:x}"
    if isinstance(value, bytes | bytearray | memoryview):
        shown = repr(bytes(value[:24]))
        return shown if len(value) <= 24 else f"{shown}... ({len(value)} bytes)"
    if isinstance(value, Attr):
        return (
            f"{value.type.name} {_short(value.key)} {value.mode:04o} nlink {value.nlink} "
            f"size {value.size} ctime {value.ctime}"
        )
    if isinstance(value, SetAttr | Made | Found | Data | Written | Wcc | Granted | Renamed):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        inside = ", ".join(f"{name}={_short(got)}" for name, got in fields if got is not None)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, CreateMode | Stable | FileType):
        return value.name
    if isinstance(value, Listing):
        return f"Listing(eof={value.eof})"
    shown = repr(value)
    return shown if len(shown) <= 200 else shown[:200] + "..."
