"""`backends.writeback` where a step fails, hangs, or was taken back by a power cut."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.base import Status
from backends.writeback import buffer, local, workers

sys.path.insert(0, str(Path(__file__).parent))

from writeback_store import Store, refuse, started, status


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "planted")


@pytest.mark.parametrize("call", ["uploader", "read", "make_room"])
def test_what_another_boot_left_is_not_put_over_the_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A power cut took back that the local file was deleted after it was put."""
    store = Store()
    buffered = started(store, tmp_path, idle_seconds=600)
    buffered.create(1)
    buffered.write(1, 0, b"old", 0)
    store.objects[1] = b"committed"
    monkeypatch.setattr(buffer, "boot_id", lambda: "12345678-0000-0000-0000-000000000000")
    again = started(store, tmp_path, uploaders=int(call == "uploader"), idle_seconds=600)
    if call == "uploader":
        for _ in range(2000):
            if again.size(1) is None:
                break
            time.sleep(0.01)
        assert again.size(1) is None
    elif call == "read":
        assert again.read(1, 0, 9) is None
    else:
        again.make_room(1, 20)
        again.write(1, 9, b", and more", 9)
    again.stop()
    assert store.objects[1] == b"committed" + (b", and more" if call == "make_room" else b"")


def test_what_could_not_be_recorded_is_before_the_next_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    store.objects[1] = bytes(100)
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"A", 100)
    changes: list[Callable[[], None]] = [
        lambda: buffered.write(1, 50, b"B", 100),
        lambda: buffered.truncate(1, 60, 100),
    ]
    for change in changes:
        with monkeypatch.context() as patch:
            patch.setattr("os.write", full)
            patch.setattr(local.LocalFile, "rewrite", full)
            with pytest.raises(OSError, match="planted"):
                change()
        change()
    got = started(store, tmp_path).read(1, 0, 100)
    assert got == b"A" + bytes(49) + b"B" + bytes(9)


def test_a_local_file_that_cannot_be_deleted_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    with monkeypatch.context() as patch:
        patch.setattr(local.LocalFile, "drop", full)
        buffered.commit(1)
        assert store.objects[1] == b"data"
        assert buffered.read(1, 0, 9) == b"data"
        buffered.write(1, 4, b", more", 4)
        buffered.commit(1)
        assert "planted" in str(buffered.health())
    buffered.commit(1)
    assert (store.puts, store.objects[1], buffered.idents()) == (2, b"data, more", [])
    buffered.write(1, 0, b"x", 10)
    monkeypatch.setattr(local.LocalFile, "drop", full)
    buffered.discard(1)
    assert (buffered.idents(), buffered.read(1, 0, 9)) == ([], None)


def test_an_uploader_that_fails_takes_the_object_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "RETRY_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(local.LocalFile, "saved", full)
    store = Store()
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def wait(ident: int, path: Path) -> None:
        begun.set()
        assert go.wait(20)
        store.before_put = lambda ident, path: done.set()

    store.before_put = wait
    buffered = started(store, tmp_path, uploaders=1, idle_seconds=0.01)
    buffered.write(1, 0, b"first", 0)
    assert begun.wait(20)
    buffered.write(1, 0, b"other", 0)
    go.set()
    assert done.wait(20)
    buffered.stop()
    assert store.objects[1] == b"other"


def test_an_object_written_all_the_time_is_put_in_its_turn(tmp_path: Path) -> None:
    buffered = started(Store(), tmp_path, idle_seconds=100)
    buffered.write(1, 0, b"x", 0)
    buffered.write(2, 0, b"x", 0)
    old, busy = buffered._files.values()
    old.taken = True
    assert buffered._due(busy.born + 50)[0] is None
    busy.born -= 100 * buffer.BUSY_FACTOR
    old.touched += 1
    old.taken = False
    assert buffered._due(busy.touched)[0] is busy


def test_stop_gives_up_a_store_that_takes_nothing(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path, uploaders=2)
    for ident in range(100):
        buffered.write(ident, 0, b"data", 0)
    tries = []

    def fail(ident: int, path: Path) -> None:
        tries.append(ident)
        refuse(ident, path)

    store.before_put = fail
    buffered._uploaders = 1
    buffered.stop()
    assert len(tries) == workers.STOP_FAILURES
    assert len(started(store, tmp_path).idents()) == 100


def test_stop_waits_for_no_put_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it does when it ends harms nobody who has the directory then."""
    monkeypatch.setattr(buffer, "STOP_SECONDS", (0.1, 0.3))
    store = Store()
    buffered = started(store, tmp_path)
    buffered.write(1, 0, b"data", 0)
    begun, go = threading.Event(), threading.Event()

    def hang(ident: int, path: Path) -> None:
        begun.set()
        assert go.wait(20)

    store.before_put = hang
    hanging = threading.Thread(target=buffered.commit, args=(1,))
    hanging.start()
    assert begun.wait(20)
    buffered.stop()
    again = started(store, tmp_path)
    go.set()
    hanging.join(20)
    assert again.read(1, 0, 9) == b"data"
    store.before_put = lambda ident, path: None
    again.commit(1)
    assert store.objects[1] == b"data"


def test_what_nobody_wants_is_dropped_at_the_start(tmp_path: Path) -> None:
    store = Store()
    buffered = started(store, tmp_path)
    for ident in (1, 2):
        buffered.write(ident, 0, b"data", 0)
    store.unwanted = {1}
    again = started(store, tmp_path)
    assert again.verifier == buffered.verifier
    assert again.idents() == [2]
    assert sorted(path.stem for path in tmp_path.glob("*.*")) == ["2", "2"]


def test_a_local_file_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    """Of the state directory; FileNotFoundError would be NOENT, of the client's file."""
    buffered = started(Store(), tmp_path)
    buffered.write(1, 0, b"data", 0)
    for path in tmp_path.glob("1.*"):
        path.unlink()
    calls: list[Callable[[], object]] = [
        lambda: buffered.read(1, 0, 9),
        lambda: buffered.write(1, 0, b"data", 0),
        lambda: buffered.truncate(1, 0, 0),
    ]
    for call in calls:
        with pytest.raises(OSError, match="is missing") as caught:
            call()
        assert caught.value.errno == errno.EIO


def test_an_object_that_is_gone_is_not_zeros(tmp_path: Path) -> None:
    store = Store()
    store.objects[1] = b"0123456789"
    buffered = started(store, tmp_path)
    buffered.write(1, 4, b"AB", 10)
    del store.objects[1]
    assert buffered.leans(1)
    assert status(buffered.read, 1, 0, 9) is Status.IO
    assert status(buffered.commit, 1) is Status.IO
    buffered.write(1, 0, b"abcdefghij", 10)
    buffered.commit(1)
    assert store.objects[1] == b"abcdefghij"
