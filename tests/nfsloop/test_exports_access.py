"""Who gets in, and with which options: at MOUNT and on every call (FIELD.md section 2, trap 13)."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from nfs_kit import ROOT, World, each_backend, sattr, serving, unchecked
from nfs_process import REPO

from backends.base import FsError
from backends.memory import MemoryBackend
from nfsloop.access import Guard, Policy
from nfsloop.export import Export
from nfsloop.exports5 import parse
from nfsloop.handle import FORMAT, LENGTH, MAC, VERSION, FileHandles
from nfsloop.hosts import Address, Names, address_of
from nfsloop.limits import CONTEXT_MEMO_ENTRIES, NAME_ENTRIES, NAME_SECONDS
from nfsloop.mount3 import mount3_xdr as m
from nfsloop.names import NameCache, innetgr, netgroups_exist
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.options import Options
from nfsloop.owner import _bound_here, _by_netlink, _by_proc, is_here, owner
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.message import Credential
from oncrpc.testing import Pipe

A, B = "10.1.2.3", "192.0.2.9"


class Known:
    """Names from dictionaries; what is not in them is not known yet."""

    def __init__(self) -> None:
        self.of_host: dict[str, list[str]] = {"a.example.org": [A], "nowhere": []}
        self.of_address: dict[str, list[str]] = {A: ["a.example.org"], B: []}

    def addresses(self, name: str) -> Collection[Address] | None:
        found = self.of_host.get(name)
        return None if found is None else [a for a in map(address_of, found) if a]

    def names(self, address: Address) -> Collection[str] | None:
        return self.of_address.get(str(address))

    def member(self, group: str, address: Address) -> bool | None:
        return {"friends": str(address) == A, "slow": None}.get(group, False)

    async def settle(self, address: Address | None) -> None:
        """Nothing is looked up."""


def policy(clients: str, names: Names | None = None, guard: Guard | None = None) -> Policy:
    """What stands behind a path."""
    parsed = parse(f"/e {clients}")
    assert not parsed.errors, parsed.errors
    return Policy(parsed.entries[0].clients, names or Known(), guard)


def admitted(rules: Policy, host: str, port: int = 700, user: int | None = None) -> str:
    """The options of a client, or why it has none."""
    try:
        return str(rules.admit(Peer(host, port, "tcp", user)))
    except FsError as exc:
        return exc.status.name


@pytest.mark.parametrize(
    ("clients", "host", "anonuid"),
    [
        # of all kinds that fit, the most specific, in whatever order they stand
        ("*(anonuid=5) *.org(anonuid=4) @friends(anonuid=3) 10.0.0.0/8(anonuid=2) "
         "a.example.org(anonuid=1)", A, 1),
        ("*(anonuid=5) *.org(anonuid=4) @friends(anonuid=3) 10.0.0.0/8(anonuid=2)", A, 2),
        ("*(anonuid=5) *.org(anonuid=4) @friends(anonuid=3)", A, 3),
        ("*(anonuid=5) *.org(anonuid=4)", A, 4),
        ("*(anonuid=5)", A, 5),
        ("10.1.2.3(anonuid=1) 10.0.0.0/8(anonuid=2)", A, 1),
        # of one kind, the first
        ("10.0.0.0/8(anonuid=1) 10.1.0.0/16(anonuid=2)", A, 1),
        ("10.1.0.0/16(anonuid=2) 10.0.0.0/8(anonuid=1)", A, 2),
        ("a.example.org(anonuid=1) 10.1.2.3(anonuid=2)", A, 1),
        ("A.Example.ORG(anonuid=1)", A, 1),
        # what does not fit
        ("10.0.0.0/8", B, None),
        ("a.example.org nowhere", B, None),
        ("*.example.org @friends", B, None),
        ("fd00::/8", A, None),
        ("fd00::/8(anonuid=1)", "fd00::1", 1),
        ("fe80::/10(anonuid=1)", "fe80::1%eth0", 1),
        ("::1(anonuid=1)", "::1", 1),
        ("10.0.0.0/8(anonuid=1)", "::ffff:10.9.9.9", 1),
        ("0.0.0.0/0(anonuid=1)", B, 1),
        ("0.0.0.0/0", "2001:db8::1", None),
        ("::ffff:10.1.2.3(anonuid=1)", A, 1),
        ("::ffff:10.0.0.0/104(anonuid=1)", A, 1),
        ("::ffff:10.0.0.0/104", B, None),
        ("::/0", A, None),
        # patterns: dots are like other letters
        ("*.org(anonuid=1)", A, 1),
        ("a.ex?mple.org(anonuid=1)", A, 1),
        ("[a-c].example.org(anonuid=1)", A, 1),
        ("[^a].example.org", A, None),
        ("*.com", A, None),
    ],
)  # fmt: skip
def test_access_which_entry_counts(clients: str, host: str, anonuid: int | None) -> None:
    rules = policy(clients)
    if anonuid is None:
        assert admitted(rules, host) == "ACCES"
    else:
        assert rules.admit(Peer(host, 700)).anonuid == anonuid


def test_access_an_entry_that_is_not_known_yet_decides_nothing() -> None:
    """Not even where a less specific one fits: it might have said less."""
    assert admitted(policy("@slow(ro) *(rw)"), A) == "JUKEBOX"
    assert admitted(policy("unheard.of(ro) *(rw)"), A) == "JUKEBOX"
    assert admitted(policy("*.org(ro) *(rw)"), "10.9.9.9") == "JUKEBOX"
    assert admitted(policy("10.0.0.0/8(rw) @slow(ro)"), A).startswith("rw")


def test_access_secure_is_a_matter_of_the_port() -> None:
    for port, secure, insecure in ((0, "ro", "ro"), (1023, "ro", "ro"), (1024, "ACC", "ro")):
        assert admitted(policy("*"), A, port).startswith(secure)
        assert admitted(policy("*(insecure)"), A, port).startswith(insecure)


GUARD = Guard(frozenset({0, 1000}))


@pytest.mark.parametrize(
    ("host", "port", "user", "inside"),
    [
        ("127.0.0.1", 1023, None, True),  # root took the port
        ("127.0.0.1", 1024, 0, True),
        ("127.0.0.1", 40000, 1000, True),
        ("127.0.0.1", 40000, 1001, False),
        ("127.0.0.1", 40000, None, False),  # over UDP nobody can tell
        ("::1", 40000, 1001, False),
        ("::1", 40000, 1000, True),
        (B, 40000, None, True),
    ],
)
def test_access_the_loopback_rule(host: str, port: int, user: int | None, inside: bool) -> None:
    rules = Policy.everyone(Options(), GUARD)
    assert (admitted(rules, host, port, user) != "ACCES") is inside
    # it yields to what is said
    assert admitted(Policy.everyone(Options(secure=False), GUARD), host, port, user) != "ACCES"
    secure = admitted(Policy.everyone(Options(secure=True), GUARD), host, port, user)
    assert (secure != "ACCES") is (port < 1024)


def test_access_the_loopback_rule_where_ports_are_free_to_all() -> None:
    """In containers every user may take port 700, so a port proves nothing."""
    rules = Policy.everyone(Options(), Guard(frozenset({0}), reserved=0))
    assert admitted(rules, "127.0.0.1", 700) == "ACCES"
    assert admitted(rules, "127.0.0.1", 700, 0) != "ACCES"


def test_access_the_loopback_rule_by_way_of_another_address() -> None:
    """Who listens on a loopback address has local callers alone, whatever they call from."""
    rules = Policy.everyone(Options(), Guard(frozenset({0}), local_only=True))
    assert admitted(rules, B, 40000, 1001) == "ACCES"
    assert admitted(rules, B, 700) != "ACCES"


def test_access_the_loopback_rule_for_every_address_of_this_machine() -> None:
    """A local user may call from any of them, also to a loopback address."""
    rules = Policy.everyone(Options(), Guard(frozenset({0}), here=lambda host: host == B))
    assert admitted(rules, B, 40000, 1001) == "ACCES"
    assert admitted(rules, B, 40000) == "ACCES"
    assert admitted(rules, B, 40000, 0) != "ACCES"
    assert admitted(rules, B, 700) != "ACCES"
    assert admitted(rules, A, 40000) != "ACCES"


# Who is at the other end


def test_access_which_addresses_are_this_machines() -> None:
    for find in (is_here, _bound_here):
        for host in ("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1"):
            assert find(host), (find, host)
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "255.1.1.1"):
            assert not find(host), (find, host)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
    reason="takes root, iproute2 and unshare for a network of its own",
)
def test_access_addresses_of_interfaces_are_this_machines() -> None:
    """The second ones of a network too, which are not the source of what is sent to them."""
    here = ("10.9.0.1", "10.9.0.2", "fd09::1", "fe80::7%lo")
    away = ("10.8.0.1", "fd09::2", "fe80::8%lo")
    networks = ("10.9.0.1/24", "10.9.0.2/24", "fd09::1/64", "fe80::7/64")
    setup = "ip link set lo up" + "".join(f" && ip addr add {n} dev lo" for n in networks)
    ask = (
        "import sys; from nfsloop.owner import is_here, _bound_here;"
        f"print([[f(h) for h in {here + away}] for f in (is_here, _bound_here)])"
    )
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f'{setup} && exec "$0" -c "$1"', sys.executable, ask],
        check=False, capture_output=True, text=True, timeout=30, cwd=REPO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([[True] * len(here) + [False] * len(away)] * 2)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_access_the_user_at_the_other_end(host: str) -> None:
    """Ours, while the socket is open; once it is closed nobody's (the kernel would say root's)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = "::" if "ffff" in host else host
    with socket.socket(family) as listener:
        if ":" in host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((where, 0))
        listener.listen()
        caller = socket.socket(family)
        caller.connect((host, listener.getsockname()[1]))
        here, _ = listener.accept()
        with here:
            ends = here.family, here.getpeername(), here.getsockname()
            found = {owner(here), _by_proc(*ends), _by_netlink(*ends)}
            assert found == {os.geteuid()}
            caller.sendall(b"x")
            caller.close()
            assert {owner(here), _by_proc(*ends)} == {None}


# In a server


@each_backend()
async def test_access_is_decided_for_each_client_on_each_call(w: World) -> None:
    """One reads, one writes, one is kept out, with the same handle; then the policy changes."""
    (export,) = w.exports
    export.policy = policy(f"{A}(rw,no_root_squash) {B}(ro,no_root_squash)")
    writer, reader, other = (
        w.client(ROOT, Peer(host, 700, "test")) for host in (A, B, "192.0.2.66")
    )
    make = x.diropargs3(w.root, b"f"), unchecked()
    assert await w.status("CREATE", *make, by=writer) == "OK"
    file = (await writer.LOOKUP(x.LOOKUP3args(make[0]))).resok.object
    assert await w.status("CREATE", *make, by=reader) == "ROFS"
    granted = {
        who: (await client.ACCESS(x.ACCESS3args(file, 0x3F))).resok.access
        for who, client in (("writer", writer), ("reader", reader))
    }
    assert granted["writer"] & x.ACCESS3_MODIFY and not granted["reader"] & x.ACCESS3_MODIFY
    for call, *args in (
        ("GETATTR", file),
        ("READ", file, 0, 10),
        ("CREATE", *make),
        ("READDIR", w.root, 0, bytes(8), 4096),
        ("FSINFO", w.root),
    ):
        assert await w.status(call, *args, by=other) == "ACCES", call
    assert export.refused >= 5
    export.policy = policy(f"{A}(ro,no_root_squash)")
    assert await w.status("CREATE", *make, by=writer) == "ROFS"
    assert await w.status("GETATTR", file, by=reader) == "ACCES"


@each_backend("memory")
async def test_access_secure_holds_for_calls_and_mounts(w: World) -> None:
    (export,) = w.exports
    export.policy = policy("*")
    for transport in ("tcp", "udp"):
        for port, status in ((1023, "OK"), (1024, "ACCES")):
            peer = Peer(A, port, transport)
            assert await w.status("GETATTR", w.root, by=w.client(ROOT, peer)) == status
            mount = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, peer))
            res = await mount.MNT(b"/export")
            assert res.fhs_status == (m.MNT3_OK if status == "OK" else m.MNT3ERR_ACCES)


@each_backend("memory")
async def test_access_at_mount(w: World) -> None:
    """Who is not listed may not mount; EXPORT tells for whom exports are."""
    (export,) = w.exports
    export.policy = policy(f"{A} 10.2.0.0/16 *.org @friends")
    groups = [A.encode(), b"10.2.0.0/16", b"*.org", b"@friends"]
    inside, outside = (Pipe(w.server.dispatcher, ROOT, Peer(host, 700)) for host in (A, B))
    third, first = m.MOUNT_V3_Client, m.MOUNT_V1_Client
    for (node,) in (await third(outside).EXPORT(), await first(outside).EXPORT()):
        assert [group.gr_name for group in node.ex_groups] == groups
    assert (await third(outside).MNT(b"/export")).fhs_status == m.MNT3ERR_ACCES
    assert (await first(outside).MNT(b"/export")).fhs_status == errno.EACCES
    assert list(w.mountd.mounts) == []
    assert (await third(inside).MNT(b"/export")).fhs_status == m.MNT3_OK
    assert (await first(inside).MNT(b"/export")).fhs_status == 0
    assert [client for client, _ in w.mountd.mounts] == [A]
    export.policy = Policy.everyone(Options())
    (node,) = await third(inside).EXPORT()
    assert node.ex_groups == []


def test_access_the_deepest_export_that_lets_in_is_mounted() -> None:
    """Like mountd: whoever has the tree above has what is below by its path."""

    async def main() -> None:
        async with serving("memory", Path("/nowhere"), path="/srv") as w:
            await w.mkdir(w.root, b"sub")
            sub = Export("/srv/sub", MemoryBackend(), policy=policy(B))
            w.exports.add(sub)
            for host, number in ((A, next(iter(w.exports)).number), (B, sub.number)):
                mount = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, Peer(host, 700)))
                handle = (await mount.MNT(b"/srv/sub")).mountinfo.fhandle
                assert w.handles.unpack(handle)[0] == number

    loop.run(main())


@each_backend("memory")
async def test_access_refusals_are_counted_and_logged_with_a_quota(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    (export,) = w.exports
    export.policy = policy("10.0.0.0/8")
    for port in range(300):
        client = w.client(ROOT, Peer(B, 40000 + port))
        assert await w.status("GETATTR", w.root, by=client) == "ACCES"
    assert export.refused == 300
    where = x.diropargs3(w.root, b"d")
    res = await w.client(ROOT, Peer(B, 40000)).MKDIR(x.MKDIR3args(where, sattr(0o755)))
    assert res.status == x.NFS3ERR_ACCES and res.resfail.dir_wcc == x.wcc_data(None, None)
    assert export.refused == 301, "once a call, not once for each of its handles"
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert 0 < len(lines) < 30 and B in lines[0] and "/export" in lines[0]


@each_backend("memory")
async def test_access_costs_bounded_memory(w: World) -> None:
    """Callers with ever new ports, users and addresses."""
    (export,) = w.exports
    export.policy = policy("10.0.0.0/8(insecure)")
    for number in range(2 * CONTEXT_MEMO_ENTRIES):
        who = Credential(1, number, 0)
        export.context(who, Peer(f"10.0.{number >> 8}.{number & 255}", 1024 + number))
        with pytest.raises(FsError):
            export.context(who, Peer(f"11.0.{number >> 8}.{number & 255}", 1024 + number))
    for memo in (export._identities, export._admitted):
        assert 0 < len(memo) <= CONTEXT_MEMO_ENTRIES


def test_access_is_remembered_per_connection_not_per_port() -> None:
    """Another user's process may get the port that the first one's had."""
    export = Export("/e", MemoryBackend(), policy=Policy.everyone(Options(), GUARD))
    assert export.context(ROOT, Peer("127.0.0.1", 40000, "tcp", 1000))
    with pytest.raises(FsError, match="user 1001"):
        export.context(ROOT, Peer("127.0.0.1", 40000, "tcp", 1001))
    with pytest.raises(FsError):
        export.context(ROOT, Peer("127.0.0.1", 40000, "udp"))


# Names


class Lookups:
    """A resolver that answers when it is told to, and counts."""

    def __init__(self) -> None:
        self.zone: dict[str, list[str]] = {
            "a.example.org": [A],
            "evil.example.com": ["203.0.113.1"],
        }
        self.reverse: dict[str, list[str]] = {A: ["a.example.org"], B: ["a.example.org"]}
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.down = False

    async def _wait(self, what: str) -> None:
        self.asked.append(what)
        await self.open.wait()
        if self.down:
            raise OSError("no name server")

    async def addresses(self, name: str) -> Collection[Address]:
        await self._wait(name)
        return frozenset(a for a in map(address_of, self.zone.get(name, [])) if a)

    async def names(self, address: Address) -> Collection[str]:
        await self._wait(str(address))
        return self.reverse.get(str(address), [])

    async def member(self, group: str, name: str) -> bool:
        await self._wait(f"@{group} {name}")
        return name == "a.example.org"


def test_access_names_are_looked_up_beside_the_calls(tmp_path: Path) -> None:
    """JUKEBOX until then, without a second question; a MOUNT waits."""

    async def main() -> None:
        lookups = Lookups()
        async with serving("memory", tmp_path) as w:
            (export,) = w.exports
            export.policy = policy("*.example.org(insecure)", NameCache(lookups))
            client = w.client(ROOT, Peer(A, 700))
            for _ in range(5):
                assert await w.status("GETATTR", w.root, by=client) == "JUKEBOX"
            mount = m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, Peer(A, 700)))
            waiting = asyncio.ensure_future(mount.MNT(b"/export"))
            await asyncio.sleep(0.01)
            assert lookups.asked == [A] and not waiting.done()
            lookups.open.set()
            assert (await waiting).fhs_status == m.MNT3_OK
            assert await w.status("GETATTR", w.root, by=client) == "OK"
            assert lookups.asked == [A, "a.example.org"]
            # B claims the name of A
            assert (await m.MOUNT_V3_Client(Pipe(w.server.dispatcher, ROOT, Peer(B, 700))).MNT(
                b"/export")).fhs_status == m.MNT3ERR_ACCES  # fmt: skip

    loop.run(main())


def test_access_names_of_hosts_are_looked_up_at_the_start() -> None:
    async def main() -> None:
        lookups = Lookups()
        lookups.open.set()
        names = NameCache(lookups)
        rules = policy("a.example.org(rw) unknown.example.org(ro) *(ro)", names)
        assert rules.host_names == {"a.example.org", "unknown.example.org"}
        assert await names.load(rules.host_names) == ["unknown.example.org"]
        assert admitted(rules, A).startswith("rw") and admitted(rules, B).startswith("ro")

    loop.run(main())


def test_access_strangers_do_not_push_names_of_hosts_out() -> None:
    """However many of them call, and though the name server answers no more."""

    async def main() -> None:
        lookups = Lookups()
        lookups.open.set()
        names = NameCache(lookups)
        rules = policy("a.example.org(rw) *.example.org(ro)", names)
        await names.load(rules.host_names)
        for number in range(NAME_ENTRIES + 1):
            stranger = address_of(f"203.0.{number >> 8}.{number & 255}")
            assert stranger is not None and names.names(stranger) is None
            if number % 100 == 99 or number == NAME_ENTRIES:
                while names._asking:
                    await asyncio.sleep(0)
        assert len(names._known) == NAME_ENTRIES
        lookups.open.clear()
        assert admitted(rules, A).startswith("rw")
        await names.stop()

    loop.run(main())


def test_access_names_that_change() -> None:
    """An old answer serves until there is a new one; a name server that is down changes nothing."""

    async def main() -> None:
        lookups, now, changes = Lookups(), [0.0], []
        lookups.open.set()
        names = NameCache(lookups, lambda: changes.append(now[0]), lambda: now[0])
        rules = policy("a.example.org(rw)", names)
        await names.load(rules.host_names)
        assert admitted(rules, A) != "ACCES"
        now[0] += NAME_SECONDS + 1
        lookups.down = True
        assert admitted(rules, A) != "ACCES"
        await names.settle(None)
        assert admitted(rules, A) != "ACCES" and not changes
        lookups.down = False
        lookups.zone["a.example.org"] = [B]
        now[0] += NAME_SECONDS + 1
        assert admitted(rules, A) != "ACCES"
        await names.settle(None)
        assert changes == [now[0]]
        assert admitted(rules, A) == "ACCES" and admitted(rules, B) != "ACCES"

    loop.run(main())


def test_access_netgroups_go_by_confirmed_names() -> None:
    async def main() -> None:
        lookups = Lookups()
        lookups.open.set()
        names = NameCache(lookups)
        rules = policy("@friends(rw)", names)
        for host, inside in ((A, True), (B, False)):
            await rules.settle(host)
            assert (admitted(rules, host) != "ACCES") is inside

    loop.run(main())


@pytest.mark.skipif(not netgroups_exist(), reason="this C library knows no netgroups")
def test_access_the_systems_netgroups_can_be_asked() -> None:
    assert innetgr("no-such-netgroup", "localhost") is False


# Handles


@each_backend("memory")
async def test_access_handles_of_others_are_counted(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Forged, of another server, of no length: BADHANDLE, counted once a call, logged with a
    quota; what they cost is a MAC at most, and nothing is remembered of them."""
    export, key = w.handles.unpack(w.root)
    foreign = FileHandles(bytes(32)).pack(export, *key)
    turned = bytes([w.root[0] ^ 1]) + w.root[1:]
    for handle in (foreign, turned, w.root[:-1] + b"\0", bytes(64), bytes(31), b""):
        assert await w.status("GETATTR", handle) == "BADHANDLE"
        assert await w.status("CREATE", x.diropargs3(handle, b"f"), unchecked()) == "BADHANDLE"
    rename = x.diropargs3(w.root, b"a"), x.diropargs3(foreign, b"b")
    assert await w.status("RENAME", *rename) == "BADHANDLE"
    assert w.handles.bad == {MAC: 7, LENGTH: 6}
    body = bytes([VERSION + 1]) + w.root[1:24]
    assert await w.status("GETATTR", body + w.handles._mac(body)) == "BADHANDLE"
    assert w.handles.bad[FORMAT] == 1
    for number in range(200):
        await w.status("GETATTR", number.to_bytes(32))
    assert w.handles.bad[MAC] == 207
    assert len([r for r in caplog.records if "handle" in r.getMessage()]) < 30
    assert len(w.handles.known) <= 2
