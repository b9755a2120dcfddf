"""One TCP connection of the server: records in, replies out, many calls outstanding."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from oncrpc.call import Peer
from oncrpc.dispatch import Dispatcher
from oncrpc.errors import RecordError
from oncrpc.limits import (
    BACKLOG_BYTES,
    CALLS_IN_FLIGHT,
    CORK_BYTES,
    JOIN_BYTES,
    RECORDS_PER_WAKE_UP,
)
from oncrpc.record import RecordReader, Scratch, mark
from oncrpc.xdr import Buffer

log = logging.getLogger("oncrpc")

#: Buffers in one vectored write; more than this the kernel refuses (IOV_MAX).
BUFFERS_PER_WRITE = 1024


class Connection:
    """Reads what has come in one wake-up, serves all of it, and writes the answers at once.

    It stops reading while the peer does not take its replies (`BACKLOG_BYTES`) or has too many
    calls waiting (`CALLS_IN_FLIGHT`), so that one client's flood stays that client's.
    """

    __slots__ = (
        "_closed", "_corked", "_dispatcher", "_finishing", "_going_on", "_in_flight", "_loop",
        "_on_close",
        "_out", "_out_bytes", "_reader", "_reading", "_sock", "_writing", "peer",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        dispatcher: Dispatcher,
        scratch: Scratch,
        on_close: Callable[[Connection], object],
    ) -> None:
        self.peer = peer
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._dispatcher = dispatcher
        self._reader = RecordReader(scratch)
        self._on_close = on_close
        self._out: list[Buffer] = []
        self._out_bytes = 0
        self._in_flight = 0
        self._corked = False
        self._reading = False
        self._writing = False
        self._finishing = False
        self._going_on = False
        self._closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._read_or_not()

    # Reading

    def _readable(self) -> None:
        reader = self._reader
        try:
            count = self._sock.recv_into(reader.space())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not count:
            if reader.pending:
                log.info("from %s: closed within a record", self.peer.host)
            self.finish()
            return
        reader.received(count)
        self._serve()

    def _serve(self) -> None:
        """Serve the records that are complete, then write all that they were answered."""
        reader, dispatch = self._reader, self._dispatcher.dispatch
        self._corked = True
        left = RECORDS_PER_WAKE_UP
        stopped = False
        try:
            for record in reader.records():
                waits = dispatch(record, self)
                left -= 1
                if waits is not None:
                    self._in_flight += 1
                    waits.add_done_callback(self._landed)
                if (
                    self._out_bytes > BACKLOG_BYTES
                    or self._in_flight >= CALLS_IN_FLIGHT
                    or not left
                ):
                    stopped = True
                    break
        except RecordError as exc:
            log.warning("from %s: %s; connection closed", self.peer.host, exc)
            self._corked = False
            self._flush()
            self.close()
            return
        self._corked = False
        reader.settle()
        self._flush()
        if stopped and not self._full():
            self._go_on_soon()
        self._read_or_not()

    def _full(self) -> bool:
        """Whether the peer has as much outstanding as it may: then it is not served."""
        return self._in_flight >= CALLS_IN_FLIGHT or self._out_bytes > BACKLOG_BYTES

    def _go_on_soon(self) -> None:
        """Serve what is received already in the next round of the loop; read no more till then."""
        if not self._going_on:
            self._going_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._going_on = False
        if self._closed or self._finishing:
            return
        if self._full():
            self._read_or_not()
        else:
            self._serve()

    def _landed(self, waited: asyncio.Future[None]) -> None:
        """A call that waited has been answered."""
        self._in_flight -= 1
        if self._closed:
            return
        if self._finishing:
            self._finish()
        elif not self._reading and not self._full():
            self._go_on_soon()

    def _read_or_not(self) -> None:
        """Have the loop watch for input exactly while more of it is wanted."""
        wanted = not (self._closed or self._finishing or self._going_on or self._full())
        if wanted is self._reading:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._sock.fileno(), self._readable)
        else:
            self._loop.remove_reader(self._sock.fileno())

    # Writing

    def send(self, parts: list[Buffer]) -> None:
        """Send one record; see `oncrpc.call.Transport`."""
        if self._closed:
            return
        length = sum(map(len, parts))
        out = self._out
        out.append(mark(length))
        out += parts
        before = self._out_bytes
        self._out_bytes = before + length + 4
        if self._corked:
            if self._out_bytes > CORK_BYTES:
                self._flush()
        elif not before:
            # Answers given by one round of the loop go out together.
            self._loop.call_soon(self._flush)

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
                log.info("to %s: %s", self.peer.host, exc.strerror)
                self.close()
                return
            self._out_bytes = size - count
            if count == size:
                out.clear()
            else:
                self._out = _behind(out, count)

    def _writable(self) -> None:
        self._write()
        if self._closed or self._out:
            return
        self._writing = False
        self._loop.remove_writer(self._sock.fileno())
        if self._finishing:
            self._finish()
        elif not self._reading and not self._full():
            self._go_on_soon()

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
        self._read_or_not()
        if self._writing:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._out.clear()
        self._on_close(self)


def _behind(out: list[Buffer], count: int) -> list[Buffer]:
    """What is left of `out` behind its first `count` bytes."""
    for index, part in enumerate(out):
        if count < len(part):
            return [memoryview(part)[count:], *out[index + 1 :]]
        count -= len(part)
    return []
