"""Real calls to a real server: its replies read by xdrlib3 and by tshark as by our own codecs."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from pathlib import Path
from typing import Any

import golden_pcap
import golden_tshark
import pytest
from golden_live import Live
from golden_pcap import PORTS, Reading, exchange
from golden_programs import SUBJECTS, Subject, plain

from oncrpc import xdr
from oncrpc.errors import ProcUnavail
from oncrpc.message import CallHeader, read_call, read_reply
from oncrpc.program import Proc, Program

BY_NUMBER = {(s.generated.number, s.generated.version): s for s in SUBJECTS.values()}


@cache
def _live() -> Live:
    live = Live()
    asyncio.run(asyncio.wait_for(live.run(), 60))
    return live


def log() -> list[tuple[bytes, bytes]]:
    """All calls and replies."""
    return _live().pipe.log


def _resolve(call: bytes) -> tuple[Subject, Proc, CallHeader]:
    header = read_call(call)
    subject = BY_NUMBER[header.program, header.version]
    return subject, subject.generated.procs[header.proc], header


def _read(program: Program, call: bytes, reply: bytes) -> tuple[Any, Any]:
    """Arguments and result of an exchange. Raises what the reply refuses with."""
    header = read_call(call)
    xid, pos = read_reply(reply)
    assert xid == header.xid
    proc = program.procs[header.proc]
    return (
        xdr.decode(proc.decode_args, call, header.pos),
        xdr.decode(proc.decode_result, reply, pos),
    )


def test_every_procedure_succeeds_and_fails() -> None:
    seen: dict[str, set[bool]] = {}
    for call, reply in log():
        subject, proc, _ = _resolve(call)
        if subject.constant == "NFS_V3" and proc.name != "NULL":
            _, result = _read(subject.generated, call, reply)
            seen.setdefault(proc.name, set()).add(result.status == 0)
    procs = SUBJECTS["NFS_V3"].generated.procs.values()
    assert seen == {proc.name: {True, False} for proc in procs if proc.name != "NULL"}


def test_attributes_are_in_their_places() -> None:
    """Two codecs that agree do not show that the server put the size where the size belongs."""
    attr = _live().attr
    assert attr is not None
    assert (attr.type, attr.mode, attr.nlink) == (1, 0o600, 1)
    assert (attr.uid, attr.gid, attr.size) == (1, 2, 3)
    assert (attr.atime.seconds, attr.atime.nseconds) == (1, 2)
    assert min(attr.mtime.seconds, attr.ctime.seconds) > 1_600_000_000


def test_every_procedure_of_the_other_programs_is_answered() -> None:
    refused = set()
    called = set()
    for call, reply in log():
        subject, proc, _ = _resolve(call)
        called.add((subject.constant, proc.name))
        try:
            read_reply(reply)
        except ProcUnavail:
            refused.add((subject.constant, proc.name))
    every = {(s.constant, p.name) for s in SUBJECTS.values() for p in s.generated.procs.values()}
    assert called == every
    assert {constant for constant, _ in refused} <= {"NLM4_VERS"}


def test_xdrlib_reads_and_writes_the_same() -> None:
    for call, reply in log():
        subject, proc, header = _resolve(call)
        try:
            args, result = _read(subject.generated, call, reply)
        except ProcUnavail:
            continue
        dynamic_args, dynamic_result = _read(subject.dynamic, call, reply)
        assert plain(dynamic_args) == plain(args)
        assert plain(dynamic_result) == plain(result)
        dynamic = subject.dynamic.procs[header.proc]
        _, pos = read_reply(reply)
        for a_result in (result, dynamic_result):
            for encoder in (proc.encode_result, dynamic.encode_result):
                assert xdr.encode(encoder, a_result) == reply[pos:]
        for some_args in (args, dynamic_args):
            for encoder in (proc.encode_args, dynamic.encode_args):
                assert xdr.encode(encoder, some_args) == call[header.pos :]


@pytest.mark.peer
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    connections = [(PORTS[read_call(call).program], exchange(call, reply)) for call, reply in log()]
    pcap, frames = golden_pcap.capture(connections)
    wrong = ("_ws.malformed", "_ws.expert.message", "_ws.unreassembled", "data.data")
    fields = Reading(pcap, tmp_path).fields(*wrong, "_ws.col.Info", *golden_tshark.NAMES)
    for (call, reply), (call_frame, reply_frame) in zip(log(), frames, strict=True):
        subject, proc, _ = _resolve(call)
        if proc.name == "SM_NOTIFY":  # unknown to tshark
            continue
        what = f"V{subject.generated.version} {proc.name}"
        for frame, direction in ((call_frame, "Call"), (reply_frame, r"Reply \(Call In")):
            assert not any(fields[frame][name] for name in wrong), (what, fields[frame])
            assert re.match(f"{what} {direction}", fields[frame]["_ws.col.Info"][0])
        try:
            args, result = _read(subject.generated, call, reply)
        except ProcUnavail:
            continue
        for frame, value in ((call_frame, args), (reply_frame, result)):
            try:
                wanted = golden_tshark.expected(value)
            except UnicodeDecodeError:  # a name that is no text: tshark shows it its own way
                continue
            assert golden_tshark.shown(fields[frame], wanted) == wanted, what
