"""The executor shares its threads between keys by round robin."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine

import pytest

from service.client_budget import ClientBudget
from service.errors import BudgetExceeded, ModelNotReady
from service.imaging.fair_executor import FairExecutor


async def queue_up(executor: FairExecutor, gate: threading.Event, *keys: str) -> list[str]:
    """Queue jobs with these keys on one thread and return the order in which they run."""
    order: list[str] = []

    def job(key: str) -> Callable[[], None]:
        return lambda: order.append(key)

    first = asyncio.create_task(executor.run("first", gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(executor.run(key, job(key))) for key in keys]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *waiting)
    return order


def test_keys_run_in_round_robin_order() -> None:
    executor = FairExecutor(1, "test")
    order = asyncio.run(queue_up(executor, threading.Event(), "a", "a", "a", "a", "b", "b", "c"))
    assert order == ["a", "b", "c", "a", "b", "a", "a"]
    executor.close()


def test_result_and_exception_reach_the_caller() -> None:
    async def run() -> None:
        executor = FairExecutor(2, "test")
        assert await executor.run("a", lambda: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await executor.run("a", lambda: 1 // 0)
        assert await executor.run("a", lambda: 43) == 43
        executor.close()

    asyncio.run(run())


@pytest.mark.measures
def test_thousands_of_jobs_of_a_key_are_cancelled_in_no_time() -> None:
    async def run() -> None:
        executor, gate = FairExecutor(1, "test"), threading.Event()
        first = asyncio.create_task(executor.run("a", gate.wait))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(executor.run("a", gate.wait)) for _ in range(5000)]
        await asyncio.sleep(0)
        started = time.process_time()
        for task in reversed(waiting):
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert time.process_time() - started < 0.5
        gate.set()
        await first
        executor.close()

    asyncio.run(run())


def test_waiting_request_is_evicted_and_a_running_one_is_not() -> None:
    async def run() -> None:
        budget, gate = ClientBudget(1 << 20), threading.Event()
        executor = FairExecutor(1, "test")
        running, waiting = budget.account("a"), budget.account("a")
        running.charge(1 << 18)
        waiting.charge(1 << 19)
        first = asyncio.create_task(executor.run("a", gate.wait, account=running))
        second = asyncio.create_task(executor.run("a", gate.wait, account=waiting))
        await asyncio.sleep(0)
        assert running.evict is None
        budget.account("b").charge(1 << 18)
        with pytest.raises(BudgetExceeded, match="waiting request"):
            await second
        assert waiting.closed
        gate.set()
        assert await first
        executor.close()

    asyncio.run(run())


def test_cancelled_job_is_not_started() -> None:
    async def run() -> None:
        executor, gate, started = FairExecutor(1, "test"), threading.Event(), threading.Event()
        first = asyncio.create_task(executor.run("a", gate.wait))
        await asyncio.sleep(0)
        cancelled = asyncio.create_task(executor.run("a", started.set))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first
        assert await executor.run("b", lambda: True)
        assert not started.is_set()
        executor.close()

    asyncio.run(run())


def test_each_thread_runs_one_job() -> None:
    async def run() -> None:
        executor, barrier = FairExecutor(3, "test"), threading.Barrier(3)
        places = await asyncio.gather(*(executor.run(str(key), barrier.wait) for key in range(9)))
        assert sorted(places) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        executor.close()

    asyncio.run(run())


class Jobs:
    """Jobs of one executor, each of which runs until the test opens its gate."""

    def __init__(self, threads: int, **limits: float) -> None:
        self.executor = FairExecutor(threads, "test", **limits)
        self.running: list[str] = []
        self._gates: dict[str, threading.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def add(self, *names: str, size: int, key: str | None = None) -> None:
        for name in names:
            gate = self._gates[name] = threading.Event()

            def job(name: str = name, gate: threading.Event = gate) -> None:
                self._loop.call_soon_threadsafe(self._start, name)
                gate.wait()

            self._tasks[name] = asyncio.create_task(self.executor.run(key or name, job, size))
        await asyncio.sleep(0)

    async def finish(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()
        await asyncio.gather(*(self._tasks[name] for name in names))
        for name in names:
            self.running.remove(name)

    async def expect(self, *names: str) -> None:
        """Wait until exactly these jobs run; no other begins until the loop is idle."""
        while not set(names) <= set(self.running):
            self._changed.clear()
            await self._changed.wait()
        assert sorted(self.running) == sorted(names)

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)

    def close(self) -> None:
        for gate in self._gates.values():
            gate.set()
        self.executor.close()

    def _start(self, name: str) -> None:
        self.running.append(name)
        self._changed.set()


def run_jobs(test: Callable[[Jobs], Coroutine[None, None, None]], threads: int, **limits: float) -> None:
    async def run() -> None:
        jobs = Jobs(threads, **limits)
        try:
            await test(jobs)
        finally:
            jobs.close()

    asyncio.run(run())


def test_running_jobs_fit_in_the_room_together() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("a", "b", "c", "d", size=40)
        await jobs.expect("a", "b")
        await jobs.finish("a")
        await jobs.expect("b", "c")

    run_jobs(test, 4, room=100, small=10)


def test_larger_job_runs_alone_and_is_not_overtaken() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("first", size=60)
        await jobs.add("largest", size=150)
        await jobs.add("last", size=20)
        await jobs.expect("first")
        await jobs.finish("first")
        await jobs.expect("largest")
        await jobs.finish("largest")
        await jobs.expect("last")

    run_jobs(test, 4, room=100, small=10)


def test_small_jobs_run_beside_large_ones() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("large", "larger", size=100)
        await jobs.add("x", "y", "z", size=10)
        await jobs.expect("large", "x", "y", "z")

    run_jobs(test, 5, room=100, small=10)


def test_huge_jobs_leave_a_thread_free() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("a", "b", "c", size=50)
        await jobs.expect("a", "b")
        await jobs.add("small", size=1)
        await jobs.expect("a", "b", "small")
        await jobs.finish("a")
        await jobs.expect("b", "small", "c")

    run_jobs(test, 3, small=10, medium=40)


def test_huge_job_has_a_second_thread_beside_a_single_one() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("huge 1", "huge 2", size=50)
        await jobs.add("small 1", "small 2", size=1)
        await jobs.expect("huge 1", "small 1")
        await jobs.finish("small 1")
        await jobs.expect("huge 1", "small 2")
        await jobs.finish("huge 1")
        await jobs.expect("huge 2", "small 2")

    run_jobs(test, 1, small=10, medium=40)


def test_small_and_large_jobs_take_turns_for_threads() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("first", size=50)
        await jobs.expect("first")
        await jobs.add("large 1", "large 2", size=50, key="a")
        await jobs.add("small 1", "small 2", size=1, key="b")
        for name, following in (
            ("first", "small 1"),
            ("small 1", "large 1"),
            ("large 1", "small 2"),
            ("small 2", "large 2"),
        ):
            await jobs.finish(name)
            await jobs.expect(following)

    run_jobs(test, 1, small=10)


def test_medium_job_that_fits_beside_a_waiting_huge_one_runs_before_it() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("huge 1", "huge 2", size=70)
        await jobs.expect("huge 1")
        await jobs.add("medium 1", "medium 2", size=20)
        await jobs.expect("huge 1", "medium 1")
        await jobs.finish("huge 1")
        await jobs.expect("medium 1", "huge 2")

    run_jobs(test, 4, room=100, small=10, medium=50)


def test_medium_job_that_fits_beside_no_huge_one_has_its_turn() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("huge 1", "huge 2", size=95)
        await jobs.add("medium", size=20)
        await jobs.expect("huge 1")
        await jobs.finish("huge 1")
        await jobs.expect("medium")
        await jobs.finish("medium")
        await jobs.expect("huge 2")

    run_jobs(test, 4, room=100, small=10, medium=50)


def test_cancelled_job_makes_room_for_those_behind_it() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("first", size=60)
        await jobs.add("largest", size=150)
        await jobs.add("last", size=20)
        await jobs.expect("first")
        await jobs.cancel("largest")
        await jobs.expect("first", "last")

    run_jobs(test, 4, room=100, small=10)


def test_close_rejects_waiting_jobs_and_waits_for_running_ones() -> None:
    async def test(jobs: Jobs) -> None:
        await jobs.add("running", "waiting", size=1)
        await jobs.expect("running")
        jobs.close()
        await jobs.finish("running")
        with pytest.raises(ModelNotReady):
            await jobs.finish("waiting")
        await jobs.expect()
        with pytest.raises(ModelNotReady):
            await jobs.executor.run("late", lambda: None)

    run_jobs(test, 1)
