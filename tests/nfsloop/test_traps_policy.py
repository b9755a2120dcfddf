"""FIELD.md section 2, who may do what: 13 (read-only, permissions), 15 (squashing, flavours)."""

from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path
from typing import Any

import pytest
from nfs_kit import (
    AS_ROOT,
    OK,
    OPEN,
    PEER,
    ROOT,
    USER,
    World,
    each_backend,
    fattr,
    guarded,
    sattr,
    serving,
    unchecked,
)
from wire import BADCRED, REJECTEDCRED, accepted, auth, auth_sys, call, denied

from backends.memory import MemoryBackend
from nfsloop.access import Policy
from nfsloop.export import Export, Options
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.message import AUTH_SYS, NOBODY, Credential
from oncrpc.testing import Pipe

EXCLUSIVE = x.createhow3(x.EXCLUSIVE, b"verifier")
FIFO = x.mknoddata3(x.NF3FIFO, sattr(0o644))
CHANGES = x.ACCESS3_MODIFY | x.ACCESS3_EXTEND | x.ACCESS3_DELETE
ALL = 0x3F

SETTLED = ("ACCES", "PERM")


def mutations(root: bytes, file: bytes, name: bytes = b"new") -> list[tuple[Any, ...]]:
    """Every procedure that changes something, in a directory that has "f" and "d"."""
    new, old = x.diropargs3(root, name), x.diropargs3(root, b"f")
    return [
        ("SETATTR", file, sattr(0o777), None),
        ("SETATTR", file, sattr(size=0), None),
        ("SETATTR", root, sattr(mtime=x.set_mtime(x.SET_TO_SERVER_TIME)), None),
        ("WRITE", file, 0, 4, x.UNSTABLE, b"data"),
        ("WRITE", file, 0, 0, x.FILE_SYNC, b""),
        ("CREATE", new, unchecked()),
        ("CREATE", new, guarded()),
        ("CREATE", new, EXCLUSIVE),
        ("CREATE", old, unchecked(size=0)),
        ("MKDIR", new, sattr(0o755)),
        ("SYMLINK", new, x.symlinkdata3(sattr(0o777), b"target")),
        ("MKNOD", new, FIFO),
        ("MKNOD", new, x.mknoddata3(x.NF3CHR, x.devicedata3(sattr(0o600), x.specdata3(1, 3)))),
        ("REMOVE", old),
        ("RMDIR", x.diropargs3(root, b"d")),
        ("RENAME", old, new),
        ("LINK", file, new),
        ("COMMIT", file, 0, 0),
    ]


@each_backend()
async def test_trap_13_a_read_only_export_answers_rofs_to_every_change(w: World) -> None:
    """And to nothing else; ACCESS grants no change; policy counts at each call."""
    file = await w.create(w.root, b"f", mode=0o666)
    await w.mkdir(w.root, b"d", 0o777)
    await w.write(file, b"data")
    (export,) = w.exports
    granted = (await w.nfs.ACCESS(x.ACCESS3args(file, ALL))).resok.access
    assert granted & CHANGES
    export.policy = Policy.everyone(Options(read_only=True, root_squash=False))
    old = await w.attr(w.root), await w.attr(file)
    for procedure, *args in mutations(w.root, file):
        assert await w.status(procedure, *args) == "ROFS", (procedure, args)
    assert (await w.attr(w.root), await w.attr(file)) == old
    for handle in (file, w.root):
        granted = (await w.nfs.ACCESS(x.ACCESS3args(handle, ALL))).resok.access
        assert granted & x.ACCESS3_READ and not granted & CHANGES
    assert await w.read(file) == b"data"
    assert await w.lookup(w.root, b"f") == file
    assert sorted(await w.names(w.root)) == [b".", b"..", b"d", b"f"]
    for query in ("FSSTAT", "FSINFO", "PATHCONF", "GETATTR"):
        assert await w.status(query, w.root) == "OK"
    export.policy = Policy.everyone(OPEN)
    for number, (procedure, *_) in enumerate(mutations(w.root, file)):  # each works without it
        await w.status("CREATE", x.diropargs3(w.root, b"f"), unchecked())
        await w.status("MKDIR", x.diropargs3(w.root, b"d"), sattr(0o755))
        now = mutations(w.root, await w.lookup(w.root, b"f"), b"new%d" % number)[number]
        status = await w.status(*now)
        assert status == "OK" or (procedure == "MKNOD" and not AS_ROOT), now


@each_backend("memory")
async def test_trap_13_a_backend_that_only_reads_is_read_only(w: World) -> None:
    """Declared by the backend: the same refusals."""
    file = await w.create(w.root, b"f")
    await w.mkdir(w.root, b"d")
    limits: Any = w.backend.limits
    w.backend.limits = type(limits)(read_only=True)
    for procedure, *args in mutations(w.root, file):
        assert await w.status(procedure, *args) == "ROFS", procedure


def test_trap_13_policy_is_checked_on_each_call_not_only_at_mount(tmp_path: Path) -> None:
    """A handle from before the export was withdrawn is no key to it."""

    async def main() -> None:
        async with serving("memory", tmp_path) as w:
            file = await w.create(w.root, b"f")
            (export,) = w.exports
            del w.exports.by_number[export.number]
            for procedure, *args in mutations(w.root, file):
                assert await w.status(procedure, *args) == "STALE", procedure
            for procedure in ("GETATTR", "FSINFO"):
                assert await w.status(procedure, file) == "STALE"
            w.exports.by_number[export.number] = export
            assert await w.status("GETATTR", file) == "OK"

    loop.run(main())


@each_backend(*(("memory", "posix") if AS_ROOT else ("memory",)))
async def test_trap_13_permission_errors_are_acces_or_perm_never_io(w: World) -> None:
    """PERM for what only an owner or root may do, ACCES for what mode bits refuse."""
    user = w.client(USER)
    secret = await w.create(w.root, b"f", mode=0o600)
    await w.mkdir(w.root, b"d")
    closed = await w.mkdir(w.root, b"closed", 0o700)
    await w.create(closed, b"inside")
    for procedure, *args in mutations(w.root, secret):
        if procedure in ("COMMIT", "MKNOD"):
            continue
        assert await w.status(procedure, *args, by=user) in SETTLED, (procedure, args)
    where = x.diropargs3(w.root, b"new")
    device = x.mknoddata3(x.NF3BLK, x.devicedata3(sattr(0o600), x.specdata3(7, 0)))
    for what in (FIFO, device):
        assert await w.status("MKNOD", where, what, by=user) in SETTLED
    chmod, chown = sattr(0o777), sattr(uid=1000)
    assert await w.status("SETATTR", secret, chmod, None, by=user) == "PERM"
    assert await w.status("SETATTR", secret, chown, None, by=user) == "PERM"
    assert await w.status("SETATTR", secret, sattr(size=0), None, by=user) == "ACCES"
    assert await w.status("READ", secret, 0, 10, by=user) == "ACCES"
    assert await w.status("WRITE", secret, 0, 1, x.UNSTABLE, b"x", by=user) == "ACCES"
    assert await w.status("LOOKUP", x.diropargs3(closed, b"inside"), by=user) == "ACCES"
    assert await w.status("READDIR", closed, 0, bytes(8), 4096, by=user) == "ACCES"
    assert await w.status("READDIRPLUS", closed, 0, bytes(8), 4096, 4096, by=user) == "ACCES"
    assert await w.status("GETATTR", secret, by=user) == "OK"
    granted = (await user.ACCESS(x.ACCESS3args(secret, ALL))).resok.access
    assert granted == 0
    sticky = await w.mkdir(w.root, b"tmp", 0o1777)
    await w.create(sticky, b"roots")
    assert await w.status("REMOVE", x.diropargs3(sticky, b"roots"), by=user) in SETTLED
    mine = x.diropargs3(sticky, b"mine")
    assert await w.status("CREATE", mine, guarded(mode=0), by=user) == "OK"
    handle = await w.lookup(sticky, b"mine")
    # NFS has no open, so an owner may go on (RFC 1813 section 4.4).
    assert await w.status("WRITE", handle, 0, 1, x.UNSTABLE, b"x", by=user) == "OK"
    assert await w.status("READ", handle, 0, 1, by=user) == "OK"
    assert await w.status("SETATTR", handle, sattr(uid=0), None, by=user) == "PERM"
    assert await w.status("REMOVE", mine, by=user) == "OK"


# 15: who a call acts as

SEVENTEEN = list(range(100, 117))


@each_backend("memory")
async def test_trap_15_a_client_with_17_groups(w: World, caplog: pytest.LogCaptureFixture) -> None:
    """AUTH_SYS carries 16 (RFC 5531 appendix A): AUTH_ERROR with BADCRED, and a warning."""
    good = auth_sys(1000, 1000, SEVENTEEN[:16])
    assert accepted(await w.pipe.send(call(credential=good))) == (0, b"")
    for groups in (SEVENTEEN, list(range(90))):
        reply = await w.pipe.send(call(credential=auth_sys(1000, 1000, groups)))
        assert denied(reply) == (1, BADCRED)
    assert accepted(await w.pipe.send(call(credential=good))) == (0, b"")
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2


@each_backend("memory")
async def test_trap_15_unknown_flavours_are_refused(w: World) -> None:
    """AUTH_SHORT, AUTH_DH, RPCSEC_GSS, AUTH_TLS and nonsense; and credentials that are broken."""
    for flavor in (2, 3, 6, 7, 390003, 0xFFFFFFFF):
        for body in (b"", bytes(20)):
            reply = await w.pipe.send(call(credential=auth(flavor, body)))
            assert denied(reply) == (1, REJECTEDCRED), flavor
    broken = [
        auth(AUTH_SYS, b""),
        auth(AUTH_SYS, bytes(16)),
        auth_sys(0, 0, [])[:-4] + struct.pack(">I", 1),
        auth_sys(0, 0, [], b"m" * 256),
        auth(AUTH_SYS, bytes(404)),
        auth(0, bytes(4)),
    ]
    for credential in broken:
        assert denied(await w.pipe.send(call(credential=credential))) == (1, BADCRED)
    assert accepted(await w.pipe.send(call())) == (0, b"")


def test_trap_15_the_longest_credential_that_is_allowed(tmp_path: Path) -> None:
    """255 bytes of name, 16 groups: within 400 bytes."""

    async def main() -> None:
        async with serving("memory", tmp_path) as w:
            credential = auth_sys(1, 2, SEVENTEEN[:16], b"m" * 255)
            assert accepted(await w.pipe.send(call(credential=credential))) == (0, b"")

    loop.run(main())


NAMED = Credential(AUTH_SYS, 1000, 1001, (0, 1001, 7))
ANONYMOUS = (65534, 65534, ())

SQUASHES = [
    ("", ROOT, ANONYMOUS),
    ("", NAMED, (1000, 1001, (65534, 1001, 7))),
    ("", Credential(AUTH_SYS, 1000, 0, ()), (1000, 65534, ())),
    ("", NOBODY, ANONYMOUS),
    ("root_squash", ROOT, ANONYMOUS),
    ("no_root_squash", ROOT, (0, 0, ())),
    ("no_root_squash", NAMED, (1000, 1001, (0, 1001, 7))),
    ("no_root_squash", NOBODY, ANONYMOUS),
    ("all_squash", ROOT, ANONYMOUS),
    ("all_squash", NAMED, ANONYMOUS),
    ("all_squash,no_root_squash", ROOT, ANONYMOUS),
    ("all_squash,anonuid=5,anongid=6", NAMED, (5, 6, ())),
    ("all_squash,anonuid=0,anongid=0", NAMED, (0, 0, ())),
    ("anonuid=5,anongid=6", ROOT, (5, 6, ())),
    ("anonuid=5,anongid=6", Credential(AUTH_SYS, 0, 10, (0, 10)), (5, 10, (6, 10))),
    ("anonuid=5,anongid=6", NOBODY, (5, 6, ())),
    ("anonuid=5,no_root_squash", NOBODY, (5, 65534, ())),
    ("all_squash,no_all_squash", NAMED, (1000, 1001, (65534, 1001, 7))),
]


@pytest.mark.parametrize(("words", "credential", "acts"), SQUASHES)
def test_trap_15_squashing_as_exports_5_says(
    words: str, credential: Credential, acts: tuple[int, int, tuple[int, ...]]
) -> None:
    """Whom a credential acts as under each option."""
    export = Export("/e", MemoryBackend(), Options.parse(words))
    context = export.context(credential, Peer("192.0.2.1", 700))
    assert (context.uid, context.gid, context.groups) == acts
    assert context is export.context(credential, Peer("192.0.2.1", 700))
    assert (context.client, context.export) == ("192.0.2.1", "/e")


@pytest.mark.parametrize(
    "words",
    ["rot_squash", "ro=1", "anonuid=", "anonuid=-1", "anonuid=x", "anongid=4294967295", "ro;rw"],
)
def test_trap_15_unknown_options_are_refused(words: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match=words.partition("=")[0]):
        Options.parse(words)


@pytest.mark.parametrize(
    ("words", "credential", "owner"),
    [
        ("root_squash", ROOT, (65534, 65534)),
        ("no_root_squash", ROOT, (0, 0)),
        ("all_squash,anonuid=1234,anongid=2345", ROOT, (1234, 2345)),
        ("all_squash,anonuid=1234,anongid=2345", USER, (1234, 2345)),
        ("root_squash", USER, (1000, 1000)),
        ("anonuid=77,anongid=78", NOBODY, (77, 78)),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "posix"] if AS_ROOT else ["memory"])
def test_trap_15_new_files_belong_to_whom_the_call_acts_as(
    kind: str, tmp_path: Path, words: str, credential: Credential, owner: tuple[int, int]
) -> None:
    """At wire level: uid 0 under root_squash, AUTH_NONE, all_squash."""

    async def main() -> None:
        async with serving(kind, tmp_path) as w:
            open_to_all = sattr(0o1777)
            await w.nfs.SETATTR(x.SETATTR3args(w.root, open_to_all, None))
            (export,) = w.exports
            export.policy = Policy.everyone(Options.parse(words))
            nfs = w.client(credential)
            made = await nfs.CREATE(x.CREATE3args(x.diropargs3(w.root, b"f"), guarded()))
            attr = fattr(made.resok.obj_attributes)
            assert (attr.uid, attr.gid) == owner
            if kind == "posix":
                await asyncio.sleep(0)  # until then, this thread may act as the caller
                st = (w.path / "f").stat()
                assert (st.st_uid, st.st_gid) == owner

    loop.run(main())


@each_backend(*(("memory", "posix") if AS_ROOT else ("memory",)))
async def test_trap_15_supplementary_groups_count(w: World) -> None:
    """The 16th of 16 groups opens a file; nobody else's does; a squashed root reads nothing."""
    file = await w.create(w.root, b"f", mode=0o040, gid=115)
    assert (await w.attr(file)).gid == 115
    member = w.client(Credential(AUTH_SYS, 1000, 1000, tuple(SEVENTEEN[:16])))
    assert await w.status("READ", file, 0, 10, by=member) == "OK"
    assert await w.status("READ", file, 0, 10, by=w.client(USER)) == "ACCES"
    assert await w.status("READ", file, 0, 10, by=w.client(NOBODY)) == "ACCES"
    (export,) = w.exports
    export.policy = Policy.everyone(Options())
    squashed = w.client(Credential(AUTH_SYS, 0, 0, (0,)))
    assert await w.status("READ", file, 0, 10, by=squashed) == "ACCES"
    assert await w.status("SETATTR", file, sattr(0o777), None, by=squashed) == "PERM"


@each_backend("memory")
async def test_trap_15_mount_needs_no_identity(w: World) -> None:
    """AUTH_NONE may mount, list and unmount, as `showmount` does."""
    mount = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, NOBODY, PEER))
    assert (await mount.MNT(b"/export")).mountinfo.fhandle == w.root
    assert len(await mount.DUMP()) == 1
    assert (await w.client(NOBODY).GETATTR(x.GETATTR3args(w.root))).status == OK
