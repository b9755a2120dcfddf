"""`backends.inodes`: numbers that stay, and are never given twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backends import inodes
from backends.base import FsError, Key, Status
from backends.inodes import JUMP_NUMBERS, InodeTable


def opened(path: Path | None = None) -> InodeTable:
    table = InodeTable(path)
    table.open()
    return table


def stale(call: object, *args: object) -> None:
    with pytest.raises(FsError) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.status is Status.STALE


@pytest.fixture(params=["memory", "file"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> InodeTable:
    return opened(tmp_path / "i.db" if request.param == "file" else None)


def test_a_name_has_one_key(table: InodeTable) -> None:
    first = table.key_of(table.root, b"a")
    assert table.key_of(table.root, b"a") == first
    assert table.key_of(table.root, b"b") != first
    assert table.names(first) == (b"a",)
    assert table.names(table.root) == ()
    found = table.find(table.root, b"a")
    assert found is not None and (found.key, found.parent) == (first, table.root)
    assert table.find(table.root, b"c") is None


def test_keys_of_many_names_at_once(table: InodeTable) -> None:
    known = table.key_of(table.root, b"7")
    keys = table.keys_of(table.root, [b"%d" % n for n in range(100)])
    assert keys[b"7"] == known
    assert len(set(keys.values())) == 100
    assert {child.name for child in table.children(table.root)} == set(keys)


def test_a_directory_renamed_is_one_row(table: InodeTable) -> None:
    dir = table.key_of(table.root, b"d")
    file = table.key_of(table.key_of(dir, b"sub"), b"f")
    other = table.key_of(table.root, b"other")
    table.rename(dir, other, b"new")
    assert table.names(file) == (b"other", b"new", b"sub", b"f")
    assert table.is_beneath(file, other)
    assert not table.is_beneath(other, dir)
    assert table.find(table.root, b"d") is None


def test_a_rename_forgets_what_had_the_name(table: InodeTable) -> None:
    old, new = table.key_of(table.root, b"a"), table.key_of(table.root, b"b")
    table.rename(old, table.root, b"b")
    assert table.names(old) == (b"b",)
    stale(table.names, new)
    table.rename(old, table.root, b"b")
    assert table.names(old) == (b"b",)


def test_forgotten_with_all_beneath(table: InodeTable) -> None:
    dir = table.key_of(table.root, b"d")
    file = table.key_of(table.key_of(dir, b"sub"), b"f")
    beside = table.key_of(table.root, b"beside")
    table.forget(dir)
    for key in (dir, file):
        for call in (table.names, table.record, table.get, table.children, table.forget):
            stale(call, key)
        stale(table.key_of, key, b"x")
        stale(table.find, key, b"x")
        stale(table.set_record, key, b"x")
        stale(table.rename, key, table.root, b"x")
        stale(table.rename, beside, key, b"x")
    assert table.names(beside) == (b"beside",)


def test_a_number_is_never_given_twice(table: InodeTable) -> None:
    seen = set()
    for _ in range(50):
        key = table.key_of(table.root, b"f")
        assert key.ino not in seen
        seen.add(key.ino)
        table.forget(key)


def test_keys_of_another_table_are_stale(table: InodeTable) -> None:
    key = table.key_of(table.root, b"f")
    other = opened()
    assert other.key_of(other.root, b"f") != key
    stale(other.names, key)
    stale(table.names, Key(key.ino, 0))
    stale(table.names, Key(1, table.generation))
    stale(table.names, Key(2**63 + 5, table.generation))


def test_records_and_notes(table: InodeTable) -> None:
    key = table.key_of(table.root, b"f", b"first")
    assert table.record(key) == b"first"
    table.set_record(key, b"second")
    assert table.get(key).record == b"second"
    table.set_note("todo/1", b"x")
    table.set_note("todo/2", b"y")
    table.set_note("other", b"z")
    table.set_note("todo/1", None)
    assert table.notes("todo/") == {"todo/2": b"y"}
    assert table.note("todo/1") is None


def test_a_transaction_is_whole_or_not(table: InodeTable) -> None:
    key = table.key_of(table.root, b"f")
    with pytest.raises(RuntimeError), table.transaction():
        table.set_record(key, b"changed")
        with table.transaction():
            table.key_of(table.root, b"g")
        raise RuntimeError
    assert table.record(key) == b""
    assert table.find(table.root, b"g") is None


def test_all_of_it_outlives_a_close(tmp_path: Path) -> None:
    table = opened(tmp_path / "i.db")
    key = table.key_of(table.root, b"f", b"record")
    gone = table.key_of(table.root, b"gone")
    table.forget(gone)
    table.close()
    again = opened(tmp_path / "i.db")
    assert again.find(again.root, b"f") == (key, again.root, b"f", b"record")
    assert again.key_of(again.root, b"gone") != gone
    assert os.stat(tmp_path / "i.db").st_mode & 0o077 == 0


_KILLED = """
import os, signal, sys
from pathlib import Path
from backends.inodes import InodeTable
table = InodeTable(Path(sys.argv[1]))
table.open()
for n in range(300):
    key = table.key_of(table.root, b"%d" % n, b"record")
    print(key.ino, key.generation)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_all_of_it_outlives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGKILL
    keys = [Key(*map(int, line.split())) for line in done.stdout.splitlines()]
    table = opened(path)
    assert [table.names(key) for key in keys] == [(b"%d" % n,) for n in range(300)]
    assert table.key_of(table.root, b"new").ino > max(key.ino for key in keys)


def test_a_boot_leaves_out_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = opened(tmp_path / "i.db")
    first = table.key_of(table.root, b"f").ino
    table.close()
    monkeypatch.setattr(inodes, "boot_id", lambda: "another boot")
    table = opened(tmp_path / "i.db")
    assert table.key_of(table.root, b"g").ino >= first + JUMP_NUMBERS


@pytest.mark.parametrize("damage", ["garbage", "inside"])
def test_a_damaged_table_is_moved_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "i.db"
    table = opened(path)
    key = table.key_of(table.root, b"f")
    table.close()
    raw = bytearray(path.read_bytes())
    raw[: 100 if damage == "garbage" else 0] = b""
    raw[100:] = b"\xff" * (len(raw) - 100)
    path.write_bytes(raw)
    table = opened(path)
    stale(table.names, key)
    assert table.key_of(table.root, b"f").generation != key.generation
    assert Path(f"{path}.damaged").exists()


def test_threads_that_ask_for_one_name(table: InodeTable) -> None:
    keys: list[Key] = []

    def ask() -> None:
        for n in range(100):
            keys.append(table.key_of(table.root, b"%d" % n))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 400
    assert len(set(keys)) == 100


def test_a_number_of_a_failed_transaction_is_not_given_again(tmp_path: Path) -> None:
    """Neither by this process nor, as after SIGKILL, by the next."""
    table = opened(tmp_path / "i.db")
    given: list[int] = []
    for name in (b"lost", b"too"):
        with pytest.raises(ZeroDivisionError), table.transaction():
            given.append(table.key_of(table.root, name).ino)
            raise ZeroDivisionError
    given.append(table.key_of(table.root, b"here").ino)
    with pytest.raises(ZeroDivisionError), table.transaction():
        many = [b"%d" % n for n in range(3 * inodes.RESERVED_NUMBERS)]
        given += [key.ino for key in table.keys_of(table.root, many).values()]
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), table.transaction():
        given.append(table.key_of(table.root, b"last").ino)
        raise ZeroDivisionError
    table.close()
    again = opened(tmp_path / "i.db")
    given.append(again.key_of(again.root, b"new").ino)
    assert sorted(set(given)) == given
