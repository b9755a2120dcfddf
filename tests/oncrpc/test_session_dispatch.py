"""Sessions in the dispatcher: calls as bytes, transports that keep what they are sent."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from echo import ECHO_V2, PROCS, Echo

from oncrpc.call import LATER, Call, Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.drc import DuplicateRequestCache
from oncrpc.errors import AuthError, AuthStat, GarbageArgs
from oncrpc.limits import AUTH_BODY_BYTES
from oncrpc.message import (
    NO_VERIFIER,
    NOBODY,
    Credential,
    SessionAuth,
    call_header,
    read_call,
    read_reply,
)
from oncrpc.program import ProcFlag
from oncrpc.ring import Ring
from oncrpc.session import Sessions
from oncrpc.session_xdr import AUTH_SESSION, SESSION_PROGRAM, SESSION_V1, decode_session_bound
from oncrpc.testing import Capture
from oncrpc.xdr import decode

JOE = Credential(1, 1000, 1000, (4, 5), b"host")
START = b"\0" * 7 + b"\1"
CLIENT = b"client's nonce.."


class Counter(Echo):
    """Answers with how often it was executed."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Call] = []
        self.seen: list[Credential] = []
        self.intents = 0

    async def intent(self, call: Call, args: Any) -> bytes | None:
        self.intents += 1
        return b"facts"

    async def ECHO(self, call: Call, args: Any) -> bytes:
        self.calls += 1
        self.seen.append(call.credential)
        if args == b"not kept":
            call.nocache()
        return b"%d" % self.calls

    async def CALL_BACK(self, call: Call, args: Any) -> Any:
        self.calls += 1
        self.held.append(call)
        return LATER


class World:
    def __init__(self, required: bool = True, cache: DuplicateRequestCache | None = None) -> None:
        self.service = Counter()
        self.sessions = Sessions(required, start=START)
        self.dispatcher = Dispatcher()
        flags = {} if cache is None else {"ECHO": ProcFlag.CACHE_REPLY}
        program = ECHO_V2.flagged(flags)
        self.dispatcher.add(program, self.service, cache=cache, sessions=self.sessions)
        self.server = self.sessions.bind(CLIENT, "10.0.0.1").server

    def auth(self, seq: int, seq_rep: int = 0, **fields: Any) -> SessionAuth:
        return SessionAuth(CLIENT, self.server, seq, seq_rep)._replace(**fields)

    def send(
        self,
        auth: SessionAuth | None,
        args: bytes = b"",
        proc: str = "ECHO",
        xid: int = 77,
        credential: Credential = NOBODY,
        port: int = 700,
    ) -> Capture:
        to = Capture(Peer("10.0.0.1", port))
        own = credential.pack()
        packed = own + NO_VERIFIER if auth is None else auth.pack(own)
        head = call_header(xid, ECHO_V2.number, 2, PROCS[proc].number, packed, b"")
        body = struct.pack(">I", len(args)) + args + bytes(-len(args) & 3)
        self.dispatcher.dispatch(head + body, to)
        return to

    def ask(self, *args: Any, **kwargs: Any) -> bytes:
        """The result of the one reply. Raises Refusal."""
        (reply,) = self.send(*args, **kwargs).sent
        xid, pos = read_reply(reply)
        assert xid == kwargs.get("xid", 77)
        return bytes(decode(PROCS["ECHO"].decode_result, reply, pos))

    def refused(self, *args: Any, **kwargs: Any) -> AuthStat | int:
        with pytest.raises(AuthError) as error:
            self.ask(*args, **kwargs)
        return error.value.stat


def test_a_duplicate_gets_the_same_reply_under_its_own_xid_from_anywhere() -> None:
    w = World()
    first = w.send(w.auth(1)).sent
    assert w.send(w.auth(1)).sent == first
    assert w.ask(w.auth(1), xid=78, port=999) == b"1"
    assert w.ask(w.auth(2)) == b"2"
    assert w.ask(w.auth(1)) == b"1"
    assert (w.service.calls, w.sessions.statistics.done) == (2, 3)


def test_out_of_order_both_are_executed() -> None:
    w = World()
    assert [w.ask(w.auth(seq)) for seq in (2, 1, 4, 3, 1, 2)] == [
        b"1", b"2", b"3", b"4", b"2", b"1",
    ]  # fmt: skip


def test_what_is_acknowledged_is_freed_and_refused_from_then_on() -> None:
    w = World()
    w.ask(w.auth(1))
    w.ask(w.auth(2))
    kept = w.sessions.bytes
    assert w.ask(w.auth(3, 1)) == b"3"
    assert w.sessions.bytes == kept
    assert w.refused(w.auth(1)) is AuthStat.REJECTEDVERF
    assert w.ask(w.auth(2)) == b"2"
    w.ask(w.auth(9, 8, owed=(2, 5)))
    assert w.ask(w.auth(2)) == b"2"
    assert w.ask(w.auth(5, 4)) == b"5"  # owed, and it comes now
    assert w.refused(w.auth(4)) is AuthStat.REJECTEDVERF  # given up before it came
    assert w.service.calls == 5


def test_in_progress_it_is_answered_where_it_came_from_last() -> None:
    async def main() -> None:
        w = World()
        old = w.send(w.auth(1), proc="CALL_BACK")
        new = w.send(w.auth(1), proc="CALL_BACK", xid=78, port=999)
        assert len(w.service.held) == 1
        w.service.held[0].reply(b"done")
        assert (old.sent, len(new.sent)) == ([], 1)
        assert read_reply(new.sent[0])[0] == 78
        assert w.send(w.auth(1), proc="CALL_BACK", xid=78).sent == new.sent
        # Acknowledged while it is in progress: its client has given it up.
        late = w.send(w.auth(2), proc="CALL_BACK")
        w.send(w.auth(3, 2))
        kept = w.sessions.bytes
        w.service.held[1].reply(b"done")
        assert len(late.sent) == 1
        assert w.sessions.bytes == kept
        assert w.refused(w.auth(2), proc="CALL_BACK") is AuthStat.REJECTEDVERF

    asyncio.run(main())


def test_a_call_for_another_start_is_refused_and_not_executed() -> None:
    w = World()
    other = START[:7] + b"\2" + w.server[8:]
    assert w.refused(w.auth(1, server=other)) is AuthStat.REJECTEDCRED
    assert w.refused(w.auth(1, server=START + b"\xff" * 8)) is AuthStat.REJECTEDVERF
    assert w.refused(w.auth(1, client=bytes(16))) is AuthStat.REJECTEDVERF
    assert not w.service.calls


def test_the_credential_within_is_what_the_handler_sees() -> None:
    w = World()
    w.ask(w.auth(1), credential=JOE)
    w.ask(w.auth(2), credential=JOE)
    w.ask(w.auth(3))
    joe, again, nobody = w.service.seen
    assert (joe.uid, joe.gid, joe.groups, joe.machine) == (1000, 1000, (4, 5), b"host")
    assert joe is again  # services remember what they made of a credential
    assert nobody.flavor == 0


def test_a_full_credential_and_verifier_fit() -> None:
    own = Credential(1, 2**32 - 1, 2**32 - 1, tuple(range(16)), b"h" * 255)
    auth = SessionAuth(CLIENT, CLIENT, 2**64 - 1, 2**64 - 2, list(range(32)))
    packed = auth.pack(own.pack())
    (size,) = struct.unpack_from(">I", packed, 4)
    assert max(size, len(packed) - size - 16) <= AUTH_BODY_BYTES
    header = read_call(call_header(1, 2, 3, 4, packed, b""))
    assert header.session == auth
    assert header.credential.groups == own.groups


def test_on_the_wire() -> None:
    """By hand, from session.x and RFC 5531 section 9."""
    wire = """
        00000001 00000000 00000002 00000003 00000004 00000005
        20534553 0000003c 63636363636363636363636363636363 73737373737373737373737373737373
                 00000001 00000014 00000009 00000000 000003e8 00000064 00000000
        20534553 0000001c 0000000000000007 0000000000000006 00000001 0000000000000002
    """
    auth = SessionAuth(b"c" * 16, b"s" * 16, 7, 6, [2])
    own = Credential(1, 1000, 100, (), b"", 9)
    assert call_header(1, 3, 4, 5, auth.pack(own.pack()), b"").hex() == "".join(wire.split())
    header = read_call(bytes.fromhex(wire))
    assert header.session == auth
    assert (header.program, header.version, header.proc, header.pos) == (3, 4, 5, 128)
    assert (header.credential.uid, header.credential.gid) == (1000, 100)


def test_a_verifier_of_another_flavor() -> None:
    w = World()
    packed = w.auth(1).pack(NOBODY.pack())
    at = 8 + struct.unpack_from(">I", packed, 4)[0]
    packed = packed[:at] + struct.pack(">I", 1) + packed[at + 4 :]
    with pytest.raises(AuthError, match="BADVERF"):
        read_call(call_header(1, ECHO_V2.number, 2, 1, packed, b""))


def test_without_a_session() -> None:
    w = World()
    assert w.refused(None) is AuthStat.TOOWEAK
    assert not w.service.calls
    # Procedure 0 is for whoever looks whether the program is there.
    to = Capture()
    w.dispatcher.dispatch(call_header(1, ECHO_V2.number, 2, 0, NOBODY.pack()), to)
    assert read_reply(to.sent[0])
    lenient = World(required=False)
    assert [lenient.ask(None) for _ in range(3)] == [b"1", b"2", b"3"]
    assert lenient.ask(lenient.auth(1)) == b"4"
    assert lenient.ask(lenient.auth(1)) == b"4"


def test_programs_without_sessions_refuse_them() -> None:
    w = World()
    w.dispatcher = Dispatcher()
    w.dispatcher.add(ECHO_V2, w.service)
    assert w.refused(w.auth(1)) is AuthStat.REJECTEDCRED
    assert not w.service.calls


def test_ordinary_calls_are_remembered_as_before_and_calls_of_sessions_are_not() -> None:
    w = World(required=False)
    w.ask(None)
    assert len(w.dispatcher._memo) == 1
    for seq in range(1, 10):
        w.ask(w.auth(seq, seq - 1))
    assert len(w.dispatcher._memo) == 1


@pytest.mark.parametrize("verifier", [NO_VERIFIER, struct.pack(">2I", AUTH_SESSION, 0), b""])
def test_a_broken_verifier(verifier: bytes) -> None:
    w = World()
    packed = w.auth(1).pack(NOBODY.pack())
    (size,) = struct.unpack_from(">I", packed, 4)
    to = Capture()
    head = call_header(1, ECHO_V2.number, 2, 1, packed[: 8 + size], verifier)
    w.dispatcher.dispatch(head + (b"\0" * 4 if verifier else b""), to)
    with pytest.raises((AuthError, GarbageArgs)):
        read_reply(to.sent[0])
    assert not w.service.calls


@pytest.mark.parametrize("cut", range(0, 116, 4))
def test_a_call_that_ends_too_soon(cut: int) -> None:
    w = World()
    head = call_header(1, ECHO_V2.number, 2, 1, w.auth(1).pack(NOBODY.pack()), b"")
    to = Capture()
    w.dispatcher.dispatch(head[: 8 + cut], to)
    assert len(to.sent) == 1
    assert not w.service.calls
    assert w.ask(w.auth(1)) == b"1"


def test_broken_arguments_are_refused_and_no_call_of_the_session() -> None:
    w = World()
    head = call_header(1, ECHO_V2.number, 2, 1, w.auth(1).pack(NOBODY.pack()), b"")
    to = Capture()
    w.dispatcher.dispatch(head + b"\0\0\1\0", to)
    with pytest.raises(GarbageArgs):
        read_reply(to.sent[0])
    assert w.ask(w.auth(1)) == b"1"


def test_another_call_under_the_number_is_refused() -> None:
    w = World()
    assert w.ask(w.auth(1), b"these") == b"1"
    assert w.refused(w.auth(1), b"those") is AuthStat.BADVERF
    assert w.refused(w.auth(1), b"these", proc="REFUSE") is AuthStat.BADVERF
    assert w.ask(w.auth(1), b"these") == b"1"


def test_a_handler_that_fails_has_executed_and_one_that_wishes_has_not() -> None:
    w = World()
    failed = w.send(w.auth(1), proc="FAIL").sent
    assert w.send(w.auth(1), proc="FAIL").sent == failed
    assert w.sessions.statistics.done == 1
    assert w.ask(w.auth(2), b"not kept") == b"1"
    assert w.ask(w.auth(2), b"not kept") == b"2"


def test_the_session_keeps_what_the_cache_would() -> None:
    cache = DuplicateRequestCache(Ring(bytearray(1 << 16), 1 << 12))
    w = World(required=False, cache=cache)
    assert w.ask(None) == w.ask(None) == b"1"
    assert (len(cache), w.service.intents) == (1, 1)
    assert w.ask(w.auth(1)) == w.ask(w.auth(1), xid=5) == b"2"
    assert (len(cache), w.service.intents) == (1, 1)


def test_binding_over_the_wire() -> None:
    w = World()
    assert (SESSION_PROGRAM, 1) in w.dispatcher.programs

    def bind(nonce: bytes) -> Any:
        to = Capture()
        head = call_header(1, SESSION_V1.number, 1, 1, NOBODY.pack())
        w.dispatcher.dispatch(head + nonce, to)
        return decode(decode_session_bound, to.sent[0], read_reply(to.sent[0])[1])

    assert bind(CLIENT).server == w.server
    assert bind(b"x" * 16).server != w.server


def test_programs_share_the_sessions_of_their_server() -> None:
    w = World()
    other = ECHO_V2.__class__("OTHER", 0x20000009, 1, ECHO_V2.procs)
    with pytest.raises(ValueError, match="share"):
        w.dispatcher.add(other, Counter(), sessions=Sessions())
    w.dispatcher.add(other, Counter(), sessions=w.sessions)
