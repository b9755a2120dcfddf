"""The server of this machine, from outside: its state directory, /proc, and what it says itself."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from nfsloop import storage
from nfsloop.commands import ILL
from nfsloop.config import ExportSpec, exports_of_state, has_open
from nfsloop.construct import ConstructError, load
from nfsloop.control import ask
from nfsloop.doctor import child
from nfsloop.doctor.local import (
    CAP_DAC_READ_SEARCH,
    CAP_SETUID,
    capabilities,
    status,
    unescaped,
)
from nfsloop.doctor.null import null
from nfsloop.doctor.probes import in_thread
from nfsloop.doctor.seen import NFS_PROGRAM, NFS_VERSION, PORTMAP_PORT, Served, Server
from nfsloop.errors import ConfigError
from nfsloop.exports5 import Client
from nfsloop.hosts import Kind
from nfsloop.options import Options
from nfsloop.sources import Sources, gather
from nfsloop.verbs.common import names_code, sources_of
from oncrpc import loop

CAP_DAC_OVERRIDE = 1
#: File systems that no kernel handles are used on.
NO_HANDLES = frozenset({"overlay", "9p", "nfs", "nfs4", "hostfs", "virtiofs", "aufs", "ecryptfs"})
_LISTENS = "0A"
#: What a process has open at most, as far as it is looked at.
_DESCRIPTORS = 65536
_COMMAND_BYTES = 1 << 17
#: Clients of an export that are looked up, if they are names.
_CLIENTS = 8
_NAMES = 64
#: Addresses of a listener that are asked.
_ADDRESSES = 4


def look(state: Path, config: Path | None, wait: float, named: bool = True) -> Server:
    """What there is to see. Never raises, and no step takes more than some `wait` seconds."""
    seen = Server(str(state), named=named, wait=wait)
    held = child.ask(partial(_holder, state), wait)
    if held is None:
        seen.hangs.append(str(state))
    else:
        seen.runs, seen.pid, seen.hidden, seen.state_wrong = held
    if seen.pid is not None:
        _look_at_process(seen, seen.pid)
    if seen.runs and os.path.isdir("/proc/self/fd"):  # by which the socket is named
        _ask(seen, state, wait)
    if seen.pid is not None or config is not None:
        found = child.ask(partial(_settings, state, seen.pid, config), wait)
        if found is None:
            seen.hangs.append("what is exported")
        else:
            _take(seen, found, wait)
    if not seen.listens and not (seen.runs and seen.listens == []):
        _look_at_port(seen)
    return seen


def _holder(state: Path) -> tuple[bool, int | None, bool, str]:
    """Whether a process has the state directory, and which; whether that cannot be looked at; why
    the directory cannot be used."""
    try:
        found = state.stat()
        if found.st_mode & stat.S_IWOTH:
            return False, None, False, "Everybody may write there."
        if found.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
            owner = f"It belongs to user {found.st_uid}, and the doctor is {os.geteuid()}."
            return False, None, False, owner
        lock = os.open(state / "lock", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return False, None, False, "What is called 'lock' in it is no file."
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode("ascii", "replace").strip()
            return True, int(pid) if has_open(pid, lock) else None, False, ""
    except FileNotFoundError:
        return False, None, False, ""
    except PermissionError:
        return False, None, True, f"User {os.geteuid()} may not look into it."
    except OSError as exc:
        return False, None, False, f"{exc.strerror}."
    usable = os.access(state, os.W_OK | os.X_OK)
    return False, None, False, "" if usable else "It cannot be written."


def _look_at_process(seen: Server, pid: int) -> None:
    has = capabilities(pid)
    seen.uid = _user(pid) or 0
    if has is not None:
        seen.reads_all = bool(has & {CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE})
        seen.acts_as = CAP_SETUID in has
    sockets = _sockets_of(pid)
    if sockets is None or not _same(pid, "ns/net"):
        return
    seen.listens = []
    ports: dict[int, list[str]] = {}
    for address, port, inode in _listeners():
        if inode in sockets and port != PORTMAP_PORT:
            ports.setdefault(port, []).append(address)
    # What else it listens for, such as HTTP, is no NFS.
    for port, addresses in sorted(ports.items(), key=lambda it: it[0] != seen.port):
        seen.answers_at = _answering(addresses, port)
        if seen.answers_at:
            seen.port, seen.listens = port, list(dict.fromkeys(addresses))
            return


def _user(pid: int) -> int | None:
    """The effective user of a process; None if it is gone."""
    words = status(pid).get("Uid", "").split()
    return int(words[1]) if words else None


def _same(pid: int, what: str) -> bool:
    """Whether something of a process is what this one has; not if that cannot be seen."""
    try:
        return os.path.samefile(f"/proc/{pid}/{what}", f"/proc/self/{what}")
    except OSError:
        return False


def _answering(addresses: Sequence[str], port: int) -> str:
    """Where NFS answers that listens at these addresses, as asked from this machine; or empty."""
    all_of = {"0.0.0.0": ["127.0.0.1"], "::": ["127.0.0.1", "::1"]}  # "::" may be IPv4's too
    asked = dict.fromkeys(at for one in addresses for at in all_of.get(one, [one]))
    for address in list(asked)[:_ADDRESSES]:
        if null((address, port), "tcp", NFS_PROGRAM, NFS_VERSION, 1.0).answers:
            return address
    return ""


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
    there = {inode: address for address, port, inode in _listeners() if port == seen.port}
    seen.answers_at = _answering([*there.values()] or ["::"], seen.port)
    with contextlib.suppress(OSError, ValueError):
        seen.knfsd = int(Path("/proc/fs/nfsd/threads").read_text()) > 0
    if not there:
        return
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        if (_sockets_of(pid) or set()) & there.keys():
            seen.other = _of_ours(pid)
            seen.port_owner = f"process {pid} ({status(pid).get('Name', '?')})"
            return
    hidden = "" if os.geteuid() == 0 else " of another user"
    seen.port_owner = f"a process{hidden} that cannot be seen from here"


def _of_ours(pid: int) -> tuple[int, str] | None:
    """The process and its state directory, if it looks like an nfsloop. Whose it is does not
    matter, so that nothing is done with what it says."""
    with contextlib.suppress(OSError):
        words = _command(pid)
        if "serve" in words and any("nfsloop" in word for word in words[: words.index("serve")]):
            state = re.search(r"\0--state[=\0]([^\0]+)", "\0".join(words))
            return pid, state[1] if state else "that of its user"
    return None


def _command(pid: int) -> list[str]:
    """Raises OSError."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [os.fsdecode(word) for word in file.read(_COMMAND_BYTES).split(b"\0")[:-1]]


def _listeners() -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of each TCP socket that listens, from /proc."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/thread-self/net", table).read_text().split("\n")[1:-1]
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


def _sockets_of(pid: int) -> set[int] | None:
    """The inodes of its sockets; None where they cannot be seen."""
    found: set[int] = set()
    place = f"/proc/{pid}/fd"
    try:
        names = os.listdir(place)[:_DESCRIPTORS]
    except OSError:
        return None
    for name in names:
        with contextlib.suppress(OSError):
            link = os.readlink(f"{place}/{name}")
            if link.startswith("socket:["):
                found.add(int(link[8:-1]))
    return found


# The settings; in a child, for they name files of anybody's


class _Code(BaseException):
    """Settings name code of somebody's own, and nobody's is run to look at it; or the code for what
    they name cannot be had."""


def _no_code(target: Any) -> Any:
    if not isinstance(target, str) or not target.startswith("backends."):
        raise _Code
    try:
        return load(target)
    except ConstructError as exc:
        if isinstance(exc.__cause__, ImportError):  # this user may not read it; the server may
            raise _Code from None
        raise


def _settings(state: Path, pid: int | None, config: Path | None) -> dict[str, Any]:
    """What the server was told by its command line, else what the file says, and what is wrong with
    it, for `_take`; empty where that is not to be seen. The process is of no use afterwards."""
    vars(storage).update(load=_no_code, _load_point=_no_code)
    told: list[str] | None = None
    try:
        if pid is not None:
            told = _told(pid)
            if told is None:
                return {}
            from nfsloop.cli import parser

            found = gather(sources_of(parser(("serve",)).parse_args(told)))
        elif config is not None:
            found = gather(Sources(config=config.absolute()))
    except (OSError, ConfigError, ValueError, SystemExit, _Code):
        return {}
    options = found.values.get("options", Options())
    served = [(spec.path, at) for spec in found.specs if (at := _directory(spec)) is not None]
    # A directory that the server's user may not enter is no export, to this process either.
    barred = [(at, text) for text in found.errors if _closed(at := text.partition(": ")[0], pid)]
    served += [(at, at) for at, _ in barred]
    return {
        "port": found.values.get("port"),
        "wrong": [text for text in found.errors if text not in dict(barred).values()],
        "exported": exports_of_state(found.specs, options, state),
        "clients": [
            (spec.path, [_names(client) for client in spec.clients[:_CLIENTS]])
            for spec in found.specs
            if spec.clients is not None
        ],
        "served": [(*it, _closed(it[1], pid), filesystem(it[1])) for it in served],
    }


def _told(pid: int) -> list[str] | None:
    """The command line behind "nfsloop"; this process becomes the server's user, in its directory.
    None where what it reads cannot be read in the same way. Raises OSError, ValueError."""
    user = _user(pid)
    if user is None or not _same(pid, "root"):
        return None  # in a container: its paths are not ours
    words = _command(pid)
    words = words[words.index("serve") :]
    os.chdir(f"/proc/{pid}/cwd")
    if os.geteuid() == 0 and user != 0:  # so that nothing is read that it could not read itself
        for ours in ("backends.posix", "tomllib", "nfsloop.cli", "nfsloop.verbs.serve"):
            import_module(ours)  # which may be where only root can read
        groups = status(pid).get("Groups", "").split()
        os.setgroups(list(map(int, groups)))
        os.setresgid(*[int(status(pid)["Gid"].split()[1])] * 3)
        os.setresuid(user, user, user)
    # Of code in the current directory the path is looked up there.
    return None if any(map(names_code, words)) else words


def _names(client: Client) -> tuple[str, str]:
    """A client of an export as it is written; the name to be looked up, if it is one."""
    host = client.host
    named = host.kind is Kind.HOST and host.network is None
    return host.text, host.name if named else ""


def _take(seen: Server, found: dict[str, Any], wait: float) -> None:
    if not found:
        return
    if seen.listens is None:
        seen.port = found["port"] or seen.port
    seen.state_exported = found["exported"]
    if not (seen.uid and seen.reads_all):  # it may read what its user, as which was looked, may not
        seen.settings_wrong = found["wrong"]
    names = {name for _, clients in found["clients"] for _, name in clients if name}
    nobody = loop.run(_without_address(sorted(names)[:_NAMES], wait), "asyncio") if names else set()
    for path, clients in found["clients"]:
        if all(name in nobody for _, name in clients):
            texts = ", ".join(text for text, _ in clients)
            seen.nobody.append((path, texts or "there is none"))
    for path, directory, closed, kind in found["served"]:
        handles = kind not in NO_HANDLES and not kind.startswith("fuse")
        kept_out = closed if seen.reads_all is False else ""
        seen.served.append(Served(path, directory, kept_out, kind, handles))


async def _without_address(names: list[str], wait: float) -> set[str]:
    """Those of which the resolver says within `wait` seconds that they are nobody's."""

    async def one(name: str) -> bool:
        try:
            async with asyncio.timeout(wait):
                await in_thread(socket.getaddrinfo, name, None)
        except socket.gaierror as exc:
            return exc.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
        except (OSError, UnicodeError) as exc:
            return isinstance(exc, UnicodeError)
        return False

    return {
        name for name, gone in zip(names, await asyncio.gather(*map(one, names)), strict=True)
        if gone
    }  # fmt: skip


def _directory(spec: ExportSpec) -> str | None:
    """The directory that is served, if it is one."""
    place = next(iter(spec.storage.places), "")
    name = spec.storage.text
    return place if place.startswith("/") and "|" not in name else None


def _closed(directory: str, pid: int | None) -> str:
    """What keeps the server's user, as which this process runs, out, by the modes on the way."""
    if pid is None or os.geteuid() == 0 or not directory.startswith("/"):
        return ""
    whole = Path(directory)
    groups = {os.getegid(), *os.getgroups()}
    for at in [*reversed(whole.parents), whole]:
        with contextlib.suppress(OSError):
            found = at.stat()
            need = 5 if at == whole else 1
            shift = 6 if found.st_uid == os.geteuid() else 3 if found.st_gid in groups else 0
            if found.st_mode >> shift & need != need:
                mode = stat.S_IMODE(found.st_mode)
                return f"{at} is {mode:04o} of user {found.st_uid}"
    return ""


def filesystem(directory: str) -> str:
    """The type of the file system that a directory is on; empty where that cannot be told."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").split("\n")
        for line in lines[:-1]:
            left, _, right = line.partition(" - ")
            place = unescaped(left.split(" ")[4])
            inside = directory == place or directory.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, kind = place, right.split(" ")[0]
    return kind
