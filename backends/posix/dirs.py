"""READDIR, and the way up."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from backends.base import Attr, Context, DirEntry, FsError, Key, Listing, Status, Wcc
from backends.cookies import FIRST, LAST, Names, NamesCache

from . import kernel
from .descriptors import Descriptor
from .names import NameOps
from .node import Node, attr_of

#: A record of getdents64 is no longer.
_RECORD_BYTES: Final = 280
_READ_BYTES: Final = 65536
#: A change within this time after a listing may not have changed the directory's times.
_TICK_NS: Final = 20_000_000
_LISTINGS: Final = 16


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
        desc = self._descriptors.get(node, False, ctx)
        if desc.offset != cookie or not cookie:
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

    def _by_hash(
        self, node: Node, ctx: Context, attr: Attr, cookie: int, count: int
    ) -> tuple[list[DirEntry], bool]:
        state = (attr.mtime, attr.ctime)
        names = self._listings.get(node.ino, state)
        if names is None:
            # Listed within the tick of its last change, it could change once more unseen.
            settled = time.time_ns() - max(state) > _TICK_NS
            names = Names(self._all(self._descriptors.get(node, False, ctx)))
            again = self._look(node)
            if settled and (again.mtime, again.ctime) == state:
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
        os.lseek(desc.fd, 0, os.SEEK_SET)
        desc.offset = -1
        while found := kernel.getdents(desc.fd, _READ_BYTES)[0]:
            for name, ino, _ in found:
                if name not in {b".", b".."}:
                    yield name, ino

    def _changed(
        self, dir: Node, before: Attr, added: Node | None = None, name: bytes = b""
    ) -> Wcc:
        wcc = super()._changed(dir, before, added, name)
        if self._listings and wcc.after is not None:
            names = self._listings.get(dir.ino, (before.mtime, before.ctime))
            if names is not None:
                if added is None:
                    names.remove(name)
                else:
                    names.add(name, added.ino)
                self._listings.put(dir.ino, (wcc.after.mtime, wcc.after.ctime), names)
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
                        if self._indexing or st.st_dev != self._device:
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
        if self._indexing or st.st_dev != self._device:
            self._index.add(attr.ino, attr.generation, dir.ino, name)
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
        if self._indexing:
            self._identity.own()
            self._nodes.note_path(above)
        return self._look(above)


assert FIRST == 3
