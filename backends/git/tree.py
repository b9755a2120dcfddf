"""References and commits as one tree of files, each with a key that needs no table to be found.

Of a file in a commit, the generation is the first 64 bits of the commit's id. The inode number is
64 bits derived from the whole id, plus the file's place in a walk through the commit (`Tree`). So
a key leads to the commit, and down through its directories to the file: after a restart, on
another machine, and for as long as the commit is there. For that, the directories of a commit are
read once when it is first looked into; those that it shares with other commits are known already.

What is named by a reference has generation 0: see `refs`.
"""

from __future__ import annotations

import contextlib
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backends.base import Attr, DirEntry, FileType, FsError, Key, Status
from backends.cookies import ENTRY_BYTES, Names
from backends.git import refs
from backends.git.refs import COMMITS, OBJECTS, Dir, number
from backends.git.store import DIR_MODE, LINK_MODE, MODULE_MODE, Lru, Store

#: Commits whose tree and time are kept.
_ANCHORS: Final = 1 << 16
#: Files that are found without going down to them again.
_NODES: Final = 1 << 16
_DIR_BYTES: Final = 4096
_TARGET_BYTES: Final = 4095
_TYPE_BITS: Final = 0o170000
_MASK: Final = (1 << 64) - 1
_FIRST_COOKIE: Final = 3
_SHA: Final = re.compile(rb"[0-9a-f]{4,40}")
#: References are looked at so seldom that it takes no more than this part of the time.
_SCAN_SHARE: Final = 20


@dataclass(frozen=True, slots=True)
class Anchor:
    """A commit, or a tree or blob that has no commit: what the files of a key begin from."""

    oid: bytes
    kind: str
    #: The tree, or blob, at its top.
    top: bytes
    #: Nanoseconds since 1970.
    time: int
    base: int


@dataclass(frozen=True, slots=True)
class Node:
    """A file: its attributes, and its object, or the target that it has without one."""

    attr: Attr
    oid: bytes = b""
    target: bytes | None = None


class GitTree:
    """All files of a repository. Used from one thread."""

    def __init__(self, path: Path, uid: int, gid: int, max_commits: int) -> None:
        self.store = Store(path)
        self._uid, self._gid = uid, gid
        self._max_commits = max_commits
        self._anchors: Lru[int, Anchor] = Lru(_ANCHORS)
        #: Files of commits.
        self._nodes: Lru[Key, Node] = Lru(_NODES)
        self._signature = self.store.signature()
        self.refs = refs.read(self.store, None)
        #: What /commits lists, and for which tips; made when it is first asked for.
        self._commits: tuple[set[bytes], set[bytes], Names[None]] | None = None
        #: Whether commits beyond `max_commits` were left out.
        self.is_cut = False
        #: How many commits that history leads to cannot be read.
        self.lost = 0
        #: Why the references are those of before; None: they are not.
        self.trouble: str | None = None

    def refresh(self) -> tuple[bool, float]:
        """Look at the repository: whether anything is new, and seconds to leave it alone now.

        References that cannot be read leave those of before, and `trouble`. Raises ValueError.
        """
        began = time.monotonic()
        signature = self.store.signature()
        is_new = signature != self._signature
        if is_new:
            self._anchors.clear()
            self._nodes.clear()
            self.store.open()
            self._signature = signature
            if self.lost:
                self._commits = None  # what was missing may have come
        elif self.trouble is not None:
            self.store.open()  # libgit2 would now take what it has read for all that there is
        before = self.refs
        try:
            self.refs = refs.read(self.store, before)
            self.trouble = None
        except FsError as exc:
            self.trouble = str(exc.args[1])
        is_new |= before.nodes != self.refs.nodes
        return is_new, (time.monotonic() - began) * _SCAN_SHARE

    # From keys to files

    def node(self, key: Key) -> Node:
        """The file of a key. Raises STALE, IO."""
        if key.generation == 0:
            return self._named(key.ino)
        node = self._nodes.find(key)
        if node is None:
            anchor = self._anchor(key.generation)
            place = (key.ino - anchor.base) & _MASK
            if place >= 1 << 63:
                return self._short(anchor, (1 << 64) - place)
            node = self._file(anchor, *self._way(anchor, place)[-1])
        return node

    def _named(self, ino: int) -> Node:
        found = self.refs.nodes.get(ino)
        if found is None:
            raise FsError(Status.STALE)
        if isinstance(found, Dir):
            nlink = 2 + sum(isinstance(self.refs.nodes[at], Dir) for at in found.entries.values())
            return Node(self._attr(Key(ino), FileType.DIR, 0o755, _DIR_BYTES, found.mtime, nlink))
        moment = 0
        if found.commit is not None:
            # A link to a damaged commit is still a link, and its directory can be listed.
            with contextlib.suppress(FsError):
                moment = self._anchor_of(found.commit).time
        attr = self._attr(Key(ino), FileType.LNK, 0o777, len(found.target), moment)
        return Node(attr, target=found.target)

    def _attr(
        self, key: Key, type: FileType, mode: int, size: int, moment: int, nlink: int = 1
    ) -> Attr:
        used = -(-size // 512) * 512
        return Attr(
            key.ino, type, mode, nlink, self._uid, self._gid, size, used,
            moment, moment, moment, key.generation,
        )  # fmt: skip

    def _anchor(self, generation: int) -> Anchor:
        anchor = self._anchors.find(generation)
        if anchor is None:
            oid = self.store.expand(f"{generation:016x}") if generation < 1 << 64 else None
            if oid is None:
                raise FsError(Status.STALE)
            anchor = self._anchor_of(oid)
        return anchor

    def _anchor_of(self, oid: bytes) -> Anchor:
        """Raises STALE for a tag, and for what is gone."""
        generation = int.from_bytes(oid[:8], "big")
        anchor = self._anchors.find(generation)
        if anchor is not None and anchor.oid == oid:
            return anchor
        kind = self.store.kind(oid)
        if kind not in ("commit", "tree", "blob"):
            raise FsError(Status.STALE)
        top, moment = oid, 0
        if kind == "commit":
            commit = self.store.commit(oid)
            top, moment = commit.tree, commit.time * 10**9
        return self._anchors.keep(generation, Anchor(oid, kind, top, moment, number(oid)))

    def _way(self, anchor: Anchor, place: int) -> list[tuple[int, int, bytes]]:
        """Place, mode and object of the file at `place`, behind the directories above it.

        Raises STALE, IO.
        """
        mode = 0o100644 if anchor.kind == "blob" else DIR_MODE
        found, at, oid = [(0, mode, anchor.top)], 0, anchor.top
        while at != place:
            if mode & _TYPE_BITS != DIR_MODE:
                raise FsError(Status.STALE)  # what is there is a name that is left out, or nothing
            tree = self.store.tree(oid)
            which = bisect_right(tree.places, place - at) - 1
            if which < 0:
                raise FsError(Status.STALE)
            at, mode, oid = at + tree.places[which], tree.modes[which], tree.oids[which]
            found.append((at, mode, oid))
        return found

    def _file(self, anchor: Anchor, place: int, mode: int, oid: bytes) -> Node:
        key = Key((anchor.base + place) & _MASK, int.from_bytes(anchor.oid[:8], "big"))
        kind = mode & _TYPE_BITS
        type, bits, size = FileType.REG, 0o755 if mode & 0o100 else 0o644, _DIR_BYTES
        if kind in (DIR_MODE, MODULE_MODE):
            type, bits, oid = FileType.DIR, 0o755, oid if kind == DIR_MODE else b""
        else:
            size = self.store.size(oid)
            if kind == LINK_MODE:
                type, bits = FileType.LNK, 0o777
        node = Node(self._attr(key, type, bits, size, anchor.time), oid)
        return self._nodes.keep(key, node)

    def _short(self, anchor: Anchor, length: int) -> Node:
        """The link from a short id, of so many digits, to the whole one."""
        text = anchor.oid.hex()
        if anchor.kind != "commit" or not 4 <= length < len(text):
            raise FsError(Status.STALE)
        if self.store.expand(text[:length]) != anchor.oid:
            raise FsError(Status.STALE)
        key = Key((anchor.base - length) & _MASK, int.from_bytes(anchor.oid[:8], "big"))
        attr = self._attr(key, FileType.LNK, 0o777, len(text), anchor.time)
        return Node(attr, target=text.encode())

    # Directories

    def _dir(self, key: Key) -> Node:
        node = self.node(key)
        if node.attr.type is not FileType.DIR:
            raise FsError(Status.NOTDIR)
        return node

    def lookup(self, key: Key, name: bytes) -> tuple[Node, Node]:
        """The directory, and what is called `name` in it. Raises STALE, NOTDIR, NOENT, IO."""
        dir = self._dir(key)
        if key.generation == 0:
            ino = self.refs.dir(key.ino).entries.get(name)
            if ino is not None:
                return dir, self._named(ino)
            if key.ino in (COMMITS, OBJECTS) and _SHA.fullmatch(name):
                return dir, self._by_id(key.ino, name.decode())
        elif dir.oid:
            tree = self.store.tree(dir.oid)
            which = tree.index.get(name)
            if which is not None:
                anchor = self._anchor(key.generation)
                place = (key.ino - anchor.base + tree.places[which]) & _MASK
                return dir, self._file(anchor, place, tree.modes[which], tree.oids[which])
        raise FsError(Status.NOENT)

    def _by_id(self, dir: int, text: str) -> Node:
        oid = bytes.fromhex(text) if len(text) == 40 else self.store.expand(text)
        kind = None if oid is None else self.store.kind(oid)
        if oid is None or kind not in (("commit",) if dir == COMMITS else ("tree", "blob")):
            raise FsError(Status.NOENT)
        anchor = self._anchor_of(oid)
        if len(text) == 40:
            return self._file(anchor, *self._way(anchor, 0)[0])
        if dir == OBJECTS:
            raise FsError(Status.NOENT)
        return self._short(anchor, len(text))

    def parent(self, key: Key) -> Node:
        """The directory above a directory. Raises STALE, NOTDIR."""
        self._dir(key)
        if key.generation == 0:
            return self._named(self.refs.dir(key.ino).parent)
        anchor = self._anchor(key.generation)
        way = self._way(anchor, (key.ino - anchor.base) & _MASK)
        if len(way) > 1:
            return self._file(anchor, *way[-2])
        return self._named(COMMITS if anchor.kind == "commit" else OBJECTS)

    def readdir(
        self, key: Key, cookie: int, count: int, plus: bool
    ) -> tuple[Node, list[DirEntry], bool]:
        """The directory, some entries behind `cookie`, and whether those are all."""
        dir = self._dir(key)
        if key.generation == 0:
            found = self._names(key.ino, cookie, plus)
        elif dir.oid:
            found = self._children(key, dir, cookie, plus)
        else:
            found = iter(())
        entries = []
        for entry in found:
            entries.append(entry)
            count -= ENTRY_BYTES + len(entry.name)
            if count < 0:
                return dir, entries, False
        return dir, entries, True

    def _children(self, key: Key, dir: Node, cookie: int, plus: bool) -> Iterator[DirEntry]:
        tree, anchor = self.store.tree(dir.oid), self._anchor(key.generation)
        base = key.ino - anchor.base
        for which in range(max(0, cookie - _FIRST_COOKIE + 1), len(tree.names)):
            place = (base + tree.places[which]) & _MASK
            ino = (anchor.base + place) & _MASK
            attr = None
            if plus:
                attr = self._listed(anchor, place, tree.modes[which], tree.oids[which])
            yield DirEntry(tree.names[which], ino, which + _FIRST_COOKIE, attr)

    def _listed(self, anchor: Anchor, place: int, mode: int, oid: bytes) -> Attr | None:
        """Attributes for a listing; none of a blob that is missing (a partial clone)."""
        try:
            return self._file(anchor, place, mode, oid).attr
        except FsError:
            return None

    def _names(self, ino: int, cookie: int, plus: bool) -> Iterator[DirEntry]:
        if ino == COMMITS:
            yield from self._ids(self._all_commits(), cookie, plus)
        elif ino == OBJECTS:
            objects = ((oid.hex().encode(), None) for oid in self.refs.objects)
            yield from self._ids(Names(objects), cookie, plus)
        else:
            for at, name, child in self.refs.dir(ino).names.after(cookie):
                yield DirEntry(name, child, at, self._named(child).attr if plus else None)

    def _ids(self, names: Names[None], cookie: int, plus: bool) -> Iterator[DirEntry]:
        for at, name, _ in names.after(cookie):
            oid = bytes.fromhex(name.decode())
            if not plus:
                yield DirEntry(name, number(oid), at)
                continue
            attr: Attr | None = None
            with contextlib.suppress(FsError):  # gone since, or damaged
                anchor = self._anchor_of(oid)
                attr = self._file(anchor, *self._way(anchor, 0)[0]).attr
            yield DirEntry(name, number(oid), at, attr)

    def _all_commits(self) -> Names[None]:
        """Those that references lead to, the newest `max_commits` of them."""
        tips = self.refs.tips
        if self._commits is not None:
            old, known, names = self._commits
            if old == tips:
                return names
            if self._add_commits(tips, old, known, names):
                self._commits = tips, known, names
                return names
        known = set()
        for oid in self.store.walk(tip for tip in tips if self.store.kind(tip) == "commit"):
            if len(known) >= self._max_commits:
                self.is_cut = True
                break
            known.add(oid)
        self.lost = self.store.lost
        names = _hex_names(known)
        self._commits = tips, known, names
        return names

    def _add_commits(
        self, tips: set[bytes], old: set[bytes], known: set[bytes], names: Names[None]
    ) -> bool:
        """Add what is new, if that is all that has changed."""
        parents: set[bytes] = set()
        new = []
        for oid in self.store.walk(tips - old, known):
            new.append(oid)
            parents.update(self.store.commit(oid).parents)
            if len(new) + len(known) > self._max_commits:
                return False
        if not (old - tips) <= parents:
            return False  # a branch is gone, or was set back: some commits may be
        self.lost += self.store.lost
        for oid in new:
            known.add(oid)
            names.add(oid.hex().encode(), None)
        return True

    def target(self, node: Node) -> bytes:
        """A symbolic link's target. Raises IO."""
        if node.target is not None:
            return node.target
        if node.attr.size > _TARGET_BYTES:
            raise FsError(Status.IO, f"a link's target has {node.attr.size} bytes")
        return self.store.data(node.oid, "blob")


def _hex_names(oids: Iterable[bytes]) -> Names[None]:
    return Names((oid.hex().encode(), None) for oid in oids)
