"""Names of clients and addresses of names, looked up in threads and remembered for a while."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from nfsloop.hosts import Address, address_of
from nfsloop.limits import (
    NAME_ENTRIES,
    NAME_LOOKUP_SECONDS,
    NAME_LOOKUPS,
    NAME_RETRY_SECONDS,
    NAME_SECONDS,
    NAME_THREADS,
)

log = logging.getLogger("nfsloop.names")

T = TypeVar("T")

#: <netdb.h>'s h_errno for a name server that does not answer.
_TRY_AGAIN = 2


class Lookups(Protocol):
    """Where names come from. Each may take its time; what is not found is empty.

    OSError stands for "ask again later".
    """

    async def addresses(self, name: str) -> Collection[Address]:
        """The addresses of a host name."""

    async def names(self, address: Address) -> Collection[str]:
        """What an address claims to be called."""

    async def member(self, group: str, name: str) -> bool:
        """Whether a netgroup has a host of that name (or address)."""


class SystemLookups:
    """What the system's resolver says (nsswitch.conf), asked in a few threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(NAME_THREADS, "names")

    async def _run(self, ask: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask, *args)

    async def addresses(self, name: str) -> Collection[Address]:
        """See `Lookups`."""
        return await self._run(_addresses, name)

    async def names(self, address: Address) -> Collection[str]:
        """See `Lookups`."""
        return await self._run(_names, address)

    async def member(self, group: str, name: str) -> bool:
        """See `Lookups`."""
        return await self._run(innetgr, group, name)

    def close(self) -> None:
        """End the threads; a lookup that hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(name: str) -> Collection[Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno in {socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY}:
            raise
        return frozenset()
    except UnicodeError:  # a label of more than 63 bytes
        return frozenset()
    known = (address_of(str(info[4][0])) for info in found)
    return {address for address in known if address is not None}


def _names(address: Address) -> Collection[str]:
    try:
        name, aliases, _ = socket.gethostbyaddr(str(address))
    except socket.herror as exc:
        if exc.errno == _TRY_AGAIN:
            raise
        return frozenset()
    return {known.lower() for known in (name, *aliases)}


def netgroups_exist() -> bool:
    """Whether this system's C library can tell who is in a netgroup."""
    return hasattr(ctypes.CDLL(None), "innetgr")


def innetgr(group: str, host: str) -> bool:
    """Whether netgroup `group` has `host` (innetgr(3)). May ask the network."""
    ask = ctypes.CDLL(None).innetgr
    ask.argtypes = [ctypes.c_char_p] * 4
    return bool(ask(group.encode(), host.encode(), None, None))


#: What is asked, and of whom; the last is the client's address or the name.
_Question: TypeAlias = tuple[Any, ...]


class _Known(NamedTuple):
    value: Any
    until: float


class NameCache:
    """`nfsloop.hosts.Names` over `Lookups`: answers from memory, and asks in the background.

    A client's names are those that its address has and that lead back to it, so that nobody gets in
    by what he writes into his own reverse zone. `changed()` is called when an answer turned out to
    be another than the one that was given before.
    """

    def __init__(
        self,
        lookups: Lookups,
        changed: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookups = lookups
        self._changed = changed
        self._clock = clock
        #: Answers by question, the oldest first. An old one serves on while a new one is sought.
        self._known: dict[_Question, _Known] = {}
        #: The same for host names, which the exports name: strangers must not push them out.
        self._hosts: dict[_Question, _Known] = {}
        self._asking: dict[_Question, asyncio.Task[None]] = {}
        self._questions: dict[str, tuple[Callable[..., Awaitable[Any]], Any]] = {
            "addresses": (lookups.addresses, frozenset()),
            "names": (self._confirmed, frozenset()),
            "member": (self._is_in, False),
        }

    # `nfsloop.hosts.Names`

    def addresses(self, name: str) -> Collection[Address] | None:
        """See `nfsloop.hosts.Names`."""
        found: Collection[Address] | None = self._get(("addresses", name))
        return found

    def names(self, address: Address) -> Collection[str] | None:
        """See `nfsloop.hosts.Names`."""
        found: Collection[str] | None = self._get(("names", address))
        return found

    def member(self, group: str, address: Address) -> bool | None:
        """See `nfsloop.hosts.Names`."""
        found: bool | None = self._get(("member", group, address))
        return found

    def known(self, address: Address) -> str | None:
        """A name of `address`, if one is known just now; nobody is asked."""
        confirmed = self._known.get(("names", address))
        if confirmed is not None and confirmed.value:
            return str(min(confirmed.value))
        named = (key[1] for key, known in self._hosts.items() if address in known.value)
        return min(named, default=None)

    # Waiting, where one can

    async def load(self, names: Iterable[str]) -> list[str]:
        """Look up all host names anew, and wait; those that have no address (yet).

        Others are forgotten.
        """
        names = list(names)
        for name in names:
            while len(self._asking) >= NAME_LOOKUPS:
                await asyncio.wait(self._asking.values(), return_when=asyncio.FIRST_COMPLETED)
            self._ask(("addresses", name))
        await self._settle({("addresses", name) for name in names})
        for key in self._hosts.keys() - {("addresses", name) for name in names}:
            del self._hosts[key]
        return [name for name in names if not self.addresses(name)]

    async def settle(self, address: Address | None) -> None:
        """See `nfsloop.hosts.Names`; host names may be anybody's."""
        await self._settle(
            {key for key in self._asking if key[-1] == address or key[0] == "addresses"}
        )

    async def _settle(self, keys: set[_Question]) -> None:
        tasks = [task for key, task in self._asking.items() if key in keys]
        if tasks:
            await asyncio.wait(tasks, timeout=2 * NAME_LOOKUP_SECONDS)

    async def stop(self) -> None:
        """Give up what is being looked up."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    # How

    def _get(self, key: _Question) -> Any:
        known = self._of(key).get(key)
        if known is None or known.until <= self._clock():
            self._ask(key)
        return None if known is None else known.value

    def _of(self, key: _Question) -> dict[_Question, _Known]:
        return self._hosts if key[0] == "addresses" else self._known

    def _ask(self, key: _Question) -> None:
        if key in self._asking or len(self._asking) >= NAME_LOOKUPS:
            return
        task = asyncio.get_running_loop().create_task(self._answer(key))
        self._asking[key] = task
        task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def _answer(self, key: _Question) -> None:
        ask, nothing = self._questions[key[0]]
        value, seconds = nothing, NAME_SECONDS
        answers = self._of(key)
        old = answers.pop(key, None)
        if old is not None:
            answers[key] = old
        try:
            async with asyncio.timeout(NAME_LOOKUP_SECONDS):
                value = await ask(*key[1:])
        except OSError as exc:  # TimeoutError is one: a resolver that is down changes nothing
            why = str(exc) or f"none in {NAME_LOOKUP_SECONDS:g} s"
            log.warning("%s: no answer from the resolver: %s", " ".join(map(str, key)), why)
            value, seconds = (nothing if old is None else old.value), NAME_RETRY_SECONDS
        if answers is self._known and len(answers) >= NAME_ENTRIES:
            del answers[next(iter(answers))]
        answers[key] = _Known(value, self._clock() + seconds)
        if old is not None and old.value != value:
            self._changed()

    async def _confirmed(self, address: Address) -> Collection[str]:
        claimed = await self._lookups.names(address)
        return frozenset(
            [name for name in claimed if address in await self._lookups.addresses(name)]
        )

    async def _is_in(self, group: str, address: Address) -> bool:
        for name in [*await self._confirmed(address), str(address)]:
            if await self._lookups.member(group, name):
                return True
        return False
