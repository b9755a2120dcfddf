"""The backend's frame: start, stop, attributes, lookup, permission."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from backends import threads
from backends.base import (
    Access,
    Attr,
    Backend,
    Context,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Limits,
    Status,
    Target,
    granted,
)

from . import creds, kernel
from .descriptors import Buffers, Descriptors, Syncs
from .index import Index
from .node import Node
from .nodes import Nodes
from .workers import Workers

log = logging.getLogger("nfsloop.posix")

THREADS: Final = 8
#: Nodes that are looked after in a second.
SWEEP_NODES: Final = 256
#: How long a directory that was seen to lie beneath the root is taken to lie there.
BENEATH_SECONDS: Final = 0.05
#: How many callers' rights are remembered per file.
RIGHTS_KNOWN: Final = 16
#: Linux's PATH_MAX, without its NUL: no longer link can be made.
LINK_TARGET_MAX: Final = 4095
#: A change within this time after another may not have changed the ctime: a tick of the kernel's
#: coarse clock, and the time stamps of file systems that have none finer.
_TICK_NS: Final = 20_000_000
_LONG_TICK_NS: Final = 2_020_000_000
_EXT_MAX_FILE = 2**44 - 4096
_UNKNOWN_LINK_MAX = 127

_R, _W, _X = os.R_OK, os.W_OK, os.X_OK


def _bits(read: Access, write: Access, execute: Access) -> tuple[int, ...]:
    return tuple(
        int((read if n & _R else 0) | (write if n & _W else 0) | (execute if n & _X else 0))
        for n in range(8)
    )


_FILE_BITS = _bits(Access.READ, Access.MODIFY | Access.EXTEND, Access.EXECUTE)
_DIR_BITS = _bits(Access.READ, Access.MODIFY | Access.EXTEND | Access.DELETE, Access.LOOKUP)


class Core(Backend):
    """What all methods share. `nodes.find` raises STALE; `identity.become` comes before each
    system call that the kernel shall check for the caller, and only before those."""

    inline = True
    #: What most file systems can; `start` finds out about this one.
    limits = Limits(links=True, symlinks=True, special_files=True, set_times=True)

    def __init__(
        self,
        path: str | Path,
        *,
        state: Path | None,
        sync: bool = True,
        nodes: int | None = None,
        descriptors: int | None = None,
    ) -> None:
        super().__init__()
        self._where = Path(path)
        self._state = state
        self._safe = sync
        self._node_limit = nodes
        self._descriptor_limit = descriptors
        self._buffers = Buffers()
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._shared = False
        self._euid = os.geteuid()
        #: See `BENEATH_SECONDS`.
        self.beneath_seconds = BENEATH_SECONDS
        #: Directories whose attributes were looked at in this turn of the loop.
        self._fresh: set[Node] = set()
        #: What `peek` has seen last: directory, name, stat(2).
        self._peeked: tuple[Node, bytes, os.stat_result] | None = None

    # Life cycle

    async def start(self) -> None:
        """See `Backend.start`. Sets the umask of the process to 0: clients apply their own.

        Raises FileNotFoundError, NotADirectoryError; PermissionError if the process passes all
        permission checks and yet cannot act as its callers; OSError for a bad `state`.
        """
        if not os.path.isdir("/proc/self/fd"):
            raise FileNotFoundError(2, "the posix backend needs /proc", "/proc/self/fd")
        if creds.unsafe_root():
            raise PermissionError(
                1, "root without CAP_SETUID and CAP_SETGID cannot act as its callers: "
                "drop CAP_DAC_OVERRIDE too, or run as an ordinary user", str(self._where)
            )  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._identity = creds.of_this_thread()
        self._identity.attach(self._loop)
        self._identity.rest()
        self._euid = os.geteuid()
        self._switches = self._identity.switches
        self._passes = self._switches and creds.effective(creds.CAP_DAC_OVERRIDE)
        os.umask(0)
        most = _raise_limit()
        self._named = os.fsencode(self._where.absolute())
        self._nodes = Nodes(self._named, self._node_limit or max(64, min(16384, most // 4)))
        with ExitStack() as undo:
            undo.callback(self._nodes.close)
            self._open_root(self._descriptor_limit or max(16, min(1024, most // 16)), undo)
            undo.pop_all()
        self._started = True
        self._sweep()

    def _open_root(self, descriptors: int, undo: ExitStack) -> None:
        nodes = self._nodes
        self._table = nodes.table
        self._near = nodes.near
        self._root = nodes.root
        self._device = nodes.device
        self._pool = ThreadPoolExecutor(THREADS, "posix", creds.settle_thread)
        undo.callback(self._pool.shutdown)
        self._workers = Workers(THREADS, self._loop)
        undo.callback(self._workers.shut)
        # Of its own: a disk that hangs may keep it for ever.
        self._asking = threads.Pool(1, "posix-health")
        undo.callback(self._asking.close)
        self._descriptors = Descriptors(descriptors, nodes, self._identity, self._lost)
        self._syncs = Syncs(self._workers, self._loop, self._descriptors, self._lost)
        nodes.as_self = self._identity.own
        nodes.later = lambda again: self._loop.call_later(self.beneath_seconds, again)
        nodes.close_data = self._descriptors.close
        nodes.close_later = self._workers.close_later
        nodes.part = self._descriptors.part
        nodes.may_go = self._descriptors.may_go
        self._descriptors.flush = self._syncs.flush
        self._mounts = kernel.Mounts()
        undo.callback(self._mounts.close)
        by_kernel = self._probe_handles()
        if self._state is not None:
            _make_private(self._state)
        self._index = Index(self._state, os.path.realpath(nodes.root_path), self._shared)
        try:
            self._index.open()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the index in {self._state}: {error}") from error
        undo.callback(self._index.close)
        nodes.use_index(self._index, not by_kernel)
        #: Whether a lookup must make sure that the index has the name.
        self._indexing = not by_kernel
        self.limits = self._learn_limits()
        self._access2 = self._probe_access()
        # An index of all files would be one more thing that the processes wait for each other at.
        self._by_kernel = self.shareable = by_kernel
        log.info(
            "%s: %s, generations from %s",
            self._where,
            self.describe(),
            "the kernel's handles" if nodes.handles else "birth times",
        )

    def describe(self) -> str:
        """See `Backend.describe`."""
        whom = "each caller" if self._identity.switches else f"user {self._euid}, whoever calls"
        way = "the kernel" if self._by_kernel else f"the index in {self._state or 'memory'}"
        return f"files accessed as {whom}; handles opened by {way}"

    async def health(self) -> str | None:
        """See `Backend.health`: whether the directory is still where it was, and can be written to
        if it could."""
        if not self._started:
            return None
        index = self._index.wrong()
        wrong = await self._asking.run(self._look_at_root)
        return wrong or (
            f"the index in {self._state} cannot be written: {index}" if index else None
        )

    def _look_at_root(self) -> str | None:
        """What `health` says. In a thread, and as the process itself; raises OSError."""
        path = self._named
        try:
            st = os.stat(path)
        except FileNotFoundError:
            return "the directory is gone; its clients still see what it was"
        if (st.st_dev, st.st_ino) != (self._device, self._root.ino):
            return "another directory has taken its place, or something is mounted over it"
        if os.statvfs(path).f_flag & os.ST_RDONLY and not self.limits.read_only:
            return "its file system has become read-only"
        return None

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`. Only misses: hits are the way on which every call is fast."""
        if not self._started:
            return {}
        return {
            ("files", "misses"): self._nodes.misses,
            ("descriptors", "misses"): self._descriptors.misses,
        }

    def _probe_handles(self) -> bool:
        """Whether the kernel opens files by handle here: tried, since no capability says so."""
        nodes = self._nodes
        if nodes.handles is None:
            return False
        try:
            # open_by_handle_at refuses O_PATH descriptors as the mount.
            nodes.mount_fd = os.open(nodes.root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            os.close(nodes.handles.open(nodes.mount_fd, nodes.root.ino, nodes.root.generation))
            return True
        except OSError:
            if nodes.mount_fd >= 0:
                os.close(nodes.mount_fd)
                nodes.mount_fd = -1
            return False

    def _probe_access(self) -> bool:
        try:
            kernel.may(self._root.fd, _R)
            return True
        except OSError as error:
            log.warning("faccessat2: %s; ACCESS goes by mode bits, not by ACLs", error)
            return False

    def _learn_limits(self) -> Limits:
        root = self._root.path
        vfs = os.statvfs(root)
        kind = kernel.filesystem(self._root.fd)
        try:
            link_max = os.pathconf(root, "PC_LINK_MAX")
        except OSError:
            link_max = _UNKNOWN_LINK_MAX
        if link_max == _UNKNOWN_LINK_MAX:  # glibc knows no limit: tmpfs, overlayfs …
            link_max = 2**31 - 1 if kind == kernel.TMPFS else 65000
        return Limits(
            read_only=bool(vfs.f_flag & os.ST_RDONLY),
            links=True,
            symlinks=True,
            special_files=True,
            set_times=True,
            name_max=min(vfs.f_namemax or 255, 255),
            path_max=LINK_TARGET_MAX,
            link_max=max(1, min(link_max, 2**32 - 1)),
            max_file_size=_EXT_MAX_FILE if kind == kernel.EXT else 2**63 - 1,
        )

    def set_sync(self, sync: bool) -> None:
        """Change what the constructor was told, from the next call on."""
        self._safe = sync

    def share(self) -> None:
        """See `Backend.share`: the index, of what is mounted beneath the root, is one for all."""
        self._shared = True

    async def stop(self) -> None:
        """See `Backend.stop`. Does nothing if it is not running."""
        if not self._started:
            return
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
        self._identity.rest()
        self._workers.shut()
        self._asking.close()
        try:
            await self._loop.run_in_executor(None, self._join)
        finally:
            self._close()

    def _join(self) -> None:
        self._pool.shutdown()
        self._workers.join()

    def _close(self) -> None:
        self._identity.rest()
        self._syncs.shut()
        self._descriptors.shut()
        try:
            for node in list(self._table.values()):
                if self._indexing or node.foreign:
                    self._nodes.revisit(node)
            self._index.close()
        finally:
            self._nodes.close()
            self._mounts.close()

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(1, self._sweep)
        self._identity.rest()
        try:
            self._nodes.sweep(SWEEP_NODES)
            self._descriptors.sweep()
            self._index.flushed()
            self._index.mend()
            if self._index.full:
                self._index.flush(self._pool)
        except Exception:
            log.exception("%s: looking after open files failed", self._where)

    def _lost(self, error: OSError) -> None:
        """Written data may not have reached the disk: clients shall send it again."""
        self.verifier = os.urandom(8)
        log.error("%s: written data may be lost: %s", self._where, error)

    # Ways in

    def _dir(self, key: Key) -> Node:
        """The node of a directory, which lies beneath the root. Hot callers look in `_near` first.

        Somebody on the server may have moved it, or one above it, out of the export since it was
        opened. Only its path tells, and that costs more than most calls do; so it is asked for
        every `beneath_seconds`: until then, calls are served as if they had come before the move.
        """
        node = self._near.get(key)
        if node is not None:
            return node
        node = self._table.get(key[0])
        if node is None or node.generation != key[1]:
            node = self._nodes.find(key)
        else:
            node.hot = True
        if not node.directory:
            raise FsError(Status.NOTDIR)
        if node is not self._root:
            self._see_beneath(node)
        self._nodes.see(key, node)
        return node

    def _see_beneath(self, node: Node) -> None:
        """Raise STALE for a directory that is not beneath the root, or removed."""
        try:
            path = os.readlink(node.path)
            beneath = path.startswith(self._nodes.prefix())
        except OSError:  # longer than PATH_MAX
            path, beneath = b" (deleted)", False
        if not beneath:
            self._identity.own()
            if not self._nodes.inside(node):
                raise self._nodes.stale(node)
        if path.endswith(b" (deleted)") and not os.fstat(node.fd).st_nlink:
            raise self._nodes.stale(node)

    def _reach(self, parent: Node, ctx: Context) -> None:
        """Before a name is looked up: act as the caller, unless he is known to have the right to,
        and the process has it anyway. To change the identity, twice, costs more than a look at the
        directory, once a turn, for whether its rights are still as remembered."""
        identity = self._identity
        if self._passes and identity.resting:
            if parent not in self._fresh:
                if not self._fresh:
                    self._loop.call_soon(self._fresh.clear)
                parent.update(os.fstat(parent.fd))
                self._fresh.add(parent)
            rights = parent.perms.get(ctx)
            if rights is None and self._settled(parent.attr.ctime):
                self._rights(parent, ctx)  # acts as the caller
            elif rights is not None and rights & _X:
                return
        if ctx is not identity.acting:
            identity.become(ctx)

    @staticmethod
    def _settled(ctime: int) -> bool:
        """Whether any change from now on will be seen by the ctime.

        Before Linux 6.13 all changes within a tick of the clock have one and the same; what has
        been learned within that of the last change must not be remembered.
        """
        age = time.time_ns() - ctime
        return age > _TICK_NS and (age > _LONG_TICK_NS or ctime % 1_000_000_000 != 0)

    def _rights(self, node: Node, ctx: Context, wanted: int = 7) -> int:
        """R_OK, W_OK, X_OK as the kernel gives them to the caller; remembered until owner, group,
        mode or ctime change. If they cannot be, perhaps only one of those `wanted`."""
        settled = self._settled(node.st.st_ctime_ns)
        if not settled and wanted != 7 and self._access2:
            if ctx is not self._identity.acting:
                self._identity.become(ctx)
            return next((n for n in (_R, _W, _X) if n & wanted and kernel.may(node.fd, n)), 0)
        given = int(granted(ctx, node.attr))
        rights = (_DIR_BITS if node.directory else _FILE_BITS).index(given)
        if self._access2:
            if ctx is not self._identity.acting:
                self._identity.become(ctx)
            fd, may = node.fd, kernel.may
            # What the mode gives is asked for at once, and is all of it but where there are ACLs.
            if rights and not may(fd, rights):
                rights = 0
            for bit in (_R, _W, _X):
                if not rights & bit and may(fd, bit):
                    rights |= bit
        if not settled:
            return rights
        if len(node.perms) >= RIGHTS_KNOWN:
            node.perms.clear()
        node.perms[ctx] = rights
        return rights

    def _owns(self, ctx: Context, uid: int) -> bool:
        return uid == (ctx.uid if self._switches else self._euid)

    def _check(self, node: Node, ctx: Context, attr: Attr, wanted: int) -> None:
        """Raise ACCES unless the caller owns the file or has one of the `wanted` rights."""
        if self._owns(ctx, attr.uid):
            return
        rights = node.perms.get(ctx)
        if rights is None:
            rights = self._rights(node, ctx, wanted)
        if not rights & wanted:
            raise FsError(Status.ACCES)

    def _look(self, node: Node) -> Attr:
        """The node's attributes as they are now. Raises STALE."""
        st = os.fstat(node.fd)
        if not st.st_nlink:
            raise self._nodes.stale(node)
        return node.update(st)

    # Attributes

    async def root(self, ctx: Context) -> Attr:
        """See `Backend.root`."""
        return self._root.update(os.fstat(self._root.fd))

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """See `Backend.getattr`."""
        node = self._table.get(key[0])
        if node is None or node.generation != key[1]:
            node = self._nodes.find(key)
        else:
            node.hot = True
        st = os.fstat(node.fd)
        if not st.st_nlink:
            raise self._nodes.stale(node)
        return node.update(st)

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """See `Backend.lookup`."""
        parent = self._near.get(dir) or self._dir(dir)
        if ctx is not self._identity.acting:
            self._reach(parent, ctx)
        try:
            st = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            if not os.fstat(parent.fd).st_nlink:
                raise self._nodes.stale(parent) from None
            raise
        own = st.st_dev == self._device
        node = self._table.get(st.st_ino if own else self._nodes.ino_of(st))
        if node is None:
            return Found(self._nodes.enter(parent, name).attr)
        node.hot = True
        if self._indexing or node.foreign:
            self._nodes.note(node, parent.ino, name)
        return Found(node.update(st))

    async def peek(self, ctx: Context, dir: Key, name: bytes) -> int | None:
        """See `Backend.peek`."""
        parent = self._near.get(dir) or self._dir(dir)
        if ctx is not self._identity.acting:
            self._reach(parent, ctx)
        try:
            st = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        self._peeked = (parent, name, st)
        return st.st_ino if st.st_dev == self._device else self._nodes.ino_of(st)

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """See `Backend.access`. The owner's privilege to read and write is not among the answers:
        clients ask before they open, and then the mode counts."""
        node = self._table.get(key[0])
        if node is None or node.generation != key[1]:
            node = self._nodes.find(key)
        else:
            node.hot = True
        st = os.fstat(node.fd)
        if not st.st_nlink:
            raise self._nodes.stale(node)
        attr = node.update(st)
        rights = node.perms.get(ctx)
        if rights is None:
            rights = self._rights(node, ctx)
        return Granted(mask & (_DIR_BITS if node.directory else _FILE_BITS)[rights], attr)

    async def readlink(self, ctx: Context, key: Key) -> Target:
        """See `Backend.readlink`."""
        node = self._nodes.find(key)
        if node.type is not FileType.LNK:
            raise FsError(Status.INVAL)
        attr = self._look(node)
        return Target(os.readlink(b"", dir_fd=node.fd), attr)

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """See `Backend.statfs`."""
        vfs = os.statvfs(self._nodes.find(key).fd)
        unit = vfs.f_frsize
        return FsStat(
            vfs.f_blocks * unit,
            vfs.f_bfree * unit,
            vfs.f_bavail * unit,
            vfs.f_files,
            vfs.f_ffree,
            vfs.f_favail,
        )


def _make_private(path: Path) -> None:
    """Make a directory that is nobody else's business, and those above it, where missing."""
    try:
        path.mkdir(0o700)
    except FileNotFoundError:
        _make_private(path.parent)
        path.mkdir(0o700)
    except FileExistsError:
        if not path.is_dir():
            raise


def _raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; the result."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
