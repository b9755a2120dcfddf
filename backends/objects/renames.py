"""RENAME over a store that may have none: copy, then the table, then delete.

An intent stands in the table from before the first copy until the last deletion, so a rename that
a crash cut off is finished at the next start, before the first call.

Until the row of the table is renamed, the old names count; from then on, the new ones. What is left
of the old ones then is not listed, and deleted: at once, or when the directory is listed next.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from backends import permissions
from backends.base import Context, FileType, FsError, Key, Status
from backends.objects.store import RENAMES, Names
from backends.objects.tree import Dir, Entry, Tree
from backends.threads import STARTERS

log = logging.getLogger("nfsloop.fsspec")

#: Objects copied, or deleted, at once.
AT_ONCE: Final = 8
#: Notes in the table, by inode number and by time: renames begun, and old names to be deleted.
_INTENT, _LEFT = "rename/", "left/"
#: How often a start tries to finish a rename that a crash cut off, and seconds between.
SETTLE_TRIES: Final = 3
SETTLE_SECONDS: Final = 0.5


class Renames:
    """Renames in a tree. `rename` is called under the locks that `FsspecBackend.rename` takes."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._store = tree.store
        self._table = tree.table
        #: Names to be deleted → the note to be forgotten then.
        self._doomed: dict[tuple[Key, bytes], tuple[str, Names]] = {}
        #: Innermost but for the table's: what two would delete, the second may delete anew.
        self._clearing = threading.Lock()
        tree.sweep = self.sweep

    def rename(self, entry: Entry, dir: Key, name: bytes, replaces: bool) -> None:
        """`entry` gets `name` in `dir`; `replaces`: the store has an object there.

        A directory that is replaced has been removed already. Raises what the store raises, and
        then the old name counts; JUKEBOX where an object may have been replaced already.
        """
        key, type = entry.key, entry.type
        old, new = self._table.names(key), (*self._table.names(dir), name)
        parent = self._tree.parent_of(key)
        if type is FileType.DIR and self._store.protocol not in RENAMES:
            # The old path is good until the table says otherwise.
            self._rename(entry, parent, old, new, dir, replaces)
            return
        with self._tree.moving(type, parent, dir):
            self._rename(entry, parent, old, new, dir, replaces)

    def _rename(
        self, entry: Entry, parent: Key, old: Names, new: Names, dir: Key, replaces: bool
    ) -> None:
        key, type, name = entry.key, entry.type, new[-1]
        if not entry.stored:
            self._rename_unstored(entry, old, new, replaces)
            with self._tree.moving(type, parent, dir), self._tree.mutex:
                self._table.rename(key, dir, name)
            return
        if type is FileType.DIR and self._doomed:
            self.sweep()
            if self._doomed:
                raise FsError(Status.JUKEBOX, "what another rename left behind would be copied")
        note = f"{_INTENT}{key.ino}"
        self._table.set_note(note, _packed(old, new))
        try:
            if self._store.protocol in RENAMES:
                self._move(old, new)
            elif replaces and type is FileType.REG:
                self._copy_over(old, new)
            else:
                self._copy(type, old, new)
        except _Unfinished as error:
            raise FsError(Status.JUKEBOX, str(error)) from None
        except BaseException:
            if not (replaces and type is FileType.REG):
                self._undo(note, old, new, dir)
            raise
        if type is FileType.REG and self._store.protocol not in RENAMES:
            entry.token, entry.mtime = self._version(new)
        if self._store.protocol in RENAMES:
            with self._tree.mutex, self._table.transaction():
                self._table.rename(key, dir, name)
                self._table.set_note(note, None)
            return
        left = self._renamed(key, entry.token, old, dir, name)
        self._delete_left(parent, old, left)

    def _renamed(self, key: Key, token: str, old: Names, dir: Key, name: bytes) -> str:
        """From here on the new name counts; a note tells of the old one until it is deleted."""
        left = f"{_LEFT}{self._tree.now()}"
        moving = self._tree.moving(FileType.DIR)  # of whatever type: it is soon over
        with moving, self._tree.mutex, self._table.transaction():
            self._table.rename(key, dir, name)
            self._table.set_note(f"{_INTENT}{key.ino}", None)
            self._table.set_note(left, b"/".join(old))
            self._copied(key, token)
        return left

    def _delete_left(self, dir: Key, old: Names, left: str) -> None:
        """Delete an old name, or leave it for later, unlisted."""
        try:
            self._delete(FileType.DIR, old)
        except (FsError, OSError) as error:
            log.warning("%s is left behind by a rename: %s", b"/".join(old), error)
            self._doom(dir, old, left)
        else:
            self._table.set_note(left, None)

    def _doom(self, dir: Key, names: Names, note: str) -> None:
        """From here on a name is not listed, and deleted when it can be."""
        self._doomed[dir, names[-1]] = note, names
        self._tree.doomed.add((dir, names[-1]))

    def _rename_unstored(self, entry: Entry, old: Names, new: Names, replaces: bool) -> None:
        """What only the table knows: a symbolic link, a file not put yet, an empty directory."""
        if entry.type is FileType.REG:
            if self._tree.may_be_stored(entry):
                # It was put, though the store said it failed. All of it is in the buffer.
                self._store.delete(old)
            entry.stored = replaces  # until it is put over that
        elif replaces:
            self._store.delete(new)

    def _move(self, old: Names, new: Names) -> None:
        """The store's own rename, which may succeed and say that it failed."""
        try:
            self._store.move(old, new)
        except (FsError, OSError) as error:
            try:
                happened = not self._store.exists(old) and self._store.exists(new)
            except (FsError, OSError):
                raise _Unfinished(f"perhaps not renamed: {error}") from error
            if not happened:
                raise

    def _copy_over(self, old: Names, new: Names) -> None:
        """Copy an object over another, which is gone from then on, whatever the store answers.

        Raises `_Unfinished` where nobody knows: the intent stays, so that the next start, or the
        same call made again, finishes it.
        """
        try:
            self._store.copy(old, new)
        except (FsError, OSError) as first:
            log.warning("%s: copied once more: %s", b"/".join(new), first)
            try:
                self._store.copy(old, new)
            except (FsError, OSError) as error:
                raise _Unfinished(f"perhaps not copied: {error}") from error

    def _version(self, names: Names) -> tuple[str, int]:
        """Of a copy: its token and time, if the store tells."""
        try:
            found = self._store.info(names)
        except (FsError, OSError) as error:
            log.warning("%s: copied, and not seen: %s", b"/".join(names), error)
            return "", 0
        return found.token, found.mtime

    def _undo(self, note: str, old: Names, new: Names, dir: Key) -> None:
        """Take back what a rename that failed has copied, over nothing: now, or later, unlisted."""
        if self._store.protocol in RENAMES:
            self._table.set_note(note, None)
            return
        left = f"{_LEFT}{self._tree.now()}"
        with self._table.transaction():
            self._table.set_note(left, b"/".join(new))
            self._table.set_note(note, None)
        log.warning("%s was not renamed: its copy is deleted", b"/".join(old))
        self._delete_left(dir, new, left)

    def clear(self, dir: Key, name: bytes) -> None:
        """Delete what a rename left behind under a name that is wanted again. Raises FsError."""
        if (dir, name) not in self._tree.doomed:
            return
        with self._clearing:
            if (dir, name) in self._tree.doomed:
                note, old = self._doomed[dir, name]
                self._delete(FileType.DIR, old)
                self._table.set_note(note, None)
                self._tree.doomed.discard((dir, name))
                del self._doomed[dir, name]

    def sweep(self, dir: Key | None = None) -> None:
        """Try once more to delete what is left behind, in `dir` or everywhere."""
        for where, name in list(self._doomed):
            if dir in (None, where):
                try:
                    self.clear(where, name)
                except (FsError, OSError):
                    pass  # logged; not listed, and tried again

    def settle(self) -> None:
        """Finish what a crash cut off; before the first call.

        Raises FsError or OSError if the store fails: which name counts is not known then.
        """
        for note, packed in self._table.notes(_INTENT).items():
            old, new = (tuple(path.split(b"/")) for path in packed.split(b"\0"))
            key = Key(int(note.removeprefix(_INTENT)), self._table.generation)
            self._insist(key, old, new)
            self._table.set_note(note, None)
        for left, path in self._table.notes(_LEFT).items():
            old = tuple(path.split(b"/"))
            dir = self._key(old[:-1])
            if dir is not None:
                self._delete_left(dir, old, left)

    def _insist(self, key: Key, old: Names, new: Names) -> None:
        for attempt in range(1, SETTLE_TRIES + 1):
            try:
                self._settle(key, old, new)
                return
            except (FsError, OSError) as error:
                log.warning("the rename of %s is not finished: %s", b"/".join(old), error)
                if isinstance(error, FsError) and error.status is Status.STALE:
                    return
                if attempt == SETTLE_TRIES:
                    raise
                time.sleep(SETTLE_SECONDS)

    def _settle(self, key: Key, old: Names, new: Names) -> None:
        dir, is_old = self._key(new[:-1]), self._store.exists(old)
        if dir is None or self._table.names(key) != old:
            return
        if self._store.protocol in RENAMES:
            if not is_old and self._store.exists(new):
                self._table.rename(key, dir, new[-1])
        elif is_old:
            self._copy(FileType.DIR, old, new)
            self._renamed(key, "", old, dir, new[-1])

    def _key(self, names: Names) -> Key | None:
        key = self._table.root
        for name in names:
            found = self._table.find(key, name)
            if found is None:
                return None
            key = found.key
        return key

    def _copied(self, key: Key, token: str) -> None:
        """A copy is another version of the same contents: `token`, and unknown ones beneath."""
        self._tree.put(key, token)
        for child in self._table.children(key):
            self._copied(child.key, "")

    # In the store; each may be done again

    def _copy(self, type: FileType, old: Names, new: Names) -> None:
        if type is FileType.REG or self._store.info(old).type is FileType.REG:
            self._store.copy(old, new)
            return
        self._mkdir(new)
        self._directories(old, new)
        self._each(old, lambda path: self._store.copy(path, new + path[len(old) :]))

    def _each(self, dir: Names, act: Callable[[Names], None]) -> None:
        """Do something to every object beneath a directory; raises the first failure."""
        with ThreadPoolExecutor(AT_ONCE, initializer=_start_thread) as pool:
            for _ in pool.map(act, list(self._store.find(dir))):
                pass

    def _directories(self, old: Names, new: Names) -> None:
        """Make all directories beneath, where the store has any."""
        if self._store.flat:
            return
        for found in self._store.list(old):
            if found.type is FileType.DIR:
                self._mkdir((*new, found.name))
                self._directories((*old, found.name), (*new, found.name))

    def _mkdir(self, names: Names) -> None:
        try:
            self._store.mkdir(names)
        except FsError as error:
            if error.status is not Status.EXIST:
                raise

    def _delete(self, type: FileType, old: Names) -> None:
        if type is FileType.REG:
            self._store.delete(old)
            return
        try:
            info = self._store.info(old)
        except FileNotFoundError:
            return
        if info.type is FileType.REG:
            self._store.delete(old)
            return
        self._each(old, self._store.delete)
        if not self._store.flat:
            self._rmdirs(old)

    def _rmdirs(self, old: Names) -> None:
        for found in self._store.list(old):
            if found.type is FileType.DIR:
                self._rmdirs((*old, found.name))
        self._store.rmdir(old)


class _Unfinished(Exception):
    """Whether an object was replaced is not known."""


def _start_thread() -> None:
    """A thread acts as the process does, not as the caller who had it made."""
    for start in STARTERS:
        start()


def _packed(old: Names, new: Names) -> bytes:
    return b"/".join(old) + b"\0" + b"/".join(new)


def check_rename(
    tree: Tree, ctx: Context, source: Dir, entry: Entry, target: Dir, old: Entry | None
) -> None:
    """That a file may move from `source` to `target`, in the place of `old`."""
    node, into = tree.node(entry), tree.dir_node(target.key)
    permissions.check_delete(ctx, tree.dir_node(source.key), node)
    permissions.check_change(ctx, into)
    if entry.type is FileType.DIR:
        if tree.table.is_beneath(target.key, entry.key):
            raise FsError(Status.INVAL)
        if source is not target:
            # Its ".." is written, as Linux sees it.
            permissions.check(ctx, node, permissions.WRITE)
    if old is None:
        return
    permissions.check_delete(ctx, into, tree.node(old))
    if old.type is FileType.DIR:
        if entry.type is not FileType.DIR:
            raise FsError(Status.ISDIR)
        if tree.table.is_beneath(source.key, old.key):
            raise FsError(Status.NOTEMPTY)
    elif entry.type is FileType.DIR:
        raise FsError(Status.NOTDIR)
