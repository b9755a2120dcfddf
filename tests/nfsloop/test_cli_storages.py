"""The command with backends of all kinds: named, wrapped, listed, checked, ill, slow."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from nfs_process import nfsloop, run

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.client import RpcClient, connected
from oncrpc.message import AUTH_SYS, Credential

ME = Credential(AUTH_SYS, os.geteuid(), os.getegid())

#: A sattr3 that sets nothing.
NOTHING = x.sattr3(None, None, None, None, x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE))

MODULE = '''
"""Backends that a user wrote."""
import asyncio, os, time
from backends.base import FsError, Status
from backends.memory import MemoryBackend
from nfsloop.layers import Layer

class Kind(MemoryBackend):
    """Says how it is."""
    inline = False
    def __init__(self, *, ill: str = "", patience: float = 10.0):
        super().__init__(mode=0o777)
        self.ill, self.patience = ill, patience
    async def health(self):
        return self.ill or None

class Stalled(Kind):
    """Never answers a LOOKUP."""
    async def lookup(self, ctx, dir, name):
        await asyncio.sleep(3600)

class Blocked(Kind):
    """The same, in a thread."""
    blocking = True
    threads = 2
    async def lookup(self, ctx, dir, name):
        time.sleep(3600)

class Bad(Kind):
    """Raises what nobody expects."""
    async def lookup(self, ctx, dir, name):
        raise KeyError("planted")

class NoStart(Kind):
    """Cannot start."""
    async def start(self):
        raise OSError(5, "the tape robot is on strike")

class Loud(Layer):
    """Tells of each LOOKUP."""
    procedures = frozenset({"LOOKUP"})
    def __init__(self, *, word: str = "looking"):
        self.word = word
    async def handle(self, call, args, below):
        print(self.word, args.what.name.decode(), flush=True)
        return await below(call, args)
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(b"content")
    return tmp_path


def args(place: Path, *rest: str) -> list[str]:
    common = ["--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    return [
        "serve",
        *common,
        "--state",
        str(place / "state"),
        "-o",
        "insecure,no_root_squash",
        *rest,
    ]


def env(place: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{place}:{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2]}"}


class Client:
    """One connection, and the exports that were mounted through it."""

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc
        self.nfs = x.NFS_V3_Client(rpc)

    async def root(self, path: str) -> bytes:
        res = await m.MOUNT_V3_Client(self.rpc).MNT(path.encode(), timeout=5)
        assert res.fhs_status == m.MNT3_OK, (path, res.fhs_status)
        return res.mountinfo.fhandle

    async def lookup(self, root: bytes, name: bytes) -> str:
        res = await self.nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(root, name)), timeout=10)
        return res.status.name.removeprefix("NFS3ERR_")


def ask(port: int, what: Any) -> Any:
    """What the coroutine function makes of a `Client`."""

    async def main() -> Any:
        async with connected("tcp", "127.0.0.1", port, ME) as rpc:
            return await what(Client(rpc))

    return loop.run(main())


def test_backends_are_listed() -> None:
    status, out, err = run("backends")
    assert (status, err) == (0, "")
    words = "posix:DIR memory: sqlite:FILE zip:FILE git:DIR fsspec+URL demux: readonly| attrcache|"
    for word in (*words.split(), "seconds=", "mode=0o1777", "read-only"):
        assert word in out, out
    assert "NOT USABLE" not in out


def test_a_backend_of_a_users_own(place: Path) -> None:
    """With an option, behind a wrap; what it is is printed, and it serves."""
    exports = ["--wrap", "readonly", "/mine=mine:Kind?patience=3"]
    with nfsloop(*args(place, *exports), env=env(place)) as server:
        assert "export /mine:" in server.ready(1)

        async def main(client: Client) -> str:
            root = await client.root("/mine")
            res = await client.nfs.MKDIR(x.MKDIR3args(x.diropargs3(root, b"d"), NOTHING), timeout=5)
            return str(res.status.name)

        assert ask(server.port, main) == "NFS3ERR_ROFS"
        assert server.stop() == 0


def test_a_stalled_backend_disturbs_no_other(place: Path) -> None:
    """Not on the same connection, whether it waits or blocks; it is named in the log; and the
    server ends when it is told to."""
    exports = ["/good=memory:", "/bad=mine:Bad", "/slow=mine:Stalled?patience=2",
               "/block=mine:Blocked?patience=2"]  # fmt: skip
    with nfsloop(*args(place, *exports), env=env(place)) as server:
        server.ready(4)

        async def main(client: Client) -> None:
            roots = {path: await client.root(path) for path in ("/good", "/bad", "/slow", "/block")}
            stuck = [
                asyncio.ensure_future(client.lookup(roots[path], b"%d" % number))
                for path in ("/slow", "/block")
                for number in range(20)
            ]
            assert await client.lookup(roots["/good"], b"none") == "NOENT"
            assert await client.lookup(roots["/bad"], b"none") == "SERVERFAULT"
            assert not any(call.done() for call in stuck), "it has waited for the stalled ones"
            for _ in range(100):
                assert await client.lookup(roots["/good"], b"none") == "NOENT"
            assert set(await asyncio.gather(*stuck)) == {"JUKEBOX"}

        ask(server.port, main)
        status, out, _ = run("status", "--state", str(place / "state"))
        lines = dict(line.split(": ", 1) for line in out.splitlines())
        assert status == 1
        assert lines["/good"].startswith("well") and lines["/bad"].startswith("well")
        for path in ("/slow", "/block"):
            assert lines[path].startswith("NOT WELL: 20 calls have not ended"), out
        assert server.stop() == 0
        log = server.stderr()
        for text in (
            "WARNING nfsloop.backend: /slow: Stalled.lookup of 127.0.0.1 has taken",
            "/block: Blocked.lookup of 127.0.0.1 has taken",
            "LOOKUP from 127.0.0.1 in /bad (Bad) failed",
            "/slow: Stalled: 20 calls were cut off",
            "Blocked was not stopped: calls hang in its threads",
        ):
            assert text in log, log
        assert "/good" not in "".join(line for line in log.splitlines() if "WARNING" in line)


def test_status_of_what_is_well_and_what_says_it_is_not(place: Path) -> None:
    exports = ["/good=memory:", "/ill=mine:Kind?ill=tape%20is%20torn"]
    with nfsloop(*args(place, *exports), env=env(place)) as server:
        server.ready(2)
        status, out, err = run("status", "--state", str(place / "state"))
        assert (status, err) == (1, "")
        assert out.splitlines() == [
            "/good: well: in memory, gone when the server ends",
            "/ill: NOT WELL: tape is torn",
        ]
        assert server.stop() == 0
    status, out, err = run("status", "--state", str(place / "state"))
    assert status == 1 and "no nfsloop runs" in err


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ("mine:Kinds", "has no Kinds"),
        ("mine:Kind?il=1", "no option is called 'il'; there are ill=, patience=10.0"),
        ("mine:Kind?patience=long", "patience takes a number"),
        ("mine:NoStart", "the tape robot is on strike"),
        ("/x=sqlite:/none/such/dir/file.db", "/none/such/dir"),
        ("zip:{place}/mine.py", "mine.py"),
        ("git:{place}/data", "data"),
        ("fsspec+nosuch://x", "nosuch"),
        ("sqlite:{place}/mine.py", "mine.py"),
    ],
)
def test_what_is_wrong_is_one_line(place: Path, export: str, said: str) -> None:
    status, out, err = run(*args(place, export.format(place=place)), env=env(place))
    assert (status, out) == (1, "")
    assert err.startswith("nfsloop: ") and said in err and err.count("\n") == 1, err


def test_settings_have_wraps_layers_and_trees(place: Path) -> None:
    config = place / "nfsloop.toml"
    config.write_text(f"""
        layers = ["mine:Loud?word=heard"]
        [[export]]
        path = "/all"
        wraps = ["audit?file={place}/audit.log", "attrcache?seconds=1"]
        storage = {{ docs = "{place}/data", scratch = "memory:" }}
        options = "rw,insecure,no_root_squash"
        clients = "127.0.0.1"
    """)
    status, out, err = run("check", "--config", str(config), env=env(place))
    assert status == 0, err
    text = (
        f"audit?file={place}/audit.log|attrcache?seconds=1|demux:docs={place}/data;scratch=memory:"
    )
    assert f"/all: {text}" in out
    common = ["serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
    state = ["--state", str(place / "state")]
    with nfsloop(*common, *state, "--config", str(config), env=env(place)) as server:
        server.ready(1)

        async def main(client: Client) -> bytes:
            root = await client.root("/all")
            res = await client.nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(root, b"docs")), timeout=5)
            docs = res.resok.object
            res = await client.nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(docs, b"file")), timeout=5)
            removed = await client.nfs.REMOVE(x.REMOVE3args(x.diropargs3(docs, b"file")), timeout=5)
            assert removed.status == x.NFS3_OK
            read = await client.nfs.READ(x.READ3args(res.resok.object, 0, 100), timeout=5)
            assert read.status == x.NFS3ERR_STALE
            return bytes(await client.root("/all/scratch"))

        assert ask(server.port, main)
        assert server.stop() == 0
        out = server.process.stdout.read().decode() if server.process.stdout else ""
        assert "heard docs\nheard file\n" in out
    assert not (place / "data" / "file").exists()
    entries = [json.loads(line) for line in (place / "audit.log").read_text().splitlines()]
    assert any("remove" in json.dumps(entry) for entry in entries)


def test_fsck(place: Path) -> None:
    """Sound; damaged, found, repaired; in use; and what has no such check."""
    storage = f"sqlite:{place}/files.db"
    with nfsloop(*args(place, f"/x={storage}")) as server:
        server.ready(1)

        async def main(client: Client) -> None:
            root = await client.root("/x")
            how = x.createhow3(x.GUARDED, NOTHING)
            res = await client.nfs.CREATE(
                x.CREATE3args(x.diropargs3(root, b"file"), how), timeout=5
            )
            assert res.status == x.NFS3_OK

        ask(server.port, main)
        status, _, err = run("fsck", storage)
        assert status == 1 and err.count("\n") == 1 and "files.db" in err, err
        assert server.stop() == 0
    assert run("fsck", storage) == (0, f"{storage}: sound\n", "")
    status, _, err = run("fsck", str(place / "data"), "--state", str(place / "state"))
    assert status == 1 and "no consistency check" in err
    status, _, err = run("fsck", f"sqlite:{place}/none.db")
    assert status == 1 and "there is no" in err and not (place / "none.db").exists()
    status, _, err = run("fsck", "sqlite:")
    assert status == 1 and err.count("\n") == 1


def test_everybody_may_write_to_a_fresh_one(place: Path) -> None:
    """With root squashed, as it is by default, and by any other."""
    state = ["--state", str(place / "state"), "--port", "0", "--rpcbind", "none"]
    storage = f"/x=sqlite:{place}/files.db"
    with nfsloop("serve", "--host", "127.0.0.1", *state, "-o", "insecure", storage) as server:
        server.ready(1)

        async def main(client: Client) -> str:
            root = await client.root("/x")
            args = x.MKDIR3args(x.diropargs3(root, b"d"), NOTHING)
            return str((await client.nfs.MKDIR(args, timeout=5)).status.name)

        assert ask(server.port, main) == "NFS3_OK"
        assert server.stop() == 0


def test_two_exports_of_one_file_are_refused(place: Path) -> None:
    storage = f"sqlite:{place}/files.db"
    status, _, err = run(*args(place, f"/a={storage}", f"/b=readonly|{storage}"))
    assert status == 1 and "is exported already, as /a" in err


def test_a_reload_changes_storages(place: Path) -> None:
    """One is taken away, another comes; what stays goes on."""
    exports = place / "e"
    line = "(rw,insecure,no_root_squash,storage={}) \n"
    exports.write_text("/a *" + line.format(f"sqlite:{place}/a.db"))
    with nfsloop(*args(place, "--exports", str(exports))) as server:
        server.ready(1)
        exports.write_text("/b *" + line.format(f"sqlite:{place}/a.db"))
        status, _, err = run("reload", "--state", str(place / "state"))
        assert status == 1 and "still exported as /a" in err
        exports.write_text("/b *" + line.format(f"sqlite:{place}/b.db"))
        status, out, _ = run("reload", "--state", str(place / "state"))
        assert status == 0 and "/b: added" in out and "/a: removed" in out
        ask(server.port, lambda client: client.root("/b"))
        # Its lock is gone with it.
        exports.write_text("/a *" + line.format(f"sqlite:{place}/a.db"))
        assert run("reload", "--state", str(place / "state"))[0] == 0
        assert server.stop() == 0
    assert sqlite3.connect(place / "a.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
