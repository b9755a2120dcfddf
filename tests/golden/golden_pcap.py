"""Messages as a capture of TCP connections, and tshark's reading of one: an independent oracle."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE = "NFSLOOP_REQUIRE_PEERS"

#: The ports of the servers in a capture, by program.
PORTS = {100003: 2049, 100005: 20048, 100021: 32803, 100227: 2049}

SEGMENT_BYTES = 1400
TSHARK_SECONDS = 100

_PCAP_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)  # version 2.4, Ethernet
_ETHERNET = bytes(12) + b"\x08\x00"
_LOCALHOST = bytes([127, 0, 0, 1])
_PSH_ACK = 0x18


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where CI says that tests with peers must run."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(reason)


def marked(message: bytes) -> bytes:
    """A message as a record of one fragment (RFC 5531 section 11)."""
    return struct.pack(">I", 0x80000000 | len(message)) + message


@dataclass(frozen=True)
class Turn:
    """Bytes that one side sends."""

    from_server: bool
    data: bytes


def exchange(call: bytes, reply: bytes | None = None) -> list[Turn]:
    """A call and its reply, with record marks."""
    turns = [Turn(False, marked(call))]
    return turns if reply is None else [*turns, Turn(True, marked(reply))]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(ports: tuple[int, int], seq: int, ack: int, data: bytes) -> bytes:
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, ack, 5 << 4, _PSH_ACK, 65535, 0, 0) + data
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0)
    head += _LOCALHOST * 2
    head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
    return _ETHERNET + head + tcp


def capture(connections: Sequence[tuple[int, Sequence[Turn]]]) -> tuple[bytes, list[list[int]]]:
    """A pcap file of connections to server ports, each from a client port of its own.

    With it come the numbers of the frames that end each turn of each connection.
    """
    out = [_PCAP_HEAD]
    last: list[list[int]] = []
    frame = 0
    for index, (server, turns) in enumerate(connections):
        client = 40000 + index
        sent = {False: 1, True: 1}
        last.append([])
        for turn in turns:
            ports = (server, client) if turn.from_server else (client, server)
            for start in range(0, len(turn.data), SEGMENT_BYTES):
                data = turn.data[start : start + SEGMENT_BYTES]
                packet = _packet(ports, sent[turn.from_server], sent[not turn.from_server], data)
                sent[turn.from_server] += len(data)
                frame += 1
                seconds, size = 1_700_000_000 + frame, len(packet)
                out += [struct.pack("<IIII", seconds, 0, size, size), packet]
            last[-1].append(frame)
    return b"".join(out), last


class Reading:
    """What tshark makes of a capture: the values of fields by frame, and its text."""

    def __init__(self, pcap: bytes, folder: Path) -> None:
        found = shutil.which("tshark")
        if found is None:
            unavailable("tshark is not installed")
        self._tshark: str = found
        self._folder = folder
        self._file = folder / "golden.pcap"
        self._file.write_bytes(pcap)

    def _run(self, *args: str) -> str:
        environment = os.environ | {"WIRESHARK_CONFIG_DIR": str(self._folder), "LC_ALL": "C.UTF-8"}
        command = [self._tshark, "-n", "-r", str(self._file), *args]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            timeout=TSHARK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="replace")

    def fields(self, *names: str) -> dict[int, dict[str, list[str]]]:
        """All values of fields, by frame number and name; a field that is absent has none."""
        wanted = [arg for name in ("frame.number", *names) for arg in ("-e", name)]
        options = ["-T", "fields", "-E", "separator=/t", "-E", "aggregator=|", "-E", "occurrence=a"]
        text = self._run(*options, *wanted)
        frames = {}
        for line in text.splitlines():
            number, *values = line.split("\t")
            frames[int(number)] = {
                name: value.split("|") if value else []
                for name, value in zip(names, values, strict=True)
            }
        return frames

    def text(self) -> str:
        """The whole dissection, as a person reads it (-V)."""
        return self._run("-V")
