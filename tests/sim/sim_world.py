"""The server of a simulation: started, tapped, killed at a chosen point, started again; and the
check of each execution against the model."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sim_model import Inode, Model
from sim_plan import Fuse, Plan
from sim_storage import Storage

from backends.base import Backend, Context, FileType, Key, Status
from nfsloop.export import Export, Exports, Options
from nfsloop.handle import FileHandles
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.nfs3.server import NFS3_PROGRAM, Nfs3Service
from nfsloop.status import status_of
from oncrpc.call import Call
from oncrpc.drc import INTENT, REPLY, DuplicateRequestCache
from oncrpc.message import AUTH_SYS, Credential
from oncrpc.program import Handler, Proc, ProcFlag, Program
from oncrpc.ring import HEAD_BYTES, Ring
from oncrpc.server import RpcServer
from oncrpc.testing import Crash, Network
from oncrpc.xdr import encode

SERVER, PORT = "10.0.0.1", 2049
KEY = bytes(range(32))
ROOT_CONTEXT = Context(0, 0, (), SERVER, "/export")
RING_BYTES = 512 << 10
OK = int(Status.OK)
#: Wall-clock time at the beginning, in seconds since 1970.
EPOCH = 1_700_000_000

#: Calls that are executed as often as they come.
REPEATABLE = {"COMMIT"}


class Violation(AssertionError):
    """The server did what it must not do."""


@dataclass(slots=True)
class Execution:
    """One execution of a call below the duplicate request cache."""

    life: int
    status: int
    #: Whether it changed anything.
    changed: bool
    #: Its result, encoded, once it was given; None for a failure, whose result is made elsewhere.
    result: bytes | None = None
    #: The reply is recorded, as far as the server is concerned.
    done: bool = False


@dataclass(slots=True)
class Operation:
    """A call that a client has made: once for the client, however often it is sent."""

    tag: bytes
    name: str
    executions: list[Execution] = field(default_factory=list)
    #: Settled at a start: the status that was found for it.
    settled: int | None = None
    acknowledged: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.tag.decode()}"


class Bugs:
    """What a planted bug changes; nothing, here. See sim_bugs."""

    def cache(self, ring: Ring, world: World) -> DuplicateRequestCache | None:
        """The duplicate request cache of a life of the server."""
        return DuplicateRequestCache(ring, clock=world.clock)

    def ring(self, ring: bytearray) -> bytearray:
        """What a crash leaves of the ring."""
        return ring

    def program(self, program: Program) -> Program:
        """The program with the flags of its procedures."""
        return program

    def backend(self, backend: Backend, world: World) -> Backend:
        """The storage of a life of the server."""
        return backend

    def handles(self, world: World) -> FileHandles:
        """What makes and opens handles in a life of the server."""
        return FileHandles(KEY)

    async def settle(self, world: World, reply: bytes | None) -> bytes | None:
        """What recovery takes for the reply of a call that a crash cut off."""
        return reply


class _FusedRing(Ring):
    """A ring during whose writes the server may die."""

    def __init__(self, buffer: bytearray, segment: int, world: World) -> None:
        super().__init__(buffer, segment)
        self._world = world

    def append(self, kind: int, key: bytes, payload: bytes, when: float) -> int:
        world = self._world
        full = not self.fits(len(key) + len(payload))  # then nothing is written
        if world.fuse is None or world.recovering or full:
            return super().append(kind, key, payload, when)
        if kind == INTENT:
            world.pass_by("intent")
        elif kind == REPLY:
            if world.current is not None:
                world.current.done = False
            world.pass_by("record")
        if world.burns("tear"):
            self._tear(kind, key, payload, when)
        at = super().append(kind, key, payload, when)
        if kind == REPLY:
            if world.current is not None:
                world.current.done = True
            world.pass_by("recorded")
        return at

    def _tear(self, kind: int, key: bytes, payload: bytes, when: float) -> None:
        """Die with a part of the record written."""
        old = bytes(self.buffer)
        start = self._end
        super().append(kind, key, payload, when)
        size = HEAD_BYTES + len(key) + len(payload)
        whole = start + self._world.rng.randrange(size)
        self.buffer[whole:] = old[whole:]
        self._world.die("tear")


class World:
    """The server, its storage, the model of that storage, and what went wrong."""

    def __init__(self, net: Network, plan: Plan, storage: Storage, bugs: Bugs) -> None:
        self.net = net
        self.plan = plan
        self.storage = storage
        self.bugs = bugs
        self.host = net.host(SERVER)
        self.rng = random.Random(f"server {net.seed}")
        self.ring = bytearray(RING_BYTES)
        self.life = 0
        self.crashed = asyncio.Event()
        self.model: Model
        self.handles = FileHandles(KEY)
        self.operations: dict[bytes, Operation] = {}
        self.violation: str | None = None
        self.fuse: Fuse | None = None
        #: The execution whose reply is about to be recorded.
        self.current: Execution | None = None
        self.recovering = False
        #: For tests of the simulator: where the server died, and what its caches counted.
        self.deaths: list[str] = []
        self.caches: list[DuplicateRequestCache] = []
        self.lost_files = 0
        self._fuses = list(plan.fuses)
        self._passed = 0
        self._verifier = b""
        self._backend: Backend
        self._server: RpcServer
        self._stopping: asyncio.Task[None] | None = None

    def clock(self) -> float:
        """Seconds since 1970."""
        return EPOCH + self.net.loop.time()

    def fail(self, text: str) -> None:
        """Note a violation; the first counts."""
        self.net.note("VIOLATION", text)
        if self.violation is None:
            self.violation = text

    # Life and death

    async def prepare(self, dirs: list[bytes]) -> list[bytes]:
        """Start for the first time; the handles of `dirs`, made in the root."""
        await self._open()
        root = (await self._backend.root(ROOT_CONTEXT)).key
        number = Export("/export", self._backend).number
        self.model = Model(self.handles.pack(number, *root))
        made: list[bytes] = []
        for name in dirs:
            attr = x.sattr3(0o755, None, None, None, *_KEEP_TIMES)
            args = x.MKDIR3args(x.diropargs3(self.model.root.handle, name), attr)
            _, inode = self.model.apply("MKDIR", args)
            assert inode is not None
            wish = _set_attr(0o755)
            key = (await self._backend.mkdir(ROOT_CONTEXT, root, name, wish)).attr.key
            self.model.bind(inode, self.handles.pack(number, *key))
            made.append(inode.handle)
        await self._serve()
        return made

    async def boot(self) -> None:
        """Start again after a crash."""
        self.crashed.clear()
        await self.host.task(self._boot())

    async def _boot(self) -> None:
        await self._open()
        await self._check_data()
        await self._serve()

    async def _open(self) -> None:
        self.life += 1
        self.net.note("start", self.life)
        self.handles = self.bugs.handles(self)
        self._backend = self.bugs.backend(self.storage.open(), self)
        if self.plan.waits:
            vars(self._backend)["inline"] = False  # what it says of itself, if it waits
        await self._backend.start()

    async def _serve(self) -> None:
        exports = Exports([Export("/export", self._backend, Options(root_squash=False))])
        service = _Service(exports, self.handles, self)
        ring = _FusedRing(self.ring, self.plan.segment, self)
        cache = self.bugs.cache(ring, self)
        server = self._server = RpcServer()
        program = self.bugs.program(NFS3_PROGRAM)
        for proc in program.procs.values():  # below the intents, where wraps are above them
            setattr(service, proc.name, self._tap(proc, getattr(service, proc.name)))
        server.add(program, service, (), cache)
        if cache is not None:
            self.caches.append(cache)
            self.recovering = True

            async def settle(host: str, message: bytes, facts: bytes) -> bytes | None:
                return await self.bugs.settle(
                    self, await server.dispatcher.settle(host, message, facts)
                )

            await cache.recover(settle)
            self.recovering = False
        self._arm()
        server.listen_on([self.host.listen("tcp", PORT), self.host.listen("udp", PORT)])

    def _arm(self) -> None:
        """Light the next fuse."""
        self._passed = 0
        self.fuse = self._fuses.pop(0) if self._fuses else None
        if self.fuse is None:
            return
        if self.fuse.point == "time":
            self.net.loop.call_later(self.fuse.seconds, self.crash, "time")
        elif self.fuse.point == "stop":
            self._stopping = self.net.loop.create_task(self._stop(self.fuse))
        elif self.fuse.point == "send":
            self.host.before_send = lambda sock: self.pass_by("send")

    def burns(self, point: str) -> bool:
        """Whether the server dies at this passing of `point`."""
        if self.fuse is None or self.fuse.point != point:
            return False
        self._passed += 1
        return self._passed >= self.fuse.passings

    def pass_by(self, point: str) -> None:
        """Die here, if it is time: raises `Crash`."""
        if self.burns(point):
            self.die(point)

    def die(self, point: str) -> NoReturn:
        """Crash in the server's code."""
        self.crash(point)
        raise Crash(point)

    def crash(self, point: str) -> None:
        """The server is gone; whoever waits for `crashed` starts another."""
        fuse, self.fuse = self.fuse, None
        if fuse is None:
            return
        self.net.note("dies at", point)
        self.deaths.append(point)
        self.host.crash(fuse.silent)
        self.ring = self.bugs.ring(bytearray(self.ring))
        self.storage.crash()
        self.current = None
        self.recovering = False
        self._downtime = fuse.downtime
        self.crashed.set()

    async def _stop(self, fuse: Fuse) -> None:
        """End in good order: no data may be lost, and replies stay known."""
        await asyncio.sleep(fuse.seconds)
        self.fuse = None
        self.net.note("stops")
        await self._server.stop(0.3)
        await self._backend.stop()
        self.deaths.append("stop")
        for inode in self.model.files():
            inode.stable = None
        self.host.crash()
        self._downtime = fuse.downtime
        self.crashed.set()

    def crash_now(self) -> None:
        """A last crash, not by a fuse."""
        self.fuse = Fuse("end", 0.0, 0, 0.01, False)
        self.crash("end")

    @property
    def downtime(self) -> float:
        """How long the server stays away this time."""
        return self._downtime

    async def _check_data(self) -> None:
        """What a crash may leave of each file's data, and whether the verifier tells of it."""
        lost = []
        for inode in self.model.files():
            if inode.kind is not FileType.REG:
                continue
            try:
                _, key = self.handles.unpack(inode.handle)
                most = max(len(inode.data), len(inode.stable or b"")) + 1
                read = await self._backend.read(ROOT_CONTEXT, key, 0, most)
            except Exception as exc:
                self.fail(f"a crash took a file away: {exc!r}")
                return
            data = bytes(read.data)
            if data != inode.data:
                if inode.stable is None or data != bytes(inode.stable):
                    self.fail(f"a crash took data that were safe: {data!r} of {inode.data!r}")
                lost.append(inode)
                inode.data = bytearray(data)
            inode.stable = None
        self.lost_files += len(lost)
        if lost and self._backend.verifier == self._verifier:
            self.fail(f"a crash took data of {len(lost)} files, and the verifier is the same")
        self._verifier = self._backend.verifier

    # Executions

    def _tap(self, proc: Proc, handler: Handler) -> Handler:
        """Around a procedure, below the cache: sees what really is executed."""
        if ProcFlag.MUTATES in proc.flags:
            return self._tap_change(proc, handler)
        return self._tap_read(proc, handler)

    def _tap_change(self, proc: Proc, handler: Handler) -> Handler:
        name = proc.name

        async def changing(call: Call, args: Any) -> Any:
            operation = self._operation(call)
            in_sync = True
            await self.wait(self.plan.waits)
            if name == "SETATTR" and args.guard is not None:
                in_sync = await self._in_sync(args)
            self.pass_by("operation")
            status, inode = self.model.apply(name, args, in_sync)
            self.net.note("executes", operation, Status(status).name)
            execution = Execution(self.life, status, self.model.changed)
            self._check_once(operation, execution)
            key, mark = self._mark(name, args)
            try:
                result = await handler(call, args)
            except Exception as exc:
                self._compare(operation, execution, status_of(exc))
                self._answered(execution)
                raise
            self._compare(operation, execution, int(result.status))
            if inode is not None:
                self._bind(inode, name, result)
            if key is not None and result.status == OK and not self.storage.is_safe(key, mark):
                self.fail(f"{operation} answers, and its data were not synced")
            await self.wait(self.plan.slow if name == "WRITE" else self.plan.waits)
            execution.result = encode(proc.encode_result, result)
            self._answered(execution)
            return result

        return changing

    def refused(self, call: Call, args: Any, status: int | None) -> None:
        """A call failed as its intent was to be noted: that is its execution."""
        operation = self._operation(call)
        expected, _ = self.model.apply(operation.name, args)
        execution = Execution(self.life, expected, self.model.changed)
        self.net.note("refuses", operation, _name(status))
        self._check_once(operation, execution)
        self._compare(operation, execution, status)
        self._answered(execution)

    def _mark(self, name: str, args: Any) -> tuple[Key | None, int]:
        """For a call that makes data safe: the file, and the write that it must come after."""
        if name not in {"WRITE", "COMMIT"}:
            return None, 0
        _, key = self.handles.unpack(args.file)
        if name == "COMMIT":
            return key, self.storage.written(key)
        mark = self.storage.writes(key)
        return (None if args.stable == x.UNSTABLE else key), mark

    async def wait(self, chance: float) -> None:
        """Perhaps wait a moment."""
        if chance and self.rng.random() < chance:
            await asyncio.sleep(self.rng.uniform(0.01, 1.0))

    def _answered(self, execution: Execution) -> None:
        """The reply goes to the cache, which records it, in this turn of the loop."""
        self.current = execution
        execution.done = True

    def _tap_read(self, proc: Proc, handler: Handler) -> Handler:
        name = proc.name
        if name not in {"GETATTR", "LOOKUP", "READ", "READDIR", "READDIRPLUS", "READLINK"}:
            return handler

        async def reading(call: Call, args: Any) -> Any:
            expected, inode = self.model.apply(name, args)
            try:
                result = await handler(call, args)
            except Exception as exc:
                if status_of(exc) != expected:
                    self.fail(f"{name} answers {exc!r}, expected {Status(expected).name}")
                raise
            if result.status != expected:
                self.fail(f"{name} answers {result.status!r}, expected {Status(expected).name}")
            elif inode is not None:
                wrong = differs(name, result.value, inode)
                if wrong:
                    self.fail(f"{name} {call.credential.machine!r}: {wrong}")
            return result

        return reading

    def _operation(self, call: Call) -> Operation:
        tag = call.credential.machine
        operation = self.operations.get(tag)
        if operation is None:
            operation = self.operations[tag] = Operation(tag, call.proc.name)
        return operation

    async def _in_sync(self, args: x.SETATTR3args) -> bool:
        """Whether the guard is the file's ctime."""
        assert args.guard is not None
        _, key = self.handles.unpack(args.object)
        try:
            ctime = (await self._backend.getattr(ROOT_CONTEXT, key)).ctime
        except Exception:
            return True
        return ctime == args.guard.seconds * 10**9 + args.guard.nseconds

    def _check_once(self, operation: Operation, now: Execution) -> None:
        """That a call takes place once. A crash that cuts it off before its reply is recorded may
        have it executed again if it had no effect, or if it is a WRITE."""
        earlier = operation.executions
        earlier.append(now)
        if operation.name in REPEATABLE or len(earlier) == 1:
            if operation.settled is not None:
                self.fail(f"{operation} is executed, though a start had settled it")
            return
        before = earlier[-2]
        cut_off = not before.done and before.life < self.life
        if not cut_off:
            self.fail(f"{operation} is executed again")
        elif before.changed and operation.name != "WRITE":
            self.fail(f"{operation} is executed again after a crash, and had taken place")

    def _compare(self, operation: Operation, execution: Execution, status: int | None) -> None:
        if status != execution.status:
            self.fail(f"{operation} answers {_name(status)}, expected {_name(execution.status)}")

    def _bind(self, inode: Inode, name: str, result: Any) -> None:
        """Learn the handle of what was made."""
        if result.status != OK or name not in {"CREATE", "MKDIR", "SYMLINK"}:
            return
        handle = result.value.obj
        if not inode.handle:
            self.model.bind(inode, handle)
        elif inode.handle != handle:
            self.fail(f"{name} gives another handle for a file that is there")

    # Settling

    async def settled(self, call: Call, args: Any, result: Any) -> None:
        """Recovery took the call for one that took place, with this result; None: it did not."""
        operation = self._operation(call)
        last = operation.executions[-1] if operation.executions else None
        self.net.note("settles", operation, result and result.status)
        if result is None:
            return
        status = int(result.status)
        operation.settled = status
        if last is not None:
            if last.status != status:
                self.fail(f"{operation} settled as {_name(status)}, was {_name(last.status)}")
            return
        # Recovery completes a SETATTR; anything else must be there already.
        before = self.model.fingerprint()
        expected, _ = self.model.apply(operation.name, args)
        if expected != status:
            self.fail(f"{operation} settled as {_name(status)}, expected {_name(expected)}")
        elif operation.name != "SETATTR" and self.model.fingerprint() != before:
            self.fail(f"{operation} is settled, and never took place")

    # What clients say

    def acknowledged(self, tag: bytes, proc: Proc, result: Any) -> None:
        """A client got a result for a call that changes something: it is that of its execution."""
        operation = self.operations.get(tag)
        if operation is None or not (operation.executions or operation.settled is not None):
            self.fail(f"{proc.name} {tag!r} was answered, and not executed")
            return
        operation.acknowledged = True
        status = int(result.status)
        if operation.settled is not None:
            if status != operation.settled:
                self.fail(f"{operation}: {_name(status)} came, {_name(operation.settled)} went")
            return
        if operation.name in REPEATABLE:
            return
        last = operation.executions[-1]
        if status != last.status:
            self.fail(f"{operation}: {_name(status)} came, {_name(last.status)} was the outcome")
        elif last.result is not None and last.result != encode(proc.encode_result, result):
            self.fail(f"{operation}: another result came than the execution had")


class _Service(Nfs3Service):
    """The service, slow at times, and watched while it settles calls."""

    def __init__(self, exports: Exports, handles: FileHandles, world: World) -> None:
        super().__init__(exports, handles)
        self._world = world

    async def intent(self, call: Any, args: Any) -> bytes | None:
        await self._world.wait(self._world.plan.slow)
        try:
            return await super().intent(call, args)
        except Exception as exc:
            self._world.refused(call, args, status_of(exc))
            raise

    async def settle(self, call: Any, args: Any, facts: bytes) -> Any:
        result = await super().settle(call, args, facts)
        await self._world.settled(call, args, result)
        return result


def credential(tag: bytes) -> Credential:
    """Root's, whose machine name tells the server's tap which operation it sees."""
    return Credential(AUTH_SYS, 0, 0, (), tag)


_KEEP_TIMES = x.set_atime(x.DONT_CHANGE), x.set_mtime(x.DONT_CHANGE)


def _set_attr(mode: int) -> Any:
    from backends.base import SetAttr

    return SetAttr(mode=mode)


def _name(status: int | None) -> str:
    return "a fault" if status is None else Status(status).name


def differs(name: str, value: Any, inode: Inode) -> str | None:
    """How a result of reading is not what the model has; None if it is."""
    if name == "LOOKUP":
        return None if value.object == inode.handle else "another file's handle"
    if name == "READ":
        return None if value.data == inode.data else f"{value.data!r} is not {inode.data!r}"
    if name == "READLINK":
        return None if value.data == inode.target else f"{value.data!r} is not {inode.target!r}"
    if name in {"READDIR", "READDIRPLUS"}:
        names = sorted(entry.name for entry in value.reply.entries if entry.name.strip(b"."))
        return None if names == sorted(inode.entries) else f"{names} are not {list(inode.entries)}"
    return None
