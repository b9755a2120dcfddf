"""A program is a table: `Program` and `Proc`, and the types that tie generated code to the runtime.

Generated `*_xdr.py` import this module and `oncrpc.xdr`, nothing else, so that a table of another
program costs the runtime no line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from enum import Flag
from typing import Any, ClassVar, Protocol, TypeAlias

from oncrpc.errors import ProcUnavail
from oncrpc.xdr import Decoder, Encoder

__all__ = [
    "Caller",
    "Handler",
    "Proc",
    "ProcFlag",
    "ProcUnavail",
    "Program",
    "Service",
    "in_session",
]


class ProcFlag(Flag):
    """What the runtime must know of a procedure beyond its codecs."""

    NONE = 0
    #: Not idempotent: a duplicate request cache keeps its reply.
    CACHE_REPLY = 1
    #: Carries bulk data.
    BULK = 2
    #: Changes what is stored: refused by a read-only export.
    MUTATES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Proc:
    """One procedure of a program: RFC 5531 section 12."""

    number: int
    name: str
    decode_args: Decoder[Any]
    encode_args: Encoder[Any]
    decode_result: Decoder[Any]
    encode_result: Encoder[Any]
    flags: ProcFlag = ProcFlag.NONE


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One version of one program: data, not code."""

    name: str
    number: int
    version: int
    procs: Mapping[int, Proc]

    def flagged(self, flags: Mapping[str, ProcFlag]) -> Program:
        """The same table with `flags` set on the procedures that are named.

        Raises KeyError for a name that the program has not got.
        """
        numbers = {proc.name: number for number, proc in self.procs.items()}
        procs = dict(self.procs)
        for name, flag in flags.items():
            procs[numbers[name]] = dataclasses.replace(procs[numbers[name]], flags=flag)
        return dataclasses.replace(self, procs=procs)


#: ``await handler(call, args)`` gives the result to encode; see `oncrpc.call.Call`.
Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]


class Caller(Protocol):
    """What a generated client needs of the transport under it (`oncrpc.client` has them)."""

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None = None
    ) -> Any:
        """Call `proc` and decode its result. `timeout` is in seconds. Raises RpcError."""


def in_session(caller: Caller) -> Caller:
    """The at-most-once session of `caller` (`oncrpc.client.RpcClient.session`).

    Raises TypeError if it has none.
    """
    session: Caller | None = getattr(caller, "session", None)
    if session is None:
        raise TypeError(f"{type(caller).__name__} has no sessions")
    return session


class Service:
    """The base of every generated service: a method for each procedure of `PROGRAM`, by its name.

    A method that no subclass overrides raises `ProcUnavail`, which is answered PROC_UNAVAIL; NULL
    (procedure 0) has a right default.
    """

    PROGRAM: Program

    #: The class of the calls that the methods get; None: `oncrpc.call.Call`.
    CALL: ClassVar[Any] = None

    async def failed(self, call: Any, args: Any, exc: Exception) -> Any:
        """The result for a call whose method raised `exc`.

        What this raises refuses the call: a `Refusal` by itself, anything else is logged and
        answered SYSTEM_ERR.
        """
        raise exc

    # For procedures flagged CACHE_REPLY, where a duplicate request cache survives a crash

    async def intent(self, call: Any, args: Any) -> bytes | None:
        """Just before a call is executed: what `settle` needs to tell after a crash whether it was.

        None (as here): the call may be executed again, if the crash comes before its reply is kept.
        """
        return None

    async def settle(self, call: Any, args: Any, facts: bytes) -> Any:
        """At a start after a crash: the result of a call that took place, though nobody kept its
        reply; None if it did not. `facts` are its `intent`'s. No other call is served meanwhile."""
        return None

    def lasts(self, proc: Proc, args: Any) -> bool:
        """Whether what such a call did has survived a restart, so that the reply given before it
        is still the answer."""
        return True

    async def NULL(self, call: Any, args: None) -> None:
        """Do nothing, successfully: procedure 0 of every program (RFC 5531 section 12.1)."""
