"""FIELD.md section 2, trap 14: names that lead elsewhere, are none, or are no text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from nfs_kit import World, each_backend, guarded, sattr, unchecked

from nfsloop.nfs3 import nfs3_xdr as x

Named = Callable[[World, bytes, bytes, bytes], tuple[Any, ...]]


def where(w: World, name: bytes) -> x.diropargs3:
    return x.diropargs3(w.root, name)


FIFO = x.mknoddata3(x.NF3FIFO, sattr(0o644))

#: Every procedure that takes a name: its arguments, with `name` in that place.
CALLS: dict[str, Callable[[World, bytes, bytes], tuple[Any, ...]]] = {
    "LOOKUP": lambda w, name, file: ("LOOKUP", where(w, name)),
    "CREATE unchecked": lambda w, name, file: ("CREATE", where(w, name), unchecked()),
    "CREATE guarded": lambda w, name, file: ("CREATE", where(w, name), guarded()),
    "CREATE exclusive": lambda w, name, file: (
        "CREATE", where(w, name), x.createhow3(x.EXCLUSIVE, b"verifier")
    ),
    "MKDIR": lambda w, name, file: ("MKDIR", where(w, name), sattr(0o755)),
    "SYMLINK": lambda w, name, file: (
        "SYMLINK", where(w, name), x.symlinkdata3(sattr(0o777), b"target")
    ),
    "MKNOD": lambda w, name, file: ("MKNOD", where(w, name), FIFO),
    "REMOVE": lambda w, name, file: ("REMOVE", where(w, name)),
    "RMDIR": lambda w, name, file: ("RMDIR", where(w, name)),
    "RENAME from": lambda w, name, file: ("RENAME", where(w, name), where(w, b"new")),
    "RENAME to": lambda w, name, file: ("RENAME", where(w, b"file"), where(w, name)),
    "LINK": lambda w, name, file: ("LINK", file, where(w, name)),
}  # fmt: skip

IMPOSSIBLE = [b"", b"/", b"a/b", b"../x", b"../../x", b"/etc/passwd", b"sub/", b"./file", b"a\0b"]
IMPOSSIBLE += [b"\0", b"../" * 80 + b"x"]
MAKING = {"CREATE", "MKDIR", "SYMLINK", "MKNOD", "LINK"}


async def state(w: World) -> list[bytes]:
    return sorted(await w.names(w.root)) + sorted(await w.names(await w.lookup(w.root, b"sub")))


async def start(w: World) -> bytes:
    await w.mkdir(w.root, b"sub")
    file = await w.create(w.root, b"file")
    if w.kind == "posix":
        (w.path.parent / "x").write_text("outside")
    return file


@each_backend()
@pytest.mark.parametrize("call", CALLS)
async def test_trap_14_names_that_cannot_be(w: World, call: str) -> None:
    """Refused, quietly, and nothing has changed, inside or outside."""
    file = await start(w)
    old = await state(w)
    for name in IMPOSSIBLE:
        status = await w.status(*CALLS[call](w, name, file))
        assert status in ("ACCES", "INVAL", "NAMETOOLONG"), name
    assert await state(w) == old
    if w.kind == "posix":
        assert (w.path.parent / "x").read_text() == "outside"
        assert sorted(p.name for p in w.path.parent.iterdir()) == ["export", "state", "x"]


@each_backend()
@pytest.mark.parametrize("call", CALLS)
async def test_trap_14_names_that_are_too_long(w: World, call: str) -> None:
    """NAMETOOLONG from 256 bytes on; 255 are a name."""
    file = await start(w)
    for size in (256, 1000, 5000, 100_000):
        assert await w.status(*CALLS[call](w, b"n" * size, file)) == "NAMETOOLONG"
    status = await w.status(*CALLS[call](w, b"n" * 255, file))
    assert status == (
        "OK" if call.split(maxsplit=1)[0] in MAKING or call == "RENAME to" else "NOENT"
    )


DOTS = {
    "LOOKUP": ("OK", "OK"),
    "CREATE unchecked": ("EXIST", "EXIST"),
    "CREATE guarded": ("EXIST", "EXIST"),
    "CREATE exclusive": ("EXIST", "EXIST"),
    "MKDIR": ("EXIST", "EXIST"),
    "SYMLINK": ("EXIST", "EXIST"),
    "MKNOD": ("EXIST", "EXIST"),
    "REMOVE": ("ACCES", "ACCES"),
    "RMDIR": ("INVAL", "EXIST"),
    "RENAME from": ("INVAL", "INVAL"),
    "RENAME to": ("EXIST", "EXIST"),
    "LINK": ("EXIST", "EXIST"),
}


@each_backend()
@pytest.mark.parametrize("call", CALLS)
async def test_trap_14_dot_and_dot_dot(w: World, call: str) -> None:
    """Exist, cannot be made, cannot go (RFC 1813 sections 3.3.8 to 3.3.15)."""
    file = await start(w)
    old = await state(w)
    statuses = [await w.status(*CALLS[call](w, name, file)) for name in (b".", b"..")]
    assert tuple(statuses) == DOTS[call]
    assert await state(w) == old


@each_backend()
@pytest.mark.parametrize("name", [b"\xff\xfe\x80", b"caf\xe9", b" ", b"\n", b"...", b"..a", b"-"])
async def test_trap_14_bytes_that_are_no_utf_8_are_a_name(w: World, name: bytes) -> None:
    """And come back as they were, from every procedure."""
    file = await start(w)
    for call, made in CALLS.items():
        if call.split()[0] in MAKING:
            assert await w.status(*made(w, name, file)) == "OK", call
            assert name in await w.names(w.root)
            assert await w.status("LOOKUP", where(w, name)) == "OK"
            going = "RMDIR" if call == "MKDIR" else "REMOVE"
            assert await w.status(going, where(w, name)) == "OK"
            assert name not in await w.names(w.root)
    assert await w.status("RENAME", where(w, b"file"), where(w, name)) == "OK"
    assert await w.status("RENAME", where(w, name), where(w, name + b"2")) == "OK"
    assert await w.lookup(w.root, name + b"2") == file


@each_backend()
async def test_trap_14_dot_dot_of_the_root_is_the_root(w: World) -> None:
    """LOOKUP never leads out of the export, from wherever it starts."""
    sub = await w.mkdir(w.root, b"sub")
    deep = await w.mkdir(sub, b"deep")
    assert await w.lookup(w.root, b"..") == w.root
    assert await w.lookup(w.root, b".") == w.root
    assert await w.lookup(sub, b"..") == w.root
    assert await w.lookup(deep, b"..") == sub
    assert await w.lookup(deep, b".") == deep
    file = await w.create(w.root, b"file")
    for name in (b".", b"..", b"name"):
        assert await w.status("LOOKUP", x.diropargs3(file, name)) == "NOTDIR"


@each_backend()
async def test_trap_14_link_targets_are_any_bytes(w: World) -> None:
    """The server never looks into them; only what no system can hold is refused."""
    for number, target in enumerate((b"../../../etc", b"/", b"a//b", b"\xff\xfe", b"x" * 4095)):
        link = await w.symlink(w.root, b"l%d" % number, target)
        assert (await w.nfs.READLINK(x.READLINK3args(link))).resok.data == target
    for target in (b"", b"a\0b"):
        data = x.symlinkdata3(sattr(0o777), target)
        assert await w.status("SYMLINK", where(w, b"bad"), data) == "INVAL"
    data = x.symlinkdata3(sattr(0o777), b"x" * 5000)
    assert await w.status("SYMLINK", where(w, b"bad"), data) == "NAMETOOLONG"
    assert b"bad" not in await w.names(w.root)
