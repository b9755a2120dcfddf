"""RPC messages (RFC 5531 section 9): call headers in, reply headers out, credentials between."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from oncrpc.errors import (
    AcceptedRefusal,
    AcceptStat,
    AuthError,
    AuthStat,
    GarbageArgs,
    MessageError,
    ProcUnavail,
    ProgMismatch,
    ProgUnavail,
    Refusal,
    RejectStat,
    RpcMismatch,
    SystemErr,
    XdrError,
)
from oncrpc.limits import (
    AUTH_BODY_BYTES,
    AUTH_SYS_GROUPS,
    AUTH_SYS_NAME_BYTES,
    CHECKSUM_BYTES,
    CREDENTIAL_MEMO_ENTRIES,
)
from oncrpc.session_xdr import (
    AUTH_SESSION,
    decode_session_cred,
    decode_session_verf,
    encode_session_cred,
    encode_session_verf,
    session_cred,
    session_verf,
)
from oncrpc.xdr import PAD, Buffer, decode, encode

RPC_VERSION = 2
CALL = 0
REPLY = 1
MSG_ACCEPTED = 0
MSG_DENIED = 1

AUTH_NONE = 0
AUTH_SYS = 1

_CALL_HEAD = struct.Struct(">8I")  # xid CALL rpcvers prog vers proc, cred flavor and length
_TWO = struct.Struct(">2I")
_THREE = struct.Struct(">3I")
_unpack_call_head = _CALL_HEAD.unpack_from
_unpack_two = _TWO.unpack_from

#: The opaque_auth of AUTH_NONE.
NO_VERIFIER = _TWO.pack(AUTH_NONE, 0)

#: ``success(xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, SUCCESS)``: the header of a successful reply.
success = struct.Struct(">6I").pack


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """Who a call says it comes from: AUTH_NONE, or AUTH_SYS parameters (RFC 5531 appendix A)."""

    flavor: int = AUTH_NONE
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    machine: bytes = b""
    stamp: int = 0

    def pack(self) -> bytes:
        """The opaque_auth that carries it. Raises XdrError for what AUTH_SYS cannot carry."""
        if self.flavor == AUTH_NONE:
            return _TWO.pack(AUTH_NONE, 0)
        if len(self.machine) > AUTH_SYS_NAME_BYTES or len(self.groups) > AUTH_SYS_GROUPS:
            raise XdrError("AUTH_SYS: machine name or groups too long")
        size = len(self.machine)
        body = b"".join(
            (
                _TWO.pack(self.stamp, size),
                self.machine,
                PAD[size & 3],
                _THREE.pack(self.uid, self.gid, len(self.groups)),
                struct.pack(f">{len(self.groups)}I", *self.groups),
            )
        )
        return _TWO.pack(self.flavor, len(body)) + body


NOBODY = Credential()


class SessionAuth(NamedTuple):
    """Which call of which session a call is: see session.x for the fields."""

    client: bytes
    server: bytes
    seq: int
    seq_rep: int
    owed: Sequence[int] = ()

    def pack(self, credential: bytes) -> bytes:
        """The two opaque_auths of a call whose own credential is the opaque_auth `credential`."""
        flavor, size = _unpack_two(credential, 0)
        cred = session_cred(self.client, self.server, flavor, credential[8 : 8 + size])
        verf = session_verf(self.seq, self.seq_rep, list(self.owed))
        bodies = encode(encode_session_cred, cred), encode(encode_session_verf, verf)
        return b"".join(_TWO.pack(AUTH_SESSION, len(body)) + body for body in bodies)


class CallHeader(NamedTuple):
    """A call's header; its arguments start at `pos`."""

    xid: int
    program: int
    version: int
    proc: int
    credential: Credential
    pos: int
    #: If the call is one of a session; `credential` is the one within then.
    session: SessionAuth | None = None


def read_xid(buf: Buffer) -> int:
    """The xid of a call, all that is needed to refuse it. Raises MessageError if it is no call."""
    try:
        xid, kind = _unpack_two(buf, 0)
    except struct.error:
        raise MessageError(f"{len(buf)} bytes are no RPC message") from None
    if kind != CALL:
        raise MessageError("a reply where a call belongs")
    return int(xid)


def read_call(buf: Buffer) -> CallHeader:
    """Read a call's header in full.

    Raises RpcMismatch, AuthError, GarbageArgs (to be answered), MessageError (not to be).
    """
    xid = read_xid(buf)
    if len(buf) >= 12 and _unpack_two(buf, 4)[1] != RPC_VERSION:
        raise RpcMismatch
    try:
        _, _, _, prog, vers, proc, flavor, length = _unpack_call_head(buf, 0)
        stop = 32 + length
        pos = stop + len(PAD[length & 3])
        verifier = _unpack_two(buf, pos)
    except struct.error:
        raise GarbageArgs from None
    if length > AUTH_BODY_BYTES:
        raise AuthError(AuthStat.BADCRED)
    if flavor == AUTH_SESSION:
        start, pos = pos + 8, pos + 8 + verifier[1]
        if pos > len(buf):
            raise GarbageArgs
        credential, session = _read_session(buf[32:stop], verifier[0], buf[start:pos])
        return CallHeader(xid, prog, vers, proc, credential, pos, session)
    credential = _remembered(flavor, bytes(buf[32:stop]))
    if verifier != (AUTH_NONE, 0):
        raise AuthError(AuthStat.BADVERF)
    return CallHeader(xid, prog, vers, proc, credential, pos + 8)


def read_credential(flavor: int, body: Buffer) -> Credential:
    """A credential from its opaque_auth. Raises AuthError.

    An AUTH_NONE with a body, and a malformed AUTH_SYS, are BADCRED; any other flavour is
    REJECTEDCRED, as it would be with each later try (RFC 5531 section 9).
    """
    if flavor == AUTH_NONE:
        if len(body):
            raise AuthError(AuthStat.BADCRED)
        return NOBODY
    if flavor != AUTH_SYS:
        raise AuthError(AuthStat.REJECTEDCRED)
    try:
        stamp, size = _unpack_two(body, 0)
        machine = bytes(body[8 : 8 + size])
        pos = 8 + size + len(PAD[size & 3])
        uid, gid, count = _THREE.unpack_from(body, pos)
        pos += 12
        if size > AUTH_SYS_NAME_BYTES or count > AUTH_SYS_GROUPS or pos + 4 * count != len(body):
            raise AuthError(AuthStat.BADCRED)
        groups = struct.unpack_from(f">{count}I", body, pos)
    except struct.error:
        raise AuthError(AuthStat.BADCRED) from None
    return Credential(AUTH_SYS, uid, gid, groups, machine, stamp)


#: Equal credentials share one `Credential`, since services remember what they made of it.
_remembered = lru_cache(CREDENTIAL_MEMO_ENTRIES)(read_credential)


def _read_session(body: Buffer, flavor: int, verifier: Buffer) -> tuple[Credential, SessionAuth]:
    """A session's call from the bodies of its opaque_auths, the second of that flavor.

    Raises AuthError.
    """
    try:
        cred = decode(decode_session_cred, body)
    except XdrError:
        raise AuthError(AuthStat.BADCRED) from None
    try:
        verf = decode(decode_session_verf, verifier)
    except XdrError:
        raise AuthError(AuthStat.BADVERF) from None
    if flavor != AUTH_SESSION:
        raise AuthError(AuthStat.BADVERF)
    session = SessionAuth(bytes(cred.client), bytes(cred.server), verf.seq, verf.seq_rep, verf.owed)
    return _remembered(cred.flavor, bytes(cred.body)), session


def checksum(record: Buffer, pos: int, bulk: bool) -> int:
    """What tells a call from others (32 bits): its procedure, and its arguments from `pos` on.

    Of `bulk` arguments only the first bytes are looked at, and their length.
    """
    size = len(record) - pos
    args = record[pos : pos + CHECKSUM_BYTES] if bulk else record[pos:]
    return crc32(args, crc32(record[12:24], size))


def call_header(
    xid: int,
    program: int,
    version: int,
    proc: int,
    credential: bytes,
    verifier: bytes = NO_VERIFIER,
) -> bytes:
    """The header of a call, with the opaque_auths `credential` and `verifier`."""
    head = struct.pack(">6I", xid, CALL, RPC_VERSION, program, version, proc)
    return b"".join((head, credential, verifier))


def refusal(xid: int, why: Refusal) -> bytes:
    """The whole reply that refuses a call (RFC 5531 section 9)."""
    if isinstance(why, RpcMismatch):
        return struct.pack(
            ">6I", xid, REPLY, MSG_DENIED, RejectStat.RPC_MISMATCH, why.low, why.high
        )
    if isinstance(why, AuthError):
        return struct.pack(">5I", xid, REPLY, MSG_DENIED, RejectStat.AUTH_ERROR, why.stat)
    assert isinstance(why, AcceptedRefusal)
    reply = struct.pack(">6I", xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, why.stat)
    return reply + _TWO.pack(why.low, why.high) if isinstance(why, ProgMismatch) else reply


_ACCEPTED: dict[int, type[AcceptedRefusal]] = {
    AcceptStat.PROG_UNAVAIL: ProgUnavail,
    AcceptStat.PROC_UNAVAIL: ProcUnavail,
    AcceptStat.GARBAGE_ARGS: GarbageArgs,
    AcceptStat.SYSTEM_ERR: SystemErr,
}


def read_reply(buf: Buffer) -> tuple[int, int]:
    """``(xid, pos)`` of a reply whose result starts at `pos`.

    Raises the `Refusal` that the reply is, or MessageError if it is no reply.
    """
    try:
        xid, kind, stat = _THREE.unpack_from(buf, 0)
        if kind != REPLY:
            raise MessageError("a call where a reply belongs")
        if stat == MSG_DENIED:
            raise _denied(buf)
        _, length = _unpack_two(buf, 12)
        pos = 20 + length + len(PAD[length & 3])
        (accept,) = struct.unpack_from(">I", buf, pos)
        if stat != MSG_ACCEPTED or length > AUTH_BODY_BYTES:
            raise MessageError("a malformed reply")
        if accept == AcceptStat.PROG_MISMATCH:
            raise ProgMismatch(*_unpack_two(buf, pos + 4))
    except struct.error:
        raise MessageError("a reply that ends too soon") from None
    if accept == AcceptStat.SUCCESS:
        return xid, pos + 4
    raise _ACCEPTED[accept] if accept in _ACCEPTED else MessageError(f"accept_stat {accept}")


def _denied(buf: Buffer) -> Refusal | MessageError:
    (stat,) = struct.unpack_from(">I", buf, 12)
    if stat == RejectStat.RPC_MISMATCH:
        return RpcMismatch(*_unpack_two(buf, 16))
    if stat == RejectStat.AUTH_ERROR:
        return AuthError(struct.unpack_from(">I", buf, 16)[0])
    return MessageError(f"reject_stat {stat}")
