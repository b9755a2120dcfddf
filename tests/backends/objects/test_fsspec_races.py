"""The fsspec backend where two things happen at once, or the store fails between two steps."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backends import inodes
from backends.base import Context, CreateMode, FsError, Key, SetAttr, Stable, Status
from backends.threads import STARTERS, finish

pytest.importorskip("fsspec", reason="fsspec is not installed")

from backends.objects import FsspecBackend, renames
from backends.objects.store import Store

CTX, ROOT = Context(), inodes.ROOT


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inodes, "SYNC_AT_OPEN", "OFF")
    monkeypatch.setattr(inodes, "SYNC", "OFF")
    monkeypatch.setattr(renames, "SETTLE_SECONDS", 0.0)
    # A listing that took long is kept longer, which these tests cannot wait for.
    monkeypatch.setattr("backends.objects.tree.LISTING_SHARE", 0)


class Driven(FsspecBackend):
    """The backend by plain calls, as its threads use it."""

    def make(self, name: bytes, data: bytes = b"", dir: Key = ROOT) -> Key:
        """A file that the store has."""
        attr = SetAttr(mode=0o644)
        made = finish(self.create(CTX, dir, name, CreateMode.UNCHECKED, attr, bytes(8)))
        key = made.attr.key
        self.put(key, data)
        return key

    def make_dir(self, name: bytes, dir: Key = ROOT) -> Key:
        return finish(self.mkdir(CTX, dir, name, SetAttr(mode=0o755))).attr.key

    def put(self, key: Key, data: bytes) -> None:
        self.change(key, data)
        self.save(key)

    def change(self, key: Key, data: bytes, offset: int = 0) -> None:
        finish(self.write(CTX, key, offset, data, Stable.UNSTABLE))

    def save(self, key: Key) -> None:
        finish(self.commit(CTX, key, 0, 0))

    def get(self, key: Key) -> bytes:
        return bytes(finish(self.read(CTX, key, 0, 1 << 20)).data)

    def names(self, dir: Key = ROOT) -> list[bytes]:
        listing = finish(self.readdir(CTX, dir, 0, 100_000, False))
        return sorted(entry.name for entry in listing.entries)

    def move(self, old: bytes, new: bytes) -> None:
        finish(self.rename(CTX, ROOT, old, ROOT, new))


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def opened(url: str | Path, state: Path, **options: Any) -> Driven:
    url = url if isinstance(url, str) else f"file://{url}"
    options = {"listing_seconds": 0.0, "idle_seconds": 600, **options}
    backend = Driven(url, state=state, uid=0, gid=0, **options)
    finish(backend.start())
    return backend


@contextmanager
def local(files: Path, **options: Any) -> Iterator[Driven]:
    backend = opened(files, files.parent / "state", **options)
    try:
        yield backend
    finally:
        finish(backend.stop())


@contextmanager
def memory(state: Path) -> Iterator[Driven]:
    """A store whose renames are copies."""
    backend = opened(f"memory://{uuid.uuid4().hex}", state)
    try:
        yield backend
    finally:
        finish(backend.stop())


def refused(call: Callable[[], object], status: Status) -> None:
    with pytest.raises(FsError) as caught:
        call()
    assert caught.value.status is status


def fails(*args: object) -> None:
    raise FsError(Status.JUKEBOX, "planted")


def plant(monkeypatch: pytest.MonkeyPatch, backend: Driven, name: str, *outcomes: str) -> None:
    """The next calls of a method of the store fail: `before` or `after` they did their work."""
    real, left = getattr(backend._store, name), list(outcomes)

    def planted(*args: Any) -> Any:
        what = left.pop(0) if left else ""
        if what == "before":
            fails()
        result = real(*args)
        if what == "after":
            fails()
        return result

    monkeypatch.setattr(backend._store, name, planted)


class Stop:
    """Has one call of a store's method wait, after it did its work or before."""

    def __init__(self, backend: Driven, name: str, after: bool) -> None:
        self.here, self.go = threading.Event(), threading.Event()
        real = getattr(backend._store, name)

        def stopped(*args: Any) -> Any:
            setattr(backend._store, name, real)
            result = real(*args) if after else None
            self.here.set()
            assert self.go.wait(20)
            return result if after else real(*args)

        setattr(backend._store, name, stopped)


def beside(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


# Paths that move


def test_a_put_beside_the_rename_of_a_directory_puts_no_zeros(files: Path) -> None:
    """The store has renamed, the table has not: the object is nowhere, and not gone."""
    with local(files, listing_seconds=600) as backend:
        dir = backend.make_dir(b"d")
        key = backend.make(b"f", b"C" * 1000, dir)
        backend.change(key, b"new")
        stop = Stop(backend, "move", after=True)
        mover, moved = beside(lambda: backend.move(b"d", b"e"))
        assert stop.here.wait(20)
        reader, read = beside(lambda: backend._buffer.read(key.ino, 0, 5))
        saver, saved = beside(lambda: backend._buffer.commit(key.ino))
        saver.join(0.2)
        stop.go.set()
        for thread in (mover, reader, saver):
            thread.join(20)
        assert (moved, read, saved) == ([None], [b"newCC"], [None])
        assert (files / "e" / "f").read_bytes() == b"new" + b"C" * 997


def test_a_read_beside_the_rename_of_a_file(files: Path) -> None:
    with local(files, listing_seconds=600) as backend:
        key = backend.make(b"f", b"stored")
        stop = Stop(backend, "move", after=True)
        mover, _ = beside(lambda: backend.move(b"f", b"g"))
        assert stop.here.wait(20)
        reader, read = beside(lambda: backend._buffer._objects.get(key.ino, 0, 9))
        reader.join(0.2)
        stop.go.set()
        mover.join(20)
        reader.join(20)
        assert read == [b"stored"]


def test_a_read_never_gives_another_files_bytes(files: Path) -> None:
    """Logs rotate between the look at the path and the read of it."""
    with local(files, listing_seconds=600) as backend:
        old = backend.make(b"log.1", b"old")
        backend.make(b"log", b"NEW")
        stop = Stop(backend, "read", after=False)
        reader, read = beside(lambda: backend.get(old))
        assert stop.here.wait(20)
        backend.move(b"log.1", b"log.2")
        backend.move(b"log", b"log.1")
        stop.go.set()
        reader.join(20)
        assert read == [b"old"]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_listing_beside_the_rename_of_a_directory_above(
    files: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = local(files) if kind == "local" else memory(files.parent / "state")
    with made as backend:
        sub = backend.make_dir(b"sub", backend.make_dir(b"d"))
        key = backend.make(b"clean", b"clean", sub)
        dirty = backend.make(b"dirty", b"", sub)
        backend.change(dirty, b"acknowledged")
        backend._tree.check_dir(sub)
        monkeypatch.setattr(backend._tree, "check_dir", lambda key: None)
        stop = Stop(backend, "list", after=False)
        lister, listed = beside(lambda: backend.names(sub))
        assert stop.here.wait(20)
        monkeypatch.undo()
        backend.move(b"d", b"e")
        stop.go.set()
        lister.join(20)
        assert listed == [[b"clean", b"dirty"]]
        assert backend.get(key) == b"clean"
        backend.save(dirty)
        assert backend.get(dirty) == b"acknowledged"


def test_a_rename_within_a_directory_whose_listing_grows_old(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once, not once for each of the two directories of the call."""
    with local(files, listing_seconds=600) as backend:
        backend.make(b"a", b"x")
        tree, calls = backend._tree, []
        real = tree.dir

        def old_after_three(key: Key, fresh: bool = False) -> Any:
            dir = real(key, fresh)
            calls.append(key)
            if len(calls) == 3:
                tree.expire(key)
            return dir

        monkeypatch.setattr(tree, "dir", old_after_three)
        backend.move(b"a", b"b")
        monkeypatch.setattr(tree, "dir", real)
        assert len(calls) >= 3
        assert backend.names() == [b"b"]


def test_a_create_beside_a_remove(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local(files) as backend:
        first = backend.make(b"x")
        check = backend._check_over

        def removed(*args: Any) -> None:
            check(*args)
            monkeypatch.undo()
            thread, _ = beside(lambda: finish(backend.remove(CTX, ROOT, b"x")))
            later.append(thread)
            # It comes as soon as this call lets go of the directory.
            real = backend.setattr

            async def wait(*args: Any) -> Any:
                thread.join(20)
                return await real(*args)

            monkeypatch.setattr(backend, "setattr", wait)

        later: list[threading.Thread] = []
        monkeypatch.setattr(backend, "_check_over", removed)
        attr = SetAttr(size=0)
        made = finish(backend.create(CTX, ROOT, b"x", CreateMode.UNCHECKED, attr, bytes(8)))
        assert made.attr.key != first
        assert backend.names() == [b"x"]


def test_a_create_with_a_size_needs_no_second_step(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which an uploader that has the object already would have to let through."""
    with local(files) as backend:
        monkeypatch.setattr(backend._buffer, "truncate", fails)
        attr = SetAttr(mode=0o644, size=5)
        made = finish(backend.create(CTX, ROOT, b"f", CreateMode.UNCHECKED, attr, bytes(8)))
        assert made.attr.size == 5
        backend.save(made.attr.key)
        assert (files / "f").read_bytes() == bytes(5)


# What others do to an object


def test_an_object_that_others_removed_does_not_come_back_as_zeros(files: Path) -> None:
    with local(files, listing_seconds=600) as backend:
        key = backend.make(b"f", b"C" * 1000)
        backend.change(key, b"new")
        (files / "f").unlink()
        refused(lambda: backend.save(key), Status.IO)
        refused(lambda: backend.get(key), Status.IO)
        assert list(files.iterdir()) == []
        finish(backend.setattr(CTX, key, SetAttr(size=2000)))
        refused(lambda: backend.save(key), Status.IO)
        finish(backend.setattr(CTX, key, SetAttr(size=3)))
        backend.save(key)
        assert (files / "f").read_bytes() == b"new"


def test_what_others_append_is_not_cut_off(files: Path) -> None:
    (files / "log").write_bytes(b"x" * 100)
    with local(files, listing_seconds=600) as backend:
        key = finish(backend.lookup(CTX, ROOT, b"log")).attr.key
        with (files / "log").open("ab") as log:
            log.write(b"y" * 100)
        backend.put(key, b"Z")
        assert (files / "log").read_bytes() == b"Z" + b"x" * 99 + b"y" * 100
        (files / "log").unlink()
        refused(lambda: backend.change(key, b"Z", 50), Status.STALE)


def test_a_directory_in_the_place_of_a_file_hides_no_data(files: Path) -> None:
    with local(files, listing_seconds=600) as backend:
        key = backend.make(b"f")
        backend.change(key, b"data")
        (files / "f").unlink()
        (files / "f").mkdir()
        refused(lambda: backend.save(key), Status.ISDIR)
        assert list((files / "f").iterdir()) == []
        assert [path.name for path in files.iterdir()] == ["f"]
        (files / "f").rmdir()
        backend.save(key)
        assert (files / "f").read_bytes() == b"data"


def test_a_put_that_left_something_else_is_no_success(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local(files, listing_seconds=600) as backend:
        key = backend.make(b"f")
        backend.change(key, b"data")
        with monkeypatch.context() as patch:
            patch.setattr(backend._store, "put", lambda *args: (files / "f").write_bytes(b"da"))
            refused(lambda: backend.save(key), Status.IO)
        backend.save(key)
        assert (files / "f").read_bytes() == b"data"


def test_stable_is_on_the_disk(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bytes]] = []

    def sync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append((path.name.partition("-")[0], path.read_bytes() if path.is_file() else b""))

    with local(files) as backend:
        key = backend.make(b"f")
        monkeypatch.setattr("os.fsync", sync)
        finish(backend.write(CTX, key, 0, b"data", Stable.FILE_SYNC))
        assert synced == [(".nfsloop", b"data"), ("files", b"")]


# Numbers and state


def test_a_create_that_fails_leaves_no_object_behind(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local(files, listing_seconds=600) as backend:
        assert backend.names() == []
        table = backend._tree.table

        def full() -> None:
            table._execute("ROLLBACK")
            raise OSError(errno.ENOSPC, "planted")

        with monkeypatch.context() as patch:
            patch.setattr(table, "_commit", full)
            with pytest.raises(OSError, match="planted"):
                backend.make(b"new")
        assert backend._buffer.idents() == []
        (files / "precious").write_bytes(b"precious")
        backend._tree.expire(ROOT)
        assert backend.names() == [b"precious"]
    assert (files / "precious").read_bytes() == b"precious"


def test_a_journal_without_a_file_is_dropped_at_the_start(files: Path) -> None:
    """As SIGKILL leaves it, between the local file and the table's COMMIT."""
    backend = opened(files, files.parent / "state")
    backend._buffer.create(1 << 40)
    backend._buffer.create(backend.make_dir(b"d").ino)
    backend.abandon()
    with local(files) as backend:
        assert backend._buffer.idents() == []


def test_two_servers_do_not_share_a_state_directory(files: Path) -> None:
    with local(files) as backend:
        key = backend.make(b"f")
        backend.change(key, b"data")
        with pytest.raises(OSError, match="another server"):
            opened(files, files.parent / "state")
        backend.save(key)


# A store that fails between two steps


def test_a_copy_that_cannot_be_looked_at_is_a_rename_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memory(tmp_path) as backend:
        key, _ = backend.make(b"a", b"of a"), backend.make(b"b", b"of b")
        plant(monkeypatch, backend, "info", "before")
        backend.move(b"a", b"b")
        assert (backend.names(), backend.get(key)) == ([b"b"], b"of a")


def test_a_copy_over_an_object_that_fails_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memory(tmp_path) as backend:
        key, _ = backend.make(b"a", b"of a"), backend.make(b"b", b"of b")
        plant(monkeypatch, backend, "copy", "after")
        backend.move(b"a", b"b")
        assert (backend.names(), backend.get(key)) == ([b"b"], b"of a")


def test_a_copy_over_an_object_that_nobody_knows_of_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    backend = opened(url, tmp_path)
    key, _ = backend.make(b"a", b"of a"), backend.make(b"b", b"of b")
    plant(monkeypatch, backend, "copy", "after", "before")
    refused(lambda: backend.move(b"a", b"b"), Status.JUKEBOX)
    assert backend.get(key) == b"of a"
    finish(backend.stop())
    backend = opened(url, tmp_path)
    assert (backend.names(), backend.get(key)) == ([b"b"], b"of a")
    finish(backend.stop())


def test_what_a_failed_rename_could_not_take_back_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    backend = opened(url, tmp_path)
    dir = backend.make_dir(b"d")
    for name in (b"1", b"2", b"3"):
        backend.make(name, name, dir)
    with monkeypatch.context() as patch:
        plant(patch, backend, "copy", "", "before", "before", "before")
        patch.setattr(backend._store, "delete", fails)
        refused(lambda: backend.move(b"d", b"e"), Status.JUKEBOX)
        assert backend.names() == [b"d"]
        backend.abandon()
    backend = opened(url, tmp_path)
    assert backend.names() == [b"d"]
    backend.move(b"d", b"e")
    assert (backend.names(), backend.names(dir)) == ([b"e"], [b"1", b"2", b"3"])
    finish(backend.stop())


def test_a_rename_that_a_crash_cut_off_is_not_forgotten_by_a_store_that_fails(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(files, files.parent / "state")
    key = backend.make(b"f", b"data")
    with monkeypatch.context() as patch:
        # It has happened, and nobody can be told: the table has the intent, as after a crash.
        plant(patch, backend, "move", "after")
        patch.setattr(backend._store, "exists", fails)
        refused(lambda: backend.move(b"f", b"g"), Status.JUKEBOX)
        backend.abandon()
        patch.setattr(Store, "exists", fails)
        with pytest.raises(OSError, match="planted"):
            opened(files, files.parent / "state")
    with local(files) as backend:
        assert finish(backend.lookup(CTX, ROOT, b"g")).attr.key == key


def test_lost_replies_of_mkdir_and_rmdir(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local(files) as backend:
        plant(monkeypatch, backend, "mkdir", "after", "before")
        backend.make_dir(b"d")
        refused(lambda: backend.make_dir(b"e"), Status.JUKEBOX)
        refused(lambda: backend.make_dir(b"d"), Status.EXIST)
        plant(monkeypatch, backend, "rmdir", "before", "after")
        refused(lambda: finish(backend.rmdir(CTX, ROOT, b"d")), Status.JUKEBOX)
        finish(backend.rmdir(CTX, ROOT, b"d"))
        assert (backend.names(), list(files.iterdir())) == ([], [])


def test_no_part_of_an_upload_stays(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of one that failed, nor of one that was killed, in a directory that is removed."""
    with local(files) as backend:
        dir = backend.make_dir(b"d")
        key = backend.make(b"f", b"", dir)
        backend.change(key, b"data")
        with monkeypatch.context() as patch:
            patch.setattr(backend._store, "_replace", fails)
            refused(lambda: backend.save(key), Status.JUKEBOX)
        assert [path.name for path in (files / "d").iterdir()] == ["f"]
        finish(backend.remove(CTX, dir, b"f"))
        (files / "d" / ".nfsloop-0123456789abcdef-7.part").write_bytes(b"half")
        finish(backend.rmdir(CTX, ROOT, b"d"))
        assert list(files.iterdir()) == []


def test_threads_act_as_the_process(tmp_path: Path) -> None:
    started: list[str] = []
    STARTERS.append(lambda: started.append(threading.current_thread().name))
    try:
        with memory(tmp_path) as backend:
            key = backend.make(b"f", b"data", backend.make_dir(b"d"))
            backend.move(b"d", b"e")
            backend.change(key, b"more")
    finally:
        STARTERS.pop()
    kinds = {"".join(filter(str.isalpha, name)).lower() for name in started}
    assert kinds >= {"writeback", "writebackstop", "threadpoolexecutor"}
