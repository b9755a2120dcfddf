"""The server's datagrams: one call a datagram, answered from the address that it was sent to."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from functools import partial
from typing import Any

from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher, Origins
from oncrpc.errors import SystemErr
from oncrpc.guards import Client, Guards
from oncrpc.limits import (
    DATAGRAM_BYTES,
    DATAGRAM_SENDERS,
    DATAGRAMS_PER_WAKE_UP,
    SMALL_RECORD_BYTES,
    UDP_RECEIVE_BYTES,
)
from oncrpc.message import refusal
from oncrpc.net import peer_of
from oncrpc.xdr import Buffer

log = logging.getLogger("oncrpc")

# Linux's values, where Python's socket module has no name for them.
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)

_ANCILLARY_BYTES = 128


class Reply:
    """The way back to one datagram's sender."""

    __slots__ = ("_ancillary", "_sock", "_to", "peer")

    def __init__(self, sock: socket.socket, to: Any, ancillary: list[Any]) -> None:
        self.peer = peer_of(to, "udp")
        self._sock = sock
        self._to = to
        self._ancillary = ancillary

    def send(self, parts: list[Buffer]) -> None:
        """Send one datagram; see `oncrpc.call.Transport`."""
        message = b"".join(parts)
        try:
            self._sock.sendmsg([message], self._ancillary, 0, self._to)
        except OSError as exc:
            # Datagrams may be lost; the caller asks again. One that no datagram holds is refused.
            log.debug("to %s over udp: %s", self.peer.host, exc.strerror)
            if exc.errno == errno.EMSGSIZE:
                (xid,) = struct.unpack_from(">I", message)
                self.send([refusal(xid, SystemErr())])


class Datagrams:
    """A bound UDP socket, served.

    A call of a client that has as much waiting as it may is dropped: it is sent again. So one
    client does not take all of what the socket may have waiting (`ServerLimits.datagram_calls`).
    """

    def __init__(self, sock: socket.socket, dispatcher: Dispatcher, guards: Guards) -> None:
        self._sock = sock
        self._dispatcher = dispatcher
        self._guards = guards
        self._most = guards.limits.datagram_calls
        self._most_per_client = guards.limits.calls_per_connection
        #: Datagrams dropped because their client had too much waiting.
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._reading = True
        self._origins: dict[Peer, Origins] = {}
        # As much as the system allows: what does not fit is lost before anybody can answer it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BYTES)
        _report_destination(sock)
        self._loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_WAKE_UP):
            try:
                data, ancillary, _, source = self._sock.recvmsg(DATAGRAM_BYTES, _ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                # An ICMP error to an earlier answer, reported here: nothing to do about it.
                log.debug("udp: %s", exc.strerror)
                continue
            reply = Reply(self._sock, source, _from(ancillary))
            host = reply.peer.host
            client = self._guards.clients.get(host)
            if client is not None and (client.full or client.datagrams >= self._most_per_client):
                self.dropped += 1
                continue
            waits = self._dispatcher.dispatch(data, reply, self._origins_of(reply.peer))
            if waits is not None:
                self._began(waits, self._guards.client(host), len(data))
                if self._in_flight >= self._most:
                    self._loop.remove_reader(self._sock.fileno())
                    return

    def _origins_of(self, peer: Peer) -> Origins:
        origins = self._origins.get(peer)
        if origins is None:
            if len(self._origins) >= DATAGRAM_SENDERS:
                self._origins.clear()
            origins = self._origins[peer] = {}
        return origins

    def _began(self, waits: asyncio.Future[None], client: Client, size: int) -> None:
        size = size if size > SMALL_RECORD_BYTES else 0
        self._in_flight += 1
        client.datagrams += 1
        client.began(size)
        waits.add_done_callback(partial(self._landed, client, size))

    def _landed(self, client: Client, size: int, waited: asyncio.Future[None]) -> None:
        self._in_flight -= 1
        client.datagrams -= 1
        client.landed(size)
        if self._reading and self._in_flight == self._most - 1:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def pause(self) -> None:
        """Take no more datagrams; those in flight are still answered."""
        self._reading = False
        self._loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        """Close the socket."""
        self.pause()
        self._sock.close()


def _report_destination(sock: socket.socket) -> None:
    """A socket of all addresses answers from the one that was asked (clients check), so ask for it.

    An IPv6 socket that takes IPv4 too reports both as IPv6.
    """
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _from(ancillary: list[Any]) -> list[Any]:
    """The control message that makes an answer come from where its call went to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            return [(level, kind, data)]
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            # in_pktinfo: interface, the local address to send from, the header's destination.
            index, local, _ = struct.unpack("=i4s4s", data)
            return [(level, kind, struct.pack("=i4s4s", index, local, b"\0" * 4))]
    return []
