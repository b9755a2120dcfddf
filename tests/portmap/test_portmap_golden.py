"""Every procedure of the three versions in both directions, against messages written by hand."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import ProcUnavail
from oncrpc.message import NOBODY, call_header, read_call, read_reply, success
from oncrpc.program import Proc, Program
from oncrpc.testing import Pipe
from oncrpc.xdr import decode, encode
from portmap import portmap_xdr as x
from portmap.registry import Registry
from portmap.server import add_services

GOLDEN = Path(__file__).parent.parent / "golden" / "portmap"
PROGRAMS = {"v2": x.PMAP_VERS, "v3": x.RPCBVERS, "v4": x.RPCBVERS4}
PEERS = {"v2": "127.0.0.1", "v3": "127.0.0.1", "v4": "::1"}
NOW = 1700000000.75

NFS = x.mapping(100003, 3, 6, 2049)
IN = b"\x02\x00\x08\x01\x7f\x00\x00\x01" + bytes(8)
IN6 = b"\x0a\x00\x08\x01" + bytes(19) + b"\x01" + bytes(4)
SIX = b"2001:db8::7.0.111"


def stat(info: list[int], sets: int, addresses: list[Any], calls: list[Any]) -> x.rpcb_stat:
    return x.rpcb_stat(info, sets, 0, addresses, calls)


#: (version, procedure) -> arguments and result, as the typed API has them.
VALUES: dict[tuple[str, str], tuple[Any, Any]] = {
    ("v2", "NULL"): (None, None),
    ("v2", "SET"): (NFS, True),
    ("v2", "UNSET"): (x.mapping(100003, 3, 0, 0), True),
    ("v2", "GETPORT"): (x.mapping(100003, 3, 6, 0), 2049),
    ("v2", "DUMP"): (None, [x.pmaplist_node(NFS)]),
    ("v2", "CALLIT"): (
        x.call_args(100003, 3, 0, b"abc"),
        x.call_result(2049, b"\x01\x02\x03\x04\x05"),
    ),
    ("v3", "NULL"): (None, None),
    ("v3", "SET"): (x.rpcb(100003, 3, b"tcp", b"0.0.0.0.8.1", b"root"), True),
    ("v3", "UNSET"): (x.rpcb(100003, 3, b"", b"", b""), True),
    ("v3", "GETADDR"): (x.rpcb(100003, 3, b"udp", b"192.0.2.7.0.111", b""), b"192.0.2.7.8.1"),
    ("v3", "DUMP"): (None, [x.rp__list(x.rpcb(100003, 3, b"tcp", b"0.0.0.0.8.1", b"superuser"))]),
    ("v3", "CALLIT"): (
        x.rpcb_rmtcallargs(100003, 3, 0, b"\xde\xad\xbe\xef"),
        x.rpcb_rmtcallres(b"127.0.0.1.8.1", b"\xab\xcd"),
    ),
    ("v3", "GETTIME"): (None, 1700000000),
    ("v3", "UADDR2TADDR"): (b"127.0.0.1.8.1", x.netbuf(16, IN)),
    ("v3", "TADDR2UADDR"): (x.netbuf(16, IN), b"127.0.0.1.8.1"),
    ("v4", "NULL"): (None, None),
    ("v4", "SET"): (x.rpcb(100003, 3, b"tcp6", b"::.8.1", b""), True),
    ("v4", "UNSET"): (x.rpcb(100003, 3, b"tcp6", b"", b""), True),
    ("v4", "GETADDR"): (x.rpcb(100003, 3, b"tcp6", SIX, b""), b"2001:db8::7.8.1"),
    ("v4", "DUMP"): (None, [x.rp__list(x.rpcb(100003, 3, b"tcp6", b"::.8.1", b"superuser"))]),
    ("v4", "BCAST"): (
        x.rpcb_rmtcallargs(100003, 3, 0, b""),
        x.rpcb_rmtcallres(b"::1.8.1", b""),
    ),
    ("v4", "GETTIME"): (None, 1700000000),
    ("v4", "UADDR2TADDR"): (b"::1.8.1", x.netbuf(28, IN6)),
    ("v4", "TADDR2UADDR"): (x.netbuf(28, IN6), b"::1.8.1"),
    ("v4", "GETVERSADDR"): (x.rpcb(100003, 4, b"tcp6", b"", b""), b""),
    ("v4", "INDIRECT"): (
        x.rpcb_rmtcallargs(100003, 3, 0, b"\xff"),
        x.rpcb_rmtcallres(b"::1.8.1", b"\0\0\0\1"),
    ),
    ("v4", "GETADDRLIST"): (
        x.rpcb(100003, 3, b"", SIX, b""),
        [x.rpcb_entry_list(x.rpcb_entry(b"2001:db8::7.8.1", b"tcp6", 3, b"inet6", b"tcp"))],
    ),
    ("v4", "GETSTAT"): (
        None,
        [
            stat([0] * 13, 0, [], []),
            stat([0] * 13, 0, [], []),
            stat(
                [1, 1, 0, *[1] * 10],
                1,
                [
                    x.rpcbs_addrlist(100003, 3, 1, 0, b"tcp6"),
                    x.rpcbs_addrlist(100003, 4, 0, 1, b"tcp6"),
                ],
                [
                    x.rpcbs_rmtcalllist(100003, 3, 0, 0, 1, 0, b"tcp6"),
                    x.rpcbs_rmtcalllist(100003, 3, 0, 0, 1, 1, b"tcp6"),
                ],
            ),
        ],
    ),
}


def load(version: str) -> dict[str, dict[str, bytes]]:
    """Procedure -> "call", "reply" and perhaps "refused" -> the message, in the file's order."""
    messages: dict[str, dict[str, bytes]] = {}
    kinds: dict[str, bytes] = {}
    kind = ""
    for line in (GOLDEN / f"{version}.txt").read_text().splitlines():
        if found := re.fullmatch(r"== (\w+) (call|reply|refused)", line):
            name, kind = found.groups()
            kinds = messages.setdefault(name, {})
            kinds[kind] = b""
        elif line and not line.startswith("#"):
            kinds[kind] += bytes.fromhex(line.partition(";")[0])
    return messages


def procedure(version: str, name: str) -> tuple[Program, Proc]:
    program = PROGRAMS[version]
    return program, next(proc for proc in program.procs.values() if proc.name == name)


def test_no_procedure_is_left_out() -> None:
    for version, program in PROGRAMS.items():
        names = {proc.name for proc in program.procs.values()}
        assert set(load(version)) == names
        assert {name for v, name in VALUES if v == version} == names


@pytest.mark.parametrize(("version", "name"), VALUES)
def test_call(version: str, name: str) -> None:
    message = load(version)[name]["call"]
    program, proc = procedure(version, name)
    args = VALUES[version, name][0]
    header = read_call(message)
    assert (header.program, header.version, header.proc) == (100000, program.version, proc.number)
    assert header.credential is NOBODY
    assert decode(proc.decode_args, message, header.pos) == args
    head = call_header(header.xid, program.number, program.version, proc.number, NOBODY.pack())
    assert head + encode(proc.encode_args, args) == message


@pytest.mark.parametrize(("version", "name"), VALUES)
def test_reply(version: str, name: str) -> None:
    message = load(version)[name]["reply"]
    _, proc = procedure(version, name)
    result = VALUES[version, name][1]
    xid, pos = read_reply(message)
    assert decode(proc.decode_result, message, pos) == result
    assert success(xid, 1, 0, 0, 0, 0) + encode(proc.encode_result, result) == message


@pytest.mark.parametrize("version", PROGRAMS)
@pytest.mark.parametrize("cut", [1, 4])
def test_cut_short(version: str, cut: int) -> None:
    for name, kinds in load(version).items():
        _, proc = procedure(version, name)
        for message, pos, decoder in (
            (kinds["call"], 40, proc.decode_args),
            (kinds["reply"], 24, proc.decode_result),
        ):
            if len(message) > pos:
                with pytest.raises(ValueError):
                    decode(decoder, message[:-cut], pos)


@pytest.mark.skipif(sys.byteorder == "big", reason="a sockaddr starts with a native number")
@pytest.mark.parametrize("version", PROGRAMS)
def test_served(version: str) -> None:
    """The conversation, replayed: each call gets its reply, byte for byte."""

    async def replay() -> None:
        dispatcher = Dispatcher()
        add_services(dispatcher, Registry(), clock=lambda: NOW)
        pipe = Pipe(dispatcher, peer=Peer(PEERS[version], 1023, "tcp"))
        for name, kinds in load(version).items():
            reply = await asyncio.wait_for(pipe.send(kinds["call"]), 2)
            assert reply == kinds.get("refused", kinds["reply"]), name

    asyncio.run(replay())


@pytest.mark.parametrize("version", PROGRAMS)
def test_refusals_are_proc_unavail(version: str) -> None:
    refused = [kinds["refused"] for kinds in load(version).values() if "refused" in kinds]
    assert len(refused) == (2 if version == "v4" else 1)
    for message in refused:
        with pytest.raises(ProcUnavail):
            read_reply(message)
        assert struct.unpack(">6I", message)[5] == 3
