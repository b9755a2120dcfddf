"""NFS and MOUNT over UDP, which no kernel here speaks: the project's own client, and rpcinfo."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import directory_of, nfsloop

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc import loop
from oncrpc.client import connected

from .own_client import ME, session

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


def serve(place: Path, host: str, export: str) -> list[str]:
    where = ["--host", host, "--port", "0", "--rpcbind", "none", "--state", str(place / "state")]
    return ["serve", *where, "-o", "no_root_squash,insecure", export]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("storage", ["posix", "memory"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_peer_own_client_calls_every_procedure(
    place: Path, transport: str, storage: str, host: str
) -> None:
    """All 21, and MOUNT and NLM; READ and WRITE of as much as FSINFO allows (32 KiB over UDP)."""
    export = str(place / "export") if storage == "posix" else "memory:"
    with nfsloop(*serve(place, host, export)) as server:
        called = loop.run(session(transport, host, server.port, "/"))
        assert len(called) == 21
        assert server.stop() == 0
        assert "WARNING" not in server.stderr() and "ERROR" not in server.stderr()


def test_peer_udp_reads_32_kib(place: Path) -> None:
    """A megabyte, two replies of the largest size outstanding: more may not fit the client's
    socket, and what is lost is not asked for again here."""
    data = os.urandom(32768 * 32)
    (place / "export" / "f").write_bytes(data)

    async def main(port: int) -> None:
        async with connected("udp", "127.0.0.1", port, ME) as rpc:
            root = (await m.MOUNT_V3_Client(rpc).MNT(b"/", timeout=5)).mountinfo.fhandle
            nfs = x.NFS_V3_Client(rpc)
            what = x.LOOKUP3args(x.diropargs3(root, b"f"))
            file = (await nfs.LOOKUP(what, timeout=5)).resok.object
            for at in range(0, len(data), 65536):
                asks = [
                    nfs.READ(x.READ3args(file, at + more, 65536), timeout=5) for more in (0, 32768)
                ]
                got = b"".join([bytes(r.resok.data) for r in await asyncio.gather(*asks)])
                assert got == data[at : at + 65536]

    with nfsloop(*serve(place, "127.0.0.1", str(place / "export"))) as server:
        loop.run(main(server.port))
        assert server.stop() == 0
