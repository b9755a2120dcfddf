"""How clients find the server's ports: the system's rpcbind, our own portmapper, or neither."""

from __future__ import annotations

from nfsloop.config import Settings
from oncrpc.server import RpcServer


class Rpcbind:
    found = False

    def __init__(self, server: RpcServer, settings: Settings, port: int) -> None:
        pass

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def describe(self) -> str:
        return "no portmapper"
