"""FIELD.md section 2, traps 6 and 8: reading directories, to the byte and while they change."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from nfs_kit import OK, PEER, World, each_backend, fattr

from backends.base import Context, CreateMode, SetAttr
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.call import Peer

#: Names of all lengths modulo four, and the longest.
NAMES = [b"n" * size for size in (1, 2, 3, 4, 5, 8, 11, 30)] + [b"m" * 255]
DOTS = [b".", b".."]
NONE = bytes(8)
#: xid, REPLY, MSG_ACCEPTED, verifier, SUCCESS, nfsstat3: before the resok.
HEAD = 28


def entry_size(name: bytes) -> int:
    """What RFC 1813 counts of an entry: fileid, name and cookie, and that it follows."""
    return 24 + len(name) + (-len(name) & 3)


async def readdir(w: World, dir: bytes, cookie: int, count: int) -> x.READDIR3resok | None:
    """A READDIR, measured; None: TOOSMALL."""
    res = await w.nfs.READDIR(x.READDIR3args(dir, cookie, NONE, count))
    if res.status != OK:
        assert res.status == x.NFS3ERR_TOOSMALL
        assert fattr(res.resfail.dir_attributes).type == x.NF3DIR
        return None
    assert len(w.pipe.log[-1][1]) - HEAD <= count, count
    w.pipe.log.clear()
    assert res.resok.reply.entries or res.resok.reply.eof
    return res.resok


async def readdirplus(
    w: World, dir: bytes, cookie: int, dircount: int, maxcount: int
) -> x.READDIRPLUS3resok | None:
    """A READDIRPLUS, measured; None: TOOSMALL."""
    args = x.READDIRPLUS3args(dir, cookie, NONE, dircount, maxcount)
    res = await w.nfs.READDIRPLUS(args)
    if res.status != OK:
        assert res.status == x.NFS3ERR_TOOSMALL
        return None
    assert len(w.pipe.log[-1][1]) - HEAD <= maxcount, (dircount, maxcount)
    w.pipe.log.clear()
    entries = res.resok.reply.entries
    assert sum(entry_size(entry.name) for entry in entries) <= dircount, (dircount, maxcount)
    assert entries or res.resok.reply.eof
    return res.resok


@each_backend()
async def test_trap_06_readdir_keeps_every_count(w: World) -> None:
    """From 0 to 600: never more bytes than asked for; a count that works lists everything once."""
    for name in NAMES:
        await w.create(w.root, name)
    worked = 0
    for count in range(601):
        names: list[bytes] = []
        cookie = 0
        while (ok := await readdir(w, w.root, cookie, count)) is not None:
            names += [entry.name for entry in ok.reply.entries]
            if ok.reply.eof:
                assert sorted(names) == sorted(DOTS + NAMES), count
                worked += 1
                break
            cookie = ok.reply.entries[-1].cookie
        else:
            # An entry was too large for the count: it must be the largest.
            fits = 88 + 8 + 8 + entry_size(NAMES[-1])
            assert count < fits, f"{count} bytes are enough for every single entry"
    assert worked == 601 - (88 + 8 + 8 + entry_size(NAMES[-1]))


@each_backend()
async def test_trap_06_readdirplus_keeps_dircount_and_maxcount(w: World) -> None:
    """As the RFC counts them: names in dircount, everything in maxcount."""
    for name in NAMES:
        await w.create(w.root, name)
    pairs = [(d, m) for d in range(0, 330, 11) for m in range(0, 1100, 37)]
    pairs += [(d, 32768) for d in range(600)] + [(32768, m) for m in range(600)]
    answers = Counter[bool]()
    for dircount, maxcount in pairs:
        first = await readdirplus(w, w.root, 0, dircount, maxcount)
        answers[first is None] += 1
        if first is None:
            enough = 88 + 16 + entry_size(b".") + 88 + 8 + 32
            assert dircount < entry_size(b".") or maxcount < enough, (dircount, maxcount)
    assert min(answers.values()) > 100


@each_backend()
async def test_trap_06_readdirplus_lists_everything_once(w: World) -> None:
    """With any pair of counts that the largest entry fits in."""
    for name in NAMES:
        await w.create(w.root, name)
    largest = entry_size(NAMES[-1])
    for dircount in (largest, largest + 4, 500, 4096):
        for maxcount in (88 + 16 + largest + 128, 600, 1000, 4096, 65536, 0xFFFFFFFF):
            seen: list[bytes] = []
            cookie, eof = 0, False
            while not eof:
                ok = await readdirplus(w, w.root, cookie, dircount, maxcount)
                assert ok is not None
                for entry in ok.reply.entries:
                    seen.append(entry.name)
                    cookie = entry.cookie
                    assert fattr(entry.name_attributes).fileid == entry.fileid
                    assert entry.name_handle is not None
                    assert await w.attr(entry.name_handle) is not None
                w.pipe.log.clear()
                eof = ok.reply.eof
            assert sorted(seen) == sorted(DOTS + NAMES), (dircount, maxcount)


@each_backend()
async def test_trap_06_large_counts_have_a_limit_of_the_servers(w: World) -> None:
    """4 GiB may be asked for; over UDP the reply still fits a datagram."""
    for number in range(2000):
        await w.create(w.root, b"%04d" % number + b"x" * 60)
    ok = await readdir(w, w.root, 0, 0xFFFFFFFF)
    assert ok is not None and len(ok.reply.entries) > 200
    udp = w.client(w.pipe.credential, Peer(PEER.host, 700, "udp"))
    plus = x.READDIRPLUS3args(w.root, 0, NONE, 0xFFFFFFFF, 0xFFFFFFFF)
    res = await udp.READDIRPLUS(plus)
    out: list[bytes | bytearray | memoryview] = []
    x.encode_READDIRPLUS3res(res, out.append)
    assert sum(map(len, out)) <= 32768 + 4
    assert not res.resok.reply.eof


@each_backend()
async def test_trap_08_dots_can_be_resumed_behind(w: World) -> None:
    """``.`` and ``..`` come first, one by one if need be, and are right in a sub-directory."""
    sub = await w.mkdir(w.root, b"sub")
    await w.create(sub, b"a")
    inode, above = (await w.attr(sub)).fileid, (await w.attr(w.root)).fileid
    small = 88 + 8 + 8 + entry_size(b".")
    found: list[tuple[bytes, int]] = []
    cookie = 0
    for _ in range(3):
        ok = await readdir(w, sub, cookie, small)
        assert ok is not None
        (entry,) = ok.reply.entries
        found.append((entry.name, entry.fileid))
        cookie = entry.cookie
        assert ok.reply.eof is (len(found) == 3)
    assert found[:2] == [(b".", inode), (b"..", above)]
    assert found[2][0] == b"a"
    last = await readdir(w, sub, cookie, 4096)
    assert last is not None and not last.reply.entries and last.reply.eof
    everything = await readdir(w, w.root, 0, 4096)
    assert everything is not None
    assert {e.name: e.fileid for e in everything.reply.entries} == {
        b".": above, b"..": above, b"sub": inode
    }  # fmt: skip
    plus = await readdirplus(w, sub, 0, 4096, 4096)
    assert plus is not None
    assert [entry.name_handle for entry in plus.reply.entries[:2]] == [sub, w.root]


@each_backend()
async def test_trap_08_hard_links_are_all_listed(w: World) -> None:
    """Five names of one inode, and no more and no fewer, with one fileid."""
    file = await w.create(w.root, b"name0")
    for number in range(1, 5):
        args = x.LINK3args(file, x.diropargs3(w.root, b"name%d" % number))
        assert (await w.nfs.LINK(args)).status == OK
    names = await w.names(w.root, 200)
    assert sorted(names[2:]) == [b"name%d" % number for number in range(5)]
    plus = await readdirplus(w, w.root, 0, 4096, 8192)
    assert plus is not None
    (inode,) = {entry.fileid for entry in plus.reply.entries[2:]}
    assert inode == (await w.attr(file)).fileid
    assert {entry.name_handle for entry in plus.reply.entries[2:]} == {file}


@each_backend()
@pytest.mark.parametrize("count", [180, 1024, 8192])
async def test_trap_08_remove_while_listing(w: World, count: int) -> None:
    """As `rm -r` does it: list some, remove them, go on. Nothing is left, nothing comes twice."""
    wanted = {b"f%04d" % number for number in range(700)}
    for name in sorted(wanted):
        await w.create(w.root, name)
    seen: list[bytes] = []
    cookie, eof = 0, False
    while not eof:
        ok = await readdir(w, w.root, cookie, count)
        assert ok is not None
        for entry in ok.reply.entries:
            cookie = entry.cookie
            if entry.name not in DOTS:
                seen.append(entry.name)
                args = x.diropargs3(w.root, entry.name)
                assert await w.status("REMOVE", args) == "OK"
        eof = ok.reply.eof
    assert len(seen) == len(set(seen)) and set(seen) == wanted
    assert await w.names(w.root) == DOTS


@each_backend()
async def test_trap_08_cookies_stay_valid_while_others_come_and_go(w: World) -> None:
    """What is there all the time is listed exactly once, whatever else happens."""
    stay = {b"stay%03d" % number for number in range(200)}
    for name in sorted(stay):
        await w.create(w.root, name)
        await w.create(w.root, b"go" + name)
    seen = Counter[bytes]()
    cookie, eof, step = 0, False, 0
    going = sorted(stay)
    while not eof:
        ok = await readdir(w, w.root, cookie, 400)
        assert ok is not None
        seen.update(entry.name for entry in ok.reply.entries)
        cookie = ok.reply.entries[-1].cookie if ok.reply.entries else cookie
        eof = ok.reply.eof
        for name in going[step * 5 : step * 5 + 5]:
            await w.status("REMOVE", x.diropargs3(w.root, b"go" + name))
            await w.create(w.root, b"new" + name)
        step += 1
        old = x.diropargs3(w.root, b"new" + going[0] + b"r" * (step - 1))
        await w.status("RENAME", old, x.diropargs3(w.root, b"new" + going[0] + b"r" * step))
        assert step < 1000
    assert {name for name in seen if name.startswith(b"stay")} == stay
    assert {seen[name] for name in stay} == {1}


@each_backend()
async def test_trap_08_a_foreign_verifier_is_no_reason_to_refuse(w: World) -> None:
    """Cookies are always valid, so no verifier is wrong; a cookie that never was may be."""
    for number in range(50):
        await w.create(w.root, b"f%d" % number)
    ok = await readdir(w, w.root, 0, 400)
    assert ok is not None
    cookie = ok.reply.entries[-1].cookie
    for verifier in (ok.cookieverf, NONE, b"\xff" * 8):
        res = await w.nfs.READDIR(x.READDIR3args(w.root, cookie, verifier, 4096))
        assert res.status == OK and len(res.resok.reply.entries) > 30
    for strange in (1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        for call in ("READDIR", "READDIRPLUS"):
            counts = (4096,) if call == "READDIR" else (4096, 4096)
            status = await w.status(call, w.root, strange, NONE, *counts)
            assert status in ("OK", "BAD_COOKIE"), strange


@each_backend()
async def test_trap_08_what_is_no_directory(w: World) -> None:
    """NOTDIR, whatever the counts are."""
    file = await w.create(w.root, b"f")
    for handle in (file, await w.symlink(w.root, b"l", b".")):
        for count in (0, 100, 4096):
            assert await w.status("READDIR", handle, 0, NONE, count) == "NOTDIR"
            assert await w.status("READDIRPLUS", handle, 0, NONE, count, count) == "NOTDIR"


async def fill(w: World, count: int) -> set[bytes]:
    """Many files, made as fast as possible."""
    names = [b"file-%06d" % number for number in range(count)]
    if w.kind == "posix":
        for name in names:
            os.close(os.open(os.fsencode(w.path) + b"/" + name, os.O_CREAT | os.O_WRONLY, 0o644))
        return set(names)
    ctx = Context()
    root = (await w.backend.root(ctx)).key
    for name in names:
        await w.backend.create(ctx, root, name, CreateMode.GUARDED, SetAttr(mode=0o644), NONE)
    return set(names)


@each_backend()
async def test_trap_08_a_hundred_thousand_entries(w: World, tmp_path: Path) -> None:
    """Each exactly once, by READDIR and by READDIRPLUS as the Linux client asks for them."""
    wanted = await fill(w, 100_000 if w.kind == "memory" else 20_000)
    seen = await w.names(w.root, 65536)
    assert len(seen) == len(wanted) + 2 and set(seen) == wanted | set(DOTS)
    plus: list[bytes] = []
    cookie, eof = 0, False
    while not eof:
        args = x.READDIRPLUS3args(w.root, cookie, NONE, 32768, 32768)
        ok = (await w.nfs.READDIRPLUS(args)).resok
        plus += [entry.name for entry in ok.reply.entries]
        cookie, eof = ok.reply.entries[-1].cookie, ok.reply.eof
        w.pipe.log.clear()
        await asyncio.sleep(0)
        if len(plus) > len(wanted) // 5:  # the rest comes as READDIR has shown
            break
    assert len(plus) == len(set(plus)) and set(plus) <= wanted | set(DOTS)
