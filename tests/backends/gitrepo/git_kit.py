"""Repositories made object by object, and short forms of what the tests do with them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Union

import pytest

from backends.base import Attr, Context, DirEntry, FileType, FsError, Key, Status
from backends.conformance import Link

pygit2 = pytest.importorskip("pygit2", reason="git repositories are read by pygit2")

from backends.git import GitBackend  # noqa: E402

__all__ = ["ROOT", "Files", "GitBackend", "Repo"]

T = TypeVar("T")
ROOT = Context(client="192.0.2.1", export="/")

#: Bytes are a file, Link a symbolic link, None a submodule, a tuple has a mode of its own.
Files: TypeAlias = Mapping[bytes, Union[bytes, Link, tuple[int, bytes], "Files", None]]


class Repo:
    """A new repository, bare."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = pygit2.init_repository(str(path), bare=True, initial_head="main")

    def write(self, kind: str, data: bytes) -> str:
        kinds = {"blob": 3, "tree": 2, "commit": 1, "tag": 4}
        return str(self.repo.odb.write(kinds[kind], data))

    def tree(self, files: Files) -> str:
        entries = []
        for name, node in files.items():
            if isinstance(node, Mapping):
                mode, oid = 0o40000, self.tree(node)
            elif node is None:
                mode, oid = 0o160000, "12" * 20
            elif isinstance(node, Link):
                mode, oid = 0o120000, self.write("blob", node.target)
            else:
                mode, data = node if isinstance(node, tuple) else (0o100644, node)
                oid = self.write("blob", data)
            entries.append((mode, name, oid))
        return self.raw_tree(entries)

    def raw_tree(self, entries: list[tuple[int, bytes, str]]) -> str:
        entries.sort(key=lambda entry: entry[1] + b"/" * (entry[0] == 0o40000))
        data = b"".join(
            b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for mode, name, oid in entries
        )
        return self.write("tree", data)

    def commit(
        self, files: Files | str, parents: Sequence[str] = (), time: int = 1_000_000_000
    ) -> str:
        tree = files if isinstance(files, str) else self.tree(files)
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author A <a@b> {time - 5} +0100", f"committer A <a@b> {time} +0100", "", "text"]
        return self.write("commit", "\n".join(lines).encode())

    def tag(self, oid: str, kind: str = "commit") -> str:
        text = f"object {oid}\ntype {kind}\ntag t\ntagger A <a@b> 1 +0000\n\ntext\n"
        return self.write("tag", text.encode())

    def ref(self, name: str, oid: str) -> None:
        self.repo.create_reference(name, oid, force=True)

    def git(self, *args: str) -> bytes:
        done = subprocess.run(
            ["git", "-C", str(self.path), *args], check=True, capture_output=True, timeout=60
        )
        return done.stdout


def served(backend: GitBackend, test: Callable[[GitBackend], Awaitable[T]]) -> T:
    """What `test` gives for a backend that is started, and stopped afterwards."""

    async def main() -> T:
        await backend.start()
        try:
            return await test(backend)
        finally:
            await backend.stop()

    return asyncio.run(main())


async def find(backend: GitBackend, path: str | bytes) -> Attr:
    path = path.encode() if isinstance(path, str) else path
    attr = await backend.root(ROOT)
    for name in filter(None, path.split(b"/")):
        attr = (await backend.lookup(ROOT, attr.key, name)).attr
    return attr


async def link(backend: GitBackend, path: str | bytes) -> bytes:
    return (await backend.readlink(ROOT, (await find(backend, path)).key)).target


async def listed(backend: GitBackend, key: Key, count: int = 4096) -> list[DirEntry]:
    found: list[DirEntry] = []
    while True:
        cookie = found[-1].cookie if found else 0
        listing = await backend.readdir(ROOT, key, cookie, count, True)
        found += listing.entries
        if listing.eof:
            return found


async def names(backend: GitBackend, path: str) -> list[bytes]:
    return sorted(entry.name for entry in await listed(backend, (await find(backend, path)).key))


async def content(backend: GitBackend, key: Key, step: int = 1 << 20) -> bytes:
    data = bytearray()
    while True:
        got = await backend.read(ROOT, key, len(data), step)
        data += got.data
        if got.eof:
            return bytes(data)


async def snapshot(
    backend: GitBackend, key: Key, path: bytes = b""
) -> dict[bytes, tuple[int, bytes]]:
    """Every path below a directory, with its mode and bytes; of a directory none."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for entry in await listed(backend, key):
        assert entry.attr is not None
        assert entry.attr.ino == entry.ino
        name = path + entry.name
        if entry.attr.type is FileType.DIR:
            found[name] = 0o40000, b""
            found |= await snapshot(backend, entry.attr.key, name + b"/")
        elif entry.attr.type is FileType.LNK:
            target = await backend.readlink(ROOT, entry.attr.key)
            found[name] = 0o120000, target.target
        else:
            mode = 0o100000 | entry.attr.mode
            found[name] = mode, await content(backend, entry.attr.key)
            assert entry.attr.size == len(found[name][1])
    return found


def counted(patch: pytest.MonkeyPatch, owner: object, name: str) -> list[Any]:
    """Grows by the arguments of each call of a method."""
    calls: list[Any] = []
    method = getattr(owner, name)

    def call(*args: Any) -> Any:
        calls.append(args)
        return method(*args)

    patch.setattr(owner, name, call)
    return calls


async def refused(call: Awaitable[object], status: Status) -> FsError:
    try:
        await call
    except FsError as error:
        assert error.status is status, error
        return error
    raise AssertionError(f"succeeded, expected {status.name}")
