"""What workers are made of, each by itself: the filter, claims, rings, limits, the channel."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import select
import socket
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends.memory import MemoryBackend
from backends.wraps.readonly import ReadOnly
from nfsloop import config
from nfsloop.app import open_cache
from nfsloop.config import DrcSettings, StateDirectory, count_workers
from nfsloop.errors import ConfigError
from nfsloop.limits import CHANNEL_BACKLOG_BYTES, RELAY_BYTES, WORKER_DEATHS_SECONDS
from nfsloop.mount3.mount3_xdr import MOUNT_V3
from nfsloop.sources import Sources, settings
from nfsloop.workers import relay, rings, steer
from nfsloop.workers.channel import Channel, ChannelError, dumps
from nfsloop.workers.page import ROOM, ROW_CLAIMS, Page
from nfsloop.workers.process import WorkerProcess
from nfsloop.workers.shares import DIVIDED, limits_of
from oncrpc.call import Once, Peer
from oncrpc.drc import DuplicateRequestCache
from oncrpc.errors import XdrError
from oncrpc.limits import RING_SEGMENT_BYTES, ServerLimits
from oncrpc.ring import Ring, in_file
from oncrpc.testing import Capture

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM

# Where a connection goes


def arrived(group: steer.Group) -> list[int]:
    """The workers that have something to take, which is taken."""
    found = []
    for index, own in enumerate(group.of):
        for sock in own:
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            while poll.poll(0):
                found.append(index)
                if sock.type == STREAM:
                    sock.accept()[0].close()
                else:
                    sock.recv(16)
    return found


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize(
    ("host", "to"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), (None, "127.0.0.2"), (None, "::1")],
    ids=["IPv4", "IPv6", "IPv4 to both", "IPv6 to both"],
)
def test_the_kernel_chooses_as_the_function_says(host: str | None, to: str, kind: int) -> None:
    group = steer.Group(3)
    try:
        port = group.bind(host, 0, kind)
        assert group.steered
        seen = set()
        for _ in range(24):
            with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, kind) as sock:
                sock.connect((to, port))
                sock.send(b"x")
                source = sock.getsockname()
                wanted = steer.index_of(source[0], source[1], 3)
                assert arrived(group) == [wanted]
                seen.add(wanted)
        assert seen == {0, 1, 2}
    finally:
        group.close()


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM], ids=["tcp", "udp"])
def test_a_port_that_others_have_is_not_shared_with_them(kind: int) -> None:
    """Not even with another server of workers, of the same user."""
    first, second = steer.Group(2), steer.Group(2)
    try:
        port = first.bind("127.0.0.1", 0, kind)
        with pytest.raises(OSError, match="in use"):
            second.bind("127.0.0.1", port, kind)
    finally:
        first.close()
        second.close()


def test_without_the_filter_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An option that no kernel has."""
    monkeypatch.setattr(steer, "SO_ATTACH_REUSEPORT_CBPF", 9999)
    group = steer.Group(2)
    try:
        port = group.bind("127.0.0.1", 0, STREAM)
        assert not group.steered
        assert "takes no filter" in caplog.text
        socket.create_connection(("127.0.0.1", port)).close()
        assert len(arrived(group)) == 1
    finally:
        group.close()


def test_the_hash_is_the_same_for_ever() -> None:
    """Clients are on their way while a server restarts."""
    hosts = ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "fe80::1%lo")
    assert [steer.index_of(host, 700, 64) for host in hosts] == [5, 5, 39, 40]


# What they share


def test_claims() -> None:
    page = Page(3)
    rows = [page.row(index) for index in range(3)]
    assert rows[0].take([5, 6])
    assert not rows[1].take([6]) and not rows[2].take([7, 5]), "another has it"
    assert not rows[0].take([6]), "a call of its own has it"
    assert rows[2].take([7]), "nothing was left of what was refused"
    rows[0].give([5, 6])
    assert rows[1].take([6, 6]), "a RENAME onto itself"
    rows[1].give([6, 6])
    assert rows[1].take([0]) and not rows[0].take([0]), "a hash like any other"
    for number in range(1000, 1000 + ROW_CLAIMS):
        assert rows[0].take([number])
    assert not rows[0].take([2]) and rows[0].wanting([2]) == ROOM, "there is no room"
    assert rows[0].wanting([1005]) == 1005
    assert not rows[1].take([1000 + ROW_CLAIMS - 1]), "the last place is looked at too"
    rows[0].give([1000])
    assert rows[0].take([2])
    assert rows[1].take([1000])
    page.close()


def test_a_row_that_is_empty_is_not_looked_at() -> None:
    """Whatever it has had, and in which order it was given back."""
    page = Page(2)
    row = page.row(0)
    for count in (1, 40, 3):
        names = list(range(1, count + 1))
        for name in names:
            assert row.take([name])
        assert page.counts[0] >= count
        for name in names[::2] + names[1::2]:
            row.give([name])
        assert page.counts[0] == 0
    assert row.take([7]) and page.counts[0] <= 16
    page.close()


def test_a_storage_without_a_verifier_of_its_own_is_told() -> None:
    page, backend = Page(2), MemoryBackend()
    del vars(backend)["verifier"]
    assert not page.share_verifier(backend)
    assert not page.share_verifier(ReadOnly(backend))
    page.close()


def test_the_names_of_a_dead_worker_are_its_own_until_it_is_buried() -> None:
    page = Page(2)
    dead, other = page.row(0), page.row(1)
    assert dead.take([5]) and not other.take([5])
    page.row(0).release()
    assert other.take([5])
    page.close()


def test_the_verifier_is_one_for_all_and_only_theirs() -> None:
    page = Page(2)
    one, two, apart = MemoryBackend(), MemoryBackend(), MemoryBackend()
    below = MemoryBackend()
    wrapped = ReadOnly(below)
    for backend in (one, two, wrapped):
        page.share_verifier(backend)
    assert one.verifier == two.verifier == wrapped.verifier != apart.verifier
    before, own = one.verifier, apart.verifier
    below.verifier = b"12345678"  # as a backend does that has lost something
    assert one.verifier == two.verifier == b"12345678" != before
    page.renew()
    assert one.verifier == two.verifier == wrapped.verifier != b"12345678"
    assert apart.verifier == own and type(apart) is MemoryBackend
    page.close()


# Rings

DRC = DrcSettings(bytes=8 * RING_SEGMENT_BYTES)


def fill(path: Path, keys: range, drc: DrcSettings = DRC, pad: int = 0) -> None:
    """A ring with replies, and a call in progress."""
    cache = open_cache(drc, path)
    assert cache is not None
    for number in keys:
        once = cache.begin(key(number), Capture())
        assert isinstance(once, Once)
        cache.finish(once, b"reply %d" % number + bytes(pad))
    cache.close()


def key(number: int) -> bytes:
    return bytes(16) + number.to_bytes(20, "big")


def replies(path: Path, drc: DrcSettings = DRC) -> set[int]:
    cache = open_cache(drc, path)
    assert cache is not None
    found = {int.from_bytes(one[16:]) for one in cache.restored}
    for number in found:
        reply = cache.begin(key(number), Capture())
        assert isinstance(reply, bytes) and reply.startswith(b"reply %d" % number)
    cache.close()
    return found


async def nothing(host: str, message: bytes, facts: bytes) -> bytes | None:
    raise AssertionError("there is nothing to settle")


def test_another_number_of_workers_has_all_replies(tmp_path: Path) -> None:
    """From one to three, to two, to one; each of them has all."""
    fill(tmp_path / "drc.ring", range(10))
    known = set(range(10))
    for workers in (3, 2, 1):
        asyncio.run(rings.prepare(tmp_path, workers, DRC, nothing))
        own = rings.share(DRC, workers)
        names = rings.paths(tmp_path, workers)
        assert rings.present(tmp_path) == sorted(names)
        for number, path in enumerate(names):
            assert replies(path, own) >= known
            fill(path, range(100 * workers + number, 100 * workers + number + 1), own)
        known |= {100 * workers + number for number in range(workers)}
    assert replies(tmp_path / "drc.ring") == known


class Cut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("cut_at", range(6))
def test_a_crash_while_rings_are_moved_loses_nothing(
    tmp_path: Path, cut_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before each of the changes of names; and then there are to be three."""
    for number, path in enumerate(rings.paths(tmp_path, 2)):
        fill(path, range(number * 10, number * 10 + 5), rings.share(DRC, 2))
    left = cut_at

    def cut(change: Callable[..., None], *names: Any) -> None:
        nonlocal left
        if not left:
            raise Cut
        left -= os.path.exists(names[0])
        change(*names)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", partial(cut, os.replace))
        patch.setattr(os, "unlink", partial(cut, os.unlink))
        with pytest.raises(Cut):
            asyncio.run(rings.prepare(tmp_path, 4, DRC, nothing))
    asyncio.run(rings.prepare(tmp_path, 3, DRC, nothing))
    wanted = {*range(5), *range(10, 15)}
    assert rings.present(tmp_path) == rings.paths(tmp_path, 3)
    for path in rings.paths(tmp_path, 3):
        assert replies(path, rings.share(DRC, 3)) == wanted


def test_the_usual_start_leaves_the_rings_as_they_are(tmp_path: Path) -> None:
    own = rings.share(DRC, 2)
    for path in rings.paths(tmp_path, 2):
        fill(path, range(5), own)
    before = [path.read_bytes() for path in rings.paths(tmp_path, 2)]
    nodes = [path.stat().st_ino for path in rings.paths(tmp_path, 2)]
    asyncio.run(rings.prepare(tmp_path, 2, DRC, nothing))
    assert [path.read_bytes() for path in rings.paths(tmp_path, 2)] == before
    assert [path.stat().st_ino for path in rings.paths(tmp_path, 2)] == nodes


def test_the_latest_replies_are_those_that_are_kept(tmp_path: Path) -> None:
    """Half of a ring, so that there is room for new ones."""
    for number, path in enumerate(rings.paths(tmp_path, 2)):
        fill(path, range(number * 500, number * 500 + 400), rings.share(DRC, 2), pad=900)
    small = DrcSettings(bytes=2 * RING_SEGMENT_BYTES)
    asyncio.run(rings.prepare(tmp_path, 1, small, nothing))
    kept = replies(tmp_path / "drc.ring", small)
    assert kept == set(range(900 - len(kept), 900)) and 50 < len(kept) < 150


def test_calls_in_progress_are_settled_before_rings_are_moved(tmp_path: Path) -> None:
    path = rings.paths(tmp_path, 2)[1]
    cache = DuplicateRequestCache(Ring(in_file(path, 4 * RING_SEGMENT_BYTES)))
    for number in (1, 2):
        once = cache.begin(key(number), Capture(Peer("192.0.2.7", 1)))
        assert isinstance(once, Once)
        cache.intend(once, "192.0.2.7", b"call %d" % number, b"facts")
    cache.close()
    asked = []

    async def settle(host: str, message: bytes, facts: bytes) -> bytes | None:
        asked.append((host, message, facts))
        return b"reply 1" if message == b"call 1" else None

    asyncio.run(rings.prepare(tmp_path, 1, DRC, settle))
    assert sorted(asked) == [("192.0.2.7", b"call %d" % n, b"facts") for n in (1, 2)]
    assert replies(tmp_path / "drc.ring") == {1}


# Settings


def test_limits_of_the_whole_server_are_divided() -> None:
    whole = ServerLimits()
    part = limits_of(whole, 3)
    for spec in fields(ServerLimits):
        own, all_of_it = getattr(part, spec.name), getattr(whole, spec.name)
        if spec.name in DIVIDED:
            assert all_of_it <= 3 * own <= all_of_it + 3
            assert type(own) is type(all_of_it) or isinstance(own, float)
        else:
            assert own == all_of_it
    # Never so little that one record has no place.
    assert limits_of(whole, 64).server_record_bytes >= min(2 * whole.record_bytes, 256 << 20)


@pytest.mark.parametrize("value", [0, 65, -1, True, "two", 1.0, None])
def test_numbers_of_workers_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        count_workers(value)


def test_a_dying_worker_is_given_more_and_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one has lived for a while: not until the pauses are long."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    worker = WorkerProcess(0, 2, [], {}, "info", "text", "auto")

    def deaths(count: int, lives: float) -> list[float]:
        nonlocal now
        found = []
        for _ in range(count):
            now += lives
            found.append(worker.pause())
            now += found[-1]
        return found

    assert deaths(13, 0.3) == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert deaths(1, WORKER_DEATHS_SECONDS - 1) == [60]
    assert deaths(6, WORKER_DEATHS_SECONDS) == [0] * 6
    assert deaths(6, WORKER_DEATHS_SECONDS / 3) == [0] * 6, "it is not often"


# The channel


async def pair(handlers: dict[str, object]) -> tuple[Channel, Channel]:
    here, there = socket.socketpair()
    ends = Channel({}), Channel(handlers)  # type: ignore[arg-type]
    await ends[0].open(here)
    await ends[1].open(there)
    return ends


def test_questions_and_answers() -> None:
    async def main() -> None:
        async def add(one: int, two: int) -> int:
            await asyncio.sleep(0)
            return one + two

        async def refuse() -> None:
            raise ConfigError("no", "and no")

        async def fail() -> None:
            raise KeyError("a bug")

        async def hang() -> None:
            await asyncio.sleep(3600)

        here, there = await pair({"add": add, "refuse": refuse, "fail": fail, "hang": hang})
        assert await asyncio.gather(*(here.ask("add", n, n) for n in range(50))) == [
            2 * n for n in range(50)
        ]
        with pytest.raises(ConfigError) as refused:
            await here.ask("refuse")
        assert refused.value.problems == ["no", "and no"]
        for name in ("fail", "nothing that there is"):
            with pytest.raises(ChannelError):
                await here.ask(name)
        with pytest.raises(TimeoutError):
            await here.ask("hang", timeout=0.01)
        waits = asyncio.create_task(here.ask("hang"))
        await asyncio.sleep(0.01)
        await there.close()
        with pytest.raises(ChannelError, match="gone"):
            await waits
        with pytest.raises(ChannelError, match="gone"):
            await here.ask("add", 1, 1)
        await here.close()

    asyncio.run(main())


def test_settings_travel(tmp_path: Path) -> None:
    (tmp_path / "a?b|c").mkdir()
    exports = (f"/x={tmp_path / 'a?b|c'}", "readonly|memory:?mode=0700", f"/y=posix:{tmp_path}")
    given = settings(Sources(exports=exports))
    assert pickle.loads(dumps(given)) == given


def test_what_waits_for_a_process_that_does_not_read_is_bounded() -> None:
    """In bytes, also when those who asked have given up."""

    async def main() -> None:
        here, there = socket.socketpair()
        channel = Channel({})
        await channel.open(here)
        sent = 0
        with pytest.raises(ChannelError, match="wait for the other process"):
            while sent < 2 * CHANNEL_BACKLOG_BYTES:
                with pytest.raises(TimeoutError):
                    await channel.ask("relay", bytes(1 << 18), timeout=0)
                sent += 1 << 18
        # The kernel's buffers are beside it.
        assert sent >= CHANNEL_BACKLOG_BYTES // 2
        await channel.close()
        there.close()

    asyncio.run(main())


def test_arguments_that_no_mount_has_are_not_sent_on() -> None:
    decode = relay.raw(MOUNT_V3).procs[1].decode_args
    assert decode(bytes(40 + RELAY_BYTES), 40) == (bytes(RELAY_BYTES), 40 + RELAY_BYTES)
    with pytest.raises(XdrError):
        decode(bytes(41 + RELAY_BYTES), 40)


# The state directory


def test_a_state_directory_of_a_server_that_runs_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    monkeypatch.setattr(config, "HANDOVER_SECONDS", 0.1)
    with StateDirectory(tmp_path):
        monkeypatch.setattr(config, "HANDOVER_SECONDS", 1e9)
        with pytest.raises(ConfigError, match=f"another nfsloop .process {os.getpid()}."):
            StateDirectory(tmp_path).__enter__()


@pytest.mark.parametrize("owner", ["parent", "self", "nobody", "garbage"])
def test_a_state_directory_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """The number in the lock may be that of another process by now: whoever has it has not got the
    file open. Here it is held through a descriptor that no process shows: that of a child."""
    numbers = {"parent": os.getppid(), "self": os.getpid(), "nobody": 1 << 30, "garbage": "x"}
    end, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        (tmp_path / "ready").touch()
        os.read(end, 1)
        os._exit(0)
    os.close(end)
    while not (tmp_path / "ready").exists():
        time.sleep(0.001)
    (tmp_path / "lock").write_text(f"{numbers[owner]}\n")
    steps: list[float] = []

    def ends(seconds: float) -> None:
        steps.append(seconds)
        if len(steps) == 3:
            os.close(go)
            os.waitpid(child, 0)

    monkeypatch.setattr(time, "sleep", ends)
    with StateDirectory(tmp_path):
        assert len(steps) == 3


def test_calls_are_settled_beside_each_other() -> None:
    """As many as are allowed at once: storage may take its time for each."""
    ring = bytearray(4 * RING_SEGMENT_BYTES)
    cache = DuplicateRequestCache(Ring(ring))
    for number in range(10):
        once = cache.begin(key(number), Capture(Peer("192.0.2.7", 1)))
        assert isinstance(once, Once)
        cache.intend(once, "192.0.2.7", b"call %d" % number, b"facts")
    waiting: list[int] = []
    most = 0

    async def settle(host: str, message: bytes, facts: bytes) -> bytes | None:
        nonlocal most
        waiting.append(1)
        most = max(most, len(waiting))
        await asyncio.sleep(0.001)
        waiting.pop()
        if message == b"call 3":
            raise KeyError("a bug")
        return b"reply" if message != b"call 4" else None

    left = DuplicateRequestCache(Ring(ring))
    asyncio.run(left.recover(settle, 4))
    assert most == 4
    assert (left.statistics.settled, left.statistics.unexecuted) == (8, 2)
