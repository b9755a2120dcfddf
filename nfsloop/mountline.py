"""The command line that mounts an export, for people and for `nfsloop mount`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

NFS_PORT = 2049


@dataclass(frozen=True, slots=True)
class Way:
    """How a client gets at a server, as far as it must be told."""

    port: int = NFS_PORT
    #: None: that of NFS.
    mountport: int | None = None
    #: Whether a portmapper tells of both ports.
    found: bool = True
    ipv6: bool = False
    #: Whether locks are to stay on the client.
    nolock: bool = False
    #: Whether version 3 is to be named in any case, for servers that may have 4 too.
    only3: bool = False

    @property
    def words(self) -> list[str]:
        """For ``-o``; mount.nfs takes "tcp" for IPv4."""
        proto = "tcp6" if self.ipv6 else "tcp"
        if not self.found:
            ports = [f"port={self.port}", f"mountport={self.mountport or self.port}"]
            return ["vers=3", f"proto={proto}", f"mountproto={proto}", *ports, "nolock"]
        # The client probes port 2049 for version 4 first, and waits if nobody is there.
        named = self.only3 or self.port != NFS_PORT or proto != "tcp"
        words = ["vers=3"] if named else []
        words += [f"proto={proto}"] if proto != "tcp" else []
        return words + (["nolock"] if self.nolock else [])


def source(host: str, path: str) -> str:
    """``HOST:/PATH``, an IPv6 address in brackets."""
    return f"[{host}]:{path}" if ":" in host else f"{host}:{path}"


def line(words: Sequence[str], what: str, where: str = "/mnt") -> str:
    """The whole command, for a shell; it has printable characters alone."""
    options = ["-o", ",".join(words)] if words else []
    return " ".join(map(quoted, ["mount", "-t", "nfs", *options, what, where]))


def quoted(text: str) -> str:
    """A word for a shell. What must not reach a terminal stands as in bash's and zsh's $'\\n'."""
    if text.isprintable():
        return shlex.quote(text)
    shown = (c if c.isprintable() and c not in "\\'" else _escaped(c) for c in text)
    return f"$'{''.join(shown)}'"


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
