"""The fsspec backend over S3, by s3fs, against a server that the tests start."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed")
sys.path.insert(0, str(Path(__file__).parent))

import s3_server

from backends import inodes
from backends.base import Backend, Context, CreateMode, FileType, FsError, SetAttr, Stable, Status
from backends.conformance.names import Names
from backends.conformance.renaming import Renaming
from backends.conformance.restart import Restart
from backends.conformance.walk import Walks
from backends.objects import FsspecBackend

ROOT = Context()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inodes, "SYNC_AT_OPEN", "OFF")
    monkeypatch.setattr(inodes, "SYNC", "OFF")
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture(scope="module", name="s3")
def _s3() -> Iterator[tuple[str, s3_server.Objects]]:
    with serving() as (url, objects):
        yield url, objects


serving = s3_server.serving


def backend(url: str, prefix: str, state: Path | None, **options: float) -> FsspecBackend:
    return FsspecBackend(
        f"s3://bucket/{prefix}", state=state, uid=0, gid=0,
        endpoint_url=url, key="key", secret="secret", **options,  # type: ignore[arg-type]
    )  # fmt: skip


class TestFsspecS3(Names, Renaming, Restart, Walks):
    """A good part of the kit, each test under a prefix of its own."""

    tick = 0
    sparse = False
    any_bytes_in_names = False
    counts_subdirectories = False
    many = 150
    walk_steps = 80
    walk_seeds = (1, 2)
    url: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _server(self, s3: tuple[str, s3_server.Objects]) -> None:
        type(self).url = s3[0]

    def make_backend(self, tmp_path: Path) -> Backend:
        prefix = uuid.uuid5(uuid.NAMESPACE_URL, str(tmp_path)).hex
        return backend(self.url, prefix, tmp_path / "state")

    def reopen(self, tmp_path: Path) -> Backend | None:
        return self.make_backend(tmp_path)

    def crash(self, backend: Backend, tmp_path: Path) -> Backend | None:
        assert isinstance(backend, FsspecBackend)
        backend.abandon()
        return self.make_backend(tmp_path)


def test_what_the_bucket_holds(s3: tuple[str, s3_server.Objects], tmp_path: Path) -> None:
    """Implicit directories, one PUT for each file, no objects for what others need not see."""
    url, objects = s3
    objects.put("bucket/seen/by/others/file", b"theirs")

    async def run() -> None:
        fs = backend(url, "seen", tmp_path / "state")
        await fs.start()
        root = (await fs.root(ROOT)).key
        by = (await fs.lookup(ROOT, root, b"by")).attr
        assert by.type is FileType.DIR
        attr = SetAttr(mode=0o755)
        empty = (await fs.mkdir(ROOT, root, b"empty", attr)).attr.key
        await fs.symlink(ROOT, root, b"link", b"target", attr)
        objects.calls.clear()
        made = await fs.create(ROOT, empty, b"new", CreateMode.GUARDED, attr, b"")
        await fs.write(ROOT, made.attr.key, 0, b"data", Stable.UNSTABLE)
        assert objects.calls == []
        await fs.commit(ROOT, made.attr.key, 0, 0)
        assert objects.calls == ["PUT bucket/seen/empty/new", "HEAD bucket/seen/empty/new"]
        await fs.remove(ROOT, empty, b"new")
        others = (await fs.lookup(ROOT, by.key, b"others")).attr.key
        await fs.remove(ROOT, others, b"file")
        await fs.stop()
        assert not [key for key in objects.data if key.startswith("bucket/seen")]
        # The last object is gone; the directories that held it are not.
        fs = backend(url, "seen", tmp_path / "state")
        await fs.start()
        listing = await fs.readdir(ROOT, root, 0, 1000, False)
        assert {entry.name for entry in listing.entries} == {b"empty", b"link", b"by"}
        assert (await fs.getattr(ROOT, others)).type is FileType.DIR
        await fs.stop()

    asyncio.run(run())


def test_a_large_file_is_put_in_parts(
    s3: tuple[str, s3_server.Objects], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, objects = s3
    monkeypatch.setattr("backends.objects.store.SNAPSHOT_BYTES", 1 << 20)
    size = 101 << 20

    async def run() -> None:
        fs = backend(url, "large", tmp_path / "state")
        await fs.start()
        root = (await fs.root(ROOT)).key
        made = await fs.create(ROOT, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        key = made.attr.key
        await fs.write(ROOT, key, size - 3, b"end", Stable.UNSTABLE)
        await fs.commit(ROOT, key, 0, 0)
        assert (await fs.getattr(ROOT, key)).size == size
        assert bytes((await fs.read(ROOT, key, size - 5, 100)).data) == b"\0\0end"
        assert len(objects.data["bucket/large/f"]) == size
        assert any(call.startswith("POST bucket/large/f") for call in objects.calls)
        await fs.remove(ROOT, root, b"f")
        await fs.stop()

    asyncio.run(run())


def test_a_put_that_is_refused_keeps_the_data(
    s3: tuple[str, s3_server.Objects], tmp_path: Path
) -> None:
    url, objects = s3

    async def run() -> None:
        fs = backend(url, "away", tmp_path / "state")
        await fs.start()
        root = (await fs.root(ROOT)).key
        made = await fs.create(ROOT, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        verifier = fs.verifier
        await fs.write(ROOT, made.attr.key, 0, b"data", Stable.UNSTABLE)
        objects.fault = lambda method, key: 403 if method == "PUT" else None
        with pytest.raises(FsError) as caught:
            await fs.commit(ROOT, made.attr.key, 0, 0)
        assert caught.value.status is Status.ACCES
        assert "1 objects cannot be put" in str(await fs.health())
        assert bytes((await fs.read(ROOT, made.attr.key, 0, 9)).data) == b"data"
        objects.fault = lambda method, key: None
        await fs.commit(ROOT, made.attr.key, 0, 0)
        assert objects.data["bucket/away/f"] == b"data"
        assert fs.verifier == verifier
        assert await fs.health() is None
        await fs.stop()

    asyncio.run(run())


def test_a_bucket_that_is_not_there(s3: tuple[str, s3_server.Objects], tmp_path: Path) -> None:
    fs = FsspecBackend("s3://none/x", state=tmp_path, endpoint_url=s3[0], key="k", secret="s")
    with pytest.raises(OSError, match="none/x is not there"):
        asyncio.run(fs.start())


def test_names_that_s3fs_takes_for_versions(
    s3: tuple[str, s3_server.Objects], tmp_path: Path
) -> None:
    """``a?versionId=1`` would be another version of ``a``, and a put of it would replace that."""
    url, objects = s3
    odd = b"a?versionId=1"
    objects.put("bucket/versions/" + odd.decode(), b"theirs")
    objects.put("bucket/versions/" + odd.decode() + "/b", b"theirs")

    async def run() -> None:
        fs = backend(url, "versions", tmp_path / "state")
        await fs.start()
        root = (await fs.root(ROOT)).key
        attr = SetAttr(mode=0o755)
        made = await fs.create(ROOT, root, b"a", CreateMode.GUARDED, attr, b"")
        await fs.write(ROOT, made.attr.key, 0, b"precious", Stable.FILE_SYNC)
        for call in (
            fs.create(ROOT, root, odd, CreateMode.UNCHECKED, attr, b""),
            fs.mkdir(ROOT, root, odd, attr),
            fs.symlink(ROOT, root, odd, b"x", attr),
            fs.rename(ROOT, root, b"a", root, odd),
        ):
            with pytest.raises(FsError) as caught:
                await call
            assert caught.value.status is Status.INVAL
        listing = await fs.readdir(ROOT, root, 0, 1000, False)
        assert [entry.name for entry in listing.entries] == [b"a"]
        assert objects.data["bucket/versions/a"] == b"precious"
        await fs.stop()

    asyncio.run(run())
