"""READDIR, and the way up."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from backends.base import Attr, Context, DirEntry, FsError, Key, Listing, Status, Wcc
from backends.cookies import FIRST, LAST, Names, NamesCache

from . import kernel
from .descriptors import Descriptor
from .names import NameOps
from .node import Node, attr_of

#: A record of getdents64 is no longer.
_RECORD_BYTES: Final = 280
_READ_BYTES: Final = 65536
_LISTINGS: Final = 16


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
        entries: Iterable[DirEntry]
        if self._has_stable_offsets(node):
            entries, eof = self._by_offset(node, ctx, cookie, count)
        else:
            entries, eof = self._by_hash(node, ctx, attr, cookie, count)
        if plus:
            entries = self._with_attrs(node, ctx, entries)
        return Listing(entries, eof, attr)

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
    ) -> tuple[list[DirEntry], bool]:
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
        entries: list[DirEntry] = []
        while room >= _RECORD_BYTES or not entries:
            found, used = kernel.getdents(desc.fd, max(room, _RECORD_BYTES))
            if not found:
                return entries, True
            room -= used
            entries += [
                DirEntry(name, ino, offset)
                for name, ino, offset in found
                if name not in {b".", b".."}
            ]
            desc.offset = found[-1][2]
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
    ) -> tuple[list[DirEntry], bool]:
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
        entries: list[DirEntry] = []
        room = max(count, 1)
        for at, name, ino in names.after(cookie):
            if room <= 0:
                return entries, False
            entries.append(DirEntry(name, ino, at))
            room -= 24 + len(name)
        return entries, True

    @staticmethod
    def _all(desc: Descriptor) -> Iterator[tuple[bytes, int]]:
        desc.offset = -1
        while found := kernel.getdents(desc.fd, _READ_BYTES)[0]:
            for name, ino, _ in found:
                if name not in {b".", b".."}:
                    yield name, ino

    def _changed(self, dir: Node, before: Attr, names: dict[bytes, int | None]) -> Wcc:
        wcc = super()._changed(dir, before, names)
        if self._listings and wcc.after is not None:
            listed = cast(
                "_Listed | None", self._listings.get(dir.ino, (before.mtime, before.ctime))
            )
            if listed is not None:
                for name, ino in names.items():
                    if ino is None:
                        listed.remove(name)
                    else:
                        listed.add(name, ino)
                listed.sure = False  # others may have changed it in the same tick
                self._listings.put(dir.ino, (wcc.after.mtime, wcc.after.ctime), listed)
        return wcc

    # READDIRPLUS

    def _with_attrs(
        self, node: Node, ctx: Context, entries: Iterable[DirEntry]
    ) -> Iterator[DirEntry]:
        """Attributes as they are needed; a name that has gone meanwhile stays without."""
        identity, table, nodes = self._identity, self._table, self._nodes
        fd = os.dup(node.fd)  # whoever takes the entries may take his time
        try:
            for entry in entries:
                if ctx is not identity.acting:
                    identity.become(ctx)
                try:
                    st = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    known = table.get(nodes.ino_of(st))
                    if known is not None:
                        entry.attr = known.update(st)
                        entry.ino = known.ino
                        if self._indexing or known.foreign:
                            nodes.note(known, node.ino, entry.name)
                    else:
                        entry.attr = self._unpinned(node, fd, entry.name, st)
                        entry.ino = entry.attr.ino
                except OSError:
                    pass
                yield entry
        finally:
            os.close(fd)

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
