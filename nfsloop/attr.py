"""Attributes between the backend's `Attr` and the wire, once for all replies."""

from __future__ import annotations

import struct

from backends.base import NOW, Attr, FsError, SetAttr, Status, Wcc
from nfsloop.nfs3.nfs3_xdr import (
    SET_TO_CLIENT_TIME,
    SET_TO_SERVER_TIME,
    nfstime3,
    sattr3,
    set_atime,
    set_mtime,
    wcc_data,
)
from nfsloop.options import NO_ID

SECOND = 1_000_000_000
_MAX32 = 0xFFFFFFFF

_fattr3 = struct.Struct(">5IQQ2IQQ6I").pack
_wcc_attr = struct.Struct(">Q4I").pack

#: Where a fattr3 has the size, and mtime and ctime: together they are its wcc_attr.
_SIZE, _TIMES = slice(20, 28), slice(68, 84)


def time_words(when: int) -> tuple[int, int]:
    """Nanoseconds since 1970 as nfstime3's two words; what they cannot hold is clamped.

    NFSv3's seconds are unsigned 32 bits: 1970 to 2106.
    """
    seconds, nanoseconds = divmod(when, SECOND)
    if 0 <= seconds <= _MAX32:
        return seconds, nanoseconds
    return (0, 0) if seconds < 0 else (_MAX32, SECOND - 1)


def fattr3(attr: Attr, fsid: int) -> bytes:
    """The encoded fattr3 (RFC 1813 section 2.5); kept with `attr`, which never changes."""
    return attr.memo or _encode(attr, fsid)


def _encode(attr: Attr, fsid: int) -> bytes:
    atime, a_nsec = divmod(attr.atime, SECOND)
    mtime, m_nsec = divmod(attr.mtime, SECOND)
    ctime, c_nsec = divmod(attr.ctime, SECOND)
    uid, gid, size, used = attr.uid, attr.gid, attr.size, attr.used
    major, minor = attr.rdev
    try:
        memo = _fattr3(
            attr.type, attr.mode, attr.nlink, uid, gid, size, used, major, minor, fsid, attr.ino,
            atime, a_nsec, mtime, m_nsec, ctime, c_nsec,
        )  # fmt: skip
    except struct.error:  # something is beyond what its field holds
        times = (*time_words(attr.atime), *time_words(attr.mtime), *time_words(attr.ctime))
        memo = _fattr3(
            attr.type, attr.mode, min(attr.nlink, _MAX32), uid & _MAX32, gid & _MAX32, size, used,
            major, minor, fsid, attr.ino, *times,
        )  # fmt: skip
    attr.memo = memo
    return memo


def wcc_attr(attr: Attr) -> bytes:
    """The encoded wcc_attr (RFC 1813 section 2.6)."""
    return _wcc_attr(attr.size, *time_words(attr.mtime), *time_words(attr.ctime))


def wcc_of(wcc: Wcc, fsid: int) -> wcc_data:
    """Both attributes of a changed file, as far as the backend gave them."""
    before, after = wcc.before, wcc.after
    pre = post = None
    if before is not None:
        memo = before.memo
        pre = memo[_SIZE] + memo[_TIMES] if memo is not None else wcc_attr(before)
    if after is not None:
        post = after.memo or _encode(after, fsid)
    return wcc_data(pre, post)


def nanoseconds(time: nfstime3) -> int:
    """An nfstime3 in nanoseconds. Raises INVAL if its nanoseconds make a second."""
    if time.nseconds >= SECOND:
        raise FsError(Status.INVAL, "nanoseconds of a second and more")
    return time.seconds * SECOND + time.nseconds


def set_attr(sattr: sattr3) -> SetAttr:
    """What a sattr3 asks for. Raises INVAL for a time that is none, and for the id that is none:
    chown(2) would take it for "leave as it is"."""
    if NO_ID in (sattr.uid, sattr.gid):
        raise FsError(Status.INVAL, "no such id")
    return SetAttr(
        None if sattr.mode is None else sattr.mode & 0o7777,
        sattr.uid,
        sattr.gid,
        sattr.size,
        _set_time(sattr.atime),
        _set_time(sattr.mtime),
    )


def _set_time(how: set_atime | set_mtime) -> int | None:
    if how.set_it == SET_TO_CLIENT_TIME:
        assert how.value is not None
        return nanoseconds(how.value)
    return NOW if how.set_it == SET_TO_SERVER_TIME else None
