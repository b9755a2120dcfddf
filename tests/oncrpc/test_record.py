"""Record marking: fragments, splits, limits, and what large records cost (RFC 5531 section 11)."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncrpc.errors import RecordError
from oncrpc.limits import RECORD_BYTES, SMALL_RECORD_BYTES
from oncrpc.record import RecordReader, Scratch, mark


def feed(reader: RecordReader, data: bytes) -> list[bytes]:
    """Receive `data` in as many steps as the reader's space asks for."""
    records = []
    while data:
        space = reader.space()
        assert len(space) > 0
        count = min(len(space), len(data))
        space[:count] = data[:count]
        data = data[count:]
        reader.received(count)
        records += [bytes(record) for record in reader.records()]
        reader.settle()
    return records


def fragments(record: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(min(cut, len(record)) for cut in cuts), len(record)]
    parts = [record[a:b] for a, b in pairwise(edges)]
    out = b""
    for index, part in enumerate(parts):
        last = 0x80000000 if index == len(parts) - 1 else 0
        out += struct.pack(">I", last | len(part)) + part
    return out


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * SMALL_RECORD_BYTES), st.lists(st.integers(0, 9000), max_size=3)
        ),
        max_size=6,
    ),
    st.lists(st.integers(1, 20000), min_size=1, max_size=40),
    st.integers(600, 40000),
)
def test_any_records_in_any_pieces(
    records: list[tuple[int, list[int]]], pieces: list[int], scratch: int
) -> None:
    """Whatever the fragments, the reads and the buffer's size: the same records, in order."""
    sent = [bytes([index + 1]) * size for index, (size, _) in enumerate(records)]
    cuts = [cuts for _, cuts in records]
    wire = b"".join(fragments(record, cut) for record, cut in zip(sent, cuts, strict=True))
    reader = RecordReader(Scratch(scratch))
    got: list[bytes] = []
    step = 0
    while wire:
        size = pieces[step % len(pieces)]
        got += feed(reader, wire[:size])
        wire = wire[size:]
        step += 1
    assert got == sent
    assert reader.pending == 0


def test_a_mark_split_over_two_reads() -> None:
    reader = RecordReader(Scratch())
    wire = mark(5) + b"hello"
    for cut in range(1, len(wire)):
        assert feed(reader, wire[:cut]) + feed(reader, wire[cut:]) == [b"hello"]


def test_many_records_in_one_read() -> None:
    reader = RecordReader(Scratch())
    assert feed(reader, (mark(3) + b"abc") * 1000) == [b"abc"] * 1000


def test_a_record_over_the_limit_is_refused_by_its_mark() -> None:
    reader = RecordReader(Scratch())
    with pytest.raises(RecordError):
        feed(reader, struct.pack(">I", 0xFFFFFFFF))


def test_fragments_that_add_up_over_the_limit_are_refused() -> None:
    reader = RecordReader(Scratch(), limit=1000)
    with pytest.raises(RecordError):
        feed(reader, (struct.pack(">I", 400) + bytes(400)) * 3)


def test_a_claim_takes_no_memory_before_its_bytes_come() -> None:
    reader = RecordReader(Scratch(4096))
    feed(reader, mark(RECORD_BYTES) + b"x" * 10)
    assert len(reader.space()) < 100_000


def test_small_records_outlive_the_buffer_and_large_ones_are_views() -> None:
    reader = RecordReader(Scratch())
    wire = mark(8) + b"smallest" + mark(SMALL_RECORD_BYTES + 4) + bytes(SMALL_RECORD_BYTES + 4)
    reader.space()[: len(wire)] = wire
    reader.received(len(wire))
    small, large = reader.records()
    assert isinstance(small, bytes)
    assert isinstance(large, memoryview)


def test_an_idle_connection_holds_no_buffer_of_its_own() -> None:
    scratch = Scratch(4096)
    reader = RecordReader(scratch)
    feed(reader, mark(9000) + bytes(9000))
    assert reader.space().obj is scratch.view.obj


def test_records_may_be_taken_in_part() -> None:
    """A server that has enough calls in flight leaves the rest, and takes it later."""
    reader = RecordReader(Scratch())
    wire = (mark(4) + b"abcd") * 5
    reader.space()[: len(wire)] = wire
    reader.received(len(wire))
    first = next(iter(reader.records()))
    reader.settle()
    assert first == b"abcd"
    assert list(reader.records()) == [b"abcd"] * 4
    reader.settle()
    assert reader.pending == 0
