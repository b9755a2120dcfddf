"""The ring of records by itself, and the cache in one through many crashes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from test_drc import Cut

from oncrpc.call import Once
from oncrpc.drc import DuplicateRequestCache
from oncrpc.ring import Ring, in_file
from oncrpc.testing import Capture

SEGMENT = 4096


def test_a_turn_ends_the_records_of_a_segment_at_once() -> None:
    """Also if nothing is written to it: an intent must not outlive the reply behind it."""
    ring = Ring(bytearray(4 * SEGMENT), SEGMENT)
    ring.append(1, b"first", b"", 0.0)
    ring.turn()
    ring.append(2, b"second", b"", 0.0)
    for _ in range(4):
        ring.turn()
    assert Ring(ring.buffer, SEGMENT).found == []


def test_a_ring_of_noise_is_empty() -> None:
    rng = random.Random(2)
    for _ in range(200):
        ring = Ring(bytearray(rng.randbytes(4 * SEGMENT)), SEGMENT)
        assert ring.found == []
        ring.append(1, b"key", b"payload", 0.0)
        assert [record.key for record in Ring(ring.buffer, SEGMENT).found] == [b"key"]


@pytest.mark.parametrize("size", [0, SEGMENT, 2 * SEGMENT + 1])
def test_a_ring_needs_whole_segments(size: int) -> None:
    with pytest.raises(ValueError, match="segments"):
        Ring(bytearray(size), SEGMENT)


def test_a_file_is_a_ring(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    first = Ring(in_file(path, 4 * SEGMENT), SEGMENT)
    first.append(2, b"key", b"payload", 5.0)
    again = Ring(in_file(path, 4 * SEGMENT), SEGMENT)
    (record,) = again.found
    assert (record.key, record.when, again.payload(record.offset, record.length)) == (
        b"key", 5.0, b"payload",
    )  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 >= 4 * SEGMENT, "its space is not taken"
    # A copy that was made with holes.
    sparse = tmp_path / "sparse"
    sparse.touch()
    os.truncate(sparse, 4 * SEGMENT)
    in_file(sparse, 4 * SEGMENT)
    assert sparse.stat().st_blocks * 512 >= 4 * SEGMENT, "a hole is left"
    # Another size was asked for: begun anew, not half read.
    assert Ring(in_file(path, 6 * SEGMENT), SEGMENT).found == []


@pytest.mark.parametrize("seed", range(60))
def test_lives_that_end_at_any_byte(seed: int) -> None:
    """Intents and replies that were kept before the last call are there after the crash, but those
    that this call let go, and no intent comes back."""
    rng = random.Random(seed)
    segment, buffer = 1024, Cut(bytearray(1024 * rng.choice([2, 3, 4, 6])))
    entries, xids = rng.choice([5, 20, 1000]), iter(range(1 << 32))

    def open_cache() -> DuplicateRequestCache:
        return DuplicateRequestCache(Ring(buffer, segment), entries, 1e6, lambda: 1e9)

    def known(cache: DuplicateRequestCache) -> tuple[set[bytes], set[bytes]]:
        found = {key: isinstance(entry, Once) for key, entry in cache._entries.items()}
        return {key for key in found if found[key]}, {key for key in found if not found[key]}

    def new_call(cache: DuplicateRequestCache, clients: list[int]) -> Once:
        key = bytes([rng.choice(clients)]) * 16 + next(xids).to_bytes(4) + bytes(16)
        once = cache.begin(key, Capture())
        assert isinstance(once, Once)
        return once

    def one_step(cache: DuplicateRequestCache, waiting: list[Once]) -> None:
        what = rng.random()
        if what < 0.25:
            waiting.append(new_call(cache, [0, 1, 2, 3]))
            cache.intend(waiting[-1], "h", bytes(rng.randrange(60)), b"f")
        elif what < 0.4 and waiting:
            waiting.pop(rng.randrange(len(waiting))).send([bytes(rng.randrange(60))])
        elif what < 0.45 and waiting:
            waiting.pop(rng.randrange(len(waiting))).forget()
        else:
            new_call(cache, [0, 0, 0, 0, 1, 2]).send([bytes(rng.randrange(200))])

    for _ in range(4):
        cache = open_cache()
        waiting: list[Once] = []
        for once in cache._left:
            cache._drop(once)
        buffer.left = rng.randrange(200, 6000)
        while True:
            intents, replies = known(cache)
            intents -= {once.key for once in waiting if not once.intent}
            one_step(cache, waiting)
            if buffer.left <= 0:
                break
        buffer.left = float("inf")
        intents_after, replies_after = known(cache)
        cache = open_cache()
        intents_found, replies_found = known(cache)
        assert intents & intents_after <= intents_found <= intents | intents_after
        assert replies & replies_after <= replies_found
