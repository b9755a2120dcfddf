"""Handles: forged, foreign, outdated; and those that must go on working."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from nfs_kit import KEY, OK, OPEN, World, each_backend, fattr, root_of, sattr, serving, unchecked

from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from nfsloop.export import Export
from nfsloop.handle import HANDLE_BYTES, KEY_BYTES, load_key
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop


def all_calls(handle: bytes, good: bytes) -> list[tuple[Any, ...]]:
    """Every procedure with `handle` in each place where one goes; `good` is a directory's."""
    what, fine = x.diropargs3(handle, b"name"), x.diropargs3(good, b"name")
    fifo = x.mknoddata3(x.NF3FIFO, sattr(0o600))
    link = x.symlinkdata3(sattr(), b"target")
    return [
        ("GETATTR", handle),
        ("SETATTR", handle, sattr(0o600), None),
        ("LOOKUP", what),
        ("ACCESS", handle, 63),
        ("READLINK", handle),
        ("READ", handle, 0, 10),
        ("WRITE", handle, 0, 1, x.UNSTABLE, b"x"),
        ("CREATE", what, unchecked()),
        ("CREATE", what, x.createhow3(x.EXCLUSIVE, bytes(8))),
        ("MKDIR", what, sattr(0o700)),
        ("SYMLINK", what, link),
        ("MKNOD", what, fifo),
        ("REMOVE", what),
        ("RMDIR", what),
        ("RENAME", what, fine),
        ("RENAME", fine, what),
        ("LINK", handle, fine),
        ("LINK", good, what),
        ("READDIR", handle, 0, bytes(8), 4096),
        ("READDIRPLUS", handle, 0, bytes(8), 4096, 4096),
        ("FSSTAT", handle),
        ("FSINFO", handle),
        ("PATHCONF", handle),
        ("COMMIT", handle, 0, 0),
    ]


@each_backend()
async def test_every_flipped_bit_makes_a_handle_bad(w: World) -> None:
    """BADHANDLE for each of them, and for handles of other lengths."""
    await w.create(w.root, b"f")
    handle = await w.lookup(w.root, b"f")
    assert len(handle) == HANDLE_BYTES
    for bit in range(8 * len(handle)):
        forged = (int.from_bytes(handle) ^ 1 << bit).to_bytes(len(handle))
        assert await w.status("GETATTR", forged) == "BADHANDLE", bit
    chance = random.Random(1)
    others = [handle[:size] for size in range(HANDLE_BYTES)]
    others += [handle + bytes(size) for size in range(1, 33)]
    others += [chance.randbytes(HANDLE_BYTES) for _ in range(100)]
    others += [bytes(HANDLE_BYTES), b"\xff" * HANDLE_BYTES, bytes(64)]
    for forged in others:
        assert await w.status("GETATTR", forged) == "BADHANDLE", forged
    assert await w.status("GETATTR", handle) == "OK"


@each_backend()
async def test_a_bad_handle_is_bad_in_every_procedure(w: World) -> None:
    """In each place where a handle stands."""
    for procedure, *args in all_calls(bytes(HANDLE_BYTES), w.root):
        assert await w.status(procedure, *args) == "BADHANDLE", (procedure, args)


@each_backend()
async def test_the_handle_of_a_removed_file_is_stale_in_every_procedure(w: World) -> None:
    """Files, directories and links; and no new file ever answers to it."""
    made = [await w.create(w.root, b"f"), await w.symlink(w.root, b"l", b"target")]
    made.append(await w.mkdir(w.root, b"d"))
    for name in (b"f", b"l"):
        assert await w.status("REMOVE", x.diropargs3(w.root, name)) == "OK"
    assert await w.status("RMDIR", x.diropargs3(w.root, b"d")) == "OK"
    for number in range(50):  # inode numbers are used again on many file systems
        await w.create(w.root, b"new%d" % number)
    for handle in made:
        for procedure, *args in all_calls(handle, w.root):
            if args[0] == x.diropargs3(w.root, b"name") or args[0] == w.root:
                # What is asked of the good handle may come first: NOENT, ISDIR.
                assert await w.status(procedure, *args) in ("STALE", "NOENT", "ISDIR")
            else:
                assert await w.status(procedure, *args) == "STALE", (procedure, args)


@each_backend()
async def test_a_handle_follows_its_file_through_renames(w: World) -> None:
    """Its own, and those of the directories above; and over a replaced name."""
    a, b = await w.mkdir(w.root, b"a"), await w.mkdir(w.root, b"b")
    file = await w.create(a, b"f")
    await w.write(file, b"data")
    moves = [(a, b"f", b, b"g"), (w.root, b"b", a, b"c"), (w.root, b"a", w.root, b"z")]
    for source, name, target, new in moves:
        args = x.diropargs3(source, name), x.diropargs3(target, new)
        assert await w.status("RENAME", *args) == "OK"
        assert await w.read(file) == b"data"
    over = await w.create(w.root, b"over")
    args = x.diropargs3(b, b"g"), x.diropargs3(w.root, b"over")
    assert await w.status("RENAME", *args) == "OK"
    assert await w.status("GETATTR", over) == "STALE"
    assert await w.lookup(w.root, b"over") == file


def test_handles_of_another_export(tmp_path: Path) -> None:
    """Each names its export; RENAME and LINK from one to the other are XDEV."""

    async def main() -> None:
        async with serving("memory", tmp_path) as w:
            second = Export("/second", MemoryBackend(), OPEN)
            w.exports.add(second)
            other = await root_of(w, "/second")
            file, there = await w.create(w.root, b"f"), await w.create(other, b"f")
            assert file != there and w.root != other
            old, new = x.diropargs3(w.root, b"f"), x.diropargs3(other, b"new")
            assert await w.status("RENAME", old, new) == "XDEV"
            assert await w.status("LINK", file, new) == "XDEV"
            assert await w.names(other) == [b".", b"..", b"f"]
            first, last = await w.attr(w.root), await w.attr(other)
            assert first.fsid != last.fsid
            del w.exports.by_number[second.number]
            for procedure, *args in all_calls(other, other):
                assert await w.status(procedure, *args) == "STALE", procedure
            assert await w.status("GETATTR", file) == "OK"

    loop.run(main())


def test_a_handle_does_not_lead_into_another_directory(tmp_path: Path) -> None:
    """Two posix exports, one key: the number of the export is what tells them apart."""

    async def main() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        (tmp_path / "two" / "secret").write_text("secret")
        two = PosixBackend(tmp_path / "two", state=None)
        async with serving("posix", tmp_path, backend=two, path="/two") as w:
            secret = await w.lookup(w.root, b"secret")
            number, _ = w.handles.unpack(secret)
        one = PosixBackend(tmp_path / "one", state=None)
        async with serving("posix", tmp_path, backend=one, path="/one") as w:
            assert await w.status("READ", secret, 0, 10) == "STALE"
            (export,) = w.exports
            assert export.number != number

    loop.run(main())


def test_handles_survive_a_restart(tmp_path: Path) -> None:
    """With the same key; files and directories, renamed in between, by another process too."""

    async def main() -> None:
        async with serving("posix", tmp_path) as w:
            sub = await w.mkdir(w.root, b"sub")
            deep = await w.mkdir(sub, b"deep")
            file = await w.create(deep, b"file")
            gone = await w.create(sub, b"gone")
            await w.write(file, b"data", stable=x.FILE_SYNC)
            root, fsid = w.root, (await w.attr(file)).fsid
        (tmp_path / "export" / "sub" / "gone").unlink()
        (tmp_path / "export" / "sub" / "deep" / "file").rename(tmp_path / "export" / "moved")
        async with serving("posix", tmp_path) as w:
            assert w.root == root
            assert await w.read(file) == b"data"
            assert (await w.attr(file)).fsid == fsid
            assert await w.lookup(w.root, b"moved") == file
            assert await w.lookup(w.root, b"sub") == sub
            assert await w.lookup(deep, b"..") == sub
            assert await w.status("GETATTR", gone) == "STALE"
        async with serving("posix", tmp_path, key=KEY[::-1]) as w:
            for handle in (root, file, sub):
                assert await w.status("GETATTR", handle) == "BADHANDLE"
            assert await w.read(await w.lookup(w.root, b"moved")) == b"data"

    loop.run(main())


def test_memory_handles_do_not_survive_but_for_the_root(tmp_path: Path) -> None:
    """A file of an earlier life is stale, and never another file."""

    async def main() -> None:
        async with serving("memory", tmp_path) as w:
            root, file = w.root, await w.create(w.root, b"f")
        async with serving("memory", tmp_path) as w:
            await w.create(w.root, b"other")
            assert w.root == root
            assert await w.status("GETATTR", file) == "STALE"
            assert await w.status("GETATTR", root) == "OK"

    loop.run(main())


def test_the_key_is_kept_secret_and_for_good(tmp_path: Path) -> None:
    """Made once, for the owner's eyes; a broken one is refused, not replaced."""
    key = load_key(tmp_path)
    assert len(key) == KEY_BYTES and load_key(tmp_path) == key
    assert (tmp_path / "handle.key").stat().st_mode & 0o777 == 0o600
    assert load_key_of(tmp_path / "other") != key
    (tmp_path / "handle.key").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"handle\.key"):
        load_key(tmp_path)


def load_key_of(path: Path) -> bytes:
    path.mkdir()
    return load_key(path)


@each_backend()
async def test_the_same_file_has_one_handle(w: World) -> None:
    """From LOOKUP, CREATE, READDIRPLUS, and through each of its names."""
    file = await w.create(w.root, b"f")
    args = x.LINK3args(file, x.diropargs3(w.root, b"g"))
    assert (await w.nfs.LINK(args)).status == OK
    found = {await w.lookup(w.root, name) for name in (b"f", b"g")}
    plus = await w.nfs.READDIRPLUS(x.READDIRPLUS3args(w.root, 0, bytes(8), 4096, 4096))
    entries = plus.resok.reply.entries
    found |= {entry.name_handle or b"" for entry in entries if entry.name in (b"f", b"g")}
    assert found == {file}
    assert {fattr(e.name_attributes).fileid for e in entries[2:]} == {(await w.attr(file)).fileid}
