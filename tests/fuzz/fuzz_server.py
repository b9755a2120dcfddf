"""Target: everything that the server serves, over a small memory backend.

An input is a byte that chooses the peer and then items: a byte that chooses the procedure (0: the
item is a whole message), one that chooses the credential, the length in two bytes, the arguments.
Each input has a server of its own; handles are those of fixed inode numbers under a known key.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from fuzz_kinds import ROOT, Broken, Target, expect
from fuzz_messages import KEY, vectors

# isort: split
from backends.memory import MemoryBackend
from nfsloop.export import Export, Exports, Options
from nfsloop.handle import FileHandles
from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3
from nfsloop.mount3.mounts import Mounts
from nfsloop.mount3.server import Mount1Service, Mount3Service, Mountd
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.nlm4.nlm4_xdr import NLM4_VERS
from nfsloop.nlm4.server import NoLocks
from oncrpc import errors, message, xdr
from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import RECORD_BYTES
from oncrpc.program import Proc, ProcFlag, Program
from oncrpc.ring import Ring
from oncrpc.rpcgen import dynamic
from oncrpc.testing import Capture
from portmap import portmap_xdr
from portmap.registry import Registry
from portmap.server import add_services

ITEMS = 64
GENERATION = 7
#: Of the duplicate request cache's ring.
SEGMENT = 4096
PEERS = (
    Peer("127.0.0.1", 1000),
    Peer("192.0.2.7", 700),
    Peer("127.0.0.1", 700, "udp"),
    Peer("2001:db8::7", 40000),
)
CREDENTIALS = tuple(
    credential.pack()
    for credential in (
        message.Credential(message.AUTH_SYS, 0, 0, (), b"fuzz"),
        message.Credential(message.AUTH_SYS, 1000, 1000, (4, 1000), b"fuzz"),
        message.NOBODY,
    )
)
PROGRAMS = (
    (NFS3_PROGRAM, "nfsloop/nfs3/nfs3.x"),
    (MOUNT_V3, "nfsloop/mount3/mount3.x"),
    (MOUNT_V1, "nfsloop/mount3/mount3.x"),
    (NLM4_VERS, "nfsloop/nlm4/nlm4.x"),
    (portmap_xdr.PMAP_VERS, "portmap/portmap.x"),
    (portmap_xdr.RPCBVERS, "portmap/portmap.x"),
    (portmap_xdr.RPCBVERS4, "portmap/portmap.x"),
)


class Choice(NamedTuple):
    """A procedure, and how its result is read without generated code."""

    program: Program
    proc: Proc
    plain: Proc


@cache
def choices() -> list[Choice]:
    """Every procedure there is; an item's first byte is one more than its index here."""
    found = []
    for program, source in PROGRAMS:
        loaded = dynamic.load(ROOT / source)
        plain = next(
            plain
            for plain in loaded.programs.values()
            if (plain.number, plain.version) == (program.number, program.version)
        )
        found += [Choice(program, proc, plain.procs[n]) for n, proc in program.procs.items()]
    return found


LOGGERS = [logging.getLogger(name) for name in ("oncrpc", "nfsloop", "portmap", "backends")]


class Faults(logging.Handler):
    """What the server logs meanwhile: every line is made, and its own failures are kept."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Make the line."""
        line = self.format(record)
        if record.levelno >= logging.ERROR:
            self.found.append(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be made is a failure too."""
        self.found.append(f"cannot be logged: {record.msg!r} {record.args!r}")

    def __enter__(self) -> Faults:
        """Take the place of the other handlers."""
        for logger in LOGGERS:
            logger.addHandler(self)
            logger.propagate = False
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Give it back."""
        for logger in LOGGERS:
            logger.removeHandler(self)
            logger.propagate = True


class World:
    """A server without sockets."""

    def __init__(self, peer: Peer) -> None:
        self.backend = MemoryBackend(1 << 24, max_files=256, mode=0o1777)
        self.backend._generation = GENERATION
        self.peer = peer
        exports = Exports([Export("/", self.backend, Options(root_squash=False))])
        handles = FileHandles(KEY)
        mountd = Mountd(exports, handles, Mounts())
        self.dispatcher = to = Dispatcher()
        cache = DuplicateRequestCache(Ring(bytearray(8 * SEGMENT), SEGMENT), 64)
        to.add(NFS3_PROGRAM, Nfs3Service(exports, handles), cache=cache)
        to.add(MOUNT_V3, Mount3Service(mountd))
        to.add(MOUNT_V1, Mount1Service(mountd))
        to.add(NLM4_VERS, NoLocks())
        add_services(to, Registry(), lambda: 1.0)

    def serve(self, record: bytes) -> list[bytes]:
        """The answers to one message."""
        capture = Capture(self.peer)
        waits = self.dispatcher.dispatch(record, capture)
        expect(waits is None, "a call waits where nothing is to be waited for")
        return capture.sent


def head_of(choice: Choice, credential: int, xid: int) -> bytes:
    """The header of a call of `choice`."""
    program, proc, _ = choice
    packed = CREDENTIALS[credential % len(CREDENTIALS)]
    return message.call_header(xid, program.number, program.version, proc.number, packed)


def items(data: bytes) -> Iterator[tuple[Choice | None, bytes]]:
    """The messages of an input, and the procedure of those that have a header of ours."""
    pos, table = 1, choices()
    for xid in range(1, ITEMS + 1):
        if pos + 4 > len(data):
            return
        op, credential, size = struct.unpack_from(">BBH", data, pos)
        body = data[pos + 4 : pos + 4 + size]
        pos += 4 + size
        choice = table[(op - 1) % len(table)] if op else None
        yield choice, body if choice is None else head_of(choice, credential, xid) + body


def server(data: bytes) -> None:
    """Every call gets one answer, which is one of its procedure's; nothing fails within.

    A call that is not idempotent gets the same one again.
    """
    world = World(PEERS[(data[0] if data else 0) % len(PEERS)])
    with Faults() as faults:
        for choice, record in items(data):
            sent = world.serve(record)
            expect(not faults.found, "\n".join(faults.found))
            answerable = len(record) >= 8 and record[4:8] == bytes(4)
            expect(len(sent) == answerable, f"{len(sent)} answers to {record[:48].hex()}")
            for answer in sent:
                judge(choice, record, answer)
            if choice is not None and ProcFlag.CACHE_REPLY in choice.proc.flags:
                expect(world.serve(record) == sent, f"{choice.proc.name}: another answer")


def judge(choice: Choice | None, record: bytes, answer: bytes) -> None:
    """That an answer is one of its call's."""
    expect(len(answer) <= RECORD_BYTES, f"an answer of {len(answer)} bytes")
    expect(answer[:4] == record[:4], "the answer has another xid")
    try:
        _, pos = message.read_reply(answer)
    except errors.SystemErr as exc:
        raise Broken(f"{exc!r}") from exc
    except errors.Refusal:
        return
    if choice is None:
        head = message.read_call(record)
        choice = next(
            choice
            for choice in choices()
            if head[1:4] == (choice.program.number, choice.program.version, choice.proc.number)
        )
    result = xdr.decode(choice.plain.decode_result, answer, pos)
    status = getattr(result, "status", None)
    expect(status != x.NFS3ERR_SERVERFAULT, f"{choice.proc.name}: SERVERFAULT")


# -- seeds


def handle(ino: int) -> bytes:
    """The handle of the file that is made `ino`-th; the root is number 1."""
    generation = 0 if ino == 1 else GENERATION
    return FileHandles(KEY).pack(Export("/", MemoryBackend()).number, ino, generation)


def item(
    name: str, args: Any = None, program: Program = NFS3_PROGRAM, credential: int = 0
) -> bytes:
    """An item of an input."""
    table = choices()
    index = next(n for n, c in enumerate(table) if c.program is program and c.proc.name == name)
    body = xdr.encode(table[index].proc.encode_args, args)
    return struct.pack(">BBH", index + 1, credential, len(body)) + body


def _nfs_seeds() -> Iterator[list[bytes]]:
    root, file, sub, link = (handle(n) for n in (1, 2, 3, 4))
    keep = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)
    sattr = x.sattr3(0o777, None, None, None, *keep)
    new = x.createhow3(x.UNCHECKED, sattr)
    at = x.diropargs3
    make = [
        item("CREATE", x.CREATE3args(at(root, b"file"), new)),
        item("MKDIR", x.MKDIR3args(at(root, b"sub"), sattr)),
        item("SYMLINK", x.SYMLINK3args(at(root, b"link"), x.symlinkdata3(sattr, b"file"))),
        item("WRITE", x.WRITE3args(file, 5, 9, x.UNSTABLE, b"some data")),
    ]
    yield [
        *make,
        item("GETATTR", x.GETATTR3args(file)),
        item("ACCESS", x.ACCESS3args(file, 63), credential=1),
        item("READ", x.READ3args(file, 0, 100)),
        item("COMMIT", x.COMMIT3args(file, 0, 0)),
        item("READLINK", x.READLINK3args(link)),
        item("LOOKUP", x.LOOKUP3args(at(sub, b".."))),
        item("READDIR", x.READDIR3args(root, 0, bytes(8), 4096)),
        item("READDIRPLUS", x.READDIRPLUS3args(root, 3, bytes(8), 512, 4096)),
        item("FSSTAT", x.FSSTAT3args(root)),
        item("FSINFO", x.FSINFO3args(root)),
        item("PATHCONF", x.PATHCONF3args(root)),
    ]
    times = x.set_atime(x.SET_TO_CLIENT_TIME, x.nfstime3(1, 2)), x.set_mtime(x.SET_TO_SERVER_TIME)
    big = x.sattr3(0o600, 1000, 1000, 1 << 40, *times)
    exclusive = x.createhow3(x.EXCLUSIVE, b"verifier")
    yield [
        *make,
        item("SETATTR", x.SETATTR3args(file, big, None)),
        item("SETATTR", x.SETATTR3args(file, big, x.nfstime3(1, 1))),
        item("READ", x.READ3args(file, (1 << 40) - 8, 1 << 20)),
        item("CREATE", x.CREATE3args(at(sub, b"once"), exclusive)),
        item("CREATE", x.CREATE3args(at(sub, b"once"), exclusive)),
        item("MKNOD", x.MKNOD3args(at(sub, b"pipe"), x.mknoddata3(x.NF3FIFO, sattr))),
        item("LINK", x.LINK3args(file, at(sub, b"second"))),
        item("RENAME", x.RENAME3args(at(root, b"sub"), at(sub, b"within itself"))),
        item("RENAME", x.RENAME3args(at(root, b"file"), at(sub, b"moved"))),
        item("REMOVE", x.REMOVE3args(at(sub, b"second"))),
        item("RMDIR", x.RMDIR3args(at(root, b"sub"))),
        item("READDIR", x.READDIR3args(sub, 2, bytes(8), 180)),
        item("WRITE", x.WRITE3args(file, 2**63 - 1, 4, x.FILE_SYNC, b"data")),
        item("READ", x.READ3args(file, 2**64 - 1, 2**32 - 1)),
    ]


def _other_seeds() -> Iterator[list[bytes]]:
    path = b"/sub"
    for program in (MOUNT_V3, MOUNT_V1):
        yield [
            item("MNT", b"/", program),
            item("MNT", path, program, 1),
            item("DUMP", None, program),
            item("EXPORT", None, program),
            item("UMNT", b"/", program),
            item("UMNTALL", None, program),
        ]
    v2, v4 = portmap_xdr.PMAP_VERS, portmap_xdr.RPCBVERS4
    mapping = portmap_xdr.mapping(100003, 3, 6, 2049)
    rpcb = portmap_xdr.rpcb(100003, 3, b"tcp", b"0.0.0.0.8.1", b"me")
    yield [
        *(item(name, mapping, v2) for name in ("SET", "GETPORT", "UNSET")),
        item("DUMP", None, v2),
        *(item(name, rpcb, v4) for name in ("SET", "GETADDR", "GETVERSADDR", "GETADDRLIST")),
        item("UADDR2TADDR", b"127.0.0.1.8.1", v4),
        item("TADDR2UADDR", portmap_xdr.netbuf(16, b"\2\0\x08\1\x7f\0\0\1" + bytes(8)), v4),
        *(item(name, None, v4) for name in ("DUMP", "GETSTAT", "GETTIME")),
        item("UNSET", rpcb, v4),
    ]


def seeds() -> Iterable[bytes]:
    """Conversations with each program, and the golden calls of all, as they are."""
    for number, talk in enumerate([*_nfs_seeds(), *_other_seeds()]):
        yield bytes((number,)) + b"".join(talk)
    raw = [struct.pack(">BBH", 0, 0, len(v.data)) + v.data for v in vectors("call")]
    for start in range(0, len(raw), 20):
        yield bytes((start & 3,)) + b"".join(raw[start : start + 20])


WORDS = (
    *(handle(ino) for ino in range(1, 7)),
    *(struct.pack(">I", n) for n in (0, 1, 2, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)),
    *(struct.pack(">Q", n) for n in (2, 1 << 32, 2**63 - 1, 2**63, 2**64 - 1)),
    b"\0\0\0\1.\0\0\0",
    b"\0\0\0\2..\0\0",
    b"\0\0\0\4file",
    b"\0\0\0\3sub\0",
    b"\0\0\0\3a/b\0",
)

#: A READ may ask for a mebibyte of a file without data; an input may ask for many.
TARGETS = (Target("server", server, seeds, 6000, WORDS, heap_bytes=48 << 20, cost=2),)
