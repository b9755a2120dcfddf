"""A plain model of a file system: what each NFS call answers, and what is there afterwards.

It is meant to be obviously right, not fast and not complete: one tree, no permissions, no times.
Files are known by the handles that the server gave them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from backends.base import FileType, Status
from nfsloop.nfs3 import nfs3_xdr as x

OK = int(Status.OK)


@dataclass(eq=False, slots=True)
class Inode:
    """A file, directory or symbolic link."""

    kind: FileType
    #: None: not known (an EXCLUSIVE create names none).
    mode: int | None = None
    nlink: int = 1
    handle: bytes = b""
    parent: Inode | None = None
    entries: dict[bytes, Inode] = field(default_factory=dict)
    target: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    #: What is safe of the data, where that is not all: a crash leaves this or `data`.
    stable: bytearray | None = None

    def put(self, offset: int, data: bytes) -> None:
        """Write."""
        _put(self.data, offset, data)

    def resize(self, size: int) -> None:
        """Truncate or extend; the new size is safe at once."""
        for image in (self.data, self.stable):
            if image is not None:
                del image[size:]
                image.extend(bytes(size - len(image)))

    def is_beneath(self, other: Inode) -> bool:
        """Whether this is `other`, or in it at any depth."""
        at: Inode | None = self
        while at is not None and at is not other:
            at = at.parent
        return at is other


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if offset > len(image):
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class Refused(Exception):
    """The status of a call that changes nothing."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class Model:
    """The tree beneath `root`, a directory's handle."""

    def __init__(self, root: bytes) -> None:
        self.by_handle: dict[bytes, Inode] = {}
        #: Handles of files that are gone.
        self.gone: list[bytes] = []
        #: Whether the call that was executed last changed anything.
        self.changed = False
        self.root = Inode(FileType.DIR, nlink=2)
        self.bind(self.root, root)

    def bind(self, inode: Inode, handle: bytes) -> None:
        """The server has told the handle of a new inode."""
        inode.handle = handle
        self.by_handle[handle] = inode

    def apply(self, name: str, args: Any, in_sync: bool = True) -> tuple[int, Inode | None]:
        """Execute a call: its status, and the inode that it made or found.

        `in_sync`: whether a SETATTR's guard is the file's ctime.
        """
        self.changed = True
        try:
            if name == "SETATTR":
                return OK, self._setattr(args, in_sync)
            return OK, getattr(self, "_" + name.lower())(args)
        except Refused as refused:
            self.changed = False
            return int(refused.status), None

    def files(self) -> Iterator[Inode]:
        """Every inode that has a handle."""
        return iter(list(self.by_handle.values()))

    def fingerprint(self) -> list[Any]:
        """All there is, to be compared."""
        return [
            (
                handle, node.kind, node.mode, node.nlink, bytes(node.data), node.target,
                sorted((name, child.handle) for name, child in node.entries.items()),
            )
            for handle, node in sorted(self.by_handle.items())
        ]  # fmt: skip

    # Helpers

    def get(self, handle: bytes) -> Inode:
        """The inode of a handle. Raises STALE."""
        try:
            return self.by_handle[handle]
        except KeyError:
            raise Refused(Status.STALE) from None

    def _dir(self, handle: bytes) -> Inode:
        node = self.get(handle)
        if node.kind is not FileType.DIR:
            raise Refused(Status.NOTDIR)
        return node

    def _file(self, handle: bytes) -> Inode:
        node = self.get(handle)
        if node.kind is not FileType.REG:
            raise Refused(Status.ISDIR if node.kind is FileType.DIR else Status.INVAL)
        return node

    def _child(self, what: x.diropargs3) -> tuple[Inode, Inode]:
        dir = self._dir(what.dir)
        child = dir.entries.get(what.name)
        if child is None:
            raise Refused(Status.NOENT)
        return dir, child

    def _enter(self, what: x.diropargs3, node: Inode) -> Inode:
        dir = self._dir(what.dir)
        if what.name in dir.entries:
            raise Refused(Status.EXIST)
        dir.entries[what.name] = node
        if node.kind is FileType.DIR:
            node.parent = dir
            dir.nlink += 1
        return node

    def _leave(self, dir: Inode, name: bytes) -> None:
        node = dir.entries.pop(name)
        if node.kind is FileType.DIR:
            dir.nlink -= 1
            node.nlink = 0
        else:
            node.nlink -= 1
        if not node.nlink and node.handle:
            del self.by_handle[node.handle]
            self.gone.append(node.handle)

    # Reading

    def _getattr(self, args: x.GETATTR3args) -> Inode:
        return self.get(args.object)

    def _lookup(self, args: x.LOOKUP3args) -> Inode:
        return self._child(args.what)[1]

    def _read(self, args: x.READ3args) -> Inode:
        return self._file(args.file)

    def _readlink(self, args: x.READLINK3args) -> Inode:
        return self.get(args.symlink)

    def _readdir(self, args: x.READDIR3args) -> Inode:
        return self._dir(args.dir)

    def _readdirplus(self, args: x.READDIRPLUS3args) -> Inode:
        return self._dir(args.dir)

    # Files

    def _setattr(self, args: x.SETATTR3args, in_sync: bool) -> Inode:
        node = self.get(args.object)
        if args.guard is not None and not in_sync:
            raise Refused(Status.NOT_SYNC)
        new = args.new_attributes
        if new.size is not None:
            node = self._file(args.object)
            node.resize(new.size)
        if new.mode is not None:
            node.mode = new.mode
        return node

    def _write(self, args: x.WRITE3args) -> Inode:
        node = self._file(args.file)
        data = bytes(args.data)
        if args.stable == x.UNSTABLE:
            if node.stable is None:
                node.stable = bytearray(node.data)
        elif node.stable is not None:
            _put(node.stable, args.offset, data)
        node.put(args.offset, data)
        return node

    def _commit(self, args: x.COMMIT3args) -> Inode:
        node = self._file(args.file)
        node.stable = None
        return node

    # Names

    def _create(self, args: x.CREATE3args) -> Inode:
        how = args.how
        old = self._dir(args.where.dir).entries.get(args.where.name)
        if how.mode == x.EXCLUSIVE:  # no verifier is used twice here
            return self._enter(args.where, Inode(FileType.REG))
        wanted = how.obj_attributes
        if old is not None and how.mode == x.UNCHECKED and old.kind is FileType.REG:
            node = old
            self.changed = wanted.size is not None
        else:
            node = self._enter(args.where, Inode(FileType.REG, wanted.mode))
        if wanted.size is not None:
            node.resize(wanted.size)
        return node

    def _mkdir(self, args: x.MKDIR3args) -> Inode:
        return self._enter(args.where, Inode(FileType.DIR, args.attributes.mode, nlink=2))

    def _symlink(self, args: x.SYMLINK3args) -> Inode:
        target = args.symlink.symlink_data
        return self._enter(args.where, Inode(FileType.LNK, target=target))

    def _link(self, args: x.LINK3args) -> Inode:
        node = self.get(args.file)
        self._enter(args.link, node)
        node.nlink += 1
        return node

    def _remove(self, args: x.REMOVE3args) -> Inode:
        dir, node = self._child(args.object)
        if node.kind is FileType.DIR:
            raise Refused(Status.ISDIR)
        self._leave(dir, args.object.name)
        return node

    def _rmdir(self, args: x.RMDIR3args) -> Inode:
        dir, node = self._child(args.object)
        if node.kind is not FileType.DIR:
            raise Refused(Status.NOTDIR)
        if node.entries:
            raise Refused(Status.NOTEMPTY)
        self._leave(dir, args.object.name)
        return node

    def _rename(self, args: x.RENAME3args) -> Inode:
        self._dir(args.from_.dir)
        to = self._dir(args.to.dir)
        source, node = self._child(args.from_)
        old = to.entries.get(args.to.name)
        if old is node:
            self.changed = False
            return node
        if to.is_beneath(node):
            raise Refused(Status.INVAL)
        if old is not None:
            self._check_replaced(node, old)
            self._leave(to, args.to.name)
        del source.entries[args.from_.name]
        to.entries[args.to.name] = node
        if node.kind is FileType.DIR:
            source.nlink -= 1
            to.nlink += 1
            node.parent = to
        return node

    @staticmethod
    def _check_replaced(node: Inode, old: Inode) -> None:
        if old.kind is FileType.DIR:
            if node.kind is not FileType.DIR:
                raise Refused(Status.ISDIR)
            if old.entries:
                raise Refused(Status.NOTEMPTY)
        elif node.kind is FileType.DIR:
            raise Refused(Status.NOTDIR)
