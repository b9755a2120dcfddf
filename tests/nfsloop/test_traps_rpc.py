"""FIELD.md section 2, the traps below NFS: records (3), refusals (2, 16, 20), locks (17)."""

from __future__ import annotations

import asyncio
import logging
import random
import struct

import pytest
from nfs_kit import PEER, ROOT, World, each_backend
from wire import (
    GARBAGE_ARGS,
    MOUNT,
    NFS,
    NFSACL,
    NLM,
    PORTMAP,
    PROC_UNAVAIL,
    PROG_MISMATCH,
    PROG_UNAVAIL,
    accepted,
    auth,
    call,
    denied,
    fragments,
    raw,
)

from nfsloop.nlm4 import nlm4_xdr as nlm
from oncrpc import loop
from oncrpc.errors import ProcUnavail
from oncrpc.limits import RECORD_BYTES
from oncrpc.record import LAST_FRAGMENT, mark
from oncrpc.testing import Capture
from portmap.server import Portmapper

NULL = call()
NULL_REPLY = struct.pack(">6I", 7, 1, 0, 0, 0, 0)


@each_backend("memory")
async def test_trap_02_nfs_version_4_gets_prog_mismatch_3_to_3(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The stock client's first probe, quietly."""
    caplog.set_level(logging.INFO)
    for version in (2, 4, 0, 0xFFFFFFFF):
        for proc in (0, 1, 99):
            assert accepted(await w.pipe.send(call(NFS, version, proc))) == (
                PROG_MISMATCH,
                struct.pack(">2I", 3, 3),
            )
    assert not caplog.records


@each_backend("memory")
async def test_trap_02_nfsacl_gets_prog_unavail_without_a_warning(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """And so does any other program."""
    caplog.set_level(logging.INFO)
    for program in (NFSACL, 100099, 0, 0xFFFFFFFF):
        assert accepted(await w.pipe.send(call(program))) == (PROG_UNAVAIL, b"")
    assert not caplog.records


@each_backend("memory")
async def test_trap_03_records_of_several_fragments(w: World) -> None:
    """Of any sizes, empty ones among them; and a large one among small ones."""
    port = w.server.listen("tcp", "127.0.0.1")
    file = await w.create(w.root, b"f")
    data = random.Random(3).randbytes(300_000)
    body = struct.pack(">I", len(file)) + file
    body += struct.pack(">QIII", 0, len(data), 0, len(data)) + data
    write = call(proc=7, args=body, xid=8, credential=ROOT.pack())
    async with raw("127.0.0.1", port) as tcp:
        for sizes in ((1,), (4, 4, 4), (0, 0, 40), (39,), tuple([1] * 39), (40,)):
            await tcp.send(fragments(NULL, *sizes))
            assert await tcp.record() == NULL_REPLY, sizes
        await tcp.send(fragments(write, 0, 5, 65_536, 100_000) + fragments(NULL, 3))
        assert accepted(await tcp.record(), 8)[0] == 0
        assert await tcp.record() == NULL_REPLY
    assert await w.read(file) == data


@each_backend("memory")
async def test_trap_03_a_record_mark_split_over_two_reads(w: World) -> None:
    """And a record split at each of its bytes."""
    port = w.server.listen("tcp", "127.0.0.1")
    stream = fragments(NULL, 8)
    async with raw("127.0.0.1", port) as tcp:
        for at in range(1, len(stream)):
            await tcp.send(stream[:at])
            await asyncio.sleep(0.001)
            await tcp.send(stream[at:])
            assert await tcp.record() == NULL_REPLY, at
        for at in range(len(stream)):  # byte for byte
            await tcp.send(stream[at : at + 1])
            await asyncio.sleep(0)
        assert await tcp.record() == NULL_REPLY


@each_backend("memory")
async def test_trap_03_many_records_in_one_read(w: World) -> None:
    """Each is answered, once."""
    port = w.server.listen("tcp", "127.0.0.1")
    async with raw("127.0.0.1", port) as tcp:
        stream = b"".join(mark(len(NULL)) + call(xid=xid) for xid in range(3000))
        await tcp.send(stream + mark(len(NULL))[:3])
        xids = [struct.unpack_from(">I", await tcp.record())[0] for _ in range(3000)]
        assert xids == list(range(3000))
        assert await tcp.silent()


@each_backend("memory")
async def test_trap_03_a_length_over_the_limit(w: World, caplog: pytest.LogCaptureFixture) -> None:
    """In one fragment or in several: what came before is answered, one warning, the end."""
    port = w.server.listen("tcp", "127.0.0.1")
    half = struct.pack(">I", RECORD_BYTES // 2)
    for stream in (
        struct.pack(">I", LAST_FRAGMENT | RECORD_BYTES + 1),
        struct.pack(">I", 0x7FFFFFFF),
        (half + bytes(RECORD_BYTES // 2)) * 2 + half,
    ):
        caplog.clear()
        async with raw("127.0.0.1", port) as tcp:
            assert await tcp.ask(NULL) == NULL_REPLY
            await tcp.send(stream)
            assert await tcp.record() == b""
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert PEER.host not in caplog.text and "127.0.0.1" in caplog.text
    async with raw("127.0.0.1", port) as tcp:  # the server lives
        assert await tcp.ask(NULL) == NULL_REPLY


@each_backend("memory")
async def test_trap_03_a_long_record_that_never_comes_costs_nothing(w: World) -> None:
    """A claim of a megabyte, then silence: others are served meanwhile."""
    port = w.server.listen("tcp", "127.0.0.1")
    async with raw("127.0.0.1", port) as idle, raw("127.0.0.1", port) as tcp:
        await idle.send(mark(RECORD_BYTES) + bytes(100))
        assert await tcp.ask(NULL) == NULL_REPLY
        assert await idle.silent()


@each_backend("memory")
async def test_trap_16_and_20_what_is_not_there_is_always_answered(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs, versions and procedures; over TCP and UDP, and the connection lives."""
    port = w.server.listen("tcp", "127.0.0.1")
    expected = {
        (PORTMAP, 2, 3): (PROG_UNAVAIL, b""),
        (391002, 1, 1): (PROG_UNAVAIL, b""),
        (MOUNT, 2, 1): (PROG_MISMATCH, struct.pack(">2I", 1, 3)),
        (MOUNT, 4, 0): (PROG_MISMATCH, struct.pack(">2I", 1, 3)),
        (NLM, 1, 2): (PROG_MISMATCH, struct.pack(">2I", 4, 4)),
        (NFS, 3, 22): (PROC_UNAVAIL, b""),
        (NFS, 3, 0xFFFFFFFF): (PROC_UNAVAIL, b""),
        (MOUNT, 3, 6): (PROC_UNAVAIL, b""),
        (MOUNT, 1, 7): (PROC_UNAVAIL, b""),
        (NLM, 4, 17): (PROC_UNAVAIL, b""),
        (NLM, 4, 24): (PROC_UNAVAIL, b""),
    }
    async with raw("127.0.0.1", port) as tcp:
        for (program, version, proc), answer in expected.items():
            # Arguments of a procedure that is not there are nobody's business.
            for args in (b"", b"\xff" * 64):
                reply = await tcp.ask(call(program, version, proc, args))
                assert accepted(reply) == answer, (program, version, proc)
        assert await tcp.ask(NULL) == NULL_REPLY
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@each_backend("memory")
async def test_trap_20_every_procedure_answers_garbage(w: World) -> None:
    """No arguments, too many, and random ones, to each procedure of each program."""
    chance = random.Random(20)
    for program, version, last in ((NFS, 3, 21), (MOUNT, 3, 5), (MOUNT, 1, 6), (NLM, 4, 23)):
        for proc in range(1, last + 1):
            for size in (0, 3, 4, 8, 64, 400):
                for fill in (bytes(size), b"\xff" * size, chance.randbytes(size)):
                    capture = Capture(PEER)
                    task = w.server.dispatcher.dispatch(call(program, version, proc, fill), capture)
                    if task is not None:
                        await task
                    (reply,) = capture.sent
                    accepted(reply)
    # Arguments that are right, and one word more.
    args = struct.pack(">I", len(w.root)) + w.root
    assert accepted(await w.pipe.send(call(proc=1, args=args)))[0] == 0
    garbage = await w.pipe.send(call(proc=1, args=args + bytes(4)))
    assert accepted(garbage) == (GARBAGE_ARGS, b"")


@each_backend("memory")
async def test_trap_20_what_is_no_call_leaves_the_connection_alive(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Too short, or a reply: nobody is there to be answered; one warning each."""
    port = w.server.listen("tcp", "127.0.0.1")
    async with raw("127.0.0.1", port) as tcp:
        for message in (b"", b"\0" * 4, NULL_REPLY, struct.pack(">2I", 1, 2)):
            caplog.clear()
            await tcp.send(mark(len(message)) + message)
            assert await tcp.silent(0.02)
            assert len(caplog.records) == 1
        # A header that ends too soon has an xid, so that it is answered.
        for size in range(12, 40, 4):
            assert accepted(await tcp.ask(NULL[:size])) == (GARBAGE_ARGS, b"")
        assert denied(await tcp.ask(call(rpc=3))) == (0, 2, 2)
        assert denied(await tcp.ask(call(verifier=auth(1, bytes(20)))))[0] == 1
        assert await tcp.ask(NULL) == NULL_REPLY


LOCK = nlm.nlm4_lock(b"host", b"handle", b"owner", 1, 0, 0)


@each_backend("memory")
async def test_trap_17_locks_are_refused_at_once(w: World) -> None:
    """Blocking ones too; giving back succeeds; each with the caller's cookie."""
    async with w.tcp() as rpc:
        locks = nlm.NLM4_VERS_Client(rpc)
        cookie = b"the cookie"
        for block in (False, True):
            args = nlm.nlm4_lockargs(cookie, block, True, LOCK, False, 1)
            for ask in (locks.LOCK, locks.NM_LOCK):
                res = await ask(args, timeout=1)
                assert (res.cookie, res.stat.stat) == (cookie, nlm.NLM4_DENIED_NOLOCKS)
        tested = await locks.TEST(nlm.nlm4_testargs(cookie, True, LOCK), timeout=1)
        assert (tested.cookie, tested.stat.stat) == (cookie, nlm.NLM4_DENIED_NOLOCKS)
        undone = await locks.CANCEL(nlm.nlm4_cancargs(cookie, True, True, LOCK), timeout=1)
        assert (undone.cookie, undone.stat.stat) == (cookie, nlm.NLM4_DENIED)
        done = await locks.UNLOCK(nlm.nlm4_unlockargs(cookie, LOCK), timeout=1)
        assert (done.cookie, done.stat.stat) == (cookie, nlm.NLM4_GRANTED)
        share = nlm.nlm4_share(b"host", b"handle", b"owner", nlm.fsm_DN, nlm.fsa_R)
        shared = await locks.SHARE(nlm.nlm4_shareargs(cookie, share, False), timeout=1)
        assert (shared.cookie, shared.stat) == (cookie, nlm.NLM4_DENIED_NOLOCKS)
        shared = await locks.UNSHARE(nlm.nlm4_shareargs(cookie, share, False), timeout=1)
        assert (shared.cookie, shared.stat) == (cookie, nlm.NLM4_GRANTED)
        await locks.FREE_ALL(nlm.nlm4_notify(b"host", 1), timeout=1)
        await locks.NULL(timeout=1)


@each_backend("memory")
async def test_trap_17_asynchronous_locks_are_answered_too(w: World) -> None:
    """Procedures 6 to 16 are not there, and say so."""
    for proc in range(6, 17):
        assert accepted(await w.pipe.send(call(NLM, 4, proc))) in (
            (PROC_UNAVAIL, b""),
            (GARBAGE_ARGS, b""),
        )
    testargs = nlm.nlm4_testargs(b"", True, LOCK)
    with pytest.raises(ProcUnavail):
        await nlm.NLM4_VERS_Client(w.pipe).TEST_MSG(testargs, timeout=1)


def test_trap_16_the_portmapper_is_never_silent() -> None:
    """Unknown procedures and versions are answered; an unregistered program has port 0, at once."""

    async def main() -> None:
        portmapper = Portmapper()
        port = portmapper.listen("127.0.0.1", 0)
        async with raw("127.0.0.1", port) as tcp:
            for version, last in ((2, 5), (3, 8), (4, 12)):
                for proc in (*range(last + 1, last + 5), 99, 0xFFFFFFFF):
                    for args in (b"", bytes(64)):
                        reply = await tcp.ask(call(PORTMAP, version, proc, args))
                        assert accepted(reply) == (PROC_UNAVAIL, b"")
            for version in (0, 1, 5):
                mismatch = PROG_MISMATCH, struct.pack(">2I", 2, 4)
                assert accepted(await tcp.ask(call(PORTMAP, version, 0))) == mismatch
            for program, protocol in ((NFS, 6), (NFS, 17), (NLM, 6), (100099, 6), (NFS, 99)):
                args = struct.pack(">4I", program, 3, protocol, 0)
                assert accepted(await tcp.ask(call(PORTMAP, 2, 3, args))) == (0, bytes(4))
            args = struct.pack(">2I", NFS, 3) + bytes(12)
            for version in (3, 4):
                assert accepted(await tcp.ask(call(PORTMAP, version, 3, args))) == (0, bytes(4))
            assert accepted(await tcp.ask(call(PORTMAP, 2, 0))) == (0, b"")
        await portmapper.stop()

    loop.run(main())
