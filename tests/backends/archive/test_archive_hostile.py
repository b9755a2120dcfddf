"""Archives that are made to do harm, and disks that stand still."""

from __future__ import annotations

import asyncio
import gzip
import logging
import lzma
import os
import struct
import tarfile
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from archive_kit import (
    ROOT,
    Archive,
    Entry,
    content,
    find,
    member,
    served,
    snapshot,
    tar_bytes,
    tar_file,
    walk,
    zip_bytes,
    zip_file,
)

from backends.archive import TarBackend, ZipBackend, backend, spool, tarindex
from backends.archive.sparse import number
from backends.archive.tree import Tree
from backends.base import FileType, FsError, Key, Status

LARGEST = 2**63 - 1


def header(name: bytes, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A header, old or GNU, with whatever is put into its fields."""
    places = {"size": 124, "mtime": 136, "major": 329, "minor": 337, "real": 483}
    block = bytearray(512)
    block[: len(name)], block[100:108], block[257:265] = name, b"0000644\0", b"ustar  \0"
    block[156:157] = kind
    for field, value in fields.items():
        block[places[field] : places[field] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def binary(value: int, width: int = 12) -> bytes:
    return b"\x80" + value.to_bytes(width - 1, "big")


def pax(name: str, records: dict[str, str], data: bytes = b"", kind: bytes = b"x") -> bytes:
    """A member behind records of its own, or, as kind ``g``, of all that follow."""
    text = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        text += str(length).encode() + rest
    blocks = header(b"p", kind, size=b"%011o\0" % len(text)) + text + bytes(-len(text) % 512)
    if name:
        blocks += header(name.encode(), size=b"%011o\0" % len(data)) + data
    return blocks + bytes(-len(data) % 512)


# What the wire cannot hold


def test_what_fattr3_cannot_hold_in_tar(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = header(b"good") + header(b"fifo", b"6", size=binary(2**80))
    data += header(b"sparse", b"S", real=binary(2**80))
    data += header(b"limit", b"S", real=binary(LARGEST)) + header(b"over", b"S", real=binary(2**63))
    data += header(b"device", b"3", major=binary(2**40, 8), minor=binary(2**32 - 1, 8))
    data += header(b"late", mtime=binary(2**80)) + pax("early", {"mtime": "-5.5", "uid": "-7"})
    data += pax("odd", {"mtime": "9" * 4000, "uid": "9" * 4000, "gid": "4294967296"})
    (tmp_path / "a.tar").write_bytes(data + bytes(1024))
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        found = served(TarBackend(tmp_path / "a.tar", devices=True), walk)
    assert set(found) == {b"good", b"fifo", b"limit", b"late", b"early", b"odd"}
    assert "left out 2 entries with more than" in caplog.text
    assert "left out 1 entries that are devices with numbers over 32 bits" in caplog.text
    assert (found[b"fifo"].size, found[b"limit"].size) == (0, LARGEST)
    assert (found[b"early"].mtime, found[b"early"].uid) == (0, 0)
    assert found[b"late"].mtime == found[b"odd"].mtime < 2**36 * 10**9
    assert (found[b"odd"].uid, found[b"odd"].gid) == (65534, 65534)
    for attr in found.values():
        struct.pack(">QQ2I", attr.size, attr.used, *attr.rdev)


def test_what_fattr3_cannot_hold_in_zip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def wide(size: int) -> Entry:
        return Entry(b"%d" % size, b"x", size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, size))

    sizes = (2**32, LARGEST, 2**63, 2**64 - 1)
    made = zip_file(tmp_path / "a.zip", Entry(b"good", b"hello"), *map(wide, sizes))

    async def look(backend: Archive) -> None:
        found = await walk(backend)
        assert {attr.size for attr in found.values()} == {5, 2**32, LARGEST}
        for path in (b"%d" % 2**32, b"%d" % LARGEST):
            with pytest.raises(FsError) as caught:
                await backend.read(ROOT, found[path].key, found[path].size - 10, 10)
            assert caught.value.status is Status.IO
        assert await content(backend, found[b"good"].key) == b"hello"

    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        served(made, look)
    assert "left out 2 entries with more than" in caplog.text


def test_numbers_below_zero_are_none() -> None:
    assert [number(text) for text in (b"-0001000\0", b"-1", b"\xff" * 8, b"0000017\0")] == [
        0, 0, 0, 15,
    ]  # fmt: skip


# Sparse files


def many_runs(runs: int, **records: str) -> bytes:
    """One byte of data, one of nothing, and so on (form 1.0)."""
    text = b"%d\n" % runs + b"".join(b"%d\n1\n" % (2 * at) for at in range(runs))
    text += bytes(-len(text) % 512)
    keys = {"major": "1", "minor": "0", "name": "f", "realsize": str(2 * runs)}
    named = {f"GNU.sparse.{key}": value for key, value in keys.items()}
    data = bytes(1 + at % 255 for at in range(runs))
    return pax("f", named | records, text + data) + bytes(1024)


def test_a_read_of_many_runs_takes_one_system_call_and_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").write_bytes(many_runs(5000))
    whole = b"".join(bytes((1 + at % 255, 0)) for at in range(5000))

    async def look(served: Archive) -> None:
        key = (await find(served, b"f")).key
        threads: list[bool] = []
        scattered = backend.scattered

        def seen(*args: object) -> object:
            threads.append(threading.current_thread() is not threading.main_thread())
            return scattered(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(backend, "scattered", seen)
        for start in (0, 1, 9, 10, 4999, 9998, 9999):
            for count in (1, 2, 3, 10, 100, 9000):
                got = await served.read(ROOT, key, start, count)
                assert bytes(got.data) == whole[start : start + count]
        assert threads == [True] * 5, "only the reads of thousands of runs"
        assert await content(served, key, 777) == whole

    served(TarBackend(tmp_path / "a.tar"), look)


def test_a_read_looks_at_its_own_runs_only(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(many_runs(5000))
    with open(tmp_path / "a.tar", "rb") as file:
        index = tarindex.TarIndex(file.fileno(), 10, False)
        assert len(index.extents(0, 5000, 10)) == 5
        assert index.extents(0, 10001, 10) == []
        assert [extent.offset for extent in index.extents(0, 1, 2)] == [2]


def test_runs_of_all_sparse_files_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarindex, "RUNS_TOGETHER", 150)
    with pytest.raises(ValueError, match="sparse files have more than 150 runs"):
        served(tar_file(tmp_path / "a.tar", many_runs(100)[:-1024] + many_runs(100)), snapshot)
    assert len(served(tar_file(tmp_path / "b.tar", many_runs(150)), snapshot)) == 1


def test_a_sparse_map_without_lines_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    (tmp_path / "a.tar").write_bytes(pax("f", keys, b"1" * (1 << 20)) + bytes(1024))
    reads: list[int] = []
    read = tarindex.TarIndex._data

    def seen(self: tarindex.TarIndex, at: int, size: int) -> bytes:
        reads.append(at)
        return read(self, at, size)

    monkeypatch.setattr(tarindex.TarIndex, "_data", seen)
    with pytest.raises(ValueError, match="a sparse file's map is damaged"):
        served(TarBackend(tmp_path / "a.tar"), snapshot)
    assert len(reads) < 5


# Memory


def test_paths_that_are_too_long_are_left_out_early(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fine, over = "./" * 2046 + "abc", "./" * 2046 + "abcd"
    long = b"./" * 100_000
    data = pax("f", {"path": fine}, b"x") + pax("f", {"path": over}, b"y")
    linked = tar_bytes(member("hard", tarfile.LNKTYPE, "./" * 3000 + "abc"), format=1)
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        made = tar_file(tmp_path / "a.tar", data + linked)
        assert served(made, snapshot) == {b"abc": b"x"}
    assert "left out 1 entries with paths over 4095 bytes" in caplog.text
    assert "left out 1 entries that are hard links to nothing" in caplog.text
    tree = Tree(10)
    tracemalloc.start()
    for at in range(50):
        tree.add(long + b"%d/x" % at, False, at)
        tree.link(long + b"%d/x" % at, b"x")
    assert tracemalloc.get_traced_memory()[0] < 1 << 20
    tracemalloc.stop()
    assert tree.left_out["with paths over 4095 bytes"] == 100


def test_what_is_remembered_of_directories_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One directory has many names: a/x, ./a/x, a/./x …"""
    monkeypatch.setattr("backends.archive.tree._HEADS_BYTES", 10_000)
    tree = Tree(10_000)
    for at in range(1, 200):
        tree.add(b"./" * at + b"a/" + b"%d" % at, False, at)
        assert sum(map(len, tree._dirs)) <= 10_000
    assert len(tree) == 201


def test_names_count_as_files(tmp_path: Path) -> None:
    links = (member(f"{at}", tarfile.LNKTYPE, "a") for at in range(10))
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(member("a"), *links))
    with pytest.raises(ValueError, match=r"more than 11 files \(option max_files\)"):
        served(TarBackend(path, max_files=11), walk)
    assert len(served(TarBackend(path, max_files=12), walk)) == 11


def test_targets_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tarindex, "TARGETS_BYTES", 25)
    links = (member(f"{at}", tarfile.SYMTYPE, "x" * 10) for at in range(3))
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        assert len(served(tar_file(tmp_path / "a.tar", tar_bytes(*links)), walk)) == 2
    assert "left out 1 entries that are links, beyond 25 bytes of targets" in caplog.text


def test_only_records_with_a_use_are_kept() -> None:
    keys = {f"GNU.sparse.{at}": "x" for at in range(100)} | {"path": "a", "comment": "c"}
    data = pax("", keys)
    assert tarindex.records(data[512:]) == {b"path": b"a"}


def test_sparse_records_of_all_members_are_ignored(tmp_path: Path) -> None:
    keys = {"GNU.sparse.map": "0,9", "GNU.sparse.size": "9", "mtime": "7"}
    data = pax("", keys, kind=b"g") + tar_bytes((member("a"), b"x" * 600))
    found = served(tar_file(tmp_path / "a.tar", data), walk)
    assert (found[b"a"].size, found[b"a"].mtime) == (600, 7 * 10**9)


def needing(dictionary: int) -> bytes:
    """An xz file that says of itself how large a dictionary its decoder needs."""
    data = bytearray(lzma.compress(tar_bytes((member("a"), b"x" * 1000)), preset=0))
    at = data.index(b"\x21\x01", 12)
    data[at + 2] = dictionary
    end = 12 + (data[12] + 1) * 4
    data[end - 4 : end] = struct.pack("<L", zlib.crc32(bytes(data[12 : end - 4])))
    return bytes(data)


def test_what_xz_may_take_of_memory_is_bounded(tmp_path: Path) -> None:
    # 2 << (n / 2 + 11): 64 MiB, as with xz -9, and 4 GiB.
    assert len(served(tar_file(tmp_path / "a.tar", needing(28)), snapshot)) == 1
    with pytest.raises(ValueError, match=f"takes more than {spool.DECODER_BYTES} bytes of memory"):
        served(tar_file(tmp_path / "b.tar", needing(40)), snapshot)


def test_xz_files_of_several_streams(tmp_path: Path) -> None:
    data = tar_bytes((member("a"), b"x" * 5000))
    parts = lzma.compress(data[:3000]) + bytes(8) + lzma.compress(data[3000:])
    assert served(tar_file(tmp_path / "a.tar", parts), snapshot) == {b"a": b"x" * 5000}
    assert served(tar_file(tmp_path / "b.tar", parts + b"tail"), snapshot) == {b"a": b"x" * 5000}
    with pytest.raises(ValueError, match="its xz data is damaged"):
        served(tar_file(tmp_path / "c.tar", parts[:-30]), snapshot)


def test_methods_that_are_not_supported_make_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = [Entry(b"%d" % method, b"x", method=method) for method in range(100, 150)]
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        served(zip_file(tmp_path / "a.zip", *entries), walk)
    assert len([line for line in caplog.text.splitlines() if "fails with IO" in line]) < 15
    assert "by other methods" in caplog.text


# Disks


@pytest.mark.parametrize("size", [100, 20_000, 900_000])
def test_nothing_of_a_zip_file_is_read_on_the_loop_that_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = os.urandom(size)
    entries = [Entry(b"a", data), Entry(b"b", data, 0)]
    made = zip_file(tmp_path / "a.zip", *entries)

    async def look(backend: Archive) -> None:
        where: list[bool] = []
        pread = os.pread

        def seen(*args: int) -> bytes:
            where.append(threading.current_thread() is threading.main_thread())
            return pread(*args)

        monkeypatch.setattr(os, "pread", seen)
        for name in (b"a", b"b"):
            assert await content(backend, (await find(backend, name)).key) == data
        # As if nothing were in the page cache.
        monkeypatch.setattr(type(backend), "_at_once", lambda *_: False)
        backend._packed.clear()  # type: ignore[union-attr]
        for name in (b"a", b"b"):
            assert await content(backend, (await find(backend, name)).key) == data
        assert where
        assert not any(where)

    served(made, look)


# Identity


def test_an_option_that_changes_numbers_changes_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(member("dev", tarfile.CHRTYPE), member("a"), member("b")))

    async def keys(backend: Archive) -> dict[bytes, Key]:
        return {name: attr.key for name, attr in (await walk(backend)).items()}

    async def types(backend: Archive) -> list[FileType | Status]:
        found: list[FileType | Status] = []
        for key in before.values():
            try:
                found.append((await backend.getattr(ROOT, key)).type)
            except FsError as error:
                found.append(error.status)
        return found

    before = served(TarBackend(path), keys)
    assert served(TarBackend(path), types) == [FileType.REG] * 2
    assert served(TarBackend(path, devices=True), types) == [Status.STALE] * 2


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_that_changes_while_its_index_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    made = {
        "zip": [zip_bytes([Entry(name, b"x" * 10)]) for name in (b"a", b"b")],
        "tar": [tar_bytes((member(name), b"x" * 10)) for name in "ab"],
    }
    made["tar.gz"] = [gzip.compress(data, mtime=0) for data in made["tar"]]
    path.write_bytes(made[kind][0])
    name = "ZipIndex" if kind == "zip" else "TarIndex"
    index = getattr(backend, name)

    def slow(*args: object) -> object:
        found = index(*args)
        path.write_bytes(made[kind][1])
        return found

    monkeypatch.setattr(backend, name, slow)
    one = ZipBackend(path) if kind == "zip" else TarBackend(path, state=tmp_path / "state")
    with pytest.raises(ValueError, match="it was changed while it was being read"):
        asyncio.run(one.start())


def test_a_file_that_has_just_changed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could change once more, and have the same time."""
    path, now, slept = tmp_path / "a", 10**18, list[float]()
    path.touch()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(time, "sleep", slept.append)
    with open(path, "rb") as file:
        for age in (-5 * 10**9, 0, 4_000_000, 5 * 10**9):
            os.utime(path, ns=(now - age, now - age))
            assert backend._settled(file.fileno()) == (0, now - age)
    assert slept == [0.01, 0.006]


def test_health_is_asked_for_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk that stands still makes wait there is not the loop."""
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(member("a")))

    async def look(served: Archive) -> None:
        where: list[bool] = []
        stat = os.stat

        def seen(asked: Path) -> os.stat_result:
            where.append(threading.current_thread() is threading.main_thread())
            return stat(asked)

        monkeypatch.setattr(os, "stat", seen)
        assert await served.health() is None
        monkeypatch.undo()
        assert where == [False]

    served(TarBackend(path), look)


def test_a_compressed_file_that_changes_is_not_kept_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes((member("a"), b"x" * 10)), mtime=0))
    unpack = spool._unpack

    def slow(*args: object) -> None:
        unpack(*args)  # type: ignore[arg-type]
        path.write_bytes(gzip.compress(tar_bytes((member("b"), b"x" * 1000)), mtime=0))

    monkeypatch.setattr(spool, "_unpack", slow)
    with pytest.raises(ValueError, match="it was changed while it was being read"):
        asyncio.run(TarBackend(path, state=tmp_path / "state").start())
    assert list((tmp_path / "state").iterdir()) == []
