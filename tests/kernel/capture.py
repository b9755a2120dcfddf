"""Packets seen on the bridge, and what tshark has to say against them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from .harness import BRIDGE, HarnessError, Network, kill_session, spawn

# portmapper, nfsloop's servers, ganesha's mountd
SERVER_PORTS = (111, 2049, 2050, 2051, 20048)
FIELDS = (
    "frame.number",
    "_ws.malformed",
    "rpc.msgtyp",
    "rpc.replystat",
    "rpc.state_accept",
    "rpc.state_reject",
    "rpc.program",
    "rpc.programversion",
    "nfs.status3",
)


@dataclass
class WireReport:
    """What a capture shows. `refusals` counts replies without success, by program and reason."""

    calls: int = 0
    replies: int = 0
    malformed: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)


class Capture:
    """dumpcap on the bridge, from `start` to `stop`; `report` decodes what was written."""

    def __init__(self, network: Network, path: Path, capture_filter: str = "") -> None:
        self.network = network
        self.path = path
        self.filter = capture_filter
        self._process: subprocess.Popen[bytes] | None = None
        self._log = path.with_suffix(".log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        argv = ["dumpcap", "-q", "-i", BRIDGE, "-B", "64", "-w", str(self.path)]
        if self.filter:
            argv += ["-f", self.filter]
        with self._log.open("wb") as log:
            self._process = spawn(self.network.argv(argv), log)
        deadline = time.monotonic() + 10
        while "File:" not in self._log.read_text(errors="replace"):  # written once it listens
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise HarnessError(f"dumpcap: {self._log.read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the capture; again is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        finally:
            kill_session(process.pid)

    def report(self) -> WireReport:
        """Decode with tshark what went to and from SERVER_PORTS."""
        argv = ["tshark", "-r", str(self.path), "-T", "fields", "-E", "separator=|"]
        argv += ["-o", "tcp.reassemble_out_of_order:TRUE"]
        ports = f"{{{','.join(map(str, SERVER_PORTS))}}}"
        argv += ["-Y", f"(tcp.port in {ports} || udp.port in {ports}) && (rpc || _ws.malformed)"]
        # The client's reserved ports belong to other protocols by number: say that it is RPC.
        for port in SERVER_PORTS:
            argv += ["-d", f"tcp.port=={port},rpc", "-d", f"udp.port=={port},rpc"]
        for name in FIELDS:
            argv += ["-e", name]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise HarnessError(f"tshark: {done.stderr}")
        report = WireReport()
        for line in done.stdout.splitlines():
            self._count(report, line.split("|"))
        return report

    @staticmethod
    def _count(report: WireReport, row: list[str]) -> None:
        """One frame may hold several messages: each field is then a list with commas."""
        frame, malformed, kinds, denied, accepted, rejected, program, version, status = row
        if malformed:
            report.malformed.append(f"frame {frame}: {malformed} program {program} v{version}")
        messages = kinds.split(",")
        report.calls += messages.count("0")
        report.replies += messages.count("1")
        for state in accepted.split(","):
            if state not in ("", "0"):
                report.refusals[f"program {program} v{version} accept_stat {state}"] += 1
        if "1" in denied.split(","):
            report.refusals[f"program {program} v{version} denied {rejected}"] += 1
        report.statuses.update(code for code in status.split(",") if code)
