"""Who counts calls and who tells of them agree on what fails, and on what it is called."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import wire
from trace_kit import ME, OpenBackend, in_loop, lookup, mkdir, string, traced

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM
from nfsloop.nlm4 import nlm4_xdr as n
from nfsloop.watching.outcome import OK, outcome, statuses_of
from oncrpc.errors import SystemErr
from oncrpc.message import refusal, success
from oncrpc.program import Program
from oncrpc.xdr import encode
from portmap import portmap_xdr as p


def nlm(t: Any, root: bytes, name: str) -> bytes:
    lock = n.nlm4_lock(b"client", root, b"owner", 7, 3, 4)
    proc = next(proc for proc in n.NLM4_VERS.procs.values() if proc.name == name)
    args: dict[str, Any] = {
        "LOCK": n.nlm4_lockargs(b"cookie", True, True, lock, False, 0),
        "TEST": n.nlm4_testargs(b"", True, lock),
        "UNLOCK": n.nlm4_unlockargs(b"c", lock),
    }
    body = encode(proc.encode_args, args[name])
    return wire.call(wire.NLM, 4, proc.number, body, credential=ME)


@in_loop
async def test_what_fails_is_told_and_counted() -> None:
    async with traced(1, {"/a": OpenBackend()}) as t:
        meter = t.app.watcher.meter()
        root = await t.root()
        new = t.message("MKDIR", mkdir(root, b"new"))
        twice = t.message("MKDIR", mkdir(root, b"new"))
        for record in (
            t.message("LOOKUP", lookup(root, b"none")),
            t.message("GETATTR", x.GETATTR3args(root)),
            new, new, twice, twice,  # the second of each is kept: all in one piece
            wire.call(wire.MOUNT, 1, 1, string(b"/none"), credential=ME),
            wire.call(wire.MOUNT, 3, 1, string(b"/none"), credential=ME),
            wire.call(wire.MOUNT, 1, 1, string(b"/a"), credential=ME),
            wire.call(wire.MOUNT, 3, 5, credential=ME),
            nlm(t, root, "LOCK"), nlm(t, root, "TEST"), nlm(t, root, "UNLOCK"),
        ):  # fmt: skip
            assert t.record(record)
        told = [line.partition(" gid 100 ")[2] for line in t.told()]
        told = [f"{line.split()[1]} {line.split(': ')[-1].split(',')[0]}" for line in told]
        counted = [
            f"{series.procedure} {error}"
            for series, calls in meter.calls().items()
            for error in calls.errors.elements()
        ]
    assert told == [
        "LOOKUP NFS3ERR_NOENT", "MKDIR NFS3ERR_EXIST",  # at level 1 a replay is no call
        "MNT EACCES", "MNT MNT3ERR_ACCES", "LOCK NLM4_DENIED_NOLOCKS", "TEST NLM4_DENIED_NOLOCKS",
    ]  # fmt: skip
    assert sorted(counted) == sorted([
        "LOOKUP NOENT", "MKDIR EXIST", "MKDIR EXIST", "MNT ACCES", "MNT ACCES",
        "LOCK DENIED_NOLOCKS", "TEST DENIED_NOLOCKS",
    ])  # fmt: skip


def word(number: int) -> bytes:
    return struct.pack(">I", number)


NFS, MOUNT1, MOUNT, NLM, PMAP, RPCB = (
    NFS3_PROGRAM, m.MOUNT_V1, m.MOUNT_V3, n.NLM4_VERS, p.PMAP_VERS, p.RPCBVERS
)  # fmt: skip
CASES: list[tuple[Program, str, bytes, tuple[str, str]]] = [
    (NFS, "NULL", b"", ("OK", "")),
    (NFS, "GETATTR", word(0) + b"rest", ("OK", "")),
    (NFS, "GETATTR", word(70), ("NFS3ERR_STALE", "STALE")),
    (NFS, "GETATTR", word(12345), ("status 12345", "others")),
    (NFS, "GETATTR", b"", ("no status", "others")),
    (MOUNT, "DUMP", word(1), ("OK", "")),
    (MOUNT, "MNT", word(10004), ("MNT3ERR_NOTSUPP", "NOTSUPP")),
    (MOUNT1, "MNT", word(13), ("EACCES", "ACCES")),
    (NLM, "LOCK", word(0) + word(0), ("OK", "")),
    (NLM, "LOCK", word(0) + word(1), ("NLM4_DENIED", "DENIED")),
    (NLM, "TEST", word(5) + b"cooki" + bytes(3) + word(3), ("NLM4_BLOCKED", "BLOCKED")),
    (NLM, "SHARE", word(4) + b"cook" + word(1) + word(0), ("NLM4_DENIED", "DENIED")),
    (NLM, "LOCK", word(1 << 31) + word(1), ("no status", "others")),
    (NLM, "LOCK_MSG", b"", ("OK", "")),
    (PMAP, "GETPORT", word(0), ("not registered", "")),
    (PMAP, "GETPORT", word(2049), ("OK", "")),
    (RPCB, "GETADDR", word(0), ("not registered", "")),
    (RPCB, "GETADDR", word(15) + b"192.0.2.1.8.1\0\0\0", ("OK", "")),
]


@pytest.mark.parametrize(("program", "name", "body", "expected"), CASES)
def test_where_the_status_stands(
    program: Program, name: str, body: bytes, expected: tuple[str, str]
) -> None:
    proc = next(proc for proc in program.procs.values() if proc.name == name.removeprefix("NLM4_"))
    statuses = statuses_of(program, proc)
    header = success(1, 0, 0, 0, 0, 0)[:24]
    pieces = [header, *(body[at : at + 4] for at in range(0, len(body), 4))]
    joined = [header + body]
    two = [header, body] if body else [header]
    for parts in (joined, two, pieces):
        found = outcome(list(parts), statuses)
        assert found[:2] == expected and not found.refused
    # Who is in a hurry misses none: see `nfsloop.watching.meter`.
    assert not (statuses and statuses.ok == body[:4] and body) or expected == ("OK", "")


def test_refusals_and_failures() -> None:
    assert outcome([refusal(1, SystemErr())], None) == ("SYSTEM_ERR", "SYSTEM_ERR", False)
    assert outcome([bytes(8) + word(7) + bytes(12)], None).label == "others"
    assert outcome([bytes(24)], None) is OK
