"""The vectors of rpc.txt: credentials, refusals, records; a live server that answers by them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import golden_vectors
import pytest
from values_rpc import CREDENTIALS, RECORDS, REFUSALS

from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3, MOUNT_V1_Service, MOUNT_V3_Service
from nfsloop.nfs3.nfs3_xdr import NFS_V3, FSSTAT3args, FSSTAT3res, NFS_V3_Service
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import AcceptedRefusal, AuthError, MessageError, ProgMismatch, Refusal
from oncrpc.message import call_header, read_call, read_reply, refusal, success
from oncrpc.record import RecordReader, Scratch, mark
from oncrpc.testing import Capture

VECTORS = golden_vectors.load("rpc.txt")
EXCHANGES = [v.title for v in VECTORS.values() if v.kind == "call"]


class Failing(NFS_V3_Service):
    """NFS version 3 without anything behind it."""

    async def FSSTAT(self, call: Any, args: FSSTAT3args) -> FSSTAT3res:
        raise RuntimeError("this is what a fault looks like")


def _fields(why: Refusal) -> tuple[object, ...]:
    """A refusal's class and all that is on the wire of it."""
    names = ("stat", "low", "high")
    return type(why), *(getattr(why, name, None) for name in names)


@pytest.mark.parametrize("title", CREDENTIALS)
def test_credentials(title: str) -> None:
    vector, wanted = VECTORS[f"call {title}"], CREDENTIALS[title]
    header = read_call(vector.data)
    assert (header.xid, header.program, header.version, header.proc) == (vector.xid, 100003, 3, 0)
    assert header.pos == len(vector.data)
    for name in ("flavor", "uid", "gid", "groups", "machine", "stamp"):
        assert getattr(header.credential, name) == getattr(wanted, name), name
    assert call_header(vector.xid, 100003, 3, 0, wanted.pack()) == vector.data
    reply = VECTORS[f"reply {title}"].data
    assert read_reply(reply) == (vector.xid, len(reply))
    assert success(vector.xid, 1, 0, 0, 0, 0) == reply


@pytest.mark.parametrize("title", REFUSALS)
def test_refusals(title: str) -> None:
    vector, wanted = VECTORS[f"reply {title}"], REFUSALS[title]
    with pytest.raises(type(wanted)) as caught:
        read_reply(vector.data)
    assert _fields(caught.value) == _fields(wanted)
    assert refusal(vector.xid, wanted) == vector.data


def test_every_refusal_has_a_vector() -> None:
    """All accept_stat but SUCCESS, both reject_stat, and auth_stat 1 to 7."""
    kinds = {type(why) for why in REFUSALS.values()}
    assert set(AcceptedRefusal.__subclasses__()) <= kinds
    assert set(Refusal.__subclasses__()) - {AcceptedRefusal} <= kinds
    stats = {int(why.stat) for why in REFUSALS.values() if isinstance(why, AuthError)}
    assert stats >= set(range(1, 8))


def test_every_vector_has_a_value() -> None:
    replies = {v.title for v in VECTORS.values() if v.kind == "reply"}
    assert replies == {*CREDENTIALS, *REFUSALS, "verifier with a body"}
    assert set(EXCHANGES) <= replies
    assert {v.title for v in VECTORS.values() if v.kind == "record"} == set(RECORDS)
    xids = [v.xid for v in VECTORS.values() if v.kind == "reply"]
    assert len(set(xids)) == len(xids)


def test_a_reply_may_carry_a_verifier() -> None:
    vector = VECTORS["reply verifier with a body"]
    xid, pos = read_reply(vector.data)
    assert xid == vector.xid
    assert vector.data[pos:] == b"\x60\x0d\xca\x11"


@pytest.mark.parametrize("title", [*CREDENTIALS, *REFUSALS, "verifier with a body"])
def test_a_reply_that_ends_too_soon_is_no_reply(title: str) -> None:
    data = VECTORS[f"reply {title}"].data
    result = 4 if title == "verifier with a body" else 0  # is not the header's concern
    for end in range(len(data) - result):
        with pytest.raises(MessageError):
            read_reply(data[:end])


@pytest.mark.parametrize("title", EXCHANGES)
def test_a_server_answers_by_the_vectors(title: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.add(NFS_V3, Failing())
    dispatcher.add(MOUNT_V1, MOUNT_V1_Service())
    dispatcher.add(MOUNT_V3, MOUNT_V3_Service())
    answers = []
    for _ in range(2):  # the second time from its memory of headers
        capture = Capture()
        asyncio.run(_dispatch(dispatcher, VECTORS[f"call {title}"].data, capture))
        answers += capture.sent
    assert answers == [VECTORS[f"reply {title}"].data] * 2


async def _dispatch(dispatcher: Dispatcher, data: bytes, capture: Capture) -> None:
    task = dispatcher.dispatch(data, capture)
    assert task is None


def test_a_program_mismatch_is_read_in_full() -> None:
    with pytest.raises(ProgMismatch, match="3 to 3"):
        read_reply(VECTORS["reply NFS version 4"].data)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 44, 1000])
@pytest.mark.parametrize("title", RECORDS)
def test_records(title: str, size: int) -> None:
    reader = RecordReader(Scratch(4096))
    records: list[bytes] = []
    for piece in _pieces(VECTORS[f"record {title}"].data, size):
        reader.space()[: len(piece)] = piece
        reader.received(len(piece))
        records += [bytes(record) for record in reader.records()]
        reader.settle()
    assert records == [VECTORS[name].data for name in RECORDS[title]]
    assert reader.pending == 0


@pytest.mark.parametrize(
    ("title", "message"), [("one fragment", "call AUTH_NONE"), ("reply", "reply AUTH_NONE")]
)
def test_a_record_mark(title: str, message: str) -> None:
    data = VECTORS[message].data
    assert mark(len(data)) + data == VECTORS[f"record {title}"].data
