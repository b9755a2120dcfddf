"""READDIR, and the way up."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from backends.base import Attr, Context, DirEntry, FsError, Key, Listing, Status
from backends.cookies import FIRST, LAST, Names, NamesCache

from . import kernel
from .descriptors import Descriptor
from .kernel import Dirent
from .names import NameOps
from .node import Node, attr_of

#: A record of getdents64 is no longer.
_RECORD_BYTES: Final = 280
_READ_BYTES: Final = 65536
_LISTINGS: Final = 16
_REGULAR: Final = kernel.DT_REG


class _Listed(Names[int]):
    """The names of a directory in one state. `sure`: whatever changes it will change the state."""

    sure = False


class DirOps(NameOps):
    """Listings: with the file system's own offsets as cookies where they are stable, else by
    hashes of the names (`backends.cookies`)."""

    def __init__(
        self,
        path: str | Path,
        *,
        state: Path | None,
        sync: bool = True,
        nodes: int | None = None,
        descriptors: int | None = None,
    ) -> None:
        super().__init__(path, state=state, sync=sync, nodes=nodes, descriptors=descriptors)
        self._listings: NamesCache[int] = NamesCache(_LISTINGS)
        self._stable: dict[int, bool] = {}

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """See `Backend.readdir`."""
        if not 0 <= cookie <= LAST:
            raise FsError(Status.BAD_COOKIE)
        node = self._dir(dir)
        attr = self._look(node)
        rights = node.perms.get(ctx)
        if rights is None:
            rights = self._rights(node, ctx)
        if not rights & os.R_OK:
            raise FsError(Status.ACCES)
        if self._has_stable_offsets(node):
            found, eof = self._by_offset(node, ctx, cookie, count)
        else:
            found, eof = self._by_hash(node, ctx, attr, cookie, count)
        if plus:
            return Listing(self._with_attrs(node, ctx, rights, found), eof, attr)
        return Listing([DirEntry(name, ino, at) for name, ino, at, _ in found], eof, attr)

    def _has_stable_offsets(self, node: Node) -> bool:
        device = node.st.st_dev
        stable = self._stable.get(device)
        if stable is None:
            kind = kernel.filesystem(node.fd)
            stable = self._stable[device] = kind in (kernel.EXT, kernel.XFS, kernel.BTRFS) or (
                kind == kernel.TMPFS and kernel.release() >= (6, 6)
            )
        return stable

    def _by_offset(
        self, node: Node, ctx: Context, cookie: int, count: int
    ) -> tuple[list[Dirent], bool]:
        desc = self._descriptors.get(node, False, ctx) if cookie else self._at_start(node, ctx)
        if desc.offset != cookie:
            try:
                os.lseek(desc.fd, cookie, os.SEEK_SET)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise FsError(Status.BAD_COOKIE) from None
                raise
        desc.offset = -1
        room = max(2 * _RECORD_BYTES, min(count, _READ_BYTES))
        entries: list[Dirent] = []
        while room >= _RECORD_BYTES or not entries:
            found, used, offset = kernel.getdents(desc.fd, max(room, _RECORD_BYTES))
            if not used:
                return entries, True
            room -= used
            entries += found
            desc.offset = offset
        return entries, False

    def _at_start(self, node: Node, ctx: Context) -> Descriptor:
        """A descriptor that nothing was read from yet. ext4's whose first getdents64 was at the
        end finds nothing at offset 0 either, ever: there it looks as if it had not moved."""
        desc = self._descriptors.get(node, False, ctx)
        if desc.offset:
            self._descriptors.close(node)
            desc = self._descriptors.get(node, False, ctx)
        return desc

    def _by_hash(
        self, node: Node, ctx: Context, attr: Attr, cookie: int, count: int
    ) -> tuple[list[Dirent], bool]:
        state = (attr.mtime, attr.ctime)
        names = cast("_Listed | None", self._listings.get(node.ino, state))
        if names is None or not names.sure:
            # Listed within the tick of its last change, it could change once more unseen.
            settled = self._settled(max(state))
            # So may it have before our own last change; a listing that has begun may go on.
            if names is None or settled or not cookie:
                names = _Listed(self._all(self._at_start(node, ctx)))
                names.sure = settled
                again = self._look(node)
                if (again.mtime, again.ctime) == state:
                    self._listings.put(node.ino, state, names)
                    self._hashing = True
        entries: list[Dirent] = []
        room = max(count, 1)
        for at, name, ino in names.after(cookie):
            if room <= 0:
                return entries, False
            entries.append((name, ino, at, 0))
            room -= 24 + len(name)
        return entries, True

    @staticmethod
    def _all(desc: Descriptor) -> Iterator[tuple[bytes, int]]:
        desc.offset = -1
        used = 1
        while used:
            found, used, _ = kernel.getdents(desc.fd, _READ_BYTES)
            for name, ino, _, _ in found:
                yield name, ino

    def _relist(self, dir: Node, before: Attr, after: Attr, names: dict[bytes, int | None]) -> None:
        listed = cast("_Listed | None", self._listings.get(dir.ino, (before.mtime, before.ctime)))
        if listed is not None:
            for name, ino in names.items():
                if ino is None:
                    listed.remove(name)
                else:
                    listed.add(name, ino)
            listed.sure = False  # others may have changed it in the same tick
            self._listings.put(dir.ino, (after.mtime, after.ctime), listed)

    # READDIRPLUS

    def _with_attrs(
        self, node: Node, ctx: Context, rights: int, found: list[Dirent]
    ) -> Iterator[DirEntry]:
        """Attributes as they are needed; a name that has gone meanwhile stays without."""
        identity, table, device = self._identity, self._table, self._device
        trusted = self._passes and rights & os.X_OK
        pinned = rights & os.X_OK and self._lists_numbers(node)
        fstat, stat = os.fstat, os.stat
        fd = os.dup(node.fd)  # whoever takes the entries may take his time
        try:
            for name, ino, cookie, kind in found:
                attr = None
                known = table.get(ino) if pinned and kind == _REGULAR else None
                if known is not None:
                    st = fstat(known.fd)
                    if st.st_nlink:
                        attr = known.update(st)
                    yield DirEntry(name, ino, cookie, attr)
                    continue
                if ctx is not identity.acting and not (trusted and identity.resting):
                    identity.become(ctx)
                try:
                    st = stat(name, dir_fd=fd, follow_symlinks=False)
                    own = st.st_dev == device
                    known = table.get(st.st_ino if own else self._nodes.ino_of(st))
                    if known is None:
                        attr = self._unpinned(node, fd, name, st)
                    else:
                        attr = known.update(st)
                        if self._indexing or known.foreign:
                            self._nodes.note(known, node.ino, name)
                    yield DirEntry(name, attr.ino, cookie, attr)
                except OSError:
                    yield DirEntry(name, ino, cookie)
        finally:
            os.close(fd)

    def _lists_numbers(self, node: Node) -> bool:
        """Whether a directory's entries tell the inode numbers of the files that their names lead
        to. Then attributes of files that are pinned come without a walk along their names, for half
        the price. A file that another is mounted on is still listed by its own number.
        """
        if self._indexing or node.foreign or node.st.st_dev != self._device:
            return False
        try:
            return not self._mounts.beneath(self._nodes.prefix())
        except OSError:
            return False

    def _unpinned(self, dir: Node, fd: int, name: bytes, st: os.stat_result) -> Attr:
        """The attributes of a name that is not worth a node; its handle will be good all the
        same."""
        nodes = self._nodes
        attr = attr_of(st, nodes.ino_of(st), nodes.generation(fd, name, st))
        if self._indexing or nodes.abroad(st):
            self._index.add(attr.ino, attr.generation, dir.ino, name)
            nodes.anchor(dir)
        return attr

    # Up

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """See `Backend.parent`. Never above the root, wherever the directory was moved to."""
        node = self._dir(dir)
        if node is self._root:
            return self._look(node)
        self._identity.become(ctx)
        above = self._nodes.adopt(self._nodes.open(b"..", node))
        if not self._nodes.inside(above):
            raise self._nodes.stale(above)
        if self._indexing or above.foreign:
            self._identity.own()
            self._nodes.note_path(above)
        return self._look(above)


assert FIRST == 3
