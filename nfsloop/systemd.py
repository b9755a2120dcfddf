"""A service manager such as systemd: what it hands over, and what it is told.

- sd_listen_fds(3): sockets, as descriptors from 3 on, that LISTEN_PID, LISTEN_FDS and
  LISTEN_FDNAMES tell of.
- sd_notify(3): datagrams of lines such as READY=1, to the socket that NOTIFY_SOCKET names.
- sd_watchdog_enabled(3): WATCHDOG=1 at half of WATCHDOG_USEC, or the manager takes it as hung.

Imported only where these variables are set.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator, MutableMapping
from dataclasses import replace

from nfsloop.config import Settings
from nfsloop.errors import ConfigError
from nfsloop.limits import HANDED_SOCKETS
from oncrpc.net import host_port

log = logging.getLogger("nfsloop")

#: The first descriptor that is handed over.
FIRST = 3

#: Where very much waits at the manager, what it is told waits here: so many datagrams, of which the
#: oldest is lost then, and it is tried again after this time.
WAITING_DATAGRAMS = 16
RETRY_SECONDS = 0.1

#: Signs of life are no more frequent, however little patience the manager has.
LEAST_PING_SECONDS = 0.01

_WILDCARDS = {"0.0.0.0", "::"}
#: Not what `str.isdecimal` and `int` take for one: other scripts' digits, or thousands of them.
_NUMBER = re.compile("[0-9]{1,20}")


class Manager:
    """The service manager that `environ` tells process `pid` of.

    Its variables are taken out of `environ`: processes that this one starts are not meant.
    Raises ConfigError where sockets are handed over that nothing can be served on.
    """

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        #: What to serve on instead of binding; all have one port.
        self.sockets = handed_over(environ, pid)
        self._reloads = 0
        self._address = environ.pop("NOTIFY_SOCKET", "")
        self._sock: socket.socket | None = None
        if self._address:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sock.setblocking(False)
        self._waiting: deque[bytes] = deque(maxlen=WAITING_DATAGRAMS)
        self._retry: asyncio.TimerHandle | None = None
        #: Of telling it: what was logged already.
        self._failures: set[int | None] = set()
        #: Seconds between two signs of life; None: nobody waits for them.
        self.ping_seconds = watchdog_seconds(environ, pid)

    def settle(self, settings: Settings) -> Settings:
        """The settings, with those that the sockets decide. Raises ConfigError."""
        if not self.sockets:
            return settings
        if settings.workers > 1:
            raise ConfigError(
                "workers need sockets of their own each, and cannot use those that were handed "
                "over (LISTEN_FDS): use --workers 1, or stop and disable the socket unit"
            )
        log.info(
            "sockets handed over (LISTEN_FDS): %s; host, port and udp of the settings do not count",
            ", ".join(map(_name, self.sockets)),
        )
        hosts = {str(sock.getsockname()[0]) for sock in self.sockets}
        # Where there are several, the server is not on any one of them alone: who is of this
        # machine goes by each connection then.
        host = hosts.pop() if len(hosts) == 1 and not hosts & _WILDCARDS else None
        udp = socket.SOCK_DGRAM in {sock.type for sock in self.sockets}
        port = int(self.sockets[0].getsockname()[1])
        return replace(settings, host=host, port=port, udp=udp)

    # What it is told

    def tell(self, *lines: str) -> None:
        """Send lines, each NAME=VALUE, as one datagram. Never waits. What fails is logged: nobody
        who waits for the server can do anything about it."""
        self._waiting.append("\n".join(lines).encode("utf-8", "surrogateescape"))
        self._send()

    def _send(self) -> None:
        while self._waiting and self._sock is not None:
            address = self._address
            if address.startswith("@"):
                address = "\0" + address[1:]  # unix(7): an abstract socket
            try:
                self._sock.sendto(self._waiting[0], address)
            except BlockingIOError:
                self._try_again()
                return
            except OSError as exc:
                if exc.errno not in self._failures:  # it may be told every second
                    log.warning("NOTIFY_SOCKET %s: %s", self._address, exc.strerror or exc)
                self._failures.add(exc.errno)
            self._waiting.popleft()

    def _try_again(self) -> None:
        if self._retry is None:
            with contextlib.suppress(RuntimeError):  # no loop: the next one sends this too
                loop = asyncio.get_running_loop()
                self._retry = loop.call_later(RETRY_SECONDS, self._again)

    def _again(self) -> None:
        self._retry = None
        self._send()

    def ready(self, status: str) -> None:
        """Everything is up; `status` is a line for people."""
        self.tell("READY=1", f"STATUS={status}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """A reload takes place in the ``with``, beside others perhaps."""
        self._reloads += 1
        # MONOTONIC_USEC tells this reload from one that was asked for later.
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._reloads -= 1
            if not self._reloads:
                self.tell("READY=1")

    def stopping(self) -> None:
        """The server ends, when the calls in flight have."""
        self.tell("STOPPING=1", "STATUS=finishing the calls in flight")

    def watch(self) -> None:
        """Give signs of life from now on, out of the running event loop: it is what may hang."""
        if self.ping_seconds is not None:
            if not self._waiting:
                self.tell("WATCHDOG=1")
            asyncio.get_running_loop().call_later(self.ping_seconds, self.watch)


def watchdog_seconds(environ: MutableMapping[str, str], pid: int) -> float | None:
    """How often this process has to give a sign of life: twice within the manager's patience."""
    patience, whose = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not patience or whose not in {"", str(pid)}:
        return None
    if not _NUMBER.fullmatch(patience) or not int(patience):
        raise ConfigError(f"WATCHDOG_USEC is {patience!a:.60}, and not microseconds")
    return max(int(patience) / 2 / 1_000_000, LEAST_PING_SECONDS)


def handed_over(environ: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The sockets that are handed over to process `pid`, streams first, non-blocking, and not for
    its children. Raises ConfigError."""
    whose, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    environ.pop("LISTEN_PIDFDID", None)
    if not count or whose != str(pid):  # meant for whoever started us
        return []
    if not _NUMBER.fullmatch(count) or int(count) > HANDED_SOCKETS:
        raise ConfigError(f"LISTEN_FDS is {count!a:.60}, and not a number up to {HANDED_SOCKETS}")
    names += [""] * int(count)
    sockets = [_handed(FIRST + index, names[index]) for index in range(int(count))]
    sockets.sort(key=lambda sock: sock.type != socket.SOCK_STREAM)
    if sockets and sockets[0].type != socket.SOCK_STREAM:
        raise ConfigError(f"LISTEN_FDS={count}: there is no TCP socket among them (ListenStream=)")
    ports = sorted({int(sock.getsockname()[1]) for sock in sockets})
    if len(ports) > 1:
        text = ", ".join(map(str, ports))
        raise ConfigError(f"LISTEN_FDS={count}: they have the ports {text}; one port is served")
    return sockets


def _name(sock: socket.socket) -> str:
    """It, for people: ``tcp [::1]:2049``."""
    host, port = sock.getsockname()[:2]
    return f"{'tcp' if sock.type == socket.SOCK_STREAM else 'udp'} {host_port(host, port)}"


def _connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _handed(number: int, name: str) -> socket.socket:
    """The socket behind a descriptor. Raises ConfigError if NFS cannot be served on it."""
    what = f"descriptor {number} ({name})" if name else f"descriptor {number}"
    what += ", handed over (LISTEN_FDS),"
    try:
        os.set_inheritable(number, False)
        sock = socket.socket(fileno=number)
    except OSError as exc:
        raise ConfigError(f"{what} is no socket: {exc.strerror}") from None
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        raise ConfigError(f"{what} is no socket of IPv4 or IPv6")
    if sock.type not in {socket.SOCK_STREAM, socket.SOCK_DGRAM}:
        raise ConfigError(f"{what} is neither TCP nor UDP")
    if sock.type == socket.SOCK_STREAM:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError(f"{what} does not listen; a socket unit must not have Accept=yes")
    elif not sock.getsockname()[1]:
        raise ConfigError(f"{what} is not bound")
    elif _connected(sock):
        raise ConfigError(f"{what} is connected, and hears one client alone")
    sock.setblocking(False)
    return sock
