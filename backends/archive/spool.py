"""A compressed tar file, decompressed once into a file of its own.

There is no way into the middle of a tar.xz, and to a tar.bz2's only by trying each bit; so the
bytes are kept on disk, where each read is one system call. In a state directory the file stays for
the next start; else it has no name, and goes with the process.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, cast

from backends.archive.tree import BadArchiveError

#: What is said when the archive was written to before it was served.
CHANGED: Final = "it was changed while it was being read"
_XZ: Final = b"\xfd7zXZ\0"
_MAGIC: Final[dict[bytes, tuple[str, Callable[[BinaryIO], object] | None]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    _XZ: ("xz", lambda file: closing(_Xz(file))),
    b"\x28\xb5\x2f\xfd": ("zstd", None),
    b"\x1f\x9d": ("compress", None),
}
_PIECE_BYTES: Final = 1 << 20
#: Of memory, for xz, whose files say how much it takes: up to 4 GiB. ``xz -9`` makes it 65 MiB.
DECODER_BYTES: Final = 256 << 20
#: Of the compressed file, at both ends, to know it again.
_SAMPLE_BYTES: Final = 64 << 10
_PREFIX: Final = "unpacked-"


def compression(fd: int) -> str | None:
    """How the file is compressed; None: it is not, as far as its first bytes tell."""
    head = os.pread(fd, 8, 0)
    return next((kind for magic, (kind, _) in _MAGIC.items() if head.startswith(magic)), None)


def spool(fd: int, state: Path | None, limit_bytes: int, stopped: Callable[[], bool]) -> int:
    """A descriptor of the decompressed file, which the caller closes.

    Raises BadArchiveError for a damaged file, one that is larger than `limit_bytes` when
    decompressed, or a compression that is not supported; OSError. `stopped` is asked for each MiB.
    """
    if state is None:
        with tempfile.TemporaryFile() as temporary:
            _unpack(fd, temporary, limit_bytes, stopped)
            return os.dup(temporary.fileno())
    name = state / _name(fd)
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in state.glob(f"{_PREFIX}*"):
        old.unlink(missing_ok=True)
    part = name.with_suffix(".part")
    try:
        with open(part, "xb", opener=_private) as file:
            _unpack(fd, file, limit_bytes, stopped)
            # Its name says that it is whole: that must hold after a power failure too.
            os.fsync(file.fileno())
        if name.name != _name(fd):
            raise BadArchiveError(CHANGED)
        part.rename(name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _name(fd: int) -> str:
    """What a compressed file is known again by: size, time of change, and both its ends."""
    stat = os.fstat(fd)
    digest = blake2b(b"%d %d " % (stat.st_size, stat.st_mtime_ns), digest_size=16)
    digest.update(os.pread(fd, _SAMPLE_BYTES, 0))
    digest.update(os.pread(fd, _SAMPLE_BYTES, max(0, stat.st_size - _SAMPLE_BYTES)))
    return f"{_PREFIX}{digest.hexdigest()}.tar"


class _Xz:
    """An xz file's bytes. `lzma.LZMAFile` takes as much memory as the file asks for.

    Streams follow each other, with zeros between them; what follows the last and is no stream is
    passed over, as there.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
        self._rest = b""

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; none at the end. Raises LZMAError, EOFError."""
        while not self._stream.eof or self._next():
            data, self._rest = self._rest, b""
            if not data and self._stream.needs_input:
                data = self._file.read(_PIECE_BYTES)
                if not data:
                    raise EOFError("it ends too soon")
            out = self._stream.decompress(data, count)
            if out:
                return out
        return b""

    def close(self) -> None:
        """The file is somebody else's."""

    def _next(self) -> bool:
        """Go on to another stream, if there is one."""
        rest = self._rest or self._stream.unused_data
        while not (rest := rest.lstrip(b"\0")):
            rest = self._file.read(_PIECE_BYTES)
            if not rest:
                return False
        rest += self._file.read(len(_XZ))
        if not rest.startswith(_XZ):
            return False
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
        self._rest = rest
        return True


def _unpack(fd: int, out: BinaryIO, limit_bytes: int, stopped: Callable[[], bool]) -> None:
    kind = compression(fd)
    opener = next(opener for name, opener in _MAGIC.values() if name == kind)
    if opener is None:
        raise BadArchiveError(f"it is compressed with {kind}, which is not supported")
    total = 0
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        try:
            with cast(BinaryIO, opener(file)) as source:
                while piece := source.read(_PIECE_BYTES):
                    total += len(piece)
                    if total > limit_bytes:
                        raise BadArchiveError(
                            f"decompressed it has more than {limit_bytes} bytes"
                            " (option unpacked_bytes)"
                        )
                    if stopped():
                        raise BadArchiveError("it was stopped while it was being decompressed")
                    out.write(piece)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as exc:
            if "emory" in str(exc):  # all that liblzma's error tells
                raise BadArchiveError(
                    f"decompressing it takes more than {DECODER_BYTES} bytes of memory"
                ) from None
            raise BadArchiveError(f"its {kind} data is damaged: {exc}") from None
        except OSError as exc:
            if exc.errno is None:  # bz2 says so
                raise BadArchiveError(f"its {kind} data is damaged: {exc}") from None
            raise
    out.flush()
