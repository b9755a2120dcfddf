"""Faults planted in the server and in its storage: the simulator must find each of them."""

from __future__ import annotations

from sim_storage import Disk
from sim_world import Bugs, World

from backends.base import Backend, Context, Key, Stable, Wcc, Written
from nfsloop.handle import FileHandles
from oncrpc.call import Once, Peer
from oncrpc.drc import DuplicateRequestCache
from oncrpc.program import ProcFlag, Program
from oncrpc.ring import Ring
from oncrpc.xdr import Buffer


class NoCache(Bugs):
    """No duplicate request cache."""

    def cache(self, ring: Ring, world: World) -> DuplicateRequestCache | None:
        return None


class PortInKey(Bugs):
    """A call from another port is another call."""

    def cache(self, ring: Ring, world: World) -> DuplicateRequestCache | None:
        class Cache(DuplicateRequestCache):
            def key(self, peer: Peer, record: Buffer, pos: int, bulk: bool) -> bytes:
                return super().key(
                    peer._replace(host=f"{peer.host}.{peer.port}"), record, pos, bulk
                )

        return Cache(ring, clock=world.clock)


class CommitWithoutFsync(Bugs):
    """COMMIT answers, and nothing is safer than before."""

    def backend(self, backend: Backend, world: World) -> Backend:
        async def commit(ctx: Context, key: Key, offset: int, count: int) -> Wcc:
            attr = await backend.getattr(ctx, key)
            return Wcc(attr, attr)

        backend.commit = commit  # type: ignore[method-assign]
        return backend


class SyncedWriteIsNot(Bugs):
    """A WRITE that asks for FILE_SYNC or DATA_SYNC gets what UNSTABLE does."""

    def backend(self, backend: Backend, world: World) -> Backend:
        assert isinstance(backend, Disk)
        write = type(backend).write

        async def unsafe(
            ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
        ) -> Written:
            done = await write(backend, ctx, key, offset, data, Stable.UNSTABLE)
            done.stable = stable
            return done

        backend.write = unsafe  # type: ignore[method-assign]
        return backend


class ConstantVerifier(Bugs):
    """The write verifier survives a crash."""

    def backend(self, backend: Backend, world: World) -> Backend:
        backend.verifier = bytes(8)
        return backend


class RingForgotten(Bugs):
    """After a crash the cache begins anew: its records are not read."""

    def ring(self, ring: bytearray) -> bytearray:
        return bytearray(len(ring))


class NoRecovery(Bugs):
    """A call that a crash cut off is taken for one that did not take place."""

    async def settle(self, world: World, reply: bytes | None) -> bytes | None:
        return None


class NoIntent(Bugs):
    """No record of an intent is written."""

    def cache(self, ring: Ring, world: World) -> DuplicateRequestCache | None:
        class Cache(DuplicateRequestCache):
            def intend(self, once: Once, host: str, message: bytes, facts: bytes) -> None:
                pass

        return Cache(ring, clock=world.clock)


class WriteNotKept(Bugs):
    """The replies of WRITE are not kept."""

    def program(self, program: Program) -> Program:
        return program.flagged({"WRITE": ProcFlag.MUTATES | ProcFlag.BULK})


class RemoveRemovesNothing(Bugs):
    """REMOVE answers, and the name stays."""

    def backend(self, backend: Backend, world: World) -> Backend:
        async def remove(ctx: Context, dir: Key, name: bytes) -> Wcc:
            await backend.lookup(ctx, dir, name)
            attr = await backend.getattr(ctx, dir)
            return Wcc(attr, attr)

        backend.remove = remove  # type: ignore[method-assign]
        return backend


class OtherHandles(Bugs):
    """The key of the handles does not survive a restart."""

    def handles(self, world: World) -> FileHandles:
        return FileHandles(bytes((world.life,)) * 32)


#: What the issue names, and more of the kind.
PLANTED: dict[str, type[Bugs]] = {
    "no cache": NoCache,
    "port in key": PortInKey,
    "COMMIT without fsync": CommitWithoutFsync,
    "constant verifier": ConstantVerifier,
    "synced WRITE is not": SyncedWriteIsNot,
    "ring forgotten": RingForgotten,
    "no recovery": NoRecovery,
    "no intent": NoIntent,
    "WRITE not kept": WriteNotKept,
    "REMOVE removes nothing": RemoveRemovesNothing,
    "other handles": OtherHandles,
}
