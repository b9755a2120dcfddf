"""Causes that a test cannot easily make for real, by the values that the probes would see."""

from __future__ import annotations

from typing import Any

import pytest

from nfsloop.doctor import null
from nfsloop.doctor.diagnosis import diagnose
from nfsloop.doctor.examine import parse
from nfsloop.doctor.null import ANSWERS, REFUSED, SILENT, Reach
from nfsloop.doctor.seen import Local, Mounted, Remote, Root, Served, Server
from nfsloop.mountline import Way, line

A, B = "192.0.2.1", "2001:db8::1"
WELL: dict[str, Any] = {"mount_nfs": "/sbin/mount.nfs", "statd": "/sbin/rpc.statd"}


def remote(**changes: Any) -> Remote:
    """A server that is well, with rpcbind and locks."""
    yes = Reach(ANSWERS)
    values: dict[str, Any] = {
        "addresses": [A], "address": A, "reaches": {A: yes}, "rpcbind": yes, "nfs": yes,
        "nfs_registered": 2049, "mount_registered": 20048, "nlm_registered": 4045,
        "mount_port": 20048, "mountd": yes, "exports": [("/x", [])], "tried": "/x",
        "status": "MNT3_OK", "reserved": True, "here": "192.0.2.9", "locks": "works",
        "root": Root(mode=0o755, access=0x3F, rtmax=1 << 20, wtmax=1 << 20),
    }  # fmt: skip
    return Remote("host", "/x", **(values | changes))


def codes(*seen: Any) -> list[str]:
    return [finding.code for finding in diagnose(*seen).findings]


def test_nothing_is_wrong() -> None:
    report = diagnose(remote(), Local(**WELL))
    assert report.healthy and not report.findings
    assert report.line == "mount -t nfs -o vers=3 host:/x /mnt"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"mountd": Reach(SILENT)}, ["mount-firewalled"]),
        ({"mount_wrong": "no answer in 3 s"}, ["mount-dead"]),
        ({"locks": "refused"}, ["no-locks"]),
        ({"root": Root(access=0x3F, rtmax=8192, wtmax=8192)}, ["small-transfers"]),
        ({"addresses": [B, A], "reaches": {B: Reach(REFUSED), A: Reach(ANSWERS)}},
         ["other-address"]),
        ({"nfs": Reach(null.UNREACHABLE, text="x"), "rpcbind": Reach(REFUSED)}, ["no-route"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_server(changes: dict[str, Any], wanted: list[str]) -> None:
    assert codes(remote(**changes), Local(**WELL)) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"mount_nfs": None}, ["no-mount-nfs"]),
        ({"nfs_client": False}, ["no-kernel-client"]),
        ({"can_mount": False}, ["no-capability"]),
        ({"uid": 7, "can_mount": False}, ["not-root"]),
        ({"statd": None}, ["no-statd"]),
        ({"mounts": [Mounted("host:/x", "/a", {}, "stale")]}, ["stale-mount"]),
        ({"mounts": [Mounted("host:/x", "/a", {}, "silent")]}, ["dead-mount"]),
        ({"mounts": [Mounted("host:/x", "/a", {}, "well")]}, []),
    ],
)
def test_this_machine(changes: dict[str, Any], wanted: list[str]) -> None:
    report = diagnose(remote(), Local(**(WELL | changes)))
    assert [finding.code for finding in report.findings] == wanted
    assert ("nolock" in report.line) == ("no-statd" in wanted)


def test_udp_alone_and_no_client_for_it() -> None:
    seen = remote(nfs=Reach(REFUSED), udp=Reach(ANSWERS), nfs_registered=0)
    report = diagnose(seen, Local(**WELL, nfs_udp=True))
    assert [it.code for it in report.findings] == ["tcp-missing"] and "proto=udp" in report.line
    report = diagnose(seen, Local(**WELL, nfs_udp=False))
    assert [it.code for it in report.findings] == ["tcp-missing", "no-udp-client"]
    assert not report.line


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"knfsd": True}, ["knfsd", "not-running"]),
        ({"pid": 7, "ill": [("/x", "it is gone")], "acts_as": True}, ["storage-ill"]),
        ({"pid": 7, "acts_as": True, "reads_all": True,
          "served": [Served("/x", "/x", "", "overlay", False)]}, ["no-kernel-handles"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_the_server_of_this_machine(changes: dict[str, Any], wanted: list[str]) -> None:
    assert codes(None, None, Server("/state", **changes)) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("host", ("host", None)),
        ("host:/", ("host", "/")),
        ("host:/a:/b", ("host", "/a:/b")),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[fe80::1%eth0]:/x", ("fe80::1%eth0", "/x")),
    ],
)
def test_what_is_meant(text: str, wanted: tuple[str, str | None]) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize("text", ["", ":/x", "[::1", "[::1]x", "host:x", "host:", "a:b:c"])
def test_what_means_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="no HOST"):
        parse(text)


def test_the_mount_line() -> None:
    assert line(Way().words, "h:/a b") == "mount -t nfs h:'/a b' /mnt"
    assert Way(2049, found=True, ipv6=True).words == ["vers=3", "proto=tcp6"]
    assert Way(12049, found=True).words == ["vers=3"]
    words = Way(12049, found=False).words
    assert words[1:5] == ["proto=tcp", "mountproto=tcp", "port=12049", "mountport=12049"]
