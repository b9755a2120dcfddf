"""Reading directories with exact byte budgets (RFC 1813 sections 3.3.16 and 3.3.17)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from backends.base import DirEntry, FileType, FsError, Key, Listing, Status
from nfsloop.attr import fattr3
from nfsloop.handle import HANDLE_BYTES
from nfsloop.limits import READDIR_MAX_BYTES
from nfsloop.nfs3.core import Nfs3Core, transfer_max
from nfsloop.nfs3.nfs3_xdr import (
    NFS3_OK,
    READDIR3args,
    READDIR3res,
    READDIR3resok,
    READDIRPLUS3args,
    READDIRPLUS3res,
    READDIRPLUS3resok,
    dirlist3,
    dirlistplus3,
    entry3,
    entryplus3,
)
from nfsloop.nfscall import NfsCall

#: Cookies are valid as long as the directory is (see `DirEntry`), so one verifier does for ever;
#: and no other is refused, since clients keep verifiers over a change of the server.
VERIFIER = bytes(8)

#: ``.`` and ``..`` have the cookies that no backend uses.
DOT_COOKIE = 1
DOTDOT_COOKIE = 2

# Sizes of the encodings (RFC 1813 section 3.3.16), all in bytes.
_ATTR = 4 + 84
_HEAD = _ATTR + len(VERIFIER)
_TAIL = 4 + 4  # no further entry, eof
_ENTRY = 4 + 8 + 4 + 8  # an entry follows, fileid, the name's length, cookie
_PLUS_NONE = 4 + 4
_PLUS = _ATTR + 4 + 4 + HANDLE_BYTES


class Directories(Nfs3Core):
    """READDIR READDIRPLUS."""

    async def READDIR(self, call: NfsCall, args: READDIR3args) -> READDIR3res:
        """RFC 1813 section 3.3.16: `count` bounds the whole READDIR3resok."""
        dir = self.enter(call, args.dir)
        room = min(args.count, READDIR_MAX_BYTES, transfer_max(call)) - _HEAD - _TAIL
        listing = await self._listing(call, dir, args.cookie, room, plus=False)
        entries: list[entry3] = []
        full = False
        for entry in await self._with_dots(call, dir, args.cookie, listing, plus=False):
            name = entry.name
            room -= _ENTRY + (len(name) + 3 & ~3)
            if room < 0:
                full = True
                break
            entries.append(entry3(entry.ino, name, entry.cookie))
        eof = _eof(listing, full, bool(entries))
        attr = await self._own(call, dir, listing)
        return READDIR3res(NFS3_OK, READDIR3resok(attr, VERIFIER, dirlist3(entries, eof)))

    async def READDIRPLUS(self, call: NfsCall, args: READDIRPLUS3args) -> READDIRPLUS3res:
        """RFC 1813 section 3.3.17: `dircount` bounds names, cookies and fileids, `maxcount` all."""
        dir = self.enter(call, args.dir)
        names = args.dircount
        room = min(args.maxcount, READDIR_MAX_BYTES, transfer_max(call)) - _HEAD - _TAIL
        listing = await self._listing(call, dir, args.cookie, min(names, room), plus=True)
        fsid, number = call.export.fsid, call.export.number
        pack, made = self.handles.pack, self.handles.made
        entries: list[entryplus3] = []
        add, full = entries.append, False
        for entry in await self._with_dots(call, dir, args.cookie, listing, plus=True):
            attr, name = entry.attr, entry.name
            size = _ENTRY + (len(name) + 3 & ~3)
            names -= size
            room -= size + (_PLUS_NONE if attr is None else _PLUS)
            if room < 0 or names < 0:
                full = True
                break
            if attr is None:
                add(entryplus3(entry.ino, name, entry.cookie, None, None))
                continue
            key = number, attr.ino, attr.generation
            handle = made.get(key) or pack(*key)
            memo = attr.memo or fattr3(attr, fsid)
            add(entryplus3(entry.ino, name, entry.cookie, memo, handle))
        eof = _eof(listing, full, bool(entries))
        own = await self._own(call, dir, listing)
        return READDIRPLUS3res(
            NFS3_OK, READDIRPLUS3resok(own, VERIFIER, dirlistplus3(entries, eof))
        )

    async def _listing(
        self, call: NfsCall, dir: Key, cookie: int, room: int, plus: bool
    ) -> Listing:
        """The backend's part of a listing. Raises TOOSMALL where no entry could ever fit."""
        if room < _ENTRY:
            attr = await call.backend.getattr(call.ctx, dir)
            raise FsError(Status.TOOSMALL if attr.type is FileType.DIR else Status.NOTDIR)
        resume = 0 if cookie <= DOTDOT_COOKIE else cookie
        return await call.backend.readdir(call.ctx, dir, resume, room, plus)

    async def _with_dots(
        self, call: NfsCall, dir: Key, cookie: int, listing: Listing, plus: bool
    ) -> Iterator[DirEntry]:
        """The entries behind `cookie`: first what is left of ``.`` and ``..``."""
        dots: list[DirEntry] = []
        if cookie < DOTDOT_COOKIE:
            here = listing.attr or await call.backend.getattr(call.ctx, dir)
            if cookie < DOT_COOKIE:
                dots.append(DirEntry(b".", here.ino, DOT_COOKIE, here if plus else None))
            above = await self.above(call, dir, here) or here
            dots.append(DirEntry(b"..", above.ino, DOTDOT_COOKIE, above if plus else None))
        return chain(dots, listing.entries)

    async def _own(self, call: NfsCall, dir: Key, listing: Listing) -> bytes:
        attr = listing.attr or await call.backend.getattr(call.ctx, dir)
        return fattr3(attr, call.export.fsid)


def _eof(listing: Listing, full: bool, any: bool) -> bool:
    """Whether a reply ends the listing. Raises TOOSMALL where not one entry fits, TypeError for a
    backend that gives none and has not ended: the client would ask for ever."""
    eof = not full and listing.eof
    if not any and not eof:
        if full:
            raise FsError(Status.TOOSMALL)
        raise TypeError("readdir gave neither an entry nor eof")
    return eof
