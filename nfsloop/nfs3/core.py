"""What all NFSv3 procedures share: resolving handles, checking names, failing as the RFC says."""

from __future__ import annotations

import logging
from typing import Any

from backends.base import Attr, FsError, Key, Status
from nfsloop.attr import fattr3
from nfsloop.export import Exports
from nfsloop.handle import FileHandles
from nfsloop.limits import TRANSFER_BYTES, UDP_TRANSFER_BYTES
from nfsloop.nfs3.failure import FAILURES, failed
from nfsloop.nfs3.nfs3_xdr import NFS_V3_Service, nfsstat3, wcc_data
from nfsloop.nfscall import NfsCall
from nfsloop.status import status_of
from oncrpc.errors import Refusal

log = logging.getLogger("nfsloop.nfs3")

DOTS = (b".", b"..")


class Nfs3Core(NFS_V3_Service):
    """The base of the service: `exports` by handle, and one place for every failure."""

    CALL = NfsCall

    def __init__(self, exports: Exports, handles: FileHandles) -> None:
        self.exports = exports
        self.handles = handles
        self._unpack, self._known = handles.unpack, handles.known
        self._made_handles = handles.made
        self._by_number = exports.by_number

    def enter(self, call: NfsCall, handle: bytes) -> Key:
        """Resolve the call's (first) handle: sets its export, backend and ctx.

        Raises BADHANDLE for a handle that was not made here, STALE for an export that is gone,
        ACCES and JUKEBOX as the export's policy does.
        """
        number, key = self._known.get(handle) or self._unpack(handle)
        try:
            export = self._by_number[number]
        except KeyError:
            raise FsError(Status.STALE, "its export is gone") from None
        call.export = export
        call.backend = export.backend
        call.ctx = call.origin.notes.get(export.era) or export.caller(call.origin)
        return key

    def enter_to_change(self, call: NfsCall, handle: bytes) -> Key:
        """`enter` for a procedure that changes something: raises ROFS too."""
        key = self.enter(call, handle)
        if call.ctx.read_only or call.backend.limits.read_only:
            raise FsError(Status.ROFS)
        return key

    def enter_second(self, call: NfsCall, handle: bytes) -> Key:
        """The call's second handle, which must be of the same export: raises XDEV too."""
        number, key = self._unpack(handle)
        if number != call.export.number:
            raise FsError(Status.XDEV)
        return key

    def handle(self, call: NfsCall, attr: Attr) -> bytes:
        """The handle of a file of the call's export."""
        return self.handles.pack(call.export.number, attr.ino, attr.generation)

    async def above(self, call: NfsCall, dir: Key, here: Attr) -> Attr | None:
        """The directory above `dir`, whose own attributes are `here`; the root's is the root.

        None where the backend cannot tell.
        """
        try:
            above = await call.backend.parent(call.ctx, dir)
        except FsError as exc:
            if exc.status is not Status.NOTSUPP:
                raise
            return here if (await call.backend.root(call.ctx)).key == dir else None
        if not isinstance(above, Attr):
            raise TypeError(f"parent gave {type(above).__name__}")
        return above

    async def failed(self, call: NfsCall, args: Any, exc: Exception) -> Any:
        """The procedure's failure for whatever its method raised, with attributes where it can.

        What is no `FsError`, OSError or `Refusal` is a fault of ours: logged, and SERVERFAULT.
        """
        name = call.proc.name
        status = status_of(exc)
        if isinstance(exc, Refusal) or name not in FAILURES:
            raise exc
        if status is None:
            where = str(getattr(call, "export", "no export"))
            log.error("%s from %s in %s failed", name, call.peer.host, where, exc_info=exc)
            status = Status.SERVERFAULT
        elif isinstance(exc, OSError) and status in {Status.IO, Status.JUKEBOX}:
            where = str(getattr(call, "export", "no export"))
            log.warning("%s from %s in %s: %s", name, call.peer.host, where, exc)
        # Turned away by `enter`, before anything was done.
        outside = status is Status.ACCES and not hasattr(call, "ctx")
        if status is Status.JUKEBOX or outside:
            # It may be let in when it comes again; and what is kept is kept for all its users.
            call.nocache()
        elif status is Status.BADHANDLE:
            self.handles.refused(call.peer.host, exc)
        failure = FAILURES[name]
        if outside or status is Status.JUKEBOX:  # who has no time has none for attributes either
            return failed(name, status)
        if failure.arm is None:
            return failure.result(nfsstat3(status))
        post = [await self._attributes(call, get(args)) for get in failure.post]
        wcc = [wcc_data(None, await self._attributes(call, get(args))) for get in failure.wcc]
        return failure.result(nfsstat3(status), failure.arm(*post, *wcc))

    async def _attributes(self, call: NfsCall, handle: bytes) -> bytes | None:
        """A file's attributes beside an error, or none: the error is the answer, not this."""
        try:
            key = self.enter(call, handle)
            return fattr3(await call.backend.getattr(call.ctx, key), call.export.fsid)
        except Exception as exc:
            if status_of(exc) is None:
                log.error("attributes of a failed %s", call.proc.name, exc_info=exc)
            return None


def check_name(call: NfsCall, name: bytes, dots: Status) -> bytes:
    """A name that the backend may be asked for.

    Raises NAMETOOLONG, `dots` for ``.`` and ``..``, and ACCES for an empty name or one with a
    slash or a NUL in it, which no client of good will sends.
    """
    long = len(name) > call.backend.limits.name_max
    if name and not long and b"/" not in name and b"\0" not in name and name not in DOTS:
        return name
    if long:
        raise FsError(Status.NAMETOOLONG)
    if name in DOTS:
        raise FsError(dots)
    raise FsError(Status.ACCES, f"impossible name {name!r}")


def transfer_max(call: NfsCall) -> int:
    """The most bytes of data that one READ or WRITE carries over the call's transport."""
    return UDP_TRANSFER_BYTES if call.origin.peer.transport == "udp" else TRANSFER_BYTES
