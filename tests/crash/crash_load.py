"""The load: workers that know what each of their calls must answer, and what must be left."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nfsloop.nfs3 import nfs3_xdr as x

OK, EXIST, NOENT = x.NFS3_OK, x.NFS3ERR_EXIST, x.NFS3ERR_NOENT
NOT_SYNC, NOTEMPTY = x.NFS3ERR_NOT_SYNC, x.NFS3ERR_NOTEMPTY
KEEP = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
FILES = 30


class Violation(Exception):
    """A call has not answered what one execution of it answers."""


def sattr(mode: int | None = None, size: int | None = None) -> x.sattr3:
    """A sattr3 that sets what is named."""
    return x.sattr3(mode, None, None, size, *KEEP)


@dataclass(eq=False)
class Node:
    """What a worker knows of one of its files."""

    kind: str
    handle: bytes
    data: bytearray = field(default_factory=bytearray)
    target: bytes = b""
    mode: int = 0o644
    links: int = 1


Place = tuple[int, bytes]


class Worker:
    """One sequence of calls in two directories that others leave alone.

    `one` makes a call. `calls` counts those that were answered, by procedure and status.
    """

    def __init__(self, name: str, nfs: x.NFS_V3_Client, seed: str) -> None:
        self.name = name
        self.nfs = nfs
        self.rng = random.Random(seed)
        self.calls: dict[str, int] = {}
        self.dirs: list[bytes] = []
        self.nodes: dict[Place, Node] = {}
        self._number = 0
        self._steps: list[Callable[[], Awaitable[None]]] = [
            self.mkdir, self.mkdir, self.create, self.create, self.exclusive, self.symlink,
            self.link, self.remove, self.remove, self.rmdir, self.rename, self.rename,
            self.setattr, self.setattr, self.write, self.write_unstable, self.fails, self.fails,
        ]  # fmt: skip

    async def begin(self, root: bytes) -> None:
        """Make the directories."""
        for number in range(2):
            where = x.diropargs3(root, f"{self.name}.{number}".encode())
            res = await self.nfs.MKDIR(x.MKDIR3args(where, sattr(0o755)))
            self.dirs.append(await self._made("MKDIR", res, where))

    async def run(self, going: Callable[[], bool]) -> None:
        """Call until `going` says no. Raises Violation."""
        while going():
            await self.rng.choice(self._steps)()

    # What the steps share

    def check(self, proc: str, res: Any, wanted: int = OK) -> Any:
        """The result's arm. Raises Violation."""
        got = x.nfsstat3(res.status)
        self.calls[f"{proc} {got.name}"] = self.calls.get(f"{proc} {got.name}", 0) + 1
        if got != wanted:
            raise Violation(f"{self.name}: {proc}: {got.name}, not {x.nfsstat3(wanted).name}")
        return res.value

    async def _made(self, proc: str, res: Any, where: x.diropargs3) -> bytes:
        """The handle of what was made."""
        handle = self.check(proc, res).obj
        if handle is None:
            handle = self.check("LOOKUP", await self.nfs.LOOKUP(x.LOOKUP3args(where))).object
        return bytes(handle)

    def _where(self, place: Place) -> x.diropargs3:
        return x.diropargs3(self.dirs[place[0]], place[1])

    def _new(self) -> Place:
        self._number += 1
        return self.rng.randrange(2), b"%s-%d" % (self.name.encode(), self._number)

    def _any(self, *kinds: str) -> Place | None:
        places = [place for place, node in self.nodes.items() if node.kind in kinds]
        return self.rng.choice(places) if places else None

    def _links(self, attributes: Any, node: Node) -> None:
        if attributes is not None and node.kind == "file" and attributes.nlink != node.links:
            raise Violation(f"{self.name}: {attributes.nlink} links, not {node.links}")

    async def _attributes(self, node: Node) -> Any:
        res = await self.nfs.GETATTR(x.GETATTR3args(node.handle))
        attributes = self.check("GETATTR", res).obj_attributes
        self._links(attributes, node)
        return attributes

    # The steps

    async def mkdir(self) -> None:
        """A new directory."""
        if len(self.nodes) > FILES:
            return await self.rmdir()
        place = self._new()
        res = await self.nfs.MKDIR(x.MKDIR3args(self._where(place), sattr(0o755)))
        self.nodes[place] = Node("dir", await self._made("MKDIR", res, self._where(place)))

    async def create(self) -> None:
        """A new file, GUARDED."""
        if len(self.nodes) > FILES:
            return await self.remove()
        await self._create(x.createhow3(x.GUARDED, sattr(0o644)), 0o644)

    async def exclusive(self) -> None:
        """A new file, EXCLUSIVE."""
        await self._create(x.createhow3(x.EXCLUSIVE, self.rng.randbytes(8)), 0)

    async def _create(self, how: x.createhow3, mode: int) -> None:
        place = self._new()
        res = await self.nfs.CREATE(x.CREATE3args(self._where(place), how))
        handle = await self._made("CREATE", res, self._where(place))
        node = self.nodes[place] = Node("file", handle, mode=mode)
        if how.mode == x.EXCLUSIVE:
            await self._set(node)

    async def symlink(self) -> None:
        """A new symbolic link."""
        place, target = self._new(), b"to %d" % self.rng.randrange(1 << 30)
        data = x.symlinkdata3(sattr(0o777), target)
        res = await self.nfs.SYMLINK(x.SYMLINK3args(self._where(place), data))
        handle = await self._made("SYMLINK", res, self._where(place))
        self.nodes[place] = Node("link", handle, target=target)

    async def link(self) -> None:
        """A second name of a file."""
        old = self._any("file")
        if old is None:
            return
        node, place = self.nodes[old], self._new()
        res = await self.nfs.LINK(x.LINK3args(node.handle, self._where(place)))
        node.links += 1
        self._links(self.check("LINK", res).file_attributes, node)
        self.nodes[place] = node

    async def remove(self) -> None:
        """A name less."""
        place = self._any("file", "link")
        if place is None:
            return
        res = await self.nfs.REMOVE(x.REMOVE3args(self._where(place)))
        self.check("REMOVE", res)
        self.nodes.pop(place).links -= 1

    async def rmdir(self) -> None:
        """A directory less."""
        place = self._any("dir")
        if place is None:
            return
        self.check("RMDIR", await self.nfs.RMDIR(x.RMDIR3args(self._where(place))))
        del self.nodes[place]

    async def rename(self) -> None:
        """To a new name, or over a file that is there."""
        old = self._any("file", "link", "dir")
        if old is None:
            return
        node, new = self.nodes[old], self._new()
        if node.kind != "dir" and self.rng.random() < 0.4:
            new = self._any("file", "link") or new
        if self.nodes.get(new) is node:  # two names of one file: RENAME would leave both
            return
        res = await self.nfs.RENAME(x.RENAME3args(self._where(old), self._where(new)))
        self.check("RENAME", res)
        if new in self.nodes:
            self.nodes[new].links -= 1
        self.nodes[new] = self.nodes.pop(old)

    async def setattr(self) -> None:
        """A mode, guarded by the ctime."""
        place = self._any("file")
        if place is not None:
            await self._set(self.nodes[place])

    async def _set(self, node: Node) -> None:
        guard = (await self._attributes(node)).ctime
        node.mode = self.rng.choice((0o600, 0o640, 0o644, 0o755))
        res = await self.nfs.SETATTR(x.SETATTR3args(node.handle, sattr(node.mode), guard))
        self.check("SETATTR", res)

    async def write(self) -> None:
        """Some bytes, FILE_SYNC."""
        place = self._any("file")
        if place is not None:
            await self._write(self.nodes[place], x.FILE_SYNC)

    async def _write(self, node: Node, stable: x.stable_how) -> bytes:
        offset = self.rng.randint(0, len(node.data))
        data = self.rng.randbytes(self.rng.randrange(1, 3000))
        node.data[offset : offset + len(data)] = data
        return await self._send(node, offset, data, stable)

    async def _send(self, node: Node, offset: int, data: bytes, stable: x.stable_how) -> bytes:
        args = x.WRITE3args(node.handle, offset, len(data), stable, data)
        arm = self.check("WRITE", await self.nfs.WRITE(args))
        if arm.count != len(data):
            raise Violation(f"{self.name}: WRITE: {arm.count} of {len(data)} bytes")
        return bytes(arm.verf)

    async def write_unstable(self) -> None:
        """Some bytes, UNSTABLE, and COMMIT until all was written to the server that commits."""
        place = self._any("file")
        if place is None:
            return
        node = self.nodes[place]
        verifiers = {await self._write(node, x.UNSTABLE) for _ in range(3)}
        while True:
            res = await self.nfs.COMMIT(x.COMMIT3args(node.handle, 0, 0))
            verifiers.add(bytes(self.check("COMMIT", res).verf))
            if len(verifiers) == 1:
                return
            verifiers = {await self._send(node, 0, bytes(node.data), x.UNSTABLE)}

    async def fails(self) -> None:
        """A call that must fail, also when it comes twice."""
        there, missing = self._any("file", "link", "dir"), self._where(self._new())
        how = self.rng.randrange(5)
        if how == 0 or there is None:
            self.check("REMOVE", await self.nfs.REMOVE(x.REMOVE3args(missing)), NOENT)
        elif how == 1:
            args = x.MKDIR3args(self._where(there), sattr(0o755))
            self.check("MKDIR", await self.nfs.MKDIR(args), EXIST)
        elif how == 2:
            new = x.createhow3(x.GUARDED, sattr(0o644))
            made = await self.nfs.CREATE(x.CREATE3args(self._where(there), new))
            self.check("CREATE", made, EXIST)
        elif how == 3:
            moved = await self.nfs.RENAME(x.RENAME3args(missing, self._where(there)))
            self.check("RENAME", moved, NOENT)
        elif self.nodes[there].kind == "file":
            wrong = x.SETATTR3args(self.nodes[there].handle, sattr(0o777), x.nfstime3(1, 1))
            self.check("SETATTR", await self.nfs.SETATTR(wrong), NOT_SYNC)

    # The end

    def compare(self, top: Path) -> list[str]:
        """What of the directories differs from what it must be."""
        wrong: list[str] = []
        for number in range(2):
            folder = top / f"{self.name}.{number}"
            found = {os.fsencode(name) for name in os.listdir(folder)}
            known = {name for place, name in self.nodes if place == number}
            wrong += [f"{folder}: {name!r} must not be there" for name in found - known]
            wrong += [f"{folder}: {name!r} is lost" for name in known - found]
            for name in found & known:
                wrong += self._differs(folder / os.fsdecode(name), self.nodes[number, name])
        return wrong

    def _differs(self, path: Path, node: Node) -> list[str]:
        info = path.lstat()
        if node.kind == "link":
            right = path.is_symlink() and os.fsencode(os.readlink(path)) == node.target
            return [] if right else [f"{path}: not the link that it must be"]
        if node.kind == "dir":
            return [] if path.is_dir() and not os.listdir(path) else [f"{path}: no empty directory"]
        facts = {
            "kind": (stat.S_ISREG(info.st_mode), True),
            "mode": (oct(stat.S_IMODE(info.st_mode)), oct(node.mode)),
            "links": (info.st_nlink, node.links),
            "content": (path.read_bytes() == node.data, True),
        }
        return [f"{path}: {what}: {got}" for what, (got, wanted) in facts.items() if got != wanted]
