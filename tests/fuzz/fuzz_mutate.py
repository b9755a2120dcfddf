"""The small engine: replays the corpus, then mutates it for a fixed number of runs from a seed."""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import resource
import signal
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import fuzz_corpus
from fuzz_kinds import HEAP_PER_BYTE, Broken, Hang, Target

#: Nothing that is not stuck takes so long; a detector of hangs, no measure of speed.
HANG_SECONDS = 20.0

#: One run in so many is measured for what it allocates.
MEASURE_EVERY = 64

UNITS = (0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 256, 1024, 1 << 16, 1 << 20, 0x7FFFFFFF, 0x80000000,
         0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What a target's runs came to; `failure` is what the input `data` raised."""

    target: Target
    runs: int = 0
    seconds: float = 0.0
    rss_before: int = 0
    rss_after: int = 0
    data: bytes = b""
    failure: BaseException | None = None

    def __str__(self) -> str:
        rate = self.runs / self.seconds if self.seconds else 0
        return (
            f"{self.target.name}: {self.runs} runs, {rate:.0f}/s, "
            f"RSS {self.rss_before >> 10} -> {self.rss_after >> 10} MiB"
        )


def rss_kib() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") >> 10)


# -- mutations


class Mutator:
    """Inputs out of inputs, by a generator of random numbers alone."""

    def __init__(self, target: Target, rng: random.Random) -> None:
        self.target = target
        self.rng = rng
        self.words = target.words or (b"\0",)
        common: list[Callable[[bytearray], None]] = [
            self.bit, self.byte, self.word, self.word, self.remove, self.repeat, self.cut,
        ]  # fmt: skip
        self.steps = common if target.text else [*common, self.unit, self.unit, self.insert_unit]

    def mutate(self, data: bytes, other: bytes) -> bytes:
        """A few steps away from `data`, sometimes on the way to `other`."""
        made = bytearray(data)
        if self.rng.random() < 0.1:
            made[self.place(made) :] = other[self.place(bytearray(other)) :]
        for _ in range(1 + min(int(self.rng.expovariate(0.7)), 8)):
            self.rng.choice(self.steps)(made)
        return bytes(made[: self.target.max_bytes])

    def place(self, data: bytearray) -> int:
        """Somewhere in it, on a multiple of four mostly, unless it is text."""
        at = self.rng.randint(0, len(data))
        return at if self.target.text or self.rng.random() < 0.2 else at & ~3

    def bit(self, data: bytearray) -> None:
        """Turn one over."""
        if data:
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)

    def byte(self, data: bytearray) -> None:
        """Any byte for another."""
        if data:
            data[self.rng.randrange(len(data))] = self.rng.randrange(256)

    def word(self, data: bytearray) -> None:
        """One of the target's words, put in or put over what is there."""
        word = self.rng.choice(self.words)
        at = self.place(data)
        data[at : at + len(word) * self.rng.randrange(2)] = word

    def unit(self, data: bytearray) -> None:
        """Another number: one of note, or near to what it was."""
        at = self.rng.randint(0, max(0, len(data) - 4)) & ~3
        (old,) = struct.unpack(">I", bytes(data[at : at + 4]).ljust(4, b"\0"))
        near = old + self.rng.choice((-4, -1, 1, 4)) & 0xFFFFFFFF
        data[at : at + 4] = struct.pack(">I", self.rng.choice((*UNITS, near, near, near)))

    def insert_unit(self, data: bytearray) -> None:
        """A number more."""
        at = self.rng.randint(0, len(data)) & ~3
        data[at:at] = struct.pack(">I", self.rng.choice(UNITS))

    def remove(self, data: bytearray) -> None:
        """A piece less."""
        at = self.place(data)
        del data[at : at + self.size()]

    def repeat(self, data: bytearray) -> None:
        """A piece twice, or many times."""
        at = self.place(data)
        piece = data[at : at + self.size()]
        data[at:at] = piece * self.rng.choice((1, 1, 1, 2, 50))

    def cut(self, data: bytearray) -> None:
        """The end less."""
        if self.rng.random() < 0.3:
            del data[self.place(data) :]

    def size(self) -> int:
        """The length of a piece."""
        return self.rng.choice((1, 3, 8, 40)) if self.target.text else self.rng.choice((4, 8, 32))


# -- runs


@contextmanager
def watched() -> Iterator[None]:
    """Raises Hang in what takes `HANG_SECONDS`; dumps the stack if even that cannot end it."""

    def rung(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, rung)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    faulthandler.dump_traceback_later(2 * HANG_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(target: Target, data: bytes) -> None:
    """Run, and raise Broken if that allocates out of proportion to the input."""
    tracemalloc.start()
    try:
        target.run(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    most = target.heap_bytes + HEAP_PER_BYTE * len(data)
    if peak > most:
        raise Broken(f"{len(data)} bytes made it allocate {peak} bytes, more than {most}")


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """The corpus, then mutations of it without end."""
    corpus = fuzz_corpus.load(target) or [b""]
    yield from corpus
    rng = random.Random(f"{seed}:{target.name}")
    mutator = Mutator(target, rng)
    while True:
        yield mutator.mutate(rng.choice(corpus), rng.choice(corpus))


def fuzz(target: Target, runs: int | None, seconds: float | None, seed: int) -> Outcome:
    """Run `target` on so many inputs, or for so long; ends at the first failure."""
    outcome = Outcome(target, rss_before=rss_kib())
    began = time.monotonic()
    for data in inputs(target, seed):
        if runs is not None and outcome.runs >= runs:
            break
        if seconds is not None and time.monotonic() - began >= seconds:
            break
        outcome.data = data
        try:
            with watched():
                measure = outcome.runs % MEASURE_EVERY == 0
                measured(target, data) if measure else target.run(data)
        except (Exception, Hang) as exc:
            outcome.failure = exc
            break
        outcome.runs += 1
    gc.collect()
    outcome.seconds = time.monotonic() - began
    outcome.rss_after = rss_kib()
    return outcome


def limit_memory(size: int) -> None:
    """Have an allocation beyond `size` bytes fail in this process, as MemoryError."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))
