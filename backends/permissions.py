"""Who may do what, decided from mode bits as POSIX and Linux do; shared by backends that own files.

Pure functions over a `Context` and whatever has ``mode``, ``uid`` and ``gid`` (an `Attr` has). The
`check_*` functions return None or raise `FsError` with the status that RFC 1813 section 2.6 gives:
ACCES where permission bits decide, PERM where only the owner or root may. uid 0 passes them all.

Two rules are NFS's own, as it has no open (RFC 1813 section 4.4): a file's owner may always read
and write its data, and execute permission is enough to read, since that is how programs are loaded.
"""

from __future__ import annotations

import stat
from typing import Protocol

from backends.base import NOW, Context, FileType, FsError, SetAttr, Status

READ, WRITE, SEARCH = 4, 2, 1


class Owned(Protocol):
    """What permissions are decided from."""

    @property
    def mode(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...


def in_group(ctx: Context, gid: int) -> bool:
    """Whether the caller is a member of `gid`."""
    return ctx.gid == gid or gid in ctx.groups


def is_owner(ctx: Context, file: Owned) -> bool:
    """Whether the caller may do what only the owner and root may."""
    return ctx.uid in (0, file.uid)


def mode_bits(ctx: Context, file: Owned) -> int:
    """The three bits (`READ` | `WRITE` | `SEARCH`) that the caller has; only one class counts."""
    if ctx.uid == 0:
        return 7
    if ctx.uid == file.uid:
        return file.mode >> 6 & 7
    if in_group(ctx, file.gid):
        return file.mode >> 3 & 7
    return file.mode & 7


def check(ctx: Context, file: Owned, want: int) -> None:
    """All bits of `want`. Raises ACCES."""
    if want & ~mode_bits(ctx, file):
        raise FsError(Status.ACCES)


def check_search(ctx: Context, dir: Owned) -> None:
    """Use names in `dir`. Raises ACCES."""
    if ctx.uid != 0 and not mode_bits(ctx, dir) & SEARCH:
        raise FsError(Status.ACCES)


def check_list(ctx: Context, dir: Owned) -> None:
    """List `dir`. Raises ACCES."""
    check(ctx, dir, READ)


def check_change(ctx: Context, dir: Owned) -> None:
    """Add and remove names in `dir`. Raises ACCES."""
    check(ctx, dir, WRITE | SEARCH)


def check_delete(ctx: Context, dir: Owned, victim: Owned) -> None:
    """Take the name of `victim` out of `dir`. Raises ACCES; PERM for the sticky bit, as Linux."""
    check_change(ctx, dir)
    if dir.mode & stat.S_ISVTX and ctx.uid not in (0, victim.uid, dir.uid):
        raise FsError(Status.PERM, "sticky directory")


def check_read(ctx: Context, file: Owned) -> None:
    """Read a file's data. Raises ACCES."""
    if ctx.uid != file.uid and not mode_bits(ctx, file) & (READ | SEARCH):
        raise FsError(Status.ACCES)


def check_write(ctx: Context, file: Owned) -> None:
    """Write or truncate a file's data. Raises ACCES."""
    if ctx.uid != file.uid and not mode_bits(ctx, file) & WRITE:
        raise FsError(Status.ACCES)


def check_setattr(ctx: Context, file: Owned, attr: SetAttr) -> None:
    """Set what `attr` names on an existing file. Raises PERM, ACCES."""
    owner = is_owner(ctx, file)
    if attr.mode is not None and not owner:
        raise FsError(Status.PERM, "chmod by another than the owner")
    if ctx.uid != 0:
        # Naming the present owner or group changes nothing, but still only the owner may.
        if attr.uid is not None and not (owner and attr.uid == file.uid):
            raise FsError(Status.PERM, "chown")
        if attr.gid is not None and not (
            owner and (attr.gid == file.gid or in_group(ctx, attr.gid))
        ):
            raise FsError(Status.PERM, "chgrp")
    if attr.size is not None:
        check_write(ctx, file)
    times = {attr.atime, attr.mtime} - {None}
    if times and not owner:
        if times != {NOW}:
            raise FsError(Status.PERM, "times set by another than the owner")
        check_write(ctx, file)


def without_suid(mode: int) -> int:
    """`mode` after a chown, or after a write by someone else: no longer set-uid or set-gid.

    Set-gid without group execute is no privilege (it once meant mandatory locking) and stays.
    """
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


def mode_after_write(ctx: Context, mode: int) -> int:
    """A regular file's mode after `ctx` wrote or truncated it: as Linux, only root keeps suid."""
    return mode if ctx.uid == 0 or not mode & 0o6000 else without_suid(mode)


def mode_after_setattr(ctx: Context, file: Owned, type: FileType, attr: SetAttr) -> int:
    """The mode that an allowed `attr` leaves.

    A chmod by someone outside the file's (new) group drops set-gid; a chown or chgrp without a
    chmod drops both bits of what is no directory; so does a truncation by another than root.
    """
    mode = file.mode
    if attr.mode is not None:
        mode = attr.mode & 0o7777
        if ctx.uid != 0 and not in_group(ctx, file.gid if attr.gid is None else attr.gid):
            mode &= ~stat.S_ISGID
    elif type is not FileType.DIR:
        if attr.uid is not None or attr.gid is not None:
            mode = without_suid(mode)
        elif attr.size is not None:
            mode = mode_after_write(ctx, mode)
    return mode


def new_owner(ctx: Context, dir: Owned, attr: SetAttr) -> tuple[int, int]:
    """uid and gid of a file that `ctx` makes in `dir`. Raises PERM for those `attr` may not give.

    The group is the caller's, or the directory's where that has the set-gid bit.
    """
    uid, gid = ctx.uid, dir.gid if dir.mode & stat.S_ISGID else ctx.gid
    if attr.uid is not None and attr.uid != uid:
        if ctx.uid != 0:
            raise FsError(Status.PERM, "made for another owner")
        uid = attr.uid
    if attr.gid is not None and attr.gid != gid:
        if ctx.uid != 0 and not in_group(ctx, attr.gid):
            raise FsError(Status.PERM, "made for another group")
        gid = attr.gid
    return uid, gid


def new_mode(ctx: Context, dir: Owned, type: FileType, mode: int, gid: int) -> int:
    """The mode of a file of group `gid` that `ctx` makes in `dir` with `mode`.

    A directory takes over the set-gid bit; a file may have it only from a member of its group.
    """
    mode &= 0o7777
    if type is FileType.DIR:
        return mode | dir.mode & stat.S_ISGID
    if ctx.uid != 0 and not in_group(ctx, gid):
        mode &= ~stat.S_ISGID
    return mode
