"""Exports: which backend stands behind which path, and as whom a client's users act in it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backends.base import Backend, Context, FsError, Status
from backends.hosted import Health, hosted
from nfsloop.access import RESERVED_PORTS, Policy
from nfsloop.exports5 import normal
from nfsloop.limits import CONTEXT_MEMO_ENTRIES, ORIGIN_NOTES
from nfsloop.options import MAX_ID, NO_ID, WORDS, Options, squash
from oncrpc.call import Origin, Peer
from oncrpc.message import Credential
from oncrpc.quota import Warnings

__all__ = ["MAX_ID", "NO_ID", "WORDS", "Caller", "Export", "Exports", "Options", "normal"]

log = logging.getLogger("nfsloop.export")


@dataclass(frozen=True, slots=True, eq=False)
class Caller(Context):
    """The context of a call, and what the export's policy says of the one who makes it."""

    read_only: bool = False


class Export:
    """A backend under the path that clients mount, and the `Policy` that says for whom.

    `number` (32 bits) and `fsid` (64 bits) follow from the path alone, so that handles survive a
    restart with exports in another order. Without a policy, `options` are everybody's.
    """

    def __init__(
        self,
        path: str,
        backend: Backend,
        options: Options | None = None,
        policy: Policy | None = None,
    ) -> None:
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"an export's path starts with a slash: {path!r}")
        self.path = normal(path)
        self.storage = backend
        #: What is called, started and stopped in its place: see `backends.hosted`.
        self.backend = hosted(backend, self.path)
        #: How it is: ``await export.health()``.
        self.health = Health(lambda: self.backend)
        digest = hashlib.blake2b(self.path.encode("utf-8", "surrogateescape")).digest()
        self.number = int.from_bytes(digest[:4])
        self.fsid = int.from_bytes(digest[4:12])
        #: Calls that the policy has refused.
        self.refused = 0
        self._policy = policy or Policy.everyone(options or Options())
        self._warnings = Warnings(log)
        #: By this callers are found in the notes of an origin (`oncrpc.call.Origin`); after a
        #: change of the policy it is another.
        self.era = object()
        self._identities: dict[tuple[object, ...], Caller] = {}
        self._admitted: dict[tuple[object, ...], Options | str] = {}

    def __str__(self) -> str:
        """For the log: the path, and what backend is behind it."""
        return f"{self.path} ({type(self.storage).__name__})"

    @property
    def policy(self) -> Policy:
        """Who may use it. A new one holds from the next call on."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self.forget()

    def forget(self) -> None:
        """Ask the policy anew about everybody: it has changed, or what it knows has."""
        self.era = object()
        self._identities.clear()
        self._admitted.clear()

    def caller(self, origin: Origin) -> Caller:
        """As whom the calls of `origin` act, from its notes if they have it; raises like
        `context`."""
        notes = origin.notes
        caller: Caller | None = notes.get(self.era)
        if caller is None:
            caller = self.context(origin.credential, origin.peer)
            if len(notes) >= ORIGIN_NOTES:  # of exports that are gone, or were otherwise
                notes.clear()
            notes[self.era] = caller
        return caller

    def context(self, credential: Credential, peer: Peer) -> Caller:
        """As whom a call acts: one object for all calls of one identity of one client.

        Raises ACCES where the policy keeps the client out, JUKEBOX while it waits for a name.
        """
        options = self._admit(peer)
        identity = (*squash(options, credential), peer.host, options.read_only)
        caller = self._identities.get(identity)
        if caller is None:
            if len(self._identities) >= CONTEXT_MEMO_ENTRIES:
                self._identities.clear()
            uid, gid, groups, client, read_only = identity
            caller = Caller(uid, gid, groups, client, self.path, read_only=read_only)
            self._identities[identity] = caller
        return caller

    def _admit(self, peer: Peer) -> Options:
        """What the policy says, remembered; a refusal is counted and logged."""
        name = peer.host, min(peer.port, RESERVED_PORTS), peer.user
        said = self._admitted.get(name)
        if said is None:
            if len(self._admitted) >= CONTEXT_MEMO_ENTRIES:
                self._admitted.clear()
            try:
                said = self._policy.admit(peer)
            except FsError as exc:
                if exc.status is not Status.ACCES:
                    raise
                said = str(exc.args[1])
            self._admitted[name] = said
        if isinstance(said, str):
            self.refused += 1
            self._warnings.warn(peer.host, "may not use %s: %s", self.path, said)
            raise FsError(Status.ACCES, said)
        return said


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

    def replace(self, exports: Iterable[Export]) -> None:
        """Have these instead, from the next call on. Raises ValueError like `add`, and then
        everything is as before."""
        new = Exports(exports)
        self._by_path.clear()
        self._by_path.update(new._by_path)
        self.by_number.clear()  # the services hold on to this very dictionary
        self.by_number.update(new.by_number)

    def __iter__(self) -> Iterator[Export]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)

    def find(self, path: str) -> tuple[Export, list[str]] | None:
        """The export that holds `path`, the deepest, and the names from its root to there."""
        return next(self.holding(path), None)

    def holding(self, path: str) -> Iterator[tuple[Export, list[str]]]:
        """All exports that hold `path`, the deepest first, like `find`."""
        path = normal(path)
        head = path
        while True:
            if head in self._by_path:
                rest = path[len(head) :]
                yield self._by_path[head], [name for name in rest.split("/") if name]
            if head == "/":
                break
            head = head.rpartition("/")[0] or "/"
        first = next(iter(self), None)
        if first is not None and path == "/" and "/" not in self._by_path:
            yield first, []
