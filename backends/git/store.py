"""The objects of a repository, as libgit2 reads them. Everything here runs in one thread.

Objects never change, so what is known of one is kept under its id for as long as there is room.
"""

from __future__ import annotations

import heapq
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from backends.base import FsError, Status

K = TypeVar("K")
V = TypeVar("V")

DIR_MODE, LINK_MODE, MODULE_MODE = 0o040000, 0o120000, 0o160000
_TYPE_BITS: Final = 0o170000
#: Names in the directories that are kept, of all commits together.
_CACHED_NAMES: Final = 200_000
#: Directories that are kept however large they are: else two large ones that are listed in turn
#: would be read again for each page.
_KEPT_TREES: Final = 4
#: Directories whose number of files is kept; a large repository has as many.
_COUNTED_TREES: Final = 500_000
_CACHED_SIZES: Final = 200_000
#: Files in one commit: more are a bomb (one tree, named many times in the next, and so on).
FILES_MAX: Final = 1 << 40
_TAGS_DEEP: Final = 16
_NAME_MAX_BYTES: Final = 255
#: What is larger is not read: libgit2 would take it whole into memory, and let nobody run
#: meanwhile. Blobs are the caller's to bound.
OBJECT_BYTES: Final = {"tree": 64 << 20, "commit": 1 << 20, "tag": 1 << 20}

#: What pygit2 raises when something is not there, or not as it should be.
ERRORS: Final = (KeyError, ValueError, pygit2.GitError)
_KINDS: Final = {
    ObjectType.COMMIT: "commit",
    ObjectType.TREE: "tree",
    ObjectType.BLOB: "blob",
    ObjectType.TAG: "tag",
}


class Lru(OrderedDict[K, V], Generic[K, V]):
    """The `limit` values used last."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def find(self, key: K) -> V | None:
        """A value, which is then the newest."""
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> V:
        """Another value; the oldest one goes."""
        self[key] = value
        if len(self) > self._limit:
            self.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's tree, its time in seconds since 1970, and its parents."""

    tree: bytes
    time: int
    parents: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory. Names that no file may have are left out, but they have their places.

    A file's place is its number in a walk through the directory, the directory itself being 0:
    `places` rises by one for a file, and for a directory by the number of files below it, and one.
    """

    names: list[bytes]
    modes: list[int]
    oids: list[bytes]
    places: list[int]
    index: dict[bytes, int]


class Store:
    """The repository at `path`. Raises ValueError, with one line, if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()
        self._names = 0
        self._totals: dict[bytes, int] = {}
        self._sizes: Lru[bytes, int] = Lru(_CACHED_SIZES)
        self._peeled: Lru[bytes, tuple[str, bytes]] = Lru(_CACHED_SIZES)
        #: Commits that the last walk could not read.
        self.lost = 0
        self.open()
        self.directory = Path(self.repo.path)
        common = self.directory / "commondir"
        self._common = self.directory
        if common.is_file():
            self._common = (self.directory / common.read_text().strip()).resolve()

    def open(self) -> None:
        """Look at the repository anew: packs that are gone are no longer read."""
        # Somebody else's repository may be served: nothing of it is run, and nothing is written.
        before = pygit2.settings.owner_validation
        pygit2.settings.owner_validation = False
        try:
            self.repo = pygit2.Repository(str(self._path), RepositoryOpenFlag.NO_SEARCH)
        except pygit2.GitError as exc:
            raise ValueError(f"{self._path}: {_line(exc)}") from None
        finally:
            pygit2.settings.owner_validation = before

    def signature(self) -> tuple[int, ...]:
        """Another one when objects may have come or gone: the times of their directories."""
        objects = self._common / "objects"
        names = ["pack", *(f"{number:02x}" for number in range(256))]
        found = []
        for name in names:
            try:
                found.append(os.stat(objects / name).st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)

    # Objects

    def kind(self, oid: bytes) -> str | None:
        """``commit``, ``tree``, ``blob`` or ``tag``; None: there is no such object."""
        try:
            return _KINDS.get(self.repo.odb.read_header(pygit2.Oid(raw=oid))[0])
        except ERRORS:
            return None

    def expand(self, prefix: str) -> bytes | None:
        """The id that begins with these hexadecimal digits; None if there is not exactly one."""
        try:
            return self.repo.expand_id(prefix).raw
        except ERRORS:
            return None

    def data(self, oid: bytes, kind: str) -> bytes:
        """An object's bytes. Raises IO if it is missing, damaged, too large or of another kind."""
        try:
            type, size = self.repo.odb.read_header(pygit2.Oid(raw=oid))
            if _KINDS.get(type) != kind:
                raise FsError(Status.IO, f"{oid.hex()} is no {kind}")
            if size > OBJECT_BYTES.get(kind, size):
                raise FsError(Status.IO, f"{kind} {oid.hex()} has {size} bytes, which is too many")
            return self.read(oid)[1]
        except ERRORS as exc:
            raise FsError(Status.IO, f"{kind} {oid.hex()}: {_line(exc)}") from None

    def read(self, oid: bytes) -> tuple[int, bytes]:
        """libgit2's number for an object's kind, and its bytes. Raises what is in `ERRORS`."""
        type, data = self.repo.odb.read(pygit2.Oid(raw=oid))
        return int(type), data

    def size(self, oid: bytes) -> int:
        """A blob's size in bytes. Raises IO."""
        size = self._sizes.find(oid)
        if size is None:
            try:
                size = self.repo.odb.read_header(pygit2.Oid(raw=oid))[1]
            except ERRORS as exc:
                raise FsError(Status.IO, f"blob {oid.hex()}: {_line(exc)}") from None
            self._sizes.keep(oid, size)
        return size

    def commit(self, oid: bytes) -> Commit:
        """A commit. Raises IO."""
        tree, time, parents = b"", 0, []
        for line in self.data(oid, "commit").partition(b"\n\n")[0].split(b"\n"):
            word, _, rest = line.partition(b" ")
            if word == b"tree" and not tree:
                tree = _oid(rest)
            elif word == b"parent":
                parents.append(_oid(rest))
            elif word == b"committer":
                # "Name <address> seconds zone"
                text = rest.rpartition(b">")[2].split()
                time = int(text[0]) if text and text[0].isdigit() else 0
        return Commit(tree, min(time, 1 << 33), tuple(parents))

    def peel(self, oid: bytes) -> tuple[str, bytes] | None:
        """What a tag stands for, through other tags; None: nothing that is there."""
        known = self._peeled.find(oid)
        if known is not None:
            return known
        at = oid
        for _ in range(_TAGS_DEEP):
            kind = self.kind(at)
            if kind != "tag":
                return self._peeled.keep(oid, (kind, at)) if kind else None
            try:
                at = _oid(self.data(at, "tag").partition(b"\n")[0].partition(b" ")[2])
            except FsError:
                return None
        return None

    def walk(self, tips: Iterable[bytes], known: Collection[bytes] = ()) -> Iterator[bytes]:
        """Commits that `tips` lead to, newest first, but none behind one that is `known`.

        What is missing or damaged is left out, and counted in `lost`. libgit2's own walk would end
        there, and reads commits however large they are.
        """
        self.lost = 0
        ends = self._shallow()
        seen: set[bytes] = set()
        found: list[tuple[int, bytes, tuple[bytes, ...]]] = []
        above: Iterable[bytes] = tips
        while True:
            for oid in above:
                if oid in seen or oid in known:
                    continue
                seen.add(oid)
                try:
                    commit = self.commit(oid)
                except FsError:
                    self.lost += 1
                    continue
                parents = () if oid in ends else commit.parents
                heapq.heappush(found, (-commit.time, oid, parents))
            if not found:
                return
            _, oid, above = heapq.heappop(found)
            yield oid

    def _shallow(self) -> set[bytes]:
        """Commits whose parents are not in this repository, which is as it should be."""
        try:
            lines = (self._common / "shallow").read_text("ascii").split()
            return {bytes.fromhex(line) for line in lines}
        except (OSError, ValueError):
            return set()

    # Trees

    def tree(self, oid: bytes) -> Tree:
        """A directory. Raises IO."""
        tree = self._trees.get(oid)
        if tree is not None:
            self._trees.move_to_end(oid)
            return tree
        entries = list(_entries(self.data(oid, "tree")))
        self._count(oid, entries)
        if len(self._totals) > _COUNTED_TREES:
            self._totals.clear()
            self._count(oid, entries)
        names, modes, oids, places = list[bytes](), list[int](), list[bytes](), list[int]()
        index: dict[bytes, int] = {}
        place = 1
        for mode, name, child in entries:
            if _is_good(name) and name not in index:
                index[name] = len(names)
                names.append(name)
                modes.append(mode)
                oids.append(child)
                places.append(place)
            place += self._totals[child] if mode & _TYPE_BITS == DIR_MODE else 1
        tree = self._trees[oid] = Tree(names, modes, oids, places, index)
        self._names += 1 + len(names)
        while self._names > _CACHED_NAMES and len(self._trees) > _KEPT_TREES:
            self._names -= 1 + len(self._trees.popitem(last=False)[1].names)
        return tree

    def _count(self, oid: bytes, entries: list[tuple[int, bytes, bytes]]) -> None:
        """Have the number of files in each directory below a tree, and in it. Raises IO."""
        totals = self._totals
        stack = [(oid, _subtrees(entries), len(entries))]
        while stack:
            oid, below, count = stack[-1]
            missing = {child for child in below if child not in totals}
            if missing:
                # Equal directories are counted once, so a bomb takes no longer than its objects.
                for child in missing:
                    found = list(_entries(self.data(child, "tree")))
                    stack.append((child, _subtrees(found), len(found)))
                continue
            stack.pop()
            total = 1 + count - len(below) + sum(totals[child] for child in below)
            if total > FILES_MAX:
                raise FsError(Status.IO, f"tree {oid.hex()} has more than {FILES_MAX} files")
            totals[oid] = total


def _subtrees(entries: list[tuple[int, bytes, bytes]]) -> list[bytes]:
    return [child for mode, _, child in entries if mode & _TYPE_BITS == DIR_MODE]


def _entries(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(mode, name, id) of a tree object. Raises IO."""
    at, end = 0, len(data)
    while at < end:
        space = data.find(b" ", at, at + 8)
        nul = data.find(b"\0", space + 1)
        try:
            mode = int(data[at:space], 8)
        except ValueError:
            mode = -1
        if space < 0 or nul < 0 or nul + 21 > end or mode < 0:
            raise FsError(Status.IO, "a tree is damaged")
        yield mode, data[space + 1 : nul], data[nul + 1 : nul + 21]
        at = nul + 21


def _is_good(name: bytes) -> bool:
    """Whether a file may have this name; a tree made to do harm may have others.

    Among them ``.git``: a client's git would take its configuration from there, and run what it
    says.
    """
    return (
        b"/" not in name
        and name not in (b"", b".", b"..")
        and name.lower() != b".git"
        and len(name) <= _NAME_MAX_BYTES
    )


def _oid(text: bytes) -> bytes:
    try:
        oid = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        oid = b""
    if len(oid) != 20:
        raise FsError(Status.IO, "an object is damaged")
    return oid


def _line(exc: Exception) -> str:
    return " ".join(str(exc.args[0] if exc.args else exc).split())
