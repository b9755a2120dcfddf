"""The list of who has mounted what (RFC 1813 section 5.2.2), kept over a restart."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from nfsloop.limits import MOUNTS

log = logging.getLogger("nfsloop.mount")


class Mounts:
    """Pairs of client and path, in the order of their MNT calls.

    It is advice, as the RFC says: a client that crashes never unmounts. `file` keeps it; a file
    that cannot be written costs a log line, not a mount. Raises OSError, ValueError for one that
    cannot be read.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._mounts: dict[tuple[str, str], None] = {}
        if file is not None and file.exists():
            for client, path in json.loads(file.read_text()):
                self._mounts[client, path] = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._mounts)

    def add(self, client: str, path: str) -> None:
        """`client` has mounted `path`; the oldest entry goes when there are too many."""
        if (client, path) in self._mounts:
            return
        if len(self._mounts) >= MOUNTS:
            del self._mounts[next(iter(self._mounts))]
        self._mounts[client, path] = None
        self._save()

    def remove(self, client: str, path: str) -> None:
        """`client` has unmounted `path`; one that is not listed is no error."""
        if (client, path) in self._mounts:
            del self._mounts[client, path]
            self._save()

    def remove_all(self, client: str) -> None:
        """`client` has unmounted everything."""
        left = {mount: None for mount in self._mounts if mount[0] != client}
        if len(left) != len(self._mounts):
            self._mounts = left
            self._save()

    def _save(self) -> None:
        if self._file is None:
            return
        part = self._file.with_suffix(".new")
        try:
            part.write_text(json.dumps(list(self._mounts)))
            part.rename(self._file)
        except OSError as exc:
            log.warning("the list of mounts is not kept: %s", exc)
