"""NFS calls made by hand over a plain socket: for counting, and for many files and connections.

Nothing of the server's own code makes or reads them, so that it is no part of what is measured.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator, Sequence

NFS, MOUNT = (100003, 3), (100005, 3)

#: Numbers of procedures (RFC 1813 section 3).
GETATTR, LOOKUP, ACCESS, READ, WRITE, CREATE, MKDIR = 1, 3, 4, 6, 7, 8, 9
REMOVE, READDIRPLUS = 12, 17

#: The bytes that a READDIRPLUS asks for.
LISTING_BYTES = 64 << 10

#: sattr3 (RFC 1813 section 2.6) that sets the mode alone, to 0644 and 0755.
_FILE, _DIRECTORY = (struct.pack(">7I", 1, mode, 0, 0, 0, 0, 0) for mode in (0o644, 0o755))

#: What lies before the first entry of a READDIRPLUS with attributes: status, post_op_attr (88
#: bytes) and the verifier of the cookies; and the attributes within an entry.
_ENTRIES_AT = 4 + 4 + 84 + 8
_FATTR_BYTES = 84


def opaque(data: bytes) -> bytes:
    """Variable-length opaque data (RFC 4506 section 4.10)."""
    return struct.pack(">I", len(data)) + data + bytes(-len(data) & 3)


def handle_of(reply: bytes, at: int) -> bytes:
    """The nfs_fh3 whose length lies at `at` of a reply."""
    (length,) = struct.unpack_from(">I", reply, at)
    return reply[at + 4 : at + 4 + length]


class Talk:
    """A client's end of a connection, from the loopback address `source` if one is named."""

    def __init__(self, port: int, uid: int = 0, source: str = "") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        name = b"scaleclt"
        body = struct.pack(">2I", 0, len(name)) + name + struct.pack(">6I", uid, uid, 3, 4, 24, 27)
        self._credential = struct.pack(">2I", 1, len(body)) + body
        self._xids = itertools.count(1)
        self._rest = b""

    def record(self, proc: int, args: bytes = b"", program: tuple[int, int] = NFS) -> bytes:
        """A call as a record (RFC 5531 section 11), with an xid of its own."""
        head = struct.pack(">6I", next(self._xids), 0, 2, *program, proc)
        message = head + self._credential + bytes(8) + args
        return struct.pack(">I", 0x80000000 | len(message)) + message

    def replies(self, data: bytes) -> list[bytes]:
        """The complete replies in what was received before and `data`, without their marks."""
        data, found, pos = self._rest + data, [], 0
        while len(data) - pos >= 4:
            end = pos + 4 + (int.from_bytes(data[pos : pos + 4], "big") & 0x7FFFFFFF)
            if end > len(data):
                break
            found.append(data[pos + 4 : end])
            pos = end
        self._rest = data[pos:]
        return found


class Caller:
    """Calls through `talk`, which `ask` has answered."""

    talk: Talk
    root: bytes

    def ask(self, records: Sequence[bytes]) -> list[bytes]:
        """Send all `records` at once; their replies, in the order in which they came."""
        raise NotImplementedError

    def mount(self) -> bytes:
        """The handle of the first export's root."""
        [reply] = self.ask([self.talk.record(1, opaque(b"/"), MOUNT)])
        if reply[20:28] != bytes(8):
            raise ConnectionError(f"the mount is refused: {reply[20:28].hex()}")
        return handle_of(reply, 28)

    def call(self, proc: int, args: bytes = b"") -> bytes:
        """The result of one call, from its status on. Raises OSError if it is not NFS3_OK."""
        [reply] = self.ask([self.talk.record(proc, args)])
        if reply[20:28] != bytes(8):
            raise OSError(f"procedure {proc}: {reply[20:28].hex()}")
        return reply[24:]

    def named(self, name: bytes, directory: bytes | None = None) -> bytes:
        """diropargs3 (RFC 1813 section 2.6)."""
        return opaque(self.root if directory is None else directory) + opaque(name)

    def creating(self, name: bytes, directory: bytes | None = None) -> bytes:
        """Arguments of an UNCHECKED CREATE."""
        return self.named(name, directory) + struct.pack(">I", 0) + _FILE

    def make_file(self, name: bytes, data: bytes = b"") -> bytes:
        """A file at the root; its handle."""
        made = handle_of(self.call(CREATE, self.creating(name)), 8)
        if data:
            self.call(WRITE, opaque(made) + struct.pack(">QII", 0, len(data), 2) + opaque(data))
        return made

    def make_dir(self, name: bytes, files: int = 0) -> bytes:
        """A directory with so many files; its handle."""
        here = handle_of(self.call(MKDIR, self.named(name) + _DIRECTORY), 8)
        for start in range(0, files, 16):
            names = [b"%07d" % n for n in range(start, min(start + 16, files))]
            self.ask([self.talk.record(CREATE, self.creating(each, here)) for each in names])
        return here

    def pages(self, directory: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
        """(name, handle) of what each READDIRPLUS of a whole listing gave, ``.`` and ``..`` too."""
        cookie, verifier, more = 0, bytes(8), True
        while more:
            reply = self.call(READDIRPLUS, listing(directory, cookie, verifier))
            verifier = reply[_ENTRIES_AT - 8 : _ENTRIES_AT]
            found, cookie, more = entries(reply, cookie)
            yield found


def listing(directory: bytes, cookie: int = 0, verifier: bytes = bytes(8)) -> bytes:
    """Arguments of a READDIRPLUS from behind `cookie`, for as much as one reply may take."""
    where = opaque(directory) + struct.pack(">Q", cookie) + verifier
    return where + struct.pack(">II", LISTING_BYTES, LISTING_BYTES)


def entries(reply: bytes, cookie: int) -> tuple[list[tuple[bytes, bytes]], int, bool]:
    """(name, handle) of each entry, the last cookie, and whether there are more behind it."""
    pos, found = _ENTRIES_AT, []
    follows = struct.Struct(">IQI").unpack_from
    while reply[pos : pos + 4] == b"\0\0\0\1":
        _, _, length = follows(reply, pos)
        name = reply[pos + 16 : pos + 16 + length]
        pos += 16 + (length + 3 & ~3)
        (cookie,) = struct.unpack_from(">Q", reply, pos)
        pos += 12 + (_FATTR_BYTES if reply[pos + 11] else 0)
        handle = b""
        if reply[pos + 3]:
            handle = handle_of(reply, pos + 4)
            pos += 4 + (len(handle) + 3 & ~3)
        pos += 4
        found.append((name, handle))
    return found, cookie, not reply[pos + 7]


class Remote(Caller):
    """A connection to a server in another process."""

    def __init__(self, port: int, source: str = "") -> None:
        self.talk = Talk(port, source=source)
        self.root = self.mount()

    def ask(self, records: Sequence[bytes]) -> list[bytes]:
        """See `Caller`. Raises ConnectionError if the server hangs up."""
        self.talk.sock.sendall(b"".join(records))
        found: list[bytes] = []
        while len(found) < len(records):
            data = self.talk.sock.recv(1 << 20)
            if not data:
                raise ConnectionError(f"closed after {len(found)} of {len(records)} replies")
            found += self.talk.replies(data)
        return found
