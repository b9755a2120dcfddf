"""A backend behind `hosted`: slow ones have their clients ask again, and nothing is done twice.

The clock is virtual.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backends import hosted as module
from backends.base import (
    OPERATIONS,
    Attr,
    Backend,
    Context,
    CreateMode,
    Data,
    DirEntry,
    FsError,
    Key,
    Listing,
    SetAttr,
    Stable,
    Status,
)
from backends.hosted import OVERDUE_CALLS, PATIENT_CALLS, Health, Hosted, hosted
from backends.memory import MemoryBackend
from oncrpc.testing import simulate

ANN, BOB = Context(client="192.0.2.1"), Context(uid=7, client="192.0.2.1")


class Stalling(MemoryBackend):
    """Memory whose calls named in `stalls` wait for so many seconds, the others not at all."""

    inline = False
    patience = 10.0

    def __init__(self) -> None:
        super().__init__(mode=0o777)
        self.stalls: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        self.deadlines: list[float | None] = []
        self.cut: list[str] = []
        for name in OPERATIONS:
            setattr(self, name, self._slow(name, getattr(self, name)))

    def _slow(self, name: str, method: Any) -> Any:
        async def slow(ctx: Context, *args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            self.deadlines.append(ctx.deadline)
            try:
                await asyncio.sleep(self.stalls.get(name, 0))
            except asyncio.CancelledError:
                self.cut.append(name)
                raise
            return await method(ctx, *args, **kwargs)

        return slow


async def status(call: Awaitable[Any]) -> str:
    try:
        await call
    except FsError as exc:
        return exc.status.name
    return "OK"


def now() -> float:
    return asyncio.get_running_loop().time()


def run(main: Callable[[Hosted, Stalling, Key], Awaitable[None]]) -> None:
    """`main` with a hosted backend, that, and its root."""

    async def world(network: object) -> None:
        slow = Stalling()
        backend = hosted(slow, "/export")
        assert isinstance(backend, Hosted)
        await backend.start()
        await main(backend, slow, (await backend.root(ANN)).key)
        await backend.stop()

    simulate(world)


def test_an_inline_backend_is_called_as_it_is() -> None:
    backend = MemoryBackend()
    assert hosted(backend, "/x") is backend


def test_each_call_knows_its_deadline() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        await asyncio.sleep(100)
        await backend.getattr(ANN, root)
        assert slow.deadlines[-1] == pytest.approx(110)
        assert ANN.deadline is None

    run(main)


def test_a_slow_call_is_answered_jukebox_and_joined() -> None:
    """It goes on; the same call again gets its result, and is not begun anew."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["mkdir"] = 34.0
        began = now()
        mkdir = (ANN, root, b"d", SetAttr(mode=0o755))
        assert await status(backend.mkdir(*mkdir)) == "JUKEBOX"
        assert 10.0 <= now() - began < 11.0
        assert await status(backend.mkdir(*mkdir)) == "JUKEBOX"  # it still goes on
        await asyncio.sleep(5)
        made = await backend.mkdir(*mkdir)
        assert now() - began == pytest.approx(34, abs=1)
        assert slow.calls["mkdir"] == 1
        assert (await backend.lookup(ANN, root, b"d")).attr.key == made.attr.key
        # Its result was given once: now it is another call.
        slow.stalls.clear()
        assert await status(backend.mkdir(*mkdir)) == "EXIST"

    run(main)


def test_a_result_that_comes_late_waits_for_its_caller() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["create"] = 12.0
        create = (ANN, root, b"f", CreateMode.GUARDED, SetAttr(mode=0o600), bytes(8))
        assert await status(backend.create(*create)) == "JUKEBOX"
        await asyncio.sleep(45)
        slow.stalls.clear()
        assert (await backend.create(*create)).attr.size == 0
        assert slow.calls["create"] == 1

    run(main)


def test_a_late_failure_waits_too() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["rmdir"] = 12.0
        assert await status(backend.rmdir(ANN, root, b"none")) == "JUKEBOX"
        await asyncio.sleep(5)
        assert await status(backend.rmdir(ANN, root, b"none")) == "NOENT"
        assert slow.calls["rmdir"] == 1

    run(main)


@pytest.mark.parametrize(
    ("ctx", "name", "attr"),
    [(BOB, b"d", SetAttr()), (ANN, b"e", SetAttr()), (ANN, b"d", SetAttr(mode=0o700))],
    ids=["another caller", "another name", "other attributes"],
)
def test_another_call_is_not_joined(ctx: Context, name: bytes, attr: SetAttr) -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["mkdir"] = 12.0
        assert await status(backend.mkdir(ANN, root, b"d", SetAttr())) == "JUKEBOX"
        await status(backend.mkdir(ctx, root, name, attr))
        assert slow.calls["mkdir"] == 2

    run(main)


def test_writes_are_the_same_by_their_data() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        key = made.attr.key
        slow.stalls["write"] = 12.0
        buffer = bytearray(b"data")
        call = backend.write(ANN, key, 0, memoryview(buffer), Stable.UNSTABLE)
        task = asyncio.ensure_future(status(call))
        await asyncio.sleep(0)
        buffer[:] = b"XXXX"  # the server's buffer, in use for the next call
        assert await task == "JUKEBOX"
        assert await status(backend.write(ANN, key, 8, b"data", Stable.UNSTABLE)) == "JUKEBOX"
        done = await backend.write(ANN, key, 0, b"data", Stable.UNSTABLE)
        assert (done.count, slow.calls["write"]) == (4, 2)
        assert bytes((await backend.read(ANN, key, 0, 9)).data) == b"data"

    run(main)


def test_what_was_read_before_a_change_is_not_given_after_it() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["getattr"] = 12.0
        assert await status(backend.getattr(ANN, root)) == "JUKEBOX"
        await asyncio.sleep(3)
        slow.stalls.clear()
        await backend.setattr(ANN, root, SetAttr(mode=0o711))
        assert (await backend.getattr(ANN, root)).mode == 0o711
        assert slow.calls["getattr"] == 2

    run(main)


def test_results_that_nobody_fetches_are_forgotten() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["getattr"] = 12.0
        assert await status(backend.getattr(ANN, root)) == "JUKEBOX"
        await asyncio.sleep(60)
        assert not backend._overdue
        assert backend._timer is None, "it looks on, though there is nothing to look at"

    run(main)


def test_a_stall_is_told_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["read"] = 20.0
        assert await backend.health() is None
        reads = [status(backend.read(ANN, root, n, 1)) for n in range(20)]
        assert set(await asyncio.gather(*reads)) == {"JUKEBOX"}
        assert await backend.health() == "20 calls have not ended, the oldest for 10 s"
        await asyncio.sleep(12)
        assert await backend.health() is None

    run(main)
    lines = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert "/export: Stalling.read of 192.0.2.1 has taken 10 s" in lines[0][1]
    assert "/export: Stalling: answers again, after 20 s" in lines[1][1]


def test_a_fault_that_comes_late_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        async def fault(*args: Any) -> Data:
            await asyncio.sleep(15)
            raise KeyError("planted")

        backend = Hosted(slow, "/other")
        vars(slow)["read"] = fault
        backend = Hosted(slow, "/other")
        assert await status(backend.read(ANN, root, 0, 1)) == "JUKEBOX"
        await asyncio.sleep(6)
        with pytest.raises(KeyError):
            await backend.read(ANN, root, 0, 1)
        await backend.stop()

    run(main)
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.getMessage() for r in errors] == ["/other: Stalling.read failed, late"]


def test_a_stalled_store_does_not_hold_all_calls_of_a_connection() -> None:
    """Beyond `PATIENT_CALLS`, the calls are told to ask again at once."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["read"] = 1e9
        over: Counter[int] = Counter()

        async def read(number: int) -> None:
            began = now()
            assert await status(backend.read(ANN, root, number, 1)) == "JUKEBOX"
            over[round(now() - began)] += 1

        await asyncio.gather(*(read(number) for number in range(PATIENT_CALLS + 30)))
        assert over == {10: PATIENT_CALLS, 1: 30}
        assert await status(backend.getattr(ANN, root)) == "OK"
        assert len(slow.cut) == 0

    run(main)


def test_calls_that_hang_are_bounded() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["read"] = 1e9
        backend.patience = 1.0
        for first in range(0, OVERDUE_CALLS, 64):
            reads = [status(backend.read(ANN, root, first + n, 1)) for n in range(64)]
            assert set(await asyncio.gather(*reads)) == {"JUKEBOX"}
        began, calls = now(), slow.calls["read"]
        assert await status(backend.read(ANN, root, 9999, 1)) == "JUKEBOX"
        assert (now(), slow.calls["read"]) == (began, calls), "it was begun"
        await backend.stop()
        assert slow.cut == ["read"] * OVERDUE_CALLS

    run(main)


def test_a_result_of_another_kind_is_refused() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        async def wrong(*args: Any) -> Any:
            return 42

        for name in OPERATIONS:
            if name != "peek":
                setattr(slow, name, wrong)
        backend = Hosted(slow, "/other")
        for name in set(OPERATIONS) - {"peek", "write"}:
            with pytest.raises(TypeError, match=f"{name} gave int"):
                await getattr(backend, name)(ANN, Key(1), b"x", Key(2), b"y")

    run(main)


def test_every_operation_has_its_result() -> None:
    assert set(module.RESULTS) == set(OPERATIONS)


def test_a_waiter_that_is_cancelled_leaves_the_work() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["mkdir"] = 3.0
        task = asyncio.ensure_future(backend.mkdir(ANN, root, b"d", SetAttr()))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(5)
        assert task.cancelled() and not slow.cut
        assert (await backend.lookup(ANN, root, b"d")).attr.nlink == 2
        assert not backend._works and backend._waiting == 0

    run(main)


def test_a_backend_that_does_not_say_how_it_is() -> None:
    """It is asked once for as long as it takes, and who comes later waits no more."""
    asked: list[float] = []

    class Mute(Stalling):
        async def health(self) -> str | None:
            now = asyncio.get_running_loop().time()
            asked.append(now)
            await asyncio.sleep(60)
            if len(asked) > 1:
                raise FsError(Status.IO, "the disk is gone")
            return None

    async def world(network: object) -> None:
        mute = hosted(Mute(), "/x")
        health = Health(lambda: mute)
        time = asyncio.get_running_loop().time
        began = time()
        said = await asyncio.gather(*[health() for _ in range(3)])
        assert said == ["it has not said how it is for 5 s"] * 3
        await asyncio.sleep(15)
        assert await health() == "it has not said how it is for 20 s"
        assert time() - began == 20 and len(asked) == 1
        await asyncio.sleep(38)
        assert await health() == "it has not said how it is for 58 s"
        await asyncio.sleep(10)  # it has answered meanwhile; that is forgotten
        assert await health() == "it has not said how it is for 5 s"
        assert len(asked) == 2
        await asyncio.sleep(54.5)
        waiting = asyncio.ensure_future(health())
        await asyncio.sleep(0)
        health.stop()
        assert await waiting == "it is being stopped"
        assert await health() == "it has not said how it is for 5 s"
        health.stop()

    simulate(world)


def test_what_goes_wrong_is_said_too() -> None:
    class Failing(MemoryBackend):
        failure: Exception

        async def health(self) -> str | None:
            raise self.failure

    async def main() -> None:
        backend = Failing()
        health = Health(lambda: backend)
        for failure, said in (
            (OSError(5, "planted"), "[Errno 5] planted"),
            (FsError(Status.IO, "planted"), "planted"),
            (ZeroDivisionError("planted"), "ZeroDivisionError: planted"),
        ):
            backend.failure = failure
            assert said in (await health() or "")

    asyncio.run(main())


def test_the_other_methods_are_the_backends() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        assert backend.verifier == slow.verifier
        slow.verifier = b"12345678"
        assert backend.verifier == b"12345678"
        assert backend.limits is slow.limits
        assert backend.describe() == slow.describe()
        assert not backend.inline and backend.persistent is False
        attr: Attr = await backend.getattr(ANN, root)
        assert attr.key == root

    run(main)


def test_a_base_backend_is_refused_politely() -> None:
    async def world(network: object) -> None:
        backend = hosted(Backend(), "/x")
        with pytest.raises(FsError) as caught:
            await backend.readlink(ANN, Key(1))
        assert caught.value.status is Status.NOTSUPP

    simulate(world)


# What is out of date, and who gets what


def test_of_two_equal_calls_one_makes_the_name() -> None:
    """Both were told to ask again; each takes over one work, and one of those has failed."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["mkdir"] = 12.0
        mkdir = (ANN, root, b"lock", SetAttr())
        calls = [status(backend.mkdir(*mkdir)) for _ in range(2)]
        assert await asyncio.gather(*calls) == ["JUKEBOX"] * 2
        await asyncio.sleep(5)
        slow.stalls.clear()
        again = [status(backend.mkdir(*mkdir)) for _ in range(3)]
        assert sorted(await asyncio.gather(*again)) == ["EXIST", "EXIST", "OK"]
        assert slow.calls["mkdir"] == 3

    run(main)


@pytest.mark.parametrize("ended", [False, True])
def test_a_call_that_was_given_up_answers_no_later_one(ended: bool) -> None:
    """The name was made and removed by others since: it is made anew."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["remove"] = 12.0
        create = (root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        await backend.create(ANN, *create)
        assert await status(backend.remove(ANN, root, b"f")) == "JUKEBOX"
        if ended:
            await asyncio.sleep(5)
        slow.stalls.clear()
        await status(backend.create(BOB, *create))
        await asyncio.sleep(5)
        await status(backend.create(BOB, *create))
        assert await status(backend.remove(ANN, root, b"f")) == "OK"
        assert await status(backend.lookup(ANN, root, b"f")) == "NOENT", "OK, and it is there"

    run(main)


def test_another_write_of_the_same_bytes_outdates_one() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        key = made.attr.key
        slow.stalls["write"] = 12.0
        one = (ANN, key, 0, b"A" * 100, Stable.UNSTABLE)
        assert await status(backend.write(*one)) == "JUKEBOX"
        await asyncio.sleep(5)
        slow.stalls.clear()
        await backend.write(ANN, key, 50, b"B" * 100, Stable.UNSTABLE)
        await backend.write(*one)
        assert bytes((await backend.read(ANN, key, 0, 200)).data) == b"A" * 100 + b"B" * 50

    run(main)


def test_what_is_read_over_a_change_is_not_given_after_it() -> None:
    """It was in progress when the change began, and when it ended."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        key = made.attr.key
        slow.stalls["getattr"] = 12.0
        assert await status(backend.getattr(ANN, key)) == "JUKEBOX"
        slow.stalls.clear()
        await backend.write(ANN, key, 0, b"0123456789", Stable.UNSTABLE)
        await asyncio.sleep(3)
        assert (await backend.getattr(ANN, key)).size == 10
        assert slow.calls["getattr"] == 2

    run(main)


def test_a_write_carries_the_verifier_from_before_it_began() -> None:
    """Its data may have been lost with what made the verifier another."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        before, slow.stalls["write"] = slow.verifier, 12.0
        write = (ANN, made.attr.key, 0, b"data", Stable.UNSTABLE)
        assert await status(backend.write(*write)) == "JUKEBOX"
        slow.verifier = b"another!"
        assert (await backend.write(*write)).verifier == before

    run(main)


def test_results_that_nobody_fetches_hold_nobody_up() -> None:
    """A client died after its calls were overdue: the others are served at once."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        slow.stalls["write"] = 12.0
        for first in range(0, OVERDUE_CALLS, 64):
            writes = [
                status(backend.write(BOB, made.attr.key, (first + n) << 10, b"x" * 1024, Stable(0)))
                for n in range(64)
            ]
            assert set(await asyncio.gather(*writes)) == {"JUKEBOX"}
        await asyncio.sleep(13)
        assert not backend._works and await backend.health() is None
        assert await status(backend.getattr(ANN, root)) == "OK"
        assert all(not work.args for work in backend._results), "their data is kept"
        await asyncio.sleep(70)
        assert not backend._overdue and not backend._results

    run(main)


def test_equal_calls_count_each() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        slow.stalls["read"] = 1e9
        backend.patience = 1.0
        for _ in range(20):
            reads = [status(backend.read(ANN, root, 0, 1)) for _ in range(60)]
            assert set(await asyncio.gather(*reads)) == {"JUKEBOX"}
        # Each of those that asked again has taken one over; no more than one turn is beyond it.
        assert slow.calls["read"] == len(backend._works) <= OVERDUE_CALLS

    run(main)


def test_kept_data_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESULTS_KEPT_BYTES", 10_000)

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        key = made.attr.key
        await backend.write(ANN, key, 0, bytes(100_000), Stable.UNSTABLE)
        slow.stalls["read"] = 12.0
        reads = [status(backend.read(ANN, key, n * 1000, 1000)) for n in range(50)]
        assert set(await asyncio.gather(*reads)) == {"JUKEBOX"}
        await asyncio.sleep(4)
        assert len(backend._results) == 10 and backend._results_bytes == 10_000
        await asyncio.sleep(30)
        assert backend._results_bytes == 0 and not backend._results

    run(main)


@pytest.mark.parametrize(
    "entry",
    [(b"", 3), (b"a/b", 3), (b"..", 3), (b".", 3), (b"f", 2), (b"f", 0), (b"f", 2**63)],
)
def test_entries_that_cannot_be_are_refused(entry: tuple[bytes, int]) -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        async def wrong(*args: Any) -> Listing:
            return Listing([DirEntry(entry[0], 5, entry[1])], True)

        vars(slow)["readdir"] = wrong
        with pytest.raises(TypeError, match="readdir gave"):
            await Hosted(slow, "/other").readdir(ANN, root, 0, 1000, False)

    run(main)


def test_a_listing_that_goes_nowhere_is_refused() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        async def wrong(*args: Any) -> Listing:
            return Listing([], False)

        vars(slow)["readdir"] = wrong
        with pytest.raises(TypeError, match="neither an entry nor eof"):
            await Hosted(slow, "/other").readdir(ANN, root, 0, 1000, False)

    run(main)


@pytest.mark.parametrize("seconds", [1, 9])
def test_what_is_read_beside_a_change_is_not_given_after_it(seconds: float) -> None:
    """The change came and went before the reader was told to ask again."""

    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        made = await backend.create(ANN, root, b"f", CreateMode.GUARDED, SetAttr(), bytes(8))
        key = made.attr.key
        slow.stalls["getattr"] = 12.0
        reader = asyncio.ensure_future(status(backend.getattr(ANN, key)))
        await asyncio.sleep(seconds)
        await backend.write(ANN, key, 0, b"0123456789", Stable.UNSTABLE)
        assert await reader == "JUKEBOX"
        slow.stalls.clear()
        assert (await backend.getattr(ANN, key)).size == 10
        assert slow.calls["getattr"] == 2

    run(main)


def test_a_change_elsewhere_takes_no_result_away() -> None:
    async def main(backend: Hosted, slow: Stalling, root: Key) -> None:
        keys = [
            (
                await backend.create(ANN, root, name, CreateMode.GUARDED, SetAttr(), bytes(8))
            ).attr.key
            for name in (b"f", b"g")
        ]
        slow.stalls["read"] = 12.0
        assert await status(backend.read(ANN, keys[0], 0, 1)) == "JUKEBOX"
        await backend.write(ANN, keys[1], 0, b"x", Stable.UNSTABLE)
        await asyncio.sleep(3)
        await backend.write(ANN, keys[1], 0, b"y", Stable.UNSTABLE)
        assert (await backend.read(ANN, keys[0], 0, 1)).eof
        assert slow.calls["read"] == 1

    run(main)
