"""Generated codecs against the dynamic ones, which go through xdrlib3, for every type there is."""

from __future__ import annotations

import os
from typing import Any

import pytest
import xdr_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oncrpc import xdr
from oncrpc.errors import XdrError
from oncrpc.rpcgen.model import Pos, Ref

#: For each type and property. A type is also drawn within all that have it as a part.
EXAMPLES = int(os.environ.get("NFSLOOP_EXAMPLES", "10"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
every_type = pytest.mark.parametrize(("file", "name"), xdr_values.all_types())


@every_type
@SETTINGS
@given(data=st.data())
def test_round_trips_and_agrees_with_xdrlib(file: str, name: str, data: st.DataObject) -> None:
    subject = xdr_values.subject(file)
    decode, encode = subject.codecs(name)
    value = data.draw(subject.named(name))
    wire = xdr.encode(encode, value)
    assert wire == subject.dynamic.encode(name, value)
    assert len(wire) % 4 == 0
    assert xdr.decode(decode, wire) == value
    view = memoryview(bytearray(b"before" + wire + b"behind"))
    assert decode(view, 6) == (value, 6 + len(wire))
    other = subject.dynamic.decode(name, wire)
    assert xdr_values.plain(other) == xdr_values.plain(value)
    assert xdr.encode(encode, other) == wire
    assert isinstance(getattr(subject.module, f"format_{name}")(value), str)
    size = subject.layout.fixed(Ref(name, Pos(0, 0)))
    pack = getattr(subject.module, f"pack_{name}", None)
    assert (pack is not None) == (size is not None)
    if pack is not None:
        assert pack(value) == wire
        assert len(wire) == size


def _accepts(decode: Any, data: bytes) -> tuple[Any] | None:
    try:
        return (decode(data),)
    except XdrError:
        return None


mutations = st.lists(
    st.tuples(st.integers(0, 1 << 30), st.sampled_from([0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFF])),
    max_size=3,
)


@every_type
@SETTINGS
@given(data=st.data(), changes=mutations, cut=st.integers(-12, 12))
def test_agrees_with_xdrlib_on_what_is_wrong(
    file: str, name: str, data: st.DataObject, changes: list[tuple[int, int]], cut: int
) -> None:
    subject = xdr_values.subject(file)
    decode, encode = subject.codecs(name)
    wire = bytearray(xdr.encode(encode, data.draw(subject.named(name))))
    for where, byte in changes:
        if wire:
            wire[where % len(wire)] = byte
    mutant = bytes(wire[:cut] if cut < 0 else wire + bytes(cut))
    generated = _accepts(lambda b: xdr.decode(decode, b), mutant)
    viewed = _accepts(lambda b: xdr.decode(decode, memoryview(b)), mutant)
    reference = _accepts(lambda b: subject.dynamic.decode(name, b), mutant)
    assert (generated is None) == (reference is None) == (viewed is None)
    if generated is not None and reference is not None and viewed is not None:
        canonical = subject.dynamic.encode(name, reference[0])
        assert xdr.encode(encode, generated[0]) == canonical
        assert xdr.encode(encode, viewed[0]) == canonical


@every_type
@SETTINGS
@given(data=st.data())
def test_every_truncation_is_refused(file: str, name: str, data: st.DataObject) -> None:
    subject = xdr_values.subject(file)
    decode, encode = subject.codecs(name)
    wire = xdr.encode(encode, data.draw(subject.named(name)))
    for end in {*range(min(len(wire), 64)), *range(max(0, len(wire) - 12), len(wire))}:
        with pytest.raises(XdrError):
            xdr.decode(decode, wire[:end])


@every_type
@SETTINGS
@given(junk=st.binary(max_size=200))
def test_junk_raises_only_xdr_error(file: str, name: str, junk: bytes) -> None:
    subject = xdr_values.subject(file)
    decode, _ = subject.codecs(name)
    _accepts(lambda b: xdr.decode(decode, b), junk)


WRONG = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.binary(max_size=3), st.just([1]),
    st.just(object()), st.floats(), st.just({}),
)  # fmt: skip


@every_type
@SETTINGS
@given(wrong=WRONG)
def test_values_of_the_wrong_kind_raise_only_xdr_error(file: str, name: str, wrong: Any) -> None:
    subject = xdr_values.subject(file)
    _, encode = subject.codecs(name)
    try:
        xdr.encode(encode, wrong)
    except XdrError:
        pass


def test_attributes_may_be_given_encoded() -> None:
    module = xdr_values.subject("nfs3.x").module
    time = module.nfstime3(1, 2)
    attr = module.fattr3(
        module.NF3REG, 0o644, 1, 0, 0, 5, 5, module.specdata3(0, 0), 1, 2, time, time, time
    )
    wcc = module.wcc_attr(5, time, time)
    packed, packed_wcc = module.pack_fattr3(attr), module.pack_wcc_attr(wcc)
    ok = module.NFS3_OK

    def replies(attr: Any, wcc: Any) -> list[tuple[Any, Any]]:
        data = module.wcc_data(wcc, attr)
        entry = module.entryplus3(1, b"name", 2, attr, b"handle")
        listing = module.dirlistplus3([entry, entry], True)
        return [
            (module.encode_GETATTR3res, module.GETATTR3res(ok, module.GETATTR3resok(attr))),
            (module.encode_post_op_attr, attr),
            (module.encode_fattr3, attr),
            (module.encode_wcc_data, data),
            (
                module.encode_LOOKUP3res,
                module.LOOKUP3res(ok, module.LOOKUP3resok(b"handle", attr, attr)),
            ),
            (
                module.encode_READDIRPLUS3res,
                module.READDIRPLUS3res(ok, module.READDIRPLUS3resok(attr, b"verifier", listing)),
            ),
        ]

    for (encode, given_object), (_, given_bytes) in zip(
        replies(attr, wcc), replies(packed, packed_wcc), strict=True
    ):
        assert xdr.encode(encode, given_object) == xdr.encode(encode, given_bytes)
    for encode, short in replies(packed[:-4], packed_wcc)[:2]:
        with pytest.raises(XdrError):
            xdr.encode(encode, short)


def test_encoded_values_stand_in_arrays_options_and_structs() -> None:
    module = xdr_values.subject("torture.x").module
    attr = module.attr(7, b"abc", True)
    packed = module.pack_attr(attr)
    given, plain = (
        [module.attrs(a, a, [a, a], 3, [a, a]), module.attrs(a, None, [], 3, [a, a])]
        for a in (packed, attr)
    )
    for left, right in zip(given, plain, strict=True):
        assert xdr.encode(module.encode_attrs, left) == xdr.encode(module.encode_attrs, right)
    assert module.pack_fixed_with_attr(module.fixed_with_attr(1, packed)) == (
        module.pack_fixed_with_attr(module.fixed_with_attr(1, attr))
    )
    with pytest.raises(XdrError):
        xdr.encode(module.encode_attr_arm, module.attr_arm(0, packed + b"\0\0\0\0"))
