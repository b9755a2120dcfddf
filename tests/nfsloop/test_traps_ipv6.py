"""FIELD.md section 2, trap 18: IPv6 wherever a host and a port are said or read."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest
from nfs_kit import OPEN, ROOT, USER, World, each_backend

from nfsloop.app import App
from nfsloop.config import Settings
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.client import connected
from oncrpc.net import host_port, peer_of


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@each_backend("memory")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("host", [None, "::1", "::"])
async def test_trap_18_served_over_ipv6(w: World, transport: str, host: str | None) -> None:
    """Every address (which takes IPv4 too), and single ones."""
    port = w.server.listen(transport, host)
    async with connected(transport, "::1", port, ROOT) as rpc:
        mount, nfs = m.MOUNT_V3_Client(rpc), x.NFS_V3_Client(rpc)
        root = (await mount.MNT(b"/export", timeout=5)).mountinfo.fhandle
        assert (await nfs.GETATTR(x.GETATTR3args(root), timeout=5)).status == x.NFS3_OK
        (mounted,) = await mount.DUMP(timeout=5)
        assert mounted.ml_hostname == b"::1"
        await mount.UMNTALL(timeout=5)
    if host is None:
        async with connected(transport, "127.0.0.1", port, USER) as rpc:
            mount = m.MOUNT_V3_Client(rpc)
            await mount.MNT(b"/export", timeout=5)
            (mounted,) = await mount.DUMP(timeout=5)
            assert mounted.ml_hostname == b"127.0.0.1"  # not ::ffff:127.0.0.1


def test_trap_18_addresses_are_written_as_people_do() -> None:
    """An IPv6 address in brackets before a port; one that is mapped from IPv4 is IPv4."""
    assert host_port("::1", 2049) == "[::1]:2049"
    assert host_port("192.0.2.1", 2049) == "192.0.2.1:2049"
    assert host_port("host.example", 1) == "host.example:1"
    assert peer_of(("::ffff:192.0.2.1", 5, 0, 0), "tcp") == Peer("192.0.2.1", 5, "tcp")
    assert peer_of(("2001:db8::1", 5, 0, 0), "udp") == Peer("2001:db8::1", 5, "udp")
    assert peer_of(("::ffff:1", 5, 0, 0), "udp").host == "::ffff:1"
    assert Peer("::1", 1).local and Peer("127.9.9.9", 1).local
    assert not Peer("2001:db8::1", 1).local


@pytest.mark.parametrize(
    ("host", "spec"),
    [
        ("::1", "[::1]:/"),
        ("127.0.0.1", "localhost:/"),
        ("2001:db8::1", "[2001:db8::1]:/"),
        ("192.0.2.1", "192.0.2.1:/"),
        ("nas.example", "nas.example:/"),
    ],
)
def test_trap_18_the_mount_line_has_brackets(tmp_path: Path, host: str, spec: str) -> None:
    """What mount.nfs takes."""

    async def main() -> list[str]:
        app = App(Settings(host=host, options=OPEN, rpcbind="none"), tmp_path)
        return app.mount_lines()

    (line,) = loop.run(main())
    assert line.startswith("mount -t nfs ") and shlex.split(line)[-2] == spec


@each_backend("memory")
async def test_trap_18_an_ipv6_address_in_use_is_said_in_brackets(w: World) -> None:
    """In the message of a port that is taken."""
    port = w.server.listen("tcp", "::1")
    with pytest.raises(OSError, match=rf"\[::1\]:{port}"):
        w.server.listen("tcp", "::1", port)
