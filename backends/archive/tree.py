"""The names of an archive as a tree: what is where, and which entry of the archive is behind it.

Inode numbers are given in the order of the archive, so the same archive gives the same numbers
after a restart. The root is 1. Directories that no entry names are made where a name needs them.

What a name may look like is decided here, once for all formats. Leading slashes, empty components
and ``.`` are dropped. Entries with ``..`` or NUL, a component over 255 bytes or a path over 4095,
are left out and counted. Of two entries with one name the later holds; but a directory is never
replaced by a file, for the sake of what is in it, and what stands where a directory must be makes
room for it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Final

ROOT: Final = 1
NAME_MAX_BYTES: Final = 255
PATH_MAX_BYTES: Final = 4095
#: What is remembered of directories by their whole paths, which may be written in many ways.
_HEADS_BYTES: Final = 64 << 20
#: In `Tree.members`: a directory that no entry of the archive names, and a number without a file.
IMPLICIT: Final = -1
GONE: Final = -2


class BadArchiveError(ValueError):
    """The archive cannot be served; the text says why, for the administrator."""


class Tree:
    """Grows by `add` and `link`. Raises BadArchiveError beyond `max_files` files and links."""

    def __init__(self, max_files: int) -> None:
        self._max_files = max_files
        #: By inode number: what is in a directory, None for everything else.
        self.children: list[dict[bytes, int] | None] = [None, {}]
        #: By inode number: the entry of the archive, as its index numbers them.
        self.members = array("q", [GONE, IMPLICIT])
        #: By inode number, for directories.
        self.parents = array("q", [0, ROOT])
        #: How many names, of what is known to have had more than one.
        self.links: dict[int, int] = {}
        #: What was left out, and how often.
        self.left_out: Counter[str] = Counter()
        #: Directories by what stands before a name's last slash; 0: not to be made.
        self._dirs: dict[bytes, int] = {b"": ROOT}
        self._heads_bytes = 0
        #: Names that were given to files that had one.
        self._more_names = 0

    def __len__(self) -> int:
        """Files, the root among them."""
        return len(self.children) - 1

    def add(self, path: bytes, is_dir: bool, member: int) -> None:
        """An entry of the archive."""
        if self._is_long(path):
            return
        if path.endswith(b"/"):
            path, is_dir = path.rstrip(b"/"), True
        head, _, name = path.rpartition(b"/")
        if not self._good(name):
            return
        dir = self._dirs.get(head)
        if dir is None:
            dir = self._make(head)
        if dir == 0:
            return
        siblings = self.children[dir]
        assert siblings is not None
        if name in (b"", b"."):
            if is_dir:
                self.members[dir] = member
            else:
                self.left_out["without a name"] += 1
            return
        old = siblings.get(name, 0)
        if is_dir:
            if not old or self.children[old] is None:
                old = self._new_dir(dir, siblings, name)
            self.members[old] = member
        elif self._make_room(old):
            siblings[name] = self._new(None, member, dir)

    def link(self, path: bytes, target: bytes) -> None:
        """Another name for an entry that came before."""
        if self._is_long(path):
            return
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        if not self._good(name):
            return
        dir = self._dirs.get(head)
        if dir is None:
            dir = self._make(head)
        if dir == 0:
            return
        ino = self._find(target)
        if not ino or self.children[ino] is not None or name in (b"", b"."):
            self.left_out["that are hard links to nothing"] += 1
            return
        siblings = self.children[dir]
        assert siblings is not None
        old = siblings.get(name, 0)
        if old == ino or not self._make_room(old):
            return
        self._more_names += 1
        self._check_files(len(self))
        siblings[name] = ino
        self.links[ino] = self.links.get(ino, 1) + 1

    def finish(self) -> None:
        """Nothing follows: what only building needs is given back."""
        self._dirs = {}

    def _is_long(self, path: bytes) -> bool:
        """Whether no client could name this; nothing of it is kept then, since some have MiBs."""
        if len(path) <= PATH_MAX_BYTES:
            return False
        self.left_out[f"with paths over {PATH_MAX_BYTES} bytes"] += 1
        return True

    def _check_files(self, files: int) -> None:
        if files + self._more_names > self._max_files:
            raise BadArchiveError(f"it has more than {self._max_files} files (option max_files)")

    def _good(self, name: bytes) -> bool:
        """Whether a file may have this name; if not, it is counted."""
        if len(name) > NAME_MAX_BYTES:
            self.left_out[f"with names over {NAME_MAX_BYTES} bytes"] += 1
        elif b"\0" in name:
            self.left_out["with NUL in their names"] += 1
        elif name == b"..":
            self.left_out["with .. in their names"] += 1
        else:
            return True
        return False

    def _find(self, path: bytes) -> int:
        """The number of a name; 0: there is none."""
        ino = ROOT if len(path) <= PATH_MAX_BYTES else 0
        for name in path.split(b"/"):
            if not ino:
                break
            if name not in (b"", b"."):
                names = self.children[ino]
                ino = names.get(name, 0) if names else 0
        return ino

    def _make(self, head: bytes) -> int:
        """The directory that `head` names, made if need be; 0: it must not be made."""
        dir = ROOT
        parts = [name for name in head.split(b"/") if name not in (b"", b".")]
        for name in parts:
            if not self._good(name):
                # Not remembered, so that the next entry there is counted too.
                return 0
        for name in parts:
            siblings = self.children[dir]
            assert siblings is not None
            known = siblings.get(name, 0)
            if not known or self.children[known] is None:
                known = self._new_dir(dir, siblings, name)
            dir = known
        self._heads_bytes += len(head)
        if self._heads_bytes > _HEADS_BYTES:
            self._dirs, self._heads_bytes = {b"": ROOT}, len(head)
        self._dirs[head] = dir
        return dir

    def _new_dir(self, dir: int, siblings: dict[bytes, int], name: bytes) -> int:
        old = siblings.get(name)
        if old:
            self.left_out["in whose place there is a directory"] += 1
            self._drop(old)
        siblings[name] = ino = self._new({}, IMPLICIT, dir)
        return ino

    def _new(self, children: dict[bytes, int] | None, member: int, parent: int) -> int:
        ino = len(self.children)
        self._check_files(ino)
        self.children.append(children)
        self.members.append(member)
        self.parents.append(parent)
        return ino

    def _make_room(self, old: int) -> bool:
        """Give up the name of `old`, unless that is a directory."""
        if not old:
            return True
        if self.children[old] is not None:
            self.left_out["in whose place there is a directory"] += 1
            return False
        self._drop(old)
        return True

    def _drop(self, ino: int) -> None:
        names = self.links.get(ino, 1) - 1
        self.links[ino] = names
        if not names:
            self.members[ino] = GONE
