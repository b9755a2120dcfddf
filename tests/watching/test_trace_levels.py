"""What is told of calls, level by level; who is told of, and who is not."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
import wire
from trace_kit import (
    ME,
    PROCS,
    Caller,
    Gate,
    OpenBackend,
    in_loop,
    lookup,
    mkdir,
    string,
    traced,
)

from nfsloop.errors import ConfigError
from nfsloop.export import Exports
from nfsloop.layers import Below, Layer
from nfsloop.limits import TRACE_CALLERS, TRACE_LINE_CHARS, TRACE_LINES, TRACE_RESULT_BYTES
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfscall import NfsCall
from nfsloop.nlm4 import nlm4_xdr as n
from nfsloop.watching import telling
from nfsloop.watching.telling import DETAILS, PROGRAMS
from nfsloop.watching.wanted import Filter
from oncrpc.call import LATER
from oncrpc.dispatch import Dispatcher
from oncrpc.message import call_header, success
from oncrpc.xdr import encode, pretty
from portmap.registry import Registry
from portmap.server import add_services


def refused() -> dict[str, bytes]:
    """Messages that the runtime refuses, by what is told of them."""
    getattr_ = PROCS["GETATTR"].number
    return {
        "PROG_UNAVAIL": wire.call(wire.NFSACL, credential=ME),
        "PROG_MISMATCH 3-3": wire.call(version=4, credential=ME),
        "PROC_UNAVAIL": wire.call(proc=99, credential=ME),
        "GARBAGE_ARGS": wire.call(proc=getattr_, args=b"\0\0\0\7", credential=ME),
        "AUTH_ERROR REJECTEDCRED": wire.call(credential=wire.auth(6, b"gss!")),
        "AUTH_ERROR BADCRED": wire.call(credential=wire.auth(1, b"what")),
        "RPC_MISMATCH 2-2": wire.call(rpc=3, credential=ME),
    }


EXPECTED = {
    1: ["NFS3ERR_NOENT"],
    2: ["OK", "OK", "NFS3ERR_NOENT"],
    3: ["OK", "OK", "NFS3ERR_NOENT", *refused(), "no message"],
}


@pytest.mark.parametrize("level", range(1, 10))
@in_loop
async def test_each_level_tells_what_it_must_and_no_more(level: int) -> None:
    async with traced(level) as t:
        root = await t.root()
        change = t.message("MKDIR", mkdir(root, b"new"))
        t.record(wire.call(credential=ME))
        first = t.record(change)
        assert t.record(change) == first and first  # kept
        t.call("LOOKUP", lookup(root, b"missing"))
        for message in refused().values():
            assert t.record(message)
        assert t.record(b"what?") == b""
        events = list(t.events)
        told = t.told()
    if level < 4:
        found = [
            "no message" if "no RPC message" in line else re.split(": |, ", line)[-3]
            for line in told
        ]
        found = [
            next((why for why in refused() if f": {why}," in line), one)
            for one, line in zip(found, told, strict=True)
        ]
        assert found == EXPECTED[level]
        assert all(len(event) == 1 for event in events)
        return
    calls = [line for line in told if ": call, " in line]
    replies = [line for line in told if ": reply " in line]
    replays = [line for line in told if ": replay OK, " in line]
    assert (len(calls), len(replies), len(replays)) == (4 + 7, 3 + 7, 1)
    assert len(told) == 4 + 7 + 3 + 7 + 1 + 1
    assert replays[0].partition(" xid ")[2].startswith("00000001 ")
    longer = [event[0] for event in events if len(event) > 1]
    if level == 4:
        assert not longer
    else:  # NULL and what was refused have neither arguments nor a result
        assert len(longer) == 2 * 3


@in_loop
async def test_a_line_has_all_of_it() -> None:
    async with traced(2) as t:
        t.call("LOOKUP", lookup(await t.root(), b"a name"), Caller("2001:db8::7", 801, "udp"))
        [line] = t.told()
        assert re.fullmatch(
            r"\[2001:db8::7\]:801/udp xid 00000001 uid 1000 gid 100 NFS3 LOOKUP /#\d+ 'a name': "
            r"NFS3ERR_NOENT, \d+ us, 112\+116 bytes",
            line,
        ), line
        t.record(wire.call())
        assert " AUTH_NONE NFS3 NULL: OK, " in t.told()[0]


@in_loop
async def test_reads_and_writes_tell_where_and_how_much() -> None:
    async with traced(2) as t:
        root = await t.root()
        how = x.createhow3(x.GUARDED, mkdir(root, b"").attributes)
        made = t.call("CREATE", x.CREATE3args(x.diropargs3(root, b"file"), how))
        file = made.resok.obj
        t.call("WRITE", x.WRITE3args(file, 5, 300_000, x.UNSTABLE, bytes(300_000)))
        t.call("READ", x.READ3args(file, 7, 4096))
        t.call("COMMIT", x.COMMIT3args(file, 0, 0))
        t.call("RENAME", x.RENAME3args(x.diropargs3(root, b"file"), x.diropargs3(root, b"to")))
        t.call("GETATTR", x.GETATTR3args(bytes(32)))
        create, write, read, commit, rename, bad = (re.sub(r"#\d+", "#N", s) for s in t.told())
        assert "CREATE /#N 'file' GUARDED: OK" in create
        assert "WRITE /#N offset 5 count 300000 UNSTABLE: OK" in write
        assert len(write) < 200 and "+160 bytes" in write
        assert "READ /#N offset 7 count 4096: OK" in read
        assert "COMMIT /#N offset 0 count 0: OK" in commit
        assert "RENAME /#N 'file' to /#N 'to': OK" in rename
        assert "GETATTR bad-handle:0000000000000000(32 bytes): NFS3ERR_BADHANDLE" in bad
        assert t.app.handles.bad.total() == 1  # the server's own, not the trace's


def test_all_procedures_have_details() -> None:
    for proc in PROCS.values():
        if proc.number:
            assert getattr(x, proc.decode_args.__name__.removeprefix("decode_")) in DETAILS


@in_loop
async def test_a_call_that_waits_is_told_as_it_came() -> None:
    """The buffer that a large record lies in is used by others meanwhile."""
    gate = Gate("WRITE")
    async with traced(2, layers=[gate]) as t:
        args = x.WRITE3args(await t.root(), 4711, 20_000, x.FILE_SYNC, bytes(20_000))
        buffer = bytearray(t.message("WRITE", args))
        t.record(memoryview(buffer))
        assert t.told() == []
        buffer[:] = bytes(len(buffer))
        gate.open.set()
        await t.app.server.dispatcher.drain(5)
        [line] = t.told()
    assert "xid 00000001 uid 1000 gid 100 NFS3 WRITE /#" in line
    assert "offset 4711 count 20000 FILE_SYNC: NFS3ERR_" in line


class Answers(Layer):
    """GETATTR is answered with these bytes behind a header, or not at all."""

    procedures = frozenset({"GETATTR"})

    def __init__(self, body: bytes | None) -> None:
        self.body = body

    async def handle(self, call: NfsCall, args: Any, below: Below) -> Any:
        if self.body is None:
            call.drop()
        else:
            call.transport.send([success(call.xid, 1, 0, 0, 0, 0), self.body])
            call.drop()
        return LATER


@pytest.mark.parametrize(
    ("level", "body", "last"),
    [
        (2, None, None),
        (3, None, "GETATTR /#N: no answer"),
        (2, b"\0\0\0\0junk", "GETATTR /#N: OK, "),
        (2, b"\0\0\x30\x39", "GETATTR /#N: status 12345, "),
        (5, b"\0\0\0\0junk", "    no result of GETATTR: "),
        (2, b"", "GETATTR /#N: no status, "),
        (1, b"\0\0", "GETATTR /#N: no status, "),
    ],
    ids=["dropped-2", "dropped-3", "junk-2", "status-2", "junk-5", "empty-2", "short-1"],
)
@in_loop
async def test_answers_that_are_none(level: int, body: bytes | None, last: str | None) -> None:
    async with traced(level, layers=[Answers(body)]) as t:
        reply = t.record(t.message("GETATTR", x.GETATTR3args(await t.root())))
        assert bool(reply) == (body is not None)
        if last is None:
            assert not t.events
            return
        line = re.sub(r"#\d+", "#N", t.events[-1][-1])
    assert last in line, line


@in_loop
async def test_a_fault_in_telling_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> str:
        raise ZeroDivisionError("a bug")

    for level in (2, 4):
        async with traced(level) as t:
            root = await t.root()
            with monkeypatch.context() as patch:
                patch.setattr(telling, "details", broken)
                assert t.call("GETATTR", x.GETATTR3args(root)).status == x.NFS3_OK
            assert t.told()[0] == "NFS3 GETATTR: cannot be told: ZeroDivisionError"


@in_loop
async def test_a_sink_that_fails_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("a filter of a program's logger")

    for level, dropped in ((2, 2), (4, 4)):
        async with traced(level) as t:
            root = await t.root()
            with monkeypatch.context() as patch:
                patch.setattr(t, "tell", broken)
                for _ in range(2):
                    assert t.call("GETATTR", x.GETATTR3args(root)).status == x.NFS3_OK
                assert t.dropped == dropped
                patch.setattr(t, "drop", broken)
                assert t.call("GETATTR", x.GETATTR3args(root)).status == x.NFS3_OK
            t.call("GETATTR", x.GETATTR3args(root))
            assert t.told()


@in_loop
async def test_a_fault_in_a_filter_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> str:
        raise ZeroDivisionError("a bug")

    async with traced(2, exports=["/"]) as t:
        for path in (b"/", b"", b"relative", b"//..//", b"\xff\0", b"/" * 1024):
            assert t.record(wire.call(wire.MOUNT, 3, 1, string(path), credential=ME))
        t.events.clear()
        monkeypatch.setattr(Exports, "find", broken)
        assert t.record(wire.call(wire.MOUNT, 3, 3, string(b"/"), credential=ME))
        assert t.events == []


@in_loop
async def test_nothing_is_made_ready_for_who_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> str:
        raise AssertionError("it is told to nobody")

    for level, dropped in ((2, 1), (5, 2)):
        async with traced(level) as t:
            root = await t.root()
            t.full = True
            with monkeypatch.context() as patch:
                patch.setattr(telling, "details", never)
                assert t.call("GETATTR", x.GETATTR3args(root)).status == x.NFS3_OK
            assert (t.dropped, t.events) == (dropped, [])


# Depth, bounds, what clients may write


@in_loop
async def test_printers_look_deeper_with_each_level() -> None:
    sizes = []
    for level in range(5, 10):
        async with traced(level) as t:
            root = await t.root()
            for index in range(8):
                t.call("MKDIR", mkdir(root, b"d%d" % index))
            t.events.clear()
            t.call("READDIRPLUS", x.READDIRPLUS3args(root, 0, bytes(8), 60_000, 60_000))
            [asked, answered] = t.events
        assert asked[1:3] == ["    READDIRPLUS3args", f"      dir: {root.hex()}"]
        text = "\n".join(answered)
        assert ("(...)" in text or " ...]" in text) == (level < 9)
        assert ('name: "d3"' in text) == (level == 9)
        assert (level > 5) == ("dir_attributes" in text)
        assert len(answered) <= TRACE_LINES + 2
        sizes.append(len(answered))
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[-1]
    assert sizes[-1] == TRACE_LINES + 2 and answered[-1] == "    … more"


@in_loop
async def test_a_large_directory_is_gone_through_no_further_than_it_is_told() -> None:
    async with traced(8) as t:
        root = await t.root()
        for index in range(TRACE_LINES + 50):
            t.call("MKDIR", mkdir(root, b"%d" % index))
        t.events.clear()
        t.call("READDIR", x.READDIR3args(root, 0, bytes(8), 60_000))
        answered = t.events[-1]
        assert f"          entries: [{TRACE_LINES + 52}]" in answered  # with . and ..
        assert answered[-1] == "    … more"
    shown = pretty(x.dirlist3([x.entry3(1, b"name", 2)] * 5000, True), most=10)
    assert "entries: [5000]" in shown and shown.count("- entry3") == 10


@in_loop
async def test_a_long_listing_is_told_by_its_size() -> None:
    """To take it apart keeps the server from everybody else for milliseconds."""
    async with traced(9) as t:
        root = await t.root()
        for index in range(400):
            t.call("MKDIR", mkdir(root, b"%d" % index + b"n" * 100))
        t.events.clear()
        t.call("READDIRPLUS", x.READDIRPLUS3args(root, 0, bytes(8), 256 << 10, 256 << 10))
        head, *more = t.events[-1]
        size = int(re.split(", | ", head)[-2])
        assert size > TRACE_RESULT_BYTES
        assert more == [f"    a result of {size} bytes: too long to be shown"]
        t.call("READDIR", x.READDIR3args(root, 0, bytes(8), 4096))
        assert "    READDIR3res" in t.events[-1]


@in_loop
async def test_bulk_data_are_not_told_whole() -> None:
    async with traced(9) as t:
        root = await t.root()
        t.call("WRITE", x.WRITE3args(root, 0, 1 << 20, x.UNSTABLE, b"x" * (1 << 20)))
        text = "\n".join("\n".join(event) for event in t.events)
    assert "x" * 30 in text and "(1048576 bytes)" in text and len(text) < 3000


NAMES = {
    b"line\nbreak": r"'line\nbreak'",
    b"\x1b[31mred\x07": r"'\x1b[31mred\x07'",
    "\u202egpj.exe\u2028".encode(): r"'\u202egpj.exe\u2028'",
    b"\xff\xfe": r"'\xff\xfe'",
    b"back\\slash": r"'back\\slash'",
    b"both ' and \"": r"""'both \' and "'""",
    "Straße".encode(): "'Straße'",
    b"quote' : OK, 1 us": '"quote\' : OK, 1 us"',
    b"\xc2\x9b31m": r"'\x9b31m'",
}


@pytest.mark.parametrize("level", [2, 4, 9])
@in_loop
async def test_names_reach_nobody_raw(level: int) -> None:
    async with traced(level) as t:
        root = await t.root()
        for given, shown in NAMES.items():
            t.call("LOOKUP", lookup(root, given))
            lines = [line for event in t.events for line in event]
            t.events.clear()
            assert shown in lines[0]
            assert all(line.isprintable() for line in lines), lines
        machine = wire.auth_sys(1, 2, [], b"\n\x1b")
        t.record(wire.call(credential=machine))
        t.record(wire.call(wire.MOUNT, 3, 1, string(b"/\n" * 500), credential=ME))
        for event in t.events:
            assert all(line.isprintable() for line in event)
        assert "… (1000 bytes)" in t.told()[1 if level == 2 else 2]


@in_loop
async def test_no_line_is_without_end() -> None:
    async with traced(2) as t:
        long = b"\xff" * 3000
        body = encode(PROCS["LOOKUP"].encode_args, lookup(await t.root(), long))
        t.record(wire.call(proc=3, args=body, credential=ME))
        target = x.SYMLINK3args(
            x.diropargs3(await t.root(), long),
            x.symlinkdata3(mkdir(b"", b"").attributes, b"\xfe" * 500_000),
        )
        t.call("SYMLINK", target)
        lines = t.told()
        rename = x.RENAME3args(
            x.diropargs3(await t.root(), b"\1" * 255), x.diropargs3(await t.root(), b"\2" * 255)
        )
        t.call("RENAME", rename)
        lines += t.told()
    assert len(lines) == 3
    for line in lines:  # what became of it is not cut off
        about, end, _ = re.split(r"(: (?:NFS3ERR_\w+|OK), \d+ us, \d+\+\d+ bytes)$", line)
        assert end and len(about) <= TRACE_LINE_CHARS + 1
    assert len(lines[-1]) > TRACE_LINE_CHARS


# Other programs


@in_loop
async def test_mounts_and_locks() -> None:
    async with traced(2, {"/a": OpenBackend(), "/b": OpenBackend()}) as t:
        for version, path in ((3, b"/a"), (3, b"/none"), (1, b"/none"), (3, b"/b/no\n")):
            t.record(wire.call(wire.MOUNT, version, 1, string(path), credential=ME))
        t.record(wire.call(wire.MOUNT, 3, 5, credential=ME))
        mounts = t.told()
        root = await t.root(1)
        lock = n.nlm4_lock(b"client\n", root, b"owner", 7, 3, 4)
        args = encode(n.encode_nlm4_lockargs, n.nlm4_lockargs(b"c", True, True, lock, False, 0))
        t.record(wire.call(wire.NLM, 4, 2, args, credential=ME))
        unlock = encode(n.encode_nlm4_unlockargs, n.nlm4_unlockargs(b"cook", lock))
        t.record(wire.call(wire.NLM, 4, 4, unlock, credential=ME))
        t.record(wire.call(wire.NLM, 4, 0, credential=ME))
        locks = t.told()
    ends = [
        line.partition(" gid 100 ")[2].rpartition(", ")[0].rpartition(", ")[0] for line in mounts
    ]
    assert ends == [
        "MOUNT3 MNT '/a': OK",
        "MOUNT3 MNT '/none': MNT3ERR_ACCES",
        "MOUNT1 MNT '/none': EACCES",
        "MOUNT3 MNT '/b/no\\n': MNT3ERR_NOENT",
        "MOUNT3 EXPORT: OK",
    ]
    assert "NLM4 LOCK /b#" in locks[0] and ": NLM4_DENIED_NOLOCKS, " in locks[0]
    assert "l_offset 3 l_len 4 by 'client\\n'" in locks[0]
    assert "NLM4 UNLOCK /b#" in locks[1] and ": OK, " in locks[1]
    assert "NLM4 NULL: OK, " in locks[2]


@in_loop
async def test_the_portmapper_on_its_own_port_too() -> None:
    async with traced(2) as t:
        own = Dispatcher()
        add_services(own, Registry())
        t.app.watcher.also(own)
        getport = struct.pack(">4I", wire.NFS, 3, 6, 0)
        own.dispatch(wire.call(wire.PORTMAP, 2, 3, getport), t.caller)
        found = "PORTMAP2 GETPORT prog 100003 vers 3 prot 6 port 0: not registered, "
        assert found in t.told()[0]
        t.call("GETATTR", x.GETATTR3args(await t.root()))
        assert len(t.told()) == 1
    assert "dispatch" not in own.__dict__


# Filters


async def some_calls(t: Any) -> None:
    """Of two exports, two programs and three clients."""
    a, b = await t.root(0), await t.root(1)
    for caller in (Caller("10.1.2.3"), Caller("10.9.9.9"), Caller("2001:db8::7")):
        for root in (a, b):
            t.call("GETATTR", x.GETATTR3args(root), caller)
            t.call("LOOKUP", lookup(root, b"x"), caller)
        for path in (b"/a", b"/b/sub", b"/c"):
            t.record(wire.call(wire.MOUNT, 3, 1, string(path), credential=ME), caller)
        t.record(wire.call(credential=ME), caller)
        t.record(wire.call(wire.NFSACL, credential=ME), caller)
        t.record(wire.call(version=4, credential=ME), caller)


@pytest.mark.parametrize(
    ("request_", "count", "all_have"),
    [
        ({}, 3 * 10, ""),
        ({"clients": ["10.1.2.3"]}, 10, "10.1.2.3:"),
        ({"clients": ["10.0.0.0/8"]}, 20, "10."),
        ({"clients": ["2001:db8::/32"]}, 10, "[2001:db8::7]:"),
        ({"clients": ["::ffff:10.1.2.3"]}, 10, "10.1.2.3:"),
        ({"clients": ["::ffff:10.0.0.0/104"]}, 20, "10."),
        ({"clients": ["10.0.0.0/255.0.0.0"]}, 20, "10."),
        ({"clients": ["10.1.2.3", "2001:db8::7"]}, 20, ""),
        ({"exports": ["/a"]}, 3 * 3, "/a"),
        ({"exports": ["/b/"]}, 3 * 3, "/b"),
        ({"exports": ["/a", "/b"]}, 3 * 6, ""),
        ({"procedures": ["lookup"]}, 3 * 2, "NFS3 LOOKUP"),
        ({"procedures": ["LOOKUP", "mnt"]}, 3 * 5, ""),
        ({"procedures": ["null"], "programs": ["nfs"]}, 3, "NFS3 NULL"),
        ({"programs": ["MOUNT"]}, 3 * 3, "MOUNT3 MNT"),
        ({"programs": ["nfs"], "clients": ["10.1.2.3"]}, 6, " NFS"),  # version 4 too
        ({"exports": ["/a"], "procedures": ["MNT"], "clients": ["10.9.9.9"]}, 1, "MNT '/a'"),
    ],
    ids=str,
)
@in_loop
async def test_filters(request_: dict[str, Any], count: int, all_have: str) -> None:
    async with traced(3, {"/a": OpenBackend(), "/b": OpenBackend()}, **request_) as t:
        await some_calls(t)
        lines = t.told()
    assert len(lines) == count, lines
    assert all(all_have in line for line in lines)


@in_loop
async def test_what_is_no_call_passes_no_filter() -> None:
    """Short messages, and calls of other programs, are for no program and for no export."""
    none: dict[str, Any] = {}
    for request, count in ((none, 4), ({"programs": ["nfs"]}, 1), ({"exports": ["/"]}, 0)):
        async with traced(3, **request) as t:
            t.record(b"what?")
            t.record(wire.call(credential=ME)[:20])
            t.record(wire.call(wire.NFSACL, credential=ME))
            handle = encode(PROCS["GETATTR"].encode_args, x.GETATTR3args(await t.root()))
            t.record(wire.call(version=4, proc=1, args=handle, credential=ME))
            assert len(t.told()) == count, request


@in_loop
async def test_what_is_remembered_of_who_calls_is_bounded() -> None:
    async with traced(2, clients=["10.0.0.0/8"]) as t:
        for number in range(2 * TRACE_CALLERS):
            machine = wire.auth_sys(number, number, [])
            caller = Caller(f"10.0.{number >> 8}.{number & 255}")
            t.record(wire.call(credential=machine), caller)
        assert f" uid {number} gid {number} " in t.told()[-1]
        [watch] = t.app.watcher._watches
        tracer: Any = watch.__self__  # type: ignore[attr-defined]
        assert 0 < len(tracer._hosts) <= TRACE_CALLERS
        assert 0 < len(tracer._callers) <= TRACE_CALLERS
        long = wire.auth(1, b"x" * 400)
        assert t.record(wire.call(credential=long), Caller("10.0.0.1"))
        assert t.told() == []  # a refusal, which level 2 does not tell
    async with traced(3) as t:
        for flavor, size in ((1, 400), (0, 404)):
            t.record(wire.call(credential=wire.auth(flavor, b"x" * size)))
            assert " bad-credential NFS3 NULL" in t.told()[0]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"clients": ["somewhere"]}, "--client: 'somewhere' is no address or network"),
        ({"clients": ["10.0.0.*"]}, "--client: '10.0.0.*' is no address or network"),
        ({"clients": ["*"]}, "--client: '*' is no address or network"),
        ({"clients": [""]}, "--client: it is empty; leave it out to mean all"),
        ({"clients": ["10.0.0.7", ""]}, "--client: it is empty"),
        ({"clients": ""}, "--client: it is empty"),
        ({"exports": [""]}, "--export: it is empty"),
        ({"procedures": [""]}, "--procedure: it is empty"),
        ({"programs": [""]}, "--program: it is empty"),
        ({"exports": ["/c"]}, "--export: '/c' is not exported; there is /a, '/b c'"),
        ({"procedures": ["LOKUP"]}, "--procedure: no program has 'LOKUP'; did you mean LOOKUP"),
        ({"procedures": ["MNT"], "programs": ["nlm"]}, "--procedure: no program has 'MNT'"),
        ({"programs": ["smb"]}, "--program: 'smb' is none of nfs, mount, nlm, portmap"),
        ({"level": 0}, "--level takes a level from 1 to 9, not 0"),
        ({"level": "x"}, "--level takes a level from 0 to 9, not 'x'"),
    ],
    ids=str,
)
def test_filters_that_match_nothing(request_: dict[str, Any], said: str) -> None:
    from nfsloop.export import Export

    exports = Exports([Export("/a", OpenBackend()), Export("/b c", OpenBackend())])
    with pytest.raises(ConfigError) as caught:
        Filter.parse(request_, exports)
    assert said in str(caught.value)


def test_procedures_of_all_programs_have_names_of_their_own_words() -> None:
    wanted = Filter.parse({"programs": list(PROGRAMS)}, Exports())
    count = sum(len(program.procs) for some in PROGRAMS.values() for program in some)
    assert len(wanted.procedures) == count
    mnt = call_header(1, m.MOUNT_V1.number, 1, 1, bytes(8))[12:24]
    assert Filter.parse({"procedures": ["mnt"]}, Exports()).procedures == {
        mnt, struct.pack(">3I", m.MOUNT_V3.number, 3, 1),
    }  # fmt: skip
