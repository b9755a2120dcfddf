"""The methods: what is known is answered at once, the rest by the repository's own thread.

One thread does all that takes libgit2, which keeps the interpreter to itself while it reads; so
more would gain nothing, and this one needs no locks.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any, Final

from backends.base import (
    Access,
    Attr,
    Backend,
    Context,
    Data,
    FileType,
    Found,
    FsError,
    FsStat,
    Granted,
    Key,
    Limits,
    Listing,
    Status,
    Target,
)
from backends.git.blobs import LARGE_BYTES, Blobs
from backends.git.refs import ROOT
from backends.git.store import Lru
from backends.git.tree import GitTree, Node
from backends.threads import Pool

log = logging.getLogger("nfsloop.git")

#: Files, and names, that are answered without the thread.
_KNOWN_FILES: Final = 1 << 16
_KNOWN_NAMES: Final = 1 << 16
_CHANGES: Final = Access.MODIFY | Access.EXTEND | Access.DELETE
_UID_MAX: Final = 2**32 - 1


class GitBackend(Backend):
    """A git repository, read-only: every commit, branch and tag as a tree of files.

    `path` is the repository, bare or not. Everybody may read everything in it; also commits that
    no branch leads to, for as long as they are there, by their ids. `uid` and `gid` own the files.
    `refresh` is how many seconds a moved branch may go unnoticed; more where there are so many
    references that looking takes long; with 0, each call looks. `cache_bytes` bounds the contents
    in memory; blobs over 8 MiB are unpacked into files, of `spool_bytes` together, in `state` or
    the system's directory for temporary files; a blob that is larger than that is refused.
    /commits lists the newest `max_commits`; any other is found by its id too.

    A branch or tag is a symbolic link to its commit, and another link once it has moved. A commit
    never changes; its files have its time. In /commits, 4 or more digits of an id are a link to
    the whole one, if they are one commit's alone. Submodules are empty directories. A tag of a tree
    or a blob is a link into /objects. Keys hold over a restart, and are STALE once their commit
    was pruned.
    """

    limits = Limits(read_only=True, symlinks=True, path_max=4095)

    def __init__(
        self,
        path: Path,
        *,
        uid: int = 0,
        gid: int = 0,
        refresh: float = 1.0,
        cache_bytes: int = 64 << 20,
        spool_bytes: int = 4 << 30,
        max_commits: int = 200_000,
        state: Path | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("refresh", refresh, 0),
            ("cache_bytes", cache_bytes, 0),
            ("spool_bytes", spool_bytes, 0),
            ("max_commits", max_commits, 1),
        ):
            if not value >= least:
                raise ValueError(f"{name} is {value}, and must be {least} or more")
        for name, value in (("uid", uid), ("gid", gid)):
            if not 0 <= value <= _UID_MAX:
                raise ValueError(f"{name} is {value}, and must be from 0 to {_UID_MAX}")
        self._path = Path(path)
        self._options = uid, gid, max_commits
        self._refresh = refresh
        self._pool = Pool(1, "git")
        self._blobs = Blobs(self._path, state, cache_bytes, spool_bytes)
        self._nodes: Lru[Key, Node] = Lru(_KNOWN_FILES)
        self._found: Lru[tuple[Key, bytes], tuple[Key, Key]] = Lru(_KNOWN_NAMES)
        self._fresh_until = 0.0
        self._refreshing: asyncio.Future[None] | None = None
        self._said: set[str] = set()

    # Life cycle

    async def start(self) -> None:
        """Open the repository. Raises ValueError, with one line, if there is none."""
        try:
            self._tree: GitTree = await self._pool.run(self._open)
        except BaseException:
            await self.stop()
            raise
        self._fresh_until = asyncio.get_running_loop().time() + self._refresh

    def _open(self) -> GitTree:
        if not self._path.exists():
            raise ValueError(f"{self._path}: no such directory")
        try:
            return GitTree(self._path, *self._options)
        except FsError as exc:
            raise ValueError(f"{self._path}: {exc.args[1]}") from None

    def describe(self) -> str:
        """What it is, and what of."""
        refs = self._tree.refs
        return f"read-only, a git repository, {len(refs.tips):,} commits named by references"

    async def health(self) -> str | None:
        """Whether the repository is still there."""
        if not await self._pool.run(os.path.exists, self._tree.store.directory):
            return f"{self._path}: there is no repository any more"
        if self._tree.trouble is not None:
            return f"{self._path}: {self._tree.trouble}; those of before are served"
        return None

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: the blobs in memory."""
        blobs = self._blobs
        return {("blobs", "hits"): blobs.hits, ("blobs", "misses"): blobs.misses}

    async def stop(self) -> None:
        """End what is still being read."""
        await self._blobs.close()
        if self._refreshing is not None:
            await asyncio.gather(self._refreshing, return_exceptions=True)
        self._pool.close()

    # What is known

    async def _look(self) -> None:
        """See to it that what is known is no older than `refresh`."""
        if asyncio.get_running_loop().time() >= self._fresh_until:
            if self._refreshing is None:
                self._refreshing = asyncio.get_running_loop().create_task(self._look_now())
                self._refreshing.add_done_callback(_retrieve)
            await asyncio.shield(self._refreshing)

    async def _look_now(self) -> None:
        try:
            is_new, pause = await self._pool.run(self._tree.refresh)
        except ValueError as exc:
            raise FsError(Status.IO, str(exc)) from None
        finally:
            self._refreshing = None
        if self._tree.trouble is None:
            self._said.discard("trouble")
        else:
            self._say("trouble", f"{self._tree.trouble}; those of before are served")
        if is_new:
            self._nodes.clear()
            self._found.clear()
        # A repository of many references is not looked at all the time, unless that is asked for.
        wait = max(pause, self._refresh) if self._refresh else 0.0
        self._fresh_until = asyncio.get_running_loop().time() + wait

    def _say(self, what: str, text: str) -> None:
        """Log something once."""
        if what not in self._said:
            self._said.add(what)
            log.warning("%s: %s", self._path, text)

    def _keep(self, node: Node) -> Key:
        key = node.attr.key
        self._nodes.keep(key, node)
        return key

    async def _node(self, key: Key) -> Node:
        await self._look()
        node = self._nodes.find(key)
        if node is None:
            node = await self._pool.run(self._tree.node, key)
            self._keep(node)
        return node

    # Names and attributes

    async def root(self, ctx: Context) -> Attr:
        """See `Backend.root`."""
        return (await self._node(Key(ROOT))).attr

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        """See `Backend.getattr`."""
        return (await self._node(key)).attr

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        """See `Backend.lookup`."""
        await self._look()
        known = self._found.find((dir, name))
        if known is not None:
            both = self._nodes.get(known[0]), self._nodes.get(known[1])
            if both[0] is not None and both[1] is not None:
                return Found(both[1].attr, both[0].attr)
        above, node = await self._pool.run(self._tree.lookup, dir, name)
        self._found.keep((dir, name), (self._keep(above), self._keep(node)))
        return Found(node.attr, above.attr)

    async def parent(self, ctx: Context, dir: Key) -> Attr:
        """See `Backend.parent`."""
        await self._look()
        node = await self._pool.run(self._tree.parent, dir)
        return node.attr

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """By the mode bits; nothing can be changed."""
        return await super().access(ctx, key, mask & ~_CHANGES)

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        """See `Backend.readdir`."""
        await self._look()
        node, entries, eof = await self._pool.run(self._tree.readdir, dir, cookie, count, plus)
        if self._tree.is_cut:
            most = self._options[2]
            self._say("cut", f"/commits lists the newest {most} commits only (option max_commits)")
        if self._tree.lost:
            lost = self._tree.lost
            self._say("lost", f"history is broken: {lost} commits are missing or damaged")
        return Listing(entries, eof, node.attr)

    async def readlink(self, ctx: Context, key: Key) -> Target:
        """See `Backend.readlink`."""
        node = await self._node(key)
        if node.attr.type is not FileType.LNK:
            raise FsError(Status.INVAL)
        if node.target is not None:
            return Target(node.target, node.attr)
        return Target(await self._pool.run(self._tree.target, node), node.attr)

    async def statfs(self, ctx: Context, key: Key) -> FsStat:
        """Nothing is known, and nothing is free."""
        await self._node(key)
        return FsStat()

    # Contents

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        """See `Backend.read`."""
        node = await self._node(key)
        attr = node.attr
        if attr.type is not FileType.REG:
            raise FsError(Status.ISDIR if attr.type is FileType.DIR else Status.INVAL)
        count = max(0, min(count, attr.size - offset))
        eof = offset + count >= attr.size
        if not count:
            return Data(b"", eof, attr)
        if attr.size > LARGE_BYTES:
            return Data(await self._blobs.large(node.oid, attr.size, offset, count), eof, attr)
        data = self._blobs.cached(node.oid)
        if data is None:
            data = await self._pool.run(self._tree.store.data, node.oid, "blob")
            self._blobs.keep(node.oid, data)
        return Data(memoryview(data)[offset : offset + count], eof, attr)


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
