"""The contract between the server and what it stores files in: subclass `Backend`.

A read-only file system implements five methods: `root`, `getattr`, `lookup`, `read`, `readdir`.
Each further method adds an ability; one that is missing is refused with the protocol's own status.

* Files are keyed by inode number and generation (`Key`), never by path. A key whose file is gone,
  or whose number was given to another file, raises ``FsError(Status.STALE)``. No file ever gets
  the key that another one had, also not after a restart.
* Names are bytes. The server has checked them already: never empty, never ``.`` or ``..``, no
  ``/`` and no NUL, at most `Limits.name_max` bytes; offsets, counts and lengths fit the limits.
* Errors are `FsError` or `OSError`; both become one nfsstat3 (RFC 1813 section 2.6).
* Every result carries attributes, so that the server never asks twice.
* A method must leave nothing half done when it raises, and none when it is cancelled: that is how
  calls end that still wait when the server stops.
* Calls run at the same time, in any order, also on one file, unless the backend is `inline` and
  does not wait, or is `blocking` with one thread. "Together" in a docstring says what must hold
  then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


class Status(IntEnum):
    """nfsstat3 without its prefix (RFC 1813 section 2.6)."""

    OK = 0
    PERM = 1
    NOENT = 2
    IO = 5
    NXIO = 6
    ACCES = 13
    EXIST = 17
    XDEV = 18
    NODEV = 19
    NOTDIR = 20
    ISDIR = 21
    INVAL = 22
    FBIG = 27
    NOSPC = 28
    ROFS = 30
    MLINK = 31
    NAMETOOLONG = 63
    NOTEMPTY = 66
    DQUOT = 69
    STALE = 70
    REMOTE = 71
    BADHANDLE = 10001
    NOT_SYNC = 10002
    BAD_COOKIE = 10003
    NOTSUPP = 10004
    TOOSMALL = 10005
    SERVERFAULT = 10006
    BADTYPE = 10007
    JUKEBOX = 10008


class FsError(Exception):
    """An operation that fails as RFC 1813 says: `status` goes to the client."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.status.name, str(self.args[1]))))


class FileType(IntEnum):
    """ftype3 (RFC 1813 section 2.5)."""

    REG = 1
    DIR = 2
    BLK = 3
    CHR = 4
    LNK = 5
    SOCK = 6
    FIFO = 7


class Stable(IntEnum):
    """stable_how: how safe written data is before the reply (RFC 1813 section 3.3.7)."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class CreateMode(IntEnum):
    """createmode3 (RFC 1813 section 3.3.8)."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


class Access(IntFlag):
    """The bits that ACCESS asks for and grants (RFC 1813 section 3.3.4)."""

    READ = 0x01
    LOOKUP = 0x02
    MODIFY = 0x04
    EXTEND = 0x08
    DELETE = 0x10
    EXECUTE = 0x20


class Key(NamedTuple):
    """What names a file for ever: its inode number (64 bits) and the generation of that number."""

    ino: int
    #: 64 bits, as `ino`. A wrap that stands for several backends has the 24 bits above.
    generation: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Who asks: after squashing, the identity that permissions are checked for.

    For an `inline` backend, one object serves all calls of one credential from one client, so it
    may compare contexts by identity. The others get one for each call, with its deadline.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    client: str = ""
    export: str = ""
    #: When the client is told to ask again later (JUKEBOX), in `time.monotonic` seconds; None:
    #: never. The call goes on, and has its effect: the client that asks again gets its result.
    deadline: float | None = None


@dataclass(slots=True)
class Attr:
    """fattr3 (RFC 1813 section 2.5) but for `fsid`, which is the export's.

    An Attr is never changed once it was handed out: the server keeps encodings of it.
    """

    ino: int
    type: FileType
    #: Permission bits, 07777.
    mode: int
    nlink: int
    uid: int
    gid: int
    #: Bytes.
    size: int
    #: Bytes of storage taken.
    used: int
    #: Nanoseconds since 1970, as are mtime and ctime.
    atime: int
    mtime: int
    ctime: int
    generation: int = 0
    #: Major and minor device number of a BLK or CHR.
    rdev: tuple[int, int] = (0, 0)
    #: The server's: its encoding of this object.
    memo: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> Key:
        """The key of the file that these are the attributes of."""
        return Key(self.ino, self.generation)


#: The methods of `Backend` that are calls: everything but its life cycle.
OPERATIONS = (
    "root", "getattr", "lookup", "read", "readdir", "peek", "parent", "access", "readlink",
    "setattr", "write", "commit", "create", "mkdir", "symlink", "mknod", "remove", "rmdir",
    "rename", "link", "statfs",
)  # fmt: skip

#: Those that change something.
CHANGES = frozenset(
    ("setattr", "write", "commit", "create", "mkdir", "symlink", "mknod", "remove", "rmdir",
     "rename", "link")
)  # fmt: skip

#: In `SetAttr.atime` and `mtime`: the server's time (a client's time is never negative).
NOW = -1


@dataclass(slots=True)
class SetAttr:
    """sattr3 (RFC 1813 section 2.5): None leaves as it is; times in nanoseconds, or `NOW`."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None


@dataclass(slots=True)
class Wcc:
    """Weak cache consistency (RFC 1813 section 2.6): a file before and after an operation."""

    before: Attr | None = None
    after: Attr | None = None


@dataclass(slots=True)
class Found:
    """What `lookup` found; `dir` are the directory's own attributes, where they are at hand."""

    attr: Attr
    dir: Attr | None = None


@dataclass(slots=True)
class Data:
    """What `read` read: at most `count` bytes; `eof` says that they reach the end of the file.

    `data` must stay as it is for as long as anybody refers to it: it is sent without a copy.
    """

    data: Buffer
    eof: bool
    attr: Attr | None = None


@dataclass(slots=True)
class Target:
    """A symbolic link's target, as bytes that the server never looks into."""

    target: bytes
    attr: Attr | None = None


@dataclass(slots=True)
class Granted:
    """The subset of the asked-for `Access` bits that the caller has."""

    access: int
    attr: Attr | None = None


@dataclass(slots=True)
class Written:
    """What `write` achieved: `count` bytes, as safe as `stable` says."""

    count: int
    stable: Stable
    wcc: Wcc
    #: The server's: the write verifier from before the write began.
    verifier: bytes | None = None


@dataclass(slots=True)
class Made:
    """A new (or, for UNCHECKED and retried EXCLUSIVE creates, old) file and its directory."""

    attr: Attr
    dir: Wcc


@dataclass(slots=True)
class Renamed:
    """Both directories of a rename."""

    from_dir: Wcc
    to_dir: Wcc


@dataclass(slots=True)
class DirEntry:
    """A name in a directory.

    `cookie` (3 to 2**63 - 1) resumes a listing behind this entry, and stays valid while other names
    come and go, and over a restart if the backend is persistent. `attr` is wanted where `readdir`
    was called with `plus`; None leaves it out.
    """

    name: bytes
    ino: int
    cookie: int
    attr: Attr | None = None


@dataclass(slots=True)
class Listing:
    """Entries behind a cookie, without ``.`` and ``..``, which the server adds.

    `entries` may be lazy: the server stops taking when its reply is full. `eof` says that nothing
    follows the last of `entries`; it is read after they are exhausted.
    """

    entries: Iterable[DirEntry]
    eof: bool
    attr: Attr | None = None


@dataclass(slots=True)
class FsStat:
    """FSSTAT (RFC 1813 section 3.3.18): bytes and files; `a*` is what the caller may use."""

    tbytes: int = 0
    fbytes: int = 0
    abytes: int = 0
    tfiles: int = 0
    ffiles: int = 0
    afiles: int = 0
    #: Seconds for which the file system is not expected to change.
    invarsec: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a backend can do, declared: FSINFO and PATHCONF (RFC 1813 sections 3.3.19, 3.3.20)."""

    read_only: bool = False
    links: bool = False
    symlinks: bool = False
    #: Fifos, sockets and device nodes.
    special_files: bool = False
    #: SETATTR can set times.
    set_times: bool = False
    name_max: int = 255
    path_max: int = 1023
    link_max: int = 1
    max_file_size: int = 2**63 - 1
    #: Granularity of times, in nanoseconds.
    time_delta: int = 1
    case_insensitive: bool = False
    case_preserving: bool = True
    #: Only root may give a file away.
    chown_restricted: bool = True


class Backend:
    """A file system. Every method is called on the event loop; see each for what it owes.

    `ctx` is who asks, `key` a file, `dir` a directory. Any method may raise `FsError` or OSError;
    what each adds is in its docstring. A key that is no longer valid raises STALE everywhere.
    Anything else that a method raises, and a result of another type, is logged with the backend's
    name and answered SERVERFAULT.
    """

    #: True promises that no method needs the current task (`asyncio.timeout`, task groups), that
    #: none waits long, and that `write` copies its data before it awaits. Such calls cost no Task
    #: and no copy.
    inline: bool = False

    #: True says that the methods, `async def` though they are, never await, but call what blocks.
    #: Each call then runs in a thread of the backend's own (`start`, `stop`, `health` and `fsck`
    #: too), with its lazy entries, and the event loop goes on meanwhile. Such a thread acts as the
    #: process; code on the loop may find itself acting as a caller of a posix export.
    blocking: bool = False

    #: How many threads a blocking backend has. With one, its calls run one after the other.
    threads: int = 8

    #: Seconds after which a client is told to ask again later, while the call goes on.
    patience: float = 10.0

    #: Whether files, and the keys that name them, survive the end of the process. Replies given
    #: before a restart hold after it only then.
    persistent: bool = True

    #: Whether several processes may have the same storage open at once, each by a backend that was
    #: made with the same arguments and told so by `share`: the keys and cookies of one are those of
    #: all, what one has answered the others see, and nothing that one remembers is made wrong by
    #: what another does. Final once `start` has returned.
    shareable: bool = False

    #: Final once `start` has returned.
    limits: Limits = Limits(read_only=True)

    def __init__(self) -> None:
        #: Changes whenever unstable data may have been lost (RFC 1813 section 3.3.7): 8 bytes.
        self.verifier = os.urandom(8)

    # Life cycle

    async def start(self) -> None:
        """Called once, before the first call.

        May raise OSError or ValueError, whose text is all that the administrator sees: the server
        will not start. `stop` is not called then.
        """

    def describe(self) -> str:
        """After `start`: in a few words, for the administrator, how it stores and as whom."""
        return type(self).__name__

    def set_sync(self, sync: bool) -> None:
        """Whether stable writes must be safe before they are answered: ``sync`` or ``async`` of
        exports(5). Called before `start`, and again when it changes. By default they always are.
        """

    def share(self) -> None:
        """Called before `start` where several processes will have the storage open: see
        `shareable`. They start one before all others."""

    async def health(self) -> str | None:
        """What is wrong with the storage, in a few words for the administrator; None: nothing.

        Asked now and then, beside calls. Raising OSError says the same.
        """
        return None

    def statistics(self) -> dict[tuple[str, str], int]:
        """What its caches have counted since they were made: by a cache's name and "hits" or
        "misses". It may leave out what would cost it something to count.

        Asked now and then on the event loop, also of a blocking backend: it reads counters only.
        """
        return {}

    async def fsck(self, repair: bool = False) -> list[str]:
        """Look for inconsistencies, a line each; with `repair`, put them right.

        Between `start` and `stop`, with no call in progress. Raises NOTSUPP where there is no such
        check.
        """
        raise FsError(Status.NOTSUPP, "it has no consistency check")

    async def stop(self) -> None:
        """Called once, after the last call has been answered: flush, close."""

    # A read-only file system

    async def root(self, ctx: Context) -> Attr:
        """The attributes of the root directory; its key never changes."""
        raise NotImplementedError

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """The attributes of a file. No permission is needed."""
        raise NotImplementedError

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """The file called `name` in `dir`. Raises NOENT, NOTDIR, ACCES."""
        raise NotImplementedError

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """Up to `count` bytes from `offset`; beyond the end, none and `eof`.

        Raises ISDIR or INVAL for what is no regular file, ACCES. The file's owner may always read,
        whatever the mode says, since NFS has no open (RFC 1813 section 4.4). Together with writes:
        each byte is from before or after each of them.
        """
        raise NotImplementedError

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """Entries behind `cookie` (0: from the start), about `count` bytes of names at most.

        At least one entry, unless the directory ends. Raises NOTDIR, ACCES, BAD_COOKIE. Together
        with changes: a name that is there all the while is listed once; one that comes or goes, at
        most once.
        """
        raise NotImplementedError

    # What a richer one adds; the defaults refuse or derive

    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        """The inode number behind `name`, None if there is none; raises what `lookup` raises else.

        Asked before each change of a name, so that the server can find out after a crash whether
        the change took place. Worth its own implementation where `lookup` is dear.
        """
        try:
            return (await self.lookup(ctx, dir, name)).attr.ino
        except FileNotFoundError:
            return None
        except FsError as exc:
            if exc.status is not Status.NOENT:
                raise
            return None

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """The directory above `dir`; the root's is the root."""
        raise FsError(Status.NOTSUPP)

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """Which of the `Access` bits in `mask` the caller has; by default, the mode bits decide."""
        attr = await self.getattr(ctx, key)
        return Granted(mask & granted(ctx, attr), attr)

    async def readlink(self, ctx: Context, key: Key) -> Target:
        """The target of a symbolic link. Raises INVAL for anything else."""
        raise FsError(Status.NOTSUPP)

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        """Set what `attr` names, all or nothing.

        With `guard` (a ctime in nanoseconds) that is not the file's: NOT_SYNC, and nothing is set.
        Raises PERM or ACCES, and for a size ISDIR, INVAL, FBIG, NOSPC. A symbolic link's mode need
        not be settable: NOTSUPP. Together: of several with one guard, one succeeds at most.
        """
        raise FsError(Status.NOTSUPP)

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        """Write `data` at `offset`, at least as safely as `stable` asks.

        Raises FBIG, NOSPC, DQUOT, ACCES, INVAL for what is no regular file. The owner may always
        write. UNSTABLE data may be lost in a crash; then, `verifier` is another afterwards.
        Together: writes of other ranges do not touch each other; where ranges overlap, each byte is
        one of theirs.
        """
        raise FsError(Status.NOTSUPP)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        """Make what was written there safe (count 0: to the end): all that had been answered when
        this was called.

        On an error that may have lost data, `verifier` must change before it is raised.
        """
        raise FsError(Status.NOTSUPP)

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: CreateMode, attr: SetAttr, verifier: bytes
    ) -> Made:
        """Make a regular file (RFC 1813 section 3.3.8).

        UNCHECKED takes an existing regular file and sets only its size, if that is given; GUARDED
        raises EXIST; EXCLUSIVE keeps the 8 bytes of `verifier` with the file until its first
        SETATTR, `attr` is empty: the same call again gives the same file, another verifier raises
        EXIST. A name of anything but a regular file always raises EXIST. Together (and so for
        `mkdir`, `symlink`, `mknod` and `link`): of several that make one name, one makes it.
        """
        raise FsError(Status.NOTSUPP)

    async def mkdir(self, ctx: Context, dir: Key, name: bytes, attr: SetAttr) -> Made:
        """Make a directory. Raises EXIST."""
        raise FsError(Status.NOTSUPP)

    async def symlink(
        self, ctx: Context, dir: Key, name: bytes, target: bytes, attr: SetAttr
    ) -> Made:
        """Make a symbolic link. Raises EXIST."""
        raise FsError(Status.NOTSUPP)

    async def mknod(
        self,
        ctx: Context,
        dir: Key,
        name: bytes,
        type: FileType,
        rdev: tuple[int, int],
        attr: SetAttr,
    ) -> Made:
        """Make a BLK, CHR, SOCK or FIFO; `rdev` is (0, 0) for the last two. Raises EXIST, PERM."""
        raise FsError(Status.NOTSUPP)

    async def remove(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove a name that is no directory's. Raises NOENT, ISDIR, ACCES, PERM (sticky bit).

        Together (and so for `rmdir`): one of several succeeds, the others raise NOENT.
        """
        raise FsError(Status.NOTSUPP)

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        """Remove an empty directory. Raises NOENT, NOTDIR, NOTEMPTY, ACCES, PERM."""
        raise FsError(Status.NOTSUPP)

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> Renamed:
        """Rename as rename(2) does, atomically: an existing target of the same kind is replaced.

        Raises NOENT, EXIST or ISDIR or NOTDIR for a target of the other kind, NOTEMPTY, and INVAL
        for a directory into itself. Keys of renamed files stay valid. Together: a target that is
        replaced is there all the while, and no two renames make a loop.
        """
        raise FsError(Status.NOTSUPP)

    async def link(self, ctx: Context, key: Key, dir: Key, name: bytes) -> Made:
        """Another name for a file that is no directory. Raises EXIST, MLINK, ISDIR."""
        raise FsError(Status.NOTSUPP)

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """Space and files, total, free and free to the caller."""
        return FsStat()


def granted(ctx: Context, attr: Attr) -> Access:
    """The `Access` bits that mode bits alone give to `ctx`; uid 0 passes all but EXECUTE."""
    if ctx.uid == 0:
        bits = 7 if attr.type is FileType.DIR or attr.mode & 0o111 else 6
    elif ctx.uid == attr.uid:
        bits = attr.mode >> 6 & 7
    elif ctx.gid == attr.gid or attr.gid in ctx.groups:
        bits = attr.mode >> 3 & 7
    else:
        bits = attr.mode & 7
    return (_DIR_ACCESS if attr.type is FileType.DIR else _FILE_ACCESS)[bits]


def _access_table(read: Access, write: Access, execute: Access) -> tuple[Access, ...]:
    return tuple(
        (read if bits & 4 else Access(0))
        | (write if bits & 2 else Access(0))
        | (execute if bits & 1 else Access(0))
        for bits in range(8)
    )


_FILE_ACCESS = _access_table(Access.READ, Access.MODIFY | Access.EXTEND, Access.EXECUTE)
_DIR_ACCESS = _access_table(
    Access.READ, Access.MODIFY | Access.EXTEND | Access.DELETE, Access.LOOKUP
)
