"""The small client for tests, and the fixture that gives it, against a server on real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from backends.base import (
    Access,
    Buffer,
    Context,
    FsError,
    FsStat,
    Key,
    Stable,
    Status,
    Wcc,
    Written,
)
from backends.memory import MemoryBackend

if TYPE_CHECKING:
    from nfsloop.pytest_plugin import NfsServerFactory

pytest_plugins = ["nfsloop.pytest_plugin"]


def test_reading(nfs_server: NfsServerFactory) -> None:
    with nfs_server(MemoryBackend()).client() as client:
        client.mkdir("/dir", 0o751)
        data = bytes(range(256)) * 10_000
        client.write_file("/dir/\udcff name", data, 0o604)
        client.symlink("../target", "/dir/link")
        assert client.read_file(b"/dir/\xff name") == data
        assert client.read("/dir/\udcff name", 255, 3) == b"\xff\x00\x01"
        assert client.listdir("/dir") == ["\udcff name", "link"]
        assert client.listdir(b"dir//") == [b"\xff name", b"link"]
        assert client.readlink("/dir/link") == b"../target"
        assert client.exists("/dir/link") and not client.exists("/dir/no")
        assert not client.exists("/dir/link/below")
        found = client.stat("/dir/link")
        assert stat.S_ISLNK(found.st_mode)
        found = client.stat("/dir/\udcff name")
        assert (found.st_mode, found.st_size, found.st_nlink) == (0o100604, len(data), 1)
        both = client.scandir("/dir")
        assert both.keys() == {b"\xff name", b"link"}
        assert both[b"\xff name"] == client.stat(b"/dir/\xff name")
        assert client.access("/dir", Access.READ | Access.EXECUTE) == Access.READ
        assert client.statfs().tfiles > 0
    with pytest.raises(RuntimeError):
        client.stat("/")


def test_a_large_directory_is_listed_in_pages(nfs_server: NfsServerFactory) -> None:
    with nfs_server(MemoryBackend()).client() as client:
        names = [f"{number:0200}" for number in range(1000)]
        for name in names:
            client.mkdir(name)
        assert client.listdir() == names
        assert len(client.scandir()) == len(names)


def test_changing(nfs_server: NfsServerFactory) -> None:
    with nfs_server(MemoryBackend()).client() as client:
        client.write_file("a", b"123456")
        client.write_file("a", b"xyz")
        assert client.read_file("a") == b"xyz", "what was there is replaced"
        client.truncate("a", 2)
        client.link("a", "b")
        client.rename("a", "c")
        client.chmod("c", 0o4711)
        client.chown("c", gid=5)
        client.utime("c", 5, 1_000_000_007)
        found = client.stat("b")
        assert (found.st_nlink, found.st_mode, found.st_gid) == (2, 0o104711 & ~0o4000, 5)
        assert (found.st_atime_ns, found.st_mtime_ns, found.st_mtime) == (
            5,
            1_000_000_007,
            1.000000007,
        )
        client.remove("b")
        assert client.listdir() == ["c"]


@pytest.mark.parametrize(
    ("number", "act"),
    [
        (errno.ENOENT, "client.read_file('/no')"),
        (errno.EEXIST, "client.mkdir('/dir')"),
        (errno.ENOTEMPTY, "client.rmdir('/full')"),
        (errno.EISDIR, "client.read_file('/dir')"),
        (errno.ENOTDIR, "client.listdir('/file')"),
        (errno.ENAMETOOLONG, "client.mkdir('x' * 300)"),
        (errno.EBUSY, "client.rmdir('/')"),
        (errno.EACCES, "other.mkdir('/dir/x')"),
    ],
)
def test_errors_are_os_errors(nfs_server: NfsServerFactory, number: int, act: str) -> None:
    server = nfs_server(MemoryBackend())
    with server.client() as client, server.client(uid=9, gid=9) as other:
        for name in ("/dir", "/full", "/full/x"):
            client.mkdir(name)
        client.write_file("/file", b"")
        with pytest.raises(OSError) as caught:
            eval(act, {"client": client, "other": other})
        assert caught.value.errno == number


def test_where_there_is_nothing_to_mount(nfs_server: NfsServerFactory) -> None:
    server = nfs_server({"/a": MemoryBackend()})
    with pytest.raises(OSError):
        server.client("/b")
    with server.client() as client:
        assert client.root


class Forgetful(MemoryBackend):
    """Loses the first data that it is given, as after a crash; asks the client to wait at first."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 3
        self.commits = 0

    async def write(
        self, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
    ) -> Written:
        if not self.commits:
            data = bytes(len(data))
        return await super().write(ctx, key, offset, data, stable)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        if not self.commits:
            self.verifier = os.urandom(8)
        self.commits += 1
        return await super().commit(ctx, key, offset, count)

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        self.told -= 1
        if self.told >= 0:
            raise FsError(Status.JUKEBOX)
        return FsStat(tbytes=42)


def test_data_that_was_lost_is_written_again_and_jukebox_is_asked_again(
    nfs_server: NfsServerFactory,
) -> None:
    backend = Forgetful()
    with nfs_server(backend).client() as client:
        client.write_file("/file", b"data")
        assert client.read_file("/file") == b"data"
        assert backend.commits == 2
        assert client.statfs().tbytes == 42
        assert backend.told == -1


@pytest.fixture
def loops() -> Iterator[list[asyncio.AbstractEventLoop]]:
    """Those that must be closed when the fixtures after this one have ended."""
    found: list[asyncio.AbstractEventLoop] = []
    yield found
    assert len(found) == 2
    assert all(loop.is_closed() for loop in found)


def test_servers_of_the_fixture_are_stopped(
    loops: list[asyncio.AbstractEventLoop], nfs_server: NfsServerFactory
) -> None:
    one, two = nfs_server(MemoryBackend()), nfs_server(MemoryBackend(), options="ro")
    assert one.port != two.port
    with two.client() as client, pytest.raises(OSError):
        client.mkdir("/dir")
    loops += [one.loop, two.loop]
