"""What is particular to zip files."""

from __future__ import annotations

import logging
import stat
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from archive_kit import (
    DOS,
    ROOT,
    Archive,
    Entry,
    content,
    deflated,
    find,
    refused,
    served,
    snapshot,
    walk,
    zip_bytes,
    zip_file,
)

from backends.archive import ZipBackend
from backends.base import Context, FileType, Status


def extra(number: int, data: bytes) -> bytes:
    return struct.pack("<2H", number, len(data)) + data


def test_attributes_from_extra_fields(tmp_path: Path) -> None:
    fields = extra(0x5455, b"\1" + struct.pack("<l", 1234567890))
    fields += extra(0x7875, b"\1\4" + struct.pack("<L", 1001) + b"\2" + struct.pack("<H", 2002))
    entry = Entry(b"a", b"x" * 700, mode=stat.S_IFREG | 0o4751, extra=fields)
    attr = served(zip_file(tmp_path / "a.zip", entry), walk)[b"a"]
    assert (attr.mode, attr.uid, attr.gid, attr.size) == (0o4751, 1001, 2002, 700)
    assert (attr.mtime, attr.atime, attr.nlink, attr.used) == (
        1234567890 * 10**9,
        1234567890 * 10**9,
        1,
        1024,
    )
    assert attr.ctime == (tmp_path / "a.zip").stat().st_mtime_ns


def test_attributes_without_unix_extra_fields(tmp_path: Path) -> None:
    ntfs = struct.pack("<L2H3Q", 0, 1, 24, 133 * 10**15, 0, 0)
    found = served(
        zip_file(
            tmp_path / "a.zip",
            Entry(b"a", b"x", mode=0, host=DOS),
            Entry(b"d", b"", 0, mode=0, host=DOS, dos=0x10),
            Entry(b"ntfs", b"x", extra=extra(10, ntfs)),
        ),
        walk,
    )
    assert [(found[name].type, found[name].mode) for name in (b"a", b"d")] == [
        (FileType.REG, 0o644),
        (FileType.DIR, 0o755),
    ]
    # 0x5821: the 1st of January 2024; 0: midnight, of the local clock.
    assert found[b"a"].mtime == time.mktime((2024, 1, 1, 0, 0, 0, 0, 0, -1)) * 10**9
    assert found[b"ntfs"].mtime == (133 * 10**15 - 116444736 * 10**9) * 100


def test_symbolic_links(tmp_path: Path) -> None:
    link = stat.S_IFLNK | 0o777
    found = served(
        zip_file(
            tmp_path / "a.zip",
            Entry(b"stored", b"../target", 0, link),
            Entry(b"deflated", b"t" * 4095, 8, link),
            Entry(b"too long", b"t" * 4096, 8, link),
        ),
        snapshot,
    )
    assert found == {b"stored": b"->../target", b"deflated": b"->" + b"t" * 4095}


def test_special_files_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kinds = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK)
    entries = [Entry(b"%d" % kind, b"", 0, kind | 0o644) for kind in kinds]
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        assert served(zip_file(tmp_path / "a.zip", *entries), snapshot) == {}
    assert "left out 3 entries that are devices, fifos or sockets" in caplog.text


def test_encrypted_members_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = [Entry(b"secret", b"x" * 100, 0, flags=1), Entry(b"open", b"y")]

    async def look(backend: Archive) -> None:
        secret = await find(backend, b"secret")
        assert secret.size == 100
        await refused(backend.read(ROOT, secret.key, 0, 10), Status.ACCES)
        assert await content(backend, (await find(backend, b"open")).key) == b"y"

    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        served(zip_file(tmp_path / "a.zip", *entries), look)
    assert caplog.text.count("1 entries are encrypted: reading them is refused with ACCES") == 1


def test_unknown_methods_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def look(backend: Archive) -> None:
        await refused(backend.read(ROOT, (await find(backend, b"a")).key, 0, 10), Status.IO)

    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        served(zip_file(tmp_path / "a.zip", Entry(b"a", b"x" * 100, 9)), look)
    assert "1 entries are compressed by method 9: reading them fails with IO" in caplog.text


@pytest.mark.parametrize("size", [10, 20_000, 200_000, 3_000_000])
@pytest.mark.parametrize("method", [0, 8])
def test_a_wrong_crc_is_an_error(tmp_path: Path, size: int, method: int) -> None:
    """Before anything is given out, where a member is one block; else at its end."""
    data = bytes(range(250)) * (size // 250 + 1)
    entries = [Entry(b"bad", data, method, crc=1), Entry(b"good", data, method)]

    async def look(backend: Archive) -> None:
        bad = (await find(backend, b"bad")).key
        if size < 256 << 10:
            await refused(backend.read(ROOT, bad, 0, 10), Status.IO)
        elif method:
            assert bytes((await backend.read(ROOT, bad, 0, 10)).data) == data[:10]
            await refused(backend.read(ROOT, bad, len(data) - 10, 10), Status.IO)
            # Known to be damaged now, so no part of it is given out any more.
            await refused(backend.read(ROOT, bad, 0, 10), Status.IO)
        assert await content(backend, (await find(backend, b"good")).key) == data

    served(zip_file(tmp_path / "a.zip", *entries), look)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"a", b"x" * 1000, packed=b"\xff" * 50),
        Entry(b"a", b"x" * 1000, packed=deflated(b"x" * 1000)[:-3]),
        Entry(b"a", b"x" * 1000, size=5000),
        Entry(b"a", b"x" * 1000, size=500),
        Entry(b"a", b"x" * 1000, size=3_000_000),
        Entry(b"a", b"x" * 1000, method=0, size=999),
        Entry(b"a", b"x" * 1000, method=14, packed=b"short"),
        Entry(b"a", b"x" * 1000, method=14, packed=b"\0\0\5\0\x5d\xff\xff\xff\xff" + b"x" * 50),
        Entry(b"a", b"x" * 1000, method=14, packed=b"\0\0\5\0\xe0\0\0\1\0" + b"x" * 50),
        Entry(b"a", b"x" * 1000, method=12, packed=b"BZh9" + b"x" * 50),
    ],
    ids=lambda entry: f"{entry.method} {entry.size} {(entry.packed or b'')[:9].hex()}",
)
def test_damaged_members_answer_io(tmp_path: Path, entry: Entry) -> None:
    async def look(backend: Archive) -> None:
        attr = await find(backend, b"a")
        for _ in range(2):
            await refused(backend.read(ROOT, attr.key, attr.size - 10, 10), Status.IO)
        assert await content(backend, (await find(backend, b"good")).key) == b"good"

    served(zip_file(tmp_path / "a.zip", entry, Entry(b"good", b"good")), look)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(tmp_path: Path, method: int) -> None:
    data = bytes(range(256)) * 5000 + b"the end"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a", data)
        archive.writestr("small", b"small")

    async def look(backend: Archive) -> None:
        assert await snapshot(backend) == {b"a": data, b"small": b"small"}
        key = (await find(backend, b"a")).key
        for offset in (1_000_000, 10, 700_000):
            got = await backend.read(ROOT, key, offset, 100)
            assert bytes(got.data) == data[offset : offset + 100]

    served(ZipBackend(tmp_path / "a.zip"), look)
    served(ZipBackend(tmp_path / "a.zip", cache_bytes=0), look)


def test_something_in_front_of_the_archive(tmp_path: Path) -> None:
    """As in a program that unpacks itself."""
    backend = zip_file(tmp_path / "a.exe", Entry(b"a", b"x" * 100), front=b"MZ" * 500)
    assert served(backend, snapshot) == {b"a": b"x" * 100}


def test_zip64(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a", "w", force_zip64=True) as file:
            file.write(b"x" * 100)
        archive.writestr("d/b", b"")

    async def look(backend: Archive) -> None:
        assert await content(backend, (await find(backend, b"a")).key) == b"x" * 100
        assert set(await walk(backend)) == {b"a", b"d", b"d/b"}

    served(ZipBackend(tmp_path / "a.zip"), look)


def test_a_member_beyond_4_gib(tmp_path: Path) -> None:
    """A sparse file: a stored member of 5 GiB, another one behind it."""
    big, data, most = 5 << 30, b"behind", 2**32 - 1
    sizes, crc = extra(1, struct.pack("<2Q", big, big)), zlib.crc32(b"behind")

    def local(crc: int, size: int, name: bytes, extra: bytes) -> bytes:
        fields = (45, 0, 0, 0, 33, crc, size, size, len(name), len(extra))
        return b"PK\3\4" + struct.pack("<5H3L2H", *fields) + name + extra

    def record(crc: int, size: int, name: bytes, extra: bytes, at: int) -> bytes:
        fields = (0x31E, 45, 0, 0, 0, 33, crc, size, size, len(name), len(extra), 0, 0, 0, 0, at)
        return b"PK\1\2" + struct.pack("<6H3L5H2L", *fields) + name + extra

    first = local(0, most, b"big", sizes)
    second = local(crc, len(data), b"b", b"") + data
    far = extra(1, struct.pack("<Q", len(first) + big))
    directory = record(0, most, b"big", sizes, 0) + record(crc, len(data), b"b", far, most)
    at = len(first) + big + len(second)
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(directory), at)
    end += struct.pack("<4sLQL", b"PK\6\7", 0, at + len(directory), 1)
    end += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, most, most, 0)
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(first)
        file.seek(len(first) + big - 3)
        file.write(b"end" + second + directory + end)

    async def look(backend: Archive) -> None:
        attr = await find(backend, b"big")
        assert attr.size == big
        got = await backend.read(ROOT, attr.key, big - 6, 100)
        assert (bytes(got.data), got.eof) == (b"\0\0\0end", True)
        assert await content(backend, (await find(backend, b"b")).key) == data

    served(ZipBackend(tmp_path / "a.zip"), look)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [info.file_size for info in archive.infolist()] == [big, len(data)]


GOOD = zip_bytes([Entry(b"a", b"x" * 100), Entry(b"b", b"y" * 100)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is no zip file: it is empty"),
        (b"x" * 100_000, "this is no zip file: it has no central directory, or is cut short"),
        (GOOD[:-30], "this is no zip file: it has no central directory, or is cut short"),
        (GOOD.replace(b"PK\1\2", b"PK\1\3"), "its central directory is damaged at byte 0"),
        (GOOD[:60] + GOOD[90:], "its central directory is (damaged|not where it should be)"),
        (GOOD[:-22] + b"PK\5\6" + b"\1" + GOOD[-17:], "it is one of several parts"),
    ],
)
def test_a_damaged_archive_is_refused_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        served(ZipBackend(tmp_path / "a.zip"), snapshot)
    assert str(caught.value).startswith(f"{tmp_path}/a.zip: ")
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            served(ZipBackend(path), snapshot)


def test_modes_decide_who_may_read(tmp_path: Path) -> None:
    entries = [
        Entry(b"private", b"x", mode=stat.S_IFREG | 0o600),
        Entry(b"d/", b"", 0, mode=stat.S_IFDIR | 0o700),
        Entry(b"d/a", b"x"),
    ]
    other = Context(uid=1000, gid=1000)

    async def look(backend: Archive) -> None:
        await refused(
            backend.read(other, (await find(backend, b"private")).key, 0, 1), Status.ACCES
        )
        dir = (await find(backend, b"d")).key
        await refused(backend.lookup(other, dir, b"a"), Status.ACCES)
        await refused(backend.readdir(other, dir, 0, 100, False), Status.ACCES)
        assert (await backend.access(other, dir, 0x3F)).access == 0
        assert (await backend.access(ROOT, dir, 0x3F)).access == 0x03, "nothing can be changed"

    served(zip_file(tmp_path / "a.zip", *entries), look)
