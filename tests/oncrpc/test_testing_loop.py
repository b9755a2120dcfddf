"""The virtual clock, and what happens to a host's tasks when it crashes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oncrpc.testing import Crash, Deadlock, Faults, Network, VirtualExecutor, simulate


def test_hours_pass_in_no_time() -> None:
    async def main(net: Network) -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []

        async def tick(name: float) -> None:
            await asyncio.sleep(name)
            times.append(loop.time())

        await asyncio.gather(*(tick(hours * 3600.0) for hours in (3, 1, 2)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await loop.create_future()
        return [*times, loop.time()]

    assert simulate(main) == [3600.0, 7200.0, 10800.0, 11400.0]


def test_a_deadlock_names_its_seed() -> None:
    async def main(net: Network) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="seed 4711"):
        simulate(main, 4711)


def test_a_program_that_only_waits_or_spins_is_noticed() -> None:
    async def waits(net: Network) -> None:
        while True:
            await asyncio.sleep(3600)

    async def spins(net: Network) -> None:
        while True:
            await asyncio.sleep(0)

    for main in (waits, spins):
        with pytest.raises(Deadlock, match="seed 5"):
            simulate(main, 5)


def test_executors_run_on_the_loop() -> None:
    async def main(net: Network) -> tuple[float, list[int]]:
        loop = net.loop
        loop.executor = VirtualExecutor(loop, lambda: net.rng.uniform(1, 2))
        threads = [await loop.run_in_executor(None, threading.get_ident) for _ in range(3)]
        job = loop.executor.submit(threading.get_ident)
        done: list[int] = []
        job.add_done_callback(lambda job: loop.call_soon_threadsafe(done.append, job.result()))
        while not done:
            await asyncio.sleep(0.1)
        return loop.time(), [*threads, *done]

    when, threads = simulate(main)
    assert threads == [threading.get_ident()] * 4
    assert 4 <= when <= 8.1


def test_a_real_thread_is_refused() -> None:
    caught: list[BaseException] = []

    async def main(net: Network) -> None:
        def intrude() -> None:
            try:
                net.loop.call_soon_threadsafe(print)
            except RuntimeError as exc:
                caught.append(exc)

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    simulate(main)
    assert len(caught) == 1


def test_what_nobody_catches_is_raised_at_the_end() -> None:
    async def main(net: Network) -> None:
        net.loop.call_soon(int, "none")
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="none"):
        simulate(main)


def test_a_crash_ends_all_that_a_host_runs() -> None:
    log: list[str] = []

    async def main(net: Network) -> None:
        host, other = net.host("10.0.0.1"), net.host("10.0.0.2")

        async def work(name: str) -> None:
            try:
                while True:
                    await asyncio.sleep(1)
                    log.append(name)
            finally:
                log.append(name + " ended")

        async def parent() -> None:
            child = asyncio.create_task(work("child"))
            await child

        host.task(parent())
        other.task(work("other"))
        host.run(net.loop.call_later, 3.5, log.append, "late")
        await asyncio.sleep(2.5)
        host.crash()
        host.task(work("second life"))
        await asyncio.sleep(1.8)
        assert log == ["other", "child"] * 2 + ["other", "second life", "other"]
        log.clear()

    simulate(main)
    # Only when all is over are the finally-clauses run.
    assert "child ended" in log


@pytest.mark.parametrize("in_task", [False, True])
def test_a_host_dies_in_the_middle_of_its_code(in_task: bool) -> None:
    log: list[str] = []

    async def main(net: Network) -> None:
        host = net.host("10.0.0.1")

        def deep() -> None:
            try:
                host.die()
            except Exception:
                log.append("survived")
            log.append("went on")

        async def work() -> None:
            host.run(net.loop.call_later, 1, log.append, "after")
            asyncio.get_running_loop().call_later(1, log.append, "after too")
            deep()

        if in_task:
            host.task(work())
        else:
            host.run(net.loop.call_soon, deep)
        await asyncio.sleep(5)
        log.append("end")

    simulate(main)
    assert log == ["end"]


def test_a_crash_is_no_exception() -> None:
    assert not issubclass(Crash, Exception)


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main(net: Network) -> int:
        for _ in range(1000):
            net.loop.call_later(1e6, print).cancel()
            await asyncio.sleep(0.001)
        return len(net.loop._scheduled)

    assert simulate(main, faults=Faults()) < 200
