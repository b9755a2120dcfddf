"""The buffer: which objects are unsaved, when they are put, and what bounds them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from backends.base import Buffer, FsError, Status
from backends.inodes import boot_id
from backends.writeback.local import Damaged, Head, LocalFile
from backends.writeback.place import Place
from backends.writeback.workers import LastPuts, spawn

log = logging.getLogger("nfsloop.writeback")

#: Bytes fetched at once from the store's object.
FETCH_BYTES: Final = 8 << 20
#: Ranges remembered of one object; with more, it is put first.
MAX_EXTENTS: Final = 16384
#: Seconds until a put that failed is tried again: the first time, and at most.
RETRY_SECONDS: Final = (1.0, 60.0)
#: An object that is written all the time is put after so many times `idle_seconds`.
BUSY_FACTOR: Final = 30
#: Objects that a writer puts to make room, before it is told to come again.
ROOM_TRIES: Final = 64
#: Seconds that `stop` goes on when no put ends, and at most.
STOP_SECONDS: Final = (5.0, 30.0)


class Objects(Protocol):
    """A store of whole objects. Methods raise `FsError` or OSError; called from several threads."""

    def get(self, ident: int, offset: int, count: int) -> bytes:
        """Bytes of an object; fewer where it ends. FileNotFoundError: there is none."""

    def put(self, ident: int, path: Path) -> None:
        """Make the object what the file at `path` is: whole, or not at all when this raises.

        When it returns, the store has it. The file may be written meanwhile, but does not shrink;
        it is put again then. Raises STALE where the object is not wanted any more.
        """

    def version(self, ident: int) -> Hashable:
        """What is another when the object's contents are; None: there is no object."""

    def wanted(self, ident: int) -> bool:
        """Whether there is still such a number; asked at the start."""


@dataclass(eq=False)
class _File:
    """An unsaved object. `uploading` is taken before `lock`, that before the buffer's own."""

    ident: int
    local: LocalFile
    #: When the first unsaved write came, and the last, in `time.monotonic` seconds.
    born: float
    touched: float
    #: Bytes that count against the bound: the largest size since it is buffered.
    reserved: int
    uploading: threading.RLock = field(default_factory=threading.RLock)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: How many changes there were, and how many of them the store has.
    changes: int = 1
    saved: int = 0
    #: In the store, or discarded: whoever waited for it looks again.
    gone: bool = False
    failures: int = 0
    retry_at: float = 0.0
    #: The store was asked to put it: it may have it, whatever it answered.
    tried: bool = False
    #: Left by another boot: it counts if the store has no such object, which nobody asked yet.
    doubtful: bool = False
    #: An uploader has it.
    taken: bool = False


class Hold:
    """The objects that are not being put while this is held."""

    def __init__(self, files: list[_File]) -> None:
        self.files = files


class Writeback:
    """See the package.

    `directory` holds what must survive the process; None: a temporary one, and nothing does. `tag`
    (64 bits) names the table that the numbers are from. `start` comes first, `stop` last.
    """

    def __init__(
        self,
        objects: Objects,
        directory: Path | None,
        *,
        tag: int = 0,
        buffer_bytes: int = 4 << 30,
        buffer_files: int = 4096,
        idle_seconds: float = 5.0,
        uploaders: int = 4,
    ) -> None:
        self._objects = objects
        #: Where the local files are.
        self.place = Place(directory)
        #: May be set until `start`.
        self.tag = tag
        self.buffer_bytes = buffer_bytes
        self.buffer_files = buffer_files
        self.idle_seconds = idle_seconds
        self._uploaders = uploaders
        self._boot = bytes.fromhex(boot_id().replace("-", ""))[:16].ljust(16, b"\0")
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        #: By number, the longest untouched first.
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._reserved = 0
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._error = ""
        #: As `Backend.verifier`; known after `start`.
        self.verifier = os.urandom(8)

    # Life cycle

    def start(self) -> None:
        """Recover what a process left behind, and begin to put it. Raises OSError."""
        self.place.lock()
        self._recover()
        self._stopping = False
        for number in range(self._uploaders):
            self._threads.append(spawn(self._work, f"writeback-{number}"))

    def stop(self) -> None:
        """Put everything, once, as far as the store takes it in `STOP_SECONDS`.

        What it does not take stays in the directory, and is put after the next start.
        """
        with self._lock:
            self._stopping = True
            self._wake.notify_all()
            waiting = list(self._files.values())
        patience, most = STOP_SECONDS
        LastPuts(self._put_last, waiting, max(1, self._uploaders)).run(
            most if self.place.passing else patience, most
        )
        left = len(self._files)
        if left:
            kept = f"kept in {self.place.root} for the next start"
            kept = "lost" if self.place.passing else kept
            why = self._error or "it does not answer"
            log.error("%d objects are not in the store, but %s: %s", left, kept, why)
        self._let_go(0.1)
        self.place.unlock()

    def abandon(self) -> None:
        """Let go of everything and put nothing, as a crash does: for tests."""
        with self._lock:
            self._stopping = True
            self._wake.notify_all()
        self._let_go(None)
        self.place.unlock()

    def _let_go(self, seconds: float | None) -> None:
        """Whoever still hangs in the store changes nothing here when it answers."""
        for thread in self._threads:
            thread.join(seconds)
        self._threads.clear()
        for file in list(self._files.values()):
            with file.lock:
                file.gone = True
        self._files.clear()
        self._reserved = 0

    def _put_last(self, file: _File) -> bool:
        try:
            self._upload(file, file.changes)
        except Exception as error:
            self._error = str(error)
            return False
        return True

    def health(self) -> str | None:
        """What is wrong, in a few words; None: nothing."""
        with self._lock:
            failing = sum(file.failures > 0 for file in self._files.values())
        return f"{failing} objects cannot be put: {self._error}" if failing else None

    # Recovery

    def _recover(self) -> None:
        lost = False
        for journal in sorted(self.place.root.glob("*.journal")):
            try:
                lost |= not self._recover_one(int(journal.stem))
            except (Damaged, ValueError) as error:
                log.error("%s: moved to %s", error, self.place.root / "lost")
                self.place.move_to_lost(journal.stem)
                lost = True
        for rest in self.place.root.glob("*.data"):
            if int(rest.stem) not in self._files:
                rest.unlink()
        self.verifier = self.place.verifier(self._boot, lost)

    def _recover_one(self, ident: int) -> bool:
        """Whether nothing was lost."""
        local = LocalFile.recover(self.place.root, ident)
        if local is None:
            return True
        if local.head.tag != self.tag:
            raise Damaged(f"object {ident} is of another table of numbers")
        if not self._objects.wanted(ident):
            # Killed before it was answered for, or after it was removed.
            log.info("object %d is not wanted any more: dropped", ident)
            local.drop()
            return True
        whole, doubtful = local.whole, False
        if local.head.boot != self._boot or not any(self._boot):
            whole, doubtful = False, local.new
            if not local.new:
                log.warning("object %d: what was not committed before the boot is gone", ident)
                local.drop()
                return False
            local.head = local.head._replace(boot=self._boot)
            local.rewrite()
        now = time.monotonic()
        # What is doubtful is put at once, so that it is known soon.
        then = now if not doubtful else now - BUSY_FACTOR * self.idle_seconds
        file = _File(ident, local, then, then, local.size, tried=True, doubtful=doubtful)
        self._files[ident] = file
        self._reserved += local.size
        return whole

    # What is buffered

    def size(self, ident: int) -> int | None:
        """An unsaved object's size in bytes; None: it is as the store has it."""
        file = self._files.get(ident)
        return None if file is None else file.local.size

    def is_new(self, ident: int) -> bool:
        """Whether it is an object that the store cannot have."""
        file = self._files.get(ident)
        return file is not None and file.local.new and not file.tried

    def idents(self) -> list[int]:
        """The numbers of all unsaved objects."""
        with self._lock:
            return list(self._files)

    # Changes

    def create(self, ident: int, size: int = 0) -> None:
        """A new object, empty or of zeros. Raises as `write`."""
        self._open(ident, 0, size, new=True)

    def write(self, ident: int, offset: int, data: Buffer, stored: int) -> None:
        """Write; `stored` is the size of the store's object, asked only where none is buffered.

        Raises FBIG, JUKEBOX, OSError of the state directory. `make_room` before makes both rare.
        """
        end = offset + len(data)
        while True:
            file = self._files.get(ident) or self._open(ident, stored, stored)
            if len(file.local.mine) >= MAX_EXTENTS:
                raise FsError(Status.JUKEBOX, "too many ranges: it is being put")
            with file.lock:
                if file.gone:
                    continue
                self._reserve(file, end)
                file.local.write(offset, data)
                self._touch(file)
                return

    def truncate(self, ident: int, size: int, stored: int) -> None:
        """Set the size, within `hold`. Raises as `write`."""
        while True:
            file = self._files.get(ident)
            if file is None:
                self._check_size(size)
                file = self._open(ident, min(size, stored), min(size, stored))
            with file.uploading, file.lock:
                if file.gone:
                    continue
                self._reserve(file, size)
                file.local.truncate(size)
                self._touch(file)
                return

    def read(self, ident: int, offset: int, count: int) -> bytes | None:
        """Bytes as they are with what is unsaved; None: they are as the store has them."""
        while True:
            file = self._files.get(ident)
            if file is None:
                return None
            if file.doubtful:
                with file.uploading:
                    self._judge(file)
            with file.lock:
                if file.gone:
                    continue
                pieces = [
                    (start, end, file.local.read(start, end) if mine else b"")
                    for start, end, mine in file.local.pieces(offset, count)
                ]
            try:
                return b"".join(
                    piece or self._objects.get(ident, start, end - start).ljust(end - start, b"\0")
                    for start, end, piece in pieces
                )
            except FileNotFoundError:
                if not file.gone:
                    raise _vanished(ident) from None

    def commit(self, ident: int) -> None:
        """Return when the store has all that was written. Raises what the store raised."""
        file = self._files.get(ident)
        if file is not None:
            self._upload(file, file.changes)

    def discard(self, ident: int) -> None:
        """The object is not wanted any more."""
        file = self._files.get(ident)
        if file is not None:
            with file.uploading, file.lock:
                self._drop(file)

    def leans(self, ident: int) -> bool:
        """Whether an unsaved object needs bytes of the store's."""
        file = self._files.get(ident)
        return file is not None and bool(file.local.gaps())

    @contextmanager
    def hold(self, *idents: int) -> Iterator[Hold]:
        """Keep objects from being put meanwhile, waiting for what is in progress.

        Taken before the caller's own locks, if `Objects` takes these too. One that was first
        written since is not held: `holds`, asked under the caller's locks, tells.
        """
        files = [self._files.get(ident) for ident in sorted(set(idents))]
        locked = [file for file in files if file is not None]
        for file in locked:
            file.uploading.acquire()
        try:
            yield Hold(locked)
        finally:
            for file in locked:
                file.uploading.release()

    def holds(self, hold: Hold, *idents: int) -> bool:
        """Whether none of them can be in the middle of being put."""
        files = [self._files.get(ident) for ident in idents]
        return all(file is None or file in hold.files for file in files)

    def make_room(self, ident: int | None, size: int) -> None:
        """Put others until an object of `size` bytes fits (None: a new one), taking no lock.

        Decides also whether what another boot left of it counts. Raises FBIG, JUKEBOX if the store
        takes nothing, and what the store raises.
        """
        self._check_size(size)
        file = None if ident is None else self._files.get(ident)
        if file is not None and file.doubtful:
            with file.uploading:
                self._judge(file)
        failed: set[int] = set()
        for _ in range(ROOM_TRIES):
            victim = self._in_the_way(ident, size, failed)
            if victim is None:
                return
            try:
                self._upload(victim, victim.changes)
            except (FsError, OSError):
                failed.add(victim.ident)
        raise FsError(Status.JUKEBOX, "the write-back buffer is full")

    # The bound

    def _check_size(self, size: int) -> None:
        if size > self.buffer_bytes:
            raise FsError(Status.FBIG, "larger than the write-back buffer")

    def _in_the_way(self, ident: int | None, size: int, failed: set[int]) -> _File | None:
        with self._lock:
            file = None if ident is None else self._files.get(ident)
            if file is not None and len(file.local.mine) >= MAX_EXTENTS:
                return file
            more = max(0, size - (file.reserved if file else 0))
            fits = self._reserved + more <= self.buffer_bytes
            if fits and (file is not None or len(self._files) < self.buffer_files):
                return None
            for other in self._files.values():
                if other is not file and other.ident not in failed:
                    return other
        raise FsError(Status.JUKEBOX, "the write-back buffer is full")

    def _reserve(self, file: _File, size: int) -> None:
        self._check_size(size)
        with self._lock:
            more = size - file.reserved
            if more > 0:
                if self._reserved + more > self.buffer_bytes:
                    raise FsError(Status.JUKEBOX, "the write-back buffer is full")
                self._reserved += more
                file.reserved = size

    # Bookkeeping

    def _open(self, ident: int, base: int, size: int, new: bool = False) -> _File:
        self._check_size(size)
        now = time.monotonic()
        with self._lock:
            file = self._files.get(ident)
            if file is not None:
                return file
            if self._reserved + size > self.buffer_bytes:
                raise FsError(Status.JUKEBOX, "the write-back buffer is full")
            head = Head(self.tag, self._boot, base, new)
            local = LocalFile.create(self.place.root, ident, head, size)
            file = self._files[ident] = _File(ident, local, now, now, size)
            self._reserved += size
            return file

    def _touch(self, file: _File) -> None:
        """Under its lock, after a change."""
        file.changes += 1
        with self._lock:
            file.touched = time.monotonic()
            self._files.move_to_end(file.ident)

    def _drop(self, file: _File) -> None:
        """Under its locks: nobody wants it any more. A journal that stays is found unwanted."""
        if file.gone:
            return
        with suppress(OSError):
            file.local.drop()
        self._forget(file)

    def _forget(self, file: _File) -> None:
        """Under its locks, when its local file is gone."""
        if not file.gone:
            file.gone = True
            with self._lock:
                del self._files[file.ident]
                self._reserved -= file.reserved

    # Putting

    def _upload(self, file: _File, wanted: int) -> None:
        """Until the store has the first `wanted` changes of it."""
        with file.uploading:
            self._judge(file)
            if file.gone or (file.saved >= wanted and file.saved < file.changes):
                return
            try:
                if file.saved < file.changes:
                    self._put(file)
            except FsError as error:
                if error.status is not Status.STALE:
                    self._failed(file, error)
                    raise
                log.error(
                    "object %d: %d unsaved bytes dropped: no file has them any more",
                    file.ident,
                    file.local.size,
                )
                with file.lock:
                    self._drop(file)
                return
            except OSError as error:
                self._failed(file, error)
                raise
            try:
                self._saved(file)
            except OSError as error:
                # The store has it. What is left is kept up with it, and dropped later.
                self._failed(file, error)

    def _put(self, file: _File) -> None:
        changes = file.changes
        self._fill(file)
        file.tried = True
        self._objects.put(file.ident, file.local.data)
        file.saved = changes

    def _saved(self, file: _File) -> None:
        """Forget what the store has. Raises OSError; then it is asked again."""
        with file.lock:
            if file.gone:
                return
            if file.changes == file.saved:
                file.local.drop()
                self._forget(file)
            else:
                file.born = time.monotonic()
                file.local.saved()
            file.failures = 0

    def _judge(self, file: _File) -> None:
        """Under `uploading`: what another boot left is not put over what the store has."""
        if not file.doubtful or file.gone:
            return
        try:
            stored = self._objects.version(file.ident)
        except (FsError, OSError) as error:
            self._failed(file, error)
            raise
        with file.lock:
            file.doubtful = False
            if stored is not None:
                log.warning("object %d: the store has it: what a boot left is dropped", file.ident)
                self._drop(file)

    def _failed(self, file: _File, error: Exception) -> None:
        first, most = RETRY_SECONDS
        wait = min(most, first * 2**file.failures)
        file.failures += 1
        file.retry_at = time.monotonic() + wait
        self._error = str(error)
        log.warning("object %d: not put, again in %g s: %s", file.ident, wait, error)

    def _fill(self, file: _File) -> None:
        """Fetch what the store's object has and the local file has not."""
        for _ in range(3):
            with file.lock:
                gaps = file.local.gaps()
            if not gaps:
                return
            version = self._objects.version(file.ident)
            if version is None:
                raise _vanished(file.ident)
            short = False
            for start, end in gaps:
                for at in range(start, end, FETCH_BYTES):
                    length = min(FETCH_BYTES, end - at)
                    try:
                        data = self._objects.get(file.ident, at, length)
                    except FileNotFoundError:
                        raise _vanished(file.ident) from None
                    short |= len(data) < length
                    with file.lock:
                        file.local.fill(at, data, length)
            if self._objects.version(file.ident) == version:
                if short:
                    log.warning("object %d: others have cut it: zeros instead", file.ident)
                return
        raise FsError(Status.JUKEBOX, "the object changes in the store all the time")

    def _work(self) -> None:
        """An uploader's life."""
        while True:
            with self._lock:
                if self._stopping:
                    return
                file, wait = self._due(time.monotonic())
                if file is None:
                    self._wake.wait(wait)
                    continue
                file.taken = True
            try:
                self._upload(file, file.changes)
            except (FsError, OSError):
                pass  # logged, and tried again
            except Exception as error:
                log.exception("object %d: the store failed unexpectedly", file.ident)
                self._failed(file, error)
            finally:
                file.taken = False

    def _due(self, now: float) -> tuple[_File | None, float]:
        """An object to put now, or how long to wait."""
        wait = max(self.idle_seconds, 0.05)
        for file in self._files.values():
            if file.taken:
                continue
            at = file.touched + self.idle_seconds
            at = max(min(at, file.born + BUSY_FACTOR * self.idle_seconds), file.retry_at)
            if at <= now:
                return file, 0.0
            wait = min(wait, at - now)
        return None, max(wait, 0.01)


def _vanished(ident: int) -> FsError:
    return FsError(Status.IO, f"object {ident} is gone from the store, and was not written whole")
