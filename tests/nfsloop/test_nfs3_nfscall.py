"""`NfsCall.local`: calls without a socket. `NfsServ`: a program that takes the calls itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nfs_kit import OK, PEER, ROOT, USER, World, each_backend, fattr, guarded
from test_traps_handles import all_calls

from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.failure import FAILURES
from nfsloop.nfs3.server import NFS3_PROGRAM
from nfsloop.nfscall import LocalNfsCall, NfsCall, NfsServ
from oncrpc import loop
from oncrpc.call import Peer
from oncrpc.client import connected
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import AuthError, AuthStat, ProcUnavail, RpcTimeout, SystemErr
from oncrpc.message import AUTH_SYS
from oncrpc.server import RpcServer
from oncrpc.testing import Pipe

HANDLE = b"a handle of the program's own"


async def local(w: World, name: str, args: Any, **who: Any) -> Any:
    """A call of `w`'s service that never was bytes."""
    call = NfsCall.local(name, args, who.pop("credential", ROOT), PEER)
    w.server.dispatcher.call(call, NFS3_PROGRAM, args)
    return await asyncio.wait_for(call.result, 5)


@each_backend()
async def test_local_calls_need_no_socket(w: World) -> None:
    """Results are typed; attributes in them may be encoded already."""
    made = await local(w, "CREATE", x.CREATE3args(x.diropargs3(w.root, b"f"), guarded()))
    file = made.resok.obj
    assert await w.lookup(w.root, b"f") == file
    args = x.WRITE3args(file, 0, 5, x.UNSTABLE, b"local")
    assert (await local(w, "WRITE", args)).resok.count == 5
    got = await local(w, "READ", x.READ3args(file, 0, 100))
    assert (bytes(got.resok.data), got.resok.eof) == (b"local", True)
    attr = (await local(w, "GETATTR", x.GETATTR3args(file))).resok.obj_attributes
    if isinstance(attr, bytes):
        attr, _ = x.decode_fattr3(attr, 0)
    assert attr == await w.attr(file)
    failed = await local(w, "LOOKUP", x.LOOKUP3args(x.diropargs3(w.root, b"none")))
    assert failed.status == x.NFS3ERR_NOENT
    denied = x.WRITE3args(file, 0, 1, x.UNSTABLE, b"x")
    assert (await local(w, "WRITE", denied, credential=USER)).status in (
        x.NFS3ERR_ACCES, OK if w.kind == "posix" else x.NFS3ERR_ACCES
    )  # fmt: skip
    assert await local(w, "NULL", None) is None


def test_local_calls_know_what_they_are() -> None:
    """Where they come from, what they ask, and that there is one answer."""

    async def main() -> None:
        args = x.GETATTR3args(HANDLE)
        call = NfsCall.local("GETATTR", args)
        assert isinstance(call, LocalNfsCall)
        assert (call.fh, call.args, call.proc.name) == (HANDLE, args, "GETATTR")
        assert call.peer.local and call.credential.flavor == 0
        call.error(x.NFS3ERR_JUKEBOX)
        assert (await call.result).status == x.NFS3ERR_JUKEBOX
        with pytest.raises(AssertionError):
            call.error(x.NFS3ERR_IO)
        with pytest.raises(AssertionError):
            call.reject(SystemErr())
        with pytest.raises(AssertionError):
            call.drop()
        refused = NfsCall.local("NULL", None)
        refused.reject(AuthError(AuthStat.TOOWEAK))
        with pytest.raises(AuthError):
            await refused.result
        with pytest.raises(KeyError):
            NfsCall.local("OPEN", None)

    loop.run(main())


@asynccontextmanager
async def program(getcall: Callable[[NfsCall], Any]) -> Any:
    """A program that takes NfsCalls, and a client of it over TCP and one without."""
    server = RpcServer()
    server.add(NFS3_PROGRAM, NfsServ(getcall))
    port = server.listen("tcp", "127.0.0.1")
    async with connected("tcp", "127.0.0.1", port, ROOT) as rpc:
        try:
            yield x.NFS_V3_Client(rpc)
        finally:
            rpc.close()
            await server.stop(0.5)


def taking(
    getcall: Callable[[NfsCall], Any], test: Callable[[x.NFS_V3_Client], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with program(getcall) as nfs:
            await test(nfs)

    loop.run(main())


def test_nfsserv_error_has_the_shape_of_each_procedure() -> None:
    """For all 21, with the first handle of each; decoded by the client's typed codecs."""
    seen: list[tuple[str, bytes]] = []

    def getcall(call: NfsCall) -> None:
        seen.append((call.proc.name, call.fh))
        call.error(x.NFS3ERR_JUKEBOX)

    async def test(nfs: x.NFS_V3_Client) -> None:
        for procedure, *args in all_calls(HANDLE, HANDLE):
            shape = getattr(x, f"{procedure}3args")
            res = await getattr(nfs, procedure)(shape(*args), timeout=5)
            assert res.status == x.NFS3ERR_JUKEBOX
            if FAILURES[procedure].arm is None:
                assert res.value is None
            else:
                assert type(res.value).__name__ == f"{procedure}3resfail"

    taking(getcall, test)
    assert {name for name, _ in seen} == set(FAILURES)
    assert len(set(FAILURES)) == 21
    assert {handle for _, handle in seen} == {HANDLE}


def test_nfsserv_replies_rejects_drops() -> None:
    """At once; NULL never comes to the program."""

    def getcall(call: NfsCall) -> None:
        assert call.credential.flavor == AUTH_SYS
        match call.proc.name:
            case "READ":
                call.reply(x.READ3res(OK, x.READ3resok(None, 4, True, b"data")))
            case "GETATTR":
                call.reject(AuthError(AuthStat.TOOWEAK))
            case "ACCESS":
                call.reject(ProcUnavail())
            case "COMMIT":
                call.drop()
            case "FSSTAT":
                raise ValueError("the program has a bug")
            case "FSINFO":
                call.error(x.NFS3ERR_STALE)
                raise ValueError("the program has a bug behind its answer")
            case name:
                raise AssertionError(name)

    async def test(nfs: x.NFS_V3_Client) -> None:
        await nfs.NULL(timeout=5)
        for _ in range(2):
            got = (await nfs.READ(x.READ3args(HANDLE, 0, 4), timeout=5)).resok
            assert bytes(got.data) == b"data"
            with pytest.raises(AuthError, match="TOOWEAK"):
                await nfs.GETATTR(x.GETATTR3args(HANDLE), timeout=5)
            with pytest.raises(ProcUnavail):
                await nfs.ACCESS(x.ACCESS3args(HANDLE, 1), timeout=5)
            with pytest.raises(SystemErr):
                await nfs.FSSTAT(x.FSSTAT3args(HANDLE), timeout=5)
            assert (await nfs.FSINFO(x.FSINFO3args(HANDLE), timeout=5)).status == x.NFS3ERR_STALE
        with pytest.raises(RpcTimeout):
            await nfs.COMMIT(x.COMMIT3args(HANDLE, 0, 0), timeout=0.05)
        await nfs.NULL(timeout=5)

    taking(getcall, test)


def test_nfsserv_answers_later() -> None:
    """From a callback, from a task, in another order, from a coroutine that waits."""
    kept: list[NfsCall] = []

    async def slowly(call: NfsCall) -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(0.01)
        call.error(x.NFS3ERR_NOTSUPP)

    def getcall(call: NfsCall) -> Awaitable[None] | None:
        if call.proc.name == "ACCESS":
            return slowly(call)
        kept.append(call)
        return None

    async def test(nfs: x.NFS_V3_Client) -> None:
        asks = [
            asyncio.ensure_future(nfs.GETATTR(x.GETATTR3args(b"%d" % n), timeout=5))
            for n in range(10)
        ]
        while len(kept) < 10:
            await asyncio.sleep(0.001)
        access = await nfs.ACCESS(x.ACCESS3args(HANDLE, 1), timeout=5)
        assert access.status == x.NFS3ERR_NOTSUPP
        assert not any(ask.done() for ask in asks)
        statuses = [x.NFS3ERR_IO, x.NFS3ERR_STALE]
        for call in reversed(kept):
            call.error(statuses[int(call.fh) % 2])
            with pytest.raises(AssertionError):
                call.error(x.NFS3ERR_IO)
        results = [(await ask).status for ask in asks]
        assert results == [statuses[n % 2] for n in range(10)]

    taking(getcall, test)


def test_nfsserv_a_coroutine_has_the_data_of_its_write() -> None:
    """Though it comes to it after the receive buffer has been used again."""
    got: list[bytes] = []

    async def getcall(call: NfsCall) -> None:
        await asyncio.sleep(0.01)
        got.append(bytes(call.args.data))
        call.error(x.NFS3ERR_NOSPC)

    async def test(nfs: x.NFS_V3_Client) -> None:
        size = 100_000
        sent = [bytes([n]) * size for n in range(8)]
        writes = [x.WRITE3args(HANDLE, 0, size, x.UNSTABLE, data) for data in sent]
        await asyncio.gather(*(nfs.WRITE(args, timeout=5) for args in writes))
        assert sorted(got) == sent

    taking(getcall, test)


def test_nfsserv_a_result_that_is_none_of_the_procedures() -> None:
    """XdrError or another error to the program that gave it, SYSTEM_ERR to the caller."""

    def getcall(call: NfsCall) -> None:
        call.reply("nonsense")

    async def test(nfs: x.NFS_V3_Client) -> None:
        for _ in range(2):
            with pytest.raises(SystemErr):
                await nfs.GETATTR(x.GETATTR3args(HANDLE), timeout=5)

    taking(getcall, test)


@each_backend()
async def test_nfsserv_as_a_layer_over_a_server(w: World) -> None:
    """SFS's layers: calls go down to the real service, replies come back up and may be changed."""
    seen: list[str] = []

    async def layer(call: NfsCall) -> None:
        seen.append(call.proc.name)
        if call.proc.name == "MKDIR":
            call.error(x.NFS3ERR_ACCES)
            return
        below = NfsCall.local(call.proc.name, call.args, call.credential, call.peer)
        w.server.dispatcher.call(below, NFS3_PROGRAM, call.args)
        call.reply(await below.result)

    above = Dispatcher()
    above.add(NFS3_PROGRAM, NfsServ(layer))
    nfs = x.NFS_V3_Client(Pipe(above, ROOT, Peer("192.0.2.9", 700)))
    file = await w.create(w.root, b"f")
    await w.write(file, b"below")
    got = (await nfs.READ(x.READ3args(file, 0, 10), timeout=5)).resok
    assert bytes(got.data) == b"below"
    assert fattr(got.file_attributes).size == 5
    assert await w.status("MKDIR", x.diropargs3(w.root, b"d"), x.sattr3(*WISH), by=nfs) == "ACCES"
    assert await w.status("GETATTR", bytes(32), by=nfs) == "BADHANDLE"
    names = await nfs.READDIR(x.READDIR3args(w.root, 0, bytes(8), 4096), timeout=5)
    assert [entry.name for entry in names.resok.reply.entries] == [b".", b"..", b"f"]
    assert seen == ["READ", "MKDIR", "GETATTR", "READDIR"]


WISH = (None, None, None, None, x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE))
