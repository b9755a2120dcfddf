"""FIELD.md section 2, the traps of single NFS and MOUNT procedures: 1, 4, 5, 9, 10."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from nfs_kit import (
    OK,
    PEER,
    ROOT,
    World,
    before,
    check_wcc,
    each_backend,
    fattr,
    sattr,
    serving,
    unchecked,
)
from wire import MOUNT, call

from nfsloop.attr import SECOND
from nfsloop.limits import TRANSFER_BYTES, UDP_TRANSFER_BYTES
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.testing import Capture, Pipe

GIB = 1 << 30
VERIFIER = bytes.fromhex("80c1d2e3f405162f")


@each_backend()
async def test_trap_01_link_has_arguments_of_its_own(w: World) -> None:
    """A handle and a directory's entry: LINK3args, made by hand from RFC 1813 section 3.3.15."""
    file, sub = await w.create(w.root, b"file"), await w.mkdir(w.root, b"sub")
    old = await w.attr(sub)
    args = b"".join(
        struct.pack(">I", len(part)) + part + bytes(-len(part) & 3) for part in (file, sub, b"name")
    )
    reply = await w.pipe.send(call(proc=15, args=args, credential=ROOT.pack()))
    assert struct.unpack_from(">2I", reply, 20) == (0, OK)
    res, end = x.decode_LINK3res(reply, 24)
    assert end == len(reply)
    assert fattr(res.resok.file_attributes) == await w.attr(file)
    assert fattr(res.resok.file_attributes).nlink == 2
    check_wcc(res.resok.linkdir_wcc, old, await w.attr(sub))
    assert (await w.attr(await w.lookup(sub, b"name"))).fileid == (await w.attr(file)).fileid
    link = await w.symlink(sub, b"symbolic", b"../file")
    assert (await w.nfs.READLINK(x.READLINK3args(link))).resok.data == b"../file"


@each_backend()
async def test_trap_04_a_guard_that_does_not_match_gives_one_reply_not_sync(w: World) -> None:
    """Nothing is set, and nothing more is sent."""
    file = await w.create(w.root, b"f")
    old = await w.attr(file)
    wrong = [
        x.nfstime3(old.ctime.seconds, old.ctime.nseconds ^ 1),
        x.nfstime3(old.ctime.seconds - 1, old.ctime.nseconds),
        x.nfstime3(0, 0),
    ]
    for guard in wrong:
        args: list[bytes | memoryview | bytearray] = []
        x.encode_SETATTR3args(x.SETATTR3args(file, sattr(0o600, size=10), guard), args.append)
        message = call(proc=2, args=b"".join(args), credential=ROOT.pack())
        capture = Capture(PEER)
        task = w.server.dispatcher.dispatch(message, capture)
        if task is not None:
            await task
        (reply,) = capture.sent
        res, end = x.decode_SETATTR3res(reply, 24)
        assert (end, res.status) == (len(reply), x.NFS3ERR_NOT_SYNC)
        assert fattr(res.resfail.obj_wcc.after) == old
    assert await w.attr(file) == old
    impossible = x.nfstime3(old.ctime.seconds, SECOND)
    assert await w.status("SETATTR", file, sattr(0o600), impossible) == "INVAL"
    assert await w.status("SETATTR", file, sattr(0o600), old.ctime) == "OK"
    assert (await w.attr(file)).mode == 0o600


async def dumped(mount: m.MOUNT_V3_Client) -> list[tuple[bytes, bytes]]:
    return [(entry.ml_hostname, entry.ml_directory) for entry in await mount.DUMP()]


@each_backend()
async def test_trap_05_umnt_and_umntall_have_void_results(w: World) -> None:
    """24 bytes of reply, no more, in both versions; for what is not mounted too."""
    path = struct.pack(">I", 7) + b"/export\0"
    for version in (1, 3):
        for proc, args in ((3, path), (4, b"")):
            reply = await w.pipe.send(call(MOUNT, version, proc, args))
            assert reply == struct.pack(">6I", 7, 1, 0, 0, 0, 0)


@each_backend()
async def test_trap_05_dump_and_export_tell_the_truth(w: World) -> None:
    """Who has mounted what, by host; UMNTALL forgets the caller's mounts and nobody else's."""
    await w.mkdir(w.root, b"sub")
    await w.create(w.root, b"file")
    mine = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, PEER))
    other = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, Peer("2001:db8::9", 700, "udp")))
    old = m.MOUNT_V1_Client(w.pipe)
    assert await dumped(mine) == []
    for client, path in ((mine, b"/export"), (other, b"/export"), (mine, b"//export/./sub/")):
        mounted = (await client.MNT(path)).mountinfo
        assert 0 in mounted.auth_flavors and 1 in mounted.auth_flavors
        assert (await w.attr(mounted.fhandle)).type == x.NF3DIR
    assert (await mine.MNT(b"/")).mountinfo.fhandle == w.root
    for path, status in (
        (b"/export/none", m.MNT3ERR_NOENT),
        (b"/export/file", m.MNT3ERR_NOTDIR),
        (b"/export/../etc", m.MNT3ERR_ACCES),
        (b"/exports", m.MNT3ERR_ACCES),
        (b"export", m.MNT3ERR_ACCES),
        (b"", m.MNT3ERR_ACCES),
        (b"/export/" + b"n" * 300, m.MNT3ERR_NAMETOOLONG),
    ):
        assert (await mine.MNT(path)).fhs_status == status, path
    here, there = PEER.host.encode(), b"2001:db8::9"
    everyone = [
        (here, b"/export"), (there, b"/export"), (here, b"/export/sub"), (here, b"/"),
    ]  # fmt: skip
    assert await dumped(mine) == everyone
    assert (await old.MNT(b"/export")).fhs_fhandle == w.root
    assert await dumped(mine) == everyone
    await other.UMNT(b"/export/sub")  # not his
    assert await dumped(mine) == everyone
    await mine.UMNT(b"/export/sub/")
    assert await dumped(mine) == [everyone[0], everyone[1], everyone[3]]
    await mine.UMNTALL()
    assert await dumped(mine) == [(there, b"/export")]
    assert [(node.ex_dir, node.ex_groups) for node in await mine.EXPORT()] == [(b"/export", [])]
    assert [node.ex_dir for node in await old.EXPORTALL()] == [b"/export"]


async def exclusive(w: World, name: bytes, verifier: bytes) -> x.CREATE3res:
    how = x.createhow3(x.EXCLUSIVE, verifier)
    return await w.nfs.CREATE(x.CREATE3args(x.diropargs3(w.root, name), how))


@each_backend()
async def test_trap_09_exclusive_create_keeps_all_64_bits(w: World) -> None:
    """The same verifier gives the same success, one with any other bit EXIST."""
    first = (await exclusive(w, b"f", VERIFIER)).resok
    assert first.obj is not None
    again = (await exclusive(w, b"f", VERIFIER)).resok
    assert again.obj == first.obj
    assert fattr(again.obj_attributes).fileid == fattr(first.obj_attributes).fileid
    for bit in range(64):
        other = (int.from_bytes(VERIFIER) ^ 1 << bit).to_bytes(8)
        assert (await exclusive(w, b"f", other)).status == x.NFS3ERR_EXIST, bit
    assert (await exclusive(w, b"f", VERIFIER)).resok.obj == first.obj
    for number, verifier in enumerate((bytes(8), b"\xff" * 8, b"\x80" + bytes(7))):
        name = b"v%d" % number
        made = (await exclusive(w, name, verifier)).resok.obj
        assert (await exclusive(w, name, verifier)).resok.obj == made


@each_backend()
async def test_trap_09_an_existing_file_is_never_truncated(w: World) -> None:
    """Not by EXCLUSIVE, with whatever verifier, nor by GUARDED, nor by UNCHECKED without a size."""
    file = await w.create(w.root, b"f", mode=0o640)
    await w.write(file, b"precious")
    old = await w.attr(file)
    for verifier in (bytes(8), VERIFIER):
        assert (await exclusive(w, b"f", verifier)).status == x.NFS3ERR_EXIST
    where = x.diropargs3(w.root, b"f")
    for mode in (x.GUARDED, x.UNCHECKED):
        how = x.createhow3(mode, sattr(0o777, size=None if mode == x.UNCHECKED else 0))
        status = (await w.nfs.CREATE(x.CREATE3args(where, how))).status
        assert status == (OK if mode == x.UNCHECKED else x.NFS3ERR_EXIST)
    new = await w.attr(file)
    assert (new.mode, new.size, new.mtime) == (0o640, 8, old.mtime)
    assert await w.read(file) == b"precious"
    res = await w.nfs.CREATE(x.CREATE3args(where, unchecked(size=0)))
    assert res.resok.obj == file and (await w.attr(file)).size == 0
    # An exclusively made file that was written to: a late retry must not empty it either.
    made = (await exclusive(w, b"g", VERIFIER)).resok.obj
    assert made is not None
    await w.write(made, b"data")
    await exclusive(w, b"g", VERIFIER)
    assert await w.read(made) == b"data"
    # After the SETATTR that ends the create, it is a file like others.
    await w.nfs.SETATTR(x.SETATTR3args(made, sattr(0o644, mtime=SERVER_TIME), None))
    assert (await exclusive(w, b"g", VERIFIER)).status == x.NFS3ERR_EXIST


SERVER_TIME = x.set_mtime(x.SET_TO_SERVER_TIME)


def test_trap_09_the_verifier_survives_a_restart(tmp_path: Path) -> None:
    """The retry may come to the next process."""

    async def main() -> None:
        async with serving("posix", tmp_path) as w:
            first = (await exclusive(w, b"f", VERIFIER)).resok.obj
        async with serving("posix", tmp_path) as w:
            assert (await exclusive(w, b"f", VERIFIER)).resok.obj == first
            assert (await exclusive(w, b"f", bytes(8))).status == x.NFS3ERR_EXIST

    loop.run(main())


@each_backend()
async def test_trap_10_fsinfo_tells_the_real_limits(w: World) -> None:
    """rtmax is what one READ gives, wtmax what one WRITE takes, over TCP; 1 MiB each."""
    async with w.tcp() as rpc:
        nfs = x.NFS_V3_Client(rpc)
        info = (await nfs.FSINFO(x.FSINFO3args(w.root))).resok
        assert info.rtmax == info.wtmax == TRANSFER_BYTES
        assert 0 < info.rtpref <= info.rtmax and 0 < info.wtpref <= info.wtmax
        assert info.rtmax % info.rtmult == 0 and info.wtmax % info.wtmult == 0
        assert info.maxfilesize > 4 * GIB
        assert info.properties & (x.FSF3_LINK | x.FSF3_SYMLINK | x.FSF3_CANSETTIME) == 0x13
        file = await w.create(w.root, b"f")
        data = bytes(range(256)) * (info.wtmax // 256)
        for offset in (0, info.wtmax):
            args = x.WRITE3args(file, offset, len(data), x.UNSTABLE, data)
            assert (await nfs.WRITE(args)).resok.count == info.wtmax
        over = x.WRITE3args(file, 0, len(data) + 8, x.UNSTABLE, data + bytes(8))
        assert (await nfs.WRITE(over)).resok.count == info.wtmax
        for count in (info.rtmax, info.rtmax + 1, 0xFFFFFFFF):
            got = (await nfs.READ(x.READ3args(file, 0, count))).resok
            assert (got.count, got.eof, bytes(got.data)) == (info.rtmax, False, data), count
        names = (await nfs.READDIR(x.READDIR3args(w.root, 0, bytes(8), info.dtpref))).resok
        assert names.reply.eof


@each_backend()
async def test_trap_10_over_udp_the_limits_are_smaller(w: World) -> None:
    """A datagram's; a READ of more gives as much as fits."""
    file = await w.create(w.root, b"f", size=200_000)
    nfs = w.client(ROOT, Peer("192.0.2.7", 700, "udp"))
    info = (await nfs.FSINFO(x.FSINFO3args(w.root))).resok
    assert info.rtmax == info.wtmax == UDP_TRANSFER_BYTES
    got = (await nfs.READ(x.READ3args(file, 0, 65536))).resok
    assert got.count == len(got.data) == info.rtmax


@each_backend()
async def test_trap_10_files_beyond_4_gib(w: World) -> None:
    """Offsets and sizes of 64 bits; holes are zeros; beyond the end there is nothing."""
    file = await w.create(w.root, b"f")
    done = await w.write(file, b"far away", 5 * GIB)
    assert before(done.file_wcc).size == 0
    assert (await w.attr(file)).size == 5 * GIB + 8
    assert await w.read(file, 5 * GIB, 100) == b"far away"
    assert await w.read(file, 4 * GIB - 2, 4) == bytes(4)
    assert (await w.attr(file)).used < GIB
    assert await w.status("SETATTR", file, sattr(size=6 * GIB), None) == "OK"
    got = (await w.nfs.READ(x.READ3args(file, 6 * GIB - 1, 10))).resok
    assert (got.count, got.eof) == (1, True)
    assert await w.status("COMMIT", file, 5 * GIB, 8) == "OK"


@each_backend()
@pytest.mark.parametrize("offset", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
async def test_trap_10_offsets_that_no_file_has(w: World, offset: int) -> None:
    """READ finds the end of the file; WRITE and SETATTR refuse what the backend cannot hold."""
    file = await w.create(w.root, b"f", size=10)
    for count in (0, 1, 4096, 1 << 20):
        got = (await w.nfs.READ(x.READ3args(file, offset, count))).resok
        assert (got.count, bytes(got.data), got.eof) == (0, b"", True)
    assert await w.status("COMMIT", file, offset, 0xFFFFFFFF) == "OK"
    if offset > 1 << 62:
        assert await w.status("WRITE", file, offset, 4, x.UNSTABLE, b"data") == "FBIG"
    if offset >= 1 << 63:
        assert await w.status("SETATTR", file, sattr(size=offset), None) == "FBIG"
        where = x.diropargs3(w.root, b"big")
        assert await w.status("CREATE", where, unchecked(size=offset)) == "FBIG"
        assert await w.status("LOOKUP", where) == "NOENT"
    assert (await w.attr(file)).size == 10
