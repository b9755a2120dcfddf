"""The examples of backends: right by the conformance kit, short, and used over the wire."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from backends.base import Backend
from backends.conformance import BackendConformance, Tree
from examples.readonly import JsonTree
from examples.readwrite import Scratch

if TYPE_CHECKING:
    from nfsloop.pytest_plugin import NfsServerFactory

pytest_plugins = ["nfsloop.pytest_plugin"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

DOCUMENT: dict[str, Any] = {
    "empty": {},
    "greeting": "hello, world",
    "a/b": None,
    "deep": {"deeper": {"number": 42, "list": [1, 2, 3]}},
    "long": "0123456789" * 10_000,
    "many": {f"name {number}": number for number in range(100)},
}


def tree_of(value: dict[str, Any]) -> Tree:
    """What the kit expects of a document."""
    return {
        name.replace("/", "%2F").encode(): (
            tree_of(item) if isinstance(item, dict) else f"{json.dumps(item)}\n".encode()
        )
        for name, item in value.items()
    }


class TestJsonTree(BackendConformance):
    read_only = True
    tree: ClassVar[Tree] = tree_of(DOCUMENT)

    def make_backend(self, tmp_path: Path) -> Backend:
        (tmp_path / "document.json").write_text(json.dumps(DOCUMENT))
        return JsonTree(tmp_path / "document.json")

    def reopen(self, tmp_path: Path) -> Backend:
        return JsonTree(tmp_path / "document.json")


class TestScratch(BackendConformance):
    checks_permissions = False
    counts_subdirectories = False
    gives_before = False
    sparse = False
    many = 500
    walk_seeds = (1, 2)

    def make_backend(self, tmp_path: Path) -> Backend:
        return Scratch()


@pytest.mark.parametrize(("name", "most"), [("readonly", 60), ("readwrite", 150)])
def test_short_enough_to_read(name: str, most: int) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < most


def test_json_over_the_wire(nfs_server: NfsServerFactory, tmp_path: Path) -> None:
    document = tmp_path / "document.json"
    document.write_text(json.dumps(DOCUMENT))
    with nfs_server(JsonTree(document)).client() as client:
        assert sorted(client.listdir()) == sorted(os_name(name) for name in DOCUMENT)
        assert client.read_file("/deep/deeper/number") == b"42\n"
        assert client.read_file("/long") == f"{json.dumps(DOCUMENT['long'])}\n".encode()
        assert len(client.scandir("many")) == 100
        with pytest.raises(OSError) as caught:
            client.write_file("/greeting", b"")
        assert caught.value.errno == errno.EROFS


def os_name(name: str) -> str:
    return name.replace("/", "%2F")


def test_an_edited_document_makes_old_handles_stale(
    nfs_server: NfsServerFactory, tmp_path: Path
) -> None:
    document, state = tmp_path / "document.json", tmp_path / "state"
    from nfsloop import serving_in_thread
    from nfsloop.nfs3 import nfs3_xdr as x

    handles = []
    for text in ('{"b": 1}', '{"a": 0, "b": 1}'):
        document.write_text(text)
        with (
            serving_in_thread(JsonTree(document), state=state) as server,
            server.client() as client,
        ):
            handles.append((client.root, client.handle("b")))
            if len(handles) == 2:
                with pytest.raises(OSError) as caught:
                    client.call("GETATTR", x.GETATTR3args(handles[0][1]))
                assert caught.value.errno == errno.ESTALE
    assert handles[0][0] == handles[1][0], "the root stays"


def test_scratch_over_the_wire(nfs_server: NfsServerFactory) -> None:
    with nfs_server(Scratch()).client(uid=7, gid=8) as client:
        client.mkdir("/dir", 0o750)
        client.write_file("/dir/file", b"x" * 3_000_000, 0o600)
        assert client.read_file("/dir/file") == b"x" * 3_000_000
        client.write("/dir/file", 10, b"yz")
        assert client.read("/dir/file", 9, 4) == b"xyzx"
        before = client.stat("/dir/file")
        client.write("/dir/file", 3_000_000, b"!")
        found = client.stat("/dir/file")
        assert (before.st_size, found.st_size) == (3_000_000, 3_000_001)
        assert (found.st_mode, found.st_uid, found.st_gid) == (0o100600, 7, 8)
        client.rename("/dir/file", "/other")
        with pytest.raises(IsADirectoryError):
            client.remove("/dir")
        client.rmdir("/dir")
        assert client.listdir() == ["other"]
        client.remove("/other")
        assert client.listdir() == []
