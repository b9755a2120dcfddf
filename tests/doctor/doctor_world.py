"""Two machines with a link between them, and on one of them everything that can be wrong.

Network namespaces: the client is 10.9.8.1, servers are 10.9.8.2 and more addresses beside it, each
with its own fault on ports 111 and 2049. What runs in a namespace is a thread of this process that
has entered it, or a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
import threading
from collections.abc import Callable, Container, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nfsloop"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "portmap"))

from portmap_ns import Namespace

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.errors import AuthError, AuthStat, ProgMismatch, ProgUnavail, Refusal
from oncrpc.message import refusal
from oncrpc.record import mark
from oncrpc.server import RpcServer
from portmap.client import registrations
from portmap.server import Portmapper

CLONE_NEWNET = 0x40000000
SYS_SETRESUID = 117  # x86-64: of the calling thread alone, which glibc's is not
NOBODY = 65534
SERVER = "10.9.8.2"
T = TypeVar("T")
libc = ctypes.CDLL(None, use_errno=True)


def inside(namespace: Namespace | None, function: Callable[[], T], user: int = 0) -> T:
    """`function()` in a thread that has entered the namespace, as `user`."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            _enter(namespace)
            if user and libc.syscall(SYS_SETRESUID, user, user, user) != 0:
                raise OSError(ctypes.get_errno(), "setresuid")
            outcome.append(function())
        except BaseException as error:  # raised in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(40)
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(namespace: Namespace | None) -> None:
    if namespace is not None:
        with open(f"/proc/{namespace.pid}/ns/net", "rb") as ns:
            if libc.setns(ns.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


class Loop:
    """An event loop in a thread that has entered a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._body, args=(namespace,))
        self._thread.start()
        self._ready.wait(10)

    def _body(self, namespace: Namespace) -> None:
        _enter(namespace)
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()

    def run(self, waits: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(waits, self._loop).result(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


# Servers with one fault each


class Null(x.NFS_V3_Service):
    """NFS that answers NULL, and knows no handle."""

    async def FSINFO(self, call: Any, args: Any) -> x.FSINFO3res:
        return x.FSINFO3res(x.NFS3ERR_STALE, x.FSINFO3resfail(None))


class Mountd(m.MOUNT_V3_Service):
    """MOUNT with these exports, whose MNT has one answer."""

    def __init__(
        self, exports: list[str], status: m.mountstat3, closed: Container[bytes] = ()
    ) -> None:
        self._exports = exports
        self._status = status
        self._closed = closed
        self.unmounted: list[bytes] = []

    async def EXPORT(self, call: Any, args: None) -> list[m.exportnode]:
        return [m.exportnode(path.encode(), []) for path in self._exports]

    async def MNT(self, call: Any, args: bytes) -> m.mountres3:
        if args in self._closed:
            return m.mountres3(m.MNT3ERR_ACCES)
        if self._status == m.MNT3_OK:
            return m.mountres3(m.MNT3_OK, m.mountres3_ok(b"handle", [1]))
        return m.mountres3(self._status)

    async def UMNT(self, call: Any, args: bytes) -> None:
        self.unmounted.append(args)


class Hanging(Mountd):
    """MOUNT of which MNT alone answers."""

    async def EXPORT(self, call: Any, args: None) -> list[m.exportnode]:
        await asyncio.sleep(60)
        return []

    async def UMNT(self, call: Any, args: bytes) -> None:
        await asyncio.sleep(60)


class Weak(Null):
    """NFS that wants Kerberos."""

    async def FSINFO(self, call: Any, args: Any) -> x.FSINFO3res:
        raise AuthError(AuthStat.TOOWEAK)


class World:
    """Both machines. Faults are made by its methods; what they start ends with `close`."""

    def __init__(self, client: Namespace, server: Namespace) -> None:
        self.client = client
        self.server = server
        #: Below which the exports of the real server are.
        self.place = ""
        self.loop = Loop(server)
        self._stops: list[Callable[[], object]] = []
        self._number = 10

    def close(self) -> None:
        for stop in reversed(self._stops):
            with contextlib.suppress(OSError):
                stop()
        self.loop.close()

    def address(self) -> str:
        """A new address of the server's machine."""
        self._number += 1
        address = f"10.9.8.{self._number}"
        self.server.run("ip", "address", "add", f"{address}/24", "dev", "nl1")
        return address

    def silent(self) -> str:
        """An address from which nothing comes back: a card that no machine on the link has."""
        card = ("lladdr", "02:00:00:00:00:99", "dev", "nl0")
        self.client.run("ip", "neighbour", "replace", "10.9.8.99", *card)
        return "10.9.8.99"

    def unreachable(self) -> str:
        """An address that the client's machine has no way to."""
        self.client.run("ip", "route", "replace", "unreachable", "10.7.7.7")
        return "10.7.7.7"

    def nfs(
        self,
        address: str,
        mountd: Mountd | None = None,
        port: int = 2049,
        transport: str = "tcp",
        nfs: Null | None = None,
    ) -> str:
        """NFS (and MOUNT) of the runtime's own server."""

        async def start() -> None:
            rpc = RpcServer()
            rpc.add(x.NFS_V3, nfs or Null())
            if mountd is not None:
                rpc.add(m.MOUNT_V3, mountd)
            rpc.listen(transport, address, port)
            self._stops.append(lambda: self.loop.run(rpc.stop(0.1)))

        self.loop.run(start())
        return address

    def portmapper(self, address: str, nfs: int = 0, mountd: int = 0) -> str:
        """A portmapper that tells these ports; 0: not registered."""

        async def start() -> None:
            own = Portmapper()
            own.listen(address)
            for program, port in ((100003, nfs), (100005, mountd)):
                if port:
                    own.add(registrations([(program, 3)], "tcp", address, port))
            self._stops.append(lambda: self.loop.run(own.stop()))

        self.loop.run(start())
        return address

    def answering(self, address: str, port: int, answer: Callable[[int], bytes] | None) -> str:
        """What takes connections, reads, and writes what `answer` makes of an xid. None: a socket
        that nobody accepts from."""

        def listen() -> socket.socket:
            return socket.create_server((address, port))

        listener = inside(self.server, listen)
        self._stops.append(listener.close)
        if answer is None:
            return address

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.settimeout(5)
                        data = peer.recv(4096)
                        peer.sendall(answer(struct.unpack_from(">I", data, 4)[0]))

        thread = threading.Thread(target=serve, daemon=True)
        self._stops.append(lambda: listener.shutdown(socket.SHUT_RDWR))
        thread.start()
        return address

    def lying(self, address: str, port: int) -> str:
        """A portmapper that answers this port to everything."""

        def answer(xid: int) -> bytes:
            record = struct.pack(">7I", xid, 1, 0, 0, 0, 0, port)
            return mark(len(record)) + record

        return self.answering(address, 111, answer)

    def refusing(self, address: str, why: Refusal) -> str:
        """What refuses every call on port 2049."""

        def answer(xid: int) -> bytes:
            record = refusal(xid, why)
            return mark(len(record)) + record

        return self.answering(address, 2049, answer)

    @contextlib.contextmanager
    def rejecting(self, *what: str) -> Iterator[None]:
        """As a firewall that answers for the server's machine: EHOSTUNREACH."""
        rule = ("to", "10.9.8.0/24", *what, "pref", "1", "unreachable")
        self.client.run("ip", "rule", "add", *rule)
        try:
            yield
        finally:
            self.client.run("ip", "rule", "del", *rule)

    @contextlib.contextmanager
    def dropping(self, *what: str) -> Iterator[None]:
        """As a firewall of the server's machine: what it would send, or answer, is dropped."""
        rule = ("to", "10.9.8.1", *what, "pref", "1", "blackhole")
        self.server.run("ip", "rule", "add", *rule)
        try:
            yield
        finally:
            self.server.run("ip", "rule", "del", *rule)


VERSION_4_ONLY = ProgMismatch(4, 4)
NO_NFS = ProgUnavail()
TOO_WEAK = AuthError(AuthStat.TOOWEAK)
BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
