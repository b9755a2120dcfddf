"""What is particular to tar files."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from archive_kit import (
    ROOT,
    Archive,
    content,
    find,
    member,
    served,
    snapshot,
    tar_bytes,
    tar_file,
    walk,
)

from backends.archive import TarBackend
from backends.archive.tarindex import TarIndex, records
from backends.base import FileType

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("format", FORMATS)
def test_attributes(tmp_path: Path, format: str) -> None:
    info = member("a")
    info.mode, info.uid, info.gid, info.mtime = 0o4751, 1001, 2002, 1234567890
    data = tar_bytes((info, b"x" * 700), format=FORMATS[format])
    attr = served(tar_file(tmp_path / "a.tar", data), walk)[b"a"]
    assert (attr.type, attr.mode, attr.uid, attr.gid) == (FileType.REG, 0o4751, 1001, 2002)
    assert (attr.size, attr.used, attr.mtime) == (700, 1024, 1234567890 * 10**9)
    assert attr.ctime == (tmp_path / "a.tar").stat().st_mtime_ns


def test_pax_times_are_exact(tmp_path: Path) -> None:
    info = member("a")
    info.pax_headers = {"mtime": "1234567890.123456789", "uid": str(2**31 + 5)}
    attr = served(tar_file(tmp_path / "a.tar", tar_bytes(info, format=2)), walk)[b"a"]
    assert (attr.mtime, attr.uid) == (1234567890123456789, 2**31 + 5)


def test_numbers_that_do_not_fit_octal_digits(tmp_path: Path) -> None:
    info = member("a")
    info.uid, info.gid, info.mtime = 2**32 - 2, 2**40, 2**34
    attr = served(tar_file(tmp_path / "a.tar", tar_bytes(info)), walk)[b"a"]
    assert (attr.uid, attr.gid, attr.mtime) == (2**32 - 2, 65534, 2**34 * 10**9)


@pytest.mark.parametrize("format", ["gnu", "pax"])
def test_long_names_and_targets(tmp_path: Path, format: str) -> None:
    path, target = "/".join(["d" * 200] * 5), "t" * 1000
    data = tar_bytes(
        (member(path), b"x"),
        member("link", tarfile.SYMTYPE, target),
        member("hard", tarfile.LNKTYPE, path),
        (member("after"), b"y"),
        format=FORMATS[format],
    )
    found = served(tar_file(tmp_path / "a.tar", data), snapshot)
    assert found[path.encode()] == found[b"hard"] == b"x"
    assert found[b"link"] == b"->" + target.encode()
    assert found[b"after"] == b"y"


def test_a_long_name_in_two_parts(tmp_path: Path) -> None:
    path = "/".join(["d" * 60] * 3)
    data = tar_bytes((member(path), b"x"), format=tarfile.USTAR_FORMAT)
    assert served(tar_file(tmp_path / "a.tar", data), snapshot)[path.encode()] == b"x"


def test_hard_links(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tar_bytes(
        (member("d/a"), b"x"),
        member("b", tarfile.LNKTYPE, "d/a"),
        member("c", tarfile.LNKTYPE, "./b"),
        member("lost", tarfile.LNKTYPE, "nothing"),
        member("dir", tarfile.LNKTYPE, "d"),
        member("./", tarfile.LNKTYPE, "d/a"),
        (member("c"), b"another"),
    )

    async def look(backend: Archive) -> None:
        found = await walk(backend)
        assert found[b"d/a"].key == found[b"b"].key
        assert found[b"b"].nlink == 2, "one of the three has been replaced"
        assert found[b"c"].nlink == 1
        assert await content(backend, found[b"b"].key) == b"x"
        assert await content(backend, found[b"c"].key) == b"another"
        assert set(found) == {b"d", b"d/a", b"b", b"c"}

    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        served(tar_file(tmp_path / "a.tar", data), look)
    assert "left out 3 entries that are hard links to nothing" in caplog.text


def test_a_hard_link_keeps_a_file_whose_first_name_is_replaced(tmp_path: Path) -> None:
    first, link = (member("a"), b"old"), member("b", tarfile.LNKTYPE, "a")
    data = tar_bytes(first, link, (member("a"), b"new"))
    found = served(tar_file(tmp_path / "a.tar", data), snapshot)
    assert found == {b"a": b"new", b"b": b"old"}


@pytest.mark.parametrize("devices", [False, True])
def test_special_files(tmp_path: Path, caplog: pytest.LogCaptureFixture, devices: bool) -> None:
    char, block = member("char", tarfile.CHRTYPE), member("block", tarfile.BLKTYPE)
    char.devmajor, char.devminor = 1, 3
    block.devmajor, block.devminor = 7, 200
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(char, block, member("fifo", tarfile.FIFOTYPE), member("last")))
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        found = served(TarBackend(path, devices=devices), walk)
    expected = {b"fifo": FileType.FIFO, b"last": FileType.REG}
    if devices:
        expected |= {b"char": FileType.CHR, b"block": FileType.BLK}
        assert (found[b"char"].rdev, found[b"block"].rdev) == ((1, 3), (7, 200))
    assert {name: attr.type for name, attr in found.items()} == expected
    assert ("left out 2 entries that are devices" in caplog.text) is not devices


@pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar makes the sparse members")
@pytest.mark.parametrize(
    "format",
    ["--format=gnu", *(f"--format=posix --sparse-version={n}" for n in ("0.0", "0.1", "1.0"))],
)
def test_sparse_members(tmp_path: Path, format: str) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        for number in range(40):
            file.seek(number * 100_000)
            file.write(b"%05d" % number * 800)
        file.truncate(5_000_000)
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 33)
    (tmp_path / "after").write_bytes(b"after")
    subprocess.run(
        ["tar", "-cSf", "a.tar", *format.split(), "sparse", "hole", "after"],
        cwd=tmp_path, check=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "a.tar").stat().st_size < 1_000_000, "the members are not sparse"
    whole = (tmp_path / "sparse").read_bytes()

    async def look(backend: Archive) -> None:
        attr = await find(backend, b"sparse")
        assert attr.size == len(whole)
        for step in (1 << 20, 99_999):
            assert await content(backend, attr.key, step) == whole
        hole = await find(backend, b"hole")
        assert hole.size == 1 << 33
        got = await backend.read(ROOT, hole.key, (1 << 33) - 10, 100)
        assert (bytes(got.data), got.eof) == (bytes(10), True)
        assert await content(backend, (await find(backend, b"after")).key) == b"after"
        assert len(await walk(backend)) == 3

    served(TarBackend(tmp_path / "a.tar"), look)


def test_a_member_beyond_4_gib(tmp_path: Path) -> None:
    info, behind = member("big"), member("b")
    info.size, behind.size = 9 << 30, 3
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(512 + info.size - 3)
        file.write(b"end" + behind.tobuf() + b"xyz" + bytes(509))

    async def look(backend: Archive) -> None:
        attr = await find(backend, b"big")
        got = await backend.read(ROOT, attr.key, info.size - 6, 100)
        assert (attr.size, bytes(got.data), got.eof) == (info.size, b"\0\0\0end", True)
        assert await content(backend, (await find(backend, b"b")).key) == b"xyz"

    served(TarBackend(tmp_path / "a.tar"), look)


GOOD = tar_bytes((member("a"), b"x" * 1000), (member("b"), b"y" * 1000), format=2)


def changed(at: int, data: bytes) -> bytes:
    return GOOD[:at] + data + GOOD[at + len(data) :]


#: Names of their own: those that pytest makes of bytes differ between processes, as gzip puts the
#: time into its data, and workers must collect the same tests.
DAMAGED = {
    "empty": (b"", "this is no tar file"),
    "text": (b"x" * 5000, "this is no tar file"),
    "short": (b"x" * 100, "this is no tar file"),
    "cut in data": (GOOD[:700], "it is cut short: the member at byte 0 is not all there"),
    "cut in a header": (GOOD[: 1536 + 100], "it is cut short"),
    "header": (changed(1536, b"z"), "it has a damaged header at byte 1536"),
    "bzip2, cut": (bz2.compress(GOOD)[:-20], "its bzip2 data is damaged"),
    "gzip, cut": (gzip.compress(GOOD, mtime=0)[:-20], "its gzip data is damaged"),
    "xz, cut": (lzma.compress(GOOD)[:-20], "its xz data is damaged"),
    "gzip": (gzip.compress(GOOD, mtime=0)[:30] + b"\xff" * 50, "its gzip data is damaged"),
    "bzip2": (bz2.compress(GOOD)[:30] + b"\xff" * 50, "its bzip2 data is damaged"),
    "xz": (lzma.compress(GOOD)[:30] + b"\xff" * 50, "its xz data is damaged"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 500, "it is compressed with zstd, which is not"),
    "gzip of text": (gzip.compress(b"no tar" * 1000, mtime=0), "this is no tar file"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_refused_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        served(TarBackend(tmp_path / "a.tar", state=tmp_path / "state"), snapshot)
    assert str(caught.value).startswith(f"{tmp_path}/a.tar: ")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("state/*.part")), "a file is left behind"


def sparse_header(realsize: str, map: str, size: int = 0) -> bytes:
    info = member("a")
    info.pax_headers = {"GNU.sparse.size": realsize, "GNU.sparse.map": map}
    return tar_bytes((info, b"x" * size), format=2)


@pytest.mark.parametrize(
    ("realsize", "map"),
    [
        ("10", "0,20"), ("100", "50,10,20,10"), ("100", "0,50,20,10"), ("100", "0"), ("100", "0,a"),
        ("x", "0,10"), ("100", "0,99"), ("100", "-1,5"), (str(2**63), f"0,{2**63}"),
    ],
)  # fmt: skip
def test_damaged_sparse_maps(tmp_path: Path, realsize: str, map: str) -> None:
    (tmp_path / "a.tar").write_bytes(sparse_header(realsize, map, 60))
    with pytest.raises(ValueError, match="a sparse file's map is damaged"):
        served(TarBackend(tmp_path / "a.tar"), snapshot)


@pytest.mark.parametrize(
    "data",
    [
        b"12 path=abc\nxyz", b"12 path=abc\n0 a=b\n", b"99 path=abc\n", b"12 path=abcd",
        b"12 pathabcd\n", b"-12 path=abc\n", b"path=abc\n", b"12path=abcd\n",
        b"9" * 5000 + b" a=b\n",
    ],
    ids=range(9),
)  # fmt: skip
def test_damaged_pax_records(data: bytes) -> None:
    with pytest.raises(ValueError, match="it has damaged pax records"):
        records(data)


def test_without_the_zeros_at_the_end(tmp_path: Path) -> None:
    found = served(tar_file(tmp_path / "a.tar", GOOD[:3072]), snapshot)
    assert found == {b"a": b"x" * 1000, b"b": b"y" * 1000}


def test_an_empty_archive(tmp_path: Path) -> None:
    assert served(tar_file(tmp_path / "a.tar", bytes(10240)), snapshot) == {}


def test_signed_checksums(tmp_path: Path) -> None:
    block = bytearray(tarfile.TarInfo("ä").tobuf(tarfile.GNU_FORMAT, "latin-1"))
    total = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 256
    block[148:156] = b"%06o\0 " % total
    assert served(tar_file(tmp_path / "a.tar", bytes(block) + bytes(1024)), snapshot) == {
        b"\xe4": b""
    }


# Compressed files


def test_a_compressed_file_is_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = tmp_path / "a.tar.gz", tmp_path / "state"
    path.write_bytes(gzip.compress(GOOD))
    keys = [attr.key for attr in served(TarBackend(path, state=state), walk).values()]
    [kept] = state.iterdir()
    assert kept.read_bytes() == GOOD
    assert kept.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patched:
        patched.setattr(gzip, "GzipFile", None)
        again = served(TarBackend(path, state=state), walk)
    assert [attr.key for attr in again.values()] == keys
    path.write_bytes(gzip.compress(tar_bytes((member("c"), b"z"))))
    assert served(TarBackend(path, state=state), snapshot) == {b"c": b"z"}
    assert kept not in state.iterdir(), "the old one is not kept"
    assert len(list(state.iterdir())) == 1


def test_what_is_left_of_a_crash_is_removed(tmp_path: Path) -> None:
    path, state = tmp_path / "a.tar.gz", tmp_path / "state"
    path.write_bytes(gzip.compress(GOOD))
    state.mkdir()
    (state / "unpacked-0123.part").write_bytes(b"half")
    (state / "another file").touch()
    served(TarBackend(path, state=state), snapshot)
    names = sorted(file.name for file in state.iterdir())
    assert names[0] == "another file"
    assert len(names) == 2
    assert names[1].endswith(".tar")


@pytest.mark.parametrize("with_state", [False, True])
def test_the_unpacked_size_has_a_limit(tmp_path: Path, with_state: bool) -> None:
    path, state = tmp_path / "a.tar.gz", tmp_path / "state"
    path.write_bytes(gzip.compress(tar_bytes((member("a"), bytes(10 << 20)))))
    backend = TarBackend(path, unpacked_bytes=5 << 20, state=state if with_state else None)
    with pytest.raises(ValueError, match=r"more than 5242880 bytes \(option unpacked_bytes\)"):
        served(backend, snapshot)
    assert not with_state or not list(state.iterdir())


def test_several_streams_in_one_file(tmp_path: Path) -> None:
    data = gzip.compress(GOOD[:1000]) + gzip.compress(GOOD[1000:])
    assert len(served(tar_file(tmp_path / "a.tar.gz", data), snapshot)) == 2


def test_reading_headers_takes_few_system_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small members: many at once. Large ones: their data is not read."""
    small = tar_bytes(*((member(f"{number}"), b"x" * 100) for number in range(1000)))
    large = tar_bytes(*((member(f"{number}"), bytes(1 << 20)) for number in range(20)))
    for data, calls, most in ((small, 9, 1 << 21), (large, 24, 1 << 19)):
        (tmp_path / "a.tar").write_bytes(data)
        counts: list[int] = []
        pread = os.pread

        def counted(fd: int, count: int, at: int, pread=pread, counts=counts) -> bytes:  # type: ignore[no-untyped-def]
            data: bytes = pread(fd, count, at)
            counts.append(len(data))
            return data

        with open(tmp_path / "a.tar", "rb") as file, monkeypatch.context() as patched:
            patched.setattr(os, "pread", counted)
            assert len(TarIndex(file.fileno(), 10_000, False).tree) > 20
        assert len(counts) <= calls
        assert sum(counts) <= most


def test_the_kit_writes_what_tarfile_reads() -> None:
    with tarfile.open(fileobj=io.BytesIO(GOOD)) as tar:
        assert tar.getnames() == ["a", "b"]
