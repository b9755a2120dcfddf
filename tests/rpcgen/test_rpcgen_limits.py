"""Bounds, sizes, depth: what a peer could use against a decoder; and bytes known by hand."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import xdr_values

from oncrpc import xdr
from oncrpc.errors import XdrError


def torture() -> Any:
    return xdr_values.subject("torture.x").module


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *(n & 0xFFFFFFFF for n in numbers))


def test_a_list_of_a_hundred_thousand_entries() -> None:
    module = xdr_values.subject("nfs3.x").module
    entries = [module.entry3(n, b"%d" % n, n) for n in range(100_000)]
    wire = xdr.encode(module.encode_dirlist3, module.dirlist3(entries, True))
    assert xdr.decode(module.decode_dirlist3, memoryview(wire)).entries == entries
    other = xdr_values.subject("nfs3.x").dynamic.decode("dirlist3", wire)
    assert len(other.entries) == 100_000
    with pytest.raises(XdrError):
        xdr.decode(module.decode_dirlist3, wire[:-8])


def test_depth_is_refused_not_fatal() -> None:
    """A tree of one branch, 100,000 deep: RecursionError becomes XdrError."""
    module = torture()
    wire = words(1, 1) * 100_000 + words(1, 0, 0)
    with pytest.raises(XdrError):
        xdr.decode(module.decode_tree, wire)
    with pytest.raises(XdrError):
        xdr_values.subject("torture.x").dynamic.decode("tree", wire)
    tree = module.tree(0, None, None)
    for _ in range(100_000):
        tree = module.tree(0, tree, None)
    with pytest.raises(XdrError):
        xdr.encode(module.encode_tree, tree)


@pytest.mark.parametrize(
    ("name", "value", "wire", "says"),
    [
        ("bytes", b"123456", words(6) + b"123456\0\0", "bytes: length 6, bound 5"),
        ("words", list(range(9)), words(9, *range(9)), "words: length 9, bound 8"),
        ("path", bytes(1026), words(1026) + bytes(1028), "path: length 1026, bound 1025"),
        ("maybe_path", bytes(1026), words(1, 1026) + bytes(1028), "path: length 1026"),
        ("pair_list", None, words(8) + bytes(96), "pair_list: length 8, bound 7"),
    ],
)
def test_bounds_are_checked_both_ways(name: str, value: Any, wire: bytes, says: str) -> None:
    module = torture()
    if name == "pair_list":
        value = [module.pair(0, 0)] * 8
    with pytest.raises(XdrError, match=says):
        xdr.decode(getattr(module, f"decode_{name}"), wire)
    with pytest.raises(XdrError, match=says):
        xdr.encode(getattr(module, f"encode_{name}"), value)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_fixed_opaque_must_have_its_length(length: int) -> None:
    with pytest.raises(XdrError, match="verifier: length"):
        torture().pack_verifier(bytes(length))


def test_fixed_arrays_must_have_their_length() -> None:
    module = torture()
    pairs = [module.pair(0, 0)]
    with pytest.raises(XdrError):
        xdr.encode(module.encode_pair_lists, [pairs] * 3)


@pytest.mark.parametrize(
    "name", ["unlimited", "words", "pair_list", "forest", "list_of_links", "path"]
)
def test_a_claimed_length_costs_nothing(name: str) -> None:
    """Four thousand million elements claimed, none sent."""
    with pytest.raises(XdrError):
        xdr.decode(getattr(torture(), f"decode_{name}"), words(0xFFFFFFFF))


def test_padding_may_be_anything_but_must_be_there() -> None:
    module = torture()
    assert xdr.decode(module.decode_bytes, words(1) + b"a\1\2\3") == b"a"
    assert xdr.decode(module.decode_unlimited, words(1) + b"a\1\2\3") == b"a"
    for decode in (module.decode_bytes, module.decode_unlimited):
        with pytest.raises(XdrError):
            xdr.decode(decode, words(1) + b"a\0\0")


def test_bulk_data_are_not_copied() -> None:
    module = xdr_values.subject("nfs3.x").module
    payload = memoryview(bytes(4096))
    parts: list[Any] = []
    args = module.WRITE3args(b"handle", 0, 4096, module.FILE_SYNC, payload)
    module.encode_WRITE3args(args, parts.append)
    assert any(part is payload for part in parts)
    receive = memoryview(bytearray(b"".join(parts)))
    decoded, _ = module.decode_WRITE3args(receive, 0)
    assert decoded.data.obj is receive.obj
    assert type(decoded.file) is bytes


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("maybe", words(2)),
        ("both", words(2, 0)),
        ("on_enum", words(77)),
        ("no_default", words(1)),
        ("pass", words(77)),
        ("tail", words(2)),
        ("node_list", words(1, 0, 0, 2)),
    ],
)
def test_numbers_that_select_nothing(name: str, wire: bytes) -> None:
    with pytest.raises(XdrError):
        xdr.decode(getattr(torture(), f"decode_{name}"), wire)


def test_encoders_refuse_what_no_wire_can_carry() -> None:
    module = torture()
    for encode, value in [
        (module.encode_pass, 77),
        (module.encode_both, module.both(2, 1)),
        (module.encode_no_default, module.no_default(1, None)),
        (module.encode_flipped, module.flipped(True, 5)),
        (module.encode_pair, module.pair(2**31, 0)),
        (module.encode_list, -(2**31) - 1),
        (module.encode_numbers, module.numbers(0, -1, 0, 0, 0, 0.0, 0.0, False)),
        (module.encode_numbers, module.numbers(0, 0, 0, 0, 0, 1e300, 0.0, False)),
        (module.encode_bytes, "text"),
        (module.encode_unlimited, [1, 2]),
    ]:
        with pytest.raises(XdrError):
            xdr.encode(encode, value)


def test_golden_bytes() -> None:
    """By hand from RFC 4506, independent of both codecs."""
    module = torture()
    numbers = module.numbers(-1, 1, 2, -2, 3, 1.5, -0.5, True)
    assert module.pack_numbers(numbers) == bytes.fromhex(
        "ffffffff 00000001 00000002 fffffffffffffffe 0000000000000003 3fc00000 bfe0000000000000"
        "00000001"
    )
    assert xdr.encode(module.encode_bytes, b"abcde") == bytes.fromhex("00000005 6162636465 000000")
    nodes = [module.node(1, b"x"), module.node(2, b"")]
    assert xdr.encode(module.encode_node_list, nodes) == bytes.fromhex(
        "00000001 00000001 00000001 78000000 00000001 00000002 00000000 00000000"
    )
    # RFC 4506 section 7
    text = """
        const MAXUSERNAME = 32; const MAXFILELEN = 65535; const MAXNAMELEN = 255;
        enum filekind { TEXT = 0, DATA = 1, EXEC = 2 };
        union filetype switch (filekind kind) {
        case TEXT: void;
        case DATA: string creator<MAXNAMELEN>;
        case EXEC: string interpretor<MAXNAMELEN>;
        };
        struct file {
            string filename<MAXNAMELEN>; filetype type;
            string owner<MAXUSERNAME>; opaque data<MAXFILELEN>;
        };
    """
    made = xdr_values.compile_module(text)
    value = made.file(b"sillyprog", made.filetype(made.EXEC, b"lisp"), b"john", b"(quit)")
    assert xdr.encode(made.encode_file, value) == bytes.fromhex(
        "00000009 73696c6c 7970726f 67000000 00000002 00000004 6c697370"
        "00000004 6a6f686e 00000006 28717569 74290000"
    )
