"""A server looked at over the network, as a client that mounts would; each step in bounded time."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
    PORTMAP_VERSION,
    RPCBIND_VERSION,
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
from oncrpc.client import RpcClient
from oncrpc.errors import AuthError, RpcError
from oncrpc.message import AUTH_SYS, Credential
from portmap.client import connect_reserved, getport, with_scope

T = TypeVar("T")
Progress = Callable[[str], None]

#: How many addresses of a name are tried, and exports if none is named.
ADDRESSES = 4
EXPORTS = 16

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


async def look(seen: Remote, timeout: float, say: Progress) -> None:
    """Fill in `seen`, of which host, path, ports and the user are there already.

    `timeout` bounds each step, in seconds.
    """
    say(f"looking up {seen.host}")
    await _resolve(seen, timeout)
    if not seen.addresses:
        return
    say(f"asking {seen.host} on ports {seen.port} and {PORTMAP_PORT}")
    await _reach(seen, timeout)
    if seen.nfs is None or not seen.nfs.answers:
        return
    say(f"asking the MOUNT service of {seen.host}")
    await _find_mountd(seen, timeout)
    if seen.mountd is None or not seen.mountd.answers:
        return
    if seen.path is None:
        await _list(seen, timeout)
        handle = await _mount(seen, timeout)
    else:
        handle, _ = await asyncio.gather(_mount(seen, timeout), _list(seen, timeout))
    if handle is not None:
        say("looking at the directory")
        await asyncio.gather(_look_at(seen, handle, timeout), _locks(seen, handle, timeout))


async def _resolve(seen: Remote, timeout: float) -> None:
    def ask() -> list[str]:
        found = socket.getaddrinfo(seen.host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(with_scope(address) for *_, address in found))

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
    address: str, port: int, program: int, version: int, wait: float, transport: str = "tcp"
) -> Reach:
    def call() -> Reach:
        try:
            (*_, place), *_ = socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST)
        except (OSError, OverflowError) as exc:
            return Reach(FAILED, text=str(exc))
        return null(place, transport, program, version, wait)

    try:
        async with asyncio.timeout(wait + 1):
            return await in_thread(call)
    except TimeoutError:
        return Reach(FAILED, text="no answer in time")


async def _portmap(address: str, port: int, wait: float) -> Reach:
    version = RPCBIND_VERSION if ":" in address else PORTMAP_VERSION
    return await _null(address, port, PORTMAP_PROGRAM, version, wait)


async def _reach(seen: Remote, wait: float) -> None:
    """The address and the port where NFS answers, if any; what the portmapper says."""
    nfs, found = await asyncio.gather(
        asyncio.gather(
            *(_null(one, seen.port, NFS_PROGRAM, NFS_VERSION, wait) for one in seen.addresses)
        ),
        asyncio.gather(*(_portmap(one, PORTMAP_PORT, wait) for one in seen.addresses)),
    )
    seen.reaches = dict(zip(seen.addresses, nfs, strict=True))
    rpcbind = dict(zip(seen.addresses, found, strict=True))

    def rank(address: str) -> tuple[bool, bool, bool]:
        reach = seen.reaches[address]
        return reach.answers, rpcbind[address].answers, reach.there or rpcbind[address].there

    best = max(seen.addresses, key=rank)  # the first of equals
    seen.address, seen.rpcbind = best, rpcbind[best]
    seen.nfs, seen.nfs_port = seen.reaches[best], seen.port
    if not seen.nfs.answers:
        seen.udp = await _null(best, seen.port, NFS_PROGRAM, NFS_VERSION, wait, "udp")
    if seen.rpcbind.answers:
        await _ask_portmapper(seen, wait)
        there = seen.nfs_registered
        if there and there != seen.port:
            seen.at_registered = await _null(best, there, NFS_PROGRAM, NFS_VERSION, wait)
            if seen.at_registered.answers and not (seen.named and seen.nfs.answers):
                seen.nfs, seen.nfs_port = seen.at_registered, there
    elif seen.nfs.answers:
        seen.rpcbind_at_nfs = (await _portmap(best, seen.nfs_port, wait)).answers


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


def own(seen: Remote) -> bool:
    """Whether the portmapper tells of this server: others on the machine may be registered."""
    return seen.nfs_registered == seen.nfs_port


async def _find_mountd(seen: Remote, wait: float) -> None:
    """MOUNT at the port that is named, or registered; otherwise on the port of NFS, as servers like
    ours have it."""
    places = [seen.nfs_port, seen.mount_registered]
    if own(seen):
        places.reverse()
    ports = list(dict.fromkeys(filter(None, [seen.mount_named] if seen.mount_named else places)))
    reaches = await asyncio.gather(
        *(_null(seen.address, port, MOUNT_PROGRAM, MOUNT_VERSION, wait) for port in ports)
    )
    both = list(zip(ports, reaches, strict=True))
    seen.mount_port, seen.mountd = next((one for one in both if one[1].answers), both[0])


def _user(seen: Remote) -> Credential:
    return Credential(AUTH_SYS, seen.uid, seen.gid, seen.groups[:16], b"nfsloop-doctor")


@asynccontextmanager
async def _dialed(seen: Remote, port: int) -> AsyncIterator[RpcClient]:
    client, seen.reserved = await connect_reserved(seen.address, port, _user(seen))
    try:
        yield client
    finally:
        client.close()


async def _list(seen: Remote, wait: float) -> None:
    """The list of exports. It may be kept from strangers, or be too long; MNT tells more."""

    async def ask() -> None:
        async with _dialed(seen, seen.mount_port) as client:
            nodes = await MOUNT_V3_Client(client).EXPORT()
        seen.exports = [
            (os.fsdecode(node.ex_dir), [os.fsdecode(one.gr_name) for one in node.ex_groups])
            for node in nodes
        ]

    await _trying(ask(), wait)


async def _mount(seen: Remote, wait: float) -> bytes | None:
    """The handle of what is to be mounted: if that is not said, of the first export that can be."""
    if seen.path is not None:
        paths = [seen.path]
    else:
        paths = ["/"] if seen.exports is None else [path for path, _ in seen.exports][:EXPORTS]
    handle: bytes | None = None

    async def ask() -> None:
        nonlocal handle
        async with _dialed(seen, seen.mount_port) as client:
            seen.here = str(client.local[0]).removeprefix("::ffff:").partition("%")[0]
            mountd = MOUNT_V3_Client(client)
            for path in paths:
                answer = await mountd.MNT(os.fsencode(path))
                if not seen.tried or answer.fhs_status == 0:
                    seen.tried, seen.status = path, answer.fhs_status.name
                if answer.fhs_status == 0:
                    seen.flavors = tuple(answer.mountinfo.auth_flavors)
                    handle = bytes(answer.mountinfo.fhandle)
                    return

    seen.mount_wrong = await _trying(ask(), wait)
    if handle is not None:
        await _trying(_forget(seen), wait)
    return handle


async def _forget(seen: Remote) -> None:
    """Off the server's list again, if this machine has not really mounted it."""
    from nfsloop.doctor.local import mounts

    if seen.tried not in {one.path for one in mounts()}:
        async with _dialed(seen, seen.mount_port) as client:
            await MOUNT_V3_Client(client).UMNT(os.fsencode(seen.tried))


async def _look_at(seen: Remote, handle: bytes, wait: float) -> None:
    root = seen.root = Root()

    async def ask() -> None:
        async with _dialed(seen, seen.nfs_port) as client:
            await _ask_root(x.NFS_V3_Client(client), handle, root)

    root.wrong = await _trying(ask(), wait) or root.wrong
    if not root.wrong:
        root.call = ""


async def _ask_root(nfs: x.NFS_V3_Client, handle: bytes, root: Root) -> None:
    root.call = "FSINFO"
    info = await nfs.FSINFO(x.FSINFO3args(handle))
    if info.status != x.NFS3_OK:
        root.wrong = info.status.name
        return
    root.rtmax, root.wtmax = info.resok.rtmax, info.resok.wtmax
    root.call = "GETATTR"
    attributes = await nfs.GETATTR(x.GETATTR3args(handle))
    if attributes.status != x.NFS3_OK:
        root.wrong = attributes.status.name
        return
    found: Any = attributes.resok.obj_attributes
    root.mode, root.uid, root.gid = found.mode, found.uid, found.gid
    root.call = "ACCESS"
    access = await nfs.ACCESS(x.ACCESS3args(handle, ACCESS_ALL))
    if access.status != x.NFS3_OK:
        root.wrong = access.status.name
        return
    root.access = access.resok.access


async def _locks(seen: Remote, handle: bytes, wait: float) -> None:
    """Whether there are locks: TEST asks for none."""
    port = (seen.nlm_registered if own(seen) else 0) or seen.nfs_port
    lock = nlm4_lock(b"nfsloop-doctor", handle, b"doctor", os.getpid(), 0, 1)
    seen.locks = "missing"

    async def ask() -> None:
        async with _dialed(seen, port) as client:
            answer = await NLM4_VERS_Client(client).TEST(nlm4_testargs(b"doctor", False, lock))
        refused = answer.stat.stat == NLM4_DENIED_NOLOCKS
        seen.locks = "refused" if refused else "works"

    await _trying(ask(), wait)


async def _trying(waits: Awaitable[None], wait: float) -> str:
    """What it fails with within `wait` seconds; empty if it does not."""
    try:
        async with asyncio.timeout(wait):
            await waits
    except AuthError as exc:
        return getattr(exc.stat, "name", str(exc.stat))
    except TimeoutError:
        return f"no answer in {wait:g} s"
    except (OSError, RpcError) as exc:
        return str(exc) or type(exc).__name__
    return ""
