"""The engine for long runs: atheris (libFuzzer), guided by coverage. Not needed for the tests.

Targets take turns, each turn is a process: what it leaks ends with it, and is seen in its log.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fuzz_corpus
from fuzz_kinds import HERE, Target

PACKAGES = ("oncrpc", "portmap", "nfsloop", "backends")
#: A turn that does not end by itself is ended so many seconds after its time.
GRACE_SECONDS = 60
MERGE_SECONDS = 600

_STATS = re.compile(rb"stat::(\w+):\s+(\d+)")
_RSS = re.compile(rb"INITED.* rss: (\d+)Mb")


def installed() -> bool:
    """Whether the engine can be used here."""
    return importlib.util.find_spec("atheris") is not None


def child(name: str, argv: list[str]) -> None:
    """Fuzz one target in this process until libFuzzer ends it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(PACKAGES)):
        import fuzz_mutate
        import fuzz_targets
    target = fuzz_targets.TARGETS[name]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """Every other time libFuzzer's mutations, which know what they have seen compared."""
        if seed & 1:
            return bytes(atheris.Mutate(data, max_size))
        mutator = fuzz_mutate.Mutator(target, random.Random(seed))
        return mutator.mutate(data, b"")[:max_size]

    def one(data: bytes) -> None:
        target.run(data)

    atheris.Setup([os.environ.get("FUZZ_AGAIN", sys.argv[0]), *argv], one, custom_mutator=mutate)
    atheris.Fuzz()


def turn(target: Target, seconds: float, work: Path) -> dict[str, Any]:
    """One turn of a target; what libFuzzer said of it. Findings lie in ``WORK/TARGET``."""
    corpus = work / target.name / "corpus"
    if not corpus.exists():
        fuzz_corpus.spill(target, corpus)
    options = {
        "max_total_time": int(seconds), "max_len": target.max_bytes, "timeout": 20,
        "rss_limit_mb": 2048, "print_final_stats": 1, "verbosity": 1,
        "artifact_prefix": f"{corpus.parent}/",
    }  # fmt: skip
    flags = [f"-{key}={value}" for key, value in options.items()]
    code, out = _run(target, [*flags, str(corpus)], seconds)
    stats = {key.decode(): int(value) for key, value in _STATS.findall(out)}
    rss = _RSS.search(out)
    found: dict[str, Any] = {
        "target": target.name,
        "runs": stats.get("number_of_executed_units", 0),
        "rss_start_mb": int(rss[1]) if rss else 0,
        "rss_peak_mb": stats.get("peak_rss_mb", 0),
        "corpus": len(list(corpus.iterdir())),
        "status": code,
    }
    if code:
        (corpus.parent / f"failure-{int(time.time())}.log").write_bytes(out[-20_000:])
    with open(work / "log.jsonl", "a") as log:
        log.write(json.dumps({"time": int(time.time()), **found}) + "\n")
    return found


def turns(work: Path) -> Counter[str]:
    """How many turns each target had so far."""
    log = work / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(json.loads(line)["target"] for line in lines)


def distill(target: Target, work: Path) -> int:
    """Bring what the long run found of `target` into the tree: the smallest of what covers it."""
    corpus, least = work / target.name / "corpus", work / target.name / "least"
    least.mkdir(parents=True, exist_ok=True)
    for old in least.iterdir():
        old.unlink()
    # To merge, libFuzzer starts argv[0] with arguments of its own.
    again = work / target.name / "again"
    again.write_text(f'#!/bin/sh\nexec {shlex.join(_command(target))} "$@"\n')
    again.chmod(0o700)
    flags = ["-merge=1", f"-max_len={target.max_bytes}", str(least), str(corpus)]
    _run(target, flags, MERGE_SECONDS, {"FUZZ_AGAIN": str(again)})
    return fuzz_corpus.write(target, (file.read_bytes() for file in least.iterdir()))


def _command(target: Target) -> list[str]:
    return [sys.executable, str(HERE / "fuzz_atheris.py"), target.name]


def _run(
    target: Target, argv: Iterable[str], seconds: float, env: dict[str, str] | None = None
) -> tuple[int, bytes]:
    try:
        done = subprocess.run(
            [*_command(target), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=seconds + GRACE_SECONDS, check=False, env={**os.environ, **(env or {})},
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        return -1, exc.stdout or b"never ended"
    return done.returncode, done.stdout


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2:])
