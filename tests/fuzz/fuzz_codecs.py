"""Targets: every generated decoder, against the dynamic one that goes through xdrlib3.

An input is a head of four bytes that chooses (version, procedure, arguments or result, nothing; of
``torture.x``: a type) and the XDR after it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from fuzz_kinds import ROOT, Target, expect
from fuzz_messages import vectors

# isort: split
import golden_vectors
import xdr_values

from oncrpc import errors, message, xdr
from oncrpc.program import Program
from oncrpc.rpcgen import dynamic
from oncrpc.rpcgen.generated import GENERATED

HEAD = 4
PORTMAP_FILES = {2: "portmap/v2.txt", 3: "portmap/v3.txt", 4: "portmap/v4.txt"}


class Codec(NamedTuple):
    """One type in both forms."""

    name: str
    decode: Any
    encode: Any
    plain_decode: Any
    plain_encode: Any


class Form(NamedTuple):
    """One .x file: its versions (or for ``torture.x`` its types) and how a head chooses."""

    choose: Callable[[bytes], Codec]
    #: By the constant of the version, in the order that heads choose in.
    programs: dict[str, Program]


@cache
def form(name: str) -> Form:
    """The .x file of the target `name`."""
    if name == "torture":
        return _torture()
    entry = next(entry for entry in GENERATED if Path(entry.source).stem == name)
    module = importlib.import_module(entry.out.removesuffix(".py").replace("/", "."))
    loaded = dynamic.load(ROOT / entry.source)
    programs = {constant: getattr(module, constant) for constant in sorted(loaded.programs)}
    pairs = [(generated, loaded.programs[constant]) for constant, generated in programs.items()]

    def choose(head: bytes) -> Codec:
        generated, plain = pairs[head[0] % len(pairs)]
        number = sorted(generated.procs)[head[1] % len(generated.procs)]
        left, right = generated.procs[number], plain.procs[number]
        if head[2] & 1:
            return Codec(
                f"{left.name} result",
                left.decode_result, left.encode_result, right.decode_result, right.encode_result,
            )  # fmt: skip
        return Codec(
            f"{left.name} arguments",
            left.decode_args, left.encode_args, right.decode_args, right.encode_args,
        )  # fmt: skip

    return Form(choose, programs)


def _torture() -> Form:
    subject = xdr_values.subject("torture.x")
    names = sorted(subject.layout.types)

    def choose(head: bytes) -> Codec:
        name = names[(head[0] << 8 | head[1]) % len(names)]
        load = subject.dynamic
        return Codec(name, *subject.codecs(name), load.decoder(name), load.encoder(name))

    return Form(choose, {})


@contextmanager
def deep() -> Iterator[None]:
    """For the dynamic codecs, which take several frames where a generated one takes one."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _accepts(decode: Any, buf: xdr.Buffer, pos: int = 0) -> tuple[Any] | None:
    try:
        return (xdr.decode(decode, buf, pos),)
    except errors.XdrError:
        return None


def codec(name: str, data: bytes) -> None:
    """Both decoders take it or both refuse it; what they take means the same to both encoders."""
    if len(data) < HEAD:
        return
    chosen, body = form(name).choose(data), data[HEAD:]
    got = _accepts(chosen.decode, body)
    viewed = _accepts(chosen.decode, memoryview(bytearray(data)), HEAD)
    with deep():
        plain = _accepts(chosen.plain_decode, body)
    verdicts = got is not None, viewed is not None, plain is not None
    expect(len(set(verdicts)) == 1, f"{chosen.name}: bytes, a view, xdrlib3 say {verdicts}")
    if got is None or viewed is None or plain is None:
        return
    wire = xdr.encode(chosen.encode, got[0])
    expect(xdr.encode(chosen.encode, viewed[0]) == wire, f"{chosen.name}: a view differs")
    with deep():
        expect(xdr.encode(chosen.plain_encode, plain[0]) == wire, f"{chosen.name}: xdrlib3 differs")
        # As text, so that a NaN is what it is.
        left, right = repr(xdr_values.plain(got[0])), repr(xdr_values.plain(plain[0]))
    expect(left == right, f"{chosen.name}: {left} is by xdrlib3 {right}")
    again = xdr.decode(chosen.decode, wire)
    expect(xdr.encode(chosen.encode, again) == wire, f"{chosen.name}: its encoding is another's")
    expect(isinstance(xdr.pretty(got[0]), str), "not printed")


# -- seeds


def seeds(name: str) -> Iterable[bytes]:
    """The golden messages of the file's programs, each behind its head; and every empty body."""
    if name == "torture":
        count = len(xdr_values.subject("torture.x").layout.types)
        fill = (b"", bytes(64), b"\0\0\0\1" * 12)
        yield from (n.to_bytes(2) + b"\0\0" + fill[n % 3] for n in range(count))
        return
    for index, (constant, program) in enumerate(form(name).programs.items()):
        for kind, proc, body in bodies(constant, program):
            at = sorted(program.procs).index(proc)
            yield bytes((index, at, kind == "reply", 0)) + body


def bodies(constant: str, program: Program) -> Iterator[tuple[str, int, bytes]]:
    """(kind, procedure, arguments or result) of each golden message of a program."""
    procs = {proc.name: number for number, proc in program.procs.items()}
    for kind, proc, data in _messages(constant, program):
        if proc in procs:
            try:
                pos = message.read_call(data).pos if kind == "call" else message.read_reply(data)[1]
                yield kind, procs[proc], data[pos:]
            except (errors.Refusal, errors.MessageError):
                continue


def _messages(constant: str, program: Program) -> Iterator[tuple[str, str, bytes]]:
    if program.number == 100000:
        name = PORTMAP_FILES.get(program.version)
        text = "" if name is None else (golden_vectors.HERE / name).read_text("utf-8")
        for part in text.split("\n== ")[1:]:
            head, *lines = part.splitlines()
            title, kind = head.split()
            rows = (line.partition(";")[0].partition("#")[0] for line in lines)
            data = bytes.fromhex("".join(rows))
            yield kind, title, data
        return
    for vector in vectors("call", "reply"):
        if vector.program == constant:
            yield vector.kind, vector.proc, vector.data


#: Presence flags, lengths at the bounds that the files have, claims.
WORDS = tuple(
    n.to_bytes(4)
    for n in (0, 1, 2, 3, 8, 16, 64, 255, 256, 1024, 1025, 1 << 20, 1 << 31, (1 << 32) - 1)
)

TARGETS = tuple(
    Target(name, partial(codec, name), partial(seeds, name), limit, WORDS)
    for name, limit in [
        *((Path(entry.source).stem, 1024) for entry in GENERATED),
        ("torture", 512),
    ]
)
