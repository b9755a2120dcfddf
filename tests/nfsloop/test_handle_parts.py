"""Handles with the 24 bits that say which of several backends a file is in; and a demux served."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
from pathlib import Path

import pytest
from nfs_kit import KEY, OK, World, fattr, serving

from backends.base import Attr, Backend, Context, FsError, Key
from backends.cookies import cookie_of
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from backends.wraps.demux import Demux
from nfsloop.handle import FileHandles
from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop

MAX64 = 2**64 - 1


@pytest.mark.parametrize(
    ("export", "ino", "generation"),
    [(0, 0, 0), (1, 2, 3), (2**32 - 1, MAX64, MAX64), (7, 5, 2**63)],
)
def test_handles_of_one_backend_are_what_they_always_were(
    export: int, ino: int, generation: int
) -> None:
    """Byte for byte: those that clients hold go on working."""
    body = struct.pack(">B3xIQQ", 1, export, ino, generation)
    handle = body + hashlib.blake2b(body, key=KEY, digest_size=8).digest()
    handles = FileHandles(KEY)
    assert handles.pack(export, ino, generation) == handle
    assert FileHandles(KEY).unpack(handle) == (export, Key(ino, generation))


@pytest.mark.parametrize("part", [1, 0x123456, 2**24 - 1])
@pytest.mark.parametrize("generation", [0, 1, MAX64])
def test_handles_hold_the_part(part: int, generation: int) -> None:
    whole = part << 64 | generation
    handle = FileHandles(KEY).pack(9, 8, whole)
    assert len(handle) == 32
    assert FileHandles(KEY).unpack(handle) == (9, Key(8, whole))
    for byte in (1, 2, 3):
        forged = bytearray(handle)
        forged[byte] ^= 1
        with pytest.raises(FsError, match="BADHANDLE"):
            FileHandles(KEY).unpack(bytes(forged))


@pytest.mark.parametrize("generation", [2**88, 2**89, 2**96 + 1, -1])
def test_a_generation_that_has_no_room(generation: int) -> None:
    with pytest.raises(ValueError, match="over 88 bits"):
        FileHandles(KEY).pack(1, 2, generation)


def parts(tmp_path: Path) -> Demux:
    found: dict[bytes, Backend] = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "state").mkdir(exist_ok=True)
        (tmp_path / name / "files").mkdir(exist_ok=True)
        storage = PosixBackend(tmp_path / name / "files", state=tmp_path / name / "state")
        found[b"disk/" + name.encode()] = storage
    return Demux({**found, b"tmp": MemoryBackend()})


async def find(w: World, path: bytes) -> bytes:
    handle = w.root
    for name in path.split(b"/"):
        handle = await w.lookup(handle, name)
    return handle


def test_a_demux_is_served(tmp_path: Path) -> None:
    """Through the whole service: names, handles, numbers, moves, and a restart."""

    async def main() -> None:
        async with serving("memory", tmp_path, backend=parts(tmp_path)) as w:
            assert await w.names(w.root) == [b".", b"..", *sorted_by_cookie(b"disk", b"tmp")]
            one, two, tmp = [await find(w, it) for it in (b"disk/one", b"disk/two", b"tmp")]
            file = await w.create(one, b"f")
            await w.write(file, b"data", stable=x.FILE_SYNC)
            await w.create(two, b"g")
            other = await w.create(tmp, b"f")
            assert await w.read(file) == b"data"
            attrs = [await w.attr(it) for it in (w.root, one, two, tmp, file, other)]
            assert len({attr.fileid for attr in attrs}) == len(attrs)
            assert len({attr.fsid for attr in attrs}) == 1
            old, new = x.diropargs3(one, b"f"), x.diropargs3(two, b"f")
            assert await w.status("RENAME", old, new) == "XDEV"
            assert await w.status("LINK", file, new) == "XDEV"
            assert await w.status("REMOVE", x.diropargs3(w.root, b"tmp")) == "ROFS"
            assert await w.lookup(one, b"..") == await find(w, b"disk")
            assert await w.lookup(await find(w, b"disk"), b"..") == w.root
            plus = await w.nfs.READDIRPLUS(x.READDIRPLUS3args(one, 0, bytes(8), 4096, 4096))
            entry = plus.resok.reply.entries[-1]
            assert (entry.name, entry.name_handle) == (b"f", file)
            assert fattr(entry.name_attributes).fileid == entry.fileid
            top = await w.nfs.READDIRPLUS(x.READDIRPLUS3args(w.root, 0, bytes(8), 4096, 4096))
            assert top.status == OK
            numbers = {entry.name: entry.fileid for entry in top.resok.reply.entries}
            assert numbers[b"tmp"] == attrs[3].fileid
            root = w.root
        async with serving("memory", tmp_path, backend=parts(tmp_path)) as w:
            assert w.root == root and await find(w, b"disk/one") == one
            assert await w.read(file) == b"data"
            assert await w.status("GETATTR", other) == "STALE"

    loop.run(main())


def sorted_by_cookie(*names: bytes) -> list[bytes]:
    return sorted(names, key=cookie_of)


class Stuck(MemoryBackend):
    """Waits for ever for attributes."""

    inline = False
    patience = 0.05

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


def test_a_part_that_hangs_is_the_only_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        demux = Demux({b"stuck": Stuck(), b"well": MemoryBackend()})
        async with serving("memory", tmp_path, backend=demux) as w:
            stuck, well = await find(w, b"stuck"), await find(w, b"well")
            calls = [w.status("GETATTR", stuck) for _ in range(5)]
            waiting = [asyncio.ensure_future(call) for call in calls]
            await w.create(well, b"f")
            assert await w.status("GETATTR", well) == "OK"
            assert {await call for call in waiting} == {"JUKEBOX"}
            said = await demux.health()
            assert said is not None and said.startswith("stuck: ")

    with caplog.at_level(logging.WARNING):
        loop.run(main())
    assert "stuck: Stuck.getattr" in caplog.text


def test_a_part_is_mounted_by_its_path(tmp_path: Path) -> None:
    async def main() -> None:
        demux = Demux({b"a": MemoryBackend()})
        async with serving("memory", tmp_path, backend=demux, path="/demux") as w:
            mounted = await MOUNT_V3_Client(w.pipe).MNT(b"/demux/a")
            assert mounted.mountinfo.fhandle == await find(w, b"a")

    loop.run(main())
