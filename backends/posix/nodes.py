"""The files in use, and the ways to them: by name, by the kernel's handle, by the index; never
outside of the root."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from backends.base import FsError, Key, Status

from . import kernel
from .index import Index
from .node import Node, SecondChance, attr_of

log = logging.getLogger("nfsloop.posix")

#: How deep beneath the root the index finds a file.
MAX_DEPTH: Final = 300
#: Names that are looked through for a file that is not where the index says.
SEARCH_NAMES: Final = 10_000
#: Names of one file that are remembered as indexed.
_NAMES_KNOWN = 8
_MISSED_KNOWN: Final = 1024
_ANCHORED_KNOWN: Final = 1024
_MISSED_SECONDS: Final = 10.0
#: Evicted nodes that stay open for a while.
EVICTED_OPEN: Final = 32
#: Nodes that stay however few descriptors there are, and how many go at least if there are more.
LEAST_NODES: Final = 16
RELIEF_NODES: Final = 16
_O_NODE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def _close(node: Node) -> None:
    fd, node.fd = node.fd, -1
    os.close(fd)


class Nodes:
    """All nodes of one root, and the ways to them. Runs as whoever the thread acts as."""

    def __init__(self, root: bytes, limit: int) -> None:
        """Opens the root. Raises OSError (FileNotFoundError, NotADirectoryError …)."""
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        st = os.fstat(fd)
        self.device = st.st_dev
        self.handles = kernel.Handles.learn(fd)
        #: A descriptor for open_by_handle_at, where that works; else -1.
        self.mount_fd = -1
        self.index: Index | None = None
        #: Issue an index entry for everything, not only for what no kernel handle covers.
        self.index_all = True
        self.overlay = kernel.filesystem(fd) == kernel.OVERLAY
        #: Does as `own` of the identity, while files are opened that the caller may not reach.
        self.as_self: Callable[[], None] = lambda: None
        #: Closes a node's data descriptor.
        self.close_data: Callable[[Node], None] = lambda node: None
        #: Whether nothing that was written to a node is left unsynced; begins to sync it.
        self.may_go: Callable[[Node], bool] = lambda node: True
        self._limited = SecondChance[Node](limit, self._evict)
        self.table = self._limited.table
        self._sweep_at: Iterator[int] = iter(())
        #: Evicted, but still open: the call that is running may be using them.
        self._evicted: deque[Node] = deque()
        #: How many nodes there may be if descriptors suffice, and when they last did not.
        self._most = limit
        self._relieved = 0.0
        self._warned = False
        #: Inode numbers that were searched in vain, and until when not again.
        self._missed: dict[int, float] = {}
        #: Directories that something is mounted in → the paths by which they are indexed.
        self._anchored: dict[int, bytes] = {}
        self.root = Node(fd, st.st_ino, self.generation(fd, b"", st), st)
        self._mount = self.handles.mount() if self.handles is not None else 0
        self.table[self.root.ino] = self.root
        self.root_path = b""
        self._prefix = self.prefix()

    def use_index(self, index: Index, everything: bool) -> None:
        """Find files by `index`: all of them, or those of which the kernel has no handles."""
        self.index = index
        self.index_all = everything
        root = self.root
        root.generation = self.generation(root.fd, b"", root.st)
        root.attr = attr_of(root.st, root.ino, root.generation)

    def close(self) -> None:
        """Let go of all nodes."""
        for node in list(self.table.values()):
            self.drop(node)
        while self._evicted:
            _close(self._evicted.popleft())
        self.close_data(self.root)
        _close(self.root)
        if self.mount_fd >= 0:
            os.close(self.mount_fd)
            self.mount_fd = -1

    # Identity

    def ino_of(self, st: os.stat_result) -> int:
        """The inode number as clients see it: that of another device beneath the root is mixed
        with the device's number, which is only as stable as that."""
        if st.st_dev == self.device:
            return st.st_ino
        mixed = blake2b(b"%d.%d" % (st.st_dev, st.st_ino), digest_size=8).digest()
        return int.from_bytes(mixed, "little")

    def generation(self, dir_fd: int, name: bytes, st: os.stat_result) -> int:
        """The generation of a name (b"": of `dir_fd` itself), whose stat(2) is `st`.

        OSError ENOENT: the name is gone, or another file's by now.
        """
        if self.handles is not None and st.st_dev == self.device:
            found = self.handles.generation(dir_fd, name, st.st_ino)
        else:
            found = kernel.birth(dir_fd, name, st.st_ino)
            if found is not None and self.index is not None:
                found = self.index.issued(self.ino_of(st), found)
        if found is None and name:  # only a pinned file can be asked without a doubt
            fd = os.open(name, _O_NODE, dir_fd=dir_fd)
            try:
                again = os.fstat(fd)
                if (again.st_ino, again.st_dev) != (st.st_ino, st.st_dev):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
                return self.generation(fd, b"", st)
            finally:
                os.close(fd)
        if found is None:
            found = kernel.version(b"/proc/self/fd/%d" % dir_fd)
        if found is None and not self._warned:
            self._warned = True
            log.warning("this file system has no generations: a reused inode number is not noticed")
        return found or 0

    def abroad(self, st: os.stat_result) -> bool:
        """Whether what `generation` was just called for, whose stat(2) is `st`, is on another
        mount than the root's: the kernel, given its handle, does not find it beneath the root."""
        if st.st_dev != self.device:
            return True
        return self.handles is not None and self.handles.mount() != self._mount

    def copied_up(self, node: Node) -> None:
        """After a change, which on overlayfs may have made another file of a lower layer's, of the
        same number but with another birth time: note which generation its handles carry.

        The directories above it were copied with it. All this is done as the process itself, since
        the caller need not be allowed to pass them; and as his call has been carried out, nothing
        that goes wrong here is an error of it.
        """
        if not self.overlay or node.settled or self.index is None:
            return
        self.as_self()
        try:
            if self._renew(node.fd, node.ino, node.generation):
                node.settled = True
                self._renew_above(node)
        except Exception:
            log.exception("%r was copied up: its handles may become stale", node)

    def _renew_above(self, node: Node) -> None:
        """Note the directories from a node's up to the root."""
        index = self.index
        assert index is not None
        if node.directory:
            at = os.dup(node.fd)
        else:
            at = self._open_above(node)
            self._renew_dir(at, index)
        try:
            st = os.fstat(at)
            while (st.st_dev, st.st_ino) != (self.device, self.root.st.st_ino):
                above = os.open(b"..", _O_NODE | os.O_DIRECTORY, dir_fd=at)
                os.close(at)
                at, below, st = above, st, os.fstat(above)
                if (st.st_dev, st.st_ino) == (below.st_dev, below.st_ino):
                    break  # the top, if it was moved out of the export
                self._renew_dir(at, index)
        finally:
            os.close(at)

    def _open_above(self, node: Node) -> int:
        """The directory that a file is in, as far as is known."""
        try:
            path = os.path.dirname(os.readlink(node.path))
            return os.open(path, _O_NODE | os.O_DIRECTORY)
        except OSError:  # too long, say
            for ino, _ in node.names:
                parent = self.table.get(ino)
                if parent is not None:
                    return os.dup(parent.fd)
            raise

    def _renew_dir(self, fd: int, index: Index) -> None:
        ino = self.ino_of(os.fstat(fd))
        known = self.table.get(ino)
        if known is not None:
            self._renew(fd, ino, known.generation)
            return
        for link in index.links(ino):
            self._renew(fd, ino, link.generation)

    def _renew(self, fd: int, ino: int, generation: int) -> bool:
        index, now = self.index, kernel.birth(fd, b"", os.fstat(fd).st_ino)
        if index is None or now is None or index.issued(ino, now) == generation:
            return False
        index.alias(ino, now, generation)
        return True

    # The table

    def adopt(self, fd: int) -> Node:
        """The node of what `fd` (O_PATH) is open on; takes `fd` over."""
        try:
            st = os.fstat(fd)
            ino = self.ino_of(st)
            node = self.table.get(ino)
            if node is None:
                node = Node(fd, ino, self.generation(fd, b"", st), st)
                node.foreign = self.abroad(st)
                fd = -1
                self._limited.put(ino, node)
            else:
                node.hot = True
                node.update(st)
            return node
        finally:
            if fd >= 0:
                os.close(fd)

    def _evict(self, node: Node) -> bool:
        if node is self.root or not self.may_go(node):
            return False
        self.close_data(node)
        self._evicted.append(node)
        while len(self._evicted) > EVICTED_OPEN:
            _close(self._evicted.popleft())
        return True

    def drop(self, node: Node) -> None:
        """Forget a node, at once: a removed file's space is free then."""
        if node is not self.root and self.table.get(node.ino) is node:
            del self.table[node.ino]
            self.close_data(node)
            _close(node)

    def stale(self, node: Node) -> FsError:
        """The file is gone: the error to raise."""
        self.drop(node)
        return FsError(Status.STALE)

    def open(self, name: bytes, parent: Node) -> int:
        """openat(2) for a node; if descriptors run out, nodes go."""
        try:
            return os.open(name, _O_NODE, dir_fd=parent.fd)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self.relieve(parent)
        return os.open(name, _O_NODE, dir_fd=parent.fd)

    def enter_open(self, parent: Node, name: bytes, fd: int) -> Node:
        """The node of a new file that is open as `fd`."""
        path = b"/proc/self/fd/%d" % fd
        try:
            pin = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.relieve(parent)
            pin = os.open(path, os.O_PATH | os.O_CLOEXEC)
        node = self.adopt(pin)
        node.settled = True
        self.note(node, parent.ino, name)
        return node

    def relieve(self, *keep: Node) -> None:
        """Descriptors have run out: some nodes go, but not those in `keep`.

        There will be half as many, halved once a second at most; and `sweep` lets them become more
        again, since whoever took the descriptors may have given them back.
        """
        limited, table, now = self._limited, self.table, time.monotonic()
        for node in keep:
            if node.ino in table:
                node.hot = True
                table.move_to_end(node.ino)
        if now - self._relieved >= 1:
            self._relieved = now
            limited.limit = max(LEAST_NODES, min(limited.limit, len(table)) // 2)
            log.warning("out of file descriptors: at most %d files stay open", limited.limit)
        limited.shrink(max(LEAST_NODES, min(limited.limit, len(table) - RELIEF_NODES)))
        while len(self._evicted) > EVICTED_OPEN // 4:
            _close(self._evicted.popleft())

    # Ways to a node

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
                found = self._vouch(self.adopt(fd))
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
                _close(node)
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

    def prefix(self) -> bytes:
        """What the paths of all files beneath the root begin with at this moment. Raises OSError
        if the root's own is longer than PATH_MAX.

        Asked anew each time: somebody may move the root, and another directory to its place.
        """
        path = os.readlink(self.root.path)
        if path != self.root_path:
            self.root_path = path
            self._prefix = path if path == b"/" else path + b"/"
        return self._prefix

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
        while self._evicted:
            _close(self._evicted.popleft())
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
            parent = self.adopt(os.open(above or b"/", _O_NODE | os.O_DIRECTORY))
            self.anchor(parent)
            if (parent.ino, name) in node.names:
                return
            self.note(node, parent.ino, name)
            node = parent
