"""A hundred thousand entries, by counts; and the whole against what the standard library reads."""

from __future__ import annotations

import functools
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_kit import (
    ROOT,
    Archive,
    Entry,
    find,
    member,
    served,
    snapshot,
    tar_bytes,
    zip_bytes,
)

from backends.archive import TarBackend, ZipBackend
from backends.base import FileType

COUNT = 100_000


@functools.cache
def many_zip() -> bytes:
    return zip_bytes(
        Entry(b"d%02d/%06d.txt" % (number % 50 * (number % 2), number), b"x", 0)
        for number in range(COUNT)
    )


@functools.cache
def many_tar() -> bytes:
    """The same, each header made from the one before."""
    rest = b"0000644\0" + b"0000000\0" * 2 + b"00000000001\0" + b"00000000000\0"
    last = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    total, data, parts = sum(rest + b" " * 8 + last), b"x" + bytes(511), []
    for number in range(COUNT):
        name = b"d%02d/%06d.txt" % (number % 50 * (number % 2), number)
        parts += [name.ljust(100, b"\0"), rest, b"%06o\0 " % (total + sum(name)), last, data]
    return b"".join(parts) + bytes(1024)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_hundred_thousand_entries(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(many_zip() if kind == "zip" else many_tar())

    async def look(backend: Archive) -> None:
        assert len(backend._tree) == COUNT + 26 + 1
        root = await backend.root(ROOT)
        assert root.nlink == 2 + 26
        # Half of them are in one directory, which is listed in pages from 3 to some hundred names.
        dir = (await find(backend, b"d00")).key
        seen, cookie, pages = set(), 0, 0
        while True:
            listing = await backend.readdir(ROOT, dir, cookie, 8192, True)
            page = [entry for entry, _ in zip(listing.entries, range(3 + pages), strict=False)]
            if not page:
                break
            cookie, pages = page[-1].cookie, pages + 1
            seen |= {entry.name for entry in page}
        assert len(seen) == COUNT // 2
        assert len(backend._lists) == 1, "made once for all pages"
        for number in range(0, COUNT, 997):
            name = b"d%02d/%06d.txt" % (number % 50 * (number % 2), number)
            attr = await find(backend, name)
            assert bytes((await backend.read(ROOT, attr.key, 0, 10)).data) == b"x"

    served(ZipBackend(path) if kind == "zip" else TarBackend(path), look)


def test_zip_against_the_standard_library(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            data = (b"%d " % number) * (number**2 // 3)
            method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            info = zipfile.ZipInfo(f"d{number % 7}/é{number % 3}/file {number}")
            info.external_attr = (stat.S_IFREG | 0o600 + number % 64) << 16
            archive.writestr(info, data, method[number % 4])
        archive.mkdir("empty")

    async def look(backend: Archive) -> None:
        found = await snapshot(backend)
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.rstrip("/").encode()
                if info.is_dir():
                    assert found.pop(name) is None
                    continue
                assert found.pop(name) == archive.read(info)
                attr = await find(backend, name)
                assert attr.mode == info.external_attr >> 16 & 0o7777
                assert attr.size == info.file_size
        assert set(found.values()) == {None}, "directories are left"

    served(ZipBackend(path), look)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_against_the_standard_library(tmp_path: Path, format: int) -> None:
    path = tmp_path / "a.tar"
    types = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE]
    members = []
    for number in range(300):
        kind = types[number % 5]
        target = {tarfile.SYMTYPE: f"../t{number}", tarfile.LNKTYPE: f"dä/{number - 4}"}.get(kind)
        info = member(f"dä/{number}", kind, target or "")
        info.mode, info.uid, info.mtime = 0o600 + number % 64, number, number * 10**6
        data = b"%d " % number * number * 9 if kind == tarfile.REGTYPE else b""
        members.append((info, data))
    path.write_bytes(tar_bytes(*members, format=format))
    kinds = {
        tarfile.REGTYPE: FileType.REG,
        tarfile.SYMTYPE: FileType.LNK,
        tarfile.FIFOTYPE: FileType.FIFO,
        tarfile.DIRTYPE: FileType.DIR,
    }

    async def look(backend: Archive) -> None:
        found = await snapshot(backend)
        assert found.pop("dä".encode()) is None
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
            for info in tar:
                name = info.name.encode()
                data = found.pop(name)
                attr = await find(backend, name)
                if info.islnk():
                    assert attr.key == (await find(backend, info.linkname.encode())).key
                    assert attr.nlink == 2
                    continue
                assert attr.type is kinds[info.type]
                assert (attr.mode, attr.uid, attr.mtime) == (
                    info.mode,
                    info.uid,
                    int(info.mtime) * 10**9,
                )
                if info.isreg():
                    file = tar.extractfile(info)
                    assert file is not None
                    assert data == file.read()
                elif info.issym():
                    assert data == b"->" + info.linkname.encode()
        assert not found

    served(TarBackend(path), look)
