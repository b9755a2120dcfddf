"""Call and reply headers, credentials and every refusal (RFC 5531 sections 8, 9 and appendix A)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncrpc import errors
from oncrpc.message import (
    AUTH_SYS,
    NOBODY,
    Credential,
    call_header,
    read_call,
    read_reply,
    refusal,
    success,
)

SYS = Credential(AUTH_SYS, 1000, 100, (4, 24, 27), b"host", 7)


def call(credential: bytes, verifier: bytes = bytes(8), rpcvers: int = 2) -> bytes:
    return struct.pack(">6I", 9, 0, rpcvers, 100003, 3, 1) + credential + verifier


def test_a_call_and_its_credential() -> None:
    header = read_call(call_header(9, 100003, 3, 1, SYS.pack()) + b"args")
    assert (header.xid, header.program, header.version, header.proc) == (9, 100003, 3, 1)
    got = header.credential
    assert (got.uid, got.gid, got.groups, got.machine, got.stamp) == (
        1000, 100, (4, 24, 27), b"host", 7,
    )  # fmt: skip


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=16),
    st.binary(max_size=255),
)
def test_credentials_round_trip(uid: int, gid: int, groups: list[int], name: bytes) -> None:
    sent = Credential(AUTH_SYS, uid, gid, tuple(groups), name)
    got = read_call(call(sent.pack())).credential
    assert (got.uid, got.gid, got.groups, got.machine) == (uid, gid, tuple(groups), name)


@pytest.mark.parametrize(
    ("message", "stat"),
    [
        (call(struct.pack(">2I", 3, 0)), errors.AuthStat.REJECTEDCRED),
        (call(struct.pack(">2I", 6, 4) + bytes(4)), errors.AuthStat.REJECTEDCRED),
        (call(struct.pack(">2I", 0, 4) + bytes(4)), errors.AuthStat.BADCRED),
        # AUTH_NONE with a body that would be a good AUTH_SYS.
        (call(bytes(4) + SYS.pack()[4:]), errors.AuthStat.BADCRED),
        (call(struct.pack(">2I", 1, 8) + bytes(8)), errors.AuthStat.BADCRED),
        (call(struct.pack(">2I", 1, 404) + bytes(404)), errors.AuthStat.BADCRED),
        # 17 groups: one more than AUTH_SYS carries.
        (
            call(struct.pack(">7I", 1, 20 + 68, 0, 0, 0, 0, 17) + bytes(68)),
            errors.AuthStat.BADCRED,
        ),
        (call(SYS.pack(), struct.pack(">2I", 1, 0)), errors.AuthStat.BADVERF),
        (call(SYS.pack(), struct.pack(">2I", 0, 4) + bytes(4)), errors.AuthStat.BADVERF),
    ],
)
def test_credentials_that_are_refused(message: bytes, stat: errors.AuthStat) -> None:
    with pytest.raises(errors.AuthError) as caught:
        read_call(message)
    assert caught.value.stat is stat


def test_another_rpc_version_is_refused_however_short_its_call() -> None:
    for message in (call(bytes(8), rpcvers=3), struct.pack(">3I", 1, 0, 1)):
        with pytest.raises(errors.RpcMismatch):
            read_call(message)


@pytest.mark.parametrize("size", range(0, 40))
def test_a_call_that_ends_too_soon(size: int) -> None:
    with pytest.raises((errors.MessageError, errors.GarbageArgs)):
        read_call(call_header(9, 1, 1, 1, NOBODY.pack())[:size])


def test_a_reply_is_no_call() -> None:
    with pytest.raises(errors.MessageError):
        read_call(success(1, 1, 0, 0, 0, 0) + bytes(40))


@given(st.binary(max_size=600))
def test_whatever_comes_is_a_call_or_one_of_our_errors(data: bytes) -> None:
    for read in (read_call, read_reply):
        try:
            read(data)
        except (errors.Refusal, errors.MessageError):
            pass


REFUSALS = [
    errors.ProgUnavail(),
    errors.ProgMismatch(3, 4),
    errors.ProcUnavail(),
    errors.GarbageArgs(),
    errors.SystemErr(),
    errors.RpcMismatch(),
    *(errors.AuthError(stat) for stat in errors.AuthStat if stat),
]


@pytest.mark.parametrize("why", REFUSALS, ids=repr)
def test_refusals_reach_the_client_as_what_they_are(why: errors.Refusal) -> None:
    with pytest.raises(type(why)) as caught:
        read_reply(refusal(77, why))
    assert vars(caught.value) == vars(why)


def test_groups_beyond_sixteen_are_refused_before_they_are_sent() -> None:
    with pytest.raises(errors.XdrError):
        Credential(AUTH_SYS, groups=tuple(range(17))).pack()
