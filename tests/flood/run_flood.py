"""Measure what a flood costs a client beside it: ``python tests/flood/run_flood.py [PAIRS]``.

Against ``nfsloop serve`` with its own limits. In turns without and with the flood, the throughput
of a client with 16 GETATTRs outstanding, and with 8 READs of 64 KiB; the best of several, because
machines are noisy. Then the flood goes on until the slow and the deaf are cut off. Ends with status
1 if the client keeps less than 80 %, or the server's memory was more than docs/limits.md says.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from good import Good, Process, peak_bytes  # noqa: E402

from nfsloop.mount3.mount3_xdr import MOUNT_V3_Client  # noqa: E402
from nfsloop.nfs3 import nfs3_xdr as x  # noqa: E402
from oncrpc.client import connected  # noqa: E402
from oncrpc.message import Credential, call_header  # noqa: E402

#: How long one throughput is measured.
SECONDS = 2.0

#: What docs/limits.md promises for this flood.
FLOOD_BYTES = 128 << 20
KEPT = 0.8
MIB = 1 << 20

PLAN: dict[str, Any] = {
    "idle": 2000,
    "slow": 200,
    "deaf": 1,
    "huge": 5,
    "garbage": 2,
    "junk": 2,
    "fragments": 2,
    "seconds": 300,
}


class Server:
    """``nfsloop serve`` of a directory with one file."""

    def __init__(self, directory: str) -> None:
        export = Path(directory) / "export"
        export.mkdir()
        (export / "file").write_bytes(bytes(range(256)) * (2 * MIB // 256))
        argv = ["-m", "nfsloop", "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none"]
        argv += ["--no-udp", "--state", f"{directory}/state", "--log-level", "error"]
        self.process = subprocess.Popen(
            [sys.executable, *argv, "-o", "insecure,no_root_squash", f"/={export}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        found = re.search(r":(\d+) over", self.process.stdout.readline())
        assert found, "the server did not start"
        self.port = int(found[1])

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(30)


async def messages(port: int) -> dict[str, bytes]:
    """The calls: GETATTR of the root, READ of 64 KiB and of 1 MiB."""
    credential = Credential(flavor=1, uid=0, gid=0, machine=b"flood")
    async with connected("tcp", "127.0.0.1", port, credential) as client:
        mounted = await MOUNT_V3_Client(client).MNT(b"/")
        if mounted.value is None:
            raise AssertionError(f"not mounted: {mounted}")
        root = bytes(mounted.value.fhandle)
        nfs = x.NFS_V3_Client(client)
        found = await nfs.LOOKUP(x.LOOKUP3args(x.diropargs3(root, b"file")))
        if not isinstance(found.value, x.LOOKUP3resok):
            raise AssertionError(f"not found: {found}")
        file = bytes(found.value.object)

    def message(name: str, args: Any) -> bytes:
        (proc,) = (proc for proc in x.NFS_V3.procs.values() if proc.name == name)
        parts: list[Any] = [call_header(0, x.NFS_V3.number, 3, proc.number, credential.pack())]
        proc.encode_args(args, parts.append)
        return b"".join(parts)

    return {
        "GETATTR": message("GETATTR", x.GETATTR3args(root)),
        "READ": message("READ", x.READ3args(file, 0, 65536)),
        "MEGABYTE": message("READ", x.READ3args(file, 0, MIB)),
    }


def throughput(server: Server, message: bytes, window: int) -> float:
    """Calls a second. Raises AssertionError for an answer that is not the first one's."""
    good = Good(server.port, message, window)
    (first,) = set(good.round())
    if struct.unpack_from(">6I", first) != (1, 0, 0, 0, 0, 0):
        raise AssertionError(f"no success: {first[:24].hex()}")
    before, began = good.calls, time.monotonic()
    while (seconds := time.monotonic() - began) < SECONDS:
        # The root's access time stays: every reply is the same.
        if set(good.round()) != {first}:
            raise AssertionError("another answer")
    good.close()
    return (good.calls - before) / seconds


def measured(server: Server, calls: dict[str, bytes]) -> dict[str, float]:
    """Calls a second of each kind."""
    return {
        "GETATTR": throughput(server, calls["GETATTR"], 16),
        "READ": throughput(server, calls["READ"], 8),
    }


def pairs(server: Server, calls: dict[str, bytes], count: int) -> float:
    """Measure without and with the flood in turns; the least that is kept, best against best."""
    plan = json.dumps({**PLAN, "call": calls["MEGABYTE"].hex()})
    best_alone = {"GETATTR": 0.0, "READ": 0.0}
    best_beside = dict(best_alone)
    for pair in range(count):
        alone = measured(server, calls)
        flood = Process(str(HERE / "attackers.py"), str(server.port), plan)
        try:
            assert flood.line() == "ready"
            beside = measured(server, calls)
            counts = flood.end()
        finally:
            flood.kill()
        for name, before in alone.items():
            best_alone[name] = max(best_alone[name], before)
            best_beside[name] = max(best_beside[name], beside[name])
            print(
                f"pair {pair + 1}  {name:8} {before:9.0f}/s alone"
                f" {beside[name]:9.0f}/s in the flood  {beside[name] / before:5.0%}",
                flush=True,
            )
        told = {kind: n for kind, n in sorted(counts.items()) if not kind.endswith("ready")}
        print(f"        {told}")
    kept = {name: best_beside[name] / best_alone[name] for name in best_alone}
    for name, part in kept.items():
        print(f"best    {name:8} {best_alone[name]:9.0f}/s {best_beside[name]:9.0f}/s  {part:5.0%}")
    return min(kept.values())


def long_flood(server: Server, calls: dict[str, bytes]) -> None:
    """Until the slow and the deaf are cut off by the limits' own times."""
    until = {"slow closed": 200, "deaf closed": 1}
    plan = json.dumps({**PLAN, "seconds": 150, "call": calls["MEGABYTE"].hex(), "until": until})
    flood = Process(str(HERE / "attackers.py"), str(server.port), plan)
    good = Good(server.port, calls["GETATTR"], 1)
    try:
        assert flood.line() == "ready"
        began = time.monotonic()
        slowest = 0.0
        while flood.running:
            before = time.monotonic()
            good.round()
            slowest = max(slowest, time.monotonic() - before)
            time.sleep(0.002)
        print(
            f"the slow and the deaf were cut off within {time.monotonic() - began:.0f} s; "
            f"the slowest of {good.calls} calls took {slowest * 1000:.0f} ms"
        )
        print(f"        {flood.end()}")
    finally:
        flood.kill()
        good.close()


def main() -> int:
    """Run it all, print it, and say by the status whether it is as promised."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as directory:
        server = Server(directory)
        try:
            calls = asyncio.run(messages(server.port))
            print(f"before: {peak_bytes(server.process.pid) / MIB:.0f} MiB")
            kept = pairs(server, calls, count)
            before = server.cpu_seconds
            long_flood(server, calls)
            peak = peak_bytes(server.process.pid)
            print(f"server: {server.cpu_seconds - before:.1f} s of CPU in the long flood")
            print(f"peak:   {peak / MIB:.0f} MiB, of {FLOOD_BYTES // MIB} MiB")
        finally:
            server.end()
    return 0 if kept >= KEPT and peak < FLOOD_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
