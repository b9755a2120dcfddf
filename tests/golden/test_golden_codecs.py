"""Every vector of every program, decoded and encoded, by generated code and through xdrlib3."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import golden_programs
import golden_vectors
import pytest
from golden_programs import SUBJECTS, plain
from golden_vectors import Vector, VectorError
from values_numbers import NUMBERS

from oncrpc import xdr
from oncrpc.call import Call, Origin
from oncrpc.errors import XdrError
from oncrpc.message import Credential, call_header, read_call, read_reply
from oncrpc.program import Program
from oncrpc.testing import Capture

CALLS = golden_programs.every("call")
REPLIES = golden_programs.every("reply")

each_call = pytest.mark.parametrize("vector", CALLS, ids=str)
each_reply = pytest.mark.parametrize("vector", REPLIES, ids=str)
each_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda s: s.constant)


def _same(left: Credential, right: Credential) -> bool:
    """Whether two credentials say the same; those that are equal need not be one object."""
    return left.pack() == right.pack()


@each_call
def test_call_means_its_value_and_is_its_encoding(vector: Vector) -> None:
    subject = SUBJECTS[vector.program]
    header = read_call(vector.data)
    program, proc = subject.generated, subject.proc(subject.generated, vector.proc)
    assert header.xid == vector.xid
    assert header[1:4] == (program.number, program.version, proc.number)
    assert any(_same(header.credential, wanted) for wanted in subject.credentials)
    expected = subject.value(vector)
    for data in (vector.data, memoryview(vector.data)):
        assert xdr.decode(proc.decode_args, data, header.pos) == expected
    head = call_header(
        vector.xid, program.number, program.version, proc.number, header.credential.pack()
    )
    assert head + xdr.encode(proc.encode_args, expected) == vector.data


@each_reply
def test_reply_means_its_value_and_is_its_encoding(vector: Vector) -> None:
    subject = SUBJECTS[vector.program]
    proc = subject.proc(subject.generated, vector.proc)
    xid, pos = read_reply(vector.data)
    assert xid == vector.xid
    expected = subject.value(vector)
    for data in (vector.data, memoryview(vector.data)):
        assert xdr.decode(proc.decode_result, data, pos) == expected
    capture = Capture()
    Call(capture, xid, proc, Origin(Credential(), capture.peer)).reply(expected)
    assert capture.sent == [vector.data]


def _body(vector: Vector, program: Program) -> tuple[int, Any, Any]:
    """Where a vector's arguments or result begin, and their decoder and encoder."""
    proc = SUBJECTS[vector.program].proc(program, vector.proc)
    if vector.kind == "call":
        return read_call(vector.data).pos, proc.decode_args, proc.encode_args
    return read_reply(vector.data)[1], proc.decode_result, proc.encode_result


@pytest.mark.parametrize("vector", [*CALLS, *REPLIES], ids=str)
def test_xdrlib_agrees(vector: Vector) -> None:
    subject = SUBJECTS[vector.program]
    pos, decode, encode = _body(vector, subject.dynamic)
    expected = subject.value(vector)
    value = xdr.decode(decode, vector.data, pos)
    assert plain(value) == plain(expected)
    assert xdr.encode(encode, value) == vector.data[pos:]
    assert xdr.encode(encode, expected) == vector.data[pos:]


@pytest.mark.parametrize("vector", [*CALLS, *REPLIES], ids=str)
def test_a_word_more_or_less_is_refused(vector: Vector) -> None:
    subject = SUBJECTS[vector.program]
    for program in (subject.generated, subject.dynamic):
        pos, decode, _ = _body(vector, program)
        with pytest.raises(XdrError):
            xdr.decode(decode, vector.data + bytes(4), pos)
        for end in range(pos, len(vector.data), 4):
            with pytest.raises(XdrError):
                xdr.decode(decode, vector.data[:end], pos)


@each_subject
def test_every_procedure_has_vectors(subject: golden_programs.Subject) -> None:
    names = {proc.name for proc in subject.generated.procs.values()}
    for kind in ("call", "reply"):
        assert {vector.proc for vector in subject.of(kind)} == names


@each_subject
def test_every_value_has_its_vector(subject: golden_programs.Subject) -> None:
    for kind, table in (("call", subject.calls), ("reply", subject.replies)):
        titles = {vector.title for vector in subject.of(kind)}
        assert titles == {f"{subject.constant}.{name}" for name in table}


@each_subject
def test_replies_answer_the_calls_of_their_procedure(subject: golden_programs.Subject) -> None:
    xids = {vector.proc: vector.xid for vector in subject.of("call")}
    for kind in ("call", "reply"):
        assert all(vector.xid == xids[vector.proc] for vector in subject.of(kind))
    assert len(set(xids.values())) == len(xids)


def test_no_vector_is_left_out() -> None:
    for subject in SUBJECTS.values():
        for vector in golden_vectors.load(subject.vectors).values():
            assert vector.program in SUBJECTS, vector.where


def test_every_nfs_procedure_has_a_success_and_a_failure() -> None:
    subject = SUBJECTS["NFS_V3"]
    for proc in subject.generated.procs.values():
        results = [subject.value(v) for v in subject.of("reply") if v.proc == proc.name]
        if proc.name != "NULL":
            assert {result.status == 0 for result in results} == {True, False}, proc.name


@pytest.mark.parametrize("enumeration", NUMBERS, ids=lambda e: e.__name__)
def test_numbers(enumeration: type[IntEnum]) -> None:
    words = NUMBERS[enumeration].split()
    wanted = {name: int(n) for name, n in zip(words[::2], words[1::2], strict=True)}
    assert {member.name: member.value for member in enumeration} == wanted


@pytest.mark.parametrize(
    "text",
    [
        "00000000",
        "[call A.B c]\n0000000",
        "[call A.B c]\n@missing",
        "[call A.B c]\n00000000 # too short",
        "[fragment idle]\n00000000",
        "[fragment f]\n00\n[fragment f]\n00",
        "[call A.B c]\nzz",
    ],
)
def test_a_broken_vector_file_is_refused(text: str) -> None:
    with pytest.raises(VectorError):
        golden_vectors.parse(text, "test")
