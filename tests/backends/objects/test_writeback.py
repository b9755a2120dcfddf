"""`backends.writeback`: what is answered is kept, what is committed is in the store."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import FsError, Status
from backends.writeback import buffer, local
from backends.writeback.extents import Extents

sys.path.insert(0, str(Path(__file__).parent))

from writeback_store import Store, refuse, started, status


def test_commit_puts_the_whole(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.create(1)
    buffered.write(1, 3, b"data", 0)
    assert (store.objects, buffered.size(1), buffered.is_new(1)) == ({}, 7, True)
    assert buffered.read(1, 1, 100) == b"\0\0data"
    buffered.commit(1)
    assert store.objects == {1: b"\0\0\0data"}
    assert (buffered.size(1), buffered.read(1, 0, 9), buffered.idents()) == (None, None, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "verifier"]
    buffered.commit(1)
    assert store.puts == 1


def test_an_overwrite_fetches_only_when_it_is_put(tmp_path: Path) -> None:
    store = Store()
    store.objects[1] = b"0123456789"
    buffered = started(store, tmp_path)
    buffered.write(1, 4, b"AB", 10)
    assert store.gets == 0
    assert buffered.read(1, 2, 6) == b"23AB67"
    buffered.write(1, 12, b"end", 10)
    assert buffered.read(1, 0, 100) == b"0123AB6789\0\0end"
    buffered.commit(1)
    assert store.objects[1] == b"0123AB6789\0\0end"


def test_what_was_cut_off_never_comes_back(tmp_path: Path) -> None:
    store = Store()
    store.objects[1] = b"0123456789"
    buffered = started(store, tmp_path)
    buffered.truncate(1, 4, 10)
    buffered.truncate(1, 8, 10)
    buffered.write(1, 6, b"x", 10)
    assert buffered.read(1, 0, 100) == b"0123\0\0x\0"
    again = started(store, tmp_path)
    assert again.read(1, 0, 100) == b"0123\0\0x\0"
    again.commit(1)
    assert store.objects[1] == b"0123\0\0x\0"


def test_a_failed_put_keeps_data_and_verifier(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    verifier = buffered.verifier
    buffered.write(1, 0, b"data", 0)
    store.before_put = refuse
    with pytest.raises(OSError, match="planted"):
        buffered.commit(1)
    assert buffered.read(1, 0, 9) == b"data"
    assert "planted" in str(buffered.health())
    assert buffered.verifier == verifier
    buffered.stop()
    store.before_put = lambda ident, path: None
    again = started(store, tmp_path)
    assert again.verifier == verifier
    again.commit(1)
    assert store.objects == {1: b"data"}
    assert again.health() is None


def test_a_write_while_it_is_put_is_put_again(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.create(1)
    buffered.write(1, 0, b"first", 0)

    def write(ident: int, path: Path) -> None:
        store.before_put = lambda ident, path: None
        buffered.write(1, 5, b"second", 0)

    store.before_put = write
    buffered.commit(1)
    assert buffered.size(1) == 11
    assert not buffered.is_new(1)
    buffered.commit(1)
    assert store.objects[1] == b"firstsecond"
    assert buffered.size(1) is None


def test_who_waited_for_a_put_does_not_put_again(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    begun, go = threading.Event(), threading.Event()

    def wait(ident: int, path: Path) -> None:
        begun.set()
        assert go.wait(20)

    store.before_put = wait
    threads = [threading.Thread(target=buffered.commit, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go.set()
    for thread in threads:
        thread.join()
    assert store.puts == 1


def test_what_is_saved_is_not_put_again_for_those_who_waited(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    file = buffered._files[1]
    wanted = file.changes
    store.before_put = lambda ident, path: buffered.write(1, 4, b"more", 0)
    buffered.commit(1)
    buffered._upload(file, wanted)
    assert (store.puts, buffered.size(1)) == (1, 8)


def test_killed_within_a_truncation(tmp_path: Path) -> None:
    store = Store()
    store.objects[1] = b"0123456789"
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"x", 10)
    os.truncate(tmp_path / "1.data", 4)  # its record was not written any more
    again = started(store, tmp_path)
    again.truncate(1, 8, 10)
    assert again.read(1, 0, 99) == b"x123\0\0\0\0"


def test_discarded_is_not_put(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    buffered.discard(1)
    buffered.commit(1)
    buffered.stop()
    assert store.objects == {}
    assert started(store, tmp_path).idents() == []


def test_what_nobody_wants_any_more_is_forgotten(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)

    def stale(ident: int, path: Path) -> None:
        raise FsError(Status.STALE)

    store.before_put = stale
    buffered.commit(1)
    assert buffered.idents() == []


def test_idle_objects_are_put_in_the_background(tmp_path: Path) -> None:
    store = Store()
    done = threading.Semaphore(0)
    store.before_put = lambda ident, path: done.release()
    buffered = started(store, tmp_path, uploaders=2, idle_seconds=0.01)
    for ident in range(5):
        buffered.write(ident, 0, b"%d" % ident, 0)
    for _ in range(5):
        assert done.acquire(timeout=20)
    buffered.stop()
    assert store.objects == {ident: b"%d" % ident for ident in range(5)}


def test_the_background_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "RETRY_SECONDS", (0.01, 0.02))
    store = Store()
    tries, done = [0], threading.Event()

    def fail(ident: int, path: Path) -> None:
        tries[0] += 1
        if tries[0] == 4:
            done.set()
            return
        refuse(ident, path)

    store.before_put = fail
    buffered = started(store, tmp_path, uploaders=1, idle_seconds=0.01)
    buffered.write(1, 0, b"data", 0)
    assert done.wait(20)
    buffered.stop()
    assert store.objects == {1: b"data"}


# The bound


def test_the_oldest_makes_room(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path, buffer_bytes=100)
    for ident in range(3):
        buffered.make_room(ident, 40)
        buffered.write(ident, 0, bytes(40), 0)
    assert sorted(store.objects) == [0]
    assert buffered.idents() == [1, 2]
    buffered.make_room(1, 100)
    buffered.write(1, 99, b"x", 0)
    assert buffered.idents() == [1]
    assert status(buffered.make_room, 1, 101) is Status.FBIG
    assert status(buffered.write, 1, 100, b"x", 0) is Status.FBIG
    assert status(buffered.truncate, 2, 101, 0) is Status.FBIG


def test_no_room_where_the_store_takes_nothing(tmp_path: Path) -> None:
    store = Store()
    store.before_put = refuse
    buffered = started(store, tmp_path, buffer_bytes=100, buffer_files=3)
    for ident in range(2):
        buffered.write(ident, 0, bytes(50), 0)
    assert status(buffered.make_room, 2, 1) is Status.JUKEBOX
    assert status(buffered.write, 2, 0, b"x", 0) is Status.JUKEBOX
    assert status(buffered.write, 1, 50, b"x", 0) is Status.JUKEBOX
    assert buffered.read(1, 0, 100) == bytes(50)
    buffered.write(1, 0, b"x", 0)


def test_how_many_objects_are_buffered(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path, buffer_files=3)
    for ident in range(10):
        buffered.make_room(None, 0)
        buffered.create(ident)
    assert len(buffered.idents()) == 3
    assert len(store.objects) == 7


def test_too_many_ranges_are_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "MAX_EXTENTS", 10)
    store = Store()
    store.objects[1] = bytes(1000)
    buffered = started(store, tmp_path)
    for at in range(0, 1000, 2):
        buffered.make_room(1, 1000)
        buffered.write(1, at, b"x", 1000)
    assert store.puts == 49
    buffered.commit(1)
    assert store.objects[1] == b"x\0" * 500


def test_a_journal_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SPARE_RECORDS", 20)
    store = Store()
    store.objects[1] = bytes(1000)
    buffered = started(store, tmp_path)
    for at in range(0, 1000, 2):
        buffered.write(1, at, b"xx", 1000)
    assert (tmp_path / "1.journal").stat().st_size < 3000
    assert started(store, tmp_path).read(1, 0, 1000) == b"x" * 1000


# Restarts


def test_another_boot_is_another_verifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    store.objects[1] = b"committed"
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"UNSTABLE!", 9)
    buffered.create(2)
    buffered.write(2, 0, b"new", 0)
    monkeypatch.setattr(buffer, "boot_id", lambda: "12345678-0000-0000-0000-000000000000")
    again = started(store, tmp_path)
    assert again.verifier != buffered.verifier
    assert (again.idents(), again.read(2, 0, 9)) == ([2], b"new")
    again.stop()
    assert store.objects == {1: b"committed", 2: b"new"}
    assert started(store, tmp_path).verifier == again.verifier


def test_no_boot_to_be_told_trusts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "boot_id", lambda: "")
    assert started(Store(), tmp_path).verifier != started(Store(), tmp_path).verifier


def test_numbers_of_another_table_are_kept_aside(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    again = started(store, tmp_path, tag=5)
    assert again.idents() == []
    assert again.verifier != buffered.verifier
    assert [path.read_bytes() for path in (tmp_path / "lost").glob("*.data")] == [b"data"]


@pytest.mark.parametrize("what", ["head", "record", "data"])
def test_damage_changes_the_verifier(tmp_path: Path, what: str) -> None:
    store = Store()
    store.objects[1] = bytes(10)
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"first", 10)
    buffered.write(1, 7, b"two", 10)
    journal = tmp_path / "1.journal"
    raw = bytearray(journal.read_bytes())
    raw[20 if what == "head" else -5] ^= 1
    journal.write_bytes(raw)
    if what == "data":
        (tmp_path / "1.data").unlink()
    again = started(store, tmp_path)
    assert again.verifier != buffered.verifier
    assert again.read(1, 0, 10) == (b"first" + bytes(5) if what == "record" else None)


def test_half_a_record_was_never_answered(tmp_path: Path) -> None:
    store = Store()
    store.objects[1] = bytes(10)
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"first", 10)
    with (tmp_path / "1.journal").open("ab") as journal:
        journal.write(b"\x01\x07")
    again = started(store, tmp_path)
    again.write(1, 7, b"two", 10)
    last = started(store, tmp_path)
    assert last.verifier == buffered.verifier
    assert last.read(1, 0, 10) == b"first\0\0two"


_KILLED = """
import os, random, signal, sys
from pathlib import Path
from backends.writeback import Writeback
from tests_store import Store
store = Store()
store.objects[1] = bytes(5000)
buffered = Writeback(store, Path(sys.argv[1]), uploaders=0)
buffered.start()
print(buffered.verifier.hex(), flush=True)
random = random.Random(int(sys.argv[2]))
while True:
    at = random.randrange(5000)
    n = random.randrange(1, min(200, 5001 - at))
    buffered.write(1, at, bytes([random.randrange(256)]) * n, 5000)
    os.write(1, b"%d\\n" % n)
"""


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_at_any_moment_takes_nothing_back(tmp_path: Path, seed: int) -> None:
    code = _KILLED.replace("from tests_store import Store", _store_source())
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "state"), str(seed)], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        verifier = bytes.fromhex(child.stdout.readline().decode())
        lines = [child.stdout.readline() for _ in range(50 + 37 * seed)]
    finally:
        os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    assert child.returncode is not None
    answered = sum(line.endswith(b"\n") for line in lines)
    assert answered >= 50
    model = bytearray(5000)
    rng = random.Random(seed)
    before = bytes(model)
    for _ in range(answered + 1):
        at = rng.randrange(5000)
        n = rng.randrange(1, min(200, 5001 - at))
        before = bytes(model)
        model[at : at + n] = bytes([rng.randrange(256)]) * n
    store = Store()
    store.objects[1] = bytes(5000)
    again = started(store, tmp_path / "state")
    assert again.verifier == verifier
    got = again.read(1, 0, 9999) or b""
    # Of the write that was not answered any byte may be there, or not.
    assert len(got) == 5000
    assert all(byte in pair for byte, *pair in zip(got, before, model, strict=True))


def _store_source() -> str:
    return (
        "class Store:\n"
        "    objects = {}\n"
        "    def wanted(self, ident):\n"
        "        return True\n"
        "    def get(self, ident, offset, count):\n"
        "        return self.objects[ident][offset:offset + count]\n"
    )


# Against a model


class TestExtents:
    @given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans())))
    def test_like_a_set(self, steps: list[tuple[int, int, bool]]) -> None:
        extents, model = Extents(), set[int]()
        for start, length, cut in steps:
            if cut:
                extents.cut(start)
                model = {at for at in model if at < start}
            else:
                extents.add(start, start + length)
                model |= set(range(start, start + length))
            ranges = list(extents)
            assert {at for begin, end in ranges for at in range(begin, end)} == model
            assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
            pieces = extents.split(5, 50)
            assert [at for begin, end, _ in pieces for at in range(begin, end)] == [*range(5, 50)]
            assert all(
                (at in model) is mine for begin, end, mine in pieces for at in range(begin, end)
            )


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.integers(1, 30)),
        st.tuples(st.just("truncate"), st.integers(0, 60), st.just(0)),
        st.tuples(st.sampled_from(["commit", "fail", "restart"]), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(steps=_STEPS, size=st.integers(0, 50), room=st.sampled_from([90, 4096]))
def test_any_history_is_a_file(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    size: int,
    room: int,
) -> None:
    path = tmp_path_factory.mktemp("history")
    store = Store()
    model = bytearray(range(100, 100 + size))
    store.objects[1] = bytes(model)
    buffered = started(store, path, buffer_bytes=room)
    verifier = buffered.verifier
    for number, (what, at, n) in enumerate(steps):
        if what == "write":
            data = bytes([number + 1]) * n
            model.extend(bytes(max(0, at - len(model))))
            model[at : at + n] = data
            buffered.write(1, at, data, store.size(1))
        elif what == "truncate":
            model[at:] = bytes(max(0, at - len(model)))
            buffered.truncate(1, at, store.size(1))
        elif what == "restart":
            buffered = started(store, path, buffer_bytes=room)
        elif what == "commit":
            buffered.commit(1)
            assert store.objects[1] == model
        elif buffered.size(1) is not None:
            store.before_put = refuse
            with pytest.raises(OSError, match="planted"):
                buffered.commit(1)
            store.before_put = lambda ident, path: None
        assert buffered.verifier == verifier
        got = buffered.read(1, 0, 200)
        assert (store.objects[1] if got is None else got) == model
        assert (buffered.size(1) or store.size(1) if got is None else len(got)) == len(model)
    buffered.stop()
    assert store.objects[1] == model
