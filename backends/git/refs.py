"""The names of commits: branches, tags and HEAD, as directories and symbolic links.

A `Refs` is how they stood at one moment. A link's number is derived from its name and target, so
a branch that has moved is another link: the old one is stale, and never half of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import pygit2

from backends.base import FsError, Status
from backends.cookies import Names
from backends.git.store import ERRORS, Store

ROOT, BRANCHES, TAGS, REMOTES, COMMITS, OBJECTS = 1, 2, 3, 4, 5, 6
_TOP: Final = {
    b"branches": BRANCHES,
    b"tags": TAGS,
    b"remotes": REMOTES,
    b"commits": COMMITS,
    b"objects": OBJECTS,
}
#: Where references are, and where they are served.
_PREFIXES: Final = {
    b"refs/heads/": b"branches",
    b"refs/tags/": b"tags",
    b"refs/remotes/": b"remotes",
}
_NAME_MAX_BYTES: Final = 255


@dataclass(slots=True)
class Dir:
    """A directory of references."""

    ino: int
    parent: int
    entries: dict[bytes, int] = field(default_factory=dict)
    names: Names[int] = field(default_factory=Names)
    mtime: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, and the commit whose time it has."""

    ino: int
    target: bytes
    commit: bytes | None


def number(*parts: bytes) -> int:
    """64 bits that stand for these byte strings, clear of the fixed numbers."""
    digest = blake2b(b"\0".join(parts), digest_size=8).digest()
    return int.from_bytes(digest, "big") | 1 << 63


class Refs:
    """Directories and links by number; `tips` are the commits, `objects` what else tags name."""

    def __init__(self) -> None:
        self.nodes: dict[int, Dir | Link] = {ROOT: Dir(ROOT, ROOT)}
        for name, ino in _TOP.items():
            self._enter(ROOT, name, Dir(ino, ROOT))
        self.tips: set[bytes] = set()
        self.objects: set[bytes] = set()

    def dir(self, ino: int) -> Dir:
        """A directory that is there."""
        node = self.nodes[ino]
        assert isinstance(node, Dir)
        return node

    def _enter(self, dir: int, name: bytes, node: Dir | Link) -> None:
        self.nodes[node.ino] = node
        self.dir(dir).entries[name] = node.ino

    def add(self, path: bytes, peeled: tuple[str, bytes]) -> None:
        """A reference, by the path that it is served at."""
        *dirs, name = path.split(b"/")
        if any(part in (b"", b".", b"..") or len(part) > _NAME_MAX_BYTES for part in (*dirs, name)):
            return
        at, way = ROOT, b""
        for part in dirs:
            way += b"/" + part
            known = self.dir(at).entries.get(part)
            if known is None:
                known = number(b"dir", way)
                self._enter(at, part, Dir(known, at))
            elif not isinstance(self.nodes[known], Dir):
                return  # a reference and a directory of one name: git makes no such thing
            at = known
        if name in self.dir(at).entries:
            return
        kind, oid = peeled
        where = b"commits" if kind == "commit" else b"objects"
        target = b"../" * len(dirs) + where + b"/" + oid.hex().encode()
        (self.tips if kind == "commit" else self.objects).add(oid)
        link = Link(number(b"link", path, target), target, oid if kind == "commit" else None)
        self._enter(at, name, link)

    def head(self, target: bytes, commit: bytes | None) -> None:
        """What is checked out."""
        self._enter(ROOT, b"HEAD", Link(number(b"link", b"HEAD", target), target, commit))
        if commit is not None:
            self.tips.add(commit)

    def finish(self, before: Refs | None, clock: Callable[[], int]) -> None:
        """Times: of a directory that is as it was `before`, the same."""
        now = clock()
        for node in self.nodes.values():
            if not isinstance(node, Dir):
                continue
            old = before.nodes.get(node.ino) if before is not None else None
            same = isinstance(old, Dir) and old.entries == node.entries
            if before is not None and node.ino in (COMMITS, OBJECTS):
                same = before.tips == self.tips and before.objects == self.objects
            if same and isinstance(old, Dir):
                node.mtime, node.names = old.mtime, old.names
            else:
                node.mtime, node.names = now, Names(node.entries.items())


def read(store: Store, before: Refs | None, clock: Callable[[], int] = time.time_ns) -> Refs:
    """The references as they stand. What leads to nothing is left out. Raises IO."""
    refs = Refs()
    try:
        found = store.repo.listall_reference_objects()
    except ERRORS as exc:
        raise FsError(Status.IO, f"references: {exc}") from None
    for reference in found:
        name: bytes = reference.raw_name
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        oid = _target(reference)
        peeled = store.peel(oid) if prefix and oid else None
        if prefix and peeled:
            refs.add(_PREFIXES[prefix] + b"/" + name[len(prefix) :], peeled)
    _read_head(store, refs)
    refs.finish(before, clock)
    return refs


def _target(reference: pygit2.Reference) -> bytes | None:
    """The object that a reference leads to."""
    try:
        target = reference.resolve().target
    except ERRORS:
        return None
    return target.raw if isinstance(target, pygit2.Oid) else None


def _read_head(store: Store, refs: Refs) -> None:
    """A link to the branch that HEAD names, also if that is yet to be born, or to the commit."""
    try:
        head = store.repo.lookup_reference("HEAD")
    except ERRORS:
        return
    oid = _target(head)
    peeled = store.peel(oid) if oid else None
    commit = peeled[1] if peeled and peeled[0] == "commit" else None
    target = head.raw_target
    if isinstance(target, bytes) and target.startswith(b"refs/heads/"):
        refs.head(b"branches/" + target.removeprefix(b"refs/heads/"), commit)
    elif commit is not None:
        refs.head(b"commits/" + commit.hex().encode(), commit)
