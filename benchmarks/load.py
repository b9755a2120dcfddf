"""One run of the load generator: its command line, and its line of JSON. Knows both generators."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cases import Case
from .errors import BenchError
from .servers import Place, Running

#: What a run may take beyond what is measured: a million files are made in some minutes.
PATIENCE_SECONDS = 900


class RunFailed(BenchError):
    """One run gave no figures."""


@dataclass(frozen=True)
class Generator:
    """A compiled generator. `own`: this project's, else nfsload, which has fewer options."""

    program: Path
    own: bool
    cores: str = ""
    warmup: float = 0.2
    files: int = 1000
    uid: int = 0
    data_mib: int = 64
    options: tuple[str, ...] = ()

    def argv(self, place: Place, server: Running, case: Case, seconds: float) -> list[str]:
        """The command line of one run."""
        pinned = ["taskset", "-c", self.cores] if self.cores else []
        words: list[str | int | float] = [
            *(str(self.program), "127.0.0.1", server.port, server.mount_port, server.export),
            *(case.call, "-w", case.outstanding, "-c", case.connections, "-t", seconds),
            *("-n", self.files),
        ]
        if case.size:
            words += ["-s", case.size]
        if self.own:
            words += [
                "-u",
                self.warmup,
                "-U",
                self.uid,
                "-G",
                self.uid,
                "-m",
                self.data_mib,
                *self.options,
            ]
        for pid in server.pids():
            words += ["-p", pid]
        return place.argv([*pinned, *map(str, words)])

    def run(self, place: Place, server: Running, case: Case, seconds: float) -> dict[str, Any]:
        """Measure `case` for `seconds`. Raises `RunFailed` with the generator's words."""
        argv = self.argv(place, server, case, seconds)
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=seconds + PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise RunFailed("the generator does not end") from exc
        if not done.stdout.startswith("{"):
            words = done.stderr.strip() or f"exit status {done.returncode}"
            raise RunFailed(words)
        return parse(done.stdout, case)


def parse(text: str, case: Case) -> dict[str, Any]:
    """A generator's line as a run in a result file; rates by the case's unit."""
    raw: dict[str, Any] = json.loads(text)
    if "calls_s" not in raw:  # nfsload: it does not count entries
        raw = {
            "calls_s": raw["ops_s"],
            "MB_s": raw["MB_s"],
            "p50_us": raw["p50_us"],
            "p99_us": raw["p99_us"],
            "max_us": raw["max_us"],
            "cpu_us_call": raw["cpu_us_op"],
            "errors": raw["errors"],
        }
    kept = ("calls", "calls_s", "MB_s", "p50_us", "p99_us", "max_us", "errors", "first_error",
            "seconds", "entries", "entries_with_attributes", "load_us_call")  # fmt: skip
    run = {name: raw[name] for name in kept if name in raw}
    run["cpu_us"] = raw["cpu_us_call"]
    run["rate"] = raw["calls_s"]
    if case.unit == "entry" and raw.get("entries"):
        run["cpu_us"] = raw["server_cpu_s"] * 1e6 / raw["entries"]
        run["rate"] = raw["entries"] / raw["seconds"]
    return run


def probe(generator: Generator, place: Place, server: Running) -> Sequence[str]:
    """A run that ends at once and succeeds when the export can be mounted."""
    return generator.argv(place, server, Case("null", 0, 1, 1), 0.01)
