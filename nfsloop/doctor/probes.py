"""A server looked at over the network, as a client that mounts would; each step in bounded time."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nfsloop.doctor.null import FAILED, Reach, null
from nfsloop.doctor.seen import (
    MOUNT_PROGRAM,
    MOUNT_VERSION,
    NFS_PROGRAM,
    NFS_VERSION,
    NLM_PROGRAM,
    NLM_VERSION,
    PORTMAP_PORT,
    PORTMAP_PROGRAM,
    Remote,
    Root,
)
from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nlm4.nlm4_xdr import (
    NLM4_DENIED_NOLOCKS,
    NLM4_VERS_Client,
    nlm4_lock,
    nlm4_testargs,
)
from oncrpc.client import ONCE, RpcClient, connect
from oncrpc.errors import RpcError
from oncrpc.message import AUTH_SYS, Credential
from portmap.client import RESERVED_PORTS, getport

T = TypeVar("T")
Progress = Callable[[str], None]

#: How many addresses of a name are tried, and exports if none is named.
ADDRESSES = 4
EXPORTS = 16
#: Source ports that are tried.
PORT_TRIES = 8

ACCESS_ALL = 0x3F


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """`function` in a thread that nobody waits for if this is cancelled: a resolver may hang."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, exc: BaseException | None) -> None:
        if done.done():
            return
        if exc is not None:
            done.set_exception(exc)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result: T | None = None
        wrong: BaseException | None = None
        try:
            result = function(*args)
        except Exception as exc:
            wrong = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, wrong)

    threading.Thread(target=body, daemon=True).start()
    return await done


async def look(seen: Remote, timeout: float, named: bool, say: Progress) -> None:
    """Fill in `seen`, of which host, path, port and the user are there already.

    `timeout` bounds each step, in seconds; `named` says that the port was named by the user.
    """
    say(f"looking up {seen.host}")
    await _resolve(seen, timeout)
    if not seen.addresses:
        return
    say(f"asking {seen.host} on ports {seen.port} and {PORTMAP_PORT}")
    await _reach(seen, timeout, named)
    if seen.nfs is None or not seen.nfs.answers:
        return
    say(f"asking the MOUNT service of {seen.host}")
    await _find_mountd(seen, timeout)
    if seen.mountd is None or not seen.mountd.answers:
        return
    try:
        async with asyncio.timeout(timeout):
            handle = await _mount(seen, timeout)
    except (OSError, RpcError) as exc:
        seen.mount_wrong = str(exc) or f"no answer in {timeout:g} s"
        return
    if handle is not None:
        say("looking at the directory")
        await asyncio.gather(_look_at(seen, handle, timeout), _locks(seen, handle, timeout))


async def _resolve(seen: Remote, timeout: float) -> None:
    def ask() -> list[str]:
        found = socket.getaddrinfo(seen.host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    try:
        async with asyncio.timeout(max(timeout, 10.0)):
            seen.addresses = (await in_thread(ask))[:ADDRESSES]
    except socket.gaierror as exc:
        seen.unresolved = f"The resolver says: {exc.strerror}."
    except TimeoutError:
        seen.unresolved = "The resolver does not answer: look at /etc/resolv.conf."
    except (OSError, UnicodeError) as exc:
        seen.unresolved = f"It cannot be one: {exc}."


async def _null(
    seen: Remote, address: str, port: int, transport: str, program: int, version: int, wait: float
) -> Reach:
    try:
        async with asyncio.timeout(wait + 1):
            return await in_thread(null, (address, port), transport, program, version, wait)
    except TimeoutError:
        return Reach(FAILED, text="no answer in time")


async def _reach(seen: Remote, wait: float, named: bool) -> None:
    """The address and the port where NFS answers, if any; what the portmapper says."""
    nfs, found = await asyncio.gather(
        asyncio.gather(*(
            _null(seen, one, seen.port, "tcp", NFS_PROGRAM, NFS_VERSION, wait)
            for one in seen.addresses
        )),
        asyncio.gather(*(
            _null(seen, one, PORTMAP_PORT, "tcp", PORTMAP_PROGRAM, 4 if ":" in one else 2, wait)
            for one in seen.addresses
        )),
    )  # fmt: skip
    seen.reaches = dict(zip(seen.addresses, nfs, strict=True))
    rpcbind = dict(zip(seen.addresses, found, strict=True))

    def rank(address: str) -> tuple[bool, bool, bool]:
        reach = seen.reaches[address]
        return reach.answers, rpcbind[address].answers, reach.there or rpcbind[address].there

    best = max(seen.addresses, key=rank)  # the first of equals
    seen.address, seen.rpcbind = best, rpcbind[best]
    seen.nfs, seen.nfs_port = seen.reaches[best], seen.port
    if not seen.nfs.answers:
        seen.udp = await _null(seen, best, seen.port, "udp", NFS_PROGRAM, NFS_VERSION, wait)
    if seen.rpcbind.answers:
        await _ask_portmapper(seen, wait)
        there = seen.nfs_registered
        if there and there != seen.port:
            reach = await _null(seen, best, there, "tcp", NFS_PROGRAM, NFS_VERSION, wait)
            seen.at_registered = reach
            if reach.answers and not (named and seen.nfs.answers):
                seen.nfs, seen.nfs_port = reach, there


async def _ask_portmapper(seen: Remote, wait: float) -> None:
    wanted = (
        (NFS_PROGRAM, NFS_VERSION),
        (MOUNT_PROGRAM, MOUNT_VERSION),
        (NLM_PROGRAM, NLM_VERSION),
    )
    try:
        ports = await asyncio.gather(
            *(getport(seen.address, *program, timeout=wait) for program in wanted)
        )
    except (OSError, RpcError, ValueError) as exc:  # ValueError: an answer that is no address
        seen.rpcbind_wrong = str(exc)
        return
    seen.nfs_registered, seen.mount_registered, seen.nlm_registered = ports


async def _find_mountd(seen: Remote, wait: float) -> None:
    """MOUNT where it is registered; otherwise on the port of NFS, as servers like ours have it."""
    ports = list(dict.fromkeys(port for port in (seen.mount_registered, seen.nfs_port) if port))
    reaches = await asyncio.gather(
        *(_null(seen, seen.address, port, "tcp", MOUNT_PROGRAM, MOUNT_VERSION, wait)
          for port in ports)
    )  # fmt: skip
    both = list(zip(ports, reaches, strict=True))
    seen.mount_port, seen.mountd = next((one for one in both if one[1].answers), both[0])


def _user(seen: Remote) -> Credential:
    return Credential(AUTH_SYS, seen.uid, seen.gid, seen.groups[:16], b"nfsloop-doctor")


async def dial(address: str, port: int, credential: Credential) -> tuple[RpcClient, bool]:
    """A connection, and whether it comes from a reserved port: root's does. Raises OSError."""
    wildcard = "::" if ":" in address else "0.0.0.0"
    for reserved in random.sample(RESERVED_PORTS, PORT_TRIES):
        try:
            source = (wildcard, reserved)
            return await connect("tcp", address, port, credential, source, retry=ONCE), True
        except OSError as exc:
            if exc.errno in {errno.EACCES, errno.EPERM}:
                break
            if exc.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                raise
    return await connect("tcp", address, port, credential, retry=ONCE), False


async def _mount(seen: Remote, wait: float) -> bytes | None:
    """The list of exports, and the handle of what is to be mounted. Raises OSError, RpcError."""
    client, seen.reserved = await dial(seen.address, seen.mount_port, _user(seen))
    try:
        seen.here = str(client.local[0]).removeprefix("::ffff:")
        mountd = MOUNT_V3_Client(client)
        try:
            nodes = await mountd.EXPORT(timeout=wait)
            seen.exports = [
                (os.fsdecode(node.ex_dir), [os.fsdecode(one.gr_name) for one in node.ex_groups])
                for node in nodes
            ]
        except RpcError:  # it may be kept from strangers; MNT tells more
            pass
        paths = [seen.path] if seen.path else [path for path, _ in seen.exports or ()][:EXPORTS]
        for path in paths:
            answer = await mountd.MNT(os.fsencode(path), timeout=wait)
            if not seen.tried or answer.fhs_status == 0:
                seen.tried, seen.status = path, answer.fhs_status.name
            if answer.fhs_status == 0:
                await _forget(mountd, path, seen, wait)
                return bytes(answer.mountinfo.fhandle)
    finally:
        client.close()
    return None


async def _forget(mountd: MOUNT_V3_Client, path: str, seen: Remote, wait: float) -> None:
    """Off the server's list again, if this machine has not really mounted it."""
    from nfsloop.doctor.local import mounts

    ours = {one.source.rpartition(":")[2] for one in mounts()}
    if path not in ours:
        await mountd.UMNT(os.fsencode(path), timeout=wait)


async def _look_at(seen: Remote, handle: bytes, wait: float) -> None:
    seen.root = root = Root()
    try:
        async with asyncio.timeout(wait):
            client, _ = await dial(seen.address, seen.nfs_port, _user(seen))
            try:
                await _ask_root(x.NFS_V3_Client(client), handle, root, wait)
            finally:
                client.close()
    except (OSError, RpcError) as exc:
        root.wrong = str(exc) or f"no answer in {wait:g} s"


async def _ask_root(nfs: x.NFS_V3_Client, handle: bytes, root: Root, wait: float) -> None:
    info = await nfs.FSINFO(x.FSINFO3args(handle), timeout=wait)
    if info.status != x.NFS3_OK:
        root.wrong = f"{info.status.name} to FSINFO"
        return
    root.rtmax, root.wtmax = info.resok.rtmax, info.resok.wtmax
    attr: Any = (await nfs.GETATTR(x.GETATTR3args(handle), timeout=wait)).value
    access = await nfs.ACCESS(x.ACCESS3args(handle, ACCESS_ALL), timeout=wait)
    if access.status != x.NFS3_OK or attr is None:
        root.wrong = f"{access.status.name} to ACCESS"
        return
    found = attr.obj_attributes
    root.mode, root.uid, root.gid = found.mode, found.uid, found.gid
    root.access = access.resok.access


async def _locks(seen: Remote, handle: bytes, wait: float) -> None:
    """Whether there are locks: TEST asks for none."""
    port = seen.nlm_registered or seen.nfs_port
    lock = nlm4_lock(b"nfsloop-doctor", handle, b"doctor", os.getpid(), 0, 1)
    seen.locks = "missing"

    async def ask() -> None:
        client, _ = await dial(seen.address, port, _user(seen))
        try:
            nlm = NLM4_VERS_Client(client)
            answer = await nlm.TEST(nlm4_testargs(b"doctor", False, lock), timeout=wait)
            refused = answer.stat.stat == NLM4_DENIED_NOLOCKS
            seen.locks = "refused" if refused else "works"
        finally:
            client.close()

    await _quietly(ask(), wait)


async def _quietly(waits: Awaitable[None], wait: float) -> None:
    try:
        async with asyncio.timeout(wait):
            await waits
    except (OSError, RpcError):
        pass
