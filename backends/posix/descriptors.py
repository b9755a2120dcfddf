"""Open files for data: a bounded cache, buffers that are used again, and shared fsyncs."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic_ns, thread_time_ns
from typing import Final

from backends.base import Context, FsError, Status

from .creds import Identity
from .node import Node, SecondChance
from .nodes import Nodes
from .pace import Pace
from .workers import Workers

log = logging.getLogger("nfsloop.posix")

# The seam at which tests make the disk fail.
fsync = os.fsync
fdatasync = os.fdatasync

_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_FLAGS: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

#: Reads from this size on are made into buffers that are used again: fresh ones of this size
#: come from the kernel, page by page.
LARGE_BYTES: Final = 65536
#: Memory that the buffers kept for that may take.
POOL_BYTES: Final = 32 << 20
#: How many files are synced at a time because they are in the way, not because a client asked.
FLUSHES: Final = 2
#: Descriptors that may stay open however few there are.
LEAST: Final = 16
#: Descriptors that a sweep closes at most.
SWEEP_CLOSES: Final = 128


class Descriptor:
    """A file that is open for data."""

    __slots__ = ("busy", "dead", "dirty", "fd", "hot", "no_wait", "node", "offset", "queued",
                 "readable", "running", "writable", "written")  # fmt: skip

    def __init__(self, node: Node, fd: int, readable: bool, writable: bool) -> None:
        self.node = node
        self.fd = fd
        self.readable = readable
        self.writable = writable
        self.hot = True
        #: RWF_NOWAIT; 0 where it is not known, and reads are from memory.
        self.no_wait = _NOWAIT
        #: Threads that use `fd` now; it is closed when there is none.
        self.busy = 0
        self.dead = False
        #: Since the last sweep.
        self.written = writable
        #: Clients were told that data are UNSTABLE, and no fsync has begun since. Only the kernel's
        #: inode knows if writing them back fails, and it forgets that when nobody has it open.
        self.dirty = False
        #: Of a directory: where it stands.
        self.offset = 0
        #: Who waits for an fsync that has not begun yet, and whether one for data only will do.
        self.queued: list[tuple[asyncio.Future[None], bool]] = []
        self.running = False


class Descriptors:
    """The cache, one descriptor per node."""

    def __init__(
        self, limit: int, nodes: Nodes, identity: Identity, lost: Callable[[OSError], None]
    ) -> None:
        self._limited = SecondChance[Descriptor](limit, self._evict)
        self.table = self._limited.table
        self._most = limit
        #: How often a file had to be opened for its data.
        self.misses = 0
        #: `Syncs.flush`.
        self.flush: Callable[[Descriptor], None] = lambda desc: None
        self._nodes = nodes
        self._identity = identity
        self._lost = lost

    def get(self, node: Node, write: bool, ctx: Context) -> Descriptor:
        """The node's descriptor, opened if it is not, or not for that. No permission of the
        caller's is checked: that is `Core.check`'s.

        It is opened with the process's own rights, because NFS lets an owner read and write what
        the mode forbids, because the file may be open since before a chmod, and because one
        descriptor serves all callers. It is for reading unless somebody writes: a file that is
        open for writing cannot be executed.
        """
        desc = node.desc
        if desc is not None and (desc.writable if write else desc.readable):
            desc.hot = True
            return desc
        return self.put(node, *self._open(node, write, ctx))

    def put(self, node: Node, fd: int, readable: bool, writable: bool) -> Descriptor:
        """Take over an open descriptor; that of a new file is the node's too (`Nodes.pin`)."""
        old = self.table.pop(node.ino, None)  # perhaps that of a node that was let go
        if old is not None:
            self._let_go(old)
        node.desc = desc = Descriptor(node, fd, readable, writable)
        self._limited.put(node.ino, desc)
        return desc

    def _open(self, node: Node, write: bool, ctx: Context) -> tuple[int, bool, bool]:
        flags = _FLAGS | (os.O_RDWR if write else os.O_RDONLY)
        self.misses += 1
        self._identity.own()
        try:
            return os.open(node.path, flags), True, write
        except PermissionError:
            return self._open_as(node, write, ctx)
        except BlockingIOError:  # somebody holds a lease, and is told to give it back
            raise FsError(Status.JUKEBOX, "leased") from None
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._nodes.relieve(node)
        self.relieve()
        return os.open(node.path, flags), True, write

    def _open_as(self, node: Node, write: bool, ctx: Context) -> tuple[int, bool, bool]:
        """`_open` where the process has not got all rights: as the caller."""
        self._identity.become(ctx)
        try:
            return os.open(node.path, _FLAGS | (os.O_RDWR if write else os.O_RDONLY)), True, write
        except PermissionError:
            if write:
                try:
                    return os.open(node.path, _FLAGS | os.O_WRONLY), False, True
                except PermissionError:
                    pass
            uid = ctx.uid if self._identity.switches else os.geteuid()
            st = os.fstat(node.fd)
            if st.st_uid != uid or node.directory:
                raise
        # The owner's own file, say of mode 0444, that was opened before or will be chmodded
        # later: NFS lets the owner go on. Without the rights of root there is no way but to open
        # it in a moment in which the mode allows that.
        mode = st.st_mode & 0o7777
        os.chmod(node.path, mode | 0o600)
        try:
            return os.open(node.path, _FLAGS | (os.O_RDWR if write else os.O_RDONLY)), True, write
        finally:
            os.chmod(node.path, mode)

    def close(self, node: Node, close: Callable[[int], None] = os.close) -> None:
        """Close a node's descriptor, if it has one. The node has been pinned, or goes too."""
        desc = node.desc
        if desc is not None:
            self.table.pop(node.ino, None)
            if desc.dirty and not os.fstat(desc.fd).st_nlink:
                desc.dirty = False  # the file is removed, and nobody will ask for its data
            self._let_go(desc, close)

    def part(self, node: Node) -> bool:
        """Close the descriptor of a node that is let go, and may still be looked at: one that is
        the node's too becomes the node's alone. False: a thread uses it."""
        desc = node.desc
        if desc is None or desc.fd != node.fd:
            self.close(node)
            return True
        if desc.busy:
            return False
        del self.table[node.ino]
        node.desc, desc.fd, desc.dead = None, -1, True
        return True

    def may_go(self, node: Node) -> bool:
        """Whether all that was written to a file has been synced; if not, that is begun.

        Until it has, file and descriptor stay as they are, and whoever commits shares that fsync:
        else the kernel might drop the inode, and with it the knowledge that data were lost.
        """
        desc = node.desc
        if desc is None:
            return True
        if desc.dirty:
            self.flush(desc)
            return False
        return not desc.running

    def relieve(self) -> None:
        """Descriptors have run out: close half, and keep no more open than that for a while."""
        limited = self._limited
        limited.limit = max(min(LEAST, self._most), min(limited.limit, len(self.table)) // 2)
        limited.shrink(len(self.table) // 2)

    def crowded(self) -> bool:
        """Whether more is open than should be, because it is not synced yet."""
        limited = self._limited
        if len(self.table) > limited.limit:
            limited.shrink(limited.limit)
        return len(self.table) > limited.limit

    def _evict(self, desc: Descriptor) -> bool:
        if not self.may_go(desc.node) or not self._nodes.pin(desc.node):
            return False
        self._let_go(desc)
        return True

    def _let_go(self, desc: Descriptor, close: Callable[[int], None] = os.close) -> None:
        desc.node.desc = None
        desc.dead = True
        if desc.dirty:
            self.flush(desc)
        self.release(desc, close)

    def shut(self) -> None:
        """At the end, when nothing can be synced any more: let all be closed. What is not safe was
        UNSTABLE, and the next life has another verifier."""
        for desc in self.table.values():
            desc.dirty = False

    def release(self, desc: Descriptor, close: Callable[[int], None] = os.close) -> None:
        """Close what is dead, if nobody uses it and it need not be synced."""
        if desc.dead and not desc.busy and not desc.queued and not desc.dirty and desc.fd >= 0:
            fd, desc.fd = desc.fd, -1
            try:
                close(fd)
            except OSError as error:  # some file systems write back only now
                self._lost(error)

    def sweep(self) -> None:
        """Close what was open for writing and idle: programs shall be executable.

        But not where the mode would refuse to open it again, and not before it is synced; and not
        many at a time, as calls wait meanwhile.
        """
        left = SWEEP_CLOSES
        for desc in list(self.table.values()):
            if desc.written:
                desc.written = False
            elif (
                left
                and desc.writable
                and (self._identity.switches or desc.node.st.st_mode & 0o200)
                and self.may_go(desc.node)
                and self._nodes.pin(desc.node)
            ):
                self.close(desc.node)
                left -= 1
        limited = self._limited
        limited.limit = min(self._most, limited.limit + max(1, self._most // 32))
        self.crowded()


class Syncs:
    """fsync in threads. Callers that come while one runs share the next one: it begins after all
    of their data have been written.

    Where syncs are quick and the loop has time (`Pace`), one at a time is done on the loop.
    """

    def __init__(
        self,
        workers: Workers,
        loop: asyncio.AbstractEventLoop,
        descriptors: Descriptors,
        lost: Callable[[OSError], None],
    ) -> None:
        self._workers = workers
        self._loop = loop
        self._descriptors = descriptors
        self._lost = lost
        #: Who shall be flushed, in order, and how many just are.
        self._wanted: dict[Descriptor, None] = {}
        self._flushing = 0
        self._hopeful: list[asyncio.Future[None]] = []
        self.pace = Pace()
        #: Syncs that threads have in hand, and whether more came meanwhile; whether one was done on
        #: the loop in this turn of it.
        self._running = 0
        self._met = False
        self._turned = False

    async def progress(self) -> None:
        """Return when one more file has been flushed, if any is to be."""
        if self._flushing:
            hope: asyncio.Future[None] = self._loop.create_future()
            self._hopeful.append(hope)
            await hope

    def flush(self, desc: Descriptor) -> None:
        """Sync a file in the background, so that it can be closed."""
        self._wanted[desc] = None
        self._pump()

    def shut(self) -> None:
        """At the end: close what waits to be synced and has no node any more."""
        for desc in self._wanted:
            desc.dirty = False
            self._descriptors.release(desc)
        self._wanted.clear()

    def _pump(self) -> None:
        while self._wanted and self._flushing < FLUSHES:
            desc = next(iter(self._wanted))
            del self._wanted[desc]
            if not desc.dirty or desc.fd < 0:
                continue
            waiter: asyncio.Future[None] = self._loop.create_future()
            waiter.add_done_callback(self._flushed)
            self._flushing += 1
            desc.queued.append((waiter, False))
            if not desc.running:
                self._begin(desc)

    def _flushed(self, waiter: asyncio.Future[None]) -> None:
        waiter.exception()  # `_done` has seen to it
        self._flushing -= 1
        hopeful, self._hopeful = self._hopeful, []
        for hope in hopeful:
            if not hope.done():
                hope.set_result(None)
        self._pump()

    async def sync(self, desc: Descriptor, data_only: bool) -> None:
        """Return when all that was written before the call is on disk. Raises OSError."""
        alone = not (self._running or self._turned)
        self._met = not alone
        if alone and self.pace.allows(monotonic_ns(), thread_time_ns()):
            self._sync_here(desc, data_only)
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        desc.queued.append((waiter, data_only))
        if not desc.running:
            self._begin(desc)
        await waiter

    def _sync_here(self, desc: Descriptor, data_only: bool) -> None:
        self._turned = True
        self._loop.call_soon(self._turn)
        desc.dirty = False
        try:
            self._timed(fdatasync if data_only else fsync, desc.fd)
        except OSError as error:
            self._lost(error)
            raise

    def _turn(self) -> None:
        self._turned = False

    def _timed(self, call: Callable[[int], None], fd: int) -> None:
        began = monotonic_ns()
        call(fd)
        self.pace.took(monotonic_ns() - began)

    def _begin(self, desc: Descriptor) -> None:
        waiters, desc.queued = desc.queued, []
        call = fdatasync if all(data_only for _, data_only in waiters) else fsync
        desc.dirty = False
        try:
            work = partial(self._timed, call, desc.fd)
            self._workers.submit(work, partial(self._done, desc, waiters))
        except RuntimeError:  # the server has stopped: the next one has another verifier
            for waiter, _ in waiters:
                if not waiter.done():
                    waiter.set_exception(FsError(Status.JUKEBOX, "stopped"))
                    waiter.exception()  # seen, also if nobody waits any more
            self._descriptors.release(desc)
            return
        desc.running = True
        desc.busy += 1
        self._running += 1

    def _done(
        self,
        desc: Descriptor,
        waiters: list[tuple[asyncio.Future[None], bool]],
        error: BaseException | None,
    ) -> None:
        desc.running = False
        desc.busy -= 1
        self._running -= 1
        if not self._running:
            self.pace.alone(not self._met)
        if isinstance(error, OSError):
            self._lost(error)
        for waiter, _ in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        if desc.queued:
            self._begin(desc)
        else:
            self._descriptors.release(desc)


def _references(pool: list[bytearray]) -> int:
    for buffer in pool:
        return sys.getrefcount(buffer)
    return 0


#: What `sys.getrefcount` gives in the loop of `Buffers.take` for a buffer that nobody else has.
#: Measured, because Python versions differ.
_UNUSED: Final = _references([bytearray(1)])


class Buffers:
    """Large buffers for READ, used again once nobody refers to them.

    A fresh megabyte costs more in page faults than reading it. A reply's memoryview, or whatever is
    derived from it, keeps a reference to the buffer until it is sent; a buffer without any other
    than the pool's is free. No one has to give it back.
    """

    def __init__(self, limit: int = POOL_BYTES) -> None:
        self._pools: dict[int, list[bytearray]] = {}
        self._room = limit

    def take(self, count: int) -> bytearray:
        """A buffer of at least `count` bytes; its contents are of no meaning."""
        size = 1 << (count - 1).bit_length()
        pool = self._pools.get(size)
        if pool is None:
            pool = self._pools[size] = []
        for buffer in pool:
            if sys.getrefcount(buffer) == _UNUSED:
                return buffer
        fresh = bytearray(size)
        if self._room >= size:
            self._room -= size
            pool.append(fresh)
        return fresh
