"""What the doctor makes of what its probes see, as values: each cause, and the whole mount line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from nfsloop import cli
from nfsloop.doctor import examine, null
from nfsloop.doctor.causes import CAUSES
from nfsloop.doctor.diagnosis import Report, diagnose
from nfsloop.doctor.examine import lines, parse
from nfsloop.doctor.null import ANSWERS, REFUSED, SILENT, UNREACHABLE, Reach
from nfsloop.doctor.seen import Local, Mounted, Remote, Root, Served, Server
from nfsloop.mountline import Way, line, quoted

A, B, LINK = "192.0.2.1", "2001:db8::1", "fe80::1%eth0"
YES, NO, GONE = Reach(ANSWERS), Reach(REFUSED), Reach(SILENT)
NO_ROUTE = Reach(UNREACHABLE, text="No route to host")
WELL: dict[str, Any] = {"mount_nfs": "/sbin/mount.nfs", "statd": "/sbin/rpc.statd"}
RUNS: dict[str, Any] = {
    "runs": True, "pid": 7, "acts_as": True, "reads_all": True, "listens": ["0.0.0.0"],
}  # fmt: skip
DENIED: dict[str, Any] = {"status": "MNT3ERR_ACCES", "root": None, "locks": ""}
NOENT: dict[str, Any] = DENIED | {"status": "MNT3ERR_NOENT"}


def remote(**changes: Any) -> Remote:
    """A server that is well, with rpcbind and locks."""
    values: dict[str, Any] = {
        "addresses": [A], "address": A, "reaches": {A: YES}, "rpcbind": YES, "nfs": YES,
        "nfs_registered": 2049, "mount_registered": 20048, "nlm_registered": 4045,
        "mount_port": 20048, "mountd": YES, "exports": [("/x", [])], "tried": "/x",
        "status": "MNT3_OK", "reserved": True, "here": "192.0.2.9", "locks": "works",
        "root": Root(mode=0o755, access=0x3F, rtmax=1 << 20, wtmax=1 << 20),
    }  # fmt: skip
    return Remote("host", "/x", **(values | changes))


def at(*addresses: str, **changes: Any) -> dict[str, Any]:
    """A server at these addresses."""
    reaches = dict.fromkeys(addresses, YES)
    return {"addresses": [*addresses], "address": addresses[0], "reaches": reaches} | changes


def down(reach: Reach, **changes: Any) -> dict[str, Any]:
    """NFS does not answer at its port."""
    return {"nfs": reach, "reaches": {A: reach}, "nfs_registered": None} | changes


@dataclass
class Case:
    """What is seen, and all that is found: the codes, the mount line ("": none), and words of the
    report."""

    codes: tuple[str, ...]
    line: str = ""
    remote: dict[str, Any] | None = field(default_factory=dict)
    local: dict[str, Any] | None = field(default_factory=dict)
    server: dict[str, Any] | None = None
    words: tuple[str, ...] = ()


def ports(nfs: int = 2049, mountd: int = 20048, source: str = "host:/x", proto: str = "tcp") -> str:
    options = f"vers=3,proto={proto},mountproto={proto},port={nfs},mountport={mountd},nolock"
    return f"mount -t nfs -o {options} {source} /mnt"


PLAIN = "mount -t nfs -o vers=3 host:/x /mnt"
NOLOCK = "mount -t nfs -o vers=3,nolock host:/x /mnt"
SHAPE = Root(mode=0o755, access=0x3F, rtmax=8192, wtmax=8192)


def root(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"mode": 0o700, "rtmax": 1 << 20, "wtmax": 1 << 20}
    return {"root": Root(**(values | changes))}


CLIENT = {
    "all is well": Case((), PLAIN),
    "IPv6": Case((), "mount -t nfs -o vers=3,proto=tcp6 host:/x /mnt", at(B)),
    "a link-local address": Case(
        ("no-rpcbind",), ports(source="host:/x", proto="tcp6"), at(LINK, rpcbind=NO)
    ),
    "two addresses": Case((), PLAIN, at(A, B)),
    "two addresses, one is silent": Case(
        ("other-address",), "mount -t nfs -o vers=3 192.0.2.1:/x /mnt",
        at(A, B, reaches={A: YES, B: GONE}), words=(f"not at {B}",),
    ),
    "two addresses, IPv6 answers": Case(
        ("other-address",), "mount -t nfs -o vers=3,proto=tcp6 '[2001:db8::1]:/x' /mnt",
        at(B, A, reaches={B: YES, A: NO}),
    ),
    "MOUNT is not where it is registered": Case((), ports(2049, 2049), {"mount_port": 2049}),
    "MOUNT is not registered": Case((), ports(), {"mount_registered": 0}),
    "NFS is registered elsewhere, and there": Case(
        (), PLAIN,
        {"nfs_port": 999, "nfs_registered": 999, "reaches": {A: NO}, "at_registered": YES},
    ),
    "NFS is registered elsewhere, MOUNT is not": Case(
        (), ports(999, 999),
        {"nfs_port": 999, "nfs_registered": 999, "reaches": {A: NO}, "at_registered": YES,
         "mount_registered": 0, "mount_port": 999},
    ),
    "another server is registered": Case(
        (), ports(12049, 12049),
        {"named": 12049, "nfs_port": 12049, "at_registered": YES, "mount_port": 12049},
    ),
    "another port was named": Case(
        ("other-port",), PLAIN,
        {"named": 9999, "reaches": {A: NO}, "at_registered": YES},
        words=("port 9999 was named, but NFS of host is on port 2049", "Name port 2049"),
    ),
    "a port was named, another is registered and dead": Case(
        ("nfs-not-running",), "",
        down(NO, named=5555, nfs_registered=999, at_registered=NO), words=("TCP port 5555",),
    ),
    "a stale registration": Case(
        ("wrong-port",), ports(), {"nfs_registered": 999, "at_registered": NO},
        words=("Port 999 is like this: nobody listens there.",),
    ),
    "not registered": Case(("not-registered",), ports(), {"nfs_registered": 0}),
    "no rpcbind": Case(("no-rpcbind",), ports(), {"rpcbind": NO, "nfs_registered": None}),
    "rpcbind on the port of NFS": Case(
        (), ports(), {"rpcbind": NO, "rpcbind_at_nfs": True, "nfs_registered": None},
        words=("portmapper, but on port 2049 alone",),
    ),
    "rpcbind dropped": Case(("rpcbind-firewalled",), ports(), {"rpcbind": GONE}),
    "rpcbind rejected": Case(
        ("rpcbind-firewalled",), ports(), {"rpcbind": NO_ROUTE}, words=("(No route to host)",)
    ),
    "rpcbind broken": Case(
        ("rpcbind-broken",), ports(), {"rpcbind": Reach(null.NOT_RPC)},
        words=("It is like this: something else listens",),
    ),
    "rpcbind lies": Case(
        ("rpcbind-broken",), ports(), {"rpcbind_wrong": "port 70000", "nfs_registered": None}
    ),
    "no name": Case(("no-name",), "", {"addresses": [], "unresolved": "Nobody knows it."}),
    "no route": Case(("no-route",), "", down(NO_ROUTE, rpcbind=NO_ROUTE, udp=NO_ROUTE)),
    "silent": Case(("host-silent",), "", down(GONE, rpcbind=GONE, udp=GONE)),
    "NFS dropped": Case(("nfs-firewalled",), "", down(GONE, rpcbind=NO, udp=GONE)),
    "NFS rejected": Case(("nfs-firewalled",), "", down(NO_ROUTE, rpcbind=NO, udp=NO_ROUTE)),
    "NFS rejected over TCP": Case(
        ("nfs-firewalled",), "", down(NO_ROUTE, rpcbind=NO_ROUTE, udp=YES)
    ),
    "NFS forbidden here": Case(
        ("nfs-firewalled",), "",
        down(Reach(null.FORBIDDEN, text="Operation not permitted"), rpcbind=GONE, udp=GONE),
        words=("this machine itself rejects it (Operation not permitted)",),
    ),
    "the registered port is rejected": Case(
        ("nfs-firewalled",), "", down(NO, nfs_registered=999, at_registered=NO_ROUTE),
        words=("TCP port 999",),
    ),
    "nobody listens": Case(("nfs-not-running",), "", down(NO)),
    "nobody listens where it is registered": Case(
        ("nfs-dead",), "", down(NO, nfs_registered=2049, named=2049)
    ),
    "UDP alone": Case(("tcp-missing",), "", down(NO, udp=YES)),
    "closing": Case(("nfs-closes",), "", down(Reach(null.CLOSED))),
    "mute": Case(("nfs-mute",), "", down(Reach(null.MUTE))),
    "something else": Case(("not-rpc",), "", down(Reach(null.NOT_RPC))),
    "another program": Case(("no-nfs",), "", down(Reach(null.UNAVAILABLE))),
    "refusing": Case(
        ("nfs-refuses",), "", down(Reach(null.DENIED, text="TOOWEAK")), words=("TOOWEAK",)
    ),
    "version 4": Case(
        ("no-version-3",), "", down(Reach(null.MISMATCH, low=4, high=4)),
        words=("in version 4 only", "mount -t nfs -o vers=4 host:/x /mnt;"),
    ),
    "version 4 on a port of its own": Case(
        ("no-version-3",), "", down(Reach(null.MISMATCH, low=2, high=4), named=333),
        words=("in version 2 to 4 only", "mount -t nfs -o vers=4,port=333 host:/x /mnt;"),
    ),
    "MOUNT dropped": Case(("mount-firewalled",), "", {"mountd": GONE}),
    "MOUNT rejected": Case(("mount-firewalled",), "", {"mountd": NO_ROUTE}),
    "MOUNT dead": Case(
        ("mount-dead",), "", {"mountd": NO}, words=("It is like this: nobody listens there.",)
    ),
    "MNT silent": Case(("mount-dead",), "", {"mount_wrong": "no answer in 3 s"}),
    "no MOUNT": Case(("no-mountd",), "", {"mountd": Reach(null.UNAVAILABLE)}),
    "nothing is exported": Case(("no-exports",), "", DENIED | {"exports": []}),
    "no such export": Case(
        ("unknown-export",), "", NOENT | {"exports": [("/a", []), ("/xy", [])]},
        words=("It has: /a, /xy.",),
    ),
    "not in the list": Case(("unknown-export",), "", DENIED | {"exports": [("/a", [])]}),
    "the root is not exported": Case(
        ("unknown-export",), "", DENIED | {"tried": "/", "exports": [("/a", [])]}
    ),
    "no such export, and no list": Case(
        ("unknown-export",), "", NOENT | {"exports": None}, words=("It gives no list",)
    ),
    "no such directory": Case(
        ("no-directory",), "",
        NOENT | {"tried": "/x/y/z", "exports": [("/", []), ("/x/y", []), ("/x", [])]},
        words=("The export /x/y is there",),
    ),
    "a file": Case(("not-directory",), "", DENIED | {"status": "MNT3ERR_NOTDIR"}),
    "for others": Case(
        ("not-listed",), "", DENIED | {"exports": [("/x", ["192.0.2.1", "198.51.100.0/24"])]},
        words=("It is for 192.0.2.1, 198.51.100.0/24; this machine comes as 192.0.2.9",),
    ),
    "for others, as an ordinary user": Case(
        ("not-listed",), "", DENIED | {"exports": [("/x", ["192.0.2.1"])], "reserved": False}
    ),
    "for this network": Case(
        ("denied",), "", DENIED | {"exports": [("/x", ["192.0.2.0/24"])]},
        words=("though its list has 192.0.2.0/24",),
    ),
    "for a name": Case(("denied",), "", DENIED | {"exports": [("/x", ["a.example.org"])]}),
    "denied, and no list": Case(
        ("denied",), "", DENIED | {"exports": None}, words=("though it gives no list",)
    ),
    "secure, to an ordinary user": Case(
        ("no-reserved-port", "not-root"), NOLOCK,
        DENIED | {"reserved": False, "uid": 7}, {"uid": 7, "can_mount": False},
    ),
    "MNT fails": Case(("mount-fails",), "", DENIED | {"status": "MNT3ERR_IO"}),
    "Kerberos": Case(
        ("needs-krb5",), "", {"flavors": (390003, 390004)}, words=("390003, 390004 alone",)
    ),
    "Kerberos or not": Case((), PLAIN, {"flavors": (390003, 1)}),
    "Kerberos, untold": Case(
        ("needs-krb5",), "", root(call="FSINFO", wrong="TOOWEAK"), words=("FSINFO is refused",)
    ),
    "stale": Case(
        ("root-stale",), "", root(call="FSINFO", wrong="NFS3ERR_STALE"), words=("FSINFO ends",)
    ),
    "bad handle": Case(("root-stale",), "", root(call="GETATTR", wrong="NFS3ERR_BADHANDLE")),
    "an I/O error": Case(
        ("nfs-fails",), "", root(call="ACCESS", wrong="NFS3ERR_IO"),
        words=("ACCESS ends with: NFS3ERR_IO.",),
    ),
    "squashed": Case(("root-squashed",), PLAIN, root(access=0)),
    "squashed, no READ": Case(("root-squashed",), PLAIN, root(access=2)),
    "no permission": Case(
        ("no-permission", "not-root"), PLAIN, {"uid": 7} | root(access=0), {"uid": 7}
    ),
    "read-only": Case(("read-only",), PLAIN, root(access=3, mode=0o777)),
    "read-only, of one's own": Case(
        ("read-only", "not-root"), PLAIN, {"uid": 7} | root(access=3, mode=0o700, uid=7),
        {"uid": 7},
    ),
    "of another": Case(
        ("not-writable", "not-root"), PLAIN, {"uid": 7} | root(access=3, mode=0o755), {"uid": 7}
    ),
    "root's, squashed": Case(("not-writable",), PLAIN, root(access=3, mode=0o755)),
    "locks refused": Case(("no-locks",), NOLOCK, {"locks": "refused"}),
    "locks missing": Case(("no-locks",), NOLOCK, {"locks": "missing"}),
    "small": Case(("small-transfers",), PLAIN, {"root": SHAPE}, words=("8192 bytes",)),
    "no mount.nfs": Case(("no-mount-nfs",), PLAIN, local={"mount_nfs": None}),
    "no client": Case(("no-kernel-client",), PLAIN, local={"nfs_client": False}),
    "no capability": Case(("no-capability",), PLAIN, local={"can_mount": False}),
    "capabilities unknown": Case((), PLAIN, local={"can_mount": None, "nfs_client": None}),
    "not root": Case(("not-root",), PLAIN, local={"uid": 7, "can_mount": False}),
    "no statd": Case(("no-statd",), NOLOCK, local={"statd": None}),
    "a stale mount": Case(
        ("stale-mount",), PLAIN, local={"mounts": [Mounted("host:/x", "/a", "stale")]}
    ),
    "a dead mount": Case(
        ("dead-mount",), PLAIN, local={"mounts": [Mounted("host:/x", "/a", "silent")]}
    ),
    "a mount": Case((), PLAIN, local={"mounts": [Mounted("host:/x", "/a", "well")]}),
}  # fmt: skip


def own(codes: tuple[str, ...], *words: str, **changes: Any) -> Case:
    """The server of this machine, not asked as a client."""
    return Case(codes, "", None, None, changes, words)


def asked(codes: tuple[str, ...], line: str, seen: dict[str, Any], **changes: Any) -> Case:
    """The server of this machine, as it is from itself."""
    return Case(codes, line, seen, None, RUNS | changes)


EXPORTED = Served("/x", "/x", "", "overlay", False)
SERVER = {
    "it runs": own((), **RUNS),
    "it is well": asked((), PLAIN, {}),
    "nobody there": own(("not-running",)),
    "taken": own(("port-taken", "not-running"), "by process 9", port_owner="process 9 (x)"),
    "knfsd": own(("knfsd", "not-running"), knfsd=True, answers_at=A),
    "another, though this one was named": own(
        ("not-running", "other-server"), "process 9 (x)", "Process 9 is an nfsloop",
        answers_at=A, port_owner="process 9 (x)", other=(9, "/s"),
    ),
    "another, and none was named": own(("other-server",), named=False, answers_at=A),
    "state closed": own(("state-closed",), "Not so.", hidden=True, state_wrong="Not so."),
    "state hangs": own(("state-hangs",), hangs=["/state"]),
    "settings": own(("settings-wrong",), **RUNS, settings_wrong=["no such directory"]),
    "hangs": own(("server-hangs",), **RUNS | {"listens": []}, control_wrong="no answer"),
    "no listener": own(("no-listener",), **RUNS | {"listens": []}),
    "a container's": own(("unseen-process",), **RUNS | {"pid": None, "listens": None}),
    "unseen sockets": own(("unseen-process",), "process 7", **RUNS | {"listens": None}),
    "ill": own(("storage-ill",), **RUNS, ill=[("/x", "it is gone")]),
    "closed": own(
        ("directory-closed", "one-user"), "/x is 0700",
        **RUNS | {"acts_as": False, "reads_all": False},
        served=[Served("/x", "/x", "/x is 0700")],
    ),
    "unknown capabilities": own((), **RUNS | {"acts_as": None, "reads_all": None},
                                served=[EXPORTED]),
    "no handles": own(("no-kernel-handles",), **RUNS, served=[EXPORTED]),
    "for nobody": asked(
        ("nobody-listed",), "", DENIED | {"exports": [("/x", ["a"])]}, nobody=[("/x", "a")]
    ),
    "state exported": own(("state-exported",), "the export /x", **RUNS, state_exported=["/x"]),
    "loopback": own(("loopback-only",), **RUNS | {"listens": ["127.0.0.1", "::1"]}),
    "not loopback alone": own((), **RUNS | {"listens": ["127.0.0.1", A]}),
    "a stale registration": asked(
        ("foreign-registration",), ports(), {"nfs_registered": 999, "at_registered": NO}
    ),
    "another server is registered": asked(
        (), ports(), {"nfs_registered": 999, "at_registered": YES}
    ),
    "for others": asked(
        ("closed-to-itself",), "", DENIED | {"exports": [("/x", ["192.0.2.1"])]}
    ),
    "squashed": asked(("closed-to-itself",), PLAIN, root(access=0)),
    "another problem": asked(("root-stale",), "", root(call="FSINFO", wrong="NFS3ERR_STALE")),
}  # fmt: skip


def judged(case: Case) -> Report:
    return diagnose(
        None if case.remote is None else remote(**case.remote),
        None if case.local is None else Local(**(WELL | case.local)),
        None if case.server is None else Server("/state", **case.server),
    )


@pytest.mark.parametrize(
    "case", [*CLIENT.values(), *SERVER.values()], ids=[*CLIENT, *(f"here, {it}" for it in SERVER)]
)
def test_a_case(case: Case) -> None:
    report = judged(case)
    text = "\n".join(lines(report, verbose=True))
    assert tuple(finding.code for finding in report.findings) == case.codes, text
    assert report.line == case.line
    assert report.healthy is all(CAUSES[code].level == "note" for code in case.codes)
    for words in case.words:
        assert words in text


def test_every_cause_is_found_of_some_values() -> None:
    found = {
        it.code for case in (*CLIENT.values(), *SERVER.values()) for it in judged(case).findings
    }
    assert found == CAUSES.keys()


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


@pytest.mark.parametrize(
    "text", ["", ":/x", "[::1", "[::1]x", "host:x", "host:", "a:b:c", "-obind:/x", "[-x]:/x"]
)
def test_what_means_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="no HOST"):
        parse(text)


def test_the_mount_line() -> None:
    assert line(Way().words, "h:/a b") == "mount -t nfs 'h:/a b' /mnt"
    assert line([], "[::1]:/x", "/a b") == "mount -t nfs '[::1]:/x' '/a b'"
    assert Way(2049, found=True, ipv6=True).words == ["vers=3", "proto=tcp6"]
    assert Way(12049, found=True).words == ["vers=3"]
    words = Way(12049, found=False).words
    assert words[1:5] == ["proto=tcp", "mountproto=tcp", "port=12049", "mountport=12049"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/plain", "/plain"),
        ("/日本", "'/日本'"),
        ("/it's", """'/it'"'"'s'"""),
        ("/caf\udce9\n'\\", r"$'/caf\xe9\x0a\x27\x5c'"),
        ("/\x1b[31m\u202e", r"$'/\x1b[31m\xe2\x80\xae'"),
    ],
)
def test_what_is_not_for_terminals_is_escaped_for_shells(text: str, wanted: str) -> None:
    assert quoted(text) == wanted


def test_mount_does_not_take_a_port_where_nfs_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = remote(named=9999, reaches={A: NO}, at_registered=YES)
    monkeypatch.setattr(examine, "remote", lambda *_: seen)
    words = ["mount", "--dry-run", "-o", "port=9999", "host:/x", "/mnt"]
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("problem: port 9999 was named")


def test_options_of_the_user_count_more() -> None:
    from nfsloop.verbs.mount import Wanted

    found = ["vers=3", "proto=tcp", "port=2049", "nolock"]
    for given, wanted in (
        (("ro",), [*found, "ro"]),
        (("port=1", "lock"), ["vers=3", "proto=tcp", "port=1", "lock"]),
        (("udp", "nfsvers=3"), ["port=2049", "nolock", "udp", "nfsvers=3"]),
    ):
        assert Wanted("host:/x", "/mnt", given).merged(found) == wanted
