"""What each procedure answers when it fails: one table (RFC 1813 section 3.3, the resfail arms)."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from nfsloop.nfs3 import nfs3_xdr as x


class Failure(NamedTuple):
    """How a procedure fails: its result, the arm, and the handles whose attributes the arm has."""

    result: Callable[..., Any]
    arm: Callable[..., Any] | None = None
    #: Getters of handles that have a post_op_attr in the arm, then of those that have a wcc_data.
    post: tuple[Callable[[Any], bytes], ...] = ()
    wcc: tuple[Callable[[Any], bytes], ...] = ()


def _get(*names: str) -> tuple[Callable[[Any], bytes], ...]:
    return tuple(attrgetter(name) for name in names)


FAILURES: dict[str, Failure] = {
    "GETATTR": Failure(x.GETATTR3res),
    "SETATTR": Failure(x.SETATTR3res, x.SETATTR3resfail, wcc=_get("object")),
    "LOOKUP": Failure(x.LOOKUP3res, x.LOOKUP3resfail, _get("what.dir")),
    "ACCESS": Failure(x.ACCESS3res, x.ACCESS3resfail, _get("object")),
    "READLINK": Failure(x.READLINK3res, x.READLINK3resfail, _get("symlink")),
    "READ": Failure(x.READ3res, x.READ3resfail, _get("file")),
    "WRITE": Failure(x.WRITE3res, x.WRITE3resfail, wcc=_get("file")),
    "CREATE": Failure(x.CREATE3res, x.CREATE3resfail, wcc=_get("where.dir")),
    "MKDIR": Failure(x.MKDIR3res, x.MKDIR3resfail, wcc=_get("where.dir")),
    "SYMLINK": Failure(x.SYMLINK3res, x.SYMLINK3resfail, wcc=_get("where.dir")),
    "MKNOD": Failure(x.MKNOD3res, x.MKNOD3resfail, wcc=_get("where.dir")),
    "REMOVE": Failure(x.REMOVE3res, x.REMOVE3resfail, wcc=_get("object.dir")),
    "RMDIR": Failure(x.RMDIR3res, x.RMDIR3resfail, wcc=_get("object.dir")),
    "RENAME": Failure(x.RENAME3res, x.RENAME3resfail, wcc=_get("from_.dir", "to.dir")),
    "LINK": Failure(x.LINK3res, x.LINK3resfail, _get("file"), _get("link.dir")),
    "READDIR": Failure(x.READDIR3res, x.READDIR3resfail, _get("dir")),
    "READDIRPLUS": Failure(x.READDIRPLUS3res, x.READDIRPLUS3resfail, _get("dir")),
    "FSSTAT": Failure(x.FSSTAT3res, x.FSSTAT3resfail, _get("fsroot")),
    "FSINFO": Failure(x.FSINFO3res, x.FSINFO3resfail, _get("fsroot")),
    "PATHCONF": Failure(x.PATHCONF3res, x.PATHCONF3resfail, _get("object")),
    "COMMIT": Failure(x.COMMIT3res, x.COMMIT3resfail, wcc=_get("file")),
}

#: The first file handle in each procedure's arguments (SFS's getfh3arg).
FIRST_HANDLE: dict[str, Callable[[Any], bytes]] = {
    name: (failure.post or failure.wcc or _get("object"))[0] for name, failure in FAILURES.items()
}

NO_WCC = x.wcc_data(None, None)


def failed(name: str, status: int) -> Any:
    """The result of procedure `name` that says `status`, without any attributes."""
    failure = FAILURES[name]
    if failure.arm is None:
        return failure.result(x.nfsstat3(status))
    arm = failure.arm(*(None for _ in failure.post), *(NO_WCC for _ in failure.wcc))
    return failure.result(x.nfsstat3(status), arm)
