"""The store as the write-back buffer sees it: whole objects, by inode number."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from backends.base import FsError, Key, Status
from backends.objects.tree import Tree


class TreeObjects:
    """The store as the write-back buffer sees it: objects by inode number."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def _key(self, ident: int) -> Key:
        return Key(ident, self._tree.table.generation)

    def get(self, ident: int, offset: int, count: int) -> bytes:
        """See `backends.writeback.Objects`. A file that was renamed meanwhile is found again."""
        for _ in range(2):
            names = self._tree.table.names(self._key(ident))
            try:
                return self._tree.store.read(names, offset, count)
            except FileNotFoundError:
                continue
        return b""

    def version(self, ident: int) -> Hashable:
        """See `backends.writeback.Objects`."""
        try:
            found = self._tree.store.info(self._tree.table.names(self._key(ident)))
        except FileNotFoundError:
            return None
        return found.token or found.size

    def put(self, ident: int, path: Path) -> None:
        """See `backends.writeback.Objects`."""
        tree, key = self._tree, self._key(ident)
        with tree.paths.shared():
            names = tree.table.names(key)
            try:
                tree.store.put(names, path, f"{key.generation:016x}-{ident}")
                found = tree.store.info(names)
            except FileNotFoundError as error:
                raise FsError(Status.IO, f"its directory is gone from the store: {error}") from None
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
