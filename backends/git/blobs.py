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

from backends.base import Buffer, FsError, Status
from backends.threads import Pool

#: Larger blobs are read by another process: so many bytes take some hundredths of a second.
LARGE_BYTES: Final = 8 << 20
#: Processes at a time.
_PROCESSES: Final = 2
_HELPER: Final = """
import sys, pygit2
pygit2.settings.owner_validation = False
sys.stdout.buffer.write(pygit2.Repository(sys.argv[1]).odb.read(sys.argv[2])[1])
"""


class Blobs:
    """Contents by object id. Used from the event loop.

    `cache_bytes` bounds what is in memory, `spool_bytes` the large ones' files, in `directory`. One
    blob is kept however large it is.
    """

    def __init__(
        self, repository: Path, directory: Path | None, cache_bytes: int, spool_bytes: int
    ) -> None:
        self._repository = repository
        self._directory = directory
        self._limits = cache_bytes, spool_bytes
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._files: OrderedDict[bytes, tuple[IO[bytes], int]] = OrderedDict()
        self._spooled_bytes = 0
        self._coming: dict[bytes, asyncio.Future[None]] = {}
        self._pool = Pool(_PROCESSES, "git-large")
        self._readers = Pool(_PROCESSES, "git-read")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def cached(self, oid: bytes) -> bytes | None:
        """A small blob, if it is in memory."""
        data = self._cache.get(oid)
        if data is not None:
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
        """Bytes of a large blob. Raises IO."""
        while True:
            found = self._files.get(oid)
            if found is not None:
                self._files.move_to_end(oid)
                # The file is closed when the last one who reads it lets go of it.
                return await self._readers.run(_pread, found[0], offset, count)
            coming = self._coming.get(oid)
            if coming is None:
                coming = asyncio.get_running_loop().create_task(self._fetch(oid, size))
                self._coming[oid] = coming
            # Whoever is cut off here does not stop the others' work.
            await asyncio.shield(coming)

    async def _fetch(self, oid: bytes, size: int) -> None:
        try:
            file = await self._pool.run(self._unpack, oid, size)
        finally:
            del self._coming[oid]
        self._files[oid] = file, size
        self._spooled_bytes += size
        while self._spooled_bytes > self._limits[1] and len(self._files) > 1:
            self._spooled_bytes -= self._files.popitem(last=False)[1][1]

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
            [sys.executable, "-c", _HELPER, str(self._repository), oid.hex()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
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


def _pread(file: IO[bytes], offset: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, offset)
