"""The client whatever the transport: messages, results, one clear error for each failure."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from client_kit import TcpServer, VirtualLoop, answer, until, xid_of
from echo import ECHO_V2, PROCS

from oncrpc import errors
from oncrpc.client import Retry, RpcClient, Statistics, connected, xids
from oncrpc.message import AUTH_SYS, NO_VERIFIER, Credential, call_header, refusal
from oncrpc.pending import Calls
from oncrpc.program import Proc, Program
from oncrpc.xdr import decode_void, encode_void

Test = Callable[[], Awaitable[None]]


def virtually(test: Test) -> None:
    async def main() -> None:
        await test()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def exchange(reply: Callable[[bytes], bytes], **options: Any) -> Any:
    """What an ECHO call comes to when it is answered so, or its error."""
    async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
        task = asyncio.ensure_future(client.call(ECHO_V2, PROCS["ECHO"], b"x", **options))
        connection = await server.connection()
        connection.send(reply(await connection.message()))
        done: Any
        [done] = await asyncio.gather(task, return_exceptions=True)
        where = f"ECHO_PROGRAM version 2, ECHO, at tcp 127.0.0.1:{server.port}: "
        if isinstance(done, Exception):
            assert str(done).startswith(where), done
            done.args = (str(done).removeprefix(where),)
        # The connection is as good as before.
        task = asyncio.ensure_future(client.call(ECHO_V2, PROCS["ECHO"], b"x"))
        message = await connection.message()
        connection.send(answer(message, b"alive"))
        assert bytes(await task) == b"alive"
        assert client.statistics.replies == client.statistics.calls == 2
        return done


REFUSALS: list[tuple[errors.Refusal, str]] = [
    (errors.ProgUnavail(), "PROG_UNAVAIL"),
    (errors.ProgMismatch(3, 4), "program versions 3 to 4 only"),
    (errors.ProcUnavail(), "PROC_UNAVAIL"),
    (errors.GarbageArgs(), "GARBAGE_ARGS"),
    (errors.SystemErr(), "SYSTEM_ERR"),
    (errors.RpcMismatch(4, 5), "RPC versions 4 to 5 only"),
    (errors.AuthError(errors.AuthStat.TOOWEAK), "authentication refused: TOOWEAK"),
]


@pytest.mark.parametrize(("why", "text"), REFUSALS, ids=lambda it: type(it).__name__)
def test_refusals(why: errors.Refusal, text: str) -> None:
    async def test() -> None:
        found = await exchange(lambda message: refusal(xid_of(message), why))
        assert type(found) is type(why) and str(found) == text
        for name in ("low", "high", "stat"):
            assert getattr(found, name, None) == getattr(why, name, None)

    virtually(test)


BROKEN: list[tuple[str, Callable[[bytes], bytes], type[errors.RpcError]]] = [
    ("ends too soon", lambda message: answer(message, b"x")[:11], errors.MessageError),
    ("a call", lambda message: message[:4] + bytes(4) + message[8:], errors.MessageError),
    ("result", lambda message: answer(message, b"x")[:-4], errors.BadResult),
    ("result", lambda message: answer(message, b"x") + bytes(4), errors.BadResult),
]


@pytest.mark.parametrize(("text", "reply", "kind"), BROKEN, ids=range(len(BROKEN)))
def test_replies_that_cannot_be_read(
    text: str, reply: Callable[[bytes], bytes], kind: type[errors.RpcError]
) -> None:
    """Each ends its own call, and no other's."""

    async def test() -> None:
        found = await exchange(reply)
        assert type(found) is kind and text in str(found)

    virtually(test)


def test_arguments_that_cannot_be_sent() -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            for wrong in (17, None, "text"):
                with pytest.raises(errors.BadArguments, match=r"ECHO.*the arguments"):
                    await client.call(ECHO_V2, PROCS["ECHO"], wrong)
            assert client.statistics == Statistics()

    virtually(test)


def test_both_are_xdr_errors_and_tell_which() -> None:
    for kind in (errors.BadArguments, errors.BadResult):
        assert issubclass(kind, errors.XdrError)
    assert not issubclass(errors.BadArguments, errors.BadResult)


@pytest.mark.parametrize(
    "kind",
    [errors.RpcTimeout, errors.ConnectionLost, errors.ConnectionRefused, errors.ServerRestarted],
)
def test_errors_of_the_client(kind: type[errors.RpcError]) -> None:
    exc = kind("why")
    assert isinstance(exc, errors.RpcError) and str(exc) == "why"
    assert isinstance(exc, OSError) == isinstance(exc, errors.Unanswered)


def test_the_header_of_a_call() -> None:
    """The client's credential and no verifier, or what the caller gives for both."""

    async def test() -> None:
        alice = Credential(AUTH_SYS, 1000, 1000, (4, 5), b"host")
        bob = Credential(AUTH_SYS, 1001)
        auth = struct.pack(">4I", 6, 4, 17, 6) + struct.pack(">3I", 8, 1, 2)
        async with TcpServer() as server:
            options: Any = {"credential": alice, "xid_source": random.Random(7)}
            async with connected("tcp", "127.0.0.1", server.port, **options) as client:
                source = xids(random.Random(7))
                connection = await server.connection()
                for sent, given in ((alice, None), (bob, None), (None, auth), (bob, None)):
                    if sent is not None:
                        client.credential = sent
                    task = asyncio.ensure_future(
                        client.call(ECHO_V2, PROCS["NULL"], None, auth=given)
                    )
                    both = (given, b"") if given else (client.credential.pack(), NO_VERIFIER)
                    expected = call_header(next(source), ECHO_V2.number, 2, 0, *both)
                    assert await connection.message() == expected
                    connection.send(answer(expected, b"")[:24])
                    assert await task is None

    virtually(test)


def test_a_credential_that_cannot_be_sent() -> None:
    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            with pytest.raises(errors.XdrError):
                client.credential = Credential(AUTH_SYS, groups=tuple(range(17)))

    virtually(test)


def test_answers_that_nobody_waits_for() -> None:
    """Counted and dropped; also one for a call that was not sent yet."""

    async def test() -> None:
        async with TcpServer() as server:
            async with connected("tcp", "127.0.0.1", server.port, window=1) as client:
                source = random.Random(3)
                client._xids = xids(source)
                ahead = xids(random.Random(3))
                first, second = next(ahead), next(ahead)
                tasks = [
                    asyncio.ensure_future(client.call(ECHO_V2, PROCS["ECHO"], b"x"))
                    for _ in range(2)
                ]
                connection = await server.connection()
                message = await connection.message()
                assert xid_of(message) == first
                for stray in (b"", b"ab", struct.pack(">I", second) + bytes(20), bytes(32)):
                    connection.send(stray)
                await until(lambda: client.statistics.strays == 4)
                connection.send(answer(message, b"x"))
                connection.send(answer(await connection.message(), b"y"))
                assert [bytes(it) for it in await asyncio.gather(*tasks)] == [b"x", b"y"]

    virtually(test)


def test_xids() -> None:
    """No two alike, from the numbers' whole range, and as their source says."""
    source = xids(random.Random(1))
    found = [next(source) for _ in range(200_000)]
    assert len(set(found)) == len(found)
    assert 0 <= min(found) < 1 << 16 and (1 << 32) - (1 << 16) < max(found) < 1 << 32
    for bit in range(32):
        ones = sum(xid >> bit & 1 for xid in found)
        assert 0.48 < ones / len(found) < 0.52, bit
    again = xids(random.Random(1))
    assert [next(again) for _ in range(100)] == found[:100]
    one, other = xids(), xids()
    assert [next(one) for _ in range(4)] != [next(other) for _ in range(4)]


def test_the_back_off() -> None:
    retry = Retry()
    assert retry.intervals == (2, 4, 8, 16, 32)
    assert [retry.wait(i) for i in (0, 1, 2, 7, 8, 10**6)] == [0.1, 0.2, 0.4, 12.8, 15, 15]
    assert retry.over(10, 70) and not retry.over(10, 69.9)
    assert not Retry(give_up=None).over(0, 10**9)
    for wrong in ((), (1.0, 0.0)):
        with pytest.raises(ValueError, match="interval"):
            Retry(intervals=wrong)


def test_statistics_add_up() -> None:
    assert Statistics(calls=1, strays=2) + Statistics(calls=3) == Statistics(calls=4, strays=2)


def test_a_window_holds_a_call() -> None:
    with pytest.raises(ValueError, match="window"):
        Calls(0, "", lambda call: None)


def test_a_generated_client_takes_it() -> None:
    """`RpcClient` is a `Caller`."""

    async def test() -> None:
        async with TcpServer() as server, connected("tcp", "127.0.0.1", server.port) as client:
            caller: RpcClient = client
            null = Proc(0, "NULL", decode_void, encode_void, decode_void, encode_void)
            program = Program("OTHER", 5, 6, {0: null})
            task = asyncio.ensure_future(caller.call(program, null, None, 3))
            message = await (await server.connection()).message()
            assert struct.unpack_from(">3I", message, 12) == (5, 6, 0)
            task.cancel()

    virtually(test)
