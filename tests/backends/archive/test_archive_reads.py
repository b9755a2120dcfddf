"""What reads cost, in bytes decoded; and what becomes of them when something is in their way."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import zipfile
from pathlib import Path

import pytest
from archive_kit import ROOT, Archive, Entry, find, member, refused, served, tar_bytes, zip_of

from backends.archive import TarBackend, ZipBackend, unpack
from backends.archive.decode import Decoder
from backends.base import Status

BLOCK = unpack.BLOCK_BYTES


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that differ everywhere, and can be compressed a little."""
    return random.Random(seed).randbytes(size // 2).hex().encode()[:size]


def zipped(path: Path, *sizes: int, compression: int = zipfile.ZIP_DEFLATED) -> list[bytes]:
    """A zip file of members 0, 1 and so on."""
    datas = [noise(size, number) for number, size in enumerate(sizes)]
    tree = {b"%d" % number: data for number, data in enumerate(datas)}
    path.write_bytes(zip_of(tree, compression))
    return datas


def decoded(backend: Archive) -> int:
    assert isinstance(backend, ZipBackend)
    assert backend._unpacker is not None
    return backend._unpacker.decoded_bytes


@pytest.mark.parametrize("cache_bytes", [64 << 20, 1 << 20, 0])
@pytest.mark.parametrize("count", [1 << 20, BLOCK])
def test_a_sequential_read_decodes_each_byte_once(
    tmp_path: Path, cache_bytes: int, count: int
) -> None:
    [data] = zipped(tmp_path / "a.zip", 6 << 20)

    async def look(backend: Archive) -> None:
        key = (await find(backend, b"0")).key
        for offset in range(0, len(data), count):
            got = await backend.read(ROOT, key, offset, count)
            assert bytes(got.data) == data[offset : offset + count]
        assert decoded(backend) == len(data)

    served(ZipBackend(tmp_path / "a.zip", cache_bytes=cache_bytes), look)


def test_small_sequential_reads_need_a_block_of_cache(tmp_path: Path) -> None:
    [data] = zipped(tmp_path / "a.zip", 2 << 20)

    async def look(backend: Archive) -> None:
        key = (await find(backend, b"0")).key
        for offset in range(0, len(data), 4096):
            got = await backend.read(ROOT, key, offset, 4096)
            assert bytes(got.data) == data[offset : offset + 4096]
        assert decoded(backend) == len(data)

    served(ZipBackend(tmp_path / "a.zip", cache_bytes=BLOCK), look)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_reads_of_one_client_at_once_and_out_of_order(tmp_path: Path, method: int) -> None:
    """Read-ahead: many READs of one file together. Nothing is decoded twice."""
    [data] = zipped(tmp_path / "a.zip", 4 << 20, compression=method)

    async def look(backend: Archive) -> None:
        key = (await find(backend, b"0")).key
        offsets = list(range(0, len(data), 128 << 10))
        random.Random(1).shuffle(offsets)
        got = await asyncio.gather(*(backend.read(ROOT, key, at, 128 << 10) for at in offsets))
        for offset, result in zip(offsets, got, strict=True):
            assert bytes(result.data) == data[offset : offset + (128 << 10)]
        assert decoded(backend) == len(data)

    served(ZipBackend(tmp_path / "a.zip"), look)


def test_many_files_are_read_in_turn_without_thrashing(tmp_path: Path) -> None:
    """More bytes than the cache holds: each file's decoder waits where it was left."""
    datas = zipped(tmp_path / "a.zip", *[1 << 20] * 24)

    async def look(backend: Archive) -> None:
        keys = [(await find(backend, b"%d" % number)).key for number in range(len(datas))]
        for offset in range(0, 1 << 20, BLOCK):
            results = await asyncio.gather(
                *(backend.read(ROOT, key, offset, BLOCK) for key in keys)
            )
            for data, got in zip(datas, results, strict=True):
                assert bytes(got.data) == data[offset : offset + BLOCK]
        assert decoded(backend) == sum(map(len, datas))

    served(ZipBackend(tmp_path / "a.zip", cache_bytes=1 << 20), look)


def test_jumping_back_starts_from_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "_CHECKPOINT_BYTES", 1 << 20)
    [data] = zipped(tmp_path / "a.zip", 16 << 20)

    async def look(backend: Archive) -> None:
        key = (await find(backend, b"0")).key
        await backend.read(ROOT, key, len(data) - 10, 10)
        first = decoded(backend)
        assert first == len(data)
        for number in range(1, 12):
            offset = random.Random(number).randrange(len(data) - 1000)
            before = decoded(backend)
            got = await backend.read(ROOT, key, offset, 1000)
            assert bytes(got.data) == data[offset : offset + 1000]
            assert decoded(backend) - before <= (1 << 20) + 2 * BLOCK

    served(ZipBackend(tmp_path / "a.zip", cache_bytes=0), look)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "DECODERS_BYTES", 1 << 20)
    monkeypatch.setattr(unpack, "_CHECKPOINT_BYTES", BLOCK)
    datas = zipped(tmp_path / "a.zip", *[1 << 20] * 20)

    async def look(backend: Archive) -> None:
        assert isinstance(backend, ZipBackend)
        unpacker = backend._unpacker
        assert unpacker is not None
        for number, data in enumerate(datas):
            key = (await find(backend, b"%d" % number)).key
            for offset in (0, BLOCK * 2, BLOCK):
                got = await backend.read(ROOT, key, offset, BLOCK)
                assert bytes(got.data) == data[offset : offset + BLOCK]
            assert sum(map(len, unpacker._blocks.values())) == unpacker._used_bytes <= 2 << 20
            idle = sum(decoder.weight for decoder in unpacker._decoders.values())
            assert idle == unpacker._decoders_bytes <= 1 << 20
            assert sum(map(len, unpacker._positions.values())) == len(unpacker._decoders)

    served(ZipBackend(tmp_path / "a.zip", cache_bytes=2 << 20), look)


def test_small_members_are_decoded_without_a_thread(tmp_path: Path) -> None:
    datas = zipped(tmp_path / "a.zip", *[1000] * 50)
    for name in (b"0", b"49"):
        with open(tmp_path / "a.zip", "rb") as file:
            file.read()  # so that the page cache has it

        async def look(backend: Archive, name: bytes = name) -> None:
            before = threading.active_count()
            key = (await find(backend, name)).key
            got = await backend.read(ROOT, key, 100, 2000)
            assert bytes(got.data) == datas[int(name)][100:]
            assert threading.active_count() == before

        served(ZipBackend(tmp_path / "a.zip"), look)


class Gate:
    """Holds decoders until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        take = Decoder.take

        def held(decoder: Decoder, count: int) -> bytes:
            assert self.opened.wait(30)
            return take(decoder, count)

        monkeypatch.setattr(Decoder, "take", held)


def test_a_read_that_takes_long_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JUKEBOX, while the work goes on; and other files are read meanwhile."""
    [data, other] = zipped(tmp_path / "a.zip", 1 << 20, 1 << 20)
    stored = zip_of({b"stored": b"x" * 1_000_000}, zipfile.ZIP_STORED)
    (tmp_path / "b.zip").write_bytes(stored)
    gate = Gate(monkeypatch)

    async def look(backend: Archive) -> None:
        backend.patience = 0.05
        key = (await find(backend, b"0")).key
        for _ in range(3):
            await refused(backend.read(ROOT, key, len(data) - 10, 10), Status.JUKEBOX)
        gate.opened.set()
        backend.patience = 30
        got = await backend.read(ROOT, key, len(data) - 10, 10)
        assert bytes(got.data) == data[-10:]
        assert decoded(backend) == len(data), "the work was done once"
        other_key = (await find(backend, b"1")).key
        assert bytes((await backend.read(ROOT, other_key, 0, 100)).data) == other[:100]

    served(ZipBackend(tmp_path / "a.zip"), look)


def test_stopping_while_a_member_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays open until the thread is done with it."""
    zipped(tmp_path / "a.zip", 4 << 20)
    gate = Gate(monkeypatch)

    async def main() -> None:
        backend = ZipBackend(tmp_path / "a.zip")
        await backend.start()
        backend.patience = 0.01
        await refused(
            backend.read(ROOT, (await find(backend, b"0")).key, 3 << 20, 10), Status.JUKEBOX
        )
        stopping = asyncio.create_task(backend.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        os.fstat(backend._fd)
        gate.opened.set()
        await stopping
        assert decoded(backend) <= BLOCK, "it ends at the next block"

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_changed_in_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(
        zip_of({b"a": b"x" * 100}) if kind == "zip" else tar_bytes((member("a"), b"x" * 100))
    )

    async def look(backend: Archive) -> None:
        key = (await find(backend, b"a")).key
        await backend.read(ROOT, key, 0, 10)
        assert await backend.health() is None
        with open(path, "ab") as file:
            file.write(b"more")
        for _ in range(2):
            await refused(backend.read(ROOT, key, 0, 10), Status.IO)
        assert await backend.health() == f"{path} was changed while it was served"

    with caplog.at_level(logging.ERROR, "nfsloop.archive"):
        served(ZipBackend(path) if kind == "zip" else TarBackend(path), look)
    assert caplog.text.count("was changed while it was served") == 1


def test_an_archive_that_another_takes_the_place_of(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({b"a": b"the old one"}))

    async def look(backend: Archive) -> None:
        (tmp_path / "new").write_bytes(zip_of({b"a": b"the new one"}))
        (tmp_path / "new").rename(path)
        got = await backend.read(ROOT, (await find(backend, b"a")).key, 0, 100)
        assert bytes(got.data) == b"the old one"
        assert "another file now" in (await backend.health() or "")
        path.unlink()
        assert "No such file" in (await backend.health() or "")

    served(ZipBackend(path), look)


def test_entries_and_kit_agree(tmp_path: Path) -> None:
    """The archives here are what zipfile makes."""
    [data] = zipped(tmp_path / "a.zip", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("0") == data
    assert Entry(b"a").method == zipfile.ZIP_DEFLATED
