"""The contents of files: small ones in memory, large ones in files of their own.

libgit2 reads an object as a whole, and pygit2 lets nobody else run meanwhile. So large objects are
read by another process, into a file without a name; what is in memory there never is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Final

import pygit2

from backends.base import Buffer, FsError, Status
from backends.threads import Pool

#: Larger blobs are read by another process: so many bytes take some hundredths of a second.
LARGE_BYTES: Final = 8 << 20
#: Files that are kept open.
OPEN_FILES: Final = 64
#: Processes at a time.
_PROCESSES: Final = 2
#: Started so that nothing is imported from the working directory, or from where the environment
#: says, which may both be in somebody's repository: from the interpreter's own places, and behind
#: them from those where pygit2 was found.
_HELPER: Final = """
import sys
sys.path += sys.argv[3:]
import pygit2
pygit2.settings.owner_validation = False
repository = pygit2.Repository(sys.argv[1], pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
sys.stdout.buffer.write(repository.odb.read(sys.argv[2])[1])
"""


class Blobs:
    """Contents by object id. Used from the event loop.

    `cache_bytes` bounds what is in memory, `spool_bytes` the large ones' files, in `directory`;
    there are `OPEN_FILES` at most.
    """

    def __init__(
        self, repository: Path, directory: Path | None, cache_bytes: int, spool_bytes: int
    ) -> None:
        self._repository = os.path.abspath(repository)
        self._directory = directory
        self._limits = cache_bytes, spool_bytes
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        #: Small blobs that were in memory when they were asked for, and that were not.
        self.hits = self.misses = 0
        self._files: OrderedDict[bytes, tuple[IO[bytes], int]] = OrderedDict()
        #: Of the files, and of those that are being written.
        self._spooled_bytes = 0
        self._unpacking: set[asyncio.Future[IO[bytes]]] = set()
        self._coming: dict[bytes, asyncio.Future[IO[bytes]]] = {}
        self._pool = Pool(_PROCESSES, "git-large")
        self._readers = Pool(_PROCESSES, "git-read")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def cached(self, oid: bytes) -> bytes | None:
        """A small blob, if it is in memory."""
        data = self._cache.get(oid)
        if data is None:
            self.misses += 1
        else:
            self.hits += 1
            self._cache.move_to_end(oid)
        return data

    def keep(self, oid: bytes, data: bytes) -> None:
        """A small blob, for the next one who asks."""
        if oid not in self._cache:
            self._cache[oid] = data
            self._cached_bytes += len(data)
        while self._cached_bytes > self._limits[0] and len(self._cache) > 1:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])

    async def large(self, oid: bytes, size: int, offset: int, count: int) -> Buffer:
        """Bytes of a large blob. Raises IO, also for one that `spool_bytes` cannot hold."""
        if size > self._limits[1]:
            raise FsError(
                Status.IO,
                f"blob {oid.hex()} has {size} bytes, more than {self._limits[1]}"
                " (option spool_bytes)",
            )
        found = self._files.get(oid)
        if found is not None:
            self._files.move_to_end(oid)
            file = found[0]
        else:
            coming = self._coming.get(oid)
            if coming is None:
                coming = asyncio.get_running_loop().create_task(self._fetch(oid, size))
                self._coming[oid] = coming
            # Whoever is cut off here does not stop the others' work. The file is taken from here,
            # since another one may need its place at once.
            file = await asyncio.shield(coming)
        # It is closed when the last one who reads it lets go of it.
        return await self._readers.run(_pread, file, offset, count)

    async def _fetch(self, oid: bytes, size: int) -> IO[bytes]:
        try:
            # What is being written cannot be given up for another one: that has to wait.
            while not self._make_room(size):
                await asyncio.wait(self._unpacking, return_when=asyncio.FIRST_COMPLETED)
            self._spooled_bytes += size
            unpacking = self._pool.run(self._unpack, oid, size)
            self._unpacking.add(unpacking)
            try:
                file = await unpacking
            except BaseException:
                self._spooled_bytes -= size
                raise
            finally:
                self._unpacking.discard(unpacking)
            self._files[oid] = file, size
            return file
        finally:
            del self._coming[oid]

    def _make_room(self, size: int) -> bool:
        """Close files for one of `size` bytes more; False: too many are on their way."""
        while (
            self._spooled_bytes + size > self._limits[1]
            or len(self._files) + len(self._unpacking) >= OPEN_FILES
        ):
            if not self._files:
                return False
            self._spooled_bytes -= self._files.popitem(last=False)[1][1]
        return True

    def _unpack(self, oid: bytes, size: int) -> IO[bytes]:
        """A file with a blob's bytes. In a thread. Raises IO, OSError."""
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
        try:
            self._run(file, oid)
            if os.fstat(file.fileno()).st_size != size:
                raise FsError(Status.IO, f"blob {oid.hex()} has not the size that it should have")
        except BaseException:
            file.close()
            raise
        return file

    def _run(self, file: IO[bytes], oid: bytes) -> None:
        if self._closed:
            raise FsError(Status.JUKEBOX, "the server stops")
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _HELPER, self._repository, oid.hex(), *_places()],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
        )
        self._running.add(process)
        try:
            message = process.communicate()[1]
        finally:
            self._running.discard(process)
        if process.returncode:
            lines = message.decode(errors="replace").strip().splitlines() or ["it was ended"]
            raise FsError(Status.IO, f"blob {oid.hex()}: {lines[-1]}")

    async def close(self) -> None:
        """End the processes, and forget everything."""
        self._closed = True
        for process in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(*self._coming.values(), return_exceptions=True)
        self._pool.close()
        self._readers.close()
        self._files.clear()
        self._cache.clear()


def _places() -> list[str]:
    """The directories that pygit2, and what it stands on, were imported from."""
    found = [Path(pygit2.__file__).absolute().parents[1]]
    backend = getattr(sys.modules.get("_cffi_backend"), "__file__", None)
    if backend is not None:
        found.append(Path(backend).absolute().parent)
    return [str(place) for place in found]


def _pread(file: IO[bytes], offset: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, offset)
