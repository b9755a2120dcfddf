"""Offsets, counts, sizes, times, ids and cookies at their edges, through every procedure: the
server refuses or clamps what no backend may see, and nothing ends in SERVERFAULT."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from nfs_kit import AS_ROOT, KINDS, World, each_backend, guarded, sattr, serving, unchecked

from backends.base import Context, Key, Wcc
from backends.memory import MemoryBackend
from nfsloop.limits import OFFSET_MAX
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop

EDGES32 = (0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
EDGES64 = (*EDGES32, 2**32, 2**53 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
NAMES = (b"", b".", b"..", b"/", b"a/b", b"\0", b"a\0b", b"n" * 255, b"n" * 256, b"\xff\xfe", b"f",
         b"d", b"l")  # fmt: skip
ENDLESS = 1 << 16  # what a file may grow to here, lest a disk be filled


def calls(root: bytes, file: bytes) -> list[tuple[Any, ...]]:
    """Every number of every procedure at its edges."""
    dirs = [(root, name) for name in NAMES]
    found: list[tuple[Any, ...]] = []
    for at in EDGES64:
        found += [("READ", file, at, count) for count in EDGES32]
        found += [("COMMIT", file, at, count) for count in EDGES32]
        found += [("READDIR", root, at, bytes(8), count) for count in (0, 1, 200, 2**32 - 1)]
        found += [("READDIRPLUS", root, at, bytes(8), n, 2**32 - 1) for n in (0, 1, 2**32 - 1)]
        found += [("WRITE", file, at, count, x.UNSTABLE, b"data") for count in (0, 4, 5)
                  if at < ENDLESS or at >= 2**53]  # fmt: skip
        found.append(("SETATTR", file, sattr(size=at), None))
    for number in EDGES32:
        time = x.nfstime3(number, 999_999_999), x.nfstime3(number, number)
        for when in time:
            guard = when
            found.append(("SETATTR", file, sattr(), guard))
            wish = x.set_mtime(x.SET_TO_CLIENT_TIME, when)
            found.append(("SETATTR", file, sattr(mtime=wish), None))
        found.append(("SETATTR", file, sattr(mode=number), None))
        found.append(("SETATTR", file, sattr(uid=number), None))
        found.append(("SETATTR", file, sattr(gid=number), None))
        found.append(("ACCESS", file, number))
        found.append(("CREATE", x.diropargs3(root, b"own%d" % number), guarded(uid=number)))
        for other in EDGES32:
            device = x.devicedata3(sattr(0o600), x.specdata3(number, other))
            where = x.diropargs3(root, b"dev%d-%d" % (number, other))
            found.append(("MKNOD", where, x.mknoddata3(x.NF3CHR, device)))
    for where in (x.diropargs3(*dir) for dir in dirs):
        found += [
            ("LOOKUP", where),
            ("CREATE", where, unchecked()),
            ("CREATE", where, x.createhow3(x.EXCLUSIVE, b"\xff" * 8)),
            ("MKDIR", where, sattr(0o755)),
            ("SYMLINK", where, x.symlinkdata3(sattr(), b"t" * 5000)),
            ("SYMLINK", where, x.symlinkdata3(sattr(), b"t")),
            ("LINK", file, where),
            ("RENAME", x.diropargs3(root, b"none"), where),
            ("RENAME", where, where),
            ("REMOVE", where),
            ("RMDIR", where),
        ]
    return found


@each_backend()
async def test_edges_of_every_number(w: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    file = await w.create(w.root, b"f", mode=0o666)
    await w.mkdir(w.root, b"d")
    for call in calls(w.root, file):
        assert await w.status(*call) != "SERVERFAULT", call
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    for path in (b"/", b"/export/" + b"n" * 256, b"/export" + b"/d" * 500, b"//", b"/export/\0",
                 b"/export/f/g", b"/export/../etc", b"\xff", b"/export/\xff"):  # fmt: skip
        status = (await m.MOUNT_V3_Client(w.pipe).MNT(path)).fhs_status
        assert status != m.MNT3ERR_SERVERFAULT, path
        assert (status == m.MNT3_OK) is (path in {b"/", b"//"}), path


@each_backend()
async def test_edges_an_id_that_is_none_is_nobodys(w: World) -> None:
    """For chown(2) it would mean "leave as it is"."""
    file = await w.create(w.root, b"f", uid=5, gid=6) if AS_ROOT else await w.create(w.root, b"f")
    before = await w.attr(file)
    for wish in (sattr(uid=2**32 - 1), sattr(gid=2**32 - 1)):
        assert await w.status("SETATTR", file, wish, None) == "INVAL"
        assert await w.attr(file) == before
        create = x.diropargs3(w.root, b"g"), x.createhow3(x.GUARDED, wish)
        assert await w.status("CREATE", *create) == "INVAL"
        assert await w.status("LOOKUP", create[0]) == "NOENT"


def test_edges_commit_asks_for_what_can_be(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The range that a backend sees lies within the largest file; 0 is to the end, as ever."""
    seen: list[tuple[int, int]] = []
    real = MemoryBackend.commit

    async def commit(self: MemoryBackend, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        seen.append((offset, count))
        return await real(self, ctx, key, offset, count)

    monkeypatch.setattr(MemoryBackend, "commit", commit)

    async def main() -> None:
        async with serving(KINDS[0], tmp_path) as w:
            file = await w.create(w.root, b"f")
            for args in ((5, 6), (0, 0), (2**64 - 1, 2**32 - 1), (OFFSET_MAX - 1, 2)):
                assert await w.status("COMMIT", file, *args) == "OK"
        assert seen == [(5, 6), (0, 0), (OFFSET_MAX, 0), (OFFSET_MAX - 1, 1)]

    loop.run(main())
