"""Exports: which backend stands behind which path, and as whom a client's users act in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from backends.base import Backend, Context
from backends.wrap import in_task
from nfsloop.limits import CONTEXT_MEMO_ENTRIES
from oncrpc.message import AUTH_SYS, Credential

#: The words of exports(5) that set one option to one value.
WORDS: dict[str, tuple[str, bool]] = {
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "root_squash": ("root_squash", True),
    "no_root_squash": ("root_squash", False),
    "all_squash": ("all_squash", True),
    "no_all_squash": ("all_squash", False),
    "sync": ("sync", True),
    "async": ("sync", False),
}

#: What Unix takes for "no such id" wherever it stands.
NO_ID = 0xFFFFFFFF
MAX_ID = NO_ID - 1


@dataclass(frozen=True, slots=True)
class Options:
    """What exports(5) lets one say of an export; the defaults are its defaults, but for rw."""

    read_only: bool = False
    root_squash: bool = True
    all_squash: bool = False
    anonuid: int = 65534
    anongid: int = 65534
    #: Stable data is on disk before the reply; False acknowledges before (and may lose) it.
    sync: bool = True

    @classmethod
    def parse(cls, text: str) -> Options:
        """From ``ro,all_squash,anonuid=1000``. Raises ValueError that names the wrong word."""
        options = cls()
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = word.partition("=")
            if name in WORDS and not equals:
                field, setting = WORDS[name]
                changes: dict[str, Any] = {field: setting}
            elif name in {"anonuid", "anongid"}:
                if not value.isdecimal() or int(value) > MAX_ID:
                    raise ValueError(f"{name} takes a number up to {MAX_ID}, not {value!r}")
                changes = {name: int(value)}
            else:
                known = ", ".join([*WORDS, "anonuid=", "anongid="])
                raise ValueError(f"unknown export option {word!r}; there are {known}")
            options = replace(options, **changes)
        return options


class Export:
    """A backend under the path that clients mount.

    `number` (32 bits) and `fsid` (64 bits) follow from the path alone, so that handles survive a
    restart with exports in another order.
    """

    def __init__(self, path: str, backend: Backend, options: Options | None = None) -> None:
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"an export's path starts with a slash: {path!r}")
        self.path = normal(path)
        self.storage = backend
        #: What calls go to: the backend, or what gives each of its calls the Task it needs.
        self.backend = backend if backend.inline else in_task(backend)
        self.options = options or Options()
        digest = hashlib.blake2b(self.path.encode("utf-8", "surrogateescape")).digest()
        self.number = int.from_bytes(digest[:4])
        self.fsid = int.from_bytes(digest[4:12])
        self._contexts: dict[tuple[Credential, str], Context] = {}
        self._identities: dict[tuple[object, ...], Context] = {}

    @property
    def read_only(self) -> bool:
        """Whether the policy or the backend refuses every change."""
        return self.options.read_only or self.backend.limits.read_only

    def context(self, credential: Credential, client: str) -> Context:
        """As whom a call acts: one object for all calls of one identity of one client."""
        name = credential, client
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= CONTEXT_MEMO_ENTRIES:
                self._contexts.clear()
                self._identities.clear()
            identity = (*self.squash(credential), client)
            context = self._identities.get(identity)
            if context is None:
                uid, gid, groups = self.squash(credential)
                context = Context(uid, gid, groups, client, self.path)
                self._identities[identity] = context
            self._contexts[name] = context
        return context

    def squash(self, credential: Credential) -> tuple[int, int, tuple[int, ...]]:
        """uid, gid and groups that a credential acts with here, as exports(5) says.

        AUTH_NONE is always the anonymous user, and so is the id that is none (2**32 - 1).
        """
        options = self.options
        if options.all_squash or credential.flavor != AUTH_SYS:
            return options.anonuid, options.anongid, ()
        squashed = {NO_ID, 0} if options.root_squash else {NO_ID}
        return (
            options.anonuid if credential.uid in squashed else credential.uid,
            options.anongid if credential.gid in squashed else credential.gid,
            tuple(options.anongid if g in squashed else g for g in credential.groups),
        )


class Exports:
    """All exports of a server, by number and by path. The first is also mounted as ``/``."""

    def __init__(self, exports: Iterable[Export] = ()) -> None:
        self._by_path: dict[str, Export] = {}
        self.by_number: dict[int, Export] = {}
        for export in exports:
            self.add(export)

    def add(self, export: Export) -> None:
        """Raises ValueError for a path or a backend that is exported already."""
        if export.path in self._by_path:
            raise ValueError(f"{export.path} is exported twice")
        if any(export.storage is other.storage for other in self):
            # An Attr keeps its encoding, and the export's fsid is part of that.
            raise ValueError(f"{export.path}: its backend is exported already")
        if export.number in self.by_number:
            other = self.by_number[export.number].path
            raise ValueError(f"{export.path} and {other} have one number: rename one of them")
        self._by_path[export.path] = export
        self.by_number[export.number] = export

    def __iter__(self) -> Iterator[Export]:
        return iter(self._by_path.values())

    def find(self, path: str) -> tuple[Export, list[str]] | None:
        """The export that holds `path`, the deepest, and the names from its root to there."""
        path = normal(path)
        head = path
        while True:
            if head in self._by_path:
                rest = path[len(head) :]
                return self._by_path[head], [name for name in rest.split("/") if name]
            if head == "/":
                break
            head = head.rpartition("/")[0] or "/"
        first = next(iter(self), None)
        return (first, []) if first is not None and path == "/" else None


def normal(path: str) -> str:
    """A path without double or trailing slashes and without ``.`` components."""
    return "/" + "/".join(name for name in path.split("/") if name not in {"", "."})
