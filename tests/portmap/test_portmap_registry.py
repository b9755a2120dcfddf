"""Universal addresses and the table, by tables (RFC 1833 section 2.2.1, RFC 5665 section 5.2.3)."""

from __future__ import annotations

import pytest

from portmap.registry import (
    REGISTRATIONS,
    STATISTICS_ENTRIES,
    SUPERUSER,
    UNKNOWN,
    Registration,
    Registry,
    Statistics,
)
from portmap.uaddr import (
    AddressError,
    from_taddr,
    from_uaddr,
    merge,
    netid_of,
    to_taddr,
    to_uaddr,
    unicast,
    wildcard,
)

GOOD = [
    ("tcp", "127.0.0.1", 2049, "127.0.0.1.8.1"),
    ("udp", "0.0.0.0", 111, "0.0.0.0.0.111"),
    ("tcp", "255.255.255.255", 65535, "255.255.255.255.255.255"),
    ("tcp6", "::", 2049, "::.8.1"),
    ("udp6", "::1", 1, "::1.0.1"),
    ("tcp6", "2001:db8::7", 256, "2001:db8::7.1.0"),
    ("tcp6", "::ffff:192.0.2.1", 2049, "::ffff:c000:201.8.1"),
]


@pytest.mark.parametrize(("netid", "host", "port", "uaddr"), GOOD)
def test_universal_addresses_go_both_ways(netid: str, host: str, port: int, uaddr: str) -> None:
    assert to_uaddr(host, port) == uaddr
    back, same_port = from_uaddr(netid, uaddr)
    assert (to_uaddr(back, same_port), same_port) == (uaddr, port)
    assert from_taddr(to_taddr(back, port)) == (back, port)


@pytest.mark.parametrize(
    ("netid", "uaddr", "why"),
    [
        ("tcp", "", "no port"),
        ("tcp", "127.0.0.1", "numeric"),
        ("tcp", "127.0.0.1.8", "numeric"),
        ("tcp", "127.0.0.1.8.256", "no byte"),
        ("tcp", "127.0.0.1.-1.1", "no byte"),
        ("tcp", "127.0.0.1.8.", "no byte"),
        ("tcp", "127.0.0.1.8.\u0661", "no byte"),
        ("tcp", "127.0.0.1.0.0", "port 0"),
        ("tcp", "256.0.0.1.8.1", "numeric"),
        ("tcp", "localhost.8.1", "numeric"),
        ("tcp", "::.8.1", "no address of tcp"),
        ("udp6", "127.0.0.1.8.1", "no address of udp6"),
        ("tcp6", "fe80::1%eth0.8.1", "numeric"),
        ("local", "/run/rpcbind.sock", "no transport"),
        ("", "127.0.0.1.8.1", "no transport"),
    ],
)
def test_what_is_no_universal_address(netid: str, uaddr: str, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        from_uaddr(netid, uaddr)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 0), ("127.0.0.1", 65536), ("", 1), ("fe80::1%lo", 1)]
)
def test_what_becomes_no_universal_address(host: str, port: int) -> None:
    with pytest.raises(AddressError):
        to_uaddr(host, port)


@pytest.mark.parametrize("raw", [b"", b"\2", bytes(16), to_taddr("::1", 1)[:-1]])
def test_what_is_no_socket_address(raw: bytes) -> None:
    with pytest.raises(AddressError):
        from_taddr(raw)


@pytest.mark.parametrize(
    ("netid", "uaddr", "reached", "merged"),
    [
        ("tcp", "0.0.0.0.8.1", "192.0.2.7", "192.0.2.7.8.1"),
        ("tcp6", "::.8.1", "2001:db8::7", "2001:db8::7.8.1"),
        ("tcp", "127.0.0.1.8.1", "192.0.2.7", "127.0.0.1.8.1"),
        ("tcp", "0.0.0.0.8.1", None, "0.0.0.0.8.1"),
        ("tcp", "0.0.0.0.8.1", "2001:db8::7", "0.0.0.0.8.1"),
        ("tcp6", "::.8.1", "192.0.2.7", "::.8.1"),
    ],
)
def test_merging(netid: str, uaddr: str, reached: str | None, merged: str) -> None:
    assert merge(netid, uaddr, reached) == merged


def test_kinds_of_addresses() -> None:
    assert [netid_of(*it) for it in [("tcp", "::1"), ("udp", "::1"), ("udp", "1.2.3.4")]] == [
        "tcp6",
        "udp6",
        "udp",
    ]
    assert wildcard("::") and wildcard("0.0.0.0") and not wildcard("::1")
    hosts = ["::", "0.0.0.0", "ff02::1", "224.0.0.1", "255.255.255.255", "::1", "127.0.0.1"]
    assert [unicast(host) for host in hosts] == [False] * 5 + [True] * 2


NFS, MOUNT = 100003, 100005
WILD = {"tcp": "0.0.0.0.8.1", "udp": "0.0.0.0.8.1", "tcp6": "::.8.1", "udp6": "::.8.1"}


def table(*keys: tuple[int, int, str], owner: str = SUPERUSER) -> Registry:
    registry = Registry()
    for program, version, netid in keys:
        assert registry.set(Registration(program, version, netid, WILD[netid], owner))
    return registry


def test_set_fails_if_it_is_taken() -> None:
    registry = table((NFS, 3, "tcp"))
    assert not registry.set(Registration(NFS, 3, "tcp", "0.0.0.0.8.2"))
    assert registry.set(Registration(NFS, 3, "tcp", WILD["tcp"])), "the same again"
    assert registry.set(Registration(NFS, 4, "tcp", "0.0.0.0.8.2")), "another version"
    assert registry.set(Registration(NFS, 3, "tcp6", "::.8.2")), "another transport"
    assert [entry.key for entry in registry.dump()] == [
        (NFS, 3, "tcp"),
        (NFS, 4, "tcp"),
        (NFS, 3, "tcp6"),
    ]


def test_set_takes_no_other_transports_address() -> None:
    registry = Registry()
    for netid, uaddr in [("tcp", "::.8.1"), ("tcp6", "1.2.3.4.8.1"), ("sctp", "1.2.3.4.8.1")]:
        with pytest.raises(AddressError):
            registry.set(Registration(NFS, 3, netid, uaddr))
    assert not len(registry)


def test_the_table_is_bounded() -> None:
    registry = Registry()
    for program in range(REGISTRATIONS):
        assert registry.set(Registration(program, 1, "tcp", WILD["tcp"]))
    assert not registry.set(Registration(NFS, 3, "tcp", WILD["tcp"]))
    assert registry.unset(7, 1)
    assert registry.set(Registration(NFS, 3, "tcp", WILD["tcp"]))


@pytest.mark.parametrize(
    ("netids", "left"),
    [
        (("tcp",), {"udp", "tcp6", "udp6"}),
        (("tcp", "udp"), {"tcp6", "udp6"}),
        (("tcp6",), {"tcp", "udp", "udp6"}),
        (tuple(WILD), set()),
        (("sctp",), set(WILD)),
    ],
)
def test_unset(netids: tuple[str, ...], left: set[str]) -> None:
    registry = table(*((NFS, 3, netid) for netid in WILD), (NFS, 4, "tcp"), (MOUNT, 3, "tcp"))
    assert registry.unset(NFS, 3, netids)
    assert {entry.netid for entry in registry.dump() if entry.key[:2] == (NFS, 3)} == left
    assert registry.find_version(NFS, 4, "tcp") and registry.find_version(MOUNT, 3, "tcp")


def test_unset_is_the_owners_and_the_superusers() -> None:
    registry = table((NFS, 3, "tcp"))
    registry.set(Registration(NFS, 3, "udp", WILD["udp"], UNKNOWN))
    assert not registry.unset(NFS, 3, owner=UNKNOWN), "one of them is the superuser's"
    assert len(registry) == 2, "so none of them goes"
    assert registry.unset(NFS, 3, ("udp",), owner=UNKNOWN)
    assert registry.unset(NFS, 3, ("udp",), owner=UNKNOWN), "nothing is there any more"
    assert registry.unset(NFS, 3, owner=SUPERUSER)
    assert not len(registry)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((NFS, 3, "tcp"), (NFS, 3, "tcp")),
        ((NFS, 2, "tcp"), (NFS, 2, "tcp")),
        ((NFS, 9, "tcp"), (NFS, 3, "tcp")),  # the last that was registered, as rpcbind has it
        ((NFS, 9, "tcp6"), (NFS, 2, "tcp6")),
        ((NFS, 3, "udp"), None),
        ((MOUNT, 3, "tcp"), None),
    ],
)
def test_find(asked: tuple[int, int, str], found: tuple[int, int, str] | None) -> None:
    registry = table((NFS, 2, "tcp"), (NFS, 2, "tcp6"), (NFS, 3, "tcp"))
    entry = registry.find(*asked)
    assert (entry and entry.key) == found
    exact = registry.find_version(*asked)
    assert (exact and exact.key) == (asked if asked == found else None)


def test_family() -> None:
    registry = table((NFS, 3, "udp"), (NFS, 3, "tcp"), (NFS, 3, "tcp6"), (NFS, 4, "udp6"))
    assert [entry.netid for entry in registry.family(NFS, 3, "inet")] == ["tcp", "udp"]
    assert [entry.netid for entry in registry.family(NFS, 3, "inet6")] == ["tcp6"]


def test_statistics_are_bounded() -> None:
    stats = Statistics()
    for program in range(STATISTICS_ENTRIES + 5):
        stats.looked_up(program, 1, "tcp", found=False)
        stats.was_refused(program, 1, 0, False, "udp")
    stats.looked_up(0, 1, "tcp", found=True)
    stats.was_refused(0, 1, 0, False, "udp")
    assert len(stats.lookups) == len(stats.refused) == STATISTICS_ENTRIES
    first = stats.lookups[0, 1, "tcp"]
    assert (first.success, first.failure) == (1, 1)
    assert stats.refused[0, 1, 0, False, "udp"] == 2
    stats.calls[3] = 0x7FFFFFFF
    stats.called(3)
    assert stats.calls[3] == 0x7FFFFFFF, "an int on the wire"
