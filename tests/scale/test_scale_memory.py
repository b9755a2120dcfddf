"""What one more of each thing takes of memory, held to the table in docs/limits.md."""

from __future__ import annotations

import gc
import os
import re
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from benchmarks.scale_calls import GETATTR, LOOKUP, Talk, handle_of, opaque
from nfsloop.handle import KEY_BYTES, FileHandles
from nfsloop.limits import CONTEXT_MEMO_ENTRIES, HANDLE_MEMO_ENTRIES
from oncrpc.call import Once, Peer
from oncrpc.drc import DuplicateRequestCache
from oncrpc.limits import HEADER_MEMO_ENTRIES, RING_SEGMENT_BYTES
from oncrpc.ring import Ring

sys.path.append(str(Path(__file__).parents[1] / "budget"))

from budget_rig import rig

LIMITS = Path(__file__).resolve().parents[2] / "docs" / "limits.md"

#: So many of each are made to find out what one takes.
THINGS = 2000


def stated(what: str) -> int:
    """The bytes that docs/limits.md says a thing takes at most."""
    row = re.search(rf"^\| {re.escape(what)} \| ([\d,]+) \|", LIMITS.read_text(), re.MULTILINE)
    assert row is not None, what
    return int(row[1].replace(",", ""))


def bytes_each(make: Callable[[int], object], count: int = THINGS) -> float:
    """What Python has allocated for each of `count` things, and kept."""
    make(-1)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(count):
            make(n)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


def test_a_connection() -> None:
    """With its account among the guards, and the event loop's watch; without the kernel's part."""
    count = 300
    with rig(MemoryBackend()) as served:
        talks = []

        def connect(n: int) -> None:
            talks.append(Talk(served.server.port, source=f"127.0.0.{2 + (n % 20)}"))
            talks[-1].sock.sendall(talks[-1].record(GETATTR, opaque(served.root)))
            served.ask([served.talk.record(GETATTR, opaque(served.root))])

        # The client's end is a socket, an iterator and a credential; it is taken off.
        client = bytes_each(lambda n: talks.append(Talk(served.server.port)), 20)
        for talk in talks:
            talk.sock.close()
        talks.clear()
        each = bytes_each(connect, count) - client
        assert served.server.app.server.guards.connections >= count
        for talk in talks:
            talk.sock.close()
    limit = stated("a connection")
    assert limit / 4 < each <= limit, each


def test_a_kept_reply() -> None:
    """In the cache of duplicate requests, beside the ring, whose size is fixed."""
    cache = DuplicateRequestCache(Ring(bytearray(16 * RING_SEGMENT_BYTES)))
    peer = Peer("192.0.2.1", 700, "test")

    class Nowhere:
        def send(self, parts: list[bytes]) -> None:
            """The reply is of no interest."""

    nowhere = Nowhere()
    nowhere.peer = peer  # type: ignore[attr-defined]

    def answered(n: int) -> None:
        record = struct.pack(">6I", n & 0xFFFFFFFF, 0, 2, 100003, 3, 8) + bytes(16) + bytes(64)
        once = cache.begin(cache.key(peer, record, 40, False), nowhere)  # type: ignore[arg-type]
        assert isinstance(once, Once)
        cache.finish(once, bytes(260))

    each = bytes_each(answered)
    assert len(cache) == THINGS + 1
    assert stated("a reply that is kept") / 4 < each <= stated("a reply that is kept"), each


def test_a_handle() -> None:
    """Made and opened, so in both memos."""
    handles = FileHandles(bytes(KEY_BYTES))
    each = bytes_each(lambda n: handles.unpack(handles.pack(7, 1000 + n, 5)))
    assert len(handles.known) == THINGS + 1
    assert stated("a handle") / 4 < each <= stated("a handle"), each


def test_handles_are_forgotten_at_the_bound() -> None:
    handles = FileHandles(bytes(KEY_BYTES))
    for ino in range(HANDLE_MEMO_ENTRIES + 10):
        handles.unpack(handles.pack(7, ino, 5))
        assert len(handles.made) <= HANDLE_MEMO_ENTRIES
        assert len(handles.known) <= HANDLE_MEMO_ENTRIES


def test_a_caller_and_his_headers() -> None:
    """A credential that calls: what it resolves to for each procedure, and its context."""
    with rig(MemoryBackend()) as served:
        talks = [Talk(served.server.port, uid=1000 + n) for n in (0, 1)]
        talk = talks[0]

        def call(n: int) -> None:
            other = Talk.__new__(Talk)
            other.__dict__.update(talk.__dict__)
            body = struct.pack(">2I", 0, 0) + struct.pack(">3I", 2000 + n, 100, 0)
            other._credential = struct.pack(">2I", 1, len(body)) + body
            served.ask([_as(served.talk, other, GETATTR, opaque(served.root))])

        each = bytes_each(call, 500)
        memo = served.server.app.server.dispatcher._memo
        assert len(memo) >= 500
        for each_talk in talks:
            each_talk.sock.close()
    assert stated("a caller") / 4 < each <= stated("a caller"), each
    assert len(memo) <= HEADER_MEMO_ENTRIES and CONTEXT_MEMO_ENTRIES


def _as(talk: Talk, other: Talk, proc: int, args: bytes) -> bytes:
    """A record for `talk`'s connection with the credential of `other`."""
    mine, talk._credential = talk._credential, other._credential
    try:
        return talk.record(proc, args)
    finally:
        talk._credential = mine


def test_a_file_in_memory_and_one_that_is_pinned(tmp_path: Path) -> None:
    """An empty file of the memory backend; and one of a directory that was looked up."""
    with rig(MemoryBackend()) as served:
        each = bytes_each(lambda n: served.make_file(b"%07d" % (n + 1)), 500)
    limit = stated("an empty file in memory")
    assert limit / 4 < each <= limit, each
    if os.geteuid():
        pytest.skip("the second half is as root, by the kernel's handles")
    for n in range(-1, 500):
        (tmp_path / f"{n + 1:07}").touch()
    with rig(PosixBackend(tmp_path, state=None)) as served:

        def look(n: int) -> bytes:
            return handle_of(served.call(LOOKUP, served.named(b"%07d" % (n + 1))), 4)

        each = bytes_each(look, 500)
    limit = stated("a file that is pinned")
    assert limit / 4 < each <= limit, each
