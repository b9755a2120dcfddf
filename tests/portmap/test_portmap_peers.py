"""Programs that this project did not write: Debian's rpcinfo and rpcbind, in namespaces."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator

import pytest
from portmap_ns import Namespace, join, missing, namespace, which

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(missing()), reason=missing() or "it runs"),
]

READY = "rpcinfo -T tcp 127.0.0.1 100000 2"
LOOPS = ("asyncio", "uvloop")


@pytest.fixture
def ns() -> Iterator[Namespace]:
    with namespace() as it:
        yield it


@pytest.fixture
def ours(ns: Namespace) -> Iterator[Namespace]:
    with ns.daemon((sys.executable, "-m", "portmap"), READY) as process:
        yield ns
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.fixture
def theirs(ns: Namespace) -> Iterator[Namespace]:
    ns.run("mkdir", "-p", "/run/rpcbind")
    with ns.daemon(("rpcbind", "-f"), READY):
        yield ns


def rows(text: str) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in text.splitlines()[1:]}


# rpcinfo asks our portmapper


def test_rpcinfo_p(ours: Namespace) -> None:
    wanted = {
        ("100000", version, proto, "111", "portmapper") for version in "234" for proto in
        ("tcp", "udp")
    }  # fmt: skip
    assert rows(ours.run("rpcinfo", "-p", "127.0.0.1")) == wanted
    assert rows(ours.run("rpcinfo", "-p", "::1")) == wanted


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_rpcinfo_s_and_plain(ours: Namespace, host: str) -> None:
    ((program, versions, netids, name, owner),) = rows(ours.run("rpcinfo", "-s", host))
    assert (program, name, owner) == ("100000", "portmapper", "superuser")
    assert set(versions.split(",")) == {"2", "3", "4"}
    assert set(netids.split(",")) == {"tcp", "udp", "tcp6", "udp6"}
    assert rows(ours.run("rpcinfo", host)) == {
        ("100000", version, netid, uaddr, "portmapper", "superuser")
        for version in "234"
        for netid, uaddr in (
            ("tcp", "0.0.0.0.0.111"),
            ("udp", "0.0.0.0.0.111"),
            ("tcp6", "::.0.111"),
            ("udp6", "::.0.111"),
        )
    }


@pytest.mark.parametrize(
    ("netid", "host"),
    [("tcp", "127.0.0.1"), ("udp", "127.0.0.1"), ("tcp6", "::1"), ("udp6", "::1")],
)
def test_rpcinfo_t(ours: Namespace, netid: str, host: str) -> None:
    assert ours.run("rpcinfo", "-T", netid, host, "100000") == "".join(
        f"program 100000 version {version} ready and waiting\n" for version in "234"
    )
    absent = ours.run("rpcinfo", "-T", netid, host, "100003", "3", check=False)
    assert "Program not registered" in absent


def test_rpcinfo_l_m_and_d(ours: Namespace) -> None:
    listed = rows(ours.run("rpcinfo", "-l", "127.0.0.1", "100000", "4"))
    assert {row[2:4] for row in listed} == {
        ("inet/tcp/cots_ord", "127.0.0.1.0.111"),
        ("inet/udp/clts", "127.0.0.1.0.111"),
    }
    ours.python("await register(registrations([(300000, 1)], 'tcp', None, 2049))")
    assert "300000" in ours.run("rpcinfo", "-p", "127.0.0.1")
    statistics = ours.run("rpcinfo", "-m", "127.0.0.1")
    assert "RPCBIND (version 4) statistics" in statistics
    assert "2/2" in statistics, "two SETs, tcp and tcp6, of which both succeeded"
    ours.python("await unregister(registrations([(300000, 1)], 'tcp', None, 2049))")
    assert "300000" not in ours.run("rpcinfo", "-p", "127.0.0.1")


def test_from_another_host(ours: Namespace) -> None:
    """Asking is for everybody; SET and UNSET are not, over either family and transport."""
    with namespace() as far:
        join(ours, far)
        for host, netid in (("10.9.8.1", "tcp"), ("10.9.8.1", "udp"), ("fd00::1", "tcp6")):
            assert "ready and waiting" in far.run("rpcinfo", "-T", netid, host, "100000", "4")
        listed = rows(far.run("rpcinfo", "-l", "10.9.8.1", "100000", "4"))
        assert {row[3] for row in listed} == {"10.9.8.1.0.111"}
        code = """
            for host in ('10.9.8.1', 'fd00::1'):
                for transport in ('tcp', 'udp'):
                    c = await connect(transport, host, 111)
                    v2, v4 = x.PMAP_VERS_Client(c), x.RPCBVERS4_Client(c)
                    new = x.rpcb(300000, 1, b'tcp', b'0.0.0.0.8.1', b'')
                    for call in (v2.SET(x.mapping(300000, 1, 6, 9), timeout=3),
                                 v2.UNSET(x.mapping(100000, 2, 0, 0), timeout=3),
                                 v4.SET(new, timeout=3), v4.UNSET(new, timeout=3)):
                        try:
                            print(await call)
                        except AuthError as exc:
                            print(exc.stat.name)
                    print(await v4.GETADDR(x.rpcb(100000, 4, b'', b'', b''), timeout=3))
        """
        seen = far.python(code.replace("\n            ", "\n")).splitlines()
        four, six = b"10.9.8.1.0.111", b"fd00::1.0.111"
        assert seen == [*(["TOOWEAK"] * 4 + [str(four)]) * 2, *(["TOOWEAK"] * 4 + [str(six)]) * 2]
        assert len(rows(ours.run("rpcinfo", "127.0.0.1"))) == 12


# We register with the real rpcbind

MINE = "sum((registrations([(300000, 3), (300005, 3)], t, None, 2049) for t in ('tcp','udp')), [])"
FOUR = {
    (program, "3", netid, uaddr)
    for program in ("300000", "300005")
    for netid, uaddr in (
        ("tcp", "0.0.0.0.8.1"),
        ("udp", "0.0.0.0.8.1"),
        ("tcp6", "::.8.1"),
        ("udp6", "::.8.1"),
    )
}


def registered(ns: Namespace) -> set[tuple[str, ...]]:
    return {row[:4] for row in rows(ns.run("rpcinfo")) if row[0].startswith("300")}


WHERE = {
    "default": "SYSTEM",
    "unix": "['/run/rpcbind.sock']",
    "loopback": "[('127.0.0.1', 111)]",
    "loopback6": "[('::1', 111)]",
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("where", WHERE)
def test_register_with_rpcbind(theirs: Namespace, where: str, loop: str) -> None:
    before = "from portmap.client import SYSTEM\n"
    place = f"where={WHERE[where]}"
    done = theirs.python(f"{before}print(await system_runs({place}))", loop)
    assert done == "True\n"
    theirs.python(f"{before}await register({MINE}, {place})", loop)
    assert registered(theirs) == FOUR
    proto = {row[:4] for row in rows(theirs.run("rpcinfo", "-p", "127.0.0.1"))}
    assert ("300000", "3", "tcp", "2049") in proto and ("300000", "3", "udp", "2049") in proto
    ports = theirs.python(
        "for host in ('127.0.0.1', '::1'):\n"
        "    for t in ('tcp', 'udp'):\n"
        "        print(await getport(host, 300005, 3, t), await getport(host, 300006, 3, t))",
        loop,
    )
    assert ports == "2049 0\n" * 4
    theirs.python(f"{before}await register({MINE}, {place})", loop)  # again, after a crash
    assert theirs.python(f"{before}print(await unregister({MINE}, {place}))", loop) == "8\n"
    assert registered(theirs) == set()
    owner = rows(theirs.run("rpcinfo", "127.0.0.1"))
    assert len(owner) == 12, "rpcbind's own are left"


def test_stale_registrations_at_rpcbind_are_replaced(theirs: Namespace) -> None:
    theirs.python("await register(registrations([(300000, 3)], 'tcp', None, 4711))")
    theirs.python("await register(registrations([(300000, 3)], 'tcp', None, 2049))")
    assert registered(theirs) == {row for row in FOUR if row[0] == "300000" and "tcp" in row[2]}
    # One that lives (rpcbind itself plays it) stays.
    theirs.run("rpcinfo", "-d", "100000", "4")
    taken = theirs.python(
        "try:\n    await register(registrations([(100000, 3)], 'tcp', None, 2049))\n"
        "except RegistrationRefused as exc:\n    print(exc)"
    )
    assert "another server is registered, and answers: program 100000 version 3" in taken


def test_what_root_registered_is_not_anybodys(theirs: Namespace) -> None:
    """rpcbind takes a loopback caller with an ordinary port for nobody it knows."""
    theirs.python(f"await register({MINE})")
    said = theirs.python(
        "p = Portmapper(await connect('tcp', '127.0.0.1', 111), 4, 'rpcbind', 3)\n"
        f"print(await p.remove({MINE}))\n"
        "try:\n    await p.replace(registrations([(300000, 3)], 'tcp', '0.0.0.0', 2050)[0])\n"
        "except RegistrationRefused as exc:\n    print(exc)"
    )
    assert said.splitlines() == [
        "0",
        "program 300000 version 3 at tcp 0.0.0.0.8.1 is stale, but belongs to superuser",
    ]
    assert registered(theirs) == FOUR


def test_rpcbind_refuses_from_another_address(theirs: Namespace) -> None:
    with namespace() as far:
        join(theirs, far)
        refused = far.python(
            f"try:\n    await register({MINE}, [('10.9.8.1', 111)])\n"
            "except RegistrationRefused as exc:\n    print(exc)"
        )
        assert re.match(r"the portmapper at 10.9.8.1:111 takes no registrations .*TOOWEAK", refused)


def test_portmap_version_2_at_rpcbind(theirs: Namespace) -> None:
    code = """
c = await connect('tcp', '127.0.0.1', 111)
p = Portmapper(c, 2, 'rpcbind', 3)
new = registrations([(300000, 3)], 'tcp', '0.0.0.0', 2049)[0]
print(await p.set(new), await p.set(registrations([(300000, 3)], 'tcp6', '::', 2049)[0]))
print([it.key for it in await p.dump() if it.program == 300000])
print(await p.unset(new), [it.key for it in await p.dump() if it.program == 300000])
"""
    assert theirs.python(code).splitlines() == [
        "True False",
        "[(300000, 3, 'tcp')]",
        "True []",
    ]


def test_no_rpcbind(ns: Namespace) -> None:
    assert ns.python("print(await system_runs())") == "False\n"


def test_port_111_is_taken(theirs: Namespace) -> None:
    said = theirs.run(sys.executable, "-m", "portmap", check=False)
    assert said == "portmap: cannot listen on tcp *:111: Address already in use\n"


# Both answer alike where the RFC leaves it open

ASK = """
async def tell(what, call):
    try:
        print(what, await call)
    except RpcError as exc:
        print(what, type(exc).__name__)
c = await connect('tcp', '127.0.0.1', 111)
v2, v3, v4 = x.PMAP_VERS_Client(c), x.RPCBVERS_Client(c), x.RPCBVERS4_Client(c)
R = lambda version, netid=b'', addr=b'': x.rpcb(300000, version, netid, addr, b'')
M = lambda version, prot=6, port=0: x.mapping(300000, version, prot, port)
for what, call in [
    ('set', v4.SET(R(1, b'tcp', b'0.0.0.0.8.1'))),
    ('again', v4.SET(R(1, b'tcp', b'0.0.0.0.8.1'))),
    ('taken', v4.SET(R(1, b'tcp', b'0.0.0.0.8.2'))),
    ('v2 again', v2.SET(M(1, 6, 2049))),
    ('v2 taken', v2.SET(M(1, 6, 2050))),
    ('udp', v2.SET(M(1, 17, 2049))),
    ('udp6', v4.SET(R(1, b'udp6', b'::.8.1'))),
    ('2', v3.SET(R(2, b'tcp', b'0.0.0.0.8.2'))),
    ('3', v3.SET(R(3, b'tcp', b'0.0.0.0.8.3'))),
    *((f'getport {n}', v2.GETPORT(M(n))) for n in range(5)),
    *((f'getaddr {n}', v3.GETADDR(R(n))) for n in range(5)),
    *((f'getversaddr {n}', v4.GETVERSADDR(R(n))) for n in range(5)),
    *((f'getaddrlist {n}', v4.GETADDRLIST(R(n))) for n in range(3)),
    ('unset v2', v2.UNSET(M(1))),
    ('dump', v2.DUMP()),
    ('unset absent', v4.UNSET(R(9, b'tcp'))),
    ('unset absent', v2.UNSET(M(9))),
    ('unset one', v4.UNSET(R(2, b'tcp'))),
    ('unset all', v4.UNSET(R(1))),
    ('unset all', v4.UNSET(R(3))),
    ('getaddr', v4.GETADDR(R(3))),
    ('u2t', v3.UADDR2TADDR(b'127.0.0.1.8.1')),
    ('u2t', v3.UADDR2TADDR(b'junk')),
    ('t2u', v4.TADDR2UADDR(x.netbuf(16, bytes([2, 0, 8, 1, 127, 0, 0, 1, *[0] * 8])))),
]:
    await tell(what, call)
"""


def test_ours_answers_as_rpcbind_does(ns: Namespace) -> None:
    def own_out(text: str) -> list[str]:
        """Without what only tells the portmapper itself: its place in a DUMP."""
        return [re.sub(r"pmaplist_node\(map=mapping\(prog=100000.*?\)\)(, )?", "", line)
                for line in text.splitlines()]  # fmt: skip

    ns.run("mkdir", "-p", "/run/rpcbind")
    # Real servers for the addresses, as rpcbind forgets those where nobody listens.
    with ns.daemon(("rpcbind", "-f"), READY):
        for_rpcbind = own_out(ns.python(ASK))
    with ns.daemon((sys.executable, "-m", "portmap", "--log-level", "error"), READY):
        for_us = own_out(ns.python(ASK))
    assert for_us == for_rpcbind


@pytest.mark.skipif(not which("rpc.statd"), reason="not installed: rpc.statd (nfs-common)")
def test_a_stock_server_registers_with_ours(ours: Namespace) -> None:
    """rpc.statd, through libtirpc, without a unix socket to do it by."""
    ours.run("sh", "-c", "mount -t tmpfs none /var/lib/nfs && mkdir /var/lib/nfs/sm")
    with ours.daemon(("rpc.statd", "-F", "-L"), "rpcinfo -T tcp 127.0.0.1 100024 1") as statd:
        found = {row[2] for row in rows(ours.run("rpcinfo", "127.0.0.1")) if row[0] == "100024"}
        assert found == {"tcp", "udp", "tcp6", "udp6"}
        statd.send_signal(signal.SIGTERM)
        statd.wait(10)
    assert "100024" not in ours.run("rpcinfo", "-p", "127.0.0.1")


def test_register_without_root(theirs: Namespace) -> None:
    """Over its unix socket rpcbind takes registrations from anybody, as their own."""
    if sys.prefix.startswith("/root") or sys.base_prefix.startswith("/root"):
        python = "/usr/bin/python3"
    else:
        python = sys.executable
    probe = "import sys, oncrpc.client; sys.exit(sys.version_info < (3, 11))"
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", python, "-c")
    if theirs.run(*nobody, probe, check=False):
        pytest.skip(f"nobody cannot run {python} with this source tree")
    code = (
        "import asyncio\nfrom portmap.client import *\n"
        "mine = registrations([(300000, 3)], 'tcp', None, 2049)\n"
        "async def main():\n"
        "    await register(mine)\n"
        "    print({it.owner for it in await dump() if it.program == 300000})\n"
        "    print(await unregister(mine))\n"
        "asyncio.run(main())\n"
    )
    assert theirs.run(*nobody, code) == "{'65534'}\n2\n"
