"""Several backends under one export."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from functools import partial
from typing import Any, Final, NoReturn

from backends.base import (
    CHANGES,
    OPERATIONS,
    Attr,
    Backend,
    Context,
    Data,
    DirEntry,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Limits,
    Listing,
    Made,
    Renamed,
    SetAttr,
    Status,
    Target,
    Wcc,
    Written,
    granted,
)
from backends.cookies import Names
from backends.hosted import HEALTH_SECONDS, Health, hosted
from backends.wraps.listing import relisted
from backends.wraps.readonly import CHANGING

log = logging.getLogger("nfsloop.backend")

#: How much of `Key.generation` is a backend's own; the bits above say which it is.
OWN_BITS: Final = 64
_OWN: Final = 2**OWN_BITS - 1
_INDEX_BYTES: Final = 3

#: How long FSSTAT of a directory above the parts waits for them, in seconds.
STATFS_SECONDS: Final = 1.0
#: Attributes that each part has the translations of.
ATTR_MEMO_ENTRIES: Final = 4096

#: A part has a little less time to say how it is than all together, so that it is named.
PART_HEALTH_SECONDS: Final = 0.8 * HEALTH_SECONDS


class Part:
    """One of the backends, and how its files are called from outside."""

    def __init__(
        self,
        name: bytes,
        storage: Backend,
        above: Key,
        verifier: Callable[[Part, bytes], bytes] = lambda part, own: own,
    ) -> None:
        self.name = name
        #: The write verifier of the whole for one of this part.
        self.verifier = verifier
        #: For people.
        self.title = name.decode("utf-8", "backslashreplace")
        #: Put into threads and given patience by itself: it may stall, and the others do not.
        self.backend = hosted(storage, self.title)
        self.health = Health(lambda: self.backend, PART_HEALTH_SECONDS)
        #: How much space there is: asked, and not yet answered.
        self.asked: asyncio.Future[FsStat] | None = None
        #: The directory that it is in.
        self.above = above
        digest = hashlib.blake2b(name, digest_size=_INDEX_BYTES + 8).digest()
        self.index = int.from_bytes(digest[:_INDEX_BYTES])
        self._mix = int.from_bytes(digest[_INDEX_BYTES:])
        self._high = self.index << OWN_BITS
        self._attrs: dict[int, tuple[Attr, Attr]] = {}
        #: Its own root, as seen from outside; final once it has started.
        self.root = Key(0, 0)

    def statfs(self, ctx: Context) -> Coroutine[Any, Any, FsStat]:
        """The space that it says it has."""
        return self.backend.statfs(ctx, self.inner(self.root))

    def inner(self, key: Key) -> Key:
        """The part's own key for one of its files."""
        return Key(key.ino ^ self._mix, key.generation & _OWN)

    def ino(self, ino: int) -> int:
        """The inode number of one of its files, as seen from outside."""
        return ino ^ self._mix

    def attr(self, attr: Attr) -> Attr:
        """Attributes as seen from outside: one object for one, as the server encodes it once."""
        known = self._attrs.get(attr.ino)
        if known is not None and known[0] is attr:
            return known[1]
        if attr.generation >> OWN_BITS:
            raise TypeError(f"{self.title}: a generation has {OWN_BITS} bits, {attr!r} more")
        outer = Attr(
            attr.ino ^ self._mix, attr.type, attr.mode, attr.nlink, attr.uid, attr.gid, attr.size,
            attr.used, attr.atime, attr.mtime, attr.ctime, self._high | attr.generation, attr.rdev,
        )  # fmt: skip
        if len(self._attrs) >= ATTR_MEMO_ENTRIES:
            self._attrs.clear()
        self._attrs[attr.ino] = attr, outer
        return outer

    def some(self, attr: Attr | None) -> Attr | None:
        return None if attr is None else self.attr(attr)

    def wcc(self, wcc: Wcc) -> Wcc:
        return Wcc(self.some(wcc.before), self.some(wcc.after))

    def entry(self, entry: DirEntry) -> DirEntry:
        return DirEntry(entry.name, self.ino(entry.ino), entry.cookie, self.some(entry.attr))

    def outer(self, result: Any) -> Any:
        """An operation's result as seen from outside. Raises TypeError for what is none."""
        try:
            return _OUTER[type(result)](self, result)
        except KeyError:
            raise TypeError(f"{self.title} gave {type(result).__name__}") from None

    def granted(self, granted: Granted) -> Granted:
        access = granted.access
        if self.backend.limits.read_only:
            access &= ~CHANGING
        return Granted(access, self.some(granted.attr))

    def check_name(self, name: bytes) -> None:
        """Raises NAMETOOLONG."""
        if len(name) > self.backend.limits.name_max:
            raise FsError(Status.NAMETOOLONG)

    def check_change(self, name: str, args: tuple[Any, ...]) -> None:
        """What the server checks by the limits of the whole, by those of the part."""
        limits = self.backend.limits
        if limits.read_only:
            raise FsError(Status.ROFS)
        if name == "symlink" and len(args[1]) > limits.path_max:
            raise FsError(Status.NAMETOOLONG)
        if name == "write":
            size = args[0] + len(args[1])
        else:
            given = [arg for arg in args if isinstance(arg, SetAttr)]
            size = given[0].size or 0 if given else 0
        if size > limits.max_file_size:
            raise FsError(Status.FBIG)


#: Operations whose first argument behind the directory is a name.
_NAMING: Final = frozenset(
    {"lookup", "peek", "create", "mkdir", "symlink", "mknod", "remove", "rmdir"}
)

#: Result of an operation -> the same as seen from outside.
_OUTER: dict[type, Callable[[Part, Any], Any]] = {
    Attr: Part.attr,
    Wcc: Part.wcc,
    Granted: Part.granted,
    int: Part.ino,
    type(None): lambda part, it: None,
    FsStat: lambda part, it: it,
    Found: lambda part, it: Found(part.attr(it.attr), part.some(it.dir)),
    Data: lambda part, it: Data(it.data, it.eof, part.some(it.attr)),
    Target: lambda part, it: Target(it.target, part.some(it.attr)),
    Written: lambda part, it: Written(
        it.count, it.stable, part.wcc(it.wcc), it.verifier and part.verifier(part, it.verifier)
    ),
    Made: lambda part, it: Made(part.attr(it.attr), part.wcc(it.dir)),
    Renamed: lambda part, it: Renamed(part.wcc(it.from_dir), part.wcc(it.to_dir)),
    Listing: lambda part, it: relisted(it, part.some(it.attr), part.entry),
}


@dataclass(slots=True, eq=False)
class _Dir:
    """A directory above the parts."""

    attr: Attr
    above: Key
    #: What is in it: another such directory, or a part.
    names: dict[bytes, _Dir | Part] = field(default_factory=dict)


class Demux(Backend):
    """Several backends under one export, each in a directory of its own.

    `parts` has a backend for each name; a name may be a path (``a/b``), whose directories are made
    up. These cannot be changed: ROFS. Handles name a part by its name, so they survive other parts'
    coming and going. RENAME and LINK from one part to another are XDEV.

    Each part is served by itself: one that blocks has threads of its own, one that stalls answers
    JUKEBOX, and the others do not notice.
    """

    #: The server need not wrap it up again (`backends.hosted`): its parts are.
    hosts_itself = True

    def __init__(self, parts: Mapping[bytes, Backend]) -> None:
        if not parts:
            raise ValueError("demux: no backends")
        _check_names(list(parts))
        for storage in parts.values():
            _check_storage(storage)
        if len({id(storage) for storage in parts.values()}) < len(parts):
            raise ValueError("demux: one backend has two names")
        now = time.time_ns()
        root = Key(_number(b""))
        self._root = _Dir(_directory(root, now), root)
        self._dirs: dict[Key, _Dir] = {root: self._root}
        self._parts: dict[int, Part] = {}
        for name, storage in parts.items():
            self._add(name, storage, now)
        for dir in self._dirs.values():
            dir.attr.nlink += len(dir.names)
        self._all = list(self._parts.values())
        self.inline = all(part.backend.inline for part in self._all)
        self.persistent = all(part.backend.persistent for part in self._all)
        self.patience = max(part.backend.patience for part in self._all)
        self.limits = common([part.backend.limits for part in self._all])
        for operation in OPERATIONS:
            if operation not in {"root", "rename", "link"}:
                setattr(self, operation, partial(self._call, operation))

    def _add(self, name: bytes, storage: Backend, now: int) -> None:
        *above, last = name.split(b"/")
        dir, path = self._root, b""
        for word in above:
            path += word + b"/"
            key = Key(_number(path))
            inner = self._dirs.get(key)
            if inner is None:
                inner = self._dirs[key] = _Dir(_directory(key, now), dir.attr.key)
                dir.names[word] = inner
            dir = inner
        part = Part(name, storage, dir.attr.key, self._verifier)
        other = self._parts.setdefault(part.index, part)
        if other is not part or not part.index:
            with_what = "" if other is part else f" and {other.title}"
            raise ValueError(f"demux: {part.title}{with_what}: no number is free; rename it")
        dir.names[last] = part

    @property
    def verifier(self) -> bytes:  # type: ignore[override]
        """Changes when that of any part does."""
        return self._verifier()

    def _verifier(self, part: Part | None = None, own: bytes = b"") -> bytes:
        """The verifier of all, where that of `part` is `own`."""
        all = b"".join(own if p is part else p.backend.verifier for p in self._all)
        return hashlib.blake2b(all, digest_size=8).digest()

    # Life cycle

    async def start(self) -> None:
        """Start all parts. Raises ValueError that names the one which does not start."""
        started: list[Part] = []
        for part in self._all:
            try:
                await part.backend.start()
                started.append(part)
                part.root = part.attr(await part.backend.root(Context())).key
            except BaseException as exc:
                for other in reversed(started):
                    await _quietly(other)
                if isinstance(exc, (FsError, OSError, ValueError)):
                    raise ValueError(f"{part.title}: {exc}") from exc
                raise
        self.persistent = all(part.backend.persistent for part in self._all)
        self.limits = common([part.backend.limits for part in self._all])

    def describe(self) -> str:
        """What each part says."""
        return "; ".join(f"{part.title}: {part.backend.describe()}" for part in self._all)

    def set_sync(self, sync: bool) -> None:
        """See `Backend.set_sync`."""
        for part in self._all:
            part.backend.set_sync(sync)

    async def health(self) -> str | None:
        """What is wrong, with the names of the parts that it is wrong with."""
        said = await asyncio.gather(*map(_health, self._all))
        return "; ".join(filter(None, said)) or None

    def statistics(self) -> dict[tuple[str, str], int]:
        """Those of all parts together."""
        whole: Counter[tuple[str, str]] = Counter()
        for part in self._all:
            whole.update(part.backend.statistics())
        return whole

    async def fsck(self, repair: bool = False) -> list[str]:
        """Check all that can be checked. Raises NOTSUPP if none can."""
        lines: list[str] = []
        unable = 0
        for part in self._all:
            try:
                found = await part.backend.fsck(repair)
            except FsError as exc:
                if exc.status is not Status.NOTSUPP:
                    raise
                unable += 1
                continue
            lines += [f"{part.title}: {line}" for line in found]
        if unable == len(self._all):
            raise FsError(Status.NOTSUPP, "none of its parts has a consistency check")
        return lines

    async def stop(self) -> None:
        """Stop all parts, and raise the first error only then."""
        failures = [await _quietly(part) for part in reversed(self._all)]
        for failure in filter(None, failures):
            raise failure

    # Calls

    async def _call(self, name: str, ctx: Context, key: Key, *args: Any, **kwargs: Any) -> Any:
        """Any operation on one file or directory: the part's, or that of a directory above."""
        part = self._part(key)
        if part is None:
            return await self._above(name, ctx, key, *args, **kwargs)
        if name in _NAMING:
            part.check_name(args[0])
        if name in CHANGES:
            part.check_change(name, args)
        elif name == "parent" and key == part.root:
            return self._dirs[part.above].attr
        method = getattr(part.backend, name)
        return part.outer(await method(ctx, part.inner(key), *args, **kwargs))

    def _part(self, key: Key) -> Part | None:
        """The part that a file is in; None: it is a directory above them. Raises STALE."""
        index = key.generation >> OWN_BITS
        if not index:
            if key not in self._dirs:
                raise FsError(Status.STALE)
            return None
        try:
            return self._parts[index]
        except KeyError:
            raise FsError(Status.STALE, "its part is gone") from None

    async def root(self, ctx: Context) -> Attr:
        """The directory that holds the parts."""
        return self._root.attr

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """See `Backend.rename`. Raises XDEV from one part to another."""
        part = self._one(from_dir, to_dir)
        part.check_name(from_name)
        part.check_name(to_name)
        args = part.inner(from_dir), from_name, part.inner(to_dir), to_name
        renamed: Renamed = part.outer(await part.backend.rename(ctx, *args))
        return renamed

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """See `Backend.link`. Raises XDEV from one part to another."""
        part = self._one(key, dir)
        part.check_name(name)
        args = part.inner(key), part.inner(dir), name
        made: Made = part.outer(await part.backend.link(ctx, *args))
        return made

    def _one(self, one: Key, other: Key) -> Part:
        """The part that both are in, to be changed."""
        part, second = self._part(one), self._part(other)
        if part is None or second is None or second.backend.limits.read_only:
            raise FsError(Status.ROFS)
        if part is not second:
            raise FsError(Status.XDEV)
        return part

    # The directories above the parts

    async def _above(self, name: str, ctx: Context, key: Key, *args: Any, **kwargs: Any) -> Any:
        if name in CHANGES:
            raise FsError(Status.ROFS)
        return await _ABOVE[name](self, ctx, self._dirs[key], *args, **kwargs)

    async def _getattr_above(self, ctx: Context, dir: _Dir) -> Attr:
        return dir.attr

    async def _access_above(self, ctx: Context, dir: _Dir, mask: int) -> Granted:
        return Granted(mask & granted(ctx, dir.attr) & ~CHANGING, dir.attr)

    async def _parent_above(self, ctx: Context, dir: _Dir) -> Attr:
        return self._dirs[dir.above].attr

    async def _lookup_above(self, ctx: Context, dir: _Dir, name: bytes) -> Found:
        there = dir.names.get(name)
        if there is None:
            raise FsError(Status.NOENT)
        if isinstance(there, _Dir):
            return Found(there.attr, dir.attr)
        return Found(there.attr(await there.backend.root(ctx)), dir.attr)

    async def _peek_above(self, ctx: Context, dir: _Dir, name: bytes) -> int | None:
        there = dir.names.get(name)
        return None if there is None else _ino_of(there)

    async def _readdir_above(
        self, ctx: Context, dir: _Dir, cookie: int, count: int, plus: bool
    ) -> Listing:
        """Without the attributes of parts, as one that stalls must not hold the listing up."""
        listing = Listing((), False, dir.attr)

        def entries() -> Iterator[DirEntry]:
            for cookie_, name, there in Names(dir.names.items()).after(cookie):
                attr = there.attr if plus and isinstance(there, _Dir) else None
                yield DirEntry(name, _ino_of(there), cookie_, attr)
            listing.eof = True

        listing.entries = entries()
        return listing

    async def _statfs_above(self, ctx: Context, dir: _Dir) -> FsStat:
        """The sum of all parts that answer within `STATFS_SECONDS`; none is asked again while it
        has not answered."""
        if self.inline:
            return _sum([await _or_nothing(part.statfs(ctx)) for part in self._all])
        for part in self._all:
            if part.asked is None or part.asked.done():
                part.asked = asyncio.ensure_future(_or_nothing(part.statfs(ctx)))
        tasks = [part.asked for part in self._all if part.asked is not None]
        ended, _ = await asyncio.wait(tasks, timeout=STATFS_SECONDS)
        return _sum([task.result() for task in ended if not task.cancelled()])

    async def _is_dir(self, ctx: Context, dir: _Dir, *args: Any) -> NoReturn:
        raise FsError(Status.ISDIR)

    async def _is_no_link(self, ctx: Context, dir: _Dir, *args: Any) -> NoReturn:
        raise FsError(Status.INVAL)


_ABOVE: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "getattr": Demux._getattr_above,
    "access": Demux._access_above,
    "parent": Demux._parent_above,
    "lookup": Demux._lookup_above,
    "peek": Demux._peek_above,
    "readdir": Demux._readdir_above,
    "statfs": Demux._statfs_above,
    "read": Demux._is_dir,
    "readlink": Demux._is_no_link,
}


def common(all: list[Limits]) -> Limits:
    """What can be said of a file system that is made of these.

    FSINFO and PATHCONF tell of a whole file system, and clients ask once. An ability is declared
    if all that can be written to have it; a call goes to its part, which may do more. What bounds
    names and sizes is the largest there is: clients and the server would not let anybody see what
    is beyond. Each part's own bound is checked where a call enters it.
    """
    writable = [limits for limits in all if not limits.read_only]
    able = writable or all
    return Limits(
        read_only=not writable,
        links=_every(able, "links"),
        symlinks=_every(able, "symlinks"),
        special_files=_every(able, "special_files"),
        set_times=_every(able, "set_times"),
        name_max=max(limits.name_max for limits in all),
        path_max=max(limits.path_max for limits in all),
        link_max=min(limits.link_max for limits in able),
        max_file_size=max(limits.max_file_size for limits in all),
        time_delta=max(limits.time_delta for limits in able),
        case_insensitive=any(limits.case_insensitive for limits in all),
        case_preserving=_every(all, "case_preserving"),
        chown_restricted=any(limits.chown_restricted for limits in able),
    )


def _every(all: list[Limits], name: str) -> bool:
    return bool(min(getattr(limits, name) for limits in all))


def _check_names(names: list[bytes]) -> None:
    for name in names:
        for word in name.split(b"/"):
            if word in (b"", b".", b"..") or b"\0" in word or len(word) > 255:
                raise ValueError(f"demux: {name!r} is no name for a directory")
        for other in names:
            if other.startswith(name + b"/"):
                raise ValueError(f"demux: {other!r} would be within {name!r}")


def _check_storage(storage: Backend) -> None:
    at: Any = storage
    while at is not None:
        if isinstance(at, Demux):
            raise ValueError("demux: one within another has no room in handles; name paths")
        at = vars(at).get("below")


def _number(path: bytes) -> int:
    """The inode number of a directory above the parts."""
    return int.from_bytes(hashlib.blake2b(b"/" + path, digest_size=8).digest())


def _directory(key: Key, now: int) -> Attr:
    return Attr(key.ino, FileType.DIR, 0o555, 2, 0, 0, 4096, 4096, now, now, now)


def _ino_of(there: _Dir | Part) -> int:
    return there.attr.ino if isinstance(there, _Dir) else there.root.ino


async def _or_nothing(call: Coroutine[Any, Any, FsStat]) -> FsStat:
    """What a part says; one that fails has no space, and `health` says why."""
    try:
        return await call
    except (FsError, OSError):
        return FsStat()


def _sum(stats: list[FsStat]) -> FsStat:
    total = FsStat(*map(sum, zip(*map(astuple, stats), strict=True))) if stats else FsStat()
    most = {f.name: min(getattr(total, f.name), 2**64 - 1) for f in fields(total)}
    return replace(total, **{**most, "invarsec": 0})


async def _health(part: Part) -> str | None:
    said = await part.health()
    return None if said is None else f"{part.title}: {said}"


async def _quietly(part: Part) -> Exception | None:
    """Stop a part; what it raises, for later."""
    part.health.stop()
    try:
        await part.backend.stop()
    except Exception as exc:
        log.error("%s did not stop well: %s", part.title, exc)
        return exc
    return None
