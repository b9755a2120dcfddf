"""The three services through a pipe: who may do what, and what is answered."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import AuthError, AuthStat, GarbageArgs, ProcUnavail, ProgMismatch
from oncrpc.message import NOBODY, call_header, read_reply
from oncrpc.program import Proc, Program
from oncrpc.testing import Pipe
from oncrpc.xdr import decode_void, encode_void
from portmap import portmap_xdr as x
from portmap.local import address_towards, registrations
from portmap.registry import REGISTRATIONS, Registration, Registry
from portmap.server import Portmapper, add_services

ROOT = Peer("127.0.0.1", 700, "tcp")
ROOT6 = Peer("::1", 700, "udp")
USER = Peer("127.0.0.1", 40000, "tcp")
REMOTE = Peer("192.0.2.9", 700, "tcp")
REMOTE6 = Peer("2001:db8::9", 700, "udp")
NFS = 100003


class House:
    """One registry, asked by several callers."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.dispatcher = Dispatcher()
        add_services(self.dispatcher, self.registry, clock=lambda: 1.5e9)

    def v2(self, peer: Peer) -> x.PMAP_VERS_Client:
        return x.PMAP_VERS_Client(Pipe(self.dispatcher, peer=peer))

    def v3(self, peer: Peer) -> x.RPCBVERS_Client:
        return x.RPCBVERS_Client(Pipe(self.dispatcher, peer=peer))

    def v4(self, peer: Peer) -> x.RPCBVERS4_Client:
        return x.RPCBVERS4_Client(Pipe(self.dispatcher, peer=peer))


def rpcb(netid: str = "", uaddr: str = "", version: int = 3, program: int = NFS) -> x.rpcb:
    return x.rpcb(program, version, netid.encode(), uaddr.encode(), b"")


def mapping(prot: int, port: int = 0, version: int = 3, program: int = NFS) -> x.mapping:
    return x.mapping(program, version, prot, port)


def run(test: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(House()), 10)

    asyncio.run(main())


@pytest.mark.parametrize("peer", [REMOTE, REMOTE6, Peer("10.0.0.1", 40000, "udp")])
def test_set_and_unset_from_elsewhere_are_refused(peer: Peer) -> None:
    async def test(house: House) -> None:
        house.registry.set(Registration(NFS, 3, "tcp", "0.0.0.0.8.1"))
        for call in (
            house.v2(peer).SET(mapping(17, 2049)),
            house.v2(peer).UNSET(mapping(6)),
            house.v3(peer).SET(rpcb("udp", "0.0.0.0.8.1")),
            house.v3(peer).UNSET(rpcb("tcp")),
            house.v4(peer).SET(rpcb("udp", "0.0.0.0.8.1")),
            house.v4(peer).UNSET(rpcb("")),
        ):
            with pytest.raises(AuthError) as refused:
                await call
            assert refused.value.stat is AuthStat.TOOWEAK
        assert [entry.key for entry in house.registry.dump()] == [(NFS, 3, "tcp")]
        assert await house.v2(REMOTE).GETPORT(mapping(6)) == 2049, "but anybody may ask"

    run(test)


def test_owners() -> None:
    async def test(house: House) -> None:
        assert await house.v4(USER).SET(rpcb("tcp", "0.0.0.0.8.1"))
        assert await house.v4(ROOT).SET(rpcb("tcp6", "::.8.1"))
        assert [entry.owner for entry in house.registry.dump()] == ["unknown", "superuser"]
        assert not await house.v4(USER).UNSET(rpcb(""))
        assert not await house.v3(USER).UNSET(rpcb("tcp6"))
        assert await house.v2(USER).UNSET(mapping(6)), "which sees tcp and udp only"
        assert await house.v3(ROOT6).UNSET(rpcb("tcp6"))
        assert not len(house.registry)

    run(test)


def test_version_2_and_4_see_one_table() -> None:
    async def test(house: House) -> None:
        v2, v4 = house.v2(ROOT), house.v4(ROOT)
        assert await v2.SET(mapping(6, 2049))
        assert not await v4.SET(rpcb("tcp", "0.0.0.0.8.2"))
        assert await v4.SET(rpcb("udp", "127.0.0.1.8.3"))
        assert await v4.SET(rpcb("udp6", "::1.8.4"))
        maps = [node.map for node in await v2.DUMP()]
        assert maps == [mapping(6, 2049), mapping(17, 2051)], "version 2 has no udp6"
        assert [node.rpcb_map.r_addr for node in await v4.DUMP()] == [
            b"0.0.0.0.8.1",
            b"127.0.0.1.8.3",
            b"::1.8.4",
        ]
        assert await house.v2(ROOT6).GETPORT(mapping(17)) == 2052, "over IPv6: IPv6's"
        assert await v2.UNSET(mapping(6))
        assert [node.rpcb_map.r_netid for node in await v4.DUMP()] == [b"udp6"]

    run(test)


@pytest.mark.parametrize(
    ("prot", "port"), [(6, 0), (6, 65536), (132, 2049), (0, 2049), (0xFFFFFFFF, 0xFFFFFFFF)]
)
def test_version_2_sets_that_fail(prot: int, port: int) -> None:
    async def test(house: House) -> None:
        assert not await house.v2(ROOT).SET(mapping(prot, port))
        assert not len(house.registry)

    run(test)


@pytest.mark.parametrize(
    ("netid", "uaddr"),
    [
        (b"", b"0.0.0.0.8.1"),
        (b"tcp", b""),
        (b"tcp", b"\xff\xfe"),
        (b"t\xffp", b"0.0.0.0.8.1"),
        (b"sctp", b"0.0.0.0.8.1"),
        (b"tcp", b"::.8.1"),
        (b"tcp", b"1" * 4000),
    ],
)
def test_version_4_sets_that_fail(netid: bytes, uaddr: bytes) -> None:
    async def test(house: House) -> None:
        assert not await house.v4(ROOT).SET(x.rpcb(NFS, 3, netid, uaddr, b"me"))
        assert not len(house.registry)

    run(test)


def test_lookups() -> None:
    async def test(house: House) -> None:
        v2, v4 = house.v2(REMOTE), house.v4(REMOTE)
        assert await v2.GETPORT(mapping(6)) == 0, "at once (trap 16)"
        assert await v4.GETADDR(rpcb("tcp")) == b""
        house.registry.set(Registration(NFS, 3, "tcp", "192.0.2.1.8.1"))
        assert await v2.GETPORT(mapping(6)) == 2049
        assert await v2.GETPORT(mapping(17)) == 0
        assert await v2.GETPORT(mapping(0)) == 0
        assert await v2.GETPORT(mapping(6, version=4)) == 2049, "another version, as rpcbind"
        assert await v4.GETADDR(rpcb("udp", version=4)) == b"192.0.2.1.8.1"
        assert await v4.GETVERSADDR(rpcb("tcp", version=4)) == b""
        assert await v4.GETVERSADDR(rpcb("tcp")) == b"192.0.2.1.8.1"
        assert await house.v4(REMOTE6).GETADDR(rpcb("tcp")) == b""
        assert await v4.GETADDRLIST(rpcb("", version=4)) == []

    run(test)


def test_wildcards_come_back_as_the_caller_can_use_them() -> None:
    async def test(house: House) -> None:
        for netid, uaddr in [("tcp", "0.0.0.0.8.1"), ("udp", "0.0.0.0.8.1"), ("udp6", "::.8.1")]:
            house.registry.set(Registration(NFS, 3, netid, uaddr))
        hints = ["", "junk", "0.0.0.0.0.111", "224.0.0.1.0.111", "::1.0.111"]
        for hint in hints:
            assert await house.v4(USER).GETADDR(rpcb("tcp", hint)) == b"127.0.0.1.8.1"
            assert await house.v3(USER).GETADDR(rpcb("tcp", hint)) == b"127.0.0.1.8.1"
        assert await house.v4(ROOT6).GETADDR(rpcb("")) == b"::1.8.1"
        assert await house.v4(REMOTE).GETADDR(rpcb("", "198.51.100.1.0.111")) == (
            b"198.51.100.1.8.1"
        )
        nowhere = Peer("255.255.255.255", 1, "tcp")
        assert address_towards(nowhere.host) is None
        assert await house.v4(nowhere).GETADDR(rpcb("")) == b"0.0.0.0.8.1", "as registered"
        listed = [it.rpcb_entry_map for it in await house.v4(USER).GETADDRLIST(rpcb(""))]
        assert listed == [
            x.rpcb_entry(b"127.0.0.1.8.1", b"tcp", 3, b"inet", b"tcp"),
            x.rpcb_entry(b"127.0.0.1.8.1", b"udp", 1, b"inet", b"udp"),
        ]

    run(test)


def test_indirect_calls_are_refused_and_counted() -> None:
    async def test(house: House) -> None:
        house.registry.set(Registration(NFS, 3, "tcp", "0.0.0.0.8.1"))
        args = x.rpcb_rmtcallargs(NFS, 3, 0, b"")
        for call in (
            house.v2(ROOT).CALLIT(x.call_args(NFS, 3, 0, b"")),
            house.v3(ROOT).CALLIT(args),
            house.v4(REMOTE).BCAST(args),
            house.v4(REMOTE).INDIRECT(args),
        ):
            with pytest.raises(ProcUnavail):
                await asyncio.wait_for(call, 2)
        stats = await house.v4(ROOT).GETSTAT()
        assert [[(it.failure, it.indirect) for it in one.rmtinfo] for one in stats] == [
            [(1, 0)],
            [(1, 0)],
            [(1, 0), (1, 1)],
        ]

    run(test)


@pytest.mark.parametrize(
    ("version", "number"),
    [(2, 6), (2, 9), (3, 9), (3, 12), (4, 13), (2, 99), (3, 99), (4, 0xFFFFFFFF)],
)
def test_an_unknown_procedure_is_answered(version: int, number: int) -> None:
    odd = Proc(number, "ODD", decode_void, encode_void, decode_void, encode_void)

    async def test(house: House) -> None:
        with pytest.raises(ProcUnavail):
            await Pipe(house.dispatcher).call(Program("odd", 100000, version, {}), odd, None, 2)

    run(test)


@pytest.mark.parametrize("version", [0, 1, 5])
def test_an_unknown_version_is_answered(version: int) -> None:
    odd = Proc(0, "NULL", decode_void, encode_void, decode_void, encode_void)

    async def test(house: House) -> None:
        with pytest.raises(ProgMismatch) as refused:
            await Pipe(house.dispatcher).call(Program("odd", 100000, version, {}), odd, None, 2)
        assert (refused.value.low, refused.value.high) == (2, 4)

    run(test)


@pytest.mark.parametrize("junk", [b"", b"\0" * 12, b"\xff" * 16, b"\0" * 20])
def test_garbage_arguments_are_answered(junk: bytes) -> None:
    async def test(house: House) -> None:
        for version in (3, 4):
            head = call_header(7, 100000, version, 1, NOBODY.pack())
            reply = await Pipe(house.dispatcher, peer=ROOT).send(head + junk + b"\0")
            with pytest.raises(GarbageArgs):
                read_reply(reply)
        assert not len(house.registry)

    run(test)


def test_times_and_transport_addresses() -> None:
    async def test(house: House) -> None:
        for v in (house.v3(ROOT), house.v4(ROOT)):
            assert await v.GETTIME() == 1500000000
            four, six = await v.UADDR2TADDR(b"10.1.2.3.1.2"), await v.UADDR2TADDR(b"::1.1.2")
            assert struct.unpack_from(">H4B", four.buf, 2) == (258, 10, 1, 2, 3)
            assert six == x.netbuf(0, b""), "the call came over IPv4"
            assert await v.TADDR2UADDR(four) == b"10.1.2.3.1.2"
            assert await v.TADDR2UADDR(x.netbuf(3, b"abc")) == b""
            assert await v.UADDR2TADDR(b"") == x.netbuf(0, b"")
        six = await house.v4(ROOT6).UADDR2TADDR(b"::1.1.2")
        assert len(six.buf) == 28
        assert await house.v4(ROOT6).TADDR2UADDR(six) == b"::1.1.2"
        assert await house.v4(ROOT).TADDR2UADDR(six) == b""

    run(test)


def test_a_full_dump_fits_a_datagram() -> None:
    async def test(house: House) -> None:
        longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff.255.255"
        for program in range(REGISTRATIONS):
            assert await house.v4(ROOT).SET(rpcb("tcp6", longest, program=program))
        assert not await house.v4(ROOT).SET(rpcb("tcp6", longest, program=REGISTRATIONS))
        pipe = Pipe(house.dispatcher, peer=REMOTE6)
        assert len(await x.RPCBVERS4_Client(pipe).DUMP()) == REGISTRATIONS
        assert len(pipe.log[0][1]) <= 65507

    run(test)


def test_statistics() -> None:
    async def test(house: House) -> None:
        v2 = house.v2(ROOT)
        await v2.SET(mapping(6, 2049))
        await v2.SET(mapping(6, 2050))  # taken: no success
        await v2.GETPORT(mapping(6))
        await v2.GETPORT(mapping(6, program=5))
        await v2.UNSET(mapping(6))
        two, three, four = await house.v4(ROOT).GETSTAT()
        assert two.info == [0, 2, 1, 2, *[0] * 9]
        assert (two.setinfo, two.unsetinfo) == (1, 1)
        assert two.addrinfo == [
            x.rpcbs_addrlist(NFS, 3, 1, 0, b"tcp"),
            x.rpcbs_addrlist(5, 3, 0, 1, b"tcp"),
        ]
        assert three.info == [0] * 13
        assert four.info == [0] * 12 + [1]

    run(test)


def test_a_portmappers_own_table() -> None:
    async def test(house: House) -> None:
        portmapper = Portmapper()
        first = registrations([(NFS, 3)], "tcp", "127.0.0.1", 2049)
        second = registrations([(NFS, 3)], "tcp", "127.0.0.1", 2050)
        portmapper.add(first)
        portmapper.add(second)
        assert [entry.uaddr for entry in portmapper.registry.dump()] == ["127.0.0.1.8.2"]
        portmapper.remove(second)
        assert not len(portmapper.registry)

    run(test)


@pytest.mark.parametrize(
    ("transport", "host", "wanted"),
    [
        ("tcp", "127.0.0.1", [("tcp", "127.0.0.1.8.1")]),
        ("udp", "::1", [("udp6", "::1.8.1")]),
        ("udp", "0.0.0.0", [("udp", "0.0.0.0.8.1")]),
        ("tcp", "::", [("tcp6", "::.8.1")]),
    ],
)
def test_registrations_for_what_listens(transport: str, host: str, wanted: Any) -> None:
    found = registrations([(NFS, 3), (100005, 1)], transport, host, 2049)
    assert found == [
        Registration(program, version, *where)
        for program, version in ((NFS, 3), (100005, 1))
        for where in wanted
    ]
    everywhere = registrations([(NFS, 3)], transport, None, 2049)
    assert (transport, "0.0.0.0.8.1") == everywhere[0][2:4]
