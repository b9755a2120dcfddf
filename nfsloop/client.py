"""A small NFSv3 client for tests: files by their paths, over the wire, without root or mount.

    with Client(server.port) as client:
        client.write_file("/dir/name", b"data")
        assert client.listdir("/dir") == ["name"]

It is synchronous, for a server that runs elsewhere: in another thread or process. It caches
nothing: each path is looked up name by name, and symbolic links are not followed. Paths are text
(os.fsencode makes names of it) or bytes. Errors are OSError with the errno that the status stands
for; JUKEBOX is asked again until `timeout` is over, as clients do.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat as st
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, overload

from backends.base import Status
from nfsloop.attr import SECOND
from nfsloop.limits import READDIR_BYTES, TRANSFER_BYTES
from nfsloop.mount3.mount3_xdr import MNT3_OK, MOUNT_V3_Client
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.client import RpcClient, connect
from oncrpc.message import AUTH_SYS, Credential

T = TypeVar("T")
Name: TypeAlias = str | bytes

#: JUKEBOX is asked again after so many seconds; the Linux client waits 5.
JUKEBOX_SECONDS = 0.05

#: What a status is called among errnos; the others have the errno of their own number.
_ERRNO = {
    Status.NAMETOOLONG: errno.ENAMETOOLONG,
    Status.NOTEMPTY: errno.ENOTEMPTY,
    Status.DQUOT: errno.EDQUOT,
    Status.STALE: errno.ESTALE,
    Status.REMOTE: errno.EREMOTE,
    Status.BADHANDLE: errno.ESTALE,
    Status.NOT_SYNC: errno.EAGAIN,
    Status.BAD_COOKIE: errno.EINVAL,
    Status.NOTSUPP: errno.EOPNOTSUPP,
    Status.TOOSMALL: errno.EINVAL,
    Status.SERVERFAULT: errno.EREMOTEIO,
    Status.BADTYPE: errno.EINVAL,
    Status.JUKEBOX: errno.EAGAIN,
}

_TYPES = {
    x.NF3REG: st.S_IFREG,
    x.NF3DIR: st.S_IFDIR,
    x.NF3BLK: st.S_IFBLK,
    x.NF3CHR: st.S_IFCHR,
    x.NF3LNK: st.S_IFLNK,
    x.NF3SOCK: st.S_IFSOCK,
    x.NF3FIFO: st.S_IFIFO,
}

_KEEP = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)


class Client:
    """A mount of the export at `path`, as user `uid`; a context manager, or `close` it.

    `timeout` bounds each operation, in seconds: TimeoutError. Not for use within a running event
    loop of the same thread. Raises OSError where it cannot connect or mount.
    """

    def __init__(
        self,
        port: int,
        path: str = "/",
        host: str = "127.0.0.1",
        uid: int = 0,
        gid: int = 0,
        groups: Sequence[int] = (),
        timeout: float = 10.0,
    ) -> None:
        self.timeout = timeout
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        credential = Credential(AUTH_SYS, uid, gid, tuple(groups), b"nfsloop")
        self._rpc: RpcClient | None = None
        self._closed = False
        try:
            self._rpc = self._run(connect("tcp", host, port, credential))
            self._nfs = x.NFS_V3_Client(self._rpc)
            mounted = self._run(MOUNT_V3_Client(self._rpc).MNT(os.fsencode(path)))
            if mounted.fhs_status != MNT3_OK:
                raise _error(mounted.fhs_status, path)
        except BaseException:
            self.close()
            raise
        #: The handle of what is mounted.
        self.root: bytes = mounted.mountinfo.fhandle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; again is harmless."""
        if self._rpc is not None:
            self._rpc.close()
            self._rpc = None
        self._closed = True
        self._runner.close()

    def _run(self, waits: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(self.timeout):
                return await waits

        if self._closed:
            waits.close()
            raise RuntimeError("the client is closed")
        return self._runner.run(bounded())

    def call(self, name: str, args: Any) -> Any:
        """The ``resok`` of one procedure, by its name and typed arguments.

        Raises OSError for another status; RpcError where there is no answer.
        """
        until = time.monotonic() + self.timeout
        while True:
            result = self._run(getattr(self._nfs, name)(args))
            if result.status == x.NFS3_OK:
                return result.resok
            if result.status != x.NFS3ERR_JUKEBOX or time.monotonic() > until:
                raise _error(result.status, name)
            time.sleep(JUKEBOX_SECONDS)

    # Paths

    def handle(self, path: Name) -> bytes:
        """The file handle of what is at `path`."""
        return self._walk(_names(path))

    def _walk(self, names: Sequence[bytes]) -> bytes:
        handle = self.root
        for name in names:
            handle = self.call("LOOKUP", x.LOOKUP3args(x.diropargs3(handle, name))).object
        return handle

    def _at(self, path: Name) -> x.diropargs3:
        """The directory and the name that `path` ends with."""
        names = _names(path)
        if not names:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        return x.diropargs3(self._walk(names[:-1]), names[-1])

    # Reading

    def stat(self, path: Name = "/") -> os.stat_result:
        """Attributes; times are exact in ``st_mtime_ns`` and its like."""
        args = x.GETATTR3args(self.handle(path))
        return _stat_result(self.call("GETATTR", args).obj_attributes)

    def exists(self, path: Name) -> bool:
        """Whether there is something at `path`."""
        try:
            self.handle(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def access(self, path: Name, bits: int) -> int:
        """Which of the `backends.base.Access` bits the server grants."""
        granted: int = self.call("ACCESS", x.ACCESS3args(self.handle(path), bits)).access
        return granted

    @overload
    def listdir(self, path: bytes) -> list[bytes]: ...
    @overload
    def listdir(self, path: str = "/") -> list[str]: ...

    def listdir(self, path: Any = "/") -> Any:
        """The names in a directory, in the server's order, of the type of `path`."""
        names = [name for name, _ in self._entries(path, self._readdir)]
        return names if isinstance(path, bytes) else [os.fsdecode(name) for name in names]

    def scandir(self, path: Name = "/") -> dict[bytes, os.stat_result | None]:
        """Names and attributes, by READDIRPLUS; None where the server left them out."""
        return {
            name: entry.name_attributes and _stat_result(entry.name_attributes)
            for name, entry in self._entries(path, self._readdirplus)
        }

    def _entries(
        self, path: Name, page: Callable[[bytes, int, bytes], Any]
    ) -> Iterator[tuple[bytes, Any]]:
        handle, cookie, verifier = self.handle(path), 0, bytes(8)
        while True:
            got = page(handle, cookie, verifier)
            for entry in got.reply.entries:
                cookie = entry.cookie
                if bytes(entry.name) not in (b".", b".."):
                    yield bytes(entry.name), entry
            if got.reply.eof:
                return
            if not got.reply.entries:
                raise OSError(errno.EIO, "a listing without an entry, and without an end")
            verifier = got.cookieverf

    def _readdir(self, handle: bytes, cookie: int, verifier: bytes) -> Any:
        return self.call("READDIR", x.READDIR3args(handle, cookie, verifier, READDIR_BYTES))

    def _readdirplus(self, handle: bytes, cookie: int, verifier: bytes) -> Any:
        args = x.READDIRPLUS3args(handle, cookie, verifier, READDIR_BYTES, READDIR_BYTES)
        return self.call("READDIRPLUS", args)

    def read(self, path: Name, offset: int = 0, count: int = TRANSFER_BYTES) -> bytes:
        """What one READ gives: at most `count` bytes."""
        return bytes(self.call("READ", x.READ3args(self.handle(path), offset, count)).data)

    def read_file(self, path: Name) -> bytes:
        """All of a file."""
        handle, data = self.handle(path), bytearray()
        while True:
            got = self.call("READ", x.READ3args(handle, len(data), TRANSFER_BYTES))
            data += got.data
            if got.eof:
                return bytes(data)
            if not got.data:
                raise OSError(errno.EIO, "a read without data, and without an end", path)

    def readlink(self, path: Name) -> bytes:
        """The target of a symbolic link."""
        return bytes(self.call("READLINK", x.READLINK3args(self.handle(path))).data)

    def statfs(self, path: Name = "/") -> x.FSSTAT3resok:
        """Space and files: ``tbytes``, ``fbytes`` …"""
        found: x.FSSTAT3resok = self.call("FSSTAT", x.FSSTAT3args(self.handle(path)))
        return found

    # Changing

    def write(
        self, path: Name, offset: int, data: bytes, stable: x.stable_how = x.FILE_SYNC
    ) -> None:
        """Write all of `data` into an existing file."""
        self._write(self.handle(path), offset, data, stable)

    def write_file(self, path: Name, data: bytes, mode: int = 0o644) -> None:
        """Make a file, or replace what is in it; committed when this returns.

        Where the server loses data that it had not committed, all are written again.
        """
        how = x.createhow3(x.UNCHECKED, _sattr(mode=mode, size=0))
        args = x.CREATE3args(self._at(path), how)
        handle = self.call("CREATE", args).obj or self.handle(path)
        until = time.monotonic() + self.timeout
        while True:
            verifiers = self._write(handle, 0, data, x.UNSTABLE)
            commit = self.call("COMMIT", x.COMMIT3args(handle, 0, 0))
            if verifiers <= {bytes(commit.verf)}:
                return
            if time.monotonic() > until:
                raise OSError(errno.EIO, "the server loses what is written to it", path)

    def _write(self, handle: bytes, offset: int, data: bytes, stable: x.stable_how) -> set[bytes]:
        """Write; the verifiers of the replies."""
        verifiers, at = set(), 0
        while at < len(data):
            piece = data[at : at + TRANSFER_BYTES]
            args = x.WRITE3args(handle, offset + at, len(piece), stable, piece)
            done = self.call("WRITE", args)
            if not done.count:
                raise OSError(errno.EIO, "a write that writes nothing")
            verifiers.add(bytes(done.verf))
            at += done.count
        return verifiers

    def mkdir(self, path: Name, mode: int = 0o755) -> None:
        """Make a directory."""
        self.call("MKDIR", x.MKDIR3args(self._at(path), _sattr(mode=mode)))

    def symlink(self, target: Name, path: Name) -> None:
        """Make a symbolic link at `path`."""
        data = x.symlinkdata3(_sattr(mode=0o777), os.fsencode(target))
        self.call("SYMLINK", x.SYMLINK3args(self._at(path), data))

    def link(self, path: Name, new: Name) -> None:
        """Make `new` another name of the file at `path`."""
        self.call("LINK", x.LINK3args(self.handle(path), self._at(new)))

    def remove(self, path: Name) -> None:
        """Remove a name that is no directory's."""
        self.call("REMOVE", x.REMOVE3args(self._at(path)))

    def rmdir(self, path: Name) -> None:
        """Remove an empty directory."""
        self.call("RMDIR", x.RMDIR3args(self._at(path)))

    def rename(self, old: Name, new: Name) -> None:
        """Rename; what is at `new` is replaced."""
        self.call("RENAME", x.RENAME3args(self._at(old), self._at(new)))

    def chmod(self, path: Name, mode: int) -> None:
        """Set the permission bits."""
        self._setattr(path, _sattr(mode=mode))

    def chown(self, path: Name, uid: int | None = None, gid: int | None = None) -> None:
        """Set owner and group; None leaves either."""
        self._setattr(path, _sattr(uid=uid, gid=gid))

    def truncate(self, path: Name, size: int) -> None:
        """Set the size, in bytes."""
        self._setattr(path, _sattr(size=size))

    def utime(self, path: Name, atime: int, mtime: int) -> None:
        """Set the times, in nanoseconds since 1970."""
        times = (x.nfstime3(*divmod(when, SECOND)) for when in (atime, mtime))
        made = (x.SET_TO_CLIENT_TIME, next(times)), (x.SET_TO_CLIENT_TIME, next(times))
        both = x.set_atime(*made[0]), x.set_mtime(*made[1])
        self._setattr(path, x.sattr3(None, None, None, None, *both))

    def _setattr(self, path: Name, attr: x.sattr3) -> None:
        self.call("SETATTR", x.SETATTR3args(self.handle(path), attr, None))


def _names(path: Name) -> list[bytes]:
    return [name for name in os.fsencode(path).split(b"/") if name]


def _sattr(
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    size: int | None = None,
) -> x.sattr3:
    return x.sattr3(mode, uid, gid, size, *_KEEP)


def _error(status: int, what: str) -> OSError:
    """OSError gives the class that its errno has, such as FileNotFoundError."""
    known = Status(status)
    number = _ERRNO.get(known, int(known))
    return OSError(number, f"{os.strerror(number)} (NFS3ERR_{known.name})", what)


def _stat_result(attr: Any) -> os.stat_result:
    """An os.stat_result with whole nanoseconds. A fattr3 of the client is always typed."""
    times = [attr.atime, attr.mtime, attr.ctime]
    seconds = [when.seconds for when in times]
    whole = [when.seconds * SECOND + when.nseconds for when in times]
    head = (_TYPES[attr.type] | attr.mode, attr.fileid, attr.fsid, attr.nlink, attr.uid, attr.gid)
    exact = zip(("st_atime", "st_mtime", "st_ctime"), whole, strict=True)
    more = {key: value for name, ns in exact for key, value in
            ((name, ns / SECOND), (f"{name}_ns", ns))}  # fmt: skip
    more |= {"st_blocks": -(-attr.used // 512), "st_blksize": TRANSFER_BYTES}
    return os.stat_result((*head, attr.size, *seconds), more)
