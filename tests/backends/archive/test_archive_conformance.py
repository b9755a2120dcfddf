"""Zip and tar files, judged by the conformance kit."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from archive_kit import Entry, member, served, snapshot, tar_bytes, tar_file, zip_bytes

from backends.archive import TarBackend, ZipBackend
from backends.base import Backend, FileType
from backends.conformance import BackendConformance, Link, Tree
from backends.conformance.kit import TREE, walk

UNUSUAL: Tree = {
    **TREE,
    b" -\n\t\\": b"an unusual name",
    b"\xff\xfe no utf-8": {b"x" * 255: b"a long one"},
    b"large": bytes(range(250)) * 4000,
}


def flat(tree: Tree) -> Iterator[tuple[bytes, FileType, bytes]]:
    """(path, type, content) of everything in a tree but its root."""
    for path, node in walk(tree):
        name = b"/".join(path)
        if isinstance(node, bytes):
            yield name, FileType.REG, node
        elif isinstance(node, Link):
            yield name, FileType.LNK, node.target
        elif path:
            yield name, FileType.DIR, b""


@functools.cache
def zip_data() -> bytes:
    """The tree as a zip file, one file stored, the next one deflated."""
    entries = []
    for number, (name, type, data) in enumerate(flat(UNUSUAL)):
        if type is FileType.DIR:
            entries.append(Entry(name + b"/", b"", 0, stat.S_IFDIR | 0o755))
        else:
            kind = stat.S_IFLNK if type is FileType.LNK else stat.S_IFREG
            entries.append(Entry(name, data, 8 * (number % 2), kind | 0o644))
    return zip_bytes(entries)


@functools.cache
def tar_data() -> bytes:
    """The tree as a tar file."""
    kinds = {FileType.DIR: tarfile.DIRTYPE, FileType.LNK: tarfile.SYMTYPE}
    members = []
    for name, type, data in flat(UNUSUAL):
        info = member(name.decode("utf-8", "surrogateescape"), kinds.get(type, b"0"))
        if type is FileType.LNK:
            info.linkname = data.decode()
        info.mode = 0o755 if type is FileType.DIR else 0o644
        members.append((info, data if type is FileType.REG else b""))
    return tar_bytes(*members)


@functools.cache
def place() -> Path:
    """Where the archives are: made once, since nobody changes them."""
    path = Path(tempfile.mkdtemp(prefix="nfsloop-archive-"))
    (path / "a.zip").write_bytes(zip_data())
    (path / "a.tar").write_bytes(tar_data())
    (path / "a.tar.gz").write_bytes(gzip.compress(tar_data(), 1))
    return path


def teardown_module() -> None:
    shutil.rmtree(place())


class TestZip(BackendConformance):
    read_only = True
    tree = UNUSUAL

    def make_backend(self, tmp_path: Path) -> Backend:
        return ZipBackend(place() / "a.zip")


class TestTar(BackendConformance):
    read_only = True
    tree = UNUSUAL

    def make_backend(self, tmp_path: Path) -> Backend:
        return TarBackend(place() / "a.tar")


class TestTarGz(BackendConformance):
    read_only = True
    tree = UNUSUAL

    def make_backend(self, tmp_path: Path) -> Backend:
        return TarBackend(place() / "a.tar.gz", state=place() / "state")


@pytest.mark.parametrize("module", [bz2, lzma])
def test_other_compressions_are_the_same(tmp_path: Path, module: ModuleType) -> None:
    """Through the whole tree once; the kit's tests would add nothing to those of gzip."""
    plain = served(tar_file(tmp_path / "a.tar", tar_data()), snapshot)
    assert served(tar_file(tmp_path / "b.tar", module.compress(tar_data())), snapshot) == plain
    assert plain[b"dir/sub/deep"] == b"x" * 70_000


def test_without_a_cache_all_is_decoded_again(tmp_path: Path) -> None:
    zipped = tmp_path / "a.zip"
    zipped.write_bytes(zip_data())
    cached = served(ZipBackend(zipped), snapshot)
    assert served(ZipBackend(zipped, cache_bytes=0), snapshot) == cached
    assert cached[b"large"] == UNUSUAL[b"large"]
