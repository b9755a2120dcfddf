"""Places to serve from, and a server over them that is restarted at will."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from backends.base import Context, CreateMode, FsError, Key, SetAttr, Stable, Status
from backends.posix import PosixBackend

T = TypeVar("T")

PRIVILEGED = os.geteuid() == 0
needs_root = pytest.mark.skipif(not PRIVILEGED, reason="needs root")

ROOT = Context(os.geteuid(), os.getegid())
ALICE = Context(1000, 1000)
BOB = Context(1001, 1001)


@contextmanager
def place(kind: str) -> Iterator[Path]:
    """A directory on that kind of file system."""
    parent = {"ext4": "/var/tmp", "tmpfs": "/dev/shm"}.get(kind, "/var/tmp")
    base = Path(tempfile.mkdtemp(prefix="nfsloop-", dir=parent))
    mounted: Path | None = None
    command: list[str] = []
    try:
        if kind in ("ext4", "tmpfs"):
            found = subprocess.check_output(["stat", "-f", "-c", "%T", base], text=True).strip()
            if found not in ("ext2/ext3", "tmpfs"):
                pytest.skip(f"{parent} is {found}")
            here = base
        else:
            if not PRIVILEGED:
                pytest.skip("only root mounts")
            for name in ("lower", "upper", "work", "merged"):
                (base / name).mkdir()
            (base / "lower/low").write_bytes(b"low")
            (base / "lower/dir/deep").mkdir(parents=True)
            (base / "lower/dir/deep/leaf").write_bytes(b"leaf")
            here = base / "merged"
            mounted = here
            options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
            command = ["mount", "-t", "overlay", "overlay", "-o", options, str(here)]
            if subprocess.run(command, check=False).returncode:
                mounted = None
                pytest.skip("cannot mount an overlay")
        base.chmod(0o755)
        (here / "export").mkdir()
        if kind == "overlay":
            (here / "export").rmdir()
            (base / "lower/export").mkdir()
            for name in ("low", "dir"):
                (base / "lower" / name).rename(base / "lower/export" / name)
            subprocess.check_call(["umount", str(here)])
            subprocess.check_call(command)
        yield here
    finally:
        if mounted:
            subprocess.run(["umount", "-l", mounted], check=False)
        shutil.rmtree(base, ignore_errors=True)


class World:
    """One export, with a server that can be restarted; everything is called synchronously."""

    def __init__(self, here: Path, *, index: bool = False, **options: Any) -> None:
        self.here = here
        self.export = here / "export"
        self.state = here / "state"
        self.options = options
        self.index = index
        self.runner = asyncio.Runner()
        self.fs = self._start()

    def _start(self) -> PosixBackend:
        fs = PosixBackend(self.export, state=self.state, **self.options)
        if self.index:
            fs._probe_handles = lambda: False  # type: ignore[method-assign]
        fs.beneath_seconds = 0  # one turn of the loop, which each of `run` is at least
        self.runner.run(fs.start())
        fs._syncs.pace.quick = 0  # all by threads; tests of syncs on the loop say otherwise
        return fs

    def restart(self, *, index: bool | None = None) -> None:
        """Stop the server and start another."""
        self.runner.run(self.fs.stop())
        if index is not None:
            self.index = index
        self.fs = self._start()

    def close(self) -> None:
        """Stop."""
        self.runner.run(self.fs.stop())
        self.runner.close()
        os.umask(0o22)

    def run(self, call: Awaitable[T]) -> T:
        """The result of a call."""

        async def wait() -> T:
            return await call

        return self.runner.run(wait())

    def fails(self, call: Awaitable[object], *statuses: Status | int) -> None:
        """The call fails with one of those statuses or errnos."""
        try:
            result = self.run(call)
        except FsError as error:
            assert error.status in statuses, error
        except OSError as error:
            assert error.errno in statuses, error
        else:
            raise AssertionError(f"no error but {result}")

    def stale(self, *keys: Key) -> None:
        """Those handles are no good."""
        for key in keys:
            self.fails(self.fs.getattr(ROOT, key), Status.STALE)

    @property
    def root(self) -> Key:
        """The root's key."""
        return self.run(self.fs.root(ROOT)).key

    def key(self, path: str, ctx: Context = ROOT) -> Key:
        """Look a path up, name by name."""
        key = self.root
        for name in filter(None, path.split("/")):
            key = self.run(self.fs.lookup(ctx, key, name.encode())).attr.key
        return key

    def make(self, path: str, data: bytes = b"", mode: int = 0o644, ctx: Context = ROOT) -> Key:
        """Make a file through the server."""
        above, _, name = path.rpartition("/")
        made = self.run(
            self.fs.create(
                ctx, self.key(above), name.encode(), CreateMode.GUARDED, SetAttr(mode=mode), b""
            )
        )
        key = made.attr.key
        if data:
            self.write(key, data, ctx=ctx)
        return key

    def mkdir(self, path: str, mode: int = 0o755, ctx: Context = ROOT) -> Key:
        """Make a directory through the server."""
        above, _, name = path.rpartition("/")
        call = self.fs.mkdir(ctx, self.key(above), name.encode(), SetAttr(mode=mode))
        return self.run(call).attr.key

    def read(self, key: Key, ctx: Context = ROOT, offset: int = 0, count: int = 1 << 16) -> bytes:
        """What READ gives."""
        return bytes(self.run(self.fs.read(ctx, key, offset, count)).data)

    def write(self, key: Key, data: bytes, ctx: Context = ROOT, offset: int = 0) -> int:
        """WRITE, unstable."""
        return self.run(self.fs.write(ctx, key, offset, data, Stable.UNSTABLE)).count

    def names(self, key: Key, ctx: Context = ROOT, count: int = 4096) -> list[bytes]:
        """All of READDIR."""
        found: list[bytes] = []
        cookie = 0
        while True:
            listing = self.run(self.fs.readdir(ctx, key, cookie, count, False))
            for entry in listing.entries:
                found.append(entry.name)
                cookie = entry.cookie
                assert 3 <= cookie < 2**63
            if listing.eof:
                return found
