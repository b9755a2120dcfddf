"""One TCP connection of the server: records in, replies out, many calls outstanding."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from functools import partial

from oncrpc.call import Origin, Peer
from oncrpc.dispatch import Dispatcher, Origins
from oncrpc.errors import MessageError, RecordError, Refusal
from oncrpc.guards import Client, Cut, Guards, Watch
from oncrpc.limits import (
    CORK_BYTES,
    FRAGMENTS_PER_WAKE_UP,
    JOIN_BYTES,
    RECORDS_PER_WAKE_UP,
    SMALL_RECORD_BYTES,
)
from oncrpc.message import read_call
from oncrpc.quota import Warnings
from oncrpc.record import LAST_FRAGMENT, RecordReader, Scratch, pack_mark
from oncrpc.xdr import Buffer

log = logging.getLogger("oncrpc")

#: struct tcp_info (linux/tcp.h) is shorter; it grows with the kernel.
TCP_INFO_BYTES = 512

#: Buffers in one vectored write; more than this the kernel refuses (IOV_MAX).
BUFFERS_PER_WRITE = 1024


class Connection:
    """Reads what has come in one wake-up, serves all of it, and writes the answers at once.

    It stops reading while the peer does not take its replies or has too many calls waiting, here
    or on all its connections (`oncrpc.guards`), so that one client's flood stays that client's.
    What it counts for that is counted off the fast path: a wake-up whose records are complete, are
    answered at once and whose answers the socket takes leaves nothing to count.
    """

    __slots__ = (
        "_active", "_client", "_closed", "_corked", "_dispatcher", "_finishing", "_guards", "_held",
        "_in_flight", "_junk", "_limits", "_loop", "_on_close", "_origins", "_out", "_out_bytes",
        "_owed", "_queued", "_reader", "_reading", "_sock", "_taken", "_warnings", "_watch",
        "_writing", "peer",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        dispatcher: Dispatcher,
        scratch: Scratch,
        guards: Guards,
        warnings: Warnings,
        on_close: Callable[[Connection], object],
    ) -> None:
        """Raises OSError if the connection has ended already; then `sock` is left open."""
        self.peer = peer
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._dispatcher = dispatcher
        self._guards = guards
        self._limits = limits = guards.limits
        self._warnings = warnings
        self._watch = Watch(limits)
        self._reader = RecordReader(scratch, limits.record_bytes, FRAGMENTS_PER_WAKE_UP)
        self._on_close = on_close
        self._origins: Origins = {}
        self._out: list[Buffer] = []
        self._out_bytes = 0
        self._in_flight = 0
        #: What the guards were told of: bytes in buffers of the reader's own, and of replies.
        self._held = 0
        self._owed = 0
        #: What the next sweep is told: whether a record ended, and bytes that were late to go.
        self._active = False
        self._taken = 0
        self._junk = 0
        self._corked = False
        self._reading = False
        self._writing = False
        self._finishing = False
        #: Whether it waits for its turn among the client's connections to go on.
        self._queued = False
        self._closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._client: Client = guards.client(peer.host)
        guards.opened(self._client, self)
        self._read_or_not()

    # Reading

    def _readable(self) -> None:
        if self._client.full:
            self._read_or_not()
            return
        reader = self._reader
        try:
            count = self._sock.recv_into(reader.space())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not count:
            if reader.incomplete:
                self._warnings.warn(self.peer.host, "closed within a record", level=logging.INFO)
            self.finish()
            return
        reader.received(count)
        self._serve()

    def _serve(self) -> None:
        """Serve the records that are complete, then write all that they were answered."""
        reader, dispatch, origins = self._reader, self._dispatcher.dispatch, self._origins
        room = self._guards.room
        self._corked = True
        left = RECORDS_PER_WAKE_UP
        stopped = False
        sent = self._out_bytes
        try:
            for record in reader.records():
                waits = dispatch(record, self, origins)
                left -= 1
                if waits is not None:
                    if self._began(waits, record):
                        left = 0
                elif self._out_bytes == sent:
                    self._unanswered(record)
                sent = self._out_bytes
                if sent > room or not left:
                    stopped = True
                    break
        except RecordError as exc:
            self._corked = False
            self._flush()
            self.cut(Cut.RECORD, exc)
            return
        self._corked = False
        reader.settle()
        if left != RECORDS_PER_WAKE_UP:
            self._active = True
        if reader.held or self._held:
            self._count_held(left)
        self._flush()
        if self._out_bytes != self._owed:
            self._count_owed()
        more = stopped or reader.more
        if not self._reading or more or self._in_flight or self._out_bytes or self._client.full:
            self._read_or_not(more)

    def _began(self, waits: asyncio.Future[None], record: Buffer) -> bool:
        """A call waits; whether it is the last that may."""
        self._in_flight += 1
        size = len(record)
        if size <= SMALL_RECORD_BYTES:
            size = 0
            waits.add_done_callback(self._landed)
        else:
            waits.add_done_callback(partial(self._landed, argument_bytes=size))
        self._client.began(size)
        return self._client.full or self._in_flight >= self._limits.calls_per_connection

    def _landed(self, waited: asyncio.Future[None], argument_bytes: int = 0) -> None:
        """A call that waited has been answered."""
        self._in_flight -= 1
        self._client.landed(argument_bytes)
        if self._closed:
            return
        if self._finishing:
            self._finish()
        elif not self._reading:
            self._read_or_not(more=True)

    def _unanswered(self, record: Buffer) -> None:
        """Raises RecordError if too many records have been no calls.

        Calls may go unanswered too: those that are answered elsewhere.
        """
        try:
            read_call(record)
        except Refusal:
            pass
        except MessageError:
            self._junk += 1
            if self._junk >= self._limits.junk_records:
                raise RecordError(f"{self._junk} records that are no calls") from None

    def _full(self) -> bool:
        """Whether this connection has as much outstanding as one may."""
        return (
            self._in_flight >= self._limits.calls_per_connection
            or self._out_bytes > self._guards.room
        )

    def _read_or_not(self, more: bool = False) -> None:
        """Have the loop watch for input exactly while more of it is wanted.

        `more`: something received is not served yet; that goes first, when it is its turn.
        """
        wanted = queue = False
        if not (self._closed or self._finishing or self._queued or self._full()):
            # What is full goes on by its own next event; what only its client is, in turn.
            if more or self._client.full:
                self._queued = queue = True
            else:
                wanted = True
        if wanted is not self._reading:
            self._reading = wanted
            if wanted:
                self._loop.add_reader(self._sock.fileno(), self._readable)
            else:
                self._loop.remove_reader(self._sock.fileno())
        if queue:
            self._client.queue(self)

    def go_on_soon(self) -> bool:
        """See `oncrpc.guards.Guarded`."""
        if self._closed or self._finishing or self._full():
            self._queued = False
            return False
        self._loop.call_soon(self._go_on)
        return True

    def _go_on(self) -> None:
        self._queued = False
        if not (self._closed or self._finishing):
            if self._full() or self._client.full:
                self._read_or_not(more=True)
            else:
                self._serve()
        self._client.turn_over()

    # Writing

    def send(self, parts: list[Buffer]) -> None:
        """Send one record; see `oncrpc.call.Transport`."""
        if self._closed:
            return
        length = 0
        for part in parts:
            length += len(part)
        out = self._out
        out.append(pack_mark(LAST_FRAGMENT | length))
        out += parts
        before = self._out_bytes
        self._out_bytes = before + length + 4
        if self._corked:
            if self._out_bytes > CORK_BYTES:
                self._flush()
            return
        self._client.replied(length)
        if not before:
            # Answers given by one round of the loop go out together.
            self._loop.call_soon(self._flush_late)
        if self._out_bytes - self._owed > JOIN_BYTES:
            self._count_owed()

    def _flush_late(self) -> None:
        self._flush()
        if self._out_bytes != self._owed:
            self._count_owed()
        if not (self._out or self._reading or self._finishing):
            self._read_or_not(more=True)

    def _flush(self) -> None:
        if not self._out or self._writing or self._closed:
            return
        self._write()
        if self._out and not self._closed:
            self._writing = True
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def _write(self) -> None:
        """Write until all is gone or the socket is full."""
        sock = self._sock
        while self._out:
            out, size = self._out, self._out_bytes
            try:
                if size <= JOIN_BYTES:
                    count = sock.send(b"".join(out))
                else:
                    count = sock.sendmsg(out[:BUFFERS_PER_WRITE])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                log.debug("to %s: %s", self.peer.host, exc.strerror)
                self.close()
                return
            self._out_bytes = size - count
            if count == size:
                out.clear()
            else:
                self._out = _behind(out, count)

    def _writable(self) -> None:
        before = self._out_bytes
        self._write()
        if self._closed:
            return
        self._taken += before - self._out_bytes
        self._count_owed()
        if self._closed or self._out:
            return
        self._writing = False
        self._loop.remove_writer(self._sock.fileno())
        if self._finishing:
            self._finish()
        elif not self._reading:
            self._read_or_not(more=True)

    # What the guards are told

    def _count_owed(self) -> None:
        """The socket has not taken all replies, or has taken more of them."""
        if not self._closed:
            self._owed = self._out_bytes
            self._guards.owes(self._client, self, self._owed)

    def _count_held(self, left: int) -> None:
        """Something is kept of a record that is not complete; a new one if any was served."""
        if not self._closed:
            if self._held and left != RECORDS_PER_WAKE_UP:
                self._guards.records.put(self._client, self, 0)
            self._held = self._reader.held
            self._guards.records.put(self._client, self, self._held)

    @property
    def origins(self) -> Iterable[Origin]:
        """Whom its calls came from, as far as they are remembered."""
        return self._origins.values()

    @property
    def info(self) -> bytes:
        """What the kernel tells of it: struct tcp_info (tcp(7)); empty where that is nothing."""
        try:
            return self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        except OSError:
            return b""

    @property
    def busy(self) -> bool:
        """See `oncrpc.guards.Guarded`."""
        return bool(self._in_flight or self._out_bytes or self._queued)

    def sweep(self) -> None:
        """Close it if it has been idle, at one record or not taking replies for too long.

        To be called every `ServerLimits.sweep_seconds`.
        """
        active, self._active = self._active, False
        taken, self._taken = self._taken, 0
        incomplete = self._reader.incomplete if self._reading else 0
        why = self._watch.sweep(active, self.busy, incomplete, self._out_bytes, taken)
        if active:
            self._guards.touch(self._client, self)
        if why is not None:
            self.cut(why)

    # Ending

    def finish(self) -> None:
        """Take no more calls; close when those in flight are answered and the answers written."""
        if not self._closed:
            self._finishing = True
            self._read_or_not()
            self._finish()

    def _finish(self) -> None:
        if not self._in_flight:
            self._flush()
            if not self._out:
                self.close()

    def close(self) -> None:
        """Close now; answers that are not written are lost, as they are when a network fails."""
        if self._closed:
            return
        self._closed = True
        self._queued = False
        self._read_or_not()
        if self._writing:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._out = []
        self._out_bytes = self._owed = self._held = 0
        # If a record is being served, it is the last.
        self._reader.clear()
        self._guards.closed(self._client, self)
        self._on_close(self)

    def cut(self, why: Cut, detail: object = "") -> None:
        """Close now, for a reason that is counted, and told within the quota of warnings."""
        if self._closed:
            return
        self._guards.cuts[why] += 1
        text = f"{why}: {detail}" if detail else str(why)
        self._warnings.warn(self.peer.host, "connection closed: %s", text, level=why.level)
        self.close()


def _behind(out: list[Buffer], count: int) -> list[Buffer]:
    """What is left of `out` behind its first `count` bytes."""
    for index, part in enumerate(out):
        if count < len(part):
            return [memoryview(part)[count:], *out[index + 1 :]]
        count -= len(part)
    return []
