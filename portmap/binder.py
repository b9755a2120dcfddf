"""A client of services by name: it asks the portmapper where they are, and again when they moved.

    binder = Binder("server")
    lock = LOCK_V1_Client(await binder.client(LOCK_V1))
    await lock.ACQUIRE(args, timeout=10)        # wherever the service is by now

After Birrell and Nelson's binder ("Implementing Remote Procedure Calls", 1984): servers export by
registering with the portmapper (`portmap.client.register`), the client imports, and asks again when
what it has fails. One connection is kept for each program, version and transport.

When a call fails because the service is gone (refused; connection lost, after the retries of
`retry`; PROG_UNAVAIL or PROG_MISMATCH, by whatever took its port), the portmapper is asked once
more, and the call goes

* to the new place, if it was surely not executed: it was never sent, or got such a refusal;
* to the new place, if its procedure is idempotent: procedure 0 is, others as `idempotent` says;
* nowhere: it fails, as what became of it is unknown. The next call asks the portmapper.

A reply that does not come (`RpcTimeout`) fails the call too, and lets the next one ask whether the
service is where it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from oncrpc.client import Retry, RpcClient, connect
from oncrpc.errors import (
    ConnectionLost,
    ConnectionRefused,
    ProgMismatch,
    ProgUnavail,
    Refusal,
    RpcError,
    RpcTimeout,
    Unanswered,
)
from oncrpc.message import NOBODY, Credential
from oncrpc.net import host_port
from oncrpc.program import Proc, Program
from portmap import portmap_xdr as xdr
from portmap.client import CALL_SECONDS, NoPortmapper, PortmapError, getaddr

__all__ = ["Binder", "Bound", "NotRegistered"]

log = logging.getLogger("portmap")

U = TypeVar("U", bound=Unanswered)
E = TypeVar("E", bound=RpcError)

#: Program, version and transport.
Key: TypeAlias = tuple[int, int, str]

#: A connection is given up sooner than by other clients: the service may be found elsewhere.
RETRY = Retry(give_up=5.0)

#: Seconds after which the portmapper is asked whether a service that works is still registered.
KEEP_SECONDS = 600.0


class NotRegistered(PortmapError):
    """The portmapper knows no such program on that transport."""


@dataclass(eq=False, slots=True)
class _Binding:
    """Where a service was found, and the connection to it."""

    address: tuple[str, int]
    client: RpcClient
    #: When the portmapper is to be asked again, in the loop's seconds.
    until: float
    #: Calls that are under way; the connection of a binding that was replaced ends with the last.
    calls: int = field(default=0)
    replaced: bool = field(default=False)

    async def call(
        self, program: Program, proc: Proc, args: Any, timeout: float | None, auth: bytes | None
    ) -> Any:
        self.calls += 1
        try:
            return await self.client.call(program, proc, args, timeout, auth)
        finally:
            self.calls -= 1
            if self.replaced and not self.calls:
                self.client.close()

    def replace(self) -> None:
        self.replaced = True
        if not self.calls:
            self.client.close()


class Binder:
    """The services of `host`, found by its portmapper at `port`. Close it with `close`.

    `credential` and `retry` are the connections'. `keep` is how long an address is believed, in
    seconds; what was found stays in use while no portmapper answers. `timeout`, in seconds, bounds
    the query, and the connection to what it found.
    """

    def __init__(
        self,
        host: str,
        *,
        port: int = xdr.PMAP_PORT,
        credential: Credential = NOBODY,
        retry: Retry = RETRY,
        keep: float = KEEP_SECONDS,
        timeout: float = CALL_SECONDS,
    ) -> None:
        self.host = host
        self.port = port
        self.credential = credential
        self.retry = retry
        self.keep = keep
        self.timeout = timeout
        #: Questions that the portmapper was asked.
        self.lookups = 0
        self._bindings: dict[Key, _Binding] = {}
        self._asking: dict[Key, asyncio.Task[_Binding]] = {}
        #: Those replaced that still have calls.
        self._leaving: set[_Binding] = set()
        self._closed = False

    async def client(
        self,
        program: Program,
        transport: str = "tcp",
        idempotent: Callable[[Proc], bool] | None = None,
    ) -> Bound:
        """A `Caller` for generated clients; looks the service up and connects now.

        `transport` is "tcp" or "udp"; `idempotent` tells which procedures may be executed twice.
        Raises NotRegistered, NoPortmapper, ConnectionRefused.
        """
        await self._bind(program, transport, None)
        return Bound(self, transport, idempotent)

    async def lookup(self, program: Program, transport: str = "tcp") -> tuple[str, int]:
        """Where the service is: a numeric address and a port. Raises as `client` does."""
        return (await self._bind(program, transport, None)).address

    def forget(self, program: Program | None = None) -> None:
        """Ask the portmapper anew at the next call, of `program` or of any."""
        for key, binding in self._bindings.items():
            if program is None or key[:2] == (program.number, program.version):
                binding.until = float("-inf")

    def close(self) -> None:
        """Close all connections; calls that wait raise ConnectionLost."""
        self._closed = True
        for task in self._asking.values():
            task.cancel()
        for binding in (*self._bindings.values(), *self._leaving):
            binding.client.close()
        self._bindings.clear()
        self._leaving.clear()

    async def _bind(self, program: Program, transport: str, timeout: float | None) -> _Binding:
        """The binding that is believed in, or a new one. Callers of one service share a query."""
        what = self._what(program, transport)
        if self._closed:
            raise _unsent(ConnectionLost(f"{what}: the binder is closed"))
        key = (program.number, program.version, transport)
        binding = self._bindings.get(key)
        loop = asyncio.get_running_loop()
        if binding is not None and loop.time() < binding.until:
            return binding
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = loop.create_task(self._ask(program, key))
            task.add_done_callback(lambda done: self._asked(key, done))
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(task)
        except TimeoutError as exc:
            if isinstance(exc, RpcError):
                raise
            raise _unsent(
                RpcTimeout(f"{what}: not found in {round(timeout or 0, 3):g} s")
            ) from None
        except asyncio.CancelledError:
            if self._closed and task.cancelled():
                raise _unsent(ConnectionLost(f"{what}: the binder is closed")) from None
            raise

    def _asked(self, key: Key, task: asyncio.Task[_Binding]) -> None:
        del self._asking[key]
        if not task.cancelled() and task.exception() is not None:  # all who asked may have left
            log.debug("%s: %s", key, task.exception())

    async def _ask(self, program: Program, key: Key) -> _Binding:
        """Ask the portmapper, and connect unless the answer is the old one."""
        loop = asyncio.get_running_loop()
        transport = key[2]
        what = self._what(program, transport)
        self.lookups += 1
        try:
            found = await getaddr(self.host, *key, port=self.port, timeout=self.timeout)
        except NoPortmapper as exc:
            old = self._bindings.get(key)
            if old is None:
                raise
            log.info("%s: %s; it stays in use", what, exc)
            old.until = loop.time() + self.keep
            return old
        old = self._bindings.get(key)
        if found is None:
            self._drop(key, old)
            raise NotRegistered(f"{what} is not registered")
        if old is not None and old.address == found:
            old.until = loop.time() + self.keep
            return old
        try:
            async with asyncio.timeout(self.timeout):
                client = await connect(transport, *found, self.credential, retry=self.retry)
        except OSError as exc:
            why = str(exc) or f"no connection in {self.timeout:g} s"
            text = f"{what}, registered at {host_port(*found)}: {why}"
            raise _unsent(ConnectionRefused(text)) from exc
        self._drop(key, old)
        binding = _Binding(found, client, loop.time() + self.keep)
        self._bindings[key] = binding
        return binding

    def _drop(self, key: Key, binding: _Binding | None) -> None:
        """Use it for no other call."""
        if binding is not None and self._bindings.get(key) is binding:
            del self._bindings[key]
            binding.replace()
            self._leaving = {it for it in (*self._leaving, binding) if it.calls}

    def _failed(self, key: Key, binding: _Binding, exc: RpcError) -> None:
        """Ask again; only a connection that can do nothing more is dropped at once."""
        if self._bindings.get(key) is binding:
            binding.until = float("-inf")
            if isinstance(exc, ConnectionLost | ConnectionRefused):
                self._drop(key, binding)

    def _what(self, program: Program, transport: str) -> str:
        where = host_port(self.host, self.port)
        return f"{program.name} version {program.version} over {transport} (portmapper {where})"


def _unsent(exc: U) -> U:
    exc.unsent = True
    return exc


def _after(failure: Refusal | Unanswered | None, exc: E) -> E:
    """The error of a call that has failed before: that it was not sent the second time does not
    mean that it was not executed the first time."""
    if isinstance(exc, Unanswered) and exc.unsent and not _unexecuted(failure):
        exc = type(exc)(*exc.args)  # others may have the same one
        exc.unsent = False
    return exc


def _unexecuted(failure: Refusal | Unanswered | None) -> bool:
    return not isinstance(failure, Unanswered) or failure.unsent


class Bound:
    """Calls to a service wherever it is; a `oncrpc.program.Caller`. Made by `Binder.client`."""

    def __init__(
        self, binder: Binder, transport: str, idempotent: Callable[[Proc], bool] | None
    ) -> None:
        self.binder = binder
        self.transport = transport
        self.idempotent = idempotent or (lambda proc: False)

    async def call(
        self,
        program: Program,
        proc: Proc,
        args: Any,
        timeout: float | None = None,
        auth: bytes | None = None,
    ) -> Any:
        """See `oncrpc.client.RpcClient.call`. `timeout` bounds looking up too, in seconds.

        Raises also NotRegistered and NoPortmapper; see the module for calls to a service that has
        moved.
        """
        loop = asyncio.get_running_loop()
        ends = None if timeout is None else loop.time() + timeout

        def left() -> float | None:
            return None if ends is None else ends - loop.time()

        binder, key = self.binder, (program.number, program.version, self.transport)
        before: _Binding | None = None
        failure: Refusal | Unanswered | None = None
        while True:
            try:
                binding = await binder._bind(program, self.transport, left())
            except Unanswered as exc:
                raise _after(failure, exc) from exc.__cause__
            if binding is before and failure is not None:
                raise failure  # the portmapper knows of no other place
            try:
                return await binding.call(program, proc, args, left(), auth)
            except RpcTimeout as exc:
                binder._failed(key, binding, exc)
                raise _after(failure, exc) from exc.__cause__
            except (ConnectionRefused, ConnectionLost, ProgUnavail, ProgMismatch) as exc:
                binder._failed(key, binding, exc)
                if failure is not None or not self._again(proc, exc):
                    raise _after(failure, exc) from exc.__cause__
                log.info("%s; asking the portmapper", exc)
                before, failure = binding, exc

    def _again(self, proc: Proc, exc: Refusal | Unanswered) -> bool:
        """Whether a call that failed so may be made again, at another place."""
        return isinstance(exc, Refusal) or exc.unsent or proc.number == 0 or self.idempotent(proc)
