"""The store as the write-back buffer sees it: whole objects, by inode number."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from backends.base import FileType, FsError, Key, Status
from backends.objects.node import Node
from backends.objects.store import Listed, Names
from backends.objects.tree import Tree


class TreeObjects:
    """The store as the write-back buffer sees it: objects by inode number."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def _key(self, ident: int) -> Key:
        return Key(ident, self._tree.table.generation)

    def wanted(self, ident: int) -> bool:
        """See `backends.writeback.Objects`."""
        try:
            node = Node.unpack(self._tree.table.record(self._key(ident)))
        except FsError:
            return False
        return node is None or node.type is FileType.REG

    def get(self, ident: int, offset: int, count: int) -> bytes:
        """See `backends.writeback.Objects`. A file that is renamed meanwhile is found again."""
        read = self._tree.store.read
        return self._tree.at_path(self._key(ident), lambda names: read(names, offset, count))

    def version(self, ident: int) -> Hashable:
        """See `backends.writeback.Objects`."""
        try:
            found = self._tree.at_path(self._key(ident), self._tree.store.info)
        except FileNotFoundError:
            return None
        return found.token or found.size

    def put(self, ident: int, path: Path) -> None:
        """See `backends.writeback.Objects`."""
        tree, key = self._tree, self._key(ident)
        with tree.paths.shared():
            names = tree.table.names(key)
            least = path.stat().st_size
            try:
                tree.store.put(names, path, f"{key.generation:016x}-{ident}")
                found = tree.store.info(names)
            except FileNotFoundError as error:
                raise FsError(Status.IO, f"its directory is gone from the store: {error}") from None
            self._check_put(names, found, least, path.stat().st_size)
            parent = tree.parent_of(key)
            with tree.locked(parent):
                known = tree.known(parent)
                entry = None if known is None else known.entries.get(names[-1])
                if entry is not None and entry.key == key:
                    entry.size, entry.token, entry.stored = found.size, found.token, True
                    entry.mtime = found.mtime
                    tree.update(entry, token=found.token)
                else:
                    tree.put(key, found.token)

    def _check_put(self, names: Names, found: Listed, least: int, most: int) -> None:
        """That what is there now can be what was put. Raises ISDIR, IO."""
        what = b"/".join(names)
        if found.type is not FileType.REG:
            raise FsError(Status.ISDIR, f"a directory is in the place of {what!r}")
        if found.size >= 0 and not least <= found.size <= most:
            raise FsError(Status.IO, f"{what!r} was put, and has {found.size} bytes, not {least}")
