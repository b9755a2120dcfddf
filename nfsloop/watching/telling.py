"""How a call is told in a line, and with its arguments and result beneath; no state, no I/O.

What clients send (names, paths) is told as Python writes it: no control characters, no end of a
line, cut where it is long.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

from backends.base import FsError, Key
from nfsloop.export import Exports
from nfsloop.handle import FileHandles
from nfsloop.limits import TRACE_LINE_CHARS, TRACE_LINES, TRACE_NAME_BYTES
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM
from nfsloop.nlm4 import nlm4_xdr as n
from nfsloop.printable import printable
from nfsloop.watching.outcome import ACCEPTED_BYTES
from oncrpc.errors import AuthError
from oncrpc.message import AUTH_NONE, AUTH_SYS, read_credential
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

_two = struct.Struct(">II").unpack_from


def name(value: Buffer) -> str:
    """A name that a client has sent."""
    text = _quoted(bytes(value[:TRACE_NAME_BYTES]).decode("utf-8", "surrogateescape"))
    return text if len(value) <= TRACE_NAME_BYTES else f"{text}… ({len(value)} bytes)"


def _quoted(text: str) -> str:
    """Text as Python writes it, but bytes that are no UTF-8 as in `nfsloop.printable`."""
    quote = '"' if "'" in text and '"' not in text else "'"
    if "\\" in text or quote in text:
        text = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{printable(text)}{quote}"


def path(text: str) -> str:
    """The path of an export, as it is if nothing in it needs marks."""
    return text if text.isprintable() and " " not in text else _quoted(text)


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
        if flavor not in (AUTH_NONE, AUTH_SYS):
            return f"flavor-{flavor}"
        found = read_credential(flavor, credential[8 : 8 + length])
    except (AuthError, struct.error):
        return "bad-credential"
    return f"uid {found.uid} gid {found.gid}" if found.flavor == AUTH_SYS else "AUTH_NONE"


def value(what: Any, depth: int) -> list[str]:
    """Arguments or a result, as the compiler's printers give it, in lines beneath a call's."""
    # The `format_*` of the generated modules are `pretty`; void, and lists, have none.
    lines = [] if what is None else pretty(what, depth, most=TRACE_LINES).split("\n")
    shown = [f"    {cut(line)}" for line in lines[:TRACE_LINES]]
    if len(lines) > TRACE_LINES:
        shown.append("    … more")
    return shown


def cut(line: str) -> str:
    """A line of a length that is bounded."""
    return line if len(line) <= TRACE_LINE_CHARS else f"{line[:TRACE_LINE_CHARS]}…"


def result(parts: list[Buffer], proc: Proc) -> Any:
    """The result in an accepted reply. Raises XdrError."""
    return decode(proc.decode_result, b"".join(parts), ACCEPTED_BYTES)
