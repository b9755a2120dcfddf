"""The command: what it prints, how it ends, what it refuses and in how many words."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import NOBODY, SLOW_READ, Process, directory_of, interpreter, nfsloop, run

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.client import RpcClient, connected
from oncrpc.message import AUTH_SYS, Credential
from oncrpc.retry import ONCE

AS_ROOT = os.geteuid() == 0
ME = Credential(AUTH_SYS, os.geteuid(), os.getegid())
OPTIONS = (
    "-o", "--host", "--port", "--rpcbind", "--no-udp", "--state", "--log-level", "EXPORT",
)  # fmt: skip
WORDS = (
    "ro", "rw", "root_squash", "no_root_squash", "all_squash", "anonuid=", "anongid=", "sync",
    "async",
)  # fmt: skip
NO_ATIME, NO_MTIME = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


def serve_args(place: Path, *rest: str) -> list[str]:
    """`serve` on a free port of the loopback interface, without a portmapper."""
    common = ["--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    return ["serve", *common, "--state", str(place / "state"), *rest]


async def mounted(rpc: RpcClient, path: str) -> bytes:
    res = await m.MOUNT_V3_Client(rpc).MNT(path.encode(), timeout=5)
    assert res.fhs_status == m.MNT3_OK, (path, res.fhs_status)
    return res.mountinfo.fhandle


def root_of(port: int, path: str) -> x.fattr3:
    """Mount `path`; the attributes of what was mounted."""

    async def main() -> x.fattr3:
        async with connected("tcp", "127.0.0.1", port, ME) as rpc:
            root = await mounted(rpc, path)
            res = await x.NFS_V3_Client(rpc).GETATTR(x.GETATTR3args(root), timeout=5)
            attr = res.resok.obj_attributes
            assert isinstance(attr, x.fattr3)
            return attr

    return loop.run(main())


def refused(args: list[str], *said: str, user: int | None = None) -> None:
    """That the command ends at once, with one clear line that has all of `said`."""
    status, out, errors = run(*args, "--log-level", "warning", user=user)
    assert status not in (0, -signal.SIGTERM), errors
    assert out == ""
    lines = [line for line in errors.splitlines() if not line.startswith(("usage:", "      "))]
    assert len(lines) == 1, errors
    for text in said:
        assert text in lines[0], (text, lines[0])
    assert "Traceback" not in errors


# What it prints


def test_cli_help_reads_well() -> None:
    """Every option and every word, within 100 columns."""
    status, top, errors = run("--help")
    assert (status, errors) == (0, "") and "serve" in top
    status, text, errors = run("serve", "--help")
    assert (status, errors) == (0, "")
    for word in (*OPTIONS, *WORDS, "memory:", "SIGTERM", "auto", "system", "builtin", "none"):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 100
    assert run("--version")[1].startswith("nfsloop ")


def test_cli_prints_the_mount_command_of_each_export(place: Path) -> None:
    """With the ports, as there is no portmapper; and it is right: what it names can be mounted."""
    (place / "second export").mkdir()
    exports = [str(place / "export"), f"/named={place / 'second export'}", "/mem=memory:"]
    with nfsloop(*serve_args(place, *exports)) as server:
        banner = server.ready(3)
        lines = [line.strip() for line in banner.splitlines() if "mount -t nfs" in line]
        paths = [str(place / "export"), "/named", "/mem"]
        assert len(lines) == 3
        for path, line in zip(paths, lines, strict=True):
            _, _, kind, dash, options, spec, target = shlex.split(line[line.index("mount") :])
            assert (kind, dash, target) == ("nfs", "-o", "/mnt")
            assert spec == f"localhost:{path}"
            words = dict(word.partition("=")[::2] for word in options.split(","))
            assert words["port"] == words["mountport"] == str(server.port)
            assert words["vers"] == "3" and "nolock" in words
            root_of(server.port, path)
        assert server.stop() == 0


def test_cli_ways_to_name_an_export(place: Path) -> None:
    """Its own path, /name=, sub-directories, and / for the first."""
    (place / "export" / "sub" / "deep").mkdir(parents=True)
    (place / "export" / "file").touch()
    link = place / "link"
    link.symlink_to(place / "export")
    with nfsloop(*serve_args(place, str(link), f"/other={place / 'export' / 'sub'}")) as server:
        server.ready(2)
        own = str((place / "export").resolve())
        inode = (place / "export").stat().st_ino
        for path in ("/", own, own + "/", f"{own}//."):
            assert root_of(server.port, path).fileid == inode
        sub = (place / "export" / "sub" / "deep").stat().st_ino
        for path in (f"{own}/sub/deep", "/other/deep"):
            assert root_of(server.port, path).fileid == sub
        for path in ("/sub", f"{own}/none", f"{own}/file", f"{own}/../export", "/etc"):
            with pytest.raises(AssertionError):
                root_of(server.port, path)
        assert server.stop() == 0


def test_cli_memory_is_the_default(place: Path) -> None:
    """Mounted as /; everybody may make files there."""

    async def use(port: int) -> None:
        async with connected("tcp", "127.0.0.1", port, Credential(AUTH_SYS, 1000, 1000)) as rpc:
            root = await mounted(rpc, "/")
            how = x.createhow3(x.GUARDED, x.sattr3(0o644, None, None, None, NO_ATIME, NO_MTIME))
            args = x.CREATE3args(x.diropargs3(root, b"f"), how)
            assert (await x.NFS_V3_Client(rpc).CREATE(args, timeout=5)).status == x.NFS3_OK

    with nfsloop(*serve_args(place)) as server:
        loop.run(use(server.port))
        assert server.stop() == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_cli_port_0_and_no_udp(place: Path, transport: str) -> None:
    """One port for both, or for TCP alone."""

    async def answers(port: int) -> bool:
        try:
            async with connected("udp", "127.0.0.1", port, ME) as rpc:
                await x.NFS_V3_Client(rpc).NULL(timeout=1)
            return True
        except OSError:
            return False

    more = ["--no-udp"] if transport == "tcp" else []
    with nfsloop(*serve_args(place, *more)) as server:
        root_of(server.port, "/")
        assert loop.run(answers(server.port)) is (transport == "udp")
        assert ("UDP" in server.banner) is (transport == "udp")
        assert server.stop() == 0


def test_cli_options_reach_the_export(place: Path) -> None:
    """-o ro,all_squash,…: seen from a client."""

    async def use(port: int) -> None:
        async with connected("tcp", "127.0.0.1", port, ME) as rpc:
            root = await mounted(rpc, "/")
            nfs = x.NFS_V3_Client(rpc)
            args = x.SETATTR3args(root, x.sattr3(0o777, None, None, None, NO_ATIME, NO_MTIME), None)
            assert (await nfs.SETATTR(args, timeout=5)).status == x.NFS3ERR_ROFS

    options = "ro,all_squash,anonuid=5,anongid=6,async"
    with nfsloop(*serve_args(place, "-o", options, str(place / "export"))) as server:
        loop.run(use(server.port))
        assert server.stop() == 0


# How it ends


def slow_read(server: Process, number: signal.Signals) -> tuple[x.READ3res, float]:
    """A READ that takes a second, with a signal in the middle; the reply, and when it came."""

    async def main() -> tuple[x.READ3res, float]:
        async with connected("tcp", "127.0.0.1", server.port, ME) as rpc:
            root = await mounted(rpc, "/")
            nfs = x.NFS_V3_Client(rpc)
            how = x.createhow3(x.GUARDED, x.sattr3(0o644, None, None, 5, NO_ATIME, NO_MTIME))
            made = await nfs.CREATE(x.CREATE3args(x.diropargs3(root, b"f"), how), timeout=5)
            file = made.resok.obj
            assert file is not None
            read = asyncio.ensure_future(nfs.READ(x.READ3args(file, 0, 5), timeout=10))
            await asyncio.sleep(0.2)
            server.send(number)
            return await read, time.monotonic()

    return loop.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_cli_a_signal_finishes_the_calls_in_flight(place: Path, number: signal.Signals) -> None:
    """The slow READ gets its reply, then the server ends, with 0."""
    with nfsloop(*serve_args(place), code=SLOW_READ, env={"TEST_READ_SECONDS": "0.8"}) as server:
        res, replied = slow_read(server, number)
        assert (res.status, res.resok.count) == (x.NFS3_OK, 5)
        assert server.wait(5) == 0
        assert time.monotonic() - replied < 3
        assert "unanswered" not in server.stderr()


def test_cli_a_second_signal_ends_it_at_once(place: Path) -> None:
    """For whoever cannot wait for the calls in flight."""
    with nfsloop(*serve_args(place), code=SLOW_READ, env={"TEST_READ_SECONDS": "30"}) as server:

        async def main() -> None:
            async with connected("tcp", "127.0.0.1", server.port, ME, retry=ONCE) as rpc:
                root = await mounted(rpc, "/")
                nfs = x.NFS_V3_Client(rpc)
                read = asyncio.ensure_future(nfs.READ(x.READ3args(root, 0, 5)))
                await asyncio.sleep(0.2)
                server.send(signal.SIGTERM)
                await asyncio.sleep(0.2)
                assert server.process.poll() is None
                server.send(signal.SIGTERM)
                await asyncio.gather(read, return_exceptions=True)

        loop.run(main())
        assert server.wait(5) != 0
        assert "Traceback" not in server.stderr()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_cli_an_idle_server_ends_quickly(place: Path, number: signal.Signals) -> None:
    """With an idle connection open, and one that sent half a record."""
    with (
        nfsloop(*serve_args(place, str(place / "export"))) as server,
        socket.create_connection(("127.0.0.1", server.port)) as idle,
        socket.create_connection(("127.0.0.1", server.port)) as half,
    ):
        half.sendall(struct.pack(">II", 0x80000100, 7))
        time.sleep(0.1)
        start = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - start < 3
        assert idle.recv(1) == b""
        assert "ERROR" not in server.stderr() and "Traceback" not in server.stderr()


# What it refuses


def test_cli_a_second_start_with_the_same_state(place: Path) -> None:
    """Says who has it; the first goes on."""
    with nfsloop(*serve_args(place)) as server:
        server.ready()
        refused(serve_args(place), str(server.pid), "state")
        root_of(server.port, "/")
        assert server.stop() == 0
    with nfsloop(*serve_args(place)) as server:  # a lock of one that has ended is no obstacle
        server.ready()
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with nfsloop(*serve_args(place)) as server:
        server.ready()
        assert server.stop() == 0


def test_cli_a_second_start_on_the_same_port(place: Path) -> None:
    """Names the address."""
    with nfsloop(*serve_args(place)) as server:
        args = serve_args(place, "--port", str(server.port), "--state", str(place / "other"))
        refused(args, f"127.0.0.1:{server.port}", "in use")
        root_of(server.port, "/")
        assert server.stop() == 0


def test_cli_a_port_in_use_over_udp_alone(place: Path) -> None:
    """Is in use too; --no-udp does without."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        refused(serve_args(place, "--port", port), f"udp 127.0.0.1:{port}", "in use")
        with nfsloop(*serve_args(place, "--port", port, "--no-udp")) as server:
            server.ready()
            assert server.stop() == 0


def test_cli_exports_that_cannot_be(place: Path) -> None:
    """Missing, no directory, twice, nothing behind the name."""
    export = str(place / "export")
    (place / "file").touch()
    refused(serve_args(place, "/no/such/directory"), "/no/such/directory", "no such directory")
    refused(serve_args(place, str(place / "file")), str(place / "file"), "not a directory")
    refused(serve_args(place, "/name=/no/such"), "/no/such", "no such directory")
    refused(serve_args(place, export, export), export, "twice")
    refused(serve_args(place, f"/a={export}", "/a=memory:"), "/a", "twice")
    refused(serve_args(place, "memory:", "memory:"), "twice")
    refused(serve_args(place, "/name="), "/name=", "nothing")
    refused(serve_args(place, ""), "")


def test_cli_words_that_are_none(place: Path) -> None:
    """Options of exports(5), ports, modes, levels, commands, addresses."""
    for word in ("rot_squash", "anonuid=x", "anongid=-1", "ro=yes"):
        refused(serve_args(place, "-o", word), word.partition("=")[0])
    for port in ("65536", "-1", "nfs", "2049x", ""):
        refused(serve_args(place, f"--port={port}"), "port", port)
    refused(serve_args(place, "--rpcbind", "maybe"), "--rpcbind", "maybe")
    refused(serve_args(place, "--colour"), "--colour")
    refused(serve_args(place, "--loop", "none"), "--loop", "none")
    refused(serve_args(place, "--host", "192.0.2.1"), "192.0.2.1")
    refused(serve_args(place, "--host", "no.such.host.invalid"), "no.such.host.invalid")
    for host in ("", "[]"):  # such as a variable of a script that is not set
        refused(serve_args(place, "--host", host), "--host", "all addresses")
    refused(["mount"], "mount")


def test_cli_a_state_directory_that_cannot_be(place: Path) -> None:
    """A file in its place, a broken key. A broken list of mounts is only advice: it is left out."""
    (place / "file").touch()
    refused(serve_args(place, "--state", str(place / "file")), str(place / "file"))
    refused(serve_args(place, "--state", str(place / "file" / "x")), str(place / "file"))
    (place / "state").mkdir(0o700)
    (place / "state" / "handle.key").write_bytes(b"short")
    refused(serve_args(place), "handle.key")
    (place / "state" / "handle.key").unlink()
    (place / "state" / "rmtab").write_text('5\n{"a": 1}\n[1]\nno json\n["+", "here", "/"]\n["+"')
    with nfsloop(*serve_args(place)) as server:
        assert loop.run(dumped(server.port)) == [(b"here", b"/")]
        assert server.stop() == 0
        assert "Traceback" not in server.stderr()
        assert server.stderr().count("WARNING") == 5


def test_cli_a_state_directory_of_somebody_else(place: Path) -> None:
    """Links in it would have the server write where he likes."""
    (place / "precious").write_text("precious")
    (place / "state").mkdir()
    (place / "state" / "lock").symlink_to(place / "precious")
    (place / "state").chmod(0o777)
    refused(serve_args(place), str(place / "state"), "everybody may write")
    (place / "state").chmod(0o755)
    if os.geteuid() == 0:
        os.chown(place / "state", NOBODY, NOBODY)
        refused(serve_args(place), str(place / "state"), f"user {NOBODY}")
    assert (place / "precious").read_text() == "precious"


async def dumped(port: int) -> list[tuple[bytes, bytes]]:
    async with connected("tcp", "127.0.0.1", port, ME) as rpc:
        found = await m.MOUNT_V3_Client(rpc).DUMP(timeout=5)
    return [(entry.ml_hostname, entry.ml_directory) for entry in found]


def test_cli_the_list_of_mounts_survives_sigkill(place: Path) -> None:
    """DUMP tells of mounts from before; what was unmounted is gone."""
    with nfsloop(*serve_args(place, str(place / "export"))) as server:
        for path in ("/", str(place / "export")):
            root_of(server.port, path)

        async def unmount() -> None:
            async with connected("tcp", "127.0.0.1", server.port, ME) as rpc:
                await m.MOUNT_V3_Client(rpc).UMNT(b"/", timeout=5)

        loop.run(unmount())
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with nfsloop(*serve_args(place, str(place / "export"))) as server:
        mounts = loop.run(dumped(server.port))
        assert mounts == [(b"127.0.0.1", os.fsencode(place / "export"))]
        assert server.stop() == 0


@pytest.mark.skipif(not AS_ROOT, reason="root starts it as an ordinary user")
def test_cli_a_state_directory_that_is_not_writable(place: Path) -> None:
    """An ordinary user in a directory of root's."""
    refused(serve_args(place), str(place / "state"), user=NOBODY)
    (place / "state").mkdir(mode=0o755)
    refused(serve_args(place), str(place / "state"), user=NOBODY)
    secret = place / "export"
    secret.chmod(0o700)
    mine = ["--state", "/tmp/nfsloop-no-such/state"]
    refused(serve_args(place, *mine, str(secret)), str(secret), "ermission", user=NOBODY)


@pytest.mark.skipif(not AS_ROOT, reason="root makes what an ordinary user may not use")
def test_cli_what_helps_where_a_permission_is_missing() -> None:
    """Whose it is, whom the server runs as, and what to do; of a container too."""
    with directory_of(NOBODY) as place:
        owned, root_s = place / "export", place / "root"
        root_s.mkdir(0o700)
        me = f"chown {NOBODY} it, or run the server as user 0 (of a container: --user 0)"
        refused(serve_args(place, str(root_s)), "Permission denied", me, user=NOBODY)
        mine = ["--state", str(root_s / "state")]
        refused(serve_args(place, *mine), "state directory", me, "--state", user=NOBODY)
        owned.chmod(0o700)
        mine = ["--state", str(owned)]
        refused(serve_args(place, *mine), f"{owned} is user {NOBODY}'s", "--user", user=1234)
        root_s.chmod(0o755)
        with nfsloop(*serve_args(place, str(root_s)), user=NOBODY) as server:
            server.ready()
            assert f"WARNING nfsloop: {root_s} is exported for reading and writing" in (
                server.stderr()
            )
            assert me in server.stderr()
            status, _, said = run("status", "--state", str(place / "state"), user=1234)
            assert status == 1 and "the user that the server runs as" in said
            assert server.stop() == 0
        for argv in (["-o", "ro", str(root_s)], [str(place / "export")]):
            with nfsloop(*serve_args(place, *argv), user=NOBODY) as server:
                server.ready()
                assert "WARNING" not in server.stderr()


# Logs

EVENT = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [\w.]+: \S")


def test_cli_the_log_is_one_line_an_event(place: Path) -> None:
    """A fault in the backend with a newline in its text: one line, that says where it was."""
    with nfsloop(
        *serve_args(place, "--log-level", "debug"), code=SLOW_READ, env={"TEST_FAULT": "1"}
    ) as server:

        async def main() -> None:
            async with connected("tcp", "127.0.0.1", server.port, ME) as rpc:
                root = await mounted(rpc, "/")
                nfs = x.NFS_V3_Client(rpc)
                for _ in range(3):
                    res = await nfs.READ(x.READ3args(root, 0, 10), timeout=5)
                    assert res.status == x.NFS3ERR_SERVERFAULT

        loop.run(main())
        with socket.create_connection(("127.0.0.1", server.port)) as bad:
            bad.sendall(b"\xff" * 64)
            assert bad.recv(10) == b""
        assert server.stop() == 0
        lines = server.stderr().splitlines()
        assert all(EVENT.match(line) for line in lines), lines
        faults = [line for line in lines if "ERROR" in line]
        assert len(faults) == 3
        assert "ValueError: injected\\nfault" in faults[0] and "slow_read" in faults[0]
        assert len([line for line in lines if "WARNING" in line]) == 1


def test_cli_the_log_level_is_kept(place: Path) -> None:
    """At "error", a start and a stop say nothing."""
    with nfsloop(*serve_args(place, "--log-level", "error", str(place / "export"))) as server:
        root_of(server.port, "/")
        assert server.stop() == 0
        assert server.stderr() == ""


# As an ordinary user, and over a crash


@pytest.mark.skipif(not AS_ROOT, reason="root starts it as an ordinary user")
def test_cli_an_ordinary_user_serves_as_himself_and_says_so() -> None:
    """Whoever calls: files are that user's; what he may not do, nobody may."""
    interpreter(NOBODY)
    with directory_of(NOBODY) as place:
        (place / "export" / "roots").write_text("secret")
        (place / "export" / "roots").chmod(0o600)
        args = serve_args(place, "-o", "no_root_squash", str(place / "export"))
        with nfsloop(*args, user=NOBODY) as server:
            assert str(NOBODY) in server.ready()
            loop.run(use_as_ordinary_user(server.port))
            st = (place / "export" / "f").stat()
            assert (st.st_uid, st.st_size) == (NOBODY, 4)
            assert server.stop() == 0


async def use_as_ordinary_user(port: int) -> None:
    async with connected("tcp", "127.0.0.1", port, Credential(AUTH_SYS, 0, 0)) as rpc:
        root = await mounted(rpc, "/")
        nfs = x.NFS_V3_Client(rpc)
        how = x.createhow3(x.GUARDED, x.sattr3(0o600, None, None, None, NO_ATIME, NO_MTIME))
        made = await nfs.CREATE(x.CREATE3args(x.diropargs3(root, b"f"), how), timeout=5)
        assert made.resok.obj is not None
        write = x.WRITE3args(made.resok.obj, 0, 4, x.FILE_SYNC, b"data")
        assert (await nfs.WRITE(write, timeout=5)).status == x.NFS3_OK
        found = await nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(root, b"roots")), timeout=5)
        secret = x.READ3args(found.resok.object, 0, 10)
        assert (await nfs.READ(secret, timeout=5)).status == x.NFS3ERR_ACCES


USERS = [pytest.param(NOBODY, id="ordinary"), pytest.param(None, id="root")] if AS_ROOT else [None]


@pytest.mark.parametrize("user", USERS)
def test_cli_handles_survive_sigkill(user: int | None) -> None:
    """Killed while it served, and started again: every handle is good, what was synced is there."""
    owner = Credential(AUTH_SYS, os.geteuid() if user is None else user, 0)
    with directory_of(user) as place:
        args = serve_args(place, "-o", "no_root_squash", str(place / "export"))
        with nfsloop(*args, user=user) as server:
            handles = loop.run(make_tree(server.port, owner))
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        (place / "export" / "d3").rename(place / "export" / "moved")
        with nfsloop(*args, user=user) as server:
            loop.run(check_tree(server.port, owner, handles))
            assert server.stop() == 0


async def make_tree(port: int, who: Credential) -> dict[str, bytes]:
    handles: dict[str, bytes] = {}
    async with connected("tcp", "127.0.0.1", port, who) as rpc:
        nfs = x.NFS_V3_Client(rpc)
        root = await mounted(rpc, "/")
        plain = x.sattr3(0o755, None, None, None, NO_ATIME, NO_MTIME)
        for n in range(5):
            made = await nfs.MKDIR(x.MKDIR3args(x.diropargs3(root, b"d%d" % n), plain), timeout=5)
            sub = made.resok.obj or b""
            for k in range(20):
                where = x.diropargs3(sub, b"f%d" % k)
                how = x.createhow3(x.GUARDED, plain)
                file = (await nfs.CREATE(x.CREATE3args(where, how), timeout=5)).resok.obj or b""
                data = f"{n}/{k}".encode()
                write = x.WRITE3args(file, 0, len(data), x.FILE_SYNC, data)
                assert (await nfs.WRITE(write, timeout=5)).status == x.NFS3_OK
                handles[f"{n}/{k}"] = file
    return handles


async def check_tree(port: int, who: Credential, handles: dict[str, bytes]) -> None:
    async with connected("tcp", "127.0.0.1", port, who) as rpc:
        nfs = x.NFS_V3_Client(rpc)
        for name, handle in handles.items():
            got = await nfs.READ(x.READ3args(handle, 0, 100), timeout=5)
            assert (got.status, bytes(got.resok.data)) == (x.NFS3_OK, name.encode())
