"""One seed from its plan to its verdict."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sim_client import PROCS, Client
from sim_model import Inode
from sim_plan import HARD, plan_of
from sim_storage import Directory, Disk, Storage
from sim_world import EPOCH, PORT, SERVER, Bugs, Violation, World, credential

from backends.base import FileType
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.client import RpcClient, connect
from oncrpc.testing import Faults, Network, simulate

BACKENDS = ("memory", "posix")
#: Virtual seconds that a history may take.
HISTORY_SECONDS = 3600.0
CALM = Faults(delay_seconds=(0.0005, 0.002))


def run_seed(
    seed: int, backend: str = "memory", bugs: Bugs | None = None, waits: float = 0.0
) -> World:
    """Run one history; what it was in, to be looked at. Raises Violation, whose text ends with the
    trace."""
    worlds: list[World] = []
    plan = plan_of(seed, waits)

    async def main(net: Network) -> None:
        if backend == "memory":
            clock = lambda: EPOCH * 10**9 + int(net.loop.time() * 1e9)  # noqa: E731
            storage: Storage = Disk(random.Random(f"disk {seed}"), clock)
        else:
            rng = random.Random(f"executor {seed}")
            slow = lambda: rng.uniform(0.001, 0.5) if rng.random() < plan.slow else 0.0  # noqa: E731
            storage = Directory(net.loop, slow)
        try:
            worlds.append(World(net, plan, storage, bugs or Bugs()))
            await _history(worlds[0])
        finally:
            storage.close()

    try:
        simulate(main, seed, plan.faults)
    except Exception as exc:
        kind = str(exc) if isinstance(exc, Violation) else f"{type(exc).__name__}: {exc}"
        lines = worlds[0].net.describe() if worlds else []
        raise Violation("\n".join([f"seed {seed} on {backend}: {kind}", *lines])) from exc
    return worlds[0]


async def _history(world: World) -> None:
    net = world.net
    transports = world.plan.transports
    dirs = [b"shared", *(b"own%d" % number for number in range(len(transports)))]
    shared, *owns = await world.host.task(world.prepare(dirs))
    clients = [
        Client(world, number, transport, own, shared)
        for number, (transport, own) in enumerate(zip(transports, owns, strict=True))
    ]
    await _all(world, [client.host.task(client.run()) for client in clients])
    net.faults = CALM
    if not world.violation:
        await _all(world, [client.host.task(client.finish()) for client in clients])
        world.crash_now()
        await world.boot()
        await _all(world, [net.host("10.0.9.9").task(_compare(world, clients))])
    if world.violation:
        raise Violation(world.violation)


async def _all(world: World, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the programs, and start the server again whenever it died."""
    crashed = asyncio.ensure_future(world.crashed.wait())
    latest = world.net.loop.time() + HISTORY_SECONDS
    waits: set[asyncio.Future[Any]] = set(tasks)
    while waits and not world.violation:
        done, _ = await asyncio.wait(
            {*waits, crashed}, timeout=5.0, return_when=asyncio.FIRST_COMPLETED
        )
        if crashed in done:
            await asyncio.sleep(world.downtime)
            await world.boot()
            crashed = asyncio.ensure_future(world.crashed.wait())
        for task in done & waits:
            task.result()
        waits -= done
        if world.net.loop.time() > latest:
            world.fail("a program does not come to its end")
    crashed.cancel()


async def _compare(world: World, clients: list[Client]) -> None:
    """Read the whole tree through NFS; compare it with the model and with each client's view."""
    xids = random.Random(world.net.seed)
    rpc = await connect("tcp", SERVER, PORT, credential(b"end"), retry=HARD, xid_source=xids)
    found: dict[bytes, Any] = {}
    await _walk(world, rpc, world.model.root, found)
    for handle in world.model.gone:
        res = await rpc.call(x.NFS_V3, PROCS["GETATTR"], x.GETATTR3args(handle))
        if res.status != x.NFS3ERR_STALE:
            world.fail(f"the handle of a removed file gives {res.status.name}")
    for client in clients:
        for node in client.view.files():
            if node.kind is FileType.REG and found.get(node.handle) != node.data:
                was, now = bytes(node.data), found.get(node.handle)
                world.fail(f"client {client.number} wrote {was!r}, and {now!r} is there")
        mine = [line[0] for line in client.view.fingerprint()]
        missing = [handle for handle in mine if handle not in found]
        if missing:
            world.fail(f"client {client.number} misses {len(missing)} files")
    rpc.close()


async def _walk(world: World, rpc: RpcClient, dir: Inode, found: dict[bytes, Any]) -> None:
    found[dir.handle] = b""
    args = x.READDIRPLUS3args(dir.handle, 0, bytes(8), 8192, 32768)
    res = await rpc.call(x.NFS_V3, PROCS["READDIRPLUS"], args)
    if res.status != x.NFS3_OK:
        world.fail(f"READDIRPLUS of a directory gives {res.status.name}")
        return
    entries = [e for e in res.value.reply.entries if e.name not in {b".", b".."}]
    if sorted(entry.name for entry in entries) != sorted(dir.entries):
        world.fail(f"the names {[e.name for e in entries]} are not {list(dir.entries)}")
        return
    for entry in entries:
        node = dir.entries[entry.name]
        wrong = _attributes_differ(entry, node)
        if wrong:
            world.fail(f"{entry.name!r}: {wrong}")
        if node.handle in found:
            continue
        if node.kind is FileType.DIR:
            await _walk(world, rpc, node, found)
        elif node.kind is FileType.REG:
            got = await rpc.call(x.NFS_V3, PROCS["READ"], x.READ3args(node.handle, 0, 65536))
            data = bytes(got.value.data) if got.status == x.NFS3_OK else got.status.name
            found[node.handle] = data
            if data != node.data:
                world.fail(f"{entry.name!r} holds {data!r}, not {bytes(node.data)!r}")
        else:
            got = await rpc.call(x.NFS_V3, PROCS["READLINK"], x.READLINK3args(node.handle))
            found[node.handle] = b""
            if got.status != x.NFS3_OK or got.value.data != node.target:
                world.fail(f"{entry.name!r} is no link to {node.target!r}")


def _attributes_differ(entry: x.entryplus3, node: Inode) -> str | None:
    attr = entry.name_attributes
    if entry.name_handle != node.handle:
        return "its handle is another's"
    assert isinstance(attr, x.fattr3)
    if int(attr.type) != int(node.kind):
        return f"a {attr.type.name}, not a {node.kind.name}"
    if node.kind is not FileType.DIR and attr.nlink != node.nlink:
        return f"{attr.nlink} links, not {node.nlink}"
    if node.kind is FileType.REG and attr.size != len(node.data):
        return f"{attr.size} bytes, not {len(node.data)}"
    if node.mode is not None and attr.mode != node.mode:
        return f"mode {attr.mode:o}, not {node.mode:o}"
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """No log and no garbage collection while many seeds run."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    enabled = gc.isenabled()
    gc.disable()
    frozen = gc.get_freeze_count()  # by tests/conftest.py
    gc.freeze()  # what is there already need not be looked through each time
    try:
        yield
    finally:
        logging.disable(level)
        if not frozen:
            gc.unfreeze()
        if enabled:
            gc.enable()


def run_seeds(first: int, count: int, backend: str = "memory", waits: float = 0.0) -> list[str]:
    """Run `count` seeds from `first` on; the violations found."""
    found: list[str] = []
    with quiet():
        for seed in range(first, first + count):
            try:
                run_seed(seed, backend, waits=waits)
            except Violation as exc:
                found.append(str(exc))
            if not seed % 20:
                gc.collect()
    return found
