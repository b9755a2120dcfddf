"""Records as bytes, and back."""

from __future__ import annotations

import dataclasses

import pytest

from backends.base import FileType, FsError, Status
from backends.kvfs.records import Doomed, Entry, Inode, State, decode_listed, encode_listed

#: What an inode has beyond the rest, by its type.
_OWN: dict[FileType, dict[str, object]] = {
    FileType.REG: {"data": 2**62, "verifier": b"verifier"},
    FileType.LNK: {"target": b"\xff" * 4095},
    FileType.DIR: {"parent": 2**40, "next_cookie": 2**50, "entries": 7},
    FileType.CHR: {"rdev": (2**32 - 1, 5)},
}


def inode(type: FileType) -> Inode:
    """One in which no two numbers are the same."""
    values = _OWN.get(type, {})
    node = Inode(
        2**63, type, 0o7654, 2**32 - 1, 2**32 - 2, 2**32 - 3, 11, 2**62 + 12, 13,
        nlink=2**31 - 1, size=2**63 - 1, used=2**63 - 2,
    )  # fmt: skip
    for what, value in values.items():
        setattr(node, what, value)
    return node


def fields(node: Inode) -> dict[str, object]:
    return {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if f.name != "cached"}


@pytest.mark.parametrize("type", list(FileType))
def test_an_inode_is_the_same_as_a_record_and_as_a_copy(type: FileType) -> None:
    node = inode(type)
    attr = node.attr()
    assert fields(Inode.decode(node.ino, node.encode())) == fields(node)
    copy = node.copy()
    assert fields(copy) == fields(node)
    copy.modified(2**61)
    assert copy.attr() != attr
    assert node.attr() is attr


@pytest.mark.parametrize("type", list(FileType))
def test_a_record_that_was_cut_is_refused(type: FileType) -> None:
    record = inode(type).encode()
    cuts = [b"", record[:1], record[:60], b"\xff" + record[1:]]
    if type is not FileType.LNK:  # a target may have any length
        cuts += [record[:-1], record + b"x"]
    for cut in cuts:
        with pytest.raises(FsError) as caught:
            Inode.decode(5, cut)
        assert caught.value.status is Status.IO


def test_the_other_records() -> None:
    state = State(2**63, 5, 2**62)
    assert State.decode(state.encode()) == state
    assert Entry.decode(Entry(2**63, 2**62).encode()) == (2**63, 2**62)
    assert Doomed.decode(Doomed(3, 2**63).encode()) == (3, 2**63)
    assert decode_listed(encode_listed(2**63, b"name")) == (2**63, b"name")
    for decode in (State.decode, Entry.decode, Doomed.decode, decode_listed):
        with pytest.raises(FsError, match="is damaged"):
            decode(b"short")
