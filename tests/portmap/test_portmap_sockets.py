"""Server and client over sockets of the loopback interface, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from oncrpc import loop
from oncrpc.client import RpcClient, connect
from oncrpc.errors import ProcUnavail
from oncrpc.server import RpcServer
from portmap import client
from portmap import portmap_xdr as x
from portmap.client import (
    NoPortmapper,
    RegistrationRefused,
    dump,
    getaddr,
    getport,
    register,
    registrations,
    system,
    system_runs,
    unregister,
)
from portmap.local import has_ipv6
from portmap.registry import Registration
from portmap.server import PROGRAMS, Portmap2, Portmapper, Table, add_services

LOOPS = ("asyncio", "uvloop")
NFS = 100003


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def go(test: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            await asyncio.wait_for(test(), 30)

        loop.run(main(), request.param)

    return go


Run = Callable[[Callable[[], Awaitable[None]]], None]


class Running:
    """A portmapper on a free port, for an ``async with``."""

    def __init__(self, host: str | None = None) -> None:
        self.portmapper = Portmapper()
        self.port = self.portmapper.listen(host, 0)
        self.where: tuple[client.Where, ...] = (("127.0.0.1", self.port),)

    async def __aenter__(self) -> Running:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.portmapper.stop()


def test_it_registers_itself(run: Run) -> None:
    async def test() -> None:
        async with Running() as it:
            netids = ["tcp", "udp"] + (["tcp6", "udp6"] if has_ipv6() else [])
            keys = {(program, version, n) for program, version in PROGRAMS for n in netids}
            entries = await dump("127.0.0.1", port=it.port)
            assert {entry.key for entry in entries} == keys
            assert {entry.address[1] for entry in entries} == {it.port}
            for host in ("127.0.0.1", *(["::1"] if has_ipv6() else [])):
                for transport in ("tcp", "udp"):
                    assert await getport(host, 100000, 4, transport, port=it.port) == it.port
        async with Running("127.0.0.1") as it:
            entries = await dump("127.0.0.1", port=it.port)
            assert {entry.address for entry in entries} == {("127.0.0.1", it.port)}

    run(test)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_register_ask_and_unregister(run: Run, host: str, transport: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this host has no IPv6")

    async def test() -> None:
        async with Running() as it:
            mine = registrations([(NFS, 3), (100005, 3)], transport, None, 2049)
            assert await getport(host, NFS, 3, transport, port=it.port) == 0
            await register(mine, it.where)
            assert await getport(host, NFS, 3, transport, port=it.port) == 2049
            found = await getaddr(host, NFS, 3, transport, port=it.port)
            assert found in {(address, 2049) for address in ("127.0.0.1", "::1")}
            other = "udp" if transport == "tcp" else "tcp"
            assert await getport(host, NFS, 3, other, port=it.port) == 0
            await register(mine, it.where)  # again: the same is no conflict
            assert await unregister(mine, it.where) == len(mine)
            assert await unregister(mine, it.where) == 0
            assert await getport(host, NFS, 3, transport, port=it.port) == 0

    run(test)


def test_a_dead_servers_registration_is_replaced(run: Run) -> None:
    async def test() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            dead = free.getsockname()[1]
        async with Running() as it:
            for transport in ("tcp", "udp"):
                it.portmapper.registry.set(
                    Registration(NFS, 3, transport, f"0.0.0.0.{dead >> 8}.{dead & 255}", "unknown")
                )
                mine = registrations([(NFS, 3)], transport, "127.0.0.1", 2049)
                await register(mine, it.where)
                found = it.portmapper.registry.find_version(NFS, 3, transport)
                assert found and found.address == ("127.0.0.1", 2049)
            # At the port that is ours now, nobody else can live: no question asked.
            mine = registrations([(NFS, 3)], "tcp", "0.0.0.0", 2049)
            await register(mine, it.where)
            assert [entry for entry in it.portmapper.registry.dump() if entry.program == NFS][-1][
                :4
            ] == mine[0][:4]

    run(test)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_living_servers_registration_is_not_replaced(run: Run, transport: str) -> None:
    async def test() -> None:
        nfs = RpcServer()
        add_services(nfs, Portmapper().registry)  # some program that answers
        port = nfs.listen(transport, "127.0.0.1")
        async with Running() as it:
            theirs = registrations([(100000, 9)], transport, "127.0.0.1", port)
            it.portmapper.add(theirs)
            # Something listens there, but version 9 it is not: stale.
            await register(registrations([(100000, 9)], transport, None, 5), it.where)
            for entry in registrations([(100000, 9)], transport, None, 5):
                it.portmapper.registry.unset(*entry.key[:2])
            both = registrations([(300000, 1)], transport, None, 6)
            it.portmapper.registry.unset(100000, 4)
            it.portmapper.add(registrations([(100000, 4)], transport, "127.0.0.1", port))
            mine = both + registrations([(100000, 4)], transport, "127.0.0.1", 7)
            with pytest.raises(RegistrationRefused, match="another server"):
                await register(mine, it.where)
            left = {entry[:4] for entry in it.portmapper.registry.dump()}
            assert not left & {entry[:4] for entry in mine}, "all or none"
            assert await unregister(mine, it.where) == 0, "what is another's now stays"
            assert await getport("127.0.0.1", 100000, 4, transport, port=it.port) == port
        await nfs.stop()

    run(test)


def test_no_portmapper(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
            port = taken.getsockname()[1]
            where = (str(tmp_path / "none"), "\0nobody-is-here", ("127.0.0.1", port))
            assert not await system_runs(where)
            with pytest.raises(NoPortmapper, match=r"no portmapper runs on this host.*@nobody"):
                await register(registrations([(NFS, 3)], "tcp", None, 2049), where)
            for transport in ("tcp", "udp"):
                with pytest.raises(NoPortmapper, match="no portmapper answers at 127"):
                    await getport("127.0.0.1", NFS, 3, transport, port=port, timeout=2)
            with pytest.raises(NoPortmapper):
                await dump("no-such-host.invalid", port=port)

    run(test)


def test_one_that_never_answers(run: Run) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            assert not await system_runs([("127.0.0.1", port)], timeout=0.2)
            with pytest.raises(NoPortmapper):
                await getport("127.0.0.1", NFS, 3, port=port, timeout=0.2)
            with (
                socket.socket(type=socket.SOCK_DGRAM) as hole,
                pytest.raises(NoPortmapper),
            ):
                hole.bind(("127.0.0.1", 0))
                port = hole.getsockname()[1]
                await getport("127.0.0.1", NFS, 3, "udp", port=port, timeout=0.3)

    run(test)


def test_a_lost_datagram_is_sent_again(run: Run) -> None:
    async def test() -> None:
        house = Portmapper()
        house.registry.set(Registration(NFS, 3, "udp", "0.0.0.0.8.1"))
        with socket.socket(type=socket.SOCK_DGRAM) as lossy:
            lossy.bind(("127.0.0.1", 0))
            lossy.setblocking(False)
            asking = asyncio.create_task(
                getport("127.0.0.1", NFS, 3, "udp", port=lossy.getsockname()[1], timeout=1.5)
            )
            while True:
                try:
                    lossy.recv(1000)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.01)
            house.server.listen_on([lossy.dup()])  # from the second one on it is answered
            assert await asking == 2049
        await house.stop()

    run(test)


def test_an_old_portmapper(run: Run) -> None:
    async def test() -> None:
        house = Portmapper()
        old = RpcServer()
        old.add(x.PMAP_VERS, Portmap2(Table(house.registry, time.time)))
        port = old.listen("tcp", "127.0.0.1")
        where = [("127.0.0.1", port)]
        async with system(where) as portmapper:
            assert portmapper.version == 2
            udp = registrations([(NFS, 3)], "udp", "0.0.0.0", 2049)
            stale = registrations([(NFS, 3)], "tcp", "0.0.0.0", 9)
            assert await portmapper.set(stale[0])
        mine = udp + registrations([(NFS, 3)], "tcp", "0.0.0.0", 2049)
        await register(mine, where)
        assert {entry[:4] for entry in house.registry.dump()} == {entry[:4] for entry in mine}
        assert await unregister(mine, where) == 2
        assert not len(house.registry)
        with pytest.raises(RegistrationRefused):
            await register([Registration(NFS, 3, "tcp6", "::.8.1")], where)
        await old.stop()

    run(test)


def test_the_next_place_is_asked(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        async with Running() as it:
            where = (str(tmp_path / "none"), *it.where)
            async with system(where) as portmapper:
                assert portmapper.name == f"127.0.0.1:{it.port}"
                assert portmapper.version == 4

    run(test)


def test_a_unix_socket(run: Run, tmp_path: Path) -> None:
    """rpcbind's own are in test_portmap_peers; here only the records through one, abstract or not.

    The server side is a relay, as RpcServer has no unix sockets.
    """

    async def test() -> None:
        async with Running() as it:

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                far, near = await asyncio.open_connection("127.0.0.1", it.port)

                async def pump(src: asyncio.StreamReader, dst: asyncio.StreamWriter) -> None:
                    while data := await src.read(7):
                        dst.write(data)
                    dst.close()

                await asyncio.gather(pump(reader, near), pump(far, writer))

            for place in (str(tmp_path / "sock"), f"\0nfsloop-test-{tmp_path}"):
                sock = socket.socket(socket.AF_UNIX)
                sock.bind(place)
                server = await asyncio.start_unix_server(relay, sock=sock)
                async with system([place]) as portmapper:
                    assert portmapper.name == place.replace("\0", "@")
                    assert len(await portmapper.dump()) == len(it.portmapper.registry)
                server.close()

    run(test)


def test_indirect_calls_over_udp_are_answered(run: Run) -> None:
    async def test() -> None:
        async with Running() as it:
            caller: RpcClient
            for transport in ("udp", "tcp"):
                caller = await connect(transport, "127.0.0.1", it.port)
                args = x.call_args(NFS, 3, 0, b"")
                with pytest.raises(ProcUnavail):
                    await x.PMAP_VERS_Client(caller).CALLIT(args, timeout=3)
                caller.close()

    run(test)
