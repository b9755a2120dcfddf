"""Targets: what people and files say in text: .x files, options, addresses, the list of mounts."""

from __future__ import annotations

import ipaddress
import logging
import os
import struct
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from fuzz_codecs import deep
from fuzz_kinds import ROOT, Target, expect

# isort: split
import xdr_values

from nfsloop import exports5, sources
from nfsloop.access import Policy
from nfsloop.config import Settings
from nfsloop.export import Options
from nfsloop.limits import MOUNTS
from nfsloop.mount3.mounts import Mounts
from oncrpc import errors, xdr
from oncrpc.rpcgen import dynamic
from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.emit import emit
from oncrpc.rpcgen.generated import GENERATED
from oncrpc.rpcgen.model import RpcgenError, Spec
from oncrpc.rpcgen.parser import parse
from portmap.uaddr import NETIDS, AddressError, from_taddr, from_uaddr, merge, to_taddr, to_uaddr

# -- .x files

#: What the decoders of an accepted file are tried with.
TRIALS = (b"", bytes(40), b"\0\0\0\1" * 10, b"\xff" * 40)
TYPES_TRIED = 8


def xfile(data: bytes) -> None:
    """A .x file is refused with its place, or gives a module in both forms, which agree."""
    text = data.decode("utf-8", "replace")
    try:
        spec = check(parse(text))
        source = emit(spec, "fuzz.x", ())
    except RpcgenError as exc:
        lines = text.count("\n") + 1
        expect(1 <= exc.pos.line <= lines, f"line {exc.pos.line} of {lines}: {exc}")
        return
    plain = dynamic.load(text + "\n")
    module = ModuleType("generated_for_fuzz")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, "fuzz.x", "exec"), module.__dict__)
        _agree(spec, module, plain)
    finally:
        del sys.modules[module.__name__]


def _agree(spec: Spec, module: Any, plain: dynamic.Module) -> None:
    for name in list(spec.types)[:TYPES_TRIED]:
        for trial in TRIALS:
            got = _accepted(getattr(module, f"decode_{name}"), trial)
            with deep():
                other = _accepted(plain.decoder(name), trial)
            expect((got is None) == (other is None), f"{name}: {got} is by xdrlib3 {other}")
            if got is not None and other is not None:
                wire = xdr.encode(getattr(module, f"encode_{name}"), got[0])
                expect(wire == plain.encode(name, other[0]), f"{name}: encoded otherwise")


def _accepted(decode: Any, trial: bytes) -> tuple[Any, int] | None:
    try:
        value, end = decode(trial, 0)
    except (errors.XdrError, struct.error, RecursionError, OverflowError):  # see `oncrpc.xdr`
        return None
    return value, end


def xfile_seeds() -> Iterable[bytes]:
    """The project's .x files in pieces of a few definitions, and small ones with every form."""
    yield b"""const N = 4; typedef opaque fh<N>; enum kind { A = 0, B = -1 };
    struct node { int value; node *next; }; union u switch (kind k) { case A: void;
    case B: string s<>; }; program P { version V { void NULL(void) = 0; u CALL(fh, node) = 1; }
    = 1; } = 200000;"""
    yield b"typedef unsigned hyper a[3]; typedef a b<7>; struct s { b x; double d; bool ok<>; };"
    yield b"union r switch (unsigned n) { case 0: struct { int a; } in; default: float f; };"
    yield b"%#include <x>\n/* comment */ typedef struct { opaque v[8]; } *maybe;"
    yield b"const A = " + b"9" * 4500 + b";"
    yield b"struct a {" + b"struct {" * 500 + b"int x;" + b"} y;" * 500 + b"};"
    paths = [ROOT / entry.source for entry in GENERATED]
    for path in (*paths, xdr_values.TORTURE):
        parts = path.read_text("utf-8").split("\n\n")
        for start in range(0, len(parts), 5):
            yield "\n\n".join(parts[start : start + 5]).encode()[:3000]


XWORDS = tuple(
    word.encode()
    for word in (
        "struct", "union", "switch", "case", "default", "typedef", "enum", "opaque", "string",
        "void", "int", "unsigned", "hyper", "float", "double", "quadruple", "bool", "const",
        "program", "version", "TRUE", "FALSE", "<>", "[", "]", "{", "}", ";", "*", "= 0", "-1",
        "4294967295", "4294967296", "0x7fffffff", "017", "[4294967295]", "<4294967295>", "/*",
        "*/", "%", "#", "None", "self", "value", "buf", "pos", "put", "struct_", "int_", "NULL",
    )
)  # fmt: skip

# -- exports

CLIENTS = ("192.0.2.7", "10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3", "fe80::1%eth0")


def exports(data: bytes) -> None:
    """Any text is parsed, with places for what is wrong; what is right comes back from `format`."""
    text = data.decode("utf-8", "surrogateescape")
    parsed = exports5.parse(text)
    merged = exports5.merge(parsed.entries)
    for problem in (*parsed.problems, *merged.problems):
        expect(1 <= problem.where.line <= text.count("\n") + 1, f"{problem}")
        expect("\n" not in str(problem), f"{str(problem)!r}")
        str(problem).encode("utf-8", "surrogateescape")
    for entry in merged.entries:
        policy = Policy(entry.clients)
        for client in CLIENTS:
            policy.options_for(client)
        expect(isinstance(policy.groups, list), "no groups")
    if not parsed.errors:
        again = exports5.parse(exports5.format(parsed.entries))
        expect(not again.errors, f"{again.errors} in what was formatted")
        expect(again.entries == parsed.entries, f"{parsed.entries} becomes {again.entries}")


def exports_seeds() -> Iterable[bytes]:
    """Lines of exports(5)."""
    yield b"""/srv       10.0.0.0/8(rw,no_root_squash) backup.example.org(ro)
"/my data" -ro,async 192.168.1.5 fd00::/8(rw) \\
    @group(sec=sys:krb5)   # a comment
/scratch   *(rw,storage=memory:,mp=/mnt) *.example.org?(anonuid=-1)
/srv\\040x  (ro) 10.0.0.0/255.255.0.0
"""
    yield b'/a b (ro)\n/c "d(rw)" [a-c]x(ro)\n\n#\n/d\\377 \xff(ro)\n relative *\n/../x\n"open'


# -- nfsloop.toml


def toml(data: bytes) -> None:
    """Any file gives settings, or errors of one line each; files that it names are not read."""
    file = scratch("toml")
    file.write_bytes(data)
    found = sources.Gathered()
    sources._Toml(found, file).read()
    for problem in (*found.errors, *found.warnings):
        expect("\n" not in problem, f"{problem!r}")
        problem.encode("utf-8", "surrogateescape")
    if not found.errors:
        Settings(**found.values)


def toml_seeds() -> Iterable[bytes]:
    """The example of the documentation, and what is wrong."""
    yield (ROOT / "docs/nfsloop.toml").read_bytes()[:4000]
    yield b"""host = "[::1]"
port = 2049
udp = false
limits.connections = 10
[drc]
retention_seconds = 1e3
[[export]]
path = "/srv"
clients = ["10.0.0.0/8(rw)", "*(ro)"]
options = "async"
"""
    yield b"port = " + b"9" * 5000 + b"\n[limits]\nrecord_bytes = inf\n[[export]]\n[export]\n"
    yield b"export = [1, {path=1}]\nlimits = 3\n\xff"
    yield b"a = " + b"[" * 2000


# -- options of exports


def options(data: bytes) -> None:
    """Options are parsed, or refused with a ValueError of one line."""
    try:
        found = Options.parse(data.decode("utf-8", "surrogateescape"))
    except ValueError as exc:
        expect("\n" not in str(exc), f"{exc}")
        return
    expect(0 <= found.anonuid < 2**32 - 1 and 0 <= found.anongid < 2**32 - 1, f"{found}")


def options_seeds() -> Iterable[bytes]:
    """Words of exports(5)."""
    return [b"ro,all_squash,anonuid=1000,anongid=4294967294", b"rw, sync,,async", b"anonuid=\xb2"]


# -- universal addresses


def uaddr(data: bytes) -> None:
    """An address is one that comes back from what it was read as, or an AddressError."""
    netid = ("tcp", "udp6", "tcp6", "ticotsord")[(data[0] if data else 0) % 4]
    text = data[1:].decode("ascii", "backslashreplace")
    for reached in ("192.0.2.1", "2001:db8::1", None):
        try:
            host, port = from_uaddr(netid, text)
            merged = merge(netid, text, reached)
        except AddressError:
            break
        made = to_uaddr(host, port)
        expect(from_uaddr(netid, made) == (host, port), f"{text!r} becomes {made!r}")
        expect((":" in host) == (NETIDS[netid].family == "inet6"), f"{host} on {netid}")
        expect(from_uaddr(netid, merged)[1] == port, f"{text!r} merges to {merged!r}")
    try:
        host, port = from_taddr(data[1:])
    except AddressError:
        return
    expect(from_taddr(to_taddr(host, port)) == (host, port), f"{host} {port}")
    expect(str(ipaddress.ip_address(host)) == host, f"{host!r}")


def uaddr_seeds() -> Iterable[bytes]:
    """Addresses of each family, in both forms."""
    texts = (b"\x000.0.0.0.8.1", b"\0127.0.0.1.255.255", b"\2::.8.1", b"\1fe80::1.0.111")
    taddrs = (to_taddr("192.0.2.7", 2049), to_taddr("2001:db8::1", 111))
    return [*texts, b"\2::ffff:1.2.3.4.0.111", b"\0fe80::1%eth0.0.1", *(b"\0" + t for t in taddrs)]


# -- the list of mounts


@cache
def scratch(name: str) -> Path:
    """A file in memory alone: nothing is left of it, however this process ends."""
    return Path(f"/proc/self/fd/{os.memfd_create(name)}")


def rmtab(data: bytes) -> None:
    """Any file is read as a list of mounts, which can be told, changed, and read again."""
    file = scratch("rmtab")
    file.write_bytes(data)
    logging.disable(logging.WARNING)
    try:
        _rmtab(file)
    finally:
        logging.disable(logging.NOTSET)


def _rmtab(file: Path) -> None:
    mounts = Mounts(file)
    _told(mounts)
    mounts.add("192.0.2.7", "/srv")
    found = list(mounts)
    mounts.close()
    again = Mounts(file)
    expect(list(again) == found, "another list after a restart")
    again.remove_all("192.0.2.7")
    again.close()


def _told(mounts: Mounts) -> None:
    entries = list(mounts)
    expect(len(entries) <= MOUNTS, f"{len(entries)} mounts")
    for client, path in entries:
        client.encode()
        path.encode("utf-8", "surrogateescape")


def rmtab_seeds() -> Iterable[bytes]:
    """A journal, one that was cut, and lines that are other JSON."""
    good = b'["+", "192.0.2.7", "/srv"]\n["+", "::1", "/srv/\\udcff"]\n["-", "192.0.2.7", "/srv"]\n'
    return [good, good[:-5], b'{"a": 1}\n[]\n["+", 1, null]\nNaN\n"abc"\n', b"\xff\0\n" + good]


EWORDS = tuple(
    word.encode()
    for word in (
        "/srv", " ", "(", ")", ",", "-ro", "rw", "*", "@g", "10.0.0.0/8", "/24", "fd00::/8", "[a]",
        "#", "\\", "\\\n", "\n", '"', "\\040", "\\377", "storage=", "memory:", "mp", "sec=sys",
        "::1", "anonuid=1", "fsid=0", "insecure", "secure", "\0", "\r\n", "..", "?", "xprtsec=none",
    )
)  # fmt: skip

TWORDS = tuple(
    word.encode()
    for word in (
        "host", "port", "rpcbind", "udp", "state", "log_level", "exports", "limits", "drc", "true",
        "[[export]]", "[limits]", "[drc]", "path", "clients", "storage", "options", " = ", '"',
        "\n", "inf", "-1", "1e309", "1979-05-27", "[", "{", "}", "]", "'''", "\\u0000", ",", ".",
        "#",
    )
)  # fmt: skip

_JSON = tuple(b'[ ] { } "+" "-" , \\ud800 \\udc80 null 1e999 "\n'.split(b" "))

TARGETS = (
    Target("xfile", xfile, xfile_seeds, 8000, XWORDS, text=True, heap_bytes=24 << 20),
    Target("exports", exports, exports_seeds, 2000, EWORDS, text=True),
    Target("toml", toml, toml_seeds, 6000, TWORDS, text=True),
    Target("options", options, options_seeds, 300, (b"anonuid=", b"ro", b",", b"="), text=True),
    Target("uaddr", uaddr, uaddr_seeds, 100, (b".", b"::", b"255"), text=True),
    Target("rmtab", rmtab, rmtab_seeds, 2000, _JSON, text=True),
)
