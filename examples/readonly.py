"""A JSON document as a read-only file system: ``examples.readonly:JsonTree?file=settings.json``."""

import json
from pathlib import Path
from typing import Any

from backends import base
from backends.base import Attr, Context, Data, FileType, Found, FsError, Key, Listing, Status


class JsonTree(base.Backend):
    """A JSON document: objects are directories, any other value is a file. `file`: its path."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.files: dict[Key, tuple[Attr, Any]] = {}

    async def start(self) -> None:
        self.add(Key(1), json.loads(self.file.read_text()), self.file.stat().st_mtime_ns)

    def add(self, key: Key, value: Any, time: int) -> Attr:
        is_dir = isinstance(value, dict)
        kind, mode = (FileType.DIR, 0o555) if is_dir else (FileType.REG, 0o444)
        data: Any = {} if is_dir else f"{json.dumps(value)}\n".encode()
        attr = Attr(key.ino, kind, mode, 1, 0, 0, len(data), 0, time, time, time, key.generation)
        self.files[key] = attr, data
        for name, item in value.items() if is_dir else ():
            child = Key(len(self.files) + 1, time)  # an edit numbers anew: old keys are stale
            data[name.replace("/", "%2F").encode()] = self.add(child, item, time)
        return attr

    def find(self, key: Key, wrong: FileType | None = None) -> tuple[Attr, Any]:
        if key not in self.files:
            raise FsError(Status.STALE)
        if self.files[key][0].type is wrong:
            raise FsError(Status.ISDIR if wrong is FileType.DIR else Status.NOTDIR)
        return self.files[key]

    async def root(self, ctx: Context) -> Attr:
        return self.find(Key(1))[0]

    async def getattr(self, ctx: Context, key: Key) -> Attr:
        return self.find(key)[0]

    async def lookup(self, ctx: Context, dir: Key, name: bytes) -> Found:
        attr, names = self.find(dir, FileType.REG)
        if name not in names:
            raise FsError(Status.NOENT)
        return Found(names[name], attr)

    async def read(self, ctx: Context, key: Key, offset: int, count: int) -> Data:
        attr, data = self.find(key, FileType.DIR)
        return Data(data[offset : offset + count], offset + count >= len(data), attr)

    async def readdir(self, ctx: Context, dir: Key, cookie: int, count: int, plus: bool) -> Listing:
        attr, names = self.find(dir, FileType.REG)
        every = (base.DirEntry(n, a.ino, at, a) for at, (n, a) in enumerate(names.items(), 3))
        return Listing((entry for entry in every if entry.cookie > cookie), True, attr)
