"""The ways to the files in use: by name, by the kernel's handle, by the index; never outside of the
root."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from typing import Final

from backends.base import FsError, Key, Status

from .node import Node
from .pins import O_NODE, Pins, close_node

#: How deep beneath the root the index finds a file.
MAX_DEPTH: Final = 300
#: Names that are looked through for a file that is not where the index says.
SEARCH_NAMES: Final = 10_000
#: Names of one file that are remembered as indexed.
_NAMES_KNOWN = 8
_MISSED_KNOWN: Final = 1024
_ANCHORED_KNOWN: Final = 1024
_MISSED_SECONDS: Final = 10.0


class Nodes(Pins):
    """All nodes of one root, and the ways to them. Runs as whoever the thread acts as."""

    # Ways to a node

    def enter_open(self, parent: Node, name: bytes, fd: int) -> Node:
        """The node of a new file that is open as `fd`, which is the node's too until `pin`."""
        st = os.fstat(fd)
        ino = self.ino_of(st)
        node = self.table.get(ino)
        if node is None:
            node = Node(fd, ino, self._generation_of_new(fd, st), st)
            node.foreign = parent.foreign or st.st_dev != self.device
            self._limited.put(ino, node)
        node.settled = True
        if self.index_all or node.foreign:
            self.note(node, parent.ino, name)
        return node

    def enter(self, parent: Node, name: bytes) -> Node:
        """The node of a name, that was not found among the known ones."""
        node = self.adopt(self.open(name, parent))
        if self.index is not None:
            self.note(node, parent.ino, name)
        return node

    def note(self, node: Node, parent: int, name: bytes) -> None:
        """Index a name of a file, if the index is what finds it."""
        index = self.index
        if index is None or (parent, name) in node.names:
            return
        if not self.index_all and not node.foreign:
            return
        if node is self.root:
            return
        index.add(node.ino, node.generation, parent, name)
        if not self.index_all:
            above = self.table.get(parent)
            if above is not None:
                self.anchor(above)
        if len(node.names) >= (_NAMES_KNOWN if node.st.st_nlink > 1 else 1):
            node.names.clear()
        node.names.add((parent, name))

    def anchor(self, node: Node) -> None:
        """Index the path to a directory that something is mounted in, although the kernel has
        handles of all on it: what is mounted is found by its path alone."""
        if self.index is None or self.index_all or node.foreign or node is self.root:
            return
        try:
            path = os.readlink(node.path)
            if self._anchored.get(node.ino) == path or not self.inside(node):
                return
            if len(self._anchored) >= _ANCHORED_KNOWN:
                self._anchored.clear()
            ino, at = node.ino, path
            while at != self.root_path and len(at) > 1:
                at, _, name = at.rpartition(b"/")
                at = at or b"/"
                parent = os.stat(at, follow_symlinks=False).st_ino
                self.index.add(ino, 0, parent, name)
                ino = parent
            self._anchored[node.ino] = path
        except OSError:
            pass  # the caller may not look there: `sweep` may

    def find(self, key: Key) -> Node:
        """The node of a key. Raises STALE."""
        ino, generation = key
        node = self.table.get(ino)
        if node is None:
            self.misses += 1
            self.as_self()
            node = self._resolve(ino, generation)
        if node is None or node.generation != generation:
            raise FsError(Status.STALE)
        node.hot = True
        return node

    def _resolve(self, ino: int, generation: int) -> Node | None:
        if self.mount_fd >= 0 and self.handles is not None:
            try:
                try:
                    fd = self.handles.open(self.mount_fd, ino, generation)
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE):
                        raise
                    self.relieve()
                    fd = self.handles.open(self.mount_fd, ino, generation)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise FsError(Status.JUKEBOX, "out of descriptors") from None
                # The kernel says ESTALE for most that is gone; some file systems, ENOENT.
            else:
                # ext4 takes the generation 0 for any.
                found = self._vouch(self.adopt(fd, generation or None))
                if found is not None:
                    return found
        if self.index is None:
            return None
        return self._by_index(ino, generation, 0) or self._search(ino, generation)

    def _vouch(self, node: Node) -> Node | None:
        """What the kernel found by its handle, if it is one of this export's files.

        One of another mount is opened there, by the index: the kernel opens it at its place on
        the root's mount, which is outside, or has not that mount's options.
        """
        if node.st.st_nlink and self.inside(node):
            return node
        self._limited.table.pop(node.ino, None)
        keep = False
        try:
            found = self._by_index(node.ino, node.generation, 0)
            keep = found is None and self._connected(node)
        finally:
            if not keep:
                close_node(node)
        if keep:
            self._limited.put(node.ino, node)
            return node
        return found

    def _connected(self, node: Node) -> bool:
        """Whether a file that the kernel found by its handle is one of this export's.

        A directory has one path, and it is known. Another file's may be unknown ("/") if nobody
        has walked to it since it was last in memory; and a file of several names shows one of
        them, perhaps the one outside. What then vouches for it is that the server signs handles.
        """
        if node.st.st_nlink == 0:
            return False
        if self.inside(node):
            return True
        if node.directory:
            return False
        try:
            return os.readlink(node.path) == b"/" or node.st.st_nlink > 1
        except OSError:  # longer than PATH_MAX: unknown too
            return True

    def inside(self, node: Node) -> bool:
        """Whether the path at which the file is now lies beneath the root."""
        if node is self.root:
            return True
        try:
            return os.readlink(node.path).startswith(self.prefix())
        except OSError:  # longer than PATH_MAX
            self.as_self()
            return node.directory and self._climb(node.fd)

    def _climb(self, fd: int) -> bool:
        """`inside` for paths that are too long: go up until the root or the top."""
        at = os.dup(fd)
        try:
            st = os.fstat(at)
            while (st.st_dev, st.st_ino) != (self.device, self.root.ino):
                above = os.open(b"..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at, below, st = above, st, os.fstat(above)
                if (st.st_dev, st.st_ino) == (below.st_dev, below.st_ino):
                    return False
            return True
        except OSError:
            return False
        finally:
            os.close(at)

    # By the index

    def _by_index(self, ino: int, generation: int | None, depth: int) -> Node | None:
        """A file by its indexed names; `generation` None: any (the parents of one)."""
        node = self.table.get(ino)
        if node is not None:
            known = generation in (None, node.generation)
            return node if known and self.inside(node) else None
        if self.index is None or depth > MAX_DEPTH:
            return None
        for parent, name, issued in self.index.links(ino):
            if generation not in (None, issued):
                continue
            above = self._by_index(parent, None, depth + 1)
            if above is None or not above.directory:
                continue
            found = self._at(above, name, ino, generation)
            if found is not None:
                return found
        return None

    def _at(self, parent: Node, name: bytes, ino: int, generation: int | None) -> Node | None:
        """The file `ino` if it is called that."""
        try:
            node = self.adopt(self.open(name, parent))
        except OSError:
            return None
        if node.ino != ino or generation not in (None, node.generation):
            return None
        self.note(node, parent.ino, name)
        return node

    def _search(self, ino: int, generation: int) -> Node | None:
        """A file that was renamed behind the server's back: look near where it was, then from the
        root down, through so many names as are no burden.

        Entries that have turned out to be wrong are removed only now: until then they are what
        tells a handle that was given out once from a forged one.
        """
        index = self.index
        if index is None or time.monotonic() < self._missed.get(ino, 0):
            return None
        wrong = [link for link in index.links(ino) if link.generation == generation]
        if not wrong:
            return None
        found, everywhere = self._walk([link.parent for link in wrong], ino, generation)
        if found is None:  # what is mounted is listed by another number; the walk indexed its path
            found = self._by_index(ino, generation, 0)
        # What only mounts have to be indexed for may be back when its mount is.
        if found is not None or (everywhere and self.index_all):
            for parent, name, _ in wrong:
                if found is None or (parent, name) not in found.names:
                    index.remove(ino, parent, name)
        else:
            if len(self._missed) >= _MISSED_KNOWN:
                self._missed.clear()
            self._missed[ino] = time.monotonic() + _MISSED_SECONDS
        return found

    def _walk(self, todo: list[int], ino: int, generation: int) -> tuple[Node | None, bool]:
        """Look for a file in directories, and in those beneath the root; has all been seen?"""
        index = self.index
        assert index is not None
        budget = SEARCH_NAMES
        todo.append(self.root.ino)
        seen: set[int] = set()
        while todo:
            at = todo.pop(0)
            parent = None if at in seen else self._by_index(at, None, 0)
            if parent is None or not parent.directory:
                continue
            seen.add(at)
            for name, number, is_dir in self._names(parent):
                if budget <= 0:
                    return None, False
                budget -= 1
                node = self._at(parent, name, ino, generation) if number == ino else None
                if node is not None:
                    return node, False
                if is_dir and number not in seen:
                    if all(link[:2] != (parent.ino, name) for link in index.links(number)):
                        index.add(number, 0, parent.ino, name)
                    todo.append(number)
        return None, True

    def _names(self, parent: Node) -> Iterator[tuple[bytes, int, bool]]:
        try:
            with os.scandir(b"%s/." % parent.path) as entries:
                for entry in entries:
                    yield entry.name, entry.inode(), entry.is_dir(follow_symlinks=False)
        except OSError:
            return

    # From time to time

    def sweep(self, count: int) -> None:
        """Look after `count` nodes, one after the other: what was removed or moved away by others
        than the server goes, what they renamed is indexed anew. Runs as the process itself,
        between calls."""
        self.close_evicted()
        limited = self._limited
        if limited.limit < self._most and time.monotonic() - self._relieved >= 1:
            limited.limit = min(self._most, limited.limit + max(1, self._most // 32))
        if len(self.table) > limited.limit:
            limited.shrink(limited.limit)
        for _ in range(min(count, len(self.table))):
            ino = next(self._sweep_at, None)
            if ino is None:
                self._sweep_at = iter(list(self.table))
                ino = next(self._sweep_at, None)
            node = self.table.get(ino) if ino is not None else None
            if node is not None and node is not self.root:
                self.revisit(node)

    def revisit(self, node: Node) -> None:
        """Drop the node if the file is gone; index where it is now."""
        try:
            st = os.fstat(node.fd)
            if st.st_nlink == 0 or not self._connected(node):
                self.drop(node)
            elif self.index is not None and (self.index_all or node.foreign):
                self.note_path(node)
        except OSError:
            pass  # a path that is too long, a parent that we may not see: nothing to learn

    def note_path(self, node: Node) -> None:
        """Index a file by the path at which it is now, and the directories above it."""
        for _ in range(MAX_DEPTH):
            if node is self.root or not self.inside(node):
                return
            if not self.index_all and not node.foreign:
                return
            try:
                above, _, name = os.readlink(node.path).rpartition(b"/")
            except OSError:  # longer than PATH_MAX
                return
            parent = self.adopt(os.open(above or b"/", O_NODE | os.O_DIRECTORY))
            self.anchor(parent)
            if (parent.ino, name) in node.names:
                return
            self.note(node, parent.ino, name)
            node = parent
