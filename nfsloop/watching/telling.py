"""How a call is told in a line, and with its arguments and result beneath; no state, no I/O.

What clients send (names, paths) is told as Python writes it: no control characters, no end of a
line, cut where it is long.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from backends.base import FsError, Key
from nfsloop.export import Exports
from nfsloop.handle import FileHandles
from nfsloop.limits import TRACE_LINE_CHARS, TRACE_LINES, TRACE_NAME_BYTES
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM
from nfsloop.nlm4 import nlm4_xdr as n
from oncrpc.errors import AuthError, MessageError, ProgMismatch, Refusal, RpcMismatch, SystemErr
from oncrpc.limits import AUTH_BODY_BYTES
from oncrpc.message import AUTH_NONE, AUTH_SYS, read_credential, read_reply
from oncrpc.program import Proc, Program
from oncrpc.xdr import Buffer, decode, pretty
from portmap import portmap_xdr as p

#: The programs of a server, by what people call them.
PROGRAMS: Mapping[str, tuple[Program, ...]] = {
    "nfs": (NFS3_PROGRAM,),
    "mount": (m.MOUNT_V3, m.MOUNT_V1),
    "nlm": (n.NLM4_VERS,),
    "portmap": (p.PMAP_VERS, p.RPCBVERS, p.RPCBVERS4),
}

#: What clients ask for besides, by number.
OTHERS = {100011: "RQUOTA", 100024: "STATUS", 100227: "NFSACL"} | {
    program.number: text.upper() for text, programs in PROGRAMS.items() for program in programs
}

#: At which level what is told.
ERRORS, CALLS, REJECTS, REPLIES, VALUES = 1, 2, 3, 4, 5

#: How deep the printers look, by level.
DEPTHS = {5: 1, 6: 2, 7: 3, 8: 4, 9: 16}

#: The header of an accepted reply whose verifier is empty.
_ACCEPTED_BYTES = 24
_ZERO = bytes(4)
_word = struct.Struct(">I").unpack_from
_two = struct.Struct(">II").unpack_from


def name(value: Buffer) -> str:
    """A name that a client has sent."""
    text = repr(os.fsdecode(bytes(value[:TRACE_NAME_BYTES])))
    return text if len(value) <= TRACE_NAME_BYTES else f"{text}… ({len(value)} bytes)"


def path(text: str) -> str:
    """The path of an export, as it is if nothing in it needs marks."""
    return text if text.isprintable() and " " not in text else repr(text)


class Files:
    """How handles are told: ``/srv/data#131``, the export and the inode number."""

    def __init__(self, exports: Exports, handles: FileHandles) -> None:
        self._exports = exports
        self._handles = handles

    def tell(self, handle: Buffer) -> str:
        """A handle in short form; one that was not made here by its first bytes."""
        try:
            number, key = self._open(bytes(handle))
        except FsError:
            return f"bad-handle:{bytes(handle[:8]).hex()}({len(handle)} bytes)"
        export = self._exports.by_number.get(number)
        return f"{path(export.path) if export is not None else f'export-{number:08x}'}#{key.ino}"

    def export(self, handle: Buffer) -> str | None:
        """The path of the export that a handle is in."""
        try:
            export = self._exports.by_number.get(self._open(bytes(handle))[0])
        except FsError:
            return None
        return export.path if export is not None else None

    def _open(self, handle: bytes) -> tuple[int, Key]:
        return self._handles.known.get(handle) or self._handles.unpack(handle)


#: One part of what is told of arguments.
Part: TypeAlias = Callable[[Files, Any], str]


def _file(field: str) -> Part:
    get = attrgetter(field)
    return lambda files, args: files.tell(get(args))


def _entry(field: str) -> Part:
    get = attrgetter(field)

    def tell(files: Files, args: Any) -> str:
        what = get(args)
        return f"{files.tell(what.dir)} {name(what.name)}"

    return tell


def _name(field: str, label: str = "") -> Part:
    get = attrgetter(field)
    before = label and f"{label} "
    return lambda files, args: before + name(get(args))


def _number(field: str, form: str = "d") -> Part:
    get, label = attrgetter(field), field.rpartition(".")[2]
    return lambda files, args: f"{label} {get(args):{form}}"


def _word_of(field: str) -> Part:
    get = attrgetter(field)
    return lambda files, args: str(get(args).name)


_RANGE = (_file("file"), _number("offset"), _number("count"))
_LOCK = (_file("alock.fh"), _number("alock.l_offset"), _number("alock.l_len"),
         _name("alock.caller_name", "by"))  # fmt: skip
_SHARE = (_file("share.fh"), _word_of("share.mode"), _name("share.caller_name", "by"))
_RPCB = (_number("r_prog"), _number("r_vers"), _name("r_netid"), _name("r_addr"))

#: What is told of arguments, by their type.
DETAILS: Mapping[type, tuple[Part, ...]] = {
    x.GETATTR3args: (_file("object"),),
    x.SETATTR3args: (_file("object"),),
    x.LOOKUP3args: (_entry("what"),),
    x.ACCESS3args: (_file("object"), _number("access", "#x")),
    x.READLINK3args: (_file("symlink"),),
    x.READ3args: _RANGE,
    x.WRITE3args: (*_RANGE, _word_of("stable")),
    x.CREATE3args: (_entry("where"), _word_of("how.mode")),
    x.MKDIR3args: (_entry("where"),),
    x.SYMLINK3args: (_entry("where"), _name("symlink.symlink_data", "to")),
    x.MKNOD3args: (_entry("where"), _word_of("what.type")),
    x.REMOVE3args: (_entry("object"),),
    x.RMDIR3args: (_entry("object"),),
    x.RENAME3args: (_entry("from_"), lambda files, args: "to", _entry("to")),
    x.LINK3args: (_file("file"), lambda files, args: "as", _entry("link")),
    x.READDIR3args: (_file("dir"), _number("cookie"), _number("count")),
    x.READDIRPLUS3args: (_file("dir"), _number("cookie"), _number("dircount"),
                         _number("maxcount")),
    x.FSSTAT3args: (_file("fsroot"),),
    x.FSINFO3args: (_file("fsroot"),),
    x.PATHCONF3args: (_file("object"),),
    x.COMMIT3args: _RANGE,
    bytes: (lambda files, args: name(args),),
    n.nlm4_lockargs: _LOCK,
    n.nlm4_cancargs: _LOCK,
    n.nlm4_testargs: _LOCK,
    n.nlm4_unlockargs: _LOCK,
    n.nlm4_shareargs: _SHARE,
    n.nlm4_notify: (_name("name"),),
    p.mapping: (_number("prog"), _number("vers"), _number("prot"), _number("port")),
    p.rpcb: _RPCB,
}  # fmt: skip


def details(files: Files, args: Any) -> str:
    """What a call is about, with a space before it; empty where that is not known."""
    parts = DETAILS.get(type(args), ())
    return "".join([f" {part(files, args)}" for part in parts])


def who(credential: Buffer) -> str:
    """Whom a call says it comes from, by its opaque_auth."""
    try:
        flavor, length = _two(credential, 0)
        if length > AUTH_BODY_BYTES:
            return "bad-credential"
        if flavor not in (AUTH_NONE, AUTH_SYS):
            return f"flavor-{flavor}"
        found = read_credential(flavor, credential[8 : 8 + length])
    except (AuthError, struct.error):
        return "bad-credential"
    return f"uid {found.uid} gid {found.gid}" if found.flavor == AUTH_SYS else "AUTH_NONE"


def value(what: Any, depth: int) -> list[str]:
    """Arguments or a result, as the compiler's printers give it, in lines beneath a call's."""
    # The `format_*` of the generated modules are `pretty`; void, and lists, have none.
    lines = [] if what is None else pretty(_bounded(what), depth).split("\n")
    shown = [f"    {cut(line)}" for line in lines[:TRACE_LINES]]
    if len(lines) > TRACE_LINES:
        shown.append("    … more")
    return shown


class _Beginning(list[Any]):
    """A list that is as long as it is, but is gone through as far only as lines are shown."""

    def __iter__(self) -> Iterator[Any]:
        return islice(super().__iter__(), TRACE_LINES)


def _bounded(what: Any) -> Any:
    """The same with long lists (a directory's) bounded; it is changed where it has them."""
    if isinstance(what, list):
        return _Beginning(what)
    if is_dataclass(what):
        for field in fields(what):
            inner = getattr(what, field.name)
            if isinstance(inner, list) or is_dataclass(inner):
                setattr(what, field.name, _bounded(inner))
    return what


def cut(line: str) -> str:
    """A line of a length that is bounded."""
    return line if len(line) <= TRACE_LINE_CHARS else f"{line[:TRACE_LINE_CHARS]}…"


class Outcome(NamedTuple):
    """How a call ended: the status, and from which level on that is told."""

    status: str
    level: int


#: The outcome of a result that begins with a status, by that word.
Words: TypeAlias = Mapping[int, Outcome]

_OK = Outcome("OK", CALLS)


def _words(statuses: Any) -> dict[int, Outcome]:
    return {int(s): Outcome(s.name, ERRORS) if s else _OK for s in statuses}


_NFS_WORDS = _words(x.nfsstat3)
_MOUNT_WORDS = _words(m.mountstat3)
_ERRNO_WORDS = {0: _OK} | {
    number: Outcome(text, ERRORS) for number, text in errno.errorcode.items()
}


def words_of(program: Program, proc: Proc) -> Words | None:
    """The statuses that a procedure's results begin with, if they do."""
    if program.number == x.NFS_V3.number and proc.number:
        return _NFS_WORDS
    if program.number == m.MOUNT_V3.number and proc.name == "MNT":
        return _MOUNT_WORDS if program.version == m.MOUNT_V3.version else _ERRNO_WORDS
    return None


def outcome(parts: list[Buffer], proc: Proc | None, words: Words | None) -> Outcome:
    """How the call of `proc` ended that is answered with `parts`."""
    head = parts[0]
    if bytes(head[8:12]) != _ZERO or bytes(head[20:_ACCEPTED_BYTES]) != _ZERO:
        return _refusal(parts)
    if words is not None:
        at_once = len(head) > _ACCEPTED_BYTES  # all in one, as replies are kept
        number = _word(head, _ACCEPTED_BYTES)[0] if at_once else _word(parts[1], 0)[0]
        return words.get(number) or Outcome(f"status {number}", ERRORS)
    if proc is None or not proc.number:
        return _OK
    return _lock_outcome(parts, proc)


def _refusal(parts: list[Buffer]) -> Outcome:
    try:
        read_reply(b"".join(parts))
    except AuthError as exc:
        return Outcome(f"AUTH_ERROR {getattr(exc.stat, 'name', exc.stat)}", REJECTS)
    except RpcMismatch as exc:
        return Outcome(f"RPC_MISMATCH {exc.low}-{exc.high}", REJECTS)
    except ProgMismatch as exc:
        return Outcome(f"PROG_MISMATCH {exc.low}-{exc.high}", REJECTS)
    except Refusal as exc:
        stat = getattr(exc, "stat", None)
        level = ERRORS if isinstance(exc, SystemErr) else REJECTS
        return Outcome(getattr(stat, "name", type(exc).__name__), level)
    except MessageError as exc:
        return Outcome(f"a reply that is none: {exc}", ERRORS)
    return _OK


#: Of NLM, whose results have their status behind a cookie.
_LOCK_RESULTS = (n.decode_nlm4_res, n.decode_nlm4_testres, n.decode_nlm4_shareres)


def _lock_outcome(parts: list[Buffer], proc: Proc) -> Outcome:
    if proc.decode_result not in _LOCK_RESULTS:
        return _OK
    found = result(parts, proc)
    stat = found.stat if isinstance(found, n.nlm4_shareres) else found.stat.stat
    return _OK if stat == n.NLM4_GRANTED else Outcome(stat.name, ERRORS)


def result(parts: list[Buffer], proc: Proc) -> Any:
    """The result in an accepted reply. Raises XdrError."""
    return decode(proc.decode_result, b"".join(parts), _ACCEPTED_BYTES)
