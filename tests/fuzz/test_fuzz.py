"""The short run of every target, from a fixed seed; and that the engine finds what is planted."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from typing import Any

import fuzz_corpus
import fuzz_mutate
import pytest
from fuzz_kinds import Broken, Hang, Target
from fuzz_targets import TARGETS

from nfsloop.nfs3.server import Nfs3Service
from oncrpc import message
from oncrpc.record import RecordReader

#: Beyond the corpus; the long runs are for the rest.
RUNS = 400
SEED = 3

#: What replaying a corpus once more may leave behind: what grows by it would grow for ever.
LEFT_BYTES = 20_000

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))


def short_run(target: Target, runs: int = RUNS) -> fuzz_mutate.Outcome:
    return fuzz_mutate.fuzz(target, len(fuzz_corpus.load(target)) + runs // target.cost, None, SEED)


@every_target
def test_short_run(target: Target) -> None:
    outcome = short_run(target)
    if outcome.failure is not None:
        pytest.fail(f"{target.name}: {outcome.failure!r} for {outcome.data!r}")


@every_target
def test_nothing_is_left_behind(target: Target) -> None:
    corpus = fuzz_corpus.load(target)[:20]
    left = []
    tracemalloc.start()
    try:
        for _ in range(3):
            for data in corpus:
                target.run(data)
            gc.collect()
            left.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert left[2] - left[1] < LEFT_BYTES, left


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    files = list(fuzz_corpus.CORPUS.iterdir())
    assert {file.stem for file in files} <= TARGETS.keys()
    assert sum(file.stat().st_size for file in files) < 300_000
    for file in files:
        inputs = fuzz_corpus.read(file)
        assert len(set(inputs)) == len(inputs), file
        assert all(len(data) <= TARGETS[file.stem].max_bytes for data in inputs), file


def test_runs_are_the_same_from_the_same_seed() -> None:
    target = TARGETS["nfs3"]
    first, second = (fuzz_mutate.inputs(target, SEED) for _ in range(2))
    drawn = [next(first) for _ in range(500)]
    assert drawn == [next(second) for _ in range(500)]
    assert len(set(drawn)) > 400


# What is planted is found


def test_a_credential_of_the_wrong_flavour_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = message.read_credential

    def lax(flavor: int, body: Any) -> message.Credential:
        return real(1 if len(body) else flavor, body)

    monkeypatch.setattr(message, "read_credential", lax)
    monkeypatch.setattr(message, "_remembered", lax)
    assert isinstance(short_run(TARGETS["call"], 20_000).failure, Broken)


def test_a_record_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RecordReader.settle

    def lossy(self: RecordReader) -> None:
        if self.pending == 3:
            self.received(-3)
        real(self)

    monkeypatch.setattr(RecordReader, "settle", lossy)
    assert isinstance(short_run(TARGETS["record"], 5000).failure, Broken)


def test_a_failing_procedure_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(self: Nfs3Service, call: Any, args: Any) -> Any:
        raise ValueError("planted")

    monkeypatch.setattr(Nfs3Service, "PATHCONF", failing)
    assert isinstance(short_run(TARGETS["server"]).failure, Broken)


def test_an_allocation_of_what_is_claimed_is_found() -> None:
    def claims(data: bytes) -> None:
        (count,) = struct.unpack_from(">I", data.ljust(4, b"\0"))
        bytearray(min(count, 1 << 26))

    outcome = short_run(Target("claims", claims, lambda: [bytes(4)]), 20_000)
    assert "allocate" in str(outcome.failure)


def test_a_hang_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_mutate, "HANG_SECONDS", 0.1)

    def hangs(data: bytes) -> None:
        while data:
            pass

    outcome = short_run(Target("hangs", hangs, lambda: [b"x"]))
    assert isinstance(outcome.failure, Hang)
