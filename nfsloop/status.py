"""One table from what a backend raises to nfsstat3 (RFC 1813 section 2.6)."""

from __future__ import annotations

import errno

from backends.base import FsError, Status

#: errno -> nfsstat3; an errno that is not here is IO.
BY_ERRNO: dict[int, Status] = {
    errno.EPERM: Status.PERM,
    errno.ENOENT: Status.NOENT,
    errno.EIO: Status.IO,
    errno.ENXIO: Status.NXIO,
    errno.EACCES: Status.ACCES,
    errno.EEXIST: Status.EXIST,
    errno.EXDEV: Status.XDEV,
    errno.ENODEV: Status.NODEV,
    errno.ENOTDIR: Status.NOTDIR,
    errno.EISDIR: Status.ISDIR,
    errno.EINVAL: Status.INVAL,
    errno.EFBIG: Status.FBIG,
    errno.EOVERFLOW: Status.FBIG,
    errno.ENOSPC: Status.NOSPC,
    errno.EROFS: Status.ROFS,
    errno.EMLINK: Status.MLINK,
    errno.ENAMETOOLONG: Status.NAMETOOLONG,
    errno.ENOTEMPTY: Status.NOTEMPTY,
    errno.EDQUOT: Status.DQUOT,
    errno.ESTALE: Status.STALE,
    # A path that only a local change can make: the name is a symbolic link now.
    errno.ELOOP: Status.INVAL,
    errno.EOPNOTSUPP: Status.NOTSUPP,
    errno.ENOSYS: Status.NOTSUPP,
    errno.EAGAIN: Status.JUKEBOX,
    errno.EBUSY: Status.JUKEBOX,
    errno.ETXTBSY: Status.ACCES,
    # Out of descriptors or memory: the client asks again, by then there may be some.
    errno.EMFILE: Status.JUKEBOX,
    errno.ENFILE: Status.JUKEBOX,
    errno.ENOMEM: Status.JUKEBOX,
}

#: For an OSError that was raised by class alone, without an errno.
BY_CLASS: tuple[tuple[type[OSError], Status], ...] = (
    (FileNotFoundError, Status.NOENT),
    (FileExistsError, Status.EXIST),
    (NotADirectoryError, Status.NOTDIR),
    (IsADirectoryError, Status.ISDIR),
    (PermissionError, Status.ACCES),
    (TimeoutError, Status.JUKEBOX),
)


def status_of(exc: Exception) -> Status | None:
    """The status that `exc` stands for; None if it stands for a fault of the server's."""
    if isinstance(exc, FsError):
        return exc.status
    if not isinstance(exc, OSError):
        return None
    if exc.errno is None:
        return next((status for kind, status in BY_CLASS if isinstance(exc, kind)), Status.IO)
    return BY_ERRNO.get(exc.errno, Status.IO)
