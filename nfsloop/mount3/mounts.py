"""The list of who has mounted what (RFC 1813 section 5.2.2), kept over a restart."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from nfsloop.limits import MOUNTS

log = logging.getLogger("nfsloop.mount")

#: The journal is written anew when it has this many times the lines of a full list.
JOURNAL_FACTOR = 4


class Mounts:
    """Pairs of client and path, in the order of their MNT calls.

    It is advice, as the RFC says: a client that crashes never unmounts. `file` keeps it, as a
    journal of one line a change; it stays open, so that writing takes no permission of whoever the
    thread acts as. A change that cannot be written costs a log line, not a mount.

    Raises OSError for a file that cannot be opened.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._mounts: dict[tuple[str, str], None] = {}
        self._journal: int | None = None
        self._lines = 0
        if file is not None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._journal = os.open(file, flags, 0o600)
            self._replay(file)
            self._compact()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._mounts)

    def add(self, client: str, path: str) -> None:
        """`client` has mounted `path`; the oldest entry goes when there are too many."""
        if (client, path) not in self._mounts:
            self._change("+", client, path)

    def remove(self, client: str, path: str) -> None:
        """`client` has unmounted `path`; one that is not listed is no error."""
        if (client, path) in self._mounts:
            self._change("-", client, path)

    def remove_all(self, client: str) -> None:
        """`client` has unmounted everything."""
        for mount in [mount for mount in self._mounts if mount[0] == client]:
            self._change("-", *mount)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def _change(self, change: str, client: str, path: str) -> None:
        self._apply(change, client, path)
        self._lines += 1
        if self._lines > JOURNAL_FACTOR * MOUNTS:
            self._compact()
        else:
            self._write(json.dumps([change, client, path]) + "\n")

    def _apply(self, change: str, client: str, path: str) -> None:
        if change == "-":
            self._mounts.pop((client, path), None)
            return
        if len(self._mounts) >= MOUNTS:
            del self._mounts[next(iter(self._mounts))]
        self._mounts[client, path] = None

    def _replay(self, file: Path) -> None:
        """Read the journal; a line that a crash cut short, or that is none, is left out."""
        for line in file.read_text("ascii", "replace").splitlines():
            try:
                change, client, path = map(str, json.loads(line))
                # What no DUMP could tell is no mount.
                client.encode("ascii"), path.encode("utf-8", "surrogateescape")
                self._apply(change, client, path)
            except (TypeError, ValueError, RecursionError):
                log.warning("%s: a line that is none: %.80s", file, line)

    def _compact(self) -> None:
        """Write the list alone. A crash in between costs advice, no more."""
        if self._journal is not None:
            os.ftruncate(self._journal, 0)
        self._lines = len(self._mounts)
        self._write("".join(json.dumps(["+", *mount]) + "\n" for mount in self._mounts))

    def _write(self, lines: str) -> None:
        if self._journal is None:
            return
        try:
            os.write(self._journal, lines.encode("ascii"))
        except OSError as exc:
            log.warning("the list of mounts is not kept: %s", exc.strerror)
