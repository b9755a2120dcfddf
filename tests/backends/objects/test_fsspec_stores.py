"""The fsspec backend over stores that others change, and over those that only read."""

from __future__ import annotations

import asyncio
import errno
import functools
import http.server
import shutil
import sys
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends import inodes
from backends.base import (
    Backend,
    Context,
    CreateMode,
    FileType,
    FsError,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance.kit import TREE, Link, Tree
from backends.conformance.reading import Reading

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")

from backends.objects import FsspecBackend  # noqa: E402
from backends.objects.node import Node  # noqa: E402

ROOT = Context()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inodes, "SYNC_AT_OPEN", "OFF")
    monkeypatch.setattr(inodes, "SYNC", "OFF")


def pack(archive: zipfile.ZipFile, tree: Tree, path: str = "") -> None:
    for name, node in tree.items():
        if isinstance(node, bytes):
            archive.writestr(path + name.decode(), node)
        elif isinstance(node, Mapping):
            archive.writestr(path + name.decode() + "/", b"")
            pack(archive, node, path + name.decode() + "/")


class TestFsspecZip(Reading):
    """A zip file: whatever the URL asks for, it is read-only."""

    any_bytes_in_names = False
    tree = {name: node for name, node in TREE.items() if not isinstance(node, Link)}

    def make_backend(self, tmp_path: Path) -> Backend:
        path = tmp_path / "a.zip"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as archive:
                pack(archive, self.tree)
        return FsspecBackend(f"zip://::file://{path}", state=tmp_path / "state")

    def reopen(self, tmp_path: Path) -> Backend | None:
        return self.make_backend(tmp_path)


def run(backend: FsspecBackend, test: Callable[[FsspecBackend], Awaitable[None]]) -> None:
    async def body() -> None:
        await backend.start()
        try:
            await test(backend)
        finally:
            await backend.stop()

    asyncio.run(body())


async def names(backend: FsspecBackend, dir: Key = inodes.ROOT) -> list[bytes]:
    listing = await backend.readdir(ROOT, dir, 0, 100_000, True)
    return sorted(entry.name for entry in listing.entries)


async def refused(call: Awaitable[object], status: Status) -> None:
    with pytest.raises(FsError) as caught:
        await call
    assert caught.value.status is status


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(name="website")
def _website(tmp_path: Path) -> Iterator[str]:
    """The standard library's web server: it lists directories, and knows no ranges."""
    pytest.importorskip("aiohttp", reason="fsspec's http needs aiohttp, which is not installed")
    root = tmp_path / "www"
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "dir" / "file.txt").write_bytes(b"0123456789")
    (root / "a b?c.txt").write_bytes(b"odd")
    handler = functools.partial(Quiet, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_website_is_a_read_only_tree(tmp_path: Path, website: str) -> None:
    async def test(backend: FsspecBackend) -> None:
        assert backend.limits.read_only
        assert await names(backend) == [b"a b?c.txt", b"dir"]
        dir = (await backend.lookup(ROOT, inodes.ROOT, b"dir")).attr
        assert dir.type is FileType.DIR
        assert await names(backend, dir.key) == [b"file.txt", b"sub"]
        file = (await backend.lookup(ROOT, dir.key, b"file.txt")).attr
        assert (file.type, file.size) == (FileType.REG, 10)
        got = await backend.read(ROOT, file.key, 3, 4)
        assert (bytes(got.data), got.eof) == (b"3456", False)
        odd = (await backend.lookup(ROOT, inodes.ROOT, b"a b?c.txt")).attr
        assert bytes((await backend.read(ROOT, odd.key, 0, 100)).data) == b"odd"
        await refused(backend.write(ROOT, file.key, 0, b"x", Stable.UNSTABLE), Status.ROFS)
        await refused(backend.remove(ROOT, dir.key, b"file.txt"), Status.ROFS)

    run(FsspecBackend(website + "/", state=tmp_path / "state"), test)


# Changes behind our back


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def local(files: Path, **options: Any) -> FsspecBackend:
    options.setdefault("listing_seconds", 0.0)
    return FsspecBackend(f"file://{files}", state=files.parent / "state", uid=0, gid=0, **options)


def _old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that took long is kept longer, which these tests cannot wait for."""
    monkeypatch.setattr("backends.objects.tree.LISTING_SHARE", 0)


def test_what_others_do_is_seen(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _old_at_once(monkeypatch)

    async def test(backend: FsspecBackend) -> None:
        (files / "f").write_bytes(b"first")
        before = await backend.getattr(ROOT, inodes.ROOT)
        attr = (await backend.lookup(ROOT, inodes.ROOT, b"f")).attr
        await backend.setattr(ROOT, attr.key, SetAttr(mode=0o640))
        (files / "f").write_bytes(b"changed by others")
        changed = await backend.getattr(ROOT, attr.key)
        assert (changed.key, changed.size, changed.mode) == (attr.key, 17, 0o640)
        assert changed.mtime > attr.mtime
        assert changed.ctime > attr.ctime
        assert bytes((await backend.read(ROOT, attr.key, 0, 99)).data) == b"changed by others"
        (files / "f").unlink()
        (files / "g").mkdir()
        await refused(backend.getattr(ROOT, attr.key), Status.STALE)
        assert await names(backend) == [b"g"]
        assert (await backend.getattr(ROOT, inodes.ROOT)).mtime > before.mtime
        (files / "f").write_bytes(b"another")
        assert (await backend.lookup(ROOT, inodes.ROOT, b"f")).attr.key != attr.key

    run(local(files), test)


def test_changes_of_others_are_seen_after_a_restart(files: Path) -> None:
    befores = []

    async def first(backend: FsspecBackend) -> None:
        befores.append(await backend.getattr(ROOT, inodes.ROOT))

    async def second(backend: FsspecBackend) -> None:
        assert (await backend.getattr(ROOT, inodes.ROOT)).mtime > befores[0].mtime

    async def same(backend: FsspecBackend) -> None:
        assert await backend.getattr(ROOT, inodes.ROOT) == befores[0]

    run(local(files), first)
    run(local(files), same)
    (files / "new").write_bytes(b"")
    run(local(files), second)


def test_a_directory_of_others_that_goes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _old_at_once(monkeypatch)

    async def test(backend: FsspecBackend) -> None:
        made = await backend.mkdir(ROOT, inodes.ROOT, b"d", SetAttr(mode=0o755))
        key = made.attr.key
        made = await backend.create(ROOT, key, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        await backend.commit(ROOT, made.attr.key, 0, 0)
        shutil.rmtree(files / "d")
        await refused(backend.lookup(ROOT, key, b"f"), Status.STALE)
        await refused(backend.getattr(ROOT, made.attr.key), Status.STALE)
        assert await names(backend) == []

    run(local(files), test)


def test_a_directory_of_others_that_goes_keeps_what_is_unsaved(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _old_at_once(monkeypatch)

    async def test(backend: FsspecBackend) -> None:
        dir = (await backend.mkdir(ROOT, inodes.ROOT, b"d", SetAttr(mode=0o755))).attr.key
        made = await backend.create(ROOT, dir, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        key = made.attr.key
        await backend.write(ROOT, key, 0, b"unsaved", Stable.UNSTABLE)
        (files / "d").rmdir()
        assert await names(backend) == [b"d"]
        assert await names(backend, dir) == [b"f"]
        await refused(backend.commit(ROOT, key, 0, 0), Status.IO)
        assert bytes((await backend.read(ROOT, key, 0, 99)).data) == b"unsaved"
        (files / "d").mkdir()
        await backend.commit(ROOT, key, 0, 0)
        assert (files / "d" / "f").read_bytes() == b"unsaved"

    run(local(files), test)


def test_no_call_of_the_store_while_a_listing_is_fresh(files: Path) -> None:
    (files / "d").mkdir()
    for number in range(300):
        (files / "d" / str(number)).write_bytes(b"x")

    async def test(backend: FsspecBackend) -> None:
        dir = (await backend.lookup(ROOT, inodes.ROOT, b"d")).attr.key
        await names(backend, dir)
        calls: list[str] = []
        for method in ("list", "info", "read", "put", "delete"):
            monkey = getattr(backend._store, method)

            def counted(*args: Any, method: str = method, monkey: Any = monkey) -> Any:
                calls.append(method)
                return monkey(*args)

            setattr(backend._store, method, counted)
        for number in range(300):
            key = (await backend.lookup(ROOT, dir, b"%d" % number)).attr.key
            await backend.getattr(ROOT, key)
            await backend.access(ROOT, key, 1)
        await refused(backend.lookup(ROOT, dir, b"none"), Status.NOENT)
        assert calls == []
        # A new file, its data in one stable WRITE, costs one put, and one look at what was put.
        made = await backend.create(ROOT, dir, b"new", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        assert (await backend.lookup(ROOT, dir, b"new")).attr.key == made.attr.key
        await backend.write(ROOT, made.attr.key, 0, b"data", Stable.FILE_SYNC)
        assert calls == ["put", "info"]

    run(local(files, listing_seconds=60.0), test)


def test_what_is_removed_is_not_buffered_any_more(files: Path) -> None:
    async def test(backend: FsspecBackend) -> None:
        attr, create = SetAttr(mode=0o644), CreateMode.GUARDED
        for name in (b"removed", b"replaced", b"kept"):
            made = await backend.create(ROOT, inodes.ROOT, name, create, attr, b"")
            await backend.write(ROOT, made.attr.key, 0, name, Stable.UNSTABLE)
        await backend.remove(ROOT, inodes.ROOT, b"removed")
        await backend.rename(ROOT, inodes.ROOT, b"kept", inodes.ROOT, b"replaced")
        assert backend._buffer.idents() == [made.attr.ino]
        await backend.commit(ROOT, made.attr.key, 0, 0)
        assert {path.name: path.read_bytes() for path in files.iterdir()} == {"replaced": b"kept"}

    run(local(files, idle_seconds=60.0), test)


def test_unfinished_uploads_are_not_listed(files: Path) -> None:
    (files / ".nfsloop-0123456789abcdef-77.part").write_bytes(b"half")
    (files / ".hidden").write_bytes(b"")

    async def test(backend: FsspecBackend) -> None:
        assert await names(backend) == [b".hidden"]

    run(local(files), test)


@pytest.mark.parametrize("name", [b"\xff", b"latin-1 \xe9", b"\xed\xa0\x80"])
def test_names_that_are_no_utf_8_are_refused(files: Path, name: bytes) -> None:
    async def test(backend: FsspecBackend) -> None:
        attr, create = SetAttr(mode=0o644), CreateMode.GUARDED
        made = await backend.create(ROOT, inodes.ROOT, b"f", create, attr, b"")
        assert made.attr.size == 0
        for call in (
            backend.create(ROOT, inodes.ROOT, name, create, attr, b""),
            backend.mkdir(ROOT, inodes.ROOT, name, attr),
            backend.symlink(ROOT, inodes.ROOT, name, b"target", attr),
            backend.rename(ROOT, inodes.ROOT, b"f", inodes.ROOT, name),
        ):
            await refused(call, Status.INVAL)
        await refused(backend.lookup(ROOT, inodes.ROOT, name), Status.NOENT)
        assert await names(backend) == [b"f"]

    run(local(files), test)


# Construction


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("no protocol", {}, "no URL"),
        ("nosuch://x", {}, "no protocol 'nosuch'"),
        ("memory://x", {"buffer_bytes": 5}, "buffer_bytes=5"),
        ("memory://x", {"listing_seconds": -1.0}, "listing_seconds"),
        ("memory://x", {"client_kwargs": "{wrong"}, "no JSON"),
    ],
)
def test_one_clear_line_for_a_wrong_url(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        FsspecBackend(url, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    registry: Any = sys.modules["fsspec.registry"]
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    with pytest.raises(ImportError, match="pip install s3fs"):
        FsspecBackend("s3://bucket/prefix")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"pip install 'nfsloop\[fsspec\]'"):
        FsspecBackend("memory://x")


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    backend = FsspecBackend(f"file://{tmp_path}/none", state=tmp_path / "state")
    with pytest.raises(OSError, match="is not there"):
        asyncio.run(backend.start())


class ConnectTimeoutError(Exception):
    """As aiohttp's and botocore's are: of no family that Python knows."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError("x"), Status.ACCES),
        (TimeoutError("x"), Status.JUKEBOX),
        (ConnectionResetError("x"), Status.JUKEBOX),
        (ConnectTimeoutError("x"), Status.JUKEBOX),
        (OSError(errno.EBUSY, "slow down"), Status.JUKEBOX),
        (OSError(errno.EIO, "x"), Status.IO),
        (OSError("without a number"), Status.IO),
        (KeyError("x"), Status.IO),
        (NotImplementedError(), Status.NOTSUPP),
    ],
)
def test_the_librarys_errors_as_ours(error: Exception, expected: Status) -> None:
    store = FsspecBackend("memory://x")._store
    with pytest.raises(FsError) as caught, store._errors("reading"):
        raise error
    assert caught.value.status is expected
    with pytest.raises(OSError, match="full") as full, store._errors("putting"):
        raise OSError(errno.ENOSPC, "full")
    assert full.value.errno == errno.ENOSPC


def test_a_record_is_what_was_packed() -> None:
    node = Node(
        FileType.LNK,
        0o7777,
        2**32 - 1,
        5,
        1,
        2,
        2**62,
        2**64 - 1,
        True,
        b"verifier",
        "é:1",
        b"\xff",
    )
    assert Node.unpack(node.pack()) == node
    assert Node.unpack(b"") is None
