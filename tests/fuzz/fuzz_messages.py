"""Targets: record marking, headers of calls and replies, a client's calls, file handles."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Iterator
from functools import cache

from fuzz_kinds import ROOT, Broken, Target, expect

# isort: split
import golden_vectors
import xdrlib3

from backends.base import FsError, Status
from nfsloop.handle import FileHandles
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from oncrpc import errors, message
from oncrpc.pending import Calls, Pending
from oncrpc.record import RecordReader, Scratch, mark
from oncrpc.rpcgen import dynamic
from oncrpc.session_xdr import AUTH_SESSION

VECTORS = ("rpc.txt", "nfs3.txt", "mount.txt", "nlm4.txt")


def vectors(*kinds: str) -> Iterator[golden_vectors.Vector]:
    """All golden messages of some kinds."""
    for name in VECTORS:
        for vector in golden_vectors.load(name).values():
            if vector.kind in kinds:
                yield vector


# -- records

RECORD_LIMIT = 2048
SCRATCH = 4096


def plain_records(data: bytes) -> tuple[list[bytes], bool]:
    """The records of a whole stream, and whether one breaks the limit: the plain reading of RFC
    5531 section 11."""
    records: list[bytes] = []
    gathered, pos = b"", 0
    while pos + 4 <= len(data):
        (word,) = struct.unpack_from(">I", data, pos)
        length = word & 0x7FFFFFFF
        if len(gathered) + length > RECORD_LIMIT:
            return records, True
        if pos + 4 + length > len(data):
            break
        gathered += data[pos + 4 : pos + 4 + length]
        pos += 4 + length
        if word & 0x80000000:
            records.append(gathered)
            gathered = b""
    return records, False


def record(data: bytes) -> None:
    """The first byte says how many of the next are sizes of pieces; the rest is the stream."""
    count = data[0] & 15 if data else 0
    sizes = [1 + size * 5 for size in data[1 : 1 + count]] or [SCRATCH]
    stream = data[1 + count :]
    wanted, broken = plain_records(stream)
    reader = RecordReader(Scratch(SCRATCH), RECORD_LIMIT)
    records: list[bytes] = []
    pos = piece = 0
    try:
        while pos < len(stream):
            space = reader.space()
            most = max(SCRATCH, 65536 + 4096 + 8 * (reader.pending + RECORD_LIMIT))
            expect(0 < len(space) <= most, f"space of {len(space)} bytes")
            take = stream[pos : pos + min(len(space), sizes[piece % len(sizes)])]
            space[: len(take)] = take
            pos += len(take)
            piece += 1
            reader.received(len(take))
            for found in reader.records():
                records.append(bytes(found))
            reader.settle()
    except errors.RecordError:
        expect(broken, "RecordError for a stream within the limit")
    else:
        expect(not broken, "a record over the limit was let in")
    expect(records == wanted, f"{len(records)} records, {len(wanted)} by the plain reading")


def record_seeds() -> Iterable[bytes]:
    """Golden streams whole, in bytes, and in odd pieces."""
    cuts = (b"\0", b"\1\0", b"\3\0\1\2", b"\2\7\63")
    streams = [vector.data for vector in vectors("record")]
    streams += [mark(len(v.data)) + v.data for v in list(vectors("call"))[::9]]
    streams += [struct.pack(">I", 0x80000000) * 9, b"\xff" * 8, struct.pack(">I", 1) + b"x"]
    return [cuts[n % len(cuts)] + stream for n, stream in enumerate(streams)]


# -- calls


def plain_call(data: bytes) -> message.CallHeader | None:
    """A call's header through xdrlib3, or None for what is to be refused."""
    unpacker = xdrlib3.Unpacker(data)
    try:
        xid, kind, rpcvers, program, version, proc = (unpacker.unpack_uint() for _ in range(6))
        flavor, body = unpacker.unpack_uint(), unpacker.unpack_opaque()
        verifier = unpacker.unpack_uint(), unpacker.unpack_opaque()
        pos = unpacker.get_position()
        if (kind, rpcvers) != (0, 2) or len(body) > 400:
            return None
        if flavor == AUTH_SESSION:
            return _plain_session((xid, program, version, proc), body, verifier, pos)
        credential = plain_credential(flavor, body)
    except (EOFError, xdrlib3.Error, errors.XdrError):
        return None
    if credential is None or verifier != (message.AUTH_NONE, b""):
        return None
    return message.CallHeader(xid, program, version, proc, credential, pos)


def plain_credential(flavor: int, body: bytes) -> message.Credential | None:
    """A credential through xdrlib3."""
    if flavor == message.AUTH_NONE:
        return None if body else message.NOBODY
    if flavor != message.AUTH_SYS:
        return None
    inner = xdrlib3.Unpacker(body)
    stamp, machine = inner.unpack_uint(), inner.unpack_string()
    uid, gid, count = inner.unpack_uint(), inner.unpack_uint(), inner.unpack_uint()
    if count > 16 or len(machine) > 255:
        return None
    groups = tuple(inner.unpack_uint() for _ in range(count))
    inner.done()
    return message.Credential(flavor, uid, gid, groups, machine, stamp)


@cache
def _sessions() -> dynamic.Module:
    return dynamic.load(ROOT / "oncrpc/session.x")


def _plain_session(
    head: tuple[int, int, int, int], body: bytes, verifier: tuple[int, bytes], pos: int
) -> message.CallHeader | None:
    cred = _sessions().decode("session_cred", body)
    verf = _sessions().decode("session_verf", verifier[1])
    credential = plain_credential(cred.flavor, cred.body)
    if credential is None or verifier[0] != AUTH_SESSION:
        return None
    session = message.SessionAuth(cred.client, cred.server, verf.seq, verf.seq_rep, verf.owed)
    return message.CallHeader(*head, credential, pos, session)


def _same(left: message.CallHeader, right: message.CallHeader) -> bool:
    packed = left.credential.pack() == right.credential.pack()
    return left[:4] == right[:4] and packed and left.session == right.session


def call(data: bytes) -> None:
    """A header is what the plain reading finds; a good one is made again by `call_header`."""
    got: message.CallHeader | None = None
    try:
        got = message.read_call(data)
    except (errors.Refusal, errors.MessageError) as exc:
        if isinstance(exc, errors.Refusal):
            _refusal(message.read_xid(data), exc)
    wanted = plain_call(data)
    if got is None or wanted is None:
        expect(got is wanted, f"read_call: {got}, xdrlib3: {wanted}")
        return
    expect(_same(got, wanted) and got.pos == wanted.pos, f"read_call: {got}, xdrlib3: {wanted}")
    packed, verifier = got.credential.pack(), message.NO_VERIFIER
    if got.session is not None:
        packed, verifier = got.session.pack(packed), b""
    head = message.call_header(*got[:4], packed, verifier)
    again = message.read_call(memoryview(head + data[got.pos :]))
    expect(_same(again, got) and again.pos == len(head), "a header that does not come back")


def _refusal(xid: int, why: errors.Refusal) -> None:
    """What refuses a call on the wire is the same again when it is read."""
    wire = message.refusal(xid, why)
    try:
        message.read_reply(wire)
    except errors.Refusal as again:
        expect(type(again) is type(why) and vars(again) == vars(why), f"{why!r} became {again!r}")
    else:
        raise Broken(f"{why!r} became a success")


def call_seeds() -> Iterable[bytes]:
    """Every golden call's header, with a few bytes of its arguments."""
    yield from {vector.data[:160] for vector in vectors("call")}
    who = message.Credential(message.AUTH_SYS, 1000, 100, (4, 24), b"fuzz", 7).pack()
    for credential in (who, message.NOBODY.pack()):
        auth = message.SessionAuth(bytes(range(16)), bytes(range(16)), 7, 3, (4, 5))
        yield message.call_header(1, 100003, 3, 1, auth.pack(credential), b"") + b"args"


# -- replies


def reply(data: bytes) -> None:
    """A reply is a success with its place, a refusal, or none."""
    try:
        xid, pos = message.read_reply(data)
    except errors.Refusal as exc:
        if not isinstance(exc, errors.AuthError) or isinstance(exc.stat, errors.AuthStat):
            _refusal(int.from_bytes(data[:4]), exc)
        return
    except errors.MessageError:
        return
    expect(24 <= pos <= len(data), f"a result at {pos} of {len(data)}")
    expect(message.read_reply(memoryview(data)) == (xid, pos), "a view reads otherwise")
    unpacker = xdrlib3.Unpacker(data)
    head = [unpacker.unpack_uint() for _ in range(4)]
    unpacker.unpack_opaque()
    stat = unpacker.unpack_uint()
    expect(head[:3] == [xid, 1, 0] and stat == 0, f"{head} {stat} read as a success")
    expect(pos == unpacker.get_position(), "another place by xdrlib3")


def reply_seeds() -> Iterable[bytes]:
    """Every golden reply's head."""
    return {vector.data[:64] for vector in vectors("reply")}


# -- what a server sends a client

WINDOW = 2
CALLS = 4


def client(data: bytes) -> None:
    """Whatever comes, each call ends at most once, by its own reply, with a result or an RpcError.

    The first byte says whether the transport is reliable; then come messages, their length in two
    bytes before them, to calls of the xids 0 to 3.
    """
    loop, sent = _loop(), list[Pending]()
    calls = Calls(WINDOW, "tcp 192.0.2.1:2049", sent.append)
    made = [Pending(xid, NFS_V3, NFS_V3.procs[1], loop.create_future(), 0) for xid in range(CALLS)]
    for one in made:
        calls.start(one)
    pos = 1
    while pos + 2 <= len(data):
        size = int.from_bytes(data[pos : pos + 2])
        reply, pos = data[pos + 2 : pos + 2 + size], pos + 2 + size
        before = [one.xid for one in made if one.future.done()]
        calls.received(memoryview(reply), bool(data[0] & 1))
        ended = [one.xid for one in made if one.future.done() and one.xid not in before]
        expect(ended in ([], [int.from_bytes(reply[:4])]), f"{reply!r} ended {ended}")
    expect(len(calls.outstanding) == min(WINDOW, sum(not one.future.done() for one in made)), "")
    for one in made:
        failure = one.future.exception() if one.future.done() else None
        expect(isinstance(failure, (errors.RpcError, type(None))), f"{failure!r}")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def client_seeds() -> Iterable[bytes]:
    """Golden replies under the xids of calls."""
    replies = sorted(reply_seeds())
    for start in range(0, len(replies), 8):
        mine = [bytes((0, 0, 0, n & 3)) + one[4:] for n, one in enumerate(replies[start:][:8])]
        yield bytes((start & 1,)) + b"".join(struct.pack(">H", len(one)) + one for one in mine)


# -- handles

KEY = bytes(range(32))


def handle(data: bytes) -> None:
    """A handle is one that was made with the key, or BADHANDLE."""
    handles = FileHandles(KEY)
    try:
        export, key = handles.unpack(data)
    except FsError as exc:
        expect(exc.status is Status.BADHANDLE, f"{exc!r} for a handle that is none")
        return
    expect(handles.pack(export, *key) == data, "a handle that is not packed so")


def handle_seeds() -> Iterable[bytes]:
    """Handles of small and large numbers, and ones that are too long and too short."""
    made = FileHandles(KEY)
    good = [made.pack(1, 1, 0), made.pack(2**32 - 1, 2**64 - 1, 2**64 - 1)]
    return [*good, good[0][:-1], good[0] + b"\0", b"", bytes(32), bytes(64)]


_FLAVORS = tuple(struct.pack(">I", n) for n in (0, 1, 2, 3, 6, 400, 401, AUTH_SESSION))

TARGETS = (
    Target("record", record, record_seeds, words=(mark(0), mark(4), b"\0\0\0\4")),
    Target("call", call, call_seeds, 640, _FLAVORS),
    Target("reply", reply, reply_seeds, 640, _FLAVORS),
    Target("client", client, client_seeds, 1024, _FLAVORS),
    Target("handle", handle, handle_seeds, 80),
)
