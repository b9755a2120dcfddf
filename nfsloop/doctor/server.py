"""The server of this machine, from outside: its state directory, /proc, and what it says itself."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import stat
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from nfsloop.commands import ILL
from nfsloop.config import ConfigError, ExportSpec, state_in_reach
from nfsloop.control import ask
from nfsloop.doctor.local import CAP_DAC_READ_SEARCH, CAP_SETUID, capabilities, status
from nfsloop.doctor.null import null
from nfsloop.doctor.seen import NFS_PROGRAM, NFS_VERSION, PORTMAP_PORT, Served, Server
from nfsloop.exports5 import Client
from nfsloop.hosts import Kind
from nfsloop.options import Options
from nfsloop.sources import Gathered, Sources, gather

CAP_DAC_OVERRIDE = 1
#: File systems that no kernel handles are used on.
NO_HANDLES = frozenset({"overlay", "9p", "nfs", "nfs4", "hostfs", "virtiofs", "aufs", "ecryptfs"})
_LISTENS = "0A"
#: What a process has open at most, as far as it is looked at.
_DESCRIPTORS = 65536
#: Clients of an export that are looked up, if they are names.
_CLIENTS = 8


def look(state: Path, config: Path | None, wait: float) -> Server:
    """What there is to see. Never raises; it takes some `wait` seconds at most."""
    seen = Server(str(state))
    try:
        seen.pid, seen.state_wrong = _holder(state)
    except PermissionError:
        seen.hidden = True
        seen.state_wrong = f"User {os.geteuid()} may not look into it."
    if seen.pid is None:
        _look_at_port(seen)
    else:
        _look_at_process(seen, seen.pid)
        _ask(seen, state, wait)
    found = _settings(seen.pid, config)
    if found is not None:
        if seen.pid is None:
            seen.port = found.values.get("port", seen.port)
            _look_at_port(seen)
        _look_at_exports(seen, found, state)
    return seen


def _holder(state: Path) -> tuple[int | None, str]:
    """The process that has the state directory; why the directory cannot be used. Raises
    PermissionError where that cannot be seen."""
    try:
        found = state.stat()
        if found.st_mode & stat.S_IWOTH:
            return None, "Everybody may write there."
        if found.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
            return None, f"It belongs to user {found.st_uid}, and the doctor is {os.geteuid()}."
        with open(state / "lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read(32).decode("ascii", "replace").strip()
                return (int(text) if text.isdecimal() else 0), ""
    except FileNotFoundError:
        return None, ""
    except PermissionError:
        raise
    except OSError as exc:
        return None, f"{exc.strerror}."
    if os.access(state, os.W_OK | os.X_OK):
        return None, ""
    return None, "It cannot be written."


def _look_at_process(seen: Server, pid: int) -> None:
    has = capabilities(pid)
    words = status(pid)
    seen.uid = int(words.get("Uid", "0").split()[1:2][0]) if words else 0
    seen.reads_all = bool(has & {CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE})
    seen.acts_as = CAP_SETUID in has
    sockets = _sockets_of(pid)
    ports: dict[int, list[str]] = {}
    for address, port, inode in _listeners():
        if inode in sockets and port != PORTMAP_PORT:
            ports.setdefault(port, []).append(address)
    # What else it listens for, such as HTTP, is no NFS.
    for port, addresses in sorted(ports.items(), key=lambda it: it[0] != seen.port):
        if null((to_ask(addresses[0]), port), "tcp", NFS_PROGRAM, NFS_VERSION, 1.0).answers:
            seen.port, seen.listens = port, list(dict.fromkeys(addresses))
            return


def to_ask(address: str) -> str:
    """Where a server that listens at `address` is asked from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(address, address)


def _ask(seen: Server, state: Path, wait: float) -> None:
    try:
        lines = ask(state, "status", wait)
    except ConfigError as exc:
        seen.control_wrong = "; ".join(exc.problems) + "."
        return
    for line in lines:
        path, ill, text = line.partition(ILL)
        if ill:
            seen.ill.append((path, text))


def _look_at_port(seen: Server) -> None:
    """Who has the port that a server would have."""
    inodes = {inode for _, port, inode in _listeners() if port == seen.port}
    if not inodes:
        return
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if _sockets_of(int(pid)) & inodes:
            seen.other = _of_ours(int(pid))
            name = status(pid).get("Name", "?")
            seen.port_owner = f"process {pid} ({name})"
            return
    with contextlib.suppress(OSError, ValueError):
        seen.knfsd = int(Path("/proc/fs/nfsd/threads").read_text()) > 0
    if not seen.knfsd:
        hidden = "" if os.geteuid() == 0 else " of another user"
        seen.port_owner = f"a process{hidden} that cannot be seen from here"


def _of_ours(pid: int) -> tuple[int, str] | None:
    """The process and its state directory, if it is an nfsloop."""
    with contextlib.suppress(OSError, ConfigError, SystemExit):
        found = _told(pid)
        if found is not None:
            return pid, str(found.values.get("state") or "that of its user")
    return None


def _listeners() -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of each TCP socket that listens, from /proc."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/thread-self/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[3] == _LISTENS:
                raw, _, port = words[1].partition(":")
                yield _address(raw), int(port, 16), int(words[9])


def _address(raw: str) -> str:
    """From words of 32 bits in this machine's order."""
    words = [int(raw[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(raw), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def _sockets_of(pid: int) -> set[int]:
    """The inodes of its sockets; none where they cannot be seen."""
    found: set[int] = set()
    place = f"/proc/{pid}/fd"
    try:
        names = os.listdir(place)[:_DESCRIPTORS]
    except OSError:
        return found
    for name in names:
        with contextlib.suppress(OSError):
            link = os.readlink(f"{place}/{name}")
            if link.startswith("socket:["):
                found.add(int(link[8:-1]))
    return found


def _settings(pid: int | None, config: Path | None) -> Gathered | None:
    """What the server was told, by its command line; else what the file says."""
    if pid:
        with contextlib.suppress(OSError, ConfigError, SystemExit, ValueError):
            return _told(pid)
    return gather(Sources(config=config.absolute())) if config is not None else None


def _told(pid: int) -> Gathered | None:
    """None where it cannot be read as the server does. Raises OSError, ConfigError, SystemExit."""
    if not os.path.samefile(f"/proc/{pid}/root", "/"):
        return None  # in a container: its paths are not ours
    from nfsloop.cli import parser
    from nfsloop.verbs.common import names_code, sources_of

    raw = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    words = list(map(os.fsdecode, raw))
    # A class of the user's own is not loaded: nobody's code is run to look at it.
    if "serve" not in words or any(map(names_code, words)):
        return None
    with contextlib.redirect_stderr(io.StringIO()), contextlib.chdir(f"/proc/{pid}/cwd"):
        args = parser(("serve",)).parse_args(words[words.index("serve") :])
        return gather(sources_of(args))


def _look_at_exports(seen: Server, found: Gathered, state: Path) -> None:
    options = found.values.get("options", Options())
    seen.settings_wrong = found.errors
    for text in state_in_reach(found.specs, options, state):
        seen.state_exported.append(text.partition(": keep it")[0])
    for spec in found.specs:
        if spec.clients is not None and not any(map(_somebody, spec.clients[:_CLIENTS])):
            named = ", ".join(client.host.text for client in spec.clients[:_CLIENTS])
            seen.nobody.append((spec.path, named or "there is none"))
        directory = _directory(spec)
        if directory is not None:
            seen.served.append(_look_at(spec.path, directory, seen))


def _somebody(client: Client) -> bool:
    """Whether a client of an export may be somebody at all."""
    host = client.host
    if host.kind is not Kind.HOST or host.network is not None:
        return True
    try:
        return bool(socket.getaddrinfo(host.name, None))
    except (OSError, UnicodeError):
        return False


def _directory(spec: ExportSpec) -> str | None:
    """The directory that is served, if it is one."""
    place = next(iter(spec.storage.places), "")
    name = spec.storage.text
    return place if place.startswith("/") and "|" not in name else None


def _look_at(path: str, directory: str, seen: Server) -> Served:
    """A directory as the server's user sees it."""
    kind = filesystem(directory)
    closed = "" if seen.reads_all or not seen.pid else _closed(directory, seen)
    handles = kind not in NO_HANDLES and not kind.startswith("fuse")
    return Served(path, directory, closed, kind, handles)


def _closed(directory: str, seen: Server) -> str:
    """What keeps the server's user out, by the modes on the way."""
    words = status(seen.pid or "self")
    groups = {*words.get("Groups", "").split(), *words.get("Gid", "").split()[1:2]}
    whole = Path(directory)
    for at in [*reversed(whole.parents), whole]:
        with contextlib.suppress(OSError):
            found = at.stat()
            need = 5 if at == whole else 1
            shift = 6 if found.st_uid == seen.uid else 3 if str(found.st_gid) in groups else 0
            if found.st_mode >> shift & need != need:
                mode = stat.S_IMODE(found.st_mode)
                return f"{at} is {mode:04o} of user {found.st_uid}"
    return ""


def filesystem(directory: str) -> str:
    """The type of the file system that a directory is on; empty where that cannot be told."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            place = left.split()[4]
            inside = directory == place or directory.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, kind = place, right.split()[0]
    return kind
