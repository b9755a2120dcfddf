"""What `backends.kvfs.engine` promises, asked of both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.kvfs import MemoryEngine
from backends.kvfs.engine import Engine
from backends.sqlite.engine import SqliteEngine


@pytest.fixture(params=["memory", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine: Engine
    engine = MemoryEngine() if request.param == "memory" else SqliteEngine(tmp_path / "fs.db")
    engine.open()
    yield engine
    engine.close()


def put(engine: Engine, *keys: bytes) -> None:
    tx = engine.begin(write=True)
    for key in keys:
        tx.put(key, b"value of " + key)
    tx.commit()


def keys(engine: Engine, first: bytes, last: bytes) -> list[bytes]:
    tx = engine.begin(write=False)
    try:
        return [key for key, _ in tx.scan(first, last)]
    finally:
        tx.abort()


def test_a_transaction_sees_itself_and_is_seen_after_its_commit(engine: Engine) -> None:
    tx = engine.begin(write=True)
    assert tx.get(b"Xa") is None
    tx.put(b"Xa", b"1")
    tx.put(b"Xa", b"2")
    tx.put(b"Xb", b"")
    assert tx.get(b"Xa") == b"2"
    assert list(tx.scan(b"X", b"Y")) == [(b"Xa", b"2"), (b"Xb", b"")]
    tx.delete(b"Xa")
    tx.delete(b"never there")
    assert tx.get(b"Xa") is None
    assert list(tx.scan(b"X", b"Y")) == [(b"Xb", b"")]
    tx.commit()
    assert keys(engine, b"X", b"Y") == [b"Xb"]


def test_an_aborted_one_leaves_no_trace(engine: Engine) -> None:
    put(engine, b"Xa", b"Xb")
    tx = engine.begin(write=True)
    tx.put(b"Xa", b"other")
    tx.put(b"Xc", b"new")
    tx.delete(b"Xb")
    tx.blocks.write(7, 0, b"block")
    tx.abort()
    tx = engine.begin(write=False)
    assert [value for _, value in tx.scan(b"X", b"Y")] == [b"value of Xa", b"value of Xb"]
    assert list(tx.blocks.read(7, 0, 10)) == []
    tx.abort()


def test_keys_are_in_the_order_of_their_bytes(engine: Engine) -> None:
    some = [b"Xa", b"X", b"X\x00", b"X\xff", b"X\xff\xff", b"Xa\x00", b"Xb", b"Y", b"W", b"X\x80"]
    put(engine, *some)
    assert keys(engine, b"W", b"Z") == sorted(some)
    assert keys(engine, b"X\x00", b"Xb") == [b"X\x00", b"Xa", b"Xa\x00"]
    assert keys(engine, b"Xa", b"Xa") == []


def test_a_scan_mixes_old_and_new(engine: Engine) -> None:
    put(engine, b"Xb", b"Xd", b"Xf")
    tx = engine.begin(write=True)
    tx.put(b"Xa", b"")
    tx.put(b"Xc", b"")
    tx.put(b"Xg", b"")
    tx.delete(b"Xd")
    assert [key for key, _ in tx.scan(b"X", b"Y")] == [b"Xa", b"Xb", b"Xc", b"Xf", b"Xg"]
    tx.abort()


def test_taking_a_few_of_a_scan(engine: Engine) -> None:
    put(engine, *(b"X%03d" % number for number in range(500)))
    tx = engine.begin(write=True)
    scan = tx.scan(b"X", b"Y")
    first = [next(scan)[0] for _ in range(3)]
    for key in first:
        tx.delete(key)
    assert next(scan)[0] == b"X003"
    tx.commit()
    assert len(keys(engine, b"X", b"Y")) == 497


def test_blocks(engine: Engine) -> None:
    tx = engine.begin(write=True)
    for number in (0, 1, 5, 2**47):
        tx.blocks.write(7, number, b"%d" % number)
    tx.blocks.write(8, 1, memoryview(bytearray(b"of another")))
    tx.blocks.write(7, 1, b"replaced")
    assert list(tx.blocks.read(7, 0, 6)) == [(0, b"0"), (1, b"replaced"), (5, b"5")]
    tx.commit()
    tx = engine.begin(write=True)
    assert list(tx.blocks.read(7, 1, 5)) == [(1, b"replaced")]
    assert [tuple(found) for found in tx.blocks.scan(7, 1, 2**48)] == [
        (7, 1, 8), (7, 5, 1), (7, 2**47, len(str(2**47)))
    ]  # fmt: skip
    assert list(tx.blocks.objects(0)) == [7, 8]
    assert list(tx.blocks.objects(8)) == [8]
    assert tx.blocks.delete(7, 1, 2) == (2, 9)
    assert [number for number, _ in tx.blocks.read(7, 0, 2**48)] == [0, 2**47]
    assert tx.blocks.delete(7, 0, 10)[0] == 2
    assert tx.blocks.delete(7, 0, 10) == (0, 0)
    assert list(tx.blocks.read(8, 0, 2)) == [(1, b"of another")]
    tx.commit()


def test_the_largest_numbers_and_a_block_of_full_size(engine: Engine) -> None:
    block, most = bytes(engine.block_bytes), 2**63 - 2
    tx = engine.begin(write=True, sync=True)
    tx.blocks.write(most, most, block)
    tx.put(b"X" * 300, b"v" * 5000)
    tx.commit()
    tx = engine.begin(write=False)
    assert list(tx.blocks.read(most, most, most + 1)) == [(most, block)]
    assert tx.get(b"X" * 300) == b"v" * 5000
    tx.abort()


def test_space_and_health(engine: Engine) -> None:
    engine.sync()
    total, free = engine.space()
    assert 0 < free <= total
    assert engine.room()
    assert engine.health() is None
    assert engine.check(repair=False) == []
    assert engine.life() == engine.life()
    assert 0 < len(engine.life()) <= 64


def test_memory_loses_what_was_not_synced() -> None:
    """The engine that the power-loss tests stand on."""
    engine = MemoryEngine()
    put(engine, b"Xa", b"Xb")
    engine.sync()
    put(engine, b"Xc")
    tx = engine.begin(write=True)
    tx.delete(b"Xa")
    tx.put(b"Xb", b"other")
    tx.commit()
    life = engine.life()
    engine.memory.lose_power()
    assert keys(engine, b"X", b"Y") == [b"Xa", b"Xb"]
    assert engine.memory.values[b"Xb"] == b"value of Xb"
    assert engine.life() != life
    tx = engine.begin(write=True, sync=True)
    tx.put(b"Xd", b"")
    tx.commit()
    engine.memory.lose_power()
    assert keys(engine, b"X", b"Y") == [b"Xa", b"Xb", b"Xd"]
    assert engine.check(repair=False) == []
    engine.memory.keys.pop()
    assert engine.check(repair=False) != []
