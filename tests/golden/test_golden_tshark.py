"""The vectors as a capture: tshark, which shares no code with us, must read all of it as we do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import golden_pcap
import golden_tshark
import golden_vectors
import pytest
from golden_pcap import PORTS, Reading, Turn, exchange
from golden_programs import SUBJECTS, Subject
from golden_vectors import Vector
from values_rpc import REFUSALS

from oncrpc.errors import AcceptedRefusal, AuthError, ProgMismatch

pytestmark = pytest.mark.peer

RPC = golden_vectors.load("rpc.txt")

#: Signs that a message is not what tshark makes of the protocol; `data.data` is what is left over.
WRONG = ("_ws.malformed", "_ws.expert.message", "_ws.short", "_ws.unreassembled", "data.data")
HEADER = ("rpc.xid", "rpc.program", "rpc.programversion", "rpc.procedure", "rpc.repframe")
REFUSAL = (
    "rpc.state_accept",
    "rpc.state_reject",
    "rpc.state_auth",
    "rpc.version.min",
    "rpc.version.max",
    "rpc.programversion.min",
    "rpc.programversion.max",
    "rpc.auth.gid",
)
INFO = "_ws.col.Info"

#: tshark does not know rpc.statd's private call, and leaves its arguments undissected.
UNKNOWN_PROCS = {"SM_NOTIFY": "proc-16"}
#: Names that are no text: tshark shows them its own way.
NOT_TEXT = {"call NFS_V3.LOOKUP name that is no UTF-8"}
#: Not RPC to tshark, which looks for version 2 alone.
NOT_RPC = {"RPC version 3"}
#: What tshark must complain about: calls whose replies say what is wrong with them.
COMPLAINTS = {
    "garbage: bool of 2": "data.data",
    "garbage: a word left over": "data.data",
    "bad credential: it ends too soon": "_ws.malformed",
}


@dataclass
class Shown:
    """A vector's place in the capture."""

    vector: Vector
    frame: int


class Captured:
    """All vectors in one capture, and tshark's reading of it."""

    def __init__(self, folder: Path) -> None:
        self._connections: list[tuple[int, list[Turn]]] = []
        self._titles: list[list[Vector | None]] = []
        for subject in SUBJECTS.values():
            self._add_subject(subject)
        for vector in RPC.values():
            if vector.kind == "call":
                self._add(2049, [vector, RPC[f"reply {vector.title}"]])
            elif vector.kind == "record":
                self._add_record(vector)
        pcap, frames = golden_pcap.capture(self._connections)
        self.shown: dict[str, Shown] = {}
        for titles, ends in zip(self._titles, frames, strict=True):
            for vector_or_none, frame in zip(titles, ends, strict=True):
                if vector_or_none is not None:
                    self.shown[str(vector_or_none)] = Shown(vector_or_none, frame)
        self.reading = Reading(pcap, folder)
        self.fields = self.reading.fields(*WRONG, *HEADER, *REFUSAL, INFO, *golden_tshark.NAMES)

    def _add_subject(self, subject: Subject) -> None:
        for proc in subject.generated.procs.values():
            calls = [v for v in subject.of("call") if v.proc == proc.name]
            replies = [v for v in subject.of("reply") if v.proc == proc.name]
            for i in range(max(len(calls), len(replies))):
                pair = [calls[min(i, len(calls) - 1)], replies[min(i, len(replies) - 1)]]
                self._add(PORTS[subject.generated.number], pair)

    def _add(self, port: int, pair: list[Vector]) -> None:
        self._connections.append((port, exchange(pair[0].data, pair[1].data)))
        self._titles.append([*pair])

    def _add_record(self, vector: Vector) -> None:
        """A record behind the call it answers, or behind another call and its reply."""
        call, reply = RPC["call AUTH_NONE"].data, RPC["reply AUTH_NONE"].data
        from_server = vector.title.startswith("reply")
        before = exchange(call, None if from_server else reply)
        self._connections.append((2049, [*before, Turn(from_server, vector.data)]))
        self._titles.append([*(None for _ in before), vector])


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    return _captured(tmp_path_factory.getbasetemp())


@cache
def _captured(folder: Path) -> Captured:
    return Captured(folder)


PROGRAM_VECTORS = [v for s in SUBJECTS.values() for kind in ("call", "reply") for v in s.of(kind)]


@pytest.mark.parametrize("vector", PROGRAM_VECTORS, ids=str)
def test_tshark_reads_what_we_mean(captured: Captured, vector: Vector) -> None:
    subject = SUBJECTS[vector.program]
    fields = captured.fields[captured.shown[str(vector)].frame]
    proc = UNKNOWN_PROCS.get(vector.proc, vector.proc)
    undissected = proc != vector.proc and vector.kind == "call"
    assert {name: fields[name] for name in WRONG if fields[name]}.keys() == (
        {"data.data"} if undissected else set()
    )
    direction = "Call" if vector.kind == "call" else r"Reply \(Call In \d+\)"
    wanted_info = rf"V{subject.generated.version} {proc} {direction}"
    assert re.match(wanted_info, fields[INFO][0]), fields[INFO]
    assert int(fields["rpc.xid"][0], 0) == vector.xid
    assert bool(fields["rpc.repframe"]) == (vector.kind == "reply")
    if undissected or str(vector) in NOT_TEXT:
        return
    wanted = golden_tshark.expected(subject.value(vector))
    assert golden_tshark.shown(fields, wanted) == wanted


@pytest.mark.parametrize("title", [v.title for v in RPC.values() if v.kind == "call"])
def test_tshark_reads_the_exchanges(captured: Captured, title: str) -> None:
    call = captured.fields[captured.shown[f"call {title}"].frame]
    reply = captured.fields[captured.shown[f"reply {title}"].frame]
    if title in NOT_RPC:
        assert not call["rpc.xid"]
        assert call["data.data"]
        return
    complaints = {name for name in WRONG if call[name]} - {"_ws.expert.message"}
    assert complaints == ({COMPLAINTS[title]} if title in COMPLAINTS else set())
    assert not any(reply[name] for name in WRONG)
    assert reply["rpc.repframe"] == [str(captured.shown[f"call {title}"].frame)]
    why = REFUSALS.get(title)
    if isinstance(why, AuthError):
        assert reply["rpc.state_reject"] == ["1"]
        assert reply["rpc.state_auth"] == [str(int(why.stat))]
    else:
        stat = why.stat if isinstance(why, AcceptedRefusal) else 0
        assert reply["rpc.state_accept"] == [str(int(stat))]
    if isinstance(why, ProgMismatch):
        assert reply["rpc.programversion.min"] == [str(why.low)]
        assert reply["rpc.programversion.max"] == [str(why.high)]
    if title == "AUTH_SYS of 16 groups":
        assert call["rpc.auth.gid"][-16:] == [*map(str, range(15)), "4294967295"]


@pytest.mark.parametrize(
    ("title", "info"),
    [
        ("one fragment", "V3 NULL Call"),
        ("two records", "V3 NULL Call .*V3 NULL Call"),
        ("reply", "V3 NULL Reply"),
        ("reply of two fragments", "V3 NULL Reply"),
    ],
)
def test_tshark_reads_the_records(captured: Captured, title: str, info: str) -> None:
    """Not those whose first fragment is too short for tshark to see a message in it."""
    fields = captured.fields[captured.shown[f"record {title}"].frame]
    assert re.search(info, fields[INFO][0]), fields[INFO]
    assert not any(fields[name] for name in WRONG)


def test_tshark_shows_the_programs_in_full(captured: Captured) -> None:
    text = captured.reading.text()
    for phrase in (
        "Program: NFS (100003)",
        "Program: MOUNT (100005)",
        "Program: NLM (100021)",
        "Procedure: READDIRPLUS (17)",
        "Procedure: EXPORT (5)",
        "Procedure: FREE_ALL (23)",
        "Machine Name: alpha",
        "Auxiliary GIDs (3) [100, 4, 27]",
        "Network File System, LINK Call From DH",
        "Status: NFS3ERR_NOT_SYNC (10002)",
    ):
        assert phrase in text, phrase


def test_tshark_notices_a_word_more_or_less(tmp_path: Path) -> None:
    """The check itself can fail."""
    vectors = golden_vectors.load("nfs3.txt")
    call, reply = vectors["call NFS_V3.GETATTR file"], vectors["reply NFS_V3.GETATTR file"]
    longer = exchange(call.data + bytes(4), reply.data + bytes(4))
    shorter = exchange(call.data[:-4], reply.data[:-4])
    pcap, frames = golden_pcap.capture([(2049, longer), (2049, shorter)])
    fields = Reading(pcap, tmp_path).fields("_ws.malformed", "data.data")
    assert all(fields[frame]["data.data"] for frame in frames[0])
    assert all(fields[frame]["_ws.malformed"] for frame in frames[1])
