#!/usr/bin/env python3
"""Fuzz what takes bytes of strangers: ``python3 tests/fuzz/fuzz.py [TARGET...] [--seconds N]``."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import fuzz_atheris
import fuzz_mutate
from fuzz_kinds import Target
from fuzz_targets import TARGETS

#: So that an allocation of what an input merely claims fails.
MEMORY_BYTES = 4 << 30


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60, help="in total (%(default)s)")
    parser.add_argument("--engine", choices=("mutate", "atheris"), default="mutate")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of mutate")
    parser.add_argument("--turn", type=float, default=60, help="seconds of a turn of atheris")
    parser.add_argument("--work", type=Path, help="where findings, corpora and the log go")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run TARGET on this input")
    parser.add_argument("--distill", action="store_true", help="bring WORK's corpora to the tree")
    args = parser.parse_args(argv)
    unknown = set(args.targets) - set(TARGETS)
    if unknown or (args.replay and len(args.targets) != 1):
        parser.error(f"no such target: {', '.join(unknown)}" if unknown else "--replay: one TARGET")
    if args.engine == "atheris" and not fuzz_atheris.installed():
        parser.error("atheris is not installed: pip install atheris")
    if args.work is None:
        args.work = Path(tempfile.gettempdir()) / "nfsloop-fuzz"
    return args


def mutate(targets: list[Target], args: argparse.Namespace) -> int:
    """A share of the time for each target."""
    fuzz_mutate.limit_memory(MEMORY_BYTES)
    findings = 0
    for target in targets:
        outcome = fuzz_mutate.fuzz(target, None, args.seconds / len(targets), args.seed)
        print(outcome, flush=True)
        if outcome.failure is not None:
            findings += 1
            traceback.print_exception(outcome.failure)
            folder = args.work / target.name
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"crash-{hashlib.sha1(outcome.data).hexdigest()}"
            file.write_bytes(outcome.data)
            print(f"again: python3 tests/fuzz/fuzz.py {target.name} --replay {file}", flush=True)
    return findings


def long_run(targets: list[Target], args: argparse.Namespace) -> int:
    """Turns of all targets, whose turn came least goes first; the log of before counts too."""
    args.work.mkdir(parents=True, exist_ok=True)
    turns = fuzz_atheris.turns(args.work)
    findings = 0
    ends = time.monotonic() + args.seconds
    while (left := ends - time.monotonic()) > 0:
        target = min(targets, key=lambda target: turns[target.name])
        turns[target.name] += 1
        found = fuzz_atheris.turn(target, max(1, min(args.turn, left)), args.work)
        print(" ".join(f"{key}={value}" for key, value in found.items()), flush=True)
        if found["status"]:
            findings += 1
            print(f"see {args.work / target.name}; replay a file with --replay", flush=True)
    return findings


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something was found."""
    args = arguments(argv)
    targets = [TARGETS[name] for name in args.targets or TARGETS]
    if args.replay:
        fuzz_mutate.limit_memory(MEMORY_BYTES)
        with fuzz_mutate.watched():
            fuzz_mutate.measured(targets[0], args.replay.read_bytes())
        return 0
    if args.distill:
        for target in targets:
            print(f"{target.name}: {fuzz_atheris.distill(target, args.work)} inputs in the tree")
        return 0
    run = long_run if args.engine == "atheris" else mutate
    return 1 if run(targets, args) else 0


if __name__ == "__main__":
    sys.exit(main())
