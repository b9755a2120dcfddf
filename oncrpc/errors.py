"""The errors of ONC RPC: one tree, `RpcError`, and what each of them becomes on the wire.

A server raises a `Refusal` to answer a call with one of RFC 5531's refusals; a client gets the same
class raised from the reply, so both ends of a program speak of one failure by one name.
"""

from __future__ import annotations

from enum import IntEnum


class AcceptStat(IntEnum):
    """`accept_stat`, RFC 5531 section 9."""

    SUCCESS = 0
    PROG_UNAVAIL = 1
    PROG_MISMATCH = 2
    PROC_UNAVAIL = 3
    GARBAGE_ARGS = 4
    SYSTEM_ERR = 5


class RejectStat(IntEnum):
    """`reject_stat`, RFC 5531 section 9."""

    RPC_MISMATCH = 0
    AUTH_ERROR = 1


class AuthStat(IntEnum):
    """`auth_stat`, RFC 5531 section 9: why a call's credential or verifier was refused."""

    OK = 0
    BADCRED = 1
    REJECTEDCRED = 2
    BADVERF = 3
    REJECTEDVERF = 4
    TOOWEAK = 5
    INVALIDRESP = 6
    FAILED = 7
    KERB_GENERIC = 8
    TIMEEXPIRE = 9
    TKT_FILE = 10
    DECODE = 11
    NET_ADDR = 12
    RPCSEC_GSS_CREDPROBLEM = 13
    RPCSEC_GSS_CTXPROBLEM = 14


class RpcError(Exception):
    """The root of every error of the runtime."""


class XdrError(RpcError, ValueError):
    """Bytes that are no XDR of the wanted type, or a value that its type cannot carry (RFC 4506).

    In a call's arguments the server answers GARBAGE_ARGS; in a reply the client raises it as it is.
    """


class MessageError(RpcError):
    """Bytes that are no RPC message at all: nothing can be answered, the caller is unknown."""


class RecordError(RpcError):
    """A record mark that breaks a limit (RFC 5531 section 11): the stream cannot go on."""


class BadArguments(XdrError):
    """Arguments that their procedure cannot carry: the call was not sent."""


class BadResult(XdrError):
    """A successful reply whose result is none of its procedure's: the call was executed."""


class Unanswered(RpcError):
    """No reply came; the subclass says why."""

    #: True: the call was never sent, so it was surely not executed. Otherwise nobody knows.
    unsent: bool = False


class RpcTimeout(Unanswered, TimeoutError):
    """No reply came within the time that the caller allowed, or after the last retransmission."""


class ConnectionLost(Unanswered, ConnectionError):
    """The connection ended with the call outstanding, and could not be made again."""


class ConnectionRefused(Unanswered, ConnectionRefusedError):
    """Nobody listens there, or no way leads there.

    Over TCP the call was not sent. Over UDP the network's refusal does not say which datagram it
    means, so that an earlier transmission may have been executed.
    """


class ServerRestarted(RpcError):
    """The server is not the one that the session was bound to: it restarted, and forgot it.

    Whether the call was executed by the old one is not known. Bind again to go on.
    """


class AtMostOnceFailure(RpcError):
    """The server has forgotten the session, or the call: whether it was executed is not known."""


class Refusal(RpcError):
    """A reply that refuses the call. Subclasses are RFC 5531's refusals, one by one."""


class AcceptedRefusal(Refusal):
    """MSG_ACCEPTED, but `accept_stat` is not SUCCESS."""

    stat: AcceptStat


class ProgUnavail(AcceptedRefusal):
    """The server has no such program."""

    stat = AcceptStat.PROG_UNAVAIL


class ProgMismatch(AcceptedRefusal):
    """The server has the program, in versions `low` to `high` only."""

    stat = AcceptStat.PROG_MISMATCH

    def __init__(self, low: int, high: int) -> None:
        super().__init__(f"program versions {low} to {high} only")
        self.low = low
        self.high = high


class ProcUnavail(AcceptedRefusal):
    """The program has no such procedure."""

    stat = AcceptStat.PROC_UNAVAIL


class GarbageArgs(AcceptedRefusal):
    """The server could not decode the arguments."""

    stat = AcceptStat.GARBAGE_ARGS


class SystemErr(AcceptedRefusal):
    """The server failed at the call; its log says why."""

    stat = AcceptStat.SYSTEM_ERR


class RpcMismatch(Refusal):
    """MSG_DENIED: another RPC version than `low` to `high`."""

    def __init__(self, low: int = 2, high: int = 2) -> None:
        super().__init__(f"RPC versions {low} to {high} only")
        self.low = low
        self.high = high


class AuthError(Refusal):
    """MSG_DENIED: the credential or the verifier was refused."""

    def __init__(self, stat: AuthStat | int) -> None:
        try:
            stat = AuthStat(stat)
        except ValueError:
            pass
        super().__init__(f"authentication refused: {getattr(stat, 'name', stat)}")
        self.stat = stat
