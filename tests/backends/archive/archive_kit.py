"""Archives made byte by byte, and short forms of what the tests do with them."""

from __future__ import annotations

import asyncio
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backends.archive import TarBackend, ZipBackend
from backends.base import Attr, Context, FileType, FsError, Key, Status

Archive = ZipBackend | TarBackend
T = TypeVar("T")
ROOT = Context(client="192.0.2.1", export="/")
UNIX, DOS = 3, 0


@dataclass
class Entry:
    """One of a zip file's; what is None follows from the data."""

    name: bytes
    data: bytes = b""
    method: int = 8
    mode: int = stat.S_IFREG | 0o644
    host: int = UNIX
    flags: int = 0x800
    extra: bytes = b""
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    dos: int = 0


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def zip_bytes(entries: Iterable[Entry], front: bytes = b"") -> bytes:
    """A zip file of just these entries, in this order."""
    body, directory, count = bytearray(), bytearray(), 0
    for entry in entries:
        packed = entry.packed
        if packed is None:
            packed = deflated(entry.data) if entry.method == 8 else entry.data
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        common = struct.pack(
            "<5H3L2H", 20, entry.flags, entry.method, 0, 0x5821, crc, len(packed), size,
            len(entry.name), len(entry.extra),
        )  # fmt: skip
        directory += b"PK\1\2" + struct.pack("<H", entry.host << 8 | 20) + common
        directory += struct.pack("<3H2L", 0, 0, 0, entry.mode << 16 | entry.dos, len(body))
        directory += entry.name + entry.extra
        body += b"PK\3\4" + common + entry.name + entry.extra + packed
        count += 1
    end = struct.pack("<4H2LH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body), 0)
    return front + bytes(body) + bytes(directory) + b"PK\5\6" + end


def tar_bytes(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], format: int = 1) -> bytes:
    """A tar file of these members, with their data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as tar:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            if data:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, type: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = type, target, 0o644
    return info


@asynccontextmanager
async def started(backend: Archive) -> AsyncIterator[Archive]:
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


def served(backend: Archive, test: Callable[[Archive], Awaitable[T]]) -> T:
    """What `test` gives for a backend that is started, and stopped afterwards."""

    async def main() -> T:
        async with started(backend) as running:
            return await test(running)

    return asyncio.run(main())


async def find(backend: Archive, path: bytes) -> Attr:
    attr = await backend.root(ROOT)
    for name in filter(None, path.split(b"/")):
        attr = (await backend.lookup(ROOT, attr.key, name)).attr
    return attr


async def content(backend: Archive, key: Key, step: int = 1 << 20) -> bytes:
    data = bytearray()
    while True:
        got = await backend.read(ROOT, key, len(data), step)
        data += got.data
        if got.eof:
            return bytes(data)


async def walk(backend: Archive) -> dict[bytes, Attr]:
    """Every path below the root, with its attributes."""
    found: dict[bytes, Attr] = {}
    todo = [(b"", await backend.root(ROOT))]
    while todo:
        path, dir = todo.pop()
        for entry in (await backend.readdir(ROOT, dir.key, 0, 1 << 20, True)).entries:
            assert entry.attr is not None
            assert entry.attr.ino == entry.ino
            found[path + entry.name] = entry.attr
            if entry.attr.type is FileType.DIR:
                todo.append((path + entry.name + b"/", entry.attr))
    return found


async def snapshot(backend: Archive) -> dict[bytes, bytes | None]:
    """Every path with its bytes: of a file, or of a link's target behind ``->``."""
    found: dict[bytes, bytes | None] = {}
    for path, attr in (await walk(backend)).items():
        if attr.type is FileType.REG:
            found[path] = await content(backend, attr.key)
        elif attr.type is FileType.LNK:
            found[path] = b"->" + (await backend.readlink(ROOT, attr.key)).target
        else:
            found[path] = None
    return found


async def refused(call: Awaitable[object], status: Status) -> FsError:
    try:
        await call
    except FsError as error:
        assert error.status is status, error
        return error
    raise AssertionError(f"succeeded, expected {status.name}")


def zip_file(path: Path, *entries: Entry, front: bytes = b"") -> ZipBackend:
    path.write_bytes(zip_bytes(entries, front))
    return ZipBackend(path)


def tar_file(path: Path, data: bytes) -> TarBackend:
    path.write_bytes(data)
    return TarBackend(path)


def zip_of(tree: dict[bytes, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=1) as archive:
        for name, data in tree.items():
            archive.writestr(name.decode(), data)
    return out.getvalue()
