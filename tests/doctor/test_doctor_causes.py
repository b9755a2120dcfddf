"""The doctor names the right cause of set-ups that are really broken, seen from another machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import doctor_world as w
import pytest
from doctor_world import SERVER, World, inside
from nfs_process import Process
from portmap_ns import join, missing, namespace

from nfsloop.doctor import examine, probes
from nfsloop.doctor.diagnosis import Report, diagnose
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x

pytestmark = pytest.mark.timeout(60)

EXPORTS = """
{0}/open *(rw,insecure,no_root_squash)
{0}/elsewhere 192.0.2.0/24(rw)
{0}/secure *(rw)
{0}/closed *(rw,insecure)
{0}/pub *(ro,insecure)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    why = missing()
    if why and os.environ.get("NFSLOOP_REQUIRE_PEERS"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    place = tmp_path_factory.mktemp("doctor")
    for name in ("open", "elsewhere", "secure", "closed", "pub"):
        (place / name).mkdir()
    (place / "open" / "file").write_text("x")
    (place / "closed").chmod(0o700)
    (place / "pub").chmod(0o777)
    (place / "exports").write_text(EXPORTS.format(place))
    with ExitStack() as stack:
        client, server = (stack.enter_context(namespace()) for _ in range(2))
        join(client, server)
        made = World(client, server)
        stack.callback(made.close)
        enter = ("nsenter", "-t", str(server.pid), "--net", "--mount")
        arguments = (
            "serve", "--host", SERVER, "--rpcbind", "none", "--exports", str(place / "exports"),
            "--state", str(place / "state"),
        )  # fmt: skip
        process = Process(*arguments, prefix=enter)
        stack.callback(process.close)
        process.ready(5)
        made.place = str(place)
        yield made


@dataclass(frozen=True)
class Case:
    """`make` gives the address that is asked; `codes` is all that is to be found there."""

    name: str
    codes: tuple[str, ...]
    path: str | None = None
    make: Callable[[World], str] = lambda world: SERVER
    dropped: tuple[str, ...] = ()
    user: int = 0
    words: str = ""


def portmapped(nfs: int, mountd: int, serve: bool = True) -> Callable[[World], str]:
    """A portmapper with these registrations, beside NFS and MOUNT on 2049."""

    def make(world: World) -> str:
        address = world.portmapper(world.address(), nfs, mountd)
        return world.nfs(address, w.Mountd(["/x"], m.MNT3ERR_IO)) if serve else address

    return make


PLAIN = ("no-rpcbind", "no-locks")
CASES = (
    Case("healthy", PLAIN, "/open"),
    Case("any export", PLAIN, None),
    Case("unknown export", ("unknown-export", "no-rpcbind"), "/none", words="/open"),
    Case("missing directory", ("no-directory", "no-rpcbind"), "/open/none"),
    Case("a file", ("not-directory", "no-rpcbind"), "/open/file"),
    Case("not listed", ("not-listed", "no-rpcbind"), "/elsewhere", words="192.0.2.0/24"),
    Case("secure", ("no-reserved-port", "no-rpcbind"), "/secure", user=w.NOBODY),
    Case("secure, as root", (*PLAIN, "not-writable"), "/secure"),
    Case("squashed", ("root-squashed", *PLAIN), "/closed"),
    Case("no permission", ("no-permission", *PLAIN), "/closed", user=w.NOBODY),
    Case("read-only", ("no-rpcbind", "read-only", "no-locks"), "/pub"),
    Case(
        "rpcbind firewalled", ("rpcbind-firewalled", "no-locks"), "/open",
        dropped=("ipproto", "tcp", "sport", "111"),
    ),
    Case(
        "NFS firewalled", ("nfs-firewalled",), "/open",
        dropped=("ipproto", "tcp", "sport", "2049"),
    ),
    Case("all firewalled", ("host-silent",), make=lambda world: world.silent()),
    Case("no route", ("no-route",), make=lambda world: world.unreachable()),
    Case("no name", ("no-name",), make=lambda world: "nosuch.invalid"),
    Case("nobody there", ("nfs-not-running",), make=lambda world: world.address()),
    Case(
        "version 4 only", ("no-version-3",), words="vers=4",
        make=lambda world: world.refusing(world.address(), w.VERSION_4_ONLY),
    ),
    Case("not NFS", ("no-nfs",), make=lambda world: world.refusing(world.address(), w.NO_NFS)),
    Case(
        "refusing", ("nfs-refuses",), words="TOOWEAK",
        make=lambda world: world.refusing(world.address(), w.TOO_WEAK),
    ),
    Case(
        "ssh on 2049", ("not-rpc",),
        make=lambda world: world.answering(world.address(), 2049, lambda xid: w.BANNER),
    ),
    Case(
        "hanging", ("nfs-mute",), make=lambda world: world.answering(world.address(), 2049, None)
    ),
    Case("UDP only", ("tcp-missing",),
         make=lambda world: world.nfs(world.address(), transport="udp")),
    Case("dead, still registered", ("nfs-dead",), make=portmapped(2049, 2049, serve=False)),
    Case("wrong port", ("wrong-port", "mount-fails"), "/x", make=portmapped(999, 0), words="999"),
    Case("not registered", ("mount-fails", "not-registered"), "/x", make=portmapped(0, 0)),
    Case("mountd dead", ("mount-dead",), "/x",
         make=lambda world: world.nfs(world.portmapper(world.address(), 2049, 20048))),
    Case("no mountd", ("no-mountd", "no-rpcbind"), make=lambda world: world.nfs(world.address())),
    Case("broken rpcbind", ("rpcbind-broken", "mount-fails"), "/x",
         make=lambda world: world.answering(portmapless(world), 111, lambda xid: w.BANNER)),
    Case("no exports", ("no-exports", "no-rpcbind"), "/x",
         make=lambda world: world.nfs(world.address(), w.Mountd([], m.MNT3ERR_ACCES))),
    Case("denied", ("denied", "no-rpcbind"), "/x",
         make=lambda world: world.nfs(world.address(), w.Mountd(["/x"], m.MNT3ERR_ACCES))),
    Case("closing", ("nfs-closes",),
         make=lambda world: world.answering(world.address(), 2049, lambda xid: b"")),
    Case("MNT alone answers", ("root-stale", *PLAIN), "/x",
         make=lambda world: world.nfs(world.address(), w.Hanging(["/x"], m.MNT3_OK))),
    Case("Kerberos", ("needs-krb5", *PLAIN), "/x",
         make=lambda world: world.nfs(world.address(), w.Mountd(["/x"], m.MNT3_OK), nfs=w.Weak())),
    Case("a port that is none", ("rpcbind-broken", "mount-fails"), "/x", words="4000000000",
         make=lambda world: world.lying(portmapless(world), 4000000000)),
    Case("no list, no path", ("mount-fails", "no-rpcbind"), words="cannot hand out /",
         make=lambda world: world.nfs(world.address(), w.Hanging([], m.MNT3ERR_IO))),
    Case("stale root", ("root-stale", *PLAIN), "/x",
         make=lambda world: world.nfs(world.address(), w.Mountd(["/x"], m.MNT3_OK))),
)  # fmt: skip


def portmapless(world: World) -> str:
    return world.nfs(world.address(), w.Mountd(["/x"], m.MNT3ERR_IO))


def examined(
    world: World,
    host: str,
    path: str | None,
    user: int = 0,
    port: int | None = None,
    mount_port: int | None = None,
) -> Report:
    def examination() -> Report:
        return diagnose(examine.remote(host, path, port, 0.5, mount_port=mount_port), None)

    return inside(world.client, examination, user)


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_the_cause_is_named(case: Case, world: World) -> None:
    host = case.make(world)
    path = case.path
    if path is not None and host == SERVER:
        path = world.place + path
    with world.dropping(*case.dropped) if case.dropped else nullcontext():
        report = examined(world, host, path, case.user)
    found = codes(report)
    text = "\n".join(examine.lines(report, verbose=True))
    assert sorted(found) == sorted(case.codes), text
    assert case.words in text
    problems = [it for it in report.findings if it.level == "problem"]
    assert report.healthy is (not problems)
    assert found[: len(problems)] == [it.code for it in problems]
    if report.healthy:
        assert "mount -t nfs -o vers=3,proto=tcp,mountproto=tcp,port=2049" in text


def test_a_portmapper_that_tells_right_needs_no_ports(world: World) -> None:
    address = world.portmapper(world.address(), 2049, 2049)
    world.nfs(address, w.Mountd(["/x"], m.MNT3_OK))
    report = examined(world, address, "/x")
    assert "the portmapper tells of NFS (port 2049)" in report.fine


def test_ipv6_alone(world: World) -> None:
    world.nfs("fd00::2", w.Mountd(["/x"], m.MNT3ERR_IO))
    report = examined(world, "fd00::2", "/x")
    assert codes(report) == ["mount-fails", "no-rpcbind"]


LINE = "mount -t nfs -o vers=3,proto=tcp,mountproto=tcp,port={},mountport={},nolock {}:/x /mnt"


def test_two_servers_of_one_machine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of port 12049 is not registered, and its export is not the other's."""

    async def fsinfo(self: w.Null, call: object, args: object) -> x.FSINFO3res:
        return x.FSINFO3res(x.NFS3ERR_JUKEBOX, x.FSINFO3resfail(None))

    monkeypatch.setattr(w.Null, "FSINFO", fsinfo)
    address = world.portmapper(world.address(), 2049, 20048)
    world.nfs(address)
    world.nfs(address, w.Mountd(["/theirs"], m.MNT3ERR_NOENT), port=20048)
    world.nfs(address, w.Mountd(["/x"], m.MNT3_OK), port=12049)
    report = examined(world, address, "/x", port=12049)
    assert codes(report) == ["nfs-fails", "no-locks"]
    assert "the MOUNT service answers on port 12049" in report.fine
    report = examined(world, address, "/x")
    assert codes(report) == ["unknown-export"]
    assert "the MOUNT service answers on port 20048" in report.fine
    report = examined(world, address, "/x", port=9999)
    assert codes(report) == ["other-port", "unknown-export"]


def test_a_port_of_its_own_for_mount(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole line, of a server that is well."""
    monkeypatch.setattr(probes, "_look_at", nothing)
    address = world.address()
    world.nfs(address)
    world.nfs(address, w.Mountd(["/x"], m.MNT3_OK), port=20048)
    assert codes(examined(world, address, "/x")) == ["no-mountd", "no-rpcbind"]
    report = examined(world, address, "/x", mount_port=20048)
    assert codes(report) == ["no-rpcbind", "no-locks"]
    assert report.line == LINE.format(2049, 20048, address)
    world.portmapper(address, 2049, 20048)
    report = examined(world, address, "/x")
    assert (codes(report), report.line) == (
        ["no-locks"], f"mount -t nfs -o vers=3,nolock {address}:/x /mnt"
    )  # fmt: skip


async def nothing(*_: object) -> None:
    pass


def test_a_registered_port_that_is_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_look_at", nothing)
    address = world.portmapper(world.address(), 4049, 4049)
    world.nfs(address, w.Mountd(["/x"], m.MNT3_OK), port=4049)
    report = examined(world, address, "/x")
    assert report.line == f"mount -t nfs -o vers=3,nolock {address}:/x /mnt"
    assert codes(report) == ["no-locks"]


def test_a_firewall_that_rejects(world: World) -> None:
    address = world.nfs(world.address(), w.Mountd(["/x"], m.MNT3ERR_IO))
    with world.rejecting("ipproto", "tcp", "dport", "2049"):
        report = examined(world, address, "/x")
    assert codes(report) == ["nfs-firewalled"] and "it is rejected" in report.findings[0].why
    with world.rejecting("ipproto", "tcp", "dport", "111"):
        report = examined(world, address, "/x")
    assert codes(report) == ["rpcbind-firewalled", "mount-fails"]


def test_any_export_that_can_be_mounted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those in the list, the first is not for this machine."""
    monkeypatch.setattr(probes, "_look_at", nothing)
    closed = w.Mountd(["/closed", "/x"], m.MNT3_OK, {b"/closed"})
    address = world.nfs(world.address(), closed)
    report = examined(world, address, None)
    assert report.line == LINE.format(2049, 2049, address)
    assert closed.unmounted == [b"/x"]


def test_a_name_of_two_addresses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_look_at", nothing)
    dead, address = world.address(), world.nfs(world.address(), w.Mountd(["/x"], m.MNT3_OK))
    real = socket.getaddrinfo

    def two(host: str, *rest: Any, **more: Any) -> list[Any]:
        hosts = (dead, address) if host == "two.invalid" else (host,)
        return [found for one in hosts for found in real(one, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    report = examined(world, "two.invalid", "/x")
    assert codes(report) == ["other-address", "no-rpcbind", "no-locks"]
    assert report.line == LINE.format(2049, 2049, address)


def test_a_link_local_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_look_at", nothing)
    shown = world.server.run("ip", "-6", "-o", "address", "show", "dev", "nl1", "scope", "link")
    address = shown.split()[3].partition("/")[0]
    world.nfs("::", w.Mountd(["/x"], m.MNT3_OK), port=5049)
    report = examined(world, f"{address}%nl0", "/x", port=5049)
    assert codes(report) == ["no-rpcbind", "no-locks"]
    assert f" '[{address}%nl0]:/x' " in report.line
