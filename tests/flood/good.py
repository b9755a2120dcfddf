"""The client that means no harm, and what the flood tests share."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LAST = 0x80000000


class Good:
    """One connection with some calls outstanding, all of one message but for its xid."""

    def __init__(self, port: int, message: bytes, window: int) -> None:
        self.calls = 0
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._message = message
        self._window = window

    def round(self) -> list[bytes]:
        """A window of calls, sent together; their replies, in the order of the calls."""
        xids = range(self.calls, self.calls + self._window)
        rest = self._message[4:]
        mark = struct.pack(">I", LAST | len(self._message))
        self._sock.sendall(b"".join(mark + struct.pack(">I", xid) + rest for xid in xids))
        replies: dict[int, bytes] = {}
        while len(replies) < self._window:
            reply = self._reply()
            (xid,) = struct.unpack_from(">I", reply)
            if xid not in xids or xid in replies:
                raise AssertionError(f"an answer to {xid} that was not asked for")
            replies[xid] = reply
        self.calls += self._window
        return [replies[xid][4:] for xid in xids]

    def _reply(self) -> bytes:
        buffer = self._buffer
        while len(buffer) < 4 or len(buffer) < 4 + (_length(buffer) & ~LAST):
            data = self._sock.recv(1 << 20)
            if not data:
                raise AssertionError("the server closed the connection of a good client")
            buffer += data
        end = 4 + (_length(buffer) & ~LAST)
        reply = bytes(buffer[4:end])
        del buffer[:end]
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


def _length(buffer: bytearray) -> int:
    return int.from_bytes(buffer[:4], "big")


class Process:
    """A program of this directory that runs until its input is closed, and then tells."""

    def __init__(self, *argv: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"ended early: {self._process.communicate()[1][-2000:]}")
        return line.strip()

    def end(self) -> dict[str, Any]:
        """What it tells at its end."""
        out, err = self._process.communicate("", timeout=60)
        assert self._process.returncode == 0, err[-2000:]
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
        return told

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Make sure that it has ended."""
        self._process.kill()
        self._process.communicate()


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10
