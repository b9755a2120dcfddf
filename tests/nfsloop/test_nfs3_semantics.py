"""The 22 procedures of NFSv3 over TCP, as RFC 1813 section 3.3 describes them one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nfs_kit import (
    AS_ROOT,
    OK,
    World,
    before,
    check_wcc,
    each_backend,
    fattr,
    guarded,
    sattr,
    unchecked,
)

from nfsloop.attr import SECOND, nanoseconds
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.client import RpcClient

#: The kernel's clock for file times ticks every 4 ms: apart by this, two changes have two times.
TICK = 0.005
Test = Callable[[World, x.NFS_V3_Client], Awaitable[None]]


def over_tcp(test: Test) -> Callable[..., None]:
    """Run `test` on each backend with a client over TCP."""

    async def run(w: World) -> None:
        rpc: RpcClient
        async with w.tcp() as rpc:
            await test(w, x.NFS_V3_Client(rpc))

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__qualname__ = test.__qualname__
    return each_backend()(run)


def at(w: World, name: bytes) -> x.diropargs3:
    return x.diropargs3(w.root, name)


def time_of(when: x.nfstime3) -> int:
    return nanoseconds(when)


@over_tcp
async def test_nfs3_00_null(w: World, nfs: x.NFS_V3_Client) -> None:
    """Nothing in, nothing out; AUTH_NONE may do it too."""
    result: object = await nfs.NULL(timeout=5)  # type: ignore[func-returns-value]
    assert result is None


@over_tcp
async def test_nfs3_01_getattr(w: World, nfs: x.NFS_V3_Client) -> None:
    """Every field of fattr3, for each type of file."""
    root = await w.attr(w.root)
    file = await w.create(w.root, b"f", mode=0o1750)
    await w.write(file, b"x" * 5000)
    attr = fattr((await nfs.GETATTR(x.GETATTR3args(file))).resok.obj_attributes)
    assert (attr.type, attr.mode, attr.nlink, attr.size) == (x.NF3REG, 0o1750, 1, 5000)
    assert attr.used >= 5000 and attr.rdev == x.specdata3(0, 0)
    assert attr.fsid == root.fsid and attr.fileid != root.fileid
    if w.kind == "posix":
        st = (w.path / "f").lstat()
        assert (attr.fileid, attr.uid, attr.gid) == (st.st_ino, st.st_uid, st.st_gid)
        assert attr.used == st.st_blocks * 512
        assert [time_of(t) for t in (attr.atime, attr.mtime, attr.ctime)] == [
            st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns
        ]  # fmt: skip
    link = await w.attr(await w.symlink(w.root, b"l", b"target"))
    assert (link.type, link.size) == (x.NF3LNK, 6)
    sub = await w.attr(await w.mkdir(w.root, b"d", 0o1777))
    assert (sub.type, sub.mode, sub.nlink) == (x.NF3DIR, 0o1777, 2)
    assert (await w.attr(w.root)).nlink == root.nlink + 1


@over_tcp
async def test_nfs3_02_setattr(w: World, nfs: x.NFS_V3_Client) -> None:
    """Each attribute alone, all together, none; the others stay; wcc is real."""
    file = await w.create(w.root, b"f", mode=0o600)
    await w.write(file, b"0123456789")
    client = x.set_atime(x.SET_TO_CLIENT_TIME, x.nfstime3(1_000_000_000, 123_456_789))
    mine = x.set_mtime(x.SET_TO_CLIENT_TIME, x.nfstime3(4_000_000_000, 999_999_999))
    wishes = [
        sattr(0o640),
        sattr(size=4),
        sattr(size=100_000),
        sattr(atime=client),
        sattr(mtime=mine),
        sattr(atime=x.set_atime(x.SET_TO_SERVER_TIME)),
        sattr(0o444, size=0, atime=client, mtime=mine),
        sattr(),
    ]
    if AS_ROOT:
        wishes += [sattr(uid=1234), sattr(gid=2345), sattr(0o6755, 5, 6, 7, client, mine)]
    for wish in wishes:
        old = await w.attr(file)
        await asyncio.sleep(TICK)
        res = await nfs.SETATTR(x.SETATTR3args(file, wish, None))
        assert res.status == OK, wish
        new = await w.attr(file)
        check_wcc(res.resok.obj_wcc, old, new)
        for field in ("mode", "uid", "gid", "size"):
            wanted = getattr(wish, field)
            assert getattr(new, field) == (getattr(old, field) if wanted is None else wanted)
        if wish.atime.set_it == x.SET_TO_CLIENT_TIME:
            assert new.atime == wish.atime.atime
        if wish.mtime.set_it == x.SET_TO_CLIENT_TIME:
            assert new.mtime == wish.mtime.mtime
        elif wish.size is None:
            assert new.mtime == old.mtime
        if wish != sattr():
            assert time_of(new.ctime) > time_of(old.ctime)
    wrong = x.set_atime(x.SET_TO_CLIENT_TIME, x.nfstime3(1, SECOND))
    assert await w.status("SETATTR", file, sattr(atime=wrong), None, by=nfs) == "INVAL"
    assert await w.status("SETATTR", w.root, sattr(size=1), None, by=nfs) in ("ISDIR", "INVAL")
    fifo = x.mknoddata3(x.NF3FIFO, sattr(0o600))
    assert await w.status("MKNOD", at(w, b"p"), fifo, by=nfs) == "OK"
    pipe = await w.lookup(w.root, b"p")
    assert await w.status("SETATTR", pipe, sattr(size=1), None, by=nfs) == "INVAL"


@over_tcp
async def test_nfs3_03_lookup(w: World, nfs: x.NFS_V3_Client) -> None:
    """Handle and attributes of the file, attributes of the directory if they are at hand."""
    file = await w.create(w.root, b"f")
    ok = (await nfs.LOOKUP(x.LOOKUP3args(at(w, b"f")))).resok
    assert ok.object == file and fattr(ok.obj_attributes) == await w.attr(file)
    assert ok.dir_attributes is None or fattr(ok.dir_attributes) == await w.attr(w.root)
    failed = await nfs.LOOKUP(x.LOOKUP3args(at(w, b"none")))
    assert failed.status == x.NFS3ERR_NOENT
    assert fattr(failed.resfail.dir_attributes) == await w.attr(w.root)
    assert await w.status("LOOKUP", x.diropargs3(file, b"x"), by=nfs) == "NOTDIR"
    link = await w.symlink(w.root, b"l", b"/")
    assert await w.lookup(w.root, b"l") == link  # never followed
    assert await w.status("LOOKUP", x.diropargs3(link, b"etc"), by=nfs) == "NOTDIR"


@over_tcp
async def test_nfs3_04_access(w: World, nfs: x.NFS_V3_Client) -> None:
    """The bits asked for and no others; what a bit means depends on the type."""
    file, sub = await w.create(w.root, b"f", mode=0o644), await w.mkdir(w.root, b"d")
    everything = (await nfs.ACCESS(x.ACCESS3args(file, 0x3F))).resok
    assert everything.access == x.ACCESS3_READ | x.ACCESS3_MODIFY | x.ACCESS3_EXTEND
    assert fattr(everything.obj_attributes) == await w.attr(file)
    for mask in (0, 1, 4, 0x21, 0xFFFFFFFF):
        ok = (await nfs.ACCESS(x.ACCESS3args(file, mask))).resok
        assert ok.access == mask & everything.access
    of_dir = (await nfs.ACCESS(x.ACCESS3args(sub, 0x3F))).resok.access
    assert of_dir == 0x1F
    await nfs.SETATTR(x.SETATTR3args(file, sattr(0o755), None))
    ok = (await nfs.ACCESS(x.ACCESS3args(file, 0x3F))).resok
    assert ok.access == everything.access | x.ACCESS3_EXECUTE


@over_tcp
async def test_nfs3_05_readlink(w: World, nfs: x.NFS_V3_Client) -> None:
    """The target; INVAL for anything else."""
    link = await w.symlink(w.root, b"l", b"../some/where")
    ok = (await nfs.READLINK(x.READLINK3args(link))).resok
    assert ok.data == b"../some/where"
    assert fattr(ok.symlink_attributes).type == x.NF3LNK
    file = await w.create(w.root, b"f")
    failed = await nfs.READLINK(x.READLINK3args(file))
    assert failed.status == x.NFS3ERR_INVAL
    assert fattr(failed.resfail.symlink_attributes).type == x.NF3REG
    assert await w.status("READLINK", w.root, by=nfs) == "INVAL"


@over_tcp
async def test_nfs3_06_read(w: World, nfs: x.NFS_V3_Client) -> None:
    """Count and eof at each place of a file; attributes as of now."""
    data = bytes(range(256)) * 1200
    file = await w.create(w.root, b"f")
    await w.write(file, data)
    size = len(data)
    for offset, count in (
        (0, 1), (0, size), (0, size + 1), (size - 1, 1), (size - 1, 2), (size, 1), (size + 9, 5),
        (0, 0), (size, 0), (12345, 70_000), (1, 3), (65_535, 2),
    ):  # fmt: skip
        ok = (await nfs.READ(x.READ3args(file, offset, count))).resok
        assert bytes(ok.data) == data[offset : offset + count]
        assert (ok.count, ok.eof) == (len(ok.data), offset + count >= size), (offset, count)
        assert fattr(ok.file_attributes).size == size
    empty = await w.create(w.root, b"empty")
    ok = (await nfs.READ(x.READ3args(empty, 0, 100))).resok
    assert (ok.count, ok.eof) == (0, True)
    failed = await nfs.READ(x.READ3args(w.root, 0, 10))
    assert failed.status in (x.NFS3ERR_ISDIR, x.NFS3ERR_INVAL)
    link = await w.symlink(w.root, b"l", b"f")
    assert await w.status("READ", link, 0, 10, by=nfs) == "INVAL"


@over_tcp
async def test_nfs3_07_write(w: World, nfs: x.NFS_V3_Client) -> None:
    """Overwriting, appending, leaving holes; set-id bits go when it is not root who writes."""
    file = await w.create(w.root, b"f")
    expected = bytearray()
    for offset, data in (
        (0, b"hello"), (5, b" world"), (3, b"LO"), (20, b"hole"), (0, b"x" * 70_000),
        (65_530, b"y" * 200_000), (1, b""),
    ):  # fmt: skip
        expected.extend(bytes(max(0, offset + len(data) - len(expected)) if data else 0))
        expected[offset : offset + len(data)] = data
        res = await nfs.WRITE(x.WRITE3args(file, offset, len(data), x.UNSTABLE, data))
        assert res.resok.count == len(data)
        assert fattr(res.resok.file_wcc.after).size == len(expected)
    assert await w.read(file, 0, 1 << 20) == expected
    failed = await nfs.WRITE(x.WRITE3args(w.root, 0, 1, x.UNSTABLE, b"x"))
    assert failed.status in (x.NFS3ERR_ISDIR, x.NFS3ERR_INVAL)
    assert fattr(failed.resfail.file_wcc.after).type == x.NF3DIR
    link = await w.symlink(w.root, b"l", b"f")
    assert await w.status("WRITE", link, 0, 1, x.UNSTABLE, b"x", by=nfs) == "INVAL"


async def made_by(
    w: World, ok: x.CREATE3resok | x.MKDIR3resok | x.SYMLINK3resok | x.MKNOD3resok,
    name: bytes, old: x.fattr3,
) -> x.fattr3:  # fmt: skip
    """What a procedure that makes a file answered, checked; the file's attributes."""
    assert ok.obj is not None and await w.lookup(w.root, name) == ok.obj
    assert fattr(ok.obj_attributes) == await w.attr(ok.obj)
    new = await w.attr(w.root)
    check_wcc(ok.dir_wcc, old, new)
    assert time_of(new.mtime) > time_of(old.mtime) and time_of(new.ctime) > time_of(old.ctime)
    return fattr(ok.obj_attributes)


@over_tcp
async def test_nfs3_08_create(w: World, nfs: x.NFS_V3_Client) -> None:
    """UNCHECKED and GUARDED with their attributes; EXCLUSIVE is trap 9's."""
    for name, how in (
        (b"u", unchecked(mode=0o604, size=10)),
        (b"g", guarded(mode=0o2640)),
        (b"e", x.createhow3(x.EXCLUSIVE, b"12345678")),
    ):
        old = await w.attr(w.root)
        await asyncio.sleep(TICK)
        attr = await made_by(
            w, (await nfs.CREATE(x.CREATE3args(at(w, name), how))).resok, name, old
        )
        assert (attr.type, attr.nlink) == (x.NF3REG, 1)
        if isinstance(how.value, x.sattr3):
            assert (attr.mode, attr.size) == (how.value.mode, how.value.size or 0)
    old = await w.attr(w.root)
    failed = await nfs.CREATE(x.CREATE3args(at(w, b"u"), guarded()))
    assert failed.status == x.NFS3ERR_EXIST
    assert fattr(failed.resfail.dir_wcc.after) == old
    await w.mkdir(w.root, b"d")
    await w.symlink(w.root, b"l", b"u")
    for name in (b"d", b"l"):
        for how in (unchecked(), guarded(), x.createhow3(x.EXCLUSIVE, bytes(8))):
            assert await w.status("CREATE", at(w, name), how, by=nfs) == "EXIST"
    file = await w.lookup(w.root, b"u")
    assert await w.status("CREATE", x.diropargs3(file, b"x"), guarded(), by=nfs) == "NOTDIR"


@over_tcp
async def test_nfs3_09_mkdir(w: World, nfs: x.NFS_V3_Client) -> None:
    """An empty directory with a link from itself; the one above gains a link."""
    old = await w.attr(w.root)
    await asyncio.sleep(TICK)
    args = x.MKDIR3args(at(w, b"d"), sattr(0o750))
    attr = await made_by(w, (await nfs.MKDIR(args)).resok, b"d", old)
    assert (attr.type, attr.mode, attr.nlink) == (x.NF3DIR, 0o750, 2)
    assert (await w.attr(w.root)).nlink == old.nlink + 1
    assert await w.names(await w.lookup(w.root, b"d")) == [b".", b".."]
    assert await w.status("MKDIR", at(w, b"d"), sattr(0o750), by=nfs) == "EXIST"
    file = await w.create(w.root, b"f")
    assert await w.status("MKDIR", at(w, b"f"), sattr(0o750), by=nfs) == "EXIST"
    assert await w.status("MKDIR", x.diropargs3(file, b"x"), sattr(), by=nfs) == "NOTDIR"


@over_tcp
async def test_nfs3_10_symlink(w: World, nfs: x.NFS_V3_Client) -> None:
    """Whatever the target is."""
    old = await w.attr(w.root)
    await asyncio.sleep(TICK)
    args = x.SYMLINK3args(at(w, b"l"), x.symlinkdata3(sattr(0o777), b"no/where"))
    attr = await made_by(w, (await nfs.SYMLINK(args)).resok, b"l", old)
    assert (attr.type, attr.size) == (x.NF3LNK, 8)
    again = x.symlinkdata3(sattr(), b"x")
    assert await w.status("SYMLINK", at(w, b"l"), again, by=nfs) == "EXIST"


@over_tcp
async def test_nfs3_11_mknod(w: World, nfs: x.NFS_V3_Client) -> None:
    """Fifos and sockets, devices for root; BADTYPE for what other procedures make."""
    kinds: list[tuple[x.ftype3, x.specdata3]] = [
        (x.NF3FIFO, x.specdata3(0, 0)),
        (x.NF3SOCK, x.specdata3(0, 0)),
    ]
    if AS_ROOT:
        kinds += [(x.NF3CHR, x.specdata3(10, 229)), (x.NF3BLK, x.specdata3(259, 300_000))]
    for kind, device in kinds:
        old = await w.attr(w.root)
        await asyncio.sleep(TICK)
        name = kind.name.encode()
        special = kind in (x.NF3CHR, x.NF3BLK)
        value = x.devicedata3(sattr(0o620), device) if special else sattr(0o620)
        args = x.MKNOD3args(at(w, name), x.mknoddata3(kind, value))
        attr = await made_by(w, (await nfs.MKNOD(args)).resok, name, old)
        assert (attr.type, attr.mode, attr.rdev) == (kind, 0o620, device)
        assert await w.status("MKNOD", at(w, name), args.what, by=nfs) == "EXIST"
    for kind in (x.NF3REG, x.NF3DIR, x.NF3LNK):
        what = x.mknoddata3(kind)
        assert await w.status("MKNOD", at(w, b"bad"), what, by=nfs) == "BADTYPE"
    huge = x.devicedata3(sattr(0o600), x.specdata3(0xFFFFFFFF, 0xFFFFFFFF))
    status = await w.status("MKNOD", at(w, b"huge"), x.mknoddata3(x.NF3CHR, huge), by=nfs)
    assert status in ("OK", "INVAL", "PERM")


@over_tcp
async def test_nfs3_12_remove(w: World, nfs: x.NFS_V3_Client) -> None:
    """One name, whatever has it; the last one ends the file; directories are not removed."""
    file = await w.create(w.root, b"f")
    assert await w.status("LINK", file, at(w, b"g"), by=nfs) == "OK"
    old = await w.attr(w.root)
    await asyncio.sleep(TICK)
    res = await nfs.REMOVE(x.REMOVE3args(at(w, b"f")))
    new = await w.attr(w.root)
    check_wcc(res.resok.dir_wcc, old, new)
    assert time_of(new.mtime) > time_of(old.mtime)
    assert (await w.attr(file)).nlink == 1
    failed = await nfs.REMOVE(x.REMOVE3args(at(w, b"f")))
    assert failed.status == x.NFS3ERR_NOENT
    assert fattr(failed.resfail.dir_wcc.after) == new
    assert await w.status("REMOVE", at(w, b"g"), by=nfs) == "OK"
    assert await w.status("GETATTR", file, by=nfs) == "STALE"
    await w.mkdir(w.root, b"d")
    assert await w.status("REMOVE", at(w, b"d"), by=nfs) in ("ISDIR", "PERM", "ACCES")
    await w.symlink(w.root, b"l", b"d")
    assert await w.status("REMOVE", at(w, b"l"), by=nfs) == "OK"
    assert await w.names(w.root) == [b".", b"..", b"d"]


@over_tcp
async def test_nfs3_13_rmdir(w: World, nfs: x.NFS_V3_Client) -> None:
    """Empty ones; the directory above loses a link."""
    sub = await w.mkdir(w.root, b"d")
    await w.create(sub, b"f")
    old = await w.attr(w.root)
    failed = await nfs.RMDIR(x.RMDIR3args(at(w, b"d")))
    assert failed.status == x.NFS3ERR_NOTEMPTY
    assert await w.status("REMOVE", x.diropargs3(sub, b"f"), by=nfs) == "OK"
    await asyncio.sleep(TICK)
    res = await nfs.RMDIR(x.RMDIR3args(at(w, b"d")))
    check_wcc(res.resok.dir_wcc, old, await w.attr(w.root))
    assert (await w.attr(w.root)).nlink == old.nlink - 1
    assert await w.status("GETATTR", sub, by=nfs) == "STALE"
    assert await w.status("RMDIR", at(w, b"d"), by=nfs) == "NOENT"
    file = await w.create(w.root, b"f")
    assert await w.status("RMDIR", at(w, b"f"), by=nfs) == "NOTDIR"
    assert await w.status("RMDIR", x.diropargs3(file, b"x"), by=nfs) == "NOTDIR"


@over_tcp
async def test_nfs3_14_rename(w: World, nfs: x.NFS_V3_Client) -> None:
    """Within and between directories, over what is there; both wcc are real."""
    a, b = await w.mkdir(w.root, b"a"), await w.mkdir(w.root, b"b")
    file, other = await w.create(a, b"f"), await w.create(b, b"other")
    old = await w.attr(a), await w.attr(b)
    await asyncio.sleep(TICK)
    args = x.RENAME3args(x.diropargs3(a, b"f"), x.diropargs3(b, b"other"))
    ok = (await nfs.RENAME(args)).resok
    check_wcc(ok.fromdir_wcc, old[0], await w.attr(a))
    check_wcc(ok.todir_wcc, old[1], await w.attr(b))
    assert await w.lookup(b, b"other") == file
    assert await w.status("GETATTR", other, by=nfs) == "STALE"
    assert await w.names(a) == [b".", b".."]
    same = x.diropargs3(b, b"other")
    assert await w.status("RENAME", same, same, by=nfs) == "OK"
    assert await w.status("LINK", file, x.diropargs3(b, b"second"), by=nfs) == "OK"
    second = x.diropargs3(b, b"second")
    assert await w.status("RENAME", same, second, by=nfs) == "OK"
    assert await w.names(b) != [b".", b".."] and (await w.attr(file)).nlink == 2
    await w.create(a, b"in")
    for source, target, statuses in (
        (x.diropargs3(a, b"none"), at(w, b"x"), ("NOENT",)),
        (same, at(w, b"a"), ("EXIST", "ISDIR")),
        (at(w, b"a"), same, ("NOTDIR", "EXIST")),
        (at(w, b"b"), at(w, b"a"), ("NOTEMPTY", "EXIST")),
        (at(w, b"a"), x.diropargs3(a, b"x"), ("INVAL",)),
        (x.diropargs3(file, b"x"), at(w, b"x"), ("NOTDIR",)),
        (same, x.diropargs3(file, b"x"), ("NOTDIR",)),
    ):
        res = await nfs.RENAME(x.RENAME3args(source, target))
        assert res.status.name.removeprefix("NFS3ERR_") in statuses, (source, target)
        assert res.resfail.fromdir_wcc.after is not None
        assert res.resfail.todir_wcc.after is not None
    empty = await w.mkdir(w.root, b"empty")
    assert await w.status("RENAME", at(w, b"a"), at(w, b"empty"), by=nfs) == "OK"
    assert await w.status("GETATTR", empty, by=nfs) == "STALE"
    assert await w.lookup(w.root, b"empty") == a


@over_tcp
async def test_nfs3_15_link(w: World, nfs: x.NFS_V3_Client) -> None:
    """Another name for the file; never for a directory."""
    file, sub = await w.create(w.root, b"f"), await w.mkdir(w.root, b"d")
    old = await w.attr(sub)
    await asyncio.sleep(TICK)
    ok = (await nfs.LINK(x.LINK3args(file, x.diropargs3(sub, b"g")))).resok
    assert fattr(ok.file_attributes) == await w.attr(file)
    assert fattr(ok.file_attributes).nlink == 2
    check_wcc(ok.linkdir_wcc, old, await w.attr(sub))
    failed = await nfs.LINK(x.LINK3args(file, x.diropargs3(sub, b"g")))
    assert failed.status == x.NFS3ERR_EXIST
    assert fattr(failed.resfail.file_attributes).nlink == 2
    assert failed.resfail.linkdir_wcc.after is not None
    assert await w.status("LINK", sub, at(w, b"x"), by=nfs) in ("ISDIR", "INVAL", "PERM")
    assert await w.status("LINK", file, x.diropargs3(file, b"x"), by=nfs) == "NOTDIR"


@over_tcp
async def test_nfs3_16_17_readdir_and_readdirplus(w: World, nfs: x.NFS_V3_Client) -> None:
    """The same names, fileids and cookies; READDIRPLUS has the attributes and handles of each."""
    handles = {b"f": await w.create(w.root, b"f"), b"d": await w.mkdir(w.root, b"d")}
    handles[b"l"] = await w.symlink(w.root, b"l", b"f")
    plain = (await nfs.READDIR(x.READDIR3args(w.root, 0, bytes(8), 4096))).resok
    plus = (await nfs.READDIRPLUS(x.READDIRPLUS3args(w.root, 0, bytes(8), 4096, 8192))).resok
    assert plain.reply.eof and plus.reply.eof
    assert fattr(plain.dir_attributes).fileid == (await w.attr(w.root)).fileid
    assert [(e.fileid, e.name, e.cookie) for e in plain.reply.entries] == [
        (e.fileid, e.name, e.cookie) for e in plus.reply.entries
    ]
    for entry in plus.reply.entries:
        handle = handles.get(entry.name, w.root)
        assert entry.name_handle == handle
        attr, now = fattr(entry.name_attributes), await w.attr(handle)
        attr.atime = now.atime
        assert attr == now


@over_tcp
async def test_nfs3_18_fsstat(w: World, nfs: x.NFS_V3_Client) -> None:
    """Space and files; free is no more than all, the caller's no more than free."""
    stat = (await nfs.FSSTAT(x.FSSTAT3args(w.root))).resok
    assert stat.tbytes >= stat.fbytes >= stat.abytes > 0
    assert stat.tfiles >= stat.ffiles >= stat.afiles > 0
    assert fattr(stat.obj_attributes).type == x.NF3DIR
    file = await w.create(w.root, b"f")
    assert (await nfs.FSSTAT(x.FSSTAT3args(file))).status == OK


@over_tcp
async def test_nfs3_19_20_fsinfo_and_pathconf(w: World, nfs: x.NFS_V3_Client) -> None:
    """What the backend has declared; the sizes are trap 10's."""
    limits = w.backend.limits
    info = (await nfs.FSINFO(x.FSINFO3args(w.root))).resok
    assert info.maxfilesize == limits.max_file_size
    assert time_of(info.time_delta) == limits.time_delta > 0
    assert info.properties == 0x1B
    conf = (await nfs.PATHCONF(x.PATHCONF3args(w.root))).resok
    assert (conf.linkmax, conf.name_max) == (limits.link_max, 255)
    assert (conf.no_trunc, conf.chown_restricted) == (True, True)
    assert (conf.case_insensitive, conf.case_preserving) == (False, True)


@over_tcp
async def test_nfs3_21_commit(w: World, nfs: x.NFS_V3_Client) -> None:
    """The verifier of the writes before it; what is no file cannot be committed."""
    file = await w.create(w.root, b"f")
    written = await w.write(file, b"data")
    ok = (await nfs.COMMIT(x.COMMIT3args(file, 0, 0))).resok
    assert ok.verf == written.verf and len(ok.verf) == 8
    assert before(ok.file_wcc).size == 4
    assert await w.status("COMMIT", w.root, 0, 0, by=nfs) in ("ISDIR", "INVAL")


@over_tcp
async def test_nfs3_many_calls_outstanding(w: World, nfs: x.NFS_V3_Client) -> None:
    """A thousand at once on one connection, each with its own answer."""
    files = [await w.create(w.root, b"f%d" % n, size=n) for n in range(100)]
    calls = [nfs.GETATTR(x.GETATTR3args(files[n % 100])) for n in range(1000)]
    sizes = [fattr(res.resok.obj_attributes).size for res in await asyncio.gather(*calls)]
    assert sizes == [n % 100 for n in range(1000)]


@pytest.mark.skipif(not AS_ROOT, reason="only root can act as the callers")
@each_backend()
async def test_nfs3_new_files_in_a_set_group_id_directory(w: World) -> None:
    """Take its group, and directories the bit too, as the Linux client expects."""
    await w.nfs.SETATTR(x.SETATTR3args(w.root, sattr(0o2777, gid=4321), None))
    file, sub = await w.create(w.root, b"f"), await w.mkdir(w.root, b"d")
    assert (await w.attr(file)).gid == (await w.attr(sub)).gid == 4321
    assert (await w.attr(sub)).mode & 0o2000
