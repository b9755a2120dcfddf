"""The table of the files in use, each pinned by a descriptor; and their generations."""

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

#: Evicted nodes that stay open for a while.
EVICTED_OPEN: Final = 32
#: Nodes that stay however few descriptors there are, and how many go at least if there are more.
LEAST_NODES: Final = 16
RELIEF_NODES: Final = 16
O_NODE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def close_node(node: Node, close: Callable[[int], None] = os.close) -> None:
    """Close its descriptor."""
    fd, node.fd = node.fd, -1
    close(fd)


class Pins:
    """All nodes of one root, and where that is. Runs as whoever the thread acts as."""

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
        #: Closes a node's data descriptor, with a function that closes.
        self.close_data: Callable[[Node, Callable[[int], None]], None] = lambda node, close: None
        #: Closes the last descriptor of a removed file that has data.
        self.close_later: Callable[[int], None] = os.close
        #: Leaves a node without one, but with a descriptor of its own; False: not now.
        self.part: Callable[[Node], bool] = lambda node: True
        #: Whether nothing that was written to a node is left unsynced; begins to sync it.
        self.may_go: Callable[[Node], bool] = lambda node: True
        self._limited = SecondChance[Node](limit, self._evict)
        self.table = self._limited.table
        #: Directories of `table` that were seen to lie beneath the root since `prefix` last looked.
        self.near: dict[Key, Node] = {}
        #: Calls a function when what was seen of paths shall be looked at again.
        self.later: Callable[[Callable[[], None]], object] = lambda again: again()
        self._glanced = False
        #: Whether FS_IOC_GETVERSION says what handles do; None: not known yet.
        self._versions = None if self.handles is not None else False
        self._sweep_at: Iterator[int] = iter(())
        #: Evicted, but still open: the call that is running may be using them.
        self._evicted: deque[Node] = deque()
        #: How many nodes there may be if descriptors suffice, and when they last did not.
        self._most = limit
        self._relieved = 0.0
        self._warned = False
        #: Files that were not among the nodes, and had to be opened by what names them.
        self.misses = 0
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
            self.drop(node, gone=False)
        self.close_evicted()
        self.close_data(self.root, os.close)
        close_node(self.root)
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
            fd = os.open(name, O_NODE, dir_fd=dir_fd)
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

    def _generation_of_new(self, fd: int, st: os.stat_result) -> int:
        """`generation` of a new file that is open as `fd`: by one cheap call on it, once that has
        said of a file what its handle does."""
        if st.st_dev != self.device or self._versions is False:
            return self.generation(fd, b"", st)
        version = kernel.version_of(fd)
        if self._versions and version is not None:
            return version
        generation = self.generation(fd, b"", st)
        if version != generation:
            self._versions = False
        elif generation:
            self._versions = True
        return generation

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
                above = os.open(b"..", O_NODE | os.O_DIRECTORY, dir_fd=at)
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
            return os.open(path, O_NODE | os.O_DIRECTORY)
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

    def adopt(self, fd: int, generation: int | None = None) -> Node:
        """The node of what `fd` (O_PATH) is open on; takes `fd` over. If the kernel has found it by
        a handle, its `generation` is known."""
        try:
            st = os.fstat(fd)
            ino = self.ino_of(st)
            node = self.table.get(ino)
            if node is None:
                if generation is not None and st.st_dev == self.device:
                    node = Node(fd, ino, generation, st)
                else:
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
        if node is self.root or not self.may_go(node) or not self.part(node):
            return False
        if node.directory:
            self.near.pop(Key(node.ino, node.generation), None)
        self._evicted.append(node)
        while len(self._evicted) > EVICTED_OPEN:
            close_node(self._evicted.popleft())
        return True

    def close_evicted(self) -> None:
        """Close what was evicted, between calls or where the one that runs has no node in use."""
        while self._evicted:
            close_node(self._evicted.popleft())

    def drop(self, node: Node, gone: bool = True) -> None:
        """Forget a node, at once: a removed file's space is free soon."""
        if node is not self.root and self.table.get(node.ino) is node:
            del self.table[node.ino]
            if node.directory:
                self.near.pop(Key(node.ino, node.generation), None)
            close = self.close_later if gone and node.st.st_blocks else os.close
            desc = node.desc
            if desc is None:
                close_node(node, close)
            elif desc.fd == node.fd:
                node.fd = -1  # it is the other's to close
                self.close_data(node, close)
            else:
                self.close_data(node, os.close)
                close_node(node, close)

    def pin(self, node: Node) -> bool:
        """Have the node hold the file by itself, so that its descriptor for data can be closed.

        False: there is no descriptor left for that.
        """
        desc = node.desc
        if desc is not None and desc.fd == node.fd:
            try:
                node.fd = os.open(node.path, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                return False
        return True

    def stale(self, node: Node) -> FsError:
        """The file is gone: the error to raise."""
        self.drop(node)
        return FsError(Status.STALE)

    def open(self, name: bytes, parent: Node) -> int:
        """openat(2) for a node; if descriptors run out, nodes go."""
        try:
            return os.open(name, O_NODE, dir_fd=parent.fd)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self.relieve(parent)
        return os.open(name, O_NODE, dir_fd=parent.fd)

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
            close_node(self._evicted.popleft())

    # Where the root is

    def prefix(self) -> bytes:
        """What the paths of all files beneath the root begin with. Raises OSError if the root's
        own is longer than PATH_MAX.

        Asked anew after a while: somebody may move the root, and another directory to its place.
        """
        if not self._glanced:
            path = os.readlink(self.root.path)
            if path != self.root_path:
                self.root_path = path
                self._prefix = path if path == b"/" else path + b"/"
            self._glanced = True
            self.later(self._look_again)
        return self._prefix

    def _look_again(self) -> None:
        self._glanced = False
        self.near.clear()

    def see(self, key: Key, node: Node) -> None:
        """A directory lies beneath the root, or is it: known for as long as `prefix` is."""
        try:
            self.prefix()
        except OSError:
            return
        self.near[key] = node
