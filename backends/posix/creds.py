"""Acting as the caller: the file system identity of a thread, changed with raw system calls.

The kernel checks permissions, ACLs and quotas against a *thread's* fsuid, fsgid and groups. glibc's
`setgroups` changes every thread of the process, so the system call is made directly.

A thread keeps the last caller's identity until another call needs another one, or until the event
loop has gone round once: then it is the process's own again, so that other code on the loop (a
log file, a configuration) is not hindered by it. Code that must be sure calls `Identity.rest`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from backends.base import Context
from backends.threads import STARTERS

_libc = ctypes.PyDLL(None, use_errno=True)
_setfsuid = _libc.setfsuid
_setfsuid.argtypes = [ctypes.c_uint]
_setfsgid = _libc.setfsgid
_setfsgid.argtypes = [ctypes.c_uint]
_syscall = _libc.syscall
_syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p]
_syscall.restype = ctypes.c_long

_SETGROUPS: Final = {
    "x86_64": 116,
    "aarch64": 159,
    "riscv64": 159,
    "loongarch64": 159,
    "ppc64le": 81,
    "s390x": 206,
    "i386": 206,
    "i686": 206,
    "armv7l": 206,
    "armv6l": 206,
}.get(platform.machine())

CAP_DAC_OVERRIDE: Final = 1
_CAP_SYS_RESOURCE = 24
_NOBODY = 0xFFFFFFFF
#: How many uids, and gids, are remembered as ones that the kernel lets us take.
_KNOWN_IDS = 4096
#: How many callers' forms are remembered.
_KNOWN_CALLERS = 1024


class _Form(NamedTuple):
    """What the kernel is told: the fewest groups that give the same rights, and their array."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    array: ctypes.Array[ctypes.c_uint]
    address: int


def _form(uid: int, gid: int, groups: tuple[int, ...]) -> _Form:
    array = (ctypes.c_uint * max(1, len(groups)))(*groups)
    return _Form(uid, gid, groups, array, ctypes.addressof(array))


def _setgroups(form: _Form) -> None:
    if _SETGROUPS is None or _syscall(_SETGROUPS, len(form.groups), form.address):
        number = ctypes.get_errno()
        raise PermissionError(number, "setgroups: " + os.strerror(number))


def effective(capability: int) -> bool:
    """Whether the calling thread has `capability`."""
    with open("/proc/thread-self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def _drop_resource() -> None:
    """Give up CAP_SYS_RESOURCE in this thread: it would pass quotas and take reserved blocks."""
    header = (ctypes.c_uint * 2)(0x20080522, 0)
    data = (ctypes.c_uint * 6)()
    if _libc.capget(header, data):
        return
    if data[0] >> _CAP_SYS_RESOURCE & 1:
        data[0] &= ~(1 << _CAP_SYS_RESOURCE)
        _libc.capset(header, data)


class Identity:
    """Who one thread is to the kernel. Made and used in that thread: see `of_this_thread`."""

    __slots__ = ("_forms", "_gid", "_gids", "_groups", "_loop", "_own", "_uid", "_uids",
                 "acting", "resting", "switches")  # fmt: skip

    def __init__(self) -> None:
        #: Whom the thread acts as; None: the process itself, or somebody unknown.
        self.acting: Context | None = None
        #: Whether the process may act as its callers at all.
        self.switches = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Whether it is the process itself, and stays so until `become` or `become_user`.
        self.resting = True
        self._uids: set[int] = set()
        self._gids: set[int] = set()
        self._own = _form(*_own())
        self._forms: dict[Context, _Form] = {}
        # A new thread inherits whatever its maker was acting as, so nothing is assumed here.
        self._uid = self._gid = -1
        self._groups: tuple[int, ...] | None = None
        if os.geteuid() == 0:
            self._probe()

    def _probe(self) -> None:
        try:
            self._set(_form(1, 1, (1,)))
            self._set(self._own)
        except PermissionError:
            _setfsuid(0)
            _setfsgid(os.getegid())
            self._uid = 0
            return
        _drop_resource()
        self.switches = True

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which the thread comes to rest.

        The threads of the loop's default executor are made to begin as the process itself: a new
        thread inherits the identity of its maker, for good, and that may be a caller's if it is
        started in the turn of the loop in which a call has run. An executor that somebody has
        installed himself stays as it is: `settle_thread` should be its initializer. So it is with
        those of blocking backends (`backends.threads`).
        """
        self._loop = loop
        self.resting = True
        if self.switches:
            _settle_executor(loop)
            if settle_thread not in STARTERS:
                STARTERS.append(settle_thread)

    def become(self, ctx: Context) -> None:
        """Act as `ctx` from now on. Raises PermissionError if the kernel refuses that.

        Callers skip it while ``identity.acting is ctx``.
        """
        if self.switches:
            self.acting = None
            form = self._forms.get(ctx) or self._learn(ctx)
            self._set(form)
            if self.resting and form is not self._own:
                self._rest_soon()
        self.acting = ctx

    def become_user(self, ctx: Context) -> None:
        """Have the rights of the caller's uid, and nobody's groups: enough where the kernel checks
        no permission, and only must not give what it gives to root.

        That is a write to an open file: it shall take no reserved blocks, and set-id bits shall go.
        """
        if self.switches:
            self.acting = None
            if ctx.uid != self._uid:
                self._set_uid(ctx.uid)
            if self.resting and ctx.uid != self._own.uid:
                self._rest_soon()

    def _learn(self, ctx: Context) -> _Form:
        """The caller's form. The kernel takes a thread's gid for one of its groups, so that it need
        not be among them; most of root's calls act as the process itself then."""
        own = self._own
        groups = tuple(sorted({*ctx.groups} - {ctx.gid}))
        form = _form(ctx.uid, ctx.gid, groups)
        if form[:3] == (own.uid, own.gid, tuple(sorted({*own.groups} - {own.gid}))):
            form = own
        if len(self._forms) >= _KNOWN_CALLERS:
            self._forms.clear()
        self._forms[ctx] = form
        return form

    def _rest_soon(self) -> None:
        if self._loop is not None:
            self.resting = False
            try:
                self._loop.call_soon(self.rest)
            except RuntimeError:  # closed: nobody else runs on it
                self._loop, self.resting = None, True

    def own(self) -> None:
        """Have the process's own rights (its groups may still be a caller's)."""
        if self.switches:
            self.acting = None
            if self._uid != 0:
                _setfsuid(0)
                self._uid = 0

    def rest(self) -> None:
        """Be the process itself again."""
        self.resting = True
        if self.switches:
            self.acting = None
            self._set(self._own)

    def _set(self, form: _Form) -> None:
        # fsuid last: leaving 0 drops the capabilities over files, and a failure before that
        # leaves a thread that is still itself, which the caller never gets to use.
        if form.groups != self._groups:
            self._groups = None
            _setgroups(form)
            self._groups = form.groups
        gid = form.gid
        if gid != self._gid:
            self._gid = -1
            _setfsgid(gid)
            # It reports no error (a gid that the user namespace has not, say): ask once per gid.
            if gid not in self._gids:
                if _setfsgid(gid) & _NOBODY != gid:
                    raise PermissionError(1, f"cannot take gid {gid}")
                _remember(self._gids, gid)
            self._gid = gid
        if form.uid != self._uid:
            self._set_uid(form.uid)

    def _set_uid(self, uid: int) -> None:
        self._uid = -1
        _setfsuid(uid)
        if uid not in self._uids:
            if _setfsuid(uid) & _NOBODY != uid:
                raise PermissionError(1, f"cannot take uid {uid}")
            _remember(self._uids, uid)
        self._uid = uid


def _remember(known: set[int], number: int) -> None:
    if len(known) >= _KNOWN_IDS:
        known.clear()
    known.add(number)


_OWN: tuple[int, int, tuple[int, ...]] | None = None


def _own() -> tuple[int, int, tuple[int, ...]]:
    global _OWN
    if _OWN is None:
        _OWN = (os.geteuid(), os.getegid(), tuple(os.getgroups()))
    return _OWN


_threads = threading.local()


def of_this_thread() -> Identity:
    """The one `Identity` of the calling thread."""
    _own_checked()
    own = _own()  # before an `Identity` tries whom it can act as
    identity: Identity | None = getattr(_threads, "identity", None)
    if identity is None or _threads.own != own:
        identity = _threads.identity = Identity()
        _threads.own = own
    return identity


def _own_checked() -> None:
    """Forget what was known if the process has given up its user meanwhile."""
    global _OWN
    if _OWN is not None and (os.geteuid(), os.getegid()) != _OWN[:2]:
        _OWN = None


def settle_thread() -> None:
    """For the start of a pool's thread: be the process itself, whatever the maker acted as."""
    of_this_thread().rest()


class _SettledExecutor(ThreadPoolExecutor):
    """What asyncio makes as a loop's default executor, but for `settle_thread`."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio", initializer=settle_thread)


def _settle_executor(loop: asyncio.AbstractEventLoop) -> None:
    """Give the loop a default executor whose threads are the process, unless it has got one that
    asyncio has not made."""
    used = getattr(loop, "_default_executor", None)
    if used is None or (
        type(used) is ThreadPoolExecutor
        and getattr(used, "_thread_name_prefix", None) == "asyncio"
        and getattr(used, "_initializer", None) is None
    ):
        loop.set_default_executor(_SettledExecutor())
        if used is not None:
            used.shutdown(wait=False)  # what it was given it still does


def unsafe_root() -> bool:
    """Root that passes all permission checks but cannot act as anybody else."""
    return os.geteuid() == 0 and not of_this_thread().switches and effective(CAP_DAC_OVERRIDE)
