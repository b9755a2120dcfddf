"""Files and directories in memory, read-write: ``nfsloop serve examples.readwrite:Scratch``."""

import itertools
from dataclasses import asdict, dataclass, field, replace
from time import time_ns

from backends import base
from backends.base import NOW, Attr, Context, FileType, FsError, Key, Listing, SetAttr, Status, Wcc

DIR, REG = FileType.DIR, FileType.REG


@dataclass(slots=True)
class Node:
    """A file with its `data`, or a directory with its `names`."""

    attr: Attr
    parent: "Node | None" = None
    data: bytearray = field(default_factory=bytearray)
    names: "dict[bytes, Node]" = field(default_factory=dict)
    verifier: bytes = b""


class Scratch(base.Backend):
    """Files in memory, 256 MiB each, gone with the process; everybody may do everything."""

    persistent = False
    limits = base.Limits(set_times=True, max_file_size=1 << 28)

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(3)  # of files; and of cookies, as a file has one name
        self.life = now = time_ns()  # no key of another life is one of this
        self.nodes = {Key(1): Node(Attr(1, DIR, 0o755, 1, 0, 0, 0, 0, now, now, now))}

    def node(self, key: Key, type: FileType | None = None) -> Node:
        if key not in self.nodes:
            raise FsError(Status.STALE)
        if type not in (None, self.nodes[key].attr.type):
            raise FsError(Status.NOTDIR if type is DIR else Status.ISDIR)
        return self.nodes[key]

    def child(self, dir: Key, name: bytes, type: FileType | None = None) -> tuple[Node, Node]:
        parent = self.node(dir, DIR)
        if name not in parent.names:
            raise FsError(Status.NOENT)
        return parent, self.node(parent.names[name].attr.key, type)

    def update(self, node: Node, attr: SetAttr) -> Wcc:
        before, now, values = node.attr, time_ns(), asdict(attr)
        if attr.size is not None:
            if attr.size > self.limits.max_file_size:
                raise FsError(Status.FBIG)
            node.data[attr.size :] = bytes(max(0, attr.size - len(node.data)))
            values |= {"used": attr.size, "mtime": now if attr.mtime is None else attr.mtime}
        values = {k: now if v == NOW else v for k, v in values.items() if v is not None}
        node.attr = replace(before, ctime=now, memo=None, **values)  # what was given out stays
        return Wcc(before, node.attr)

    async def root(self, ctx: Context) -> Attr:
        return self.node(Key(1)).attr

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        return self.node(key).attr

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> base.Found:
        return base.Found(self.child(dir, name)[1].attr)

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> base.Data:
        node, end = self.node(key, REG), offset + count
        return base.Data(bytes(node.data[offset:end]), end >= len(node.data), node.attr)

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        node = self.node(dir, DIR)
        behind = sorted((n.attr.ino, name) for name, n in node.names.items() if n.attr.ino > cookie)
        entries = [base.DirEntry(name, ino, ino, node.names[name].attr) for ino, name in behind]
        return Listing(entries, True, node.attr)

    async def setattr(self, ctx: Context, key: Key, attr: SetAttr, guard: int | None = None) -> Wcc:
        node = self.node(key, None if attr.size is None else REG)
        if guard not in (None, node.attr.ctime):
            raise FsError(Status.NOT_SYNC)
        wcc, node.verifier = self.update(node, attr), b""
        return wcc

    async def write(
        self, ctx: Context, key: Key, offset: int, data: base.Buffer, stable: base.Stable
    ) -> base.Written:
        node, end = self.node(key, REG), offset + len(data)
        wcc = self.update(node, SetAttr(size=max(end if data else 0, len(node.data))))
        node.data[offset:end] = data
        return base.Written(len(data), stable, wcc)

    async def commit(self, ctx: Context, key: Key, offset: int, count: int) -> Wcc:
        return Wcc(None, self.node(key, REG).attr)

    async def create(
        self, ctx: Context, dir: Key, name: bytes, mode: int, attr: SetAttr, verifier: bytes
    ) -> base.Made:
        node, exclusive = self.node(dir, DIR).names.get(name), mode == base.CreateMode.EXCLUSIVE
        if node is None:
            made = await self.mkdir(ctx, dir, name, attr, REG)
            self.node(made.attr.key).verifier = verifier if exclusive else b""
            return made
        again = exclusive and verifier == node.verifier != b""
        if node.attr.type is not REG or not (again or mode == base.CreateMode.UNCHECKED):
            raise FsError(Status.EXIST)
        if attr.size is not None:
            self.update(node, SetAttr(size=attr.size))
        return base.Made(node.attr, Wcc(None, self.node(dir).attr))

    async def mkdir(
        self, ctx: Context, dir: Key, name: bytes, attr: SetAttr, type: FileType = DIR
    ) -> base.Made:
        parent, number, now = self.node(dir, DIR), next(self.numbers), time_ns()
        if name in parent.names:
            raise FsError(Status.EXIST)
        new = Attr(number, type, 0, 1, ctx.uid, ctx.gid, 0, 0, now, now, now, self.life)
        node = Node(new, parent)
        self.update(node, attr)
        self.nodes[new.key] = parent.names[name] = node
        return base.Made(node.attr, self.update(parent, SetAttr(mtime=NOW)))

    async def remove(self, ctx: Context, dir: Key, name: bytes, type: FileType = REG) -> Wcc:
        parent, node = self.child(dir, name, type)
        if node.names:
            raise FsError(Status.NOTEMPTY)
        del parent.names[name], self.nodes[node.attr.key]
        return self.update(parent, SetAttr(mtime=NOW))

    async def rmdir(self, ctx: Context, dir: Key, name: bytes) -> Wcc:
        return await self.remove(ctx, dir, name, DIR)

    async def rename(
        self, ctx: Context, from_dir: Key, from_name: bytes, to_dir: Key, to_name: bytes
    ) -> base.Renamed:
        (source, node), target = self.child(from_dir, from_name), self.node(to_dir, DIR)
        above: Node | None = target
        while above is not None:
            if above is node:
                raise FsError(Status.INVAL)
            above = above.parent
        if target.names.get(to_name) is not node:
            if to_name in target.names:
                await self.remove(ctx, to_dir, to_name, node.attr.type)
            target.names[to_name], node.parent = source.names.pop(from_name), target
            for changed in (source, target):
                self.update(changed, SetAttr(mtime=NOW))
        return base.Renamed(Wcc(None, source.attr), Wcc(None, target.attr))
