"""Calls that come again, and what is no copy though it looks like one."""

from __future__ import annotations

import asyncio
import re

import pytest
import wire
from trace_kit import SATTR, Caller, Gate, in_loop, lookup, mkdir, traced

from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.xdr import Buffer


@in_loop
async def test_a_call_that_comes_again_while_it_is_in_progress() -> None:
    gate = Gate("MKDIR")
    async with traced(4, layers=[gate]) as t:
        message = t.message("MKDIR", mkdir(await t.root(), b"once"))
        first, second = Caller(), Caller(port=701)
        assert not t.record(message, first) and not t.record(message, second)
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        assert not first.replies and len(second.replies) == 1
        assert t.record(message, first) == second.replies[0]
        await asyncio.sleep(0)  # the first one's end is noticed
        call, again, reply, call_again, replay = t.told()
    assert "192.0.2.7:700/tcp" in call and "'once': call, " in call
    assert "192.0.2.7:701/tcp" in again and again.endswith(": comes again, is in progress")
    assert "192.0.2.7:701/tcp" in reply and ": reply OK, " in reply
    assert "192.0.2.7:700/tcp" in call_again and ": call, " in call_again
    assert ": replay OK, " in replay


@pytest.mark.parametrize("level", [2, 3])
@in_loop
async def test_below_level_4_it_is_one_call(level: int) -> None:
    gate = Gate("MKDIR")
    async with traced(level, layers=[gate]) as t:
        message = t.message("MKDIR", mkdir(await t.root(), b"once"))
        t.record(message)
        await asyncio.sleep(0.05)
        t.record(message)
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        t.record(message)
        await asyncio.sleep(0)
        [line] = t.told()
    assert "'once': OK, " in line
    found = re.search(r" (\d+) us", line)
    assert found and int(found[1]) >= 40_000  # since it came first; timers are coarse


@in_loop
async def test_what_is_not_kept_is_told_to_come_again_too() -> None:
    gate = Gate("READ")
    async with traced(4, layers=[gate]) as t:
        message = t.message("READ", x.READ3args(await t.root(), 0, 1))
        t.record(message)
        t.record(message)
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        await asyncio.sleep(0)
        lines = t.told()
        [watch] = t.app.watcher._watches
        assert not watch.__self__._copies  # type: ignore[attr-defined]
    assert [line.endswith("comes again while it waits") for line in lines[:2]] == [False, True]
    assert all(": reply NFS3ERR_ISDIR, " in line for line in lines[2:]) and len(lines) == 4


@in_loop
async def test_a_hit_of_another_call_makes_no_replay() -> None:
    """A call waits, and meanwhile the cache answers somebody else."""
    gate = Gate("RMDIR")
    async with traced(4, layers=[gate]) as t:
        root = await t.root()
        made = t.message("MKDIR", mkdir(root, b"new"))
        t.record(made)
        t.record(t.message("RMDIR", x.RMDIR3args(x.diropargs3(root, b"new"))))
        t.record(made)
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        told = t.told()
    assert sum(": replay OK, " in line for line in told) == 1
    assert "RMDIR: reply OK, " in told[-1]


@in_loop
async def test_a_copy_that_comes_as_the_first_is_answered_is_told_to_come() -> None:
    """In the same turn of the loop: the first one's end has not been noticed."""
    gate = Gate("MKDIR")
    async with traced(4, layers=[gate]) as t:
        message = t.message("MKDIR", mkdir(await t.root(), b"once"))
        dispatch, copy = t.app.server.dispatcher.dispatch, Caller(port=701)

        class Asks(Caller):
            """Asks again as soon as it is answered."""

            def send(self, parts: list[Buffer]) -> None:
                super().send(parts)
                asyncio.get_running_loop().call_soon(dispatch, message, copy, None)

        first = Asks()
        t.record(message, first)
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        await asyncio.sleep(0.01)
        assert copy.replies == first.replies
        told = [line.partition(" MKDIR")[2].split(",")[0] for line in t.told()]
    assert [line.partition(": ")[2] for line in told] == ["call", "reply OK", "call", "replay OK"]


@in_loop
async def test_arguments_that_differ_at_their_end_are_no_copies() -> None:
    gate = Gate("SYMLINK")
    async with traced(4, layers=[gate]) as t:
        root = await t.root()
        for tail in (b"a", b"b"):
            data = x.symlinkdata3(SATTR, b"p" * 300 + tail)
            args = x.SYMLINK3args(x.diropargs3(root, b"link"), data)
            t.record(t.message("SYMLINK", args, 7), Caller(port=700 + len(t.events)))
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        told = t.told()
    assert [": call, " in line for line in told] == [True, True, False, False]
    assert ": reply OK, " in told[2] and ": reply NFS3ERR_EXIST, " in told[3]


@in_loop
async def test_a_reply_is_no_call() -> None:
    for level in (3, 4, 9):
        async with traced(level) as t:
            message = bytearray(t.message("LOOKUP", lookup(await t.root(), b"name")))
            message[4:8] = wire.call()[8:12][:3] + b"\1"  # REPLY
            assert t.record(bytes(message)) == b""
            assert t.told() == ["192.0.2.7:700/tcp: a reply where a call belongs"]
